"""``scan``: a loop of known length that carries values, reads slices and stacks results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control.carried import avals_of, check_structure, settle
from tracejit.control.interpret import interpret
from tracejit.control.programs import arranged, depends, staged_body, used_inputs, wrapped
from tracejit.control.pushforward import Split
from tracejit.control.scan_split import ScanSplit
from tracejit.control.scan_tape import over_budget, split_between_snapshots
from tracejit.control.stepwise import scanned
from tracejit.core.errors import ShapeError, StructureError
from tracejit.core.keyarray import key_leaves
from tracejit.core.primitive import Primitive, define
from tracejit.core.pytree import PyTreeDef, tree_structure, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Equation, Program
from tracejit.ops._pointwise import add, move_axis
from tracejit.transforms.batching import batch_program, force_axis
from tracejit.transforms.dce import dce_rules
from tracejit.transforms.flat import array_or_tracer, check_callable
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.partial_eval import (
    PartialEvalInterpreter,
    partial_eval_rules,
)
from tracejit.transforms.stage import evaluate, function_name
from tracejit.transforms.transpose import transpose_program

__all__ = ["scan", "scan_p"]


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """Run ``carry, y = f(carry, x)`` along the leading axis of `xs`.

    The same as::

        ys = []
        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, stack(ys)

    but traced and compiled once, however long.

    Parameters
    ----------
    f : callable
        Takes the carry and a slice, returns the next carry, of the same structure, shapes and
        dtypes, and what is to be stacked.
    init : pytree of arrays
        The first carry.  Python scalars in it take the dtype that `f` makes of them.
    xs : pytree of arrays, shape (length, ...), optional
        What is scanned.
    length : int, optional
        The number of trips; needed if `xs` has no leaves.
    reverse : bool
        Whether to go from the last slice to the first; results are stacked at the places of
        their slices.
    unroll : int or bool
        Accepted for compatibility: the compiler decides how to write the loop.

    Returns
    -------
    carry : pytree of arrays
        The last carry.
    ys : pytree of arrays, shape (length, ...)
        The stacked results.

    Raises
    ------
    StructureError
        If `f` does not return a pair, or the structure of the carry changes.
    ShapeError
        If the leading axes of `xs` differ, or the shape of the carry changes.
    DTypeError
        If the dtype of the carry changes; each error names the leaf.

    See Also
    --------
    fori_loop, while_loop, map
    """
    del unroll
    check_callable("scan", f, "f")
    leaves, avals, treedef, names = avals_of("carry", init)
    slices, x_avals, x_treedef, x_names = avals_of("xs", xs)
    length = _length(x_avals, x_names, key_leaves(x_treedef), length)
    x_types = tree_unflatten(
        x_treedef, [ShapedArray(a.shape[1:], a.dtype, a.weak) for a in x_avals]
    )
    name = function_name(f)
    staged: tuple[Program, list[Any], PyTreeDef]
    n_carry = len(leaves)

    def pair(carry: Any, x: Any) -> Any:
        result = f(carry, x)
        if not isinstance(result, tuple) or len(result) != 2:
            raise StructureError(
                f"scan: {name} must return a pair (carry, y); got {type(result).__name__}"
                + (f" of length {len(result)}" if isinstance(result, tuple) else "")
            )
        check_structure(f"scan: the carry returned by {name}", tree_structure(result[0]), treedef)
        return result

    done = scanned(pair, init, xs, length, bool(reverse))
    if done is not None:
        return done[0], done[1]

    def outs(now: list[ShapedArray]) -> Sequence[ShapedArray]:
        nonlocal staged
        staged = staged_body(pair, (tree_unflatten(treedef, now), x_types), name)
        return staged[0].out_avals[:n_carry]

    leaves, _ = settle(f"scan: the carry returned by {name}", names, leaves, avals, outs)
    program, constants, out_treedef = staged
    found = scan_p.bind(
        *constants,
        *leaves,
        *slices,
        program=program,
        length=length,
        reverse=bool(reverse),
        n_consts=len(constants),
        n_carry=n_carry,
    )
    carry, ys = tree_unflatten(out_treedef, map(array_or_tracer, found))
    return carry, ys


def _length(
    avals: Sequence[ShapedArray], names: Sequence[str], keys: Sequence[bool], length: int | None
) -> int:
    """Return the number of trips."""
    found = None if length is None else (length.__index__(), "length")
    for aval, name, is_key in zip(avals, names, keys, strict=True):
        if aval.ndim <= is_key:
            what = "one key; split it" if is_key else f"a scalar, {aval}"
            raise ShapeError(f"scan: {name} must have a leading axis to scan; it is {what}")
        if found is None:
            found = aval.shape[0], name
        elif aval.shape[0] != found[0]:
            raise ShapeError(
                f"scan: the leading axes of xs (and length) must agree: {found[1]} gives "
                f"{found[0]}, {name} of shape {aval.shape} gives {aval.shape[0]}"
            )
    if found is None:
        raise ShapeError("scan: xs has no leaves, so length must be given: scan(f, init, length=n)")
    if found[0] < 0:
        raise ShapeError(f"scan: length must not be negative; got {found[0]}")
    return found[0]


# -------------------------------------------------------------------------------- meaning


def _scan_impl(
    xp: Any,
    *arrays: Any,
    program: Program,
    length: int,
    reverse: bool,
    n_consts: int,
    n_carry: int,
) -> list[Any]:
    first = n_consts + n_carry
    consts, carry, xs = arrays[:n_consts], list(arrays[n_consts:first]), arrays[first:]
    ys = [xp.zeros((length, *aval.shape), aval.dtype) for aval in program.out_avals[n_carry:]]
    for i in reversed(range(length)) if reverse else range(length):
        outs = interpret(xp, program, [*consts, *carry, *(x[i] for x in xs)])
        carry = outs[:n_carry]
        for y, value in zip(ys, outs[n_carry:], strict=True):
            y[i] = value
    return [*carry, *ys]


def _scan_shape(
    *avals: ShapedArray, program: Program, length: int, n_consts: int, n_carry: int, reverse: bool
) -> list[ShapedArray]:
    del avals, reverse
    return [
        *program.in_avals[n_consts : n_consts + n_carry],
        *(ShapedArray((length, *a.shape), a.dtype, a.weak) for a in program.out_avals[n_carry:]),
    ]


# ---------------------------------------------------------------------------- derivatives


def _flagged(flags: Sequence[bool], start: int = 0) -> list[int]:
    """Return the positions of the flags that are set."""
    return [start + n for n, flag in enumerate(flags) if flag]


def _either(x: Sequence[bool], y: Sequence[bool]) -> list[bool]:
    return [a or b for a, b in zip(x, y, strict=True)]


def _scan_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    program: Program,
    n_consts: int,
    n_carry: int,
    **params: Any,
) -> tuple[list[Any], list[Any]]:
    first = n_consts + n_carry
    nonzero = [not isinstance(t, Zero) for t in tangents]
    n_ys = len(program.outputs) - n_carry
    while True:
        carried = nonzero[n_consts:first]
        both, nonzero_out = jvp_program(program, nonzero, [*carried, *[False] * n_ys])
        if list(nonzero_out[:n_carry]) == carried:
            break
        nonzero[n_consts:first] = _either(carried, nonzero_out[:n_carry])
    # The inputs of `both` are the primals, then the tangents; those of a loop go by their roles.
    count = len(primals)
    kinds = [(0, n_consts), (n_consts, first), (first, count)]
    places: list[int] = []
    operands: list[Any] = []
    sizes = []
    for start, stop in kinds:
        flags = nonzero[start:stop]
        places += range(start, stop)
        places += range(count + sum(nonzero[:start]), count + sum(nonzero[:stop]))
        operands += primals[start:stop]
        operands += [instantiate_zero(tangents[start + n]) for n in _flagged(flags)]
        sizes.append(stop - start + sum(flags))
    n_outs = len(program.outputs)
    moved = sum(carried)
    outputs = [
        *range(n_carry),
        *range(n_outs, n_outs + moved),
        *range(n_carry, n_outs),
        *range(n_outs + moved, len(both.outputs)),
    ]
    body, constants = arranged(both, places, outputs)
    outs = scan_p.bind(
        *constants,
        *operands,
        program=body,
        n_consts=len(constants) + sizes[0],
        n_carry=sizes[1],
        **params,
    )
    end = n_carry + moved
    values = [*outs[:n_carry], *outs[end : end + n_ys]]
    rest = iter([*outs[n_carry:end], *outs[end + n_ys :]])
    return values, [
        next(rest) if flag else Zero(get_aval(value))
        for flag, value in zip(nonzero_out, values, strict=True)
    ]


def _scan_partial_eval(
    interpreter: PartialEvalInterpreter, operands: tuple[Any, ...], params: dict[str, Any]
) -> list[Any]:
    split = ScanSplit(operands, [interpreter.is_unknown(x) for x in operands], params)
    if over_budget(params["length"], split.stacked()):
        body = Split.of(
            params["program"], split.body.unknown, params["n_consts"], params["n_carry"]
        )
        return split_between_snapshots(interpreter, operands, params, body)
    known, left, left_params = split.run()
    rest = []
    if any(split.body.unknown_out):
        rest = interpreter.record(scan_p, tuple(left), left_params)
    return split.join(known, rest)


def _scan_transpose(cts: Sequence[Any], *operands: Any, **params: Any) -> list[Any]:
    program: Program = params["program"]
    n_consts, n_carry = params["n_consts"], params["n_carry"]
    first = n_consts + n_carry
    linear = [isinstance(x, Linear) for x in operands]
    if not _carries_linearly(program, linear, n_consts, n_carry):
        # Something is carried that is not linear, a counter: it is run forward first.
        split = ScanSplit(operands, linear, params)
        _, left, left_params = split.run()
        cts = [ct for ct, u in zip(cts, split.body.unknown_out, strict=True) if u]
        results = _scan_transpose(cts, *left, **left_params)
        given = iter(r for x, r in zip(left, results, strict=True) if isinstance(x, Linear))
        return [next(given) if flag else None for flag in linear]
    # Only the stacked results that have a cotangent count.
    read = [n for n in range(n_carry, len(cts)) if not isinstance(cts[n], Zero)]
    forward, early = arranged(program, None, [*range(n_carry), *read])
    of_consts = [*[False] * len(early), *linear[:n_consts]]
    of_xs = linear[first:]
    backward = transpose_program(forward, [*of_consts, *[True] * n_carry, *of_xs])
    n_sums = sum(of_consts)
    body, constants = _accumulating(
        backward, of_consts.count(False), of_xs.count(False), n_carry, n_sums
    )
    consts = [*early, *(x for x in operands[:n_consts] if not isinstance(x, Linear))]
    sums = [instantiate_zero(Zero(x.aval)) for x in operands[:n_consts] if isinstance(x, Linear)]
    outs = scan_p.bind(
        *constants,
        *consts,
        *sums,
        *map(instantiate_zero, cts[:n_carry]),
        *(x for x in operands[first:] if not isinstance(x, Linear)),
        *(cts[n] for n in read),
        program=body,
        length=params["length"],
        reverse=not params["reverse"],
        n_consts=len(constants) + len(consts),
        n_carry=n_sums + n_carry,
    )
    found = iter(outs)
    results = [
        next(found) if flag else None for flag in (*linear[:n_consts], *[True] * n_carry, *of_xs)
    ]
    return [r if flag else None for r, flag in zip(results, linear, strict=True)]


def _carries_linearly(
    program: Program, linear: Sequence[bool], n_consts: int, n_carry: int
) -> bool:
    """Whether all that a loop carries depends on linear operands."""
    carried = slice(n_consts, n_consts + n_carry)
    flags = list(linear)
    while not all(flags[carried]):
        after = _either(flags[carried], depends(program, flags)[:n_carry])
        if after == flags[carried]:
            return False
        flags[carried] = after
    return True


def _accumulating(
    backward: Program, n_consts: int, n_xs: int, n_carry: int, n_sums: int
) -> tuple[Program, list[Any]]:
    """Return the body of a transposed loop.

    Parameters
    ----------
    backward : Program
        Inputs: constants, slices, cotangents of the carry, of the stacked results.  Outputs: the
        cotangents of the constants, of the carry, of the slices.
    n_consts, n_xs, n_carry, n_sums : int
        How many constants, slices and carried values there are, and how many constants have a
        cotangent.

    Returns
    -------
    program : Program
        Inputs: constants, sums of cotangents of constants, cotangents of the carry, slices,
        cotangents of the stacked results.  Outputs: sums, cotangents of the carry, of slices.
    constants : list
        Of its further leading inputs.
    """
    start = n_consts + n_sums

    def body(*inputs: Any) -> list[Any]:
        sums, carry = inputs[n_consts:start], inputs[start : start + n_carry]
        rest = inputs[start + n_carry :]
        outs = evaluate(backward, [*inputs[:n_consts], *rest[:n_xs], *carry, *rest[n_xs:]])
        return [*map(add, sums, outs[:n_sums]), *outs[n_sums:]]

    avals, end = backward.in_avals, n_consts + n_xs
    return wrapped(
        backward,
        ("sums", n_consts, n_xs, n_carry, n_sums),
        body,
        [
            *avals[:n_consts],
            *backward.out_avals[:n_sums],
            *avals[end : end + n_carry],
            *avals[n_consts:end],
            *avals[end + n_carry :],
        ],
    )


# --------------------------------------------------------------------- batching, dead code


def _scan_batch(
    operands: Sequence[Any],
    axes: Sequence[int | None],
    *,
    program: Program,
    n_consts: int,
    n_carry: int,
    **params: Any,
) -> tuple[list[Any], list[int | None]]:
    first = n_consts + n_carry
    size = next(get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None)
    # The batch axis of a slice is where that of the scanned array is, behind the scanned axis.
    values = list(operands)
    inside: list[int | None] = list(axes)
    for n in range(n_consts, len(values)):
        axis = inside[n]
        if axis is None:
            continue
        if n < first:
            values[n] = move_axis(values[n], axis, 0)
            inside[n] = 0
        elif axis == 0:
            values[n] = move_axis(values[n], 0, 1)
        else:
            inside[n] = axis - 1
    n_ys = len(program.outputs) - n_carry
    while True:
        carried = inside[n_consts:first]
        body, out_axes = batch_program(program, size, inside, [*carried, *[None] * n_ys])
        if [a is None for a in out_axes[:n_carry]] == [a is None for a in carried]:
            break
        for n, (before, after) in enumerate(zip(carried, out_axes, strict=False), n_consts):
            if before is None and after is not None:
                values[n] = force_axis(values[n], None, 0, size)
                inside[n] = 0
    body, constants = arranged(body)
    outs = scan_p.bind(
        *constants,
        *values,
        program=body,
        n_consts=len(constants) + n_consts,
        n_carry=n_carry,
        **params,
    )
    return outs, [
        *out_axes[:n_carry],
        *(None if a is None else a + 1 for a in out_axes[n_carry:]),
    ]


def _scan_dce(eq: Equation, live: tuple[bool, ...]) -> Equation:
    """Return the loop with what is needed for the outputs that are read."""
    program: Program = eq.params["program"]
    n_consts, n_carry = eq.params["n_consts"], eq.params["n_carry"]
    first = n_consts + n_carry
    keep = list(live)
    while True:
        part, constants = arranged(program, None, _flagged(keep))
        used = used_inputs(part)[len(constants) :]
        if not any(u and not k for u, k in zip(used[n_consts:first], keep, strict=False)):
            break
        keep[:n_carry] = _either(keep[:n_carry], used[n_consts:first])
    used[n_consts:first] = keep[:n_carry]
    if constants or (all(used) and all(keep)):
        return eq
    body, _ = arranged(program, _flagged(used), _flagged(keep))
    return eq._replace(
        inputs=tuple([a for a, u in zip(eq.inputs, used, strict=True) if u]),
        outputs=tuple([v for v, k in zip(eq.outputs, keep, strict=True) if k]),
        params={
            **eq.params,
            "program": body,
            "n_consts": sum(used[:n_consts]),
            "n_carry": sum(keep[:n_carry]),
        },
    )


scan_p: Primitive = define(
    "scan",
    multiple=True,
    control=True,
    keeps_weak=False,
    impl=_scan_impl,
    shape=_scan_shape,
    jvp=_scan_jvp,
    transpose=_scan_transpose,
    batch=_scan_batch,
    lower="a loop of the driver round the kernels of its body",
)
partial_eval_rules[scan_p] = _scan_partial_eval
dce_rules[scan_p] = _scan_dce
