"""Pytrees: nested tuples, lists, dicts and registered nodes, with JAX's names and semantics.

Everything that is not a node is a leaf.  Nodes are: ``tuple``, ``list``, ``dict`` (in the order of
its sorted keys), named tuples, ``OrderedDict``, ``defaultdict``, ``None`` (which has no children),
and the types registered by :mod:`tracejit.core.treenodes`.  Instances of subclasses of these,
deques and struct sequences are leaves.  Structures are interned (:mod:`tracejit.core.treedef`).

Imports nothing of tracejit but its neighbours, whose public names it hands on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from tracejit.core.treedef import PyTreeDef, flatten, intern, is_whole, node_type
from tracejit.core.treekeyed import (
    tree_flatten_with_path,
    tree_leaves_with_path,
    tree_map_with_path,
)
from tracejit.core.treenodes import (
    Partial,
    register_dataclass,
    register_pytree_node,
    register_pytree_node_class,
    register_pytree_with_keys,
    register_pytree_with_keys_class,
    register_static,
)
from tracejit.core.treepath import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    KeyEntry,
    KeyPath,
    SequenceKey,
    keystr,
)
from tracejit.core.treeprefix import (
    broadcast_prefix,
    equality_errors,
    flatten_axes,
    flatten_together,
    prefix_errors,
    tree_broadcast,
)

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "KeyEntry",
    "KeyPath",
    "Partial",
    "PyTreeDef",
    "SequenceKey",
    "all_leaves",
    "broadcast_prefix",
    "equality_errors",
    "flatten_axes",
    "is_tree_node",
    "keystr",
    "prefix_errors",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
    "tree_all",
    "tree_broadcast",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_reduce_associative",
    "tree_structure",
    "tree_transpose",
    "tree_unflatten",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
]

IsLeaf = Callable[[Any], bool]
_NOTHING: Any = object()


def tree_flatten(tree: Any, is_leaf: IsLeaf | None = None) -> tuple[list[Any], PyTreeDef]:
    """Take a tree apart into its leaves and its structure.

    Parameters
    ----------
    tree : pytree
        The tree.
    is_leaf : callable, optional
        ``is_leaf(x)`` is called at each node, the root first; where it is true, `x` is a leaf.

    Returns
    -------
    leaves : list
        The leaves, in order.
    treedef : PyTreeDef
        The structure.

    Raises
    ------
    ValueError
        If the keys of a dict cannot be sorted.

    See Also
    --------
    tree_unflatten : the inverse.

    Examples
    --------
    >>> tree_flatten({"b": (1, 2), "a": [3, None]})
    ([3, 1, 2], PyTreeDef({'a': [*, None], 'b': (*, *)}))
    """
    return flatten(tree, is_leaf)


def tree_unflatten(treedef: PyTreeDef, leaves: Iterable[Any]) -> Any:
    """Put leaves into a structure; the inverse of :func:`tree_flatten`.

    Parameters
    ----------
    treedef : PyTreeDef
        The structure.
    leaves : iterable, length ``treedef.num_leaves``
        The leaves.

    Returns
    -------
    pytree
        The tree.

    Raises
    ------
    ValueError
        If there are more leaves than the structure has places, or fewer.

    Examples
    --------
    >>> tree_unflatten(tree_structure({"a": 0, "b": (0, 0)}), [1, 2, 3])
    {'a': 1, 'b': (2, 3)}
    """
    return treedef.unflatten(leaves)


def tree_leaves(tree: Any, is_leaf: IsLeaf | None = None) -> list[Any]:
    """Return the leaves of a tree.

    Parameters
    ----------
    tree, is_leaf
        As in :func:`tree_flatten`.

    Returns
    -------
    list
        The leaves, in order.

    Examples
    --------
    >>> tree_leaves({"b": (1, 2), "a": [3, None]})
    [3, 1, 2]
    """
    return flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: IsLeaf | None = None) -> PyTreeDef:
    """Return the structure of a tree.

    Parameters
    ----------
    tree, is_leaf
        As in :func:`tree_flatten`.

    Returns
    -------
    PyTreeDef
        The structure; equal structures are the same object.

    Examples
    --------
    >>> tree_structure((1, [2])) is tree_structure((3, [4]))
    True
    """
    return flatten(tree, is_leaf)[1]


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf | None = None) -> Any:
    """Apply a function to the leaves of a tree, or of several trees together.

    Parameters
    ----------
    f : callable
        Takes a leaf of `tree` and the corresponding subtree of each of `rest`.
    tree : pytree
        The tree whose structure counts.
    *rest : pytree
        Trees of the same structure, or of which `tree` is a prefix.
    is_leaf : callable, optional
        As in :func:`tree_flatten`, for `tree`.

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
    >>> tree_map(lambda x, y: x + y, {"a": 1, "b": (2, 3)}, {"a": 10, "b": (20, 30)})
    {'a': 11, 'b': (22, 33)}
    """
    leaves, treedef = flatten(tree, is_leaf)
    if not rest:
        return treedef.unflatten([f(x) for x in leaves])
    columns = flatten_together("tree_map", tree, treedef, rest, is_leaf)
    return treedef.unflatten([f(*xs) for xs in zip(leaves, *columns, strict=True)])


def tree_reduce(
    function: Callable[[Any, Any], Any],
    tree: Any,
    initializer: Any = _NOTHING,
    is_leaf: IsLeaf | None = None,
) -> Any:
    """Reduce the leaves of a tree to one value, from left to right.

    Parameters
    ----------
    function : callable
        Takes the value so far and a leaf.
    tree : pytree
        The tree.
    initializer : object, optional
        The first value; by default the first leaf.
    is_leaf : callable, optional
        As in :func:`tree_flatten`.

    Returns
    -------
    object
        The last value.

    Raises
    ------
    TypeError
        If there is neither a leaf nor an initializer.

    Examples
    --------
    >>> tree_reduce(lambda total, x: total + x, {"a": 1, "b": (2, 3)})
    6
    """
    leaves = flatten(tree, is_leaf)[0]
    if initializer is not _NOTHING:
        return functools.reduce(function, leaves, initializer)
    if not leaves:
        raise TypeError("tree_reduce: a tree without leaves needs an initializer")
    return functools.reduce(function, leaves)


def tree_reduce_associative(
    operation: Callable[[Any, Any], Any],
    tree: Any,
    *,
    identity: Any = _NOTHING,
    is_leaf: IsLeaf | None = None,
) -> Any:
    """Reduce the leaves of a tree to one value, by halves.

    Parameters
    ----------
    operation : callable
        An associative function of two values.
    tree : pytree
        The tree.
    identity : object, optional
        The value for a tree without leaves.
    is_leaf : callable, optional
        As in :func:`tree_flatten`.

    Returns
    -------
    object
        The value.

    Raises
    ------
    TypeError
        If there is neither a leaf nor an identity.

    Examples
    --------
    >>> tree_reduce_associative(lambda x, y: f"({x}{y})", list("abcd"))
    '((ab)(cd))'
    """
    leaves = flatten(tree, is_leaf)[0]
    if not leaves and identity is _NOTHING:
        raise TypeError("tree_reduce_associative: a tree without leaves needs an identity")

    def reduced(start: int, stop: int) -> Any:
        if stop - start == 1:
            return leaves[start]
        middle = (start + stop) // 2
        return operation(reduced(start, middle), reduced(middle, stop))

    return reduced(0, len(leaves)) if leaves else identity


def tree_all(tree: Any, *, is_leaf: IsLeaf | None = None) -> bool:
    """Return whether all the leaves of a tree are true.

    Parameters
    ----------
    tree, is_leaf
        As in :func:`tree_flatten`.

    Returns
    -------
    bool
        True also for a tree without leaves.
    """
    return all(flatten(tree, is_leaf)[0])


def tree_transpose(
    outer_treedef: PyTreeDef, inner_treedef: PyTreeDef | None, pytree_to_transpose: Any
) -> Any:
    """Turn a tree of trees inside out.

    Parameters
    ----------
    outer_treedef : PyTreeDef
        The outer structure of the tree.
    inner_treedef : PyTreeDef or None
        The structure at each leaf of the outer one; ``None`` to take that of the first.
    pytree_to_transpose : pytree
        The tree.

    Returns
    -------
    pytree
        A tree of `inner_treedef`, with a tree of `outer_treedef` at each leaf.

    Raises
    ------
    TypeError
        If the tree does not have the two structures, one inside the other.

    Examples
    --------
    >>> outer = tree_structure([0, 0])
    >>> tree_transpose(outer, None, [{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    {'a': [1, 3], 'b': [2, 4]}
    """
    leaves, treedef = flatten(pytree_to_transpose, is_whole)
    if inner_treedef is None:
        subtrees = outer_treedef.flatten_up_to(pytree_to_transpose)
        if not subtrees:
            raise TypeError("tree_transpose: give inner_treedef; the outer tree has no leaves")
        inner_treedef = flatten(subtrees[0], is_whole)[1]
    inner, outer = inner_treedef.num_leaves, outer_treedef.num_leaves
    if treedef.num_leaves != inner * outer:
        raise TypeError(
            f"tree_transpose: expected the structure {outer_treedef.compose(inner_treedef)}, "
            f"got {treedef}"
        )
    columns = (leaves[i::inner] for i in range(inner))
    return inner_treedef.unflatten([outer_treedef.unflatten(column) for column in columns])


def all_leaves(iterable: Iterable[Any], is_leaf: IsLeaf | None = None) -> bool:
    """Return whether all the elements of an iterable are leaves.

    Parameters
    ----------
    iterable : iterable
        The elements.
    is_leaf : callable, optional
        As in :func:`tree_flatten`.

    Returns
    -------
    bool
        Whether flattening would leave them as they are.

    Examples
    --------
    >>> all_leaves([1, 2]), all_leaves([1, (2,)]), all_leaves([None])
    (True, False, False)
    """
    return all(
        node_type(type(x)) is None or (is_leaf is not None and is_leaf(x)) for x in iterable
    )


def is_tree_node(typ: type) -> bool:
    """Return whether the instances of a type are nodes.

    Parameters
    ----------
    typ : type
        The type.

    Returns
    -------
    bool
        True for builtin containers, named tuples and registered types.
    """
    return node_type(typ) is not None


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Return whether a structure is a single node: a leaf, or a node without children.

    Parameters
    ----------
    treedef : PyTreeDef
        The structure.

    Returns
    -------
    bool
        Whether it has one node.
    """
    return treedef.num_nodes == 1


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """Return the structure of a tuple of trees.

    Parameters
    ----------
    treedefs : iterable of PyTreeDef
        The structures of the elements.

    Returns
    -------
    PyTreeDef
        The structure.

    Examples
    --------
    >>> treedef_tuple([tree_structure(1), tree_structure([2])])
    PyTreeDef((*, [*]))
    """
    node = node_type(tuple)
    assert node is not None
    return intern(node, None, tuple(treedefs))


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """Return the structures of the children of the root.

    Parameters
    ----------
    treedef : PyTreeDef
        The structure.

    Returns
    -------
    list of PyTreeDef
        One a child; none for a leaf.
    """
    return treedef.children()
