"""What a function stores for its backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit.control.call import call_p
from tracejit.control.checkpoint import checkpoint_p
from tracejit.control.checkpoint_name import name_p
from tracejit.core.pytree import tree_flatten, tree_flatten_with_path, tree_unflatten
from tracejit.core.source import describe
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Atom, Program, Var
from tracejit.transforms.derivatives import vjp
from tracejit.transforms.flat import leaf_path
from tracejit.transforms.stage import stage

__all__ = ["print_saved_residuals", "saved_residuals"]


def saved_residuals(
    f: Callable[..., Any], *args: Any, **kwargs: Any
) -> list[tuple[ShapedArray, str]]:
    """Return what :func:`~tracejit.vjp` of a function stores for the backward pass.

    Parameters
    ----------
    f : callable
        The function.
    *args, **kwargs : pytrees of arrays
        Its arguments.

    Returns
    -------
    list of (ShapedArray, str)
        The type of each array stored, and what it is: an argument, a constant, or the result of
        an operation, with the user's line.  Scalars known while tracing are not stored.
    """
    leaves, treedef = tree_flatten((args, kwargs))

    def residuals(*given: Any) -> list[Any]:
        positional, named = tree_unflatten(treedef, given)

        def of_both(positional: Any, named: Any) -> Any:
            return f(*positional, **named)

        _, pullback = vjp(of_both, positional, named)
        return tree_flatten(pullback)[0]

    program = stage(residuals, [get_aval(x) for x in leaves])
    names = dict(zip(program.inputs, _names(f, args, kwargs), strict=True))
    found = {a: _described(program, a, names) for a in program.outputs if isinstance(a, Var)}
    return [(a.aval, what) for a, what in found.items()]


def _names(f: Callable[..., Any], args: Any, kwargs: Any) -> list[str]:
    names = []
    for path, _ in tree_flatten_with_path((args, kwargs))[0]:
        first, second, *rest = path
        if first.idx == 0:
            names.append(f"the argument {leaf_path(f, second.idx, tuple(rest))}")
        else:
            names.append(f"the argument {second.key}")
    return names


def _described(program: Program, a: Atom, names: dict[Any, str]) -> str:
    """Return what a value is, looking into functions that are called or checkpointed."""
    made = {v: eq for eq in program.equations for v in eq.outputs}.get(a)  # type: ignore[arg-type]
    if made is None:
        return names.get(a, "a constant")
    if made.primitive in (call_p, checkpoint_p):
        inner: Program = made.params["program"]
        within = {
            v: _described(program, b, names)
            for v, b in zip(inner.inputs, made.inputs, strict=True)
        }
        return _described(inner, inner.outputs[made.outputs.index(a)], within)
    what = made.primitive.name
    if made.primitive is name_p:
        what = f"value named {made.params['name']!r}"
    where = describe(made.source).partition("\n")[0]
    return f"{what} at {where}" if where else what


def print_saved_residuals(f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Print what :func:`~tracejit.vjp` of a function stores for the backward pass.

    Parameters
    ----------
    f, *args, **kwargs
        As for :func:`saved_residuals`.
    """
    for aval, what in saved_residuals(f, *args, **kwargs):
        print(aval, what)
