"""Layers: the shapes they promise are those they return; a network learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit import random
from tracejit.example_libraries import optimizers, stax

KEY = random.key(1)
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "dense": (stax.Dense(5), (2, 3)),
    "conv": (stax.Conv(4, (3, 2), (2, 1), "SAME"), (2, 7, 6, 3)),
    "conv valid": (stax.Conv(4, (3, 2), (2, 1)), (2, 7, 6, 3)),
    "conv padded": (stax.Conv(4, (3, 2), (2, 1), [(1, 0), (2, 2)]), (2, 7, 6, 3)),
    "conv first": (stax.GeneralConv(("NCHW", "OIHW", "NCHW"), 4, (3, 2)), (2, 3, 7, 6)),
    "transposed": (stax.ConvTranspose(4, (3, 2), (2, 3), "SAME"), (2, 4, 3, 3)),
    "transposed valid": (stax.ConvTranspose(4, (3, 2), (2, 3)), (2, 4, 3, 3)),
    "batch norm": (stax.BatchNorm(), (2, 4, 3, 3)),
    "max": (stax.MaxPool((2, 2), (2, 1)), (2, 5, 4, 3)),
    "sum first": (stax.SumPool((2, 3), spec="NCHW"), (2, 3, 5, 4)),
    "mean": (stax.AvgPool((2, 2), padding="SAME"), (2, 5, 4, 3)),
    "flatten": (stax.Flatten, (2, 5, 4, 3)),
    "relu": (stax.Relu, (2, 3)),
    "softmax": (stax.LogSoftmax, (2, 3)),
    "shape": (stax.shape_dependent(lambda shape: stax.Dense(2 * shape[-1])), (2, 3)),
    "fan": (
        stax.serial(
            stax.FanOut(3),
            stax.parallel(stax.Dense(4), stax.Identity, stax.serial(stax.Dense(2), stax.Tanh)),
            stax.FanInConcat(),
        ),
        (2, 3),
    ),
    "sum": (stax.serial(stax.FanOut(2), stax.FanInSum), (2, 3)),
    "dropout": (stax.serial(stax.Dropout(0.5), stax.Dense(2)), (2, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_shapes(name: str) -> None:
    (init, apply), shape = LAYERS[name]
    promised, params = init(KEY, (-1, *shape[1:]))
    x = np.random.default_rng(0).normal(size=shape)
    out = tj.jit(lambda p, x: apply(p, x, rng=KEY))(params, x)
    assert out.shape == (shape[0], *promised[1:])
    assert promised[0] == -1
    assert np.isfinite(out).all()


def test_dropout() -> None:
    x = np.ones((100, 100))
    _, apply = stax.Dropout(0.8)
    out = np.asarray(apply((), x, rng=KEY))
    assert set(np.unique(out)) == {0.0, 1.25}
    assert abs(out.mean() - 1) < 0.02
    np.testing.assert_array_equal(stax.Dropout(0.8, mode="test")[1]((), x), x)
    with pytest.raises(TypeError, match="needs a key"):
        apply((), x)


def test_a_network_learns() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    init, apply = stax.serial(stax.Dense(16), stax.Tanh, stax.Dense(2), stax.LogSoftmax)
    _, params = init(KEY, (-1, 2))
    start, update, get = optimizers.adam(0.02)

    def loss(params: Any) -> Any:
        return -tnp.mean(tnp.take_along_axis(apply(params, x), y[:, None], 1))

    @tj.jit
    def step(i: Any, state: Any) -> Any:
        return update(i, tj.grad(loss)(get(state)), state)

    state = start(params)
    for i in range(200):
        state = step(i, state)
    right = np.argmax(np.asarray(apply(get(state), x)), 1) == y
    assert right.mean() > 0.95
