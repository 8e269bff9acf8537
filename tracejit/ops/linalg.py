"""Linear systems and determinants of square matrices, by one LU factorization.

Primitives here are given the matrices and their factors.  The factors say what the result is, the
matrices by what it is differentiated: so derivatives of all orders, and transposes, use the factors
that are there, and never ask how these would change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define, impl
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_complex, real_of
from tracejit.ops._pointwise import NOT_LINEAR
from tracejit.ops.arithmetic import add, mul, neg
from tracejit.ops.complex_numbers import abs_, complex_, imag, real, sign
from tracejit.ops.constant import iota, scalar_like
from tracejit.ops.factorizations import lu
from tracejit.ops.indexing import to_lanes
from tracejit.ops.logical import eq, select
from tracejit.ops.matrices import (
    LAPACK,
    check_square,
    columns_of_lanes,
    diagonal,
    stacked_product,
    swap_last,
    wide,
)
from tracejit.ops.reduction import reduce_prod
from tracejit.ops.shape import reduce_sum
from tracejit.ops.transcendental import log
from tracejit.ops.triangular import triangular_solve_p

__all__ = ["lu_solve", "slogdet", "solve"]


# ----------------------------------------------------------------------------------- solve


def solve(a: Any, b: Any) -> Any:
    """Solve linear systems ``a @ x = b``.

    Parameters
    ----------
    a : Array, shape (..., n, n), inexact dtype
        The matrices.
    b : Array, shape (..., n, k), dtype of `a`
        The right-hand sides.

    Returns
    -------
    Array, shape (..., n, k), dtype of `a`
        The solutions; NaN where a matrix is exactly singular.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the dtypes differ or are not inexact.
    """
    _check(get_aval(a), get_aval(b))
    factors, _, permutation = lu(a, constant=True)
    return lu_solve(a, factors, permutation, b)


def _check(a: ShapedArray, b: ShapedArray) -> None:
    check_square("solve", a)
    if a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(f"solve: (..., n, n) and (..., n, k); got {a.shape} and {b.shape}")
    if a.dtype is not b.dtype:
        raise DTypeError(f"solve: one dtype for both; got {a.dtype} and {b.dtype}")


def lu_solve(a: Any, factors: Any, permutation: Any, b: Any, transpose: bool = False) -> Any:
    """Solve linear systems ``a @ x = b``, or ``a^T @ x = b``, with the factors of `a` at hand.

    Parameters
    ----------
    a : Array, shape (..., n, n), inexact dtype
        The matrices: what derivatives are taken by.
    factors, permutation : Array
        Of :func:`~tracejit.ops.factorizations.lu`; constants, as far as derivatives go.
    b : Array, shape (..., n, k), dtype of `a`
        The right-hand sides.
    transpose : bool, optional
        Whether the matrices are transposed (not conjugated).

    Returns
    -------
    Array, shape (..., n, k), dtype of `a`
        The solutions; NaN where a matrix is exactly singular.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the dtypes differ or are not inexact.
    """
    return lu_solve_p.bind(a, factors, permutation, b, trans=bool(transpose))


def _lu_solve_shape(
    a: ShapedArray, factors: ShapedArray, permutation: ShapedArray, b: ShapedArray, *, trans: bool
) -> ShapedArray:
    del trans
    _check(a, b)
    if factors.shape != a.shape or permutation.shape != a.shape[:-1]:
        raise ShapeError(
            f"lu_solve: factors and permutation of {a.shape}; "
            f"got {factors.shape} and {permutation.shape}"
        )
    return b.update()


def _lu_solve_impl(
    xp: Any, a: Any, factors: Any, permutation: Any, b: Any, *, trans: bool
) -> Any:
    del a
    if not b.size:
        return xp.zeros(b.shape, b.dtype)
    x, y = wide(factors), wide(b)
    how = {"left": True, "trans": trans, "conjugate": False}
    lower, upper = {**how, "lower": True, "unit": True}, {**how, "lower": False, "unit": False}
    substitute = impl[triangular_solve_p]
    order = permutation[..., None]
    if trans:
        y = substitute(xp, x, substitute(xp, x, y, **upper), **lower)
        # Back where the rows were: the inverse of the permutation.
        y = xp.take_along_axis(y, xp.argsort(order, axis=-2), axis=-2)
    else:
        y = xp.take_along_axis(y, order.astype(np.int64), axis=-2)
        y = substitute(xp, x, substitute(xp, x, y, **lower), **upper)
    singular = (xp.diagonal(x, 0, -2, -1) == 0).any(axis=-1)[..., None, None]
    return xp.where(singular, xp.asarray(np.nan, y.dtype), y).astype(b.dtype, copy=False)


def _lu_solve_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, trans: bool
) -> tuple[Any, Any]:
    (a, factors, permutation, b), (ta, _, _, tb) = primals, tangents
    x = lu_solve(a, factors, permutation, b, trans)
    change = tb
    if not isinstance(ta, Zero):
        change = neg(stacked_product(swap_last(ta) if trans else ta, x))
        change = change if isinstance(tb, Zero) else add(tb, change)
    if isinstance(change, Zero):
        return x, Zero(get_aval(x))
    return x, lu_solve(a, factors, permutation, change, trans)


def _lu_solve_transpose(
    ct: Any, a: Any, factors: Any, permutation: Any, b: Any, *, trans: bool
) -> tuple[None, None, None, Any]:
    del b  # linear in the right-hand sides
    return None, None, None, lu_solve(a, factors, permutation, ct, not trans)


def _lu_solve_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, trans: bool
) -> tuple[Any, int]:
    if all(axis is None for axis in axes[:3]) and axes[3] is not None:
        known = operands[:3]
        solve_for = lambda y: lu_solve_p.bind(*known, y, trans=trans)
        return columns_of_lanes(solve_for, operands[3], axes[3])
    moved, _ = to_lanes(operands, axes)
    return lu_solve_p.bind(*moved, trans=trans), 0


lu_solve_p: Primitive = define(
    "lu_solve",
    impl=_lu_solve_impl,
    shape=_lu_solve_shape,
    jvp=_lu_solve_jvp,
    transpose=_lu_solve_transpose,
    batch=_lu_solve_batch,
    lower=LAPACK,
)


# ----------------------------------------------------------------------------- determinants


def slogdet(a: Any) -> tuple[Any, Any]:
    """Return sign and logarithm of the magnitude of determinants.

    Parameters
    ----------
    a : Array, shape (..., n, n), inexact dtype
        The matrices.

    Returns
    -------
    sign : Array, shape (...), dtype of `a`
        -1, 0 or 1; of magnitude 0 or 1 for complex matrices.
    logarithm : Array, shape (...), real dtype
        -inf for singular matrices.
    """
    aval = get_aval(a)
    check_square("slogdet", aval)
    factors, pivots, permutation = lu(a, constant=True)
    on = diagonal(factors)
    axis = aval.ndim - 2
    one = scalar_like(on, 1)
    own = iota(get_aval(pivots).shape, axis, "int32")
    parity = select(eq(pivots, own), one, neg(one))
    signs = reduce_prod(mul(sign(on), parity), (axis,))
    logarithm = reduce_sum(log(abs_(on)), (axis,))
    found, size = slogdet_p.bind(a, factors, permutation, signs, logarithm)
    return found, size


def _slogdet_shape(
    a: ShapedArray, factors: ShapedArray, permutation: ShapedArray, signs: ShapedArray,
    logarithm: ShapedArray,
) -> list[ShapedArray]:  # fmt: skip
    del factors, permutation
    lanes = a.shape[:-2]
    if signs.shape != lanes or logarithm.shape != lanes:
        raise ShapeError(f"slogdet: {lanes} numbers; got {signs.shape} and {logarithm.shape}")
    return [a.update(shape=lanes), ShapedArray(lanes, real_of(a.dtype))]


def _slogdet_jvp(
    primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    a, factors, permutation, signs, logarithm = primals
    found, size = slogdet_p.bind(*primals)
    t = tangents[0]
    if isinstance(t, Zero):
        return [found, size], [Zero(get_aval(signs)), Zero(get_aval(logarithm))]
    # The inverse does not depend on the tangent: there may be many, or a transpose.
    shape = get_aval(a).shape
    rank = len(shape)
    row, column = (iota(shape, rank - back, "int64") for back in (2, 1))
    unit = select(eq(row, column), scalar_like(a, 1), scalar_like(a, 0))
    inverse = lu_solve(a, factors, permutation, unit)
    slope = reduce_sum(mul(swap_last(inverse), t), (rank - 2, rank - 1))
    if not is_complex(get_aval(a).dtype):
        return [found, size], [Zero(get_aval(signs)), slope]
    turn = imag(slope)
    turning = mul(found, complex_(scalar_like(turn, 0), turn))
    return [found, size], [turning, real(slope)]


def _slogdet_batch(
    operands: Sequence[Any], axes: Sequence[int | None]
) -> tuple[list[Any], list[int]]:
    moved, _ = to_lanes(operands, axes)
    return slogdet_p.bind(*moved), [0, 0]


# The value is what it is given, said of the matrices: so that its derivative can be stated by them.
slogdet_p: Primitive = define(
    "slogdet",
    multiple=True,
    keeps_weak=False,
    impl=lambda xp, a, factors, permutation, signs, logarithm: [signs, logarithm],
    shape=_slogdet_shape,
    jvp=_slogdet_jvp,
    transpose=NOT_LINEAR,
    batch=_slogdet_batch,
    lower=lambda k, a, factors, permutation, signs, logarithm: [signs, logarithm],
)
