"""Element types: the closed list, short names, kinds, and the promotion rule (NEP 50).

Every dtype in a Program is one of :data:`DTYPES`, in native byte order.  Python scalars enter
as *weak* values: they take the dtype of the arrays they meet unless their kind is higher.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import ml_dtypes
import numpy as np

__all__ = [
    "DTYPES",
    "bfloat16",
    "canonical",
    "complex_of",
    "dtype_of_name",
    "float0",
    "is_bool",
    "is_complex",
    "is_float",
    "is_inexact",
    "is_integer",
    "is_signed",
    "is_unsigned",
    "kind_rank",
    "promote",
    "real_of",
    "short_name",
]

bfloat16 = np.dtype(ml_dtypes.bfloat16)

_SHORT = {
    "bool": "bool",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
    "c64": "complex64",
    "c128": "complex128",
    "float0": "float0",
}

DTYPES: dict[str, np.dtype[Any]] = {
    short: (
        bfloat16
        if name == "bfloat16"
        else np.dtype([("float0", np.void, 0)])
        if name == "float0"
        else np.dtype(name)
    )
    for short, name in _SHORT.items()
}
"""Short name -> dtype, for every dtype a Program may hold."""

float0 = DTYPES["float0"]
_NAMES = {dtype: short for short, dtype in DTYPES.items()}


def short_name(dtype: np.dtype[Any]) -> str:
    """Return the short name of `dtype`, such as ``"f64"``."""
    return _NAMES[dtype]


def dtype_of_name(short: str) -> np.dtype[Any]:
    """Return the dtype of a short name, such as ``"f64"``.

    Raises
    ------
    ValueError
        If no dtype has that short name.
    """
    try:
        return DTYPES[short]
    except KeyError:
        raise ValueError(f"{short!r} names no dtype; known: {', '.join(DTYPES)}") from None


_CANONICAL: dict[Any, np.dtype[Any]] = {}


def canonical(dtype: Any) -> np.dtype[Any]:
    """Return the one dtype object that stands for `dtype` in Programs.

    Byte order becomes native; equal but distinct dtype objects (from pickles, ``int64`` as
    ``q`` or ``l``) become the same object.

    Raises
    ------
    TypeError
        If `dtype` is not a dtype that tracejit computes with (object, string, datetime, ...).
    """
    try:
        return _CANONICAL[dtype]
    except (KeyError, TypeError):
        pass
    numpy_dtype = np.dtype(dtype)
    if not numpy_dtype.isnative:
        numpy_dtype = numpy_dtype.newbyteorder("=")
    for known in DTYPES.values():
        if known == numpy_dtype:
            with contextlib.suppress(TypeError):  # an unhashable spelling of a dtype
                _CANONICAL[dtype] = known
            return known
    raise TypeError(
        f"dtype {numpy_dtype} cannot be computed with; "
        f"use one of {', '.join(name for name in _SHORT.values() if name != 'float0')}"
    )


_FLOATS = frozenset(DTYPES[s] for s in ("f16", "bf16", "f32", "f64"))
_COMPLEX = frozenset(DTYPES[s] for s in ("c64", "c128"))
_SIGNED = frozenset(DTYPES[s] for s in ("i8", "i16", "i32", "i64"))
_UNSIGNED = frozenset(DTYPES[s] for s in ("u8", "u16", "u32", "u64"))
_BOOL = DTYPES["bool"]


def is_bool(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is bool."""
    return dtype == _BOOL


def is_signed(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is a signed integer."""
    return dtype in _SIGNED


def is_unsigned(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is an unsigned integer."""
    return dtype in _UNSIGNED


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is a signed or unsigned integer (bool is not)."""
    return dtype in _SIGNED or dtype in _UNSIGNED


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is a real floating type."""
    return dtype in _FLOATS


def is_complex(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is complex."""
    return dtype in _COMPLEX


def is_inexact(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is floating or complex, so that derivatives exist."""
    return dtype in _FLOATS or dtype in _COMPLEX


def real_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the real part of `dtype`."""
    if dtype == DTYPES["c64"]:
        return DTYPES["f32"]
    if dtype == DTYPES["c128"]:
        return DTYPES["f64"]
    return dtype


def complex_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the complex dtype whose parts have dtype `dtype` (float32 at least)."""
    if is_complex(dtype):
        return dtype
    return DTYPES["c128"] if dtype == DTYPES["f64"] else DTYPES["c64"]


def kind_rank(dtype: np.dtype[Any]) -> int:
    """Order of kinds in promotion: bool 0, integer 1, float 2, complex 3."""
    if dtype in _FLOATS:
        return 2
    if dtype in _COMPLEX:
        return 3
    return 0 if dtype == _BOOL else 1


_PAIRS: dict[tuple[Any, Any], np.dtype[Any]] = {}


def _promote_strong(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    if a is b:
        return a
    try:
        return _PAIRS[a, b]
    except KeyError:
        pass
    narrow, other = (a, b) if a == bfloat16 else (b, a)
    if narrow == bfloat16:
        if other == DTYPES["f16"]:
            result = DTYPES["f32"]
        elif is_inexact(other):
            result = other
        elif is_bool(other) or other.itemsize == 1:
            result = bfloat16
        else:
            result = DTYPES["f32"] if other.itemsize == 2 else DTYPES["f64"]
    else:
        result = canonical(np.promote_types(a, b))
    _PAIRS[a, b] = result
    return result


_I64, _U64 = DTYPES["i64"], DTYPES["u64"]


def promote(operands: Iterable[tuple[np.dtype[Any], bool]]) -> tuple[np.dtype[Any], bool]:
    """Return ``(dtype, weak)`` of an operation on operands of ``(dtype, weak)``.

    Strong dtypes promote as :func:`numpy.promote_types`.  A weak operand (a Python scalar)
    raises the result only if its kind is above that of the strong ones, and then to that kind
    at the precision of the strong ones (NEP 50).

    References
    ----------
    NEP 50, Promotion rules for Python scalars.
    """
    strong: np.dtype[Any] | None = None
    weak_rank = -1
    weak_dtype = _BOOL
    for dtype, weak in operands:
        if weak:
            rank = kind_rank(dtype)
            if rank > weak_rank or (rank == weak_rank == 1 and dtype is _U64):
                weak_rank, weak_dtype = rank, dtype  # an int beyond int64 decides
        elif strong is None:
            strong = dtype
        elif strong is not dtype:
            strong = _promote_strong(strong, dtype)
    if strong is None:
        return weak_dtype, True
    if weak_rank > kind_rank(strong):
        if weak_rank == 3 and is_float(strong):
            return complex_of(strong), False
        return (_I64 if weak_rank == 1 else weak_dtype), False
    return strong, False
