"""A Plan as bytes and back, so that a later process need not lower the Program again.

The bytes are JSON: lists, numbers and names, nothing that runs.  A plan with steps that hold
functions (callbacks) or pointers (loops over carried arrays) has no such form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, short_name
from tracejit.ir.kernel import (
    Accumulator,
    BufferParam,
    Carried,
    For,
    Kernel,
    Recurrence,
    Reduce,
    Statement,
    Store,
)
from tracejit.ir.plan import Copy, Launch, LibraryCall, Note, Plan, Repeat, Slot, Step
from tracejit.ir.program import Program, Source
from tracejit.ir.scalar import Expr, IndexVar, Loop, Size

__all__ = ["plan_from_bytes", "plan_to_bytes"]

MOST_CONSTANT = 1024
"""Bytes of a constant that is stored with the plan."""


class _NotStored(Exception):
    """A plan has no such form."""


def plan_to_bytes(plan: Plan, program: Program) -> bytes | None:
    """Return a plan as bytes, or None if it has no such form.

    Parameters
    ----------
    plan : Plan
        Of a Program without constants.
    program : Program
        Whose lines it refers to, by the numbers of equations.
    """
    try:
        text = json.dumps(_Writer(program).plan(plan)).encode()
    except _NotStored:
        return None
    # What the text of a kernel says and its stored form does not would be lost.
    for kernel, found in zip(plan.kernels, json.loads(text)["kernels"], strict=True):
        k = _StoredKernel(found)
        if Kernel(k.buffers, k.body, k.n_sizes, k.floats).text() != kernel.text():
            return None
    return text


def plan_from_bytes(text: bytes, program: Program) -> Plan | None:
    """Return the plan of `program` from its bytes, or None if they are none."""
    try:
        return _Reader(json.loads(text), program).plan()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None


class _Writer:
    def __init__(self, program: Program) -> None:
        self.lines: dict[Any, int] = {}
        for n, eq in enumerate(program.equations):
            self.lines.setdefault(_line(eq.source), n)
        self.avals: dict[ShapedArray, int] = {}

    def plan(self, plan: Plan) -> dict[str, Any]:
        return {
            "kernels": [_kernel_out(k) for k in plan.kernels],
            "steps": [self.step(x) for x in plan.steps],
            "slots": [[x.kind, x.number, self.aval(x.aval)] for x in plan.slots],
            "inputs": [self.aval(x) for x in plan.inputs],
            "outputs": [self.aval(x) for x in plan.outputs],
            "constants": [self.constant(x) for x in plan.constants],
            "arena": plan.arena_bytes,
            "aliases": list(plan.aliases.items()),
            "notes": [[x.text, self.source(x.source)] for x in plan.notes],
            "avals": [[a.shape, short_name(a.dtype), a.weak] for a in self.avals],
        }

    def aval(self, aval: ShapedArray) -> int:
        return self.avals.setdefault(aval, len(self.avals))

    def source(self, source: Source | None) -> int | None:
        return None if source is None else self.lines.get(_line(source))

    def constant(self, x: Any) -> list[Any]:
        if type(x) is not np.ndarray or x.nbytes > MOST_CONSTANT:
            raise _NotStored
        return [x.shape, short_name(x.dtype), x.tobytes().hex()]

    def step(self, step: Step) -> list[Any]:
        if isinstance(step, Launch):
            return ["launch", *step[:-1], [self.source(x) for x in step.sources]]
        if isinstance(step, LibraryCall):
            return ["library", *step[:-1], self.source(step.source)]
        if isinstance(step, Copy):
            return ["copy", *step]
        if isinstance(step, Repeat):
            return ["repeat", step.count, [self.step(x) for x in step.body]]
        raise _NotStored


class _Reader:
    def __init__(self, given: dict[str, Any], program: Program) -> None:
        self.given = given
        self.name, self.equations = program.name, program.equations
        self.avals = [ShapedArray(tuple(a), DTYPES[b], c) for a, b, c in given["avals"]]

    def plan(self) -> Plan:
        given, avals = self.given, self.avals
        return Plan(
            name=self.name,
            kernels=tuple([_StoredKernel(k) for k in given["kernels"]]),
            steps=tuple([self.step(x) for x in given["steps"]]),
            slots=tuple([Slot(kind, number, avals[a]) for kind, number, a in given["slots"]]),
            inputs=tuple([avals[n] for n in given["inputs"]]),
            outputs=tuple([avals[n] for n in given["outputs"]]),
            constants=tuple([
                np.frombuffer(bytes.fromhex(text), DTYPES[dtype]).reshape(shape)
                for shape, dtype, text in given["constants"]
            ]),
            arena_bytes=given["arena"],
            aliases=dict(given["aliases"]),
            notes=tuple([Note(text, self.source(n)) for text, n in given["notes"]]),
        )  # fmt: skip

    def source(self, n: int | None) -> Source | None:
        return None if n is None else self.equations[n].source

    def step(self, given: list[Any]) -> Step:
        kind, *rest = given
        if kind == "launch":
            kernel, slots, sizes, floats, rows, cost, lines = rest
            found = [self.source(n) for n in lines]
            sources = tuple([x for x in found if x is not None])
            return Launch(kernel, tuple(slots), tuple(sizes), tuple(floats), rows, cost, sources)
        if kind == "library":
            name, slots, params, line = rest
            return LibraryCall(name, tuple(slots), tuple(params), self.source(line))
        if kind == "copy":
            return Copy(*rest)
        count, body = rest
        return Repeat(count, tuple([self.step(x) for x in body]))


def _line(source: Source | None) -> Any:
    # The hash of a code object takes long.
    return source and (id(source.code), source.offset, source.scope)


# ------------------------------------------------------------------------------- kernels


class _StoredKernel(Kernel):
    """A kernel whose text is known, and whose body is made when it is asked for."""

    def __init__(self, given: dict[str, Any]) -> None:
        own = self.__dict__
        own["_text"] = given["text"]
        own["_given"] = given
        own["buffers"] = tuple([BufferParam(DTYPES[a], *b) for a, *b in given["buffers"]])
        own["n_sizes"] = given["sizes"]
        own["floats"] = tuple([DTYPES[a] for a in given["floats"]])

    def __getattr__(self, name: str) -> Any:
        if name != "body":
            raise AttributeError(name)
        body = self.__dict__["body"] = _body_in(self.__dict__["_given"])
        return body

    @property
    def parallel(self) -> bool:
        """Whether the kernel may be called in chunks of rows."""
        found: bool = self.__dict__["_given"]["parallel"]
        return found


def _kernel_out(kernel: Kernel) -> dict[str, Any]:
    numbers: dict[Expr, int] = {}
    nodes: list[Any] = []

    def expr(root: Expr | None) -> int | None:
        if root is None:
            return None
        for e in s.walk((root,)):
            if e not in numbers:
                numbers[e] = len(nodes)
                nodes.append([e.op, [numbers[a] for a in e.args], short_name(e.dtype), _attr(e)])
        return numbers[root]

    def loop(v: Loop) -> list[Any]:
        return [v.var.name, v.var.extent, _integer(v.lo), _integer(v.hi), v.vector]

    def statement(st: Statement) -> list[Any]:
        if isinstance(st, For):
            return ["for", loop(st.loop), [statement(x) for x in st.body], st.parallel]
        if isinstance(st, Reduce):
            own = [[a.name, a.op, expr(a.value), expr(a.index)] for a in st.accumulators]
            return ["reduce", [loop(v) for v in st.loops], own]
        if isinstance(st, Recurrence):
            carried = [[c.name, expr(c.initial), expr(c.following)] for c in st.carried]
            inner = [statement(x) for x in st.body]
            return ["recur", loop(st.loop), carried, inner, expr(st.condition)]
        return ["store", st.buffer, expr(st.offset), expr(st.value)]

    body = [statement(x) for x in kernel.body]
    return {
        "text": kernel.text(),
        "parallel": kernel.parallel,
        "buffers": [[short_name(b.dtype), *b[1:]] for b in kernel.buffers],
        "sizes": kernel.n_sizes,
        "floats": [short_name(d) for d in kernel.floats],
        "nodes": nodes,
        "body": body,
    }


def _integer(n: Any) -> Any:
    return [n.number] if isinstance(n, Size) else n


def _attr(e: Expr) -> Any:
    if e.op == "const":
        return s.value_of(e)
    if e.op == "index":
        return [e.attr.name, e.attr.extent]
    if e.op == "affine":
        constant, coefs = e.attr
        return [_integer(constant), [_integer(c) for c in coefs]]
    if e.attr is None or type(e.attr) in (int, str):
        return e.attr
    raise _NotStored


def _size(n: Any) -> Any:
    return Size(n[0]) if isinstance(n, list) else n


def _body_in(given: dict[str, Any]) -> tuple[Statement, ...]:
    variables: dict[tuple[str, int], IndexVar] = {}

    def variable(name: str, extent: int) -> IndexVar:
        return variables.setdefault((name, extent), IndexVar(name, extent))

    exprs: list[Expr] = []
    for op, args, dtype, attr in given["nodes"]:
        operands = tuple([exprs[n] for n in args])
        if op == "const":
            made = s.const(attr, DTYPES[dtype])
        elif op == "index":
            made = s.index(variable(*attr))
        elif op == "affine":
            constant, coefs = attr
            attr = (_size(constant), tuple([_size(c) for c in coefs]))
            made = s.raw(op, operands, DTYPES[dtype], attr)
        else:
            made = s.raw(op, operands, DTYPES[dtype], attr)
        exprs.append(made)

    def loop(found: Sequence[Any]) -> Loop:
        name, extent, lo, hi, vector = found
        return Loop(variable(name, extent), _size(lo), _size(hi), vector)

    def statement(found: list[Any]) -> Statement:
        return _STATEMENTS[found[0]](found, loop, statement, exprs)

    return tuple([statement(x) for x in given["body"]])


def _for(found: Any, loop: Any, statement: Any, exprs: Any) -> Statement:
    del exprs
    return For(loop(found[1]), tuple([statement(x) for x in found[2]]), found[3])


def _reduce(found: Any, loop: Any, statement: Any, exprs: Any) -> Statement:
    del statement
    accumulators = [
        Accumulator(name, op, exprs[value], None if index is None else exprs[index])
        for name, op, value, index in found[2]
    ]
    return Reduce(tuple([loop(v) for v in found[1]]), tuple(accumulators))


def _recurrence(found: Any, loop: Any, statement: Any, exprs: Any) -> Statement:
    carried = [Carried(name, exprs[first], exprs[then]) for name, first, then in found[2]]
    body = tuple([statement(x) for x in found[3]])
    condition = None if found[4] is None else exprs[found[4]]
    return Recurrence(loop(found[1]), tuple(carried), body, condition)


def _store(found: Any, loop: Any, statement: Any, exprs: Any) -> Statement:
    del loop, statement
    return Store(found[1], exprs[found[2]], exprs[found[3]])


_STATEMENTS: dict[str, Callable[..., Statement]] = {
    "for": _for,
    "recur": _recurrence,
    "reduce": _reduce,
    "store": _store,
}
