"""Cauchy distribution.

All take arrays that broadcast, of any real dtype, and return an array of their float dtype,
differentiable by every argument.  `loc` moves and `scale` stretches the distribution.
"""

from __future__ import annotations

import math
from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy.stats.parameters import log_of_probability, probable, real, standard

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _quantile_above(q: Any) -> Any:
    """Return the point beyond which the probability is `q`."""
    low = q < 0.5
    size = 1 / tnp.tan(math.pi * tnp.where(low, q, 1 - q))
    return probable(q, tnp.where(low, size, -size))


def _tail(z: Any) -> Any:
    """Return the probability beyond `z`, accurate where it is small."""
    return tnp.arctan2(1, z) / math.pi


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, loc, scale))


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale = standard("cauchy.logpdf", x, loc, scale)
    return -tnp.log1p(z * z) - tnp.log(math.pi * scale)


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    z, _ = standard("cauchy.cdf", x, loc, scale)
    return _tail(-z)


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the distribution function at `x`."""
    return log_of_probability(cdf(x, loc, scale), sf(x, loc, scale))


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    z, _ = standard("cauchy.sf", x, loc, scale)
    return _tail(z)


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the survival function at `x`."""
    return log_of_probability(sf(x, loc, scale), cdf(x, loc, scale))


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile: the inverse of the distribution function."""
    q, loc, scale = real("cauchy.ppf", q, loc, scale)
    return loc - scale * _quantile_above(q)


def isf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Inverse of the survival function."""
    q, loc, scale = real("cauchy.isf", q, loc, scale)
    return loc + scale * _quantile_above(q)
