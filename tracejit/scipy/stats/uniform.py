"""Uniform distribution.

All take arrays that broadcast, of any real dtype, and return an array of their float dtype,
differentiable by every argument.  `loc` moves and `scale` stretches the distribution.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy.stats.parameters import INF, probable, real, standard, within

__all__ = ["cdf", "logpdf", "pdf", "ppf", "sf"]


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, loc, scale))


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale = standard("uniform.logpdf", x, loc, scale)
    return within((z >= 0) & (z <= 1), z, 0.5, lambda z: 0 * z, -INF) - tnp.log(scale)


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    z, _ = standard("uniform.cdf", x, loc, scale)
    return tnp.clip(z, 0, 1)


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    z, _ = standard("uniform.sf", x, loc, scale)
    return 1 - tnp.clip(z, 0, 1)


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile: the inverse of the distribution function."""
    q, loc, scale = real("uniform.ppf", q, loc, scale)
    return probable(q, loc + q * scale)
