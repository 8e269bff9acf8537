"""Logarithms: log, log2, log10, log1p.

``x = 2**k m`` with m in [sqrt(1/2), sqrt(2)); with ``f = m - 1`` and ``s = f / (2 + f)``,
``log(m) = f - (f**2/2 - s (f**2/2 + s**2 Q(s**2)))``.  In float32 ``log(m) = f + f**2 P(f)``, which
has no division; other bases scale the coefficients.

Subnormal numbers, 0, inf, nan and negative numbers are set aside before by one test of the bits.

Coefficients: ``(log((1 + s) / (1 - s)) - 2 s) / s**3`` in ``z = s**2``, weight z, and
``(log(1 + f) - f) / f**2``, weight f, by ``bench/coefficients.py LOG64 LOG32 LOG_DIRECT32``.

References
----------
FreeBSD msun, ``e_log.c``, ``e_log2.c``, ``e_log10.c``, ``s_log1p.c``: the order of the sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tracejit_llvm.math.exp import LN2_32, LN2_64
from tracejit_llvm.math.lanes import Lanes

__all__ = ["log", "log1p", "log2", "log10", "log_in_parts", "normal", "split_exponent"]

LOG64 = (
    0.6666666666666735,
    0.3999999999940791,
    0.28571428744059596,
    0.22222198386041528,
    0.18183574812257766,
    0.15313763778227674,
    0.14798996006899834,
)
LOG32 = (
    0.6666677690994983,
    0.39977458271571115,
    0.2987430252345116,
)

LOG_DIRECT32 = (
    -0.4999998908129452,
    0.33333307898490505,
    -0.2500153058794621,
    0.20003047359136208,
    -0.16610939351642634,
    0.14162696488672008,
    -0.13209961775841556,
    0.13010501078101408,
    -0.07827291618308162,
)


def split_exponent(f: Lanes, x: str, subnormal: bool = True) -> tuple[str, str]:
    """Return ``(k, m)`` as floats with ``x = 2**k m``, m in [sqrt(1/2), sqrt(2)); x positive."""
    if subnormal:
        small = f.compare("olt", x, f.either(2.0**-126, 2.0**-1022))
        x = f.select(small, f.mul(x, f.either(2.0**24, 2.0**54)), x)
    b = f.bits(x)
    d = f.word_op("sub", b, f.i(0x3F3504F3 if f.single else 0x3FE6A09E667F3BCD))
    k = f.word_op("ashr", d, f.i(f.mantissa))
    m = f.unbits(f.word_op("sub", b, f.word_op("shl", k, f.i(f.mantissa))))
    exponent = f.code.op(f"sitofp {f.words} {k} to {f.type}")
    if subnormal:
        shift = f.select(small, f.either(-24.0, -54.0), f.c(0.0))
        exponent = f.add(exponent, shift)
    return exponent, m


def _parts(f: Lanes, t: str) -> tuple[str, str, str]:
    """Return s, f**2/2 and ``f**2/2 + z Q`` for ``log(1 + t)``."""
    s = f.div(t, f.add(t, f.c(2.0)))
    z = f.mul(s, s)
    half = f.mul(f.mul(t, t), f.c(0.5))
    return s, half, f.fma(z, f.horner(z, LOG32 if f.single else LOG64), half)


def _special(f: Lanes, x: str, result: str) -> str:
    """Return the logarithm of 0, inf, negative numbers and nan right."""
    result = f.select(f.compare("oeq", x, f.c(math.inf)), x, result)
    result = f.select(f.compare("oeq", x, f.c(0.0)), f.c(-math.inf), result)
    return f.select(f.compare("ult", x, f.c(0.0)), f.c(math.nan), result)


def normal(f: Lanes, x: str, apart: bool = False) -> list[str]:
    """Return a normal number y and c with ``log(x) = log(y) + c log(2)``.

    c is an infinity or nan where the logarithm is; if it is to be `apart`, c is finite and a third
    value is to be added to the logarithm.
    """
    least, top = (0x00800000, 0x7F800000) if f.single else (0x0010000000000000, 0x7FF0000000000000)
    above = f.word_op("sub", f.bits(x), f.i(least))
    special = f.code.op(f"icmp uge {f.words} {above}, {f.i(top - least)}")

    def other() -> Sequence[str]:
        small = f.compare("olt", x, f.either(2.0**-126, 2.0**-1022))
        y = f.select(small, f.mul(x, f.either(2.0**24, 2.0**54)), x)
        c = f.select(small, f.either(-24.0, -54.0), f.c(0.0))
        return (y, c, _special(f, x, f.c(0.0))) if apart else (y, _special(f, x, c))

    return f.rare(special, (x, *(f.c(0.0) for _ in range(2 if apart else 1))), other)


def _single(f: Lanes, x: str, factor: float, digit: tuple[float, float]) -> str:
    """Return ``log(x) * factor`` in float32; `digit` is that of 2, its first part short."""
    x, c = normal(f, x)
    k, m = split_exponent(f, x, subnormal=False)
    k = f.add(k, c)
    t = f.sub(m, f.c(1.0))
    high = float(np.float32(factor))
    tail = f.mul(t, f.horner(t, (factor - high, *(q * factor for q in LOG_DIRECT32))))
    if digit[1]:
        tail = f.fma(k, f.c(digit[1]), tail)
    near = f.fma(t, f.c(high), tail) if high != 1.0 else f.add(t, tail)
    return f.fma(k, f.c(digit[0]), near) if digit[0] != 1.0 else f.add(k, near)


def log(f: Lanes, x: str) -> str:
    """Natural logarithm."""
    if f.single:
        return _single(f, x, 1.0, LN2_32)
    x, c = normal(f, x)
    k, m = split_exponent(f, x, subnormal=False)
    k = f.add(k, c)
    t = f.sub(m, f.c(1.0))
    s, half, r = _parts(f, t)
    rest = f.fma(s, r, f.mul(k, f.c(LN2_64[1])))
    return f.fma(k, f.c(LN2_64[0]), f.sub(t, f.sub(half, rest)))


def log_in_parts(f: Lanes, x: str) -> tuple[str, str]:
    """Return a short multiple of log(2) and what the logarithm of a normal float64 has beside it.

    The second part is at most 0.35, and so is its error small.
    """
    k, m = split_exponent(f, x, subnormal=False)
    t = f.sub(m, f.c(1.0))
    s, half, r = _parts(f, t)
    rest = f.fma(s, r, f.mul(k, f.c(LN2_64[1])))
    return f.mul(k, f.c(LN2_64[0])), f.sub(t, f.sub(half, rest))


def _other_base(
    f: Lanes, x: str, factor: tuple[float, float], digit: tuple[float, float]
) -> str:
    """Return ``log(m) factor + k digit`` in float64, each in two parts, the first digit short."""
    x, c, special = normal(f, x, apart=True)
    k, m = split_exponent(f, x, subnormal=False)
    t = f.sub(m, f.c(1.0))
    s, half, r = _parts(f, t)
    high = f.sub(t, half)
    low = f.fma(s, r, f.sub(f.sub(t, high), half))
    top = f.mul(high, f.c(factor[0]))
    tail = f.fma(high, f.c(factor[0]), f.neg(top))
    tail = f.fma(low, f.c(factor[0]), f.fma(high, f.c(factor[1]), tail))
    k = f.add(k, c)
    whole = k
    if digit[1]:
        whole = f.mul(k, f.c(digit[0]))
        tail = f.fma(k, f.c(digit[1]), tail)
    total = f.add(whole, top)
    lost = f.add(f.sub(whole, total), top)
    return f.add(f.add(total, f.add(tail, lost)), special)


INVERSE_LN2 = (1.4426950408889634, 2.0355273740931033e-17)
INVERSE_LN10 = (0.4342944819032518, 1.098319650216765e-17)
LOG10_2 = (3.01029995663611771306e-01, 3.69423907715893078616e-13)
LOG10_2_32 = (0.301025390625, 4.605038981195214e-06)


def log2(f: Lanes, x: str) -> str:
    """Logarithm to the base 2; exact at powers of 2."""
    if f.single:
        return _single(f, x, INVERSE_LN2[0], (1.0, 0.0))
    return _other_base(f, x, INVERSE_LN2, (1.0, 0.0))


def log10(f: Lanes, x: str) -> str:
    """Logarithm to the base 10."""
    if f.single:
        return _single(f, x, INVERSE_LN10[0], LOG10_2_32)
    return _other_base(f, x, INVERSE_LN10, LOG10_2)


def log1p(f: Lanes, x: str) -> str:
    """``log(1 + x)``, accurate near 0."""
    u = f.add(x, f.c(1.0))
    k, m = split_exponent(f, u, subnormal=False)
    near = f.compare("oeq", k, f.c(0.0))
    # What was lost by rounding u, relative to it.
    less = f.compare("olt", x, f.c(1.0))
    lost = f.select(less, f.sub(x, f.sub(u, f.c(1.0))), f.sub(f.c(1.0), f.sub(u, x)))
    lost = f.select(near, f.c(0.0), f.div(lost, u))
    t = f.select(near, x, f.sub(m, f.c(1.0)))
    s, half, r = _parts(f, t)
    high, low = LN2_32 if f.single else LN2_64
    rest = f.fma(s, r, f.fma(k, f.c(low), lost))
    result = f.fma(k, f.c(high), f.sub(t, f.sub(half, rest)))
    result = _special(f, u, result)
    tiny = f.compare("olt", f.abs(x), f.either(2.0**-25, 2.0**-54))
    return f.select(tiny, x, result)
