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
from tracejit_llvm import executable

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


MANY = np.linspace(0.3, 4.0, 37)
MATRIX = np.linspace(-1.0, 1.0, 21 * 37).reshape(21, 37)
steps_of = lambda f, n=9: lambda *c: lax.fori_loop(0, n, lambda i, c: f(i, *c), c)
bent = lambda i, a, b: (tnp.sin(a) + 0.1 * b * i, 0.5 * b + a)

LANES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "an array": (lambda c: lax.fori_loop(0, 9, lambda i, c: 0.5 * c + i, c), (MANY,)),
    "no trip": (lambda c: lax.fori_loop(0, 0, lambda i, c: 0.5 * c + i, c), (MANY,)),
    "two arrays": (steps_of(bent), (MANY, MANY[::-1])),
    "an array and a scalar": (
        steps_of(lambda i, a, t: (a + t, t * 0.5 + 1.0)), (MANY, 1.0)),
    "swapped": (steps_of(lambda i, a, b: (b, a)), (MANY, MANY[::-1])),
    "a matrix": (steps_of(bent), (MATRIX, MATRIX * 2.0)),
    "float32": (steps_of(bent), (MANY.astype("float32"), MATRIX[0].astype("float32"))),
    "float16": (scanned(lambda c, x: (c + x, c)),
                (MANY.astype("float16"), MATRIX.astype("float16"))),
    "int8": (steps_of(lambda i, a, b: (a * np.int8(3) + b, b + a)),
             (np.arange(50, dtype="int8"), np.arange(50, dtype="int8")[::-1])),
    "flags": (steps_of(lambda i, a, b: (a ^ b, a)), (MANY > 1.0, MANY > 2.0)),
    "complex": (scanned(lambda c, x: (c * (0.5 + 0.5j) + x, c * c)), (MANY + 1j, MATRIX)),
    "complex64": (scanned(lambda c, x: (c * c + x, c)),
                  (MATRIX[0].astype("complex64"), MATRIX.astype("float32"))),
    "stacked": (scanned(lambda c, x: (0.9 * c + x, c * x)), (MANY, MATRIX)),
    "backwards": (scanned(lambda c, x: (0.9 * c + x, c * x), reverse=True), (MANY, MATRIX)),
    "scalars stacked": (scanned(lambda c, x: ((c[0] + c[1] * x, c[1] + 1.0), (c[1], x))),
                        ((MANY, 0.5), MATRIX)),
    "mapped": (tj.vmap(lorenz(20)), (MANY, MANY + 1.0, MANY + 20.0)),
    "mapped, of vectors": (tj.vmap(lambda y: lax.fori_loop(
        0, 9, lambda i, y: y + 0.01 * vector_field(y), y)),
        (np.stack([MANY, MANY, MANY + 20.0], 1),)),
    "components in front": (lambda y: lax.fori_loop(
        0, 9, lambda i, y: y + 0.01 * vector_field(y), y), (np.stack([MANY, MANY, MANY + 20.0]),)),
    "mapped twice": (tj.vmap(tj.vmap(lambda c: lax.fori_loop(
        0, 9, lambda i, y: y * y + c, c))), (MATRIX,)),
    "a table of each": (tj.vmap(lambda c, t: lax.fori_loop(
        0, 20, lambda i, c: c + t[(i * i) % 21], c)), (MANY, MATRIX.T)),
    "branches": (tj.vmap(lambda c: lax.scan(adaptive, c, XS)), (MANY,)),
    "while": (tj.vmap(collatz), (np.arange(1, 40),)),
    "while, at once false": (tj.vmap(collatz), (np.ones(7, int),)),
    "while, of floats": (tj.vmap(newton), (MANY,)),
    "while, of complex numbers": (tj.vmap(mandelbrot), (MATRIX[0] + 1j * MATRIX[1],)),
    "while, mapped twice": (tj.vmap(tj.vmap(mandelbrot)), (MATRIX[:, :9] * (1.0 + 1j),)),
    "while, mapped thrice": (
        tj.vmap(tj.vmap(tj.vmap(newton))), (np.arange(1.0, 25.0).reshape(2, 3, 4),)),
    "while of vectors, mapped twice": (tj.vmap(tj.vmap(lambda y: lax.while_loop(
        lambda y: y[0] < 5.0, lambda y: y + 0.1 + 0.1 * y[::-1], y))),
        (MATRIX[:18].reshape(6, 37, 3),)),
    "while, of a parameter": (tj.vmap(lambda a, b: lax.while_loop(
        lambda s: s < b, lambda s: s * 1.5 + a, a)), (MANY, MANY + 10.0)),
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
        monkeypatch.setattr(recurrence, "_gains", lambda item, lanes: True)
        assert "recur" in kernels(f, *args)
        ours = tj.jit(f)(*args)
        with monkeypatch.context() as patch:
            patch.setattr(recurrence, "_may_be", lambda block: False)
            g = lambda *args: f(*args)
            assert "recur" not in kernels(g, *args)
            assert bits(ours) == bits(tj.jit(g)(*args))
        monkeypatch.setattr(executable, "WORTH_SHARING", 1.0)
        monkeypatch.setattr(executable, "CHUNK", 1.0)
        shared = tj.jit(lambda *args: f(*args))
        for n in (1, 2, 3, 7):
            with tj.settings(num_threads=n):
                assert bits(shared(*args)) == bits(ours)

    return check


@pytest.mark.parametrize("name", CASES)
def test_bits_of_kernels(name: str, both: Callable[..., None]) -> None:
    f, args = CASES[name]
    both(f, *args)


@pytest.mark.parametrize("name", LANES)
def test_bits_of_lanes(name: str, both: Callable[..., None]) -> None:
    f, args = LANES[name]
    both(f, *args)


@pytest.mark.parametrize("name", sorted(set(DTYPES) - {"float0"}))
def test_dtypes(name: str, both: Callable[..., None]) -> None:
    dtype = DTYPES[name]
    one = np.ones((), dtype)
    both(of_dtype(dtype), (one, one), (3 * XS).astype(dtype))


@pytest.mark.parametrize(
    "name", ["stacked", "backwards", "swapped", "complex", "while, of floats"]
)
@pytest.mark.parametrize("turn", [1, 7, 21])
@pytest.mark.parametrize("lanes", [False, True])
def test_turns(name: str, turn: int, lanes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    f, args = (LANES if lanes else CASES)[name]
    monkeypatch.setattr(recurrence, "_gains", lambda item, lanes: True)
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


@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("name", ["backwards", "swapped", "complex", "while, of floats"])
def test_meaning(
    name: str, lanes: bool, check: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    f, args = (LANES if lanes else CASES)[name]
    monkeypatch.setattr(recurrence, "_gains", lambda item, lanes: True)
    leaves, tree = tj.tree_util.tree_flatten(args)
    unflatten = tj.tree_util.tree_unflatten
    found = check(lambda *leaves: tj.tree_util.tree_leaves(f(*unflatten(tree, leaves))), *leaves)
    assert "recur" in found.loops
    assert any("carry in registers" in note.text for note in found.plan.notes)
    assert sum(isinstance(step, Launch) for step in found.plan.steps) <= 1 + lanes


def test_another_length_is_the_same_kernel() -> None:
    assert kernels(lorenz(20), 1.0, 2.0, 3.0) == kernels(lorenz(3000), 1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    "f",
    [
        pytest.param(lambda c: lax.fori_loop(0, 5, lambda i, c: c + c.sum(), c), id="a reduction"),
        pytest.param(
            lambda c: lax.fori_loop(0, 5, lambda i, c: c + tnp.roll(c, 1), c), id="neighbours"
        ),
        pytest.param(
            lambda c: lax.while_loop(lambda c: (c < 5.0).any(), lambda c: c + 1.0, c),
            id="not frozen",
        ),
        pytest.param(lambda c: lax.scan(lambda c, _: (c + 1.0, c), c, length=5), id="stacked"),
    ],
)
def test_larger_loops_stay(f: Callable[..., Any]) -> None:
    assert "recur" not in kernels(f, np.ones(100))


def test_text_keeps_conditions_and_names() -> None:
    text = kernels(collatz, 27)
    assert "while s2" in text
    assert "next s2 = gt(" in text


@pytest.mark.parametrize("shape", [(), (9,)])
@pytest.mark.parametrize("name", ["scan", "while"])
def test_interrupts(name: str, shape: tuple[int, ...]) -> None:
    def endless(x: Any) -> Any:
        if name == "scan":
            return lax.fori_loop(0, 10**12, lambda i, c: tnp.sin(c) + x, x)
        own = lambda x: lax.while_loop(lambda c: c < 2.0, lambda c: tnp.sin(c) * 0.5, x)
        return tj.vmap(own)(x) if shape else own(x)

    x = np.ones(shape)
    assert "recur" in kernels(endless, x)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    compiled = tj.jit(endless).lower(x).compile()
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        compiled(x)
    assert time.perf_counter() - start < 20.0
    assert float(tj.jit(lambda x: lax.fori_loop(0, 3, lambda i, c: c + x, x))(1.0)) == 4.0
