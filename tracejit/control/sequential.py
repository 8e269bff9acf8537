"""``sequential_vmap``: a function whose lanes run one after another."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.control.custom import custom_vmap
from tracejit.control.loops import map_
from tracejit.core.pytree import tree_flatten, tree_map, tree_unflatten

__all__ = ["sequential_vmap"]


def sequential_vmap(fun: Callable[..., Any]) -> custom_vmap:
    """Return a function that ``vmap`` calls for one lane after another, as :func:`lax.map` does.

    Parameters
    ----------
    fun : callable
        A function of pytrees of arrays.

    Returns
    -------
    custom_vmap
        The same function; derivatives are those of `fun`.
    """
    made = custom_vmap(fun)

    @functools.wraps(fun)
    def lanes(axis_size: int, in_batched: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        leaves, treedef = tree_flatten(args)
        batched = tree_flatten(tuple(in_batched))[0]

        def one(mapped: Sequence[Any]) -> Any:
            given = iter(mapped)
            pairs = zip(leaves, batched, strict=True)
            return fun(*tree_unflatten(treedef, [next(given) if b else x for x, b in pairs]))

        out = map_(one, [x for x, b in zip(leaves, batched, strict=True) if b])
        return out, tree_map(lambda _: True, out)

    made.def_vmap(lanes)
    return made
