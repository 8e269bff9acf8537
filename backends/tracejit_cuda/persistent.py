"""Persistent: the kernel of a segment, which runs loops and branches without the host.

Small work runs in one block, with a barrier of the block between steps; its state lies in shared
memory for as long as the kernel runs, so that a trip costs some hundred cycles.  Larger work runs
in as many blocks as are resident, with a barrier of the grid between steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tracejit.ir.plan import (
    Assign,
    Branch,
    Copy,
    Launch,
    Plan,
    Point,
    Repeat,
    Step,
    While,
    all_steps,
)
from tracejit_cuda.emit import parameters
from tracejit_cuda.forms import Form
from tracejit_cuda.segments import Segment
from tracejit_cuda.source import Part, call, function_part, global_part

__all__ = ["MOST_WORDS", "SegmentCode", "emit_segment"]

MOST_WORDS = 4000
"""8-byte words of a kernel's arguments; CUDA 12.1 and later take 32,764 bytes."""
STATE_BYTES = 40 << 10
"""Shared memory for the state of loops; 48 KiB are there without asking, some for reductions."""


class Region(NamedTuple):
    """A part of memory that is kept in shared memory while a segment runs.

    Attributes
    ----------
    base : int
        A slot that starts where it starts.
    offset, nbytes : int
        Its place in shared memory.
    slots : dict of int to int
        The slots in it, and how many bytes after its start they lie.
    written : bool
        Whether it is copied back.
    """

    base: int
    offset: int
    nbytes: int
    slots: dict[int, int]
    written: bool


def shared_regions(plan: Plan, segment: Segment) -> list[Region]:
    """Return what of a segment's memory fits into shared memory, the smallest first."""
    used: set[int] = set()
    written: set[int] = set()
    for s in all_steps(segment.steps):
        if isinstance(s, Launch):
            used |= set(s.slots)
            modes = [b.mode for b in plan.kernels[s.kernel].buffers]
            written |= {n for n, m in zip(s.slots, modes, strict=True) if m != "in"}
        elif isinstance(s, Copy):
            used |= {s.target, s.source}
            written.add(s.target)
        elif isinstance(s, Assign):
            used |= set(s.sources)
            written |= set(s.sources)  # what a pointer points to may be written through it
        elif isinstance(s, While):
            used.add(s.predicate)
        elif isinstance(s, Branch):
            used.add(s.index)
    # A step along a scanned array reaches beyond any one slot: the array stays where it is.
    stepped = {s.base for s in all_steps(segment.steps) if isinstance(s, Point)}
    merged: list[tuple[str, int, int, list[int]]] = []
    for kind in ("arena", "input", "output", "constant"):
        mine = sorted((plan.slots[n].number, n) for n in used if plan.slots[n].kind == kind)
        for number, n in mine:
            size = plan.slots[n].aval.nbytes
            start, end = (number, number + size) if kind == "arena" else (0, size)
            last = merged[-1] if merged else None
            joins = last is not None and last[0] == kind and (
                start < last[2]
                if kind == "arena"
                else plan.slots[last[3][0]].number == number
            )
            if joins:
                assert last is not None
                merged[-1] = (kind, last[1], max(last[2], end), [*last[3], n])
            else:
                merged.append((kind, start, end, [n]))
    regions: list[Region] = []
    top = 0
    for kind, start, end, slots in sorted(merged, key=lambda m: m[2] - m[1]):
        size = -(-(end - start) // 16) * 16
        if not size or top + size > STATE_BYTES or stepped & set(slots):
            continue
        deltas = {n: plan.slots[n].number - start if kind == "arena" else 0 for n in slots}
        keep = kind in ("arena", "output") or bool(written & set(slots))
        regions.append(Region(slots[0], top, end - start, deltas, keep))
        top += size
    return regions


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
    shared : int
        Bytes of dynamic shared memory.
    """

    part: Part
    slots: list[int] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    shared: int = 0


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
        regions = shared_regions(self.plan, segment) if self.single else []
        self.steps(segment.steps)
        place = {n: (r, delta) for r in regions for n, delta in r.slots.items()}
        fields = [("unsigned*", "barrier")]
        if gated:
            fields.append(("const bool*", "go"))
        head = ["if (!*a.go) return;"] if gated else []
        head += [
            f"const int bid = {'0' if self.single else '(int)blockIdx.x'};",
            f"const int nb = {'1' if self.single else '(int)gridDim.x'};",
        ]
        slots, tail = [], []
        starts: dict[int, str] = {}
        if regions:
            head.append("TJ_SHARED(char, state);")
        for n, r in enumerate(regions):
            slots.append(r.base)
            fields.append(("char*", f"r{n}"))
            starts[r.offset] = self.number(r.offset)
            nbytes = self.number(r.nbytes)
            head.append(f"tj_copy(0, 1, state + {starts[r.offset]}, a.r{n}, {nbytes});")
            if r.written:
                tail.append(f"tj_copy(0, 1, a.r{n}, state + {starts[r.offset]}, {nbytes});")
        if regions:
            head.append("__syncthreads();")
        for n, name in self.names.items():
            if n in place:
                r, delta = place[n]
                head.append(f"char* {name} = state + {starts[r.offset]} + {self.number(delta)};")
            else:
                slots.append(n)
                fields.append(("char*", name))
                head.append(f"char* {name} = a.{name};")
        fields += [(kind, f"w{n}") for n, kind in enumerate(self.kinds)]
        body = [*head, *self.lines, *tail]
        needs = tuple(self.needs.values())
        part = global_part("s", body, fields, threads, needs, alone=self.single)
        shared = max((r.offset + r.nbytes for r in regions), default=0)
        return SegmentCode(part, slots, self.numbers, shared)

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
        function = function_part(kernel, self.forms[s], alone=False)
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
