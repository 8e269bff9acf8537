"""Logarithms: log, log2, log10, log1p.

``x = 2**k m`` with m in [sqrt(1/2), sqrt(2)); with ``f = m - 1`` and ``s = f / (2 + f)``,
``log(m) = f - (f**2/2 - s (f**2/2 + s**2 Q(s**2)))``.

Coefficients: ``(log((1 + s) / (1 - s)) - 2 s) / s**3`` in ``z = s**2``, weight z, by
``bench/coefficients.py LOG64 LOG32``.

References
----------
FreeBSD msun, ``e_log.c``, ``e_log2.c``, ``e_log10.c``, ``s_log1p.c``: the order of the sums.
"""

from __future__ import annotations

import math

from tracejit_llvm.math.exp import LN2_32, LN2_64
from tracejit_llvm.math.lanes import Lanes

__all__ = ["log", "log1p", "log2", "log10", "split_exponent"]

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


def log(f: Lanes, x: str) -> str:
    """Natural logarithm."""
    k, m = split_exponent(f, x)
    t = f.sub(m, f.c(1.0))
    s, half, r = _parts(f, t)
    high, low = LN2_32 if f.single else LN2_64
    rest = f.fma(s, r, f.mul(k, f.c(low)))
    return _special(f, x, f.fma(k, f.c(high), f.sub(t, f.sub(half, rest))))


def _other_base(
    f: Lanes, x: str, factor: tuple[float, float], digit: tuple[float, float]
) -> str:
    """Return ``log(m) * factor + k * digit``, each in two parts, the first short."""
    wide, (y,) = f.doubled(x)
    k, m = split_exponent(wide, y, subnormal=not f.single)
    t = wide.sub(m, wide.c(1.0))
    s, half, r = _parts(wide, t)
    high = wide.sub(t, half)
    high = wide.unbits(wide.word_op("and", wide.bits(high), wide.i(-(2**32))))
    low = wide.fma(s, r, wide.sub(wide.sub(t, high), half))
    tail = wide.mul(wide.add(low, high), wide.c(factor[1]))
    tail = wide.fma(low, wide.c(factor[0]), wide.fma(k, wide.c(digit[1]), tail))
    whole = wide.mul(k, wide.c(digit[0]))
    top = wide.mul(high, wide.c(factor[0]))
    total = wide.add(whole, top)
    tail = wide.add(tail, wide.add(wide.sub(whole, total), top))
    return f.narrowed(wide, _special(wide, y, wide.add(total, tail)))


INVERSE_LN2 = (1.4426946640014648, 3.768874985636099e-07)
INVERSE_LN10 = (0.4342944622039795, 1.9699272335463627e-08)
LOG10_2 = (3.01029995663611771306e-01, 3.69423907715893078616e-13)


def log2(f: Lanes, x: str) -> str:
    """Logarithm to the base 2; exact at powers of 2."""
    return _other_base(f, x, INVERSE_LN2, (1.0, 0.0))


def log10(f: Lanes, x: str) -> str:
    """Logarithm to the base 10."""
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
