"""Counting the bytes that compiled code moves, by what its loops read and write.

Of a buffer a kernel moves the elements that it reads, each once, and those that it writes.  How
many it reads is bounded by the lengths of the loops on which an access depends, over all accesses,
and by the size of the buffer, whichever is less.  What a cache keeps between two kernels is moved
all the same: the bytes of a program are those of a machine whose caches hold only what one kernel
uses again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracejit.ir.kernel import For, Kernel, Recurrence, Reduce, Store, expressions
from tracejit.ir.plan import Callback, Copy, Launch, LibraryCall, Plan, Step
from tracejit.ir.scalar import Expr, IndexVar, Loop, walk
from tracejit.tools.operations import summed

__all__ = ["footprint", "kernel_bytes", "plan_bytes", "step_bytes"]


def plan_bytes(plan: Plan, steps: Sequence[Step] | None = None) -> int:
    """Return the bytes that one call of a Plan moves.

    A loop of unknown length counts one trip, and of branches the one that moves most counts.

    Parameters
    ----------
    plan : Plan
        What is run.
    steps : sequence of Step, optional
        The steps to count; all by default.
    """
    return summed(plan.steps if steps is None else steps, lambda step: step_bytes(plan, step))


def step_bytes(plan: Plan, step: Step) -> int:
    """Return the bytes that one run of a step moves; of a loop or branch, none of its own."""
    if isinstance(step, Launch):
        capacities = [_size(plan, n) for n in step.slots]
        return kernel_bytes(plan.kernels[step.kernel], step.sizes, capacities)
    if isinstance(step, LibraryCall):
        return sum(_size(plan, n) for n in step.slots)
    if isinstance(step, Callback):
        return sum(_size(plan, n) for n in (*step.inputs, *step.outputs))
    if isinstance(step, Copy):
        source, target = plan.slots[step.source], plan.slots[step.target]
        fixed = source.kind != "pointer" and source[:2] == target[:2]
        return 0 if fixed else 2 * step.nbytes
    return 0


def footprint(plan: Plan) -> int:
    """Return the bytes of all that one call touches: arguments, results and scratch."""
    arrays = (*plan.inputs, *plan.outputs)
    return sum(a.nbytes for a in arrays) + plan.arena_bytes


def _size(plan: Plan, slot: int) -> int:
    return plan.slots[slot].aval.nbytes


def kernel_bytes(kernel: Kernel, sizes: Sequence[int], capacities: Sequence[int]) -> int:
    """Return the bytes that one run of a kernel moves.

    Parameters
    ----------
    kernel : Kernel
        What is run.
    sizes : sequence of int
        Its integer arguments.
    capacities : sequence of int
        Bytes of each of its buffers.
    """
    count = _Counter(kernel, sizes)
    count.body(kernel.body, {})
    items = [b.dtype.itemsize for b in kernel.buffers]
    return sum(
        min(n * item, most)
        for counted in (count.read, count.written)
        for n, item, most in zip(counted, items, capacities, strict=True)
    )


class _Counter:
    def __init__(self, kernel: Kernel, sizes: Sequence[int]) -> None:
        self.sizes = sizes
        self.read = [0] * len(kernel.buffers)
        self.written = [0] * len(kernel.buffers)

    def body(self, statements: Iterable[Any], lengths: Mapping[IndexVar, int]) -> None:
        """Count statements within loops of these lengths."""
        for st in statements:
            if isinstance(st, For):
                self.body(st.body, self._within((st.loop,), lengths))
                continue
            inner = self._within(st.loops, lengths) if isinstance(st, Reduce) else lengths
            if isinstance(st, Recurrence):
                inner = self._within((st.loop,), lengths)
                self.body(st.body, inner)
            vary = _variables(expressions(st))
            for e, on in vary.items():
                if e.op == "load":
                    self.read[e.attr] += _trips(on, inner)
            if isinstance(st, Store):
                self.written[st.buffer] += _trips(vary[st.offset], inner)

    def _within(
        self, loops: Iterable[Loop], lengths: Mapping[IndexVar, int]
    ) -> dict[IndexVar, int]:
        own = {loop.var: self._number(loop.hi) - self._number(loop.lo) for loop in loops}
        return {**lengths, **{var: max(n, 0) for var, n in own.items()}}

    def _number(self, n: Any) -> int:
        return n if isinstance(n, int) else self.sizes[n.number]


def _variables(roots: Iterable[Expr]) -> dict[Expr, frozenset[IndexVar]]:
    """Return for each expression below `roots` the loop variables on which it depends."""
    found: dict[Expr, frozenset[IndexVar]] = {}
    for e in walk(roots):
        own = frozenset((e.attr,)) if e.op == "index" else frozenset()
        found[e] = own.union(*(found[a] for a in e.args))
    return found


def _trips(on: Iterable[IndexVar], lengths: Mapping[IndexVar, int]) -> int:
    return 0 if 0 in lengths.values() else math.prod(lengths[v] for v in on)
