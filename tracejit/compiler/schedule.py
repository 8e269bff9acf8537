"""Schedule a group: order its loops, choose the vector loop, split reductions that are alone.

The result is a list of :class:`Draft`: statements over Values, not yet numbered buffers; more than
one where a long reduction into few results is cut into blocks, whose partial results a second
kernel reduces.  The blocks depend on sizes only, so the bits do not depend on the number of
threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from tracejit.compiler.collapse import collapse, collapse_reduction, replaced
from tracejit.compiler.group import domain, evaluate, prefix_rank, reduction_of
from tracejit.compiler.lift import BLOCKS
from tracejit.compiler.loaders import LoopBuilder, row_major
from tracejit.compiler.regions import Region
from tracejit.compiler.stages import (
    FEW,
    ROWS,
    Lanes,
    are_rows,
    gathers,
    loop_order,
    reduce_stage,
    side_by_side,
    store,
)
from tracejit.compiler.tiles import ROWS as ROWS_OF_TILES
from tracejit.compiler.tiles import in_tiles
from tracejit.compiler.values import Group, Task, Value
from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.kernel import Accumulator, For, Reduce, Statement, Store
from tracejit.ir.program import Source
from tracejit.ir.scalar import Expr, IndexVar, Loop
from tracejit.ir.target import Target

__all__ = ["Draft", "schedule"]

BLOCK = 8192
"""Elements a partial reduction covers at least."""
FEW_RESULTS = 64
MOST_SHARING = 9
"""Long reductions at a time that share a part of what they read."""
GPU_FEW_RESULTS = 256
GPU_THREADS = 1 << 18
"""Threads that keep every processor of a large GPU busy."""
GPU_COLUMN = 64
"""Terms that a thread adds up at least."""
LONG_REDUCTION = 4 * BLOCK


@dataclass(eq=False)
class Draft:
    """A kernel over Values: ``load`` expressions and Stores name Values instead of numbers.

    If it is `boxes`, its nests cover disjoint boxes of one domain, so that no iteration reads what
    another writes; else they are stages that follow one another.  The `cost` in nanoseconds is
    estimated if it is 0.
    """

    body: tuple[Statement, ...]
    rows: int
    elements: int
    sources: tuple[Source, ...] = ()
    temporaries: list[Value] = field(default_factory=list)
    boxes: bool = False
    cost: float = 0.0


def schedule(
    k: LoopBuilder, group: Group, stored: set[Value], target: Target
) -> list[Draft]:
    """Return the kernels of `group`.

    Parameters
    ----------
    k : LoopBuilder
        For evaluation.
    group : Group
        Tasks that fit together.
    stored : set of Value
        Values that are read outside the group: results used only within a row are not written.
    target : Target
        What runs the kernels: a GPU cuts more reductions into blocks, for it has more to keep busy.
    """
    tasks = group.tasks
    sources = tuple(dict.fromkeys(source for t in tasks for source in t.sources))
    if math.prod(tasks[0].shape) == 0:
        return []
    alike = len({(t.shape, t.reduces) for t in tasks}) == 1
    if alike and not (tasks[0].reduces and _is_chain(k, tasks)):
        regions = evaluate(k, tasks)
        if tasks[0].reduces:
            drafts = _reductions(tasks, regions, target)
        else:
            drafts = [_elementwise(tasks, regions, target)]
    else:
        columns = _columns(k, tasks, stored) if target.kind == "cpu" else None
        drafts = [columns or _rows(k, tasks, stored)]
    for d in drafts:
        d.sources = sources
    return drafts


# --------------------------------------------------------------------------- elementwise


def _elementwise(
    tasks: Sequence[Task], regions: Sequence[Region], target: Target
) -> Draft:
    shape = tasks[0].shape
    variables = domain(shape)
    nests: list[tuple[list[Loop], tuple[Statement, ...]]] = []
    for region in regions:
        index = [s.index(v) for v in variables]
        stores: tuple[Statement, ...] = tuple(
            store(t, index, e) for t, e in zip(tasks, region.values, strict=True)
        )
        loops = [Loop(v, *region.box[v]) for v in variables]
        if len(regions) == 1:
            loops, stores = collapse(loops, stores)
        nests.append((loops, stores))
    tiles = in_tiles(nests) if target.kind == "cpu" else nests
    body = [_nest(loops, stores) for loops, stores in tiles]
    rows = max((loops[0].hi for loops, _ in tiles if loops), default=1)
    assert isinstance(rows, int)
    elements = math.prod(shape) if tiles == nests else math.prod(shape) // ROWS_OF_TILES
    return Draft(_joined(body), rows, elements, boxes=True)


def _joined(body: Sequence[Statement]) -> tuple[Statement, ...]:
    """Join neighbouring loops with equal bounds, so that a row's boxes are written in one go."""
    out: list[Statement] = []
    for st in body:
        last = out[-1] if out else None
        if (
            isinstance(st, For)
            and isinstance(last, For)
            and last.loop == st.loop
            and not st.loop.vector
        ):
            out[-1] = For(st.loop, _joined((*last.body, *st.body)), st.parallel)
        else:
            out.append(st)
    return tuple(out)


THIN = 4


def _thin(loop: Loop) -> bool:
    """Whether a loop runs over a narrow border of its axis: vectors there cost code, not time."""
    assert isinstance(loop.lo, int)
    assert isinstance(loop.hi, int)
    return loop.hi - loop.lo < min(THIN, loop.var.extent)


def _nest(loops: Sequence[Loop], inner: tuple[Statement, ...]) -> Statement:
    if not loops:
        loops = [Loop(IndexVar("i0", 1), 0, 1)]
    out: tuple[Statement, ...] = inner
    for depth in range(len(loops) - 1, -1, -1):
        last = depth == len(loops) - 1
        loop = loops[depth]._replace(vector=last and not _thin(loops[depth]))
        out = (For(loop, out, parallel=depth == 0),)
    return out[0]


# ---------------------------------------------------------------------------- reductions


def _reductions(
    tasks: Sequence[Task], regions: Sequence[Region], target: Target
) -> list[Draft]:
    if len(tasks) == 1 and len(regions) == 1:
        blocked = _blocked(tasks[0], regions[0].values[0], target)
        if blocked:
            return blocked
    shape = tasks[0].shape
    variables = domain(shape)
    index = [s.index(v) for v in variables]
    body: list[Statement] = []
    cpu = target.kind == "cpu" and len(regions) == 1
    elements, rows = 0, shape[0] if shape else 1
    for region in regions:
        loops = [Loop(v, *region.box[v]) for v in variables]
        own_tasks: Sequence[Task] = tasks
        values: Sequence[Expr] = region.values
        indices: Sequence[Sequence[Expr]] = [index] * len(tasks)
        few = len(loops) > 1 and (
            loops[-1].var.extent <= FEW or (cpu and _share(region.values, loops[-1].var))
        )
        columns = few and cpu and _are_columns(tasks, region.values, loops)
        if few and not columns:
            own_tasks, values, indices = side_by_side(tasks, values, index, loops.pop())
        last = loops[-1].var if loops else None
        inner, n = reduce_stage(own_tasks, values, indices, last, narrow=columns)
        elements = max(elements, n)
        inside = inner.statements if isinstance(inner, Lanes) else inner
        if cpu:
            loops, inside = collapse(loops, inside)
            rows = loops[0].var.extent if loops else 1
        if isinstance(inner, Lanes) or (cpu and are_rows(loops, inside)):
            body.append(_nest(loops, inside))
        else:
            body.append(_unvectored(_nest(loops, inside)))
    return [Draft(tuple(body), rows, math.prod(shape) * max(elements, 1))]


def _share(values: Sequence[Expr], last: IndexVar) -> bool:
    """Whether long sums of neighbours, one for each value of `last`, read a part in common."""
    if last.extent > MOST_SHARING:
        return False
    for value in values:
        red = reduction_of(value)
        assert red is not None
        loops = red.attr[1]
        loads = [e for e in s.walk(red.args) if e.op == "load"]
        if math.prod(loop.var.extent for loop in loops) < LONG_REDUCTION:
            return False
        if gathers(red.args, loops[-1].var) or all(last in s.free_vars(e) for e in loads):
            return False
    return True


def _are_columns(tasks: Sequence[Task], values: Sequence[Expr], loops: list[Loop]) -> bool:
    """Whether the last two variables become one, along which neighbours are summed."""
    index = [s.index(v.var) for v in loops]
    inner, _ = reduce_stage(tasks, values, [index] * len(tasks), loops[-1].var, narrow=True)
    if not isinstance(inner, Lanes):
        return False
    return len(collapse(loops, inner.statements)[0]) < len(loops)


def _unvectored(statement: Statement) -> Statement:
    if not isinstance(statement, For):
        return statement
    return For(
        statement.loop._replace(vector=False),
        tuple(_unvectored(x) for x in statement.body),
        statement.parallel,
    )


def _blocked(task: Task, value: Expr, target: Target) -> list[Draft] | None:
    """Cut one long reduction into few results into blocks, reduced by a second kernel."""
    red = reduction_of(value)
    assert red is not None
    op, loops = red.attr
    size = math.prod(loop.var.extent for loop in loops)
    results = math.prod(task.shape)
    index = [s.index(v) for v in domain(task.shape)]
    roots, own = collapse_reduction(red.args, [loop.var for loop in loops])
    split = max(own, key=lambda v: v.extent)
    last = domain(task.shape)[-1] if task.shape else None
    columns = last is not None and not loop_order(own, [roots[0]], last)[1]
    block = _block_length(split, own, results, size, columns, target)
    extreme = op in ("argmax", "argmin")
    if block is None or (extreme and (len(own) > 1 or roots[1] is not s.index(split))):
        return None
    # The last block is never empty, so every size has the same two loops.
    full = (split.extent - 1) // block
    rest = split.extent - full * block
    if full < 2:
        return None
    count = full + 1
    partial = Value(ShapedArray((count, *task.shape), red.dtype))
    b = IndexVar(BLOCKS, count)
    statements: list[Statement] = []
    ref = s.raw("ref", (), red.dtype, "s0")
    outer, ends = domain(task.shape), [index]
    if target.kind == "cpu" and last is not None and _share([value], last):
        ends = [[*index[:-1], s.const(n, s.I64)] for n in range(last.extent)]
        outer = outer[:-1]
    for lo, hi, length in ((0, full, block), (full, count, rest)):
        within = IndexVar(BLOCKS, length)
        at = s.affine(0, [(block, s.index(b)), (1, s.index(within))])
        shifted = [replaced(x, s.index(split), at) for x in roots]
        variables = [within if v is split else v for v in own]
        order, vector = loop_order(variables, shifted[:1], last if columns else None)
        accumulators, stores = [], []
        for n, end in enumerate(ends):
            terms = [replaced(x, index[-1], end[-1]) for x in shifted] if end else shifted
            accumulators.append(Accumulator(f"s{n}", op, *terms))
            offset = row_major([s.index(b), *end], partial.aval.shape)
            stores.append(Store(partial, offset, s.raw("ref", (), red.dtype, f"s{n}")))  # type: ignore[arg-type]
        reduce = Reduce(
            tuple(Loop(v, 0, v.extent, vector and n == len(order) - 1)
                  for n, v in enumerate(order)),
            tuple(accumulators),
        )  # fmt: skip
        loops = [Loop(b, lo, hi), *(Loop(v, 0, v.extent) for v in outer)]
        nest = _nest(loops, (reduce, *stores))
        statements.append(nest if not vector else _unvectored(nest))
    first = Draft(tuple(statements), count, size * results, temporaries=[partial])
    # The second kernel: reduce the partial results.
    c = IndexVar(BLOCKS, count)
    loaded = s.raw(
        "load", (row_major([s.index(c), *index], partial.aval.shape),), red.dtype, partial
    )
    # An extreme's partial result is where it is: there the operand is read again.
    operands = (replaced(roots[0], s.index(split), loaded), loaded) if extreme else (loaded,)
    result = replaced(value, red, ref)
    inner = (Reduce((Loop(c, 0, count, True),), (Accumulator("s0", op, *operands),)),
             store(task, index, result))  # fmt: skip
    second = _unvectored(_nest([Loop(v, 0, v.extent) for v in domain(task.shape)], inner))
    return [first, Draft((second,), task.shape[0] if task.shape else 1, count * results)]


def _block_length(
    split: IndexVar,
    own: Sequence[IndexVar],
    results: int,
    size: int,
    columns: bool,
    target: Target,
) -> int | None:
    """Return how much of the loop `split` one block takes; ``None`` to leave it whole.

    `columns` says that neighbouring results, not neighbouring terms, are neighbours in memory.
    """
    inner = math.prod(v.extent for v in own if v is not split)
    if target.kind == "cuda" and columns:
        # Enough blocks that all processors have threads, one a result.
        if results >= GPU_THREADS // 4 or size < 2 * GPU_COLUMN:
            return None
        blocks = min(GPU_THREADS // results, size // GPU_COLUMN)
        return max(1, -(-split.extent // blocks))
    few = FEW_RESULTS if target.kind == "cpu" else GPU_FEW_RESULTS
    if results > few or size * results < LONG_REDUCTION or size < 2 * BLOCK:
        return None
    return max(1, BLOCK // inner)


# ---------------------------------------------------------------------------------- rows


def _columns(
    k: LoopBuilder, tasks: Sequence[Task], stored: set[Value]
) -> Draft | None:
    """Schedule reductions and what is computed of their results, one by one, with lanes along them.

    Returns None if the results are not neighbours in what is reduced, nor short rows.
    """
    shape = tasks[0].shape
    if not shape or any(t.shape != shape for t in tasks):
        return None
    found = _columns_of(k, tasks, stored, (None,))
    if found is None and len(shape) > 1 and shape[-1] <= FEW:
        found = _columns_of(k, tasks, stored, range(shape[-1]))
    return found


def _columns_of(
    k: LoopBuilder,
    tasks: Sequence[Task],
    stored: set[Value],
    places: Sequence[int | None],
) -> Draft | None:
    """Do that; `places` are the values of the last variable to be computed side by side, if any."""
    variables = domain(tasks[0].shape)
    loops = [Loop(v, 0, v.extent) for v in variables]
    if places[0] is not None:
        loops.pop()
    names: list[dict[Value, Expr]] = [{} for _ in places]
    body: list[Statement] = []
    elements, lanes = 0, []
    for number, stage in enumerate(_stages(k, tasks)):
        (region,) = evaluate(k, stage)
        own: list[tuple[Task, Expr, Sequence[Expr], dict[Value, Expr]]] = []
        for place, known in zip(places, names, strict=True):
            index = [s.index(v) for v in variables]
            values: Sequence[Expr] = region.values
            if place is not None:
                index[-1] = s.const(place, s.I64)
                values = [replaced(x, s.index(variables[-1]), index[-1]) for x in values]
            values = s.substitute(values, partial(_named, names=known))
            own += [(t, x, index, known) for t, x in zip(stage, values, strict=True)]
        all_tasks, exprs, indices, knowns = (list(x) for x in zip(*own, strict=True))
        if stage[0].reduces:
            inner, n = reduce_stage(
                all_tasks, exprs, indices, loops[-1].var, number, knowns, stored, True
            )
            lanes.append(isinstance(inner, Lanes))
            body.extend(inner.statements if isinstance(inner, Lanes) else inner)
            elements += n
        else:
            elements += 1
            body.extend(store(t, index, e) for t, e, index, _ in own)
    loops, inside = collapse(loops, body)
    if not loops or loops[-1].var.extent < ROWS:
        return None
    rows = isinstance(body[0], Reduce) and are_rows(loops, inside)
    if not all(lanes) and not rows:
        return None
    size = math.prod(tasks[0].shape)
    return Draft((_nest(loops, inside),), loops[0].var.extent, size * elements)


def _rows(k: LoopBuilder, tasks: Sequence[Task], stored: set[Value]) -> Draft:
    rank = prefix_rank(tasks)
    prefix = domain(tasks[0].shape[:rank])
    names: dict[Value, Expr] = {}
    body: list[Statement] = []
    elements = 0
    for number, stage in enumerate(_stages(k, tasks)):
        (region,) = evaluate(k, stage)
        values = s.substitute(region.values, lambda e: _named(e, names))
        variables = domain(stage[0].shape)
        index = [s.index(v) for v in variables]
        rest = [Loop(v, 0, v.extent) for v in variables[rank:]]
        size = math.prod(v.var.extent for v in rest)
        if stage[0].reduces:
            # Results of whole rows are read as scalars by the stages that follow.
            whole = not rest
            indices: Sequence[Sequence[Expr]] = [index] * len(stage)
            if rest and rest[-1].var.extent <= FEW:
                stage, values, indices = side_by_side(stage, values, index, rest.pop())
                # A loop of its own: statements that stand together read before any is stored.
                rest = rest or [Loop(IndexVar("once", 1), 0, 1)]
            inner, n = reduce_stage(
                stage,
                values,
                indices,
                rest[-1].var if rest and rest[-1].var in variables else None,
                number=number,
                names=[names] * len(stage) if whole else None,
                stored=stored if whole else None,
            )
            elements += size * n
            if not rest:
                assert not isinstance(inner, Lanes)
                body.extend(inner)
            elif isinstance(inner, Lanes):
                body.append(_serial(_nest(rest, inner.statements)))
            else:
                body.append(_serial(_unvectored(_nest(rest, inner))))
        else:
            elements += size
            stores = [store(t, index, e) for t, e in zip(stage, values, strict=True)]
            if rest:
                body.append(_serial(_nest(rest, tuple(stores))))
            else:
                body.extend(stores)
    loops = [Loop(v, 0, v.extent) for v in prefix]
    nest = _unvectored_outer(loops, tuple(body))
    return Draft((nest,), prefix[0].extent, math.prod(v.extent for v in prefix) * elements)


def _stages(k: LoopBuilder, tasks: Sequence[Task]) -> list[list[Task]]:
    """Return runs of tasks of one domain that do not wait for each other's reductions."""
    stages: list[list[Task]] = []
    for t in tasks:
        last = stages[-1] if stages else []
        alike = last and (last[0].shape, last[0].reduces) == (t.shape, t.reduces)
        if alike and not (t.reduces and _reads_any(k, t, {x.value for x in last})):
            last.append(t)
            continue
        stages.append([t])
    return stages


def _named(e: Expr, names: dict[Value, Expr]) -> Expr | None:
    return names.get(e.attr.base) if e.op == "load" else None


def _reads_any(k: LoopBuilder, task: Task, values: set[Value]) -> bool:
    return any(
        e.op == "load" and e.attr.base in values
        for region in evaluate(k, [task])
        for e in s.walk(region.values)
    )


def _is_chain(k: LoopBuilder, tasks: Sequence[Task]) -> bool:
    """Whether one of several tasks reads another's results."""
    own = {t.value for t in tasks}
    return len(tasks) > 1 and any(_reads_any(k, t, own) for t in tasks)


def _serial(statement: Statement) -> Statement:
    if not isinstance(statement, For):
        return statement
    return For(statement.loop, tuple(_serial(x) for x in statement.body), False)


def _unvectored_outer(loops: Sequence[Loop], body: tuple[Statement, ...]) -> Statement:
    out = body
    for depth in range(len(loops) - 1, -1, -1):
        out = (For(loops[depth], out, parallel=depth == 0),)
    return out[0]
