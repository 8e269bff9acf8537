"""Where CPython and NumPy keep what native calls read; tried on known objects before it is used."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

import numpy as np

__all__ = ["HEADER", "NEW_FROM_DESCR", "is_as_known", "numpy_function", "slot_offset"]

NEW_FROM_DESCR = 94
"""Of NumPy's C interface: the place of ``PyArray_NewFromDescr``; 2 is that of the type."""

HEADER = object.__basicsize__
word_at = ctypes.c_size_t.from_address


def numpy_function(place: int) -> int:
    """Return an address from the table of NumPy's C interface."""
    capsule = importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = get(capsule, None)
    return word_at(table + place * ctypes.sizeof(ctypes.c_void_p)).value


def slot_offset(cls: type, name: str) -> int:
    """Return where objects of a class have a slot: what its descriptor says."""
    member = word_at(id(cls.__dict__[name]) + HEADER + 24).value
    return ctypes.c_ssize_t.from_address(member + 16).value


def is_as_known() -> bool:
    """Whether objects are laid out as on the interpreters on which native calls were tested."""
    array = np.zeros((3, 5), np.float32)
    pair: Any = (array, 1)
    row: Any = [array, pair]
    number = 0.1
    return (
        word_at(id(array) + HEADER - 8).value == id(np.ndarray)
        and word_at(id(array) + HEADER).value == array.ctypes.data
        and ctypes.c_int32.from_address(id(array) + HEADER + 8).value == 2
        and word_at(word_at(id(array) + HEADER + 16).value + 8).value == 5
        and word_at(id(array) + HEADER + 40).value == id(array.dtype)
        and ctypes.c_int32.from_address(id(array) + HEADER + 48).value & 0x101 == 0x101
        and ctypes.c_int32.from_address(id(array.T) + HEADER + 48).value & 0x101 == 0x100
        and word_at(id(pair) + HEADER).value == 2
        and word_at(id(pair) + tuple.__basicsize__).value == id(array)
        and word_at(id(row) + HEADER).value == 2
        and word_at(word_at(id(row) + HEADER + 8).value + 8).value == id(pair)
        and ctypes.c_double.from_address(id(number) + HEADER).value == number
        and numpy_function(2) == id(np.ndarray)
    )
