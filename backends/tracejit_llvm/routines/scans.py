"""Cumulative operations along rows and along columns.

Rows, ``[outer, length, 1]``, and pairs, ``[outer, length, 2]`` such as complex numbers: the
elements of a vector are combined in log2 steps of shuffles, and each vector with what came before
it.  Columns: the lanes are columns, and each row is combined with the one before.

Long ones are cut into blocks of a length that depends on the shape alone.  A block begins with the
combined totals of the blocks before it, so sums have an error of the length of a block and the
number of blocks, not of the length of the array; but sums of positive numbers need not ascend in
their last bit.  Where blocks are shared between threads, a first launch computes the totals; a
thread that does all of them does without, and gets the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.ir.dtypes import real_of
from tracejit_llvm.routines.calls import (
    SCRATCH,
    LibraryFunction,
    LibraryStep,
    LibrarySteps,
    aligned,
)
from tracejit_llvm.routines.elements import STEPS, Elements
from tracejit_llvm.routines.writing import Function, Kernel, module_text
from tracejit_llvm.text import Module, integers, vector

__all__ = ["SCANS", "columns_text", "rows_text", "scan_steps"]

SCANS = frozenset(["cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"])

ROW_BLOCK = 4096
"""Elements of a block of a row."""
TILE = 256
"""Columns that are walked together."""
AT_ONCE = 4
"""Rows of a tile for each time that what came before is read and written."""
FEW = 16
"""Rows, or tiles, from which they are enough for all threads."""
COLUMN_BLOCKS = 16
"""Blocks of columns, if there are few."""
COLUMN_WORK = 1 << 15
"""Elements of a block of columns, at least."""
HEAD = 64
"""Bytes before the totals: a word that says whether they are there."""


def scan_steps(name: str, params: tuple[int, ...], dtype: np.dtype[Any]) -> LibrarySteps:
    """Return how a cumulative operation is computed.

    Parameters
    ----------
    name : str
        In :data:`SCANS`.
    params : tuple of int
        Of the library call: ``(outer, length, inner, reverse)``.
    dtype : dtype
        Of the array.
    """
    outer, length, inner, reverse = params
    size = outer * length * inner
    if not size:
        return LibrarySteps(())
    dtype = real_of(dtype)
    own = (STEPS[name], dtype, bool(reverse))
    wide = max(dtype.itemsize, 4 if dtype.kind in "fV" else 1)
    cost = size * dtype.itemsize / 16 * (40 if name == "cumlogsumexp" else 1)
    if inner <= 2 and length * inner > 1:
        blocks = -(-length * inner // ROW_BLOCK)
        split = outer < FEW and blocks > 1
        sizes: tuple[int, ...] = (outer, length * inner, blocks, int(split))
        rows = outer * blocks if split else outer
        scratch = HEAD + rows * inner * wide if split else 0
        functions = _functions(rows_text, (*own, inner))
    else:
        tiles = -(-inner // TILE)
        blocks = 1
        if outer * tiles < FEW:
            blocks = min(COLUMN_BLOCKS, length * min(inner, TILE) // COLUMN_WORK, length)
        each = -(-length // max(blocks, 1))
        blocks = -(-length // each)
        split = blocks > 1
        sizes = (outer, length, inner, tiles, blocks, each)
        rows = outer * tiles * blocks
        scratch = HEAD + rows * TILE * wide if split else 0
        functions = _functions(columns_text, (*own, split))
    steps = [LibraryStep(f, (0, 1, SCRATCH), sizes, rows, cost) for f in functions]
    return LibrarySteps(tuple(steps if split else steps[1:]), aligned(scratch))


def _functions(write: Callable[..., str], arguments: tuple[Any, ...]) -> list[LibraryFunction]:
    return [LibraryFunction(write, arguments, name) for name in ("totals", "scan")]


class _Scan:
    """What the two forms share."""

    def __init__(self, op: str, dtype: np.dtype[Any], reverse: bool) -> None:
        self.module = Module()
        self.op, self.reverse = op, reverse
        self.e = Elements(dtype)
        self.n = self.e.lanes
        self.full = vector(self.e.kind, self.n)
        self.none = self.e.neutrals(op)
        self.order: list[int] = list(range(self.n))
        """Which position a lane in memory stands for."""

    def combine(self, f: Function, a: str, b: str) -> str:
        return self.e.combine(f, self.op, self.n, a, b)

    def mask(self, f: Function, left: str) -> str:
        """Append which lanes of a vector stand for the next `left` positions."""
        return f.first(left, self.n, self.order)


class _Rows(_Scan):
    """Rows of elements, or of `period` that alternate."""

    def __init__(self, op: str, dtype: np.dtype[Any], reverse: bool, period: int) -> None:
        super().__init__(op, dtype, reverse)
        self.period = p = period
        if reverse:
            self.order = [self.n - p - k // p * p + k % p for k in range(self.n)]

    def turned(self, f: Function, x: str) -> str:
        """Append a vector in the order of walking, or back; pairs stay as they are."""
        return f.shuffle(x, x, self.e.kind, self.n, self.order) if self.reverse else x

    def place(self, f: Function, row: str, length: str, p: str) -> str:
        """Append the address of the vector for positions from `p` on."""
        if not self.reverse:
            return f.at(row, p, self.e.memory)
        end = f.i("sub", length, p)
        return f.at(row, f.i("sub", end, self.n), self.e.memory)

    def within(self, f: Function, x: str) -> str:
        """Append a vector, each lane combined with those before it."""
        n, step = self.n, self.period
        while step < n:
            places = [k - step if k >= step else n + k for k in range(n)]
            moved = f.shuffle(x, self.none, self.e.kind, n, places)
            x = self.combine(f, moved, x)
            step *= 2
        return x

    def last(self, f: Function, x: str) -> str:
        """Append the last `period` lanes in all places."""
        n, p = self.n, self.period
        return f.shuffle(x, x, self.e.kind, n, [n - p + k % p for k in range(n)])

    def block(
        self, f: Function, x: str, out: str | None, length: str, at: str, before: str
    ) -> str:
        """Append the walk over a block; return its total alone."""
        lo = f.i("mul", at, ROW_BLOCK)
        hi = f.least(length, f.i("add", lo, ROW_BLOCK))
        whole = f.i("and", f.i("sub", hi, lo), -self.n)
        middle = f.i("add", lo, whole)

        def trip(p: str, total: str, mask: str | None) -> list[str]:
            v = self.e.read(f, self.place(f, x, length, p), mask, self.none)
            v = self.within(f, self.turned(f, v))
            if out is not None:
                done = self.combine(f, before, self.combine(f, total, v))
                self.e.write(f, self.turned(f, done), self.place(f, out, length, p), mask)
            return [self.combine(f, total, self.last(f, v))]

        start = [(self.full, self.none)]
        (total,) = f.loop(lo, middle, lambda p, s: trip(p, s[0], None), start, self.n)

        def end(p: str, state: list[str]) -> list[str]:
            return trip(p, state[0], self.mask(f, f.i("sub", hi, p)))

        return f.loop(middle, hi, end, [(self.full, total)], self.n)[0]

    def text(self) -> str:
        self.write_total()
        self.write_part()
        self.write_totals()
        self.write_scan()
        return module_text(self.module)

    def write_total(self) -> None:
        """Write ``total(x, length, block)``, of one block by itself."""
        parameters = [("ptr", "%x"), ("i64", "%length"), ("i64", "%at")]
        f = Function(self.module, "total", parameters, self.full)
        f.end(self.block(f, "%x", None, "%length", "%at", self.none))

    def write_totals(self) -> None:
        """Write the launch over blocks of few rows that keeps their totals."""
        f = Kernel(self.module, "totals")
        x, scratch = f.buffer(0), f.buffer(2)
        length, blocks = f.size(1), f.size(2)
        kept = f.at(scratch, HEAD, "i8")

        def one(u: str, _: list[str]) -> None:
            o = f.i("sdiv", u, blocks)
            at = f.i("sub", u, f.i("mul", o, blocks))
            row = f.at(x, f.i("mul", o, length), self.e.memory)
            arguments = (("ptr", row), ("i64", length), ("i64", at))
            total = f.invoke("total", *arguments, result=self.full)
            self.keep(f, kept, u, total)

        _unless_alone(f, scratch, f.i("mul", f.size(0), blocks), one)
        f.end()

    def keep(self, f: Function, kept: str, u: str, total: str) -> None:
        for k in range(self.period):
            lane = f.op(f"extractelement {self.full} {total}, i64 {k}")
            at = f.i("add", f.i("mul", u, self.period), k)
            f.store(self.e.kind, lane, kept, at)

    def kept(self, f: Function, kept: str, u: str) -> str:
        """Append a total that was kept, in all places."""
        p, n = self.period, self.n
        few = vector(self.e.kind, p)
        place = f.at(kept, f.i("mul", u, p), self.e.kind)
        x = f.load(few, place, align=self.e.wide.itemsize)
        order = integers([k % p for k in range(n)], "i32")
        return f.op(f"shufflevector {few} {x}, {few} {x}, <{n} x i32> {order}")

    def write_part(self) -> None:
        """Write the walk over a part of the blocks, that begins with what comes before it."""
        f = Kernel(self.module, "part", internal=True)
        x, out, scratch = f.buffer(0), f.buffer(1), f.buffer(2)
        length, blocks = f.size(1), f.size(2)
        kept = f.at(scratch, HEAD, "i8")

        def before(u: str, at: str) -> list[str]:
            def add(b: str, state: list[str]) -> list[str]:
                return [self.combine(f, state[0], self.kept(f, kept, b))]

            return f.loop(f.i("sub", u, at), u, add, [(self.full, self.none)])

        def one(u: str, state: list[str]) -> list[str]:
            o = f.i("sdiv", u, blocks)
            at = f.i("sub", u, f.i("mul", o, blocks))
            offset = f.i("mul", o, length)
            row = f.at(x, offset, self.e.memory)
            new = f.choose(f.i("eq", at, 0), self.none, state[0], self.full)
            fresh = f.i("eq", u, "%begin")
            (r,) = f.when(fresh, lambda: before(u, at), lambda: [new], [self.full])
            to = f.at(out, offset, self.e.memory)
            total = self.block(f, row, to, length, at, r)
            return [self.combine(f, r, total)]

        f.loop("%begin", "%end", one, [(self.full, self.none)])
        f.end()

    def write_scan(self) -> None:
        f = Kernel(self.module, "scan")
        split = f.i("ne", f.size(3), 0)

        def shared() -> None:
            _unless_done(f, f.buffer(2))

        def whole() -> None:
            blocks = f.size(2)
            _part(f, f.i("mul", "%begin", blocks), f.i("mul", "%end", blocks))

        f.when(split, shared, whole)
        f.end()


def _part(f: Kernel, lo: str, hi: str) -> None:
    """Append the call of the walk over some of the blocks."""
    f.invoke("part", *Kernel.PARAMETERS[:3], ("i64", lo), ("i64", hi))


ALONE, SHARED = 0, 1


def _unless_alone(f: Kernel, scratch: str, rows: str, one: Any) -> None:
    """Append the loop over this part of the blocks; if it is all of them, they are done at once."""
    first = f.i("eq", "%begin", 0)
    alone = f.i("and", first, f.i("eq", "%end", rows), "i1")

    def note(word: int) -> None:
        f.store("i64", str(word), scratch)

    def all_at_once() -> None:
        note(ALONE)
        _part(f, "%begin", "%end")

    def totals() -> None:
        f.when(first, lambda: note(SHARED))
        f.loop("%begin", "%end", one)

    f.when(alone, all_at_once, totals)


def _unless_done(f: Kernel, scratch: str) -> None:
    """Append the walk over this part of the blocks, unless the launch before has done them."""
    f.when(f.i("eq", f.load("i64", scratch), SHARED), lambda: _part(f, "%begin", "%end"))


class _Columns(_Scan):
    """Columns; `split` if blocks of them are shared."""

    def __init__(self, op: str, dtype: np.dtype[Any], reverse: bool, split: bool) -> None:
        super().__init__(op, dtype, reverse)
        self.split = split

    def text(self) -> str:
        self.write_tile("tile", True)
        self.write_part()
        if self.split:
            self.write_tile("total", False)
            self.write_totals()
        self.write_scan()
        return module_text(self.module)

    def over_lanes(self, f: Function, width: str, body: Any) -> None:
        """Append ``body(column, mask)`` for the columns of a tile."""
        middle = f.i("and", width, -self.n)
        f.loop(0, middle, lambda c, _: body(c, None), step=self.n)
        f.loop(
            middle, width, lambda c, _: body(c, self.mask(f, f.i("sub", width, c))), step=self.n
        )

    def write_tile(self, name: str, writes: bool) -> None:
        """Write a function that walks rows `lo .. hi-1` (in the order of walking) of a tile.

        `total` becomes what the rows come to by themselves; written is that with what comes before,
        if there may be something.
        """
        pointers = ["%x", "%out", "%before", "%total"]
        numbers = ["%length", "%inner", "%width", "%lo", "%hi"]
        parameters = [*(("ptr", p) for p in pointers), *(("i64", n) for n in numbers)]
        f = Function(self.module, name, parameters)
        align = self.e.wide.itemsize
        self.set(f, "%total")
        last = f.i("sub", "%length", 1)

        def rows(first: str, count: int) -> None:
            places = []
            for k in range(count):
                at = f.i("add", first, k)
                at = f.i("sub", last, at) if self.reverse else at
                places.append(f.i("mul", at, "%inner"))

            def some(c: str, mask: str | None) -> None:
                kept = f.at("%total", c, self.e.kind)
                total = f.load(self.full, kept, align=align)
                before = ""
                if self.split and writes:
                    before = f.load(self.full, f.at("%before", c, self.e.kind), align=align)
                for place in places:
                    at = f.i("add", place, c)
                    v = self.e.read(f, f.at("%x", at, self.e.memory), mask, self.none)
                    total = self.combine(f, total, v)
                    if writes:
                        done = self.combine(f, before, total) if before else total
                        self.e.write(f, done, f.at("%out", at, self.e.memory), mask)
                f.store(self.full, total, kept, align=align)

            self.over_lanes(f, "%width", some)

        whole = f.i("and", f.i("sub", "%hi", "%lo"), -AT_ONCE)
        middle = f.i("add", "%lo", whole)
        f.loop("%lo", middle, lambda row, _: rows(row, AT_ONCE), step=AT_ONCE)
        f.loop(middle, "%hi", lambda row, _: rows(row, 1))
        f.end()

    def begin(self, name: str, internal: bool = False) -> Kernel:
        """Begin a launch whose rows are the blocks of the tiles, those of a tile one by one."""
        f = Kernel(self.module, name, internal)
        self.before, self.total = (f.room(TILE * self.e.wide.itemsize) for _ in range(2))
        self.x, self.out, self.scratch = (f.buffer(k) for k in range(3))
        self.outer, self.length, self.inner, self.tiles, self.blocks, self.each = (
            f.size(k) for k in range(6)
        )
        return f

    def walk(self, f: Kernel, name: str, at: str, t: str, total: str) -> None:
        """Append the walk over one block."""
        o = f.i("sdiv", t, self.tiles)
        c = f.i("mul", f.i("sub", t, f.i("mul", o, self.tiles)), TILE)
        offset = f.i("add", f.i("mul", f.i("mul", o, self.length), self.inner), c)
        width = f.least(TILE, f.i("sub", self.inner, c))
        lo = f.i("mul", at, self.each)
        hi = f.least(self.length, f.i("add", lo, self.each))
        x = f.at(self.x, offset, self.e.memory)
        out = f.at(self.out, offset, self.e.memory)
        pointers = [("ptr", p) for p in (x, out, self.before, total)]
        numbers = [("i64", n) for n in (self.length, self.inner, width, lo, hi)]
        f.invoke(name, *pointers, *numbers)

    def kept(self, f: Kernel, u: str) -> str:
        """Append where the totals of a block are kept."""
        return f.at(f.at(self.scratch, HEAD, "i8"), f.i("mul", u, TILE), self.e.kind)

    def write_totals(self) -> None:
        f = self.begin("totals")

        def one(u: str, _: list[str]) -> None:
            t = f.i("sdiv", u, self.blocks)
            at = f.i("sub", u, f.i("mul", t, self.blocks))
            self.walk(f, "total", at, t, self.kept(f, u))

        rows = f.i("mul", f.i("mul", self.outer, self.tiles), self.blocks)
        _unless_alone(f, self.scratch, rows, one)
        f.end()

    def set(self, f: Function, to: str, *others: str) -> None:
        """Append that a tile becomes what others come to, or neutral."""
        align = self.e.wide.itemsize

        def some(c: str, _: list[str]) -> None:
            new = ""
            for other in others:
                x = f.load(self.full, f.at(other, c, self.e.kind), align=align)
                new = self.combine(f, new, x) if new else x
            f.store(self.full, new or self.none, f.at(to, c, self.e.kind), align=align)

        f.loop(0, TILE, some, step=self.n)

    def write_part(self) -> None:
        f = self.begin("part", internal=True)

        def add(b: str, _: list[str]) -> None:
            self.set(f, self.before, self.before, self.kept(f, b))

        def one(u: str, _: list[str]) -> None:
            t = f.i("sdiv", u, self.blocks)
            at = f.i("sub", u, f.i("mul", t, self.blocks))
            if self.split:
                first = f.i("eq", at, 0)
                fresh = f.i("or", first, f.i("eq", u, "%begin"), "i1")

                def begin() -> None:
                    self.set(f, self.before)
                    f.loop(f.i("sub", u, at), u, add)

                f.when(fresh, begin)
            self.walk(f, "tile", at, t, self.total)
            if self.split:
                self.set(f, self.before, self.before, self.total)

        f.loop("%begin", "%end", one)
        f.end()

    def write_scan(self) -> None:
        f = Kernel(self.module, "scan")
        if self.split:
            _unless_done(f, f.buffer(2))
        else:
            _part(f, "%begin", "%end")
        f.end()


def rows_text(op: str, dtype: np.dtype[Any], reverse: bool, period: int) -> str:
    """Return the module of ``totals`` and ``scan`` for rows.

    Parameters
    ----------
    op : str
        Of the scalar vocabulary, or ``"logaddexp"``.
    dtype : dtype
        Of the elements.
    reverse : bool
        Whether to walk from the end.
    period : int
        How many elements alternate: 1, or 2 for pairs.
    """
    return _Rows(op, dtype, reverse, period).text()


def columns_text(op: str, dtype: np.dtype[Any], reverse: bool, split: bool) -> str:
    """Return the module of ``scan`` for columns, with ``totals`` if blocks of them are shared."""
    return _Columns(op, dtype, reverse, split).text()
