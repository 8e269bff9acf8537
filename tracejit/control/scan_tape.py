"""Reverse mode of a loop of known length within bounded memory.

Instead of what every trip leaves for the way back, some of the states are kept, where the binomial
schedule has them; :mod:`~tracejit.control.reversal` computes the others again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.control.programs import arranged, wrapped
from tracejit.control.pushforward import LinearLoop, Split, linear_along, push, pushforward_p
from tracejit.control.tape import rows_of, static_rows, with_row
from tracejit.control.treeverse import snapshots_within
from tracejit.core.primitive import PRIMITIVES
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.transforms.partial_eval import (
    PartialEvalInterpreter,
    memory_budget,
    snapshot_count,
)
from tracejit.transforms.stage import evaluate

__all__ = ["over_budget", "split_between_snapshots"]


def over_budget(length: int, stacked: int) -> bool:
    """Whether what a loop leaves for the way back must not all be kept.

    Parameters
    ----------
    length : int
        The number of trips.
    stacked : int
        The bytes that each of them leaves.
    """
    if length < 2 or not stacked:
        return False
    budget = memory_budget.get()
    return snapshot_count.get() is not None or (budget is not None and length * stacked > budget)


def split_between_snapshots(
    interpreter: PartialEvalInterpreter,
    operands: Sequence[Any],
    params: dict[str, Any],
    split: Split,
) -> list[Any]:
    """Run the known part of a scan, record the rest; return the outputs.

    Parameters
    ----------
    interpreter, operands, params
        As for a partial evaluation rule.
    split : Split
        Of the body.
    """
    n_consts, n_carry, length = params["n_consts"], params["n_carry"], params["length"]
    loop = linear_along(split, n_consts, n_carry)
    avals = [get_aval(operands[n]).strong() for n in loop.state]
    room = snapshots_within(avals, split.left_of(memory_budget.get()), snapshot_count.get())
    snapshots = min(room, length)
    values, tape = _recorded(split, loop, operands, params, snapshots)
    linear: list[Any] = []
    if any(split.unknown_out):
        count = np.int64(length)
        pushed = push(loop, operands, count, tape, length, params["reverse"], snapshots)
        linear = interpreter.record(pushforward_p, *pushed)
    known, stacked = iter(values), iter(linear[len(loop.lcarry) :])
    places = iter(loop.outs)
    outs = []
    for n, unknown in enumerate(split.unknown_out):
        if not unknown:
            outs.append(next(known))
        elif n >= n_carry:
            outs.append(next(stacked))
        else:
            place = next(places)
            outs.append(operands[n_consts + n] if place is None else linear[place])
    return outs


def _recorded(
    split: Split,
    loop: LinearLoop,
    operands: Sequence[Any],
    params: dict[str, Any],
    snapshots: int,
) -> tuple[list[Any], list[Any]]:
    """Run the known part of a scan; return its outputs and its tape."""
    n_consts, n_carry, length = params["n_consts"], params["n_carry"], params["length"]
    n_known = len(split.known.outputs) - split.n_residuals
    body, constants = arranged(split.known, None, range(n_known))
    given = [x for x, u in zip(operands, split.unknown, strict=True) if not u]
    carried = [n for n in range(n_consts, n_consts + n_carry) if not split.unknown[n]]
    state = [carried.index(n) for n in loop.state]
    first = len(constants) + split.unknown[:n_consts].count(False)
    n_now, n_state = len(carried), len(state)
    of_steps, positions = static_rows(length, snapshots)

    def step(*inputs: Any) -> list[Any]:
        carry = inputs[first : first + n_now]
        rows = inputs[first + n_now : first + n_now + n_state]
        xs, row = inputs[first + n_now + 2 * n_state : -1], inputs[-1]
        outs = evaluate(body, [*inputs[:first], *carry, *xs])
        now = [carry[n] for n in state]
        kept = [with_row(r, row, x) for r, x in zip(rows, now, strict=True)]
        return [*outs[:n_now], *kept, *now, *outs[n_now:]]

    avals = body.in_avals
    states = [avals[first + n] for n in state]
    tape = [ShapedArray((snapshots, *a.shape), a.dtype) for a in states]
    xs = avals[first + n_now :]
    every = [*avals[: first + n_now], *tape, *states, *xs, ShapedArray((), of_steps.dtype)]
    whole, more = wrapped(body, ("between snapshots", tuple(state), length, snapshots), step, every)
    start = first - len(constants)
    outs = PRIMITIVES["scan"].bind(
        *more,
        *constants,
        *given[: start + n_now],
        *rows_of(states, snapshots),
        *(given[start + n] for n in state),
        *given[start + n_now :],
        of_steps[::-1].copy() if params["reverse"] else of_steps,
        program=whole,
        length=length,
        reverse=params["reverse"],
        n_consts=len(more) + first,
        n_carry=n_now + 2 * n_state,
    )
    rows = outs[n_now : n_now + 2 * n_state]
    known = [*outs[:n_now], *outs[n_now + 2 * n_state :]]
    return known, [np.int64(length - 1), positions, *rows] if n_state else []
