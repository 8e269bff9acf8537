"""Factorizations, pseudo-inverses and least squares against NumPy; derivatives; lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError, TracejitError
from tracejit.test_util import check_grads

RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 4))
Z = A + 1j * RNG.normal(size=(4, 4))
S = A @ A.T + np.eye(4)
H = Z @ Z.conj().T + np.eye(4)
TALL, WIDE = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 5))
LOW = TALL @ WIDE  # of rank 3
NOTHING = np.zeros((0, 0))

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("cholesky", (S,), {}), ("cholesky", (H,), {}), ("cholesky", (S,), {"upper": True}),
    ("cholesky", (np.stack([S, 2 * S]),), {}), ("cholesky", (NOTHING,), {}),
    ("cholesky", (S.astype("float32"),), {}),
    ("pinv", (TALL,), {}), ("pinv", (WIDE,), {}), ("pinv", (LOW,), {"rcond": 1e-10}),
    ("pinv", (Z,), {}), ("pinv", (np.zeros((2, 3)),), {}), ("pinv", (np.zeros((0, 3)),), {}),
    ("pinv", (np.stack([LOW, np.eye(5)]),), {"rtol": [1e-9, 1e-3]}),
    ("pinv", (np.arange(6).reshape(2, 3),), {}),
    ("matrix_rank", (LOW,), {}), ("matrix_rank", (np.stack([LOW, np.eye(5)]),), {}),
    ("matrix_rank", (LOW,), {"tol": 2.0}), ("matrix_rank", (S,), {"hermitian": True}),
    ("matrix_rank", (np.ones(3),), {}), ("matrix_rank", (np.zeros((2, 2)),), {}),
    *[("cond", (x, p), {}) for x in (A, np.stack([S, A])) for p in (None, 2, -2, 1, np.inf, "fro")],
    ("cond", (TALL,), {}), ("cond", (np.zeros((2, 2)),), {}),
    ("tensorinv", (RNG.normal(size=(4, 6, 8, 3)), 2), {}),
    ("tensorinv", (RNG.normal(size=(24, 8, 3)), 1), {}),
    ("tensorsolve", (RNG.normal(size=(2, 3, 6)), RNG.normal(size=(2, 3))), {}),
    ("tensorsolve", (RNG.normal(size=(2, 6, 3)), RNG.normal(size=(2, 3)), (1,)), {}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("name", "args", "how"), CASES)
def test_numpy_agrees(name: str, args: Any, how: Any) -> None:
    wanted = getattr(np.linalg, name)(*args, **how)
    f = getattr(tnp.linalg, name)
    static = tuple(range(1, len(args))) if name != "tensorsolve" else (2,) * (len(args) > 2)
    for out in (f(*args, **how), tj.jit(lambda *a: f(*a, *args[len(a):], **how))(
        *(x for n, x in enumerate(args) if n not in static)
    )):  # fmt: skip
        assert np.shape(out) == np.shape(wanted)
        assert out.dtype == np.asarray(wanted).dtype
        single = out.dtype == np.float32
        np.testing.assert_allclose(out, wanted, rtol=1e-4 if single else 1e-9, atol=1e-11)


@pytest.mark.parametrize("a", [TALL, WIDE, A, Z, np.stack([TALL, 2 * TALL]), NOTHING])
@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
def test_qr(a: Any, mode: str) -> None:
    out, wanted = tnp.linalg.qr(a, mode), np.linalg.qr(a, mode)
    if mode == "r":
        np.testing.assert_allclose(abs(out), abs(wanted), atol=1e-12)
        return
    assert out.Q.shape == wanted.Q.shape
    np.testing.assert_allclose(np.asarray(out.Q) @ np.asarray(out.R), a, atol=1e-12)
    eye = np.eye(out.Q.shape[-1])
    q = np.asarray(out.Q)
    np.testing.assert_allclose(q.conj().swapaxes(-1, -2) @ q, eye + np.zeros_like(q[..., :1, :1]),
                               atol=1e-12)  # fmt: skip


@pytest.mark.parametrize("a", [A, Z, np.stack([A, S])])
def test_eig(a: Any) -> None:
    w, v = tnp.linalg.eig(a)
    v, w = np.asarray(v), np.asarray(w)
    np.testing.assert_allclose(a @ v, v * w[..., None, :], atol=1e-11)
    wanted = np.sort_complex(np.linalg.eigvals(a).astype(complex))
    np.testing.assert_allclose(np.sort_complex(tnp.linalg.eigvals(a)), wanted, rtol=1e-10)


@pytest.mark.parametrize("b", [RNG.normal(size=5), RNG.normal(size=(5, 2))])
@pytest.mark.parametrize("a", [TALL, LOW, np.eye(5)])
def test_least_squares(a: Any, b: Any) -> None:
    x, resid, rank, s = tj.jit(lambda a, b: tnp.linalg.lstsq(a, b, 1e-10))(a, b)
    wanted = np.linalg.lstsq(a, b, 1e-10)
    np.testing.assert_allclose(x, wanted[0], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(resid, (abs(b - a @ wanted[0]) ** 2).sum(0), atol=1e-11)
    assert rank == wanted[2]
    np.testing.assert_allclose(s, wanted[3], atol=1e-11)


DERIVATIVES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "cholesky": (tnp.linalg.cholesky, (S,)),
    "cholesky, complex": (tnp.linalg.cholesky, (H,)),
    "qr": (tnp.linalg.qr, (TALL,)),
    "pinv": (tnp.linalg.pinv, (TALL,)),
    "pinv, wide and complex": (tnp.linalg.pinv, (Z[:2],)),
    "lstsq": (lambda a, b: tnp.linalg.lstsq(a, b)[:2], (TALL, RNG.normal(size=5))),
    "eigvals": (lambda a: tnp.sum(tnp.linalg.eigvals(a) ** 3), (A,)),
    "eig": (lambda a: tnp.abs(tnp.linalg.eig(a).eigenvectors), (Z,)),
    "cond": (tnp.linalg.cond, (A,)),
    "tensorsolve": (tnp.linalg.tensorsolve, (RNG.normal(size=(2, 3, 6)), np.ones((2, 3)))),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives(name: str) -> None:
    f, args = DERIVATIVES[name]
    check_grads(f, args, order=2)
    lanes = tj.vmap(f)(*(np.stack([x, 1.5 * x]) for x in args))
    for out, wanted in zip(tj.tree.leaves(lanes), tj.tree.leaves(f(*args)), strict=True):
        np.testing.assert_allclose(out[0], wanted, atol=1e-11)


def test_the_derivative_of_a_pseudo_inverse_is_that_at_constant_rank() -> None:
    t = TALL @ RNG.normal(size=(3, 5)) + RNG.normal(size=(5, 3)) @ WIDE  # along the same rank
    step = 1e-6
    f = lambda s: tnp.linalg.pinv((TALL + s * t[:, :3]) @ WIDE, rcond=1e-9)
    _, slope = tj.jvp(f, (0.0,), (1.0,))
    np.testing.assert_allclose(slope, (f(step) - f(-step)) / (2 * step), rtol=1e-4, atol=1e-6)


def test_what_has_no_factors_is_nan() -> None:
    assert np.isnan(tnp.linalg.cholesky(-np.eye(2))).all()
    assert np.isnan(tj.jit(tnp.linalg.eigvals)(np.full((2, 2), np.nan))).all()


def test_refused() -> None:
    with pytest.raises(ShapeError, match="square"):
        tnp.linalg.cholesky(TALL)
    with pytest.raises(TracejitError, match="reduced, complete or r"):
        tnp.linalg.qr(A, "raw")
    with pytest.raises(TracejitError, match="either rcond or rtol"):
        tnp.linalg.pinv(A, 1e-3, rtol=1e-3)
    with pytest.raises(ShapeError, match="right-hand sides"):
        tnp.linalg.lstsq(TALL, np.ones(4))
    with pytest.raises(TracejitError, match="numpy_resid"):
        tnp.linalg.lstsq(TALL, np.ones(5), numpy_resid=True)
    with pytest.raises(ShapeError, match="products of the first 1 lengths"):
        tnp.linalg.tensorinv(TALL, 1)
