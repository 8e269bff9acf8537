"""Convolutions and correlations against SciPy, by every method; derivatives and lanes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import signal as oracle

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.scipy import signal

RNG = np.random.default_rng(0)
SHAPES = [((7,), (3,)), ((7,), (4,)), ((3,), (8,)), ((5, 6), (3, 2)), ((5, 6), (2, 5)),
          ((2, 3), (4, 5)), ((4, 3, 5), (2, 3, 2)), ((4, 1), (3, 1))]  # fmt: skip
MODES = ("full", "same", "valid")


def draw(shape: tuple[int, ...], dtype: str) -> Any:
    x = RNG.normal(size=shape)
    if dtype[0] == "c":
        x = x + 1j * RNG.normal(size=shape)
    return (5 * x).astype(dtype)


def same(found: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = max(1.0, float(np.max(finite, initial=0)))
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", ["convolve", "correlate", "fftconvolve"])
def test_against_scipy(name: str, shapes: Any, mode: str) -> None:
    for dtype, method in itertools.product(("f8", "c16", "f4", "i8"), ("direct", "fft")):
        x, k = (draw(shape, dtype) for shape in shapes)
        how = {} if name == "fftconvolve" else {"method": method}
        wanted = getattr(oracle, name)(x, k, mode, **how)
        ours = getattr(signal, name)
        tolerance = 1e-5 if dtype == "f4" else 1e-12
        same(ours(x, k, mode, **how), wanted, tolerance)
        if dtype == "f8":
            same(tj.jit(lambda x, k, f=ours, h=how: f(x, k, mode, **h))(x, k), wanted, tolerance)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
@pytest.mark.parametrize("boundary", [{}, {"boundary": "wrap"}, {"boundary": "symm"},
                                      {"fillvalue": 2}])  # fmt: skip
def test_planes(name: str, mode: str, boundary: dict[str, Any]) -> None:
    for sizes in [((6, 7), (3, 3)), ((6, 7), (2, 4)), ((5, 5), (1, 2))]:
        for dtype in ("f8", "i8", "c16"):
            x, k = (draw(shape, dtype) for shape in sizes)
            wanted = getattr(oracle, name)(x, k, mode, **boundary)
            same(getattr(signal, name)(x, k, mode, **boundary), wanted)


def test_many_weights() -> None:
    for sizes in [((400,), (150,)), ((30, 40), (12, 37)), ((40, 20), (40, 5))]:
        x, k = (draw(shape, "f8") for shape in sizes)
        for mode in MODES:
            wanted = oracle.convolve(x, k, mode, "direct")
            run = tj.jit(lambda x, k, m=mode: signal.convolve(x, k, m, "direct"))
            same(run(x, k), wanted)
    x[3, 4] = np.inf  # is not spread by weights that are not there
    same(run(x, k), oracle.convolve(x, k, mode, "direct"))


def test_axes_and_method() -> None:
    x, k = draw((3, 8, 5), "f8"), draw((3, 4, 1), "f8")
    same(signal.fftconvolve(x, k, axes=1), oracle.fftconvolve(x, k, axes=1))
    used = {
        n: {e.primitive.name for e in tj.make_program(signal.convolve)(x, x).equations}
        for n, x in ((8, np.ones((8, 8))), (200, np.ones((200, 200))))
    }
    assert "fft" not in used[8]
    assert "fft" in used[200]


@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize("shapes", [((9,), (4,)), ((5, 6), (3, 2)), ((6, 9), (4, 33))])
def test_derivatives(method: str, shapes: Any) -> None:
    def fun(x: Any, k: Any) -> Any:
        return signal.convolve(x, k, "same", method)

    x, k, tx, tk = (draw(shape, "f8") for shape in shapes * 2)
    out, pull = tj.vjp(fun, x, k)
    tangent = tj.jvp(fun, (x, k), (tx, tk))[1]
    same(tangent, np.asarray(fun(tx, k)) + np.asarray(fun(x, tk)))  # bilinear
    ct = RNG.normal(size=out.shape)
    cx, ck = map(np.asarray, pull(ct))
    forward = np.sum(np.asarray(tangent) * ct)
    assert abs(forward - np.sum(cx * tx) - np.sum(ck * tk)) < 1e-10 * abs(forward)
    lanes = np.stack([x, tx])
    wanted = np.stack([np.asarray(fun(v, k)) for v in lanes])
    same(tj.vmap(fun, in_axes=(0, None))(lanes, k), wanted)
    same(tj.jit(tj.grad(lambda x: tnp.sum(fun(x, k) ** 2)))(x), pull(2 * np.asarray(out))[0], 1e-11)


def test_errors() -> None:
    for call, match in [
        (lambda: signal.convolve(np.ones(3), np.ones((3, 3))), "one rank"),
        (lambda: signal.convolve(np.ones(3), np.ones(3), "whole"), "mode"),
        (lambda: signal.convolve(np.ones(3), np.ones(3), method="quick"), "method"),
        (lambda: signal.convolve(np.ones((3, 5)), np.ones((4, 2)), "valid"), "valid"),
        (lambda: signal.convolve2d(np.ones(3), np.ones(3)), "rank 2"),
        (lambda: signal.convolve2d(np.ones((3, 3)), np.ones((3, 3)), boundary="no"), "boundary"),
    ]:
        with pytest.raises(ShapeError, match=match):
            call()
