"""Padding: by a constant, or by what the array itself has at its edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.numpy.manipulation import window
from tracejit.numpy.promotion import array_of, cast, concrete_value, known, normal_axis, operand
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
    """As :func:`numpy.pad`: constant, edge, wrap, reflect, symmetric, empty.

    `constant_values` may be one scalar, or a pair for each axis.
    """
    x = array_of(array)
    rank = get_aval(x).ndim
    widths = _pad_widths(pad_width, rank)
    if mode in ("constant", "empty"):
        return _pad_constant(x, widths, kwargs.pop("constant_values", 0))
    if mode not in ("edge", "wrap", "reflect", "symmetric"):
        raise ShapeError(
            f"pad: mode must be constant, edge, wrap, reflect, symmetric or empty; got {mode!r}"
        )
    if kwargs.get("reflect_type", "even") != "even":
        raise ShapeError("pad: reflect_type must be 'even'")
    for axis, (low, high) in enumerate(widths):
        if low or high:
            x = _pad_axis(x, axis, low, high, mode)
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
    if not length:
        raise ShapeError(f"pad: axis {axis} of length 0 has nothing to pad with; mode {mode!r}")
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
