"""Chi-square distribution.

`df` is the number of degrees of freedom; all take arrays that broadcast, of any real dtype, and
return an array of their float dtype, differentiable by every argument.  `loc` moves and `scale`
stretches the distribution.
"""

from __future__ import annotations

from typing import Any

from tracejit.scipy.stats import gamma
from tracejit.scipy.stats.parameters import real

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _as_gamma(name: str, df: Any, loc: Any, scale: Any) -> tuple[Any, ...]:
    """Return the parameters of the gamma distribution that it is."""
    df, loc, scale = real(name, df, loc, scale)
    return df / 2, loc, 2 * scale


def pdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density at `x`."""
    return gamma.pdf(x, *_as_gamma("chi2.pdf", df, loc, scale))


def logpdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the density at `x`."""
    return gamma.logpdf(x, *_as_gamma("chi2.logpdf", df, loc, scale))


def cdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function at `x`."""
    return gamma.cdf(x, *_as_gamma("chi2.cdf", df, loc, scale))


def logcdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the distribution function at `x`."""
    return gamma.logcdf(x, *_as_gamma("chi2.logcdf", df, loc, scale))


def sf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function at `x`, ``1 - cdf``."""
    return gamma.sf(x, *_as_gamma("chi2.sf", df, loc, scale))


def logsf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Logarithm of the survival function at `x`."""
    return gamma.logsf(x, *_as_gamma("chi2.logsf", df, loc, scale))


def ppf(q: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile: the inverse of the distribution function."""
    return gamma.ppf(q, *_as_gamma("chi2.ppf", df, loc, scale))
