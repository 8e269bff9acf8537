"""Fourier, cosine and sine transforms against SciPy; derivatives and lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import fft as oracle

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.scipy import fft

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5))
Z = X + 1j * RNG.normal(size=X.shape)
COSINES = ["dct", "idct", "dst", "idst"]
HOW: list[dict[str, Any]] = [
    {}, {"axis": 0}, {"n": 3}, {"n": 8, "axis": 1}, {"norm": "ortho"}, {"norm": "forward"},
    {"orthogonalize": True}, {"norm": "ortho", "orthogonalize": False, "axis": 1},
]  # fmt: skip


def same(found: Any, wanted: Any, tolerance: float = 1e-13) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("how", HOW, ids=str)
@pytest.mark.parametrize("kind", [1, 2, 3, 4])
@pytest.mark.parametrize("name", COSINES)
def test_cosines(name: str, kind: int, how: dict[str, Any]) -> None:
    ours, theirs = getattr(fft, name), getattr(oracle, name)
    same(ours(X, kind, **how), theirs(X, kind, **how))
    many = {"s": [4, 6], "axes": [0, 2], **{k: v for k, v in how.items() if k[0] in "no" and v}}
    many.pop("n", None)
    same(getattr(fft, f"{name}n")(X, kind, **many), getattr(oracle, f"{name}n")(X, kind, **many))


@pytest.mark.parametrize("name", COSINES)
def test_lengths_and_dtypes(name: str) -> None:
    ours, theirs = getattr(fft, name), getattr(oracle, name)
    for kind in (1, 2, 3, 4):
        for n in (1, 2, 3, 4, 7, 12):
            if (kind, n) != (1, 1) or "dst" in name:
                x = X.reshape(-1)[:n]
                same(ours(x, kind), theirs(x, kind))
        same(ours(Z, kind), theirs(Z, kind))
        for dtype in ("f4", "i4", "f2"):
            x = (4 * X).astype(dtype)
            same(ours(x, kind), theirs(x, kind), 3e-5)


NAMES = [n for n in fft.__all__ if n.endswith(("fft", "fftn", "fft2"))]


@pytest.mark.parametrize("name", NAMES)
def test_fourier(name: str) -> None:
    is_real = "rfft" in name.replace("irfft", "") or name.startswith("ih")
    x = X if is_real else Z
    ours, theirs = getattr(fft, name), getattr(oracle, name)
    one = name.endswith("fft")
    hows: list[dict[str, Any]] = [{}, {"norm": "ortho"}, {"norm": "forward"}]
    hows += [{"n": 6, "axis": 1}] if one else [{"s": (6, 3), "axes": (2, 0)}]
    for how in hows:
        same(ours(x, **how), theirs(x, **how))
    same(ours(X.astype("f2")), theirs(X.astype("f2")), 1e-2)
    with pytest.raises(NotImplementedError, match=name):
        ours(x, plan=1)
    if not one:
        with pytest.raises(ShapeError, match=name):
            ours(x, axes=(1, 1))


def test_frequencies() -> None:
    same(fft.fftfreq(5, 0.2), oracle.fftfreq(5, 0.2))
    same(fft.rfftfreq(6), oracle.rfftfreq(6))
    same(fft.fftshift(X), oracle.fftshift(X))
    same(fft.ifftshift(X, 1), oracle.ifftshift(X, 1))
    assert fft.next_fast_len(97) == oracle.next_fast_len(97)
    assert fft.prev_fast_len(97, True) == oracle.prev_fast_len(97, True)


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_transformed(kind: int) -> None:
    def round_trip(x: Any) -> Any:
        return fft.idct(fft.dct(x, kind), kind)

    same(tj.jit(round_trip)(X), X)
    same(tj.vmap(lambda x: fft.dst(x, kind), in_axes=1, out_axes=1)(X), oracle.dst(X, kind))
    t = RNG.normal(size=X.shape)
    out, pull = tj.vjp(lambda x: fft.dctn(x, kind), X)
    forward = float(tnp.sum(out * fft.dctn(t, kind)))
    assert abs(forward - float(tnp.sum(t * pull(out)[0]))) < 1e-11 * abs(forward)


def test_errors() -> None:
    with pytest.raises(ShapeError, match="type"):
        fft.dct(X, 5)
    with pytest.raises(ShapeError, match="two data points"):
        fft.dct(X[..., :1], 1)
    with pytest.raises(ShapeError, match="idctn: a length for each axis"):
        fft.idctn(X, s=[3], axes=[0, 1])
    with pytest.raises(ShapeError, match="norm"):
        fft.dst(X, norm="unitary")
    with pytest.raises(ShapeError, match="data point"):
        fft.dst(X, n=0)
