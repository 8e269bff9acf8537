"""Making arrays: from values, by filling, by counting.

What the Array API standard gives an argument ``device`` has it.  By default an array is made on the
default device (``with tracejit.device("cuda")``), and stays there; ``*_like`` on that of its model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.array import Array, Uncommitted, from_numpy, is_lent
from tracejit.core.devices import default_place, device_at, place_of
from tracejit.core.errors import ShapeError
from tracejit.core.interpreter import bottom
from tracejit.core.keyarray import KeyArray, holds_keys
from tracejit.core.scalars import PYTHON_SCALARS, aval_of_scalar
from tracejit.core.settings import default_float
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, is_bool, is_complex, is_inexact, is_integer
from tracejit.numpy.division import power
from tracejit.numpy.promotion import (
    array_of,
    arrays_of,
    broadcast,
    broadcast_shapes,
    cast,
    common_dtype,
    dtype_or,
    known,
    normal_axis,
    operand,
    promote_operands,
    static_shape,
    stretch,
)
from tracejit.numpy.ufuncs import log10, multiply, sign, subtract, true_divide
from tracejit.ops._pointwise import move_axis
from tracejit.ops.arithmetic import add as add_op
from tracejit.ops.arithmetic import div, floor, mul
from tracejit.ops.constant import iota
from tracejit.ops.convert import convert_element_type
from tracejit.ops.devices import device_put, place_behind
from tracejit.ops.logical import eq, ge, select
from tracejit.ops.shape import broadcast_in_dim, reshape
from tracejit.ops.shape import full as full_op
from tracejit.ops.slicing import concatenate
from tracejit.transforms.abstract import ShapeDtypeStruct

__all__ = [
    "F64", "I64", "arange", "array", "asarray", "ascontiguousarray", "astype", "copy",
    "diag_indices", "empty", "empty_like", "eye", "from_dlpack", "frombuffer", "fromfunction",
    "full", "full_like", "geomspace", "identity", "indices", "linspace", "logspace", "meshgrid",
    "mgrid", "ogrid", "ones", "ones_like", "tri", "tril", "tril_indices", "triu",
    "triu_indices", "vander", "zeros", "zeros_like",
]  # fmt: skip

F64 = DTYPES["f64"]
I64 = DTYPES["i64"]


# --------------------------------------------------------------------------------- places


def committed(x: Any) -> Any:
    """Return a new array, or a tuple of them, to stay: on the default device, if on the host."""
    if isinstance(x, tuple):
        return tuple(map(committed, x))
    if not isinstance(x, Uncommitted):
        return x
    return bottom().place(x, x.aval.device or default_place.get())


def made_at(device: Any, make: Callable[..., Any], *args: Any) -> Any:
    """Return ``make(*args)``, an array or a tuple of them, made on a device and committed to it.

    Parameters
    ----------
    device : Device, str or None
        Where; the default device for None.
    make : callable
        Makes them.
    *args
        Of `make`.
    """
    if device is None:
        return committed(make(*args))
    place = place_of(device)
    token = default_place.set(place)
    try:
        x = make(*args)
    finally:
        default_place.reset(token)
    if isinstance(x, tuple):
        return tuple(device_put(part, place) for part in x)
    return device_put(x, place)


# ---------------------------------------------------------------------------- from values


def array(
    object: Any,
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: Any = None,
    ndmin: int = 0,
    device: Any = None,
) -> Any:
    """As :func:`numpy.array`; an Array is returned as it is, since it cannot change."""
    del order
    x = object
    if isinstance(x, (Array, Tracer)):
        return _finished(x if device is None else device_put(x, place_of(device)), dtype, ndmin)
    if dtype is None and holds_keys(x):
        words = x.words if isinstance(x, KeyArray) else [array(keys).words for keys in x]
        return KeyArray(array(words, copy=copy, device=device))
    found = made_at(device, as_array, x, dtype, ndmin)
    return bottom().copy(found) if copy and isinstance(found, Array) and is_lent(found) else found


def as_array(x: Any, dtype: Any = None, ndmin: int = 0) -> Any:
    """Return :func:`array` as an array that goes where it is used."""
    if dtype is not None and type(x) in PYTHON_SCALARS:
        x = from_numpy(np.asarray(x, dtype_or(dtype)))
    elif type(x) in PYTHON_SCALARS:
        x = from_numpy(np.asarray(x, aval_of_scalar(x).dtype))  # an array is strong, as in NumPy
    elif isinstance(x, (list, tuple)) and not len(x):
        x = from_numpy(np.zeros((0,), default_float()))
    elif dtype is not None and isinstance(x, (np.ndarray, np.generic)):
        x = from_numpy(np.asarray(x).astype(dtype_or(dtype)))
    else:
        x = array_of(x)
    return _finished(x, dtype, ndmin)


def _finished(x: Any, dtype: Any, ndmin: int) -> Any:
    if dtype is not None:
        x = astype(x, dtype)
    rank = get_aval(x).ndim
    return reshape(x, (1,) * (ndmin - rank) + get_aval(x).shape) if ndmin > rank else x


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: bool | None = None
) -> Any:
    """As :func:`numpy.asarray`; an ndarray is copied, an Array is returned as it is.

    An array of a CUDA device (of CuPy, torch, ...) is taken over without a copy: do not write to
    it afterwards.
    """
    return array(a, dtype, copy=copy, order=order, device=device)


def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    """As :func:`numpy.ascontiguousarray`: every Array is."""
    return array(a, dtype, ndmin=1)


def copy(a: Any, order: Any = None) -> Any:
    """As :func:`numpy.copy`."""
    del order
    return array(a)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """As :func:`numpy.astype`; complex to real drops the imaginary part."""
    del copy
    x = array_of(x)
    if device is not None:
        x = device_put(x, place_of(device))
    return convert_element_type(x, dtype_or(dtype))


def fromfunction(function: Any, shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """As :func:`numpy.fromfunction`."""
    return function(*indices(shape, dtype=dtype), **kwargs)


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Any:
    """As :func:`numpy.frombuffer`, but a copy."""
    return committed(from_numpy(np.frombuffer(buffer, dtype, count, offset)))


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """As :func:`numpy.from_dlpack`.

    Memory of a CUDA device is shared: do not write to it afterwards.  That of the host is copied,
    since an Array never changes.

    Raises
    ------
    BufferError
        If `copy` is False and a copy is needed.
    """
    found = x if isinstance(x, Array) else bottom().adopt(x)
    place = found.aval.device if device is None and found is not None else place_of(device)
    if found is None or found.aval.device != place:
        if copy is False:
            raise BufferError("from_dlpack: a copy is needed here; got copy=False")
        return device_put(from_numpy(np.from_dlpack(x)) if found is None else found, place)
    return bottom().copy(found) if copy else found


# -------------------------------------------------------------------------------- filling


def full(
    shape: Any, fill_value: Any, dtype: Any = None, order: Any = None, *, device: Any = None
) -> Any:
    """As :func:`numpy.full`."""
    del order  # arrays have one layout
    return made_at(device, _full, static_shape("full", shape), fill_value, dtype)


def _full(shape: tuple[int, ...], fill_value: Any, dtype: Any) -> Any:
    x = operand(fill_value)
    aval = get_aval(x)
    dtype = dtype_or(dtype, aval.dtype)
    if isinstance(x, (bool, int, float, complex, np.generic)):
        return full_op(shape, x, dtype)
    x = convert_element_type(x, dtype)
    broadcast_shapes("full", aval.shape, shape)
    return stretch(array_of(x), shape)


def zeros(
    shape: Any, dtype: Any = float, order: Any = None, *, device: Any = None
) -> Any:
    """As :func:`numpy.zeros`."""
    del order
    return made_at(device, full_op, static_shape("zeros", shape), 0, dtype_or(dtype))


def ones(shape: Any, dtype: Any = None, order: Any = None, *, device: Any = None) -> Any:
    """As :func:`numpy.ones`."""
    del order
    return made_at(device, full_op, static_shape("ones", shape), 1, dtype_or(dtype))


def empty(
    shape: Any, dtype: Any = float, order: Any = None, *, device: Any = None
) -> Any:
    """As :func:`numpy.empty`, filled with zeros."""
    del order
    return zeros(shape, dtype, device=device)


def _like(a: Any, value: Any, dtype: Any, shape: Any, device: Any) -> Any:
    if isinstance(a, ShapeDtypeStruct):
        x, aval = a, ShapedArray(a.shape, a.dtype)
    else:
        x = operand(a)
        aval = get_aval(x)
    target = aval.shape if shape is None else static_shape("full_like", shape)
    if device is None and isinstance(x, (Array, Tracer)):
        device = device_at(place_behind(x))
    return full(target, value, dtype_or(dtype, aval.dtype), device=device)


def zeros_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, order: Any = None
) -> Any:
    """As :func:`numpy.zeros_like`."""
    del order
    return _like(a, 0, dtype, shape, device)


def ones_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, order: Any = None
) -> Any:
    """As :func:`numpy.ones_like`."""
    del order
    return _like(a, 1, dtype, shape, device)


def empty_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, order: Any = None
) -> Any:
    """As :func:`numpy.empty_like`, filled with zeros."""
    del order
    return _like(a, 0, dtype, shape, device)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    shape: Any = None,
    *,
    device: Any = None,
    order: Any = None,
) -> Any:
    """As :func:`numpy.full_like`."""
    del order
    return _like(a, fill_value, dtype, shape, device)


# ------------------------------------------------------------------------------- counting


def arange(
    start: Any, stop: Any = None, step: Any = None, dtype: Any = None, *, device: Any = None
) -> Any:
    """As :func:`numpy.arange`; the bounds must be known when tracing.

    Recorded as a count, a product and a sum, so that it costs no memory where it is fused.
    """
    return made_at(device, counted, start, stop, step, dtype)


def counted(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Return :func:`arange` as an array that goes where it is used."""
    remedy = "The length must be static: jit(f, static_argnums=...)."
    start, stop, step = (
        None if v is None else known(operand(v), "arange()", remedy) for v in (start, stop, step)
    )
    if stop is None:
        start, stop = type(start)(0) if type(start) in PYTHON_SCALARS else start * 0, start
    step = 1 if step is None else step
    if not step:
        raise ShapeError("arange: step must not be 0")
    kind, _ = common_dtype([start, stop, step, np.int64(0)])  # NumPy counts in int64 at least
    dtype = dtype_or(dtype, kind)
    span = (stop - start) / step
    length = max(0, math.ceil(span.real if isinstance(span, complex) else span))
    if is_complex(dtype) or is_bool(dtype):
        return from_numpy(np.arange(start, stop, step, dtype=dtype))
    first = np.asarray(start).astype(dtype)[()]
    delta = np.asarray(start + step).astype(dtype)[()] - first
    out = iota((length,), 0, dtype)
    if delta != 1:
        out = mul(out, dtype.type(delta))
    return add_op(out, dtype.type(first)) if first != 0 else out


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """As :func:`numpy.linspace`."""
    return made_at(device, _linspace, start, stop, num, endpoint, dtype, axis, retstep)


def _linspace(
    start: Any, stop: Any, num: int, endpoint: bool, dtype: Any, axis: int, retstep: bool
) -> Any:
    num = int(num)
    if num < 0:
        raise ShapeError(f"linspace: num must not be negative; got {num}")
    first, last = operand(start), operand(stop)
    # At least float64 or what the bounds have, as NumPy: bounds of integers are floats.
    first, last, _ = promote_operands([first, last, float(num)])
    if not is_inexact(get_aval(first).dtype):
        first, last = cast(first, default_float()), cast(last, default_float())
    own = get_aval(first).dtype
    first, last = cast(first, own), cast(last, own)
    result = dtype_or(dtype, own)
    first, last = (array_of(v) for v in broadcast("linspace", [first, last]))
    shape = broadcast_shapes("linspace", get_aval(first).shape, get_aval(last).shape)
    parts = num - 1 if endpoint else num
    span = subtract(last, first)
    step = div(span, own.type(parts)) if parts > 0 else mul(span, own.type(np.nan))
    target = (num, *shape)
    count = iota(target, 0, I64)
    place = cast(count, own)
    spread = [
        broadcast_in_dim(v, target, range(1, 1 + get_aval(v).ndim)) if get_aval(v).shape else v
        for v in (first, last, step if parts > 0 else span)
    ]
    out = add_op(mul(place, spread[2]), spread[0])
    if endpoint and num > 1:
        out = select(eq(count, np.int64(num - 1)), spread[1], out)
    if is_integer(result):
        out = floor(out)
    out = move_axis(
        convert_element_type(out, result), 0, normal_axis("linspace", axis, len(target))
    )
    return (out, step) if retstep else out


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """As :func:`numpy.logspace`."""
    base = operand(base)
    if get_aval(base).ndim:
        ends = [operand(start), operand(stop)]
        shape = broadcast_shapes("logspace", *(get_aval(v).shape for v in (*ends, base)))
        start, stop, base = (stretch(array_of(v), shape) for v in (*ends, base))
        place = normal_axis("logspace", axis, len(shape) + 1)
        base = reshape(base, (*shape[:place], 1, *shape[place:]))
    out = power(base, _linspace(start, stop, num, endpoint, None, axis, False))
    return committed(out if dtype is None else astype(out, dtype))


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """As :func:`numpy.geomspace`, for bounds of one sign."""
    return committed(_geomspace(start, stop, num, endpoint, dtype, axis))


def _geomspace(
    start: Any, stop: Any, num: int, endpoint: bool, dtype: Any, axis: int
) -> Any:
    first, last = promote_operands([operand(start), operand(stop)])
    unit = sign(cast(first, get_aval(true_divide(first, first)).dtype))
    low, high = (log10(true_divide(end, unit)) for end in (first, last))
    place = _linspace(low, high, num, endpoint, None, axis, False)
    out = multiply(power(operand(10.0), place), unit)
    count = int(num)
    rank = get_aval(out).ndim
    if count:
        index = iota(get_aval(out).shape, normal_axis("geomspace", axis, rank), I64)
        out = select(*_like_first(eq(index, np.int64(0)), first, out))
        if endpoint and count > 1:
            out = select(*_like_first(eq(index, np.int64(count - 1)), last, out))
    return out if dtype is None else astype(out, dtype)


def _like_first(mask: Any, x: Any, y: Any) -> list[Any]:
    return broadcast("geomspace", [mask, cast(x, get_aval(y).dtype), y])


# ------------------------------------------------------------------------------- matrices


def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: Any = float,
    order: Any = None,
    *,
    device: Any = None,
) -> Any:
    """As :func:`numpy.eye`."""
    del order
    return made_at(device, unit_matrix, N, M, k, dtype)


def unit_matrix(N: int, M: int | None = None, k: int = 0, dtype: Any = float) -> Any:
    """Return :func:`eye` as an array that goes where it is used."""
    shape = (int(N), int(N if M is None else M))
    on = eq(iota(shape, 1, I64), add_op(iota(shape, 0, I64), np.int64(k)))
    return convert_element_type(on, dtype_or(dtype))


def identity(n: int, dtype: Any = None) -> Any:
    """As :func:`numpy.identity`."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = float) -> Any:
    """As :func:`numpy.tri`."""
    below = _below((int(N), int(N if M is None else M)), k)
    return committed(convert_element_type(below, dtype_or(dtype)))


def _below(shape: tuple[int, ...], k: int) -> Any:
    """Whether an element of a stack of matrices is on or below diagonal `k`."""
    rank = len(shape)
    rows, columns = iota(shape, rank - 2, I64), iota(shape, rank - 1, I64)
    return ge(add_op(rows, np.int64(k)), columns)


def _triangle(name: str, m: Any, k: int, lower: bool) -> Any:
    x = array_of(m)
    aval = get_aval(x)
    if not aval.ndim:
        raise ShapeError(f"{name}: rank 1 at least is needed; got shape {aval.shape}")
    if aval.ndim == 1:  # every row of a matrix
        x = stretch(x, (aval.size, aval.size))
        aval = get_aval(x)
    zero = aval.dtype.type(0)
    if lower:
        return select(_below(aval.shape, k), x, zero)
    return select(_below(aval.shape, k - 1), zero, x)


def tril(m: Any, k: int = 0) -> Any:
    """As :func:`numpy.tril`."""
    return _triangle("tril", m, k, True)


def triu(m: Any, k: int = 0) -> Any:
    """As :func:`numpy.triu`."""
    return _triangle("triu", m, k, False)


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, Any]:
    """As :func:`numpy.tril_indices`."""
    rows, columns = map(from_numpy, np.tril_indices(n, k, m))
    return committed(rows), committed(columns)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, Any]:
    """As :func:`numpy.triu_indices`."""
    rows, columns = map(from_numpy, np.triu_indices(n, k, m))
    return committed(rows), committed(columns)


def diag_indices(n: int, ndim: int = 2) -> tuple[Any, ...]:
    """As :func:`numpy.diag_indices`."""
    return (arange(n),) * ndim


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """As :func:`numpy.vander`."""
    base = array_of(x)
    if get_aval(base).ndim != 1:
        raise ShapeError(f"vander: rank 1 is needed; got shape {get_aval(base).shape}")
    length = get_aval(base).shape[0]
    count = length if N is None else int(N)
    powers = iota((length, count), 1, I64)
    if not increasing:
        powers = subtract(count - 1, powers)
    return power(reshape(base, (length, 1)), powers)


# ---------------------------------------------------------------------------------- grids


def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Any, ...]:
    """As :func:`numpy.meshgrid`."""
    del copy
    if indexing not in ("xy", "ij"):
        raise ShapeError(f"meshgrid: indexing must be 'xy' or 'ij'; got {indexing!r}")
    xs = [reshape(x, (get_aval(x).size,)) for x in arrays_of(list(xi))]
    rank = len(xs)
    place = list(range(rank))
    if indexing == "xy" and rank > 1:
        place[0], place[1] = 1, 0
    lengths = [0] * rank
    for x, a in zip(xs, place, strict=True):
        lengths[a] = get_aval(x).size
    outs = []
    for x, a in zip(xs, place, strict=True):
        target = [1] * rank if sparse else lengths
        target = [lengths[a] if i == a else d for i, d in enumerate(target)]
        outs.append(broadcast_in_dim(x, target, (a,)))
    return tuple(outs)


def indices(dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
    """As :func:`numpy.indices`."""
    return committed(_indices(dimensions, dtype, sparse))


def _indices(dimensions: Any, dtype: Any, sparse: bool) -> Any:
    shape = static_shape("indices", dimensions)
    kind = dtype_or(dtype, I64)
    if sparse:
        return tuple(
            iota([d if i == a else 1 for i, d in enumerate(shape)], a, kind)
            for a in range(len(shape))
        )
    from_each = [reshape(iota(shape, a, kind), (1, *shape)) for a in range(len(shape))]
    return concatenate(from_each, 0) if from_each else full_op((0,), 0, kind)


class _Grid:
    """``mgrid`` and ``ogrid``: grids written as slices."""

    def __init__(self, sparse: bool) -> None:
        self._sparse = sparse

    def __getitem__(self, key: Any) -> Any:
        out = np.ogrid[key] if self._sparse else np.mgrid[key]
        many = isinstance(out, (tuple, list))
        return committed(tuple(map(from_numpy, out)) if many else from_numpy(out))


mgrid, ogrid = _Grid(False), _Grid(True)
