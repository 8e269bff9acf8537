"""Rows of the table: what is timed, the work it must do at least, and what it should reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.cuda import libraries
from bench.harness import Case, Timed

__all__ = ["Aim", "DeviceCase", "DeviceTimed", "Work", "filled", "shown", "written"]

Function = Callable[..., Any]
Make = Callable[[Any], Function]
Ways = dict[str, Callable[[], Function]]


@dataclass(frozen=True)
class Work:
    """The least that a call must do.

    Attributes
    ----------
    bytes : int
        Moved through device memory: each operand read once, each result written once.
    points : int
        Of a stencil.
    flops : int
        Of a product of matrices.
    """

    bytes: int = 0
    points: int = 0
    flops: int = 0


@dataclass(frozen=True)
class Aim:
    """What a row should reach.

    Attributes
    ----------
    quantity : str
        ``"copy"``, the share of the measured copy bandwidth; ``"Gpoint/s"``; ``"compiled"``,
        kernels, which `bound` is the most of; or a peer, its time over tracejit's.
    bound : float
        The least that is wanted.
    """

    quantity: str
    bound: float

    def __str__(self) -> str:
        if self.quantity == "copy":
            return f"{self.bound:.0%} of copy"
        if self.quantity == "Gpoint/s":
            return f"{self.bound:g} Gpoint/s"
        if self.quantity == "compiled":
            return f"{self.bound:g} compiled"
        return f"{self.bound:g}x {self.quantity}"

    def met(self, quantities: dict[str, float]) -> bool | None:
        """Return whether measured quantities reach it; ``None`` if its own was not measured."""
        found = quantities.get(self.quantity)
        if found is None:
            return None
        return found <= self.bound if self.quantity == "compiled" else found >= self.bound


@dataclass(frozen=True)
class DeviceCase(Case):
    """A row whose functions are called again and again."""

    work: Work = Work()
    aims: tuple[Aim, ...] = ()


@dataclass(frozen=True)
class DeviceTimed(Timed):
    """A row whose functions time themselves.

    Attributes
    ----------
    counted : dict of str to float
        What they count beside, for the aims.
    """

    aims: tuple[Aim, ...] = ()
    counted: dict[str, float] = field(default_factory=dict)


def written(make: Make, without: tuple[str, ...] = ()) -> Ways:
    """Return the ways of a function that is written once against NumPy's names.

    Parameters
    ----------
    make : callable
        Given an array library, return the function.
    without : tuple of str
        Peers that lack something it needs.
    """
    ways: Ways = {
        "reference": lambda: make(libraries.array_library()),
        "tracejit": lambda: libraries.tracejit_jit(make(libraries.tracejit_names())),
        "jax": lambda: libraries.jax_jit(make(libraries.jax_names())),
        "torch": lambda: make(libraries.torch_names()),
        "torch.compile": lambda: libraries.torch_compiled(make(libraries.torch_names())),
        "cupy": lambda: make(libraries.array_library()),
    }
    return {name: build for name, build in ways.items() if name not in without}


def filled(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    """Return an array of numbers in [-1, 1) that look random.

    They repeat after a prime number of them: random numbers for all of a large array take longer
    than everything else that is done with it.
    """
    block = np.random.default_rng(seed).uniform(-1.0, 1.0, 999_983).astype(dtype)
    return np.resize(block, shape)


def shown(shape: tuple[int, ...]) -> str:
    """Return a shape for the column of sizes."""
    return "x".join(map(str, shape))
