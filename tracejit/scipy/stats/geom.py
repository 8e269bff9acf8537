"""Geometric distribution.

`p` is the probability of success; all take arrays that broadcast, of any real dtype, and return
an array of their float dtype, differentiable by every parameter.  `loc` moves the distribution.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF, counts, within

__all__ = ["cdf", "logpmf", "pmf"]


def pmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Probability of `k`."""
    return tnp.exp(logpmf(k, p, loc))


def logpmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Logarithm of the probability of `k`."""
    k, whole, p = counts("geom.logpmf", k, loc, p)
    value = lambda k: special.xlog1py(k - 1, -p) + tnp.log(p)
    return within(whole & (k >= 1), k, 1.0, value, -INF)


def cdf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Distribution function at `k`."""
    k, _, p = counts("geom.cdf", k, loc, p)
    return -tnp.expm1(special.xlog1py(tnp.maximum(tnp.floor(k), 0), -p))
