"""Normal distribution within an interval.

`a` and `b` are the ends, in units of `scale` from `loc`; all take arrays that broadcast, of any
real dtype, and return an array of their float dtype, differentiable by every argument.  `loc`
moves and `scale` stretches the distribution.
"""

from __future__ import annotations

import math
from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF, log_difference, standard, within

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


def _log_mass(a: Any, b: Any) -> Any:
    """Return the logarithm of the probability of an interval, in the tail where it is small."""
    right = a > 0
    low, high = tnp.where(right, -b, a), tnp.where(right, -a, b)
    return log_difference(special.log_ndtr(high), special.log_ndtr(low))


def _log_share(part: tuple[Any, Any], rest: tuple[Any, Any], whole: Any) -> Any:
    """Return the logarithm of the share of one of two parts, by the other where that is small."""
    share = _log_mass(*part) - whole
    near = share > -0.6931471805599453
    other = tnp.where(near, _log_mass(*rest) - whole, -1)
    return tnp.where(near, tnp.log1p(-tnp.exp(other)), share)


def pdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, a, b, loc, scale))


def logpdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale, a, b = standard("truncnorm.logpdf", x, loc, scale, a, b)
    value = lambda z: -(z * z) / 2 - LOG_ROOT_2PI - _log_mass(a, b)
    return within((z >= a) & (z <= b), z, tnp.clip(0.0, a, b), value, -INF) - tnp.log(scale)


def cdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    return tnp.exp(logcdf(x, a, b, loc, scale))


def logcdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the distribution function at `x`."""
    z, _, a, b = standard("truncnorm.logcdf", x, loc, scale, a, b)
    z = tnp.clip(z, a, b)
    return _log_share((a, z), (z, b), _log_mass(a, b))


def sf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    return tnp.exp(logsf(x, a, b, loc, scale))


def logsf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the survival function at `x`."""
    z, _, a, b = standard("truncnorm.logsf", x, loc, scale, a, b)
    z = tnp.clip(z, a, b)
    return _log_share((z, b), (a, z), _log_mass(a, b))
