"""The memory mappings of linked code: joined, for a process may have only so many.

Every library that is linked adds a mapping for its code and one for its constants, side by side.
Linux allows a process 65,530 mappings by default, and LLVM aborts when it gets no more.  Neighbours
with equal rights are one mapping, so constants are made executable, as the code beside them is:
they stay what cannot be written.
"""

from __future__ import annotations

import bisect
import ctypes
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["EVERY", "join_mappings"]

EVERY = 1000
"""Libraries after which mappings are joined."""

_MAPS = Path("/proc/self/maps")
_READ, _EXECUTE = 1, 4


class _Mapping(NamedTuple):
    first: int
    end: int
    rights: str
    anonymous: bool


def _mappings() -> list[_Mapping]:
    found = []
    for line in _MAPS.read_text().splitlines():
        span, rights, _, _, inode, *name = line.split(maxsplit=5)
        first, end = (int(word, 16) for word in span.split("-"))
        found.append(_Mapping(first, end, rights, inode == "0" and not name))
    return found


def join_mappings(addresses: Iterable[int]) -> int:
    """Join the mappings of code with those of its constants.

    Parameters
    ----------
    addresses : iterable of int
        Of functions: only mappings beside theirs are touched.

    Returns
    -------
    int
        How many mappings were changed; 0 where there is no Linux.
    """
    if not sys.platform.startswith("linux") or not _MAPS.exists():
        return 0
    known = sorted(addresses)
    if not known:
        return 0
    rows = _mappings()
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def is_code(m: _Mapping) -> bool:
        at = bisect.bisect_left(known, m.first)
        return m.anonymous and m.rights == "r-xp" and at < len(known) and known[at] < m.end

    count = 0
    for n, m in enumerate(rows):
        if not m.anonymous or m.rights != "r--p":
            continue
        beside = [
            x for x in rows[max(n - 1, 0) : n + 2] if x.end == m.first or x.first == m.end
        ]
        if any(map(is_code, beside)):
            count += protect(m.first, m.end - m.first, _READ | _EXECUTE) == 0
    return count
