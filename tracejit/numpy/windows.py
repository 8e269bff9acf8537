"""Windows for spectra, and the Bessel function that one of them is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.array import from_numpy
from tracejit.core.errors import DTypeError
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_float
from tracejit.numpy.creation import committed
from tracejit.numpy.promotion import array_of, cast, concrete_value, operand
from tracejit.numpy.ufuncs import multiply, true_divide
from tracejit.ops import bessel

__all__ = [
    "bartlett", "blackman", "hamming", "hanning", "i0", "kaiser",
]  # fmt: skip


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
    if not isinstance(beta, Tracer):  # the value that a tracer may have is no constant
        return _window(np.kaiser(count, float(concrete_value(operand(beta)))))
    if count == 1:
        return _window(np.ones(1))
    half = (count - 1) / 2.0
    place = (np.arange(count) - half) / half
    wide = cast(operand(beta), DTYPES["f64"])
    return true_divide(i0(multiply(wide, np.sqrt(1 - place**2))), i0(wide))


def i0(x: Any) -> Any:
    """As :func:`numpy.i0`."""
    x = operand(x)
    own = get_aval(x).dtype
    if is_complex(own):
        raise DTypeError(f"i0: real numbers are needed; got {own}")
    return bessel.i0(array_of(x if is_float(own) else cast(x, DTYPES["f64"])))
