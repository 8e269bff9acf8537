"""Recurrences: a loop over a few scalars as one kernel, which carries them in registers.

The body of such a loop is run on expressions: each element of each small value becomes the
expression that its kernel stores there.  What the body captures and what it scans stays in memory.
The expressions are those of the kernels, so the results have the same bits.

A loop that may take long is run in turns, between which what it carries lies in memory, so that it
can be interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from tracejit.compiler.schedule import Draft
from tracejit.compiler.values import Block, Group, Opaque, Value
from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_complex, real_of
from tracejit.ir.kernel import Carried, For, Recurrence, Statement, Store, expressions, statements
from tracejit.ir.program import Source
from tracejit.ir.scalar import Expr, IndexVar, Loop

__all__ = ["Recurrent", "recurrent"]

MOST_ELEMENTS = 16
"""Elements of a value that is kept in expressions."""
MOST_CARRIED = 96
"""Elements that a loop carries."""
MOST_EXPRESSIONS = 4000
"""Of a trip."""
MOST_OF_BRANCH = 40
"""Cost of a branch that is computed whether it is taken or not."""
TURN = 1e6
"""Estimated nanoseconds of a turn."""
NANOSECONDS = 0.5
"""Of an operation of cost 1 that others wait for."""
THROUGHPUT = 0.2
"""Nanoseconds of an operation of cost 1 that none waits for."""
VECTOR = 8
"""Elements of a vector."""
LAUNCH = 16
"""Cost of a launch."""

DraftsOf = Callable[[Block, Group], Sequence[Draft]]
Elements = Callable[[Expr], Expr]
"""Gives the element of a value at an offset."""

TRIP = s.raw("ref", (), s.I64, "trip")


class _NotSmall(Exception):
    """A loop does not have this form."""


class Recurrent(NamedTuple):
    """A loop in registers.

    Attributes
    ----------
    carried, following : list of list of Expr
        The elements of each carried value within a trip, and what they become.
    stores : list of Store
        What else a trip does; ``trip`` is its number.
    condition : Expr or None
        Whether there is one more trip.
    constants : list of (Value, array)
        What the body loads from, besides what is given to the loop.
    sources : tuple of Source
        The user's lines.
    cost : float
        Estimated nanoseconds of a trip.
    """

    carried: list[list[Expr]]
    following: list[list[Expr]]
    stores: list[Store]
    condition: Expr | None
    constants: list[tuple[Value, Any]]
    sources: tuple[Source, ...]
    cost: float

    @property
    def turn(self) -> int:
        """The trips of a turn."""
        return max(1, int(TURN / self.cost))

    def draft(
        self,
        trips: int,
        initial: Sequence[Value],
        final: Sequence[Value],
        done: Value | None = None,
        goes: Value | None = None,
    ) -> Draft:
        """Return the kernel of some trips.

        Parameters
        ----------
        trips : int
            At most so many.
        initial, final : sequence of Value
            What is carried, before and after them.
        done : Value, optional
            How many trips are done, before and after them; none before if it is not given.
        goes : Value, optional
            Whether there is one more, after them.
        """
        carried, after = [], []
        for v, out, names, then in zip(initial, final, self.carried, self.following, strict=True):
            for o, (name, e) in enumerate(zip(names, then, strict=True)):
                parts = zip(_parts(name), _parts(_element(v, o)), _parts(e), strict=True)
                carried += [Carried(ref.attr, a, b) for ref, a, b in parts]
                after.append(_stored(out, o, name))
        used = [x for st in self.stores for x in (st.offset, st.value)]
        if done is not None or TRIP in s.walk([*used, *(c.following for c in carried)]):
            before = s.const(0, s.I64) if done is None else _element(done, 0)
            carried.append(Carried("trip", before, s.affine(1, [(1, TRIP)])))
        if done is not None:
            after.append(_stored(done, 0, TRIP))
        if goes is not None:
            assert self.condition is not None
            after.append(_stored(goes, 0, self.condition))
        loop = Loop(IndexVar("t", trips), 0, trips)
        body = Recurrence(loop, tuple(carried), tuple(self.stores), self.condition)
        return Draft((body, *after), trips, trips, self.sources, cost=trips * self.cost)


def recurrent(item: Opaque, drafts_of: DraftsOf) -> Recurrent | None:
    """Return the form in registers of a loop, or None if it has none.

    Parameters
    ----------
    item : Opaque
        A ``scan`` or ``while_loop``.
    drafts_of : callable
        Gives the kernels of a group of a block, all of whose results are stored.
    """
    if not item.outputs or not all(_may_be_small(body) for body in item.bodies):
        return None
    try:
        return _Runner(drafts_of).loop(item)
    except _NotSmall:
        return None


def _may_be_small(block: Block) -> bool:
    written = [t for item in block.items if isinstance(item, Group) for t in item.tasks]
    opaque = [item for item in block.items if isinstance(item, Opaque)]
    return (
        all(item.equation.primitive.name == "cond" for item in opaque)
        and not any(t.reduces or t.value.aval.size > MOST_ELEMENTS for t in written)
        and all(v.aval.size <= MOST_ELEMENTS for v in block.outputs)
    )


class _Runner:
    """Runs the bodies of one loop on expressions.

    `kernels` is the cost of what it runs if that is run by kernels with vectors.
    """

    def __init__(self, drafts_of: DraftsOf) -> None:
        self.drafts_of = drafts_of
        self.constants: list[tuple[Value, Any]] = []
        self.sources: dict[Any, Source] = {}
        self.names = 0
        self.kernels = 0.0

    def loop(self, item: Opaque) -> Recurrent:
        """Return the form of a loop."""
        if item.equation.primitive.name == "scan":
            return self._scan(item)
        return self._while(item)

    def _scan(self, item: Opaque) -> Recurrent:
        params = item.equation.params
        first, count = params["n_consts"], params["n_carry"]
        number = s.affine(params["length"] - 1, [(-1, TRIP)]) if params["reverse"] else TRIP
        (body,) = item.bodies
        carried = self._carried(item.outputs[:count])
        consts = [_in_memory(v) for v in item.inputs[:first]]
        slices = [
            _in_memory(x, s.affine(0, [(v.aval.size, number)]))
            for x, v in zip(item.inputs[first + count :], body.inputs[first + count :], strict=True)
        ]
        results = self.run(body, [*consts, *map(_in_registers, carried), *slices])
        stores = []
        for y, own in zip(item.outputs[count:], results[count:], strict=True):
            for o, e in enumerate(own):
                stores.append(Store(y, s.affine(o, [(len(own), number)]), e))  # type: ignore[arg-type]
        return self._found(carried, results[:count], stores, None)

    def _while(self, item: Opaque) -> Recurrent:
        params = item.equation.params
        nc, nb = params["cond_nconsts"], params["body_nconsts"]
        condition, body = item.bodies
        carried = self._carried(item.outputs)
        own = [_in_registers(x) for x in carried]
        consts = [_in_memory(v) for v in item.inputs[: nc + nb]]
        ((goes,),) = self.run(condition, [*consts[:nc], *own])
        return self._found(carried, self.run(body, [*consts[nc:], *own]), [], goes)

    def _carried(self, values: Sequence[Value]) -> list[list[Expr]]:
        if sum(v.aval.size for v in values) > MOST_CARRIED:
            raise _NotSmall
        return [[self._name(v.aval) for _ in range(v.aval.size)] for v in values]

    def _name(self, aval: ShapedArray) -> Expr:
        if is_complex(aval.dtype):
            part = aval.update(dtype=real_of(aval.dtype))
            return s.pair(self._name(part), self._name(part))
        self.names += 1
        return s.raw("ref", (), aval.dtype, f"c{self.names}")

    def _found(
        self,
        carried: list[list[Expr]],
        following: list[list[Expr]],
        stores: list[Store],
        condition: Expr | None,
    ) -> Recurrent:
        roots = [e for own in following for e in own] + [st.value for st in stores]
        cost, count = _cost([*roots, *([] if condition is None else [condition])])
        if count > MOST_EXPRESSIONS or cost * THROUGHPUT > self.kernels * NANOSECONDS:
            raise _NotSmall
        return Recurrent(
            carried, following, stores, condition, self.constants, tuple(self.sources.values()),
            max(cost, 2) * NANOSECONDS,
        )  # fmt: skip

    # -------------------------------------------------------------------- blocks

    def run(self, block: Block, arguments: Sequence[Elements]) -> list[list[Expr]]:
        """Return the elements of the outputs of a block."""
        env: dict[Value, Elements] = dict(zip(block.inputs, arguments, strict=True))
        for value, array in block.constants:
            env[value] = self._constant(value, array)
        for item in block.items:
            if isinstance(item, Group):
                for task in item.tasks:  # an empty one has no kernel
                    env[task.value] = _Stored()
                for draft in self.drafts_of(block, item):
                    self.sources.update((id(x), x) for x in draft.sources)
                    self.kernels += LAUNCH + _of_draft(draft)
                    self._statements(draft.body, {}, env)
            elif item.equation.primitive.name == "cond":
                self._cond(item, env)
            else:
                raise _NotSmall
        return [_all_elements(v, env) for v in block.outputs]

    def _constant(self, value: Value, array: Any) -> Elements:
        if isinstance(array, np.ndarray) and array.size <= MOST_ELEMENTS:
            return _in_registers([s.const(x, value.aval.dtype) for x in array.ravel()])
        self.constants.append((value, array))
        return _in_memory(value)

    def _cond(self, item: Opaque, env: dict[Value, Elements]) -> None:
        """Compute all branches, and choose."""
        (which,) = _all_elements(item.inputs[0], env)
        operands = [_viewed(v, env) for v in item.inputs[1:]]
        results = []
        for body in item.bodies:
            branch = self.run(body, operands)
            if _cost([e for own in branch for e in own])[0] > MOST_OF_BRANCH:
                raise _NotSmall
            results.append(branch)
        for n, v in enumerate(item.outputs):
            chosen = results[-1][n]
            for k in range(len(results) - 2, -1, -1):
                here = s.apply("le", which, s.const(k, which.dtype))
                chosen = [
                    s.apply("select", here, a, b)
                    for a, b in zip(results[k][n], chosen, strict=True)
                ]
            env[v] = _in_registers(chosen)

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
                    raise _NotSmall
                lo, hi = st.loop.lo, st.loop.hi
                assert isinstance(lo, int)
                assert isinstance(hi, int)
                if hi - lo > MOST_ELEMENTS:
                    raise _NotSmall
                for n in range(lo, hi):
                    self._statements(st.body, {**place, st.loop.var: s.const(n, s.I64)}, env)

    def _stores(
        self, group: Sequence[Store], place: dict[IndexVar, Expr], env: dict[Value, Elements]
    ) -> None:
        def replace(e: Expr) -> Expr | None:
            if e.op == "index":
                return place[e.attr]
            if e.op == "load":
                (offset,) = s.substitute(e.args, replace)
                found = env[e.attr.base](offset)
                if found.dtype != e.dtype:
                    raise _NotSmall
                return found
            return None

        roots = [x for st in group for x in (st.offset, st.value)]
        placed = iter(s.substitute(roots, replace))
        for st in group:
            value: Value = st.buffer.base  # type: ignore[attr-defined]
            offset = s.value_of(next(placed))
            if value not in env:
                env[value] = _Stored()
            own = env[value]
            assert isinstance(own, _Stored)
            own.elements[offset] = next(placed)


class _Stored:
    """The elements of a value that a kernel writes."""

    def __init__(self) -> None:
        self.elements: dict[int, Expr] = {}

    def __call__(self, offset: Expr) -> Expr:
        return _at(self.elements, offset)


def _at(elements: Any, offset: Expr) -> Expr:
    if offset.op != "const":
        raise _NotSmall
    found: Expr = elements[s.value_of(offset)]
    return found


def _in_registers(elements: Sequence[Expr]) -> Elements:
    return partial(_at, elements)


def _in_memory(value: Value, start: Expr | None = None) -> Elements:
    terms = [] if start is None else [(1, start)]
    dtype = value.aval.dtype
    return lambda offset: s.raw("load", (s.affine(0, [(1, offset), *terms]),), dtype, value)


def _all_elements(v: Value, env: dict[Value, Elements]) -> list[Expr]:
    if v.aval.size > MOST_ELEMENTS:
        raise _NotSmall
    own = _viewed(v, env)
    return [own(s.const(n, s.I64)) for n in range(v.aval.size)]


def _viewed(v: Value, env: dict[Value, Elements]) -> Elements:
    if v.aval.dtype != v.base.aval.dtype:
        raise _NotSmall
    return env[v.base]


def _parts(e: Expr) -> list[Expr]:
    return [s.real(e), s.imag(e)] if is_complex(e.dtype) else [e]


def _element(v: Value, offset: int) -> Expr:
    return s.raw("load", (s.const(offset, s.I64),), v.aval.dtype, v)


def _stored(v: Value, offset: int, e: Expr) -> Store:
    return Store(v, s.const(offset, s.I64), e)  # type: ignore[arg-type]


def _of_draft(draft: Draft) -> int:
    """Return the cost of a kernel that is run with vectors."""
    roots = [x for st in statements(draft.body) for x in expressions(st)]
    return _cost(roots)[0] * -(-draft.elements // VECTOR)


def _cost(roots: Sequence[Expr]) -> tuple[int, int]:
    """Return the cost of some expressions and their number."""
    found = s.walk(roots)
    return sum(s.COSTS.get(e.op, 1) for e in found), len(found)
