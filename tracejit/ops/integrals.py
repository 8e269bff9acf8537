"""Special functions that are integrals of elementary ones, and their kin.

SciPy computes them, also in compiled code, through the counted callback.
"""

from __future__ import annotations

import math
from typing import Any

from tracejit.ir.dtypes import is_complex
from tracejit.ops._called import Slope, by_order, define_called
from tracejit.ops.arithmetic import add, div, mul, neg, rounded, square, sub
from tracejit.ops.constant import scalar_like
from tracejit.ops.logical import eq, le, max_, select
from tracejit.ops.special import erf, special_module
from tracejit.ops.transcendental import cos, exp, log1p, sin

__all__ = [
    "ci", "dawsn", "ellipe", "ellipk", "erfcx", "erfi", "exp1", "expi", "expn", "fresnel_c",
    "fresnel_s", "ndtri", "owens_t", "si", "spence", "wofz",
]  # fmt: skip

ROOT_PI = math.sqrt(math.pi)


def _times(factor: float, x: Any) -> Any:
    return mul(scalar_like(x, factor), x)


def _minus(constant: float, x: Any) -> Any:
    return sub(scalar_like(x, constant), x)


# ---------------------------------------------------------------------------- error functions

erfcx: Slope = define_called(
    "erfcx",
    "``exp(x**2) erfc(x)``",
    lambda out, x: sub(mul(_times(2, x), out), scalar_like(x, 2 / ROOT_PI)),
)
erfi: Slope = define_called(
    "erfi", "``-i erf(i x)``", lambda out, x: _times(2 / ROOT_PI, exp(square(x)))
)
dawsn: Slope = define_called(
    "dawsn",
    "Dawson's integral ``exp(-x**2)`` times that of ``exp(s**2)`` from 0 to `x`",
    lambda out, x: _minus(1, mul(_times(2, x), out)),
)
ndtri: Slope = define_called(
    "ndtri",
    "Inverse of the distribution function of the standard normal distribution",
    lambda out, p: _times(math.sqrt(2 * math.pi), exp(_times(0.5, square(out)))),
)


def _owens_by_h(out: Any, h: Any, a: Any) -> Any:
    bell = exp(_times(-0.5, square(h)))
    inner = erf(_times(math.sqrt(0.5), mul(h, a)))
    return _times(-1 / math.sqrt(8 * math.pi), mul(bell, inner))


def _owens_by_a(out: Any, h: Any, a: Any) -> Any:
    grown = add(scalar_like(a, 1), square(a))
    return div(exp(_times(-0.5, mul(square(h), grown))), _times(2 * math.pi, grown))


owens_t: Slope = define_called(
    "owens_t", "Owen's T function of `h` and `a`", _owens_by_h, _owens_by_a
)


def _faddeeva_slope(out: Any, z: Any) -> Any:
    return sub(scalar_like(z, 2j / ROOT_PI), mul(_times(2, z), out))


wofz: Slope = define_called(
    "wofz",
    "Faddeeva function ``exp(-z**2) erfc(-i z)``",
    _faddeeva_slope,
    accepts=(is_complex, "complex"),
)


# ------------------------------------------------------------------------ integrals of one operand

expi: Slope = define_called("expi", "Exponential integral Ei", lambda out, x: div(exp(x), x))
exp1: Slope = define_called(
    "exp1", "Exponential integral E1", lambda out, x: neg(div(exp(neg(x)), x))
)


def _sine_over(out: Any, x: Any) -> Any:
    zero = eq(x, scalar_like(x, 0))
    safe = select(zero, scalar_like(x, 1), x)
    return select(zero, scalar_like(x, 1), div(sin(safe), safe))


si: Slope = define_called(
    "si",
    "Sine integral",
    _sine_over,
    impl=rounded(lambda xp, x: special_module(xp).sici(x)[0]),
)
ci: Slope = define_called(
    "ci",
    "Cosine integral",
    lambda out, x: div(cos(x), x),
    impl=rounded(lambda xp, x: special_module(xp).sici(x)[1]),
)
fresnel_s: Slope = define_called(
    "fresnel_s",
    "Fresnel integral of ``sin(pi s**2 / 2)``",
    lambda out, x: sin(_times(math.pi / 2, square(x))),
    impl=rounded(lambda xp, x: special_module(xp).fresnel(x)[0]),
)
fresnel_c: Slope = define_called(
    "fresnel_c",
    "Fresnel integral of ``cos(pi s**2 / 2)``",
    lambda out, x: cos(_times(math.pi / 2, square(x))),
    impl=rounded(lambda xp, x: special_module(xp).fresnel(x)[1]),
)


def _spence_slope(out: Any, x: Any) -> Any:
    one = eq(x, scalar_like(x, 1))
    safe = select(one, scalar_like(x, 2), x)
    away = sub(safe, scalar_like(x, 1))
    # log(x) is log1p(x - 1), which is exact near 1.
    return select(one, scalar_like(x, -1), neg(div(log1p(away), away)))


spence: Slope = define_called("spence", "Dilogarithm of ``1 - x``", _spence_slope)


def _ellipk_slope(out: Any, m: Any) -> Any:
    zero = eq(m, scalar_like(m, 0))
    safe = select(zero, scalar_like(m, 0.5), m)
    rest = _minus(1, safe)
    slope = div(sub(ellipe(safe), mul(rest, ellipk(safe))), _times(2, mul(safe, rest)))
    return select(zero, scalar_like(m, math.pi / 8), slope)


def _ellipe_slope(out: Any, m: Any) -> Any:
    zero = eq(m, scalar_like(m, 0))
    safe = select(zero, scalar_like(m, 0.5), m)
    slope = div(sub(ellipe(safe), ellipk(safe)), _times(2, safe))
    return select(zero, scalar_like(m, -math.pi / 8), slope)


ellipk: Slope = define_called(
    "ellipk", "Complete elliptic integral of the first kind", _ellipk_slope
)
ellipe: Slope = define_called(
    "ellipe", "Complete elliptic integral of the second kind", _ellipe_slope
)


# -------------------------------------------------------------------------- with a parameter


def _expn_slope(out: Any, n: Any, x: Any) -> Any:
    first = le(n, scalar_like(n, 0))
    lower = expn(max_(sub(n, scalar_like(n, 1)), scalar_like(n, 0)), x)
    # The recurrence, for the orders that SciPy does not have.
    beyond = div(add(exp(neg(x)), out), x)
    return neg(select(first, beyond, lower))


_expn: Slope = define_called(
    "expn", "Exponential integral of an order", by_order("expn"), _expn_slope
)


def expn(n: Any, x: Any) -> Any:
    """Exponential integral of order `n`, a whole number, at least 0, in a float dtype.

    Parameters
    ----------
    n, x : Array, equal shapes (or rank 0), one float dtype
        The operands.

    Returns
    -------
    Array, shape and dtype of the operands
        The integral of ``exp(-x t) / t**n`` from 1 to infinity.
    """
    return _expn(n, x)
