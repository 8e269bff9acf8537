"""Loops of the library: many steps of a small state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.cuda import libraries
from bench.cuda.rows import Aim, DeviceCase, Ways, filled, shown
from bench.heat import torch_roll, with_roll

__all__ = ["cases"]

Function = Callable[..., Any]


def _compiled(make: Callable[[Any, Any], Function]) -> Ways:
    """Return the ways of the libraries that have loops; `make` is given their names and loops."""

    def own() -> Function:
        import tracejit

        return libraries.tracejit_jit(make(libraries.tracejit_names(), tracejit.lax))

    def jax() -> Function:
        import jax

        return libraries.jax_jit(make(libraries.jax_names(), jax.lax))

    return {"tracejit": own, "jax": jax}


def _repeated(step: Function, steps: int) -> Function:
    def run(u: Any) -> Any:
        for _ in range(steps):
            u = step(u)
        return u

    return run


def _heat(steps: int) -> Ways:
    def make(xp: Any, lax: Any) -> Function:
        step = with_roll(xp)
        return lambda u: lax.fori_loop(0, steps, lambda i, u: step(u), u)

    return _compiled(make) | {
        "reference": lambda: _repeated(with_roll(libraries.array_library()), steps),
        "torch": lambda: _repeated(torch_roll, steps),
        "torch.compile": lambda: _repeated(libraries.torch_compiled(torch_roll), steps),
    }


def _scan() -> Ways:
    def make(xp: Any, lax: Any) -> Function:
        def step(c: Any, x: Any) -> tuple[Any, Any]:
            c = xp.tanh(0.9 * c + x)
            return c, c

        return lambda c, xs: lax.scan(step, c, xs)

    def each(xp: Any, stack: Function) -> Function:
        def run(c: Any, xs: Any) -> Any:
            out = []
            for x in xs:
                c = xp.tanh(0.9 * c + x)
                out.append(c)
            return c, stack(out)

        return run

    def reference() -> Function:
        xp = libraries.array_library()
        return each(xp, xp.stack)

    def torch() -> Function:
        import torch

        return each(torch, torch.stack)

    return _compiled(make) | {"reference": reference, "torch": torch}


def _lorenz(xp: Any) -> Function:
    """Return a step of Runge and Kutta's method for Lorenz' equations."""

    def slope(s: Any) -> Any:
        x, y, z = s[0], s[1], s[2]
        return xp.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])

    def step(t: Any, s: Any, h: Any) -> tuple[Any, Any]:
        a = slope(s)
        b = slope(s + 0.5 * h * a)
        c = slope(s + 0.5 * h * b)
        d = slope(s + h * c)
        return t + h, s + h / 6.0 * (a + 2.0 * b + 2.0 * c + d)

    return step


def _until() -> Ways:
    """A loop whose condition is computed by its body: nothing tells the number of its steps."""

    def make(xp: Any, lax: Any) -> Function:
        step = _lorenz(xp)

        def run(t: Any, s: Any, h: Any, end: Any) -> Any:
            return lax.while_loop(lambda c: c[0] < end, lambda c: step(c[0], c[1], h), (t, s))

        return run

    def reference() -> Function:
        step = _lorenz(np)
        xp = libraries.array_library()

        def run(*arguments: Any) -> Any:
            t, s, h, end = map(libraries.to_numpy, arguments)
            while t < end:
                t, s = step(t, s, h)
            return xp.asarray(t), xp.asarray(s)

        return run

    return _compiled(make) | {"reference": reference}


def cases(quick: bool) -> list[DeviceCase]:
    """Return the rows."""
    n, steps = (24, 5) if quick else (512, 1000)
    turns = 8 if quick else 10_000
    length, wide = (6, 32) if quick else (100, 256)
    rows = [
        DeviceCase(
            f"{steps} heat steps", shown((n, n)), dtype, _field(n, dtype), _heat(steps), tolerance,
            aims=aims,
        )
        for dtype, tolerance, aims in (
            ("float32", 1e-3, (Aim("jax", 5.0),)), ("float64", 1e-11, (Aim("jax", 5.0),))
        )
    ]  # fmt: skip
    rows += [
        DeviceCase(
            f"Lorenz, {turns} turns", "3", "float64", lambda: _start(turns), _until(),
            # Errors grow as exp(0.9 t): more than a few units of time have no figures in common.
            1e-6, aims=(Aim("jax", 50.0),),
        ),
        DeviceCase(
            f"scan of {length}", shown((wide,)), "float32",
            lambda: (filled((wide,), "float32"), filled((length, wide), "float32", 1)),
            _scan(), 1e-5,
        ),
    ]  # fmt: skip
    return rows


def _start(turns: int) -> tuple[Any, ...]:
    step = 0.0005
    # Half a step off, so that rounding does not decide how many steps there are.
    return tuple(np.asarray(v) for v in (0.0, [1.0, 1.0, 1.0], step, (turns - 0.5) * step))


def _field(n: int, dtype: str) -> Callable[[], tuple[Any, ...]]:
    return lambda: (filled((n, n), dtype),)
