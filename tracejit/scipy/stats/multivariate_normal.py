"""Normal distribution of vectors."""

from __future__ import annotations

import math
from typing import Any

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.numpy.promotion import arrays_of, broadcast_shapes, operand, promote_operands
from tracejit.ops.factorizations import cholesky
from tracejit.ops.triangular import triangular_solve

__all__ = ["logpdf", "pdf"]


def logpdf(x: Any, mean: Any, cov: Any, allow_singular: None = None) -> Any:
    """Logarithm of the density at `x`.

    Parameters
    ----------
    x : array-like, shape (..., n), real
        The points.
    mean : array-like, shape (..., n) or (), real
        The means.
    cov : array-like, shape (..., n, n) or (), real
        The covariances, positive definite; a scalar is that of each component.
    allow_singular : None
        Must be None.

    Returns
    -------
    Array, of the shape to which all broadcast, without the axes of length n

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    if allow_singular is not None:
        raise NotImplementedError("multivariate_normal.logpdf: allow_singular is not supported")
    x, mean, cov = arrays_of(promote_operands([operand(v) for v in (x, mean, cov)], inexact=True))
    away = x - mean
    if not get_aval(mean).shape and not get_aval(cov).shape:
        return -(away * away) / cov / 2 - tnp.log(2 * math.pi * cov) / 2
    n = get_aval(away).shape[-1]
    if not get_aval(cov).shape:
        squares = tnp.sum(away * away, -1) / cov
        return -(squares + n * tnp.log(2 * math.pi * cov)) / 2
    shape = get_aval(cov).shape
    if len(shape) < 2 or shape[-2:] != (n, n):
        raise ShapeError(
            f"multivariate_normal: cov must have shape (..., {n}, {n}) for vectors of length {n}; "
            f"got {shape}"
        )
    root = cholesky(cov)
    if len(shape) == 2:
        points = tnp.reshape(away, (-1, n)).T
        solved = triangular_solve(root, points, left_side=True, lower=True)
        squares = tnp.reshape(tnp.sum(solved * solved, 0), get_aval(away).shape[:-1])
    else:
        batch = broadcast_shapes("multivariate_normal", shape[:-2], get_aval(away).shape[:-1])
        full, columns = (
            tnp.broadcast_to(v, (*batch, n, d)) for v, d in ((root, n), (away[..., None], 1))
        )
        solved = triangular_solve(full, columns, left_side=True, lower=True)
        squares = tnp.sum(solved * solved, (-2, -1))
    diagonal = tnp.diagonal(root, 0, -2, -1)
    return -squares / 2 - n / 2 * math.log(2 * math.pi) - tnp.sum(tnp.log(diagonal), -1)


def pdf(x: Any, mean: Any, cov: Any) -> Any:
    """Density at `x`.  See :func:`logpdf`."""
    return tnp.exp(logpdf(x, mean, cov))
