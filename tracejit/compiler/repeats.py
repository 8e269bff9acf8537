"""Equal steps in a row: a loop that was unrolled by tracing is lowered for a few of its trips.

What Python unrolls is a Program whose equations come again and again, each reading what it read
before, one trip later.  Two Programs of fewer trips are compiled.  If the plan of the longer one is
that of the shorter one with some steps put in a second time, these steps take the memory from one
trip to a later one just as they found it, and so they are repeated as often as there are trips.
The kernels are those of the unrolled Program.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracejit.ir.plan import Copy, Launch, LibraryCall, Note, Plan, Repeat, Step
from tracejit.ir.program import Atom, Equation, Literal, Program, Var

__all__ = ["Trips", "equal_trips", "plan_of_trips"]

LEAST_EQUATIONS = 200
LEAST_TRIPS = 24
KEPT = 4
"""Trips of the shorter Program, at least."""
TOGETHER = (2, 3)
"""Trips after which the buffers of a plan may be the same again: results change places with what
they were computed from, once or in a ring."""
MOST_PERIODS = 32


class Trips(NamedTuple):
    """Where equal trips are in a Program.

    Attributes
    ----------
    program : Program
        All of it.
    start, period, count : int
        The first equation, the equations of a trip, and the number of trips.
    """

    program: Program
    start: int
    period: int
    count: int  # type: ignore[assignment]

    def shortened(self, count: int) -> Program | None:
        """Return the Program with so many trips, or None if it reads what would be missing.

        The first and the last trips stay.  What follows reads a trip by its distance from the end.
        """
        equations = self.program.equations
        removed = (self.count - count) * self.period
        cut = self.start + count // 2 * self.period
        earlier: dict[Atom, Var] = {}
        missing: set[Atom] = set()
        for n in range(cut, cut + removed):
            outputs = equations[n].outputs
            if n - removed < self.start:
                missing.update(outputs)
            else:
                earlier.update(zip(outputs, equations[n - removed].outputs, strict=True))
        out = list(equations[:cut])
        for eq in equations[cut + removed :]:
            if not missing.isdisjoint(eq.inputs):
                return None
            out.append(eq._replace(inputs=tuple([earlier.get(a, a) for a in eq.inputs])))
        results = self.program.outputs
        if not missing.isdisjoint(results):
            return None
        kept = [earlier.get(a, a) for a in results]
        return self.program.replace(equations=out, outputs=kept)


def equal_trips(program: Program) -> Trips | None:
    """Return the equal trips around the middle of a Program, or None if they are few or none."""
    equations = program.equations
    if len(equations) < LEAST_EQUATIONS:
        return None
    places = _places(equations)
    middle = len(equations) // 2
    for later in np.flatnonzero(places[middle + 1 :] == places[middle])[:MOST_PERIODS]:
        period = int(later) + 1
        first, last = _around(places[:-period] == places[period:], middle)
        if last - first < (LEAST_TRIPS - 1) * period:
            continue
        try:
            reads = _reads(equations, first, last, period)
        except ValueError:  # a param that does not compare
            return None
        low, high = _around(reads >= 0, middle - first)
        if high - low <= period:  # not even two trips are alike
            continue
        same = reads[low : high - period] == reads[low + period : high]
        # The middle lies in a trip that is compared with the next, or is the last such.
        place = min(middle - first - low, len(same) - 1)
        if place < 0:
            continue
        begin, stop = _around(same, place)
        count = (stop - begin + 2 * period) // period
        if count >= LEAST_TRIPS and count * period >= LEAST_EQUATIONS:
            return Trips(program, first + low + begin, period, count)
    return None


def _around(holds: np.ndarray[Any, Any], place: int) -> tuple[int, int]:
    """Return the bounds of the run of true elements around one; it is empty if that is false."""
    if place >= len(holds) or not holds[place]:
        return place, place
    before = np.flatnonzero(~holds[:place])
    after = np.flatnonzero(~holds[place:])
    return (
        int(before[-1]) + 1 if len(before) else 0,
        place + int(after[0]) if len(after) else len(holds),
    )


def _places(equations: Sequence[Equation]) -> np.ndarray[Any, Any]:
    """Return a number for each equation; like ones written in one function have the same."""
    numbers: dict[Any, int] = {}
    out = []
    for eq in equations:
        source = eq.source
        # Not by the instruction: CPython notes another one when it has specialised a call.
        where = id(eq.primitive), 0 if source is None else id(source.code)
        out.append(numbers.setdefault(where, len(numbers)))
    return np.array(out)


def _reads(
    equations: Sequence[Equation], first: int, last: int, period: int
) -> np.ndarray[Any, Any]:
    """Return how each equation reads what the one a trip later reads; -1 if that is another one.

    An operand is the same, an equal literal, or what is computed a trip later; which of these, is
    in the number.
    """
    defined: dict[Any, tuple[int, int]] = {}
    for n in range(first, last + period):
        outputs = equations[n].outputs
        if len(outputs) == 1:
            defined[outputs[0]] = n, 0
        else:
            for place, v in enumerate(outputs):
                defined[v] = n, place
    get = defined.get
    out = []
    for n in range(first, last):
        one, other = equations[n], equations[n + period]
        if one.primitive is not other.primitive or len(one.inputs) != len(other.inputs):
            out.append(-1)
            continue
        p, q = one.params, other.params
        # 0.0 and -0.0 are equal, too.
        how = 1 if p == q and (0.0 not in p.values() or repr(p) == repr(q)) else -1
        for a, b in zip(one.inputs, other.inputs, strict=True):
            if a is b:
                how = 3 * how + 1
            elif a.aval is not b.aval:
                how = -1
                break
            elif type(a) is Literal:
                if type(b) is not Literal or repr(a.value) != repr(b.value):
                    how = -1
                    break
                how = 3 * how
            else:
                at = get(a)
                if at is None or get(b) != (at[0] + period, at[1]):
                    how = -1
                    break
                how = 3 * how + 2
        out.append(max(how, -1))
    return np.array(out)


def plan_of_trips(trips: Trips, compiled: Callable[[Program], Plan]) -> Plan | None:
    """Return the plan of a Program with equal trips, or None if it does not repeat itself.

    Parameters
    ----------
    trips : Trips
        What comes again and again.
    compiled : callable
        Returns the plan of a Program.
    """
    for together in TOGETHER:
        kept = KEPT + (trips.count - KEPT) % together
        programs = [trips.shortened(n) for n in (kept, kept + together)]
        if programs[0] is None or programs[1] is None:
            return None
        short, long = compiled(programs[0]), compiled(programs[1])
        if not _alike(short, long):
            return None
        steps = _with_loop(short, long, (trips.count - kept) // together)
        if steps is not None:
            break
    else:
        return None
    note = f"{trips.count} equal steps of {trips.period} equations were lowered once"
    return dataclasses.replace(long, steps=steps, notes=(*long.notes, Note(note)))


def _with_loop(short: Plan, long: Plan, times: int) -> tuple[Step, ...] | None:
    """Return the steps of a plan that has `times` times, in place of once, what `long` has more."""
    before, after = _steps(short), _steps(long)
    if before is None or after is None or len(after) <= len(before):
        return None
    size = len(after) - len(before)
    place = 0
    while place < len(before) and before[place] == after[place]:
        place += 1
    again, rest = after[place : place + size], after[place + size :]
    if place < size or after[place - size : place] != again or before[place:] != rest:
        return None
    loop = Repeat(times, long.steps[place : place + size])
    return (*long.steps[:place], loop, *long.steps[place + size :])


def _alike(short: Plan, long: Plan) -> bool:
    """Whether two plans differ in their steps alone."""
    return (
        short.arena_bytes == long.arena_bytes
        and short.aliases == long.aliases
        and len(short.constants) == len(long.constants)
        and all(map(_same, short.constants, long.constants))
        and [k.text() for k in short.kernels] == [k.text() for k in long.kernels]
    )


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    alike = type(a) is type(b) is np.ndarray and (a.dtype, a.shape) == (b.dtype, b.shape)
    return alike and a.tobytes() == b.tobytes()


def _steps(plan: Plan) -> list[Any] | None:
    """Return what can be compared with the steps of another plan; None if a step cannot be."""
    out = []
    for step in plan.steps:
        found = _comparable(step, plan)
        if found is None:
            return None
        out.append(found)
    return out


def _comparable(step: Step, plan: Plan) -> Any:
    if isinstance(step, Launch):
        slots = tuple([plan.slots[n] for n in step.slots])
        return (step.kernel, slots, step.sizes, step.floats, step.rows, step.cost)
    if isinstance(step, LibraryCall):
        return (step.name, tuple([plan.slots[n] for n in step.slots]), step.params)
    if isinstance(step, Copy):
        return (plan.slots[step.target], plan.slots[step.source], step.nbytes)
    return None
