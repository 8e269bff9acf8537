"""Stacks of small real matrices: each lane of a vector has a matrix of its own.

The order of the matrices is known when the code is written, so that all steps are written out; rows
are exchanged by selects, so that lanes need not agree on their pivots.  The last group repeats the
last matrix in lanes that nothing is written from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.routines.calls import LibraryFunction, LibraryStep, LibrarySteps
from tracejit_llvm.routines.writing import Kernel, module_text
from tracejit_llvm.text import Module, integers, spread, suffix, vector

__all__ = [
    "is_small",
    "small_cholesky_text",
    "small_lu_solve_text",
    "small_lu_text",
    "small_steps",
    "small_triangular_text",
]

LARGEST = 8
"""Order of the matrices."""
FEWEST = 4
"""Matrices below which LAPACK has each by itself."""
MOST_COLUMNS = 32
"""Right-hand sides of a matrix, above which BLAS has them."""
SCALARS = {"float32": "float", "float64": "double"}

Matrix = list[list[str]]


def is_small(dtype: np.dtype[Any], batch: int, n: int, columns: int = 1) -> bool:
    """Return whether stacks of `batch` matrices of order `n` are for the functions here."""
    return (
        dtype.name in SCALARS
        and 0 < n <= LARGEST
        and batch >= FEWEST
        and 0 < columns <= MOST_COLUMNS
    )


def small_steps(
    write: Callable[..., str],
    arguments: tuple[Any, ...],
    buffers: tuple[int, ...],
    sizes: tuple[int, ...],
    cost: float,
) -> LibrarySteps:
    """Return the launch of a function of this module, `cost` being that of one group."""
    groups = -(-sizes[0] // _lanes_of(arguments[0]))
    function = LibraryFunction(write, arguments, "small")
    return LibrarySteps((LibraryStep(function, buffers, sizes, groups, cost * groups),))


def _lanes_of(dtype: str) -> int:
    return 64 // np.dtype(dtype).itemsize


class _Small(Kernel):
    """A function whose rows are groups of matrices of order `n`."""

    __slots__ = ("batch", "first", "lanes", "mask", "n", "numbers", "scalar", "v")

    def __init__(self, dtype: str, n: int) -> None:
        super().__init__(Module(), "small")
        self.n = n
        self.scalar = SCALARS[dtype]
        self.lanes = _lanes_of(dtype)
        self.v = Lanes(self, self.scalar, self.lanes)
        self.batch = self.size(0)

    def text(self, body: Callable[[], None]) -> str:
        """Append the loop over groups; return the text of the module."""
        long = vector("i64", self.lanes)

        def group(g: str, _: list[str]) -> None:
            first = self.splat(self.i("mul", g, self.lanes), "i64", self.lanes)
            every = self.op(f"add {long} {first}, {integers(range(self.lanes), 'i64')}")
            end = self.splat(self.batch, "i64", self.lanes)
            self.mask = self.op(f"icmp slt {long} {every}, {end}")
            last = self.splat(self.i("sub", self.batch, 1), "i64", self.lanes)
            name = f"llvm.smin.v{self.lanes}i64"
            self.numbers = self.call(long, name, (long, every), (long, last))
            body()

        self.loop("%begin", "%end", group)
        self.end()
        return module_text(self.module)

    # ------------------------------------------------------------------ memory
    def places(self, base: str, count: str | int, kind: str) -> str:
        """Append where the matrices of `count` elements begin."""
        size = self.splat(str(count), "i64", self.lanes)
        start = self.op(f"mul {vector('i64', self.lanes)} {self.numbers}, {size}")
        return self.op(f"getelementptr {kind}, ptr {base}, {vector('i64', self.lanes)} {start}")

    def own(self, places: str, at: str | int, kind: str) -> str:
        """Append where an element of each matrix is; `at` is the same for all."""
        return self.op(f"getelementptr {kind}, {vector('ptr', self.lanes)} {places}, i64 {at}")

    def gather(self, places: str, kind: str) -> str:
        """Append the loads of elements."""
        n, full = self.lanes, vector(kind, self.lanes)
        return self.call(
            full, f"llvm.masked.gather.{suffix(kind, n)}.v{n}p0",
            (vector("ptr", n), places), ("i32", str(_SIZES[kind])),
            (vector("i1", n), spread("true", "i1", n)), (full, "zeroinitializer"),
        )  # fmt: skip

    def scatter(self, value: str, places: str, kind: str) -> None:
        """Append the stores of elements of the lanes that have matrices."""
        n, full = self.lanes, vector(kind, self.lanes)
        name = f"llvm.masked.scatter.{suffix(kind, n)}.v{n}p0"
        flags, pointers = vector("i1", n), vector("ptr", n)
        self.module.declare("void", name, [full, pointers, "i32", flags])
        self.line(
            f"call void @{name}({full} {value}, {pointers} {places}, i32 {_SIZES[kind]}, "
            f"{flags} {self.mask})"
        )

    def matrix(self, base: str, kept: Callable[[int, int], bool]) -> Matrix:
        """Append the loads of the elements (i, j) that are kept."""
        n = self.n
        places = self.places(base, n * n, self.scalar)
        return [
            [
                self.gather(self.own(places, i * n + j, self.scalar), self.scalar)
                if kept(i, j)
                else ""
                for j in range(n)
            ]
            for i in range(n)
        ]

    # ------------------------------------------------------------------ arithmetic
    def less(self, x: str, y: str, z: str) -> str:
        """Append ``x - y * z``, rounded once."""
        return self.v.intrinsic("fma", self.v.neg(y), z, x)

    def test(self, how: str, x: str, y: str) -> str:
        """Append a comparison of floats."""
        return self.op(f"fcmp {how} {self.v.type} {x}, {y}")

    def either(self, flags: str, x: str, y: str, kind: str = "") -> str:
        """Append a choice by lanes."""
        kind = kind or self.v.type
        return self.op(f"select {vector('i1', self.lanes)} {flags}, {kind} {x}, {kind} {y}")

    def or_(self, a: str, b: str) -> str:
        """Append whether one or the other holds."""
        return self.op(f"or {vector('i1', self.lanes)} {a}, {b}")

    def substitute(self, a: Matrix, x: list[str], trans: bool, lower: bool, unit: bool) -> None:
        """Append the solution of ``op(a) y = x``, in place of x; `lower` is said of `a`."""
        n = self.n
        order = range(n) if lower != trans else range(n - 1, -1, -1)
        done: list[int] = []
        for i in order:
            for j in done:
                x[i] = self.less(x[i], a[j][i] if trans else a[i][j], x[j])
            if not unit:
                x[i] = self.v.div(x[i], a[i][i])
            done.append(i)


_SIZES = {"double": 8, "i64": 8, "float": 4, "i32": 4}


def small_lu_text(dtype: str, n: int) -> str:
    """Return the module of LU factorizations with partial pivoting."""
    f = _Small(dtype, n)
    v, numbers = f.v, vector("i32", f.lanes)
    buffers = [f.buffer(k) for k in range(4)]

    def body() -> None:
        a = f.matrix(buffers[0], lambda i, j: True)
        order = [spread(str(i), "i32", f.lanes) for i in range(n)]
        pivots = []
        for i in range(n):
            best, chosen = v.intrinsic("fabs", a[i][i]), spread(str(i), "i32", f.lanes)
            for r in range(i + 1, n):
                size = v.intrinsic("fabs", a[r][i])
                more = f.test("ogt", size, best)
                best = f.either(more, size, best)
                chosen = f.either(more, spread(str(r), "i32", f.lanes), chosen, numbers)
            pivots.append(chosen)
            for r in range(i + 1, n):
                here = f.op(f"icmp eq {numbers} {chosen}, {spread(str(r), 'i32', f.lanes)}")
                for j in range(n):
                    x, y = a[i][j], a[r][j]
                    a[i][j], a[r][j] = f.either(here, y, x), f.either(here, x, y)
                x, y = order[i], order[r]
                order[i] = f.either(here, y, x, numbers)
                order[r] = f.either(here, x, y, numbers)
            # Without a pivot the column is 0, and stays so.
            none = f.test("oeq", a[i][i], v.c(0.0))
            pivot = f.either(none, v.c(1.0), a[i][i])
            for r in range(i + 1, n):
                a[r][i] = v.div(a[r][i], pivot)
                for j in range(i + 1, n):
                    a[r][j] = f.less(a[r][j], a[r][i], a[i][j])
        places = f.places(buffers[1], n * n, f.scalar)
        for i in range(n):
            for j in range(n):
                f.scatter(a[i][j], f.own(places, i * n + j, f.scalar), f.scalar)
        for base, found in zip(buffers[2:], (pivots, order), strict=True):
            places = f.places(base, n, "i32")
            for i, x in enumerate(found):
                f.scatter(x, f.own(places, i, "i32"), "i32")

    return f.text(body)


def small_lu_solve_text(dtype: str, n: int, trans: bool) -> str:
    """Return the module of systems of which LU factors are known; sizes ``(batch, k)``."""
    f = _Small(dtype, n)
    v, k = f.v, f.size(1)
    buffers = [f.buffer(i) for i in range(4)]
    count = f.i("mul", k, n)

    def body() -> None:
        a = f.matrix(buffers[0], lambda i, j: True)
        ranks = f.places(buffers[1], n, "i32")
        rows = []
        for i in range(n):
            rank = f.gather(f.own(ranks, i, "i32"), "i32")
            long = f.op(f"zext {vector('i32', f.lanes)} {rank} to {vector('i64', f.lanes)}")
            rows.append(f.op(f"mul {vector('i64', f.lanes)} {long}, {f.splat(k, 'i64', f.lanes)}"))
        singular = f.test("oeq", a[0][0], v.c(0.0))
        for i in range(1, n):
            singular = f.or_(singular, f.test("oeq", a[i][i], v.c(0.0)))
        source, target = (f.places(b, count, f.scalar) for b in buffers[2:])

        def column(c: str, _: list[str]) -> None:
            from_, to = (f.own(p, c, f.scalar) for p in (source, target))

            def ranked(places: str, i: int) -> str:
                pointers, long = vector("ptr", f.lanes), vector("i64", f.lanes)
                return f.op(f"getelementptr {f.scalar}, {pointers} {places}, {long} {rows[i]}")

            def plain(places: str, i: int) -> str:
                return f.own(places, f.i("mul", k, i), f.scalar)

            read, write = (plain, ranked) if trans else (ranked, plain)
            x = [f.gather(read(from_, i), f.scalar) for i in range(n)]
            if trans:
                f.substitute(a, x, True, False, False)
                f.substitute(a, x, True, True, True)
            else:
                f.substitute(a, x, False, True, True)
                f.substitute(a, x, False, False, False)
            for i in range(n):
                value = f.either(singular, v.c(float("nan")), x[i])
                f.scatter(value, write(to, i), f.scalar)

        f.loop(0, k, column)

    return f.text(body)


def small_triangular_text(
    dtype: str, n: int, left: bool, lower: bool, trans: bool, unit: bool
) -> str:
    """Return the module of triangular systems; sizes ``(batch, k)``."""
    f = _Small(dtype, n)
    k = f.size(1)
    buffers = [f.buffer(i) for i in range(3)]
    count = f.i("mul", k, n)

    def body() -> None:
        a = f.matrix(
            buffers[0], lambda i, j: (i > j if lower else i < j) or (i == j and not unit)
        )
        source, target = (f.places(b, count, f.scalar) for b in buffers[1:])

        def column(c: str, _: list[str]) -> None:
            # A system to the right is one to the left of the transposes.
            start = c if left else f.i("mul", c, n)
            from_, to = (f.own(p, start, f.scalar) for p in (source, target))
            offsets = [f.i("mul", k, i) if left else str(i) for i in range(n)]
            x = [f.gather(f.own(from_, at, f.scalar), f.scalar) for at in offsets]
            f.substitute(a, x, trans if left else not trans, lower, unit)
            for value, at in zip(x, offsets, strict=True):
                f.scatter(value, f.own(to, at, f.scalar), f.scalar)

        f.loop(0, k, column)

    return f.text(body)


def small_cholesky_text(dtype: str, n: int) -> str:
    """Return the module of Cholesky factorizations."""
    f = _Small(dtype, n)
    v = f.v
    buffers = [f.buffer(i) for i in range(2)]

    def body() -> None:
        a = f.matrix(buffers[0], lambda i, j: i >= j)
        failed = ""
        for j in range(n):
            for k in range(j):
                a[j][j] = f.less(a[j][j], a[j][k], a[j][k])
            bad = f.test("ule", a[j][j], v.c(0.0))
            failed = f.or_(failed, bad) if failed else bad
            a[j][j] = v.intrinsic("sqrt", a[j][j])
            for i in range(j + 1, n):
                for k in range(j):
                    a[i][j] = f.less(a[i][j], a[i][k], a[j][k])
                a[i][j] = v.div(a[i][j], a[j][j])
        # What is infinite may end in NaN without a pivot that is not positive.
        failed = f.or_(failed, f.test("uno", a[n - 1][n - 1], v.c(0.0)))
        places = f.places(buffers[1], n * n, f.scalar)
        for i in range(n):
            for j in range(n):
                value = a[i][j] if j <= i else v.c(0.0)
                value = f.either(failed, v.c(float("nan")), value)
                f.scatter(value, f.own(places, i * n + j, f.scalar), f.scalar)

    return f.text(body)
