"""Cases: functions with arguments that every backend must compute alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from ml_dtypes import bfloat16

__all__ = ["TOLERANCES", "Case", "Maker", "booleans", "floats", "given", "integers", "tolerance"]

Generator = np.random.Generator
Maker = Callable[[Generator], Any]
"""Makes one argument of a case."""

TOLERANCES = {
    "float64": 1e-12, "float32": 4e-6, "float16": 2e-3, "bfloat16": 1.6e-2, "complex128": 1e-12,
    "complex64": 4e-6,
}  # fmt: skip
"""Relative and absolute differences that rounding may make, by dtype; other dtypes are exact."""


class Case(NamedTuple):
    """A function that every backend must compute like NumPy.

    Attributes
    ----------
    name : str
        Of its own; slashes say what it belongs to.
    function : callable
        Pure, in the functions of :mod:`tracejit`.
    arguments : callable
        Makes a tuple of host arrays with a generator of random numbers.
    tolerance : float
        How many times :data:`TOLERANCES` results may differ.
    donated : tuple of int
        Numbers of the arguments whose memory results may take.
    notes : str
        What it is there for.
    """

    name: str
    function: Callable[..., Any]
    arguments: Callable[[Generator], tuple[Any, ...]]
    tolerance: float = 1.0
    donated: tuple[int, ...] = ()
    notes: str = ""

    def inputs(self) -> tuple[Any, ...]:
        """Return the arguments, the same ones every time."""
        return self.arguments(np.random.default_rng(len(self.name)))


def tolerance(dtype: np.dtype[Any], factor: float) -> float:
    """Return what a case with a factor of `tolerance` allows to results of a dtype."""
    return factor * TOLERANCES.get(dtype.name, 0.0)


def given(*makers: Maker) -> Callable[[Generator], tuple[Any, ...]]:
    """Return what makes the arguments of a case, one by each of `makers`."""
    return lambda rng: tuple(make(rng) for make in makers)


def floats(
    *shape: int, dtype: Any = np.float32, low: float = -2.0, high: float = 2.0, special: int = 0
) -> Maker:
    """Return a maker of floats between two numbers.

    Parameters
    ----------
    *shape : int
        The shape.
    dtype : dtype_like
        A float dtype; ``"bfloat16"`` is one.
    low, high : float
        The bounds.
    special : int
        How many elements are overwritten with nan, infinities and zeros of both signs.
    """
    kind = bfloat16 if dtype == "bfloat16" else dtype

    def make(rng: Generator) -> Any:
        x = np.asarray(rng.uniform(low, high, shape)).astype(kind)
        if special:
            places = rng.choice(x.size, special, replace=False)
            x.reshape(-1)[places] = np.resize([np.nan, np.inf, -np.inf, 0.0, -0.0], special)
        return x

    return make


def integers(*shape: int, dtype: Any = np.int32, low: int = -100, high: int = 100) -> Maker:
    """Return a maker of integers from `low` up to, not including, `high`."""
    return lambda rng: np.asarray(rng.integers(low, high, shape)).astype(dtype)


def booleans(*shape: int) -> Maker:
    """Return a maker of bools."""
    return lambda rng: np.asarray(rng.random(shape) < 0.5)


def named(prefix: str, cases: Iterable[Case]) -> list[Case]:
    """Return cases with a prefix to their names."""
    return [case._replace(name=f"{prefix}/{case.name}") for case in cases]
