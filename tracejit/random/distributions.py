"""Distributions, as functions of random bits; differentiable in their parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import canonical, is_float, is_integer
from tracejit.numpy.manipulation import broadcast_to
from tracejit.numpy.reductions import argmax
from tracejit.numpy.ufuncs import add, divide, log, log1p, maximum, multiply, negative, subtract
from tracejit.ops.arithmetic import rem
from tracejit.ops.constant import iota
from tracejit.ops.convert import bitcast_convert_type, convert_element_type
from tracejit.ops.indexing import take_axis
from tracejit.ops.logical import lt, or_, shift_right_logical
from tracejit.ops.shape import broadcast_in_dim, reshape
from tracejit.ops.sorting import sort
from tracejit.ops.special import erf, erf_inv
from tracejit.random.keys import bits, shape_of, split

__all__ = [
    "bernoulli",
    "categorical",
    "choice",
    "exponential",
    "gumbel",
    "laplace",
    "logistic",
    "normal",
    "permutation",
    "randint",
    "truncated_normal",
    "uniform",
]

Shape = int | Sequence[int]
_MANTISSA = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}


def _float(name: str, dtype: Any) -> np.dtype[Any]:
    dtype = canonical(dtype)
    if not is_float(dtype):
        raise DTypeError(f"{name}: the dtype must be a real floating type; got {dtype}")
    return dtype


def _unit(k: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Return floats in [0, 1): random mantissas between 1 and 2, less 1."""
    width, mantissa = dtype.itemsize * 8, _MANTISSA[dtype.name]
    word = np.dtype(f"uint{max(width, 16)}")
    raw = bits(k, shape, word)
    one = np.ones((), dtype).view(word)[()]
    raw = or_(shift_right_logical(raw, word.type(width - mantissa)), one)
    return subtract(bitcast_convert_type(raw, dtype), dtype.type(1))


def uniform(
    k: Any, shape: Shape = (), dtype: Any = np.float64, minval: Any = 0.0, maxval: Any = 1.0
) -> Any:
    """Return samples of the uniform distribution on ``[minval, maxval)``.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    shape : int or sequence of int
        The shape of the result.
    dtype : dtype-like
        A real floating type.
    minval, maxval : scalar or Array that broadcasts to `shape`
        The bounds.

    Raises
    ------
    DTypeError
        If `dtype` is not floating.
    """
    dtype, shape = _float("uniform", dtype), shape_of(shape)
    lo, hi = (_cast(v, dtype) for v in (minval, maxval))
    unit = _unit(k, shape, dtype)
    return maximum(lo, add(multiply(unit, subtract(hi, lo)), lo))


def _cast(x: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(x, (bool, int, float)):
        return dtype.type(x)
    return convert_element_type(x, dtype)


def normal(k: Any, shape: Shape = (), dtype: Any = np.float64) -> Any:
    """Return samples of the standard normal distribution, by the inverse error function.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    shape : int or sequence of int
        The shape of the result.
    dtype : dtype-like
        A real floating type.
    """
    dtype = _float("normal", dtype)
    lo = np.nextafter(dtype.type(-1), dtype.type(0), dtype=dtype)
    u = uniform(k, shape, dtype, lo, dtype.type(1))
    return multiply(dtype.type(math.sqrt(2)), erf_inv(u))


def truncated_normal(
    k: Any, lower: Any, upper: Any, shape: Shape = (), dtype: Any = np.float64
) -> Any:
    """Return samples of the standard normal distribution given that they lie in an interval.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    lower, upper : scalar or Array that broadcasts to `shape`
        The interval.
    shape, dtype
        As for :func:`normal`.
    """
    dtype = _float("truncated_normal", dtype)
    root = dtype.type(math.sqrt(2))
    lo, hi = (_cast(v, dtype) for v in (lower, upper))
    a, b = (erf(divide(v, root)) for v in (lo, hi))
    out = multiply(root, erf_inv(uniform(k, shape, dtype, a, b)))
    return maximum(lo, negative(maximum(negative(out), negative(hi))))


def exponential(k: Any, shape: Shape = (), dtype: Any = np.float64) -> Any:
    """Return samples of the exponential distribution of rate 1."""
    return negative(log1p(negative(uniform(k, shape, _float("exponential", dtype)))))


def gumbel(k: Any, shape: Shape = (), dtype: Any = np.float64) -> Any:
    """Return samples of the standard Gumbel distribution."""
    dtype = _float("gumbel", dtype)
    u = uniform(k, shape, dtype, np.finfo(dtype).tiny, 1.0)
    return negative(log(negative(log(u))))


def laplace(k: Any, shape: Shape = (), dtype: Any = np.float64) -> Any:
    """Return samples of the standard Laplace distribution."""
    dtype = _float("laplace", dtype)
    u = uniform(k, shape, dtype, dtype.type(-1) + np.finfo(dtype).epsneg, dtype.type(1))
    positive = lt(dtype.type(0), u)
    sign = subtract(multiply(dtype.type(2), convert_element_type(positive, dtype)), dtype.type(1))
    return multiply(sign, log1p(negative(multiply(sign, u))))


def logistic(k: Any, shape: Shape = (), dtype: Any = np.float64) -> Any:
    """Return samples of the standard logistic distribution."""
    dtype = _float("logistic", dtype)
    u = uniform(k, shape, dtype, np.finfo(dtype).tiny, 1.0)
    return subtract(log(u), log1p(negative(u)))


def bernoulli(k: Any, p: Any = 0.5, shape: Shape | None = None) -> Any:
    """Return bools that are true with probability `p`.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    p : scalar or Array
        The probabilities.
    shape : int or sequence of int, optional
        The shape of the result; that of `p` by default.
    """
    aval = get_aval(p)
    dtype = aval.dtype if is_float(aval.dtype) else np.dtype(np.float64)
    full_shape = aval.shape if shape is None else shape_of(shape)
    p = _cast(p, dtype)
    if get_aval(p).shape:
        p = broadcast_to(p, full_shape)
    return lt(uniform(k, full_shape, dtype), p)


def randint(k: Any, shape: Shape, minval: Any, maxval: Any, dtype: Any = np.int64) -> Any:
    """Return integers of ``[minval, maxval)``, each equally likely but for a bias of 2**-32.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    shape : int or sequence of int
        The shape of the result.
    minval, maxval : int or integer Array that broadcasts to `shape`
        The bounds; where ``maxval <= minval`` the result is `minval`.
    dtype : dtype-like
        An integer type.

    Raises
    ------
    DTypeError
        If `dtype` is not an integer type.
    """
    dtype, shape = canonical(dtype), shape_of(shape)
    if not is_integer(dtype):
        raise DTypeError(f"randint: the dtype must be an integer type; got {dtype}")
    limits = np.iinfo(dtype)
    beyond = isinstance(maxval, int) and maxval == limits.max + 1
    lo, hi = _bound(minval, dtype), _bound(min(maxval, limits.max) if beyond else maxval, dtype)
    word = np.dtype(f"uint{dtype.itemsize * 8}")
    one = word.type(1)
    span = convert_element_type(subtract(hi, lo), word)
    span = multiply(span, convert_element_type(lt(lo, hi), word))
    span = add(span, convert_element_type(lt(span, one), word))
    if beyond:
        span = add(span, one)
    k1, k2 = _rows(split(k))
    high, low = bits(k1, shape, word), bits(k2, shape, word)
    if beyond and isinstance(minval, int) and minval <= limits.min:
        return convert_element_type(low, dtype)  # every value of the type: the bits as they are
    half = word.type(1 << (word.itemsize * 4))
    span_full = broadcast_to(span, shape) if get_aval(span).shape else span
    multiplier = rem(half, span_full) if not get_aval(span_full).shape else rem(
        broadcast_in_dim(half, shape, ()), span_full
    )
    multiplier = rem(multiply(multiplier, multiplier), span_full)
    offset = add(multiply(rem(high, span_full), multiplier), rem(low, span_full))
    return add(lo, convert_element_type(rem(offset, span_full), dtype))


def _bound(x: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(x, int):
        limits = np.iinfo(dtype)
        return dtype.type(min(max(x, limits.min), limits.max))
    return convert_element_type(x, dtype)


def _rows(keys: Any) -> list[Any]:
    return [take_axis(keys, np.int64(n), 0) for n in range(get_aval(keys).shape[0])]


def permutation(k: Any, x: Any, axis: int = 0) -> Any:
    """Return the slices of an array along an axis in random order, all orders equally likely.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    x : int or Array
        The array; an int stands for ``arange(x)``.
    axis : int
        The axis.
    """
    if isinstance(x, int):
        return _shuffle(k, iota((x,), 0, np.dtype(np.int64)))
    aval = get_aval(x)
    if not aval.shape:
        raise ShapeError(f"permutation: an int or an array of rank 1 or more; got {aval!r}")
    axis = axis % aval.ndim
    if aval.ndim == 1:
        return _shuffle(k, x)
    return take_axis(x, _shuffle(k, iota((aval.shape[axis],), 0, np.dtype(np.int64))), axis)


def _shuffle(k: Any, x: Any) -> Any:
    size = get_aval(x).size
    # Keys of 32 bits collide; so many rounds make every order equally likely (as in JAX).
    for _ in range(math.ceil(3 * math.log(max(1, size)) / math.log(2**32 - 1))):
        k, subkey = _rows(split(k))
        _, x = sort([bits(subkey, (size,)), x], 0)
    return x


def categorical(k: Any, logits: Any, axis: int = -1, shape: Shape | None = None) -> Any:
    """Return samples of categorical distributions, by the Gumbel trick.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    logits : Array
        Unnormalised logarithms of probabilities.
    axis : int
        The axis of the categories.
    shape : int or sequence of int, optional
        The shape of the result; that of `logits` without `axis` by default, which it must end in.
    """
    aval = get_aval(logits)
    axis = axis % aval.ndim
    batch = (*aval.shape[:axis], *aval.shape[axis + 1 :])
    wanted = batch if shape is None else shape_of(shape)
    if wanted[len(wanted) - len(batch) :] != batch:
        raise ShapeError(f"categorical: the shape must end in {batch}; got {wanted}")
    front = wanted[: len(wanted) - len(batch)]
    noise = gumbel(k, (*front, *aval.shape), aval.dtype)
    return argmax(add(noise, logits), axis=len(front) + axis)


def choice(
    k: Any, a: Any, shape: Shape = (), replace: bool = True, p: Any = None, axis: int = 0
) -> Any:
    """Return random slices of an array along an axis.

    Parameters
    ----------
    k : Array, shape (2,), uint32
        A key.
    a : int or Array
        What to choose from; an int stands for ``arange(a)``.
    shape : int or sequence of int
        How many are chosen, as a shape.
    replace : bool
        Whether the same may be chosen again.
    p : Array, shape (n,), optional
        The probabilities; all equal by default.
    axis : int
        The axis of `a`.

    Raises
    ------
    ShapeError
        If more are chosen without replacement than there are.
    """
    n = a if isinstance(a, int) else get_aval(a).shape[axis % max(get_aval(a).ndim, 1)]
    shape = shape_of(shape)
    count = math.prod(shape)
    if not replace and count > n:
        raise ShapeError(f"choice: {count} cannot be chosen from {n} without replacement")
    if p is None:
        if replace:
            found = randint(k, shape, 0, n)
        else:
            found = reshape(take_axis(permutation(k, n), np.arange(count), 0), shape)
    elif replace:
        found = categorical(k, log(p), shape=shape)
    else:
        # The largest of log p + Gumbel noise, in order: sampling without replacement.
        noise = add(gumbel(k, (n,)), log(p))
        _, order = sort([negative(noise), iota((n,), 0, np.dtype(np.int64))], 0)
        found = reshape(take_axis(order, np.arange(count), 0), shape)
    return found if isinstance(a, int) else take_axis(a, found, axis % get_aval(a).ndim)


