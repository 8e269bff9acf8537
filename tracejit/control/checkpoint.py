"""``checkpoint``: recompute intermediate values in reverse mode instead of storing them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control.call import call
from tracejit.control.interpret import interpret
from tracejit.control.programs import callees
from tracejit.core.primitive import Primitive, define
from tracejit.core.pytree import tree_flatten
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.transforms.batching import batch_program
from tracejit.transforms.dce import keep_outputs
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.partial_eval import (
    PartialEvalInterpreter,
    partial_eval_program,
    partial_eval_rules,
)
from tracejit.transforms.stage import hoist_constants, stage_tree
from tracejit.transforms.transpose import transpose_program

__all__ = ["checkpoint", "checkpoint_p"]


def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Return `fun` so that reverse mode stores its arguments only.

    The backward pass runs `fun` once more to have its intermediate values.  In the body of a
    ``scan`` it makes the memory of a gradient that of the carried values alone.

    Parameters
    ----------
    fun : callable
        A function of pytrees of arrays.

    Returns
    -------
    callable
        The same function; values and derivatives do not change.
    """

    @functools.wraps(fun)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        leaves, _ = tree_flatten((args, kwargs))
        program, out_treedef = stage_tree(fun, args, kwargs)
        program, constants = hoist_constants(program)
        return out_treedef.unflatten(_bind(program, [*constants, *leaves]))

    return checkpointed


def _bind(program: Program, operands: Sequence[Any]) -> list[Any]:
    out: list[Any] = checkpoint_p.bind(*operands, program=program)
    return out


def _checkpoint_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, program: Program
) -> tuple[list[Any], list[Any]]:
    both, nonzero_out = jvp_program(program, [not isinstance(t, Zero) for t in tangents])
    both, constants = hoist_constants(both)
    given = [t for t in tangents if not isinstance(t, Zero)]
    outs = _bind(both, [*constants, *primals, *given])
    count = len(program.outputs)
    rest = iter(outs[count:])
    return outs[:count], [
        next(rest) if flag else Zero(aval)
        for flag, aval in zip(nonzero_out, program.out_avals, strict=True)
    ]


def _checkpoint_partial_eval(
    interpreter: PartialEvalInterpreter, operands: tuple[Any, ...], params: dict[str, Any]
) -> list[Any]:
    program: Program = params["program"]
    unknown = [interpreter.is_unknown(x) for x in operands]
    known, _, unknown_out, count = partial_eval_program(program, unknown)
    known = keep_outputs(known, [n < len(known.outputs) - count for n in range(len(known.outputs))])
    given = [x for x, u in zip(operands, unknown, strict=True) if not u]
    now = iter(call(known, *given))
    # What depends on unknowns is recorded whole: its residuals are the operands, not intermediates.
    later_program = keep_outputs(program, unknown_out)
    later = iter(interpreter.record(checkpoint_p, operands, {"program": later_program}))
    return [next(later) if u else next(now) for u in unknown_out]


def _checkpoint_transpose(cts: Sequence[Any], *operands: Any, program: Program) -> list[Any]:
    linear = [isinstance(x, Linear) for x in operands]
    backward = transpose_program(program, linear)
    values = [x for x in operands if not isinstance(x, Linear)]
    backward, constants = hoist_constants(backward)
    results = iter(_bind(backward, [*constants, *values, *map(instantiate_zero, cts)]))
    return [next(results) if flag else None for flag in linear]


def _checkpoint_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, program: Program
) -> tuple[list[Any], list[int | None]]:
    size = next(get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None)
    batched, out_axes = batch_program(program, size, tuple(axes))
    batched, constants = hoist_constants(batched)
    return _bind(batched, [*constants, *operands]), list(out_axes)


def _checkpoint_shape(*avals: ShapedArray, program: Program) -> list[ShapedArray]:
    del avals
    return list(program.out_avals)


checkpoint_p: Primitive = define(
    "checkpoint",
    multiple=True,
    control=True,
    keeps_weak=False,
    impl=lambda xp, *arrays, program: interpret(xp, program, arrays),
    shape=_checkpoint_shape,
    jvp=_checkpoint_jvp,
    transpose=_checkpoint_transpose,
    batch=_checkpoint_batch,
    lower="its equations are inlined by the compiler",
)
partial_eval_rules[checkpoint_p] = _checkpoint_partial_eval
callees[checkpoint_p] = lambda avals, params: params["program"]
