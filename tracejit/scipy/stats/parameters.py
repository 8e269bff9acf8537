"""Operands of distributions, and what their modules have in common.

Parameters are not checked, as in JAX: those without a meaning give numbers without one.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.numpy.promotion import array_of
from tracejit.scipy.special.operands import floats

__all__ = [
    "INF", "counts", "log_difference", "log_of_mass", "log_of_probability", "probable", "real",
    "standard", "within",
]  # fmt: skip

INF = float("inf")


def real(name: str, *xs: Any) -> list[Any]:
    """Return operands as arrays of one float dtype, of one shape or rank 0."""
    return [array_of(x) for x in floats(name, *xs)]


def standard(name: str, x: Any, loc: Any, scale: Any, *parameters: Any) -> list[Any]:
    """Return ``(x - loc) / scale``, the scale, and the parameters, as floats."""
    x, loc, scale, *rest = real(name, x, loc, scale, *parameters)
    return [(x - loc) / scale, scale, *rest]


def within(inside: Any, x: Any, inner: float, value: Any, outside: float) -> Any:
    """Return ``value(x)`` on the support and `outside` beyond; NaN where `x` is.

    Parameters
    ----------
    inside : Array of bool
        Where the support is.
    x : Array
        The argument.
    inner : float, or Array
        A point of the support, at which `value` is evaluated instead of beyond, so that
        derivatives there are 0 and not NaN.
    value : callable
        A function of the argument.
    outside : float
        The value beyond.
    """
    inside = inside | (x != x)
    return tnp.where(inside, value(tnp.where(inside, x, inner)), outside)


def counts(name: str, k: Any, loc: Any, *parameters: Any) -> list[Any]:
    """Return ``k - loc``, whether that is a whole number, and the parameters, as floats."""
    k, loc, *rest = real(name, k, loc, *parameters)
    k = k - loc
    return [k, tnp.floor(k) == k, *rest]


def log_of_mass(x: Any) -> Any:
    """Return ``log(1 - exp(x))`` for ``x <= 0``, accurate at both ends."""
    near = x > -0.6931471805599453
    return tnp.where(
        near,
        tnp.log(-tnp.expm1(tnp.where(near, x, -1))),
        tnp.log1p(-tnp.exp(tnp.where(near, -1, x))),
    )


def log_of_probability(p: Any, rest: Any) -> Any:
    """Return ``log(p)``, given ``1 - p`` too, accurate at both ends."""
    large = p > 0.5
    return tnp.where(large, tnp.log1p(-tnp.where(large, rest, 0)), tnp.log(tnp.where(large, 1, p)))


def probable(q: Any, value: Any) -> Any:
    """Return a quantile, NaN where `q` is no probability."""
    return tnp.where((q >= 0) & (q <= 1), value, tnp.nan)


def log_difference(x: Any, y: Any) -> Any:
    """Return ``log(exp(x) - exp(y))`` for ``x >= y``."""
    empty = x == -INF
    x = tnp.where(empty, 0, x)
    return tnp.where(empty, -INF, x + log_of_mass(tnp.where(empty, -1, y - x)))
