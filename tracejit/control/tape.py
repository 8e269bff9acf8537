"""The tape of a loop: which of its states are kept on the way forward, and where.

The states lie in rows of one array a leaf.  The last state before the end is always there, for the
way back starts from it.  A loop whose length is known keeps its snapshots where they are best for
it; one that goes on as long as a predicate holds decides anew at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tracejit.control.flat_loops import when
from tracejit.control.treeverse import beta_table, first_snapshots
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ops._pointwise import add
from tracejit.ops.arithmetic import quot, rem, sub
from tracejit.ops.constant import empty, iota
from tracejit.ops.indexing import scatter
from tracejit.ops.logical import and_, eq, le, lt, max_, not_, select
from tracejit.ops.reduction import argmin, reduce_min
from tracejit.ops.shape import broadcast_in_dim, full, reduce_sum, reshape
from tracejit.ops.slicing import concatenate, slice_
from tracejit.ops.windows import dynamic_slice

__all__ = [
    "Recording",
    "first_recording",
    "read_row",
    "record",
    "rows_of",
    "static_rows",
    "tape_of",
    "with_row",
]

FREE = np.int64(-1)
"""The position of a row that holds no state."""
_OFTEN = 64
"""A loop of more than so many steps a snapshot need not decide at every step."""


def rows_of(avals: Sequence[ShapedArray], count: int) -> list[Any]:
    """Return room for `count` states."""
    return [empty((count, *a.shape), a.dtype, number=n) for n, a in enumerate(avals)]


def read_row(rows: Any, number: Any) -> Any:
    """Return one state of one leaf."""
    shape = get_aval(rows).shape[1:]
    zeros = [np.int64(0)] * len(shape)
    return reshape(dynamic_slice(rows, [number, *zeros], (1, *shape)), shape)


def with_row(rows: Any, number: Any, x: Any) -> Any:
    """Return rows with one replaced; none if its number is negative.

    Compiled, only that row is touched, if the others need not be kept as they were.
    """
    return scatter(rows, reshape(number, (1,)), x, (0,), (0,), unique=True)


class Recording(NamedTuple):
    """A tape under way.

    Attributes
    ----------
    step : int64 scalar
        How many steps were done.
    positions : int64[snapshots]
        Which states are kept, in their order; `FREE` at the end where there are none yet.
    numbers : int64[snapshots]
        In which row each of them lies.
    rows : list
        The states, an array a leaf.
    """

    step: Any
    positions: Any
    numbers: Any
    rows: list[Any]

    @classmethod
    def of(cls, values: Sequence[Any]) -> Recording:
        """Return the recording that consists of these values."""
        step, positions, numbers, *rows = values
        return cls(step, positions, numbers, rows)

    def values(self) -> list[Any]:
        """Return what it consists of."""
        return [self.step, self.positions, self.numbers, *self.rows]


def first_recording(avals: Sequence[ShapedArray], snapshots: int) -> Recording:
    """Return a tape on which nothing is."""
    return Recording(
        np.int64(0),
        full((snapshots,), FREE, "int64"),
        iota((snapshots,), 0, "int64"),
        rows_of(avals, snapshots),
    )


def record(tape: Recording, state: Sequence[Any]) -> Recording:
    """Return the tape with the present state kept, if it is worth it, and one step further.

    Parameters
    ----------
    tape : Recording
        Of the steps before.
    state : sequence of arrays
        Before this step.
    """
    (snapshots,) = get_aval(tape.positions).shape
    step = tape.step
    few = lt(step, np.int64(snapshots))
    every = max_(quot(step, np.int64(_OFTEN * snapshots)), np.int64(1))
    due = and_(not_(few), eq(rem(step, every), np.int64(0)))
    place, pays = when(
        due, lambda place, pays: _given_up(tape.positions, step, snapshots), [step, few]
    )
    row = read_row(tape.numbers, place)
    kept = select(pays, row, FREE)
    wide = _stretched(pays, snapshots)
    return Recording(
        add(step, np.int64(1)),
        select(wide, _replaced(tape.positions, place, step, few), tape.positions),
        select(wide, _replaced(tape.numbers, place, row, few), tape.numbers),
        [with_row(r, kept, x) for r, x in zip(tape.rows, state, strict=True)],
    )


def _replaced(x: Any, place: Any, value: Any, few: Any) -> Any:
    """Return `x` without the element at `place`, and with `value` behind the others.

    While there are `few` states it is put at `place`.
    """
    (count,) = get_aval(x).shape
    index = iota((count,), 0, "int64")
    there = eq(index, place)
    following = concatenate([slice_(x, (1,), (count,)), full((1,), 0, "int64")], 0)
    moved = select(lt(index, place), x, following)
    moved = select(eq(index, np.int64(count - 1)), _stretched(value, count), moved)
    return select(few, select(there, _stretched(value, count), x), moved)


def _stretched(x: Any, count: int) -> Any:
    return broadcast_in_dim(x, (count,), ())


def _given_up(positions: Any, step: Any, snapshots: int) -> tuple[Any, Any]:
    """Return which snapshot had best be given up for the present state, and whether it pays.

    The cost of the way back is the sum of those of the intervals between snapshots.  To give up
    the j-th joins the two intervals round it, and those behind it have one more row to use.
    """
    if snapshots == 1:
        return np.int64(0), np.bool_(False)
    table = beta_table(snapshots)
    following = concatenate([slice_(positions, (1,), (snapshots,)), reshape(step, (1,))], 0)
    lengths = sub(following, positions)
    # Interval j has the rows that no earlier snapshot takes.
    own = _advances(lengths, table[:0:-1])
    wider = _advances(slice_(lengths, (1,), (snapshots,)), table[:1:-1])
    before = slice_(lengths, (0,), (snapshots - 1,))
    joined = _advances(add(before, slice_(lengths, (1,), (snapshots,))), table[:1:-1])
    first = slice_(own, (0,), (snapshots - 1,))
    second = slice_(own, (1,), (snapshots,))
    gained = sub(second, wider)
    change = sub(sub(joined, add(first, second)), _sums_behind(gained))
    return add(argmin(change, 0), np.int64(1)), le(reduce_min(change, (0,)), np.int64(0))


def _advances(lengths: Any, betas: np.ndarray[Any, Any]) -> Any:
    """Return the least number of steps to run again, of intervals with rows of `betas`."""
    longer = sub(broadcast_in_dim(lengths, betas.shape, (0,)), betas)
    return reduce_sum(max_(longer, np.int64(0)), (1,))


def _sums_behind(x: Any) -> Any:
    """Return for each place the sum of the elements behind it, in log steps."""
    (count,) = get_aval(x).shape

    def shifted(x: Any, by: int) -> Any:
        by = min(by, count)
        return concatenate([slice_(x, (by,), (count,)), full((by,), 0, "int64")], 0)

    out = shifted(x, 1)
    by = 1
    while by < count:
        out = add(out, shifted(out, by))
        by *= 2
    return out


def tape_of(tape: Recording) -> list[Any]:
    """Return what the way back needs of a finished tape but the last state.

    Returns
    -------
    start : int64 scalar
        The number of the last state before the end.
    positions : int64[snapshots]
        Which state each row holds.
    rows : arrays
        The states.
    """
    (count,) = get_aval(tape.positions).shape
    row = iota((count, count), 0, "int64")
    here = eq(row, broadcast_in_dim(tape.numbers, (count, count), (1,)))
    # 0 where there is none, so that sums find it.
    kept = add(tape.positions, np.int64(1))
    found = select(
        here, broadcast_in_dim(kept, (count, count), (1,)), full((count, count), 0, "int64")
    )
    positions = sub(reduce_sum(found, (1,)), np.int64(1))
    return [sub(tape.step, np.int64(1)), positions, *tape.rows]


def static_rows(length: int, snapshots: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the tape of a loop of known length.

    Returns
    -------
    of_steps : int64[length]
        The row in which the state before each step is kept, or `FREE`.
    positions : int64[snapshots]
        Which state each row holds at the end.
    """
    of_steps = np.full(length, FREE)
    positions = np.full(snapshots, FREE)
    for row, step in enumerate(first_snapshots(length, snapshots)):
        of_steps[step] = row
        positions[row] = step
    return of_steps, positions
