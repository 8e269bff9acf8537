"""Keys of the counter-based generator threefry2x32, and their random bits.

A key is an array of two uint32 words.  Bits are the cipher of a counter, one an element, so any
part of an array can be generated on its own.

References
----------
J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel random numbers: as easy as 1, 2, 3,
SC '11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES, canonical, is_integer, is_unsigned
from tracejit.ops.constant import iota
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import or_, shift_left, shift_right_logical, xor
from tracejit.ops.random_bits import threefry2x32
from tracejit.ops.shape import full, reshape
from tracejit.ops.slicing import concatenate, slice_

__all__ = ["PRNGKey", "bits", "fold_in", "key", "shape_of", "split"]

U32 = DTYPES["u32"]
U64 = DTYPES["u64"]


def shape_of(shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return a shape argument as a tuple of ints.

    Raises
    ------
    ShapeError
        If a length is negative or no int.
    """
    lengths = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if not all(isinstance(d, (int, np.integer)) and d >= 0 for d in lengths):
        raise ShapeError(f"a shape must be ints >= 0; got {shape}")
    return tuple(int(d) for d in lengths)


def key(seed: Any) -> Any:
    """Make a key from a seed.

    Parameters
    ----------
    seed : int or Array, shape (), integer
        Any integer of 64 bits.

    Returns
    -------
    Array, shape (2,), uint32
        The key.

    Raises
    ------
    DTypeError
        If the seed is no integer scalar.
    """
    if isinstance(seed, int) and not isinstance(seed, bool):
        word = seed & 0xFFFFFFFFFFFFFFFF
        low_high = np.array([word >> 32, word & 0xFFFFFFFF], np.uint32)
        return concatenate([low_high[:1], low_high[1:]], 0)
    aval = get_aval(seed)
    if aval.shape or not is_integer(aval.dtype):
        raise DTypeError(f"key: the seed must be an integer scalar; got {aval!r}")
    if aval.dtype.itemsize < 8:
        return _pair(np.uint32(0), convert_element_type(seed, U32))
    wide = convert_element_type(seed, U64)
    high = convert_element_type(shift_right_logical(wide, np.uint64(32)), U32)
    return _pair(high, convert_element_type(wide, U32))


PRNGKey = key


def _pair(high: Any, low: Any) -> Any:
    return concatenate([_vector(high), _vector(low)], 0)


def _vector(x: Any) -> Any:
    if isinstance(x, (Array, Tracer)):
        return reshape(x, (1,))
    return np.reshape(x, 1)


def _words(k: Any) -> tuple[Any, Any]:
    aval = get_aval(k)
    if aval.shape != (2,) or aval.dtype != U32:
        raise ShapeError(
            f"a key must be one array of two uint32, from tracejit.random.key; got {aval!r}. "
            "For a batch of keys use vmap."
        )
    return reshape(slice_(k, (0,), (1,)), ()), reshape(slice_(k, (1,), (2,)), ())


def _counters(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the high and low words of the number of each element."""
    size = math.prod(shape)
    if size < 2**32:
        low = reshape(iota((size,), 0, U32), shape)
        return full(shape, 0, U32), low
    number = reshape(iota((size,), 0, U64), shape)
    high = convert_element_type(shift_right_logical(number, np.uint64(32)), U32)
    return high, convert_element_type(number, U32)


def split(k: Any, num: int | Sequence[int] = 2) -> Any:
    """Make new keys from one, which must not be used afterwards.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    num : int or sequence of int
        How many, or the shape of the array of keys.

    Returns
    -------
    Array, shape (num, 2) or (*num, 2), uint32
        The keys.
    """
    k0, k1 = _words(k)
    shape = shape_of(num)
    high, low = threefry2x32(k0, k1, *_counters(shape))
    rank = len(shape)
    return concatenate([reshape(x, (*shape, 1)) for x in (high, low)], rank)


def fold_in(k: Any, data: Any) -> Any:
    """Make a key from a key and a number, such as the step of a loop.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    data : int or Array, shape (), integer
        Its low 32 bits count.
    """
    if isinstance(data, int):
        low: Any = np.uint32(data & 0xFFFFFFFF)
    else:
        low = convert_element_type(data, U32)
    k0, k1 = _words(k)
    return _pair(*threefry2x32(k0, k1, np.uint32(0), low))


def bits(k: Any, shape: int | Sequence[int] = (), dtype: Any = np.uint32) -> Any:
    """Return uniform random bits.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    shape : int or sequence of int
        The shape of the result.
    dtype : dtype-like
        An unsigned integer type.

    Raises
    ------
    DTypeError
        If `dtype` is not an unsigned integer type.
    """
    dtype = canonical(dtype)
    if not is_unsigned(dtype):
        raise DTypeError(f"bits: the dtype must be an unsigned integer; got {dtype}")
    k0, k1 = _words(k)
    high, low = threefry2x32(k0, k1, *_counters(shape_of(shape)))
    if dtype == U64:
        wide = shift_left(convert_element_type(high, U64), np.uint64(32))
        return or_(wide, convert_element_type(low, U64))
    return convert_element_type(xor(high, low), dtype)
