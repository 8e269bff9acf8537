"""Random numbers: bit for bit those of JAX 0.10 (64-bit mode), by constants made with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
import tracejit.random as random
from tracejit.transforms.stage import evaluate, stage

EXPECTED = {
    "key": [0, 42],
    "negative": [4294967295, 4294967295],
    "split": [[1832780943, 270669613], [64467757, 2916123636], [2465931498, 255383827]],
    "fold_in": [2547012911, 1371500959],
    "bits uint8": [[162, 217], [249, 215]],
    "bits uint16": [[5026, 12505], [63993, 49623]],
    "bits uint32": [[2098992034, 2919706841], [2646866425, 2409546199]],
    "bits uint64": [
        [7871734211187709741, 276886910877598708],
        [10591095138341673235, 13462782411356743825],
    ],
    "uniform float32": [
        [0.9548382759094238, 1.7191886901855469],
        [1.4650859832763672, 1.2440643310546875],
    ],
    "normal float32": [
        [-0.02830461598932743, 0.4671318531036377],
        [0.2957029640674591, 0.15354591608047485],
    ],
    "uniform float64": [
        [0.7069102665996363, -0.9399597219387417],
        [1.2965776715981407, 1.9192755876185235],
    ],
    "normal float64": [
        [-0.18471174528191162, -2.169824560397754],
        [0.18693555179382582, 0.6122653570510959],
    ],
    "randint int8": [21, 25, 89, 97],
    "randint int32": [21, 25, 89, 97],
    "randint uint32": [44, 14, 71, 69],
    "randint int64": [76, 55, 3, 83],
    "permutation": [7, 4, 2, 5, 3, 6, 0, 1],
    "bernoulli": [False, True, False, False, False],
    "choice": [7, 4, 2, 5],
}

KEY = np.array([0, 42], np.uint32)
CALLS: dict[str, Any] = {
    "key": lambda k: random.PRNGKey(42),
    "negative": lambda k: random.PRNGKey(-1),
    "split": lambda k: random.split(k, 3),
    "fold_in": lambda k: random.fold_in(k, 7),
    "permutation": lambda k: random.permutation(k, 8),
    "bernoulli": lambda k: random.bernoulli(k, 0.4, (5,)),
    "choice": lambda k: random.choice(k, 10, (4,), replace=False),
}
for _dtype in ("uint8", "uint16", "uint32", "uint64"):
    CALLS[f"bits {_dtype}"] = lambda k, t=_dtype: random.bits(k, (2, 2), t)
for _dtype in ("float32", "float64"):
    CALLS[f"uniform {_dtype}"] = lambda k, t=_dtype: random.uniform(k, (2, 2), t, -1, 3)
    CALLS[f"normal {_dtype}"] = lambda k, t=_dtype: random.normal(k, (2, 2), t)
for _dtype, _low in (("int8", -3), ("int32", -3), ("uint32", 0), ("int64", -3)):
    CALLS[f"randint {_dtype}"] = lambda k, t=_dtype, a=_low: random.randint(k, (4,), a, 100, t)


@pytest.mark.parametrize("name", EXPECTED)
def test_as_jax(name: str) -> None:
    ours = np.asarray(CALLS[name](KEY))
    expected = np.array(EXPECTED[name], ours.dtype)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("name", [n for n in EXPECTED if n not in ("key", "negative")])
def test_staged(name: str) -> None:
    key = tnp.asarray(KEY)
    program = stage(lambda k: [CALLS[name](k)], [key.aval])
    (ours,) = evaluate(program, [key])
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(CALLS[name](KEY)))


def test_moments() -> None:
    key = random.key(3)
    n = 40_000
    for function, mean, variance in (
        (random.uniform, 0.5, 1 / 12),
        (random.normal, 0.0, 1.0),
        (random.exponential, 1.0, 1.0),
        (random.gumbel, np.euler_gamma, np.pi**2 / 6),
        (random.laplace, 0.0, 2.0),
        (random.logistic, 0.0, np.pi**2 / 3),
    ):
        x = np.asarray(function(key, (n,)))
        assert abs(x.mean() - mean) < 0.03
        assert abs(x.var() - variance) < 0.06 * variance
    z = np.asarray(random.normal(key, (n,), np.complex128))
    assert abs(z.var() - 1) < 0.03


def test_weighted_choice_and_categorical() -> None:
    p = np.array([0.1, 0.2, 0.7])
    for x in (
        random.choice(random.key(1), 3, (20_000,), p=p),
        random.categorical(random.key(2), np.log(p), shape=(20_000,)),
    ):
        np.testing.assert_allclose(np.bincount(np.asarray(x)) / 20_000, p, atol=0.02)
    drawn = np.asarray(random.choice(random.key(1), np.arange(5) * 2, (5,), replace=False))
    assert sorted(drawn) == [0, 2, 4, 6, 8]


def test_a_traced_seed_is_the_same_seed() -> None:
    program = stage(lambda s: [random.PRNGKey(s)], [tnp.asarray(5).aval])
    for seed in (5, -1, 2**40 + 5):
        (ours,) = evaluate(program, [tnp.asarray(seed)])
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(random.PRNGKey(seed)))


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: random.uniform(np.zeros(3, np.uint32)), "keys are needed, made by"),
        (lambda: random.uniform(KEY, (2,), int), "floating"),
        (lambda: random.randint(KEY, (2,), 0, 3, float), "integer"),
        (lambda: random.choice(KEY, 3, (5,), replace=False), "cannot be drawn"),
        (lambda: random.key(0.5), "integer scalar"),
    ],
)
def test_errors(call: Any, what: str) -> None:
    with pytest.raises((TypeError, ValueError), match=what):
        call()


def test_draws_without_replacement_and_with_more_bits() -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4]], np.float32))
    f = lambda key: random.categorical(key, logits, shape=(3, 2), replace=False)
    drawn = np.asarray(tj.jit(tj.vmap(f))(random.split(random.key(0), 4000)))
    assert drawn.shape == (4000, 3, 2)
    assert all(len(set(some)) == 3 for some in drawn.transpose(0, 2, 1).reshape(-1, 3).tolist())
    first = [np.bincount(drawn[:, 0, lane], minlength=4) / 4000 for lane in (0, 1)]
    np.testing.assert_allclose(first, np.exp(logits), atol=0.03)
    with pytest.raises(ValueError, match="5 different indices cannot be drawn from 4"):
        random.categorical(random.key(0), logits[0], shape=(5,), replace=False)
    rare = random.bernoulli(random.key(1), np.float32(1e-9), (1 << 20,), mode="high")
    assert not np.any(np.asarray(rare))
    assert float(np.mean(random.bernoulli(random.key(1), 0.3, (20_000,), "high"))) == pytest.approx(
        0.3, abs=0.02
    )
    for draw in (random.bernoulli, random.gumbel):
        with pytest.raises(ValueError, match="mode must be"):
            draw(random.key(0), mode="medium")


def test_draws_with_more_bits_are_jaxs() -> None:
    jax = pytest.importorskip("jax")
    ours, theirs = random.key(3), jax.random.key(3)
    p, logits = np.float32(0.3), np.linspace(0, 2, 12, dtype=np.float32).reshape(3, 4)
    for name, args, how in (
        ("bernoulli", (p, (50,)), {"mode": "high"}),
        ("categorical", (logits,), {"shape": (2, 3), "replace": False}),
        ("categorical", (logits, 0), {"shape": (3, 4), "replace": False}),
        ("categorical", (logits,), {"mode": "high"}),
        ("choice", (9, (4,), False, np.arange(1, 10, dtype=np.float32) / 45), {"mode": "high"}),
    ):
        want = getattr(jax.random, name)(theirs, *args, **how)
        np.testing.assert_array_equal(getattr(random, name)(ours, *args, **how), want)
    want = jax.random.gumbel(theirs, (50,), np.float32, "high")
    np.testing.assert_allclose(random.gumbel(ours, (50,), np.float32, "high"), want, rtol=2e-6)
