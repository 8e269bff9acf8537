"""Lanes that do not count under vmap: no NaN comes out of a branch not taken or a finished loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit import grad, jacfwd, jit, jvp, lax, make_program, vmap
from tracejit.compiler.simplify import simplify
from tracejit.core.primitive import PRIMITIVES


def divided(x: Any, w: Any) -> Any:
    return lax.cond(x == 0, lambda x: 3 * x * w, lambda x: w / x, x)


def divided_by_shared_arrays(x: Any, w: Any) -> Any:
    return lax.cond(x == 0, lambda x: 3 * x * w[0], lambda x: (w / x).sum() + tnp.log(x * x), x)


def of_three(x: Any, w: Any) -> Any:
    branches = [lambda x: x * w, lambda x: w * tnp.log(-x), lambda x: w * tnp.sqrt(x)]
    return lax.switch((x != 0).astype(int) + (x > 0), branches, x)


def product(x: Any, w: Any) -> Any:
    # x (x - 1) ... 1: one trip more would divide by zero.
    def body(c: Any) -> Any:
        n, v = c
        return n - 1.0, v * w / n

    return lax.while_loop(lambda c: c[0] > 0, body, (x, x + 1))[1]


def roots(x: Any, w: Any) -> Any:
    # A trip after the last would take the root of a negative number.
    def body(c: Any) -> Any:
        n, v = c
        return n - 1.0, tnp.sqrt(n) * v * w.sum() + w @ w

    return lax.while_loop(lambda c: c[0] > 0, body, (x, x + 1))[1]


ARRAY = np.array([2.0, 3.0])
CASES: dict[str, tuple[Callable[[Any, Any], Any], Any, Any]] = {
    "cond": (divided, [0.0, 2.0, -1.0, 0.0], 2.0),
    "cond, never": (divided, [0.0, 0.0, 0.0], 2.0),
    "cond, arrays": (divided_by_shared_arrays, [0.0, 2.0, -1.0, 0.0], ARRAY),
    "cond, arrays, never": (divided_by_shared_arrays, [0.0, 0.0], ARRAY),
    "switch": (of_three, [0.0, 2.0, -1.0, 4.0], 2.0),
    "switch, never": (of_three, [-1.0, -3.0], 2.0),
    "while": (product, [3.0, 1.0, 0.0, 2.0], 1.3),
    "while, arrays": (roots, [3.0, 1.0, 0.0, 2.0], ARRAY / 4),
}


@pytest.mark.parametrize("name", CASES)
def test_every_order_agrees_with_the_lanes_one_by_one(
    name: str, request: pytest.FixtureRequest
) -> None:
    compiled = jit if request.node.callspec.params["bottom"] == "compiled" else lambda f: f
    f, given, w = CASES[name]
    xs = np.array(given)
    batch = vmap(f, (0, None))

    def total(x: Any, w: Any) -> Any:
        return batch(x, w).sum()

    def check(got: Any, of_lane: Any) -> None:
        wanted = np.stack([np.asarray(of_lane(x, w)) for x in xs])
        assert np.isfinite(wanted).all()
        got = np.asarray(compiled(got)(xs, w))
        np.testing.assert_allclose(got, wanted if got.ndim == wanted.ndim else wanted.sum(0))

    check(batch, f)
    check(vmap(grad(f), (0, None)), grad(f))
    check(vmap(grad(f, 1), (0, None)), grad(f, 1))
    check(grad(total), grad(f))
    check(grad(total, 1), grad(f, 1))
    check(lambda x, w: jvp(lambda x: batch(x, w), (x,), (x,))[1], lambda x, w: x * grad(f)(x, w))
    check(jacfwd(batch, 1), grad(f, 1))
    check(grad(lambda x, w: grad(total)(x, w).sum()), grad(grad(f)))
    check(grad(lambda x, w: vmap(grad(f), (0, None))(x, w).sum()), grad(grad(f)))
    check(grad(lambda x, w: grad(total, 1)(x, w).sum()), grad(lambda x, w: grad(f, 1)(x, w).sum()))


def test_lanes_of_lanes() -> None:
    # The outer batch has the predicate, the inner shares an array; and the other way round.
    xs = np.array([[0.0, 2.0, -1.0], [0.0, 0.0, 0.0]])
    ws = np.array([[2.0, 3.0], [1.0, 5.0]])
    for axes in ((0, 0), (0, None)):
        given = ws if axes[1] == 0 else ws[0]
        f = vmap(vmap(divided_by_shared_arrays, (0, None)), axes)
        for how in (grad, lambda f, n: jit(grad(f, n))):
            gx, gw = (how(lambda x, w, f=f: f(x, w).sum(), n)(xs, given) for n in (0, 1))
            one = [
                [grad(divided_by_shared_arrays, n)(x, given[i] if axes[1] == 0 else given)
                 for i, row in enumerate(xs) for x in row] for n in (0, 1)
            ]  # fmt: skip
            np.testing.assert_allclose(gx, np.reshape(one[0], (2, 3)))
            each = np.reshape(one[1], (2, 3, 2)).sum(1)
            np.testing.assert_allclose(gw, each if axes[1] == 0 else each.sum(0))


def test_the_guard_itself_costs_nothing() -> None:
    program = make_program(vmap(divided, (0, None)))(np.ones(3), 2.0)
    assert any(eq.primitive is PRIMITIVES["guard"] for eq in program.equations)
    plain = simplify(program)
    assert not any(eq.primitive is PRIMITIVES["guard"] for eq in plain.equations)
    names = [eq.primitive.name for eq in plain.equations]
    assert names.count("select") == 1
    assert "reduce_or" not in names


def test_no_lanes_at_all() -> None:
    for f, _, w in CASES.values():
        g = vmap(grad(f), (0, None))
        assert g(np.zeros(0), w).shape == (0,)
        h = grad(lambda w, f=f: vmap(f, (0, None))(np.zeros(0), w).sum())
        np.testing.assert_array_equal(h(w), np.zeros(np.shape(w)))
