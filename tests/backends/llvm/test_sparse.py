"""Products of sparse matrices equal the meaning of the library call, by any number of threads."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tracejit.ir.dtypes import DTYPES
from tracejit.testing.libraries import run_library

KINDS = ["f64", "f32", "f16", "bf16", "c64", "c128", "i8", "u16", "i32", "i64", "u64"]


@pytest.mark.parametrize(("k", "index"), [(1, "i32"), (1, "i64"), (3, "i32"), (35, "i64")])
@pytest.mark.parametrize("kind", KINDS)
def test_products(kind: str, k: int, index: str, library: Any) -> None:
    rng = np.random.default_rng(k)
    rows, columns, entries, dtype = 70, 9, 400, DTYPES[kind]

    def numbers(count: int) -> Any:
        x = rng.integers(0, 9, count) / (1 if dtype.kind in "iu" else 4)
        return (x + 1j * x[::-1]).astype(dtype) if dtype.kind == "c" else x.astype(dtype)

    # Some columns are out of range, some entries beyond the last row.
    col = rng.integers(-1, columns + 1, entries)
    ends = np.sort(rng.integers(0, entries - 20, rows))
    where = DTYPES[index]
    places = col.astype(where), np.append(0, ends).astype(where)
    arrays = [numbers(entries), *places, numbers(columns * k)]
    want = np.empty(rows * k, dtype)
    params = (rows, columns, k, entries)
    run_library("csr_matmul", params, [*arrays, want])
    got = [
        library("csr_matmul", params, arrays, [(want.shape, dtype)], threads)[0]
        for threads in (1, 2, 7)
    ]
    assert len({y.tobytes() for y in got}) == 1
    if dtype.kind in "iu":
        np.testing.assert_array_equal(got[0], want)
        return
    within = {"f16": 1e-3, "bf16": 1e-2, "f32": 1e-6, "c64": 1e-6}.get(kind, 1e-14)
    wide = np.complex128 if dtype.kind == "c" else np.float64
    np.testing.assert_allclose(got[0].astype(wide), want.astype(wide), rtol=within)


@pytest.mark.parametrize("ends", [[5, -3, 99, 2], [-(2**31), 2**31 - 1, 0, 4], [9, 9, 9, 9]])
def test_bounds_that_are_none_are_safe(ends: list[int], library: Any) -> None:
    data, col = np.ones(4), np.array([0, 1, 2**31 - 1, -(2**31)], np.int32)
    arrays = [data, col, np.array(ends, np.int32), np.ones(2)]
    (got,) = library("csr_matmul", (3, 2, 1, 4), arrays, [((3,), data.dtype)], 1)
    bounds = np.clip(ends, 0, 4)
    want = [sum(p < 2 for p in range(a, b)) for a, b in itertools.pairwise(bounds)]
    np.testing.assert_array_equal(got, want)
