"""Routines of BLAS and LAPACK over stacks of matrices: how their functions are written.

Matrices here are row-major and LAPACK's column-major: what lies at a place is the transpose to it.
Where the transpose of a result is what follows from the transpose of an operand nothing is moved;
elsewhere matrices are turned round into scratch memory.

The lanes of a stack are dealt to *groups*, the rows of a launch: group ``g`` has lanes ``g``,
``g + groups``, ...  Each has scratch memory of its own, whatever thread runs it, so bits do not
depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracejit_llvm.blas import linear_symbols
from tracejit_llvm.routines.calls import (
    SCRATCH,
    LibraryFunction,
    LibraryStep,
    LibrarySteps,
    aligned,
)
from tracejit_llvm.routines.writing import Function, Kernel, module_text
from tracejit_llvm.text import Module, float_text, vector

__all__ = ["MatrixKernel", "Room", "stack_steps"]

PREFIXES = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}
MOST_GROUPS = 64
GROUP_BYTES = 64 << 20
"""Scratch memory of all groups together, if that leaves one."""
LARGE = 160
"""Rows from which BLAS has threads of its own, which ours would only disturb."""
TILE = 8
"""Side of the squares that are turned in registers."""


class Room(NamedTuple):
    """Parts of the scratch memory of a group, in bytes."""

    starts: tuple[int, ...]
    nbytes: int

    @staticmethod
    def of(*parts: int) -> Room:
        """Return the room for parts of so many bytes."""
        starts, end = [], 0
        for part in parts:
            starts.append(end)
            end += aligned(max(part, 1))
        return Room(tuple(starts), end)


def stack_steps(
    write: Callable[..., str],
    arguments: tuple[Any, ...],
    buffers: tuple[int, ...],
    sizes: Sequence[int],
    room: Room,
    cost: float,
    rows: int,
) -> LibrarySteps:
    """Return the launch of a function over the lanes of stacks.

    Parameters
    ----------
    write, arguments : callable, tuple
        Write the text of a module with ``@lanes``, a finished :class:`MatrixKernel`.
    buffers : tuple of int
        Slots; scratch memory follows.
    sizes : sequence of int
        The lanes, then what the function wants.
    room : Room
        Scratch memory of a group.
    cost : float
        Nanoseconds for one lane.
    rows : int
        The longest side of a matrix.
    """
    batch = sizes[0]
    if not batch:
        return LibrarySteps(())
    shared = rows < LARGE
    most = min(batch, MOST_GROUPS, GROUP_BYTES // max(room.nbytes, 1)) if shared else 1
    groups = max(1, most)
    function = LibraryFunction(write, arguments, "lanes", linear_symbols)
    every = (*sizes, groups, room.nbytes, *room.starts)
    step = LibraryStep(
        function, (*buffers, SCRATCH), every, groups, 100.0 + batch * cost, shared
    )
    return LibrarySteps((step,), groups * room.nbytes)


class MatrixKernel(Kernel):
    """A function over lanes, which calls BLAS and LAPACK.

    Parameters
    ----------
    dtype : str
        The name of the dtype of the matrices.
    buffers, sizes, parts : int
        How many buffers, scratch memory apart, sizes and parts of the scratch memory there are.

    Attributes
    ----------
    scalar, element : str
        Types of a real number and of an element.
    parts : int
        Real numbers of an element.
    eps : float
    """

    __slots__ = ("buffers", "element", "info", "parts", "prefix", "scalar", "scratch", "sizes",
                 "starts")  # fmt: skip

    def __init__(self, dtype: str, buffers: int, sizes: int, parts: int) -> None:
        super().__init__(Module(), "lanes")
        self.prefix = PREFIXES[dtype]
        self.parts = 2 if self.prefix in "cz" else 1
        self.scalar = "float" if self.prefix in "sc" else "double"
        self.element = self.scalar if self.parts == 1 else f"[2 x {self.scalar}]"
        self.buffers = [self.buffer(n) for n in range(buffers)]
        self.scratch = self.buffer(buffers)
        self.sizes = [self.size(n) for n in range(sizes + 2)]
        self.starts = [self.size(sizes + 2 + n) for n in range(parts)]
        self.info = self.op("alloca i32")

    @property
    def dtype(self) -> Any:
        """The dtype of a real number."""
        return np.dtype(np.float32 if self.scalar == "float" else np.float64)

    # ------------------------------------------------------------------ arguments of Fortran
    def letter(self, x: str) -> str:
        """Append room for a letter; in the entry."""
        place = self.op("alloca i8")
        self.line(f"store i8 {ord(x)}, ptr {place}")
        return place

    def number(self, value: str | int) -> str:
        """Append room for an integer; in the entry."""
        place = self.op("alloca i32")
        self.store("i32", self.op(f"trunc i64 {value} to i32"), place)
        return place

    def leading(self, value: str | int) -> str:
        """Append room for a leading dimension, which is never 0; in the entry."""
        return self.number(self.greatest(value, 1))

    def one(self) -> str:
        """Append room for the element 1; in the entry."""
        place = self.op(f"alloca {self.element}")
        self.store(self.scalar, float_text(1.0, self.scalar), place)
        if self.parts == 2:
            self.store(self.scalar, float_text(0.0, self.scalar), place, 1)
        return place

    def fortran(self, name: str, *arguments: str) -> None:
        """Append the call of a routine, by its name without the letter of the type."""
        full = self.prefix + name
        self.module.declare("void", full, ["ptr"] * len(arguments))
        self.line(f"call void @{full}({', '.join(f'ptr {a}' for a in arguments)})")

    def failed(self) -> str:
        """Append whether LAPACK's last call failed."""
        return self.op(f"icmp ne i32 {self.load('i32', self.info)}, 0")

    # ------------------------------------------------------------------ lanes
    def lanes(self, body: Callable[[str, list[str]], None]) -> str:
        """Append the loop over lanes and the end; return the text of the module.

        `body` gets the lane and the places of the parts of scratch memory.
        """
        batch, groups, nbytes = self.sizes[0], *self.sizes[-2:]

        def group(g: str, _: list[str]) -> None:
            own = self.at(self.scratch, self.i("mul", g, nbytes), "i8")
            places = [self.at(own, start, "i8") for start in self.starts]
            self.loop(g, batch, lambda lane, _: body(lane, places), step=groups)

        self.loop("%begin", "%end", group)
        self.end()
        return module_text(self.module)

    def lane(self, base: str, lane: str, count: str, kind: str | None = None) -> str:
        """Append the place of a lane of `count` elements."""
        return self.at(base, self.i("mul", lane, count), kind or self.element)

    # ------------------------------------------------------------------ moves
    def copy(self, source: str, target: str, count: str) -> None:
        """Append the copy of adjacent elements."""
        nbytes = self.i("mul", count, self.parts * self.dtype.itemsize)
        self.module.declare("void", "llvm.memcpy.p0.p0.i64", ["ptr", "ptr", "i64", "i1"])
        self.line(
            f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {nbytes}, i1 false)"
        )

    def fill(self, target: str, count: str, value: float, parts: int | None = None) -> None:
        """Append a store of one real number into all parts of elements."""
        number = float_text(value, self.scalar)
        total = self.i("mul", count, self.parts if parts is None else parts)
        self.loop(0, total, lambda i, _: self.store(self.scalar, number, target, i))

    def turn(
        self, source: str, target: str, rows: str, columns: str, source_row: str, target_row: str
    ) -> None:
        """Append ``target[j * target_row + i] = source[i * source_row + j]``."""
        name = "turn"
        if name not in self.module.definitions:
            self._define_turn(name)
        places = (("ptr", source), ("ptr", target))
        numbers = (rows, columns, source_row, target_row)
        self.invoke(name, *places, *(("i64", x) for x in numbers))

    def _define_turn(self, name: str) -> None:
        """Write the function that turns a matrix, by squares that fit in registers."""
        kind = self.element
        if self.parts == 2 and self.scalar == "float":
            kind = "double"  # as many bytes
        names = ("%rows", "%columns", "%from", "%to")
        f = Function(
            self.module, name, [("ptr", "%x"), ("ptr", "%y"), *(("i64", x) for x in names)]
        )
        align = 4 if self.scalar == "float" else 8
        whole_rows = whole_columns = "0"

        def one_by_one(first: str, last: str, left: str, right: str) -> None:
            def row(i: str, _: list[str]) -> None:
                start = f.i("mul", i, "%from")

                def one(j: str, _: list[str]) -> None:
                    x = f.load(kind, "%x", f.i("add", start, j), align)
                    to = f.i("add", f.i("mul", j, "%to"), i)
                    f.store(kind, x, "%y", to, align)

                f.loop(left, right, one)

            f.loop(first, last, row)

        if kind in ("double", "float"):
            full = vector(kind, TILE)
            whole_rows, whole_columns = (f.i("and", x, -TILE) for x in names[:2])

            def tile(i: str, j: str) -> None:
                found = []
                for k in range(TILE):
                    at = f.i("add", f.i("mul", f.i("add", i, k), "%from"), j)
                    found.append(f.load(full, f.at("%x", at, kind), align=align))
                for k, column in enumerate(f.transposed(found, kind, TILE)):
                    to = f.i("add", f.i("mul", f.i("add", j, k), "%to"), i)
                    f.store(full, column, f.at("%y", to, kind), align=align)

            def strip(i: str, _: list[str]) -> None:
                f.loop(0, whole_columns, lambda j, _: tile(i, j), step=TILE)

            f.loop(0, whole_rows, strip, step=TILE)
        one_by_one("0", whole_rows, whole_columns, "%columns")
        one_by_one(whole_rows, "%rows", "0", "%columns")
        f.end()

    def conjugate(self, target: str, count: str) -> None:
        """Append the negation of the imaginary parts of adjacent elements."""

        def one(i: str, _: list[str]) -> None:
            at = self.i("add", self.i("shl", i, 1), 1)
            x = self.load(self.scalar, target, at)
            self.store(self.scalar, self.op(f"fneg {self.scalar} {x}"), target, at)

        self.loop(0, count, one)

    # ------------------------------------------------------------------ tests
    def finite(self, source: str, count: str) -> str:
        """Append whether all of adjacent elements are finite."""
        zero = float_text(0.0, self.scalar)
        total = self.i("mul", count, self.parts)

        def one(i: str, carried: list[str]) -> list[str]:
            # 0 times what is not finite is NaN.
            none = self.op(f"fmul {self.scalar} {self.load(self.scalar, source, i)}, {zero}")
            return [self.op(f"fadd {self.scalar} {carried[0]}, {none}")]

        (found,) = self.loop(0, total, one, [(self.scalar, zero)])
        return self.op(f"fcmp oeq {self.scalar} {found}, {zero}")

    def on_diagonal(self, source: str, n: str, test: Callable[[list[str]], str]) -> str:
        """Append whether a test of the parts of an element holds somewhere on a diagonal."""
        step = self.i("add", n, 1)

        def one(i: str, carried: list[str]) -> list[str]:
            at = self.i("mul", self.i("mul", i, step), self.parts)
            values = [
                self.load(self.scalar, source, self.i("add", at, p)) for p in range(self.parts)
            ]
            return [self.i("or", carried[0], test(values), "i1")]

        (found,) = self.loop(0, n, one, [("i1", "false")])
        return found

    def is_zero(self, values: list[str]) -> str:
        """Append whether all parts are 0."""
        zero = float_text(0.0, self.scalar)
        tests = [self.op(f"fcmp oeq {self.scalar} {v}, {zero}") for v in values]
        return tests[0] if len(tests) == 1 else self.i("and", tests[0], tests[1], "i1")

    def is_nan(self, values: list[str]) -> str:
        """Append whether the real part is NaN."""
        return self.op(f"fcmp uno {self.scalar} {values[0]}, {values[0]}")
