"""Factorizations: Cholesky, LU, QR."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit_llvm.routines.calls import LibrarySteps
from tracejit_llvm.routines.matrices import MatrixKernel, Room, stack_steps
from tracejit_llvm.routines.small_matrices import (
    is_small,
    small_cholesky_text,
    small_lu_text,
    small_steps,
)

__all__ = ["cholesky_steps", "cholesky_text", "lu_steps", "lu_text", "qr_steps", "qr_text"]

Dtype = np.dtype[Any]
PANEL = 64
"""Columns at a time, for which LAPACK is given memory."""


def cholesky_steps(params: tuple[int, ...], dtype: Dtype) -> LibrarySteps:
    """Return how stacks are factored; `params` are those of the library call."""
    batch, n = params
    if is_small(dtype, batch, n):
        cost = 30.0 + 20.0 * n * n
        return small_steps(small_cholesky_text, (dtype.name, n), (0, 1), (batch,), cost)
    cost = 300.0 + 2.0 * n * n + 0.05 * n**3
    return stack_steps(cholesky_text, (dtype.name,), (0, 1), params, Room.of(), cost, n)


def cholesky_text(dtype: str) -> str:
    """Return the module of Cholesky factorizations.

    To LAPACK the lower triangle of A is the upper one of A^T, whose factor U is what L is to it.
    """
    f = MatrixKernel(dtype, 2, 2, 0)
    a, out = f.buffers
    n = f.sizes[1]
    upper, order, row = f.letter("U"), f.number(n), f.leading(n)
    count = f.i("mul", n, n)

    def lane(at: str, _: list[str]) -> None:
        source, target = f.lane(a, at, count), f.lane(out, at, count)

        def one_row(i: str, _: list[str]) -> None:
            start, kept = f.i("mul", i, n), f.i("add", i, 1)
            from_, to = f.at(source, start, f.element), f.at(target, start, f.element)
            f.loop(0, kept, lambda j, _: f.store(f.element, f.load(f.element, from_, j), to, j))
            f.fill(f.at(to, kept, f.element), f.i("sub", n, kept), 0.0)

        f.loop(0, n, one_row)
        f.fortran("potrf", upper, order, target, row, f.info)
        failed = f.i("or", f.failed(), f.on_diagonal(target, n, f.is_nan), "i1")
        f.when(failed, lambda: f.fill(target, count, float("nan")))

    return f.lanes(lane)


def lu_steps(params: tuple[int, ...], dtype: Dtype) -> LibrarySteps:
    """Return how stacks are factored; `params` are those of the library call."""
    batch, m, n = params
    if m == n and is_small(dtype, batch, n):
        cost = 50.0 + 30.0 * n * n
        return small_steps(small_lu_text, (dtype.name, n), (0, 1, 2, 3), (batch,), cost)
    cost = 500.0 + 4.0 * m * n + 0.08 * m * n * min(m, n)
    room = Room.of(m * n * dtype.itemsize)
    return stack_steps(lu_text, (dtype.name,), (0, 1, 2, 3), params, room, cost, max(m, n))


def lu_text(dtype: str) -> str:
    """Return the module of LU factorizations."""
    f = MatrixKernel(dtype, 4, 3, 1)
    a, factors, pivots, order = f.buffers
    m, n = f.sizes[1:3]
    k = f.least(m, n)
    rows, columns, leading = f.number(m), f.number(n), f.leading(m)
    count = f.i("mul", m, n)

    def lane(at: str, places: list[str]) -> None:
        (turned,) = places
        target = f.lane(factors, at, count)
        chosen, rank = f.lane(pivots, at, k, "i32"), f.lane(order, at, m, "i32")
        f.turn(f.lane(a, at, count), turned, m, n, n, m)
        some = f.i("sgt", count, 0)
        f.when(some, lambda: f.fortran("getrf", rows, columns, turned, leading, chosen, f.info))
        f.turn(turned, target, n, m, m, n)
        f.loop(0, m, lambda i, _: f.store("i32", f.op(f"trunc i64 {i} to i32"), rank, i))

        def exchange(i: str, _: list[str]) -> None:
            there = f.i("sub", f.load("i32", chosen, i), 1, "i32")
            f.store("i32", there, chosen, i)
            other = f.op(f"sext i32 {there} to i64")
            x, y = f.load("i32", rank, i), f.load("i32", rank, other)
            f.store("i32", y, rank, i)
            f.store("i32", x, rank, other)

        f.loop(0, k, exchange)

    return f.lanes(lane)


def qr_steps(params: tuple[int, ...], dtype: Dtype) -> LibrarySteps:
    """Return how stacks are factored; `params` are those of the library call."""
    batch, m, n, full = params
    k = min(m, n)
    inner = m if full else k
    work = PANEL * max(n, inner, 1)
    room = Room.of(*(dtype.itemsize * c for c in (m * max(n, inner), k, work)))
    cost = 1500.0 + 5.0 * m * n + 0.3 * m * inner * k
    sizes = (batch, m, n, inner, work)
    return stack_steps(qr_text, (dtype.name,), (0, 1, 2), sizes, room, cost, max(m, n))


def qr_text(dtype: str) -> str:
    """Return the module of QR factorizations of matrices that have elements."""
    f = MatrixKernel(dtype, 3, 5, 3)
    a, q, r = f.buffers
    m, n, inner, work = f.sizes[1:5]
    k = f.least(m, n)
    rows, columns, least, wanted = f.number(m), f.number(n), f.number(k), f.number(inner)
    space = f.number(work)
    name = "orgqr" if f.parts == 1 else "ungqr"

    def lane(at: str, places: list[str]) -> None:
        own, tau, memory = places
        to_q, to_r = f.lane(q, at, f.i("mul", m, inner)), f.lane(r, at, f.i("mul", inner, n))
        f.turn(f.lane(a, at, f.i("mul", m, n)), own, m, n, n, m)
        f.fortran("geqrf", rows, columns, own, rows, tau, memory, space, f.info)
        f.turn(own, to_r, n, k, m, n)

        def below(i: str, _: list[str]) -> None:
            f.fill(f.at(to_r, f.i("mul", i, n), f.element), f.least(i, n), 0.0)

        f.loop(0, inner, below)
        f.fortran(name, rows, wanted, least, own, rows, tau, memory, space, f.info)
        f.turn(own, to_q, inner, m, m, inner)

    return f.lanes(lane)
