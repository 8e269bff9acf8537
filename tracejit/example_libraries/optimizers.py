"""Optimizers: functions that start, update and read the state of a minimisation.

An optimizer is three functions, ``init(params)``, ``update(i, gradients, state)`` and
``get_params(state)``, over any pytree of parameters.  The state is a pytree too, so that a training
step can be compiled, differentiated and kept in the carry of a loop::

    init, update, get_params = adam(1e-3)
    state = init(params)
    for i in range(1000):
        state = update(i, grad(loss)(get_params(state), batch), state)

Step sizes may be schedules: functions of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tracejit.numpy as tnp
from tracejit.core.pytree import tree_flatten, tree_map, tree_unflatten

__all__ = [
    "Optimizer",
    "adagrad",
    "adam",
    "adamax",
    "clip_grads",
    "constant",
    "exponential_decay",
    "inverse_time_decay",
    "l2_norm",
    "make_schedule",
    "momentum",
    "nesterov",
    "piecewise_constant",
    "polynomial_decay",
    "rmsprop",
    "rmsprop_momentum",
    "sgd",
]

Schedule = Callable[[Any], Any]


class Optimizer(NamedTuple):
    """The three functions of an optimizer.

    Attributes
    ----------
    init_fn : callable
        ``init_fn(params)`` returns the first state.
    update_fn : callable
        ``update_fn(i, gradients, state)`` returns the state after step `i`, counted from 0.
    params_fn : callable
        ``params_fn(state)`` returns the parameters.
    """

    init_fn: Callable[[Any], Any]
    update_fn: Callable[[Any, Any, Any], Any]
    params_fn: Callable[[Any], Any]


def _leafwise(
    start: Callable[[Any], tuple[Any, ...]], step: Callable[..., tuple[Any, ...]]
) -> Optimizer:
    """Return the optimizer that treats each leaf by itself.

    Parameters
    ----------
    start : callable
        Of a leaf, to its state, whose first entry is the leaf.
    step : callable
        Of the step, a gradient and the entries of a state, to the next entries.
    """

    def init(params: Any) -> Any:
        leaves, treedef = tree_flatten(params)
        states = [start(tnp.asarray(x)) for x in leaves]
        count = len(start(tnp.zeros(())))
        return tuple(tree_unflatten(treedef, [s[n] for s in states]) for n in range(count))

    def update(i: Any, gradients: Any, state: Any) -> Any:
        leaves, treedef = tree_flatten(state[0])
        others = [treedef.flatten_up_to(tree) for tree in state]
        slopes = treedef.flatten_up_to(gradients)
        found = [step(i, g, *entries) for g, *entries in zip(slopes, *others, strict=True)]
        # What a leaf is does not change from step to step, as the carry of a loop demands.
        kept = [
            [tnp.asarray(new, old.dtype) for new, old in zip(entries, olds, strict=True)]
            for entries, olds in zip(found, zip(*others, strict=True), strict=True)
        ]
        del leaves
        return tuple(tree_unflatten(treedef, [k[n] for k in kept]) for n in range(len(state)))

    return Optimizer(init, update, lambda state: state[0])


def sgd(step_size: float | Schedule) -> Optimizer:
    """Gradient descent.

    Parameters
    ----------
    step_size : scalar or schedule
        What gradients are multiplied by.
    """
    size = make_schedule(step_size)
    return _leafwise(lambda x: (x,), lambda i, g, x: (x - size(i) * g,))


def momentum(step_size: float | Schedule, mass: float = 0.9) -> Optimizer:
    """Gradient descent with momentum (Polyak 1964).

    Parameters
    ----------
    step_size : scalar or schedule
        What velocities are multiplied by.
    mass : float, optional
        What is kept of a velocity.
    """
    size = make_schedule(step_size)

    def step(i: Any, g: Any, x: Any, v: Any) -> tuple[Any, ...]:
        v = mass * v + g
        return x - size(i) * v, v

    return _leafwise(lambda x: (x, tnp.zeros_like(x)), step)


def nesterov(step_size: float | Schedule, mass: float = 0.9) -> Optimizer:
    """Gradient descent with Nesterov's momentum; see :func:`momentum`."""
    size = make_schedule(step_size)

    def step(i: Any, g: Any, x: Any, v: Any) -> tuple[Any, ...]:
        v = mass * v + g
        return x - size(i) * (mass * v + g), v

    return _leafwise(lambda x: (x, tnp.zeros_like(x)), step)


def adagrad(step_size: float | Schedule, momentum: float = 0.9) -> Optimizer:
    """AdaGrad (Duchi et al. 2011) with momentum.

    Parameters
    ----------
    step_size : scalar or schedule
        The step size.
    momentum : float, optional
        What is kept of a velocity.
    """
    size = make_schedule(step_size)

    def step(i: Any, g: Any, x: Any, squares: Any, v: Any) -> tuple[Any, ...]:
        squares = squares + tnp.square(g)
        some = squares > 0
        inverse = tnp.where(some, 1.0 / tnp.sqrt(tnp.where(some, squares, 1.0)), 0.0)
        v = (1.0 - momentum) * (g * inverse) + momentum * v
        return x - size(i) * v, squares, v

    return _leafwise(lambda x: (x, tnp.zeros_like(x), tnp.zeros_like(x)), step)


def rmsprop(step_size: float | Schedule, gamma: float = 0.9, eps: float = 1e-8) -> Optimizer:
    """RMSProp (Tieleman and Hinton 2012).

    Parameters
    ----------
    step_size : scalar or schedule
        The step size.
    gamma : float, optional
        What is kept of the mean square.
    eps : float, optional
        Added to the mean square.
    """
    size = make_schedule(step_size)

    def step(i: Any, g: Any, x: Any, mean: Any) -> tuple[Any, ...]:
        mean = mean * gamma + tnp.square(g) * (1.0 - gamma)
        return x - size(i) * g / tnp.sqrt(mean + eps), mean

    return _leafwise(lambda x: (x, tnp.zeros_like(x)), step)


def rmsprop_momentum(
    step_size: float | Schedule, gamma: float = 0.9, eps: float = 1e-8, momentum: float = 0.9
) -> Optimizer:
    """RMSProp with momentum; see :func:`rmsprop` and :func:`momentum`."""
    size = make_schedule(step_size)

    def step(i: Any, g: Any, x: Any, mean: Any, v: Any) -> tuple[Any, ...]:
        mean = mean * gamma + tnp.square(g) * (1.0 - gamma)
        v = momentum * v + size(i) * g / tnp.sqrt(mean + eps)
        return x - v, mean, v

    return _leafwise(lambda x: (x, tnp.zeros_like(x), tnp.zeros_like(x)), step)


def adam(
    step_size: float | Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """Adam (Kingma and Ba 2015).

    Parameters
    ----------
    step_size : scalar or schedule
        The step size.
    b1, b2 : float, optional
        What is kept of the means of gradients and of their squares.
    eps : float, optional
        Added to the root of the mean square.
    """
    size = make_schedule(step_size)

    def step(i: Any, g: Any, x: Any, m: Any, v: Any) -> tuple[Any, ...]:
        m = (1 - b1) * g + b1 * m
        v = (1 - b2) * tnp.square(g) + b2 * v
        mean = m / (1 - tnp.asarray(b1, m.dtype) ** (i + 1))
        square = v / (1 - tnp.asarray(b2, m.dtype) ** (i + 1))
        return x - size(i) * mean / (tnp.sqrt(square) + eps), m, v

    return _leafwise(lambda x: (x, tnp.zeros_like(x), tnp.zeros_like(x)), step)


def adamax(
    step_size: float | Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """Adam by the greatest gradient (Kingma and Ba 2015); see :func:`adam`."""
    size = make_schedule(step_size)

    def step(i: Any, g: Any, x: Any, m: Any, u: Any) -> tuple[Any, ...]:
        m = (1 - b1) * g + b1 * m
        u = tnp.maximum(b2 * u, tnp.abs(g))
        scale = size(i) / (1 - tnp.asarray(b1, m.dtype) ** (i + 1))
        return x - scale * m / (u + eps), m, u

    return _leafwise(lambda x: (x, tnp.zeros_like(x), tnp.zeros_like(x)), step)


# -------------------------------------------------------------------------------- schedules


def make_schedule(scalar_or_schedule: Any) -> Schedule:
    """Return a schedule: what is given, or a constant.

    Raises
    ------
    TypeError
        If it is neither a function nor a scalar.
    """
    if callable(scalar_or_schedule):
        schedule: Schedule = scalar_or_schedule
        return schedule
    if tnp.ndim(scalar_or_schedule) == 0:
        return constant(scalar_or_schedule)
    raise TypeError(
        f"make_schedule: a scalar or a function of the step; got {type(scalar_or_schedule)}"
    )


def constant(step_size: Any) -> Schedule:
    """Return the schedule that is always `step_size`."""
    return lambda i: step_size


def exponential_decay(step_size: Any, decay_steps: Any, decay_rate: Any) -> Schedule:
    """Return ``step_size * decay_rate ** (i / decay_steps)``."""
    return lambda i: step_size * decay_rate ** (i / decay_steps)


def inverse_time_decay(
    step_size: Any, decay_steps: Any, decay_rate: Any, staircase: bool = False
) -> Schedule:
    """Return ``step_size / (1 + decay_rate * i / decay_steps)``, with `staircase` in steps."""
    if staircase:
        return lambda i: step_size / (1 + decay_rate * tnp.floor(i / decay_steps))
    return lambda i: step_size / (1 + decay_rate * i / decay_steps)


def polynomial_decay(
    step_size: Any, decay_steps: Any, final_step_size: Any, power: Any = 1.0
) -> Schedule:
    """Return a power that falls from `step_size` to `final_step_size` in `decay_steps` steps."""

    def schedule(i: Any) -> Any:
        share = 1 - tnp.minimum(i, decay_steps) / decay_steps
        return share**power * (step_size - final_step_size) + final_step_size

    return schedule


def piecewise_constant(boundaries: Sequence[Any], values: Sequence[Any]) -> Schedule:
    """Return the schedule that changes to the next of `values` after each of `boundaries`.

    Raises
    ------
    ValueError
        If there is not one value more than boundaries.
    """
    edges, levels = tnp.asarray(boundaries), tnp.asarray(values)
    if levels.shape != (edges.shape[0] + 1,):
        raise ValueError(
            "piecewise_constant: one value more than boundaries; got "
            f"{len(values)} and {len(boundaries)}"
        )
    return lambda i: levels[tnp.sum(i > edges)]


# -------------------------------------------------------------------------------- gradients


def l2_norm(tree: Any) -> Any:
    """Return the norm of all leaves as one vector."""
    leaves = [tnp.asarray(x) for x in tree_flatten(tree)[0]]
    return tnp.sqrt(sum(tnp.sum(tnp.real(tnp.conj(x) * x)) for x in leaves))


def clip_grads(grad_tree: Any, max_norm: Any) -> Any:
    """Scale a tree so that its norm is at most `max_norm`."""
    norm = l2_norm(grad_tree)
    over = norm >= max_norm
    scale = tnp.where(over, max_norm / tnp.where(over, norm, 1.0), 1.0)
    return tree_map(lambda g: g * tnp.asarray(scale, tnp.asarray(g).dtype), grad_tree)
