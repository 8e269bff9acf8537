"""``while_loop``: a loop whose length is known only when it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.control.carried import avals_of, check_structure, settle
from tracejit.control.guard import guarded
from tracejit.control.interpret import interpret
from tracejit.control.lanes import one_by_one
from tracejit.control.programs import arranged, staged_body, used_inputs, wrapped
from tracejit.control.pushforward import LinearLoop, Split, linear_along, push, pushforward_p
from tracejit.control.stepwise import whiled
from tracejit.control.tape import Recording, first_recording, record, tape_of
from tracejit.control.treeverse import snapshots_within
from tracejit.core.errors import DTypeError, MissingRuleError, StructureError
from tracejit.core.primitive import Primitive, define
from tracejit.core.pytree import PyTreeDef, tree_structure, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_bool
from tracejit.ir.program import Equation, Program
from tracejit.ops._pointwise import add, move_axis
from tracejit.ops.logical import select
from tracejit.ops.reduction import reduce_or
from tracejit.ops.shape import broadcast_in_dim
from tracejit.transforms.batching import batch_program, force_axis
from tracejit.transforms.dce import dce_rules, has_effects
from tracejit.transforms.flat import array_or_tracer, check_callable
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.partial_eval import (
    PartialEvalInterpreter,
    memory_budget,
    partial_eval_program,
    partial_eval_rules,
    residuals_stack,
    snapshot_count,
)
from tracejit.transforms.stage import evaluate, function_name
from tracejit.transforms.transpose import split_and_transpose

__all__ = ["while_loop", "while_p"]


def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:
    """Run ``val = body_fun(val)`` as long as ``cond_fun(val)``.

    The same as::

        while cond_fun(val):
            val = body_fun(val)
        return val

    but traced and compiled once.

    Parameters
    ----------
    cond_fun : callable
        Takes the value, returns a bool scalar.
    body_fun : callable
        Takes the value, returns the next one, of the same structure, shapes and dtypes.
    init_val : pytree of arrays
        The first value.  Python scalars in it take the dtype that `body_fun` makes of them.

    Returns
    -------
    pytree of arrays
        The first value for which `cond_fun` is False.

    Raises
    ------
    StructureError
        If the structure of the value changes, or `cond_fun` returns no scalar.
    ShapeError, DTypeError
        If a shape or a dtype changes; the error names the leaf.

    See Also
    --------
    scan, fori_loop : loops of known length.
    grad : its argument `memory` bounds what reverse mode keeps of a loop.

    Notes
    -----
    For reverse mode some of the values between are kept, as many as fit, and the others computed
    again from them; the binomial schedule makes that the least work that is known.

    Under ``vmap`` the loop runs until the last sample is done, on all samples: it costs their
    number times the longest run.  A sample that is done keeps its value; what `body_fun` makes of
    it from then on does not count, nor does its derivative, even where it is infinite or NaN.
    """
    check_callable("while_loop", cond_fun, "cond_fun")
    check_callable("while_loop", body_fun, "body_fun")
    done = whiled(cond_fun, body_fun, init_val)
    if done is not None:
        return done[0]
    leaves, avals, treedef, names = avals_of("the value", init_val)
    name = function_name(body_fun)
    staged: tuple[Program, list[Any], PyTreeDef]

    def step(value: Any) -> Any:
        result = body_fun(value)
        check_structure(f"while_loop: the result of {name}", tree_structure(result), treedef)
        return result

    def outs(now: list[ShapedArray]) -> Sequence[ShapedArray]:
        nonlocal staged
        staged = staged_body(step, (tree_unflatten(treedef, now),), name)
        return staged[0].out_avals

    leaves, avals = settle(f"while_loop: the result of {name}", names, leaves, avals, outs)
    body, body_consts, _ = staged
    test_name = function_name(cond_fun)
    test, test_consts, out = staged_body(cond_fun, (tree_unflatten(treedef, avals),), test_name)
    if out.num_leaves != 1 or out != tree_structure(0) or test.out_avals[0].shape:
        what = ", ".join(map(str, test.out_avals)) or "nothing"
        raise StructureError(f"while_loop: {test_name} must return one bool scalar; got {what}")
    if not is_bool(test.out_avals[0].dtype):
        raise DTypeError(
            f"while_loop: {test_name} must return a bool; got {test.out_avals[0]}. "
            "Write a comparison, x != 0"
        )
    found = while_p.bind(
        *test_consts,
        *body_consts,
        *leaves,
        cond_program=test,
        body_program=body,
        cond_nconsts=len(test_consts),
        body_nconsts=len(body_consts),
        free=(False,) * len(leaves),
    )
    return tree_unflatten(treedef, map(array_or_tracer, found))


# -------------------------------------------------------------------------------- meaning


def _while_impl(
    xp: Any,
    *arrays: Any,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    free: tuple[bool, ...],
) -> list[Any]:
    del free
    first = cond_nconsts + body_nconsts
    test_consts, body_consts = arrays[:cond_nconsts], arrays[cond_nconsts:first]
    carry = list(arrays[first:])
    while bool(interpret(xp, cond_program, [*test_consts, *carry])[0]):
        carry = interpret(xp, body_program, [*body_consts, *carry])
    return carry


def _while_shape(
    *avals: ShapedArray,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    free: tuple[bool, ...],
) -> list[ShapedArray]:
    del avals, cond_program, cond_nconsts, free
    return list(body_program.in_avals[body_nconsts:])


# ---------------------------------------------------------------------------- derivatives


def _while_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    free: tuple[bool, ...],
) -> tuple[list[Any], list[Any]]:
    first = cond_nconsts + body_nconsts
    count = len(primals) - first
    nonzero = [not isinstance(t, Zero) for t in tangents[cond_nconsts:]]
    while True:
        carried = nonzero[body_nconsts:]
        both, nonzero_out = jvp_program(body_program, nonzero, carried)
        if list(nonzero_out) == carried:
            break
        nonzero[body_nconsts:] = [a or b for a, b in zip(carried, nonzero_out, strict=True)]
    n_primals = body_nconsts + count
    n_moved = sum(nonzero[:body_nconsts])
    body, constants = arranged(
        both,
        [
            *range(body_nconsts),
            *range(n_primals, n_primals + n_moved),
            *range(body_nconsts, n_primals),
            *range(n_primals + n_moved, len(both.inputs)),
        ],
    )
    test, extra = _with_more_inputs(
        cond_program, body.in_avals[len(constants) + body_nconsts + n_moved + count :]
    )
    given = [
        instantiate_zero(t) for t, f in zip(tangents[cond_nconsts:], nonzero, strict=True) if f
    ]
    outs = while_p.bind(
        *extra,
        *primals[:cond_nconsts],
        *constants,
        *primals[cond_nconsts:first],
        *given[:n_moved],
        *primals[first:],
        *given[n_moved:],
        cond_program=test,
        body_program=body,
        cond_nconsts=len(extra) + cond_nconsts,
        body_nconsts=len(constants) + body_nconsts + n_moved,
        free=(*free, *(f for f, moves in zip(free, carried, strict=True) if moves)),
    )
    rest = iter(outs[count:])
    return outs[:count], [
        next(rest) if flag else Zero(get_aval(x))
        for x, flag in zip(outs[:count], carried, strict=True)
    ]


def _with_more_inputs(program: Program, avals: Sequence[ShapedArray]) -> tuple[Program, list[Any]]:
    """Return a Program with further inputs at the end, which it ignores."""
    count = len(program.inputs)
    return wrapped(
        program,
        ("ignores", tuple(avals)),
        lambda *args: evaluate(program, args[:count]),
        [*program.in_avals, *avals],
    )


def _while_partial_eval(
    interpreter: PartialEvalInterpreter, operands: tuple[Any, ...], params: dict[str, Any]
) -> list[Any]:
    n_test, n_body = params["cond_nconsts"], params["body_nconsts"]
    unknown = [interpreter.is_unknown(x) for x in operands]
    count = len(operands) - n_test - n_body
    split = Split.of(params["body_program"], unknown[n_test:], n_body, count)
    carried = split.unknown[n_body:]
    if partial_eval_program(params["cond_program"], [*unknown[:n_test], *carried])[2][0]:
        recorded: list[Any] = interpreter.record(while_p, operands, params)
        return recorded
    loop = linear_along(split, n_body, count)
    avals = [get_aval(operands[n_test + n]) for n in loop.state]
    room = split.left_of(memory_budget.get())
    snapshots = snapshots_within(avals, room, snapshot_count.get())
    taped = bool(loop.state) and not residuals_stack.get()
    values, steps, tape = _recorded(split, loop, operands, params, snapshots if taped else 0)
    linear: list[Any] = []
    if loop.lcarry:
        pushed = push(loop, operands[n_test:], steps, tape, None, False, snapshots)
        linear = interpreter.record(pushforward_p, *pushed)
    known, outs = iter(values), iter(loop.outs)
    initial = operands[n_test + n_body :]
    return [
        next(known) if not u else x if (n := next(outs)) is None else linear[n]
        for u, x in zip(carried, initial, strict=True)
    ]


def _recorded(
    split: Split,
    loop: LinearLoop,
    operands: Sequence[Any],
    params: dict[str, Any],
    snapshots: int,
) -> tuple[list[Any], Any, list[Any]]:
    """Run the known part of a loop.

    Parameters
    ----------
    split, loop, operands, params
        The loop.
    snapshots : int
        How many states to keep.

    Returns
    -------
    values : list
        The known values it ends with.
    steps : int64 scalar
        How many trips it made.
    tape : list
        What a sweep takes; empty without snapshots.
    """
    test, n_test, n_body = params["cond_program"], params["cond_nconsts"], params["body_nconsts"]
    carried = [n for n in range(n_body, len(split.unknown)) if not split.unknown[n]]
    consts = [n for n in range(n_body) if not split.unknown[n]]
    body, constants = arranged(split.known, None, range(len(carried)))
    state = [carried.index(n) for n in loop.state] if snapshots else []
    first, count = len(constants) + len(consts), len(carried)

    def step(*inputs: Any) -> list[Any]:
        carry = inputs[first:]
        now = carry[:count]
        out = [*evaluate(body, [*inputs[:first], *now]), add(carry[count], np.int64(1))]
        if snapshots:
            states = [now[n] for n in state]
            kept = Recording.of(carry[count + 1 : len(carry) - len(state)])
            out += [*record(kept, states).values(), *states]
        return out

    given = [operands[n_test + n] for n in carried]
    values = [*given, np.int64(0)]
    free = [params["free"][n - n_body] for n in carried]
    if snapshots:
        states = [given[n] for n in state]
        blank = first_recording([get_aval(x) for x in states], snapshots).values()
        values += [*blank, *states]
    avals = [get_aval(x).strong() for x in values[count:]]
    whole, more = wrapped(
        body, ("recorded", tuple(state), snapshots), step, [*body.in_avals, *avals]
    )
    places = [*range(n_test), *(n_test - n_body + n for n in carried)]
    test, of_test = arranged(test, places)
    test, ignored = _with_more_inputs(test, avals)
    outs = while_p.bind(
        *ignored,
        *of_test,
        *operands[:n_test],
        *more,
        *constants,
        *(operands[n_test + n] for n in consts),
        *values,
        cond_program=test,
        body_program=whole,
        cond_nconsts=len(ignored) + len(of_test) + n_test,
        body_nconsts=len(more) + first,
        # The tape goes on for lanes that are done: all share the numbers of its steps.
        free=(*free, False, *[True] * (len(values) - count - 1)),
    )
    tape: list[Any] = []
    if snapshots:
        at = len(outs) - len(state)
        tape = [*tape_of(Recording.of(outs[count + 1 : at])), *outs[at:]]
    return outs[:count], outs[count], tape


def _while_transpose(cts: Sequence[Any], *operands: Any, **params: Any) -> list[Any]:
    avals = [x.aval if isinstance(x, Linear) else get_aval(x) for x in operands]
    whole, none = wrapped(
        params["body_program"],
        ("whole", *params.items()),
        lambda *args: while_p.bind(*args, **params),
        avals,
    )
    assert not none
    n_test = params["cond_nconsts"]
    linear = [isinstance(x, Linear) for x in operands]
    split = Split.of(
        params["body_program"], linear[n_test:], params["body_nconsts"], len(cts)
    )
    carried = split.unknown[params["body_nconsts"] :]
    if partial_eval_program(params["cond_program"], [*linear[:n_test], *carried])[2][0]:
        raise MissingRuleError(
            "while_loop: its test depends on what it is linear in, so it is not linear"
        )
    return split_and_transpose(whole, operands, cts)


# --------------------------------------------------------------------- batching, dead code


def _while_batch(
    operands: Sequence[Any],
    axes: Sequence[int | None],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    free: tuple[bool, ...],
) -> tuple[list[Any], list[int | None]]:
    first = cond_nconsts + body_nconsts
    size = next(get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None)
    test_axes, body_axes = tuple(axes[:cond_nconsts]), tuple(axes[cond_nconsts:first])
    carried = [None if a is None else 0 for a in axes[first:]]
    while True:
        test, (of_test,) = batch_program(cond_program, size, (*test_axes, *carried))
        body, found = batch_program(body_program, size, (*body_axes, *carried), carried)
        stays = [of_test is None or f for f in free]
        after = [None if a is None and s else 0 for a, s in zip(found, stays, strict=True)]
        if after == carried:
            break
        carried = after
    if of_test is not None and (has_effects(cond_program) or has_effects(body_program)):
        # Only lanes that go on have the effects of a trip.
        params = {
            "cond_program": cond_program,
            "body_program": body_program,
            "cond_nconsts": cond_nconsts,
            "body_nconsts": body_nconsts,
            "free": free,
        }
        return one_by_one(while_p, operands, axes, params)
    values = [
        x if a is None and c is None else move_axis(x, a, 0) if a is not None
        else force_axis(x, None, 0, size)
        for x, a, c in zip(operands[first:], axes[first:], carried, strict=True)
    ]  # fmt: skip
    consts: Sequence[Any] = operands[cond_nconsts:first]
    if of_test is None:
        test, of_tests = arranged(test)
        body, of_body = arranged(body)
    else:
        lanes = [*body_axes, *carried]
        body, of_body = _frozen(body_program, body, lanes, test, cond_nconsts, free)
        test, of_tests = _any_lane(test)
        consts = (*operands[:cond_nconsts], *consts)
    outs = while_p.bind(
        *of_tests,
        *operands[:cond_nconsts],
        *of_body,
        *consts,
        *values,
        cond_program=test,
        body_program=body,
        cond_nconsts=len(of_tests) + cond_nconsts,
        body_nconsts=len(of_body) + len(consts),
        free=free,
    )
    return outs, list(carried)


def _any_lane(test: Program) -> tuple[Program, list[Any]]:
    """Return the test of a batch: whether any lane goes on."""
    return wrapped(
        test, "any", lambda *args: [reduce_or(evaluate(test, args)[0], (0,))], test.in_avals
    )


def _frozen(
    one: Program,
    body: Program,
    lanes: Sequence[int | None],
    test: Program,
    n_test: int,
    free: tuple[bool, ...],
) -> tuple[Program, list[Any]]:
    """Return the body of a batch, in which lanes that are done keep the values not free.

    Its inputs are the constants of the test, those of the body, the values.  `one` is the body of
    one lane, `lanes` are the batch axes of its inputs.
    """
    n_body = len(lanes) - len(free)

    def step(*args: Any) -> list[Any]:
        of_test, rest = args[:n_test], args[n_test:]
        carry = rest[n_body:]
        (going,) = evaluate(test, [*of_test, *carry])
        out = []
        given = rest if any(free) else guarded(one, going, rest, lanes)
        for old, new, goes_on in zip(carry, evaluate(body, given), free, strict=True):
            if goes_on:
                out.append(new)
                continue
            shape = get_aval(old).shape
            flags = going if len(shape) == 1 else broadcast_in_dim(going, shape, (0,))
            out.append(select(flags, new, old))
        return out

    avals = [*test.in_avals[:n_test], *body.in_avals]
    return wrapped(body, ("frozen", test, n_body, n_test, free), step, avals)


def _needed(
    test: Program, body: Program, n_test: int, n_body: int, wanted: Sequence[bool]
) -> list[bool]:
    """Return which values must be carried for those wanted."""
    keep = [a or b for a, b in zip(wanted, used_inputs(test)[n_test:], strict=True)]
    while True:
        part, constants = arranged(body, None, [n for n, k in enumerate(keep) if k])
        used = used_inputs(part)[len(constants) + n_body :]
        after = [a or b for a, b in zip(keep, used, strict=True)]
        if after == keep:
            return keep
        keep = after


def _only(
    operands: Sequence[Any], params: dict[str, Any], keep: Sequence[bool]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the operands and params of the loop that carries only the values to keep."""
    n_test, n_body = params["cond_nconsts"], params["body_nconsts"]
    first = n_test + n_body
    kept = [n for n, k in enumerate(keep) if k]
    test, of_test = arranged(params["cond_program"], [*range(n_test), *(n_test + n for n in kept)])
    part, _ = arranged(params["body_program"], None, kept)
    used = used_inputs(part)
    extra = len(part.inputs) - len(params["body_program"].inputs)
    consts = [n for n in range(n_body) if used[extra + n]]
    body, of_body = arranged(params["body_program"], [*consts, *(n_body + n for n in kept)], kept)
    return [
        *of_test,
        *operands[:n_test],
        *of_body,
        *(operands[n_test + n] for n in consts),
        *(operands[first + n] for n in kept),
    ], {
        "cond_program": test,
        "body_program": body,
        "cond_nconsts": len(of_test) + n_test,
        "body_nconsts": len(of_body) + len(consts),
        "free": tuple([params["free"][n] for n in kept]),
    }


def _while_dce(eq: Equation, live: tuple[bool, ...]) -> Equation:
    """Return the loop with what is needed for the values that are read, and for its test."""
    params = eq.params
    test, body = params["cond_program"], params["body_program"]
    keep = _needed(test, body, params["cond_nconsts"], params["body_nconsts"], live)
    if all(keep) or test.constants or body.constants:
        return eq
    inputs, kept = _only(eq.inputs, params, keep)
    outputs = tuple([v for v, k in zip(eq.outputs, keep, strict=True) if k])
    return eq._replace(inputs=tuple(inputs), outputs=outputs, params=kept)


while_p: Primitive = define(
    "while_loop",
    multiple=True,
    control=True,
    keeps_weak=False,
    impl=_while_impl,
    shape=_while_shape,
    jvp=_while_jvp,
    transpose=_while_transpose,
    batch=_while_batch,
    lower="a loop of the driver round the kernels of its test and its body",
)
partial_eval_rules[while_p] = _while_partial_eval
dce_rules[while_p] = _while_dce
