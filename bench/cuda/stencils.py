"""One step of the heat equation in two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bench.cuda.rows import Aim, DeviceCase, Work, filled, shown, written
from bench.heat import K, with_roll, with_slices

__all__ = ["cases"]

Function = Callable[..., Any]
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}


def _roll_3d(xp: Any) -> Function:
    def heat(u: Any) -> Any:
        around = -6.0 * u
        for axis in range(3):
            around = around + xp.roll(u, 1, axis) + xp.roll(u, -1, axis)
        return u + K * around

    return heat


def _slices_3d(xp: Any) -> Function:
    del xp

    def heat(u: Any) -> Any:
        c = u[1:-1, 1:-1, 1:-1]
        around = (
            u[:-2, 1:-1, 1:-1] + u[2:, 1:-1, 1:-1] + u[1:-1, :-2, 1:-1]
            + u[1:-1, 2:, 1:-1] + u[1:-1, 1:-1, :-2] + u[1:-1, 1:-1, 2:]
        )  # fmt: skip
        return c + K * (around - 6.0 * c)

    return heat


def cases(quick: bool) -> list[DeviceCase]:
    """Return the rows."""
    plane = (24, 40) if quick else (8192, 8192)
    cube = (9, 12, 20) if quick else (512, 512, 512)
    rows = []
    for name, make, shape, dtype, points in (
        ("heat 2-D, roll", with_roll, plane, "float32", 430),
        ("heat 2-D, slices", with_slices, plane, "float32", 430),
        ("heat 2-D, roll", with_roll, plane, "float64", 215),
        ("heat 2-D, slices", with_slices, plane, "float64", 215),
        ("heat 3-D, roll", _roll_3d, cube, "float32", 375),
        ("heat 3-D, slices", _slices_3d, cube, "float32", 375),
    ):
        size = math.prod(shape)
        work = Work(bytes=2 * (4 if dtype == "float32" else 8) * size, points=size)
        rows.append(
            DeviceCase(
                name, shown(shape), dtype, _arguments(shape, dtype), written(make),
                TOLERANCE[dtype], work=work, aims=(Aim("Gpoint/s", points),),
            )
        )  # fmt: skip
    return rows


def _arguments(shape: tuple[int, ...], dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (filled(shape, dtype),)
