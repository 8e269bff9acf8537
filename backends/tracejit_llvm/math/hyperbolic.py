"""Hyperbolic functions and their inverses, from expm1 and log1p.

In float32 the inverses are ``k log(2) + 2 atanh(s)`` with s a quotient without cancellation.

Coefficients: ``(atanh(s) - s) / s**3`` in ``z = s**2``, weight z, by ``bench/coefficients.py
ATANH32``.
"""

from __future__ import annotations

import math

from tracejit_llvm.math.exp import LN2_32, reduced, scale
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.log import log1p

__all__ = ["acosh", "asinh", "atanh", "cosh", "sinh", "tanh"]

LN2 = 0.6931471805599453
ATANH32 = (
    0.33333334287268246,
    0.19999839175002562,
    0.1429448768766929,
    0.1090399314128534,
    0.11261510732942434,
)


def _reached(f: Lanes, k: str, top: str, bottom: str, factor: float) -> str:
    """Return ``(k log(2) / 2 + atanh(top / bottom)) * factor`` in float32, for a small quotient."""
    s = f.div(top, bottom)
    z = f.mul(s, s)
    tail = f.mul(f.mul(s, z), f.horner(z, ATANH32))
    half = factor / 2
    tail = f.fma(k, f.c(LN2_32[1] * half), f.mul(tail, f.c(factor)) if factor != 1.0 else tail)
    near = f.fma(s, f.c(factor), tail) if factor != 1.0 else f.add(s, tail)
    return f.fma(k, f.c(LN2_32[0] * half), near)


def _power_below(f: Lanes, bits: str, halvings: int = 0) -> tuple[str, str]:
    """Return k and ``2**k`` for numbers in ``2**k [0.85, 1.7)``, halved; `bits` are of the halves.

    Far above 1 before k is 1, as the results lose digits where they are small beside log(2).
    """
    halved = halvings << 23
    k = f.word_op("ashr", f.word_op("sub", bits, f.i(0x3F59999A - halved)), f.i(23))
    p = f.word_op("add", f.word_op("shl", k, f.i(23)), f.i(0x3F800000 - halved))
    return f.code.op(f"sitofp {f.words} {k} to {f.type}"), f.unbits(p)


def _atanh_single(f: Lanes, x: str) -> str:
    """Return atanh by ``(1 + a) / (1 - a) = 2**k (1 + s) / (1 - s)``."""
    a, one = f.abs(x), f.c(1.0)
    ratio = f.word_op("sub", f.bits(f.add(one, a)), f.bits(f.sub(one, a)))
    k, p = _power_below(f, f.word_op("add", ratio, f.i(0x3F800000)))
    more, less = f.add(p, one), f.sub(one, p)
    y = _reached(f, k, f.fma(a, more, less), f.fma(a, less, more), 1.0)
    limit = f.select(f.compare("oeq", a, one), f.c(math.inf), f.c(math.nan))
    return f.copysign(f.select(f.compare("olt", a, one), y, limit), x)


def _inverse_single(f: Lanes, a: str, root: str, sine: str, cosine: str) -> str:
    """Return ``log(a + root)``, an angle with hyperbolic `sine` and `cosine`, in float32.

    ``tanh(angle / 2) = sine / (1 + cosine)`` where it is small; beyond, ``a + root`` is divided by
    a power of 2.
    """
    quarter = f.fma(a, f.c(0.25), f.mul(root, f.c(0.25)))
    k, p = _power_below(f, f.bits(quarter), 2)
    near = f.compare("oeq", k, f.c(0.0))
    top = f.select(near, sine, f.sub(quarter, p))
    bottom = f.select(near, f.add(cosine, f.c(1.0)), f.add(quarter, p))
    return _reached(f, k, top, bottom, 2.0)


def tanh(f: Lanes, x: str) -> str:
    """Hyperbolic tangent: ``E / (E + 2)`` with ``E = expm1(2 |x|)``."""
    a = f.abs(x)
    a = f.select(f.compare("ogt", a, f.either(10.0, 20.0)), f.either(10.0, 20.0), a)
    k, p = reduced(f, f.add(a, a))
    s = scale(f, k)
    e = f.fma(s, p, f.sub(s, f.c(1.0)))
    return f.copysign(f.div(e, f.add(e, f.c(2.0))), x)


def _quarter(f: Lanes, x: str) -> tuple[str, str, str]:
    """Return |x|, and ``2**k / 4`` and p of its exponential: exp(710.4) / 4 does not overflow."""
    a = f.abs(x)
    limit = f.either(89.5, 710.5)
    a = f.select(f.compare("ogt", a, limit), limit, a)
    k, p = reduced(f, a)
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
    """Inverse hyperbolic sine: ``log1p(a + a**2 / (1 + sqrt(1 + a**2)))``, a = |x|."""
    if f.single:
        a = f.abs(x)
        root = f.sqrt(f.fma(a, a, f.c(1.0)))
        root = f.select(f.compare("ogt", a, f.c(2.0**30)), a, root)
        y = _inverse_single(f, a, root, a, root)
        ordinary = f.compare("olt", a, f.c(math.inf))
        ordinary = f.logic("and", f.compare("ogt", a, f.c(2.0**-13)), ordinary)
        return f.select(ordinary, f.copysign(y, x), x)
    w, (y,) = f.doubled(x)
    a = w.abs(y)
    big = w.compare("ogt", a, w.c(2.0**60))
    b = w.select(big, w.c(1.0), a)
    square = w.mul(b, b)
    root = w.sqrt(w.add(square, w.c(1.0)))
    near = w.add(b, w.div(square, w.add(root, w.c(1.0))))
    value = log1p(w, w.select(big, a, near))
    value = w.add(value, w.select(big, w.c(LN2), w.c(0.0)))
    tiny = w.compare("olt", a, w.c(2.0**-28))
    return f.narrowed(w, w.copysign(w.select(tiny, a, value), y))


def acosh(f: Lanes, x: str) -> str:
    """Inverse hyperbolic cosine; nan below 1."""
    if f.single:
        t = f.sub(x, f.c(1.0))
        root = f.sqrt(f.fma(t, t, f.add(t, t)))
        root = f.select(f.compare("ogt", x, f.c(2.0**30)), x, root)
        y = _inverse_single(f, x, root, root, x)
        y = f.select(f.compare("olt", x, f.c(math.inf)), y, x)
        return f.select(f.compare("olt", x, f.c(1.0)), f.c(math.nan), y)
    w, (y,) = f.doubled(x)
    big = w.compare("ogt", y, w.c(2.0**60))
    t = w.sub(y, w.c(1.0))
    small = w.select(big, w.c(1.0), t)
    root = w.sqrt(w.fma(small, small, w.add(small, small)))
    value = log1p(w, w.select(big, y, w.add(small, root)))
    value = w.add(value, w.select(big, w.c(LN2), w.c(0.0)))
    return f.narrowed(w, w.select(w.compare("olt", y, w.c(1.0)), w.c(math.nan), value))


def atanh(f: Lanes, x: str) -> str:
    """Inverse hyperbolic tangent: ``log1p(2 a / (1 - a)) / 2``, a = |x|."""
    if f.single:
        return _atanh_single(f, x)
    w, (y,) = f.doubled(x)
    a = w.abs(y)
    double = w.add(a, a)
    rest = w.sub(w.c(1.0), a)
    near = w.add(double, w.div(w.mul(double, a), rest))
    argument = w.select(w.compare("olt", a, w.c(0.5)), near, w.div(double, rest))
    value = w.mul(log1p(w, argument), w.c(0.5))
    tiny = w.compare("olt", a, w.c(2.0**-28))
    return f.narrowed(w, w.copysign(w.select(tiny, a, value), y))
