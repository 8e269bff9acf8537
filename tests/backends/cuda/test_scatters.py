"""Scatters: each of the ways equals the meaning of the library call, in any order of threads."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tracejit.ir.dtypes import DTYPES
from tracejit.testing.libraries import run_library
from tracejit_cuda import nvrtc
from tracejit_cuda.native import NativeCall
from tracejit_cuda.prelude import OPTIONS
from tracejit_cuda.runtime import Properties
from tracejit_cuda.scatters import CHUNK, SCATTERS, scatter_call
from tracejit_cuda.source import unit

SMALL = Properties("small", "sm_90", 2, 1 << 20, 48 << 10)
LARGE = Properties("large", "sm_90", 132, 50 << 20, 227 << 10)

Params = tuple[int, ...]

# lanes, batch, size, drop, unique, then the starts and the axes of a window.
FORMS: dict[str, Params] = {
    "elements": (1, 5, 7, 1, 0, 1, 1, 6, 0),
    "many elements": (1, 3000, 70, 1, 0, 1, 1, 69, 0),
    "few places": (1, 2500, 9, 0, 0, 1, 1, 2, 0),
    "rows": (1, 40, 36, 1, 0, 1, 6, 5, 1, 6, 1),
    "many rows": (1, 2000, 36, 1, 0, 1, 6, 5, 1, 6, 1),
    "columns": (1, 4, 36, 0, 0, 1, 2, 5, 2, 3, 12, 2, 1),
    "points": (1, 30, 60, 1, 0, 2, 12, 4, 3, 3, 1, 3, 1),
    "boxes that overlap": (1, 40, 336, 1, 0, 3, 42, 5, 6, 5, 1, 0, 2, 3, 42, 12, 1),
    "many that overlap": (1, 700, 40, 1, 0, 1, 4, 6, 1, 12, 1),
    "lanes": (6, 40, 5, 1, 0, 1, 1, 4, 0),
    "unique": (1, 6, 36, 1, 1, 1, 6, 5, 1, 6, 1),
    "one window": (1, 1, 30, 1, 1, 2, 5, 3, 1, 3, 2, 3, 5, 2, 1),
    "no starts": (1, 5, 12, 1, 0, 0, 1, 12, 1),
    "no updates": (1, 0, 12, 1, 1, 1, 4, 2, 1, 4, 1),
    "chunks": (1, CHUNK + 300, 50, 1, 0, 1, 1, 49, 0),
}
KINDS = ["f32", "f64", "bf16", "f16", "i32", "i64", "u8", "i16", "bool", "u32", "u64", "i8", "u16"]
INDICES = ["i32", "i64", "u64", "i8", "u16"]


def cases() -> dict[str, tuple[str, Params, str, str, bool]]:
    """Every way of every operation, and every dtype in the forms that meet at one place."""
    out = {}
    forms = list(FORMS)
    for k, name in enumerate(SCATTERS):
        for n, form in enumerate(forms):
            kind = KINDS[(n + k) % 4]
            if form == "chunks" and name not in ("scatter_mul", "scatter_add"):
                continue
            index = INDICES[n % len(INDICES)]
            out[f"{name}-{form}-{kind}-{index}"] = (name, FORMS[form], kind, index, True)
        for n, kind in enumerate(KINDS):
            form = ("many elements", "elements", "points")[(n + k) % 3]
            out[f"{name}-{form}-{kind}-i32"] = (name, FORMS[form], kind, "i32", True)
    for name, kind in (("scatter_add", "f32"), ("scatter_add", "bf16"), ("scatter_mul", "f64")):
        case = (name, FORMS["many elements"], kind, "i32", False)
        out[f"{name}-{kind}-atomic"] = case
    for kind in ("c64", "c128"):
        for name in ("scatter", "scatter_add"):
            params = (1, 9, 14, 1, 0, 1, 2, 6, 1, 2, 1)
            out[f"{name}-{kind}"] = (name, params, kind, "i32", True)
    return out


CASES = cases()


def call(name: str, params: Params, kind: str, index: str, fixed: bool) -> NativeCall:
    return scatter_call(name, params, DTYPES[kind], DTYPES[index], SMALL, fixed)


def operands(params: Params, kind: str, index: str) -> list[np.ndarray[Any, Any]]:
    """Return x, indices and updates, flat; some of the indices are out of range."""
    rng = np.random.default_rng(4)
    lanes, batch, size, _, _, n, *rest = params
    dtype, where = DTYPES[kind], DTYPES[index]
    width = math.prod(rest[2 * n + 1 :: 2])
    most = 1 + max([*rest[1 : 2 * n : 2], 0])
    low = -1 if where.kind == "i" else 0
    indices = rng.integers(low, most + 1, lanes * batch * n).astype(where)
    indices[-2:] = [np.iinfo(where).max, np.iinfo(where).min][: min(2, indices.size)]

    def elements(count: int) -> np.ndarray[Any, Any]:
        parts = 2 if dtype.kind == "c" else 1
        if dtype.kind in "biu":
            return rng.integers(-9, 9, count).astype(np.int8).astype(dtype)
        x = rng.normal(size=count) * 10.0 ** rng.integers(-2, 3, count)
        x[rng.random(count) < 0.01] = 0
        if parts == 2:
            return (x[::2] + 1j * x[1::2]).astype(dtype)
        return np.where(np.abs(x) < 1e-3, 1, x).astype(dtype) if lanes else x.astype(dtype)

    return [elements(lanes * size), indices, elements(lanes * batch * width)]


@pytest.fixture(scope="module")
def run(native: Any) -> Any:
    return native([call(*case) for case in CASES.values()])


def inexact(name: str, kind: str) -> bool:
    return DTYPES[kind].kind in "fVc" and name in ("scatter_add", "scatter_mul")


@pytest.mark.parametrize("case", [c for c in CASES if CASES[c][4]])
def test_scatters(case: str, run: Callable[..., Any]) -> None:
    name, params, kind, index, _ = CASES[case]
    x, indices, updates = operands(params, kind, index)
    if name == "scatter_mul" and x.dtype.kind in "fV":
        updates = (1 + updates.astype(np.float64) / 1e4).astype(x.dtype)
    want = np.empty_like(x)
    run_library(name, params, [x, indices, updates, want])
    got = run(call(*CASES[case]), [x, indices, updates, np.zeros_like(x)])
    in_place = run(call(*CASES[case]), [x, indices, updates, x], shared=(0, 3))
    np.testing.assert_array_equal(in_place.view(np.uint8), got.view(np.uint8))
    if not inexact(name, kind):
        np.testing.assert_array_equal(got, want)
        return
    within = {"f16": 1e-2, "bf16": 3e-2, "f32": 3e-6, "c64": 3e-6}.get(kind, 1e-14)
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    got, want = got.astype(wide), want.astype(wide)
    scale = np.abs(want).max(initial=0) + 1000
    np.testing.assert_allclose(got, want, rtol=within, atol=within * scale)


@pytest.mark.parametrize("case", [c for c in CASES if not CASES[c][4]])
def test_atomic_scatters(case: str, native: Any) -> None:
    name, params, kind, index, _ = CASES[case]
    x, indices, updates = operands(params, kind, index)
    # Small integers, so that the order is of no matter.
    x = np.clip(np.rint(x.astype(np.float64)), -9, 9).astype(x.dtype)
    updates = np.ones_like(updates)
    updates[::2] = 2 if name == "scatter_add" else -1
    want = np.empty_like(x)
    run_library(name, params, [x, indices, updates, want])
    scatter = call(*CASES[case])
    got = native([scatter])(scatter, [x, indices, updates, np.zeros_like(x)])
    assert templates(scatter)[-1 if kind != "bf16" else -2] == "tj_scatter_atomic"
    np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-2)


# ---------------------------------------------------------------------------- special values


def added(native: Any, x: Any, where: Any, updates: Any) -> Any:
    """Return sums in fixed point."""
    count = len(where)
    # So many that they are not linked; those beyond the end are dropped.
    indices = np.full(3000, len(x), np.int32)
    indices[:count] = where
    moved = np.ones(3000, x.dtype)
    moved[:count] = updates
    params = (1, 3000, len(x), 1, 0, 1, 1, len(x) - 1, 0)
    scatter = scatter_call("scatter_add", params, x.dtype, indices.dtype, SMALL)
    assert "tj_scatter_totals" in templates(scatter)
    return native([scatter])(scatter, [x, indices, moved, np.zeros_like(x)])


@pytest.mark.parametrize("kind", ["f32", "f64", "f16", "bf16"])
def test_infinities_and_nan(native: Any, kind: str) -> None:
    dtype = DTYPES[kind]
    inf, nan = np.inf, np.nan
    x = np.array([1, inf, -inf, nan, 2, 3, inf, -0.0, 5, 0], dtype)
    where = [0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
    updates = np.array([inf, 1, 2, 3, 1, inf, -inf, nan, -inf, 0.0, -inf, 1], dtype)
    got = added(native, x, where, updates).astype(float)
    np.testing.assert_array_equal(
        got, [inf, inf, -inf, nan, nan, nan, nan, 0, -inf, 0]
    )
    assert np.signbit(got[7])  # nothing was added


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_sums_are_those_of_exact_numbers(native: Any, kind: str) -> None:
    """Of any magnitudes, subnormal ones too, and where they cancel."""
    rng = np.random.default_rng(6)
    dtype = DTYPES[kind]
    limits = np.finfo(dtype)
    least, greatest = int(np.log2(limits.smallest_subnormal)), int(limits.maxexp) - 14
    places, count = 12, 2800
    where = rng.integers(0, places, count)
    centre = np.array([0, -20, 30, least, least + 5, greatest, greatest - 60, 0, 1, 2, 3, 4])
    spread = np.array([3, 3, 60, 2, 30, 3, 50, 0, 8, 20, 100, 1])
    powers = centre[where] + rng.integers(-spread[where], spread[where] + 1)
    powers = np.clip(powers, least, greatest)
    updates = np.ldexp(rng.uniform(-1, 1, count), powers).astype(dtype)
    where = np.append(where, [7, 7, 7])
    updates = np.append(updates, np.array([1e30, 1.25, -1e30], dtype))
    x = np.ldexp(rng.uniform(-1, 1, places), centre).astype(dtype)
    got = added(native, x, where, updates)
    for place in range(places):
        mine = [x[place], *updates[where == place]]
        exact = sum((Fraction(float(v)) for v in mine), Fraction(0))
        unit = Fraction(float(np.spacing(np.abs(got[place]))))
        greatest_of_all = max(abs(Fraction(float(v))) for v in mine)
        lost = greatest_of_all * Fraction(len(mine), 2 ** (50 if kind == "f32" else 99))
        assert abs(Fraction(float(got[place])) - exact) <= unit + lost


def test_extremes_do_not_depend_on_order(native: Any) -> None:
    x = np.array([0.0, -0.0, np.nan, 1.0], np.float32)
    indices = np.array([0, 1, 0, 1, 2, 3, 3], np.int32)
    updates = np.array([-0.0, 0.0, 0.0, -0.0, 5.0, np.nan, 2.0], np.float32)
    for name, signs in (("scatter_max", [False, False]), ("scatter_min", [True, True])):
        scatter = call(name, (1, 7, 4, 1, 0, 1, 1, 3, 0), "f32", "i32", True)
        got = native([scatter])(scatter, [x, indices, updates, x.copy()])
        np.testing.assert_array_equal(got, [0, 0, np.nan, np.nan])
        assert np.signbit(got[:2]).tolist() == signs


# ------------------------------------------------------------------------- what is launched


def templates(call: NativeCall) -> list[str]:
    return [launch.body.split("<")[0].split("(")[0] for launch in call.launches]


BEGIN, LINKS = "tj_scatter_begin", "tj_scatter_links"
MARKED = [BEGIN, "tj_scatter_fill", "tj_scatter_mark", "tj_scatter_won"]
FIXED = ["tj_scatter_fill", "tj_scatter_scales", "tj_scatter_sums", "tj_scatter_totals"]


@pytest.mark.parametrize(
    ("name", "kind", "params", "wanted"),
    [
        # A bin for each of a million elements.
        ("scatter_add", "f32", (1, 1 << 20, 1000, 1, 0, 1, 1, 999, 0), FIXED),
        ("scatter_add", "i32", (1, 1 << 20, 1000, 1, 0, 1, 1, 999, 0),
         [BEGIN, "tj_scatter_atomic"]),
        ("scatter", "f32", (1, 1 << 20, 1 << 20, 1, 0, 1, 1, (1 << 20) - 1, 0), MARKED),
        # A few into much.
        ("scatter_add", "f32", (1, 100, 1 << 26, 1, 0, 1, 1, (1 << 26) - 1, 0),
         [BEGIN, LINKS, "tj_scatter_linked"]),
        ("scatter", "f32", (1, 100, 1 << 26, 1, 0, 1, 1, (1 << 26) - 1, 0),
         [BEGIN, LINKS, "tj_scatter_linked"]),
        # Rows of an embedding.
        ("scatter_add", "f32", (1, 8192, 50_000 * 512, 1, 0, 1, 512, 49_999, 1, 512, 1),
         [BEGIN, LINKS, "tj_scatter_linked"]),
        ("scatter_mul", "f64", (1, 20_000, 9, 1, 0, 1, 1, 8, 0),
         [BEGIN, LINKS, *["tj_scatter_linked"] * 3]),
        ("scatter_mul", "f64", (1, 20_000, 9, 1, 1, 1, 1, 8, 0), [BEGIN, "tj_scatter_each"]),
        ("scatter_min", "u8", (1, 50, 9, 1, 0, 1, 1, 8, 0),
         ["tj_scatter_widen", "tj_scatter_atomic", "tj_scatter_narrow"]),
    ],
)  # fmt: skip
def test_ways(name: str, kind: str, params: Params, wanted: list[str]) -> None:
    scatter = scatter_call(name, params, DTYPES[kind], DTYPES["i32"], LARGE)
    assert templates(scatter) == wanted


def test_cells_beyond_an_int() -> None:
    params = (1, 1 << 20, 1 << 32, 1, 0, 1, 1, (1 << 32) - 1, 0)
    for name in ("scatter", "scatter_mul"):
        scatter = scatter_call(name, params, DTYPES["i8"], DTYPES["i64"], LARGE)
        bodies = " ".join(launch.body for launch in scatter.launches)
        assert "tj_scatter_links<long long, long long, true, 256" in bodies


def test_sums_that_would_take_too_much_memory_are_linked() -> None:
    params = (1, 1 << 22, 1 << 29, 1, 0, 1, 1, (1 << 29) - 1, 0)
    scatter = scatter_call("scatter_add", params, DTYPES["f32"], DTYPES["i64"], LARGE)
    assert templates(scatter)[1] == LINKS
    assert scatter.scratch_bytes == 4 << 22


@pytest.mark.skipif(bool(nvrtc.missing()), reason="NVRTC is not installed")
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_no_kernel_spills(arch: str) -> None:
    parts = {x.part().name: x.part() for case in CASES.values() for x in call(*case).launches}
    log = nvrtc.compile_cubin(unit(parts.values()), arch, (*OPTIONS, "--ptxas-options=-v")).log
    usage = nvrtc.usage(log)
    assert set(parts) <= set(usage)
    wrong = [
        f"{used} {parts[name].text}"
        for name, used in usage.items()
        if used.spill_stores or used.stack_frame or used.registers > 64
    ]
    assert not wrong, "\n".join(wrong)
