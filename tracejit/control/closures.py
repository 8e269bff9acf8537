"""What functions close over: traced values become operands, or are found where they live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control.programs import interned
from tracejit.core.errors import StructureError
from tracejit.core.interpreter import current_interpreter
from tracejit.core.pytree import tree_flatten, tree_unflatten
from tracejit.core.tracer import Tracer
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_inexact
from tracejit.ir.program import Program, Var
from tracejit.transforms.flat import array_or_tracer, flatten_like
from tracejit.transforms.jvp import JVPTracer
from tracejit.transforms.stage import evaluate, function_name, stage_tree

__all__ = ["closure_convert", "evaluate_closed", "joined", "value_here", "with_captured"]


def with_captured(
    program: Program, captured: Sequence[Any], avals: Sequence[ShapedArray]
) -> Program:
    """Return a Program with captured values as leading inputs.

    Parameters
    ----------
    program : Program
        What to change.
    captured : sequence of objects
        The values; where `program` has one of them as a constant, the input takes its place.
    avals : sequence of ShapedArray
        Their types.
    """
    own = {id(value): v for v, value in program.constants}
    inputs = [
        own.get(id(x), Var(aval)) if isinstance(x, Tracer) else Var(aval)
        for x, aval in zip(captured, avals, strict=True)
    ]
    taken = set(inputs)
    return program.replace(
        inputs=(*inputs, *program.inputs),
        constants=[pair for pair in program.constants if pair[0] not in taken],
    )


def joined(programs: Sequence[Program]) -> tuple[list[Program], list[Any]]:
    """Return Programs with the constants of all as leading inputs, and these constants.

    The Programs are interned, so that equal ones are found again.
    """
    values: dict[int, tuple[Any, ShapedArray]] = {}
    for program in programs:
        values.update((id(x), (x, v.aval)) for v, x in program.constants)
    found = []
    for program in programs:
        own = {id(x): v for v, x in program.constants}
        inputs = [own.get(key) or Var(aval) for key, (_, aval) in values.items()]
        found.append(interned(program.replace(inputs=(*inputs, *program.inputs), constants=())))
    return found, [x for x, _ in values.values()]


def evaluate_closed(what: str, program: Program, operands: Sequence[Any]) -> list[Any]:
    """Run a Program that may have captured traced values of transformations inside this one.

    Parameters
    ----------
    what : str
        Whose Program it is, for messages.
    program : Program
        What to run.
    operands : sequence of values
        One an input.

    Raises
    ------
    StructureError
        If it captured a value that cannot be had here.
    """
    if any(isinstance(value, Tracer) for _, value in program.constants):
        program = program.replace(
            constants=[(v, value_here(what, value)) for v, value in program.constants]
        )
    return evaluate(program, operands)


def value_here(what: str, x: Any) -> Any:
    """Return a captured value as the current interpreter knows it; `what` captured it.

    A value of a derivative further in, or one that has ended, stands for its primal: the function
    did not capture it, or it would be an operand, so that the function does not depend on it.
    """
    here = current_interpreter()
    while isinstance(x, Tracer) and (
        getattr(x.interpreter, "finished", False) or _is_inside(x.interpreter, here)
    ):
        if not isinstance(x, JVPTracer):
            raise StructureError(
                f"{what}: a rule refers to a traced value ({x.aval!r}) of a transformation inside "
                "the one that asks for the rule, which the function itself does not refer to. Pass "
                "it to the function as an argument"
            )
        x = x.primal
    return x


def _is_inside(interpreter: Any, other: Any) -> bool:
    """Whether an interpreter hands operations down to another."""
    while interpreter is not None:
        interpreter = getattr(interpreter, "parent", None)
        if interpreter is other:
            return True
    return False


def closure_convert(fun: Callable[..., Any], *example_args: Any) -> tuple[Any, list[Any]]:
    """Turn the traced values that a function closes over into arguments.

    Parameters
    ----------
    fun : callable
        The function.
    *example_args : pytrees of arrays
        Arguments of the shapes and dtypes that it will be called with.

    Returns
    -------
    converted : callable
        Takes the arguments of `fun`, then the values of `consts`; returns what `fun` does.
    consts : list
        The floating and complex traced values that `fun` closed over.

    Examples
    --------
    >>> import tracejit
    >>> def of(a):
    ...     converted, consts = tracejit.closure_convert(lambda x: a * x, 0.0)
    ...     return converted(2.0, *consts)
    >>> float(tracejit.grad(of)(3.0))
    2.0
    """
    program, out_treedef = stage_tree(fun, example_args)
    hoisted = [
        (v, x) for v, x in program.constants if isinstance(x, Tracer) and is_inexact(x.aval.dtype)
    ]
    moved = {v for v, _ in hoisted}
    program = program.replace(
        inputs=(*program.inputs, *(v for v, _ in hoisted)),
        constants=[pair for pair in program.constants if pair[0] not in moved],
    )
    like = tuple(example_args)
    in_treedef = tree_flatten(like)[1]

    def converted(*args: Any) -> Any:
        count = len(args) - len(hoisted)
        leaves = flatten_like(
            "closure_convert", "arguments and examples", args[:count], like, in_treedef
        )
        outs = evaluate(program, [*leaves, *args[count:]])
        return tree_unflatten(out_treedef, map(array_or_tracer, outs))

    converted.__name__ = function_name(fun)
    return converted, [x for _, x in hoisted]
