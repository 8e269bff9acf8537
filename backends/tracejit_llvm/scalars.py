"""Pointwise operations of the scalar vocabulary as LLVM instructions.

Arithmetic is IEEE without fusing or reordering, so it has NumPy's bits.  Integer division by 0
gives 0 and the least integer divided by -1 is itself; shifts by the width or more give 0 (or the
sign). Floats become integers as NumPy on x86-64 does it: truncated, what does not fit (and nan)
is the least integer of 32 or 64 bits, then the low bits.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.ir.dtypes import DTYPES, is_bool, is_float, is_unsigned
from tracejit_llvm.math import FUNCTIONS
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.text import Code, element, spread, suffix, vector

__all__ = ["NATIVE_OPS", "chosen", "convert", "pointwise"]

Dtype = np.dtype[Any]
BF16, F16, F32, F64 = (DTYPES[s] for s in ("bf16", "f16", "f32", "f64"))

_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "rem": "frem"}
_INTEGER = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_BOOL = {
    "add": "or", "mul": "and", "sub": "xor", "and": "and", "or": "or", "xor": "xor", "max": "or",
    "min": "and",
}  # fmt: skip
_ORDERED = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_SIGNED = {"eq": "eq", "ne": "ne", "lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge"}
_UNSIGNED = {"eq": "eq", "ne": "ne", "lt": "ult", "le": "ule", "gt": "ugt", "ge": "uge"}
_INTRINSICS = {
    "sqrt": "sqrt", "abs": "fabs", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
    "round": "rint", "fma": "fma", "copysign": "copysign",
}  # fmt: skip


def pointwise(code: Code, op: str, dtype: Dtype, n: int, args: tuple[str, ...]) -> str:
    """Append an operation on operands of one dtype; return the name of the result.

    Parameters
    ----------
    code : Code
        Where to.
    op : str
        In the vocabulary; for ``select`` the operands are condition, then, otherwise.
    dtype : dtype
        Of the operands (of the last ones for ``select``).
    n : int
        Lanes; 0 for a scalar.
    args : tuple of str
        The operands.
    """
    instruction = _instruction(op, dtype, n)
    if instruction:
        return code.op(f"{instruction} {args[0]}, {args[1]}")
    scalar = element(dtype)
    full = vector(scalar, n)
    if op == "select":
        return code.op(f"select {vector('i1', n)} {args[0]}, {full} {args[1]}, {full} {args[2]}")
    if is_bool(dtype):
        return _bool(code, op, n, args)
    if is_float(dtype):
        return _float(code, op, scalar, n, args)
    return _integer(code, op, dtype, n, args)


def chosen(code: Code, dtype: Dtype, args: tuple[str, ...]) -> str:
    """Append a choice between two floats by a bool that no comparison made, and never a branch.

    It is made in the first lanes of vectors: of scalars it would be a branch, often mispredicted,
    and registers take long to allocate where there are many.
    """
    scalar = element(dtype)
    n = 2 if scalar == "double" else 4
    full, flags = vector(scalar, n), vector("i1", n)
    c, x, y = (
        code.op(f"insertelement {kind} poison, {one} {name}, i64 0")
        for kind, one, name in zip((flags, full, full), ("i1", scalar, scalar), args, strict=True)
    )
    name = code.op(f"select {flags} {c}, {full} {x}, {full} {y}")
    return code.op(f"extractelement {full} {name}, i64 0")


@functools.cache
def _instruction(op: str, dtype: Dtype, n: int) -> str:
    """Return the instruction that an operation on two operands is, with its type; "" if none is."""
    if is_bool(dtype):
        plain, compares, how = _BOOL, _UNSIGNED, "icmp"
    elif is_float(dtype):
        plain, compares, how = _FLOAT, _ORDERED, "fcmp"
    else:
        plain, compares, how = _INTEGER, _UNSIGNED if is_unsigned(dtype) else _SIGNED, "icmp"
    full = vector(element(dtype), n)
    if op in plain:
        return f"{plain[op]} {full}"
    return f"{how} {compares[op]} {full}" if op in compares else ""


def _bool(code: Code, op: str, n: int, args: tuple[str, ...]) -> str:
    full = vector("i1", n)
    if op == "not":
        return code.op(f"xor {full} {args[0]}, {spread('true', 'i1', n)}")
    if op in ("abs", "sign"):
        return code.op(f"or {full} {args[0]}, {args[0]}")
    raise KeyError(op)


def _float(code: Code, op: str, scalar: str, n: int, args: tuple[str, ...]) -> str:
    full = vector(scalar, n)
    if op == "neg":
        return code.op(f"fneg {full} {args[0]}")
    f = Lanes(code, scalar, n)
    if op in _INTRINSICS:
        return f.intrinsic(_INTRINSICS[op], *args)
    if op in FUNCTIONS:
        return FUNCTIONS[op](f, *args)
    return _FLOAT_RULES[op](f, *args)


def _sign(f: Lanes, x: str) -> str:
    one = f.copysign(f.c(1.0), x)
    return f.select(f.compare("one", x, f.c(0.0)), one, f.add(x, f.c(0.0)))


def _nextafter(f: Lanes, x: str, y: str) -> str:
    up = f.logic(
        "xor", f.compare("olt", x, y), f.compare("olt", x, f.c(0.0))
    )  # away from 0: the bits count up
    step = f.code.op(
        f"select {vector('i1', f.n)} {up}, {f.words} {f.i(1)}, {f.words} {f.i(-1)}"
    )
    moved = f.unbits(f.word_op("add", f.bits(x), step))
    least = f.copysign(f.unbits(f.i(1)), y)
    result = f.select(f.compare("oeq", x, f.c(0.0)), least, moved)
    result = f.select(f.compare("oeq", x, y), y, result)
    return f.select(f.compare("uno", x, y), f.add(x, y), result)


_FLOAT_RULES: dict[str, Callable[..., str]] = {
    "max": lambda f, x, y: f.intrinsic("maximum", x, y, flags="nsz "),
    "min": lambda f, x, y: f.intrinsic("minimum", x, y, flags="nsz "),
    "sign": _sign,
    "nextafter": _nextafter,
    "quot": lambda f, x, y: f.trunc(f.div(x, y)),
    "isnan": lambda f, x: f.compare("uno", x, x),
    "isinf": lambda f, x: f.compare("oeq", f.abs(x), f.c(math.inf)),
    "isfinite": lambda f, x: f.compare("one", f.abs(x), f.c(math.inf)),
}


def _integer(code: Code, op: str, dtype: Dtype, n: int, args: tuple[str, ...]) -> str:
    scalar = element(dtype)
    full = vector(scalar, n)
    unsigned = is_unsigned(dtype)

    def c(x: int) -> str:
        return spread(str(x), scalar, n)

    def intrinsic(name: str, *operands: str) -> str:
        pairs = [(full, a) for a in operands]
        return code.call(full, f"llvm.{name}.{suffix(scalar, n)}", *pairs)

    if op in ("min", "max"):
        return intrinsic(f"{'u' if unsigned else 's'}{op}", *args)
    if op == "neg":
        return code.op(f"sub {full} {c(0)}, {args[0]}")
    if op == "not":
        return code.op(f"xor {full} {args[0]}, {c(-1)}")
    if op == "abs":
        if unsigned:
            return code.op(f"or {full} {args[0]}, {args[0]}")
        return code.call(
            full, f"llvm.abs.{suffix(scalar, n)}", (full, args[0]), ("i1", "false")
        )
    if op == "sign":
        if unsigned:
            return intrinsic("umin", args[0], c(1))
        return intrinsic("smax", intrinsic("smin", args[0], c(1)), c(-1))
    if op == "popcount":
        return intrinsic("ctpop", args[0])
    if op == "clz":
        return code.call(
            full, f"llvm.ctlz.{suffix(scalar, n)}", (full, args[0]), ("i1", "false")
        )
    if op in ("quot", "rem"):
        return _divided(code, op, dtype, n, args)
    if op in ("shl", "shr_logical", "shr_arithmetic"):
        bits = 8 * dtype.itemsize
        inside = code.op(f"icmp ult {full} {args[1]}, {c(bits)}")
        if op == "shr_arithmetic" and not unsigned:
            last = code.op(
                f"select {vector('i1', n)} {inside}, {full} {args[1]}, {full} {c(bits - 1)}"
            )
            return code.op(f"ashr {full} {args[0]}, {last}")
        amount = code.op(f"select {vector('i1', n)} {inside}, {full} {args[1]}, {full} {c(0)}")
        moved = code.op(f"{'shl' if op == 'shl' else 'lshr'} {full} {args[0]}, {amount}")
        return code.op(f"select {vector('i1', n)} {inside}, {full} {moved}, {full} {c(0)}")
    if op in ("isnan", "isinf"):
        return code.op(f"icmp ne {full} {args[0]}, {args[0]}")
    if op == "isfinite":
        return code.op(f"icmp eq {full} {args[0]}, {args[0]}")
    raise KeyError(op)


def _divided(code: Code, op: str, dtype: Dtype, n: int, args: tuple[str, ...]) -> str:
    scalar = element(dtype)
    full, flags = vector(scalar, n), vector("i1", n)
    unsigned = is_unsigned(dtype)
    x, y = args
    zero, one = spread("0", scalar, n), spread("1", scalar, n)
    by_zero = code.op(f"icmp eq {full} {y}, {zero}")
    if dtype.itemsize <= 4:
        # Quotients of 32-bit integers, truncated, are exact in float64, which has vectors.
        kind, wide = "u" if unsigned else "s", vector("double", n)
        longer = vector("i64", n)
        d = code.op(f"select {flags} {by_zero}, {full} {one}, {full} {y}")
        a = code.op(f"{kind}itofp {full} {x} to {wide}")
        b = code.op(f"{kind}itofp {full} {d} to {wide}")
        ratio = code.op(f"fdiv {wide} {a}, {b}")
        whole = code.op(f"fptosi {wide} {ratio} to {longer}")
        q = code.op(f"trunc {longer} {whole} to {full}")
        if op == "rem":
            q = code.op(f"sub {full} {x}, {code.op(f'mul {full} {q}, {d}')}")
    else:
        unsafe = by_zero
        if not unsigned:
            minus = code.op(f"icmp eq {full} {y}, {spread('-1', scalar, n)}")
            unsafe = code.op(f"or {flags} {by_zero}, {minus}")
        d = code.op(f"select {flags} {unsafe}, {full} {one}, {full} {y}")
        q = code.op(
            f"{'u' if unsigned else 's'}{'div' if op == 'quot' else 'rem'} {full} {x}, {d}"
        )
        if not unsigned and op == "quot":
            negated = code.op(f"sub {full} {zero}, {x}")
            q = code.op(f"select {flags} {minus}, {full} {negated}, {full} {q}")
    return code.op(f"select {flags} {by_zero}, {full} {zero}, {full} {q}")


# ------------------------------------------------------------------------------ conversions


def convert(code: Code, x: str, source: Dtype, target: Dtype, n: int) -> str:
    """Append a conversion; return the name of the result."""
    if source in (F16, BF16):
        x = _widened(code, x, source, n)
        source = F32
        if target == F32:
            return x
    if target in (F16, BF16):
        if target == F16 and source == F64:
            x = _to_odd(code, x, n)
        elif source != F32:  # to bfloat16 in two steps, as ml_dtypes does
            x = convert(code, x, source, F32, n)
        return _halved(code, x, target, n)
    a, b = vector(element(source), n), vector(element(target), n)
    if is_bool(target):
        if is_float(source):
            return code.op(f"fcmp une {a} {x}, zeroinitializer" if n else f"fcmp une {a} {x}, 0.0")
        return code.op(f"icmp ne {a} {x}, {spread('0', element(source), n)}")
    unsigned = is_bool(source) or is_unsigned(source)
    if is_float(source) and is_float(target):
        return code.op(f"{'fptrunc' if target == F32 else 'fpext'} {a} {x} to {b}")
    if is_float(target):
        return code.op(f"{'u' if unsigned else 's'}itofp {a} {x} to {b}")
    if is_float(source):
        return _truncated(code, x, source, target, n)
    if source.itemsize == target.itemsize and not is_bool(source):
        return code.op(f"or {b} {x}, {x}")
    if source.itemsize > target.itemsize:
        return code.op(f"trunc {a} {x} to {b}")
    return code.op(f"{'z' if unsigned else 's'}ext {a} {x} to {b}")


def _truncated(code: Code, x: str, source: Dtype, target: Dtype, n: int) -> str:
    """Return a float as an integer."""
    f = Lanes(code, element(source), n)
    if target == DTYPES["u64"]:
        low = f.compare("olt", x, f.c(2.0**63))
        low = f.logic("or", low, f.compare("uno", x, x))
        y = f.select(low, x, f.sub(x, f.c(2.0**63)))
        whole = _fitting(f, y, 64)
        full = vector("i64", n)
        top = spread(str(-(2**63)), "i64", n)
        flipped = code.op(f"xor {full} {whole}, {top}")
        return code.op(f"select {vector('i1', n)} {low}, {full} {whole}, {full} {flipped}")
    bits = 64 if target.itemsize == 8 or target == DTYPES["u32"] else 32
    whole = _fitting(f, x, bits)
    if 8 * target.itemsize == bits:
        return whole
    return code.op(f"trunc {vector(f'i{bits}', n)} {whole} to {vector(element(target), n)}")


def _fitting(f: Lanes, x: str, bits: int) -> str:
    """Return a float truncated to a signed integer, the least one if it does not fit."""
    code, limit = f.code, 2.0 ** (bits - 1)
    full, flags = vector(f"i{bits}", f.n), vector("i1", f.n)
    if f.single or bits == 64:
        above = f.compare("oge", x, f.c(-limit))
    else:
        above = f.compare("ogt", x, f.c(-limit - 1))
    fits = f.logic("and", above, f.compare("olt", x, f.c(limit)))
    whole = code.op(f"fptosi {f.type} {f.select(fits, x, f.c(0.0))} to {full}")
    least = spread(str(-(2 ** (bits - 1))), f"i{bits}", f.n)
    return code.op(f"select {flags} {fits}, {full} {whole}, {full} {least}")


def _widened(code: Code, x: str, source: Dtype, n: int) -> str:
    """Return the float32 of 16 bits."""
    short, single = vector("i16", n), vector("float", n)
    if source == F16:
        half = code.op(f"bitcast {short} {x} to {vector('half', n)}")
        return code.op(f"fpext {vector('half', n)} {half} to {single}")
    word = vector("i32", n)
    wide = code.op(f"zext {short} {x} to {word}")
    wide = code.op(f"shl {word} {wide}, {spread('16', 'i32', n)}")
    return code.op(f"bitcast {word} {wide} to {single}")


def _to_odd(code: Code, x: str, n: int) -> str:
    """Return a float64 as float32, rounded to odd, so that rounding once more rounds once."""
    wide, f = Lanes(code, "double", n), Lanes(code, "float", n)
    y = code.op(f"fptrunc {wide.type} {x} to {f.type}")
    back = code.op(f"fpext {f.type} {y} to {wide.type}")
    flags = vector("i1", n)
    inexact = wide.compare("one", back, x)
    over = wide.compare("ogt", wide.abs(back), wide.abs(x))
    b = f.bits(y)
    less = f.word_op("sub", b, code.op(f"zext {flags} {over} to {f.words}"))
    return f.unbits(f.word_op("or", less, code.op(f"zext {flags} {inexact} to {f.words}")))


def _halved(code: Code, x: str, target: Dtype, n: int) -> str:
    """Return the 16 bits of a float32."""
    f, short = Lanes(code, "float", n), vector("i16", n)
    if target == F16:
        half = code.op(f"fptrunc {f.type} {x} to {vector('half', n)}")
        return code.op(f"bitcast {vector('half', n)} {half} to {short}")
    b = f.bits(x)
    last = f.word_op("and", f.word_op("lshr", b, f.i(16)), f.i(1))
    rounded = f.word_op("add", b, f.word_op("add", last, f.i(0x7FFF)))
    quiet = f.word_op("or", b, f.i(0x400000))
    chosen = code.op(
        f"select {vector('i1', n)} {f.compare('uno', x, x)}, {f.words} {quiet}, {f.words} {rounded}"
    )
    return code.op(f"trunc {f.words} {f.word_op('lshr', chosen, f.i(16))} to {short}")


NATIVE_OPS: frozenset[str] = frozenset(
    (
        "const", "index", "affine", "float", "ref", "load", "convert", "bitcast", "select",
        "not", "shl", "shr_logical", "shr_arithmetic", "popcount", "clz", "neg", "quot",
        *_FLOAT, *_INTEGER, *_ORDERED, *_INTRINSICS, *_FLOAT_RULES, *FUNCTIONS,
    )
)  # fmt: skip
"""Scalar operations that are emitted."""
