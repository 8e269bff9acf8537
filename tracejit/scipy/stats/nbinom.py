"""Negative binomial distribution.

`n` is the number of successes, `p` their probability; all take arrays that broadcast, of any
real dtype, and return an array of their float dtype, differentiable by every parameter.  `loc`
moves the distribution.
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
    k, whole, n, p = counts("nbinom.logpmf", k, loc, n, p)

    def value(k: Any) -> Any:
        ways = special.gammaln(k + n) - special.gammaln(k + 1) - special.gammaln(n)
        return ways + special.xlogy(n, p) + special.xlog1py(k, -p)

    return within(whole & (k >= 0), k, 0.0, value, -INF)


def cdf(k: Any, n: Any, p: Any, loc: Any = 0) -> Any:
    """Distribution function at `k`."""
    k, _, n, p = counts("nbinom.cdf", k, loc, n, p)
    k = tnp.floor(k)
    return tnp.where(k < 0, 0, special.betainc(n, tnp.maximum(k, 0) + 1, p))
