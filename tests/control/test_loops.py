"""fori_loop and map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracejit.control.loops import fori_loop, map_
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.ops.arithmetic import add, mul
from tracejit.ops.complex_numbers import complex_, real
from tracejit.ops.convert import convert_element_type
from tracejit.ops.shape import reduce_sum, reshape
from tracejit.ops.sorting import argsort
from tracejit.ops.transcendental import sin
from tracejit.transforms.api import grad, jvp, make_program, vmap

W = np.array([0.3, -0.7])


def powers(n: Any, x: Any) -> Any:
    """The sum over i < n of i sin^i(x)..., written as a loop."""

    def body(i: Any, carry: Any) -> Any:
        p, s = carry
        i = convert_element_type(i, "float64")
        return mul(p, sin(x)), add(s, mul(p, i))

    return fori_loop(0, n, body, (1.0, mul(x, 0.0)))[1]


def expected(n: int, x: Any) -> Any:
    return sum(i * np.sin(x) ** i for i in range(n))


def slope(n: int, x: Any) -> Any:
    return sum(i * i * np.sin(x) ** (i - 1) * np.cos(x) for i in range(1, n))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_static_bounds(n: int) -> None:
    np.testing.assert_allclose(powers(n, 0.4), expected(n, 0.4))
    np.testing.assert_allclose(grad(lambda x: powers(n, x))(0.4), slope(n, 0.4), atol=1e-15)
    np.testing.assert_allclose(
        vmap(grad(lambda x: powers(n, x)))(W), [slope(n, x) for x in W], atol=1e-15
    )
    names = [eq.primitive.name for eq in make_program(lambda x: powers(n, x))(0.4).equations]
    assert "scan" in names


@pytest.mark.parametrize("n", [0, 1, 5])
def test_traced_bounds(n: int) -> None:
    program = make_program(powers)(n, 0.4)
    assert "while_loop" in [eq.primitive.name for eq in program.equations]
    values = vmap(powers)(np.array([n, 2]), W)
    np.testing.assert_allclose(values, [expected(n, W[0]), expected(2, W[1])])
    _, tangents = vmap(lambda n, x: jvp(lambda x: powers(n, x), (x,), (1.0,)))(np.array([n, 3]), W)
    np.testing.assert_allclose(tangents, [slope(n, W[0]), slope(3, W[1])], atol=1e-15)
    slopes = vmap(lambda n, x: grad(lambda x: powers(n, x))(x))(np.array([n, 2]), W)
    np.testing.assert_allclose(slopes, [slope(n, W[0]), slope(2, W[1])], atol=1e-15)


def test_bounds_of_a_narrow_dtype_and_none_below() -> None:
    def body(i: Any, c: Any) -> Any:
        assert i.dtype == np.int32
        return add(c, i)

    assert int(fori_loop(np.int32(2), np.int32(5), body, np.int32(0))) == 9
    assert int(fori_loop(5, 2, lambda i, c: add(c, i), 7)) == 7
    assert int(fori_loop(-2, 2, lambda i, c: add(c, i), 0)) == -2


@pytest.mark.parametrize("size", [None, 1, 2, 3, 7])
def test_map(size: int | None) -> None:
    xs = {"a": np.arange(12.0).reshape(6, 2), "b": np.arange(6.0)}

    def f(x: Any) -> Any:
        return mul(sin(x["a"]), x["b"]), x["b"]

    first, second = map_(f, xs, batch_size=size)
    np.testing.assert_allclose(first, np.sin(xs["a"]) * xs["b"][:, None])
    np.testing.assert_allclose(second, xs["b"])

    def loss(x: Any) -> Any:
        return reduce_sum(map_(f, x, batch_size=size)[0], (0, 1))

    slopes = grad(loss)(xs)
    np.testing.assert_allclose(slopes["a"], np.cos(xs["a"]) * xs["b"][:, None])


@pytest.mark.parametrize(
    ("body", "x"),
    [
        (lambda i, c: reshape(real(complex_(reduce_sum(c, (0,)), 1.0)), (1,)), W[:1]),
        (lambda i, c: add(sin(c), convert_element_type(argsort(c, 0), float)), W),
    ],
)
def test_results_of_callbacks_in_the_place_of_carried_values(body: Any, x: Any) -> None:
    """The carried value is of another shape, or of another dtype of the same width."""
    wanted = x
    for i in range(3):
        wanted = body(i, wanted)
    np.testing.assert_allclose(fori_loop(0, 3, body, x), wanted, rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fori_loop(0, 2.5, lambda i, c: c, 0), DTypeError, "upper must be an integer"),
        (lambda: fori_loop(W, 2, lambda i, c: c, 0), ShapeError, "lower must be a scalar"),
        (lambda: fori_loop("0", 2, lambda i, c: c, 0), DTypeError, "lower must be an integer"),
        (
            lambda: fori_loop(0, 2, lambda i, c: {"k": W}, {"k": 0}),
            ShapeError,
            r"fori_loop: .*the value\['k'\] goes in with shape \(\) and comes out with \(2,\)",
        ),
        (
            lambda: fori_loop(0, 2, lambda i, c: [sin(W)], [W.astype("float32")]),
            DTypeError,
            r"fori_loop: .*the value\[0\] goes in as f32\[2\] and comes out as f64\[2\]",
        ),
        (
            lambda: fori_loop(0, 2, lambda i, c: (c, c), (W, (W,))),
            StructureError,
            r"fori_loop: the result of lambda .* at \[0\] there is",
        ),
        (lambda: map_(sin, W, batch_size=0), ShapeError, "batch_size must be positive"),
    ],
)
def test_errors(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
