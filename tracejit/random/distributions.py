"""Random numbers of several distributions, each a function of random bits.

The defaults are float64 and int64.  With ``dtype=float32`` and ``int32`` they are JAX's numbers:
the same bits for what needs no transcendental function, and for :func:`normal`; the last bits
apart for the others, if they are of the same algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.settings import default_float
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_float, is_integer
from tracejit.numpy.creation import counted
from tracejit.numpy.indexing import getitem
from tracejit.numpy.logic import logical_and
from tracejit.numpy.manipulation import moveaxis, ravel, reshape
from tracejit.numpy.numeric import clip
from tracejit.numpy.promotion import (
    array_of,
    broadcast_shapes,
    cast,
    dtype_or,
    known,
    normal_axis,
    operand,
    static_shape,
    stretch,
)
from tracejit.numpy.searching import searchsorted, take
from tracejit.numpy.ufuncs import add as add_promoted
from tracejit.ops.arithmetic import add, div, mul, neg, nextafter, rem, sub
from tracejit.ops.complex_numbers import abs_, complex_, sign
from tracejit.ops.convert import bitcast_convert_type
from tracejit.ops.cumulative import cumsum
from tracejit.ops.fused import fma
from tracejit.ops.logical import gt, le, lt, max_, or_, select, shift_right_logical
from tracejit.ops.normal_quantile import erf_inv_of_uniform
from tracejit.ops.reduction import argmax
from tracejit.ops.sorting import sort, top_k
from tracejit.ops.special import erf
from tracejit.ops.transcendental import log, log1p, tan
from tracejit.random.keys import bits, split, words_of

__all__ = [
    "F32", "F64", "I32", "I64", "bernoulli", "categorical", "cauchy", "choice", "epsilon",
    "exponential", "fitted", "float_dtype", "gumbel", "laplace", "logistic", "normal",
    "permutation", "rademacher", "randint", "shuffle", "tiny", "truncated_normal", "two_keys",
    "uniform",
]  # fmt: skip

F32, F64 = DTYPES["f32"], DTYPES["f64"]
I32, I64 = DTYPES["i32"], DTYPES["i64"]


def float_dtype(name: str, dtype: Any) -> np.dtype[Any]:
    """Return the floating dtype that is asked for; float64 by default."""
    kind = dtype_or(dtype)
    if not is_float(kind):
        raise DTypeError(f"{name}: dtype must be floating; got {kind}")
    return kind


def fitted(name: str, x: Any, shape: tuple[int, ...]) -> Any:
    """Return a parameter of a distribution as it meets numbers of `shape`."""
    own = get_aval(x).shape
    if broadcast_shapes(name, own, shape) != shape:
        raise ShapeError(f"{name}: parameters of shape {own} do not broadcast to shape {shape}")
    return stretch(array_of(x), shape) if own else x


def two_keys(key: Any) -> tuple[Any, Any]:
    """Return two keys made of one, as words."""
    keys = split(words_of(key))
    return getitem(keys, 0), getitem(keys, 1)


def uniform(
    key: Any, shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0
) -> Any:
    """Return numbers uniform in ``[minval, maxval)``.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    shape : tuple of int
        The shape of the result.
    dtype : dtype-like, floating
        The dtype of the result; float64 by default.
    minval, maxval : scalars or arrays that broadcast to `shape`
        The interval.

    Notes
    -----
    The numbers are fused multiply-adds of some in [0, 1), ``maxval - minval`` and `minval`, which
    are the bits that JAX has on x86-64 with such an instruction.
    """
    kind = float_dtype("uniform", dtype)
    target = static_shape("uniform", shape)
    low, high = (fitted("uniform", cast(operand(v), kind), target) for v in (minval, maxval))
    width = kind.itemsize * 8
    mantissa = 7 if kind.kind == "V" else np.finfo(kind).nmant
    drawn = 8 if mantissa < 8 else width
    word = DTYPES[f"u{width}"]
    # The mantissa of a number in [1, 2) is drawn, and 1 taken off.
    random = cast(bits(key, target, DTYPES[f"u{drawn}"]), word)
    random = shift_right_logical(random, word.type(drawn - mantissa))
    one = np.ones((), kind).view(word)[()]
    floats = _rounded(sub, bitcast_convert_type(or_(random, one), kind), kind.type(1))
    span = _rounded(sub, high, low)
    if kind.itemsize > 2 and not _is_power_of_two(kind, minval, maxval):
        return max_(low, fma(floats, span, low))
    return max_(low, _rounded(add, _rounded(mul, floats, span), low))


def _is_power_of_two(kind: np.dtype[Any], low: Any, high: Any) -> bool:
    """Whether an interval is so long, for all that is known: a product with it is exact."""
    if not all(isinstance(v, (int, float, np.number)) for v in (low, high)):
        return False
    return bool(np.frexp(kind.type(high) - kind.type(low))[0] == 0.5)


def _rounded(operation: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    """Return the result of an operation, rounded to its dtype.

    Kernels compute narrow floats in float32 and round what they store, or convert.
    """
    kind = get_aval(x).dtype
    if kind.itemsize > 2:
        return operation(x, y)
    return cast(operation(cast(x, F32), cast(y, F32)), kind)


def normal(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Return numbers of the standard normal distribution.  See :func:`uniform`.

    For a complex `dtype` real and imaginary parts have variance 1/2.

    Notes
    -----
    Equal keys give equal bits on any machine and device, eagerly or in kernels.  They are those of
    JAX 0.10 on x86-64 with fused multiply-adds and glibc 2.28 or later.
    """
    kind = dtype_or(dtype)
    if is_complex(kind):
        part = F32 if kind.itemsize == 8 else F64
        first, second = two_keys(key)
        parts = complex_(normal(first, shape, part), normal(second, shape, part))
        return div(parts, kind.type(math.sqrt(2)))
    kind = float_dtype("normal", kind)
    u = uniform(key, shape, kind, np.nextafter(kind.type(-1), kind.type(0)), kind.type(1))
    return mul(_quantile(u), kind.type(math.sqrt(2)))


def _quantile(u: Any) -> Any:
    kind = get_aval(u).dtype
    if kind.itemsize > 2:
        return erf_inv_of_uniform(u)
    return cast(erf_inv_of_uniform(cast(u, F32)), kind)


def truncated_normal(key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return numbers of the normal distribution within ``(lower, upper)``."""
    kind = float_dtype("truncated_normal", dtype)
    low, high = cast(operand(lower), kind), cast(operand(upper), kind)
    if shape is None:
        shape = broadcast_shapes("truncated_normal", get_aval(low).shape, get_aval(high).shape)
    target = static_shape("truncated_normal", shape)
    root = kind.type(math.sqrt(2))
    u = uniform(key, target, kind, erf(div(low, root)), erf(div(high, root)))
    inside = nextafter(low, kind.type(np.inf)), nextafter(high, kind.type(-np.inf))
    return clip(mul(_quantile(u), root), *inside)


def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None) -> Any:
    """Return integers uniform in ``[minval, maxval)``.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    shape : tuple of int
        The shape of the result.
    minval, maxval : integers, or arrays of them that broadcast to `shape`
        The interval; `minval` is returned where it is empty.
    dtype : dtype-like, integer
        The dtype of the result; int64 by default.

    Notes
    -----
    Twice as many bits as the dtype has are reduced modulo the length of the interval, so the
    bias is at most the length divided by 2 to the power of that.
    """
    kind = dtype_or(dtype, I64)
    if not is_integer(kind):
        raise DTypeError(f"randint: dtype must be an integer; got {kind}")
    target = static_shape("randint", shape)
    drawn = I32 if kind.itemsize < 4 else kind
    low, beyond = _bound(minval, drawn, kind)
    high, past = _bound(maxval, drawn, kind)
    del beyond
    low, high = fitted("randint", low, target), fitted("randint", high, target)
    past = fitted("randint", past, target)
    word = DTYPES[f"u{drawn.itemsize * 8}"]
    one = word.type(1)
    keys = two_keys(key)
    upper, lower = (bits(k, target, word) for k in keys)
    span = cast(sub(high, low), word)
    empty = le(high, low)
    span = select(empty, one, span)
    span = select(logical_and(past, gt(high, low)), add(span, one), span)
    half = word.type(1 << (drawn.itemsize * 4))
    factor = rem(half, span)
    factor = rem(mul(factor, factor), span)
    offset = add(mul(_rem(upper, span), factor), _rem(lower, span))
    return cast(add(low, cast(_rem(offset, span), drawn)), kind)


def _rem(x: Any, span: Any) -> Any:
    """Return the remainder; a span that wrapped round to 0 leaves all."""
    zero = get_aval(x).dtype.type(0)
    return select(le(span, zero), x, rem(x, span))


def _bound(value: Any, drawn: np.dtype[Any], kind: np.dtype[Any]) -> tuple[Any, Any]:
    """Return a bound as `drawn`, cut to its range, and whether it was above."""
    limits = np.iinfo(drawn)
    if isinstance(value, (int, np.integer)):
        number = int(value)
        if drawn is not kind:
            own = np.iinfo(kind)
            number = min(max(number, own.min), own.max + 1)
        cut = min(max(number, int(limits.min)), int(limits.max))
        return drawn.type(cut), np.bool_(number > limits.max)
    x = operand(value)
    if not is_integer(get_aval(x).dtype):
        x = cast(x, I64)
    own = np.iinfo(get_aval(x).dtype)
    of = get_aval(x).dtype.type
    low, high = max(int(own.min), int(limits.min)), min(int(own.max), int(limits.max))
    if drawn is not kind:
        least, most = np.iinfo(kind).min, np.iinfo(kind).max + 1
        low, high = max(low, int(least)), min(high, int(most))
    return cast(clip(x, of(low), of(high)), drawn), gt(x, of(high))


def _in_high(name: str, mode: str | None) -> bool:
    """Whether twice the bits are asked for, so that small probabilities are resolved."""
    if mode not in (None, "low", "high"):
        raise ShapeError(f"{name}: mode must be 'low' or 'high'; got {mode!r}")
    return mode == "high"


def _in_two_words(key: Any, target: tuple[int, ...], kind: np.dtype[Any]) -> tuple[Any, Any]:
    """Return a uniform number, and one below its last digit."""
    both = uniform(key, (2, *target), kind)
    digits = 7 if kind.kind == "V" else np.finfo(kind).nmant
    return getitem(both, 0), mul(getitem(both, 1), kind.type(2.0**-digits))


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None, mode: str = "low") -> Any:
    """Return bools that are True with probability `p`; by twice the bits in `mode` "high"."""
    high = _in_high("bernoulli", mode)
    chance = operand(p)
    kind = get_aval(chance).dtype
    chance = chance if is_float(kind) else cast(chance, default_float())
    kind = get_aval(chance).dtype
    target = get_aval(chance).shape if shape is None else static_shape("bernoulli", shape)
    if high:
        first, rest = _in_two_words(key, target, kind)
        return lt(rest, sub(fitted("bernoulli", cast(chance, kind), target), first))
    return lt(uniform(key, target, kind), fitted("bernoulli", cast(chance, kind), target))


def rademacher(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Return -1 or 1, each with probability 1/2; int64 by default."""
    kind = dtype_or(dtype, I64)
    sign_bit = cast(bernoulli(key, 0.5, shape), kind)
    return sub(mul(sign_bit, kind.type(2)), kind.type(1))


def exponential(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Return numbers of the exponential distribution of mean 1."""
    return neg(log1p(neg(uniform(key, shape, float_dtype("exponential", dtype)))))


def gumbel(key: Any, shape: Any = (), dtype: Any = None, mode: str | None = None) -> Any:
    """Return numbers of the standard Gumbel distribution; by twice the bits in `mode` "high"."""
    kind = float_dtype("gumbel", dtype)
    if _in_high("gumbel", mode):
        first, rest = _in_two_words(key, static_shape("gumbel", shape), kind)
        finer = add(add(first, rest), tiny(kind))
        return neg(log(neg(log1p(neg(select(lt(first, kind.type(0.5)), finer, first))))))
    return neg(log(neg(log(uniform(key, shape, kind, tiny(kind), 1.0)))))


def tiny(kind: np.dtype[Any]) -> Any:
    """Return the least normal number of a dtype."""
    return kind.type(1.1754943508222875e-38) if kind.kind == "V" else np.finfo(kind).tiny


def epsilon(kind: np.dtype[Any]) -> Any:
    """Return the distance from 1 to the next number of a dtype."""
    return kind.type(2.0**-7) if kind.kind == "V" else np.finfo(kind).eps


def laplace(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Return numbers of the standard Laplace distribution."""
    kind = float_dtype("laplace", dtype)
    u = uniform(key, shape, kind, kind.type(-1) + epsilon(kind), 1.0)
    return mul(sign(u), log1p(neg(abs_(u))))


def cauchy(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Return numbers of the standard Cauchy distribution."""
    kind = float_dtype("cauchy", dtype)
    u = uniform(key, shape, kind, epsilon(kind), 1.0)
    return tan(mul(sub(u, kind.type(0.5)), kind.type(math.pi)))


def logistic(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Return numbers of the standard logistic distribution."""
    kind = float_dtype("logistic", dtype)
    u = uniform(key, shape, kind, tiny(kind), 1.0)
    return log(div(u, sub(kind.type(1), u)))


def categorical(
    key: Any, logits: Any, axis: int = -1, shape: Any = None, replace: bool = True,
    mode: str | None = None,
) -> Any:  # fmt: skip
    """Return indices drawn with probabilities proportional to ``exp(logits)``.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    logits : Array
        The logarithms of the weights, along `axis`.
    axis : int
        The axis of `logits`.
    shape : tuple of int, optional
        What the shape of `logits` without `axis` stretches to; axes before it are independent
        draws.
    replace : bool
        Whether the draws along those axes may repeat an index.
    mode : "low" or "high", optional
        As of :func:`gumbel`.
    """
    x = array_of(logits)
    aval = get_aval(x)
    axis = normal_axis("categorical", axis, aval.ndim)
    batch = (*aval.shape[:axis], *aval.shape[axis + 1 :])
    target = batch if shape is None else static_shape("categorical", shape)
    broadcast_shapes("categorical", target, batch)
    front = target[: len(target) - len(batch)]
    kind = aval.dtype if is_float(aval.dtype) else default_float()
    if not replace:
        n, count = aval.shape[axis], math.prod(front)
        if count > n:
            raise ShapeError(f"categorical: {count} different indices cannot be drawn from {n}")
        if target[len(front) :] != batch:
            raise ShapeError(
                f"categorical: with replace=False shape must end in {batch}; got {target}"
            )
        noisy = add_promoted(gumbel(key, aval.shape, kind, mode), x)
        places = cast(top_k(moveaxis(noisy, axis, -1), count)[1], I64)
        return reshape(moveaxis(places, -1, 0), target)
    full = (*front, *target[len(front) :][:axis], aval.shape[axis], *target[len(front) :][axis:])
    noise = gumbel(key, full, kind, mode)
    return argmax(add_promoted(noise, x), axis + len(front))


def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Any:
    """Return a permuted array, or a permutation of ``arange(x)`` for an int `x`."""
    if isinstance(x, (int, np.integer)):
        return _shuffled(key, counted(int(x)), 0)
    x = array_of(x)
    if not get_aval(x).ndim:
        return permutation(key, int(known(x, "permutation()", "Its length must be static.")))
    axis = normal_axis("permutation", axis, get_aval(x).ndim)
    if independent or get_aval(x).ndim == 1:
        return _shuffled(key, x, axis)
    return take(x, _shuffled(key, counted(get_aval(x).shape[axis]), 0), axis, mode="clip")


def shuffle(key: Any, x: Any, axis: int = 0) -> Any:
    """Return an array whose vectors along an axis are shuffled independently."""
    x = array_of(x)
    return _shuffled(key, x, normal_axis("shuffle", axis, get_aval(x).ndim))


def _shuffled(key: Any, x: Any, axis: int) -> Any:
    """Sort by random words; often enough that all pairs are told apart with high probability."""
    aval = get_aval(x)
    rounds = math.ceil(3 * math.log(max(1, aval.size)) / math.log(2**32 - 1))
    for _ in range(rounds):
        key, part = two_keys(key)
        x = sort([bits(part, aval.shape), x], axis)[1]
    return x


def choice(
    key: Any, a: Any, shape: Any = (), replace: bool = True, p: Any = None, axis: int = 0,
    mode: str | None = None,
) -> Any:  # fmt: skip
    """Return elements of `a` (or of ``arange(a)``) drawn at random.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    a : int or Array
        What is drawn from, along `axis`.
    shape : tuple of int
        How many.
    replace : bool
        Whether an element may be drawn again.
    p : Array, shape (n,), optional
        The probabilities; equal by default.
    axis : int
        The axis of `a`.
    mode : "low" or "high", optional
        As of :func:`gumbel`, which draws without replacement by `p`.
    """
    target = static_shape("choice", shape)
    count = math.prod(target)
    x = array_of(a)
    whole = not get_aval(x).ndim
    if whole:
        n = int(known(x, "choice()", "The number of elements must be static."))
    else:
        axis = normal_axis("choice", axis, get_aval(x).ndim)
        n = get_aval(x).shape[axis]
    if count and (n < 1 or (not replace and count > n)):
        raise ShapeError(f"choice: {count} elements cannot be drawn from {n}")
    if p is None:
        if replace:
            index = randint(key, target, 0, n)
        else:
            index = getitem(permutation(key, n), slice(0, count))
    else:
        weights = array_of(p)
        weights = weights if is_float(get_aval(weights).dtype) else cast(weights, default_float())
        if get_aval(weights).shape != (n,):
            raise ShapeError(f"choice: p must have shape ({n},); got {get_aval(weights).shape}")
        kind = get_aval(weights).dtype
        if replace:
            total = cumsum(weights, 0)
            u = sub(kind.type(1), uniform(key, target, kind))
            index = searchsorted(total, mul(getitem(total, -1), u))
        else:
            noisy = add(gumbel(key, (n,), kind, mode), log(weights))
            index = cast(top_k(noisy, count)[1], I64)
    from_shape = ravel(index) if not target and get_aval(index).ndim else index
    index = getitem(from_shape, 0) if not target and get_aval(from_shape).ndim else from_shape
    if get_aval(index).shape != target:
        index = index.reshape(target)
    return index if whole else take(x, index, axis, mode="clip")
