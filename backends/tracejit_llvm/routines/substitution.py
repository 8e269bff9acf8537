"""Systems of equations with triangular matrices, and with the factors of LU."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit_llvm.routines.calls import LibrarySteps
from tracejit_llvm.routines.matrices import MatrixKernel, Room, stack_steps
from tracejit_llvm.routines.small_matrices import (
    is_small,
    small_lu_solve_text,
    small_steps,
    small_triangular_text,
)

__all__ = ["lu_solve_steps", "lu_solve_text", "triangular_steps", "triangular_text"]

Dtype = np.dtype[Any]


class Substitution:
    """Calls of BLAS for ``op(A) X = B`` or ``X op(A) = B``, in place of B.

    To BLAS each is the transposed equation, with the transposes at hand: ``X^T op(A)^T = B^T``.

    Parameters
    ----------
    f : MatrixKernel
        Where they are appended; still in its entry.
    n, k : str
        The order of the matrices, and how many right-hand sides there are.
    left, lower, trans, conjugate, unit : bool
        See :func:`tracejit.ops.triangular.triangular_solve`.
    vector : bool
        Whether there is one right-hand side, to the left.
    """

    def __init__(
        self, f: MatrixKernel, n: str, k: str, *, left: bool, lower: bool, trans: bool,
        conjugate: bool, unit: bool, vector: bool,
    ) -> None:  # fmt: skip
        self.f = f
        self.count = f.i("mul", n, k)
        self.vector = vector
        conjugate = conjugate and f.parts == 2
        # One right-hand side stands untransposed; several are the rows of a transpose.
        turned = trans != vector
        self.around = conjugate and not turned
        side = f.letter("R" if left else "L")
        triangle = f.letter("U" if lower else "L")
        op = f.letter(("C" if conjugate else "T") if turned else "N")
        diagonal = f.letter("U" if unit else "N")
        order, leading = f.number(n), f.leading(n)
        if vector:
            self.before: tuple[str, ...] = (triangle, op, diagonal, order)
            self.after: tuple[str, ...] = (f.number(1),)
        else:
            shape = (f.number(k), order) if left else (order, f.number(k))
            self.before = (side, triangle, op, diagonal, *shape, f.one())
            self.after = (f.leading(k) if left else leading,)
        self.leading = leading

    def append(self, a: str, x: str) -> None:
        """Append the calls for a matrix and right-hand sides, which become the solution."""
        f = self.f
        if self.around:
            f.conjugate(x, self.count)
        name = "trsv" if self.vector else "trsm"
        f.fortran(name, *self.before, a, self.leading, x, *self.after)
        if self.around:
            f.conjugate(x, self.count)


def _cost(n: int, k: int) -> float:
    return 300.0 + 0.3 * n * k + 0.1 * n * n * k


def triangular_steps(params: tuple[int, ...], dtype: Dtype) -> LibrarySteps:
    """Return how stacks of systems are solved; `params` are those of the library call."""
    batch, n, k, left, *how = params
    if not n * k:
        return LibrarySteps(())
    if is_small(dtype, batch, n, k):
        lower, trans, _, unit = map(bool, how)
        cost = 50.0 + 10 * n * n + 10 * n * k
        small = (dtype.name, n, bool(left), lower, trans, unit)
        return small_steps(small_triangular_text, small, (0, 1, 2), (batch, k), cost)
    vector = bool(left) and k == 1
    arguments = (dtype.name, bool(left), *map(bool, how), vector)
    return stack_steps(
        triangular_text, arguments, (0, 1, 2), (batch, n, k), Room.of(), _cost(n, k), max(n, k)
    )


def triangular_text(
    dtype: str, left: bool, lower: bool, trans: bool, conjugate: bool, unit: bool, vector: bool
) -> str:
    """Return the module of triangular systems."""
    f = MatrixKernel(dtype, 3, 3, 0)
    a, b, out = f.buffers
    n, k = f.sizes[1:3]
    solve = Substitution(
        f, n, k, left=left, lower=lower, trans=trans, conjugate=conjugate, unit=unit, vector=vector
    )
    square = f.i("mul", n, n)

    def lane(at: str, _: list[str]) -> None:
        target = f.lane(out, at, solve.count)
        f.copy(f.lane(b, at, solve.count), target, solve.count)
        solve.append(f.lane(a, at, square), target)

    return f.lanes(lane)


def lu_solve_steps(params: tuple[int, ...], dtype: Dtype) -> LibrarySteps:
    """Return how stacks of systems are solved; `params` are those of the library call."""
    batch, n, k, trans = params
    if not n * k:
        return LibrarySteps(())
    if is_small(dtype, batch, n, k):
        cost = 50.0 + 20 * n * n + 20 * n * k
        small = (dtype.name, n, bool(trans))
        return small_steps(small_lu_solve_text, small, (1, 2, 3, 4), (batch, k), cost)
    room = Room.of(n * k * dtype.itemsize)
    return stack_steps(
        lu_solve_text, (dtype.name, bool(trans), k == 1), (1, 2, 3, 4), (batch, n, k), room,
        2 * _cost(n, k), max(n, k),
    )  # fmt: skip


def lu_solve_text(dtype: str, trans: bool, vector: bool) -> str:
    """Return the module of systems of which LU factors are known."""
    f = MatrixKernel(dtype, 4, 3, 1)
    factors, order, b, out = f.buffers
    n, k = f.sizes[1:3]
    how = {"left": True, "trans": trans, "conjugate": False, "vector": vector}
    lower = Substitution(f, n, k, lower=True, unit=True, **how)
    upper = Substitution(f, n, k, lower=False, unit=False, **how)
    count, square = lower.count, f.i("mul", n, n)

    def lane(at: str, places: list[str]) -> None:
        (own,) = places
        matrix, target = f.lane(factors, at, square), f.lane(out, at, count)
        source, rank = f.lane(b, at, count), f.lane(order, at, n, "i32")

        def move(i: str, _: list[str]) -> None:
            there = f.i("mul", f.op(f"sext i32 {f.load('i32', rank, i)} to i64"), k)
            here = f.i("mul", i, k)
            if trans:
                from_, to = f.at(own, here, f.element), f.at(target, there, f.element)
            else:
                from_, to = f.at(source, there, f.element), f.at(target, here, f.element)
            f.loop(0, k, lambda j, _: f.store(f.element, f.load(f.element, from_, j), to, j))

        if trans:
            f.copy(source, own, count)
            upper.append(matrix, own)
            lower.append(matrix, own)
        f.loop(0, n, move)
        if not trans:
            lower.append(matrix, target)
            upper.append(matrix, target)
        singular = f.on_diagonal(matrix, n, f.is_zero)
        f.when(singular, lambda: f.fill(target, count, float("nan")))

    return f.lanes(lane)
