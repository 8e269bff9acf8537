"""Whole programs, as users write them; their geometric mean is the headline.

Each is written once and run by NumPy, by JAX and by tracejit.  Where NumPy has no derivatives it
has a gradient by hand, or no form.  A row whose library lacks what it needs shows an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from bench.harness import Case, Outcome
from bench.whole import flows, inference, particles, spectra

__all__ = ["PREFIX", "cases", "geometric_mean"]

PREFIX = "whole: "
"""How the names of the rows begin."""


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    return [
        case for module in (flows, particles, inference, spectra) for case in module.cases(quick)
    ]


def geometric_mean(outcomes: Iterable[Outcome], peer: str) -> tuple[float, int]:
    """Return the mean of the peer's time over tracejit's, and over how many programs it is."""
    logs = [
        math.log(outcome.seconds[peer] / outcome.seconds["tracejit"])
        for outcome in outcomes
        if outcome.name.startswith(PREFIX) and {peer, "tracejit"} <= set(outcome.seconds)
    ]
    return (math.exp(math.fsum(logs) / len(logs)) if logs else math.nan), len(logs)
