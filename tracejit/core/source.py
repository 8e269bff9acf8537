"""Find the user's code on the stack: the first frame outside tracejit.

Taking a source must be cheap, since every traced operation takes one: a code object and an
instruction offset.  The line number and the text of the line are looked up only when shown.
"""

from __future__ import annotations

import contextlib
import functools
import linecache
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar, Token
from pathlib import Path
from types import CodeType
from typing import Any

from tracejit.ir.program import Source

__all__ = [
    "count_as_ours",
    "current_source",
    "describe",
    "is_ours",
    "named_call",
    "named_scope",
]

_folders = [str(Path(__file__).resolve().parents[1]) + os.sep]
# Frames of these packages are skipped too: they stand between the user and us.
_BETWEEN = tuple(os.sep + name + os.sep for name in ("numpy", "opt_einsum"))
_ours: dict[CodeType, bool] = {}
_scope: ContextVar[str] = ContextVar("named_scope", default="")


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
            return Source(code, frame.f_lasti, _scope.get())
        frame = frame.f_back  # type: ignore[assignment]
    return None


class named_scope(contextlib.ContextDecorator):
    """Context manager and decorator: what is traced inside bears a name.

    ``tools.explain`` and errors show it behind the user's line, nested ones as ``outer/inner``.

    Parameters
    ----------
    name : str
        The name.

    Raises
    ------
    TypeError
        If it is no string.

    Notes
    -----
    A jitted function that was traced before bears the names of that time.

    Examples
    --------
    >>> import tracejit
    >>> with tracejit.named_scope("layer"):
    ...     y = tracejit.numpy.exp(1.0)
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"named_scope: the name must be a string; got {type(name).__name__}")
        self._name = name
        self._tokens: list[Token[str]] = []

    def __enter__(self) -> None:
        around = _scope.get()
        self._tokens.append(_scope.set(f"{around}/{self._name}" if around else self._name))

    def __exit__(self, *exc: object) -> None:
        _scope.reset(self._tokens.pop())


def named_call(fun: Callable[..., Any], *, name: str | None = None) -> Callable[..., Any]:
    """Return `fun` so that what it traces bears a name.

    Parameters
    ----------
    fun : callable
        Any function.
    name : str, optional
        The name; by default that of `fun`.

    Returns
    -------
    callable
        The same function.

    See Also
    --------
    named_scope : the same for a block.
    """
    name = name if name is not None else getattr(fun, "__name__", type(fun).__name__)

    @functools.wraps(fun)
    def named(*args: Any, **kwargs: Any) -> Any:
        with named_scope(name):
            return fun(*args, **kwargs)

    return named


def describe(source: Source | None) -> str:
    """Return ``file:line in function: text of the line`` of `source`, or ``""``."""
    if source is None:
        return ""
    text = linecache.getline(source.code.co_filename, source.line()).strip()
    return f"{source}" + (f"\n    {text}" if text else "")
