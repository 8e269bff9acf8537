"""``explain``: what the compiler made of a function, in the user's lines.

For each native step: which lines were fused into it, the bytes it must move and the operations it
does; which primitives run by a callback to NumPy and why; what is stored; how much memory a call
takes; what was compiled and what was found in caches; and, if asked, how its time compares with
that of memory.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.errors import StructureError
from tracejit.core.source import describe
from tracejit.ir.plan import (
    Branch,
    Callback,
    Launch,
    LibraryCall,
    Note,
    Plan,
    Repeat,
    Step,
    While,
    all_steps,
)
from tracejit.ir.program import Source
from tracejit.runtime.devices import block_until_ready, counters
from tracejit.runtime.jit import JitFunction, jit
from tracejit.tools.explanation import Explanation, StepReport
from tracejit.tools.operations import kernel_operations, library_operations, plan_operations
from tracejit.tools.roofline import triad_bandwidth
from tracejit.tools.traffic import footprint, plan_bytes, step_bytes

__all__ = ["Explanation", "StepReport", "explain"]

ROUNDS = 5
SAMPLE = 0.02
"""Seconds of a sample; the median of the rounds is taken."""


def explain(fun: Callable[..., Any], *, timed: bool = False) -> Callable[..., Explanation]:
    """Return a function that explains how `fun` is compiled for its arguments.

    Parameters
    ----------
    fun : callable
        A function of arrays, jitted or not.
    timed : bool
        Whether to run it too: some calls are timed, and once a process a triad over as much
        memory, so that the share of the roofline is known.

    Returns
    -------
    callable
        Called with arguments, or with ShapeDtypeStructs if not `timed`, it compiles `fun` for them
        and returns an :class:`Explanation`.

    Raises
    ------
    StructureError
        If `fun` is not callable, or is to be timed and gives arguments away.

    Examples
    --------
    >>> import numpy as np, tracejit.numpy as tnp
    >>> from tracejit.tools.explain import explain
    >>> found = explain(lambda x: tnp.sum(tnp.sin(x) * 2.0))(np.ones(1000))
    >>> found.kernels, found.callbacks, found.operations
    (1, 0, 3000)
    """
    if not callable(fun):
        raise StructureError(f"explain needs a function; got {type(fun).__name__}")
    jitted = fun if isinstance(fun, JitFunction) else jit(fun)

    def explained(*args: Any, **kwargs: Any) -> Explanation:
        before = counters()
        ready = jitted.lower(*args, **kwargs).ready()
        after = counters()
        plan = ready.plan
        seconds = bandwidth = None
        if timed:
            if any(ready.donated):
                raise StructureError(
                    f"explain: {plan.name} gives arguments away, so it cannot be timed by calling "
                    "it again and again; explain the function without donate_argnums"
                )
            seconds = _seconds(lambda: block_until_ready(jitted(*args, **kwargs)))
            if ready.backend.platform == "cpu":
                bandwidth = triad_bandwidth(footprint(plan))
        reports: list[StepReport] = []
        _report(plan, plan.steps, 0, 1, reports)
        return Explanation(
            name=plan.name,
            steps=tuple(reports),
            notes=tuple(dict.fromkeys(map(_said, plan.notes))),
            kernels=len(plan.kernels),
            platform=ready.backend.platform,
            callbacks=sum(r.kind == "callback" for r in reports),
            operations=plan_operations(plan),
            bytes=plan_bytes(plan),
            arena_bytes=plan.arena_bytes,
            argument_bytes=sum(a.nbytes for a in plan.inputs),
            output_bytes=sum(a.nbytes for a in plan.outputs),
            counters=counters(),
            compiling={name: after[name] - before.get(name, 0) for name in after},
            bounded=not any(isinstance(step, While) for step in all_steps(plan.steps)),
            seconds=seconds,
            bandwidth=bandwidth,
        )

    return explained


def _seconds(call: Callable[[], Any]) -> float:
    """Return the time of a call: the median over rounds of as many as fill a sample."""
    call()
    samples = []
    for _ in range(ROUNDS):
        calls = 0
        began = time.perf_counter()
        while (taken := time.perf_counter() - began) < SAMPLE or not calls:
            call()
            calls += 1
        samples.append(taken / calls)
    return statistics.median(samples)


def _said(note: Note) -> str:
    return " | ".join((note.text, *_lines([note.source])))


def _report(
    plan: Plan, steps: Sequence[Step], depth: int, runs: int, out: list[StepReport]
) -> None:
    def add(kind: str, what: str, operations: int, sources: Sequence[Source | None]) -> None:
        moved = step_bytes(plan, step)
        out.append(StepReport(kind, what, depth, moved, operations, _lines(sources), runs))

    for step in steps:
        if isinstance(step, Launch):
            operations = kernel_operations(plan.kernels[step.kernel], step.sizes)
            add("kernel", str(step.kernel), operations, step.sources)
        elif isinstance(step, LibraryCall):
            add("library", step.name, library_operations(step), [step.source])
        elif isinstance(step, Callback):
            add("callback", step.name, 0, [step.source])
        elif isinstance(step, Repeat):
            _report(plan, step.body, depth + 1, runs * step.count, out)
        elif isinstance(step, While):
            _report(plan, step.condition, depth + 1, runs, out)
            _report(plan, step.body, depth + 1, runs, out)
        elif isinstance(step, Branch):
            for branch in step.branches:
                _report(plan, branch, depth + 1, runs, out)


def _lines(sources: Sequence[Source | None]) -> tuple[str, ...]:
    shown = (" | ".join(describe(s).split("\n    ")) for s in sources if s is not None)
    return tuple(dict.fromkeys(shown))
