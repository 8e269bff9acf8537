"""Conversion between dtypes, by value and by bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.scalars import PYTHON_SCALARS
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import canonical, is_bool, is_complex, is_inexact
from tracejit.ops._pointwise import batch_pointwise, define_pointwise

__all__ = ["bitcast_convert_type", "convert_element_type"]


def convert_element_type(x: Any, dtype: Any, weak: bool = False) -> Any:
    """Convert elements to another dtype by value.

    Parameters
    ----------
    x : Array, any shape and dtype
        The operand.
    dtype : dtype-like
        The dtype of the result.
    weak : bool
        Whether the result is weak: yields to the dtypes that it meets.

    Returns
    -------
    Array, shape of `x`, dtype `dtype`
        The values: floats are truncated to integers (outside their range, and for NaN, what the
        machine gives), complex numbers lose their imaginary part, all but 0 are True.

    Notes
    -----
    Linear between inexact dtypes; the derivative of a conversion to integers or bool is 0.
    """
    aval, dtype = get_aval(x), canonical(dtype)
    if aval.dtype is dtype and aval.weak == weak:
        return x
    if not weak and (type(x) in PYTHON_SCALARS or isinstance(x, np.generic)):
        # A host scalar stays one: a literal of the right dtype, and no equation.
        return _convert_impl(np, np.asarray(x), dtype=dtype, weak=weak)[()]
    return convert_element_type_p.bind(x, dtype=dtype, weak=weak)


def _convert_shape(x: ShapedArray, *, dtype: np.dtype[Any], weak: bool) -> ShapedArray:
    if x.dtype.names is not None or dtype.names is not None:
        raise DTypeError(f"convert_element_type: float0 holds no values; got {x.dtype} to {dtype}")
    return ShapedArray(x.shape, dtype, weak)


def _convert_impl(xp: Any, x: Any, *, dtype: np.dtype[Any], weak: bool) -> Any:
    del xp, weak
    if is_complex(x.dtype) and not is_complex(dtype) and not is_bool(dtype):
        x = x.real
    return x.astype(dtype)


def _convert_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, dtype: np.dtype[Any], weak: bool
) -> tuple[Any, Any]:
    out = convert_element_type_p.bind(*primals, dtype=dtype, weak=weak)
    if not is_inexact(dtype):
        return out, Zero(get_aval(out))
    return out, convert_element_type(tangents[0], dtype, weak)


def _convert_transpose(ct: Any, x: Any, *, dtype: np.dtype[Any], weak: bool) -> tuple[Any]:
    del dtype, weak
    return (convert_element_type(ct, x.aval.dtype, x.aval.weak),)


def _convert_lower(k: Any, x: Any, *, dtype: np.dtype[Any], weak: bool) -> Any:
    del weak
    return k.convert(x, dtype)


convert_element_type_p: Primitive = define(
    "convert_element_type",
    keeps_weak=False,
    impl=_convert_impl,
    shape=_convert_shape,
    jvp=_convert_jvp,
    transpose=_convert_transpose,
    batch=batch_pointwise(lambda: convert_element_type_p),
    lower=_convert_lower,
)


def bitcast_convert_type(x: Any, dtype: Any) -> Any:
    """Read the bits of elements as another dtype of the same width.

    Parameters
    ----------
    x : Array, any shape, any dtype but bool and complex
        The operand.
    dtype : dtype-like
        The dtype of the result, of as many bytes.

    Returns
    -------
    Array, shape of `x`, dtype `dtype`
        The same bits.

    Raises
    ------
    DTypeError
        If the widths differ, or one of the dtypes is bool or complex.
    """
    dtype = canonical(dtype)
    return x if get_aval(x).dtype is dtype else bitcast_convert_type_p.bind(x, dtype=dtype)


def _bitcast_dtype(x: np.dtype[Any], *, dtype: np.dtype[Any]) -> np.dtype[Any]:
    fits = x.itemsize == dtype.itemsize
    if not fits or any(is_bool(d) or is_complex(d) or d.names is not None for d in (x, dtype)):
        raise DTypeError(
            f"bitcast_convert_type: the dtypes must be real numbers of one width; "
            f"got {x} ({x.itemsize} bytes) to {dtype} ({dtype.itemsize} bytes)"
        )
    return dtype


bitcast_convert_type_p = define_pointwise(
    "bitcast_convert_type",
    impl=lambda xp, x, *, dtype: x.view(dtype),
    dtype=_bitcast_dtype,
    jvp=[None],
    lower=lambda k, x, *, dtype: lambda index: k.apply_bitcast(x(index), dtype),
)
