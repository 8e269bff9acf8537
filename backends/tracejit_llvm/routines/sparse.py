"""Products of sparse matrices, by compressed rows, and dense ones.

Threads share the rows, each of which is summed in the order of its entries.  A row times one column
is a sum of scalars, times several it is a sum of vectors along the row of the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.ir.dtypes import is_complex
from tracejit_llvm.routines.calls import LibraryFunction, LibraryStep, LibrarySteps
from tracejit_llvm.routines.elements import Elements
from tracejit_llvm.routines.writing import Kernel, module_text
from tracejit_llvm.text import Module, constant, element, spread, vector

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

    def text(self) -> str:
        f = self.f
        f.loop("%begin", "%end", lambda r, _: self.row(r))
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

    def row(self, r: str) -> None:
        """Append a row of the result."""
        f = self.f
        lo, hi = self.bound(r), self.bound(f.i("add", r, 1))
        first = r if self.single else f.i("mul", r, self.k)
        if self.complex:
            if self.single:
                self.complex_sum(lo, hi, "0", first)
            else:
                f.loop(0, self.k, lambda j, _: self.complex_sum(lo, hi, j, f.i("add", first, j)))
        elif self.single:
            self.real_sum(lo, hi, "0", first, 0, None)
        else:
            n = self.e.lanes
            whole = f.i("and", self.k, -n)

            def some(j: str, mask: str | None) -> None:
                self.real_sum(lo, hi, j, f.i("add", first, j), n, mask)

            f.loop(0, whole, lambda j, _: some(j, None), step=n)
            rest = f.i("sub", self.k, whole)
            f.when(f.i("sgt", rest, 0), lambda: some(whole, f.first(rest, n)))

    def place(self, p: str) -> tuple[str, str]:
        """Append the row of `x` that an entry meets, and whether there is one."""
        f = self.f
        column = self.number(self.indices, p)
        inside = f.i("ult", column, self.columns)
        return (column if self.single else f.i("mul", column, self.k)), inside

    def real_sum(self, lo: str, hi: str, j: str, to: str, n: int, mask: str | None) -> None:
        """Append elements ``j ..`` of a row: one if `n` is 0, else a vector."""
        f, e = self.f, self.e
        kind = vector(e.kind, n)
        zero = constant(0, e.wide)

        def entry(p: str, state: list[str]) -> list[str]:
            row, inside = self.place(p)

            def term() -> list[str]:
                a = e.widen(f, f.load(e.memory, self.data, p), 0)
                if not n:
                    b = e.widen(f, f.load(e.memory, self.x, row), 0)
                else:
                    a = f.splat(a, e.kind, n)
                    there = f.at(self.x, f.i("add", row, j), e.memory)
                    b = e.read(f, there, mask, "zeroinitializer")
                return [e.combine(f, "add", n, state[0], e.combine(f, "mul", n, a, b))]

            return f.when(inside, term, lambda: state, [kind])

        start = spread(zero, e.kind, n) if n else zero
        (total,) = f.loop(lo, hi, entry, [(kind, start)])
        if n:
            e.write(f, total, f.at(self.out, to, e.memory), mask)
        else:
            f.store(e.memory, e.narrow(f, total, 0), self.out, to)

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
