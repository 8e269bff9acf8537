"""Calls: what one call of an executable works on.

A plan's steps are *actions*: functions of a :class:`Run`, which knows where every slot points now.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.ir.plan import Assign, Plan, Point, all_steps

__all__ = ["Action", "Run", "Words", "aligned_slots"]


class Run:
    """One call in progress: where every slot points."""

    __slots__ = ("device", "gate", "kept", "places", "trip")

    def __init__(self, places: list[int], device: int) -> None:
        self.places = places
        self.device = device
        self.kept: list[Any] = []
        self.trip = (0, 0)
        self.gate = 0


Action = Callable[[Run], None]
"""A step, ready to be enqueued."""


class Words:
    """The arguments of a kernel: a few addresses, the places of slots, numbers; 8 bytes each."""

    __slots__ = ("array", "prefix", "slots")

    def __init__(self, prefix: int, slots: Sequence[int], numbers: Sequence[float]) -> None:
        self.prefix = prefix
        self.slots = tuple(enumerate(slots, prefix))
        first = prefix + len(slots)
        self.array = (ctypes.c_int64 * max(first + len(numbers), 1))()
        for n, x in enumerate(numbers, first):
            if isinstance(x, float):
                self.array[n] = struct.unpack("<q", struct.pack("<d", x))[0]
            else:
                self.array[n] = x

    def fill(self, places: Sequence[int], first: tuple[int, ...]) -> ctypes.Array[Any]:
        """Return the words for the places of a call; they are copied when a kernel is launched."""
        array = self.array
        for n, address in enumerate(first):
            array[n] = address
        for n, slot in self.slots:
            array[n] = places[slot]
        return array


def aligned_slots(plan: Plan) -> list[bool]:
    """Return which slots always start at a multiple of 16 bytes."""
    aligned = [True] * len(plan.slots)
    changed = True
    while changed:
        changed = False
        for s in all_steps(plan.steps):
            pairs: list[tuple[int, bool]] = []
            if isinstance(s, Point):
                pairs = [(s.target, aligned[s.base] and s.stride % 16 == 0)]
            elif isinstance(s, Assign):
                pairs = [(t, aligned[o]) for t, o in zip(s.targets, s.sources, strict=True)]
            for slot, good in pairs:
                if aligned[slot] and not good:
                    aligned[slot] = False
                    changed = True
    return aligned
