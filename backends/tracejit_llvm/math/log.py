"""Logarithms: log, log2, log10, log1p.

``x = 2**k m`` with m from 1 - 7/512 on, and ``1 + r = m y`` with y from a table of 16: r is exact
and below 0.04, ``log(1 + r) = r + r**2 P(r)``.  In float32 only log1p does so; the others have m in
[sqrt(1/2), sqrt(2)) and ``log(m) = f + f**2 P(f)`` with ``f = m - 1``.  Other bases scale the
coefficients.

Subnormal numbers, 0, inf, nan and negative numbers are set aside before by one test of the bits.

Coefficients: ``(log(1 + f) - f) / f**2``, weight f, by ``bench/coefficients.py LOG_DIRECT32
LOG_SHORT64 LOG_SHORT32``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tracejit_llvm.math.exp import LN2_32
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.tables import (
    INVERSES,
    LOGARITHMS,
    LOGARITHMS2,
    LOGARITHMS2_LOST,
    LOGARITHMS10,
    LOGARITHMS10_LOST,
    LOGARITHMS_LOST,
)

__all__ = ["log", "log1p", "log2", "log10", "log_in_parts", "normal", "split_exponent"]

LOG_SHORT64 = (
    -0.5000000000000001,
    0.33333333333331255,
    -0.2499999999984424,
    0.20000000014645097,
    -0.16666667176161795,
    0.14285681618976007,
    -0.12499403293860122,
    0.11140279204022571,
    -0.10237648710358146,
)
class Base(NamedTuple):
    """A base: its logarithms of the table, and of 2, each in two parts, the first short."""

    logarithms: Sequence[float]
    lost: Sequence[float]
    digit: tuple[float, float]


def _shorter(base: Base, digit: tuple[float, float]) -> Base:
    """Return a base for float32: the first parts are multiples of 2**-16."""
    pairs = list(zip(base.logarithms, base.lost, strict=True))
    short = [round(high * 2**16) / 2**16 for high, _ in pairs]
    lost = [high - s + low for s, (high, low) in zip(short, pairs, strict=True)]
    return Base(short, lost, digit)


BASE_E = Base(LOGARITHMS, LOGARITHMS_LOST, (0.6931471805598903, 5.497923018708371e-14))
BASE2 = Base(LOGARITHMS2, LOGARITHMS2_LOST, (1.0, 0.0))
BASE10 = Base(LOGARITHMS10, LOGARITHMS10_LOST, (0.30102999566383914, 1.42050232272661e-13))
BASE_E_32 = _shorter(BASE_E, LN2_32)
START_64, START_32 = 0x3FEF900000000000, 0x3F7C8000
"""The bits of 1 - 7/512, where the first of the 16 intervals begins."""
LOG_SHORT32 = (
    -0.5000000005875652,
    0.33333321879667294,
    -0.24999727114669631,
    0.2002694356239971,
    -0.16891436117006017,
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


def split_interval(f: Lanes, x: str) -> tuple[str, str, str]:
    """Return k as a float, m and i with ``x = 2**k m``, m in interval i of 16; x normal.

    i is in the low 4 bits of its integers.
    """
    b, places = f.bits(x), f.i(f.mantissa)
    d = f.word_op("sub", b, f.i(START_32 if f.single else START_64))
    k = f.word_op("ashr", d, places)
    m = f.unbits(f.word_op("sub", b, f.word_op("shl", k, places)))
    exponent = f.code.op(f"sitofp {f.words} {k} to {f.type}")
    return exponent, m, f.word_op("lshr", d, f.i(f.mantissa - 4))


def near_table(
    f: Lanes, normal_x: Sequence[str], base: Base, beside: str | None = None
) -> tuple[str, str, str]:
    """Return w, r and rest: the logarithm is ``w + log(1 + r) + rest``, with r and w exact.

    `normal_x` is x alone if it is normal, or what :func:`normal` returns.  What x lost (`beside`)
    is added to r, rounded.  w is short, and 0 where it is not larger than r.
    """
    x, *more = normal_x
    k, m, i = split_interval(f, x)
    if more:
        k = f.add(k, more[0])
    inverse = f.lookup(INVERSES, i)
    r = f.fma(m, inverse, f.c(-1.0))
    if beside is not None:
        down = f.word_op("add", f.word_op("sub", f.bits(m), f.bits(x)), f.bits(f.c(1.0)))
        more_exact = f.fma(f.mul(beside, f.unbits(down)), inverse, r)
        r = f.select(f.compare("olt", x, f.either(2.0**120, 2.0**1000)), more_exact, r)
    high, low = f.lookup(base.logarithms, i), f.lookup(base.lost, i)
    if more:
        low = f.add(low, more[1])
    if not base.digit[1]:
        return f.add(k, high), r, low
    return f.fma(k, f.c(base.digit[0]), high), r, f.fma(k, f.c(base.digit[1]), low)


def _sum(f: Lanes, w: str, r: str, rest: str) -> str:
    """Return ``w + (r + r**2 P(r)) + rest``."""
    high = f.add(w, r)
    low = f.add(f.add(f.sub(w, high), r), rest)
    p = f.horner(r, LOG_SHORT32 if f.single else LOG_SHORT64)
    return f.add(high, f.fma(f.mul(r, r), p, low))


def _special(f: Lanes, x: str, result: str) -> str:
    """Return the logarithm of 0, inf, negative numbers and nan right."""
    result = f.select(f.compare("oeq", x, f.c(math.inf)), x, result)
    result = f.select(f.compare("oeq", x, f.c(0.0)), f.c(-math.inf), result)
    return f.select(f.compare("ult", x, f.c(0.0)), f.c(math.nan), result)


def normal(f: Lanes, x: str) -> list[str]:
    """Return a normal number y, c and s with ``log(x) = log(y) + c log(2) + s``.

    s is 0, or an infinity or nan where the logarithm is.
    """
    least, top = (0x00800000, 0x7F800000) if f.single else (0x0010000000000000, 0x7FF0000000000000)
    above = f.word_op("sub", f.bits(x), f.i(least))
    special = f.code.op(f"icmp uge {f.words} {above}, {f.i(top - least)}")
    zero = f.c(0.0)

    def other() -> Sequence[str]:
        small = f.compare("olt", x, f.either(2.0**-126, 2.0**-1022))
        y = f.select(small, f.mul(x, f.either(2.0**24, 2.0**54)), x)
        return y, f.select(small, f.either(-24.0, -54.0), zero), _special(f, x, zero)

    return f.rare(special, (x, zero, zero), other)


def _single(f: Lanes, x: str, factor: float, digit: tuple[float, float]) -> str:
    """Return ``log(x) * factor`` in float32; `digit` is that of 2, its first part short."""
    x, c, special = normal(f, x)
    k, m = split_exponent(f, x, subnormal=False)
    k = f.add(f.add(k, c), special)
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
    return _sum(f, *near_table(f, normal(f, x), BASE_E))


def log_in_parts(f: Lanes, x: str) -> tuple[str, str]:
    """Return a short number and what the logarithm of a normal float64 has beside it.

    The second part is at most 0.03, and so is its error small.
    """
    w, r, rest = near_table(f, (x,), BASE_E)
    return w, f.add(r, f.fma(f.mul(r, r), f.horner(r, LOG_SHORT64), rest))


def _other_base(f: Lanes, x: str, base: Base, factor: tuple[float, float]) -> str:
    """Return a logarithm in float64, its factor in two parts."""
    w, r, rest = near_table(f, normal(f, x), base)
    top = f.mul(r, f.c(factor[0]))
    rest = f.add(f.fma(r, f.c(factor[0]), f.neg(top)), f.fma(r, f.c(factor[1]), rest))
    high = f.add(w, top)
    low = f.add(f.add(f.sub(w, high), top), rest)
    p = f.horner(r, [q * factor[0] for q in LOG_SHORT64])
    return f.add(high, f.fma(f.mul(r, r), p, low))


INVERSE_LN2 = (1.4426950408889634, 2.0355273740931033e-17)
INVERSE_LN10 = (0.4342944819032518, 1.098319650216765e-17)
LOG10_2_32 = (0.301025390625, 4.605038981195214e-06)


def log2(f: Lanes, x: str) -> str:
    """Logarithm to the base 2; exact at powers of 2."""
    if f.single:
        return _single(f, x, INVERSE_LN2[0], (1.0, 0.0))
    return _other_base(f, x, BASE2, INVERSE_LN2)


def log10(f: Lanes, x: str) -> str:
    """Logarithm to the base 10."""
    if f.single:
        return _single(f, x, INVERSE_LN10[0], LOG10_2_32)
    return _other_base(f, x, BASE10, INVERSE_LN10)


def log1p(f: Lanes, x: str) -> str:
    """``log(1 + x)``, accurate near 0."""
    one = f.c(1.0)
    u = f.add(x, one)
    less = f.compare("olt", x, one)
    large, small = f.select(less, one, x), f.select(less, x, one)
    lost = f.sub(small, f.sub(u, large))
    base = BASE_E_32 if f.single else BASE_E
    result = _sum(f, *near_table(f, normal(f, u), base, lost))
    return f.select(f.compare("olt", f.abs(x), f.either(2.0**-25, 2.0**-54)), x, result)
