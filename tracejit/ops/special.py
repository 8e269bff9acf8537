"""Special functions: error functions, gamma functions, the logistic function.

Eagerly scipy.special computes them; it is imported at the first use, because that takes longer
than the rest of the library.  float16 and bfloat16 are computed in float32, rounded once.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any

from tracejit.ir.dtypes import is_float, is_inexact
from tracejit.ops._pointwise import define_pointwise, same_dtype
from tracejit.ops.arithmetic import mul, neg, rounded, square, sub
from tracejit.ops.constant import scalar_like
from tracejit.ops.transcendental import exp

__all__ = [
    "by_special",
    "digamma",
    "erf",
    "erf_inv",
    "erfc",
    "lgamma",
    "logistic",
    "polygamma",
    "special_module",
]


@functools.cache
def special_module(xp: Any) -> Any:
    """Return the module of special functions that goes with an array module."""
    return importlib.import_module(
        "scipy.special" if xp.__name__ == "numpy" else f"{xp.__name__}x.scipy.special"
    )


def by_special(function: str) -> Callable[..., Any]:
    """Return the impl that is a function of ``scipy.special``."""
    return rounded(lambda xp, *xs: getattr(special_module(xp), function)(*xs))


def erf(x: Any) -> Any:
    """Error function.

    Parameters
    ----------
    x : Array, any shape, float dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        ``2 / sqrt(pi)`` times the integral of ``exp(-s**2)`` from 0 to `x`.
    """
    return erf_p.bind(x)


def _bell(t: Any, x: Any) -> Any:
    return mul(t, mul(scalar_like(x, 2 / math.sqrt(math.pi)), exp(neg(square(x)))))


erf_p = define_pointwise(
    "erf",
    impl=by_special("erf"),
    dtype=same_dtype("erf", is_float, "float"),
    jvp=[lambda t, out, x: _bell(t, x)],
)


def erfc(x: Any) -> Any:
    """Complementary error function ``1 - erf(x)``, accurate where it is small.

    Parameters
    ----------
    x : Array, any shape, float dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The values.
    """
    return erfc_p.bind(x)


erfc_p = define_pointwise(
    "erfc",
    impl=by_special("erfc"),
    dtype=same_dtype("erfc", is_float, "float"),
    jvp=[lambda t, out, x: neg(_bell(t, x))],
)


def erf_inv(x: Any) -> Any:
    """Inverse of the error function.

    Parameters
    ----------
    x : Array, any shape, float dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        -inf and inf at -1 and 1; NaN beyond.
    """
    return erf_inv_p.bind(x)


erf_inv_p = define_pointwise(
    "erf_inv",
    impl=by_special("erfinv"),
    dtype=same_dtype("erf_inv", is_float, "float"),
    jvp=[lambda t, out, x: mul(t, mul(scalar_like(x, math.sqrt(math.pi) / 2), exp(square(out))))],
    lower=lambda k, x: k.pointwise("erfinv", x),
)


def lgamma(x: Any) -> Any:
    """Logarithm of the absolute value of the gamma function.

    Parameters
    ----------
    x : Array, any shape, float dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        inf at 0, the negative integers, and -inf.
    """
    return lgamma_p.bind(x)


def _lgamma_impl(xp: Any, x: Any) -> Any:
    # scipy has -inf at -inf, where C has inf.
    return special_module(xp).gammaln(xp.maximum(x, x.dtype.type(-1e30)))


lgamma_p = define_pointwise(
    "lgamma",
    impl=rounded(_lgamma_impl),
    dtype=same_dtype("lgamma", is_float, "float"),
    jvp=[lambda t, out, x: mul(t, digamma(x))],
)


def digamma(x: Any) -> Any:
    """Derivative of the logarithm of the gamma function.

    Parameters
    ----------
    x : Array, any shape, float dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        NaN at the negative integers.
    """
    return digamma_p.bind(x)


digamma_p = define_pointwise(
    "digamma",
    impl=by_special("digamma"),
    dtype=same_dtype("digamma", is_float, "float"),
    jvp=[lambda t, out, x: mul(t, polygamma(x, 1))],
)


def polygamma(x: Any, n: int) -> Any:
    """Derivative of order `n` of :func:`digamma`.

    Parameters
    ----------
    x : Array, any shape, float dtype
        The operand.
    n : int, at least 1
        The order.

    Returns
    -------
    Array, shape and dtype of `x`
        inf at 0 and the negative integers.
    """
    return polygamma_p.bind(x, n=n)


def _polygamma_impl(xp: Any, x: Any, *, n: int) -> Any:
    # SciPy returns float64 whatever it is given; CuPy's takes arrays alone.
    return special_module(xp).polygamma(xp.asarray(n), x).astype(x.dtype)


polygamma_p = define_pointwise(
    "polygamma",
    impl=rounded(_polygamma_impl),
    dtype=same_dtype("polygamma", is_float, "float"),
    jvp=[lambda t, out, x, *, n: mul(t, polygamma(x, n + 1))],
    lower="run by SciPy through the counted callback",
)


def logistic(x: Any) -> Any:
    """Logistic function, the sigmoid.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        ``1 / (1 + exp(-x))``, without overflow.
    """
    return logistic_p.bind(x)


def _logistic_impl(xp: Any, x: Any) -> Any:
    one = x.dtype.type(1)
    if x.dtype.kind == "f":  # two exponentials cost NumPy less than two choices
        return xp.exp(xp.minimum(x, one - one)) / (one + xp.exp(-xp.abs(x)))
    grown = xp.exp(xp.where(x.real < 0, x, -x))  # at most 1 in magnitude
    return xp.where(x.real < 0, grown, one) / (one + grown)


def _logistic_lower(k: Any, x: Any) -> Any:
    zero, one = k.constant(0, x.aval.dtype), k.constant(1, x.aval.dtype)
    grown = k.pointwise("exp", k.pointwise("neg", k.pointwise("abs", x)))
    above = k.pointwise("select", k.pointwise("lt", x, zero), grown, one)
    return k.pointwise("div", above, k.pointwise("add", one, grown))


logistic_p = define_pointwise(
    "logistic",
    impl=rounded(_logistic_impl),
    dtype=same_dtype("logistic", is_inexact, "inexact"),
    jvp=[lambda t, out, x: mul(t, mul(out, sub(scalar_like(x, 1), out)))],
    lower=_logistic_lower,
)
