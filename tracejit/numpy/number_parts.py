"""Numbers taken apart: fractions and exponents, divisors, bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.control.while_loop import while_loop
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_bool, is_float, is_integer
from tracejit.numpy.logic import isfinite, isinf
from tracejit.numpy.manipulation import moveaxis
from tracejit.numpy.promotion import (
    array_of,
    as_inexact,
    beside,
    broadcast,
    cast,
    host_value,
    normal_axis,
    operand,
    promote_operands,
)
from tracejit.numpy.reductions import any as any_of
from tracejit.numpy.reductions import sum as sum_of
from tracejit.numpy.ufuncs import (
    absolute,
    bitwise_and,
    copysign,
    ldexp,
    left_shift,
    nextafter,
    refuse,
    right_shift,
    subtract,
    trunc,
)
from tracejit.ops import slicing
from tracejit.ops.arithmetic import mul, quot, rem, sub
from tracejit.ops.convert import bitcast_convert_type
from tracejit.ops.logical import eq, lt, ne, or_, select
from tracejit.ops.shape import broadcast_in_dim, reshape

__all__ = [
    "I32", "U8", "frexp", "gcd", "lcm", "modf", "packbits", "spacing", "unpackbits",
]  # fmt: skip

I32 = DTYPES["i32"]
U8 = DTYPES["u8"]

# dtype of a float: the integer of its width, bits of the fraction, bias of the exponent
_LAYOUT = {
    DTYPES["f64"]: (DTYPES["i64"], 52, 1023),
    DTYPES["f32"]: (DTYPES["i32"], 23, 127),
}


def _float(name: str, x: Any, out: Any) -> Any:
    refuse(name, out, True)
    x = as_inexact(operand(x))
    if not is_float(get_aval(x).dtype):
        raise DTypeError(f"{name}: has no meaning for dtype {get_aval(x).dtype}")
    return array_of(x)


def modf(x: Any, /, out: None = None) -> tuple[Any, Any]:
    """As :func:`numpy.modf`."""
    x = _float("modf", x, out)
    whole = trunc(x)
    zero = get_aval(x).dtype.type(0)
    part = select(isinf(x), zero, sub(x, whole))
    return copysign(part, x), whole


def frexp(x: Any, /, out: None = None) -> tuple[Any, Any]:
    """As :func:`numpy.frexp`; the derivative is that of the mantissa, its exponent held."""
    x = _float("frexp", x, out)
    own = get_aval(x).dtype
    wide = own if own in _LAYOUT else DTYPES["f32"]
    bits, width, bias = _LAYOUT[wide]
    # Subnormal numbers are made normal first: 2**(width + 2) is enough.
    scale = width + 2
    value = cast(x, wide)
    tiny = lt(absolute(value), wide.type(np.finfo(wide).tiny))
    normal = select(tiny, mul(value, wide.type(2.0**scale)), value)
    pattern = bitcast_convert_type(normal, bits)
    field = bitwise_and(right_shift(pattern, bits.type(width)), bits.type(2 * bias + 1))
    exponent = subtract(cast(field, I32), np.int32(bias - 1))
    exponent = select(tiny, subtract(exponent, np.int32(scale)), exponent)
    kept = or_(eq(x, own.type(0)), eq(isfinite(x), np.bool_(False)))
    exponent = select(kept, np.int32(0), exponent)
    return select(kept, x, ldexp(x, subtract(np.int32(0), exponent))), exponent


def spacing(x: Any, /, out: None = None) -> Any:
    """As :func:`numpy.spacing`: the distance to the next number away from 0."""
    x = _float("spacing", x, out)
    own = get_aval(x).dtype
    step = sub(nextafter(x, copysign(own.type(np.inf), x)), x)
    return select(isfinite(x), step, own.type(np.nan))


# -------------------------------------------------------------------------------- divisors


def _integers(name: str, x1: Any, x2: Any, out: Any) -> list[Any]:
    refuse(name, out, True)
    xs = promote_operands([operand(x1), operand(x2)])
    dtype = get_aval(xs[0]).dtype
    if not is_integer(dtype):
        raise DTypeError(f"{name}: integers are needed; got {dtype}")
    return [array_of(x) for x in xs]


def _stretched(name: str, xs: list[Any]) -> list[Any]:
    one, other = broadcast(name, xs)
    shape = get_aval(one).shape or get_aval(other).shape
    return [
        x if get_aval(x).shape == shape else broadcast_in_dim(x, shape, ()) for x in (one, other)
    ]


def gcd(x1: Any, x2: Any, /, out: None = None) -> Any:
    """As :func:`numpy.gcd`, by Euclid's algorithm."""
    xs = _integers("gcd", x1, x2, out)
    values = [host_value(x) for x in xs]
    if values[0] is not None and values[1] is not None:
        return beside(xs[0], np.gcd(*values))
    x, y = (absolute(v) for v in _stretched("gcd", xs))
    zero = get_aval(x).dtype.type(0)

    def step(pair: tuple[Any, Any]) -> tuple[Any, Any]:
        a, b = pair
        done = eq(b, zero)
        rest = rem(a, select(done, get_aval(b).dtype.type(1), b))
        return select(done, a, b), select(done, b, rest)

    return while_loop(lambda pair: any_of(ne(pair[1], zero)), step, (x, y))[0]


def lcm(x1: Any, x2: Any, /, out: None = None) -> Any:
    """As :func:`numpy.lcm`."""
    xs = _integers("lcm", x1, x2, out)
    x, y = (absolute(v) for v in _stretched("lcm", xs))
    divisor = gcd(x, y)
    dtype = get_aval(x).dtype
    none = eq(divisor, dtype.type(0))
    found = mul(quot(x, select(none, dtype.type(1), divisor)), y)
    return select(none, dtype.type(0), found)


# ------------------------------------------------------------------------------------ bits


def _shifts(name: str, bitorder: str) -> np.ndarray[Any, Any]:
    if bitorder not in ("big", "little"):
        raise ShapeError(f"{name}: bitorder must be 'big' or 'little'; got {bitorder!r}")
    counting = np.arange(8, dtype=np.uint8)
    return counting if bitorder == "little" else counting[::-1].copy()


def packbits(a: Any, /, axis: int | None = None, bitorder: str = "big") -> Any:
    """As :func:`numpy.packbits`."""
    shifts = _shifts("packbits", bitorder)
    x = array_of(a)
    if not (is_bool(get_aval(x).dtype) or is_integer(get_aval(x).dtype)):
        raise DTypeError(f"packbits: integers or bool are needed; got {get_aval(x).dtype}")
    if axis is None:
        x, axis = reshape(x, (get_aval(x).size,)), 0
    axis = normal_axis("packbits", axis, get_aval(x).ndim)
    bits = moveaxis(cast(ne(x, get_aval(x).dtype.type(0)), U8), axis, -1)
    shape = get_aval(bits).shape
    missing = -shape[-1] % 8
    config = [(0, 0, 0)] * (len(shape) - 1) + [(0, missing, 0)]
    bits = slicing.pad(bits, np.uint8(0), config)
    bits = reshape(bits, (*shape[:-1], (shape[-1] + missing) // 8, 8))
    return moveaxis(sum_of(left_shift(bits, shifts), -1, dtype=U8), -1, axis)


def unpackbits(
    a: Any, /, axis: int | None = None, count: int | None = None, bitorder: str = "big"
) -> Any:
    """As :func:`numpy.unpackbits`."""
    shifts = _shifts("unpackbits", bitorder)
    x = array_of(a)
    if get_aval(x).dtype is not U8:
        raise DTypeError(f"unpackbits: uint8 is needed; got {get_aval(x).dtype}")
    if axis is None:
        x, axis = reshape(x, (get_aval(x).size,)), 0
    axis = normal_axis("unpackbits", axis, get_aval(x).ndim)
    x = moveaxis(x, axis, -1)
    shape = get_aval(x).shape
    spread = broadcast_in_dim(x, (*shape, 8), range(len(shape)))
    bits = bitwise_and(right_shift(spread, shifts), np.uint8(1))
    bits = reshape(bits, (*shape[:-1], 8 * shape[-1]))
    total = 8 * shape[-1]
    if count is not None:
        length = int(count) if count >= 0 else total + int(count)
        if length < 0:
            raise ShapeError(f"unpackbits: count must be at least {-total}; got {count}")
        config = [(0, 0, 0)] * (len(shape) - 1) + [(0, length - total, 0)]
        bits = slicing.pad(bits, np.uint8(0), config)
    return moveaxis(bits, -1, axis)
