"""What an array is, and what it can become without loss: NumPy's small questions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_integer
from tracejit.numpy.creation import array, asarray
from tracejit.numpy.logic import truth
from tracejit.numpy.numeric import imag, real
from tracejit.numpy.promotion import (
    UnsupportedArgument,
    array_of,
    cast,
    known,
    operand,
    static_shape,
)
from tracejit.numpy.promotion import (
    broadcast_shapes as common_shape,
)
from tracejit.numpy.searching import sort

__all__ = [
    "asanyarray", "asarray_chkfinite", "broadcast_shapes", "common_type", "min_scalar_type",
    "mintypecode", "ndenumerate", "ndindex", "real_if_close", "require", "sort_complex",
    "trim_zeros", "typecodes", "typename",
]  # fmt: skip

typecodes = np.typecodes
mintypecode = np.mintypecode
typename = np.typename
ndindex = np.ndindex
asanyarray = asarray


def asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Any:
    """As :func:`numpy.asarray_chkfinite`; the values must be known.

    Raises
    ------
    ValueError
        If an element is NaN or infinite.
    """
    x = asarray(a, dtype, order)
    value = np.asarray(known(x, "asarray_chkfinite()", "Set debug_nans to find NaN instead."))
    if value.dtype.kind in "fc" and not np.isfinite(value).all():
        raise ValueError("asarray_chkfinite: an element is NaN or infinite")
    return x


def require(a: Any, dtype: Any = None, requirements: Any = None) -> Any:
    """As :func:`numpy.require`, for what every Array is: contiguous and aligned."""
    wanted = [requirements] if isinstance(requirements, str) else list(requirements or ())
    for one in wanted:
        if str(one).upper() not in ("C", "C_CONTIGUOUS", "CONTIGUOUS", "A", "ALIGNED", "E"):
            raise UnsupportedArgument(
                f"require: arrays are contiguous in row-major order, aligned and immutable, and "
                f"cannot be {one!r}; use numpy.require"
            )
    return array(a, dtype)


def broadcast_shapes(*args: Any) -> tuple[int, ...]:
    """As :func:`numpy.broadcast_shapes`."""
    return common_shape("broadcast_shapes", *(static_shape("broadcast_shapes", s) for s in args))


def common_type(*arrays: Any) -> Any:
    """As :func:`numpy.common_type`: the scalar type of NumPy that holds all."""
    return np.common_type(*(np.empty(0, get_aval(operand(x)).dtype) for x in arrays))


def min_scalar_type(a: Any, /) -> np.dtype[Any]:
    """As :func:`numpy.min_scalar_type`; the value of a scalar must be known."""
    x = operand(a)
    if get_aval(x).ndim:
        return get_aval(x).dtype
    return np.min_scalar_type(known(x, "min_scalar_type()", "Use x.dtype."))


def ndenumerate(arr: Any) -> Any:
    """As :class:`numpy.ndenumerate`; the elements are NumPy's scalars."""
    return np.ndenumerate(np.asarray(known(operand(arr), "ndenumerate()", "Use indices(x.shape).")))


def real_if_close(a: Any, tol: float = 100) -> Any:
    """As :func:`numpy.real_if_close`; a complex array must be known."""
    x = array_of(a)
    if not is_complex(get_aval(x).dtype):
        return x
    if tol > 1:
        tol = float(np.finfo(get_aval(x).dtype).eps * tol)
    remedy = "Its dtype depends on values; use real(x)."
    value = np.asarray(known(imag(x), "real_if_close()", remedy))
    return real(x) if np.all(np.abs(value) < tol) else x


def sort_complex(a: Any) -> Any:
    """As :func:`numpy.sort_complex`."""
    x = sort(array_of(a))
    own = get_aval(x).dtype
    if is_complex(own):
        return x
    small = is_integer(own) and own.itemsize <= 2
    return cast(x, DTYPES["c64"] if small else DTYPES["c128"])


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """As :func:`numpy.trim_zeros`; the values must be known."""
    x = array_of(filt)
    value = np.asarray(known(truth(x), "trim_zeros()", "The size of its result depends on values."))
    sides = trim.lower()
    if sides not in ("f", "b", "fb", "bf"):
        raise ShapeError(f"trim_zeros: trim must be 'f', 'b' or 'fb'; got {trim!r}")
    axes = range(value.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    places = np.argwhere(value)
    index: list[Any] = [slice(None)] * value.ndim
    for a in axes:
        if not len(places):
            index[a] = slice(0, 0)
            continue
        low, high = int(places[:, a].min()), int(places[:, a].max()) + 1
        index[a] = slice(low if "f" in sides else None, high if "b" in sides else None)
    return x[tuple(index)]
