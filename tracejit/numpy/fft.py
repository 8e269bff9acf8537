"""``tracejit.numpy.fft``: discrete Fourier transforms, with NumPy's names, norms and dtypes.

float32 and float16 are transformed in single precision, integers in double.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES, complex_of, is_complex, is_inexact
from tracejit.numpy.creation import asarray
from tracejit.numpy.manipulation import roll
from tracejit.numpy.promotion import array_of, cast, no_out, normal_axes, normal_axis
from tracejit.ops.complex_numbers import conj
from tracejit.ops.constant import scalar_like
from tracejit.ops.fft import fft as transform
from tracejit.ops.fft import swapped_norm
from tracejit.ops.slicing import pad, slice_

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

Lengths = Sequence[int] | None
Axes = Sequence[int] | None


def _wide(a: Any) -> tuple[Any, np.dtype[Any]]:
    """Return an array as it is transformed, and its own dtype."""
    x = array_of(a)
    dtype = get_aval(x).dtype
    if not is_inexact(dtype):
        return cast(x, DTYPES["f64"]), dtype
    return (cast(x, DTYPES["f32"]) if dtype.itemsize == 2 else x), dtype


def _resized(x: Any, axis: int, length: int) -> Any:
    """Cut an axis, or fill it up with zeros, at its end."""
    shape = get_aval(x).shape
    if shape[axis] == length:
        return x
    if shape[axis] > length:
        return slice_(x, [0] * len(shape), [*shape[:axis], length, *shape[axis + 1 :]])
    config = [(0, length - d if a == axis else 0, 0) for a, d in enumerate(shape)]
    return pad(x, scalar_like(x, 0), config)


def _count(name: str, n: Any) -> int:
    length = int(n.__index__())
    if length < 1:
        raise ShapeError(f"{name}: at least one data point is needed; got n = {length}")
    return length


def _transform(
    name: str, kind: str, a: Any, s: Sequence[Any], axes: Sequence[int], norm: str | None
) -> Any:
    """Transform along axes, brought to the lengths `s`; None for the length that is there."""
    x, dtype = _wide(a)
    norm = norm or "backward"
    swapped_norm(norm)
    if kind == "RFFT" and is_complex(get_aval(x).dtype):
        raise DTypeError(
            f"{name}: a real array is needed, got {dtype}; use "
            f"{name.replace('ihfft', 'ifft').replace('rfft', 'fft')}, or take the real part first"
        )
    if kind == "IRFFT" and not is_complex(get_aval(x).dtype):
        x = cast(x, complex_of(get_aval(x).dtype))
    lengths = []
    for place, (n, axis) in enumerate(zip(s, axes, strict=True)):
        halved = kind == "IRFFT" and place == len(axes) - 1
        have = get_aval(x).shape[axis]
        length = _count(name, (2 * (have - 1) if halved else have) if n is None else n)
        x = _resized(x, axis, length // 2 + 1 if halved else length)
        lengths.append(length)
    if len(set(axes)) == len(axes):
        out = transform(x, kind, lengths, axes, norm)
    else:
        out = _repeatedly(x, kind, lengths, axes, norm)
    # NumPy returns to float16 what it transformed in single precision.
    return cast(out, dtype) if kind == "IRFFT" and dtype == np.float16 else out


def _repeatedly(x: Any, kind: str, lengths: Sequence[int], axes: Sequence[int], norm: str) -> Any:
    """Transform one axis after the other, as NumPy does if an axis is named twice."""
    steps = list(zip([kind.replace("R", "")] * len(axes), lengths, axes, strict=True))
    steps[-1] = (kind, lengths[-1], axes[-1])
    for each, length, axis in reversed(steps) if kind != "IRFFT" else steps:
        halved = each == "IRFFT"
        x = _resized(x, axis, length // 2 + 1 if halved else length)
        x = transform(x, each, [length], [axis], norm)
    return x


def _along(name: str, kind: str, a: Any, n: Any, axis: Any, norm: str | None, out: Any) -> Any:
    no_out(f"fft.{name}", out)
    a = array_of(a)
    return _transform(name, kind, a, [n], [normal_axis(name, axis, get_aval(a).ndim)], norm)


def _over(name: str, kind: str, a: Any, s: Lengths, axes: Axes, norm: str | None, out: Any) -> Any:
    no_out(f"fft.{name}", out)
    a = array_of(a)
    rank = get_aval(a).ndim
    if axes is None:
        axes = range(rank) if s is None else range(-len(s), 0)
    where = [normal_axis(name, axis, rank) for axis in axes]
    if s is None:
        s = [-1] * len(where)
    if len(s) != len(where):
        raise ShapeError(f"{name}: a length for each axis; got s = {tuple(s)}, axes = {where}")
    if not where:
        if kind in ("RFFT", "IRFFT"):
            raise ShapeError(f"{name}: at least one axis is needed")
        return a
    # -1 is the length that is there.
    given = [None if n is None or n == -1 else n for n in s]
    return _transform(name, kind, a, given, where, norm)


# ------------------------------------------------------------------------------- one axis


def fft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.fft`."""
    return _along("fft", "FFT", a, n, axis, norm, out)


def ifft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.ifft`."""
    return _along("ifft", "IFFT", a, n, axis, norm, out)


def rfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.rfft`."""
    return _along("rfft", "RFFT", a, n, axis, norm, out)


def irfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.irfft`."""
    return _along("irfft", "IRFFT", a, n, axis, norm, out)


def hfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.hfft`."""
    return _along(
        "hfft", "IRFFT", conj(array_of(a)), n, axis, swapped_norm(norm or "backward"), out
    )


def ihfft(
    a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.ihfft`."""
    return conj(_along("ihfft", "RFFT", a, n, axis, swapped_norm(norm or "backward"), out))


# ---------------------------------------------------------------------------- several axes


def fftn(
    a: Any, s: Lengths = None, axes: Axes = None, norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.fftn`."""
    return _over("fftn", "FFT", a, s, axes, norm, out)


def ifftn(
    a: Any, s: Lengths = None, axes: Axes = None, norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.ifftn`."""
    return _over("ifftn", "IFFT", a, s, axes, norm, out)


def rfftn(
    a: Any, s: Lengths = None, axes: Axes = None, norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.rfftn`."""
    return _over("rfftn", "RFFT", a, s, axes, norm, out)


def irfftn(
    a: Any, s: Lengths = None, axes: Axes = None, norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.irfftn`."""
    return _over("irfftn", "IRFFT", a, s, axes, norm, out)


def fft2(
    a: Any, s: Lengths = None, axes: Axes = (-2, -1), norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.fft2`."""
    return _over("fft2", "FFT", a, s, axes, norm, out)


def ifft2(
    a: Any, s: Lengths = None, axes: Axes = (-2, -1), norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.ifft2`."""
    return _over("ifft2", "IFFT", a, s, axes, norm, out)


def rfft2(
    a: Any, s: Lengths = None, axes: Axes = (-2, -1), norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.rfft2`."""
    return _over("rfft2", "RFFT", a, s, axes, norm, out)


def irfft2(
    a: Any, s: Lengths = None, axes: Axes = (-2, -1), norm: str | None = None, out: Any = None
) -> Any:
    """As :func:`numpy.fft.irfft2`."""
    return _over("irfft2", "IRFFT", a, s, axes, norm, out)


# -------------------------------------------------------------------- frequencies, shifts


def fftfreq(n: int, d: Any = 1.0, dtype: Any = None, device: Any = None) -> Any:
    """As :func:`numpy.fft.fftfreq`, with JAX's `dtype`; the spacing `d` may be traced."""
    n = _count("fftfreq", n)
    counts = np.concatenate([np.arange((n + 1) // 2), np.arange(-(n // 2), 0)])
    return _per_length(counts, n, d, dtype, device)


def rfftfreq(n: int, d: Any = 1.0, dtype: Any = None, device: Any = None) -> Any:
    """As :func:`numpy.fft.rfftfreq`, with JAX's `dtype`; the spacing `d` may be traced."""
    n = _count("rfftfreq", n)
    return _per_length(np.arange(n // 2 + 1), n, d, dtype, device)


def _per_length(counts: Any, n: int, d: Any, dtype: Any, device: Any) -> Any:
    traced = isinstance(d, (Array, Tracer))
    if not traced:
        return asarray(counts * (1.0 / (n * d)), dtype=dtype, device=device)
    spacing: Any = d
    found = asarray(counts, dtype=np.float64, device=device) * (1.0 / (n * spacing))
    return found if dtype is None else cast(found, np.dtype(dtype))


def fftshift(x: Any, axes: Any = None) -> Any:
    """As :func:`numpy.fft.fftshift`."""
    return _shifted("fftshift", x, axes, 1)


def ifftshift(x: Any, axes: Any = None) -> Any:
    """As :func:`numpy.fft.ifftshift`."""
    return _shifted("ifftshift", x, axes, -1)


def _shifted(name: str, x: Any, axes: Any, sign: int) -> Any:
    x = array_of(x)
    shape = get_aval(x).shape
    where = normal_axes(name, axes, len(shape))
    return roll(x, [sign * (shape[a] // 2) for a in where], where)
