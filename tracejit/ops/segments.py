"""Sums, products and extremes of the rows of an array by segments: JAX's ``jax.ops``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import is_bool, is_float, is_integer
from tracejit.ops.constant import scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.indexing import scatter_add, scatter_max, scatter_min, scatter_mul
from tracejit.ops.shape import broadcast_in_dim, reshape

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]

_I64 = np.dtype(np.int64)


def _extreme(dtype: np.dtype[Any], sign: int) -> Any:
    """Return what is less (for -1), or more, than all others."""
    if is_bool(dtype):
        return sign > 0
    if is_integer(dtype):
        limits = np.iinfo(dtype)
        return int(limits.max if sign > 0 else limits.min)
    if not is_float(dtype):
        raise DTypeError(f"segment_max, segment_min: {dtype} has no order")
    return sign * np.inf


def _by_segment(
    name: str,
    scatter: Callable[..., Any],
    data: Any,
    segment_ids: Any,
    num_segments: int | None,
    start: Any,
) -> Any:
    x, ids = (v if hasattr(v, "aval") else np.asarray(v) for v in (data, segment_ids))
    shape, lanes = get_aval(x).shape, get_aval(ids).shape
    if not is_integer(get_aval(ids).dtype):
        raise DTypeError(f"{name}: segment_ids must be integers; got {get_aval(ids).dtype}")
    if not lanes or shape[: len(lanes)] != lanes:
        raise ShapeError(
            f"{name}: segment_ids must have the first axes of data; got {lanes} for {shape}"
        )
    if num_segments is None:
        if isinstance(ids, Tracer) and ids.concrete is None:
            ids._refuse(f"{name}() without num_segments", "Give num_segments=n.")
        places = np.asarray(ids)
        num_segments = int(places.max()) + 1 if places.size else 0
    index = reshape(convert_element_type(ids, _I64), (*lanes, 1))
    rest = shape[len(lanes) :]
    first = scalar_like(x, start(get_aval(x).dtype))
    whole = broadcast_in_dim(first, (int(num_segments), *rest), ())
    return scatter(whole, index, x, (0,), (0,))


def segment_sum(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """Sum the rows of each segment.

    Parameters
    ----------
    data : Array, shape (n, ...)
        The rows.
    segment_ids : Array, shape (n,), integer
        To which segment each row belongs; rows of no segment are left out.
    num_segments : int, optional
        How many segments there are; one more than the largest number by default, which needs
        known values.
    indices_are_sorted, unique_indices, bucket_size, mode
        Ignored: promises and hints that are not needed.

    Returns
    -------
    Array, shape (num_segments, ...), dtype of `data`
        The sums; 0 where a segment has no rows.
    """
    del indices_are_sorted, unique_indices, bucket_size, mode
    return _by_segment("segment_sum", scatter_add, data, segment_ids, num_segments, lambda _: 0)


def segment_prod(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """Multiply the rows of each segment; 1 where there are none.  See :func:`segment_sum`.

    Not differentiable in `data`: products at repeated places have no rule.
    """
    del indices_are_sorted, unique_indices, bucket_size, mode
    return _by_segment("segment_prod", scatter_mul, data, segment_ids, num_segments, lambda _: 1)


def segment_max(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """Take the largest of the rows of each segment.  See :func:`segment_sum`.

    The least number of the dtype where there are none.
    """
    del indices_are_sorted, unique_indices, bucket_size, mode
    return _by_segment(
        "segment_max", scatter_max, data, segment_ids, num_segments, lambda d: _extreme(d, -1)
    )


def segment_min(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """Take the least of the rows of each segment.  See :func:`segment_sum`.

    The largest number of the dtype where there are none.
    """
    del indices_are_sorted, unique_indices, bucket_size, mode
    return _by_segment(
        "segment_min", scatter_min, data, segment_ids, num_segments, lambda d: _extreme(d, 1)
    )
