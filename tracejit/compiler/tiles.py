"""Tiles: several rows a trip where neighbouring rows of a stencil read the same elements.

A row of a stencil of many points reads rows before and after it, and so does the next row.  Both
computed in one trip, an element that both read is loaded once.  In three dimensions what is saved
comes from a cache further away: all rows of a plane are read between a row and the one below it.
The order of operations on an element stays, so do its bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracejit.compiler.collapse import substituted
from tracejit.compiler.group import domain
from tracejit.ir import scalar as s
from tracejit.ir.kernel import Statement, Store
from tracejit.ir.scalar import Loop

__all__ = ["ROWS", "in_tiles"]

ROWS = 2
"""Rows of a tile: of more, the operands do not stay in registers."""
SHARED = 6
"""Loads that two rows have in common from which both are computed in one trip."""
FEWEST = 32
"""Iterations of the outermost loop from which there are enough for all threads in pairs, too."""

Nest = tuple[list[Loop], tuple[Statement, ...]]


def in_tiles(nests: Sequence[Nest]) -> list[Nest]:
    """Return nests of parallel loops and stores with the rows of stencils in tiles.

    Their outermost loops run over tiles then, and so do those of their neighbours along the rows;
    nests that stay as they are, are moved to begin where the tiles do.
    """
    wanted = {
        (loops[0].lo, loops[0].hi) for loops, stores in nests if _shares_rows(loops, stores)
    }
    if not wanted:
        return list(nests)
    out: list[Nest] = []
    for loops, stores in nests:
        outer = loops[0]
        lo, hi = outer.lo, outer.hi
        assert isinstance(lo, int)
        assert isinstance(hi, int)
        at = lo // ROWS
        tiles = (hi - lo) // ROWS if (lo, hi) in wanted else 0
        left = hi - lo - tiles * ROWS
        if tiles:
            out.append(_moved(loops, stores, lo, ROWS, at, tiles))
        if left:
            out.append(_moved(loops, stores, lo + tiles * ROWS, 1, at + tiles, left))
    return out


def _shares_rows(loops: Sequence[Loop], stores: Sequence[Statement]) -> bool:
    """Whether two iterations of the outermost loop load enough elements in common."""
    if len(loops) < 2:
        return False
    outer, inner = loops[0], loops[-1]
    assert isinstance(outer.lo, int)
    assert isinstance(outer.hi, int)
    if outer.hi - outer.lo < FEWEST:
        return False
    places: dict[object, set[int]] = {}
    strides: dict[object, int] = {}
    for e in s.walk([st.value for st in stores if isinstance(st, Store)]):
        if e.op != "load":
            continue
        constant, terms = s.split_ints(e.args[0])
        steps = {t.attr: c for c, t in terms if t.op == "index"}
        if len(steps) < len(terms) or steps.get(inner.var) != 1 or outer.var not in steps:
            continue
        places.setdefault((e.attr, terms), set()).add(constant)
        strides[e.attr, terms] = steps[outer.var]
    shared = sum(
        len(found & {c + strides[key] for c in found}) for key, found in places.items()
    )
    return shared >= SHARED


def _moved(
    loops: Sequence[Loop],
    stores: Sequence[Statement],
    lo: int,
    rows: int,
    at: int,
    trips: int,
) -> Nest:
    """Return the nest that computes `trips` times `rows` rows from `lo` on, counted from `at`."""
    (var,) = domain((at + trips,))
    copies: list[Statement] = []
    for n in range(rows):
        place = s.affine(lo + n - rows * at, [(rows, s.index(var))])
        copies += substituted(stores, {loops[0].var: place})
    return [Loop(var, at, at + trips), *loops[1:]], tuple(copies)
