"""Powers and roots: pow, cbrt, hypot, rsqrt.

pow: ``exp(y log|x|)`` with the logarithm and the product in two parts.  The specials are C's, in a
branch of their own, as is what may be subnormal.

cbrt: ``x**(-1/3)`` from the bits, a polynomial and one step of Newton's.

Coefficients: ``(log(1 + r) - r + r**2/2) / r**3``, weight r**3, and ``(1 - e)**(-1/3)`` on
\\|e\\| <= 0.1025, by ``bench/coefficients.py LOG_THIRD64 LOG_THIRD32 CBRT32 CBRT64``.
"""

from __future__ import annotations

import math

from tracejit_llvm.math.exp import INVERSE_LN2, LN2_32, LN2_64, power_of_two, sixteenths
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.log import BASE_E, BASE_E_32, near_table

__all__ = ["cbrt", "hypot", "pow_", "rsqrt"]

LOG_THIRD64 = (
    0.33333333333333376,
    -0.24999999999996195,
    0.1999999999966907,
    -0.16666666686846957,
    0.14285715075124036,
    -0.12499962548379875,
    0.11110359265375486,
    -0.10029401871802253,
    0.09348679547645655,
)
LOG_THIRD32 = (
    0.33333321010397043,
    -0.24999807040156705,
    0.2002766298360815,
    -0.16863163495535727,
)
CBRT32 = (
    0.9999959847818909,
    0.3347048064310873,
    0.2241299978100179,
)
CBRT64 = (
    0.9999999999821176,
    0.33333334630966843,
    0.22222226475860268,
    0.1728296521081503,
    0.14401610998430883,
    0.12669630944713647,
    0.11316463197074304,
)
LARGEST_64, LARGEST_32 = 708.0, 87.0
"""The exponential of what is less is a normal number."""


def _two_sum(f: Lanes, a: str, b: str) -> tuple[str, str]:
    """Return the sum and its rounding error, for |a| >= |b|."""
    total = f.add(a, b)
    return total, f.sub(b, f.sub(total, a))


def _two_product(f: Lanes, a: str, b: str) -> tuple[str, str]:
    product = f.mul(a, b)
    return product, f.fma(a, b, f.neg(product))


def _log_in_two(f: Lanes, x: str, c: str | None) -> tuple[str, str]:
    """Return two numbers whose sum is the logarithm of a positive normal x; c adds to its k.

    The second may be 2**-10 of the first.
    """
    base = BASE_E_32 if f.single else BASE_E
    w, r, rest = near_table(f, (x,) if c is None else (x, c, f.c(0.0)), base)
    half = f.c(-0.5)
    square, square_low = _two_product(f, r, r)
    first, first_low = _two_sum(f, w, r)
    high = f.fma(square, half, first)
    low = f.fma(square, half, f.sub(first, high))
    low = f.add(f.fma(square_low, half, low), f.add(first_low, rest))
    tail = f.horner(r, LOG_THIRD32 if f.single else LOG_THIRD64)
    return high, f.fma(f.mul(square, r), tail, low)


def _power(
    f: Lanes, x: str, y: str, c: str | None = None, clamped: bool = False
) -> tuple[str, str]:
    """Return ``x**y`` and about its logarithm; unless `clamped` that should be within LARGEST."""
    high, low = _log_in_two(f, x, c)
    p, p_low = _two_product(f, y, high)
    p_low = f.fma(y, low, p_low)
    if clamped:
        # p is at most 0.05 % off the total.
        within = f.clamp(p, *((-104.0, 89.0) if f.single else (-746.0, 710.5)))
        p_low = f.select(f.compare("oeq", within, p), p_low, f.c(0.0))
        p = within
    total = f.add(p, p_low)
    k, t = sixteenths(f, total, INVERSE_LN2)
    first, second = LN2_32 if f.single else LN2_64
    r = f.fma(k, f.c(-second), f.fma(k, f.c(-first), p))
    return power_of_two(f, k, t, f.add(r, p_low)), total


def pow_(f: Lanes, x: str, y: str) -> str:
    """Power, as C's pow."""
    a = f.abs(x)
    result, logarithm = _power(f, a, y)
    # x that is not a positive normal number, and results that may not be one.
    least, top = (1 << 23, 0xFF << 23) if f.single else (1 << 52, 0x7FF << 52)
    below = f.word_op("sub", f.bits(x), f.i(least))
    special = f.code.op(f"icmp uge {f.words} {below}, {f.i(top - least)}")
    extreme = f.compare("uge", f.abs(logarithm), f.either(LARGEST_32, LARGEST_64))

    def other() -> tuple[str]:
        small = f.compare("olt", a, f.either(2.0**-126, 2.0**-1022))
        b = f.select(small, f.mul(a, f.either(2.0**24, 2.0**54)), a)
        c = f.select(small, f.either(-24.0, -54.0), f.c(0.0))
        return (_special_powers(f, x, y, a, _power(f, b, y, c, clamped=True)[0]),)

    return f.rare(f.logic("or", special, extreme), (result,), other)[0]


def _special_powers(f: Lanes, x: str, y: str, a: str, result: str) -> str:
    """Return `result`, the power of a = \\|x\\|, with the signs and special values of ``x**y``."""
    zero, one, inf = f.c(0.0), f.c(1.0), f.c(math.inf)
    rising = f.compare("ogt", y, zero)
    is_zero, is_inf = f.compare("oeq", a, zero), f.compare("oeq", a, inf)
    limit = f.select(f.logic("xor", is_zero, rising), inf, zero)
    result = f.select(f.logic("or", is_zero, is_inf), limit, result)
    above = f.compare("ogt", a, one)
    limit = f.select(f.logic("xor", above, rising), zero, inf)
    limit = f.select(f.compare("oeq", a, one), one, limit)
    result = f.select(f.compare("oeq", f.abs(y), inf), limit, result)
    whole = f.compare("oeq", f.trunc(y), y)
    half = f.mul(y, f.c(0.5))
    odd = f.logic("and", whole, f.compare("une", f.trunc(half), half))
    negative = f.code.op(f"icmp slt {f.words} {f.bits(x)}, {f.i(0)}")
    result = f.select(f.logic("and", negative, odd), f.neg(result), result)
    no_root = f.logic("and", f.compare("olt", x, zero), f.compare("une", f.trunc(y), y))
    no_root = f.logic("and", no_root, f.compare("one", a, inf))
    result = f.select(no_root, f.c(math.nan), result)
    result = f.select(f.compare("uno", x, y), f.add(x, y), result)
    unit = f.logic("or", f.compare("oeq", y, zero), f.compare("oeq", x, one))
    return f.select(unit, one, result)


def rsqrt(f: Lanes, x: str) -> str:
    """``1 / sqrt(x)``, two roundings."""
    return f.div(f.c(1.0), f.sqrt(x))


def _cbrt_normal(f: Lanes, b: str) -> str:
    """Return the cube root of a positive normal number."""
    if f.single:
        number = f.code.op(f"sitofp {f.words} {f.bits(b)} to {f.type}")
        start = f.fma(number, f.c(-1 / 3), f.c(1419900000.0))
        y = f.unbits(f.code.op(f"fptosi {f.type} {start} to {f.words}"))
    else:
        high = f.word_op("lshr", f.bits(b), f.i(32))
        third = f.word_op("lshr", f.word_op("mul", high, f.i(0xAAAAAAAB)), f.i(33))
        y = f.unbits(f.word_op("shl", f.word_op("sub", f.i(1430186295), third), f.i(32)))
    error = f.fma(f.neg(f.mul(f.mul(b, y), y)), y, f.c(1.0))
    y = f.mul(y, f.horner(error, CBRT32 if f.single else CBRT64))
    square = f.mul(y, y)
    t = f.mul(b, square)
    # Newton's step on t**3 = b, with 1 / t**2 = y**2.
    residual = f.fma(f.neg(f.mul(t, t)), t, b)
    return f.fma(f.mul(residual, f.c(1 / 3)), square, t)


def cbrt(f: Lanes, x: str) -> str:
    """Cube root; what is not normal is a branch of its own."""
    a = f.abs(x)
    least, above = (1 << 23, 255 << 23) if f.single else (1 << 52, 2047 << 52)
    place = f.word_op("sub", f.bits(a), f.i(least))
    strange = f.code.op(f"icmp uge {f.words} {place}, {f.i(above - least)}")
    usual = f.copysign(_cbrt_normal(f, a), x)

    def other() -> tuple[str]:
        small = f.compare("olt", a, f.either(2.0**-126, 2.0**-1022))
        t = _cbrt_normal(f, f.mul(a, f.either(2.0**24, 2.0**54)))
        result = f.select(small, f.copysign(f.mul(t, f.either(2.0**-8, 2.0**-18)), x), usual)
        finite = f.logic("and", f.compare("ogt", a, f.c(0.0)), f.compare("one", a, f.c(math.inf)))
        return (f.select(finite, result, x),)

    return f.rare(strange, (usual,), other)[0]


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
