"""The incomplete beta function, with derivatives by all three operands.

SciPy computes the values.  The derivatives by `a` and `b` are computed here, through the continued
fraction, which converges for ``x < (a + 1) / (a + b + 2)``; beyond, ``I(x; a, b)`` is
``1 - I(1 - x; b, a)``.  The fraction is a loop over whole arrays, and what is differentiated is the
loop; so there are derivatives of every order.

What is computed are :func:`beta_slopes`, ``-d logit(x) / d a`` and ``/ d b`` at constant `I`, in
which all that over- or underflows cancels.

References
----------
DLMF 8.17.22.
R. J. Boik, J. F. Robison-Cox, "Derivatives of the incomplete beta function", Journal of
Statistical Software 3 (1998).
"""

from __future__ import annotations

from typing import Any

from tracejit.control.incomplete_gamma import largest, spread
from tracejit.control.loops import fori_loop
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_float
from tracejit.ops._called import CALLED
from tracejit.ops._pointwise import define_pointwise, same_dtype
from tracejit.ops.arithmetic import add, ceil, div, mul, neg, sqrt, sub
from tracejit.ops.constant import scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import and_, eq, gt, lt, max_, min_, select
from tracejit.ops.shape import full
from tracejit.ops.special import by_special, digamma, lgamma
from tracejit.ops.transcendental import exp, log, log1p
from tracejit.transforms.derivatives import jvp

__all__ = ["beta_slopes", "beta_slopes_of_logs", "betainc", "betaincinv"]

MOST_LEVELS = 20_000
"""Of the fraction: enough for `a` and `b` up to about 10 million."""


def _of(x: Any, value: float) -> Any:
    return scalar_like(x, value)


def continued_fraction(a: Any, b: Any, x: Any) -> Any:
    """Return `h`, where ``I = x^a (1 - x)^b / (a B(a, b)) h``."""
    # From the last level to the first; their number was found by trial.
    size = max_(max_(largest(a), largest(b)), _of(x, 1))
    count = min_(add(_of(x, 30), mul(_of(x, 6), sqrt(size))), _of(x, MOST_LEVELS))
    levels = convert_element_type(ceil(count), DTYPES["i64"])
    both = add(a, b)
    one = _of(x, 1)

    def step(i: Any, f: Any) -> Any:
        m = convert_element_type(sub(levels, i), get_aval(x).dtype)
        twice = add(a, mul(_of(m, 2), m))
        even = div(mul(mul(m, sub(b, m)), x), mul(sub(twice, one), twice))
        inner = add(one, div(even, f))
        k = sub(m, one)
        twice = add(a, mul(_of(m, 2), k))
        odd = div(mul(mul(add(a, k), add(both, k)), x), mul(twice, add(twice, one)))
        return sub(one, div(odd, inner))

    return div(one, fori_loop(0, levels, step, full(get_aval(x).shape, 1, get_aval(x).dtype)))


def beta_slopes(a: Any, b: Any, x: Any) -> tuple[Any, Any]:
    """Return ``-d logit(x) / d a`` and ``-d logit(x) / d b`` where the function is constant.

    Parameters
    ----------
    a, b, x : Array, one shape, float32 or float64
        Positive; `x` below 1.

    Returns
    -------
    tuple of two Arrays, shape and dtype of the operands
        ``(dI/da) / (x (1 - x) dI/dx)``, and that by `b`.
    """
    return beta_slopes_of_logs(a, b, x, log(x), log1p(neg(x)))


def beta_slopes_of_logs(a: Any, b: Any, x: Any, log_x: Any, log_rest: Any) -> tuple[Any, Any]:
    """Return :func:`beta_slopes`, given the logarithms of `x` and ``1 - x``."""
    one, two = _of(x, 1), _of(x, 2)
    swapped = gt(x, div(add(a, one), add(add(a, b), two)))
    p, q = select(swapped, b, a), select(swapped, a, b)
    y = select(swapped, sub(one, x), x)
    log_y, log_z = select(swapped, log_rest, log_x), select(swapped, log_x, log_rest)
    ones, zeros = (full(get_aval(x).shape, v, get_aval(x).dtype) for v in (1, 0))
    fraction = lambda p, q: continued_fraction(p, q, y)
    h, by_p = jvp(fraction, (p, q), (ones, zeros))
    _, by_q = jvp(fraction, (p, q), (zeros, ones))
    whole = digamma(add(p, q))
    first = add(mul(h, add(sub(log_y, digamma(add(p, one))), whole)), by_p)
    second = add(mul(h, add(sub(log_z, digamma(q)), whole)), by_q)
    first, second = div(first, p), div(second, p)
    return (
        select(swapped, neg(second), first),
        select(swapped, neg(first), second),
    )


def _density(a: Any, b: Any, x: Any) -> Any:
    """Return ``x^(a-1) (1-x)^(b-1) / B(a, b)``, the derivative by `x`."""
    zero, one = _of(x, 0), _of(x, 1)
    at_zero, at_one = eq(x, zero), eq(x, one)
    ends = select(at_zero, at_zero, at_one)
    safe = select(ends, _of(x, 0.5), x)
    powers = add(mul(sub(a, one), log(safe)), mul(sub(b, one), log1p(neg(safe))))
    inside = exp(add(powers, sub(lgamma(add(a, b)), add(lgamma(a), lgamma(b)))))
    power, other = select(at_zero, a, b), select(at_zero, b, a)
    inf = _of(x, float("inf"))
    edge = select(lt(power, one), inf, select(eq(power, one), other, zero))
    return select(ends, edge, inside)


def _within(x: Any) -> Any:
    return and_(gt(x, _of(x, 0)), lt(x, _of(x, 1)))


def _slope(which: int, a: Any, b: Any, x: Any) -> Any:
    """Return ``(dI/da) / (dI/dx)``, or that by `b`; 0 at both ends."""
    a, b, x = spread(a, b, x)
    dtype = get_aval(x).dtype
    inside = _within(x)
    safe = select(inside, x, _of(x, 0.5))
    operands = [a, b, safe]
    if dtype.itemsize == 2:
        operands = [convert_element_type(v, DTYPES["f32"]) for v in operands]
    slope = convert_element_type(beta_slopes(*operands)[which], dtype)
    return select(inside, mul(mul(safe, sub(_of(x, 1), safe)), slope), _of(x, 0))


def _by_parameter(which: int, a: Any, b: Any, x: Any) -> Any:
    a, b, x = spread(a, b, x)
    safe = select(_within(x), x, _of(x, 0.5))
    return mul(_slope(which, a, b, x), _density(a, b, safe))


betainc_p = define_pointwise(
    "betainc",
    impl=by_special("betainc"),
    dtype=same_dtype("betainc", is_float, "float"),
    jvp=[
        lambda t, out, a, b, x: mul(t, _by_parameter(0, a, b, x)),
        lambda t, out, a, b, x: mul(t, _by_parameter(1, a, b, x)),
        lambda t, out, a, b, x: mul(t, _density(a, b, x)),
    ],
    lower=CALLED,
)

betaincinv_p = define_pointwise(
    "betaincinv",
    impl=by_special("betaincinv"),
    dtype=same_dtype("betaincinv", is_float, "float"),
    jvp=[
        lambda t, out, a, b, p: neg(mul(t, _slope(0, a, b, out))),
        lambda t, out, a, b, p: neg(mul(t, _slope(1, a, b, out))),
        lambda t, out, a, b, p: div(t, _density(a, b, out)),
    ],
    lower=CALLED,
)


def betainc(a: Any, b: Any, x: Any) -> Any:
    """Regularized incomplete beta function.

    Parameters
    ----------
    a, b : Array, one shape (or rank 0), one float dtype
        Positive.
    x : Array, likewise
        From 0 to 1.

    Returns
    -------
    Array, shape and dtype of the operands
        The integral of ``t**(a - 1) (1 - t)**(b - 1)`` from 0 to `x`, over ``B(a, b)``.
    """
    return betainc_p.bind(a, b, x)


def betaincinv(a: Any, b: Any, p: Any) -> Any:
    """Return the `x` for which ``betainc(a, b, x)`` is `p`."""
    return betaincinv_p.bind(a, b, p)
