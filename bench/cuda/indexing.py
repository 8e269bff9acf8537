"""Elements by their numbers: taken, and added to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.cuda import libraries
from bench.cuda.rows import DeviceCase, Ways, Work, filled, shown

__all__ = ["cases"]

Function = Callable[..., Any]


def _take(x: Any, i: Any) -> Any:
    return x[i]


def _add(x: Any, i: Any, y: Any) -> Any:
    return x.at[i].add(y)


def _torch_add(x: Any, i: Any, y: Any) -> Any:
    return x.index_add(0, i, y)


def _add_in_place(xp: Any) -> Function:
    def add(x: Any, i: Any, y: Any) -> Any:
        out = x.copy()
        xp.add.at(out, i, y)
        return out

    return add


def _in_double(x: Any, i: Any, y: Any) -> Any:
    return _add_in_place(libraries.array_library())(x.astype("float64"), i, y.astype("float64"))


def _the_same_twice(function: Function) -> Function:
    """Return the function; its first call compares two results, which must agree in each bit."""
    first = True

    def run(*arguments: Any) -> Any:
        nonlocal first
        result = function(*arguments)
        if first:
            first = False
            again = function(*arguments)
            if np.asarray(result).tobytes() != np.asarray(again).tobytes():
                raise ValueError("two calls differ")
        return result

    return run


def _ways(function: Function, for_torch: Function) -> Ways:
    return {
        "tracejit": lambda: _the_same_twice(libraries.tracejit_jit(function)),
        "jax": lambda: libraries.jax_jit(function),
        "torch": lambda: for_torch,
        "torch.compile": lambda: libraries.torch_compiled(for_torch),
    }


def cases(quick: bool) -> list[DeviceCase]:
    """Return the rows."""
    table, taken = (500, 300) if quick else (1 << 24, 1 << 27)
    slots, added = (40, 300) if quick else (1_000_000, 100_000_000)
    gather = _ways(_take, _take) | {"reference": lambda: _take, "cupy": lambda: _take}
    scatter = _ways(_add, _torch_add) | {
        "reference": lambda: _in_double,
        "cupy": lambda: _add_in_place(libraries.array_library()),
    }
    return [
        DeviceCase(
            "gather", f"{shown((taken,))} of {table}", "float32",
            lambda: (filled((table,), "float32"), _numbers(taken, table)),
            gather, 0.0, work=Work(bytes=8 * taken + 4 * table),
        ),
        DeviceCase(
            "scatter-add", f"{shown((added,))} to {slots}", "float32",
            lambda: (
                filled((slots,), "float32"), _numbers(added, slots), filled((added,), "float32", 1)
            ),
            scatter, 1e-4, work=Work(bytes=8 * added + 8 * slots),
        ),
    ]  # fmt: skip


def _numbers(n: int, below: int) -> Any:
    return np.random.default_rng(3).integers(0, below, n, dtype=np.int32)
