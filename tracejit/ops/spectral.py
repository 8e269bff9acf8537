"""Eigenvalues of Hermitian matrices and singular values, by LAPACK.

Derivatives of eigenvectors divide by differences of eigenvalues.  Where eigenvalues are repeated
the single vectors have no derivative, for any basis of their space is as good; quantities that
do not depend on the basis have one.  The rules here leave out the terms inside a cluster of
repeated values, which is the rotation of a basis within its space.  So every derivative is
finite, and it is right for what needs none of these terms:

- the values, summed with equal weights over a cluster: traces of functions, determinants, the
  nuclear norm;
- projectors onto whole clusters, and what is made of them;
- the polar factor ``u @ vh`` also within a cluster, because singular vectors of both sides turn
  against each other by terms that divide by sums of values, and these are kept;
- everything, along changes that do not couple the vectors of a cluster.

It is not right for what does need them: single vectors of a cluster (which have no derivative),
and ``v @ diag(f(w)) @ v^H`` along changes that do couple them.  There the derivative is the limit
``f'(w)`` of a difference quotient, which no rule for `w` and `v` by themselves can contain, since
where all of ``f(w)`` is 0 the vectors do not matter and the values know the diagonal only.
For the same reason second derivatives are right only of distinct values and of sums over whole
clusters with constant weights; traces of functions have just their first.

A function of a matrix with any eigenvalues, right in both modes to first order, is written with
the quotients themselves::

    w, v = eigh(stop_gradient(a))
    gaps = w[:, None] - w
    near = abs(gaps) < 1e-5 * max(abs(w))
    rates = (f(w)[:, None] - f(w)) / where(near, 1, gaps)
    rates = where(near, df((w[:, None] + w) / 2), rates)
    fa = v @ (diag(f(w)) + rates * (v^H @ a @ v - diag(w))) @ v^H

References
----------
M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008 (the rules).  M. Seeger, A. Hetzel, Z. Dai, E. Meissner, N. D. Lawrence,
"Auto-differentiating linear algebra", 2017, arXiv:1710.08717 (differences near 0).  Z.-Q. Wan,
S.-X. Zhang, "Automatic differentiation for complex valued SVD", 2019, arXiv:1909.02659 (the
phases of complex vectors).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes

from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import real_of
from tracejit.ops._pointwise import NOT_LINEAR
from tracejit.ops.arithmetic import add, div, mul, neg, sub
from tracejit.ops.complex_numbers import abs_, real
from tracejit.ops.constant import scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.indexing import to_lanes
from tracejit.ops.logical import eq, le, select
from tracejit.ops.matrices import (
    LAPACK,
    adjoint,
    as_columns,
    as_rows,
    block,
    check_matrices,
    check_square,
    diagonal,
    each_matrix,
    half_sum,
    of_nothing,
    stacked_product,
    wide,
)
from tracejit.ops.reduction import reduce_max
from tracejit.ops.shape import broadcast_in_dim
from tracejit.ops.slicing import concatenate

__all__ = ["eigh", "svd"]

CLUSTER = 8
"""Values nearer than so many rounding errors, times the root of the length, are repeated.

Eigenvalues that should be equal were 7 errors of the greatest apart in matrices of length 100, 22
in those of 300.  A wider tolerance would take distinct values for repeated ones.
"""


# ------------------------------------------------------------------------ repeated values


def _tolerance(values: Any, count: float) -> Any:
    """Return `count` rounding errors of matrices, (...): relative to their greatest value."""
    greatest = reduce_max(abs_(values), (get_aval(values).ndim - 1,))
    dtype = get_aval(greatest).dtype
    # Narrow floats are computed as float32: all of their error is that of rounding the result.
    errors = count if dtype.itemsize > 2 else 2
    limits: Any = ml_dtypes.finfo
    return mul(greatest, scalar_like(greatest, errors * float(limits(dtype).eps)))


def _reciprocal(x: Any, least: Any) -> Any:
    """Return 1 / x; 0 where x is at most `least` (its first axes) in magnitude, and no inf."""
    shape = get_aval(x).shape
    none = le(abs_(x), broadcast_in_dim(least, shape, tuple(range(get_aval(least).ndim))))
    one, zero = scalar_like(x, 1), scalar_like(x, 0)
    return select(none, zero, div(one, select(none, one, x)))


# ------------------------------------------------------------------------------------ eigh


def eigh(a: Any, vectors: bool = True) -> list[Any]:
    """Return eigenvalues and eigenvectors of the Hermitian parts of matrices.

    Parameters
    ----------
    a : Array, shape (..., n, n), inexact dtype
        The matrices; of each ``(a + a^H) / 2`` is decomposed.
    vectors : bool, optional
        Whether the vectors are wanted too.

    Returns
    -------
    w : Array, shape (..., n), real dtype
        The eigenvalues, ascending; NaN where LAPACK does not converge.
    v : Array, shape (..., n, n), dtype of `a`
        If `vectors`, the eigenvectors in the columns, of length 1.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    DTypeError
        If `a` is not inexact.

    Notes
    -----
    Derivatives with repeated eigenvalues (nearer than ``8 sqrt(n) eps max(abs(w))``) are
    described at the top of the module.  Those of vectors are orthogonal to the vectors, so that
    signs and phases stand still.
    """
    return eigh_p.bind(a, vectors=vectors)  # type: ignore[no-any-return]


def _eigh_shape(a: ShapedArray, *, vectors: bool) -> list[ShapedArray]:
    check_square("eigh", a)
    values = ShapedArray(a.shape[:-1], real_of(a.dtype))
    return [values, a.update()] if vectors else [values]


def _eigh_impl(xp: Any, a: Any, *, vectors: bool) -> list[Any]:
    avals = _eigh_shape(ShapedArray(a.shape, a.dtype), vectors=vectors)
    if not a.size:
        return of_nothing(xp, avals)
    x = wide(a)
    half = x.dtype.type(0.5)
    x = half * x + half * xp.swapaxes(x, -1, -2).conj()
    if vectors:
        return each_matrix(xp, lambda m: tuple(xp.linalg.eigh(m)), x, avals)
    return each_matrix(xp, lambda m: [xp.linalg.eigvalsh(m)], x, avals)


def _eigh_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, vectors: bool
) -> tuple[list[Any], list[Any]]:
    (a,), (t,) = primals, tangents
    w, v = eigh(a)
    shape = get_aval(v).shape
    n = shape[-1]
    if not math.prod(shape):
        outs = [w, v][: 1 + vectors]
        return outs, [Zero(get_aval(x)) for x in outs]
    inner = stacked_product(adjoint(v), stacked_product(t, v))
    inner = half_sum(inner, adjoint(inner))
    moved = real(diagonal(inner))
    if not vectors:
        return [w], [moved]
    gaps = sub(as_rows(w, n), as_columns(w, n))
    slopes = _reciprocal(gaps, _tolerance(w, CLUSTER * math.sqrt(n)))
    turn = mul(convert_element_type(slopes, get_aval(v).dtype), inner)
    return [w, v], [moved, stacked_product(v, turn)]


def _eigh_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, vectors: bool
) -> tuple[list[Any], list[int]]:
    (a,), _ = to_lanes(operands, axes)
    outs = eigh(a, vectors)
    return outs, [0] * len(outs)


eigh_p: Primitive = define(
    "eigh",
    multiple=True,
    impl=_eigh_impl,
    shape=_eigh_shape,
    jvp=_eigh_jvp,
    transpose=NOT_LINEAR,
    batch=_eigh_batch,
    lower=LAPACK,
)


# ------------------------------------------------------------------------------------- svd


def svd(a: Any, full_matrices: bool = False, vectors: bool = True) -> list[Any]:
    """Return singular values and vectors of matrices.

    Parameters
    ----------
    a : Array, shape (..., m, n), inexact dtype
        The matrices; let k be the lesser of m and n.
    full_matrices : bool, optional
        Whether `u` and `vh` are completed to square matrices.
    vectors : bool, optional
        Whether the vectors are wanted too.

    Returns
    -------
    u : Array, shape (..., m, k) or (..., m, m), dtype of `a`
        If `vectors`, the left vectors in the columns.
    s : Array, shape (..., k), real dtype
        The singular values, descending; the only result if not `vectors`.  NaN where LAPACK does
        not converge.
    vh : Array, shape (..., k, n) or (..., n, n), dtype of `a`
        If `vectors`, the conjugated right vectors in the rows.

    Raises
    ------
    ShapeError
        If `a` has no two axes.
    DTypeError
        If `a` is not inexact.

    Notes
    -----
    Derivatives with repeated singular values (nearer than ``8 sqrt(max(m, n)) eps max(s)``) are
    described at the top of the module.  Where a singular value is exactly 0 its derivative is
    taken as 0, as that of ``abs``; and where it is 0 to rounding, ``max(m, n) eps max(s)``, its
    vectors move only against the others.  The completing vectors turn against the others as these
    do and not among themselves: projectors made of them are right.  Phases of complex vectors
    stand still as far as they can: those of `u` and `vh` move by half of what they must together.
    """
    return svd_p.bind(a, full=full_matrices, vectors=vectors)  # type: ignore[no-any-return]


def _svd_shape(a: ShapedArray, *, full: bool, vectors: bool) -> list[ShapedArray]:
    check_matrices("svd", a)
    *lanes, m, n = a.shape
    k = min(m, n)
    values = ShapedArray((*lanes, k), real_of(a.dtype))
    if not vectors:
        return [values]
    left = a.update(shape=(*lanes, m, m if full else k))
    return [left, values, a.update(shape=(*lanes, n if full else k, n))]


def _svd_impl(xp: Any, a: Any, *, full: bool, vectors: bool) -> list[Any]:
    avals = _svd_shape(ShapedArray(a.shape, a.dtype), full=full, vectors=vectors)
    if not a.size:
        return of_nothing(xp, avals)
    if vectors:
        routine = lambda m: tuple(xp.linalg.svd(m, full_matrices=full))
        return each_matrix(xp, routine, wide(a), avals)
    return each_matrix(xp, lambda m: [xp.linalg.svd(m, compute_uv=False)], wide(a), avals)


def _turned(inner: Any, s: Any, length: int) -> tuple[Any, Any]:
    """Return ``u^H du`` and ``v^H dv`` for ``inner = u^H da v``, all (..., k, k).

    Their sum is the Hermitian part of `inner` divided by differences of singular values, their
    difference the skew part divided by sums: so each is masked for itself, and with repeated
    values the difference, which moves ``u @ vh``, is right.
    """
    aval = get_aval(inner)
    rows, columns = as_rows(s, aval.shape[-1]), as_columns(s, aval.shape[-1])
    apart = _reciprocal(sub(rows, columns), _tolerance(s, CLUSTER * math.sqrt(length)))
    together = _reciprocal(add(rows, columns), _tolerance(s, length))
    other = adjoint(inner)
    common = mul(half_sum(inner, other), convert_element_type(apart, aval.dtype))
    against = mul(half_sum(inner, neg(other)), convert_element_type(together, aval.dtype))
    return add(common, against), sub(common, against)


def _moved(x: Any, among: Any, beyond: Any, inverse: Any) -> Any:
    """Return the tangent of vectors, the columns of `x`.

    Parameters
    ----------
    x : Array, shape (..., d, p)
        The vectors: the first k belong to singular values, what follows completes them.
    among : Array, shape (..., k, k)
        How the first turn among themselves.
    beyond : Array, shape (..., d, k)
        What the change maps the vectors of the other side to.
    inverse : Array, shape (..., k)
        The reciprocals of the singular values, or 0.
    """
    (*_, d, p), k = get_aval(x).shape, get_aval(among).shape[-1]
    if d == k:
        return stacked_product(x, among)
    dtype = get_aval(x).dtype
    if p == k:
        outside = sub(beyond, stacked_product(x, stacked_product(adjoint(x), beyond)))
        scale = convert_element_type(as_rows(inverse, d), dtype)
        return add(stacked_product(x, among), mul(outside, scale))
    known, rest = block(x, (0, d), (0, k)), block(x, (0, d), (k, p))
    scale = convert_element_type(as_rows(inverse, p - k), dtype)
    onto = mul(stacked_product(adjoint(rest), beyond), scale)
    first = add(stacked_product(known, among), stacked_product(rest, onto))
    second = neg(stacked_product(known, adjoint(onto)))
    return concatenate([first, second], get_aval(x).ndim - 1)


def _svd_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, full: bool, vectors: bool
) -> tuple[list[Any], list[Any]]:
    (a,), (t,) = primals, tangents
    u, s, vh = svd(a, full and vectors)
    (*_, m, n), k = get_aval(a).shape, get_aval(s).shape[-1]
    if not math.prod(get_aval(a).shape):
        outs = [u, s, vh] if vectors else [s]
        return outs, [Zero(get_aval(x)) for x in outs]
    v = adjoint(vh)
    left = stacked_product(t, block(v, (0, n), (0, k)))
    inner = stacked_product(adjoint(block(u, (0, m), (0, k))), left)
    zero = scalar_like(s, 0)
    moved = select(eq(s, zero), zero, real(diagonal(inner)))
    if not vectors:
        return [s], [moved]
    right = stacked_product(adjoint(t), block(u, (0, m), (0, k)))
    inverse = _reciprocal(s, _tolerance(s, max(m, n)))
    among_u, among_v = _turned(inner, s, max(m, n))
    du = _moved(u, among_u, left, inverse)
    dv = _moved(v, among_v, right, inverse)
    return [u, s, vh], [du, moved, adjoint(dv)]


def _svd_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, full: bool, vectors: bool
) -> tuple[list[Any], list[int]]:
    (a,), _ = to_lanes(operands, axes)
    outs = svd(a, full, vectors)
    return outs, [0] * len(outs)


svd_p: Primitive = define(
    "svd",
    multiple=True,
    impl=_svd_impl,
    shape=_svd_shape,
    jvp=_svd_jvp,
    transpose=NOT_LINEAR,
    batch=_svd_batch,
    lower=LAPACK,
)
