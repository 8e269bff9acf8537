"""Discrete distributions: by inversion where the mean is small, else by transformed rejection.

Inversion adds up probabilities from 0 on until a uniform number is passed: one number an element.
Loops go over whole arrays until every element has its number.

References
----------
W. Hoermann, "The transformed rejection method for generating Poisson random variables",
Insurance: Mathematics and Economics 12 (1993): algorithm PTRS.
W. Hoermann, "The generation of binomial random variates", J. Stat. Comput. Simul. 46 (1993):
algorithm BTRS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.control.scan import scan
from tracejit.control.while_loop import while_loop
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_integer
from tracejit.numpy.promotion import broadcast_shapes, cast, dtype_or, operand, static_shape
from tracejit.ops.special import lgamma
from tracejit.random.continuous import parameters
from tracejit.random.distributions import F64, I64, fitted, tiny, two_keys, uniform
from tracejit.random.keys import fold_in, split
from tracejit.transforms.stop_gradient import stop_gradient

__all__ = ["binomial", "geometric", "multinomial", "poisson"]

SMALL_MEAN = 10.0
"""Below it inversion."""

MOST_STEPS = 1000
"""Of inversion: far beyond what has any probability."""


def _integer_dtype(name: str, dtype: Any) -> np.dtype[Any]:
    kind = dtype_or(dtype, I64)
    if not is_integer(kind):
        raise DTypeError(f"{name}: dtype must be an integer; got {kind}")
    return kind


def geometric(key: Any, p: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return the numbers of the first successes in trials that succeed with probability `p`.

    They are integers from 1 on, int64 by default.
    """
    kind = _integer_dtype("geometric", dtype)
    _, target, (p,) = parameters("geometric", F64, shape, p)
    u = uniform(key, target, F64, tiny(F64), 1.0)
    return cast(tnp.floor(tnp.log(u) / tnp.log1p(-p)) + 1, kind)


def _inverted(key: Any, first: Any, ratio: Callable[[Any], Any]) -> Any:
    """Return numbers of probability ``first * ratio(1) * ... * ratio(k)``."""
    shape = get_aval(first).shape

    def step(state: Any) -> Any:
        k, weight, rest = state
        passed = rest >= weight
        after = cast(k + passed, F64)
        rest = tnp.where(passed, rest - weight, rest)
        return after, tnp.where(passed, weight * ratio(after), weight), rest

    def unfinished(state: Any) -> Any:
        k, weight, rest = state
        return tnp.any((rest >= weight) & (k < MOST_STEPS) & (weight > 0))

    start = tnp.zeros(shape, F64), first, uniform(key, shape, F64)
    return while_loop(unfinished, step, start)[0]


def _rejected(
    key: Any,
    wanted: Any,
    proposal: tuple[Any, Any, Any, Any],
    quick: Any,
    log_ratio: Callable[[Any], Any],
    log_scale: Any,
) -> Any:
    """Return numbers by transformed rejection.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    wanted : Array of bool
        The elements that are to be drawn.
    proposal : (a, b, c, most)
        ``floor((2 a / us + b) u + c)`` is proposed, if it is from 0 to `most`.
    quick : Array
        The second uniform number below which it is accepted at once.
    log_ratio : callable
        Logarithm of the probability of a number, up to a constant.
    log_scale : Array
        Logarithm of what the hat function is scaled by.
    """
    a, b, c, most = proposal
    shape = get_aval(wanted).shape

    def step(state: Any) -> Any:
        trip, value, done = state
        first, second = two_keys(fold_in(key, trip))
        u = uniform(first, shape, F64) - 0.5
        v = uniform(second, shape, F64, tiny(F64), 1.0)
        us = 0.5 - tnp.abs(u)
        some = tnp.maximum(us, tiny(F64))
        k = tnp.floor((2 * a / some + b) * u + c)
        inside = (k >= 0) & (k <= most)
        safe = tnp.where(inside, k, 0)
        squeezed = (us >= 0.07) & (v <= quick)
        below = tnp.log(v) + log_scale - tnp.log(a / (some * some) + b) <= log_ratio(safe)
        accepted = inside & (squeezed | below) & ~done
        return trip + 1, tnp.where(accepted, k, value), done | accepted

    start = 0, tnp.zeros(shape, F64), ~wanted
    return while_loop(lambda state: ~tnp.all(state[2]), step, start)[1]


def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return numbers of the Poisson distribution.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    lam : array-like, real
        The mean; -1 is returned for what is negative or NaN.
    shape : tuple of int, optional
        The shape of the result, to which `lam` broadcasts; that of `lam` by default.
    dtype : dtype-like, integer
        The dtype of the result; int64 by default.
    """
    kind = _integer_dtype("poisson", dtype)
    _, target, (lam,) = parameters("poisson", F64, shape, stop_gradient(operand(lam)))
    lam = tnp.broadcast_to(lam, target)
    valid = lam >= 0
    small = ~(lam >= SMALL_MEAN)
    first, second = two_keys(key)
    mean = tnp.where(valid & small, lam, 0)
    # A mean of 0 is done before the first step: nobody waits for what is not wanted.
    few = _inverted(first, tnp.exp(-mean), lambda k: mean / k)
    mean = tnp.where(small, SMALL_MEAN, lam)
    b = 0.931 + 2.53 * tnp.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse = 1.1239 + 1.1328 / (b - 3.4)
    many = _rejected(
        second,
        ~small,
        (a, b, mean + 0.43, tnp.inf),
        0.9277 - 3.6224 / (b - 2),
        lambda k: k * tnp.log(mean) - mean - lgamma(k + 1),
        tnp.log(inverse),
    )
    return cast(tnp.where(valid, tnp.where(small, few, many), -1), kind)


def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Return the numbers of successes of `n` trials that succeed with probability `p`.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    n : array-like, whole numbers, at least 0
        The number of trials.
    p : array-like, from 0 to 1
        The probability; NaN is returned beyond.
    shape : tuple of int, optional
        The shape of the result; what `n` and `p` broadcast to by default.
    dtype : dtype-like, floating
        The dtype of the result; float64 by default.
    """
    kind, target, _ = parameters("binomial", dtype, shape, n, p)
    _, _, both = parameters("binomial", F64, target, stop_gradient(n), stop_gradient(p))
    n, p = (tnp.broadcast_to(x, target) for x in both)
    valid = (n >= 0) & (p >= 0) & (p <= 1)
    p = tnp.where(valid, p, 0.5)
    flipped = p > 0.5
    rare = tnp.where(flipped, 1 - p, p)
    count = tnp.where(valid, n, 0)
    small = count * rare < SMALL_MEAN
    first, second = two_keys(key)

    odds = rare / (1 - rare)
    trials = tnp.where(small, count, 0)
    few = _inverted(
        first,
        tnp.exp(trials * tnp.log1p(-rare)),
        lambda k: tnp.maximum(trials - k + 1, 0) / tnp.maximum(k, 1) * odds,
    )
    trials, chance = tnp.where(small, 40, count), tnp.where(small, 0.5, rare)
    spread = tnp.sqrt(trials * chance * (1 - chance))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * chance
    mode = tnp.floor((trials + 1) * chance)
    log_odds = tnp.log(chance) - tnp.log1p(-chance)
    weight: Callable[[Any], Any] = lambda k: k * log_odds - lgamma(k + 1) - lgamma(trials - k + 1)
    top = weight(mode)
    many = _rejected(
        second,
        ~small,
        (a, b, trials * chance + 0.5, trials),
        0.92 - 4.2 / b,
        lambda k: weight(tnp.minimum(k, trials)) - top,
        tnp.log((2.83 + 5.1 / b) * spread),
    )
    drawn = tnp.where(small, tnp.minimum(few, count), many)
    drawn = tnp.where(flipped, count - drawn, drawn)
    return cast(tnp.where(valid, drawn, tnp.nan), kind)


def multinomial(
    key: Any, n: Any, p: Any, *, shape: Any = None, dtype: Any = None, unroll: Any = 1
) -> Any:
    """Return how often each of several outcomes occurs in `n` trials.

    Parameters
    ----------
    key : KeyArray, shape (), or its words
        A key.
    n : array-like, whole numbers
        The number of trials, of a shape that broadcasts with ``p.shape[:-1]``.
    p : array-like, shape (..., k)
        The probabilities, of sum 1.
    shape : tuple of int, optional
        The shape of the result, with the last axis of `p`.
    dtype : dtype-like, floating
        The dtype of the result; float64 by default.
    unroll : int
        Accepted for compatibility.

    Returns
    -------
    Array, shape ``(..., k)``
        Its sum over the last axis is `n`.
    """
    del unroll
    chances = cast(operand(stop_gradient(p)), F64)
    own = get_aval(chances).shape
    if not own:
        raise ShapeError("multinomial: p must have at least one axis; got a scalar")
    counts = cast(operand(stop_gradient(n)), F64)
    if shape is None:
        batch = broadcast_shapes("multinomial", get_aval(counts).shape, own[:-1])
    else:
        target = static_shape("multinomial", shape)
        if not target or target[-1] != own[-1]:
            raise ShapeError(f"multinomial: shape must end with {own[-1]}; got {target}")
        batch = target[:-1]
    chances = tnp.broadcast_to(chances, (*batch, own[-1]))
    counts = tnp.broadcast_to(fitted("multinomial", counts, batch), batch)
    # The chance of each outcome, given that it is none before.
    left = tnp.flip(tnp.cumsum(tnp.flip(chances, -1), -1), -1)
    given = tnp.where(left > 0, chances / tnp.where(left > 0, left, 1), 0)
    given = tnp.moveaxis(tnp.clip(given, 0, 1), -1, 0)
    last = tnp.arange(own[-1]) == own[-1] - 1

    def step(rest: Any, x: Any) -> Any:
        part, chance, is_last = x
        drawn = tnp.where(is_last, rest, binomial(part, rest, chance, batch))
        return rest - drawn, drawn

    _, drawn = scan(step, counts, (split(key, own[-1]), given, last))
    return cast(tnp.moveaxis(drawn, 0, -1), dtype_or(dtype))
