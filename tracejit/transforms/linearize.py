"""Reverse mode in two steps: linearize (derivative rules, partially evaluated), then transpose.

One pass does both halves of the first step.  The derivative rules run with the primals known
and the tangents unknown, so that the values are computed at once (by whatever interpreter is
the parent) and what is linear in the tangents is left over as a Program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.interpreter import current_interpreter, interpreting
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.dtypes import is_inexact
from tracejit.ir.program import Atom, Program, Var
from tracejit.transforms.dce import dce
from tracejit.transforms.jvp import JVPInterpreter, JVPTracer, instantiate_zero
from tracejit.transforms.partial_eval import PartialEvalInterpreter
from tracejit.transforms.transpose import backward_pass

__all__ = ["linearize_flat", "linearize_parts", "vjp_flat"]


def linearize_parts(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], nonzero: Sequence[bool] | None = None
) -> tuple[list[Any], Program, tuple[bool, ...], tuple[bool, ...]]:
    """Evaluate a function and return its derivative as a Program.

    Parameters
    ----------
    fun : callable
        Takes and returns flat sequences of values.
    primals : sequence of values
        Where.
    nonzero : sequence of bool, optional
        Which inputs vary; by default the floating and complex ones.

    Returns
    -------
    outs : list
        The values.
    program : Program
        Linear.  Inputs: the tangents of the inputs flagged in `nonzero`.  Outputs: the tangents
        of the outputs flagged in `nonzero_out`.  Its constants are the residuals; it may hold
        dead equations.
    nonzero, nonzero_out : tuple of bool
        Which inputs and outputs have a tangent.
    """
    avals = [get_aval(p) for p in primals]
    flags = tuple(is_inexact(a.dtype) for a in avals) if nonzero is None else tuple(nonzero)
    tangents = PartialEvalInterpreter(current_interpreter())
    derivatives = JVPInterpreter(tangents)
    try:
        inputs = [
            JVPTracer(derivatives, p, tangents.new_input(a.strong())) if flag else p
            for p, a, flag in zip(primals, avals, flags, strict=True)
        ]
        with interpreting(derivatives):
            results = fun(*inputs)
        outs = []
        tangents_out = []
        nonzero_out = []
        with interpreting(tangents):
            for x in results:
                p, t = derivatives.split(x)
                outs.append(p)
                nonzero_out.append(not isinstance(t, Zero))
                if not isinstance(t, Zero):
                    tangents_out.append(t)
        program = tangents.finish(tangents_out, "linear")
    finally:
        derivatives.finished = tangents.finished = True
    return outs, program, flags, tuple(nonzero_out)


def linearize_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any]
) -> tuple[list[Any], Program]:
    """Evaluate a function and return its derivative as a Program of all tangents.

    Parameters
    ----------
    fun : callable
        Takes and returns flat sequences of values.
    primals : sequence of values
        Where.

    Returns
    -------
    outs : list
        The values.
    program : Program
        Linear, without dead equations.  Inputs: the tangents of the floating and complex
        inputs.  Outputs: those of the floating and complex outputs, zeros instantiated.
    """
    outs, program, _, nonzero_out = linearize_parts(fun, primals)
    given = iter(program.outputs)
    outputs: list[Atom] = []
    constants = list(program.constants)
    for p, flag in zip(outs, nonzero_out, strict=True):
        aval = get_aval(p).strong()
        if flag:
            outputs.append(next(given))
        elif is_inexact(aval.dtype):
            zero = Var(aval)
            constants.append((zero, instantiate_zero(Zero(aval))))
            outputs.append(zero)
    return outs, dce(program.replace(outputs=outputs, constants=constants))


def vjp_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], nonzero: Sequence[bool] | None = None
) -> tuple[list[Any], Callable[[Sequence[Any]], list[Any]]]:
    """Evaluate a function and return its pullback.

    Parameters
    ----------
    fun, primals, nonzero
        As for :func:`linearize_parts`.

    Returns
    -------
    outs : list
        The values.
    pullback : callable
        Takes a sequence of cotangents (or Zero), one an output; returns one an input, Zero
        where there is none.  It may be called many times.
    """
    outs, program, flags, nonzero_out = linearize_parts(fun, primals, nonzero)
    avals = [get_aval(p) for p in primals]
    linear = (True,) * len(program.inputs)

    def pullback(cts: Sequence[Any]) -> list[Any]:
        given = [ct for ct, flag in zip(cts, nonzero_out, strict=True) if flag]
        found = iter(backward_pass(program, linear, program.inputs, given))
        return [next(found) if flag else Zero(a) for a, flag in zip(avals, flags, strict=True)]

    return outs, pullback
