"""Counting the scalar operations of compiled code, recomputation included.

An operation counts one, be it an addition or a sine; loads, stores, conversions and the arithmetic
of offsets count nothing.  As backends do, an expression is counted once where several statements of
a loop's body use it, and outside of the loops on whose variables it does not depend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tracejit.ir.kernel import For, Kernel, Recurrence, Reduce, Store
from tracejit.ir.plan import Branch, Launch, LibraryCall, Plan, Repeat, Step, While
from tracejit.ir.scalar import COSTS, Expr, IndexVar

__all__ = ["kernel_operations", "library_operations", "plan_operations", "summed"]

FREE = frozenset(("const", "index", "affine", "float", "ref", "load", "convert", "bitcast"))


def plan_operations(plan: Plan, steps: Sequence[Step] | None = None) -> int:
    """Return the operations of one call of a Plan.

    A loop of unknown length counts one trip, and of branches the longest counts; callbacks and
    library calls other than products of matrices count nothing.

    Parameters
    ----------
    plan : Plan
        What is run.
    steps : sequence of Step, optional
        The steps to count; all by default.
    """

    def own(step: Step) -> int:
        if isinstance(step, Launch):
            return kernel_operations(plan.kernels[step.kernel], step.sizes)
        return library_operations(step) if isinstance(step, LibraryCall) else 0

    return summed(plan.steps if steps is None else steps, own)


def summed(steps: Sequence[Step], own: Callable[[Step], int]) -> int:
    """Return the sum of what each step does itself, through loops and branches.

    Parameters
    ----------
    steps : sequence of Step
        A loop of unknown length counts one trip, and of branches the one with the greatest sum.
    own : callable
        Of a step that is neither.
    """
    total = 0
    for step in steps:
        if isinstance(step, Repeat):
            total += step.count * summed(step.body, own)
        elif isinstance(step, While):
            total += summed(step.condition, own) + summed(step.body, own)
        elif isinstance(step, Branch):
            total += max(summed(branch, own) for branch in step.branches)
        else:
            total += own(step)
    return total


def library_operations(step: LibraryCall) -> int:
    """Return the operations of a library call on real numbers, 0 if they are not known."""
    p = step.params
    if step.name == "matmul":
        return 2 * math.prod(p[:4])
    if step.name == "cholesky":
        return p[0] * p[1] ** 3 // 3
    if step.name == "lu":
        batch, m, n, k = *p[:3], min(p[1:3])
        return 2 * batch * (m * n * k - (m + n) * k * k // 2 + k**3 // 3)
    if step.name == "csr_matmul":
        return 2 * p[2] * p[3]
    if step.name in ("lu_solve", "triangular_solve"):
        return (2 if step.name == "lu_solve" else 1) * p[0] * p[1] ** 2 * p[2]
    return 0


def kernel_operations(kernel: Kernel, sizes: Sequence[int]) -> int:
    """Return the operations of one run of a kernel whose sizes are given."""
    counter = _Counter(sizes)
    counter.body(kernel.body)
    return counter.total


class _Counter:
    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes
        self.total = 0
        self.trips = [1]
        self.known: list[dict[Expr, int]] = [{}]
        self.depths: dict[IndexVar, int] = {}

    def enter(self, loop: Any) -> None:
        length = self._number(loop.hi) - self._number(loop.lo)
        self.trips.append(self.trips[-1] * max(length, 0))
        self.known.append({})
        self.depths[loop.var] = len(self.trips) - 1

    def leave(self) -> None:
        del self.trips[-1], self.known[-1]

    def _number(self, n: Any) -> int:
        return n if isinstance(n, int) else self.sizes[n.number]

    def body(self, statements: Iterable[Any]) -> None:
        for st in statements:
            if isinstance(st, For):
                self.enter(st.loop)
                self.body(st.body)
                self.leave()
            elif isinstance(st, Reduce):
                for loop in st.loops:
                    self.enter(loop)
                for a in st.accumulators:
                    self.place(a.value)
                    self.total += self.trips[-1]
                for _ in st.loops:
                    self.leave()
            elif isinstance(st, Recurrence):
                for c in st.carried:
                    self.place(c.initial)
                self.enter(st.loop)
                if st.condition is not None:
                    self.place(st.condition)
                self.body(st.body)
                for c in st.carried:
                    self.place(c.following)
                self.leave()
            else:
                assert isinstance(st, Store)
                self.place(st.value)

    def place(self, root: Expr) -> None:
        """Count what is new below `root`, each expression in the outermost loop that it can."""
        stack = [root]
        while stack:
            e = stack[-1]
            waiting = [a for a in e.args if self.found(a) is None]
            if waiting and self.found(e) is None:
                stack.extend(waiting)
                continue
            stack.pop()
            if self.found(e) is not None:
                continue
            if e.op == "index":
                depth = self.depths[e.attr]
            elif e.op == "ref":
                depth = len(self.trips) - 1
            else:
                depth = max((self.found(a) or 0 for a in e.args), default=0)
            self.known[depth][e] = depth
            if e.op not in FREE and e.op in COSTS:
                self.total += self.trips[depth]

    def found(self, e: Expr) -> int | None:
        """Return the depth at which `e` was counted, if it was."""
        for known in reversed(self.known):
            if e in known:
                return known[e]
        return None
