"""Gamma functions: lgamma and digamma, in float64.

lgamma is ``(x - 1) (x - 2) P(x - 2)`` on [1, 3], reached by the recurrence below 8; Stirling's
series from there, and Euler's reflection below 0.  Its errors are small against ``max(1,
|lgamma|)``; so are those of digamma, which is recurrence, asymptotic series and reflection.

Coefficients: ``lgamma(x) / ((x - 1) (x - 2))`` in ``x - 2``, by ``bench/coefficients.py
LGAMMA64``; the series have Bernoulli numbers.
"""

from __future__ import annotations

import math

from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.log import log
from tracejit_llvm.math.trig import sine

__all__ = ["digamma", "lgamma"]

LGAMMA64 = (
    0.42278433509846713,
    -0.1003173016743539,
    0.03296500062115565,
    -0.012384192193374357,
    0.00499864116470972,
    -0.002108130833829102,
    0.0009153769219112322,
    -0.0004057073999392068,
    0.00018255264397210751,
    -8.309509994278148e-05,
    3.816884686014964e-05,
    -1.7661855496459117e-05,
    8.222430165963265e-06,
    -3.846514161674499e-06,
    1.8071690858711092e-06,
    -8.554818984188006e-07,
    4.062749504675279e-07,
    -1.8613122953561562e-07,
    8.623196083891573e-08,
    -5.2039090543980834e-08,
    2.7733307337442173e-08,
    -7.857243043094537e-10,
    -1.9953368824204087e-09,
    -8.95221079499708e-09,
    5.599024581164375e-09,
    2.469483145088598e-09,
    -1.604694759201039e-09,
    -8.190121699401534e-10,
    4.5521334439742445e-10,
)
STIRLING = (
    1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400,
)  # fmt: skip
DIGAMMA = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12)
HALF_LOG_2_PI = 0.9189385332046728


def _positive(w: Lanes, x: str) -> str:
    """Return lgamma of x > 0."""
    one = w.c(1.0)
    low = w.compare("olt", x, one)
    y = w.select(low, w.add(x, one), x)
    product = w.select(low, x, one)
    for _ in range(5):
        above = w.compare("oge", y, w.c(3.0))
        less = w.sub(y, one)
        product = w.select(above, w.mul(product, less), product)
        y = w.select(above, less, y)
    t = w.sub(y, w.c(2.0))
    near = w.mul(w.mul(t, w.sub(y, one)), w.horner(t, LGAMMA64))
    big = w.compare("oge", x, w.c(8.0))
    log_ = log(w, w.select(big, x, product))
    near = w.select(low, w.sub(near, log_), w.add(near, log_))
    inverse = w.div(one, w.select(big, x, w.c(8.0)))
    series = w.mul(inverse, w.horner(w.mul(inverse, inverse), STIRLING))
    far = w.fma(w.sub(x, w.c(0.5)), w.sub(log_, one), w.c(HALF_LOG_2_PI - 0.5))
    return w.select(big, w.add(far, series), near)


def _sine_of_pi(w: Lanes, x: str) -> tuple[str, str]:
    """Return r = x less the nearest integer, and sin(pi r)."""
    r = w.sub(x, w.intrinsic("rint", x))
    return r, sine(w, w.mul(r, w.c(math.pi)))


def lgamma(f: Lanes, x: str) -> str:
    """Logarithm of the absolute value of the gamma function; inf at the poles."""
    w, (y,) = f.doubled(x)
    a = w.abs(y)
    negative = w.compare("olt", y, w.c(0.0))
    value = _positive(w, a)
    _, s = _sine_of_pi(w, a)
    other = log(w, w.div(w.c(math.pi), w.abs(w.mul(a, s))))
    tiny = w.compare("olt", a, w.c(2.0**-60))
    value = w.select(negative, w.select(tiny, value, w.sub(other, value)), value)
    infinite = w.logic("or", w.compare("oeq", a, w.c(math.inf)), w.compare("oeq", a, w.c(0.0)))
    pole = w.logic("and", negative, w.compare("oeq", w.trunc(y), y))
    return f.narrowed(w, w.select(w.logic("or", infinite, pole), w.c(math.inf), value))


def digamma(f: Lanes, x: str) -> str:
    """Derivative of lgamma; nan at the negative integers, an infinity at 0."""
    w, (y,) = f.doubled(x)
    one, zero = w.c(1.0), w.c(0.0)
    negative = w.compare("olt", y, zero)
    z = w.select(negative, w.sub(one, y), y)
    numerator, denominator = zero, one
    for _ in range(10):
        below = w.compare("olt", z, w.c(10.0))
        more = w.fma(numerator, z, denominator)
        numerator = w.select(below, more, numerator)
        denominator = w.select(below, w.mul(denominator, z), denominator)
        z = w.select(below, w.add(z, one), z)
    inverse = w.div(one, z)
    square = w.mul(inverse, inverse)
    value = w.fma(inverse, w.c(-0.5), log(w, z))
    value = w.fma(square, w.horner(square, DIGAMMA), value)
    value = w.sub(value, w.div(numerator, denominator))
    r, s = _sine_of_pi(w, y)
    quarter = w.sub(w.c(0.5), w.abs(r))
    cosine = sine(w, w.mul(quarter, w.c(math.pi)))
    cotangent = w.div(w.mul(cosine, w.c(math.pi)), s)
    value = w.select(negative, w.sub(value, cotangent), value)
    value = w.select(w.logic("and", negative, w.compare("oeq", r, zero)), w.c(math.nan), value)
    pole = w.copysign(w.c(math.inf), w.neg(y))
    value = w.select(w.compare("oeq", y, zero), pole, value)
    value = w.select(w.compare("oeq", y, w.c(math.inf)), y, value)
    lost = w.compare("oeq", y, w.c(-math.inf))
    return f.narrowed(w, w.select(lost, w.c(math.nan), value))
