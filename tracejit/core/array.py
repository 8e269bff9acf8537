"""Array: the immutable array that users hold.

``aval`` is interned over shape, dtype, weakness and device, so one pointer is the whole
signature.  ``buf`` is an opaque contiguous buffer: on the host a C-contiguous NumPy array that
nothing outside the library may write to, on a device what its backend made, which is read by
``get()``.  ``numpy`` installs operators and methods (:func:`tracejit.numpy.methods.install`), one
of two sanctioned upward hooks.

An :class:`Uncommitted` array is one that nobody placed: the result of operations on NumPy arrays
and scalars alone, or a constant inside the library.  It goes to the device of what it meets.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from tracejit.core.described import Described
from tracejit.core.devices import tally
from tracejit.core.errors import DonatedError, DTypeError, TracejitError
from tracejit.core.interpreter import bottom
from tracejit.core.scalars import aval_of_scalar
from tracejit.ir.avals import ShapedArray

__all__ = [
    "DONATED",
    "Array",
    "Deferred",
    "Donated",
    "Uncommitted",
    "check_kept",
    "deferred",
    "download",
    "from_numpy",
    "give_away",
    "host_array",
    "is_lent",
    "lend",
    "new_array",
    "read_only_view",
    "set_aval",
    "set_buf",
    "uncommitted",
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
            return host_array(self).astype(dtype)
        if self.aval.device is not None:
            if copy is False:
                raise ValueError(
                    f"reading an array on {self.aval.device} needs a copy; got copy=False"
                )
            return download(self.buf)
        if copy:
            return self.buf.copy()  # type: ignore[no-any-return]
        return read_only_view(self.buf)

    def __bool__(self) -> bool:
        return bool(host_array(self))

    def __float__(self) -> float:
        return float(host_array(self))

    def __int__(self) -> int:
        return int(host_array(self))

    def __complex__(self) -> complex:
        return complex(host_array(self))

    def __index__(self) -> int:
        return int(host_array(self).__index__())

    def __len__(self) -> int:
        if not self.aval.shape:
            raise DTypeError("len() of an array of rank 0")
        return self.aval.shape[0]

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise DTypeError(
            "arrays are immutable: write x = x.at[index].set(value) instead of x[index] = value"
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        if self.aval.device is None:
            return _restore, (self.buf, self.aval.weak)
        return _restore_on, (host_array(self), self.aval.weak, self.aval.device)

    def __copy__(self) -> Array:
        return self

    def __deepcopy__(self, memo: object) -> Array:
        return self

    def __repr__(self) -> str:
        aval = self.aval
        body = np.array2string(host_array(self), separator=", ", prefix="Array(")
        weak = ", weak=True" if aval.weak else ""
        device = f", device={aval.device}" if aval.device else ""
        return f"Array({body}, dtype={aval.dtype}{weak}{device})"

    def __str__(self) -> str:
        return str(host_array(self))

    def __format__(self, spec: str) -> str:
        value = host_array(self)
        return format(value[()] if value.ndim == 0 else value, spec)


class Uncommitted(Array):
    """An Array that goes to the device of what it meets, because nobody placed it."""

    __slots__ = ()


class Deferred(Uncommitted):
    """An array that depends on no other, computed where it is needed: a constant of the library.

    So a mask of indices that meets an array on a device is made there, not copied there.

    Attributes
    ----------
    compute : callable
        ``compute(place)`` returns the buffer on a device.
    depth : int
        How many operations it takes, one after another.
    """

    __slots__ = ("_found", "compute", "depth")

    compute: Callable[[str | None], Any]
    depth: int
    _found: dict[str | None, Any]

    def at(self, place: str | None) -> Any:
        """Return the buffer on a device, computed once."""
        buf = self._found.get(place)
        if buf is None:
            buf = self._found[place] = self.compute(place)
        return buf

    @property
    def buf(self) -> Any:
        """The buffer on the host."""
        return self.at(None)


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


DONATED = "donated"
"""Where types say that an array is whose memory was given away, so that no guard lets it pass."""


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


def uncommitted(aval: ShapedArray, buf: Any) -> Array:
    """Return the Uncommitted array of `aval` over `buf`, as :func:`wrap` does."""
    x = new_array(Uncommitted)
    set_aval(x, aval)
    set_buf(x, buf)
    return x


def deferred(aval: ShapedArray, compute: Callable[[str | None], Any], depth: int) -> Array:
    """Return the Deferred array of `aval`."""
    x = new_array(Deferred)
    set_aval(x, aval)
    for name, value in (("compute", compute), ("depth", depth), ("_found", {})):
        object.__setattr__(x, name, value)
    return x


def give_away(x: Array, to: str) -> None:
    """Mark the memory of `x` as given to a function."""
    set_buf(x, Donated(to))
    set_aval(x, x.aval.at(DONATED))


def check_kept(x: Array) -> None:
    """Raise DonatedError if the memory of `x` was given away."""
    if x.aval.device == DONATED:
        x.buf.get()


def _restore(buf: np.ndarray[Any, Any], weak: bool) -> Array:
    return wrap(ShapedArray(buf.shape, buf.dtype, weak), np.asarray(buf, order="C"))


def _restore_on(buf: np.ndarray[Any, Any], weak: bool, device: str) -> Array:
    """Restore a pickled array on its device, or on the host where there is no such device."""
    x = _restore(buf, weak)
    try:
        return bottom().place(x, device)
    except TracejitError:
        return x


def from_numpy(x: Any, weak: bool = False) -> Array:
    """Return an Uncommitted array with a copy of the elements of `x`."""
    array = _copied(x)
    aval = aval_of_scalar(x) if weak else ShapedArray(array.shape, array.dtype)
    if array.dtype is not aval.dtype:
        array = array.astype(aval.dtype)
    return uncommitted(aval, array)


_LINE = 64
_WORTH_ALIGNING = 1 << 14


def _copied(x: Any) -> np.ndarray[Any, Any]:
    """Return a copy that begins a cache line if it is large: vectors are read whole lines then."""
    array = np.asarray(x)
    if array.nbytes < _WORTH_ALIGNING or array.dtype.hasobject:
        return np.array(x, order="C", copy=True)
    memory = np.empty(array.nbytes + _LINE, np.uint8)
    copy: np.ndarray[Any, Any] = np.ndarray(
        array.shape, array.dtype, memory, -memory.ctypes.data % _LINE
    )
    copy[...] = array
    return copy


def download(buf: Any) -> np.ndarray[Any, Any]:
    """Return a copy of a device's buffer in host memory, and count it."""
    found: np.ndarray[Any, Any] = buf.get()
    tally.downloads += 1
    return found


def host_array(x: Any) -> np.ndarray[Any, Any]:
    """Return the elements of an Array, a NumPy array or a scalar as a NumPy array, to be read."""
    if isinstance(x, Array):
        return x.buf if x.aval.device is None else download(x.buf)
    return np.asarray(x)


_lent: dict[int, weakref.ref[Array]] = {}


def lend(x: Array) -> None:
    """Remember that others may read the memory of `x` as long as it lives."""
    number = id(x)
    _lent[number] = weakref.ref(x, lambda _: _lent.pop(number, None))


def is_lent(x: Array) -> bool:
    """Whether others may read the memory of `x`, which therefore must not be given away."""
    return id(x) in _lent
