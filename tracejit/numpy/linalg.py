"""``tracejit.numpy.linalg``: norms, linear systems, determinants, powers of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_inexact
from tracejit.numpy import products
from tracejit.numpy.creation import unit_matrix
from tracejit.numpy.manipulation import moveaxis
from tracejit.numpy.promotion import (
    array_of,
    broadcast_shapes,
    cast,
    normal_axes,
    operand,
    promote_operands,
    stretch,
)
from tracejit.numpy.reductions import max, min, sum
from tracejit.numpy.ufuncs import absolute
from tracejit.ops.arithmetic import add, mul, sqrt, square
from tracejit.ops.complex_numbers import imag, real
from tracejit.ops.linalg import slogdet as slogdet_op
from tracejit.ops.linalg import solve as solve_op
from tracejit.ops.logical import ne
from tracejit.ops.shape import reshape
from tracejit.ops.transcendental import exp, pow_

__all__ = [
    "cross",
    "det",
    "diagonal",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "slogdet",
    "solve",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]

cross, matmul, outer = products.cross, products.matmul, products.outer
tensordot, vecdot = products.tensordot, products.vecdot


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """As :func:`numpy.linalg.diagonal`: of the last two axes."""
    return products.diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """As :func:`numpy.linalg.trace`: over the last two axes."""
    return products.trace(x, offset, -2, -1, dtype)


def matrix_transpose(x: Any, /) -> Any:
    """As :func:`numpy.linalg.matrix_transpose`."""
    return moveaxis(x, -1, -2)


def _inexact(x: Any) -> Any:
    x = array_of(x)
    return x if is_inexact(get_aval(x).dtype) else cast(x, DTYPES["f64"])


def _squares(x: Any) -> Any:
    if is_complex(get_aval(x).dtype):
        return add(square(real(x)), square(imag(x)))
    return square(x)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """As :func:`numpy.linalg.norm`, but for matrices not of order 2, -2 or "nuc".

    The derivative of the 2-norm at 0 is NaN, as that of ``sqrt``.
    """
    x = _inexact(x)
    rank = get_aval(x).ndim
    if axis is None and ord is None:
        out = sqrt(sum(_squares(x)))
        return reshape(out, (1,) * rank) if keepdims else out
    axes = normal_axes("norm", axis, rank)
    if len(axes) == 1:
        return _vector_norm(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, "fro" if ord is None else ord, axes, keepdims)
    raise ShapeError(f"norm: one axis for vectors or two for matrices; got axes {axes}")


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord == 2:
        return sqrt(sum(_squares(x), axes, keepdims=keepdims))
    size = absolute(x)
    dtype = get_aval(size).dtype
    if ord == np.inf:
        return max(size, axes, keepdims=keepdims)
    if ord == -np.inf:
        return min(size, axes, keepdims=keepdims)
    if ord == 0:
        return cast(sum(ne(size, dtype.type(0)), axes, keepdims=keepdims), dtype)
    if ord == 1:
        return sum(size, axes, keepdims=keepdims)
    if isinstance(ord, str):
        raise ShapeError(f"norm: {ord!r} is an order for matrices")
    total = sum(pow_(size, dtype.type(ord)), axes, keepdims=keepdims)
    return pow_(total, dtype.type(1 / ord))


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord in ("fro", "f"):
        return sqrt(sum(_squares(x), axes, keepdims=keepdims))
    size = absolute(x)
    rows, columns = axes
    if ord in (1, -1):
        first, second = rows, columns
    elif ord in (np.inf, -np.inf):
        first, second = columns, rows
    else:
        raise ShapeError(
            f"norm: the order of a matrix must be fro, 1, -1, inf or -inf; got {ord!r}"
        )
    sums = sum(size, first, keepdims=True)
    out = (max if ord > 0 else min)(sums, second, keepdims=True)
    if keepdims:
        return out
    return reshape(out, [d for i, d in enumerate(get_aval(x).shape) if i not in axes])


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """As :func:`numpy.linalg.vector_norm`."""
    x = _inexact(x)
    return _vector_norm(x, ord, normal_axes("vector_norm", axis, get_aval(x).ndim), keepdims)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """As :func:`numpy.linalg.matrix_norm`, but not of order 2, -2 or "nuc"."""
    x = _inexact(x)
    rank = get_aval(x).ndim
    return _matrix_norm(x, ord, (rank - 2, rank - 1), keepdims)


def _square(name: str, a: Any) -> Any:
    x = _inexact(a)
    shape = get_aval(x).shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"{name}: square matrices (..., n, n); got shape {shape}")
    return x


def solve(a: Any, b: Any) -> Any:
    """As :func:`numpy.linalg.solve`, but NaN where a matrix is singular."""
    x, y = promote_operands([_square("solve", a), _inexact(b)])
    vector = get_aval(y).ndim == 1
    if vector:
        y = reshape(y, (*get_aval(y).shape, 1))
    m, n = get_aval(x).shape, get_aval(y).shape
    if m[-1] != n[-2]:
        raise ShapeError(f"solve: (..., n, n) and (..., n, k); got {m} and {n}")
    lanes = broadcast_shapes("solve", m[:-2], n[:-2])
    out = solve_op(stretch(x, (*lanes, *m[-2:])), stretch(y, (*lanes, *n[-2:])))
    return reshape(out, get_aval(out).shape[:-1]) if vector else out


def inv(a: Any) -> Any:
    """As :func:`numpy.linalg.inv`, but NaN where a matrix is singular."""
    x = _square("inv", a)
    aval = get_aval(x)
    return solve_op(x, stretch(unit_matrix(aval.shape[-1], dtype=aval.dtype), aval.shape))


def slogdet(a: Any) -> Any:
    """As :func:`numpy.linalg.slogdet`."""
    return SlogdetResult(*slogdet_op(_square("slogdet", a)))


SlogdetResult = type(np.linalg.slogdet(np.eye(1)))


def det(a: Any) -> Any:
    """As :func:`numpy.linalg.det`."""
    x = _square("det", a)
    sign, logarithm = slogdet_op(x)
    return mul(sign, cast(exp(logarithm), get_aval(sign).dtype))


def matrix_power(a: Any, n: int) -> Any:
    """As :func:`numpy.linalg.matrix_power`."""
    x = array_of(a)
    if n < 0:
        x, n = inv(x), -n
    aval = get_aval(x)
    if n == 0:
        return stretch(unit_matrix(aval.shape[-1], dtype=aval.dtype), aval.shape)
    out = None
    while True:
        if n & 1:
            out = x if out is None else matmul(out, x)
        n >>= 1
        if not n:
            return out
        x = matmul(x, x)


def multi_dot(arrays: Any) -> Any:
    """As :func:`numpy.linalg.multi_dot`, from left to right."""
    out, *rest = list(arrays)
    for x in rest:
        out = products.dot(out, operand(x))
    return out
