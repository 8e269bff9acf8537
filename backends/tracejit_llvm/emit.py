"""Emit: a kernel as the text of an LLVM module.

The text has explicit vectors, needs no optimisation passes and goes to code generation as it is.  A
vector loop is a main loop of whole vectors and a tail of masked ones; where it stores neighbours,
it begins with a masked vector, too, so that the others are whole cache lines.  Loops of few known
trips are written out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from tracejit.ir.kernel import For, Kernel, Recurrence, Reduce, Statement, Store, statements
from tracejit.ir.scalar import Expr, IndexVar, free_vars, index, raw, split_affine, substitute
from tracejit_llvm.bands import ROWS, Band, NestOfBand, band_of, named
from tracejit_llvm.loops import Loops
from tracejit_llvm.nests import Nest, NestOfRows
from tracejit_llvm.reductions import BLOCK, Rows, accumulated
from tracejit_llvm.regions import Lanes, Value
from tracejit_llvm.scalars import NATIVE_OPS
from tracejit_llvm.text import Module, element, spread, vector
from tracejit_llvm.widths import (
    cost_of,
    count_of,
    most_read,
    often_used,
    shape_of_lanes,
    trips,
    varying,
    width_of_rows,
)

__all__ = ["NATIVE_OPS", "emit_kernel", "emit_together"]

MOST_WRITTEN_OUT = 4
"""Uses of a mathematical function in one kernel above which it is called, not written out."""
MOST_INTRINSICS = 4
"""Uses of an intrinsic in one kernel above which short code calls a function instead."""
COLUMNS = 4
"""Vectors of columns that are left over and summed at a time."""
LONGEST_DOUBLED = 64
"""Cost of a body above which it is written twice, for whole vectors and for masked ones, only if
the kernel stays short; else all of its vectors are masked."""
LONGEST_TWICE = 80_000
"""Characters of a kernel that stays short."""
SHORTEST_LINE = 28
"""Characters that an expression takes at least."""


def emit_kernel(kernel: Kernel, name: str) -> str:
    """Return the text of a module that defines a kernel.

    Parameters
    ----------
    kernel : Kernel
        What to emit.
    name : str
        The name of the function ``void (ptr buffers, ptr sizes, ptr floats, i64 begin, i64 end)``;
        the pointers are to arrays of ptr, i64 and double.

    Returns
    -------
    str
        The text, without target triple and data layout.
    """
    short = SHORTEST_LINE * count_of(kernel.body) <= LONGEST_TWICE
    for longest in (math.inf, LONGEST_DOUBLED) if short else (LONGEST_DOUBLED,):
        module = Module()
        emitter = _Emitter(kernel, module)
        emitter.longest_doubled = longest
        emitter.outlined = often_used(kernel.body, MOST_WRITTEN_OUT)
        text = f"{emitter.function(name)}\n{module.tail()}"
        if len(text) <= LONGEST_TWICE:
            break
    return text


def emit_together(kernels: Sequence[Kernel], names: Sequence[str]) -> str:
    """Return the text of one module of several kernels, with less text than is good for speed.

    Nearly all instructions are such that code generation takes its quick way: a vector mask, a
    number spread to all lanes or an intrinsic costs it as much as ten of them.  What is not is
    called, and is elsewhere: the functions of :func:`tracejit_llvm.functions.needed`.  Results are
    the bits of :func:`emit_kernel`.

    Parameters
    ----------
    kernels : sequence of Kernel
        What to emit.
    names : sequence of str
        A name each, as of :func:`emit_kernel`.
    """
    module = Module()
    functions = []
    for kernel, name in zip(kernels, names, strict=True):
        emitter = _Emitter(kernel, module)
        emitter.brief = True
        emitter.outlined = often_used(kernel.body, 0, MOST_INTRINSICS)
        functions.append(emitter.function(name))
    return "\n".join([*functions, module.tail()])


class _Emitter(Loops):
    longest_doubled: float = LONGEST_DOUBLED

    def function(self, name: str) -> str:
        """Return the text of the kernel alone."""
        self.statements(self.kernel.body)
        body = "\n".join([*self.filled_tables(), *self.code.lines])
        return (
            f"define void @{name}(ptr %buffers, ptr %sizes, ptr %floats, i64 %begin, i64 %end) "
            f"nounwind {{\nentry:\n{body}\n  ret void\n}}"
        )

    def statements(self, body: Sequence[Statement]) -> None:
        for kind, group in groupby(body, lambda s: type(s)):
            if kind is Store:
                self.stores([s for s in group if isinstance(s, Store)])
                continue
            for s in group:
                if isinstance(s, For):
                    self._for(s)
                elif isinstance(s, Reduce):
                    self._reduce(s)
                elif isinstance(s, Recurrence):
                    self._recurrence(s)

    # ------------------------------------------------------------------ For
    def _for(self, s: For) -> None:
        lo, hi = self.integer(s.loop.lo), self.integer(s.loop.hi)
        if s.parallel:
            after = self.code.op(f"icmp slt i64 {lo}, %begin")
            lo = self.code.op(f"select i1 {after}, i64 %begin, i64 {lo}")
            before = self.code.op(f"icmp slt i64 %end, {hi}")
            hi = self.code.op(f"select i1 {before}, i64 %end, i64 {hi}")
        writes = _writes(s.body)
        # What is done once is done with scalars: a masked vector takes longer to store.
        once = trips(s.loop.lo, s.loop.hi) == 1
        if s.loop.vector and self.lanes is None and not once:
            width = width_of_rows(s)
            if width:
                self._rows_for(s, lo, hi, writes, width)
            else:
                self._vector_for(s, lo, hi, writes)
            return

        band = None if self.brief or self.lanes else band_of(s)
        if band:
            kept = self.longest_doubled, self.longest_written_out
            lo = self._band_for(s, band, lo, hi, writes)
            self.longest_doubled, self.longest_written_out = 0, 0  # for the few that are left

        def body(iv: str, carried: list[str]) -> list[str]:
            self.bind(s.loop.var, iv)
            self.statements(s.body)
            return carried

        if _is_long(s.body):
            self.loop(lo, hi, 1, body, (), writes)
        else:
            self.serial(lo, hi, body, [], writes, cost_of(s.body))
        if band:
            self.longest_doubled, self.longest_written_out = kept

    def _vector_for(
        self, s: For, lo: int | str, hi: int | str, writes: frozenset[int]
    ) -> None:
        var = s.loop.var
        width, parts = shape_of_lanes(s.body, var, s.loop.lo, s.loop.hi)

        def body(
            iv: str, parts: int, limit: int | str | None, first: int | str | None = None
        ) -> list[str]:
            self.with_lanes(var, iv, width, parts, limit, first)
            self.statements(s.body)
            self.lanes = None
            return []

        # Columns are summed as many at a time as can be, for each sum waits for itself.
        last = min(parts, COLUMNS) if any(isinstance(x, Reduce) for x in s.body) else 1
        # So are recurrences, which are masked at their ends only.
        recurs = any(isinstance(x, Recurrence) for x in s.body)
        last = parts if recurs else last
        start = None if self.brief else self._start(s, lo, hi, width)
        if self.brief or recurs or cost_of(s.body) > self.longest_doubled:
            if start is None:
                self.loop(lo, hi, last * width, lambda iv, _: body(iv, last, hi), (), writes)
            else:
                self.loop(start, hi, width, lambda iv, _: body(iv, 1, hi, lo), (), writes)
            return
        step = width * parts
        if start is not None:
            inside = self.code.op(f"add i64 {start}, {width}")
            middle = self.split(inside, hi, step)

            def piece(iv: str, carried: list[str]) -> list[str]:
                # A masked vector, then whole ones up to the last: so first and last are one code.
                self.straight(lambda: body(iv, 1, hi, lo), writes)
                here = self.code.op(f"add i64 {iv}, {width}")
                self.loop(here, middle, step, lambda at, _: body(at, parts, None), (), writes)
                return carried

            def following(iv: str) -> str:
                pair = (("i64", self.code.op(f"add i64 {iv}, {width}")), ("i64", str(middle)))
                return self.code.call("i64", "llvm.smax.i64", *pair)

            self.loop(start, hi, following, piece, (), writes)
            return
        middle = self.split(lo, hi, step)
        self.loop(lo, middle, step, lambda iv, _: body(iv, parts, None), (), writes)
        self.loop(middle, hi, last * width, lambda iv, _: body(iv, last, hi), (), writes)

    def _start(self, s: For, lo: int | str, hi: int | str, width: int) -> str | None:
        """Return where a vector loop starts so that most of its vectors are whole cache lines.

        That is at or before `lo`, or at `hi` if nothing is in between.  Return None if the loop may
        as well start at `lo`, and where mathematical functions are computed: those that do more
        for a vector with a huge argument would give bits that depend on addresses.
        """
        first = s.body[0]
        if not all(isinstance(x, Store) for x in s.body) or not isinstance(first, Store):
            return None
        if (isinstance(lo, int) and isinstance(hi, int)) or often_used(s.body, 0):
            return None
        steps = [(c, x) for c, x in split_affine(first.offset)[1] if s.loop.var in free_vars(x)]
        if steps != [(1, index(s.loop.var))]:
            return None
        buffer = most_read(s.body, first)
        dtype = self.kernel.buffers[buffer].dtype
        self.lanes = Lanes(s.loop.var, str(lo), width, 1, self.depth, None)
        for t in self.offset_terms(first.offset):
            self.value(t)
        at = self.address(buffer, first.offset, dtype)
        self.lanes = None
        code, size = self.code, dtype.itemsize
        bits = code.op(f"ptrtoint ptr {at} to i64")
        bits = code.op(f"and i64 {bits}, {size * width - 1}")
        before = code.op(f"lshr i64 {bits}, {size.bit_length() - 1}")
        start = code.op(f"sub i64 {lo}, {before}")
        some = code.op(f"icmp slt i64 {lo}, {hi}")
        return code.op(f"select i1 {some}, i64 {start}, i64 {hi}")

    def _band_for(
        self, s: For, band: Band, lo: int | str, hi: int | str, writes: frozenset[int]
    ) -> int | str:
        """Emit a loop over bands of rows; return where the rows start that are left."""
        row, columns = s.loop.var, s.body[0]
        assert isinstance(columns, For)
        column = columns.loop.var
        first, last = self.integer(columns.loop.lo), self.integer(columns.loop.hi)
        width, _ = shape_of_lanes(columns.body, column, columns.loop.lo, columns.loop.hi)
        end = self.split(lo, hi, ROWS)
        if band.again:  # the last rows once more, not those that are left one by one
            some = self.code.op(f"icmp sgt i64 {end}, {lo}")
            end = self.code.op(f"select i1 {some}, i64 {hi}, i64 {lo}")
            final = self.code.op(f"sub i64 {hi}, {ROWS}")

        def tile(iv: str, names: list[str], parts: int, limit: int | str | None) -> list[str]:
            self.with_lanes(column, iv, width, parts, limit)
            sums = band.reduce.accumulators
            states = [
                [accumulated(a, width, parts, together=False, blocked=False) for a in sums]
                for _ in names
            ]
            nest = NestOfBand(self, band, states, row, names)
            state = nest.outer(0, [c for own in states for a in own for c in a.carried()])
            at = 0
            for n, own in enumerate(states):
                for a in own:
                    results = a.finish(self.code, state[at : at + parts], False, ())
                    at += parts
                    ref = raw("ref", (), a.dtype, a.of.name)
                    self.remember(named(ref, n), Value(results, True, self.depth), self.depth)
                self.stores(nest.stores(band, row, n))
            self.lanes = None
            return []

        def body(iv: str, _: list[str]) -> list[str]:
            code, base = self.code, iv
            if band.again:
                base = code.call("i64", "llvm.smin.i64", ("i64", iv), ("i64", final))
            names = [base, *(code.op(f"add i64 {base}, {n}") for n in range(1, ROWS))]
            step = width * band.parts
            middle = self.split(first, last, step)
            self.loop(
                first, middle, step, lambda iv, _: tile(iv, names, band.parts, None), (), writes
            )
            few = max(band.parts // 2, 1)
            self.loop(
                middle, last, few * width, lambda iv, _: tile(iv, names, few, last), (), writes
            )
            return []

        self.loop(lo, end, ROWS, body, (), writes)
        return end

    def _rows_for(
        self, s: For, lo: int | str, hi: int | str, writes: frozenset[int], width: int
    ) -> None:
        """Emit a loop over rows that are reduced side by side, and their results stored."""
        var = s.loop.var

        def body(iv: str, whole: bool) -> list[str]:
            code = self.code
            names = [iv, *(code.op(f"add i64 {iv}, {n}") for n in range(1, width))]
            if not whole:  # behind the last row it is taken again
                end = "i64", code.op(f"sub i64 {hi}, 1")
                names = [code.call("i64", "llvm.smin.i64", ("i64", x), end) for x in names]
            for x in s.body:
                if isinstance(x, Reduce):
                    self._reduce_rows(x, var, names)
            self.with_lanes(var, iv, width, 1, None if whole else hi)
            self.stores([x for x in s.body if isinstance(x, Store)])
            self.lanes = None
            return []

        middle = lo
        if not self.brief:
            middle = self.split(lo, hi, width)
            self.loop(lo, middle, width, lambda iv, _: body(iv, True), (), writes)
        self.loop(middle, hi, width, lambda iv, _: body(iv, False), (), writes)

    def _reduce_rows(self, s: Reduce, row: IndexVar, names: list[str]) -> None:
        width = len(names)
        states = [
            Rows(accumulated(a, width, 1, together=False, blocked=False)) for a in s.accumulators
        ]
        nest = NestOfRows(self, s, states, row, names)
        state = nest.outer(0, [c for a in states for c in a.carried()])
        at = 0
        for a in states:
            count = len(a.carried())
            result = a.finish(self.code, state[at : at + count], False, ())
            at += count
            ref = raw("ref", (), a.of.value.dtype, a.of.name)
            self.remember(ref, Value(result, True, self.depth), self.depth)

    # ------------------------------------------------------------------ Reduce
    def _reduce(self, s: Reduce) -> None:
        around = self.lanes
        last = s.loops[-1]
        along = last.vector and around is None
        if around is not None:
            width, parts = around.width, around.parts
        elif along:
            width, parts = shape_of_lanes((s,), last.var, last.lo, last.hi)
        else:
            width, parts = 0, 1
        blocked = _is_blocked(s)
        nest = Nest(
            self,
            s,
            [
                accumulated(a, width, parts, together=along or around is None, blocked=blocked)
                for a in s.accumulators
            ],
            along,
            blocked,
        )
        start = [c for a in nest.states for c in a.carried()]
        state = nest.outer(0, start)
        code = self.code
        at = 0
        for a in nest.states:
            count = len(a.carried())
            first: Sequence[str] = ()
            if a.of.index is not None:
                first = self._first(s, a.of.index)
            names = a.finish(code, state[at : at + count], around is None, first)
            at += count
            dtype = a.dtype if a.of.index is None else a.of.index.dtype
            ref = raw("ref", (), dtype, a.of.name)
            self.remember(ref, Value(names, around is not None, self.depth), self.depth)

    def _first(self, s: Reduce, at: Expr) -> tuple[str, ...]:
        """Return the index where all reduction loops start."""
        parts = self.lanes.parts if self.lanes else 1
        width = self.lanes.width if self.lanes else 0
        if self.reads(at):
            return (spread("0", "i64", width),) * parts

        def emit() -> tuple[str, ...]:
            for loop in s.loops:
                self.bind(loop.var, str(self.integer(loop.lo)))
            value = self.value(at)
            return self.spread(at, value) if self.lanes else value.names

        names: tuple[str, ...] = self.straight(emit)
        return names


    # ------------------------------------------------------------------ Recurrence
    def _recurrence(self, s: Recurrence) -> None:
        refs = [raw("ref", (), c.initial.dtype, c.name) for c in s.carried]
        own = set(varying(s, self.lanes.var)) if self.lanes else set()
        width, parts = (self.lanes.width, self.lanes.parts) if self.lanes else (0, 1)
        counts = [parts if ref in own else 1 for ref in refs]
        kinds = [
            vector(element(ref.dtype), width if ref in own else 0)
            for ref, n in zip(refs, counts, strict=True)
            for _ in range(n)
        ]

        def names(ref: Expr, e: Expr) -> tuple[str, ...]:
            value = self.value(e)
            found: tuple[str, ...] = self.spread(e, value) if ref in own else value.names
            return found

        def hold(flat: Sequence[str]) -> None:
            rest = iter(flat)
            for ref, n in zip(refs, counts, strict=True):
                mine = tuple(next(rest) for _ in range(n))
                self.remember(ref, Value(mine, ref in own, self.depth), self.depth)

        def goes(values: Sequence[Expr]) -> str:
            assert s.condition is not None
            places = dict(zip(refs, values, strict=True))
            (found,) = substitute([s.condition], places.get)
            return self._any(found)

        def trip(iv: str, flat: list[str]) -> list[str]:
            self.bind(s.loop.var, iv)
            hold(flat)
            self.statements(s.body)
            return [x for ref, e in zip(refs, following, strict=True) for x in names(ref, e)]

        following = [c.following for c in s.carried]
        start = [x for ref, c in zip(refs, s.carried, strict=True) for x in names(ref, c.initial)]
        test = None
        if s.condition is not None:
            test = goes([c.initial for c in s.carried]), lambda: goes(following)
        lo, hi = self.integer(s.loop.lo), self.integer(s.loop.hi)
        carried = list(zip(kinds, start, strict=True))
        hold(self.loop(lo, hi, 1, trip, carried, _writes(s.body), test))

    def _any(self, e: Expr) -> str:
        """Return whether something holds, in any of the lanes that are on."""
        value = self.value(e)
        if not value.vector:
            return str(value.names[0])
        assert self.lanes is not None
        code, n = self.code, self.lanes.width
        flags = vector("i1", n)
        found = ""
        for p, name in enumerate(value.names):
            mask = self.mask(p)
            if mask is not None:
                name = code.op(f"and {flags} {name}, {mask}")
            found = code.op(f"or {flags} {found}, {name}") if found else name
        return code.call("i1", f"llvm.vector.reduce.or.v{n}i1", (flags, found))


def _is_long(body: tuple[Statement, ...]) -> bool:
    """Whether there are reductions of as many terms as are not known."""
    sums = [s for s in statements(body) if isinstance(s, Reduce)]
    return any(trips(v.lo, v.hi) is None for s in sums for v in s.loops)


def _is_blocked(s: Reduce) -> bool:
    """Whether there may be more terms than are summed at once."""
    total = 1
    for loop in s.loops:
        n = trips(loop.lo, loop.hi)
        total = total * n if n is not None else BLOCK + 1
    return total > BLOCK


def _writes(body: Sequence[Statement]) -> frozenset[int]:
    return frozenset(s.buffer for s in statements(tuple(body)) if isinstance(s, Store))
