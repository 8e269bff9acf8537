"""scan against the same loop written out: values, derivatives, batching, and its errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracejit.control.scan import scan
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.pytree import tree_leaves, tree_map
from tracejit.ir.program import Program, sub_programs
from tracejit.ir.verify import verify
from tracejit.ops.arithmetic import add, mul, sub
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import lt, select
from tracejit.ops.shape import expand_dims, reduce_sum, reshape
from tracejit.ops.slicing import concatenate, slice_
from tracejit.ops.transcendental import cos, exp, sin
from tracejit.transforms.api import (
    grad,
    hessian,
    jvp,
    linear_transpose,
    linearize,
    make_program,
    vjp,
    vmap,
)
from tracejit.transforms.dce import dce

RNG = np.random.default_rng(0)
W, X, C = RNG.normal(size=3), RNG.normal(size=(5, 3)), RNG.normal(size=3)


def row(x: Any, i: int) -> Any:
    """Slice `i` of an array."""
    shape = x.shape
    taken = slice_(x, (i,) + (0,) * (len(shape) - 1), (i + 1, *shape[1:]))
    return reshape(taken, shape[1:])


def unrolled(
    f: Callable[..., Any], init: Any, xs: Any = None, length: int = 0, reverse: bool = False
) -> Any:
    """What scan means."""
    leaves = tree_leaves(xs)
    length = leaves[0].shape[0] if leaves else length
    ys: list[Any] = [None] * length
    for i in reversed(range(length)) if reverse else range(length):
        init, ys[i] = f(init, tree_map(lambda x, i=i: row(x, i), xs))
    stacked = tree_map(lambda *parts: concatenate([expand_dims(p, 0) for p in parts], 0), *ys)
    return init, stacked


def total(tree: Any) -> Any:
    """One number that depends on every element in its own way."""
    parts = [reduce_sum(sin(mul(x, 1.3 + n)), range(x.ndim)) for n, x in enumerate(tree)]
    out = parts[0]
    for p in parts[1:]:
        out = add(out, p)
    return out


def same(got: Any, wanted: Any, tolerance: float = 1e-10) -> None:
    got, wanted = tree_leaves(got), tree_leaves(wanted)
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(g), np.asarray(w), rtol=tolerance, atol=tolerance)


Loop = Callable[..., Any]


def simple(loop: Loop, w: Any, c: Any, xs: Any) -> Any:
    """A nonlinear step with a captured constant, a carry and stacked results."""

    def step(c: Any, x: Any) -> Any:
        c = add(mul(sin(c), cos(w)), x)
        return c, mul(c, mul(x, w))

    return loop(step, c, xs)


def backward(loop: Loop, w: Any, c: Any, xs: Any) -> Any:
    return loop(lambda c, x: (mul(sin(c), add(x, w)), c), c, xs, reverse=True)


def two_carries(loop: Loop, w: Any, c: Any, xs: Any) -> Any:
    """One carry reaches the other only after a trip; the second result is not differentiable."""

    def step(carry: Any, x: Any) -> Any:
        (a, b), n = carry
        return ((b, sin(mul(a, w))), add(n, 1)), mul(convert_element_type(n, "float64"), add(a, x))

    ((a, b), _), ys = loop(step, ((c, w), 0), xs)
    return a, b, ys


def nested(loop: Loop, w: Any, c: Any, xs: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        def inner(d: Any, y: Any) -> Any:
            return add(mul(d, y), c), sin(mul(d, w))

        d, ys = loop(inner, x, concatenate([expand_dims(c, 0), expand_dims(w, 0)], 0))
        return sin(d), ys

    return loop(step, c, xs)


LOOPS = {f.__name__: f for f in (simple, backward, two_carries, nested)}
each = pytest.mark.parametrize("name", LOOPS)


@each
def test_values(name: str) -> None:
    same(LOOPS[name](scan, W, C, X), LOOPS[name](unrolled, W, C, X))


@each
@pytest.mark.parametrize("chosen", [(0,), (1,), (2,), (0, 1, 2)])
def test_derivatives(name: str, chosen: tuple[int, ...]) -> None:
    args = (W, C, X)
    f = [lambda *a, loop=loop: total(LOOPS[name](loop, *a)) for loop in (scan, unrolled)]
    same(grad(f[0], chosen)(*args), grad(f[1], chosen)(*args))
    some = [args[n] for n in chosen]
    given = dict(enumerate(args))

    def of_some(loop: Loop) -> Callable[..., Any]:
        def g(*parts: Any) -> Any:
            every = {**given, **dict(zip(chosen, parts, strict=True))}
            return LOOPS[name](loop, *(every[n] for n in range(3)))

        return g

    directions = [RNG.normal(size=x.shape) for x in some]
    wanted = jvp(of_some(unrolled), some, directions)
    same(jvp(of_some(scan), some, directions), wanted)
    out, linear = linearize(of_some(scan), *some)
    same((out, linear(*directions)), wanted)


@each
def test_second_order(name: str) -> None:
    f = [
        lambda w, loop=loop: total(LOOPS[name](loop, w, mul(C, w), X)) for loop in (scan, unrolled)
    ]
    same(hessian(f[0])(W), hessian(f[1])(W))
    g = [lambda w, h=h: reduce_sum(mul(grad(h)(w), C), (0,)) for h in f]
    same(grad(g[0])(W), grad(g[1])(W))
    same(jvp(grad(f[0]), (W,), (C,)), jvp(grad(f[1]), (W,), (C,)))


@each
@pytest.mark.parametrize(
    "axes", [a for a in itertools.product((None, 0, -1), repeat=3) if a != (None, None, None)]
)
def test_vmap(name: str, axes: tuple[Any, ...]) -> None:
    args = [
        x if a is None else np.moveaxis(np.stack([x, 2 * x, sin(x)]), 0, a)
        for x, a in zip((W, C, X), axes, strict=True)
    ]
    batched = [
        vmap(lambda *a, loop=loop: LOOPS[name](loop, *a), in_axes=axes)(*args)
        for loop in (scan, unrolled)
    ]
    same(*batched)


@each
def test_grad_of_vmap_and_vmap_of_grad(name: str) -> None:
    cs = np.stack([C, 2 * C])
    f = [lambda w, c, loop=loop: total(LOOPS[name](loop, w, c, X)) for loop in (scan, unrolled)]
    of_vmap = [
        grad(lambda w, c, h=h: reduce_sum(vmap(h, in_axes=(None, 0))(w, c), (0,)), (0, 1))
        for h in f
    ]
    same(of_vmap[0](W, cs), of_vmap[1](W, cs))
    of_grad = [vmap(grad(h, (0, 1)), in_axes=(None, 0)) for h in f]
    same(of_grad[0](W, cs), of_grad[1](W, cs))


def test_zero_trips() -> None:
    def f(w: Any, c: Any) -> Any:
        return scan(lambda c, x: (mul(c, w), sin(add(c, x))), c, np.zeros((0, 3)))

    carry, ys = f(W, C)
    same(carry, C)
    assert ys.shape == (0, 3)
    same(grad(lambda w, c: total(f(w, c)), (0, 1))(W, C), (np.zeros(3), 1.3 * np.cos(1.3 * C)))


def test_weak_scalars_take_the_dtype_of_the_body() -> None:
    xs = np.arange(4, dtype=np.float32)
    carry, _ = scan(lambda c, x: (add(convert_element_type(c, "float32"), x), None), 0, xs)
    assert carry.dtype == np.float32
    assert float(carry) == 6
    carry, _ = scan(lambda c, x: (add(c, 1), None), 0, length=3)
    assert carry.dtype == np.int64
    assert carry.aval.weak
    assert int(carry) == 3


def test_carry_that_is_an_int_has_no_derivative() -> None:
    def f(x: Any) -> Any:
        (n, y), _ = scan(lambda c, _: ((add(c[0], 2), mul(c[1], x)), None), (1, 1.0), length=3)
        return mul(y, convert_element_type(n, "float64"))

    same(grad(f)(2.0), 7 * 12.0)


def test_linear_transpose_with_a_counter() -> None:
    def f(x: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            n, y = carry
            return (add(n, 1.0), mul(y, n)), add(y, y)

        (_, y), ys = scan(step, (1.0, x), length=4)
        return y, ys

    (ct,) = linear_transpose(f, 1.0)((1.0, np.ones(4)))
    same(ct, 24 + 2 * (1 + 1 + 2 + 6))


def test_vjp_may_be_called_again() -> None:
    _, pull = vjp(lambda c: simple(scan, W, c, X)[0], C)
    _, wanted = vjp(lambda c: simple(unrolled, W, c, X)[0], C)
    for ct in (C, W):
        same(pull(ct), wanted(ct))


def test_captured_array_that_is_differentiated() -> None:
    def f(w: Any) -> Any:
        def inner(c: Any) -> Any:
            return total(scan(lambda c, x: (mul(sin(c), w), mul(x, w)), c, X))

        return reduce_sum(mul(grad(inner)(w), w), (0,))

    h = 1e-6
    numeric = [(float(f(W + h * e)) - float(f(W - h * e))) / (2 * h) for e in np.eye(3)]
    same(grad(f)(W), np.array(numeric), 1e-7)


def _scans(program: Program) -> list[Any]:
    found = []
    for eq in program.equations:
        if eq.primitive.name == "scan":
            found.append(eq)
        for _, part in sub_programs(eq.params):
            found += _scans(part)
    return found


def test_equal_calls_share_one_body() -> None:
    def f(c: Any) -> Any:
        return total(simple(scan, W, c, X))

    first, second = (_scans(make_program(grad(f))(C)) for _ in range(2))
    assert [eq.params["program"] for eq in first] == [eq.params["program"] for eq in second]
    assert len(first) == 2


def test_residuals_that_do_not_vary_are_not_stacked() -> None:
    def f(w: Any) -> Any:
        return scan(lambda c, x: (mul(mul(c, x), exp(w)), None), C, X)[0]

    program = make_program(lambda w: vjp(f, w)[1](C))(W)
    verify(program)
    forward, reverse = _scans(program)
    # mul(c, x) is stacked, X and exp(w) are passed on as they are
    assert len(forward.outputs) == 2
    names = [eq.primitive.name for eq in reverse.params["program"].equations]
    assert "exp" not in names


def _limited(loop: Loop, x: Any, w: Any) -> Any:
    """A step with 11 flags of one shape and one of another."""

    def step(carry: Any, w: Any) -> Any:
        a, b = carry
        for n in range(11):
            a = select(lt(a, 0.2 * n), mul(a, 1.01), sub(a, mul(w, 0.03 * n)))
        b = select(lt(b, 0.0), mul(b, w), sin(b))
        return (a, b), reduce_sum(mul(a, 1e-3), (0,))

    (a, b), ys = loop(step, (x, mul(slice_(x, (0,), (1100,)), 0.7)), w)
    return total([a, b, ys])


def test_flags_are_stacked_as_bits() -> None:
    x, w = RNG.normal(size=1200), RNG.normal(size=5)
    program = make_program(grad(lambda x, w: _limited(scan, x, w), argnums=(0, 1)))(x, w)
    verify(program)
    forward, reverse = _scans(program)
    stacked = [v.aval for v in forward.outputs[forward.params["n_carry"] :]]
    assert [a.shape for a in stacked if a.dtype == np.uint8] == [(5, 1200), (5, 1200)]
    # Alone among its likes, a flag stays what it is.
    assert [a.shape for a in stacked if a.dtype == np.bool_] == [(5, 1100)]
    assert sum(a.aval.dtype == np.uint8 for a in reverse.inputs) == 2


def test_derivatives_by_flags_that_are_stacked() -> None:
    x, w = RNG.normal(size=1200), RNG.normal(size=5)

    def derivatives(loop: Loop) -> list[Any]:
        def f(x: Any, w: Any) -> Any:
            return _limited(loop, x, w)

        g = grad(f, argnums=(0, 1))
        twice = grad(lambda x, w: reduce_sum(mul(g(x, w)[0], x), (0,)), argnums=1)
        lanes = vmap(g, (0, None))(np.stack([x, x[::-1]]), w)
        return [*g(x, w), twice(x, w), jvp(lambda x: g(x, w)[1], (x,), (x,))[1], *lanes]

    same(derivatives(scan), derivatives(unrolled))


def test_dead_results_are_dropped() -> None:
    def f(c: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            a, b = carry
            return (sin(a), mul(b, x)), (exp(b), cos(a))

        return scan(step, (c, c), X)[1][1]

    (eq,) = _scans(dce(make_program(f)(C)))
    names = [e.primitive.name for e in eq.params["program"].equations]
    assert sorted(names) == ["cos", "sin"]
    assert len(eq.inputs) == 1
    assert eq.params["n_carry"] == 1


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: scan(lambda c, x: ({"a": concatenate([c["a"], c["a"]], 0)}, None), {"a": C}, X),
            ShapeError,
            r"carry\['a'\] goes in with shape \(3,\) and comes out with \(6,\)",
        ),
        (
            lambda: scan(lambda c, x: (convert_element_type(c, "float32"), None), C, X),
            DTypeError,
            r"carry goes in as f64\[3\] and comes out as f32\[3\]",
        ),
        (lambda: scan(lambda c, x: (c, c, c), C, X), StructureError, "return a pair .* length 3"),
        (lambda: scan(lambda c, x: ((c, c), None), C, X), StructureError, "structure of the init"),
        (lambda: scan(lambda c, x: (c, None), C), ShapeError, "length must be given"),
        (lambda: scan(lambda c, x: (c, None), C, (X, W)), ShapeError, r"xs\[0\].*5.*xs\[1\].*3"),
        (lambda: scan(lambda c, x: (c, None), C, X, length=4), ShapeError, "length gives 4"),
        (lambda: scan(lambda c, x: (c, None), C, 1.0), ShapeError, "xs must have a leading axis"),
        (lambda: scan(lambda c, x: (c, None), {"k": "no"}, X), DTypeError, r"carry\['k'\]"),
        (lambda: scan(lambda c, x: (c, "no"), C, X), StructureError, "must return arrays"),
    ],
)
def test_errors(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_difference_of_floats_is_a_weak_float() -> None:
    carry, ys = scan(lambda c, _: (sub(c, 1.0), c), 3.0, length=2)
    same((carry, ys), (1.0, np.array([3.0, 2.0])))


def test_integer_scanned_and_captured() -> None:
    table = np.array([3, 1, 2])

    def f(x: Any) -> Any:
        def step(c: Any, n: Any) -> Any:
            return mul(c, convert_element_type(n, "float64")), add(n, table)

        return scan(step, x, np.array([2, 5]))

    carry, ys = f(1.5)
    same((carry, ys), (np.float64(15.0), np.array([[5, 3, 4], [8, 6, 7]])))
    assert ys.dtype == np.int64
    same(grad(lambda x: f(x)[0])(1.5), 10.0)
    same(vmap(lambda x: f(x)[0])(np.array([1.0, 2.0])), np.array([10.0, 20.0]))


def test_complex_carry() -> None:
    def f(z: Any) -> Any:
        return scan(lambda c, x: (mul(c, add(z, x)), c), z, np.array([1.0 + 0j, 2j]))[0]

    z = 0.3 - 0.4j
    same(f(z), z * (z + 1) * (z + 2j))
    slope = (z + 1) * (z + 2j) + z * (z + 2j) + z * (z + 1)
    same(grad(f, holomorphic=True)(z), slope)
    same(jvp(f, (z,), (1j,))[1], 1j * slope)
