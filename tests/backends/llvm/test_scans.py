"""Scans: each of the ways equals the meaning of the library call, by any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.ir.dtypes import DTYPES, real_of
from tracejit.testing.libraries import run_library
from tracejit.tools.explain import explain
from tracejit_llvm.routines.scans import SCANS

# outer, length, inner: short and long rows, pairs, few and many columns, in one block and several.
SHAPES = [
    (3, 0, 1), (1, 1, 1), (4, 2, 1), (5, 3, 1), (7, 100, 1), (20, 4097, 1), (1, 100_003, 1),
    (3, 9001, 1), (2, 60, 2), (1, 50_001, 2), (0, 3, 5), (2, 5, 3), (2, 60, 3), (1, 100_003, 3),
    (2, 7, 300), (3, 70, 40), (1, 3000, 33), (20, 9, 17), (1, 6, 3000), (1, 2000, 257),
]  # fmt: skip
FLOATS = ["f32", "f64", "bf16", "f16"]
NUMBERS = [*FLOATS, "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"]
LONG = 40_000


def accepted(name: str) -> list[str]:
    if name == "cumlogsumexp":
        return FLOATS
    return NUMBERS if name in ("cumsum", "cumprod") else [*NUMBERS, "bool"]


def cases() -> list[tuple[str, tuple[int, ...], str]]:
    """Every way and every dtype of every operation, not all of their pairs."""
    out = []
    for k, name in enumerate(sorted(SCANS)):
        kinds = accepted(name)
        for n, shape in enumerate(SHAPES):
            out.append((name, (*shape, (n + k) % 2), FLOATS[n % 2]))
        for n, kind in enumerate(kinds):
            out.append((name, ((3, 5000, 1), (2, 70, 20))[n % 2] + (n // 2 % 2,), kind))
    for kind in ("c64", "c128"):
        out += [("cumsum", (1, 20_000, 2, 1), kind), ("cumsum", (4, 300, 6, 0), kind)]
    return out


CASES = cases()


def sample(name: str, params: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return elements, flat; the products of floats stay near 1, and there are a few NaN."""
    rng = np.random.default_rng(9)
    size = int(np.prod(params[:3]))
    if dtype.kind == "c":
        parts = rng.normal(size=size).astype(real_of(dtype))
        return parts.view(dtype)
    if dtype.kind in "biu":
        return rng.integers(-3, 4, size).astype(np.int8).astype(dtype)
    if name == "cumprod":
        return (1 + rng.normal(size=size) / 100 / max(1, size / 100)).astype(dtype)
    x = rng.normal(size=size) * 3
    if name in ("cummax", "cummin", "cumlogsumexp"):
        x[rng.random(size) < 3e-4] = np.nan
        x[rng.random(size) < 3e-3] = -np.inf
    return x.astype(dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[2]}-{case[1]}")
def test_scans(case: tuple[str, tuple[int, ...], str], library: Any) -> None:
    name, params, kind = case
    x = sample(name, params, DTYPES[kind])
    want = np.empty_like(x)
    run_library(name, params, [x, want])
    got = [
        library(name, params, [x], [(x.shape, x.dtype)], threads, in_place)[0]
        for threads, in_place in ((1, False), (2, True), (3, False), (7, True))
    ]
    assert len({y.tobytes() for y in got}) == 1
    if x.dtype.kind in "biu" or name in ("cummax", "cummin"):
        left, right = (y.astype(np.float32) if kind == "bf16" else y for y in (got[0], want))
        np.testing.assert_array_equal(left, right)
        return
    # Rounding differs where the order does.
    within = {"f16": 2e-2, "bf16": 2e-2, "f32": 1e-4, "c64": 1e-4}.get(kind, 1e-12)
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    left, right = got[0].astype(wide), want.astype(wide)
    scale = max(1.0, np.nanmax(np.abs(right[np.isfinite(right)]), initial=0))
    np.testing.assert_allclose(left, right, rtol=within, atol=within * scale, equal_nan=True)


@pytest.mark.parametrize("shape", [(3, 5, 1), (1, 40_000, 1), (2, 60, 3), (1, 40_000, 3)])
def test_zeros_keep_their_sign(library: Any, shape: tuple[int, ...]) -> None:
    x = np.full(int(np.prod(shape)), -0.0)
    (got,) = library("cumsum", (*shape, 0), [x], [(x.shape, x.dtype)], 2)
    assert np.signbit(got).all()


@pytest.mark.parametrize("shape", [(1, LONG, 1), (1, LONG, 3)])
def test_what_is_infinite_stays(library: Any, shape: tuple[int, ...]) -> None:
    x = np.ones(shape)
    x[0, 100], x[0, 20_000] = np.inf, -np.inf
    (got,) = library("cumsum", (*shape, 0), [x], [(x.shape, x.dtype)], 2)
    assert np.isfinite(got[0, :100]).all()
    assert (got[0, 100:20_000] == np.inf).all()
    assert np.isnan(got[0, 20_000:]).all()


def test_sums_are_closer_than_one_after_another(library: Any) -> None:
    x = np.random.default_rng(1).random(LONG).astype(np.float32)
    (got,) = library("cumsum", (1, LONG, 1, 0), [x], [(x.shape, x.dtype)])
    exact = np.cumsum(x.astype(np.float64))
    serial = np.cumsum(x, dtype=np.float32)
    assert np.abs(got - exact).max() < np.abs(serial - exact).max() / 4


SCANNED = {"cumsum": np.cumsum, "cumprod": np.cumprod, "cummax": np.maximum.accumulate}


@pytest.mark.parametrize("name", SCANNED)
@pytest.mark.parametrize("axis", [0, 1])
def test_no_callback_is_left(name: str, axis: int) -> None:
    x = np.random.default_rng(2).random((40, 30))

    def scan(x: Any) -> Any:
        return getattr(lax, name)(x, axis=axis)

    made = explain(scan)(x)
    assert [(s.kind, s.what) for s in made.steps] == [("library", name)]
    np.testing.assert_allclose(tracejit.jit(scan)(x), SCANNED[name](x, axis=axis), 1e-12)


def test_scratch_memory_lies_behind_what_a_plan_keeps() -> None:
    x = np.random.default_rng(3).random(20_000)

    @tracejit.jit
    def smooth(x: Any) -> Any:
        def body(_: Any, y: Any) -> Any:
            y = tnp.cumsum(y)
            return y / y[-1] + tnp.cumsum(y[::-1])[::-1] / y.size

        return lax.fori_loop(0, 3, body, x)

    want = x
    for _ in range(3):
        y = np.cumsum(want)
        want = y / y[-1] + np.cumsum(y[::-1])[::-1] / y.size
    np.testing.assert_allclose(smooth(x), want, 1e-12)
