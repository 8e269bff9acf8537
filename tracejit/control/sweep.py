"""``sweep``: a loop backward along the states that another loop went through.

The states ``x[k+1] = forward(k, consts, x[k], xs[k])`` are not given but computed again, from
snapshots on a tape if there is one.  Along them, for ``k = count-1 .. 0``::

    carry, ys[k] = backward(k, consts, x[k], xs[k], carry, zs[k])

It is what reverse mode makes of a loop.  `backward` is linear in the carry and the ``zs``, which
makes sweeps a closed family: derivatives of a sweep are a sweep along states and their tangents,
and its transpose is a loop forward.  The tape says nothing that the other operands do not, so
derivatives by it are zero, and any rule may do without.

Operands: the count; the tape (the number of the last state, the positions of the rows, the rows,
the last state); constants; the first state; ``xs``; the carry; ``zs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tracejit.control.flat_loops import run_along
from tracejit.control.guard import guarded
from tracejit.control.interpret import interpret
from tracejit.control.programs import Hoisted, arranged, united, used_inputs, wrapped
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Equation, Program
from tracejit.ops._pointwise import move_axis
from tracejit.ops.logical import lt, select
from tracejit.ops.reduction import reduce_max
from tracejit.transforms.batching import batch_program, force_axis
from tracejit.transforms.dce import dce_rules
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.partial_eval import (
    PartialEvalInterpreter,
    partial_eval_program,
    partial_eval_rules,
    snapshots_kept,
)
from tracejit.transforms.stage import evaluate
from tracejit.transforms.transpose import backward_pass, transpose_program

__all__ = ["Parts", "parts", "sweep_p"]

Params = dict[str, Any]


class Parts(NamedTuple):
    """The operands of a sweep by their roles, or something for each of them."""

    count: Any
    tape: list[Any]
    consts: list[Any]
    state: list[Any]
    xs: list[Any]
    carry: list[Any]
    zs: list[Any]

    def along(self) -> list[Any]:
        """Return the inputs of the forward program but the step."""
        return [*self.consts, *self.state, *self.xs]

    def inputs(self) -> list[Any]:
        """Return the inputs of the backward program but the step."""
        return [*self.along(), *self.carry, *self.zs]

    def flat(self) -> list[Any]:
        """Return all in order."""
        return [self.count, *self.tape, *self.inputs()]

    def params(self, forward: Program, backward: Program, params: Params) -> Params:
        """Return the params of a sweep with these operands and the rest of `params`."""
        return {
            **params,
            "forward": forward,
            "backward": backward,
            "n_consts": len(self.consts),
            "n_state": len(self.state),
            "n_xs": len(self.xs),
            "n_carry": len(self.carry),
            "taped": bool(self.tape),
        }


def parts(operands: Sequence[Any], params: Params) -> Parts:
    """Return the operands of a sweep by their roles."""
    rest = list(operands)

    def take(count: int) -> list[Any]:
        taken = rest[:count]
        del rest[:count]
        return taken

    n_state = params["n_state"]
    (count,) = take(1)
    tape = take(2 + 2 * n_state if params["taped"] else 0)
    consts, state, xs = take(params["n_consts"]), take(n_state), take(params["n_xs"])
    return Parts(count, tape, consts, state, xs, take(params["n_carry"]), rest)


def _bind(p: Parts, programs: tuple[Hoisted, Hoisted], params: Params) -> list[Any]:
    """Bind a sweep of two Programs with constants of their own."""
    forward, backward, more = united(*programs)
    p = p._replace(consts=[*more, *p.consts])
    out: list[Any] = sweep_p.bind(*p.flat(), **p.params(forward, backward, params))
    return out


def _either(x: Sequence[bool], y: Sequence[bool]) -> list[bool]:
    return [a or b for a, b in zip(x, y, strict=True)]


def _chosen(xs: Sequence[Any], flags: Sequence[Any]) -> list[Any]:
    return [x for x, flag in zip(xs, flags, strict=True) if flag]


# -------------------------------------------------------------------------------- meaning


def _sweep_impl(
    xp: Any,
    *arrays: Any,
    forward: Program,
    backward: Program,
    length: int | None,
    reverse: bool,
    **params: Any,
) -> list[Any]:
    """Keep all states: one may do without the tape."""
    p = parts(arrays, params)
    count = int(p.count)

    def place(k: int) -> int:
        return (length or 0) - 1 - k if reverse else k

    def inputs(k: int, state: Sequence[Any]) -> list[Any]:
        return [xp.asarray(k), *p.consts, *state, *(x[place(k)] for x in p.xs)]

    states = [p.state]
    for k in range(count - 1):
        states.append(interpret(xp, forward, inputs(k, states[-1])))
    carry = p.carry
    stacked = backward.out_avals[len(carry) :]
    ys = [xp.zeros((length, *aval.shape), aval.dtype) for aval in stacked]
    for k in reversed(range(count)):
        slices = [z[place(k)] for z in p.zs]
        outs = interpret(xp, backward, [*inputs(k, states[k]), *carry, *slices])
        carry = outs[: len(carry)]
        for y, value in zip(ys, outs[len(carry) :], strict=True):
            y[place(k)] = value
    return [*carry, *ys]


def _sweep_shape(
    *avals: ShapedArray, backward: Program, length: int | None, n_carry: int, **params: Any
) -> list[ShapedArray]:
    del avals, params
    outs = backward.out_avals
    assert length is not None or len(outs) == n_carry
    return [
        *outs[:n_carry],
        *(ShapedArray((length or 0, *a.shape), a.dtype) for a in outs[n_carry:]),
    ]


# ---------------------------------------------------------------------------- derivatives


def _sweep_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Any]]:
    forward, backward = params["forward"], params["backward"]
    p, t = parts(primals, params), parts(tangents, params)
    moves = Parts(None, [], *([not isinstance(x, Zero) for x in group] for group in t[2:]))
    while True:
        both, after = jvp_program(forward, [False, *moves.along()], moves.state)
        if list(after) == moves.state:
            break
        moves = moves._replace(state=_either(moves.state, after))
    n_carry, n_outs = len(p.carry), len(backward.outputs)
    n_ys = n_outs - n_carry
    while True:
        wanted = [*moves.carry, *[False] * n_ys]
        pulled, out = jvp_program(backward, [False, *moves.inputs()], wanted)
        if list(out[:n_carry]) == moves.carry:
            break
        moves = moves._replace(carry=_either(moves.carry, out[:n_carry]))

    def doubled(x: Sequence[Any], dx: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
        return [*x, *map(instantiate_zero, _chosen(dx, flags))]

    groups = [doubled(*g) for g in zip(p[2:], t[2:], moves[2:], strict=True)]
    new = Parts(p.count, _doubled_tape(p, t, moves.state), *groups)
    moved = sum(moves.carry)
    end = n_outs + moved
    outputs = [
        *range(n_carry), *range(n_outs, end), *range(n_carry, n_outs),
        *range(end, len(pulled.outputs)),
    ]  # fmt: skip
    programs = (
        arranged(both, _by_role(moves[2:5])),
        arranged(pulled, _by_role(moves[2:]), outputs),
    )
    outs = _bind(new, programs, params)
    end = n_carry + moved
    values = [*outs[:n_carry], *outs[end : end + n_ys]]
    rest = iter([*outs[n_carry:end], *outs[end + n_ys :]])
    return values, [
        next(rest) if flag else Zero(get_aval(x)) for flag, x in zip(out, values, strict=True)
    ]


def _by_role(moves: Sequence[Sequence[bool]]) -> list[int]:
    """Return the inputs of a derivative, first the step, so that tangents follow their primals."""
    order, at, moving = [0], 1, 1 + sum(map(len, moves))
    for flags in moves:
        order += range(at, at + len(flags))
        order += range(moving, moving + sum(flags))
        at, moving = at + len(flags), moving + sum(flags)
    return order


def _doubled_tape(p: Parts, t: Parts, moves: Sequence[bool]) -> list[Any]:
    """Return the tape of states and their tangents; none if some tangents were not kept."""
    if not p.tape:
        return []
    n = len(p.state)
    rows, last = _chosen(t.tape[2 : 2 + n], moves), _chosen(t.tape[2 + n :], moves)
    if any(isinstance(x, Zero) for x in (*rows, *last)):
        return []
    return [*p.tape[: 2 + n], *rows, *p.tape[2 + n :], *last]


def _sweep_partial_eval(
    interpreter: PartialEvalInterpreter, operands: tuple[Any, ...], params: Params
) -> list[Any]:
    forward, backward = params["forward"], params["backward"]
    p = parts(operands, params)
    unknown = Parts(None, [], *([interpreter.is_unknown(x) for x in g] for g in p[2:]))
    while True:
        step, _, after, n_along = partial_eval_program(
            forward, [False, *unknown.along()], unknown.state
        )
        if list(after) == unknown.state:
            break
        unknown = unknown._replace(state=_either(unknown.state, after))
    n_carry, n_ys = len(p.carry), len(backward.outputs) - len(p.carry)
    while True:
        wanted = [*unknown.carry, *[False] * n_ys]
        back, _, out, n_back = partial_eval_program(backward, [False, *unknown.inputs()], wanted)
        if list(out[:n_carry]) == unknown.carry:
            break
        unknown = unknown._replace(carry=_either(unknown.carry, out[:n_carry]))
    now: list[Any] = []
    if not all(out):
        known = Parts(
            p.count,
            _tape_of(p, [not u for u in unknown.state]),
            *(_chosen(x, [not u for u in us]) for x, us in zip(p[2:], unknown[2:], strict=True)),
        )
        programs = (
            arranged(step, None, range(len(step.outputs) - n_along)),
            arranged(back, None, range(len(back.outputs) - n_back)),
        )
        now = _bind(known, programs, params)
    later: list[Any] = []
    if any(out):
        # States that depend on unknowns are on no tape that is known.
        rest = p._replace(tape=[]) if any(unknown.state) else p
        rest, rest_params, kept = _restricted(rest, params, out)
        found = interpreter.record(sweep_p, tuple(rest.flat()), rest_params)
        later = [x for x, n in zip(found, kept, strict=True) if out[n]]
    known_outs, unknown_outs = iter(now), iter(later)
    return [next(unknown_outs) if u else next(known_outs) for u in out]


def _tape_of(p: Parts, keep: Sequence[bool]) -> list[Any]:
    """Return the tape of some of the states."""
    if not p.tape:
        return []
    n = len(p.state)
    rows, last = p.tape[2 : 2 + n], p.tape[2 + n :]
    return [*p.tape[:2], *_chosen(rows, keep), *_chosen(last, keep)]


def _sweep_transpose(cts: Sequence[Any], *operands: Any, **params: Any) -> list[Any]:
    """Pair what is linear with a loop forward.

    For a sweep ``A(x)' b`` and a cotangent ``v`` the cotangents are the derivatives of
    ``<v, A(x)' b> = <A(x) v, b>``: that by ``b`` is what the loop ``A(x)`` makes of ``v``, and that
    by ``x``, if it is linear in it, is reverse mode of the same loop.
    """
    forward, backward = params["forward"], params["backward"]
    p = parts(operands, params)
    n_along = 1 + len(p.along())
    n_carry = len(p.carry)
    ahead = transpose_program(
        backward, [*[False] * n_along, *[True] * (len(p.inputs()) + 1 - n_along)]
    )
    given = [p.count, *p.along(), *map(instantiate_zero, cts)]
    avals = [(x.aval if isinstance(x, Linear) else get_aval(x)).strong() for x in given]
    sizes = [len(p.consts), len(p.state), len(p.xs), n_carry]

    def run(count: Any, *inputs: Any) -> list[Any]:
        rest = iter(inputs)
        groups = [[next(rest) for _ in range(n)] for n in sizes]
        consts, state, xs, carry = groups
        return run_along(
            forward, ahead, params["length"], params["reverse"],
            count, consts, state, xs, [], carry, list(rest),
        )  # fmt: skip

    key = ("adjoint", forward, *sizes, params["length"], params["reverse"])
    program, constants = wrapped(ahead, key, run, avals)
    partners = [*p.carry, *p.zs]
    given = [*constants, *given]
    unknown = [isinstance(x, Linear) for x in given]
    if not any(unknown):
        found = evaluate(program, given)
        late = [False] * len(found)
        along: list[Any] = []
    else:
        with snapshots_kept(params["snapshots"]):
            known, rest, late_, count = partial_eval_program(program, unknown)
        late = list(late_)
        outs = evaluate(known, [x for x, u in zip(given, unknown, strict=True) if not u])
        n_known = len(outs) - count
        values = iter(outs[:n_known])
        found = [None if u else next(values) for u in late]
        pairs = [
            Zero(x.aval) if isinstance(x, Linear) else x for x in _chosen(partners, late)
        ]
        along = backward_pass(
            rest,
            [*[False] * count, *[True] * sum(unknown)],
            [*outs[n_known:], *[None] * sum(unknown)],
            pairs,
        )
    of_along = iter(along)
    by_along = [next(of_along) if isinstance(x, Linear) else None for x in p.along()]
    by_partners = [
        x if isinstance(y, Linear) else None for x, y in zip(found, partners, strict=True)
    ]
    return [*[None] * (1 + len(p.tape)), *by_along, *by_partners]


# --------------------------------------------------------------------- batching, dead code


def _sweep_batch(
    operands: Sequence[Any], axes: Sequence[int | None], **params: Any
) -> tuple[list[Any], list[int | None]]:
    size = next(get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None)
    p, a = parts(operands, params), parts(axes, params)
    forward, backward = params["forward"], params["backward"]
    if a.count is not None:
        n_state = 1 + len(p.consts)
        forward = _frozen(forward, n_state, len(p.state))
        backward = _frozen(backward, 1 + len(p.along()), len(p.carry))
        most = reduce_max(p.count, (a.count,)) if size else get_aval(p.count).dtype.type(0)
        p = p._replace(consts=[p.count, *p.consts], count=most)
        a = a._replace(consts=[a.count, *a.consts], count=None)
    xs, x_axes = _slices(p.xs, a.xs)
    zs, z_axes = _slices(p.zs, a.zs)
    n = len(p.state)
    taped = p.tape and a.tape[0] is None and a.tape[1] is None
    on_tape = a.tape[2:] if taped else [None] * (2 * n)
    state: list[int | None] = [
        None if all(b is None for b in bs) else 0
        for bs in zip(a.state, on_tape[:n], on_tape[n:], strict=True)
    ]
    while True:
        step, after = batch_program(forward, size, [None, *a.consts, *state, *x_axes], state)
        if list(after) == state:
            break
        state = [None if b is None and c is None else 0 for b, c in zip(state, after, strict=True)]
    carry: list[int | None] = [None if b is None else 0 for b in a.carry]
    n_ys = len(backward.outputs) - len(carry)
    while True:
        inside = [None, *a.consts, *state, *x_axes, *carry, *z_axes]
        back, out = batch_program(backward, size, inside, [*carry, *[None] * n_ys])
        of_carry = out[: len(carry)]
        if list(of_carry) == carry:
            break
        carry = [
            None if b is None and c is None else 0 for b, c in zip(carry, of_carry, strict=True)
        ]

    def forced(
        values: Sequence[Any], at: Sequence[int | None], wanted: Sequence[int | None], to: int
    ) -> list[Any]:
        return [
            x if w is None else force_axis(x, b, to, size)
            for x, b, w in zip(values, at, wanted, strict=True)
        ]

    tape: list[Any] = []
    if taped:
        rows = forced(p.tape[2 : 2 + n], on_tape[:n], state, 1)
        tape = [*p.tape[:2], *rows, *forced(p.tape[2 + n :], on_tape[n:], state, 0)]
    new = Parts(
        p.count,
        tape,
        p.consts,
        forced(p.state, a.state, state, 0),
        xs,
        forced(p.carry, a.carry, carry, 0),
        zs,
    )
    outs = _bind(new, (arranged(step), arranged(back)), params)
    stacked = [None if b is None else b + 1 for b in out[len(carry) :]]
    return outs, [*carry, *stacked]


def _slices(
    values: Sequence[Any], axes: Sequence[int | None]
) -> tuple[list[Any], list[int | None]]:
    """Return arrays with their batch axes behind the first one, and those axes of their slices."""
    out: list[Any] = []
    inside: list[int | None] = []
    for x, axis in zip(values, axes, strict=True):
        out.append(move_axis(x, 0, 1) if axis == 0 else x)
        inside.append(None if axis is None else max(axis - 1, 0))
    return out, inside


def _frozen(program: Program, start: int, count: int) -> Program:
    """Return a Program that keeps `count` inputs from `start` on beyond the steps of its lane.

    The number of steps is its second input.
    """

    def step(k: Any, steps: Any, *inputs: Any) -> list[Any]:
        going = lt(k, steps)
        outs = evaluate(program, [k, *guarded(program, going, [k, *inputs])[1:]])
        assert len(outs) == count  # what is stacked has a static length, which no lane changes
        old = inputs[start - 1 : start - 1 + count]
        return [select(going, new, x) for new, x in zip(outs, old, strict=True)]

    avals = program.in_avals
    frozen, constants = wrapped(
        program, ("frozen", start, count), step, [avals[0], avals[0], *avals[1:]]
    )
    assert not constants
    return frozen


def _restricted(
    p: Parts, params: Params, keep: Sequence[bool]
) -> tuple[Parts, Params, list[int]]:
    """Return the sweep without what only the outputs not to keep need.

    Returns
    -------
    p : Parts
        What is left of the operands.
    params : dict
        Of the smaller sweep.
    kept : list of int
        Which outputs it has; more than those to keep, if they depend on others.
    """
    forward, backward = params["forward"], params["backward"]
    n_carry, n_along = len(p.carry), 1 + len(p.along())
    kept = list(keep)
    while True:
        outs = [n for n, flag in enumerate(kept) if flag]
        used = used_inputs(arranged(backward, None, outs)[0])
        after = _either(kept[:n_carry], used[n_along : n_along + n_carry])
        if after == kept[:n_carry]:
            break
        kept[:n_carry] = after
    n_state, first = len(p.state), 1 + len(p.consts)
    ahead = [False] * n_along
    state = used[first : first + n_state]
    while True:
        some = [n for n, flag in enumerate(state) if flag]
        ahead = used_inputs(arranged(forward, None, some)[0])
        after = _either(state, ahead[first : first + n_state])
        if after == state:
            break
        state = after
    every = _either(used[:n_along], ahead)
    consts, xs = every[1:first], every[first + n_state :]
    zs = used[n_along + n_carry :]
    new = Parts(
        p.count,
        _tape_of(p, state),
        _chosen(p.consts, consts),
        _chosen(p.state, state),
        _chosen(p.xs, xs),
        _chosen(p.carry, kept[:n_carry]),
        _chosen(p.zs, zs),
    )
    along = [True, *consts, *state, *xs]
    ins = [n for n, flag in enumerate([*along, *kept[:n_carry], *zs]) if flag]
    smaller = (
        arranged(forward, [n for n, flag in enumerate(along) if flag], some)[0],
        arranged(backward, ins, outs)[0],
    )
    return new, new.params(*smaller, params), outs


def _sweep_dce(eq: Equation, live: tuple[bool, ...]) -> Equation:
    p, params, kept = _restricted(parts(eq.inputs, eq.params), eq.params, live)
    if len(kept) == len(eq.outputs):
        return eq
    outputs = tuple([eq.outputs[n] for n in kept])
    return eq._replace(inputs=tuple(p.flat()), outputs=outputs, params=params)


sweep_p: Primitive = define(
    "sweep",
    multiple=True,
    control=True,
    keeps_weak=False,
    impl=_sweep_impl,
    shape=_sweep_shape,
    jvp=_sweep_jvp,
    transpose=_sweep_transpose,
    batch=_sweep_batch,
    lower="the compiler writes it as loops",
)
partial_eval_rules[sweep_p] = _sweep_partial_eval
dce_rules[sweep_p] = _sweep_dce
