"""Loops that tracing unrolled: lowered for a few trips, and equal to what all of them give."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit.compiler.repeats import equal_trips
from tracejit.ir.plan import Repeat, all_steps

Steps = Callable[[Any, Any, int], Any]


def stencil(x: Any, y: Any, count: int) -> Any:
    for _ in range(count):
        p = tnp.concatenate([x[:1], x, x[-1:]])
        x = x + 0.2 * (p[:-2] - 2.0 * x + p[2:]) + 1e-3 * y
        x = x - tnp.mean(x)
    return x


def wave(x: Any, y: Any, count: int) -> Any:
    old = x
    for _ in range(count):
        around = tnp.roll(x, 1) + tnp.roll(x, -1) - 2.0 * x
        x, old = 2.0 * x - old + 0.1 * around / (1.0 + tnp.sum(x * x)), x
    return x, old


def layers(x: Any, y: Any, count: int) -> Any:
    weights = tnp.outer(y, y) / 40.0
    for _ in range(count):
        h = tnp.tanh(weights @ x)
        x = h / tnp.sqrt(tnp.sum(h * h)) + 0.1 * y - tnp.max(h) * tnp.min(h)
    return x


def first_and_last(x: Any, y: Any, count: int) -> Any:
    first = None
    for _ in range(count):
        x = x * tnp.cos(y) - tnp.mean(x * y) + tnp.max(x) - 0.5 * tnp.min(x)
        first = x if first is None else first
    return first, x - first


def two_scalars(x: Any, y: Any, count: int) -> Any:
    a = b = tnp.sum(x)
    for _ in range(count):
        a, b = tnp.sum(x * y) + 0.5 * a, tnp.max(x) - a
        x = tnp.sin(x + 0.1 * a - 0.2 * b)
        y = tnp.roll(y, 1) + 0.01 * x
    return x, y, a, b


def last_three(x: Any, y: Any, count: int) -> Any:
    states = [x, x, x]
    for _ in range(count):
        x = x * tnp.cos(y) - tnp.mean(x * y) + tnp.max(x) - 0.5 * tnp.min(x)
        states.append(x)
    return states[-1], states[-2] * y, states[-3]


def middle(x: Any, y: Any, count: int) -> Any:
    kept = []
    for n in range(count):
        x = x * tnp.cos(y) - tnp.mean(x * y) + tnp.max(x) - 0.5 * tnp.min(x)
        if n == count // 2:
            kept.append(x)
    return x, [2.0 * k for k in kept]


def every(x: Any, y: Any, count: int) -> Any:
    states = []
    for _ in range(count):
        x = x * tnp.cos(y) - tnp.mean(x * y) + tnp.max(x) - 0.5 * tnp.min(x)
        states.append(tnp.sum(x))
    return tnp.stack(states)


def numbered(x: Any, y: Any, count: int) -> Any:
    for n in range(count):
        x = x * tnp.cos(y) - tnp.mean(x * y) / (n + 1.5) + tnp.max(x) - 0.5 * tnp.min(x)
    return x


def irregular(x: Any, y: Any, count: int) -> Any:
    states = [x, x, x]
    for n in range(count):
        read = states[-3 if n in (9, 12, 20) else -1]
        x = x * tnp.cos(y) - tnp.mean(x * y) + tnp.max(read) - 0.5 * tnp.min(x)
        states.append(x)
    return x


def elementwise(x: Any, y: Any, count: int) -> Any:
    for _ in range(count):
        x = 0.5 * x + tnp.sin(x) * y - 0.25 * x * x + 0.1
    return x


def signs_of_zero(x: Any, y: Any, count: int) -> Any:
    for n in range(count):
        x = tnp.minimum(x * y, -0.0 if n % 2 else 0.0) - tnp.mean(x) + tnp.max(x) * 0.5 * y
    return x


ROLLED: dict[str, Steps] = {
    f.__name__: f for f in (stencil, wave, layers, first_and_last, last_three)
}
UNROLLED: dict[str, Steps] = {
    f.__name__: f for f in (middle, every, numbered, irregular, elementwise)
}


def lowered(steps: Steps, count: int) -> Any:
    x, y = np.linspace(-1.0, 1.0, 40), np.linspace(0.5, 1.5, 40)
    made = tracejit.jit(lambda x, y: steps(x, y, count))
    return made.lower(x, y), (x, y)


def unrolled(steps: Steps, count: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the result of the plan of the whole Program."""
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["tracejit.compiler.pipeline"], "equal_trips", lambda p: None)
        found, args = lowered(steps, count)
        return found.compile()(*args)


def check(steps: Steps, count: int, monkeypatch: pytest.MonkeyPatch) -> list[Repeat]:
    """Compare bits with those of the unrolled plan; return the loops of the plan."""
    found, args = lowered(steps, count)
    got = tracejit.tree.leaves(found.compile()(*args))
    wanted = tracejit.tree.leaves(unrolled(steps, count, monkeypatch))
    for a, b in zip(got, wanted, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    return [s for s in all_steps(found.ready().plan.steps) if isinstance(s, Repeat)]


@pytest.mark.parametrize("count", [31, 32])
@pytest.mark.parametrize("name", ROLLED)
def test_equal_trips_become_a_loop(
    name: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (loop,) = check(ROLLED[name], count, monkeypatch)
    assert loop.count >= 8


@pytest.mark.parametrize("name", UNROLLED)
def test_what_does_not_repeat_itself_is_left(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(UNROLLED[name], 30, monkeypatch) == []


@pytest.mark.parametrize("steps", [signs_of_zero, two_scalars])
def test_what_nearly_repeats_itself_is_right(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(steps, 26, monkeypatch)


def test_trips_of_a_program() -> None:
    found, _ = lowered(stencil, 50)
    trips = equal_trips(found.program)
    assert trips is not None
    assert trips.count >= 48
    assert trips.period * 50 == len(found.program.equations)
    shorter = trips.shortened(4)
    assert shorter is not None
    missing = (trips.count - 4) * trips.period
    assert len(shorter.equations) == len(found.program.equations) - missing


def test_few_trips_are_left() -> None:
    assert equal_trips(lowered(stencil, 20)[0].program) is None
