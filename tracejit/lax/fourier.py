"""Fourier transforms over the last axes."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import complex_of, is_complex
from tracejit.ops import fft as transforms
from tracejit.ops.convert import convert_element_type

__all__ = ["FftType", "fft"]


class FftType(enum.Enum):
    """Which transform; each may be named by a string too."""

    FFT = "FFT"
    IFFT = "IFFT"
    RFFT = "RFFT"
    IRFFT = "IRFFT"


def fft(x: Any, fft_type: FftType | str, fft_lengths: Sequence[int]) -> Any:
    """Transform along the last axes.

    Parameters
    ----------
    x : Array, shape (..., n[0], ..., n[k-1])
        The operand: complex, and float for ``RFFT``.  For ``IRFFT`` its last axis has the length
        ``fft_lengths[-1] // 2 + 1``.
    fft_type : FftType or str
        ``FFT``, ``IFFT``, ``RFFT`` or ``IRFFT``.
    fft_lengths : sequence of int, length k
        The lengths of the transform.

    Returns
    -------
    Array
        The transform; inverse ones are divided by the number of elements.

    Raises
    ------
    ShapeError
        If the kind is not known, or the lengths do not fit the shape.
    DTypeError
        If the dtype does not fit the kind.
    """
    kind = fft_type.value if isinstance(fft_type, FftType) else str(fft_type).upper()
    aval = get_aval(x)
    if len(fft_lengths) > aval.ndim:
        raise ShapeError(
            f"fft: {len(fft_lengths)} lengths need as many axes; got shape {aval.shape}"
        )
    if not fft_lengths:
        return x
    if kind == "IRFFT" and not is_complex(aval.dtype) and aval.dtype.itemsize > 2:
        x = convert_element_type(x, complex_of(aval.dtype))
    axes = range(aval.ndim - len(fft_lengths), aval.ndim)
    return transforms.fft(x, kind, [n.__index__() for n in fft_lengths], axes)
