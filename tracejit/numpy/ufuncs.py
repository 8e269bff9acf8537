"""Elementwise functions that are one primitive: arithmetic, exponentials, angles, bits.

Each promotes its operands, broadcasts them and binds the primitive.  What needs several is in
:mod:`tracejit.numpy.division`, :mod:`tracejit.numpy.logic` and :mod:`tracejit.numpy.numeric`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.array import Array
from tracejit.core.errors import DTypeError
from tracejit.core.settings import default_float
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES, is_bool, is_complex, is_float, is_inexact, is_integer
from tracejit.numpy.promotion import (
    UnsupportedArgument,
    array_of,
    as_inexact,
    broadcast,
    cast,
    no_out,
    operand,
    promote_operands,
)
from tracejit.ops import arithmetic, complex_numbers, hyperbolic, logical, transcendental
from tracejit.ops.logical import and_, eq, ne, not_, or_, select, xor

__all__ = [
    "ARRAYS",
    "F64",
    "INT8",
    "Function",
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "binary",
    "binary_operands",
    "bitwise_and",
    "bitwise_count",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "conj",
    "conjugate",
    "copysign",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "fix",
    "floor",
    "fmax",
    "fmin",
    "heaviside",
    "hypot",
    "invert",
    "ldexp",
    "left_shift",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "positive",
    "rad2deg",
    "radians",
    "reciprocal",
    "refuse",
    "right_shift",
    "rint",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "unary",
]  # fmt: skip

Function = Callable[..., Any]
ARRAYS = (Array, Tracer)
INT8 = DTYPES["i8"]
F64 = DTYPES["f64"]


def _finish(function: Function, name: str, note: str = "") -> Function:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As :func:`numpy.{name}`.{' ' + note if note else ''}"
    return function


def refuse(name: str, out: Any, where: Any) -> None:
    """Refuse the arguments ``out`` and ``where`` of ufuncs."""
    no_out(name, out)
    if where is not True:
        raise UnsupportedArgument(
            f"{name}: where= leaves elements unset; write where(condition, {name}(...), otherwise)"
        )


def unary(
    name: str,
    op: Function,
    inexact: bool = False,
    accepts: Callable[[np.dtype[Any]], bool] | None = None,
    bool_as: np.dtype[Any] | None = None,
    note: str = "",
) -> Function:
    """Return the function `name` of one operand.

    Parameters
    ----------
    name : str
        Its name in NumPy.
    op : callable
        The primitive's function.
    inexact : bool
        Whether integers and bool are computed as floats.
    accepts : callable, optional
        Which dtypes it has a meaning for.
    bool_as : dtype, optional
        What bool is computed as.
    note : str
        More for the docstring.
    """

    def function(x: Any, /, out: None = None, *, where: bool = True, dtype: Any = None) -> Any:
        if out is not None or where is not True:
            refuse(name, out, where)
        if not isinstance(x, ARRAYS):
            x = operand(x)
        if dtype is not None:
            x = cast(x, np.dtype(dtype))
        own = get_aval(x).dtype
        if accepts is not None and not accepts(own):
            raise DTypeError(f"{name}: has no meaning for dtype {own}")
        if inexact:
            x = as_inexact(x)
        elif bool_as is not None and is_bool(own):
            x = cast(x, bool_as)
        return op(x)

    return _finish(function, name, note)


def binary(
    name: str,
    op: Function,
    inexact: bool = False,
    accepts: Callable[[np.dtype[Any]], bool] | None = None,
    bool_as: np.dtype[Any] | None = None,
    note: str = "",
) -> Function:
    """Return the function `name` of two operands.  See :func:`unary`."""

    def function(
        x1: Any, x2: Any, /, out: None = None, *, where: bool = True, dtype: Any = None
    ) -> Any:
        if out is not None or where is not True:
            refuse(name, out, where)
        if dtype is None and isinstance(x1, ARRAYS) and x1.aval is getattr(x2, "aval", None):
            # Nothing to promote nor to stretch.
            own = x1.aval.dtype
            if (
                isinstance(x2, ARRAYS)
                and (not inexact or is_inexact(own))
                and (bool_as is None or not is_bool(own))
                and (accepts is None or accepts(own))
            ):
                return op(x1, x2)
        x, y = binary_operands(name, x1, x2, inexact, bool_as, dtype)
        if accepts is not None and not accepts(get_aval(x).dtype):
            raise DTypeError(
                f"{name}: has no meaning for dtypes {get_aval(x1).dtype} and {get_aval(x2).dtype}"
            )
        return op(x, y)

    return _finish(function, name, note)


def binary_operands(
    name: str,
    x: Any,
    y: Any,
    inexact: bool = False,
    bool_as: np.dtype[Any] | None = None,
    dtype: Any = None,
) -> list[Any]:
    """Return two operands of one dtype and shape."""
    xs = [operand(x), operand(y)]
    if dtype is not None:
        xs = [cast(x, np.dtype(dtype)) for x in xs]
    return broadcast(name, promote_operands(xs, inexact, bool_as))


def _not_bool(dtype: np.dtype[Any]) -> bool:
    return not is_bool(dtype)


def _logical(dtype: np.dtype[Any]) -> bool:
    return is_bool(dtype) or is_integer(dtype)


def _not_complex(dtype: np.dtype[Any]) -> bool:
    return not is_complex(dtype)


# ---------------------------------------------------------------------------- arithmetic

add = binary("add", arithmetic.add)
subtract = binary("subtract", arithmetic.sub, accepts=_not_bool, note="Refuses bool, as NumPy.")
multiply = binary("multiply", arithmetic.mul)


def _true_divide(
    x1: Any, x2: Any, /, out: None = None, *, where: bool = True, dtype: Any = None
) -> Any:
    if out is not None or where is not True:
        refuse("true_divide", out, where)
    x1, x2 = operand(x1), operand(x2)
    if type(x1) is int and is_integer(get_aval(x2).dtype):
        x1 = float(x1)  # it need not fit into the integers of the other
    elif type(x2) is int and is_integer(get_aval(x1).dtype):
        x2 = float(x2)
    xs = promote_operands([x1, x2])
    if dtype is not None:
        xs = [cast(x, np.dtype(dtype)) for x in xs]
    elif not is_inexact(get_aval(xs[0]).dtype):
        # Not the smaller floats of `sin`: quotients of integers do not depend on their width.
        weak = all(get_aval(x).weak for x in xs)
        dtype = default_float()
        xs = [float(x) if weak and isinstance(x, (bool, int)) else cast(x, dtype) for x in xs]
    return arithmetic.div(*broadcast("true_divide", xs))


true_divide = divide = _finish(_true_divide, "true_divide")
negative = unary("negative", arithmetic.neg, accepts=_not_bool, note="Refuses bool, as NumPy.")


def _abs(x: Any) -> Any:
    return array_of(x) if is_bool(get_aval(x).dtype) else complex_numbers.abs_(x)


absolute = unary("absolute", _abs)
abs = absolute
fabs = unary("fabs", complex_numbers.abs_, inexact=True, accepts=_not_complex)
sign = unary("sign", complex_numbers.sign, accepts=_not_bool)
square = unary("square", arithmetic.square, bool_as=INT8)
positive = unary("positive", array_of, accepts=_not_bool)
sqrt = unary("sqrt", arithmetic.sqrt, inexact=True)
cbrt = unary("cbrt", arithmetic.cbrt, inexact=True, accepts=_not_complex)
conjugate = conj = unary("conjugate", lambda x: array_of(complex_numbers.conj(x)), bool_as=INT8)
copysign = binary("copysign", arithmetic.copysign, inexact=True, accepts=_not_complex)
nextafter = binary("nextafter", arithmetic.nextafter, inexact=True, accepts=_not_complex)


def _rounding(op: Function) -> Function:
    return lambda x: op(x) if is_inexact(get_aval(x).dtype) else array_of(x)


floor = unary("floor", _rounding(arithmetic.floor), accepts=_not_complex)
ceil = unary("ceil", _rounding(arithmetic.ceil), accepts=_not_complex)
trunc = unary("trunc", _rounding(arithmetic.trunc), accepts=_not_complex)


def _rint(x: Any) -> Any:
    if is_complex(get_aval(x).dtype):
        parts = (
            arithmetic.round_(part(x)) for part in (complex_numbers.real, complex_numbers.imag)
        )
        return complex_numbers.complex_(*parts)
    return arithmetic.round_(x)


rint = unary("rint", _rint, inexact=True)
fix = trunc

# ---------------------------------------------------------- exponentials and angles

exp = unary("exp", transcendental.exp, inexact=True)
exp2 = unary("exp2", transcendental.exp2, inexact=True)
expm1 = unary("expm1", transcendental.expm1, inexact=True)
log = unary("log", transcendental.log, inexact=True)
log2 = unary("log2", transcendental.log2, inexact=True)
log10 = unary("log10", transcendental.log10, inexact=True)
log1p = unary("log1p", transcendental.log1p, inexact=True)
sin = unary("sin", transcendental.sin, inexact=True)
cos = unary("cos", transcendental.cos, inexact=True)
tan = unary("tan", transcendental.tan, inexact=True)
arcsin = asin = unary("arcsin", transcendental.asin, inexact=True)
arccos = acos = unary("arccos", transcendental.acos, inexact=True)
arctan = atan = unary("arctan", transcendental.atan, inexact=True)
sinh = unary("sinh", hyperbolic.sinh, inexact=True)
cosh = unary("cosh", hyperbolic.cosh, inexact=True)
tanh = unary("tanh", hyperbolic.tanh, inexact=True)
arcsinh = asinh = unary("arcsinh", hyperbolic.asinh, inexact=True)
arccosh = acosh = unary("arccosh", hyperbolic.acosh, inexact=True)
arctanh = atanh = unary("arctanh", hyperbolic.atanh, inexact=True)
arctan2 = atan2 = binary("arctan2", transcendental.atan2, inexact=True, accepts=_not_complex)
hypot = binary("hypot", transcendental.hypot, inexact=True, accepts=_not_complex)


def _degrees(x: Any) -> Any:
    return arithmetic.mul(x, get_aval(x).dtype.type(180 / np.pi))


def _radians(x: Any) -> Any:
    return arithmetic.mul(x, get_aval(x).dtype.type(np.pi / 180))


degrees = unary("degrees", _degrees, inexact=True, accepts=_not_complex)
radians = unary("radians", _radians, inexact=True, accepts=_not_complex)
rad2deg, deg2rad = degrees, radians

# ---------------------------------------------------------------------- extremes, bits

maximum = binary("maximum", logical.max_)
minimum = binary("minimum", logical.min_)


def _ignoring_nan(op: Function) -> Function:
    def function(x: Any, y: Any) -> Any:
        if not is_inexact(get_aval(x).dtype):
            return op(x, y)
        return select(ne(x, x), y, select(ne(y, y), x, op(x, y)))

    return function


fmax = binary("fmax", _ignoring_nan(logical.max_))
fmin = binary("fmin", _ignoring_nan(logical.min_))
bitwise_and = binary("bitwise_and", and_, accepts=_logical)
bitwise_or = binary("bitwise_or", or_, accepts=_logical)
bitwise_xor = binary("bitwise_xor", xor, accepts=_logical)
invert = bitwise_not = bitwise_invert = unary("invert", not_, accepts=_logical)


def _shift_right(x: Any, y: Any) -> Any:
    if get_aval(x).dtype.kind == "u":
        return logical.shift_right_logical(x, y)
    return logical.shift_right_arithmetic(x, y)


left_shift = binary("left_shift", logical.shift_left, accepts=_logical, bool_as=INT8)
right_shift = binary("right_shift", _shift_right, accepts=_logical, bool_as=INT8)
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


def _bit_count(x: Any) -> Any:
    if get_aval(x).dtype.kind == "i":
        x = complex_numbers.abs_(x)
    return cast(logical.population_count(x), DTYPES["u8"])


bitwise_count = unary("bitwise_count", _bit_count, accepts=_logical, bool_as=DTYPES["u8"])

# ------------------------------------------------------------------- logarithms of sums


def _log_add(exp_: Function, log_: Function) -> Function:
    def function(x: Any, y: Any) -> Any:
        # Chosen by comparison: max_ and abs_ would lose the second derivative where x = y.
        below = logical.lt(x, y)
        high, low = select(below, y, x), select(below, x, y)
        # inf - inf: the sum is then the greater of them.
        zero = get_aval(x).dtype.type(0)
        distance = select(logical.is_inf(high), zero, arithmetic.sub(low, high))
        return arithmetic.add(high, log_(exp_(distance)))

    return function


def _log1p_base2(x: Any) -> Any:
    return arithmetic.mul(transcendental.log1p(x), get_aval(x).dtype.type(1 / np.log(2)))


logaddexp = binary(
    "logaddexp", _log_add(transcendental.exp, transcendental.log1p), True, _not_complex
)
logaddexp2 = binary("logaddexp2", _log_add(transcendental.exp2, _log1p_base2), True, _not_complex)


def _heaviside(x: Any, y: Any) -> Any:
    of = get_aval(x).dtype.type
    above = select(logical.gt(x, of(0)), of(1), of(0))
    out = select(eq(x, of(0)), y, above)
    return select(ne(x, x), x, out)


heaviside = binary("heaviside", _heaviside, inexact=True, accepts=_not_complex)


def _reciprocal(x: Any) -> Any:
    dtype = get_aval(x).dtype
    if is_inexact(dtype):
        return arithmetic.div(dtype.type(1), x)
    return arithmetic.quot(dtype.type(1), x)


reciprocal = unary("reciprocal", _reciprocal, bool_as=INT8)


def ldexp(x1: Any, x2: Any, /, out: None = None, *, where: bool = True) -> Any:
    """As :func:`numpy.ldexp`."""
    refuse("ldexp", out, where)
    x, n = as_inexact(operand(x1)), operand(x2)
    own = get_aval(x).dtype
    if not _logical(get_aval(n).dtype) or not is_float(own):
        raise DTypeError(f"ldexp: a float and an integer; got {own} and {get_aval(n).dtype}")
    whole = get_aval(n).dtype
    if whole is DTYPES["u64"]:
        raise DTypeError("ldexp: the exponents must fit into int64; got uint64")
    if whole.itemsize >= 4:  # so that they fit into int32
        n = logical.min_(n, whole.type(10_000))
        n = n if whole.kind == "u" else logical.max_(n, whole.type(-10_000))
    x, n = broadcast("ldexp", [x, cast(n, DTYPES["i32"])])
    limits = np.finfo(np.float32 if own.kind == "V" else own)  # bfloat16 has float32's range
    least, most = np.int32(limits.minexp), np.int32(limits.maxexp - 1)
    # Powers of two of which each is a normal number.  The largest comes last, so that what is
    # rounded, because it is subnormal, is rounded once.
    factors = []
    for _ in range(3):
        part = logical.min_(logical.max_(n, least), most)
        factors.append(transcendental.exp2(cast(part, own)))
        n = arithmetic.sub(n, part)
    for factor in reversed(factors):
        x = arithmetic.mul(x, factor)
    return x
