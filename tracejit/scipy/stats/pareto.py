"""Pareto distribution.

`b` is the exponent; all take arrays that broadcast, of any real dtype, and return an array of
their float dtype, differentiable by every argument.  `loc` moves and `scale` stretches the
distribution.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy.stats.parameters import INF, log_of_mass, probable, real, standard, within

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def pdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, b, loc, scale))


def logpdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale, b = standard("pareto.logpdf", x, loc, scale, b)
    value = lambda z: tnp.log(b) - (b + 1) * tnp.log(z)
    return within(z >= 1, z, 1.0, value, -INF) - tnp.log(scale)


def cdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    return -tnp.expm1(logsf(x, b, loc, scale))


def logcdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the distribution function at `x`."""
    return log_of_mass(logsf(x, b, loc, scale))


def sf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    return tnp.exp(logsf(x, b, loc, scale))


def logsf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the survival function at `x`."""
    z, _, b = standard("pareto.logsf", x, loc, scale, b)
    return within(z >= 1, z, 1.0, lambda z: -b * tnp.log(z), 0.0)


def ppf(q: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile: the inverse of the distribution function."""
    q, loc, scale, b = real("pareto.ppf", q, loc, scale, b)
    return probable(q, loc + scale * tnp.exp(-tnp.log1p(-q) / b))
