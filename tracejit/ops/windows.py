"""Windows at traced positions: reading one, and replacing one.

Both primitives have leading lane axes, whose number is the param ``lanes``: every lane has starts
of its own, of the shape of the lane axes.  It is what they become under ``vmap``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, is_integer
from tracejit.ops._placement import gather_impl, int64_starts, scatter_impl
from tracejit.ops._pointwise import move_axis
from tracejit.ops.convert import convert_element_type
from tracejit.ops.indexing import gather, to_lanes
from tracejit.ops.shape import reshape, zeros_like_aval
from tracejit.ops.slicing import concatenate

__all__ = ["dynamic_slice", "dynamic_update_slice"]

Index = tuple[Any, ...]
Loader = Callable[[Index], Any]
_put = scatter_impl("set")
INT64 = DTYPES["i64"]


def dynamic_slice(x: Any, starts: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Take a window at traced positions.

    Parameters
    ----------
    x : Array, shape (d[0], ..., d[n-1]), any dtype
        The operand.
    starts : sequence of integer scalars, length n
        Where the window starts; clamped so that it lies within `x`.
    sizes : sequence of int, length n
        The shape of the window.

    Raises
    ------
    ShapeError
        If the window is larger than `x`, or there is not one start an axis.
    DTypeError
        If a start is not an integer.
    """
    if not sizes:
        return x
    return dynamic_slice_p.bind(x, *starts, sizes=tuple(sizes), lanes=0)


def _check_starts(name: str, x: ShapedArray, starts: Sequence[ShapedArray], lanes: int) -> None:
    if len(starts) != x.ndim - lanes or any(s.shape != x.shape[:lanes] for s in starts):
        raise ShapeError(
            f"{name}: one scalar start for each axis of shape {x.shape[lanes:]}; "
            f"got {list(starts)}"
        )
    if not all(is_integer(s.dtype) for s in starts):
        raise DTypeError(f"{name}: the starts must be integers; got {list(starts)}")


def _dynamic_slice_shape(
    x: ShapedArray, *starts: ShapedArray, sizes: tuple[int, ...], lanes: int
) -> ShapedArray:
    _check_starts("dynamic_slice", x, starts, lanes)
    shape = x.shape[lanes:]
    if len(sizes) != len(shape) or any(not 0 <= n <= d for n, d in zip(sizes, shape, strict=True)):
        raise ShapeError(f"dynamic_slice: a window within shape {shape}; got sizes {sizes}")
    return x.update(shape=(*x.shape[:lanes], *sizes))


def _window(x: Any, starts: Sequence[Any], sizes: Sequence[int]) -> tuple[slice, ...]:
    """Return the index of the window where there are no lanes."""
    places = [
        min(max(int(a), 0), d - n) for a, d, n in zip(starts, x.shape, sizes, strict=True)
    ]
    return tuple(slice(a, a + n) for a, n in zip(places, sizes, strict=True))


def _dynamic_slice_impl(xp: Any, x: Any, *starts: Any, sizes: tuple[int, ...], lanes: int) -> Any:
    if not lanes:
        return x[_window(x, starts, sizes)].copy()
    indices = xp.stack([int64_starts(xp, a) for a in starts], -1)
    axes = tuple(range(len(sizes)))
    return gather_impl(
        xp, x, indices, axes=axes, sizes=sizes, collapsed=(), lanes=lanes, mode="clip", fill=None
    )


def _dynamic_slice_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    x, *starts = primals
    out = dynamic_slice_p.bind(x, *starts, **params)
    t = tangents[0]
    if isinstance(t, Zero):
        return out, Zero(get_aval(out))
    return out, dynamic_slice_p.bind(t, *starts, **params)


def _dynamic_slice_transpose(
    ct: Any, x: Any, *starts: Any, sizes: tuple[int, ...], lanes: int
) -> tuple[Any, ...]:
    del sizes
    zeros = zeros_like_aval(x.aval)
    full = dynamic_update_slice_p.bind(zeros, ct, *starts, lanes=lanes)
    return (full, *(None for _ in starts))


def _dynamic_slice_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, sizes: tuple[int, ...], lanes: int
) -> tuple[Any, int]:
    x, *starts = operands
    b = axes[0]
    if b is not None and all(a is None for a in axes[1:]) and lanes == 0:
        zero = np.int64(0)
        n = get_aval(x).shape[b]
        full = (*sizes[:b], n, *sizes[b:])
        return dynamic_slice(x, [*starts[:b], zero, *starts[b:]], full), b
    if b is None:  # windows of one array: it need not be copied
        return _gathered(x, starts, axes[1:], sizes, lanes), lanes
    moved, _ = to_lanes(operands, axes)
    return dynamic_slice_p.bind(*moved, sizes=sizes, lanes=lanes + 1), 0


def _gathered(
    x: Any, starts: Sequence[Any], axes: Sequence[int | None], sizes: Sequence[int], lanes: int
) -> Any:
    """Read windows whose starts have one more axis than `x` has lanes."""
    moved, _ = to_lanes(starts, axes)
    columns = []
    for start in moved:
        start = move_axis(convert_element_type(start, INT64), 0, lanes)
        columns.append(reshape(start, (*get_aval(start).shape, 1)))
    return gather(x, concatenate(columns, lanes + 1), range(len(sizes)), sizes, lanes=lanes)


def _dynamic_slice_lower(
    k: Any, x: Any, *starts: Loader, sizes: tuple[int, ...], lanes: int
) -> Loader:
    shape = x.aval.shape

    def load(index: Index) -> Any:
        lane = index[:lanes]
        at = [
            k.add_index(i, k.data_index(s(lane), 0, d - n))
            for i, s, d, n in zip(index[lanes:], starts, shape[lanes:], sizes, strict=True)
        ]
        return x((*lane, *at))

    return load


dynamic_slice_p: Primitive = define(
    "dynamic_slice",
    impl=_dynamic_slice_impl,
    shape=_dynamic_slice_shape,
    jvp=_dynamic_slice_jvp,
    transpose=_dynamic_slice_transpose,
    batch=_dynamic_slice_batch,
    lower=_dynamic_slice_lower,
)


def dynamic_update_slice(x: Any, update: Any, starts: Sequence[Any]) -> Any:
    """Replace a window at traced positions.

    Parameters
    ----------
    x : Array, shape (d[0], ..., d[n-1]), any dtype
        The operand.
    update : Array, rank n, no axis longer than that of `x`, dtype of `x`
        What is put there.
    starts : sequence of integer scalars, length n
        Where the window starts; clamped so that it lies within `x`.

    Raises
    ------
    ShapeError
        If the window is larger than `x`, or there is not one start an axis.
    DTypeError
        If a start is not an integer, or the dtypes differ.
    """
    if not get_aval(x).shape:
        return update
    return dynamic_update_slice_p.bind(x, update, *starts, lanes=0)


def _update_shape(
    x: ShapedArray, update: ShapedArray, *starts: ShapedArray, lanes: int
) -> ShapedArray:
    _check_starts("dynamic_update_slice", x, starts, lanes)
    if update.dtype != x.dtype:
        raise DTypeError(
            f"dynamic_update_slice: one dtype for both; got {x.dtype} and {update.dtype}"
        )
    fits = (
        update.ndim == x.ndim
        and update.shape[:lanes] == x.shape[:lanes]
        and all(n <= d for n, d in zip(update.shape, x.shape, strict=True))
    )
    if not fits:
        raise ShapeError(
            f"dynamic_update_slice: an update within shape {x.shape}; got {update.shape}"
        )
    return x.update()


def _update_impl(xp: Any, x: Any, update: Any, *starts: Any, lanes: int) -> Any:
    if not lanes:
        out = xp.array(x)
        out[_window(x, starts, update.shape)] = update
        return out
    indices = xp.stack([int64_starts(xp, a) for a in starts], -1)
    axes = tuple(range(x.ndim - lanes))
    return _put(
        xp, x, indices, update, axes=axes, collapsed=(), lanes=lanes, mode="clip", unique=True
    )


def _update_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, lanes: int
) -> tuple[Any, Any]:
    x, update, *starts = primals
    out = dynamic_update_slice_p.bind(x, update, *starts, lanes=lanes)
    t, tu = (
        zeros_like_aval(t.aval) if isinstance(t, Zero) else t for t in tangents[:2]
    )
    if all(isinstance(t, Zero) for t in tangents[:2]):
        return out, Zero(get_aval(out))
    return out, dynamic_update_slice_p.bind(t, tu, *starts, lanes=lanes)


def _update_transpose(
    ct: Any, x: Any, update: Any, *starts: Any, lanes: int
) -> tuple[Any, ...]:
    aval = update.aval if isinstance(update, Linear) else get_aval(update)
    ct_x = ct_update = None
    if isinstance(x, Linear):
        zeros = zeros_like_aval(ShapedArray(aval.shape, aval.dtype))
        ct_x = dynamic_update_slice_p.bind(ct, zeros, *starts, lanes=lanes)
    if isinstance(update, Linear):
        ct_update = dynamic_slice_p.bind(ct, *starts, sizes=aval.shape[lanes:], lanes=lanes)
    return (ct_x, ct_update, *(None for _ in starts))


def _update_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, lanes: int
) -> tuple[Any, int]:
    moved, _ = to_lanes(operands, axes)
    if lanes == 0 and all(a is None for a in axes[2:]):
        x, update = moved[:2]
        return dynamic_update_slice(x, update, [np.int64(0), *operands[2:]]), 0
    return dynamic_update_slice_p.bind(*moved, lanes=lanes + 1), 0


def _update_lower(k: Any, x: Any, update: Any, *starts: Loader, lanes: int) -> Loader:
    shape, sizes = x.aval.shape[lanes:], update.aval.shape[lanes:]
    static = [k.static_index(s) if not lanes else None for s in starts]
    fixed = [s for s in static if s is not None]

    def load(index: Index) -> Any:
        lane, at = index[:lanes], index[lanes:]
        if not any(sizes):
            return x(index)
        if len(fixed) == len(starts):
            # A window that is known: its borders split the domain.
            where = [min(max(s, 0), d - n) for s, d, n in zip(fixed, shape, sizes, strict=True)]
            inner = tuple([k.add_index(i, -a) for i, a in zip(at, where, strict=True)])
            conditions = [(i, 0, n) for i, n in zip(inner, sizes, strict=True)]
            return k.inside(conditions, lambda: update(inner), lambda: x(index))
        within = None
        inner_ = []
        for i, s, d, n in zip(at, starts, shape, sizes, strict=True):
            start = k.data_index(s(lane), 0, d - n)
            moved = k.add_index(i, k.scale_index(start, -1))
            if n < d:
                value = k.index_value(moved, INT64)
                zero, end = k.scalar(0, INT64), k.scalar(n, INT64)
                test = k.apply("and", k.apply("ge", value, zero), k.apply("lt", value, end))
                within = test if within is None else k.apply("and", within, test)
                moved = k.data_index(value, 0, n - 1)
            inner_.append(moved)
        if within is None:
            return update((*lane, *inner_))
        return k.apply("select", within, update((*lane, *inner_)), x(index))

    return load


dynamic_update_slice_p: Primitive = define(
    "dynamic_update_slice",
    impl=_update_impl,
    shape=_update_shape,
    jvp=_update_jvp,
    transpose=_update_transpose,
    batch=_update_batch,
    lower=_update_lower,
)
