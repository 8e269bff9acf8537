"""default_float: the dtype of what has none of its own, eagerly, jitted and transformed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import grad, jit, lax, random, settings, vmap
from tracejit.core.settings import current_settings

I = np.arange(3)
KEY = random.key(0)

FOLLOWS: dict[str, Callable[[], Any]] = {
    "zeros": lambda: tnp.zeros(3),
    "ones": lambda: tnp.ones((2, 2)),
    "empty": lambda: tnp.empty(2),
    "full": lambda: tnp.full(3, 1.5),
    "eye": lambda: tnp.eye(2),
    "linspace": lambda: tnp.linspace(0, 1, 3),
    "arange": lambda: tnp.arange(0.0, 1.0, 0.25),
    "a list": lambda: tnp.array([[1.0, 2], [3, 4]]),
    "empty lists": lambda: (tnp.array([]), tnp.sin([]), tnp.array([[], []])),
    "a scalar": lambda: tnp.array(1.0),
    "dtype=float": lambda: tnp.zeros(2, float),
    "of a scalar": lambda: tnp.sin(1.0),
    "of a list": lambda: tnp.exp([1.0, 2.0]),
    "of integers": lambda: tnp.sin(I),
    "divided integers": lambda: tnp.asarray(I) / 2,
    "mean of integers": lambda: tnp.mean(I),
    "deviation of integers": lambda: tnp.std(I),
    "integers and a scalar": lambda: tnp.asarray(I) * 2.5,
    "where": lambda: tnp.where(I > 1, 1.0, 0.0),
    "jit": lambda: jit(lambda x: x * 2.0)(3.0),
    "within jit": lambda: jit(lambda: tnp.zeros(3) + 1.0)(),
    "grad": lambda: grad(lambda x: x**2)(3.0),
    "vmap": lambda: vmap(lambda a: a * 0.5)(I),
    "scan": lambda: lax.scan(lambda c, x: (c + x * 0.5, c), 0.0, tnp.arange(3)),
    "fori_loop": lambda: lax.fori_loop(0, 3, lambda i, s: s + i * 0.5, 0.0),
    "cond": lambda: lax.cond(True, lambda: 1.0, lambda: 2.0),
    "normal": lambda: random.normal(KEY, (3,)),
    "uniform": lambda: random.uniform(KEY),
    "inv": lambda: tnp.linalg.inv(tnp.eye(2)),
}
STAYS: dict[str, Callable[[], Any]] = {
    "an ndarray": lambda: tnp.asarray(np.ones(2)),
    "NumPy's scalars": lambda: tnp.array([np.float64(1.0)]),
    "what is asked for": lambda: tnp.zeros(2, "float64"),
    "an ndarray and a scalar": lambda: np.ones(2) * tnp.array(2, "float64") * 2.0,
    "arange": lambda: tnp.arange(3),
    "poisson": lambda: random.poisson(KEY, 3.0, (4,)),
    "geometric": lambda: random.geometric(KEY, 0.5, (4,)),
}


def dtypes(f: Callable[[], Any]) -> set[str]:
    return {str(x.dtype) for x in tracejit.tree_util.tree_leaves(f())}


@pytest.mark.parametrize("name", FOLLOWS)
def test_what_follows_it(name: str) -> None:
    f = FOLLOWS[name]
    assert dtypes(f) == {"float64"}
    with settings(default_float="float32"):
        assert dtypes(f) == {"float32"}
        with settings(default_float=np.float64):
            assert dtypes(f) == {"float64"}
        assert dtypes(jit(f)) == {"float32"}
    assert dtypes(f) == dtypes(jit(f)) == {"float64"}


@pytest.mark.parametrize("name", STAYS)
def test_what_has_a_dtype_keeps_it(name: str) -> None:
    usual = dtypes(STAYS[name])
    with settings(default_float="float32"):
        assert dtypes(STAYS[name]) == usual


def test_complex_numbers_have_such_parts() -> None:
    with settings(default_float="float32"):
        for made in (tnp.array([1j]), tnp.asarray(I) * 1j, tnp.zeros(2, complex)):
            assert made.dtype == np.complex64
    assert tnp.array([1j]).dtype == np.complex128


def test_a_jitted_function_is_traced_for_each() -> None:
    f = jit(lambda x: x * 2.0 + tnp.ones(2))
    for _ in range(3):
        for _ in range(70):  # calls become native
            assert f(3).dtype == np.float64
            assert f(1.5).dtype == np.float64
        with settings(default_float="float32"):
            for _ in range(70):
                assert f(3).dtype == np.float32
                np.testing.assert_array_equal(f(1.5), np.array([4.0, 4.0], np.float32))


def test_what_it_may_be() -> None:
    with pytest.raises(ValueError, match="default_float must be float64 or float32; got 'half'"):
        settings(default_float="half")
    assert current_settings().default_float == "float64"


def test_the_environment() -> None:
    code = """
import tracejit, tracejit.numpy as tnp
f = tracejit.jit(lambda x, y: (x * y, y))
for _ in range(70):
    a, b = f(1.5, tnp.ones(2))
print(a.dtype, b.dtype, a[0], tnp.sin(1).dtype, (tnp.arange(2) + 0.5).dtype)
with tracejit.settings(default_float="float64"):
    print(f(1.5, tnp.ones(2))[0].dtype)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TRACEJIT_DEFAULT_FLOAT": "float32"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["float32", "float32", "1.5", "float32", "float32", "float64"]
