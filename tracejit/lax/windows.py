"""Windows at traced positions.  Negative positions count from the end; then they are clamped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_signed
from tracejit.lax.elementwise import matched
from tracejit.lax.structural import canonical_axis
from tracejit.ops import shape, windows
from tracejit.ops._pointwise import add
from tracejit.ops.constant import scalar_like
from tracejit.ops.logical import lt, select
from tracejit.ops.slicing import slice_

__all__ = [
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
]


def _starts(name: str, x: Any, starts: Any, from_end: Any) -> list[Any]:
    lengths = get_aval(x).shape
    if not isinstance(starts, (list, tuple)):
        vector = get_aval(starts)
        if vector.ndim != 1:
            raise ShapeError(
                f"{name}: the starts must be a sequence of scalars or a vector; got {vector}"
            )
        starts = [
            shape.reshape(slice_(starts, (n,), (n + 1,)), ()) for n in range(vector.shape[0])
        ]
    if len(starts) != len(lengths):
        raise ShapeError(
            f"{name}: one start for each axis of shape {lengths}; got {len(starts)}"
        )
    allowed = [from_end] * len(lengths) if isinstance(from_end, bool) else list(from_end)
    return [
        _from_end(i, n) if some else i for i, n, some in zip(starts, lengths, allowed, strict=True)
    ]


def _from_end(i: Any, length: int) -> Any:
    """Return a position counted from the start."""
    if type(i) is int:
        return i + length if i < 0 else i
    aval = get_aval(i)
    if aval.shape or not is_signed(aval.dtype):
        return i
    return select(lt(i, scalar_like(i, 0)), add(i, scalar_like(i, length)), i)


def dynamic_slice(
    operand: Any, start_indices: Any, slice_sizes: Sequence[int], *,
    allow_negative_indices: Any = True,
) -> Any:  # fmt: skip
    """Take a window at traced positions.

    Parameters
    ----------
    operand : Array, shape (d[0], ..., d[n-1]), any dtype
        The operand.
    start_indices : sequence of integer scalars, or integer vector, length n
        Where the window starts.
    slice_sizes : sequence of int, length n
        The shape of the window.
    allow_negative_indices : bool or sequence of bool, length n
        Whether a negative start counts from the end; else it is moved to 0.
    """
    starts = _starts("dynamic_slice", operand, start_indices, allow_negative_indices)
    return windows.dynamic_slice(operand, starts, slice_sizes)


def dynamic_slice_in_dim(
    operand: Any, start_index: Any, slice_size: int, axis: int = 0, *,
    allow_negative_indices: bool = True,
) -> Any:  # fmt: skip
    """Take a window along one axis at a traced position.  See :func:`dynamic_slice`."""
    sizes = list(get_aval(operand).shape)
    axis = canonical_axis("dynamic_slice_in_dim", axis, len(sizes))
    starts: list[Any] = [0] * len(sizes)
    starts[axis], sizes[axis] = start_index, slice_size
    return dynamic_slice(operand, starts, sizes, allow_negative_indices=allow_negative_indices)


def dynamic_index_in_dim(
    operand: Any, index: Any, axis: int = 0, keepdims: bool = True, *,
    allow_negative_indices: bool = True,
) -> Any:  # fmt: skip
    """Take one traced index of an axis, which is kept with length 1, or removed."""
    axis = canonical_axis("dynamic_index_in_dim", axis, get_aval(operand).ndim)
    out = dynamic_slice_in_dim(
        operand, index, 1, axis, allow_negative_indices=allow_negative_indices
    )
    return out if keepdims else shape.squeeze(out, [axis])


def dynamic_update_slice(
    operand: Any, update: Any, start_indices: Any, *, allow_negative_indices: Any = True
) -> Any:
    """Replace a window at traced positions.

    Parameters
    ----------
    operand : Array, shape (d[0], ..., d[n-1]), any dtype
        The operand.
    update : Array, rank n, no axis longer than that of `operand`, its dtype
        What is put there.
    start_indices : sequence of integer scalars, or integer vector, length n
        Where the window starts.
    allow_negative_indices : bool or sequence of bool, length n
        Whether a negative start counts from the end; else it is moved to 0.
    """
    starts = _starts("dynamic_update_slice", operand, start_indices, allow_negative_indices)
    operand, update = matched("dynamic_update_slice", operand, update)
    return windows.dynamic_update_slice(operand, update, starts)


def dynamic_update_slice_in_dim(
    operand: Any, update: Any, start_index: Any, axis: int, *,
    allow_negative_indices: bool = True,
) -> Any:  # fmt: skip
    """Replace a window along one axis at a traced position."""
    rank = get_aval(operand).ndim
    starts: list[Any] = [0] * rank
    starts[canonical_axis("dynamic_update_slice_in_dim", axis, rank)] = start_index
    return dynamic_update_slice(
        operand, update, starts, allow_negative_indices=allow_negative_indices
    )


def dynamic_update_index_in_dim(
    operand: Any, update: Any, index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """Replace one traced index of an axis; `update` may lack that axis."""
    lengths = get_aval(operand).shape
    axis = canonical_axis("dynamic_update_index_in_dim", axis, len(lengths))
    own = get_aval(update).shape
    if len(own) != len(lengths):
        if len(own) != len(lengths) - 1:
            raise ShapeError(
                f"dynamic_update_index_in_dim: an update for one index of axis {axis} of shape "
                f"{lengths}; got {own}"
            )
        update = shape.expand_dims(update, axis)
    return dynamic_update_slice_in_dim(
        operand, update, index, axis, allow_negative_indices=allow_negative_indices
    )
