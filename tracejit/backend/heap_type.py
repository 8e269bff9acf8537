"""Subclasses of Python classes whose objects are called by a vectorcall function of ours.

Until such an object is given one, CPython calls it as it calls any object of the class.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import sysconfig
from typing import Any, NamedTuple

__all__ = ["Room", "call_with", "callable_subclass", "is_supported", "room_of", "set_table"]

VERSIONS = ((3, 11),)
"""Versions of CPython on which native calls have been tested."""

WORD = ctypes.sizeof(ctypes.c_void_p)


class Room(NamedTuple):
    """Where objects of such a type have their words: two functions, a table, its length."""

    function: int
    table: int
    length: int
    slow: int
    end: int


def is_supported() -> bool:
    """Whether native calls were tested on this interpreter and are not switched off.

    ``TRACEJIT_NATIVE_CALLS=0`` switches them off.
    """
    return (
        os.environ.get("TRACEJIT_NATIVE_CALLS") != "0"
        and platform.python_implementation() == "CPython"
        and sys.version_info[:2] in VERSIONS
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
        and WORD == 8
    )


def room_of(base: type) -> Room:
    """Return the words that follow an object of `base`."""
    start = base.__basicsize__
    return Room(*range(start, start + 5 * WORD, WORD))


class _Member(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("function", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


_SSIZE, _READ_ONLY = 19, 1
_TP_MEMBERS = 72
_DEFAULT, _VECTORCALL, _BASETYPE = 1 << 18, 1 << 11, 1 << 10
_MANAGED = 0b11000
"""Whether a dict and weak references lie before an object: as in its base."""

_kept: list[Any] = []
"""What types refer to; they live as long as the process."""


def callable_subclass(base: type) -> type:
    """Return a subclass of `base`, which has a ``__call__``, with the words of :func:`room_of`."""
    api = ctypes.pythonapi
    room = room_of(base)
    name = f"{base.__module__}.{base.__qualname__}".encode()
    members = (_Member * 2)(
        _Member(b"__vectorcalloffset__", _SSIZE, room.function, _READ_ONLY, None), _Member()
    )
    # Without a tp_call of its own the type inherits that of `base`, which finds its ``__call__``.
    slots = (_Slot * 2)(_Slot(_TP_MEMBERS, ctypes.addressof(members)), _Slot(0, None))
    flags = _DEFAULT | _VECTORCALL | _BASETYPE | base.__flags__ & _MANAGED
    spec = _Spec(name, room.end, 0, flags, slots)
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object)(
        ("PyType_FromSpecWithBases", api)
    )
    made: type = make(ctypes.addressof(spec), (base,))
    _kept.append((name, members, slots, spec, made))
    return made


def call_with(function: Any, room: Room, address: int, slow: Any) -> None:
    """Make `function` be called by the vectorcall function at an address.

    Parameters
    ----------
    function : object
        Of a type with this room.
    room : Room
        Where.
    address : int
        What is called.
    slow : callable
        What it may call instead with `function` and the arguments; somebody else keeps it.
    """
    ctypes.c_void_p.from_address(id(function) + room.slow).value = id(slow)
    ctypes.c_void_p.from_address(id(function) + room.function).value = address


def set_table(function: Any, room: Room, table: int, count: int) -> None:
    """Give `function` a table, which somebody else keeps."""
    ctypes.c_ssize_t.from_address(id(function) + room.length).value = 0
    ctypes.c_void_p.from_address(id(function) + room.table).value = table
    ctypes.c_ssize_t.from_address(id(function) + room.length).value = count
