"""``while_loop``: a loop whose length is known only when it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control.carried import avals_of, check_structure, settle
from tracejit.control.interpret import interpret
from tracejit.control.programs import arranged, depends, staged_body, used_inputs, wrapped
from tracejit.core.errors import DTypeError, StructureError
from tracejit.core.primitive import Primitive, define
from tracejit.core.pytree import PyTreeDef, tree_structure, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_bool
from tracejit.ir.program import Equation, Program
from tracejit.ops._pointwise import move_axis
from tracejit.ops.logical import select
from tracejit.ops.reduction import reduce_or
from tracejit.ops.shape import broadcast_in_dim
from tracejit.transforms.batching import batch_program, force_axis
from tracejit.transforms.dce import dce_rules
from tracejit.transforms.flat import array_or_tracer
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.partial_eval import PartialEvalInterpreter, partial_eval_rules
from tracejit.transforms.stage import evaluate, function_name

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
    scan, fori_loop : loops of known length, which have derivatives in reverse mode.

    Notes
    -----
    Forward derivatives (:func:`~tracejit.jvp`, :func:`~tracejit.linearize`) exist; those in
    reverse mode would need all values between, whose number is not known.
    """
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
) -> list[Any]:
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
) -> list[ShapedArray]:
    del avals, cond_program, cond_nconsts
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
    test, body = params["cond_program"], params["body_program"]
    n_test, n_body = params["cond_nconsts"], params["body_nconsts"]
    first = n_test + n_body
    unknown = [interpreter.is_unknown(x) for x in operands]
    while True:
        carried = unknown[first:]
        after = [a or b for a, b in zip(carried, depends(body, unknown[n_test:]), strict=True)]
        if after == carried:
            break
        unknown[first:] = after
    # The loop with unknown values computes the known ones anew, for its predicate.
    rest = interpreter.record(while_p, operands, params)
    if all(carried) or depends(test, [*unknown[:n_test], *carried])[0]:
        return list(rest)
    need = _needed(test, body, n_test, n_body, [not u for u in carried])
    known = _only(operands, params, need)
    outs = iter(while_p.bind(*known[0], **known[1]))
    values = [next(outs) if flag else None for flag in need]
    return [r if u else v for r, v, u in zip(rest, values, carried, strict=True)]


# --------------------------------------------------------------------- batching, dead code


def _while_batch(
    operands: Sequence[Any],
    axes: Sequence[int | None],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
) -> tuple[list[Any], list[int | None]]:
    first = cond_nconsts + body_nconsts
    size = next(get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None)
    test_axes, body_axes = tuple(axes[:cond_nconsts]), tuple(axes[cond_nconsts:first])
    carried = [None if a is None else 0 for a in axes[first:]]
    while True:
        test, (of_test,) = batch_program(cond_program, size, (*test_axes, *carried))
        body, found = batch_program(body_program, size, (*body_axes, *carried), carried)
        after = [None if a is None and of_test is None else 0 for a in found]
        if after == carried:
            break
        carried = after
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
        body, of_body = _frozen(body, test, body_nconsts, cond_nconsts)
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
    )
    return outs, list(carried)


def _any_lane(test: Program) -> tuple[Program, list[Any]]:
    """Return the test of a batch: whether any lane goes on."""
    return wrapped(
        test, "any", lambda *args: [reduce_or(evaluate(test, args)[0], (0,))], test.in_avals
    )


def _frozen(body: Program, test: Program, n_body: int, n_test: int) -> tuple[Program, list[Any]]:
    """Return the body of a batch, in which lanes that are done keep their values.

    Its inputs are the constants of the test, those of the body, the values.
    """

    def step(*args: Any) -> list[Any]:
        of_test, rest = args[:n_test], args[n_test:]
        carry = rest[n_body:]
        (going,) = evaluate(test, [*of_test, *carry])
        out = []
        for old, new in zip(carry, evaluate(body, rest), strict=True):
            shape = get_aval(old).shape
            flags = going if len(shape) == 1 else broadcast_in_dim(going, shape, (0,))
            out.append(select(flags, new, old))
        return out

    avals = [*test.in_avals[:n_test], *body.in_avals]
    return wrapped(body, ("frozen", test, n_body, n_test), step, avals)


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
    transpose="the number of its trips is known only when it runs, so the values between cannot be "
    "kept for the way back. Use scan, or fori_loop with bounds that are Python ints; jvp, "
    "linearize and jacfwd work with it",
    batch=_while_batch,
    lower="a loop of the driver round the kernels of its test and its body",
)
partial_eval_rules[while_p] = _while_partial_eval
dce_rules[while_p] = _while_dce
