"""Hyperbolic functions, from expm1, and their inverses.

The inverses are ``k log(2) + 2 atanh(s)`` with s a quotient without cancellation.

Coefficients: ``(atanh(s) - s) / s**3`` in ``z = s**2``, weight z, by ``bench/coefficients.py
ATANH64 ATANH32``.
"""

from __future__ import annotations

import math

import numpy as np

from tracejit_llvm.math.exp import (
    EXPM1_SHORT64,
    LN2_32,
    LN2_64,
    magic,
    reduced,
    scale,
)
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.tables import ROOTS, ROOTS_LOST

__all__ = ["acosh", "asinh", "atanh", "cosh", "sinh", "tanh"]

ATANH64 = (
    0.3333333333333368,
    0.199999999998324,
    0.1428571431336598,
    0.11111108877638917,
    0.09091010900656264,
    0.0768951593345306,
    0.06713494243581042,
    0.05415785872255627,
    0.0774039583107174,
)
ATANH32 = (
    0.33333334287268246,
    0.19999839175002562,
    0.1429448768766929,
    0.1090399314128534,
    0.11261510732942434,
)

LN2_32ND = (0.02166084939249829, 7.2470212932696863e-19)
UNITS = (1.0, 0.75, *14 * (1.0,))
"""Factors of the roots: where e + 2 and e are just above powers of 2, e / (e + 2) loses most."""
UNIT_ROOTS = (1.0, 0.7832053368205604, *ROOTS[2:])
UNIT_ROOTS_LOST = (0.0, 1.1016295669412255e-17, *ROOTS_LOST[2:])
_BITS = np.array(UNIT_ROOTS).view(np.int64) - (np.arange(16) << 48)
UNIT_ROOTS_LESS = tuple(_BITS.view(np.float64).tolist())
"""Roots times units, whose bits are less by their index in the places below the exponent."""


def _reached(f: Lanes, k: str, top: str, bottom: str, factor: float) -> str:
    """Return ``(k log(2) / 2 + atanh(top / bottom)) * factor``, for a small quotient."""
    s = f.div(top, bottom)
    z = f.mul(s, s)
    tail = f.mul(f.mul(s, z), f.horner(z, ATANH32 if f.single else ATANH64))
    half = factor / 2
    high, low = LN2_32 if f.single else LN2_64
    tail = f.fma(k, f.c(low * half), f.mul(tail, f.c(factor)) if factor != 1.0 else tail)
    near = f.fma(s, f.c(factor), tail) if factor != 1.0 else f.add(s, tail)
    return f.fma(k, f.c(high * half), near)


def _power_below(f: Lanes, bits: str, halvings: int = 0) -> tuple[str, str]:
    """Return k and ``2**k`` for numbers in ``2**k [0.85, 1.7)``, halved; `bits` are of the halves.

    Far above 1 before k is 1, as the results lose digits where they are small beside log(2).
    """
    point, one = (0x3F59999A, 0x3F800000) if f.single else (0x3FEB333333333333, 0x3FF << 52)
    places, halved = f.i(f.mantissa), halvings << f.mantissa
    k = f.word_op("ashr", f.word_op("sub", bits, f.i(point - halved)), places)
    p = f.word_op("add", f.word_op("shl", k, places), f.i(one - halved))
    return f.code.op(f"sitofp {f.words} {k} to {f.type}"), f.unbits(p)


def atanh(f: Lanes, x: str) -> str:
    """Inverse hyperbolic tangent, by ``(1 + a) / (1 - a) = 2**k (1 + s) / (1 - s)``."""
    a, one = f.abs(x), f.c(1.0)
    ratio = f.word_op("sub", f.bits(f.add(one, a)), f.bits(f.sub(one, a)))
    k, p = _power_below(f, f.word_op("add", ratio, f.bits(one)))
    more, less = f.add(p, one), f.sub(one, p)
    y = _reached(f, k, f.fma(a, more, less), f.fma(a, less, more), 1.0)
    limit = f.select(f.compare("oeq", a, one), f.c(math.inf), f.c(math.nan))
    return f.copysign(f.select(f.compare("olt", a, one), y, limit), x)


def _inverse(f: Lanes, a: str, root: str, sine: str, cosine: str) -> str:
    """Return ``log(a + root)``, an angle with hyperbolic `sine` and `cosine`.

    ``tanh(angle / 2) = sine / (1 + cosine)`` where it is small; beyond, ``a + root`` is divided by
    a power of 2.
    """
    quarter = f.fma(a, f.c(0.25), f.mul(root, f.c(0.25)))
    k, p = _power_below(f, f.bits(quarter), 2)
    near = f.compare("oeq", k, f.c(0.0))
    top = f.select(near, sine, f.sub(quarter, p))
    bottom = f.select(near, f.add(cosine, f.c(1.0)), f.add(quarter, p))
    return _reached(f, k, top, bottom, 2.0)


def _doubled64(f: Lanes, a: str) -> tuple[str, str, str]:
    """Return s, p and u with ``s (1 + p) = u exp(2 a)`` for a from 0 to 20; s - u is exact."""
    t = f.fma(a, f.c(32 / math.log(2.0)), f.c(magic(f)))
    k = f.sub(t, f.c(magic(f)))
    # The first product is exact, and so is r.
    r = f.fma(k, f.c(-LN2_32ND[0]), a)
    n = f.bits(t)
    lost = f.fma(k, f.c(-2 * LN2_32ND[1]), f.lookup(UNIT_ROOTS_LOST, n))
    tail = f.horner(r, [c * 2.0 ** (j + 2) for j, c in enumerate(EXPM1_SHORT64)])
    p = f.fma(r, f.c(2.0), f.fma(f.mul(r, r), tail, lost))
    s = f.word_op("add", f.bits(f.lookup(UNIT_ROOTS_LESS, n)), f.word_op("shl", n, f.i(48)))
    return f.unbits(s), p, f.lookup(UNITS, n)


def tanh(f: Lanes, x: str) -> str:
    """Hyperbolic tangent: ``E / (E + 2)`` with ``E = expm1(2 |x|)``."""
    a = f.abs(x)
    a = f.select(f.compare("ogt", a, f.either(10.0, 20.0)), f.either(10.0, 20.0), a)
    if not f.single:
        s, p, unit = _doubled64(f, a)
        e = f.fma(s, p, f.sub(s, unit))
        return f.copysign(f.div(e, f.fma(unit, f.c(2.0), e)), x)
    k, p, _ = reduced(f, f.add(a, a))
    s = scale(f, k)
    e = f.fma(s, p, f.sub(s, f.c(1.0)))
    return f.copysign(f.div(e, f.add(e, f.c(2.0))), x)


def _quarter(f: Lanes, x: str) -> tuple[str, str, str]:
    """Return |x|, and ``2**k / 4`` and p of its exponential: exp(710.4) / 4 does not overflow."""
    a = f.abs(x)
    limit = f.either(89.5, 710.5)
    a = f.select(f.compare("ogt", a, limit), limit, a)
    k, p, _ = reduced(f, a)
    return a, scale(f, f.word_op("sub", k, f.i(2))), p


def sinh(f: Lanes, x: str) -> str:
    """Hyperbolic sine: ``(E + E / (E + 1)) / 2`` with ``E = expm1(|x|)``."""
    a, s, p = _quarter(f, x)
    e = f.fma(s, p, f.sub(s, f.c(0.25)))
    half = f.add(e, f.div(e, f.fma(e, f.c(4.0), f.c(1.0))))
    tiny = f.compare("olt", a, f.either(2.0**-12, 2.0**-27))
    return f.copysign(f.select(tiny, a, f.add(half, half)), x)


def cosh(f: Lanes, x: str) -> str:
    """Hyperbolic cosine."""
    _, s, p = _quarter(f, x)
    e = f.fma(s, p, s)
    half = f.add(e, f.div(f.c(0.0625), e))
    return f.add(half, half)


def asinh(f: Lanes, x: str) -> str:
    """Inverse hyperbolic sine: ``log(a + sqrt(1 + a**2))``, a = |x|."""
    a = f.abs(x)
    root = f.sqrt(f.fma(a, a, f.c(1.0)))
    root = f.select(f.compare("ogt", a, f.c(2.0**30)), a, root)
    y = _inverse(f, a, root, a, root)
    ordinary = f.compare("olt", a, f.c(math.inf))
    ordinary = f.logic("and", f.compare("ogt", a, f.either(2.0**-13, 2.0**-28)), ordinary)
    return f.select(ordinary, f.copysign(y, x), x)


def acosh(f: Lanes, x: str) -> str:
    """Inverse hyperbolic cosine; nan below 1."""
    t = f.sub(x, f.c(1.0))
    root = f.sqrt(f.fma(t, t, f.add(t, t)))
    root = f.select(f.compare("ogt", x, f.c(2.0**30)), x, root)
    y = _inverse(f, x, root, root, x)
    y = f.select(f.compare("olt", x, f.c(math.inf)), y, x)
    return f.select(f.compare("olt", x, f.c(1.0)), f.c(math.nan), y)
