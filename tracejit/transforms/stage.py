"""Staging: record what a function does with its arguments as a Program, and run a Program.

:class:`StageInterpreter` records one equation a bound primitive.  It has no parent: while it is
the current interpreter, everything is recorded, operations on constants too.  Values of other
interpreters (arrays, tracers of an enclosing transformation) become constants of the Program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from tracejit.core.array import Array, from_numpy, uncommitted
from tracejit.core.errors import StructureError
from tracejit.core.interpreter import bottom, current_interpreter, interpreting
from tracejit.core.primitive import Primitive
from tracejit.core.pytree import (
    PyTreeDef,
    keystr,
    tree_flatten,
    tree_flatten_with_path,
    tree_unflatten,
)
from tracejit.core.scalars import PYTHON_SCALARS, aval_of_scalar
from tracejit.core.source import current_source
from tracejit.core.tracer import Tracer, check_live, get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import float0
from tracejit.ir.program import Atom, Equation, Literal, Program, Source, Var

__all__ = [
    "StageInterpreter",
    "StageTracer",
    "evaluate",
    "hoist_constants",
    "literal_value",
    "replaying",
    "stage",
    "stage_tree",
]


# The source of the equation that is being replayed, so that its descendants keep its line.
_replayed: ContextVar[Source | None] = ContextVar("replayed_source", default=None)


def source_now() -> Source | None:
    """Return the source of what is being bound: that of the replayed equation, or the user's."""
    return _replayed.get() or current_source()


class replaying:
    """Context manager: equations recorded inside have `source`, or their own if it is None.

    A rule that calls a function of the user does so under ``replaying(None)``, for its lines.
    """

    __slots__ = ("_source", "_token")

    def __init__(self, source: Source | None) -> None:
        self._source = source

    def __enter__(self) -> None:
        self._token = _replayed.set(self._source)

    def __exit__(self, *exc: object) -> None:
        _replayed.reset(self._token)


class StageTracer(Tracer):
    """Stands for a Var of the Program that its interpreter records."""

    __slots__ = ("recorded",)  # `var` is a method of arrays

    recorded: Var

    def __init__(self, interpreter: StageInterpreter, var: Var) -> None:
        self.interpreter = interpreter
        self.recorded = var
        self.aval = var.aval


_NUMPY_SCALARS: dict[type, ShapedArray] = {
    kind: ShapedArray((), kind) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)
}
"""The types of scalars that literals come as, mostly."""


class StageInterpreter:
    """Records equations.

    Attributes
    ----------
    finished : bool
        Whether the trace has ended, so that its tracers stand for nothing any more.
    equations : list of Equation
        What was recorded so far.
    """

    __slots__ = ("__weakref__", "_constants", "_kept", "equations", "finished", "inputs")

    def __init__(self) -> None:
        self.finished = False
        self.inputs: list[Var] = []
        self.equations: list[Equation] = []
        self._constants: list[tuple[Var, Any]] = []
        # By identity; the object is kept with its Var so that its id stays its own.
        self._kept: dict[int, tuple[Var, Any, Any]] = {}

    def new_input(self, aval: ShapedArray) -> StageTracer:
        """Return a tracer for a new input of the Program."""
        var = Var(aval.placeless)
        self.inputs.append(var)
        return StageTracer(self, var)

    def atom(self, x: Any) -> Atom:
        """Return what stands for `x` in equations: its Var, a Literal, or a new constant."""
        if isinstance(x, Tracer):
            if x.interpreter is self:
                var: Var = x.recorded  # type: ignore[attr-defined]
                return var
            check_live(x)
            return self._constant(x, x.aval, x)
        kind = type(x)
        known = _NUMPY_SCALARS.get(kind)
        if known is not None:
            return Literal(x.item(), known)
        if kind in PYTHON_SCALARS:
            return Literal(x, aval_of_scalar(x))
        aval = get_aval(x)
        if isinstance(x, Array):
            if not aval.shape and x.aval.device is None and aval.dtype is not float0:
                return Literal(_python_value(x.buf), aval)
            return self._constant(x, aval, x)
        if not isinstance(x, (np.ndarray, np.generic)):
            return self._constant(x, aval, bottom().adopt(x))
        if not aval.shape and aval.dtype is not float0:
            return Literal(_python_value(x), aval)
        return self._constant(x, aval, None)

    def _constant(self, x: Any, aval: ShapedArray, value: Any) -> Var:
        found = self._kept.get(id(x))
        if found is not None and (value is not None or _unchanged(found[2], x)):
            return found[0]
        var = Var(aval)
        if value is None:  # a NumPy array may be written to later, so it is copied
            value = from_numpy(x)
        self._kept[id(x)] = (var, x, value)
        self._constants.append((var, value))
        return var

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Record one equation and return the tracers of its outputs."""
        inputs = tuple(
            [
                x.recorded if type(x) is StageTracer and x.interpreter is self else self.atom(x)
                for x in operands
            ]
        )
        avals = primitive.result_avals(tuple([a.aval for a in inputs]), params)
        source = source_now()
        if primitive.multiple:
            outputs = tuple([Var(aval) for aval in avals])
            self.equations.append(Equation(primitive, inputs, params, outputs, source))
            return [StageTracer(self, var) for var in outputs]
        var = Var(avals[0])
        self.equations.append(Equation(primitive, inputs, params, (var,), source))
        return StageTracer(self, var)

    def finish(self, outputs: Iterable[Any], name: str = "program") -> Program:
        """Return the Program with these outputs; its tracers are of no use any more."""
        atoms = [self.atom(x) for x in outputs]
        self.finished = True
        return Program(self.inputs, self.equations, atoms, self._constants, name)


def _unchanged(captured: Array, x: Any) -> bool:
    """Whether a NumPy array still has the bytes that were captured."""
    if captured.aval.dtype is float0:
        return True
    now = np.ascontiguousarray(x)
    return now.dtype == captured.buf.dtype and bool(
        np.array_equal(now.view(np.uint8), captured.buf.view(np.uint8))
    )


def _python_value(x: Any) -> Any:
    value = x.item()
    return value if type(value) in PYTHON_SCALARS else float(value)  # a bfloat16 stays one


def stage(
    fun: Callable[..., Sequence[Any]], avals: Sequence[ShapedArray], name: str = "program"
) -> Program:
    """Record `fun` as a Program.

    Parameters
    ----------
    fun : callable
        Takes one tracer an aval, returns a list or tuple of values.
    avals : sequence of ShapedArray
        The inputs.
    name : str
        The name of the Program.
    """
    interpreter = StageInterpreter()
    try:
        with interpreting(interpreter), replaying(None):
            outputs = fun(*[interpreter.new_input(aval) for aval in avals])
            return interpreter.finish(outputs, name)
    finally:
        interpreter.finished = True


def stage_tree(
    fun: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any] | None = None,
    name: str | None = None,
    aval_of: Callable[[Any], ShapedArray] = get_aval,
) -> tuple[Program, PyTreeDef]:
    """Record a function of pytrees as a Program of their leaves.

    Parameters
    ----------
    fun : callable
        Called as ``fun(*args, **kwargs)`` with the leaves replaced by tracers.
    args, kwargs : pytrees of arrays
        Arguments; only their avals count.
    name : str, optional
        The name of the Program; by default that of `fun`.
    aval_of : callable
        Gives the aval of a leaf.

    Returns
    -------
    program : Program
        Its inputs are the leaves of ``(args, kwargs)``.
    out_treedef : PyTreeDef
        The structure of the result.

    Raises
    ------
    StructureError
        If `fun` returns something that is no array; names the key path.
    """
    leaves, treedef = tree_flatten((tuple(args), dict(kwargs or {})))
    out_treedef: PyTreeDef

    def flat(*tracers: Any) -> Sequence[Any]:
        nonlocal out_treedef
        args, kwargs = tree_unflatten(treedef, tracers)
        result = fun(*args, **kwargs)
        outs, out_treedef = tree_flatten(result)
        check_outputs(fun, result, outs)
        return outs

    name = name or function_name(fun)
    program = stage(flat, [aval_of(x) for x in leaves], name)
    return program, out_treedef


def function_name(fun: Any) -> str:
    """Return the name of a callable as a Program's name: an identifier."""
    name = getattr(fun, "__name__", None) or type(getattr(fun, "func", fun)).__name__
    return name if name.isidentifier() else "".join(c for c in name if c.isalnum()) or "program"


def check_outputs(fun: Any, result: Any, leaves: Sequence[Any]) -> None:
    """Raise StructureError unless every leaf that a function returned is an array or scalar."""
    for x in leaves:
        if isinstance(x, (Tracer, Array, np.ndarray, np.generic, bool, int, float, complex)):
            continue
        path = next(p for p, y in tree_flatten_with_path(result)[0] if y is x)
        raise StructureError(
            f"{function_name(fun)} must return arrays, scalars, or containers of them; "
            f"got {type(x).__name__} at result{keystr(path)}"
        )


def hoist_constants(program: Program) -> tuple[Program, list[Any]]:
    """Return `program` with its constants as leading inputs, and the constants."""
    if not program.constants:
        return program, []
    variables = [v for v, _ in program.constants]
    values = [value for _, value in program.constants]
    return program.replace(inputs=(*variables, *program.inputs), constants=()), values


def literal_value(a: Atom) -> Any:
    """Return an operand that becomes the same Literal again when it is bound."""
    assert isinstance(a, Literal)
    aval = a.aval
    if not aval.weak:
        return aval.dtype.type(a.value)
    if type(a.value) in PYTHON_SCALARS and aval_of_scalar(a.value) is aval:
        return a.value
    return uncommitted(aval, np.asarray(a.value, aval.dtype))


def evaluate(program: Program, args: Sequence[Any]) -> list[Any]:
    """Run a Program under the current interpreter.

    Every equation is bound as it is, sub-programs included; what is recorded meanwhile keeps
    the sources of the equations.

    Parameters
    ----------
    program : Program
        What to run.
    args : sequence of operands
        One an input.

    Returns
    -------
    list
        One value an output.
    """
    env: dict[Any, Any] = dict(zip(program.inputs, args, strict=True))
    env.update(program.constants)
    process = current_interpreter().process
    token = _replayed.set(_replayed.get())
    try:
        for primitive, inputs, params, outputs, source in program.equations:
            operands = tuple([env[a] if type(a) is Var else literal_value(a) for a in inputs])
            _replayed.set(source)
            result = process(primitive, operands, params)
            if primitive.multiple:
                env.update(zip(outputs, result, strict=True))
            else:
                env[outputs[0]] = result
    finally:
        _replayed.reset(token)
    return [env[a] if type(a) is Var else literal_value(a) for a in program.outputs]
