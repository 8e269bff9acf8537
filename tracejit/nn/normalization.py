"""Softmax and its family, normalisation over axes and over batches, one-hot codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.nn.operand import floating
from tracejit.scipy import special

__all__ = [
    "batch_norm", "layer_norm", "log1mexp", "log_softmax", "logmeanexp", "one_hot", "rms_norm",
    "softmax", "standardize",
]  # fmt: skip

Axes = int | Sequence[int] | None


def _shifted(x: Any, axis: Axes, where: Any) -> tuple[Any, Any]:
    """Return `x` less its maximum, which no derivative sees, and which places count."""
    keep = tnp.asarray(where, bool)
    x = tnp.where(keep, x, -tnp.inf)
    largest = lax.stop_gradient(tnp.max(x, axis, keepdims=True, initial=-tnp.inf))
    # Of nothing, or of minus infinities only: no shift.
    return x - tnp.where(tnp.isfinite(largest), largest, tnp.zeros_like(largest)), keep


def softmax(x: Any, axis: Axes = -1, where: Any = None) -> Any:
    """Exponentials that sum to one.

    Parameters
    ----------
    x : Array, real
        The operand.
    axis : int, sequence of int or None, optional
        The axes that sum to one; None is all.
    where : Array of bool, optional
        The elements that count; the others become 0.

    Returns
    -------
    Array, shape of `x`
        ``exp(x) / sum(exp(x))``, without overflow.
    """
    x = floating("softmax", x)
    if where is None:
        return special.softmax(x, axis=axis)
    shifted, keep = _shifted(x, axis, where)
    raised = tnp.exp(shifted)
    total = tnp.sum(raised, axis, keepdims=True)
    return tnp.where(keep, raised / tnp.where(total == 0, tnp.ones_like(total), total), 0.0)


def log_softmax(x: Any, axis: Axes = -1, where: Any = None) -> Any:
    """Logarithm of :func:`softmax`, without underflow; see there for the arguments."""
    x = floating("log_softmax", x)
    if where is None:
        return special.log_softmax(x, axis=axis)
    shifted, keep = _shifted(x, axis, where)
    out = shifted - tnp.log(tnp.sum(tnp.exp(shifted), axis, keepdims=True))
    return tnp.where(keep, out, -tnp.inf)


def logmeanexp(x: Any, axis: Axes = None, where: Any = None, keepdims: bool = False) -> Any:
    """Logarithm of the mean of exponentials.

    Parameters
    ----------
    x : Array, floating
        The operand.
    axis : int, sequence of int or None, optional
        The axes to reduce; None is all.
    where : Array of bool, optional
        The elements that count.
    keepdims : bool, optional
        Whether reduced axes stay, with length 1.
    """
    x = floating("logmeanexp", x)
    total = special.logsumexp(x, axis, keepdims=keepdims, where=where)
    shape = get_aval(x).shape
    counted = tnp.ones(shape, bool) if where is None else tnp.broadcast_to(where, shape)
    count = tnp.sum(counted, axis, keepdims=keepdims)
    return total - tnp.log(tnp.asarray(count, get_aval(x).dtype))


def log1mexp(x: Any) -> Any:
    """Return ``log(1 - exp(-x))`` for ``x > 0``, without cancellation (Mächler 2012)."""
    x = floating("log1mexp", x)
    small = x < np.log(2.0)
    # Each branch is given arguments of its own, so that no derivative is of infinity.
    near = tnp.log(-tnp.expm1(-tnp.where(small, x, tnp.ones_like(x))))
    return tnp.where(small, near, tnp.log1p(-tnp.exp(-tnp.where(small, tnp.ones_like(x), x))))


def one_hot(x: Any, num_classes: int, *, dtype: Any = None, axis: int = -1) -> Any:
    """Codes of integers: 1 at their place on a new axis, 0 elsewhere.

    Parameters
    ----------
    x : Array of integers, any shape
        The classes; one that is not in ``[0, num_classes)`` has the code 0.
    num_classes : int
        The length of the new axis.
    dtype : dtype-like, optional
        The dtype of the result; the default floating dtype if None.
    axis : int, optional
        Where the new axis goes.

    Returns
    -------
    Array, rank one more than `x`

    Raises
    ------
    DTypeError
        If `x` is not of integers.
    ShapeError
        If the axis is out of range.
    """
    x = tnp.asarray(x)
    aval = get_aval(x)
    if not tnp.issubdtype(aval.dtype, np.integer) and aval.dtype != bool:
        raise DTypeError(f"nn.one_hot: classes as integers; got {aval}")
    if not -aval.ndim - 1 <= axis <= aval.ndim:
        raise ShapeError(f"nn.one_hot: a new axis of {aval}; got axis {axis}")
    place = axis % (aval.ndim + 1)
    shape = [1] * (aval.ndim + 1)
    shape[place] = num_classes
    classes = tnp.reshape(tnp.arange(num_classes), tuple(shape))
    return (tnp.expand_dims(tnp.asarray(x, tnp.int64), place) == classes).astype(
        tnp.asarray(0.0).dtype if dtype is None else dtype
    )


def standardize(
    x: Any, axis: Axes = -1, mean: Any = None, variance: Any = None, epsilon: Any = 1e-5,
    where: Any = None, *, algorithm: str = "two_pass",
) -> Any:  # fmt: skip
    """Subtract the mean and divide by the standard deviation.

    Parameters
    ----------
    x : Array, real
        The operand.
    axis : int, sequence of int or None, optional
        The axes over which to average.
    mean, variance : Array, optional
        What to use instead of the operand's own; they broadcast against it.
    epsilon : scalar, optional
        What is added to the variance.
    where : Array of bool, optional
        The elements that count.
    algorithm : str, optional
        Accepted for compatibility: the mean comes first, as it is the more accurate.
    """
    del algorithm
    x = floating("standardize", x)
    if mean is None:
        mean = tnp.mean(x, axis, keepdims=True, where=True if where is None else where)
    if variance is None:
        # Differences first: the mean of squares less the square of the mean loses digits.
        square = tnp.square(x - mean)
        variance = tnp.mean(square, axis, keepdims=True, where=True if where is None else where)
    return (x - mean) / tnp.sqrt(variance + epsilon)


def layer_norm(
    x: Any, scale: Any = None, bias: Any = None, axis: Axes = -1, epsilon: Any = 1e-5
) -> Any:
    """Layer normalisation (Ba et al. 2016): :func:`standardize`, then scale and shift.

    Parameters
    ----------
    x : Array, real
        The operand.
    scale, bias : Array, optional
        They broadcast against `x`.
    axis : int, sequence of int or None, optional
        The axes over which to average.
    epsilon : scalar, optional
        What is added to the variance.
    """
    return _affine(standardize(x, axis, epsilon=epsilon), scale, bias)


def rms_norm(x: Any, scale: Any = None, axis: Axes = -1, epsilon: Any = 1e-6) -> Any:
    """Divide by the root of the mean square (Zhang and Sennrich 2019), then scale.

    See :func:`layer_norm` for the arguments.
    """
    x = floating("rms_norm", x)
    mean = tnp.mean(tnp.square(x), axis, keepdims=True)
    return _affine(x / tnp.sqrt(mean + epsilon), scale, None)


def batch_norm(
    x: Any, scale: Any = None, bias: Any = None, mean: Any = None, variance: Any = None,
    axis: int = -1, epsilon: Any = 1e-5,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Batch normalisation (Ioffe and Szegedy 2015).

    Parameters
    ----------
    x : Array, real
        The operand.
    scale, bias : Array, optional, shape (channels,)
        Applied to what is normalised.
    mean, variance : Array, optional, shape (channels,)
        Given when a trained network is used; otherwise those of `x` over all axes but `axis`.
    axis : int, optional
        The axis of the channels.
    epsilon : scalar, optional
        What is added to the variance.

    Returns
    -------
    out : Array, shape of `x`
    mean, variance : Array, shape (channels,)
        Those that were used, of which the caller may keep running averages.

    Raises
    ------
    ShapeError
        If `axis` is out of range.
    """
    x = floating("batch_norm", x)
    shape = get_aval(x).shape
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"nn.batch_norm: an axis of {get_aval(x)}; got {axis}")
    axis %= len(shape)
    others = tuple(a for a in range(len(shape)) if a != axis)
    wide = tuple(d if a == axis else 1 for a, d in enumerate(shape))
    if mean is None:
        mean = tnp.mean(x, others)
    if variance is None:
        variance = tnp.mean(tnp.square(x - tnp.reshape(mean, wide)), others)
    mean, variance = tnp.asarray(mean), tnp.asarray(variance)
    out = (x - tnp.reshape(mean, wide)) / tnp.sqrt(tnp.reshape(variance, wide) + epsilon)
    scale, bias = (None if v is None else tnp.reshape(v, wide) for v in (scale, bias))
    return _affine(out, scale, bias), mean, variance


def _affine(x: Any, scale: Any, bias: Any) -> Any:
    if scale is not None:
        x = x * scale
    return x if bias is None else x + bias
