"""Pytrees as vectors, under the name of ``jax.flatten_util``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit import numpy as tnp
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.pytree import PyTreeDef, tree_flatten, tree_unflatten
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_complex
from tracejit.transforms.flat import array_or_tracer

__all__ = ["ravel_pytree"]


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Put the elements of all leaves into one vector.

    Parameters
    ----------
    pytree : pytree of arrays
        The tree.

    Returns
    -------
    flat : Array, shape (n,)
        The elements, leaf by leaf, in the dtype to which the leaves promote.
    unravel : callable
        Takes a vector of that shape and dtype, returns the tree, with the dtypes of its leaves.
        Equal for equal structures, shapes and dtypes, so that it may be a static argument.

    Raises
    ------
    ShapeError, DTypeError
        By ``unravel``, for a vector of another shape or dtype.

    Examples
    --------
    >>> from tracejit.flatten_util import ravel_pytree
    >>> flat, unravel = ravel_pytree({"b": [1.0, 2.0], "w": 3.0})
    >>> flat.tolist()
    [1.0, 2.0, 3.0]
    >>> float(unravel(flat * 2)["w"])
    6.0
    """
    leaves, treedef = tree_flatten(pytree)
    if treedef.has_whole:
        raise DTypeError(
            "ravel_pytree: keys are no numbers and cannot be parts of a vector; leave them out, or "
            "take their words, tracejit.random.key_data(key)"
        )
    leaves = [array_or_tracer(x) for x in leaves]
    avals = tuple(get_aval(x).strong() for x in leaves)
    if not leaves:
        flat = tnp.zeros(0)
    else:
        dtype = tnp.result_type(*leaves)
        flat = tnp.concatenate([tnp.ravel(x).astype(dtype) for x in leaves])
    return flat, _Unravel(treedef, avals, flat.dtype)


class _Unravel:
    """The inverse of :func:`ravel_pytree` for trees of one type."""

    def __init__(self, treedef: PyTreeDef, avals: tuple[ShapedArray, ...], dtype: Any) -> None:
        self._key = treedef, avals, dtype
        self.__name__ = "unravel"

    def __call__(self, flat: Any) -> Any:
        treedef, avals, dtype = self._key
        size = sum(a.size for a in avals)
        got = get_aval(flat)
        if got.shape != (size,):
            raise ShapeError(f"unravel: the vector must have shape ({size},); got {got.shape}")
        if got.dtype is not dtype:
            raise DTypeError(
                f"unravel: the vector must have dtype {dtype}, that of the vector which was made "
                f"of the tree; got {got.dtype}"
            )
        flat = array_or_tracer(flat)
        found = []
        start = 0
        for aval in avals:
            part = tnp.reshape(flat[start : start + aval.size], aval.shape)
            if is_complex(dtype) and not is_complex(aval.dtype):
                part = part.real
            found.append(part.astype(aval.dtype))
            start += aval.size
        return tree_unflatten(treedef, found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unravel) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"<unravel to {self._key[0]}>"
