"""``a b + c`` rounded once, in NumPy, which has no such operation.

References
----------
T. J. Dekker, "A floating-point technique for extending the available precision", Numerische
Mathematik 18 (1971): the rounding errors of a product and of a sum, exactly.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["fma"]

_HALVES = 2.0**27 + 1
_SHORT = np.uint64((1 << 50) - 1)
_NARROW = np.uint64((1 << 29) - 1)
_NARROW_TIE = np.uint64(1 << 28)


def fma(a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c``, rounded once.

    Parameters
    ----------
    a : ndarray, rank >= 1, float32 or float64
    b, c : ndarray, shape of `a`, or scalar; dtype of `a`
        In float64 all are finite, and so is the result.  What underflows may be rounded twice.

    Returns
    -------
    ndarray, shape and dtype of `a`
    """
    return _fma32(a, b, c) if a.dtype.itemsize == 4 else _fma64(a, b, c)


def _fma32(a: Any, b: Any, c: Any) -> Any:
    # The product is exact in float64, so its sum is rounded twice only where it becomes a tie.
    p = np.multiply(a, b, dtype=np.float64)
    total = p + c
    ties = (total.view(np.uint64) & _NARROW) == _NARROW_TIE
    if ties.any():
        excess = _excess(p, np.float64(c), total)
        toward = np.where(excess > 0, -np.inf, np.inf)
        total = np.where(ties & (excess != 0), np.nextafter(total, toward), total)
    return total.astype(np.float32)


def _fma64(a: Any, b: Any, c: Any) -> Any:
    p = a * b
    high, low = _split(a)
    top, rest = _split(b)
    e = p - high * top
    e -= high * rest
    e -= low * top
    e -= low * rest  # p - e is the product
    total = p + c
    t = _excess(p, c, total)
    z = t + e  # if 0, then not -0.0, and the sum has its own sign
    out = total - z
    # z is rounded too: that matters where it is half a unit of `out`, and so a short number.
    short = (z.view(np.uint64) & _SHORT) == 0
    if short.any():
        (places,) = np.nonzero(short.reshape(-1))
        of = [np.broadcast_to(x, z.shape).reshape(-1)[places] for x in (t, e, z, a, b, c)]
        wrong = np.nonzero(_excess(*of[:3]))[0]
        out.reshape(-1)[places[wrong]] = [
            _exactly(*numbers) for numbers in zip(*[x[wrong] for x in of[3:]], strict=True)
        ]
    return out


def _split(x: Any) -> tuple[Any, Any]:
    """Return two numbers of half the digits whose sum is `x`."""
    t = x * _HALVES
    high = t - (t - x)
    return high, x - high


def _excess(x: Any, y: Any, total: Any) -> Any:
    """Return ``total - (x + y)`` exactly, where `total` is the rounded sum."""
    part = total - x
    excess = (total - part) - x
    excess += part - y
    return excess


def _exactly(a: float, b: float, c: float) -> float:
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    return float(exact) if exact else a * b + c  # a zero has a sign
