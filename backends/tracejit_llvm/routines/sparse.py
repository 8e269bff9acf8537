"""Products of sparse matrices, by compressed rows, and dense ones.

Threads share the rows, each of which is summed in an order that depends on it alone.  A row times
one column is a sum of scalars, four at a time if it is long, times several it is a sum of vectors
along the row of the result.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tracejit.ir.dtypes import is_complex
from tracejit_llvm.routines.calls import LibraryFunction, LibraryStep, LibrarySteps
from tracejit_llvm.routines.elements import Elements
from tracejit_llvm.routines.writing import Kernel, module_text
from tracejit_llvm.text import Module, constant, element, spread, vector

FOUR = 4
"""Entries of a long row that are summed at a time."""
LONG = 16
"""Entries from which a row is long: below, the branches cost more than they save."""

__all__ = ["sparse_steps", "sparse_text"]


def sparse_steps(
    params: tuple[int, ...], dtype: np.dtype[Any], index: np.dtype[Any]
) -> LibrarySteps:
    """Return how a product is computed.

    Parameters
    ----------
    params : tuple of int
        Of the library call ``csr_matmul``.
    dtype, index : dtype
        Of the entries, and of their places.
    """
    rows, _, k, entries = params
    if not rows or not k:
        return LibrarySteps(())
    function = LibraryFunction(sparse_text, (dtype, index, k == 1), "csr_matmul")
    cost = 2.0 * rows + entries * (1.0 + k * dtype.itemsize / 16)
    return LibrarySteps((LibraryStep(function, (0, 1, 2, 3, 4), params, rows, cost),))


class _Product:
    """One form of a product; see :func:`sparse_text`."""

    def __init__(self, dtype: np.dtype[Any], index: np.dtype[Any], single: bool) -> None:
        self.e = Elements(dtype)
        self.complex = is_complex(dtype)
        self.index, self.single = element(index), single
        f = self.f = Kernel(Module(), "csr_matmul")
        self.data, self.indices, self.indptr, self.x, self.out = (f.buffer(n) for n in range(5))
        _, self.columns, self.k, self.entries = (f.size(n) for n in range(4))
        # All indices that are not negative are below 2**31 or 2**63, as unsigned numbers.
        limit = self.columns
        if self.index != "i64":
            limit = f.op(f"trunc i64 {f.least(limit, 1 << 31)} to {self.index}")
        self.limits = f.splat(limit, self.index, FOUR)

    def text(self) -> str:
        f = self.f
        f.loop("%begin", "%end", self.row, [("i64", self.bound("%begin"))])
        f.end()
        return module_text(f.module)

    def number(self, base: str, at: str) -> str:
        """Append the load of an index."""
        f = self.f
        value = f.load(self.index, base, at)
        return value if self.index == "i64" else f.op(f"sext {self.index} {value} to i64")

    def bound(self, at: str) -> str:
        """Append where a row begins, which is within the entries."""
        f = self.f
        return f.least(f.greatest(self.number(self.indptr, at), 0), self.entries)

    def row(self, r: str, state: list[str]) -> list[str]:
        """Append a row of the result; where it begins is carried."""
        f = self.f
        (lo,), hi = state, self.bound(f.i("add", r, 1))
        first = r if self.single else f.i("mul", r, self.k)
        if self.complex:
            if self.single:
                self.complex_sum(lo, hi, "0", first)
            else:
                f.loop(0, self.k, lambda j, _: self.complex_sum(lo, hi, j, f.i("add", first, j)))
        elif self.single:
            self.single_sum(lo, hi, r)
        else:
            n = self.e.lanes
            whole = f.i("and", self.k, -n)

            def some(j: str, mask: str | None) -> None:
                self.vector_sum(lo, hi, j, f.i("add", first, j), mask)

            f.loop(0, whole, lambda j, _: some(j, None), step=n)
            rest = f.i("sub", self.k, whole)
            f.when(f.i("sgt", rest, 0), lambda: some(whole, f.first(rest, n)))
        return [hi]

    def place(self, p: str) -> tuple[str, str]:
        """Append the row of `x` that an entry meets, and whether there is one."""
        f = self.f
        column = self.number(self.indices, p)
        inside = f.i("ult", column, self.columns)
        return (column if self.single else f.i("mul", column, self.k)), inside

    def term(self, p: str, row: str, j: str | None, mask: str | None = None) -> str:
        """Append an entry times an element of `x`, or times a vector of them from `j` on."""
        f, e = self.f, self.e
        a = e.widen(f, f.load(e.memory, self.data, p), 0)
        if j is None:
            b = e.widen(f, f.load(e.memory, self.x, row), 0)
            return e.combine(f, "mul", 0, a, b)
        there = f.at(self.x, f.i("add", row, j), e.memory)
        b = e.read(f, there, mask, "zeroinitializer")
        return e.combine(f, "mul", e.lanes, f.splat(a, e.kind, e.lanes), b)

    def product(self, p: str, row: str) -> list[str]:
        """Append an entry times the one element of a row of `x`."""
        return [self.term(p, row, None)]

    def single_sum(self, lo: str, hi: str, to: str) -> None:
        """Append a row of one element: four sums if it is long, and that of what is left."""
        f, e = self.f, self.e
        zero, kind = constant(0, e.wide), vector(e.kind, FOUR)
        length = f.i("sub", hi, lo)

        def four(p: str, state: list[str]) -> list[str]:
            full = vector(self.index, FOUR)
            columns = f.load(full, f.at(self.indices, p, self.index), align=4)
            inside = f.op(f"icmp ult {full} {columns}, {self.limits}")
            flags = f.op(f"bitcast <{FOUR} x i1> {inside} to i{FOUR}")

            def quick() -> list[str]:
                memory = vector(e.memory, FOUR)
                b = "poison"
                for n in range(FOUR):
                    x = f.load(e.memory, self.x, self.number(self.indices, f.i("add", p, n)))
                    b = f.op(f"insertelement {memory} {b}, {e.memory} {x}, i64 {n}")
                a = f.load(memory, f.at(self.data, p, e.memory), align=e.dtype.itemsize)
                a, b = (e.widen(f, v, FOUR) for v in (a, b))
                product = e.combine(f, "mul", FOUR, a, b)
                return [e.combine(f, "add", FOUR, state[0], product)]

            def slow() -> list[str]:
                terms = "poison"
                for n in range(FOUR):
                    at = f.i("add", p, n)
                    row, fits = self.place(at)
                    product = functools.partial(self.product, at, row)
                    (x,) = f.when(fits, product, lambda: [zero], [e.kind])
                    terms = f.op(f"insertelement {kind} {terms}, {e.kind} {x}, i64 {n}")
                return [e.combine(f, "add", FOUR, state[0], terms)]

            return f.when(f.i("eq", flags, -1, f"i{FOUR}"), quick, slow, [kind])

        def fours() -> list[str]:
            whole = f.i("add", lo, f.i("and", length, -FOUR))
            (sums,) = f.loop(lo, whole, four, [(kind, spread(zero, e.kind, FOUR))], step=FOUR)
            parts = [f.op(f"extractelement {kind} {sums}, i64 {n}") for n in range(FOUR)]
            pairs = [e.combine(f, "add", 0, parts[n], parts[n + 2]) for n in range(2)]
            return [whole, e.combine(f, "add", 0, *pairs)]

        rest, start = f.when(f.i("sge", length, LONG), fours, lambda: [lo, zero], ["i64", e.kind])

        def entry(p: str, state: list[str]) -> list[str]:
            row, inside = self.place(p)

            def term() -> list[str]:
                return [e.combine(f, "add", 0, state[0], self.term(p, row, None))]

            return f.when(inside, term, lambda: state, [e.kind])

        (total,) = f.loop(rest, hi, entry, [(e.kind, start)])
        f.store(e.memory, e.narrow(f, total, 0), self.out, to)

    def vector_sum(self, lo: str, hi: str, j: str, to: str, mask: str | None) -> None:
        """Append elements of a row, from `j` on."""
        f, e = self.f, self.e
        kind = vector(e.kind, e.lanes)

        def entry(p: str, state: list[str]) -> list[str]:
            row, inside = self.place(p)

            def term() -> list[str]:
                return [e.combine(f, "add", e.lanes, state[0], self.term(p, row, j, mask))]

            return f.when(inside, term, lambda: state, [kind])

        start = spread(constant(0, e.wide), e.kind, e.lanes)
        (total,) = f.loop(lo, hi, entry, [(kind, start)])
        e.write(f, total, f.at(self.out, to, e.memory), mask)

    def complex_sum(self, lo: str, hi: str, j: str, to: str) -> None:
        """Append one complex element."""
        f, e = self.f, self.e
        zero = constant(0, e.wide)

        def parts(base: str, at: str) -> list[str]:
            place = f.at(base, f.i("shl", at, 1), e.kind)
            return [f.load(e.kind, place, part) for part in range(2)]

        def entry(p: str, state: list[str]) -> list[str]:
            row, inside = self.place(p)

            def term() -> list[str]:
                (a, b), (c, d) = parts(self.data, p), parts(self.x, f.i("add", row, j))
                ac, bd, ad, bc = (
                    e.combine(f, "mul", 0, x, y) for x, y in ((a, c), (b, d), (a, d), (b, c))
                )
                one = f.op(f"fsub {e.kind} {ac}, {bd}")
                other = f.op(f"fadd {e.kind} {ad}, {bc}")
                return [
                    e.combine(f, "add", 0, s, x) for s, x in zip(state, (one, other), strict=True)
                ]

            return f.when(inside, term, lambda: state, [e.kind, e.kind])

        found = f.loop(lo, hi, entry, [(e.kind, zero)] * 2)
        place = f.at(self.out, f.i("shl", to, 1), e.kind)
        for part, value in enumerate(found):
            f.store(e.kind, value, place, part)


def sparse_text(dtype: np.dtype[Any], index: np.dtype[Any], single: bool) -> str:
    """Return the module of ``csr_matmul``.

    Parameters
    ----------
    dtype, index : dtype
        Of the entries, and of their places.
    single : bool
        Whether the dense matrix has one column.
    """
    return _Product(dtype, index, single).text()
