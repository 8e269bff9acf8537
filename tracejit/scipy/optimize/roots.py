"""Roots of functions: of one variable in lanes, of vectors by Newton's method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import ShapeError, TracejitError
from tracejit.transforms.api import jacfwd, jvp

__all__ = ["RootResults", "bisect", "brentq", "fixed_point", "newton", "root"]


class RootResults(NamedTuple):
    """What :func:`root` found.

    Attributes
    ----------
    x : Array
        The root; the only entry with derivatives.
    success : Array, shape (), bool
        Whether the function became small.
    fun : Array
        The function there.
    nit : Array, shape (), int
        Iterations.
    """

    x: Any
    success: Any
    fun: Any
    nit: Any


def _floating(x: Any) -> Any:
    x = tnp.asarray(x)
    return x if tnp.issubdtype(x.dtype, np.inexact) else x.astype(tnp.float64)


def _elementwise_step(linear: Callable[[Any], Any], y: Any) -> Any:
    """Divide by slopes: each element of the result depends on its own of the argument only."""
    return y / linear(tnp.ones_like(y))


# ----------------------------------------------------------------------- of one variable


def bisect(
    f: Callable[..., Any], a: Any, b: Any, args: tuple[Any, ...] = (), xtol: float = 2e-12,
    rtol: float = 8.881784197001252e-16, maxiter: int = 100, full_output: bool = False,
    disp: bool = True,
) -> Any:  # fmt: skip
    """Find roots by bisection, each element by itself.

    Parameters
    ----------
    f : callable
        ``f(x, *args)``, of arrays, each element by itself.
    a, b : array_like
        Ends of intervals, at which `f` has different signs.
    args : tuple, optional
        Further arguments of `f`.
    xtol, rtol : float, optional
        Iterations end when intervals are shorter than ``xtol + rtol * abs(x)``.
    maxiter : int, optional
        How many at most.
    full_output, disp : bool, optional
        Must be their defaults.

    Returns
    -------
    Array
        The roots, NaN where the signs do not differ; derivatives are those of the equation.
    """
    _plain("bisect", full_output)
    a, b = _interval(f, a, b, args)

    def solve(g: Callable[[Any], Any], x: Any) -> Any:
        low, high = a, b
        below = g(low)

        def goes_on(state: Any) -> Any:
            low, high, k = state
            wide = tnp.abs(high - low) > 2 * (xtol + rtol * tnp.abs(high))
            return tnp.any(wide) & (k < maxiter)

        def halve(state: Any) -> Any:
            low, high, k = state
            middle = low + 0.5 * (high - low)
            value = g(middle)
            left = tnp.sign(value) == tnp.sign(below)
            hit = value == 0
            return (
                tnp.where(left | hit, middle, low), tnp.where(left & ~hit, high, middle), k + 1
            )  # fmt: skip

        ends = tnp.sign(below) * tnp.sign(g(high))
        low, high, _ = lax.while_loop(goes_on, halve, (low, high, 0))
        return _where_bracketed(g, a, b, ends, low + 0.5 * (high - low))

    return lax.custom_root(lambda x: f(x, *args), a, solve, _elementwise_step)


def brentq(
    f: Callable[..., Any], a: Any, b: Any, args: tuple[Any, ...] = (), xtol: float = 2e-12,
    rtol: float = 8.881784197001252e-16, maxiter: int = 100, full_output: bool = False,
    disp: bool = True,
) -> Any:  # fmt: skip
    """Find roots within intervals, faster than :func:`bisect`; see there for the arguments.

    Notes
    -----
    Chandrupatla, *A new hybrid quadratic/bisection algorithm*, 1997, which is simpler than Brent's
    method, and never slower by much.
    """
    _plain("brentq", full_output)
    a, b = _interval(f, a, b, args)

    def solve(g: Callable[[Any], Any], x: Any) -> Any:
        x1, x2 = a, b
        f1, f2 = g(x1), g(x2)
        ends = tnp.sign(f1) * tnp.sign(f2)

        def goes_on(state: Any) -> Any:
            *_, done, k = state
            return ~tnp.all(done) & (k < maxiter)

        def step(state: Any) -> Any:
            x1, f1, x2, f2, x3, f3, t, done, k = state
            x = x1 + t * (x2 - x1)
            value = g(x)
            same = tnp.sign(value) == tnp.sign(f1)
            # The bracket is (x, and the end with the other sign); x3 is what was left.
            n3, m3 = tnp.where(same, x1, x2), tnp.where(same, f1, f2)
            n2, m2 = tnp.where(same, x2, x1), tnp.where(same, f2, f1)
            best = tnp.where(tnp.abs(value) < tnp.abs(m2), x, n2)
            tolerance = 2 * (xtol + rtol * tnp.abs(best))
            width = tnp.abs(n2 - x)
            finished = (width <= tolerance) | (value == 0) | (m2 == 0)
            xi = (x - n2) / (n3 - n2)
            phi = (value - m2) / (m3 - m2)
            fits = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
            quadratic = value / (m2 - value) * m3 / (m2 - m3) + (n3 - x) / (n2 - x) * value / (
                m3 - value
            ) * m2 / (m3 - m2)
            share = tnp.where(fits, quadratic, 0.5)
            least = tnp.where(width > 0, 0.5 * tolerance / tnp.where(width > 0, width, 1), 0.5)
            share = tnp.clip(share, tnp.minimum(least, 0.5), 1 - tnp.minimum(least, 0.5))
            new = (x, value, n2, m2, n3, m3, share, finished)
            old = (x1, f1, x2, f2, x3, f3, t, done)
            return (*(tnp.where(done, o, n) for o, n in zip(old, new, strict=True)), k + 1)

        half = tnp.full_like(x1, 0.5)
        start = (x1, f1, x2, f2, x1, f1, half, (f1 == 0) | (f2 == 0), 0)
        x1, f1, x2, f2, *_ = lax.while_loop(goes_on, step, start)
        found = tnp.where(tnp.abs(f1) < tnp.abs(f2), x1, x2)
        return _where_bracketed(g, a, b, ends, found)

    return lax.custom_root(lambda x: f(x, *args), a, solve, _elementwise_step)


def _plain(name: str, full_output: bool) -> None:
    if full_output:
        raise TracejitError(f"{name}: full_output is not offered; the roots are returned")


def _interval(f: Callable[..., Any], a: Any, b: Any, args: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return both ends, in the shape of the values of `f`."""
    a, b = _floating(a), _floating(b)
    dtype = tnp.result_type(a, b)
    shape = tnp.broadcast_shapes(a.shape, b.shape, tnp.shape(f(a, *args)))
    a, b = (tnp.broadcast_to(lax.stop_gradient(x).astype(dtype), shape) for x in (a, b))
    return a, b


def _where_bracketed(g: Any, low: Any, high: Any, ends: Any, found: Any) -> Any:
    at_end = tnp.where(g(low) == 0, low, high)
    return tnp.where(ends < 0, found, tnp.where(ends == 0, at_end, tnp.nan))


def newton(
    func: Callable[..., Any], x0: Any, fprime: Callable[..., Any] | None = None,
    args: tuple[Any, ...] = (), tol: float = 1.48e-8, maxiter: int = 50,
) -> Any:  # fmt: skip
    """Find roots by Newton's method, each element by itself.

    Parameters
    ----------
    func : callable
        ``func(x, *args)``, of arrays, each element by itself.
    x0 : array_like
        Where to start.
    fprime : callable, optional
        The slope; by default it is derived.
    args : tuple, optional
        Further arguments of `func`.
    tol : float, optional
        Iterations end when steps are shorter.
    maxiter : int, optional
        How many at most.

    Returns
    -------
    Array
        The roots; NaN where steps do not become short.  Derivatives are those of the equation.
    """

    def solve(g: Callable[[Any], Any], x: Any) -> Any:
        def move(x: Any) -> Any:
            if fprime is not None:
                value, slope = g(x), fprime(x, *args)
            else:
                value, slope = jvp(g, (x,), (tnp.ones_like(x),))
            return value / slope

        def goes_on(state: Any) -> Any:
            _, done, k = state
            return ~tnp.all(done) & (k < maxiter)

        def step(state: Any) -> Any:
            x, done, k = state
            change = tnp.where(done, 0, move(x))
            return x - change, done | (tnp.abs(change) <= tol), k + 1

        none = tnp.zeros(x.shape, bool)
        x, done, _ = lax.while_loop(goes_on, step, (x, none, 0))
        return tnp.where(done, x, tnp.nan)

    start = lax.stop_gradient(_floating(x0))
    return lax.custom_root(lambda x: func(x, *args), start, solve, _elementwise_step)


def fixed_point(
    func: Callable[..., Any], x0: Any, args: tuple[Any, ...] = (), xtol: float = 1e-8,
    maxiter: int = 500,
) -> Any:  # fmt: skip
    """Find ``x = func(x, *args)`` by repeated application, sped up by Steffensen's method.

    Parameters
    ----------
    func : callable
        Of arrays, each element by itself.
    x0 : array_like
        Where to start.
    args : tuple, optional
        Further arguments.
    xtol : float, optional
        The relative change at which to stop.
    maxiter : int, optional
        How many iterations at most.

    Returns
    -------
    Array
        The fixed points; NaN where changes do not become small.
    """

    def solve(g: Callable[[Any], Any], x: Any) -> Any:
        def apply(x: Any) -> Any:
            return x - g(x)

        def goes_on(state: Any) -> Any:
            _, done, k = state
            return ~tnp.all(done) & (k < maxiter)

        def step(state: Any) -> Any:
            x, done, k = state
            p1 = apply(x)
            p2 = apply(p1)
            d = p2 - 2.0 * p1 + x
            some = d != 0
            p = tnp.where(some, x - (p1 - x) ** 2 / tnp.where(some, d, 1), p2)
            close = tnp.abs(p - x) <= xtol * tnp.where(x == 0, 1.0, tnp.abs(x))
            return tnp.where(done, x, p), done | close, k + 1

        x, done, _ = lax.while_loop(goes_on, step, (x, tnp.zeros(x.shape, bool), 0))
        return tnp.where(done, x, tnp.nan)

    start = lax.stop_gradient(_floating(x0))
    return lax.custom_root(lambda x: x - func(x, *args), start, solve, _elementwise_step)


# ---------------------------------------------------------------------------- of vectors


def root(
    fun: Callable[..., Any], x0: Any, args: tuple[Any, ...] = (), method: str = "hybr",
    tol: float | None = None, options: Mapping[str, Any] | None = None,
) -> RootResults:  # fmt: skip
    """Find a root of a function of a vector.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns an array like `x`.
    x0 : array_like, any shape, real
        Where to start.
    args : tuple, optional
        Further arguments of `fun`.
    method : str, optional
        Accepted for compatibility (``hybr``, ``newton``): Newton's method, with shorter steps as
        long as the function does not become smaller.
    tol : float, optional
        The largest component of the function at which to stop; 1e-10 by default.
    options : mapping, optional
        ``maxiter``, 100 by default.

    Returns
    -------
    RootResults

    Raises
    ------
    TracejitError
        If the method or an option is not known.
    ShapeError
        If `fun` does not keep the shape.
    """
    if method not in ("hybr", "newton", "lm"):
        raise TracejitError(f"root: method hybr, lm or newton, all Newton's; got {method!r}")
    chosen = dict(options or {})
    maxiter = chosen.pop("maxiter", 100)
    if chosen:
        raise TracejitError(f"root: option maxiter; got {sorted(chosen)}")
    x0 = lax.stop_gradient(_floating(x0))
    bound = 1e-10 if tol is None else tol

    def function(x: Any) -> Any:
        out = tnp.asarray(fun(tnp.reshape(x, x0.shape), *args))
        if out.size != x0.size:
            raise ShapeError(
                f"root: a function that returns an array like x, {x0.shape}; got shape {out.shape}"
            )
        return tnp.ravel(out).astype(x0.dtype)

    def solve(g: Callable[[Any], Any], x: Any) -> Any:
        def goes_on(state: Any) -> Any:
            _, value, k, stuck = state
            return (tnp.max(tnp.abs(value), initial=0) > bound) & (k < maxiter) & ~stuck

        def step(state: Any) -> Any:
            x, value, k, _ = state
            change = tnp.linalg.solve(jacfwd(g)(x), value)
            size = tnp.linalg.norm(value)

            def too_long(trial: Any) -> Any:
                share, new = trial
                # Not comparable is too long.
                smaller = tnp.linalg.norm(new) <= (1 - 1e-4 * share) * size
                return ~smaller & (share > 1e-10)

            def shorter(trial: Any) -> Any:
                share = 0.5 * trial[0]
                return share, g(x - share * change)

            one = tnp.ones((), x.dtype)
            share, new = lax.while_loop(too_long, shorter, (one, g(x - change)))
            return x - share * change, new, k + 1, (share <= 1e-10) | ~tnp.isfinite(new).all()

        x, value, k, _ = lax.while_loop(goes_on, step, (x, g(x), 0, tnp.asarray(False)))
        return x, (value, k)

    x, (value, k) = lax.custom_root(
        function, tnp.ravel(x0), solve,
        lambda linear, y: tnp.linalg.solve(jacfwd(linear)(tnp.zeros_like(y)), y), has_aux=True,
    )  # fmt: skip
    good = tnp.max(tnp.abs(value), initial=0) <= bound
    return RootResults(tnp.reshape(x, x0.shape), good, tnp.reshape(value, x0.shape), k)
