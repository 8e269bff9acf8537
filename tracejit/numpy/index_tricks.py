"""Indices made from arrays, arrays written as indices, and NumPy's in-place writes as functions.

What NumPy writes in place returns a new array here, and is asked for with ``inplace=False``, so
that a program written for NumPy does not silently do nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_bool, is_integer
from tracejit.numpy.creation import (
    arange,
    committed,
    diag_indices,
    linspace,
    ones,
    tril_indices,
    triu_indices,
)
from tracejit.numpy.logic import truth
from tracejit.numpy.manipulation import concatenate, resize, transpose
from tracejit.numpy.promotion import (
    UnsupportedArgument,
    array_of,
    broadcast_shapes,
    cast,
    normal_axis,
    operand,
    stretch,
)
from tracejit.numpy.reductions import cumsum
from tracejit.numpy.searching import nonzero, take, where
from tracejit.numpy.ufuncs import subtract
from tracejit.numpy.updates import At
from tracejit.ops.constant import iota
from tracejit.ops.shape import reshape

__all__ = [
    "c_", "diag_indices_from", "fill_diagonal", "index_exp", "ix_", "mask_indices", "place",
    "put", "put_along_axis", "putmask", "r_", "s_", "tril_indices_from", "triu_indices_from",
]  # fmt: skip

s_, index_exp = np.s_, np.index_exp


class _Joined:
    """``r_`` and ``c_``: arrays and ranges joined, written as an index."""

    def __init__(self, name: str, axis: int, rank: int, first: int) -> None:
        self._name = name
        self._default = axis, rank, first

    def __getitem__(self, key: Any) -> Any:
        items = list(key) if isinstance(key, tuple) else [key]
        axis, rank, first = self._default
        if items and isinstance(items[0], str):
            axis, rank, first = self._directive(items.pop(0))
        parts = [self._part(item, rank, first) for item in items]
        if not parts:
            raise ShapeError(f"{self._name}: something to join is needed")
        return committed(concatenate(parts, axis))

    def _directive(self, text: str) -> tuple[int, int, int]:
        try:
            numbers = [int(part) for part in text.split(",")]
            axis, rank, first = (*numbers, *self._default[len(numbers) :])
        except ValueError:
            raise UnsupportedArgument(
                f"{self._name}: a directive is up to three integers, such as '0,2'; got {text!r} "
                "(there is no matrix class)"
            ) from None
        return axis, rank, first

    def _part(self, item: Any, rank: int, first: int) -> Any:
        if isinstance(item, str):
            raise ShapeError(f"{self._name}: a directive must come first; got {item!r}")
        if isinstance(item, slice):
            item = _range(item)
            own = 1
        else:
            item = operand(item)
            own = get_aval(item).ndim
            if isinstance(item, (bool, int, float, complex)) is False:
                item = array_of(item)
        short = rank - own
        if get_aval(item).ndim == 0:
            if rank <= 1:
                # A Python scalar stays one until dtypes are promoted.
                return reshape(array_of(item), (1,))
            return reshape(array_of(item), (1,) * rank)
        if short <= 0:
            return item
        # The axes of the array are put at `first` among those of the result.
        order = list(range(rank))
        place = first if first >= 0 else short + 1 + first
        item = reshape(item, (*get_aval(item).shape, *(1,) * short))
        axes = order[own:]
        axes[place:place] = order[:own]
        return transpose(item, axes)


def _range(item: slice) -> Any:
    start = 0 if item.start is None else item.start
    step = 1 if item.step is None else item.step
    if isinstance(step, complex):
        return linspace(start, item.stop, int(abs(step)))
    return arange(start, item.stop, step)


r_ = _Joined("r_", 0, 1, -1)
c_ = _Joined("c_", -1, 2, 0)


def ix_(*args: Any) -> tuple[Any, ...]:
    """As :func:`numpy.ix_`; a mask must be known when tracing."""
    outs = []
    for i, arg in enumerate(args):
        x = array_of(arg)
        if get_aval(x).ndim != 1:
            raise ShapeError(f"ix_: each must have rank 1; got shape {get_aval(x).shape}")
        if is_bool(get_aval(x).dtype):
            x = nonzero(x)[0]
        elif not get_aval(x).size:
            x = cast(x, np.dtype(np.int64))
        shape = [1] * len(args)
        shape[i] = get_aval(x).size
        outs.append(reshape(x, shape))
    return tuple(outs)


# ---------------------------------------------------------------------------- indices of arrays


def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """As :func:`numpy.diag_indices_from`."""
    shape = get_aval(operand(arr)).shape
    if len(shape) < 2 or len(set(shape)) != 1:
        raise ShapeError(f"diag_indices_from: rank 2 at least, all lengths equal; got {shape}")
    return diag_indices(shape[0], len(shape))


def _matrix(name: str, arr: Any) -> tuple[int, ...]:
    shape = get_aval(operand(arr)).shape
    if len(shape) != 2:
        raise ShapeError(f"{name}: rank 2 is needed; got shape {shape}")
    return shape


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """As :func:`numpy.tril_indices_from`."""
    rows, columns = _matrix("tril_indices_from", arr)
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """As :func:`numpy.triu_indices_from`."""
    rows, columns = _matrix("triu_indices_from", arr)
    return triu_indices(rows, k, columns)


def mask_indices(
    n: int, mask_func: Callable[..., Any], k: Any = 0, *, size: int | None = None
) -> tuple[Any, ...]:
    """As :func:`numpy.mask_indices`; see :func:`tracejit.numpy.nonzero` for `size`."""
    return nonzero(mask_func(ones((n, n), int), k), size=size)


# --------------------------------------------------------------------- what NumPy does in place


def _new(name: str, inplace: bool) -> None:
    if inplace:
        raise UnsupportedArgument(
            f"{name}: arrays are immutable; write x = {name}(x, ..., inplace=False), or "
            "x = x.at[...].set(...)"
        )


def _flat(x: Any) -> Any:
    x = array_of(x)
    return reshape(x, (get_aval(x).size,))


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Any:
    """As :func:`numpy.fill_diagonal`, returning a new array; `inplace` must be False."""
    _new("fill_diagonal", inplace)
    x = array_of(a)
    shape = get_aval(x).shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) != 1):
        raise ShapeError(f"fill_diagonal: rank 2, or all lengths equal; got shape {shape}")
    flat = _flat(x)
    if len(shape) == 2:
        step = shape[1] + 1
        end = get_aval(x).size if wrap else min(shape[1] * shape[1], get_aval(x).size)
    else:
        step = 1 + int(np.cumprod(shape[:-1]).sum())
        end = get_aval(x).size
    places = np.arange(0, end, step)
    if not places.size:
        return x
    values = cast(resize(array_of(val), (places.size,)), get_aval(x).dtype)
    return reshape(At(flat)[places].set(values), shape)


def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Any:
    """As :func:`numpy.place`, returning a new array; `inplace` must be False."""
    _new("place", inplace)
    x, on = array_of(arr), array_of(truth(operand(mask)))
    if get_aval(on).size != get_aval(x).size:
        raise ShapeError(
            f"place: mask and arr must have one size; got {get_aval(on)} and {get_aval(x)}"
        )
    values = cast(_flat(vals), get_aval(x).dtype)
    count = get_aval(values).size
    if not count:
        raise ShapeError("place: vals must not be empty")
    on = _flat(on)
    number = subtract(cumsum(on), 1)
    chosen = take(values, number % count, mode="clip")
    return reshape(array_of(where(on, chosen, _flat(x))), get_aval(x).shape)


def putmask(a: Any, mask: Any, values: Any, *, inplace: bool = True) -> Any:
    """As :func:`numpy.putmask`, returning a new array; `inplace` must be False."""
    _new("putmask", inplace)
    x, on = array_of(a), array_of(truth(operand(mask)))
    if get_aval(on).size != get_aval(x).size:
        raise ShapeError(
            f"putmask: mask and a must have one size; got {get_aval(on)} and {get_aval(x)}"
        )
    v = cast(_flat(values), get_aval(x).dtype)
    v = resize(v, (get_aval(x).size,))
    return reshape(array_of(where(_flat(on), v, _flat(x))), get_aval(x).shape)


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Any:
    """As :func:`numpy.put`, returning a new array; `inplace` must be False.

    `mode` is "raise" (indices known to be out of range raise), "wrap" or "clip".
    """
    _new("put", inplace)
    x = array_of(a)
    index, values = _flat(ind), _flat(v)
    if not get_aval(index).size or not get_aval(values).size:
        return x
    if not is_integer(get_aval(index).dtype):
        raise DTypeError(f"put: indices must be integers; got {get_aval(index).dtype}")
    size = get_aval(x).size
    if mode == "wrap":
        index = index % size
    elif mode not in (None, "raise", "clip"):
        raise ShapeError(f"put: mode must be raise, wrap or clip; got {mode!r}")
    values = cast(resize(values, (get_aval(index).size,)), get_aval(x).dtype)
    how = {"mode": "clip"} if mode == "clip" else {}
    return reshape(At(_flat(x))[index].set(values, **how), get_aval(x).shape)


def put_along_axis(
    arr: Any,
    indices: Any,
    values: Any,
    axis: int | None,
    inplace: bool = True,
    *,
    mode: str | None = None,
) -> Any:
    """As :func:`numpy.put_along_axis`, returning a new array; `inplace` must be False.

    `mode` is that of ``x.at[...].set``.
    """
    _new("put_along_axis", inplace)
    x, index = array_of(arr), array_of(indices)
    shape = get_aval(x).shape
    if axis is None:
        if get_aval(index).ndim != 1:
            raise ShapeError(
                f"put_along_axis: with axis=None the indices have rank 1; got {get_aval(index)}"
            )
        return reshape(put_along_axis(_flat(x), index, values, 0, False, mode=mode), shape)
    rank = len(shape)
    axis = normal_axis("put_along_axis", axis, rank)
    if get_aval(index).ndim != rank or not is_integer(get_aval(index).dtype):
        raise ShapeError(f"put_along_axis: integer indices of rank {rank}; got {get_aval(index)}")
    other = get_aval(index).shape
    lanes = broadcast_shapes(
        "put_along_axis",
        tuple(1 if i == axis else d for i, d in enumerate(shape)),
        tuple(1 if i == axis else d for i, d in enumerate(other)),
    )
    if any(d != e for i, (d, e) in enumerate(zip(lanes, shape, strict=True)) if i != axis):
        raise ShapeError(
            f"put_along_axis: the indices must broadcast to the array but along axis {axis}; got "
            f"{other} and {shape}"
        )
    full = tuple(other[axis] if i == axis else d for i, d in enumerate(lanes))
    index = stretch(index, full)
    places = [
        index if i == axis else iota(full, i, get_aval(index).dtype) for i in range(rank)
    ]
    v = stretch(array_of(cast(operand(values), get_aval(x).dtype)), full)
    return At(x)[tuple(places)].set(v, **({} if mode is None else {"mode": mode}))
