"""Keys and random bits: threefry2x32 in counter mode, in JAX's partitionable layout.

The counter of an element is its 64-bit index in row-major order, so that any part of an array of
random bits can be made without the rest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES
from tracejit.numpy.promotion import array_of, cast, host_value, operand, static_shape
from tracejit.ops.constant import iota
from tracejit.ops.logical import or_, shift_left, shift_right_logical, xor
from tracejit.ops.random_bits import threefry2x32
from tracejit.ops.shape import broadcast_in_dim, reshape
from tracejit.ops.slicing import concatenate, slice_

__all__ = [
    "PRNGKey", "bits", "clone", "fold_in", "key", "key_data", "key_impl", "split",
    "wrap_key_data",
]  # fmt: skip

U8, U16, U32, U64 = (DTYPES[s] for s in ("u8", "u16", "u32", "u64"))


def key(seed: Any, *, impl: Any = None) -> Any:
    """Return a key made of a seed.

    Parameters
    ----------
    seed : int, or integer scalar
        The seed; its low 32 bits, as in JAX with 32-bit integers, go into the second word, and
        for 64-bit arrays the high bits into the first.
    impl : str, optional
        The generator: threefry2x32, or its short name fry.

    Returns
    -------
    Array, shape (2,), uint32
    """
    _check_impl("key", impl)
    x = operand(seed)
    aval = get_aval(x)
    if aval.shape or aval.dtype.kind not in "iub":
        raise DTypeError(f"key: the seed must be an integer scalar; got {aval}")
    value = host_value(x)
    if value is not None:
        number = int(value) & 0xFFFFFFFFFFFFFFFF
        words = [number >> 32, number & 0xFFFFFFFF]
        return array_of(np.array(words, np.uint32))
    wide = cast(x, U64)
    low = cast(wide, U32)
    high = cast(shift_right_logical(wide, np.uint64(32)), U32)
    return concatenate([reshape(v, (1,)) for v in (high, low)], 0)


PRNGKey = key


def key_data(keys: Any) -> Any:
    """Return the words of keys, which they are."""
    return array_of(keys)


def wrap_key_data(key_bits_array: Any, *, impl: Any = None) -> Any:
    """Return keys made of their words, which they are; `impl` is threefry2x32 or None."""
    _check_impl("wrap_key_data", impl)
    return array_of(key_bits_array)


def key_impl(keys: Any) -> str:
    """Return the name of the generator of keys."""
    del keys
    return "threefry2x32"


def clone(key: Any) -> Any:
    """Return a key, equal to the one given; keys may be used as often as one likes."""
    return array_of(key)


def _check_impl(name: str, impl: Any) -> None:
    if impl is not None and str(impl) not in ("threefry2x32", "fry"):
        raise DTypeError(f"{name}: the generator is threefry2x32; got impl={impl!r}")


def _words(name: str, key: Any) -> tuple[Any, Any]:
    x = array_of(key)
    aval = get_aval(x)
    if aval.shape != (2,) or aval.dtype is not U32:
        raise ShapeError(
            f"{name}: a key is an array of shape (2,) and dtype uint32; got {aval}; "
            "use vmap for several"
        )
    first, second = (reshape(slice_(x, (i,), (i + 1,)), ()) for i in (0, 1))
    return first, second


def _counters(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the high and low words of the index of every element."""
    size = math.prod(shape)
    if not shape:
        return np.uint32(0), np.uint32(0)
    if size <= 2**32:
        low = iota((size,), 0, U32)
        return np.uint32(0), reshape(low, shape)
    wide = iota((size,), 0, U64)
    high = cast(shift_right_logical(wide, np.uint64(32)), U32)
    return reshape(high, shape), reshape(cast(wide, U32), shape)


def _two_words(name: str, key: Any, shape: tuple[int, ...]) -> list[Any]:
    k0, k1 = _words(name, key)
    return threefry2x32(k0, k1, *_counters(shape))


def split(key: Any, num: Any = 2) -> Any:
    """Return new keys made of one.

    Parameters
    ----------
    key : Array, shape (2,), uint32
        A key, which should not be used again.
    num : int or tuple of int
        How many, or a shape.

    Returns
    -------
    Array, shape (num, 2), uint32
    """
    shape = static_shape("split", num)
    parts = _two_words("split", key, shape)
    return concatenate([reshape(p, (*shape, 1)) for p in parts], len(shape))


def fold_in(key: Any, data: Any) -> Any:
    """Return a key made of a key and an integer.

    Parameters
    ----------
    key : Array, shape (2,), uint32
        A key.
    data : int, or integer scalar
        What distinguishes the new key.
    """
    k0, k1 = _words("fold_in", key)
    x = operand(data)
    if get_aval(x).shape:
        raise ShapeError(f"fold_in: the data must be a scalar; got {get_aval(x)}")
    value = host_value(x)
    low = np.uint32(int(value) & 0xFFFFFFFF) if value is not None else cast(x, U32)
    words = threefry2x32(k0, k1, np.uint32(0), low)
    return concatenate([reshape(w, (1,)) for w in words], 0)


def bits(key: Any, shape: Any = (), dtype: Any = "uint32") -> Any:
    """Return random bits.

    Parameters
    ----------
    key : Array, shape (2,), uint32
        A key.
    shape : tuple of int
        The shape of the result.
    dtype : dtype-like
        An unsigned integer.
    """
    kind = np.dtype(getattr(dtype, "dtype", dtype) if not isinstance(dtype, type) else dtype)
    if kind not in (U8, U16, U32, U64):
        raise DTypeError(f"bits: dtype must be an unsigned integer; got {kind}")
    target = static_shape("bits", shape)
    high, low = _two_words("bits", key, target)
    if kind == U64:
        return or_(shift_left(cast(high, U64), np.uint64(32)), cast(low, U64))
    return cast(xor(high, low), DTYPES[f"u{kind.itemsize * 8}"])


def spread(x: Any, shape: tuple[int, ...]) -> Any:
    """Return `x` copied into `shape`, to which it broadcasts."""
    rank = get_aval(x).ndim
    return broadcast_in_dim(x, shape, range(len(shape) - rank, len(shape)))
