"""Widths: how many lanes a vector loop has, and how many vectors make one of its trips."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tracejit.ir.dtypes import is_bool
from tracejit.ir.kernel import For, Recurrence, Reduce, Statement, Store, expressions
from tracejit.ir.scalar import COSTS, Expr, IndexVar, Integer, free_vars, raw, walk

__all__ = [
    "SHORT",
    "below",
    "cost_of",
    "count_of",
    "most_read",
    "often_used",
    "shape_of_lanes",
    "trips",
    "varying",
    "width_of_rows",
]

SHORT = 8
"""A loop of at most so many trips is written out."""
VECTOR_BYTES = 64
INTRINSICS = frozenset(
    ("max", "min", "sqrt", "abs", "floor", "ceil", "trunc", "round", "copysign")
)
SEVERAL = 2
"""Loads that cost less than a store."""
DEAR = 16
"""Cost from which an operation is a mathematical function."""
FEW, CHEAP = 6, 50
"""Carried values, and cost of a trip, up to which four vectors of recurrences go side by side."""


def trips(lo: Integer, hi: Integer) -> int | None:
    """Return the number of trips of a loop, if it is known."""
    return max(hi - lo, 0) if isinstance(lo, int) and isinstance(hi, int) else None


def _roots(body: Iterable[Statement]) -> Iterable[Expr]:
    for s in body:
        if isinstance(s, For):
            yield from _roots(s.body)
        elif isinstance(s, Reduce):
            for a in s.accumulators:
                yield a.value
                if a.index is not None:
                    yield a.index
        elif isinstance(s, Recurrence):
            yield from expressions(s)
            yield from _roots(s.body)
        else:
            yield s.value


def below(roots: Iterable[Expr]) -> Iterable[Expr]:
    """Yield each expression once; offsets of loads are not looked into."""
    seen: set[Expr] = set()
    stack = list(roots)
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        yield e
        if e.op != "load":
            stack.extend(e.args)


def cost_of(body: Iterable[Statement]) -> int:
    """Return the cost of running a body once, inner loops counted as one trip."""
    return sum(COSTS.get(e.op, 1) for e in below(_roots(body)))


def count_of(body: Iterable[Statement]) -> int:
    """Return how many expressions a kernel computes, at least."""
    return sum(1 for e in below(_roots(body)) if e.op not in ("const", "index", "ref"))


def often_used(
    body: Iterable[Statement], most: int, intrinsics: float = math.inf
) -> frozenset[str]:
    """Return the operations on floats that stand too often in a kernel to be written out.

    Parameters
    ----------
    body : iterable of Statement
        The kernel.
    most : int
        Uses of a dear operation that are not too many.
    intrinsics : float
        Uses of an operation that is an intrinsic of the compiler.
    """
    uses: dict[str, int] = {}
    for e in below(_roots(body)):
        op = e.op
        if op in INTRINSICS or COSTS.get(op, 1) >= DEAR:
            uses[op] = uses.get(op, 0) + 1
    return frozenset(
        op for op, n in uses.items() if n > (intrinsics if op in INTRINSICS else most)
    )


def _is_extreme(s: Statement) -> bool:
    """Return whether a statement computes maxima and minima alone."""
    return isinstance(s, Reduce) and all(a.op in ("max", "min") for a in s.accumulators)


def most_read(body: Iterable[Statement], store: Store) -> int:
    """Return the buffer that is best read, or written, where it begins a cache line.

    It is the one that is read at several places, of those that are read where `store` writes; else
    the one that is written: a store across two lines costs more than a load.
    """
    places: dict[int, int] = {}
    here: set[int] = set()
    for e in below(_roots(body)):
        if e.op == "load" and e.dtype.itemsize == store.value.dtype.itemsize:
            places[e.attr] = places.get(e.attr, 0) + 1
            if e.args[0] is store.offset:
                here.add(e.attr)
    best = max(here, key=lambda b: (places[b], -b), default=store.buffer)
    return best if places.get(best, 0) > SEVERAL else store.buffer


def shape_of_lanes(
    body: Iterable[Statement], var: IndexVar, lo: Integer, hi: Integer
) -> tuple[int, int]:
    """Return the lanes of a vector and the vectors of a trip for a loop over `var`."""
    body = tuple(body)
    widest = 1
    cost = 0
    own = [x for s in body if isinstance(s, Recurrence) for x in varying(s, var)]
    for e in below(_roots(body)):
        cost += COSTS.get(e.op, 1)
        size = 4 if e.dtype.itemsize == 2 else e.dtype.itemsize  # narrow floats are computed wide
        if size <= widest or is_bool(e.dtype) or e.op == "const":
            continue
        if var in free_vars(e) or e in own:
            widest = size
    width = min(max(VECTOR_BYTES // widest, 4), 32)
    reduces = any(isinstance(s, Reduce) for s in body)
    if own:
        # Each trip waits for the last one: several are under way at a time.
        parts = 4 if len(own) <= FEW and cost <= CHEAP else 2
    elif not reduces:
        parts = 4 if cost <= 4 else 2 if cost <= 16 else 1
    elif len(body) > 1 and cost <= 4:
        # Columns: longer runs of each row, 512 bytes, suit the prefetcher.
        parts = 8
    else:
        parts = 4 if cost <= 12 else 2 if cost <= 40 else 1
        if cost <= 2 and all(_is_extreme(x) for x in body):
            parts = 8  # each part waits for two operations a trip
    known = trips(lo, hi)
    if known is not None:
        while parts > 1 and width * parts > known:
            parts //= 2
        while width > 4 and width // 2 >= known:
            width //= 2
    return width, parts


def varying(s: Recurrence, var: IndexVar) -> list[Expr]:
    """Return the names of what a recurrence within a loop carries of its own in each trip of it."""
    refs = [raw("ref", (), c.initial.dtype, c.name) for c in s.carried]
    found: set[Expr] = set()
    order = walk(expressions(s))
    while True:
        depends: set[Expr] = set(found)
        for e in order:
            if (e.op == "index" and e.attr is var) or not depends.isdisjoint(e.args):
                depends.add(e)
        more = {
            ref
            for ref, c in zip(refs, s.carried, strict=True)
            if c.initial in depends or c.following in depends
        }
        if more <= found:
            return [ref for ref in refs if ref in found]
        found |= more


def width_of_rows(s: For) -> int:
    """Return how many rows are reduced side by side, if `s` is a loop over rows; else 0.

    That is a vector loop over reductions that are vector loops themselves.
    """
    sums = [x for x in s.body if isinstance(x, Reduce)]
    if not any(x.loops[-1].vector for x in sums):
        return 0
    return VECTOR_BYTES // sums[0].accumulators[0].value.dtype.itemsize
