"""What users set: one frozen dataclass, from the environment, changed in a scope."""

from __future__ import annotations

import os
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tracejit.backend.threads import default_threads
from tracejit.ir.dtypes import DTYPES

__all__ = [
    "Settings",
    "amend_settings",
    "checked_float",
    "current_settings",
    "default_float",
    "leave_settings",
    "scope_settings",
    "traced_settings",
]


@dataclass(frozen=True)
class Settings:
    """What users may set.

    Attributes
    ----------
    num_threads : int
        Threads of compiled functions (``TRACEJIT_NUM_THREADS``).  They are the process's.
    debug_nans : bool
        Whether an operation that makes a NaN raises (``TRACEJIT_DEBUG_NANS``).
    default_float : {"float64", "float32"}
        What Python floats are, and what functions make that are not told otherwise
        (``TRACEJIT_DEFAULT_FLOAT``).
    check_bounds : bool
        Whether an index that is out of range when it is known raises (``TRACEJIT_CHECK_BOUNDS``).
    cache_dir : str or None
        The folder of compiled code, empty for none (``TRACEJIT_CACHE_DIR``); the platform's place
        for caches by default.  It is the process's.
    log_compiles : bool
        Whether each compilation is logged as a warning (``TRACEJIT_LOG_COMPILES``).
    dtype_promotion : {"standard", "strict"}
        Whether arrays of different dtypes may meet.
    rank_promotion : {"allow", "warn", "raise"}
        Whether arrays of different ranks may meet.
    """

    num_threads: int
    debug_nans: bool
    default_float: str
    check_bounds: bool
    cache_dir: str | None
    log_compiles: bool = False
    dtype_promotion: str = "standard"
    rank_promotion: str = "allow"


_FLOATS = {"float64": DTYPES["f64"], "float32": DTYPES["f32"]}


def checked_float(name: Any) -> str:
    """Return the name of a default float.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = str(getattr(name, "__name__", None) or getattr(name, "name", None) or name)
    if found not in _FLOATS:
        raise ValueError(f"settings: default_float must be float64 or float32; got {name!r}")
    return found


def _flag(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


def _from_environment() -> Settings:
    return Settings(
        num_threads=default_threads(),
        debug_nans=_flag("TRACEJIT_DEBUG_NANS"),
        default_float=checked_float(os.environ.get("TRACEJIT_DEFAULT_FLOAT") or "float64"),
        check_bounds=_flag("TRACEJIT_CHECK_BOUNDS"),
        cache_dir=os.environ.get("TRACEJIT_CACHE_DIR"),
        log_compiles=_flag("TRACEJIT_LOG_COMPILES"),
    )


_process = _from_environment()
_scoped: ContextVar[Settings | None] = ContextVar("settings", default=None)


def current_settings() -> Settings:
    """Return the settings of the innermost scope, or those of the process."""
    return _scoped.get() or _process


def traced_settings() -> tuple[Any, ...]:
    """Return the settings on which it depends what is traced."""
    now = current_settings()
    return (now.default_float, now.check_bounds, now.dtype_promotion, now.rank_promotion)


def default_float() -> np.dtype[Any]:
    """Return the dtype of Python floats, and of arrays that are made without one."""
    return _FLOATS[current_settings().default_float]


def scope_settings(changes: dict[str, Any]) -> Token[Settings | None]:
    """Begin a scope with some fields changed; its end is :func:`leave_settings`."""
    return _scoped.set(replace(current_settings(), **changes))


def leave_settings(token: Token[Settings | None]) -> None:
    """End a scope."""
    _scoped.reset(token)


def amend_settings(**changes: Any) -> None:
    """Change fields of the innermost scope, or those of the process."""
    global _process
    scoped = _scoped.get()
    if scoped is None:
        _process = replace(_process, **changes)
    else:
        _scoped.set(replace(scoped, **changes))
