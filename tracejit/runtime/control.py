"""Run a control operation eagerly: compile the one equation as a Program and call it."""

from __future__ import annotations

from typing import Any

from tracejit.core.primitive import Primitive
from tracejit.core.tracer import get_aval
from tracejit.ir.program import Equation, Program, Var
from tracejit.runtime.executor import compiled, to_buffer

__all__ = ["run_control"]

_programs: dict[Any, Program] = {}
_MOST = 4096


def run_control(primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Return the outputs of a control primitive on concrete operands."""
    avals = tuple(get_aval(x) for x in operands)
    key: Any = (primitive, avals, tuple(params.items()))
    try:
        program = _programs.get(key)
    except TypeError:  # a param that does not hash
        key, program = None, None
    if program is None:
        program = _program(primitive, avals, params)
        if key is not None:
            if len(_programs) >= _MOST:
                _programs.clear()
            _programs[key] = program
    buffers = [to_buffer(x, a) for x, a in zip(operands, avals, strict=True)]
    out = compiled(program)(buffers)
    return out if primitive.multiple else out[0]


def _program(primitive: Primitive, avals: tuple[Any, ...], params: dict[str, Any]) -> Program:
    if primitive.name in ("call", "checkpoint"):
        callee: Program = params["program"]
        return callee
    inputs = [Var(a) for a in avals]
    outputs = tuple(Var(a) for a in primitive.result_avals(avals, params))
    equation = Equation(primitive, tuple(inputs), params, outputs)
    return Program(inputs, [equation], outputs, (), primitive.name)
