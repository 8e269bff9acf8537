"""The front end of devices over the CUDA backend, its kernels run by the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import DeviceError, DonatedError

X = np.arange(6.0).reshape(2, 3)


pytestmark = pytest.mark.usefixtures("simulated_cuda")


def same(x: Any, y: Any, device: str = "cuda:0") -> None:
    assert x.device == device
    np.testing.assert_allclose(np.asarray(x), y, rtol=1e-13)


def test_eager_operations() -> None:
    x = tracejit.device_put(X, "cuda:1")
    before = tracejit.counters()["eager_compiled"]
    for found, expected in (
        (2.0 * x - X, X),
        (x @ x.T, X @ X.T),
        (tnp.where(X > 2, x, 0.0), np.where(X > 2, X, 0)),
        (tnp.concatenate([x, X]), np.concatenate([X, X])),
        (tnp.tril(x), np.tril(X)),
        (tnp.argsort(-x, axis=1), np.argsort(-X, axis=1)),
        (x[1], X[1]),
        (x[np.array([1, 0])], X[[1, 0]]),
        (x.at[0, 1].set(9.0), [[0, 9, 2], [3, 4, 5]]),
        (tnp.linalg.inv(x[:, :2] + np.eye(2)), np.linalg.inv(X[:, :2] + np.eye(2))),
        (np.sin(x).sum(axis=0), np.sin(X).sum(0)),
        (tnp.cumsum(x, 1), np.cumsum(X, 1)),
        (x.astype(tnp.bfloat16).astype(float), X),
    ):
        same(found, expected, "cuda:1")
    # The scan alone: the array library's sums of floats differ from run to run.
    assert tracejit.counters()["eager_compiled"] == before + 1
    with pytest.raises(DeviceError):
        x + tracejit.device_put(X, "cuda")


def test_jit_and_derivatives() -> None:
    w = tracejit.device_put(np.linspace(0, 1, 3), "cuda:1")

    def loss(x: Any) -> Any:
        return tnp.sum(tnp.tanh(x * w) ** 2)

    x = tracejit.device_put(X, "cuda:1")
    want = tracejit.grad(lambda v: tnp.sum(tnp.tanh(v * np.linspace(0, 1, 3)) ** 2))(tnp.asarray(X))
    for f in (tracejit.grad(loss), tracejit.jit(tracejit.grad(loss))):
        for _ in range(3):
            same(f(x), want, "cuda:1")
    same(tracejit.jit(loss)(X), np.sum(np.tanh(X * np.linspace(0, 1, 3)) ** 2), "cuda:1")
    same(tracejit.jit(tnp.sin, device="cuda")(X), np.sin(X))
    lowered = tracejit.jit(loss).lower(x)
    assert "__global__" in lowered.text("cuda")
    assert "__global__" in lowered.compile().text()


def test_loops() -> None:
    x = tracejit.device_put(X, "cuda")
    same(lax.fori_loop(0, 3, lambda i, v: v * 2.0 + X, x), 15 * X)
    carry, ys = lax.scan(lambda c, row: (c + row, c), np.zeros(3), x)
    same(carry, X.sum(0))
    same(ys, [np.zeros(3), X[0]])


def test_donation() -> None:
    f = tracejit.jit(lambda x: x + 1.0, donate_argnums=0)
    x = tracejit.device_put(X, "cuda")
    where = x.__cuda_array_interface__["data"]
    f(x)  # others may read it
    same(x, X)
    del x
    y = tracejit.device_put(X, "cuda")
    view = y[:1]
    same(f(y), X + 1)
    same(y, X)
    same(view, X[:1])
    del view
    same(f(y), X + 1)
    with pytest.raises(DonatedError):
        y + 1.0
    assert where


def test_exchange() -> None:
    x = tracejit.device_put(X, "cuda:1")
    assert x.__dlpack_device__() == (2, 1)
    np.testing.assert_array_equal(np.from_dlpack(x, device="cpu"), X)
    again = tnp.asarray(x.buf)  # what the backend's library would hand over
    same(again, X, "cuda:1")
    assert again.buf is x.buf or again.__cuda_array_interface__ == x.__cuda_array_interface__
    before = tracejit.counters()["compiled"]
    tracejit.jit(lambda x: x * 3.0 + 1.0)(x)
    assert tracejit.counters()["compiled"] == before + 1
    x.block_until_ready()
