"""Functions that leave the real numbers where they must, as :mod:`numpy.emath`.

The dtype of a result depends on values.  Where they are not known, while tracing, it is complex.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import complex_of, is_complex
from tracejit.numpy import ufuncs
from tracejit.numpy.division import power as real_power
from tracejit.numpy.promotion import array_of, as_inexact, cast, host_value, operand
from tracejit.numpy.ufuncs import true_divide

__all__ = [
    "arccos", "arcsin", "arctanh", "log", "log2", "log10", "logn", "power", "sqrt",
]  # fmt: skip


def _extended(x: Any, leaves: Callable[[np.ndarray[Any, Any]], Any]) -> Any:
    """Return `x` as complex if some element leaves the real domain, or is not known."""
    x = array_of(operand(x))
    if is_complex(get_aval(x).dtype):
        return x
    value = host_value(x)
    if value is not None and not np.any(leaves(np.asarray(value))):
        return x
    x = as_inexact(x)
    own = get_aval(x).dtype
    return cast(x, complex_of(own if own.itemsize >= 4 else np.dtype(np.float32)))


def _is_negative(x: np.ndarray[Any, Any]) -> Any:
    return x < 0


def _is_beyond_one(x: np.ndarray[Any, Any]) -> Any:
    return np.abs(x) > 1


def sqrt(x: Any) -> Any:
    """As :func:`numpy.emath.sqrt`."""
    return ufuncs.sqrt(_extended(x, _is_negative))


def log(x: Any) -> Any:
    """As :func:`numpy.emath.log`."""
    return ufuncs.log(_extended(x, _is_negative))


def log2(x: Any) -> Any:
    """As :func:`numpy.emath.log2`."""
    return ufuncs.log2(_extended(x, _is_negative))


def log10(x: Any) -> Any:
    """As :func:`numpy.emath.log10`."""
    return ufuncs.log10(_extended(x, _is_negative))


def logn(n: Any, x: Any) -> Any:
    """As :func:`numpy.emath.logn`: the logarithm of `x` to the base `n`."""
    return true_divide(log(x), log(n))


def power(x: Any, p: Any) -> Any:
    """As :func:`numpy.emath.power`."""
    x = _extended(x, _is_negative)
    exponent = operand(p)
    value = host_value(exponent)
    whole = get_aval(exponent).dtype.kind in "iu"
    if whole and value is not None and np.any(np.asarray(value) < 0):
        exponent = array_of(np.asarray(value, np.float64))
    return real_power(x, exponent)


def arccos(x: Any) -> Any:
    """As :func:`numpy.emath.arccos`."""
    return ufuncs.arccos(_extended(x, _is_beyond_one))


def arcsin(x: Any) -> Any:
    """As :func:`numpy.emath.arcsin`."""
    return ufuncs.arcsin(_extended(x, _is_beyond_one))


def arctanh(x: Any) -> Any:
    """As :func:`numpy.emath.arctanh`."""
    return ufuncs.arctanh(_extended(x, _is_beyond_one))
