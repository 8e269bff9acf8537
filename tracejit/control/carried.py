"""What loops carry: its type must stay the same from trip to trip, or the error names the leaf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.pytree import (
    PyTreeDef,
    equality_errors,
    keystr,
    tree_flatten_with_path,
    tree_unflatten,
)
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import promote
from tracejit.ops.convert import convert_element_type

__all__ = ["avals_of", "check_structure", "check_types", "settle"]


def avals_of(what: str, tree: Any) -> tuple[list[Any], list[ShapedArray], PyTreeDef, list[str]]:
    """Return the leaves of `tree`, their avals, the structure, and the names of the leaves.

    Raises
    ------
    DTypeError
        If a leaf is no array; names its key path.
    """
    pairs, treedef = tree_flatten_with_path(tree)
    leaves = [x for _, x in pairs]
    names = [f"{what}{keystr(path)}" for path, _ in pairs]
    avals = []
    for x, name in zip(leaves, names, strict=True):
        try:
            aval = get_aval(x)
        except DTypeError:
            raise DTypeError(
                f"{name} must be an array or a scalar; got {type(x).__name__}"
            ) from None
        avals.append(ShapedArray(aval.shape, aval.dtype, aval.weak))
    return leaves, avals, treedef, names


def check_structure(what: str, got: PyTreeDef, wanted: PyTreeDef) -> None:
    """Raise StructureError unless two structures are equal; names the first difference."""
    if got == wanted:
        return
    trees = [tree_unflatten(t, [0] * t.num_leaves) for t in (got, wanted)]
    path, found, needed = (equality_errors(*trees) or [((), str(got), str(wanted))])[0]
    raise StructureError(
        f"{what} must have the structure of the initial value; at {keystr(path) or 'the root'} "
        f"there is {found} where {needed} is needed"
    )


def check_types(
    what: str, names: Sequence[str], before: Sequence[ShapedArray], after: Sequence[ShapedArray]
) -> None:
    """Raise ShapeError or DTypeError unless a trip keeps shapes and dtypes; names the leaf."""
    for name, a, b in zip(names, before, after, strict=True):
        if a.shape != b.shape:
            raise ShapeError(
                f"{what} must keep its shape: {name} goes in with shape {a.shape} and comes out "
                f"with {b.shape} ({a} to {b})"
            )
        if a.dtype is not b.dtype:
            raise DTypeError(
                f"{what} must keep its dtype: {name} goes in as {a} and comes out as {b}. "
                f"Convert one of them: the initial value to {b.dtype}, or the result with "
                f".astype({str(a.dtype)!r})"
            )


def settle(
    what: str,
    names: Sequence[str],
    leaves: Sequence[Any],
    avals: Sequence[ShapedArray],
    outs: Callable[[list[ShapedArray]], Sequence[ShapedArray]],
) -> tuple[list[Any], list[ShapedArray]]:
    """Promote weak initial values to what the body makes of them, and check the others.

    Parameters
    ----------
    what : str
        The function and its result, for messages: ``"scan: the carry returned by step"``.
    names : sequence of str
        How the leaves are called.
    leaves : sequence of values
        The initial values.
    avals : sequence of ShapedArray
        Their types.
    outs : callable
        Stages the body for carried values of given types and returns the types that it makes of
        them.

    Returns
    -------
    leaves, avals : list
        The initial values, converted, and the types of what is carried.

    Raises
    ------
    ShapeError, DTypeError
        If the body changes a shape or a dtype; names the leaf.
    """
    now = list(avals)
    while True:
        found = outs(now)
        after = [_met(a, b) for a, b in zip(now, found, strict=True)]
        if after == now:
            break
        now = after
    check_types(what, names, now, found)
    converted = [
        x if aval is was else convert_element_type(x, aval.dtype, aval.weak)
        for x, aval, was in zip(leaves, now, avals, strict=True)
    ]
    return converted, now


def _met(a: ShapedArray, b: ShapedArray) -> ShapedArray:
    """Return the type of a carried value that goes in as `a` and comes out as `b`."""
    if not a.weak or a.shape != b.shape or a is b:
        return a
    dtype, weak = promote([(a.dtype, True), (b.dtype, b.weak)])
    return ShapedArray(a.shape, dtype, weak)
