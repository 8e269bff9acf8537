"""``explain``: what the compiler made of a function, in the user's lines.

For each native step: which lines were fused into it, the bytes it must move and the operations it
does; which primitives run by a callback to NumPy and why; what is stored; how much memory a call
takes; what was compiled and what was found in caches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tracejit.core.errors import StructureError
from tracejit.core.source import describe
from tracejit.ir.plan import Branch, Callback, Launch, LibraryCall, Plan, Repeat, Step, While
from tracejit.ir.program import Source
from tracejit.runtime.devices import counters
from tracejit.runtime.jit import JitFunction, jit
from tracejit.tools.operations import kernel_operations, library_operations, plan_operations

__all__ = ["Explanation", "StepReport", "explain"]


@dataclass(frozen=True)
class StepReport:
    """One step of a compiled function.

    Attributes
    ----------
    kind : {"kernel", "library", "callback"}
        What runs it.
    what : str
        The kernel's number, the routine, or the primitive.
    depth : int
        How many loops and branches it stands in.
    bytes : int
        Bytes of the arrays it reads and writes, each once.
    operations : int
        Scalar operations it does, about.
    lines : tuple of str
        The user lines that were fused into it.
    """

    kind: str
    what: str
    depth: int
    bytes: int
    operations: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """What became of a function; printing it shows a table.

    Attributes
    ----------
    name : str
        The function.
    steps : tuple of StepReport
        In order.
    notes : tuple of str
        What was stored or not fused, and why.
    kernels : int
        Different kernels.
    platform : {"cpu", "cuda"}
        Where it runs.
    callbacks : int
        Steps that call back to NumPy; on a GPU the array library of the device, CuPy.
    operations : int
        Scalar operations of one call, recomputation included; see
        :mod:`tracejit.tools.operations` for what counts.
    arena_bytes, argument_bytes, output_bytes : int
        Memory of one call: scratch, arguments, results.
    counters : dict of str to int
        Of the whole process: kernels compiled, found in memory, found on disk, callbacks made.
    """

    name: str
    steps: tuple[StepReport, ...]
    notes: tuple[str, ...]
    kernels: int
    platform: str
    callbacks: int
    operations: int
    arena_bytes: int
    argument_bytes: int
    output_bytes: int
    counters: dict[str, int]

    def __str__(self) -> str:
        calls = "callbacks to NumPy" if self.platform == "cpu" else "calls of CuPy"
        lines = [
            f"{self.name}: {len(self.steps)} steps, {self.kernels} kernels, "
            f"{self.callbacks} {calls}, {self.operations:,} operations",
            f"memory of a call: arguments {_size(self.argument_bytes)}, results "
            f"{_size(self.output_bytes)}, scratch {_size(self.arena_bytes)}",
        ]
        for step in self.steps:
            indent = "  " * (step.depth + 1)
            lines.append(
                f"{indent}{step.kind} {step.what}: moves {_size(step.bytes)}, "
                f"{step.operations:,} operations"
            )
            lines += [f"{indent}    {line}" for line in step.lines]
        lines += [f"  note: {note}" for note in self.notes]
        lines.append("  " + ", ".join(f"{k} {v}" for k, v in self.counters.items()))
        return "\n".join(lines)

    __repr__ = __str__


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return ""


def explain(fun: Callable[..., Any]) -> Callable[..., Explanation]:
    """Return a function that explains how `fun` is compiled for its arguments.

    Parameters
    ----------
    fun : callable
        A function of arrays, jitted or not.

    Returns
    -------
    callable
        Called with arguments, or with ShapeDtypeStructs, it compiles `fun` for them, without
        running it, and returns an :class:`Explanation`.

    Raises
    ------
    StructureError
        If `fun` is not callable.
    """
    if not callable(fun):
        raise StructureError(f"explain needs a function; got {type(fun).__name__}")
    jitted = fun if isinstance(fun, JitFunction) else jit(fun)

    def explained(*args: Any, **kwargs: Any) -> Explanation:
        lowered = jitted.lower(*args, **kwargs)
        ready = lowered.ready()
        plan = ready.plan
        reports: list[StepReport] = []
        _report(plan, plan.steps, 0, reports)
        return Explanation(
            name=plan.name,
            steps=tuple(reports),
            notes=tuple(dict.fromkeys(plan.notes)),
            kernels=len(plan.kernels),
            platform=ready.backend.platform,
            callbacks=sum(r.kind == "callback" for r in reports),
            operations=plan_operations(plan),
            arena_bytes=plan.arena_bytes,
            argument_bytes=sum(a.nbytes for a in plan.inputs),
            output_bytes=sum(a.nbytes for a in plan.outputs),
            counters=counters(),
        )

    return explained


def _report(plan: Plan, steps: Sequence[Step], depth: int, out: list[StepReport]) -> None:
    def moved(slots: Sequence[int]) -> int:
        return sum(plan.slots[n].aval.nbytes for n in slots)

    for step in steps:
        if isinstance(step, Launch):
            kernel = plan.kernels[step.kernel]
            operations = kernel_operations(kernel, step.sizes)
            lines = _lines(step.sources)
            number = str(step.kernel)
            out.append(StepReport("kernel", number, depth, moved(step.slots), operations, lines))
        elif isinstance(step, LibraryCall):
            flops = library_operations(step)
            out.append(
                StepReport(
                    "library",
                    step.name,
                    depth,
                    moved(step.slots),
                    flops,
                    _lines([step.source]),
                )
            )
        elif isinstance(step, Callback):
            slots = (*step.inputs, *step.outputs)
            lines = _lines([step.source])
            out.append(StepReport("callback", step.name, depth, moved(slots), 0, lines))
        elif isinstance(step, Repeat):
            _report(plan, step.body, depth + 1, out)
        elif isinstance(step, While):
            _report(plan, step.condition, depth + 1, out)
            _report(plan, step.body, depth + 1, out)
        elif isinstance(step, Branch):
            for branch in step.branches:
                _report(plan, branch, depth + 1, out)


def _lines(sources: Sequence[Source | None]) -> tuple[str, ...]:
    shown = (" | ".join(describe(s).split("\n    ")) for s in sources if s is not None)
    return tuple(dict.fromkeys(shown))
