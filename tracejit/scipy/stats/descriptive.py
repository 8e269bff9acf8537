"""Descriptions of samples: the commonest value, ranks, the standard error of the mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_inexact
from tracejit.numpy.promotion import UnsupportedArgument, array_of, normal_axis
from tracejit.ops.cumulative import cummax

__all__ = ["ModeResult", "mode", "rankdata", "sem"]

METHODS = ("average", "min", "max", "dense", "ordinal")


class ModeResult(NamedTuple):
    """The commonest values and how often they occur."""

    mode: Any
    count: Any


def _check_nans(name: str, nan_policy: str, allowed: tuple[str, ...] = ("propagate",)) -> None:
    if nan_policy not in allowed:
        raise UnsupportedArgument(
            f"{name}: nan_policy must be one of {allowed}; got {nan_policy!r}"
        )


def _along(name: str, a: Any, axis: int | None) -> tuple[Any, int]:
    """Return an array and an axis of it, flat if `axis` is None."""
    a = array_of(a)
    if axis is None or not get_aval(a).shape:
        return tnp.ravel(a), 0
    return a, normal_axis(name, axis, get_aval(a).ndim)


def mode(
    a: Any, axis: int | None = 0, nan_policy: str = "propagate", keepdims: bool = False
) -> ModeResult:
    """Return the commonest values along an axis, the least of several that are.

    Parameters
    ----------
    a : array-like, any shape, real
        The sample.
    axis : int or None
        The axis; all elements together for None.
    nan_policy : {'propagate'}
        NaN is the greatest value, and equal to itself.
    keepdims : bool
        Whether the axis is kept, with length 1.
    """
    _check_nans("mode", nan_policy)
    rank = get_aval(array_of(a)).ndim
    x, along = _along("mode", a, axis)
    length = get_aval(x).shape[along]
    if not length:
        shape = [d for n, d in enumerate(get_aval(x).shape) if n != along]
        kind = get_aval(x).dtype if is_inexact(get_aval(x).dtype) else np.dtype(float)
        value, count = tnp.full(shape, np.nan, kind), tnp.zeros(shape, int)
    else:
        x = tnp.moveaxis(tnp.sort(x, along), along, -1)
        first = _run_starts(x)
        # Elements of a run before and with this one; its last has the length of the run.
        place = tnp.arange(length)
        start = _running_max(tnp.where(first, place, 0))
        counts = place - start + 1
        best = tnp.argmax(counts, -1, keepdims=True)
        value = tnp.take_along_axis(x, best, -1)[..., 0]
        count = tnp.take_along_axis(counts, best, -1)[..., 0]
    if keepdims:
        if axis is None:
            value, count = (tnp.reshape(v, (1,) * rank) for v in (value, count))
        else:
            value, count = (tnp.expand_dims(v, along) for v in (value, count))
    return ModeResult(value, count)


def _run_starts(x: Any) -> Any:
    """Return where, in sorted rows, a value is another than the one before."""
    same = (x[..., 1:] == x[..., :-1]) | ((x[..., 1:] != x[..., 1:]) & (x[..., :-1] != x[..., :-1]))
    head = tnp.ones((*get_aval(x).shape[:-1], 1), bool)
    return tnp.concatenate([head, ~same], -1)


def _running_max(x: Any) -> Any:
    return cummax(x, get_aval(x).ndim - 1)


def rankdata(
    a: Any, method: str = "average", *, axis: int | None = None, nan_policy: str = "propagate"
) -> Any:
    """Return the ranks of elements, from 1 on.

    Parameters
    ----------
    a : array-like, any shape, real
        What is ranked.
    method : {'average', 'min', 'max', 'dense', 'ordinal'}
        Which rank equal elements have.
    axis : int or None
        The axis along which is ranked; None ranks all elements together.
    nan_policy : {'propagate'}
        All ranks along an axis with a NaN are NaN.

    Returns
    -------
    Array, shape of `a`, or flat if `axis` is None; float64
        The ranks.

    Raises
    ------
    ValueError
        If `method` is none of these.
    """
    if method not in METHODS:
        raise ValueError(f"rankdata: method must be one of {METHODS}; got {method!r}")
    _check_nans("rankdata", nan_policy)
    shape = get_aval(array_of(a)).shape
    x, along = _along("rankdata", a, axis)
    x = tnp.moveaxis(x, along, -1)
    if not get_aval(x).size:
        return tnp.zeros(shape if axis is not None else (0,))
    order = tnp.argsort(x, -1, stable=True)
    back = tnp.argsort(order, -1, stable=True)
    length = get_aval(x).shape[-1]
    place = tnp.arange(length) + 0 * back
    if method == "ordinal":
        ranks = place + 1.0
    else:
        first = _run_starts(tnp.take_along_axis(x, order, -1))
        if method == "dense":
            ranks = tnp.cumsum(first, -1) + 0.0
        else:
            low = _running_max(tnp.where(first, place, 0))
            last = tnp.concatenate([first[..., 1:], tnp.ones_like(first[..., :1])], -1)
            high = (
                length
                - 1
                - tnp.flip(_running_max(tnp.flip(tnp.where(last, length - 1 - place, 0), -1)), -1)
            )
            ranks = {"min": low + 1.0, "max": high + 1.0, "average": (low + high) / 2 + 1.0}[method]
    ranks = tnp.take_along_axis(ranks, back, -1)
    ranks = tnp.where(tnp.any(x != x, -1, keepdims=True), tnp.nan, ranks)
    return tnp.moveaxis(ranks, -1, along)


def sem(
    a: Any,
    axis: int | None = 0,
    ddof: int = 1,
    nan_policy: str = "propagate",
    *,
    keepdims: bool = False,
) -> Any:
    """Return the standard error of the mean along an axis.

    Parameters
    ----------
    a : array-like, any shape, real
        The sample.
    axis : int or None
        The axis; all elements together for None.
    ddof : int
        What is taken off the number of elements in the estimate of the variance.
    nan_policy : {'propagate', 'omit'}
        What is done with NaN.
    keepdims : bool
        Whether the axis is kept, with length 1.
    """
    _check_nans("sem", nan_policy, ("propagate", "omit"))
    x = array_of(a)
    how: dict[str, Any] = {"axis": axis, "keepdims": keepdims}
    if nan_policy == "omit":
        count = tnp.sum(~tnp.isnan(x), **how)
        return tnp.nanstd(x, ddof=ddof, **how) / tnp.sqrt(count)
    shape = get_aval(x).shape
    size = get_aval(x).size if axis is None else shape[normal_axis("sem", axis, len(shape))]
    return tnp.std(x, ddof=ddof, **how) / np.sqrt(size)
