"""The gamma function and its kin, the zeta function, and products with logarithms."""

from __future__ import annotations

import math
from typing import Any

from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_complex, is_float, is_inexact
from tracejit.ops._called import Slope, by_order, define_called
from tracejit.ops._expansions import betaln_of_arrays
from tracejit.ops._pointwise import define_pointwise, same_dtype
from tracejit.ops.arithmetic import add, div, floor, mul, neg, rounded, sub
from tracejit.ops.constant import scalar_like
from tracejit.ops.logical import eq, max_, ne, select
from tracejit.ops.special import by_special, digamma, special_module
from tracejit.ops.transcendental import exp, log, log1p

__all__ = [
    "beta", "betaln", "binom", "gamma", "loggamma", "poch", "polygamma_of", "xlog1py", "xlogy",
    "zeta",
]  # fmt: skip

gamma: Slope = define_called("gamma", "Gamma function", lambda out, x: mul(out, digamma(x)))


def _complex_digamma(xp: Any, z: Any) -> Any:
    return special_module(xp).digamma(z)


complex_digamma: Slope = define_called(
    "complex_digamma",
    "Derivative of :func:`loggamma`",
    by_order("digamma", "complex argument"),
    impl=_complex_digamma,
    accepts=(is_complex, "complex"),
)


def _loggamma_slope(out: Any, z: Any) -> Any:
    del out
    return complex_digamma(z) if is_complex(get_aval(z).dtype) else digamma(z)


loggamma: Slope = define_called(
    "loggamma",
    "Principal branch of the logarithm of the gamma function, NaN for negative real numbers",
    _loggamma_slope,
    accepts=(is_inexact, "inexact"),
)

beta: Slope = define_called(
    "beta",
    "Beta function",
    lambda out, a, b: mul(out, sub(digamma(a), digamma(add(a, b)))),
    lambda out, a, b: mul(out, sub(digamma(b), digamma(add(a, b)))),
)
betaln: Slope = define_called(
    "betaln",
    "Logarithm of the absolute value of the beta function",
    lambda out, a, b: sub(digamma(a), digamma(add(a, b))),
    lambda out, a, b: sub(digamma(b), digamma(add(a, b))),
    impl=rounded(lambda xp, a, b: betaln_of_arrays(xp, special_module(xp), a, b)),
)
poch: Slope = define_called(
    "poch",
    "Rising factorial ``gamma(z + m) / gamma(z)``",
    lambda out, z, m: mul(out, sub(digamma(add(z, m)), digamma(z))),
    lambda out, z, m: mul(out, digamma(add(z, m))),
)


def _rest(n: Any, k: Any) -> Any:
    return digamma(add(sub(n, k), scalar_like(n, 1)))


binom: Slope = define_called(
    "binom",
    "Binomial coefficient of real numbers",
    lambda out, n, k: mul(out, sub(digamma(add(n, scalar_like(n, 1))), _rest(n, k))),
    lambda out, n, k: mul(out, sub(_rest(n, k), digamma(add(k, scalar_like(k, 1))))),
)

# ---------------------------------------------------------------------------------------- zeta

FIRST = 12
"""Terms of the sum before the formula of Euler and Maclaurin takes over."""

BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510,
             43867 / 798, -174611 / 330)  # fmt: skip


def _by_exponent(out: Any, s: Any, q: Any) -> Any:
    """Return the derivative of the Hurwitz zeta function by `s`, for positive `q`.

    Every term of the formula (DLMF 25.11.5) is ``c(s) base**-s``; its derivative is
    ``(c'(s) - c(s) log(base)) base**-s``.
    """
    del out
    one = scalar_like(s, 1)

    def term(base: Any, c: Any, slope: Any) -> Any:
        return mul(sub(slope, mul(c, log(base))), exp(neg(mul(s, log(base)))))

    zero = scalar_like(s, 0)
    total = zero
    for k in range(FIRST):
        total = add(total, term(add(q, scalar_like(q, k)), one, zero))
    base = add(q, scalar_like(q, FIRST))
    before = sub(s, one)
    # base / (s - 1) + 1/2
    c = add(div(base, before), scalar_like(s, 0.5))
    total = add(total, term(base, c, neg(div(base, mul(before, before)))))
    # B[2j] / (2j)! s (s + 1) ... (s + 2j - 2) / base**(2j - 1)
    rising, slope = s, one
    for j, number in enumerate(BERNOULLI, 1):
        factor = div(scalar_like(s, number / math.factorial(2 * j)), base)
        total = add(total, term(base, mul(rising, factor), mul(slope, factor)))
        for m in (2 * j - 1, 2 * j):
            next_factor = div(add(s, scalar_like(s, m)), base)
            slope = add(mul(slope, next_factor), div(rising, base))
            rising = mul(rising, next_factor)
    return total


zeta: Slope = define_called(
    "zeta",
    "Hurwitz zeta function of `s` and `q`, the sum of ``(q + k)**-s`` over ``k >= 0``",
    _by_exponent,
    lambda out, s, q: neg(mul(s, zeta(add(s, scalar_like(s, 1)), q))),
)


def polygamma_of(n: Any, x: Any) -> Any:
    """Derivative of order `n` of digamma, for orders in an array.

    Parameters
    ----------
    n, x : Array, one shape (or rank 0), one float dtype
        The order, a whole number from 0 on, and the argument.

    Returns
    -------
    Array, shape and dtype of the operands
        The values; there is no meaning in the derivative by `n`.
    """
    above = add(n, scalar_like(n, 1))
    half = mul(scalar_like(n, 0.5), above)
    odd = ne(half, floor(half))
    sign = select(odd, scalar_like(n, -1), scalar_like(n, 1))
    tail = zeta(max_(above, scalar_like(n, 2)), x)
    value = mul(sign, mul(gamma(above), tail))
    return select(eq(n, scalar_like(n, 0)), digamma(x), value)


# ------------------------------------------------------------------------ products with logarithms


def _over(x: Any, y: Any) -> Any:
    """Return ``x / y``, 0 where x is."""
    zero = eq(x, scalar_like(x, 0))
    return select(zero, scalar_like(y, 0), div(x, select(zero, scalar_like(y, 1), y)))


def _lower(logarithm: str) -> Any:
    def lower(k: Any, x: Any, y: Any) -> Any:
        zero = k.constant(0, x.aval.dtype)
        product = k.pointwise("mul", x, k.pointwise(logarithm, y))
        # Where y is NaN so is the product.
        chosen = k.pointwise("and", k.pointwise("eq", x, zero), k.pointwise("eq", y, y))
        return k.pointwise("select", chosen, zero, product)

    return lower


def xlogy(x: Any, y: Any) -> Any:
    """Return ``x log(y)``, 0 where `x` is 0 and `y` is not NaN.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0), one float dtype
        The operands.

    Returns
    -------
    Array, shape and dtype of the operands
        The product.
    """
    return xlogy_p.bind(x, y)


def xlog1py(x: Any, y: Any) -> Any:
    """Return ``x log1p(y)``, 0 where `x` is 0 and `y` is not NaN."""
    return xlog1py_p.bind(x, y)


xlogy_p = define_pointwise(
    "xlogy",
    impl=by_special("xlogy"),
    dtype=same_dtype("xlogy", is_float, "float"),
    jvp=[
        lambda t, out, x, y: mul(t, log(y)),
        lambda t, out, x, y: mul(t, _over(x, y)),
    ],
    lower=_lower("log"),
)
xlog1py_p = define_pointwise(
    "xlog1py",
    impl=by_special("xlog1py"),
    dtype=same_dtype("xlog1py", is_float, "float"),
    jvp=[
        lambda t, out, x, y: mul(t, log1p(y)),
        lambda t, out, x, y: mul(t, _over(x, add(y, scalar_like(y, 1)))),
    ],
    lower=_lower("log1p"),
)
