"""Iterative solvers: solutions, derivatives, lanes, pytrees, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import DTypeError, ShapeError, StructureError, TracejitError
from tracejit.scipy.sparse.linalg import bicgstab, cg, gmres
from tracejit.test_util import check_grads

RNG = np.random.default_rng(0)
N = 30
A = RNG.normal(size=(N, N))
SPD = A @ A.T + N * np.eye(N)
HERMITIAN = SPD + 1j * (A - A.T)
GENERAL = A + 12 * np.eye(N)
COMPLEX = GENERAL + 1j * RNG.normal(size=(N, N))
B = RNG.normal(size=N)

CASES = [
    *[(cg, m) for m in (SPD, HERMITIAN)],
    *[(f, m) for f in (bicgstab, gmres) for m in (SPD, GENERAL, COMPLEX)],
]


def close(x: Any, y: Any) -> None:
    np.testing.assert_allclose(np.asarray(x), y, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("solver", "matrix"), CASES)
def test_solutions(solver: Any, matrix: Any) -> None:
    b = B.astype(matrix.dtype)
    want = np.linalg.solve(matrix, b)
    f = tj.jit(lambda m, b: solver(m, b, tol=1e-13)[0])
    close(f(matrix, b), want)
    close(solver(lambda x: matrix @ x, b, x0=want + 0.01, tol=1e-13)[0], want)
    close(solver(matrix, b, tol=1e-13, M=lambda x: x / 30)[0], want)
    close(tj.vmap(lambda b: f(matrix, b))(np.stack([b, 3 * b]))[1], 3 * want)
    small = matrix[:5, :5]
    check_grads(lambda m, b: solver(m, b, tol=1e-14)[0] if solver is not cg
                else cg(lambda x: m @ x + tnp.conj(m.T) @ x, b, tol=1e-14)[0],
                (small, b[:5]), order=2 if solver is gmres else 1)  # fmt: skip


def test_restarts() -> None:
    for restart in (1, 5, 100):
        close(gmres(GENERAL, B, tol=1e-13, restart=restart, maxiter=2000)[0],
              np.linalg.solve(GENERAL, B))  # fmt: skip


def test_pytrees() -> None:
    b = {"a": np.ones((2, 3)), "b": [np.arange(4.0)]}
    x, _ = cg(lambda t: tj.tree.map(lambda v: 2.0 * v, t), b)
    close(x["a"], b["a"] / 2)
    close(x["b"][0], b["b"][0] / 2)


def test_what_is_solved_at_once() -> None:
    for solver in (cg, bicgstab, gmres):
        close(solver(np.eye(3), np.zeros(3))[0], 0)
        close(solver(np.eye(3), np.ones(3))[0], 1)


def test_iterations_end() -> None:
    one = cg(SPD, B, maxiter=1)[0]
    assert np.linalg.norm(SPD @ one - B) > 1e-5


def test_refused() -> None:
    for f, error, match in [
        (lambda: cg(A[:3], B), ShapeError, "square matrix"),
        (lambda: cg(np.eye(3), np.arange(3)), DTypeError, "inexact"),
        (lambda: cg(np.eye(3), B[:3], x0=B[:2]), ShapeError, "x0 of the shapes"),
        (lambda: cg(np.eye(3), B[:3], x0=[B[:3]]), StructureError, "structure of b"),
        (lambda: gmres(A, B, solve_method="other"), TracejitError, "batched or incremental"),
    ]:
        with pytest.raises(error, match=match):
            f()
