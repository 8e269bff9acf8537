"""Dead code: equations whose outputs nobody reads."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.errors import MissingRuleError
from tracejit.core.primitive import Primitive
from tracejit.core.source import describe
from tracejit.ir.program import Equation, Program, Var, sub_programs

__all__ = [
    "calls_host",
    "dce",
    "dce_rules",
    "has_effects",
    "keep_outputs",
    "quiet",
    "separate",
    "without_effects",
]

dce_rules: dict[Primitive, Callable[[Equation, tuple[bool, ...]], Equation]] = {}
"""Control operators that can do with fewer outputs.

``rule(equation, live) -> equation`` is called if only the outputs flagged in `live` are read
(some are, not all); it returns an equation of those outputs, perhaps with fewer inputs.
"""

separate: set[Primitive] = set()
"""Primitives whose outputs are their last operands, each for itself; they have a rule above."""

_effects: weakref.WeakKeyDictionary[Program, bool] = weakref.WeakKeyDictionary()


def has_effects(program: Program) -> bool:
    """Whether a Program does more than compute its outputs, in its sub-programs too."""
    found = _effects.get(program)
    if found is None:
        found = _effects[program] = any(_effectful(eq) for eq in program.equations)
    return found


def calls_host(eq: Equation) -> bool:
    """Whether an equation calls a function of the user, in its sub-programs too."""
    return eq.primitive.host or (
        eq.primitive.control
        and any(calls_host(inner) for _, sub in sub_programs(eq.params) for inner in sub.equations)
    )


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


_quiet: weakref.WeakKeyDictionary[Program, Program] = weakref.WeakKeyDictionary()


def without_effects(program: Program) -> Program:
    """Return `program` without effects and dead code, for a second run; memoised by its identity.

    Raises
    ------
    MissingRuleError
        If an output depends on what an effect returned: that cannot be had without it.
    """
    found = _quiet.get(program)
    if found is not None:
        return found
    live: set[Any] = {a for a in program.outputs if type(a) is Var}
    kept = []
    for eq in reversed(program.equations):
        if live.isdisjoint(eq.outputs):
            continue
        again = quiet(eq)
        if again is None:
            raise MissingRuleError(
                f"there is no computing again of what {eq.primitive} returned: a derivative "
                "needs it where the values of a loop are not kept (while_loop, grad(..., memory)), "
                "and calling it again would repeat its effect. Call it outside of the loop, or in "
                f"a scan whose values are kept\n  it was called at {describe(eq.source)}"
            )
        kept.append(again)
        live.update([a for a in eq.inputs if type(a) is Var])
    result = _quiet[program] = dce(program.replace(equations=tuple(reversed(kept))))
    return result


def quiet(eq: Equation) -> Equation | None:
    """Return an equation without effects, or None if what it returns depends on them."""
    if not _effectful(eq):
        return eq
    if eq.primitive.effectful:
        return None
    try:
        return eq._replace(params={name: _without(value) for name, value in eq.params.items()})
    except MissingRuleError:
        return None


def _without(param: Any) -> Any:
    if isinstance(param, Program):
        return without_effects(param)
    if isinstance(param, tuple) and any(isinstance(p, Program) for p in param):
        return tuple([_without(p) for p in param])
    return param
