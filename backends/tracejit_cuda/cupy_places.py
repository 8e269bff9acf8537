"""Places: where the work of a thread goes, a device and a stream of it.

The stream of a device is CUDA's *legacy default stream*, on which CuPy and PyTorch work unless told
otherwise, and with which every stream but the non-blocking ones synchronises.  So our kernels, the
functions of the namespace, copies by ``ndarray.get``, memory that CuPy's pool recycles, and arrays
that are lent or borrowed are in one order, and nothing needs an event.  On a private stream each of
them would be a race that no test without a GPU can show.

Only what is recorded as a graph is recorded on a stream of its own, because the default stream
cannot be recorded; the graph then runs on the default stream.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tracejit_cuda.runtime import CudaError

__all__ = ["DEFAULT", "Place", "Places"]

DEFAULT = (0, 1)
"""Handles of the legacy default stream."""


class Place:
    """A device and a stream, made CuPy's current ones; several threads may be in it."""

    __slots__ = ("device", "pointer", "stream")

    def __init__(self, device: Any, stream: Any) -> None:
        self.device = device
        self.stream = stream
        self.pointer: int = stream.ptr

    def __enter__(self) -> None:
        self.device.__enter__()
        try:
            self.stream.__enter__()
        except BaseException:
            self.device.__exit__(None, None, None)
            raise

    def __exit__(self, *error: object) -> None:
        try:
            self.stream.__exit__(*error)
        finally:
            self.device.__exit__(*error)


class _Thread(threading.local):
    """What a thread has of its own."""

    def __init__(self) -> None:
        # Of those devices whose context this thread has.
        self.places: dict[int, Place] = {}
        # The driver finds here where the one argument of a kernel is.
        self.parameters = (ctypes.c_void_p * 1)()
        self.parameters_at = ctypes.addressof(self.parameters)
        self.pinned: Any = None


class Places:
    """The devices of a process.

    Parameters
    ----------
    cuda : module
        ``cupy.cuda``.

    Attributes
    ----------
    count : int
        How many devices there are.
    thread : object
        What the calling thread has of its own: ``places`` by device; ``parameters``, an array of
        one pointer at the address ``parameters_at``; ``pinned``, a little memory of the host.
    """

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._api = cuda.runtime
        self._defaults: dict[int, Place] = {}
        self._recorders: dict[int, Place] = {}
        self._lock = threading.RLock()
        self.count: int = cuda.runtime.getDeviceCount()
        self.thread = _Thread()

    def used(self) -> list[int]:
        """Return the devices on which there may be work."""
        return list(self._defaults)

    def at(self, device: int) -> Place:
        """Return where the work of this thread for a device goes."""
        return self.thread.places.get(device) or self._prepare(device)

    def _prepare(self, device: int) -> Place:
        self.check(device)
        place = self._defaults.get(device)
        if place is None:
            place = Place(self._cuda.Device(device), self._cuda.Stream.null)
            place = self._defaults.setdefault(device, place)
        with place.device:
            # Functions of the driver need a context, which those of the run time make.
            self._api.memGetInfo()
        self.thread.places[device] = place
        return place

    def check(self, device: int) -> None:
        """Raise if there is no such device."""
        if not 0 <= device < self.count:
            raise CudaError(f"there is no CUDA device {device}: they are 0 to {self.count - 1}")

    @contextmanager
    def recording(self, device: int) -> Iterator[Any]:
        """Yield the stream on which the work of this thread for a device is to be recorded."""
        here = self.at(device)
        with self._lock, here.device:
            recorder = self._recorders.get(device)
            if recorder is None:
                # Others may use the default stream meanwhile only if this one ignores it.
                stream = self._cuda.Stream(non_blocking=True)
                recorder = self._recorders[device] = Place(here.device, stream)
            self.thread.places[device] = recorder
            try:
                yield recorder.stream
            finally:
                self.thread.places[device] = here
