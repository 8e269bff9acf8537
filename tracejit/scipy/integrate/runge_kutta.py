"""Explicit Runge-Kutta steps with an estimate of their error, and polynomials between.

The unknown is a vector.  Step sizes have no derivative: with respect to what the equation depends
on, the solution is differentiated as computed, at the steps that were taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tracejit.numpy as tnp
from tracejit import lax

__all__ = ["METHODS", "Controls", "Stepper", "Tableau", "first_step", "interpolated", "try_step"]

SAFETY, LEAST, MOST = 0.9, 0.2, 10.0
"""Of the step that the estimate allows: the share taken, and bounds of its change."""


class Tableau(NamedTuple):
    """The numbers of a method.

    Attributes
    ----------
    c, a, b : ndarray
        Times, coefficients of the stages, weights.
    error : ndarray
        Weights of the estimate of the error; one more than stages, for the slope at the end.
    between : ndarray, shape (stages + 1, degree)
        Coefficients of the polynomial between the ends of a step.
    order : int
        Of the estimate.
    """

    c: Any
    a: Any
    b: Any
    error: Any
    between: Any
    order: int


METHODS = {
    # Dormand and Prince 1980; the polynomial is Shampine's, 1986.
    "RK45": Tableau(
        np.array([0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1]),
        np.array([
            [0, 0, 0, 0, 0],
            [1 / 5, 0, 0, 0, 0],
            [3 / 40, 9 / 40, 0, 0, 0],
            [44 / 45, -56 / 15, 32 / 9, 0, 0],
            [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0],
            [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        ]),
        np.array([35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]),
        np.array([-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40]),
        np.array([
            [1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432],
            [0, 0, 0, 0],
            [0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799],
            [0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072],
            [0, 127303824393 / 49829197408, -318862633887 / 49829197408,
             701980252875 / 199316789632],
            [0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844],
            [0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423],
        ]),
        4,
    ),
    # Bogacki and Shampine 1989.
    "RK23": Tableau(
        np.array([0, 1 / 2, 3 / 4]),
        np.array([[0, 0, 0], [1 / 2, 0, 0], [0, 3 / 4, 0]]),
        np.array([2 / 9, 1 / 3, 4 / 9]),
        np.array([5 / 72, -1 / 12, -1 / 9, 1 / 8]),
        np.array([[1, -4 / 3, 5 / 9], [0, 1, -2 / 3], [0, 4 / 3, -8 / 9], [0, -1, 1]]),
        2,
    ),
}  # fmt: skip

Slope = Callable[[Any, Any], Any]


class Controls(NamedTuple):
    """Tolerances, and the greatest step."""

    rtol: Any
    atol: Any
    longest: Any


class Stepper(NamedTuple):
    """Where a solution is.

    Attributes
    ----------
    t, y, f : Array
        The time, the state (n,), and the slope there.
    h : Array, shape ()
        The next step to try, always positive.
    before, taken : Array
        The time and the state before the last step.
    stages : Array, shape (stages + 1, n)
        The slopes of the last step.
    evaluations, steps : Array, shape (), int
        How often the slope was computed, and how many steps were tried.
    accepted : Array, shape (), bool
        Whether the last one was.
    """

    t: Any
    y: Any
    f: Any
    h: Any
    before: Any
    taken: Any
    stages: Any
    evaluations: Any
    steps: Any
    accepted: Any


def _size(x: Any) -> Any:
    """Return the root of the mean square."""
    squares = tnp.real(x) ** 2 + tnp.imag(x) ** 2 if tnp.iscomplexobj(x) else x * x
    return tnp.sqrt(tnp.mean(squares))


def first_step(
    slope: Slope, t: Any, y: Any, f: Any, sign: Any, order: int, controls: Controls
) -> Any:
    """Return a first step: Hairer, Norsett and Wanner, *Solving ODEs I*, section II.4."""
    scale = controls.atol + tnp.abs(y) * controls.rtol
    d0, d1 = _size(y / scale), _size(f / scale)
    tiny = (d0 < 1e-5) | (d1 < 1e-5)
    h0 = tnp.where(tiny, 1e-6, 0.01 * d0 / tnp.where(tiny, 1.0, d1))
    f1 = slope(t + sign * h0, y + sign * h0 * f)
    d2 = _size((f1 - f) / scale) / h0
    flat = (d1 <= 1e-15) & (d2 <= 1e-15)
    most = tnp.maximum(d1, d2)
    h1 = tnp.where(
        flat,
        tnp.maximum(1e-6, h0 * 1e-3),
        (0.01 / tnp.where(flat, 1.0, most)) ** (1.0 / (order + 1)),
    )
    return lax.stop_gradient(tnp.minimum(tnp.minimum(100.0 * h0, h1), controls.longest))


def try_step(
    slope: Slope, tableau: Tableau, now: Stepper, sign: Any, end: Any, controls: Controls
) -> Stepper:
    """Try a step from where the solution is towards `end`.

    Parameters
    ----------
    slope : callable
        Of time and state.
    tableau : Tableau
        The method.
    now : Stepper
        Where the solution is.
    sign : Array, shape ()
        1 or -1, the direction of time.
    end : Array, shape ()
        A time that no step passes.
    controls : Controls
        Tolerances.
    """
    h = lax.stop_gradient(tnp.minimum(now.h, controls.longest))
    left = sign * (end - now.t)
    last = h >= left
    h = tnp.where(last, left, h)
    step = (sign * h).astype(now.t.dtype)
    stages = [now.f]
    for c, row in zip(tableau.c[1:], tableau.a[1:], strict=True):
        change = sum(float(a) * k for a, k in zip(row, stages, strict=False) if a)
        stages.append(slope(now.t + float(c) * step, now.y + step * change))
    y = now.y + step * sum(float(b) * k for b, k in zip(tableau.b, stages, strict=True) if b)
    t = tnp.where(last, end, now.t + step)
    stages.append(slope(t, y))
    error = step * sum(float(e) * k for e, k in zip(tableau.error, stages, strict=True) if e)
    scale = controls.atol + tnp.maximum(tnp.abs(now.y), tnp.abs(y)) * controls.rtol
    ratio = lax.stop_gradient(_size(error / scale))
    accepted = ratio < 1.0  # what is not comparable is not accepted
    change = SAFETY * tnp.where(ratio == 0, 1.0, ratio) ** (-1.0 / (tableau.order + 1))
    change = tnp.where(ratio == 0, MOST, tnp.clip(change, LEAST, MOST))
    change = tnp.where(tnp.isfinite(ratio), change, LEAST)
    change = tnp.where(accepted, change, tnp.minimum(change, 1.0))
    new = Stepper(
        t, y, stages[-1], h * change, now.t, now.y, tnp.stack(stages), now.evaluations, now.steps,
        accepted,
    )  # fmt: skip
    # A short last step says nothing about the length of the next one.
    grown = tnp.where(accepted & last, tnp.maximum(now.h, h * change), h * change)
    old = (now.t, now.y, now.f, now.h, now.before, now.taken, now.stages)
    t, y, f, _, before, taken, slopes = (
        tnp.where(accepted, n, o) for n, o in zip(new[:7], old, strict=True)
    )
    count = now.evaluations + len(stages) - 1
    return Stepper(t, y, f, grown, before, taken, slopes, count, now.steps + 1, accepted)


def interpolated(tableau: Tableau, now: Stepper, t: Any) -> Any:
    """Return the state at a time within the last step."""
    width = now.t - now.before
    some = width != 0
    theta = tnp.where(some, (t - now.before) / tnp.where(some, width, 1), 0)
    powers = tnp.stack([theta ** (n + 1) for n in range(tableau.between.shape[1])])
    weights = tnp.asarray(tableau.between, theta.dtype) @ powers
    return now.taken + width * (weights.astype(now.stages.dtype) @ now.stages)
