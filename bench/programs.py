"""Elementwise programs of any length, new ones each time, the same for all peers of a round."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

__all__ = ["program"]

RUN = time.time_ns()
"""Makes the programs of this run new, so that no cache on disk knows them."""

STEPS: tuple[Callable[[Any, Any, Any, float], Any], ...] = (
    lambda xp, x, y, c: x + c * y,
    lambda xp, x, y, c: x - c * y,
    lambda xp, x, y, c: c * x,
    lambda xp, x, y, c: xp.maximum(x, c - y),
    lambda xp, x, y, c: xp.minimum(x, c + y),
    lambda xp, x, y, c: xp.sin(x),
)


def program(operations: int, number: int) -> Callable[[Any], Callable[..., Any]]:
    """Return a maker: given an array module, a function of x and y of about so many operations.

    Parameters
    ----------
    operations : int
        How many; those with a coefficient count two.
    number : int
        Which of the programs of that length.
    """
    random_source = random.Random(f"{RUN} {operations} {number}")
    chosen: list[tuple[int, float]] = []
    count = 0
    while count < operations:
        kind = random_source.randrange(len(STEPS))
        chosen.append((kind, round(random_source.uniform(0.1, 0.9), 3)))
        count += 1 if kind in (2, 5) else 2

    def make(xp: Any) -> Callable[..., Any]:
        def run(x: Any, y: Any) -> Any:
            for kind, c in chosen:
                x = STEPS[kind](xp, x, y, c)
            return x

        return run

    return make
