"""Powers and roots: pow, cbrt, hypot, rsqrt.

pow: ``exp(y log|x|)`` with the logarithm and the product in two float64 parts; float32 goes through
float64.  The specials are C's.

Coefficients: ``(log((1 + s) / (1 - s)) - 2 s - 2 s**3 / 3) / s**5`` in ``z = s**2``, weight z**2,
by ``bench/coefficients.py LOG_TAIL64``.

References
----------
FreeBSD msun, ``s_cbrt.c``: the first approximation and its polynomial.
"""

from __future__ import annotations

import math

from tracejit_llvm.math.exp import LN2_64, exp, reduced, scaled
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.log import log, split_exponent

__all__ = ["cbrt", "hypot", "pow_", "rsqrt"]

LOG_TAIL64 = (
    0.40000000000002284,
    0.2857142857008475,
    0.22222222522716645,
    0.1818178411081284,
    0.1538676964155533,
    0.13256520248537043,
    0.1319918326844414,
)
CBRT = (
    1.87595182427177009643,
    -1.88497979543377169875,
    1.621429720105354466140,
    -0.758397934778766047437,
    0.145996192886612446982,
)
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)


def _two_sum(f: Lanes, a: str, b: str) -> tuple[str, str]:
    """Return the sum and its rounding error, for |a| >= |b|."""
    total = f.add(a, b)
    return total, f.sub(b, f.sub(total, a))


def _two_product(f: Lanes, a: str, b: str) -> tuple[str, str]:
    product = f.mul(a, b)
    return product, f.fma(a, b, f.neg(product))


def _log_in_two(f: Lanes, x: str) -> tuple[str, str]:
    """Return the logarithm of a positive float64 in two parts."""
    k, m = split_exponent(f, x)
    t = f.sub(m, f.c(1.0))
    sum_ = f.add(t, f.c(2.0))
    sum_low = f.sub(t, f.sub(sum_, f.c(2.0)))
    inverse = f.div(f.c(1.0), sum_)
    s = f.mul(t, inverse)
    minus = f.neg(s)
    s_low = f.mul(f.fma(minus, sum_low, f.fma(minus, sum_, t)), inverse)
    z, z_low = _two_product(f, s, s)
    z_low = f.fma(f.add(s, s), s_low, z_low)
    cube, cube_low = _two_product(f, z, s)
    cube_low = f.fma(z_low, s, f.fma(z, s_low, cube_low))
    third, third_low = _two_product(f, cube, f.c(TWO_THIRDS[0]))
    third_low = f.fma(cube, f.c(TWO_THIRDS[1]), f.fma(cube_low, f.c(TWO_THIRDS[0]), third_low))
    tail = f.mul(f.mul(cube, z), f.horner(z, LOG_TAIL64))
    high, low = LN2_64
    a, a_low = _two_sum(f, f.add(s, s), third)
    # k ln 2 is 0 or the larger one.
    b, b_low = _two_sum(f, f.mul(k, f.c(high)), a)
    rest = f.add(f.add(f.add(s_low, s_low), third_low), f.fma(k, f.c(low), tail))
    return _two_sum(f, b, f.add(f.add(a_low, b_low), rest))


def _power(f: Lanes, x: str, y: str) -> str:
    high, low = _log_in_two(f, x)
    p, p_low = _two_product(f, y, high)
    p_low = f.fma(y, low, p_low)
    clamped = f.clamp(p, -746.0, 710.0)
    p_low = f.select(f.compare("oeq", clamped, p), p_low, f.c(0.0))
    k, q = reduced(f, clamped, p_low)
    return scaled(f, f.add(q, f.c(1.0)), k)


def pow_(f: Lanes, x: str, y: str) -> str:
    """Power, as C's pow."""
    wide, (x, y) = f.doubled(x, y)
    a = wide.abs(x)
    zero, one, inf = wide.c(0.0), wide.c(1.0), wide.c(math.inf)
    result = exp(wide, wide.mul(y, log(wide, a))) if f.single else _power(wide, a, y)
    rising = wide.compare("ogt", y, zero)
    is_zero, is_inf = wide.compare("oeq", a, zero), wide.compare("oeq", a, inf)
    limit = wide.select(wide.logic("xor", is_zero, rising), inf, zero)
    result = wide.select(wide.logic("or", is_zero, is_inf), limit, result)
    above = wide.compare("ogt", a, one)
    limit = wide.select(wide.logic("xor", above, rising), zero, inf)
    limit = wide.select(wide.compare("oeq", a, one), one, limit)
    result = wide.select(wide.compare("oeq", wide.abs(y), inf), limit, result)
    whole = wide.compare("oeq", wide.trunc(y), y)
    half = wide.mul(y, wide.c(0.5))
    odd = wide.logic("and", whole, wide.compare("une", wide.trunc(half), half))
    negative = wide.code.op(f"icmp slt {wide.words} {wide.bits(x)}, {wide.i(0)}")
    result = wide.select(wide.logic("and", negative, odd), wide.neg(result), result)
    no_root = wide.logic("and", wide.compare("olt", x, zero), wide.compare("une", wide.trunc(y), y))
    no_root = wide.logic("and", no_root, wide.compare("one", a, inf))
    result = wide.select(no_root, wide.c(math.nan), result)
    result = wide.select(wide.compare("uno", x, y), wide.add(x, y), result)
    unit = wide.logic("or", wide.compare("oeq", y, zero), wide.compare("oeq", x, one))
    return f.narrowed(wide, wide.select(unit, one, result))


def rsqrt(f: Lanes, x: str) -> str:
    """``1 / sqrt(x)``, two roundings."""
    return f.div(f.c(1.0), f.sqrt(x))


def cbrt(f: Lanes, x: str) -> str:
    """Cube root."""
    w, (y,) = f.doubled(x)
    a = w.abs(y)
    small = w.compare("olt", a, w.c(2.0**-1022))
    scaled_a = w.select(small, w.mul(a, w.c(2.0**54)), a)
    high = w.word_op("lshr", w.bits(scaled_a), w.i(32))
    third = w.word_op("lshr", w.word_op("mul", high, w.i(0xAAAAAAAB)), w.i(33))
    third = w.word_op("add", third, w.i(715094163))
    t = w.unbits(w.word_op("shl", third, w.i(32)))
    # A polynomial in t**3 / a brings the error to 2**-23, Newton's step to the last place.
    r = w.mul(w.mul(t, t), w.div(t, scaled_a))
    t = w.mul(t, w.horner(r, CBRT))
    t = w.unbits(w.word_op("and", w.word_op("add", w.bits(t), w.i(0x80000000)), w.i(-(2**30))))
    s = w.mul(t, t)
    q = w.div(scaled_a, s)
    t = w.fma(t, w.div(w.sub(q, t), w.add(w.add(t, t), q)), t)
    t = w.select(small, w.mul(t, w.c(2.0**-18)), t)
    finite = w.logic("and", w.compare("ogt", a, w.c(0.0)), w.compare("one", a, w.c(math.inf)))
    return f.narrowed(w, w.select(finite, w.copysign(t, y), y))


def hypot(f: Lanes, x: str, y: str) -> str:
    """``sqrt(x**2 + y**2)`` without overflow; inf if either is."""
    inf = f.c(math.inf)
    a, b = f.abs(x), f.abs(y)
    infinite = f.logic("or", f.compare("oeq", a, inf), f.compare("oeq", b, inf))
    if f.single:
        w, (u, v) = f.doubled(a, b)
        result = f.narrowed(w, w.sqrt(w.fma(u, u, w.mul(v, v))))
        return f.select(infinite, inf, result)
    swap = f.compare("olt", a, b)
    large, small = f.select(swap, b, a), f.select(swap, a, b)
    huge = f.compare("ogt", large, f.c(2.0**510))
    tiny = f.compare("olt", large, f.c(2.0**-480))
    up = f.select(huge, f.c(2.0**-600), f.select(tiny, f.c(2.0**600), f.c(1.0)))
    down = f.select(huge, f.c(2.0**600), f.select(tiny, f.c(2.0**-600), f.c(1.0)))
    large, small = f.mul(large, up), f.mul(small, up)
    square, lost = _two_product(f, large, large)
    total = f.fma(small, small, square)
    h = f.sqrt(total)
    # Newton's correction with the error of h**2 - large**2 - small**2.
    h2, h2_lost = _two_product(f, h, h)
    error = f.fma(small, small, f.add(f.sub(square, h2), f.sub(lost, h2_lost)))
    nonzero = f.compare("ogt", h, f.c(0.0))
    fix = f.div(error, f.select(nonzero, f.add(h, h), f.c(1.0)))
    result = f.mul(f.add(h, fix), down)
    result = f.select(f.compare("uno", x, y), f.add(x, y), result)
    return f.select(infinite, inf, result)
