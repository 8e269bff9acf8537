"""Taylor rules of control flow: bodies are evaluated on series, and carry their terms along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control.branch import _join, cond_p
from tracejit.control.call import call, call_p
from tracejit.control.checkpoint import checkpoint_p
from tracejit.control.collective_primitives import (
    all_gather_p,
    all_to_all_p,
    pmax_p,
    pmin_p,
    ppermute_p,
    psum_p,
    psum_scatter_p,
)
from tracejit.control.programs import arranged, interned
from tracejit.control.pushforward import pushforward_p
from tracejit.control.reversal import sweep_program
from tracejit.control.scan import scan_p
from tracejit.control.sweep import sweep_p
from tracejit.control.while_loop import while_p
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program, Var
from tracejit.transforms.jvp import instantiate_zero
from tracejit.transforms.taylor import Terms, jet_program, taylor_rules, term_by_term

__all__: list[str] = []

for _primitive in (
    all_gather_p,
    all_to_all_p,
    pmax_p,
    pmin_p,
    ppermute_p,
    psum_p,
    psum_scatter_p,
):
    taylor_rules[_primitive] = term_by_term(_primitive)


def _moving(terms: Sequence[Terms]) -> list[bool]:
    return [any(not isinstance(t, Zero) for t in own) for own in terms]


def _given(terms: Sequence[Terms], moving: Sequence[bool]) -> list[Any]:
    """Return the terms of the operands flagged, one after the other."""
    return [
        instantiate_zero(t) for own, flag in zip(terms, moving, strict=True) if flag for t in own
    ]


def _split(
    order: int, outs: Sequence[Any], moving: Sequence[bool]
) -> tuple[list[Any], list[Terms]]:
    """Return the values and the terms of a Program made by jet_program."""
    count = len(moving)
    rest = iter(outs[count:])
    return list(outs[:count]), [
        [next(rest) if flag else Zero(get_aval(value)) for _ in range(order)]
        for value, flag in zip(outs, moving, strict=False)
    ]


def _call(
    order: int, primals: Sequence[Any], terms: Sequence[Terms], *, program: Program, name: str
) -> tuple[list[Any], list[Terms]]:
    moving = _moving(terms)
    both, moving_out = jet_program(program, order, moving)
    outs = call(both, *primals, *_given(terms, moving), name=name)
    return _split(order, outs, moving_out)


def _checkpoint(
    order: int, primals: Sequence[Any], terms: Sequence[Terms], *, program: Program, **params: Any
) -> tuple[list[Any], list[Terms]]:
    moving = _moving(terms)
    both, moving_out = jet_program(program, order, moving)
    both, constants = arranged(both)
    outs = checkpoint_p.bind(*constants, *primals, *_given(terms, moving), program=both, **params)
    return _split(order, outs, moving_out)


def _cond(
    order: int,
    primals: Sequence[Any],
    terms: Sequence[Terms],
    *,
    branches: tuple[Program, ...],
) -> tuple[list[Any], list[Terms]]:
    index, *operands = primals
    moving = _moving(terms[1:])
    flags = [
        any(column)
        for column in zip(*[jet_program(p, order, moving)[1] for p in branches], strict=True)
    ]
    both, constants = _join([arranged(jet_program(p, order, moving, flags)[0]) for p in branches])
    given = _given(terms[1:], moving)
    outs = cond_p.bind(index, *constants, *operands, *given, branches=both)
    return _split(order, outs, flags)


class _Layout:
    """Where the inputs of a loop go: each role has its primals, then its terms.

    Parameters
    ----------
    order : int
        The number of terms of what moves.
    moving : sequence of bool
        Which values have terms; those of a jet_program follow all its primals.
    """

    def __init__(self, order: int, moving: Sequence[bool]) -> None:
        self._order = order
        self._moving = moving

    def places(self, start: int, stop: int) -> list[int]:
        """Return where the values from `start` to `stop` and their terms are."""
        first = len(self._moving) + self._order * sum(self._moving[:start])
        return [*range(start, stop), *range(first, first + self.extra(start, stop))]

    def extra(self, start: int, stop: int) -> int:
        """Return the number of terms of the values from `start` to `stop`."""
        return self._order * sum(self._moving[start:stop])


def _settled(
    moving: list[bool], carry: slice, of_body: Callable[[list[bool]], tuple[bool, ...]]
) -> list[bool]:
    """Return which operands of a loop have terms, once what they reach in a trip has too."""
    while True:
        carried = moving[carry]
        after = of_body(moving)[: len(carried)]
        if list(after) == carried:
            return moving
        moving = list(moving)
        moving[carry] = [a or b for a, b in zip(carried, after, strict=True)]


def _scan(
    order: int,
    primals: Sequence[Any],
    terms: Sequence[Terms],
    *,
    program: Program,
    n_consts: int,
    n_carry: int,
    **params: Any,
) -> tuple[list[Any], list[Terms]]:
    first, count = n_consts + n_carry, len(primals)
    n_outs = len(program.outputs)
    carry = slice(n_consts, first)

    def body_of(moving: list[bool]) -> tuple[Program, tuple[bool, ...]]:
        wanted = [*moving[carry], *[False] * (n_outs - n_carry)]
        return jet_program(program, order, moving, wanted)

    moving = _settled(_moving(terms), carry, lambda moving: body_of(moving)[1])
    both, moving_out = body_of(moving)
    into, out_of = _Layout(order, moving), _Layout(order, moving_out)
    places = [p for span in ((0, n_consts), (n_consts, first), (first, count))
              for p in into.places(*span)]  # fmt: skip
    results = [*out_of.places(0, n_carry), *out_of.places(n_carry, n_outs)]
    body, constants = arranged(both, places, results)
    operands = [*primals, *_given(terms, moving)]
    outs = scan_p.bind(
        *constants,
        *(operands[p] for p in places),
        program=body,
        n_consts=len(constants) + n_consts + into.extra(0, n_consts),
        n_carry=n_carry + into.extra(n_consts, first),
        **params,
    )
    ordered = [outs[results.index(n)] for n in range(len(results))]
    return _split(order, ordered, moving_out)


def _while(
    order: int,
    primals: Sequence[Any],
    terms: Sequence[Terms],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    free: tuple[bool, ...],
) -> tuple[list[Any], list[Terms]]:
    carry, terms_of = slice(body_nconsts, None), range(order)

    def body_of(moving: list[bool]) -> tuple[Program, tuple[bool, ...]]:
        return jet_program(body_program, order, moving, moving[carry])

    moving = _settled(_moving(terms[cond_nconsts:]), carry, lambda moving: body_of(moving)[1])
    both, moving_out = body_of(moving)
    layout = _Layout(order, moving)
    places = [*layout.places(0, body_nconsts), *layout.places(body_nconsts, len(moving))]
    body, constants = arranged(both, places)
    test, of_test = arranged(cond_program)
    operands = [*primals[cond_nconsts:], *_given(terms[cond_nconsts:], moving)]
    extra = layout.extra(body_nconsts, len(moving))
    carried = body.in_avals[len(body.inputs) - extra :] if extra else ()
    outs = while_p.bind(
        *of_test,
        *primals[:cond_nconsts],
        *constants,
        *(operands[p] for p in places),
        cond_program=_ignoring(test, carried),
        body_program=body,
        cond_nconsts=len(of_test) + cond_nconsts,
        body_nconsts=len(constants) + body_nconsts + layout.extra(0, body_nconsts),
        free=(*free, *(f for f, m in zip(free, moving[carry], strict=True) if m for _ in terms_of)),
    )
    return _split(order, outs, moving_out)


def _pushforward(
    order: int, primals: Sequence[Any], terms: Sequence[Terms], *, program: Program, **_: Any
) -> tuple[list[Any], list[Terms]]:
    return _call(order, primals, terms, program=program, name=program.name)


def _sweep(
    order: int, primals: Sequence[Any], terms: Sequence[Terms], **params: Any
) -> tuple[list[Any], list[Terms]]:
    program = sweep_program([get_aval(x) for x in primals], params)
    return _call(order, primals, terms, program=program, name=program.name)


def _ignoring(program: Program, avals: Sequence[ShapedArray]) -> Program:
    """Return `program` with further inputs that it does not read."""
    if not avals:
        return program
    return interned(program.replace(inputs=[*program.inputs, *map(Var, avals)]))


taylor_rules[call_p] = _call
taylor_rules[checkpoint_p] = _checkpoint
taylor_rules[cond_p] = _cond
taylor_rules[scan_p] = _scan
taylor_rules[while_p] = _while
taylor_rules[pushforward_p] = _pushforward
taylor_rules[sweep_p] = _sweep
