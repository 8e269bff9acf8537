"""Small networks learn the digits that scikit-learn packages, from fixed keys, in a few epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import tracejit as tj
import tracejit.numpy as tnp
from tracejit import lax, nn, random
from tracejit.example_libraries import optimizers

BATCH, TESTED = 64, 360


def data() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = (digits.images / 16.0 - 0.3).astype(np.float32)
    return images[order], digits.target.astype(np.int32)[order]


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    make = nn.initializers.he_normal()
    keys = random.split(random.key(0), len(shapes))
    return {n: make(k, s, tnp.float32) for k, (n, s) in zip(keys, shapes.items(), strict=True)}


CONVOLUTIONS = {"c1": (8, 1, 3, 3), "c2": (16, 8, 3, 3), "w1": (64, 32), "w2": (32, 10)}


def convolutional(p: Any, x: Any) -> Any:
    x = x[:, None]
    for name in ("c1", "c2"):
        x = nn.relu(lax.conv_general_dilated(x, p[name], (1, 1), "SAME"))
        x = lax.reduce_window(x, -np.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return nn.relu(x.reshape(x.shape[0], -1) @ p["w1"]) @ p["w2"]


HIDDEN = 32
RECURRENCE = {"wx": (8, 4 * HIDDEN), "wh": (HIDDEN, 4 * HIDDEN), "w2": (HIDDEN, 10)}


def recurrent(p: Any, x: Any) -> Any:
    def cell(carry: Any, row: Any) -> Any:
        h, c = carry
        i, f, g, o = tnp.split(row @ p["wx"] + h @ p["wh"], 4, axis=-1)
        c = nn.sigmoid(f + 1.0) * c + nn.sigmoid(i) * tnp.tanh(g)
        return (nn.sigmoid(o) * tnp.tanh(c), c), None

    start = tnp.zeros((x.shape[0], HIDDEN), tnp.float32)
    (h, _), _ = lax.scan(cell, (start, start), tnp.swapaxes(x, 0, 1))
    return h @ p["w2"]


def trained(
    network: Callable[[Any, Any], Any], p: Any, rate: float, epochs: int
) -> tuple[np.ndarray[Any, Any], float]:
    """Return the mean loss of each epoch, and the share of test images that are told right."""
    images, labels = data()
    start, update, get = optimizers.adam(rate)
    each = (len(labels) - TESTED) // BATCH

    def loss(p: Any, x: Any, y: Any) -> Any:
        log_p = nn.log_softmax(network(p, x))
        return -tnp.mean(tnp.sum(nn.one_hot(y, 10, dtype=tnp.float32) * log_p, axis=-1))

    def step(state: Any, item: Any) -> Any:
        i, x, y = item
        value, grads = tj.value_and_grad(loss)(get(state), x, y)
        return update(i, grads, state), value

    @tj.jit
    def epoch(state: Any, number: Any, x: Any, y: Any) -> Any:
        places = random.permutation(random.fold_in(random.key(1), number), len(y))
        places = places[: each * BATCH].reshape(each, BATCH)
        items = (number * each + tnp.arange(each), x[places], y[places])
        state, losses = lax.scan(step, state, items)
        return state, tnp.mean(losses)

    state, losses = start(p), []
    for number in range(epochs):
        state, value = epoch(state, number, images[TESTED:], labels[TESTED:])
        losses.append(value)
    guesses = np.argmax(network(get(state), tnp.asarray(images[:TESTED])), axis=-1)
    return np.asarray(losses), float(np.mean(guesses == labels[:TESTED]))


@pytest.mark.parametrize(
    ("network", "shapes", "rate", "wanted"),
    [(convolutional, CONVOLUTIONS, 4e-3, 0.95), (recurrent, RECURRENCE, 8e-3, 0.9)],
    ids=["convolutional", "recurrent"],
)
def test_digits_are_learned(
    network: Any, shapes: dict[str, tuple[int, ...]], rate: float, wanted: float
) -> None:
    losses, share = trained(network, drawn(shapes), rate, 10)
    assert losses[-1] < 0.2 * losses[0]
    assert share >= wanted


def test_training_is_repeatable() -> None:
    first, share = trained(recurrent, drawn(RECURRENCE), 8e-3, 2)
    again, same = trained(recurrent, drawn(RECURRENCE), 8e-3, 2)
    np.testing.assert_array_equal(first, again)
    assert share == same
