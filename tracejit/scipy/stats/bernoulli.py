"""Bernoulli distribution.

`p` is the probability of 1; all take arrays that broadcast, of any real dtype, and return an
array of their float dtype, differentiable by every parameter.  `loc` moves the distribution.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF, counts, probable, real, within

__all__ = ["cdf", "logpmf", "pmf", "ppf"]


def pmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Probability of `k`."""
    return tnp.exp(logpmf(k, p, loc))


def logpmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Logarithm of the probability of `k`."""
    k, whole, p = counts("bernoulli.logpmf", k, loc, p)
    value = lambda k: special.xlogy(k, p) + special.xlog1py(1 - k, -p)
    return within(whole & (k >= 0) & (k <= 1), k, 0.0, value, -INF)


def cdf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Distribution function at `k`."""
    k, _, p = counts("bernoulli.cdf", k, loc, p)
    below = tnp.where(k < 0, 0, tnp.where(k < 1, 1 - p, 1))
    return tnp.where(tnp.isnan(k) | tnp.isnan(p), tnp.nan, below)


def ppf(q: Any, p: Any, loc: Any = 0) -> Any:
    """Quantile: the inverse of the distribution function."""
    q, p, loc = real("bernoulli.ppf", q, p, loc)
    return tnp.where((p >= 0) & (p <= 1), probable(q, loc + (q > 1 - p) - (q <= 0)), tnp.nan)
