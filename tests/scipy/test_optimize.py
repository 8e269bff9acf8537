"""Minima and roots: SciPy's, their implicit derivatives, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import DTypeError, ShapeError, TracejitError
from tracejit.scipy import optimize
from tracejit.test_util import check_grads


def rosenbrock(x: Any) -> Any:
    return tnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def himmelblau(x: Any) -> Any:
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS", "l-bfgs-experimental-do-not-rely-on-this"])
@pytest.mark.parametrize("start", [[-1.2, 1], [1.3, 0.7, 0.8, 1.9, 1.2], [0.0] * 10, [1.0, 1.0]])
def test_rosenbrock(method: str, start: Any) -> None:
    x0 = np.array(start, float)
    found = tj.jit(lambda x0: optimize.minimize(rosenbrock, x0, method=method, tol=1e-8))(x0)
    assert found.success
    assert found.status == 0
    np.testing.assert_allclose(found.x, 1, atol=1e-7)
    np.testing.assert_allclose(found.fun, 0, atol=1e-14)
    theirs = scipy.optimize.minimize(
        scipy.optimize.rosen, x0, jac=scipy.optimize.rosen_der, method="BFGS", tol=1e-8
    )
    assert found.nit <= 2 * theirs.nit + 5
    assert (found.hess_inv is None) == (method != "BFGS")


def test_other_minima() -> None:
    found = optimize.minimize(himmelblau, np.zeros(2), method="BFGS")
    np.testing.assert_allclose(found.x, [3, 2], atol=1e-5)
    shifted = lambda x, a, b: tnp.sum((x - a) ** 2) + b
    found = optimize.minimize(shifted, np.zeros(3, "float32"), (np.float32(2), 1.0), method="BFGS")
    assert found.x.dtype == np.float32
    np.testing.assert_allclose(found.x, 2, rtol=1e-5)
    np.testing.assert_allclose(found.fun, 1, rtol=1e-6)


def test_minima_in_lanes() -> None:
    solve = lambda a: optimize.minimize(lambda x: tnp.sum((x - a) ** 4 + (x - a) ** 2),
                                        tnp.zeros(2), method="BFGS").x  # fmt: skip
    a = np.array([[1.0, 2.0], [-3.0, 0.5], [100.0, 0.0]])
    np.testing.assert_allclose(tj.jit(tj.vmap(solve))(a), a, atol=1e-4)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS"])
def test_derivatives_of_the_minimum(method: str) -> None:
    def least(a: Any) -> Any:
        f = lambda x: tnp.sum((x - a) ** 4 + (x - a) ** 2 + x**2 * a)
        return optimize.minimize(f, tnp.zeros(2), method=method, tol=1e-13).x

    check_grads(least, (np.array([1.0, 2.0]),), order=2)


def test_how_a_minimisation_ends() -> None:
    end = lambda f, **how: optimize.minimize(f, np.ones(2), method="BFGS", **how)
    assert end(rosenbrock, options={"maxiter": 0}).success  # it starts at the minimum
    assert end(lambda x: tnp.sum((x - 9) ** 4), options={"maxiter": 1}).status == 1
    with np.errstate(invalid="ignore"):
        lost = end(lambda x: tnp.sum(tnp.where(x > 0, tnp.nan, x)))
    assert not lost.success
    falling = end(lambda x: -tnp.sum(x), options={"maxiter": 20})
    assert not falling.success


CUBES = np.array([1.0, 8.0, 27.0])
SOLVERS = {
    "newton": lambda a: optimize.newton(lambda x, a: x**3 - a, tnp.full(3, 2.0), args=(a,)),
    "newton, slope": lambda a: optimize.newton(
        lambda x: x**3 - a, tnp.full(3, 2.0), lambda x: 3 * x**2
    ),
    "bisect": lambda a: optimize.bisect(lambda x, a: x**3 - a, 0.0, 4.0, args=(a,)),
    "brentq": lambda a: optimize.brentq(lambda x, a: x**3 - a, 4.0, 0.0, args=(a,)),
    "fixed_point": lambda a: optimize.fixed_point(
        lambda x, a: 0.5 * (x + tnp.sqrt(a / x)), np.full(3, 2.0), args=(a,)
    ),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_roots_of_one_variable(name: str) -> None:
    f = SOLVERS[name]
    np.testing.assert_allclose(tj.jit(f)(CUBES), [1, 2, 3], rtol=1e-9)
    slope = tj.grad(lambda a: tnp.sum(f(a)))(CUBES)
    np.testing.assert_allclose(slope, 1 / (3 * np.array([1, 4, 9])), rtol=1e-7)
    lanes = tj.vmap(f)(np.stack([CUBES, 2 * CUBES]))
    np.testing.assert_allclose(lanes[1], np.cbrt(2 * CUBES), rtol=1e-9)
    check_grads(f, (CUBES,), order=2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("solver", [optimize.bisect, optimize.brentq])
def test_brackets(solver: Any) -> None:
    f = lambda x: x**3 - 8.0
    np.testing.assert_allclose(solver(f, np.array([1.0, 3.0, 2.0]), 4.0), [2, np.nan, 2])
    flat = solver(lambda x: tnp.arctan(20 * (x - 0.3)) ** 3, -10.0, 50.0)
    np.testing.assert_allclose(flat, 0.3, atol=1e-3)
    want = scipy.optimize.brentq(lambda x: np.cos(x) - x, 0, 1)
    np.testing.assert_allclose(solver(lambda x: tnp.cos(x) - x, 0, 1), want, atol=1e-11)


def test_newton_that_does_not_arrive_is_nan() -> None:
    assert np.isnan(optimize.newton(lambda x: x * x + 1.0, 0.3))


def system(x: Any, p: Any) -> Any:
    return tnp.array([x[0] + 0.5 * (x[0] - x[1]) ** 3 - p, 0.5 * (x[1] - x[0]) ** 3 + x[1]])


def test_roots_of_vectors() -> None:
    found = tj.jit(lambda p: optimize.root(system, np.zeros(2), args=(p,)))(1.0)
    assert found.success
    np.testing.assert_allclose(found.x, [0.8411639019140096, 0.15883609808599], rtol=1e-9)
    check_grads(lambda p: optimize.root(system, np.zeros(2), args=(p,)).x, (1.0,), order=2)
    far = optimize.root(lambda x: tnp.arctan(x), np.array([[20.0]]))  # full steps would diverge
    np.testing.assert_allclose(far.x, [[0.0]], atol=1e-9)
    assert not optimize.root(lambda x: x * x + 1.0, np.ones(1)).success


def test_refused() -> None:
    x0 = np.zeros(2)
    for f, error, match in [
        (lambda: optimize.minimize(himmelblau, x0, method="CG"), TracejitError, "BFGS or L-BFGS"),
        (lambda: optimize.minimize(himmelblau, 0.0, method="BFGS"), ShapeError, "vector"),
        (lambda: optimize.minimize(himmelblau, [0, 0], method="BFGS"), DTypeError, "floating"),
        (lambda: optimize.minimize(lambda x: x, x0, method="BFGS"), ShapeError, "scalar"),
        (lambda: optimize.minimize(himmelblau, x0, method="BFGS", options={"disp": 1}),
         TracejitError, "options"),
        (lambda: optimize.root(lambda x: x[:1], x0), ShapeError, "like x"),
        (lambda: optimize.root(lambda x: x, x0, method="broyden1"), TracejitError, "method"),
        (lambda: optimize.bisect(lambda x: x, -1, 1, full_output=True), TracejitError, "offered"),
    ]:  # fmt: skip
        with pytest.raises(error, match=match):
            f()
