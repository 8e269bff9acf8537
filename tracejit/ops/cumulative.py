"""Cumulative primitives: every prefix of an axis (or suffix, if reversed), reduced.

Derivatives of those that are not linear solve a linear recurrence, by doubling and without a
division, so that they are right where elements are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, is_float
from tracejit.ops._pointwise import NOT_LINEAR, add, jvp_linear
from tracejit.ops.arithmetic import mul, numeric, sub
from tracejit.ops.constant import iota, scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.indexing import take_along_axis
from tracejit.ops.logical import and_, eq, gt, is_inf, lt, ne, or_, select
from tracejit.ops.shape import full
from tracejit.ops.slicing import concatenate, flip, slice_
from tracejit.ops.transcendental import exp

__all__ = ["cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum"]

I64 = DTYPES["i64"]


def cumsum(x: Any, axis: int, reverse: bool = False) -> Any:
    """Cumulative sums along an axis.

    Parameters
    ----------
    x : Array, rank >= 1, numeric dtype
        The operand.
    axis : int
        From 0 to rank - 1.
    reverse : bool, optional
        Whether to go from the end.

    Returns
    -------
    Array, shape and dtype of `x`
        Element ``i`` combines elements ``0 .. i`` (``i .. n-1`` if reversed).  Integers wrap round;
        float16 and bfloat16 are summed in float32.

    Raises
    ------
    ShapeError
        If `axis` is out of range.
    DTypeError
        If `x` is bool.
    """
    return cumsum_p.bind(x, axis=axis, reverse=reverse)


def cumprod(x: Any, axis: int, reverse: bool = False) -> Any:
    """Cumulative products along an axis.  See :func:`cumsum`."""
    return cumprod_p.bind(x, axis=axis, reverse=reverse)


def cummax(x: Any, axis: int, reverse: bool = False) -> Any:
    """Cumulative maxima along an axis, of any dtype; NaN from the first NaN on.

    Otherwise as :func:`cumsum`.

    Notes
    -----
    The derivative is that of the first element (in the direction of walking) that attains the
    maximum.
    """
    return cummax_p.bind(x, axis=axis, reverse=reverse)


def cummin(x: Any, axis: int, reverse: bool = False) -> Any:
    """Cumulative minima along an axis.  See :func:`cummax`."""
    return cummin_p.bind(x, axis=axis, reverse=reverse)


def cumlogsumexp(x: Any, axis: int, reverse: bool = False) -> Any:
    """Logarithms of cumulative sums of exponentials along an axis, without overflow.

    Parameters
    ----------
    x : Array, rank >= 1, float dtype
        The operand.
    axis, reverse
        As for :func:`cumsum`.

    Returns
    -------
    Array, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If `axis` is out of range.
    DTypeError
        If `x` is not float.
    """
    return cumlogsumexp_p.bind(x, axis=axis, reverse=reverse)


# ----------------------------------------------------------------------- along one axis


def _part(x: Any, axis: int, start: int, limit: int) -> Any:
    shape = get_aval(x).shape
    starts, limits = [0] * len(shape), list(shape)
    starts[axis], limits[axis] = start, limit
    return slice_(x, starts, limits)


def _delayed(x: Any, axis: int, first: float) -> Any:
    """Return element ``i - 1`` of `x` at ``i``, and `first` at 0."""
    aval = get_aval(x)
    shape = (*aval.shape[:axis], 1, *aval.shape[axis + 1 :])
    return concatenate(
        [full(shape, first, aval.dtype), _part(x, axis, 0, aval.shape[axis] - 1)], axis
    )


def _recurrence(a: Any, b: Any, axis: int) -> Any:
    """Return ``d[i] = a[i] * d[i-1] + b[i]``, with ``d[-1] = 0``, in log2(n) rounds."""
    length = get_aval(a).shape[axis]
    step = 1
    while step < length:

        def early(x: Any, step: int = step) -> Any:
            return _part(x, axis, 0, step)

        def late(x: Any, step: int = step) -> Any:
            return _part(x, axis, step, length)

        def before(x: Any, step: int = step) -> Any:
            return _part(x, axis, 0, length - step)

        b = concatenate([early(b), add(late(b), mul(late(a), before(b)))], axis)
        a = concatenate([early(a), mul(late(a), before(a))], axis)
        step *= 2
    return b


# ------------------------------------------------------------------------------ derivatives


def _forward_jvp(
    primitive: Callable[[], Primitive], tangent: Callable[[Any, Any, Any, int], Any]
) -> Callable[..., Any]:
    """Return a jvp rule from ``tangent(x, t, out, axis)``, which walks from the start."""

    def rule(
        primals: Sequence[Any], tangents: Sequence[Any], *, axis: int, reverse: bool
    ) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = primitive().bind(x, axis=axis, reverse=reverse)
        if get_aval(x).size == 0:
            return out, t
        turned = [flip(v, [axis]) if reverse else v for v in (x, t, out)]
        result = tangent(turned[0], turned[1], turned[2], axis)
        return out, flip(result, [axis]) if reverse else result

    return rule


def _product_tangent(x: Any, t: Any, out: Any, axis: int) -> Any:
    return _recurrence(x, mul(t, _delayed(out, axis, 1)), axis)


def _weight(part: Any, whole: Any) -> Any:
    """Return ``exp(part - whole)`` for ``part <= whole``; where `whole` is inf, what is inf."""
    infinite, zero = is_inf(whole), scalar_like(whole, 0)
    share = exp(sub(select(infinite, zero, part), select(infinite, zero, whole)))
    has_all = and_(eq(part, whole), gt(whole, zero))
    return select(infinite, convert_element_type(has_all, get_aval(whole).dtype), share)


def _logsumexp_tangent(x: Any, t: Any, out: Any, axis: int) -> Any:
    earlier = _weight(_delayed(out, axis, -np.inf), out)
    return _recurrence(earlier, mul(t, _weight(x, out)), axis)


def _extreme_tangent(beats: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any, int], Any]:
    def tangent(x: Any, t: Any, out: Any, axis: int) -> Any:
        shape = get_aval(x).shape
        place = iota(shape, axis, I64)
        before = _delayed(out, axis, 0)
        record = or_(beats(x, before), and_(ne(x, x), eq(before, before)))
        # At 0 there is nothing before; 0 is what is put for no record, too.
        records = select(record, place, np.int64(0))
        return take_along_axis(t, cummax(records, axis), axis, mode="promise_in_bounds")

    return tangent


# ------------------------------------------------------------------------------- definitions


def _define_cumulative(
    name: str,
    function: str,
    jvp: Callable[..., Any],
    transpose: Callable[..., Any] | str = NOT_LINEAR,
    accepts: Callable[[Any], bool] = lambda dtype: True,
    what: str = "",
) -> Primitive:
    def impl(xp: Any, x: Any, *, axis: int, reverse: bool) -> Any:
        if xp is not np:
            # CuPy has two of them, whose results for floats differ from run to run.
            raise NotImplementedError(f"{name}: there is no accumulation by {xp.__name__}")
        dtype = x.dtype
        wide = x.astype(np.float32) if dtype.itemsize == 2 and dtype.kind in "fV" else x
        turn = tuple(slice(None, None, -1 if reverse and a == axis else 1) for a in range(x.ndim))
        ufunc = getattr(np, function)
        out = ufunc.accumulate(wide[turn], axis=axis, dtype=wide.dtype)
        return out[turn].astype(dtype, copy=False)

    def shape(x: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
        del reverse
        if not accepts(x.dtype):
            raise DTypeError(f"{name}: the operand must be {what}; got {x.dtype}")
        if not 0 <= axis < x.ndim:
            raise ShapeError(f"{name}: axis must be within shape {x.shape}; got {axis}")
        return x.update()

    def batch(
        operands: Sequence[Any], axes: Sequence[int], *, axis: int, reverse: bool
    ) -> tuple[Any, int]:
        (x,), (b,) = operands, axes
        return primitive.bind(x, axis=axis + (axis >= b), reverse=reverse), b

    primitive: Primitive = define(
        name,
        impl=impl,
        shape=shape,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        lower="run by the array library, through the counted callback",
    )
    return primitive


cumsum_p: Primitive = _define_cumulative(
    "cumsum",
    "add",
    jvp_linear(lambda: cumsum_p),
    lambda ct, x, *, axis, reverse: (cumsum(ct, axis, not reverse),),
    numeric,
    "numeric",
)
cumprod_p: Primitive = _define_cumulative(
    "cumprod",
    "multiply",
    _forward_jvp(lambda: cumprod_p, _product_tangent),
    accepts=numeric,
    what="numeric",
)
cummax_p: Primitive = _define_cumulative(
    "cummax", "maximum", _forward_jvp(lambda: cummax_p, _extreme_tangent(gt))
)
cummin_p: Primitive = _define_cumulative(
    "cummin", "minimum", _forward_jvp(lambda: cummin_p, _extreme_tangent(lt))
)
cumlogsumexp_p: Primitive = _define_cumulative(
    "cumlogsumexp",
    "logaddexp",
    _forward_jvp(lambda: cumlogsumexp_p, _logsumexp_tangent),
    accepts=is_float,
    what="float",
)
