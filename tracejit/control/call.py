"""``call``: a whole Program bound as one equation.  It is what a jitted function records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.control.interpret import interpret
from tracejit.control.programs import callees
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.transforms.batching import batch_program
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.partial_eval import (
    PartialEvalInterpreter,
    partial_eval_program,
    partial_eval_rules,
)
from tracejit.transforms.stage import evaluate, hoist_constants
from tracejit.transforms.transpose import transpose_program

__all__ = ["call", "call_p"]


def call(program: Program, *operands: Any, name: str = "", inline: bool = False) -> list[Any]:
    """Run a Program as one equation.

    Parameters
    ----------
    program : Program
        What to run; its constants become operands.
    *operands : operands
        One an input.
    name : str
        For messages; the name of the Program by default.
    inline : bool
        Whether to bind its equations instead.

    Returns
    -------
    list of Array or Tracer
        One an output.
    """
    if inline:
        return evaluate(program, operands)
    program, constants = _without_constants(program)
    out: list[Any] = call_p.bind(
        *constants, *operands, program=program, name=name or program.name
    )
    return out


_hoisted: dict[int, tuple[Program, Program, list[Any]]] = {}


def _without_constants(program: Program) -> tuple[Program, list[Any]]:
    """Return the same Program object without constants for the same Program each time."""
    if not program.constants:
        return program, []
    found = _hoisted.get(id(program))
    if found is None or found[0] is not program:
        if len(_hoisted) > 1024:
            _hoisted.clear()
        found = _hoisted[id(program)] = (program, *hoist_constants(program))
    return found[1], found[2]


def _call_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, program: Program, name: str
) -> tuple[list[Any], list[Any]]:
    nonzero = [not isinstance(t, Zero) for t in tangents]
    both, nonzero_out = jvp_program(program, nonzero)
    given = [t for t in tangents if not isinstance(t, Zero)]
    outs = call(both, *primals, *given, name=name)
    count = len(program.outputs)
    rest = iter(outs[count:])
    return outs[:count], [
        next(rest) if flag else Zero(aval)
        for flag, aval in zip(nonzero_out, program.out_avals, strict=True)
    ]


def _call_partial_eval(
    interpreter: PartialEvalInterpreter, operands: tuple[Any, ...], params: dict[str, Any]
) -> list[Any]:
    program, name = params["program"], params["name"]
    unknown = [interpreter.is_unknown(x) for x in operands]
    known, rest, unknown_out, count = partial_eval_program(program, unknown)
    outs = call(known, *(x for x, u in zip(operands, unknown, strict=True) if not u), name=name)
    cut = len(outs) - count
    rest, constants = _without_constants(rest)
    unknown_outs: list[Any] = []
    if any(unknown_out):
        given = (*constants, *outs[cut:],
                 *(x for x, u in zip(operands, unknown, strict=True) if u))  # fmt: skip
        unknown_outs = interpreter.record(call_p, given, {"program": rest, "name": name})
    later, now = iter(unknown_outs), iter(outs[:cut])
    return [next(later) if u else next(now) for u in unknown_out]


def _call_transpose(
    cts: Sequence[Any], *operands: Any, program: Program, name: str
) -> list[Any]:
    linear = [isinstance(x, Linear) for x in operands]
    backward = transpose_program(program, linear)
    values = [x for x in operands if not isinstance(x, Linear)]
    results = iter(call(backward, *values, *map(instantiate_zero, cts), name=name))
    return [next(results) if flag else None for flag in linear]


def _call_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, program: Program, name: str
) -> tuple[list[Any], list[int | None]]:
    size = next(
        get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None
    )
    batched, out_axes = batch_program(program, size, tuple(axes))
    return call(batched, *operands, name=name), list(out_axes)


def _call_shape(*avals: ShapedArray, program: Program, name: str) -> list[ShapedArray]:
    del avals, name
    return list(program.out_avals)


call_p: Primitive = define(
    "call",
    multiple=True,
    control=True,
    keeps_weak=False,
    impl=lambda xp, *arrays, program, name: interpret(xp, program, arrays),
    shape=_call_shape,
    jvp=_call_jvp,
    transpose=_call_transpose,
    batch=_call_batch,
    lower="its equations are inlined by the compiler",
)
partial_eval_rules[call_p] = _call_partial_eval
callees[call_p] = lambda avals, params: params["program"]
