"""``custom_rule``: a Program whose user gave a derivative, a batching rule, or several of these.

The operands are what the function captured, then its arguments.  The rules are asked when a
transformation reaches the equation; what is left of it when none does is the Program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.control.interpret import interpret
from tracejit.control.keyed import Keyed
from tracejit.control.programs import arranged, callees, wrapped
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_inexact
from tracejit.ir.program import Program
from tracejit.ops._pointwise import add
from tracejit.transforms.batching import (
    axis_in_progress,
    batch_flat,
    batch_program,
    force_axis,
)
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.stage import evaluate
from tracejit.transforms.transpose import transpose_program

__all__ = ["Rules", "bind_custom", "custom_rule_p"]

Axes = Sequence[int | None]


class Rules(Keyed):
    """What is known of a Program beside its equations.

    Attributes
    ----------
    n_captured : int
        How many of the first operands are values that the function captured.  No rule speaks of
        derivatives by them: these are derived from the Program.
    differentiable : bool
        Whether there is a derivative rule.
    """

    n_captured: int = 0
    differentiable: bool = True

    def jvp(
        self, program: Program, operands: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Return the outputs and their tangents, perhaps Zero.

        `tangents` are those of the arguments, without what was captured; some are not Zero.
        """
        raise NotImplementedError

    def batch(
        self, size: int, batched: tuple[bool, ...]
    ) -> tuple[Program, Sequence[int | None]] | None:
        """Return the Program of all lanes, or None if no rule is given for it.

        Parameters
        ----------
        size : int
            The number of lanes.
        batched : tuple of bool
            Which operands have a batch axis: the first.

        Returns
        -------
        program : Program
            Takes the operands.
        out_axes : sequence of (0 or None)
            Where the batch axes of its outputs are.
        """
        raise NotImplementedError


class _Lanes(Rules):
    """The rules of one lane, for all lanes."""

    def __init__(
        self,
        base: Rules,
        program: Program,
        size: int,
        in_axes: tuple[int | None, ...],
        out_axes: tuple[int | None, ...],
        n_more: int,
        name: Any,
    ) -> None:
        super().__init__((base, program, size, in_axes, out_axes, n_more, name))
        self.base = base
        self.program = program  # of one lane
        self.size = size
        self.in_axes = in_axes
        self.out_axes = out_axes
        self.n_more = n_more  # operands that batching has put in front
        self.name = name
        self.n_captured = n_more + base.n_captured
        self.__name__ = f"{getattr(base, '__name__', 'rules')}_vmap"

    def jvp(
        self, program: Program, operands: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        del program
        operands = operands[self.n_more :]
        count = len(self.out_axes)
        avals = self.program.in_avals[self.base.n_captured :]
        nonzero: list[bool] = []

        def lane(*args: Any) -> list[Any]:
            given = iter(args[len(operands) :])
            every = [
                Zero(aval) if isinstance(t, Zero) else next(given)
                for t, aval in zip(tangents, avals, strict=True)
            ]
            outs, found = self.base.jvp(self.program, args[: len(operands)], every)
            nonzero[:] = [not isinstance(t, Zero) for t in found]
            return [*outs, *(t for t in found if not isinstance(t, Zero))]

        given = [
            (t, axis)
            for t, axis in zip(tangents, self.in_axes[self.base.n_captured :], strict=True)
            if not isinstance(t, Zero)
        ]
        axes = [*self.in_axes, *(axis for _, axis in given)]
        values = [*operands, *(t for t, _ in given)]
        found, found_axes = batch_flat(lane, self.size, axes, values, self.name)
        outs = [
            self._placed(x, axis, to)
            for x, axis, to in zip(found, found_axes, self.out_axes, strict=False)
        ]
        rest = iter(zip(found[count:], found_axes[count:], strict=True))
        return outs, [
            self._placed(*next(rest), to) if flag else Zero(get_aval(x))
            for x, flag, to in zip(outs, nonzero, self.out_axes, strict=True)
        ]

    def _placed(self, x: Any, axis: int | None, to: int | None) -> Any:
        return x if to is None else force_axis(x, axis, to, self.size)

    def batch(
        self, size: int, batched: tuple[bool, ...]
    ) -> tuple[Program, Sequence[int | None]] | None:
        return None


def bind_custom(program: Program, rules: Rules, operands: Sequence[Any]) -> list[Any]:
    """Run a Program as one equation with rules of its own.

    Parameters
    ----------
    program : Program
        What to run, without constants.
    rules : Rules
        Its rules.
    operands : sequence of values
        What was captured, then the arguments.
    """
    found: list[Any] = custom_rule_p.bind(*operands, program=program, rules=rules)
    return found


def _custom_shape(*avals: ShapedArray, program: Program, rules: Rules) -> list[ShapedArray]:
    del avals, rules
    return list(program.out_avals)


def _custom_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, program: Program, rules: Rules
) -> tuple[list[Any], list[Any]]:
    first = rules.n_captured
    given = tangents[first:]
    if all(isinstance(t, Zero) for t in given):
        outs = bind_custom(program, rules, primals)
        found: list[Any] = [Zero(get_aval(x)) for x in outs]
    else:
        outs, found = rules.jvp(program, primals, given)
    flags = [not isinstance(t, Zero) for t in tangents[:first]]
    if any(flags):
        both, nonzero = jvp_program(program, [*flags, *[False] * len(given)])
        only, constants = arranged(both, None, range(len(outs), len(both.outputs)))
        directions = [t for t in tangents[:first] if not isinstance(t, Zero)]
        more = iter(evaluate(only, [*constants, *primals, *directions]))
        for n, flag in enumerate(nonzero):
            if flag:
                t = next(more)
                found[n] = t if isinstance(found[n], Zero) else add(found[n], t)
    return outs, found


def _custom_transpose(
    cts: Sequence[Any], *operands: Any, program: Program, rules: Rules
) -> list[Any]:
    # A linear function is transposed as it is: its rules speak of derivatives.
    linear = [isinstance(x, Linear) for x in operands]
    backward = transpose_program(program, linear)
    values = [x for x in operands if not isinstance(x, Linear)]
    results = iter(evaluate(backward, [*values, *map(instantiate_zero, cts)]))
    return [next(results) if flag else None for flag in linear]


def _custom_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, program: Program, rules: Rules
) -> tuple[list[Any], list[int | None]]:
    size = next(get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None)
    name = axis_in_progress(size)
    made = rules.batch(size, tuple(axis is not None for axis in axes))
    if made is None:
        lanes, found = batch_program(program, size, tuple(axes), "natural", name)
    else:
        lanes, found = made[0], tuple(made[1])
        operands = [
            x if axis is None else force_axis(x, axis, 0, size)
            for x, axis in zip(operands, axes, strict=True)
        ]
        axes = [None if axis is None else 0 for axis in axes]
    if not rules.differentiable:
        return evaluate(lanes, operands), list(found)
    # A result that is the same in all lanes may have a tangent that is not.
    out_axes = tuple(
        0 if axis is None and is_inexact(aval.dtype) else axis
        for axis, aval in zip(found, program.out_avals, strict=True)
    )
    forced, constants = _forced(lanes, found, out_axes, size)
    rules = _Lanes(rules, program, size, tuple(axes), out_axes, len(constants), name)
    return bind_custom(forced, rules, [*constants, *operands]), list(out_axes)


def _forced(
    lanes: Program,
    axes: tuple[int | None, ...],
    wanted: tuple[int | None, ...],
    size: int,
) -> tuple[Program, list[Any]]:
    """Return the Program of all lanes with the batch axes of its outputs where they are wanted."""
    if axes == wanted:
        return arranged(lanes)

    def body(*args: Any) -> list[Any]:
        return [
            x if to is None else force_axis(x, axis, to, size)
            for x, axis, to in zip(evaluate(lanes, args), axes, wanted, strict=True)
        ]

    return wrapped(lanes, ("axes", axes, wanted), body, lanes.in_avals)


custom_rule_p: Primitive = define(
    "custom_rule",
    multiple=True,
    control=True,
    keeps_weak=False,
    impl=lambda xp, *arrays, program, rules: interpret(xp, program, arrays),
    shape=_custom_shape,
    jvp=_custom_jvp,
    transpose=_custom_transpose,
    batch=_custom_batch,
    lower="its equations are inlined by the compiler",
)
callees[custom_rule_p] = lambda avals, params: params["program"]
