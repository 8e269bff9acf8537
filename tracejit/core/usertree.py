"""The functions on pytrees as users call them: a key of ``tracejit.random`` is a leaf.

Transformations use those of :mod:`tracejit.core.pytree`, for which it is a node.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from tracejit.core import pytree
from tracejit.core.pytree import IsLeaf, KeyPath, PyTreeDef
from tracejit.core.treedef import is_whole, node_type

__all__ = [
    "all_leaves",
    "is_tree_node",
    "tree_all",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_reduce_associative",
    "tree_structure",
]

Function = TypeVar("Function", bound=Callable[..., Any])
_NOTHING: Any = object()


def _documented(like: Callable[..., Any]) -> Callable[[Function], Function]:
    """Return a decorator that gives a function the documentation of another one."""

    def decorate(function: Function) -> Function:
        function.__doc__ = like.__doc__
        return function

    return decorate


def _or_key(is_leaf: IsLeaf | None) -> IsLeaf:
    if is_leaf is None:
        return is_whole
    own = is_leaf
    return lambda x: is_whole(x) or own(x)


def _or_key_at(
    is_leaf: Callable[..., bool] | None, takes_path: bool
) -> tuple[Callable[..., bool], bool]:
    if is_leaf is None or not takes_path:
        return _or_key(is_leaf), False
    own = is_leaf
    return (lambda path, x: is_whole(x) or own(path, x)), True


@_documented(pytree.tree_flatten)
def tree_flatten(tree: Any, is_leaf: IsLeaf | None = None) -> tuple[list[Any], PyTreeDef]:
    return pytree.tree_flatten(tree, _or_key(is_leaf))


@_documented(pytree.tree_leaves)
def tree_leaves(tree: Any, is_leaf: IsLeaf | None = None) -> list[Any]:
    return pytree.tree_leaves(tree, _or_key(is_leaf))


@_documented(pytree.tree_structure)
def tree_structure(tree: Any, is_leaf: IsLeaf | None = None) -> PyTreeDef:
    return pytree.tree_structure(tree, _or_key(is_leaf))


@_documented(pytree.tree_map)
def tree_map(
    f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf | None = None
) -> Any:
    return pytree.tree_map(f, tree, *rest, is_leaf=_or_key(is_leaf))


@_documented(pytree.tree_reduce)
def tree_reduce(
    function: Callable[[Any, Any], Any],
    tree: Any,
    initializer: Any = _NOTHING,
    is_leaf: IsLeaf | None = None,
) -> Any:
    of = functools.partial(pytree.tree_reduce, function, tree)
    start = {} if initializer is _NOTHING else {"initializer": initializer}
    return of(**start, is_leaf=_or_key(is_leaf))


@_documented(pytree.tree_reduce_associative)
def tree_reduce_associative(
    operation: Callable[[Any, Any], Any],
    tree: Any,
    *,
    identity: Any = _NOTHING,
    is_leaf: IsLeaf | None = None,
) -> Any:
    of = functools.partial(pytree.tree_reduce_associative, operation, tree)
    start = {} if identity is _NOTHING else {"identity": identity}
    return of(**start, is_leaf=_or_key(is_leaf))


@_documented(pytree.tree_all)
def tree_all(tree: Any, *, is_leaf: IsLeaf | None = None) -> bool:
    return pytree.tree_all(tree, is_leaf=_or_key(is_leaf))


@_documented(pytree.all_leaves)
def all_leaves(iterable: Iterable[Any], is_leaf: IsLeaf | None = None) -> bool:
    return pytree.all_leaves(iterable, _or_key(is_leaf))


@_documented(pytree.is_tree_node)
def is_tree_node(typ: type) -> bool:
    return (node := node_type(typ)) is not None and not node.whole


@_documented(pytree.tree_flatten_with_path)
def tree_flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    return pytree.tree_flatten_with_path(tree, *_or_key_at(is_leaf, is_leaf_takes_path))


@_documented(pytree.tree_leaves_with_path)
def tree_leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    return tree_flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


@_documented(pytree.tree_map_with_path)
def tree_map_with_path(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[..., bool] | None = None,
    is_leaf_takes_path: bool = False,
) -> Any:
    test, takes_path = _or_key_at(is_leaf, is_leaf_takes_path)
    return pytree.tree_map_with_path(
        f, tree, *rest, is_leaf=test, is_leaf_takes_path=takes_path
    )
