"""Array: the immutable array that users hold.

``aval`` is interned over shape, dtype, weakness and device, so one pointer is the whole
signature.  ``buf`` is an opaque contiguous buffer: on the host a C-contiguous NumPy array that
nothing outside the library may write to.  ``numpy`` installs operators and methods
(:func:`tracejit.numpy.methods.install`), one of two sanctioned upward hooks.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from tracejit.core.described import Described
from tracejit.core.errors import DonatedError, DTypeError
from tracejit.ir.avals import ShapedArray

__all__ = [
    "Array",
    "Donated",
    "from_numpy",
    "host_array",
    "new_array",
    "set_aval",
    "set_buf",
    "wrap",
]


class _ReadOnly:
    """Hands a buffer to NumPy read-only; NumPy refuses to make a view of it writable."""

    __slots__ = ("__array_interface__", "_owner")

    def __init__(self, owner: np.ndarray[Any, Any], interface: dict[str, Any]) -> None:
        self._owner = owner
        self.__array_interface__ = interface


def read_only_view(buf: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a view of `buf` that cannot be written to, nor be made writable."""
    dtype = buf.dtype
    plain = np.dtype(f"V{dtype.itemsize}") if dtype.kind == "V" else dtype
    interface = {
        "shape": buf.shape,
        "typestr": plain.str,
        "data": (buf.ctypes.data, True),
        "version": 3,
    }
    view = np.asarray(_ReadOnly(buf, interface))
    return view if plain is dtype else view.view(dtype)


class Array(Described):
    """An immutable array on a device.

    Make one with :func:`tracejit.numpy.asarray` and its kin.

    Attributes
    ----------
    aval : ShapedArray
        Shape, dtype, weakness and device.
    buf : buffer
        The elements; not for users.
    """

    __slots__ = ("__weakref__", "aval", "buf")
    __array_priority__ = 1000

    aval: ShapedArray
    buf: Any

    def __init__(self, *args: object, **kwargs: object) -> None:
        del args, kwargs
        raise DTypeError("Array is not called; use tracejit.numpy.asarray(x)")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise DTypeError(f"arrays are immutable; cannot set {name!r}")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if dtype is not None and np.dtype(dtype) != self.aval.dtype:
            if copy is False:
                raise ValueError(
                    f"converting {self.aval.dtype} to {np.dtype(dtype)} needs a copy; "
                    "got copy=False"
                )
            return self.buf.astype(dtype)  # type: ignore[no-any-return]
        if copy:
            return self.buf.copy()  # type: ignore[no-any-return]
        return read_only_view(self.buf)

    def __bool__(self) -> bool:
        return bool(self.buf)

    def __float__(self) -> float:
        return float(self.buf)

    def __int__(self) -> int:
        return int(self.buf)

    def __complex__(self) -> complex:
        return complex(self.buf)

    def __index__(self) -> int:
        return int(self.buf.__index__())

    def __len__(self) -> int:
        return len(self.buf)

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise DTypeError(
            "arrays are immutable: write x = x.at[index].set(value) instead of x[index] = value"
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.buf, self.aval.weak)

    def __copy__(self) -> Array:
        return self

    def __deepcopy__(self, memo: object) -> Array:
        return self

    def __repr__(self) -> str:
        body = np.array2string(self.buf, separator=", ", prefix="Array(")
        weak = ", weak=True" if self.aval.weak else ""
        return f"Array({body}, dtype={self.aval.dtype}{weak})"

    def __str__(self) -> str:
        return str(self.buf)

    def __format__(self, spec: str) -> str:
        return format(self.buf[()] if self.buf.ndim == 0 else self.buf, spec)


class Donated:
    """Stands for the buffer of an array whose memory was given away; any use of it raises."""

    __slots__ = ("_to",)

    def __init__(self, to: str) -> None:
        self._to = to

    def __getattr__(self, name: str) -> NoReturn:
        raise DonatedError(
            f"this array was donated to {self._to}, which took over its memory; "
            "use the result instead, or do not donate it"
        )


# The class refuses to set attributes; these write its slots.
set_aval = Array.aval.__set__  # type: ignore[attr-defined, misc]
set_buf = Array.buf.__set__  # type: ignore[misc]
new_array = object.__new__


def wrap(aval: ShapedArray, buf: Any) -> Array:
    """Return the Array of `aval` over `buf`, unchecked; the caller gives `buf` away."""
    x = new_array(Array)
    set_aval(x, aval)
    set_buf(x, buf)
    return x


def _restore(buf: np.ndarray[Any, Any], weak: bool) -> Array:
    return wrap(ShapedArray(buf.shape, buf.dtype, weak), np.asarray(buf, order="C"))


def from_numpy(x: Any, weak: bool = False) -> Array:
    """Return an Array with a copy of the elements of `x`."""
    array = np.array(x, order="C", copy=True)
    aval = ShapedArray(array.shape, array.dtype, weak)
    if array.dtype is not aval.dtype:
        array = array.astype(aval.dtype)
    return wrap(aval, array)


def host_array(x: Any) -> np.ndarray[Any, Any]:
    """Return the elements of an Array, a NumPy array or a scalar as a NumPy array, to be read."""
    if isinstance(x, Array):
        return x.buf  # type: ignore[no-any-return]
    return np.asarray(x)
