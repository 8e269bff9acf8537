"""Comparisons, tests of elements, and logic."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.array import Array, from_numpy
from tracejit.core.errors import DTypeError
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES, is_bool, is_complex, is_inexact, is_integer
from tracejit.numpy.promotion import broadcast, cast, filled, operand, promote_operands
from tracejit.numpy.ufuncs import Function, _finish, refuse
from tracejit.ops import logical
from tracejit.ops.arithmetic import add, copysign, mul, sub
from tracejit.ops.complex_numbers import abs_, imag, real
from tracejit.ops.logical import and_, eq, le, lt, ne, not_, or_, select, xor
from tracejit.ops.reduction import reduce_and

__all__ = [
    "BOOL", "allclose", "array_equal", "array_equiv", "choose_where", "equal", "greater",
    "greater_equal", "isclose", "iscomplex", "iscomplexobj", "isfinite", "isinf", "isnan",
    "isneginf", "isposinf", "isreal", "isrealobj", "isscalar", "less", "less_equal",
    "logical_and", "logical_not", "logical_or", "logical_xor", "not_equal", "signbit", "truth",
]  # fmt: skip

BOOL = DTYPES["bool"]


def _compared_with_large_int(name: str, x: Any, value: int) -> bool:
    """Whether all integers of the dtype of `x` compare so with an int outside its range."""
    above = value > 0
    return {
        "equal": False,
        "not_equal": True,
        "less": above,
        "less_equal": above,
        "greater": not above,
        "greater_equal": not above,
    }[name]


_MIRROR = {
    "less": "greater",
    "less_equal": "greater_equal",
    "greater": "less",
    "greater_equal": "less_equal",
}


def _outside(x: Any, value: Any) -> bool:
    if type(value) is not int:
        return False
    aval = get_aval(x)
    if aval.weak or not is_integer(aval.dtype):
        return False
    limits = np.iinfo(aval.dtype)
    return not limits.min <= value <= limits.max


def _comparison(name: str, op: Function) -> Function:
    def function(x1: Any, x2: Any, /, out: None = None, *, where: bool = True) -> Any:
        if out is not None or where is not True:
            refuse(name, out, where)
        x, y = (v if type(v) is int else operand(v) for v in (x1, x2))
        if type(y) is int and _outside(x, y):
            return filled(x, _compared_with_large_int(name, x, y), BOOL)
        if type(x) is int and _outside(y, x):
            mirrored = _MIRROR.get(name, name)
            return filled(y, _compared_with_large_int(mirrored, y, x), BOOL)
        return op(*broadcast(name, promote_operands([x, y])))

    return _finish(function, name)


equal = _comparison("equal", eq)
not_equal = _comparison("not_equal", ne)
less = _comparison("less", lt)
less_equal = _comparison("less_equal", le)
greater = _comparison("greater", logical.gt)
greater_equal = _comparison("greater_equal", logical.ge)


# -------------------------------------------------------------------------------- logic


def truth(x: Any) -> Any:
    """Return an operand as bool: whether each element is not 0."""
    aval = get_aval(x)
    if is_bool(aval.dtype):
        return x
    if isinstance(x, (bool, int, float, complex)):
        return np.bool_(x)
    return ne(x, aval.dtype.type(0))


def _logical(name: str, op: Function) -> Function:
    def function(x1: Any, x2: Any, /, out: None = None, *, where: bool = True) -> Any:
        refuse(name, out, where)
        return op(*broadcast(name, [truth(operand(x1)), truth(operand(x2))]))

    return _finish(function, name)


logical_and = _logical("logical_and", and_)
logical_or = _logical("logical_or", or_)
logical_xor = _logical("logical_xor", xor)


def logical_not(x: Any, /, out: None = None, *, where: bool = True) -> Any:
    """As :func:`numpy.logical_not`."""
    refuse("logical_not", out, where)
    return not_(truth(operand(x)))


# ---------------------------------------------------------------------- tests of elements


def _of_parts(op: Function, combine: Function, exact: bool) -> Function:
    def test(x: Any) -> Any:
        dtype = get_aval(x).dtype
        if is_complex(dtype):
            return combine(op(real(x)), op(imag(x)))
        return op(x) if is_inexact(dtype) else filled(x, exact, BOOL)

    return test


def _test(name: str, test: Function) -> Function:
    def function(x: Any, /, out: None = None, *, where: bool = True) -> Any:
        refuse(name, out, where)
        return test(operand(x))

    return _finish(function, name)


isnan = _test("isnan", _of_parts(logical.is_nan, or_, False))
isinf = _test("isinf", _of_parts(logical.is_inf, or_, False))
isfinite = _test("isfinite", _of_parts(logical.is_finite, and_, True))


def _signbit(x: Any) -> Any:
    dtype = get_aval(x).dtype
    if is_complex(dtype):
        raise DTypeError("signbit: has no meaning for complex numbers")
    if is_inexact(dtype):
        return lt(copysign(dtype.type(1), x), dtype.type(0))
    return filled(x, False, BOOL) if is_bool(dtype) else lt(x, dtype.type(0))


signbit = _test("signbit", _signbit)


def isposinf(x: Any, /, out: None = None) -> Any:
    """As :func:`numpy.isposinf`."""
    refuse("isposinf", out, True)
    x = operand(x)
    return and_(isinf(x), not_(_signbit(x)))


def isneginf(x: Any, /, out: None = None) -> Any:
    """As :func:`numpy.isneginf`."""
    refuse("isneginf", out, True)
    x = operand(x)
    return and_(isinf(x), _signbit(x))


def isreal(x: Any) -> Any:
    """As :func:`numpy.isreal`."""
    x = operand(x)
    aval = get_aval(x)
    if is_complex(aval.dtype):
        part = imag(x)
        return eq(part, get_aval(part).dtype.type(0))
    return filled(x, True, BOOL)


def iscomplex(x: Any) -> Any:
    """As :func:`numpy.iscomplex`."""
    return not_(isreal(x))


def iscomplexobj(x: Any) -> bool:
    """As :func:`numpy.iscomplexobj`; of a type, whether its elements are complex."""
    kind = getattr(x, "dtype", None)
    if isinstance(kind, np.dtype):
        return kind.kind == "c"
    return is_complex(get_aval(operand(x)).dtype)


def isrealobj(x: Any) -> bool:
    """As :func:`numpy.isrealobj`."""
    return not iscomplexobj(x)


def isscalar(x: Any) -> bool:
    """As :func:`numpy.isscalar`, and True for arrays of rank 0, as in JAX."""
    return bool(np.isscalar(x)) or (isinstance(x, (Array, Tracer)) and x.ndim == 0)


# ------------------------------------------------------------------------------- equality


def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """As :func:`numpy.isclose`: ``abs(a - b) <= atol + rtol * abs(b)``."""
    x, y = broadcast("isclose", promote_operands([operand(a), operand(b)]))
    dtype = get_aval(x).dtype
    if is_bool(dtype) or is_integer(dtype):
        x, y = cast(x, DTYPES["f64"]), cast(y, DTYPES["f64"])
    size = abs_(y)
    of = get_aval(size).dtype
    bound = add(cast(operand(atol), of), mul(cast(operand(rtol), of), size))
    near = and_(le(abs_(sub(x, y)), bound), isfinite(y))
    out = or_(near, eq(x, y))
    return or_(out, and_(isnan(x), isnan(y))) if equal_nan else out


def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """As :func:`numpy.allclose`; an array of rank 0."""
    near = isclose(a, b, rtol, atol, equal_nan)
    return reduce_and(near, range(get_aval(near).ndim))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """As :func:`numpy.array_equal`; an array of rank 0."""
    x, y = operand(a1), operand(a2)
    if get_aval(x).shape != get_aval(y).shape:
        return from_numpy(np.bool_(False))
    x, y = promote_operands([x, y])
    same = eq(x, y)
    if equal_nan:
        same = or_(same, and_(isnan(x), isnan(y)))
    return reduce_and(same, range(get_aval(same).ndim))


def array_equiv(a1: Any, a2: Any) -> Any:
    """As :func:`numpy.array_equiv`; an array of rank 0."""
    same = equal(a1, a2)
    return reduce_and(same, range(get_aval(same).ndim))


def choose_where(condition: Any, x: Any, y: Any) -> Any:
    """Return ``select`` with operands promoted and broadcast, `condition` as bool."""
    x, y = promote_operands([operand(x), operand(y)])
    return select(*broadcast("where", [truth(operand(condition)), x, y]))
