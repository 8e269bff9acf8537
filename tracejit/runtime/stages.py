"""Ahead of time: a function lowered, looked at stage by stage, compiled, called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.compiler.pipeline import prepare
from tracejit.core.array import Array, check_kept
from tracejit.core.devices import device_at
from tracejit.core.errors import DeviceError, StructureError
from tracejit.core.pytree import PyTreeDef, tree_flatten
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.runtime.donation import is_alone, run_donating
from tracejit.runtime.executor import CompiledProgram, compiled
from tracejit.runtime.placement import HOST_BACKEND, adopted, buffer_at
from tracejit.transforms.abstract import ShapeDtypeStruct

__all__ = ["Compiled", "Lowered"]

STAGES = ("program", "simplified", "loops", "plan", "llvm", "cuda", "asm")


class Lowered:
    """A function staged for one signature.

    Attributes
    ----------
    program : Program
        The staged function.
    """

    def __init__(
        self,
        program: Program,
        in_treedef: PyTreeDef,
        out_treedef: PyTreeDef,
        avals: Sequence[ShapedArray],
        place: str | None = None,
        backend: str = HOST_BACKEND,
        donated: Sequence[bool] = (),
    ) -> None:
        self.program = program
        self._in_treedef = in_treedef
        self._out_treedef = out_treedef
        self._avals = tuple(avals)
        self._place = place
        self._backend = backend
        self._donated = tuple(donated)

    @property
    def out_info(self) -> Any:
        """The shapes and dtypes of the result, in its structure."""
        return self._out_treedef.unflatten(
            [ShapeDtypeStruct(a.shape, a.dtype) for a in self.program.out_avals]
        )

    def ready(self) -> CompiledProgram:
        """Return the Program compiled for its device."""
        return compiled(self.program, self._place, self._donated, self._backend)

    def compile(self) -> Compiled:
        """Return the compiled function of this signature."""
        return Compiled(
            self.ready(), self._in_treedef, self._out_treedef, self._avals, self
        )

    def text(self, stage: str = "program") -> str:
        """Return the function as it is after a stage.

        Parameters
        ----------
        stage : {"program", "simplified", "loops", "plan", "llvm", "cuda", "asm"}
            The traced Program; the same simplified; the kernels as loops; the steps that run them;
            the code of the backend, LLVM's on the host and CUDA C++ on a GPU; machine code.

        Raises
        ------
        ValueError
            If there is no such stage.
        """
        if stage == "program":
            return str(self.program)
        if stage == "simplified":
            return str(prepare(self.program))
        if stage not in STAGES:
            raise ValueError(f"there is no stage {stage!r}; choose one of {', '.join(STAGES)}")
        ready = self.ready()
        if stage == "loops":
            return "\n\n".join(k.text() for k in ready.plan.kernels)
        if stage == "plan":
            return "\n".join(repr(step) for step in ready.plan.steps)
        return ready.executable.text(stage)

    as_text = text


class Compiled:
    """A function compiled for one signature; calls with another raise."""

    def __init__(
        self,
        ready: CompiledProgram,
        in_treedef: PyTreeDef,
        out_treedef: PyTreeDef,
        avals: Sequence[ShapedArray],
        lowered: Lowered,
    ) -> None:
        self._ready = ready
        self._in_treedef = in_treedef
        self._out_treedef = out_treedef
        self._avals = tuple(avals)
        self._lowered = lowered

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on dynamic arguments of the compiled signature."""
        leaves, treedef = tree_flatten((args, kwargs))
        if treedef is not self._in_treedef:
            raise StructureError(
                f"this was compiled for arguments of structure {self._in_treedef}; got {treedef}"
            )
        place = self._ready.place
        for n, (x, aval) in enumerate(zip(leaves, self._avals, strict=True)):
            leaves[n] = x = adopted(x)
            got = get_aval(x)
            if type(x) is Array and x.aval.device not in (None, place):
                check_kept(x)
                raise DeviceError(
                    f"this was compiled for {device_at(place)}; got an array on {x.aval.device}"
                )
            if got.shape != aval.shape or got.dtype != aval.dtype:
                raise StructureError(f"this was compiled for {aval!r}; got {got!r}")
        buffers, given = [], []
        donated = self._ready.donated or (False,) * len(leaves)
        for x, aval, d in zip(leaves, self._avals, donated, strict=True):
            here = isinstance(x, Array) and x.aval.device == place
            give = d and here and is_alone(x)
            buf = buffer_at(x, aval, place)
            if give:
                given.append(x)
            elif d and (here or place is None or not aval.shape):
                buf = self._ready.copy(buf)  # others read it
            buffers.append(buf)
        out = run_donating(self._ready, buffers, given, self._ready.program.name)
        return self._out_treedef.unflatten(out)

    def text(self, stage: str | None = None) -> str:
        """As :meth:`Lowered.text`; by default the code of the backend."""
        stage = stage or ("llvm" if self._ready.place is None else self._ready.backend.name)
        return self._lowered.text(stage)
