"""Indices that are looked at when they are known: what ``check_bounds`` puts before reads, writes.

The indices pass through as they are, so that whatever reads or writes depends on the look.  It runs
by a callback, and raises there.
"""

from __future__ import annotations

from typing import Any

from tracejit.core.errors import BoundsError
from tracejit.core.settings import current_settings
from tracejit.core.source import current_source, describe
from tracejit.ir.dtypes import is_integer
from tracejit.ir.program import Source
from tracejit.ops._pointwise import define_pointwise, same_dtype

__all__ = ["check_index"]


def check_index(index: Any, axis: int, length: int) -> Any:
    """Return indices; if ``check_bounds`` is set, they raise where they are out of range.

    Parameters
    ----------
    index : Array, any shape, signed integer
        Counted from the start; negative ones are out of range.
    axis : int
        The axis that they index, for the message.
    length : int
        Its length.

    Returns
    -------
    Array, shape and dtype of `index`

    Raises
    ------
    BoundsError
        When the indices are computed; names the line that was traced.
    """
    if not current_settings().check_bounds:
        return index
    return check_index_p.bind(index, axis=axis, length=length, source=current_source())


def _impl(xp: Any, index: Any, *, axis: int, length: int, source: Source | None) -> Any:
    bad = (index < 0) | (index >= length)
    if bool(xp.any(bad)):
        first = int(index[bad].ravel()[0]) if index.ndim else int(index)
        line = describe(source)
        raise BoundsError(
            f"index {first if first >= length else first - length} is out of range for axis {axis} "
            f"of length {length}" + (f"\n  on the line {line}" if line else "")
        )
    return index


check_index_p = define_pointwise(
    "check_index",
    impl=_impl,
    dtype=same_dtype("check_index", is_integer, "integer"),
    jvp="its operand has integers, which have no tangents",
    lower="it raises, which no kernel does",
)
