"""Wrapped Cauchy distribution.

`c`, from 0 to 1, is the concentration; all take arrays that broadcast, of any real dtype, and
return an array of their float dtype, differentiable by every argument.
"""

from __future__ import annotations

import math
from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy.stats.parameters import INF, real, within

__all__ = ["logpdf", "pdf"]


def pdf(x: Any, c: Any) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, c))


def logpdf(x: Any, c: Any) -> Any:
    """Logarithm of the density at `x`."""
    x, c = real("wrapcauchy.logpdf", x, c)
    value = lambda x: tnp.log((1 - c * c) / (2 * math.pi * (1 + c * c - 2 * c * tnp.cos(x))))
    return within((x >= 0) & (x <= 2 * math.pi), x, 1.0, value, -INF)
