"""Names of arguments for custom rules, and lanes that run one after another."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import StructureError
from tracejit.custom_batching import sequential_vmap
from tracejit.experimental import io_callback


def test_static_arguments_are_named() -> None:
    @partial(tj.custom_vjp, nondiff_argnums=(0,), nondiff_argnames="k")
    def apply(f, x, k):
        return f(x) * k

    apply.defvjp(lambda f, x, k: (f(x) * k, x), lambda f, k, x, ct: (7.0 * k * ct,))
    assert float(tj.jit(tj.grad(lambda x: apply(tnp.sin, x, 3.0)))(0.5)) == 21.0
    assert float(tj.grad(lambda x: apply(tnp.sin, x, k=2.0))(0.5)) == 14.0

    @partial(tj.custom_jvp, nondiff_argnames=("f",))
    def call(f, x):
        return f(x)

    call.defjvp(lambda f, primals, tangents: (f(*primals), 2.0 * tangents[0]))
    assert float(tj.grad(lambda x: call(tnp.sin, x))(0.5)) == 2.0


def test_a_name_that_is_no_argument() -> None:
    with pytest.raises(StructureError, match="nondiff_argnames names 'y', but the arguments are"):
        tj.custom_jvp(lambda x: x, nondiff_argnames="y")


@pytest.mark.parametrize("in_axes", [({"a": 0, "b": None}, 0), ({"a": 1, "b": None}, None)])
def test_sequential_lanes(in_axes) -> None:
    def fun(p, y):
        return {"s": tnp.sum(p["a"] * p["b"]) + y, "t": y}

    p = {"a": np.arange(9.0).reshape(3, 3), "b": np.array([1.0, -2.0, 0.5])}
    y = np.array([1.0, 2.0, 3.0]) if in_axes[1] == 0 else 4.0
    one = sequential_vmap(fun)
    wanted = tj.vmap(fun, in_axes=in_axes)(p, y)
    for way in (tj.vmap(one, in_axes=in_axes), tj.jit(tj.vmap(one, in_axes=in_axes))):
        got = way(p, y)
        for name in wanted:
            np.testing.assert_allclose(got[name], wanted[name])
    gradient = tj.vmap(tj.grad(lambda p, y: one(p, y)["s"] ** 2), in_axes=in_axes)(p, y)
    truth = tj.vmap(tj.grad(lambda p, y: fun(p, y)["s"] ** 2), in_axes=in_axes)(p, y)
    np.testing.assert_allclose(gradient["a"], truth["a"])


def test_sequential_lanes_are_not_one_batch() -> None:
    seen: list[tuple[int, ...]] = []

    @sequential_vmap
    def fun(x):
        shape = tj.ShapeDtypeStruct((), np.float64)

        def note(v):
            seen.append(np.shape(v))
            return np.float64(v)

        return io_callback(note, shape, x)

    np.testing.assert_array_equal(tj.vmap(fun)(np.arange(3.0)), np.arange(3.0))
    assert seen == [(), (), ()]
