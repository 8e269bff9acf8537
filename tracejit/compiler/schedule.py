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

from tracejit.compiler.group import domain, evaluate, prefix_rank, reduction_of
from tracejit.compiler.lift import BLOCKS
from tracejit.compiler.loaders import LoopBuilder, row_major
from tracejit.compiler.regions import Region
from tracejit.compiler.values import Group, Task, Value
from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.kernel import Accumulator, For, Reduce, Statement, Store
from tracejit.ir.program import Source
from tracejit.ir.scalar import Expr, IndexVar, Loop
from tracejit.ir.target import Target

__all__ = ["Draft", "schedule"]

FEW = 4
"""Lengths of a last axis whose results are reduced side by side."""
BLOCK = 8192
"""Elements a partial reduction covers at least."""
FEW_RESULTS = 64
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
    another writes; else they are stages that follow one another.
    """

    body: tuple[Statement, ...]
    rows: int
    elements: int
    sources: tuple[Source, ...] = ()
    temporaries: list[Value] = field(default_factory=list)
    boxes: bool = False


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
            drafts = [_elementwise(tasks, regions)]
    else:
        drafts = [_rows(k, tasks, stored)]
    for d in drafts:
        d.sources = sources
    return drafts


# --------------------------------------------------------------------------- elementwise


def _store(task: Task, index: Sequence[Expr], value: Expr) -> Store:
    dtype = task.value.aval.dtype
    offset = row_major(index, task.shape)
    return Store(task.value, offset, s.convert(value, dtype))  # type: ignore[arg-type]


def _elementwise(tasks: Sequence[Task], regions: Sequence[Region]) -> Draft:
    shape = tasks[0].shape
    variables = domain(shape)
    body: list[Statement] = []
    for region in regions:
        index = [s.index(v) for v in variables]
        stores = [_store(t, index, e) for t, e in zip(tasks, region.values, strict=True)]
        loops = [Loop(v, *region.box[v]) for v in variables]
        if len(regions) == 1:
            loops, stores = _collapse(loops, stores)
        body.append(_nest(loops, tuple(stores)))
    rows = shape[0] if shape else 1
    if len(regions) == 1:
        first = body[0]
        assert isinstance(first, For)
        rows = first.loop.hi  # type: ignore[assignment]
    return Draft(_joined(body), rows, math.prod(shape), boxes=True)


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


def _collapse(
    loops: list[Loop], stores: list[Store]
) -> tuple[list[Loop], list[Store]]:
    """Make one loop of neighbouring loops over which every offset is contiguous."""
    loops = list(loops)
    # Loops of one iteration vanish.
    single = {v.var for v in loops if v.lo == 0 and v.hi == 1}
    if single:
        stores = _substituted(stores, {v: s.const(0, s.I64) for v in single})
        loops = [v for v in loops if v.var not in single]
    at = len(loops) - 2
    while at >= 0:
        outer, inner = loops[at], loops[at + 1]
        extent = inner.hi
        assert isinstance(extent, int)
        assert isinstance(outer.hi, int)
        if _contiguous(stores, outer.var, inner.var, extent):
            joined = IndexVar(inner.var.name, outer.hi * extent)
            stores = _substituted(
                stores, {outer.var: s.const(0, s.I64), inner.var: s.index(joined)}
            )
            loops[at : at + 2] = [Loop(joined, 0, outer.hi * extent)]
        at -= 1
    return loops, stores


def _substituted(stores: Sequence[Store], values: dict[IndexVar, Expr]) -> list[Store]:
    def replace(e: Expr) -> Expr | None:
        return values.get(e.attr) if e.op == "index" else None

    roots = [x for st in stores for x in (st.offset, st.value)]
    new = iter(s.substitute(roots, replace))
    return [Store(st.buffer, next(new), next(new)) for st in stores]


def _contiguous(
    stores: Sequence[Store], outer: IndexVar, inner: IndexVar, extent: int
) -> bool:
    """Whether every use of the two variables is an offset with coefficients (extent * c, c)."""
    roots = [x for st in stores for x in (st.offset, st.value)]
    offsets = {st.offset for st in stores}
    both = frozenset((outer, inner))
    for e in s.walk(roots):
        if e.op == "load":
            offsets.add(e.args[0])
    allowed = set()
    for o in offsets:
        found = {t.attr: c for c, t in s.split_affine(o)[1] if t.op == "index"}
        if found.get(outer, 0) != extent * found.get(inner, 0):
            return False
        rest = [t for _, t in s.split_affine(o)[1] if t.op != "index"]
        if any(s.free_vars(t) & both for t in rest):
            return False
        allowed.add(o)
    # Any other expression that reads the variables directly (iota, data) forbids it.
    for e in s.walk(roots):
        for a in e.args:
            direct = a.op in ("index", "affine") and s.free_vars(a) & both
            if direct and e.op != "affine" and not (e.op == "load" and a in allowed):
                return False
    for st in stores:
        if st.value.op in ("index", "affine") and s.free_vars(st.value) & both:
            return False
    return True


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
    elements = 0
    for region in regions:
        loops = [Loop(v, *region.box[v]) for v in variables]
        own_tasks: Sequence[Task] = tasks
        values: Sequence[Expr] = region.values
        indices: Sequence[Sequence[Expr]] = [index] * len(tasks)
        if len(loops) > 1 and loops[-1].var.extent <= FEW:
            own_tasks, values, indices = _side_by_side(tasks, values, index, loops.pop())
        last = loops[-1].var if loops else None
        inner, n = _reduce_stage(own_tasks, values, indices, last)
        elements = max(elements, n)
        if isinstance(inner, _Lanes):
            body.append(_nest(loops, inner.statements))
        else:
            body.append(_unvectored(_nest(loops, inner)))
    rows = shape[0] if shape else 1
    return [Draft(tuple(body), rows, math.prod(shape) * max(elements, 1))]


def _side_by_side(
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


class _Lanes:
    """Statements meant for a vector loop over the last variable of the domain."""

    def __init__(self, statements: tuple[Statement, ...]) -> None:
        self.statements = statements


def _unvectored(statement: Statement) -> Statement:
    if not isinstance(statement, For):
        return statement
    return For(
        statement.loop._replace(vector=False),
        tuple(_unvectored(x) for x in statement.body),
        statement.parallel,
    )


def _reduce_stage(
    tasks: Sequence[Task],
    values: Sequence[Expr],
    indices: Sequence[Sequence[Expr]],
    last: IndexVar | None,
    number: int = 0,
    names: dict[Value, Expr] | None = None,
    stored: set[Value] | None = None,
) -> tuple[tuple[Statement, ...] | _Lanes, int]:
    """Return the statements of reductions over one domain, and the elements each one reads."""
    statements: list[Statement] = []
    groups: dict[tuple[int, ...], list[tuple[Task, Expr, Expr, Sequence[Expr]]]] = {}
    for task, value, index in zip(tasks, values, indices, strict=True):
        red = reduction_of(value)
        assert red is not None
        extents = tuple(loop.var.extent for loop in red.attr[1])
        groups.setdefault(extents, []).append((task, value, red, index))
    stores = []
    lanes = False
    count = 1
    for extents, members in groups.items():
        count = max(count, math.prod(extents))
        own = [IndexVar(f"r{n}", d) for n, d in enumerate(extents)]
        accumulators = []
        for member, (task, value, red, index) in enumerate(members):
            op, loops = red.attr
            swap = {loop.var: s.index(v) for loop, v in zip(loops, own, strict=True)}

            def renamed(e: Expr, swap: dict[IndexVar, Expr] = swap) -> Expr | None:
                return swap.get(e.attr) if e.op == "index" else None

            args = s.substitute(red.args, renamed)
            name = f"s{number}_{len(statements)}_{member}"
            ref = s.raw("ref", (), red.dtype, name)
            accumulators.append(Accumulator(name, op, args[0], args[1] if len(args) > 1 else None))
            result = _with(value, red, ref)
            if names is not None:
                names[task.value] = s.convert(result, task.value.aval.dtype)
            if stored is None or task.value in stored:
                stores.append(_store(task, index, result))
        order, vector = _order(own, [a.value for a in accumulators], last)
        lanes |= not vector
        loops_ = tuple(
            Loop(v, 0, v.extent, vector=vector and n == len(order) - 1)
            for n, v in enumerate(order)
        )
        statements.append(Reduce(loops_, tuple(accumulators)))
    out = (*statements, *stores)
    single = len(groups) == 1 and lanes and last is not None
    return (_Lanes(out) if single else out), count


def _order(
    own: Sequence[IndexVar], values: Sequence[Expr], last: IndexVar | None
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
    if last is not None and last.extent < 4:
        vector = True
    return order, vector


def _with(root: Expr, old: Expr, new: Expr) -> Expr:
    """Return `root` with `old` replaced."""
    return s.substitute([root], lambda e: new if e is old else None)[0]


def _blocked(task: Task, value: Expr, target: Target) -> list[Draft] | None:
    """Cut one long reduction into few results into blocks, reduced by a second kernel."""
    red = reduction_of(value)
    assert red is not None
    op, loops = red.attr
    size = math.prod(loop.var.extent for loop in loops)
    results = math.prod(task.shape)
    index = [s.index(v) for v in domain(task.shape)]
    roots, own = _collapse_reduction(red.args, [loop.var for loop in loops])
    split = max(own, key=lambda v: v.extent)
    last = domain(task.shape)[-1] if task.shape else None
    columns = last is not None and not _order(own, [roots[0]], last)[1]
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
    for lo, hi, length in ((0, full, block), (full, count, rest)):
        within = IndexVar(BLOCKS, length)
        at = s.affine(0, [(block, s.index(b)), (1, s.index(within))])
        shifted = [_with(x, s.index(split), at) for x in roots]
        variables = [within if v is split else v for v in own]
        order, vector = _order(variables, shifted[:1], last if columns else None)
        reduce = Reduce(
            tuple(Loop(v, 0, v.extent, vector and n == len(order) - 1)
                  for n, v in enumerate(order)),
            (Accumulator("s0", op, *shifted),),
        )  # fmt: skip
        offset = row_major([s.index(b), *index], partial.aval.shape)
        inner: tuple[Statement, ...] = (reduce, Store(partial, offset, ref))  # type: ignore[arg-type]
        nest = _nest([Loop(b, lo, hi), *(Loop(v, 0, v.extent) for v in domain(task.shape))], inner)
        statements.append(nest if not vector else _unvectored(nest))
    first = Draft(tuple(statements), count, size * results, temporaries=[partial])
    # The second kernel: reduce the partial results.
    c = IndexVar(BLOCKS, count)
    loaded = s.raw(
        "load", (row_major([s.index(c), *index], partial.aval.shape),), red.dtype, partial
    )
    # An extreme's partial result is where it is: there the operand is read again.
    operands = (_with(roots[0], s.index(split), loaded), loaded) if extreme else (loaded,)
    result = _with(value, red, ref)
    inner = (Reduce((Loop(c, 0, count, True),), (Accumulator("s0", op, *operands),)),
             _store(task, index, result))  # fmt: skip
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


def _collapse_reduction(
    roots: Sequence[Expr], own: list[IndexVar]
) -> tuple[list[Expr], list[IndexVar]]:
    """Make one loop of neighbouring reduction loops over which every offset is contiguous."""
    roots, own = list(roots), list(own)
    at = len(own) - 2
    while at >= 0:
        outer, inner = own[at], own[at + 1]
        # The number of an element, if one is asked for, is like an offset.
        offsets = [s.index(IndexVar("none", 1)), *roots[1:]]
        fake = [Store(None, o, roots[0]) for o in offsets]  # type: ignore[arg-type]
        if _contiguous(fake, outer, inner, inner.extent):
            joined = IndexVar(inner.name, outer.extent * inner.extent)
            roots = [
                _with(_with(x, s.index(outer), s.const(0, s.I64)), s.index(inner), s.index(joined))
                for x in roots
            ]
            own[at : at + 2] = [joined]
        at -= 1
    return roots, own


# ---------------------------------------------------------------------------------- rows


def _rows(k: LoopBuilder, tasks: Sequence[Task], stored: set[Value]) -> Draft:
    rank = prefix_rank(tasks)
    prefix = domain(tasks[0].shape[:rank])
    stages: list[list[Task]] = []
    for t in tasks:
        last = stages[-1] if stages else []
        alike = last and (last[0].shape, last[0].reduces) == (t.shape, t.reduces)
        if alike and not (t.reduces and _reads_any(k, t, {x.value for x in last})):
            last.append(t)
            continue
        stages.append([t])
    names: dict[Value, Expr] = {}
    body: list[Statement] = []
    elements = 0
    for number, stage in enumerate(stages):
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
                stage, values, indices = _side_by_side(stage, values, index, rest.pop())
                # A loop of its own: statements that stand together read before any is stored.
                rest = rest or [Loop(IndexVar("once", 1), 0, 1)]
            inner, n = _reduce_stage(
                stage,
                values,
                indices,
                rest[-1].var if rest and rest[-1].var in variables else None,
                number=number,
                names=names if whole else None,
                stored=stored if whole else None,
            )
            elements += size * n
            if not rest:
                assert not isinstance(inner, _Lanes)
                body.extend(inner)
            elif isinstance(inner, _Lanes):
                body.append(_serial(_nest(rest, inner.statements)))
            else:
                body.append(_serial(_unvectored(_nest(rest, inner))))
        else:
            elements += size
            stores = [_store(t, index, e) for t, e in zip(stage, values, strict=True)]
            if rest:
                body.append(_serial(_nest(rest, tuple(stores))))
            else:
                body.extend(stores)
    loops = [Loop(v, 0, v.extent) for v in prefix]
    nest = _unvectored_outer(loops, tuple(body))
    return Draft((nest,), prefix[0].extent, math.prod(v.extent for v in prefix) * elements)


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
