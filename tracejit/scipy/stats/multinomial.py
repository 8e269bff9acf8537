"""Multinomial distribution."""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.numpy.promotion import arrays_of, operand, promote_operands
from tracejit.scipy import special
from tracejit.scipy.stats.parameters import INF

__all__ = ["logpmf", "pmf"]


def logpmf(x: Any, n: Any, p: Any) -> Any:
    """Logarithm of the probability of counts.

    Parameters
    ----------
    x : array-like, shape (..., k)
        How often each outcome occurs.
    n : array-like, shape (...)
        The number of trials.
    p : array-like, shape (..., k)
        The probabilities of the outcomes.
    """
    x, n, p = arrays_of(promote_operands([operand(v) for v in (x, n, p)], inexact=True))
    possible = tnp.all((x >= 0) & (tnp.floor(x) == x), -1) & (tnp.sum(x, -1) == n)
    safe = tnp.maximum(x, 0)
    total = tnp.sum(special.xlogy(safe, p) - special.gammaln(safe + 1), -1)
    return tnp.where(possible, special.gammaln(n + 1) + total, -INF)


def pmf(x: Any, n: Any, p: Any) -> Any:
    """Probability of counts.  See :func:`logpmf`."""
    return tnp.exp(logpmf(x, n, p))
