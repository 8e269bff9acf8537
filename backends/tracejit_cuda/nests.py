"""Nests: a kernel's loops as what a grid of threads runs.

The statements of a kernel fall into *nests* that do not wait for one another.  In a :class:`Map`
every iteration is a thread's own; in :class:`Rows` a team of threads (a warp, or a block) shares
one iteration of the outer loops: its reductions run along the contiguous direction, and later
stages of the row read what earlier ones wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tracejit.ir.kernel import For, Kernel, Reduce, Statement, Store, expressions, statements
from tracejit.ir.scalar import Expr, IndexVar, Loop, Size, index, substitute, walk

__all__ = [
    "Access",
    "Map",
    "Nest",
    "Rows",
    "Stage",
    "access",
    "extent",
    "loads",
    "nests",
    "place",
    "size_of",
    "stage_loops",
    "stages",
    "stores",
]


class Map(NamedTuple):
    """Independent iterations over `loops`; the body has no loop that a team could share."""

    loops: tuple[Loop, ...]
    body: tuple[Statement, ...]


class Rows(NamedTuple):
    """Independent iterations over `loops`, each run by a team of threads."""

    loops: tuple[Loop, ...]
    body: tuple[Statement, ...]


Nest = Map | Rows


class Stage(NamedTuple):
    """A part of a row whose iterations are dealt out to the team."""

    loops: tuple[Loop, ...]
    body: tuple[Statement, ...]

    def loads(self) -> list[Expr]:
        """Return the loads in a fixed order."""
        roots = [x for s in self.body for x in expressions(s)]
        return [e for e in walk(roots) if e.op == "load"]


class Access(NamedTuple):
    """A load along a stage, whatever the loop's variable is called."""

    buffer: int
    offset: Expr


_ALONG = IndexVar("along", 0)


def access(x: Expr, loop: Loop) -> Access:
    """Return what a load reads, for comparison with those of other stages."""
    return place(x.attr, x.args[0], loop)


def place(buffer: int, offset: Expr, loop: Loop) -> Access:
    """Return a place along a row, whatever the variable of the loop is called."""
    (renamed,) = substitute(
        (offset,), lambda e: index(_ALONG) if e.op == "index" and e.attr is loop.var else None
    )
    return Access(buffer, renamed)


def nests(kernel: Kernel) -> list[Nest]:
    """Return the nests of a kernel; together they are all of its statements."""
    reduces = any(isinstance(s, Reduce) for s in statements(kernel.body))
    out: list[Nest] = []
    for s in kernel.body:
        if isinstance(s, For):
            out += _split((), s, reduces)
    loose = tuple(s for s in kernel.body if not isinstance(s, For))
    if loose:
        out.append(Map((), loose))
    return out


def _split(around: tuple[Loop, ...], s: For, reduces: bool) -> Iterable[Nest]:
    loops = (*around, s.loop)
    if len(s.body) == 1 and isinstance(s.body[0], For):
        yield from _split(loops, s.body[0], reduces)
        return
    inner = list(statements(s.body))
    if not any(isinstance(x, Reduce) for x in inner):
        # Boxes of one domain, which do not read one another: each is a nest of its own.
        plain = tuple(x for x in s.body if not isinstance(x, For))
        if plain:
            yield Map(loops, plain)
        for x in s.body:
            if isinstance(x, For):
                yield from _split(loops, x, reduces)
    elif any(isinstance(x, For) for x in inner) or any(
        x.loops[-1].vector for x in inner if isinstance(x, Reduce)
    ):
        yield Rows(loops, s.body)
    else:
        yield Map(loops, s.body)


def stage_loops(s: For) -> tuple[list[Loop], tuple[Statement, ...]]:
    """Return the loops around the innermost body of a stage of a row, and that body."""
    loops = [s.loop]
    body = s.body
    while len(body) == 1 and isinstance(body[0], For):
        loops.append(body[0].loop)
        body = body[0].body
    return loops, body


def stages(body: Iterable[Statement]) -> Iterator[Stage]:
    """Yield the stages of a row that its team shares: reductions and loops."""
    for s in body:
        if isinstance(s, Reduce):
            yield Stage(s.loops, (s,))
        elif isinstance(s, For):
            loops, inner = stage_loops(s)
            yield Stage(tuple(loops), inner)


def size_of(n: int | Size, sizes: Sequence[int]) -> int:
    """Return the integer that `n` is in a launch."""
    return sizes[n.number] if isinstance(n, Size) else n


def extent(loops: Iterable[Loop], sizes: Sequence[int]) -> int:
    """Return how many iterations a nest of loops has."""
    return math.prod(max(size_of(v.hi, sizes) - size_of(v.lo, sizes), 0) for v in loops)


def loads(body: Iterable[Statement]) -> set[int]:
    """Return the numbers of the buffers that statements read."""
    return {
        e.attr
        for s in statements(tuple(body))
        for e in walk(expressions(s))
        if e.op == "load"
    }


def stores(body: Iterable[Statement]) -> set[int]:
    """Return the numbers of the buffers that statements write."""
    return {s.buffer for s in statements(tuple(body)) if isinstance(s, Store)}
