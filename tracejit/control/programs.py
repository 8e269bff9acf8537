"""What control operators share: bodies as Programs that keep their identity.

Compiled code is found by the identity of a Program, so two calls that stage equal bodies must
end up with one object, and what is derived from a body must be derived once.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.primitive import Primitive
from tracejit.core.pytree import PyTreeDef
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program, Var
from tracejit.transforms.dce import dce, without_effects
from tracejit.transforms.stage import evaluate, hoist_constants, stage, stage_tree

__all__ = [
    "arranged",
    "callees",
    "depends",
    "interned",
    "staged_body",
    "united",
    "used_inputs",
    "wrapped",
]

callees: dict[Primitive, Callable[[Sequence[ShapedArray], dict[str, Any]], Program]] = {}
"""Primitives that do no more than run a Program: ``find(avals, params)`` returns it, the same
object for the same operands.  The compiler puts its equations in their place."""

_known: weakref.WeakValueDictionary[Any, Program] = weakref.WeakValueDictionary()
# A body of which only a derivative is run is referred to by nobody; the last ones are kept, so
# that the next call finds what was derived from it, compiled.
_recent: OrderedDict[Program, None] = OrderedDict()
_MOST = 1024
_lock = threading.Lock()


def interned(program: Program) -> Program:
    """Return the one Program that has these equations; `program` itself if it is the first.

    Parameters
    ----------
    program : Program
        Without constants.
    """
    numbers: dict[Any, int] = {v: n for n, v in enumerate(program.inputs)}
    equations = []

    def atom(a: Any) -> Any:
        if type(a) is Var:
            return numbers[a]
        value = a.value  # by its bits: -0.0 is not 0.0, and nan is nan
        return type(value), np.asarray(value).tobytes(), a.aval

    for eq in program.equations:
        inputs = tuple([atom(a) for a in eq.inputs])
        for v in eq.outputs:
            numbers[v] = len(numbers)
        avals = tuple([v.aval for v in eq.outputs])
        params = tuple([(name, type(value), value) for name, value in eq.params.items()])
        equations.append((eq.primitive, inputs, params, avals))
    outputs = tuple([atom(a) for a in program.outputs])
    key = (program.in_avals, tuple(equations), outputs)
    with _lock:
        try:
            found = _known.setdefault(key, program)
        except TypeError:  # a param that does not hash
            return program
        _recent[found] = None
        _recent.move_to_end(found)
        if len(_recent) > _MOST:
            _recent.popitem(last=False)
    return found


def staged_body(
    fun: Callable[..., Any], args: Sequence[Any], name: str | None = None
) -> tuple[Program, list[Any], PyTreeDef]:
    """Stage a function of pytrees.

    Parameters
    ----------
    fun : callable
        The user's.
    args : sequence of pytrees
        Their leaves are avals.
    name : str, optional
        The name of the Program.

    Returns
    -------
    program : Program
        Interned, without constants: what `fun` captured are its leading inputs.
    constants : list
        The values of those inputs.
    treedef : PyTreeDef
        The structure of the result.
    """
    program, treedef = stage_tree(fun, args, name=name, aval_of=lambda aval: aval)
    program, constants = hoist_constants(dce(program))
    return interned(program), constants, treedef


_arranged: weakref.WeakKeyDictionary[Program, dict[Any, tuple[Program, list[Any]]]] = (
    weakref.WeakKeyDictionary()
)


def arranged(
    program: Program,
    inputs: Sequence[int] | None = None,
    outputs: Sequence[int] | None = None,
    effects: bool = True,
) -> tuple[Program, list[Any]]:
    """Return a Program with inputs and outputs chosen and reordered; memoised by identity.

    Parameters
    ----------
    program : Program
        What to rearrange.
    inputs, outputs : sequence of int, optional
        The positions to keep, in their new order; all by default.  Inputs left out must not be
        needed for the outputs kept.
    effects : bool
        Whether to keep what has effects; without, the outputs kept must not need it.

    Returns
    -------
    program : Program
        Without constants: they are its leading inputs.
    constants : list
        The values of those inputs.
    """
    ins = tuple(range(len(program.inputs))) if inputs is None else tuple(inputs)
    outs = tuple(range(len(program.outputs))) if outputs is None else tuple(outputs)
    same = ins == tuple(range(len(program.inputs))) and outs == tuple(range(len(program.outputs)))
    if same and effects and not program.constants:
        return program, []
    memo = _arranged.setdefault(program, {})
    found = memo.get((ins, outs, effects))
    if found is None:
        chosen = (dce if effects else without_effects)(
            program.replace(
                inputs=[program.inputs[n] for n in ins],
                outputs=[program.outputs[n] for n in outs],
            )
        )
        found = memo[ins, outs, effects] = hoist_constants(chosen)
    return found


_wrapped: weakref.WeakKeyDictionary[Program, dict[Any, tuple[Program, list[Any]]]] = (
    weakref.WeakKeyDictionary()
)


def wrapped(
    program: Program, key: Any, fun: Callable[..., Sequence[Any]], avals: Sequence[Any]
) -> tuple[Program, list[Any]]:
    """Return `fun` staged, memoised by `program` and `key`.

    Parameters
    ----------
    program : Program
        What `fun` is made from.
    key : hashable
        What else it is made from.
    fun : callable
        A flat function.
    avals : sequence of ShapedArray
        Of its inputs.

    Returns
    -------
    program : Program
        Without constants: they are its leading inputs.
    constants : list
        The values of those inputs.
    """
    memo = _wrapped.setdefault(program, {})
    found = memo.get(key)
    if found is None:
        found = memo[key] = hoist_constants(dce(stage(fun, avals, program.name)))
    return found


def used_inputs(program: Program) -> list[bool]:
    """Return which inputs the outputs or effects of a Program need."""
    kept = dce(program)
    read = {a for eq in kept.equations for a in eq.inputs} | set(kept.outputs)
    return [v in read for v in program.inputs]


def depends(program: Program, flags: Sequence[bool]) -> list[bool]:
    """Return which outputs of a Program depend on the inputs flagged."""
    reached: set[Any] = {v for v, flag in zip(program.inputs, flags, strict=True) if flag}
    for eq in program.equations:
        if not reached.isdisjoint(eq.inputs):
            reached.update(eq.outputs)
    return [a in reached for a in program.outputs]


Hoisted = tuple[Program, list[Any]]
"""A Program and the values of its leading inputs."""


def united(first: Hoisted, second: Hoisted) -> tuple[Program, Program, list[Any]]:
    """Return two Programs of a step and other inputs, with the same constants behind the step."""
    one, two = first[1], second[1]
    if not one and not two:
        return first[0], second[0], []
    return _behind_step(first, [], two), _behind_step(second, one, []), [*one, *two]


def _behind_step(hoisted: Hoisted, before: Sequence[Any], after: Sequence[Any]) -> Program:
    program, own = hoisted
    avals, ignored = program.in_avals, tuple(get_aval(x) for x in before)
    more = tuple(get_aval(x) for x in after)
    start, end = 1 + len(before), 1 + len(before) + len(own)

    def run(*inputs: Any) -> list[Any]:
        rest = inputs[end + len(after) :]
        return evaluate(program, [*inputs[start:end], inputs[0], *rest])

    moved, constants = wrapped(
        program,
        ("behind step", ignored, len(own), more),
        run,
        [avals[len(own)], *ignored, *avals[: len(own)], *more, *avals[len(own) + 1 :]],
    )
    assert not constants
    return moved
