"""Typed keys: what they are, and that every transformation takes them; JAX's where it is there."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit import lax, random, tree_util
from tracejit.core.keyarray import KeyArray
from tracejit.runtime.dispatch import MISS, make_dispatcher
from tracejit.runtime.executor import compiled
from tracejit.runtime.placement import HOST_BACKEND
from tracejit.transforms.stage import stage_tree

KEY = random.key(42)
RAW = random.PRNGKey(42)
KEYS = random.split(KEY, (3, 4))


def words(key: Any) -> Any:
    return np.asarray(random.key_data(key))


def same(one: Any, other: Any) -> None:
    """Check that trees of arrays and keys are equal, to the last bit."""
    ours, structure = tree_util.tree_flatten(one)
    theirs, other_structure = tree_util.tree_flatten(other)
    assert structure == other_structure
    for x, y in zip(ours, theirs, strict=True):
        assert isinstance(x, KeyArray) == isinstance(y, KeyArray)
        if isinstance(x, KeyArray):
            x, y = words(x), words(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_what_a_key_is() -> None:
    assert (KEY.shape, KEY.ndim, KEY.size, KEY.itemsize) == ((), 0, 1, 8)
    assert (KEYS.shape, KEYS.ndim, KEYS.size, KEYS.nbytes) == ((3, 4), 2, 12, 96)
    assert str(KEY.dtype) == KEY.dtype.name == "key<fry>"
    assert KEY.dtype == KEYS.dtype != np.dtype("uint32")
    assert repr(KEY) == "Array((), dtype=key<fry>) overlaying:\n[ 0 42]"
    for dtype, kind, wanted in (
        (KEY.dtype, tj.dtypes.prng_key, True),
        (KEY.dtype, tj.dtypes.extended, True),
        (KEY.dtype, np.integer, False),
        (RAW.dtype, tj.dtypes.prng_key, False),
    ):
        assert tj.dtypes.issubdtype(dtype, kind) is wanted
    assert RAW.shape == (2,)
    assert RAW.dtype == np.uint32
    assert (tnp.shape(KEYS), tnp.ndim(KEYS), tnp.size(KEYS, 1)) == ((3, 4), 2, 4)
    assert KEY.block_until_ready() is KEY
    assert KEY.device == RAW.device
    with pytest.raises(TypeError, match="unhashable"):
        hash(KEY)


@pytest.mark.parametrize("of", [pickle.loads, copy.copy, copy.deepcopy, KeyArray.copy])
def test_copies(of: Any) -> None:
    made = of(pickle.dumps(KEYS)) if of is pickle.loads else of(KEYS)
    same(made, KEYS)
    assert made.dtype is KEYS.dtype


EQUAL = {
    "itself": (lambda: random.key(42) == KEY, True),
    "another": (lambda: random.key(43) != KEY, True),
    "each": (lambda: KEYS[0] == KEYS[0, 1], [False, True, False, False]),
    "no key": (lambda: KEY == 3, False),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equality(name: str) -> None:
    call, wanted = EQUAL[name]
    np.testing.assert_array_equal(np.asarray(call()), wanted)


# The same of keys and, but for the last axis, of their words.
PARTS = {
    "int": lambda k: k[1],
    "negative": lambda k: k[-1],
    "ints": lambda k: k[1, 2],
    "slice": lambda k: k[::-1, 1:3],
    "ellipsis": lambda k: k[..., 1],
    "none": lambda k: k[None, :, None],
    "array": lambda k: k[np.array([2, 0])],
    "arrays": lambda k: k[np.array([2, 0]), np.array([1, 1])],
    "mask": lambda k: k[np.array([True, False, True])],
    "whole mask": lambda k: k[np.eye(3, 4, dtype=bool)],
    "whole": lambda k: k[...],
    "traced": lambda k: tj.jit(lambda k, i: k[i])(k, 1),
}
SHAPED = {
    "reshape": (lambda k: k.reshape(2, 6), (2, 6)),
    "reshape -1": (lambda k: k.reshape(-1, 2), (6, 2)),
    "reshape tuple": (lambda k: k.reshape((4, 3)), (4, 3)),
    "ravel": (lambda k: k.ravel(), (12,)),
    "flatten": (lambda k: k.flatten(), (12,)),
    "squeeze": (lambda k: k[None].squeeze(), (3, 4)),
    "squeeze axis": (lambda k: k[:, :, None].squeeze(-1), (3, 4)),
    "T": (lambda k: k.T, (4, 3)),
    "transpose": (lambda k: k[None].transpose(1, -1, 0), (3, 4, 1)),
    "swapaxes": (lambda k: k.swapaxes(-1, 0), (4, 3)),
    "take": (lambda k: k.take(np.array([5, 1])), (2,)),
    "take axis": (lambda k: k.take(np.array([3, 1, 1]), -1), (3, 3)),
    "tnp.reshape": (lambda k: tnp.reshape(k, (-1, 6)), (2, 6)),
    "tnp.ravel": (lambda k: tnp.ravel(k), (12,)),
    "tnp.squeeze": (lambda k: tnp.squeeze(k[None], 0), (3, 4)),
    "tnp.expand_dims": (lambda k: tnp.expand_dims(k, -1), (3, 4, 1)),
    "tnp.transpose": (lambda k: tnp.transpose(k), (4, 3)),
    "tnp.moveaxis": (lambda k: tnp.moveaxis(k, -1, 0), (4, 3)),
    "tnp.stack": (lambda k: tnp.stack([k, k], -1), (3, 4, 2)),
    "tnp.stack keys": (lambda k: tnp.stack(list(k)), (3, 4)),
    "tnp.concatenate": (lambda k: tnp.concatenate([k, k[:, :1]], -1), (3, 5)),
    "tnp.where": (lambda k: tnp.where(np.eye(3, 4) > 0, k, k[0, 0]), (3, 4)),
    "tnp.take": (lambda k: tnp.take(k, np.array([0, 2]), 1), (3, 2)),
    "tnp.broadcast_to": (lambda k: tnp.broadcast_to(k, (2, 3, 4)), (2, 3, 4)),
    "tnp.flip": (lambda k: tnp.flip(k, -1), (3, 4)),
    "tnp.asarray": (lambda k: tnp.asarray(k), (3, 4)),
    "tnp.asarray list": (lambda k: tnp.asarray([[k[0, 0]], [k[1, 1]]]), (2, 1)),
    "tnp.unstack": (lambda k: tnp.unstack(k, axis=-1)[2], (3,)),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_those_of_the_words(name: str) -> None:
    call: Any = PARTS[name]
    got = call(KEYS)
    assert type(got) is KeyArray
    numbers = np.arange(12).reshape(3, 4)
    wanted = words(KEYS).reshape(12, 2)[np.asarray(call(numbers))]
    np.testing.assert_array_equal(words(got), wanted)


@pytest.mark.parametrize("name", SHAPED)
def test_shapes_are_those_of_numbers(name: str) -> None:
    call, shape = SHAPED[name]
    got = call(KEYS)
    assert type(got) is KeyArray
    assert got.shape == shape
    at = np.asarray(call(tnp.arange(12).reshape(3, 4)))
    np.testing.assert_array_equal(words(got), words(KEYS).reshape(12, 2)[at])
    same(tj.jit(call)(KEYS), got)


def test_iteration() -> None:
    assert len(KEYS) == 3
    for row, key_row in zip(words(KEYS), KEYS, strict=True):
        np.testing.assert_array_equal(words(key_row), row)
    first, second = random.split(KEY)
    assert first.shape == second.shape == ()


# Functions of keys, one key or [3] of them, and what else they take.
CALLS: dict[str, Any] = {
    "split": lambda k: random.split(k, 3),
    "split shape": lambda k: random.split(k, (2, 3)),
    "fold_in": lambda k: random.fold_in(k, 7),
    "clone": random.clone,
    "key_data": random.key_data,
    "bits": lambda k: random.bits(k, (3,)),
    "uniform": lambda k: random.uniform(k, (3,)),
    "normal": lambda k: random.normal(k, (3,)),
    "complex normal": lambda k: random.normal(k, (3,), complex),
    "truncated_normal": lambda k: random.truncated_normal(k, -1.0, 2.0, (3,)),
    "randint": lambda k: random.randint(k, (3,), 0, 90),
    "bernoulli": lambda k: random.bernoulli(k, 0.4, (5,)),
    "rademacher": lambda k: random.rademacher(k, (5,)),
    "exponential": lambda k: random.exponential(k, (3,)),
    "categorical": lambda k: random.categorical(k, np.zeros((2, 5))),
    "permutation": lambda k: random.permutation(k, 8),
    "shuffle": lambda k: random.shuffle(k, np.arange(6).reshape(3, 2)),
    "choice": lambda k: random.choice(k, 10, (4,), replace=False),
    "wald": lambda k: random.wald(k, 2.0),
    "gamma": lambda k: random.gamma(k, np.array([0.3, 4.0])),
    "beta": lambda k: random.beta(k, 0.3, 4.0),
    "t": lambda k: random.t(k, 4.0),
    "dirichlet": lambda k: random.dirichlet(k, np.ones(3)),
    "ball": lambda k: random.ball(k, 3),
    "poisson": lambda k: random.poisson(k, np.array([0.3, 40.0])),
    "binomial": lambda k: random.binomial(k, 100, np.array([0.01, 0.5])),
    "geometric": lambda k: random.geometric(k, 0.2),
    "multinomial": lambda k: random.multinomial(k, 9, np.ones(3) / 3),
    "multivariate_normal": lambda k: random.multivariate_normal(k, np.zeros(2), np.eye(2)),
    "orthogonal": lambda k: random.orthogonal(k, 3),
}


def unwrapped(x: Any) -> Any:
    return random.key_data(x) if isinstance(x, KeyArray) else x


@pytest.mark.parametrize("name", CALLS)
def test_both_kinds_give_the_same(name: str) -> None:
    ours, raw = CALLS[name](KEY), CALLS[name](RAW)
    keeps_kind = name in ("split", "split shape", "fold_in", "clone")
    assert isinstance(ours, KeyArray) is keeps_kind
    assert not isinstance(raw, KeyArray)
    same(unwrapped(ours), raw)


@pytest.mark.parametrize("name", ["split", "fold_in", "normal", "gamma", "poisson", "permutation"])
def test_compiled_and_in_lanes(name: str) -> None:
    call = CALLS[name]
    rows = [[call(k) for k in row] for row in KEYS]
    wanted = [[np.asarray(unwrapped(x)) for x in row] for row in rows]
    got = tj.jit(tj.vmap(tj.vmap(call)))(KEYS)
    np.testing.assert_allclose(np.asarray(unwrapped(got)), np.array(wanted), rtol=1e-12)


def drawn(k: Any) -> Any:
    return random.normal(k, (2,))


ROW = KEYS[0]
TRANSFORMED: dict[str, tuple[Any, Any]] = {
    "jit to keys": (lambda: tj.jit(lambda k: [random.split(k)])(KEY), [random.split(KEY)]),
    "vmap over seeds": (
        lambda: tj.vmap(random.key)(np.arange(3)), tnp.stack([random.key(i) for i in range(3)])
    ),
    "custom_vmap": (
        lambda: tj.vmap(tj.custom_batching.sequential_vmap(drawn))(ROW),
        tnp.stack([drawn(k) for k in ROW]),
    ),
    "jit makes a key": (lambda: tj.jit(random.key)(42), KEY),
    "vmap last axis": (
        lambda: tj.vmap(lambda k: k[0], in_axes=-1)(KEYS), random.clone(KEYS[0])
    ),
    "vmap out_axes -1": (lambda: tj.vmap(lambda k: k, in_axes=0, out_axes=-1)(KEYS), KEYS.T),
    "vmap out_axes 1": (
        lambda: tj.vmap(lambda k: random.fold_in(k, 0), out_axes=0)(ROW),
        tnp.stack([random.fold_in(k, 0) for k in ROW]),
    ),
    "vmap shared": (
        lambda: tj.vmap(lambda k, i: random.fold_in(k, i), in_axes=(None, 0))(KEY, np.arange(3)),
        tnp.stack([random.fold_in(KEY, i) for i in range(3)]),
    ),
    "vmap returns shared": (
        lambda: tj.vmap(lambda x: KEY, out_axes=-1)(np.arange(3)), tnp.stack([KEY] * 3)
    ),
    "vmap of a tree": (
        lambda: tj.vmap(lambda t: t["k"], in_axes=({"k": -1, "x": None},))({"k": KEYS, "x": 1.0}),
        KEYS.T,
    ),
    "scan carries": (
        lambda: lax.scan(
            lambda k, _: (random.split(k)[0], drawn(random.split(k)[1])), KEY, None, 2
        ),
        (
            random.split(random.split(KEY)[0])[0],
            tnp.stack([drawn(random.split(k)[1]) for k in (KEY, random.split(KEY)[0])]),
        ),
    ),
    "scan over keys": (
        lambda: lax.scan(lambda c, k: (c + 1, random.fold_in(k, c)), 0, ROW),
        (tnp.asarray(4), tnp.stack([random.fold_in(k, i) for i, k in enumerate(ROW)])),
    ),
    "map": (lambda: lax.map(drawn, ROW), tnp.stack([drawn(k) for k in ROW])),
    "fori_loop": (
        lambda: lax.fori_loop(0, 2, lambda i, k: random.fold_in(k, i), KEY),
        random.fold_in(random.fold_in(KEY, 0), 1),
    ),
    "while_loop": (
        lambda: lax.while_loop(
            lambda s: s[0] < 2, lambda s: (s[0] + 1, random.fold_in(s[1], s[0])), (0, KEY)
        )[1],
        random.fold_in(random.fold_in(KEY, 0), 1),
    ),
    "cond": (
        lambda: tj.jit(
            lambda p: lax.cond(p, lambda k: random.split(k)[0], lambda k: random.fold_in(k, 1), KEY)
        )(False),
        random.fold_in(KEY, 1),
    ),
    "vmap of cond": (
        lambda: tj.vmap(
            lambda p, k: lax.cond(p, lambda k: random.split(k)[0], lambda k: k, k)
        )(np.array([False, True, False, False]), ROW),
        tnp.stack([ROW[0], random.split(ROW[1])[0], ROW[2], ROW[3]]),
    ),
    "vmap of scan": (
        lambda: tj.vmap(lambda k: lax.fori_loop(0, 2, lambda i, k: random.fold_in(k, i), k))(ROW),
        tnp.stack([random.fold_in(random.fold_in(k, 0), 1) for k in ROW]),
    ),
    "eval_shape": (
        lambda: tj.eval_shape(lambda k: random.split(k, 5), KEY).shape, (5,)
    ),
    "closure": (lambda: tj.jit(lambda x: x + drawn(KEY))(1.0), 1.0 + drawn(KEY)),
    "checkpoint": (
        lambda: tj.grad(tj.checkpoint(lambda x, k: tnp.sum(x * drawn(k))))(2.0, KEY),
        tnp.sum(drawn(KEY)),
    ),
    "device_put": (lambda: tj.device_put({"k": KEYS}), {"k": KEYS}),
}


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformations(name: str) -> None:
    call, wanted = TRANSFORMED[name]
    same(call(), wanted)


def energy(x: Any, k: Any) -> Any:
    return tnp.sum(tnp.sin(x) * drawn(k))


def test_derivatives_beside_keys() -> None:
    x = np.array([0.3, 0.4])
    wanted = np.cos(x) * np.asarray(drawn(KEY))
    np.testing.assert_allclose(tj.grad(energy)(x, KEY), wanted, rtol=1e-12)
    of_x, of_key = tj.jit(tj.grad(energy, argnums=(0, 1), allow_int=True))(x, KEY)
    np.testing.assert_allclose(of_x, wanted, rtol=1e-12)
    assert of_key.dtype == tj.dtypes.float0
    assert of_key.shape == ()
    _, pullback = tj.vjp(lambda k, x: (k, energy(x, k[0])), KEYS[0], x)
    of_keys, of_x = pullback((np.zeros(4, tj.dtypes.float0), 1.0))
    assert (of_keys.shape, of_keys.dtype) == ((4,), tj.dtypes.float0)
    np.testing.assert_allclose(of_x, np.cos(x) * np.asarray(drawn(KEYS[0, 0])), rtol=1e-12)
    (key, _), (none, t) = tj.jvp(
        lambda k, x: (k, energy(x, k)), (KEY, x), (np.zeros((), tj.dtypes.float0), np.ones(2))
    )
    same(key, KEY)
    assert (none.shape, none.dtype) == ((), tj.dtypes.float0)
    np.testing.assert_allclose(t, wanted.sum(), rtol=1e-12)
    lanes = tj.vmap(tj.grad(energy), in_axes=(None, 0))(x, KEYS[0])
    np.testing.assert_allclose(
        lanes, [np.cos(x) * np.asarray(drawn(k)) for k in KEYS[0]], rtol=1e-12
    )
    with pytest.raises(TypeError, match=r"k \(argument 1\) has dtype key<fry>; one cannot"):
        tj.grad(energy, argnums=1)(x, KEY)


@pytest.mark.parametrize("of_key", [lambda k: None, lambda k: np.zeros(k.shape, tj.dtypes.float0)])
def test_custom_rules_beside_keys(of_key: Any) -> None:
    @tj.custom_vjp
    def noisy(k: Any, x: Any) -> Any:
        return x * random.normal(k)

    noisy.defvjp(
        lambda k, x: (noisy(k, x), k), lambda k, ct: (of_key(k), 3 * ct * random.normal(k))
    )
    wanted = 3 * np.asarray(random.normal(KEY))
    np.testing.assert_allclose(tj.grad(noisy, argnums=1)(KEY, 2.0), wanted, rtol=1e-12)
    np.testing.assert_allclose(tj.jit(tj.grad(noisy, argnums=1))(KEY, 2.0), wanted, rtol=1e-12)

    @tj.custom_jvp
    def scaled(k: Any, x: Any) -> Any:
        return x * random.normal(k)

    @scaled.defjvp
    def scaled_jvp(primals: Any, tangents: Any) -> Any:
        k, x = primals
        return scaled(k, x), 3 * tangents[1] * random.normal(k)

    np.testing.assert_allclose(tj.grad(scaled, argnums=1)(KEY, 2.0), wanted, rtol=1e-12)


def test_users_see_leaves() -> None:
    tree = {"a": KEY, "b": [KEYS, 1.0]}
    leaves, structure = tree_util.tree_flatten(tree)
    assert [type(x) for x in leaves] == [KeyArray, KeyArray, float]
    assert structure == tree_util.tree_structure({"a": 0, "b": [0, 0]})
    same(tree_util.tree_unflatten(structure, leaves), tree)
    keys = tree_util.tree_unflatten(structure, random.split(KEY, 3))
    shapes = {"a": (2,), "b": [(), (3,)]}
    made = tree_util.tree_map(lambda k, s: random.normal(k, s), keys, shapes)
    assert made["b"][1].shape == (3,)
    paths = [tree_util.keystr(path) for path, _ in tree_util.tree_leaves_with_path(tree)]
    assert paths == ["['a']", "['b'][0]", "['b'][1]"]
    assert tree_util.all_leaves([KEY, 1])
    assert not tree_util.is_tree_node(KeyArray)
    assert tree_util.tree_leaves([KEY, (1, 2)], is_leaf=lambda x: type(x) is tuple)[1] == (1, 2)
    swapped = tj.tree.transpose(
        tree_util.tree_structure([0, 0]), None, [{"k": KEY, "x": 1}, {"k": KEYS[0, 0], "x": 2}]
    )
    same(swapped, {"k": [KEY, KEYS[0, 0]], "x": [1, 2]})


def test_dispatchers() -> None:
    """Calls that native code leaves to Python are answered by the generated function."""
    args = ({"k": KEY, "x": 1.0},)
    program, structure = stage_tree(lambda t: (random.split(t["k"]), t["x"] + 1), args, {})
    ready = compiled(program, None, (), HOST_BACKEND)
    dispatch = make_dispatcher(args, ready, structure, False)
    assert dispatch is not None
    same(dispatch(args), (random.split(KEY), tnp.asarray(2.0)))
    assert dispatch(({"k": RAW, "x": 1.0},)) is MISS


def test_repeated_calls() -> None:
    """From the second one on they may be native."""
    step = tj.jit(lambda k, xs: ({"k": random.fold_in(k, 1)}, [xs[0] + 1, None]))
    for number in range(4):
        key = random.key(number)
        for k in (key, random.key_data(key)):
            wanted = {"k": random.fold_in(k, 1)}, [tnp.asarray(number + 1.0), None]
            same(step(k, (float(number),)), wanted)


ERRORS: dict[str, tuple[Any, str]] = {
    "add": (lambda: KEY + 1, r"a key is no number.*shape \(\) and dtype key<fry>"),
    "radd": (lambda: np.float64(1) + KEY, "a key is no number|unsupported"),
    "array add": (lambda: tnp.ones(2) + KEY, "a key is no number"),
    "neg": (lambda: -KEYS, r"shape \(3, 4\)"),
    "less": (lambda: KEY < KEY, "a key is no number"),
    "bool": (lambda: bool(KEY), "a key is no number"),
    "lax": (lambda: lax.sin(KEY), "Draw numbers with it"),
    "sin": (lambda: tnp.sin(KEY), "Draw numbers with it"),
    "numpy": (lambda: np.asarray(KEY), "key_data"),
    "mixed": (lambda: tnp.stack([KEY, tnp.ones(())]), "keys throughout or numbers throughout"),
    "mixed where": (lambda: tnp.where(True, KEY, 0), "keys throughout or numbers throughout"),
    "batch": (lambda: random.normal(KEYS[0]), r"one key is needed; got keys of shape \(4,\).*vmap"),
    "raw batch": (lambda: random.bits(random.split(RAW, 3)), r"words of shape \(3, 2\).*vmap"),
    "split batch": (lambda: random.split(KEYS), r"split: one key is needed.*\(3, 4\)"),
    "number": (lambda: random.normal(3), r"keys are needed, made by tracejit.random.key\(seed\)"),
    "float words": (lambda: random.wrap_key_data(np.ones(2)), r"uint32 of shape \(\.\.\., 2\)"),
    "wrapped": (lambda: random.wrap_key_data(KEY), "got keys"),
    "seeds": (lambda: random.key(np.arange(3)), "integer scalar.*for several keys"),
    "key of a key": (lambda: random.key(KEY), "got a key"),
    "impl": (lambda: random.key(0, impl="rbg"), "threefry2x32.*got impl='rbg'"),
    "ravel": (lambda: tj.flatten_util.ravel_pytree([KEY, 1.0]), "keys are no numbers"),
    "swapped": (lambda: random.normal((2,), KEY), "got a key, which is the first argument"),
    "jacfwd": (lambda: tj.jacfwd(drawn)(KEY), r"has dtype key<fry>"),
    "set": (lambda: setattr(KEY, "words", RAW), "keys are immutable"),
    "len": (lambda: len(KEY), "one key"),
    "iter": (lambda: list(KEY), "one key"),
    "index": (lambda: KEYS[0, 0, 0], r"too many indices.*\(3, 4\)"),
    "reshape": (lambda: KEYS.reshape(5), "12 keys do not fit"),
    "axis": (lambda: KEYS.swapaxes(0, 2), "no axis 2"),
    "vmap one": (lambda: tj.vmap(drawn)(KEY), r"has shape \(\), so it has no axis 0"),
    "vmap axis": (lambda: tj.vmap(drawn, in_axes=1)(ROW), r"has shape \(4,\), so it has no axis 1"),
    "vmap out": (
        lambda: tj.vmap(lambda k: k, out_axes=1)(ROW), "has rank 1 with the axis of the samples"
    ),
    "scan one": (lambda: lax.scan(lambda c, k: (c, k), 0, KEY), "it is one key; split it"),
    "carry": (lambda: lax.fori_loop(0, 2, lambda i, k: random.key_data(k), KEY), "carry|body"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    call, what = ERRORS[name]
    with pytest.raises((TypeError, ValueError, IndexError), match=f"(?s){what}"):
        call()


def test_as_jax() -> None:
    jax = pytest.importorskip("jax")
    theirs, ours = jax.random.key(42), random.key(42)
    for call in (
        lambda lib, k: k,
        lambda lib, k: lib.random.split(k, 3),
        lambda lib, k: lib.random.split(k, (2, 3)),
        lambda lib, k: lib.random.fold_in(k, 7),
        lambda lib, k: lib.random.wrap_key_data(lib.random.key_data(k)),
        lambda lib, k: lib.vmap(lib.random.split)(lib.random.split(k, 3)),
        lambda lib, k: lib.vmap(lib.random.split, out_axes=-1)(lib.random.split(k, 3)),
        lambda lib, k: lib.vmap(lib.random.clone, -1, 1)(lib.random.split(k, (3, 4))[None]),
        lambda lib, k: lib.lax.scan(
            lambda c, x: (lib.random.fold_in(c, 1), x[::-1]), k, lib.random.split(k, (3, 4))
        ),
        lambda lib, k: lib.jit(lambda k: k[None])(k),
        lambda lib, k: lib.numpy.stack([k, k])[:, None].squeeze(),
        lambda lib, k: lib.tree.leaves({"a": k, "b": [lib.random.split(k)]}),
    ):
        mine, wanted = call(tj, ours), call(jax, theirs)
        pairs = zip(tree_util.tree_leaves(mine), jax.tree.leaves(wanted), strict=True)
        for x, y in pairs:
            assert (x.shape, str(x.dtype)) == (y.shape, str(y.dtype))
            np.testing.assert_array_equal(words(x), np.asarray(jax.random.key_data(y)))
    assert repr(ours) == repr(theirs)
    assert random.key_impl(ours) == jax.random.key_impl(theirs)
