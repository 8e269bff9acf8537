"""Flattening and mapping pytrees with the key path of each leaf.

Imports nothing of tracejit but its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit.core.treedef import LEAF, PyTreeDef, intern, node_type
from tracejit.core.treepath import KeyPath
from tracejit.core.treeprefix import flatten_together

__all__ = ["tree_flatten_with_path", "tree_leaves_with_path", "tree_map_with_path"]


def _with_path(
    path: KeyPath,
    tree: Any,
    is_leaf: Callable[..., bool] | None,
    takes_path: bool,
    found: list[tuple[KeyPath, Any]],
) -> PyTreeDef:
    node = node_type(type(tree))
    stop = is_leaf is not None and (is_leaf(path, tree) if takes_path else is_leaf(tree))
    if stop or node is None:
        found.append((path, tree))
        return LEAF
    given, aux = node.flatten(tree)
    children = list(given)
    defs = [
        _with_path((*path, key), child, is_leaf, takes_path, found)
        for key, child in zip(node.keys(tree, len(children)), children, strict=True)
    ]
    return intern(node, aux, tuple(defs))


def tree_flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """Take a tree apart into its leaves, each with its key path, and its structure.

    Parameters
    ----------
    tree : pytree
        The tree.
    is_leaf : callable, optional
        As in :func:`tree_flatten`.
    is_leaf_takes_path : bool, default False
        Call ``is_leaf(path, x)`` rather than ``is_leaf(x)``.

    Returns
    -------
    pairs : list of (KeyPath, leaf)
        The paths and leaves, in order.
    treedef : PyTreeDef
        The structure.

    Examples
    --------
    >>> [(keystr(path), leaf) for path, leaf in tree_flatten_with_path({"a": [1, 2]})[0]]
    [("['a'][0]", 1), ("['a'][1]", 2)]
    """
    found: list[tuple[KeyPath, Any]] = []
    treedef = _with_path((), tree, is_leaf, is_leaf_takes_path, found)
    return found, treedef


def tree_leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    """Return the leaves of a tree, each with its key path.

    Parameters
    ----------
    tree, is_leaf, is_leaf_takes_path
        As in :func:`tree_flatten_with_path`.

    Returns
    -------
    list of (KeyPath, leaf)
        The paths and leaves, in order.

    Examples
    --------
    >>> tree_leaves_with_path((5,))
    [((SequenceKey(idx=0),), 5)]
    """
    return tree_flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


def tree_map_with_path(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[..., bool] | None = None,
    is_leaf_takes_path: bool = False,
) -> Any:
    """Apply a function to the key paths and leaves of a tree.

    Parameters
    ----------
    f : callable
        Takes the key path of a leaf, the leaf, and the corresponding subtree of each of `rest`.
    tree, *rest
        As in :func:`tree_map`.
    is_leaf, is_leaf_takes_path
        As in :func:`tree_flatten_with_path`.

    Returns
    -------
    pytree, structure of `tree`
        The results.

    Raises
    ------
    ValueError
        If `tree` is not a prefix of one of `rest`; the message names the key path.

    Examples
    --------
    >>> tree_map_with_path(lambda path, x: f"{keystr(path)}={x}", {"a": 1, "b": (2,)})
    {'a': "['a']=1", 'b': ("['b'][0]=2",)}
    """
    pairs, treedef = tree_flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    paths, leaves = [path for path, _ in pairs], [leaf for _, leaf in pairs]
    stop = None if is_leaf is None or is_leaf_takes_path else is_leaf
    columns = flatten_together("tree_map_with_path", tree, treedef, rest, stop)
    return treedef.unflatten([f(*xs) for xs in zip(paths, leaves, *columns, strict=True)])
