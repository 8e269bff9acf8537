"""Histograms, and how variables vary together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_bool, is_complex, is_inexact
from tracejit.numpy.creation import linspace
from tracejit.numpy.logic import equal, greater, logical_and
from tracejit.numpy.manipulation import concatenate, matrix_transpose
from tracejit.numpy.numeric import clip, diff, imag, real
from tracejit.numpy.products import diagonal, matmul
from tracejit.numpy.promotion import (
    array_of,
    beside,
    cast,
    common_dtype,
    common_inexact,
    concrete_value,
    dtype_or,
    known,
    operand,
    promote_operands,
)
from tracejit.numpy.reductions import average
from tracejit.numpy.reductions import max as max_of
from tracejit.numpy.reductions import min as min_of
from tracejit.numpy.reductions import sum as sum_of
from tracejit.numpy.searching import searchsorted, where
from tracejit.numpy.ufuncs import add, conj, multiply, sqrt, subtract, true_divide
from tracejit.ops import indexing
from tracejit.ops.complex_numbers import complex_
from tracejit.ops.shape import full, reshape

__all__ = [
    "F64", "I64", "corrcoef", "cov", "histogram", "histogram2d", "histogram_bin_edges",
    "histogramdd",
]  # fmt: skip

I64 = DTYPES["i64"]
F64 = DTYPES["f64"]


# -------------------------------------------------------------------------------- histograms


def _flat(x: Any) -> Any:
    x = array_of(x)
    if is_bool(get_aval(x).dtype):
        x = cast(x, DTYPES["u8"])
    return reshape(x, (get_aval(x).size,))


def _limits(x: Any, between: Any) -> tuple[Any, Any]:
    if between is None:
        if not get_aval(x).size:
            return 0.0, 1.0
        low, high = min_of(x), max_of(x)
        values = concrete_value(low), concrete_value(high)
        if values[0] is not None and not (np.isfinite(values[0]) and np.isfinite(values[1])):
            raise ShapeError(
                f"histogram: the range of the values must be finite; got {values[0]} to {values[1]}"
            )
    else:
        low, high = (operand(v) for v in between)
        values = concrete_value(low), concrete_value(high)
        if values[0] is not None and values[1] is not None and values[0] > values[1]:
            raise ShapeError(f"histogram: range must not decrease; got {values[0]} to {values[1]}")
    low, high = (x if is_inexact(get_aval(x).dtype) else cast(x, F64) for x in (low, high))
    half = cast(where(equal(low, high), 0.5, 0.0), common_dtype([low, high])[0])
    return subtract(low, half), add(high, half)


def _edges(x: Any, bins: Any, between: Any, weights: Any = None) -> Any:
    """Return the edges of bins of a flat array."""
    if isinstance(bins, str):
        value = known(x, "histogram()", "A rule for the number of bins needs values: give bins=n.")
        given = None if weights is None else np.asarray(known(operand(weights), "histogram()", ""))
        return beside(x, np.histogram_bin_edges(value, bins, between, given))
    if np.ndim(bins) == 0 and not hasattr(bins, "aval"):
        count = int(bins.__index__())
        if count < 1:
            raise ShapeError(f"histogram: bins must be positive; got {count}")
        low, high = _limits(x, between)
        dtype = common_dtype([low, high, x])[0]
        edges = linspace(low, high, count + 1)
        return cast(edges, dtype if is_inexact(dtype) else F64)
    edges = array_of(operand(bins))
    if get_aval(edges).ndim != 1:
        raise ShapeError(f"histogram: bins must have rank 1; got shape {get_aval(edges).shape}")
    value = concrete_value(edges)
    if value is not None and np.any(value[:-1] > value[1:]):
        raise ShapeError("histogram: the edges of bins must not decrease")
    return edges


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """As :func:`numpy.histogram_bin_edges`; a rule named by `bins` needs known values."""
    return _edges(_flat(a), bins, range, weights)


def _places(x: Any, edges: Any) -> tuple[Any, Any]:
    """Return in which bin each element is, and whether in any; the last bin includes its end."""
    count = get_aval(edges).size - 1
    after = searchsorted(edges, x, "right")
    bin_ = subtract(after, 1)
    bin_ = where(equal(x, edges[-1]), count - 1, bin_)
    inside = logical_and(equal(bin_, clip(bin_, 0, count - 1)), equal(x, x))
    return clip(bin_, 0, max(count - 1, 0)), inside


def _counted(place: Any, inside: Any, weights: Any, length: int) -> Any:
    if weights is None:
        amount = cast(inside, I64)
    else:
        w = _flat(weights)
        if get_aval(w).size != get_aval(place).size:
            raise ShapeError(
                f"histogram: weights must have the shape of the values; got {get_aval(w).size} "
                f"weights for {get_aval(place).size} values"
            )
        amount = where(inside, w, get_aval(w).dtype.type(0))
    zeros = full((length,), 0, get_aval(amount).dtype)
    lanes = (*get_aval(place).shape, 1)
    return indexing.scatter_add(zeros, reshape(place, lanes), amount, (0,), (0,))


def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Any, Any]:
    """As :func:`numpy.histogram`; a rule named by `bins` needs known values."""
    x = _flat(a)
    edges = _edges(x, bins, range, weights)
    counts = _counted(*_places(x, edges), weights, get_aval(edges).size - 1)
    if density:
        counts = true_divide(true_divide(cast(counts, F64), diff(edges)), sum_of(counts))
    return counts, edges


def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Any, list[Any]]:
    """As :func:`numpy.histogramdd`; counts are float64."""
    if isinstance(sample, (list, tuple)):
        columns = [_flat(x) for x in sample]
        columns = list(map(array_of, promote_operands(columns)))
    else:
        x = array_of(sample)
        x = reshape(x, (get_aval(x).size, 1)) if get_aval(x).ndim == 1 else x
        columns = [x[:, i] for i in _counting(get_aval(x).shape[1])]
    axes = len(columns)
    each: Sequence[Any] = [bins] * axes
    if isinstance(bins, (list, tuple)) or np.ndim(bins) == 1:
        each = list(bins)
    if len(each) != axes:
        raise ShapeError(f"histogramdd: bins for each of {axes} dimensions; got {len(each)}")
    between = [None] * axes if range is None else list(range)
    if len(between) != axes:
        raise ShapeError(f"histogramdd: a range for each of {axes} dimensions; got {len(between)}")
    edges = [_edges(x, b, r) for x, b, r in zip(columns, each, between, strict=True)]
    shape = tuple(get_aval(e).size - 1 for e in edges)
    place: Any = np.int64(0)
    inside: Any = np.bool_(True)
    for x, e, length in zip(columns, edges, shape, strict=True):
        at, within = _places(x, e)
        place = add(multiply(place, length), at)
        inside = logical_and(inside, within)
    counts = _counted(place, inside, weights, math.prod(shape))
    counts = reshape(cast(counts, F64), shape)
    if density:
        total = sum_of(counts)
        for i, e in enumerate(edges):
            width = [1] * axes
            width[i] = shape[i]
            counts = true_divide(counts, reshape(array_of(diff(e)), width))
        counts = true_divide(counts, total)
    return counts, edges


def _counting(n: int) -> Any:
    return (i for i in np.arange(n).tolist())


def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Any, Any, Any]:
    """As :func:`numpy.histogram2d`; counts are float64."""
    each = bins
    if isinstance(bins, (list, tuple)) or (not isinstance(bins, (str, int)) and np.ndim(bins)):
        # One sequence of edges is for both; a pair has something for each.
        each = [bins, bins] if len(bins) not in (1, 2) else [bins[0], bins[-1]]
    counts, edges = histogramdd([x, y], each, range, density, weights)
    return counts, edges[0], edges[1]


# -------------------------------------------------------------------------------- covariance


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """As :func:`numpy.cov`; a single variable may have one observation, which gives NaN."""
    if ddof is not None and ddof != int(ddof):
        raise ShapeError(f"cov: ddof must be an integer; got {ddof}")
    xs = [array_of(v) for v in ((m,) if y is None else (m, y))]
    if any(get_aval(x).ndim > 2 for x in xs):
        raise ShapeError(f"cov: rank 2 at most; got {' and '.join(str(get_aval(x)) for x in xs)}")
    # NumPy computes in float64 at least, unless asked for something else.
    of = dtype_or(dtype, DTYPES["c128"] if is_complex(common_inexact(xs)[0]) else F64)
    rows = []
    for x in xs:
        x = cast(x, of)
        x = reshape(x, (1, get_aval(x).size)) if get_aval(x).ndim < 2 else x
        wide = not rowvar and get_aval(x).shape[0] != 1
        rows.append(matrix_transpose(x) if wide else x)
    x = concatenate(rows, 0) if len(rows) > 1 else rows[0]
    count = get_aval(x).shape[1]
    ddof = (0 if bias else 1) if ddof is None else int(ddof)
    weights = _weights(fweights, aweights, count)
    if not get_aval(x).shape[0]:
        return reshape(x, (0, 0))
    if weights is None:
        middle: Any = average(x, 1)
        factor: Any = np.float64(max(count - ddof, 0))
    else:
        middle, total = average(x, 1, weights, True)
        total = total[0]
        factor = total
        if ddof and aweights is None:
            factor = subtract(total, ddof)
        elif ddof:
            spread = sum_of(multiply(weights, aweights))
            factor = subtract(total, true_divide(multiply(ddof, spread), total))
        factor = real(factor)
        factor = where(greater(factor, 0.0), factor, 0.0)
    x = subtract(x, middle[:, None])
    other = x if weights is None else multiply(x, weights)
    found = matmul(x, conj(matrix_transpose(other)))
    found = cast(true_divide(found, factor), of)
    return reshape(found, ()) if get_aval(found).shape == (1, 1) else found


def _weights(fweights: Any, aweights: Any, count: int) -> Any:
    """Return the product of both kinds of weights as float64, or None."""
    found: Any = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        w = array_of(given)
        if name == "fweights" and is_inexact(get_aval(w).dtype):
            raise DTypeError("cov: fweights must be integers, the numbers of repetitions")
        if get_aval(w).shape != (count,):
            raise ShapeError(f"cov: {name} must have shape ({count},); got {get_aval(w).shape}")
        value = concrete_value(w)
        if value is not None and np.any(value < 0):
            raise ShapeError(f"cov: {name} must not be negative")
        w = cast(w, F64)
        found = w if found is None else multiply(found, w)
    return found


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """As :func:`numpy.corrcoef`."""
    found = cov(x, y, rowvar, dtype=dtype)
    if not get_aval(found).ndim:
        return true_divide(found, found)
    scale = sqrt(real(diagonal(found)))
    found = true_divide(true_divide(found, scale[:, None]), scale[None, :])
    if is_complex(get_aval(found).dtype):
        return complex_(clip(real(found), -1, 1), clip(imag(found), -1, 1))
    return clip(found, -1, 1)
