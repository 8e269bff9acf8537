"""Generalized normal distribution.

`beta` is the exponent; all take arrays that broadcast, of any real dtype, and return an array
of their float dtype, differentiable by every argument.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import real

__all__ = ["cdf", "logpdf", "pdf"]


def pdf(x: Any, beta: Any) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, beta))


def logpdf(x: Any, beta: Any) -> Any:
    """Logarithm of the density at `x`."""
    x, beta = real("gennorm.logpdf", x, beta)
    return tnp.log(beta / 2) - special.gammaln(1 / beta) - tnp.abs(x) ** beta


def cdf(x: Any, beta: Any) -> Any:
    """Distribution function at `x`."""
    x, beta = real("gennorm.cdf", x, beta)
    zero = x == 0
    size = tnp.where(zero, 1, tnp.abs(x)) ** beta
    tail = special.gammaincc(1 / beta, size) / 2
    # At 0, where the power has no derivative, that of the sum is the density.
    middle = 0.5 + x * beta / (2 * special.gamma(1 / beta))
    return tnp.where(zero, middle, tnp.where(x > 0, 1 - tail, tail))
