"""Inference: hyperparameters of a Gaussian process, Hamiltonian Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.harness import Case
from bench.ways import Library, compiled

__all__ = ["cases"]

Function = Callable[..., Any]


def gaussian_process(lib: Library, iterations: int) -> Function:
    """Ascend the marginal likelihood of a squared-exponential kernel, then predict."""
    xp = lib.xp

    def kernel(log: dict[str, Any], x: Any, y: Any) -> Any:
        square = (x[:, None] - y[None, :]) ** 2
        return xp.exp(2.0 * log["scale"] - 0.5 * square * xp.exp(-2.0 * log["length"]))

    def covariance(log: dict[str, Any], x: Any) -> Any:
        return kernel(log, x, x) + (xp.exp(2.0 * log["noise"]) + 1e-8) * xp.eye(x.shape[0])

    def loss(log: dict[str, Any], x: Any, y: Any) -> Any:
        k = covariance(log, x)
        return (0.5 * xp.dot(y, xp.linalg.solve(k, y)) + 0.5 * xp.linalg.slogdet(k)[1]) / x.size

    def by_hand(log: dict[str, Any], x: Any, y: Any) -> Any:
        inverse = xp.linalg.inv(covariance(log, x))
        weights = inverse @ y
        by_k = 0.5 * (inverse - weights[:, None] * weights[None, :]) / x.size
        k = kernel(log, x, x)
        stretch = (x[:, None] - x[None, :]) ** 2 * xp.exp(-2.0 * log["length"])
        return {
            "scale": xp.sum(by_k * 2.0 * k),
            "length": xp.sum(by_k * k * stretch),
            "noise": xp.trace(by_k) * 2.0 * xp.exp(2.0 * log["noise"]),
        }

    slopes = by_hand if lib.top is None else lib.top.grad(loss)

    def run(log: dict[str, Any], x: Any, y: Any, at: Any) -> Any:
        for _ in range(iterations):
            slope = slopes(log, x, y)
            log = {name: value - 0.1 * slope[name] for name, value in log.items()}
        return kernel(log, at, x) @ xp.linalg.solve(covariance(log, x), y), log

    return run


def _gaussian_process(n: int, iterations: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        x = np.sort(random.uniform(-3.0, 3.0, n))
        y = np.sin(2.0 * x) + 0.2 * random.standard_normal(n)
        log = {"scale": np.float64(0.0), "length": np.float64(-0.5), "noise": np.float64(-1.5)}
        return log, x, y, np.linspace(-3.0, 3.0, 500)

    return Case(
        "whole: Gaussian process", f"{n} x{iterations}", "float64", arguments,
        compiled(lambda lib: gaussian_process(lib, iterations), "numpy"), 1e-8,
    )  # fmt: skip


def hamiltonian(lib: Library, leaps: int) -> Function:
    """Sample the coefficients of a logistic regression; what is random is an argument."""
    xp = lib.xp
    step = 0.02

    def potential(w: Any, x: Any, y: Any) -> Any:
        return xp.sum(xp.logaddexp(0.0, x @ w) - y * (x @ w)) + 0.5 * xp.sum(w * w)

    def by_hand(w: Any, x: Any, y: Any) -> Any:
        return x.T @ (1.0 / (1.0 + xp.exp(-(x @ w))) - y) + w

    slope = by_hand if lib.top is None else lib.top.grad(potential)

    def run(w: Any, momenta: Any, uniforms: Any, x: Any, y: Any) -> Any:
        def leap(state: Any) -> Any:
            w, p = state
            p = p - 0.5 * step * slope(w, x, y)
            w = w + step * p
            return w, p - 0.5 * step * slope(w, x, y)

        def sample(w: Any, drawn: Any) -> Any:
            p, uniform = drawn
            state = (w, p)
            if lib.lax is None:
                for _ in range(leaps):
                    state = leap(state)
            else:
                state = lib.lax.fori_loop(0, leaps, lambda i, s: leap(s), state)
            end, q = state
            before = potential(w, x, y) + 0.5 * xp.sum(p * p)
            after = potential(end, x, y) + 0.5 * xp.sum(q * q)
            w = xp.where(xp.log(uniform) < before - after, end, w)
            return w, w

        if lib.lax is None:
            samples = []
            for drawn in zip(momenta, uniforms, strict=True):
                w, _ = sample(w, drawn)
                samples.append(w)
            return xp.stack(samples)
        return lib.lax.scan(sample, w, (momenta, uniforms))[1]

    return run


def _hamiltonian(rows: int, width: int, samples: int, leaps: int) -> Case:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        x = random.standard_normal((rows, width))
        right = random.standard_normal(width)
        y = (random.random(rows) < 1.0 / (1.0 + np.exp(-x @ right))).astype(np.float64)
        momenta = random.standard_normal((samples, width))
        return np.zeros(width), momenta, random.random(samples), x, y

    return Case(
        "whole: Hamiltonian MC", f"{rows} x{samples * leaps}", "float64", arguments,
        compiled(lambda lib: hamiltonian(lib, leaps), "numpy"), 1e-8,
    )  # fmt: skip


def cases(quick: bool) -> list[Case]:
    """Return the rows."""
    return [
        _gaussian_process(50 if quick else 200, 5),
        _hamiltonian(200 if quick else 1000, 20, 5 if quick else 20, 20),
    ]
