"""Integrals of samples, and of functions by fixed nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError

__all__ = ["cumulative_trapezoid", "fixed_quad", "simpson", "trapezoid"]


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """As :func:`scipy.integrate.trapezoid`.

    Parameters
    ----------
    y : array_like
        Samples.
    x : array_like, optional
        Where they were taken; at distances of `dx` by default.
    dx : scalar, optional
        The distance of neighbours.
    axis : int, optional
        The axis to integrate over.
    """
    return tnp.trapezoid(y, x, dx, axis)


def _floating(y: Any) -> Any:
    y = tnp.asarray(y)
    return y if tnp.issubdtype(y.dtype, np.inexact) else y.astype(tnp.float64)


def _steps(name: str, y: Any, x: Any, dx: Any) -> Any:
    """Return the distances along the last axis of `y`, of which there is one less."""
    if x is None:
        return tnp.full(y.shape[-1] - 1, dx)
    x = tnp.asarray(x)
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"{name}: as many x as samples; got {x.shape[-1]} and {y.shape[-1]}")
    return tnp.diff(x, axis=-1)


def cumulative_trapezoid(
    y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None
) -> Any:
    """As :func:`scipy.integrate.cumulative_trapezoid`.

    Parameters
    ----------
    y, x, dx, axis
        As in :func:`trapezoid`.
    initial : scalar, optional
        Put before the results, so that there are as many as samples.
    """
    y = tnp.moveaxis(_floating(y), axis, -1)
    if x is not None and tnp.ndim(x) > 1:
        x = tnp.moveaxis(tnp.asarray(x), axis, -1)
    steps = _steps("cumulative_trapezoid", y, x, dx)
    out = tnp.cumsum(steps * (y[..., 1:] + y[..., :-1]) / 2.0, -1)
    if initial is not None:
        first = tnp.full((*out.shape[:-1], 1), initial, out.dtype)
        out = tnp.concatenate([first, out], -1)
    return tnp.moveaxis(out, -1, axis)


def simpson(y: Any, x: Any = None, *, dx: Any = 1.0, axis: int = -1) -> Any:
    """As :func:`scipy.integrate.simpson`: by parabolas through three neighbours.

    Parameters
    ----------
    y, x, dx, axis
        As in :func:`trapezoid`.

    Notes
    -----
    With an even number of samples, the last interval is under the parabola through the last three
    (Cartwright, *Simpson's rule cumulative integration*, 2017).
    """
    y = tnp.moveaxis(_floating(y), axis, -1)
    if x is not None and tnp.ndim(x) > 1:
        x = tnp.moveaxis(tnp.asarray(x), axis, -1)
    n = y.shape[-1]
    h = _steps("simpson", y, x, dx)
    if n == 1:
        return tnp.zeros(y.shape[:-1], y.dtype)
    if n == 2:
        return tnp.sum(h * (y[..., 1:] + y[..., :-1]) / 2.0, -1)
    last = n if n % 2 else n - 1
    h0, h1 = h[..., 0 : last - 1 : 2], h[..., 1 : last - 1 : 2]
    y0, y1, y2 = y[..., 0 : last - 2 : 2], y[..., 1 : last - 1 : 2], y[..., 2:last:2]
    both = h0 + h1
    terms = y0 * (2.0 - h1 / h0) + y1 * (both * both / (h0 * h1)) + y2 * (2.0 - h0 / h1)
    out = tnp.sum(both / 6.0 * terms, -1)
    if n % 2 == 0:
        a, b = h[..., -1], h[..., -2]
        out = out + y[..., -1] * (2 * a**2 + 3 * a * b) / (6 * (b + a))
        out = out + y[..., -2] * (a**2 + 3 * a * b) / (6 * b)
        out = out - y[..., -3] * a**3 / (6 * b * (b + a))
    return out


def fixed_quad(
    func: Callable[..., Any], a: Any, b: Any, args: tuple[Any, ...] = (), n: int = 5
) -> tuple[Any, None]:
    """As :func:`scipy.integrate.fixed_quad`: Gauss and Legendre's rule of `n` nodes.

    Parameters
    ----------
    func : callable
        ``func(x, *args)``, of a vector of nodes, which are the last axis of the result.
    a, b : scalar
        The interval; finite.
    args : tuple, optional
        Further arguments.
    n : int, optional
        How many nodes; polynomials to degree 2n - 1 are integrated exactly.
    """
    nodes, weights = np.polynomial.legendre.leggauss(n)
    a, b = tnp.asarray(a), tnp.asarray(b)
    x = (b - a) * (nodes + 1) / 2.0 + a
    return (b - a) / 2.0 * tnp.sum(weights * func(x, *args), -1), None
