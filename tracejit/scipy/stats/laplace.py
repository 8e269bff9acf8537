"""Laplace distribution.

All take arrays that broadcast, of any real dtype, and return an array of their float dtype,
differentiable by every argument.  `loc` moves and `scale` stretches the distribution.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy.stats.parameters import real, standard

__all__ = ["cdf", "logpdf", "pdf", "ppf", "sf"]


def _below(z: Any) -> Any:
    half = tnp.exp(-tnp.abs(z)) / 2
    return tnp.where(z > 0, 1 - half, half)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, loc, scale))


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale = standard("laplace.logpdf", x, loc, scale)
    return -tnp.abs(z) - tnp.log(2 * scale)


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    z, _ = standard("laplace.cdf", x, loc, scale)
    return _below(z)


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    z, _ = standard("laplace.sf", x, loc, scale)
    return _below(-z)


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile: the inverse of the distribution function."""
    q, loc, scale = real("laplace.ppf", q, loc, scale)
    low = q < 0.5
    z = tnp.where(
        low, tnp.log(2 * tnp.where(low, q, 0.5)), -tnp.log(2 - 2 * tnp.where(low, 0.5, q))
    )
    return loc + scale * z
