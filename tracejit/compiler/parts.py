"""Parts: complex loads and stores become those of real and imaginary parts.

Complex arrays lie in memory as NumPy has them, the parts of an element side by side.  Element ``i``
is thus the reals ``2 i`` and ``2 i + 1`` of the same buffer, which a kernel sees as real
(:attr:`tracejit.ir.kernel.BufferParam.pairs` says that it comes in pairs).  Everything else that is
complex was written with parts before.  This is done last, when a kernel is assembled, so that
fusion, schedules and the plan of memory see elements.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracejit.compiler.values import Value
from tracejit.ir import scalar as s
from tracejit.ir.dtypes import is_complex
from tracejit.ir.kernel import (
    Accumulator,
    Carried,
    For,
    Recurrence,
    Reduce,
    Statement,
    Store,
    expressions,
    statements,
)
from tracejit.ir.scalar import Expr

__all__ = ["separated"]

KEPT = 7
"""Greatest constant of an offset in elements of which that in parts stays within the kernel."""


def separated(body: Sequence[Statement]) -> tuple[Statement, ...]:
    """Return statements over Values with every complex load and store as two real ones."""
    body = tuple(body)
    if not any(_is_complex(st) for st in statements(body)):
        return body
    return _body(body)


def _is_complex(st: Statement) -> bool:
    if isinstance(st, Store) and is_complex(st.value.dtype):
        return True
    return any(e.op in ("real", "imag") for e in s.walk(expressions(st)))


def _body(body: Sequence[Statement]) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for st in body:
        if isinstance(st, For):
            out.append(For(st.loop, _body(st.body), st.parallel))
        elif isinstance(st, Reduce):
            out.append(Reduce(st.loops, tuple(_accumulator(a) for a in st.accumulators)))
        elif isinstance(st, Recurrence):
            out.append(_recurrence(st))
        elif is_complex(st.value.dtype):
            (at,) = s.substitute([st.offset], _part)
            values = s.substitute([s.real(st.value), s.imag(st.value)], _part)
            out += [Store(st.buffer, _offset(at, n), v) for n, v in enumerate(values)]
        else:
            out.append(Store(st.buffer, *s.substitute([st.offset, st.value], _part)))
    return tuple(out)


def _accumulator(a: Accumulator) -> Accumulator:
    value, *rest = s.substitute([x for x in (a.value, a.index) if x is not None], _part)
    return Accumulator(a.name, a.op, value, rest[0] if rest else None)


def _recurrence(st: Recurrence) -> Recurrence:
    """Carried values are real already."""
    new = iter(s.substitute(expressions(st), _part))
    carried = tuple(Carried(c.name, next(new), next(new)) for c in st.carried)
    return Recurrence(st.loop, carried, _body(st.body), next(new, None))


def _part(e: Expr) -> Expr | None:
    if e.op not in ("real", "imag"):
        return None
    (load,) = e.args
    assert load.op == "load", f"a complex {load.op} has no parts"
    value: Value = load.attr
    (at,) = s.substitute(load.args, _part)
    return s.raw("load", (_offset(at, int(e.op == "imag")),), e.dtype, value)


def _offset(element: Expr, part: int) -> Expr:
    """Return the offset of a part of an element.

    The constant of an element that will be lifted out of the kernel is a term of its own, so that
    the text still says which part is meant.
    """
    constant, terms = s.split_ints(element)
    doubled = [(2 * c, t) for c, t in terms]
    if abs(constant) > KEPT:
        doubled.append((2 * constant, s.const(1, s.I64)))
        constant = 0
    elif not doubled:
        return s.const(2 * constant + part, s.I64)
    coefficients = tuple(c for c, _ in doubled)
    return s.raw("affine", tuple(t for _, t in doubled), s.I64, (2 * constant + part, coefficients))
