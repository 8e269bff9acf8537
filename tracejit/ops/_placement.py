"""What gather and the scatters share: what shapes they take, and their NumPy meaning.

See :mod:`tracejit.ops.indexing` for the form of indices and windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_bool, is_inexact, is_integer, is_unsigned

__all__ = [
    "fill_value",
    "gather_impl",
    "gather_shape",
    "int64_starts",
    "scatter_impl",
    "scatter_shape",
    "window_sizes",
]

Axes = tuple[int, ...]
READ_MODES = ("clip", "fill", "promise_in_bounds")
WRITE_MODES = ("clip", "drop", "promise_in_bounds")


def check_indices(
    name: str, x: ShapedArray, indices: ShapedArray, axes: Axes, collapsed: Axes, lanes: int
) -> None:
    if not is_integer(indices.dtype):
        raise DTypeError(f"{name}: the indices must be integers; got {indices.dtype}")
    rank = x.ndim - lanes
    if indices.ndim <= lanes or rank < 0 or x.shape[:lanes] != indices.shape[:lanes]:
        raise ShapeError(
            f"{name}: the operand and the indices must share {lanes} leading axes, and the "
            f"indices have one more at least; got {x.shape} and {indices.shape}"
        )
    if indices.shape[-1] != len(axes):
        raise ShapeError(
            f"{name}: the last axis of the indices must have one start for each of the axes "
            f"{axes}; got shape {indices.shape}"
        )
    for what, named in (("axes", axes), ("collapsed axes", collapsed)):
        if len(set(named)) != len(named) or not all(0 <= a < rank for a in named):
            raise ShapeError(
                f"{name}: the {what} must be distinct and within shape {x.shape[lanes:]}; "
                f"got {named}"
            )


def check_mode(name: str, mode: str, modes: Sequence[str]) -> None:
    if mode not in modes:
        raise ShapeError(f"{name}: mode must be one of {', '.join(modes)}; got {mode!r}")


def gather_shape(
    x: ShapedArray,
    indices: ShapedArray,
    *,
    axes: Axes,
    sizes: Axes,
    collapsed: Axes,
    lanes: int,
    mode: str,
    fill: Any,
) -> ShapedArray:
    del fill
    check_indices("gather", x, indices, axes, collapsed, lanes)
    check_mode("gather", mode, READ_MODES)
    shape, batch = x.shape[lanes:], indices.shape[lanes:-1]
    reads = math.prod(batch)  # from nowhere, nothing need be there
    if len(sizes) != len(shape) or any(
        n < 0 or (n > d and reads) for n, d in zip(sizes, shape, strict=True)
    ):
        raise ShapeError(
            f"gather: the sizes of a window must lie within shape {shape}; got {sizes}"
        )
    if any(sizes[a] != 1 for a in collapsed):
        raise ShapeError(
            f"gather: windows must have length 1 along the collapsed axes {collapsed}; got {sizes}"
        )
    window = tuple(n for a, n in enumerate(sizes) if a not in collapsed)
    return x.update(shape=(*x.shape[:lanes], *batch, *window))


def int64_starts(xp: Any, indices: Any) -> Any:
    """Return indices as int64; those that it does not hold become large."""
    if indices.dtype == np.uint64:
        indices = xp.minimum(indices, np.uint64(2**63 - 1))
    return indices.astype(np.int64)


def _located(xp: Any, indices: Any, room: Sequence[int]) -> tuple[Any, Any]:
    """Return where windows start, moved inside, and which were inside; None if all were."""
    starts, limits = int64_starts(xp, indices), xp.asarray(room, dtype=np.int64)
    inside = (starts >= 0) & (starts <= limits)
    if inside.all():
        return starts, None
    return xp.clip(starts, 0, limits), inside.all(-1)


def _along(xp: Any, length: int, axis: int, rank: int) -> Any:
    """Return ``0 .. length-1`` along one axis of an array of `rank`."""
    return xp.arange(length).reshape([length if a == axis else 1 for a in range(rank)])


def fill_value(fill: Any, dtype: np.dtype[Any]) -> Any:
    if fill is not None:
        return fill
    if is_inexact(dtype):
        return float("nan")
    if is_bool(dtype):
        return True
    limits = np.iinfo(dtype)
    return int(limits.max if is_unsigned(dtype) else limits.min)


def gather_impl(
    xp: Any,
    x: Any,
    indices: Any,
    *,
    axes: Axes,
    sizes: Axes,
    collapsed: Axes,
    lanes: int,
    mode: str,
    fill: Any,
) -> Any:
    outer, shape, batch = x.shape[:lanes], x.shape[lanes:], indices.shape[lanes:-1]
    window = [n for a, n in enumerate(sizes) if a not in collapsed]
    result = (*outer, *batch, *window)
    if 0 in result:
        return xp.zeros(result, x.dtype)
    at, inside = _located(xp, indices, [shape[a] - sizes[a] for a in axes])
    # The axes with starts go first, so that the others are read in one piece.
    others = [a for a in range(len(shape)) if a not in axes]
    x = xp.transpose(x, [*range(lanes), *(lanes + a for a in (*axes, *others))])
    x = x[(..., *(slice(0, sizes[a]) for a in others))]
    front = lanes + len(batch)
    if len(axes) == 1 and lanes == 0 and sizes[axes[0]] == 1:  # the quick way of NumPy
        x = xp.take(x, at[..., 0], axis=0)
        x = x.reshape((*batch, 1, *x.shape[len(batch) :]))
    elif axes:
        rank = front + len(axes)
        places = [_along(xp, d, a, rank) for a, d in enumerate(outer)]
        for j, a in enumerate(axes):
            start = at[..., j].reshape((*outer, *batch, *(1 for _ in axes)))
            places.append(start + _along(xp, sizes[a], front + j, rank))
        x = x[tuple(places)]
    else:
        x = x.reshape((*outer, *(1 for _ in batch), *x.shape[lanes:]))
    now = [*axes, *others]
    x = xp.transpose(x, [*range(front), *(front + now.index(a) for a in range(len(shape)))])
    x = xp.broadcast_to(x, (*outer, *batch, *sizes)).reshape(result)
    if mode == "fill" and inside is not None:
        inside = inside.reshape((*outer, *batch, *(1 for _ in window)))
        x = xp.where(inside, x, xp.asarray(fill_value(fill, x.dtype)).astype(x.dtype))
    return x


def window_sizes(
    x: tuple[int, ...], updates: tuple[int, ...], front: int, collapsed: Axes, lanes: int
) -> list[int]:
    """Return the lengths of a window along every axis after the lanes."""
    window = iter(updates[front:])
    return [1 if a in collapsed else next(window) for a in range(len(x) - lanes)]


def scatter_shape(name: str) -> Callable[..., ShapedArray]:
    def rule(
        x: ShapedArray,
        indices: ShapedArray,
        updates: ShapedArray,
        *,
        axes: Axes,
        collapsed: Axes,
        lanes: int,
        mode: str,
        unique: bool,
    ) -> ShapedArray:
        del unique
        check_indices(name, x, indices, axes, collapsed, lanes)
        check_mode(name, mode, WRITE_MODES)
        if x.dtype != updates.dtype:
            raise DTypeError(
                f"{name}: the operand and the updates must have one dtype; "
                f"got {x.dtype} and {updates.dtype}"
            )
        front = indices.ndim - 1
        rank = front + x.ndim - lanes - len(collapsed)
        fits = updates.ndim == rank and updates.shape[:front] == indices.shape[:-1]
        if fits and updates.size:
            sizes = window_sizes(x.shape, updates.shape, front, collapsed, lanes)
            fits = all(n <= d for n, d in zip(sizes, x.shape[lanes:], strict=True))
        if not fits:
            raise ShapeError(
                f"{name}: the updates must have shape {indices.shape[:-1]} and then windows "
                f"within {x.shape[lanes:]} but for the collapsed axes {collapsed}; "
                f"got {updates.shape}"
            )
        return x.update()

    return rule


def _combine(xp: Any, function: str, flat: Any, places: Any, values: Any) -> None:
    if function == "set":
        flat[places] = values  # one-dimensional and contiguous, so the last value wins
    else:
        getattr(xp, function).at(flat, places, values)


def scatter_impl(function: str) -> Callable[..., Any]:
    """Return the impl of a scatter that combines by a ufunc of `xp`, or by ``"set"``."""

    def impl(
        xp: Any,
        x: Any,
        indices: Any,
        updates: Any,
        *,
        axes: Axes,
        collapsed: Axes,
        lanes: int,
        mode: str,
        unique: bool,
    ) -> Any:
        del unique
        if updates.size == 0:
            return x
        if xp is not np:
            # Where places repeat, CuPy does not say which of them is written last.
            raise NotImplementedError(f"{function}: {xp.__name__} writes in no order")
        dtype, outer, shape = x.dtype, x.shape[:lanes], x.shape[lanes:]
        batch = indices.shape[lanes:-1]
        sizes = window_sizes(x.shape, updates.shape, lanes + len(batch), collapsed, lanes)
        # Trailing axes that every window covers are moved in one piece.
        whole = len(shape)
        while whole and whole - 1 not in axes and sizes[whole - 1] == shape[whole - 1]:
            whole -= 1
        piece = math.prod(shape[whole:]) if function == "set" else 1
        whole = whole if function == "set" else len(shape)

        at, inside = _located(xp, indices, [shape[a] - sizes[a] for a in axes])
        front = lanes + len(batch)
        rank = front + whole
        stride = [math.prod(x.shape[a + 1 :]) // piece for a in range(x.ndim)]
        terms = [_along(xp, d, a, rank) * stride[a] for a, d in enumerate(outer)]
        for j, a in enumerate(axes):
            start = at[..., j].reshape((*outer, *batch, *(1 for _ in range(whole))))
            terms.append(start if stride[lanes + a] == 1 else start * stride[lanes + a])
        terms += [
            _along(xp, sizes[a], front + a, rank) * stride[lanes + a]
            for a in range(whole)
            if sizes[a] != 1
        ]
        places = sum(terms[1:], start=terms[0]) if terms else xp.zeros((), np.int64)
        places = xp.broadcast_to(places, (*outer, *batch, *sizes[:whole])).reshape(-1)

        values = updates.reshape(-1, piece)
        if mode == "drop" and inside is not None:
            inside = inside.reshape((*outer, *batch, *(1 for _ in range(whole))))
            inside = xp.broadcast_to(inside, (*outer, *batch, *sizes[:whole])).reshape(-1)
            places, values = places[inside], values[inside]
        narrow = dtype.itemsize == 2 and dtype.kind in "fV" and function != "set"
        computing = np.dtype(np.float32) if narrow else dtype
        out = xp.array(x, dtype=computing, order="C")
        flat = out.reshape(-1, piece)
        if piece == 1:
            flat, values = flat[:, 0], values[:, 0]
        _combine(xp, function, flat, places, values.astype(computing, copy=False))
        return out.astype(dtype, copy=False)

    return impl
