"""Maps: nests of which every thread runs iterations of its own.

A *wide* map gives a thread neighbours along the last loop, which it loads and stores 16 bytes at a
time; what a stencil reads beside an aligned load is taken from that load's registers, so that five
points cost three wide loads and two narrow ones.  A *tiled* map goes through shared memory what is
contiguous along another loop than the stores are, so that both sides are read and written in rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from tracejit.ir.kernel import Store
from tracejit.ir.scalar import Expr, Loop
from tracejit_cuda import scalars
from tracejit_cuda.forms import TILE, MapForm, TileForm, loads_in_order
from tracejit_cuda.nests import Map, Rows
from tracejit_cuda.serial import Serial

__all__ = ["tiled_map", "write_map"]

FIRST = "(idx)bid * (idx)blockDim.x + (idx)threadIdx.x"
STEP = "(idx)nb * (idx)blockDim.x"


def write_map(e: Serial, nest: Map | Rows, how: MapForm) -> None:
    """Write a nest of which every thread runs iterations of its own."""
    if how.width > 1:
        _wide(e, nest, how)
        return
    ranges, total = e.ranges(nest.loops)
    with ExitStack() as stack:
        flat = e.spread(total, FIRST, STEP, stack)
        e.unflatten(flat, nest.loops, ranges)
        e.serial(nest.body)


# ------------------------------------------------------------------------------------ wide


def _wide(e: Serial, nest: Map | Rows, how: MapForm) -> None:
    width, shift = how.width, how.shift
    last = nest.loops[-1]
    items = [s for s in nest.body if isinstance(s, Store)]
    lo, hi = e.integer(last.lo), e.integer(last.hi)
    first = e.declare("idx", f"({lo} + {shift}) / {width}", "q")
    beyond = e.declare("idx", f"({hi} + {shift + width - 1}) / {width}", "q")
    chunks = e.declare("idx", f"{beyond} - {first}", "q")
    outer = list(nest.loops[:-1])
    ranges, _ = e.ranges(outer)
    if how.rows > 1:
        lowest, length = ranges[how.march]
        trips = e.declare("idx", f"({length} + {how.rows - 1}) / {how.rows}", "q")
        ranges[how.march] = ("0", trips)
    lengths = [length for _, length in ranges]
    total = e.declare("idx", " * ".join([*lengths, chunks]), "total")
    with ExitStack() as stack:
        flat = e.spread(total, FIRST, STEP, stack)
        e.unflatten(flat, [*outer, Loop(last.var, 0, 0)], [*ranges, (first, chunks)])
        start = e.declare("idx", f"{e.variables[last.var]} * {width} - {shift}", "j")
        row = ""
        if how.rows > 1:
            number = e.variables[outer[how.march].var]
            row = e.declare("idx", f"{lowest} + {number} * {how.rows}", "row")
        with e.block(f"if ({start} >= {lo} && {start} + {width} <= {hi})"):
            e.variables[last.var] = start
            _march(e, nest, how, row, lambda ahead: _chunk(e, items, last, start, how, ahead))
        with e.block("else"):
            _march(e, nest, how._replace(queues=()), row, lambda _: _lanes(e, nest, start, how))


def _lanes(e: Serial, nest: Map | Rows, start: str, how: MapForm) -> None:
    """Write the lanes of a chunk that reaches over the ends of the loop."""
    last = nest.loops[-1]
    lane = e.name("l")
    with e.block(f"for (int {lane} = 0; {lane} < {how.width}; ++{lane})"):
        at = e.declare("idx", f"{start} + {lane}", "i")
        with e.block(f"if ({at} >= {e.integer(last.lo)} && {at} < {e.integer(last.hi)})"):
            e.variables[last.var] = at
            e.serial(nest.body)


def _march(
    e: Serial,
    nest: Map | Rows,
    how: MapForm,
    row: str,
    body: Callable[[dict[int, str]], None],
) -> None:
    """Write the rows of one thread; what the next row reads again stays in a queue of registers.

    `body` is given the names of the loads that are in queues.
    """
    if how.rows == 1:
        body({})
        return
    items = [s for s in nest.body if isinstance(s, Store)]
    loads = loads_in_order(items)
    loop = nest.loops[how.march]
    queues = []
    for queue in how.queues:
        kind = f"tj_vec<{scalars.storage_name(loads[queue.top].dtype)}, {how.width}>"
        names = [e.name("v") for _ in range(queue.depth)]
        e.line(f"{kind} {', '.join(names)};")
        queues.append((queue, kind, names))
    trip = e.name("r")
    with e.block(f"for (int {trip} = 0; {trip} < {how.rows}; ++{trip})"):
        at = e.declare("idx", f"{row} + {trip}", "i")
        e.line(f"if ({at} >= {e.integer(loop.hi)}) break;")
        e.variables[loop.var] = at
        if queues:
            with e.block(f"if ({trip} == 0)"):
                for queue, kind, names in queues:
                    for n in range(queue.depth - 1):
                        e.variables[loop.var] = e.declare("idx", f"{at} - {queue.depth - 1 - n}")
                        _fill(e, loads[queue.top], kind, names[n])
            with e.block("else"):
                for _, _, names in queues:
                    for older, newer in itertools.pairwise(names):
                        e.line(f"{older} = {newer};")
            e.variables[loop.var] = at
        ahead = {}
        for queue, kind, names in queues:
            _fill(e, loads[queue.top], kind, names[-1])
            ahead.update({number: names[place] for number, place in queue.members})
        body(ahead)


def _fill(e: Serial, x: Expr, kind: str, name: str) -> None:
    e.scopes.append({})
    e.line(f"{name} = *(const {kind}*)(b{x.attr} + {e.offset(x.args[0])});")
    e.scopes.pop()


def _chunk(
    e: Serial,
    items: Sequence[Store],
    last: Loop,
    start: str,
    how: MapForm,
    ahead: dict[int, str],
) -> None:
    """Write `width` whole neighbours: all loads, then the lanes, then all stores."""
    width = how.width
    e.variables[last.var] = start
    loads = loads_in_order(items)
    fetched = dict(ahead)
    for number in how.together:
        if number not in fetched:
            x = loads[number]
            kind = f"tj_vec<{scalars.storage_name(x.dtype)}, {width}>"
            address = f"b{x.attr} + {e.offset(x.args[0])}"
            fetched[number] = e.declare(kind, f"*(const {kind}*)({address})", "v")
    beside = [(loads[n], fetched[base], d) for n, base, d in how.beside]
    outside = {x: e.offset(x.args[0]) for x, _, _ in beside}
    places = [e.offset(s.offset) for s in items]
    kinds = [f"tj_vec<{scalars.storage_name(s.value.dtype)}, {width}>" for s in items]
    results = [e.name("w") for _ in items]
    for name, kind in zip(results, kinds, strict=True):
        e.line(f"{kind} {name};")
    lane = e.name("l")
    e.line("#pragma unroll")
    with e.block(f"for (int {lane} = 0; {lane} < {width}; ++{lane})"):
        e.variables[last.var] = e.declare("idx", f"{start} + {lane}", "i")
        # Names outside are of the chunk's first element.
        kept, e.scopes = e.scopes, [{}]
        for number, vector in fetched.items():
            x = loads[number]
            text = scalars.load(f"&{vector}.v[{lane}]", x.dtype)
            e.instead[x] = e.declare(scalars.type_name(x.dtype), text, "x")
        for x, vector, d in beside:
            place = f"{lane} + {d}" if d > 0 else f"{lane} - {-d}"
            inside = f"{place} < {width}" if d > 0 else f"{place} >= 0"
            own = scalars.load(f"&{vector}.v[{place}]", x.dtype)
            other = scalars.load(f"b{x.attr} + {outside[x]} + {lane}", x.dtype)
            kind = scalars.type_name(x.dtype)
            e.instead[x] = e.declare(kind, f"{inside} ? {own} : {other}", "x")
        for s, name in zip(items, results, strict=True):
            value = e.value(s.value)
            e.line(scalars.store(f"&{name}.v[{lane}]", value, s.value.dtype) + ";")
        e.scopes, e.instead = kept, {}
    for s, place, kind, name in zip(items, places, kinds, results, strict=True):
        e.line(f"*({kind}*)(b{s.buffer} + {place}) = {name};")


# ----------------------------------------------------------------------------------- tiles


def tiled_map(e: Serial, nest: Map | Rows, how: TileForm) -> None:
    """Write a map whose marked loads are contiguous along the loop `how.loop`.

    A block works on tiles of 32 by 32: it reads them along that loop into shared memory, whose rows
    are one element longer so that reading columns meets no conflict of banks.
    """
    items = [s for s in nest.body if isinstance(s, Store)]
    loads = loads_in_order(items)
    staged = [loads[n] for n in how.loads]
    across, along = nest.loops[how.loop], nest.loops[-1]
    outer = [v for n, v in enumerate(nest.loops[:-1]) if n != how.loop]
    tiles = []
    for x in staged:
        tiles.append(e.name("tile"))
        kind = scalars.storage_name(x.dtype)
        e.line(f"__shared__ {kind} {tiles[-1]}[{TILE}][{TILE + 1}];")
    ranges, rows = e.ranges(outer)
    (first_y, length_y), (first_x, length_x) = e.ranges((across, along))[0]
    count_y = e.declare("idx", f"({length_y} + {TILE - 1}) / {TILE}", "q")
    count_x = e.declare("idx", f"({length_x} + {TILE - 1}) / {TILE}", "q")
    total = e.declare("idx", f"{rows} * {count_y} * {count_x}", "total")
    lane = e.declare("int", f"(int)threadIdx.x % {TILE}", "lane")
    row = e.declare("int", f"(int)threadIdx.x / {TILE}", "row")
    step = e.declare("int", f"(int)blockDim.x / {TILE}", "step")
    end_x, end_y = e.integer(along.hi), e.integer(across.hi)
    with ExitStack() as stack:
        flat = e.spread(total, "(idx)bid", "(idx)nb", stack)
        loops = [*outer, Loop(across.var, 0, 0), Loop(along.var, 0, 0)]
        e.unflatten(flat, loops, [*ranges, ("0", count_y), ("0", count_x)])
        y0 = e.declare("idx", f"{first_y} + {e.variables[across.var]} * {TILE}", "y")
        x0 = e.declare("idx", f"{first_x} + {e.variables[along.var]} * {TILE}", "x")
        line = e.name("r")
        e.line("__syncthreads();")  # the last tile may still be read
        with e.block(f"for (int {line} = {row}; {line} < {TILE}; {line} += {step})"):
            e.variables[across.var] = e.declare("idx", f"{y0} + {lane}", "i")
            e.variables[along.var] = e.declare("idx", f"{x0} + {line}", "i")
            inside = f"{e.variables[across.var]} < {end_y} && {e.variables[along.var]} < {end_x}"
            with e.block(f"if ({inside})"):
                for x, tile in zip(staged, tiles, strict=True):
                    text = scalars.load(f"b{x.attr} + {e.offset(x.args[0])}", x.dtype)
                    place = f"&{tile}[{line}][{lane}]"
                    e.line(scalars.store(place, text, x.dtype) + ";")
        e.line("__syncthreads();")
        with e.block(f"for (int {line} = {row}; {line} < {TILE}; {line} += {step})"):
            e.variables[across.var] = e.declare("idx", f"{y0} + {line}", "i")
            e.variables[along.var] = e.declare("idx", f"{x0} + {lane}", "i")
            inside = f"{e.variables[across.var]} < {end_y} && {e.variables[along.var]} < {end_x}"
            with e.block(f"if ({inside})"):
                for x, tile in zip(staged, tiles, strict=True):
                    text = scalars.load(f"&{tile}[{lane}][{line}]", x.dtype)
                    e.instead[x] = e.declare(scalars.type_name(x.dtype), text, "x")
                e.serial(nest.body)
                e.instead = {}
