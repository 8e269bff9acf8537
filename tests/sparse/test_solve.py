"""Direct solutions: against dense ones, differentiated, in lanes, with one factorization."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.scipy.sparse import linalg
from tracejit.sparse import COO, CSR, solve, splu, spsolve
from tracejit.test_util import check_grads
from tracejit.tools.explain import explain

rng = np.random.default_rng(5)


def matrix(dtype: str = "f8", n: int = 6) -> tuple[CSR, Any]:
    dense = (rng.random((n, n)) < 0.3) * rng.normal(size=(n, n)) + 3 * np.eye(n)
    if np.dtype(dtype).kind == "c":
        dense = dense * (1 + 0.5j * rng.random((n, n)))
    dense = dense.astype(dtype)
    return CSR.fromdense(dense), dense


def right(shape: tuple[int, ...], dtype: str = "f8") -> Any:
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape)).astype(dtype) if "c" in dtype else x.astype(dtype)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("other", ["f4", "f8", "c16"])
@pytest.mark.parametrize("shape", [(6,), (6, 3)])
def test_solutions(dtype: str, other: str, shape: tuple[int, ...]) -> None:
    a, dense = matrix(dtype)
    b = right(shape, other)
    factor = splu(a)
    within = 1e-4 if "4" in dtype + other or dtype == "c8" else 1e-10
    for trans, like in (("N", dense), ("T", dense.T), ("H", dense.conj().T)):
        want = np.linalg.solve(like, b)
        for got in (factor.solve(b, trans), tj.jit(lambda b, t=trans: factor.solve(b, t))(b)):
            np.testing.assert_allclose(got, want, rtol=within, atol=within)
            assert (got.dtype.kind == "c") == (want.dtype.kind == "c")
    got = spsolve(a, b)
    assert got.dtype == np.result_type(dense, b)
    np.testing.assert_allclose(got, np.linalg.solve(dense, b), rtol=within, atol=within)
    np.testing.assert_allclose(tj.jit(spsolve)(a, b), got, rtol=within, atol=within)


def test_what_is_factored() -> None:
    a, dense = matrix()
    b = right((6,))
    want = np.linalg.solve(dense, b)
    for given in (a, a.tocoo(), a.to_scipy(), sp.csc_array(dense), sp.lil_matrix(dense)):
        np.testing.assert_allclose(splu(given).solve(b), want, rtol=1e-10)
        np.testing.assert_allclose(spsolve(given, b), want, rtol=1e-10)
    factor = splu(a, permc_spec="NATURAL")
    lower, upper = (np.asarray(x.todense()) for x in (factor.L, factor.U))
    rows, columns = np.zeros((6, 6)), np.zeros((6, 6))
    rows[factor.perm_r, np.arange(6)] = 1
    columns[np.arange(6), factor.perm_c] = 1
    np.testing.assert_allclose(rows.T @ lower @ upper @ columns.T, dense, atol=1e-12)
    assert factor.nnz == factor._factors.nnz
    assert spsolve(CSR.fromdense(np.diag([2, 4])), [1, 1]).tolist() == [0.5, 0.25]
    assert spsolve(CSR.fromdense(np.zeros((0, 0))), np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_derivatives(dtype: str) -> None:
    a, _ = matrix(dtype)
    factor, data = splu(a), np.asarray(a.data)
    b, many = right((6,), dtype), right((6, 2), dtype)
    for trans in "NTH":
        check_grads(lambda b, t=trans: factor.solve(b, t), (many,), order=2)
    for right_hand in (b, many):
        check_grads(lambda d, b: spsolve(a.with_data(d), b), (data, right_hand), order=2)
    check_grads(lambda d: spsolve(a.tocoo().with_data(d), b), (data,), order=1)
    loss = tj.jit(tj.grad(lambda d: tnp.sum(tnp.abs(spsolve(a.with_data(d), b)) ** 2)))
    eager = tj.grad(lambda d: tnp.sum(tnp.abs(spsolve(a.with_data(d), b)) ** 2))
    np.testing.assert_allclose(loss(data), eager(data), rtol=1e-10)
    if dtype == "f8":
        check_grads(tj.jit(lambda b: factor.solve(factor.solve(b) ** 2)), (b,), order=2)


def test_lanes_are_solved_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    a, dense = matrix()
    calls: list[tuple[int, ...]] = []
    real = solve._solve

    def counted(factors: Any, trans: str, b: Any) -> Any:
        calls.append(b.shape)
        return real(factors, trans, b)

    monkeypatch.setattr(solve, "_solve", counted)
    factor = splu(a)
    bs = right((4, 5, 6))
    want = np.linalg.solve(dense, bs.reshape(20, 6).T).T.reshape(bs.shape)
    np.testing.assert_allclose(tj.vmap(tj.vmap(factor.solve))(bs), want, rtol=1e-9)
    assert len(calls) == 1
    np.testing.assert_allclose(tj.vmap(tj.vmap(lambda b: spsolve(a, b)))(bs), want, rtol=1e-9)
    assert len(calls) == 2
    scales = np.array([1.0, 2.0, 4.0, 5.0])
    datas = scales[:, None] * np.asarray(a.data)
    each = tj.jit(tj.vmap(lambda d, bs: tj.vmap(lambda b: spsolve(a.with_data(d), b))(bs)))
    np.testing.assert_allclose(each(datas, bs), want / scales[:, None, None], rtol=1e-9)
    assert len(calls) == 6


def test_one_factorization_serves_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    count = []
    real = solve._scipy_splu()
    monkeypatch.setattr(solve, "_scipy_splu", lambda: lambda *args: count.append(1) or real(*args))
    a, _ = matrix(n=7)
    b = right((7,))
    fun = tj.jit(tj.value_and_grad(lambda d, b: tnp.sum(spsolve(a.with_data(d), b) ** 2), (0, 1)))
    fun(np.asarray(a.data), b)
    fun(np.asarray(a.data), 2 * b)
    assert len(count) == 1


def test_a_solution_is_one_callback() -> None:
    a, _ = matrix()
    factor = splu(a)
    assert "1 callbacks" in str(explain(tj.jit(factor.solve))(np.ones(6)))


def test_in_a_time_loop() -> None:
    n = 20
    lap = sp.diags_array([np.ones(n - 1), np.full(n, -2.0), np.ones(n - 1)], offsets=[-1, 0, 1])
    factor = splu(sp.eye_array(n) - 0.1 * lap)

    @tj.jit
    def run(u: Any) -> Any:
        return tj.lax.scan(lambda u, _: (factor.solve(u), None), u, None, length=5)[0]

    u = rng.normal(size=n)
    want = np.linalg.matrix_power(np.linalg.inv(np.eye(n) - 0.1 * lap.toarray()), 5)
    np.testing.assert_allclose(run(u), want @ u, rtol=1e-9)
    np.testing.assert_allclose(tj.grad(lambda u: run(u).sum())(u), want.T @ np.ones(n), rtol=1e-9)


def test_iterative_solvers_take_them() -> None:
    half = CSR.fromdense(rng.normal(size=(5, 5)))
    for a in (half @ half.T + CSR.fromdense(np.eye(5)), COO.fromdense(np.diag(np.arange(1.0, 6)))):
        b, dense = rng.normal(size=5), np.asarray(a.todense())
        for iterate in (linalg.cg, linalg.gmres, linalg.bicgstab):
            x = tj.jit(lambda a, b, f=iterate: f(a, b, tol=1e-12)[0])(a, b)
            np.testing.assert_allclose(dense @ x, b, atol=1e-6)
    check_grads(
        lambda d, b: linalg.cg(a.with_data(d), b, tol=1e-13)[0], (np.asarray(a.data), b), order=1
    )


def test_singular_matrices() -> None:
    a = CSR.fromdense(np.diag([1.0, 0.0]), nse=2)
    with pytest.raises(RuntimeError, match="singular"):
        splu(a)
    assert np.isnan(spsolve(a, np.ones(2))).all()


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda a: splu(CSR.fromdense(np.ones((2, 3)))), ValueError, r"square; got shape \(2, 3\)"),
    (lambda a: splu(np.eye(3)), TypeError, "must be sparse"),
    (lambda a: spsolve(a, np.ones(5)), ValueError, r"\(6,\) or \(6, k\); got \(5,\)"),
    (lambda a: spsolve(a, np.ones((1, 6, 1))), ValueError, "right-hand side of shape"),
    (lambda a: spsolve(a, a), TypeError, "must be dense"),
    (lambda a: spsolve(a.astype("f2"), np.ones(6)), TypeError, "float16 is not solved in"),
    (lambda a: splu(a).solve(np.ones(6), trans="C"), ValueError, "trans must be"),
    (lambda a: tj.jit(lambda a: splu(a).nnz)(a), TypeError, "use spsolve"),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda c: c[2])
def test_errors(case: Any) -> None:
    run, kind, message = case
    with pytest.raises(kind, match=message):
        run(matrix()[0])
