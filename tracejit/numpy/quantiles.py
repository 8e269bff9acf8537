"""Quantiles, percentiles and medians, also of what is left when NaN are left out.

References
----------
R. J. Hyndman, Y. Fan, "Sample quantiles in statistical packages", The American Statistician 50
(1996): the methods.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES, is_bool, is_complex, is_inexact, real_of
from tracejit.numpy.logic import equal, greater, greater_equal, isnan, less, logical_and, logical_or
from tracejit.numpy.manipulation import moveaxis
from tracejit.numpy.promotion import (
    array_of,
    cast,
    common_dtype,
    concrete_value,
    no_out,
    normal_axes,
    operand,
)
from tracejit.numpy.reductions import all as reduce_and
from tracejit.numpy.reductions import any as reduce_or
from tracejit.numpy.reductions import cumsum
from tracejit.numpy.reductions import sum as sum_of
from tracejit.numpy.searching import argsort, take_along_axis, where
from tracejit.numpy.ufuncs import add, floor, maximum, minimum, multiply, subtract, true_divide
from tracejit.ops import indexing, sorting
from tracejit.ops.logical import not_, select
from tracejit.ops.shape import broadcast_in_dim, full, reshape
from tracejit.ops.slicing import slice_

__all__ = [
    "F64", "I64", "median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile",
]  # fmt: skip

F64 = DTYPES["f64"]
I64 = DTYPES["i64"]

# The parameters alpha and beta of the continuous methods.
_CONTINUOUS = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
_STEPS = ("inverted_cdf", "closest_observation", "lower", "higher", "nearest")
_METHODS = ("linear", "midpoint", "averaged_inverted_cdf", *_CONTINUOUS, *_STEPS)
_MIDDLE = "middle"  # of the median: the mean of the two elements, infinite if both are


def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """As :func:`numpy.quantile`, all its methods; weights by the method inverted_cdf."""
    del overwrite_input
    return _quantile("quantile", a, q, axis, out, method, keepdims, weights, False)


def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """As :func:`numpy.nanquantile`; NaN, without a warning, where all are."""
    del overwrite_input
    return _quantile("nanquantile", a, q, axis, out, method, keepdims, weights, True)


def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """As :func:`numpy.percentile`, all its methods; weights by the method inverted_cdf."""
    del overwrite_input
    return _quantile("percentile", a, q, axis, out, method, keepdims, weights, False)


def nanpercentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """As :func:`numpy.nanpercentile`; NaN, without a warning, where all are."""
    del overwrite_input
    return _quantile("nanpercentile", a, q, axis, out, method, keepdims, weights, True)


def median(
    a: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Any:
    """As :func:`numpy.median`."""
    del overwrite_input
    return _quantile("median", a, 0.5, axis, out, _MIDDLE, keepdims, None, False)


def nanmedian(
    a: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Any:
    """As :func:`numpy.nanmedian`; NaN, without a warning, where all are."""
    del overwrite_input
    return _quantile("nanmedian", a, 0.5, axis, out, _MIDDLE, keepdims, None, True)


def _wanted(name: str, q: Any) -> tuple[Any, Any]:
    """Return the probabilities in float64, and what their dtype is decided by."""
    place = operand(q)
    if is_complex(get_aval(place).dtype):
        raise DTypeError(f"{name}: q must be real; got {get_aval(place).dtype}")
    value = concrete_value(place)
    percent = name.endswith("percentile")
    most = 100 if percent else 1
    if value is not None and not np.all((np.asarray(value) >= 0) & (np.asarray(value) <= most)):
        raise ShapeError(f"{name}: q must be between 0 and {most}; got {value}")
    if value is None or isinstance(place, Tracer):
        p = cast(place, F64)
        return (multiply(p, 0.01) if percent else p), p
    p = np.asarray(value, np.float64)
    weak = type(place) in (bool, int, float)
    return (p / 100 if percent else p)[()], float(value) if weak else p


def _quantile(
    name: str,
    a: Any,
    q: Any,
    axis: Any,
    out: Any,
    method: str,
    keepdims: bool,
    weights: Any,
    skips_nan: bool,
) -> Any:
    no_out(name, out)
    if method not in _METHODS and method is not _MIDDLE:
        raise ShapeError(f"{name}: method must be one of {', '.join(_METHODS)}; got {method!r}")
    x = array_of(a)
    own = get_aval(x).dtype
    if weights is not None and method != "inverted_cdf":
        raise ShapeError(f"{name}: weights= needs method='inverted_cdf'; got {method!r}")
    if method is not _MIDDLE and (is_complex(own) or (is_bool(own) and method not in _STEPS)):
        raise DTypeError(f"{name}: {own} has no quantiles; convert it first")
    p, decides = _wanted(name, q)
    if method in _STEPS:
        dtype = own
    elif is_inexact(own):
        dtype = common_dtype([x, decides])[0]
    else:
        dtype = F64
    shape = get_aval(p).shape
    rank = get_aval(x).ndim
    axes = normal_axes(name, axis, rank)
    lengths = get_aval(x).shape
    kept = [d for i, d in enumerate(lengths) if i not in axes]
    n = math.prod(d for i, d in enumerate(lengths) if i in axes)
    x = reshape(moveaxis(x, axes, range(rank - len(axes), rank)), (*kept, n))
    if not n and method is _MIDDLE:
        return full([1 if i in axes else d for i, d in enumerate(lengths)] if keepdims else kept,
                    np.nan, dtype)  # fmt: skip
    if not n and skips_nan:
        dtype = dtype if is_inexact(dtype) else F64
        ones = [1 if i in axes else d for i, d in enumerate(lengths)]
        return full((*shape, *(ones if keepdims else kept)), np.nan, dtype)
    if not n:
        raise ShapeError(f"{name}: an empty array has none; got shape {lengths}")
    last = len(kept)
    if weights is not None:
        w = _weights_beside(name, weights, lengths, axes, (*kept, n))
        result = _weighted(cast(x, dtype), w, p, skips_nan)
    elif skips_nan and is_inexact(dtype):
        x = sorting.sort(cast(x, dtype), last)
        count = sum_of(not_(isnan(x)), -1, keepdims=True)
        flat = reshape(array_of(p), (math.prod(shape),))
        result = _between(x, *_neighbours(flat, count, method), dtype, method, None)
        result = where(equal(count, 0), dtype.type(np.nan), result)
        result = reshape(result, (*kept, *shape))
    else:
        x = sorting.sort(cast(x, dtype), last)
        result = _between(x, *_neighbours(p, n, method), dtype, method, last)
        if is_inexact(dtype):  # NaN sorts last, and spoils every quantile of its slice
            end = slice_(x, [0] * last + [n - 1], [*kept, n])
            spoiled = reshape(isnan(end), kept)
            spoiled = broadcast_in_dim(spoiled, get_aval(result).shape, range(last))
            result = select(spoiled, dtype.type(np.nan), result)
    if shape:
        result = moveaxis(result, range(last, last + len(shape)), range(len(shape)))
    if keepdims:
        ones = [1 if i in axes else d for i, d in enumerate(lengths)]
        result = reshape(result, (*shape, *ones))
    return result


def _weights_beside(
    name: str, weights: Any, lengths: tuple[int, ...], axes: tuple[int, ...], shape: Any
) -> Any:
    """Return the weights in the shape of the slices, one after another along the last axis."""
    w = array_of(operand(weights))
    own = get_aval(w).shape
    if own != lengths:
        if own != tuple(lengths[a] for a in axes):
            raise ShapeError(
                f"{name}: weights must have the shape of the operand, or of its axes {axes}; got "
                f"{own} for {lengths}"
            )
        return broadcast_in_dim(
            reshape(w, (math.prod(own),)), shape, (len(shape) - 1,)
        )
    rank = len(lengths)
    return reshape(moveaxis(w, axes, range(rank - len(axes), rank)), shape)


def _weighted(x: Any, weights: Any, p: Any, skips_nan: bool) -> Any:
    """Return where the sums of the weights reach each share; shape (..., *shape of p)."""
    dtype, shape = get_aval(x).dtype, get_aval(p).shape
    missing = isnan(x) if is_inexact(dtype) else None
    if missing is not None and skips_nan:
        weights = where(missing, 0, weights)
    order = argsort(x, -1)
    x, weights = take_along_axis(x, order, -1), take_along_axis(weights, order, -1)
    sums = cumsum(weights, -1, dtype=F64)
    sums = true_divide(sums, sums[..., -1:])
    sums = where(equal(sums, 0.0), -1.0, sums)  # what weighs nothing is not the least either
    flat = reshape(array_of(p), (math.prod(shape), 1))
    below = sum_of(less(sums[..., None, :], flat), -1)
    result = take_along_axis(x, minimum(below, get_aval(x).shape[-1] - 1), -1)
    if missing is not None:
        spoiled = reduce_and(missing, -1) if skips_nan else reduce_or(missing, -1)
        result = where(spoiled[..., None], dtype.type(np.nan), result)
    return reshape(result, (*get_aval(x).shape[:-1], *shape))


def _neighbours(p: Any, count: Any, method: str) -> tuple[Any, Any, Any]:
    """Return the places of the two elements about a quantile, and the weight of the second."""
    n = np.float64(count) if isinstance(count, int) else cast(count, F64)
    if method in _CONTINUOUS:
        alpha, beta = _CONTINUOUS[method]
        at = subtract(add(multiply(n, p), add(alpha, multiply(p, 1 - alpha - beta))), 1.0)
    elif method in ("inverted_cdf", "averaged_inverted_cdf"):
        at = subtract(multiply(n, p), 1.0)
    elif method == "closest_observation":
        at = subtract(multiply(n, p), 1.5)
    else:
        at = multiply(subtract(n, 1.0), p)
    below = floor(at)
    weight = subtract(at, below)
    between = greater(weight, 0.0)
    odd = equal(subtract(below, multiply(2.0, floor(multiply(below, 0.5)))), 1.0)
    if method == "lower":
        weight = multiply(weight, 0.0)
    elif method in ("higher", "inverted_cdf"):
        weight = where(between, 1.0, 0.0)
    elif method == "nearest":
        up = logical_or(greater(weight, 0.5), logical_and(equal(weight, 0.5), odd))
        weight = where(up, 1.0, 0.0)
    elif method == "closest_observation":
        weight = where(logical_or(between, equal(odd, False)), 1.0, 0.0)
    elif method in ("midpoint", _MIDDLE):
        weight = where(between, 0.5, 0.0)
    elif method == "averaged_inverted_cdf":
        weight = where(between, 1.0, 0.5)
    last = maximum(subtract(n, 1.0), 0.0)
    low = cast(minimum(maximum(below, 0.0), last), I64)
    high = cast(minimum(maximum(add(below, 1.0), 0.0), last), I64)
    return low, high, weight


def _between(
    x: Any, low: Any, high: Any, weight: Any, dtype: np.dtype[Any], method: str, last: int | None
) -> Any:
    """Interpolate, from the nearer end as NumPy does, along the last axis of a sorted array.

    Parameters
    ----------
    x : Array, shape (..., n)
        The sorted elements.
    low, high, weight : Array
        The places of two elements, and the weight of the second.
    dtype : dtype
        Of the result.
    method : str
        See :func:`quantile`.
    last : int or None
        The number of the last axis if the places are the same for all slices.
    """

    def element(place: Any) -> Any:
        place = array_of(place)
        if last is None:
            return take_along_axis(x, place, -1, "clip")
        return indexing.take_axis(x, place, last)

    if method in _STEPS:
        return element(select(greater(weight, 0.5), high, low))
    first, second = element(low), element(high)
    part = array_of(cast(weight, real_of(dtype)))
    if last is not None:
        rank = get_aval(first).ndim
        part = broadcast_in_dim(part, get_aval(first).shape, range(last, rank))
    if method is _MIDDLE:
        # Not by the difference, which is no number for two equal infinite elements.
        half = multiply(add(first, second), dtype.type(0.5))
        return where(greater(part, 0.0), half, first)
    distance = subtract(second, first)
    forward = add(first, multiply(distance, part))
    backward = subtract(second, multiply(distance, subtract(dtype.type(1), part)))
    return where(greater_equal(part, dtype.type(0.5)), backward, forward)
