"""custom_root and custom_linear_solve: derivatives by the equations, not through the solvers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit import (
    grad,
    hessian,
    jacfwd,
    jacobian,
    jacrev,
    jit,
    jvp,
    lax,
    linear_transpose,
    linearize,
    vmap,
)
from tracejit.core.errors import DTypeError, MissingRuleError, ShapeError, StructureError

RANDOM = np.random.default_rng(0)
GENERAL = RANDOM.standard_normal((4, 4)) + 4 * np.eye(4)
SYMMETRIC = GENERAL @ GENERAL.T
B = RANDOM.standard_normal(4)


def conjugate_gradients(matvec: Any, b: Any) -> Any:
    """Solve by a ``while_loop``, which has no reverse derivative of its own here."""

    def going(state: Any) -> Any:
        return (state[3] > 1e-28) & (state[4] < 40)

    def step(state: Any) -> Any:
        x, r, p, square, n = state
        q = matvec(p)
        a = square / (p @ q)
        x, r = x + a * p, r - a * q
        new = r @ r
        return x, r, r + (new / square) * p, new, n + 1

    return lax.while_loop(going, step, (tnp.zeros_like(b), b, b, b @ b, 0))[0]


def symmetric(a: Any, b: Any) -> Any:
    a = (a + a.T) / 2  # also when it is differentiated by
    return lax.custom_linear_solve(lambda x: a @ x, b, conjugate_gradients, symmetric=True)


def general(a: Any, b: Any) -> Any:
    def solve(matvec: Any, b: Any) -> Any:
        def transposed(y: Any) -> Any:
            return linear_transpose(matvec, b)(y)[0]

        return conjugate_gradients(lambda x: transposed(matvec(x)), transposed(b))

    return lax.custom_linear_solve(lambda x: a @ x, b, solve, solve)


@pytest.mark.parametrize(("solution", "a"), [(symmetric, SYMMETRIC), (general, GENERAL)])
@pytest.mark.parametrize("around", [lambda f: f, jit])
def test_linear_equations(solution: Any, a: Any, around: Any) -> None:
    def loss(a: Any, b: Any) -> Any:
        return (solution(a, b) ** 2).sum()

    def wanted(a: Any, b: Any) -> Any:
        a = (a + a.T) / 2 if solution is symmetric else a
        return (tnp.linalg.solve(a, b) ** 2).sum()

    both, stacked = np.stack([a, 2 * a]), np.stack([B, B + 1])
    for made in (
        lambda f: f(a, B),
        lambda f: grad(f, (0, 1))(a, B),
        lambda f: jvp(f, (a, B), (0.1 * a.T @ a, B + 1)),
        lambda f: hessian(f, 1)(a, B),
        lambda f: jacrev(grad(f))(a, B),
        lambda f: jacfwd(grad(f, 1))(a, B),
        lambda f: vmap(grad(f, (0, 1)), (0, None))(both, B),
        lambda f: vmap(lambda b: jvp(f, (a, b), (a, b)))(stacked),
        lambda f: grad(lambda a: vmap(f, (0, None))(a, B).sum())(both),
        lambda f: jvp(lambda a: vmap(f)(a, stacked), (both,), (both**2,)),
        lambda f: linearize(f, a, B)[1](a, B),
    ):
        found, right = around(lambda made=made: (made(loss), made(wanted)))()
        for x, y in zip(_leaves(found), _leaves(right), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-10)


def _leaves(tree: Any) -> list[Any]:
    return [x for part in tree for x in _leaves(part)] if isinstance(tree, tuple) else [tree]


def test_linear_equations_in_loops() -> None:
    def scanned(a: Any) -> Any:
        return lax.scan(lambda c, _: (symmetric(a, c), c.sum()), B, None, length=3)[0].sum()

    def unrolled(a: Any) -> Any:
        a = (a + a.T) / 2
        return tnp.linalg.solve(a, tnp.linalg.solve(a, tnp.linalg.solve(a, B))).sum()

    np.testing.assert_allclose(grad(scanned)(SYMMETRIC), grad(unrolled)(SYMMETRIC), rtol=1e-8)
    np.testing.assert_allclose(jit(grad(scanned))(SYMMETRIC), grad(unrolled)(SYMMETRIC), rtol=1e-8)


def test_a_hessian_vector_product_inside_conjugate_gradients() -> None:
    """Newton's direction, and its derivative by a parameter of the function."""

    def energy(x: Any, a: Any) -> Any:
        return (x**2).sum() / 2 + a * (tnp.exp(0.3 * x)).sum() + x[0] * x[1] * 0.1

    x = np.array([0.5, -0.3, 0.2, 0.9])

    def direction(a: Any) -> Any:
        def hvp(v: Any) -> Any:
            return jvp(lambda x: grad(energy)(x, a), (tnp.asarray(x),), (v,))[1]

        return lax.custom_linear_solve(
            hvp, grad(energy)(x, a), conjugate_gradients, symmetric=True
        )

    def dense(a: Any) -> Any:
        return tnp.linalg.solve(hessian(energy)(x, a), grad(energy)(x, a))

    for around in (lambda f: f, jit):
        np.testing.assert_allclose(around(direction)(1.3), dense(1.3), rtol=1e-10)
        np.testing.assert_allclose(around(jacfwd(direction))(1.3), jacfwd(dense)(1.3), rtol=1e-9)
        np.testing.assert_allclose(around(jacrev(direction))(1.3), jacfwd(dense)(1.3), rtol=1e-9)


def newton(f: Any, x: Any) -> Any:
    def step(state: Any) -> Any:
        x, n = state
        return x - tnp.linalg.solve(jacobian(f)(x), f(x)), n + 1

    return lax.while_loop(lambda state: state[1] < 25, step, (x, 0))[0]


def dense_solve(g: Any, y: Any) -> Any:
    return tnp.linalg.solve(jacobian(g)(y), y)


def root(a: Any) -> Any:
    """The root of two equations, in closed form ``(a0 / a1, log(a1))``."""

    def f(x: Any) -> Any:
        return tnp.stack([x[0] * a[1] - a[0], tnp.exp(x[1]) - a[1] + 0.1 * (x[0] * a[1] - a[0])])

    return lax.custom_root(f, tnp.ones(2), newton, dense_solve)


def exact(a: Any) -> Any:
    return tnp.stack([a[0] / a[1], tnp.log(a[1])])


@pytest.mark.parametrize("around", [lambda f: f, jit])
def test_roots(around: Any) -> None:
    a = np.array([3.0, 2.0])
    lanes = np.stack([a, a + 1, a + 2])
    for made in (
        lambda f: f(a),
        lambda f: jacrev(f)(a),
        lambda f: jacfwd(f)(a),
        lambda f: jvp(f, (a,), (a,)),
        lambda f: hessian(lambda a: f(a).sum())(a),
        lambda f: jacrev(jacrev(lambda a: f(a).sum()))(a),
        lambda f: vmap(f)(lanes),
        lambda f: vmap(jacrev(f))(lanes),
        lambda f: grad(lambda x: vmap(f)(x).sum())(lanes),
        lambda f: jvp(vmap(f), (lanes,), (lanes,)),
        lambda f: grad(lambda x: lax.scan(lambda c, y: (c + f(y), None), a, x)[0].sum())(lanes),
        lambda f: grad(lambda a: lax.cond(a[0] > 0, f, lambda a: a, a).sum())(a),
    ):
        found, right = around(lambda made=made: (made(root), made(exact)))()
        for x, y in zip(_leaves(found), _leaves(right), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-10)


def test_the_root_of_a_scalar_function_with_more_results() -> None:
    def of(a: Any) -> Any:
        def solve(f: Any, x: Any) -> Any:
            x = lax.fori_loop(0, 30, lambda _, x: x - f(x) / grad(f)(x), x)
            return x, {"residual": f(x), "steps": 30}

        return lax.custom_root(
            lambda x: x**2 - a, 1.0, solve, lambda g, y: y / g(1.0), has_aux=True
        )

    x, aux = of(4.0)
    assert float(x) == 2.0
    assert int(aux["steps"]) == 30
    for around in (lambda f: f, jit):
        found, aux = around(grad(of, has_aux=True))(4.0)
        assert float(found) == 0.25
        assert float(aux["residual"]) == 0.0
        np.testing.assert_allclose(around(grad(grad(lambda a: of(a)[0])))(4.0), -(4.0**-1.5) / 4)


def test_pytrees_and_more_results() -> None:
    def solution(a: Any, b: Any) -> Any:
        def solve(matvec: Any, b: Any) -> Any:
            return {"u": b["u"] / a, "v": b["v"] / 2}, 7

        return lax.custom_linear_solve(
            lambda x: {"u": a * x["u"], "v": 2 * x["v"]}, b, solve, symmetric=True, has_aux=True
        )

    b = {"u": B, "v": 3.0}
    x, steps = jit(solution)(2.0, b)
    assert int(steps) == 7
    np.testing.assert_allclose(x["u"], B / 2)
    da, db = grad(lambda a, b: solution(a, b)[0]["u"].sum(), (0, 1))(2.0, b)
    np.testing.assert_allclose(da, -B.sum() / 4)
    np.testing.assert_allclose(db["u"], 0.5)
    assert float(db["v"]) == 0.0
    assert float(vmap(grad(lambda a: solution(a, b)[0]["v"] + a))(B)[0]) == 1.0


def test_the_guess_and_what_the_solver_reads_have_no_derivatives() -> None:
    def of(a: Any, guess: Any, damping: Any) -> Any:
        def solve(f: Any, x: Any) -> Any:
            return lax.fori_loop(0, 200, lambda _, x: x - damping * f(x), x)

        return lax.custom_root(lambda x: x - a, guess, solve, lambda g, y: y / g(1.0))

    for around in (lambda f: f, jit):
        found = around(grad(of, (0, 1, 2)))(4.0, 1.0, 0.5)
        assert [float(x) for x in found] == [1.0, 0.0, 0.0]


def test_a_solver_may_branch_on_known_values() -> None:
    def of(a: Any) -> Any:
        def solve(f: Any, x: Any) -> Any:
            while abs(f(x)) > 1e-12:
                x = x - f(x) / grad(f)(x)
            return x

        return lax.custom_root(lambda x: x**2 - a, 1.0, solve, lambda g, y: y / g(1.0))

    np.testing.assert_allclose(of(9.0), 3.0)
    np.testing.assert_allclose(grad(of)(9.0), 1 / 6)


def test_errors() -> None:
    def solve(matvec: Any, b: Any) -> Any:
        return b

    with pytest.raises(MissingRuleError, match="Give transpose_solve, or symmetric=True"):
        grad(lambda b: lax.custom_linear_solve(lambda x: x, b, solve).sum())(B)
    with pytest.raises(DTypeError, match=r"b\['n'\] must be floating or complex; got .*i64"):
        lax.custom_linear_solve(lambda x: x, {"n": 3}, solve)
    bad = lambda x: x[:2]
    with pytest.raises(ShapeError, match=r"the result of .* must have shape \(4,\); got \(2,\)"):
        jit(lambda b: lax.custom_linear_solve(bad, b, solve))(B)
    with pytest.raises(StructureError, match="the result of lambda must have the structure of b"):
        lax.custom_linear_solve(lambda x: x, B, lambda f, b: (b, b))
    with pytest.raises(StructureError, match=r"has_aux=True, .* must be a pair \(solution, aux\)"):
        lax.custom_linear_solve(lambda x: x, B, solve, has_aux=True)

    def f(x: Any) -> Any:
        return x["u"]

    with pytest.raises(StructureError, match="the result of f must have the structure of initial"):
        jit(lambda x: lax.custom_root(f, x, lambda f, x: x, solve))({"u": B})
    with pytest.raises(DTypeError, match="initial_guess must be floating or complex"):
        lax.custom_root(lambda x: x, 1, solve, solve)
