"""Sorting: arrays by the order of some of them, and what is made from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, is_complex, is_inexact
from tracejit.ops._pointwise import NOT_LINEAR
from tracejit.ops.arithmetic import neg
from tracejit.ops.constant import iota
from tracejit.ops.indexing import take_along_axis, to_lanes
from tracejit.ops.logical import eq, not_
from tracejit.ops.slicing import slice_

__all__ = ["argsort", "sort", "top_k"]

I64 = DTYPES["i64"]


def sort(operands: Any, axis: int, num_keys: int = 1, is_stable: bool = True) -> Any:
    """Sort arrays along an axis, ascending, by the first of them.

    Parameters
    ----------
    operands : Array, or sequence of Array of one shape, rank >= 1
        The first `num_keys` are compared, the first of all first; the others go along.
    axis : int
        From 0 to rank - 1.
    num_keys : int, optional
        At least 1.
    is_stable : bool, optional
        Whether elements with equal keys keep their order.  If not, which comes first is not said.

    Returns
    -------
    Array, or list of Array as `operands`
        NaN comes last; -0.0 and 0.0 are equal; complex numbers go by real, then imaginary parts,
        and False before True.

    Raises
    ------
    ShapeError
        If the shapes differ, `axis` is out of range, or there are not so many keys.
    """
    one = not isinstance(operands, (list, tuple))
    xs = [operands] if one else operands
    outs = sort_p.bind(*xs, axis=axis, num_keys=num_keys, is_stable=is_stable)
    return outs[0] if one else outs


def argsort(x: Any, axis: int, is_stable: bool = True) -> Any:
    """Return the int64 indices that sort `x` along `axis`.  See :func:`sort`."""
    return sort([x, iota(get_aval(x).shape, axis, I64)], axis, 1, is_stable)[1]


def top_k(x: Any, k: int) -> tuple[Any, Any]:
    """Take the greatest elements along the last axis, in descending order, and where they are.

    Parameters
    ----------
    x : Array, shape (..., n), real dtype
        The operand.
    k : int
        How many, at most `n`.

    Returns
    -------
    values : Array, shape (..., k), dtype of `x`
        NaN first; of equal elements those with lower indices first.
    indices : Array, shape (..., k), int32
        Where they are along the last axis.

    Raises
    ------
    ShapeError
        If `k` is not within the last axis, or `x` is complex.
    """
    aval = get_aval(x)
    if not aval.shape or not 0 <= k <= aval.shape[-1] or is_complex(aval.dtype):
        raise ShapeError(
            f"top_k: a real operand with k or more elements along its last axis; "
            f"got {aval} and k={k}"
        )
    axis = aval.ndim - 1
    keys = [neg(x)] if is_inexact(aval.dtype) else [not_(x)]
    if is_inexact(aval.dtype):
        keys = [eq(x, x), *keys]
    place = iota(aval.shape, axis, DTYPES["i32"])
    outs = sort([*keys, x, place], axis, len(keys))
    limits = (*aval.shape[:-1], k)
    values, indices = (slice_(v, (0,) * aval.ndim, limits) for v in outs[-2:])
    return values, indices


def _sort_shape(
    *xs: ShapedArray, axis: int, num_keys: int, is_stable: bool
) -> list[ShapedArray]:
    del is_stable
    shapes = {x.shape for x in xs}
    if len(shapes) != 1:
        raise ShapeError(
            f"sort: the operands must have one shape; got {', '.join(str(x.shape) for x in xs)}"
        )
    if not 0 <= axis < xs[0].ndim:
        raise ShapeError(f"sort: axis must be within shape {xs[0].shape}; got {axis}")
    if not 1 <= num_keys <= len(xs):
        raise ShapeError(
            f"sort: num_keys must be from 1 to the number of operands, {len(xs)}; got {num_keys}"
        )
    return [x.update() for x in xs]


def _comparable(x: Any) -> Any:
    """Return an array in the same order that NumPy compares quickly and with NaN last."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x


def _order(xp: Any, keys: list[Any], axis: int, kind: str | None) -> Any:
    """Return the indices that sort by the first key, then by the next."""
    if len(keys) == 1:
        return xp.argsort(keys[0], axis=axis, kind=kind)
    if xp is np:
        return np.lexsort(tuple(reversed(keys)), axis=axis)
    # CuPy's lexsort has no axis, and all its sorts are stable.
    order = xp.argsort(keys[-1], axis=axis)
    for key in reversed(keys[:-1]):
        within = xp.argsort(xp.take_along_axis(key, order, axis=axis), axis=axis)
        order = xp.take_along_axis(order, within, axis=axis)
    return order


def _sort_impl(xp: Any, *xs: Any, axis: int, num_keys: int, is_stable: bool) -> list[Any]:
    kind = "stable" if is_stable else None
    if not xs[0].size:
        return [xp.array(x) for x in xs]
    if len(xs) == 1:
        (x,) = xs
        if xp is np and (x.dtype.kind in "biu" or not np.signbit(x.real[x == 0]).any()):
            kind = None  # equal elements are the same, and there are quicker ways
        return [xp.sort(_comparable(x), axis=axis, kind=kind).astype(x.dtype, copy=False)]
    order = _order(xp, [_comparable(x) for x in xs[:num_keys]], axis, kind)
    return [xp.take_along_axis(x, order, axis=axis) for x in xs]


def _sort_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, axis: int, num_keys: int, is_stable: bool
) -> tuple[list[Any], list[Any]]:
    place = iota(get_aval(primals[0]).shape, axis, I64)
    *outs, order = sort([*primals, place], axis, num_keys, is_stable)
    moved = [
        Zero(get_aval(out))
        if isinstance(t, Zero)
        else take_along_axis(t, order, axis, mode="promise_in_bounds")
        for t, out in zip(tangents, outs, strict=True)
    ]
    return outs, moved


def _sort_batch(
    operands: Sequence[Any],
    axes: Sequence[int | None],
    *,
    axis: int,
    num_keys: int,
    is_stable: bool,
) -> tuple[list[Any], list[int]]:
    moved, _ = to_lanes(operands, axes)
    outs = sort(moved, axis + 1, num_keys, is_stable)
    return outs, [0] * len(outs)


sort_p: Primitive = define(
    "sort",
    multiple=True,
    impl=_sort_impl,
    shape=_sort_shape,
    jvp=_sort_jvp,
    transpose=NOT_LINEAR,
    batch=_sort_batch,
    lower="run by the array library, through the counted callback",
)
