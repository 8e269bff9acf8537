"""Loops over flat lists of values, for the rules of the loops themselves.

The modules of ``while_loop`` and ``scan`` import this one, so it finds their primitives by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.control.programs import interned, wrapped
from tracejit.core.primitive import PRIMITIVES
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.ops._pointwise import add
from tracejit.ops.logical import lt
from tracejit.transforms.dce import dce
from tracejit.transforms.stage import evaluate, hoist_constants, stage

__all__ = ["run_along", "when", "while_flat"]

Flat = Callable[..., Sequence[Any]]


def while_flat(test: Callable[..., Any], step: Flat, values: Sequence[Any]) -> list[Any]:
    """Run ``values = step(*values)`` as long as ``test(*values)``.

    Parameters
    ----------
    test : callable
        Returns a bool scalar.
    step : callable
        Returns as many values as it takes, of the same types.
    values : sequence of operands
        The first ones.
    """
    avals = [get_aval(x).strong() for x in values]
    cond_program, of_test = _staged(lambda *args: [test(*args)], avals, "test")
    body_program, of_step = _staged(step, avals, "step")
    out: list[Any] = PRIMITIVES["while_loop"].bind(
        *of_test,
        *of_step,
        *values,
        cond_program=cond_program,
        body_program=body_program,
        cond_nconsts=len(of_test),
        body_nconsts=len(of_step),
        free=(False,) * len(values),
    )
    return out


def _staged(fun: Flat, avals: Sequence[Any], name: str) -> tuple[Program, list[Any]]:
    program, constants = hoist_constants(dce(stage(fun, avals, name)))
    return interned(program), constants


def when(flag: Any, fun: Flat, values: Sequence[Any]) -> list[Any]:
    """Return ``fun(*values)`` if `flag` is True, else `values`.

    It is a loop of one trip at most: unlike a branch it leaves `values` where they are.
    """
    return while_flat(
        lambda going, *_: going, lambda going, *now: [False, *fun(*now)], [flag, *values]
    )[1:]


def run_along(
    forward: Program,
    linear: Program,
    length: int | None,
    reverse: bool,
    count: Any,
    consts: Sequence[Any],
    state: Sequence[Any],
    xs: Sequence[Any],
    lconsts: Sequence[Any],
    lcarry: Sequence[Any],
    lxs: Sequence[Any],
) -> list[Any]:
    """Run a loop and, along its states, another.

    Parameters
    ----------
    forward : Program
        ``(step, consts, state, slices of xs) -> state``
    linear : Program
        ``(step, consts, state, slices of xs, lconsts, lcarry, slices of lxs) -> (lcarry, ys)``
    length : int or None
        The number of trips if it is static; without it there are no slices.
    reverse : bool
        Whether slices are read from the last to the first.
    count : int64 scalar
        The number of trips.
    consts, state, xs, lconsts, lcarry, lxs : sequence of operands
        What the loops start with.

    Returns
    -------
    list
        The last `lcarry`, then the stacked ys.
    """
    sizes = [len(group) for group in (consts, xs, lconsts, state, lcarry)]

    def step(k: Any, state: Sequence[Any], lcarry: Sequence[Any], consts: Sequence[Any],
             xs: Sequence[Any], lconsts: Sequence[Any], lxs: Sequence[Any]) -> list[Any]:
        inputs = [k, *consts, *state, *xs]
        return [
            add(k, np.int64(1)),
            *evaluate(forward, inputs),
            *evaluate(linear, [*inputs, *lconsts, *lcarry, *lxs]),
        ]  # fmt: skip

    n_state = len(state)
    if length is None:

        def trip(k: Any, *values: Any) -> list[Any]:
            return step(k, values[:n_state], values[n_state:], consts, (), lconsts, ())

        found = while_flat(
            lambda k, *_: lt(k, count), trip, [np.int64(0), *state, *lcarry]
        )
        return found[1 + n_state :]

    def body(*inputs: Any) -> list[Any]:
        rest = list(inputs)

        def take(n: int) -> list[Any]:
            taken = rest[:n]
            del rest[:n]
            return taken

        consts, lconsts, (k,) = take(sizes[0]), take(sizes[2]), take(1)
        state, lcarry, xs = take(sizes[3]), take(sizes[4]), take(sizes[1])
        return step(k, state, lcarry, consts, xs, lconsts, rest)

    carry = [np.int64(0), *state, *lcarry]
    slices = [ShapedArray(a.shape[1:], a.dtype) for a in map(get_aval, (*xs, *lxs))]
    avals = [get_aval(x).strong() for x in (*consts, *lconsts, *carry)]
    program, constants = wrapped(
        linear, ("along", forward, *sizes), body, [*avals, *slices]
    )
    out: list[Any] = PRIMITIVES["scan"].bind(
        *constants,
        *consts,
        *lconsts,
        *carry,
        *xs,
        *lxs,
        program=program,
        length=length,
        reverse=reverse,
        n_consts=len(constants) + len(consts) + len(lconsts),
        n_carry=len(carry),
    )
    return out[1 + n_state :]
