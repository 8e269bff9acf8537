"""Partial evaluation: do now what depends on known values, record the rest.

:class:`PartialEvalInterpreter` records the operations with an unknown operand and gives the
others to its parent.  Known operands of recorded operations are *residuals*: constants of the
recorded Program.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from tracejit.core.interpreter import Interpreter, current_interpreter, interpreting
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import Tracer
from tracejit.ir.program import Program
from tracejit.transforms.dce import dce
from tracejit.transforms.stage import (
    StageInterpreter,
    StageTracer,
    evaluate,
    replaying,
    stage,
)

__all__ = [
    "PartialEvalInterpreter",
    "bounded_memory",
    "inside_loop",
    "memory_budget",
    "partial_eval_program",
    "partial_eval_rules",
    "residuals_stack",
    "snapshot_count",
    "snapshots_kept",
]

memory_budget: ContextVar[int | None] = ContextVar("memory_budget", default=None)
"""Bytes that the residuals of a loop may take in the linearization in progress (``grad(f,
memory=...)``); the partial evaluation rules of loops ask for it.  None is no bound."""

snapshot_count: ContextVar[int | None] = ContextVar("snapshot_count", default=None)
"""How many states a loop keeps for the way back (``treeverse(n)``); None leaves it to the loop."""

residuals_stack: ContextVar[bool] = ContextVar("residuals_stack", default=False)
"""Whether residuals are stored once a trip of a loop around, so that a loop inside had better keep
no states but run again."""


@contextlib.contextmanager
def bounded_memory(budget: int | None) -> Iterator[None]:
    """Bound what the residuals of loops may take; None leaves the bound as it is."""
    token = memory_budget.set(memory_budget.get() if budget is None else budget)
    try:
        yield
    finally:
        memory_budget.reset(token)


@contextlib.contextmanager
def snapshots_kept(count: int | None) -> Iterator[None]:
    """Bound how many states a loop keeps; None leaves the bound as it is."""
    token = snapshot_count.set(snapshot_count.get() if count is None else count)
    try:
        yield
    finally:
        snapshot_count.reset(token)


@contextlib.contextmanager
def inside_loop(budget: int | None, stacked: bool) -> Iterator[None]:
    """Partially evaluate the body of a loop: loops in it get `budget` and `stacked`."""
    tokens = memory_budget.set(budget), residuals_stack.set(stacked)
    try:
        yield
    finally:
        memory_budget.reset(tokens[0])
        residuals_stack.reset(tokens[1])


Rule = Callable[["PartialEvalInterpreter", tuple[Any, ...], dict[str, Any]], Any]

partial_eval_rules: dict[Primitive, Rule] = {}
"""Primitives that decide for themselves what of them is known (control operators).

``rule(interpreter, operands, params) -> outputs``, a list if the primitive has several.  It is
called under the parent interpreter, with at least one unknown operand: one for which
``interpreter.is_unknown(x)``.  What it binds is known; ``interpreter.record(primitive,
operands, params)`` records an equation and returns its unknown outputs.
"""


class PartialEvalInterpreter(StageInterpreter):
    """Records operations on unknowns; its own tracers stand for unknown values."""

    __slots__ = ("parent",)

    def __init__(self, parent: Interpreter) -> None:
        super().__init__()
        self.parent = parent

    def is_unknown(self, x: Any) -> bool:
        """Whether `x` is unknown to this interpreter."""
        return isinstance(x, StageTracer) and x.interpreter is self

    def record(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Record one equation; known operands become residuals."""
        return StageInterpreter.process(self, primitive, operands, params)

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Return known outputs if every operand is known, else record."""
        for x in operands:
            if type(x) is StageTracer and x.interpreter is self:
                break
        else:
            with interpreting(self.parent):
                return self.parent.process(primitive, operands, params)
        rule = partial_eval_rules.get(primitive)
        if rule is None:
            return StageInterpreter.process(self, primitive, operands, params)
        with interpreting(self.parent):
            return rule(self, operands, params)


_memo: weakref.WeakKeyDictionary[
    Program, dict[Any, tuple[Program, Program, tuple[bool, ...], int]]
] = weakref.WeakKeyDictionary()


def partial_eval_program(
    program: Program, unknown: Sequence[bool], instantiate: bool | Sequence[bool] = False
) -> tuple[Program, Program, tuple[bool, ...], int]:
    """Split a Program in what the known inputs determine, and the rest; memoised by identity.

    Parameters
    ----------
    program : Program
        What to split.
    unknown : sequence of bool
        Which inputs are unknown.
    instantiate : bool or sequence of bool
        Which outputs shall be unknown even if they are known.

    Returns
    -------
    known : Program
        Inputs: those known.  Outputs: those known, then the residuals.
    rest : Program
        Inputs: the residuals, then the unknown inputs.  Outputs: those unknown.
    unknown_out : tuple of bool
        Which outputs are unknown.
    n_residuals : int
        How many residuals there are.  A residual that is a known input is passed on as it is;
        one that is a constant array stays a constant of `rest`.
    """
    unknown = tuple(unknown)
    wanted = (
        (instantiate,) * len(program.outputs)
        if isinstance(instantiate, bool)
        else tuple(instantiate)
    )
    memo = _memo.setdefault(program, {})
    key = (unknown, wanted, memory_budget.get(), snapshot_count.get(), residuals_stack.get())
    found = memo.get(key)
    if found is not None:
        return found
    rest = Program((), (), ())
    unknown_out: tuple[bool, ...] = ()
    n_residuals = 0

    def known_part(*known_inputs: Any) -> Sequence[Any]:
        nonlocal rest, unknown_out, n_residuals
        interpreter = PartialEvalInterpreter(current_interpreter())
        given = iter(known_inputs)
        inputs = [
            interpreter.new_input(aval) if flag else next(given)
            for flag, aval in zip(unknown, program.in_avals, strict=True)
        ]
        with interpreting(interpreter), replaying(None):
            outs = evaluate(program, inputs)
        unknown_out = tuple(
            want or interpreter.is_unknown(x) for want, x in zip(wanted, outs, strict=True)
        )
        rest = dce(
            interpreter.finish(
                [x for x, flag in zip(outs, unknown_out, strict=True) if flag],
                f"{program.name}_rest",
            )
        )
        residuals = [pair for pair in rest.constants if isinstance(pair[1], Tracer)]
        rest = rest.replace(
            inputs=(*(v for v, _ in residuals), *rest.inputs),
            constants=[pair for pair in rest.constants if not isinstance(pair[1], Tracer)],
        )
        n_residuals = len(residuals)
        return [
            *(x for x, flag in zip(outs, unknown_out, strict=True) if not flag),
            *(value for _, value in residuals),
        ]

    avals = [a for a, flag in zip(program.in_avals, unknown, strict=True) if not flag]
    known = dce(stage(known_part, avals, f"{program.name}_known"))
    found = known, rest, unknown_out, n_residuals
    memo[key] = found
    return found
