"""Run one operation compiled, as a Program of one equation: control operations, eagerly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit.control.custom_rule import custom_rule_p
from tracejit.control.linear_map import linear_map_p
from tracejit.control.programs import callees
from tracejit.core.array import Array, wrap
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Equation, Program, Var
from tracejit.runtime.executor import compiled
from tracejit.runtime.placement import buffer_at
from tracejit.transforms.stage import evaluate

__all__ = ["run_control"]

_programs: dict[Any, Program] = {}
_MOST = 4096


def run_control(
    primitive: Primitive,
    operands: tuple[Any, ...],
    params: dict[str, Any],
    place: str | None = None,
    own: Callable[[ShapedArray, Any], Array] = wrap,
) -> Any:
    """Return the outputs of a primitive on concrete operands, compiled.

    Parameters
    ----------
    primitive, operands, params
        What to run.
    place : str, optional
        The device, the host by default.
    own : callable
        Makes the arrays of the results.
    """
    avals = tuple(get_aval(x) for x in operands)
    if primitive in (custom_rule_p, linear_map_p):  # nobody asked for these to be compiled
        return evaluate(callees[primitive](avals, params), operands)
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
    buffers = [buffer_at(x, a, place) for x, a in zip(operands, avals, strict=True)]
    ready = compiled(program, place)
    out = [own(a, buf) for a, buf in zip(ready.out_avals, ready.run(buffers), strict=True)]
    return out if primitive.multiple else out[0]


def _program(primitive: Primitive, avals: tuple[Any, ...], params: dict[str, Any]) -> Program:
    find = callees.get(primitive)
    if find is not None:
        return find(avals, params)
    inputs = [Var(a) for a in avals]
    outputs = tuple(Var(a) for a in primitive.result_avals(avals, params))
    equation = Equation(primitive, tuple(inputs), params, outputs)
    return Program(inputs, [equation], outputs, (), primitive.name)
