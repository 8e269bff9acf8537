"""Elements: a block of a program run on expressions instead of memory.

Each element of each small value becomes the expression that its kernel stores there.  What the
block is given in memory stays there.  With *lanes* it is run for the elements of one lane, which is
any of them: those of arrays that no kernel mixes with those of another lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from tracejit.compiler.collapse import collapse_reduction
from tracejit.compiler.group import evaluate, reduction_of
from tracejit.compiler.schedule import Draft
from tracejit.compiler.values import Block, Group, Opaque, Value
from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.kernel import For, Statement, Store, expressions, statements
from tracejit.ir.program import Source
from tracejit.ir.scalar import Expr, IndexVar

__all__ = [
    "DraftsOf",
    "Elements",
    "Lanes",
    "NotSmall",
    "Runner",
    "cost_of",
    "in_memory",
    "in_registers",
]

MOST_ELEMENTS = 16
"""Elements of a value, of one lane, that is kept in expressions."""
MOST_OF_BRANCH = 40
"""Cost of a branch that is computed whether it is taken or not."""
VECTOR = 8
"""Elements of a vector."""
LAUNCH = 16
"""Cost of a launch."""

DraftsOf = Callable[[Block, Group], Sequence[Draft]]
Elements = Callable[[Expr], Expr]
"""Gives the element of a value at an offset."""


class NotSmall(Exception):
    """A block cannot be run so."""


class Lanes(NamedTuple):
    """Which elements of arrays are those of one lane.

    Attributes
    ----------
    var : IndexVar
        The number of the lane.
    leading : bool
        Whether lanes are the leading dimensions, so that the elements of one lie together; else
        they are the trailing ones.
    """

    var: IndexVar
    leading: bool

    def holds(self, aval: ShapedArray) -> bool:
        """Whether an array has elements of each lane."""
        shape = aval.shape if self.leading else aval.shape[::-1]
        lengths = [math.prod(shape[: n + 1]) for n in range(len(shape))]
        return self.var.extent in lengths

    def values(self, lo: int, hi: int) -> list[Expr]:
        """Return the values of a loop variable in one lane: none if it does not go over lanes."""
        n = self.var.extent
        own = s.index(self.var)
        if lo % n or hi % n or (self.leading and lo):
            return []
        if self.leading:
            return [s.affine(k, [(hi // n, own)]) for k in range(hi // n)]
        return [s.affine(k * n, [(1, own)]) for k in range(lo // n, hi // n)]


class Runner:
    """Runs blocks.

    Parameters
    ----------
    drafts_of : callable
        Gives the kernels of a group of a block, all of whose results are stored.
    lanes : Lanes, optional
        What one lane is.

    Attributes
    ----------
    constants : list of (Value, array)
        What the blocks load from, besides what they are given.
    sources : dict
        The user's lines, as values.
    kernels : float
        The cost of what was run if kernels run it with vectors.
    """

    def __init__(self, drafts_of: DraftsOf, lanes: Lanes | None = None) -> None:
        self.drafts_of = drafts_of
        self.lanes = lanes
        self.constants: list[tuple[Value, Any]] = []
        self.sources: dict[Any, Source] = {}
        self.kernels = 0.0

    def offsets(self, aval: ShapedArray) -> list[Expr]:
        """Return the offsets of the elements of a value, in one lane."""
        found = []
        if self.lanes is not None and self.lanes.holds(aval):
            found = self.lanes.values(0, aval.size)
        elif aval.size <= MOST_ELEMENTS:
            return [s.const(n, s.I64) for n in range(aval.size)]
        if not 0 < len(found) <= MOST_ELEMENTS:
            raise NotSmall
        return found

    def run(self, block: Block, arguments: Sequence[Elements]) -> list[list[Expr]]:
        """Return the elements of the outputs of a block."""
        env = self._start(block, arguments)
        for item in block.items:
            self._item(block, item, env)
        return [self._all(v, env) for v in block.outputs]

    def run_any(self, block: Block, arguments: Sequence[Elements]) -> Expr:
        """Return, of a block that tells whether something holds in any lane, if it does in one."""
        assert self.lanes is not None
        env = self._start(block, arguments)
        *items, last = block.items or [None]
        for item in items:
            self._item(block, item, env)
        if not isinstance(last, Group) or len(last.tasks) != 1:
            raise NotSmall
        (task,) = last.tasks
        regions = evaluate(block.k, [task])
        found = regions[0].values[0]
        if not task.reduces or len(regions) > 1 or task.value is not block.outputs[0].base:
            raise NotSmall
        red = reduction_of(found)
        if red is None or red is not found or red.attr[0] != "or":
            raise NotSmall
        (value,), own = collapse_reduction(red.args, [loop.var for loop in red.attr[1]])
        places = self.lanes.values(0, own[0].extent) if len(own) == 1 else []
        if len(places) != 1:
            raise NotSmall
        (placed,) = self._placed([value], {own[0]: places[0]}, env)
        return placed

    def _start(self, block: Block, arguments: Sequence[Elements]) -> dict[Value, Elements]:
        env: dict[Value, Elements] = dict(zip(block.inputs, arguments, strict=True))
        for value, array in block.constants:
            env[value] = self._constant(value, array)
        return env

    def _constant(self, value: Value, array: Any) -> Elements:
        if isinstance(array, np.ndarray) and array.size <= MOST_ELEMENTS:
            flat = enumerate(array.ravel())
            return _Known({s.const(n, s.I64): s.const(x, value.aval.dtype) for n, x in flat})
        self.constants.append((value, array))
        return in_memory(value)

    def _item(self, block: Block, item: Any, env: dict[Value, Elements]) -> None:
        if isinstance(item, Group):
            for task in item.tasks:  # an empty one has no kernel
                env[task.value] = _Known({})
            for draft in self.drafts_of(block, item):
                self.sources.update((id(x), x) for x in draft.sources)
                self.kernels += LAUNCH + _of_draft(draft)
                self._statements(draft.body, {}, env)
        elif item.equation.primitive.name == "cond":
            self._cond(item, env)
        else:
            raise NotSmall

    def _cond(self, item: Opaque, env: dict[Value, Elements]) -> None:
        """Compute all branches, and choose."""
        (which,) = self._all(item.inputs[0], env)
        operands = [_viewed(v, env) for v in item.inputs[1:]]
        results = []
        for body in item.bodies:
            branch = self.run(body, operands)
            if cost_of([e for own in branch for e in own])[0] > MOST_OF_BRANCH:
                raise NotSmall
            results.append(branch)
        for n, v in enumerate(item.outputs):
            chosen = results[-1][n]
            for k in range(len(results) - 2, -1, -1):
                here = s.apply("le", which, s.const(k, which.dtype))
                pairs = zip(results[k][n], chosen, strict=True)
                chosen = [s.apply("select", here, a, b) for a, b in pairs]
            env[v] = in_registers(self.offsets(v.aval), chosen)

    def _all(self, v: Value, env: dict[Value, Elements]) -> list[Expr]:
        own = _viewed(v, env)
        return [own(at) for at in self.offsets(v.aval)]

    # ------------------------------------------------------------------- kernels

    def _statements(
        self, body: Sequence[Statement], place: dict[IndexVar, Expr], env: dict[Value, Elements]
    ) -> None:
        for kind, group in groupby(body, type):
            if kind is Store:
                self._stores([st for st in group if isinstance(st, Store)], place, env)
                continue
            for st in group:
                if not isinstance(st, For):
                    raise NotSmall
                lo, hi = st.loop.lo, st.loop.hi
                assert isinstance(lo, int)
                assert isinstance(hi, int)
                for e in self._places(lo, hi, place):
                    self._statements(st.body, {**place, st.loop.var: e}, env)

    def _places(self, lo: int, hi: int, place: dict[IndexVar, Expr]) -> list[Expr]:
        """Return the values of a loop variable, within the loops around."""
        found: list[Expr] = []
        if self.lanes is not None and all(e.op == "const" for e in place.values()):
            found = self.lanes.values(lo, hi)
        if not found:
            if hi - lo > MOST_ELEMENTS:
                raise NotSmall
            found = [s.const(n, s.I64) for n in range(lo, hi)]
        if len(found) > MOST_ELEMENTS:
            raise NotSmall
        return found

    def _stores(
        self, group: Sequence[Store], place: dict[IndexVar, Expr], env: dict[Value, Elements]
    ) -> None:
        roots = [x for st in group for x in (st.offset, st.value)]
        placed = iter(self._placed(roots, place, env))
        for st in group:
            value: Value = st.buffer.base  # type: ignore[attr-defined]
            own = env.setdefault(value, _Known({}))
            assert isinstance(own, _Known)
            offset = next(placed)
            own.elements[offset] = next(placed)
            if len(own.elements) > MOST_ELEMENTS:
                raise NotSmall

    def _placed(
        self, roots: Sequence[Expr], place: dict[IndexVar, Expr], env: dict[Value, Elements]
    ) -> list[Expr]:
        def replace(e: Expr) -> Expr | None:
            if e.op == "index":
                return place[e.attr]
            if e.op in ("ref", "reduce"):
                raise NotSmall
            if e.op != "load":
                return None
            (offset,) = s.substitute(e.args, replace)
            found = env[e.attr.base](offset)
            if found.dtype != e.dtype:
                raise NotSmall
            return found

        return s.substitute(roots, replace)


class _Known:
    """The elements of a value that are known, by their offsets."""

    def __init__(self, elements: dict[Expr, Expr]) -> None:
        self.elements = elements

    def __call__(self, offset: Expr) -> Expr:
        found = self.elements.get(offset)
        if found is None:
            raise NotSmall
        return found


def in_registers(offsets: Sequence[Expr], elements: Sequence[Expr]) -> Elements:
    """Return a value that is known at some offsets."""
    return _Known(dict(zip(offsets, elements, strict=True)))


def in_memory(value: Value, start: Expr | None = None) -> Elements:
    """Return a value that is loaded, from where it starts."""
    terms = [] if start is None else [(1, start)]
    dtype = value.aval.dtype
    return lambda offset: s.raw("load", (s.affine(0, [(1, offset), *terms]),), dtype, value)


def _viewed(v: Value, env: dict[Value, Elements]) -> Elements:
    if v.aval.dtype != v.base.aval.dtype:
        raise NotSmall
    return env[v.base]


def _of_draft(draft: Draft) -> int:
    """Return the cost of a kernel that is run with vectors."""
    roots = [x for st in statements(draft.body) for x in expressions(st)]
    return cost_of(roots)[0] * -(-draft.elements // VECTOR)


def cost_of(roots: Sequence[Expr]) -> tuple[int, int]:
    """Return the cost of some expressions and their number."""
    found = s.walk(roots)
    return sum(s.COSTS.get(e.op, 1) for e in found), len(found)
