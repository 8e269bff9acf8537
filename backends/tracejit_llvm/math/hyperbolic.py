"""Hyperbolic functions and their inverses, from expm1 and log1p."""

from __future__ import annotations

import math

from tracejit_llvm.math.exp import reduced, scale
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.log import log1p

__all__ = ["acosh", "asinh", "atanh", "cosh", "sinh", "tanh"]

LN2 = 0.6931471805599453


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
    w, (y,) = f.doubled(x)
    a = w.abs(y)
    double = w.add(a, a)
    rest = w.sub(w.c(1.0), a)
    near = w.add(double, w.div(w.mul(double, a), rest))
    argument = w.select(w.compare("olt", a, w.c(0.5)), near, w.div(double, rest))
    value = w.mul(log1p(w, argument), w.c(0.5))
    tiny = w.compare("olt", a, w.c(2.0**-28))
    return f.narrowed(w, w.copysign(w.select(tiny, a, value), y))
