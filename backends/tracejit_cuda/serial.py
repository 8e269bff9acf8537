"""Serial: statements that one thread runs by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import groupby
from typing import NamedTuple

from tracejit.ir.dtypes import DTYPES, is_float
from tracejit.ir.kernel import Accumulator, For, Reduce, Statement, Store, expressions
from tracejit.ir.scalar import Expr, Loop, raw
from tracejit_cuda import scalars
from tracejit_cuda.nests import stores
from tracejit_cuda.writer import Writer

__all__ = ["Serial", "State", "grouped", "reference"]

FEW = 16
"""Terms of a sum that need no compensation."""


def grouped(body: Sequence[Statement]) -> Iterable[list[Statement]]:
    """Yield the statements of a body one by one, those stores together that follow one another."""
    for is_store, run in groupby(body, lambda s: isinstance(s, Store)):
        if is_store:
            yield list(run)
        else:
            yield from ([s] for s in run)


def reference(a: Accumulator) -> Expr:
    """Return the expression by which later statements name the result of an accumulator."""
    dtype = DTYPES["i64"] if a.index is not None else a.value.dtype
    return raw("ref", (), dtype, a.name)


class State(NamedTuple):
    """An accumulator in C++: a ``"plain"`` variable, a compensated ``"sum"``, an ``"extreme"``."""

    of: Accumulator
    name: str
    kind: str


class Serial(Writer):
    """Writes statements for one thread."""

    def serial(self, body: Sequence[Statement]) -> None:
        """Write statements that this thread runs one after the other."""
        for run in grouped(body):
            if isinstance(run[0], Store):
                self.stores([(s.buffer, s.offset, s.value) for s in run if isinstance(s, Store)])
                continue
            (s,) = run
            if isinstance(s, For):
                self._for(s)
            elif isinstance(s, Reduce):
                self._reduce(s)

    def _for(self, s: For) -> None:
        written = stores(s.body)
        self.forget_loads(written)
        with self.loop(s.loop):
            self.serial(s.body)

    def loop(self, loop: Loop) -> AbstractContextManager[None]:
        """Open a serial loop over its variable."""
        name = self.name("i")
        self.variables[loop.var] = name
        lo, hi = self.integer(loop.lo), self.integer(loop.hi)
        return self.block(f"for (idx {name} = {lo}; {name} < {hi}; ++{name})")

    def _reduce(self, s: Reduce) -> None:
        self.hoist(expressions(s), [v.var for v in s.loops])
        long = not all(isinstance(v.hi, int) and v.hi <= FEW for v in s.loops)
        states = [self.accumulator(a, compensated=long) for a in s.accumulators]
        with ExitStack() as loops:
            for v in s.loops:
                loops.enter_context(self.loop(v))
            self.accumulate(states)
        for state in states:
            self.bind(reference(state.of), self.result(state))

    # -------------------------------------------------------------- accumulators

    def accumulator(self, a: Accumulator, compensated: bool) -> State:
        """Declare the state of an accumulator, at its neutral element."""
        name = self.name("s")
        kind = scalars.type_name(a.value.dtype)
        if a.index is not None:
            self.line(f"tj_{a.op}<{kind}> {name};")
            return State(a, name, "extreme")
        if a.op == "add" and is_float(a.value.dtype) and compensated:
            self.line(f"tj_sum<{kind}> {name};")
            return State(a, name, "sum")
        self.line(f"{kind} {name} = {scalars.neutral(a.op, a.value.dtype)};")
        return State(a, name, "plain")

    def accumulate(self, states: Sequence[State]) -> None:
        """Write one step of every accumulator."""
        values = [
            (self.value(x.of.value), None if x.of.index is None else self.value(x.of.index))
            for x in states
        ]
        for x, (value, at) in zip(states, values, strict=True):
            if x.kind == "extreme":
                self.line(f"{x.name}.take({value}, {at});")
            elif x.kind == "sum":
                self.line(f"{x.name}.take({value});")
            else:
                dtype = x.of.value.dtype
                self.line(f"{x.name} = {scalars.combine(x.of.op, x.name, value, dtype)};")

    def result(self, x: State) -> str:
        """Return the name of what an accumulator holds."""
        if x.kind == "extreme":
            return self.declare("long long", f"{x.name}.index")
        kind = scalars.type_name(x.of.value.dtype)
        return self.declare(kind, f"{x.name}.value()" if x.kind == "sum" else x.name)
