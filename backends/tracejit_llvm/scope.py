"""Scope: expressions of a kernel, each emitted in the outermost region that has its operands.

Within *lanes* (a vector loop) an expression that depends on the vector variable has one LLVM vector
a part; `parts` vectors make one trip of the loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracejit.ir.dtypes import is_float
from tracejit.ir.kernel import Store
from tracejit.ir.scalar import COMPARISONS, Expr, IndexVar, split_affine, value_of
from tracejit_llvm.functions import define, function_name, vector_function
from tracejit_llvm.memory import Memory, steps
from tracejit_llvm.regions import Value
from tracejit_llvm.scalars import chosen, convert, pointwise
from tracejit_llvm.text import Code, constant, element, vector

__all__ = ["Scope"]


class Scope(Memory):
    """Emits the expressions of one kernel.

    Attributes
    ----------
    outlined : frozenset of str
        Operations that are called as functions instead of being written out.
    """

    outlined: frozenset[str] = frozenset()

    # ---------------------------------------------------------------- expressions
    def value(self, e: Expr) -> Value:
        """Return the value of an expression, emitting what is not there yet."""
        memo, regions = self.memo, self.regions
        stack = [e]
        while stack:
            x = stack[-1]
            if x in memo:
                stack.pop()
                continue
            args: Sequence[Expr] = x.args
            if args:
                if x.op == "load":
                    args = self.offset_terms(args[0])
                waiting = [a for a in args if a not in memo]
                if waiting:
                    stack += waiting
                    continue
            stack.pop()
            memo[x] = value = self._computed(x)
            regions[value.depth].owned.append(x)
        found: Value = memo[e]
        return found

    def offset_terms(self, offset: Expr) -> list[Expr]:
        """Return the terms of an offset that are needed as values: all but the vector variable."""
        own = self.lanes.var if self.lanes else None
        return [
            t for _, t in split_affine(offset)[1] if not (t.op == "index" and t.attr is own)
        ]

    def _computed(self, e: Expr) -> Value:
        op = e.op
        if op == "const":
            return Value((constant(value_of(e), e.dtype),), False, 0)
        if op == "load":
            return self.load(e)
        if op == "affine":
            return self._affine(e)
        if op == "index":
            return self._lane_index(e.attr)
        if op == "float":
            return self._float(e)
        assert op != "ref", f"{e.attr} is used outside the body that computes it"
        memo = self.memo
        values: list[Value] = [memo[a] for a in e.args]
        depth, wide = 0, False
        for v in values:
            depth = max(depth, v.depth)
            wide = wide or v.vector
        code = self.regions[depth].code
        lanes = self.lanes
        width = 0
        operands = [v.names for v in values]
        if lanes is not None and wide:
            width = lanes.width
            for n, v in enumerate(values):
                if not v.vector:
                    operands[n] = self.spread(e.args[n], v)
        # One name each, or one a part.
        names = tuple([self._one(code, e, width, own) for own in zip(*operands, strict=True)])
        return Value(names, width > 0, depth)

    def _float(self, e: Expr) -> Value:
        """Return a float argument: a scalar, in short code a vector of a table."""
        scalar = element(e.dtype)
        lanes = self.lanes
        if self.brief and lanes is not None:
            full, depth = vector(scalar, lanes.width), lanes.depth
            table = self.tables.setdefault((scalar, lanes.width), f"%table{len(self.tables)}")
            code = self.regions[depth].code
            at = code.op(f"getelementptr {full}, ptr {table}, i64 {e.attr}")
            return Value((code.op(f"load {full}, ptr {at}"),) * lanes.parts, True, depth)
        at = self.pure(0, f"getelementptr double, ptr %floats, i64 {e.attr}")
        name = self.pure(0, f"load double, ptr {at}")
        if scalar == "float":
            name = self.pure(0, f"fptrunc double {name} to float")
        return Value((name,), False, 0)

    def filled_tables(self) -> list[str]:
        """Return the instructions that spread the float arguments to vectors, on the stack."""
        count = len(self.kernel.floats)
        lines = [
            f"  {table} = alloca [{count} x {vector(scalar, width)}]"
            for (scalar, width), table in self.tables.items()
        ]
        for (scalar, width), table in self.tables.items():
            name = vector_function("fill", scalar, width)
            self.module.declare("void", name, ["ptr", "ptr", "i64"])
            lines.append(f"  call void @{name}(ptr {table}, ptr %floats, i64 {count})")
        return lines

    def _one(self, code: Code, e: Expr, width: int, operands: tuple[str, ...]) -> str:
        if e.op == "convert":
            return convert(code, operands[0], e.args[0].dtype, e.dtype, width)
        if e.op == "bitcast":
            source = vector(element(e.args[0].dtype), width)
            return code.op(f"bitcast {source} {operands[0]} to {vector(element(e.dtype), width)}")
        if e.op in self.outlined and is_float(e.dtype):
            return self._call(code, e, width, operands)
        scalar = not width and not self.brief and is_float(e.dtype)
        if e.op == "select" and scalar and not _compares(e.args[0]):
            return chosen(code, e.dtype, operands)
        return pointwise(code, e.op, e.args[-1].dtype, width, operands)

    def _call(self, code: Code, e: Expr, width: int, operands: tuple[str, ...]) -> str:
        """Call a mathematical function that is used too often to be written out every time."""
        scalar = element(e.dtype)
        name = function_name(e.op, scalar, width)
        full = vector(scalar, width)
        if self.brief:
            return code.call(full, name, *[(full, a) for a in operands])
        name = define(self.module, e.op, e.dtype, width, len(operands), internal=True)
        arguments = ", ".join(f"{full} {a}" for a in operands)
        return code.op(f"call {full} @{name}({arguments})")

    def _lane_index(self, var: IndexVar) -> Value:
        lanes = self.lanes
        assert lanes is not None, f"{var} is used outside its loop"
        assert var is lanes.var, f"{var} is used outside its loop"
        n, depth = lanes.width, lanes.depth
        first = self.splat(lanes.iv, "i64", depth)
        full = vector("i64", n)
        names = tuple(
            self.pure(depth, f"add {full} {first}, {steps(p * n, n, 1)}")
            for p in range(lanes.parts)
        )
        return Value(names, True, depth)

    def _affine(self, e: Expr) -> Value:
        constant_, terms = split_affine(e)
        scalars, vectors = [], []
        for c, t in terms:
            v: Value = self.memo[t]
            if v.vector:
                vectors.append((c, v))
            else:
                scalars.append(self.product(c, v, v.names[0]))
        known, layers = self.layered(constant_, scalars)
        # A variable of a loop that is written out is a literal, but of its trip only.
        total, depth = "", max([0, *(self.memo[t].depth for _, t in terms)])
        place = 0
        for at, name in layers:
            total = self.pure(at, f"add i64 {total}, {name}") if total else name
            place = at
        if known or not total:
            total = self.pure(place, f"add i64 {total}, {known}") if total else str(known)
        if not vectors:
            return Value((total,), False, depth)
        lanes = self.lanes
        assert lanes is not None
        full = vector("i64", lanes.width)
        base = self.splat(total, "i64", max(depth, lanes.depth - 1))
        sums = [base] * lanes.parts
        for c, v in vectors:
            depth = max(depth, v.depth)
            factor = self.splat(str(self.integer(c)), "i64", lanes.depth - 1)
            for p, name in enumerate(v.names):
                term = name if c == 1 else self.pure(v.depth, f"mul {full} {name}, {factor}")
                sums[p] = self.pure(depth, f"add {full} {sums[p]}, {term}")
        return Value(tuple(sums), True, depth)

    def stores(self, group: Sequence[Store]) -> None:
        """Emit consecutive stores: all their loads, then all of them."""
        ready = []
        for s in group:
            value = self.value(s.value)
            for t in self.offset_terms(s.offset):
                self.value(t)
            ready.append((s, value))
        code = self.code
        done = False
        for n, (s, value) in enumerate(ready):
            if done:
                done = False
                continue
            following = ready[n + 1] if n + 1 < len(ready) else None
            done = following is not None and self.stores_pairs(s, following[0])
            if done and following is not None:
                self.store_pairs(code, s, value, *following)
            else:
                self.store(code, s, value)
        self.forget(frozenset(s.buffer for s in group))


def _compares(e: Expr) -> bool:
    """Whether an expression compares floats."""
    return e.op in COMPARISONS and is_float(e.args[0].dtype)
