"""Flows on grids: shallow water, Burgers, Kuramoto-Sivashinsky, an inverse problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.stencils import minmod
from bench.ways import Library, compiled, repeated, written

__all__ = ["cases"]

Function = Callable[..., Any]

# --------------------------------------------------------------------------- shallow water


def shallow_water(lib: Library, steps: int) -> Function:
    """Nonlinear shallow water on a periodic C grid, forward-backward, with rotation and drag."""
    xp = lib.xp
    gravity, coriolis, drag, dx, dt = 9.81, 1e-4, 1e-5, 1e4, 50.0

    def ahead(f: Any, axis: int) -> Any:
        return xp.roll(f, -1, axis)

    def behind(f: Any, axis: int) -> Any:
        return xp.roll(f, 1, axis)

    def step(s: dict[str, Any]) -> dict[str, Any]:
        h, u, v = s["h"], s["u"], s["v"]
        fx = 0.5 * (h + ahead(h, 1)) * u
        fy = 0.5 * (h + ahead(h, 0)) * v
        h = h - dt / dx * (fx - behind(fx, 1) + fy - behind(fy, 0))
        vorticity = (ahead(v, 1) - v - ahead(u, 0) + u) / dx + coriolis
        energy = 0.25 * (u**2 + behind(u, 1) ** 2 + v**2 + behind(v, 0) ** 2)
        head = gravity * h + energy
        v_there = 0.25 * (v + ahead(v, 1) + behind(v, 0) + behind(ahead(v, 1), 0))
        u_there = 0.25 * (u + ahead(u, 0) + behind(u, 1) + behind(ahead(u, 0), 1))
        mean_x = 0.5 * (vorticity + behind(vorticity, 0))
        mean_y = 0.5 * (vorticity + behind(vorticity, 1))
        new_u = u + dt * (mean_x * v_there - (ahead(head, 1) - head) / dx - drag * u)
        new_v = v + dt * (-mean_y * u_there - (ahead(head, 0) - head) / dx - drag * v)
        return {"h": h, "u": new_u, "v": new_v}

    return lambda state: repeated(lib, steps, step, state)


def _shallow_water(n: int, steps: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        x = np.linspace(-1.0, 1.0, n, endpoint=False)
        bump = np.exp(-40.0 * (x[:, None] ** 2 + (x[None, :] - 0.2) ** 2))
        return ({"h": 100.0 + bump, "u": 0.1 * bump, "v": np.zeros((n, n))},)

    return Case(
        "whole: shallow water", f"{n}^2 x{steps}", "float64", arguments,
        compiled(lambda lib: shallow_water(lib, steps), "numpy"), 1e-10,
    )  # fmt: skip


# --------------------------------------------------------------------------------- Burgers


def burgers(lib: Library, steps: int) -> Function:
    """Burgers' equations with walls: upwind differences by slices, written into the interior."""
    nu, dt = 0.01, 2e-4
    inner = (slice(1, -1), slice(1, -1))

    def step(state: Any) -> Any:
        u, v = state
        dx = 2.0 / (u.shape[0] - 1)

        def of(w: Any) -> Any:
            return (
                w[1:-1, 1:-1]
                - dt / dx * u[1:-1, 1:-1] * (w[1:-1, 1:-1] - w[1:-1, :-2])
                - dt / dx * v[1:-1, 1:-1] * (w[1:-1, 1:-1] - w[:-2, 1:-1])
                + nu * dt / dx**2 * (w[1:-1, 2:] - 2.0 * w[1:-1, 1:-1] + w[1:-1, :-2])
                + nu * dt / dx**2 * (w[2:, 1:-1] - 2.0 * w[1:-1, 1:-1] + w[:-2, 1:-1])
            )

        a, b = of(u), of(v)
        return written(lib, u, inner, a), written(lib, v, inner, b)

    return lambda u, v: repeated(lib, steps, step, (u, v))


def _burgers(n: int, steps: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        u = np.ones((n, n))
        u[n // 4 : n // 2, n // 4 : n // 2] = 2.0
        return u, u.copy()

    return Case(
        "whole: Burgers", f"{n}^2 x{steps}", "float64", arguments,
        compiled(lambda lib: burgers(lib, steps), "numpy"), 1e-11,
    )  # fmt: skip


# -------------------------------------------------------------------- Kuramoto-Sivashinsky


def kuramoto_sivashinsky(lib: Library, steps: int) -> Function:
    """The equation in one dimension by central differences and SSP Runge-Kutta of third order."""
    roll = lib.xp.roll
    dx, dt = 0.5, 2e-3

    def rate(u: Any) -> Any:
        a, b, c, d = roll(u, 2), roll(u, 1), roll(u, -1), roll(u, -2)
        second = (b - 2.0 * u + c) / dx**2
        fourth = (a - 4.0 * b + 6.0 * u - 4.0 * c + d) / dx**4
        return -second - fourth - (c * c - b * b) / (4.0 * dx)

    def step(u: Any) -> Any:
        one = u + dt * rate(u)
        two = 0.75 * u + 0.25 * (one + dt * rate(one))
        return u / 3.0 + 2.0 / 3.0 * (two + dt * rate(two))

    return lambda u: repeated(lib, steps, step, u)


def _kuramoto_sivashinsky(n: int, steps: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        x = np.arange(n) * 2.0 * np.pi / n
        return (np.cos(16.0 * x) * (1.0 + np.sin(5.0 * x)),)

    return Case(
        "whole: Kuramoto-Sivashin.", f"{n} x{steps}", "float64", arguments,
        compiled(lambda lib: kuramoto_sivashinsky(lib, steps), "numpy"), 1e-8,
    )  # fmt: skip


# -------------------------------------------------------------------------- inverse problem


def transport(lib: Library, steps: int) -> Function:
    """Finite volumes of advection and diffusion: limited slopes, upwind fluxes, periodic."""
    xp = lib.xp
    roll, courant = xp.roll, 0.3

    def step(u: Any, diffusivity: Any) -> Any:
        total = 0.0
        for axis, speed in enumerate((0.7, 0.4)):
            ahead, behind = roll(u, -1, axis), roll(u, 1, axis)
            left = u + 0.5 * (1.0 - courant) * minmod(xp, ahead - u, u - behind)
            face = 0.5 * (diffusivity + roll(diffusivity, -1, axis))
            flux = courant * speed * left - face * (ahead - u)
            total = total + flux - roll(flux, 1, axis)
        return u - total

    return lambda u, diffusivity: repeated(lib, steps, lambda w: step(w, diffusivity), u)


def inverse(lib: Library, steps: int, iterations: int) -> Function:
    """Find the first field and the diffusivity from the last: descent by gradients."""
    xp = lib.xp
    solve = transport(lib, steps)

    def misfit(parameters: dict[str, Any], observed: Any) -> Any:
        end = solve(parameters["start"], xp.exp(parameters["log diffusivity"]))
        smooth = parameters["log diffusivity"] - xp.roll(parameters["log diffusivity"], 1, 0)
        return xp.mean((end - observed) ** 2) + 1e-4 * xp.mean(smooth**2)

    def run(parameters: dict[str, Any], observed: Any) -> Any:
        losses = []
        for _ in range(iterations):
            loss, slope = lib.top.value_and_grad(misfit)(parameters, observed)
            parameters = {k: p - 100.0 * slope[k] for k, p in parameters.items()}
            losses.append(loss)
        return parameters, xp.stack(losses)

    return run


def _inverse(n: int, steps: int, iterations: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        x = np.linspace(-1.0, 1.0, n)
        blob = np.exp(-20.0 * (x[:, None] ** 2 + (x[None, :] - 0.3) ** 2))
        random = np.random.default_rng(0)
        start = {
            "start": 0.1 * random.standard_normal((n, n)),
            "log diffusivity": np.full((n, n), -3.0),
        }
        return start, blob

    functions = compiled(lambda lib: inverse(lib, steps, iterations))
    return Case(
        "whole: inverse problem", f"{n}^2 x{steps}", "float64", arguments, functions, 1e-8,
        expected=functions["jax"],
    )  # fmt: skip


def cases(quick: bool) -> list[Case]:
    """Return the rows.  The inverse problem has no NumPy form: who writes adjoints by hand?"""
    return [
        _shallow_water(128 if quick else 512, 20),
        _burgers(128 if quick else 512, 50),
        _kuramoto_sivashinsky(512 if quick else 4096, 1000 if quick else 2000),
        _inverse(32 if quick else 100, 50 if quick else 200, 2),
    ]
