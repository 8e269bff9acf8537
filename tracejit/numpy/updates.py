"""``x.at[index]``: the array that would result from writing to a part of `x`.

A window of unit stride is replaced by ``dynamic_update_slice`` with literal starts; a strided one
by choosing between the operand and the spread values; a mask by choosing; arrays of ints by
``scatter``.  Traced indices out of range write nothing; indices known to be out of range raise,
unless a `mode` is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.array import Array
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.interpreter import active
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_integer
from tracejit.numpy.division import power
from tracejit.numpy.indexing import (
    Dynamic,
    Many,
    Plan,
    Window,
    _as_index,
    _is_mask,
    index_arrays,
    read,
    read_index,
    stacked,
    static_window,
)
from tracejit.numpy.promotion import (
    array_of,
    broadcast_shapes,
    cast,
    operand,
    stretch,
)
from tracejit.numpy.quick import Quick, is_small, static_key
from tracejit.numpy.ufuncs import add, maximum, minimum, multiply, true_divide
from tracejit.ops import indexing, slicing
from tracejit.ops.arithmetic import rem, sub
from tracejit.ops.constant import iota
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import and_, eq, ge, lt, select
from tracejit.ops.shape import broadcast_in_dim, full, reshape, transpose
from tracejit.ops.windows import dynamic_slice, dynamic_update_slice

__all__ = [
    "At", "IndexedUpdate",
]  # fmt: skip

I64 = DTYPES["i64"]
Combine = Callable[[Any, Any], Any] | None

_SCATTERS = {
    "set": indexing.scatter,
    "add": indexing.scatter_add,
    "multiply": indexing.scatter_mul,
    "min": indexing.scatter_min,
    "max": indexing.scatter_max,
}
_MODES = {None: "drop", "drop": "drop", "fill": "drop", "clip": "clip"}
_READ_MODES = {None: "clip", "clip": "clip", "fill": "fill", "drop": "fill"}


class At:
    """``x.at``: take it with an index."""

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> IndexedUpdate:
        return IndexedUpdate(self._x, index)

    def __repr__(self) -> str:
        return f"At({self._x!r})"


class IndexedUpdate:
    """``x.at[index]``: what to do with that part of `x`.

    Every method returns a new array.  `mode` says what is done out of range: "drop" (also
    "fill"), "clip" or "promise_in_bounds".  `unique_indices` promises that no place is written
    twice.
    """

    __slots__ = ("_index", "_x")

    def __init__(self, x: Any, index: Any) -> None:
        self._x = x
        self._index = index

    def get(self, *, mode: str | None = None, fill_value: Any = None, **promises: Any) -> Any:
        """Return the part: ``x[index]``."""
        del promises
        if fill_value is not None and mode is None:
            mode = "fill"
        plan = read_index(self._index, get_aval(self._x).shape, check=mode is None)
        how = "promise_in_bounds" if mode == "promise_in_bounds" else _read_mode(mode)
        if how == "fill" and not plan.advanced:
            plan = _all_arrays(plan)
        fill = None if fill_value is None else np.asarray(fill_value)[()]
        return read(self._x, plan, how, fill)

    def set(self, values: Any, **how: Any) -> Any:
        """Return `x` with the part replaced."""
        return _update(self._x, self._index, values, "set", None, **how)

    def add(self, values: Any, **how: Any) -> Any:
        """Return `x` with `values` added to the part, repeatedly at repeated indices."""
        return _update(self._x, self._index, values, "add", add, **how)

    def subtract(self, values: Any, **how: Any) -> Any:
        """Return `x` with `values` subtracted from the part."""
        dtype = get_aval(self._x).dtype
        return self.add(sub(dtype.type(0), _value(values, dtype)), **how)

    def multiply(self, values: Any, **how: Any) -> Any:
        """Return `x` with the part multiplied."""
        return _update(self._x, self._index, values, "multiply", multiply, **how)

    mul = multiply

    def divide(self, values: Any, **how: Any) -> Any:
        """Return `x` with the part divided."""
        return self._by_factors(true_divide, values, **how)

    def power(self, values: Any, **how: Any) -> Any:
        """Return `x` with the part raised to a power."""
        return self._by_factors(power, values, **how)

    def min(self, values: Any, **how: Any) -> Any:
        """Return `x` with the part at most `values`."""
        return _update(self._x, self._index, values, "min", minimum, **how)

    def max(self, values: Any, **how: Any) -> Any:
        """Return `x` with the part at least `values`."""
        return _update(self._x, self._index, values, "max", maximum, **how)

    def apply(self, function: Callable[[Any], Any], **how: Any) -> Any:
        """Return `x` with ``function(part)`` in place of the part, element by element."""
        if _traced_mask(self._index) is not None:
            return _in_region(self._x, self._index, "apply", function)
        return self.set(function(self.get(mode=how.get("mode"))), **how)

    def _by_factors(self, function: Callable[[Any, Any], Any], values: Any, **how: Any) -> Any:
        aval = get_aval(self._x)
        ones = array_of(full(aval.shape, 1, aval.dtype))
        factors = IndexedUpdate(ones, self._index).multiply(values, **how)
        return cast(function(self._x, factors), aval.dtype)


def _read_mode(mode: str | None) -> str:
    if mode not in _READ_MODES:
        raise ShapeError(f"at[...].get: mode must be fill, clip or promise_in_bounds; got {mode!r}")
    return _READ_MODES[mode]


def _value(values: Any, dtype: np.dtype[Any]) -> Any:
    x = operand(values)
    if is_complex(get_aval(x).dtype) and not is_complex(dtype):
        raise DTypeError(f"at[...]: complex values cannot be written to {dtype}; take .real first")
    if is_integer(dtype) and isinstance(x, float):
        x = int(x)
    return cast(x, dtype)


_quick = Quick()
_TAKE_SCALARS = frozenset(DTYPES[s] for s in ("f32", "f64"))


def _update(
    x: Any, index: Any, values: Any, name: str, combine: Combine, **how: Any
) -> Any:
    """Update an Array by a native function, if it is an update that was often done."""
    if how or type(x) is not Array or active() is not None or not is_small(x.aval):
        return _updated(x, index, values, name, combine, **how)
    kind = type(values)
    given: Any = kind
    if kind is Array:
        given = values.aval if is_small(values.aval) else None
    elif (kind is not float and kind is not int) or x.aval.dtype not in _TAKE_SCALARS:
        given = None
    static = static_key(index)
    if given is None or static is None:
        return _updated(x, index, values, name, combine)
    key = x.aval, static, name, given
    quick = _quick.ready.get(key)
    if quick is not None:
        return quick(x, values)
    found = _updated(x, index, values, name, combine)
    _quick.count(key, lambda x, values: _updated(x, index, values, name, combine))
    return found


def _updated(
    x: Any,
    index: Any,
    values: Any,
    name: str,
    combine: Combine,
    *,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    **unknown: Any,
) -> Any:
    del indices_are_sorted
    if unknown:
        raise TypeError(f"at[...].{name}: unexpected arguments {sorted(unknown)}")
    aval = get_aval(x)
    v = _value(values, aval.dtype)
    mask = _whole_mask(index, aval.shape, v)
    if mask is not None:
        return _by_mask(x, mask, v, combine)
    if _traced_mask(index) is not None:
        return _in_region(x, index, name, combine, v)
    plan = read_index(index, aval.shape, check=mode is None)
    own = get_aval(v).shape
    target = plan.result_shape()
    while len(own) > len(target) and own[0] == 1:  # NumPy drops leading axes of length 1
        own = own[1:]
        v = reshape(v, own)
    if broadcast_shapes(f"at[...].{name}", own, target) != target:
        raise ShapeError(
            f"at[...].{name}: the values must broadcast to the part of shape {target}; got {own}"
        )
    if 0 in target:
        return x
    whole = reshape(x, plan.shape)
    strided = any(isinstance(i, Window) and i.stride > 1 for i in plan.items)
    dynamic = any(isinstance(i, Dynamic) for i in plan.items)
    if plan.advanced or (dynamic and (strided or mode == "clip")):
        out = _by_scatter(whole, plan, stretch(array_of(v), target), name, mode, unique_indices)
    elif strided:
        out = _strided(whole, plan, v, combine)
    else:
        out = _by_window(whole, plan, v, combine)
    if get_aval(out).weak and not aval.weak:  # all of it was replaced by traced scalars
        out = convert_element_type(out, aval.dtype)
    return reshape(out, aval.shape)


# ----------------------------------------------------------------------------------- masks


def _whole_mask(index: Any, shape: tuple[int, ...], v: Any) -> Any:
    """Return the mask if the index is one mask and the values do not depend on its elements."""
    if isinstance(index, tuple):
        if len(index) != 1:
            return None
        (index,) = index
    index = _as_index(index)
    if not _is_mask(index):
        return None
    rank = get_aval(index).ndim
    if rank == 0 or get_aval(index).shape != shape[:rank]:
        return None
    if get_aval(v).ndim > len(shape) - rank:
        if isinstance(index, Tracer) and index.concrete is None:
            raise ShapeError(
                f"at[mask]: how many elements a traced mask chooses is not known, so the values "
                f"must have the shape of the rest, {shape[rank:]}, or be a scalar; "
                f"got {get_aval(v).shape}; write where(mask, values, x) for values of shape {shape}"
            )
        return None
    return index


def _by_mask(x: Any, mask: Any, v: Any, combine: Combine) -> Any:
    shape = get_aval(x).shape
    mask = broadcast_in_dim(array_of(mask), shape, range(get_aval(mask).ndim))
    if get_aval(v).shape:
        v = stretch(v, shape)
    return select(mask, v if combine is None else combine(x, v), x)


def _traced_mask(index: Any) -> int | None:
    """Return which item is a mask whose elements are not known, if there is one."""
    items = index if isinstance(index, tuple) else (index,)
    for n, item in enumerate(items):
        if isinstance(item, Tracer) and item.concrete is None and _is_mask(item) and item.ndim:
            return n
    return None


def _is_basic(item: Any) -> bool:
    """Whether an item is of those that arrays of indices may stand between."""
    return item is None or item is Ellipsis or isinstance(item, slice)


def _in_region(x: Any, index: Any, name: str, function: Any, v: Any = None) -> Any:
    """Update by a traced mask among slices and ints: all of its axes, then what it chooses.

    Parameters
    ----------
    x : Array
        The operand.
    index : tuple
        With one traced mask.
    name : str
        Of the method.
    function : callable or None
        Of the part and, if given, of the values; None returns the values.
    v : Array, optional
        Values that are the same for all that the mask chooses.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    n = _traced_mask(index)
    assert n is not None
    mask = items[n]
    many = [i for i in items if not _is_basic(i) and get_aval(_as_index(i)).ndim]
    if len(many) > 1:
        raise ShapeError(
            f"at[...].{name}: a traced mask goes with slices and ints, not with other arrays: how "
            "many elements it chooses is not known; write where(mask, values, x)"
        )
    rank = mask.ndim
    whole = (*items[:n], *[slice(None)] * rank, *items[n + 1 :])
    part = IndexedUpdate(x, whole).get()
    shape = get_aval(part).shape
    first = sum(map(_is_basic, items[:n]))
    if any(i is Ellipsis for i in items[:n]):
        first = len(shape) - rank - sum(map(_is_basic, items[n + 1 :]))
    if shape[first : first + rank] != get_aval(mask).shape:
        raise ShapeError(
            f"at[...].{name}: a mask must have the shape of the axes that it indexes, "
            f"{shape[first : first + rank]}; got {get_aval(mask).shape}"
        )
    chosen = broadcast_in_dim(mask, shape, range(first, first + rank))
    if v is None:
        return IndexedUpdate(x, whole).set(select(chosen, cast(function(part), get_aval(x).dtype),
                                                  part))  # fmt: skip
    # As in NumPy, what arrays and ints choose comes first if a slice stands between them.
    at = [k for k, i in enumerate(items) if not _is_basic(i)]
    place = first if at[-1] - at[0] == len(at) - 1 else 0
    rest = (*shape[:first], *shape[first + rank :])
    target = (*rest[:place], 1, *rest[place:])
    own = get_aval(v).shape
    if broadcast_shapes(f"at[...].{name}", own, target) != target:
        raise ShapeError(
            f"at[...].{name}: how many elements a traced mask chooses is not known, so the values "
            f"must broadcast to {target}; got {own}"
        )
    v = stretch(array_of(v), target)
    order = [a for a in range(len(target)) if a != place]
    v = transpose(v, (*order[:first], place, *order[first:]))
    v = stretch(reshape(v, (*shape[:first], *[1] * rank, *shape[first + rank :])), shape)
    new = v if function is None else function(part, v)
    return IndexedUpdate(x, whole).set(select(chosen, new, part))


# --------------------------------------------------------------------------------- windows


def _to_window(plan: Plan, v: Any) -> Any:
    """Return values of the shape of a result as the window that they fill: ascending, all axes."""
    v = stretch(array_of(v), plan.result_shape())
    lengths = [i.length if isinstance(i, Window) else 1 for i in plan.items]
    reverse = [a for a, i in enumerate(plan.items) if isinstance(i, Window) and i.reverse]
    return slicing.flip(reshape(v, lengths), reverse)


def _ascending(plan: Plan) -> Plan:
    """Return the plan with windows not reversed and ints as windows of length 1."""
    items = [
        Window(i.start, i.limit, i.stride, False)
        if isinstance(i, Window)
        else Window(i, i + 1, 1, False)
        if isinstance(i, int)
        else i
        for i in plan.items
    ]
    return Plan(plan.shape, items)


def _by_window(x: Any, plan: Plan, v: Any, combine: Combine) -> Any:
    v = _to_window(plan, v)
    sizes = get_aval(v).shape
    starts, inside = [], None
    for item, length in zip(plan.items, plan.shape, strict=True):
        if isinstance(item, Dynamic):
            starts.append(item.value)
            at = item.value
            fits = and_(ge(at, np.int64(0)), lt(at, np.int64(length)))
            inside = fits if inside is None else and_(inside, fits)
        else:
            starts.append(np.int64(item.start if isinstance(item, Window) else item))
    if inside is not None:
        old = dynamic_slice(x, starts, sizes)
        v = v if combine is None else combine(old, v)
        # The window is clamped: out of range it is written back as it was.
        v = select(inside, v, old)
    elif combine is not None:
        v = combine(static_window(x, _ascending(plan), whole_ints=False), v)
    if sizes == plan.shape and inside is None:
        return v
    return dynamic_update_slice(x, v, starts)


def _strided(x: Any, plan: Plan, v: Any, combine: Combine) -> Any:
    v = _to_window(plan, v)
    if combine is not None:
        v = combine(static_window(x, _ascending(plan), whole_ints=False), v)
    config, mask = [], None
    for axis, (item, length) in enumerate(zip(_ascending(plan).items, plan.shape, strict=True)):
        used = item.start + (item.length - 1) * item.stride + 1
        config.append((item.start, length - used, item.stride - 1))
        test = _on_window(plan.shape, axis, item, used)
        if test is not None:
            mask = test if mask is None else and_(mask, test)
    spread = slicing.pad(v, get_aval(x).dtype.type(0), config)
    return spread if mask is None else select(mask, spread, x)


def _on_window(shape: tuple[int, ...], axis: int, item: Window, used: int) -> Any:
    """Whether a position is on a window along one axis; None if all are."""
    if item.covers(shape[axis]):
        return None
    place = iota(shape, axis, I64)
    tests = []
    if item.start:
        tests.append(ge(place, np.int64(item.start)))
    if used < shape[axis]:
        tests.append(lt(place, np.int64(used)))
    if item.stride > 1:
        offset = sub(place, np.int64(item.start)) if item.start else place
        tests.append(eq(rem(offset, np.int64(item.stride)), np.int64(0)))
    out = tests[0]
    for test in tests[1:]:
        out = and_(out, test)
    return out


# -------------------------------------------------------------------------------- scatters


def _all_arrays(plan: Plan) -> Plan:
    """Return a plan of ints and slices as one of arrays, whose reads can be filled."""
    items = [
        Many(np.asarray([i], np.int64), False)
        if isinstance(i, int)
        else Many(reshape(array_of(i.value), (1,)), False)
        if isinstance(i, Dynamic)
        else i
        for i in plan.items
    ]
    axes = [a for a, i in enumerate(items) if isinstance(i, Many)]
    if not axes:
        return plan
    # Values of shape (1,) broadcast to (), that of the scalars they were.
    items = [
        Many(reshape(array_of(i.value), ()), False) if isinstance(i, Many) else i for i in items
    ]
    first, last = axes[0], axes[-1]
    together = last - first + 1 == len(axes)
    return Plan(plan.shape, items, (), axes, first if together else 0)


def _by_scatter(x: Any, plan: Plan, v: Any, name: str, mode: str | None, unique: bool) -> Any:
    if not plan.advanced:
        plan = _all_arrays(plan)
    batch, place = len(plan.batch), plan.place
    rank = get_aval(v).ndim
    v = transpose(v, [*range(place, place + batch), *range(place), *range(place + batch, rank)])
    values, checked = index_arrays(plan)
    axes = list(plan.axes)
    # A slice that is not a whole axis becomes one more array, walked across the others.
    windows = [a for a, i in enumerate(plan.items) if isinstance(i, Window)]
    partial = [a for a in windows if not plan.items[a].covers(plan.shape[a])]
    shape = plan.batch
    if partial:
        kept = [batch + windows.index(a) for a in partial]
        rest = [batch + i for i, a in enumerate(windows) if a not in partial]
        v = transpose(v, [*range(batch), *kept, *rest])
        values = [reshape(array_of(u), get_aval(u).shape + (1,) * len(partial)) for u in values]
        for i, a in enumerate(partial):
            item = plan.items[a]
            line = item.start + np.arange(item.length) * item.stride
            line = line[::-1] if item.reverse else line
            spread = [1] * len(partial)
            spread[i] = item.length
            values.append(line.reshape(spread))
            shape = (*shape, item.length)
            axes.append(a)
    order = sorted(range(len(axes)), key=axes.__getitem__)
    axes, values = [axes[i] for i in order], [values[i] for i in order]
    if mode is None and checked:
        how = "promise_in_bounds"
    elif mode == "promise_in_bounds":
        how = mode
    elif mode in _MODES:
        how = _MODES[mode]
    else:
        raise ShapeError(f"at[...]: mode must be drop, clip or promise_in_bounds; got {mode!r}")
    return _SCATTERS[name](x, stacked(values, shape), v, axes, axes, 0, how, unique)
