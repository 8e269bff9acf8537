"""vmap is a loop: over every axis, nested, and mixed with derivatives; Jacobians."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit.core.primitive import PRIMITIVES, define
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import float0
from tracejit.ir.verify import verify
from tracejit.ops.arithmetic import add, mul
from tracejit.ops.shape import reduce_sum, reshape, transpose
from tracejit.ops.transcendental import exp, sin
from tracejit.transforms.api import (
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    make_program,
    vmap,
)
from tracejit.transforms.batching import axis_rules, batch_program
from tracejit.transforms.stage import evaluate, stage

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4))
Y = RNG.normal(size=(3, 4))


def _f(x: Any, y: Any) -> Any:
    """Of two matrices, or of what is left of them."""
    rank = len(x.shape)
    s = mul(sin(x), y)
    return add(transpose(s, tuple(reversed(range(rank)))), exp(reduce_sum(y, range(rank))))


def _loop(f: Any, in_axes: Any, out_axis: int, *args: Any) -> Any:
    size = next(x.shape[a] for x, a in zip(args, in_axes, strict=True) if a is not None)
    rows = [
        np.asarray(
            f(*(x if a is None else np.take(x, i, a) for x, a in zip(args, in_axes, strict=True)))
        )
        for i in range(size)
    ]
    return np.stack(rows, axis=out_axis)


@pytest.mark.parametrize("x_axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("out_axis", [0, 1, 2, -1])
@pytest.mark.parametrize("y_axis", [None, 0, 1, 2, -2])
def test_vmap_is_a_loop(x_axis: int, y_axis: int | None, out_axis: int) -> None:
    x = np.moveaxis(X, 0, x_axis)
    y = Y if y_axis is None else np.moveaxis(X + 1, 0, y_axis)
    found = vmap(_f, in_axes=(x_axis, y_axis), out_axes=out_axis)(x, y)
    np.testing.assert_allclose(
        found, _loop(_f, (x_axis, y_axis), out_axis, x, y), rtol=1e-13, atol=1e-13
    )


def test_nested_vmap() -> None:
    y = RNG.normal(size=(4, 2))
    found = vmap(vmap(_f, in_axes=(0, 1), out_axes=1), in_axes=(1, None), out_axes=2)(X, y)
    expected = np.empty((4, 2, 3))
    for i in range(2):
        for j in range(3):
            expected[:, i, j] = _f(X[i, j], y[:, i])
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_pytrees_of_axes() -> None:
    def f(p: Any, x: Any) -> Any:
        return {"a": mul(p["w"], x), "b": (p["c"], add(x, 0.0))}

    p = {"w": np.arange(6.0).reshape(3, 2), "c": np.array(7.0)}
    out = vmap(f, in_axes=({"w": 1, "c": None}, None), out_axes={"a": 1, "b": None})(p, np.ones(3))
    np.testing.assert_array_equal(out["a"], p["w"])
    np.testing.assert_array_equal(out["b"][0], 7.0)
    np.testing.assert_array_equal(out["b"][1], np.ones(3))


def test_results_that_are_not_mapped_are_copied() -> None:
    out = vmap(lambda x: (x, 3, np.arange(2.0)), out_axes=(0, 0, 1))(np.ones(4))
    np.testing.assert_array_equal(out[1], [3] * 4)
    np.testing.assert_array_equal(out[2], np.tile([[0.0], [1.0]], (1, 4)))
    assert vmap(lambda: 1.0, axis_size=3)().shape == (3,)
    assert vmap(lambda x: x, in_axes=None, axis_size=3)(2.0).shape == (3,)


def test_keyword_arguments_are_mapped_over_their_first_axis() -> None:
    out = vmap(lambda x, *, k: add(x, k["v"]), in_axes=None)(1.0, k={"v": np.arange(3.0)})
    np.testing.assert_array_equal(out, [1.0, 2.0, 3.0])


def test_vmap_of_no_samples() -> None:
    assert vmap(sin)(np.ones((0, 3))).shape == (0, 3)


def _loss(w: Any, x: Any) -> Any:
    return reduce_sum(mul(sin(mul(w, x)), x), (0,))


def test_vmap_of_grad_and_grad_of_vmap() -> None:
    w, xs = RNG.normal(size=3), RNG.normal(size=(5, 3))
    each = vmap(grad(_loss), in_axes=(None, 0))(w, xs)
    expected = np.cos(w * xs) * xs * xs
    np.testing.assert_allclose(each, expected, rtol=1e-12)

    def total(w: Any) -> Any:
        return reduce_sum(vmap(_loss, in_axes=(None, 0))(w, xs), (0,))

    np.testing.assert_allclose(grad(total)(w), expected.sum(0), rtol=1e-12)
    both = np.asarray(vmap(grad(total))(np.stack([w, w])))
    np.testing.assert_allclose(both[1], expected.sum(0), rtol=1e-12)


def test_vmap_within_grad_over_an_outer_tracer() -> None:
    xs = np.arange(3.0)
    g = grad(lambda a: reduce_sum(vmap(lambda x: mul(a, mul(a, x)))(xs), (0,)))(2.0)
    np.testing.assert_allclose(g, 12.0)
    program = make_program(grad(lambda a: reduce_sum(vmap(lambda x: mul(a, x))(xs), (0,))))(2.0)
    verify(program)


def test_jacobians() -> None:
    a = RNG.normal(size=(2, 3))

    def f(x: Any, p: Any) -> Any:
        product = reduce_sum(mul(a, vmap(lambda _: x)(np.zeros(2))), (1,))
        return {"y": mul(sin(product), p["s"]), "x": mul(x, x)}

    x, p = RNG.normal(size=3), {"s": 2.0, "u": np.ones((1, 2))}
    for jac in (jacfwd, jacrev):
        j = jac(f)(x, p)
        np.testing.assert_allclose(j["y"], 2 * np.cos(a @ x)[:, None] * a, rtol=1e-12)
        np.testing.assert_allclose(j["x"], np.diag(2 * x), rtol=1e-12)
        of_both = jac(f, argnums=(1, 0))(x, p)
        np.testing.assert_allclose(of_both["y"][0]["s"], np.sin(a @ x), rtol=1e-12)
        assert of_both["y"][0]["u"].shape == (2, 1, 2)
        assert not np.any(of_both["x"][0]["u"])
        j2, aux = jac(lambda x: (f(x, p)["y"], {"s": sin(x), "n": "note"}), has_aux=True)(x)
        np.testing.assert_allclose(j2, j["y"])
        np.testing.assert_allclose(aux["s"], np.sin(x))
        assert aux["n"] == "note"


def test_hessian() -> None:
    x = RNG.normal(size=(2, 2))

    def f(x: Any) -> Any:
        flat = reshape(x, (4,))
        return reduce_sum(mul(mul(flat, flat), reduce_sum(flat, (0,))), (0,))

    h = hessian(f)(x)
    flat, eye = x.ravel(), np.eye(4)
    expected = 2 * eye * flat.sum() + 2 * flat[:, None] + 2 * flat[None, :]
    np.testing.assert_allclose(np.asarray(h).reshape(4, 4), expected, rtol=1e-12)
    assert h.shape == (2, 2, 2, 2)
    tree = hessian(lambda p: mul(p["a"], mul(p["b"], p["b"])))({"a": 2.0, "b": 3.0})
    np.testing.assert_allclose(tree["a"]["b"], 6.0)
    np.testing.assert_allclose(tree["b"]["b"], 4.0)
    np.testing.assert_allclose(tree["a"]["a"], 0.0)


def test_complex_jacobians() -> None:
    z = np.array([1 + 2j, 0.5j])
    for jac in (jacfwd, jacrev):
        np.testing.assert_allclose(
            jac(lambda z: mul(z, z), holomorphic=True)(z), np.diag(2 * z), rtol=1e-12
        )


def test_jacrev_of_integers() -> None:
    j = jacrev(lambda x: mul(x["x"], 2.0), allow_int=True)({"n": np.arange(4), "x": np.ones(3)})
    assert (j["n"].dtype, j["n"].shape) == (float0, (3, 4))
    np.testing.assert_array_equal(j["x"], 2 * np.eye(3))


def test_batch_program() -> None:
    program = stage(
        lambda x, y: [mul(x, y), sin(y), 2.0],
        [ShapedArray((3,), "float64"), ShapedArray((3,), "float64")],
    )
    batched, axes = batch_program(program, 4, (None, 1))
    verify(batched)
    assert batch_program(program, 4, [None, 1])[0] is batched
    assert axes == (1, 1, None)
    x, y = RNG.normal(size=3), RNG.normal(size=(3, 4))
    np.testing.assert_allclose(evaluate(batched, [x, y])[0], x[:, None] * y)
    forced, axes = batch_program(program, 4, (None, 1), out_axes=(0, None, 0))
    verify(forced)
    assert axes == (0, 1, 0)
    outs = evaluate(forced, [x, y])
    np.testing.assert_allclose(outs[0], (x[:, None] * y).T)
    assert [o.shape for o in outs] == [(4, 3), (3, 4), (4,)]


def test_collectives_find_their_axis() -> None:
    primitive = define(
        "test_axis_size",
        impl="only within vmap",
        shape=lambda *, axis_name: ShapedArray((), "int64"),
        jvp="no operands",
        transpose="no operands",
        batch="has its own rule",
        lower="only within vmap",
    )
    axis_rules[primitive] = lambda size, operands, axes, *, axis_name: (np.int64(size), None)
    try:

        def f(x: Any, y: Any) -> Any:
            return add(primitive.bind(axis_name="rows"), x), primitive.bind(axis_name="columns")

        inner = vmap(f, in_axes=(0, None), axis_name="columns")
        rows, columns = vmap(inner, axis_name="rows")(np.zeros((2, 3), int), np.zeros(2))
        np.testing.assert_array_equal(rows, np.full((2, 3), 2))
        np.testing.assert_array_equal(columns, np.full((2, 3), 3))

        # The body of a control operator finds it too.
        body = stage(
            lambda x: [add(primitive.bind(axis_name="rows"), x)], [ShapedArray((), "int64")]
        )

        def run_batch(operands: Any, axes: Any, *, body: Any) -> Any:
            batched, out_axes = batch_program(body, len(operands[0]), axes)
            return evaluate(batched, operands), out_axes

        run = define(
            "test_run_named",
            multiple=True,
            control=True,
            impl="only within vmap",
            shape=lambda *avals, body: list(body.out_avals),
            jvp="not needed here",
            transpose="not needed here",
            batch=run_batch,
            lower="not needed here",
        )
        found = vmap(lambda x: run.bind(x, body=body)[0], axis_name="rows")(np.arange(4))
        np.testing.assert_array_equal(found, np.arange(4) + 4)
    finally:
        del axis_rules[primitive], PRIMITIVES["test_axis_size"]
        PRIMITIVES.pop("test_run_named", None)


def test_jvp_of_vmap() -> None:
    x, v = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))
    out, tangent = jvp(vmap(sin, in_axes=1, out_axes=0), (x,), (v,))
    np.testing.assert_allclose(out, np.sin(x).T)
    np.testing.assert_allclose(tangent, (np.cos(x) * v).T)
