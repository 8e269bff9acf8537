"""Choosing, taking, sorting, searching, counting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import BoundsError, DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_inexact, is_integer
from tracejit.numpy.indexing import from_start, read, read_index
from tracejit.numpy.logic import choose_where, isnan, truth
from tracejit.numpy.of_keys import keys_too
from tracejit.numpy.promotion import (
    array_of,
    arrays_of,
    beside,
    broadcast_shapes,
    cast,
    concrete_value,
    dtype_or,
    host_value,
    known,
    no_out,
    normal_axis,
    operand,
    promote_operands,
    stretch,
)
from tracejit.numpy.reductions import sum as sum_of
from tracejit.ops import indexing, sorting
from tracejit.ops.arithmetic import add, mul, quot, rem, sub
from tracejit.ops.bounds import check_index
from tracejit.ops.constant import iota
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import (
    and_,
    ge,
    le,
    lt,
    max_,
    min_,
    not_,
    or_,
    select,
    shift_right_logical,
)
from tracejit.ops.shape import broadcast_in_dim, full, reshape
from tracejit.ops.slicing import concatenate, flip, slice_

__all__ = [
    "F64", "I64", "argpartition", "argsort", "argwhere", "bincount", "choose", "compress",
    "digitize", "extract", "flatnonzero", "lexsort", "nonzero", "partition", "piecewise",
    "ravel_multi_index", "searchsorted", "select_", "sort", "take", "take_along_axis",
    "unravel_index", "where",
]  # fmt: skip

I64 = DTYPES["i64"]
F64 = DTYPES["f64"]


@keys_too("x", "y")
def where(
    condition: Any,
    x: Any = None,
    y: Any = None,
    /,
    *,
    size: int | None = None,
    fill_value: int = 0,
) -> Any:
    """As :func:`numpy.where`; with the condition alone as :func:`nonzero`."""
    if x is None and y is None:
        return nonzero(condition, size=size, fill_value=fill_value or 0)
    if x is None or y is None:
        raise ShapeError("where: give both x and y, or neither")
    return array_of(choose_where(condition, x, y))


def select_(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """As :func:`numpy.select`."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ShapeError(
            f"select: as many choices as conditions, at least one; "
            f"got {len(choicelist)} and {len(condlist)}"
        )
    out, *choices = promote_operands([operand(v) for v in (default, *choicelist)])
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        out = choose_where(condition, choice, out)
    return out


def piecewise(
    x: Any, condlist: Sequence[Any], funclist: Sequence[Any], *args: Any, **kw: Any
) -> Any:
    """As :func:`numpy.piecewise`; every function is evaluated everywhere."""
    x = array_of(x)
    dtype = get_aval(x).dtype
    values = [f(x, *args, **kw) if callable(f) else f for f in funclist]
    values = [cast(operand(v), dtype) for v in values]
    conditions = list(condlist) if isinstance(condlist, (list, tuple)) else [condlist]
    default = values.pop() if len(values) == len(conditions) + 1 else dtype.type(0)
    out = stretch(array_of(default), get_aval(x).shape)
    for condition, value in zip(conditions, values, strict=True):
        out = choose_where(condition, value, out)
    return out


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """As :func:`numpy.choose`; out of range the nearest choice is taken."""
    no_out("choose", out)
    del mode
    xs = promote_operands([operand(c) for c in choices])
    result = xs[-1]
    for i in reversed(range(len(xs) - 1)):
        index = operand(a)
        result = choose_where(le(index, get_aval(index).dtype.type(i)), xs[i], result)
    return result


def _chosen(
    name: str, mask: Any, x: Any, axis: int | None, size: int, fill_value: Any
) -> Any:
    """Return the elements where a mask holds: as many as `size`, the rest a fill value."""
    flat = reshape(array_of(truth(operand(mask))), (get_aval(operand(mask)).size,))
    x = array_of(x)
    if axis is None:
        x, axis = reshape(x, (get_aval(x).size,)), 0
    axis = normal_axis(name, axis, get_aval(x).ndim)
    index = nonzero(flat, size=size)[0]
    found = take(x, index, axis, mode="clip")
    shape = get_aval(found).shape
    valid = lt(iota(shape, axis, I64), sum_of(flat))
    return select(valid, found, cast(operand(fill_value or 0), get_aval(x).dtype))


def extract(
    condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0
) -> Any:
    """As :func:`numpy.extract`; the condition must be known when tracing, or `size` given."""
    if size is not None:
        return _chosen("extract", condition, arr, None, size, fill_value)
    flat = reshape(array_of(arr), (get_aval(operand(arr)).size,))
    mask = array_of(truth(operand(condition)))
    return read(flat, read_index(reshape(mask, (get_aval(mask).size,)), get_aval(flat).shape))


def compress(
    condition: Any,
    a: Any,
    axis: int | None = None,
    out: None = None,
    *,
    size: int | None = None,
    fill_value: Any = 0,
) -> Any:
    """As :func:`numpy.compress`; the condition must be known when tracing, or `size` given."""
    no_out("compress", out)
    if size is not None:
        return _chosen("compress", condition, a, axis, size, fill_value)
    mask = known(operand(condition), "compress()", "How many are kept must be static.")
    return take(a, np.nonzero(np.asarray(mask))[0], axis)


# --------------------------------------------------------------------------------- taking


@keys_too("a")
def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Any:
    """As :func:`numpy.take`; `unique_indices` and `indices_are_sorted` are promises not needed.

    `mode` is "clip" (traced indices by default), "wrap" or "fill"; indices known to be out of
    range raise if there is none.
    """
    no_out("take", out)
    x = array_of(a)
    if axis is None:
        x, axis = reshape(x, (get_aval(x).size,)), 0
    axis = normal_axis("take", axis, get_aval(x).ndim)
    length = get_aval(x).shape[axis]
    index = operand(indices)
    if not is_integer(get_aval(index).dtype):
        if not get_aval(index).size:
            index = np.zeros(get_aval(index).shape, np.int64)
        else:
            raise DTypeError(f"take: the indices must be integers; got {get_aval(index).dtype}")
    if mode == "wrap":
        n, zero = np.int64(length), np.int64(0)
        index = rem(cast(index, I64), n)
        index = select(lt(index, zero), add(index, n), index)
    elif mode == "fill":
        index = from_start(index, length)
    elif mode == "clip":
        index = cast(index, I64)
    elif mode in (None, "raise"):
        key = (slice(None),) * axis + (indices if np.ndim(indices) else index,)
        return read(x, read_index(key, get_aval(x).shape))
    else:
        raise ShapeError(f"take: mode must be clip, wrap, fill or raise; got {mode!r}")
    if not length and get_aval(index).size:
        raise BoundsError(f"take: axis {axis} of length 0 has nothing to take")
    how = "fill" if mode == "fill" else "clip"
    fill = None if fill_value is None else np.asarray(fill_value).item()
    return indexing.take_axis(x, array_of(index), axis, how, fill)


def take_along_axis(
    arr: Any, indices: Any, axis: int | None = -1, mode: str | None = None, fill_value: Any = None
) -> Any:
    """As :func:`numpy.take_along_axis`."""
    x, index = array_of(arr), array_of(indices)
    if axis is None:
        x, axis = reshape(x, (get_aval(x).size,)), 0
    rank = get_aval(x).ndim
    if get_aval(index).ndim != rank or not is_integer(get_aval(index).dtype):
        raise ShapeError(f"take_along_axis: integer indices of rank {rank}; got {get_aval(index)}")
    axis = normal_axis("take_along_axis", axis, rank)
    own, other = get_aval(x).shape, get_aval(index).shape
    value = host_value(index)
    length = own[axis]
    if mode is None and value is not None and np.size(value):
        low, high = int(np.min(value)), int(np.max(value))
        if low < -length or high >= length:
            raise BoundsError(
                f"take_along_axis: index {low if low < -length else high} is out of range for "
                f"axis {axis} of length {length}"
            )
    index = from_start(index, length)
    if mode is None and value is None:
        index = check_index(index, axis, length)
    shape = broadcast_shapes(
        "take_along_axis",
        tuple(1 if i == axis else d for i, d in enumerate(own)),
        tuple(1 if i == axis else d for i, d in enumerate(other)),
    )
    x = stretch(x, tuple(own[axis] if i == axis else d for i, d in enumerate(shape)))
    index = stretch(index, tuple(other[axis] if i == axis else d for i, d in enumerate(shape)))
    fill = None if fill_value is None else np.asarray(fill_value).item()
    return indexing.take_along_axis(x, index, axis, "fill" if mode == "fill" else "clip", fill)


# --------------------------------------------------------------------------------- sorting


def _on_axis(name: str, a: Any, axis: int | None) -> tuple[Any, int]:
    x = array_of(a)
    if axis is None:
        return reshape(x, (get_aval(x).size,)), 0
    return x, normal_axis(name, axis, get_aval(x).ndim)


def sort(
    a: Any,
    axis: int | None = -1,
    kind: Any = None,
    order: None = None,
    *,
    stable: bool = True,
    descending: bool = False,
) -> Any:
    """As :func:`numpy.sort`."""
    del kind, order
    x, axis = _on_axis("sort", a, axis)
    out = sorting.sort(x, axis, 1, bool(stable))
    return flip(out, (axis,)) if descending else out


def argsort(
    a: Any,
    axis: int | None = -1,
    kind: Any = None,
    order: None = None,
    *,
    stable: bool = True,
    descending: bool = False,
    dtype: Any = None,
) -> Any:
    """As :func:`numpy.argsort`, stable; `dtype` is that of the places."""
    del kind, order
    if dtype is not None:
        places = argsort(a, axis, stable=stable, descending=descending)
        return convert_element_type(places, dtype_or(dtype))
    if not get_aval(operand(a)).ndim:
        a, axis = reshape(array_of(a), (1,)), 0  # as NumPy does here, and not in sort
    x, axis = _on_axis("argsort", a, axis)
    if not descending:
        return sorting.argsort(x, axis, bool(stable))
    length = get_aval(x).shape[axis]
    places = sorting.argsort(flip(x, (axis,)), axis, bool(stable))
    return sub(np.int64(length - 1), flip(places, (axis,)))


def lexsort(keys: Any, axis: int = -1) -> Any:
    """As :func:`numpy.lexsort`."""
    xs = arrays_of(list(keys))
    axis = normal_axis("lexsort", axis, get_aval(xs[0]).ndim)
    place = iota(get_aval(xs[0]).shape, axis, I64)
    return sorting.sort([*reversed(xs), place], axis, len(xs))[-1]


def partition(
    a: Any, kth: Any, axis: int | None = -1, kind: Any = None, order: None = None
) -> Any:
    """As :func:`numpy.partition`, by sorting all."""
    del kth, kind, order
    return sort(a, axis)


def argpartition(
    a: Any, kth: Any, axis: int | None = -1, kind: Any = None, order: None = None
) -> Any:
    """As :func:`numpy.argpartition`, by sorting all."""
    del kth, kind, order
    return argsort(a, axis)


def searchsorted(
    a: Any, v: Any, side: str = "left", sorter: Any = None, *, method: str | None = None
) -> Any:
    """As :func:`numpy.searchsorted`, by bisection whatever `method` is."""
    del method
    if side not in ("left", "right"):
        raise ShapeError(f"searchsorted: side must be 'left' or 'right'; got {side!r}")
    x, y = arrays_of(promote_operands([operand(a), operand(v)]))
    if get_aval(x).ndim != 1:
        raise ShapeError(f"searchsorted: a must have rank 1; got shape {get_aval(x).shape}")
    if sorter is not None:
        x = take(x, sorter)
    length, shape = get_aval(x).shape[0], get_aval(y).shape
    low = full(shape, 0, I64)
    if not length:
        return low
    before = lt if side == "left" else le
    inexact = is_inexact(get_aval(x).dtype)
    high = full(shape, length, I64)
    one = np.int64(1)
    for _ in range(length.bit_length()):
        middle = sub(high, _half(sub(high, low)))
        # middle is in low+1 .. high where low < high; the element before it decides
        element = indexing.take_axis(x, max_(sub(middle, one), np.int64(0)), 0)
        goes = before(element, y)
        if inexact:  # NaN comes last
            nan_y, nan_e = isnan(y), isnan(element)
            tail = not_(nan_e) if side == "left" else np.bool_(True)
            goes = select(nan_y, tail, and_(goes, not_(nan_e)))
        goes = and_(goes, lt(low, high))
        low, high = (
            select(goes, middle, low),
            select(or_(goes, ge(low, high)), high, sub(middle, one)),
        )
    return low


def _half(x: Any) -> Any:
    """Return half of a non-negative int64 array, rounded down."""
    return shift_right_logical(x, np.int64(1))


def digitize(x: Any, bins: Any, right: bool = False, *, method: str | None = None) -> Any:
    """As :func:`numpy.digitize`, for bins that increase, or are known to decrease."""
    del method
    if is_complex(get_aval(operand(x)).dtype):
        raise DTypeError("digitize: x must be real; got complex numbers")
    edges = concrete_value(operand(bins))
    side = "left" if right else "right"
    if edges is not None and np.size(edges) > 1 and np.asarray(edges)[0] > np.asarray(edges)[-1]:
        edges = np.asarray(edges)
        other = "right" if right else "left"
        return sub(np.int64(len(edges)), searchsorted(edges[::-1].copy(), x, other))
    return searchsorted(bins, x, side)


# -------------------------------------------------------------------------------- counting


def nonzero(a: Any, *, size: int | None = None, fill_value: int = 0) -> tuple[Any, ...]:
    """As :func:`numpy.nonzero`.

    While tracing the number of results must be given as `size`: more are cut off, fewer filled
    up with `fill_value`.
    """
    x = array_of(a)
    aval = get_aval(x)
    if size is None:
        value = known(x, "nonzero() or where(condition)", "Give size=: nonzero(x, size=n).")
        return tuple(beside(x, p) for p in np.nonzero(value))
    mask = reshape(array_of(truth(x)), (aval.size,))
    order = sorting.argsort(not_(mask), 0)
    count = sum_of(mask)
    index = slice_(order, (0,), (min(size, aval.size),))
    if size > aval.size:
        index = (
            indexing.take_axis(order, np.minimum(np.arange(size), max(aval.size - 1, 0)), 0)
            if aval.size
            else full((size,), 0, I64)
        )
    valid = lt(iota((size,), 0, I64), count)
    outs = []
    stride = 1
    for length in reversed(aval.shape):
        part = rem(_quotient(index, stride), np.int64(max(length, 1)))
        outs.append(select(valid, part, np.int64(fill_value)))
        stride *= length
    return tuple(reversed(outs))


def _quotient(x: Any, n: int) -> Any:
    return x if n in (0, 1) else quot(x, np.int64(n))


def flatnonzero(a: Any, *, size: int | None = None, fill_value: int = 0) -> Any:
    """As :func:`numpy.flatnonzero`; see :func:`nonzero` for `size` and `fill_value`."""
    x = array_of(a)
    return nonzero(reshape(x, (get_aval(x).size,)), size=size, fill_value=fill_value or 0)[0]


def argwhere(a: Any, *, size: int | None = None, fill_value: int = 0) -> Any:
    """As :func:`numpy.argwhere`; see :func:`nonzero` for `size` and `fill_value`."""
    if not get_aval(operand(a)).ndim:
        return argwhere(reshape(array_of(a), (1,)), size=size)[:, :0]
    places = nonzero(a, size=size, fill_value=fill_value or 0)
    columns = [broadcast_in_dim(p, (get_aval(p).size, 1), (0,)) for p in places]
    return concatenate(columns, 1)


def bincount(x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None) -> Any:
    """As :func:`numpy.bincount`; while tracing the number of bins must be given as `length`."""
    index = array_of(x)
    own = get_aval(index).dtype
    if own.kind not in "biu" and (get_aval(index).size or not isinstance(x, (list, tuple))):
        raise DTypeError(f"bincount: the numbers must be integers; got {own}")
    if length is None:
        value = known(index, "bincount()", "Give length=: bincount(x, length=n).")
        length = max(int(np.max(value)) + 1 if np.size(value) else 0, minlength)
    counted = (
        full(get_aval(index).shape, 1, I64) if weights is None else cast(operand(weights), F64)
    )
    zeros = full((length,), 0, get_aval(counted).dtype)
    lanes = (*get_aval(index).shape, 1)
    return indexing.scatter_add(zeros, reshape(cast(index, I64), lanes), counted, (0,), (0,))


def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    """As :func:`numpy.unravel_index`."""
    if order not in ("C", "F"):
        raise ShapeError(f"unravel_index: order must be 'C' or 'F'; got {order!r}")
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    if order == "F":
        return tuple(reversed(unravel_index(indices, lengths[::-1])))
    index = array_of(indices)
    outs, stride = [], 1
    for length in reversed(lengths):
        outs.append(rem(_quotient(cast(index, I64), stride), np.int64(max(length, 1))))
        stride *= length
    return tuple(reversed(outs))


def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """As :func:`numpy.ravel_multi_index`; "raise" checks values that are known."""
    if order not in ("C", "F"):
        raise ShapeError(f"ravel_multi_index: order must be 'C' or 'F'; got {order!r}")
    modes = list(mode) if isinstance(mode, (tuple, list)) else [mode] * len(dims)
    rows = list(zip(multi_index, dims, modes, strict=True))
    out: Any = np.int64(0)
    for given, length, how in rows if order == "C" else reversed(rows):
        index, n = cast(operand(given), I64), np.int64(length)
        if how == "wrap":
            index = rem(add(rem(index, n), n), n)
        elif how == "clip":
            index = min_(max_(index, np.int64(0)), np.int64(length - 1))
        else:
            value = host_value(index)
            if value is not None and np.any((value < 0) | (value >= length)):
                raise BoundsError(
                    f"ravel_multi_index: an index is out of range for an axis of length {length}"
                )
        out = add(mul(out, n), index)
    return array_of(out)
