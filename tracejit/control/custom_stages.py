"""The rules of a user as Programs, staged when a transformation asks for them.

A rule sees the arguments of the function, in their structure.  What it returns is checked against
the function, so that an error names the rule and the leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tracejit.control.closures import with_captured
from tracejit.control.custom_leaves import (
    CustomVJPPrimal,
    derivative_leaves,
    given_derivative,
    result_leaves,
)
from tracejit.core.array import Array
from tracejit.core.errors import StructureError
from tracejit.core.pytree import PyTreeDef, flatten_axes, tree_flatten, tree_unflatten
from tracejit.core.tracer import Tracer, get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_inexact
from tracejit.ir.program import Program
from tracejit.transforms.batching import lanes_aval
from tracejit.transforms.dce import dce
from tracejit.transforms.stage import function_name
from tracejit.transforms.stage_known import stage_for

__all__ = ["Given", "Residuals", "StagedRules"]

Flags = tuple[bool, ...]
Values = Callable[[], Sequence[Any]]


@dataclass(frozen=True)
class Given:
    """What a user gave for a function.

    Attributes
    ----------
    kind : str
        What made it, for messages: ``"custom_jvp"``.
    fun, jvp, fwd, bwd, batch : callable or None
        The function and its rules.
    jvp_zeros, vjp_zeros : bool
        Whether the rules take symbolic zeros.
    """

    kind: str
    fun: Callable[..., Any]
    jvp: Callable[..., Any] | None = None
    jvp_zeros: bool = False
    fwd: Callable[..., Any] | None = None
    bwd: Callable[..., Any] | None = None
    vjp_zeros: bool = False
    batch: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """The function, for messages."""
        return f"{self.kind} {function_name(self.fun)}"

    def rule(self, rule: Any) -> str:
        """Return how one of the rules is called in messages, with its line."""
        code = getattr(rule, "__code__", None)
        where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        return f"{self.name}: {function_name(rule)}{where}"


@dataclass(frozen=True)
class Residuals:
    """How the residuals of a forward rule are put together.

    Attributes
    ----------
    treedef : PyTreeDef
        Their structure.
    fixed : tuple
        For each leaf None if it is an array, else what it is, with its type.
    avals : tuple of ShapedArray
        The types of the arrays.
    """

    treedef: PyTreeDef
    fixed: tuple[Any, ...]
    avals: tuple[ShapedArray, ...]

    def tree(self, arrays: Sequence[Any]) -> Any:
        """Return the residuals as the user's forward rule returned them."""
        rest = iter(arrays)
        return tree_unflatten(
            self.treedef, [next(rest) if x is None else x[0] for x in self.fixed]
        )


class StagedRules:
    """The rules of a user for one call, staged one by one when they are needed.

    The Programs take what the function captured first.

    Parameters
    ----------
    given : Given
        The function and its rules.
    fixed : dict of int to object
        The arguments that are no operands, by position.
    in_treedef : PyTreeDef
        The structure of the tuple of the others.
    out_treedef : PyTreeDef
        The structure of the result.
    program : Program
        The function staged.
    captured : sequence of values
        What it captured: its leading inputs.
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
        self.given = given
        self.fixed = fixed
        self.in_treedef = in_treedef
        self.out_treedef = out_treedef
        self.captured = tuple(captured)
        count = len(captured)
        self.captured_avals = program.in_avals[:count]
        self.in_avals = program.in_avals[count:]
        self.out_avals = program.out_avals
        self.inexact: Flags = tuple(is_inexact(a.dtype) for a in self.in_avals)
        self.out_inexact: Flags = tuple(is_inexact(a.dtype) for a in self.out_avals)
        self._memo: dict[Any, tuple[Program, Any]] = {}

    def _arguments(self, leaves: Sequence[Any]) -> list[Any]:
        """Return the arguments in their structure; those that are no operands among them."""
        rest = iter(tree_unflatten(self.in_treedef, leaves))
        count = len(self.fixed) + len(self.in_treedef.children())
        return [self.fixed[n] if n in self.fixed else next(rest) for n in range(count)]

    def _fixed_first(self) -> list[Any]:
        return [self.fixed[n] for n in sorted(self.fixed)]

    def _staged(
        self,
        key: tuple[Any, ...],
        fun: Callable[..., tuple[list[Any], Any]],
        avals: Sequence[ShapedArray],
        values: Values,
    ) -> tuple[Program, Any]:
        """Return a rule as a Program, and what else it says.

        Parameters
        ----------
        key : hashable
            What the Program is known by.
        fun : callable
            Takes flat arguments, returns the outputs and what else it says.
        avals : sequence of ShapedArray
            Of its inputs.
        values : callable
            Their values, for a rule that asks for them; the Program is good for these only.
        """
        try:
            found = self._memo.get(key)
        except TypeError:  # residuals that do not hash
            found, hashable = None, False
        else:
            hashable = True
        if found is not None:
            return found
        notes: Any = None

        def flat(*inputs: Any) -> list[Any]:
            nonlocal notes
            outs, notes = fun(*inputs)
            return outs

        name = f"{function_name(self.given.fun)}_{key[0]}"
        program, general = stage_for(flat, avals, values, name)
        found = with_captured(dce(program), self.captured, self.captured_avals), notes
        if general and hashable:
            self._memo[key] = found
        return found

    # -------------------------------------------------------------------- the rules

    def jvp_flags(self, nonzero: Flags) -> Flags:
        """Return which tangents the derivative rule is given as arrays."""
        return nonzero if self.given.jvp_zeros else self.inexact

    def jvp(self, nonzero: Flags, values: Values) -> tuple[Program, Flags]:
        """Return the Program of values and tangents, and which outputs have a tangent.

        Its inputs are the arguments and the tangents of ``jvp_flags(nonzero)``.
        """
        given = self.given
        assert given.jvp is not None
        what = given.rule(given.jvp)
        flags = self.jvp_flags(nonzero)
        count = len(self.in_avals)

        def push(*inputs: Any) -> tuple[list[Any], Flags]:
            directions = iter(inputs[count:])
            tangents = [
                next(directions) if flag else given_derivative(Zero(aval), given.jvp_zeros)
                for flag, aval in zip(flags, self.in_avals, strict=True)
            ]
            pair = given.jvp(  # type: ignore[misc]
                *self._fixed_first(),
                tree_unflatten(self.in_treedef, inputs[:count]),
                tree_unflatten(self.in_treedef, tangents),
            )
            out, tangent = _pair(what, pair, "(result, tangent)")
            outs = result_leaves(f"{what}: the result", out, self.out_treedef, self.out_avals)
            found = derivative_leaves(
                f"{what}: the tangent", tangent, self.out_treedef, self.out_avals
            )
            kept = tuple(not isinstance(t, Zero) for t in found)
            return [*outs, *(t for t, flag in zip(found, kept, strict=True) if flag)], kept

        avals = [
            *self.in_avals,
            *(a.strong() for a, flag in zip(self.in_avals, flags, strict=True) if flag),
        ]
        return self._staged(("jvp", flags), push, avals, values)

    def fwd(self, nonzero: Flags, values: Values) -> tuple[Program, Residuals]:
        """Return the Program of values and residuals, and how these are put together."""
        given = self.given
        assert given.fwd is not None
        what = given.rule(given.fwd)

        def forward(*leaves: Any) -> tuple[list[Any], Residuals]:
            shown: Sequence[Any] = leaves
            if given.vjp_zeros:
                shown = [CustomVJPPrimal(x, f) for x, f in zip(leaves, nonzero, strict=True)]
            pair = given.fwd(*self._arguments(shown))  # type: ignore[misc]
            out, residuals = _pair(what, pair, "(result, residuals)")
            outs = result_leaves(f"{what}: the result", out, self.out_treedef, self.out_avals)
            kept, treedef = tree_flatten(residuals)
            arrays = [x for x in kept if isinstance(x, (Tracer, Array))]
            fixed = tuple(
                None if isinstance(x, (Tracer, Array)) else (x, type(x)) for x in kept
            )
            avals = tuple(get_aval(x) for x in arrays)
            return [*outs, *arrays], Residuals(treedef, fixed, avals)

        key = ("fwd", nonzero if given.vjp_zeros else None)
        return self._staged(key, forward, self.in_avals, values)

    def bwd_flags(self, nonzero: Flags) -> Flags:
        """Return which cotangents the backward rule is given as arrays."""
        return nonzero if self.given.vjp_zeros else self.out_inexact

    def bwd(self, residuals: Residuals, nonzero: Flags, values: Values) -> tuple[Program, Flags]:
        """Return the Program of cotangents of the arguments, and which of them there are.

        Its inputs are the residuals and the cotangents of ``bwd_flags(nonzero)``.
        """
        given = self.given
        assert given.bwd is not None
        what = given.rule(given.bwd)
        flags = self.bwd_flags(nonzero)
        count = len(residuals.avals)
        wanted = len(self.in_treedef.children())

        def backward(*inputs: Any) -> tuple[list[Any], Flags]:
            cts = iter(inputs[count:])
            every = [
                next(cts) if flag else given_derivative(Zero(aval), given.vjp_zeros)
                for flag, aval in zip(flags, self.out_avals, strict=True)
            ]
            result = given.bwd(  # type: ignore[misc]
                *self._fixed_first(),
                residuals.tree(inputs[:count]),
                tree_unflatten(self.out_treedef, every),
            )
            if isinstance(result, list):
                result = tuple(result)
            if type(result) is not tuple or len(result) != wanted:
                got = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result)
                raise StructureError(
                    f"{what} must return a tuple of {wanted} cotangents, one an argument of "
                    f"{function_name(given.fun)} that is differentiated, None for zero; got "
                    f"{got if isinstance(got, str) else got.__name__}"
                )
            found = derivative_leaves(
                f"{what}: the cotangents", result, self.in_treedef, self.in_avals
            )
            kept = tuple(not isinstance(ct, Zero) for ct in found)
            return [ct for ct, flag in zip(found, kept, strict=True) if flag], kept

        avals = [
            *residuals.avals,
            *(a.strong() for a, flag in zip(self.out_avals, flags, strict=True) if flag),
        ]
        return self._staged(("bwd", residuals, flags), backward, avals, values)

    def batch(
        self, size: int, batched: Flags
    ) -> tuple[Program, tuple[int | None, ...]] | None:
        """Return the Program of all lanes and where the batch axes of its outputs are.

        None if no rule is given, or what was captured has lanes, which no rule can see.
        """
        given = self.given
        count = len(self.captured)
        if given.batch is None or any(batched[:count]):
            return None
        what = given.rule(given.batch)
        flags = batched[count:]

        def lanes(*leaves: Any) -> tuple[list[Any], Any]:
            in_batched = [
                False if n in self.fixed else flag for n, flag in enumerate(self._arguments(flags))
            ]
            pair = given.batch(size, tuple(in_batched), *self._arguments(leaves))  # type: ignore[misc]
            out, out_batched = _pair(what, pair, "(result, batched)")
            try:
                found = flatten_axes(f"{what}: batched", self.out_treedef, out_batched)
            except ValueError as error:
                raise StructureError(str(error)) from None
            for flag in found:
                if not isinstance(flag, bool):
                    raise StructureError(f"{what}: batched must hold bools; got {flag!r}")
            axes = tuple(0 if flag else None for flag in found)
            wanted = [
                lanes_aval(a, axis, size) for a, axis in zip(self.out_avals, axes, strict=True)
            ]
            return result_leaves(f"{what}: the result", out, self.out_treedef, wanted), axes

        avals = [
            lanes_aval(a, 0 if flag else None, size)
            for a, flag in zip(self.in_avals, flags, strict=True)
        ]
        return self._staged(("batch", size, flags), lanes, avals, tuple)


def _pair(what: str, pair: Any, wanted: str) -> Any:
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        return pair
    got = type(pair).__name__
    if isinstance(pair, (tuple, list)):
        got += f" of length {len(pair)}"
    raise StructureError(f"{what} must return a pair {wanted}; got {got}")
