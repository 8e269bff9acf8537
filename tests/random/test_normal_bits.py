"""Normal numbers, and uniform ones of any interval, are JAX's to the bit.

That is told by hashes made with JAX, and by JAX itself where it is.

JAX's own bits follow from what XLA makes of the function: they were taken from JAX 0.10.2 on x86-64
with fused multiply-adds and glibc 2.36, whose logarithm it calls in float64.  Ours depend on
neither, so the hashes hold anywhere.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import random
from tracejit.ops.normal_quantile import erf_inv_of_uniform

SEED, COUNT = 2024, 1_000_000
DTYPES = ["float32", "float64"]
NUMBERS = {
    "float32": "7e1e73d31b1fd117dea2ad2de63af9efa3784f644f40fbe44ed97f4e68c96fb3",
    "float64": "f24ec8030ed516fba3e12b351d2b8196afc0f6b702b4365ef4c12d3646323646",
}
FIRST = {
    "float32": ["-0x1.79d81ep+0", "-0x1.32608ep+0", "0x1.07932p+0", "-0x1.e38030p-1"],
    "float64": [
        "-0x1.8a0b833ec9af9p-4", "0x1.1b3eb7dbce44fp-1", "-0x1.08136cea5dd07p-9",
        "-0x1.a971a413833e4p-1",
    ],
}  # fmt: skip
UNIFORM = {
    "float16": "7046ffee8d68d807c7c211e88843114548f781c1960177c2822d64995ef0b306",
    "bfloat16": "6b0bccfff132b8f4e48b684c038c1b3654b66b521f5dc752e054dd488fd62ef5",
    "float32": "fde142c400bdddbcfda18af4a2e8d0eac07d4079243e249b03c9f700549a85fd",
    "float64": "1adc8d9aad2558d5bbe83689242e58deb5752e1b1e5d3990d81d89fb7c0bab29",
}
OF_POINTS = {
    "float32": "2f3617029c6e9c02d3b1425d3d620c6d1740b412e913dea17d4a387a4f398540",
    "float64": "e3d550e57d2ed7515410a2cb693f7987742718394286732d7255d2cc99bc3cb9",
}


def _like_ours() -> bool:
    """Whether JAX's bits are those of this file here."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return platform.machine() == "x86_64" and " fma " in flags


needs_such_a_jax = pytest.mark.skipif(not _like_ours(), reason="XLA rounds otherwise here")


def points(dtype: str) -> Any:
    """Return numbers in all pieces of the function, and where it has no finite value."""
    kind = np.dtype(dtype).type
    digits = np.finfo(kind).nmant + 1
    steps = np.ldexp(1 + np.arange(16) / 16, -np.arange(1, digits)[:, None])
    inside = [np.arange(-4000, 4001) / 4001, (1 - steps).ravel(), (steps - 1).ravel()]
    beyond = [0.0, -0.0, 1.0, -1.0, 1.5, -2.0, np.inf, -np.inf, np.nan]
    return np.concatenate([*inside, beyond]).astype(kind)


def digest(x: Any) -> str:
    """Return the hash of the bits; all NaNs are one."""
    x = np.asarray(x)
    return hashlib.sha256(np.where(np.isnan(x), x.dtype.type(7), x).tobytes()).hexdigest()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_million(dtype: str) -> None:
    x = np.asarray(tj.jit(lambda k: random.normal(k, (COUNT,), dtype))(random.key(SEED)))
    assert [float(v) for v in x[:4]] == [float.fromhex(v) for v in FIRST[dtype]]
    assert digest(x) == NUMBERS[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("jitted", [False, True])
def test_every_piece(dtype: str, jitted: bool) -> None:
    function = tj.jit(erf_inv_of_uniform) if jitted else erf_inv_of_uniform
    assert digest(function(points(dtype))) == OF_POINTS[dtype]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", *DTYPES, "complex64", "complex128"])
@pytest.mark.parametrize("count", [1, 7, 20_000])
def test_eager_and_jitted(dtype: str, count: int) -> None:
    key = random.key(count)
    eager, jitted = (
        np.asarray(f(key))
        for g in [lambda k: random.normal(k, (count,), dtype)]
        for f in (g, tj.jit(g))
    )
    np.testing.assert_array_equal(eager.view(np.uint8), jitted.view(np.uint8))


def uniform(of: Any, key: Any, dtype: str) -> str:
    """Return the hash of uniform numbers of intervals whose lengths are no powers of two."""
    bounds = np.array([-0.3, 1.0, 7.0], dtype)[:, None], np.array([0.4, 2.7, 7.1], dtype)[:, None]
    several = np.asarray(of.uniform(key, (3, 5000), dtype, *bounds))
    return digest(np.append(several, np.asarray(of.uniform(key, (20_000,), dtype, -3, 0.1))))


@pytest.mark.parametrize("dtype", UNIFORM)
@pytest.mark.parametrize("jitted", [False, True])
def test_uniform(dtype: str, jitted: bool) -> None:
    class Jitted:
        @staticmethod
        def uniform(key: Any, shape: Any, dtype: str, low: Any, high: Any) -> Any:
            return tj.jit(lambda k: random.uniform(k, shape, dtype, low, high))(key)

    assert uniform(Jitted if jitted else random, random.key(SEED), dtype) == UNIFORM[dtype]


@needs_such_a_jax
@pytest.mark.parametrize("dtype", UNIFORM)
def test_uniform_as_jax(dtype: str) -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        assert uniform(jax.random, jax.random.key(SEED), dtype) == UNIFORM[dtype]


@needs_such_a_jax
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", *DTYPES, "complex64", "complex128"])
def test_as_jax(dtype: str) -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        for seed, shape in enumerate([(), (33, 3), *([(COUNT,)] if dtype in DTYPES else [])]):
            wanted = np.asarray(jax.random.normal(jax.random.key(seed), shape, dtype))
            draw = tj.jit(lambda k, shape=shape: random.normal(k, shape, dtype))
            found = np.asarray(draw(random.key(seed)))
            assert found.tobytes() == wanted.tobytes()


@needs_such_a_jax
@pytest.mark.parametrize("dtype", DTYPES)
def test_points_as_jax(dtype: str) -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        assert digest(jax.lax.erf_inv(points(dtype))) == OF_POINTS[dtype]
