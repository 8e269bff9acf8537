"""Memory of simulated devices: mappings of the host between pages that nobody may touch.

An allocation ends where an inaccessible page begins, and another lies before it, so that an address
beyond either end stops the kernel.  Fresh memory holds a pattern: what was never written shows.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import threading
import weakref
from collections import deque
from typing import Any

import numpy as np

from tracejit_cuda.runtime import CudaError

__all__ = ["Allocation", "Heap", "collect", "describe", "find", "live"]

FRESH = 0xFF
"""The bytes of fresh memory: nan in every float, so that no sum hides them, and -1."""

ALIGNMENT = 16
GUARD = 64 << 10
"""Bytes before and after an allocation that nobody may touch: whole pages of any processor."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_ssize_t,
]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_PRIVATE = 0x22  # MAP_PRIVATE | MAP_ANONYMOUS on Linux, which mmap names only since Python 3.13
_FAILED = ctypes.c_void_p(-1).value

_lock = threading.RLock()
_live: dict[int, weakref.ref[Allocation]] = {}
_sorted: list[int] = []
_version = 0
# Garbage is collected at any time, also while the tables above are read: it waits here.
_freed: deque[tuple[int, int, int, int, Heap]] = deque()


class Allocation:
    """Memory of a device, given back when nothing refers to it.

    Attributes
    ----------
    address : int
        Where it starts, a multiple of 16.
    nbytes : int
        Its size.
    heap : Heap
        Of the device.
    """

    __slots__ = ("__weakref__", "address", "heap", "nbytes")

    def __init__(self, address: int, nbytes: int, heap: Heap) -> None:
        self.address = address
        self.nbytes = nbytes
        self.heap = heap

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The bytes, for NumPy: an array over them keeps the allocation."""
        return {
            "shape": (self.nbytes,),
            "typestr": "|u1",
            "data": (self.address, False),
            "version": 3,
        }


class Heap:
    """The memory of one device.

    Parameters
    ----------
    device : int
        Its number.
    capacity : int
        Bytes it has.
    """

    def __init__(self, device: int, capacity: int) -> None:
        self.device = device
        self.capacity = capacity
        self.used = 0

    def allocate(self, nbytes: int) -> Allocation:
        """Return fresh memory.

        Raises
        ------
        MemoryError
            If the device has no such room.
        """
        global _version
        with _lock:
            _collect()
            if self.used + nbytes > self.capacity:
                raise MemoryError(
                    f"simulated device {self.device} has no room for {nbytes:,} bytes: "
                    f"{self.capacity - self.used:,} of {self.capacity:,} are free"
                )
            start, length, address = _map(nbytes)
            allocation = Allocation(address, nbytes, self)
            self.used += nbytes
            _live[address] = weakref.ref(allocation)
            bisect.insort(_sorted, address)
            _version += 1
        gone = (start, length, address, nbytes, self)
        weakref.finalize(allocation, _freed.append, gone).atexit = False
        return allocation


def _map(nbytes: int) -> tuple[int, int, int]:
    """Return a mapping with guards before and after, its length, and where the data start."""
    page = mmap.PAGESIZE
    padded = -(-nbytes // ALIGNMENT) * ALIGNMENT
    room = -(-padded // page) * page
    length = room + 2 * GUARD
    access = mmap.PROT_READ | mmap.PROT_WRITE
    start = _libc.mmap(None, length, access, _PRIVATE, -1, 0)
    if start == _FAILED or start is None:
        raise MemoryError(f"the host has no room for {nbytes:,} bytes of a simulated device")
    for guard in (start, start + GUARD + room):
        _libc.mprotect(guard, GUARD, 0)
    address: int = start + GUARD + room - padded
    ctypes.memset(address, FRESH, padded)
    return start, length, address


def _collect() -> None:
    """Unmap what nothing refers to; the lock is held."""
    global _version
    while _freed:
        start, length, address, nbytes, heap = _freed.popleft()
        _libc.munmap(start, length)
        heap.used -= nbytes
        del _live[address]
        del _sorted[bisect.bisect_left(_sorted, address)]
        _version += 1


def collect() -> None:
    """Unmap what nothing refers to."""
    with _lock:
        _collect()


def find(address: int, nbytes: int) -> Allocation:
    """Return the allocation that holds a range of addresses.

    Raises
    ------
    CudaError
        If none does.
    """
    with _lock:
        _collect()
        place = bisect.bisect_right(_sorted, address) - 1
        found = _live[_sorted[place]]() if place >= 0 else None
    if found is None or address + nbytes > found.address + found.nbytes:
        raise CudaError(f"{nbytes} bytes at {address:#x} are in no memory of a simulated device")
    return found


def describe(address: int) -> str:
    """Return where an address is, if that is just outside an allocation; else ``""``."""
    with _lock:
        place = bisect.bisect_right(_sorted, address) - 1
        for start in _sorted[max(place, 0) : place + 2]:
            found = _live[start]()
            if found is None:
                continue
            if start - GUARD <= address < start:
                return f"{start - address} bytes before a buffer of {found.nbytes}"
            after = address - start - found.nbytes
            if 0 <= after < GUARD:
                return f"{after} bytes after the end of a buffer of {found.nbytes}"
    return ""


def live(device: int, known: int) -> tuple[int, Any, Any] | None:
    """Return the version of what is allocated, the sorted starts and the sizes; after collecting.

    ``None`` if the version is the `known` one.
    """
    with _lock:
        _collect()
        if known == _version:
            return None
        found = [a for address in _sorted if (a := _live[address]()) is not None]
        found = [a for a in found if a.heap.device == device]
        starts = np.array([a.address for a in found], np.uint64)
        return _version, starts, np.array([a.nbytes for a in found], np.uint64)
