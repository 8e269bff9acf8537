"""Scatters: windows of updates combined with an array at places that are data.

What may be shared between threads, so that every element is combined in one order:

==========  ==================================  =================================================
way         when                                a part of the work is
==========  ==================================  =================================================
windows     no element is written twice         some windows
lanes       otherwise                           some lanes, all windows of each in order
columns     few lanes, wide windows             some columns of all windows, in order
private     few lanes, many updates an element  some windows, combined in an array of their own;
                                                these are then combined in order
==========  ==================================  =================================================

How many arrays of their own there are depends on the shapes alone.  Sums of float16 and bfloat16
that may meet are made in such an array of float32, if only in one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.ir.dtypes import DTYPES, is_bool, is_unsigned, real_of
from tracejit_llvm.routines.calls import (
    SCRATCH,
    LibraryFunction,
    LibraryStep,
    LibrarySteps,
    aligned,
)
from tracejit_llvm.routines.elements import STEPS, Elements
from tracejit_llvm.routines.writing import Function, Kernel, module_text
from tracejit_llvm.text import Module, element, vector

__all__ = ["SCATTERS", "copy_text", "merge_text", "scatter_steps", "scatter_text"]

SCATTERS = frozenset(["scatter", "scatter_add", "scatter_mul", "scatter_min", "scatter_max"])

PIECE = 32
"""Columns that are not shared."""
ARRAYS = 8
"""How many private arrays there are."""
WORTH_ARRAYS = 1 << 15
"""Updates from which private arrays are worth it."""
COPY = 1 << 18
"""Bytes that are copied as one."""
MERGE = 1 << 13
"""Elements that are merged as one."""
SHORT = 16
"""Elements that lie together up to which their number is part of the code."""
HEAD = 4
"""Integer arguments before those of the windows."""


def scatter_steps(
    name: str, params: tuple[int, ...], dtype: np.dtype[Any], index: np.dtype[Any]
) -> LibrarySteps:
    """Return how a scatter is computed.

    Parameters
    ----------
    name : str
        In :data:`SCATTERS`.
    params : tuple of int
        Of the library call.
    dtype, index : dtype
        Of the array and of the indices.
    """
    lanes, batch, size, drop, unique, *rest = params
    dtype = real_of(dtype)
    starts, window = _pairs(rest)
    width = math.prod(length for length, _ in window)
    total, updates = lanes * size, lanes * batch * width
    nbytes = total * dtype.itemsize
    copy = LibraryStep(
        LibraryFunction(copy_text, (), "copy"), (0, 3), (nbytes,), -(-nbytes // COPY), nbytes / 16
    )
    if not updates:
        return LibrarySteps((copy,))
    op = STEPS.get(name, "")
    if not op:
        dtype = DTYPES[f"u{8 * dtype.itemsize}"]
    elif is_bool(dtype):
        op = {"add": "max", "mul": "min"}.get(op, op)
    run = window[-1] if window else (1, 1)
    pieces = -(-run[0] // PIECE)
    numbers = (*(n for pair in starts for n in pair), *(n for pair in window for n in pair))
    short = run[0] if run[1] == 1 and run[0] <= SHORT else 0
    form = (op, dtype, index, len(starts), len(window), run[1] == 1, short, bool(drop))
    cost = lanes * batch * (2.0 + len(starts) + width * 0.5)

    def place(way: str, rows: int, each: int, shared: bool = True) -> LibraryStep:
        function = LibraryFunction(scatter_text, (*form, way), "scatter")
        target = SCRATCH if way == "private" else 3
        sizes = (lanes, batch, size, each, *numbers)
        return LibraryStep(function, (1, 2, target), sizes, rows, cost, shared)

    narrow = op in ("add", "mul") and Elements(dtype).wide != dtype
    if unique:
        return LibrarySteps((copy, place("windows", lanes * batch, 1)))
    arrays = 0
    if op and lanes < ARRAYS and updates >= max(WORTH_ARRAYS, 2 * ARRAYS * total):
        arrays = ARRAYS
    if narrow:
        arrays = max(arrays, 1)
    elif lanes < ARRAYS and pieces > 1 and run[1] == 1:
        return LibrarySteps((copy, place("columns", pieces, 1)))
    if not arrays:
        return LibrarySteps((copy, place("windows", lanes, batch)))
    wide = Elements(dtype).wide.itemsize
    merge = LibraryStep(
        LibraryFunction(merge_text, (op, dtype), "merge"), (0, 3, SCRATCH), (total, arrays),
        -(-total // MERGE), total * (1 + arrays) * wide / 16,
    )  # fmt: skip
    steps = (place("private", lanes * arrays, arrays), merge)
    return LibrarySteps(steps, aligned(arrays * total * wide))


def _pairs(rest: list[int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    groups = []
    while rest:
        count, rest = rest[0], rest[1:]
        groups.append([(rest[2 * k], rest[2 * k + 1]) for k in range(count)])
        rest = rest[2 * count :]
    return groups[0], groups[1]


class _Scatter:
    """One form of a scatter; see :func:`scatter_text`."""

    def __init__(
        self,
        op: str,
        dtype: np.dtype[Any],
        index: np.dtype[Any],
        starts: int,
        axes: int,
        contiguous: bool,
        short: int,
        drop: bool,
        way: str,
    ) -> None:
        self.module = Module()
        self.op = op
        self.e = Elements(dtype)
        # Private arrays hold what is combined, others what is in memory.
        self.t = Elements(self.e.wide) if way == "private" else self.e
        self.index, self.starts, self.axes = index, starts, axes
        self.contiguous, self.short, self.drop, self.way = contiguous, short, drop, way

    def text(self) -> str:
        f = self.f = Kernel(self.module, "scatter")
        self.indices, self.updates, self.target = (f.buffer(k) for k in range(3))
        self.lanes, self.batch, self.size, self.each = (f.size(k) for k in range(HEAD))
        self.numbers = [f.size(HEAD + k) for k in range(2 * (self.starts + self.axes))]
        self.width = "1"
        for k in range(self.axes):
            self.width = f.i("mul", self.width, self.numbers[2 * (self.starts + k)])
        ways = {"windows": self.windows, "columns": self.columns, "private": self.private}
        ways[self.way](f)
        f.end()
        return module_text(self.module)

    # ------------------------------------------------------------------ ways
    def windows(self, f: Kernel) -> None:
        """Rows are `each` windows, in order over all lanes."""
        lo, hi = f.i("mul", "%begin", self.each), f.i("mul", "%end", self.each)
        first = f.i("sdiv", lo, self.batch)

        def lane(n: str, _: list[str]) -> None:
            start = f.i("mul", n, self.batch)
            own = f.greatest(f.i("sub", lo, start), 0)
            self.some(f, n, n, own, f.least(f.i("sub", hi, start), self.batch))

        end = f.i("add", f.i("sdiv", f.i("sub", hi, 1), self.batch), 1)
        f.loop(first, end, lane)

    def columns(self, f: Kernel) -> None:
        """Rows are pieces of the last axis of all windows."""
        f.loop(0, self.lanes, lambda n, _: self.some(f, n, n, "0", self.batch))

    def private(self, f: Kernel) -> None:
        """Rows are parts of the windows of a lane, each with an array."""

        def part(r: str, _: list[str]) -> None:
            p = f.i("sdiv", r, self.lanes)
            n = f.i("sub", r, f.i("mul", p, self.lanes))
            own = f.at(self.target, f.i("mul", r, self.size), self.t.memory)
            lanes = self.t.lanes
            whole = f.i("and", self.size, -lanes)
            none, full = self.t.neutrals(self.op), vector(self.t.kind, lanes)
            align = self.t.wide.itemsize

            def fill(k: str, _: list[str]) -> None:
                f.store(full, none, f.at(own, k, self.t.kind), align=align)

            def fill_one(k: str, _: list[str]) -> None:
                f.store(self.t.kind, self.t.neutral(self.op), f.at(own, k, self.t.kind))

            f.loop(0, whole, fill, step=lanes)
            f.loop(whole, self.size, fill_one)
            lo = f.i("sdiv", f.i("mul", p, self.batch), self.each)
            hi = f.i("sdiv", f.i("mul", f.i("add", p, 1), self.batch), self.each)
            self.some(f, n, r, lo, hi)

        f.loop("%begin", "%end", part)

    # ------------------------------------------------------------------ windows
    def some(self, f: Function, lane: str, target: str, lo: str, hi: str) -> None:
        """Append the windows `lo .. hi-1` of a lane, into the array of number `target`."""
        start = f.i("mul", lane, self.batch)
        indices = f.at(self.indices, f.i("mul", start, self.starts), element(self.index))
        updates = f.at(self.updates, f.i("mul", start, self.width), self.e.memory)
        own = f.at(self.target, f.i("mul", target, self.size), self.t.memory)

        def one(b: str, _: list[str]) -> None:
            offset, inside = self.place(f, indices, b)
            to = f.at(own, offset, self.t.memory)
            source = f.at(updates, f.i("mul", b, self.width), self.e.memory)
            if inside:
                f.when(inside, lambda: self.axis(f, 0, to, source))
            else:
                self.axis(f, 0, to, source)

        f.loop(lo, hi, one)

    def place(self, f: Function, indices: str, b: str) -> tuple[str, str]:
        """Append where a window starts, and whether it is written if some are not."""
        offset, inside = "0", ""
        kind = element(self.index)
        for k in range(self.starts):
            stride, room = self.numbers[2 * k : 2 * k + 2]
            at = f.i("add", f.i("mul", b, self.starts), k)
            index = f.load(kind, indices, at)
            if kind != "i64":
                index = f.op(f"{'z' if is_unsigned(self.index) else 's'}ext {kind} {index} to i64")
            if self.drop:
                fits = f.i("ule", index, room)
                inside = f.i("and", inside, fits, "i1") if inside else fits
            elif is_unsigned(self.index):
                index = f.call("i64", "llvm.umin.i64", ("i64", index), ("i64", room))
            else:
                index = f.greatest(f.least(index, room), 0)
            offset = f.i("add", offset, f.i("mul", index, stride))
        return offset, inside

    def axis(self, f: Function, k: int, to: str, source: str) -> None:
        """Append the axes of a window from `k` on."""
        if self.axes == 0:
            self.single(f, to, source)
            return
        length, stride = self.numbers[2 * (self.starts + k) : 2 * (self.starts + k) + 2]
        if k < self.axes - 1:
            below = "1"
            for n in range(k + 1, self.axes):
                below = f.i("mul", below, self.numbers[2 * (self.starts + n)])

            def one(w: str, _: list[str]) -> None:
                there = f.at(to, f.i("mul", w, stride), self.t.memory)
                self.axis(f, k + 1, there, f.at(source, f.i("mul", w, below), self.e.memory))

            f.loop(0, length, one)
            return
        if self.short:
            self.written_out(f, to, source)
            return
        lo, hi = "0", length
        if self.way == "columns":
            lo = f.i("mul", "%begin", PIECE)
            hi = f.least(length, f.i("mul", "%end", PIECE))
        if self.contiguous:
            self.run(f, to, source, lo, hi)
            return

        def element_(w: str, _: list[str]) -> None:
            there = f.at(to, f.i("mul", w, stride), self.t.memory)
            self.single(f, there, f.at(source, w, self.e.memory))

        f.loop(lo, hi, element_)

    def written_out(self, f: Function, to: str, source: str) -> None:
        """Append a few elements that lie together."""
        w = 0
        while w < self.short:
            n = min(1 << ((self.short - w).bit_length() - 1), self.e.lanes)
            there, from_ = f.at(to, w, self.t.memory), f.at(source, w, self.e.memory)
            self.single(f, there, from_, n if n > 1 else 0)
            w += n

    def single(self, f: Function, to: str, source: str, n: int = 0) -> None:
        """Append one element, or a vector of `n`."""
        e, t = self.e, self.t
        new = f.load(vector(e.memory, n), source, align=e.dtype.itemsize)
        if self.op:
            new = e.widen(f, new, n)
            old = f.load(vector(t.memory, n), to, align=t.dtype.itemsize)
            new = t.narrow(f, e.combine(f, self.op, n, t.widen(f, old, n), new), n)
        f.store(vector(t.memory, n), new, to, align=t.dtype.itemsize)

    def run(self, f: Function, to: str, source: str, lo: str, hi: str) -> None:
        """Append elements that lie together."""
        e, t, n = self.e, self.t, self.e.lanes

        def some(w: str, mask: str | None) -> None:
            there, from_ = f.at(to, w, t.memory), f.at(source, w, e.memory)
            new = e.read(f, from_, mask, "zeroinitializer")
            if self.op:
                old = t.read(f, there, mask, "zeroinitializer")
                new = e.combine(f, self.op, n, old, new)
            t.write(f, new, there, mask)

        over_lanes(f, lo, hi, n, some)


def over_lanes(
    f: Function, lo: str, hi: str, n: int, some: Callable[[str, str | None], None]
) -> None:
    """Append ``some(first, mask)`` for vectors of `n` lanes."""
    whole = f.i("and", f.i("sub", hi, lo), -n)
    middle = f.i("add", lo, whole)
    f.loop(lo, middle, lambda w, _: some(w, None), step=n)
    rest = f.i("sub", hi, middle)
    f.when(f.i("sgt", rest, 0), lambda: some(middle, f.first(rest, n)))


def scatter_text(
    op: str,
    dtype: np.dtype[Any],
    index: np.dtype[Any],
    starts: int,
    axes: int,
    contiguous: bool,
    short: int,
    drop: bool,
    way: str,
) -> str:
    """Return the module of ``scatter``.

    Parameters
    ----------
    op : str
        Of the scalar vocabulary; empty to replace.
    dtype, index : dtype
        Of elements and of indices.
    starts, axes : int
        How many indices and axes a window has.
    contiguous : bool
        Whether the elements along the last axis lie together.
    short : int
        How many these are, if few; else 0.
    drop : bool
        Whether windows that are not inside are not written; else they are moved.
    way : {"windows", "columns", "private"}
        What the rows are.
    """
    return _Scatter(op, dtype, index, starts, axes, contiguous, short, drop, way).text()


def merge_text(op: str, dtype: np.dtype[Any]) -> str:
    """Return the module of ``merge``, which combines an array with private ones."""
    module, e = Module(), Elements(dtype)
    t = Elements(e.wide)
    f = Kernel(module, "merge")
    x, out, arrays = (f.buffer(k) for k in range(3))
    total, count = f.size(0), f.size(1)

    def some(k: str, mask: str | None) -> None:
        value = e.read(f, f.at(x, k, e.memory), mask, "zeroinitializer")

        def add(a: str, state: list[str]) -> list[str]:
            place = f.at(arrays, f.i("add", f.i("mul", a, total), k), t.memory)
            other = t.read(f, place, mask, "zeroinitializer")
            return [e.combine(f, op, e.lanes, state[0], other)]

        (value,) = f.loop(0, count, add, [(vector(e.kind, e.lanes), value)])
        e.write(f, value, f.at(out, k, e.memory), mask)

    hi = f.least(total, f.i("mul", "%end", MERGE))
    over_lanes(f, f.i("mul", "%begin", MERGE), hi, e.lanes, some)
    f.end()
    return module_text(module)


def copy_text() -> str:
    """Return the module of ``copy``, which copies bytes unless they are there already."""
    module = Module()
    f = Kernel(module, "copy")
    x, out = f.buffer(0), f.buffer(1)
    module.declare("void", "llvm.memcpy.p0.p0.i64", ["ptr", "ptr", "i64", "i1"])

    def move() -> None:
        lo = f.i("mul", "%begin", COPY)
        hi = f.least(f.size(0), f.i("mul", "%end", COPY))
        pointers = f"ptr {f.at(out, lo, 'i8')}, ptr {f.at(x, lo, 'i8')}"
        f.line(
            f"call void @llvm.memcpy.p0.p0.i64({pointers}, i64 {f.i('sub', hi, lo)}, i1 false)"
        )

    f.when(f.op(f"icmp ne ptr {x}, {out}"), move)
    f.end()
    return module_text(module)
