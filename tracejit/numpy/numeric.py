"""Numerical functions composed of others: limits, rounding, parts, differences, integrals."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_bool, is_complex, is_float, is_inexact, is_integer
from tracejit.numpy.division import remainder
from tracejit.numpy.logic import isnan, not_equal
from tracejit.numpy.manipulation import atleast_1d, concatenate, flip, window
from tracejit.numpy.promotion import (
    array_of,
    arrays_of,
    as_inexact,
    cast,
    dtype_or,
    filled,
    known,
    no_out,
    normal_axes,
    normal_axis,
    operand,
    promote_operands,
)
from tracejit.numpy.reductions import sum
from tracejit.numpy.searching import argsort, searchsorted, take
from tracejit.numpy.ufuncs import absolute, add, maximum, minimum, multiply, subtract, true_divide
from tracejit.ops import arithmetic, complex_numbers
from tracejit.ops.arithmetic import div, mul, round_, sub
from tracejit.ops.contraction import dot_general
from tracejit.ops.cumulative import cumsum
from tracejit.ops.logical import eq, gt, is_inf, lt, select
from tracejit.ops.shape import full, reshape
from tracejit.ops.slicing import pad
from tracejit.ops.transcendental import atan2, sin

__all__ = [
    "F64", "LONGEST_UNROLLED", "angle", "around", "clip", "convolve", "correlate", "diff",
    "ediff1d", "gradient", "imag", "interp", "nan_to_num", "real", "round", "sinc",
    "trapezoid", "unwrap",
]  # fmt: skip

F64 = DTYPES["f64"]


def clip(
    a: Any,
    min: Any = None,
    max: Any = None,
    out: None = None,
    *,
    a_min: Any = None,
    a_max: Any = None,
) -> Any:
    """As :func:`numpy.clip`, whose `a_min` and `a_max` have the standard's names too."""
    no_out("clip", out)
    low = min if a_min is None else a_min
    high = max if a_max is None else a_max
    x = array_of(a)
    if low is not None:
        x = maximum(x, low)
    return x if high is None else minimum(x, high)


def round(a: Any, decimals: int = 0, out: None = None) -> Any:
    """As :func:`numpy.round`."""
    no_out("round", out)
    x = operand(a)
    dtype = get_aval(x).dtype
    if is_bool(dtype):
        return cast(array_of(x), DTYPES["f16"])
    if is_integer(dtype):
        if decimals >= 0:
            return array_of(x)
        wide = div(cast(x, F64), F64.type(10.0**-decimals))
        return cast(mul(round_(wide), F64.type(10.0**-decimals)), dtype)
    if is_complex(dtype):
        parts = (round(part(x), decimals) for part in (complex_numbers.real, complex_numbers.imag))
        return complex_numbers.complex_(*parts)
    if not decimals:
        return round_(x)
    wide_dtype = dtype if dtype.itemsize >= 4 else DTYPES["f32"]
    x = cast(x, wide_dtype)
    if decimals > 0:
        scale = wide_dtype.type(10.0**decimals)
        return cast(div(round_(mul(x, scale)), scale), dtype)
    scale = wide_dtype.type(10.0**-decimals)
    return cast(mul(round_(div(x, scale)), scale), dtype)


around = round


def real(val: Any) -> Any:
    """As :func:`numpy.real`."""
    return array_of(complex_numbers.real(operand(val)))


def imag(val: Any) -> Any:
    """As :func:`numpy.imag`."""
    x = operand(val)
    aval = get_aval(x)
    return complex_numbers.imag(x) if is_complex(aval.dtype) else filled(x, 0, aval.dtype)


def angle(z: Any, deg: bool = False) -> Any:
    """As :func:`numpy.angle`."""
    x = operand(z)
    x = cast(x, F64) if is_bool(get_aval(x).dtype) else as_inexact(x)
    if is_complex(get_aval(x).dtype):
        out = atan2(complex_numbers.imag(x), complex_numbers.real(x))
    else:
        out = atan2(get_aval(x).dtype.type(0), x)
    return mul(out, get_aval(out).dtype.type(180 / np.pi)) if deg else out


def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """As :func:`numpy.nan_to_num`."""
    del copy
    x = array_of(x)
    dtype = get_aval(x).dtype
    if is_complex(dtype):
        parts = (
            nan_to_num(part(x), True, nan, posinf, neginf)
            for part in (complex_numbers.real, complex_numbers.imag)
        )
        return complex_numbers.complex_(*parts)
    if not is_float(dtype):
        return x
    limit = np.finfo(dtype).max if dtype.kind == "f" else dtype.type(3.3895313892515355e38)
    high = dtype.type(limit) if posinf is None else dtype.type(posinf)
    low = dtype.type(-limit) if neginf is None else dtype.type(neginf)
    out = select(isnan(x), dtype.type(nan), x)
    zero = dtype.type(0)
    return select(is_inf(x), select(gt(x, zero), high, low), out)


def _float_at_least(x: Any) -> Any:
    """Return an operand with an inexact dtype: float64 for integers of any width."""
    return x if is_inexact(get_aval(x).dtype) else cast(x, F64)


def sinc(x: Any) -> Any:
    """As :func:`numpy.sinc`; near 0 by its series, which has the derivatives of the limit."""
    x = _float_at_least(operand(x))
    of = get_aval(x).dtype.type
    y = mul(x, of(np.pi))
    square = mul(y, y)
    size = complex_numbers.abs_(square) if is_complex(get_aval(x).dtype) else square
    near = lt(size, get_aval(size).dtype.type(0.01))
    small = select(near, square, of(0))
    series = of(1 / 362880)
    for inverse in (-5040, 120, -6, 1):
        series = arithmetic.add(mul(series, small), of(1 / inverse))
    away = select(near, of(1), y)
    return select(near, series, div(sin(away), away))


# ----------------------------------------------------------------------------- differences


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """As :func:`numpy.diff`."""
    x = array_of(a)
    if n < 0:
        raise ShapeError(f"diff: the order must not be negative; got {n}")
    rank = get_aval(x).ndim
    axis = normal_axis("diff", axis, rank)
    pieces: list[list[Any]] = []
    for piece in (prepend, append):
        if piece is None:
            pieces.append([])
            continue
        y = array_of(piece)
        if not get_aval(y).ndim:
            shape = [1 if i == axis else d for i, d in enumerate(get_aval(x).shape)]
            y = add(y, full(shape, 0, get_aval(y).dtype))
        pieces.append([y])
    if pieces[0] or pieces[1]:
        x = concatenate([*pieces[0], x, *pieces[1]], axis)
    for _ in range(n):
        length = get_aval(x).shape[axis]
        first, last = (
            window(x, axis, 0, max(length - 1, 0)),
            window(x, axis, min(1, length), length),
        )
        x = not_equal(last, first) if is_bool(get_aval(x).dtype) else sub(last, first)
    return x


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """As :func:`numpy.ediff1d`."""
    x = array_of(ary)
    if is_bool(get_aval(x).dtype):
        raise DTypeError("ediff1d: bool has no differences; use diff, or convert it first")
    out = diff(reshape(x, (get_aval(x).size,)))
    pieces = [out]
    if to_begin is not None:
        begin = array_of(to_begin)
        pieces.insert(0, reshape(begin, (get_aval(begin).size,)))
    if to_end is not None:
        end = array_of(to_end)
        pieces.append(reshape(end, (get_aval(end).size,)))
    return concatenate(pieces)


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """As :func:`numpy.gradient`: spacings may be scalars or coordinates."""
    x = as_inexact(array_of(f))
    if get_aval(x).ndim and is_bool(get_aval(array_of(f)).dtype):
        raise DTypeError("gradient: bool has no differences; convert it first")
    if is_integer(get_aval(array_of(f)).dtype):
        x = cast(array_of(f), F64)
    rank = get_aval(x).ndim
    axes = normal_axes("gradient", axis, rank)
    spacings = list(varargs) or [1.0]
    if len(spacings) == 1:
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise ShapeError(f"gradient: one spacing, or one for each axis; got {len(varargs)}")
    if edge_order not in (1, 2):
        raise ShapeError(f"gradient: edge_order must be 1 or 2; got {edge_order}")
    outs = [_slope(x, h, a, edge_order) for h, a in zip(spacings, axes, strict=True)]
    return outs[0] if len(outs) == 1 else tuple(outs)


def _slope(x: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    n = get_aval(x).shape[axis]
    if n < edge_order + 1:
        raise ShapeError(f"gradient: axis {axis} needs {edge_order + 1} elements; got {n}")
    dtype = get_aval(x).dtype

    def part(start: int, limit: int) -> Any:
        return window(x, axis, start, limit)

    h = operand(spacing)
    if not get_aval(h).shape:
        h = cast(h, dtype)
        two = dtype.type(2)
        pieces = []
        if n > 2:
            pieces.append(div(sub(part(2, n), part(0, n - 2)), mul(two, h)))
        if edge_order == 1:
            first = div(sub(part(1, 2), part(0, 1)), h)
            last = div(sub(part(n - 1, n), part(n - 2, n - 1)), h)
        else:
            a, b, c = dtype.type(1.5), two, dtype.type(0.5)
            first = _weighted([part(0, 1), part(1, 2), part(2, 3)], [-a, b, -c])
            last = _weighted([part(n - 3, n - 2), part(n - 2, n - 1), part(n - 1, n)], [c, -b, a])
            first, last = div(first, h), div(last, h)
        return concatenate([first, *pieces, last], axis)
    steps = cast(diff(h), dtype) if get_aval(h).shape[0] == n else None
    if steps is None or get_aval(h).ndim != 1:
        raise ShapeError(f"gradient: coordinates of axis {axis} must have shape ({n},)")
    spread = [1] * get_aval(x).ndim

    def step(start: int, limit: int) -> Any:
        spread[axis] = limit - start
        return reshape(window(steps, 0, start, limit), spread)

    pieces = []
    if n > 2:
        before, after = step(0, n - 2), step(1, n - 1)
        both = add(before, after)
        a = true_divide(-after, multiply(before, both))
        b = true_divide(subtract(after, before), multiply(before, after))
        c = true_divide(before, multiply(after, both))
        pieces.append(a * part(0, n - 2) + b * part(1, n - 1) + c * part(2, n))
    if edge_order == 1:
        first = true_divide(sub(part(1, 2), part(0, 1)), step(0, 1))
        last = true_divide(sub(part(n - 1, n), part(n - 2, n - 1)), step(n - 2, n - 1))
    else:
        d1, d2 = step(0, 1), step(1, 2)
        first = (
            -(2.0 * d1 + d2) / (d1 * (d1 + d2)) * part(0, 1)
            + (d1 + d2) / (d1 * d2) * part(1, 2)
            - d1 / (d2 * (d1 + d2)) * part(2, 3)
        )
        d1, d2 = step(n - 3, n - 2), step(n - 2, n - 1)
        last = (
            d2 / (d1 * (d1 + d2)) * part(n - 3, n - 2)
            - (d2 + d1) / (d1 * d2) * part(n - 2, n - 1)
            + (2.0 * d2 + d1) / (d2 * (d1 + d2)) * part(n - 1, n)
        )
    return concatenate([first, *pieces, last], axis)


def _weighted(xs: list[Any], weights: list[Any]) -> Any:
    out = mul(xs[0], weights[0])
    for x, w in zip(xs[1:], weights[1:], strict=True):
        out = arithmetic.add(out, mul(x, w))
    return out


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """As :func:`numpy.trapezoid`."""
    f = array_of(y)
    rank = get_aval(f).ndim
    axis = normal_axis("trapezoid", axis, rank)
    n = get_aval(f).shape[axis]
    if x is None:
        step: Any = dx
    else:
        at = array_of(x)
        if get_aval(at).ndim == 1:
            step = diff(at)
            spread = [1] * rank
            spread[axis] = get_aval(step).size
            step = reshape(step, spread)
        else:
            step = diff(at, axis=axis)
    pairs = add(window(f, axis, min(1, n), n), window(f, axis, 0, max(n - 1, 0)))
    return sum(multiply(step, true_divide(pairs, 2.0)), axis)


# ---------------------------------------------------------------------------- interpolation


def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """As :func:`numpy.interp`; linear in `fp`, differentiable in all three."""
    if any(is_complex(get_aval(operand(v)).dtype) for v in (x, xp)):
        raise DTypeError("interp: x and xp must be real; got complex numbers")
    at, knots = (cast(operand(v), F64) for v in (x, xp))
    values = operand(fp)
    values = cast(values, DTYPES["c128"] if is_complex(get_aval(values).dtype) else F64)
    at, knots, values = (array_of(v) for v in (at, knots, values))
    n = get_aval(knots).size
    if get_aval(knots).ndim != 1 or get_aval(values).shape != get_aval(knots).shape or not n:
        raise ShapeError(
            f"interp: xp and fp must have one shape (n,), n >= 1; got {get_aval(knots).shape} "
            f"and {get_aval(values).shape}"
        )
    if period is not None:
        if not np.all(known(operand(period), "interp()", "The period must be static.")):
            raise ShapeError("interp: the period must not be 0")
        period, left, right = absolute(period), None, None
        at, knots = remainder(at, period), remainder(knots, period)
        order = argsort(knots)
        knots, values = take(knots, order, mode="clip"), take(values, order, mode="clip")
        first, last = (window(knots, 0, i, i + 1) for i in (0, n - 1))
        knots = concatenate([subtract(last, period), knots, add(first, period)])
        values = concatenate([window(values, 0, n - 1, n), values, window(values, 0, 0, 1)])
        n += 2
    of = get_aval(values).dtype
    low = cast(operand(left), of) if left is not None else _at(values, 0)
    high = cast(operand(right), of) if right is not None else _at(values, n - 1)
    if n == 1:
        out = select(
            lt(at, _at(knots, 0)), low, select(gt(at, _at(knots, 0)), high, _at(values, 0))
        )
        return array_of(out)
    index = clip(subtract(searchsorted(knots, at, "right"), 1), 0, n - 2)
    x0, x1 = take(knots, index, mode="clip"), take(knots, add(index, 1), mode="clip")
    y0, y1 = take(values, index, mode="clip"), take(values, add(index, 1), mode="clip")
    slope = div(sub(y1, y0), cast(sub(x1, x0), of))
    out = arithmetic.add(mul(slope, cast(sub(at, x0), of)), y0)
    out = select(eq(at, x0), y0, out)
    # NumPy gives the last value at and beyond the last knot.
    out = select(eq(at, _at(knots, n - 1)), _at(values, n - 1), out)
    out = select(gt(at, _at(knots, n - 1)), high, out)
    return select(lt(at, _at(knots, 0)), low, out)


def _at(x: Any, i: int) -> Any:
    return reshape(window(x, 0, i, i + 1), ())


def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * np.pi) -> Any:
    """As :func:`numpy.unwrap`, for floats."""
    x = _float_at_least(array_of(p))
    dtype = get_aval(x).dtype
    axis = normal_axis("unwrap", axis, get_aval(x).ndim)
    step = diff(x, axis=axis)
    half, whole = dtype.type(period / 2), dtype.type(period)
    wrapped = remainder(arithmetic.add(step, half), whole)
    wrapped = sub(wrapped, half)
    wrapped = select(eq(wrapped, -half), select(gt(step, dtype.type(0)), half, wrapped), wrapped)
    limit = half if discont is None else dtype.type(max(float(discont), period / 2))
    change = select(lt(complex_numbers.abs_(step), limit), dtype.type(0), sub(wrapped, step))
    config = [(1 if a == axis else 0, 0, 0) for a in range(get_aval(x).ndim)]
    return arithmetic.add(x, pad(cumsum(change, axis), dtype.type(0), config))


# ---------------------------------------------------------------------------- convolution


def convolve(
    a: Any, v: Any, mode: str = "full", *, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """As :func:`numpy.convolve`: a sum of shifted windows, in `preferred_element_type` if given."""
    del precision
    if preferred_element_type is not None:
        a, v = (cast(array_of(x), dtype_or(preferred_element_type)) for x in (a, v))
    x, y = (atleast_1d(v) for v in promote_operands([operand(a), operand(v)]))
    if get_aval(x).ndim != 1 or get_aval(y).ndim != 1:
        raise ShapeError(
            f"convolve: rank 1; got shapes {get_aval(x).shape} and {get_aval(y).shape}"
        )
    if get_aval(x).size < get_aval(y).size:
        x, y = y, x
    return _slide("convolve", x, flip(y), mode)


def correlate(
    a: Any, v: Any, mode: str = "valid", *, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """As :func:`numpy.correlate`: sums of windows, in `preferred_element_type` if given."""
    del precision
    if preferred_element_type is not None:
        a, v = (cast(array_of(x), dtype_or(preferred_element_type)) for x in (a, v))
    x, y = arrays_of(promote_operands([operand(a), operand(v)]))
    if get_aval(x).ndim != 1 or get_aval(y).ndim != 1:
        raise ShapeError(
            f"correlate: rank 1; got shapes {get_aval(x).shape} and {get_aval(y).shape}"
        )
    y = complex_numbers.conj(y)
    if get_aval(x).size < get_aval(y).size:
        return flip(_slide("correlate", y, x, mode))
    return _slide("correlate", x, y, mode)


def _slide(name: str, x: Any, y: Any, mode: str) -> Any:
    """Return the sums of the longer `x` times `y` at every shift."""
    n, m = get_aval(x).size, get_aval(y).size
    if not n or not m:
        raise ShapeError(f"{name}: the operands must not be empty")
    if mode not in ("full", "same", "valid"):
        raise ShapeError(f"{name}: mode must be full, same or valid; got {mode!r}")
    if mode == "full":
        before, after = m - 1, m - 1
    elif mode == "same":
        before, after = m // 2, m - 1 - m // 2
    else:
        before = after = 0
    dtype = get_aval(x).dtype
    x = pad(x, dtype.type(0), [(before, after, 0)])
    size = get_aval(x).size - m + 1
    if m <= LONGEST_UNROLLED:
        out = mul(window(x, 0, 0, size), _at(y, 0))
        for i in range(1, m):
            out = arithmetic.add(out, mul(window(x, 0, i, i + size), _at(y, i)))
        return out
    places = np.arange(size)[:, None] + np.arange(m)
    rows = take(x, places, mode="clip")
    return dot_general(rows, y, (((1,), (0,)), ((), ())))


LONGEST_UNROLLED = 64
"""Convolutions with at most so many weights are written out, so that they fuse."""
