"""grad, jvp, vjp, linearize: closed forms, nesting, and each against the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracejit.core.array import Array
from tracejit.core.tracer import Tracer
from tracejit.ir.dtypes import float0
from tracejit.ir.verify import verify
from tracejit.ops.arithmetic import add, div, mul, neg, sub
from tracejit.ops.complex_numbers import abs_, conj, imag, real
from tracejit.ops.convert import convert_element_type
from tracejit.ops.hyperbolic import tanh
from tracejit.ops.shape import broadcast_in_dim, reduce_sum, reshape, transpose
from tracejit.ops.slicing import roll_axis, slice_
from tracejit.ops.transcendental import exp, sin
from tracejit.transforms.api import (
    grad,
    jvp,
    linear_transpose,
    linearize,
    make_program,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)
from tracejit.transforms.dce import dce
from tracejit.transforms.partial_eval import memory_budget

GRADS: dict[str, Callable[[Any], Any]] = {
    "reverse": grad,
    "forward": lambda f: lambda x: jvp(f, (x,), (1.0,))[1],
    "linearized": lambda f: lambda x: linearize(f, x)[1](1.0),
}

CLOSED: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "sin": (sin, [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)]),
    "cube": (
        lambda x: mul(x, mul(x, x)),
        [lambda x: x**3, lambda x: 3 * x**2, lambda x: 6 * x, lambda x: 6.0],
    ),
    "exp(2x)": (
        lambda x: exp(mul(x, 2.0)),
        [lambda x, n=n: 2**n * np.exp(2 * x) for n in range(4)],
    ),
    "1/x": (
        lambda x: div(1.0, x),
        [lambda x: 1 / x, lambda x: -(x**-2), lambda x: 2 * x**-3, lambda x: -6 * x**-4],
    ),
}


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("orders", ["rrr", "fff", "lll", "rfl", "frl", "lrf"])
def test_nested_to_third_order(name: str, orders: str) -> None:
    f, expected = CLOSED[name]
    by_letter = {how[0]: d for how, d in GRADS.items()} | {"l": GRADS["linearized"]}
    for order, value in enumerate(expected):
        g = f
        for letter in orders[:order]:
            g = by_letter[letter](g)
        np.testing.assert_allclose(g(0.7), value(0.7), rtol=1e-13)


@pytest.mark.parametrize("inner", GRADS.values(), ids=GRADS)
@pytest.mark.parametrize("outer", GRADS.values(), ids=GRADS)
def test_perturbations_are_not_confused(inner: Any, outer: Any) -> None:
    # d/dx x (d/dy (x + y)) is 1, and 2 if the two perturbations are taken for one.
    assert float(outer(lambda x: mul(x, inner(lambda y: add(x, y))(1.0)))(1.0)) == 1.0
    # d/dx x (d/dy x y at 2) is d/dx x^2.
    assert float(outer(lambda x: mul(x, inner(lambda y: mul(x, y))(2.0)))(3.0)) == 6.0
    # A derivative that does not depend on x at all.
    assert float(outer(lambda x: inner(lambda y: mul(y, y))(5.0))(1.0)) == 0.0
    # The inner point is the outer variable.
    assert float(outer(lambda x: mul(x, inner(lambda y: mul(mul(y, y), x))(x)))(2.0)) == 24.0


def test_curried_perturbation() -> None:
    # The function made by the inner derivative is differentiated by the outer one.
    def shifted(x: Any) -> Any:
        return lambda f: lambda y: f(add(y, x))

    def twice(x: Any) -> Any:
        g = shifted(x)
        return g(grad(g(sin)))(1.0)  # g(g(sin)')(1) = cos(1 + 2x)

    np.testing.assert_allclose(grad(twice)(0.5), -2 * np.sin(2.0), rtol=1e-13)


def _network(p: Any, x: Any) -> Any:
    h = tanh(add(mul(x, broadcast_in_dim(p["w"], (4, 3), (1,))), p["b"]))
    return {"h": transpose(h, (1, 0)), "sum": reduce_sum(mul(h, h), (0,))}


def _random(seed: int) -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=3), "b": rng.normal()}, rng.normal(size=(4, 3))


def _dot(x: Any, y: Any) -> float:
    if isinstance(x, dict):
        return sum(_dot(x[k], y[k]) for k in x)
    if isinstance(x, tuple):
        return sum(map(_dot, x, y))
    return float(np.sum(np.asarray(x) * np.asarray(y)))


def test_vjp_is_the_transpose_of_jvp() -> None:
    primals = _random(0)
    out, pullback = vjp(_network, *primals)
    _, linear = linearize(_network, *primals)
    for seed in range(1, 4):
        tangents = _random(seed)
        rng = np.random.default_rng(-seed % 100)
        ct = {"h": rng.normal(size=(3, 4)), "sum": rng.normal(size=3)}
        out_jvp, pushed = jvp(_network, primals, tangents)
        np.testing.assert_allclose(out_jvp["sum"], out["sum"])
        np.testing.assert_allclose(_dot(pullback(ct), tangents), _dot(ct, pushed), rtol=1e-12)
        np.testing.assert_allclose(linear(*tangents)["h"], pushed["h"], rtol=1e-13)
        np.testing.assert_allclose(linear(*tangents)["sum"], pushed["sum"], rtol=1e-13)


def test_linearize_and_vjp_evaluate_the_function_once(evaluator: Any) -> None:
    _, linear = linearize(lambda x: sin(exp(x)), 0.3)
    before = evaluator.count
    assert float(linear(1.0)) == float(linear(1.0))
    assert evaluator.count == before + 2 * 2  # two multiplications each
    _, pullback = vjp(lambda x: sin(exp(x)), 0.3)
    before = evaluator.count
    pullback(1.0), pullback(2.0)
    assert evaluator.count == before + 2 * 2


def test_pullbacks_pass_through_a_trace() -> None:
    # The pullback is a pytree: it is returned from one traced function, used in another.
    def forward(x: Any) -> Any:
        return vjp(sin, x)

    program, shape = make_program(forward, return_shape=True)(1.0)
    verify(program)
    assert len(program.outputs) == 2
    del shape


def test_argnums_and_pytrees() -> None:
    def f(p: Any, x: Any, *, scale: Any) -> Any:
        return reduce_sum(mul(mul(p["w"], mul(x, p["b"])), scale), (0,))

    p: Any = {"w": np.array([1.0, 2.0]), "b": 3.0}
    x = np.array([4.0, 5.0])
    g = grad(f)(p, x, scale=2.0)
    assert set(g) == {"w", "b"}
    np.testing.assert_allclose(g["w"], 2 * 3 * x)
    np.testing.assert_allclose(g["b"], 2 * (p["w"] @ x))
    both = grad(f, argnums=(1, 0))(p, x, scale=2.0)
    assert isinstance(both, tuple)
    np.testing.assert_allclose(both[0], 6 * p["w"])
    np.testing.assert_allclose(grad(f, argnums=-1)(p, x, scale=2.0), 6 * p["w"])
    (value, (only,)) = value_and_grad(f, argnums=[0])(p, x, scale=2.0)
    np.testing.assert_allclose(value, 6 * (p["w"] @ x))
    np.testing.assert_allclose(only["w"], 6 * x)


def test_has_aux_everywhere() -> None:
    def f(x: Any) -> Any:
        y = sin(x)
        return mul(y, y), {"y": y, "note": "kept", "n": 3}

    s = np.sin(0.5)
    g, aux = grad(f, has_aux=True)(0.5)
    (value, aux2), g2 = value_and_grad(f, has_aux=True)(0.5)
    out, pullback, aux3 = vjp(f, 0.5, has_aux=True)
    out2, tangent, aux4 = jvp(f, (0.5,), (1.0,), has_aux=True)
    out3, linear, aux5 = linearize(f, 0.5, has_aux=True)
    for found in (aux, aux2, aux3, aux4, aux5):
        assert isinstance(found["y"], Array)
        np.testing.assert_allclose(found["y"], s)
        assert (found["note"], found["n"]) == ("kept", 3)
    for v in (value, out, out2, out3):
        np.testing.assert_allclose(v, s * s)
    for d in (g, g2, pullback(1.0)[0], tangent, linear(1.0)):
        np.testing.assert_allclose(d, np.sin(1.0))


def test_aux_may_hold_tracers_of_an_outer_grad() -> None:
    def f(x: Any) -> Any:
        g, aux = grad(lambda y: (mul(mul(y, y), x), mul(x, 3.0)), has_aux=True)(x)
        return mul(g, aux)  # 2 x^2 * 3 x

    np.testing.assert_allclose(grad(f)(2.0), 18 * 4.0)


def test_python_control_flow_on_values() -> None:
    seen: list[bool] = []

    def f(x: Any) -> Any:
        assert isinstance(x, Tracer)
        seen.append(bool(np.asarray(x) > 1))
        y = x
        while float(y) < 10:
            y = mul(y, x)
        return y

    np.testing.assert_allclose(grad(f)(3.0), 27.0)
    np.testing.assert_allclose(grad(grad(f))(3.0), 18.0)
    np.testing.assert_allclose(grad(f)(11.0), 1.0)
    assert seen == [True] * 3


def test_closures_over_outer_tracers() -> None:
    def f(x: Any, y: Any) -> Any:
        return grad(lambda z: mul(mul(z, x), mul(y, z)))(y)  # 2 x y^2

    np.testing.assert_allclose(grad(f, (0, 1))(2.0, 3.0), (18.0, 24.0))
    program = make_program(grad(f, (0, 1)))(2.0, 3.0)
    verify(program)


def test_jvp_of_grad_is_the_hessian_vector_product() -> None:
    def f(x: Any) -> Any:
        return reduce_sum(mul(sin(x), mul(x, x)), (0,))

    x, v = np.array([0.1, 0.7, -2.0]), np.array([1.0, -2.0, 0.5])
    second = np.cos(x) * 4 * x + 2 * np.sin(x) - np.sin(x) * x**2
    np.testing.assert_allclose(jvp(grad(f), (x,), (v,))[1], second * v, rtol=1e-12)
    np.testing.assert_allclose(
        grad(lambda x: reduce_sum(mul(grad(f)(x), v), (0,)))(x), second * v, rtol=1e-12
    )


def test_integers_have_derivatives_of_dtype_float0() -> None:
    def f(n: Any, x: Any) -> Any:
        return mul(convert_element_type(n, "float64"), x)

    n = np.array(3)
    g = grad(f, argnums=(0, 1), allow_int=True)(n, 2.0)
    assert g[0].dtype == float0
    assert g[0].shape == ()
    np.testing.assert_allclose(g[1], 3.0)
    zero = np.zeros((), float0)
    out, tangent = jvp(lambda n, x: (n, f(n, x)), (n, 2.0), (zero, 1.0))
    assert tangent[0].dtype == float0
    np.testing.assert_allclose(tangent[1], 3.0)
    _, pullback = vjp(lambda n, x: (n, f(n, x)), n, 2.0)
    cts = pullback((zero, 1.0))
    assert cts[0].dtype == float0
    np.testing.assert_allclose(cts[1], 3.0)
    del out


def test_memory_budget_is_seen_by_rules() -> None:
    seen: list[int | None] = []

    def f(x: Any) -> Any:
        seen.append(memory_budget.get())
        return mul(x, x)

    for memory in (None, 100, "64MB", "1.5 kiB"):
        grad(f, memory=memory)(1.0)
    assert seen == [None, 100, 64_000_000, 1536]


def test_complex_follows_jax() -> None:
    z = 0.3 + 0.4j
    # df/dx - i df/dy of |z| is conj(z)/|z|.
    np.testing.assert_allclose(grad(abs_)(z), np.conj(z) / abs(z))
    np.testing.assert_allclose(grad(lambda z: real(mul(z, z)))(z), 2 * z)
    np.testing.assert_allclose(grad(imag)(z), -1j)
    np.testing.assert_allclose(grad(sin, holomorphic=True)(z), np.cos(z))
    # Without conjugation: the pullback of multiplication by c is multiplication by c.
    (ct,) = vjp(lambda z: mul(z, 2 + 1j), z)[1](1j)
    np.testing.assert_allclose(ct, 1j * (2 + 1j))
    (ct,) = vjp(conj, z)[1](1j)
    np.testing.assert_allclose(ct, -1j)


def test_stop_gradient() -> None:
    np.testing.assert_allclose(grad(lambda x: mul(x, stop_gradient(sin(x))))(0.5), np.sin(0.5))
    np.testing.assert_allclose(
        vmap(grad(lambda x: mul(stop_gradient(x), x)))(np.arange(3.0)), np.arange(3.0)
    )
    tree = stop_gradient({"n": 3, "x": np.ones(2)})
    assert tree["n"] == 3
    program = make_program(grad(lambda x: stop_gradient(mul(x, x))))(1.0)
    assert [eq.primitive.name for eq in program.equations] == ["mul", "stop_gradient"]


def test_linear_transpose() -> None:
    def f(x: Any, y: Any) -> Any:
        return sub(reduce_sum(x, (0,)), mul(y, 3.0))

    x_ct, y_ct = linear_transpose(f, np.zeros((2, 3)), np.zeros(3))(np.arange(3.0))
    np.testing.assert_array_equal(x_ct, np.tile(np.arange(3.0), (2, 1)))
    np.testing.assert_array_equal(y_ct, -3 * np.arange(3.0))


WINDOWS: dict[str, list[tuple[tuple[int, int], tuple[int, int]]]] = {
    "a roll": [((0, 1), (0, 4)), ((1, 5), (0, 4))],
    "rolls along both axes": [
        ((1, 5), (0, 4)), ((0, 1), (0, 4)), ((4, 5), (0, 4)), ((0, 4), (0, 4)),
        ((0, 5), (3, 4)), ((0, 5), (0, 3)),
    ],
    "rows": [((n, n + 1), (0, 4)) for n in (3, 1, 0, 2, 4)],
    "rows, one of them missing, one twice": [((n, n + 1), (0, 4)) for n in (0, 1, 1, 3, 4)],
    "differences": [((0, 4), (0, 4)), ((1, 5), (0, 4))],
    "windows of both axes": [((0, 2), (0, 2)), ((2, 5), (0, 2)), ((2, 5), (2, 4))],
    "nothing": [((2, 2), (0, 4)), ((0, 2), (0, 4)), ((5, 5), (0, 4))],
}  # fmt: skip


@pytest.mark.parametrize("name", WINDOWS)
def test_cotangents_of_windows(name: str) -> None:
    windows = WINDOWS[name]

    def f(x: Any) -> list[Any]:
        cuts = [slice_(x, [a for a, _ in w], [b for _, b in w]) for w in windows]
        return [*cuts, mul(x, 2.0)]

    rng = np.random.default_rng(0)
    cts = [rng.integers(-9, 9, (b - a, d - c)) * 1.0 for (a, b), (c, d) in windows]
    wanted = np.ones((5, 4)) * 2.0
    for ((a, b), (c, d)), ct in zip(windows, cts, strict=True):
        wanted[a:b, c:d] += ct
    _, pullback = vjp(f, np.ones((5, 4)))
    np.testing.assert_array_equal(pullback([*cts, np.ones((5, 4))])[0], wanted)


def test_the_transpose_of_a_roll_is_a_roll() -> None:
    roll = make_program(lambda x: roll_axis(x, 1, 0))(np.ones((5, 4)))
    back = make_program(linear_transpose(lambda x: roll_axis(x, -1, 0), np.ones((5, 4))))
    names = [[eq.primitive.name for eq in p.equations] for p in (roll, back(np.ones((5, 4))))]
    assert names[0] == names[1] == ["slice", "slice", "concatenate"]


def test_a_function_that_ignores_an_input_costs_nothing_for_it() -> None:
    def f(x: Any, unused: Any) -> Any:
        return reduce_sum(mul(sin(unused), 0.0), (0,)), mul(x, x)

    def used(x: Any, unused: Any) -> Any:
        return f(x, unused)[1]

    program = dce(make_program(grad(used, argnums=(0, 1)))(2.0, np.ones(3)))
    # 1 x + x 1, and the zeros of the unused input: nothing of the sine.
    names = [eq.primitive.name for eq in program.equations]
    assert names == ["mul", "mul", "add", "broadcast_in_dim"]
    g = grad(used, argnums=(0, 1))(2.0, np.ones(3))
    np.testing.assert_array_equal(g[1], np.zeros(3))


def test_program_of_a_gradient(golden: Any) -> None:
    def loss(p: Any, x: Any, y: Any) -> Any:
        residual = sub(tanh(add(mul(p["w"], x), p["b"])), y)
        return reduce_sum(mul(residual, residual), (0,))

    p = {"w": np.ones(3), "b": 1.0, "unused": np.ones(7)}
    program = make_program(grad(loss))(p, np.ones(3), np.ones(3))
    verify(program)
    golden(str(program))


def test_program_of_a_batched_gradient(golden: Any) -> None:
    program = make_program(vmap(grad(lambda x: mul(sin(x), x))))(np.ones((4,)))
    verify(program)
    golden(str(program))


def test_nothing_but_shapes(golden: Any) -> None:
    def f(x: Any) -> Any:
        return reduce_sum(reshape(transpose(neg(x), (2, 0, 1)), (24,)), (0,))

    program = make_program(grad(f))(np.ones((2, 3, 4)))
    verify(program)
    golden(str(program))
