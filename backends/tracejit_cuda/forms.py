"""Forms: in which of several ways a launch runs its kernel, chosen from its sizes.

The choice depends on sizes and alignment only, so it is the same on every run.  A kernel text and a
form are what is compiled: launches of other sizes with the same form share the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracejit.ir.kernel import For, Kernel, Reduce, Store, expressions, statements
from tracejit.ir.scalar import Expr, Loop, split_affine, value_of, walk
from tracejit_cuda.nests import (
    Access,
    Map,
    Nest,
    Rows,
    Stage,
    access,
    extent,
    nests,
    place,
    size_of,
    stages,
)

__all__ = [
    "TILE",
    "Form",
    "MapForm",
    "NestForm",
    "Queue",
    "RowsForm",
    "TileForm",
    "blocks_for",
    "choose",
    "loads_in_order",
    "work",
]

SMALLEST_WIDE = 1 << 15
"""Iterations from which neighbours are computed by one thread: fewer leave processors idle."""
LARGEST_WIDE = 600
"""Scalar operations times width up to which registers suffice."""
MOST_ROWS = 8
"""Rows that one thread runs, to read once what they share."""
THREADS_TO_FILL = 1 << 17
"""Threads that are left at least when threads run several rows."""
DEEPEST = 8
TILE = 32
MOST_TILES = 4
"""Tiles that one block holds in shared memory."""
SMALLEST_TILED = 1 << 12
SERIAL_ROW = 8
"""Length of a row up to which one thread runs it."""
KEPT_BYTES = 128
"""Bytes of a row that a thread keeps in registers; half in blocks of 1,024 threads,
whose threads have 64 registers each, and less of 8-byte elements, whose functions need more."""
LARGEST_KEPT = 4000
"""Scalar operations of a thread's part of a row, written out, up to which it is kept."""
WARP_ROW = 1024
"""Length of a row up to which a warp runs it."""
LONG_ROW = 1 << 14
THREADS = 256
MOST_INT = 2**31 - 2**24
"""Elements and iterations that are counted in 32 bits."""
BLOCKS_PER_PROCESSOR = 32


class Queue(NamedTuple):
    """Loads of one thread that the next row reads again, one row further.

    Attributes
    ----------
    top : int
        The load that is furthest ahead, by its number in the body.
    depth : int
        How many rows the queue holds.
    members : tuple of (load, place)
        The loads that are in it; the place of `top` is the last.
    """

    top: int
    depth: int
    members: tuple[tuple[int, int], ...]


class MapForm(NamedTuple):
    """Every thread runs iterations of its own.

    Attributes
    ----------
    width : int
        Neighbours along the last loop that one thread runs at once.
    shift : int
        A chunk starts at ``width * n - shift``, which is where stores are aligned.
    together : tuple of int
        The loads that are aligned there too, by their number in the body.
    beside : tuple of (load, aligned load, distance)
        Loads that are a few elements away from an aligned one.
    rows : int
        Iterations of the loop `march` that one thread runs one after the other.
    march : int
        That loop, by its place in the nest.
    queues : tuple of Queue
        What stays in registers from one row to the next.
    """

    width: int = 1
    shift: int = 0
    together: tuple[int, ...] = ()
    beside: tuple[tuple[int, int, int], ...] = ()
    rows: int = 1
    march: int = 0
    queues: tuple[Queue, ...] = ()


class TileForm(NamedTuple):
    """Blocks run tiles, and read through shared memory what runs along another loop.

    Attributes
    ----------
    loop : int
        The loop along which `loads` are contiguous, by its place in the nest.
    loads : tuple of int
        Their numbers in the body.
    """

    loop: int
    loads: tuple[int, ...]


class RowsForm(NamedTuple):
    """A team runs a row.

    Attributes
    ----------
    team : {32, 0}
        A warp, or a whole block.
    width : int
        Neighbours that a thread loads and stores at once.
    chunks : int
        So many times `width` elements of a row are a thread's, and it keeps what it loads of them
        in registers; 0 if rows are too long for that, or of several loops.
    together : tuple of int
        The loads that are `width` neighbours, by their number in the row's stages.
    """

    team: int
    width: int = 1
    chunks: int = 0
    together: tuple[int, ...] = ()


NestForm = MapForm | TileForm | RowsForm


class Form(NamedTuple):
    """How a kernel is run.

    Attributes
    ----------
    offsets : {"int", "long long"}
        The type of offsets.
    threads : int
        Threads of a block.
    nests : tuple of MapForm, TileForm or RowsForm
        One a nest.
    """

    offsets: str
    threads: int
    nests: tuple[NestForm, ...]

    @property
    def keeps(self) -> bool:
        """Whether whole blocks keep rows in registers: fewer threads would not hold them."""
        return any(isinstance(n, RowsForm) and n.team == 0 and n.chunks for n in self.nests)


def choose(
    kernel: Kernel, sizes: Sequence[int], aligned: Sequence[bool], elements: int, processors: int
) -> Form:
    """Return the form for a launch.

    Parameters
    ----------
    kernel : Kernel
        What is launched.
    sizes : sequence of int
        Its integer arguments.
    aligned : sequence of bool
        Which buffers start at a multiple of 16 bytes.
    elements : int
        Length of the longest buffer.
    processors : int
        Multiprocessors of the device.
    """
    forms: list[NestForm] = []
    threads = THREADS
    most = elements
    for nest in nests(kernel):
        rows = extent(nest.loops, sizes)
        most = max(most, rows)
        if isinstance(nest, Map):
            tiled = _tile_form(nest, sizes, rows)
            forms.append(tiled or _map_form(nest, sizes, aligned, rows))
            continue
        length = _row_length(nest, sizes)
        most = max(most, length)
        if length <= SERIAL_ROW:
            forms.append(MapForm())
            continue
        if length <= WARP_ROW:
            teams = [32, THREADS, 512]
        elif length >= LONG_ROW and rows <= 2 * processors:
            teams = [1024]
        else:
            teams = [THREADS, 512, 1024]
        options = [(n, _rows_form(nest, sizes, aligned, length, n)) for n in teams]
        # The smallest team that can keep a row; else the smallest.
        own, form = next(((n, f) for n, f in options if f.chunks), options[0])
        forms.append(form)
        threads = max(threads, own)
    return Form("int" if most < MOST_INT else "long long", threads, tuple(forms))


def blocks_for(kernel: Kernel, form: Form, sizes: Sequence[int], processors: int) -> int:
    """Return how many blocks a launch has; at least 1."""
    blocks = 1
    for nest, how in zip(nests(kernel), form.nests, strict=True):
        rows = extent(nest.loops, sizes)
        if isinstance(how, RowsForm):
            needed = rows if how.team == 0 else -(-rows * 32 // form.threads)
        elif isinstance(how, TileForm):
            needed = 1
            for n, loop in enumerate(nest.loops):
                length = extent((loop,), sizes)
                inside = n in (how.loop, len(nest.loops) - 1)
                needed *= -(-length // TILE) if inside else length
        else:
            needed = -(-rows // (form.threads * how.width * how.rows))
        blocks = max(blocks, needed)
    return min(blocks, processors * BLOCKS_PER_PROCESSOR)


def loads_in_order(items: Sequence[Store]) -> list[Expr]:
    """Return the loads of a map's body in a fixed order."""
    return [e for e in walk([s.value for s in items]) if e.op == "load"]


def _row_length(nest: Nest, sizes: Sequence[int]) -> int:
    """Return the most iterations that a stage of a row shares out."""
    return max((extent(part.loops, sizes) for part in stages(nest.body)), default=1)


def _rows_form(
    nest: Rows, sizes: Sequence[int], aligned: Sequence[bool], length: int, threads: int
) -> RowsForm:
    """Return the form of rows that teams of so many threads run."""
    team = 32 if threads == 32 else 0
    parts = list(stages(nest.body))
    for part in parts:
        simple = len(part.loops) == 1 and part.loops[0].lo == 0
        if not simple or extent(part.loops, sizes) != length:
            return RowsForm(team)
        if not all(isinstance(s, Store) for s in part.body) and len(part.body) > 1:
            return RowsForm(team)
        if isinstance(part.body[0], For):
            return RowsForm(team)
    writes = [(s, p.loops[0]) for p in parts for s in p.body if isinstance(s, Store)]
    reads = [(x, p.loops[0]) for p in parts for x in p.loads()]
    largest = max(
        (x.dtype.itemsize for x, loop in reads if _along(x.args[0], loop, sizes, 1) is not None),
        default=8,
    )
    largest = max([largest, *(s.value.dtype.itemsize for s, _ in writes)])
    width = 16 // largest
    while width > 1 and (
        length % width
        or any(
            _along(s.offset, loop, sizes, width) != 0 or not aligned[s.buffer]
            for s, loop in writes
        )
    ):
        width //= 2
    if any(_along(s.offset, loop, sizes, 1) is None for s, loop in writes):
        return RowsForm(team)
    together = tuple(
        n
        for n, (x, loop) in enumerate(reads)
        if _along(x.args[0], loop, sizes, width) == 0 and (width == 1 or aligned[x.attr])
    )
    chunks = -(-length // (width * threads))
    kept = 48 if largest == 8 else KEPT_BYTES // 2 if threads == 1024 else KEPT_BYTES
    room = kept // (largest * width * max(_carried(parts, sizes), 1))
    nodes = len(walk([r for p in parts for s in p.body for r in expressions(s)]))
    if len(parts) < 2 or chunks > room or nodes * chunks * width > LARGEST_KEPT:
        chunks = 0
    return RowsForm(team, width, chunks, together)


def _carried(parts: Sequence[Stage], sizes: Sequence[int]) -> int:
    """Return how many places along a row are kept at once, from one stage to a later one."""
    first: dict[Access, int] = {}
    last: dict[Access, int] = {}
    for n, p in enumerate(parts):
        (loop,) = p.loops
        for x in p.loads():
            if _along(x.args[0], loop, sizes, 1) is not None:
                first.setdefault(access(x, loop), n)
                last[access(x, loop)] = n
        for s in p.body:
            if isinstance(s, Store):
                first.setdefault(place(s.buffer, s.offset, loop), n)
    spans = [(n, last.get(key, n)) for key, n in first.items()]
    return max((sum(a <= n < b for a, b in spans) for n in range(len(parts))), default=0)


def _tile_form(nest: Map, sizes: Sequence[int], rows: int) -> TileForm | None:
    """Return the form of a map that reads along one loop and writes along another."""
    items = [s for s in nest.body if isinstance(s, Store)]
    if len(items) < len(nest.body) or len(nest.loops) < 2 or rows < SMALLEST_TILED:
        return None
    last = nest.loops[-1]
    steps = [_steps(s.offset, nest.loops, sizes) for s in items]
    if extent((last,), sizes) < TILE or any(x is None or x[-1] != 1 for x in steps):
        return None
    written = {s.buffer for s in items}
    found: dict[int, list[int]] = {}
    for number, e in enumerate(loads_in_order(items)):
        at = _steps(e.args[0], nest.loops, sizes)
        if at is None or e.attr in written or at[-1] < TILE or 1 not in at[:-1]:
            continue
        loop = at.index(1)
        if extent((nest.loops[loop],), sizes) >= TILE:
            found.setdefault(loop, []).append(number)
    if not found:
        return None
    loop = max(found, key=lambda n: len(found[n]))
    return TileForm(loop, tuple(found[loop][:MOST_TILES]))


def _steps(e: Expr, loops: Sequence[Loop], sizes: Sequence[int]) -> list[int] | None:
    """Return by how much an offset grows along each loop; ``None`` if it depends on data."""
    _, terms = _parts(e, sizes)
    if any(t.op != "index" for _, t in terms):
        return None
    by = {t.attr: c for c, t in terms}
    return [by.get(v.var, 0) for v in loops]


def _map_form(
    nest: Map | Rows, sizes: Sequence[int], aligned: Sequence[bool], rows: int
) -> MapForm:
    items = [s for s in nest.body if isinstance(s, Store)]
    if len(items) < len(nest.body) or not nest.loops or rows < SMALLEST_WIDE:
        return MapForm()
    last = nest.loops[-1]
    size = max(s.value.dtype.itemsize for s in items)
    width = 16 // size
    length = extent((last,), sizes)
    nodes = len(walk([s.value for s in items]))
    while width > 1 and (nodes * width > LARGEST_WIDE or length < 4 * width):
        width //= 2
    if width == 1:
        return MapForm()
    shifts = set()
    for s in items:
        at = _along(s.offset, last, sizes, width)
        if at is None or not aligned[s.buffer]:
            return MapForm()
        shifts.add(at)
    if len(shifts) > 1:
        return MapForm()
    (shift,) = shifts
    loads = loads_in_order(items)
    together = [
        number
        for number, e in enumerate(loads)
        if _along(e.args[0], last, sizes, width) == shift
        and aligned[e.attr]
        and e.dtype.itemsize * width <= 16
    ]
    beside = []
    for number, e in enumerate(loads):
        for base in () if number in together else together:
            d = _distance(e, loads[base], sizes)
            if d is not None and abs(d) < width:
                beside.append((number, base, d))
                break
    form = MapForm(width, shift, tuple(together), tuple(beside))
    return _marching(form, nest, loads, sizes, rows)


def _marching(
    form: MapForm, nest: Map | Rows, loads: Sequence[Expr], sizes: Sequence[int], rows: int
) -> MapForm:
    """Let a thread run several rows, if the rows read the same."""
    best: tuple[Queue, ...] = ()
    march, saved = 0, 0
    for n, loop in enumerate(nest.loops[:-1]):
        queues = _queues(form.together, loop, loads, sizes)
        gain = sum(len(q.members) - 1 for q in queues)
        if gain > saved and extent((loop,), sizes) >= MOST_ROWS:
            best, march, saved = queues, n, gain
    length = min(MOST_ROWS, rows // (form.width * THREADS_TO_FILL))
    if length < 2 or not best:
        return form
    return form._replace(rows=length, march=march, queues=best)


def _queues(
    together: Sequence[int], loop: Loop, loads: Sequence[Expr], sizes: Sequence[int]
) -> tuple[Queue, ...]:
    """Return the queues of a march along `loop`: loads of one buffer, whole rows apart."""
    queues = []
    left = list(together)
    while left:
        base = left[0]
        step = 0
        for c, t in _parts(loads[base].args[0], sizes)[1]:
            if t.op == "index" and t.attr is loop.var:
                step = c
        places: dict[int, int] = {}
        for n in left:
            d = _distance(loads[n], loads[base], sizes)
            if d is not None and step and d % step == 0 and abs(d // step) <= DEEPEST:
                places[n] = d // step
        left = [n for n in left if n not in places and n != base]
        if len(places) > 1:
            low, high = min(places.values()), max(places.values())
            top = next(n for n, k in places.items() if k == high)
            members = tuple((n, k - low) for n, k in places.items())
            queues.append(Queue(top, high - low + 1, members))
    return tuple(queues)


def _distance(a: Expr, b: Expr, sizes: Sequence[int]) -> int | None:
    """Return how far one load is from another, if that is the same everywhere."""
    if a.attr != b.attr:
        return None
    first, terms = _parts(a.args[0], sizes)
    other, others = _parts(b.args[0], sizes)
    return first - other if set(terms) == set(others) else None


def _parts(e: Expr, sizes: Sequence[int]) -> tuple[int, list[tuple[int, Expr]]]:
    """Return the constant of an offset in a launch, and its terms with what each is taken by."""
    constant, terms = split_affine(e)
    known = [(size_of(c, sizes), t) for c, t in terms]
    whole = sum(c * int(value_of(t)) for c, t in known if t.op == "const")
    return size_of(constant, sizes) + whole, [(c, t) for c, t in known if t.op != "const"]


def _along(e: Expr, loop: Loop, sizes: Sequence[int], width: int) -> int | None:
    """Return where an offset lies within `width` elements at a multiple of `width` of the loop.

    ``None`` if it does not run along the loop by ones, or if that differs from row to row.
    """
    constant, terms = _parts(e, sizes)
    found = False
    for step, t in terms:
        if t.op != "index":
            return None
        if t.attr is loop.var:
            if step != 1:
                return None
            found = True
        elif step % width:
            return None
    return constant % width if found else None


def work(kernel: Kernel, sizes: Sequence[int]) -> int:
    """Return how many elements the stages of a kernel compute, all nests together."""
    total = 0
    for nest in nests(kernel):
        inner = max(_row_length(nest, sizes), 1)
        serial = 1
        for s in statements(nest.body):
            if isinstance(s, Reduce) and isinstance(nest, Map):
                serial = max(serial, extent(s.loops, sizes))
        total += extent(nest.loops, sizes) * max(inner, serial)
    return total

