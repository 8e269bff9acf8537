"""Log-normal distribution: that of the exponential of a normal variable.

`s` is the standard deviation of the logarithm, `scale` the median; all take arrays that broadcast,
of any real dtype, and return an array of their float dtype, differentiable by every argument.
"""

from __future__ import annotations

import math
from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF, real, standard, within

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


def pdf(x: Any, s: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, s, loc, scale))


def logpdf(x: Any, s: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale, s = standard("lognorm.logpdf", x, loc, scale, s)

    def value(z: Any) -> Any:
        log = tnp.log(z)
        return -((log / s) ** 2) / 2 - log - tnp.log(s) - LOG_ROOT_2PI

    return within((z > 0) & (z < INF), z, 1.0, value, -INF) - tnp.log(scale)


def cdf(x: Any, s: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    z, _, s = standard("lognorm.cdf", x, loc, scale, s)
    return within(z > 0, z, 1.0, lambda z: special.ndtr(tnp.log(z) / s), 0.0)


def logcdf(x: Any, s: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the distribution function at `x`."""
    z, _, s = standard("lognorm.logcdf", x, loc, scale, s)
    return within(z > 0, z, 1.0, lambda z: special.log_ndtr(tnp.log(z) / s), -INF)


def sf(x: Any, s: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    z, _, s = standard("lognorm.sf", x, loc, scale, s)
    return within(z > 0, z, 1.0, lambda z: special.ndtr(-tnp.log(z) / s), 1.0)


def logsf(x: Any, s: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the survival function at `x`."""
    z, _, s = standard("lognorm.logsf", x, loc, scale, s)
    return within(z > 0, z, 1.0, lambda z: special.log_ndtr(-tnp.log(z) / s), 0.0)


def ppf(q: Any, s: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile: the inverse of the distribution function."""
    q, loc, scale, s = real("lognorm.ppf", q, loc, scale, s)
    return tnp.exp(s * special.ndtri(q)) * scale + loc


def isf(q: Any, s: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Inverse of the survival function."""
    q, loc, scale, s = real("lognorm.isf", q, loc, scale, s)
    return tnp.exp(-s * special.ndtri(q)) * scale + loc
