"""Buffers of results: large ones are recycled.

The first touch of fresh memory costs a page fault every 4 kB, which for arrays of tens of
megabytes is several times the work of a kernel.  So blocks stay mapped when their last array dies,
and the next array of about that size takes them over.

Small ones are left to the allocator of the system.  That of glibc gives memory back, and takes it
anew for the next call, unless it has seen a larger block come and go.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Buffers"]

SMALL = 1 << 20
"""Bytes below which an allocator of the system keeps pages itself, and is asked sooner."""
SEEN = 4 * SMALL
"""Bytes of a block that is freed at the start, untouched: glibc then keeps up to twice as many."""
ALIGN = 64

Memory = np.ndarray[Any, Any]


def _eighth_of_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
    except (AttributeError, OSError, ValueError):
        return 1 << 30


class Buffers:
    """Allocates host arrays; may be used by several threads.

    Parameters
    ----------
    most : int, optional
        Bytes of free blocks that are kept; an eighth of the machine's memory by default.

    Attributes
    ----------
    kept : int
        Bytes of free blocks now.
    recycled : int
        How many arrays took over a block.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = _eighth_of_memory() if most is None else most
        self.kept = 0
        self.recycled = 0
        np.empty(SEEN, np.uint8)  # Seen, and gone.
        self._free: dict[int, Memory] = {}
        """Free blocks by their address, the one freed longest ago first."""
        self._of_size: dict[int, list[int]] = {}
        self._types: dict[int, Any] = {}
        # Reentrant: the collector may free an array, and so call `_give_back`, within `empty`.
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            this = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _forked(this()))

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Return an uninitialised C-contiguous array; a large one is 64-byte aligned."""
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < SMALL:
            return np.empty(shape, dtype)
        return np.ndarray(shape, dtype, buffer=self._block(nbytes))

    def allocator(
        self, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Callable[[], np.ndarray[Any, Any]]:
        """Return a function that does what `empty` does for one shape and dtype, sooner."""
        if math.prod(shape) * dtype.itemsize < SMALL:
            return functools.partial(np.empty, shape, dtype)
        return functools.partial(self.empty, shape, dtype)

    def trim(self) -> None:
        """Give all free blocks back to the system."""
        with self._lock:
            self._free.clear()
            self._of_size.clear()
            self.kept = 0

    def _block(self, nbytes: int) -> Any:
        # Eight classes an octave: at most an eighth of a block is wasted.
        step = 1 << max(nbytes.bit_length() - 4, 12)
        size = -(-nbytes // step) * step
        memory = None
        with self._lock:
            addresses = self._of_size.get(size)
            if addresses:
                memory = self._free.pop(addresses.pop())
                self.kept -= size
                self.recycled += 1
            kind = self._types.get(size)
            if kind is None:
                kind = self._types[size] = self._type(size)
        if memory is None:
            memory = self._fresh(size)
        block = kind.from_address(-(-memory.ctypes.data // ALIGN) * ALIGN)
        block.memory = memory
        return block

    def _fresh(self, size: int) -> Memory:
        try:
            return np.empty(size + ALIGN, np.uint8)
        except MemoryError:
            self.trim()
            return np.empty(size + ALIGN, np.uint8)

    def _type(self, size: int) -> Any:
        """Return a ctypes array type whose objects give their memory back when they die.

        NumPy keeps such an object as the base of an array and of all its views, which a base that
        is an ndarray would not be: its views would refer to the base's own base.
        """

        def give_back(block: Any) -> None:
            self._give_back(size, block.memory)

        return type("Block", (ctypes.c_char * size,), {"__del__": give_back})

    def _give_back(self, size: int, memory: Memory) -> None:
        if size > self.most:
            return
        address = id(memory)
        with self._lock:
            self._free[address] = memory
            self._of_size.setdefault(size, []).append(address)
            self.kept += size
            while self.kept > self.most:
                oldest, dropped = next(iter(self._free.items()))
                del self._free[oldest]
                dropped_size = dropped.nbytes - ALIGN
                self._of_size[dropped_size].remove(oldest)
                self.kept -= dropped_size


def _forked(buffers: Buffers | None) -> None:
    """In a forked child another thread's hold of the lock would last for ever."""
    if buffers is not None:
        buffers._lock = threading.RLock()
