"""A Program made ready to run: compiled for a backend on first use, called on buffers."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.backend import Backend, Executable
from tracejit.compiler.pipeline import compile_program
from tracejit.core.array import Array, wrap
from tracejit.core.errors import ShapeError
from tracejit.ir.avals import ShapedArray
from tracejit.ir.plan import Plan
from tracejit.ir.program import Program
from tracejit.runtime.backends import get_backend

__all__ = ["CompiledProgram", "compiled", "to_buffer"]


class CompiledProgram:
    """A Program for one backend.

    Attributes
    ----------
    program : Program
        What it computes.
    plan : Plan
        How.
    executable : Executable
        The native form.
    """

    __slots__ = (
        "__weakref__", "_empty", "_outputs", "backend", "donated", "executable", "plan", "program",
    )  # fmt: skip

    program: Program
    plan: Plan
    executable: Executable

    def __init__(self, program: Program, backend: Backend, donated: Sequence[bool] = ()) -> None:
        self.program = program
        self.backend = backend
        self.donated = tuple(donated)
        self.plan = compile_program(program, backend.target(), donated)
        self.executable = backend.compile(self.plan)
        self._outputs = [
            (a, a.shape, a.dtype) for a in program.out_avals
        ]
        self._empty = backend.empty

    def __call__(self, buffers: Sequence[Any]) -> list[Array]:
        """Run on input buffers, which are read in place, and return new Arrays.

        Parameters
        ----------
        buffers : sequence of C-contiguous numpy.ndarray
            One an input of the Program, of its shape and dtype.
        """
        empty = self._empty
        if self.plan.aliases:
            outputs = [
                buffers[self.plan.aliases[n]] if n in self.plan.aliases else empty(shape, dtype)
                for n, (_, shape, dtype) in enumerate(self._outputs)
            ]
        else:
            outputs = [empty(shape, dtype) for _, shape, dtype in self._outputs]
        self.executable(buffers, outputs)
        return [wrap(o[0], buf) for o, buf in zip(self._outputs, outputs, strict=True)]


_cache: weakref.WeakKeyDictionary[Program, dict[Any, CompiledProgram]] = (
    weakref.WeakKeyDictionary()
)
_lock = threading.RLock()


def compiled(
    program: Program, backend: str = "llvm", donated: Sequence[bool] = ()
) -> CompiledProgram:
    """Return the compiled form of `program`, which is remembered as long as the Program lives.

    Two threads that ask for the same Program compile it once.
    """
    key = (backend, tuple(donated) if any(donated) else ())
    per_program = _cache.get(program)
    if per_program is not None:
        found = per_program.get(key)
        if found is not None:
            return found
    with _lock:
        per_program = _cache.setdefault(program, {})
        found = per_program.get(key)
        if found is None:
            found = per_program[key] = CompiledProgram(program, get_backend(backend), key[1])
        return found


def to_buffer(x: Any, aval: ShapedArray) -> Any:
    """Return the buffer of an operand: its own if it is contiguous, else a copy.

    Raises
    ------
    ShapeError
        If its shape is not that of `aval`.
    """
    if type(x) is Array:
        return x.buf
    array = np.asarray(x, dtype=aval.dtype, order="C")
    if array.shape != aval.shape:
        raise ShapeError(f"an argument must have shape {aval.shape}; got {array.shape}")
    if not array.flags.aligned:
        array = array.copy()
    return array
