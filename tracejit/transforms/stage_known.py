"""Staging where the values of arguments are known, so that Python may branch on them.

A function of the user that cannot be staged from types alone, because it has an ``if`` on the
value of an argument, can be staged for these values: every equation is recorded and evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.errors import ConcretizationError
from tracejit.core.interpreter import bottom, interpreting
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import Tracer
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program, Var
from tracejit.transforms.jvp import concrete_value
from tracejit.transforms.stage import StageInterpreter, StageTracer, replaying, stage

__all__ = ["stage_for"]


class _KnownTracer(StageTracer):
    """Stands for a Var whose value is known."""

    __slots__ = ("value",)

    def __init__(self, interpreter: StageInterpreter, var: Var, value: Any) -> None:
        super().__init__(interpreter, var)
        self.value = value

    @property
    def concrete(self) -> Any:
        """The value."""
        return self.value


class _KnownInterpreter(StageInterpreter):
    """Records equations, and evaluates those whose operands are known."""

    __slots__ = ()

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Record one equation; return tracers that know their values if the operands do."""
        made = super().process(primitive, operands, params)
        values = tuple([concrete_value(x) for x in operands])
        if any(x is None for x in values):
            return made
        with interpreting(bottom()):
            found = bottom().process(primitive, values, params)
        if not primitive.multiple:
            return _KnownTracer(self, made.recorded, found)
        return [_KnownTracer(self, t.recorded, x) for t, x in zip(made, found, strict=True)]


def stage_for(
    fun: Callable[..., Sequence[Any]],
    avals: Sequence[ShapedArray],
    values: Callable[[], Sequence[Any]],
    name: str = "program",
) -> tuple[Program, bool]:
    """Record `fun` as a Program: for all values if that can be, else for those given.

    Parameters
    ----------
    fun : callable
        Takes one tracer an aval, returns a list or tuple of values.
    avals : sequence of ShapedArray
        The inputs.
    values : callable
        Returns one value an input, or something else where it is not known: called only if
        `fun` asks for a value.
    name : str
        The name of the Program.

    Returns
    -------
    program : Program
        What was recorded.
    general : bool
        Whether it holds for all values.

    Raises
    ------
    ConcretizationError
        If `fun` asks for the value of something that is not known.
    """
    try:
        return stage(fun, avals, name), True
    except ConcretizationError:
        known = [concrete_value(x) for x in values()]
        if all(x is None for x in known):
            raise
    interpreter = _KnownInterpreter()
    try:
        with interpreting(interpreter), replaying(None):
            inputs: list[Tracer] = []
            for aval, value in zip(avals, known, strict=True):
                tracer = interpreter.new_input(aval)
                if value is not None:
                    tracer = _KnownTracer(interpreter, tracer.recorded, value)
                inputs.append(tracer)
            return interpreter.finish(fun(*inputs), name), False
    finally:
        interpreter.finished = True
