"""Windows for spectra, and the Bessel function that one of them is made of."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tracejit.core.array import from_numpy
from tracejit.core.errors import DTypeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_float
from tracejit.numpy.creation import committed
from tracejit.numpy.logic import less_equal
from tracejit.numpy.promotion import array_of, as_inexact, cast, concrete_value, operand
from tracejit.numpy.searching import where
from tracejit.numpy.ufuncs import (
    absolute,
    exp,
    maximum,
    minimum,
    multiply,
    sqrt,
    subtract,
    true_divide,
)

__all__ = [
    "bartlett", "blackman", "hamming", "hanning", "i0", "kaiser",
]  # fmt: skip

_TERMS = 30


def _window(values: np.ndarray[Any, Any]) -> Any:
    return committed(from_numpy(values))


def bartlett(M: int) -> Any:
    """As :func:`numpy.bartlett`."""
    return _window(np.bartlett(M))


def blackman(M: int) -> Any:
    """As :func:`numpy.blackman`."""
    return _window(np.blackman(M))


def hamming(M: int) -> Any:
    """As :func:`numpy.hamming`."""
    return _window(np.hamming(M))


def hanning(M: int) -> Any:
    """As :func:`numpy.hanning`."""
    return _window(np.hanning(M))


def kaiser(M: int, beta: Any) -> Any:
    """As :func:`numpy.kaiser`; differentiable in `beta`."""
    count = int(M)
    value = concrete_value(operand(beta))
    if value is not None:
        return _window(np.kaiser(count, float(value)))
    if count == 1:
        return _window(np.ones(1))
    half = (count - 1) / 2.0
    place = (np.arange(count) - half) / half
    wide = cast(operand(beta), DTYPES["f64"])
    return true_divide(i0(multiply(wide, np.sqrt(1 - place**2))), i0(wide))


@functools.cache
def _series() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return Chebyshev series of ``exp(-x) i0(x)`` to 8 and of ``sqrt(x)`` times that beyond."""
    interpolate = np.polynomial.chebyshev.chebinterpolate

    def near(t: Any) -> Any:
        x = 4.0 * (t + 1.0)
        return np.exp(-x) * np.i0(x)

    def far(t: Any) -> Any:
        x = 16.0 / (t + 1.0)
        # The asymptotic series, where exp(x) would be infinite.
        tail = 1 + 1 / (8 * x) * (1 + 9 / (16 * x) * (1 + 25 / (24 * x) * (1 + 49 / (32 * x))))
        y = np.minimum(x, 600.0)
        value = np.exp(-y) * np.i0(y) * np.sqrt(y)
        return np.where(x < 600.0, value, tail / np.sqrt(2 * np.pi))

    return interpolate(near, _TERMS), interpolate(far, _TERMS)


def _sum(series: np.ndarray[Any, Any], t: Any, dtype: np.dtype[Any]) -> Any:
    """Return a Chebyshev series at `t`, by Clenshaw's recurrence."""
    twice = multiply(t, dtype.type(2))
    first = second = multiply(t, dtype.type(0))
    for c in series[:0:-1]:
        first, second = subtract(multiply(twice, first), second) + dtype.type(c), first
    return subtract(multiply(t, first), second) + dtype.type(series[0])


def i0(x: Any) -> Any:
    """As :func:`numpy.i0`, by two Chebyshev series; float32 and float64 accurately."""
    x = as_inexact(operand(x))
    own = get_aval(x).dtype
    if not is_float(own):
        raise DTypeError(f"i0: real numbers are needed; got {own}")
    dtype = own if own.itemsize >= 4 else DTYPES["f32"]
    size = absolute(array_of(cast(x, dtype)))
    near, far = _series()
    eight = dtype.type(8)
    low, high = minimum(size, eight), maximum(size, eight)
    small = _sum(near, subtract(multiply(low, dtype.type(0.25)), dtype.type(1)), dtype)
    large = _sum(far, subtract(true_divide(dtype.type(16), high), dtype.type(1)), dtype)
    large = true_divide(large, sqrt(high))
    return cast(multiply(where(less_equal(size, eight), small, large), exp(size)), own)
