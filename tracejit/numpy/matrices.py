"""Norms, linear systems, determinants, powers and spectra of matrices, under NumPy's names.

The derivative of every norm at 0 is taken as 0, the least of its subgradients, and so is the
second; neither is ever NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError, TracejitError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_inexact
from tracejit.numpy import products
from tracejit.numpy.creation import unit_matrix
from tracejit.numpy.manipulation import moveaxis
from tracejit.numpy.promotion import (
    array_of,
    broadcast_shapes,
    cast,
    no_out,
    normal_axes,
    operand,
    promote_operands,
    stretch,
)
from tracejit.numpy.reductions import max, min, sum
from tracejit.numpy.ufuncs import absolute
from tracejit.ops.arithmetic import add, mul, sqrt, square
from tracejit.ops.complex_numbers import conj, imag, real
from tracejit.ops.constant import iota, scalar_like
from tracejit.ops.indexing import take_along_axis
from tracejit.ops.linalg import slogdet as slogdet_op
from tracejit.ops.linalg import solve as solve_op
from tracejit.ops.logical import ge, lt, ne, select
from tracejit.ops.shape import broadcast_in_dim, expand_dims, reshape
from tracejit.ops.slicing import flip
from tracejit.ops.sorting import argsort, sort
from tracejit.ops.spectral import eigh as eigh_op
from tracejit.ops.spectral import svd as svd_op
from tracejit.ops.transcendental import away_from_zero, exp, pow_

__all__ = [
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inexact",
    "inv",
    "matmul",
    "matrices",
    "matrix_norm",
    "matrix_power",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "slogdet",
    "solve",
    "square_matrices",
    "svd",
    "svdvals",
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


def inexact(x: Any) -> Any:
    """Return an array of an inexact dtype: integers and bool become float64."""
    x = array_of(x)
    return x if is_inexact(get_aval(x).dtype) else cast(x, DTYPES["f64"])


def _squares(x: Any) -> Any:
    if is_complex(get_aval(x).dtype):
        return add(square(real(x)), square(imag(x)))
    return square(x)


def _length(x: Any, axes: Any, keepdims: bool) -> Any:
    return away_from_zero(sqrt, sum(_squares(x), axes, keepdims=keepdims))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """As :func:`numpy.linalg.norm`, and for stacks of axes as it is.

    Parameters
    ----------
    x : array_like
        Vectors or matrices along `axis`.
    ord : int, float, inf, -inf, "fro" or "nuc", optional
        The order; by default the root of the sum of squares.
    axis : int or pair of int, optional
        One axis for vectors, two for matrices; by default all.
    keepdims : bool, optional
        Whether the axes stay, with length 1.

    Returns
    -------
    Array, real dtype
        The norms.

    Raises
    ------
    ShapeError
        If `ord` or the number of axes is none that NumPy takes.

    Notes
    -----
    Where the norm is 0 its derivative is taken as 0, of every order, so that ``norm(x - y)`` may
    meet ``x == y``.  (JAX returns NaN.)  Where elements are 0 in a norm that is not, those of
    order p have the derivative 0 in them, as ``abs``.
    """
    x = inexact(x)
    rank = get_aval(x).ndim
    if axis is None and ord is None:
        return _length(x, None, keepdims)
    axes = normal_axes("norm", axis, rank)
    if len(axes) == 1:
        return _vector_norm(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, "fro" if ord is None else ord, axes, keepdims)
    raise ShapeError(f"norm: one axis for vectors or two for matrices; got axes {axes}")


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord == 2:
        return _length(x, axes, keepdims)
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
    power, root = dtype.type(ord), dtype.type(1 / ord)
    at_zero = 0 if ord > 0 else np.inf
    powers = away_from_zero(lambda v: pow_(v, power), size, at_zero)
    return away_from_zero(lambda v: pow_(v, root), sum(powers, axes, keepdims=keepdims), at_zero)


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord in ("fro", "f"):
        return _length(x, axes, keepdims)
    if ord in (2, -2, "nuc"):
        values = svdvals(moveaxis(x, axes, (-2, -1)))
        out = sum(values, -1) if ord == "nuc" else (max if ord > 0 else min)(values, -1)
    elif ord in (1, -1, np.inf, -np.inf):
        first, second = axes if abs(ord) == 1 else axes[::-1]
        sums = sum(absolute(x), first, keepdims=True)
        out = (max if ord > 0 else min)(sums, second, keepdims=True)
    else:
        raise ShapeError(
            f"norm: the order of a matrix must be fro, nuc, 1, -1, 2, -2, inf or -inf; got {ord!r}"
        )
    shape = enumerate(get_aval(x).shape)
    kept = [1 if i in axes else d for i, d in shape if keepdims or i not in axes]
    return reshape(out, kept)


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """As :func:`numpy.linalg.vector_norm`; derivatives as those of :func:`norm`."""
    x = inexact(x)
    return _vector_norm(x, ord, normal_axes("vector_norm", axis, get_aval(x).ndim), keepdims)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """As :func:`numpy.linalg.matrix_norm`; derivatives as those of :func:`norm`."""
    x = inexact(x)
    rank = get_aval(x).ndim
    return _matrix_norm(x, ord, (rank - 2, rank - 1), keepdims)


def square_matrices(name: str, a: Any) -> Any:
    """Return inexact square matrices (..., n, n), or raise ShapeError."""
    x = inexact(a)
    shape = get_aval(x).shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"{name}: square matrices (..., n, n); got shape {shape}")
    return x


def solve(a: Any, b: Any) -> Any:
    """As :func:`numpy.linalg.solve`, but NaN where a matrix is singular."""
    x, y = promote_operands([square_matrices("solve", a), inexact(b)])
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
    x = square_matrices("inv", a)
    aval = get_aval(x)
    return solve_op(x, stretch(unit_matrix(aval.shape[-1], dtype=aval.dtype), aval.shape))


def slogdet(a: Any, *, method: str | None = None) -> Any:
    """As :func:`numpy.linalg.slogdet`, by `method` "lu", which is all there is."""
    if method not in (None, "lu"):
        raise ShapeError(f"slogdet: method must be 'lu'; got {method!r}")
    return SlogdetResult(*slogdet_op(square_matrices("slogdet", a)))


SlogdetResult = type(np.linalg.slogdet(np.eye(1)))


def det(a: Any) -> Any:
    """As :func:`numpy.linalg.det`."""
    x = square_matrices("det", a)
    sign, logarithm = slogdet_op(x)
    return mul(sign, cast(exp(logarithm), get_aval(sign).dtype))


# ------------------------------------------------------------------------------- spectra

EighResult = type(np.linalg.eigh(np.eye(1)))
SVDResult = type(np.linalg.svd(np.eye(1)))


def _hermitian(name: str, a: Any, uplo: Any, symmetrize_input: bool | None) -> Any:
    """Return matrices whose Hermitian parts are those to decompose."""
    x = square_matrices(name, a)
    if uplo not in (None, "L", "U", "l", "u"):
        raise TracejitError(f"{name}: UPLO must be 'L' or 'U'; got {uplo!r}")
    if symmetrize_input or (symmetrize_input is None and uplo is None):
        return x
    aval = get_aval(x)
    row, column = (iota(aval.shape, aval.ndim - back, "int64") for back in (2, 1))
    lower, upper = (x, conj(matrix_transpose(x)))
    if uplo in ("U", "u"):
        lower, upper = upper, lower
    return select(ge(row, column), lower, upper)


def eigh(a: Any, UPLO: Any = None, symmetrize_input: bool | None = None) -> Any:
    """Eigenvalues and eigenvectors of Hermitian matrices.  See :func:`numpy.linalg.eigh`.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
        The matrices.
    UPLO : {"L", "U"}, optional
        The triangle that is read, as in NumPy.  By default both are: what is decomposed is
        ``(a + a^H) / 2``, as in JAX, so that derivatives are Hermitian.  For Hermitian matrices
        the results are the same; NumPy by default reads "L".
    symmetrize_input : bool, optional
        Whether both triangles are read; by default if `UPLO` is not given.  False without `UPLO`
        reads "L".

    Returns
    -------
    EighResult
        `eigenvalues`, shape (..., n), ascending, real; `eigenvectors`, shape (..., n, n), in the
        columns.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    TracejitError
        If `UPLO` is none of its two letters.

    Notes
    -----
    Derivatives are finite also where eigenvalues are repeated, and right for what does not depend
    on the choice of vectors within their space: sums of functions of the eigenvalues, projectors
    onto the whole space.  Not so second derivatives there, single vectors of the space, and
    ``v @ diag(f(w)) @ v^H`` along changes that split the space; see
    :mod:`tracejit.ops.spectral`, with references.
    """
    return EighResult(*eigh_op(_hermitian("eigh", a, UPLO, symmetrize_input)))


def eigvalsh(a: Any, UPLO: Any = None, symmetrize_input: bool | None = None) -> Any:
    """Eigenvalues of Hermitian matrices, ascending.  See :func:`eigh`."""
    (values,) = eigh_op(_hermitian("eigvalsh", a, UPLO, symmetrize_input), vectors=False)
    return values


def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """Singular values and vectors of matrices.  See :func:`numpy.linalg.svd`.

    Parameters
    ----------
    a : array_like, shape (..., m, n)
        The matrices; let k be the lesser of m and n.
    full_matrices : bool, optional
        Whether `U` and `Vh` are square, (..., m, m) and (..., n, n), rather than (..., m, k) and
        (..., k, n).
    compute_uv : bool, optional
        Whether the vectors are returned too.
    hermitian : bool, optional
        Whether the matrices are Hermitian, so that :func:`eigh` serves.

    Returns
    -------
    SVDResult, or Array if not `compute_uv`
        `U`, `S` of shape (..., k), descending, and `Vh`.

    Raises
    ------
    ShapeError
        If `a` has no two axes, or is not square and `hermitian`.

    Notes
    -----
    Derivatives are finite also where singular values are repeated or 0, and right for what does
    not depend on the choice of vectors: sums of functions of the values that have a derivative,
    the nuclear norm, projectors onto whole spaces, also those made of the completing vectors, and
    ``U @ Vh`` of matrices of full rank.  The derivative of a singular value at 0 is taken as 0.
    See :mod:`tracejit.ops.spectral` for what is not defined, with references.
    """
    if hermitian:
        return _hermitian_svd(a, compute_uv)
    x = matrices("svd", a)
    if not compute_uv:
        return svd_op(x, vectors=False)[0]
    return SVDResult(*svd_op(x, full_matrices))


def matrices(name: str, a: Any) -> Any:
    """Return inexact matrices (..., m, n), or raise ShapeError."""
    x = inexact(a)
    shape = get_aval(x).shape
    if len(shape) < 2:
        raise ShapeError(f"{name}: matrices (..., m, n); got shape {shape}")
    return x


def _hermitian_svd(a: Any, compute_uv: bool) -> Any:
    if not compute_uv:
        values = absolute(eigvalsh(a))
        return flip(sort(values, get_aval(values).ndim - 1), (get_aval(values).ndim - 1,))
    w, v = eigh(a)
    aval = get_aval(w)
    order = flip(argsort(absolute(w), aval.ndim - 1), (aval.ndim - 1,))
    w = take_along_axis(w, order, aval.ndim - 1)
    columns = stretch(expand_dims(order, aval.ndim - 1), get_aval(v).shape)
    v = take_along_axis(v, columns, aval.ndim)
    signs = select(lt(w, scalar_like(w, 0)), scalar_like(w, -1), scalar_like(w, 1))
    signs = cast(broadcast_in_dim(signs, aval.shape, range(aval.ndim)), get_aval(v).dtype)
    turned = mul(v, stretch(expand_dims(signs, aval.ndim - 1), get_aval(v).shape))
    return SVDResult(v, absolute(w), conj(matrix_transpose(turned)))


def svdvals(x: Any, /) -> Any:
    """Singular values of matrices, descending.  See :func:`svd`."""
    return svd_op(matrices("svdvals", x), vectors=False)[0]


# -------------------------------------------------------------------------------- powers


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


def multi_dot(arrays: Any, *, out: None = None, precision: Any = None) -> Any:
    """As :func:`numpy.linalg.multi_dot`, from left to right; `precision` is full anyway."""
    no_out("multi_dot", out)
    del precision
    out, *rest = list(arrays)
    for x in rest:
        out = products.dot(out, operand(x))
    return out
