"""Spectral programs: Navier-Stokes in three dimensions, Schrodinger-Poisson by split steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.ways import Library, compiled, repeated

__all__ = ["cases"]

Function = Callable[..., Any]


def _wave_numbers(n: int) -> tuple[Any, Any, Any]:
    k = np.fft.fftfreq(n, 1.0 / n)
    return k[:, None, None], k[None, :, None], np.arange(n // 2 + 1.0)[None, None, :]


def navier_stokes(lib: Library, steps: int) -> Function:
    """Incompressible flow in a periodic cube, rotation form, Heun's steps, two-thirds rule."""
    xp = lib.xp
    nu, dt = 1.0 / 400.0, 0.01

    def run(*velocity: Any) -> Any:
        n = velocity[0].shape[0]
        k = tuple(xp.asarray(one) for one in _wave_numbers(n))
        square = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
        inverse = 1.0 / xp.where(square == 0.0, 1.0, square)
        kept = (xp.abs(k[0]) <= n // 3) & (xp.abs(k[1]) <= n // 3) & (xp.abs(k[2]) <= n // 3)

        def back(field: Any) -> Any:
            return xp.fft.irfftn(field, s=(n, n, n), axes=(0, 1, 2))

        def rate(u: Any) -> Any:
            curl = (
                1j * (k[1] * u[2] - k[2] * u[1]),
                1j * (k[2] * u[0] - k[0] * u[2]),
                1j * (k[0] * u[1] - k[1] * u[0]),
            )
            a, b = [back(f) for f in u], [back(f) for f in curl]
            force = (
                xp.fft.rfftn(a[1] * b[2] - a[2] * b[1]) * kept,
                xp.fft.rfftn(a[2] * b[0] - a[0] * b[2]) * kept,
                xp.fft.rfftn(a[0] * b[1] - a[1] * b[0]) * kept,
            )
            pressure = (k[0] * force[0] + k[1] * force[1] + k[2] * force[2]) * inverse
            return tuple(
                f - pressure * q - nu * square * w for f, q, w in zip(force, k, u, strict=True)
            )

        def step(u: Any) -> Any:
            first = rate(u)
            guess = tuple(w + dt * r for w, r in zip(u, first, strict=True))
            second = rate(guess)
            return tuple(w + 0.5 * dt * (r + q) for w, r, q in zip(u, first, second, strict=True))

        end = repeated(lib, steps, step, tuple(xp.fft.rfftn(w) for w in velocity))
        return tuple(back(w) for w in end)

    return run


def _navier_stokes(n: int, steps: int) -> Case:
    def arguments() -> tuple[Any, ...]:  # the vortices of Taylor and Green
        x, y, z = np.meshgrid(*(np.arange(n) * 2.0 * np.pi / n,) * 3, indexing="ij")
        u = np.sin(x) * np.cos(y) * np.cos(z)
        return u, -np.cos(x) * np.sin(y) * np.cos(z), np.zeros_like(u)

    return Case(
        "whole: Navier-Stokes 3-D", f"{n}^3 x{steps}", "float64", arguments,
        compiled(lambda lib: navier_stokes(lib, steps), "numpy"), 1e-10,
    )  # fmt: skip


def schrodinger_poisson(lib: Library, steps: int) -> Function:
    """A wave function in the gravity of its own density: kick, drift, kick."""
    xp = lib.xp
    gravity, dt = 100.0, 1e-3

    def run(psi: Any) -> Any:
        n = psi.shape[0]
        k = 2.0 * np.pi * xp.asarray(np.fft.fftfreq(n, 1.0 / n))
        square = k[:, None] ** 2 + k[None, :] ** 2
        drift = xp.exp(-0.5j * dt * square)
        inverse = 1.0 / xp.where(square == 0.0, 1.0, square)

        def potential(psi: Any) -> Any:
            density = xp.abs(psi) ** 2
            source = xp.fft.fftn(gravity * (density - xp.mean(density)))
            return xp.real(xp.fft.ifftn(-source * inverse))

        def step(state: Any) -> Any:
            psi, v = state
            psi = xp.exp(-0.5j * dt * v) * psi
            psi = xp.fft.ifftn(drift * xp.fft.fftn(psi))
            v = potential(psi)
            return xp.exp(-0.5j * dt * v) * psi, v

        psi, v = repeated(lib, steps, step, (psi, potential(psi)))
        return xp.abs(psi) ** 2, v

    return run


def _schrodinger_poisson(n: int, steps: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        x = np.linspace(-0.5, 0.5, n, endpoint=False)
        rho = 0.9
        for cx, cy, amplitude in ((0.0, 0.1, 1.0), (-0.2, -0.2, 0.7), (0.25, -0.1, 0.5)):
            rho = rho + amplitude * np.exp(
                -((x[:, None] - cx) ** 2 + (x[None, :] - cy) ** 2) / 0.01
            )
        return ((np.sqrt(rho) + 0j),)

    return Case(
        "whole: Schrodinger-Poisson", f"{n}^2 x{steps}", "complex128", arguments,
        compiled(lambda lib: schrodinger_poisson(lib, steps), "numpy"), 1e-9,
    )  # fmt: skip


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    return [
        _navier_stokes(16 if quick else 32, 5),
        _schrodinger_poisson(64 if quick else 256, 5),
    ]
