"""Find the pattern of zeros of a derivative: sets of unknowns carried through a linear Program.

The Program is that of the tangents (:func:`tracejit.transforms.jvp.jvp_program`): a set of
unknowns is carried with every element of every tangent, by :mod:`tracejit.sparsity.rules`, and
through control flow by the rules at the end of this module.  The pattern is never too small:
what cannot be told is taken to depend on all that is read, and noted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.control.programs import callees, depends
from tracejit.core.array import host_array
from tracejit.core.errors import SparsityError
from tracejit.core.primitive import impl
from tracejit.core.source import describe
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_inexact
from tracejit.ir.program import Equation, Literal, Program
from tracejit.sparsity.rows import Rows, diagonal, every, product, sparse, taken, union
from tracejit.sparsity.rules import RULES, Conservative, Entry, Known, size_of

__all__ = ["CONTROL", "Detector"]

LONGEST_EXACT = 16
"""Loops of at most so many trips are followed trip by trip."""


class Detector:
    """Carries sets of unknowns through Programs.

    Parameters
    ----------
    columns : int
        The number of unknowns.

    Attributes
    ----------
    notes : list of str
        Where a pattern was taken to be fuller than it may be, in order, each once.
    roots : set of int
        The arguments whose values, integers, the pattern was found with.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.notes: list[str] = []
        self.roots: set[int] = set()

    def note(self, eq: Equation, what: str) -> None:
        """Record that the pattern of an equation may be too full."""
        where = describe(eq.source)
        text = f"{eq.primitive.name}: {what}" + (f"\n  at {where}" if where else "")
        if text not in self.notes:
            self.notes.append(text)

    def run(self, program: Program, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries of the outputs of a Program, given those of its inputs."""
        env: dict[Any, Entry] = dict(zip(program.inputs, entries, strict=True))
        for v, value in program.constants:
            env[v] = Entry(v.aval, None, Known(lambda value=value: host_array(value)))  # type: ignore[misc]

        def read(a: Any) -> Entry:
            if isinstance(a, Literal):
                return Entry(a.aval, None, Known(lambda: np.asarray(a.value, a.aval.dtype)))
            return env[a]

        for eq in program.equations:
            outs = self._equation(eq, [read(a) for a in eq.inputs])
            env.update(zip(eq.outputs, outs, strict=True))
        return [read(a) for a in program.outputs]

    def _equation(self, eq: Equation, entries: list[Entry]) -> list[Entry]:
        if all(e.rows is None for e in entries):
            values = _known_outputs(eq, entries)
            return [Entry(v.aval, None, known) for v, known in zip(eq.outputs, values, strict=True)]
        try:
            rule = CONTROL.get(eq.primitive.name)
            find = callees.get(eq.primitive)
            if find is not None:
                outs = self.run(find([e.aval for e in entries], eq.params), entries)
            elif rule is not None:
                outs = rule(self, eq, entries)
            elif eq.primitive.name in RULES:
                rows = RULES[eq.primitive.name](
                    entries, eq.outputs[0].aval, self._read, **eq.params
                )
                outs = [Entry(eq.outputs[0].aval, rows)]
            else:
                raise Conservative
        except Conservative:
            self.note(eq, "every element is taken to depend on all that is read")
            outs = self.dense(entries, [v.aval for v in eq.outputs])
        except SparsityError as error:
            if " of the equation" in str(error):
                raise
            raise SparsityError(
                f"{error}\n  because of the equation {eq.primitive.name}, {describe(eq.source)}"
            ) from None
        return [_cleaned(entry) for entry in outs]

    def _read(self, entry: Entry) -> Any:
        if entry.known is None:
            raise Conservative
        self.roots |= entry.known.roots
        return entry.known.value()

    def dense(self, entries: Sequence[Entry], avals: Sequence[ShapedArray]) -> list[Entry]:
        """Return outputs that depend on all that is read."""
        rows = None
        for entry in entries:
            if entry.rows is not None:
                rows = union(rows, every(entry.rows, 1))
        return [
            Entry(aval, taken(rows, np.zeros(size_of(aval), np.int64)))
            if is_inexact(aval.dtype)
            else Entry(aval, None)
            for aval in avals
        ]


def _cleaned(entry: Entry) -> Entry:
    """Return an entry whose rows are None if they are empty, or of integers."""
    rows = entry.rows
    if rows is None or (rows.nnz and is_inexact(entry.aval.dtype)):
        return entry
    return entry._replace(rows=None)


def _known_outputs(eq: Equation, entries: Sequence[Entry]) -> list[Known | None]:
    if eq.primitive.host or any(e.known is None for e in entries):
        return [None] * len(eq.outputs)
    given = [e.known for e in entries if e.known is not None]
    roots = frozenset().union(*(k.roots for k in given))

    def compute() -> list[Any]:
        arrays = [k.value() for k in given]
        with np.errstate(all="ignore"):
            out = impl[eq.primitive](np, *arrays, **eq.params)
        outs = out if eq.primitive.multiple else [out]
        return [np.asarray(x, v.aval.dtype) for x, v in zip(outs, eq.outputs, strict=True)]

    every_output = Known(compute, roots)
    return [
        Known(lambda n=n: every_output.value()[n], roots)  # type: ignore[misc]
        for n in range(len(eq.outputs))
    ]


# ---------------------------------------------------------------------------- control flow

ControlRule = Callable[[Detector, Equation, list[Entry]], list[Entry]]


def _cond(detector: Detector, eq: Equation, entries: list[Entry]) -> list[Entry]:
    index, *rest = entries
    branches = eq.params["branches"]
    if index.known is not None and not index.known.roots:
        chosen = min(max(int(index.known.value()), 0), len(branches) - 1)
        return detector.run(branches[chosen], rest)
    outs = [detector.run(p, rest) for p in branches]
    return [_joined(column) for column in zip(*outs, strict=True)]


def _joined(entries: Sequence[Entry]) -> Entry:
    """Return what is one of several entries, it is not known which."""
    rows: Rows | None = None
    for entry in entries:
        rows = union(rows, entry.rows)
    return Entry(entries[0].aval, rows)


def _scan(detector: Detector, eq: Equation, entries: list[Entry]) -> list[Entry]:
    params = eq.params
    program, length = params["program"], params["length"]
    first = params["n_consts"] + params["n_carry"]
    consts, xs = entries[: params["n_consts"]], entries[first:]
    carry = entries[params["n_consts"] : first]
    slices = program.in_avals[first:]
    n_carry = params["n_carry"]
    if length <= LONGEST_EXACT:
        ys: dict[int, list[Entry]] = {}
        for trip in reversed(range(length)) if params["reverse"] else range(length):
            at = [_slice(x, trip, aval) for x, aval in zip(xs, slices, strict=True)]
            outs = detector.run(program, [*consts, *carry, *at])
            carry, ys[trip] = outs[:n_carry], outs[n_carry:]
        stacked = [
            _stack([ys[trip][n] for trip in range(length)], v.aval, detector.columns)
            for n, v in enumerate(eq.outputs[n_carry:])
        ]
        return [*carry, *stacked]
    joined = [
        _joined([_slice(x, trip, aval)._replace(known=None) for trip in range(length)])
        for x, aval in zip(xs, slices, strict=True)
    ]
    after, outs = _powered(detector, program, consts, carry, joined, length)
    return [
        *after,
        *(
            _stack([y] * length, v.aval, detector.columns)
            for y, v in zip(outs, eq.outputs[n_carry:], strict=True)
        ),
    ]


def _powered(
    detector: Detector,
    body: Program,
    consts: Sequence[Entry],
    carry: Sequence[Entry],
    rest: Sequence[Entry],
    length: int,
) -> tuple[list[Entry], list[Entry]]:
    """Return what is carried after a loop of many equal trips, and what any trip returns.

    The pattern of one trip is found as a matrix, and raised to the power `length`.
    """
    state = [*carry, *consts, *rest]
    moving = _moving(body, consts, carry, rest)
    sizes = [size_of(e.aval) if m else 0 for e, m in zip(state, moving, strict=True)]
    total, starts = sum(sizes), [0, *itertools.accumulate(sizes)]
    inner = Detector(total)
    inner.notes, inner.roots = detector.notes, detector.roots
    # What is carried is known in no trip; what is constant is.
    seeds = [
        Entry(e.aval, diagonal(n, start, total) if n else None)
        for e, n, start in zip(state, sizes, starts, strict=False)
    ]
    count = len(carry)
    fixed = [
        seed._replace(known=e.known)
        for seed, e in zip(seeds[count:], [*consts, *rest], strict=True)
    ]
    trip = inner.run(body, [*fixed[: len(consts)], *seeds[:count], *fixed[len(consts) :]])

    def stacked(entries: Sequence[Entry], columns: int) -> Rows:
        return sparse().vstack(
            [
                sparse().csr_array((n, columns), dtype=bool) if e.rows is None else e.rows
                for e, n in zip(entries, sizes, strict=True)
            ],
            "csr",
        )

    step = stacked([*trip[:count], *seeds[count:]], total)
    before = stacked(state, detector.columns)
    after = _power(step, length, before)
    spans = [slice(a, b) for a, b in itertools.pairwise(starts)][:count]
    carried = [_cleaned(Entry(e.aval, after[span])) for e, span in zip(carry, spans, strict=True)]
    if all(e.rows is None for e in trip[count:]):
        return carried, [Entry(e.aval, None) for e in trip[count:]]
    # Each trip is taken to see what any trip before the last sees.
    reached = _power(union(step, diagonal(total, 0, total)), length - 1, before)
    return carried, [
        _cleaned(Entry(e.aval, None if e.rows is None else product(e.rows, reached)))
        for e in trip[count:]
    ]


def _moving(
    body: Program, consts: Sequence[Entry], carry: Sequence[Entry], rest: Sequence[Entry]
) -> list[bool]:
    """Return which of carry, constants and slices may come to depend on an unknown."""
    flags = [e.rows is not None for e in (*consts, *carry, *rest)]
    carried = slice(len(consts), len(consts) + len(carry))
    while True:
        before = flags[carried]
        after = [a or b for a, b in zip(before, depends(body, flags), strict=False)]
        flags[carried] = [
            flag and is_inexact(e.aval.dtype) for flag, e in zip(after, carry, strict=True)
        ]
        if flags[carried] == before:
            return [*before, *flags[: len(consts)], *flags[carried.stop :]]


def _power(matrix: Any, exponent: int, rows: Rows) -> Rows:
    """Return ``matrix**exponent @ rows``."""
    while exponent:
        if exponent % 2:
            rows = product(matrix, rows)
        exponent //= 2
        if exponent:
            matrix = product(matrix, matrix)
    return rows


def _slice(x: Entry, trip: int, aval: ShapedArray) -> Entry:
    size = size_of(aval)
    rows = None if x.rows is None else x.rows[trip * size : (trip + 1) * size]
    known = x.known
    if known is not None:
        known = Known(lambda found=known: found.value()[trip], known.roots)  # type: ignore[misc]
    return _cleaned(Entry(aval, rows, known))


def _stack(entries: Sequence[Entry], aval: ShapedArray, columns: int) -> Entry:
    """Return stacked entries of one type as one array of type `aval`."""
    count = size_of(aval)
    if not count or all(e.rows is None for e in entries):
        return Entry(aval, None)
    size = count // len(entries)
    rows = None
    # All of the same rows, as after a long loop, are one part that is repeated.
    for part in {id(e.rows): e.rows for e in entries if e.rows is not None}.values():
        numbers = np.full(count, -1)
        for n, e in enumerate(entries):
            if e.rows is part:
                numbers[n * size : (n + 1) * size] = np.arange(size)
        rows = union(rows, taken(part, numbers))
    return Entry(aval, rows)


def _settled(
    detector: Detector,
    eq: Equation,
    body: Program,
    consts: Sequence[Entry],
    carry: Sequence[Entry],
    rest: Sequence[Entry],
) -> tuple[list[Entry], list[Entry]]:
    """Return a carry that holds after any number of trips, and the outputs of a trip from it."""
    now = [e._replace(known=None) for e in carry]
    for _ in range(LONGEST_EXACT):
        outs = detector.run(body, [*consts, *now, *rest])
        after = [_joined([a, b]) for a, b in zip(now, outs, strict=False)]
        if all(_count(a) == _count(b) for a, b in zip(now, after, strict=True)):
            return after, outs
        now = after
    detector.note(eq, "each trip reaches further: all that is carried depends on all that is read")
    found = detector.dense([*consts, *now, *rest], [e.aval for e in now])
    return found, detector.run(body, [*consts, *found, *rest])


def _count(entry: Entry) -> int:
    return 0 if entry.rows is None else int(entry.rows.nnz)


def _while(detector: Detector, eq: Equation, entries: list[Entry]) -> list[Entry]:
    n_test, n_body = eq.params["cond_nconsts"], eq.params["body_nconsts"]
    first = n_test + n_body
    carry, _ = _settled(
        detector, eq, eq.params["body_program"], entries[n_test:first], entries[first:], []
    )
    return carry


CONTROL: dict[str, ControlRule] = {
    "optimization_barrier": lambda detector, eq, entries: entries,
    "cond": _cond,
    "scan": _scan,
    "while_loop": _while,
}
"""The rules of primitives that run Programs, by name."""
