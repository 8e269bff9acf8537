"""Padding: by a constant, or by what the array itself has at its edges."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_inexact, is_integer
from tracejit.numpy.creation import astype
from tracejit.numpy.manipulation import window
from tracejit.numpy.promotion import array_of, cast, concrete_value, known, normal_axis, operand
from tracejit.numpy.quantiles import median
from tracejit.numpy.reductions import max, mean, min
from tracejit.numpy.ufuncs import add, floor, multiply, rint, subtract
from tracejit.ops import shape as ops
from tracejit.ops import slicing

__all__ = ["pad"]


def _pad_widths(width: Any, rank: int) -> list[tuple[int, int]]:
    if isinstance(width, dict):
        out = [(0, 0)] * rank
        for axis, pair in width.items():
            low, high = np.broadcast_to(np.asarray(pair), (2,)).tolist()
            out[normal_axis("pad", axis, rank)] = (low, high)
        return out
    widths = np.asarray(known(operand(width), "pad()", "The widths must be static."))
    try:
        pairs = np.broadcast_to(widths, (rank, 2))
    except ValueError:
        raise ShapeError(
            f"pad: the widths must be (before, after) for each of {rank} axes; got {width}"
        ) from None
    if pairs.size and pairs.min() < 0:
        raise ShapeError(f"pad: the widths must not be negative; got {width}")
    return [(int(low), int(high)) for low, high in pairs]


def pad(array: Any, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Any:
    """As :func:`numpy.pad`, in all its modes but that of a function (which writes in place).

    `constant_values` may be one scalar, or a pair for each axis; so may `end_values` and
    `stat_length`.
    """
    x = array_of(array)
    rank = get_aval(x).ndim
    widths = _pad_widths(pad_width, rank)
    if mode in ("constant", "empty"):
        return _pad_constant(x, widths, kwargs.pop("constant_values", 0))
    if mode not in ("edge", "wrap", "reflect", "symmetric", "linear_ramp", *_STATISTICS):
        raise ShapeError(
            "pad: mode must be constant, edge, wrap, reflect, symmetric, linear_ramp, "
            f"{', '.join(_STATISTICS)} or empty; got {mode!r}"
        )
    kind = kwargs.get("reflect_type", "even")
    if kind not in ("even", "odd"):
        raise ShapeError(f"pad: reflect_type must be 'even' or 'odd'; got {kind!r}")
    ends = _pairs(kwargs.get("end_values", 0), rank)
    lengths = _pairs(kwargs.get("stat_length"), rank)
    for axis, (low, high) in enumerate(widths):
        if not (low or high):
            continue
        if not get_aval(x).shape[axis]:
            raise ShapeError(
                f"pad: axis {axis} of length 0 has nothing to pad with; mode {mode!r}"
            )
        if mode == "linear_ramp":
            x = _pad_ramps(x, axis, low, high, ends[axis])
        elif mode in _STATISTICS:
            x = _pad_statistics(x, axis, low, high, mode, lengths[axis])
        elif kind == "odd" and mode in ("reflect", "symmetric"):
            x = _pad_odd(x, axis, low, high, mode == "symmetric")
        else:
            x = _pad_axis(x, axis, low, high, mode)
    return x


def _pairs(value: Any, rank: int) -> list[Any]:
    """Return what is given once, or for all axes, or for each, as a pair for each axis."""
    return [tuple(pair) for pair in np.broadcast_to(np.asarray(value, object), (rank, 2))]


def _joined(before: Any, x: Any, after: Any, axis: int) -> Any:
    return slicing.concatenate(
        [p for p in (before, x, after) if p is not None and get_aval(p).shape[axis]], axis
    )


def _pad_ramps(x: Any, axis: int, low: int, high: int, ends: tuple[Any, Any]) -> Any:
    """Pad by lines from the ends given to the edges."""
    aval = get_aval(x)
    n, dtype = aval.shape[axis], aval.dtype
    along = [-1 if a == axis else 1 for a in range(aval.ndim)]

    def ramp(edge: Any, end: Any, count: int) -> Any:
        share = (np.arange(count) / builtins.max(count, 1)).reshape(along)
        line = add(multiply(subtract(edge, end), share), end)
        return astype(line if is_inexact(dtype) else floor(line), dtype)

    before = ramp(window(x, axis, 0, 1), ends[0], low)
    after = ramp(window(x, axis, n - 1, n), ends[1], high)
    return _joined(before, x, slicing.flip(after, (axis,)), axis)


_STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": max, "mean": mean, "median": median, "minimum": min,
}  # fmt: skip


def _pad_statistics(
    x: Any, axis: int, low: int, high: int, mode: str, lengths: tuple[Any, Any]
) -> Any:
    """Pad by a statistic of as many elements of each end as `lengths` says (None: of all)."""
    aval = get_aval(x)
    n = aval.shape[axis]

    def value(count: Any, first: bool) -> Any:
        count = n if count is None or count > n else int(count)
        if count < 0 or (not count and mode in ("maximum", "minimum")):
            raise ShapeError(f"pad: stat_length must be positive; got {count}")
        some = window(x, axis, 0, count) if first else window(x, axis, n - count, n)
        out = _STATISTICS[mode](some, axis=axis, keepdims=True)
        return astype(rint(out) if is_integer(aval.dtype) else out, aval.dtype)

    def copies(edge: Any, count: int) -> Any:
        shape = [count if a == axis else d for a, d in enumerate(aval.shape)]
        return ops.broadcast_in_dim(edge, shape, range(aval.ndim))

    before = copies(value(lengths[0], True), low)
    return _joined(before, x, copies(value(lengths[1], False), high), axis)


def _pad_odd(x: Any, axis: int, low: int, high: int, with_edge: bool) -> Any:
    """Pad by reflections about the values at the edges, again and again if they are short."""
    n = get_aval(x).shape[axis]
    if n == 1:
        return _pad_axis(x, axis, low, high, "edge")
    period, more = (n, 1) if with_edge else (n - 1, 0)
    while low or high:
        length = get_aval(x).shape[axis]
        reach = (length - 1 + more) // period * period
        left, right = builtins.min(reach, low), builtins.min(reach, high)

        def mirrored(edge: int, start: int, count: int, x: Any = x) -> Any:
            chunk = slicing.flip(window(x, axis, start, start + count), (axis,))
            value = window(x, axis, edge, edge + 1)
            return subtract(add(value, value), chunk)

        x = _joined(
            mirrored(0, 1 - more, left) if left else None,
            x,
            mirrored(length - 1, length - 1 + more - right, right) if right else None,
            axis,
        )
        low, high = low - left, high - right
    return x


def _pad_constant(x: Any, widths: list[tuple[int, int]], values: Any) -> Any:
    dtype = get_aval(x).dtype
    if isinstance(values, (tuple, list)) or np.ndim(concrete_value(operand(values)) or 0):
        pairs = np.broadcast_to(np.asarray(values), (len(widths), 2))
        for axis, (low, high) in enumerate(widths):
            for place, value in zip(((low, 0), (0, high)), pairs[axis], strict=True):
                config = [(*place, 0) if a == axis else (0, 0, 0) for a in range(len(widths))]
                x = slicing.pad(x, np.asarray(value).astype(dtype)[()], config)
        return x
    value = cast(operand(values), dtype)
    return slicing.pad(x, value, [(low, high, 0) for low, high in widths]) if widths else x


def _pad_axis(x: Any, axis: int, low: int, high: int, mode: str) -> Any:
    length = get_aval(x).shape[axis]
    pieces: list[Any] = []
    if mode == "edge":
        shape = list(get_aval(x).shape)

        def edge(start: int, count: int) -> Any:
            shape[axis] = count
            return ops.broadcast_in_dim(window(x, axis, start, start + 1), shape, range(len(shape)))

        pieces = [edge(0, low), x, edge(length - 1, high)]
        kept = [p for p in pieces if get_aval(p).shape[axis]]
        return slicing.concatenate(kept, axis)
    # The positions repeat with a period; runs of them become windows, some of them flipped.
    places = np.pad(np.arange(length), (low, high), mode=mode)  # type: ignore[call-overload]
    step = np.diff(places)
    start = 0
    while start < len(places):
        stop = start + 1
        direction = 0
        while stop < len(places) and abs(int(step[stop - 1])) == 1:
            here = int(step[stop - 1])
            if direction not in (0, here):
                break
            direction, stop = here, stop + 1
        run = places[start:stop]
        piece = window(x, axis, int(run.min()), int(run.max()) + 1)
        pieces.append(slicing.flip(piece, (axis,)) if direction < 0 else piece)
        start = stop
    return slicing.concatenate(pieces, axis)
