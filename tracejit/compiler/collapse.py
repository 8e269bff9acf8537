"""Collapse: one loop in place of neighbouring loops over which every offset is contiguous."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.ir import scalar as s
from tracejit.ir.kernel import Reduce, Statement, Store, expressions
from tracejit.ir.scalar import Expr, IndexVar, Loop

__all__ = ["collapse", "collapse_reduction", "replaced", "substituted"]


def collapse(
    loops: Sequence[Loop], body: Sequence[Statement]
) -> tuple[list[Loop], tuple[Statement, ...]]:
    """Make one loop of neighbouring loops over which every offset is contiguous.

    The body has stores and reductions, no loops.
    """
    loops = list(loops)
    body = tuple(body)
    # Loops of one iteration vanish.
    single = {v.var for v in loops if v.lo == 0 and v.hi == 1}
    if single:
        body = substituted(body, {v: s.const(0, s.I64) for v in single})
        loops = [v for v in loops if v.var not in single]
    at = len(loops) - 2
    while at >= 0:
        outer, inner = loops[at], loops[at + 1]
        extent = inner.hi
        assert isinstance(extent, int)
        assert isinstance(outer.hi, int)
        if _contiguous(_as_stores(body), outer.var, inner.var, extent):
            joined = IndexVar(inner.var.name, outer.hi * extent)
            body = substituted(
                body, {outer.var: s.const(0, s.I64), inner.var: s.index(joined)}
            )
            loops[at : at + 2] = [Loop(joined, 0, outer.hi * extent)]
        at -= 1
    return loops, body


def _as_stores(body: Sequence[Statement]) -> list[Store]:
    """Return the stores of a body, and one for each operand of its reductions."""
    out: list[Store] = []
    for st in body:
        if isinstance(st, Reduce):
            nowhere: Any = None
            out.extend(Store(nowhere, s.const(0, s.I64), e) for e in expressions(st))
        else:
            assert isinstance(st, Store)
            out.append(st)
    return out


def substituted(
    body: Sequence[Statement], values: dict[IndexVar, Expr]
) -> tuple[Statement, ...]:
    """Return a body without loops with variables replaced."""
    def replace(e: Expr) -> Expr | None:
        return values.get(e.attr) if e.op == "index" else None

    new = iter(s.substitute([x for st in body for x in expressions(st)], replace))
    out: list[Statement] = []
    for st in body:
        if isinstance(st, Reduce):
            own = tuple(
                a._replace(value=next(new), index=None if a.index is None else next(new))
                for a in st.accumulators
            )
            out.append(Reduce(st.loops, own))
        else:
            assert isinstance(st, Store)
            out.append(Store(st.buffer, next(new), next(new)))
    return tuple(out)


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


def replaced(root: Expr, old: Expr, new: Expr) -> Expr:
    """Return `root` with `old` replaced."""
    return s.substitute([root], lambda e: new if e is old else None)[0]


def collapse_reduction(
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
            zero = s.const(0, s.I64)
            roots = [replaced(x, s.index(outer), zero) for x in roots]
            roots = [replaced(x, s.index(inner), s.index(joined)) for x in roots]
            own[at : at + 2] = [joined]
        at -= 1
    return roots, own
