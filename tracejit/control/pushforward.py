"""A loop split in what is known and what is linear along it.

``linear_along`` takes the body of a loop of which some inputs are unknown, the tangents, and
returns the parts of the loop that computes them: how the states follow one another that it needs
(:attr:`LinearLoop.forward`), and what it does at each of them (:attr:`LinearLoop.linear`).  Of the
known values only those become states that it needs and that have to be kept: what the loop does not
change is a constant, and a counter follows from the step.

``pushforward`` is that loop as a primitive.  Evaluated, it runs forward beside its states;
transposed it is a :mod:`~tracejit.control.sweep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tracejit.control.call import call_p
from tracejit.control.flat_loops import run_along
from tracejit.control.interpret import interpret
from tracejit.control.programs import arranged, callees, used_inputs, wrapped
from tracejit.control.reversal import sweep_program
from tracejit.control.sweep import Parts, sweep_p
from tracejit.core import primitive as tables
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_integer
from tracejit.ir.program import Literal, Program, Var
from tracejit.ops._pointwise import add
from tracejit.ops.arithmetic import mul
from tracejit.ops.convert import convert_element_type
from tracejit.transforms.jvp import instantiate_zero
from tracejit.transforms.partial_eval import (
    inside_loop,
    memory_budget,
    partial_eval_program,
    partial_eval_rules,
)
from tracejit.transforms.stage import evaluate
from tracejit.transforms.transpose import transpose_program

__all__ = ["LinearLoop", "Split", "linear_along", "push", "pushforward_p"]

STEP = ShapedArray((), "int64")


def _either(x: Sequence[bool], y: Sequence[bool]) -> list[bool]:
    return [a or b for a, b in zip(x, y, strict=True)]


class Split(NamedTuple):
    """A body split by what is unknown.

    Attributes
    ----------
    unknown : list of bool
        Which inputs of the body are unknown: constants, carried values, slices.
    known : Program
        Of the known inputs; returns known carried values, known stacked ones, residuals.
    rest : Program
        Of residuals and unknown inputs.
    unknown_out : tuple of bool
        Which outputs of the body are unknown.
    n_residuals : int
        How many residuals there are.
    """

    unknown: list[bool]
    known: Program
    rest: Program
    unknown_out: tuple[bool, ...]
    n_residuals: int

    @classmethod
    def of(
        cls,
        body: Program,
        unknown: Sequence[bool],
        n_consts: int,
        n_carry: int,
        *,
        stacked: bool = False,
    ) -> Split:
        """Split a body; a carried value that becomes unknown is unknown from the start.

        Parameters
        ----------
        body : Program
            What to split.
        unknown : sequence of bool
            Which of its inputs are unknown.
        n_consts, n_carry : int
            How many constants and carried values it has.
        stacked : bool
            Whether the residuals of all trips will be kept.  Otherwise they are computed again a
            trip at a time, and loops in the body may have half of the memory for theirs.
        """
        unknown = list(unknown)
        carried = slice(n_consts, n_consts + n_carry)
        n_ys = len(body.outputs) - n_carry
        budget = memory_budget.get()
        half = None if budget is None else budget // 2
        with inside_loop(half, stacked and budget is None):
            while True:
                wanted = [*unknown[carried], *[False] * n_ys]
                found = partial_eval_program(body, unknown, wanted)
                if list(found[2][:n_carry]) == unknown[carried]:
                    return cls(unknown, *found)
                unknown[carried] = _either(unknown[carried], found[2][:n_carry])

    def left_of(self, budget: int | None) -> int | None:
        """Return what is left of a number of bytes beside the residuals of one trip."""
        if budget is None:
            return None
        outs = self.known.out_avals
        return budget - sum(a.nbytes for a in outs[len(outs) - self.n_residuals :])


class LinearLoop(NamedTuple):
    """What is linear in a loop, and where it gets its operands.

    Attributes
    ----------
    forward : Program
        ``(step, consts, state, slices) -> state``.
    linear : Program
        ``(step, consts, state, slices, lconsts, lcarry, lslices) -> (lcarry, stacked)``.
    constants : list
        The values of the first consts.
    consts, state, xs, lconsts, lcarry, lxs : list of int
        The operands of the loop that are the others; the number of an input of the body.
    outs : list of int or None
        The number of the `lcarry` that becomes the unknown carried value, in order; None if the
        loop returns it as it is.
    """

    forward: Program
    linear: Program
    constants: list[Any]
    consts: list[int]
    state: list[int]
    xs: list[int]
    lconsts: list[int]
    lcarry: list[int]
    lxs: list[int]
    outs: list[int | None]


def linear_along(split: Split, n_consts: int, n_carry: int) -> LinearLoop:
    """Return the linear part of a loop.

    Parameters
    ----------
    split : Split
        Of its body.
    n_consts, n_carry : int
        How many constants and carried values the body has.
    """
    unknown = split.unknown
    groups = [range(n_consts), range(n_consts, n_consts + n_carry),
              range(n_consts + n_carry, len(unknown))]  # fmt: skip
    here = [[n for n in group if not unknown[n]] for group in groups]
    there = [[n for n in group if unknown[n]] for group in groups]
    known, constants = arranged(split.known)
    rest, more = arranged(split.rest)
    first = len(constants) + len(here[0])
    n_known = len(known.outputs) - split.n_residuals
    residuals = range(n_known, len(known.outputs))
    # What the residuals need of the carried values, and what these need of one another; that is
    # computed again, without the effects of the loop.
    carried = range(len(here[1]))
    inputs = known.inputs[first : first + len(here[1])]
    same = [known.outputs[n] is inputs[n] for n in carried]
    strides = [None if same[n] else _stride(known, inputs[n], n) for n in carried]
    free = [s or stride is not None for s, stride in zip(same, strides, strict=True)]
    again, _ = arranged(known, None, residuals, effects=False)
    need = used_inputs(again)[first : first + len(here[1])]
    while True:
        moving = [n for n in carried if need[n] and not free[n]]
        again, _ = arranged(known, None, moving, effects=False)
        used = used_inputs(again)[first : first + len(here[1])]
        if need == (after := _either(need, used)):
            break
        need = after
    fixed = [n for n in carried if need[n] and free[n]]
    kept_inputs = [n for n in range(len(known.inputs)) if not first <= n < first + len(need)
                   or need[n - first]]  # fmt: skip
    next_state, _ = arranged(known, kept_inputs, moving, effects=False)
    now, _ = arranged(known, kept_inputs, residuals, effects=False)
    n_own = len(constants) + len(more)
    sizes = [n_own + len(here[0]) + len(fixed), len(moving), len(here[2])]

    def known_inputs(k: Any, args: Sequence[Any]) -> list[Any]:
        """Return the inputs of the known part from those of `forward`."""
        consts, state = args[: sizes[0]], args[sizes[0] : sizes[0] + sizes[1]]
        xs = args[sizes[0] + sizes[1] :]
        values: dict[int, Any] = dict(zip(moving, state, strict=True))
        for n, x in zip(fixed, consts[n_own + len(here[0]) :], strict=True):
            values[n] = x if same[n] else _counted(x, strides[n], k)
        return [
            *consts[: len(constants)],
            *consts[n_own : n_own + len(here[0])],
            *(values[n] for n in carried if need[n]),
            *xs,
        ]

    # Of the linear values, those that do not change are constants of the others.
    n_lconsts = len(there[0])
    l_first = len(more) + split.n_residuals + n_lconsts
    l_inputs = rest.inputs[l_first : l_first + len(there[1])]
    changes = [rest.outputs[n] is not l_inputs[n] for n in range(len(there[1]))]
    changing = [n for n, c in enumerate(changes) if c]
    still = [n for n, c in enumerate(changes) if not c]
    n_ys = len(rest.outputs) - len(there[1])
    step, _ = arranged(
        rest, None, [*changing, *range(len(there[1]), len(there[1]) + n_ys)]
    )

    def forward(k: Any, *args: Any) -> list[Any]:
        return evaluate(next_state, known_inputs(k, args))

    def linear(k: Any, *args: Any) -> list[Any]:
        end = sum(sizes)
        lconsts = args[end : end + n_lconsts + len(still)]
        lrest = args[end + len(lconsts) :]
        values: dict[int, Any] = dict(zip(still, lconsts[n_lconsts:], strict=True))
        values.update(zip(changing, lrest, strict=False))
        return evaluate(
            step,
            [
                *args[len(constants) : n_own],
                *evaluate(now, known_inputs(k, args[:end])),
                *lconsts[:n_lconsts],
                *(values[n] for n in range(len(there[1]))),
                *lrest[len(changing) :],
            ],
        )

    avals = known.in_avals
    along = [
        STEP,
        *avals[: len(constants)],
        *rest.in_avals[: len(more)],
        *avals[len(constants) : first],
        *(avals[first + n] for n in (*fixed, *moving)),
        *avals[first + len(here[1]) :],
    ]
    l_avals = rest.in_avals[len(more) + split.n_residuals :]
    others = [
        *l_avals[:n_lconsts],
        *(l_avals[n_lconsts + n] for n in (*still, *changing)),
        *l_avals[n_lconsts + len(there[1]) :],
    ]
    key = (split.rest, *map(tuple, here))
    forward_program, none = wrapped(known, ("forward", *key), forward, along)
    linear_program, nothing = wrapped(known, ("linear", *key), linear, [*along, *others])
    assert not none
    assert not nothing
    return _pruned(
        LinearLoop(
            forward_program,
            linear_program,
            [*constants, *more],
            [*here[0], *(here[1][n] for n in fixed)],
            [here[1][n] for n in moving],
            here[2],
            [*there[0], *(there[1][n] for n in still)],
            [there[1][n] for n in changing],
            there[2],
            [changing.index(n) if c else None for n, c in enumerate(changes)],
        )
    )


def _stride(program: Program, x: Var, number: int) -> Any:
    """Return what a body adds to an integer that it carries, if it is a number; else None."""
    out = program.outputs[number]
    if x.aval.shape or not is_integer(x.aval.dtype):
        return None
    for eq in program.equations:
        if out in eq.outputs:
            if eq.primitive.name != "add" or x not in eq.inputs:
                return None
            (other,) = (a for a in eq.inputs if a is not x) if eq.inputs[0] is not eq.inputs[1] \
                else (x,)  # fmt: skip
            return other.value if isinstance(other, Literal) else None
    return None


def _counted(first: Any, stride: Any, k: Any) -> Any:
    """Return a counter at step `k`."""
    dtype = get_aval(first).dtype
    return add(first, mul(convert_element_type(k, dtype), dtype.type(stride)))


def _pruned(loop: LinearLoop) -> LinearLoop:
    """Return the loop without the operands that neither of its programs reads."""
    n_own = len(loop.constants)
    sizes = [n_own + len(loop.consts), len(loop.state), len(loop.xs)]
    end = 1 + sum(sizes)
    ahead = used_inputs(loop.forward)
    used = used_inputs(loop.linear)
    both = [True, *_either(ahead, used[:end])[1:]]
    for n in range(sizes[1]):
        both[1 + sizes[0] + n] = True
    l_end = end + len(loop.lconsts)
    keep = [*both, *used[end:l_end], *[True] * (len(used) - l_end)]

    def kept(start: int, numbers: Sequence[Any]) -> list[Any]:
        return [x for x, flag in zip(numbers, keep[start:], strict=False) if flag]

    places = [n for n, flag in enumerate(keep) if flag]
    return loop._replace(
        forward=arranged(loop.forward, [n for n in places if n < end])[0],
        linear=arranged(loop.linear, places)[0],
        constants=kept(1, loop.constants),
        consts=kept(1 + n_own, loop.consts),
        xs=kept(1 + sizes[0] + sizes[1], loop.xs),
        lconsts=kept(end, loop.lconsts),
    )


# -------------------------------------------------------------------------------- primitive


def push(
    loop: LinearLoop,
    operands: Sequence[Any],
    count: Any,
    tape: Sequence[Any],
    length: int | None,
    reverse: bool,
    snapshots: int,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the operands and params of a pushforward.

    Parameters
    ----------
    loop : LinearLoop
        What it runs.
    operands : sequence
        Of the loop it is part of.
    count : int64 scalar
        How many trips that made.
    tape : sequence
        What it kept, as a sweep takes it; empty if nothing.
    length, reverse
        As for :func:`~tracejit.control.flat_loops.run_along`.
    snapshots : int
        How many states the way back may keep.
    """

    def of(numbers: Sequence[int]) -> list[Any]:
        return [operands[n] for n in numbers]

    along = [[*loop.constants, *of(loop.consts)], of(loop.state), of(loop.xs)]
    linear = [of(loop.lconsts), of(loop.lcarry), of(loop.lxs)]
    sizes = tuple(map(len, (*along, *linear)))
    every = [count, *tape, *(x for group in (*along, *linear) for x in group)]

    def run(count: Any, *inputs: Any) -> list[Any]:
        rest = iter(inputs[len(tape) :])
        groups = [[next(rest) for _ in range(n)] for n in sizes]
        return run_along(loop.forward, loop.linear, length, reverse, count, *groups)

    key = ("pushforward", loop.forward, sizes, length, reverse, tuple(map(get_aval, tape)))
    program, constants = wrapped(
        loop.linear, key, run, [get_aval(x).strong() for x in every]
    )
    assert not constants
    return tuple(every), {
        "program": program,
        "forward": loop.forward,
        "linear": loop.linear,
        "sizes": sizes,
        "length": length,
        "reverse": reverse,
        "snapshots": snapshots,
        "taped": bool(tape),
    }


def _groups(operands: Sequence[Any], sizes: Sequence[int], taped: bool) -> list[list[Any]]:
    """Return count, tape, consts, state, xs, lconsts, lcarry, lxs."""
    rest = iter(operands)
    n_tape = 2 + 2 * sizes[1] if taped else 0
    return [[next(rest) for _ in range(n)] for n in (1, n_tape, *sizes)]


def _pushforward_transpose(
    cts: Sequence[Any],
    *operands: Any,
    program: Program,
    forward: Program,
    linear: Program,
    sizes: tuple[int, ...],
    taped: bool,
    **params: Any,
) -> list[Any]:
    del program
    (count,), tape, consts, state, xs, *others = _groups(operands, sizes, taped)
    flags = [[isinstance(x, Linear) for x in group] for group in others]
    lconsts, lcarry = others[:2]
    n_along = 1 + sum(sizes[:3])
    # Only what has a cotangent counts, and what that depends on.
    keep = [not isinstance(ct, Zero) for ct in cts]
    start = n_along + len(lconsts)
    while True:
        outs = [n for n, flag in enumerate(keep) if flag]
        used = used_inputs(arranged(linear, None, outs)[0])
        after = _either(keep[: len(lcarry)], used[start : start + len(lcarry)])
        if after == keep[: len(lcarry)]:
            break
        keep[: len(lcarry)] = after
    results: list[Any] = [None] * len(operands)
    if not any(keep):
        return results
    live = keep[: len(lcarry)]
    ins = [n for n in range(len(linear.inputs)) if not start <= n < start + len(live)
           or live[n - start]]  # fmt: skip
    step, _ = arranged(linear, ins, outs)
    read = [n for n in outs if n >= len(lcarry)]
    backward = _backward(step, n_along, flags, sum(live), len(read))
    sums = [instantiate_zero(Zero(x.aval)) for x, f in zip(lconsts, flags[0], strict=True) if f]
    carry = [instantiate_zero(ct) for ct, flag in zip(cts, live, strict=False) if flag]
    p = Parts(count, tape, consts, state, xs, [*sums, *carry], [cts[n] for n in read])
    found = iter(sweep_p.bind(*p.flat(), **p.params(forward, backward, params)))
    at = n_along + len(tape)
    for group, kept in ((flags[0], flags[0]), (flags[1], live), (flags[2], flags[2])):
        for flag, there in zip(group, kept, strict=True):
            if there:
                ct = next(found)
                results[at] = ct if flag else None
            at += 1
    return results


def _backward(
    step: Program, n_along: int, flags: Sequence[Sequence[bool]], n_carry: int, n_read: int
) -> Program:
    """Return the backward program of a sweep: it adds up the cotangents of constants.

    Parameters
    ----------
    step : Program
        ``(along, lconsts, lcarry, lslices) -> (lcarry, stacked)``.
    n_along : int
        How many inputs are not linear.
    flags : three sequences of bool
        Which of the linear constants, carried values and slices have a cotangent.
    n_carry, n_read : int
        How many carried values and stacked ones there are.
    """
    linear = [*[False] * n_along, *[True] * (len(step.inputs) - n_along)]
    pulled = transpose_program(step, linear)
    n_sums, n_lconsts = sum(flags[0]), len(flags[0])

    def run(*inputs: Any) -> list[Any]:
        along, rest = inputs[:n_along], inputs[n_along:]
        sums, cts = rest[:n_sums], rest[n_sums:]
        outs = evaluate(pulled, [*along, *cts])
        of_consts = [x for x, f in zip(outs, flags[0], strict=False) if f]
        end = n_lconsts + n_carry
        of_slices = [x for x, f in zip(outs[end:], flags[2], strict=True) if f]
        return [*map(add, sums, of_consts), *outs[n_lconsts:end], *of_slices]

    avals, outs = step.in_avals, step.out_avals
    summed = [a.strong() for a, f in zip(avals[n_along:], flags[0], strict=False) if f]
    key = ("backward", n_along, tuple(flags[0]), tuple(flags[2]), n_carry, n_read)
    program, constants = wrapped(
        pulled, key, run, [*avals[:n_along], *summed, *(a.strong() for a in outs)]
    )
    assert not constants
    return program


def _as_call(table: str) -> Any:
    """Return a rule that treats a pushforward as the program it runs."""

    def rule(*args: Any, program: Program, **params: Any) -> Any:
        del params
        return tables.TABLES[table][call_p](*args, program=program, name=program.name)

    return rule


pushforward_p: Primitive = define(
    "pushforward",
    multiple=True,
    control=True,
    keeps_weak=False,
    impl=lambda xp, *arrays, program, **_: interpret(xp, program, arrays),
    shape=_as_call("shape"),
    jvp=_as_call("jvp"),
    transpose=_pushforward_transpose,
    batch=_as_call("batch"),
    lower="its equations are inlined by the compiler",
)


def _pushforward_partial_eval(interpreter: Any, operands: tuple[Any, ...], params: Any) -> Any:
    as_call = {"program": params["program"], "name": params["program"].name}
    return partial_eval_rules[call_p](interpreter, operands, as_call)


partial_eval_rules[pushforward_p] = _pushforward_partial_eval
callees[pushforward_p] = lambda avals, params: params["program"]
callees[sweep_p] = sweep_program

