"""Initializers: what they draw by their moments, and draw for draw against JAX where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import random
from tracejit.core.errors import ShapeError
from tracejit.nn import initializers

KEY = random.key(7)
SHAPE = (40, 60)
# name, arguments, variance
SCALED: list[tuple[str, float]] = [
    ("glorot_normal", 2 / 100), ("glorot_uniform", 2 / 100), ("he_normal", 2 / 40),
    ("he_uniform", 2 / 40), ("lecun_normal", 1 / 40), ("lecun_uniform", 1 / 40),
    ("xavier_normal", 2 / 100), ("kaiming_uniform", 2 / 40),
]  # fmt: skip


@pytest.mark.parametrize(("name", "variance"), SCALED)
def test_variance(name: str, variance: float) -> None:
    drawn = np.asarray(tj.jit(lambda key: getattr(initializers, name)()(key, SHAPE))(KEY))
    assert drawn.dtype == np.float64
    assert abs(drawn.mean()) < 5 * np.sqrt(variance / drawn.size)
    assert abs(drawn.var() / variance - 1) < 0.1
    bound = {"uniform": np.sqrt(3), "normal": 2 / 0.8796}[name.split("_")[1]]
    assert abs(drawn).max() <= bound * np.sqrt(variance) * 1.001


def test_modes_and_axes() -> None:
    make = initializers.variance_scaling
    for mode, count in (("fan_in", 4), ("fan_out", 900), ("fan_avg", 452), ("fan_geo_avg", 60)):
        drawn = make(1.0, mode, "normal", in_axis=0, out_axis=1)(KEY, (4, 900))
        assert abs(np.var(np.asarray(drawn)) * count - 1) < 0.1
    # 3 x 3 windows: each output has nine times as many inputs.
    drawn = make(1.0, "fan_in", "uniform")(KEY, (3, 3, 8, 30))
    assert abs(np.var(np.asarray(drawn)) * 72 - 1) < 0.1
    with pytest.raises(ValueError, match="fan_in"):
        make(1.0, "fan", "normal")
    with pytest.raises(ShapeError, match="at least 2 axes"):
        make(1.0, "fan_in", "normal")(KEY, (3,))


def test_constants() -> None:
    np.testing.assert_array_equal(initializers.zeros(KEY, (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(initializers.ones(KEY, (2,), "float32"), np.ones(2))
    np.testing.assert_array_equal(initializers.constant(3)(KEY, (2,), "int8"), [3, 3])
    drawn = np.asarray(initializers.truncated_normal(2.0)(KEY, (1000,), "float32"))
    assert drawn.dtype == np.float32
    assert 3 < abs(drawn).max() <= 4


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 3, 4), (4, 1)])
@pytest.mark.parametrize("axis", [-1, 0])
def test_orthogonal(shape: Any, axis: int) -> None:
    q = np.moveaxis(np.asarray(initializers.orthogonal(2.0, axis)(KEY, shape)), axis, -1)
    q = q.reshape(-1, shape[axis])
    small = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_delta_orthogonal() -> None:
    w = np.array(initializers.delta_orthogonal()(KEY, (3, 4, 2, 5)))
    np.testing.assert_allclose(w[1, 1] @ w[1, 1].T, np.eye(2), atol=1e-12)
    w[1, 1] = 0
    assert not w.any()


@pytest.mark.parametrize(
    "name", ["uniform", "normal", "truncated_normal", *(name for name, _ in SCALED)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jax_draws_the_same(name: str, dtype: str) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    ours = getattr(initializers, name)()(KEY, SHAPE, dtype)
    theirs = getattr(jax.nn.initializers, name)()(jax.random.key(7), SHAPE, dtype)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4 if dtype == "float32" else 1e-9, atol=1e-7)
