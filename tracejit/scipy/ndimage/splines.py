"""Images between their points: B-splines of orders 0 to 5, and transformations of coordinates.

The coefficients of orders above 1 come from the recursive filters of M. Unser (1999), *Splines: a
perfect fit for signal and image processing*; a point is a sum over the (order + 1) nearest
coefficients along each axis.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.control.scan import scan
from tracejit.core.errors import ShapeError
from tracejit.scipy.ndimage.borders import PADS, beyond, image, kind_of_result

__all__ = ["map_coordinates", "spline_filter", "spline_filter1d"]

POLES: dict[int, tuple[float, ...]] = {
    2: (math.sqrt(8) - 3,),
    3: (math.sqrt(3) - 2,),
    4: (math.sqrt(664 - math.sqrt(438976)) + math.sqrt(304) - 19,
        math.sqrt(664 + math.sqrt(438976)) - math.sqrt(304) - 19),
    5: (math.sqrt(67.5 - math.sqrt(4436.25)) + math.sqrt(26.25) - 6.5,
        math.sqrt(67.5 + math.sqrt(4436.25)) - math.sqrt(26.25) - 6.5),
}  # fmt: skip
"""Poles of the filters, by order."""

MARGIN = 12
"""Points that SciPy puts round an image whose border does not fit a filter."""


def _check(name: str, order: int, mode: str) -> None:
    if order not in range(6):
        raise ShapeError(f"{name}: order must be from 0 to 5; got {order}")
    if mode not in PADS:
        raise ShapeError(f"{name}: mode must be one of {', '.join(PADS)}; got {mode!r}")


# -------------------------------------------------------------------------- coefficients


def spline_filter1d(
    input: Any, order: int = 3, axis: int = -1, output: Any = np.float64, mode: str = "mirror"
) -> Any:
    """As :func:`scipy.ndimage.spline_filter1d`: the coefficients of splines along an axis.

    Parameters
    ----------
    input : array_like
        The samples.
    order : int, optional
        Of the splines, from 0 to 5.
    axis : int, optional
        The axis.
    output : dtype, optional
        Of the result.
    mode : str, optional
        What is beyond the borders.

    Returns
    -------
    Array, shape of `input`
        The coefficients.
    """
    _check("spline_filter1d", order, mode)
    x, _ = image(input)
    x = x.astype(tnp.result_type(x, kind_of_result("spline_filter1d", output, np.float64)))
    return _coefficients(x, order, axis, mode)


def _coefficients(x: Any, order: int, axis: int, mode: str) -> Any:
    n = x.shape[axis]
    if order < 2 or n < 2:
        return x
    x = tnp.moveaxis(x, axis, 0)
    for z in POLES[order]:
        x = x * ((1 - z) * (1 - 1 / z))
    for z in POLES[order]:
        x = _filtered(x, z, n, mode)
    return tnp.moveaxis(x, 0, axis)


def _filtered(x: Any, z: float, n: int, mode: str) -> Any:
    """Run ``c[i] = x[i] + z c[i-1]``, then ``d[i] = z (d[i+1] - c[i])``, with steady starts.

    (SciPy's start for reflect is off by ``z**n``; this one reproduces the samples.)
    """
    powers = z ** np.arange(n)
    if mode in ("grid-wrap",):
        first = np.concatenate([[1.0], powers[:0:-1]]) / (1 - z**n)
    elif mode in ("reflect", "grid-mirror", "nearest"):
        first = z * (powers + z**n * powers[::-1]) / (1 - z ** (2 * n))
        first[0] += 1
    else:
        first = powers + z ** (2 * n - 2.0 - np.arange(n))
        first[0] = 1
        first[-1] = powers[-1]
        first = first / (1 - z ** (2 * n - 2))
    start = tnp.tensordot(first.astype(x.real.dtype), x, 1)

    def causal(c: Any, value: Any) -> Any:
        new = value + z * c
        return new, new

    _, rest = scan(causal, start, x[1:])
    c = tnp.concatenate([start[None], rest])
    if mode in ("grid-wrap",):
        weights = np.concatenate([powers[1:], [1.0]])
        end = tnp.tensordot(weights.astype(x.real.dtype), c, 1) * (-z / (1 - z**n))
    elif mode in ("reflect", "grid-mirror", "nearest"):
        end = c[-1] * (z / (z - 1))
    else:
        end = (z * c[-2] + c[-1]) * (z / (z * z - 1))

    def back(d: Any, value: Any) -> Any:
        new = z * (d - value)
        return new, new

    _, before = scan(back, end, c[:-1], reverse=True)
    return tnp.concatenate([before, end[None]])


def spline_filter(
    input: Any, order: int = 3, output: Any = np.float64, mode: str = "mirror"
) -> Any:
    """As :func:`scipy.ndimage.spline_filter`: :func:`spline_filter1d` along every axis."""
    _check("spline_filter", order, mode)
    x, _ = image(input)
    x = x.astype(tnp.result_type(x, kind_of_result("spline_filter", output, np.float64)))
    for axis in range(x.ndim):
        x = _coefficients(x, order, axis, mode)
    return x


# --------------------------------------------------------------------------------- points


def _weights(t: Any, order: int) -> list[Any]:
    """Return the B-splines that are not 0 at ``0 <= t < 1`` of a cell (de Boor's recursion)."""
    weights = [tnp.ones_like(t)]
    for degree in range(1, order + 1):
        saved = tnp.zeros_like(t)
        new = []
        for place, weight in enumerate(weights):
            share = weight / degree
            new.append(saved + (place + 1 - t) * share)
            saved = (t + (degree - place - 1)) * share
        weights = [*new, saved]
    return weights


def _within(x: Any, n: int, mode: str) -> Any:
    """Return coordinates within an axis of `n` points, where the image is the same."""
    if mode == "nearest":
        return tnp.clip(x, 0, n - 1)
    if mode == "grid-wrap":
        return tnp.mod(x, n)
    if mode in ("reflect", "grid-mirror"):
        x = tnp.mod(x, 2 * n)
        return tnp.where(x >= n, 2 * n - 1 - x, x)
    if mode == "mirror":
        if n == 1:
            return tnp.zeros_like(x)
        x = tnp.mod(x, 2 * n - 2)
        return tnp.where(x > n - 1, 2 * n - 2 - x, x)
    if mode == "wrap":  # the last point is the first one
        inside = (x >= 0) & (x <= n - 1)
        return tnp.where(inside, x, tnp.mod(x, n - 1)) if n > 1 else tnp.zeros_like(x)
    return x


def _index(i: Any, n: int, mode: str) -> Any:
    if mode == "grid-wrap":
        return i % n
    if mode in ("reflect", "grid-mirror"):
        i = i % (2 * n)
        return tnp.minimum(i, 2 * n - 1 - i)
    if mode in ("nearest", "grid-constant") or n == 1:
        return tnp.clip(i, 0, n - 1)
    i = i % (2 * n - 2)
    return tnp.minimum(i, 2 * n - 2 - i)


def map_coordinates(
    input: Any, coordinates: Any, order: int = 3, mode: str = "constant", cval: Any = 0.0,
    prefilter: bool = True, *, output: Any = None,
) -> Any:  # fmt: skip
    """Values of an image at coordinates, as :func:`scipy.ndimage.map_coordinates`.

    Parameters
    ----------
    input : array_like, of rank n
        The image.
    coordinates : array_like, shape (n, ...), or a sequence of n arrays
        Where, in points of the image.
    order : int, optional
        Of the splines, from 0 to 5.  (It is the third argument as in JAX; `output` is by name.)
    mode : str, optional
        Beyond the image: constant (`cval` from the border on), grid-constant (interpolated
        between the border and `cval`, which JAX does with constant), nearest, mirror, reflect or
        grid-mirror, wrap (the last point is the first one), grid-wrap (it is not; JAX's wrap).
    cval : scalar, optional
        The value there with constant.
    prefilter : bool, optional
        Whether `input` has samples, and not coefficients of splines.
    output : dtype, optional
        Of the result; that of `input` by default, rounded for integers.

    Returns
    -------
    Array, shape of one coordinate
        The values.

    Raises
    ------
    ShapeError
        If there is not one coordinate an axis, or the order or the mode is not known.

    Notes
    -----
    Differentiable by the image and, but at the knots of orders 0 and 1, by the coordinates.
    """
    _check("map_coordinates", order, mode)
    x, dtype = image(input)
    kind = kind_of_result("map_coordinates", output, dtype)
    where = [tnp.asarray(c) for c in coordinates]
    if len(where) != x.ndim:
        raise ShapeError(
            f"map_coordinates: one coordinate an axis, {x.ndim}; got {len(where)}"
        )
    where = list(tnp.broadcast_arrays(*where)) if where else []
    margin = 0
    if prefilter and order > 1:
        if mode in ("nearest", "grid-constant"):
            margin = MARGIN
            x = beyond("map_coordinates", x, [(margin, margin)] * x.ndim, mode, cval)
        for axis in range(x.ndim):
            x = _coefficients(x, order, axis, mode)
    taps, outside = _taps(x, where, order, mode, margin)
    out: Any = 0
    for tap in itertools.product(*taps):
        value = x[tuple(index for index, _, _ in tap)]
        for _, _, missing in tap:
            if missing is not None:
                value = tnp.where(missing, cval, value)
        for _, weight, _ in tap:
            value = value * weight
        out = out + value
    if outside is not None:
        out = tnp.where(outside, cval, out)
    return _rounded(tnp.asarray(out), kind)


def _taps(x: Any, where: list[Any], order: int, mode: str, margin: int) -> tuple[Any, Any]:
    """Return, for each axis, indices, weights and what is missing; and which points are outside."""
    taps: list[Any] = []
    outside = None
    for n, c in zip(x.shape, where, strict=True):
        if not tnp.issubdtype(c.dtype, np.inexact):
            c = c.astype(np.float64)
        c = c + margin if margin else c
        if mode == "constant":
            beyond_it = (c < 0) | (c > n - 1)
            outside = beyond_it if outside is None else outside | beyond_it
        c = _within(c, n, mode)
        odd = order % 2
        cell = tnp.floor(c if odd else c + 0.5)
        t = c - cell if odd else c + 0.5 - cell
        if not tnp.issubdtype(x.dtype, np.complexfloating) or t.dtype != np.float64:
            t = t.astype(x.real.dtype)
        first = cell.astype(np.int64) - order // 2
        line = []
        for step, weight in enumerate(_weights(t, order)):
            i = first + step
            missing = (i < 0) | (i >= n) if mode == "grid-constant" else None
            line.append((_index(i, n, mode), weight, missing))
        taps.append(line)
    return taps, outside


def _rounded(x: Any, kind: Any) -> Any:
    if not np.issubdtype(kind, np.integer):
        return x.astype(kind)
    limits = np.iinfo(kind)
    whole = tnp.sign(x) * tnp.floor(tnp.abs(x) + 0.5)
    return tnp.clip(whole, limits.min, limits.max).astype(kind)
