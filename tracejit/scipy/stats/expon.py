"""Exponential distribution.

All take arrays that broadcast, of any real dtype, and return an array of their float dtype,
differentiable by every argument.  `loc` moves and `scale` stretches the distribution.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy.stats.parameters import INF, log_of_mass, probable, real, standard, within

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, loc, scale))


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale = standard("expon.logpdf", x, loc, scale)
    return within(z >= 0, z, 1.0, lambda z: -z, -INF) - tnp.log(scale)


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    z, _ = standard("expon.cdf", x, loc, scale)
    return -tnp.expm1(-tnp.maximum(z, 0))


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the distribution function at `x`."""
    z, _ = standard("expon.logcdf", x, loc, scale)
    return within(z > 0, z, 1.0, lambda z: log_of_mass(-z), -INF)


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    z, _ = standard("expon.sf", x, loc, scale)
    return tnp.exp(-tnp.maximum(z, 0))


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the survival function at `x`."""
    z, _ = standard("expon.logsf", x, loc, scale)
    return -tnp.maximum(z, 0)


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile: the inverse of the distribution function."""
    q, loc, scale = real("expon.ppf", q, loc, scale)
    return probable(q, loc - scale * tnp.log1p(-q))


def isf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Inverse of the survival function."""
    q, loc, scale = real("expon.isf", q, loc, scale)
    return probable(q, loc - scale * tnp.log(q))
