"""Scans: each of the ways equals the meaning of the library call, in any order of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracejit.ir.dtypes import DTYPES
from tracejit.testing.libraries import run_library
from tracejit_cuda import nvrtc
from tracejit_cuda.native import NativeCall
from tracejit_cuda.prelude import OPTIONS
from tracejit_cuda.runtime import Properties
from tracejit_cuda.scans import SCANS, scan_call
from tracejit_cuda.source import unit

SMALL = Properties("small", "sm_90", 2, 1 << 20, 48 << 10)
LARGE = Properties("large", "sm_90", 132, 50 << 20, 227 << 10)

# outer, length, inner: short rows, rows in one and several tiles, chunks; then columns.
SHAPES = [
    (3, 5, 1),
    (300, 17, 1),
    (7, 100, 1),
    (2, 512, 1),
    (3, 700, 1),
    (2, 4001, 1),
    (1, 40_000, 1),
    (2, 60, 3),
    (1, 3000, 2),
    (1, 10_001, 3),
    (2, 10, 300),
    (3, 70, 40),
    (1, 5000, 33),
    (1, 6, 3000),
]
FLOATS = ["f32", "f64", "bf16", "f16"]
NUMBERS = [*FLOATS, "i32", "u64", "i8", "u16"]
OTHERS = ["u8", "i16", "u32", "i64"]


def accepted(name: str) -> list[str]:
    if name == "cumlogsumexp":
        return FLOATS
    return NUMBERS if name in ("cumsum", "cumprod") else [*NUMBERS, "bool"]


def cases() -> list[tuple[str, tuple[int, ...], str]]:
    """Every way of every operation, and every dtype in two ways."""
    out = []
    for k, name in enumerate(SCANS):
        kinds = accepted(name)
        for n, shape in enumerate(SHAPES):
            if name == "cumlogsumexp" and n % 3 == 1:  # they take long to compile
                continue
            out.append((name, (*shape, (n + k) % 2), kinds[n % len(kinds)]))
    for n, kind in enumerate(OTHERS):
        out.append((("cumsum", "cummax")[n % 2], (5, 70, 1, n // 2), kind))
    return [*out, ("cumsum", (4, 30, 2, 0), "c64"), ("cumsum", (1, 9, 4, 1), "c128")]


def label(case: tuple[str, tuple[int, ...], str]) -> str:
    name, (outer, length, inner, reverse), kind = case
    return f"{name}-{kind}-{outer}x{length}x{inner}{'-reverse' if reverse else ''}"


CASES = {label(case): case for case in cases()}


def call(name: str, params: tuple[int, ...], kind: str) -> NativeCall:
    return scan_call(name, params, DTYPES[kind], SMALL)


def sample(name: str, params: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return elements, flat; the products of floats stay near 1, and there are a few NaN."""
    rng = np.random.default_rng(9)
    size = int(np.prod(params[:3]))
    if dtype.kind == "c":
        size //= 2
        return (rng.normal(size=size) + 1j * rng.normal(size=size)).astype(dtype)
    if dtype.kind in "biu":
        return rng.integers(-3, 4, size).astype(np.int8).astype(dtype)
    if name == "cumprod":
        return (1 + rng.normal(size=size) / 100).astype(dtype)
    x = rng.normal(size=size) * 3
    if name in ("cummax", "cummin", "cumlogsumexp"):
        x[rng.random(size) < 3e-4] = np.nan
        x[rng.random(size) < 3e-3] = -np.inf
    return x.astype(dtype)


@pytest.fixture(scope="module")
def run(native: Any) -> Any:
    return native([call(*case) for case in CASES.values()])


@pytest.mark.parametrize("case", CASES)
def test_scans(case: str, run: Callable[..., Any]) -> None:
    name, params, kind = CASES[case]
    x = sample(name, params, DTYPES[kind])
    want = np.empty_like(x)
    run_library(name, params, [x, want])
    got = run(call(name, params, kind), [x, np.zeros_like(x)])
    in_place = run(call(name, params, kind), [x, x], shared=(0, 1))
    np.testing.assert_array_equal(in_place.view(np.uint8), got.view(np.uint8))
    if x.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want)
        return
    # Rounding differs where the order does; sums of 40,000 numbers are some 1,000 of them.
    within = {"f16": 1e-2, "bf16": 1e-2, "f32": 1e-4, "c64": 1e-4}.get(kind, 1e-12)
    within = 0.0 if name in ("cummax", "cummin") else within
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    got, want = got.astype(wide), want.astype(wide)
    scale = max(1.0, np.nanmax(np.abs(want[np.isfinite(want)]), initial=0))
    np.testing.assert_allclose(got, want, rtol=within, atol=within * scale, equal_nan=True)


SUMS = [(3, 5, 1, 0), (2, 60, 3, 1), (1, 40_000, 1, 0)]


@pytest.fixture(scope="module")
def sums(native: Any) -> Any:
    return native([call("cumsum", params, "f32") for params in SUMS])


def test_zeros_keep_their_sign(sums: Callable[..., Any]) -> None:
    for params in SUMS:
        x = np.full(int(np.prod(params[:3])), -0.0, np.float32)
        assert np.signbit(sums(call("cumsum", params, "f32"), [x, np.ones_like(x)])).all()


def test_sums_are_closer_than_one_after_another(sums: Callable[..., Any]) -> None:
    x = np.random.default_rng(1).random(40_000).astype(np.float32)
    got = sums(call("cumsum", SUMS[2], "f32"), [x, x.copy()])
    exact = np.cumsum(x.astype(np.float64))
    serial = np.cumsum(x, dtype=np.float32)
    assert np.abs(got - exact).max() < np.abs(serial - exact).max() / 4


# ------------------------------------------------------------------------- what is launched


def templates(call: NativeCall) -> list[str]:
    return [launch.body.split("<")[0] for launch in call.launches]


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ((0, 5, 1, 0), []),
        ((1000, 512, 1, 0), ["tj_scan_rows"]),
        ((1000, 513, 1, 0), ["tj_scan_chunks"]),
        ((132, 1 << 20, 1, 0), ["tj_scan_chunks"]),
        ((1, 20_000, 1, 0), ["tj_scan_chunks"]),
        ((1, 1 << 20, 1, 1), ["tj_scan_partials", "tj_scan_chunks"]),
        ((1, 1000, 1 << 20, 0), ["tj_scan_chunks"]),
        ((1, 1000, 4096, 0), ["tj_scan_chunks"]),
        ((1, 1 << 20, 3, 0), ["tj_scan_partials", "tj_scan_chunks"]),
    ],
)
def test_ways(params: tuple[int, ...], wanted: list[str]) -> None:
    assert templates(scan_call("cumsum", params, DTYPES["f32"], LARGE)) == wanted


def test_chunks_cover_columns_and_fill_the_device() -> None:
    for length in (1 << 20, (1 << 20) + 1, 1 << 34):
        for inner in (1, 3, 64):
            for kind in ("f32", "f64", "u8"):
                scan = scan_call("cumsum", (1, length, inner, 0), DTYPES[kind], LARGE).launches[-1]
                values = {f.name: f.value for f in scan.fields}
                chunks, chunk = values["chunks"], values["chunk"]
                assert (chunks - 1) * chunk < length <= chunks * chunk
                assert 2 * 132 <= values["groups"] * chunks <= 5 * 132
                assert scan.blocks == values["groups"] * chunks


def test_a_stride_beyond_an_int() -> None:
    (scan,) = scan_call("cumsum", (1, 100, 1 << 28, 0), DTYPES["i8"], LARGE).launches
    assert "256, 256, 1>" in scan.body
    (scan,) = scan_call("cumsum", (1, 100, 1 << 27, 0), DTYPES["i8"], LARGE).launches
    assert "256, 256, 8>" in scan.body


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
