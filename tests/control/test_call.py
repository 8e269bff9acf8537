"""call: a Program as one equation, through every transformation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit.control.branch import cond
from tracejit.control.call import call, call_p
from tracejit.control.scan import scan
from tracejit.core.pytree import tree_leaves
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.ir.verify import verify
from tracejit.ops.arithmetic import add, mul
from tracejit.ops.logical import gt
from tracejit.ops.shape import reduce_sum
from tracejit.ops.transcendental import cos, exp, sin
from tracejit.transforms.api import grad, hessian, jvp, linearize, make_program, vjp, vmap
from tracejit.transforms.stage import stage

X, Y, W = np.array([0.3, -0.8]), np.array([1.2, 0.4]), np.array([2.0, -1.0])
VECTOR = ShapedArray((2,), "float64")


def body(x: Any, y: Any) -> list[Any]:
    return [mul(sin(x), mul(y, W)), exp(y)]


@pytest.fixture
def program() -> Program:
    return stage(body, [VECTOR, VECTOR], "body")


def same(got: Any, wanted: Any) -> None:
    got, wanted = tree_leaves(got), tree_leaves(wanted)
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(g), np.asarray(w), rtol=1e-12, atol=1e-12)


def total(outs: Any) -> Any:
    return add(reduce_sum(sin(outs[0]), (0,)), reduce_sum(mul(outs[1], outs[1]), (0,)))


@pytest.mark.parametrize("inline", [False, True])
def test_all_transformations(program: Program, inline: bool) -> None:
    f = lambda x, y: call(program, x, y, inline=inline)
    same(f(X, Y), body(X, Y))
    same(jvp(f, (X, Y), (Y, X)), jvp(body, (X, Y), (Y, X)))
    same(linearize(f, X, Y)[1](Y, X), jvp(body, (X, Y), (Y, X))[1])
    for argnums in (0, 1, (0, 1)):
        of = [grad(lambda x, y, g=g: total(g(x, y)), argnums)(X, Y) for g in (f, body)]
        same(*of)
    of = [hessian(lambda x, y, g=g: total(g(x, y)), 1)(X, Y) for g in (f, body)]
    same(*of)
    xs = np.stack([X, Y, W])
    for axes in ((0, None), (None, 0), (0, 0)):
        args = [xs if a == 0 else X for a in axes]
        same(vmap(f, in_axes=axes)(*args), vmap(body, in_axes=axes)(*args))
        same(
            vmap(grad(lambda x, y: total(f(x, y))), in_axes=axes)(*args),
            vmap(grad(lambda x, y: total(body(x, y))), in_axes=axes)(*args),
        )


def test_an_equation_is_recorded_and_derived_once(program: Program) -> None:
    f = lambda x: total(call(program, x, Y))
    first, second = (make_program(grad(f))(X) for _ in range(2))
    verify(first)
    called = [[e.params["program"] for e in p.equations if e.primitive is call_p]
              for p in (first, second)]  # fmt: skip
    assert len(called[0]) == 2
    assert called[0] == called[1]


def test_what_is_not_differentiated_is_computed_beforehand(program: Program) -> None:
    traced = make_program(lambda x: vjp(lambda x: call(program, x, Y)[0], x)[1](W))(X)
    _, later = [e.params["program"] for e in traced.equations if e.primitive is call_p]
    assert "sin" not in [e.primitive.name for e in later.equations]


def test_inside_loops_and_branches(program: Program) -> None:
    def f(x: Any, through: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            c = cond(gt(reduce_sum(c, (0,)), 0.0), lambda c: through(c, x)[0], lambda c: cos(c), c)
            return c, mul(c, x)

        last, ys = scan(step, x, length=4)
        return total((last, reduce_sum(ys, (0,))))

    of = [grad(lambda x, g=g: f(x, g))(X) for g in (lambda c, x: call(program, c, x), body)]
    same(*of)
    of = [hessian(lambda x, g=g: f(x, g))(Y) for g in (lambda c, x: call(program, c, x), body)]
    same(*of)
    xs = np.stack([X, Y, W])
    of = [vmap(grad(lambda x, g=g: f(x, g)))(xs) for g in (lambda c, x: call(program, c, x), body)]
    same(*of)
