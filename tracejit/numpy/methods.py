"""Operators and methods of arrays, installed on Array and Tracer alike.

:func:`install` is called when :mod:`tracejit.numpy` is imported.  It is one of two sanctioned
upward hooks: ``core`` defines the classes and knows no operation, this layer gives them theirs.

An operator between arrays of one dtype and fitting shapes, or an array and a Python scalar, binds
its primitive at once; everything else goes through the function of the same name.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tracejit.core.array import Array, host_array, lend, read_only_view
from tracejit.core.devices import device_at, place_of
from tracejit.core.errors import DTypeError
from tracejit.core.interpreter import active, bottom
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import Tracer
from tracejit.ir.dtypes import DTYPES, is_complex
from tracejit.numpy import (
    creation,
    division,
    indexing,
    logic,
    manipulation,
    numeric,
    products,
    reductions,
    residence,
    searching,
    ufuncs,
    updates,
)
from tracejit.numpy.promotion import OPERANDS, known, typed_scalar
from tracejit.numpy.quick import Quick, is_small, static_key
from tracejit.ops._pointwise import add_p
from tracejit.ops.arithmetic import div_p, mul_p, neg_p, sub_p
from tracejit.ops.convert import bitcast_convert_type
from tracejit.ops.devices import device_put, place_behind
from tracejit.ops.logical import and_p, eq_p, ge_p, gt_p, le_p, lt_p, ne_p, or_p, xor_p

__all__ = ["install"]

Method = Callable[..., Any]
ARRAYS = (Array, Tracer)
_FLOATS = frozenset(DTYPES[s] for s in ("f16", "bf16", "f32", "f64"))
_INEXACT = _FLOATS | {DTYPES["c64"], DTYPES["c128"]}
_INTEGERS = frozenset(DTYPES[s] for s in ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"))
_UNSIGNED = frozenset(DTYPES[s] for s in ("u8", "u16", "u32", "u64"))
_NUMBERS = _INEXACT | _INTEGERS
_ALL = _NUMBERS | {DTYPES["bool"]}
_LOGICAL = _INTEGERS | {DTYPES["bool"]}
_F64 = DTYPES["f64"]
_I64 = DTYPES["i64"]
_ACCEPTED = (*OPERANDS, list, tuple)


def _is_accepted(x: Any) -> bool:
    """Whether an operator takes `x`, rather than leaving the operation to it."""
    return (
        isinstance(x, _ACCEPTED)
        or hasattr(x, "__tracejit_array__")
        or hasattr(x, "__cuda_array_interface__")
    )


def _literal(x: Any, aval: Any) -> Any:
    """Return a Python scalar as the literal that meets an operand, or None if kinds do not fit."""
    dtype = aval.dtype
    kind = type(x)
    if kind is float:
        if dtype not in _INEXACT:
            return None
    elif kind is not int or dtype not in _NUMBERS:
        return None
    if aval.weak:
        return x if dtype is (_F64 if kind is float else _I64) else None
    return np.float64(x) if dtype is _F64 else typed_scalar(x, dtype)


def _operator(
    function: Method, primitive: Primitive, direct: frozenset[np.dtype[Any]], compares: bool = False
) -> tuple[Method, Method]:
    """Return the operator and its reflection.

    Parameters
    ----------
    function : callable
        What is right for all operands.
    primitive : Primitive
        What it binds for two operands of one dtype among `direct`.
    direct : frozenset of dtype
        See `primitive`.
    compares : bool
        Whether it is a comparison, for which an int need not fit into the dtype.
    """
    bind = primitive.bind
    pairs, floats, ints = Quick(), Quick(), Quick()
    floats_before, ints_before = Quick(), Quick()

    def repeated(self: Any, other: Any) -> Any:
        """Return the native function for operands like these, or None."""
        kind = type(other)
        if kind is Array:
            return pairs.ready.get(self.aval) if other.aval is self.aval else None
        if kind is float:
            return floats.ready.get(self.aval)
        return ints.ready.get(self.aval) if kind is int else None

    def count(self: Any, other: Any) -> None:
        aval = self.aval
        if not is_small(aval):
            return
        if type(other) is Array:
            if other.aval is aval:
                pairs.count(aval, lambda x, y: bind(x, y))
        elif aval.dtype in _INEXACT:
            (floats if type(other) is float else ints).count(aval, lambda x, y: forward(x, y))

    def fits(a: Any, b: Any) -> builtins.bool:
        if a is b:
            return a.dtype in direct
        return (
            a.dtype is b.dtype
            and a.dtype in direct
            and (a.shape == b.shape or not a.shape or not b.shape)
        )

    def scalar(self: Any, other: Any) -> Any:
        if compares and not -128 <= other <= 127 and self.aval.dtype in _INTEGERS:
            return None
        if compares and other < 0 and self.aval.dtype in _UNSIGNED:
            return None
        return _literal(other, self.aval) if self.aval.dtype in direct else None

    def forward(self: Any, other: Any) -> Any:
        eager = type(self) is Array and active() is None
        if eager:
            quick = repeated(self, other)
            if quick is not None:
                return quick(self, other)
        if isinstance(other, ARRAYS):
            if fits(self.aval, other.aval):
                if eager:
                    count(self, other)
                return bind(self, other)
        elif type(other) is float or type(other) is int:
            literal = scalar(self, other)
            if literal is not None:
                if eager:
                    count(self, other)
                return bind(self, literal)
        elif not _is_accepted(other):
            return NotImplemented
        return function(self, other)

    def reflected(self: Any, other: Any) -> Any:
        if type(other) is float or type(other) is int:
            eager = type(self) is Array and active() is None
            uses = floats_before if type(other) is float else ints_before
            if eager and (quick := uses.ready.get(self.aval)) is not None:
                return quick(self, other)
            literal = scalar(self, other)
            if literal is not None:
                if eager and is_small(self.aval) and self.aval.dtype in _INEXACT:
                    uses.count(self.aval, lambda x, y: reflected(x, y))
                return bind(literal, self)
        elif not _is_accepted(other):
            return NotImplemented
        return function(other, self)

    return forward, reflected


def _slow_operator(function: Method) -> tuple[Method, Method]:
    def forward(self: Any, other: Any) -> Any:
        if not _is_accepted(other):
            return NotImplemented
        return function(self, other)

    def reflected(self: Any, other: Any) -> Any:
        if not _is_accepted(other):
            return NotImplemented
        return function(other, self)

    return forward, reflected


def _negative(self: Any) -> Any:
    return neg_p.bind(self) if self.aval.dtype in _NUMBERS else ufuncs.negative(self)


def _power(self: Any, other: Any, modulus: Any = None) -> Any:
    if modulus is not None or not isinstance(other, _ACCEPTED):
        return NotImplemented
    return division.power(self, other)


def _reflected_power(self: Any, other: Any) -> Any:
    return division.power(other, self) if isinstance(other, _ACCEPTED) else NotImplemented


_reads = Quick()


def _getitem(self: Any, index: Any) -> Any:
    if type(self) is not Array or active() is not None or not is_small(self.aval):
        return indexing.getitem(self, index)
    static = static_key(index)
    if static is None:
        return indexing.getitem(self, index)
    key = self.aval, static
    quick = _reads.ready.get(key)
    if quick is not None:
        return quick(self)
    found = indexing.getitem(self, index)
    _reads.count(key, lambda x: indexing.getitem(x, index))
    return found


def _operators() -> dict[str, Method]:
    table: dict[str, Method] = {}
    for name, function, primitive, direct in (
        ("add", ufuncs.add, add_p, _ALL),
        ("sub", ufuncs.subtract, sub_p, _NUMBERS),
        ("mul", ufuncs.multiply, mul_p, _ALL),
        ("truediv", ufuncs.true_divide, div_p, _INEXACT),
        ("and", ufuncs.bitwise_and, and_p, _LOGICAL),
        ("or", ufuncs.bitwise_or, or_p, _LOGICAL),
        ("xor", ufuncs.bitwise_xor, xor_p, _LOGICAL),
    ):
        table[f"__{name}__"], table[f"__r{name}__"] = _operator(function, primitive, direct)
    for name, function in (
        ("floordiv", division.floor_divide),
        ("mod", division.remainder),
        ("divmod", division.divmod),
        ("matmul", products.matmul),
        ("lshift", ufuncs.left_shift),
        ("rshift", ufuncs.right_shift),
    ):
        table[f"__{name}__"], table[f"__r{name}__"] = _slow_operator(function)
    for name, function, primitive in (
        ("eq", logic.equal, eq_p),
        ("ne", logic.not_equal, ne_p),
        ("lt", logic.less, lt_p),
        ("le", logic.less_equal, le_p),
        ("gt", logic.greater, gt_p),
        ("ge", logic.greater_equal, ge_p),
    ):
        table[f"__{name}__"] = _operator(function, primitive, _ALL, compares=True)[0]
    table["__neg__"] = _negative
    table["__pos__"] = lambda self: ufuncs.positive(self)
    table["__abs__"] = lambda self: ufuncs.absolute(self)
    table["__invert__"] = lambda self: ufuncs.invert(self)
    table["__pow__"], table["__rpow__"] = _power, _reflected_power
    table["__getitem__"] = _getitem
    table["__round__"] = lambda self, n=0: numeric.round(self, n or 0)
    return table


# ---------------------------------------------------------------------------------- methods


def _shaped(function: Method) -> Method:
    """Return a method that takes lengths or axes one by one or as one sequence."""

    def method(self: Any, *args: Any, **how: Any) -> Any:
        if len(args) == 1 and (args[0] is None or not hasattr(args[0], "__index__")):
            return function(self, args[0], **how)
        if not args and not how and function is manipulation.transpose:
            return function(self)
        if not args:
            return function(self, **how)
        return function(self, args, **how)

    return method


def _on_host(self: Any, what: str) -> np.ndarray[Any, Any]:
    return np.asarray(known(self, what, "Keep the array, or return it from the function."))


def item(self: Any, *args: Any) -> Any:
    """Return an element as a Python scalar."""
    return _on_host(self, "item()").item(*args)


def tolist(self: Any) -> Any:
    """Return nested lists of Python scalars."""
    return _on_host(self, "tolist()").tolist()


def tobytes(self: Any, order: Any = "C") -> bytes:
    """Return the elements as bytes."""
    return _on_host(self, "tobytes()").tobytes(order)


def itself(self: Any, *args: Any, **how: Any) -> Any:
    """Return the array, which cannot change."""
    del args, how
    return self


def to_device(self: Any, device: Any, /, *, stream: Any = None) -> Any:
    """Return the array on a device: itself if it is there."""
    del stream  # work of one device runs in order
    return device_put(self, place_of(device))


def block_until_ready(self: Any) -> Any:
    """Wait until the array is computed, and return it."""
    if isinstance(self, Array):
        bottom().wait(self)
    return self


def flatten(self: Any, order: str = "C") -> Any:
    """As :meth:`numpy.ndarray.flatten`."""
    return manipulation.ravel(self, order)


def astype(self: Any, dtype: Any, order: Any = None, casting: Any = None, copy: Any = True) -> Any:
    """As :meth:`numpy.ndarray.astype`."""
    del order, casting, copy
    return creation.astype(self, dtype)


def view(self: Any, dtype: Any = None) -> Any:
    """As :meth:`numpy.ndarray.view`, between dtypes of one width."""
    if dtype is None:
        return self
    return bitcast_convert_type(self, getattr(dtype, "dtype", dtype))


def fill(self: Any, value: Any) -> Any:
    """Refuse: arrays are immutable."""
    raise DTypeError("arrays are immutable: write x = full_like(x, value) instead of x.fill(value)")


def devices(self: Any) -> set[Any]:
    """Return the set of the one device where the array is."""
    return {device_at(place_behind(self))}


def platform(self: Any) -> str:
    """Return the platform of the device where the array is: "cpu" or "cuda"."""
    return device_at(place_behind(self)).platform


_METHODS: dict[str, Method] = {
    "all": reductions.all,
    "any": reductions.any,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "argpartition": searching.argpartition,
    "argsort": searching.argsort,
    "astype": astype,
    "block_until_ready": block_until_ready,
    "choose": searching.choose,
    "clip": numeric.clip,
    "compress": lambda self, condition, axis=None: searching.compress(condition, self, axis),
    "conj": ufuncs.conj,
    "conjugate": ufuncs.conj,
    "copy": itself,
    "cumprod": reductions.cumprod,
    "cumsum": reductions.cumsum,
    "devices": devices,
    "diagonal": products.diagonal,
    "dot": products.dot,
    "fill": fill,
    "flatten": flatten,
    "item": item,
    "max": reductions.max,
    "mean": reductions.mean,
    "min": reductions.min,
    "nonzero": searching.nonzero,
    "platform": platform,
    "prod": reductions.prod,
    "ptp": reductions.ptp,
    "ravel": manipulation.ravel,
    "repeat": manipulation.repeat,
    "reshape": _shaped(manipulation.reshape),
    "round": numeric.round,
    "searchsorted": searching.searchsorted,
    "sort": searching.sort,
    "squeeze": manipulation.squeeze,
    "std": reductions.std,
    "sum": reductions.sum,
    "swapaxes": manipulation.swapaxes,
    "take": searching.take,
    "tobytes": tobytes,
    "to_device": to_device,
    "tolist": tolist,
    "trace": products.trace,
    "transpose": _shaped(manipulation.transpose),
    "var": reductions.var,
    "view": view,
}


def _mT(self: Any) -> Any:
    """Every matrix of a stack transposed."""
    return manipulation.matrix_transpose(self)


_PROPERTIES: dict[str, Callable[[Any], Any]] = {
    "T": manipulation.transpose,
    "at": updates.At,
    "device": lambda self: device_at(place_behind(self)),
    "flat": manipulation.ravel,
    "imag": numeric.imag,
    "mT": _mT,
    "real": numeric.real,
    "sharding": residence.sharding,
    "weak_type": lambda self: self.aval.weak,
}


# -------------------------------------------------------------------------- Array's alone


def _iterate(self: Any) -> Iterator[Any]:
    if not self.aval.shape:
        raise DTypeError("iteration over an array of rank 0")
    return (indexing.getitem(self, i) for i in range(self.aval.shape[0]))


_HOST_DEVICE = (1, 0)  # DLPack's name of the host


def _dlpack(
    self: Any,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[Any, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """Return a DLPack capsule of the elements.

    No copy is made unless `copy` asks for one, or memory of the host would have to be read-only
    and the version of the protocol cannot say so.  Memory of a device must not be written to.

    Parameters
    ----------
    stream : int, optional
        The stream of the consumer, as the protocol has it.
    max_version : tuple of int, optional
        What the consumer understands.
    dl_device : tuple of int, optional
        Where the elements shall be: where they are, or on the host.
    copy : bool, optional
        Whether to make a copy; None: if it is needed.
    """
    how: dict[str, Any] = {"stream": stream, "max_version": max_version}
    how = {name: value for name, value in how.items() if value is not None}
    device = None if dl_device is None else (int(dl_device[0]), dl_device[1])
    if self.aval.device is None:
        if device is not None:
            how["dl_device"] = device
        old = is_complex(self.aval.dtype) or max_version is None or max_version < (1, 0)
        if old and copy is False:
            raise BufferError("this version of DLPack cannot share memory that is read-only")
        if old or copy:
            return self.buf.copy().__dlpack__(**how)
        return read_only_view(self.buf).__dlpack__(**how)
    if device not in (None, bottom().dlpack_device(self)):
        if device != _HOST_DEVICE or copy is False:
            raise BufferError(
                f"an array on {self.aval.device} cannot be shared with the DLPack device {device}"
            )
        how.pop("stream", None)
        return host_array(self).__dlpack__(**how)
    if copy:
        self = bottom().copy(self)
    lend(self)
    return bottom().share(self, **how)


def _dlpack_device(self: Any) -> tuple[int, int]:
    return _HOST_DEVICE if self.aval.device is None else bottom().dlpack_device(self)


def _cuda_array_interface(self: Any) -> Any:
    """How CUDA libraries see the memory of an array on a CUDA device; not to be written to."""
    found = getattr(self.buf, "__cuda_array_interface__", None) if self.aval.device else None
    if found is None:
        raise AttributeError(f"an array on {self.device} has no __cuda_array_interface__")
    lend(self)
    return found


_ARRAY_ONLY: dict[str, Any] = {
    "__cuda_array_interface__": property(_cuda_array_interface),
    "__dlpack__": _dlpack,
    "__dlpack_device__": _dlpack_device,
    "__iter__": _iterate,
}


def install() -> None:
    """Give Array and Tracer their operators, methods and properties."""
    for cls in ARRAYS:
        for name, function in (_operators() | _METHODS).items():
            setattr(cls, name, function)
        for name, read in _PROPERTIES.items():
            setattr(cls, name, property(read))
    for name, function in (_ARRAY_ONLY | residence.METHODS).items():
        setattr(Array, name, function)
    for name, read in residence.PROPERTIES.items():
        setattr(Array, name, property(read))
