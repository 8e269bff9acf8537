"""Signals at other rates, and analytic signals."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.numpy import fft
from tracejit.scipy.signal.convolutions import convolve
from tracejit.scipy.signal.windows import get_window

__all__ = ["hilbert", "resample", "resample_poly", "upfirdn"]


def hilbert(x: Any, N: int | None = None, axis: int = -1) -> Any:
    """As :func:`scipy.signal.hilbert`: the analytic signal, without negative frequencies.

    Parameters
    ----------
    x : array_like, real
        The signal.
    N : int, optional
        The length that it is cut or filled up to.
    axis : int, optional
        The axis of time.
    """
    x = tnp.asarray(x)
    if tnp.iscomplexobj(x):
        raise ShapeError("hilbert: a real signal; got a complex one")
    n = x.shape[axis] if N is None else int(N)
    if n < 1:
        raise ShapeError(f"hilbert: N must be positive; got {n}")
    weights = np.zeros(n)
    weights[0] = 1
    weights[1 : (n + 1) // 2] = 2
    if n % 2 == 0:
        weights[n // 2] = 1
    values = tnp.moveaxis(fft.fft(x, n, axis), axis, -1)
    out = fft.ifft(values * weights.astype(values.real.dtype))
    return tnp.moveaxis(out, -1, axis)


def resample(
    x: Any, num: int, t: Any = None, axis: int = 0, window: Any = None, domain: str = "time"
) -> Any:
    """As :func:`scipy.signal.resample`: by Fourier transforms.

    Parameters
    ----------
    x : array_like
        The signal.
    num : int
        How many values the result has.
    t : array_like, optional
        The times of `x`, equally spaced; then those of the result are returned, too.
    axis : int, optional
        The axis of time.
    window : str, tuple, callable or array_like, optional
        That the transform is multiplied with.
    domain : str, optional
        ``time``, or ``freq`` if `x` is a transform.

    Returns
    -------
    Array, or a pair of these
        The signal, and the times if `t` is given.
    """
    x = tnp.asarray(x)
    if domain not in ("time", "freq"):
        raise ValueError(f"resample: domain must be time or freq; got {domain!r}")
    x = tnp.moveaxis(x, axis, -1)
    n = x.shape[-1]
    real = domain == "time" and not tnp.iscomplexobj(x)
    values = x if domain == "freq" else fft.fft(x)
    if window is not None:
        values = values * _weights(window, n).astype(values.dtype)
    least = min(num, n)
    half = (least + 1) // 2  # frequencies from 0 on, but the one of both signs
    low, high = values[..., :half], values[..., n - least // 2 :]
    if least % 2 == 0 and num != n:
        # The highest frequency stands for both signs in the shorter signal.
        top, bottom = values[..., least // 2], values[..., n - least // 2]
        if num < n:
            high = high.at[..., 0].set(top + bottom)
        else:
            low = tnp.concatenate([low, 0.5 * top[..., None]], -1)
            high = high.at[..., 0].set(0.5 * top)
    zeros = tnp.zeros((*x.shape[:-1], num - low.shape[-1] - high.shape[-1]), values.dtype)
    out = fft.ifft(tnp.concatenate([low, zeros, high], -1)) * (num / n)
    out = tnp.moveaxis(out.real if real else out, -1, axis)
    if t is None:
        return out
    t = tnp.asarray(t)
    return out, tnp.arange(num) * (t[1] - t[0]) * (n / num) + t[0]


def _weights(window: Any, n: int) -> Any:
    if callable(window):
        return tnp.asarray(window(np.fft.fftfreq(n)))
    if isinstance(window, (str, tuple)):
        return fft.ifftshift(get_window(window, n))
    values = tnp.asarray(window)
    if values.shape != (n,):
        raise ShapeError(f"resample: a window of shape ({n},); got {values.shape}")
    return values


def upfirdn(h: Any, x: Any, up: int = 1, down: int = 1, axis: int = -1) -> Any:
    """As :func:`scipy.signal.upfirdn` with zeros outside: more values, a filter, fewer values.

    Parameters
    ----------
    h : array_like, shape (m,)
        The filter.
    x : array_like
        The signal.
    up, down : int, optional
        The factors of the rate.
    axis : int, optional
        The axis of time.
    """
    h, x = tnp.asarray(h), tnp.asarray(x)
    if h.ndim != 1 or up < 1 or down < 1:
        raise ShapeError(f"upfirdn: a filter (m,), and positive factors; got {h.shape}")
    x = tnp.moveaxis(x, axis, -1)
    n = x.shape[-1]
    if up > 1:
        wide = tnp.pad(x[..., None], [(0, 0)] * x.ndim + [(0, up - 1)])
        x = wide.reshape(*x.shape[:-1], n * up)[..., : (n - 1) * up + 1]
    out = convolve(x, h.reshape((1,) * (x.ndim - 1) + (-1,)), "full")
    return tnp.moveaxis(out[..., ::down], -1, axis)


def resample_poly(
    x: Any, up: int, down: int, axis: int = 0, window: Any = ("kaiser", 5.0)
) -> Any:
    """As :func:`scipy.signal.resample_poly` with zeros outside: by a filter without phase.

    Parameters
    ----------
    x : array_like
        The signal.
    up, down : int
        The factors of the rate.
    axis : int, optional
        The axis of time.
    window : str, tuple or array_like, optional
        Of the filter that is designed, or the filter.
    """
    x = tnp.asarray(x)
    x = x if tnp.issubdtype(x.dtype, np.inexact) else x.astype(np.float64)
    shared = math.gcd(up, down)
    up, down = up // shared, down // shared
    if up == down:
        return x
    n = x.shape[axis]
    count = -(-n * up // down)
    if isinstance(window, (str, tuple)):
        half = 10 * max(up, down)
        library = importlib.import_module("scipy.signal")
        h = tnp.asarray(library.firwin(2 * half + 1, 1 / max(up, down), window=window))
    else:
        h = tnp.asarray(window)
        half = (h.shape[0] - 1) // 2
    h = h.astype(tnp.result_type(x.real.dtype)) * up
    before = down - half % down
    skipped = (half + before) // down
    after = 0
    while -(-((n - 1) * up + h.shape[0] + before + after) // down) < count + skipped:
        after += 1
    out = upfirdn(tnp.pad(h, (before, after)), x, up, down, axis)
    return tnp.take(out, np.arange(skipped, skipped + count), axis=axis)
