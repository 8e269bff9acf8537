"""Sum, maximum, and softmax over rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.ways import compiled

__all__ = ["cases"]

Function = Callable[..., Any]


def _softmax(xp: Any) -> Function:
    def softmax(x: Any) -> Any:
        e = xp.exp(x - xp.max(x, axis=1, keepdims=True))
        return e / xp.sum(e, axis=1, keepdims=True)

    return softmax


def _numba_sum() -> Function:
    import numba

    @numba.njit(parallel=True)
    def total(x: Any) -> Any:
        flat = x.ravel()
        s = 0.0
        for i in numba.prange(flat.size):
            s += flat[i]
        return s

    return total


def _numba_max() -> Function:
    import numba

    @numba.njit
    def largest(x: Any) -> Any:
        return x.max()

    return largest


def _numba_softmax() -> Function:
    import numba

    @numba.njit(parallel=True)
    def softmax(x: Any) -> Any:
        out = np.empty_like(x)
        for i in numba.prange(x.shape[0]):
            top = x[i].max()
            s = x.dtype.type(0.0)
            for j in range(x.shape[1]):
                e = np.exp(x[i, j] - top)
                out[i, j] = e
                s += e
            for j in range(x.shape[1]):
                out[i, j] /= s
        return out

    return softmax


def _torch(name: str) -> Callable[[], Function]:
    def build() -> Function:
        import torch

        eager: dict[str, Function] = {
            "sum": torch.sum,
            "max": torch.max,
            "softmax": lambda x: torch.softmax(x, 1),
        }
        return eager[name]

    return build


def _functions(
    make: Callable[[Any], Function], numba_build: Callable[[], Function], name: str
) -> dict[str, Callable[[], Function]]:
    return compiled(lambda lib: make(lib.xp), "numpy", numba=numba_build, torch=_torch(name))


def cases(quick: bool) -> list[Case]:
    """Return the rows.  torch runs eagerly: these are single calls of its library."""
    ways: dict[str, tuple[Callable[[Any], Function], Callable[[], Function]]] = {
        "sum": (lambda xp: lambda x: xp.sum(x), _numba_sum),
        "max": (lambda xp: lambda x: xp.max(x), _numba_max),
        "softmax": (_softmax, _numba_softmax),
    }
    shapes = ((1000, 1000),) if quick else ((1000, 100), (1000, 1000), (4000, 4000))
    rows = []
    for shape in shapes:
        for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-5)):
            for name, (make, numba_build) in ways.items():
                functions = _functions(make, numba_build, name)
                size = f"{shape[0]}x{shape[1]}"
                rows.append(Case(name, size, dtype, _arguments(shape, dtype), functions, tolerance))
    return rows


def _arguments(shape: tuple[int, int], dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (np.random.default_rng(0).uniform(0.0, 1.0, shape).astype(dtype),)
