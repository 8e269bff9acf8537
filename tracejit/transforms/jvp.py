"""Forward mode: carry a tangent with every value, by the derivative rules of the primitives."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core import primitive as tables
from tracejit.core.interpreter import Interpreter, current_interpreter, interpreting
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import Tracer, get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.dtypes import is_inexact
from tracejit.ir.program import Program
from tracejit.ops.shape import zeros_like_aval
from tracejit.transforms.dce import dce
from tracejit.transforms.stage import evaluate, replaying, source_now, stage

__all__ = ["JVPInterpreter", "JVPTracer", "instantiate_zero", "jvp_flat", "jvp_program"]


class JVPTracer(Tracer):
    """A primal and its tangent, both values of the parent interpreter."""

    __slots__ = ("primal", "tangent")

    def __init__(self, interpreter: JVPInterpreter, primal: Any, tangent: Any) -> None:
        self.interpreter = interpreter
        self.primal = primal
        self.tangent = tangent
        self.aval = get_aval(primal)

    @property
    def concrete(self) -> Any:
        """The value of the primal where it is known, so that Python may branch on it."""
        return concrete_value(self.primal)


def concrete_value(x: Any) -> Any:
    """Return `x` if it is a value, that behind it if it is a tracer which knows it, or None."""
    return x.concrete if isinstance(x, Tracer) else x


class JVPInterpreter:
    """Applies derivative rules; what carries no tangent goes to the parent as it is."""

    __slots__ = ("finished", "parent")

    def __init__(self, parent: Interpreter) -> None:
        self.parent = parent
        self.finished = False

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Return the outputs, as tracers where a tangent is not zero."""
        primals = []
        tangents = []
        active = False
        for x in operands:
            if type(x) is JVPTracer and x.interpreter is self:
                primals.append(x.primal)
                tangents.append(x.tangent)
                active = True
            else:
                primals.append(x)
                tangents.append(None)
        if not active:
            with interpreting(self.parent):
                return self.parent.process(primitive, operands, params)
        # The source is found once for all that the rule binds.
        with interpreting(self.parent), replaying(source_now()):
            for i, t in enumerate(tangents):
                if t is None:
                    tangents[i] = Zero(get_aval(primals[i]))
            out, tangent = tables.jvp[primitive](primals, tangents, **params)
        if primitive.multiple:
            return [
                p if isinstance(t, Zero) else JVPTracer(self, p, t)
                for p, t in zip(out, tangent, strict=True)
            ]
        return out if isinstance(tangent, Zero) else JVPTracer(self, out, tangent)

    def split(self, x: Any) -> tuple[Any, Any]:
        """Return the primal and the tangent (perhaps Zero) of a value."""
        if type(x) is JVPTracer and x.interpreter is self:
            return x.primal, x.tangent
        return x, Zero(get_aval(x))


def jvp_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Differentiate forward.

    Parameters
    ----------
    fun : callable
        Takes and returns flat sequences of values.
    primals : sequence of values
        Where.
    tangents : sequence of values or Zero
        The direction.

    Returns
    -------
    outs, tangents_out : list
        The values, and their tangents, :class:`~tracejit.core.zeros.Zero` among them.
    """
    interpreter = JVPInterpreter(current_interpreter())
    try:
        inputs = [
            p if isinstance(t, Zero) else JVPTracer(interpreter, p, t)
            for p, t in zip(primals, tangents, strict=True)
        ]
        with interpreting(interpreter):
            results = fun(*inputs)
        pairs = [interpreter.split(x) for x in results]
    finally:
        interpreter.finished = True
    return [p for p, _ in pairs], [t for _, t in pairs]


def instantiate_zero(t: Any) -> Any:
    """Return `t`, or zeros if it is a symbolic Zero."""
    if not isinstance(t, Zero):
        return t
    aval = t.aval
    return zeros_like_aval(aval) if aval.shape else aval.dtype.type(0)


_memo: weakref.WeakKeyDictionary[Program, dict[Any, tuple[Program, tuple[bool, ...]]]] = (
    weakref.WeakKeyDictionary()
)


def jvp_program(
    program: Program,
    nonzero: Sequence[bool],
    instantiate: bool | Sequence[bool] = False,
) -> tuple[Program, tuple[bool, ...]]:
    """Return the Program of values and tangents; memoised by the identity of `program`.

    Parameters
    ----------
    program : Program
        What to differentiate.
    nonzero : sequence of bool
        Which inputs have a tangent.
    instantiate : bool or sequence of bool
        Which outputs shall have a tangent even if it is zero; integer outputs never have one.

    Returns
    -------
    program : Program
        Inputs: the primals, then the tangents flagged in `nonzero`.  Outputs: the primal
        outputs, then the tangents flagged in `nonzero_out`.
    nonzero_out : tuple of bool
        Which outputs have a tangent.
    """
    nonzero = tuple(nonzero)
    flags = (
        (instantiate,) * len(program.outputs)
        if isinstance(instantiate, bool)
        else tuple(instantiate)
    )
    wanted = tuple(
        flag and is_inexact(aval.dtype) for flag, aval in zip(flags, program.out_avals, strict=True)
    )
    known = _memo.setdefault(program, {})
    found = known.get((nonzero, wanted))
    if found is not None:
        return found
    count = len(program.inputs)
    nonzero_out: tuple[bool, ...] = ()

    def both(*inputs: Any) -> Sequence[Any]:
        nonlocal nonzero_out
        given = iter(inputs[count:])
        tangents = [
            next(given) if flag else Zero(aval)
            for flag, aval in zip(nonzero, program.in_avals, strict=True)
        ]
        outs, tangents_out = jvp_flat(
            lambda *args: evaluate(program, args), inputs[:count], tangents
        )
        nonzero_out = tuple(
            want or not isinstance(t, Zero) for want, t in zip(wanted, tangents_out, strict=True)
        )
        return [
            *outs,
            *(
                instantiate_zero(t)
                for t, flag in zip(tangents_out, nonzero_out, strict=True)
                if flag
            ),
        ]

    avals = [
        *program.in_avals,
        *(a.strong() for a, flag in zip(program.in_avals, nonzero, strict=True) if flag),
    ]
    found = dce(stage(both, avals, f"{program.name}_jvp")), nonzero_out
    known[nonzero, wanted] = found
    return found
