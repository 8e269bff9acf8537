"""Comparisons, logic, bits, and what chooses by them: select, max, min, clamp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.dtypes import (
    DTYPES,
    is_bool,
    is_complex,
    is_inexact,
    is_integer,
    is_unsigned,
)
from tracejit.ops._pointwise import add, define_pointwise, same_dtype, sum_tangents
from tracejit.ops.arithmetic import at, mul
from tracejit.ops.constant import scalar_like
from tracejit.ops.shape import unbroadcast

__all__ = [
    "and_",
    "clamp",
    "clz",
    "eq",
    "ge",
    "gt",
    "is_finite",
    "is_inf",
    "is_nan",
    "le",
    "lt",
    "max_",
    "min_",
    "ne",
    "not_",
    "or_",
    "population_count",
    "select",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "xor",
]

BOOL = DTYPES["bool"]


def _computable(dtype: np.dtype[Any]) -> bool:
    return dtype.names is None


def _logical(dtype: np.dtype[Any]) -> bool:
    return is_bool(dtype) or is_integer(dtype)


# ------------------------------------------------------------------------- comparisons


def _bool_of(
    name: str, accepts: Callable[[np.dtype[Any]], bool], what: str
) -> Callable[..., np.dtype[Any]]:
    check = same_dtype(name, accepts, what)

    def rule(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
        check(*dtypes)
        return BOOL

    return rule


def _define_comparison(name: str, function: str) -> Primitive:
    return define_pointwise(
        name, impl=function, dtype=_bool_of(name, _computable, "computable"), jvp=[None, None]
    )


def eq(x: Any, y: Any) -> Any:
    """Whether ``x == y``, elementwise, for operands of one dtype; bool; False for NaN."""
    return eq_p.bind(x, y)


def ne(x: Any, y: Any) -> Any:
    """Whether ``x != y``, elementwise, for operands of one dtype; bool; True for NaN."""
    return ne_p.bind(x, y)


def lt(x: Any, y: Any) -> Any:
    """Whether ``x < y``, elementwise, for operands of one dtype; bool; False for NaN.

    Complex numbers are ordered by their real, then their imaginary parts, as in NumPy.
    """
    return lt_p.bind(x, y)


def le(x: Any, y: Any) -> Any:
    """Whether ``x <= y``, elementwise; see :func:`lt`."""
    return le_p.bind(x, y)


def gt(x: Any, y: Any) -> Any:
    """Whether ``x > y``, elementwise; see :func:`lt`."""
    return gt_p.bind(x, y)


def ge(x: Any, y: Any) -> Any:
    """Whether ``x >= y``, elementwise; see :func:`lt`."""
    return ge_p.bind(x, y)


eq_p = _define_comparison("eq", "equal")
ne_p = _define_comparison("ne", "not_equal")
lt_p = _define_comparison("lt", "less")
le_p = _define_comparison("le", "less_equal")
gt_p = _define_comparison("gt", "greater")
ge_p = _define_comparison("ge", "greater_equal")


def is_finite(x: Any) -> Any:
    """Whether each element of an inexact array is neither inf nor NaN; bool."""
    return is_finite_p.bind(x)


def is_nan(x: Any) -> Any:
    """Whether each element of an inexact array is NaN; bool."""
    return is_nan_p.bind(x)


def is_inf(x: Any) -> Any:
    """Whether each element of an inexact array is inf or -inf; bool."""
    return is_inf_p.bind(x)


def _define_class(name: str, function: str) -> Primitive:
    return define_pointwise(
        name,
        impl=function,
        dtype=_bool_of(name, is_inexact, "inexact"),
        jvp=[None],
        lower=lambda k, x: k.pointwise(function, x),
    )


is_finite_p = _define_class("is_finite", "isfinite")
is_nan_p = _define_class("is_nan", "isnan")
is_inf_p = _define_class("is_inf", "isinf")


# ------------------------------------------------------------------------ logic and bits

NO_TANGENT = "its operands are bool or integers, which have no tangents"


def _define_bits(name: str, function: str) -> Primitive:
    return define_pointwise(
        name,
        impl=function,
        dtype=same_dtype(name, _logical, "bool or integer"),
        jvp=NO_TANGENT,
    )


def and_(x: Any, y: Any) -> Any:
    """Bitwise and of integers, logical and of bools, elementwise, in the dtype of both."""
    return and_p.bind(x, y)


def or_(x: Any, y: Any) -> Any:
    """Bitwise or of integers, logical or of bools, elementwise, in the dtype of both."""
    return or_p.bind(x, y)


def xor(x: Any, y: Any) -> Any:
    """Bitwise exclusive or of integers, ``!=`` of bools, elementwise, in the dtype of both."""
    return xor_p.bind(x, y)


def not_(x: Any) -> Any:
    """Bitwise complement of integers, negation of bools, elementwise."""
    return not_p.bind(x)


and_p = _define_bits("and", "bitwise_and")
or_p = _define_bits("or", "bitwise_or")
xor_p = _define_bits("xor", "bitwise_xor")
not_p = _define_bits("not", "invert")


def shift_left(x: Any, y: Any) -> Any:
    """Shift bits to the left.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one integer dtype
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        ``x << y``; 0 where `y` is negative or not below the number of bits.
    """
    return shift_left_p.bind(x, y)


def shift_right_arithmetic(x: Any, y: Any) -> Any:
    """Shift bits to the right, filling with the top bit (also of unsigned integers, as JAX).

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one integer dtype
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        The bits; all are the top bit where `y` is negative or not below the number of bits.
    """
    return shift_right_arithmetic_p.bind(x, y)


def shift_right_logical(x: Any, y: Any) -> Any:
    """Shift bits to the right, filling with zeros (also of signed integers).

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one integer dtype
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        The bits; 0 where `y` is negative or not below the number of bits.
    """
    return shift_right_logical_p.bind(x, y)


def _as_kind(x: Any, kind: str) -> Any:
    return x.view(np.dtype(f"{kind}{x.dtype.itemsize}"))


def _arithmetic_impl(xp: Any, x: Any, y: Any) -> Any:
    bits = 8 * x.dtype.itemsize
    amount = xp.minimum(_as_kind(y, "u"), y.dtype.type(bits - 1)).astype(f"i{x.dtype.itemsize}")
    return xp.right_shift(_as_kind(x, "i"), amount).view(x.dtype)


def _logical_impl(function: str) -> Callable[..., Any]:
    def impl(xp: Any, x: Any, y: Any) -> Any:
        wide = _as_kind(x, "u"), _as_kind(y, "u")
        return getattr(xp, function)(*wide).view(x.dtype)

    return impl


def _shift_lower(op: str) -> Callable[..., Any]:
    def rule(k: Any, x: Any, y: Any) -> Any:
        dtype = x.aval.dtype
        bits = 8 * dtype.itemsize
        last, zero = k.scalar(bits - 1, dtype), k.scalar(0, dtype)

        def load(index: Any) -> Any:
            a, n = at(x, index), at(y, index)
            inside = k.apply("le", n, last)
            if not is_unsigned(dtype):
                inside = k.apply("and", inside, k.apply("ge", n, zero))
            if op == "shr_arithmetic":
                n = k.apply("select", inside, n, last)
                if is_unsigned(dtype):
                    signed = DTYPES[f"i{bits}"]
                    a, n = k.apply_bitcast(a, signed), k.apply_bitcast(n, signed)
                    return k.apply_bitcast(k.apply(op, a, n), dtype)
                return k.apply(op, a, n)
            return k.apply("select", inside, k.apply(op, a, n), zero)

        return load

    return rule


def _define_shift(name: str, op: str, impl: Callable[..., Any]) -> Primitive:
    return define_pointwise(
        name,
        impl=impl,
        dtype=same_dtype(name, is_integer, "integer"),
        jvp=NO_TANGENT,
        lower=_shift_lower(op),
    )


shift_left_p = _define_shift("shift_left", "shl", _logical_impl("left_shift"))
shift_right_arithmetic_p = _define_shift(
    "shift_right_arithmetic", "shr_arithmetic", _arithmetic_impl
)
shift_right_logical_p = _define_shift(
    "shift_right_logical", "shr_logical", _logical_impl("right_shift")
)


def population_count(x: Any) -> Any:
    """Count the bits that are 1 in each integer (two's complement), in the dtype of `x`."""
    return population_count_p.bind(x)


def clz(x: Any) -> Any:
    """Count the leading zero bits of each integer, in the dtype of `x`; all its bits for 0."""
    return clz_p.bind(x)


def _popcount_impl(xp: Any, x: Any) -> Any:
    return xp.bitwise_count(_as_kind(x, "u")).astype(x.dtype)


def _clz_impl(xp: Any, x: Any) -> Any:
    bits = 8 * x.dtype.itemsize
    smeared = _as_kind(x, "u")
    shift = 1
    while shift < bits:
        smeared = smeared | (smeared >> smeared.dtype.type(shift))
        shift *= 2
    return (bits - xp.bitwise_count(smeared).astype(np.int64)).astype(x.dtype)


population_count_p = define_pointwise(
    "population_count",
    impl=_popcount_impl,
    dtype=same_dtype("population_count", is_integer, "integer"),
    jvp=NO_TANGENT,
    lower=lambda k, x: k.pointwise("popcount", x),
)
clz_p = define_pointwise(
    "clz", impl=_clz_impl, dtype=same_dtype("clz", is_integer, "integer"), jvp=NO_TANGENT
)


# ------------------------------------------------------------------------------ select


def select(condition: Any, x: Any, y: Any) -> Any:
    """Choose elements: `x` where `condition` holds, else `y`.

    Parameters
    ----------
    condition : Array, bool
        What chooses.
    x, y : Array, one dtype
        What is chosen from; the shapes of all three are one, or rank 0.

    Returns
    -------
    Array, the shape of the operands, dtype of `x` and `y`
        The chosen elements.

    Notes
    -----
    Linear in `x` and `y`: what is not chosen does not reach the result nor, being NaN or inf, the
    tangent.  In reverse mode its cotangent is 0, and 0 times an infinite slope is NaN: keep the
    operand itself away from the singular point, ``select(c, f(select(c, x, 1)), y)``.
    """
    return select_p.bind(condition, x, y)


def _select_dtype(condition: np.dtype[Any], x: np.dtype[Any], y: np.dtype[Any]) -> np.dtype[Any]:
    if not is_bool(condition):
        raise DTypeError(f"select: the condition must be bool; got {condition}")
    return same_dtype("select", _computable, "computable")(x, y)


def _or_zero(t: Any) -> Any:
    """Return a tangent, or for a symbolic zero a scalar that stretches."""
    return t.aval.dtype.type(0) if isinstance(t, Zero) else t


def _select_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    condition, x, y = primals
    _, tx, ty = tangents
    out = select(condition, x, y)
    if isinstance(tx, Zero) and isinstance(ty, Zero):
        return out, Zero(get_aval(out))
    return out, sum_tangents([select(condition, _or_zero(tx), _or_zero(ty))], out)


def _select_transpose(ct: Any, condition: Any, x: Any, y: Any) -> tuple[None, Any, Any]:
    zero = scalar_like(ct, 0)
    return (
        None,
        unbroadcast(select(condition, ct, zero), x.aval.shape) if isinstance(x, Linear) else None,
        unbroadcast(select(condition, zero, ct), y.aval.shape) if isinstance(y, Linear) else None,
    )


select_p = define_pointwise(
    "select",
    impl="where",
    dtype=_select_dtype,
    jvp=_select_jvp,
    transpose=_select_transpose,
)


# ------------------------------------------------------------------- max, min, clamp


def max_(x: Any, y: Any) -> Any:
    """Take the greater of two elements; NaN if either is.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one dtype
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        The maxima; which of 0.0 and -0.0 is greater is not said.

    Notes
    -----
    Where the operands are equal each has half of the derivative.
    """
    return max_p.bind(x, y)


def min_(x: Any, y: Any) -> Any:
    """Take the lesser of two elements; NaN if either is.  Otherwise as :func:`max_`."""
    return min_p.bind(x, y)


def _extremum_jvp(
    extremum: Callable[[Any, Any], Any], beats: Callable[[Any, Any], Any]
) -> Callable[..., Any]:
    def rule(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        x, y = primals
        out = extremum(x, y)
        tx, ty = (_or_zero(t) for t in tangents)
        if isinstance(tangents[0], Zero):
            total = ty
        else:
            total = tx if isinstance(tangents[1], Zero) else add(tx, ty)
        tie = mul(total, scalar_like(total, 0.5))
        return out, sum_tangents([select(beats(x, y), tx, select(eq(x, y), tie, ty))], out)

    return rule


max_p = define_pointwise(
    "max",
    impl="maximum",
    dtype=same_dtype("max", _computable, "computable"),
    jvp=_extremum_jvp(max_, gt),
)
min_p = define_pointwise(
    "min",
    impl="minimum",
    dtype=same_dtype("min", _computable, "computable"),
    jvp=_extremum_jvp(min_, lt),
)


def clamp(lo: Any, x: Any, hi: Any) -> Any:
    """Bring elements into an interval: ``min(max(x, lo), hi)``.

    Parameters
    ----------
    lo, x, hi : Array, one shape (or rank 0) and one dtype that is not complex
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        The nearest elements of the interval; NaN where an operand is.

    Notes
    -----
    At the ends of the interval the derivative is 0 in all three, as in JAX.
    """
    return clamp_p.bind(lo, x, hi)


def _clamp_lower(k: Any, lo: Any, x: Any, hi: Any) -> Any:
    return k.pointwise("min", k.pointwise("max", x, lo), hi)


def _masked(t: Any, mask: Any) -> Any:
    return select(mask, t, scalar_like(t, 0))


clamp_p = define_pointwise(
    "clamp",
    impl=lambda xp, lo, x, hi: xp.minimum(xp.maximum(x, lo), hi),
    dtype=same_dtype("clamp", lambda d: _computable(d) and not is_complex(d), "ordered"),
    jvp=[
        lambda t, out, lo, x, hi: _masked(t, and_(gt(lo, x), lt(lo, hi))),
        lambda t, out, lo, x, hi: _masked(t, and_(gt(x, lo), lt(x, hi))),
        lambda t, out, lo, x, hi: _masked(t, lt(hi, max_(x, lo))),
    ],
    lower=_clamp_lower,
)
