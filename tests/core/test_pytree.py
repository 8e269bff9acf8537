"""Pytrees: flattening, structures, registration, paths and prefixes."""

from __future__ import annotations

import collections
import copy
import dataclasses
import doctest
import functools
import gc
import importlib
import operator
import pickle
import threading
import time
import weakref
from typing import Any, NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tracejit import tree, tree_util
from tracejit.core import pytree, treedef, usertree
from tracejit.core.pytree import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    Partial,
    PyTreeDef,
    SequenceKey,
    all_leaves,
    broadcast_prefix,
    equality_errors,
    flatten_axes,
    is_tree_node,
    keystr,
    prefix_errors,
    register_dataclass,
    register_pytree_node,
    register_pytree_node_class,
    register_pytree_with_keys,
    register_pytree_with_keys_class,
    register_static,
    tree_all,
    tree_broadcast,
    tree_flatten,
    tree_flatten_with_path,
    tree_leaves,
    tree_leaves_with_path,
    tree_map,
    tree_map_with_path,
    tree_reduce,
    tree_reduce_associative,
    tree_structure,
    tree_transpose,
    tree_unflatten,
    treedef_children,
    treedef_is_leaf,
    treedef_tuple,
)


class Point(NamedTuple):
    x: Any
    y: Any


class MyList(list):  # type: ignore[type-arg]
    pass


class MyDict(dict):  # type: ignore[type-arg]
    pass


class Pair:
    """A node registered without keys."""

    def __init__(self, left: Any, right: Any, tag: Any = None) -> None:
        self.left, self.right, self.tag = left, right, tag


register_pytree_node(
    Pair, lambda p: ((p.left, p.right), p.tag), lambda tag, xs: Pair(xs[0], xs[1], tag)
)


@register_pytree_node_class
class Scaled:
    def __init__(self, array: Any, power: Any) -> None:
        self.array, self.power = array, power

    def tree_flatten(self) -> Any:
        return (self.array,), self.power

    @classmethod
    def tree_unflatten(cls, power: Any, children: Any) -> Any:
        return cls(*children, power)


@register_pytree_with_keys_class
class Box:
    def __init__(self, inside: Any) -> None:
        self.inside = inside

    def tree_flatten_with_keys(self) -> Any:
        return ((GetAttrKey("inside"), self.inside),), None

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Any:
        return cls(*children)


@register_dataclass
@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    width: int = dataclasses.field(default=3, metadata={"static": True})


@register_static
@dataclasses.dataclass(frozen=True)
class Mode:
    name: str


FLATTENED = [
    (1, [1], "*"),
    (None, [], "None"),
    ((), [], "()"),
    ([], [], "[]"),
    ({}, [], "{}"),
    ((1,), [1], "(*,)"),
    ((1, [2, (3,)]), [1, 2, 3], "(*, [*, (*,)])"),
    ([1, None, 2], [1, 2], "[*, None, *]"),
    ({"b": 1, "a": {"d": 2, "c": 3}}, [3, 2, 1], "{'a': {'c': *, 'd': *}, 'b': *}"),
    ({2: "x", 1: "y"}, ["y", "x"], "{1: *, 2: *}"),
    (Point(1, [2]), [1, 2], "CustomNode(namedtuple[Point], [*, [*]])"),
    (
        collections.OrderedDict(b=1, a=2),
        [1, 2],
        "CustomNode(OrderedDict[('b', 'a')], [*, *])",
    ),
    (
        collections.defaultdict(list, b=1, a=2),
        [2, 1],
        "CustomNode(defaultdict[(<class 'list'>, ('a', 'b'))], [*, *])",
    ),
    (Pair(1, 2, "t"), [1, 2], "CustomNode(Pair[t], [*, *])"),
    (Layer(1, 2, 5), [1, 2], "CustomNode(Layer[(5,)], [*, *])"),
]


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Pair | Scaled | Box):
        return _same(vars(one), vars(other))
    return bool(one == other)


@pytest.mark.parametrize(("value", "leaves", "text"), FLATTENED, ids=[t for _, _, t in FLATTENED])
def test_flatten(value: Any, leaves: list[Any], text: str) -> None:
    got, structure = tree_flatten(value)
    assert got == leaves
    assert repr(structure) == f"PyTreeDef({text})"
    assert structure.num_leaves == len(leaves)
    assert tree_leaves(value) == leaves
    assert tree_structure(value) is structure
    assert _same(tree_unflatten(structure, leaves), value)
    assert _same(structure.unflatten(iter(leaves)), value)
    assert [leaf for _, leaf in tree_leaves_with_path(value)] == leaves
    assert tree_flatten_with_path(value)[1] is structure
    assert tree_flatten(value, is_leaf=lambda _: False) == (leaves, structure)
    assert pickle.loads(pickle.dumps(structure)) is structure
    assert copy.deepcopy(structure) is structure
    assert copy.copy(structure) is structure
    assert {structure: 1}[tree_structure(value)] == 1


@pytest.mark.parametrize(
    "leaf",
    [
        MyList([1, 2]),
        MyDict(a=1),
        collections.deque([1]),
        collections.Counter("aab"),
        time.gmtime(0),
        {1, 2},
        "text",
        np.ones(3),
        range(3),
        functools.partial(print, 1),
    ],
    ids=lambda leaf: type(leaf).__name__,
)
def test_leaves_that_look_like_nodes(leaf: Any) -> None:
    (got,), structure = tree_flatten(leaf)
    assert got is leaf
    assert structure is tree_structure(0)
    assert all_leaves([leaf])
    assert not is_tree_node(type(leaf))


def test_unflatten_does_not_keep_the_list_of_leaves() -> None:
    leaves, structure = tree_flatten([1, 2])
    rebuilt = structure.unflatten(leaves)
    rebuilt.append(3)
    assert leaves == [1, 2]


def test_a_default_factory_survives() -> None:
    rebuilt = tree_map(lambda x: x, collections.defaultdict(list, a=1))
    assert rebuilt["new"] == []


@pytest.mark.parametrize(
    ("leaves", "word"), [([1], "too few leaves"), ([1, 2, 3], "too many leaves")]
)
def test_unflatten_counts(leaves: list[int], word: str) -> None:
    with pytest.raises(ValueError, match=rf"{word} for PyTreeDef\(\(\*, \[\*\]\)\); expected 2"):
        tree_unflatten(tree_structure((0, [0])), leaves)


def test_dict_keys_must_sort() -> None:
    with pytest.raises(ValueError, match=r"keys of a dict must be sortable; got \[1, 'a'\]"):
        tree_flatten({1: 0, "a": 0})


def test_is_leaf() -> None:
    value = [1, (2, 3), {"a": None}]
    leaves, structure = tree_flatten(value, is_leaf=lambda x: x is None or isinstance(x, tuple))
    assert leaves == [1, (2, 3), None]
    assert structure is tree_structure([1, 2, {"a": 3}])
    assert tree_leaves(value, is_leaf=lambda x: True) == [value]


def test_interning_is_weak_and_survives_collection() -> None:
    class Closure:
        def __call__(self) -> None: ...

    before = len(treedef._table)
    function = Closure()
    watch = weakref.ref(function)
    structure: Any = tree_structure(Partial(function, 1))
    assert structure is tree_structure(Partial(function, 2))
    del function, structure
    gc.collect()
    assert watch() is None
    assert len(treedef._table) <= before + 2  # the tuple and dict of Partial's arguments


def test_interning_from_threads() -> None:
    size, found, barrier = 8, [], threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        found.append([tree_structure(Pair(0, i, i)) for i in range(200)])

    threads = [threading.Thread(target=work) for _ in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for column in zip(*found, strict=True):
        assert len({id(structure) for structure in column}) == 1


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0.0, -0.0), ((1, 2), (1, 2.0)), ("a", b"a")]
)
def test_aux_data_that_python_calls_equal_stays_apart(one: Any, other: Any) -> None:
    first, second = tree_structure(Pair(0, 0, one)), tree_structure(Pair(0, 0, other))
    assert first is not second
    assert first != second
    assert repr(first.unflatten([0, 0]).tag) == repr(one)
    assert repr(second.unflatten([0, 0]).tag) == repr(other)
    assert first is tree_structure(Pair(1, 1, one))


def test_aux_data_that_does_not_hash() -> None:
    value = [Pair(1, 2, ["unhashable"])]
    structure = tree_structure(value)
    assert structure == tree_structure([Pair(3, 4, ["unhashable"])])
    assert structure != tree_structure([Pair(3, 4, ["other"])])
    assert structure != tree_structure([Pair(3, 4, "other")])
    assert structure != 3
    with pytest.raises(TypeError, match="does not hash; return a hashable value"):
        hash(structure)
    (total,) = tree_map(operator.add, value, [Pair(10, 20, ["unhashable"])])
    assert (total.left, total.right, total.tag) == (11, 22, ["unhashable"])


def test_aux_data_that_is_an_array() -> None:
    array = np.arange(3)
    total = tree_map(operator.add, Pair(1, 2, array), Pair(10, 20, array))
    assert total.tag is array
    with pytest.raises(ValueError, match="tree 1 has a Pair with 2 children and metadata array"):
        tree_map(operator.add, Pair(1, 2, array), Pair(10, 20, array.copy()))


def test_a_structure_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match="made by tree_structure"):
        PyTreeDef()


def test_structure_methods() -> None:
    structure = tree_structure({"a": (1, 2), "b": None})
    assert structure.num_leaves == 2
    assert structure.num_nodes == 5
    assert structure.node_data() == (dict, ("a", "b"))
    assert tree_structure(1).node_data() is None
    assert treedef_children(structure) == [tree_structure((1, 2)), tree_structure(None)]
    assert treedef_tuple(treedef_children(structure)) is tree_structure(((1, 2), None))
    assert structure.compose(tree_structure([0])) is tree_structure({"a": ([1], [2]), "b": None})
    assert structure.flatten_up_to({"a": ([1], {"x": 2}), "b": None}) == [[1], {"x": 2}]
    assert [treedef_is_leaf(tree_structure(x)) for x in (1, None, (), (1,))] == [
        True,
        True,
        True,
        False,
    ]


def test_map_over_prefixes() -> None:
    assert tree_map(lambda x, y: (x, y), [1, None], [{"q": 3}, None]) == [(1, {"q": 3}), None]
    assert tree_map(operator.add, {"a": 1, "b": (2,)}, {"b": (20,), "a": 10}) == {
        "a": 11,
        "b": (22,),
    }
    assert tree_map(lambda x, y: y, [None], [5], is_leaf=lambda x: x is None) == [5]


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (
            {"a": 1, "b": [1, 2]},
            {"a": 1, "b": [1, 2, 3]},
            r"at \['b'\]: tree 1 has a list of length 2 where tree 2 has a list of length 3",
        ),
        ({"a": 1}, {"b": 1}, r"at the root: tree 1 has a dict with keys 'a' where .* keys 'b'"),
        ([1], 2, r"at the root: tree 1 has a list of length 1 where tree 2 has a leaf"),
        ((1, None), (1, 2), r"at \[1\]: tree 1 has None where tree 2 has a leaf"),
        (Point(1, [1]), Point(1, (1,)), r"at \.y: tree 1 has a list"),
        (Layer(1, 2, 3), Layer(1, 2, 4), r".* metadata \(3,\) where .* metadata \(4,\)"),
        ([Box(())], [Box([])], r"at \[0\]\.inside: tree 1 has a tuple of length 0"),
        ({"a": 1}, collections.OrderedDict(a=1), r".* a dict .* an OrderedDict with 1 child"),
    ],
)
def test_map_names_the_place_of_a_mismatch(one: Any, other: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"tree_map: the trees differ {message}"):
        tree_map(lambda x, y: x, one, other)


def test_reductions() -> None:
    value = {"a": 1, "b": (2, 3), "c": None}
    assert tree_reduce(operator.add, value) == 6
    assert tree_reduce(lambda total, x: [*total, x], value, []) == [1, 2, 3]
    assert tree_reduce(operator.add, None, 7) == 7
    assert tree_reduce(operator.add, [None], None) is None
    assert tree_reduce_associative(operator.add, value) == 6
    assert tree_reduce_associative(operator.add, (), identity=0) == 0
    for reduce in (tree_reduce, tree_reduce_associative):
        with pytest.raises(TypeError, match="a tree without leaves needs an"):
            reduce(operator.add, ())
    assert tree_all([True, (1,)])
    assert tree_all(())
    assert not tree_all([True, {"a": 0}])


def test_transpose() -> None:
    value = {"a": (1, [2, 3]), "b": (4, [5, 6])}
    outer, inner = tree_structure({"a": 0, "b": 0}), tree_structure((0, [0, 0]))
    expected = ({"a": 1, "b": 4}, [{"a": 2, "b": 5}, {"a": 3, "b": 6}])
    assert tree_transpose(outer, inner, value) == expected
    assert tree_transpose(outer, None, value) == expected
    with pytest.raises(TypeError, match=r"expected the structure .*, got PyTreeDef\(\[\*\]\)"):
        tree_transpose(outer, inner, [1])
    with pytest.raises(TypeError, match="give inner_treedef"):
        tree_transpose(tree_structure(()), None, ())


def test_all_leaves() -> None:
    assert all_leaves([1, "a"])
    assert not all_leaves([1, None])
    assert all_leaves([1, None], is_leaf=lambda x: x is None)


def test_registered_class_takes_children_as_a_tuple() -> None:
    seen = []

    class Node: ...

    register_pytree_node(Node, lambda n: ([1, (2,)], "aux"), lambda aux, xs: seen.append(xs))
    tree_map(lambda x: x, Node())
    assert seen == [(1, (2,))]


def test_registering_twice() -> None:
    for type_ in (Pair, tuple, collections.OrderedDict):
        with pytest.raises(ValueError, match="already registered"):
            register_pytree_node(type_, lambda p: ((), None), lambda aux, xs: xs)
    with pytest.raises(TypeError, match="only a type can be registered"):
        register_pytree_node(3, lambda p: ((), None), lambda aux, xs: xs)  # type: ignore[arg-type]


def test_registering_after_use_and_a_named_tuple() -> None:
    class Late: ...

    class Named(NamedTuple):
        x: int

    assert tree_leaves(Late()) != []
    assert tree_leaves(Named(1)) == [1]
    register_pytree_node(Late, lambda n: ((), None), lambda aux, xs: Late())
    register_pytree_node(Named, lambda n: ((), n), lambda n, xs: n)
    assert tree_leaves([Late(), Named(1)]) == []


def test_class_registration() -> None:
    rebuilt = tree_map(lambda x: 2 * x, Scaled(4, 3))
    assert (rebuilt.array, rebuilt.power) == (8, 3)
    assert tree_map(lambda x: 2 * x, Box(4)).inside == 8
    register_pytree_with_keys(
        Keyed := type("Keyed", (), {}),
        lambda k: ([(DictKey("one"), 1)], None),
        lambda aux, xs: xs,
        lambda k: ([1], None),
    )
    assert tree_leaves_with_path(Keyed()) == [((DictKey("one"),), 1)]


def test_dataclass() -> None:
    assert tree_map(lambda x: 2 * x, Layer(1, 2, 5)) == Layer(2, 4, 5)
    assert tree_structure(Layer(1, 2, 5)) is not tree_structure(Layer(1, 2, 6))

    @register_dataclass
    @dataclasses.dataclass
    class Derived:
        a: int
        twice: int = dataclasses.field(init=False)

        def __post_init__(self) -> None:
            self.twice = 2 * self.a

    assert tree_leaves(Derived(3)) == [3]
    assert tree_map(lambda x: x + 1, Derived(3)).twice == 8

    @functools.partial(register_dataclass, data_fields=["b"], meta_fields=[], drop_fields=["a"])
    @dataclasses.dataclass
    class Dropped:
        a: int = 1
        b: int = 2
        c: int = dataclasses.field(default=0, init=False)

    assert tree_map(lambda x: 10 * x, Dropped(5, 6)) == Dropped(1, 60)

    @dataclasses.dataclass
    class Plain:
        a: int
        b: int

    with pytest.raises(ValueError, match=r"missing \['b'\].*unknown \['z'\]"):
        register_dataclass(Plain, ["a", "z"], [])
    with pytest.raises(TypeError, match="both data_fields and meta_fields, or neither"):
        register_dataclass(Plain, ["a", "b"])
    with pytest.raises(TypeError, match="for a dataclass only"):
        register_dataclass(object)


def test_static() -> None:
    assert tree_leaves([Mode("a"), 1]) == [1]
    assert tree_structure(Mode("a")) is tree_structure(Mode("a"))
    assert tree_structure(Mode("a")) != tree_structure(Mode("b"))
    assert tree_map(lambda x: x, Mode("a")) == Mode("a")


def test_partial() -> None:
    partial = Partial(operator.add, 1)
    assert partial(2) == 3
    assert tree_map(lambda x: 10 * x, partial)(2) == 12
    assert tree_structure(partial) is tree_structure(Partial(operator.add, 5))
    assert tree_structure(partial) is not tree_structure(Partial(operator.sub, 5))
    inner = functools.partial(operator.sub, 10)
    outer = Partial(inner, 3)
    assert outer() == 7
    assert tree_leaves(outer) == [3]
    assert tree_structure(outer) is tree_structure(Partial(inner, 4))
    assert tree_map(lambda x: x + 1, Partial(dict, a=1))() == {"a": 2}
    assert [keystr(p) for p, _ in tree_leaves_with_path(Partial(dict, 1, a=2))] == [
        "[<flat index 0>][0]",
        "[<flat index 1>]['a']",
    ]


def test_paths() -> None:
    value = {"a": [Point(1, Pair(2, 3))], "b": collections.OrderedDict(z=Layer(4, 5))}
    paths = [path for path, _ in tree_leaves_with_path(value)]
    assert paths == [
        (DictKey("a"), SequenceKey(0), GetAttrKey("x")),
        (DictKey("a"), SequenceKey(0), GetAttrKey("y"), FlattenedIndexKey(0)),
        (DictKey("a"), SequenceKey(0), GetAttrKey("y"), FlattenedIndexKey(1)),
        (DictKey("b"), DictKey("z"), GetAttrKey("weight")),
        (DictKey("b"), DictKey("z"), GetAttrKey("bias")),
    ]
    assert keystr(paths[1]) == "['a'][0].y[<flat index 0>]"
    assert keystr(paths[1], simple=True, separator="/") == "a/0/y/0"
    assert keystr(()) == ""
    assert keystr(("own",), simple=True) == "own"
    assert DictKey(1) != FlattenedIndexKey(1)
    assert len({DictKey("a"), DictKey("a")}) == 1
    assert pickle.loads(pickle.dumps(paths)) == paths


def test_map_with_path() -> None:
    value = {"a": 1, "b": (2, 3)}
    named = tree_map_with_path(lambda path, x, y: (keystr(path), x, y), value, value)
    assert named == {"a": ("['a']", 1, 1), "b": (("['b'][0]", 2, 2), ("['b'][1]", 3, 3))}
    stopped = tree_map_with_path(
        lambda path, x: x, value, is_leaf=lambda path, x: len(path) == 1, is_leaf_takes_path=True
    )
    assert stopped == value
    with pytest.raises(ValueError, match=r"tree_map_with_path: the trees differ at \['b'\]"):
        tree_map_with_path(lambda path, x, y: x, value, {"a": 1, "b": 2})


def test_broadcast_prefix() -> None:
    full = (1, {"a": 2, "b": [3, 4]}, None)
    assert broadcast_prefix(7, full) == [7, 7, 7, 7]
    assert broadcast_prefix((0, 1, 2), full) == [0, 1, 1, 1]
    assert broadcast_prefix((0, {"a": 1, "b": 2}, None), full) == [0, 1, 2, 2]
    assert tree_broadcast((0, 1, 2), full) == (0, {"a": 1, "b": [1, 1]}, None)
    with pytest.raises(ValueError, match=r"prefix_tree\[1\]: .* has None where .* a dict with"):
        broadcast_prefix((0, None, None), full)


def test_flatten_axes() -> None:
    structure = tree_structure((1, {"a": 2, "b": 3}, None))
    assert flatten_axes("in_axes", structure, None) == [None, None, None]
    assert flatten_axes("in_axes", structure, (0, {"a": None, "b": 1}, None)) == [0, None, 1]
    with pytest.raises(ValueError, match=r"in_axes\[1\]: .* keys 'a' where .* keys 'a', 'b'"):
        flatten_axes("in_axes", structure, (0, {"a": 1}, None))
    with pytest.raises(ValueError, match=r"in_axes: .* a list of length 3 where .* a tuple of"):
        flatten_axes("in_axes", structure, [0, 0, None])


def test_prefix_errors_are_all_found() -> None:
    errors = prefix_errors(([1], {"a": ()}), ((1,), {"a": [2]}), "in_axes")
    assert [str(error).partition(":")[0] for error in errors] == ["in_axes[0]", "in_axes[1]['a']"]
    assert prefix_errors((1, 2), (1, [2])) == []


def test_equality_errors() -> None:
    assert equality_errors((1, [2]), (3, [4])) == []
    assert equality_errors((1, 2), (3, [4])) == [
        ((SequenceKey(1),), "a leaf", "a list of length 1")
    ]
    assert equality_errors((1, [2]), (3, 4)) == [
        ((SequenceKey(1),), "a list of length 1", "a leaf")
    ]


def test_facades_are_the_same_functions() -> None:
    for name in tree.__all__:
        assert getattr(tree, name) is getattr(tree_util, f"tree_{name}")
    for name in tree_util.__all__:
        where = usertree if name in usertree.__all__ else pytree
        assert getattr(tree_util, name) is getattr(where, name)


@pytest.mark.parametrize(
    "name", ["pytree", "treedef", "treekeyed", "treenodes", "treepath", "treeprefix"]
)
def test_examples(name: str) -> None:
    module = importlib.import_module(f"tracejit.core.{name}")
    names = {**vars(pytree), **vars(module)}
    failed, _ = doctest.testmod(module, extraglobs=names)
    assert failed == 0


trees = st.recursive(
    st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3)
    | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    | st.builds(Point, inner, inner)
    | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3).map(collections.OrderedDict),
    max_leaves=12,
)


@given(trees)
def test_round_trip(value: Any) -> None:
    leaves, structure = tree_flatten(value)
    assert structure.unflatten(leaves) == value
    assert structure.num_leaves == len(leaves)
    assert tree_structure(copy.deepcopy(value)) is structure
    assert pickle.loads(pickle.dumps(structure)) is structure
    assert equality_errors(value, value) == []
    assert broadcast_prefix(value, value) == leaves
    with_path, same = tree_flatten_with_path(value)
    assert same is structure
    assert len({path for path, _ in with_path}) == len(leaves)


@given(trees, trees)
def test_prefixes_agree_with_flatten_up_to(one: Any, other: Any) -> None:
    structure = tree_structure(one)
    try:
        structure.flatten_up_to(other)
    except ValueError:
        assert prefix_errors(one, other)
        assert equality_errors(one, other)
        assert structure is not tree_structure(other)
    else:
        assert not prefix_errors(one, other)
        same = structure is tree_structure(other)
        assert bool(equality_errors(one, other)) is not same


@given(trees)
def test_against_jax(value: Any) -> None:
    jax_tree_util = pytest.importorskip("jax.tree_util")
    leaves, structure = tree_flatten(value)
    theirs, their_structure = jax_tree_util.tree_flatten(value)
    assert leaves == theirs
    assert repr(structure) == repr(their_structure)
    assert (structure.num_leaves, structure.num_nodes) == (
        their_structure.num_leaves,
        their_structure.num_nodes,
    )
    ours = [keystr(path) for path, _ in tree_leaves_with_path(value)]
    paths = jax_tree_util.tree_flatten_with_path(value)[0]
    assert ours == [jax_tree_util.keystr(path) for path, _ in paths]
