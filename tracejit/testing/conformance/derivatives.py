"""Derivatives and batches of programs: the kernels that transformations make."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import checkpoint, grad, jvp, lax, value_and_grad, vjp, vmap
from tracejit.testing.conformance.case import Case, floats, given, integers
from tracejit.testing.conformance.indexing import deposit
from tracejit.testing.conformance.reductions import layer_norm, softmax
from tracejit.testing.conformance.stencils import diffuse

__all__ = ["CASES"]


def cross_entropy(x: Any, labels: Any) -> Any:
    p = tnp.log(softmax(x))
    return -tnp.take_along_axis(p, labels[:, None], 1).mean()


def network(weights: Any, x: Any) -> Any:
    for w in weights[:-1]:
        x = tnp.tanh(x @ w)
    return ((x @ weights[-1]) ** 2).mean()


def of_network(a: Any, b: Any, c: Any, x: Any) -> Any:
    return value_and_grad(network)((a, b, c), x)


def heat_energy(x: Any) -> Any:
    return (lax.fori_loop(0, 5, lambda _, x: diffuse(x), x) ** 2).sum()


def scanned(x: Any, w: Any) -> Any:
    def step(h: Any, row: Any) -> Any:
        h = tnp.tanh(h * w + row)
        return h, h

    return lax.scan(step, tnp.zeros_like(w), x)[1].sum()


def rosenbrock(x: Any) -> Any:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def norm_loss(x: Any, scale: Any, bias: Any) -> Any:
    return (layer_norm(x, scale, bias) ** 3).sum()


def black_scholes(spot: Any, strike: Any, time: Any) -> Any:
    spread = 0.3 * tnp.sqrt(time)
    d = (tnp.log(spot / strike) + 0.05 * time) / spread
    normal = 0.5 * lax.erfc(-d / np.float32(np.sqrt(2.0)))
    return spot * normal - strike * tnp.exp(-0.02 * time) * lax.erfc(d - spread)


def counted(x: Any, n: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, x: x * 0.5 + i.astype(x.dtype), x)


def descended(x: Any) -> Any:
    """A loop of gradients."""
    return lax.fori_loop(0, 6, lambda _, x: x - 1e-4 * grad(rosenbrock)(x), x)


F64 = np.float64
X, N = floats, integers

CASES = [
    Case("softmax", grad(lambda x: (softmax(x) ** 2).sum()), given(X(20, 33)), tolerance=4),
    Case("cross_entropy", grad(cross_entropy), given(X(30, 9), N(30, low=0, high=9)), tolerance=4),
    Case("layer_norm", grad(norm_loss, (0, 1, 2)),
         given(X(12, 50, dtype=F64), X(50, dtype=F64), X(50, dtype=F64)), tolerance=100),
    Case("network", of_network,
         given(X(10, 20, dtype=F64), X(20, 20, dtype=F64), X(20, 3, dtype=F64),
               X(15, 10, dtype=F64)), tolerance=100),
    Case("stencil", grad(lambda x: (diffuse(x) ** 2).sum()), given(X(20, 21, dtype=F64))),
    Case("stencil/wide", grad(lambda x: (diffuse(x) ** 2).sum()), given(X(180, 190))),
    Case("loop", grad(heat_energy), given(X(20, 21, dtype=F64)), tolerance=10),
    Case("checkpoint", grad(checkpoint(lambda x: (tnp.tanh(diffuse(x)) ** 2).sum())),
         given(X(15, 16, dtype=F64)), tolerance=10),
    Case("scan", grad(scanned, (0, 1)), given(X(12, 20, dtype=F64), X(20, dtype=F64)),
         tolerance=10),
    Case("rosenbrock", grad(rosenbrock), given(X(300, dtype=F64)), tolerance=10),
    Case("descended", descended, given(X(60, dtype=F64)), tolerance=10),
    Case("gather", grad(lambda x, n: (x[n] ** 2).sum()),
         given(X(30, dtype=F64), N(80, low=0, high=30)), tolerance=10),
    Case("deposit", grad(lambda r, x, w: (deposit(r, x, w) ** 2).sum(), (0, 1, 2)),
         given(X(32, dtype=F64), X(90, dtype=F64, low=0, high=32), X(90, dtype=F64)),
         tolerance=100),
    Case("jvp", lambda x, t: jvp(lambda x: tnp.sin(x) * tnp.exp(-x), (x,), (t,)),
         given(X(500), X(500))),
    Case("vjp", lambda x, ct: vjp(lambda x: tnp.cumsum(x) * x, x)[1](ct),
         given(X(90, dtype=F64), X(90, dtype=F64)), tolerance=10),
    Case("greeks", vmap(grad(black_scholes, (0, 1, 2))),
         given(X(300, low=80, high=120), X(300, low=80, high=120), X(300, low=0.2, high=2)),
         tolerance=20),
    Case("vmap/diffuse", vmap(diffuse), given(X(9, 12, 13))),
    Case("vmap/columns", vmap(softmax, 1, 1), given(X(33, 20))),
    Case("vmap/loop", vmap(counted), given(X(20, 7), N(20, low=0, high=9))),
    Case("vmap/while",
         vmap(lambda x: lax.while_loop(lambda x: x < 10, lambda x: x * 1.5 + 0.1, x)),
         given(X(100, low=0.1, high=9))),
    Case("vmap/grad", vmap(grad(lambda x: (tnp.sin(x) * x).sum())), given(X(30, 20))),
    Case("hessian_vector", lambda x, v: jvp(grad(rosenbrock), (x,), (v,)),
         given(X(50, dtype=F64), X(50, dtype=F64)), tolerance=10),
]  # fmt: skip
