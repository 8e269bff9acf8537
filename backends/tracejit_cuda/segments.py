"""Segments: runs of steps that one kernel can take, loops and branches included.

A loop whose steps are all kernels and copies runs on the device from beginning to end; see
:mod:`tracejit_cuda.persistent` for the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracejit.ir.plan import (
    Assign,
    Branch,
    Callback,
    Copy,
    Launch,
    LibraryCall,
    Point,
    Repeat,
    Step,
    While,
    all_steps,
)

__all__ = ["Segment", "find_segments", "is_device_only"]

_MOVES = (Copy, Assign, Point)
_CONTROL = (Repeat, While, Branch)


class Segment(NamedTuple):
    """Steps that one kernel takes."""

    steps: tuple[Step, ...]


def is_device_only(steps: Sequence[Step]) -> bool:
    """Whether steps, and those inside them, are kernels and copies alone."""
    return all(isinstance(s, (Launch, *_MOVES, *_CONTROL)) for s in all_steps(tuple(steps)))


def find_segments(steps: Sequence[Step]) -> list[Step | Segment]:
    """Return `steps` with those that one kernel can take put together.

    A segment begins with the copies before a loop and ends with the copies after it.
    """
    out: list[Step | Segment] = []
    run: list[Step] = []

    def close() -> None:
        last = max((n for n, s in enumerate(run) if isinstance(s, _CONTROL)), default=-1)
        if last < 0:
            out.extend(run)
        else:
            end = last + 1
            while end < len(run) and isinstance(run[end], Copy):
                end += 1
            out.append(Segment(tuple(run[:end])))
            out.extend(run[end:])
        run.clear()

    for s in steps:
        # A Point counts the trips of the loop around, which the host runs.
        if isinstance(s, (Copy, Assign)) or (isinstance(s, _CONTROL) and is_device_only((s,))):
            run.append(s)
        else:
            close()
            out.append(s)
    close()
    stale: set[int] = set()
    for item in out:
        if isinstance(item, Segment):
            stale = _stale_after(item, stale)
        elif stale & _used((item,)):
            # A later step needs a pointer that only the kernel would know.
            return [*steps]
        elif isinstance(item, Assign):
            stale -= set(item.targets)
        elif isinstance(item, Point):
            stale.discard(item.target)
    return out


def _used(steps: Sequence[Step]) -> set[int]:
    """Return the slots whose pointers steps need before they set them."""
    used: set[int] = set()
    for s in all_steps(tuple(steps)):
        if isinstance(s, Copy):
            used |= {s.target, s.source}
        elif isinstance(s, Assign):
            used |= set(s.sources)
        elif isinstance(s, Point):
            used.add(s.base)
        elif isinstance(s, While):
            used.add(s.predicate)
        elif isinstance(s, Branch):
            used.add(s.index)
        elif isinstance(s, (Launch, LibraryCall)):
            used |= set(s.slots)
        elif isinstance(s, Callback):
            used |= {*s.inputs, *s.outputs}
    return used


def _stale_after(segment: Segment, stale: set[int]) -> set[int]:
    """Return the slots whose pointers the host does not know after a segment."""
    stale = set(stale)
    for s in segment.steps:
        if isinstance(s, Assign):
            moved = [source in stale for source in s.sources]
            for target, unknown in zip(s.targets, moved, strict=True):
                (stale.add if unknown else stale.discard)(target)
        elif isinstance(s, _CONTROL):
            for inner in all_steps((s,)):
                if isinstance(inner, Assign):
                    stale |= set(inner.targets)
                elif isinstance(inner, Point):
                    stale.add(inner.target)
    return stale
