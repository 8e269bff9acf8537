"""Segments: runs of steps that one kernel takes, loops and branches included.

A loop whose steps are all kernels and copies runs on the device from beginning to end: in one block
if its work is small (a barrier of the block between steps), else in as many blocks as are resident
(a barrier of the grid).  No trip asks the host for anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tracejit.ir.plan import (
    Assign,
    Branch,
    Callback,
    Copy,
    Launch,
    LibraryCall,
    Plan,
    Point,
    Repeat,
    Step,
    While,
    all_steps,
)
from tracejit_cuda.emit import parameters
from tracejit_cuda.forms import Form
from tracejit_cuda.source import Part, call, function_part, global_part

__all__ = ["MOST_WORDS", "Segment", "emit_segment", "find_segments", "is_device_only"]

MOST_WORDS = 4000
"""8-byte words of a kernel's arguments; CUDA 12.1 and later take 32,764 bytes."""

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


@dataclass
class SegmentCode:
    """A segment as a kernel.

    Attributes
    ----------
    part : Part
        The kernel.  Its first fields are the barrier's state and, if `gated`, the gate.
    slots : list of int
        The slots whose pointers are its next fields, in order.
    numbers : list of int or float
        The fields after them.
    """

    part: Part
    slots: list[int] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)


def emit_segment(
    plan: Plan, segment: Segment, forms: dict[Launch, Form], threads: int, single: bool, gated: bool
) -> SegmentCode:
    """Return the kernel of a segment.

    Parameters
    ----------
    plan : Plan
        Where the kernels are.
    segment : Segment
        What to emit.
    forms : dict of Launch to Form
        How each launch runs.
    threads : int
        Threads of a block.
    single : bool
        Whether one block runs it all.
    gated : bool
        Whether it looks at a flag first.
    """
    return _SegmentWriter(plan, forms, single).emit(segment, threads, gated)


class _SegmentWriter:
    def __init__(self, plan: Plan, forms: dict[Launch, Form], single: bool) -> None:
        self.plan = plan
        self.forms = forms
        self.single = single
        self.lines: list[str] = []
        self.names: dict[int, str] = {}
        self.numbers: list[float] = []
        self.kinds: list[str] = []
        self.shared: dict[tuple[str, str, float], str] = {}
        self.needs: dict[str, Part] = {}
        self.depth = 0
        self.fresh = 0
        self.trips: list[tuple[str, str]] = []

    def emit(self, segment: Segment, threads: int, gated: bool) -> SegmentCode:
        self.steps(segment.steps)
        slots = list(self.names)
        fields = [("unsigned*", "barrier")]
        if gated:
            fields.append(("const bool*", "go"))
        fields += [("char*", name) for name in self.names.values()]
        fields += [(kind, f"w{n}") for n, kind in enumerate(self.kinds)]
        head = ["if (!*a.go) return;"] if gated else []
        head += [
            f"const int bid = {'0' if self.single else '(int)blockIdx.x'};",
            f"const int nb = {'1' if self.single else '(int)gridDim.x'};",
        ]
        head += [f"char* {name} = a.{name};" for name in self.names.values()]
        part = global_part(
            "s", [*head, *self.lines], fields, threads, tuple(self.needs.values())
        )
        return SegmentCode(part, slots, self.numbers)

    # -------------------------------------------------------------------- names

    def line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    def slot(self, n: int) -> str:
        if n not in self.names:
            self.names[n] = f"p{len(self.names)}"
        return self.names[n]

    def number(self, value: float, kind: str = "long long") -> str:
        self.numbers.append(value)
        self.kinds.append(kind)
        return f"a.w{len(self.kinds) - 1}"

    def barrier(self) -> None:
        self.line("__syncthreads();" if self.single else "tj_grid_barrier(a.barrier, nb);")

    # -------------------------------------------------------------------- steps

    def steps(self, steps: Sequence[Step]) -> None:
        for s in steps:
            if isinstance(s, Launch):
                self._launch(s)
            elif isinstance(s, Copy):
                target, source = self.slot(s.target), self.slot(s.source)
                self.line(
                    f"if ({target} != {source}) "
                    f"tj_copy(bid, nb, {target}, {source}, {self.number(s.nbytes)});"
                )
                self.barrier()
            elif isinstance(s, Assign):
                self._assign(s)
            elif isinstance(s, Point):
                trip, count = self.trips[-1]
                at = f"({count} - 1 - {trip})" if s.reverse else trip
                target, base = self.slot(s.target), self.slot(s.base)
                self.line(f"{target} = {base} + {at} * {self.number(s.stride)};")
            elif isinstance(s, Repeat):
                self._repeat(s)
            elif isinstance(s, While):
                self._while(s)
            elif isinstance(s, Branch):
                self._branch(s)

    def _launch(self, s: Launch) -> None:
        kernel = self.plan.kernels[s.kernel]
        function = function_part(kernel, self.forms[s])
        self.needs[function.name] = function
        values: list[float] = [*s.sizes, *s.floats]
        arguments = []
        for n, (kind, _) in enumerate(parameters(kernel)):
            if n < len(s.slots):
                arguments.append(f"({kind}){self.slot(s.slots[n])}")
            else:
                arguments.append(self.number(values[n - len(s.slots)], kind))
        self.line(call(function, arguments, "bid", "nb"))
        self.barrier()

    def _assign(self, s: Assign) -> None:
        with_names = []
        for source in s.sources:
            self.fresh += 1
            name = f"o{self.fresh}"
            self.line(f"char* {name} = {self.slot(source)};")
            with_names.append(name)
        for target, name in zip(s.targets, with_names, strict=True):
            self.line(f"{self.slot(target)} = {name};")

    def _open(self, head: str) -> None:
        self.line(f"{head} {{")
        self.depth += 1

    def _close(self) -> None:
        self.depth -= 1
        self.line("}")

    def _repeat(self, s: Repeat) -> None:
        self.fresh += 1
        trip, count = f"i{self.fresh}", self.number(s.count)
        self._open(f"for (long long {trip} = 0; {trip} < {count}; ++{trip})")
        self.trips.append((trip, count))
        self.steps(s.body)
        self.trips.pop()
        self._close()

    def _while(self, s: While) -> None:
        self.fresh += 1
        trip = f"i{self.fresh}"
        self._open(f"for (long long {trip} = 0; ; ++{trip})")
        self.trips.append((trip, "0"))
        self.steps(s.condition)
        self.fresh += 1
        self.line(f"const bool go{self.fresh} = *(volatile bool*){self.slot(s.predicate)};")
        # The flag is written again only after all have read it.
        self.barrier()
        self.line(f"if (!go{self.fresh}) break;")
        self.steps(s.body)
        self.trips.pop()
        self._close()

    def _branch(self, s: Branch) -> None:
        self.fresh += 1
        which = f"c{self.fresh}"
        self.line(f"int {which} = *(volatile int*){self.slot(s.index)};")
        last = len(s.branches) - 1
        self.line(f"{which} = {which} < 0 ? 0 : {which} > {last} ? {last} : {which};")
        self.barrier()
        for n, steps in enumerate(s.branches):
            self._open(f"{'else ' if n else ''}if ({which} == {n})")
            self.steps(steps)
            self._close()
