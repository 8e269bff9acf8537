"""Gamma functions: lgamma and digamma, in float64.

lgamma is ``(x - 1) (x - 2) P(x - 2)`` on [1, 3], reached by the recurrence below 8; Stirling's
series from there, and Euler's reflection below 0.  Its errors are small against ``max(1,
|lgamma|)``; so are those of digamma, which is recurrence, asymptotic series and reflection.

Coefficients: ``lgamma(x) / ((x - 1) (x - 2))`` in ``x - 2``, by ``bench/coefficients.py
LGAMMA64``; ``1 / r - pi cot(pi r)`` over r in ``r**2``, by ``COTANGENT``; the series have
Bernoulli numbers.
"""

from __future__ import annotations

import math

from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.log import log, log_in_parts
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
COTANGENT = (
    3.289868133696453,
    2.164646467422276,
    2.0346861239690406,
    2.008154712374577,
    2.0019891519324147,
    2.0004920931700854,
    2.000125004667387,
    1.999975976830101,
    2.0008596468133666,
    1.99026312659623,
    2.0824077250829123,
    1.4829486628600566,
    4.385416609074789,
    -5.918881512891506,
    20.11973009061258,
    -24.20561962083668,
    21.34668817008898,
)
STIRLING = (
    1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400,
)  # fmt: skip
DIGAMMA = (
    -1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12, 3617 / 8160,
    -43867 / 14364, 174611 / 6600, -77683 / 276, 236364091 / 65520, -657931 / 12,
    3392780147 / 3480, -1723168255201 / 85932,
)  # fmt: skip
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
    log_ = log(w, product)
    whole, part = log_in_parts(w, w.select(big, x, w.c(8.0)))
    near = w.select(low, w.sub(near, log_), w.add(near, log_))
    inverse = w.div(one, w.select(big, x, w.c(8.0)))
    series = w.mul(inverse, w.horner(w.mul(inverse, inverse), STIRLING))
    less = w.sub(x, w.c(0.5))
    far = w.fma(less, part, w.add(series, w.c(HALF_LOG_2_PI - 0.5)))
    return w.select(big, w.fma(less, w.sub(whole, one), far), near)


def _sine_of_pi(w: Lanes, x: str) -> str:
    """Return sin(pi r), r = x less the nearest integer."""
    r = w.sub(x, w.intrinsic("rint", x))
    return sine(w, w.mul(r, w.c(math.pi)))


def lgamma(f: Lanes, x: str) -> str:
    """Logarithm of the absolute value of the gamma function; inf at the poles."""
    w, (y,) = f.doubled(x)
    a = w.abs(y)
    negative = w.compare("olt", y, w.c(0.0))
    value = _positive(w, a)
    s = _sine_of_pi(w, a)
    other = log(w, w.div(w.c(math.pi), w.abs(w.mul(a, s))))
    tiny = w.compare("olt", a, w.c(2.0**-60))
    value = w.select(negative, w.select(tiny, value, w.sub(other, value)), value)
    infinite = w.logic("or", w.compare("oeq", a, w.c(math.inf)), w.compare("oeq", a, w.c(0.0)))
    pole = w.logic("and", negative, w.compare("oeq", w.trunc(y), y))
    return f.narrowed(w, w.select(w.logic("or", infinite, pole), w.c(math.inf), value))


def _difference(w: Lanes, a: str, b: str) -> tuple[str, str]:
    """Return ``a - b`` and its rounding error."""
    d = w.sub(a, b)
    back = w.sub(d, a)
    return d, w.sub(w.sub(a, w.sub(d, back)), w.add(b, back))


def digamma(f: Lanes, x: str) -> str:
    """Derivative of lgamma; nan at the negative integers, an infinity at 0."""
    w, (y,) = f.doubled(x)
    one, zero = w.c(1.0), w.c(0.0)
    negative = w.compare("olt", y, zero)
    z = w.select(negative, w.sub(one, y), y)
    # What each z + 1 loses, times the trigamma function there: a series, then about 1 / z.
    more = w.add(z, one)
    ratio = w.div(one, more)
    slope = w.mul(ratio, w.horner(ratio, (1.0, 0.5, 1 / 6)))
    lost = w.mul(w.sub(z, w.sub(more, one)), slope)
    shifted = w.select(w.compare("olt", z, w.c(7.0)), lost, zero)
    # The sum of 1 / z as a fraction whose parts have 106 bits.
    top, top_low, bottom, bottom_low = zero, zero, one, zero
    for step in range(7):
        below = w.compare("olt", z, w.c(7.0))
        product = w.mul(top, z)
        lost = w.fma(top, z, w.neg(product))
        sum_ = w.add(product, bottom)
        lost = w.add(lost, w.sub(bottom, w.sub(sum_, product)))
        low = w.fma(top_low, z, w.add(lost, bottom_low))
        product = w.mul(bottom, z)
        less = w.fma(bottom_low, z, w.fma(bottom, z, w.neg(product)))
        top, top_low = w.select(below, sum_, top), w.select(below, low, top_low)
        bottom = w.select(below, product, bottom)
        bottom_low = w.select(below, less, bottom_low)
        more = w.add(z, one)
        if step:
            lost = w.mul(w.sub(z, w.sub(more, one)), w.c(1 / (step + 1)))
            shifted = w.select(below, w.add(shifted, lost), shifted)
        z = w.select(below, more, z)
    inverse = w.div(one, z)
    square = w.mul(inverse, inverse)
    whole, part = log_in_parts(w, z)
    quotient = w.div(top, bottom)
    residual = w.fma(w.neg(quotient), bottom_low, w.fma(w.neg(quotient), bottom, top))
    low = w.div(w.add(residual, top_low), bottom)
    part = w.sub(w.fma(inverse, w.c(-0.5), part), w.sub(low, shifted))
    part = w.fma(square, w.horner(square, DIGAMMA), part)
    # pi cot(pi r) = 1 / r - r C(r**2), the division with its residual.
    r = w.sub(y, w.intrinsic("rint", y))
    reciprocal = w.div(one, r)
    low = w.mul(w.fma(w.neg(reciprocal), r, one), reciprocal)
    low = w.sub(w.mul(r, w.horner(w.mul(r, r), COTANGENT)), low)
    value, lost = _difference(w, whole, quotient)
    part = w.add(part, lost)
    value, lost = _difference(w, value, w.select(negative, reciprocal, zero))
    value = w.add(value, w.add(part, w.add(lost, w.select(negative, low, zero))))
    tiny = w.compare("olt", w.abs(y), w.c(2.0**-64))
    value = w.select(tiny, w.div(w.c(-1.0), y), value)
    value = w.select(w.logic("and", negative, w.compare("oeq", r, zero)), w.c(math.nan), value)
    pole = w.copysign(w.c(math.inf), w.neg(y))
    value = w.select(w.compare("oeq", y, zero), pole, value)
    value = w.select(w.compare("oeq", y, w.c(math.inf)), y, value)
    lost = w.compare("oeq", y, w.c(-math.inf))
    return f.narrowed(w, w.select(lost, w.c(math.nan), value))
