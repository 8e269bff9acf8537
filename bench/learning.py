"""Loops with state and training steps: recurrences, networks, gradients of solvers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from bench.harness import Case
from bench.stencils import finite_volume
from bench.ways import Library, compiled

__all__ = ["cases"]

Function = Callable[..., Any]

# -------------------------------------------------------------------------------- loops


def lorenz(lib: Library, steps: int = 10_000) -> Function:
    """Runge-Kutta steps of the Lorenz system, three scalars."""

    def rate(x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
        return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z

    def step(i: Any, s: Any) -> Any:
        h = 0.005
        a = rate(*s)
        b = rate(*(p + 0.5 * h * q for p, q in zip(s, a, strict=True)))
        c = rate(*(p + 0.5 * h * q for p, q in zip(s, b, strict=True)))
        d = rate(*(p + h * q for p, q in zip(s, c, strict=True)))
        return tuple(
            p + h / 6.0 * (e + 2.0 * f + 2.0 * g + k)
            for p, e, f, g, k in zip(s, a, b, c, d, strict=True)
        )

    def run(x: Any, y: Any, z: Any) -> Any:
        if lib.lax is None:
            s = (x, y, z)
            for i in range(steps):
                s = step(i, s)
            return s
        return lib.lax.fori_loop(0, steps, step, (x, y, z))

    return run


def many_leaves(lib: Library, steps: int = 200) -> Function:
    """A scan with a carry of sixty small arrays."""
    xp = lib.xp

    def body(carry: Any, x: Any) -> Any:
        new = {k: 0.9 * v + 0.1 * xp.tanh(x + v) for k, v in carry.items()}
        return new, sum(xp.sum(v) for v in list(new.values())[:4])

    def run(carry: Any, xs: Any) -> Any:
        if lib.lax is None:
            total = 0.0
            for x in xs:
                carry, y = body(carry, x)
                total = total + y
        else:
            carry, ys = lib.lax.scan(body, carry, xs)
            total = xp.sum(ys)
        return total + sum(xp.sum(v) for v in carry.values())

    return run


def _many_leaves() -> list[Case]:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        carry = {f"p{n:02}": random.standard_normal(8) for n in range(60)}
        return carry, random.standard_normal(200)

    def derivative(lib: Library) -> Function:
        return lib.top.grad(many_leaves(lib))

    functions = compiled(derivative)
    return [
        Case("scan, 60 leaves", "200", "float64", arguments, compiled(many_leaves, "numpy"), 1e-9),
        Case("the same, gradient", "200", "float64", arguments, functions, 1e-9,
             expected=functions["jax"]),
    ]  # fmt: skip


def lstm(lib: Library) -> Function:
    """Run a cell over a sequence; return the last state."""
    xp = lib.xp

    def sigmoid(x: Any) -> Any:
        return 1.0 / (1.0 + xp.exp(-x))

    def run(wx: Any, wh: Any, b: Any, xs: Any) -> Any:
        size = wh.shape[0]

        def cell(carry: Any, x: Any) -> Any:
            h, c = carry
            gates = x @ wx + h @ wh + b
            i, f, g, o = (gates[..., n * size : (n + 1) * size] for n in range(4))
            c = sigmoid(f) * c + sigmoid(i) * xp.tanh(g)
            h = sigmoid(o) * xp.tanh(c)
            return (h, c), None

        carry = (xp.zeros((xs.shape[1], size)), xp.zeros((xs.shape[1], size)))
        if lib.lax is None:
            for x in xs:
                carry, _ = cell(carry, x)
            return carry[0]
        return lib.lax.scan(cell, carry, xs)[0][0]

    return run


def _lstm(steps: int, batch: int, size: int) -> list[Case]:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        return (
            random.standard_normal((32, 4 * size)) / 8.0,
            random.standard_normal((size, 4 * size)) / 16.0,
            random.standard_normal(4 * size),
            random.standard_normal((steps, batch, 32)),
        )

    def derivative(lib: Library) -> Function:
        run = lstm(lib)
        return lib.top.grad(lambda *args: lib.xp.sum(run(*args) ** 2), (0, 1, 2))

    functions = compiled(derivative)
    name = f"{steps}, {batch}x{size}"
    return [
        Case("LSTM", name, "float64", arguments, compiled(lstm, "numpy"), 1e-10),
        Case("LSTM, gradient", name, "float64", arguments, functions, 1e-8,
             expected=functions["jax"]),
    ]  # fmt: skip


def _mlp(batch: int) -> Case:
    """A training step of a perceptron: gradient and update."""

    def make(lib: Library) -> Function:
        xp = lib.xp

        def loss(p: Any, x: Any, y: Any) -> Any:
            h = xp.tanh(x @ p["w1"] + p["b1"])
            h = xp.tanh(h @ p["w2"] + p["b2"])
            return xp.mean((h @ p["w3"] + p["b3"] - y) ** 2)

        def step(p: Any, x: Any, y: Any) -> Any:
            g = lib.top.grad(loss)(p, x, y)
            return {k: p[k] - 0.01 * g[k] for k in p}

        return step

    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        sizes = (64, 256, 256, 10)
        p = {}
        for n, (i, o) in enumerate(pairwise(sizes), 1):
            p[f"w{n}"] = (random.standard_normal((i, o)) / i**0.5).astype("float32")
            p[f"b{n}"] = np.zeros(o, "float32")
        x = random.standard_normal((batch, 64)).astype("float32")
        return p, x, random.standard_normal((batch, 10)).astype("float32")

    functions = compiled(make)
    return Case(
        "MLP training step", f"{batch}", "float32", arguments, functions, 1e-4,
        expected=functions["jax"],
    )  # fmt: skip


def _lenet(batch: int) -> Case:
    """A training step of two convolutions, each halved by maxima, and two dense layers."""

    def make(lib: Library) -> Function:
        xp = lib.xp

        def layer(x: Any, w: Any) -> Any:
            x = xp.maximum(lib.lax.conv_general_dilated(x, w, (1, 1), "SAME"), 0.0)
            n, c, h, v = x.shape
            return xp.max(x.reshape(n, c, h // 2, 2, v // 2, 2), axis=(3, 5))

        def loss(p: Any, x: Any, y: Any) -> Any:
            h = layer(layer(x, p["c1"]), p["c2"]).reshape(batch, -1)
            h = xp.tanh(h @ p["w1"])
            return xp.mean((h @ p["w2"] - y) ** 2)

        def step(p: Any, x: Any, y: Any) -> Any:
            g = lib.top.grad(loss)(p, x, y)
            return {k: p[k] - 0.01 * g[k] for k in p}

        return step

    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        shapes = {"c1": (6, 1, 5, 5), "c2": (16, 6, 5, 5), "w1": (16 * 49, 84), "w2": (84, 10)}
        draw = lambda shape: random.standard_normal(shape).astype("float32")
        summed = {k: s[1:] if k[0] == "c" else s[:1] for k, s in shapes.items()}
        p = {k: draw(s) / np.float32(np.prod(summed[k]) ** 0.5) for k, s in shapes.items()}
        return p, draw((batch, 1, 28, 28)), draw((batch, 10))

    functions = compiled(make)
    return Case(
        "LeNet training step", f"{batch}", "float32", arguments, functions, 1e-4,
        expected=functions["jax"],
    )  # fmt: skip


# ------------------------------------------------------------------- gradients of solvers


def _heat_gradient(n: int, steps: int) -> list[Case]:
    def forward(lib: Library) -> Function:
        xp = lib.xp

        def step(i: Any, u: Any) -> Any:
            p = xp.pad(u, 1)
            return u + 0.2 * (p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4.0 * u)

        return lambda u: xp.sum(lib.lax.fori_loop(0, steps, step, u) ** 2)

    return _with_gradient(f"heat, {steps} steps", n, forward, 1)


def _volume_gradient(n: int, steps: int) -> list[Case]:
    def forward(lib: Library) -> Function:
        xp = lib.xp
        step = finite_volume(xp, xp.roll)

        def run(*fields: Any) -> Any:
            out = lib.lax.fori_loop(0, steps, lambda i, s: step(*s), fields)
            return sum(xp.sum(f * f) for f in out)

        return run

    return _with_gradient(f"volumes, {steps} steps", n, forward, 4)


def _with_gradient(
    name: str, n: int, forward: Callable[[Library], Function], fields: int
) -> list[Case]:
    def arguments() -> tuple[Any, ...]:
        random = np.random.default_rng(0)
        return tuple(random.standard_normal((n, n)) for _ in range(fields))

    def derivative(lib: Library) -> Function:
        return lib.top.grad(forward(lib), tuple(range(fields)))

    rows = []
    for what, make in (("", forward), (", gradient", derivative)):
        functions = compiled(make)
        rows.append(
            Case(name + what, f"{n}x{n}", "float64", arguments, functions, 1e-8,
                 expected=functions["jax"])
        )  # fmt: skip
    return rows


def cases(quick: bool) -> list[Case]:
    """Return the rows.  NumPy has no gradients: there the results are compared with JAX's."""
    return [
        Case("Lorenz, 10,000 steps", "3", "float64",
             lambda: (np.float64(1.0), np.float64(1.0), np.float64(1.0)),
             compiled(lorenz, "numpy"), 10.0),
        *_many_leaves(),
        *_lstm(200 if quick else 1000, 8, 64),
        _mlp(128),
        _lenet(32),
        *_heat_gradient(256 if quick else 1024, 50 if quick else 200),
        *_volume_gradient(100, 50 if quick else 300),
    ]  # fmt: skip
