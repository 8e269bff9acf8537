"""Dead code: equations whose outputs nobody reads."""

from __future__ import annotations

from collections.abc import Sequence

from tracejit.ir.program import Program, Var

__all__ = ["dce", "keep_outputs"]


def dce(program: Program) -> Program:
    """Return `program` without the equations and constants that do not reach an output.

    Equations with effects stay.  Inputs stay.  A Program with nothing to drop is returned as
    it is.
    """
    live = {a for a in program.outputs if type(a) is Var}
    kept = []
    for eq in reversed(program.equations):
        if eq.primitive.effectful or not live.isdisjoint(eq.outputs):
            kept.append(eq)
            live.update([a for a in eq.inputs if type(a) is Var])
    constants = [pair for pair in program.constants if pair[0] in live]
    if len(kept) == len(program.equations) and len(constants) == len(program.constants):
        return program
    return program.replace(equations=tuple(reversed(kept)), constants=constants)


def keep_outputs(program: Program, keep: Sequence[bool]) -> Program:
    """Return `program` with only the outputs flagged, and without what the others alone need."""
    outputs = [a for a, kept in zip(program.outputs, keep, strict=True) if kept]
    return dce(program.replace(outputs=outputs))
