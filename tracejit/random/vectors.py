"""Normal vectors and random rotations."""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_complex
from tracejit.numpy.promotion import array_of, broadcast_shapes, cast, dtype_or, static_shape
from tracejit.ops.factorizations import cholesky, qr
from tracejit.random.continuous import check_dimension
from tracejit.random.distributions import F64, float_dtype, normal

__all__ = ["multivariate_normal", "orthogonal"]

METHODS = ("cholesky", "eigh", "svd")


def multivariate_normal(
    key: Any,
    mean: Any,
    cov: Any,
    shape: Any = None,
    dtype: Any = None,
    method: str = "cholesky",
) -> Any:
    """Return normal vectors, differentiable by mean and covariance.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    mean : array-like, shape (..., n), real
        The means.
    cov : array-like, shape (..., n, n), real
        The covariances.
    shape : tuple of int, optional
        The shape of the result without its last axis; that to which means and covariances
        broadcast by default.
    dtype : dtype-like, floating
        The dtype of the result; float64 by default.
    method : {'cholesky', 'eigh', 'svd'}
        How a root of the covariance is found.  The first needs positive definite covariances.

    Returns
    -------
    Array, shape ``(*shape, n)``

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If `method` is none of these.
    """
    if method not in METHODS:
        raise ValueError(f"multivariate_normal: method must be one of {METHODS}; got {method!r}")
    kind = float_dtype("multivariate_normal", dtype)
    mean, cov = (cast(array_of(x), kind) for x in (mean, cov))
    means, covs = get_aval(mean).shape, get_aval(cov).shape
    if not means or len(covs) < 2 or covs[-2:] != (means[-1], means[-1]):
        raise ShapeError(
            "multivariate_normal: mean of shape (..., n) and cov of shape (..., n, n) are needed; "
            f"got {means} and {covs}"
        )
    own = broadcast_shapes("multivariate_normal", means[:-1], covs[:-2])
    if shape is None:
        target = own
    else:
        target = static_shape("multivariate_normal", shape)
        if broadcast_shapes("multivariate_normal", target, own) != target:
            raise ShapeError(
                f"multivariate_normal: parameters of shape {own} do not broadcast to {target}"
            )
    vectors = normal(key, (*target, means[-1]), kind)
    return mean + tnp.einsum("...ij,...j->...i", _root(cov, method), vectors)


def _root(cov: Any, method: str) -> Any:
    """Return `r` such that ``r @ r.T`` is the covariance."""
    if method == "cholesky":
        return cholesky(cov)
    if method == "svd":
        u, s, _ = tnp.linalg.svd(cov)
        return u * tnp.sqrt(s[..., None, :])
    values, vectors = tnp.linalg.eigh(cov)
    return vectors * tnp.sqrt(tnp.maximum(values, 0)[..., None, :])


def orthogonal(key: Any, n: int, shape: Any = (), dtype: Any = None, m: int | None = None) -> Any:
    """Return orthogonal matrices, uniform in the sense of Haar.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    n : int
        The number of rows.
    shape : tuple of int
        How many matrices.
    dtype : dtype-like, inexact
        The dtype of the result; float64 by default.  Complex matrices are unitary.
    m : int, optional
        The number of columns; `n` by default.  The lesser number of vectors is orthonormal.

    Returns
    -------
    Array, shape ``(*shape, n, m)``

    References
    ----------
    F. Mezzadri, "How to generate random matrices from the classical compact groups", Notices of
    the AMS 54 (2007).
    """
    target, rows = static_shape("orthogonal", shape), check_dimension("orthogonal", n)
    columns = rows if m is None else check_dimension("orthogonal", m)
    kind = dtype_or(dtype, F64)
    if not is_complex(kind):
        kind = float_dtype("orthogonal", kind)
    z = normal(key, (*target, max(rows, columns), min(rows, columns)), kind)
    q, r = qr(z, full_matrices=False)
    diagonal = tnp.diagonal(r, 0, -2, -1)
    # A factor of which the diagonal is positive is the only one.
    q = q * tnp.where(diagonal == 0, 1, tnp.sign(diagonal))[..., None, :]
    return tnp.swapaxes(q, -1, -2) if rows < columns else q
