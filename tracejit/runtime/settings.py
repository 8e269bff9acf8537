"""``settings``: a scope in which what users may set is changed."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from tracejit.backend.diskcache import choose_cache_dir
from tracejit.control.nan_checks import NanChecks
from tracejit.control.stepwise import PassThrough
from tracejit.core.interpreter import bottom, current, current_interpreter, interpreting
from tracejit.core.settings import (
    Settings,
    checked_float,
    current_settings,
    leave_settings,
    scope_settings,
    traced_settings,
)
from tracejit.runtime.backends import get_backend
from tracejit.runtime.placement import HOST_BACKEND

__all__ = [
    "follow_environment",
    "log_compiles",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
    "settings",
]


class settings(contextlib.ContextDecorator):
    """Change settings in a block: a context manager, or a decorator of functions.

    Parameters
    ----------
    num_threads : int, optional
        Threads of compiled functions; results do not depend on it.  It holds for the whole
        process as long as the block lasts.  ``TRACEJIT_NUM_THREADS``.
    debug_nans : bool, optional
        Whether an operation whose result has a NaN, and its operands have none, raises
        :class:`~tracejit.core.errors.NanError`, which names the primitive and the line.  A jitted
        function that returns a NaN is run again one operation at a time (what it prints is
        printed again), so that the operation within is named.  What ``where`` and ``vmap`` of
        ``cond`` compute in vain counts, unless it is part of a jitted function.  Calls are slower.
        ``TRACEJIT_DEBUG_NANS=1`` sets it for the thread that imports tracejit.
    default_float : {"float64", "float32"}, optional
        The dtype of Python floats (complex numbers then have parts of it), of lists of them, of the
        functions of integers that are no integers, and of what ``zeros``, ``linspace``,
        ``random.normal`` and others make that are not told; also what ``dtype=float`` means.
        Arrays of NumPy keep their dtypes.  Jitted functions are traced for each; calls within a
        block that changes it are slower.  ``TRACEJIT_DEFAULT_FLOAT``.
    check_bounds : bool, optional
        Whether indices of ``x[i]``, ``x.at[i]``, ``take`` and ``take_along_axis`` that are out of
        range raise :class:`~tracejit.core.errors.BoundsError` with the user's line also where they
        are not known at trace time, unless a `mode` says what else to do.  Otherwise such reads are
        clamped and such writes left out.  What ``where`` and ``vmap`` of ``cond`` compute in vain
        counts.  Jitted functions are traced anew; their calls, and each look at indices, are
        slower.  ``TRACEJIT_CHECK_BOUNDS=1``.
    cache_dir : str or Path, optional
        The folder where compiled code is kept between processes; ``""`` for nowhere.  It holds for
        the whole process as long as the block lasts.  ``TRACEJIT_CACHE_DIR``.

    Raises
    ------
    ValueError
        If `num_threads` is not positive, or `default_float` none of the two.

    Examples
    --------
    >>> import tracejit, tracejit.numpy as tnp
    >>> with tracejit.settings(debug_nans=True) as chosen:
    ...     y = tnp.log(tnp.ones(3))
    >>> chosen.debug_nans
    True
    """

    def __init__(
        self,
        *,
        num_threads: int | None = None,
        debug_nans: bool | None = None,
        default_float: Any = None,
        check_bounds: bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        log_compiles: bool | None = None,
        dtype_promotion: str | None = None,
        rank_promotion: str | None = None,
    ) -> None:
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"settings: num_threads must be at least 1; got {num_threads}")
        folder = None if cache_dir is None else os.fspath(cache_dir)
        kind = None if default_float is None else checked_float(default_float)
        given = {
            "num_threads": num_threads, "debug_nans": debug_nans, "check_bounds": check_bounds,
            "default_float": kind, "cache_dir": folder, "log_compiles": log_compiles,
            "dtype_promotion": _one_of("dtype_promotion", dtype_promotion, "standard", "strict"),
            "rank_promotion": _one_of("rank_promotion", rank_promotion, "allow", "warn", "raise"),
        }  # fmt: skip
        self._changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        self._open: list[contextlib.ExitStack] = []

    def _recreate_cm(self) -> settings:
        return settings(**self._changes)

    def __enter__(self) -> Settings:
        stack = contextlib.ExitStack()
        before, traced = current_settings(), traced_settings()
        if "num_threads" in self._changes:
            _use_threads(self._changes["num_threads"])
            stack.callback(_use_threads, before.num_threads)
        if "cache_dir" in self._changes:
            stack.callback(choose_cache_dir, choose_cache_dir(self._changes["cache_dir"]))
        stack.callback(leave_settings, scope_settings(self._changes))
        now = current_settings()
        if traced_settings() != traced:  # calls that are quick belong to other settings
            stack.enter_context(interpreting(PassThrough(current_interpreter())))
        if now.debug_nans and not before.debug_nans:
            stack.enter_context(interpreting(NanChecks(current_interpreter())))
        self._open.append(stack)
        return now

    def __exit__(self, *exc: object) -> None:
        self._open.pop().close()


def _one_of(name: str, value: str | None, *allowed: str) -> str | None:
    if value is not None and value not in allowed:
        raise ValueError(f"settings: {name} must be one of {', '.join(allowed)}; got {value!r}")
    return value


def log_compiles(new_val: bool = True) -> settings:
    """Within the block, log each compilation as a warning of the logger ``tracejit``."""
    return settings(log_compiles=new_val)


def numpy_dtype_promotion(new_val: str = "standard") -> settings:
    """Within the block, let arrays of different dtypes meet (``"standard"``) or not (``"strict"``).

    Under ``"strict"`` operands of different dtypes raise DTypeError; Python scalars may meet all.
    """
    return settings(dtype_promotion=new_val)


def numpy_rank_promotion(new_val: str = "allow") -> settings:
    """Within the block, let arrays of different ranks broadcast (``"allow"``), or ``"warn"``.

    Under ``"raise"`` they raise ShapeError.  Scalars may meet all.
    """
    return settings(rank_promotion=new_val)


def _use_threads(n: int) -> None:
    get_backend(HOST_BACKEND).set_num_threads(n)


def follow_environment() -> None:
    """Do what the environment asks of the thread that imports tracejit."""
    if current_settings().debug_nans:
        current.set(NanChecks(bottom()))
