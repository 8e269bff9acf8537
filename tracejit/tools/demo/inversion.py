"""The inverse problem: where was the source and how high, from a few gauge records.

The records are those of a known source, with noise added, so that the answer can be compared with
the truth (a twin experiment on one grid: it shows that the gradient through the whole simulation is
right and useful, not that the real world obeys the scheme).

A wave that arrives half a period early or late makes a local minimum.  So the misfit is first that
of records smoothed in time, whose valley is wide, and then that of ever less smoothed ones: three
descents with the same compiled gradient, the smoothing being one of its arguments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from tracejit.tools.demo.engines import Engine
from tracejit.tools.demo.simulation import Setting, Source, advance, initial_state

__all__ = ["Recovery", "gradient_check", "misfit", "recover", "wrong_guess"]

Array = Any
Floats = np.ndarray[Any, np.dtype[np.float64]]

LENGTH = 20_000.0
"""Metres in one unit of the scaled position."""
SMOOTHING = (480.0, 180.0, 0.0)
"""Widths in seconds of the smoothing of the records, one a descent."""


@dataclass(frozen=True)
class Recovery:
    """What the descent found.

    Attributes
    ----------
    guess, found, true : Source
        Where it began, where it ended and the truth.
    iterations, evaluations : int
        Of L-BFGS, and of misfit with gradient, over all descents.
    misfit : tuple of two floats
        Of the unsmoothed records, at the guess and at the end.
    gradient_error : float
        Relative difference of the gradient and a central difference, along one direction.
    """

    guess: Source
    found: Source
    true: Source
    iterations: int
    evaluations: int
    misfit: tuple[float, float]
    gradient_error: float

    @property
    def distance(self) -> float:
        """Metres between the place found and the true one."""
        return float(np.hypot(self.found.x - self.true.x, self.found.y - self.true.y))


def misfit(engine: Engine, setting: Setting, steps: int, source: Source) -> Callable[..., Array]:
    """Return the misfit as a function of the scaled parameters, the simulation inside.

    Parameters
    ----------
    engine : Engine
        What will run it.
    setting : Setting
        The grid, gauges and scheme.
    steps : int
        Number of time steps.
    source : Source
        Its width and shape are taken as known; its amplitude is the unit of the third parameter.

    Returns
    -------
    callable
        ``f(p, bed, records, smoother)``: `p` is position over `LENGTH` and amplitude over its unit,
        `records` has shape (steps, gauges), and `smoother`, shape (steps, steps), is applied to the
        difference.  The value is the mean square over the mean square of the records.
    """
    xp, elevation = engine.xp, setting.elevation
    x, y = elevation.x[None, :], elevation.y[:, None]
    program = advance(engine, setting, steps, remember=False)

    def f(p: Array, bed: Array, records: Array, smoother: Array) -> Array:
        amplitude = p[2] * source.amplitude
        state = initial_state(bed, x, y, p[0] * LENGTH, p[1] * LENGTH, amplitude, source, xp)
        _, series = program(state, xp.zeros_like(bed), bed, elevation.dx, elevation.dy, setting.dt)
        return xp.sum((smoother @ (series - records)) ** 2) / xp.sum(records**2)

    return f


def gradient_check(
    value: Callable[[Floats], float], gradient: Floats, p: Floats, size: float = 1e-5
) -> float:
    """Return the relative difference of a gradient and a central difference along it."""
    length = float(np.linalg.norm(gradient))
    if length == 0.0:
        return float("inf")
    direction = gradient / length
    difference = (value(p + size * direction) - value(p - size * direction)) / (2.0 * size)
    return abs(difference - length) / length


def wrong_guess(setting: Setting, source: Source, distance: float = 45_000.0) -> Source:
    """Return a source of half the amplitude at that distance, over the deepest water there is."""
    elevation = setting.elevation
    width, height = float(elevation.x[-1]), float(elevation.y[-1])
    distance = min(distance, 0.35 * min(width, height))
    best, guess = -np.inf, source
    for angle in np.arange(0.0, 2.0 * np.pi, np.pi / 8.0):
        x = source.x + distance * float(np.cos(angle))
        y = source.y + distance * float(np.sin(angle))
        if not (0.0 < x < width and 0.0 < y < height):
            continue
        depth = -float(elevation.bed[round(y / elevation.dy), round(x / elevation.dx)])
        if depth > best:
            best = depth
            guess = dataclasses.replace(source, x=x, y=y, amplitude=0.5 * source.amplitude)
    return guess


def recover(
    engine: Engine,
    setting: Setting,
    source: Source,
    records: Floats,
    guess: Source,
    done: Callable[[int], None] | None = None,
    most_iterations: int = 25,
) -> Recovery:
    """Recover position and amplitude of the source from gauge records by L-BFGS.

    Parameters
    ----------
    engine : Engine
        What runs and differentiates; it must have ``value_and_grad``.
    setting : Setting
        The grid, gauges and scheme.
    source : Source
        The truth; the descent sees its width and shape only, and its amplitude as a unit.
    records : numpy.ndarray, shape (steps, gauges)
        Surface at the gauges after each step.
    guess : Source
        Where to begin.
    done : callable, optional
        Called with the number of descents done.
    most_iterations : int
        Bound on the iterations of each descent.

    Returns
    -------
    Recovery
        What was found.
    """
    if engine.value_and_grad is None:
        raise ValueError(f"recover: {engine.name} does not differentiate")
    elevation = setting.elevation
    bed = elevation.bed
    f = misfit(engine, setting, len(records), source)
    compiled, plain = engine.jit(engine.value_and_grad(f)), engine.jit(f)

    def fall(p: Floats, smoother: Floats) -> tuple[float, Floats]:
        value, gradient = compiled(p, bed, records, smoother)
        return float(value), np.asarray(gradient, dtype=np.float64)

    raw = _smoother(len(records), setting.dt, 0.0)
    p = np.array([guess.x / LENGTH, guess.y / LENGTH, guess.amplitude / source.amplitude])
    start, gradient = fall(p, raw)
    error = gradient_check(lambda q: float(plain(q, bed, records, raw)), gradient, p)
    bounds = [
        (0.0, float(elevation.x[-1]) / LENGTH),
        (0.0, float(elevation.y[-1]) / LENGTH),
        (0.05, 20.0),
    ]
    iterations = evaluations = 0
    for number, width in enumerate(SMOOTHING):
        last = number == len(SMOOTHING) - 1
        found = minimize(
            fall,
            p,
            args=(_smoother(len(records), setting.dt, width),),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={
                "maxiter": most_iterations,
                "ftol": 1e-9 if last else 1e-4,
                "gtol": 1e-6 if last else 1e-4,
            },
        )
        p = found.x
        iterations, evaluations = iterations + int(found.nit), evaluations + int(found.nfev)
        if done is not None:
            done(number + 1)
    end, _ = fall(p, raw)
    return Recovery(
        guess=guess,
        found=dataclasses.replace(
            source,
            x=float(p[0]) * LENGTH,
            y=float(p[1]) * LENGTH,
            amplitude=float(p[2]) * source.amplitude,
        ),
        true=source,
        iterations=iterations,
        evaluations=evaluations,
        misfit=(start, end),
        gradient_error=error,
    )


def _smoother(steps: int, dt: float, width: float) -> Floats:
    """Return the matrix of a Gaussian mean in time; the identity for width 0."""
    if width == 0.0:
        return np.eye(steps)
    t = dt * np.arange(steps)
    weight = np.exp(-0.5 * ((t[:, None] - t[None, :]) / width) ** 2)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))
