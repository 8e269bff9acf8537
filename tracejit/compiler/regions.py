"""Split a domain into boxes in each of which piecewise loaders are one branch.

A loader is evaluated over the whole domain; the boundaries of conditions that the domain does not
decide come back as cuts.  The domain is cut there and each part evaluated again, until none is
left.  Where that would make too many boxes (a wide star stencil with wrapped borders in three
dimensions) the interior keeps its own box and the border slabs select an element at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tracejit.compiler.loaders import LoopBuilder
from tracejit.ir.scalar import Expr, IndexVar

__all__ = ["Box", "Region", "split"]

Box = dict[IndexVar, tuple[int, int]]
MAX_BOXES = 36


class Region(NamedTuple):
    """A box, and the expressions to compute in it."""

    box: Box
    values: list[Expr]


def split(
    k: LoopBuilder, variables: Sequence[IndexVar], evaluate: Callable[[], list[Expr]]
) -> list[Region]:
    """Return the regions of the domain of `variables` on which `evaluate` is free of branches."""
    whole = {v: (0, v.extent) for v in variables}
    regions: list[Region] = []
    if not _refine(k, whole, evaluate, regions, MAX_BOXES):
        regions = _onion(k, whole, evaluate)
    for v in reversed(variables):
        regions = _joined(regions, v)
    return regions


def _joined(regions: list[Region], v: IndexVar) -> list[Region]:
    """Join neighbours along `v` in which the same is computed."""
    out: list[Region] = []
    ends: dict[tuple[object, ...], int] = {}
    for region in regions:
        lo, hi = region.box[v]
        rest = tuple(r for w, r in region.box.items() if w is not v)
        at = ends.pop((rest, lo, *region.values), None)
        if at is None:
            at = len(out)
            out.append(region)
        else:
            out[at] = Region({**region.box, v: (out[at].box[v][0], hi)}, region.values)
        ends[(rest, hi, *region.values)] = at
    return out


def _evaluate(
    k: LoopBuilder, box: Box, evaluate: Callable[[], list[Expr]], select: bool
) -> tuple[list[Expr], dict[IndexVar, set[int]]]:
    k.epoch += 1
    k.box, k.cuts, k.select, k.reduced = box, {}, select, set()
    try:
        return evaluate(), k.cuts
    finally:
        k.box, k.cuts, k.select, k.reduced = {}, {}, False, set()


def _refine(
    k: LoopBuilder,
    box: Box,
    evaluate: Callable[[], list[Expr]],
    out: list[Region],
    limit: int,
) -> bool:
    values, cuts = _evaluate(k, box, evaluate, select=False)
    if not cuts:
        out.append(Region(box, values))
        return len(out) <= limit
    ranges = []
    for v, (lo, hi) in box.items():
        edges = [lo, *sorted(cuts.get(v, ())), hi]
        ranges.append(list(itertools.pairwise(edges)))
    count = 1
    for r in ranges:
        count *= len(r)
    if len(out) + count > limit:
        return False
    return all(
        _refine(k, dict(zip(box, parts, strict=True)), evaluate, out, limit)
        for parts in itertools.product(*ranges)
    )


def _onion(k: LoopBuilder, whole: Box, evaluate: Callable[[], list[Expr]]) -> list[Region]:
    edges: dict[IndexVar, set[int]] = {v: set() for v in whole}
    # Find the cuts of every variable by following the middle of the domain.
    box = dict(whole)
    for _ in range(64):
        _, cuts = _evaluate(k, box, evaluate, select=False)
        if not cuts:
            break
        for v, at in cuts.items():
            edges[v] |= at
            lo, hi = whole[v]
            points = [lo, *sorted(edges[v]), hi]
            box[v] = max(itertools.pairwise(points), key=lambda ab: ab[1] - ab[0])
    regions = []
    rest = dict(whole)
    for v, (lo, hi) in box.items():
        for part in ((rest[v][0], lo), (hi, rest[v][1])):
            if part[0] < part[1]:
                slab = {**rest, v: part}
                regions.append(Region(slab, _evaluate(k, slab, evaluate, select=True)[0]))
        rest[v] = (lo, hi)
    regions.append(Region(box, _evaluate(k, box, evaluate, select=False)[0]))
    return regions
