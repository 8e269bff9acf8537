"""SciPy's linear algebra: its results, derivatives, lanes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError, TracejitError
from tracejit.scipy import linalg
from tracejit.test_util import check_grads

RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 4))
Z = A + 1j * RNG.normal(size=(4, 4))
S = A @ A.T + np.eye(4)
H = Z @ Z.conj().T + np.eye(4)
TALL = RNG.normal(size=(5, 3))
B, V = RNG.normal(size=(4, 2)), RNG.normal(size=4)
BANDS = RNG.normal(size=(4, 6)) + 3
LOWER = np.tril(A) + 3 * np.eye(4)

# What a function returns is unique.
SAME: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *[("block_diag", x, {}) for x in [(A, TALL, 2.0), (V,), (np.zeros((0, 2)), A), ()]],
    ("cho_solve", ((np.linalg.cholesky(S), True), B), {}),
    ("cho_solve", ((np.linalg.cholesky(H).conj().T, False), V), {}),
    ("cholesky", (S,), {}), ("cholesky", (H,), {"lower": True}),
    ("circulant", (V,), {}), ("companion", (V,), {}),
    *[("convolution_matrix", (V, n, mode), {}) for n in (1, 2, 4, 7)
      for mode in ("full", "same", "valid")],
    ("det", (A,), {}), ("dft", (4,), {"scale": "n"}), ("eigvalsh", (S,), {}),
    ("eigvalsh", (S, S + np.eye(4)), {}), ("eigvalsh", (H,), {"subset_by_index": (1, 2)}),
    ("eigh_tridiagonal", (V, V[1:]), {"eigvals_only": True}),
    *[("expm", (x,), {}) for x in (A, 20 * A, 1e-9 * A, Z, np.zeros((3, 3)), np.stack([A, 9 * A]),
                                   A.astype("float32"), np.zeros((0, 0)))],
    ("expm_frechet", (A, S), {}), ("fiedler", (V,), {}), ("hadamard", (4,), {}),
    ("hankel", (V,), {}), ("hankel", (V, RNG.normal(size=3)), {}), ("helmert", (4,), {}),
    ("hilbert", (3,), {}), ("inv", (Z,), {}), ("invhilbert", (3,), {}), ("invpascal", (4,), {}),
    ("khatri_rao", (TALL, TALL[:2]), {}), ("leslie", (V, V[1:]), {}),
    ("lu", (A,), {}), ("lu", (TALL,), {"permute_l": True}), ("lu", (TALL.T,), {}),
    ("lu", (np.stack([A, Z.real.T]),), {"p_indices": True}),
    ("lu_factor", (A,), {}), ("norm", (A, 1), {}), ("pascal", (4,), {}),
    ("pinv", (TALL,), {}), ("pinv", (S,), {"atol": 1.0, "return_rank": True}),
    ("polar", (A,), {}), ("polar", (TALL.T,), {"side": "left"}), ("polar", (Z,), {}),
    ("solve", (A, B), {}), ("solve", (S, V), {"assume_a": "pos"}),
    ("solve", (np.triu(H), B), {"assume_a": "her"}),
    ("solve", (np.tril(Z), B), {"assume_a": "sym", "lower": True}),
    ("solve", (A, B), {"transposed": True}),
    *[("solve_triangular", (x, b, trans), {"lower": low, "unit_diagonal": unit})
      for x in (LOWER, LOWER + 1j * np.tril(A)) for b in (B, V) for trans in (0, "T", 2)
      for low, unit in ((True, False), (False, True))],
    *[("solve_banded", ((low, 3 - low), BANDS, b), {}) for low in range(4)
      for b in (RNG.normal(size=6), RNG.normal(size=(6, 2)))],
    ("solve_banded", ((1, 1), BANDS[:3], RNG.normal(size=6)), {}),
    ("solve_banded", ((1, 0), BANDS[:2] * 1j, RNG.normal(size=6)), {}),
    ("solveh_banded", (BANDS[:3] + [[0], [0], [9]], RNG.normal(size=6)), {}),
    ("solveh_banded", (BANDS[:2] + [[9], [0]], RNG.normal(size=(6, 2))), {"lower": True}),
    ("solve_sylvester", (A, TALL.T @ TALL, RNG.normal(size=(4, 3))), {}),
    ("solve_sylvester", (Z, 1j * A, Z), {}),
    ("solve_toeplitz", (np.array([4.0, 1, 2]), np.ones(3)), {}),
    ("solve_toeplitz", ((np.array([4.0, 1, 2]), np.array([4.0, -1, 1j])), np.ones((3, 2))), {}),
    ("sqrtm", (S,), {}), ("sqrtm", (Z,), {}), ("svdvals", (TALL,), {}),
    ("toeplitz", (V,), {}), ("toeplitz", (V, TALL[:, 0]), {}), ("toeplitz", (1j * V,), {}),
]  # fmt: skip


def leaves(out: Any) -> list[Any]:
    return list(out) if isinstance(out, tuple) else [out]


@pytest.mark.parametrize(("name", "args", "how"), SAME)
def test_scipy_agrees(name: str, args: Any, how: Any) -> None:
    wanted = leaves(getattr(scipy.linalg, name)(*args, **how))
    found = leaves(getattr(linalg, name)(*args, **how))
    for out, want in zip(found, wanted, strict=True):
        assert np.shape(out) == np.shape(want)
        single = np.asarray(out).dtype == np.float32
        np.testing.assert_allclose(out, want, rtol=1e-4 if single else 1e-9, atol=1e-9)


def test_lu_solve() -> None:
    for trans, x in ((0, A), (1, A.T), (2, Z.conj().T)):
        matrix = Z if trans == 2 else A
        f = tj.jit(lambda a, b, trans=trans: linalg.lu_solve(linalg.lu_factor(a), b, trans))
        for b in (B, V):
            np.testing.assert_allclose(f(matrix, b), np.linalg.solve(x, b), rtol=1e-10)


def test_lu_solve_of_stacks() -> None:
    matrices = np.stack([A, A.T[::-1], A + 1])
    for trans in (0, 1, 2):
        f = lambda a, b, trans=trans: linalg.lu_solve(linalg.lu_factor(a), b, trans)
        want = np.stack([np.linalg.solve(a.T if trans else a, B) for a in matrices])
        np.testing.assert_allclose(f(matrices, B), want, rtol=1e-9)
        np.testing.assert_allclose(tj.vmap(f, (0, None))(matrices, B), want, rtol=1e-9)
        np.testing.assert_allclose(f(matrices, V)[1], f(matrices[1], V), rtol=1e-12)
        check_grads(f, (matrices, np.stack([B] * 3)), order=1)


def test_cholesky_round_trip() -> None:
    for lower in (True, False):
        f = lambda a, b, lower=lower: linalg.cho_solve(linalg.cho_factor(a, lower), b)
        np.testing.assert_allclose(tj.jit(f)(H, B), np.linalg.solve(H, B), rtol=1e-10)
        check_grads(f, (S, B), order=2)


def test_generalised_eigenvectors() -> None:
    w, v = linalg.eigh(H, S)
    v = np.asarray(v)
    np.testing.assert_allclose(H @ v, S @ v * np.asarray(w), atol=1e-10)
    np.testing.assert_allclose(v.conj().T @ S @ v, np.eye(4), atol=1e-10)


def test_factors_multiply_to_the_matrix() -> None:
    q, r = linalg.qr(TALL)
    np.testing.assert_allclose(np.asarray(q) @ np.asarray(r), TALL, atol=1e-12)
    (r,) = linalg.qr(TALL, mode="r")
    assert r.shape == (5, 3)
    for output in ("real", "complex"):
        t, z = tj.jit(lambda a, output=output: linalg.schur(a, output))(A)
        t, z = np.asarray(t), np.asarray(z)
        np.testing.assert_allclose(z @ t @ z.conj().T, A, atol=1e-11)
    t, z = linalg.rsf2csf(*linalg.schur(A))
    np.testing.assert_allclose(np.tril(t, -1), 0, atol=1e-12)
    h, q = linalg.hessenberg(A, calc_q=True)
    np.testing.assert_allclose(np.asarray(q) @ np.asarray(h) @ np.asarray(q).T, A, atol=1e-11)
    w, left, right = linalg.eig(A, left=True)
    left, w = np.asarray(left), np.asarray(w)
    np.testing.assert_allclose(left.conj().T @ A, w[:, None] * left.conj().T, atol=1e-10)
    assert right.shape == (4, 4)


def tridiagonal(dl: Any, d: Any, du: Any) -> Any:
    return np.diag(d) + np.diag(dl[1:], -1) + np.diag(du[:-1], 1)


@pytest.mark.parametrize("n", [1, 2, 3, 50])
@pytest.mark.parametrize("dtype", [float, complex])
def test_tridiagonal_systems(n: int, dtype: Any) -> None:
    rng = np.random.default_rng(n)
    dl, d, du = rng.normal(size=(3, n)).astype(dtype)
    d[rng.random(n) < 0.5] *= 1e-14  # so that rows are exchanged
    d += (n < 3) * 3
    b = rng.normal(size=(n, 2)).astype(dtype)
    x = tj.jit(linalg.tridiagonal_solve)(dl, d, du, b)
    want = np.linalg.solve(tridiagonal(dl, d, du), b)
    np.testing.assert_allclose(x, want, rtol=1e-6, atol=1e-6 * abs(want).max())


def test_tridiagonal_systems_have_the_name_that_jax_gives_them() -> None:
    assert tj.lax.linalg.tridiagonal_solve is linalg.tridiagonal_solve


def test_tridiagonal_derivatives_and_lanes() -> None:
    dl, d, du = RNG.normal(size=(3, 5))
    b = RNG.normal(size=(5, 2))
    check_grads(linalg.tridiagonal_solve, (dl, d + 4, du, b), order=2)
    stack = [np.stack([v, v + 0.1]) for v in (dl, d + 4, du, b)]
    for out in (linalg.tridiagonal_solve(*stack), tj.vmap(linalg.tridiagonal_solve)(*stack)):
        for n in range(2):
            want = np.linalg.solve(tridiagonal(*(v[n] for v in stack[:3])), stack[3][n])
            np.testing.assert_allclose(out[n], want, rtol=1e-10)


SMALL = 0.3 * A
DERIVATIVES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "expm": (linalg.expm, (A,)),
    "expm, squared": (lambda a: tnp.sum(linalg.expm(6 * a)), (SMALL,)),
    "sqrtm": (linalg.sqrtm, (S,)),
    "solve_sylvester": (linalg.solve_sylvester, (A, S, Z)),
    "solve_banded": (lambda ab, b: linalg.solve_banded((2, 1), ab, b), (BANDS + 4, np.ones(6))),
    "solve_triangular": (lambda a, b: linalg.solve_triangular(a, b, lower=True), (LOWER, B)),
    "lu": (linalg.lu, (A,)),
    "polar": (linalg.polar, (A,)),
    "eigh": (lambda a, b: linalg.eigvalsh(a, b), (S, H)),
    "toeplitz": (lambda c, r: linalg.toeplitz(c, r), (V, V)),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_and_lanes(name: str) -> None:
    f, args = DERIVATIVES[name]
    check_grads(f, args, order=2, rtol=1e-5, atol=1e-5)
    lanes = tj.jit(tj.vmap(f))(*(np.stack([x, 1.25 * x]) for x in args))
    for out, one, two in zip(
        tj.tree.leaves(lanes), tj.tree.leaves(f(*args)),
        tj.tree.leaves(f(*(1.25 * x for x in args))), strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(out[0], one, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(out[1], two, rtol=1e-9, atol=1e-11)


def test_exponentials_run_in_compiled_loops() -> None:
    def run(a: Any) -> Any:
        return tj.lax.fori_loop(0, 3, lambda i, x: linalg.expm(0.1 * x), a)

    want = A
    for _ in range(3):
        want = scipy.linalg.expm(0.1 * want)
    np.testing.assert_allclose(tj.jit(run)(A), want, rtol=1e-12)
    assert np.isnan(linalg.expm(A * 1e6)).all()


def test_what_cannot_be_solved_is_nan() -> None:
    assert np.isnan(linalg.solve_banded((2, 1), np.zeros((4, 6)), np.ones(6))).all()
    assert np.isnan(linalg.sqrtm(np.full((2, 2), np.inf))).all()
    assert not np.isfinite(linalg.tridiagonal_solve(*np.zeros((3, 4)), np.ones((4, 1)))).any()


def test_refused() -> None:
    for f, error, match in [
        (lambda: linalg.expm(TALL), ShapeError, "square"),
        (lambda: linalg.schur(A, "both"), TracejitError, "real or complex"),
        (lambda: linalg.qr(A, pivoting=True), TracejitError, "pivoting"),
        (lambda: linalg.solve(A, TALL), ShapeError, "4 rows"),
        (lambda: linalg.solve(A, B, assume_a="low"), TracejitError, "assume_a"),
        (lambda: linalg.solve_banded((1, 1), BANDS, V), ShapeError, "diagonals"),
        (lambda: linalg.tridiagonal_solve(V, V, V, V), ShapeError, "diagonals"),
        (lambda: linalg.eigh(S, type=2), TracejitError, "type 1"),
        (lambda: linalg.eig(S, S), TracejitError, "eigh only"),
        (lambda: linalg.eigh_tridiagonal(V, V[1:], select="v"), TracejitError, "select"),
        (lambda: linalg.lu_solve(linalg.lu_factor(A), B, 3), TracejitError, "trans"),
        (lambda: linalg.circulant(A), ShapeError, "a vector"),
    ]:
        with pytest.raises(error, match=match):
            f()
