"""Reductions but the sum: products, extremes and their places, logic.

``reduce_sum`` is in :mod:`tracejit.ops.shape`, where it transposes copying.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import canonical, is_bool, is_integer
from tracejit.ops._pointwise import NOT_LINEAR, add, jvp_zero
from tracejit.ops.arithmetic import div, mul
from tracejit.ops.constant import scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import eq, select
from tracejit.ops.shape import (
    batch_reduction,
    broadcast_in_dim,
    reduce_sum,
    reduced_shape,
    reshape,
    transpose,
)
from tracejit.ops.slicing import concatenate, slice_

__all__ = [
    "argmax",
    "argmin",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_prod",
]

Axes = tuple[int, ...]


def _reduce(primitive: Primitive, x: Any, axes: Sequence[int]) -> Any:
    axes = tuple(sorted(axes))
    return primitive.bind(x, axes=axes) if axes else x


def _widened(function: str) -> Callable[..., Any]:
    """Return an impl by a ufunc of `xp`; float16 and bfloat16 in float32, rounded once."""

    def impl(xp: Any, x: Any, *, axes: Axes) -> Any:
        wide = x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x
        return getattr(xp, function).reduce(wide, axis=axes, dtype=wide.dtype).astype(x.dtype)

    return impl


# ----------------------------------------------------------------------------- reduce_prod


def reduce_prod(x: Any, axes: Sequence[int]) -> Any:
    """Multiply over axes.

    Parameters
    ----------
    x : Array, any shape and dtype
        The operand.
    axes : sequence of int
        The axes to multiply over, each once.

    Returns
    -------
    Array, the other axes in order, dtype of `x`
        The products; 1 where an axis has length 0; bool multiplies as logical and.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.

    Notes
    -----
    The derivative divides by nothing, so it is right where elements are 0.
    """
    return _reduce(reduce_prod_p, x, axes)


def _product_tangent(x: Any, t: Any, axes: Axes) -> Any:
    """Return the tangent of a product by a tree of products of dual numbers."""
    shape = get_aval(x).shape
    kept = [a for a in range(len(shape)) if a not in axes]
    rest = tuple(shape[a] for a in kept)
    count = math.prod(shape[a] for a in axes)
    x, t = (reshape(transpose(v, [*axes, *kept]), (count, *rest)) for v in (x, t))
    while count > 1:
        half = count // 2

        def part(v: Any, start: int, limit: int) -> Any:
            return slice_(v, (start, *(0 for _ in rest)), (limit, *rest))

        x1, x2, t1, t2 = (part(v, s, s + half) for v in (x, t) for s in (0, half))
        t_new = add(mul(t1, x2), mul(x1, t2))
        x_new = mul(x1, x2)
        if count % 2:  # the odd one out waits for the next round
            t_new = concatenate([t_new, part(t, count - 1, count)], 0)
            x_new = concatenate([x_new, part(x, count - 1, count)], 0)
        x, t, count = x_new, t_new, half + count % 2
    return reshape(t, rest)


def _prod_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: Axes) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    out = reduce_prod(x, axes)
    aval = get_aval(x)
    if math.prod(aval.shape[a] for a in axes) == 0:
        return out, Zero(get_aval(out))
    return out, _product_tangent(x, t, axes)


def _prod_lower(k: Any, x: Any, *, axes: Axes) -> Any:
    return k.reduce("and" if is_bool(x.aval.dtype) else "mul", x, axes)


reduce_prod_p: Primitive = define(
    "reduce_prod",
    impl=_widened("multiply"),
    shape=lambda x, *, axes: x.update(shape=reduced_shape("reduce_prod", x, axes)),
    jvp=_prod_jvp,
    transpose=NOT_LINEAR,
    batch=batch_reduction(lambda: reduce_prod_p),
    lower=_prod_lower,
)


# -------------------------------------------------------------------- reduce_max, reduce_min


def reduce_max(x: Any, axes: Sequence[int]) -> Any:
    """Take the greatest element over axes.

    Parameters
    ----------
    x : Array, any shape and dtype
        The operand; complex numbers are ordered by real, then imaginary parts, as in NumPy.
    axes : sequence of int
        The axes to reduce, each once; none of length 0, unless the result is empty too.

    Returns
    -------
    Array, the other axes in order, dtype of `x`
        The maxima; NaN where there is one.

    Raises
    ------
    ShapeError
        If an axis is out of range, named twice or of length 0.

    Notes
    -----
    Elements that tie for the maximum share the derivative equally, as in JAX.
    """
    return _reduce(reduce_max_p, x, axes)


def reduce_min(x: Any, axes: Sequence[int]) -> Any:
    """Take the least element over axes.  See :func:`reduce_max`."""
    return _reduce(reduce_min_p, x, axes)


def _refuse_empty(name: str, x: ShapedArray, axes: Sequence[int], shape: tuple[int, ...]) -> None:
    if math.prod(shape) and any(x.shape[a] == 0 for a in axes):
        raise ShapeError(
            f"{name}: the axes reduced must not have length 0, for an empty array has no extreme; "
            f"got axes {tuple(axes)} of shape {x.shape}"
        )


def _extreme_shape(name: str) -> Callable[..., ShapedArray]:
    def rule(x: ShapedArray, *, axes: Axes) -> ShapedArray:
        shape = reduced_shape(name, x, axes)
        _refuse_empty(name, x, axes, shape)
        return x.update(shape=shape)

    return rule


def _extreme_impl(function: str, neutral: int) -> Callable[..., Any]:
    reduce = _widened(function)

    def impl(xp: Any, x: Any, *, axes: Axes) -> Any:
        if x.size:
            return reduce(xp, x, axes=axes)
        kept = [d for a, d in enumerate(x.shape) if a not in axes]
        return xp.full(kept, neutral, x.dtype)  # empty: the shape rule has seen to it

    return impl


def _extreme_jvp(primitive: Callable[[], Primitive]) -> Callable[..., Any]:
    def rule(
        primals: Sequence[Any], tangents: Sequence[Any], *, axes: Axes
    ) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = primitive().bind(x, axes=axes)
        aval = get_aval(x)
        kept = [a for a in range(aval.ndim) if a not in axes]
        extreme = eq(x, broadcast_in_dim(out, aval.shape, kept))
        count = reduce_sum(convert_element_type(extreme, aval.dtype), axes)
        total = reduce_sum(select(extreme, t, scalar_like(t, 0)), axes)
        return out, div(total, count)

    return rule


def _extreme_lower(op: str, logical: str) -> Callable[..., Any]:
    def rule(k: Any, x: Any, *, axes: Axes) -> Any:
        return k.reduce(logical if is_bool(x.aval.dtype) else op, x, axes)

    return rule


def _define_extreme(name: str, op: str, function: str, logical: str) -> Primitive:
    primitive: Primitive = define(
        name,
        impl=_extreme_impl(function, 0),
        shape=_extreme_shape(name),
        jvp=_extreme_jvp(lambda: primitive),
        transpose=NOT_LINEAR,
        batch=batch_reduction(lambda: primitive),
        lower=_extreme_lower(op, logical),
    )
    return primitive


reduce_max_p = _define_extreme("reduce_max", "max", "maximum", "or")
reduce_min_p = _define_extreme("reduce_min", "min", "minimum", "and")


# --------------------------------------------------------------------- reduce_and, reduce_or


def reduce_and(x: Any, axes: Sequence[int]) -> Any:
    """Logical (bool) or bitwise (integers) and over axes; True or all ones over nothing.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.
    DTypeError
        If `x` is neither bool nor integer.
    """
    return _reduce(reduce_and_p, x, axes)


def reduce_or(x: Any, axes: Sequence[int]) -> Any:
    """Logical (bool) or bitwise (integers) or over axes; False or 0 over nothing.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.
    DTypeError
        If `x` is neither bool nor integer.
    """
    return _reduce(reduce_or_p, x, axes)


def _define_logic(name: str, op: str, function: str) -> Primitive:
    def shape(x: ShapedArray, *, axes: Axes) -> ShapedArray:
        if not (is_bool(x.dtype) or is_integer(x.dtype)):
            raise DTypeError(f"{name}: the operand must be bool or integer; got {x.dtype}")
        return x.update(shape=reduced_shape(name, x, axes))

    primitive: Primitive = define(
        name,
        impl=lambda xp, x, *, axes: getattr(xp, function).reduce(x, axis=axes),
        shape=shape,
        jvp="its operand is bool or integer, which has no tangent",
        transpose=NOT_LINEAR,
        batch=batch_reduction(lambda: primitive),
        lower=lambda k, x, *, axes: k.reduce(op, x, axes),
    )
    return primitive


reduce_and_p = _define_logic("reduce_and", "and", "bitwise_and")
reduce_or_p = _define_logic("reduce_or", "or", "bitwise_or")


# -------------------------------------------------------------------------- argmax, argmin


def argmax(x: Any, axis: int, dtype: Any = "int64") -> Any:
    """Index of the greatest element along an axis.

    Parameters
    ----------
    x : Array, any shape of rank >= 1, any dtype
        The operand.
    axis : int
        From 0 to rank - 1, not of length 0 unless the result is empty too.
    dtype : dtype-like, integer, optional
        The dtype of the result.

    Returns
    -------
    Array, the other axes in order, dtype `dtype`
        The first index at which the maximum is; that of the first NaN if there is one.

    Raises
    ------
    ShapeError
        If `axis` is out of range or of length 0.
    DTypeError
        If `dtype` is not an integer dtype.
    """
    return argmax_p.bind(x, axis=axis, dtype=canonical(dtype))


def argmin(x: Any, axis: int, dtype: Any = "int64") -> Any:
    """Index of the least element along an axis.  See :func:`argmax`."""
    return argmin_p.bind(x, axis=axis, dtype=canonical(dtype))


def _define_place(name: str) -> Primitive:
    def impl(xp: Any, x: Any, *, axis: int, dtype: Any) -> Any:
        if not x.size:
            return xp.zeros((*x.shape[:axis], *x.shape[axis + 1 :]), dtype)
        return getattr(xp, name)(x, axis=axis).astype(dtype)

    def shape(x: ShapedArray, *, axis: int, dtype: Any) -> ShapedArray:
        if not is_integer(dtype):
            raise DTypeError(f"{name}: the dtype of an index must be integer; got {dtype}")
        reduced = reduced_shape(name, x, (axis,))
        _refuse_empty(name, x, (axis,), reduced)
        return ShapedArray(reduced, dtype)

    def batch(
        operands: Sequence[Any], axes: Sequence[int], *, axis: int, dtype: Any
    ) -> tuple[Any, int]:
        (x,), (b,) = operands, axes
        inner = axis + (axis >= b)
        return primitive.bind(x, axis=inner, dtype=dtype), b - (inner < b)

    def lower(k: Any, x: Any, *, axis: int, dtype: Any) -> Any:
        if is_bool(x.aval.dtype):  # bools have no order in kernels
            x = k.convert(x, canonical("uint8"))
        return k.reduce_index(name, x, axis, dtype)

    primitive: Primitive = define(
        name,
        keeps_weak=False,
        impl=impl,
        shape=shape,
        jvp=jvp_zero(lambda: primitive),
        transpose=NOT_LINEAR,
        batch=batch,
        lower=lower,
    )
    return primitive


argmax_p = _define_place("argmax")
argmin_p = _define_place("argmin")
