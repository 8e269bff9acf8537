"""``tracejit.image``: resizing and moving of images, as ``jax.image`` does it.

Each axis is resampled by a matrix of weights, one after another; so both are linear in the image,
and differentiable in it, and in the scale and the translation.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit import numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.numpy.promotion import as_inexact, normal_axes, static_shape

__all__ = ["ResizeMethod", "resize", "scale_and_translate"]


class ResizeMethod(enum.Enum):
    """How an element is made from those near it."""

    NEAREST = 0
    LINEAR = 1
    LANCZOS3 = 2
    LANCZOS5 = 3
    CUBIC = 4
    CUBIC_PYTORCH = 5
    AREA = 6

    @staticmethod
    def from_string(s: str) -> ResizeMethod:
        """Return the method of a name.

        Raises
        ------
        ValueError
            If there is none.
        """
        if s in _NAMES:
            return _NAMES[s]
        raise ValueError(f"resize: method must be one of {', '.join(_NAMES)}; got {s!r}")


_NAMES = {
    "nearest": ResizeMethod.NEAREST,
    "linear": ResizeMethod.LINEAR,
    "bilinear": ResizeMethod.LINEAR,
    "trilinear": ResizeMethod.LINEAR,
    "triangle": ResizeMethod.LINEAR,
    "lanczos3": ResizeMethod.LANCZOS3,
    "lanczos5": ResizeMethod.LANCZOS5,
    "cubic": ResizeMethod.CUBIC,
    "bicubic": ResizeMethod.CUBIC,
    "tricubic": ResizeMethod.CUBIC,
    "cubic-pytorch": ResizeMethod.CUBIC_PYTORCH,
    "bicubic-pytorch": ResizeMethod.CUBIC_PYTORCH,
    "area": ResizeMethod.AREA,
}


def _triangle(x: Any) -> Any:
    return tnp.maximum(0, 1 - x)


def _lanczos(radius: int) -> Callable[[Any], Any]:
    """Return sinc(x) sinc(x / radius), 0 beyond `radius` (Duchon 1979)."""

    def kernel(x: Any) -> Any:
        return tnp.where(x > radius, 0, tnp.sinc(x) * tnp.sinc(x / radius))

    return kernel


def _cubic(a: float) -> Callable[[Any], Any]:
    """Return the cubic convolution kernel (Keys 1981) with slope `a` at 1."""

    def kernel(x: Any) -> Any:
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return tnp.where(x >= 2, 0, tnp.where(x >= 1, far, near))

    return kernel


_KERNELS = {
    ResizeMethod.LINEAR: _triangle,
    ResizeMethod.LANCZOS3: _lanczos(3),
    ResizeMethod.LANCZOS5: _lanczos(5),
    ResizeMethod.CUBIC: _cubic(-0.5),
    ResizeMethod.CUBIC_PYTORCH: _cubic(-0.75),
}


def _weights(
    length: int, wanted: int, scale: Any, shift: Any, method: ResizeMethod, antialias: bool
) -> Any:
    """Return the matrix, shape ``(length, wanted)``, that resamples an axis.

    The centre of the new element ``j`` lies at ``(j + 1/2 - shift) / scale`` of the old axis, on
    which the old element ``i`` covers ``[i, i + 1]``.  Where the old axis is finer than the kernel,
    `antialias` stretches the kernel.  Weights of a new element sum to 1; they are 0 if its centre
    lies outside, unless the method repeats the edge.
    """
    inverse = 1 / scale
    left = (tnp.arange(wanted, dtype=inverse.dtype) - shift) * inverse
    centre = left + 0.5 * inverse - 0.5
    repeated = method is ResizeMethod.CUBIC_PYTORCH  # antialiased, it is the other kernel
    own = np.arange(-2, length + 2) if repeated else np.arange(length)
    at = tnp.asarray(own, inverse.dtype)[:, None]
    if method is ResizeMethod.AREA:
        weights = tnp.minimum(left + inverse, at + 1) - tnp.maximum(left, at)
        weights = tnp.maximum(weights, 0)
    else:
        stretched = tnp.maximum(inverse, 1) if antialias else 1
        weights = _KERNELS[method](tnp.abs(centre - at) / stretched)
    if repeated:
        edges = np.clip(own, 0, length - 1)
        weights = tnp.zeros((length, wanted), inverse.dtype).at[edges].add(weights)
    total = tnp.sum(weights, axis=0)
    small = tnp.abs(total) <= 1000 * float(np.finfo(np.float32).eps)
    weights = tnp.where(small, 0, weights / tnp.where(small, 1, total))
    if repeated:
        return weights
    return tnp.where((centre >= -0.5) & (centre <= length - 0.5), weights, 0)


def _method(method: Any, antialias: bool) -> ResizeMethod:
    found = method if isinstance(method, ResizeMethod) else ResizeMethod.from_string(method)
    if found is ResizeMethod.CUBIC_PYTORCH and antialias:
        return ResizeMethod.CUBIC
    return found


def _resampled(
    x: Any, shape: Sequence[int], axes: Sequence[int], scales: Any, shifts: Any,
    method: ResizeMethod, antialias: bool, precision: Any,
) -> Any:  # fmt: skip
    letters = "abcdefghijklmnopqrstuvwxy"[: x.ndim]
    for n, axis in enumerate(axes):
        matrix = _weights(x.shape[axis], shape[axis], scales[n], shifts[n], method, antialias)
        out = letters.replace(letters[axis], "z")
        terms = f"{letters},{letters[axis]}z->{out}"
        x = tnp.einsum(terms, x, matrix.astype(x.dtype), precision=precision)
    return x


def scale_and_translate(
    image: Any,
    shape: Any,
    spatial_dims: Sequence[int],
    scale: Any,
    translation: Any,
    method: Any,
    antialias: bool = True,
    precision: Any = None,
) -> Any:
    """Scale an image and move it, into an image of a given shape.

    What comes to lie at ``x`` was at ``(x - translation) / scale`` before, in a system where the
    first element covers ``[0, 1]``.  What lies outside the old image is 0.

    Parameters
    ----------
    image : array_like
        The image; integers become floats.
    shape : sequence of int
        The new shape; it may differ along `spatial_dims` only.
    spatial_dims : sequence of int
        Which axes are scaled.
    scale, translation : array_like, shape (len(spatial_dims),)
        For each of them; may be traced.
    method : ResizeMethod or str
        Not ``"nearest"``.
    antialias : bool
        Whether to average over more elements where the image gets smaller.
    precision : optional
        Accepted for compatibility: products are in full precision.

    Returns
    -------
    Array, shape `shape`

    Raises
    ------
    ShapeError
        If `shape` has another rank, or differs along other axes.
    ValueError
        If there is no such method, or it is ``"nearest"``.
    """
    found = _method(method, antialias)
    if found is ResizeMethod.NEAREST:
        raise ValueError('scale_and_translate: method "nearest" has no weights; use resize')
    x = as_inexact(tnp.asarray(image))
    wanted = _shape_for("scale_and_translate", x, shape)
    axes = normal_axes("scale_and_translate", tuple(spatial_dims), x.ndim)
    fixed = [a for a in range(x.ndim) if a not in axes and wanted[a] != x.shape[a]]
    if fixed:
        raise ShapeError(
            f"scale_and_translate: axis {fixed[0]} is not one of spatial_dims={tuple(axes)}, so it "
            f"must stay {x.shape[fixed[0]]} long; got shape={wanted}"
        )
    kind = x.real.dtype
    scales, shifts = (tnp.asarray(v, kind) for v in (scale, translation))
    for name, v in (("scale", scales), ("translation", shifts)):
        if v.shape != (len(axes),):
            raise ShapeError(f"scale_and_translate: {name} must have shape ({len(axes)},), one "
                             f"number for each of spatial_dims; got {v.shape}")  # fmt: skip
    return _resampled(x, wanted, axes, scales, shifts, found, antialias, precision)


def _shape_for(name: str, x: Any, shape: Any) -> tuple[int, ...]:
    wanted = static_shape(name, shape)
    if len(wanted) != x.ndim:
        raise ShapeError(f"{name}: shape must have the rank of the image, {x.ndim}; got {wanted}")
    return wanted


def resize(
    image: Any, shape: Any, method: Any, antialias: bool = True, precision: Any = None
) -> Any:
    """Resize an image.

    Parameters
    ----------
    image : array_like
        Of any rank.  Integers become floats, except with ``"nearest"``.
    shape : sequence of int
        The new shape; axes whose length stays are left alone.
    method : ResizeMethod or str
        ``"nearest"``; ``"linear"`` (also ``"bilinear"``, ``"triangle"``); ``"cubic"`` (slope -1/2;
        ``"cubic-pytorch"`` without `antialias`: -3/4, and edges are repeated, as PyTorch does);
        ``"lanczos3"``, ``"lanczos5"``; ``"area"``, the mean over what a new element covers.
    antialias : bool
        Whether to average over more elements where the image gets smaller; not with ``"nearest"``.
    precision : optional
        Accepted for compatibility: products are in full precision.

    Returns
    -------
    Array, shape `shape`

    Raises
    ------
    ShapeError
        If `shape` has another rank.
    ValueError
        If there is no such method.
    """
    found = _method(method, antialias)
    x = tnp.asarray(image)
    wanted = _shape_for("resize", x, shape)
    axes = [a for a in range(x.ndim) if wanted[a] != x.shape[a]]
    if found is ResizeMethod.NEAREST:
        for a in axes:
            x = tnp.take(x, _nearest(x.shape[a], wanted[a]), axis=a)
        return x
    x = as_inexact(x)
    kind = x.real.dtype
    scales = [tnp.asarray(wanted[a] / x.shape[a], kind) if x.shape[a] else 1.0 for a in axes]
    shifts = [tnp.zeros((), kind)] * len(axes)
    return _resampled(x, wanted, axes, scales, shifts, found, antialias, precision)


def _nearest(length: int, wanted: int) -> np.ndarray[Any, Any]:
    """Return which old element is nearest to the centre of each new one."""
    return ((2 * np.arange(wanted) + 1) * length) // (2 * wanted)
