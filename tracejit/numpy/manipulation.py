"""Arrays in other shapes: reshaping, joining, splitting, repeating, reordering, padding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.array import from_numpy
from tracejit.core.errors import BoundsError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES
from tracejit.numpy.of_keys import keys_too
from tracejit.numpy.promotion import (
    array_of,
    arrays_of,
    broadcast_shapes,
    cast,
    concrete_value,
    dtype_or,
    known,
    no_out,
    normal_axes,
    normal_axis,
    operand,
    promote_operands,
    static_shape,
    stretch,
)
from tracejit.ops import shape as ops
from tracejit.ops import slicing
from tracejit.ops._pointwise import move_axis
from tracejit.ops.arithmetic import add, rem, sub
from tracejit.ops.indexing import take_axis
from tracejit.ops.logical import lt, select

__all__ = [
    "I64", "append", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "block",
    "broadcast_arrays", "broadcast_to", "column_stack", "concat", "concatenate", "delete",
    "dsplit", "dstack", "expand_dims", "flip", "fliplr", "flipud", "hsplit", "hstack", "insert",
    "matrix_transpose", "moveaxis", "permute_dims", "ravel", "repeat", "reshape", "resize",
    "roll", "rollaxis", "rot90", "split", "squeeze", "stack", "swapaxes", "tile", "transpose",
    "unstack", "vsplit", "vstack", "window",
]  # fmt: skip

I64 = DTYPES["i64"]


# ------------------------------------------------------------------------------- reshaping


@keys_too("a")
def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    """As :func:`numpy.reshape`; a length of -1 is found from the size."""
    del copy
    x = array_of(a)
    target = list(_lengths(shape))
    aval = get_aval(x)
    if target.count(-1) == 1:
        rest = math.prod(d for d in target if d != -1)
        if not rest or aval.size % rest:
            raise ShapeError(
                f"reshape: {aval.size} elements of shape {aval.shape} do not fill {tuple(target)}"
            )
        target[target.index(-1)] = aval.size // rest
    elif any(d < 0 for d in target):
        raise ShapeError(f"reshape: at most one length may be -1, others positive; got {shape}")
    if order == "F":
        return transpose(ops.reshape(transpose(x), target[::-1]))
    if order not in ("C", "A"):
        raise ShapeError(f"reshape: order must be 'C' or 'F'; got {order!r}")
    return ops.reshape(x, target)


def _lengths(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, (int, np.integer)):
        return (int(shape),)
    if not isinstance(shape, (tuple, list)):
        return static_shape("reshape", shape)
    return tuple(int(d.__index__()) for d in shape)


@keys_too("a")
def ravel(a: Any, order: str = "C") -> Any:
    """As :func:`numpy.ravel`; of arrays without strides, so that A and K mean C."""
    order = "C" if order in ("A", "K") else order
    return reshape(a, -1, order) if get_aval(operand(a)).size else reshape(a, 0)


@keys_too("a")
def transpose(a: Any, axes: Any = None) -> Any:
    """As :func:`numpy.transpose`."""
    x = array_of(a)
    rank = get_aval(x).ndim
    if axes is None:
        return ops.transpose(x, range(rank)[::-1])
    return ops.transpose(x, [normal_axis("transpose", v, rank) for v in axes])


permute_dims = transpose


def matrix_transpose(x: Any, /) -> Any:
    """As :func:`numpy.matrix_transpose`."""
    x = array_of(x)
    if get_aval(x).ndim < 2:
        raise ShapeError(f"matrix_transpose: rank 2 at least; got shape {get_aval(x).shape}")
    return swapaxes(x, -1, -2)


@keys_too("a")
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """As :func:`numpy.swapaxes`."""
    x = array_of(a)
    order = list(range(get_aval(x).ndim))
    i, j = (normal_axis("swapaxes", v, len(order)) for v in (axis1, axis2))
    order[i], order[j] = order[j], order[i]
    return ops.transpose(x, order)


@keys_too("a")
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """As :func:`numpy.moveaxis`."""
    x = array_of(a)
    rank = get_aval(x).ndim
    sources = normal_axes("moveaxis", source, rank)
    places = normal_axes("moveaxis", destination, rank)
    if len(sources) != len(places):
        raise ShapeError(f"moveaxis: as many destinations as sources; got {source}, {destination}")
    order = [v for v in range(rank) if v not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return ops.transpose(x, order)


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """As :func:`numpy.rollaxis`."""
    rank = get_aval(operand(a)).ndim
    axis = normal_axis("rollaxis", axis, rank)
    start = start + rank if start < 0 else start
    return moveaxis(a, axis, start - 1 if axis < start else start)


@keys_too("a")
def expand_dims(a: Any, axis: Any) -> Any:
    """As :func:`numpy.expand_dims`."""
    x = array_of(a)
    new = axis if isinstance(axis, (tuple, list)) else (axis,)
    shape = list(get_aval(x).shape)
    rank = len(shape) + len(new)
    for place in sorted(normal_axes("expand_dims", tuple(new), rank)):
        shape.insert(place, 1)
    return ops.reshape(x, shape)


@keys_too("a")
def squeeze(a: Any, axis: Any = None) -> Any:
    """As :func:`numpy.squeeze`."""
    x = array_of(a)
    aval = get_aval(x)
    if axis is None:
        axes: tuple[int, ...] = tuple(i for i, d in enumerate(aval.shape) if d == 1)
    else:
        axes = normal_axes("squeeze", axis, aval.ndim)
    return ops.squeeze(x, axes)


@keys_too("array")
def broadcast_to(array: Any, shape: Any) -> Any:
    """As :func:`numpy.broadcast_to`."""
    x = array_of(array)
    target = static_shape("broadcast_to", shape)
    own = get_aval(x).shape
    if broadcast_shapes("broadcast_to", own, target) != target:
        raise ShapeError(f"broadcast_to: shape {own} does not broadcast to {target}")
    return stretch(x, target)


def broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    """As :func:`numpy.broadcast_arrays`."""
    xs = arrays_of(args)
    shape = broadcast_shapes("broadcast_arrays", *[get_aval(x).shape for x in xs])
    return tuple(stretch(x, shape) for x in xs)


def _atleast(rank: int, args: Sequence[Any]) -> Any:
    outs = []
    for x in arrays_of(args):
        shape = get_aval(x).shape
        if len(shape) < rank:
            if rank == 3 and len(shape) == 2:
                shape = (*shape, 1)
            elif rank == 3 and len(shape) == 1:
                shape = (1, *shape, 1)
            else:
                shape = (1,) * (rank - len(shape)) + shape
        outs.append(ops.reshape(x, shape))
    return outs[0] if len(outs) == 1 else tuple(outs)


def atleast_1d(*arys: Any) -> Any:
    """As :func:`numpy.atleast_1d`."""
    return _atleast(1, arys)


def atleast_2d(*arys: Any) -> Any:
    """As :func:`numpy.atleast_2d`."""
    return _atleast(2, arys)


def atleast_3d(*arys: Any) -> Any:
    """As :func:`numpy.atleast_3d`."""
    return _atleast(3, arys)


# -------------------------------------------------------------------------------- joining


def _pieces(name: str, arrays: Any, dtype: Any = None) -> list[Any]:
    if not isinstance(arrays, (list, tuple)):
        arrays = list(arrays)
    if not arrays:
        raise ShapeError(f"{name}: at least one array is needed")
    xs = promote_operands([operand(x) for x in arrays])
    if dtype is not None:
        xs = [cast(x, dtype_or(dtype, I64)) for x in xs]
    return arrays_of(xs)


@keys_too("arrays")
def concatenate(arrays: Any, axis: Any = 0, out: None = None, *, dtype: Any = None) -> Any:
    """As :func:`numpy.concatenate`."""
    no_out("concatenate", out)
    xs = _pieces("concatenate", arrays, dtype)
    if axis is None:
        return slicing.concatenate([ops.reshape(x, (get_aval(x).size,)) for x in xs], 0)
    return slicing.concatenate(xs, normal_axis("concatenate", axis, get_aval(xs[0]).ndim))


concat = concatenate


@keys_too("arrays")
def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Any:
    """As :func:`numpy.stack`."""
    no_out("stack", out)
    xs = _pieces("stack", arrays, dtype)
    shapes = [get_aval(x).shape for x in xs]
    if len(set(shapes)) != 1:
        raise ShapeError(f"stack: the arrays must have one shape; got {shapes}")
    place = normal_axis("stack", axis, len(shapes[0]) + 1)
    return slicing.concatenate([ops.expand_dims(x, place) for x in xs], place)


@keys_too("tup")
def vstack(tup: Any, dtype: Any = None) -> Any:
    """As :func:`numpy.vstack`."""
    return concatenate([atleast_2d(x) for x in tup], 0, dtype=dtype)


@keys_too("tup")
def hstack(tup: Any, dtype: Any = None) -> Any:
    """As :func:`numpy.hstack`."""
    xs = [atleast_1d(x) for x in tup]
    return concatenate(xs, 0 if get_aval(xs[0]).ndim == 1 else 1, dtype=dtype)


def dstack(tup: Any, dtype: Any = None) -> Any:
    """As :func:`numpy.dstack`."""
    return concatenate([atleast_3d(x) for x in tup], 2, dtype=dtype)


def column_stack(tup: Any) -> Any:
    """As :func:`numpy.column_stack`."""
    xs = arrays_of(tup)
    columns = [ops.reshape(x, (get_aval(x).size, 1)) if get_aval(x).ndim < 2 else x for x in xs]
    return concatenate(columns, 1)


def block(arrays: Any) -> Any:
    """As :func:`numpy.block`."""

    def depth(x: Any) -> int:
        return 1 + max(depth(y) for y in x) if isinstance(x, list) else 0

    def rank(x: Any) -> int:
        return max(rank(y) for y in x) if isinstance(x, list) else get_aval(operand(x)).ndim

    levels = depth(arrays)
    target = max(rank(arrays), levels)

    def join(x: Any, level: int) -> Any:
        if isinstance(x, list):
            return concatenate([join(y, level + 1) for y in x], target - levels + level)
        x = array_of(x)
        shape = get_aval(x).shape
        return ops.reshape(x, (1,) * (target - len(shape)) + shape)

    return join(arrays, 0)


def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """As :func:`numpy.append`."""
    return concatenate([arr, values], axis)


# ------------------------------------------------------------------------------- splitting


def window(x: Any, axis: int, start: int, limit: int, stride: int = 1) -> Any:
    """Return elements ``start:limit:stride`` of one axis; `stride` positive, bounds within it."""
    shape = get_aval(x).shape
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    if (start, limit, stride) == (0, shape[axis], 1):
        return x
    starts[axis], limits[axis], strides[axis] = start, max(start, limit), stride
    return slicing.slice_(x, starts, limits, strides)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """As :func:`numpy.array_split`; the sections must be known when tracing."""
    x = array_of(ary)
    axis = normal_axis("array_split", axis, get_aval(x).ndim)
    length = get_aval(x).shape[axis]
    sections = known(
        operand(indices_or_sections), "array_split()", "The places to split at must be static."
    )
    if np.ndim(sections) == 0:
        count = int(sections)
        if count <= 0:
            raise ShapeError(f"array_split: the number of sections must be positive; got {count}")
        small, more = divmod(length, count)
        sizes = [small + 1] * more + [small] * (count - more)
        places = np.cumsum([0, *sizes]).tolist()
    else:
        places = [0, *(slice(0, int(p)).indices(length)[1] for p in sections), length]
    return [window(x, axis, a, b) for a, b in itertools.pairwise(places)]


@keys_too("ary")
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """As :func:`numpy.split`."""
    if isinstance(indices_or_sections, (int, np.integer)):
        shape = get_aval(operand(ary)).shape
        length = shape[normal_axis("split", axis, len(shape))]
        if length % indices_or_sections:
            raise ShapeError(
                f"split: axis {axis} of shape {shape} must divide into {indices_or_sections} "
                "equal parts; array_split makes unequal ones"
            )
    return array_split(ary, indices_or_sections, axis)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """As :func:`numpy.vsplit`."""
    if get_aval(operand(ary)).ndim < 2:
        raise ShapeError(f"vsplit: rank 2 at least; got shape {get_aval(operand(ary)).shape}")
    return split(ary, indices_or_sections, 0)


def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """As :func:`numpy.hsplit`."""
    return split(ary, indices_or_sections, 0 if get_aval(operand(ary)).ndim == 1 else 1)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """As :func:`numpy.dsplit`."""
    return split(ary, indices_or_sections, 2)


@keys_too("x")
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """As :func:`numpy.unstack`."""
    x = array_of(x)
    axis = normal_axis("unstack", axis, get_aval(x).ndim)
    length = get_aval(x).shape[axis]
    return tuple(ops.squeeze(window(x, axis, i, i + 1), (axis,)) for i in range(length))


# ------------------------------------------------------------------------------- repeating


@keys_too("A")
def tile(A: Any, reps: Any) -> Any:
    """As :func:`numpy.tile`."""
    x = array_of(A)
    times = static_shape("tile", reps)
    shape = get_aval(x).shape
    rank = max(len(times), len(shape))
    shape = (1,) * (rank - len(shape)) + shape
    times = (1,) * (rank - len(times)) + times
    x = ops.reshape(x, shape)
    spread = [n for pair in zip(times, shape, strict=True) for n in pair]
    x = ops.broadcast_in_dim(x, spread, range(1, 2 * rank, 2))
    return ops.reshape(x, [t * d for t, d in zip(times, shape, strict=True)])


@keys_too("a")
def repeat(
    a: Any, repeats: Any, axis: Any = None, *, total_repeat_length: int | None = None
) -> Any:
    """As :func:`numpy.repeat`; the repeats must be known when tracing."""
    x = array_of(a)
    if axis is None:
        x, axis = ops.reshape(x, (get_aval(x).size,)), 0
    axis = normal_axis("repeat", axis, get_aval(x).ndim)
    shape = get_aval(x).shape
    times = np.asarray(known(operand(repeats), "repeat()", "The repeats must be static."))
    if times.size == 1 and total_repeat_length is None:
        count = int(times.reshape(()))
        spread = (*shape[: axis + 1], count, *shape[axis + 1 :])
        axes = [i for i in range(len(spread)) if i != axis + 1]
        x = ops.broadcast_in_dim(x, spread, axes)
        return ops.reshape(x, (*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))
    if times.size not in (1, shape[axis]):
        raise ShapeError(f"repeat: one count for each of {shape[axis]} elements; got {times.size}")
    places = np.repeat(np.arange(shape[axis]), times)
    if total_repeat_length is not None:
        last = places[-1:] if places.size else np.zeros(1, np.int64)
        places = np.concatenate([places, np.repeat(last, total_repeat_length)])
        places = places[:total_repeat_length]
    return take_axis(x, places, axis, mode="promise_in_bounds")


# ------------------------------------------------------------------------------ reordering


@keys_too("m")
def flip(m: Any, axis: Any = None) -> Any:
    """As :func:`numpy.flip`."""
    x = array_of(m)
    return slicing.flip(x, normal_axes("flip", axis, get_aval(x).ndim))


def fliplr(m: Any) -> Any:
    """As :func:`numpy.fliplr`."""
    return flip(m, 1)


def flipud(m: Any) -> Any:
    """As :func:`numpy.flipud`."""
    return flip(m, 0)


def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """As :func:`numpy.rot90`."""
    i, j = normal_axes("rot90", tuple(axes), get_aval(operand(m)).ndim)
    k %= 4
    if k == 0:
        return array_of(m)
    if k == 2:
        return flip(m, (i, j))
    return swapaxes(flip(m, j), i, j) if k == 1 else flip(swapaxes(m, i, j), j)


@keys_too("a")
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """As :func:`numpy.roll`; the shift may be traced."""
    x = array_of(a)
    shape = get_aval(x).shape
    if axis is None:
        flat = ops.reshape(x, (get_aval(x).size,))
        return ops.reshape(roll(flat, shift, 0), shape)
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(normal_axis("roll", v, len(shape)) for v in axes)
    if isinstance(shift, (tuple, list)):
        shifts = list(shift)
    else:
        value = concrete_value(operand(shift))
        many = value is not None and np.ndim(value)
        shifts = list(np.asarray(value)) if many else [shift] * len(axes)
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    if len(axes) == 1 and len(shifts) > 1:
        axes = axes * len(shifts)
    if len(shifts) != len(axes):
        raise ShapeError(f"roll: as many shifts as axes; got {shift} and {axis}")
    for v, by in zip(axes, shifts, strict=True):
        value = concrete_value(operand(by))
        x = _roll_traced(x, by, v) if value is None else slicing.roll_axis(x, int(value), v)
    return x


def _roll_traced(x: Any, shift: Any, axis: int) -> Any:
    length = get_aval(x).shape[axis]
    if not length:
        return x
    n, zero = np.int64(length), np.int64(0)
    start = rem(cast(shift, I64), n)
    start = select(lt(start, zero), add(start, n), start)
    place = sub(np.arange(length), start)
    place = select(lt(place, zero), add(place, n), place)
    return take_axis(x, place, axis, mode="promise_in_bounds")


def delete(
    arr: Any, obj: Any, axis: Any = None, *, assume_unique_indices: bool = False
) -> Any:
    """As :func:`numpy.delete`; what is removed must be known when tracing, so is its size."""
    del assume_unique_indices
    x = array_of(arr)
    if axis is None:
        x, axis = ops.reshape(x, (get_aval(x).size,)), 0
    axis = normal_axis("delete", axis, get_aval(x).ndim)
    length = get_aval(x).shape[axis]
    gone = obj if isinstance(obj, slice) else known(operand(obj), "delete()", "It must be static.")
    places = np.delete(np.arange(length), gone)
    return take_axis(x, places, axis, mode="promise_in_bounds")


def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """As :func:`numpy.insert`, before indices that are known when tracing."""
    x = array_of(arr)
    if axis is None:
        x, axis = ops.reshape(x, (get_aval(x).size,)), 0
    rank = get_aval(x).ndim
    axis = normal_axis("insert", axis, rank)
    shape = get_aval(x).shape
    n = shape[axis]
    if isinstance(obj, slice):
        places = np.arange(*obj.indices(n))
    else:
        places = np.asarray(known(operand(obj), "insert()", "The indices must be static."))
        places = np.flatnonzero(places) if places.dtype == bool else places.astype(np.int64)
    if places.size and not (-n <= places.min() and places.max() <= n):
        raise BoundsError(f"insert: the indices must be within {-n}..{n}; got {places.tolist()}")
    y = array_of(cast(operand(values), get_aval(x).dtype))
    own, count = get_aval(y).shape, places.size
    if count == 1:  # all values go there
        y = ops.reshape(y, (1,) * (rank - len(own)) + own)
        y = y if places.ndim else move_axis(y, 0, axis)
        own = get_aval(y).shape
        count = own[axis]
        places = np.repeat(places.ravel(), count)
    y = stretch(y, broadcast_shapes("insert", own, (*shape[:axis], count, *shape[axis + 1 :])))
    # Behind those of the array that come before: a stable sort of both by their places.
    order = np.argsort(
        np.concatenate([np.arange(n) + 0.5, np.where(places < 0, places + n, places)]),
        kind="stable",
    )
    return take_axis(slicing.concatenate([x, y], axis), from_numpy(order), axis)


def resize(a: Any, new_shape: Any) -> Any:
    """As :func:`numpy.resize`: the elements over again."""
    x = ravel(a)
    shape = static_shape("resize", new_shape)
    size, own = math.prod(shape), get_aval(x).size
    if not own:
        return ops.full(shape, 0, get_aval(x).dtype)
    whole = tile(x, -(-size // own)) if size > own else x
    return ops.reshape(window(whole, 0, 0, size), shape)
