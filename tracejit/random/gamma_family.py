"""The gamma distribution and what is made of it, with reparametrised gradients.

A gamma number is drawn by rejection, which has no derivative; but the number at which the
distribution function ``P(a, x)`` has a given value has one, by implicit differentiation:
``dx/da = -(dP/da) / (dP/dx)``.  It is computed for logarithms, so that it is right where the
number itself underflows.

References
----------
G. Marsaglia, W. W. Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000).
M. Figurnov, S. Mohamed, A. Mnih, "Implicit reparameterization gradients" (2018).
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.control.custom import custom_jvp
from tracejit.control.incomplete_gamma import gamma_log_slope_of_log
from tracejit.control.while_loop import while_loop
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.numpy.promotion import cast, operand, static_shape
from tracejit.random.continuous import check_dimension, parameters
from tracejit.random.distributions import (
    F32,
    exponential,
    float_dtype,
    normal,
    rademacher,
    two_keys,
)
from tracejit.random.keys import fold_in

__all__ = [
    "ball", "beta", "chisquare", "dirichlet", "f", "gamma", "generalized_normal", "loggamma", "t",
]  # fmt: skip


def _accepted(key: Any, a: Any) -> Any:
    """Return logarithms of gamma numbers of ``a >= 1``, by the rejection of Marsaglia and Tsang."""
    shape, kind = get_aval(a).shape, get_aval(a).dtype
    d = a - 1 / 3
    c = 1 / tnp.sqrt(9 * d)

    def step(state: Any) -> Any:
        trip, value, done = state
        first, second = two_keys(fold_in(key, trip))
        x = normal(first, shape, kind)
        v = 1 + c * x
        inside = v > 0
        log_v = 3 * tnp.log(tnp.where(inside, v, 1))
        bound = x * x / 2 + d * (1 - tnp.exp(log_v) + log_v)
        fits = inside & (-exponential(second, shape, kind) < bound)
        return trip + 1, tnp.where(fits & ~done, log_v, value), done | fits

    start = 0, tnp.zeros(shape, kind), tnp.zeros(shape, bool)
    return tnp.log(d) + while_loop(lambda state: ~tnp.all(state[2]), step, start)[1]


@custom_jvp
def _log_gamma(key: Any, a: Any) -> Any:
    first, second = two_keys(key)
    valid = a > 0
    safe = tnp.where(valid, a, 1)
    small = safe < 1
    drawn = _accepted(first, tnp.where(small, safe + 1, safe))
    # For a < 1: x of a + 1, times a power of a uniform number.
    factor = exponential(second, get_aval(a).shape, get_aval(a).dtype) / safe
    drawn = drawn - tnp.where(small, factor, 0)
    return tnp.where(valid, drawn, tnp.where(a == 0, -tnp.inf, tnp.nan))


@_log_gamma.defjvp
def _log_gamma_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    key, a = primals
    out = _log_gamma(key, a)
    finite = tnp.isfinite(out)
    safe, log_x = tnp.where(finite, a, 1), tnp.where(finite, out, 0)
    slope = -gamma_log_slope_of_log(safe, tnp.exp(log_x), log_x)
    return out, tnp.where(finite, slope, 0) * tangents[1]


def _drawn(name: str, key: Any, a: Any, shape: Any, dtype: Any) -> Any:
    """Return logarithms of gamma numbers; of 16-bit floats in float32."""
    kind, target, (a,) = parameters(name, dtype, shape, a)
    a = tnp.broadcast_to(a, target)
    return _log_gamma(key, a if kind.itemsize > 2 else cast(a, F32))


def loggamma(key: Any, a: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return logarithms of numbers of the gamma distribution.

    They are accurate where :func:`gamma` underflows, for small `a`.  See :func:`gamma`.
    """
    return cast(_drawn("loggamma", key, a, shape, dtype), float_dtype("loggamma", dtype))


def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return numbers of the gamma distribution of scale 1.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    a : array-like, real
        The shape parameter, positive; 0 gives 0, NaN and negative numbers NaN.
    shape : tuple of int, optional
        The shape of the result, to which `a` broadcasts; that of `a` by default.
    dtype : dtype-like, floating
        The dtype of the result; float64 by default.

    Notes
    -----
    The derivative by `a` is that at a constant value of the distribution function (implicit
    reparametrisation), of every order.
    """
    return cast(tnp.exp(_drawn("gamma", key, a, shape, dtype)), float_dtype("gamma", dtype))


def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return numbers of the beta distribution; differentiable by `a` and `b`, see :func:`gamma`."""
    kind, target, (a, b) = parameters("beta", dtype, shape, a, b)
    first, second = two_keys(key)
    x, y = loggamma(first, a, target, kind), loggamma(second, b, target, kind)
    # The logistic function of the difference; both may be tiny.
    return 1 / (1 + tnp.exp(y - x))


def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return vectors of the Dirichlet distribution, differentiable by `alpha`.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    alpha : array-like, shape (..., n), real
        The concentrations.
    shape : tuple of int, optional
        How many vectors; ``alpha.shape[:-1]`` by default, which broadcasts to it.
    dtype : dtype-like, floating
        The dtype of the result; float64 by default.

    Returns
    -------
    Array, shape ``(*shape, n)``
        Each vector has the sum 1.
    """
    x = operand(alpha)
    own = get_aval(x).shape
    if not own:
        raise ShapeError("dirichlet: alpha must have at least one axis; got a scalar")
    target = own if shape is None else (*static_shape("dirichlet", shape), own[-1])
    logarithms = loggamma(key, x, target, dtype)
    terms = tnp.exp(logarithms - tnp.max(logarithms, -1, keepdims=True))
    return terms / tnp.sum(terms, -1, keepdims=True)


def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return numbers of the chi-square distribution of `df` degrees of freedom."""
    kind, target, (df,) = parameters("chisquare", dtype, shape, df)
    return 2 * gamma(key, df / 2, target, kind)


def f(key: Any, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return numbers of the F distribution."""
    kind, target, (above, below) = parameters("f", dtype, shape, dfnum, dfden)
    first, second = two_keys(key)
    x, y = loggamma(first, above / 2, target, kind), loggamma(second, below / 2, target, kind)
    return tnp.exp(x - y) * (below / above)


def t(key: Any, df: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Return numbers of Student's t distribution of `df` degrees of freedom."""
    kind, target, (df,) = parameters("t", dtype, shape, df)
    first, second = two_keys(key)
    half = df / 2
    return normal(first, target, kind) * tnp.sqrt(half / gamma(second, half, target, kind))


def generalized_normal(key: Any, p: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Return numbers of density proportional to ``exp(-|x|**p)``."""
    kind, target, (p,) = parameters("generalized_normal", dtype, shape, p)
    first, second = two_keys(key)
    size = tnp.exp(loggamma(first, 1 / p, target, kind) / p)
    return size * rademacher(second, target, kind)


def ball(key: Any, d: int, p: Any = 2, shape: Any = (), dtype: Any = None) -> Any:
    """Return vectors uniform within the unit ball of the `p` norm.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    d : int
        The dimension.
    p : float
        The norm.
    shape : tuple of int
        How many vectors.
    dtype : dtype-like, floating
        The dtype of the result; float64 by default.

    Returns
    -------
    Array, shape ``(*shape, d)``

    References
    ----------
    F. Barthe, O. Guedon, S. Mendelson, A. Naor, "A probabilistic approach to the geometry of the
    l_p^n-ball", Annals of Probability 33 (2005).
    """
    kind = float_dtype("ball", dtype)
    target, count = static_shape("ball", shape), check_dimension("ball", d)
    first, second = two_keys(key)
    vectors = generalized_normal(first, p, (*target, count), kind)
    total = tnp.sum(tnp.abs(vectors) ** p, -1) + exponential(second, target, kind)
    return vectors / (total ** (1 / p))[..., None]
