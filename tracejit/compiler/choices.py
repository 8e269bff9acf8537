"""Choices: what nested batching asks or gives twice is asked and given once.

A batch of loops chooses, in each trip, between the new and the old values of each lane; a batch of
batches chooses once more for each lane of lanes, by whether any lane in it goes on.  Where none
does, the inner choice is that of the old values already.  And the constants of conditions become
constants of bodies, which have them already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.ir.program import Atom, Equation, Program, Var

__all__ = ["given_once", "once"]


def once(program: Program) -> Program:
    """Return `program` with reductions of reductions joined, and without needless choices.

    ``any(any(x))`` becomes one ``any``; ``select(any(x), select(x, a, b), b)``, in which the first
    condition is broadcast, becomes ``select(x, a, b)``.
    """
    names = {eq.primitive.name for eq in program.equations}
    if "reduce_or" not in names:
        return program
    made: dict[Atom, Equation] = {v: eq for eq in program.equations for v in eq.outputs}
    env: dict[Atom, Atom] = {}
    equations = []
    for eq in program.equations:
        found = eq._replace(inputs=tuple([env.get(a, a) for a in eq.inputs]))
        if found.primitive.name == "reduce_or":
            found = _joined(found, made)
        elif found.primitive.name == "select":
            inner = _needless(found, made)
            if inner is not None:
                env[eq.outputs[0]] = inner
                continue
        equations.append(found)
        for v in found.outputs:
            made[v] = found
    return program.replace(equations=equations, outputs=[env.get(a, a) for a in program.outputs])


def _joined(eq: Equation, made: dict[Atom, Equation]) -> Equation:
    inner = made.get(eq.inputs[0])
    if inner is None or inner.primitive is not eq.primitive:
        return eq
    kept = _kept(inner)
    axes = (*inner.params["axes"], *(kept[a] for a in eq.params["axes"]))
    return eq._replace(inputs=inner.inputs, params={**eq.params, "axes": tuple(sorted(axes))})


def _needless(eq: Equation, made: dict[Atom, Equation]) -> Atom | None:
    """Return the inner choice if the outer one does nothing."""
    which, new, old = eq.inputs
    inner = made.get(new)
    if inner is None or inner.primitive is not eq.primitive or inner.inputs[2] is not old:
        return None
    outer_flags, outer_axes = _broadcast(which, made)
    flags, axes = _broadcast(inner.inputs[0], made)
    asked = made.get(outer_flags)
    if asked is None or asked.primitive.name != "reduce_or" or asked.inputs[0] is not flags:
        return None
    return new if [axes[a] for a in _kept(asked)] == list(outer_axes) else None


def _kept(eq: Equation) -> list[int]:
    """Return the axes that a reduction leaves."""
    return [a for a in range(eq.inputs[0].aval.ndim) if a not in eq.params["axes"]]


def _broadcast(a: Atom, made: dict[Atom, Equation]) -> tuple[Atom, Sequence[int]]:
    """Return what is broadcast, and to which axes."""
    eq = made.get(a) if isinstance(a, Var) else None
    if eq is None or eq.primitive.name != "broadcast_in_dim":
        return a, range(a.aval.ndim)
    source = eq.inputs[0]
    axes = eq.params["axes"]
    lengths = [eq.params["shape"][k] for k in axes]
    return (source, axes) if list(source.aval.shape) == lengths else (a, range(a.aval.ndim))


_CONSTANTS = {
    "scan": (("program", "n_consts"),),
    "while_loop": (("cond_program", "cond_nconsts"), ("body_program", "body_nconsts")),
}
"""Of loops: their Programs, and how many of the operands are constants of each, in order."""


def given_once(
    name: str, inputs: tuple[Atom, ...], params: dict[str, Any]
) -> tuple[tuple[Atom, ...], dict[str, Any]]:
    """Return the operands and params of a loop that is given each constant once.

    Parameters
    ----------
    name : str
        Of the primitive.
    inputs : tuple of Atom
        Its operands.
    params : dict
        Its params.
    """
    first, kept, params = 0, list[Atom](), dict(params)
    for of_program, of_count in _CONSTANTS.get(name, ()):
        program, count = params[of_program], params[of_count]
        constants = inputs[first : first + count]
        first += count
        seen: dict[Any, Var] = {}
        env: dict[Atom, Atom] = {}
        for a, v in zip(constants, program.inputs, strict=False):
            known = seen.setdefault((a, v.aval) if isinstance(a, Var) else id(v), v)
            if known is v:
                kept.append(a)
            else:
                env[v] = known
        if env:
            equations = [
                eq._replace(inputs=tuple([env.get(a, a) for a in eq.inputs]))
                for eq in program.equations
            ]
            params[of_program] = program.replace(
                inputs=[v for v in program.inputs if v not in env],
                equations=equations,
                outputs=[env.get(a, a) for a in program.outputs],
            )
            params[of_count] = count - len(env)
    return (*kept, *inputs[first:]), params
