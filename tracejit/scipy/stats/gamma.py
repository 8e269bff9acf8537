"""Gamma distribution.

`a` is the shape; all take arrays that broadcast, of any real dtype, and return an array of
their float dtype, differentiable by every argument.  `loc` moves and `scale` stretches the
distribution.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF, log_of_probability, real, standard, within

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def pdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, a, loc, scale))


def logpdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale, a = standard("gamma.logpdf", x, loc, scale, a)
    value = lambda z: special.xlogy(a - 1, z) - z - special.gammaln(a)
    return within(z >= 0, z, 1.0, value, -INF) - tnp.log(scale)


def cdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    z, _, a = standard("gamma.cdf", x, loc, scale, a)
    return special.gammainc(a, tnp.maximum(z, 0))


def logcdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the distribution function at `x`."""
    return log_of_probability(cdf(x, a, loc, scale), sf(x, a, loc, scale))


def sf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    z, _, a = standard("gamma.sf", x, loc, scale, a)
    return special.gammaincc(a, tnp.maximum(z, 0))


def logsf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the survival function at `x`."""
    return log_of_probability(sf(x, a, loc, scale), cdf(x, a, loc, scale))


def ppf(q: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile: the inverse of the distribution function."""
    q, loc, scale, a = real("gamma.ppf", q, loc, scale, a)
    return special.gammaincinv(a, q) * scale + loc
