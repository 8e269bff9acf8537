"""Nests: the loops of one Reduce, and what its accumulators are in each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tracejit.ir.kernel import Reduce
from tracejit.ir.scalar import Expr, IndexVar, Loop, index, substitute
from tracejit_llvm.loops import Loops
from tracejit_llvm.reductions import BLOCK, Accumulated, Rows
from tracejit_llvm.widths import SHORT, cost_of, trips

__all__ = ["Nest", "NestOfRows"]

CHEAP = 12
"""Cost of a term up to which several are added at a time."""


class Nest:
    """The loops of one Reduce."""

    def __init__(
        self,
        emitter: Loops,
        s: Reduce,
        states: Sequence[Accumulated | Rows],
        along: bool,
        blocked: bool,
    ) -> None:
        self.emitter = emitter
        self.reduce = s
        self.states = states
        self.along = along
        self.blocked = blocked
        self.cost = cost_of((s,))
        # Each column of a cheap sum waits for its last addition: two rows are added at a time.
        # All columns are summed alike, however many are taken at a time.
        plain = all(a.index is None for a in s.accumulators)
        wide = not along and all(a.width for a in states)
        self.times = 2 if wide and plain and self.cost <= CHEAP else 1

    def outer(self, depth: int, carried: list[tuple[str, str]]) -> list[str]:
        """Emit the loops from `depth` on."""
        e = self.emitter
        loop = self.reduce.loops[depth]
        lo, hi = e.integer(loop.lo), e.integer(loop.hi)
        if depth == len(self.reduce.loops) - 1:
            return self._innermost(loop, lo, hi, carried)

        def body(iv: str, state: list[str]) -> list[str]:
            e.bind(loop.var, iv)
            kinds = [(kind, v) for (kind, _), v in zip(carried, state, strict=True)]
            return self.outer(depth + 1, kinds)

        below = 1
        for v in self.reduce.loops[depth + 1 :]:
            below *= trips(v.lo, v.hi) or SHORT
        return e.serial(lo, hi, body, carried, frozenset(), self.cost * below)

    def _slices(self, values: Sequence[str], inner: int | None = None) -> list[Sequence[str]]:
        """Cut a flat list into what belongs to each accumulator."""
        out, at = [], 0
        for a in self.states:
            if inner is None:
                count = len(a.carried())
            else:
                count = len(a.inner(self.emitter.code, [v for _, v in a.carried()], inner))
            out.append(values[at : at + count])
            at += count
        return out

    def run(
        self,
        outer: list[str],
        parts: int,
        loop: Callable[[Sequence[tuple[str, str]]], list[str]],
    ) -> list[str]:
        """Run an innermost loop from the outer state; return the outer state after it."""
        code = self.emitter.code
        slices = self._slices(outer)
        start = [
            c for a, own in zip(self.states, slices, strict=True) for c in a.inner(code, own, parts)
        ]
        done = loop(start)
        code = self.emitter.code
        return [
            v
            for a, before, after in zip(
                self.states, slices, self._slices(done, parts), strict=True
            )
            for v in a.leave(code, before, after)
        ]

    def _step(self, state: list[str], parts: int, mask: str | None) -> list[str]:
        """Emit one trip of the innermost loop."""
        e = self.emitter
        values = []
        for a in self.states:
            operands: list[tuple[str, ...]] = []
            for x in (a.of.value, a.of.index):
                if x is None:
                    operands.append(())
                    continue
                v = e.value(x)
                operands.append(e.spread(x, v) if e.lanes else v.names)
            values.append(operands)
        out: list[str] = []
        for a, own, (value, at) in zip(
            self.states, self._slices(state, parts), values, strict=True
        ):
            out += a.step(e.code, own, value, at, mask)
        return out

    def _innermost(
        self, loop: Loop, lo: int | str, hi: int | str, carried: list[tuple[str, str]]
    ) -> list[str]:
        e = self.emitter
        state = [v for _, v in carried]
        width = self.states[0].width if self.along else 1
        parts = self.states[0].parts
        stride = width * parts if self.along else 1

        def trip(iv: str, inner: list[str]) -> list[str]:
            if not self.along:
                e.bind(loop.var, iv)
                return self._step(inner, parts, None)
            e.with_lanes(loop.var, iv, width, parts, None)
            out = self._step(inner, parts, None)
            e.lanes = None
            return out

        def several(iv: str, inner: list[str]) -> list[str]:
            own = self._slices(inner, parts * self.times)
            new: list[list[str]] = []
            for n in range(self.times):
                here = iv if n == 0 else e.code.op(f"add i64 {iv}, {n}")
                piece = [v for x in own for v in x[n * parts : (n + 1) * parts]]
                new.append(e.straight(partial(trip, here, piece)))
            return [
                v
                for a in range(len(own))
                for x in new
                for v in x[a * parts : (a + 1) * parts]
            ]

        def rest(iv: str, inner: list[str]) -> list[str]:
            own = self._slices(inner, parts * self.times)
            new = trip(iv, [v for x in own for v in x[:parts]])
            return [
                v
                for a, x in enumerate(own)
                for v in (*new[a * parts : (a + 1) * parts], *x[parts:])
            ]

        def run(start: int | str, stop: int | str, outer: list[str]) -> list[str]:
            known = isinstance(start, int) and isinstance(stop, int)
            if self.times > 1 and not known:

                def both(kinds: Sequence[tuple[str, str]]) -> list[str]:
                    whole = e.split(start, stop, self.times)
                    state = e.loop(start, whole, self.times, several, kinds)
                    kinds = [(kind, v) for (kind, _), v in zip(kinds, state, strict=True)]
                    return e.loop(whole, stop, 1, rest, kinds)

                return self.run(outer, parts * self.times, both)
            if self.along:
                return self.run(
                    outer, parts, lambda kinds: e.loop(start, stop, stride, trip, kinds)
                )
            return self.run(
                outer,
                parts,
                lambda kinds: e.serial(start, stop, trip, kinds, frozenset(), self.cost),
            )

        middle = e.split(lo, hi, stride) if self.along else hi
        known = isinstance(lo, int) and isinstance(middle, int) and middle - lo <= BLOCK * 2
        if not self.blocked or known:
            state = run(lo, middle, state)
        else:
            block = max(BLOCK, stride)

            def one_block(start: str, outer: list[str]) -> list[str]:
                stop = e.code.op(f"add i64 {start}, {block}")
                stop = e.code.call("i64", "llvm.smin.i64", ("i64", stop), ("i64", str(middle)))
                return run(start, stop, outer)

            kinds = [(kind, v) for (kind, _), v in zip(carried, state, strict=True)]
            state = e.loop(lo, middle, block, one_block, kinds)
        if not self.along:
            return state

        return self._masked(loop, middle, hi, state)

    def _masked(
        self, loop: Loop, lo: int | str, hi: int | str, state: list[str]
    ) -> list[str]:
        """Emit trips of one vector, of which the last may have lanes beyond `hi`."""
        e = self.emitter
        width = self.states[0].width

        def trip(iv: str, inner: list[str]) -> list[str]:
            e.with_lanes(loop.var, iv, width, 1, hi)
            out = self._step(inner, 1, e.mask(0))
            e.lanes = None
            return out

        return self.run(state, 1, lambda kinds: e.loop(lo, hi, width, trip, kinds))


class NestOfRows(Nest):
    """The loops of one Reduce in each of several short rows, which are gone through side by side.

    Parameters
    ----------
    emitter, s, states
        As for a Nest.
    row : IndexVar
        The variable that numbers the rows.
    names : sequence of str
        Its value in each of them.
    """

    def __init__(
        self,
        emitter: Loops,
        s: Reduce,
        states: Sequence[Rows],
        row: IndexVar,
        names: Sequence[str],
    ) -> None:
        super().__init__(emitter, s, states, True, False)
        own = [IndexVar(f"{row.name}.{n}", row.extent) for n in range(len(names))]
        for v, name in zip(own, names, strict=True):
            emitter.bind(v, name)
        self.values = [_in_rows(a.of.value, row, own) for a in states]

    def _step(self, state: list[str], parts: int, mask: str | None) -> list[str]:
        e = self.emitter
        slices = self._slices(state, parts)
        out: list[list[str]] = [[] for _ in slices]
        for n in range(len(self.values[0])):
            for a, own, values, new in zip(self.states, slices, self.values, out, strict=True):
                v = e.value(values[n])
                operand = e.spread(values[n], v) if e.lanes else v.names
                new += a.step(e.code, own[n : n + 1], operand, (), mask)
        return [v for new in out for v in new]

    def _innermost(
        self, loop: Loop, lo: int | str, hi: int | str, carried: list[tuple[str, str]]
    ) -> list[str]:
        return self._masked(loop, lo, hi, [v for _, v in carried])


def _in_rows(value: Expr, row: IndexVar, own: Sequence[IndexVar]) -> list[Expr]:
    """Return an expression with each of `own` in place of `row`."""

    def placed(v: IndexVar, e: Expr) -> Expr | None:
        return index(v) if e.op == "index" and e.attr is row else None

    return [substitute([value], partial(placed, v))[0] for v in own]
