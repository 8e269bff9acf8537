"""From a simplified Program to a Block: loaders composed, tasks grouped, the rest opaque.

An equation is *opaque* if no loop nest computes it: control flow, calls of a library, and what has
no lowering rule (it runs by a counted callback to its NumPy meaning).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracejit.compiler.complex_sums import split_sums
from tracejit.compiler.contract import SMALL_MATRIX, canonicalise, stacks
from tracejit.compiler.fuse import decide, is_written_out
from tracejit.compiler.group import MOST_APART, group_tasks
from tracejit.compiler.libraries import library_call
from tracejit.compiler.loaders import Loader, LoopBuilder, NeedStore, NotNative
from tracejit.compiler.values import Block, Group, Item, Opaque, Task, Value
from tracejit.core.primitive import lower
from tracejit.ir.dtypes import is_inexact
from tracejit.ir.plan import Note
from tracejit.ir.program import Atom, Equation, Literal, Program, Source, Var, sub_programs
from tracejit.ir.target import Target

__all__ = ["build_block"]

_DOT_FLOATS = ("float32", "float64")
_REDUCING = ("argmax", "argmin", "dot_general", "overlap_add")


def build_block(program: Program, target: Target) -> Block:
    """Return the Block of a simplified Program.

    Parameters
    ----------
    program : Program
        Without calls; contractions canonical, sums real.
    target : Target
        What kernels and libraries can do.
    """
    return _Builder(program, target).build()


class _Builder:
    def __init__(self, program: Program, target: Target) -> None:
        self.program = program
        self.target = target
        self.forced: set[Var] = set()
        self.opaque: dict[int, str] = {}
        self.bodies: dict[int, tuple[Block, ...]] = {}
        for n, eq in enumerate(program.equations):
            why = self._why_opaque(eq)
            if why:
                self.opaque[n] = why
            bodies = [p for _, p in sub_programs(eq.params)] if eq.primitive.control else []
            if bodies:
                self.bodies[n] = tuple(
                    build_block(split_sums(canonicalise(p)), target) for p in bodies
                )

    def _why_opaque(self, eq: Equation) -> str:
        if eq.primitive.control:
            return "control flow"
        if eq.primitive.effectful:
            return "an effect"
        if eq.primitive.name == "dot_general":
            return self._why_library(eq)
        why = lower.absent.get(eq.primitive, "")
        return "a library call" if why and library_call(eq, self.target) is not None else why

    def _why_library(self, eq: Equation) -> str:
        form = stacks(eq)
        dtype = eq.outputs[0].aval.dtype
        if form is None:
            return "a contraction of another form"
        _, m, n, k, _, _ = form
        small = max(m, n, k) <= SMALL_MATRIX
        vector = m == 1 or n == 1
        loops = small or vector or dtype.name not in _DOT_FLOATS
        if loops or "matmul" not in self.target.libraries:
            return ""
        return "matrix library"

    def build(self) -> Block:
        while True:
            try:
                return self._attempt()
            except NeedStore as need:
                self.forced.update(self.vars[id(need.loader)])
            except NotNative as error:
                owner = error.owner
                number = next(
                    n for n, eq in enumerate(self.program.equations) if eq is owner
                )
                self.opaque[number] = f"no kernel for {error}"

    def _attempt(self) -> Block:
        program = self.program
        k = LoopBuilder(self.target.natively)
        block = Block([Value(v.aval, "input", n) for n, v in enumerate(program.inputs)], k)
        self.env: dict[Var, Loader] = {}
        self.fused: dict[Var, int] = {}  # by which equation, of what is not stored
        self.values: dict[Var, Value] = dict(zip(program.inputs, block.inputs, strict=True))
        # What to store where a loader must not be computed within a reduction.
        self.vars: dict[int, list[Var]] = {}
        self.block = block
        self.k = k
        for v, array in program.constants:
            self.values[v] = self._constant(v.aval, array)
        reductions = self._reductions()
        lanes = self.target.kind == "cpu"
        stored = decide(program, set(self.opaque), self.forced, reductions, lanes)
        items: list[Task | Item] = []
        for n, eq in enumerate(program.equations):
            if n in self.opaque:
                items.append(self._opaque_item(n, eq))
            elif not self._alias(eq):
                self._native(n, eq, stored, items)
        block.outputs = [self._value(a) for a in program.outputs]
        block.items = group_tasks(k, items, MOST_APART if lanes else math.inf)
        self._note(block, stored, reductions)
        return block

    def _reductions(self) -> set[Var]:
        out: set[Var] = set()
        for n, eq in enumerate(self.program.equations):
            name = eq.primitive.name
            reduces = name in _REDUCING or (name.startswith("reduce_") and not is_written_out(eq))
            if reduces and n not in self.opaque:
                out.update(eq.outputs)
        return out

    # ------------------------------------------------------------------- values

    def _constant(self, aval: Any, array: Any) -> Value:
        value = Value(aval, "constant", len(self.block.constants))
        self.block.constants.append((value, array))
        return value

    def _value(self, a: Atom) -> Value:
        if isinstance(a, Literal):
            return self._constant(a.aval, np.asarray(a.value, a.aval.dtype))
        return self.values[a]

    def _loader(self, a: Atom) -> Loader:
        if isinstance(a, Literal):
            return self.k.constant(a.value, a.aval.dtype)
        found = self.env.get(a)
        if found is None:
            found = self.k.load(self.values[a])
            self.env[a] = found
            self.vars[id(found)] = [a]
        return found

    # -------------------------------------------------------------------- items

    def _opaque_item(self, n: int, eq: Equation) -> Opaque:
        inputs = tuple(self._value(a) for a in eq.inputs)
        outputs = tuple(Value(v.aval) for v in eq.outputs)
        self.values.update(zip(eq.outputs, outputs, strict=True))
        return Opaque(eq, inputs, outputs, self.bodies.get(n, ()))

    def _alias(self, eq: Equation) -> bool:
        """Let a reshape share the memory of its operand, if that is in memory.

        Its elements then lie at their own number, which no division computes.
        """
        if eq.primitive.name != "reshape":
            return False
        (a,), (out,) = eq.inputs, eq.outputs
        if not isinstance(a, Var) or a not in self.values:
            return False
        self.values[out] = Value(out.aval, base=self.values[a])
        return True

    def _native(
        self, n: int, eq: Equation, stored: set[Var], items: list[Task | Item]
    ) -> None:
        loaders = [self._loader(a) for a in eq.inputs]
        try:
            if eq.primitive.name == "dot_general":
                result = self._small_product(eq, loaders)
            else:
                result = lower[eq.primitive](self.k, *loaders, **eq.params)
        except NotNative as error:
            error.owner = error.owner or eq
            raise
        results: list[Any] = result if eq.primitive.multiple else [result]  # type: ignore[assignment]
        for v, function in zip(eq.outputs, results, strict=True):
            loader = function
            if not isinstance(function, Loader):
                loader = self.k.loader(v.aval, function)
            loader.owner = eq
            self.vars[id(loader)] = [v]
            if v in stored:
                value = Value(v.aval)
                items.append(Task(value, loader, loader.reduces, self._sources(n)))
                self.values[v] = value
            else:
                self.env[v] = loader
                self.fused[v] = n

    def _sources(self, last: int) -> tuple[Source, ...]:
        """Return the lines of an equation and of those that are computed where it reads them."""
        numbers, pending = {last}, [last]
        while pending:
            for a in self.program.equations[pending.pop()].inputs:
                n = self.fused.get(a) if isinstance(a, Var) else None
                if n is not None and n not in numbers:
                    numbers.add(n)
                    pending.append(n)
        found: dict[Any, Source] = {}
        for n in sorted(numbers):
            source = self.program.equations[n].source
            if source is not None:  # the hash of a code object takes long
                found.setdefault((id(source.code), source.offset, source.scope), source)
        return tuple(found.values())

    def _small_product(self, eq: Equation, loaders: list[Loader]) -> Loader:
        form = stacks(eq)
        assert form is not None
        batch, m, n, inner, ta, tb = form
        x, y = loaders
        k = self.k
        dtype = eq.outputs[0].aval.dtype
        aval = eq.outputs[0].aval.update(shape=(batch, m, n, inner))

        def product(index: Any) -> Any:
            b, i, j, r = index
            left = x((b, r, i) if ta else (b, i, r))
            right = y((b, j, r) if tb else (b, r, j))
            return k.apply(
                "mul" if dtype.kind != "b" else "and",
                k.apply_convert(left, dtype),
                k.apply_convert(right, dtype),
            )

        op = "or" if dtype.kind == "b" else "add"
        products = k.loader(aval, product)
        self.vars[id(products)] = [
            a for a in eq.inputs if isinstance(a, Var) and a not in self.values
        ]
        reduced = k.reduce(op, products, (3,))
        return k.loader(eq.outputs[0].aval, reduced, reduces=reduced.reduces)

    # -------------------------------------------------------------------- notes

    def _note(self, block: Block, stored: set[Var], reductions: set[Var]) -> None:
        outputs = set(self.program.outputs)
        readers = {
            a: self.program.equations[n].primitive.name
            for n in self.opaque
            for a in self.program.equations[n].inputs
            if isinstance(a, Var)
        }
        for n, why in self.opaque.items():
            eq = self.program.equations[n]
            if not eq.primitive.control:
                block.notes.append(Note(f"{eq.primitive}: not fused: {why}", eq.source))
        for n, eq in enumerate(self.program.equations):
            for v in eq.outputs:
                tells = is_inexact(v.aval.dtype) and v.aval.size > 1
                if v in stored and v not in outputs and tells:
                    why = (
                        "no kernel computes it" if n in self.opaque
                        else "reductions are not computed again" if v in reductions
                        else f"{readers[v]} reads it" if v in readers
                        else "a reduction reads it" if v in self.forced
                        else "it costs too much to be computed wherever it is read"
                    )  # fmt: skip
                    text = f"{eq.primitive} {v.aval}: stored in memory: {why}"
                    block.notes.append(Note(text, eq.source))
        kernels = sum(isinstance(item, Group) for item in block.items)
        text = f"{len(self.program.equations)} equations in {kernels} kernels"
        block.notes.append(Note(text))
