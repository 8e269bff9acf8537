"""One pytree against another: prefixes, broadcasting them, and saying where two trees differ.

A prefix of a tree is that tree with some of its subtrees replaced by leaves; ``in_axes=(0, None)``
is a prefix of any pair of arguments.  ``None`` is a node without children, so it is a prefix of
``None`` only, except in :func:`flatten_axes`, where it is a leaf.

Imports nothing of tracejit but its two neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tracejit.core.treedef import PyTreeDef, flatten, is_whole, node_type, same_aux
from tracejit.core.treepath import KeyPath, keystr

__all__ = [
    "broadcast_prefix",
    "equality_errors",
    "flatten_axes",
    "flatten_together",
    "prefix_errors",
    "tree_broadcast",
]

IsLeaf = Callable[[Any], bool]
Difference = tuple[KeyPath, str, str]


def _described(treedef: PyTreeDef, with_aux: bool = False) -> str:
    if treedef.node is None:
        return "a leaf"
    type_, count = treedef.node.type, len(treedef.defs)
    if type_ is type(None):
        return "None"
    if type_ is tuple or type_ is list:
        return f"a {type_.__name__} of length {count}"
    if type_ is dict:
        keys = ", ".join(map(repr, treedef.aux))
        return f"a dict with keys {keys}" if keys else "an empty dict"
    detail = f" and metadata {treedef.aux!r}" if with_aux else ""
    article = "an" if type_.__name__[0] in "AEIOUaeiou" else "a"
    children = "1 child" if count == 1 else f"{count} children"
    return f"{article} {type_.__name__} with {children}{detail}"


def _differences(
    path: KeyPath, tree: Any, full: PyTreeDef, is_leaf: IsLeaf | None, prefix: bool
) -> Iterator[Difference]:
    """Yield the path, what `tree` has and what `full` has, wherever the two disagree."""
    node = None if is_leaf is not None and is_leaf(tree) else node_type(type(tree))
    if node is None:
        if not prefix and full.node is not None:
            yield path, "a leaf", _described(full)
        return
    root = flatten(tree, lambda x: x is not tree)[1]  # the root's own structure: leaves below
    same_type = root.node is full.node
    if not same_type or len(root.defs) != len(full.defs):
        yield path, _described(root), _described(full)
        return
    if not same_aux(node, root.aux, full.aux):
        yield path, _described(root, True), _described(full, True)
        return
    children = list(node.flatten(tree)[0])
    keys = node.keys(tree, len(children))
    for key, child, child_def in zip(keys, children, full.defs, strict=True):
        yield from _differences((*path, key), child, child_def, is_leaf, prefix)


def _prefix_message(name: str, difference: Difference) -> str:
    path, got, wanted = difference
    return (
        f"{name}{keystr(path)}: the tree must be a prefix of the one it applies to; "
        f"it has {got} where the other has {wanted}"
    )


def prefix_errors(
    prefix_tree: Any, full_tree: Any, name: str = "prefix", is_leaf: IsLeaf | None = None
) -> list[ValueError]:
    """Say where a tree is not a prefix of another.

    Parameters
    ----------
    prefix_tree : pytree
        The tree that should be a prefix.
    full_tree : pytree
        The tree that it should be a prefix of.
    name : str, default 'prefix'
        What the user calls `prefix_tree`, such as ``'vmap in_axes'``; the messages begin with it,
        followed by the key path.
    is_leaf : callable, optional
        Where to stop in `prefix_tree`.

    Returns
    -------
    list of ValueError
        One for each place, in order; empty if `prefix_tree` is a prefix.

    Examples
    --------
    >>> for error in prefix_errors({"a": (0, 1)}, {"a": (0, 1, 2)}, "in_axes"):
    ...     print(error)
    in_axes['a']: the tree must be a prefix of the one it applies to; it has a tuple of length 2 \
where the other has a tuple of length 3
    """
    differences = _differences((), prefix_tree, flatten(full_tree)[1], is_leaf, prefix=True)
    return [ValueError(_prefix_message(name, found)) for found in differences]


def equality_errors(
    one: Any, other: Any, is_leaf: IsLeaf | None = None
) -> list[tuple[KeyPath, str, str]]:
    """Say where the structures of two trees differ.

    Parameters
    ----------
    one, other : pytree
        The trees.
    is_leaf : callable, optional
        Where to stop, in both.

    Returns
    -------
    list of (KeyPath, str, str)
        For each place the path, what `one` has there, and what `other` has; empty if the
        structures are equal.

    Examples
    --------
    >>> equality_errors((1, 2), (1, [2]))
    [((SequenceKey(idx=1),), 'a leaf', 'a list of length 1')]
    """
    return list(_differences((), one, flatten(other, is_leaf)[1], is_leaf, prefix=False))


def flatten_together(
    name: str, tree: Any, treedef: PyTreeDef, rest: tuple[Any, ...], is_leaf: IsLeaf | None
) -> list[list[Any]]:
    """Flatten each of `rest` up to the leaves of `tree`, whose structure is `treedef`.

    Parameters
    ----------
    name : str
        The function that does so, for the message.
    tree, treedef
        The first tree and its structure.
    rest : tuple of pytree
        The others.
    is_leaf : callable, optional
        With which `tree` was flattened.

    Returns
    -------
    list of list
        The subtrees of each tree.

    Raises
    ------
    ValueError
        If `tree` is not a prefix of one of them; the message names the key path.
    """
    columns = []
    for number, other in enumerate(rest, 2):
        leaves, other_def = flatten(other)
        if other_def is treedef and is_leaf is None:
            columns.append(leaves)
            continue
        try:
            columns.append(treedef.flatten_up_to(other))
        except ValueError as error:
            first = next(_differences((), tree, other_def, is_leaf, prefix=True), None)
            if first is None:
                raise
            path, got, wanted = first
            raise ValueError(
                f"{name}: the trees differ at {keystr(path) or 'the root'}: "
                f"tree 1 has {got} where tree {number} has {wanted}"
            ) from error
    return columns


def _broadcast(name: str, prefix: Any, full: PyTreeDef, is_leaf: IsLeaf | None) -> list[Any]:
    first = next(_differences((), prefix, full, is_leaf, prefix=True), None)
    if first is not None:
        raise ValueError(_prefix_message(name, first))
    leaves, treedef = flatten(prefix, is_leaf)
    if treedef is full:
        return leaves
    result: list[Any] = []
    given = iter(leaves)

    def spread(prefix_def: PyTreeDef, full_def: PyTreeDef) -> None:
        if prefix_def.node is None:
            result.extend([next(given)] * full_def.num_leaves)
        else:
            for prefix_child, full_child in zip(prefix_def.defs, full_def.defs, strict=True):
                spread(prefix_child, full_child)

    spread(treedef, full)
    return result


def broadcast_prefix(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf | None = None) -> list[Any]:
    """Repeat each leaf of a prefix for all the leaves below it.

    Parameters
    ----------
    prefix_tree : pytree
        A prefix of `full_tree`.
    full_tree : pytree
        The tree whose leaves are counted.
    is_leaf : callable, optional
        Where to stop in `prefix_tree`.

    Returns
    -------
    list
        A leaf of `prefix_tree` for each leaf of `full_tree`.

    Raises
    ------
    ValueError
        If `prefix_tree` is not a prefix; the message names the key path.

    Examples
    --------
    >>> broadcast_prefix((0, 1), ("x", {"a": "y", "b": "z"}))
    [0, 1, 1]
    """
    return _broadcast("broadcast_prefix prefix_tree", prefix_tree, flatten(full_tree)[1], is_leaf)


def tree_broadcast(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf | None = None) -> Any:
    """Broadcast a prefix to the structure of a tree.

    Parameters
    ----------
    prefix_tree, full_tree, is_leaf
        As in :func:`broadcast_prefix`.

    Returns
    -------
    pytree, structure of `full_tree`
        Its leaves are those of `prefix_tree`.

    Raises
    ------
    ValueError
        If `prefix_tree` is not a prefix; the message names the key path.

    Examples
    --------
    >>> tree_broadcast((0, 1), ("x", {"a": "y", "b": "z"}))
    (0, {'a': 1, 'b': 1})
    """
    treedef = flatten(full_tree, is_whole)[1]
    leaves = _broadcast("tree_broadcast prefix_tree", prefix_tree, treedef, is_leaf or is_whole)
    return treedef.unflatten(leaves)


def flatten_axes(name: str, treedef: PyTreeDef, axis_tree: Any) -> list[Any]:
    """Broadcast a tree of axes, in which ``None`` is a leaf, to a structure.

    Parameters
    ----------
    name : str
        What the user calls `axis_tree`, such as ``'vmap in_axes'``.
    treedef : PyTreeDef
        The structure of the values.
    axis_tree : pytree of int or None
        A prefix of the structure.

    Returns
    -------
    list of int or None, length ``treedef.num_leaves``
        An axis for each leaf.

    Raises
    ------
    ValueError
        If `axis_tree` is not a prefix; the message names the key path.

    Examples
    --------
    >>> flatten_axes("in_axes", tree_structure((1, {"a": 2, "b": 3})), (0, None))
    [0, None, None]
    """
    return _broadcast(name, axis_tree, treedef, lambda x: x is None)
