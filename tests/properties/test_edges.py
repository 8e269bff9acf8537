"""Edges under every transformation: nothing used, nothing there, rank 0, closures, aliases.

Each case is a scalar function; the routes to its value, its gradient and its batch must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit import checkpoint, grad, jacfwd, jacrev, jit, jvp, lax, linearize, vjp, vmap
from tracejit.dtypes import float0

C = np.arange(3.0) + 1
X = np.array([0.3, -0.7, 1.2])
NONE = np.zeros(0)
NARROW = np.array([0.5, 0.25], np.float32)

CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "unused input": (lambda x, y: tnp.sin(x).sum(), (X, X)),
    "constant": (lambda x: 3.0, (X,)),
    "constant array": (lambda x: tnp.sum(C), (X,)),
    "closure": (lambda x: (C * x).sum(), (X,)),
    "integer closure": (lambda x: (np.arange(3) * x).sum(), (X,)),
    "outer tracer in jit": (lambda x, y: jit(lambda x: (tnp.sin(x) * y).sum())(x), (X, X)),
    "outer tracer in checkpoint": (lambda x, y: checkpoint(lambda x: (x * y).sum())(x), (X, X)),
    "outer tracer in cond": (
        lambda x, y: lax.cond(x[0] > 0, lambda: (x * y).sum(), lambda: y.sum()),
        (X, X),
    ),
    "outer tracer in scan": (
        lambda x, y: lax.scan(lambda c, _: (c * tnp.sin(y), None), x, None, length=3)[0].sum(),
        (X, X),
    ),
    "outer tracer in while": (
        lambda x, y: lax.while_loop(
            lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * tnp.sin(y)), (0, x)
        )[1].sum(),
        (X, X),
    ),
    "jit with unused and passed on": (
        lambda x, y: jit(lambda x, y: (y, x.sum(), x, x))(x, y)[1],
        (X, X),
    ),
    "one value twice": (lambda x: (lambda a, b: (a * b).sum())(*[tnp.sin(x)] * 2), (X,)),
    "donated": (lambda x: jit(lambda x: (x * x).sum(), donate_argnums=0)(x * 1.0), (X,)),
    "identity": (lambda x: x, (0.5,)),
    "rank 0": (lambda x: tnp.sin(x) * x, (np.array(0.5),)),
    "weak": (lambda x: x * 2.0 + 1, (np.float32(0.5),)),
    "two dtypes": (lambda x, y: (x * y).sum(), (NARROW, X[:2])),
    "conversion": (lambda x: tnp.asarray(x).astype("float64").sum(), (NARROW,)),
    "integer input": (lambda i, x: (tnp.asarray(x)[i] * i).sum(), (np.arange(3), X)),
    "bool input": (lambda b, x: tnp.where(b, x, 0.0).sum(), (X > 0, X)),
    "no derivative": (lambda x: tnp.floor(x).sum() + (x > 0).astype(float).sum(), (X,)),
    "stopped": (lambda x: (lax.stop_gradient(x) * x).sum(), (X,)),
    "empty": (lambda x: tnp.sin(x).sum(), (NONE,)),
    "empty, 3 by 0": (lambda x: (tnp.sin(x) @ tnp.ones((0, 2))).sum(), (np.zeros((3, 0)),)),
    "empty product": (lambda x: tnp.prod(x), (NONE,)),
    "empty dot": (tnp.dot, (NONE, NONE)),
    "empty sort": (lambda x: tnp.sort(x).sum(), (NONE,)),
    "empty cumulative": (lambda x: (tnp.cumsum(x) + tnp.cumprod(x)).sum(), (NONE,)),
    "empty maximum": (lambda x: tnp.max(x, axis=0).sum(), (np.zeros((3, 0)),)),
    "empty index": (lambda x: tnp.asarray(x)[np.zeros(0, int)].sum() + x[1:1].sum(), (X,)),
    "empty update": (lambda x: tnp.asarray(x).at[np.zeros(0, int)].add(2.0).sum(), (X,)),
    "empty join": (lambda x, y: (tnp.concatenate([x, y]) ** 2).sum(), (NONE, X)),
    "empty padding": (lambda x: (tnp.pad(x, 2) + tnp.roll(tnp.pad(x, 2), 1)).sum(), (NONE,)),
    "empty scan": (
        lambda xs, c: lax.scan(lambda c, x: (c * x, c), c, xs)[0].sum(),
        (np.zeros((0, 3)), X),
    ),
    "empty carry": (
        lambda xs, c: lax.scan(lambda c, x: (c * x, x), c, xs)[1].sum(),
        (np.ones(4), NONE),
    ),
    "empty branches": (lambda x: lax.cond(True, tnp.sin, tnp.cos, x).sum(), (NONE,)),
    "empty loop": (lambda x: lax.fori_loop(0, 3, lambda i, x: tnp.sin(x), x).sum(), (NONE,)),
}


def ones(x: Any) -> Any:
    x = np.asarray(x)
    return np.ones_like(x) if x.dtype.kind == "f" else np.zeros(x.shape, float0)


def close(got: Any, wanted: Any) -> None:
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    if wanted.dtype != float0:
        rtol = 1e-5 if wanted.dtype == np.float32 else 1e-11
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=1e-13)


def all_close(got: Any, wanted: Any) -> None:
    for g, w in zip(got, wanted, strict=True):
        close(g, w)


@pytest.mark.parametrize("name", CASES)
def test_routes_agree(name: str) -> None:
    f, args = CASES[name]
    real = tuple(n for n, x in enumerate(args) if np.asarray(x).dtype.kind == "f")
    every = tuple(range(len(args)))
    close(jit(f)(*args), f(*args))

    g = grad(f, every, allow_int=True)(*args)
    for x, ct in zip(args, g, strict=True):
        kind = np.asarray(x).dtype
        close(ct, np.asarray(ct).astype(kind) if kind.kind == "f" else np.zeros(x.shape, float0))
    wanted = [g[n] for n in real]
    for how in (grad(jit(f), real), jit(grad(f, real)), jacrev(f, real), grad(checkpoint(f), real)):
        all_close(how(*args), wanted)
    out, pullback = vjp(f, *args)
    all_close(pullback(np.asarray(out).dtype.type(1)), g)
    for column, ct in zip(jacfwd(f, real)(*args), wanted, strict=True):
        np.testing.assert_allclose(column, ct, rtol=1e-5, atol=1e-13)

    # The derivative along ones is the sum of the gradient, and what small steps say.
    tangents = tuple(map(ones, args))
    out, slope = jvp(f, args, tangents)
    close(out, f(*args))
    close(jit(lambda *args: jvp(f, args, tangents)[1])(*args), slope)
    close(linearize(f, *args)[1](*tangents), slope)
    np.testing.assert_allclose(slope, sum(np.sum(np.asarray(ct)) for ct in wanted), rtol=1e-5)
    if name != "stopped" and all(np.asarray(args[n]).dtype == np.float64 for n in real):
        ahead, behind = (
            f(*(x + h if n in real else x for n, x in enumerate(args))) for h in (1e-6, -1e-6)
        )
        step = (np.asarray(ahead) - np.asarray(behind)) / 2e-6
        np.testing.assert_allclose(slope, step, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_batches_agree_with_samples(name: str) -> None:
    f, args = CASES[name]
    real = tuple(n for n, x in enumerate(args) if np.asarray(x).dtype.kind == "f")
    two = [np.stack([np.asarray(x)] * 2) for x in args]
    value, g = f(*args), grad(f, real)(*args)
    for batched in (vmap(f), jit(vmap(f)), vmap(jit(f))):
        close(batched(*two), np.stack([np.asarray(value)] * 2))
    wanted = [np.stack([np.asarray(x)] * 2) for x in g]
    all_close(vmap(grad(f, real))(*two), wanted)
    all_close(jit(vmap(grad(f, real)))(*two), wanted)
    all_close(grad(lambda *args: vmap(f)(*args).sum(), real)(*two), wanted)
    nothing = [x[:0] for x in two]
    assert vmap(f)(*nothing).shape == (0,)
    all_close(vmap(grad(f, real))(*nothing), [x[:0] for x in wanted])


def test_aliases_are_values() -> None:
    x = tnp.asarray(X)
    for f in (jit(lambda x: (x, x, x + 0)), vmap(lambda x: (x, x, x + 0)), lambda x: vjp(
        lambda x: (x, x, x + 0), x)[0]):  # fmt: skip
        all_close(f(x), [X] * 3)
    all_close(vjp(lambda x: (x, x, 3), x)[1]((X, X, np.zeros((), float0))), [2 * X])
    all_close(jvp(lambda x: (x, x), (x,), (X,))[1], [X, X])
