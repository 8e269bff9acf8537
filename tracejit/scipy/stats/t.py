"""Student's t distribution.

`df` is the number of degrees of freedom; all take arrays that broadcast, of any real dtype, and
return an array of their float dtype, differentiable by every argument.  `loc` moves and `scale`
stretches the distribution.
"""

from __future__ import annotations

import math
from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import standard

__all__ = ["cdf", "logpdf", "pdf", "sf"]


def _below(z: Any, df: Any) -> Any:
    tail = special.betainc(df / 2, 0.5, df / (df + z * z)) / 2
    return tnp.where(z > 0, 1 - tail, tail)


def pdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return tnp.exp(logpdf(x, df, loc, scale))


def logpdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    z, scale, df = standard("t.logpdf", x, loc, scale, df)
    ratio = special.gammaln((df + 1) / 2) - special.gammaln(df / 2)
    return ratio - tnp.log(math.pi * df) / 2 - (df + 1) / 2 * tnp.log1p(z * z / df) - tnp.log(scale)


def cdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    z, _, df = standard("t.cdf", x, loc, scale, df)
    return _below(z, df)


def sf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    z, _, df = standard("t.sf", x, loc, scale, df)
    return _below(-z, df)
