"""Products of vectors and matrices: in our own loops, and by a library."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import grad, lax, vmap
from tracejit.testing.conformance.case import Case, floats, given, integers

__all__ = ["CASES"]


def both_ways(a: Any, x: Any, y: Any) -> Any:
    return a @ x, y @ a, x @ x, tnp.outer(x, y)[:3, :5]


def chained(a: Any, b: Any, bias: Any) -> Any:
    """A layer of a network: the product is a library's, the rest is fused."""
    return tnp.tanh(a @ b + bias) * 2


def transposed(a: Any, b: Any) -> Any:
    return a.T @ b, a @ b.T, (a.T @ b).T + 1


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = tnp.einsum("hqd,hkd->hqk", q, k) / np.sqrt(np.float32(q.shape[-1]))
    weights = tnp.exp(scores - scores.max(-1, keepdims=True))
    return tnp.einsum("hqk,hkd->hqd", weights / weights.sum(-1, keepdims=True), v)


def small_systems(a: Any, x: Any) -> Any:
    """Return products of many small matrices."""
    return a @ x, a @ a, vmap(tnp.trace)(a)


def contractions(a: Any, b: Any) -> Any:
    return tnp.einsum("ijk,kl->ijl", a, b), tnp.tensordot(a, b, 1), tnp.einsum("ijk->kj", a)


def pairwise(x: Any, y: Any) -> Any:
    """Return distances of all pairs of points."""
    return tnp.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))


def rotations(angle: Any, points: Any) -> Any:
    c, s = tnp.cos(angle), tnp.sin(angle)
    matrix = tnp.stack([tnp.stack([c, -s], -1), tnp.stack([s, c], -1)], -2)
    return tnp.einsum("nij,nj->ni", matrix, points)


def spectra(a: Any) -> Any:
    """Return what of eigenvalues and singular values does not hang on signs; and a gradient."""
    w, v = tnp.linalg.eigh(a)
    u, s, vh = tnp.linalg.svd(a[..., :4])
    slope = grad(lambda a: tnp.linalg.norm(a, "nuc", axis=(1, 2)).sum())(a)
    rest = u[..., 4:] @ u[..., 4:].mT
    return w, (v * w[:, None]) @ v.mT, (u[..., :4] * s[:, None]) @ vh, rest, slope


F64 = np.float64
X = floats

CASES = [
    Case("vectors", both_ways, given(X(30, 40), X(40), X(30)), tolerance=4),
    *(
        Case(f"vectors/{n}x{m}", lambda a, x: a @ x, given(X(n, m, low=0), X(m, low=0)))
        for n, m in ((300, 7), (5, 3000), (200, 200))
    ),
    Case("dot/float64", lambda x, y: x @ y, given(X(999, dtype=F64), X(999, dtype=F64))),
    Case(
        "matmul/small", lambda a, b: a @ b, given(X(5, 7, dtype=F64), X(7, 3, dtype=F64))
    ),
    *(
        Case(f"matmul/{n}", lambda a, b: a @ b, given(X(n, n, low=0), X(n, n, low=0)))
        for n in (2, 33, 100)
    ),
    Case("matmul/transposed", transposed, given(X(50, 50, dtype=F64), X(50, 50, dtype=F64))),
    Case("layer", chained, given(X(64, 80, low=-0.1, high=0.1), X(80, 48), X(48)), tolerance=4),
    Case("integers", lambda a, b: a @ b, given(integers(20, 30), integers(30, 10))),
    Case("attention", attention, given(X(3, 20, 8), X(3, 24, 8), X(3, 24, 8)), tolerance=4),
    Case("batched/small", small_systems, given(X(50, 4, 4, dtype=F64), X(50, 4, 1, dtype=F64))),
    Case("batched/3x3", lambda a, b: a @ b, given(X(300, 3, 3), X(300, 3, 3)), tolerance=4),
    Case("batched/large", lambda a, b: a @ b, given(X(3, 40, 50, low=0), X(3, 50, 30, low=0))),
    Case("contractions", contractions, given(X(6, 7, 8, dtype=F64), X(8, 9, dtype=F64))),
    Case("pairwise", pairwise, given(X(60, 3), X(70, 3))),
    Case("rotations", rotations, given(X(100), X(100, 2))),
    Case(
        "vmap/matvec",
        lambda a, x: vmap(lambda m, v: m @ v + v)(a, x),
        given(X(20, 9, 9), X(20, 9)),
        tolerance=4,
    ),
    Case("gram", lambda a: a.T @ a + tnp.eye(a.shape[1], dtype=a.dtype), given(X(90, 40, low=0))),
    Case("spectra", spectra, given(X(3, 6, 6, dtype=F64)), tolerance=100),
    Case("batch_matmul", lax.batch_matmul, given(X(4, 5, 6), X(4, 6, 7)), tolerance=4),
    Case(
        "convolve",
        lambda x, w: (tnp.convolve(x, w), tnp.correlate(x, w, "same")),
        given(X(200), X(7)),
        tolerance=4,
    ),
]
