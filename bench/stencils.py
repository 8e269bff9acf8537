"""Steps of partial differential equations, as users write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.ways import Library, compiled, numpy_loop, torch_compiled

__all__ = ["cases"]

Function = Callable[..., Any]

# ---------------------------------------------------------------------------- finite volumes

SPEED = (0.7, 0.4)
COURANT = 0.3


def minmod(xp: Any, a: Any, b: Any) -> Any:
    """The slope of least size, or zero where signs differ."""
    return xp.where(a * b > 0.0, xp.where(xp.abs(a) < xp.abs(b), a, b), 0.0)


def finite_volume(xp: Any, roll: Function) -> Function:
    """Advect four fields: limited slopes, upwind fluxes, periodic."""

    def one(u: Any) -> Any:
        total = 0.0
        for axis, speed in enumerate(SPEED):
            ahead, behind = roll(u, -1, axis), roll(u, 1, axis)
            slope = minmod(xp, ahead - u, u - behind)
            left = u + 0.5 * (1.0 - COURANT) * slope
            flux = speed * left
            total = total + flux - roll(flux, 1, axis)
        return u - COURANT * total

    return lambda a, b, c, d: (one(a), one(b), one(c), one(d))


def _volumes(n: int, dtype: str) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        return tuple(random.standard_normal((n, n)).astype(dtype) for _ in range(4))

    return Case(
        "finite volumes, 4 fields",
        f"{n}x{n}",
        dtype,
        arguments,
        compiled(
            lambda lib: finite_volume(lib.xp, lib.xp.roll),
            "numpy",
            torch=torch_compiled(lambda torch: finite_volume(torch, torch.roll)),
        ),
        1e-12,
    )


# -------------------------------------------------------------------------------- wave


def wave(xp: Any) -> Function:
    """A step of the wave equation in two dimensions, zero outside."""

    def step(u: Any, before: Any) -> Any:
        p = xp.pad(u, 1)
        around = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4.0 * u
        return 2.0 * u - before + 0.25 * around, u

    return step


def _wave(n: int, dtype: str, tolerance: float) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        return tuple(random.standard_normal((n, n)).astype(dtype) for _ in range(2))

    return Case(
        "wave step, pad", f"{n}x{n}", dtype, arguments,
        compiled(lambda lib: wave(lib.xp), "numpy"), tolerance,
    )  # fmt: skip


EIGHTH = (-2.847222222, 1.6, -0.2, 0.02539682540, -0.001785714286)
"""The second difference of eighth order."""


def wave3d(xp: Any) -> Function:
    """A step of the wave equation in three dimensions, of eighth order: 25 points."""

    def step(u: Any, before: Any) -> Any:
        r = 4
        inner = (slice(r, -r),) * 3
        total = 3.0 * EIGHTH[0] * u[inner]
        for axis in range(3):
            for k in range(1, r + 1):
                for by in (-k, k):
                    where = list(inner)
                    where[axis] = slice(r + by, u.shape[axis] - r + by)
                    total = total + EIGHTH[k] * u[tuple(where)]
        new = 2.0 * u[inner] - before[inner] + 0.1 * total
        return xp.pad(new, r)

    return step


def _wave3d(n: int, dtype: str, tolerance: float) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        return tuple(random.standard_normal((n, n, n)).astype(dtype) for _ in range(2))

    return Case(
        "wave 3-D, 25 points", f"{n}^3", dtype, arguments,
        compiled(lambda lib: wave3d(lib.xp), "numpy"), tolerance,
    )  # fmt: skip


# ------------------------------------------------------------------------------- Burgers


def burgers(xp: Any, roll: Function, nu: float = 0.01, dt: float = 1e-4) -> Function:
    """The rate of change of both components of a viscous flow, periodic."""

    def rate(u: Any, v: Any) -> tuple[Any, Any]:
        def of(w: Any) -> Any:
            xm, xp_, ym, yp = roll(w, 1, 0), roll(w, -1, 0), roll(w, 1, 1), roll(w, -1, 1)
            return nu * (xm + xp_ + ym + yp - 4.0 * w) - 0.5 * (
                u * (xp_ - xm) + v * (yp - ym)
            )

        return of(u), of(v)

    def step(state: Any) -> Any:
        u, v = state
        du, dv = rate(u, v)
        return u + dt * du, v + dt * dv

    return step


def burgers_rk4(xp: Any, roll: Function) -> Function:
    """A step of four stages in one program."""
    rate_step = burgers(xp, roll, dt=1.0)
    dt = 1e-4

    def rate(u: Any, v: Any) -> tuple[Any, Any]:
        a, b = rate_step((u, v))
        return a - u, b - v

    def step(u: Any, v: Any) -> Any:
        a1, b1 = rate(u, v)
        a2, b2 = rate(u + 0.5 * dt * a1, v + 0.5 * dt * b1)
        a3, b3 = rate(u + 0.5 * dt * a2, v + 0.5 * dt * b2)
        a4, b4 = rate(u + dt * a3, v + dt * b3)
        return (
            u + dt / 6.0 * (a1 + 2.0 * a2 + 2.0 * a3 + a4),
            v + dt / 6.0 * (b1 + 2.0 * b2 + 2.0 * b3 + b4),
        )

    return step


def _burgers_loop(lib: Library) -> Function:
    step = burgers(lib.xp, lib.xp.roll)
    if lib.lax is None:
        run = numpy_loop(step, 10)
        return lambda u, v: run((u, v))
    return lambda u, v: lib.lax.fori_loop(0, 10, lambda i, state: step(state), (u, v))


def _torch_burgers(torch: Any) -> Function:
    step = burgers(torch, torch.roll)

    def run(u: Any, v: Any) -> Any:
        for _ in range(10):
            u, v = step((u, v))
        return u, v

    return run


def _burgers(n: int, dtype: str, tolerance: float) -> Case:
    return Case(
        "Burgers, 10 steps", f"{n}x{n}", dtype, _pair(n, dtype),
        compiled(_burgers_loop, "numpy", torch=torch_compiled(_torch_burgers)), tolerance,
    )  # fmt: skip


def _burgers_stages(n: int, dtype: str) -> Case:
    return Case(
        "Burgers RK4, 4 stages", f"{n}x{n}", dtype, _pair(n, dtype),
        compiled(lambda lib: burgers_rk4(lib.xp, lib.xp.roll), "numpy",
                 torch=torch_compiled(lambda torch: burgers_rk4(torch, torch.roll))),
        1e-12,
    )  # fmt: skip


def _pair(n: int, dtype: str) -> Callable[[], tuple[Any, ...]]:
    def arguments() -> tuple[Any, ...]:
        x = np.linspace(0.0, 2.0 * np.pi, n, endpoint=False)
        u = np.sin(x)[:, None] * np.cos(x)[None, :]
        return u.astype(dtype), (0.5 * u.T + 0.1).astype(dtype)

    return arguments


# ---------------------------------------------------------------------------- long chains


def _chain(steps: int, way: str) -> Callable[[Library], Function]:
    def make(lib: Library) -> Function:
        xp = lib.xp

        def roll(u: Any) -> Any:
            return u + 0.2 * (xp.roll(u, 1) - 2.0 * u + xp.roll(u, -1))

        def pad(u: Any) -> Any:
            p = xp.pad(u, 1)
            return u + 0.2 * (p[:-2] - 2.0 * u + p[2:])

        return numpy_loop({"roll": roll, "pad": pad}[way], steps)

    return make


def _chains(steps: int, way: str, peers: bool) -> Case:
    functions = compiled(_chain(steps, way), "numpy")
    if not peers:  # it would compile for minutes
        del functions["jax"]
    return Case(
        f"{steps} unrolled, {way}", "1000", "float64",
        lambda: (np.random.default_rng(0).standard_normal(1000),), functions, 1e-11,
    )  # fmt: skip


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    rows = [_volumes(1024, "float64")]
    for n in (256, 1024) if quick else (256, 1024, 4096):
        rows += [_wave(n, "float64", 1e-13), _wave(n, "float32", 1e-5)]
    rows += [
        _wave3d(128 if quick else 256, "float32", 1e-5),
        _burgers(512 if quick else 2048, "float32", 1e-5),
        _burgers_stages(512, "float64"),
        _chains(20, "roll", True),
        _chains(160, "roll", False),
        _chains(500, "roll", False),
        _chains(160, "pad", False),
        _chains(500, "pad", False),
    ]
    return rows
