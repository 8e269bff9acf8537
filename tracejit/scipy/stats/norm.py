"""Normal distribution.

All take arrays that broadcast, of any real dtype, and return an array of their float dtype,
differentiable by every argument.  `loc` moves and `scale` stretches the distribution.
"""

from __future__ import annotations

import math
from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import real, standard

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, loc, scale))


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale = standard("norm.logpdf", x, loc, scale)
    return -(z * z) / 2 - tnp.log(scale) - LOG_ROOT_2PI


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    z, _ = standard("norm.cdf", x, loc, scale)
    return special.ndtr(z)


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the distribution function at `x`."""
    z, _ = standard("norm.logcdf", x, loc, scale)
    return special.log_ndtr(z)


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    z, _ = standard("norm.sf", x, loc, scale)
    return special.ndtr(-z)


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the survival function at `x`."""
    z, _ = standard("norm.logsf", x, loc, scale)
    return special.log_ndtr(-z)


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile: the inverse of the distribution function."""
    q, loc, scale = real("norm.ppf", q, loc, scale)
    return special.ndtri(q) * scale + loc


def isf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Inverse of the survival function."""
    q, loc, scale = real("norm.isf", q, loc, scale)
    return loc - special.ndtri(q) * scale
