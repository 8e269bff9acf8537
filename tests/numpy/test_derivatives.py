"""Derivatives of compositions against central differences, and vmap against a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit.transforms.api import grad, vmap

RNG = np.random.default_rng(1)
X = RNG.uniform(0.3, 2.0, size=(3, 4))
A = RNG.normal(size=(4, 4)) + 4 * np.eye(4)
V = RNG.normal(size=4)

FUNCTIONS: dict[str, Any] = {
    "mean": lambda x: tnp.mean(x * x),
    "var": lambda x: tnp.var(x, axis=0, ddof=1),
    "std": lambda x: tnp.std(x, axis=1),
    "norm": lambda x: tnp.linalg.norm(x, axis=1),
    "power": lambda x: x**2.5 + x**3 + 2.0**x + x**-2,
    "remainder": lambda x: tnp.remainder(x, 0.7) + x // 0.7,
    "logaddexp": lambda x: tnp.logaddexp(x, x[::-1]),
    "where": lambda x: tnp.where(x > 1, x, x * x),
    "clip": lambda x: tnp.clip(x, 0.5, 1.5) * x,
    "index": lambda x: x[1:, ::-2] * x[:-1, 1::2] + x[np.array([0, 2]), 1:3],
    "strided set": lambda x: x.at[:, ::2].set(x[:, 1::2] ** 2) * x,
    "window add": lambda x: x.at[1:, 1].add(tnp.sin(x[1:, 0])) ** 2,
    "scatter": lambda x: x.at[np.array([0, 2, 0]), 1].add(x[:, 2]) ** 2,
    "matmul": lambda x: x @ A @ x.T,
    "einsum": lambda x: tnp.einsum("ij,jk,ik->i", x, A, x),
    "solve": lambda x: tnp.linalg.solve(A + tnp.diag(x[0]), x.T),
    "det": lambda x: tnp.linalg.det(A + tnp.diag(x[0])),
    "median": lambda x: tnp.median(x, axis=1),
    "sort": lambda x: tnp.sort(x, axis=0) * tnp.arange(4.0),
    "cumsum": lambda x: tnp.cumsum(x, axis=1) * x,
    "cumprod": lambda x: tnp.cumprod(x, axis=1),
    "roll": lambda x: tnp.roll(x, 1, 1) * x,
    "pad": lambda x: tnp.pad(x, 1, mode="reflect") ** 2,
    "interp": lambda x: tnp.interp(x, np.linspace(0, 2, 5), x[0, 0] * np.arange(5.0)),
    "gradient": lambda x: tnp.gradient(x, axis=1) ** 2,
    "trapezoid": lambda x: tnp.trapezoid(x**2, dx=0.1),
    "convolve": lambda x: tnp.convolve(x[0], x[1]),
    "cross": lambda x: tnp.cross(x[:, :3], x[:, 1:]),
    "diagonal": lambda x: tnp.trace(x[:, :3] @ x[:, 1:]) * tnp.diagonal(x),
    "max": lambda x: tnp.max(x, axis=1) * tnp.min(x),
    "numpy": lambda x: np.sin(x) * np.sum(np.exp(x), axis=0),
    "sinc": lambda x: tnp.sinc(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients(name: str) -> None:
    function = FUNCTIONS[name]
    shape = function(tnp.asarray(X)).shape
    weights = RNG.normal(size=shape)

    def scalar(x: Any) -> Any:
        return tnp.sum(function(x) * weights)

    slope = np.asarray(grad(scalar)(tnp.asarray(X)))
    direction = RNG.normal(size=X.shape)
    h = 1e-6
    up, down = (float(scalar(tnp.asarray(X + s * h * direction))) for s in (1, -1))
    np.testing.assert_allclose(
        (slope * direction).sum(), (up - down) / (2 * h), rtol=2e-6, atol=1e-7
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vmap(name: str) -> None:
    function = FUNCTIONS[name]
    lanes = np.stack([X, X[::-1] + 0.25, X * 0.9])
    ours = np.asarray(vmap(function)(tnp.asarray(lanes)))
    theirs = np.stack([np.asarray(function(tnp.asarray(x))) for x in lanes])
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
