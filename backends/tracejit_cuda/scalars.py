"""Pointwise operations of the scalar vocabulary as CUDA C++ expressions.

Arithmetic is IEEE without fusing or reordering, so it has NumPy's bits.  Integers wrap; division by
0 gives 0 and the least integer divided by -1 is itself; shifts by the width or more give 0 (or the
sign).  Floats become integers as the LLVM backend does it, which is as NumPy on x86-64: truncated,
what does not fit (and nan) is the least integer of 32 or 64 bits, then the low bits.  Extremes are
nan if an operand is.

Values of float16 and bfloat16 stay ``tj_half`` and ``tj_bfloat16`` from their load to a conversion,
and from a conversion to their store: what is only moved keeps its bits.  Their literals, selections
and bit casts are expressions like all others.

Functions that start with ``tj_`` are of :mod:`tracejit_cuda.prelude`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from tracejit.ir.dtypes import DTYPES, is_bool, is_float, is_signed, short_name
from tracejit.ir.scalar import COSTS

__all__ = [
    "NATIVE_OPS",
    "bitcast",
    "combine",
    "convert",
    "literal",
    "load",
    "neutral",
    "pointwise",
    "storage_name",
    "store",
    "type_name",
]

Dtype = np.dtype[Any]

NATIVE_OPS: frozenset[str] = frozenset(COSTS)
"""Scalar operations that are emitted: all."""

BF16, F16, F32, F64 = (DTYPES[s] for s in ("bf16", "f16", "f32", "f64"))

_NAMES = {
    "bool": "bool", "i8": "signed char", "i16": "short", "i32": "int", "i64": "long long",
    "u8": "unsigned char", "u16": "unsigned short", "u32": "unsigned int",
    "u64": "unsigned long long", "f16": "tj_half", "bf16": "tj_bfloat16", "f32": "float",
    "f64": "double",
}  # fmt: skip
_SUFFIXES = {"i32": "", "i64": "LL", "u32": "U", "u64": "ULL"}

_INFIX = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_FLOAT_INFIX = {**_INFIX, "add": "+", "sub": "-", "mul": "*", "div": "/"}
_BOOL_INFIX = {
    **_INFIX, "add": "|", "mul": "&", "sub": "^", "and": "&", "or": "|", "xor": "^", "max": "|",
    "min": "&",
}  # fmt: skip
_INTEGER_INFIX = {**_INFIX, "and": "&", "or": "|", "xor": "^"}

_LIBRARY = {
    **{
        op: op
        for op in (
            "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil",
            "copysign", "cos", "cosh", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "floor",
            "fma", "hypot", "lgamma", "log", "log10", "log1p", "log2", "nextafter", "pow",
            "rsqrt", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
        )
    },
    "abs": "fabs", "rem": "fmod", "round": "rint",
}  # fmt: skip
"""Functions that CUDA has, by their names for doubles; those for floats end in ``f``."""

_FLOAT_PRELUDE = frozenset(
    ("digamma", "erfinvgiles", "isfinite", "isinf", "isnan", "max", "min", "quot", "sign")
)
_INTEGER_PRELUDE = frozenset(
    ("abs", "add", "clz", "isfinite", "isinf", "isnan", "max", "min", "mul", "neg", "not",
     "popcount", "quot", "rem", "shl", "shr_arithmetic", "shr_logical", "sign", "sub")
)  # fmt: skip


def type_name(dtype: Dtype) -> str:
    """Return the C++ type of a value in a kernel, such as ``"long long"``."""
    return _NAMES[short_name(dtype)]


def storage_name(dtype: Dtype) -> str:
    """Return the C++ type of an element in memory; it is that of a value."""
    return type_name(dtype)


def literal(value: Any, dtype: Dtype) -> str:
    """Return a constant of a dtype, to the bit.

    Parameters
    ----------
    value : bool, int or float
        Rounded to `dtype`.
    dtype : dtype
        Of the constant.
    """
    if is_bool(dtype):
        return "true" if value else "false"
    if is_float(dtype):
        return _float_literal(value, dtype)
    kind, value = short_name(dtype), int(value)
    if value == -(2**63):
        return "(-0x7fffffffffffffffLL - 1)"
    if kind not in _SUFFIXES:
        return f"({_NAMES[kind]}){value}"
    if value == -(2**31) and kind == "i32":
        return "(-0x7fffffff - 1)"
    text = f"{value}{_SUFFIXES[kind]}"
    return f"({text})" if value < 0 else text


def _float_literal(value: Any, dtype: Dtype) -> str:
    with np.errstate(over="ignore"):
        x = np.asarray(value).astype(dtype)
    if dtype in (F16, BF16):
        return f"{type_name(dtype)}{{0x{int(x.view(np.uint16)):04x}}}"
    number, kind = float(x), type_name(dtype)
    if math.isnan(number):
        return f"tj_nan<{kind}>()"
    if math.isinf(number):
        return f"tj_{'greatest' if number > 0 else 'least'}<{kind}>()"
    short = repr(number)
    if Decimal(short) == Decimal(number):
        text = short
    else:
        digits, exponent = number.hex().split("p")
        text = f"{digits.rstrip('0')}p{exponent}"
    text += "f" if dtype == F32 else ""
    return f"({text})" if text.startswith("-") else text


def pointwise(op: str, args: Sequence[str], operand: Dtype, result: Dtype) -> str:
    """Return a pointwise operation.

    Parameters
    ----------
    op : str
        In the vocabulary; for ``select`` the operands are condition, then, otherwise.
    args : sequence of str
        The operands: names, literals, or expressions in parentheses.
    operand : dtype
        Of the operands (of the last ones for ``select``).
    result : dtype
        Of the result: bool for comparisons, else that of the operands.

    Raises
    ------
    KeyError
        If the operation has no meaning for the dtype.
    """
    del result
    if op == "select":
        return f"({args[0]} ? {args[1]} : {args[2]})"
    if is_bool(operand):
        return _bool(op, args)
    if is_float(operand):
        return _float(op, args, operand)
    if op in _INTEGER_INFIX:
        return _infix(_INTEGER_INFIX[op], args, type_name(operand) if op not in _INFIX else "")
    if op in _INTEGER_PRELUDE:
        return _call(f"tj_{op}<{type_name(operand)}>", args)
    raise KeyError(f"{op} of {operand}")


def _bool(op: str, args: Sequence[str]) -> str:
    if op == "not":
        return f"(!{args[0]})"
    if op in ("abs", "sign"):
        return args[0]
    return _infix(_BOOL_INFIX[op], args, "bool" if op not in _INFIX else "")


def _float(op: str, args: Sequence[str], operand: Dtype) -> str:
    if operand not in (F32, F64):
        raise KeyError(f"{op} of {operand}")
    if op in _FLOAT_INFIX:
        return _infix(_FLOAT_INFIX[op], args)
    if op == "neg":
        return f"(-{args[0]})"
    if op in _LIBRARY:
        return _call(_LIBRARY[op] + ("f" if operand == F32 else ""), args)
    if op in _FLOAT_PRELUDE:
        return _call(f"tj_{op}<{type_name(operand)}>", args)
    raise KeyError(f"{op} of {operand}")


def _infix(sign: str, args: Sequence[str], cast: str = "") -> str:
    text = f"({args[0]} {sign} {args[1]})"
    return f"({cast}){text}" if cast else text


def _call(function: str, args: Sequence[str]) -> str:
    return f"{function}({', '.join(args)})"


def convert(text: str, source: Dtype, target: Dtype) -> str:
    """Return a value converted to another dtype."""
    if source == target:
        return text
    if source in (F16, BF16):
        text, source = f"tj_widen({text})", F32
        if target == F32:
            return text
    if target == F16:
        if source not in (F32, F64):
            text = convert(text, source, F32)
        return f"tj_to_half({text})"
    if target == BF16:  # in two steps, as ml_dtypes does
        return f"tj_to_bfloat16({convert(text, source, F32)})"
    kind = type_name(target)
    if is_bool(target):
        return f"({text} != 0)"
    if is_float(source) and not is_float(target):
        return f"tj_truncate<{kind}>({text})"
    return f"({kind}){text}"


def bitcast(text: str, source: Dtype, target: Dtype) -> str:
    """Return the bits of a value as those of another dtype of the same width."""
    return text if source == target else f"tj_bitcast<{type_name(target)}>({text})"


def _at(address: str) -> str:
    # Elements of an array are written as such, for whoever checks its bounds.
    return address[1:] if address.startswith("&") else f"*({address})"


def load(address: str, dtype: Dtype) -> str:
    """Return the element of a dtype at an address."""
    del dtype
    return _at(address)


def store(address: str, value: str, dtype: Dtype) -> str:
    """Return the assignment of a value to the element at an address."""
    del dtype
    return f"{_at(address)} = {value}"


def neutral(op: str, dtype: Dtype) -> str:
    """Return the neutral element of a reduction: add, mul, max, min, and, or."""
    if op in ("max", "min"):
        if is_bool(dtype):
            return literal(op == "min", dtype)
        if is_float(dtype):
            return literal(float("-inf" if op == "max" else "inf"), dtype)
        limits = np.iinfo(dtype)
        return literal(limits.min if op == "max" else limits.max, dtype)
    if op == "and":
        if is_bool(dtype):
            return literal(True, dtype)
        return literal(-1 if is_signed(dtype) else np.iinfo(dtype).max, dtype)
    return literal(1 if op == "mul" else 0, dtype)


def combine(op: str, a: str, b: str, dtype: Dtype) -> str:
    """Return one step of a reduction: add, mul, max, min, and, or; extremes keep nan."""
    return pointwise(op, (a, b), dtype, dtype)
