"""Sums, means and the like over labelled regions."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.ops.segments import segment_max, segment_min, segment_sum

__all__ = [
    "center_of_mass", "maximum", "mean", "minimum", "standard_deviation", "sum_labels",
    "variance",
]  # fmt: skip


def _regions(name: str, input: Any, labels: Any, index: Any) -> tuple[Any, Any, Any, int]:
    """Return values, their places in the ordered `index`, its shape and order, and its size.

    Values of other labels have the place behind the last.
    """
    x = tnp.asarray(input)
    x = x if tnp.issubdtype(x.dtype, np.inexact) else x.astype(np.float64)
    if labels is None:
        if index is not None:
            raise ShapeError(f"{name}: index needs labels")
        return x.ravel(), tnp.zeros(x.size, np.int32), (), 1
    labels = tnp.broadcast_to(tnp.asarray(labels), x.shape).ravel()
    if index is None:
        return x.ravel(), tnp.where(labels > 0, 0, 1).astype(np.int32), (), 1
    wanted = tnp.asarray(index)
    flat = wanted.ravel()
    order = tnp.argsort(flat)
    ordered = flat[order]
    count = flat.shape[0]
    place = tnp.clip(tnp.searchsorted(ordered, labels), 0, max(count - 1, 0))
    found = ordered[place] == labels
    # Of a label that is named twice the first has all the values; `_firsts` reads it for both.
    return x.ravel(), tnp.where(found, place, count).astype(np.int32), (wanted.shape, order), count


def _back(values: Any, shape: Any) -> Any:
    if shape == ():
        return values[0]
    wanted, order = shape
    return tnp.zeros_like(values).at[order].set(values).reshape(wanted)


def _firsts(index: Any, shape: Any, values: Any) -> Any:
    """Return the values of an ordered index, those of a label that is named again from before."""
    if shape == ():
        return values
    flat = tnp.asarray(index).ravel()[shape[1]]
    return values[tnp.searchsorted(flat, flat)]


def _sums(name: str, input: Any, labels: Any, index: Any, *powers: Any) -> list[Any]:
    x, place, shape, count = _regions(name, input, labels, index)
    out = []
    for power in powers:
        total = segment_sum(power(x), place, count + 1)[:count]
        out.append(_back(_firsts(index, shape, total), shape))
    return out


def sum_labels(input: Any, labels: Any = None, index: Any = None) -> Any:
    """As :func:`scipy.ndimage.sum_labels`.

    Parameters
    ----------
    input : array_like
        Values.
    labels : array_like of int, optional
        The region of each value, of a shape that broadcasts; by default there is one region.
    index : int or array_like, optional
        The labels of the regions wanted; by default all that are above 0 are one region.

    Returns
    -------
    Array, shape of `index`
        The sums; 0 for regions without values.
    """
    return _sums("sum_labels", input, labels, index, lambda x: x)[0]


def mean(input: Any, labels: Any = None, index: Any = None) -> Any:
    """As :func:`scipy.ndimage.mean`; NaN for regions without values.  See :func:`sum_labels`."""
    total, count = _sums("mean", input, labels, index, lambda x: x, tnp.ones_like)
    return total / count


def variance(input: Any, labels: Any = None, index: Any = None) -> Any:
    """As :func:`scipy.ndimage.variance`: mean square distances from the mean of each region."""
    x, place, shape, count = _regions("variance", input, labels, index)
    number = segment_sum(tnp.ones_like(x), place, count + 1)
    centre = segment_sum(x, place, count + 1) / tnp.where(number == 0, 1, number)
    away = x - centre[place]
    total = segment_sum(tnp.abs(away) ** 2, place, count + 1) / number
    return _back(_firsts(index, shape, total[:count]), shape)


def standard_deviation(input: Any, labels: Any = None, index: Any = None) -> Any:
    """As :func:`scipy.ndimage.standard_deviation`: the square root of :func:`variance`."""
    return tnp.sqrt(variance(input, labels, index))


def _extreme(name: str, input: Any, labels: Any, index: Any, reduce: Any) -> Any:
    dtype = tnp.asarray(input).dtype
    x, place, shape, count = _regions(name, input, labels, index)
    found = reduce(x, place, count + 1)[:count]
    empty = segment_sum(tnp.ones_like(x), place, count + 1)[:count] == 0
    found = tnp.where(empty, 0, found).astype(dtype)
    return _back(_firsts(index, shape, found), shape)


def maximum(input: Any, labels: Any = None, index: Any = None) -> Any:
    """As :func:`scipy.ndimage.maximum`; 0 for regions without values.  See :func:`sum_labels`."""
    return _extreme("maximum", input, labels, index, segment_max)


def minimum(input: Any, labels: Any = None, index: Any = None) -> Any:
    """As :func:`scipy.ndimage.minimum`; 0 for regions without values.  See :func:`sum_labels`."""
    return _extreme("minimum", input, labels, index, segment_min)


def center_of_mass(input: Any, labels: Any = None, index: Any = None) -> Any:
    """As :func:`scipy.ndimage.center_of_mass`, as an Array of shape ``(*index.shape, rank)``."""
    x = tnp.asarray(input)
    mass = sum_labels(x, labels, index)
    grids = np.meshgrid(*(np.arange(n) * 1.0 for n in x.shape), indexing="ij")
    return tnp.stack([sum_labels(x * g, labels, index) / mass for g in grids], -1)
