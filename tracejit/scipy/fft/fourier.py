"""Fourier transforms with SciPy's signatures: those of NumPy, but float16 becomes float32.

All are linear, so they are differentiated, run in lanes and compiled like any other primitive.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.numpy import fft as transforms
from tracejit.numpy.promotion import array_of, cast
from tracejit.ops.complex_numbers import conj
from tracejit.ops.fft import swapped_norm

__all__ = [
    "fft",
    "fft2",
    "fftn",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "next_fast_len",
    "prev_fast_len",
    "rfft",
    "rfft2",
    "rfftn",
]

Lengths = Sequence[int] | int | None
Axes = Sequence[int] | int | None


def _operand(name: str, x: Any, plan: Any) -> Any:
    if plan is not None:
        raise NotImplementedError(f"{name}: there are no plans to pass; leave plan out")
    x = array_of(x)
    return cast(x, np.dtype(np.float32)) if get_aval(x).dtype == np.float16 else x


def _listed(value: Any) -> Any:
    return value if value is None or isinstance(value, Sequence) else [value]


def _several(name: str, s: Any, axes: Any) -> tuple[Any, Any]:
    s, axes = _listed(s), _listed(axes)
    if axes is not None and len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: the axes must differ; got {tuple(axes)}")
    return s, axes


def fft(
    x: Any,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.fft`."""
    del overwrite_x, workers
    return transforms.fft(_operand("fft", x, plan), n, axis, norm)


def ifft(
    x: Any,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.ifft`."""
    del overwrite_x, workers
    return transforms.ifft(_operand("ifft", x, plan), n, axis, norm)


def rfft(
    x: Any,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.rfft`."""
    del overwrite_x, workers
    return transforms.rfft(_operand("rfft", x, plan), n, axis, norm)


def irfft(
    x: Any,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.irfft`."""
    del overwrite_x, workers
    return transforms.irfft(_operand("irfft", x, plan), n, axis, norm)


def hfft(
    x: Any,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.hfft`."""
    del overwrite_x, workers
    return transforms.hfft(_operand("hfft", x, plan), n, axis, norm)


def ihfft(
    x: Any,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.ihfft`."""
    del overwrite_x, workers
    return transforms.ihfft(_operand("ihfft", x, plan), n, axis, norm)


def fftn(
    x: Any,
    s: Lengths = None,
    axes: Axes = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.fftn`."""
    del overwrite_x, workers
    lengths, where = _several("fftn", s, axes)
    return transforms.fftn(_operand("fftn", x, plan), lengths, where, norm)


def ifftn(
    x: Any,
    s: Lengths = None,
    axes: Axes = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.ifftn`."""
    del overwrite_x, workers
    lengths, where = _several("ifftn", s, axes)
    return transforms.ifftn(_operand("ifftn", x, plan), lengths, where, norm)


def rfftn(
    x: Any,
    s: Lengths = None,
    axes: Axes = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.rfftn`."""
    del overwrite_x, workers
    lengths, where = _several("rfftn", s, axes)
    return transforms.rfftn(_operand("rfftn", x, plan), lengths, where, norm)


def irfftn(
    x: Any,
    s: Lengths = None,
    axes: Axes = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.irfftn`."""
    del overwrite_x, workers
    lengths, where = _several("irfftn", s, axes)
    return transforms.irfftn(_operand("irfftn", x, plan), lengths, where, norm)


def fft2(
    x: Any,
    s: Lengths = None,
    axes: Axes = (-2, -1),
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.fft2`."""
    del overwrite_x, workers
    lengths, where = _several("fft2", s, axes)
    return transforms.fft2(_operand("fft2", x, plan), lengths, where, norm)


def ifft2(
    x: Any,
    s: Lengths = None,
    axes: Axes = (-2, -1),
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.ifft2`."""
    del overwrite_x, workers
    lengths, where = _several("ifft2", s, axes)
    return transforms.ifft2(_operand("ifft2", x, plan), lengths, where, norm)


def rfft2(
    x: Any,
    s: Lengths = None,
    axes: Axes = (-2, -1),
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.rfft2`."""
    del overwrite_x, workers
    lengths, where = _several("rfft2", s, axes)
    return transforms.rfft2(_operand("rfft2", x, plan), lengths, where, norm)


def irfft2(
    x: Any,
    s: Lengths = None,
    axes: Axes = (-2, -1),
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.irfft2`."""
    del overwrite_x, workers
    lengths, where = _several("irfft2", s, axes)
    return transforms.irfft2(_operand("irfft2", x, plan), lengths, where, norm)


def hfftn(
    x: Any,
    s: Lengths = None,
    axes: Axes = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.hfftn`."""
    del overwrite_x, workers
    lengths, where = _several("hfftn", s, axes)
    norm = swapped_norm(norm or "backward")
    return transforms.irfftn(conj(_operand("hfftn", x, plan)), lengths, where, norm)


def ihfftn(
    x: Any,
    s: Lengths = None,
    axes: Axes = None,
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.ihfftn`."""
    del overwrite_x, workers
    lengths, where = _several("ihfftn", s, axes)
    norm = swapped_norm(norm or "backward")
    return conj(transforms.rfftn(_operand("ihfftn", x, plan), lengths, where, norm))


def hfft2(
    x: Any,
    s: Lengths = None,
    axes: Axes = (-2, -1),
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.hfft2`."""
    del overwrite_x, workers
    lengths, where = _several("hfft2", s, axes)
    norm = swapped_norm(norm or "backward")
    return transforms.irfftn(conj(_operand("hfft2", x, plan)), lengths, where, norm)


def ihfft2(
    x: Any,
    s: Lengths = None,
    axes: Axes = (-2, -1),
    norm: str | None = None,
    overwrite_x: bool = False,
    workers: int | None = None,
    *,
    plan: Any = None,
) -> Any:
    """As :func:`scipy.fft.ihfft2`."""
    del overwrite_x, workers
    lengths, where = _several("ihfft2", s, axes)
    norm = swapped_norm(norm or "backward")
    return conj(transforms.rfftn(_operand("ihfft2", x, plan), lengths, where, norm))


def next_fast_len(target: int, real: bool = False) -> int:
    """As :func:`scipy.fft.next_fast_len`."""
    return int(importlib.import_module("scipy.fft").next_fast_len(target, real))


def prev_fast_len(target: int, real: bool = False) -> int:
    """As :func:`scipy.fft.prev_fast_len`."""
    return int(importlib.import_module("scipy.fft").prev_fast_len(target, real))
