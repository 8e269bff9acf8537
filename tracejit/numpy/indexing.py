"""NumPy's indexing as primitives: ``x[index]``.

An index is first read into a :class:`Plan`: new axes become axes of length 1 of the operand, so
that then every item takes one axis.  Fixed ints and slices are windows (``slice``, ``flip``,
``reshape``), traced ints are ``dynamic_slice``, arrays of ints ``gather``.

What is known to be out of range raises; what is only traced is clamped, and raises under
``check_bounds``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tracejit.core.array import Array
from tracejit.core.errors import BoundsError, DTypeError, ShapeError
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES, is_bool, is_integer
from tracejit.numpy.promotion import (
    array_of,
    broadcast_shapes,
    cast,
    concrete_value,
    host_value,
    operand,
)
from tracejit.numpy.quick import static_key
from tracejit.ops import slicing
from tracejit.ops.arithmetic import add
from tracejit.ops.bounds import check_index
from tracejit.ops.indexing import gather
from tracejit.ops.logical import lt, select
from tracejit.ops.shape import broadcast_in_dim, reshape, transpose
from tracejit.ops.windows import dynamic_slice

__all__ = ["Plan", "getitem", "index_arrays", "read", "read_index", "static_window"]

I64 = DTYPES["i64"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """A fixed slice: ascending `start`, `limit`, `stride`, and whether it is then reversed."""

    start: int
    limit: int
    stride: int
    reverse: bool

    @property
    def length(self) -> int:
        """How many elements it takes."""
        return max(0, -(-(self.limit - self.start) // self.stride))

    def covers(self, length: int) -> bool:
        """Whether it takes a whole axis as it is."""
        return not self.reverse and self.length == length and self.stride == 1


@dataclass(frozen=True)
class Dynamic:
    """A traced integer scalar, already counted from the start of its axis."""

    value: Any


@dataclass(frozen=True)
class Many:
    """An array of ints, counted from the start; `checked` if it is known to be in range."""

    value: Any
    checked: bool


@dataclass
class Plan:
    """An index that was read.

    Attributes
    ----------
    shape : tuple of int
        The shape of the operand with the new axes.
    items : list
        For each of its axes an int, :class:`Window`, :class:`Dynamic` or :class:`Many`.
    """

    shape: Shape
    items: list[Any]
    batch: Shape = ()
    axes: list[int] = field(default_factory=list)
    place: int = 0

    @property
    def advanced(self) -> bool:
        """Whether it has arrays of ints."""
        return bool(self.axes)

    def result_shape(self) -> Shape:
        """Return the shape of what is read."""
        kept = [(a, item.length) for a, item in enumerate(self.items) if isinstance(item, Window)]
        lengths = [n for _, n in kept]
        return (*lengths[: self.place], *self.batch, *lengths[self.place :])


# -------------------------------------------------------------------------------- reading


def _is_array(item: Any) -> bool:
    return isinstance(item, (Array, Tracer, np.ndarray, list, np.generic))


_WRITTEN = (int, slice, type(None), type(Ellipsis), Array, Tracer, np.ndarray, np.generic)


def _as_index(item: Any) -> Any:
    """Return a list as an array (an empty one of ints), anything else as it is."""
    if isinstance(item, list):
        return np.zeros((0,), np.int64) if not item else operand(item)
    if isinstance(item, tuple):
        return operand(item)
    if not isinstance(item, _WRITTEN) and hasattr(item, "__cuda_array_interface__"):
        return operand(item)
    return item


def _is_mask(item: Any) -> bool:
    return isinstance(item, (bool, np.bool_)) or (
        isinstance(item, (Array, Tracer, np.ndarray)) and is_bool(get_aval(item).dtype)
    )


def read_index(index: Any, shape: Shape, check: bool = True) -> Plan:
    """Read an index of an operand of `shape`.

    Parameters
    ----------
    index : object
        As between NumPy's brackets.
    shape : tuple of int
        The shape of the operand.
    check : bool
        Whether what is known to be out of range raises.

    Raises
    ------
    BoundsError
        If there are too many indices, or one is out of range.
    DTypeError
        If an item is none that indexes.
    """
    items = [_as_index(i) for i in (index if isinstance(index, tuple) else (index,))]
    written = items
    items = _expanded(items, shape)
    lengths: list[int] = []
    plan: list[Any] = []
    advanced: list[int] = []
    axis = 0
    for item in items:
        if item is None:
            lengths.append(1)
            plan.append(Window(0, 1, 1, False))
        elif _is_mask(item):
            places = _places(item, shape, axis)
            for at in places:
                advanced.append(len(plan))
                plan.append(Many(at, True))
                scalar = np.ndim(item) == 0 if not isinstance(item, Tracer) else item.ndim == 0
                lengths.append(1 if scalar else shape[axis])
                axis += not scalar
        else:
            lengths.append(shape[axis])
            read = _read_item(item, axis, shape[axis], check)
            if isinstance(read, Many):
                advanced.append(len(plan))
            plan.append(read)
            axis += 1
    out = Plan(tuple(lengths), plan)
    if advanced:
        _join(out, written)
    return out


def _width(item: Any) -> int:
    """Return how many axes an item takes."""
    if item is None or item is Ellipsis:
        return 0
    return len(get_aval(item).shape) if _is_mask(item) else 1


def _expanded(items: list[Any], shape: Shape) -> list[Any]:
    """Replace the ellipsis, written or not, by whole slices."""
    taken = sum(map(_width, items))
    if taken > len(shape):
        raise BoundsError(
            f"too many indices: shape {shape} has {len(shape)} axes, but {taken} were indexed"
        )
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise BoundsError("an index can only have a single ellipsis ('...')")
    rest = [slice(None)] * (len(shape) - taken)
    at = dots[0] if dots else len(items)
    return [*items[:at], *rest, *items[at + 1 :]]


def _places(mask: Any, shape: Shape, axis: int) -> list[Any]:
    """Return the positions at which a mask holds, an array an axis."""
    value = concrete_value(mask)
    if value is None:
        mask._refuse(
            "Reading by a boolean mask",
            "How many elements it chooses is not known. Write where(mask, x, other), "
            "x.at[mask].set(value), or nonzero(mask, size=n).",
        )
    value = np.asarray(value)
    if value.ndim == 0:
        return [np.zeros(int(value), np.int64)]
    if value.shape != shape[axis : axis + value.ndim]:
        raise BoundsError(
            f"a boolean mask must have the shape of the axes that it indexes, "
            f"{shape[axis : axis + value.ndim]}; got {value.shape}"
        )
    return [np.asarray(p) for p in np.nonzero(value)]


def _read_item(item: Any, axis: int, length: int, check: bool) -> Any:
    if isinstance(item, slice):
        return _read_slice(item, length)
    if not (_is_array(item) or hasattr(item, "__index__")):
        raise DTypeError(
            "an index must be ints, slices, None, Ellipsis, or arrays of ints or bools; "
            f"got {type(item).__name__}: {str(item)[:60]!r}"
        )
    if _is_array(item) and not is_integer(get_aval(item).dtype):
        raise DTypeError(f"an array that indexes must have ints or bools; got {get_aval(item)}")
    value = host_value(item)
    if value is None:
        at = from_start(item, length)
        if check:
            at = check_index(at, axis, length)
        return Many(at, False) if get_aval(item).shape else Dynamic(at)
    if np.ndim(value) == 0:
        number = int(value.__index__() if not isinstance(value, np.ndarray) else value)
        if check:
            _check_bounds(number, number, axis, length)
            return number % length
        return Dynamic(np.int64(number + length if number < 0 else number))
    places = np.asarray(value).astype(np.int64, copy=False)
    if places.size and check:
        _check_bounds(int(places.min()), int(places.max()), axis, length)
    if places.size and places.min() < 0:
        places = np.where(places < 0, places + length, places)
        return Many(places, check)
    return Many(value if isinstance(item, np.ndarray) else item, check)


def _check_bounds(low: int, high: int, axis: int, length: int) -> None:
    if low < -length or high >= length:
        raise BoundsError(
            f"index {low if low < -length else high} is out of range for axis {axis} of "
            f"length {length}"
        )


def _read_slice(item: slice, length: int) -> Window:
    start, stop, step = item.indices(length)
    count = len(range(start, stop, step))
    if not count:
        start = min(start, length) if start >= 0 else 0
        return Window(start, start, 1, False)
    if step > 0:
        return Window(start, start + (count - 1) * step + 1, step if count > 1 else 1, False)
    last = start + (count - 1) * step
    return Window(last, start + 1, -step if count > 1 else 1, count > 1)


def from_start(index: Any, length: int) -> Any:
    """Return traced int64 indices counted from the start."""
    index = cast(index, I64)
    return select(lt(index, np.int64(0)), add(index, np.int64(length)), index)


def _join(plan: Plan, written: list[Any]) -> None:
    """Find what the arrays broadcast to, and where their axes go in the result.

    Ints count as arrays where there are arrays.  Next to one another they stand where the first
    of them stood; otherwise in front, as in NumPy.  An ellipsis keeps them apart even where it
    stands for no axis, so this is decided by the index as it was written.
    """
    plan.axes = [a for a, item in enumerate(plan.items) if not isinstance(item, Window)]
    shapes = [get_aval(item.value).shape for item in plan.items if isinstance(item, Many)]
    try:
        plan.batch = broadcast_shapes("indexing", *shapes)
    except ShapeError:
        raise BoundsError(
            f"the arrays that index must broadcast to one shape; got {shapes}"
        ) from None
    arrays = [
        i
        for i, item in enumerate(written)
        if not (item is None or item is Ellipsis or isinstance(item, slice))
    ]
    together = arrays[-1] - arrays[0] + 1 == len(arrays)
    plan.place = plan.axes[0] if together else 0


# --------------------------------------------------------------------------------- taking


def getitem(x: Any, index: Any) -> Any:
    """Return ``x[index]``, with NumPy's meaning.

    Parameters
    ----------
    x : Array
        The operand.
    index : object
        Ints, slices, None, Ellipsis, arrays of ints or bools, and tuples of them.
    """
    x = array_of(x)
    shape = get_aval(x).shape
    written = static_key(index)
    if written is None:
        return read(x, read_index(index, shape))
    key = shape, written
    found = _fixed.get(key)
    if found is None:
        plan = read_index(index, shape)
        if len(_fixed) >= _MOST_FIXED:
            _fixed.clear()
        found = _fixed[key] = plan.shape, _windows(plan, whole_ints=False), plan.result_shape()
    with_new_axes, windows, result = found
    return reshape(_cut(reshape(x, with_new_axes), windows), result)


_fixed: dict[Any, tuple[Shape, _Windows, Shape]] = {}
_MOST_FIXED = 1_000


def read(x: Any, plan: Plan, mode: str = "clip", fill: Any = None) -> Any:
    """Return what a plan reads."""
    x = reshape(x, plan.shape)
    if plan.advanced:
        return _read_arrays(x, plan, mode, fill)
    x = static_window(x, plan, whole_ints=False)
    dynamic = any(isinstance(item, Dynamic) for item in plan.items)
    if dynamic:
        lengths = get_aval(x).shape
        starts = [item.value if isinstance(item, Dynamic) else np.int64(0) for item in plan.items]
        sizes = [
            1 if isinstance(item, Dynamic) else n
            for item, n in zip(plan.items, lengths, strict=True)
        ]
        if 0 in lengths and any(n > d for n, d in zip(sizes, lengths, strict=True)):
            raise BoundsError(f"a traced index of an axis of length 0; shape {lengths}")
        x = dynamic_slice(x, starts, sizes)
    return reshape(x, plan.result_shape())


def static_window(x: Any, plan: Plan, whole_ints: bool) -> Any:
    """Apply the fixed slices of a plan, and its ints too unless `whole_ints`."""
    return _cut(x, _windows(plan, whole_ints))


class _Windows(NamedTuple):
    """What of each axis is kept, and which axes are reversed then."""

    starts: Shape
    limits: Shape
    strides: Shape
    reverse: tuple[int, ...]


def _windows(plan: Plan, whole_ints: bool) -> _Windows:
    starts, limits, strides, reverse = [], [], [], []
    for axis, (item, length) in enumerate(zip(plan.items, plan.shape, strict=True)):
        start, limit, stride = 0, length, 1
        if isinstance(item, Window):
            start, limit, stride = item.start, item.limit, item.stride
            if item.reverse:
                reverse.append(axis)
        elif isinstance(item, int) and not whole_ints:
            start, limit = item, item + 1
        starts.append(start)
        limits.append(limit)
        strides.append(stride)
    return _Windows(tuple(starts), tuple(limits), tuple(strides), tuple(reverse))


def _cut(x: Any, windows: _Windows) -> Any:
    x = slicing.slice_(x, windows.starts, windows.limits, windows.strides)
    return slicing.flip(x, windows.reverse) if windows.reverse else x


def index_arrays(plan: Plan) -> tuple[list[Any], bool]:
    """Return the indices of a plan's arrays and ints as operands, and whether all are in range."""
    values = []
    checked = True
    for axis in plan.axes:
        item = plan.items[axis]
        if isinstance(item, int):
            values.append(np.int64(item))
        else:
            values.append(item.value)
            checked = checked and isinstance(item, Many) and item.checked
    return values, checked


def stacked(values: list[Any], batch: Shape) -> Any:
    """Return index operands broadcast to `batch` and joined along a last axis."""
    if all(isinstance(v, (np.ndarray, np.generic)) for v in values):
        arrays = [np.broadcast_to(np.asarray(v, np.int64), batch) for v in values]
        return np.stack(arrays, axis=-1)
    columns = []
    for v in values:
        v = cast(v, I64)
        rank = get_aval(v).ndim
        v = broadcast_in_dim(v, batch, range(len(batch) - rank, len(batch)))
        columns.append(reshape(v, (*batch, 1)))
    return slicing.concatenate(columns, len(batch))


def _read_arrays(x: Any, plan: Plan, mode: str, fill: Any) -> Any:
    x = static_window(x, plan, whole_ints=True)
    values, checked = index_arrays(plan)
    lengths = get_aval(x).shape
    sizes = [1 if a in plan.axes else d for a, d in enumerate(lengths)]
    if any(lengths[a] == 0 for a in plan.axes):
        if 0 in plan.batch:
            return reshape(slicing.slice_(*_nothing(x)), plan.result_shape())
        raise BoundsError(f"an index of an axis of length 0; shape {lengths}")
    if checked and mode == "clip":
        mode = "promise_in_bounds"
    out = gather(x, stacked(values, plan.batch), plan.axes, sizes, plan.axes, 0, mode, fill)
    rank, batch, place = get_aval(out).ndim, len(plan.batch), plan.place
    if not place:
        return out
    before = range(batch, batch + place)
    return transpose(out, [*before, *range(batch), *range(batch + place, rank)])


def _nothing(x: Any) -> tuple[Any, Shape, Shape]:
    rank = get_aval(x).ndim
    return x, (0,) * rank, (0,) * rank
