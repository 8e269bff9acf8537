"""Special functions made of others."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_integer
from tracejit.numpy.manipulation import stack
from tracejit.numpy.promotion import array_of, broadcast, cast, known, operand
from tracejit.ops import bessel, factorials, hypergeometric, integrals, special
from tracejit.ops.arithmetic import add, copysign, div, floor, mul, neg, square, sub
from tracejit.ops.complex_numbers import abs_
from tracejit.ops.constant import scalar_like
from tracejit.ops.logical import and_, eq, ge, gt, lt, max_, ne, or_, select
from tracejit.ops.transcendental import exp, expm1, log, log1p
from tracejit.scipy.special.operands import floats
from tracejit.scipy.special.riemann import riemann

__all__ = [
    "bernoulli", "bessel_jn", "boxcox", "boxcox1p", "comb", "entr", "erfcinv", "exprel",
    "factorial", "fresnel", "gammasgn", "inv_boxcox", "inv_boxcox1p", "kl_div", "log_expit",
    "log_ndtr", "logit", "multigammaln", "ndtr", "polygamma", "rel_entr", "sici", "sph_harm_y",
    "wofz", "zeta",
]  # fmt: skip

ROOT_HALF = math.sqrt(0.5)


def _of(x: Any, value: float) -> Any:
    return scalar_like(x, value)


# ------------------------------------------------------------------------- gamma, zeta, counting


def gammasgn(x: Any) -> Any:
    """Sign of the gamma function: NaN at negative integers, that of the zero at 0."""
    (x,) = floats("gammasgn", x)
    return _gamma_sign(x)


def _is_odd(n: Any) -> Any:
    return ne(n, mul(_of(n, 2), floor(mul(_of(n, 0.5), n))))


def _gamma_sign(x: Any) -> Any:
    whole = floor(x)
    odd = _is_odd(whole)
    below = select(odd, _of(x, -1), _of(x, 1))
    pole = select(eq(whole, x), _of(x, math.nan), below)
    at_zero = copysign(_of(x, 1), x)
    chosen = select(eq(x, _of(x, 0)), at_zero, select(gt(x, _of(x, 0)), _of(x, 1), pole))
    return select(ne(x, x), x, select(eq(x, _of(x, -math.inf)), _of(x, math.nan), chosen))


def multigammaln(a: Any, d: Any) -> Any:
    """Logarithm of the gamma function of `d` dimensions.

    Parameters
    ----------
    a : array-like, real
        Greater than ``(d - 1) / 2``.
    d : int
        The dimension.
    """
    (a,) = floats("multigammaln", a)
    count = int(known(operand(d), "multigammaln()", "The dimension must be static."))
    total = _of(a, count * (count - 1) / 4 * math.log(math.pi))
    for j in range(count):
        total = add(special.lgamma(sub(a, _of(a, j / 2))), total)
    return total


def factorial(n: Any, exact: bool = False) -> Any:
    """Return ``gamma(n + 1)``, 0 for negative `n`.

    Raises
    ------
    NotImplementedError
        For ``exact=True``: there are no integers of any length.
    """
    if exact:
        raise NotImplementedError("factorial: exact=True is not supported; use math.factorial")
    (n,) = floats("factorial", n)
    negative = lt(n, _of(n, 0))
    return select(negative, _of(n, 0), factorials.gamma(add(max_(n, _of(n, 0)), _of(n, 1))))


def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    """Return the number of ways to take `k` of `N` things; 0 unless ``0 <= k <= N``.

    Parameters
    ----------
    N, k : array-like, real
        The numbers.
    exact : bool
        Must be False.
    repetition : bool
        Whether a thing may be taken again.
    """
    if exact:
        raise NotImplementedError("comb: exact=True is not supported; use math.comb")
    N, k = floats("comb", N, k)
    if repetition:
        some = factorials.binom(sub(add(N, k), _of(N, 1)), k)
        none = or_(lt(N, _of(N, 0)), lt(k, _of(N, 0)))
        # Of nothing, nothing can be taken in one way.
        some = select(and_(eq(N, _of(N, 0)), eq(k, _of(N, 0))), _of(N, 1), some)
        return select(or_(none, and_(eq(N, _of(N, 0)), gt(k, _of(N, 0)))), _of(N, 0), some)
    none = or_(gt(k, N), or_(lt(N, _of(N, 0)), lt(k, _of(N, 0))))
    return select(none, _of(N, 0), factorials.binom(N, k))


def zeta(x: Any, q: Any = None) -> Any:
    """Hurwitz zeta function, the sum of ``(k + q)**-x`` over ``k >= 0``; Riemann's without `q`.

    Both derivatives exist, for positive `q`.  Riemann's function is that of all real numbers.
    """
    if q is None:
        return riemann(*floats("zeta", x))
    x, q = floats("zeta", x, q)
    return factorials.zeta(x, q)


def polygamma(n: Any, x: Any) -> Any:
    """Derivative of order `n` of :func:`digamma`.

    Parameters
    ----------
    n : array-like of whole numbers, at least 0
        The order; there is no derivative by it.
    x : array-like, real
        The argument.
    """
    order = operand(n)
    if not get_aval(order).shape and isinstance(order, (int, float, np.number)):
        (x,) = floats("polygamma", x)
        return special.polygamma(x, int(order)) if order else special.digamma(x)
    return factorials.polygamma_of(*floats("polygamma", order, x))


def bernoulli(n: int) -> Any:
    """Return the Bernoulli numbers from 0 to `n`, float64, as a constant."""
    if n < 0:
        raise ShapeError(f"bernoulli: n must be at least 0; got {n}")
    numbers = importlib.import_module("scipy.special").bernoulli(max(n, 2))
    return array_of(numbers[: n + 1])


# ------------------------------------------------------------------------------ normal distribution


def ndtr(x: Any) -> Any:
    """Distribution function of the standard normal distribution."""
    (x,) = floats("ndtr", x)
    return _ndtr(x)


def _ndtr(x: Any) -> Any:
    return mul(_of(x, 0.5), special.erfc(mul(_of(x, -ROOT_HALF), x)))


def log_ndtr(x: Any, series_order: int = 3) -> Any:
    """Logarithm of :func:`ndtr`, accurate at both ends.

    Parameters
    ----------
    x : array-like, real
        The operand.
    series_order : int
        Accepted for compatibility: no series is used.
    """
    del series_order
    (x,) = floats("log_ndtr", x)
    below = lt(x, _of(x, -1))  # max_ and min_ would halve the derivative at -1
    low, high = select(below, x, _of(x, -1)), select(below, _of(x, -1), x)
    scaled = log(mul(_of(x, 0.5), integrals.erfcx(mul(_of(x, -ROOT_HALF), low))))
    tail = sub(scaled, mul(_of(x, 0.5), square(low)))
    body = log1p(neg(_ndtr(neg(high))))
    return select(below, tail, body)


def erfcinv(x: Any) -> Any:
    """Inverse of :func:`erfc`."""
    (x,) = floats("erfcinv", x)
    return mul(_of(x, -ROOT_HALF), integrals.ndtri(mul(_of(x, 0.5), x)))


# ---------------------------------------------------------------------------- logarithms, entropy


def logit(x: Any) -> Any:
    """Return ``log(x / (1 - x))``, the inverse of :func:`expit`."""
    (x,) = floats("logit", x)
    half = _of(x, 0.5)
    near = lt(abs_(sub(x, half)), _of(x, 0.25))
    safe = select(near, x, half)
    away = select(near, _of(x, 0.9), x)
    middle = log1p(div(sub(mul(_of(x, 2), safe), _of(x, 1)), sub(_of(x, 1), safe)))
    return select(near, middle, sub(log(away), log1p(neg(away))))


def log_expit(x: Any) -> Any:
    """Logarithm of :func:`expit`."""
    (x,) = floats("log_expit", x)
    below = lt(x, _of(x, 0))  # min_ and abs_ would lose the second derivative at 0
    low, size = select(below, x, _of(x, 0)), select(below, neg(x), x)
    return sub(low, log1p(exp(neg(size))))


def exprel(x: Any) -> Any:
    """Return ``(exp(x) - 1) / x``, 1 at 0."""
    (x,) = floats("exprel", x)
    return _exprel(x)


def _exprel(x: Any) -> Any:
    near = lt(abs_(x), _of(x, 0.03))
    small = select(near, x, _of(x, 0))
    series = _of(x, 1 / math.factorial(8))
    for n in range(7, 0, -1):
        series = add(_of(x, 1 / math.factorial(n)), mul(series, small))
    infinite = eq(x, _of(x, math.inf))
    away = select(or_(near, infinite), _of(x, 1), x)
    return select(near, series, select(infinite, x, div(expm1(away), away)))


def _boxcox(logarithm: Any, lmbda: Any) -> Any:
    # Of 0 and inf: the power is 0 or infinite, whichever the sign of the exponent says.
    infinite = eq(abs_(logarithm), _of(logarithm, math.inf))
    safe = select(infinite, _of(logarithm, 0), logarithm)
    zero = _of(lmbda, 0)
    vanishes = select(lt(logarithm, zero), gt(lmbda, zero), lt(lmbda, zero))
    finite = div(_of(lmbda, -1), select(vanishes, lmbda, _of(lmbda, 1)))
    at_end = select(vanishes, finite, logarithm)
    at_end = select(ne(lmbda, lmbda), lmbda, at_end)
    return select(infinite, at_end, mul(safe, _exprel(mul(safe, lmbda))))


def boxcox(x: Any, lmbda: Any) -> Any:
    """Return ``(x**lmbda - 1) / lmbda``, ``log(x)`` where `lmbda` is 0."""
    x, lmbda = floats("boxcox", x, lmbda)
    return _boxcox(log(x), lmbda)


def boxcox1p(x: Any, lmbda: Any) -> Any:
    """Return :func:`boxcox` of ``1 + x``."""
    x, lmbda = floats("boxcox1p", x, lmbda)
    return _boxcox(log1p(x), lmbda)


def _logarithm_of_inverse(y: Any, lmbda: Any) -> Any:
    zero = eq(lmbda, _of(lmbda, 0))
    safe = select(zero, _of(lmbda, 1), lmbda)
    return select(zero, y, div(log1p(mul(safe, y)), safe))


def inv_boxcox(y: Any, lmbda: Any) -> Any:
    """Inverse of :func:`boxcox` in `x`."""
    y, lmbda = floats("inv_boxcox", y, lmbda)
    return exp(_logarithm_of_inverse(y, lmbda))


def inv_boxcox1p(y: Any, lmbda: Any) -> Any:
    """Inverse of :func:`boxcox1p` in `x`."""
    y, lmbda = floats("inv_boxcox1p", y, lmbda)
    return expm1(_logarithm_of_inverse(y, lmbda))


def entr(x: Any) -> Any:
    """Return ``-x log(x)``, 0 at 0 and -inf below."""
    (x,) = floats("entr", x)
    below = lt(x, _of(x, 0))
    safe = select(below, _of(x, 1), x)
    return select(below, _of(x, -math.inf), neg(factorials.xlogy(safe, safe)))


def rel_entr(p: Any, q: Any) -> Any:
    """Return ``p log(p / q)``, 0 where `p` is 0 and `q` is not negative, else inf."""
    p, q = floats("rel_entr", p, q)
    return _relative_entropy(p, q)


def _relative_entropy(p: Any, q: Any) -> Any:
    zero = _of(p, 0)
    both = and_(gt(p, zero), gt(q, zero))
    one = _of(p, 1)
    x, y = select(both, p, one), select(both, q, one)
    value = mul(x, sub(log(x), log(y)))
    near = div(sub(x, y), y)
    # The difference of the logarithms is exact where they are nearly equal.
    value = select(lt(abs_(near), _of(p, 0.5)), mul(x, log1p(near)), value)
    edge = select(and_(eq(p, zero), ge(q, zero)), zero, _of(p, math.inf))
    nan = or_(ne(p, p), ne(q, q))
    return select(both, value, select(nan, add(p, q), edge))


def kl_div(p: Any, q: Any) -> Any:
    """Return ``p log(p / q) - p + q``, `q` where `p` is 0, inf where one is negative."""
    p, q = floats("kl_div", p, q)
    value = _relative_entropy(p, q)
    finite = and_(ge(p, _of(p, 0)), ge(q, _of(p, 0)))
    return select(finite, sub(add(value, q), p), value)


# ------------------------------------------------------------------------ integrals, harmonics


def sici(x: Any) -> tuple[Any, Any]:
    """Sine and cosine integral."""
    (x,) = floats("sici", x)
    return integrals.si(x), integrals.ci(x)


def fresnel(x: Any) -> tuple[Any, Any]:
    """Fresnel integrals S and C."""
    (x,) = floats("fresnel", x)
    return integrals.fresnel_s(x), integrals.fresnel_c(x)


def wofz(z: Any) -> Any:
    """Faddeeva function ``exp(-z**2) erfc(-i z)``; complex whatever `z` is."""
    (z,) = floats("wofz", z, accepts_complex=True)
    dtype = get_aval(z).dtype
    if not is_complex(dtype):
        z = cast(z, DTYPES["c128" if dtype.itemsize == 8 else "c64"])
    return integrals.wofz(z)


def bessel_jn(z: Any, *, v: int, n_iter: int = 50) -> Any:
    """Bessel functions J of whole orders.

    Parameters
    ----------
    z : array-like, real, any shape
        The argument.
    v : int
        The highest order.
    n_iter : int
        Accepted for compatibility: there is no recurrence to start.

    Returns
    -------
    Array, shape ``(v + 1, *z.shape)``
        Orders 0 to `v`.
    """
    del n_iter
    (z,) = floats("bessel_jn", z)
    if v < 0:
        raise ShapeError(f"bessel_jn: v must be at least 0; got {v}")
    low = [bessel.j0(z), bessel.j1(z)][: v + 1]
    return stack([*low, *[bessel.jv(_of(z, n), z) for n in range(2, v + 1)]])


def sph_harm_y(
    n: Any, m: Any, theta: Any, phi: Any, diff_n: int | None = None, n_max: int | None = None
) -> Any:
    """Spherical harmonics, with the phase of Condon and Shortley.

    Parameters
    ----------
    n, m : array-like of integers
        Degree and order.
    theta, phi : array-like, real
        The polar and the azimuthal angle.
    diff_n : int, optional
        Must be None; use a derivative.
    n_max : int, optional
        Accepted for compatibility.

    Returns
    -------
    Array, complex, of the shape that the arguments broadcast to
        0 where ``|m| > n``.
    """
    del n_max
    if diff_n:
        raise NotImplementedError("sph_harm_y: diff_n is not supported; use grad or jvp")
    for name, x in (("n", n), ("m", m)):
        if not is_integer(get_aval(operand(x)).dtype):
            raise DTypeError(f"sph_harm_y: {name} must be integers; got {get_aval(operand(x))}")
    theta, phi = floats("sph_harm_y", theta, phi)
    dtype = get_aval(theta).dtype
    if dtype.itemsize < 4:
        dtype = DTYPES["f32"]
        theta, phi = cast(theta, dtype), cast(phi, dtype)
    n, m = (cast(operand(x), dtype) for x in (n, m))
    return hypergeometric.sph_harm_y(*broadcast("sph_harm_y", [n, m, theta, phi]))
