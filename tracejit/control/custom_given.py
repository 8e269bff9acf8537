"""Rules of users under the transformations: which one is used where, and what is derived.

Forward mode uses the ``jvp`` rule, or transposes the backward rule.  Reverse mode uses the
forward and backward rules, or transposes the ``jvp`` rule.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from tracejit.control.closures import evaluate_closed
from tracejit.control.custom_rule import Rules
from tracejit.control.custom_stages import Flags, Given, Residuals, StagedRules
from tracejit.control.linear_map import LinearMap, apply_linear
from tracejit.core.errors import ConcretizationError, MissingRuleError, TracejitError
from tracejit.core.pytree import PyTreeDef
from tracejit.core.tracer import Tracer
from tracejit.core.zeros import Zero
from tracejit.ir.program import Program
from tracejit.transforms.batching import BatchTracer
from tracejit.transforms.jvp import JVPTracer, instantiate_zero, jvp_program
from tracejit.transforms.stage import StageTracer, function_name, stage
from tracejit.transforms.transpose import transpose_program

__all__ = ["GivenRules"]


class GivenRules(Rules):
    """What a user gave for a function, in one call of it.

    Parameters
    ----------
    given : Given
        The function and its rules.
    fixed : dict of int to object
        The arguments that are no operands, by position.
    in_treedef, out_treedef : PyTreeDef
        The structures of the tuple of the others, and of the result.
    program : Program
        The function staged.
    captured : sequence of values
        What it captured.
    """

    def __init__(
        self,
        given: Given,
        fixed: dict[int, Any],
        in_treedef: PyTreeDef,
        out_treedef: PyTreeDef,
        program: Program,
        captured: Sequence[Any],
    ) -> None:
        static = tuple((n, type(x), x) for n, x in fixed.items())
        # A rule may refer to what the function captured, so that these count; by identity, and
        # they are kept for it.
        ids = tuple(id(x) for x in captured if isinstance(x, Tracer))
        super().__init__((given, static, in_treedef, out_treedef, program.in_avals, ids))
        self.given = given
        self.staged = StagedRules(given, fixed, in_treedef, out_treedef, program, captured)
        self.n_captured = len(captured)
        self.differentiable = given.jvp is not None or given.fwd is not None
        self.__name__ = function_name(given.fun)

    def jvp(
        self, program: Program, operands: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        given, staged = self.given, self.staged
        flags = tuple(not isinstance(t, Zero) for t in tangents)
        forward = not any(map(_is_recorded, tangents))
        if given.fwd is not None and not (given.jvp is not None and forward):
            return self._pulled(operands, tangents, flags)
        wanted = staged.jvp_flags(flags) if given.jvp is not None else flags
        directions = [instantiate_zero(t) for t, f in zip(tangents, wanted, strict=True) if f]
        if given.jvp is not None:
            leaves = operands[self.n_captured :]
            both, nonzero = staged.jvp(flags, lambda: [*leaves, *directions])
        else:
            both, nonzero = jvp_program(program, [*[False] * self.n_captured, *flags])
        outs = evaluate_closed(given.name, both, [*operands, *directions])
        count = len(staged.out_avals)
        rest = iter(outs[count:])
        return outs[:count], [
            next(rest) if flag else Zero(aval)
            for flag, aval in zip(nonzero, staged.out_avals, strict=True)
        ]

    def _pulled(
        self, operands: Sequence[Any], tangents: Sequence[Any], flags: Flags
    ) -> tuple[list[Any], list[Any]]:
        """Return values by the forward rule, and tangents as a map that the backward rule
        transposes."""
        staged = self.staged
        leaves = operands[self.n_captured :]
        program, residuals = staged.fwd(flags, lambda: leaves)
        values = evaluate_closed(self.given.name, program, operands)
        count = len(staged.out_avals)
        linear = _Derivative(self, flags, residuals)
        if not self.given.vjp_zeros:  # staged now, while what it may refer to is live
            with contextlib.suppress(ConcretizationError):  # later there may be values
                staged.bwd(residuals, staged.out_inexact, tuple)
        found = iter(
            apply_linear(
                linear,
                [*(operands[n] for n in linear.kept), *values[count:]],
                [t for t in tangents if not isinstance(t, Zero)],
            )
        )
        return values[:count], [
            next(found) if flag else Zero(aval)
            for flag, aval in zip(staged.out_inexact, staged.out_avals, strict=True)
        ]

    def batch(
        self, size: int, batched: tuple[bool, ...]
    ) -> tuple[Program, Sequence[int | None]] | None:
        return self.staged.batch(size, batched)


def _is_recorded(x: Any) -> bool:
    """Whether a tangent may be that of a linear function that is yet to be transposed."""
    if isinstance(x, StageTracer):
        return True
    if isinstance(x, JVPTracer):
        return _is_recorded(x.primal) or _is_recorded(x.tangent)
    return isinstance(x, BatchTracer) and _is_recorded(x.value)


class _Derivative(LinearMap):
    """The derivative of a function that has a backward rule.

    The residuals are some of the operands, then those of the forward rule.

    Attributes
    ----------
    kept : tuple of int
        Which operands: what rules may refer to, and all if there is also a ``jvp`` rule.
    """

    def __init__(self, rules: GivenRules, flags: Flags, residuals: Residuals) -> None:
        super().__init__((rules, flags, residuals))
        staged = rules.staged
        self.rules = rules
        self.flags = flags
        self.residuals = residuals
        self.in_avals = tuple(
            a.strong() for a, flag in zip(staged.in_avals, flags, strict=True) if flag
        )
        self.out_avals = tuple(
            a.strong() for a, flag in zip(staged.out_avals, staged.out_inexact, strict=True) if flag
        )
        captured = staged.captured
        self.kept = tuple(
            range(len(captured) + len(staged.in_avals))
            if rules.given.jvp is not None
            else [n for n, x in enumerate(captured) if isinstance(x, Tracer)]
        )
        self.__name__ = f"{rules.__name__}_linear"
        self._forward: Program | None = None

    def forward(self) -> Program:
        if self._forward is None:
            given = self.rules.given
            self._forward = self._transposed() if given.jvp is None else self._pushed()
        return self._forward

    def _pushed(self) -> Program:
        """Return the derivative by the ``jvp`` rule."""
        staged = self.rules.staged
        avals = (*staged.captured_avals, *staged.in_avals)
        first = len(avals) + len(self.residuals.avals)
        wanted = staged.jvp_flags(self.flags)

        def push(*inputs: Any) -> list[Any]:
            given = iter(inputs[first:])
            tangents = [
                next(given) if flag else Zero(aval)
                for flag, aval in zip(self.flags, staged.in_avals, strict=True)
            ]
            directions = [instantiate_zero(t) for t, f in zip(tangents, wanted, strict=True) if f]
            program, nonzero = staged.jvp(self.flags, tuple)
            outs = evaluate_closed(
                self.rules.given.name, program, [*inputs[: len(avals)], *directions]
            )
            rest = iter(outs[len(staged.out_avals) :])
            found = [
                next(rest) if flag else Zero(aval)
                for flag, aval in zip(nonzero, staged.out_avals, strict=True)
            ]
            return [
                instantiate_zero(t)
                for t, flag in zip(found, staged.out_inexact, strict=True)
                if flag
            ]

        return stage(
            push, [*avals, *self.residuals.avals, *self.in_avals], f"{self.__name__}_pushed"
        )

    def _transposed(self) -> Program:
        """Return the derivative as the transpose of the backward rule."""
        staged, given = self.rules.staged, self.rules.given
        captured = [staged.captured_avals[n] for n in self.kept]
        residuals = [*captured, *self.residuals.avals]

        def back(*inputs: Any) -> list[Any]:
            found = self._cotangents(inputs[: len(residuals)], list(inputs[len(residuals) :]))
            return [instantiate_zero(ct) for ct in found]

        backward = stage(back, [*residuals, *self.out_avals], f"{self.__name__}_backward")
        linear = [*[False] * len(residuals), *[True] * len(self.out_avals)]
        try:
            return transpose_program(backward, linear)
        except TracejitError as error:
            raise MissingRuleError(
                f"{given.name} has a backward rule and no jvp rule, so forward mode transposes "
                f"{function_name(given.bwd)}, which cannot be: it is not linear in the cotangents, "
                f"or not known to be. Give a jvp rule, too. ({str(error).splitlines()[0]})"
            ) from error

    def backward(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        return self._cotangents(residuals, cts)

    def _cotangents(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        staged = self.rules.staged
        given = iter(cts)
        every = [
            next(given) if flag else Zero(aval)
            for flag, aval in zip(staged.out_inexact, staged.out_avals, strict=True)
        ]
        flags = tuple(not isinstance(ct, Zero) for ct in every)
        wanted = staged.bwd_flags(flags)
        arrays = [instantiate_zero(ct) for ct, f in zip(every, wanted, strict=True) if f]
        kept, rest = residuals[: len(self.kept)], residuals[len(self.kept) :]
        program, nonzero = staged.bwd(self.residuals, flags, lambda: [*rest, *arrays])
        # What the Program does not get is not read: a rule refers to no argument but by residuals.
        captured: list[Any] = [
            instantiate_zero(Zero(aval)) for aval in staged.captured_avals
        ]
        for n, x in zip(self.kept, kept, strict=True):
            if n < len(captured):
                captured[n] = x
        found = evaluate_closed(self.rules.given.name, program, [*captured, *rest, *arrays])
        each = iter(found)
        cotangents = [
            next(each) if flag else Zero(aval)
            for flag, aval in zip(nonzero, staged.in_avals, strict=True)
        ]
        return [ct for ct, flag in zip(cotangents, self.flags, strict=True) if flag]
