"""A hundred steps of the heat equation in one loop of the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.heat import K, numba_periodic, with_at, with_at_numpy, with_roll
from bench.ways import Library, compiled, numpy_loop, repeated

__all__ = ["cases"]

STEPS = 100
Function = Callable[..., Any]


def _loop(make: Callable[[Any], Function]) -> Callable[[Library], Function]:
    return lambda lib: lambda u: repeated(lib, STEPS, make(lib.xp), u)


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
    named = {
        f"{STEPS} heat steps, roll": compiled(
            _loop(with_roll), "numpy", numba=lambda: numpy_loop(numba_periodic(), STEPS)
        ),
        f"{STEPS} heat steps, at.set": compiled(
            _loop(lambda xp: with_at),
            numpy=lambda: numpy_loop(with_at_numpy, STEPS),
            numba=_numba_fixed,
        ),
    }
    rows = []
    for n in (256, 1024) if quick else (256, 1024, 4096):
        for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-4)):
            arguments = _arguments(n, dtype)
            rows += [
                Case(name, f"{n}x{n}", dtype, arguments, functions, tolerance)
                for name, functions in named.items()
            ]
    return rows


def _arguments(n: int, dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (np.random.default_rng(0).standard_normal((n, n)).astype(dtype),)
