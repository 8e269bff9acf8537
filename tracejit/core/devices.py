"""Devices by name, the default one, and counts of what they cost.

A *place* is how types say where an array lives (:attr:`ShapedArray.device`): ``None`` for the
host, else the name of a device such as ``"cuda:0"``.  Users see a :class:`Device`.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any, NamedTuple

from tracejit.core.errors import DeviceError

__all__ = ["Device", "Placement", "default_place", "device_at", "find_device", "place_of", "tally"]

HOST = "cpu"
_ALIASES = {"gpu": "cuda"}
_NAME = re.compile(r"([a-z]\w*?)(?::(\d+))?")


class Device(NamedTuple):
    """A place where arrays live and programs run; equal to the strings that name it."""

    platform: str
    id: int = 0

    def __str__(self) -> str:
        return f"{self.platform}:{self.id}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            match = _NAME.fullmatch(other)
            return match is not None and self == _named(match)
        return tuple.__eq__(self, other) if isinstance(other, Device) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def place(self) -> str | None:
        """What types say of arrays that live here."""
        return None if self.platform == HOST else str(self)


class Placement:
    """What says on which device an array is: a base for the shardings."""

    __slots__ = ()

    @property
    def device(self) -> Device:
        """The device; raises DeviceError where there is not one."""
        raise NotImplementedError


def _named(match: re.Match[str]) -> Device:
    platform = match[1]
    return Device(_ALIASES.get(platform, platform), int(match[2] or 0))


def find_device(x: Any) -> Device:
    """Return the device that a user names; whether there is one is not looked at.

    Parameters
    ----------
    x : Device, str, Sharding or None
        A name is ``"cpu"``, ``"cuda"`` (the first) or ``"cuda:1"``; ``None`` is the default.

    Raises
    ------
    DeviceError
        If `x` is no such name.
    """
    if x is None:
        return device_at(default_place.get())
    if isinstance(x, Device):
        return x
    if isinstance(x, Placement):
        return x.device
    match = _NAME.fullmatch(x) if isinstance(x, str) else None
    if match is None:
        raise DeviceError(
            f'a device is one of tracejit.devices(), or a name such as "cpu", "cuda" or "cuda:1"; '
            f"got {x!r}"
        )
    found = _named(match)
    if found.platform == HOST and found.id:
        raise DeviceError(f'the host is one device, "cpu"; got {x!r}')
    return found


def device_at(place: str | None) -> Device:
    """Return the Device that is called `place` in types."""
    if place is None:
        return Device(HOST)
    platform, _, number = place.partition(":")
    return Device(platform, int(number or 0))


def place_of(x: Any) -> str | None:
    """Return :func:`find_device` of `x` as types write it."""
    return default_place.get() if x is None else find_device(x).place


default_place: ContextVar[str | None] = ContextVar("default_place", default=None)
"""Where arrays are made and operations run that no array draws to another device."""


class _Tally:
    """What happened on account of devices since the process began.

    Attributes
    ----------
    uploads, downloads : int
        Copies of arrays from the host, and to it.
    eager_compiled : int
        Operations that the array library of a device lacks, so that they were compiled.
    """

    __slots__ = ("downloads", "eager_compiled", "uploads")

    def __init__(self) -> None:
        self.uploads = 0
        self.downloads = 0
        self.eager_compiled = 0


tally = _Tally()
