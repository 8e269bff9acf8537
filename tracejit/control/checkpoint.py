"""``checkpoint``: recompute intermediate values in reverse mode instead of storing them.

Partial evaluation splits the checkpointed Program in what is known and what is linear in the
tangents.  Of the residuals between the two, those that the policy lets be stored are; the others
are computed again by the part that is run later, from what is stored and the operands.  A barrier
keeps the compiler from merging what is computed again with what was computed first.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tracejit.control.call import call_p
from tracejit.control.checkpoint_policies import Policy
from tracejit.control.interpret import interpret
from tracejit.control.programs import arranged, callees, interned, used_inputs, wrapped
from tracejit.control.treeverse import Treeverse
from tracejit.core.errors import StructureError
from tracejit.core.primitive import Primitive, define
from tracejit.core.pytree import tree_flatten
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Atom, Equation, Program, Var
from tracejit.transforms.barrier import barrier_p
from tracejit.transforms.batching import batch_program
from tracejit.transforms.dce import dce, dce_rules, has_effects, quiet
from tracejit.transforms.flat import argument_avals, check_callable, positions_of
from tracejit.transforms.jvp import jvp_program
from tracejit.transforms.partial_eval import (
    PartialEvalInterpreter,
    partial_eval_program,
    partial_eval_rules,
    snapshots_kept,
)
from tracejit.transforms.stage import (
    evaluate,
    function_name,
    hoist_constants,
    literal_value,
    replaying,
    stage_tree,
)
from tracejit.transforms.transpose import transpose_program

__all__ = ["checkpoint", "checkpoint_p"]


def checkpoint(
    fun: Callable[..., Any] | None = None,
    *,
    prevent_cse: bool = True,
    policy: Policy | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Iterable[str] = (),
    concrete: bool = False,
) -> Callable[..., Any]:
    """Return `fun` so that reverse mode stores its arguments, and what the policy says, only.

    The backward pass runs `fun` once more to have its intermediate values.  In the body of a
    ``scan`` it makes the memory of a gradient that of the carried values alone.

    Parameters
    ----------
    fun : callable, optional
        A function of pytrees of arrays.  Without it, a decorator is returned.
    prevent_cse : bool
        Whether to keep the compiler from merging what is computed again with what was computed
        first, which would store it after all.  It costs nothing.
    policy : callable, optional
        Which intermediate values may be stored, one of :mod:`tracejit.checkpoint_policies`; by
        default none.  Functions jitted inside are looked into; a loop or a branch is one
        operation, which is run again unless the policy takes it as a whole, or is
        :func:`~tracejit.checkpoint_policies.treeverse`.
    static_argnums : int or sequence of int
        Positional arguments that are no arrays: `fun` gets them as they are.
    static_argnames : str or iterable of str
        Keyword arguments that are no arrays.
    concrete : bool
        Only False, as in JAX: `fun` is always traced.

    Returns
    -------
    callable
        The same function; values and derivatives do not change.

    Raises
    ------
    StructureError
        If `fun` or `policy` is no function, or `concrete` is true.
    DTypeError
        If an argument is no array and not static; names the leaf.

    Notes
    -----
    What has effects runs once: its results are stored whatever the policy says.  What is computed
    again is so without effects; only a ``pure_callback`` is called again if its result is needed.

    See Also
    --------
    tracejit.ad_checkpoint.print_saved_residuals : shows what is stored.
    """
    if fun is None:
        return functools.partial(
            checkpoint,
            prevent_cse=prevent_cse,
            policy=policy,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            concrete=concrete,
        )
    check_callable("checkpoint", fun)
    if concrete:
        raise StructureError(
            "checkpoint: concrete=True is not supported, as in JAX: the function is always traced. "
            "Make what Python needs to know static: checkpoint(f, static_argnums=...)"
        )
    if policy is not None and not callable(policy):
        raise StructureError(
            "checkpoint: policy must be a function, one of tracejit.checkpoint_policies; "
            f"got {policy!r}"
        )
    names = {static_argnames} if isinstance(static_argnames, str) else set(static_argnames)
    user: Callable[..., Any] = fun

    @functools.wraps(user)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        static = set(
            positions_of("checkpoint", static_argnums, len(args), "static_argnums")
        ) | _named(user, args, names)

        def of_traced(*given: Any, **named: Any) -> Any:
            rest = iter(given)
            every = [x if n in static else next(rest) for n, x in enumerate(args)]
            return user(*every, **named, **{k: kwargs[k] for k in names & kwargs.keys()})

        positional = tuple(x for n, x in enumerate(args) if n not in static)
        keyword = {k: x for k, x in kwargs.items() if k not in names}
        leaves, _ = tree_flatten((positional, keyword))
        argument_avals(
            "checkpoint",
            user,
            [n for n in range(len(args)) if n not in static],
            positional,
            keyword,
            "; make it static: checkpoint(f, static_argnums=...)",
        )
        program, treedef = stage_tree(of_traced, positional, keyword, function_name(user))
        program, constants = hoist_constants(dce(program))
        operands = [*constants, *leaves]
        outs = _bind(interned(program), operands, policy=policy, prevent_cse=bool(prevent_cse))
        return treedef.unflatten(outs)

    return checkpointed


def _named(fun: Callable[..., Any], args: Sequence[Any], names: set[str]) -> set[int]:
    """Return which positional arguments have one of the names."""
    if not names:
        return set()
    try:
        parameters = list(inspect.signature(fun).parameters)
    except (TypeError, ValueError):
        return set()
    return {n for n in range(min(len(args), len(parameters))) if parameters[n] in names}


def _bind(program: Program, operands: Sequence[Any], **params: Any) -> list[Any]:
    out: list[Any] = checkpoint_p.bind(*operands, program=program, **params)
    return out


def _checkpoint_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, program: Program, **params: Any
) -> tuple[list[Any], list[Any]]:
    both, nonzero_out = jvp_program(program, [not isinstance(t, Zero) for t in tangents])
    both, constants = arranged(both)
    given = [t for t in tangents if not isinstance(t, Zero)]
    outs = _bind(both, [*constants, *primals, *given], **params)
    count = len(program.outputs)
    rest = iter(outs[count:])
    return outs[:count], [
        next(rest) if flag else Zero(aval)
        for flag, aval in zip(nonzero_out, program.out_avals, strict=True)
    ]


# ---------------------------------------------------------------------- partial evaluation


class _Cut:
    """The known part of a Program, cut where residuals are stored.

    Attributes
    ----------
    saved : list of Var
        What is stored, beside inputs.
    read : list of int
        The inputs that are read again.
    again : Program
        From what is stored and those inputs to the residuals.
    """

    def __init__(self, known: Program, count: int, policy: Policy | None) -> None:
        residuals = known.outputs[len(known.outputs) - count :]
        wanted: set[Atom] = set(residuals)
        kept: list[Equation] = []
        self.saved: list[Var] = []
        for eq in reversed(known.equations):
            if wanted.isdisjoint(eq.outputs):
                continue
            again = quiet(eq)
            if again is None or _saveable(eq, policy):
                self.saved += [v for v in eq.outputs if v in wanted]
                continue
            kept.append(again)
            wanted.update(eq.inputs)
        self.read = [n for n, v in enumerate(known.inputs) if v in wanted]
        self.again = Program(
            [*self.saved, *(known.inputs[n] for n in self.read)],
            reversed(kept),
            residuals,
            [pair for pair in known.constants if pair[0] in wanted],
            f"{known.name}_again",
        )


def _saveable(eq: Equation, policy: Policy | None) -> bool:
    return policy is not None and bool(
        policy(eq.primitive, *(a.aval for a in eq.inputs), **eq.params)
    )


def _without_calls(program: Program, args: Sequence[Any]) -> list[Any]:
    """Run a Program, the equations of the functions that it calls instead of the calls."""
    env: dict[Any, Any] = dict(zip(program.inputs, args, strict=True))
    env.update(program.constants)

    def read(a: Atom) -> Any:
        return env[a] if type(a) is Var else literal_value(a)

    for eq in program.equations:
        operands = [read(a) for a in eq.inputs]
        with replaying(eq.source):
            if eq.primitive is call_p:
                outs = _without_calls(eq.params["program"], operands)
            else:
                found = eq.primitive.bind(*operands, **eq.params)
                outs = found if eq.primitive.multiple else [found]
        env.update(zip(eq.outputs, outs, strict=True))
    return [read(a) for a in program.outputs]


def _checkpoint_partial_eval(
    interpreter: PartialEvalInterpreter, operands: tuple[Any, ...], params: dict[str, Any]
) -> list[Any]:
    params = dict(params)
    program, policy, prevent_cse = params.pop("program"), params["policy"], params["prevent_cse"]
    unknown = [interpreter.is_unknown(x) for x in operands]
    with snapshots_kept(policy.snapshots if isinstance(policy, Treeverse) else None):
        known, rest, unknown_out, count = partial_eval_program(program, unknown)
    given = [x for x, u in zip(operands, unknown, strict=True) if not u]
    if policy is not None and any(eq.primitive is call_p for eq in known.equations):
        whole = known
        known, extra = wrapped(
            whole, "without calls", lambda *args: _without_calls(whole, args), whole.in_avals
        )
        given = [*extra, *given]
    cut = _Cut(known, count, policy)
    n_now = len(known.outputs) - count
    kept = known.replace(outputs=(*known.outputs[:n_now], *cut.saved))
    # The parts are made once a Program: compiled code is found by their identity.
    first, extra = wrapped(
        known, ("first", policy), lambda *args: evaluate(kept, args), known.in_avals
    )
    outs: list[Any] = []
    if first.outputs or has_effects(first):
        outs = _bind(first, [*extra, *given], **params)
    later: list[Any] = []
    if any(unknown_out):
        stored = len(cut.again.inputs)

        def run_later(*args: Any) -> list[Any]:
            held = args[:stored]
            if prevent_cse and held:
                held = tuple(barrier_p.bind(*held))
            return evaluate(rest, [*evaluate(cut.again, held), *args[stored:]])

        avals = [*cut.again.in_avals, *rest.in_avals[count:]]
        second, extra = wrapped(known, ("later", policy, prevent_cse), run_later, avals)
        held = [*outs[n_now:], *(given[n] for n in cut.read)]
        left = [x for x, u in zip(operands, unknown, strict=True) if u]
        later = interpreter.record(
            checkpoint_p, (*extra, *held, *left), {"program": second, **params}
        )
    then, now = iter(later), iter(outs)
    return [next(then) if u else next(now) for u in unknown_out]


def _checkpoint_transpose(
    cts: Sequence[Any], *operands: Any, program: Program, **params: Any
) -> list[Any]:
    read = [n for n, ct in enumerate(cts) if not isinstance(ct, Zero)]
    forward, extra = arranged(program, None, read)
    linear = [*[False] * len(extra), *(isinstance(x, Linear) for x in operands)]
    backward, constants = arranged(transpose_program(forward, linear))
    values = [*extra, *(x for x in operands if not isinstance(x, Linear))]
    results = iter(_bind(backward, [*constants, *values, *(cts[n] for n in read)], **params))
    return [next(results) if isinstance(x, Linear) else None for x in operands]


# --------------------------------------------------------------------- batching, dead code


def _checkpoint_batch(
    operands: Sequence[Any], axes: Sequence[int | None], *, program: Program, **params: Any
) -> tuple[list[Any], list[int | None]]:
    size = next(get_aval(x).shape[b] for x, b in zip(operands, axes, strict=True) if b is not None)
    batched, out_axes = batch_program(program, size, tuple(axes))
    batched, constants = arranged(batched)
    return _bind(batched, [*constants, *operands], **params), list(out_axes)


def _checkpoint_dce(equation: Equation, live: tuple[bool, ...]) -> Equation:
    keep = [n for n, flag in enumerate(live) if flag]
    program, extra = arranged(equation.params["program"], None, keep)
    assert not extra, "the Program of a checkpoint has no constants"
    used = [n for n, flag in enumerate(used_inputs(program)) if flag]
    return equation._replace(
        inputs=tuple(equation.inputs[n] for n in used),
        params={**equation.params, "program": arranged(program, used)[0]},
        outputs=tuple(equation.outputs[n] for n in keep),
    )


def _checkpoint_shape(*avals: ShapedArray, program: Program, **params: Any) -> list[ShapedArray]:
    del avals, params
    return list(program.out_avals)


checkpoint_p: Primitive = define(
    "checkpoint",
    multiple=True,
    control=True,
    keeps_weak=False,
    impl=lambda xp, *arrays, program, **params: interpret(xp, program, arrays),
    shape=_checkpoint_shape,
    jvp=_checkpoint_jvp,
    transpose=_checkpoint_transpose,
    batch=_checkpoint_batch,
    lower="its equations are inlined by the compiler",
)
partial_eval_rules[checkpoint_p] = _checkpoint_partial_eval
callees[checkpoint_p] = lambda avals, params: params["program"]
dce_rules[checkpoint_p] = _checkpoint_dce
