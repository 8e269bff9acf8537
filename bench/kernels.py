"""Array programs that are not stencils: all pairs, finance, small matrices, spectra, noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.ways import Library, compiled

__all__ = ["cases"]

Function = Callable[..., Any]


def n_body(lib: Library) -> Function:
    """Accelerations of all bodies by all, softened."""
    xp = lib.xp

    def accelerations(x: Any, mass: Any) -> Any:
        d = x[None, :, :] - x[:, None, :]
        r2 = xp.sum(d * d, axis=-1) + 1e-3
        return xp.sum(d * (mass / (r2 * xp.sqrt(r2)))[:, :, None], axis=1)

    return accelerations


def _n_body(n: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        return random.standard_normal((n, 3)), random.uniform(0.5, 1.0, n)

    return Case(
        "N-body, all pairs", f"{n}", "float64", arguments, compiled(n_body, "numpy"), 1e-10
    )


def black_scholes(lib: Library) -> Function:
    """Prices of calls, the normal distribution by Abramowitz and Stegun 26.2.17."""
    xp = lib.xp

    def normal(x: Any) -> Any:
        k = 1.0 / (1.0 + 0.2316419 * xp.abs(x))
        series = k * (
            0.319381530
            + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429)))
        )
        tail = xp.exp(-0.5 * x * x) * 0.3989422804014327 * series
        return xp.where(x > 0.0, 1.0 - tail, tail)

    def price(s: Any, k: Any, t: Any) -> Any:
        rate, sigma = 0.02, 0.3
        root = sigma * xp.sqrt(t)
        d1 = (xp.log(s / k) + (rate + 0.5 * sigma * sigma) * t) / root
        return s * normal(d1) - k * xp.exp(-rate * t) * normal(d1 - root)

    return price


def _black_scholes(n: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        return tuple(random.uniform(low, high, n) for low, high in ((5, 30), (1, 100), (0.25, 10)))

    return Case(
        "Black-Scholes", f"{n}", "float64", arguments, compiled(black_scholes, "numpy"), 1e-10
    )


def _rows(name: str, make: Callable[[Library], Function], n: int, dtype: str) -> Case:
    return Case(
        name,
        f"{n}x{n}",
        dtype,
        lambda: (np.random.default_rng(0).standard_normal((n, n)).astype(dtype),),
        compiled(make, "numpy"),
        1e-11 if dtype == "float64" else 1e-4,
    )


def layer_norm(lib: Library) -> Function:
    """Rows of mean zero and variance one."""
    xp = lib.xp

    def norm(x: Any) -> Any:
        d = x - xp.mean(x, axis=1, keepdims=True)
        return d / xp.sqrt(xp.mean(d * d, axis=1, keepdims=True) + 1e-5)

    return norm


def log_sum_exp(lib: Library) -> Function:
    """Of each row."""
    xp = lib.xp

    def run(x: Any) -> Any:
        top = xp.max(x, axis=1, keepdims=True)
        return xp.log(xp.sum(xp.exp(x - top), axis=1)) + top[:, 0]

    return run


def _small_matrices(n: int) -> list[Case]:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        a = random.standard_normal((n, 4, 4)) + 4.0 * np.eye(4)
        return a, random.standard_normal((n, 4, 4))

    def vectors() -> tuple[Any, ...]:
        a, b = arguments()
        return a, b[:, :, 0].copy()

    def solve(lib: Library) -> Function:
        return lib.top.vmap(lib.xp.linalg.solve)

    return [
        Case("4x4 products", f"{n}", "float64", arguments,
             compiled(lambda lib: lib.xp.matmul, "numpy"), 1e-12),
        Case("4x4 solves by vmap", f"{n}", "float64", vectors,
             compiled(solve, numpy=lambda: lambda a, b: np.linalg.solve(a, b[..., None])[..., 0]),
             1e-9),
    ]  # fmt: skip


def _gather(n: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        return random.standard_normal(n), random.integers(0, n, n)

    return Case(
        "gather", f"{n}", "float64", arguments, compiled(lambda lib: lambda x, i: x[i], "numpy")
    )


def _poisson(n: int) -> Case:
    def make(lib: Library) -> Function:
        xp = lib.xp

        def solve(f: Any) -> Any:
            k = 2.0 * np.pi * np.fft.fftfreq(n)
            symbol = k[:, None] ** 2 + k[None, : n // 2 + 1] ** 2
            symbol[0, 0] = 1.0
            return xp.fft.irfft2(xp.fft.rfft2(f) / symbol, s=(n, n))

        return solve

    return Case(
        "Poisson by FFT", f"{n}x{n}", "float64",
        lambda: (np.random.default_rng(0).standard_normal((n, n)),),
        compiled(make, "numpy"), 1e-9,
    )  # fmt: skip


def _normal(n: int) -> list[Case]:
    """NumPy's stream is another: results are compared with JAX's."""

    def normal(lib: Library) -> Function:
        return lambda seed: lib.top.random.normal(lib.top.random.key(seed), (n,), "float64")

    def bits(lib: Library) -> Function:
        return lambda seed: lib.top.random.bits(lib.top.random.key(seed), (n,), "uint32")

    def seed() -> tuple[Any, ...]:
        return (np.uint32(7),)

    rows = []
    for name, make, tolerance in (("random.normal", normal, 1e-11), ("random.bits", bits, 0.0)):
        functions = compiled(make)
        rows.append(
            Case(name, f"{n}", "", seed, functions, tolerance, expected=functions["jax"])
        )
    return rows


def _convolve(n: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        return random.standard_normal((n, n)), random.standard_normal((9, 9))

    def build() -> Function:
        from scipy.signal import convolve2d

        return lambda x, k: convolve2d(x, k, mode="same")

    def make(lib: Library) -> Function:
        import importlib

        signal = importlib.import_module(f"{lib.name}.scipy.signal")
        return lambda x, k: signal.convolve2d(x, k, mode="same")

    return Case(
        "convolve2d, 9x9", f"{n}x{n}", "float64", arguments, compiled(make, numpy=build), 1e-10
    )


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    rows = [_n_body(1024 if quick else 4096), _black_scholes(1_000_000 if quick else 4_000_000)]
    ways: dict[str, Callable[[Library], Function]] = {
        "layer norm": layer_norm,
        "logsumexp": log_sum_exp,
        "argmax": lambda lib: lambda x: lib.xp.argmax(x, axis=1),
        "argmax, all": lambda lib: lambda x: lib.xp.argmax(x),
    }
    for dtype in ("float64", "float32"):
        rows += [_rows(name, make, 1000, dtype) for name, make in ways.items()]
    return [
        *rows,
        *_small_matrices(10_000 if quick else 100_000),
        _gather(1_000_000),
        _poisson(256 if quick else 1024),
        *_normal(400_000 if quick else 4_000_000),
        _convolve(300),
    ]
