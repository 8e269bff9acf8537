"""Binomial distribution.

`n` is the number of trials, `p` the probability of success; all take arrays that broadcast, of
any real dtype, and return an array of their float dtype, differentiable by every parameter.
`loc` moves the distribution.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF, counts, within

__all__ = ["cdf", "logpmf", "pmf"]


def pmf(k: Any, n: Any, p: Any, loc: Any = 0) -> Any:
    """Probability of `k`."""
    return tnp.exp(logpmf(k, n, p, loc))


def logpmf(k: Any, n: Any, p: Any, loc: Any = 0) -> Any:
    """Logarithm of the probability of `k`."""
    k, whole, n, p = counts("binom.logpmf", k, loc, n, p)

    def value(k: Any) -> Any:
        ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
        return ways + special.xlogy(k, p) + special.xlog1py(n - k, -p)

    return within(whole & (k >= 0) & (k <= n), k, 0.0, value, -INF)


def cdf(k: Any, n: Any, p: Any, loc: Any = 0) -> Any:
    """Distribution function at `k`."""
    k, _, n, p = counts("binom.cdf", k, loc, n, p)
    k = tnp.floor(k)
    inside = (k >= 0) & (k < n)
    some = tnp.where(inside, k, 0)
    below = special.betainc(tnp.maximum(n - some, 1), some + 1, 1 - p)
    return tnp.where(k != k, k, tnp.where(inside, below, k >= 0))
