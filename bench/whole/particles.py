"""Particles, spins and points: Lennard-Jones dynamics, the Ising model, the Mandelbrot set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.ways import Library, compiled, repeated

__all__ = ["cases"]

Function = Callable[..., Any]

# --------------------------------------------------------------------------- Lennard-Jones


def lennard_jones(lib: Library, steps: int) -> Function:
    """Velocity Verlet in a periodic box, all pairs; the force is the gradient of the energy."""
    xp = lib.xp
    dt, cutoff = 2e-3, 2.5

    def pairs(x: Any, box: Any) -> Any:
        d = x[:, None, :] - x[None, :, :]
        d = d - box * xp.round(d / box)
        r2 = xp.sum(d * d, axis=-1)
        near = (r2 < cutoff**2) & (r2 > 0.0)
        return d, near, 1.0 / xp.where(near, r2, 1.0) ** 3

    def energy(x: Any, box: Any) -> Any:
        _, near, s = pairs(x, box)
        return 0.5 * xp.sum(xp.where(near, 4.0 * (s * s - s), 0.0))

    def by_hand(x: Any, box: Any) -> Any:
        d, near, s = pairs(x, box)
        size = xp.where(near, 24.0 * (2.0 * s * s - s) * xp.cbrt(s), 0.0)
        return xp.sum(size[:, :, None] * d, axis=1)

    def force(x: Any, box: Any) -> Any:
        return by_hand(x, box) if lib.top is None else -lib.top.grad(energy)(x, box)

    def run(x: Any, v: Any, box: Any) -> Any:
        def step(state: Any) -> Any:
            x, v, f = state
            v = v + 0.5 * dt * f
            x = x + dt * v
            f = force(x, box)
            return x, v + 0.5 * dt * f, f

        x, v, _ = repeated(lib, steps, step, (x, v, force(x, box)))
        return x, v, energy(x, box) + 0.5 * xp.sum(v * v)

    return run


def _lennard_jones(side: int, steps: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        box = side * 1.12
        x = np.stack(np.meshgrid(*(np.arange(side) * 1.12,) * 3), axis=-1).reshape(-1, 3)
        v = random.standard_normal(x.shape)
        return x + 0.01 * random.standard_normal(x.shape), v - v.mean(0), np.float64(box)

    return Case(
        "whole: Lennard-Jones", f"{side**3} x{steps}", "float64", arguments,
        compiled(lambda lib: lennard_jones(lib, steps), "numpy"), 1e-9,
    )  # fmt: skip


# ----------------------------------------------------------------------------------- Ising


def ising(lib: Library, steps: int) -> Function:
    """Metropolis by the two colours of a checkerboard; the spins afterwards.

    NumPy draws with its own generator, so that only averages agree with it.
    """
    xp = lib.xp
    beta = 0.35

    def half(spins: Any, uniform: Any, colour: int) -> Any:
        n, m = spins.shape
        around = (
            xp.roll(spins, 1, 0) + xp.roll(spins, -1, 0)
            + xp.roll(spins, 1, 1) + xp.roll(spins, -1, 1)
        )  # fmt: skip
        accepted = uniform < xp.exp(-2.0 * beta * spins * around)
        board = (xp.arange(n)[:, None] + xp.arange(m)[None, :]) % 2 == colour
        return xp.where(accepted & board, -spins, spins)

    def run(spins: Any, seed: Any) -> Any:
        if lib.top is None:
            generator = np.random.default_rng(int(seed))
            for _ in range(steps):
                for colour in (0, 1):
                    spins = half(spins, generator.random(spins.shape, np.float32), colour)
            return spins
        random = lib.top.random

        def sweep(state: Any) -> Any:
            spins, key = state
            for colour in (0, 1):
                key, own = random.split(key)
                uniform = random.uniform(own, spins.shape, xp.float32)
                spins = half(spins, uniform, colour)
            return spins, key

        return repeated(lib, steps, sweep, (spins, random.key(seed)))[0]

    return run


def ising_energy(lib: Library, steps: int) -> Function:
    """The same, then the energy of a site."""
    xp = lib.xp
    run = ising(lib, steps)

    def energy(spins: Any, seed: Any) -> Any:
        end = run(spins, seed)
        return -xp.mean(end * (xp.roll(end, 1, 0) + xp.roll(end, 1, 1)))

    return energy


def _ising(n: int, steps: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        spins = np.random.default_rng(0).integers(0, 2, (n, n)) * 2 - 1
        return spins.astype(np.float32), np.int64(7)

    functions = compiled(lambda lib: ising_energy(lib, steps), "numpy")
    return Case(
        "whole: Ising", f"{n}^2 x{steps}", "float32", arguments, functions, 0.05 * 512 / n,
    )  # fmt: skip


# ------------------------------------------------------------------------------ Mandelbrot


def mandelbrot(lib: Library, most: int) -> Function:
    """Iterations until each point escapes: a loop of one point, over all by `vmap`."""
    xp = lib.xp

    def one(c: Any) -> Any:
        def going(state: Any) -> Any:
            z, n = state
            return (n < most) & (z.real * z.real + z.imag * z.imag < 4.0)

        def body(state: Any) -> Any:
            z, n = state
            return z * z + c, n + 1

        return lib.lax.while_loop(going, body, (xp.zeros_like(c), 0))[1]

    def all_at_once(c: Any) -> Any:
        z, count = xp.zeros_like(c), xp.zeros(c.shape, np.int64)
        going = xp.ones(c.shape, bool)
        for _ in range(most):
            z = xp.where(going, z * z + c, z)
            count += going
            going &= z.real * z.real + z.imag * z.imag < 4.0
        return count

    return all_at_once if lib.top is None else lib.top.vmap(lib.top.vmap(one))


def _mandelbrot(n: int, most: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        x, y = np.linspace(-2.0, 0.6, n), np.linspace(-1.2, 1.2, n)
        return (x[None, :] + 1j * y[:, None],)

    return Case(
        "whole: Mandelbrot", f"{n}^2 x{most}", "complex128", arguments,
        compiled(lambda lib: mandelbrot(lib, most), "numpy"), 0.0,
    )  # fmt: skip


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    return [
        _lennard_jones(5 if quick else 8, 10),
        _ising(128 if quick else 512, 10),
        _mandelbrot(64 if quick else 256, 100),
    ]
