"""Bessel functions, of orders 0 and 1 and of any real order.

SciPy computes them (AMOS and Cephes), those of any order also in compiled code, through the
counted callback; orders 0 and 1 are expressions there (:mod:`tracejit.ops._expansions`).
Derivatives by the argument are recurrences (Abramowitz and Stegun 9.1, 9.6); by the order there
are none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit.ops._called import Slope, by_order, define_called
from tracejit.ops.arithmetic import add, div, mul, neg, rounded, sub
from tracejit.ops.complex_numbers import sign
from tracejit.ops.constant import scalar_like
from tracejit.ops.logical import eq, select
from tracejit.ops.special import special_module

__all__ = [
    "i0", "i0e", "i1", "i1e", "iv", "ive", "j0", "j1", "jv", "k0", "k0e", "k1", "k1e", "kv",
    "kve", "y0", "y1", "yv",
]  # fmt: skip


def _at_infinity(name: str) -> Callable[..., Any]:
    """Return the impl that is a function of SciPy, but not NaN where it has a limit."""

    def limited(xp: Any, x: Any) -> Any:
        out = getattr(special_module(xp), name)(x)
        if name[0] == "i":
            return xp.where(xp.isinf(x), x if name == "i1" else xp.abs(x), out)
        infinite = x == xp.inf if name[0] == "y" else xp.isinf(x)
        return xp.where(infinite, x.dtype.type(0), out)

    return rounded(limited)


def _of_argument(name: str, what: str, slope: Callable[..., Any]) -> Callable[..., Any]:
    impl = _at_infinity(name) if name in ("i0", "i1", "j0", "j1", "y0", "y1") else None
    return define_called(f"bessel_{name}", what, slope, impl=impl, function=name)


def _of_order(name: str, what: str, slope: Callable[..., Any]) -> Callable[..., Any]:
    unwritten = by_order(f"scipy.special.{name}")
    return define_called(f"bessel_{name}", what, unwritten, slope, function=name)


def _over(y: Any, x: Any, at_zero: float) -> Any:
    """Return ``y / x``, or `at_zero` where x is 0."""
    zero = eq(x, scalar_like(x, 0))
    safe = select(zero, scalar_like(x, 1), x)
    return select(zero, scalar_like(x, at_zero), div(y, safe))


i0: Slope = _of_argument("i0", "Modified Bessel function I of order 0", lambda out, x: i1(x))
i0e: Slope = _of_argument(
    "i0e", "``exp(-|x|) I0(x)``", lambda out, x: sub(i1e(x), mul(sign(x), out))
)
i1: Slope = _of_argument(
    "i1", "Modified Bessel function I of order 1", lambda out, x: sub(i0(x), _over(out, x, 0.5))
)
i1e: Slope = _of_argument(
    "i1e",
    "``exp(-|x|) I1(x)``",
    lambda out, x: sub(sub(i0e(x), mul(sign(x), out)), _over(out, x, 0.5)),
)
j0: Slope = _of_argument("j0", "Bessel function J of order 0", lambda out, x: neg(j1(x)))
j1: Slope = _of_argument(
    "j1", "Bessel function J of order 1", lambda out, x: sub(j0(x), _over(out, x, 0.5))
)
y0: Slope = _of_argument("y0", "Bessel function Y of order 0", lambda out, x: neg(y1(x)))
y1: Slope = _of_argument(
    "y1", "Bessel function Y of order 1", lambda out, x: sub(y0(x), div(out, x))
)
k0: Slope = _of_argument(
    "k0", "Modified Bessel function K of order 0", lambda out, x: neg(k1(x))
)
k0e: Slope = _of_argument("k0e", "``exp(x) K0(x)``", lambda out, x: sub(out, k1e(x)))
k1: Slope = _of_argument(
    "k1", "Modified Bessel function K of order 1", lambda out, x: neg(add(k0(x), div(out, x)))
)
k1e: Slope = _of_argument(
    "k1e", "``exp(x) K1(x)``", lambda out, x: sub(sub(out, k0e(x)), div(out, x))
)


def _mean(function: Callable[[Any, Any], Any], v: Any, x: Any, combine: Any) -> Any:
    """Return half the sum, or difference, of the functions of the orders beside `v`."""
    one = scalar_like(v, 1)
    both = combine(function(sub(v, one), x), function(add(v, one), x))
    return mul(scalar_like(x, 0.5), both)


jv: Slope = _of_order("jv", "Bessel function J", lambda out, v, x: _mean(jv, v, x, sub))
yv: Slope = _of_order("yv", "Bessel function Y", lambda out, v, x: _mean(yv, v, x, sub))
iv: Slope = _of_order(
    "iv", "Modified Bessel function I", lambda out, v, x: _mean(iv, v, x, add)
)
kv: Slope = _of_order(
    "kv", "Modified Bessel function K", lambda out, v, x: neg(_mean(kv, v, x, add))
)
ive: Slope = _of_order(
    "ive",
    "``exp(-|x|) I(v, x)``",
    lambda out, v, x: sub(_mean(ive, v, x, add), mul(sign(x), out)),
)
kve: Slope = _of_order(
    "kve", "``exp(x) K(v, x)``", lambda out, v, x: sub(out, _mean(kve, v, x, add))
)
