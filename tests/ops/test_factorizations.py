"""Factorizations and what is solved by them: by their equations, eagerly, compiled, in lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.compiler.libraries import MATRICES
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.ir.plan import Callback, LibraryCall, all_steps
from tracejit.ops.eig import eig
from tracejit.ops.factorizations import cholesky, lu, qr
from tracejit.ops.linalg import lu_solve, slogdet, solve
from tracejit.ops.spectral import eigh, svd
from tracejit.ops.triangular import triangular_solve

DTYPES = ["f4", "f8", "c8", "c16"]


def adjoint(x: Any) -> Any:
    return np.conj(np.swapaxes(x, -1, -2))


def positive(a: Any) -> Any:
    return a @ adjoint(a) + np.eye(a.shape[-1], dtype=a.dtype)


def of_cholesky(a: Any, factor: Any) -> list[tuple[Any, Any]]:
    return [(np.tril(factor), factor), (factor @ adjoint(factor), a)]


def of_lu(a: Any, factors: Any, pivots: Any, order: Any) -> list[tuple[Any, Any]]:
    k = min(a.shape[-2:])
    eye = np.eye(*a.shape[-2:], dtype=a.dtype)
    lower, upper = np.tril(factors, -1) + eye, np.triu(factors)
    assert (pivots >= np.arange(k)).all()
    assert (pivots < a.shape[-2]).all()
    assert (abs(np.tril(factors, -1)) < 1.5).all()
    rows = np.take_along_axis(a, order[..., None].astype(int), axis=-2)
    return [(lower[..., :k] @ upper[..., :k, :], rows)]


def of_qr(a: Any, q: Any, r: Any) -> list[tuple[Any, Any]]:
    unit = np.broadcast_to(np.eye(q.shape[-1], dtype=a.dtype), (*a.shape[:-2], *[q.shape[-1]] * 2))
    return [(adjoint(q) @ q, unit), (q @ r, a), (np.triu(r), r)]


def of_eig(a: Any, w: Any, left: Any, right: Any) -> list[tuple[Any, Any]]:
    lengths = np.linalg.norm([left, right], axis=-2)
    return [
        (a @ right, right * w[..., None, :]),
        (adjoint(left) @ a, w[..., :, None] * adjoint(left)),
        (lengths, np.ones_like(lengths)),
    ]


def of_eigh(a: Any, w: Any, v: Any) -> list[tuple[Any, Any]]:
    return [(a @ v, v * w[..., None, :]), (np.sort(w, -1), w), *of_qr(a, v, adjoint(v) @ a)[:1]]


def of_svd(a: Any, u: Any, s: Any, vh: Any) -> list[tuple[Any, Any]]:
    k = s.shape[-1]
    product = u[..., :k] * s[..., None, :] @ vh[..., :k, :]
    return [(product, a), (-np.sort(-s, -1), s), *of_qr(a, u, adjoint(u) @ a)[:1],
            *of_qr(a, adjoint(vh), vh)[:1]]  # fmt: skip


class Row(NamedTuple):
    fun: Callable[..., Any]
    equations: Callable[..., list[tuple[Any, Any]]]
    wide: bool = False
    makes: Callable[[Any], Any] = lambda a: a


TABLE = {
    "cholesky": Row(cholesky, of_cholesky, makes=positive),
    "cholesky of a triangle": Row(
        lambda a: cholesky(a + 7 * tnp.triu(tnp.ones_like(a), 1), False),
        of_cholesky, makes=positive,
    ),
    "lu": Row(lu, of_lu, True),
    "qr": Row(qr, of_qr, True),
    "reduced qr": Row(lambda a: qr(a, False), of_qr, True),
    "eig": Row(lambda a: eig(a, True), of_eig),
    "eigh": Row(eigh, of_eigh, makes=lambda a: a + adjoint(a)),
    "svd": Row(lambda a: svd(a, True), of_svd, True),
    "reduced svd": Row(svd, of_svd, True),
}  # fmt: skip
SHAPES = [(3, 3), (2, 1, 4, 4), (12, 5, 5), (1, 1), (40, 40), (300, 2, 2), (2, 0, 0), (0, 3, 3)]
WIDE = [(4, 7), (2, 6, 3), (12, 3, 5), (70, 30), (3, 0), (9, 66, 2)]


def draw(seed: int, shape: tuple[int, ...], dtype: str) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def several(found: Any) -> list[Any]:
    return [np.asarray(x) for x in (found if isinstance(found, (list, tuple)) else [found])]


@pytest.mark.parametrize("way", ["eager", "jit", "vmap"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TABLE)
def test_the_equations_hold(name: str, dtype: str, way: str) -> None:
    row = TABLE[name]
    for shape in [*SHAPES, *(WIDE if row.wide else [])]:
        a = row.makes(draw(3, shape, dtype))
        fun: Any = row.fun
        if way == "vmap" and len(shape) > 2:
            fun = tj.vmap(fun)
        found = several((fun if way == "eager" else tj.jit(fun))(a))
        limit = 60 * max(*shape[-2:], 1) * np.finfo(dtype).eps
        for got, want in row.equations(a, *found):
            assert got.shape == want.shape
            scale = limit * max(1.0, float(np.max(abs(want), initial=0)))
            np.testing.assert_allclose(got, want, rtol=0, atol=scale, err_msg=f"{shape}")
        for got, again in zip(found, several(row.fun(a)), strict=True):
            assert got.dtype == again.dtype


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (2, 5, 5), (20, 4, 4), (70, 70), (9, 1, 1)])
def test_triangular_systems(shape: tuple[int, ...], dtype: str, compiled: bool) -> None:
    n = shape[-1]
    a = draw(0, shape, dtype) / np.sqrt(n).astype(dtype) + np.eye(n, dtype=dtype) * 3
    for bits in range(32):
        left, lower, trans, conjugate, unit = (bool(bits >> i & 1) for i in range(5))
        b = draw(1, (*shape[:-2], n, 3) if left else (*shape[:-2], 3, n), dtype)
        fun: Any = lambda a, b, bits=bits: triangular_solve(
            a, b, left_side=bool(bits & 1), lower=bool(bits & 2), transpose_a=bool(bits & 4),
            conjugate_a=bool(bits & 8), unit_diagonal=bool(bits & 16),
        )  # fmt: skip
        x = np.asarray((tj.jit(fun) if compiled else fun)(a, b))
        op = np.tril(a) if lower else np.triu(a)
        if unit:
            op = op - op * np.eye(n, dtype=dtype) + np.eye(n, dtype=dtype)
        op = np.swapaxes(op, -1, -2) if trans else op
        op = op.conj() if conjugate else op
        assert x.dtype == b.dtype
        limit = 500 * np.finfo(dtype).eps
        np.testing.assert_allclose(op @ x if left else x @ op, b, rtol=limit, atol=limit)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (2, 5, 5), (50, 4, 4), (17, 8, 8), (3, 70, 70)])
@pytest.mark.parametrize("columns", [1, 3, 0])
def test_solutions(shape: tuple[int, ...], columns: int, dtype: str, compiled: bool) -> None:
    a, b = draw(0, shape, dtype), draw(1, (*shape[:-1], columns), dtype)
    ways = [solve, tj.vmap(solve) if len(shape) > 2 else solve]
    for trans in (False, True):

        def by_factors(a: Any, b: Any, trans: bool = trans) -> Any:
            factors, _, order = lu(a)
            return lu_solve(a, factors, order, b, trans)

        turned = np.swapaxes(a, -1, -2) if trans else a
        for fun in [by_factors] if trans else [by_factors, *ways]:
            x = np.asarray((tj.jit(fun) if compiled else fun)(a, b))
            assert x.dtype == b.dtype
            wrong = abs(turned @ x - b) if columns else abs(x)
            size = np.max(abs(x), initial=1) * shape[-1] * 50 * np.finfo(dtype).eps
            assert np.max(wrong, initial=0) < size


def test_lanes_of_one_matrix_become_columns() -> None:
    a, b = draw(0, (4, 4), "f8"), draw(1, (4, 6, 2), "f8")
    lanes = tj.vmap(solve, in_axes=(None, 1), out_axes=1)
    np.testing.assert_allclose(
        np.asarray(lanes(a, b)), np.linalg.solve(a, b.reshape(4, 12)).reshape(4, 6, 2), rtol=1e-10
    )
    right = tj.vmap(lambda a, b: triangular_solve(a, b), in_axes=(None, 2), out_axes=2)
    c = draw(1, (2, 4, 6), "f8")
    want = np.stack([c[:, :, i] @ np.linalg.inv(np.triu(a)) for i in range(6)], 2)
    np.testing.assert_allclose(np.asarray(right(a, c)), want, rtol=1e-9, atol=1e-9)


BAD = {
    "nan": np.full((3, 3), np.nan),
    "inf": np.full((3, 3), np.inf),
    "zero": np.zeros((3, 3)),
    "singular": np.ones((3, 3)),
    "indefinite": np.diag([1.0, -1.0, 2.0]),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "c16", "f4"])
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("lanes", [1, 20])
def test_what_has_no_factors(bad: str, dtype: str, compiled: bool, lanes: int) -> None:
    """Nothing raises, and the matrices beside it have theirs."""
    good = positive(draw(5, (3, 3), dtype))
    a = np.stack([BAD[bad].astype(dtype), *[good] * lanes])
    for name, row in TABLE.items():
        found = several((tj.jit(row.fun) if compiled else row.fun)(a))
        for got, want in zip(found, several(row.fun(good)), strict=True):
            np.testing.assert_allclose(
                got[1:], np.broadcast_to(want, got[1:].shape), rtol=3e-5, atol=3e-5, err_msg=name
            )
    for fun in (solve, lambda a, b: slogdet(a)):
        assert np.isfinite(several((tj.jit(fun) if compiled else fun)(a, a))[0][1:]).all()
    factor = np.asarray((tj.jit(cholesky) if compiled else cholesky)(a))
    assert not np.isfinite(factor[0]).all()
    assert bad == "inf" or np.isnan(factor[0]).all()
    if bad in ("zero", "singular"):
        x = np.asarray((tj.jit(solve) if compiled else solve)(a, a))
        assert np.isnan(x[0]).all()
        sign, size = slogdet(a)
        assert np.asarray(sign)[0] == 0
        assert np.asarray(size)[0] == -np.inf


@pytest.mark.parametrize("dtype", DTYPES)
def test_determinants(dtype: str) -> None:
    a = draw(2, (6, 5, 5), dtype)
    for fun in (slogdet, tj.jit(slogdet), tj.vmap(slogdet)):
        limit = 2000 * np.finfo(dtype).eps
        for got, want in zip(several(fun(a)), np.linalg.slogdet(a), strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=limit, atol=limit)


def test_a_solution_and_its_derivatives_share_one_factorization() -> None:
    a, b = positive(draw(0, (5, 5), "f8")), draw(1, (5, 1), "f8")

    def loss(a: Any) -> Any:
        return (b * solve(a, b)).sum() + slogdet(a)[1]

    lowered = tj.jit(tj.value_and_grad(loss)).lower(a)
    steps = all_steps(lowered.ready().plan.steps)
    names = [s.name for s in steps if isinstance(s, (Callback, LibraryCall))]
    assert sorted(set(names)) == ["lu", "lu_solve"]
    assert names.count("lu") == 1


@pytest.mark.parametrize(
    ("fun", "shapes", "message"),
    [
        (solve, [(3, 4), (3, 1)], "square matrices"),
        (solve, [(3, 3), (4, 1)], r"\(\.\.\., n, n\) and \(\.\.\., n, k\)"),
        (triangular_solve, [(3, 3), (3, 2)], r"\(\.\.\., k, n\)"),
        (cholesky, [(3, 4)], "square matrices"),
        (qr, [(3,)], r"matrices \(\.\.\., m, n\)"),
        (lu, [(3,)], r"matrices \(\.\.\., m, n\)"),
        (eig, [(2, 3)], "square matrices"),
    ],
)
def test_shapes_that_do_not_fit(fun: Any, shapes: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        fun(*[tnp.ones(s) for s in shapes])


@pytest.mark.parametrize("fun", [cholesky, lu, qr, eig])
def test_integers_have_no_factors(fun: Any) -> None:
    with pytest.raises(DTypeError, match="inexact"):
        fun(tnp.ones((2, 2), dtype="int32"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_compiled_code_calls_lapack_and_no_python(dtype: str) -> None:
    a = positive(draw(0, (3, 5, 5), dtype))
    funs = [row.fun for row in TABLE.values()]
    funs += [lambda a: solve(a, a), slogdet, lambda a: triangular_solve(a, a)]
    funs += [lambda a: eigh(a, False), lambda a: eig(a), lambda a: svd(a, vectors=False)]
    for fun in funs:
        steps = [*all_steps(tj.jit(fun).lower(a).ready().plan.steps)]
        back = [s.name for s in steps if isinstance(s, Callback)]
        assert not set(back) & set(MATRICES)
        assert not back or np.dtype(dtype).kind == "c"
        assert [s for s in steps if isinstance(s, LibraryCall)]


@pytest.mark.parametrize("dtype", ["f8", "c8"])
@pytest.mark.parametrize("name", TABLE)
def test_threads_do_not_change_the_bits(name: str, dtype: str) -> None:
    row = TABLE[name]
    a = row.makes(draw(4, (150, 12, 12), dtype))
    fun = tj.jit(row.fun)
    with tj.settings(num_threads=1):
        want = several(fun(a))
    with tj.settings(num_threads=3):
        for got, other in zip(several(fun(a)), want, strict=True):
            np.testing.assert_array_equal(got, other)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_names_of_lax(dtype: str) -> None:
    a = draw(6, (4, 4), dtype)
    v, w = lax.linalg.eigh(a + adjoint(a))
    of_eigh(a + adjoint(a), np.asarray(w), np.asarray(v))
    for lower in (True, False):
        one = np.tril(a, -1) if lower else np.triu(a, 1)
        whole = one + adjoint(one) + np.diag(np.arange(4.0))
        v, w = lax.linalg.eigh(
            np.diag(np.arange(4.0)) + one + 9 * adjoint(one), lower=lower, symmetrize_input=False
        )
        np.testing.assert_allclose(np.asarray(w), np.linalg.eigvalsh(whole), atol=1e-12)
    u, s, vh = lax.linalg.svd(a[:, :3])
    np.testing.assert_allclose(
        np.asarray(u)[:, :3] * np.asarray(s) @ np.asarray(vh), a[:, :3], atol=1e-12
    )
    values = lax.linalg.svd(a, compute_uv=False)
    np.testing.assert_allclose(np.asarray(values), np.linalg.svd(a)[1], rtol=1e-12)
    assert [x.shape for x in lax.linalg.qr(a[:, :2])] == [(4, 4), (4, 2)]
    assert [x.shape for x in lax.linalg.lu(a[:, :2])] == [(4, 2), (2,), (4,)]
    assert len(lax.linalg.eig(a)) == 3
    assert len(lax.linalg.eig(a, compute_left_eigenvectors=False)) == 2
