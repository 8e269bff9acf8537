"""``cond`` and ``switch``: one of several functions, chosen by a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.control.carried import avals_of
from tracejit.control.guard import guarded
from tracejit.control.interpret import interpret
from tracejit.control.lanes import one_by_one
from tracejit.control.programs import arranged, interned, staged_body, used_inputs, wrapped
from tracejit.control.stepwise import as_arrays, chosen
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.primitive import Primitive, define
from tracejit.core.pytree import (
    PyTreeDef,
    equality_errors,
    keystr,
    tree_flatten_with_path,
    tree_unflatten,
)
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, is_bool, is_complex, is_integer, promote
from tracejit.ir.program import Equation, Program, Var
from tracejit.ops._pointwise import move_axis
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import clamp, eq, ne, select
from tracejit.ops.shape import broadcast_in_dim
from tracejit.transforms.batching import batch_program, force_axis
from tracejit.transforms.dce import dce, dce_rules, has_effects
from tracejit.transforms.flat import array_or_tracer
from tracejit.transforms.jvp import instantiate_zero, jvp_program
from tracejit.transforms.partial_eval import (
    PartialEvalInterpreter,
    partial_eval_program,
    partial_eval_rules,
)
from tracejit.transforms.stage import evaluate, function_name, stage
from tracejit.transforms.transpose import transpose_program

__all__ = ["cond", "cond_p", "switch"]

INDEX = DTYPES["i32"]


_NOTHING = object()


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
    operand: Any = _NOTHING,
) -> Any:
    """Run one of two functions.

    Parameters
    ----------
    pred : scalar, bool or a number
        Which; a number counts as true if it is not 0.
    true_fun, false_fun : callable
        Take `operands`; return the same structure, shapes and dtypes.  A Python scalar that one
        returns takes the dtype that the other returns.
    *operands : pytrees of arrays
        The arguments.
    operand : pytree of arrays, optional
        The argument, if it is one: another way to say it, of older programs.

    Returns
    -------
    pytree of arrays
        What the chosen function returns.

    Raises
    ------
    ShapeError, DTypeError
        If `pred` is no scalar, or the results differ; names the leaf.
    StructureError
        If the structures of the results differ.

    Notes
    -----
    Under ``vmap`` with a `pred` of its own for every sample both functions run, on all samples,
    and ``select`` chooses: it costs what both cost.  What the other one makes of a sample does
    not count, nor does its derivative, even where it is infinite or NaN.  If they have effects,
    one sample after another runs its own.

    See Also
    --------
    switch : for more than two.
    """
    if operand is not _NOTHING:
        if operands:
            raise StructureError("cond: give the operands, or operand=..., not both")
        operands = (operand,)
    for name, fun in (("true_fun", true_fun), ("false_fun", false_fun)):
        if not callable(fun):
            raise StructureError(
                f"cond: {name} must be a function: cond(pred, true_fun, false_fun, *operands); "
                f"got {type(fun).__name__}"
            )
    aval = _scalar("cond: pred", pred)
    if is_complex(aval.dtype):
        raise DTypeError(f"cond: pred must be bool or a real number; got {aval}")
    if not is_bool(aval.dtype):
        pred = ne(pred, aval.dtype.type(0))
    known = chosen(pred)
    if known is not None:
        return as_arrays((true_fun if known else false_fun)(*as_arrays(operands)))
    index = convert_element_type(pred, INDEX)
    return _choose("cond", index, (false_fun, true_fun), operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Run one of several functions.

    Parameters
    ----------
    index : scalar, integer
        Which; clamped to ``0 .. len(branches) - 1``.
    branches : sequence of callable
        Take `operands`; return the same structure, shapes and dtypes.
    *operands : pytrees of arrays
        The arguments.

    Returns
    -------
    pytree of arrays
        What the chosen function returns.

    Raises
    ------
    ShapeError, DTypeError
        If `index` is no integer scalar, or the results differ; names the leaf.
    StructureError
        If there is no branch, or the structures of the results differ.

    Notes
    -----
    Under ``vmap`` as :func:`cond`.
    """
    branches = tuple(branches)
    if not branches or not all(callable(f) for f in branches):
        raise StructureError(
            "switch: branches must be a sequence of functions, at least one; "
            f"got {[type(f).__name__ for f in branches]}"
        )
    aval = _scalar("switch: index", index)
    if not is_integer(aval.dtype):
        raise DTypeError(f"switch: index must be an integer; got {aval}")
    known = chosen(index)
    if len(branches) == 1 or known is not None:
        branch = branches[min(max(known or 0, 0), len(branches) - 1)]
        return as_arrays(branch(*as_arrays(operands)))
    kind = aval.dtype.type
    last = min(len(branches) - 1, np.iinfo(aval.dtype).max)
    index = convert_element_type(clamp(kind(0), index, kind(last)), INDEX)
    return _choose("switch", index, branches, operands)


def _scalar(what: str, x: Any) -> ShapedArray:
    try:
        aval = get_aval(x)
    except DTypeError:
        raise DTypeError(f"{what} must be a scalar; got {type(x).__name__}") from None
    if aval.shape:
        raise ShapeError(
            f"{what} must be a scalar; got {aval}. To choose elements use select or where; to "
            "choose for every sample use vmap"
        )
    return aval


def _choose(
    name: str, index: Any, branches: Sequence[Callable[..., Any]], operands: Sequence[Any]
) -> Any:
    leaves, avals, treedef, _ = avals_of(f"{name}: operands", tuple(operands))
    types = tree_unflatten(treedef, avals)
    staged = [staged_body(f, types) for f in branches]
    called = ("false_fun", "true_fun") if name == "cond" else None
    titles = [
        f"{called[n] if called else f'branch {n}'} ({function_name(f)})"
        for n, f in enumerate(branches)
    ]
    out_treedef = staged[0][2]
    for title, (_, _, found) in zip(titles, staged, strict=True):
        _check_structure(name, titles[0], out_treedef, title, found)
    programs = _agreed(name, titles, [p for p, _, _ in staged], out_treedef)
    # What the branches captured becomes operands of all of them.
    captured: dict[int, Any] = {id(x): x for _, constants, _ in staged for x in constants}
    places = {key: n for n, key in enumerate(captured)}
    every = [*map(_plain, captured.values()), *avals]
    joined = tuple(
        _spread(
            program,
            every,
            [*(places[id(x)] for x in constants), *range(len(captured), len(every))],
        )
        for program, (_, constants, _) in zip(programs, staged, strict=True)
    )
    outs = cond_p.bind(index, *captured.values(), *leaves, branches=joined)
    return tree_unflatten(out_treedef, map(array_or_tracer, outs))


def _plain(x: Any) -> ShapedArray:
    aval = get_aval(x)
    return ShapedArray(aval.shape, aval.dtype, aval.weak)


def _check_structure(
    name: str, one: str, wanted: PyTreeDef, other: str, got: PyTreeDef
) -> None:
    if got == wanted:
        return
    trees = [tree_unflatten(t, [0] * t.num_leaves) for t in (wanted, got)]
    path, first, second = (equality_errors(*trees) or [((), str(wanted), str(got))])[0]
    raise StructureError(
        f"{name}: the branches must return the same structure; at {keystr(path) or 'the root'} "
        f"{one} returns {first}, {other} returns {second}"
    )


def _agreed(
    name: str, titles: Sequence[str], programs: Sequence[Program], treedef: PyTreeDef
) -> list[Program]:
    """Return the branches with equal types of results: weak ones take the dtype of the others."""
    wanted = []
    for n, avals in enumerate(zip(*[p.out_avals for p in programs], strict=True)):

        def fail(error: type[Exception], what: str, k: int, n: int = n, avals: Any = avals) -> None:
            numbered = tree_unflatten(treedef, range(treedef.num_leaves))
            where = keystr(tree_flatten_with_path(numbered)[0][n][0])
            raise error(
                f"{name}: the branches must return equal {what}; result{where} is {avals[0]} from "
                f"{titles[0]} and {avals[k]} from {titles[k]}"
            )

        for k, a in enumerate(avals):
            if a.shape != avals[0].shape:
                fail(ShapeError, "shapes", k)
        dtype, weak = promote([(a.dtype, a.weak) for a in avals])
        for k, a in enumerate(avals):
            if a.dtype is not dtype and not a.weak:
                differing = next(i for i, b in enumerate(avals) if b.dtype is not avals[0].dtype)
                fail(DTypeError, "dtypes", k or differing)
        wanted.append(ShapedArray(avals[0].shape, dtype, weak))
    return [_converted(p, tuple(wanted)) for p in programs]


def _converted(program: Program, avals: tuple[ShapedArray, ...]) -> Program:
    if all(a.dtype is b.dtype for a, b in zip(program.out_avals, avals, strict=True)):
        return program

    def body(*args: Any) -> list[Any]:
        return [
            convert_element_type(x, aval.dtype, aval.weak)
            for x, aval in zip(evaluate(program, args), avals, strict=True)
        ]

    return interned(dce(stage(body, program.in_avals, program.name)))


# -------------------------------------------------------------------------- joined branches


def _spread(program: Program, avals: Sequence[ShapedArray], places: Sequence[int]) -> Program:
    """Return `program` with more inputs: its own stand at `places` among inputs of `avals`."""
    if list(places) == list(range(len(avals))):
        return program
    inputs = [Var(aval) for aval in avals]
    for v, place in zip(program.inputs, places, strict=True):
        inputs[place] = v
    return interned(program.replace(inputs=inputs))


def _join(
    found: Sequence[tuple[Program, Sequence[Any]]],
) -> tuple[tuple[Program, ...], list[Any]]:
    """Return branches with the constants of all of them as leading inputs, and those."""
    constants = [x for _, values in found for x in values]
    if not constants:
        return tuple(p for p, _ in found), []
    count, start, out = len(constants), 0, []
    for program, values in found:
        own = len(values)
        avals = [*map(_plain, constants), *program.in_avals[own:]]
        places = [*range(start, start + own), *range(count, len(avals))]
        out.append(_spread(program, avals, places))
        start += own
    return tuple(out), constants


# -------------------------------------------------------------------------------- meaning


def _cond_impl(xp: Any, index: Any, *arrays: Any, branches: tuple[Program, ...]) -> list[Any]:
    chosen = min(max(int(index), 0), len(branches) - 1)
    return interpret(xp, branches[chosen], arrays)


def _cond_shape(
    index: ShapedArray, *avals: ShapedArray, branches: tuple[Program, ...]
) -> list[ShapedArray]:
    del avals
    if index.shape or index.dtype is not INDEX:
        raise DTypeError(f"cond: the index must be an int32 scalar; got {index}")
    return [
        ShapedArray(outs[0].shape, outs[0].dtype, all(a.weak for a in outs))
        for outs in zip(*[p.out_avals for p in branches], strict=True)
    ]


def _any(flags: Sequence[Sequence[bool]]) -> list[bool]:
    return [any(column) for column in zip(*flags, strict=True)]


def _cond_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, branches: tuple[Program, ...]
) -> tuple[list[Any], list[Any]]:
    index, *operands = primals
    nonzero = [not isinstance(t, Zero) for t in tangents[1:]]
    flags = _any([jvp_program(p, nonzero)[1] for p in branches])
    both, constants = _join([arranged(jvp_program(p, nonzero, flags)[0]) for p in branches])
    given = [t for t in tangents[1:] if not isinstance(t, Zero)]
    outs = cond_p.bind(index, *constants, *operands, *given, branches=both)
    count = len(flags)
    rest = iter(outs[count:])
    return outs[:count], [
        next(rest) if flag else Zero(get_aval(value))
        for flag, value in zip(flags, outs, strict=False)
    ]


# ---------------------------------------------------------------------- partial evaluation


class _Residuals:
    """Where the residuals of the branches are kept: only one branch runs, so they share slots.

    Attributes
    ----------
    slots : list of ShapedArray
        What the known branches return beside their results.
    forwarded : list of int
        The known operands that are residuals as they are.
    places : list of list of (kind, int)
        For each branch and residual, the slot or the operand.
    """

    def __init__(self, parts: Sequence[tuple[Program, int]]) -> None:
        self.slots: list[ShapedArray] = []
        self.places: list[list[tuple[str, int]]] = []
        operands: set[int] = set()
        for known, count in parts:
            position = {v: n for n, v in enumerate(known.inputs)}
            taken: set[int] = set()
            places: list[tuple[str, int]] = []
            for a in known.outputs[len(known.outputs) - count :]:
                if a in position:
                    operands.add(position[a])
                    places.append(("operand", position[a]))
                    continue
                aval = a.aval.strong()
                slot = next(
                    (n for n, s in enumerate(self.slots) if s is aval and n not in taken), None
                )
                if slot is None:
                    slot = len(self.slots)
                    self.slots.append(aval)
                taken.add(slot)
                places.append(("slot", slot))
            self.places.append(places)
        self.forwarded = sorted(operands)

    def known(self, n: int, program: Program, n_known: int) -> tuple[Program, list[Any]]:
        """Return branch `n` with its residuals in their slots, the others zero."""
        sources = [None] * len(self.slots)
        for k, (kind, place) in enumerate(self.places[n]):
            if kind == "slot":
                sources[place] = n_known + k  # type: ignore[call-overload]
        slots = tuple(self.slots)

        def body(*args: Any) -> list[Any]:
            outs = evaluate(program, args)
            return [
                *outs[:n_known],
                *(
                    instantiate_zero(Zero(aval)) if source is None else outs[source]
                    for source, aval in zip(sources, slots, strict=True)
                ),
            ]

        return wrapped(program, ("slots", n_known, tuple(sources), slots), body, program.in_avals)

    def rest(
        self, n: int, program: Program, operands: Sequence[ShapedArray]
    ) -> tuple[Program, list[Any]]:
        """Return the rest of branch `n` as a function of operands, slots and unknowns."""
        first = len(self.forwarded)
        places = [
            self.forwarded.index(place) if kind == "operand" else first + place
            for kind, place in self.places[n]
        ]
        head = [*(operands[n].strong() for n in self.forwarded), *self.slots]
        unknown = range(len(head), len(head) + len(program.inputs) - len(places))
        avals = (*head, *program.in_avals[len(places) :])
        every = (*places, *unknown)

        def body(*args: Any) -> list[Any]:
            return evaluate(program, [args[n] for n in every])

        return wrapped(program, ("rest", avals, every), body, avals)


def _cond_partial_eval(
    interpreter: PartialEvalInterpreter, operands: tuple[Any, ...], params: dict[str, Any]
) -> list[Any]:
    index, *rest = operands
    branches: tuple[Program, ...] = params["branches"]
    if interpreter.is_unknown(index):
        recorded: list[Any] = interpreter.record(cond_p, operands, params)
        return recorded
    unknown = [interpreter.is_unknown(x) for x in rest]
    flags = _any([partial_eval_program(p, unknown)[2] for p in branches])
    parts = [partial_eval_program(p, unknown, flags) for p in branches]
    given = [x for x, u in zip(rest, unknown, strict=True) if not u]
    n_known = flags.count(False)
    residuals = _Residuals([(known, count) for known, _, _, count in parts])
    outs: list[Any] = []
    if n_known or residuals.slots or any(has_effects(known) for known, _, _, _ in parts):
        before, constants = _join(
            [residuals.known(n, part[0], n_known) for n, part in enumerate(parts)]
        )
        outs = cond_p.bind(index, *constants, *given, branches=before)
    later: list[Any] = []
    if any(flags):
        avals = [get_aval(x) for x in given]
        after, constants = _join(
            [residuals.rest(n, part[1], avals) for n, part in enumerate(parts)]
        )
        left = [x for x, u in zip(rest, unknown, strict=True) if u]
        kept = [given[n] for n in residuals.forwarded]
        later = interpreter.record(
            cond_p, (index, *constants, *kept, *outs[n_known:], *left), {"branches": after}
        )
    now, then = iter(outs), iter(later)
    return [next(then) if flag else next(now) for flag in flags]


def _cond_transpose(
    cts: Sequence[Any], index: Any, *operands: Any, branches: tuple[Program, ...]
) -> list[Any]:
    # Only results that have a cotangent, and operands that reach them, count.
    read = [n for n, ct in enumerate(cts) if not isinstance(ct, Zero)]
    forward = [arranged(p, None, read)[0] for p in branches]
    used = _any([used_inputs(p) for p in forward])
    keep = [n for n, flag in enumerate(used) if flag]
    linear = [isinstance(operands[n], Linear) for n in keep]
    backward, constants = _join(
        [arranged(transpose_program(arranged(p, keep)[0], linear)) for p in forward]
    )
    values = [operands[n] for n in keep if not isinstance(operands[n], Linear)]
    found = iter(
        cond_p.bind(index, *constants, *values, *(cts[n] for n in read), branches=backward)
    )
    results: list[Any] = [None] * len(operands)
    for n in keep:
        if isinstance(operands[n], Linear):
            results[n] = next(found)
    return [None, *results]


def _cond_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, branches: tuple[Program, ...]
) -> tuple[list[Any], list[int | None]]:
    index, *rest = operands
    at, *others = axes
    size = next(
        get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None
    )
    if at is None:
        natural = [batch_program(p, size, others)[1] for p in branches]
        wanted = [
            next((axis for axis in found if axis is not None), None)
            for found in zip(*natural, strict=True)
        ]
        batched, constants = _join(
            [arranged(batch_program(p, size, others, wanted)[0]) for p in branches]
        )
        return cond_p.bind(index, *constants, *rest, branches=batched), wanted
    if any(map(has_effects, branches)):
        return one_by_one(cond_p, operands, axes, {"branches": branches})
    # Every lane chooses for itself: all branches run on all lanes, and each lane picks.
    chosen: list[Any] = []
    numbers = move_axis(index, at, 0)
    for number, program in enumerate(branches):
        here = eq(numbers, INDEX.type(number))
        batched_program, found = batch_program(program, size, others)
        outs = [
            force_axis(x, axis, 0, size)
            for x, axis in zip(
                evaluate(batched_program, guarded(program, here, rest, others)), found, strict=True
            )
        ]
        if number == 0:
            chosen = outs
            continue
        chosen = [_select(here, x, y) for x, y in zip(outs, chosen, strict=True)]
    return chosen, [0] * len(chosen)


def _select(condition: Any, x: Any, y: Any) -> Any:
    shape = get_aval(x).shape
    return select(broadcast_in_dim(condition, shape, [0]), x, y)


def _cond_dce(equation: Equation, live: tuple[bool, ...]) -> Equation:
    index, *operands = equation.inputs
    keep = [n for n, flag in enumerate(live) if flag]
    branches = [arranged(p, None, keep)[0] for p in equation.params["branches"]]
    used = [n for n, flag in enumerate(_any([used_inputs(p) for p in branches])) if flag]
    return equation._replace(
        inputs=(index, *(operands[n] for n in used)),
        params={"branches": tuple(arranged(p, used)[0] for p in branches)},
        outputs=tuple(equation.outputs[n] for n in keep),
    )


cond_p: Primitive = define(
    "cond",
    multiple=True,
    control=True,
    keeps_weak=False,
    impl=_cond_impl,
    shape=_cond_shape,
    jvp=_cond_jvp,
    transpose=_cond_transpose,
    batch=_cond_batch,
    lower="the driver of a compiled program runs the branch",
)
partial_eval_rules[cond_p] = _cond_partial_eval
dce_rules[cond_p] = _cond_dce
