"""Systems of linear equations with triangular matrices, by substitution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ops.arithmetic import add, neg
from tracejit.ops.complex_numbers import conj
from tracejit.ops.indexing import to_lanes
from tracejit.ops.matrices import (
    LAPACK,
    check_square,
    columns_of_lanes,
    linear_module,
    linear_routine,
    stacked_product,
    swap_last,
    triangle,
    wide,
)

__all__ = ["triangular_solve"]

FEW = 8
"""Matrices up to which each is given to BLAS by itself; more are solved row by row, all at once."""
SHORT = 64
"""Rows up to which they are, where another library could have each."""


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """Solve ``op(a) @ x = b``, or ``x @ op(a) = b``, for triangular matrices `a`.

    Parameters
    ----------
    a : Array, shape (..., n, n), inexact dtype
        The matrices; what lies outside of the triangle is not read.
    b : Array, shape (..., n, k) if `left_side`, else (..., k, n), dtype of `a`
        The right-hand sides.
    left_side : bool, optional
        Whether the matrices stand to the left of the unknowns.
    lower : bool, optional
        Whether the lower triangle of `a` is meant, rather than the upper.
    transpose_a, conjugate_a : bool, optional
        Whether ``op`` transposes, and conjugates.
    unit_diagonal : bool, optional
        Whether the diagonal is taken as ones, and not read.

    Returns
    -------
    Array, shape and dtype of `b`
        The solutions; inf or NaN where a matrix is singular.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the dtypes differ or are not inexact.
    """
    return triangular_solve_p.bind(
        a, b, left=bool(left_side), lower=bool(lower), trans=bool(transpose_a),
        conjugate=bool(conjugate_a), unit=bool(unit_diagonal),
    )  # fmt: skip


def _shape(
    a: ShapedArray, b: ShapedArray, *, left: bool, lower: bool, trans: bool, conjugate: bool,
    unit: bool,
) -> ShapedArray:  # fmt: skip
    del lower, trans, conjugate, unit
    check_square("triangular_solve", a)
    side = b.shape[-2 if left else -1 :][:1]
    if b.ndim != a.ndim or a.shape[:-2] != b.shape[:-2] or side != a.shape[-1:]:
        wanted = "(..., n, k)" if left else "(..., k, n)"
        raise ShapeError(
            f"triangular_solve: (..., n, n) and {wanted}; got {a.shape} and {b.shape}"
        )
    if a.dtype is not b.dtype:
        raise DTypeError(f"triangular_solve: one dtype for both; got {a.dtype} and {b.dtype}")
    return b.update()


def _impl(
    xp: Any, a: Any, b: Any, *, left: bool, lower: bool, trans: bool, conjugate: bool, unit: bool
) -> Any:
    if not b.size:
        return xp.zeros(b.shape, b.dtype)
    x, y = wide(a), wide(b)
    if conjugate:
        x = x.conj()
    few = x.size // x.shape[-1] ** 2 <= FEW
    if xp is np and few:
        out = _by_blas(x, y, left, lower, trans, unit)
        return out.astype(b.dtype, copy=False)
    if not left:
        y = xp.swapaxes(y, -1, -2)
    trans = trans == left
    module = linear_module(xp) if few or x.shape[-1] > SHORT else None
    if module is not None:
        out = xp.empty_like(y)
        for lane in np.ndindex(x.shape[:-2]):
            out[lane] = module.solve_triangular(
                x[lane], y[lane], trans=int(trans), lower=lower, unit_diagonal=unit
            )
    else:
        if trans:
            x, lower = xp.swapaxes(x, -1, -2), not lower
        out = _by_rows(xp, x, y, lower, unit)
    return (out if left else xp.swapaxes(out, -1, -2)).astype(b.dtype, copy=False)


def _by_blas(x: Any, y: Any, left: bool, lower: bool, trans: bool, unit: bool) -> Any:
    trsm = linear_routine("trsm", y.dtype)
    out = np.empty_like(y)
    for lane in np.ndindex(x.shape[:-2]):
        # BLAS is column-major: it sees transposes of what is here, and these it is to solve for.
        out[lane] = trsm(
            1.0, x[lane].T, y[lane].T, side=left, lower=not lower, trans_a=trans, diag=unit
        ).T
    return out


def _by_rows(xp: Any, x: Any, y: Any, lower: bool, unit: bool) -> Any:
    out = xp.array(y)
    n = x.shape[-1]
    for i in range(n) if lower else range(n - 1, -1, -1):
        known = slice(0, i) if lower else slice(i + 1, n)
        row = out[..., i, :] - xp.matmul(x[..., i : i + 1, known], out[..., known, :])[..., 0, :]
        out[..., i, :] = row if unit else row / x[..., i, i][..., None]
    return out


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, left: bool, lower: bool, trans: bool,
    conjugate: bool, unit: bool,
) -> tuple[Any, Any]:  # fmt: skip
    (a, b), (ta, tb) = primals, tangents
    how = {
        "left": left, "lower": lower, "trans": trans, "conjugate": conjugate, "unit": unit,
    }  # fmt: skip
    x = triangular_solve_p.bind(a, b, **how)
    if isinstance(ta, Zero):
        return x, triangular_solve_p.bind(a, tb, **how)
    moved = triangle(ta, lower, strict=unit)
    moved = swap_last(moved) if trans else moved
    moved = conj(moved) if conjugate else moved
    change = neg(stacked_product(moved, x) if left else stacked_product(x, moved))
    change = change if isinstance(tb, Zero) else add(tb, change)
    return x, triangular_solve_p.bind(a, change, **how)


def _transpose(ct: Any, a: Any, b: Any, *, trans: bool, **how: bool) -> tuple[None, Any]:
    del b  # linear in the right-hand sides
    return None, triangular_solve_p.bind(a, ct, trans=not trans, **how)


def _batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, left: bool, **how: bool
) -> tuple[Any, int]:
    (a, b), (of_a, of_b) = operands, axes
    if of_a is None and of_b is not None:
        solve = lambda y: triangular_solve_p.bind(a, y, left=left, **how)
        return columns_of_lanes(solve, b, of_b, left)
    moved, _ = to_lanes(operands, axes)
    return triangular_solve_p.bind(*moved, left=left, **how), 0


triangular_solve_p: Primitive = define(
    "triangular_solve",
    impl=_impl,
    shape=_shape,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    lower=LAPACK,
)
