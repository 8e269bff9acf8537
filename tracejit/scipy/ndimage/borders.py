"""What is beyond the borders of an image: SciPy's modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError

__all__ = ["axes_of", "beyond", "image", "kind_of_result", "one_each"]

PADS = {
    "constant": "constant", "grid-constant": "constant", "nearest": "edge", "mirror": "reflect",
    "reflect": "symmetric", "grid-mirror": "symmetric", "wrap": "wrap", "grid-wrap": "wrap",
}  # fmt: skip
"""SciPy's names of the modes, and those of :func:`tracejit.numpy.pad`."""


def image(input: Any) -> tuple[Any, Any]:
    """Return an image in the dtype that it is filtered in, and its own dtype."""
    x = tnp.asarray(input)
    return (x if tnp.issubdtype(x.dtype, np.inexact) else x.astype(np.float64)), x.dtype


def kind_of_result(name: str, output: Any, dtype: Any) -> Any:
    """Return the dtype of a result: that of the image, or what `output` says."""
    if output is None:
        return np.dtype(dtype)
    try:
        return np.dtype(output)
    except TypeError:
        raise ShapeError(
            f"{name}: output= must be a dtype, for arrays do not change; use the result"
        ) from None


def axes_of(name: str, axes: Any, rank: int) -> tuple[int, ...]:
    """Return axes as numbers from 0; all by default."""
    if axes is None:
        return tuple(range(rank))
    given = (axes,) if np.ndim(axes) == 0 else tuple(axes)
    if any(not -rank <= a < rank for a in given) or len({a % rank for a in given}) < len(given):
        raise ShapeError(f"{name}: distinct axes of an image of rank {rank}; got {axes}")
    return tuple(a % rank for a in given)


def one_each(name: str, what: str, value: Any, count: int) -> list[Any]:
    """Return one value an axis."""
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        return [value] * count
    if len(value) != count:
        raise ShapeError(f"{name}: one {what} or {count}, one an axis; got {len(value)}")
    return list(value)


def beyond(name: str, x: Any, widths: Sequence[tuple[int, int]], mode: str, cval: Any) -> Any:
    """Return an image with what is beyond its borders, to given widths."""
    if mode not in PADS:
        raise ShapeError(f"{name}: mode must be one of {', '.join(PADS)}; got {mode!r}")
    if not any(low or high for low, high in widths):
        return x
    how: dict[str, Any] = {"constant_values": cval} if PADS[mode] == "constant" else {}
    return tnp.pad(x, widths, PADS[mode], **how)
