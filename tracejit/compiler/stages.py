"""Stages: reductions over one domain as statements, and along which variable their lanes run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracejit.compiler.collapse import replaced
from tracejit.compiler.group import reduction_of
from tracejit.compiler.loaders import row_major
from tracejit.compiler.values import Task, Value
from tracejit.ir import scalar as s
from tracejit.ir.kernel import Accumulator, Reduce, Statement, Store
from tracejit.ir.scalar import Expr, IndexVar, Loop

__all__ = [
    "FEW",
    "ROWS",
    "Lanes",
    "are_rows",
    "gathers",
    "loop_order",
    "reduce_stage",
    "side_by_side",
    "store",
]

FEW = 4
"""Lengths of a last axis whose results are reduced side by side."""
ROWS = 8
"""Rows that are reduced side by side."""
SHORT = 16
"""Terms of a row below which lanes rather run along the results, if there are that many."""
LONG_ROW = 512
"""Terms of a row from which it is reduced alone."""
MOST_OF_ROWS = 10
"""Operations on a term up to which rows are reduced side by side."""




def store(task: Task, index: Sequence[Expr], value: Expr) -> Store:
    dtype = task.value.aval.dtype
    offset = row_major(index, task.shape)
    return Store(task.value, offset, s.convert(value, dtype))  # type: ignore[arg-type]


def are_rows(loops: Sequence[Loop], body: Sequence[Statement]) -> bool:
    """Whether to reduce several rows side by side: short ones, of few operations."""
    sums = [x for x in body if isinstance(x, Reduce)]
    if not loops or len(sums) != 1 or loops[-1].var.extent < ROWS:
        return False
    (own,) = sums
    values = [a.value for a in own.accumulators]
    if len(values) > 2 or any(a.index is not None for a in own.accumulators):
        return False
    if len({v.dtype for v in values}) > 1 or values[0].dtype.itemsize not in (4, 8):
        return False
    if math.prod(v.var.extent for v in own.loops) > LONG_ROW:
        return False
    inner = own.loops[-1].var
    if inner.extent < ROWS // 2 or not own.loops[-1].vector or gathers(values, inner):
        return False
    cost = 0
    for e in s.walk(values):
        if e.op == "load" and e.dtype.itemsize != values[0].dtype.itemsize:
            return False
        if e.op not in ("load", "affine", "index", "const"):
            cost += s.COSTS.get(e.op, 1)
    return cost <= MOST_OF_ROWS


def side_by_side(
    tasks: Sequence[Task], values: Sequence[Expr], index: Sequence[Expr], loop: Loop
) -> tuple[list[Task], list[Expr], list[list[Expr]]]:
    """Return reductions for each value of the last variable: they share what they read.

    So the components of a force between two bodies share their distance.
    """
    assert isinstance(loop.lo, int)
    assert isinstance(loop.hi, int)
    found: tuple[list[Task], list[Expr], list[list[Expr]]] = [], [], []
    for n in range(loop.lo, loop.hi):
        here = s.const(n, s.I64)

        def placed(e: Expr, here: Expr = here) -> Expr | None:
            return here if e.op == "index" and e.attr == loop.var else None

        found[0].extend(tasks)
        found[1].extend(s.substitute(values, placed))
        found[2].extend([[*index[:-1], here]] * len(tasks))
    return found


class Lanes:
    """Statements meant for a vector loop over the last variable of the domain."""

    def __init__(self, statements: tuple[Statement, ...]) -> None:
        self.statements = statements


def reduce_stage(
    tasks: Sequence[Task],
    values: Sequence[Expr],
    indices: Sequence[Sequence[Expr]],
    last: IndexVar | None,
    number: int = 0,
    names: Sequence[dict[Value, Expr]] | None = None,
    stored: set[Value] | None = None,
    narrow: bool = False,
) -> tuple[tuple[Statement, ...] | Lanes, int]:
    """Return the statements of reductions over one domain, and the elements each one reads.

    If it is `narrow`, few values of the last variable are enough to have lanes along it.
    """
    statements: list[Statement] = []
    groups: dict[tuple[int, ...], list[tuple[int, Expr]]] = {}
    for n, value in enumerate(values):
        red = reduction_of(value)
        assert red is not None
        extents = tuple(loop.var.extent for loop in red.attr[1])
        groups.setdefault(extents, []).append((n, red))
    stores = []
    lanes = False
    count = 1
    for extents, members in groups.items():
        count = max(count, math.prod(extents))
        own = [IndexVar(f"r{n}", d) for n, d in enumerate(extents)]
        accumulators = []
        for member, (n, red) in enumerate(members):
            task, value, index = tasks[n], values[n], indices[n]
            op, loops = red.attr
            swap = {loop.var: s.index(v) for loop, v in zip(loops, own, strict=True)}

            def renamed(e: Expr, swap: dict[IndexVar, Expr] = swap) -> Expr | None:
                return swap.get(e.attr) if e.op == "index" else None

            args = s.substitute(red.args, renamed)
            name = f"s{number}_{len(statements)}_{member}"
            ref = s.raw("ref", (), red.dtype, name)
            accumulators.append(Accumulator(name, op, args[0], args[1] if len(args) > 1 else None))
            result = replaced(value, red, ref)
            if names is not None:
                names[n][task.value] = s.convert(result, task.value.aval.dtype)
            if stored is None or task.value in stored:
                stores.append(store(task, index, result))
        order, vector = loop_order(own, [a.value for a in accumulators], last, narrow)
        lanes |= not vector
        loops_ = tuple(
            Loop(v, 0, v.extent, vector=vector and n == len(order) - 1)
            for n, v in enumerate(order)
        )
        statements.append(Reduce(loops_, tuple(accumulators)))
    out = (*statements, *stores)
    single = len(groups) == 1 and lanes and last is not None
    return (Lanes(out) if single else out), count


def loop_order(
    own: Sequence[IndexVar],
    values: Sequence[Expr],
    last: IndexVar | None,
    narrow: bool = False,
) -> tuple[list[IndexVar], bool]:
    """Return the reduction loops, the widest stride first, and whether lanes run along the last.

    Lanes run along the reduction where that is the contiguous direction, else along `last`.
    """
    strides: dict[IndexVar, list[int]] = {v: [] for v in own}
    other: list[int] = []
    for e in s.walk(values):
        if e.op != "load":
            continue
        found = {t.attr: c for c, t in s.split_affine(e.args[0])[1] if t.op == "index"}
        for v in own:
            if v in found:
                strides[v].append(abs(found[v]))  # type: ignore[arg-type]
        if last is not None and last in found:
            other.append(abs(found[last]))  # type: ignore[arg-type]
    score = {v: min(st, default=0) for v, st in strides.items()}
    order = sorted(own, key=lambda v: (-score[v] if score[v] else 0, own.index(v)))
    # Loops along which nothing moves go first, contiguous ones last.
    order.sort(key=lambda v: score[v] == 1)
    contiguous = any(1 in st for st in strides.values())
    along_last = 1 in other
    vector = contiguous or not along_last
    if contiguous and along_last and last is not None:
        inner = order[-1]
        mine, theirs = gathers(values, inner), gathers(values, last)
        # A short row fills no vectors.
        vector = mine < theirs or (mine == theirs and not inner.extent < SHORT <= last.extent)
    if last is not None and last.extent < 4 and not narrow:
        vector = True
    return order, vector


def gathers(values: Sequence[Expr], along: IndexVar) -> int:
    """Return how many loads are neither of neighbours nor of one element along a variable."""
    count = 0
    for e in s.walk(values):
        if e.op == "load":
            terms = s.split_affine(e.args[0])[1]
            stride = next((c for c, t in terms if t.op == "index" and t.attr is along), 0)
            count += stride not in (0, 1, -1)
    return count
