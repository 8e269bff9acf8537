"""Fourier transforms along one axis, as text: a group of transforms in the lanes, pass after pass.

One function transforms along an axis of any length that has the factors it was written for: its
sizes hold where the transforms lie and what its passes are, its floats the direction, the scale and
the turns.  Groups do not meet, so threads share them, and what is read may be overwritten.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from tracejit_llvm.routines.fft_lanes import (
    write_from_half,
    write_segments,
    write_to_half,
    write_turned,
)
from tracejit_llvm.routines.fft_passes import Pass, write_pass
from tracejit_llvm.routines.writing import Kernel, Typed, module_text
from tracejit_llvm.text import Module

__all__ = ["TABLES", "AxisForm", "Size", "axis_text"]

TABLES = 2
"""Floats before the turns: the direction and the scale."""


class AxisForm(NamedTuple):
    """What the code depends on.

    Attributes
    ----------
    scalar : str
        ``float`` or ``double``.
    lanes : int
        Of a vector.
    kind : str
        ``complex``, ``forward`` from real numbers or ``inverse`` to them.
    odd : bool
        Whether there is an odd number of real numbers.
    source, target : str
        How a group lies in the array: ``columns``, always side by side; ``segments``, at times in
        several parts; or ``rows``, point by point.
    first, last : int
        Radix of the first pass, 0 if it is the last, and of the last one.
    middle : tuple of int
        Radices of passes between, each once.
    end : str
        Of the last pass: ``scaled``, or ``lanewise``.
    """

    scalar: str
    lanes: int
    kind: str
    odd: bool
    source: str
    target: str
    first: int
    middle: tuple[int, ...]
    last: int
    end: str


class Size(IntEnum):
    """The integer arguments; each pass between adds four: radix, m, s, and where its turns are."""

    LANES = 0  # how many transforms
    GROUPS = 1
    EACH = 2  # groups of a row
    ARENA = 3  # bytes of scratch memory of a row; 0 if it is taken from the stack
    ARENA_AT = 4  # where this begins
    BUFFER = 5  # bytes of each of two buffers
    LENGTH = 6
    SOURCE_AT = 7  # bytes
    TARGET_AT = 8
    SOURCE = 9  # period, outer, lane, point: see fft_lanes
    TARGET = 13
    SOURCE_ROWS = 17
    TARGET_ROWS = 18
    FIRST_M = 19
    LAST_S = 20
    OWN = 21  # where the turns of single lanes are
    AROUND = 22  # and those of groups, of which a period has the next number
    AROUND_PERIOD = 23
    HALF = 24  # where the turns of real transforms are
    PASSES = 25


class Rows(NamedTuple):
    """Where rows lie, how many scalars apart, and how many their two vectors."""

    start: str
    stride: str
    apart: str


def axis_text(form: AxisForm) -> str:
    """Return the module of ``transform``: buffers are source, target, scratch memory."""
    return _Axis(form).text()


class _Axis:
    def __init__(self, form: AxisForm) -> None:
        self.form = form
        self.module = Module()
        self.row = 2 * form.lanes
        real = "real" if form.odd else "parts"
        source = {"complex": "pairs", "forward": real}.get(form.kind, "parts")
        target = {"complex": "pairs", "inverse": real}.get(form.kind, "parts")
        self.first = Pass(form.first, source, "parts", "turned") if form.first else None
        self.middle = [Pass(r, "parts", "parts", "turned") for r in form.middle]
        source = "parts" if form.first else source
        self.last = Pass(form.last, source, target, form.end)
        self.real = form.kind == "forward", form.kind == "inverse"
        """Whether source and target are real."""

    def text(self) -> str:
        form = self.form
        for one in dict.fromkeys((self.first, *self.middle, self.last)):
            if one is not None:
                write_pass(self.module, one, form.scalar, form.lanes)
        for name, how, is_real in zip(
            ("in", "out"), (form.source, form.target), self.real, strict=True
        ):
            if how != "columns":
                write = write_turned if how == "rows" else write_segments
                write(self.module, name, form.scalar, form.lanes, 2 - is_real, name == "in")
        if form.kind == "forward":
            write_to_half(self.module, form.scalar, form.lanes, form.odd)
        if form.kind == "inverse":
            write_from_half(self.module, form.scalar, form.lanes, form.odd)
        self.write_transform()
        return module_text(self.module)

    def write_transform(self) -> None:
        self.f = f = Kernel(self.module, "transform")
        self.x = f.at(f.buffer(0), f.size(Size.SOURCE_AT), "i8")
        self.out = f.at(f.buffer(1), f.size(Size.TARGET_AT), "i8")
        arena, buffer = f.size(Size.ARENA), f.size(Size.BUFFER)
        on_stack = f.i("eq", arena, 0)
        taken = f.choose(on_stack, f.i("mul", buffer, 2), 0)
        stack = f.op(f"alloca i8, i64 {taken}, align 64")
        start = f.i("add", f.size(Size.ARENA_AT), f.i("mul", arena, "%begin"))
        slot = f.at(f.buffer(2), start, "i8")
        self.room = f.choose(on_stack, stack, slot, "ptr")
        self.other = f.at(self.room, buffer, "i8")
        self.lanes, self.n = f.size(Size.LANES), f.size(Size.LENGTH)
        self.source = [f.size(Size.SOURCE + k) for k in range(4)]
        self.target = [f.size(Size.TARGET + k) for k in range(4)]
        self.source_rows, self.target_rows = f.size(Size.SOURCE_ROWS), f.size(Size.TARGET_ROWS)
        each = f.size(Size.EACH)
        end = f.least(f.size(Size.GROUPS), f.i("mul", "%end", each))
        one = {"complex": self.complex, "forward": self.forward, "inverse": self.inverse}
        body = one[self.form.kind]

        def group(g: str, _: list[str]) -> None:
            body(f.i("mul", f.unseen(g), self.form.lanes))

        f.loop(f.i("mul", "%begin", each), end, group)
        f.end()

    def complex(self, first: str) -> None:
        x = self.passes(self.inward(first, self.room))
        self.outward(first, x, self.apart(x.start))

    def forward(self, first: str) -> None:
        x = self.passes(self.inward(first, self.room))
        z = self.buffer(self.apart(x.start))
        self.finish(x, z)
        stage = self.apart(z.start)
        target, whole = self.place(1, first, stage)
        self.half("to_half", z, target, self.target_rows)
        self.leave(first, stage, whole)

    def inverse(self, first: str) -> None:
        z = self.buffer(self.other)
        self.half("from_half", z, self.inward(first, self.room), self.source_rows)
        x = self.passes(z)
        self.outward(first, x, self.apart(x.start))

    def half(self, name: str, z: Rows, x: Rows, count: str) -> None:
        f = self.f
        turns = f.at("%floats", f.size(Size.HALF), self.form.scalar)
        f.invoke(
            name, ("ptr", z.start), ("i64", self.n), ("ptr", x.start), ("i64", x.stride),
            ("i64", count), ("ptr", turns),
        )  # fmt: skip

    # -------------------------------------------------------------------- passes
    def apart(self, x: str) -> str:
        """Append the buffer that `x` is not."""
        f = self.f
        return f.choose(f.op(f"icmp eq ptr {x}, {self.other}"), self.room, self.other, "ptr")

    def buffer(self, start: str) -> Rows:
        return Rows(start, str(self.row), str(self.form.lanes))

    def run(
        self, one: Pass, x: Rows, y: Rows, m: str, s: str, table: str | int, around: str = "null"
    ) -> None:
        f = self.f
        turns = f.at("%floats", table, self.form.scalar)
        ends: list[Typed] = []
        for rows in (x, y):
            ends += [("ptr", rows.start), ("i64", rows.stride), ("i64", rows.apart)]
        f.invoke(
            one.name, *ends, ("i64", m), ("i64", s), ("ptr", turns), ("ptr", "%floats"),
            ("ptr", around),
        )  # fmt: skip

    def passes(self, x: Rows) -> Rows:
        """Append all passes but the last, from one buffer to the other."""
        f = self.f
        if self.first is None:
            return x
        y = self.buffer(self.apart(x.start))
        self.run(self.first, x, y, f.size(Size.FIRST_M), "1", TABLES)
        if not self.middle:
            return y

        def one(k: str, state: list[str]) -> list[str]:
            at = f.i("add", f.i("mul", k, 4), Size.PASSES + 1)
            radix, m, s, table = (f.load("i64", "%sizes", f.i("add", at, j)) for j in range(4))
            x, y = self.buffer(state[0]), self.buffer(self.apart(state[0]))
            for way in self.middle:

                def run(way: Pass = way) -> None:
                    self.run(way, x, y, m, s, table)

                if len(self.middle) == 1:
                    run()
                else:
                    f.when(f.i("eq", radix, way.radix), run)
            return [y.start]

        return self.buffer(f.loop(0, f.size(Size.PASSES), one, [("ptr", y.start)])[0])

    def finish(self, x: Rows, y: Rows, first: str | None = None) -> None:
        """Append the last pass."""
        f = self.f
        table: str | int = TABLES
        around = "null"
        if self.form.end == "lanewise":
            table = f.size(Size.OWN)
            period = f.size(Size.AROUND_PERIOD)
            g = f.i("srem", f.i("sdiv", first or "0", self.form.lanes), period)
            at = f.i("add", f.size(Size.AROUND), f.i("mul", f.i("mul", g, self.n), 2))
            around = f.at("%floats", at, self.form.scalar)
        self.run(self.last, x, y, "1", f.size(Size.LAST_S), table, around)

    # -------------------------------------------------------------------- lanes
    def place(self, side: int, q: str, stage: str) -> tuple[Rows, str]:
        """Append where the rows of a group are: in the array or the stage; and whether there."""
        f = self.f
        period, outer, _, point = (self.source, self.target)[side]
        parts = 2 - self.real[side]
        lanes = self.form.lanes
        o = f.i("sdiv", q, period)
        i = f.i("sub", q, f.i("mul", o, period))
        whole = f.i("sle", f.i("add", i, lanes), period)
        start = f.i("mul", f.i("add", f.i("mul", o, outer), i), parts)
        where = f.at((self.x, self.out)[side], start, self.form.scalar)
        stride = f.i("mul", point, parts)
        form = (self.form.source, self.form.target)[side]
        row = str(parts * lanes)
        if form == "rows":
            where, stride = stage, row
        elif form == "segments":
            where = f.choose(whole, where, stage, "ptr")
            stride = f.choose(whole, stride, row)
        if parts == 1 and not self.form.odd:  # two points are a row
            return Rows(where, f.i("mul", stride, 2), stride), whole
        return Rows(where, stride, str(lanes)), whole

    def inward(self, q: str, stage: str) -> Rows:
        """Append the way of a group to where the first pass reads it."""
        f = self.f
        place, whole = self.place(0, q, stage)

        def move() -> None:
            self.move("in", self.x, stage, q, self.source, self.source_rows)

        if self.form.source == "rows":
            move()
        elif self.form.source == "segments":
            f.when(f.i("xor", whole, "true", "i1"), move)
        return place

    def outward(self, q: str, x: Rows, stage: str) -> None:
        """Append the last pass, and the way of its results to where they belong."""
        y, whole = self.place(1, q, stage)
        self.finish(x, y, q)
        self.leave(q, stage, whole)

    def leave(self, q: str, stage: str, whole: str) -> None:
        """Append the way of a group from the stage into the array."""
        f = self.f

        def move() -> None:
            self.move("out", self.out, stage, q, self.target, self.target_rows)

        if self.form.target == "rows":
            move()
        elif self.form.target == "segments":
            f.when(f.i("xor", whole, "true", "i1"), move)

    def move(
        self, name: str, array: str, stage: str, q: str, where: list[str], rows: str
    ) -> None:
        numbers = (q, self.lanes, *where, rows)
        self.f.invoke(name, ("ptr", array), ("ptr", stage), *(("i64", n) for n in numbers))
