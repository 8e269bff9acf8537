"""Buffers of results: large ones are recycled.

The first touch of fresh memory costs a page fault every 4 kB, which for arrays of tens of
megabytes is several times the work of a kernel.  So blocks stay mapped when their last array dies,
and the next array of about that size takes them over.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from typing import Any

import numpy as np

__all__ = ["Buffers"]

SMALL = 64 << 10
ALIGN = 64


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 4 << 30


class Buffers:
    """Allocates host arrays.

    Parameters
    ----------
    most : int, optional
        Bytes of free blocks that are kept; an eighth of the machine's memory by default.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = _memory() // 8 if most is None else most
        self.kept = 0
        self.recycled = 0
        self._free: dict[int, list[np.ndarray[Any, Any]]] = {}
        self._types: dict[int, Any] = {}
        # Reentrant: the collector may free an array, and so call `_give_back`, within `empty`.
        self._lock = threading.RLock()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Return an uninitialised C-contiguous array; a large one is 64-byte aligned."""
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < SMALL:
            return np.empty(shape, dtype)
        return np.ndarray(shape, dtype, buffer=self._block(nbytes))

    def trim(self) -> None:
        """Give all free blocks back to the system."""
        with self._lock:
            self._free.clear()
            self.kept = 0

    def _block(self, nbytes: int) -> Any:
        # Eight classes an octave: at most an eighth of a block is wasted.
        step = 1 << max(nbytes.bit_length() - 4, 12)
        size = -(-nbytes // step) * step
        with self._lock:
            blocks = self._free.get(size)
            if blocks:
                memory = blocks.pop()
                self.kept -= size
                self.recycled += 1
            else:
                memory = np.empty(size + ALIGN, np.uint8)
            kind = self._types.get(size)
            if kind is None:
                kind = self._types[size] = self._type(size)
        start = -(-memory.ctypes.data // ALIGN) * ALIGN
        block = kind.from_address(start)
        block.memory = memory
        return block

    def _type(self, size: int) -> Any:
        """Return a ctypes array type whose objects give their memory back when they die.

        NumPy keeps such an object as the base of an array and of all its views, which a base that
        is an ndarray would not be: its views would refer to the base's own base.
        """

        def give_back(block: Any) -> None:
            self._give_back(size, block.memory)

        return type("Block", (ctypes.c_char * size,), {"__del__": give_back})

    def _give_back(self, size: int, memory: np.ndarray[Any, Any]) -> None:
        with self._lock:
            if self.kept + size <= self.most:
                self._free.setdefault(size, []).append(memory)
                self.kept += size
