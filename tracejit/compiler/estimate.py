"""Estimate: how long a kernel takes, by what it computes and moves."""

from __future__ import annotations

from tracejit.compiler.memory import draft_values
from tracejit.compiler.schedule import Draft
from tracejit.compiler.values import Value
from tracejit.ir import scalar as s
from tracejit.ir.kernel import Store, expressions, statements

__all__ = ["nanoseconds"]


def nanoseconds(draft: Draft) -> float:
    """Return estimated nanoseconds on one core: of vector instructions and of bytes of memory."""
    if draft.cost:
        return draft.cost
    units, nbytes = 0.0, 0.0
    seen: set[s.Expr] = set()
    values: set[Value] = set()
    for st in statements(draft.body):
        for e in s.walk(expressions(st)):
            if e not in seen:
                seen.add(e)
                units += s.COSTS.get(e.op, 1)
        if isinstance(st, Store):
            values.add(st.buffer)  # type: ignore[arg-type]
    for v in draft_values(draft):
        values.add(v)
    nbytes = sum(v.aval.nbytes for v in values)
    nests = max(len(draft.body), 1)
    return max(draft.elements * units / nests * 0.05, nbytes * 0.05)
