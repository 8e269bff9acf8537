"""Line searches: a step that is long enough and not too long (the strong conditions of Wolfe)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tracejit.numpy as tnp
from tracejit import lax

__all__ = ["Step", "line_search"]

ENOUGH, FLAT = 1e-4, 0.9
"""Of Wolfe's conditions: the share of the decrease the slope promises, and of the slope left."""


class Step(NamedTuple):
    """A step along a direction.

    Attributes
    ----------
    length, value : Array, shape ()
        How far, and the function there.
    gradient : Array, shape (n,)
        The gradient there.
    evaluations : Array, shape (), int
        How often the function was evaluated.
    failed : Array, shape (), bool
        Whether the conditions do not hold.
    """

    length: Any
    value: Any
    gradient: Any
    evaluations: Any
    failed: Any


class _State(NamedTuple):
    low: Any  # the best step so far that is too short or too flat an end of the bracket
    low_value: Any
    low_slope: Any
    high: Any  # the other end of the bracket; infinite until there is one
    high_value: Any
    step: Any
    best: Step
    done: Any


def line_search(
    value_and_grad: Callable[[Any], Any], x: Any, p: Any, value: Any, gradient: Any,
    first: Any = 1.0, maxiter: int = 30,
) -> Step:  # fmt: skip
    """Find a step along `p` from `x` by which the strong conditions of Wolfe hold.

    Parameters
    ----------
    value_and_grad : callable
        Of a vector.
    x, p : Array, shape (n,)
        Where, and along what; the function falls along `p`.
    value : Array, shape ()
        The function at `x`.
    gradient : Array, shape (n,)
        The gradient at `x`.
    first : scalar, optional
        The first step to try.
    maxiter : int, optional
        How many evaluations at most.

    Returns
    -------
    Step

    Notes
    -----
    The bracket is halved, or cut at the minimum of a parabola, until the conditions hold (Nocedal
    and Wright, *Numerical Optimization*, section 3.5, in one loop).
    """
    slope = tnp.vdot(gradient, p)
    inf = tnp.asarray(tnp.inf, x.dtype)
    zero = tnp.zeros((), x.dtype)
    start = Step(zero, value, gradient, tnp.asarray(0), tnp.asarray(True))
    state = _State(zero, value, slope, inf, inf, tnp.asarray(first, x.dtype), start, slope >= 0)

    def goes_on(state: _State) -> Any:
        return ~state.done & (state.best.evaluations < maxiter)

    def body(state: _State) -> _State:
        a = state.step
        f, g = value_and_grad(x + a * p)
        d = tnp.vdot(g, p)
        count = state.best.evaluations + 1
        # Not comparable is too far.
        falls = f <= value + ENOUGH * a * slope
        too_far = ~(falls & ((state.low == 0) | (f < state.low_value)))
        good = ~too_far & (tnp.abs(d) <= -FLAT * slope)
        rising = ~too_far & ~good & (d >= 0)
        shrink = too_far | rising
        low = tnp.where(too_far | good, state.low, a)
        low_value = tnp.where(too_far | good, state.low_value, f)
        low_slope = tnp.where(too_far | good, state.low_slope, d)
        high = tnp.where(too_far, a, tnp.where(rising, state.low, state.high))
        high_value = tnp.where(too_far, f, tnp.where(rising, state.low_value, state.high_value))
        width = high - low
        parabola = low - 0.5 * low_slope * width**2 / (high_value - low_value - low_slope * width)
        edge = 0.1 * tnp.abs(width)
        inside = (tnp.abs(parabola - low) > edge) & (tnp.abs(parabola - high) > edge) & (
            (parabola - low) * (parabola - high) < 0
        )
        middle = tnp.where(inside, parabola, low + 0.5 * width)
        following = tnp.where(tnp.isfinite(high), middle, 2.0 * tnp.maximum(a, low))
        # Whatever falls is better than to stand still.
        better = good | (~too_far & (f < state.best.value))
        pairs = zip((a, f, g), state.best[:3], strict=True)
        at, there, sloped = (tnp.where(better, new, old) for new, old in pairs)
        best = Step(at, there, sloped, count, state.best.failed & ~good)
        stuck = tnp.isfinite(high) & (tnp.abs(width) <= 1e-14 * tnp.abs(low)) & shrink
        return _State(low, low_value, low_slope, high, high_value, following, best, good | stuck)

    end: _State = lax.while_loop(goes_on, body, state)
    return end.best
