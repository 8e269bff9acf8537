"""Transcendental functions, alone and in a chain."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.ways import Library, compiled, torch_compiled

__all__ = ["cases"]

Function = Callable[..., Any]


def _chain(xp: Any) -> Function:
    return lambda x: xp.tanh(xp.exp(xp.sin(x)))


def _one(name: str) -> Callable[[Any], Function]:
    return lambda xp: lambda x: getattr(xp, name)(x)


def _numba(text: str) -> Callable[[], Function]:
    def build() -> Function:
        import numba

        names: dict[str, Any] = {"np": np, "prange": numba.prange}
        exec(
            "def apply(x):\n"
            "    out = np.empty_like(x)\n"
            "    for i in prange(x.size):\n"
            f"        out[i] = {text}\n"
            "    return out\n",
            names,
        )
        return numba.njit(parallel=True)(names["apply"])

    return build


def _functions(make: Callable[[Any], Function], text: str) -> dict[str, Callable[[], Function]]:
    return compiled(
        lambda lib: make(lib.xp), "numpy", numba=_numba(text), torch=torch_compiled(make)
    )


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    ways: list[tuple[str, Callable[[Any], Function], str]] = [
        ("tanh(exp(sin x))", _chain, "np.tanh(np.exp(np.sin(x[i])))")
    ]
    ways += [(name, _one(name), f"np.{name}(x[i])") for name in ("sin", "exp", "log", "tanh")]
    rows = []
    for n in (100_000,) if quick else (10_000, 1_000_000):
        for dtype, tolerance in (("float64", 1e-14), ("float32", 2e-6)):
            arguments = _arguments(n, dtype)
            rows += [
                Case(
                    name,
                    f"{n}",
                    dtype,
                    arguments,
                    _functions(make, text),
                    tolerance,
                )
                for name, make, text in ways
            ]
    return [*rows, *_in_cache(65_536)]


def _erf(lib: Library) -> Function:
    top = "scipy" if lib.top is None else f"{lib.name}.scipy"
    erf: Function = importlib.import_module(f"{top}.special").erf
    return lambda x: erf(x)


def _power(lib: Library) -> Function:
    return lambda x, y: lib.xp.power(x, y)


def _in_cache(n: int) -> list[Case]:
    """Return rows of functions that JAX computes by long polynomials, or one by one."""

    def one() -> tuple[Any, ...]:
        return (np.random.default_rng(0).uniform(-3.0, 3.0, n),)

    def two() -> tuple[Any, ...]:
        return (*_arguments(n, "float64")(), np.random.default_rng(1).uniform(-5.0, 5.0, n))

    return [
        Case(name, f"{n}", "float64", arguments, compiled(make, "numpy"), 1e-14)
        for name, make, arguments in (("erf", _erf, one), ("pow", _power, two))
    ]


def _arguments(n: int, dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (np.random.default_rng(0).uniform(0.1, 10.0, n).astype(dtype),)
