"""Eigenvalues and singular values.

Matrices that are not finite are never shown to LAPACK, whose iterations need not end on them: what
it would return is NaN, as where it does not converge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.ir.dtypes import real_of
from tracejit_llvm.routines.calls import LibrarySteps
from tracejit_llvm.routines.matrices import MatrixKernel, Room, stack_steps
from tracejit_llvm.text import float_text

__all__ = ["eig_steps", "eig_text", "eigh_steps", "eigh_text", "svd_steps", "svd_text"]

Dtype = np.dtype[Any]
PANEL = 66
"""Columns at a time, for which LAPACK is given memory."""
NAN = float("nan")


def _guarded(
    f: MatrixKernel, fine: str, run: Callable[[], str], fill: Callable[[], None]
) -> None:
    """Append `run`, which returns whether it worked, if `fine`; `fill` where one is false."""
    (worked,) = f.when(fine, lambda: [run()], lambda: ["false"], ["i1"])
    f.when(f.i("xor", worked, "true", "i1"), fill)


def _worked(f: MatrixKernel) -> str:
    return f.op(f"icmp eq i32 {f.load('i32', f.info)}, 0")


# ------------------------------------------------------------------------------------ eigh


def eigh_steps(params: tuple[int, ...], dtype: Dtype) -> LibrarySteps:
    """Return how Hermitian matrices are decomposed; `params` are those of the library call."""
    batch, n, vectors = params
    if not n:
        return LibrarySteps(())
    complex_ = dtype.kind == "c"
    real, item = real_of(dtype).itemsize, dtype.itemsize
    if complex_:
        work = max((2 * n + n * n) if vectors else n + 1, PANEL * n)
        reals = 1 + 5 * n + 2 * n * n if vectors else n
    else:
        work = max((1 + 6 * n + 2 * n * n) if vectors else 2 * n + 1, PANEL * n)
        reals = 0
    integers = 3 + 5 * n if vectors else 1
    room = Room.of(n * n * item, work * item, reals * real, integers * 4)
    cost = 2000.0 + 20.0 * n * n + (1.0 if vectors else 0.4) * n**3
    slots = (0, 1, 2) if vectors else (0, 1)
    return stack_steps(
        eigh_text, (dtype.name, bool(vectors)), slots, (batch, n, work, reals, integers), room,
        cost, n,
    )  # fmt: skip


def eigh_text(dtype: str, vectors: bool) -> str:
    """Return the module of decompositions of the Hermitian parts of matrices."""
    f = MatrixKernel(dtype, 3 if vectors else 2, 5, 4)
    a, w, *rest = f.buffers
    n, work, reals, integers = f.sizes[1:5]
    job, triangle = f.letter("V" if vectors else "N"), f.letter("L")
    order, space = f.number(n), f.number(work)
    space_r, space_i = f.number(reals), f.number(integers)
    count = f.i("mul", n, n)
    half = float_text(0.5, f.scalar)

    def lane(at: str, places: list[str]) -> None:
        own, memory, memory_r, memory_i = places
        source = f.lane(a, at, count)
        values = f.lane(w, at, n, f.scalar)

        def row(i: str, _: list[str]) -> None:
            def one(j: str, _: list[str]) -> None:
                here = f.i("mul", f.i("add", f.i("mul", i, n), j), f.parts)
                there = f.i("mul", f.i("add", f.i("mul", j, n), i), f.parts)
                for p in range(f.parts):
                    x, y = (
                        f.op(f"fmul {f.scalar} {half}, {f.load(f.scalar, source, place)}")
                        for place in (f.i("add", here, p), f.i("add", there, p))
                    )
                    # Row i of what is Hermitian is, conjugated, its column i.
                    x = x if p == 0 else f.op(f"fneg {f.scalar} {x}")
                    found = f.op(f"fadd {f.scalar} {x}, {y}")
                    f.store(f.scalar, found, own, f.i("add", here, p))

            f.loop(0, n, one)

        f.loop(0, n, row)

        def run() -> str:
            if f.parts == 1:
                f.fortran(
                    "syevd", job, triangle, order, own, order, values, memory, space, memory_i,
                    space_i, f.info,
                )  # fmt: skip
            else:
                f.fortran(
                    "heevd", job, triangle, order, own, order, values, memory, space, memory_r,
                    space_r, memory_i, space_i, f.info,
                )  # fmt: skip
            if vectors:
                f.turn(own, f.lane(rest[0], at, count), n, n, n, n)
            return _worked(f)

        def fill() -> None:
            f.fill(values, n, NAN, 1)
            if vectors:
                f.fill(f.lane(rest[0], at, count), count, NAN)

        _guarded(f, f.finite(own, count), run, fill)

    return f.lanes(lane)


# ------------------------------------------------------------------------------------- svd


def svd_steps(params: tuple[int, ...], dtype: Dtype) -> LibrarySteps:
    """Return how matrices are decomposed; `params` are those of the library call."""
    batch, m, n, full, vectors = params
    k, most = min(m, n), max(m, n)
    real, item = real_of(dtype).itemsize, dtype.itemsize
    inner_u, inner_v = (m, n) if full else (k, k)
    blocked = PANEL * (m + n)
    if dtype.kind == "c":
        work = (k * k + 3 * k + most if vectors else 2 * k + most) + k * k + blocked
        reals = max(5 * k * k + 7 * k, 2 * most * k + 2 * k * k + k) if vectors else 7 * k
    else:
        work = (4 * k * k + 7 * k if vectors else 7 * k) + most + 3 * k + k * k + blocked
        reals = 0
    room = Room.of(m * n * item, work * item, reals * real, 8 * k * 4)
    cost = 3000.0 + 20.0 * m * n + (2.0 if vectors else 0.5) * m * n * k
    job = ("A" if full else "S") if vectors else "N"
    slots = (0, 1, 2, 3) if vectors else (0, 1)
    sizes = (batch, m, n, inner_u, inner_v, work)
    return stack_steps(svd_text, (dtype.name, job), slots, sizes, room, cost, most)


def svd_text(dtype: str, job: str) -> str:
    """Return the module of singular value decompositions.

    To LAPACK the matrix is ``A^T = U' S V'^H``; so A has ``conj(V')`` to the left, which is how
    V'^H reads by rows, and ``U'^T`` to the right, which is how U' does.
    """
    vectors = job != "N"
    f = MatrixKernel(dtype, 4 if vectors else 2, 6, 4)
    a, *outs = f.buffers
    u, s, vh = outs if vectors else (f.scratch, outs[0], f.scratch)
    m, n, inner_u, inner_v, work = f.sizes[1:6]
    k = f.least(m, n)
    flag, rows, columns, space = f.letter(job), f.number(m), f.number(n), f.number(work)
    leading_u = f.leading(inner_u)
    counts = f.i("mul", m, n), f.i("mul", m, inner_u), f.i("mul", inner_v, n)

    def lane(at: str, places: list[str]) -> None:
        own, memory, memory_r, memory_i = places
        source, values = f.lane(a, at, counts[0]), f.lane(s, at, k, f.scalar)
        to_u = f.lane(u, at, counts[1]) if vectors else own
        to_v = f.lane(vh, at, counts[2]) if vectors else own

        def run() -> str:
            f.copy(source, own, counts[0])
            reals = (memory_r,) if f.parts == 2 else ()
            f.fortran(
                "gesdd", flag, columns, rows, own, columns, values, to_v, columns, to_u,
                leading_u, memory, space, *reals, memory_i, f.info,
            )  # fmt: skip
            return _worked(f)

        def fill() -> None:
            f.fill(values, k, NAN, 1)
            if vectors:
                f.fill(to_u, counts[1], NAN)
                f.fill(to_v, counts[2], NAN)

        _guarded(f, f.finite(source, counts[0]), run, fill)

    return f.lanes(lane)


# ------------------------------------------------------------------------------------- eig


def eig_steps(params: tuple[int, ...], dtype: Dtype) -> LibrarySteps:
    """Return how general matrices are decomposed; `params` are those of the library call."""
    batch, n, left, right = params
    if not n:
        return LibrarySteps(())
    item = dtype.itemsize
    square = n * n * item
    work = PANEL * n
    room = Room.of(
        square, square if left else 1, square if right else 1, 2 * n * item, work * item
    )
    cost = 3000.0 + 50.0 * n * n + 10.0 * n**3
    slots = tuple(range(2 + left + right))
    return stack_steps(
        eig_text, (dtype.name, bool(left), bool(right)), slots, (batch, n, work), room, cost, n
    )


def eig_text(dtype: str, left: bool, right: bool) -> str:
    """Return the module of decompositions of general matrices."""
    f = MatrixKernel(dtype, 2 + left + right, 3, 5)
    a, w, *outs = f.buffers
    n, work = f.sizes[1:3]
    jobs = [f.letter("V" if wanted else "N") for wanted in (left, right)]
    order, space = f.number(n), f.number(work)
    count = f.i("mul", n, n)
    twice = f.i("shl", n, 1)
    pairs = f.i("shl", count, 1)

    def lane(at: str, places: list[str]) -> None:
        own, lefts, rights, memory_w, memory = places
        source, values = f.lane(a, at, count), f.lane(w, at, twice, f.scalar)
        targets = [f.lane(out, at, pairs, f.scalar) for out in outs]
        found = [x for x, wanted in ((lefts, left), (rights, right)) if wanted]
        imaginary = f.at(memory_w, n, f.scalar)

        def run() -> str:
            f.turn(source, own, n, n, n, n)
            vectors = (lefts, order, rights, order, memory, space)
            if f.parts == 2:
                f.fortran("geev", *jobs, order, own, order, values, *vectors, memory_w, f.info)
                for x, target in zip(found, targets, strict=True):
                    f.turn(x, target, n, n, n, n)
                return _worked(f)
            f.fortran("geev", *jobs, order, own, order, memory_w, imaginary, *vectors, f.info)
            f.loop(0, n, one_value)
            for x, target in zip(found, targets, strict=True):
                _pair_up(f, x, target, imaginary, n)
            return _worked(f)

        def one_value(i: str, _: list[str]) -> None:
            to = f.i("shl", i, 1)
            f.store(f.scalar, f.load(f.scalar, memory_w, i), values, to)
            f.store(f.scalar, f.load(f.scalar, imaginary, i), values, f.i("add", to, 1))

        def fill() -> None:
            f.fill(values, twice, NAN, 1)
            for target in targets:
                f.fill(target, pairs, NAN, 1)

        _guarded(f, f.finite(source, count), run, fill)

    return f.lanes(lane)


def _pair_up(f: MatrixKernel, vectors: str, target: str, imaginary: str, n: str) -> None:
    """Append the conversion of LAPACK's real vectors, in columns, to complex ones, in rows.

    A pair of conjugate values has the real parts in the first column and the imaginary parts in
    the second.
    """
    zero, one = (float_text(x, f.scalar) for x in (0.0, 1.0))
    minus = float_text(-1.0, f.scalar)

    def column(j: str, _: list[str]) -> None:
        part = f.load(f.scalar, imaginary, j)
        first = f.op(f"fcmp ogt {f.scalar} {part}, {zero}")
        second = f.op(f"fcmp olt {f.scalar} {part}, {zero}")
        sign = f.choose(first, one, f.choose(second, minus, zero, f.scalar), f.scalar)
        of_real = f.i("mul", f.i("sub", j, f.op(f"zext i1 {second} to i64")), n)
        of_imaginary = f.i("mul", f.i("add", j, f.op(f"zext i1 {first} to i64")), n)

        def row(i: str, _: list[str]) -> None:
            x = f.load(f.scalar, vectors, f.i("add", of_real, i))
            y = f.load(f.scalar, vectors, f.i("add", of_imaginary, i))
            to = f.i("shl", f.i("add", f.i("mul", i, n), j), 1)
            f.store(f.scalar, x, target, to)
            f.store(
                f.scalar, f.op(f"fmul {f.scalar} {y}, {sign}"), target, f.i("add", to, 1)
            )

        f.loop(0, n, row)

    f.loop(0, n, column)
