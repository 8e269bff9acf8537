"""How a sweep is run: forward from snapshots, in ever shorter stretches, and back a step at a time.

A stretch from a snapshot to the state that is wanted is run forward once; on the way snapshots are
taken in the rows that are free, where the binomial schedule has them.  So every stretch ends with
its last state, and the rows of the states behind it are free again.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.control.flat_loops import while_flat
from tracejit.control.sweep import Parts, parts
from tracejit.control.tape import FREE, read_row, rows_of, with_row
from tracejit.control.treeverse import beta_table
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.ops._pointwise import add
from tracejit.ops.arithmetic import sub
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import and_, ge, gt, lt, max_, select
from tracejit.ops.reduction import argmax, argmin
from tracejit.ops.shape import broadcast_in_dim, reduce_sum
from tracejit.transforms.dce import dce
from tracejit.transforms.stage import evaluate, stage

__all__ = ["sweep_program"]

ZERO, ONE, TWO = np.int64(0), np.int64(1), np.int64(2)

_memo: weakref.WeakKeyDictionary[Program, dict[Any, Program]] = weakref.WeakKeyDictionary()


def sweep_program(avals: Sequence[ShapedArray], params: dict[str, Any]) -> Program:
    """Return the Program that a sweep runs; memoised by its backward program.

    Parameters
    ----------
    avals : sequence of ShapedArray
        Of its operands.
    params : dict
        Its params.
    """
    memo = _memo.setdefault(params["backward"], {})
    key = (tuple(avals), *params.items())
    found = memo.get(key)
    if found is None:
        run = _Reversal(params)
        found = memo[key] = dce(stage(run, [a.strong() for a in avals], "sweep"))
    return found


class _Reversal:
    """A sweep as a function of its operands."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.length: int | None = params["length"]
        self.forward: Program = params["forward"]
        self.backward: Program = params["backward"]
        self.n_state: int = params["n_state"]
        self.n_carry: int = params["n_carry"]
        rows = params["snapshots"]
        self.snapshots: int = rows if self.length is None else max(min(rows, self.length), 1)

    def __call__(self, *operands: Any) -> list[Any]:
        self.p = p = parts(operands, self.params)
        stacked = self.backward.out_avals[self.n_carry :]
        own: list[Any]
        ys = rows_of(stacked, self.length or 0)
        results = [*map(_strong, p.carry), *ys]
        if self.n_state:
            start, positions, rows, state = self._tape(p)
        else:  # nothing is kept and nothing computed again
            start, positions, rows, state = sub(p.count, ONE), None, [], []
        own = [] if positions is None else [start, positions, *state, *rows]
        n_own = len(own)

        def trip(k: Any, *values: Any) -> list[Any]:
            own = list(values[:n_own])
            state: Sequence[Any] = ()
            if own:
                own = self._advanced(k, own)
                state = own[2 : 2 + self.n_state]
            results = self._back(k, state, values[n_own:])
            return [sub(k, ONE), *(self._restored(own, k) if own else []), *results]

        found = while_flat(
            lambda k, *_: ge(k, ZERO), trip, [sub(p.count, ONE), *own, *results]
        )
        return found[1 + n_own :]

    def _tape(self, p: Parts) -> tuple[Any, Any, list[Any], list[Any]]:
        """Return the number of the state that is at hand, positions, rows, and that state."""
        n = self.n_state
        if p.tape:
            start, positions, *rest = p.tape
            return start, positions, list(rest[:n]), list(rest[n:])
        first = np.full(self.snapshots, FREE)
        first[0] = 0
        state = list(map(_strong, p.state))
        rows = rows_of([get_aval(x) for x in state], self.snapshots)
        kept = [with_row(r, ZERO, x) for r, x in zip(rows, state, strict=True)]
        return ZERO, first, kept, state

    def _place(self, k: Any) -> Any:
        """Return where the slice of step `k` lies."""
        if not self.params["reverse"]:
            return k
        assert self.length is not None
        return sub(np.int64(self.length - 1), k)

    def _inputs(self, k: Any, state: Sequence[Any]) -> list[Any]:
        p = self.p
        return [k, *p.consts, *state, *(read_row(x, self._place(k)) for x in p.xs)]

    def _back(self, k: Any, state: Sequence[Any], results: Sequence[Any]) -> list[Any]:
        """Do the step backward at state `k`."""
        carry, ys = results[: self.n_carry], results[self.n_carry :]
        slices = [read_row(z, self._place(k)) for z in self.p.zs]
        outs = evaluate(self.backward, [*self._inputs(k, state), *carry, *slices])
        stacked = zip(ys, outs[self.n_carry :], strict=True)
        return [*outs[: self.n_carry], *(with_row(y, self._place(k), x) for y, x in stacked)]

    def _run(self, j: Any, state: Sequence[Any], end: Any) -> list[Any]:
        """Run forward from state `j` to state `end`."""
        return while_flat(
            lambda j, *_: lt(j, end),
            lambda j, *state: [add(j, ONE), *evaluate(self.forward, self._inputs(j, state))],
            [j, *state],
        )[1:]

    def _advanced(self, k: Any, values: Sequence[Any]) -> list[Any]:
        """Run forward to state `k`, taking snapshots in free rows."""
        n = self.n_state

        def far(j: Any, positions: Any, *_: Any) -> Any:
            # A snapshot of the state before the last one, or of that itself, would save nothing.
            return and_(gt(sub(k, j), ONE), lt(_least(positions), ZERO))

        def stretch(j: Any, positions: Any, *values: Any) -> list[Any]:
            rows = values[n:]
            end = add(j, self._split(add(sub(k, j), ONE), add(_free(positions), ONE)))
            state = self._run(j, values[:n], end)
            row = argmin(positions, 0)
            return [
                end,
                with_row(positions, row, end),
                *state,
                *(with_row(r, row, x) for r, x in zip(rows, state, strict=True)),
            ]

        j, positions, *rest = while_flat(far, stretch, values)
        return [k, positions, *self._run(j, rest[:n], k), *rest[n:]]

    def _split(self, length: Any, snapshots: Any) -> Any:
        """Return how far from the first of `length` states the next snapshot is best taken."""
        table = beta_table(self.snapshots)
        columns = table.shape[1]
        here = read_row(table, snapshots)
        order = reduce_sum(
            convert_element_type(lt(here, _wide(length, columns)), "int64"), (0,)
        )
        shortest = select(
            gt(order, ONE), read_row(here, max_(sub(order, TWO), ZERO)), ONE
        )
        beyond = read_row(read_row(table, sub(snapshots, ONE)), order)
        return max_(shortest, sub(length, beyond))

    def _restored(self, values: Sequence[Any], k: Any) -> list[Any]:
        """Free the rows from state `k` on, and return to the last state before."""
        n = self.n_state
        _, positions, *rest = values
        rows = rest[n:]
        behind = ge(positions, _wide(k, self.snapshots))
        positions = select(behind, _wide(FREE, self.snapshots), positions)
        row = argmax(positions, 0)
        return [read_row(positions, row), positions, *(read_row(r, row) for r in rows), *rows]


def _strong(x: Any) -> Any:
    aval = get_aval(x)
    return convert_element_type(x, aval.dtype) if aval.weak else x


def _wide(x: Any, count: int) -> Any:
    return broadcast_in_dim(x, (count,), ())


def _least(positions: Any) -> Any:
    return read_row(positions, argmin(positions, 0))


def _free(positions: Any) -> Any:
    """Return how many rows are free."""
    (count,) = get_aval(positions).shape
    return reduce_sum(convert_element_type(lt(positions, _wide(ZERO, count)), "int64"), (0,))


