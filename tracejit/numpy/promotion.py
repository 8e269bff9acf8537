"""Operands of library functions: what may be one, the dtype they take, the shape they take.

Dtypes promote as in NumPy 2 (NEP 50): Python scalars are weak.  A Python scalar that meets a
strong operand becomes a NumPy scalar of the result's dtype, so that it is recorded as a literal
and no conversion is.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array, Uncommitted, from_numpy, host_array
from tracejit.core.devices import default_place
from tracejit.core.errors import AxisError, DTypeError, ShapeError, TracejitError
from tracejit.core.interpreter import bottom
from tracejit.core.keyarray import KeyArray
from tracejit.core.scalars import PYTHON_SCALARS, aval_of_scalar
from tracejit.core.settings import current_settings, default_float
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import (
    DTYPES,
    bfloat16,
    canonical,
    complex_of,
    is_bool,
    is_complex,
    is_float,
    is_inexact,
    is_integer,
    kind_rank,
    promote,
)
from tracejit.ops.convert import convert_element_type
from tracejit.ops.devices import place_behind
from tracejit.ops.shape import broadcast_in_dim, expand_dims, full
from tracejit.ops.slicing import concatenate

__all__ = [
    "OPERANDS", "UnsupportedArgument", "array_of", "arrays_of", "as_inexact", "aval_of",
    "beside", "broadcast", "broadcast_shapes", "cast", "common_dtype", "common_inexact",
    "concrete_value", "dtype_or", "filled", "float_of", "host_value", "is_low_precision", "known",
    "no_out", "normal_axes", "normal_axis", "operand", "promote_operands", "static_shape",
    "stretch", "sum_dtype", "typed_scalar",
]  # fmt: skip

OPERANDS = (Array, Tracer, np.ndarray, np.generic, bool, int, float, complex)
"""The types that primitives take."""

_F32 = DTYPES["f32"]
_F64 = DTYPES["f64"]
_BOOL = DTYPES["bool"]


class UnsupportedArgument(TracejitError, NotImplementedError):
    """An argument that NumPy's function has and this one does not."""


def no_out(name: str, out: Any) -> None:
    """Refuse an ``out`` argument."""
    if out is not None:
        raise UnsupportedArgument(
            f"{name}: out= is not supported, because arrays are immutable; "
            f"write x = {name}(...), or y = y.at[...].set({name}(...)) for a part"
        )


def operand(x: Any) -> Any:
    """Return `x` as an operand of primitives: sequences and what has elements become arrays.

    Raises
    ------
    DTypeError
        If `x` cannot be made an array.
    """
    if isinstance(x, OPERANDS):
        return x
    if isinstance(x, (list, tuple)):
        return _from_sequence(x)
    if isinstance(x, (str, bytes, dict, set, type(None))):
        raise DTypeError(f"an array or a scalar is needed; got {type(x).__name__}: {str(x)[:60]!r}")
    method = getattr(x, "__tracejit_array__", None)
    if method is not None:
        return operand(method())
    if hasattr(x, "__cuda_array_interface__") or hasattr(x, "__dlpack_device__"):
        found = bottom().adopt(x)
        if found is not None:
            return found
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__"):
        return from_numpy(np.asarray(x))
    if hasattr(x, "__dlpack__"):
        return from_numpy(np.from_dlpack(x))
    raise DTypeError(f"an array or a scalar is needed; got {type(x).__name__}: {str(x)[:60]!r}")


def array_of(x: Any) -> Any:
    """Return an operand as an Array or a Tracer; a Python scalar stays weak."""
    if isinstance(x, (Array, Tracer)):
        return x
    x = operand(x)
    if isinstance(x, (Array, Tracer)):
        return x
    return from_numpy(x, weak=type(x) in PYTHON_SCALARS)


def _is_away(x: Any) -> bool:
    """Whether some element is traced, or on a device, so that it is not read."""
    if isinstance(x, (list, tuple)):
        return any(_is_away(y) for y in x)
    if isinstance(x, Array):
        return x.aval.device is not None
    if isinstance(x, OPERANDS):
        return isinstance(x, Tracer)
    return hasattr(x, "__cuda_array_interface__")


def _from_sequence(xs: Sequence[Any]) -> Any:
    if not _is_away(xs):
        array = np.asarray(_on_host(xs))
        if array.dtype == object:
            raise DTypeError(f"a nested sequence must be regular and numeric; got {str(xs)[:60]}")
        if is_inexact(array.dtype) and _is_python(xs):
            like = aval_of_scalar(1j if is_complex(array.dtype) else 1.0)
            array = array.astype(like.dtype, copy=False)
        return from_numpy(array)
    parts = arrays_of(promote_operands([operand(x) for x in xs]))
    shapes = {get_aval(x).shape for x in parts}
    if len(shapes) != 1:
        raise ShapeError(f"the elements of a sequence must have one shape; got {sorted(shapes)}")
    return concatenate([expand_dims(x, 0) for x in parts], 0)


def _is_python(xs: Any) -> bool:
    """Whether a sequence has Python scalars alone, so that their default decides."""
    if isinstance(xs, (list, tuple)):
        return all(map(_is_python, xs))
    return type(xs) in PYTHON_SCALARS


def arrays_of(xs: Sequence[Any]) -> list[Any]:
    """Return operands as arrays, which structural primitives need."""
    return [array_of(x) for x in xs]


def _on_host(xs: Any) -> Any:
    if isinstance(xs, (list, tuple)):
        return [_on_host(x) for x in xs]
    return host_array(xs) if isinstance(xs, Array) else xs


# -------------------------------------------------------------------------- known values


def concrete_value(x: Any) -> Any:
    """Return the value of `x` on the host, or ``None`` if it is only traced."""
    if isinstance(x, Array):
        return host_array(x)
    if isinstance(x, Tracer):
        value = x.concrete
        return None if value is None else concrete_value(value)
    return x


def host_value(x: Any) -> Any:
    """Return :func:`concrete_value` of `x`, but ``None`` if one had to wait for a device."""
    if isinstance(x, Tracer):
        x = x.concrete
    return None if isinstance(x, Array) and x.aval.device is not None else concrete_value(x)


def known(x: Any, what: str, remedy: str) -> Any:
    """Return the value of `x` on the host; a traced `x` raises ConcretizationError."""
    value = concrete_value(x)
    if value is None:
        x._refuse(what, remedy)
    return value


def beside(x: Any, value: Any) -> Any:
    """Return what was computed on the host from `x` as an array on the device of `x`."""
    return _placed_as(x, from_numpy(value))


def filled(x: Any, value: Any, dtype: Any) -> Any:
    """Return an array of one value with the shape of `x`, on the device of `x`."""
    shape = get_aval(x).shape
    place = place_behind(x) if isinstance(x, (Array, Tracer)) else default_place.get()
    token = default_place.set(place)
    try:
        return _placed_as(x, full(shape, value, dtype))
    finally:
        default_place.reset(token)


def _placed_as(x: Any, result: Any) -> Any:
    """Return a new array, placed where `x` is if `x` is."""
    if isinstance(result, Tracer) or not isinstance(x, (Array, Tracer)):
        return result
    return result if isinstance(x, Uncommitted) else bottom().place(result, place_behind(x))


# -------------------------------------------------------------------------------- dtypes


def typed_scalar(x: Any, dtype: np.dtype[Any]) -> Any:
    """Return a Python scalar as a NumPy scalar of `dtype`.

    Raises
    ------
    OverflowError
        If it is an int that an integer `dtype` does not hold.
    """
    if dtype is _F64:
        return np.float64(x)
    if is_float(dtype) and not isinstance(x, complex):
        with np.errstate(all="ignore"):
            return dtype.type(x)
    if isinstance(x, complex) and not is_complex(dtype):
        raise DTypeError(f"the complex number {x} cannot become {dtype}")
    return dtype.type(x)


def cast(x: Any, dtype: np.dtype[Any]) -> Any:
    """Return an operand with `dtype`; host scalars are converted on the host."""
    if type(x) in PYTHON_SCALARS:
        return typed_scalar(x, dtype)
    aval = get_aval(x)
    return x if aval.dtype is dtype else convert_element_type(x, dtype)


_FLOAT_OF = {
    DTYPES["bool"]: DTYPES["f16"],
    DTYPES["i8"]: DTYPES["f16"],
    DTYPES["u8"]: DTYPES["f16"],
    DTYPES["i16"]: DTYPES["f32"],
    DTYPES["u16"]: DTYPES["f32"],
}


def float_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which NumPy computes ``sin`` of `dtype`.

    bool, int8 and uint8 become float16, int16 and uint16 float32, other integers float64.
    """
    return dtype if is_inexact(dtype) else _FLOAT_OF.get(dtype) or default_float()


def common_dtype(xs: Sequence[Any]) -> tuple[np.dtype[Any], bool]:
    """Return the dtype that operands promote to, and whether it is weak."""
    avals = [get_aval(x) for x in xs]
    return promote([(a.dtype, a.weak) for a in avals])


def common_inexact(xs: Sequence[Any]) -> tuple[np.dtype[Any], bool]:
    """Return the inexact dtype in which NumPy computes a function of `xs`."""
    avals = [get_aval(x) for x in xs]
    pairs = [(a.dtype, a.weak) for a in avals]
    dtype, weak = promote(pairs)
    if weak:
        return (dtype if is_inexact(dtype) else default_float()), True
    strong = max(kind_rank(d) for d, w in pairs if not w)
    if strong < 2 and any(w and kind_rank(d) > strong for d, w in pairs):
        return float_of(dtype), False  # a Python scalar of a higher kind decides
    return promote([(float_of(d), w) for d, w in pairs])


def promote_operands(
    xs: Sequence[Any],
    inexact: bool = False,
    bool_as: np.dtype[Any] | None = None,
) -> list[Any]:
    """Return operands of one dtype, as NumPy promotes them.

    Parameters
    ----------
    xs : sequence of operands
        Already through :func:`operand`.
    inexact : bool
        Whether integers and bool become floats.
    bool_as : dtype, optional
        What bool becomes if all are bool.
    """
    if current_settings().dtype_promotion == "strict":
        _check_one_dtype(xs)
    dtype, weak = common_inexact(xs) if inexact else common_dtype(xs)
    if bool_as is not None and is_bool(dtype):
        dtype = bool_as
    return [_promoted(x, dtype, weak) for x in xs]


def _check_one_dtype(xs: Sequence[Any]) -> None:
    """Raise DTypeError if dtypes that are not weak differ."""
    found = {str(a.dtype) for x in xs if not (a := get_aval(x)).weak}
    if len(found) > 1:
        raise DTypeError(
            f"operands have the dtypes {' and '.join(sorted(found))}, and dtype_promotion is "
            '"strict": convert one with x.astype(...)'
        )


def _promoted(x: Any, dtype: np.dtype[Any], weak: bool) -> Any:
    kind = PYTHON_SCALARS.get(type(x))
    if kind is not None:
        if not weak:
            return typed_scalar(x, dtype)
        if is_integer(dtype) and dtype.kind == "u":
            return typed_scalar(x, dtype)  # a Python int is an int64 unless it is large
        return x if kind.dtype is dtype else dtype.type(x).item()
    aval = get_aval(x)
    if aval.dtype is dtype:
        return x
    return convert_element_type(x, dtype, weak)


def as_inexact(x: Any) -> Any:
    """Return an operand converted to the dtype in which NumPy computes ``sin`` of it."""
    aval = get_aval(x)
    if is_inexact(aval.dtype):
        return x
    return promote_operands([x], inexact=True)[0]


def sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which NumPy sums `dtype`: integers at least 64 bits wide."""
    if is_bool(dtype):
        return DTYPES["i64"]
    if is_integer(dtype):
        return DTYPES["u64"] if dtype.kind == "u" else DTYPES["i64"]
    return dtype


def dtype_or(dtype: Any, otherwise: np.dtype[Any] | None = None) -> np.dtype[Any]:
    """Return the dtype that an argument ``dtype=`` asks for, or `otherwise` for ``None``.

    Python's ``float`` asks for the default float, which `otherwise` is if it is not given.
    """
    if dtype is None:
        return otherwise or default_float()
    if dtype is float:
        return default_float()
    if dtype is complex:
        return complex_of(default_float())
    own = getattr(dtype, "dtype", None)  # a ScalarType, or something with elements
    dtype = own if isinstance(own, np.dtype) else dtype
    try:
        return canonical(dtype)
    except TypeError as error:
        raise DTypeError(str(error)) from None


# -------------------------------------------------------------------------- shapes, axes


def broadcast_shapes(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that `shapes` broadcast to; the error names them."""
    rank = max(map(len, shapes), default=0)
    out = [1] * rank
    for shape in shapes:
        for a, d in enumerate(shape, rank - len(shape)):
            if d != 1 and out[a] not in (1, d):
                raise ShapeError(
                    f"{name}: shapes must be equal, or 1, along each axis counted from the last; "
                    f"got {' and '.join(map(str, shapes))}"
                )
            if d != 1:
                out[a] = d
    return tuple(out)


def stretch(x: Any, shape: tuple[int, ...]) -> Any:
    """Return `x` copied into `shape`, to which it broadcasts."""
    rank = get_aval(x).ndim
    return broadcast_in_dim(x, shape, range(len(shape) - rank, len(shape)))


def broadcast(name: str, xs: Sequence[Any]) -> list[Any]:
    """Return operands of one shape, except those of rank 0, which pointwise primitives stretch."""
    shapes = {shape for x in xs if (shape := get_aval(x).shape)}
    if len(shapes) < 2:
        return list(xs)
    shape = broadcast_shapes(name, *[get_aval(x).shape for x in xs])
    if current_settings().rank_promotion != "allow":
        _check_ranks(name, shapes)
    return [stretch(x, shape) if get_aval(x).shape else x for x in xs]


def _check_ranks(name: str, shapes: set[tuple[int, ...]]) -> None:
    """Raise or warn if ranks differ, as the setting says."""
    if len({len(shape) for shape in shapes}) < 2:
        return
    message = (
        f"{name}: operands have different ranks: {' and '.join(map(str, sorted(shapes)))}; add "
        "axes with x[None] or tracejit.numpy.expand_dims, or set rank_promotion"
    )
    if current_settings().rank_promotion == "raise":
        raise ShapeError(message)
    warnings.warn(message, stacklevel=4)


def normal_axis(name: str, axis: Any, rank: int) -> int:
    """Return an axis counted from the first.

    Raises
    ------
    AxisError
        If it is not within the rank.
    DTypeError
        If it is no integer.
    """
    try:
        number = int(axis.__index__())
    except AttributeError:
        raise DTypeError(f"{name}: an axis is an integer; got {axis!r}") from None
    if not -rank <= number < rank:
        raise AxisError(f"{name}: axis must be within rank {rank}; got {number}")
    return number % rank


def normal_axes(name: str, axis: Any, rank: int) -> tuple[int, ...]:
    """Return ``axis=`` (None for all, an int, or a sequence) as distinct axes in order given."""
    if axis is None:
        return tuple(range(rank))
    if not isinstance(axis, (tuple, list, range)):
        return (normal_axis(name, axis, rank),)
    axes = tuple(normal_axis(name, a, rank) for a in axis)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: each axis must be named once; got {tuple(axis)}")
    return axes


def static_shape(name: str, shape: Any) -> tuple[int, ...]:
    """Return a shape argument (an int or a sequence) as a tuple of ints."""
    if isinstance(shape, (int, np.integer)):
        return (int(shape),)
    if isinstance(shape, (Array, np.ndarray)):
        shape = np.asarray(shape).tolist()
        return (shape,) if isinstance(shape, int) else tuple(shape)
    if isinstance(shape, Tracer):
        return (int(shape.__index__()),)
    if isinstance(shape, KeyArray):
        raise DTypeError(f"{name}: a shape is needed; got a key, which is the first argument")
    out = tuple(int(d.__index__()) for d in shape)
    if any(d < 0 for d in out):
        raise ShapeError(f"{name}: the lengths of the axes must not be negative; got {out}")
    return out


def aval_of(x: Any) -> ShapedArray:
    """Return the aval of anything that :func:`operand` takes."""
    return get_aval(operand(x))


def is_low_precision(dtype: np.dtype[Any]) -> bool:
    """Whether sums of `dtype` are better made in float32."""
    return dtype is DTYPES["f16"] or dtype is bfloat16
