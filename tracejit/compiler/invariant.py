"""Invariant: sums, products and library calls that are the same in each trip are computed once.

What a loop computes from its constants alone moves before it, if it is more than operations on
elements (which cost less to repeat where they are read than to store), and not larger than what it
is computed from or :data:`LARGEST`.  Loops inside loops go first, so that what no loop changes
comes out of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.ir.program import Atom, Equation, Program, Var

__all__ = ["hoist"]

LARGEST = 1 << 16
"""Elements that a result may have whatever it is computed from."""

_MOVED = frozenset(
    ("dot_general", "conv_general_dilated", "fft", "sort", "argmax", "argmin", "cumsum", "cumprod",
     "cummax", "cummin", "cholesky", "lu", "qr", "eigh", "svd", "eig", "triangular_solve")
)  # fmt: skip


def hoist(program: Program) -> Program:
    """Return an equal Program, what is invariant in its loops before them; itself if nothing is."""
    if not any(eq.primitive.control for eq in program.equations):
        return program
    equations: list[Equation] = []
    for eq in program.equations:
        moved, loop = _apart(_inside(eq))
        equations += moved
        equations.append(loop)
    same = all(a is b for a, b in zip(equations, program.equations, strict=False))
    return program if same else program.replace(equations=equations)


def _inside(eq: Equation) -> Equation:
    """Return an equation with this done to its sub-programs."""
    if not eq.primitive.control:
        return eq
    params: dict[str, Any] = {}
    for name, value in eq.params.items():
        if isinstance(value, Program):
            value = hoist(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Program):
            inner = tuple(hoist(p) for p in value)
            if any(a is not b for a, b in zip(inner, value, strict=True)):
                value = inner
        params[name] = value
    same = all(value is eq.params[name] for name, value in params.items())
    return eq if same else eq._replace(params=params)


def _apart(eq: Equation) -> tuple[list[Equation], Equation]:
    """Return what moves before a loop, and the loop without it."""
    if eq.primitive.name == "scan":
        before, count, name = 0, "n_consts", "program"
    elif eq.primitive.name == "while_loop":
        before, count, name = eq.params["cond_nconsts"], "body_nconsts", "body_program"
    else:
        return [], eq
    body: Program = eq.params[name]
    n = eq.params[count]
    given: dict[Var, Atom] = dict(zip(body.inputs[:n], eq.inputs[before : before + n], strict=True))
    still = _still(body, set(given))
    wanted = [v for e in still for v in e.outputs if _pays(e)]
    if not wanted:
        return [], eq
    moved: list[Equation] = []
    needed: set[Any] = set(wanted)
    for e in reversed(still):
        if not needed.isdisjoint(e.outputs):
            moved.append(e)
            needed.update(e.inputs)
    env: dict[Var, Atom] = dict(given)
    outside = []
    for e in reversed(moved):
        outputs = tuple(Var(v.aval) for v in e.outputs)
        inputs = tuple(env.get(a, a) if isinstance(a, Var) else a for a in e.inputs)
        outside.append(e._replace(inputs=inputs, outputs=outputs))
        env.update(zip(e.outputs, outputs, strict=True))
    gone = set(wanted)
    inner = body.replace(
        inputs=(*body.inputs[:n], *wanted, *body.inputs[n:]),
        equations=[e for e in body.equations if gone.isdisjoint(e.outputs)],
    )
    at = before + n
    operands = (*eq.inputs[:at], *(env[v] for v in wanted), *eq.inputs[at:])
    params = {**eq.params, name: inner, count: n + len(wanted)}
    return outside, eq._replace(inputs=operands, params=params)


def _still(body: Program, known: set[Var]) -> list[Equation]:
    """Return the equations of a body that depend on `known` alone, in order."""
    found = []
    for e in body.equations:
        plain = not (e.primitive.effectful or e.primitive.control or e.primitive.host)
        if plain and e.inputs and all(not isinstance(a, Var) or a in known for a in e.inputs):
            found.append(e)
            known.update(e.outputs)
    return found


def _pays(eq: Equation) -> bool:
    name = eq.primitive.name
    if name not in _MOVED and not name.startswith("reduce_"):
        return False
    size = _elements(eq.outputs)
    return size <= max(LARGEST, _elements(eq.inputs))


def _elements(atoms: Sequence[Atom]) -> int:
    return sum(a.aval.size for a in atoms)
