"""Poisson distribution.

`mu` is the mean; all take arrays that broadcast, of any real dtype, and return an array of
their float dtype, differentiable by every parameter.  `loc` moves the distribution.
"""

from __future__ import annotations

import math
from typing import Any

import tracejit.numpy as tnp
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF, counts, real, within

__all__ = ["cdf", "entropy", "logpmf", "pmf"]

SMALL = 50.0
"""The mean below which the entropy is a sum, of so many terms; beyond it is a series."""
TERMS = 180


def pmf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """Probability of `k`."""
    return tnp.exp(logpmf(k, mu, loc))


def logpmf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """Logarithm of the probability of `k`."""
    k, whole, mu = counts("poisson.logpmf", k, loc, mu)
    value = lambda k: special.xlogy(k, mu) - special.gammaln(k + 1) - mu
    return within(whole & (k >= 0), k, 0.0, value, -INF)


def cdf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """Distribution function at `k`."""
    k, _, mu = counts("poisson.cdf", k, loc, mu)
    k = tnp.floor(k)
    return tnp.where(k < 0, 0, special.gammaincc(tnp.maximum(k, 0) + 1, mu))


def entropy(mu: Any, loc: Any = 0) -> Any:
    """Entropy."""
    mu, loc = real("poisson.entropy", mu, loc)
    mu = mu + 0 * loc
    small = mu < SMALL
    some = tnp.where(small, mu, 1)[..., None]
    log_p = logpmf(tnp.arange(TERMS), some)
    summed = -tnp.sum(tnp.where(log_p > -INF, tnp.exp(log_p) * log_p, 0), -1)
    r = 1 / tnp.where(small, SMALL, mu)
    series = r * (1 / 12 + r * (1 / 24 + r * (19 / 360 + r * (9 / 80 + r * (863 / 2520)))))
    return tnp.where(small, summed, (1 + math.log(2 * math.pi) - tnp.log(r)) / 2 - series)
