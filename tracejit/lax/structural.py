"""Functions of shapes: the same elements in other places, constants, conversions."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import canonical
from tracejit.lax.elementwise import matched
from tracejit.ops import constant, convert, shape, slicing

__all__ = [
    "bitcast_convert_type",
    "broadcast",
    "broadcast_in_dim",
    "broadcast_shapes",
    "broadcast_to_rank",
    "broadcasted_iota",
    "canonical_axes",
    "canonical_axis",
    "collapse",
    "concatenate",
    "convert_element_type",
    "expand_dims",
    "full",
    "full_like",
    "index_in_dim",
    "iota",
    "pad",
    "reshape",
    "rev",
    "slice",
    "slice_in_dim",
    "split",
    "squeeze",
    "tile",
    "transpose",
]


def canonical_axis(name: str, axis: int, rank: int) -> int:
    """Return an axis counted from 0.

    Raises
    ------
    ShapeError
        If it is out of range.
    """
    axis = axis.__index__()
    if not -rank <= axis < rank:
        raise ShapeError(f"{name}: axis {axis} is out of range for rank {rank}")
    return axis % rank


def canonical_axes(name: str, axes: int | Sequence[int], rank: int) -> list[int]:
    """Return axes counted from 0, in their order.

    Raises
    ------
    ShapeError
        If one is out of range or named twice.
    """
    named = [axes] if isinstance(axes, int) else list(axes)
    found = [canonical_axis(name, a, rank) for a in named]
    if len(set(found)) != len(found):
        raise ShapeError(f"{name}: each axis once; got {tuple(named)}")
    return found


def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """Convert elements to another dtype by value.

    Parameters
    ----------
    operand : Array, any shape and dtype
        The operand.
    new_dtype : dtype-like
        The dtype of the result.
    """
    return convert.convert_element_type(operand, new_dtype)


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Any:
    """Read the bits of elements as those of another dtype of the same width."""
    return convert.bitcast_convert_type(operand, new_dtype)


def reshape(
    operand: Any, new_sizes: Sequence[int], dimensions: Sequence[int] | None = None
) -> Any:
    """Give an array another shape.

    Parameters
    ----------
    operand : Array, any shape and dtype
        The operand.
    new_sizes : sequence of int
        The shape of the result, of the same size.
    dimensions : sequence of int, optional
        The order in which the axes of `operand` are read; first to last by default.
    """
    if dimensions is not None:
        operand = transpose(operand, dimensions)
    return shape.reshape(operand, [n.__index__() for n in new_sizes])


def transpose(operand: Any, permutation: Sequence[int]) -> Any:
    """Permute axes: axis ``i`` of the result is axis ``permutation[i]`` of `operand`."""
    return shape.transpose(operand, permutation)


def broadcast(operand: Any, sizes: Sequence[int]) -> Any:
    """Copy an array along new leading axes of the lengths `sizes`."""
    own = get_aval(operand).shape
    sizes = tuple(sizes)
    return shape.broadcast_in_dim(
        operand, (*sizes, *own), range(len(sizes), len(sizes) + len(own))
    )


def broadcast_in_dim(
    operand: Any, shape_: Sequence[int], broadcast_dimensions: Sequence[int]
) -> Any:
    """Copy an array along new or length-1 axes: axis ``i`` becomes ``broadcast_dimensions[i]``."""
    return shape.broadcast_in_dim(operand, shape_, broadcast_dimensions)


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape to which shapes broadcast by NumPy's rules.

    Raises
    ------
    ShapeError
        If they do not.
    """
    out: list[int] = []
    for lengths in itertools.zip_longest(*(reversed(tuple(s)) for s in shapes), fillvalue=1):
        wanted = {n for n in lengths if n != 1}
        if len(wanted) > 1:
            listed = ", ".join(str(tuple(s)) for s in shapes)
            raise ShapeError(f"broadcast_shapes: these do not broadcast together: {listed}")
        out.append(wanted.pop() if wanted else 1)
    return tuple(reversed(out))


def broadcast_to_rank(x: Any, rank: int) -> Any:
    """Add leading axes of length 1 up to a rank."""
    own = get_aval(x).shape
    return shape.reshape(x, (*[1] * (rank - len(own)), *own))


def squeeze(array: Any, dimensions: Sequence[int]) -> Any:
    """Remove axes of length 1."""
    return shape.squeeze(array, canonical_axes("squeeze", dimensions, get_aval(array).ndim))


def expand_dims(array: Any, dimensions: Sequence[int]) -> Any:
    """Insert axes of length 1, which are `dimensions` of the result."""
    own = get_aval(array).shape
    rank = len(own) + len(tuple(dimensions))
    new = canonical_axes("expand_dims", dimensions, rank)
    rest = iter(own)
    return shape.reshape(array, [1 if a in new else next(rest) for a in range(rank)])


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Any:
    """Join the axes from `start_dimension` to before `stop_dimension` into one."""
    own = get_aval(operand).shape
    start, stop, _ = builtins.slice(start_dimension, stop_dimension).indices(len(own))
    if stop <= start:
        raise ShapeError(
            f"collapse: at least one axis of shape {own}; got {start_dimension} to {stop_dimension}"
        )
    joined = int(np.prod(own[start:stop], dtype=np.int64))
    return shape.reshape(operand, (*own[:start], joined, *own[stop:]))


def concatenate(operands: Sequence[Any], dimension: int) -> Any:
    """Join arrays of one dtype along an axis."""
    operands = list(operands)
    if not operands:
        raise ShapeError("concatenate: at least one operand; got none")
    axis = canonical_axis("concatenate", dimension, get_aval(operands[0]).ndim)
    return slicing.concatenate(operands, axis)


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Any]:
    """Cut an array along an axis in parts of the lengths `sizes`."""
    own = get_aval(operand).shape
    axis = canonical_axis("split", axis, len(own))
    if sum(sizes) != own[axis] or any(n < 0 for n in sizes):
        raise ShapeError(f"split: sizes must sum to {own[axis]}, axis {axis} of {own}; got {sizes}")
    ends = list(itertools.accumulate(sizes))
    return [slice_in_dim(operand, e - n, e, axis=axis) for e, n in zip(ends, sizes, strict=True)]


def pad(
    operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]
) -> Any:
    """Surround an array with a value, and put it between elements.

    Parameters
    ----------
    operand : Array, shape (d[0], ..., d[n-1])
        The operand.
    padding_value : Array, shape ()
        What is put in, of the dtype of `operand`.
    padding_config : sequence of (low, high, interior), length n
        For each axis, how many are put before and after (negative: that many are taken off) and
        between neighbours.
    """
    operand, padding_value = matched("pad", operand, padding_value)
    return slicing.pad(operand, padding_value, padding_config)


def rev(operand: Any, dimensions: Sequence[int]) -> Any:
    """Reverse the order of elements along axes."""
    return slicing.flip(operand, canonical_axes("rev", dimensions, get_aval(operand).ndim))


def slice(
    operand: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Any:
    """Take a window with fixed bounds; see :func:`dynamic_slice` for traced ones."""
    return slicing.slice_(operand, start_indices, limit_indices, strides)


def slice_in_dim(
    operand: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Any:
    """Take ``start_index:limit_index:stride`` of one axis; negative bounds count from the end."""
    own = get_aval(operand).shape
    axis = canonical_axis("slice_in_dim", axis, len(own))
    length = own[axis]
    bounds = [0 if start_index is None else int(start_index),
              length if limit_index is None else int(limit_index)]  # fmt: skip
    starts, limits, strides = [0] * len(own), list(own), [1] * len(own)
    starts[axis], limits[axis] = (b + length if b < 0 else b for b in bounds)
    strides[axis] = stride
    return slicing.slice_(operand, starts, limits, strides)


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Any:
    """Take one index of an axis, which is kept with length 1, or removed."""
    own = get_aval(operand).shape
    axis = canonical_axis("index_in_dim", axis, len(own))
    if not -own[axis] <= index < own[axis]:
        raise ShapeError(f"index_in_dim: {index} is out of range for axis {axis} of shape {own}")
    index %= own[axis]
    out = slice_in_dim(operand, index, index + 1, 1, axis)
    return out if keepdims else shape.squeeze(out, [axis])


def tile(operand: Any, reps: Sequence[int]) -> Any:
    """Repeat an array `reps` times along each axis."""
    own = get_aval(operand).shape
    if len(reps) != len(own):
        raise ShapeError(f"tile: one number for each axis of shape {own}; got {tuple(reps)}")
    spread = [n for pair in zip(reps, own, strict=True) for n in pair]
    out = shape.broadcast_in_dim(operand, spread, range(1, 2 * len(own), 2))
    return shape.reshape(out, [r * d for r, d in zip(reps, own, strict=True)])


def full(shape_: Sequence[int] | int, fill_value: Any, dtype: Any = None) -> Any:
    """Return an array of one value.

    Parameters
    ----------
    shape_ : sequence of int
        The shape of the result.
    fill_value : scalar
        The value; it may be traced.
    dtype : dtype-like, optional
        The dtype of the result; that of `fill_value` by default.
    """
    lengths = (shape_,) if isinstance(shape_, int) else tuple(shape_)
    aval = get_aval(fill_value)
    if aval.shape:
        raise ShapeError(f"full: fill_value must be a scalar; got shape {aval.shape}")
    if dtype is not None:
        fill_value = convert.convert_element_type(fill_value, dtype)
    return shape.broadcast_in_dim(fill_value, lengths, ())


def full_like(
    x: Any, fill_value: Any, dtype: Any = None, shape: Sequence[int] | None = None
) -> Any:
    """Return an array of one value with the shape and dtype of `x`, or those given."""
    aval = get_aval(x)
    return full(aval.shape if shape is None else shape, fill_value, dtype or aval.dtype)


def iota(dtype: Any, size: int) -> Any:
    """Return ``0, 1, ..., size - 1``."""
    return constant.iota((size.__index__(),), 0, dtype)


def broadcasted_iota(dtype: Any, shape: Sequence[int], dimension: int) -> Any:
    """Return the index along axis `dimension` at every place of an array."""
    if canonical(dtype).kind == "b":
        raise DTypeError("broadcasted_iota: a numeric dtype; got bool")
    return constant.iota(shape, canonical_axis("broadcasted_iota", dimension, len(shape)), dtype)
