"""The carried values of a loop: where they lie, and how a trip hands them to the next.

A value has two buffers, whose pointers are exchanged after each trip; one that is updated in place,
or not at all, has one.  The first buffer is the place of the result, which may be that of the
initial value too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tracejit.compiler.memory import Arena
from tracejit.ir.avals import ShapedArray
from tracejit.ir.plan import Assign, Copy, Slot, Step

__all__ = ["Carry"]


class _Places(Protocol):
    """What makes slots: the assembler."""

    arena: Arena
    slots: list[Slot]

    def slot(self, kind: str, number: int, aval: ShapedArray) -> int:
        """Return a new slot."""

    def pointer(self, aval: ShapedArray) -> int:
        """Return a new slot that is set by a step."""


class Carry:
    """The buffers of one loop.

    Parameters
    ----------
    places : assembler
        Makes slots.
    avals : sequence of ShapedArray
        Of the carried values.
    initial, targets : sequence of int
        The slots of the initial values and of the results.
    in_place : sequence of bool
        Which values a trip leaves where they are.
    rotates : bool
        Whether values change places (``u_old, u = u, u_new``): they end up in one another's
        buffers, so each needs two besides the place of its result.

    Attributes
    ----------
    inside, next : list of int
        The slots of the values at the start of a trip, and those for the values of the next one.
    """

    def __init__(
        self,
        places: _Places,
        avals: Sequence[ShapedArray],
        initial: Sequence[int],
        targets: Sequence[int],
        in_place: Sequence[bool],
        rotates: bool,
    ) -> None:
        self.places = places
        self.avals = list(avals)
        self.initial = list(initial)
        self.targets = list(targets)
        self.inside = [places.pointer(aval) for aval in avals]
        self.next = [places.pointer(aval) for aval in avals]
        self.offsets: list[int] = []
        moving = [n for n, stays in enumerate(in_place) if not stays]
        self.spare = {n: self._buffer(avals[n]) for n in moving}
        self.first = list(targets)
        if rotates:
            for n in moving:
                self.first[n] = self._buffer(avals[n])

    def _buffer(self, aval: ShapedArray) -> int:
        self.offsets.append(self.places.arena.allocate(aval.nbytes))
        return self.places.slot("arena", self.offsets[-1], aval)

    def start(self) -> list[Step]:
        """Copy the initial values into the loop's own buffers; set the pointers."""
        steps: list[Step] = [
            Copy(t, i, aval.nbytes)
            for t, i, aval in zip(self.first, self.initial, self.avals, strict=True)
            if t != i
        ]
        if self.inside:
            swapped = [self.next[n] for n in self.spare]
            steps.append(
                Assign((*self.inside, *swapped), (*self.first, *self.spare.values()))
            )
        return steps

    def exchange(self, results: Sequence[int]) -> list[Step]:
        """Make the results of a trip the values of the next."""
        steps: list[Step] = []
        sources: list[int] = []
        own = set(self.inside) | set(self.next)
        for n, r in enumerate(results):
            if r not in own or r in sources or not self._fits(r, n):
                assert n in self.spare
                steps.append(Copy(self.next[n], r, self.avals[n].nbytes))
                r = self.next[n]
            sources.append(r)
        # A later result may have claimed the buffer into which an earlier one was copied.
        assert len(set(sources)) == len(sources)
        free = [i for i in self.inside if i not in sources]
        targets, origins = [], []
        for i, r in zip(self.inside, sources, strict=True):
            if i != r:
                targets.append(i)
                origins.append(r)
        for n, own_next in enumerate(self.next):
            if own_next in sources:
                match = next(f for f in free if self._size(f) == self.avals[n].nbytes)
                free.remove(match)
                targets.append(own_next)
                origins.append(match)
        if targets:
            steps.append(Assign(tuple(targets), tuple(origins)))
        return steps

    def _size(self, slot: int) -> int:
        return self.places.slots[slot].aval.nbytes

    def _fits(self, slot: int, n: int) -> bool:
        return self._size(slot) == self.avals[n].nbytes

    def finish(self) -> list[Step]:
        """Bring the final values to where the caller expects them."""
        return [
            Copy(t, i, aval.nbytes)
            for t, i, aval in zip(self.targets, self.inside, self.avals, strict=True)
        ]

    def release(self) -> None:
        """Give the second buffers back."""
        for o in self.offsets:
            self.places.arena.release(o)
