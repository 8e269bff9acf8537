"""Calls so small that only the way into them costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.ways import compiled, library

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


def leaves(parts: dict[str, Any]) -> Any:
    """Fifty arrays in lists in a dict."""
    return sum(parts["a"] + parts["b"])


def _eager(function: Function, **others: Callable[[], Function]) -> dict[str, Any]:
    """Return the functions of a case that nobody compiles."""
    return {**dict.fromkeys(("tracejit", "jax", "numpy"), lambda: function), **others}


def _set_copy(x: Any, y: Any) -> Any:
    del y
    out = x.copy()
    out[3] = 2.0
    return out


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

    def rows(name: str, arguments: Callable[[], tuple[Any, ...]], functions: Any) -> Case:
        return Case(name, "8", "float64", arguments, functions, 1e-15)

    def pair() -> tuple[Any, ...]:
        return _row(), _row()

    def fifty() -> tuple[Any, ...]:
        return ({"a": [_row() for _ in range(20)], "b": [_row() for _ in range(30)]},)

    def ten() -> tuple[Any, ...]:
        return ({f"p{i}": _row() for i in range(10)},)

    def both(function: Function, **others: Callable[[], Function]) -> dict[str, Any]:
        return compiled(lambda lib: function, "numpy", **others)

    return [
        rows("call, 1 array", lambda: (_row(),), both(one_array, numba=_numba(one_array))),
        rows(
            "call, 5 arrays",
            lambda: tuple(_row() for _ in range(5)),
            both(five_arrays, numba=_numba(five_arrays)),
        ),
        rows("call, dict of 10", ten, both(dictionary)),
        rows("call, 50 leaves", fifty, both(leaves)),
        rows("eager x + y", pair, _eager(lambda x, y: x + y)),
        rows("eager sin(x)", pair, _eager_sin()),
        rows("eager x[2:5]", pair, _eager(lambda x, y: x[2:5])),
        rows(
            "eager x.at[3].set(2)",
            pair,
            _eager(lambda x, y: x.at[3].set(2.0), numpy=lambda: _set_copy),
        ),
    ]


def _eager_sin() -> dict[str, Callable[[], Function]]:
    def builder(name: str) -> Callable[[], Function]:
        def build() -> Function:
            sin = library(name).xp.sin
            return lambda x, y: sin(x)

        return build

    return {name: builder(name) for name in ("tracejit", "jax", "numpy")}
