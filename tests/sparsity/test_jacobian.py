"""Sparse Jacobians against dense ones: stencils, loops, meshes, what is given, what is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import tracejit
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import (
    ConcretizationError,
    DTypeError,
    MissingRuleError,
    ShapeError,
    SparsityError,
)
from tracejit.ops.convolution import overlap_add, sliding_windows
from tracejit.sparse import CSR
from tracejit.sparsity import SparsityWarning, jacobian, sparsity_pattern

RNG = np.random.default_rng(7)
CELLS = RNG.permutation(np.arange(12).repeat(2)).reshape(12, 2)
MASK = np.arange(12) % 3 == 0


def five_point(u: Any) -> Any:
    p = tnp.pad(u, 1)
    near = p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2]
    return near - 4 * u - tnp.exp(u) * u


def nine_point(u: Any) -> Any:
    p = tnp.pad(u, 1)
    n, m = u.shape
    near = [p[i : i + n, j : j + m] * (i + 2 * j + 1) for i in range(3) for j in range(3)]
    return sum(near) * tnp.sin(u)


def periodic(u: Any) -> Any:
    near = [tnp.roll(u, shift, axis) for shift in (1, -1) for axis in (0, 1)]
    return sum(near) - 4 * u + u**3


def boundary(u: Any) -> Any:
    r = tnp.zeros_like(u).at[1:-1, 1:-1].set(u[2:, 1:-1] * u[1:-1, 1:-1] + u[1:-1, :-2])
    return r.at[0].set(u[0] - 1.0).at[-1].add(u[-2]).at[:, -1].multiply(u[:, 0])


def system(u: Any) -> Any:
    h, v = u
    return tnp.stack([tnp.roll(h * v, 1) - h, tnp.where(v > 0, v - tnp.roll(v, 1), v * h)])


def upwind(x: Any) -> Any:
    flux = tnp.maximum(x, 0.0) * x + tnp.minimum(x, 0.0) * tnp.roll(x, -1)
    return flux - tnp.roll(flux, 1)


def assembled(x: Any) -> Any:
    jump = x[CELLS[:, 0]] - x[CELLS[:, 1]] ** 2
    return tnp.zeros_like(x).at[CELLS[:, 0]].add(jump).at[CELLS[:, 1]].add(-jump)


def overwritten(x: Any) -> Any:
    return x.at[np.array([1, 1, 2])].set(x[np.array([4, 5, 6])] ** 2)


def banded(x: Any) -> Any:
    a = np.triu(np.tril(np.ones((12, 12)), 1), -2)
    return a @ tnp.sin(x) + tnp.cumsum(x.reshape(4, 3), axis=1).reshape(12)


def masked(x: Any) -> Any:
    return MASK * tnp.sum(x) + tnp.where(MASK, x, tnp.roll(x, 1) ** 2)


def sorted_rows(x: Any) -> Any:
    return tnp.sort(x.reshape(4, 3), axis=1).ravel() * tnp.max(x.reshape(3, 4), axis=0).repeat(3)


def stepped(x: Any) -> Any:
    return lax.fori_loop(0, 2, lambda i, x: x - 0.1 * (x - tnp.roll(x, 1)) * x, x)


def implicit_pointwise(x: Any) -> Any:
    def newton(i: Any, y: Any) -> Any:
        return y - (y + tnp.exp(y) - x) / (1 + tnp.exp(y))

    return lax.fori_loop(0, 40, newton, x) - tnp.roll(x, 1)


def searched(x: Any) -> Any:
    halved = lax.while_loop(lambda y: tnp.max(abs(y)) > 0.1, lambda y: 0.5 * y, x)
    return halved * tnp.roll(x, 2)


def scanned(x: Any) -> Any:
    carry, ys = lax.scan(lambda c, row: (c + row, c * row), x[:3], x.reshape(4, 3))
    return tnp.concatenate([carry, ys.ravel()])


def long_scan(x: Any) -> Any:
    return lax.scan(lambda c, row: (c * 0.5, c + row), x[:2], tnp.tile(x[2:4], (30, 1)))[1]


def branched(x: Any) -> Any:
    return lax.cond(x[0] > 0, lambda x: x * tnp.roll(x, 1), lambda x: x**2, x)


def nested(x: Any) -> Any:
    return tracejit.jit(tracejit.checkpoint(upwind))(x) + tracejit.vmap(tnp.sin)(x)


def lanes(x: Any) -> Any:
    y = x.reshape(4, 3)
    return tnp.take_along_axis(y, tnp.argsort(y, axis=1), axis=1)


def matrices(x: Any) -> Any:
    y = x.reshape(3, 2, 2)
    a = np.eye(2) * 2 + 0.1
    right = lax.linalg.triangular_solve(tnp.stack([a] * 3), y)
    return (y @ y) + tnp.linalg.solve(a, y) + right


def windows(x: Any) -> Any:
    return lax.dynamic_update_slice(x, lax.dynamic_slice(x, (3,), (2,)) ** 2, (7,))


def concatenated(x: Any) -> Any:
    return tnp.concatenate([x[::-2], 2 * x[:3], tnp.flip(x[3:5]), np.ones(2)])


def sparse_products(x: Any) -> Any:
    a = sparse.diags_array([np.ones(11), np.full(12, 2.0)], offsets=[-1, 0], format="csr")
    return CSR.from_scipy(a).with_data(x[:11].repeat(3)[:23]) @ tnp.ones(12) + (
        CSR.from_scipy(a) @ x**2
    )


GRID = (6, 7)
CASES: dict[str, tuple[Callable[..., Any], tuple[int, ...], int]] = {
    # function, shape, the most colours
    "five point": (five_point, GRID, 5),
    "nine point": (nine_point, GRID, 9),
    "periodic": (periodic, (5, 10), 5),
    "periodic, odd": (periodic, GRID, 9),
    "boundary": (boundary, GRID, 7),
    "system": (system, (2, 12), 6),
    "upwind": (upwind, (12,), 3),
    "assembled": (assembled, (12,), 9),
    "overwritten": (overwritten, (12,), 2),
    "banded": (banded, (12,), 6),
    "masked": (masked, (12,), 12),
    "sorted rows": (sorted_rows, (12,), 12),
    "stepped": (stepped, (12,), 3),
    "pointwise Newton": (implicit_pointwise, (12,), 2),
    "searched": (searched, (12,), 2),
    "scanned": (scanned, (12,), 4),
    "long scan": (long_scan, (12,), 2),
    "branched": (branched, (12,), 2),
    "nested": (nested, (12,), 3),
    "lanes": (lanes, (12,), 3),
    "matrices": (matrices, (12,), 4),
    "windows": (windows, (12,), 2),
    "sparse products": (sparse_products, (12,), 12),
    "concatenated": (concatenated, (12,), 2),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_dense_jacobian(name: str) -> None:
    fun, shape, most = CASES[name]
    x = RNG.standard_normal(shape)
    sparse_jacobian = jacobian(fun, sparsity="detect")
    with warnings.catch_warnings():
        if name == "lanes":
            warnings.simplefilter("error")
        found = sparse_jacobian(x)
    dense = np.asarray(tracejit.jacfwd(fun)(x)).reshape(found.shape)
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-12, atol=1e-12)
    plan = sparse_jacobian.plan(x)
    assert plan.products <= most
    # What is True by chance of the values is not asked for, but hardly anything else.
    assert plan.pattern.nnz <= 3 * np.count_nonzero(dense)


STEPS: list[Callable[[Any], Any]] = [
    lambda x: tnp.roll(x, 2) * x,
    lambda x: tnp.flip(x.reshape(3, 4), 0).ravel(),
    lambda x: x.reshape(4, 3).T.ravel() + x,
    lambda x: sliding_windows(x**2, (0,), (3,), (2,), (2,))[:, :2].sum(1).repeat(3),
    lambda x: tnp.concatenate([overlap_add(x.reshape(6, 2) ** 2, (0,), (7,)), x[:5]]),
    lambda x: tnp.sin(x).at[2:5].set(x[3:6] ** 2),
    lambda x: tnp.where(MASK, x, 2.0 * x[::-1]),
    lambda x: tnp.pad(x[1::2], (2, 4)) / (1 + x**2),
    lambda x: tnp.concatenate([tnp.cumsum(x[:4]), x[4:]]),
    lambda x: x.at[CELLS[:6, 0]].add(x[CELLS[:6, 1]]),
    lambda x: tnp.maximum(x, tnp.roll(x, 1)),
    lambda x: (x.reshape(3, 4) - tnp.mean(x.reshape(3, 4), axis=1, keepdims=True)).ravel(),
    lambda x: tnp.sort(x.reshape(6, 2), axis=1).ravel(),
    lambda x: (np.tri(12, k=-9) @ x) + x,
    lambda x: lax.scan(lambda c, row: (c + row[0], row * c), 0.5, x.reshape(3, 4))[1].ravel(),
]


@pytest.mark.parametrize("seed", range(20))
def test_random_programs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = [STEPS[n] for n in rng.integers(len(STEPS), size=4)]

    def fun(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return x

    x = rng.standard_normal(12)
    found = jacobian(fun, sparsity="detect")(x).toarray()
    np.testing.assert_allclose(found, tracejit.jacrev(fun)(x), rtol=1e-9, atol=1e-9)


def test_without_a_reverse_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any) -> Any:
        raise MissingRuleError("there is no transposition of it")

    monkeypatch.setattr("tracejit.sparsity.plan.vjp", none)
    x = RNG.standard_normal(9)
    plan = jacobian(lambda x: tnp.sum(x**2)[None], sparsity=True).plan(x)
    assert (plan.mode, plan.products) == ("forward", 9)


@pytest.mark.parametrize("name", ["nine point", "boundary", "assembled", "scanned"])
def test_without_a_forward_mode(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any) -> Any:
        raise MissingRuleError("there is no derivative of it: it has a vjp only")

    fun, shape, _ = CASES[name]
    x = RNG.standard_normal(shape)
    wanted = jacobian(fun, sparsity=True)(x).toarray()
    monkeypatch.setattr("tracejit.sparsity.plan.jvp_program", none)
    backward = jacobian(fun, sparsity=True)
    np.testing.assert_allclose(backward(x).toarray(), wanted, rtol=1e-12, atol=1e-12)
    assert backward.plan(x).mode == "reverse"


def test_colours_of_a_large_residual() -> None:
    u = RNG.standard_normal((320, 320))
    residual = jacobian(five_point, sparsity="detect")
    plan = residual.plan(u)
    print(f"five-point stencil, {u.size} unknowns: {plan.products} colours")
    assert 5 <= plan.products <= 9
    v = RNG.standard_normal(u.shape)
    tangent = np.asarray(tracejit.jvp(five_point, (u,), (v,))[1])
    np.testing.assert_allclose(residual(u) @ v.ravel(), tangent.ravel(), rtol=1e-10, atol=1e-10)


def test_new_values_are_one_compiled_call() -> None:
    traces = []

    def fun(x: Any) -> Any:
        traces.append(1)
        return tnp.roll(x, 1) * x

    found = jacobian(fun, sparsity=True)
    x = RNG.standard_normal(9)
    found(x)
    before = len(traces)
    for _ in range(3):
        x = RNG.standard_normal(9)
        wanted = np.roll(np.eye(9), -1, 1) * x[:, None] + np.diag(np.roll(x, 1))
        np.testing.assert_allclose(found(x).toarray(), wanted)
    assert len(traces) == before


def test_rows_where_columns_are_many() -> None:
    def mean_and_flux(x: Any) -> Any:
        return tnp.concatenate([tnp.sum(x**2)[None], x[:1] * x[-1:]])

    found = jacobian(mean_and_flux, sparsity=True)
    x = RNG.standard_normal(40)
    plan = found.plan(x)
    assert (plan.mode, plan.products) == ("reverse", 2)
    np.testing.assert_allclose(found(x).toarray(), np.asarray(tracejit.jacrev(mean_and_flux)(x)))


def test_several_arguments_and_pytrees() -> None:
    def fun(state: Any, scale: Any, source: Any) -> Any:
        return {"r": state["h"] * scale + tnp.roll(state["v"], 1), "s": source[:2] * scale}

    state = {"h": RNG.standard_normal(4), "v": RNG.standard_normal(4)}
    args = state, np.float64(2.0), RNG.standard_normal(3)
    blocks = jacobian(fun, argnums=(2, 0), sparsity=True)(*args)
    dense = tracejit.jacfwd(fun, argnums=(2, 0))(*args)
    for found, place, names in ((blocks[0], 0, None), (blocks[1], 1, ("h", "v"))):
        rows = []
        for out in ("r", "s"):
            block = dense[out][place]
            parts = [block] if names is None else [block[n] for n in names]
            rows.append(np.concatenate([np.asarray(p) for p in parts], axis=1))
        np.testing.assert_allclose(found.toarray(), np.concatenate(rows))
    patterns = sparsity_pattern(fun, argnums=(0, 1))(*args)
    assert [p.shape for p in patterns] == [(6, 8), (6, 1)]


def test_aux_complex_and_empty() -> None:
    x = RNG.standard_normal(5)
    matrix, aux = jacobian(lambda x: (x**2, {"sum": tnp.sum(x)}), has_aux=True, sparsity=True)(x)
    np.testing.assert_allclose(matrix.toarray(), np.diag(2 * x))
    np.testing.assert_allclose(aux["sum"], x.sum())
    z = x + 1j
    found = jacobian(lambda z: z[1:] * z[:-1], holomorphic=True, sparsity=True)(z).toarray()
    wanted = tracejit.jacfwd(lambda z: z[1:] * z[:-1], holomorphic=True)(z)
    np.testing.assert_allclose(found, np.asarray(wanted))
    assert jacobian(lambda x: tnp.zeros(3), sparsity=True)(x).nnz == 0
    assert jacobian(lambda x: x * 2, sparsity=True)(np.zeros(0)).shape == (0, 0)


def test_values_under_transformations() -> None:
    found = jacobian(upwind, sparsity=True)
    x = RNG.standard_normal(12)
    wanted = found(x).data
    np.testing.assert_allclose(tracejit.jit(found.values)(x), wanted)
    xs = np.stack([x, -x])
    np.testing.assert_allclose(tracejit.vmap(found.values)(xs)[1], found(-x).data)
    gradient = tracejit.grad(lambda x: tnp.sum(found.values(x) ** 2))(x)
    dense = tracejit.grad(lambda x: tnp.sum(tracejit.jacfwd(upwind)(x) ** 2))(x)
    np.testing.assert_allclose(gradient, np.asarray(dense), rtol=1e-12)
    with pytest.raises(ConcretizationError, match=r"values\(\*args\)"):
        tracejit.jit(found)(x)


def test_a_mesh_as_an_argument_counts_with_its_values() -> None:
    def fun(x: Any, cells: Any) -> Any:
        return x[cells[:, 0]] * x[cells[:, 1]]

    found = jacobian(fun, sparsity=True)
    x = RNG.standard_normal(12)
    for cells in (CELLS, CELLS[::-1].copy(), CELLS):
        got = found(x, cells)
        np.testing.assert_allclose(got.toarray(), np.asarray(tracejit.jacfwd(fun)(x, cells)))
        assert got.nnz <= 24
    # A counter that is multiplied with is only a factor: no new pattern for every step.
    scaled = jacobian(lambda x, step: x * step, sparsity=True)
    assert scaled.plan(x, 1) is scaled.plan(x, 2)


def test_custom_rules_count_as_they_are_written() -> None:
    def rounded(x: Any) -> Any:  # straight through: its derivative is not that of round
        return x + tracejit.stop_gradient(tnp.round(x) - x)

    x = RNG.standard_normal(6)
    np.testing.assert_allclose(jacobian(rounded, sparsity=True)(x).toarray(), np.eye(6))
    assert sparsity_pattern(tnp.round)(x).nnz == 0


def test_rules_of_users_count_instead_of_what_they_stand_for() -> None:
    @tracejit.custom_jvp
    def shifted(x: Any) -> Any:
        return tnp.round(x)

    shifted.defjvp(lambda primals, t: (shifted(*primals), t[0] + tnp.roll(t[0], 1)))

    @tracejit.custom_vjp
    def backward(x: Any) -> Any:
        return tnp.sin(x)

    backward.defvjp(lambda x: (backward(x), tnp.cos(x)), lambda cos, ct: (ct * cos,))
    x = RNG.standard_normal(6)
    for fun, entries in (
        (shifted, 12),
        (lambda x: backward(x) * tnp.roll(x, 1), 12),
        (lambda x: lax.fori_loop(0, 20, lambda i, y: backward(y) + x, x), 6),
    ):
        found = jacobian(fun, sparsity=True)
        np.testing.assert_allclose(found(x).toarray(), tracejit.jacrev(fun)(x), atol=1e-12)
        assert found.plan(x).pattern.nnz == entries


def test_what_is_not_known_is_dense_and_says_so() -> None:
    def fun(x: Any) -> Any:
        return tnp.roll(x, 1) * x[tnp.argsort(x)]

    x = RNG.standard_normal(6)
    found = jacobian(fun, sparsity=True)
    with pytest.warns(SparsityWarning, match=r"(?s)gather: every element .*test_jacobian\.py"):
        got = found(x)
    np.testing.assert_allclose(got.toarray(), np.asarray(tracejit.jacfwd(fun)(x)))
    assert "gather" in found.plan(x).notes[0]


def test_a_pattern_may_be_given() -> None:
    x = RNG.standard_normal((5, 6))
    wanted = jacobian(five_point, sparsity=True)(x)
    pattern = sparsity_pattern(five_point)(x)
    for given in (pattern, pattern.tocoo(), sparse.csc_matrix(pattern), pattern.toarray()):
        got = jacobian(five_point, sparsity=given)(x)
        np.testing.assert_allclose(got.toarray(), wanted.toarray())
    blocks = jacobian(
        lambda a, b: a * b[::-1], argnums=(0, 1), sparsity=(np.eye(3), np.eye(3)[::-1])
    )
    a, b = RNG.standard_normal((2, 3))
    np.testing.assert_allclose(blocks(a, b)[1].toarray(), np.diag(a)[:, ::-1])


def test_a_wrong_pattern_is_found() -> None:
    wrong = jacobian(upwind, sparsity=sparse.diags_array(np.ones(12)))
    x = RNG.standard_normal(12)
    for _ in range(2):
        with pytest.raises(SparsityError, match=r"leaves out entries .* first is row \d+"):
            wrong(x)


def test_what_is_refused() -> None:
    x = RNG.standard_normal(4)
    with pytest.raises(ShapeError, match=r"\(4, 4\); got \(3, 4\)"):
        jacobian(tnp.sin, sparsity=np.ones((3, 4)))(x)
    with pytest.raises(DTypeError, match=r"jacobian: .*dtype int64; it must be floating"):
        jacobian(lambda x: x * 1.0, sparsity=True)(np.arange(3))
    with pytest.raises(DTypeError, match="outputs must be floating or complex; got int64"):
        jacobian(lambda x: tnp.argmax(x), sparsity=True)(x)
    with pytest.raises(SparsityError, match=r"(?s)derivative is dense .* equation \w+, .*lambda"):
        sparsity_pattern(lambda x: x - tnp.mean(x))(np.zeros(100_000))


def test_dense_without_sparsity() -> None:
    x = RNG.standard_normal(3)
    np.testing.assert_allclose(tracejit.jacobian(tnp.sin)(x), np.diag(np.cos(x)))
    np.testing.assert_allclose(tracejit.hessian(lambda x: tnp.sum(x**3))(x), np.diag(6 * x))


def test_long_loops_reach_as_far_as_they_go() -> None:
    def diffused(x: Any) -> Any:
        def step(i: Any, state: Any) -> Any:
            u, scale = state
            return u + 0.1 * scale * tnp.sort(scale) * (tnp.roll(u, 1) - u), tnp.sin(scale)

        return lax.fori_loop(0, 20, step, (x, np.ones(60)))[0]

    x = RNG.standard_normal(60)
    found = jacobian(diffused, sparsity="detect")
    np.testing.assert_allclose(found(x).toarray(), tracejit.jacfwd(diffused)(x), atol=1e-12)
    assert found.plan(x).pattern.nnz == 21 * 60
    assert found.plan(x).notes == ()


def test_sums_over_long_loops() -> None:
    def summed(x: Any) -> Any:
        return lax.scan(lambda c, k: (c * x[:4], c + k), x[4:8], x[8:])[1]

    x = RNG.standard_normal(28)
    np.testing.assert_allclose(
        jacobian(summed, sparsity=True)(x).toarray(),
        np.asarray(tracejit.jacfwd(summed)(x)).reshape(80, 28),
        atol=1e-12,
    )


def test_stacked_results_of_a_long_loop_see_the_trips_before() -> None:
    def summed(x: Any) -> Any:  # the last row reaches all but one of the others
        return lax.scan(lambda c, k: (c + tnp.roll(c, 1), c), x, None, length=19)[1]

    x = RNG.standard_normal(19)
    found = jacobian(summed, sparsity=True)(x).toarray()
    np.testing.assert_allclose(found, np.asarray(tracejit.jacfwd(summed)(x)).reshape(361, 19))


def test_what_is_dense_depends_on_every_operand() -> None:
    def chosen(x: Any) -> Any:
        after = tnp.concatenate([x[:2], x[2:4] ** 2])
        return lax.switch(
            (x[0] > 0).astype(int),
            [lambda a, b: a[tnp.argsort(a)] * b, lambda a, b: tnp.roll(a, 1) + b],
            after,
            x[4:],
        )

    def moved(state: Any) -> Any:
        u, v = state
        return tnp.roll(u, 1) * 0.5, v[::-1] * 0.5 + u

    def reaching(x: Any) -> Any:
        u, v = lax.while_loop(lambda s: tnp.sum(abs(s[0])) > 0.01, moved, (x[:40], x[40:]))
        return u + v

    for fun, count in ((chosen, 8), (reaching, 80)):
        x = RNG.standard_normal(count)
        found = jacobian(fun, sparsity=True)
        with pytest.warns(SparsityWarning):
            got = found(x)
        np.testing.assert_allclose(got.toarray(), tracejit.jacfwd(fun)(x), atol=1e-12)
