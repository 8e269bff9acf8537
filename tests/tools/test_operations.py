"""Operations of compiled code, and the cost of a gradient: at most four times the function's.

The bound is that of straight-line programs in reverse mode (Baur and Strassen, 1983; Griewank and
Walther, *Evaluating Derivatives*, 2008, section 4.6); fusion may not break it by recomputation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit import lax, value_and_grad
from tracejit.tools.explain import explain


def operations(fun: Callable[..., Any], *args: Any) -> int:
    found = explain(fun)(*args)
    assert found.callbacks == 0, found
    return found.operations


def test_what_counts() -> None:
    x, n = np.ones(1000), 1000
    assert operations(lambda x: tnp.sin(x) * 2.0 + x, x) == 3 * n
    assert operations(lambda x: tnp.sum(x * x), x) == 2 * n
    assert operations(lambda x: (tnp.sin(x), tnp.sin(x) + 1.0), x) == 2 * n  # the sine is shared
    # A sine for each element, not for each pair.
    assert operations(lambda x: tnp.sin(x) * tnp.sin(x[:, None]), x[:30]) == 30 + 30 + 30 * 30
    assert operations(lambda x: x @ x, np.ones((30, 30))) == 2 * 30**3
    step = lambda c, _: (tnp.sin(c) + 1.0, None)
    assert operations(lambda x: lax.scan(step, x, None, length=5)[0], x) == 10 * n


def chain(x: Any, y: Any) -> Any:
    for _ in range(10):
        x = tnp.sin(x) * y + x * 0.5
    return tnp.sum(x)


def network(a: Any, x: Any) -> Any:
    hidden = tnp.tanh(a @ tnp.tanh(a @ x))
    return tnp.sum(hidden * hidden)


def diffusion(u: Any) -> Any:
    for _ in range(3):
        around = sum(tnp.roll(u, s, axis) for s in (1, -1) for axis in (0, 1))
        u = u + 0.1 * (around - 4 * u)
    return tnp.sum(u * u)


def cross_entropy(z: Any, labels: Any) -> Any:
    e = tnp.exp(z - lax.stop_gradient(tnp.max(z, axis=1, keepdims=True)))
    return -tnp.sum(labels * tnp.log(e / tnp.sum(e, axis=1, keepdims=True)))


def layer_norm(z: Any) -> Any:
    mean = tnp.mean(z, axis=1, keepdims=True)
    variance = tnp.mean((z - mean) ** 2, axis=1, keepdims=True)
    return tnp.sum(tnp.sin((z - mean) / tnp.sqrt(variance + 1e-5)))


def bodies(p: Any) -> Any:
    d = p[:, None, :] - p[None, :, :]
    return tnp.sum(1 / tnp.sqrt(tnp.sum(d * d, axis=2) + 0.1))


def rosenbrock(x: Any) -> Any:
    return tnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def finite_volumes(u: Any) -> Any:
    for _ in range(2):
        f = 0.5 * u**2
        ahead = tnp.roll(u, -1)
        flux = 0.5 * (f + tnp.roll(f, -1)) - 0.5 * tnp.abs(u) * (ahead - u)
        u = u - 0.1 * (flux - tnp.roll(flux, 1))
    return tnp.sum(u * u)


def functions(x: Any) -> Any:
    return tnp.sum(tnp.exp(-x * x) * tnp.log1p(x) / (1 + tnp.cosh(x)) + tnp.arctan2(x, 1 + x))


def polynomial(x: Any) -> Any:
    s = x
    for c in range(20):
        s = s * x + c
    return tnp.sum(s)


def squares(x: Any) -> Any:
    for _ in range(8):
        x = x * x
    return tnp.sum(x)


def choices(x: Any) -> Any:
    for _ in range(6):
        x = tnp.where(x > 0.5, x * x, tnp.sin(x))
    return tnp.sum(x)


def chained_product(a: Any, x: Any) -> Any:
    return tnp.sum(tnp.einsum("ij,jk,kl->il", a, a, x) ** 2)


RNG = np.random.default_rng(0)
V, W, A, B, P = (RNG.uniform(0.1, 1, s) for s in (500, 500, (40, 40), (40, 24), (30, 3)))
PROGRAMS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (chain, (V, W)),
    (network, (A, B)),
    (diffusion, (A,)),
    (cross_entropy, (B, RNG.dirichlet(np.ones(24), 40))),
    (layer_norm, (A,)),
    (bodies, (P,)),
    (rosenbrock, (V,)),
    (finite_volumes, (V,)),
    (functions, (V,)),
    (polynomial, (V,)),
    (squares, (V,)),
    (choices, (V,)),
    (chained_product, (A, B)),
]


@pytest.mark.parametrize(("fun", "args"), PROGRAMS, ids=[f.__name__ for f, _ in PROGRAMS])
def test_a_gradient_costs_at_most_four_times_the_function(fun: Any, args: Any) -> None:
    gradient = value_and_grad(fun, argnums=tuple(range(len(args))))
    assert operations(gradient, *args) <= 4 * operations(fun, *args)
