"""disable_jit: jitted functions and control operators are Python inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import disable_jit, grad, jit, lax, vmap
from tracejit.core.errors import ConcretizationError

X = np.array([0.3, -0.7, 1.1])


def branchy(x: Any) -> Any:
    return x if x > 0 else -2 * x


def test_python_sees_values_in_jitted_functions() -> None:
    f = jit(branchy)
    with pytest.raises(ConcretizationError):
        f(-1.0)
    with disable_jit():
        assert float(f(-1.0)) == 2.0
        assert float(grad(f)(-1.0)) == -2.0
        assert float(jit(lambda x, *, k: branchy(x) * k)(-1.0, k=3)) == 6.0
        assert isinstance(f(tnp.asarray(1.0)), tracejit.Array)
        with disable_jit(False), pytest.raises(ConcretizationError):
            f(-1.0)
        assert float(f(-1.0)) == 2.0
    with pytest.raises(ConcretizationError):
        f(-1.0)


def test_a_function_compiled_before_is_python_inside() -> None:
    seen: list[Any] = []

    @jit
    def f(x: Any) -> Any:
        seen.append(x)
        return 2 * x

    for _ in range(3):
        f(tnp.asarray(1.0))
    assert len(seen) == 1
    with disable_jit():
        f(tnp.asarray(1.0))
        f(tnp.asarray(4.0))
    assert [float(x) for x in seen[1:]] == [1.0, 4.0]


def step(carry: Any, x: Any) -> Any:
    return branchy(carry + x["a"]), {"y": carry * x["b"]}


@pytest.mark.parametrize("reverse", [False, True])
def test_scan(reverse: bool) -> None:
    def smooth(carry: Any, x: Any) -> Any:
        return tnp.sin(carry + x["a"]), {"y": carry * x["b"]}

    xs = {"a": X, "b": X[:, None] * X}
    wanted = lax.scan(smooth, 0.5, xs, reverse=reverse)
    slope = grad(lambda c: lax.scan(smooth, c, xs, reverse=reverse)[0])(0.5)
    with disable_jit():
        found = lax.scan(smooth, 0.5, xs, reverse=reverse)
        np.testing.assert_allclose(found[0], wanted[0])
        np.testing.assert_allclose(found[1]["y"], wanted[1]["y"])
        np.testing.assert_allclose(
            grad(lambda c: lax.scan(smooth, c, xs, reverse=reverse)[0])(0.5), slope
        )
        carry, ys = lax.scan(step, 0.5, xs)  # it branches on values
        assert ys["y"].shape == (3, 3)
        assert float(carry) > 0
        carry, ys = lax.scan(smooth, 0.5, {"a": X[:0], "b": X[:0]})
        assert ys["y"].shape == (0,)


def test_branches_and_loops() -> None:
    seen: list[str] = []

    def note(name: str) -> Any:
        def branch(x: Any) -> Any:
            seen.append(name)
            return x

        return branch

    with disable_jit():
        lax.cond(tnp.asarray(3.0) > 2, note("yes"), note("no"), 1.0)
        lax.switch(7, [note("a"), note("b")], 1.0)
        assert seen == ["yes", "b"]
        assert float(grad(lambda x: lax.cond(x > 0, note("+"), note("-"), x))(2.0)) == 1.0
        assert seen[2:] == ["+"]
        found = lax.while_loop(lambda x: x < 10, lambda x: x + abs(float(x)) + 1, 1.0)
        assert float(found) == 15.0
        assert float(lax.fori_loop(0, 3, lambda i, x: branchy(x - i), 1.5)) == 3.0
        np.testing.assert_allclose(lax.map(branchy, X), [0.3, 1.4, 1.1])


def test_what_depends_on_traced_values_is_traced() -> None:
    with disable_jit():
        f = vmap(lambda x: lax.cond(x > 0, lambda x: x, lambda x: -2 * x, x))
        np.testing.assert_allclose(f(X), [0.3, 1.4, 1.1])
        g = vmap(lambda x: lax.while_loop(lambda x: x < 1, lambda x: x + 1, x))
        np.testing.assert_allclose(g(X), [1.3, 1.3, 1.1])


def test_rules_of_users() -> None:
    @tracejit.custom_jvp
    def f(x: Any) -> Any:
        return branchy(x)

    f.defjvp(lambda p, t: (f(*p), (5.0 if p[0] > 0 else 7.0) * t[0]))
    with disable_jit():
        assert float(jit(f)(-1.0)) == 2.0
        assert float(jit(grad(f))(-1.0)) == 7.0


def test_operands_are_arrays_as_in_traced_code() -> None:
    # of Python's True, ~ is -2; and NumPy's arrays have no .at
    zeros = np.zeros(3)
    with disable_jit():
        assert not bool(lax.fori_loop(0, 3, lambda i, c: ~c, True))
        flips = lax.scan(lambda c, _: (~c, c), True, None, length=3)[1]
        np.testing.assert_array_equal(flips, [True, False, True])
        assert not bool(lax.cond(True, lambda b: ~b, lambda b: b, True))
        assert not bool(lax.switch(0, [lambda b: ~b], True))
        assert not bool(jit(lambda b, k: ~b, static_argnums=1)(True, "static"))
        for found in (
            jit(lambda c: c.at[1].add(2.0))(zeros),
            jit(lambda *, c: c.at[1].add(2.0))(c=zeros),
            lax.fori_loop(0, 2, lambda i, c: c.at[1].add(1.0), zeros),
            lax.cond(True, lambda c: c.at[1].add(2.0), lambda c: c, zeros),
            lax.scan(lambda c, _: (c.at[1].add(1.0), None), zeros, None, length=2)[0],
        ):
            np.testing.assert_array_equal(found, [0.0, 2.0, 0.0])
        assert lax.while_loop(lambda c: c[1] < 2, lambda c: (1.5, c[1] + 1), (0.0, 0))[0].ndim == 0


def test_one_branch_is_given_arrays() -> None:
    assert not bool(lax.switch(0, [lambda b: ~b], True))
