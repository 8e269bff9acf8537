"""Filters in time: recursive, without phase, by local polynomials; trends removed.

A recursive filter is one loop over time, in the transposed direct form II, for all lanes.
"""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.control.scan import scan
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import Tracer
from tracejit.scipy.linalg import companion
from tracejit.scipy.signal.convolutions import convolve

__all__ = [
    "detrend", "extended", "filtfilt", "lfilter", "lfilter_zi", "savgol_coeffs", "savgol_filter",
    "sosfilt", "sosfilt_zi", "sosfiltfilt",
]  # fmt: skip


def _inexact(x: Any) -> Any:
    x = tnp.asarray(x)
    return x if tnp.issubdtype(x.dtype, np.inexact) else x.astype(np.float64)


def _axis(name: str, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ShapeError(f"{name}: axis {axis} of an array of rank {rank}")
    return axis % rank


# ------------------------------------------------------------------------ recursive


def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """As :func:`scipy.signal.lfilter`.

    Parameters
    ----------
    b, a : array_like, shapes (m,) and (n,)
        The coefficients of the numerator and of the denominator.
    x : array_like
        The signal.
    axis : int, optional
        The axis of time.
    zi : array_like, optional
        What the filter remembers at first: ``max(m, n) - 1`` along `axis`.

    Returns
    -------
    y : Array, shape of `x`
        The result.
    zf : Array, shape of `zi`
        What it remembers at last, if `zi` is given.

    Raises
    ------
    ShapeError
        If the coefficients are not of rank 1, or `zi` does not fit.
    """
    b, a, x = (_inexact(v) for v in (b, a, x))
    b, a = tnp.atleast_1d(b), tnp.atleast_1d(a)
    if b.ndim != 1 or a.ndim != 1 or not b.size or not a.size:
        raise ShapeError(
            f"lfilter: coefficients of shapes (m,) and (n,); got {b.shape} and {a.shape}"
        )
    axis = _axis("lfilter", axis, x.ndim)
    size = max(b.shape[0], a.shape[0])
    kind = tnp.result_type(b, a, x)
    b, a = b / a[0], a / a[0]
    x = tnp.moveaxis(x, axis, 0).astype(kind)
    state = tnp.zeros((size - 1, *x.shape[1:]), kind)
    if zi is not None:
        given = tnp.moveaxis(_inexact(zi), axis, 0)
        if given.ndim != x.ndim or given.shape[0] != size - 1:
            raise ShapeError(
                f"lfilter: zi of length {size - 1} along axis {axis}; got {tnp.shape(zi)}"
            )
        state = tnp.broadcast_to(given, state.shape).astype(tnp.result_type(given, kind))
        x = x.astype(state.dtype)
    if a.shape[0] == 1:
        wide = b.astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))
        whole = convolve(x, wide, "full")
        whole = whole.at[: size - 1].add(state)
        y, last = whole[: x.shape[0]], whole[x.shape[0] :]
    else:
        b, a = (
            tnp.concatenate([v, tnp.zeros(size - v.shape[0], v.dtype)]).astype(x.dtype)
            for v in (b, a)
        )
        y, last = _recursive(b, a, x, state)
    y = tnp.moveaxis(y, 0, axis)
    return y if zi is None else (y, tnp.moveaxis(last, 0, axis))


def _recursive(b: Any, a: Any, x: Any, state: Any) -> tuple[Any, Any]:
    count = state.shape[0]

    def step(z: Any, value: Any) -> tuple[Any, Any]:
        y = b[0] * value + z[0]
        new = [b[i + 1] * value - a[i + 1] * y for i in range(count)]
        return tuple(n + z[i + 1] if i + 1 < count else n for i, n in enumerate(new)), y

    last, y = scan(step, tuple(state[i] for i in range(count)), x)
    return y, tnp.stack(last)


def lfilter_zi(b: Any, a: Any) -> Any:
    """As :func:`scipy.signal.lfilter_zi`: what a filter remembers of a long signal of ones."""
    b, a = _inexact(b), _inexact(a)
    size = max(b.shape[0], a.shape[0])
    b, a = (
        tnp.concatenate([v, tnp.zeros(size - v.shape[0], v.dtype)]) / a[0] for v in (b, a)
    )
    return tnp.linalg.solve(tnp.eye(size - 1) - companion(a).T, b[1:] - a[1:] * b[0])


def _sections(name: str, sos: Any) -> Any:
    sos = _inexact(sos)
    if sos.ndim != 2 or sos.shape[1] != 6:
        raise ShapeError(f"{name}: sections of shape (n, 6); got {sos.shape}")
    return sos


def sosfilt(sos: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """As :func:`scipy.signal.sosfilt`: filters of second order, one after another, in one loop.

    Parameters
    ----------
    sos : array_like, shape (n, 6)
        The coefficients: three of each numerator, three of each denominator, of which the first
        is 1.
    x : array_like
        The signal.
    axis : int, optional
        The axis of time.
    zi : array_like, shape (n, ..., 2, ...), optional
        What the filters remember at first.

    Returns
    -------
    y : Array, shape of `x`
        The result.
    zf : Array, shape of `zi`
        What they remember at last, if `zi` is given.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    sos, x = _sections("sosfilt", sos), _inexact(x)
    axis = _axis("sosfilt", axis, x.ndim)
    kind = tnp.result_type(sos, x)
    x = tnp.moveaxis(x, axis, 0).astype(kind)
    wanted = (sos.shape[0], 2, *x.shape[1:])
    state = tnp.zeros(wanted, kind)
    if zi is not None:
        given = tnp.moveaxis(_inexact(zi), axis + 1, 1)
        if given.shape != wanted:
            raise ShapeError(f"sosfilt: zi must be {wanted}, time second; got {given.shape}")
        state = given.astype(tnp.result_type(given, kind))
        x = x.astype(state.dtype)
    sos = sos.astype(x.dtype)

    def step(z: Any, value: Any) -> tuple[Any, Any]:
        new = []
        for row, (first, second) in enumerate(z):
            b0, b1, b2, _, a1, a2 = (sos[row, i] for i in range(6))
            y = b0 * value + first
            new.append((b1 * value - a1 * y + second, b2 * value - a2 * y))
            value = y
        return tuple(new), value

    start = tuple((state[row, 0], state[row, 1]) for row in range(sos.shape[0]))
    last, y = scan(step, start, x)
    y = tnp.moveaxis(y, 0, axis)
    if zi is None:
        return y
    return y, tnp.moveaxis(tnp.stack([tnp.stack(pair) for pair in last]), 1, axis + 1)


def sosfilt_zi(sos: Any) -> Any:
    """As :func:`scipy.signal.sosfilt_zi`, of shape (n, 2)."""
    sos = _sections("sosfilt_zi", sos)
    scale: Any = 1.0
    rows = []
    for row in range(sos.shape[0]):
        b, a = sos[row, :3], sos[row, 3:]
        rows.append(scale * lfilter_zi(b, a))
        scale = scale * tnp.sum(b) / tnp.sum(a)
    return tnp.stack(rows)


# ------------------------------------------------------------------- without phase


def extended(name: str, x: Any, n: int, how: str | None) -> Any:
    """Return a signal with `n` more values at either end of its last axis."""
    if how is None or n == 0:
        return x
    if how not in ("odd", "even", "constant", "zeros"):
        raise ValueError(
            f"{name}: what is beyond the ends must be odd, even, constant or zeros; got {how!r}"
        )
    if how in ("odd", "even") and n >= x.shape[-1]:
        raise ShapeError(f"{name}: more than {n} values are needed; got {x.shape[-1]}")
    first, last = x[..., :1], x[..., -1:]
    if how in ("odd", "even"):
        low, high = x[..., n:0:-1], x[..., -2 : -n - 2 : -1]
        if how == "odd":
            low, high = 2 * first - low, 2 * last - high
    else:
        shape = (*x.shape[:-1], n)
        ends = (first, last) if how == "constant" else (0 * first, 0 * last)
        low, high = (tnp.broadcast_to(v, shape) for v in ends)
    return tnp.concatenate([low, x, high], -1)


def filtfilt(
    b: Any, a: Any, x: Any, axis: int = -1, padtype: str | None = "odd",
    padlen: int | None = None, method: str = "pad", irlen: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.signal.filtfilt`: :func:`lfilter` forward, then backward.

    Parameters
    ----------
    b, a, x, axis
        As in :func:`lfilter`.
    padtype : str, optional
        What is put at the ends: ``odd``, ``even``, ``constant``, or None.
    padlen : int, optional
        How much of it; three times the coefficients by default.
    method : str, optional
        ``pad``; the other, ``gust``, is refused.
    irlen : optional
        For that method.
    """
    if method != "pad":
        raise NotImplementedError("filtfilt: method must be 'pad'")
    b, a = tnp.atleast_1d(_inexact(b)), tnp.atleast_1d(_inexact(a))
    least = 3 * max(b.shape[0], a.shape[0])
    zi = lfilter_zi(b, a) if max(b.shape[0], a.shape[0]) > 1 else tnp.zeros(0)

    def run(v: Any) -> Any:
        return lfilter(b, a, v, -1, zi * v[..., :1])[0]

    return _both_ways("filtfilt", run, x, axis, padtype, least if padlen is None else padlen)


def _both_ways(name: str, run: Any, x: Any, axis: int, how: str | None, n: int) -> Any:
    x = _inexact(x)
    axis = _axis(name, axis, x.ndim)
    x = tnp.moveaxis(x, axis, -1)
    n = 0 if how is None else n
    y = run(extended(name, x, n, how))
    y = run(y[..., ::-1])[..., ::-1]
    return tnp.moveaxis(y[..., n : n + x.shape[-1]], -1, axis)


def sosfiltfilt(
    sos: Any, x: Any, axis: int = -1, padtype: str | None = "odd", padlen: int | None = None
) -> Any:
    """As :func:`scipy.signal.sosfiltfilt`; see :func:`sosfilt` and :func:`filtfilt`."""
    sos = _sections("sosfiltfilt", sos)
    taps = 2 * sos.shape[0] + 1
    if not isinstance(sos, Tracer):  # sections of first order
        known = np.asarray(sos)
        taps -= int(min((known[:, 2] == 0).sum(), (known[:, 5] == 0).sum()))
    zi = sosfilt_zi(sos)

    def run(v: Any) -> Any:
        lanes = zi.reshape((zi.shape[0],) + (1,) * (v.ndim - 1) + (2,))
        return sosfilt(sos, v, -1, lanes * v[None, ..., :1])[0]

    length = 3 * taps if padlen is None else padlen
    return _both_ways("sosfiltfilt", run, x, axis, padtype, length)


# ------------------------------------------------------------------ local polynomials

PADS = {"mirror": "reflect", "nearest": "edge", "constant": "constant", "wrap": "wrap"}


def savgol_coeffs(
    window_length: int, polyorder: int, deriv: int = 0, delta: float = 1.0,
    pos: int | None = None, use: str = "conv",
) -> Any:  # fmt: skip
    """As :func:`scipy.signal.savgol_coeffs`, of known arguments; a constant."""
    library = importlib.import_module("scipy.signal")
    return tnp.asarray(
        library.savgol_coeffs(window_length, polyorder, deriv, delta, pos, use)
    )


def savgol_filter(
    x: Any, window_length: int, polyorder: int, deriv: int = 0, delta: float = 1.0,
    axis: int = -1, mode: str = "interp", cval: float = 0.0,
) -> Any:  # fmt: skip
    """As :func:`scipy.signal.savgol_filter`: values of polynomials fitted to the neighbours.

    Parameters
    ----------
    x : array_like
        The signal.
    window_length, polyorder : int
        How many neighbours, and of which order.
    deriv : int, optional
        The order of the derivative.
    delta : float, optional
        The distance of neighbours.
    axis : int, optional
        The axis of time.
    mode : str, optional
        At the ends: ``interp``, the first and the last polynomial; or what is beyond them:
        ``mirror``, ``nearest``, ``constant`` or ``wrap``.
    cval : float, optional
        What is there with constant.
    """
    x = _inexact(x)
    axis = _axis("savgol_filter", axis, x.ndim)
    if mode not in ("interp", *PADS):
        raise ValueError(
            f"savgol_filter: mode must be interp, {', '.join(PADS)}; got {mode!r}"
        )
    x = tnp.moveaxis(x, axis, -1)
    if mode == "interp" and window_length > x.shape[-1]:
        raise ShapeError(
            f"savgol_filter: a window of at most {x.shape[-1]} for mode='interp'; got "
            f"{window_length}"
        )
    library = importlib.import_module("scipy.signal")

    def weights(pos: int | None, use: str) -> Any:
        found = library.savgol_coeffs(window_length, polyorder, deriv, delta, pos, use)
        return found.astype(x.real.dtype)

    before = window_length // 2
    middle = weights(None, "conv").reshape((1,) * (x.ndim - 1) + (-1,))
    if mode != "interp":
        widths = [(0, 0)] * (x.ndim - 1) + [(window_length - 1 - before, before)]
        how: dict[str, Any] = {"constant_values": cval} if mode == "constant" else {}
        y = convolve(tnp.pad(x, widths, PADS[mode], **how), middle, "valid", "direct")
        return tnp.moveaxis(y, -1, axis)
    if window_length % 2 == 0:
        raise ValueError("savgol_filter: mode='interp' needs an odd window")
    y = convolve(x, middle, "valid", "direct")
    ends = np.stack([weights(i, "dot") for i in range(window_length)])
    first = x[..., :window_length] @ ends[:before].T
    last = x[..., -window_length:] @ ends[window_length - before :].T
    return tnp.moveaxis(tnp.concatenate([first, y, last], -1), -1, axis)


# ---------------------------------------------------------------------------- trends


def detrend(
    data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: Any = None
) -> Any:
    """As :func:`scipy.signal.detrend`.

    Parameters
    ----------
    data : array_like
        The signal.
    axis : int, optional
        The axis of time.
    type : str, optional
        ``linear`` (l), or ``constant`` (c), which only removes the mean.
    bp : int or sequence of int, optional
        Where pieces with lines of their own begin.
    overwrite_data : optional
        Accepted for compatibility.

    Raises
    ------
    ValueError
        If the type is not known, or a piece begins outside of the signal.
    """
    if type not in ("linear", "l", "constant", "c"):
        raise ValueError(f"detrend: type must be linear or constant; got {type!r}")
    x = _inexact(data)
    axis = _axis("detrend", axis, x.ndim)
    if type in ("constant", "c"):
        return x - tnp.mean(x, axis, keepdims=True)
    x = tnp.moveaxis(x, axis, -1)
    n = x.shape[-1]
    cuts = np.sort(np.unique(np.concatenate([[0], np.atleast_1d(bp), [n]]))).astype(int)
    if cuts[-1] > n:
        raise ValueError(f"detrend: pieces begin within {n} values; got bp={bp}")
    pieces = []
    for low, high in itertools.pairwise(cuts):
        line = np.stack([np.ones(high - low), np.arange(1, high - low + 1) / (high - low)], 1)
        basis = np.linalg.qr(line)[0].astype(x.real.dtype)
        piece = x[..., low:high]
        pieces.append(piece - (piece @ basis) @ basis.T)
    return tnp.moveaxis(tnp.concatenate(pieces, -1), -1, axis)
