"""Spectra of segments of signals, and signals of spectra."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.numpy import fft
from tracejit.scipy.signal.filters import detrend as without_trend
from tracejit.scipy.signal.filters import extended
from tracejit.scipy.signal.windows import get_window

__all__ = ["coherence", "csd", "istft", "periodogram", "spectrogram", "stft", "welch"]


def _window(name: str, window: Any, nperseg: int | None, length: int | None) -> tuple[Any, int]:
    """Return a window and its length."""
    if isinstance(window, (str, tuple)):
        nperseg = 256 if nperseg is None else int(nperseg)
        if nperseg < 1:
            raise ShapeError(f"{name}: nperseg must be positive; got {nperseg}")
        nperseg = nperseg if length is None else min(nperseg, length)
        return get_window(window, nperseg), nperseg
    values = tnp.asarray(window)
    if values.ndim != 1 or (length is not None and values.shape[0] > length):
        raise ShapeError(
            f"{name}: a window of shape (nperseg,), not longer than the signal; got {values.shape}"
        )
    if nperseg is not None and nperseg != values.shape[0]:
        raise ShapeError(f"{name}: nperseg is {nperseg}, and the window has {values.shape[0]}")
    return values, int(values.shape[0])


def _overlap(name: str, noverlap: int | None, nperseg: int) -> int:
    noverlap = nperseg // 2 if noverlap is None else int(noverlap)
    if not 0 <= noverlap < nperseg:
        raise ShapeError(f"{name}: noverlap must be less than nperseg; got {noverlap}, {nperseg}")
    return noverlap


def _spectra(name: str, x: Any, y: Any, fs: Any, window: Any, nperseg: Any, noverlap: Any,
             nfft: Any, detrend: Any, onesided: bool, scaling: str, axis: int, mode: str,
             boundary: str | None, padded: bool) -> tuple[Any, Any, Any]:  # fmt: skip
    """Return frequencies, times, and spectra: frequencies at `axis`, segments last."""
    same = y is x
    signals = [tnp.asarray(x)] if same else [tnp.asarray(x), tnp.asarray(y)]
    kind = tnp.result_type(*signals, np.complex64)
    onesided = onesided and not any(
        tnp.issubdtype(v.dtype, np.complexfloating) for v in signals
    )
    real = np.zeros(0, kind).real.dtype
    signals = [
        tnp.moveaxis(v.astype(kind if tnp.iscomplexobj(v) else real), axis, -1) for v in signals
    ]
    longest = max(v.shape[-1] for v in signals)
    signals = [_longer(v, longest - v.shape[-1]) for v in signals]
    win, nperseg = _window(name, window, nperseg, longest)
    noverlap = _overlap(name, noverlap, nperseg)
    nfft = nperseg if nfft is None else int(nfft)
    if nfft < nperseg:
        raise ShapeError(f"{name}: nfft must be at least nperseg, {nperseg}; got {nfft}")
    step = nperseg - noverlap
    if boundary is not None:
        signals = [extended(name, v, nperseg // 2, boundary) for v in signals]
    if padded:
        more = (-(signals[0].shape[-1] - nperseg) % step) % nperseg
        signals = [_longer(v, more) for v in signals]
    win = win.astype(kind if tnp.iscomplexobj(win) else real)
    if scaling not in ("density", "spectrum"):
        raise ValueError(f"{name}: scaling must be density or spectrum; got {scaling!r}")
    power = fs * tnp.sum(win * win) if scaling == "density" else tnp.sum(win) ** 2
    length = signals[0].shape[-1]
    found = [
        _transformed(v, win, nperseg, step, nfft, detrend, onesided, axis) for v in signals
    ]
    if mode == "stft":
        out = found[0] / tnp.sqrt(power)
    else:
        out = tnp.conj(found[0]) * found[-1] / power
        if onesided:
            twice = np.full(nfft // 2 + 1, 2.0)
            twice[0] = 1
            if nfft % 2 == 0:
                twice[-1] = 1
            out = out * twice.astype(real)
    out = out.astype(kind)
    out = out.real if same and mode != "stft" else out
    time = np.arange(nperseg / 2, length - nperseg / 2 + 1, step)
    time = time - nperseg / 2 if boundary is not None else time
    freqs = (np.fft.rfftfreq if onesided else np.fft.fftfreq)(nfft) * 1.0
    at = axis - 1 if axis < 0 else axis
    return tnp.asarray(freqs) * fs, tnp.asarray(time) / fs, tnp.moveaxis(out, -1, at)


def _longer(x: Any, more: int) -> Any:
    return tnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, more)]) if more else x


def _transformed(x: Any, win: Any, nperseg: int, step: int, nfft: int, detrend: Any,
                 onesided: bool, axis: int) -> Any:  # fmt: skip
    count = (x.shape[-1] - nperseg) // step + 1
    index = np.arange(count)[:, None] * step + np.arange(nperseg)
    parts = x[..., index]
    if callable(detrend):
        moved = parts if axis == -1 else tnp.moveaxis(parts, -1, axis)
        parts = detrend(moved)
        parts = parts if axis == -1 else tnp.moveaxis(parts, axis, -1)
    elif detrend:
        parts = without_trend(parts, -1, detrend)
    parts = parts * win
    return fft.rfft(parts, nfft) if onesided else fft.fft(parts, nfft)


def stft(
    x: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = 256,
    noverlap: int | None = None, nfft: int | None = None, detrend: Any = False,
    return_onesided: bool = True, boundary: str | None = "zeros", padded: bool = True,
    axis: int = -1, scaling: str = "spectrum",
) -> tuple[Any, Any, Any]:  # fmt: skip
    """As :func:`scipy.signal.stft`: Fourier transforms of segments.

    Parameters
    ----------
    x : array_like
        The signal.
    fs : float, optional
        Samples a unit of time.
    window : str, tuple or array_like, optional
        As in :func:`get_window`, or its values, which may be traced.
    nperseg : int, optional
        The length of a segment; not more than that of the signal.
    noverlap : int, optional
        What neighbours share; half by default.
    nfft : int, optional
        The length that segments are filled up to.
    detrend : str, callable or False, optional
        As the `type` of :func:`detrend`; of a segment.
    return_onesided : bool, optional
        Whether only frequencies from 0 on are returned, if the signal is real.
    boundary : str, optional
        What is put at the ends: zeros, even, odd, constant, or None.
    padded : bool, optional
        Whether zeros follow, so that the last segment is whole.
    axis : int, optional
        The axis of time.
    scaling : str, optional
        ``spectrum`` or ``psd``.

    Returns
    -------
    f, t : Array
        Frequencies and times.
    Zxx : Array
        Frequencies along `axis`, times last.

    Raises
    ------
    ShapeError
        If the lengths do not fit.
    """
    if scaling not in ("spectrum", "psd"):
        raise ValueError(f"stft: scaling must be spectrum or psd; got {scaling!r}")
    how = {"psd": "density", "spectrum": "spectrum"}[scaling]
    return _spectra("stft", x, x, fs, window, nperseg, noverlap, nfft, detrend, return_onesided,
                    how, axis, "stft", boundary, padded)  # fmt: skip


def csd(
    x: Any, y: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = None,
    noverlap: int | None = None, nfft: int | None = None, detrend: Any = "constant",
    return_onesided: bool = True, scaling: str = "density", axis: int = -1,
    average: str = "mean",
) -> tuple[Any, Any]:  # fmt: skip
    """As :func:`scipy.signal.csd`: the cross spectral density, by Welch's method.

    Parameters
    ----------
    x, y : array_like
        The signals.
    fs, window, nperseg, noverlap, nfft, detrend, return_onesided, axis
        As in :func:`stft`.
    scaling : str, optional
        ``density`` or ``spectrum``.
    average : str, optional
        Over segments: ``mean`` or ``median``.

    Returns
    -------
    f : Array
        Frequencies.
    Pxy : Array
        Along `axis`; real if `y` is `x`.
    """
    freqs, _, out = _spectra("csd", x, y, fs, window, nperseg, noverlap, nfft, detrend,
                             return_onesided, scaling, axis, "psd", None, False)  # fmt: skip
    if average == "mean":
        return freqs, tnp.mean(out, -1)
    if average != "median":
        raise ValueError(f"csd: average must be mean or median; got {average!r}")
    count = out.shape[-1]
    even = 2 * np.arange(1, (count - 1) // 2 + 1)
    bias = 1 + np.sum(1 / (even + 1) - 1 / even)
    if tnp.iscomplexobj(out):
        middle = tnp.median(out.real, -1) + 1j * tnp.median(out.imag, -1)
    else:
        middle = tnp.median(out, -1)
    return freqs, middle / bias


def welch(
    x: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = None,
    noverlap: int | None = None, nfft: int | None = None, detrend: Any = "constant",
    return_onesided: bool = True, scaling: str = "density", axis: int = -1,
    average: str = "mean",
) -> tuple[Any, Any]:  # fmt: skip
    """As :func:`scipy.signal.welch`: the power spectral density; see :func:`csd`."""
    return csd(x, x, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis,
               average)  # fmt: skip


def periodogram(
    x: Any, fs: Any = 1.0, window: Any = "boxcar", nfft: int | None = None,
    detrend: Any = "constant", return_onesided: bool = True, scaling: str = "density",
    axis: int = -1,
) -> tuple[Any, Any]:  # fmt: skip
    """As :func:`scipy.signal.periodogram`: one segment; see :func:`csd` for the arguments."""
    x = tnp.asarray(x)
    n = x.shape[axis]
    if nfft is not None and nfft < n:
        x = tnp.take(x, np.arange(nfft), axis=axis)
        n = nfft
    window = "boxcar" if window is None else window
    return welch(x, fs, window, n, 0, nfft, detrend, return_onesided, scaling, axis)


def coherence(
    x: Any, y: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = None,
    noverlap: int | None = None, nfft: int | None = None, detrend: Any = "constant",
    axis: int = -1,
) -> tuple[Any, Any]:  # fmt: skip
    """As :func:`scipy.signal.coherence`; see :func:`csd` for the arguments."""
    rest = fs, window, nperseg, noverlap, nfft, detrend
    freqs, xx = welch(x, *rest, axis=axis)
    _, yy = welch(y, *rest, axis=axis)
    _, xy = csd(x, y, *rest, axis=axis)
    return freqs, tnp.abs(xy) ** 2 / xx / yy


def spectrogram(
    x: Any, fs: Any = 1.0, window: Any = ("tukey", 0.25), nperseg: int | None = None,
    noverlap: int | None = None, nfft: int | None = None, detrend: Any = "constant",
    return_onesided: bool = True, scaling: str = "density", axis: int = -1, mode: str = "psd",
) -> tuple[Any, Any, Any]:  # fmt: skip
    """As :func:`scipy.signal.spectrogram`.

    `mode` is psd, complex, magnitude, angle or phase; see :func:`stft` for the other arguments.
    """
    modes = ("psd", "complex", "magnitude", "angle", "phase")
    if mode not in modes:
        raise ValueError(f"spectrogram: mode must be one of {', '.join(modes)}; got {mode!r}")
    _, length = _window("spectrogram", window, nperseg, tnp.shape(x)[axis])
    noverlap = length // 8 if noverlap is None else noverlap
    kind = "psd" if mode == "psd" else "stft"
    freqs, time, out = _spectra("spectrogram", x, x, fs, window, nperseg, noverlap, nfft, detrend,
                                return_onesided, scaling, axis, kind, None, False)  # fmt: skip
    if mode == "magnitude":
        out = tnp.abs(out)
    elif mode in ("angle", "phase"):
        out = tnp.angle(out)
        if mode == "phase":
            out = tnp.unwrap(out, axis=axis - 1 if axis < 0 else axis)
    return freqs, time, out


def istft(
    Zxx: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = None,
    noverlap: int | None = None, nfft: int | None = None, input_onesided: bool = True,
    boundary: bool = True, time_axis: int = -1, freq_axis: int = -2, scaling: str = "spectrum",
) -> tuple[Any, Any]:  # fmt: skip
    """As :func:`scipy.signal.istft`: the signal whose :func:`stft` this is.

    Parameters
    ----------
    Zxx : array_like, of rank 2 or more
        The transforms.
    fs, window, nperseg, noverlap, nfft, scaling
        As in :func:`stft`.
    input_onesided : bool, optional
        Whether there are only frequencies from 0 on.
    boundary : bool, optional
        Whether the ends were extended, and are cut off.
    time_axis, freq_axis : int, optional
        The axes of `Zxx`.

    Returns
    -------
    t, x : Array
        Times, and the signal.

    Raises
    ------
    ShapeError
        If the lengths do not fit.
    """
    z = tnp.asarray(Zxx)
    if z.ndim < 2 or time_axis % z.ndim == freq_axis % z.ndim:
        raise ShapeError(f"istft: an axis of times and one of frequencies; got shape {z.shape}")
    lost = freq_axis % z.ndim < time_axis % z.ndim
    back = time_axis % z.ndim - int(lost)
    z = tnp.moveaxis(z, (freq_axis, time_axis), (-1, -2))
    default = 2 * (z.shape[-1] - 1) if input_onesided else z.shape[-1]
    if not isinstance(window, (str, tuple)):
        window = tnp.asarray(window)
    nperseg = default if nperseg is None else int(nperseg)
    if nfft is None:
        nfft = nperseg if input_onesided and nperseg == default + 1 else default
    if nfft < nperseg:
        raise ShapeError(f"istft: nfft must be at least nperseg, {nperseg}; got {nfft}")
    win, nperseg = _window("istft", window, nperseg, None)
    step = nperseg - _overlap("istft", noverlap, nperseg)
    parts = (fft.irfft if input_onesided else fft.ifft)(z, nfft)[..., :nperseg]
    win = win.astype(parts.real.dtype)
    if scaling not in ("spectrum", "psd"):
        raise ValueError(f"istft: scaling must be spectrum or psd; got {scaling!r}")
    scale = tnp.sum(win) if scaling == "spectrum" else tnp.sqrt(fs * tnp.sum(win**2))
    count = parts.shape[-2]
    index = np.arange(count)[:, None] * step + np.arange(nperseg)
    length = nperseg + (count - 1) * step
    x = tnp.zeros((*parts.shape[:-2], length), parts.dtype)
    x = x.at[..., index].add(parts * scale * win)
    norm = tnp.zeros(length, win.dtype).at[index].add(tnp.broadcast_to(win**2, index.shape))
    if boundary:
        cut = slice(nperseg // 2, length - nperseg // 2)
        x, norm = x[..., cut], norm[cut]
    x = x / tnp.where(norm > 1e-10, norm, 1)
    return tnp.arange(x.shape[-1]) / fs, tnp.moveaxis(x, -1, back)
