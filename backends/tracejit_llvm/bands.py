"""Bands: neighbouring rows of results, of which each reduces rows that its neighbours read too.

A window that slides down one row reads all rows but one again.  So a few rows of results are
reduced at a time: each row that they read is loaded once and goes to every sum that takes it.  The
terms of a sum keep their order, so results have the bits of a row alone, wherever a band begins.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from tracejit.ir.kernel import For, Kernel, Reduce, Store
from tracejit.ir.scalar import (
    Expr,
    IndexVar,
    free_vars,
    index,
    raw,
    split_affine,
    substitute,
    walk,
)
from tracejit_llvm.loops import Loops
from tracejit_llvm.math.lanes import is_wide
from tracejit_llvm.nests import Nest
from tracejit_llvm.reductions import BLOCK, Accumulated
from tracejit_llvm.widths import below, cost_of, trips

__all__ = ["ROWS", "Band", "NestOfBand", "band_of", "has_bands", "named"]

ROWS = 4
"""Rows of results in a band."""
MOST_SUMS = 16
"""Vectors that accumulate at a time, of 32 registers."""
FEW_TERMS = 16
"""Terms of a sum up to which short loops are written out."""
MOST_COST = 48
"""Cost of a term up to which the rows of a band fit in registers."""


class Band(NamedTuple):
    """A loop over rows that may be gone through in bands.

    Attributes
    ----------
    reduce : Reduce
        What each element of a row is.
    axis : int
        Which of its loops moves by the rows that the loop over rows moves by.
    stores : tuple of Store
        What follows.
    again : bool
        Whether a row may be computed twice: nothing is read where a row is stored.
    parts : int
        Vectors of each row at a time.
    """

    reduce: Reduce
    axis: int
    stores: tuple[Store, ...]
    again: bool
    parts: int


def band_of(rows: For) -> Band | None:
    """Return how a loop over rows of results is gone through in bands, or None if it is not.

    Parameters
    ----------
    rows : For
        Holds a vector loop over a reduction with few terms, whose loads have an offset that depends
        on the row only as on one of the reduction's variables: element by element the same rows.
    """
    if len(rows.body) != 1 or not isinstance(rows.body[0], For):
        return None
    columns = rows.body[0]
    reduce, *rest = columns.body
    if rows.loop.vector or not columns.loop.vector or not isinstance(reduce, Reduce):
        return None
    stores = [s for s in rest if isinstance(s, Store)]
    if len(stores) < len(rest) or any(v.vector for v in reduce.loops):
        return None
    terms = 1
    for v in reduce.loops:
        n = trips(v.lo, v.hi)
        if not n or v.lo != 0:
            return None
        terms *= n
    if terms > BLOCK or cost_of((reduce,)) > MOST_COST:
        return None
    sums = reduce.accumulators
    registers = MOST_SUMS if is_wide() else MOST_SUMS // 4
    parts = registers // (ROWS * len(sums))
    if not parts or any(a.index is not None for a in sums):
        return None
    axis = _shared_axis([a.value for a in sums], rows.loop.var, columns.loop.var, reduce)
    if axis is None:
        return None
    again = not any(e.op == "load" for e in walk([s.value for s in stores]))
    return Band(reduce, axis, tuple(stores), again, 1 << parts.bit_length() - 1)


def has_bands(kernel: Kernel) -> bool:
    """Whether the rows of a kernel, which may be called in chunks of them, come in bands."""
    return any(isinstance(s, For) and band_of(s) is not None for s in kernel.body)


def _shared_axis(
    values: Sequence[Expr], row: IndexVar, column: IndexVar, reduce: Reduce
) -> int | None:
    """Return the loop by which all that depends on the row depends on it."""
    left = [n for n, v in enumerate(reduce.loops) if trips(v.lo, v.hi) != 1]
    shared = False
    loads = [e for e in walk(values) if e.op == "load"]
    for e in loads:
        offset = e.args[0]
        if row not in free_vars(offset):
            continue
        shared |= column in free_vars(offset)
        steps = {}
        for c, t in split_affine(offset)[1]:
            if t.op == "index":
                steps[t.attr] = c
            elif free_vars(t):
                return None
        own = steps.get(row)
        left = [n for n in left if steps.get(reduce.loops[n].var) == own]
    alone = any(e.op == "index" and e.attr is row for e in below(values))
    return left[0] if shared and left and not alone else None


class NestOfBand(Nest):
    """The loops of one Reduce in each row of a band.

    Parameters
    ----------
    emitter : Loops
        The emitter.
    band : Band
        What is reduced.
    states : sequence of sequence of Accumulated
        The accumulators of each row.
    row : IndexVar
        The variable that numbers the rows.
    names : sequence of str
        Its value in each row.
    """

    def __init__(
        self,
        emitter: Loops,
        band: Band,
        states: Sequence[Sequence[Accumulated]],
        row: IndexVar,
        names: Sequence[str],
    ) -> None:
        super().__init__(emitter, band.reduce, [a for own in states for a in own], False, False)
        terms = math.prod(trips(v.lo, v.hi) or 0 for v in band.reduce.loops)
        self.cost = self.cost * len(names) if terms <= FEW_TERMS else sys.maxsize
        self.axis = band.axis
        self.rows = [IndexVar(f"{row.name}.{n}", row.extent) for n in range(len(names))]
        for v, name in zip(self.rows, names, strict=True):
            emitter.bind(v, name)
        # A row that is read is known by the first row of the band and the sum of both variables.
        var = band.reduce.loops[band.axis].var
        self.read = IndexVar(f"{var.name}.read", var.extent)
        self.places = [IndexVar(f"{var.name}.{n}", var.extent) for n in range(len(names))]
        shift = {row: index(self.rows[0]), var: index(self.read)}
        values = [a.of.value for a in states[0]]
        self.values = [
            x
            for place in self.places
            for x in substitute(
                values, partial(_placed, row=row, shift=shift, rest={var: index(place)})
            )
        ]

    def outer(self, depth: int, carried: list[tuple[str, str]]) -> list[str]:
        """Emit the loops from `depth` on."""
        if depth != self.axis:
            return super().outer(depth, carried)
        e, n = self.emitter, len(self.rows)
        lengths = [trips(v.lo, v.hi) or 0 for v in self.reduce.loops[depth:]]
        length, cost = lengths[0], self.cost * math.prod(lengths[1:])
        state = [v for _, v in carried]
        read = 0
        while read < length + n - 1:
            first, last = max(0, read - length + 1), min(n, read + 1)
            step = partial(self._row, depth, first, last, [kind for kind, _ in carried])
            if last - first < n:
                state = e.straight(partial(step, str(read), state))
                read += 1
                continue
            kinds = [(kind, v) for (kind, _), v in zip(carried, state, strict=True)]
            state = e.serial(read, length, step, kinds, frozenset(), cost)
            read = length
        return state

    def _row(
        self, depth: int, first: int, last: int, kinds: list[str], at: str, state: list[str]
    ) -> list[str]:
        """Emit what row `at` of those that are read adds to rows `first` to `last` of results."""
        e = self.emitter
        e.bind(self.read, at)
        for n in range(first, last):
            known = not at.startswith("%")
            e.bind(self.places[n], str(int(at) - n) if known else e.code.op(f"sub i64 {at}, {n}"))
        states, values = self.states, self.values
        each = len(states) // len(self.rows)
        width = len(state) // len(self.rows)
        own = slice(first * width, last * width)
        self.states = states[first * each : last * each]
        self.values = values[first * each : last * each]
        if depth == len(self.reduce.loops) - 1:
            new = self._step(state[own], self.states[0].parts, None)
        else:
            new = Nest.outer(self, depth + 1, list(zip(kinds[own], state[own], strict=True)))
        self.states, self.values = states, values
        return [*state[: own.start], *new, *state[own.stop :]]

    def _step(self, state: list[str], parts: int, mask: str | None) -> list[str]:
        e = self.emitter
        out: list[str] = []
        for a, own, x in zip(self.states, self._slices(state, parts), self.values, strict=True):
            v = e.value(x)
            out += a.step(e.code, own, e.spread(x, v), (), mask)
        return out

    def stores(self, band: Band, row: IndexVar, n: int) -> list[Store]:
        """Return the stores of one row, of what is remembered for it."""

        def placed(e: Expr) -> Expr | None:
            if e.op == "index" and e.attr is row:
                return index(self.rows[n])
            return named(e, n) if e.op == "ref" else None

        return [
            Store(s.buffer, *substitute([s.offset, s.value], placed)) for s in band.stores
        ]


def named(ref: Expr, n: int) -> Expr:
    """Return the result of row `n` of a band."""
    return raw("ref", (), ref.dtype, f"{ref.attr}.{n}")


def _placed(
    e: Expr, row: IndexVar, shift: dict[IndexVar, Expr], rest: dict[IndexVar, Expr]
) -> Expr | None:
    if e.op == "index":
        return rest.get(e.attr)
    if e.op != "load" or row not in free_vars(e):
        return None
    (offset,) = substitute([e.args[0]], lambda t: shift.get(t.attr) if t.op == "index" else None)
    return raw("load", (offset,), e.dtype, e.attr)
