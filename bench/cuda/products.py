"""Products of matrices, large ones and many small ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.cuda import libraries
from bench.cuda.rows import Aim, DeviceCase, Ways, Work, filled, shown, written

__all__ = ["cases"]

Function = Callable[..., Any]


def _matmul(xp: Any) -> Function:
    return lambda x, y: xp.matmul(x, y)


def _ways() -> Ways:
    def reference() -> Function:
        xp = libraries.array_library()
        return lambda x, y: xp.matmul(x.astype(np.float64), y.astype(np.float64))

    return written(_matmul) | {"reference": reference}


def cases(quick: bool) -> list[DeviceCase]:
    """Return the rows."""
    n = 24 if quick else 4096
    rows = []
    for dtype, tolerance in (("float32", 1e-4), ("float64", 1e-12)):
        rows.append(
            DeviceCase(
                "matmul", shown((n, n)), dtype, _pair((n, n), dtype), _ways(), tolerance,
                work=Work(flops=2 * n**3), aims=(Aim("cupy", 0.95),),
            )
        )  # fmt: skip
    for count, small in ((5, 4), (3, 16)) if quick else ((2_000_000, 4), (200_000, 16)):
        shape = (count, small, small)
        work = Work(bytes=3 * 4 * count * small**2, flops=2 * count * small**3)
        rows.append(
            DeviceCase(
                "small matmuls", shown(shape), "float32", _pair(shape, "float32"), _ways(), 1e-5,
                work=work,
            )
        )  # fmt: skip
    return rows


def _pair(shape: tuple[int, ...], dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (filled(shape, dtype), filled(shape, dtype, 1))
