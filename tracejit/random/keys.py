"""Keys and random bits: threefry2x32 in counter mode, in JAX's partitionable layout.

The counter of an element is its 64-bit index in row-major order, so that any part of an array of
random bits can be made without the rest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.keyarray import KeyArray
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
    "words_of", "wrap_key_data",
]  # fmt: skip

U8, U16, U32, U64 = (DTYPES[s] for s in ("u8", "u16", "u32", "u64"))


def key(seed: Any, *, impl: Any = None) -> KeyArray:
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
    KeyArray, shape (), dtype ``key<fry>``
        A leaf of pytrees that is no number: it is given to the functions here.
        :func:`key_data` returns its words.

    Raises
    ------
    DTypeError
        If the seed is no integer scalar, or `impl` another generator.

    See Also
    --------
    PRNGKey : the same words as an array.
    """
    _check_impl("key", impl)
    return KeyArray(_seeded("key", seed))


def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """Return the words of a key made of a seed: a key of the older kind.

    All functions here take keys of either kind and return keys of the kind that they are given.

    Parameters
    ----------
    seed, impl
        As for :func:`key`.

    Returns
    -------
    Array, shape (2,), uint32

    See Also
    --------
    wrap_key_data : makes a key of it.
    """
    _check_impl("PRNGKey", impl)
    return _seeded("PRNGKey", seed)


def _seeded(name: str, seed: Any) -> Any:
    if isinstance(seed, KeyArray):
        raise DTypeError(f"{name}: the seed must be an integer; got a key, which needs no seed")
    x = operand(seed)
    aval = get_aval(x)
    if aval.shape or aval.dtype.kind not in "iub":
        raise DTypeError(
            f"{name}: the seed must be an integer scalar; got {aval}"
            + ("; for several keys: vmap, or split of one key" if aval.shape else "")
        )
    value = host_value(x)
    if value is not None:
        number = int(value) & 0xFFFFFFFFFFFFFFFF
        words = [number >> 32, number & 0xFFFFFFFF]
        return array_of(np.array(words, np.uint32))
    wide = cast(x, U64)
    low = cast(wide, U32)
    high = cast(shift_right_logical(wide, np.uint64(32)), U32)
    return concatenate([reshape(v, (1,)) for v in (high, low)], 0)


def key_data(keys: Any) -> Any:
    """Return the words of keys.

    Parameters
    ----------
    keys : KeyArray, shape s, or its words
        The keys.

    Returns
    -------
    Array, shape ``(*s, 2)``, uint32

    Raises
    ------
    DTypeError
        If these are no keys.
    """
    return _checked_words("key_data", keys)


def wrap_key_data(key_bits_array: Any, *, impl: Any = None) -> KeyArray:
    """Return keys made of their words; the inverse of :func:`key_data`.

    Parameters
    ----------
    key_bits_array : array-like, shape ``(*s, 2)``, uint32
        The words.
    impl : str, optional
        The generator, as for :func:`key`.

    Returns
    -------
    KeyArray, shape s

    Raises
    ------
    DTypeError
        If these are no words of keys.
    """
    _check_impl("wrap_key_data", impl)
    if isinstance(key_bits_array, KeyArray):
        raise DTypeError("wrap_key_data: words are needed, uint32 of shape (..., 2); got keys")
    return KeyArray(_checked_words("wrap_key_data", key_bits_array))


def key_impl(keys: Any) -> str:
    """Return the name of the generator of keys: threefry2x32."""
    _checked_words("key_impl", keys)
    return "threefry2x32"


def clone(key: Any) -> Any:
    """Return keys equal to those given; keys may be used as often as one likes."""
    words = _checked_words("clone", key)
    return KeyArray(words) if isinstance(key, KeyArray) else words


def words_of(key: Any) -> Any:
    """Return the words of keys, and whatever else as it is."""
    return key.words if type(key) is KeyArray else key


def _check_impl(name: str, impl: Any) -> None:
    if impl is not None and str(impl) not in ("threefry2x32", "fry"):
        raise DTypeError(
            f"{name}: the generator is threefry2x32, the one that gives the same numbers on every "
            f"device and for parts of an array; got impl={impl!r}"
        )


def _checked_words(name: str, keys: Any) -> Any:
    words = array_of(words_of(keys))
    aval = get_aval(words)
    if aval.dtype is not U32 or aval.shape[-1:] != (2,):
        raise DTypeError(
            f"{name}: keys are needed, made by tracejit.random.key(seed), or their words, uint32 "
            f"of shape (..., 2); got {aval}"
        )
    return words


def _words(name: str, key: Any) -> tuple[Any, Any]:
    x = _checked_words(name, key)
    shape = get_aval(x).shape
    if len(shape) != 1:
        got = f"keys of shape {shape[:-1]}"
        if not isinstance(key, KeyArray):
            got = f"words of shape {shape}, which are {got}"
        raise ShapeError(
            f"{name}: one key is needed; got {got}. Take one, keys[0], or draw with each: "
            "tracejit.vmap(f)(keys), where f takes one key"
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
    key : KeyArray, shape (), or its words
        A key, which should not be used again.
    num : int or tuple of int
        How many, or a shape.

    Returns
    -------
    KeyArray, shape (num,), or words of shape (num, 2) as `key`
    """
    shape = static_shape("split", num)
    parts = _two_words("split", key, shape)
    words = concatenate([reshape(p, (*shape, 1)) for p in parts], len(shape))
    return KeyArray(words) if isinstance(key, KeyArray) else words


def fold_in(key: Any, data: Any) -> Any:
    """Return a key made of a key and an integer.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    data : int, or integer scalar
        What distinguishes the new key.

    Returns
    -------
    KeyArray, shape (), or words as `key`
    """
    k0, k1 = _words("fold_in", key)
    x = operand(data)
    if get_aval(x).shape:
        raise ShapeError(f"fold_in: the data must be a scalar; got {get_aval(x)}")
    value = host_value(x)
    low = np.uint32(int(value) & 0xFFFFFFFF) if value is not None else cast(x, U32)
    parts = threefry2x32(k0, k1, np.uint32(0), low)
    words = concatenate([reshape(w, (1,)) for w in parts], 0)
    return KeyArray(words) if isinstance(key, KeyArray) else words


def bits(key: Any, shape: Any = (), dtype: Any = "uint32") -> Any:
    """Return random bits.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
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
