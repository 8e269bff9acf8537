"""Pytrees below their public functions: node types, interned structures, flattening.

A :class:`PyTreeDef` is interned: equal structures are the same object while one of them lives, so
that identity is equality, the hash costs nothing, and a structure is a cache key.  The table holds
structures weakly, since the auxiliary data of a node (a closure, say) may hold arrays.  The latest
structures made of builtin containers alone are held besides, so that flattening the same kind of
dictionary in a loop does not build its structure each time.

Auxiliary data is compared together with the types inside it: ``1``, ``1.0`` and ``True`` are equal
to Python but make different structures.  A node whose auxiliary data does not hash is not interned:
it flattens and maps, compares by value, and refuses to be a key.

Imports nothing of tracejit but :mod:`tracejit.core.treepath`.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tracejit.core.treepath import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    KeyEntry,
    SequenceKey,
)

__all__ = [
    "LEAF",
    "NodeType",
    "PyTreeDef",
    "flatten",
    "intern",
    "is_whole",
    "node_type",
    "register",
    "same_aux",
]

Flatten = Callable[[Any], tuple[Iterable[Any], Any]]
FlattenWithKeys = Callable[[Any], tuple[Iterable[tuple[KeyEntry, Any]], Any]]
Unflatten = Callable[[Any, Any], Any]


class NodeType:
    """How the instances of one type are taken apart and put together.

    Attributes
    ----------
    type : type
        The type; instances of its subclasses are leaves.
    flatten : callable
        ``flatten(node) -> (children, aux)``.
    unflatten : callable
        ``unflatten(aux, children) -> node``; `children` is a list that nobody else holds if the
        type is builtin, a tuple otherwise.
    keys : callable
        ``keys(node, count) -> list of key entries``, one a child.
    builtin : bool
        Whether it is a container of Python's own, or a like one, whose `aux` cannot hold an array.
    whole : bool
        Whether users see its instances as leaves; see :func:`is_whole`.
    """

    __slots__ = ("builtin", "flatten", "keys", "type", "unflatten", "whole")

    def __init__(
        self,
        type_: type,
        flatten: Flatten,
        unflatten: Unflatten,
        keys: Callable[[Any, int], list[KeyEntry]],
        builtin: bool = False,
        whole: bool = False,
    ) -> None:
        self.type = type_
        self.flatten = flatten
        self.unflatten = unflatten
        self.keys = keys
        self.builtin = builtin
        self.whole = whole


def _sorted_keys(mapping: dict[Any, Any]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(mapping))
    except TypeError as error:
        raise ValueError(
            f"pytree: the keys of a dict must be sortable; got {list(mapping)}"
        ) from error


def _flatten_dict(node: dict[Any, Any]) -> tuple[list[Any], tuple[Any, ...]]:
    try:  # _sorted_keys, without the call
        keys = tuple(sorted(node))
    except TypeError:
        keys = _sorted_keys(node)
    return [node[key] for key in keys], keys


def _flatten_ordered(node: dict[Any, Any]) -> tuple[list[Any], tuple[Any, ...]]:
    return list(node.values()), tuple(node)


def _flatten_default(node: Any) -> tuple[list[Any], tuple[Any, ...]]:
    children, keys = _flatten_dict(node)
    return children, (node.default_factory, keys)


def _sequence_keys(node: Any, count: int) -> list[KeyEntry]:
    del node
    return [SequenceKey(i) for i in range(count)]


def _flat_keys(node: Any, count: int) -> list[KeyEntry]:
    del node
    return [FlattenedIndexKey(i) for i in range(count)]


def _dict_keys(node: dict[Any, Any], count: int) -> list[KeyEntry]:
    del count
    return [DictKey(key) for key in _sorted_keys(node)]


def _ordered_keys(node: dict[Any, Any], count: int) -> list[KeyEntry]:
    del count
    return [DictKey(key) for key in node]


def _field_keys(node: Any, count: int) -> list[KeyEntry]:
    del count
    return [GetAttrKey(name) for name in node._fields]


def _named_tuple(type_: type) -> NodeType:
    make: Callable[[Any], Any] = type_._make  # type: ignore[attr-defined]
    return NodeType(
        type_, lambda node: (node, None), lambda aux, xs: make(xs), _field_keys, builtin=True
    )


class _NodeTypes(dict[type, NodeType | None]):
    """Every type seen so far, and how it is taken apart; ``None`` for leaves."""

    def __missing__(self, type_: type) -> NodeType | None:
        named = issubclass(type_, tuple) and isinstance(getattr(type_, "_fields", None), tuple)
        with _lock:
            return self.setdefault(type_, _named_tuple(type_) if named else None)


_lock = threading.RLock()
_registered: set[type] = set()
_types = _NodeTypes()


class _SeenTypes(dict[type, NodeType | None]):
    """The same as users see it: what is whole is a leaf."""

    def __missing__(self, type_: type) -> NodeType | None:
        node = _types[type_]
        return self.setdefault(type_, None if node is not None and node.whole else node)


_seen = _SeenTypes()


def node_type(type_: type) -> NodeType | None:
    """Return how nodes of a type are taken apart, or ``None`` if they are leaves."""
    return _types[type_]


def is_whole(x: Any) -> bool:
    """Whether users see an object as a leaf, though transformations take it apart: a key is one.

    As ``is_leaf`` of the functions on trees it costs nothing.
    """
    return (node := _types[type(x)]) is not None and node.whole


def register(
    type_: type,
    flatten: Flatten,
    unflatten: Unflatten,
    flatten_with_keys: FlattenWithKeys | None = None,
    builtin: bool = False,
    keys: Callable[[Any, int], list[KeyEntry]] = _flat_keys,
    whole: bool = False,
) -> None:
    """Make the instances of a type nodes.

    Parameters
    ----------
    type_ : type
        A type not yet registered.
    flatten, unflatten, flatten_with_keys : callable
        As in :func:`~tracejit.core.treenodes.register_pytree_node`.
    builtin, keys, whole
        See :class:`NodeType`; `flatten_with_keys` takes the place of `keys`.

    Raises
    ------
    TypeError
        If `type_` is not a type.
    ValueError
        If it is registered already.
    """
    if not isinstance(type_, type):
        raise TypeError(f"pytree: only a type can be registered as a node; got {type_!r}")
    if flatten_with_keys is not None:
        with_keys = flatten_with_keys

        def keys(node: Any, count: int) -> list[KeyEntry]:
            del count
            return [key for key, _ in with_keys(node)[0]]

    with _lock:
        if type_ in _registered:
            raise ValueError(f"pytree: {type_} is already registered as a node")
        _registered.add(type_)
        _types[type_] = NodeType(type_, flatten, unflatten, keys, builtin, whole)
        _seen.pop(type_, None)  # it may have been seen as a leaf


class PyTreeDef:
    """The structure of a pytree, without its leaves.

    Made by :func:`tree_structure` and :func:`tree_flatten`, never directly.  Equal structures are
    the same object.

    Attributes
    ----------
    num_leaves : int
        The number of leaves.
    num_nodes : int
        The number of nodes, leaves included.
    has_whole : bool
        Whether there are nodes in it that users see as leaves.
    """

    __slots__ = ("__weakref__", "aux", "defs", "has_whole", "node", "num_leaves", "num_nodes")

    node: NodeType | None
    aux: Any
    defs: tuple[PyTreeDef, ...]
    num_leaves: int
    num_nodes: int
    has_whole: bool

    def __init__(self) -> None:
        raise TypeError("a PyTreeDef is made by tree_structure(tree), not directly")

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """Put leaves into the structure; the inverse of flattening.

        Parameters
        ----------
        leaves : iterable, length `num_leaves`
            The leaves, in order.

        Returns
        -------
        pytree
            A tree of this structure.

        Raises
        ------
        ValueError
            If there are more leaves, or fewer.
        """
        given = leaves if type(leaves) is list else list(leaves)
        if len(given) != self.num_leaves:
            few_or_many = "few" if len(given) < self.num_leaves else "many"
            raise ValueError(
                f"tree_unflatten: too {few_or_many} leaves for {self}; "
                f"expected {self.num_leaves}, got {len(given)}"
            )
        node = self.node
        if node is not None and self.num_nodes == self.num_leaves + 1:  # all children are leaves
            return node.unflatten(self.aux, list(given) if node.builtin else tuple(given))
        return _unflatten(self, iter(given).__next__)

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """Return the subtrees of `tree` at the places of this structure's leaves.

        Parameters
        ----------
        tree : pytree
            A tree that this structure is a prefix of.

        Returns
        -------
        list, length `num_leaves`
            The subtrees.

        Raises
        ------
        ValueError
            If this structure is not a prefix of `tree`.
        """
        found: list[Any] = []
        _flatten_up_to(self, tree, found)
        return found

    def children(self) -> list[PyTreeDef]:
        """Return the structures of the children of the root."""
        return list(self.defs)

    def node_data(self) -> tuple[type, Any] | None:
        """Return the type and auxiliary data of the root, or ``None`` for a leaf."""
        return None if self.node is None else (self.node.type, self.aux)

    def compose(self, inner: PyTreeDef) -> PyTreeDef:
        """Return this structure with `inner` in the place of each leaf."""
        if self.node is None:
            return inner
        return intern(self.node, self.aux, tuple(child.compose(inner) for child in self.defs))

    def __reduce__(self) -> tuple[Any, ...]:
        if self.node is None:
            return _leaf, ()
        return _rebuild, (self.node.type, self.aux, self.defs)

    def __copy__(self) -> PyTreeDef:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> PyTreeDef:
        return self

    def __repr__(self) -> str:
        return f"PyTreeDef({_text(self)})"


class _KeylessTreeDef(PyTreeDef):
    """A structure that holds auxiliary data which does not hash, so it is not interned."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PyTreeDef):
            return NotImplemented
        return (
            self.node is not None
            and self.node is other.node
            and self.defs == other.defs
            and same_aux(self.node, self.aux, other.aux)
        )

    def __hash__(self) -> int:
        raise TypeError(
            f"pytree: {self} cannot be a cache key, because the auxiliary data of one of its nodes "
            "does not hash; return a hashable value (a tuple, not a list or dict) from the flatten "
            "function"
        )


def _make(
    class_: type[PyTreeDef], node: NodeType | None, aux: Any, defs: tuple[PyTreeDef, ...]
) -> PyTreeDef:
    made: PyTreeDef = object.__new__(class_)
    made.node, made.aux, made.defs = node, aux, defs
    made.num_leaves = sum([d.num_leaves for d in defs]) if node else 1
    made.num_nodes = 1 + sum([d.num_nodes for d in defs])
    made.has_whole = (node is not None and node.whole) or any(d.has_whole for d in defs)
    return made


LEAF = _make(PyTreeDef, None, None, ())
"""The structure of a leaf."""


def _leaf() -> PyTreeDef:
    return LEAF


def _rebuild(type_: type, aux: Any, defs: tuple[PyTreeDef, ...]) -> PyTreeDef:
    node = _types[type_]
    if node is None:
        raise ValueError(f"pytree: {type_} is not registered as a node in this process")
    return intern(node, aux, defs)


class _Reference(weakref.ref[PyTreeDef]):
    """A weak reference that knows its place in the table."""

    __slots__ = ("key",)

    key: tuple[Any, ...]


_table: dict[tuple[Any, ...], _Reference] = {}
_latest: deque[PyTreeDef] = deque(maxlen=1024)


def _forget(reference: _Reference) -> None:
    with _lock:
        if _table.get(reference.key) is reference:
            del _table[reference.key]


def _exact(aux: Any) -> object:
    """Tell apart what Python calls equal: types, and the sign of zero, also inside tuples."""
    if type(aux) is tuple:
        return tuple(map(_exact, aux))
    if type(aux) is float:
        return float, math.copysign(1.0, aux)
    return type(aux)


def intern(node: NodeType, aux: Any, defs: tuple[PyTreeDef, ...]) -> PyTreeDef:
    """Return the structure of a node with these parts: the same object each time."""
    key = (node, aux, defs) if node.builtin else (node, aux, defs, _exact(aux))
    try:
        reference = _table.get(key)
    except TypeError:
        return _make(_KeylessTreeDef, node, aux, defs)
    if reference is not None and (found := reference()) is not None:
        return found
    with _lock:
        reference = _table.get(key)
        if reference is not None and (found := reference()) is not None:
            return found
        made = _make(PyTreeDef, node, aux, defs)
        reference = _Reference(made, _forget)
        reference.key = key
        _table[key] = reference
        if node.builtin and all(d is LEAF or (d.node and d.node.builtin) for d in defs):
            _latest.append(made)
        return made


def _flatten(tree: Any, leaves: list[Any], types: dict[type, NodeType | None]) -> PyTreeDef:
    node = types[type(tree)]
    if node is None:
        leaves.append(tree)
        return LEAF
    children, aux = node.flatten(tree)
    defs = []
    for child in children:
        if types[type(child)] is None:
            leaves.append(child)
            defs.append(LEAF)
        else:
            defs.append(_flatten(child, leaves, types))
    if node.builtin:  # the first lines of intern, without the call
        try:
            reference = _table.get((node, aux, tuple(defs)))
        except TypeError:
            reference = None
        if reference is not None and (found := reference()) is not None:
            return found
    return intern(node, aux, tuple(defs))


def _flatten_until(tree: Any, leaves: list[Any], is_leaf: Callable[[Any], bool]) -> PyTreeDef:
    if is_leaf(tree) or (node := _types[type(tree)]) is None:
        leaves.append(tree)
        return LEAF
    children, aux = node.flatten(tree)
    return intern(node, aux, tuple([_flatten_until(c, leaves, is_leaf) for c in children]))


def flatten(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[Any], PyTreeDef]:
    """Return the leaves of a tree and its structure."""
    leaves: list[Any] = []
    if is_leaf is None:
        if _types[type(tree)] is None:
            return [tree], LEAF
        return leaves, _flatten(tree, leaves, _types)
    if is_leaf is is_whole:
        return leaves, _flatten(tree, leaves, _seen)
    return leaves, _flatten_until(tree, leaves, is_leaf)


def _unflatten(treedef: PyTreeDef, take: Callable[[], Any]) -> Any:
    node = treedef.node
    if node is None:
        return take()
    children = [take() if d is LEAF else _unflatten(d, take) for d in treedef.defs]
    return node.unflatten(treedef.aux, children if node.builtin else tuple(children))


def same_aux(node: NodeType, one: Any, other: Any) -> bool:
    """Return whether two nodes of a type have equal auxiliary data."""
    if node.builtin:
        return bool(one == other)
    try:
        return bool(_exact(one) == _exact(other) and one == other)
    except ValueError:  # arrays: equal only if they are the same
        return one is other


def _flatten_up_to(treedef: PyTreeDef, tree: Any, found: list[Any]) -> None:
    node = treedef.node
    if node is None:
        found.append(tree)
        return
    if type(tree) is not node.type:
        raise ValueError(f"pytree: expected {node.type.__name__}, got {tree!r}")
    given, aux = node.flatten(tree)
    children = given if isinstance(given, Sequence) else list(given)
    if len(children) != len(treedef.defs) or not same_aux(node, aux, treedef.aux):
        raise ValueError(f"pytree: expected the structure {treedef}, got {tree!r}")
    for child_def, child in zip(treedef.defs, children, strict=True):
        if child_def is LEAF:
            found.append(child)
        else:
            _flatten_up_to(child_def, child, found)


def _text(treedef: PyTreeDef) -> str:
    node = treedef.node
    if node is None:
        return "*"
    parts = [_text(child) for child in treedef.defs]
    listed = ", ".join(parts)
    if node.type is type(None):
        return "None"
    if node.type is tuple:
        return f"({listed},)" if len(parts) == 1 else f"({listed})"
    if node.type is list:
        return f"[{listed}]"
    if node.type is dict:
        return f"{{{', '.join(_pairs(treedef.aux, parts))}}}"
    name = node.type.__name__
    if node.builtin and issubclass(node.type, tuple):
        return f"CustomNode(namedtuple[{name}], [{listed}])"
    return f"CustomNode({name}[{treedef.aux}], [{listed}])"


def _pairs(keys: tuple[Any, ...], parts: list[str]) -> Iterator[str]:
    return (f"{key!r}: {part}" for key, part in zip(keys, parts, strict=True))


register(tuple, lambda xs: (xs, None), lambda aux, xs: tuple(xs), None, True, _sequence_keys)
register(list, lambda xs: (xs, None), lambda aux, xs: xs, None, True, _sequence_keys)
register(
    dict, _flatten_dict, lambda keys, xs: dict(zip(keys, xs, strict=True)), None, True, _dict_keys
)
register(type(None), lambda none: ((), None), lambda aux, xs: None, None, True)
register(
    OrderedDict,
    _flatten_ordered,
    lambda keys, xs: OrderedDict(zip(keys, xs, strict=True)),
    None,
    True,
    _ordered_keys,
)
register(
    defaultdict,
    _flatten_default,
    lambda aux, xs: defaultdict(aux[0], zip(aux[1], xs, strict=True)),
    None,
    False,  # the factory may be a closure that holds anything
    _dict_keys,
)
