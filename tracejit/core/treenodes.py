"""Registering types as pytree nodes, and :class:`Partial`.

Imports nothing of tracejit but its neighbours.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

from tracejit.core.treedef import register
from tracejit.core.treepath import GetAttrKey, KeyEntry

__all__ = [
    "Partial",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
]

T = TypeVar("T")
Class = TypeVar("Class", bound=type)


def register_pytree_node(
    nodetype: type[T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Hashable]],
    unflatten_func: Callable[[Any, Any], T],
    flatten_with_keys_func: (
        Callable[[T], tuple[Iterable[tuple[KeyEntry, Any]], Hashable]] | None
    ) = None,
) -> None:
    """Make the instances of a type nodes of pytrees.

    Instances of subclasses stay leaves until their own type is registered.

    Parameters
    ----------
    nodetype : type
        The type.
    flatten_func : callable
        ``flatten_func(node) -> (children, aux)``: the children, an iterable of pytrees, and all
        else that is needed to rebuild the node.  `aux` is a part of the structure: it should hash
        and compare by value, and must hold no arrays.
    unflatten_func : callable
        ``unflatten_func(aux, children) -> node``, the inverse.  Children may be any objects, so it
        should not check or convert them.
    flatten_with_keys_func : callable, optional
        As `flatten_func`, with a pair of a key entry and a child in the place of each child.

    Raises
    ------
    TypeError
        If `nodetype` is not a type.
    ValueError
        If it is registered already.

    See Also
    --------
    register_dataclass : for dataclasses.
    register_static : for objects without children.

    Examples
    --------
    >>> class Interval:
    ...     def __init__(self, low, high):
    ...         self.low, self.high = low, high
    >>> register_pytree_node(
    ...     Interval, lambda x: ((x.low, x.high), None), lambda aux, xs: Interval(*xs)
    ... )
    >>> tree_leaves(Interval(1.0, 2.0))
    [1.0, 2.0]
    """
    register(nodetype, flatten_func, unflatten_func, flatten_with_keys_func)


def register_pytree_node_class(cls: Class) -> Class:
    """Make the instances of a class nodes, by its own methods; a decorator.

    Parameters
    ----------
    cls : type
        A class with a method ``tree_flatten(self) -> (children, aux)`` and a class method
        ``tree_unflatten(cls, aux, children)``.

    Returns
    -------
    type
        `cls`.

    Raises
    ------
    ValueError
        If it is registered already.

    Examples
    --------
    >>> @register_pytree_node_class
    ... class Scaled:
    ...     def __init__(self, array, power):
    ...         self.array, self.power = array, power
    ...
    ...     def tree_flatten(self):
    ...         return (self.array,), self.power
    ...
    ...     @classmethod
    ...     def tree_unflatten(cls, power, children):
    ...         return cls(*children, power)
    >>> tree_leaves(Scaled(1.0, 3))
    [1.0]
    """
    register(cls, lambda node: node.tree_flatten(), cls.tree_unflatten)  # type: ignore[attr-defined]
    return cls


def register_pytree_with_keys(
    nodetype: type[T],
    flatten_with_keys: Callable[[T], tuple[Iterable[tuple[KeyEntry, Any]], Hashable]],
    unflatten_func: Callable[[Any, Any], T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Hashable]] | None = None,
) -> None:
    """Make the instances of a type nodes whose children have keys.

    Parameters
    ----------
    nodetype : type
        The type.
    flatten_with_keys : callable
        ``flatten_with_keys(node) -> (pairs, aux)``: a pair of a key entry and a child for each
        child.
    unflatten_func : callable
        ``unflatten_func(aux, children) -> node``.
    flatten_func : callable, optional
        ``flatten_func(node) -> (children, aux)``, where that is quicker without the keys.

    Raises
    ------
    ValueError
        If it is registered already.

    See Also
    --------
    register_pytree_node : says more on the functions.

    Examples
    --------
    >>> class Box:
    ...     def __init__(self, inside):
    ...         self.inside = inside
    >>> register_pytree_with_keys(
    ...     Box, lambda b: (((GetAttrKey("inside"), b.inside),), None), lambda aux, xs: Box(*xs)
    ... )
    >>> keystr(tree_leaves_with_path(Box(1))[0][0])
    '.inside'
    """

    def without_keys(node: T) -> tuple[Iterable[Any], Hashable]:
        pairs, aux = flatten_with_keys(node)
        return [child for _, child in pairs], aux

    register(nodetype, flatten_func or without_keys, unflatten_func, flatten_with_keys)


def register_pytree_with_keys_class(cls: Class) -> Class:
    """Make the instances of a class nodes with keys, by its own methods; a decorator.

    Parameters
    ----------
    cls : type
        A class with a method ``tree_flatten_with_keys(self) -> (pairs, aux)``, a class method
        ``tree_unflatten(cls, aux, children)`` and, if it likes, a method ``tree_flatten``.

    Returns
    -------
    type
        `cls`.

    Raises
    ------
    ValueError
        If it is registered already.
    """
    register_pytree_with_keys(
        cls,
        lambda node: node.tree_flatten_with_keys(),
        cls.tree_unflatten,  # type: ignore[attr-defined]
        (lambda node: node.tree_flatten()) if hasattr(cls, "tree_flatten") else None,
    )
    return cls


def _dataclass_fields(nodetype: type) -> tuple[list[str], list[str]]:
    data: list[str] = []
    meta: list[str] = []
    for field in dataclasses.fields(nodetype):
        if field.init:
            (meta if field.metadata.get("static", False) else data).append(field.name)
    return data, meta


def register_dataclass(
    nodetype: Class,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> Class:
    """Make the instances of a dataclass nodes; usable as a decorator.

    Parameters
    ----------
    nodetype : type
        A dataclass; another class will do if both lists are given and its constructor takes the
        fields by keyword.
    data_fields : sequence of str, optional
        The fields that are children.  By default those not marked
        ``dataclasses.field(metadata={"static": True})``.
    meta_fields : sequence of str, optional
        The fields that are a part of the structure: their values must hash.  By default those
        marked static.
    drop_fields : sequence of str, optional
        Fields to leave out: they take their default values when the node is rebuilt.

    Returns
    -------
    type
        `nodetype`.

    Raises
    ------
    TypeError
        If only one of `data_fields` and `meta_fields` is given, or neither for a class that is no
        dataclass.
    ValueError
        If the lists leave out a field of the dataclass or name one that it does not have, or if
        the class is registered already.

    Examples
    --------
    >>> @register_dataclass
    ... @dataclasses.dataclass
    ... class Layer:
    ...     weight: float
    ...     width: int = dataclasses.field(default=3, metadata={"static": True})
    >>> tree_map(lambda x: 2 * x, Layer(1.5))
    Layer(weight=3.0, width=3)
    """
    if (data_fields is None) != (meta_fields is None):
        raise TypeError(
            "register_dataclass: give both data_fields and meta_fields, or neither; "
            f"got {data_fields=} and {meta_fields=}"
        )
    is_dataclass = dataclasses.is_dataclass(nodetype)
    if data_fields is None or meta_fields is None:
        if not is_dataclass:
            raise TypeError(
                "register_dataclass: data_fields and meta_fields may be left out for a dataclass "
                f"only; got {nodetype}"
            )
        data, meta = _dataclass_fields(nodetype)
        data = [name for name in data if name not in drop_fields]
        meta = [name for name in meta if name not in drop_fields]
    else:
        data, meta = list(data_fields), list(meta_fields)
    if is_dataclass:
        every = {field.name for field in dataclasses.fields(nodetype) if field.init}
        missing = sorted(every - {*data, *meta, *drop_fields})
        unknown = sorted({*data, *meta} - every)
        if missing or unknown:
            raise ValueError(
                "register_dataclass: data_fields and meta_fields must name each field of "
                f"{nodetype.__name__} that its constructor takes; missing {missing} (name them in "
                f"drop_fields to leave them out), unknown {unknown}"
            )
    keys = [GetAttrKey(name) for name in data]

    def flatten(node: Any) -> tuple[list[Any], tuple[Any, ...]]:
        return (
            [getattr(node, name) for name in data],
            tuple([getattr(node, name) for name in meta]),
        )

    def flatten_with_keys(node: Any) -> tuple[list[tuple[KeyEntry, Any]], tuple[Any, ...]]:
        children, aux = flatten(node)
        return list(zip(keys, children, strict=True)), aux

    def unflatten(aux: tuple[Any, ...], children: Iterable[Any]) -> Any:
        return nodetype(
            **dict(zip(data, children, strict=True)), **dict(zip(meta, aux, strict=True))
        )

    register(nodetype, flatten, unflatten, flatten_with_keys)
    return nodetype


def register_static(cls: Class) -> Class:
    """Make the instances of a class nodes without children; a decorator.

    They are then a part of the structure: ``jit`` takes them as static arguments, recompiling when
    one differs.

    Parameters
    ----------
    cls : type
        A class whose instances hash and compare by value.

    Returns
    -------
    type
        `cls`.

    Raises
    ------
    ValueError
        If it is registered already.

    Examples
    --------
    >>> @register_static
    ... class Mode(str):
    ...     pass
    >>> tree_leaves((1.0, Mode("fast")))
    [1.0]
    """
    register(cls, lambda node: ((), node), lambda node, _: node)
    return cls


class _Boxed:
    """A callable that hides that it is a ``functools.partial``, which would be merged."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        inner = other.function if isinstance(other, _Boxed) else other
        return bool(self.function == inner)

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        return repr(self.function)


class Partial(functools.partial[Any]):
    """A ``functools.partial`` that is a pytree.

    The bound arguments are its children and the function is a part of the structure, so it can be
    passed into transformed functions.

    Parameters
    ----------
    func : callable
        The function; it must hash.
    *args, **kwargs : pytree
        The arguments to bind.

    Examples
    --------
    >>> import operator
    >>> add_one = Partial(operator.add, 1)
    >>> add_one(2)
    3
    >>> tree_map(lambda x: 10 * x, add_one)(2)
    12
    """

    def __new__(cls, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Partial:
        if isinstance(func, functools.partial):
            func = _Boxed(func)  # else its arguments would become children of this node
        return super().__new__(cls, func, *args, **kwargs)


register(
    Partial,
    lambda node: ((node.args, node.keywords), node.func),
    lambda func, xs: Partial(func, *xs[0], **xs[1]),
)
