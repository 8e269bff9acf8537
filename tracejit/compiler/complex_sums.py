"""Reductions of complex numbers by those of real ones, or of a few at a time.

``reduce_sum`` of complex numbers becomes two real sums, which share one loop; ``dot_general`` four
real products, which a matrix library computes like any others, or which are four sums of one loop.
The parts of the operands are taken where these are computed, the result is put together where it is
read.  What cannot be done by parts, products and extremes, is done with a few elements at a time,
by operations on elements, in as many rounds as it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.compiler.loaders import WRITTEN_OUT
from tracejit.core.primitive import PRIMITIVES
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_complex, real_of
from tracejit.ir.program import Atom, Equation, Literal, Program, Var

__all__ = ["split_sums"]


def split_sums(program: Program) -> Program:
    """Return `program` with the reductions and contractions of complex numbers rewritten.

    Parameters
    ----------
    program : Program
        Its contractions may be in canonical form, and stay so.
    """
    if not any(_is_split(eq) for eq in program.equations):
        return program
    equations: list[Equation] = []
    for eq in program.equations:
        if _is_split(eq):
            _Splitter(eq, equations).run()
        else:
            equations.append(eq)
    return program.replace(equations=equations)


def _is_split(eq: Equation) -> bool:
    if eq.primitive.name not in _RULES or not is_complex(eq.outputs[0].aval.dtype):
        return False
    x = eq.inputs[0].aval
    whole = eq.primitive.name in ("reduce_sum", "dot_general")
    return whole or math.prod(x.shape[a] for a in eq.params["axes"]) > WRITTEN_OUT


class _Splitter:
    """Writes the equations that one equation becomes."""

    def __init__(self, eq: Equation, out: list[Equation]) -> None:
        self.eq = eq
        self.out = out
        self.result = eq.outputs[0].aval

    def run(self) -> None:
        """Write them all."""
        x, y = _RULES[self.eq.primitive.name](self)
        self.out.append(
            Equation(PRIMITIVES["complex"], (x, y), {}, self.eq.outputs, self.eq.source)
        )

    def emit(self, name: str, *inputs: Atom, aval: ShapedArray, **params: Any) -> Var:
        """Write one equation and return its result."""
        v = Var(aval)
        self.out.append(Equation(PRIMITIVES[name], inputs, params, (v,), self.eq.source))
        return v

    def parts(self, a: Atom) -> list[Atom]:
        """Return the real and the imaginary part of an operand; of a real one, itself."""
        if not is_complex(a.aval.dtype):
            return [a]
        aval = ShapedArray(a.aval.shape, real_of(a.aval.dtype))
        if isinstance(a, Literal):
            number = np.asarray(a.value, a.aval.dtype)
            return [Literal(v.item(), aval) for v in (number.real, number.imag)]
        return [self.emit(name, a, aval=aval) for name in ("real", "imag")]

    def sum(self) -> tuple[Atom, Atom]:
        aval = ShapedArray(self.result.shape, real_of(self.result.dtype))
        x, y = (
            self.emit("reduce_sum", part, aval=aval, **self.eq.params)
            for part in self.parts(self.eq.inputs[0])
        )
        return x, y

    def rounds(self) -> tuple[Atom, Atom]:
        x, axes = self.eq.inputs[0], self.eq.params["axes"]
        shape, dtype, name = x.aval.shape, x.aval.dtype, self.eq.primitive.name
        rest = tuple(d for a, d in enumerate(shape) if a not in axes)
        # What is reduced becomes one axis, the first if it lies so, else the last.
        first = tuple(axes) == tuple(range(len(axes)))
        at = 0 if first else len(rest)

        def around(*lengths: int) -> tuple[int, ...]:
            return (*rest[:at], *lengths, *rest[at:])

        def emit(name: str, *inputs: Atom, to: Sequence[int], **params: Any) -> Var:
            return self.emit(name, *inputs, aval=ShapedArray(tuple(to), dtype), **params)

        def part(x: Atom, start: int, stop: int) -> Var:
            whole = [(0, d) for d in rest]
            bounds = [*whole[:at], (start, stop), *whole[at:]]
            low, high = (tuple(b[n] for b in bounds) for n in (0, 1))
            ones = (1,) * len(bounds)
            return emit(
                "slice", x, to=around(stop - start), starts=low, limits=high, strides=ones
            )

        count = math.prod(shape[a] for a in axes)
        if not first:
            order = (*(a for a in range(len(shape)) if a not in axes), *axes)
            if order != tuple(range(len(shape))):
                x = emit("transpose", x, to=[shape[a] for a in order], permutation=order)
        x = emit("reshape", x, to=around(count), shape=around(count))
        while count > WRITTEN_OUT:
            groups, more = divmod(count, WRITTEN_OUT)
            head = part(x, 0, count - more) if more else x
            shape = around(WRITTEN_OUT, groups)
            head = emit("reshape", head, to=shape, shape=shape)
            head = emit(name, head, to=around(groups), axes=(at,))
            if more:  # they wait for the next round
                tail = part(x, count - more, count)
                head = emit("concatenate", head, tail, to=around(groups + more), axis=at)
            x, count = head, groups + more
        if count > 1:
            x = emit(name, x, to=rest, axes=(at,))
        else:
            x = emit("reshape", x, to=rest, shape=rest)
        real, imag = self.parts(x)
        return real, imag

    def product(self) -> tuple[Atom, Atom]:
        params = {**self.eq.params}
        kind = real_of(self.result.dtype)
        aval = ShapedArray(self.result.shape, kind)
        if params["preferred"] is not None:
            params["preferred"] = kind
        first, second = (self.parts(a) for a in self.eq.inputs)

        def dot(n: int, m: int) -> Atom:
            return self.emit("dot_general", first[n], second[m], aval=aval, **params)

        return (
            self.emit("sub", dot(0, 0), dot(1, 1), aval=aval),
            self.emit("add", dot(0, 1), dot(1, 0), aval=aval),
        )


_RULES: dict[str, Callable[[_Splitter], tuple[Atom, Atom]]] = {
    "reduce_sum": _Splitter.sum,
    "dot_general": _Splitter.product,
    "reduce_prod": _Splitter.rounds,
    "reduce_max": _Splitter.rounds,
    "reduce_min": _Splitter.rounds,
}
