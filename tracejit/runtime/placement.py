"""Where operations run, and how their operands get there.

One rule: an operation runs on the device of its arrays that were placed there; arrays that nobody
placed (:class:`~tracejit.core.array.Uncommitted`), NumPy arrays and scalars follow.  Without a
placed array it is the default device.  Placed arrays on several devices are an error, since
moving one is a decision, and costs more than most operations.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tracejit.backend import Backend
from tracejit.core.array import Array, Deferred, Uncommitted, check_kept, download, lend, wrap
from tracejit.core.devices import Device, default_place, device_at, find_device, tally
from tracejit.core.errors import DeviceError, DTypeError, ShapeError
from tracejit.ir.avals import ShapedArray
from tracejit.runtime.backends import backends_made, get_backend

__all__ = [
    "HOST_BACKEND", "HOST_OPERANDS", "Destination", "adopt", "adopted", "backend_at", "buffer_at",
    "commit", "conflict", "in_use", "place_for", "put", "to_buffer",
]  # fmt: skip

# A scalar is uploaded once; the numbers of a program are few.
_MOST_SCALARS = 4096
_scalars: OrderedDict[Any, Any] = OrderedDict()

HOST_BACKEND = "llvm"
"""What compiles for the host, unless ``jit(f, backend=...)`` says otherwise."""

HOST_OPERANDS = (np.ndarray, np.generic, bool, int, float, complex)
"""Types of operands that are no arrays of ours."""

_found: dict[str, tuple[Backend, int]] = {}


def backend_at(place: str) -> tuple[Backend, int]:
    """Return the backend of a device and its number there.

    Raises
    ------
    BackendError
        If there is no such backend, or it cannot run here.
    DeviceError
        If it has fewer devices.
    """
    found = _found.get(place)
    if found is not None:
        return found
    device = device_at(place)
    backend = get_backend(device.platform)
    count = backend.device_count()
    if device.id >= count:
        there = ", ".join(f"{device.platform}:{n}" for n in range(count))
        raise DeviceError(f"there is no device {device}; there are {there}")
    _found[place] = backend, device.id
    return backend, device.id


def in_use() -> bool:
    """Whether arrays have been on some device."""
    return bool(_found)


def put(array: np.ndarray[Any, Any], place: str) -> Any:
    """Return a buffer with the elements of a host array."""
    backend, number = backend_at(place)
    tally.uploads += 1
    return backend.put(array, number)


def to_buffer(x: Any, aval: ShapedArray) -> Any:
    """Return the host buffer of an operand: its own if it is contiguous, else a copy.

    Raises
    ------
    ShapeError
        If its shape is not that of `aval`.
    """
    if isinstance(x, Array):
        return x.buf if x.aval.device is None else download(x.buf)
    array = np.asarray(x, dtype=aval.dtype, order="C")
    if array.shape != aval.shape:
        raise ShapeError(f"an argument must have shape {aval.shape}; got {array.shape}")
    if not array.flags.aligned:
        array = array.copy()
    return array


def buffer_at(x: Any, aval: ShapedArray, place: str | None) -> Any:
    """Return a buffer of an operand on a device, moved there if it is elsewhere."""
    if isinstance(x, Array) and x.aval.device == place:
        return x.buf
    if isinstance(x, Deferred):
        return x.at(place)
    array = to_buffer(x, aval)
    if place is None:
        return array
    if aval.shape or isinstance(x, Array):
        return put(array, place)
    key = (place, aval.dtype, array.tobytes())
    found = _scalars.get(key)
    if found is None:
        if len(_scalars) >= _MOST_SCALARS:
            _scalars.popitem(last=False)
        found = _scalars[key] = put(array, place)
    return found


def commit(x: Array, place: str | None) -> Array:
    """Return `x` committed to a device."""
    if x.aval.device == place:
        return x if type(x) is Array else wrap(x.aval, x.buf)
    return wrap(x.aval.at(place), buffer_at(x, x.aval.placeless, place))


def place_for(operands: Iterable[Any]) -> tuple[str | None, bool, bool]:
    """Return where operands draw an operation, whether some are placed, and whether they agree."""
    place = default_place.get()
    placed = False
    for x in operands:
        if type(x) is Array:
            check_kept(x)
            if placed and x.aval.device != place:
                return place, True, False
            place, placed = x.aval.device, True
        elif type(x) is Uncommitted and place is None and not placed:
            check_kept(x)
            place = x.aval.device  # on the device where it was made, if nothing else counts
    return place, placed, True


def conflict(what: str, operands: Sequence[Any]) -> DeviceError:
    """Return the error of an operation whose operands are placed on several devices."""
    where = list(dict.fromkeys(str(device_at(x.aval.device)) for x in operands if type(x) is Array))
    return DeviceError(
        f"{what}: arrays must be on one device; got arrays on {' and '.join(where)}. Move one: "
        f'x.to_device("{where[-1]}"), or tracejit.device_put(x, "{where[-1]}")'
    )


def adopt(x: Any) -> Array | None:
    """Return a foreign array on a device as an Array, or ``None`` if it is on the host.

    Raises
    ------
    BackendError
        If it is on a CUDA device, and the backend for those cannot run here.
    """
    for backend in backends_made():
        if backend.platform != "cpu":
            found = backend.adopt(x)
            if found is not None:
                buf, number = found
                try:
                    aval = ShapedArray(buf.shape, buf.dtype, False, f"{backend.platform}:{number}")
                except TypeError as error:
                    raise DTypeError(str(error)) from None
                array = wrap(aval, buf)
                lend(array)
                return array
    if _is_on_cuda(x) and not any(b.platform == "cuda" for b in backends_made()):
        get_backend("cuda")
        return adopt(x)
    return None


class Destination:
    """Where a jitted function was told to run.

    Parameters
    ----------
    device : Device, str or None
        A device.
    backend : str or None
        A backend; one of a platform of its own is that platform's first device.

    Attributes
    ----------
    fixed : bool
        Whether it was told.
    host_backend : str
        What compiles it for the host.
    """

    __slots__ = ("_backend", "_place", "fixed", "host_backend")

    def __init__(self, device: Any = None, backend: str | None = None) -> None:
        self._place = None if device is None else find_device(device).place
        self._backend = None if backend == HOST_BACKEND else backend
        self.host_backend = HOST_BACKEND
        self.fixed = device is not None or backend is not None

    @property
    def place(self) -> str | None:
        """The device; looked for when the function is first called."""
        name = self._backend
        if name is not None:
            if get_backend(name).platform == "cpu":
                self.host_backend = name
            elif self._place is None:
                self._place = str(Device(name))
            elif device_at(self._place).platform != name:
                raise DeviceError(f"the backend {name!r} does not run on {self._place}")
            self._backend = None
        if self._place is not None:
            backend_at(self._place)
        return self._place


_CUDA_TYPES = (2, 13)  # kDLCUDA, kDLCUDAManaged


def adopted(x: Any) -> Any:
    """Return an argument as an Array if it is a foreign array on a device, else as it is."""
    if isinstance(x, (Array, *HOST_OPERANDS)):
        return x
    found = adopt(x)
    return x if found is None else found


def _is_on_cuda(x: Any) -> bool:
    if hasattr(x, "__cuda_array_interface__"):
        return True
    device = getattr(x, "__dlpack_device__", None)
    return device is not None and device()[0] in _CUDA_TYPES
