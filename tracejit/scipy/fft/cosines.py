"""Cosine and sine transforms of types 1 to 4, by Fourier transforms of real or complex numbers.

============  ====================================================================================
type          way
============  ====================================================================================
cosine 1      the transform of the even extension
cosine 2      one real transform of the same length, of even places and then odd ones backwards
cosine 3      the way back
cosine 4      a complex transform of twice the length
sine 1        the transform of the odd extension
sine 2 to 4   those of cosines, with signs and order changed
============  ====================================================================================

All are linear and real; complex arrays are transformed part by part.

References
----------
J. Makhoul, A fast cosine transform in one and two dimensions, IEEE Trans. ASSP 28 (1980) 27-34.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_complex, is_inexact
from tracejit.numpy import fft as transforms
from tracejit.numpy.manipulation import concatenate, flip, moveaxis, stack
from tracejit.numpy.promotion import array_of, cast, normal_axis
from tracejit.ops.complex_numbers import complex_, imag, real
from tracejit.ops.fft import swapped_norm

__all__ = ["dct", "dctn", "dst", "dstn", "idct", "idctn", "idst", "idstn"]

INVERSE = {1: 1, 2: 3, 3: 2, 4: 4}

Lengths = Sequence[int] | int | None
Axes = Sequence[int] | int | None


def _resized(name: str, x: Any, n: Any) -> Any:
    """Cut the last axis or fill it up with zeros."""
    shape = get_aval(x).shape
    length = shape[-1] if n is None or n == -1 else int(n.__index__())
    if length < 1:
        raise ShapeError(f"{name}: at least one data point is needed; got n = {length}")
    if length <= shape[-1]:
        return x[..., :length]
    rest = np.zeros((*shape[:-1], length - shape[-1]), get_aval(x).dtype)
    return concatenate([x, rest], -1)


def _alternating(n: int, dtype: Any) -> Any:
    return (1 - 2 * (np.arange(n) % 2)).astype(dtype)


def _turned(z: Any, numerators: Any, denominator: int) -> tuple[Any, Any]:
    """Return the parts of ``z exp(-i pi numerators / denominator)``."""
    angle = np.pi * (numerators % (2 * denominator)) / denominator
    re, im = (real(z), imag(z)) if is_complex(get_aval(z).dtype) else (z, None)
    dtype = get_aval(re).dtype
    c, s = np.cos(angle).astype(dtype), np.sin(angle).astype(dtype)
    return (re * c, -(re * s)) if im is None else (re * c + im * s, im * c - re * s)


def _cosines(x: Any, kind: int) -> Any:
    """Transform the last axis without a scale."""
    n = get_aval(x).shape[-1]
    if kind == 1:
        if n < 2:
            raise ShapeError("dct: type 1 needs at least two data points")
        return real(transforms.rfft(concatenate([x, flip(x[..., 1:-1], -1)], -1)))
    k = np.arange(n)
    if kind == 2:
        order = concatenate([x[..., ::2], flip(x[..., 1::2], -1)], -1)
        re, im = _turned(transforms.rfft(order), np.arange(n // 2 + 1), 2 * n)
        return 2 * concatenate([re, -flip(im[..., 1 : (n + 1) // 2], -1)], -1)
    if kind == 3:
        half = n // 2 + 1
        last = np.zeros((*get_aval(x).shape[:-1], 1), get_aval(x).dtype)
        mirror = concatenate([last, flip(x[..., 1:], -1)], -1)
        z = complex_(x[..., :half], mirror[..., :half])
        re, im = _turned(z, k[:half], 2 * n)
        order = transforms.irfft(complex_(re, -im), n, norm="forward")
        evens, odds = order[..., : (n + 1) // 2], flip(order[..., (n + 1) // 2 :], -1)
        if n % 2:
            odds = concatenate([odds, odds[..., :1] if n > 1 else evens], -1)
        shape = (*get_aval(x).shape[:-1], n + n % 2)
        return stack([evens, odds], -1).reshape(shape)[..., :n]
    if kind == 4:
        re, im = _turned(x, k, 2 * n)
        z = transforms.fft(complex_(re, im), 2 * n)[..., :n]
        return 2 * _turned(z, 2 * k + 1, 4 * n)[0]
    raise ShapeError(f"dct: the type must be 1, 2, 3 or 4; got {kind!r}")


def _sines(x: Any, kind: int) -> Any:
    n, dtype = get_aval(x).shape[-1], get_aval(x).dtype
    if kind == 1:
        zero = np.zeros((*get_aval(x).shape[:-1], 1), dtype)
        extension = concatenate([zero, x, zero, -flip(x, -1)], -1)
        return -imag(transforms.rfft(extension))[..., 1:-1]
    signs = _alternating(n, dtype)
    if kind == 2:
        return flip(_cosines(x * signs, 2), -1)
    return _cosines(flip(x, -1), kind) * signs


def _weighted(y: Any, places: Sequence[int], factor: float) -> Any:
    """Multiply some places of the last axis."""
    weights = np.ones(get_aval(y).shape[-1], get_aval(y).dtype)
    weights[list(places)] = factor
    return y * weights


def _along(
    name: str, kind: Any, x: Any, n: Any, axis: int, norm: str, inverse: bool, ortho: bool
) -> Any:
    if kind not in INVERSE:
        raise ShapeError(f"{name}: the type must be 1, 2, 3 or 4; got {kind!r}")
    kind = INVERSE[kind] if inverse else kind
    sine = "s" in name
    x = _resized(name, moveaxis(x, axis, -1), n)
    length = get_aval(x).shape[-1]
    ends = {1: (0, -1)}.get(kind, (-1,) if sine else (0,))
    ortho = ortho and kind < 4 and not (sine and kind == 1)
    if ortho and kind in (1, 3):
        x = _weighted(x, ends, math.sqrt(2))
    y = (_sines if sine else _cosines)(x, kind)
    if ortho and kind in (1, 2):
        y = _weighted(y, ends, math.sqrt(0.5))
    total = 2 * (length + {True: 1, False: -1}[sine] * (kind == 1))
    scale = {"ortho": 1 / math.sqrt(total), "forward": 1.0 if inverse else 1 / total}.get(
        norm, 1 / total if inverse else 1.0
    )
    return moveaxis(y if scale == 1.0 else y * scale, -1, axis)


def _over(
    name: str, kind: Any, x: Any, s: Any, axes: Any, norm: str | None, ortho: bool | None
) -> Any:
    x = array_of(x)
    dtype = get_aval(x).dtype
    if not is_inexact(dtype) or dtype.itemsize == 2:
        x = cast(x, np.dtype(np.float32 if is_inexact(dtype) else np.float64))
    norm = norm or "backward"
    swapped_norm(norm)  # raises if there is no such norm
    rank = get_aval(x).ndim
    s = [s] if isinstance(s, int) else s
    axes = [axes] if isinstance(axes, int) else axes
    if axes is None:
        axes = range(rank) if s is None else range(-len(s), 0)
    where = [normal_axis(name, axis, rank) for axis in axes]
    if len(set(where)) != len(where):
        raise ShapeError(f"{name}: the axes must differ; got {tuple(axes)}")
    lengths = [None] * len(where) if s is None else list(s)
    if len(lengths) != len(where):
        raise ShapeError(f"{name}: a length for each axis; got s = {tuple(s)}, axes = {where}")
    inverse = name.startswith("i")
    scaled = norm == "ortho" if ortho is None else ortho

    def transformed(x: Any) -> Any:
        for n, axis in zip(lengths, where, strict=True):
            x = _along(name, kind, x, n, axis, norm, inverse, scaled)
        return x

    if is_complex(get_aval(x).dtype):
        return complex_(transformed(real(x)), transformed(imag(x)))
    return transformed(x)


def dct(
    x: Any,
    type: int = 2,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    orthogonalize: bool | None = None,
) -> Any:
    """As :func:`scipy.fft.dct`."""
    del overwrite_x, workers
    return _over("dct", type, x, [n], [axis], norm, orthogonalize)


def idct(
    x: Any,
    type: int = 2,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    orthogonalize: bool | None = None,
) -> Any:
    """As :func:`scipy.fft.idct`."""
    del overwrite_x, workers
    return _over("idct", type, x, [n], [axis], norm, orthogonalize)


def dst(
    x: Any,
    type: int = 2,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    orthogonalize: bool | None = None,
) -> Any:
    """As :func:`scipy.fft.dst`."""
    del overwrite_x, workers
    return _over("dst", type, x, [n], [axis], norm, orthogonalize)


def idst(
    x: Any,
    type: int = 2,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    orthogonalize: bool | None = None,
) -> Any:
    """As :func:`scipy.fft.idst`."""
    del overwrite_x, workers
    return _over("idst", type, x, [n], [axis], norm, orthogonalize)


def dctn(
    x: Any,
    type: int = 2,
    s: Lengths = None,
    axes: Axes = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    orthogonalize: bool | None = None,
) -> Any:
    """As :func:`scipy.fft.dctn`."""
    del overwrite_x, workers
    return _over("dctn", type, x, s, axes, norm, orthogonalize)


def idctn(
    x: Any,
    type: int = 2,
    s: Lengths = None,
    axes: Axes = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    orthogonalize: bool | None = None,
) -> Any:
    """As :func:`scipy.fft.idctn`."""
    del overwrite_x, workers
    return _over("idctn", type, x, s, axes, norm, orthogonalize)


def dstn(
    x: Any,
    type: int = 2,
    s: Lengths = None,
    axes: Axes = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    orthogonalize: bool | None = None,
) -> Any:
    """As :func:`scipy.fft.dstn`."""
    del overwrite_x, workers
    return _over("dstn", type, x, s, axes, norm, orthogonalize)


def idstn(
    x: Any,
    type: int = 2,
    s: Lengths = None,
    axes: Axes = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    orthogonalize: bool | None = None,
) -> Any:
    """As :func:`scipy.fft.idstn`."""
    del overwrite_x, workers
    return _over("idstn", type, x, s, axes, norm, orthogonalize)
