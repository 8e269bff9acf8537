"""Recurrences: a loop as one kernel, which carries values in registers.

A loop over a few scalars is one recurrence of scalars.  A loop over arrays whose elements have
nothing to do with one another, such as one that `vmap` makes, is one recurrence for each element,
or lane, and some run side by side: the loops change places.  So what is carried is read and written
once, not in each trip, and a lane that is done takes no more time.

The expressions of a trip are those of the kernels it would have otherwise, so the results have the
same bits.  A loop that may take long is run in turns, between which what it carries lies in memory,
so that it can be interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tracejit.compiler.elements import (
    DraftsOf,
    Elements,
    Lanes,
    NotSmall,
    Runner,
    cost_of,
    in_memory,
    in_registers,
)
from tracejit.compiler.schedule import Draft
from tracejit.compiler.values import Block, Group, Opaque, Value
from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_complex, real_of
from tracejit.ir.kernel import Carried, For, Recurrence, Statement, Store
from tracejit.ir.plan import Note
from tracejit.ir.program import Source
from tracejit.ir.scalar import Expr, IndexVar, Loop

__all__ = ["Recurrent", "recurrent"]

MOST_CARRIED = 96
"""Elements that a loop of scalars carries."""
MOST_IN_LANES = 16
"""Elements that a lane carries: what exceeds the registers of vectors is faster in arrays."""
MOST_EXPRESSIONS = 1500
"""Of a trip."""
FEWEST_LANES = 4
TOGETHER = 16
"""Lanes that are all under way at once."""
TURN = 1e6
"""Estimated nanoseconds of a turn of scalars."""
TURN_OF_LANES = 5e7
NANOSECONDS = 0.5
"""Of an operation of cost 1 that others wait for."""
THROUGHPUT = 0.2
"""Nanoseconds of an operation of cost 1 that none waits for."""
OF_LANES = 0.05
"""Nanoseconds of an operation of cost 1 in one of many lanes."""

TRIP = s.raw("ref", (), s.I64, "trip")
GOING = s.raw("ref", (), s.BOOL, "going")


@dataclass(frozen=True)
class State:
    """A value that is carried.

    Attributes
    ----------
    offsets, names, following : list of Expr
        Of its elements: where they lie, how they are called within a trip, what they become.
    varies : bool
        Whether each lane has its own.
    """

    offsets: list[Expr]
    names: list[Expr]
    following: list[Expr]
    varies: bool


@dataclass(frozen=True)
class Recurrent:
    """A loop in registers.

    Attributes
    ----------
    states : list of State
        What it carries.
    stores : list of Store
        What else a trip does; ``trip`` is its number.
    condition : Expr or None
        Whether there is one more trip.
    lanes : Lanes or None
        What runs side by side.
    constants : list of (Value, array)
        What the body loads from, besides what is given to the loop.
    sources : tuple of Source
        The user's lines.
    cost : float
        Estimated nanoseconds of a trip.
    """

    states: list[State]
    stores: list[Store]
    condition: Expr | None
    lanes: Lanes | None
    constants: list[tuple[Value, Any]]
    sources: tuple[Source, ...]
    cost: float

    @property
    def turn(self) -> int:
        """The trips of a turn."""
        most = TURN if self.lanes is None else TURN_OF_LANES
        return max(1, int(most / self.cost))

    def note(self, item: Opaque) -> Note:
        """Return what to tell of it."""
        lanes = "" if self.lanes is None else f" in each of {self.lanes.var.extent} lanes"
        name = item.equation.primitive.name
        text = f"{name}: one kernel runs the trips, with what they carry in registers{lanes}"
        return Note(text, item.equation.source)

    def drafts(
        self,
        trips: int,
        initial: Sequence[Value],
        final: Sequence[Value],
        done: Value | None = None,
        goes: Value | None = None,
    ) -> list[Draft]:
        """Return the kernels of some trips.

        Parameters
        ----------
        trips : int
            At most so many.
        initial, final : sequence of Value
            What is carried, before and after them.
        done : Value, optional
            How many trips are done, before and after them; none before if it is not given.
        goes : Value, optional
            Whether there is one more, after them; a loop of lanes does not tell.
        """
        groups = [(n, initial[n], final[n]) for n in range(len(self.states))]
        if self.lanes is None:
            body = self._part(trips, groups, groups, self.stores, done)
            if done is not None:
                body.append(_stored(done, TRIP))
            if goes is not None:
                body.append(_stored(goes, GOING))
            return [Draft(tuple(body), trips, trips, self.sources, cost=trips * self.cost)]
        lane = s.index(self.lanes.var)
        of_lanes = [st for st in self.stores if lane in s.walk([st.offset])]
        alike = [st for st in self.stores if st not in of_lanes]
        own = [g for g in groups if self.states[g[0]].varies]
        rest = [g for g in groups if not self.states[g[0]].varies]
        count = self.lanes.var.extent
        body = self._part(trips, groups, own, of_lanes, done)
        nest = For(Loop(self.lanes.var, 0, count, True), tuple(body), True)
        found = [Draft((nest,), count, count, self.sources, cost=trips * self.cost)]
        # Each lane computes what is alike for itself; it is stored when all have read it.
        if (rest or alike or done is not None) and self.condition is None:
            body = self._part(trips, rest, rest, alike, done)
            if done is not None:
                body.append(_stored(done, TRIP))
            found.append(Draft(tuple(body), trips, trips, self.sources, cost=2.0 * trips))
        return found

    def _part(
        self,
        trips: int,
        groups: Sequence[tuple[int, Value, Value]],
        kept: Sequence[tuple[int, Value, Value]],
        stores: Sequence[Store],
        done: Value | None,
    ) -> list[Statement]:
        """Return a recurrence of some of the states, and the stores of those that are kept."""
        condition, swap = self.condition, {}
        if condition is not None:
            swap[condition] = GOING
        carried: list[Carried] = []
        for n, v, _ in groups:
            own = self.states[n]
            following = s.substitute(own.following, swap.get)
            for at, name, e in zip(own.offsets, own.names, following, strict=True):
                parts = zip(_parts(name), _parts(_element(v, at)), _parts(e), strict=True)
                carried += [Carried(ref.attr, a, b) for ref, a, b in parts]
        if condition is not None:
            refs = [s.raw("ref", (), c.initial.dtype, c.name) for c in carried]
            first = dict(zip(refs, [c.initial for c in carried], strict=True))
            then = dict(zip(refs, [c.following for c in carried], strict=True))
            before, after = (s.substitute([condition], x.get)[0] for x in (first, then))
            carried.append(Carried("going", before, after))
        used = [x for st in stores for x in (st.offset, st.value)]
        if done is not None or TRIP in s.walk([*used, *(c.following for c in carried)]):
            start = s.const(0, s.I64) if done is None else _element(done, s.const(0, s.I64))
            carried.append(Carried("trip", start, s.affine(1, [(1, TRIP)])))
        loop = Loop(IndexVar("t", trips), 0, trips)
        goes = None if condition is None else GOING
        body: list[Statement] = [Recurrence(loop, tuple(carried), tuple(stores), goes)]
        for n, _, v in kept:
            state = self.states[n]
            body += [Store(v, o, e) for o, e in zip(state.offsets, state.names, strict=True)]  # type: ignore[arg-type]
        return body


def recurrent(item: Opaque, drafts_of: DraftsOf) -> Recurrent | None:
    """Return the form in registers of a loop, or None if it has none.

    Parameters
    ----------
    item : Opaque
        A ``scan`` or ``while_loop``.
    drafts_of : callable
        Gives the kernels of a group of a block, all of whose results are stored.
    """
    if not item.outputs or not all(_may_be(body) for body in item.bodies[-1:]):
        return None
    for lanes in (*_lanes(item), None):
        if lanes is not None and not _gains(item, lanes):
            continue
        try:
            return _Loop(Runner(drafts_of, lanes)).found(item)
        except NotSmall:
            pass
    return None


def _may_be(block: Block) -> bool:
    """Whether a body has neither reductions nor what is no kernel."""
    return all(
        not any(t.reduces for t in item.tasks)
        if isinstance(item, Group)
        else item.equation.primitive.name == "cond"
        for item in block.items
    )


def _gains(item: Opaque, lanes: Lanes) -> bool:
    """Whether lanes are faster than one kernel a trip.

    Few of them save its launch.  Of many, one kernel a trip has more to do while it waits for
    results; but those of a loop that ends when all are done need not wait for one another.
    """
    return lanes.var.extent <= TOGETHER or item.equation.primitive.name == "while_loop"


def _lanes(item: Opaque) -> Iterator[Lanes]:
    """Yield what lanes the arrays that a loop carries may have, many first."""
    params = item.equation.params
    carried = item.outputs[: params.get("n_carry", len(item.outputs))]
    arrays = [v.aval for v in carried if v.aval.shape]
    if not arrays:
        return
    found = []
    for leading in (True, False):
        shape = arrays[0].shape if leading else arrays[0].shape[::-1]
        for n in range(1, len(shape) + 1):
            count = math.prod(shape[:n])
            if count >= FEWEST_LANES and (leading or count < arrays[0].size):
                found.append(Lanes(IndexVar("lane", count), leading))
    found.sort(key=lambda own: -own.var.extent)
    yield from (own for own in found if all(own.holds(a) for a in arrays))


class _Loop:
    """Makes the form of one loop."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.lanes = runner.lanes
        self.names = 0

    def found(self, item: Opaque) -> Recurrent:
        """Return the form of a loop.

        Raises
        ------
        NotSmall
            If it has none.
        """
        if item.equation.primitive.name == "scan":
            return self._scan(item)
        return self._while(item)

    def _scan(self, item: Opaque) -> Recurrent:
        params = item.equation.params
        first, count = params["n_consts"], params["n_carry"]
        number = s.affine(params["length"] - 1, [(-1, TRIP)]) if params["reverse"] else TRIP
        (body,) = item.bodies
        offsets, names, carried = self._carried(item.outputs[:count])
        consts = [in_memory(v) for v in item.inputs[:first]]
        slices = [
            in_memory(x, s.affine(0, [(v.aval.size, number)]))
            for x, v in zip(item.inputs[first + count :], body.inputs[first + count :], strict=True)
        ]
        results = self.runner.run(body, [*consts, *carried, *slices])
        stores = []
        for y, v, own in zip(
            item.outputs[count:], body.outputs[count:], results[count:], strict=True
        ):
            start = (v.aval.size, number)
            for at, e in zip(self.runner.offsets(v.aval), own, strict=True):
                stores.append(Store(y, s.affine(0, [(1, at), start]), e))  # type: ignore[arg-type]
        return self._form(offsets, names, results[:count], stores, None)

    def _while(self, item: Opaque) -> Recurrent:
        params = item.equation.params
        nc, nb = params["cond_nconsts"], params["body_nconsts"]
        test, body = item.bodies
        offsets, names, carried = self._carried(item.outputs)
        consts = [in_memory(v) for v in item.inputs[: nc + nb]]
        if self.lanes is None:
            ((goes,),) = self.runner.run(test, [*consts[:nc], *carried])
        else:
            goes = self.runner.run_any(test, [*consts[:nc], *carried])
        results = self.runner.run(body, [*consts[nc:], *carried])
        if self.lanes is not None:
            for own, then in zip(names, results, strict=True):
                _check_frozen(goes, own, then)
        return self._form(offsets, names, results, [], goes)

    def _carried(
        self, values: Sequence[Value]
    ) -> tuple[list[list[Expr]], list[list[Expr]], list[Elements]]:
        offsets = [self.runner.offsets(v.aval) for v in values]
        if sum(map(len, offsets)) > (MOST_CARRIED if self.lanes is None else MOST_IN_LANES):
            raise NotSmall
        names = [
            [self._name(v.aval) for _ in own] for v, own in zip(values, offsets, strict=True)
        ]
        return offsets, names, list(map(in_registers, offsets, names))

    def _name(self, aval: ShapedArray) -> Expr:
        if is_complex(aval.dtype):
            part = aval.update(dtype=real_of(aval.dtype))
            return s.pair(self._name(part), self._name(part))
        self.names += 1
        return s.raw("ref", (), aval.dtype, f"c{self.names}")

    def _form(
        self,
        offsets: list[list[Expr]],
        names: list[list[Expr]],
        following: list[list[Expr]],
        stores: list[Store],
        condition: Expr | None,
    ) -> Recurrent:
        roots = [e for own in following for e in own] + [st.value for st in stores]
        cost, count = cost_of([*roots, *([] if condition is None else [condition])])
        if count > MOST_EXPRESSIONS:
            raise NotSmall
        if self.lanes is None:
            if cost * THROUGHPUT > self.runner.kernels * NANOSECONDS:
                raise NotSmall
            nanoseconds = max(cost, 2) * NANOSECONDS
            varies = [False] * len(names)
        else:
            nanoseconds = max(cost, 2) * OF_LANES * self.lanes.var.extent
            varies = self._varies(offsets, names, following, stores)
        states = list(map(State, offsets, names, following, varies))
        sources = tuple(self.runner.sources.values())
        return Recurrent(
            states, stores, condition, self.lanes, self.runner.constants, sources, nanoseconds
        )

    def _varies(
        self,
        offsets: list[list[Expr]],
        names: list[list[Expr]],
        following: list[list[Expr]],
        stores: list[Store],
    ) -> list[bool]:
        """Return which values each lane has its own of; nothing else may depend on the lane."""
        assert self.lanes is not None
        lane = s.index(self.lanes.var)
        varies = [lane in s.walk(own) for own in offsets]
        of_lanes = {lane}
        for own, v in zip(names, varies, strict=True):
            if v:
                of_lanes.update(e for name in own for e in _parts(name))
        alike = [e for own, v in zip(following, varies, strict=True) if not v for e in own]
        alike += [st.value for st in stores if lane not in s.walk([st.offset])]
        if not of_lanes.isdisjoint(s.walk(alike)) or not any(varies):
            raise NotSmall
        return varies


def _check_frozen(goes: Expr, names: Sequence[Expr], following: Sequence[Expr]) -> None:
    """Check that a lane that does not go on stays as it is, however often it is run."""
    for name, then in zip(names, following, strict=True):
        for old, e in zip(_parts(name), _parts(then), strict=True):
            stays = e.op == "select" and e.args[0] is goes and e.args[2] is old
            if not stays and e is not old:
                raise NotSmall


def _parts(e: Expr) -> list[Expr]:
    return [s.real(e), s.imag(e)] if is_complex(e.dtype) else [e]


def _element(v: Value, offset: Expr) -> Expr:
    return s.raw("load", (offset,), v.aval.dtype, v)


def _stored(v: Value, e: Expr) -> Store:
    return Store(v, s.const(0, s.I64), e)  # type: ignore[arg-type]
