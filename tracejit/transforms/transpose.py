"""Transposition: run a linear Program backward, from cotangents of outputs to those of inputs."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracejit.core import primitive as tables
from tracejit.core.errors import MissingRuleError
from tracejit.core.zeros import Linear, NotLinearError, Zero
from tracejit.ir.program import Program, Source, Var
from tracejit.ops._pointwise import add
from tracejit.ops.slicing import concatenate, pad, slice_p
from tracejit.transforms.dce import dce, dce_rules, separate
from tracejit.transforms.jvp import instantiate_zero
from tracejit.transforms.partial_eval import partial_eval_program
from tracejit.transforms.stage import evaluate, literal_value, replaying, stage

__all__ = ["backward_pass", "split_and_transpose", "transpose_program"]


def backward_pass(
    program: Program, linear: Sequence[bool], args: Sequence[Any], cts: Sequence[Any]
) -> list[Any]:
    """Return the cotangents of the linear inputs of a Program.

    Parameters
    ----------
    program : Program
        Linear in the inputs flagged.  Equations that do not depend on them are evaluated
        first.
    linear : sequence of bool
        Which inputs are linear.
    args : sequence
        One an input; what stands at linear inputs is ignored.
    cts : sequence of values or Zero
        The cotangents of the outputs.

    Returns
    -------
    list of values or Zero
        The cotangents of the linear inputs, in order; Zero for an input that reaches no output.
    """
    values: dict[Any, Any] = dict(program.constants)
    linear_vars: set[Any] = set()
    for v, flag, x in zip(program.inputs, linear, args, strict=True):
        if flag:
            linear_vars.add(v)
        else:
            values[v] = x
    backward = []
    for eq in program.equations:
        if not linear_vars.isdisjoint(eq.inputs):
            flags = [True] * len(eq.outputs)
            if eq.primitive in separate:
                flags = [a in linear_vars for a in eq.inputs[-len(flags) :]]
            if all(flags):
                linear_vars.update(eq.outputs)
                backward.append(eq)
                continue
            later = dce_rules[eq.primitive](eq, tuple(flags))
            linear_vars.update(later.outputs)
            backward.append(later)
            eq = dce_rules[eq.primitive](eq, tuple([not flag for flag in flags]))
        operands = tuple([values[a] if type(a) is Var else literal_value(a) for a in eq.inputs])
        with replaying(eq.source):
            result = eq.primitive.bind(*operands, **eq.params)
        values.update(zip(eq.outputs, result if eq.primitive.multiple else (result,), strict=True))

    sums = _Sums()
    accumulate = sums.add

    for a, ct in zip(program.outputs, cts, strict=True):
        if a in linear_vars:
            accumulate(a, ct)
    for primitive, inputs, params, outputs, source in reversed(backward):
        if primitive.multiple:
            found = [sums.pop(v) for v in outputs]
            # An effect on what is linear has no rule: it is not dropped in silence.
            if all(ct is None for ct in found) and not primitive.effectful:
                continue
            ct = [Zero(v.aval) if c is None else c for v, c in zip(outputs, found, strict=True)]
        else:
            ct = sums.pop(outputs[0])
            if ct is None:
                continue
            if primitive is slice_p and set(params["strides"]) == {1}:
                sums.place(inputs[0], _Piece(ct, params["starts"], params["limits"], source))
                continue
        operands = tuple(
            [
                Linear(a.aval)
                if a in linear_vars
                else values[a]
                if type(a) is Var
                else literal_value(a)
                for a in inputs
            ]
        )
        with replaying(source):
            try:
                in_cts = tables.transpose[primitive](ct, *operands, **params)
            except NotLinearError:
                raise MissingRuleError(
                    f"there is no transposition of {primitive} here: it is not linear in all of "
                    "the operands that depend on the arguments, like a product of two of them. "
                    "linear_transpose needs a linear function; for another one use vjp"
                ) from None
            for a, c in zip(inputs, in_cts, strict=True):
                if c is not None and a in linear_vars:
                    accumulate(a, c)
    wanted = [v for v, flag in zip(program.inputs, linear, strict=True) if flag]
    return [Zero(v.aval) if ct is None else ct for v, ct in ((v, sums.pop(v)) for v in wanted)]


class _Piece(NamedTuple):
    """A cotangent of a window of a variable."""

    ct: Any
    starts: tuple[int, ...]
    limits: tuple[int, ...]
    source: Source | None


class _Sums:
    """The cotangents of variables, as far as they are known.

    Those of windows side by side, as the two slices of a roll are, are joined: each padded with
    zeros, they would be added for nothing.
    """

    def __init__(self) -> None:
        self._sums: dict[Any, Any] = {}
        self._pieces: dict[Any, list[_Piece]] = {}

    def add(self, v: Any, ct: Any) -> None:
        """Add a cotangent, if it is one."""
        if ct is None or isinstance(ct, Zero):
            return
        before = self._sums.get(v)
        self._sums[v] = ct if before is None else add(before, ct)

    def place(self, v: Any, piece: _Piece) -> None:
        """Add a cotangent of a window."""
        self._pieces.setdefault(v, []).append(piece)

    def pop(self, v: Any) -> Any:
        """Return the sum, or None if there is nothing, and forget it."""
        for axis, run in _runs(self._pieces.pop(v, ()), v.aval.shape):
            with replaying(run[0].source):
                ct = concatenate([x.ct for x in run], axis)
                ends = zip(run[0].starts, run[-1].limits, v.aval.shape, strict=True)
                config = [(a, d - b, 0) for a, b, d in ends]
                self.add(v, pad(ct, np.zeros((), v.aval.dtype)[()], config))
        return self._sums.pop(v, None)


def _runs(pieces: Sequence[_Piece], shape: Sequence[int]) -> Iterator[tuple[int, list[_Piece]]]:
    """Yield the pieces, those that lie side by side along an axis together, with that axis.

    Only windows of all of the other axes are put together.
    """
    axes: list[int] = []
    joins: list[bool] = []
    by_start: dict[tuple[int, int], list[int]] = {}
    by_limit: dict[tuple[int, int], list[int]] = {}
    for n, (_, starts, limits, _) in enumerate(pieces):
        cut = [a for a, d in enumerate(shape) if (starts[a], limits[a]) != (0, d)]
        axis = cut[0] if cut else 0
        axes.append(axis)
        joins.append(len(cut) == 1 and starts[axis] < limits[axis])
        if joins[n]:
            by_start.setdefault((axis, starts[axis]), []).append(n)
            by_limit.setdefault((axis, limits[axis]), []).append(n)
    done: set[int] = set()

    def taken(found: list[int]) -> _Piece | None:
        while found:
            n = found.pop(0)
            if n not in done:
                done.add(n)
                return pieces[n]
        return None

    for n, piece in enumerate(pieces):
        if n in done:
            continue
        done.add(n)
        axis, run = axes[n], [piece]
        while joins[n] and (x := taken(by_limit.get((axis, run[-1].starts[axis]), []))):
            run.append(x)
        run.reverse()
        while joins[n] and (x := taken(by_start.get((axis, run[-1].limits[axis]), []))):
            run.append(x)
        yield axis, run


_memo: weakref.WeakKeyDictionary[Program, dict[tuple[bool, ...], Program]] = (
    weakref.WeakKeyDictionary()
)


def transpose_program(program: Program, linear: Sequence[bool]) -> Program:
    """Return the transpose of a Program; memoised by the identity of `program`.

    Parameters
    ----------
    program : Program
        Linear in the inputs flagged.
    linear : sequence of bool
        Which inputs are linear.

    Returns
    -------
    Program
        Inputs: the other inputs, then the cotangents of all outputs.  Outputs: the cotangents
        of the linear inputs; zeros are instantiated.
    """
    linear = tuple(linear)
    memo = _memo.setdefault(program, {})
    found = memo.get(linear)
    if found is not None:
        return found
    others = [a for a, flag in zip(program.in_avals, linear, strict=True) if not flag]

    def backward(*inputs: Any) -> Sequence[Any]:
        given = iter(inputs[: len(others)])
        args = [None if flag else next(given) for flag in linear]
        cts = backward_pass(program, linear, args, inputs[len(others) :])
        return [instantiate_zero(ct) for ct in cts]

    avals = [*others, *(a.strong() for a in program.out_avals)]
    found = memo[linear] = dce(stage(backward, avals, f"{program.name}_transpose"))
    return found


def split_and_transpose(
    program: Program, operands: Sequence[Any], cts: Sequence[Any]
) -> list[Any]:
    """Return the cotangents of the linear operands of a Program that computes other things too.

    Parameters
    ----------
    program : Program
        Some of its equations, control operations, have both linear and other outputs, so it has to
        be evaluated in part.
    operands : sequence
        One an input; Linear where it is linear.
    cts : sequence of values or Zero
        The cotangents of all outputs.

    Returns
    -------
    list of values, Zero or None
        One an operand; None for those that are not Linear.
    """
    linear = [isinstance(x, Linear) for x in operands]
    known, rest, unknown_out, count = partial_eval_program(program, linear)
    outs = evaluate(known, [x for x, f in zip(operands, linear, strict=True) if not f])
    missing = [None] * sum(linear)
    found = iter(
        backward_pass(
            rest,
            [*[False] * count, *[True] * len(missing)],
            [*outs[len(outs) - count :], *missing],
            [ct for ct, u in zip(cts, unknown_out, strict=True) if u],
        )
    )
    return [next(found) if f else None for f in linear]
