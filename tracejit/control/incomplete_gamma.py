"""The incomplete gamma functions, with derivatives by both operands.

SciPy computes the values.  Its derivative by `a` is computed here, by two expansions of
``P(a, x)`` that converge on either side of ``x = a + 1``: the power series

    P = x^a e^-x / Gamma(a + 1)  *  M,      M = sum of x^n / ((a + 1) ... (a + n))

and Legendre's continued fraction

    Q = x^a e^-x / Gamma(a)  *  1/(x + 1 - a - 1(1 - a)/(x + 3 - a - 2(2 - a)/(x + 5 - a - ...)))

Both are loops over whole arrays, and what is differentiated by `a` is the loop; so there are
derivatives of every order.

What is computed is :func:`gamma_log_slope`, ``-d log(x) / d a`` at constant `P`, in which all that
over- or underflows cancels.

References
----------
DLMF 8.11.4 and 8.9.2.
M. Figurnov, S. Mohamed, A. Mnih, "Implicit reparameterization gradients" (2018).
"""

from __future__ import annotations

from typing import Any

from tracejit.control.loops import fori_loop
from tracejit.control.while_loop import while_loop
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_float
from tracejit.ops._called import CALLED
from tracejit.ops._pointwise import define_pointwise, same_dtype
from tracejit.ops.arithmetic import add, ceil, div, mul, neg, sqrt, sub
from tracejit.ops.constant import scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import and_, eq, gt, le, lt, max_, min_, select
from tracejit.ops.reduction import reduce_max, reduce_or
from tracejit.ops.shape import full
from tracejit.ops.special import by_special, digamma, lgamma
from tracejit.ops.transcendental import exp, log
from tracejit.transforms.derivatives import jvp
from tracejit.transforms.stop_gradient import stop_gradient

__all__ = [
    "by_parameter",
    "gamma_log_slope",
    "gamma_log_slope_of_log",
    "gammainc",
    "gammaincc",
    "gammainccinv",
    "gammaincinv",
    "largest",
    "spread",
]

MOST_TERMS = 20_000
"""Of either expansion: enough up to ``a`` of about 10 million."""


def _of(x: Any, value: float) -> Any:
    return scalar_like(x, value)


def _any(mask: Any) -> Any:
    return reduce_or(mask, range(get_aval(mask).ndim))


def largest(x: Any) -> Any:
    """Return the largest element, as a constant."""
    x = stop_gradient(x)
    return reduce_max(x, range(get_aval(x).ndim)) if get_aval(x).size else _of(x, 0)


def power_series(a: Any, x: Any) -> Any:
    """Return `M` of the module's docstring, for x up to a + 1."""
    # The derivative of a term is its product with a logarithm: hence the reserve.
    shape, dtype = get_aval(x).shape, get_aval(x).dtype
    small = _of(x, float(2.0**-10 * _epsilon(dtype)))

    def unfinished(state: Any) -> Any:
        n, term, total = state
        return and_(lt(n, _of(n, MOST_TERMS)), _any(gt(term, mul(small, total))))

    def step(state: Any) -> Any:
        n, term, total = state
        term = div(mul(term, x), add(a, n))
        return add(n, _of(n, 1)), term, add(total, term)

    one = full(shape, 1, dtype)
    return while_loop(unfinished, step, (_of(x, 1), one, one))[2]


def _epsilon(dtype: Any) -> float:
    return 2.0**-52 if dtype.itemsize == 8 else 2.0**-23


def continued_fraction(a: Any, x: Any) -> Any:
    """Return the continued fraction of the module's docstring, for x from a + 1."""
    # From the last level to the first; their number was found by trial.
    count = min_(
        add(_of(x, 60), mul(_of(x, 6), sqrt(max_(largest(a), _of(x, 1))))), _of(x, MOST_TERMS)
    )
    base = sub(x, a)
    levels = convert_element_type(ceil(count), DTYPES["i64"])

    def step(i: Any, f: Any) -> Any:
        n = convert_element_type(sub(levels, i), get_aval(x).dtype)
        above = add(base, sub(mul(_of(n, 2), n), _of(n, 1)))
        return sub(above, div(mul(n, sub(n, a)), f))

    last = add(base, add(mul(_of(x, 2), count), _of(x, 1)))
    return div(_of(x, 1), fori_loop(0, levels, step, last))


def gamma_log_slope(a: Any, x: Any) -> Any:
    """Return ``-d log(x) / d a`` where ``P(a, x)`` is constant.

    Parameters
    ----------
    a, x : Array, one shape, float32 or float64
        Positive.

    Returns
    -------
    Array, shape and dtype of the operands
        ``(dP/da) / (x dP/dx)``.
    """
    return gamma_log_slope_of_log(a, x, log(x))


def gamma_log_slope_of_log(a: Any, x: Any, log_x: Any) -> Any:
    """Return :func:`gamma_log_slope`, given the logarithm of an `x` that may have underflown."""
    edge = max_(add(a, _of(a, 1)), _of(a, 1.5))
    below = le(x, edge)
    ones = full(get_aval(a).shape, 1, get_aval(a).dtype)

    within = select(below, x, _of(x, 1))
    m, m_a = jvp(lambda a: power_series(a, within), (a,), (ones,))
    first = div(add(mul(m, sub(log_x, digamma(add(a, _of(a, 1))))), m_a), a)

    # A fraction where both choices are computed must have an x that it is meant for.
    beyond = select(below, add(edge, _of(x, 1)), x)
    c, c_a = jvp(lambda a: continued_fraction(a, beyond), (a,), (ones,))
    log_beyond = select(below, log(beyond), log_x)
    second = add(mul(c, sub(log_beyond, digamma(a))), c_a)
    return select(below, first, neg(second))


def _density(a: Any, x: Any) -> Any:
    """Return ``x^(a-1) e^-x / Gamma(a)``, the derivative by `x`."""
    zero = eq(x, _of(x, 0))
    safe = select(zero, _of(x, 1), x)
    inside = exp(sub(sub(mul(sub(a, _of(a, 1)), log(safe)), x), lgamma(a)))
    inf = _of(x, float("inf"))
    at_zero = select(lt(a, _of(a, 1)), inf, select(eq(a, _of(a, 1)), _of(a, 1), _of(a, 0)))
    return select(zero, at_zero, inside)


def by_parameter(a: Any, x: Any) -> Any:
    """Return the derivative of ``P(a, x)`` by `a`."""
    a, x = spread(a, x)
    dtype = get_aval(a).dtype
    inside = and_(gt(x, _of(x, 0)), lt(x, _of(x, float("inf"))))
    safe = select(inside, x, _of(x, 1))
    if dtype.itemsize == 2:
        wide = DTYPES["f32"]
        slope = gamma_log_slope(convert_element_type(a, wide), convert_element_type(safe, wide))
        slope = convert_element_type(slope, dtype)
    else:
        slope = gamma_log_slope(a, safe)
    value = mul(mul(slope, safe), _density(a, safe))
    return select(inside, value, _of(x, 0))


def spread(*xs: Any) -> list[Any]:
    """Return operands of one shape."""
    shape = max((get_aval(x).shape for x in xs), key=len)
    zero = full(shape, 0, get_aval(xs[0]).dtype)
    return [x if get_aval(x).shape == shape else add(x, zero) for x in xs]


def _define(name: str, jvp: Any) -> Any:
    return define_pointwise(
        name,
        impl=by_special(name),
        dtype=same_dtype(name, is_float, "float"),
        jvp=jvp,
        lower=CALLED,
    )


gammainc_p = _define(
    "gammainc",
    [
        lambda t, out, a, x: mul(t, by_parameter(a, x)),
        lambda t, out, a, x: mul(t, _density(a, x)),
    ],
)
gammaincc_p = _define(
    "gammaincc",
    [
        lambda t, out, a, x: neg(mul(t, by_parameter(a, x))),
        lambda t, out, a, x: neg(mul(t, _density(a, x))),
    ],
)


def _quantile_by_parameter(a: Any, x: Any) -> Any:
    a, x = spread(a, x)
    inside = and_(gt(x, _of(x, 0)), lt(x, _of(x, float("inf"))))
    safe = select(inside, x, _of(x, 1))
    return select(inside, neg(mul(safe, gamma_log_slope(a, safe))), _of(x, 0))


gammaincinv_p = _define(
    "gammaincinv",
    [
        lambda t, out, a, p: mul(t, _quantile_by_parameter(a, out)),
        lambda t, out, a, p: div(t, _density(a, out)),
    ],
)
gammainccinv_p = _define(
    "gammainccinv",
    [
        lambda t, out, a, q: mul(t, _quantile_by_parameter(a, out)),
        lambda t, out, a, q: neg(div(t, _density(a, out))),
    ],
)


def gammainc(a: Any, x: Any) -> Any:
    """Regularized lower incomplete gamma function.

    Parameters
    ----------
    a, x : Array, one shape (or rank 0), one float dtype
        Not negative.

    Returns
    -------
    Array, shape and dtype of the operands
        The integral of ``t**(a - 1) exp(-t)`` from 0 to `x`, over ``Gamma(a)``.
    """
    return gammainc_p.bind(a, x)


def gammaincc(a: Any, x: Any) -> Any:
    """Regularized upper incomplete gamma function, ``1 - gammainc(a, x)``."""
    return gammaincc_p.bind(a, x)


def gammaincinv(a: Any, p: Any) -> Any:
    """Return the `x` for which ``gammainc(a, x)`` is `p`."""
    return gammaincinv_p.bind(a, p)


def gammainccinv(a: Any, q: Any) -> Any:
    """Return the `x` for which ``gammaincc(a, x)`` is `q`."""
    return gammainccinv_p.bind(a, q)
