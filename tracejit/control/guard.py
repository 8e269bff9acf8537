"""Lanes of a batch that do not count: those of a branch not taken, of a loop that is done.

The batching rules of ``cond`` and ``while_loop`` compute on all lanes and choose afterwards.  So
values are right, and forward derivatives; in reverse mode a lane that was not chosen would send
back zero times its derivative, which is NaN where that is infinite.  The primitive ``guard`` stops
this where the values come in.  It changes no value and costs nothing but in derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.control.programs import callees, used_inputs
from tracejit.core.primitive import define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, is_inexact
from tracejit.ir.program import Equation, Program, Var
from tracejit.ops._pointwise import move_axis
from tracejit.ops.arithmetic import quot, rem
from tracejit.ops.constant import scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import select
from tracejit.ops.reduction import argmax, reduce_or
from tracejit.ops.shape import broadcast_in_dim, reshape, transpose
from tracejit.ops.windows import dynamic_slice
from tracejit.transforms.batching import collective_names
from tracejit.transforms.dce import dce_rules, separate
from tracejit.transforms.partial_eval import PartialEvalInterpreter, partial_eval_rules

__all__ = ["guard_p", "guarded"]

Lanes = tuple[int | None, ...]
"""Which axis of a value is each axis of the lanes; None if the lanes along it share the value."""


def guarded(
    program: Program,
    counts: Any,
    operands: Sequence[Any],
    axes: Sequence[int | None] | None = None,
) -> list[Any]:
    """Return operands of a Program such that lanes which do not count send back zero.

    Parameters
    ----------
    program : Program
        What one lane does.
    counts : array of bool, shape (lanes,); or a scalar
        Which lanes count; or whether this one does, to be batched later.
    operands : sequence of values
        Of all lanes; or of this one.
    axes : sequence of (int or None), optional
        The batch axes of operands of all lanes.

    Returns
    -------
    list
        The same values; when they are differentiated, the same in the lanes that count.
    """
    held = [n for n, flag in enumerate(used_inputs(program)) if flag]
    found = guard_p.bind(
        counts,
        *(operands[n] for n in held),
        lanes=tuple([() if axes is None else (axes[n],) for n in held]),
        # A collective inside sees the values of all lanes.
        replace=not collective_names(program),
    )
    out = list(operands)
    for n, x in zip(held, found, strict=True):
        out[n] = x
    return out


def _along(counts: Any, lanes: Lanes, shape: tuple[int, ...]) -> Any:
    """Return which elements of a value count: those that a lane which counts has a part in."""
    missing = [n for n, axis in enumerate(lanes) if axis is None]
    present = [axis for axis in lanes if axis is not None]
    flags = reduce_or(counts, missing) if missing else counts
    order = sorted(range(len(present)), key=present.__getitem__)
    return broadcast_in_dim(transpose(flags, order), shape, sorted(present))


def _one(counts: Any) -> list[Any]:
    """Return where one lane is that counts, along each axis of `counts`."""
    shape = get_aval(counts).shape
    flat = convert_element_type(reshape(counts, (get_aval(counts).size,)), DTYPES["i32"])
    left = argmax(flat, 0)
    found: list[Any] = []
    for length in reversed(shape):
        found.insert(0, rem(left, np.int64(length)))
        left = quot(left, np.int64(length))
    return found


def _of_one(x: Any, lanes: Lanes, one: Sequence[Any]) -> Any:
    """Return the value of one lane, copied to all."""
    shape = get_aval(x).shape
    starts: list[Any] = [np.int64(0)] * len(shape)
    sizes = list(shape)
    for axis, number in zip(lanes, one, strict=True):
        if axis is not None:
            starts[axis], sizes[axis] = number, 1
    rest = [n for n in range(len(shape)) if n not in lanes]
    lane = reshape(dynamic_slice(x, starts, sizes), tuple([shape[n] for n in rest]))
    return broadcast_in_dim(lane, shape, rest)


def _stopped(x: Any) -> Any:
    """Return `x`, which sends nothing back, in a linear Program either."""
    return guard_p.bind(np.False_, x, lanes=((),), replace=False)[0]


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, lanes: tuple[Lanes, ...], replace: bool
) -> tuple[list[Any], list[Any]]:
    counts, *operands = primals
    flags = [
        _along(counts, of, get_aval(x).shape) for x, of in zip(operands, lanes, strict=True)
    ]
    shared = any(
        None in of and is_inexact(get_aval(x).dtype) for x, of in zip(operands, lanes, strict=True)
    )
    if replace and shared and get_aval(counts).size:
        # What the lanes share has a derivative that is summed over them, where nothing can be left
        # out any more: those that do not count get the values of one that does, to be finite.
        one = _one(counts)
        outs = [
            x if not any(axis is not None for axis in of)
            else select(flag, x, _stopped(_of_one(x, of, one)))
            for x, of, flag in zip(operands, lanes, flags, strict=True)
        ]  # fmt: skip
    else:
        outs = guard_p.bind(counts, *operands, lanes=lanes, replace=replace)
    return outs, [
        t if isinstance(t, Zero) else select(flag, t, scalar_like(t, 0))
        for t, flag in zip(tangents[1:], flags, strict=True)
    ]


def _transpose(
    cts: Sequence[Any], counts: Any, *operands: Any, lanes: tuple[Lanes, ...], replace: bool
) -> list[Any]:
    del operands, replace
    return [
        None,
        *(
            ct
            if isinstance(ct, Zero)
            else select(_along(counts, of, get_aval(ct).shape), ct, scalar_like(ct, 0))
            for ct, of in zip(cts, lanes, strict=True)
        ),
    ]


def _batch(
    operands: Sequence[Any],
    axes: Sequence[int | None],
    *,
    lanes: tuple[Lanes, ...],
    replace: bool,
) -> tuple[list[Any], list[int | None]]:
    counts, *rest = operands
    at, *others = axes
    if at is not None:
        counts = move_axis(counts, at, 0)
    new = []
    for of, axis in zip(lanes, others, strict=True):
        moved = [a if a is None or axis is None else a + (a >= axis) for a in of]
        new.append(tuple(moved if at is None else [axis, *moved]))
    return guard_p.bind(counts, *rest, lanes=tuple(new), replace=replace), others


def _shape(
    counts: ShapedArray, *avals: ShapedArray, lanes: tuple[Lanes, ...], replace: bool
) -> list[ShapedArray]:
    del counts, lanes, replace
    return list(avals)


def _dce(equation: Equation, live: tuple[bool, ...]) -> Equation:
    counts, *operands = equation.inputs
    keep = [n for n, flag in enumerate(live) if flag]
    lanes = equation.params["lanes"]
    return equation._replace(
        inputs=(counts, *(operands[n] for n in keep)),
        params={**equation.params, "lanes": tuple([lanes[n] for n in keep])},
        outputs=tuple([equation.outputs[n] for n in keep]),
    )


def _partial_eval(
    interpreter: PartialEvalInterpreter, operands: tuple[Any, ...], params: dict[str, Any]
) -> list[Any]:
    counts, *rest = operands
    unknown = [interpreter.is_unknown(counts) or interpreter.is_unknown(x) for x in rest]

    def part(flag: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kept = [n for n, u in enumerate(unknown) if u is flag]
        lanes = tuple([params["lanes"][n] for n in kept])
        return (counts, *(rest[n] for n in kept)), {**params, "lanes": lanes}

    now: list[Any] = []
    if not all(unknown):
        given, how = part(False)
        now = guard_p.bind(*given, **how)
    later: list[Any] = []
    if any(unknown):
        later = interpreter.record(guard_p, *part(True))
    first, then = iter(now), iter(later)
    return [next(then) if u else next(first) for u in unknown]


def _itself(avals: Sequence[ShapedArray], params: dict[str, Any]) -> Program:
    del params
    inputs = [Var(aval) for aval in avals]
    return Program(inputs, (), inputs[1:], (), "guard")


guard_p = define(
    "guard",
    multiple=True,
    keeps_weak=False,
    impl=lambda xp, counts, *arrays, lanes, replace: list(arrays),
    shape=_shape,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    lower="the compiler puts its operands in place of its results",
)
dce_rules[guard_p] = _dce
separate.add(guard_p)
partial_eval_rules[guard_p] = _partial_eval
callees[guard_p] = _itself
