"""Sums of complex numbers as sums of their parts.

``reduce_sum`` of complex numbers becomes two real sums, which share one loop; ``dot_general`` four
real products, which a matrix library computes like any others, or which are four sums of one loop.
The parts of the operands are taken where these are computed, the result is put together where it is
read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.core.primitive import PRIMITIVES
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_complex, real_of
from tracejit.ir.program import Atom, Equation, Literal, Program, Var

__all__ = ["split_sums"]


def split_sums(program: Program) -> Program:
    """Return `program` with the sums and contractions of complex numbers done by parts.

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
    return eq.primitive.name in _RULES and is_complex(eq.outputs[0].aval.dtype)


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
            return [Literal(v[()], aval) for v in (number.real, number.imag)]
        return [self.emit(name, a, aval=aval) for name in ("real", "imag")]

    def sum(self) -> tuple[Atom, Atom]:
        aval = ShapedArray(self.result.shape, real_of(self.result.dtype))
        x, y = (
            self.emit("reduce_sum", part, aval=aval, **self.eq.params)
            for part in self.parts(self.eq.inputs[0])
        )
        return x, y

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
}
