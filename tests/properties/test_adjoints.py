"""Derivatives of solvers, against truths that need no derivative: adjoints, dense algebra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit import grad, hessian, jit, jvp, lax, linear_transpose, linearize, vjp, vmap

RNG = np.random.default_rng(0)


# ------------------------------------------------------------------------------ the wave equation

NY, NX, STEPS = 17, 23, 40
SPEED = RNG.uniform(0.3, 0.6, (NY, NX))  # times the time step, over the spacing
RECEIVERS = np.array([3, 8, 19])


def laplacian(u: Any) -> Any:
    """Five points, the field being zero outside."""
    u = tnp.pad(u, 1)
    return u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]


def step(before: Any, now: Any, speed: Any) -> Any:
    return 2 * now - before + speed**2 * laplacian(now)


def recorded(start: Any, speed: Any) -> tuple[Any, Any]:
    """Return the last field, and what receivers in a row saw of it, by scan."""

    def trip(fields: Any, _: Any) -> Any:
        before, now = fields
        after = step(before, now, speed)
        return (now, after), after[2, RECEIVERS]

    (_, last), seen = lax.scan(trip, (start, start), None, length=STEPS)
    return last, seen


def final(start: Any, speed: Any) -> tuple[Any, ...]:
    """Return the last field by fori_loop."""

    def trip(_: Any, fields: Any) -> Any:
        return fields[1], step(*fields, speed)

    return (lax.fori_loop(0, STEPS, trip, (start, start))[1],)


def dot(xs: Any, ys: Any) -> float:
    return sum(float(np.vdot(np.asarray(x), np.asarray(y))) for x, y in zip(xs, ys, strict=True))


def size(xs: Any) -> float:
    return np.sqrt(dot(xs, xs))


@pytest.mark.parametrize("solve", [recorded, final])
def test_the_adjoint_of_a_wave_solver(solve: Callable[..., tuple[Any, ...]]) -> None:
    """<L x, y> = <x, L^T y>: the test of an adjoint that every code for inversion passes."""
    x = RNG.normal(size=(NY, NX))
    forward = jit(lambda x: solve(x, SPEED))
    out = forward(x)
    ys = tuple(RNG.normal(size=o.shape) for o in out)
    transposes = {
        "vjp": jit(lambda *ys: vjp(lambda x: solve(x, SPEED), x)[1](ys)),
        "linear_transpose": jit(lambda *ys: linear_transpose(lambda x: solve(x, SPEED), x)(ys)),
    }
    for name, transposed in transposes.items():
        (back,) = transposed(*ys)
        assert abs(dot(out, ys) - dot([x], [back])) < 1e-12 * size(out) * size(ys), name


def test_the_transpose_of_a_solver_is_that_of_its_matrix() -> None:
    few = (4, 5)
    speed = SPEED[:4, :5]
    units = np.eye(20).reshape(20, *few)
    columns = vmap(lambda x: final(x, speed)[0])(units)
    rows = vmap(lambda y: linear_transpose(lambda x: final(x, speed)[0], y)(y)[0])(units)
    matrix, transposed = (np.asarray(m).reshape(20, 20).T for m in (columns, rows))
    np.testing.assert_allclose(transposed, matrix.T, rtol=0, atol=1e-12 * np.abs(matrix).max())


def test_the_derivative_by_the_speed() -> None:
    """The linearized solver and its adjoint agree, and both with differences."""
    start = np.exp(-((np.arange(NY)[:, None] - 8) ** 2 + (np.arange(NX) - 11) ** 2) / 4.0)
    change = RNG.normal(size=SPEED.shape)
    solve = lambda speed: recorded(start, speed)
    out, linear = linearize(solve, SPEED)
    moved = linear(change)
    ys = tuple(RNG.normal(size=o.shape) for o in out)
    (back,) = jit(lambda y: vjp(solve, SPEED)[1](y))(ys)
    assert abs(dot(moved, ys) - dot([change], [back])) < 1e-12 * size(moved) * size(ys)
    h = 1e-6
    ahead, behind = (jit(solve)(SPEED + s * h * change) for s in (1, -1))
    for got, a, b in zip(moved, ahead, behind, strict=True):
        slope = (np.asarray(a) - np.asarray(b)) / (2 * h)
        np.testing.assert_allclose(got, slope, rtol=0, atol=1e-7 * np.abs(slope).max())


# -------------------------------------------------------------------------------- Newton with CG


def energy(u: Any) -> Any:
    """A membrane in a convex potential."""
    across, down = tnp.diff(tnp.pad(u, 1), axis=0), tnp.diff(tnp.pad(u, 1), axis=1)
    return 0.5 * (tnp.sum(across**2) + tnp.sum(down**2)) + tnp.sum(tnp.cosh(u) + 0.1 * u)


def conjugate_gradients(apply: Callable[[Any], Any], b: Any) -> Any:
    """Solve ``apply(x) = b`` for a symmetric positive definite operator.

    Hestenes and Stiefel, 1952.
    """

    def go_on(state: Any) -> Any:
        count, _, _, _, rr = state
        return (rr > 1e-26 * tnp.sum(b * b)) & (count < 200)

    def trip(state: Any) -> Any:
        count, x, r, p, rr = state
        q = apply(p)
        alpha = rr / tnp.sum(p * q)
        x, r = x + alpha * p, r - alpha * q
        after = tnp.sum(r * r)
        return count + 1, x, r, r + after / rr * p, after

    start = (0, tnp.zeros_like(b), b, b, tnp.sum(b * b))
    return lax.while_loop(go_on, trip, start)[1]


def newton_step(u: Any) -> Any:
    slope = grad(energy)
    return conjugate_gradients(lambda p: jvp(slope, (u,), (p,))[1], -slope(u))


def dense_step(u: Any) -> Any:
    matrix = np.asarray(hessian(energy)(u)).reshape(u.size, u.size)
    return np.linalg.solve(matrix, -np.asarray(grad(energy)(u)).reshape(-1)).reshape(u.shape)


def test_products_with_the_hessian_in_conjugate_gradients() -> None:
    fields = RNG.normal(size=(3, 6, 7))
    for u in fields[:2]:
        wanted = dense_step(u)
        for step_of in (newton_step, jit(newton_step)):
            np.testing.assert_allclose(step_of(u), wanted, rtol=0, atol=1e-11)
    found = jit(vmap(newton_step))(fields)  # every lane ends after a number of trips of its own
    np.testing.assert_allclose(found, [dense_step(u) for u in fields], rtol=0, atol=1e-11)


def test_newtons_method_finds_the_minimum() -> None:
    u = jit(lambda u: lax.fori_loop(0, 8, lambda _, u: u + newton_step(u), u))(np.zeros((6, 7)))
    np.testing.assert_allclose(grad(energy)(u), np.zeros((6, 7)), rtol=0, atol=1e-13)
