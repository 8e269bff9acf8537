"""Dtypes as users name them, questions about them, and constants."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from tracejit.core.keyarray import KeyArray, KeyDType
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, canonical, promote
from tracejit.ir.dtypes import bfloat16 as bfloat16_dtype
from tracejit.numpy.creation import as_array
from tracejit.numpy.promotion import normal_axes, operand

__all__ = [
    "False_",
    "ScalarType",
    "True_",
    "bfloat16",
    "bool_",
    "byte",
    "can_cast",
    "cdouble",
    "character",
    "complex64",
    "complex128",
    "complex_",
    "complexfloating",
    "csingle",
    "double",
    "dtype",
    "e",
    "euler_gamma",
    "finfo",
    "flexible",
    "float16",
    "float32",
    "float64",
    "float_",
    "floating",
    "generic",
    "half",
    "iinfo",
    "inexact",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "int_",
    "intc",
    "integer",
    "intp",
    "isdtype",
    "issubdtype",
    "long",
    "longlong",
    "nan",
    "ndim",
    "newaxis",
    "number",
    "object_",
    "pi",
    "promote_types",
    "result_type",
    "shape",
    "short",
    "signedinteger",
    "single",
    "size",
    "ubyte",
    "uint",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "uintc",
    "uintp",
    "ulong",
    "ulonglong",
    "unsignedinteger",
    "ushort",
]  # fmt: skip


class _ScalarMeta(type):
    """Gives scalar types equality with the dtypes they stand for."""

    dtype: np.dtype[Any]

    def __hash__(cls) -> int:
        return hash(cls.dtype.type)

    def __eq__(cls, other: object) -> bool:
        return (
            cls is other
            or cls.dtype.type is other
            or (isinstance(other, np.dtype) and other == cls.dtype)
        )

    def __call__(cls, x: Any = 0) -> Any:
        return as_array(x, cls.dtype)

    def __repr__(cls) -> str:
        return f"tracejit.numpy.{cls.__name__}"

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.dtype.type)


class ScalarType(metaclass=_ScalarMeta):
    """A dtype that can be called: ``float32(x)`` is ``asarray(x, float32)``."""

    dtype = DTYPES["f64"]


def _scalar_type(name: str, short: str) -> Any:
    return _ScalarMeta(name, (ScalarType,), {"dtype": DTYPES[short], "__module__": __name__})


bool_ = _scalar_type("bool_", "bool")
int8 = byte = _scalar_type("int8", "i8")
int16 = short = _scalar_type("int16", "i16")
int32 = intc = _scalar_type("int32", "i32")
int64 = int_ = intp = longlong = _scalar_type("int64", "i64")
uint8 = ubyte = _scalar_type("uint8", "u8")
uint16 = ushort = _scalar_type("uint16", "u16")
uint32 = uintc = _scalar_type("uint32", "u32")
uint64 = uint = uintp = ulonglong = _scalar_type("uint64", "u64")
# C's long is as wide as the platform has it.
long, ulong = (int64, uint64) if np.dtype(np.long).itemsize == 8 else (int32, uint32)
float16 = half = _scalar_type("float16", "f16")
bfloat16 = _scalar_type("bfloat16", "bf16")
float32 = single = _scalar_type("float32", "f32")
float64 = double = float_ = _scalar_type("float64", "f64")
complex64 = csingle = _scalar_type("complex64", "c64")
complex128 = cdouble = complex_ = _scalar_type("complex128", "c128")

pi = np.pi
e = np.e
euler_gamma = np.euler_gamma
inf = np.inf
nan = np.nan
newaxis = None
dtype = np.dtype
generic, number, integer = np.generic, np.number, np.integer
signedinteger, unsignedinteger = np.signedinteger, np.unsignedinteger
inexact, floating, complexfloating = np.inexact, np.floating, np.complexfloating
# Kinds that issubdtype may ask about, though no array here is of them.
character, flexible, object_ = np.character, np.flexible, np.object_
True_, False_ = np.True_, np.False_


def _dtype(x: Any) -> Any:
    """Return the dtype that `x` names or has."""
    own = getattr(x, "dtype", None)
    return own if isinstance(own, np.dtype) else x


def finfo(dtype: Any) -> Any:
    """As :func:`numpy.finfo`, bfloat16 too."""
    kind = canonical(_dtype(dtype))
    limits: Any = ml_dtypes.finfo if kind == bfloat16_dtype else np.finfo
    return limits(kind)


def iinfo(dtype: Any) -> Any:
    """As :func:`numpy.iinfo`."""
    return np.iinfo(canonical(_dtype(dtype)))


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """As :func:`numpy.issubdtype`; bfloat16 is floating, and a key of ``tracejit.random`` is none.

    The dtype of keys is a subtype of ``tracejit.dtypes.prng_key``.
    """
    arg1, arg2 = (x.type if isinstance(x, KeyDType) else x for x in (arg1, arg2))
    first, second = _dtype(arg1), _dtype(arg2)
    if isinstance(first, np.dtype) and first == bfloat16_dtype:
        if isinstance(second, type) and second in (np.floating, np.inexact, np.number, np.generic):
            return True
        return isinstance(second, np.dtype) and second == bfloat16_dtype
    return bool(np.issubdtype(first, second))


def isdtype(dtype: Any, kind: Any) -> bool:
    """As :func:`numpy.isdtype`."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    own = canonical(_dtype(dtype))
    if own == bfloat16_dtype:
        return any(k in ("real floating", "numeric") or _dtype(k) == own for k in kinds)
    return bool(
        np.isdtype(own, tuple(k if isinstance(k, str) else np.dtype(_dtype(k)) for k in kinds))
    )


def promote_types(type1: Any, type2: Any) -> np.dtype[Any]:
    """As :func:`numpy.promote_types`."""
    return promote([(canonical(_dtype(type1)), False), (canonical(_dtype(type2)), False)])[0]


def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """As :func:`numpy.result_type`."""
    pairs = []
    for x in arrays_and_dtypes:
        if isinstance(x, (np.dtype, type, str)):
            pairs.append((canonical(_dtype(x)), False))
        else:
            aval = get_aval(operand(x))
            pairs.append((aval.dtype, aval.weak))
    return promote(pairs)[0]


def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """As :func:`numpy.can_cast`."""
    return bool(np.can_cast(_dtype(from_), _dtype(to), casting))


def ndim(a: Any) -> int:
    """As :func:`numpy.ndim`."""
    return a.ndim if isinstance(a, KeyArray) else get_aval(operand(a)).ndim


def shape(a: Any) -> tuple[int, ...]:
    """As :func:`numpy.shape`."""
    return a.shape if isinstance(a, KeyArray) else get_aval(operand(a)).shape


def size(a: Any, axis: int | tuple[int, ...] | None = None) -> int:
    """As :func:`numpy.size`."""
    aval = a if isinstance(a, KeyArray) else get_aval(operand(a))
    axes = normal_axes("size", axis, len(aval.shape))
    return math.prod(aval.shape[a] for a in axes)
