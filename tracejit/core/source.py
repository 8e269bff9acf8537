"""Find the user's code on the stack: the first frame outside tracejit.

Taking a source must be cheap, since every traced operation takes one: a code object and an
instruction offset.  The line number and the text of the line are looked up only when shown.
"""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from types import CodeType

from tracejit.ir.program import Source

__all__ = ["count_as_ours", "current_source", "describe", "is_ours"]

_folders = [str(Path(__file__).resolve().parents[1]) + os.sep]
# Frames of these packages are skipped too: they stand between the user and us.
_BETWEEN = tuple(os.sep + name + os.sep for name in ("numpy", "opt_einsum"))
_ours: dict[CodeType, bool] = {}


def count_as_ours(folder: str) -> None:
    """Count the code in a folder, that of a backend, as the library's."""
    _folders.append(folder + os.sep)
    _ours.clear()


def _find(code: CodeType) -> bool:
    name = code.co_filename
    ours = name.startswith(tuple(_folders)) or (
        "site-packages" in name and any(part in name for part in _BETWEEN)
    )
    _ours[code] = ours
    return ours


def is_ours(code: CodeType) -> bool:
    """Whether code is the library's, or stands between the user and it."""
    known = _ours.get(code)
    return _find(code) if known is None else known


def current_source() -> Source | None:
    """Return where the nearest frame outside tracejit stands, or ``None``."""
    frame = sys._getframe(1)
    ours = _ours
    while frame is not None:
        code = frame.f_code
        is_ours = ours.get(code)
        if is_ours is None:
            is_ours = _find(code)
        if not is_ours:
            return Source(code, frame.f_lasti)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def describe(source: Source | None) -> str:
    """Return ``file:line in function: text of the line`` of `source`, or ``""``."""
    if source is None:
        return ""
    text = linecache.getline(source.code.co_filename, source.line()).strip()
    return f"{source}" + (f"\n    {text}" if text else "")
