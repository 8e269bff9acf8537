"""Subclasses of Python classes whose objects are called by a vectorcall function of ours."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

__all__ = ["Room", "call_with", "callable_subclass", "room_of", "set_table"]

WORD = ctypes.sizeof(ctypes.c_void_p)


class Room(NamedTuple):
    """Where objects of such a type have their words: two functions, a table, its length."""

    function: int
    table: int
    length: int
    slow: int
    end: int


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
_TP_CALL, _TP_MEMBERS = 50, 72
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
    call = ctypes.cast(api.PyVectorcall_Call, ctypes.c_void_p).value
    slots = (_Slot * 3)(
        _Slot(_TP_MEMBERS, ctypes.addressof(members)), _Slot(_TP_CALL, call), _Slot(0, None)
    )
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
