"""Quotients, remainders and powers, with NumPy's signs, special values and integer rules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracejit.core.array import Array
from tracejit.core.errors import DTypeError, TracejitError
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_inexact, is_integer
from tracejit.numpy.promotion import (
    broadcast,
    cast,
    concrete_value,
    operand,
    promote_operands,
)
from tracejit.numpy.ufuncs import binary, binary_operands, refuse
from tracejit.ops.arithmetic import (
    add,
    copysign,
    div,
    floor,
    integer_pow,
    mul,
    quot,
    rem,
    sqrt,
    sub,
)
from tracejit.ops.logical import and_, eq, gt, lt, ne, select, shift_right_logical, xor
from tracejit.ops.shape import full
from tracejit.ops.transcendental import pow_

__all__ = [
    "NegativePowerError",
    "divmod",
    "float_power",
    "floor_divide",
    "fmod",
    "mod",
    "pow",
    "power",
    "remainder",
]

INT8 = DTYPES["i8"]
LARGEST_UNROLLED = 32
"""Known powers up to this are products; beyond it the error of a product would show."""


class NegativePowerError(TracejitError, ValueError):
    """An integer to a negative power."""


def _refuse_complex(name: str, x: Any) -> None:
    if is_complex(get_aval(x).dtype):
        raise DTypeError(f"{name}: has no meaning for complex numbers")


def _positive_scalar(x: Any) -> bool:
    return isinstance(x, (np.generic, int, float)) and bool(np.asarray(x) > 0)


def _adjusted(r: Any, y: Any) -> Any:
    """Whether a remainder `r` of C is not that of Python: not 0, and not of the sign of `y`."""
    zero = get_aval(r).dtype.type(0)
    if _positive_scalar(y):
        return lt(r, zero)
    return and_(ne(r, zero), xor(lt(r, zero), lt(y, zero)))


def _remainder(x: Any, y: Any) -> Any:
    dtype = get_aval(x).dtype
    r = rem(x, y)
    if dtype.kind == "u":
        return r
    zero = dtype.type(0)
    r = add(r, select(_adjusted(r, y), y, zero))
    if is_inexact(dtype):  # a zero has the sign of the divisor
        r = select(eq(r, zero), copysign(zero, y), r)
    return r


def _floor_divide(x: Any, y: Any) -> Any:
    dtype = get_aval(x).dtype
    one, zero = dtype.type(1), dtype.type(0)
    if is_integer(dtype):
        q = quot(x, y)
        if dtype.kind == "u":
            return q
        return sub(q, select(_adjusted(rem(x, y), y), one, zero))
    r = rem(x, y)
    q = div(sub(x, r), y)
    q = sub(q, select(_adjusted(r, y), one, zero))
    down = floor(q)
    down = add(down, select(gt(sub(q, down), dtype.type(0.5)), one, zero))
    ratio = div(x, y)
    out = select(eq(q, zero), copysign(zero, ratio), down)
    return out if _positive_scalar(y) else select(eq(y, zero), ratio, out)


floor_divide = binary(
    "floor_divide", _floor_divide, bool_as=INT8, accepts=lambda d: not is_complex(d)
)
remainder = binary("remainder", _remainder, bool_as=INT8, accepts=lambda d: not is_complex(d))
mod = remainder
fmod = binary("fmod", rem, bool_as=INT8, accepts=lambda d: not is_complex(d))


def divmod(x1: Any, x2: Any, /, out: None = None, *, where: bool = True) -> tuple[Any, Any]:
    """As :func:`numpy.divmod`."""
    refuse("divmod", out, where)
    x, y = binary_operands("divmod", x1, x2, bool_as=INT8)
    _refuse_complex("divmod", x)
    return _floor_divide(x, y), _remainder(x, y)


# --------------------------------------------------------------------------------- powers


def _by_known_power(x: Any, n: int | float) -> Any:
    """Return ``x**n`` for a number known when tracing, or None if it is not special."""
    dtype = get_aval(x).dtype
    if is_inexact(dtype):
        if n == 0.5:
            return sqrt(x)
        if math.isfinite(n) and n == int(n) and -LARGEST_UNROLLED <= n <= LARGEST_UNROLLED:
            return integer_pow(x, int(n))
        return None
    if isinstance(n, float):
        return None
    if n < 0:
        raise NegativePowerError(
            f"power: integers to negative powers are not integers; got {n} for {dtype}; "
            "convert the base: x.astype(float)"
        )
    return integer_pow(x, n)


def _integer_power(x: Any, y: Any) -> Any:
    dtype = get_aval(x).dtype
    known = concrete_value(y)
    bits = dtype.itemsize * 8 - (dtype.kind == "i")
    if known is not None:
        if np.size(known) and int(np.min(known)) < 0:
            raise NegativePowerError(
                "power: integers to negative powers are not integers; convert the base: "
                "x.astype(float)"
            )
        bits = int(np.max(known)).bit_length() if np.size(known) else 0
    one, zero = dtype.type(1), dtype.type(0)
    out, factor, n = one, x, y
    for bit in range(bits):
        odd = ne(and_(n, one), zero)
        out = select(odd, mul(out, factor), out)
        if bit + 1 < bits:
            factor, n = mul(factor, factor), shift_right_logical(n, one)
    shape = get_aval(out).shape
    target = get_aval(add(x, y)).shape if bits else get_aval(x).shape or get_aval(y).shape
    return out if bits and shape == target else full(target, 1, dtype)


def power(x1: Any, x2: Any, /, out: None = None, *, where: bool = True, dtype: Any = None) -> Any:
    """As :func:`numpy.power`.

    A small whole number that is known when tracing becomes multiplications, whose last bit may
    differ from NumPy's.  An integer to a negative power raises where the power is known; where
    it is traced the result is not specified.
    """
    refuse("power", out, where)
    x, y = operand(x1), operand(x2)
    if dtype is not None:
        x, y = cast(x, np.dtype(dtype)), cast(y, np.dtype(dtype))
    kind = type(y)
    if (kind is int or kind is float) and isinstance(x, (Array, Tracer)):
        xs = promote_operands([x, y], bool_as=INT8)
        if is_inexact(get_aval(xs[0]).dtype) or kind is int:
            known = _by_known_power(xs[0], y)
            if known is not None:
                return known
    else:
        xs = promote_operands([x, y], bool_as=INT8)
    x, y = broadcast("power", xs)
    return pow_(x, y) if is_inexact(get_aval(x).dtype) else _integer_power(x, y)


pow = power


def float_power(x1: Any, x2: Any, /, out: None = None, *, where: bool = True) -> Any:
    """As :func:`numpy.float_power`: in float64, or complex128."""
    refuse("float_power", out, where)
    x, y = promote_operands([operand(x1), operand(x2)])
    dtype = DTYPES["c128" if is_complex(get_aval(x).dtype) else "f64"]
    return power(cast(x, dtype), cast(y, dtype))
