"""Loans: foreign device arrays as buffers, without a copy, and in the right order.

What the lender enqueued comes first: work on the default stream waits for the stream that the array
names.  Our work comes before what the lender does with its memory afterwards: a loan whose last
buffer is gone keeps the lender's array until the kernels that may read it are done, and the stream
it came from waits for them.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
from collections import deque
from typing import Any

import numpy as np

from tracejit_cuda.cupy_places import DEFAULT, Places
from tracejit_cuda.cupy_reports import Reports
from tracejit_cuda.runtime import Buffer

__all__ = ["Loans"]

DLPACK_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged
ON_DEVICE = (2, 3)  # cudaMemoryTypeDevice and cudaMemoryTypeManaged


class _Loan:
    """Owner of the memory of a lender's array; given back when the last buffer over it is gone."""

    __slots__ = ("__weakref__", "device", "lender", "loans", "stream")

    def __init__(self, loans: Loans, lender: Any, device: int, stream: int | None) -> None:
        self.loans = loans
        self.lender = lender
        self.device = device
        self.stream = stream

    def __del__(self) -> None:
        if not sys.is_finalizing():
            # An error of the device is reported where it is waited for.
            with contextlib.suppress(Exception):
                self.loans.give_back(self.lender, self.device, self.stream)


class Loans:
    """Foreign arrays as buffers, and what is held for work in progress.

    Parameters
    ----------
    cupy : module
        CuPy.
    places, reports
        The runtime's.
    """

    def __init__(self, cupy: Any, places: Places, reports: Reports) -> None:
        self._cupy = cupy
        self._cuda = cupy.cuda
        self._api = cupy.cuda.runtime
        self._places = places
        self._reports = reports
        self._held: deque[tuple[Any, Any]] = deque()
        self._collecting = threading.Lock()

    # ------------------------------------------------------------------ holding

    def hold(self, x: Any) -> Any:
        """Keep `x` until what is enqueued on the current device is done; return the event."""
        event = self._cuda.Event(disable_timing=True)
        event.record(self._cuda.Stream.null)
        self._held.append((event, x))
        return event

    def collect(self) -> None:
        """Let go of what was held for work that is done."""
        # A destructor may come here at any time, so this must not wait for itself.
        if self._held and self._collecting.acquire(blocking=False):
            try:
                while self._held and self._held[0][0].done:
                    self._held.popleft()
            finally:
                self._collecting.release()

    def give_back(self, lender: Any, device: int, stream: int | None) -> None:
        """Let go of a lender's array when what is enqueued is done."""
        with self._places.at(device):
            event = self.hold(lender)
            if stream is not None and stream not in DEFAULT:
                self._api.streamWaitEvent(stream, event.ptr)
        self.collect()

    # ---------------------------------------------------------------- borrowing

    def adopt(self, x: Any) -> Buffer | None:
        """Return a C-contiguous buffer of a foreign array, ``None`` if it is on no GPU."""
        cupy = self._cupy
        if isinstance(x, cupy.ndarray):
            device = x.data.device_id
            # By CuPy's convention an array is ready on the stream that is current.
            stream = self._cuda.get_current_stream(device).ptr
            if stream not in DEFAULT:
                return self._borrow(x, x, device, stream)
            if x.flags.c_contiguous:
                return x  # type: ignore[no-any-return]
            with self._places.at(device), self._reports.reported(device):
                return cupy.ascontiguousarray(x)  # type: ignore[no-any-return]
        if hasattr(x, "__dlpack_device__"):
            kind, device = map(int, x.__dlpack_device__())
            if kind not in DLPACK_CUDA:
                return None
            # Where the lender is a wrapper of CuPy's arrays, it would take the default stream,
            # current in `_from_dlpack`, for the one that its work is on.
            stream = self._cuda.get_current_stream(device).ptr
            array = self._from_dlpack(x, device)
            if array is not None:
                return self._borrow(array, array, device, stream)
        if not hasattr(x, "__cuda_array_interface__"):
            return None
        return self._from_interface(x)

    def _from_dlpack(self, x: Any, device: int) -> Any:
        """Return CuPy's array over a DLPack tensor, ``None`` if the other protocol must do."""
        with self._places.at(device), self._reports.reported(device):
            try:
                # This gives the lender the current stream, which it makes wait for its own.
                return self._cupy.from_dlpack(x)
            except (BufferError, NotImplementedError, TypeError):  # e.g. a dtype DLPack lacks
                if not hasattr(x, "__cuda_array_interface__"):
                    raise
                return None

    def _from_interface(self, x: Any) -> Buffer | None:
        how = x.__cuda_array_interface__
        if how.get("mask") is not None:
            raise ValueError("an array with a mask cannot be used: fill what is masked")
        start = how["data"][0]
        device = self._api.getDevice()
        if start:  # an empty array has no address, and so is on no device
            found = self._api.pointerGetAttributes(start)
            if found.type not in ON_DEVICE:
                return None
            device = found.device
        shape, kind = tuple(how["shape"]), np.dtype(how["typestr"])
        array = self.view(start, shape, kind, device, x, how.get("strides"))
        return self._borrow(array, x, device, how.get("stream"))

    def _borrow(self, array: Any, lender: Any, device: int, stream: int | None) -> Buffer:
        """Return a contiguous buffer of the elements of `array`, whose memory `lender` owns."""
        with self._places.at(device), self._reports.reported(device):
            if stream is not None and stream not in DEFAULT:
                event = self._cuda.Event(disable_timing=True)
                self._api.eventRecord(event.ptr, stream)
                self._cuda.Stream.null.wait_event(event)
            loan = _Loan(self, lender, device, stream)
            if not array.flags.c_contiguous:
                return self._cupy.ascontiguousarray(array)  # type: ignore[no-any-return]
            buffer: Buffer = self.view(array.data.ptr, array.shape, array.dtype, device, loan)
            return buffer

    def view(
        self,
        address: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        device: int,
        owner: Any,
        strides: tuple[int, ...] | None = None,
    ) -> Any:
        """Return an array over memory that `owner` keeps alive."""
        size = math.prod(shape) * dtype.itemsize
        memory = self._cuda.UnownedMemory(address, size, owner, device)
        pointer = self._cuda.MemoryPointer(memory, 0)
        return self._cupy.ndarray(shape, dtype, pointer, strides)
