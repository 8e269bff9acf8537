"""Factorizations of matrices: Cholesky, LU with partial pivoting, QR; by LAPACK.

References
----------
M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008 (Cholesky, LU).  M. Seeger, A. Hetzel, Z. Dai, E. Meissner, N. D. Lawrence,
"Auto-differentiating linear algebra", 2017, arXiv:1710.08717 (QR).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, is_complex
from tracejit.ops._pointwise import NOT_LINEAR
from tracejit.ops.arithmetic import add, neg, sub
from tracejit.ops.constant import iota, scalar_like
from tracejit.ops.indexing import to_lanes
from tracejit.ops.logical import and_, eq, ge, select
from tracejit.ops.matrices import (
    LAPACK,
    adjoint,
    block,
    check_matrices,
    check_square,
    each_matrix,
    half_sum,
    linear_module,
    linear_routine,
    stacked_product,
    take_rows,
    triangle,
    wide,
)
from tracejit.ops.slicing import concatenate, pad
from tracejit.ops.triangular import triangular_solve

__all__ = ["cholesky", "lu", "qr"]

I32 = DTYPES["i32"]


# -------------------------------------------------------------------------------- cholesky


def cholesky(a: Any, symmetrize_input: bool = True) -> Any:
    """Factor positive definite Hermitian matrices into ``L @ L^H``.

    Parameters
    ----------
    a : Array, shape (..., n, n), inexact dtype
        The matrices.
    symmetrize_input : bool, optional
        Whether ``(a + a^H) / 2`` is factored, so that derivatives are Hermitian; else the lower
        triangle of `a` says all.

    Returns
    -------
    Array, shape (..., n, n), dtype of `a`
        The lower triangular factors, their diagonals positive; all NaN where a matrix is not
        positive definite.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    DTypeError
        If `a` is not inexact.
    """
    if symmetrize_input and get_aval(a).ndim >= 2:
        check_square("cholesky", get_aval(a))
        a = half_sum(a, adjoint(a))
    return cholesky_p.bind(a)


def _cholesky_shape(a: ShapedArray) -> ShapedArray:
    check_square("cholesky", a)
    return a.update()


def _cholesky_impl(xp: Any, a: Any) -> Any:
    aval = ShapedArray(a.shape, a.dtype)
    if not a.size:
        return xp.zeros(a.shape, a.dtype)
    # With a NaN below the diagonal LAPACK may leave NaN in some columns only.
    out = each_matrix(xp, lambda m: [xp.linalg.cholesky(m)], wide(a), [aval])[0]
    bad = xp.isnan(out).any(axis=(-1, -2))
    return xp.where(bad[..., None, None], xp.asarray(np.nan, a.dtype), out) if bad.any() else out


def _cholesky_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    (a,), (t,) = primals, tangents
    factor = cholesky_p.bind(a)
    below = triangle(t, True, strict=True)
    # The lower triangle is a function's argument; the imaginary part of the diagonal is not read.
    on = sub(triangle(t, True), below)
    whole = add(add(below, adjoint(below)), half_sum(on, adjoint(on)))
    inner = triangular_solve(factor, whole, left_side=True, lower=True)
    inner = triangular_solve(factor, inner, lower=True, transpose_a=True, conjugate_a=True)
    phi = half_sum(triangle(inner, True), triangle(inner, True, strict=True))
    return factor, stacked_product(factor, phi)


def _cholesky_batch(operands: Sequence[Any], axes: Sequence[int | None]) -> tuple[Any, int]:
    (a,), _ = to_lanes(operands, axes)
    return cholesky_p.bind(a), 0


cholesky_p: Primitive = define(
    "cholesky",
    impl=_cholesky_impl,
    shape=_cholesky_shape,
    jvp=_cholesky_jvp,
    transpose=NOT_LINEAR,
    batch=_cholesky_batch,
    lower=LAPACK,
)


# -------------------------------------------------------------------------------------- lu


def lu(a: Any, constant: bool = False) -> list[Any]:
    """Factor matrices into ``P^T @ L @ U``, with partial pivoting.

    Parameters
    ----------
    a : Array, shape (..., m, n), inexact dtype
        The matrices; let k be the lesser of m and n.
    constant : bool, optional
        Whether the factors have no derivative; for rules that say what derivatives are without
        those of the factors.

    Returns
    -------
    factors : Array, shape (..., m, n), dtype of `a`
        U in the upper triangle, L below the diagonal; the diagonal of L, ones, is not stored.
    pivots : Array, shape (..., k), int32
        Row i was exchanged with row ``pivots[..., i]``, for i in order.
    permutation : Array, shape (..., m), int32
        Row i of ``L @ U`` is row ``permutation[..., i]`` of `a`.

    Raises
    ------
    ShapeError
        If `a` has no two axes.
    DTypeError
        If `a` is not inexact.

    Notes
    -----
    Of a singular matrix there are zeros on the diagonal of U, or NaN.
    """
    return lu_p.bind(a, constant=constant)  # type: ignore[no-any-return]


def _lu_shape(a: ShapedArray, *, constant: bool) -> list[ShapedArray]:
    del constant
    check_matrices("lu", a)
    *lanes, m, n = a.shape
    return [a.update(), ShapedArray((*lanes, min(m, n)), I32), ShapedArray((*lanes, m), I32)]


FEW = 8
"""Matrices up to which each is given to LAPACK by itself; more are factored together."""
SHORT = 64
"""Rows up to which they are."""
LOT = 1024
"""So many, lest what is made on the way leave the cache."""


def _lu_impl(xp: Any, a: Any, *, constant: bool) -> list[Any]:
    del constant
    *lanes, m, n = a.shape
    k = min(m, n)
    x = xp.array(wide(a))
    pivots = np.empty((*lanes, k), np.int32)
    pivots[...] = np.arange(k, dtype=np.int32)
    if x.size:
        routine = _one_lu(xp, x.dtype) if m > SHORT or math.prod(lanes) <= FEW else None
        if routine is not None:
            pivots = xp.asarray(pivots)
            for lane in np.ndindex(*lanes):
                x[lane], pivots[lane] = routine(x[lane])
        elif m > SHORT:
            raise NotImplementedError(f"lu: {xp.__name__} factors no matrices")
        else:
            flat = x.reshape(-1, m, n)
            lots = [_eliminate(xp, flat[i : i + LOT]) for i in range(0, len(flat), LOT)]
            pivots = xp.concatenate(lots).reshape(*lanes, k)
    order = _permutation(xp, xp.asarray(pivots), m)
    return [x.astype(a.dtype, copy=False), xp.asarray(pivots), order]


def _one_lu(xp: Any, dtype: np.dtype[Any]) -> Callable[[Any], Sequence[Any]] | None:
    """Return the function that factors one matrix, or None if there is none."""
    if xp is np:
        getrf = linear_routine("getrf", dtype)
        return lambda m: getrf(m)[:2]
    module = linear_module(xp)
    return None if module is None else lambda m: _unwarned(module.lu_factor, m)


def _unwarned(factor: Callable[..., Any], m: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of singular matrices, whose factors say it
        return factor(m, check_finite=False)


def _eliminate(xp: Any, x: Any) -> Any:
    """Factor matrices (lanes, m, n) in place, all at once, and return their pivots."""
    _, m, n = x.shape
    # Lanes last, so that each step runs along memory.
    flat = xp.moveaxis(x, 0, 2).copy()
    every = xp.arange(flat.shape[2])
    pivots = xp.empty((flat.shape[2], min(m, n)), np.int32)
    for i in range(min(m, n)):
        column = flat[i:, i]
        # LAPACK compares sums of the magnitudes of both parts.
        size = abs(column.real) + abs(column.imag) if x.dtype.kind == "c" else abs(column)
        chosen = i + xp.argmax(size, axis=0)
        pivots[:, i] = chosen
        upper = flat[chosen, :, every].T
        flat[chosen, :, every] = flat[i].T
        flat[i] = upper
        pivot = xp.where(flat[i, i] == 0, xp.asarray(1, x.dtype), flat[i, i])
        flat[i + 1 :, i] /= pivot
        flat[i + 1 :, i + 1 :] -= flat[i + 1 :, i, None] * flat[None, i, i + 1 :]
    x[...] = xp.moveaxis(flat, 2, 0)
    return pivots


def _permutation(xp: Any, pivots: Any, m: int) -> Any:
    *lanes, k = pivots.shape
    order = xp.empty((*lanes, m), np.int32)
    order[...] = xp.arange(m, dtype=np.int32)
    if not pivots.size:
        return order
    flat, rows = order.reshape(-1, m), pivots.reshape(-1, k)
    if xp is np and len(flat) <= FEW:
        for target, exchanges in zip(flat, rows.tolist(), strict=True):
            found = list(range(m))
            for i, there in enumerate(exchanges):
                found[i], found[there] = found[there], found[i]
            target[:] = found
        return order
    every = xp.arange(flat.shape[0])
    for i in range(k):
        there = flat[every, rows[:, i]].copy()
        flat[every, rows[:, i]] = flat[:, i].copy()
        flat[:, i] = there
    return order


def _lu_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, constant: bool
) -> tuple[list[Any], list[Any]]:
    (a,), (t,) = primals, tangents
    factors, pivots, order = lu(a, constant)
    still = [Zero(get_aval(pivots)), Zero(get_aval(order))]
    if constant or not math.prod(get_aval(a).shape):
        return [factors, pivots, order], [Zero(get_aval(factors)), *still]
    return [factors, pivots, order], [_lu_tangent(factors, take_rows(t, order)), *still]


def _lu_tangent(factors: Any, t: Any) -> Any:
    """Return the tangent of L and U; `t` is that of their product.

    Where the matrices are not square, L and U are completed by rows and columns of the unit matrix.
    """
    m, n = get_aval(factors).shape[-2:]
    k = min(m, n)
    left = _grown(triangle(block(factors, (0, m), (0, k)), True, strict=True), m)
    right = _with_ones(_grown(triangle(block(factors, (0, k), (0, n)), False), n), k)
    inner = triangular_solve(left, t, left_side=True, lower=True, unit_diagonal=True)
    inner = triangular_solve(right, inner)
    lower = triangle(inner, True, strict=True)
    below = add(lower, stacked_product(left, lower))
    return add(below, stacked_product(triangle(inner, False), right))


def _grown(x: Any, size: int) -> Any:
    *lanes, m, n = get_aval(x).shape
    if m == n == size:
        return x
    config = [*[(0, 0, 0)] * len(lanes), (0, size - m, 0), (0, size - n, 0)]
    return pad(x, scalar_like(x, 0), config)


def _with_ones(x: Any, first: int) -> Any:
    """Return square matrices with ones on the diagonal from row `first` on."""
    shape = get_aval(x).shape
    if shape[-1] == first:
        return x
    row, column = (iota(shape, len(shape) - back, "int64") for back in (2, 1))
    new = and_(eq(row, column), ge(row, scalar_like(row, first)))
    return select(new, scalar_like(x, 1), x)


def _lu_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, constant: bool
) -> tuple[list[Any], list[int]]:
    (a,), _ = to_lanes(operands, axes)
    return lu(a, constant), [0, 0, 0]


lu_p: Primitive = define(
    "lu",
    multiple=True,
    keeps_weak=False,
    impl=_lu_impl,
    shape=_lu_shape,
    jvp=_lu_jvp,
    transpose=NOT_LINEAR,
    batch=_lu_batch,
    lower=LAPACK,
)


# -------------------------------------------------------------------------------------- qr


def qr(a: Any, full_matrices: bool = True) -> list[Any]:
    """Factor matrices into ``Q @ R``, by Householder reflections.

    Parameters
    ----------
    a : Array, shape (..., m, n), inexact dtype
        The matrices; let k be the lesser of m and n.
    full_matrices : bool, optional
        Whether Q is completed to square matrices, and R to as many rows.

    Returns
    -------
    q : Array, shape (..., m, m) or (..., m, k), dtype of `a`
        Orthonormal columns.
    r : Array, shape (..., m, n) or (..., k, n), dtype of `a`
        Upper triangular; its diagonal real, of any sign.

    Raises
    ------
    ShapeError
        If `a` has no two axes.
    DTypeError
        If `a` is not inexact.

    Notes
    -----
    Derivatives want the first k columns of `a` to be independent.  The completing columns of Q turn
    against the others as these do and not among themselves: projectors made of them are right.
    """
    return qr_p.bind(a, full=bool(full_matrices))  # type: ignore[no-any-return]


def _qr_shape(a: ShapedArray, *, full: bool) -> list[ShapedArray]:
    check_matrices("qr", a)
    *lanes, m, n = a.shape
    inner = m if full else min(m, n)
    return [a.update(shape=(*lanes, m, inner)), a.update(shape=(*lanes, inner, n))]


def _qr_impl(xp: Any, a: Any, *, full: bool) -> list[Any]:
    avals = _qr_shape(ShapedArray(a.shape, a.dtype), full=full)
    if not a.size:
        q, r = avals
        unit = xp.asarray(np.eye(q.shape[-2], q.shape[-1], dtype=q.dtype))
        return [xp.array(xp.broadcast_to(unit, q.shape)), xp.zeros(r.shape, r.dtype)]
    found = xp.linalg.qr(wide(a), mode="complete" if full else "reduced")
    return [xp.asarray(out, aval.dtype) for out, aval in zip(found, avals, strict=True)]


def _qr_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, full: bool
) -> tuple[list[Any], list[Any]]:
    (a,), (t,) = primals, tangents
    q, r = qr(a, full)
    *lanes, m, n = get_aval(a).shape
    k = min(m, n)
    if not math.prod(get_aval(a).shape):
        return [q, r], [Zero(get_aval(q)), Zero(get_aval(r))]
    known = block(q, (0, m), (0, k))
    change = triangular_solve(block(r, (0, k), (0, k)), block(t, (0, m), (0, k)))
    inner = stacked_product(adjoint(known), change)
    # Q^H dQ is skew-Hermitian and dR R^-1 upper triangular with a real diagonal.
    below = triangle(inner, True, strict=True)
    turn = sub(below, adjoint(below))
    if is_complex(get_aval(a).dtype):
        on = sub(triangle(inner, True), below)
        turn = add(turn, sub(on, half_sum(on, adjoint(on))))
    moved_q = add(stacked_product(known, sub(turn, inner)), change)
    onto = stacked_product(adjoint(known), t)
    moved_r = triangle(sub(onto, stacked_product(turn, block(r, (0, k), (0, n)))), False)
    if full and m > n:
        rest = block(q, (0, m), (k, m))
        against = neg(stacked_product(known, adjoint(stacked_product(adjoint(rest), change))))
        moved_q = concatenate([moved_q, against], len(lanes) + 1)
        below_r = [*[(0, 0, 0)] * len(lanes), (0, m - k, 0), (0, 0, 0)]
        moved_r = pad(moved_r, scalar_like(moved_r, 0), below_r)
    return [q, r], [moved_q, moved_r]


def _qr_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, full: bool
) -> tuple[list[Any], list[int]]:
    (a,), _ = to_lanes(operands, axes)
    return qr(a, full), [0, 0]


qr_p: Primitive = define(
    "qr",
    multiple=True,
    impl=_qr_impl,
    shape=_qr_shape,
    jvp=_qr_jvp,
    transpose=NOT_LINEAR,
    batch=_qr_batch,
    lower=LAPACK,
)
