"""What the ways of sorting share: where the elements of a row are, read and written.

A row runs along the middle axis of ``[outer, length, inner]``.  The result of a sort is the sorted
array, if there is nothing but the keys; else, for each place, which of its row comes there: 32-bit
numbers in scratch memory, the *order*.  A further key sorts what an order `given` by an earlier
launch has brought.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tracejit_llvm.routines.sort_keys import CLASS, Keys
from tracejit_llvm.routines.writing import Function, Kernel, Typed
from tracejit_llvm.text import Module, spread, vector

__all__ = ["ORDER", "Rows", "SortForm"]

ROW_PARAMETERS: tuple[Typed, ...] = (
    ("ptr", "%x"), ("ptr", "%out"), ("ptr", "%order"), ("i64", "%base"), ("i64", "%length"),
    ("i64", "%inner"),
)  # fmt: skip
"""A row, as the functions take it that work on one."""

ORDER = 0
"""Where the order starts in scratch memory."""


class SortForm(NamedTuple):
    """What the code of a sort depends on.

    Attributes
    ----------
    dtype : dtype
        Of the key.
    part : int
        Of complex numbers; see :class:`tracejit_llvm.routines.sort_keys.Keys`.
    indexed : bool
        Whether the result is an order, else the sorted array.
    given : bool
        Whether there is an order already.
    """

    dtype: np.dtype[Any]
    part: int
    indexed: bool
    given: bool


class Rows:
    """Writes how rows are read and written; its kernels have the arguments below.

    Buffers: the keys, the sorted array, scratch memory.  Sizes: outer, length, inner, then others.
    """

    def __init__(self, form: SortForm) -> None:
        self.module = Module()
        self.form = form
        self.keys = Keys(form.dtype, form.part, form.indexed)

    def begin(self, name: str) -> Kernel:
        """Begin a kernel."""
        f = Kernel(self.module, name)
        self.x, self.out, self.scratch = (f.buffer(k) for k in range(3))
        self.outer, self.length, self.inner = (f.size(k) for k in range(3))
        self.order = f.at(self.scratch, ORDER, "i8")
        return f

    def base(self, f: Function, row: str) -> str:
        """Append the number of the first element of a row."""
        o = f.i("sdiv", row, self.inner)
        i = f.i("sub", row, f.i("mul", o, self.inner))
        return f.i("add", f.i("mul", f.i("mul", o, self.length), self.inner), i)

    def row(self, base: str) -> list[Typed]:
        """Return a row as arguments."""
        values = [self.x, self.out, self.order, base, self.length, self.inner]
        return [(kind, v) for (kind, _), v in zip(ROW_PARAMETERS, values, strict=True)]

    # ------------------------------------------------------------------ one element
    def read(self, f: Function, at: str) -> tuple[str, str, str]:
        """Append the widened key at a place of the row, its index, and whether it is unusual."""
        k = self.keys
        index = at
        if self.form.given:
            there = f.i("add", "%base", f.i("mul", at, "%inner"))
            index = f.op(f"zext i32 {f.load('i32', '%order', there)} to i64")
        place = f.i("add", "%base", f.i("mul", index, "%inner"))
        if k.parts == 2:
            place = f.i("add", place, place)
        if k.part == CLASS:
            real, imaginary = (f.load(k.memory, "%x", f.i("add", place, p)) for p in range(2))
            return k.classed(f, real, imaginary, 0), index, ""
        if k.part:
            place = f.i("add", place, k.part)
        bits = f.load(k.memory, "%x", place)
        unusual = k.unusual(f, bits, 0) if k.special else ""
        return k.widened(f, k.encode(f, bits, 0), 0), index, unusual

    def write(self, f: Function, at: str, word: str) -> None:
        """Append that a word comes to a place of the row."""
        k = self.keys
        place = f.i("add", "%base", f.i("mul", at, "%inner"))
        if k.indexed:
            index = f.op(f"trunc i64 {k.index(f, word)} to i32")
            f.store("i32", index, "%order", place)
        else:
            f.store(k.memory, k.decode(f, k.shortened(f, word, 0), 0), "%out", place)

    def write_restore(self) -> None:
        """Write ``restore(row)``: what the keys do not tell apart is put back in its order."""
        k = self.keys
        f = Function(self.module, "restore", ROW_PARAMETERS)
        kind = k.memory

        def bits(at: str) -> str:
            return f.load(kind, "%x", f.i("add", "%base", f.i("mul", at, "%inner")))

        def count(at: str, state: list[str]) -> list[str]:
            x = bits(at)
            nan = k.nan(f, x, 0)
            less = f.i("ugt", x, k._c(k.sign, 0), kind)  # below 0, or a NaN
            less = f.i("and", less, f.op(f"xor i1 {nan}, true"), "i1")
            flags = (less, nan)
            return [
                f.i("add", n, f.op(f"zext i1 {flag} to i64"))
                for n, flag in zip(state, flags, strict=True)
            ]

        below, nans = f.loop(0, "%length", count, [("i64", "0")] * 2)

        def put(at: str, state: list[str]) -> list[str]:
            x = bits(at)
            zero = f.i("eq", f.i("and", x, k._c(~k.sign, 0), kind), 0, kind)
            nan = k.nan(f, x, 0)

            def store() -> None:
                to = f.choose(zero, state[0], state[1])
                f.store(kind, x, "%out", f.i("add", "%base", f.i("mul", to, "%inner")))

            f.when(f.i("or", zero, nan, "i1"), store)
            return [
                f.i("add", n, f.op(f"zext i1 {flag} to i64"))
                for n, flag in zip(state, (zero, nan), strict=True)
            ]

        f.loop(0, "%length", put, [("i64", below), ("i64", f.i("sub", "%length", nans))])
        f.end()

    # ------------------------------------------------------------------ lanes of rows
    def gather(self, f: Function, kind: str, base: str, places: str, n: int, size: int) -> str:
        """Append elements at places of their own."""
        pointers, full, flags = vector("ptr", n), vector(kind, n), vector("i1", n)
        at = f.op(f"getelementptr {kind}, ptr {base}, {vector('i64', n)} {places}")
        return f.call(
            full, f"llvm.masked.gather.v{n}{kind}.v{n}p0", (pointers, at), ("i32", str(size)),
            (flags, spread("true", "i1", n)), (full, "zeroinitializer"),
        )  # fmt: skip

    def scatter(
        self, f: Function, kind: str, values: str, base: str, places: str, n: int, size: int
    ) -> None:
        """Append stores to places of their own; where they are the same, so are the values."""
        pointers, full, flags = vector("ptr", n), vector(kind, n), vector("i1", n)
        at = f.op(f"getelementptr {kind}, ptr {base}, {vector('i64', n)} {places}")
        name = f"llvm.masked.scatter.v{n}{kind}.v{n}p0"
        f.module.declare("void", name, [full, pointers, "i32", flags])
        f.line(
            f"call void @{name}({full} {values}, {pointers} {at}, i32 {size}, "
            f"{flags} {spread('true', 'i1', n)})"
        )
