"""Beta distribution.

`a` and `b` are the shapes; all take arrays that broadcast, of any real dtype, and return an
array of their float dtype, differentiable by every argument.  `loc` moves and `scale` stretches
the distribution.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF, log_of_probability, real, standard, within

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def pdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, a, b, loc, scale))


def logpdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale, a, b = standard("beta.logpdf", x, loc, scale, a, b)
    value = lambda z: special.xlogy(a - 1, z) + special.xlog1py(b - 1, -z) - special.betaln(a, b)
    return within((z >= 0) & (z <= 1), z, 0.5, value, -INF) - tnp.log(scale)


def cdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    z, _, a, b = standard("beta.cdf", x, loc, scale, a, b)
    return special.betainc(a, b, tnp.clip(z, 0, 1))


def logcdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the distribution function at `x`."""
    return log_of_probability(cdf(x, a, b, loc, scale), sf(x, a, b, loc, scale))


def sf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    z, _, a, b = standard("beta.sf", x, loc, scale, a, b)
    return special.betainc(b, a, 1 - tnp.clip(z, 0, 1))


def logsf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the survival function at `x`."""
    return log_of_probability(sf(x, a, b, loc, scale), cdf(x, a, b, loc, scale))


def ppf(q: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile: the inverse of the distribution function."""
    q, loc, scale, a, b = real("beta.ppf", q, loc, scale, a, b)
    return special.betaincinv(a, b, q) * scale + loc
