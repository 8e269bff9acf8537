"""Arrays as sets: distinct elements, unions, differences, membership.

How many elements a result has depends on values.  While tracing it must be given as `size`: more
are cut off, fewer filled up with `fill_value`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES, is_inexact
from tracejit.numpy.logic import isnan
from tracejit.numpy.manipulation import concatenate, moveaxis, window
from tracejit.numpy.promotion import (
    array_of,
    arrays_of,
    beside,
    cast,
    concrete_value,
    known,
    operand,
    promote_operands,
    stretch,
)
from tracejit.numpy.reductions import any as any_of
from tracejit.numpy.reductions import cumsum
from tracejit.numpy.reductions import sum as sum_of
from tracejit.numpy.searching import argsort, bincount, nonzero, searchsorted, sort, take
from tracejit.numpy.ufuncs import subtract
from tracejit.ops import indexing
from tracejit.ops.constant import iota
from tracejit.ops.logical import and_, eq, lt, min_, ne, not_, select
from tracejit.ops.shape import broadcast_in_dim, full, reshape

__all__ = [
    "PAIRS", "UniqueAll", "UniqueCounts", "UniqueInverse", "intersect1d", "isin", "setdiff1d",
    "setxor1d", "union1d", "unique", "unique_all", "unique_counts", "unique_inverse",
    "unique_values",
]  # fmt: skip

I64 = DTYPES["i64"]
PAIRS = 4096
"""Up to so many pairs of elements are compared by :func:`isin`; for more one operand is sorted."""


class UniqueAll(NamedTuple):
    """Result of :func:`unique_all`."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """Result of :func:`unique_counts`."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """Result of :func:`unique_inverse`."""

    values: Any
    inverse_indices: Any


def _flat(x: Any) -> Any:
    x = array_of(x)
    return reshape(x, (get_aval(x).size,))


def _on_host(name: str, x: Any) -> np.ndarray[Any, Any]:
    value = known(
        operand(x), f"{name}()", f"The size of its result depends on values: {name}(..., size=n)."
    )
    return np.asarray(value)


def _filled_up(x: Any, size: int, fill_value: Any) -> Any:
    """Return an array as one of length `size`."""
    x = array_of(x)
    shape = get_aval(x).shape
    count = shape[0]
    if count < size:
        if fill_value is None:
            fill_value = x[0] if count else 0
        fill = cast(operand(fill_value), get_aval(x).dtype)
        rest = stretch(array_of(fill), (size - count, *shape[1:]))
        return concatenate([x, rest])
    return x[:size]


# ---------------------------------------------------------------------------- distinct elements


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """As :func:`numpy.unique`, always sorted.

    Parameters
    ----------
    ar : array_like, any shape
        Where distinct elements are sought.
    return_index, return_inverse, return_counts : bool
        Whether places, the way back, and numbers are wanted too.
    axis : int, optional
        Along which slices are elements; needs known values.
    equal_nan : bool
        Whether all NaN are one.
    sorted : bool
        Ignored.
    size : int, optional
        How many results there are; needed while tracing.
    fill_value : scalar, optional
        What fills up; the least element by default.

    Raises
    ------
    ConcretizationError
        If `ar` is traced, and `size` is not given or `axis` is.
    """
    del sorted
    wanted = (return_index, return_inverse, return_counts)
    if size is not None and axis is None and concrete_value(operand(ar)) is None:
        return _unique_traced(ar, wanted, equal_nan, int(size), fill_value)
    value = _on_host("unique", ar)
    find: Callable[..., Any] = np.unique
    follows = isinstance(operand(ar), Tracer)  # where the values go, derivatives go too
    found = find(value, follows or return_index, *wanted[1:], axis, equal_nan=equal_nan)
    out = list(found) if isinstance(found, tuple) else [found]
    if follows:
        index = out[1] if return_index else out.pop(1)
        out[0] = take(array_of(ar), index, axis)
    if size is not None:
        place = 0 if axis is None else axis
        first = _filled_up(moveaxis(array_of(out[0]), place, 0), int(size), fill_value)
        out[0] = moveaxis(first, 0, place)
        if return_index:
            out[1] = _filled_up(out[1], int(size), None)
        if return_counts:
            out[-1] = _filled_up(out[-1], int(size), 0)
    results = tuple(x if hasattr(x, "aval") else beside(ar, x) for x in out)
    return results if any(wanted) else results[0]


def _unique_traced(
    ar: Any, wanted: tuple[bool, bool, bool], equal_nan: bool, size: int, fill_value: Any
) -> Any:
    shape = get_aval(operand(ar)).shape
    x = _flat(ar)
    n = get_aval(x).size
    if not n:
        raise ShapeError("unique: a traced array without elements has no least one to fill up with")
    order = argsort(x)
    ascending = take(x, order, mode="clip")
    new = _starts(ascending, equal_nan)
    at = nonzero(new, size=size, fill_value=0)[0]
    count = sum_of(new)
    valid = lt(iota((size,), 0, I64), count)
    values = take(ascending, at, mode="clip")
    if fill_value is not None:
        values = select(valid, values, cast(operand(fill_value), get_aval(values).dtype))
    out = [values]
    if wanted[0]:
        out.append(take(order, at, mode="clip"))
    if wanted[1] or wanted[2]:
        rank = subtract(cumsum(new), 1)
        if wanted[1]:
            back = take(rank, argsort(order), mode="clip")
            out.append(reshape(back, shape))
        if wanted[2]:
            out.append(bincount(rank, length=n)[:size] if size <= n else _longer(rank, n, size))
    return tuple(out) if len(out) > 1 else values


def _longer(rank: Any, n: int, size: int) -> Any:
    return concatenate([bincount(rank, length=n), full((size - n,), 0, I64)])


def _starts(ascending: Any, equal_nan: bool) -> Any:
    """Whether each element of a sorted array is the first of its kind."""
    n = get_aval(ascending).size
    if not n:
        return full((0,), True, DTYPES["bool"])
    before, after = window(ascending, 0, 0, n - 1), window(ascending, 0, 1, n)
    differs = ne(before, after)
    if equal_nan and is_inexact(get_aval(ascending).dtype):
        differs = and_(differs, not_(and_(isnan(before), isnan(after))))
    return concatenate([full((1,), True, DTYPES["bool"]), differs])


def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueAll:
    """As :func:`numpy.unique_all`: no two NaN are equal.  See :func:`unique` for `size`."""
    return UniqueAll(
        *unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_counts(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueCounts:
    """As :func:`numpy.unique_counts`: no two NaN are equal.  See :func:`unique` for `size`."""
    return UniqueCounts(
        *unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_inverse(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueInverse:
    """As :func:`numpy.unique_inverse`: no two NaN are equal.  See :func:`unique` for `size`."""
    return UniqueInverse(
        *unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """As :func:`numpy.unique_values`, sorted: no two NaN are equal.  See :func:`unique`."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


# ------------------------------------------------------------------------------------ set algebra


def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: str | None = None,
    method: str = "auto",
) -> Any:
    """As :func:`numpy.isin`; of the options all but `invert` are promises that are not needed."""
    del assume_unique, kind, method
    x, y = arrays_of(promote_operands([operand(element), operand(test_elements)]))
    shape, size = get_aval(x).shape, get_aval(y).size
    y = reshape(y, (size,))
    if get_aval(x).size * size > PAIRS:
        y = sort(y)
        place = min_(searchsorted(y, x), np.int64(size - 1))
        found = eq(indexing.take_axis(y, array_of(place), 0), x)
    else:
        lanes = (*shape, size)
        same = eq(
            broadcast_in_dim(x, lanes, range(len(shape))),
            broadcast_in_dim(y, lanes, (len(shape),)),
        )
        found = any_of(same, -1)
    return not_(found) if invert else found


def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """As :func:`numpy.union1d`.  See :func:`unique` for `size` and `fill_value`."""
    both = concatenate([_flat(x) for x in promote_operands([operand(ar1), operand(ar2)])])
    return unique(both, size=size, fill_value=fill_value)


def _traced(*xs: Any) -> bool:
    return any(isinstance(operand(x), Tracer) for x in xs)


def _masked(name: str, x: Any, mask: Any) -> Any:
    """Return the elements where a mask holds whose values are known."""
    return take(x, np.flatnonzero(_on_host(name, mask)))


def _by_numpy(function: Callable[..., Any], ar1: Any, ar2: Any, *args: Any) -> Any:
    name = function.__name__
    found = function(_on_host(name, ar1), _on_host(name, ar2), *args)
    if isinstance(found, tuple):
        return tuple(beside(ar1, x) for x in found)
    return beside(ar1, found)


def _selected(x: Any, mask: Any, size: int, fill_value: Any) -> Any:
    """Return the elements of a sorted array where a mask holds, as an array of length `size`."""
    at = nonzero(mask, size=size)[0]
    valid = lt(iota((size,), 0, I64), sum_of(mask))
    return select(valid, take(x, at, mode="clip"), cast(operand(fill_value), get_aval(x).dtype))


def setdiff1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """As :func:`numpy.setdiff1d`.

    See :func:`unique` for `size`; `fill_value` is 0 by default.
    """
    if size is None and not _traced(ar1, ar2):
        return _by_numpy(np.setdiff1d, ar1, ar2, assume_unique)
    if size is None:
        x = _flat(ar1) if assume_unique else unique(ar1)
        return _masked("setdiff1d", x, isin(x, ar2, invert=True))
    x = _flat(ar1)
    new = np.bool_(True)
    if not assume_unique:
        x = sort(x)
        new = _starts(x, True)
    return _selected(x, and_(new, isin(x, ar2, invert=True)), size, fill_value or 0)


def setxor1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """As :func:`numpy.setxor1d`.

    See :func:`unique` for `size`; `fill_value` is 0 by default.
    """
    if size is None and not _traced(ar1, ar2):
        return _by_numpy(np.setxor1d, ar1, ar2, assume_unique)
    if size is None:
        both = union1d(ar1, ar2)
        return _masked("setxor1d", both, not_(and_(isin(both, ar1), isin(both, ar2))))
    x, y = (_flat(v) for v in promote_operands([operand(ar1), operand(ar2)]))
    both = sort(concatenate([x, y]))
    one = and_(_starts(both, True), not_(and_(isin(both, x), isin(both, y))))
    return _selected(both, one, size, fill_value or 0)


def intersect1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    return_indices: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """As :func:`numpy.intersect1d`; with `size`, without indices.

    See :func:`unique` for `size`; `fill_value` is the least common element by default.
    """
    if size is None and not _traced(ar1, ar2):
        return _by_numpy(np.intersect1d, ar1, ar2, assume_unique, return_indices)
    if return_indices:
        raise ShapeError("intersect1d: return_indices=True needs arrays, neither size= nor tracers")
    if size is None:
        x = unique(ar1)
        return _masked("intersect1d", x, isin(x, ar2))
    x, y = (_flat(v) for v in promote_operands([operand(ar1), operand(ar2)]))
    x = sort(x)
    mask = and_(_starts(x, True), isin(x, y))
    if fill_value is None:
        fill_value = take(x, nonzero(mask, size=1)[0], mode="clip")[0]
    return _selected(x, mask, size, fill_value)
