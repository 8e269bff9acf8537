"""Linear systems and determinants of square matrices, by LAPACK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_complex, is_inexact, real_of
from tracejit.ops._pointwise import NOT_LINEAR
from tracejit.ops.arithmetic import add, mul, neg
from tracejit.ops.complex_numbers import complex_, imag, real
from tracejit.ops.constant import iota, scalar_like
from tracejit.ops.contraction import dot_general
from tracejit.ops.indexing import to_lanes
from tracejit.ops.logical import eq, select
from tracejit.ops.shape import reduce_sum, transpose

__all__ = ["LAPACK", "check_square", "slogdet", "solve", "stacked_product", "swap_last", "wide"]

LAPACK = "run by LAPACK through the counted callback"


def wide(x: Any) -> Any:
    """Return what LAPACK computes with: float16 and bfloat16 as float32."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def check_square(name: str, a: ShapedArray) -> None:
    """Refuse what is no stack of square inexact matrices."""
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"{name}: square matrices (..., n, n); got shape {a.shape}")
    if not is_inexact(a.dtype):
        raise DTypeError(f"{name}: an inexact dtype; got {a.dtype}")


def swap_last(x: Any) -> Any:
    """Transpose a stack of matrices."""
    rank = get_aval(x).ndim
    return transpose(x, [*range(rank - 2), rank - 1, rank - 2])


def stacked_product(x: Any, y: Any) -> Any:
    """Multiply stacks (..., i, k) and (..., k, j) of matrices."""
    rank = get_aval(x).ndim
    lanes = tuple(range(rank - 2))
    return dot_general(x, y, (((rank - 1,), (rank - 2,)), (lanes, lanes)))


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
    return solve_p.bind(a, b)


def _solve_shape(a: ShapedArray, b: ShapedArray) -> ShapedArray:
    check_square("solve", a)
    if a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(f"solve: (..., n, n) and (..., n, k); got {a.shape} and {b.shape}")
    if a.dtype is not b.dtype:
        raise DTypeError(f"solve: one dtype for both; got {a.dtype} and {b.dtype}")
    return b.update()


def _solve_impl(xp: Any, a: Any, b: Any) -> Any:
    x, y = wide(a), wide(b)
    if not b.size:
        return xp.zeros(b.shape, b.dtype)  # cuSOLVER refuses to solve for nothing
    try:
        return xp.linalg.solve(x, y).astype(b.dtype, copy=False)
    except np.linalg.LinAlgError:
        out = xp.full(b.shape, np.nan, b.dtype)
        for lane in np.ndindex(a.shape[:-2]):
            try:
                out[lane] = xp.linalg.solve(x[lane], y[lane])
            except np.linalg.LinAlgError:
                continue
        return out


def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    (a, b), (ta, tb) = primals, tangents
    x = solve(a, b)
    if isinstance(ta, Zero):
        return x, solve(a, tb)
    change = neg(stacked_product(ta, x))
    return x, solve(a, change if isinstance(tb, Zero) else add(tb, change))


def _solve_batch(operands: Sequence[Any], axes: Sequence[int | None]) -> tuple[Any, int]:
    moved, _ = to_lanes(operands, axes)
    return solve(*moved), 0


solve_p: Primitive = define(
    "solve",
    impl=_solve_impl,
    shape=_solve_shape,
    jvp=_solve_jvp,
    # Linear in the right-hand sides.
    transpose=lambda ct, a, b: (None, solve(swap_last(a), ct)),
    batch=_solve_batch,
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
    sign, logarithm = slogdet_p.bind(a)
    return sign, logarithm


def _slogdet_shape(a: ShapedArray) -> list[ShapedArray]:
    check_square("slogdet", a)
    return [a.update(shape=a.shape[:-2]), ShapedArray(a.shape[:-2], real_of(a.dtype))]


def _slogdet_impl(xp: Any, a: Any) -> list[Any]:
    sign, logarithm = xp.linalg.slogdet(wide(a))
    return [xp.asarray(sign, a.dtype), xp.asarray(logarithm, real_of(a.dtype))]


def _slogdet_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    (a,), (t,) = primals, tangents
    sign, logarithm = slogdet(a)
    product = solve(a, t)
    shape = get_aval(product).shape
    rank = len(shape)
    on = eq(iota(shape, rank - 2, "int64"), iota(shape, rank - 1, "int64"))
    slope = reduce_sum(select(on, product, scalar_like(product, 0)), (rank - 2, rank - 1))
    if not is_complex(get_aval(a).dtype):
        return [sign, logarithm], [Zero(get_aval(sign)), slope]
    turn = imag(slope)
    turning = mul(sign, complex_(scalar_like(turn, 0), turn))
    return [sign, logarithm], [turning, real(slope)]


def _slogdet_batch(
    operands: Sequence[Any], axes: Sequence[int | None]
) -> tuple[list[Any], list[int]]:
    (a,), _ = to_lanes(operands, axes)
    return list(slogdet(a)), [0, 0]


slogdet_p: Primitive = define(
    "slogdet",
    multiple=True,
    impl=_slogdet_impl,
    shape=_slogdet_shape,
    jvp=_slogdet_jvp,
    transpose=NOT_LINEAR,
    batch=_slogdet_batch,
    lower=LAPACK,
)
