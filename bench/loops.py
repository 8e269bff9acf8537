"""A hundred steps of the heat equation in one loop of the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.heat import K, numba_periodic, with_at, with_at_numpy, with_roll

__all__ = ["cases"]

STEPS = 100
Function = Callable[..., Any]


def _numpy(step: Function) -> Function:
    def run(u: Any) -> Any:
        for _ in range(STEPS):
            u = step(u)
        return u

    return run


def _tracejit(make: Callable[[Any], Function]) -> Callable[[], Function]:
    def build() -> Function:
        import tracejit
        import tracejit.numpy as tnp
        from tracejit import lax

        step = make(tnp)
        return tracejit.jit(lambda u: lax.fori_loop(0, STEPS, lambda i, u: step(u), u))

    return build


def _jax(make: Callable[[Any], Function]) -> Callable[[], Function]:
    def build() -> Function:
        import jax

        step = make(jax.numpy)
        return jax.jit(lambda u: jax.lax.fori_loop(0, STEPS, lambda i, u: step(u), u))

    return build


def _numba_roll() -> Function:
    step = numba_periodic()
    return _numpy(step)


def _numba_fixed() -> Function:
    import numba

    @numba.njit(parallel=True)
    def run(u: Any) -> Any:
        k = u.dtype.type(K)
        four = u.dtype.type(4.0)
        a, b = u.copy(), u.copy()
        n, m = u.shape
        for _ in range(STEPS):
            for i in numba.prange(1, n - 1):
                for j in range(1, m - 1):
                    around = a[i - 1, j] + a[i + 1, j] + a[i, j - 1] + a[i, j + 1]
                    b[i, j] = a[i, j] + k * (around - four * a[i, j])
            a, b = b, a
        return a

    return run


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    rows = []
    for n in (256, 1024) if quick else (256, 1024, 4096):
        for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-4)):
            arguments = _arguments(n, dtype)
            rows.append(
                Case(
                    f"{STEPS} heat steps, roll",
                    f"{n}x{n}",
                    dtype,
                    arguments,
                    {
                        "tracejit": _tracejit(with_roll),
                        "numpy": lambda: _numpy(with_roll(np)),
                        "jax": _jax(with_roll),
                        "numba": _numba_roll,
                    },
                    tolerance,
                )
            )
            rows.append(
                Case(
                    f"{STEPS} heat steps, at.set",
                    f"{n}x{n}",
                    dtype,
                    arguments,
                    {
                        "tracejit": _tracejit(lambda xp: with_at),
                        "numpy": lambda: _numpy(with_at_numpy),
                        "jax": _jax(lambda xp: with_at),
                        "numba": _numba_fixed,
                    },
                    tolerance,
                )
            )
    return rows


def _arguments(n: int, dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (np.random.default_rng(0).standard_normal((n, n)).astype(dtype),)
