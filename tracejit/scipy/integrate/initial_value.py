"""Ordinary differential equations from initial values, with steps of adapted length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import DTypeError, ShapeError, TracejitError
from tracejit.core.tracer import Tracer
from tracejit.flatten_util import ravel_pytree
from tracejit.scipy.integrate.runge_kutta import (
    METHODS,
    Controls,
    Stepper,
    Tableau,
    first_step,
    interpolated,
    try_step,
)

__all__ = ["DenseOutput", "OdeResult", "integrate", "odeint", "solve_ivp"]


def _start(
    slope: Callable[[Any, Any], Any], tableau: Tableau, t: Any, y: Any, sign: Any,
    controls: Controls, first: Any,
) -> Stepper:  # fmt: skip
    f = slope(t, y)
    h = first_step(slope, t, y, f, sign, tableau.order, controls) if first is None else first
    stages = tnp.zeros((len(tableau.b) + 1, *y.shape), y.dtype)
    zero = tnp.asarray(0)
    h = tnp.asarray(h, t.dtype)
    return Stepper(t, y, f, h, t, y, stages, zero + 2, zero, tnp.asarray(False))


def integrate(
    func: Callable[..., Any], y0: Any, t: Any, *args: Any, rtol: Any = 1.4e-8, atol: Any = 1.4e-8,
    mxstep: Any = None, hmax: Any = np.inf, method: str = "RK45",
) -> Any:  # fmt: skip
    """Solve ``dy/dt = func(y, t, *args)`` and return the states at given times.

    Parameters
    ----------
    func : callable
        Of the state, the time and `args`; returns the slopes, like the state.
    y0 : pytree of arrays, inexact
        The state at ``t[0]``.
    t : Array, shape (m,)
        Times, increasing or decreasing.
    *args : pytrees
        Further arguments of `func`.
    rtol, atol : float, optional
        Tolerances of a step: relative to the state, and absolute.
    mxstep : int, optional
        How many steps from one time to the next; states are NaN if these do not suffice.
    hmax : float, optional
        The longest step.
    method : str, optional
        ``RK45`` or ``RK23``.

    Returns
    -------
    pytree like `y0`, with a leading axis of length m

    Raises
    ------
    ShapeError
        If `t` is no vector, or slopes are not like states.
    DTypeError
        If a leaf of `y0` is not inexact.

    Notes
    -----
    Forward and reverse derivatives are those of the computed solution at the steps that were taken,
    not of another differential equation, so that they agree with it to rounding; reverse mode keeps
    what :func:`~tracejit.grad` with ``memory=`` allows.
    """
    flat, unravel = ravel_pytree(y0)
    if not tnp.issubdtype(flat.dtype, np.inexact):
        raise DTypeError(f"odeint: states of an inexact dtype; got {flat.dtype}. Convert y0")
    t = tnp.asarray(t)
    if t.ndim != 1 or not t.shape[0]:
        raise ShapeError(f"odeint: times as a vector (m,), m at least 1; got shape {t.shape}")
    real = tnp.finfo(flat.dtype).dtype
    t = t.astype(real)

    def slope(time: Any, y: Any) -> Any:
        out = ravel_pytree(func(unravel(y), time, *args))[0]
        if out.shape != y.shape:
            raise ShapeError(f"odeint: slopes like states, {y.shape[0]} numbers; got {out.shape}")
        return out.astype(y.dtype)

    tableau, controls = METHODS[method], Controls(rtol, atol, hmax)
    sign = lax.stop_gradient(tnp.where(t[-1] >= t[0], 1.0, -1.0)).astype(real)
    state = _start(slope, tableau, t[0], flat, sign, controls, None)
    limit = np.iinfo(np.int64).max if mxstep is None or mxstep == np.inf else mxstep
    far = sign * np.inf

    def until(state: Stepper, target: Any) -> tuple[Stepper, Any]:
        begun = state.steps

        def goes_on(now: Stepper) -> Any:
            # Steps that do not move the time any more are of no use.
            moves = now.t + sign * now.h != now.t
            return (sign * (target - now.t) > 0) & (now.steps - begun < limit) & moves

        step = lambda now: try_step(slope, tableau, now, sign, far, controls)
        state = lax.while_loop(goes_on, step, state)
        reached = sign * (target - state.t) <= 0
        return state, tnp.where(reached, interpolated(tableau, state, target), tnp.nan)

    _, later = lax.scan(until, state, t[1:])
    return _unravelled(unravel, tnp.concatenate([flat[None], later.astype(flat.dtype)]))


def _unravelled(unravel: Callable[[Any], Any], rows: Any) -> Any:
    from_rows = lax.map(unravel, rows) if rows.shape[0] else unravel(rows)
    return from_rows


def odeint(
    func: Callable[..., Any], y0: Any, t: Any, args: tuple[Any, ...] = (), *,
    tfirst: bool = False, rtol: float = 1.49012e-8, atol: float = 1.49012e-8, hmax: float = 0.0,
    mxstep: int = 0,
) -> Any:  # fmt: skip
    """As :func:`scipy.integrate.odeint`, by Dormand and Prince's method.

    Parameters
    ----------
    func : callable
        ``func(y, t, *args)``, or with `tfirst` ``func(t, y, *args)``.
    y0 : pytree of arrays
        The state at ``t[0]``.
    t : Array, shape (m,)
        Times.
    args : tuple, optional
        Further arguments.
    tfirst : bool, optional
        Whether the time comes first.
    rtol, atol, hmax, mxstep : optional
        See :func:`integrate`; 0 is no bound.
    """
    slope = (lambda y, t, *rest: func(t, y, *rest)) if tfirst else func
    return integrate(
        slope, y0, t, *args, rtol=rtol, atol=atol, hmax=hmax or np.inf, mxstep=mxstep or None
    )


class DenseOutput(NamedTuple):
    """The solution between the ends of steps; call it with times.

    Attributes
    ----------
    ts : Array, shape (steps + 1,)
        The ends; those that were not needed are infinite.
    ys : Array, shape (steps + 1, n)
        The states there.
    stages : Array, shape (steps, stages + 1, n)
        The slopes of each step.
    between : Array
        The coefficients of the polynomial.
    """

    ts: Any
    ys: Any
    stages: Any
    between: Any

    def __call__(self, t: Any) -> Any:
        """Return states (n,) + the shape of `t`; outside, the polynomial of the nearest step."""
        t = tnp.asarray(t)
        sign = tnp.where(self.ts[1] >= self.ts[0], 1.0, -1.0)
        flat = tnp.ravel(t).astype(self.ts.dtype)
        known = tnp.sum(tnp.isfinite(self.ts)) - 1
        at = tnp.clip(tnp.searchsorted(sign * self.ts, sign * flat, side="right") - 1, 0, known - 1)
        width = self.ts[at + 1] - self.ts[at]
        some = tnp.isfinite(width) & (width != 0)
        theta = tnp.where(some, (flat - self.ts[at]) / tnp.where(some, width, 1), 0)
        degree = self.between.shape[1]
        powers = tnp.stack([theta ** (n + 1) for n in range(degree)])
        weights = (self.between @ powers).astype(self.ys.dtype)
        change = tnp.einsum("kp,pkn->pn", weights, self.stages[at])
        out = self.ys[at] + tnp.where(some, width, 0)[:, None] * change
        return tnp.reshape(out.T, (self.ys.shape[1], *t.shape))


class OdeResult(NamedTuple):
    """What :func:`solve_ivp` found.

    Attributes
    ----------
    t : Array, shape (m,)
        Times.
    y : Array, shape (n, m)
        The states there.
    sol : DenseOutput or None
        The solution at any time.
    nfev : Array, shape (), int
        How often the slope was computed.
    status : Array, shape (), int
        0: the end was reached; -1: it was not.
    success : Array, shape (), bool
        Whether it was reached.
    """

    t: Any
    y: Any
    sol: Any
    nfev: Any
    status: Any
    success: Any


def solve_ivp(
    fun: Callable[..., Any], t_span: tuple[Any, Any], y0: Any, method: str = "RK45",
    t_eval: Any = None, dense_output: bool = False, events: None = None, vectorized: bool = False,
    args: tuple[Any, ...] | None = None, *, rtol: Any = 1e-3, atol: Any = 1e-6,
    first_step: Any = None, max_step: Any = np.inf, max_steps: int = 1000,
) -> OdeResult:  # fmt: skip
    """As :func:`scipy.integrate.solve_ivp`, compiled.

    Parameters
    ----------
    fun : callable
        ``fun(t, y, *args)`` returns the slopes, shape (n,).
    t_span : (scalar, scalar)
        From when to when.
    y0 : Array, shape (n,), inexact
        The state at the start.
    method : str, optional
        ``RK45`` (Dormand and Prince) or ``RK23`` (Bogacki and Shampine).
    t_eval : Array, shape (m,), optional
        The times to return; by default the ends of the steps.
    dense_output : bool, optional
        Whether the result has ``sol``, a function of time.
    events : None
        Not offered.
    vectorized : bool, optional
        Accepted for compatibility.
    args : tuple, optional
        Further arguments of `fun`.
    rtol, atol, first_step, max_step : optional
        Tolerances, the first step, the longest one.
    max_steps : int, optional
        How many steps there is room for.

    Returns
    -------
    OdeResult
        Where steps are returned and the number is not known (in a compiled function), there are
        ``max_steps + 1`` of them, the last one repeated.

    Raises
    ------
    TracejitError
        If the method is not known, or `events` is given.
    ShapeError
        If `y0` is no vector.

    Notes
    -----
    Derivatives are those of the computed solution, see :func:`integrate`.
    """
    if method not in METHODS or events is not None:
        raise TracejitError(
            f"solve_ivp: method RK45 or RK23, and no events; got {method!r} and {events!r}"
        )
    y0 = tnp.asarray(y0)
    if not tnp.issubdtype(y0.dtype, np.inexact):
        y0 = y0.astype(tnp.float64)
    if y0.ndim != 1:
        raise ShapeError(f"solve_ivp: y0 as a vector (n,); got shape {y0.shape}")
    real = tnp.finfo(y0.dtype).dtype
    begin, end = (tnp.asarray(t).astype(real) for t in t_span)
    sign = lax.stop_gradient(tnp.where(end >= begin, 1.0, -1.0)).astype(real)
    extra = () if args is None else tuple(args)

    def slope(t: Any, y: Any) -> Any:
        out = fun(t, y, *extra)
        out = tnp.stack([tnp.asarray(v) for v in out]) if isinstance(out, (list, tuple)) else out
        return tnp.asarray(out).astype(y.dtype)

    tableau, controls = METHODS[method], Controls(rtol, atol, max_step)
    state = _start(slope, tableau, begin, y0, sign, controls, first_step)
    inf = tnp.full(max_steps + 1, sign * np.inf, real)
    stages = tnp.zeros((max_steps, *state.stages.shape), y0.dtype)
    buffers = (
        inf.at[0].set(begin), tnp.zeros((max_steps + 1, *y0.shape), y0.dtype).at[0].set(y0), stages
    )  # fmt: skip

    def goes_on(carry: Any) -> Any:
        now, _, count = carry
        moves = now.t + sign * now.h != now.t
        return (sign * (end - now.t) > 0) & (count < max_steps) & moves

    def step(carry: Any) -> Any:
        now, (ts, ys, stages), count = carry
        now = try_step(slope, tableau, now, sign, end, controls)
        # A step that is not accepted is written over by the next one.
        kept = tnp.where(now.accepted, now.t, sign * np.inf)
        buffers = (
            ts.at[count + 1].set(kept), ys.at[count + 1].set(now.y),
            stages.at[count].set(now.stages),
        )  # fmt: skip
        return now, buffers, count + now.accepted.astype(count.dtype)

    now, (ts, ys, stages), count = lax.while_loop(
        goes_on, step, (state, buffers, tnp.asarray(0))
    )
    good = sign * (end - now.t) <= 0
    dense = DenseOutput(ts, ys, stages, tnp.asarray(tableau.between, real))
    if t_eval is not None:
        t = tnp.asarray(t_eval).astype(real)
        y = tnp.where(sign * (now.t - t) >= 0, dense(t), tnp.nan)
    elif isinstance(count, Tracer):
        place = tnp.minimum(tnp.arange(max_steps + 1), count)
        t, y = ts[place], ys[place].T
    else:
        t, y = ts[: int(count) + 1], ys[: int(count) + 1].T
    return OdeResult(
        t, y, dense if dense_output else None, now.evaluations, tnp.where(good, 0, -1), good
    )
