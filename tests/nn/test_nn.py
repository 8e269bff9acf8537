"""Activations, normalisation, attention, pooling: against formulas, SciPy, and JAX if there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import tracejit as tj
import tracejit.numpy as tnp
from tracejit import nn
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.test_util import check_grads

RNG = np.random.default_rng(2)
X = RNG.normal(size=(3, 4)) * 3
EXTREMES = np.array([-np.inf, -1e3, -30.0, -1.0, -0.0, 0.0, 1e-3, 2.5, 40.0, 1e3, np.inf, np.nan])


def below(x: Any, f: Callable[[Any], Any]) -> Any:
    with np.errstate(all="ignore"):
        return np.where(x > 0, x, f(np.minimum(x, 0)))


ORACLES: dict[str, Callable[[Any], Any]] = {
    "celu": lambda x: below(x, np.expm1),
    "elu": lambda x: below(x, np.expm1),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.01 * x),
    "log_sigmoid": scipy.special.log_expit,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: 1.0507009873554805 * below(x, lambda x: 1.6732632423543772 * np.expm1(x)),
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(x, 0),
    "sparse_plus": lambda x: np.where(x >= 1, x, np.where(x <= -1, 0, (x + 1) ** 2 / 4)),
    "sparse_sigmoid": lambda x: np.clip(x + 1, 0, 2) / 2,
    "tanh": np.tanh,
}
FINITE: dict[str, Callable[[Any], Any]] = {
    "gelu": lambda x: x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "silu": lambda x: x * scipy.special.expit(x),
    "soft_sign": lambda x: x / (1 + abs(x)),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
}


@pytest.mark.parametrize("name", sorted({**ORACLES, **FINITE}))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_activations(name: str, dtype: str) -> None:
    f, oracle = getattr(nn, name), {**ORACLES, **FINITE}[name]
    for x in (X, EXTREMES) if name in ORACLES else (X, EXTREMES[np.isfinite(EXTREMES)]):
        x = x.astype(dtype)
        with np.errstate(all="ignore"):
            wanted = oracle(x)
        out = tj.jit(f)(x)
        assert out.dtype == x.dtype
        tolerance = 1e-13 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(out, wanted, rtol=tolerance, atol=tolerance)
    check_grads(f, (X,), order=2)
    # Derivatives are finite wherever the function is.
    slopes = tj.vmap(tj.grad(f))(tnp.asarray(EXTREMES[1:-2].astype(dtype)))
    assert np.isfinite(slopes).all()


@pytest.mark.parametrize("name", ["elu", "gelu", "sigmoid", "softplus", "silu", "leaky_relu"])
def test_integers_become_floating(name: str) -> None:
    out = getattr(nn, name)(np.array([-2, 0, 3]))
    np.testing.assert_allclose(out, getattr(nn, name)(np.array([-2.0, 0.0, 3.0])))
    with pytest.raises(DTypeError, match="a real array"):
        nn.elu(np.array([1j]))


def test_kinks() -> None:
    assert tj.grad(nn.relu)(0.0) == 0.0
    assert tj.grad(nn.relu6)(6.0) == 0.0
    assert np.isnan(nn.relu(np.nan))
    assert nn.relu(np.array([-3, 4])).dtype == np.int64


def test_gelu_by_erf() -> None:
    wanted = X * scipy.special.ndtr(X)
    np.testing.assert_allclose(nn.gelu(X, approximate=False), wanted, rtol=1e-13)


def test_glu() -> None:
    np.testing.assert_allclose(nn.glu(X), X[:, :2] * scipy.special.expit(X[:, 2:]), rtol=1e-14)
    with pytest.raises(ShapeError, match="even length"):
        nn.glu(X, axis=0)


@pytest.mark.parametrize("axis", [-1, 0, (0, 1), None])
def test_softmax(axis: Any) -> None:
    np.testing.assert_allclose(nn.softmax(X, axis), scipy.special.softmax(X, axis), rtol=1e-13)
    wanted = scipy.special.log_softmax(X, axis)
    np.testing.assert_allclose(tj.jit(lambda x: nn.log_softmax(x, axis))(X), wanted, rtol=1e-12)
    mask = X < 2
    some = np.where(mask, X, -np.inf)
    np.testing.assert_allclose(
        nn.softmax(X, axis, where=mask), scipy.special.softmax(some, axis), atol=1e-14
    )
    check_grads(lambda x: nn.softmax(x, axis, where=mask), (X,), order=2)
    check_grads(lambda x: nn.log_softmax(x, axis), (X,), order=2)


def test_softmax_of_extremes() -> None:
    x = np.array([[1e4, 0.0, -1e4], [-np.inf, 0.0, 1.0], [5.0, 5.0, 5.0]])
    np.testing.assert_allclose(nn.softmax(x), scipy.special.softmax(x, -1), atol=1e-15)
    hidden = nn.softmax(x, where=np.zeros((3, 3), bool))
    np.testing.assert_array_equal(hidden, 0)
    slopes = tj.grad(lambda x: tnp.sum(nn.softmax(x, where=x > 1) ** 2))(tnp.asarray(x))
    assert np.isfinite(slopes).all()


def test_sums_of_exponentials() -> None:
    np.testing.assert_allclose(
        nn.logmeanexp(X, 1), scipy.special.logsumexp(X, 1) - np.log(4), rtol=1e-13
    )
    np.testing.assert_allclose(nn.logsumexp(X), scipy.special.logsumexp(X), rtol=1e-13)
    x = np.array([1e-300, 1e-8, 0.1, 0.7, 3.0, 50.0])
    wanted = [np.log(-np.expm1(-v)) if v < 0.7 else np.log1p(-np.exp(-v)) for v in x]
    np.testing.assert_allclose(nn.log1mexp(x), wanted, rtol=1e-14)


def test_one_hot() -> None:
    x = np.array([[0, 2], [3, -1]])
    wanted = (x[..., None] == np.arange(3)).astype(float)
    np.testing.assert_array_equal(nn.one_hot(x, 3), wanted)
    np.testing.assert_array_equal(nn.one_hot(x, 3, axis=0), np.moveaxis(wanted, -1, 0))
    assert nn.one_hot(x, 3).dtype == np.float64
    assert nn.one_hot(x, 3, dtype="int8").dtype == np.int8
    with pytest.raises(DTypeError, match="integers"):
        nn.one_hot(X, 3)


def test_normalisation() -> None:
    wanted = (X - X.mean(1, keepdims=True)) / np.sqrt(X.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(nn.standardize(X), wanted, rtol=1e-12)
    np.testing.assert_allclose(nn.layer_norm(X, 2.0, X[0]), wanted * 2 + X[0], rtol=1e-12)
    rms = X / np.sqrt((X**2).mean(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(nn.rms_norm(X, X[0]), rms * X[0], rtol=1e-12)
    mask = X < 2
    mean = X.mean(1, keepdims=True, where=mask)
    var = X.var(1, keepdims=True, where=mask)
    np.testing.assert_allclose(
        nn.standardize(X, where=mask), (X - mean) / np.sqrt(var + 1e-5), rtol=1e-12
    )
    check_grads(lambda x, s: nn.layer_norm(x, s), (X, X[0]), order=2)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_batch_norm(axis: int) -> None:
    x = RNG.normal(size=(3, 4, 5))
    others = tuple(a for a in range(3) if a != axis % 3)
    n = x.shape[axis]
    shape = [1, 1, 1]
    shape[axis] = n
    scale, bias = RNG.normal(size=(2, n))
    out, mean, variance = tj.jit(lambda *a: nn.batch_norm(*a, axis=axis))(x, scale, bias)
    np.testing.assert_allclose(mean, x.mean(others), atol=1e-14)
    np.testing.assert_allclose(variance, x.var(others), rtol=1e-12)
    wanted = (x - x.mean(others).reshape(shape)) / np.sqrt(x.var(others).reshape(shape) + 1e-5)
    np.testing.assert_allclose(
        out, wanted * scale.reshape(shape) + bias.reshape(shape), rtol=1e-11, atol=1e-13
    )
    again, *_ = nn.batch_norm(x[:1], scale, bias, mean, variance, axis) if axis else (out[:1],)
    np.testing.assert_allclose(again, out[:1], rtol=1e-11, atol=1e-13)


def test_pooling() -> None:
    x = RNG.normal(size=(2, 4, 6, 3))
    blocks = x.reshape(2, 2, 2, 3, 2, 3)
    np.testing.assert_array_equal(nn.max_pool(x, (2, 2), (2, 2)), blocks.max((2, 4)))
    np.testing.assert_array_equal(nn.min_pool(x, (2, 2), (2, 2)), blocks.min((2, 4)))
    np.testing.assert_allclose(nn.avg_pool(x, (2, 2), (2, 2)), blocks.mean((2, 4)), rtol=1e-14)
    ones = np.ones((1, 3, 3, 1))
    corner = nn.avg_pool(ones, (3, 3), padding="SAME")[0, 0, 0, 0]
    np.testing.assert_allclose(corner, 4 / 9)
    np.testing.assert_allclose(
        nn.avg_pool(ones, (3, 3), padding="SAME", count_include_pad=False), ones
    )
    assert nn.max_pool(np.arange(6).reshape(1, 6, 1), (2,)).dtype == np.int64
    with pytest.raises(ShapeError, match="2 spatial dimensions"):
        nn.max_pool(ones[0], (2, 2))


# ------------------------------------------------------------------------------- attention


def attended(q: Any, k: Any, v: Any, seen: Any, bias: Any = 0.0) -> Any:
    """Attend, one head of one query at a time."""
    out = np.zeros((*q.shape[:3], v.shape[-1]))
    groups = q.shape[2] // k.shape[2]
    for b, t, n in np.ndindex(*q.shape[:3]):
        scores = k[b, :, n // groups] @ q[b, t, n] / np.sqrt(q.shape[3])
        scores = scores + np.broadcast_to(bias, (*q.shape[:1], q.shape[2], q.shape[1], len(k[b])))[
            b, n, t
        ]
        keep = np.broadcast_to(seen, (q.shape[0], q.shape[2], q.shape[1], k.shape[1]))[b, n, t]
        if keep.any():
            weights = scipy.special.softmax(np.where(keep, scores, -np.inf))
            out[b, t, n] = weights @ v[b, :, n // groups]
    return out


def test_attention() -> None:
    q, k, v = RNG.normal(size=(2, 5, 4, 3)), *RNG.normal(size=(2, 2, 6, 2, 3))
    bias = RNG.normal(size=(4, 5, 6))
    ahead = np.arange(6)[None, :] - np.arange(5)[:, None]
    mask = RNG.random((2, 1, 5, 6)) < 0.7
    lengths = np.array([6, 2])
    within = np.arange(6) < lengths[:, None, None, None]
    cases: list[tuple[dict[str, Any], Any]] = [
        ({}, True),
        ({"bias": bias}, True),
        ({"mask": mask}, mask),
        ({"is_causal": True}, ahead <= 0),
        ({"local_window_size": (1, 2)}, (ahead >= -1) & (ahead <= 2)),
        ({"key_value_seq_lengths": lengths, "mask": mask}, mask & within),
    ]
    for how, seen in cases:
        f = lambda q, k, v, how=how: nn.dot_product_attention(q, k, v, **how)
        wanted = attended(q, k, v, seen, how.get("bias", 0.0))
        np.testing.assert_allclose(tj.jit(f)(q, k, v), wanted, rtol=1e-11, atol=1e-13)
        check_grads(f, (q, k, v), order=1)
    np.testing.assert_allclose(
        nn.dot_product_attention(q[0], k[0], v[0]), attended(q, k, v, True)[0], rtol=1e-11
    )
    for how in ({}, {"is_causal": True, "bias": bias}):
        out, sums = nn.dot_product_attention(q, k, v, **how, return_residual=True)
        logits = np.einsum("btnh,bsnh->btns", q, np.repeat(k, 2, 2)) / np.sqrt(3)
        logits = logits + np.moveaxis(how.get("bias", np.zeros((4, 5, 6))), 0, 1)
        weights = np.exp(logits) * ((ahead <= 0)[:, None] if how else 1)
        np.testing.assert_allclose(sums, np.log(weights.sum(-1)), rtol=1e-11)
        np.testing.assert_allclose(out, nn.dot_product_attention(q, k, v, **how))
    with pytest.raises(ShapeError, match="divides"):
        nn.dot_product_attention(q[:, :, :3], k, v)


# ---------------------------------------------------------------------------------- with JAX

NAMES = (
    *ORACLES, *FINITE, "glu", "hard_swish", "identity", "log_softmax", "logmeanexp", "logsumexp",
    "softmax", "standardize",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_jax_agrees(name: str) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    f, theirs = getattr(nn, name), getattr(jax.nn, name)
    # One unit in the last place of a table of JAX's constants in single precision.
    np.testing.assert_allclose(f(X), theirs(X), rtol=1e-6, atol=1e-12)
    x = np.array([-3.0, -1.0, 0.0, 1.0, 3.0, 6.0])
    slope = tj.grad(lambda x: tnp.sum(f(x) ** 2))(x)
    wanted = jax.grad(lambda x: (theirs(x) ** 2).sum())(x)
    np.testing.assert_allclose(slope, wanted, rtol=1e-6, atol=1e-12)
