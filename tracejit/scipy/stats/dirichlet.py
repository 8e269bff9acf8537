"""Dirichlet distribution."""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.numpy.promotion import arrays_of, operand, promote_operands
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF

__all__ = ["logpdf", "pdf"]


def logpdf(x: Any, alpha: Any) -> Any:
    """Logarithm of the density at `x`.

    Parameters
    ----------
    x : array-like, shape (k, ...) or (k - 1, ...), real
        Points whose coordinates, along the first axis, have the sum 1; the last may be left out.
    alpha : array-like, shape (k,), real
        The concentrations.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    both = promote_operands([operand(x), operand(alpha)], inexact=True)
    x, alpha = arrays_of(both)
    points, size = get_aval(x).shape, get_aval(alpha).shape
    if len(size) != 1 or not points or points[0] not in (size[0], size[0] - 1):
        raise ShapeError(
            "dirichlet: alpha of shape (k,) and x of shape (k, ...) or (k - 1, ...) are needed; "
            f"got {size} and {points}"
        )
    if points[0] < size[0]:
        x = tnp.concatenate([x, 1 - tnp.sum(x, 0, keepdims=True)])
    wide = tnp.reshape(alpha, (size[0],) + (1,) * (len(points) - 1))
    total = tnp.sum(special.xlogy(wide - 1, x), 0)
    total = total + special.gammaln(tnp.sum(alpha)) - tnp.sum(special.gammaln(alpha))
    near = tnp.abs(tnp.sum(x, 0) - 1) < 1e-6
    return tnp.where(near & tnp.all(x >= 0, 0), total, -INF)


def pdf(x: Any, alpha: Any) -> Any:
    """Density at `x`.  See :func:`logpdf`."""
    return tnp.exp(logpdf(x, alpha))
