"""The inverse of the error function as random numbers need it: Giles's polynomials.

:func:`tracejit.ops.special.erf_inv` is closer to the function; this one is the function by which
JAX makes normal numbers of uniform ones, to the bit, so that equal keys give the numbers that JAX
gives.  What is rounded, and what is not, is told in :mod:`tracejit.ir.quantile`; the bits are the
same for NumPy, in kernels, and on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.ir.dtypes import DTYPES, is_float
from tracejit.ir.quantile import (
    INVERSES,
    LN2_32,
    LN2_64,
    LOG1P_P,
    LOG1P_Q,
    LOG32,
    LOG64,
    LOGARITHMS,
    NEAR,
    QUANTILE32,
    QUANTILE64,
    TABLE_FROM,
)
from tracejit.ops._fused import fma
from tracejit.ops._pointwise import define_pointwise, same_dtype
from tracejit.ops.arithmetic import mul, square
from tracejit.ops.constant import scalar_like
from tracejit.ops.transcendental import exp

__all__ = ["erf_inv_of_uniform"]

BLOCK = 1 << 12
"""Elements that are computed together, so that they stay in the cache."""

_INVERSES, _LOGARITHMS = np.array(INVERSES), np.array(LOGARITHMS)


def erf_inv_of_uniform(x: Any) -> Any:
    """Inverse of the error function, as JAX has it on a CPU with fused operations.

    Parameters
    ----------
    x : Array, any shape, float32 or float64
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        -inf and inf at -1 and 1; NaN beyond.
    """
    return erf_inv_of_uniform_p.bind(x)


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """Return a polynomial, the highest coefficient first."""
    numbers = [x.dtype.type(c) for c in coefficients]
    out = np.full(x.shape, numbers[0])
    for c in numbers[1:]:
        out = fma(out, x, c)
    return out


def _log32(x: Any) -> Any:
    """Return the logarithm of positive normal numbers in float32."""
    m, k = np.frexp(x)
    small = m < np.float32(math.sqrt(0.5))
    k = k.astype(np.float32) - small.astype(np.float32)
    f = (m - np.float32(1)) + np.where(small, m, np.float32(0))
    square = f * f
    cube = square * f
    a, b, c = (_polynomial(p, f) for p in LOG32)
    tail = fma(fma(a, cube, b), cube, c)
    high, low = (np.float32(part) for part in LN2_32)
    near = fma(square, np.float32(-0.5), f) + fma(tail, cube, k * low)
    return fma(k, high, near)


def _log64(x: Any) -> Any:
    """Return the logarithm of positive normal numbers in float64."""
    bits = x.view(np.int64)
    above = bits - TABLE_FROM
    at = (above >> 45) & 127
    exponent = above >> 52
    k = exponent.astype(np.float64)
    z = (bits - (exponent << 52)).view(np.float64)
    r = fma(z, _INVERSES[at], -1.0)
    square = r * r
    t = fma(k, LN2_64[0], _LOGARITHMS[at])
    total = t + r
    low = fma(k, LN2_64[1], (t - total) + r)
    low = fma(square, LOG64[0], low)
    tail = fma(fma(r, LOG64[4], LOG64[3]), square, fma(r, LOG64[2], LOG64[1]))
    return fma(r * square, tail, low) + total


def _log1p(y: Any) -> Any:
    """Return the logarithm of 1 + y for y from -1 to 0; elsewhere NaN."""
    kind = y.dtype.type
    out = np.where(y == kind(-1), kind(-np.inf), kind(np.nan))
    near = np.abs(y) < kind(NEAR)
    z = y[near]
    square = z * z
    ratio = _polynomial(LOG1P_P, z) / _polynomial(LOG1P_Q, z)
    out[near] = z + fma(square, kind(-0.5), (z * square) * ratio)
    far = ~near & (y > kind(-1)) & (y < kind(0))
    x = y[far] + kind(1)
    out[far] = _log32(x) if y.dtype.itemsize == 4 else _log64(x)
    return out


def _block(x: Any) -> Any:
    kind = x.dtype.type
    w = -_log1p(-(x * x))
    out = np.where(np.abs(x) == kind(1), w, kind(np.nan))
    rest = np.isfinite(w)
    for piece in QUANTILE32 if x.dtype.itemsize == 4 else QUANTILE64:
        here = rest & (w < piece.below)
        if here.any():
            v = np.sqrt(w[here]) if piece.rooted else w[here]
            out[here] = _polynomial(piece.coefficients, v - kind(piece.centre))
        rest &= ~here
    return out * x


def _impl(xp: Any, x: Any) -> Any:
    if xp is not np:
        raise NotImplementedError("fused operations of array libraries on devices")
    out = np.empty(x.shape, x.dtype)
    flat, results = np.ascontiguousarray(x).reshape(-1), out.reshape(-1)
    with np.errstate(all="ignore"):
        for start in range(0, flat.size, BLOCK):
            block = slice(start, start + BLOCK)
            results[block] = _block(flat[block])
    return out


erf_inv_of_uniform_p = define_pointwise(
    "erf_inv_of_uniform",
    impl=_impl,
    dtype=same_dtype(
        "erf_inv_of_uniform",
        lambda dtype: is_float(dtype) and dtype in (DTYPES["f32"], DTYPES["f64"]),
        "float32 or float64",
    ),
    jvp=[lambda t, out, x: mul(t, mul(scalar_like(x, math.sqrt(math.pi) / 2), exp(square(out))))],
    lower=lambda k, x: k.pointwise("erfinvgiles", x),
    compiled_from=1 << 14,
)
