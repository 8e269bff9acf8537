"""Eigenvalues and eigenvectors of general square matrices, by LAPACK.

The derivatives are those of what LAPACK returns: vectors of length 1 whose component of greatest
magnitude is real, also while the matrix changes.  Another gauge has other derivatives; quantities
that do not depend on it (values, ``v @ f(w) @ inv(v)``, projectors ``v_i u_i^H``) have the same.
Where eigenvalues are repeated vectors have none, and the terms within a cluster are left out, as in
:mod:`tracejit.ops.spectral`; of defective matrices not even the values have derivatives, and what
is returned is large or NaN.

References
----------
M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008.  C. Boeddeker, P. Hanebrink, L. Drude, J. Heymann, R. Haeb-Umbach, "On the
computation of complex-valued gradients with application to statistically optimum beamforming",
2017, arXiv:1701.00392.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, real_of
from tracejit.ops._pointwise import NOT_LINEAR
from tracejit.ops.arithmetic import div, mul, sub
from tracejit.ops.complex_numbers import abs_, complex_, conj, imag, real
from tracejit.ops.constant import scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.indexing import take_along_axis, to_lanes
from tracejit.ops.linalg import solve
from tracejit.ops.logical import le, select
from tracejit.ops.matrices import (
    LAPACK,
    adjoint,
    as_columns,
    as_rows,
    check_square,
    diagonal,
    each_matrix,
    of_nothing,
    stacked_product,
    wide,
)
from tracejit.ops.reduction import argmax, reduce_max
from tracejit.ops.shape import broadcast_in_dim, expand_dims, reduce_sum

__all__ = ["eig"]

CLUSTER = 8
"""Values nearer than so many rounding errors, times the root of the length, are repeated."""


def eig(a: Any, left: bool = False, right: bool = True) -> list[Any]:
    """Return eigenvalues and eigenvectors of square matrices.

    Parameters
    ----------
    a : Array, shape (..., n, n), inexact dtype
        The matrices.
    left, right : bool, optional
        Which vectors are wanted.

    Returns
    -------
    w : Array, shape (..., n), complex dtype
        The eigenvalues, in no order; NaN where LAPACK does not converge or `a` is not finite.
    vl : Array, shape (..., n, n), complex dtype
        If `left`, the left vectors in the columns: ``vl^H @ a = diag(w) @ vl^H``.
    vr : Array, shape (..., n, n), complex dtype
        If `right`, the right vectors in the columns: ``a @ vr = vr @ diag(w)``.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    DTypeError
        If `a` is not inexact.

    Notes
    -----
    Vectors have length 1, and their greatest component is real; the top of the module says what
    follows for derivatives.
    """
    return eig_p.bind(a, left=bool(left), right=bool(right))  # type: ignore[no-any-return]


def _complex_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return DTYPES["c128"] if real_of(dtype) == DTYPES["f64"] else DTYPES["c64"]


def _eig_shape(a: ShapedArray, *, left: bool, right: bool) -> list[ShapedArray]:
    check_square("eig", a)
    dtype = _complex_of(a.dtype)
    vectors = [ShapedArray(a.shape, dtype)] * (left + right)
    return [ShapedArray(a.shape[:-1], dtype), *vectors]


def _eig_impl(xp: Any, a: Any, *, left: bool, right: bool) -> list[Any]:
    avals = _eig_shape(ShapedArray(a.shape, a.dtype), left=left, right=right)
    if not a.size:
        return of_nothing(xp, avals)
    if left and xp is not np:
        raise NotImplementedError(f"eig: {xp.__name__} has no left vectors")

    def routine(m: Any) -> Sequence[Any]:
        if left:
            return _both_sides(m, right)
        return tuple(xp.linalg.eig(m)) if right else [xp.linalg.eigvals(m)]

    return each_matrix(xp, routine, wide(a), avals)


def _both_sides(m: Any, right: bool) -> Sequence[Any]:
    from scipy.linalg import eig as eig_of_both_sides  # SciPy is slow to import

    if m.ndim > 2 or not np.isfinite(m).all():
        raise np.linalg.LinAlgError  # one by one
    found: Sequence[Any] = eig_of_both_sides(m, left=True, right=right)
    return found


def _eig_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, left: bool, right: bool
) -> tuple[list[Any], list[Any]]:
    (a,), (t,) = primals, tangents
    outs = eig(a, left, right)
    if not math.prod(get_aval(a).shape):
        return outs, [Zero(get_aval(x)) for x in outs]
    w = outs[0]
    t = convert_element_type(t, get_aval(w).dtype)
    if not right:
        right_vectors = eig(a)[1] if not left else None
    else:
        right_vectors = outs[-1]
    moved: list[Any] = []
    if left:
        # The left vectors are the right ones of the adjoint, to conjugate values.
        values, turned = _moved(conj(w), outs[1], adjoint(t))
        moved = [conj(values), turned]
    if right_vectors is not None:
        values, turned = _moved(w, right_vectors, t)
        moved = [values, *moved[1:], *([turned] if right else [])]
    return outs, moved


def _moved(w: Any, v: Any, t: Any) -> tuple[Any, Any]:
    """Return the tangents of eigenvalues and right eigenvectors."""
    shape = get_aval(v).shape
    n = shape[-1]
    inner = solve(v, stacked_product(t, v))
    gaps = sub(as_rows(w, n), as_columns(w, n))
    size = abs_(gaps)
    greatest = reduce_max(abs_(w), (get_aval(w).ndim - 1,))
    eps = float(np.finfo(get_aval(greatest).dtype).eps)
    least = mul(greatest, scalar_like(greatest, CLUSTER * math.sqrt(n) * eps))
    near = le(size, broadcast_in_dim(least, shape, tuple(range(len(shape) - 2))))
    one = scalar_like(gaps, 1)
    slopes = div(select(near, scalar_like(gaps, 0), one), select(near, one, gaps))
    change = stacked_product(v, mul(slopes, inner))
    return diagonal(inner), _in_gauge(v, change)


def _in_gauge(v: Any, change: Any) -> Any:
    """Add multiples of the vectors, so that lengths and the phases of greatest components stay."""
    shape = get_aval(v).shape
    row = len(shape) - 2
    at = expand_dims(argmax(abs_(v), row), row)
    phase = imag(div(take_along_axis(change, at, row), take_along_axis(v, at, row)))
    stretched = expand_dims(reduce_sum(real(mul(conj(v), change)), (row,)), row)
    factor = broadcast_in_dim(complex_(stretched, phase), shape, tuple(range(len(shape))))
    return sub(change, mul(v, factor))


def _eig_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, left: bool, right: bool
) -> tuple[list[Any], list[int]]:
    (a,), _ = to_lanes(operands, axes)
    outs = eig(a, left, right)
    return outs, [0] * len(outs)


eig_p: Primitive = define(
    "eig",
    multiple=True,
    impl=_eig_impl,
    shape=_eig_shape,
    jvp=_eig_jvp,
    transpose=NOT_LINEAR,
    batch=_eig_batch,
    lower=LAPACK,
)
