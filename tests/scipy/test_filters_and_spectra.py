"""Filters, spectra, rates and windows against SciPy; derivatives and lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal as oracle

import tracejit as tj
from tracejit.core.errors import ShapeError
from tracejit.scipy import signal
from tracejit.test_util import check_grads

RNG = np.random.default_rng(0)
X, WIDE = RNG.normal(size=60), RNG.normal(size=(2, 60, 3))
Z = X + 1j * X[::-1]
B, A = oracle.butter(3, 0.3)
SOS = oracle.butter(5, [0.2, 0.5], "band", output="sos")
ZXX = oracle.stft(X, nperseg=16)[2]

ROWS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("lfilter", (B, A, X), {}), ("lfilter", (B, 2 * A, WIDE), {"axis": 1}),
    ("lfilter", (B, [1.0], X), {}), ("lfilter", ([1.0], A, Z), {}), ("lfilter", (B, A[:2], X), {}),
    ("lfilter", (B, A, X), {"zi": [1.0, 2, 3]}), ("lfilter", (B, [2.0], X), {"zi": [1.0, 2, 3]}),
    ("lfilter", (B, A, WIDE), {"axis": 1, "zi": RNG.normal(size=(2, 3, 3))}),
    ("lfilter_zi", (B, A), {}), ("sosfilt_zi", (SOS,), {}),
    ("sosfilt", (SOS, X), {}), ("sosfilt", (SOS, WIDE), {"axis": 1}),
    ("sosfilt", (SOS, WIDE), {"axis": 1, "zi": RNG.normal(size=(5, 2, 2, 3))}),
    *[("filtfilt", (B, A, X), how) for how in ({}, {"padtype": "even"}, {"padtype": None},
                                               {"padtype": "constant", "padlen": 4})],
    ("filtfilt", (B, A, WIDE), {"axis": 1}), ("filtfilt", (B, [1.0], X), {}),
    ("sosfiltfilt", (SOS, X), {}), ("sosfiltfilt", (SOS, WIDE), {"axis": 1}),
    ("savgol_coeffs", (7, 2), {"deriv": 1}),
    *[("savgol_filter", (WIDE, 7, 3), {"axis": 1, "mode": m})
      for m in ("interp", "mirror", "nearest", "constant", "wrap")],
    ("savgol_filter", (X, 5, 2), {"deriv": 1, "delta": 0.3}),
    ("savgol_filter", (X, 6, 2), {"mode": "nearest"}),
    ("detrend", (X,), {}), ("detrend", (WIDE,), {"axis": 1, "bp": [20, 45]}),
    ("detrend", (X,), {"type": "constant"}),
    *[("stft", (X,), {"nperseg": 16, **how}) for how in (
        {}, {"boundary": "even"}, {"boundary": "odd", "padded": False}, {"boundary": None},
        {"boundary": "constant", "nfft": 20}, {"noverlap": 3, "fs": 10.0}, {"scaling": "psd"},
        {"detrend": "linear"}, {"return_onesided": False})],
    ("stft", (WIDE,), {"nperseg": 15, "axis": 1, "window": ("kaiser", 4.0)}),
    ("istft", (ZXX,), {}), ("istft", (ZXX,), {"scaling": "psd", "fs": 3.0}),
    *[("welch", (X,), {"nperseg": 16, **how}) for how in (
        {}, {"average": "median"}, {"scaling": "spectrum"}, {"noverlap": 0, "detrend": False})],
    ("welch", (WIDE,), {"axis": 1, "nperseg": 21, "window": "hamming", "fs": 5.0}),
    ("welch", (X,), {"nperseg": 8, "window": np.arange(8.0)}),
    ("csd", (X, X[::-1]), {"nperseg": 16}),
    ("csd", (X, X[::-1]), {"nperseg": 12, "average": "median"}),
    ("coherence", (X, X[::-1] + X), {"nperseg": 16}),
    ("periodogram", (X,), {}), ("periodogram", (WIDE,), {"axis": 1, "nfft": 40}),
    ("periodogram", (X,), {"nfft": 70, "window": "hann", "scaling": "spectrum"}),
    *[("spectrogram", (X,), {"nperseg": 16, "mode": m})
      for m in ("psd", "complex", "magnitude", "angle", "phase")],
    ("hilbert", (X,), {}), ("hilbert", (WIDE,), {"axis": 1, "N": 45}),
    *[("resample", (x, n), {}) for x in (X, X[:-1], Z, Z[:-1]) for n in (30, 31, 60, 80, 81)],
    ("resample", (WIDE, 25), {"axis": 1, "window": "hamming"}),
    ("resample", (X, 25, np.arange(60) * 0.5), {}),
    ("upfirdn", (B, X), {"up": 3, "down": 2}), ("upfirdn", (B, WIDE), {"up": 2, "axis": 1}),
    ("resample_poly", (X, 3, 2), {}), ("resample_poly", (WIDE, 2, 6), {"axis": 1}),
    *[("get_window", (w, 9), {}) for w in ("hann", ("kaiser", 3.0), "flattop")],
]  # fmt: skip


def same(found: Any, wanted: Any, tolerance: float = 1e-10) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def leaves(out: Any) -> list[Any]:
    return list(out) if isinstance(out, tuple) else [out]


@pytest.mark.parametrize(("name", "args", "how"), ROWS)
def test_scipy_agrees(name: str, args: Any, how: Any) -> None:
    wanted = leaves(getattr(oracle, name)(*args, **how))
    found = leaves(getattr(signal, name)(*args, **how))
    for ours, theirs in zip(found, wanted, strict=True):
        same(ours, theirs)
        assert ours.dtype == np.asarray(theirs).dtype


def test_single_precision() -> None:
    x, b, a = (np.asarray(v, "f4") for v in (X, B, A))
    assert signal.lfilter(b, a, x).dtype == np.float32
    assert signal.stft(x, nperseg=16)[2].dtype == np.complex64
    assert signal.welch(x, nperseg=16)[1].dtype == np.float32


@pytest.mark.parametrize("name", [n for n in signal.windows.__all__ if n != "get_window"])
def test_windows(name: str) -> None:
    more: dict[str, tuple[Any, ...]] = {
        "kaiser": (3.0,), "gaussian": (2.0,), "general_gaussian": (1.5, 2.0), "chebwin": (60,),
        "general_cosine": ([0.5, 0.3],), "general_hamming": (0.6,), "dpss": (2.0,),
        "kaiser_bessel_derived": (3.0,),
    }  # fmt: skip
    args = (10, *more.get(name, ()))
    same(getattr(signal.windows, name)(*args), getattr(oracle.windows, name)(*args))


DIFFERENTIABLE: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("lfilter", lambda b, a, x: signal.lfilter(b, a, x), (B, A, X[:12])),
    ("fir", lambda b, x: signal.lfilter(b, 2.0, x), (B, X[:12])),
    ("sosfilt", lambda s, x: signal.sosfilt(s, x), (SOS[:2], X[:9])),
    ("filtfilt", lambda b, a, x: signal.filtfilt(b, a, x), (B, A, X[:20])),
    ("savgol_filter", lambda x: signal.savgol_filter(x, 5, 2), (X[:12],)),
    ("detrend", signal.detrend, (X[:9],)),
    ("stft", lambda x, w: abs(signal.stft(x, window=w, nperseg=8)[2]) ** 2,
     (X[:20], np.hanning(8) + 0.1)),
    ("welch", lambda x: signal.welch(x, nperseg=8)[1], (X[:20],)),
    ("istft", lambda z: signal.istft(z)[1], (ZXX,)),
    ("hilbert", lambda x: abs(signal.hilbert(x)) ** 2, (X[:9],)),
    ("resample", lambda x: signal.resample(x, 13), (X[:10],)),
    ("resample_poly", lambda x: signal.resample_poly(x, 2, 3), (X[:10],)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fun", "args"), DIFFERENTIABLE)
def test_derivatives_and_lanes(name: str, fun: Any, args: Any) -> None:
    check_grads(fun, args, order=1, atol=1e-5, rtol=1e-5)
    lanes = [np.stack([v, v * 1.1]) for v in args]
    found = tj.jit(tj.vmap(fun))(*lanes)
    same(found, [np.asarray(fun(*(v[i] for v in lanes))) for i in range(2)], 1e-9)


def test_signals_come_back() -> None:
    _, _, z = signal.stft(WIDE, nperseg=12, axis=1)
    _, x = signal.istft(z, nperseg=12, freq_axis=1)
    same(np.asarray(x)[:, :, :60], np.moveaxis(WIDE, 1, 2))
    turned = np.moveaxis(np.stack([ZXX, 2 * ZXX]), 0, 1)
    same(signal.istft(turned, freq_axis=0)[1], oracle.istft(turned, freq_axis=0)[1])


def test_errors() -> None:
    for call, match in [
        (lambda: signal.lfilter(WIDE, A, X), "coefficients"),
        (lambda: signal.lfilter(B, A, X, zi=[1.0]), "zi"),
        (lambda: signal.sosfilt(B, X), "sections"),
        (lambda: signal.filtfilt(B, A, X[:5]), "values"),
        (lambda: signal.savgol_filter(X[:4], 7, 2), "window"),
        (lambda: signal.stft(X, nperseg=8, noverlap=9), "noverlap"),
        (lambda: signal.stft(X, nperseg=8, nfft=4), "nfft"),
        (lambda: signal.welch(X, window=np.ones(4), nperseg=5), "nperseg"),
        (lambda: signal.istft(X), "axis"),
        (lambda: signal.hilbert(Z), "real"),
        (lambda: signal.resample(X, 5, window=X[:4]), "window"),
        (lambda: signal.detrend(X, axis=3), "axis"),
    ]:
        with pytest.raises(ShapeError, match=match):
            call()
    for call, match in [
        (lambda: signal.detrend(X, type="no"), "type"),
        (lambda: signal.stft(X, scaling="no"), "scaling"),
        (lambda: signal.stft(X, nperseg=8, boundary="no"), "ends"),
        (lambda: signal.csd(X, X, average="no"), "average"),
        (lambda: signal.savgol_filter(X, 5, 2, mode="no"), "mode"),
        (lambda: signal.spectrogram(X, mode="no"), "mode"),
    ]:
        with pytest.raises(ValueError, match=match):
            call()
