"""Calls so small that only the way into them costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case

__all__ = ["cases"]

Function = Callable[..., Any]


def one_array(x: Any) -> Any:
    """One array of eight."""
    return 2.0 * x + 1.0


def five_arrays(a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    """Five arrays."""
    return a + b * c - d * e


def dictionary(p: dict[str, Any]) -> dict[str, Any]:
    """A dict of ten in, a dict of ten out."""
    return {key: 0.9 * value for key, value in p.items()}


def _tracejit(function: Function) -> Callable[[], Function]:
    def build() -> Function:
        import tracejit

        return tracejit.jit(function)

    return build


def _jax(function: Function) -> Callable[[], Function]:
    def build() -> Function:
        import jax

        return jax.jit(function)

    return build


def _numba(function: Function) -> Callable[[], Function]:
    def build() -> Function:
        import numba

        return numba.njit(function)

    return build


def _row() -> Any:
    return np.random.default_rng(0).standard_normal(8)


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    del quick
    ways: list[tuple[str, Function, Callable[[], tuple[Any, ...]], bool]] = [
        ("call, 1 array", one_array, lambda: (_row(),), True),
        ("call, 5 arrays", five_arrays, lambda: tuple(_row() for _ in range(5)), True),
        ("call, dict of 10", dictionary, lambda: ({f"p{i}": _row() for i in range(10)},), False),
    ]
    rows = []
    for name, function, arguments, with_numba in ways:
        functions: dict[str, Callable[[], Function]] = {
            "tracejit": _tracejit(function),
            "numpy": _same(function),
            "jax": _jax(function),
        }
        if with_numba:
            functions["numba"] = _numba(function)
        rows.append(Case(name, "8", "float64", arguments, functions, 1e-15))
    return rows


def _same(function: Function) -> Callable[[], Function]:
    return lambda: function
