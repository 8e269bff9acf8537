"""Kernel: the loop IR, one native function.

A kernel is a list of statements over numbered buffers.  It is what both backends print; what it
computes is defined by :mod:`tracejit.testing.kernels`, an interpreter of it in Python.

* ``For``: a loop.  ``parallel`` loops share the kernel's row space: a call runs rows
  ``begin <= var < end`` of each (so a backend cuts a kernel into chunks).  If the loop's
  ``vector`` flag is set its iterations are independent and fill vector lanes.
* ``Reduce``: a nest of serial loops with accumulators, whose results are ``ref`` expressions in
  the statements after it in the same body.  If its innermost loop is ``vector`` the lanes are
  summed at the end; if it stands inside a ``vector`` For, each lane has accumulators of its own.
  If both are ``vector``, short rows are reduced side by side.
* ``Recurrence``: a serial loop that takes values from trip to trip.  Inside they are ``ref``
  expressions, in the statements after it in the same body they are the last ones.  If it stands
  inside a ``vector`` For, each lane has values of its own.
* ``Store``: ``buffer[offset] = value``.

Expressions are pure, loads apart: a load reads what is in memory when its statement runs, and
all loads of consecutive Stores of one body happen before the first of these stores.  In an
``inout`` buffer, or an output that shares memory with an input, a loop iteration reads only
elements that no other iteration of the same kernel writes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tracejit.ir.dtypes import short_name
from tracejit.ir.scalar import Expr, Loop, show

__all__ = [
    "Accumulator",
    "BufferParam",
    "Carried",
    "For",
    "Kernel",
    "Recurrence",
    "Reduce",
    "Statement",
    "Store",
    "expressions",
    "statements",
]


class BufferParam(NamedTuple):
    """A buffer argument: its element type, and ``"in"``, ``"out"`` or ``"inout"``.

    Of `pairs` there is an even number of elements, the real and the imaginary parts of complex
    numbers; where an even offset may be read (or written) so may the next.
    """

    dtype: np.dtype[Any]
    mode: str
    pairs: bool = False


class Store(NamedTuple):
    """``buffer[offset] = value``; the value has the dtype of the buffer."""

    buffer: int
    offset: Expr
    value: Expr


class Accumulator(NamedTuple):
    """One accumulator of a Reduce.

    `op` is add, mul, max, min, and, or (from its neutral element), or argmax, argmin: the
    `index` (int64) of the first extreme `value`, a nan being the most extreme.  Floating ``add``
    is summed in blocks, the block sums compensated.
    """

    name: str
    op: str
    value: Expr
    index: Expr | None = None  # type: ignore[assignment]


class Reduce(NamedTuple):
    """Accumulate over a nest of loops; the results are bound to the accumulators' names."""

    loops: tuple[Loop, ...]
    accumulators: tuple[Accumulator, ...]


class For(NamedTuple):
    """A loop over statements."""

    loop: Loop
    body: tuple[Statement, ...]
    parallel: bool = False


class Carried(NamedTuple):
    """A value of a Recurrence: before the first trip, and after a trip from those before it."""

    name: str
    initial: Expr
    following: Expr


class Recurrence(NamedTuple):
    """Run a body over and over with carried values.

    Attributes
    ----------
    loop : Loop
        Its trips, in order.
    carried : tuple of Carried
        What one trip hands to the next, all at once.
    body : tuple of Statement
        Run in each trip, before the values change.
    condition : Expr, optional
        Of the values at the start of a trip: where it does not hold the loop ends.
    """

    loop: Loop
    carried: tuple[Carried, ...]
    body: tuple[Statement, ...] = ()
    condition: Expr | None = None


Statement = For | Reduce | Recurrence | Store


@dataclass(frozen=True, eq=False)
class Kernel:
    """A loop nest as data.

    Attributes
    ----------
    buffers : tuple of BufferParam
        The buffer arguments; ``load`` and ``Store`` name them by number.
    body : tuple of Statement
        The statements; if one top-level For is parallel, all are.
    n_sizes : int
        How many integer arguments there are (:class:`~tracejit.ir.scalar.Size`).
    floats : tuple of dtype
        The dtypes of the float arguments (literals lifted out of the text); passed as float64.
    """

    buffers: tuple[BufferParam, ...]
    body: tuple[Statement, ...]
    n_sizes: int = 0
    floats: tuple[np.dtype[Any], ...] = ()

    def text(self) -> str:
        """Return the canonical text: two kernels with equal texts are the same function."""
        return self._text

    @functools.cached_property
    def _text(self) -> str:
        return "\n".join(_lines(self))

    @property
    def parallel(self) -> bool:
        """Whether the kernel may be called in chunks of rows."""
        return bool(self.body) and all(isinstance(s, For) and s.parallel for s in self.body)


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """Yield every statement below `body`, outer ones first."""
    for s in body:
        yield s
        if isinstance(s, (For, Recurrence)):
            yield from statements(s.body)


def expressions(statement: Statement) -> list[Expr]:
    """Return the expressions of a statement itself: none of a For."""
    if isinstance(statement, Store):
        return [statement.offset, statement.value]
    if isinstance(statement, Reduce):
        return [x for a in statement.accumulators for x in (a.value, a.index) if x is not None]
    if isinstance(statement, Recurrence):
        found = [x for c in statement.carried for x in (c.initial, c.following)]
        return found if statement.condition is None else [*found, statement.condition]
    return []


def _lines(kernel: Kernel) -> list[str]:
    params = [
        f"b{n}: {b.mode} {short_name(b.dtype)}{' pairs' if b.pairs else ''}"
        for n, b in enumerate(kernel.buffers)
    ]
    params += [f"n{n}" for n in range(kernel.n_sizes)]
    params += [f"f{n}: {short_name(d)}" for n, d in enumerate(kernel.floats)]
    out = [f"kernel({', '.join(params)}) {{"]
    out += _body(kernel.body, "  ", [0])
    out.append("}")
    return out


def _loop(loop: Loop) -> str:
    return f"{'vector ' if loop.vector else ''}{loop.var} in {loop.lo!r}:{loop.hi!r}"


def _body(body: tuple[Statement, ...], indent: str, fresh: list[int]) -> list[str]:
    out = []
    for s in body:
        if isinstance(s, For):
            out.append(f"{indent}{'parallel ' if s.parallel else ''}for {_loop(s.loop)} {{")
            out += _body(s.body, indent + "  ", fresh)
            out.append(f"{indent}}}")
        elif isinstance(s, Reduce):
            loops = ", ".join(_loop(v) for v in s.loops)
            out.append(f"{indent}reduce {loops} {{")
            names, lines = _shared(expressions(s), indent + "  ", fresh)
            out += lines
            for a in s.accumulators:
                at = f" at {names(a.index)}" if a.index is not None else ""
                out.append(f"{indent}  {a.name} = {a.op} {names(a.value)}{at}")
            out.append(f"{indent}}}")
        elif isinstance(s, Recurrence):
            out += _recurrence(s, indent, fresh)
        else:
            names, lines = _shared(expressions(s), indent, fresh)
            out += lines
            out.append(f"{indent}b{s.buffer}[{names(s.offset)}] = {names(s.value)}")
    return out


def _recurrence(s: Recurrence, indent: str, fresh: list[int]) -> list[str]:
    names, out = _shared([c.initial for c in s.carried], indent, fresh)
    out += [f"{indent}{c.name} = {names(c.initial)}" for c in s.carried]
    out.append(f"{indent}recur {_loop(s.loop)} {{")
    inner = indent + "  "
    if s.condition is not None:
        names, lines = _shared([s.condition], inner, fresh)
        out += [*lines, f"{inner}while {names(s.condition)}"]
    out += _body(s.body, inner, fresh)
    names, lines = _shared([c.following for c in s.carried], inner, fresh)
    out += lines
    out += [f"{inner}next {c.name} = {names(c.following)}" for c in s.carried]
    out.append(f"{indent}}}")
    return out


def _shared(roots: list[Expr], indent: str, fresh: list[int]) -> tuple[Any, list[str]]:
    """Name the expressions used more than once, so that the text is linear in the DAG."""
    uses: dict[Expr, int] = {}
    order: list[Expr] = []
    stack: list[tuple[Expr, bool]] = [(r, False) for r in reversed(roots)]
    while stack:
        e, done = stack.pop()
        if done:
            order.append(e)
            continue
        uses[e] = uses.get(e, 0) + 1
        if uses[e] == 1:
            stack.append((e, True))
            stack.extend((a, False) for a in reversed(e.args))
    texts: dict[Expr, str] = {}
    lines = []
    for e in order:
        text = _one(e, texts)
        if e.args and (uses[e] > 1 or len(text) > 60) and e.op != "affine":
            name = f"t{fresh[0]}"
            fresh[0] += 1
            lines.append(f"{indent}{name} = {text}")
            text = name
        texts[e] = text
    return texts.__getitem__, lines


def _one(e: Expr, texts: dict[Expr, str]) -> str:
    if not e.args:
        text = show(e)
        return f"{text}:{short_name(e.dtype)}" if e.op == "const" and e.dtype.kind != "i" else text
    args = [texts[a] for a in e.args]
    if e.op == "affine":
        constant, coefs = e.attr
        parts = [t if c == 1 else f"{c!r}*{t}" for c, t in zip(coefs, args, strict=True)]
        return " + ".join([*parts, *([repr(constant)] if constant != 0 else [])])
    if e.op == "load":
        return f"b{e.attr}[{args[0]}]"
    if e.op in ("convert", "bitcast"):
        return f"{e.op} {short_name(e.dtype)} {args[0]}"
    return f"{e.op}({', '.join(args)})"
