"""Constants: arrays that depend on nothing but their params, and scalars for derivative rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import define
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import canonical, is_bool

__all__ = ["empty", "iota", "scalar_like"]


def scalar_like(x: Any, value: complex) -> np.generic:
    """Return `value` as a NumPy scalar of the dtype of `x`: a literal that stretches.

    Parameters
    ----------
    x : Array
        What it will meet.
    value : bool, int, float or complex
        The value, rounded to the dtype.
    """
    scalar: np.generic = get_aval(x).dtype.type(value)
    return scalar


def iota(shape: Sequence[int], axis: int, dtype: Any) -> Any:
    """Return the index along one axis, at every place of an array.

    Parameters
    ----------
    shape : sequence of int
        The shape of the result.
    axis : int
        The axis that is counted, 0 to rank - 1.
    dtype : dtype-like, numeric
        The dtype of the result; indices that it does not hold wrap round (integers) or are
        rounded (floats).

    Returns
    -------
    Array, shape `shape`, dtype `dtype`
        Element ``(i[0], ..., i[n-1])`` is ``i[axis]``.

    Raises
    ------
    ShapeError
        If `axis` is out of range.
    DTypeError
        If `dtype` is bool.
    """
    return iota_p.bind(shape=tuple(shape), axis=axis, dtype=canonical(dtype))


def _iota_shape(*, shape: tuple[int, ...], axis: int, dtype: np.dtype[Any]) -> ShapedArray:
    if not 0 <= axis < len(shape):
        raise ShapeError(f"iota: axis must be within shape {shape}; got {axis}")
    if is_bool(dtype) or dtype.names is not None:
        raise DTypeError(f"iota: dtype must be numeric; got {dtype}")
    return ShapedArray(shape, dtype)


def _iota_impl(xp: Any, *, shape: tuple[int, ...], axis: int, dtype: np.dtype[Any]) -> Any:
    spread = [1] * len(shape)
    spread[axis] = shape[axis]
    return xp.broadcast_to(xp.arange(shape[axis]).astype(dtype).reshape(spread), shape)


def _iota_lower(k: Any, *, shape: tuple[int, ...], axis: int, dtype: np.dtype[Any]) -> Any:
    del shape
    return lambda index: k.index_value(index[axis], dtype)


iota_p = define(
    "iota",
    impl=_iota_impl,
    shape=_iota_shape,
    jvp="it has no operands, so it is never differentiated",
    transpose="it has no operands, so it is never transposed",
    batch="it has no operands, so it is never batched",
    lower=_iota_lower,
)


def empty(shape: Sequence[int], dtype: Any, number: int = 0) -> Any:
    """Return memory to be written piece by piece; what is read before is unspecified.

    Parameters
    ----------
    shape : sequence of int
        The shape of the result.
    dtype : dtype-like
        The dtype of the result.
    number : int
        Tells apart pieces of memory that are alike, so that each stays its own.

    Returns
    -------
    Array, shape `shape`, dtype `dtype`
        Compiled, it costs nothing: not even its pages are touched.
    """
    return empty_p.bind(shape=tuple(shape), dtype=canonical(dtype), number=number)


empty_p = define(
    "empty",
    impl=lambda xp, *, shape, dtype, number: xp.zeros(shape, dtype),
    shape=lambda *, shape, dtype, number: ShapedArray(shape, dtype),
    jvp="it has no operands, so it is never differentiated",
    transpose="it has no operands, so it is never transposed",
    batch="it has no operands, so it is never batched",
    lower="memory in which nothing is written yet",
)
