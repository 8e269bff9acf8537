"""Vectorization: carry a batch axis with every value, by the batching rules of the primitives."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tracejit.core import primitive as tables
from tracejit.core.errors import ShapeError
from tracejit.core.interpreter import Interpreter, current_interpreter, interpreting
from tracejit.core.primitive import Primitive
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program, sub_programs
from tracejit.ops._pointwise import move_axis
from tracejit.ops.shape import broadcast_in_dim
from tracejit.transforms.dce import dce
from tracejit.transforms.stage import evaluate, replaying, source_now, stage

__all__ = [
    "BatchInterpreter",
    "BatchTracer",
    "NamedAxis",
    "axis_in_progress",
    "axis_inside",
    "axis_rules",
    "batch_flat",
    "batch_program",
    "collective_names",
    "force_axis",
    "lanes_aval",
    "named_axes",
    "naming",
]

Axis = int | None

axis_rules: dict[Primitive, Callable[..., Any]] = {}
"""Primitives with a param ``axis_name``: collectives.

``rule(axis_size, operands, axes, **params) -> (outputs, out_axes)`` is called, under the parent
interpreter, by the interpreter whose axis has one of the names, also if no operand is batched.
``axis_name`` is what is left of the names: ``None``, one, or a tuple.  ``outputs`` and ``out_axes``
are lists if the primitive has several.
"""

NamedAxis = tuple[Any, int]
"""The name and the size of an axis."""

# The axis of the batching in progress, for control operators: their bodies may name it.
_named: ContextVar[NamedAxis | None] = ContextVar("named_axis", default=None)
_around: ContextVar[tuple[NamedAxis, ...]] = ContextVar("named_axes", default=())


def axis_in_progress(axis_size: int) -> Any:
    """Return the name of the axis that a batching rule of a control operator works on, or None."""
    named = _named.get()
    return named[0] if named is not None and named[1] == axis_size else None


def named_axes() -> tuple[NamedAxis, ...]:
    """Return the named axes of the batchings around, the outermost first."""
    return _around.get()


@contextmanager
def naming(axes: Sequence[NamedAxis]) -> Iterator[None]:
    """Let collectives inside name `axes` beside those that they may name anyway."""
    token = _around.set((*_around.get(), *((name, int(size)) for name, size in axes)))
    try:
        yield
    finally:
        _around.reset(token)


class BatchTracer(Tracer):
    """A value of the parent interpreter with one axis more, which the program does not see."""

    __slots__ = ("axis", "value")

    def __init__(self, interpreter: BatchInterpreter, value: Any, axis: int) -> None:
        self.interpreter = interpreter
        self.value = value
        self.axis = axis
        aval = get_aval(value)
        shape = aval.shape
        self.aval = ShapedArray(shape[:axis] + shape[axis + 1 :], aval.dtype, aval.weak)


class BatchInterpreter:
    """Applies batching rules; what is not batched goes to the parent as it is.

    Attributes
    ----------
    axis_size : int
        The number of lanes.
    axis_name : hashable or None
        The name of the batch axis, for collectives.
    """

    __slots__ = ("axis_name", "axis_size", "finished", "parent")

    def __init__(self, parent: Interpreter, axis_size: int, axis_name: Any = None) -> None:
        self.parent = parent
        self.axis_size = axis_size
        self.axis_name = axis_name
        self.finished = False

    def process(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Return the outputs, as tracers where they are batched."""
        values = []
        axes: list[Axis] = []
        batched = False
        for x in operands:
            if type(x) is BatchTracer and x.interpreter is self:
                values.append(x.value)
                axes.append(x.axis)
                batched = True
            else:
                values.append(x)
                axes.append(None)
        named = self.axis_name is not None
        if not batched and not named:
            with interpreting(self.parent):
                return self.parent.process(primitive, operands, params)
        with interpreting(self.parent), replaying(source_now()):
            if named and primitive in axis_rules and self._named_in(params["axis_name"]):
                rule = axis_rules[primitive]
                rest = {**params, "axis_name": self._left(params["axis_name"])}
                out, out_axes = rule(self.axis_size, values, axes, **rest)
            elif not batched and values and _mentions(params, self.axis_name):
                # A collective inside needs the lanes, though they all get the same.
                values[0], axes[0] = force_axis(values[0], None, 0, self.axis_size), 0
                token = _named.set((self.axis_name, self.axis_size))
                try:
                    out, out_axes = tables.batch[primitive](values, axes, **params)
                finally:
                    _named.reset(token)
            elif not batched:
                return self.parent.process(primitive, operands, params)
            elif named and primitive.control:
                token = _named.set((self.axis_name, self.axis_size))
                try:
                    out, out_axes = tables.batch[primitive](values, axes, **params)
                finally:
                    _named.reset(token)
            else:
                out, out_axes = tables.batch[primitive](values, axes, **params)
        if primitive.multiple:
            return [self.join(x, axis) for x, axis in zip(out, out_axes, strict=True)]
        return out if out_axes is None else BatchTracer(self, out, out_axes)

    def _named_in(self, names: Any) -> bool:
        return names == self.axis_name or (isinstance(names, tuple) and self.axis_name in names)

    def _left(self, names: Any) -> Any:
        """Return the names but the own one: ``None``, one, or a tuple."""
        rest = tuple(n for n in names if n != self.axis_name) if isinstance(names, tuple) else ()
        return (rest[0] if len(rest) == 1 else rest) if rest else None

    def join(self, x: Any, axis: Axis) -> Any:
        """Return a value with a batch axis as the program sees it."""
        return x if axis is None else BatchTracer(self, x, axis)

    def split(self, x: Any) -> tuple[Any, Axis]:
        """Return the parent's value and its batch axis (None if it is not batched)."""
        if type(x) is BatchTracer and x.interpreter is self:
            return x.value, x.axis
        return x, None


def batch_flat(
    fun: Callable[..., Sequence[Any]],
    axis_size: int,
    in_axes: Sequence[Axis],
    args: Sequence[Any],
    axis_name: Any = None,
) -> tuple[list[Any], list[Axis]]:
    """Run a function on all lanes at once.

    Parameters
    ----------
    fun : callable
        Takes and returns flat sequences of values; sees one lane.
    axis_size : int
        The number of lanes.
    in_axes : sequence of (int or None)
        The batch axis of each argument, None if all lanes get the same.
    args : sequence of values
        The arguments.
    axis_name : hashable, optional
        The name of the batch axis.

    Returns
    -------
    outs : list
        The results, of all lanes.
    out_axes : list of (int or None)
        Where their batch axes are; None where all lanes have the same.
    """
    interpreter = BatchInterpreter(current_interpreter(), axis_size, axis_name)
    around = _around.get() if axis_name is None else (*_around.get(), (axis_name, axis_size))
    token = _around.set(around)
    try:
        inputs = [interpreter.join(x, axis) for x, axis in zip(args, in_axes, strict=True)]
        with interpreting(interpreter):
            results = fun(*inputs)
        pairs = [interpreter.split(x) for x in results]
    finally:
        interpreter.finished = True
        _around.reset(token)
    return [x for x, _ in pairs], [axis for _, axis in pairs]


def axis_inside(params: dict[str, Any]) -> Any:
    """Return the name of the axis of the batching in progress if a collective inside asks for it.

    None otherwise.  It is for the batching rules of control operators.
    """
    named = _named.get()
    return named[0] if named is not None and _mentions(params, named[0]) else None


def _mentions(params: dict[str, Any], name: Any) -> bool:
    """Whether a collective over an axis stands in a Program among `params`."""
    return any(name in collective_names(program) for _, program in sub_programs(params))


_names: weakref.WeakKeyDictionary[Program, frozenset[Any]] = weakref.WeakKeyDictionary()


def collective_names(program: Program) -> frozenset[Any]:
    """Return the names of the axes over which there are collectives in a Program."""
    found = _names.get(program)
    if found is None:
        names: set[Any] = set()
        for eq in program.equations:
            if eq.primitive in axis_rules:
                own = eq.params["axis_name"]
                names.update(own if isinstance(own, tuple) else (own,))
            for _, inner in sub_programs(eq.params):
                names |= collective_names(inner)
        found = _names[program] = frozenset(names)
    return found


def force_axis(x: Any, axis: Axis, wanted: int, axis_size: int) -> Any:
    """Return `x` with its batch axis at `wanted`, copied along it if it is not batched."""
    if axis is not None:
        return move_axis(x, axis, wanted)
    shape = get_aval(x).shape
    new = (*shape[:wanted], axis_size, *shape[wanted:])
    return broadcast_in_dim(x, new, [a for a in range(len(new)) if a != wanted])


def lanes_aval(aval: ShapedArray, axis: Axis, axis_size: int) -> ShapedArray:
    """Return `aval` with a batch axis inserted at `axis`."""
    if axis is None:
        return aval
    shape = (*aval.shape[:axis], axis_size, *aval.shape[axis:])
    return ShapedArray(shape, aval.dtype, aval.weak)


_memo: weakref.WeakKeyDictionary[Program, dict[Any, tuple[Program, tuple[Axis, ...]]]] = (
    weakref.WeakKeyDictionary()
)


def batch_program(
    program: Program,
    axis_size: int,
    in_axes: Sequence[Axis],
    out_axes: str | Sequence[Axis] = "natural",
    axis_name: Any = None,
) -> tuple[Program, tuple[Axis, ...]]:
    """Return the Program that runs all lanes at once; memoised by the identity of `program`.

    Parameters
    ----------
    program : Program
        What one lane does.
    axis_size : int
        The number of lanes.
    in_axes : sequence of (int or None)
        The batch axis of each input.
    out_axes : "natural" or sequence of (int or None)
        Where the batch axes of the outputs shall be; an output that is not batched is copied
        along it.  None at an output means: as it comes.
    axis_name : hashable, optional
        The name of the batch axis; by default that of the batching in progress, if any.

    Returns
    -------
    program : Program
        The batched Program.
    out_axes : tuple of (int or None)
        Where the batch axes of its outputs are.
    """
    in_axes = tuple(in_axes)
    count = len(program.outputs)
    forced: tuple[Axis, ...] = (None,) * count if isinstance(out_axes, str) else tuple(out_axes)
    if len(forced) != count:
        raise ShapeError(f"batch_program: {count} outputs need as many out_axes; got {forced}")
    if axis_name is None:
        axis_name = axis_in_progress(axis_size)
    key = (axis_size, in_axes, forced, axis_name)
    memo = _memo.setdefault(program, {})
    found = memo.get(key)
    if found is not None:
        return found
    where: tuple[Axis, ...] = ()

    def lanes(*inputs: Any) -> Sequence[Any]:
        nonlocal where
        outs, axes = batch_flat(
            lambda *args: evaluate(program, args), axis_size, in_axes, inputs, axis_name
        )
        where = tuple(a if f is None else f for a, f in zip(axes, forced, strict=True))
        return [
            x if f is None else force_axis(x, a, f, axis_size)
            for x, a, f in zip(outs, axes, forced, strict=True)
        ]

    avals = [
        lanes_aval(aval, axis, axis_size)
        for aval, axis in zip(program.in_avals, in_axes, strict=True)
    ]
    batched = dce(stage(lanes, avals, f"{program.name}_vmap"))
    found = memo[key] = (batched, where)
    return found
