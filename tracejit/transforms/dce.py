"""Dead code: equations whose outputs nobody reads."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.primitive import Primitive
from tracejit.ir.program import Equation, Program, Var, sub_programs

__all__ = ["dce", "dce_rules", "has_effects", "keep_outputs"]

dce_rules: dict[Primitive, Callable[[Equation, tuple[bool, ...]], Equation]] = {}
"""Control operators that can do with fewer outputs.

``rule(equation, live) -> equation`` is called if only the outputs flagged in `live` are read
(some are, not all); it returns an equation of those outputs, perhaps with fewer inputs.
"""

_effects: weakref.WeakKeyDictionary[Program, bool] = weakref.WeakKeyDictionary()


def has_effects(program: Program) -> bool:
    """Whether a Program does more than compute its outputs, in its sub-programs too."""
    found = _effects.get(program)
    if found is None:
        found = _effects[program] = any(_effectful(eq) for eq in program.equations)
    return found


def _effectful(eq: Equation) -> bool:
    return eq.primitive.effectful or (
        eq.primitive.control and any(has_effects(sub) for _, sub in sub_programs(eq.params))
    )


def dce(program: Program) -> Program:
    """Return `program` without the equations and constants that do not reach an output.

    Equations with effects stay.  Inputs stay.  A Program with nothing to drop is returned as
    it is.
    """
    live: set[Any] = {a for a in program.outputs if type(a) is Var}
    kept = []
    changed = False
    for eq in reversed(program.equations):
        if live.isdisjoint(eq.outputs):
            if not _effectful(eq):
                changed = True
                continue
        elif len(eq.outputs) > 1 and not live.issuperset(eq.outputs):
            rule = dce_rules.get(eq.primitive)
            if rule is not None and not _effectful(eq):
                eq = rule(eq, tuple([v in live for v in eq.outputs]))
                changed = True
        kept.append(eq)
        live.update([a for a in eq.inputs if type(a) is Var])
    constants = [pair for pair in program.constants if pair[0] in live]
    if not changed and len(constants) == len(program.constants):
        return program
    return program.replace(equations=tuple(reversed(kept)), constants=constants)


def keep_outputs(program: Program, keep: Sequence[bool]) -> Program:
    """Return `program` with only the outputs flagged, and without what the others alone need."""
    outputs = [a for a, kept in zip(program.outputs, keep, strict=True) if kept]
    return dce(program.replace(outputs=outputs))
