"""What is run for a library call: native functions, one after another.

A :class:`LibrarySteps` is what :class:`tracejit.ir.plan.LibraryCall` becomes: launches of functions
with the signature of a kernel, and scratch memory that they share, whose content is of no matter
before and after.  Functions are named by who writes their text, so that it is written, and looked
for in caches, once a process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["SCRATCH", "LibraryFunction", "LibraryStep", "LibrarySteps", "aligned"]

SCRATCH = -1
"""Stands for scratch memory among the buffers of a step."""


class LibraryFunction(NamedTuple):
    """A native function.

    Attributes
    ----------
    write : callable
        Returns the text of a module.
    arguments : tuple
        What it is called with; hashable.
    name : str
        Of a function of the module.
    symbols : callable, optional
        Returns addresses of what the module calls.
    brief : bool
        Whether its code should be generated quickly, which may cost a tenth of its speed.
    """

    write: Callable[..., str]
    arguments: tuple[Any, ...]
    name: str
    symbols: Callable[[], dict[str, int]] | None = None
    brief: bool = False


class LibraryStep(NamedTuple):
    """One launch.

    Attributes
    ----------
    function : LibraryFunction
        Has the signature of a kernel.
    buffers : tuple of int
        Positions of slots in the call, or :data:`SCRATCH`.
    sizes : tuple of int
        Its integer arguments.
    rows : int
        It is called for rows ``0 .. rows-1``, or in parts of these.
    cost : float
        Estimated nanoseconds on one core.
    shared : bool
        Whether threads may share the rows.
    floats : array or None
        Its floating-point arguments, of any dtype.
    """

    function: LibraryFunction
    buffers: tuple[int, ...]
    sizes: tuple[int, ...]
    rows: int
    cost: float
    shared: bool = True
    floats: np.ndarray[Any, Any] | None = None


class LibrarySteps(NamedTuple):
    """All launches of a library call, and bytes of scratch memory."""

    steps: tuple[LibraryStep, ...]
    scratch_bytes: int = 0


def aligned(nbytes: int) -> int:
    """Return `nbytes`, rounded up to where the next part of scratch memory may start."""
    return -(-nbytes // 64) * 64
