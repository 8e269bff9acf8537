"""Fourier transforms against NumPy: rows of a table, eagerly, staged, in lanes, derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.numpy.promotion import UnsupportedArgument

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5))
Z = X + 1j * RNG.normal(size=X.shape)
N = RNG.integers(-9, 9, (3, 4))
TINY = (RNG.normal(size=1), RNG.normal(size=2))
ONE_AXIS: list[dict[str, Any]] = [
    {}, {"n": 3}, {"n": 8, "axis": 1}, {"axis": 0}, {"n": 1}, {"norm": "ortho"},
    {"norm": "forward", "n": 7}, {"axis": -2, "norm": "backward"},
]  # fmt: skip
AXES: list[dict[str, Any]] = [
    {}, {"s": (4, 3), "axes": (0, 2)}, {"s": (2, 6), "axes": (-1, 0)}, {"axes": (1,)},
    {"norm": "ortho"}, {"norm": "forward", "axes": (2, 1)}, {"s": (-1, 7), "axes": (1, 2)},
    {"axes": (1, 2, 1)},
]  # fmt: skip
REAL = ("rfft", "ihfft", "rfftn", "rfft2")
FREE = [(f, how) for f in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft") for how in ONE_AXIS]
FREE += [(f, how) for f in ("fftn", "ifftn", "rfftn", "irfftn", "fft2", "rfft2", "irfft2", "ifft2")
         for how in AXES]  # fmt: skip


def same(found: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "how"), FREE)
def test_against_numpy(name: str, how: dict[str, Any]) -> None:
    for x in (X, *([] if name in REAL else [Z])):
        wanted = getattr(np.fft, name)(x, **how)
        ours = getattr(tnp.fft, name)
        same(ours(x, **how), wanted)
        same(tj.jit(lambda x, ours=ours: ours(x, **how))(x), wanted)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize("dtype", ["bool", "i1", "u2", "i8", "f2", "f4", "f8", "c8", "c16"])
def test_dtypes(name: str, dtype: str) -> None:
    x = (
        (N + (2 if dtype == "u2" else 0))
        .astype("i2")
        .clip(0 if dtype == "u2" else -9)
        .astype(dtype)
    )
    if name in ("rfft", "ihfft") and dtype[0] == "c":
        with pytest.raises(DTypeError, match=name):
            getattr(tnp.fft, name)(x)
        return
    wanted = getattr(np.fft, name)(x)
    same(getattr(tnp.fft, name)(x), wanted, 1e-5 if dtype in ("f4", "c8") else 1e-2)
    same(getattr(np.fft, name)(tnp.asarray(x)), getattr(tnp.fft, name)(x))


def test_short_and_empty() -> None:
    for x in TINY:
        same(tnp.fft.rfft(x), np.fft.rfft(x))
        same(tnp.fft.irfft(tnp.fft.rfft(x), n=len(x)), x)
    same(tnp.fft.fft(np.ones((0, 4))), np.ones((0, 4), complex))
    same(tnp.fft.irfft2(np.ones((0, 4, 3))), np.ones((0, 4, 4)))


def test_frequencies_and_shifts() -> None:
    for n in (1, 2, 5, 8):
        same(tnp.fft.fftfreq(n, 0.3), np.fft.fftfreq(n, 0.3))
        same(tnp.fft.rfftfreq(n), np.fft.rfftfreq(n))
        same(tj.jit(lambda d, n=n: tnp.fft.fftfreq(n, d))(0.3), np.fft.fftfreq(n, 0.3))
    assert tnp.fft.rfftfreq(4, dtype="float32").dtype == np.float32
    for axes in (None, 1, (0, -1)):
        same(tnp.fft.fftshift(X, axes), np.fft.fftshift(X, axes))
        same(tnp.fft.ifftshift(X, axes), np.fft.ifftshift(X, axes))


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "irfft2"])
@pytest.mark.parametrize("how", [{}, {"norm": "ortho"}, {"norm": "forward"}])
def test_derivatives(name: str, how: dict[str, Any]) -> None:
    def fun(x: Any) -> Any:
        return getattr(tnp.fft, name)(x, **how)

    for x in (X, X[..., :4], *([] if name in REAL else [Z])):
        t = RNG.normal(size=x.shape).astype(x.dtype)
        out, pull = tj.vjp(fun, x)
        same(tj.jvp(fun, (x,), (t,))[1], fun(t))  # linear
        ct = RNG.normal(size=out.shape) + (0.3j if np.iscomplexobj(np.asarray(out)) else 0)
        forward = np.sum(np.asarray(fun(t)) * ct).real
        reverse = np.sum(t * np.asarray(pull(ct)[0])).real
        assert abs(forward - reverse) < 1e-11 * max(1, abs(forward))
        assert pull(ct)[0].dtype == x.dtype


def test_gradient_of_gradient() -> None:
    def energy(x: Any) -> Any:
        return tnp.sum(tnp.abs(tnp.fft.rfft(x) ** 2) ** 2)

    x, t = X[0, 0], RNG.normal(size=5)
    slope = tj.jvp(tj.grad(energy), (x,), (t,))[1]
    step = 1e-6
    ahead, behind = (np.asarray(tj.grad(energy)(x + s * step * t)) for s in (1, -1))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lanes(axis: int) -> None:
    lanes = np.moveaxis(X, axis, 0)
    for fun in (tnp.fft.rfft2, tnp.fft.irfft2, lambda x: tnp.fft.fft(x, axis=0)):
        wanted = np.stack([np.asarray(fun(x)) for x in lanes])
        same(tj.vmap(fun, in_axes=axis)(X), wanted)


def test_lax() -> None:
    same(lax.fft(X, lax.FftType.RFFT, (4, 5)), np.fft.rfft2(X))
    same(lax.fft(Z, "IFFT", (5,)), np.fft.ifft(Z))
    same(lax.fft(Z, lax.FftType.IRFFT, [8]), np.fft.irfft(Z))
    with pytest.raises(ShapeError, match=r"lengths \(6,\)"):
        lax.fft(X, "FFT", (6,))
    with pytest.raises(ShapeError, match="kind"):
        lax.fft(X, "DCT", (5,))


def test_same_bits_for_any_number_of_threads() -> None:
    x = RNG.normal(size=(190, 202))
    found = []
    for n in (1, 2, 3, 7):
        with tj.settings(num_threads=n):
            found.append(np.asarray(tnp.fft.irfft2(tnp.fft.rfft2(x), x.shape)).tobytes())
    assert len(set(found)) == 1


def test_errors() -> None:
    with pytest.raises(ShapeError, match="norm"):
        tnp.fft.fft(X, norm="unitary")
    with pytest.raises(ShapeError, match="data point"):
        tnp.fft.fft(X, n=0)
    with pytest.raises(ShapeError, match="length for each axis"):
        tnp.fft.fftn(X, s=(3,), axes=(0, 1))
    with pytest.raises(ShapeError, match="rank 0"):
        tnp.fft.fft(1.0)
    with pytest.raises(UnsupportedArgument, match="fft"):
        tnp.fft.fft(X, out=Z)
