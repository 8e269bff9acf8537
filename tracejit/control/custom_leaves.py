"""What rules of users are given and what they return: symbolic zeros, checked leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracejit.core.described import Described
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.pytree import (
    PyTreeDef,
    equality_errors,
    flatten_axes,
    keystr,
    tree_flatten,
    tree_flatten_with_path,
    tree_map,
    tree_unflatten,
)
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import float0, is_bool, is_inexact, is_integer, promote
from tracejit.ops.convert import convert_element_type
from tracejit.transforms.jvp import instantiate_zero

__all__ = [
    "CustomVJPPrimal",
    "SymbolicZero",
    "custom_vjp_primal_tree_values",
    "derivative_leaves",
    "given_derivative",
    "leaf_name",
    "result_leaves",
    "zero_from_primal",
]


class SymbolicZero(Described):
    """A tangent or cotangent known to be zero, which is no array.

    Rules that ask for ``symbolic_zeros=True`` are given these, and any rule may return them.

    Attributes
    ----------
    aval : ShapedArray
        The type of the value that it belongs to.
    """

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"SymbolicZero({self.aval})"


@dataclass
class CustomVJPPrimal:
    """An argument of a forward rule with ``symbolic_zeros=True``.

    Attributes
    ----------
    value : Array
        The argument.
    perturbed : bool
        Whether it is differentiated by.
    """

    value: Any
    perturbed: bool


def custom_vjp_primal_tree_values(tree: Any) -> Any:
    """Return a pytree of :class:`CustomVJPPrimal` as one of their values."""
    return tree_map(lambda leaf: leaf.value, tree)


def zero_from_primal(x: Any, symbolic_zeros: bool = False) -> Any:
    """Return the zero tangent of a value: of dtype float0 for an integer.

    Parameters
    ----------
    x : array
        The value.
    symbolic_zeros : bool
        Whether to return a :class:`SymbolicZero`.
    """
    return given_derivative(Zero(get_aval(x)), symbolic_zeros)


def given_derivative(t: Any, symbolic: bool) -> Any:
    """Return a (co)tangent as a rule of the user is given it."""
    if not isinstance(t, Zero):
        return t
    if symbolic:
        return SymbolicZero(t.aval)
    if not is_inexact(t.aval.dtype):
        return np.zeros(t.aval.shape, float0)
    return instantiate_zero(t)


def leaf_name(treedef: PyTreeDef, number: int) -> str:
    """Return the key path of a leaf, ``""`` if it is the whole."""
    tree = tree_unflatten(treedef, range(treedef.num_leaves))
    return keystr(tree_flatten_with_path(tree)[0][number][0])


def _no_array(x: Any) -> bool:
    return x is None or isinstance(x, (Zero, SymbolicZero))


def result_leaves(
    what: str,
    tree: Any,
    treedef: PyTreeDef,
    avals: Sequence[ShapedArray],
    like: str = "the function's result",
) -> list[Any]:
    """Return the leaves of a result of a rule, checked against those of the function.

    Parameters
    ----------
    what : str
        The rule and its result, for messages.
    tree : pytree
        The result.
    treedef : PyTreeDef
        The structure that it must have.
    avals : sequence of ShapedArray
        The shapes and dtypes that its leaves must have; Python scalars take them.
    like : str
        What it must be like, for messages.

    Raises
    ------
    StructureError, ShapeError, DTypeError
        Names the leaf.
    """
    leaves, found = tree_flatten(tree)
    if found != treedef:
        wants = tree_unflatten(treedef, [0] * treedef.num_leaves)
        path, got, wanted = (equality_errors(tree, wants) or [((), str(found), str(treedef))])[0]
        raise StructureError(
            f"{what} must have the structure of {like}; at {keystr(path) or 'the root'} there is "
            f"{got} where {wanted} is needed"
        )
    return [
        _checked(lambda n=n: f"{what}{leaf_name(treedef, n)}", x, aval)  # type: ignore[misc]
        for n, (x, aval) in enumerate(zip(leaves, avals, strict=True))
    ]


def _checked(name: Callable[[], str], x: Any, wanted: ShapedArray) -> Any:
    """Return `x` as one of the type wanted, if it is that or a scalar that can be."""
    try:
        aval = get_aval(x)
    except DTypeError:
        raise DTypeError(f"{name()} must be an array; got {type(x).__name__}") from None
    if aval.shape != wanted.shape:
        raise ShapeError(f"{name()} must have shape {wanted.shape}; got {aval.shape}")
    if aval.dtype is wanted.dtype and aval.weak == wanted.weak:
        return x
    # Python scalars take any dtype of their kind or above.
    yields = aval.weak and promote([(aval.dtype, True), (wanted.dtype, False)])[0] is wanted.dtype
    if aval.dtype is not wanted.dtype and not yields:
        raise DTypeError(f"{name()} must have dtype {wanted.dtype}; got {aval.dtype}")
    return convert_element_type(x, wanted.dtype, wanted.weak)


def derivative_leaves(
    what: str, tree: Any, treedef: PyTreeDef, avals: Sequence[ShapedArray]
) -> list[Any]:
    """Return the leaves of tangents or cotangents that a rule returned, checked; Zero for none.

    Parameters
    ----------
    what : str
        The rule and its result, for messages.
    tree : pytree
        Like the values; ``None`` or a :class:`SymbolicZero` may stand for any part of it.
    treedef : PyTreeDef
        The structure of the values.
    avals : sequence of ShapedArray
        Their types.

    Raises
    ------
    StructureError, ShapeError, DTypeError
        Names the leaf.
    """
    given, found = tree_flatten(tree, _no_array)
    like = tree_unflatten(treedef, [0] * treedef.num_leaves)
    try:
        leaves = (
            given if found == treedef
            else flatten_axes(what, treedef, tree_unflatten(found, _nones(given)))
        )  # fmt: skip
        fits = sum(x is not None for x in leaves) == sum(x is not None for x in _nones(given))
    except ValueError:
        fits = False
    if not fits:
        errors = [e for e in equality_errors(tree, like) if e[1] != "None"]
        path, got, wanted = (errors or [((), str(found), str(treedef))])[0]
        raise StructureError(
            f"{what} must have the structure of the values that it belongs to; at "
            f"{keystr(path) or 'the root'} there is {got} where {wanted} is needed (None is zero)"
        )
    return [
        _derivative(lambda n=n: f"{what}{leaf_name(treedef, n)}", x, aval)  # type: ignore[misc]
        for n, (x, aval) in enumerate(zip(leaves, avals, strict=True))
    ]


def _nones(leaves: Sequence[Any]) -> list[Any]:
    return [None if _no_array(x) else x for x in leaves]


def _derivative(name: Callable[[], str], x: Any, primal: ShapedArray) -> Any:
    if _no_array(x):
        return Zero(primal)
    if is_inexact(primal.dtype):
        return _checked(name, x, primal.strong())
    aval = get_aval(x)
    if aval.dtype is not float0 and not is_integer(aval.dtype) and not is_bool(aval.dtype):
        raise DTypeError(
            f"{name()} must be None, or of dtype float0, since it belongs to a value of dtype "
            f"{primal.dtype}; got {aval.dtype}"
        )
    return Zero(primal)
