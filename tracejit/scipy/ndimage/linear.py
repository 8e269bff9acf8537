"""Linear filters: correlations with weights, along axes or in several dimensions.

The borders are padded, and the rest is a direct correlation, which is one kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.scipy import signal
from tracejit.scipy.ndimage.borders import axes_of, beyond, image, kind_of_result, one_each

__all__ = [
    "convolve", "convolve1d", "correlate", "correlate1d", "gaussian_filter", "gaussian_filter1d",
    "gaussian_gradient_magnitude", "gaussian_laplace", "generic_gradient_magnitude",
    "generic_laplace", "laplace", "prewitt", "sobel", "uniform_filter", "uniform_filter1d",
]  # fmt: skip


def _spread(size: int, origin: int, name: str) -> tuple[int, int]:
    """Return how far a window reaches, before its point and after it."""
    before = size // 2 + origin
    if not 0 <= before < size:
        raise ShapeError(f"{name}: origin {origin} is outside of weights of length {size}")
    return before, size - 1 - before


def correlate(
    input: Any, weights: Any, output: Any = None, mode: str = "reflect", cval: Any = 0.0,
    origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.correlate`.

    Parameters
    ----------
    input : array_like
        The image.
    weights : array_like, of the rank of `input` or as many dimensions as `axes`
        The weights.
    output : dtype, optional
        Of the result; that of `input` by default.
    mode : str, optional
        What is beyond the borders: reflect (grid-mirror), mirror, nearest, constant
        (grid-constant), wrap (grid-wrap).
    cval : scalar, optional
        What is there with constant.
    origin : int or one an axis, optional
        By how much the weights are moved.
    axes : optional
        The axes that `weights` has.

    Returns
    -------
    Array, shape of `input`
        The sums of the neighbours, each times its weight, conjugated if it is complex.

    Raises
    ------
    ShapeError
        If the ranks differ, an origin is outside of the weights, or the mode is not known.
    """
    return _correlated("correlate", input, tnp.conj(weights), output, mode, cval, origin, axes)


def _correlated(name: str, input: Any, weights: Any, output: Any, mode: str, cval: Any,
                origin: Any, axes: Any) -> Any:  # fmt: skip
    x, dtype = image(input)
    dtype = kind_of_result(name, output, dtype)
    k, _ = image(weights)
    used = axes_of(name, axes, x.ndim)
    if k.ndim != len(used):
        raise ShapeError(f"{name}: weights of rank {len(used)}; got shape {k.shape}")
    order = np.argsort(used)
    sizes, origins = [1] * x.ndim, [0] * x.ndim
    moves = one_each(name, "origin", origin, len(used))
    for place, axis in enumerate(used):
        sizes[axis], origins[axis] = k.shape[place], int(moves[place])
    k = tnp.transpose(k, order).reshape(sizes)
    widths = [_spread(n, o, name) for n, o in zip(sizes, origins, strict=True)]
    x = beyond(name, x, widths, mode, cval)
    kind = tnp.result_type(x, k)
    if not tnp.issubdtype(x.dtype, np.complexfloating) and x.dtype != kind == np.float64:
        k = k.astype(x.dtype)  # constants of double precision do not widen an image
    return signal.convolve(x, tnp.flip(k), "valid", "direct").astype(dtype)


def convolve(
    input: Any, weights: Any, output: Any = None, mode: str = "reflect", cval: Any = 0.0,
    origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.convolve`; see :func:`correlate` for the arguments."""
    k = tnp.asarray(weights)
    moves = [-int(o) for o in one_each("convolve", "origin", origin, k.ndim)]
    moves = [o - (n % 2 == 0) for o, n in zip(moves, k.shape, strict=True)]
    return _correlated("convolve", input, tnp.flip(k), output, mode, cval, moves, axes)


def correlate1d(
    input: Any, weights: Any, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.correlate1d`: along one axis, with weights of shape (n,).

    See :func:`correlate` for the other arguments.
    """
    return _correlated("correlate1d", input, tnp.conj(weights), output, mode, cval, origin, axis)


def convolve1d(
    input: Any, weights: Any, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.convolve1d`; see :func:`correlate1d` for the arguments."""
    return convolve(input, weights, output, mode, cval, origin, axes=axis)


# ------------------------------------------------------------------------- means


def uniform_filter1d(
    input: Any, size: int, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.uniform_filter1d`: means of `size` neighbours along an axis."""
    x, dtype = image(input)
    weights = tnp.full(size, 1 / size, x.real.dtype)
    kind = kind_of_result("uniform_filter1d", output, dtype)
    whole = tnp.issubdtype(kind, np.integer)
    if whole:  # a mean that is a whole number is not rounded down
        weights = tnp.ones(size, x.dtype)
    out = _correlated("uniform_filter1d", x, weights, x.dtype, mode, cval, origin, axis)
    return (out / size if whole else out).astype(kind)


def uniform_filter(
    input: Any, size: Any = 3, output: Any = None, mode: Any = "reflect", cval: Any = 0.0,
    origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.uniform_filter`: means of neighbours, axis by axis.

    Parameters
    ----------
    input : array_like
        The image.
    size : int or one an axis, optional
        How many neighbours.
    output, cval
        As in :func:`correlate`.
    mode, origin : optional
        As there, or one an axis.
    axes : optional
        The axes to filter; all by default.
    """
    x = tnp.asarray(input)
    used = axes_of("uniform_filter", axes, x.ndim)
    kind = kind_of_result("uniform_filter", output, x.dtype)
    rows = _rows("uniform_filter", used, size=size, mode=mode, origin=origin)
    for axis, (n, how, move) in zip(used, rows, strict=True):
        if n > 1:
            x = uniform_filter1d(x, int(n), axis, kind, how, cval, move)
    return x.astype(kind)


def _rows(name: str, used: tuple[int, ...], **values: Any) -> list[tuple[Any, ...]]:
    each = [one_each(name, what, value, len(used)) for what, value in values.items()]
    return list(zip(*each, strict=True))


# ----------------------------------------------------------------------- Gaussians


def _gaussian(sigma: Any, order: int, radius: int) -> Any:
    """Return a normal density at whole numbers, of sum 1, or its derivative.

    A derivative is the density times a polynomial: ``q[k+1] = -(x q[k] + k q[k-1]) / sigma**2``.
    """
    # Known deviations give constant weights, exactly SciPy's.
    module: Any = np if isinstance(sigma, (int, float, np.number)) else tnp
    x = module.arange(-radius, radius + 1) * 1.0
    density = module.exp(-(x**2) / (2 * sigma**2))
    density = density / module.sum(density)
    before, q = 0 * x, 1 + 0 * x
    for k in range(order):
        before, q = q, -(x * q + k * before) / sigma**2
    return q * density


def gaussian_filter1d(
    input: Any, sigma: Any, axis: int = -1, order: int = 0, output: Any = None,
    mode: str = "reflect", cval: Any = 0.0, truncate: float = 4.0, *, radius: int | None = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.gaussian_filter1d`.

    Parameters
    ----------
    input, output, mode, cval
        As in :func:`correlate`.
    sigma : float
        The standard deviation; with `radius` it may be traced, and has derivatives.
    axis : int, optional
        The axis.
    order : int, optional
        Of the derivative of the Gaussian to convolve with.
    truncate : float, optional
        The reach in standard deviations.
    radius : int, optional
        The reach, instead.

    Raises
    ------
    ShapeError
        If the radius is negative.
    """
    reach = int(truncate * float(sigma) + 0.5) if radius is None else radius
    if reach < 0 or order < 0:
        raise ShapeError("gaussian_filter1d: radius and order must be 0 or more")
    weights = _gaussian(sigma, order, reach)[::-1]
    return _correlated("gaussian_filter1d", input, weights, output, mode, cval, 0, axis)


def gaussian_filter(
    input: Any, sigma: Any, order: Any = 0, output: Any = None, mode: Any = "reflect",
    cval: Any = 0.0, truncate: float = 4.0, *, radius: Any = None, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.gaussian_filter`: axis by axis.

    Parameters
    ----------
    input, output, cval, truncate
        As in :func:`gaussian_filter1d`.
    sigma, order, mode, radius : optional
        As there, or one an axis.
    axes : optional
        The axes to filter; all by default.
    """
    x = tnp.asarray(input)
    kind = kind_of_result("gaussian_filter", output, x.dtype)
    used = axes_of("gaussian_filter", axes, x.ndim)
    rows = _rows("gaussian_filter", used, sigma=sigma, order=order, mode=mode, radius=radius)
    for axis, (width, degree, how, reach) in zip(used, rows, strict=True):
        if reach is not None or width > 1e-15:
            x = gaussian_filter1d(
                x, width, axis, degree, kind, how, cval, truncate, radius=reach
            )
    return x.astype(kind)


# --------------------------------------------------------------------- derivatives


def _edge(name: str, input: Any, axis: int, output: Any, mode: Any, cval: Any,
          smooth: list[int]) -> Any:  # fmt: skip
    x = tnp.asarray(input)
    (axis,) = axes_of(name, axis, x.ndim)
    modes = one_each(name, "mode", mode, x.ndim)
    kind = kind_of_result(name, output, x.dtype)
    out = correlate1d(x, [-1, 0, 1], axis, kind, modes[axis], cval)
    for other in range(x.ndim):
        if other != axis:
            out = correlate1d(out, smooth, other, kind, modes[other], cval)
    return out


def sobel(
    input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
) -> Any:
    """As :func:`scipy.ndimage.sobel`; `mode` may be one an axis."""
    return _edge("sobel", input, axis, output, mode, cval, [1, 2, 1])


def prewitt(
    input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
) -> Any:
    """As :func:`scipy.ndimage.prewitt`; `mode` may be one an axis."""
    return _edge("prewitt", input, axis, output, mode, cval, [1, 1, 1])


Derivative = Callable[..., Any]


def _along(name: str, input: Any, derivative: Derivative, output: Any, mode: Any, cval: Any,
           args: Any, keywords: Any, axes: Any) -> tuple[list[Any], Any]:  # fmt: skip
    x = tnp.asarray(input)
    used = axes_of(name, axes, x.ndim)
    kind = kind_of_result(name, output, x.dtype)
    modes = one_each(name, "mode", mode, len(used))
    found = [
        derivative(x, axis, kind, how, cval, *args, **(keywords or {}))
        for axis, how in zip(used, modes, strict=True)
    ]
    return found or [x.astype(kind)], kind


def generic_laplace(
    input: Any, derivative2: Derivative, output: Any = None, mode: Any = "reflect",
    cval: Any = 0.0, extra_arguments: Any = (), extra_keywords: Any = None, *, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.generic_laplace`: the sum of second derivatives.

    Parameters
    ----------
    input, output, mode, cval, axes
        As in :func:`gaussian_filter`.
    derivative2 : callable
        Of the image, an axis, the dtype of the result, `mode` and `cval`, and of the rest.
    extra_arguments, extra_keywords : optional
        The rest.
    """
    found, _ = _along("generic_laplace", input, derivative2, output, mode, cval,
                      extra_arguments, extra_keywords, axes)  # fmt: skip
    total = found[0]
    for more in found[1:]:
        total = total + more
    return total


def _second(x: Any, axis: int, output: Any, mode: str, cval: Any) -> Any:
    return correlate1d(x, [1, -2, 1], axis, output, mode, cval)


def laplace(
    input: Any, output: Any = None, mode: Any = "reflect", cval: Any = 0.0, *, axes: Any = None
) -> Any:
    """As :func:`scipy.ndimage.laplace`: the sum of second differences."""
    return generic_laplace(input, _second, output, mode, cval, axes=axes)


def _gaussian_derivative(
    order: int, sigma: Any, axes: Any, keywords: dict[str, Any]
) -> Derivative:
    """Return the derivative of an order along one axis of what :func:`gaussian_filter` smooths."""

    def derivative(x: Any, axis: int, output: Any, mode: str, cval: Any) -> Any:
        orders = [order if a == axis else 0 for a in axes_of("gaussian", axes, x.ndim)]
        return gaussian_filter(x, sigma, orders, output, mode, cval, axes=axes, **keywords)

    return derivative


def gaussian_laplace(
    input: Any, sigma: Any, output: Any = None, mode: Any = "reflect", cval: Any = 0.0, *,
    axes: Any = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.gaussian_laplace`; the rest is for :func:`gaussian_filter`."""
    derivative = _gaussian_derivative(2, sigma, axes, kwargs)
    return generic_laplace(input, derivative, output, mode, cval, axes=axes)


def generic_gradient_magnitude(
    input: Any, derivative: Derivative, output: Any = None, mode: Any = "reflect",
    cval: Any = 0.0, extra_arguments: Any = (), extra_keywords: Any = None, *, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.generic_gradient_magnitude`.

    See :func:`generic_laplace` for the arguments.
    """
    found, kind = _along("generic_gradient_magnitude", input, derivative, output, mode, cval,
                         extra_arguments, extra_keywords, axes)  # fmt: skip
    total = found[0] * found[0]
    for more in found[1:]:
        total = total + more * more
    return tnp.sqrt(total).astype(kind)


def gaussian_gradient_magnitude(
    input: Any, sigma: Any, output: Any = None, mode: Any = "reflect", cval: Any = 0.0, *,
    axes: Any = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.gaussian_gradient_magnitude`."""
    derivative = _gaussian_derivative(1, sigma, axes, kwargs)
    return generic_gradient_magnitude(input, derivative, output, mode, cval, axes=axes)
