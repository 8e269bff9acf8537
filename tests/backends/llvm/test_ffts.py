"""Fourier transforms: each of the ways equals the meaning of the call, by any number of threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.ir.dtypes import DTYPES, complex_of
from tracejit.testing.libraries import run_library
from tracejit.tools.explain import explain
from tracejit_llvm.routines import ffts

LENGTHS = range(1, 65)
# Shapes and axes: rows, columns, neighbours in several segments, few and long ones, several axes.
PLACES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((19, 12), (1,)), ((12, 19), (0,)), ((2, 12, 9), (1,)), ((30, 12, 3), (1,)), ((12, 32), (0,)),
    ((5, 3), (1,)), ((1024,), (0,)), ((2, 360), (1,)), ((3, 288), (1,)), ((3, 128, 4), (1,)),
    ((1, 4096), (1,)),
    ((9, 4096), (1,)), ((3, 8192), (1,)), ((1, 360, 2), (2, 1)),
    ((17, 6561), (1,)), ((2, 1 << 17), (1,)),
    ((16, 16, 16), (0, 1, 2)), ((6, 10, 7), (2, 0)),
    ((4, 24, 20), (2, 1)), ((3, 1, 5, 2), (0, 1, 3)), ((1, 1), (0, 1)), ((0, 4), (1,)),
    ((3, 101), (1,)), ((2, 38, 5), (1,)), ((1009,), (0,)), ((2, 17, 19), (1, 2)),
]  # fmt: skip
KINDS = [(0, "c"), (1, "c"), (0, "r"), (1, "r"), (2, "r"), (3, "c")]
WITHIN = {"f64": 4e-16, "f32": 2e-7}


def operands(
    kind: int, of: str, shape: tuple[int, ...], axes: tuple[int, ...], dtype: str
) -> tuple[tuple[int, ...], np.ndarray[Any, Any], tuple[tuple[int, ...], Any]]:
    """Return params, an operand, and shape and dtype of the result, both flat."""
    rng = np.random.default_rng(5)
    real = DTYPES[dtype]
    full = list(shape)
    last = full[axes[-1]]
    half = last // 2 + 1
    if kind == 3:
        shape = tuple(half if a == axes[-1] else n for a, n in enumerate(full))
    size = math.prod(shape)
    x = rng.normal(size=size).astype(real)
    if of == "c":
        x = (x + 1j * rng.normal(size=size)).astype(complex_of(real))
    out = math.prod(half if a == axes[-1] and kind == 2 else n for a, n in enumerate(full))
    params = (kind, len(full) % 3, last, len(shape), *shape, *axes)
    return params, x, ((out,), real if kind == 3 else complex_of(real))


def check(library: Any, case: tuple[Any, ...], dtype: str, threads: tuple[int, ...]) -> None:
    params, x, result = operands(*case, dtype)
    want = np.empty(*result)
    wide = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    exact = np.empty(result[0], np.float64 if params[0] == 3 else np.complex128)
    run_library("fft", params, [wide, exact])
    want[:] = exact
    got = [library("fft", params, [x], [result], n)[0] for n in threads]
    if x.dtype == result[1]:
        got.append(library("fft", params, [x], [result], 2, True)[0])
    assert len({y.tobytes() for y in got}) == 1
    scale = np.abs(want).max(initial=0)
    error = np.abs(got[0] - exact).max(initial=0)
    assert error <= WITHIN[dtype] * (1 + math.log2(max(2, x.size))) * scale


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_places(library: Any, kind: tuple[int, str], place: Any) -> None:
    check(library, (*kind, *place), ("f64", "f32")[KINDS.index(kind) % 2], (1, 2, 3, 7))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_vectors_of_half_the_width(
    library: Any, kind: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffts, "_vector_bytes", lambda: 32)
    for n, place in enumerate((((19, 12), (1,)), ((2, 18, 7), (1,)), ((2, 128), (1,)))):
        check(library, (*kind, *place), ("f64", "f32")[n % 2], (1, 2))


@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_lengths(library: Any, dtype: str) -> None:
    for n in LENGTHS:
        kind = KINDS[n % len(KINDS)]
        check(library, (*kind, (20, n), (1,)), dtype, (1,))


@pytest.mark.parametrize(("kind", "of"), KINDS)
@pytest.mark.parametrize("n", [6, 9, 17])
def test_transforms_do_not_meet(library: Any, kind: int, of: str, n: int) -> None:
    params, x, result = operands(kind, of, (11, n), (1,), "f64")
    (clean,) = library("fft", params, [x], [result])
    x = x.reshape(11, -1).copy()
    x[3], x[7] = np.nan, 1e300
    (got,) = library("fft", params, [x.reshape(-1)], [result])
    kept = [row for row in range(11) if row not in (3, 7)]
    left, right = (y.reshape(11, -1)[kept] for y in (got, clean))
    assert left.tobytes() == right.tobytes()
    assert np.isnan(got.reshape(11, -1)[3]).all()


def test_what_must_be_real_is_taken_so(library: Any) -> None:
    for n in (1, 2, 5, 8):
        x = np.arange(2.0 * (n // 2 + 1)).view(np.complex128) + 1j
        params = (3, 0, n, 1, x.size, 0)
        (got,) = library("fft", params, [x], [((n,), np.float64)])
        np.testing.assert_allclose(got, np.fft.irfft(x, n), atol=1e-15)


def test_a_long_one_is_close(library: Any) -> None:
    k = np.arange(1 << 15)
    for frequency in (1, 12_345):
        x = np.exp(2j * np.pi * (k * frequency % k.size) / k.size)
        (got,) = library("fft", (0, 0, k.size, 1, k.size, 0), [x], [(x.shape, x.dtype)], 2)
        assert abs(got[frequency] / k.size - 1) < 1e-15
        got[frequency] = 0
        assert np.abs(got).max() / k.size < 2e-16


def test_loops_call_nothing_back() -> None:
    k = np.fft.fftfreq(24)[:, None] ** 2 + np.fft.rfftfreq(20) ** 2

    def smooth(x: Any) -> Any:
        def step(_: Any, x: Any) -> Any:
            return tnp.fft.irfft2(tnp.fft.rfft2(x) * tnp.exp(-k), x.shape)

        return lax.fori_loop(0, 5, step, x)

    x = np.random.default_rng(2).normal(size=(24, 20))
    made = explain(smooth)(x)
    assert made.callbacks == 0
    assert [s.kind for s in made.steps if s.what == "fft"] == ["library", "library"]
    want = x
    for _ in range(5):
        want = np.fft.irfft2(np.fft.rfft2(want) * np.exp(-k), x.shape)
    np.testing.assert_allclose(tracejit.jit(smooth)(x), want, rtol=1e-12, atol=1e-13)


def test_where_an_array_is_not_contiguous() -> None:
    x = np.random.default_rng(3).normal(size=(9, 16, 10))[::2, ::-1, 1::3]
    for axis in range(3):
        found = tracejit.jit(lambda x, axis=axis: tnp.fft.fft(x, axis=axis))(x)
        np.testing.assert_allclose(found, np.fft.fft(x, axis=axis), atol=1e-13)


def test_eager_and_staged_agree_in_lanes_and_derivatives() -> None:
    x = np.random.default_rng(4).normal(size=(3, 6, 8))

    def energy(x: Any) -> Any:
        return tnp.sum(tnp.abs(tnp.fft.rfft2(x) ** 2))

    eager = tracejit.grad(energy)(x[0])
    np.testing.assert_allclose(tracejit.jit(tracejit.grad(energy))(x[0]), eager, rtol=1e-12)
    lanes = tracejit.jit(tracejit.vmap(tracejit.grad(energy)))(x)
    np.testing.assert_allclose(lanes[0], eager, rtol=1e-12)
