"""Beta-binomial distribution.

`n` is the number of trials, `a` and `b` are the shapes of the beta distribution; all take
arrays that broadcast, of any real dtype, and return an array of their float dtype,
differentiable by every parameter.  `loc` moves the distribution.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF, counts, within

__all__ = ["logpmf", "pmf"]


def pmf(k: Any, n: Any, a: Any, b: Any, loc: Any = 0) -> Any:
    """Probability of `k`."""
    return tnp.exp(logpmf(k, n, a, b, loc))


def logpmf(k: Any, n: Any, a: Any, b: Any, loc: Any = 0) -> Any:
    """Logarithm of the probability of `k`."""
    k, whole, n, a, b = counts("betabinom.logpmf", k, loc, n, a, b)

    def value(k: Any) -> Any:
        ways = -tnp.log1p(n) - special.betaln(n - k + 1, k + 1)
        return ways + special.betaln(k + a, n - k + b) - special.betaln(a, b)

    return within(whole & (k >= 0) & (k <= n), k, 0.0, value, -INF)
