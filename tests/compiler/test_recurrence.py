"""Loops over a few scalars are one kernel, and give the bits of the loop that is none."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.compiler import recurrence
from tracejit.ir.dtypes import DTYPES
from tracejit.ir.plan import Launch

XS = np.linspace(-1.0, 2.0, 21)
TEN = np.arange(10)


def lorenz(n: int) -> Callable[..., Any]:
    def rate(x: Any, y: Any, z: Any) -> tuple[Any, ...]:
        return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z

    def step(i: Any, s: Any) -> Any:
        a = rate(*s)
        b = rate(*(p + 0.01 * q for p, q in zip(s, a, strict=True)))
        return tuple(p + 0.005 * (q + r) for p, q, r in zip(s, a, b, strict=True))

    return lambda *s: lax.fori_loop(0, n, step, s)


def scanned(f: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    return lambda init, xs=None: lax.scan(f, init, xs, **how)


def vector_field(y: Any) -> Any:
    return tnp.stack([10.0 * (y[1] - y[0]), y[0] * (28.0 - y[2]) - y[1], y[0] * y[1] - 2.5 * y[2]])


def collatz(n: Any) -> Any:
    def body(s: Any) -> Any:
        n, steps = s
        return tnp.where(n % 2 == 0, n // 2, 3 * n + 1), steps + 1

    return lax.while_loop(lambda s: s[0] > 1, body, (n, 0))


def newton(a: Any) -> Any:
    return lax.while_loop(
        lambda s: tnp.abs(s[0] * s[0] - a) > 1e-12 * a,
        lambda s: (0.5 * (s[0] + a / s[0]), s[1] + 1),
        (a, 0),
    )


def mandelbrot(c: Any) -> Any:
    def body(s: Any) -> Any:
        z, n = s
        return z * z + c, n + 1

    return lax.while_loop(lambda s: (abs(s[0]) < 2.0) & (s[1] < 50), body, (0.0 * c, 0))


def adaptive(c: Any, x: Any) -> Any:
    c = lax.cond(x > c, lambda c: 0.5 * c + x, lambda c: c - 0.1, c)
    return c, lax.switch((4.0 * x).astype(int), [lambda c: c, lambda c: -c, lambda c: c * c], c)


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "scalars": (lorenz(100), (1.0, 2.0, 3.0)),
    "no trip": (lorenz(0), (1.0, 2.0, 3.0)),
    "one trip": (lorenz(1), (1.0, 2.0, 3.0)),
    "a vector": (lambda y: lax.fori_loop(0, 50, lambda i, y: y + 0.01 * vector_field(y), y),
                 (np.array([1.0, 2.0, 3.0]),)),
    "swapped": (lambda *s: lax.fori_loop(0, 7, lambda i, s: (s[1], s[0]), s), (1.0, 2.0)),
    "in a ring": (lambda *s: lax.fori_loop(0, 7, lambda i, s: (s[2], s[0] + i, s[1]), s),
                  (1.0, 2.0, 3.0)),
    "unchanged": (lambda *s: lax.fori_loop(0, 7, lambda i, s: (s[0], s[1] * s[0]), s), (1.5, 2.0)),
    "one value twice": (lambda x: lax.fori_loop(0, 7, lambda i, s: (s[1], s[0] + s[1]), (x, x)),
                        (1.5,)),
    "stacked": (scanned(lambda c, x: (0.9 * c + x, (c, x * c))), (0.5, XS)),
    "stacked as it is": (scanned(lambda c, x: (c + x, x)), (0.5, XS)),
    "backwards": (scanned(lambda c, x: (0.9 * c + x, c * x), reverse=True), (0.5, XS)),
    "no operand": (scanned(lambda c, x: (tnp.sin(c), c), length=30), (0.5,)),
    "nothing carried": (scanned(lambda c, x: (c, tnp.exp(x))), ((), XS)),
    "an empty operand": (scanned(lambda c, x: (c + x, c)), (0.5, XS[:0])),
    "pairs of it": (scanned(lambda c, x: (c * x[::-1], x.sum() + c)),
                    (XS[:2], XS[:20].reshape(10, 2))),
    "a table": (lambda c: lax.fori_loop(
        0, 20, lambda i, c: c + tnp.asarray(XS)[(i * i) % 21], c), (0.0,)),
    "functions": (scanned(lambda c, x: (
        tnp.tanh(c + x) * tnp.exp(-c * c) + tnp.arctan2(c, x), tnp.log1p(c * c))), (0.5, XS)),
    "complex": (scanned(lambda c, x: (c * 1j + x, c * c)), (0.5 + 0.5j, XS)),
    "a flag": (scanned(lambda c, x: ((~c[0], c[1] + c[0]), c[0])), ((True, 0), XS)),
    "branches": (scanned(adaptive), (0.5, XS)),
    "overflow": (scanned(lambda c, x: (c * np.int8(3) + x, c)),
                 (np.int8(5), np.arange(30).astype(np.int8))),
    "while": (collatz, (27,)),
    "while, at once false": (collatz, (1,)),
    "while, of floats": (newton, (2.0,)),
    "while, of complex numbers": (mandelbrot, (-0.7 + 0.3j,)),
    "a loop in a loop": (lambda c: lax.fori_loop(0, 5, lambda i, c: lax.fori_loop(
        0, i, lambda j, c: c * 0.5 + j, c), c), (1.0,)),
    "a loop of known length in one": (lambda c: lax.fori_loop(0, 5, lambda i, c: lax.fori_loop(
        0, 4, lambda j, c: c * 0.5 + i * j, c), c), (1.0,)),
}  # fmt: skip


def of_dtype(dtype: Any) -> Callable[..., Any]:
    """Use what a dtype has, so that values wrap round and are rounded."""

    def body(c: Any, x: Any) -> Any:
        a, b = c
        more = a > b if dtype.kind != "c" else a.real > b.real
        a, b = b, (a + b * x).astype(dtype)
        return (a, tnp.where(more, b, a + x)), (a, b * b)

    return scanned(body)


def bits(results: Any) -> list[tuple[Any, ...]]:
    leaves = [np.asarray(x) for x in tj.tree_util.tree_leaves(results)]
    return [(x.dtype, x.shape, x.tobytes()) for x in leaves]


def kernels(f: Callable[..., Any], *args: Any) -> str:
    return tj.jit(f).lower(*args).text("loops")


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Compare a loop in registers with the same loop as kernels, and one by one."""

    def check(f: Callable[..., Any], *args: Any) -> None:
        assert "recur" in kernels(f, *args)
        ours = tj.jit(f)(*args)
        with monkeypatch.context() as patch:
            patch.setattr(recurrence, "_may_be_small", lambda block: False)
            g = lambda *args: f(*args)
            assert "recur" not in kernels(g, *args)
            assert bits(ours) == bits(tj.jit(g)(*args))
        for n in (1, 2, 3, 7):
            with tj.settings(num_threads=n):
                assert bits(tj.jit(f)(*args)) == bits(ours)

    return check


@pytest.mark.parametrize("name", CASES)
def test_bits_of_kernels(name: str, both: Callable[..., None]) -> None:
    f, args = CASES[name]
    both(f, *args)


@pytest.mark.parametrize("name", sorted(set(DTYPES) - {"float0"}))
def test_dtypes(name: str, both: Callable[..., None]) -> None:
    dtype = DTYPES[name]
    one = np.ones((), dtype)
    both(of_dtype(dtype), (one, one), (3 * XS).astype(dtype))


@pytest.mark.parametrize(
    "name", ["scalars", "stacked", "backwards", "functions", "while, of floats"]
)
@pytest.mark.parametrize("turn", [1, 7, 21])
def test_turns(name: str, turn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    f, args = CASES[name]
    whole = bits(tj.jit(f)(*args))
    monkeypatch.setattr(recurrence.Recurrent, "turn", turn)
    g = lambda *args: f(*args)
    assert bits(tj.jit(g)(*args)) == whole


def test_mapped_and_differentiated(both: Callable[..., None]) -> None:
    step = scanned(lambda c, x: (tnp.sin(c) + x * c, c * c))
    loss = lambda c: step(c, XS)[1].sum() + step(c, XS)[0]
    both(tj.grad(loss), 0.3)
    both(tj.grad(tj.grad(loss)), 0.3)
    both(lambda c, t: tj.jvp(loss, (c,), (t,)), 0.3, 1.0)
    both(tj.vmap(loss), np.array([0.3, 0.4]))
    both(tj.vmap(tj.grad(newton_in_turn)), np.array([2.0, 3.0]))


def newton_in_turn(a: Any) -> Any:
    return lax.fori_loop(0, 6, lambda i, x: 0.5 * (x + a / x), a)


@pytest.mark.parametrize("name", ["scalars", "backwards", "a flag", "complex", "while, of floats"])
def test_meaning(name: str, check: Callable[..., Any]) -> None:
    f, args = CASES[name]
    leaves, tree = tj.tree_util.tree_flatten(args)
    unflatten = tj.tree_util.tree_unflatten
    found = check(lambda *leaves: tj.tree_util.tree_leaves(f(*unflatten(tree, leaves))), *leaves)
    assert "recur" in found.loops
    assert sum(isinstance(step, Launch) for step in found.plan.steps) <= 1


def test_another_length_is_the_same_kernel() -> None:
    assert kernels(lorenz(20), 1.0, 2.0, 3.0) == kernels(lorenz(3000), 1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    "f",
    [
        pytest.param(lambda c: lax.fori_loop(0, 5, lambda i, c: c + c.sum(), c), id="a reduction"),
        pytest.param(lambda c: lax.fori_loop(0, 5, lambda i, c: c + 1.0, c), id="an array"),
    ],
)
def test_larger_loops_stay(f: Callable[..., Any]) -> None:
    assert "recur" not in kernels(f, np.ones(100))


def test_text_keeps_conditions_and_names() -> None:
    text = kernels(collatz, 27)
    assert "while gt(s0, 1)" in text
    assert "next s0 = " in text


@pytest.mark.parametrize("name", ["scan", "while"])
def test_interrupts(name: str) -> None:
    def endless(x: Any) -> Any:
        if name == "scan":
            return lax.fori_loop(0, 10**12, lambda i, c: tnp.sin(c) + x, x)
        return lax.while_loop(lambda c: c < 2.0, lambda c: tnp.sin(c) * 0.5, x)

    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    compiled = tj.jit(endless).lower(1.0).compile()
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        compiled(1.0)
    assert time.perf_counter() - start < 20.0
    assert float(tj.jit(lambda x: lax.fori_loop(0, 3, lambda i, c: c + x, x))(1.0)) == 4.0
