"""Group tasks into kernels: what is computed over the same indices is computed together.

Two forms of group.  *Flat*: tasks with one domain, each reading the others at its own index
only, so that intermediate values stay in registers and loads are shared.  *Rows*: tasks whose
domains have a common prefix, and that read one another within a row only (softmax, layer norm,
normalised residuals): one loop over rows, the stages one after the other inside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracejit.compiler.loaders import LoopBuilder, row_major
from tracejit.compiler.regions import Region, split
from tracejit.compiler.values import Group, Item, Task, Value
from tracejit.ir import scalar as s
from tracejit.ir.scalar import Expr, IndexVar

__all__ = ["MOST_APART", "domain", "evaluate", "group_tasks", "reduction_of"]

MAX_BUFFERS = 24
MAX_NODES = 4000
MOST_APART = 1200
"""Expressions in all boxes of a kernel up to which tasks that have nothing in common share it:
code that is longer takes long to compile well."""
MIN_ROWS = 4

_domain: dict[tuple[int, int], IndexVar] = {}


def domain(shape: Sequence[int]) -> list[IndexVar]:
    """Return the loop variables of a domain; the same objects for equal positions and lengths."""
    out = []
    for position, extent in enumerate(shape):
        key = (position, extent)
        if key not in _domain:
            _domain[key] = IndexVar(f"i{position}", extent)
        out.append(_domain[key])
    return out


def reduction_of(e: Expr) -> Expr | None:
    """Return the ``reduce`` at the root of an expression, below conversions, or ``None``."""
    while e.op == "convert":
        e = e.args[0]
    return e if e.op == "reduce" else None


def evaluate(k: LoopBuilder, tasks: Sequence[Task]) -> list[Region]:
    """Return the regions of the common domain of `tasks`, with the value of each task.

    Loads of what a task of the same stage has just computed become its value.
    """
    key = tuple(tasks)
    found: list[Region] | None = k.evaluated.get(key)
    if found is None:
        found = k.evaluated[key] = _evaluated(k, tasks)
    return found


def _evaluated(k: LoopBuilder, tasks: Sequence[Task]) -> list[Region]:
    variables = domain(tasks[0].shape)
    index = tuple(s.index(v) for v in variables)
    regions = split(k, variables, lambda: [t.loader(index) for t in tasks])
    if len(tasks) == 1:
        return regions
    own = {t.value: n for n, t in enumerate(tasks)}
    offset = row_major(index, tasks[0].shape)
    merged = []
    for region in regions:
        done: list[Expr] = []

        def computed(e: Expr, done: list[Expr] = done) -> Expr | None:
            number = own.get(e.attr.base) if e.op == "load" else None
            if number is not None and number < len(done) and e.args[0] is offset:
                return s.convert(done[number], e.dtype)
            return None

        for value in region.values:
            done += s.substitute([value], computed)
        merged.append(Region(region.box, done))
    return merged


class _Draft:
    """A group being built, with what its tasks read."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.writes: dict[Value, Task] = {}
        self.values: set[Value] = set()
        self.boxes = 1
        self.nodes = 0

    @property
    def tasks(self) -> list[Task]:
        return self.group.tasks


class _Reads:
    """What one task reads: the loads in its regions, by the values that own the memory.

    A reshaped value has its elements at the same offsets.
    """

    def __init__(self, k: LoopBuilder, task: Task) -> None:
        regions = evaluate(k, [task])
        self.boxes = len(regions)
        self.loads: dict[Value, set[Expr]] = {}
        self.nodes = 0
        self.reduced: tuple[int, ...] = ()
        for region in regions:
            exprs = s.walk(region.values)
            self.nodes = max(self.nodes, len(exprs))
            for e in exprs:
                if e.op == "load":
                    self.loads.setdefault(e.attr.base, set()).add(e.args[0])
                elif e.op == "reduce":
                    self.reduced = tuple(loop.var.extent for loop in e.attr[1])


def group_tasks(
    k: LoopBuilder, items: Sequence[Task | Item], apart: float = MOST_APART
) -> list[Item]:
    """Return `items` with the tasks grouped; the order of what is not a task stays.

    A task joins the first group that may hold it, or starts a new one.  Above `apart` expressions
    in all boxes it joins no group that it has nothing in common with.
    """
    out: list[Item] = []
    drafts: dict[int, _Draft] = {}
    written: dict[Value, int] = {}
    for item in items:
        if not isinstance(item, Task):
            for v in item.outputs:  # type: ignore[union-attr]
                written[v.base] = len(out)
            out.append(item)
            continue
        reads = _Reads(k, item)
        first = max((written.get(v, -1) for v in reads.loads), default=-1)
        place = next(
            (
                n
                for n in range(max(first, 0), len(out))
                if n in drafts and _fits(k, drafts[n], item, reads, apart)
            ),
            None,
        )
        if place is None:
            place = len(out)
            out.append(Group([]))
            drafts[place] = _Draft(out[place])  # type: ignore[arg-type]
        draft = drafts[place]
        draft.tasks.append(item)
        draft.writes[item.value] = item
        draft.values |= {item.value, *reads.loads}
        draft.boxes = max(draft.boxes, reads.boxes)
        draft.nodes += reads.nodes
        written[item.value] = place
    return out


def _fits(k: LoopBuilder, draft: _Draft, task: Task, reads: _Reads, apart: float) -> bool:
    if (
        len(draft.values | set(reads.loads)) >= MAX_BUFFERS
        or draft.nodes + reads.nodes > MAX_NODES
        or 0 in task.shape
        or 0 in draft.tasks[0].shape
    ):
        return False
    boxes = max(draft.boxes, reads.boxes)
    if draft.values.isdisjoint(reads.loads) and boxes * (draft.nodes + reads.nodes) > apart:
        return False
    return _fits_flat(draft, task, reads) or _fits_rows(k, draft, task, reads)


def _fits_flat(draft: _Draft, task: Task, reads: _Reads) -> bool:
    shapes = {t.shape for t in draft.tasks}
    if shapes != {task.shape} or task.reduces or any(t.reduces for t in draft.tasks):
        return False
    own = row_major([s.index(v) for v in domain(task.shape)], task.shape)
    for value, offsets in reads.loads.items():
        if value in draft.writes and offsets != {own}:
            return False
    return True


def _fits_rows(k: LoopBuilder, draft: _Draft, task: Task, reads: _Reads) -> bool:
    if draft.boxes > 1 or reads.boxes > 1:
        return False
    tasks = [*draft.tasks, task]
    if not any(t.reduces for t in tasks):
        return False
    rank = prefix_rank(tasks)
    if rank == 0 or math.prod(task.shape[:rank]) < MIN_ROWS:
        return False
    rows = domain(task.shape[:rank])
    related = False
    for value, offsets in reads.loads.items():
        writer = draft.writes.get(value)
        if writer is None:
            related |= value in draft.values
            continue
        related = True
        if not all(_within_row(k, o, writer.shape, rows) for o in offsets):
            return False
    return related


def prefix_rank(tasks: Sequence[Task]) -> int:
    """Return how many leading axes all the domains share, at most the rank of the smallest."""
    shapes = [t.shape for t in tasks]
    rank = 0
    for lengths in zip(*shapes, strict=False):
        if len(set(lengths)) > 1:
            break
        rank += 1
    if any(t.reduces and len(t.shape) == rank for t in tasks):
        return rank
    # An elementwise stage keeps its last axis inside the row.
    return min(rank, max(len(x) for x in shapes) - 1)


def _within_row(
    k: LoopBuilder, offset: Expr, shape: tuple[int, ...], rows: list[IndexVar]
) -> bool:
    constant, terms = s.split_affine(offset)
    length = math.prod(shape[len(rows) :])
    strides = {}
    stride = math.prod(shape)
    for v in rows:
        stride //= v.extent
        strides[v] = stride
    rest = []
    for c, t in terms:
        if t.op == "index" and t.attr in strides:
            if strides.pop(t.attr) != c:
                return False
        elif s.free_vars(t) & set(rows):
            return False
        else:
            rest.append((c, t))
    if any(v.extent != 1 for v in strides):
        return False
    low, high = k.bounds(s.affine(constant, rest))
    return low >= 0 and high < max(length, 1)
