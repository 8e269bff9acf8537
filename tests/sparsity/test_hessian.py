"""Sparse Hessians: against dense ones, and how few products they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError, SparsityError
from tracejit.sparsity import hessian

RNG = np.random.default_rng(11)


def rosenbrock(x: Any) -> Any:
    return tnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def arrow(x: Any) -> Any:
    return tnp.sum(tnp.sin(x[-1] * x[:-1])) + x[-1] ** 4


def arrow_first(x: Any) -> Any:
    return tnp.sum(tnp.sin(x[0] * x[1:]))


def membrane(u: Any) -> Any:
    across, down = u[:, 1:] - u[:, :-1], u[1:] - u[:-1]
    return tnp.sum(across**4) + tnp.sum(down**2 * u[1:])


def off_diagonal(x: Any) -> Any:
    return tnp.sum(x[::2] * x[1::2])


CASES: dict[str, tuple[Callable[..., Any], tuple[int, ...], int]] = {
    "Rosenbrock chain": (rosenbrock, (30,), 3),
    "arrow": (arrow, (20,), 2),
    "arrow, first": (arrow_first, (20,), 2),
    "membrane": (membrane, (7, 9), 6),
    "off the diagonal": (off_diagonal, (8,), 2),
    "linear": (tnp.sum, (5,), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_dense_hessian(name: str) -> None:
    fun, shape, most = CASES[name]
    x = RNG.standard_normal(shape)
    found = hessian(fun, sparsity="detect")
    got = found(x)
    dense = np.asarray(tracejit.hessian(fun)(x)).reshape(got.shape)
    np.testing.assert_allclose(got.toarray(), dense, rtol=1e-12, atol=1e-12)
    assert found.plan(x).products <= most


def test_a_long_chain() -> None:
    x = RNG.standard_normal(100_000)
    found = hessian(rosenbrock, sparsity="detect")
    v = RNG.standard_normal(x.shape)
    product = tracejit.jvp(tracejit.grad(rosenbrock), (x,), (v,))[1]
    np.testing.assert_allclose(found(x) @ v, np.asarray(product), rtol=1e-9, atol=1e-9)
    assert found.plan(x).products == 3


def test_blocks_of_several_arguments() -> None:
    def fun(x: Any, y: Any) -> Any:
        return tnp.sum(x**2 * y[:3]) + y[3] ** 3

    x, y = RNG.standard_normal(3), RNG.standard_normal(4)
    blocks = hessian(fun, argnums=(0, 1), sparsity=True)(x, y)
    dense = tracejit.hessian(fun, argnums=(0, 1))(x, y)
    for i in range(2):
        for j in range(2):
            np.testing.assert_allclose(blocks[i][j].toarray(), np.asarray(dense[i][j]))


def test_a_given_pattern_is_made_symmetric_and_checked() -> None:
    x = RNG.standard_normal(6)
    lower = np.eye(6) + np.eye(6, k=-1)
    wanted = np.asarray(tracejit.hessian(rosenbrock)(x))
    np.testing.assert_allclose(hessian(rosenbrock, sparsity=lower)(x).toarray(), wanted)
    with pytest.raises(SparsityError, match="leaves out entries"):
        hessian(rosenbrock, sparsity=np.eye(6))(x)


def test_refuses_what_is_no_scalar() -> None:
    with pytest.raises(ShapeError, match="output must be a scalar"):
        hessian(tnp.sin, sparsity=True)(np.ones(3))


def test_aux_checkpoints_and_loops() -> None:
    def fun(x: Any) -> Any:
        def step(i: Any, y: Any) -> Any:
            return y - 0.1 * y * tnp.sin(y)

        inner = tracejit.checkpoint(lambda x: tracejit.lax.fori_loop(0, 3, step, x))
        return tnp.sum(inner(x)[1:] * x[:-1]), {"last": x[-1]}

    x = RNG.standard_normal(6)
    found = hessian(fun, has_aux=True, sparsity=True)
    got, aux = found(x)
    dense = tracejit.hessian(lambda x: fun(x)[0])(x)
    np.testing.assert_allclose(got.toarray(), np.asarray(dense), rtol=1e-10, atol=1e-10)
    assert float(aux["last"]) == x[-1]
    plan = found.plan(x)
    assert (plan.products, plan.notes) == (3, ())
    np.testing.assert_allclose(tracejit.jit(found.values)(x)[0], got.data)
