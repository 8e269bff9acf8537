"""Functions that move elements about, of keys: :class:`~tracejit.core.keyarray.KeyArray`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from tracejit.core.errors import DTypeError
from tracejit.core.keyarray import KeyArray, KeyOperandError
from tracejit.core.pytree import tree_flatten, tree_map
from tracejit.core.treedef import is_whole
from tracejit.transforms.vectorize import vmap

__all__ = ["keys_too", "of_words"]

Function = TypeVar("Function", bound=Callable[..., Any])


def keys_too(*names: str) -> Callable[[Function], Function]:
    """Return a decorator: the function takes keys, too, for the parameters named.

    It sees one of the two words of all keys at a time, so it must move numbers and not change any.
    Calls with numbers cost no more: what is done about keys is done once they are refused.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def of_numbers_or_keys(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except KeyOperandError:
                return of_words(function, names, args, kwargs)

        made: Any = of_numbers_or_keys
        return made  # type: ignore[no-any-return]

    return decorate


def of_words(
    function: Callable[..., Any], names: tuple[str, ...], args: Any, kwargs: dict[str, Any]
) -> Any:
    """Call a function of numbers with keys for the parameters `names`.

    Raises
    ------
    DTypeError
        If numbers are among them, or keys elsewhere.
    """
    bound = inspect.signature(function).bind(*args, **kwargs)
    given = [bound.arguments[name] for name in names if name in bound.arguments]
    leaves, treedef = tree_flatten(given, is_whole)
    others = [x for name, x in bound.arguments.items() if name not in names]
    if not all(isinstance(x, KeyArray) for x in leaves) or any(
        isinstance(x, KeyArray) for x in tree_flatten(others, is_whole)[0]
    ):
        got = [f"keys of shape {x.shape}" if isinstance(x, KeyArray) else type(x).__name__
               for x in leaves]
        raise DTypeError(
            f"{function.__name__}: {' and '.join(names)} must be keys throughout or numbers "
            f"throughout, and what else there is numbers; got {', '.join(got)}"
        )

    def of_lane(words: list[Any]) -> Any:
        for name, x in zip(names, treedef.unflatten(words), strict=False):
            bound.arguments[name] = x
        return function(*bound.args, **bound.kwargs)

    found = vmap(of_lane, in_axes=-1, out_axes=-1)([x.words for x in leaves])
    return tree_map(KeyArray, found)
