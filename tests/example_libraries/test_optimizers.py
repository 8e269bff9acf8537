"""Optimizers reach the minimum of a quadratic, in compiled loops too; JAX takes the same steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.example_libraries import optimizers
from tracejit.lax import fori_loop

TARGET = {"a": np.array([1.0, -2.0, 3.0]), "b": [np.array(0.5)]}
MAKERS: dict[str, tuple[Any, ...]] = {
    "sgd": (0.1,), "momentum": (0.03, 0.8), "nesterov": (0.03, 0.8), "adagrad": (0.5, 0.9),
    "rmsprop": (0.02,), "rmsprop_momentum": (0.005,), "adam": (0.1,), "adamax": (0.1,),
}  # fmt: skip


def loss(params: Any) -> Any:
    return tnp.sum((params["a"] - TARGET["a"]) ** 2) + 2 * (params["b"][0] - TARGET["b"][0]) ** 2


@pytest.mark.parametrize("name", MAKERS)
def test_minimum_of_a_quadratic(name: str) -> None:
    init, update, get = getattr(optimizers, name)(*MAKERS[name])
    state = init({"a": np.zeros(3), "b": [np.zeros(())]})
    step = lambda i, state: update(i, tj.grad(loss)(get(state)), state)
    end = get(tj.jit(lambda state: fori_loop(0, 1500, step, state))(state))
    np.testing.assert_allclose(end["a"], TARGET["a"], atol=0.03)
    np.testing.assert_allclose(end["b"][0], 0.5, atol=0.03)


@pytest.mark.parametrize("name", MAKERS)
def test_jax_takes_the_same_steps(name: str) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    theirs = pytest.importorskip("jax.example_libraries.optimizers")
    start = {"a": np.array([0.3, -1.0, 2.0]), "b": [np.array(-1.5)]}
    ends = []
    for of in (optimizers, theirs):
        init, update, get = getattr(of, name)(*MAKERS[name])
        state = init(start)
        for i in range(5):
            slope = tj.tree.map(np.asarray, tj.grad(loss)(tj.tree.map(np.asarray, get(state))))
            state = update(i, slope, state)
        ends.append(get(state))
    np.testing.assert_allclose(ends[0]["a"], ends[1]["a"], rtol=1e-9)
    np.testing.assert_allclose(ends[0]["b"][0], ends[1]["b"][0], rtol=1e-9)


def test_schedules() -> None:
    at = lambda schedule: [float(schedule(i)) for i in (0, 1, 4, 10)]
    np.testing.assert_allclose(at(optimizers.constant(2.0)), 2.0)
    np.testing.assert_allclose(
        at(optimizers.exponential_decay(2.0, 4, 0.5)), 2 * 0.5 ** (np.array([0, 1, 4, 10]) / 4)
    )
    np.testing.assert_allclose(
        at(optimizers.inverse_time_decay(2.0, 4, 3, staircase=True)), [2, 2, 0.5, 2 / 7]
    )
    np.testing.assert_allclose(
        at(optimizers.polynomial_decay(2.0, 4, 1.0, 2.0)), [2, 1.5625, 1, 1]
    )
    np.testing.assert_allclose(
        at(optimizers.piecewise_constant([0, 4], [3.0, 2.0, 1.0])), [3, 2, 2, 1]
    )
    with pytest.raises(ValueError, match="one value more"):
        optimizers.piecewise_constant([0], [1.0])
    with pytest.raises(TypeError, match="a scalar or a function"):
        optimizers.sgd(np.ones(3))


def test_gradients_are_clipped() -> None:
    tree = {"a": np.array([3.0, 0.0]), "b": np.array(4.0)}
    assert optimizers.l2_norm(tree) == 5.0
    clipped = optimizers.clip_grads(tree, 1.0)
    np.testing.assert_allclose(clipped["a"], [0.6, 0.0])
    np.testing.assert_allclose(optimizers.clip_grads(tree, 10.0)["b"], 4.0)
    zero = optimizers.clip_grads({"a": np.zeros(2)}, 1.0)
    np.testing.assert_array_equal(zero["a"], 0)


def test_single_precision_stays() -> None:
    init, update, _ = optimizers.adam(0.1)
    state = update(tnp.asarray(0), np.ones(3, "float32"), init(np.zeros(3, "float32")))
    assert all(x.dtype == np.float32 for x in tj.tree.leaves(state))
