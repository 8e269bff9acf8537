"""Scatters: each of the ways equals the meaning of the library call, by any number of threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit.ir.dtypes import DTYPES
from tracejit.testing.libraries import run_library
from tracejit.tools.explain import explain
from tracejit_llvm.routines.scatters import SCATTERS, scatter_steps

Params = tuple[int, ...]

# lanes, batch, size, drop, unique, then the starts and the axes of a window.
FORMS: dict[str, Params] = {
    "elements": (1, 5, 7, 1, 0, 1, 1, 6, 0),
    "elements moved inside": (1, 50, 7, 0, 0, 1, 1, 6, 0),
    "many elements": (1, 3000, 70, 1, 0, 1, 1, 69, 0),
    "many to a few": (1, 50_003, 13, 1, 0, 1, 1, 12, 0),
    "many to many": (1, 40_003, 30_001, 1, 0, 1, 1, 30_000, 0),
    "rows": (1, 40, 36, 1, 0, 1, 6, 5, 1, 6, 1),
    "wide rows": (1, 100, 3 * 203, 1, 0, 1, 203, 2, 1, 203, 1),
    "wide rows of lanes": (2, 20, 3 * 203, 0, 0, 1, 203, 2, 1, 203, 1),
    "short rows": (1, 400, 6 * 15, 1, 0, 1, 15, 5, 1, 15, 1),
    "triples": (1, 400, 6 * 3, 0, 0, 1, 3, 5, 1, 3, 1),
    "columns": (1, 4, 36, 0, 0, 1, 2, 5, 2, 3, 12, 2, 1),
    "apart": (1, 9, 36, 1, 0, 1, 1, 5, 1, 6, 6),
    "many that lie apart": (1, 9, 600, 1, 0, 1, 1, 5, 1, 100, 6),
    "points": (1, 30, 60, 1, 0, 2, 12, 4, 3, 3, 1, 3, 1),
    "boxes that overlap": (1, 40, 336, 1, 0, 3, 42, 5, 6, 5, 1, 0, 2, 3, 42, 12, 1),
    "lanes": (6, 40, 5, 1, 0, 1, 1, 4, 0),
    "many lanes": (600, 11, 5, 0, 0, 1, 1, 4, 0),
    "unique": (1, 6, 36, 1, 1, 1, 6, 5, 1, 6, 1),
    "unique lanes": (7, 1, 36, 1, 1, 1, 6, 5, 1, 6, 1),
    "one window": (1, 1, 30, 1, 1, 2, 5, 3, 1, 3, 2, 3, 5, 2, 1),
    "no starts": (1, 5, 12, 1, 0, 0, 1, 12, 1),
    "no updates": (1, 0, 12, 1, 1, 1, 4, 2, 1, 4, 1),
    "empty windows": (1, 3, 12, 1, 0, 1, 4, 2, 1, 0, 1),
    "nothing at all": (1, 0, 0, 1, 1, 1, 4, 0, 1, 9, 1),
}
KINDS = ["f32", "f64", "bf16", "f16", "i32", "i64", "u8", "i16", "bool", "u32", "u64", "i8", "u16"]
INDICES = ["i32", "i64", "u64", "i8", "u16", "u32", "i16", "u8"]


def cases() -> list[tuple[str, str, str, str]]:
    """Every form of every operation, and every dtype where elements meet."""
    out = []
    for k, name in enumerate(sorted(SCATTERS)):
        for n, form in enumerate(FORMS):
            out.append((name, form, KINDS[(n + k) % 4], INDICES[n % 3 if n < 9 else n % 8]))
        for n, kind in enumerate(KINDS):
            form = ("many elements", "elements", "points", "many to a few")[(n + k) % 4]
            out.append((name, form, kind, "i32"))
    for kind in ("c64", "c128"):
        out += [(name, "complex", kind, "i32") for name in ("scatter", "scatter_add")]
    return out


FORMS["complex"] = (1, 9, 14, 1, 0, 1, 2, 6, 1, 2, 1)
CASES = cases()


def operands(name: str, params: Params, kind: str, index: str) -> list[np.ndarray[Any, Any]]:
    """Return x, indices and updates, flat; some of the indices are out of range."""
    rng = np.random.default_rng(4)
    lanes, batch, size, _, unique, n, *rest = params
    dtype, where = DTYPES[kind], DTYPES[index]
    width = math.prod(rest[2 * n + 1 :: 2])
    limits = np.iinfo(where)
    most = min(1 + max([*rest[1 : 2 * n : 2], 0]), limits.max)
    low = -1 if where.kind == "i" else 0
    indices = rng.integers(low, most + 1, lanes * batch * n).astype(where)
    if unique:
        indices = np.tile(np.arange(batch * n), lanes).astype(where)
    indices[-2:] = [limits.max, limits.min][: min(2, indices.size)]

    def elements(count: int) -> np.ndarray[Any, Any]:
        if dtype.kind in "biu":
            return rng.integers(-9, 9, count).astype(np.int8).astype(dtype)
        x = rng.normal(size=count)
        if dtype.kind == "c":
            return (x[::2] + 1j * x[1::2]).astype(dtype)
        if name == "scatter_mul":
            return (1 + x / 1e4).astype(dtype)
        x[rng.random(count) < 0.01] = np.nan if name in ("scatter_max", "scatter_min") else 0
        return x.astype(dtype)

    return [elements(lanes * size), indices, elements(lanes * batch * width)]


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_scatters(case: tuple[str, str, str, str], library: Any) -> None:
    name, form, kind, index = case
    params = FORMS[form]
    x, indices, updates = operands(name, params, kind, index)
    want = np.empty_like(x)
    run_library(name, params, [x, indices, updates, want])
    got = [
        library(name, params, [x, indices, updates], [(x.shape, x.dtype)], threads, in_place)[0]
        for threads, in_place in ((1, False), (2, True), (3, False), (7, True))
    ]
    assert len({y.tobytes() for y in got}) == 1
    if x.dtype.kind in "biu" or name not in ("scatter_add", "scatter_mul"):
        left, right = (y.astype(np.float32) if kind == "bf16" else y for y in (got[0], want))
        np.testing.assert_array_equal(left, right)
        return
    within = {"f16": 2e-2, "bf16": 3e-2, "f32": 3e-5, "c64": 3e-5}.get(kind, 1e-13)
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    left, right = got[0].astype(wide), want.astype(wide)
    scale = max(1.0, np.abs(right).max(initial=0))
    np.testing.assert_allclose(left, right, rtol=within, atol=within * scale)


def test_which_way_is_taken() -> None:
    """All of them are tried above."""

    def way(form: str, name: str = "scatter_add", kind: str = "f64") -> str:
        steps = scatter_steps(name, FORMS[form], DTYPES[kind], DTYPES["i32"]).steps
        called = [s.function for s in steps if s.function.name == "scatter"]
        return "-".join(str(function.arguments[-1]) for function in called)

    assert way("many to a few") == way("elements", kind="f16") == "private"
    assert way("many to a few", "scatter") == way("lanes") == way("unique") == "windows"
    assert way("wide rows") == way("wide rows", "scatter") == "columns"
    assert way("no updates") == ""


def test_sums_of_halves_are_rounded_once(library: Any) -> None:
    x, updates = np.ones(1, np.float16), np.full(3000, 2.0**-12, np.float16)
    params = (1, 3000, 1, 1, 0, 1, 1, 0, 0)
    indices = np.zeros(3000, np.int32)
    (got,) = library("scatter_add", params, [x, indices, updates], [((1,), np.float16)])
    assert got[0] == np.float16(1 + 3000 * 2.0**-12)


def test_no_callback_is_left() -> None:
    rng = np.random.default_rng(0)
    x, i, u = rng.random((50, 3)), rng.integers(-60, 60, 40), rng.random((40, 3))

    def update(x: Any, i: Any, u: Any) -> Any:
        return (x * 2).at[i].add(u)

    made = explain(update)(tnp.asarray(x), tnp.asarray(i), tnp.asarray(u))
    assert made.callbacks == 0
    assert "scatter_add" in [s.what for s in made.steps]
    want = x * 2
    kept = (i >= -50) & (i < 50)
    np.add.at(want, i[kept], u[kept])
    got = tracejit.jit(update)(tnp.asarray(x), tnp.asarray(i), tnp.asarray(u))
    np.testing.assert_allclose(got, want, 1e-13)
