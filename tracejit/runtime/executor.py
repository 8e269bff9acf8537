"""A Program made ready to run: compiled for a backend on first use, called on buffers."""

from __future__ import annotations

import dataclasses
import logging
import threading
import weakref
from collections.abc import Sequence
from typing import Any

from tracejit.backend import Backend, Executable
from tracejit.compiler.pipeline import compile_program
from tracejit.core.array import Array, check_kept, wrap
from tracejit.core.collector import collector_paused
from tracejit.core.devices import device_at
from tracejit.core.errors import DeviceError
from tracejit.core.settings import current_settings
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.plan import Plan
from tracejit.ir.program import Program
from tracejit.runtime.backends import get_backend
from tracejit.runtime.placement import HOST_BACKEND, backend_at, buffer_at
from tracejit.runtime.stored_plans import plan_of

__all__ = ["CompiledProgram", "compiled"]

_LOG = logging.getLogger("tracejit")


class CompiledProgram:
    """A Program for one device.

    Attributes
    ----------
    program : Program
        What it computes.
    place : str or None
        The device, as types have it.
    plan : Plan
        How.
    executable : Executable
        The native form.
    out_avals : tuple of ShapedArray
        The types of the results, with their device.
    """

    __slots__ = (
        "__weakref__", "_number", "_outputs", "backend", "donated", "executable", "out_avals",
        "place", "plan", "program",
    )  # fmt: skip

    program: Program
    plan: Plan
    executable: Executable
    out_avals: tuple[ShapedArray, ...]

    def __init__(
        self,
        program: Program,
        backend: Backend,
        number: int,
        place: str | None,
        donated: Sequence[bool],
    ) -> None:
        self.program = program
        self.backend = backend
        self.place = place
        self.donated = tuple(donated)
        if current_settings().log_compiles:
            types = ", ".join(map(str, program.in_avals))
            _LOG.warning("compiling %s(%s) for %s", program.name, types, device_at(place))
        target = backend.target()
        plan = plan_of(program, target, donated, lambda: compile_program(program, target, donated))
        if plan.constants:
            constants = tuple([_constant_at(c, place, program.name) for c in plan.constants])
            plan = dataclasses.replace(plan, constants=constants)
        self.plan = plan
        self.executable = backend.compile(plan, number)
        self.out_avals = tuple([a.at(place) for a in program.out_avals])
        self._outputs = [(a.shape, a.dtype) for a in program.out_avals]
        self._number = number

    def allocator(self, number: int) -> Any:
        """Return a function that returns a new buffer for an output."""
        shape, dtype = self._outputs[number]
        return self.backend.allocator(shape, dtype, self._number)

    def copy(self, buffer: Any) -> Any:
        """Return a copy of a buffer."""
        return self.backend.evaluate(lambda xp, x: [xp.array(x)], [buffer], self._number)[0]

    def run(self, buffers: Sequence[Any]) -> list[Any]:
        """Run on input buffers, which are read in place, and return new buffers.

        Parameters
        ----------
        buffers : sequence of C-contiguous buffers of the device
            One an input of the Program, of its shape and dtype.
        """
        empty, number, aliases = self.backend.empty, self._number, self.plan.aliases
        outputs = [
            buffers[aliases[n]] if n in aliases else empty(shape, dtype, number)
            for n, (shape, dtype) in enumerate(self._outputs)
        ]
        self.executable(buffers, outputs)
        return outputs

    def __call__(self, buffers: Sequence[Any]) -> list[Array]:
        """As :meth:`run`, but return Arrays."""
        return [wrap(a, buf) for a, buf in zip(self.out_avals, self.run(buffers), strict=True)]


def _constant_at(x: Any, place: str | None, name: str) -> Any:
    """Return the buffer of a constant; one of the host is uploaded, once a compilation."""
    if type(x) is Array and x.aval.device not in (None, place):
        check_kept(x)
        raise DeviceError(
            f"{name} runs on {device_at(place)} but captured an array on {x.aval.device}; "
            "pass it as an argument, or move it with tracejit.device_put"
        )
    return buffer_at(x, get_aval(x), place)


_cache: weakref.WeakKeyDictionary[Program, dict[Any, CompiledProgram]] = (
    weakref.WeakKeyDictionary()
)
_lock = threading.RLock()


def compiled(
    program: Program,
    place: str | None = None,
    donated: Sequence[bool] = (),
    backend: str = HOST_BACKEND,
) -> CompiledProgram:
    """Return the compiled form of `program`, which is remembered as long as the Program lives.

    Two threads that ask for the same Program compile it once.

    Parameters
    ----------
    program : Program
        What to compile.
    place : str, optional
        The device, the host by default.
    donated : sequence of bool
        Which inputs may be overwritten.
    backend : str
        What compiles for the host.
    """
    key = (backend if place is None else place, tuple(donated) if any(donated) else ())
    per_program = _cache.get(program)
    if per_program is not None:
        found = per_program.get(key)
        if found is not None:
            return found
    with _lock:
        per_program = _cache.setdefault(program, {})
        found = per_program.get(key)
        if found is None:
            made, number = (get_backend(backend), 0) if place is None else backend_at(place)
            with collector_paused():
                found = CompiledProgram(program, made, number, place, key[1])
            per_program[key] = found
        return found
