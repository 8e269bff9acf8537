"""Elementwise functions of two and more operands.

Dtypes must be equal; a weak operand (a Python scalar) takes the dtype of the others.  Shapes must
be equal, except that scalars stretch.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.errors import DTypeError, StructureError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_bool, is_integer, kind_rank, promote
from tracejit.ops import arithmetic, complex_numbers, logical, transcendental
from tracejit.ops.constant import scalar_like
from tracejit.ops.convert import convert_element_type

__all__ = [
    "RoundingMethod",
    "add",
    "atan2",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "clamp",
    "complex",
    "div",
    "eq",
    "ge",
    "gt",
    "le",
    "lt",
    "matched",
    "max",
    "min",
    "mul",
    "ne",
    "nextafter",
    "pow",
    "reciprocal",
    "rem",
    "round",
    "select",
    "select_n",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sub",
]


def matched(name: str, *operands: Any) -> list[Any]:
    """Return operands of one dtype: the weak ones converted to that of the others.

    Raises
    ------
    DTypeError
        If that would lose what the weak operand is: a float among integers.
    """
    avals = [get_aval(x) for x in operands]
    if not any(a.weak for a in avals):
        return list(operands)
    dtype, weak = promote([(a.dtype, a.weak) for a in avals])
    strong = next((a for a in avals if not a.weak), None)
    if strong is not None and kind_rank(dtype) > kind_rank(strong.dtype):
        raise DTypeError(
            f"{name}: the operands must have one dtype; got {', '.join(map(str, avals))}. "
            f"Convert one: lax.convert_element_type(x, {str(dtype)!r})"
        )
    return [
        convert_element_type(x, dtype, weak) if a.weak else x
        for x, a in zip(operands, avals, strict=True)
    ]


def _binary(name: str, fun: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(x: Any, y: Any) -> Any:
        return fun(*matched(name, x, y))

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = fun.__doc__
    return apply


add = _binary("add", arithmetic.add)
sub = _binary("sub", arithmetic.sub)
mul = _binary("mul", arithmetic.mul)
rem = _binary("rem", arithmetic.rem)
nextafter = _binary("nextafter", arithmetic.nextafter)
atan2 = _binary("atan2", transcendental.atan2)
complex = _binary("complex", complex_numbers.complex_)
max = _binary("max", logical.max_)
min = _binary("min", logical.min_)
eq = _binary("eq", logical.eq)
ne = _binary("ne", logical.ne)
lt = _binary("lt", logical.lt)
le = _binary("le", logical.le)
gt = _binary("gt", logical.gt)
ge = _binary("ge", logical.ge)
bitwise_and = _binary("bitwise_and", logical.and_)
bitwise_or = _binary("bitwise_or", logical.or_)
bitwise_xor = _binary("bitwise_xor", logical.xor)
shift_left = _binary("shift_left", logical.shift_left)
shift_right_arithmetic = _binary("shift_right_arithmetic", logical.shift_right_arithmetic)
shift_right_logical = _binary("shift_right_logical", logical.shift_right_logical)


def div(x: Any, y: Any) -> Any:
    """Divide elementwise; integers are divided with truncation towards 0.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one dtype
        The operands.
    """
    x, y = matched("div", x, y)
    return arithmetic.quot(x, y) if is_integer(get_aval(x).dtype) else arithmetic.div(x, y)


def pow(x: Any, y: Any) -> Any:
    """Raise to a power elementwise.

    Parameters
    ----------
    x : Array, inexact dtype, or integer for an `y` that is a Python int
        The base.
    y : Array, the dtype of `x` or an integer one
        The exponent; with a Python int the power is computed by multiplications.
    """
    if type(y) is int and (get_aval(x).shape or not get_aval(x).weak):
        return arithmetic.integer_pow(x, y)
    if is_integer(get_aval(y).dtype) and not is_integer(get_aval(x).dtype):
        y = convert_element_type(y, get_aval(x).dtype)
    return transcendental.pow_(*matched("pow", x, y))


def reciprocal(x: Any) -> Any:
    """Return ``1 / x``.

    Parameters
    ----------
    x : Array, inexact dtype
        The operand.
    """
    return arithmetic.div(scalar_like(x, 1), x)


class RoundingMethod(enum.IntEnum):
    """Where :func:`round` brings halves."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


def round(x: Any, rounding_method: RoundingMethod = RoundingMethod.AWAY_FROM_ZERO) -> Any:
    """Round to integers.

    Parameters
    ----------
    x : Array, floating dtype
        The operand.
    rounding_method : RoundingMethod
        Whether halves go away from 0 (as in JAX, the default) or to the even neighbour.
    """
    if rounding_method == RoundingMethod.TO_NEAREST_EVEN:
        return arithmetic.round_(x)
    whole = arithmetic.trunc(x)
    half = logical.ge(complex_numbers.abs_(arithmetic.sub(x, whole)), scalar_like(x, 0.5))
    away = arithmetic.add(whole, arithmetic.copysign(scalar_like(x, 1), x))
    return logical.select(half, away, whole)


def clamp(min: Any, x: Any, max: Any) -> Any:
    """Bring elements into an interval.

    Parameters
    ----------
    min, x, max : Array, one dtype; `min` and `max` of the shape of `x` or scalars
        The bounds and the operand.
    """
    return logical.clamp(*matched("clamp", min, x, max))


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """Choose elements: `on_true` where `pred` holds, else `on_false`.

    Parameters
    ----------
    pred : Array, bool
        What chooses.
    on_true, on_false : Array, one dtype
        What is chosen from; the shapes of all three are one, or rank 0.
    """
    return logical.select(pred, *matched("select", on_true, on_false))


def select_n(which: Any, *cases: Any) -> Any:
    """Choose elements from several arrays: element ``i`` is ``cases[which[i]][i]``.

    Parameters
    ----------
    which : Array, bool or integer
        What chooses; bool for two cases (the first where it is False).
    *cases : Array, one dtype
        What is chosen from; the shapes of all are one, or rank 0.

    Raises
    ------
    StructureError
        If there is no case, or not two with a bool `which`.
    """
    dtype = get_aval(which).dtype
    if not cases or (is_bool(dtype) and len(cases) > 2):
        raise StructureError(
            f"select_n: at least one case, and at most two for a bool; got {len(cases)}"
        )
    chosen, *others = matched("select_n", *cases)
    if is_bool(dtype):
        return logical.select(which, others[0], chosen) if others else chosen
    return _select_in_turn(which, chosen, others)


def _select_in_turn(which: Any, chosen: Any, others: Sequence[Any]) -> Any:
    for n, case in enumerate(others, 1):
        chosen = logical.select(logical.ge(which, scalar_like(which, n)), case, chosen)
    return chosen
