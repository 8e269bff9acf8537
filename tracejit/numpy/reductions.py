"""Reductions: sums, products, extremes, means, logic over axes, cumulative sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.settings import default_float
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import (
    DTYPES,
    is_bool,
    is_complex,
    is_inexact,
    is_integer,
    real_of,
)
from tracejit.numpy.logic import isnan, truth
from tracejit.numpy.promotion import (
    array_of,
    broadcast,
    broadcast_shapes,
    cast,
    dtype_or,
    is_low_precision,
    no_out,
    normal_axes,
    normal_axis,
    operand,
    promote_operands,
    stretch,
    sum_dtype,
)
from tracejit.numpy.ufuncs import add, maximum, minimum, multiply
from tracejit.ops import arithmetic, cumulative
from tracejit.ops import reduction as ops
from tracejit.ops.complex_numbers import imag, real
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import and_, ne, not_, select
from tracejit.ops.shape import reduce_sum, reshape
from tracejit.ops.slicing import pad
from tracejit.ops.transcendental import away_from_zero

__all__ = [
    "F32", "I64", "all", "amax", "amin", "any", "any_zero", "argmax", "argmin", "average",
    "count_nonzero", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "highest",
    "lowest", "max", "mean", "min", "nanargmax", "nanargmin", "nancumprod", "nancumsum",
    "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "prod", "ptp",
    "std", "sum", "var",
]  # fmt: skip

I64 = DTYPES["i64"]
F32 = DTYPES["f32"]


def _kept(x: Any, out: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if not keepdims:
        return array_of(out)
    shape = get_aval(x).shape
    return reshape(array_of(out), [1 if a in axes else d for a, d in enumerate(shape)])


def _masked(name: str, x: Any, where: Any, fill: Any) -> Any:
    """Return `x` with a neutral element where the mask does not hold."""
    if where is None or where is True:
        return x
    mask, x = broadcast(name, [truth(operand(where)), x])
    return select(mask, x, fill)


def _started(combine: Callable[[Any, Any], Any], result: Any, initial: Any) -> Any:
    """Return what was reduced, and ``initial=`` in its dtype."""
    if initial is None:
        return result
    return combine(result, convert_element_type(array_of(operand(initial)), get_aval(result).dtype))


def _masked_shape(name: str, x: Any, where: Any) -> Any:
    """Return `x` stretched to the shape of the mask too."""
    if where is None or where is True:
        return x
    shape = broadcast_shapes(name, get_aval(x).shape, get_aval(operand(where)).shape)
    return stretch(array_of(x), shape)


def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """As :func:`numpy.sum`; small integers keep their dtype if `promote_integers` is False."""
    no_out("sum", out)
    x = _masked_shape("sum", operand(a), where)
    own = get_aval(x).dtype
    x = cast(x, dtype_or(dtype, sum_dtype(own) if promote_integers else own))
    kind = get_aval(x).dtype
    axes = normal_axes("sum", axis, get_aval(x).ndim)
    if is_bool(kind):
        result = ops.reduce_or(_masked("sum", x, where, kind.type(0)), axes)
    else:
        result = reduce_sum(_masked("sum", x, where, kind.type(0)), axes)
    result = _kept(x, result, axes, keepdims)
    return _started(add, result, initial)


def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """As :func:`numpy.prod`; small integers keep their dtype if `promote_integers` is False."""
    no_out("prod", out)
    x = _masked_shape("prod", operand(a), where)
    own = get_aval(x).dtype
    x = cast(x, dtype_or(dtype, sum_dtype(own) if promote_integers else own))
    axes = normal_axes("prod", axis, get_aval(x).ndim)
    result = ops.reduce_prod(_masked("prod", x, where, get_aval(x).dtype.type(1)), axes)
    result = _kept(x, result, axes, keepdims)
    return _started(multiply, result, initial)


def lowest(dtype: np.dtype[Any]) -> Any:
    """Return the least value of `dtype`, neutral for maxima."""
    if is_bool(dtype):
        return np.bool_(False)
    if is_integer(dtype):
        return dtype.type(np.iinfo(dtype).min)
    return dtype.type(complex(-np.inf, -np.inf) if is_complex(dtype) else -np.inf)


def highest(dtype: np.dtype[Any]) -> Any:
    """Return the greatest value of `dtype`, neutral for minima."""
    if is_bool(dtype):
        return np.bool_(True)
    if is_integer(dtype):
        return dtype.type(np.iinfo(dtype).max)
    return dtype.type(complex(np.inf, np.inf) if is_complex(dtype) else np.inf)


def _extreme(
    name: str,
    reduce: Callable[[Any, Any], Any],
    combine: Callable[[Any, Any], Any],
    neutral: Callable[[np.dtype[Any]], Any],
) -> Callable[..., Any]:
    def function(
        a: Any,
        axis: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        no_out(name, out)
        x = _masked_shape(name, operand(a), where)
        aval = get_aval(x)
        axes = normal_axes(name, axis, aval.ndim)
        if where is not None and where is not True:
            if initial is None:
                raise ShapeError(
                    f"{name}: where= may leave nothing to choose from, so it needs initial="
                )
            x = _masked(name, x, where, neutral(aval.dtype))
        if initial is not None and any_zero(aval.shape, axes):
            kept = [d for i, d in enumerate(aval.shape) if i not in axes]
            result = _kept(x, stretch(array_of(neutral(aval.dtype)), tuple(kept)), axes, keepdims)
        else:
            result = _kept(x, reduce(x, axes), axes, keepdims)
        return _started(combine, result, initial)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As :func:`numpy.{name}`."
    return function


def any_zero(shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether one of the axes has length 0."""
    return any_(shape[a] == 0 for a in axes)


any_ = any
max = amax = _extreme("max", ops.reduce_max, maximum, lowest)
min = amin = _extreme("min", ops.reduce_min, minimum, highest)


def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """As :func:`numpy.ptp`."""
    no_out("ptp", out)
    return arithmetic.sub(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


def _quantifier(name: str, reduce: Callable[[Any, Any], Any], neutral: bool) -> Callable[..., Any]:
    def function(
        a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
    ) -> Any:
        no_out(name, out)
        x = truth(_masked_shape(name, operand(a), where))
        axes = normal_axes(name, axis, get_aval(x).ndim)
        return _kept(x, reduce(_masked(name, x, where, np.bool_(neutral)), axes), axes, keepdims)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As :func:`numpy.{name}`."
    return function


all = _quantifier("all", ops.reduce_and, True)
any = _quantifier("any", ops.reduce_or, False)


def count_nonzero(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """As :func:`numpy.count_nonzero`."""
    return sum(truth(operand(a)), axis, dtype=I64, keepdims=keepdims)


def _place(name: str, op: Callable[..., Any]) -> Callable[..., Any]:
    def function(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
        no_out(name, out)
        x = array_of(a)
        rank = get_aval(x).ndim
        if axis is None:
            result = op(reshape(x, (get_aval(x).size,)), 0)
            return reshape(result, (1,) * rank) if keepdims else result
        axis = normal_axis(name, axis, rank)
        return _kept(x, op(x, axis), (axis,), keepdims)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As :func:`numpy.{name}`."
    return function


argmax = _place("argmax", ops.argmax)
argmin = _place("argmin", ops.argmin)


# ------------------------------------------------------------------------ means, spreads


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return int(np.prod([shape[a] for a in axes], dtype=np.int64))


def _mean_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if is_inexact(dtype) else default_float()


def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Any:
    """As :func:`numpy.mean`; float16 is summed in float32."""
    no_out("mean", out)
    x = _masked_shape("mean", operand(a), where)
    result = dtype_or(dtype, _mean_dtype(get_aval(x).dtype))
    wide = F32 if dtype is None and is_low_precision(result) else result
    axes = normal_axes("mean", axis, get_aval(x).ndim)
    total = sum(x, axes, wide, keepdims=keepdims, where=where)
    if not is_inexact(wide):
        total = cast(total, default_float())
    return cast(arithmetic.div(total, _number(x, axes, where, get_aval(total), keepdims)), result)


def _number(x: Any, axes: tuple[int, ...], where: Any, aval: Any, keepdims: bool) -> Any:
    """Return how many elements are averaged, as an operand of `aval`."""
    if where is None or where is True:
        return aval.dtype.type(_count(get_aval(x).shape, axes))
    mask = stretch(array_of(truth(operand(where))), get_aval(x).shape)
    return cast(sum(mask, axes, keepdims=keepdims), aval.dtype)


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """As :func:`numpy.var`, for inexact `dtype`; float16 is summed in float32."""
    no_out("var", out)
    x = _masked_shape("var", operand(a), where)
    ddof = ddof if correction is None else correction
    result = dtype_or(dtype, _mean_dtype(get_aval(x).dtype))
    if not is_inexact(result):
        raise DTypeError(f"var: dtype must be inexact; got {result}; convert the result")
    wide = F32 if is_low_precision(result) else result
    x = cast(x, wide)
    axes = normal_axes("var", axis, get_aval(x).ndim)
    centre = (
        _mean(x, axes, keepdims=True, where=where) if mean is None else cast(operand(mean), wide)
    )
    deviation = arithmetic.sub(*broadcast("var", [x, centre]))
    if is_complex(wide):
        re, im = real(deviation), imag(deviation)
        squares = arithmetic.add(arithmetic.square(re), arithmetic.square(im))
    else:
        squares = arithmetic.square(deviation)
    total = sum(squares, axes, keepdims=keepdims, where=where)
    aval = get_aval(total)
    number = _number(x, axes, where, aval, keepdims)
    if isinstance(number, np.generic):
        number = aval.dtype.type(np.maximum(float(number) - ddof, 0))
    else:
        number = maximum(arithmetic.sub(number, aval.dtype.type(ddof)), aval.dtype.type(0))
    return cast(arithmetic.div(total, number), real_of(result))


_mean = mean


def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """As :func:`numpy.std`.  Where it is 0 its derivatives are taken as 0."""
    return away_from_zero(
        arithmetic.sqrt,
        var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction),
    )


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """As :func:`numpy.average`."""
    x = operand(a)
    if weights is None:
        out = mean(x, axis, keepdims=keepdims)
        axes = normal_axes("average", axis, get_aval(x).ndim)
        number = stretch(
            array_of(get_aval(out).dtype.type(_count(get_aval(x).shape, axes))), get_aval(out).shape
        )
        return (out, number) if returned else out
    w = operand(weights)
    axes = normal_axes("average", axis, get_aval(x).ndim)
    shape = get_aval(x).shape
    if get_aval(w).shape != shape:
        if get_aval(w).shape != tuple(shape[a] for a in axes):
            raise ShapeError(
                f"average: weights must have the shape of the operand, or of its axes {axes}; "
                f"got {get_aval(w).shape} for {shape}"
            )
        w = reshape(array_of(w), [d if i in axes else 1 for i, d in enumerate(shape)])
    x, w = promote_operands([x, w])
    dtype = _mean_dtype(get_aval(x).dtype)
    x, w = cast(x, dtype), cast(w, dtype)
    w = stretch(array_of(w), shape)
    scale = sum(w, axes, keepdims=keepdims)
    out = arithmetic.div(sum(arithmetic.mul(x, w), axes, keepdims=keepdims), scale)
    return (out, scale) if returned else out


# --------------------------------------------------------------------------- ignoring NaN


def _replaced(a: Any, fill: Callable[[np.dtype[Any]], Any]) -> tuple[Any, Any]:
    """Return an operand with NaN replaced, and where there was none (None: nowhere)."""
    x = operand(a)
    dtype = get_aval(x).dtype
    if not is_inexact(dtype):
        return x, None
    missing = isnan(x)
    return select(missing, fill(dtype), x), not_(missing)


def _also(present: Any, where: Any) -> Any:
    """Return where an element is present and wanted (None: everywhere)."""
    if where is None or present is None:
        return present if where is None else where
    return and_(*broadcast("where", [present, operand(where)]))


def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """As :func:`numpy.nansum`."""
    x = _replaced(a, lambda d: d.type(0))[0]
    return sum(x, axis, dtype, out, keepdims, initial, where)


def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """As :func:`numpy.nanprod`."""
    x = _replaced(a, lambda d: d.type(1))[0]
    return prod(x, axis, dtype, out, keepdims, initial, where)


def _nan_extreme(
    name: str, reduce: Callable[..., Any], neutral: Callable[[np.dtype[Any]], Any]
) -> Callable[..., Any]:
    def function(
        a: Any,
        axis: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        x, present = _replaced(a, neutral)
        result = reduce(x, axis, out, keepdims, initial, where)
        if present is None or initial is not None:
            return result
        found = any(_also(present, where), axis, keepdims=keepdims)
        return select(found, result, get_aval(result).dtype.type(np.nan))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As :func:`numpy.{name}`, without the warning."
    return function


nanmax = _nan_extreme("nanmax", max, lowest)
nanmin = _nan_extreme("nanmin", min, highest)


def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Any:
    """As :func:`numpy.nanmean`, without the warning."""
    return mean(a, axis, dtype, out, keepdims, where=_also(not_(isnan(operand(a))), where))


def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """As :func:`numpy.nanvar`, without the warning."""
    x = operand(a)
    ddof = ddof if correction is None else correction
    if not is_inexact(get_aval(x).dtype):
        return var(x, axis, dtype, out, ddof, keepdims, where=where, mean=mean)
    present = _also(not_(isnan(x)), where)
    result = var(x, axis, dtype, out, ddof, keepdims, where=present, mean=mean)
    enough = add(sum(present, axis, keepdims=keepdims), -ddof)
    return select(
        ne(maximum(enough, 0), get_aval(enough).dtype.type(0)),
        result,
        get_aval(result).dtype.type(np.nan),
    )


def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """As :func:`numpy.nanstd`, without the warning.  Derivatives as those of :func:`std`."""
    ddof = ddof if correction is None else correction
    spread = nanvar(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean)
    return away_from_zero(arithmetic.sqrt, spread)


def _nan_place(
    name: str, place: Callable[..., Any], neutral: Callable[..., Any]
) -> Callable[..., Any]:
    def function(a: Any, axis: Any = None, out: None = None, *, keepdims: bool = False) -> Any:
        return place(_replaced(a, neutral)[0], axis, out, keepdims=keepdims)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As :func:`numpy.{name}`, but 0 for slices of NaN alone."
    return function


nanargmax = _nan_place("nanargmax", argmax, lowest)
nanargmin = _nan_place("nanargmin", argmin, highest)


# ----------------------------------------------------------------------------- cumulative


def _cumulative(name: str, op: Callable[..., Any], neutral: int | None) -> Callable[..., Any]:
    def function(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
        no_out(name, out)
        x = operand(a)
        if neutral is not None:
            x, _ = _replaced(x, lambda d: d.type(neutral))
        x = array_of(cast(x, dtype_or(dtype, sum_dtype(get_aval(x).dtype))))
        if axis is None:
            return op(reshape(x, (get_aval(x).size,)), 0)
        return op(x, normal_axis(name, axis, get_aval(x).ndim))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As :func:`numpy.{name}`."
    return function


cumsum = _cumulative("cumsum", cumulative.cumsum, None)
cumprod = _cumulative("cumprod", cumulative.cumprod, None)
nancumsum = _cumulative("nancumsum", cumulative.cumsum, 0)
nancumprod = _cumulative("nancumprod", cumulative.cumprod, 1)


def cumulative_sum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: None = None,
    include_initial: bool = False,
) -> Any:  # fmt: skip
    """As :func:`numpy.cumulative_sum`."""
    no_out("cumulative_sum", out)
    return _cumulate("cumulative_sum", cumsum, x, axis, dtype, include_initial, 0)


def cumulative_prod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: None = None,
    include_initial: bool = False,
) -> Any:  # fmt: skip
    """As :func:`numpy.cumulative_prod`."""
    no_out("cumulative_prod", out)
    return _cumulate("cumulative_prod", cumprod, x, axis, dtype, include_initial, 1)


def _cumulate(
    name: str,
    function: Callable[..., Any],
    x: Any,
    axis: Any,
    dtype: Any,
    include_initial: bool,
    initial: int,
) -> Any:
    x = array_of(x)
    if not get_aval(x).ndim:
        x = reshape(x, (1,))  # as NumPy does
    if axis is None:
        if get_aval(x).ndim != 1:
            raise ShapeError(f"{name}: axis is needed for rank {get_aval(x).ndim}")
        axis = 0
    axis = normal_axis(name, axis, get_aval(x).ndim)
    out = function(x, axis, dtype)
    if not include_initial:
        return out
    aval = get_aval(out)
    config = [(1 if a == axis else 0, 0, 0) for a in range(aval.ndim)]
    return pad(out, aval.dtype.type(initial), config)
