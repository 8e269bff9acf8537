"""Target: what the compiler may know of the machine it compiles for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Target"]


@dataclass(frozen=True)
class Target:
    """Numbers by which the cost model decides.

    Attributes
    ----------
    kind : {"cpu", "cuda"}
        What runs the kernels.
    cache_bytes : int
        Size of the last-level cache.
    natively : frozenset of str
        Scalar operations that the backend emits.
    libraries : frozenset of str
        Names of library calls that the backend answers.
    """

    kind: str
    cache_bytes: int
    natively: frozenset[str]
    libraries: frozenset[str]
