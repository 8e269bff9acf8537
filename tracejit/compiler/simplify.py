"""Simplify a Program: inline calls, drop repeated and dead equations, choices and barriers.

Control operations keep their sub-programs, which are simplified in turn.
"""

from __future__ import annotations

from typing import Any

from tracejit.compiler.choices import given_once, once
from tracejit.control.programs import callees
from tracejit.ir.program import Atom, Equation, Literal, Program, Var, sub_programs
from tracejit.transforms.dce import dce

__all__ = ["simplify"]


def simplify(program: Program) -> Program:
    """Return an equal Program without calls, and without repeated or dead equations."""
    return dce(once(_without_barriers(_share(_inline(program)))))


def _inline(program: Program) -> Program:
    if not any(eq.primitive.control or eq.primitive in callees for eq in program.equations):
        return program
    env: dict[Var, Atom] = {}
    equations: list[Equation] = []
    constants = list(program.constants)

    def read(env: dict[Var, Atom], a: Atom) -> Atom:
        return a if isinstance(a, Literal) else env.get(a, a)

    def run(inner: Program, env: dict[Var, Atom]) -> None:
        for eq in inner.equations:
            inputs = tuple(read(env, a) for a in eq.inputs)
            find = callees.get(eq.primitive)
            if find is not None:
                callee = find([a.aval for a in inputs], eq.params)
                constants.extend(callee.constants)
                # A callee may be bound many times: every binding gets Vars of its own.
                local: dict[Var, Atom] = dict(zip(callee.inputs, inputs, strict=True))
                run(callee, local)
                for out, a in zip(eq.outputs, callee.outputs, strict=True):
                    env[out] = read(local, a)
                continue
            outputs = tuple(Var(v.aval) for v in eq.outputs)
            env.update(zip(eq.outputs, outputs, strict=True))
            params = eq.params
            if eq.primitive.control:
                inputs, params = given_once(eq.primitive.name, inputs, params)
            equations.append(
                eq._replace(inputs=inputs, outputs=outputs, params=_simplify_params(params))
            )

    run(program, env)
    outputs = [read(env, a) for a in program.outputs]
    unique = {v: (v, value) for v, value in constants}
    return program.replace(equations=equations, outputs=outputs, constants=unique.values())



def _simplify_params(params: dict[str, Any]) -> dict[str, Any]:
    if not any(True for _ in sub_programs(params)):
        return params
    out = dict(params)
    for name, value in params.items():
        if isinstance(value, Program):
            out[name] = simplify(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Program):
            out[name] = tuple(simplify(p) for p in value)
    return out


def _share(program: Program) -> Program:
    env: dict[Var, Var] = {}
    seen: dict[Any, tuple[Var, ...]] = {}
    equations = []

    def read(a: Atom) -> Atom:
        return a if type(a) is Literal else env.get(a, a)  # type: ignore[arg-type]

    for eq in program.equations:
        primitive, inputs, params, outputs, _ = eq
        if env:
            inputs = tuple([read(a) for a in inputs])
            eq = Equation(primitive, inputs, params, outputs, eq.source)
        # What is to be written piece by piece stays its own.
        if not (primitive.effectful or primitive.control or primitive.name == "empty"):
            operands = [(repr(a.value), a.aval) if type(a) is Literal else a for a in inputs]
            key = (primitive, *operands, *params.items())
            try:
                found = seen.get(key)
            except TypeError:  # a param that does not hash
                found = None
            else:
                if found is None:
                    seen[key] = outputs
            if found is not None:
                env.update(zip(outputs, found, strict=True))
                continue
        equations.append(eq)
    return program.replace(equations=equations, outputs=[read(a) for a in program.outputs])


def _without_barriers(program: Program) -> Program:
    """Return `program` with the operands of barriers in place of their results."""
    if not any(eq.primitive.name == "optimization_barrier" for eq in program.equations):
        return program
    env: dict[Atom, Atom] = {}
    equations = []
    for eq in program.equations:
        inputs = tuple(env.get(a, a) for a in eq.inputs)
        if eq.primitive.name == "optimization_barrier":
            env.update(zip(eq.outputs, inputs, strict=True))
        else:
            equations.append(eq._replace(inputs=inputs))
    return program.replace(equations=equations, outputs=[env.get(a, a) for a in program.outputs])
