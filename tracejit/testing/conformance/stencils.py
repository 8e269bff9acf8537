"""Stencils in one to three dimensions, written by slices, by rolling and by padding."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.testing.conformance.case import Case, floats, given

__all__ = ["CASES", "diffuse", "inside", "laplacian"]


def inside(x: Any, *shifts: int, reach: int = 1) -> Any:
    """Return the inner part of an array, moved by `shifts`."""
    return x[tuple(slice(reach + s, n - reach + s) for s, n in zip(shifts, x.shape, strict=True))]


def laplacian(x: Any) -> Any:
    """Return the sum of all neighbours along the axes less as many times the middle."""
    total = inside(x, *(0,) * x.ndim) * (-2.0 * x.ndim)
    for axis in range(x.ndim):
        for step in (-1, 1):
            shifts = [0] * x.ndim
            shifts[axis] = step
            total = total + inside(x, *shifts)
    return total


def diffuse(x: Any) -> Any:
    """Return a step of diffusion; the rim stays."""
    inner = (slice(1, -1),) * x.ndim
    return x.at[inner].add(0.1 * laplacian(x))


def diffuse_periodic(x: Any) -> Any:
    total = -2.0 * x.ndim * x
    for axis in range(x.ndim):
        total = total + tnp.roll(x, 1, axis) + tnp.roll(x, -1, axis)
    return x + 0.1 * total


def diffuse_padded(x: Any) -> Any:
    return x + 0.1 * laplacian(tnp.pad(x, 1, mode="edge"))


def wide_star(x: Any) -> Any:
    """Return an eighth-order second derivative along every axis."""
    weights = (-205 / 72, 8 / 5, -1 / 5, 8 / 315, -1 / 560)
    total = inside(x, *(0,) * x.ndim, reach=4) * (weights[0] * x.ndim)
    for axis in range(x.ndim):
        for step in (1, 2, 3, 4):
            for sign in (-1, 1):
                shifts = [0] * x.ndim
                shifts[axis] = sign * step
                total = total + inside(x, *shifts, reach=4) * weights[step]
    return total


def box_blur(x: Any) -> Any:
    shifts = (-1, 0, 1)
    return sum(inside(x, i, j) for i in shifts for j in shifts) / 9.0


def advect(q: Any, u: Any) -> Any:
    """Return a step of upwind advection."""
    left, right = q[1:-1] - q[:-2], q[2:] - q[1:-1]
    return q.at[1:-1].add(-0.3 * u[1:-1] * tnp.where(u[1:-1] > 0, left, right))


def gray_scott(u: Any, v: Any) -> Any:
    """Return a step of two fields that react."""
    middle = (slice(1, -1), slice(1, -1))
    a, b = u[middle], v[middle]
    reaction = a * b * b
    return (
        u.at[middle].set(a + 0.2 * laplacian(u) - reaction + 0.03 * (1 - a)),
        v.at[middle].set(b + 0.1 * laplacian(v) + reaction - 0.09 * b),
    )


def smoothed_twice(x: Any) -> Any:
    return diffuse(diffuse(tnp.sin(x)))


def maxwell(e: Any, h: Any) -> Any:
    """Return a step of two staggered fields."""
    h = h + 0.5 * (e[1:] - e[:-1])
    return e.at[1:-1].add(0.5 * (h[1:] - h[:-1])), h


F64 = np.float64

CASES = [
    *(Case(f"diffuse/1d/{n}", diffuse, given(floats(n))) for n in (3, 100, 40003)),
    *(
        Case(f"diffuse/2d/{n}x{m}", diffuse, given(floats(n, m, dtype=F64)))
        for n, m in ((3, 3), (20, 33), (64, 64), (190, 203))
    ),
    Case("diffuse/2d/float32", diffuse, given(floats(180, 260))),
    Case("diffuse/2d/float16", diffuse, given(floats(30, 40, dtype=np.float16)), tolerance=2),
    Case("diffuse/3d", diffuse, given(floats(9, 10, 11))),
    Case("diffuse/3d/wide", diffuse, given(floats(34, 35, 36))),
    Case("diffuse/donated", diffuse, given(floats(50, 50, dtype=F64)), donated=(0,)),
    Case("periodic/1d", diffuse_periodic, given(floats(1000))),
    Case("periodic/2d", diffuse_periodic, given(floats(33, 47))),
    Case("periodic/2d/wide", diffuse_periodic, given(floats(180, 256))),
    Case("periodic/3d", diffuse_periodic, given(floats(8, 9, 10, dtype=F64))),
    Case("padded/2d", diffuse_padded, given(floats(25, 31))),
    Case("star/1d", wide_star, given(floats(500, dtype=F64))),
    Case("star/2d", wide_star, given(floats(40, 50))),
    Case("star/3d", wide_star, given(floats(15, 14, 13))),
    Case("star/3d/wide", wide_star, given(floats(40, 41, 42)), notes="25 loads a point"),
    Case("blur", box_blur, given(floats(60, 70))),
    Case("blur/wide", box_blur, given(floats(190, 260))),
    Case("advect", advect, given(floats(300), floats(300))),
    Case("gray_scott", gray_scott, given(floats(40, 41, low=0, high=1), floats(40, 41, low=0))),
    Case("twice", smoothed_twice, given(floats(40, 41)), notes="a stage is stored"),
    Case("maxwell", maxwell, given(floats(400), floats(399))),
]
