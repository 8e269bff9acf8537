"""Integrals of samples and solutions of differential equations, against SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import DTypeError, ShapeError, TracejitError
from tracejit.experimental.ode import odeint
from tracejit.scipy import integrate
from tracejit.test_util import check_grads

RNG = np.random.default_rng(0)
X = np.sort(RNG.random(8))
Y = RNG.normal(size=(3, 8))
T = np.linspace(0, 5, 11)
START = np.array([1.0, 0.0])


def pendulum(y: Any, t: Any, a: Any) -> Any:
    return tnp.stack([y[1], -a * tnp.sin(y[0])])


def reference(t: Any, a: float = 2.0) -> Any:
    slope = lambda t, y: [y[1], -a * np.sin(y[0])]
    out = scipy.integrate.solve_ivp(slope, (t[0], t[-1]), START, t_eval=t, method="DOP853",
                                    rtol=1e-12, atol=1e-12)  # fmt: skip
    return out.y.T


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("name", ["trapezoid", "simpson", "cumulative_trapezoid"])
def test_samples(name: str, n: int) -> None:
    f, theirs = getattr(integrate, name), getattr(scipy.integrate, name)
    y, x = Y[:, :n], X[:n]
    np.testing.assert_allclose(tj.jit(f)(y, x), theirs(y, x=x), rtol=1e-12)
    np.testing.assert_allclose(f(y, dx=0.3), theirs(y, dx=0.3), rtol=1e-12)
    np.testing.assert_allclose(f(y.T, x, axis=0), theirs(y.T, x=x, axis=0), rtol=1e-12)
    if n > 1:
        check_grads(f, (y, x), order=2, rtol=1e-4, atol=1e-4)


def test_quadrature() -> None:
    f = lambda x, p: tnp.cos(p * x)
    out = integrate.fixed_quad(f, 0.0, 2.0, (1.5,), n=7)[0]
    np.testing.assert_allclose(out, np.sin(3.0) / 1.5, rtol=1e-8)
    check_grads(lambda b, p: integrate.fixed_quad(f, 0.0, b, (p,))[0], (2.0, 1.5), order=2)
    with_first = integrate.cumulative_trapezoid(Y, X, initial=0)
    np.testing.assert_allclose(
        with_first, scipy.integrate.cumulative_trapezoid(Y, X, initial=0), rtol=1e-12
    )


def test_states_at_given_times() -> None:
    f = tj.jit(lambda a: odeint(pendulum, START, T, a))
    np.testing.assert_allclose(f(2.0), reference(T), atol=1e-6)
    back = odeint(pendulum, reference(T)[-1], T[::-1], 2.0)
    np.testing.assert_allclose(back[-1], START, atol=1e-5)
    scipys = integrate.odeint(pendulum, START, T, (2.0,))
    np.testing.assert_allclose(scipys, reference(T), atol=1e-6)
    first = integrate.odeint(lambda t, y: -y, np.ones(1), T, tfirst=True)
    np.testing.assert_allclose(first[:, 0], np.exp(-T), rtol=1e-6)


def test_states_are_pytrees() -> None:
    slope = lambda y, t: {"a": -y["a"], "b": y["a"] + 0 * t}
    out = odeint(slope, {"a": np.ones((2, 2)), "b": np.zeros((2, 2))}, T)
    assert out["b"].shape == (11, 2, 2)
    np.testing.assert_allclose(out["b"][:, 1, 1], 1 - np.exp(-T), atol=1e-7)


def test_complex_and_single_precision() -> None:
    out = odeint(lambda y, t: 1j * y, np.ones(1, complex), T)
    np.testing.assert_allclose(out[:, 0], np.exp(1j * T), atol=1e-6)
    out = odeint(lambda y, t: -y, np.ones(1, "float32"), T, rtol=1e-5, atol=1e-6)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[:, 0], np.exp(-T), atol=1e-4)


def test_derivatives_forward_and_reverse() -> None:
    end = lambda a, y0: odeint(pendulum, y0, T[:3], a)[-1, 0]
    forward = tj.jvp(lambda a: end(a, START), (2.0,), (1.0,))[1]
    reverse, by_start = tj.jit(tj.grad(end, (0, 1)))(2.0, START)
    np.testing.assert_allclose(forward, reverse, rtol=1e-10)
    step = 1e-5
    quotient = (reference(T[:3], 2 + step)[-1, 0] - reference(T[:3], 2 - step)[-1, 0]) / (2 * step)
    np.testing.assert_allclose(reverse, quotient, rtol=1e-5)
    assert np.isfinite(by_start).all()


def test_lanes_take_steps_of_their_own() -> None:
    a = np.array([1.0, 2.0, 50.0])
    out = tj.jit(tj.vmap(lambda a: odeint(pendulum, START, T, a)))(a)
    for n, value in enumerate(a):
        np.testing.assert_allclose(out[n], reference(T, value), atol=1e-5)


def test_steps_that_do_not_suffice_give_nan() -> None:
    out = odeint(pendulum, START, np.array([0.0, 0.1, 50.0]), 2.0, mxstep=20)
    assert np.isfinite(out[1]).all()
    assert np.isnan(out[2]).all()
    exploding = odeint(lambda y, t: y * y, np.ones(1), np.array([0.0, 0.5, 2.0]))
    np.testing.assert_allclose(exploding[1], 2.0, rtol=1e-6)
    assert np.isnan(exploding[2]).all()


@pytest.mark.parametrize("method", ["RK45", "RK23"])
@pytest.mark.parametrize("how", [{}, {"rtol": 1e-8, "max_step": 0.1}, {"first_step": 0.01}])
def test_steps_are_scipys(method: str, how: Any) -> None:
    slope = lambda np: lambda t, y: [y[1], -2 * np.sin(y[0])]
    ours = integrate.solve_ivp(slope(tnp), (0.0, 5.0), START, method, dense_output=True, **how)
    theirs = scipy.integrate.solve_ivp(slope(np), (0, 5), START, method, dense_output=True, **how)
    assert ours.t.shape == theirs.t.shape
    np.testing.assert_allclose(ours.y[:, -1], theirs.y[:, -1], atol=0.03)
    np.testing.assert_allclose(ours.sol(T), theirs.sol(T), atol=0.03)
    assert ours.success


def test_times_to_evaluate_at() -> None:
    slope = lambda t, y, a: -a * y
    f = tj.jit(lambda a: integrate.solve_ivp(slope, (5.0, 0.0), np.ones(1), t_eval=T[::-1],
                                             args=(a,), rtol=1e-9, atol=1e-9))  # fmt: skip
    out = f(0.5)
    np.testing.assert_allclose(out.y[0], np.exp(0.5 * (5 - T[::-1])), rtol=1e-7)
    padded = tj.jit(lambda: integrate.solve_ivp(lambda t, y: -y, (0.0, 1.0), np.ones(1)))()
    assert padded.y.shape == (1, 1001)
    np.testing.assert_allclose(padded.y[0, -1], np.exp(-1), rtol=1e-3)
    check_grads(
        lambda a: integrate.solve_ivp(slope, (0.0, 1.0), np.ones(1), args=(a,), rtol=1e-6,
                                      t_eval=np.array([0.5, 1.0]), max_steps=60).y,
        (0.5,), order=2, rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    short = integrate.solve_ivp(lambda t, y: -y, (0.0, 9.0), np.ones(1), max_steps=3)
    assert short.status == -1
    assert not short.success


def test_refused() -> None:
    for f, error, match in [
        (lambda: odeint(pendulum, np.array([1, 0]), T, 2.0), DTypeError, "inexact"),
        (lambda: odeint(pendulum, START, 3.0, 2.0), ShapeError, "times as a vector"),
        (lambda: odeint(lambda y, t: y[:1], START, T), ShapeError, "slopes like states"),
        (lambda: integrate.solve_ivp(pendulum, (0, 1), START, "BDF"), TracejitError, "RK45"),
        (lambda: integrate.solve_ivp(pendulum, (0, 1), 1.0), ShapeError, "vector"),
    ]:
        with pytest.raises(error, match=match):
            f()
