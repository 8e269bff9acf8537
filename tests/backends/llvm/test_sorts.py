"""Sorts: each of the ways gives NumPy's stable order, by any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit.ir.dtypes import DTYPES, real_of
from tracejit.testing.libraries import run_library
from tracejit.tools.explain import explain
from tracejit_llvm.routines.sorts import sort_steps

KINDS = [
    "f32", "f64", "bf16", "f16", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "bool",
    "c64", "c128",
]  # fmt: skip
# outer, length, inner
SHAPES = [
    (1, 0, 1), (0, 3, 2), (1, 1, 1), (1, 2, 1), (5, 3, 1), (1, 100, 1), (3, 2, 7), (2, 37, 5),
    (40, 64, 1), (1, 255, 33), (9, 256, 1), (1, 257, 1), (3, 1000, 2), (70, 300, 1),
    (9, 1024, 1), (5, 1025, 1),
]  # fmt: skip
LONG = (1, 100_003, 1)


def sample(size: int, kind: str, spread: int = 50) -> np.ndarray[Any, Any]:
    """Return elements of which some are equal, NaN, infinite, and zeros of both signs."""
    rng = np.random.default_rng(size)
    dtype = DTYPES[kind]
    if dtype.kind == "c":
        parts = sample(2 * size, "f32" if kind == "c64" else "f64", 4)
        return parts.astype(real_of(dtype)).view(dtype)
    if dtype.kind == "b":
        return rng.random(size) < 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        x = rng.integers(limits.min, limits.max, size, dtype=dtype, endpoint=True)
        return np.where(rng.random(size) < 0.5, x, x % 7).astype(dtype)
    x = rng.normal(size=size) * np.exp(rng.normal(size=size) * 2)
    x = np.where(rng.random(size) < 0.3, np.rint(rng.normal(size=size) * spread / 10), x)
    x = np.where(rng.random(size) < 0.05, -0.0, x)
    for value in (np.nan, -np.nan, np.inf, -np.inf):
        x[rng.random(size) < 0.02] = value
    return x.astype(dtype)


def bits(x: np.ndarray[Any, Any]) -> bytes:
    return x.tobytes()


def check(
    library: Any, shape: tuple[int, ...], arrays: list[np.ndarray[Any, Any]], num_keys: int
) -> None:
    outputs = [(x.shape, x.dtype) for x in arrays]
    want = [np.empty_like(x) for x in arrays]
    params = (*shape, num_keys, 2 ** len(arrays) - 1, 0)
    run_library("sort", params, [*arrays, *want])
    for threads in (1, 2, 3, 7):
        got = library("sort", params, arrays, outputs, threads)
        for x, y in zip(got, want, strict=True):
            # The bits tell zeros apart, and one NaN from another.
            assert bits(x) == bits(y)


@pytest.mark.parametrize("shape", [*SHAPES, LONG], ids=str)
@pytest.mark.parametrize("kind", ["f64", "f32", "i64", "u16", "c64"])
def test_sort_of_every_shape(kind: str, shape: tuple[int, ...], library: Any) -> None:
    check(library, shape, [sample(int(np.prod(shape)), kind)], 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(7, 61, 3), (2, 1500, 1), (1, 40_000, 1)], ids=str)
def test_sort_of_every_dtype(kind: str, shape: tuple[int, ...], library: Any) -> None:
    size = int(np.prod(shape))
    check(library, shape, [sample(size, kind)], 1)
    check(library, shape, [sample(size, kind), np.arange(size)], 1)


@pytest.mark.parametrize("shape", [*SHAPES, LONG], ids=str)
def test_several_keys_and_what_goes_along(shape: tuple[int, ...], library: Any) -> None:
    size = int(np.prod(shape))
    few = sample(size, "i8") % 3
    arrays = [few, sample(size, "f64"), sample(size, "c128"), sample(size, "bool")]
    check(library, shape, arrays, 2)
    check(library, shape, arrays, 3)
    check(library, shape, [sample(size, "c64"), *arrays], 1)


def test_digits_that_all_keys_share_are_left_out(library: Any) -> None:
    for low, high in ((5, 6), (-3, 3), (10**12, 10**12 + 500), (0, 2**40)):
        x = np.random.default_rng(0).integers(low, high, 70_001)
        check(library, (1, x.size, 1), [x], 1)
        check(library, (1, x.size, 1), [x, np.arange(x.size)], 1)
        check(library, (35, 2000, 1), [x[:70_000], np.arange(70_000)], 1)


@pytest.mark.parametrize("size", [3000, 70_001])
@pytest.mark.parametrize("kind", ["u64", "u32", "i64"])
def test_digits_that_repeat_each_other_deceive_nobody(library: Any, size: int, kind: str) -> None:
    """By their frequencies three of them tell all keys apart, but they say the same."""
    rng = np.random.default_rng(0)
    high = rng.integers(0, 256, size).astype(DTYPES[kind])
    bits = 8 * high.dtype.itemsize
    x = rng.integers(0, 2 ** (bits - 25), size).astype(DTYPES[kind])
    for n in (1, 2, 3):
        x |= high << high.dtype.type(bits - 8 * n)
    check(library, (1, size, 1), [x], 1)
    check(library, (1, size, 1), [x, np.arange(size)], 1)
    check(library, (1, size, 1), [x % 100, x, np.arange(size)], 2)


def test_all_ways_are_tried() -> None:
    def way(shape: tuple[int, ...]) -> str:
        return sort_steps((*shape, 1, 1, 0), [DTYPES["f64"]]).steps[0].function.name

    assert [way(s) for s in (SHAPES[4], SHAPES[-1], LONG)] == ["network", "rows", "prepare"]
    assert way((5, 1 << 18, 1)) == "prepare"
    assert way((5, 1 << 16, 1)) == "rows"


@pytest.mark.parametrize("kind", ["i8", "u16", "i32", "u64"])
@pytest.mark.parametrize("shape", [(2, 60, 3), (1, 3000, 1)], ids=str)
def test_what_counts_places_is_not_read_and_what_is_not_wanted_not_written(
    library: Any, kind: str, shape: tuple[int, ...]
) -> None:
    x = sample(int(np.prod(shape)), "f32")
    rest = [np.empty(x.size, DTYPES[kind])]
    outputs = [(x.shape, x.dtype), (x.shape, DTYPES[kind])]
    unwritten, got = library("sort", (*shape, 1, 2, 2), [x, *rest], outputs, 2)
    assert (unwritten.view(np.uint8) == 0xA5).all()
    want = np.argsort(x.reshape(shape), axis=1, kind="stable").reshape(-1)
    np.testing.assert_array_equal(got, want.astype(DTYPES[kind]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_no_callback_is_left(axis: int) -> None:
    x = np.random.default_rng(1).random((20, 30, 4))
    for name in ("sort", "argsort"):

        def sort(x: Any, name: str = name) -> Any:
            return getattr(tnp, name)(x, axis=axis)

        made = explain(sort)(x)
        assert made.callbacks == 0
        assert "sort" in [s.what for s in made.steps]
        np.testing.assert_array_equal(tracejit.jit(sort)(x), getattr(np, name)(x, axis=axis))
