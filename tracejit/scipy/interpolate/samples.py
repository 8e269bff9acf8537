"""What is checked of samples and of the points between them."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import Tracer

__all__ = ["inexact", "is_known", "moved_back", "refuse_outside", "samples"]


def is_known(x: Any) -> bool:
    """Return whether the values of an array are known while tracing."""
    return not isinstance(x, Tracer)


def inexact(*arrays: Any) -> list[Any]:
    """Return arrays as such of floating point, of one dtype."""
    out = [tnp.asarray(x) for x in arrays]
    kind = tnp.result_type(*out)
    if not tnp.issubdtype(kind, np.inexact):
        kind = np.dtype(np.float64)
    return [x.astype(kind) for x in out]


def samples(name: str, x: Any, y: Any, axis: int, least: int = 2) -> tuple[Any, Any, int]:
    """Return the points, the values with the axis of the points first, and that axis."""
    x, y = tnp.asarray(x), tnp.asarray(y)
    (x,) = inexact(x)
    if not tnp.issubdtype(y.dtype, np.inexact):
        y = y.astype(np.float64)
    if x.ndim != 1 or not -y.ndim <= axis < y.ndim or y.shape[axis] != x.shape[0]:
        raise ShapeError(
            f"{name}: points x of shape (n,), and n values along axis {axis} of y; got shapes "
            f"{x.shape} and {y.shape}"
        )
    if x.shape[0] < least:
        raise ShapeError(f"{name}: at least {least} points are needed; got {x.shape[0]}")
    if is_known(x) and not np.all(np.diff(np.asarray(x)) > 0):
        raise ValueError(f"{name}: the points x must be strictly increasing")
    return x, tnp.moveaxis(y, axis, 0), axis % y.ndim


def moved_back(out: Any, points: int, axis: int) -> Any:
    """Put the axes of the points, which are first, in the place of the axis that they replace."""
    return tnp.moveaxis(out, range(points), range(axis, axis + points))


def refuse_outside(name: str, outside: Any) -> None:
    """Raise if a point is outside, which must be known."""
    if not is_known(outside):
        raise ValueError(
            f"{name}: bounds_error=True needs points that are known while tracing; pass "
            "bounds_error=False, and fill_value= for what is outside"
        )
    if np.any(np.asarray(outside)):
        raise ValueError(f"{name}: a point is outside of the samples; see bounds_error=")
