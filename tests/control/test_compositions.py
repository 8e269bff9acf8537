"""Random nests of loops and branches, under nests of transformations, against plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from tracejit import lax
from tracejit.core.tracer import get_aval
from tracejit.transforms.api import grad, jvp, linearize, vjp, vmap

WIDTH = 3
Body = Callable[[Any, Any], Any]
"""Takes two vectors, returns one."""


def _total(x: Any) -> Any:
    return lax.reduce_sum(x, range(get_aval(x).ndim))


def _row(x: Any, i: int) -> Any:
    return lax.index_in_dim(x, i, 0, keepdims=False)


class Staged:
    """Combinators by the control operators."""

    def scan(self, f: Body, g: Body, reverse: bool, x: Any, c: Any) -> Any:
        xs = {"rows": lax.concatenate([lax.expand_dims(x, (0,)), lax.expand_dims(c, (0,))], 0)}

        def step(carry: Any, slices: Any) -> Any:
            value, count = carry
            value = f(value, slices["rows"])
            return (value, lax.add(count, 1)), (g(value, c), lax.mul(count, 2))

        (x, count), (ys, counts) = lax.scan(step, (x, 0), xs, reverse=reverse)
        scale = lax.mul(0.1, lax.convert_element_type(lax.add(count, _total(counts)), float))
        return lax.add(x, lax.mul(lax.reduce_sum(ys, (0,)), scale))

    def repeat(self, f: Body, x: Any, c: Any) -> Any:
        def step(i: Any, v: Any) -> Any:
            return lax.add(f(v, c), lax.convert_element_type(i, float))

        return lax.fori_loop(0, 2, step, x)

    def branch(self, f: Body, g: Body, x: Any, c: Any) -> Any:
        return lax.cond(lax.gt(_total(x), _total(c)), lambda v: f(v, c), lambda v: g(c, v), x)

    def choose(self, f: Body, g: Body, x: Any, c: Any) -> Any:
        index = lax.convert_element_type(lax.floor(_row(x, 0)), int)
        return lax.switch(index, [lambda v, w: f(v, w), lambda v, w: g(v, w), lambda v, w: w], x, c)

    def map(self, f: Body, x: Any, c: Any) -> Any:
        rows = lax.broadcast(x, (2,))
        return lax.reduce_sum(lax.map(lambda row: f(row, c), rows), (0,))

    def loop(self, f: Body, x: Any, c: Any) -> Any:
        def go_on(carry: Any) -> Any:
            return lax.lt(carry[0], lax.add(2.0, lax.mul(0.1, _total(lax.sin(c)))))

        return lax.while_loop(go_on, lambda v: (lax.add(v[0], 1.0), f(v[1], c)), (0.0, x))[1]


class Plain:
    """The same in Python; branches by select, since lanes and tracers have no truth value."""

    def scan(self, f: Body, g: Body, reverse: bool, x: Any, c: Any) -> Any:
        rows, total, count, counts = [x, c], [], 0, 0
        for row in reversed(rows) if reverse else rows:
            x = f(x, row)
            total.append(g(x, c))
            counts += 2 * count
            count += 1
        return lax.add(x, lax.mul(lax.add(*total), 0.1 * float(count + counts)))

    def repeat(self, f: Body, x: Any, c: Any) -> Any:
        for i in range(2):
            x = lax.add(f(x, c), float(i))
        return x

    def branch(self, f: Body, g: Body, x: Any, c: Any) -> Any:
        return lax.select(lax.gt(_total(x), _total(c)), f(x, c), g(c, x))

    def choose(self, f: Body, g: Body, x: Any, c: Any) -> Any:
        index = lax.floor(_row(x, 0))
        rest = lax.select(lax.lt(index, 2.0), g(x, c), c)
        return lax.select(lax.lt(index, 1.0), f(x, c), rest)

    def map(self, f: Body, x: Any, c: Any) -> Any:
        return lax.mul(f(x, c), 2.0)

    def loop(self, f: Body, x: Any, c: Any) -> Any:
        for count in range(3):
            end = lax.add(2.0, lax.mul(0.1, _total(lax.sin(c))))
            x = lax.select(lax.lt(float(count), end), f(x, c), x)
        return x


LEAVES: list[Body] = [
    lambda x, c: lax.sin(lax.mul(x, c)),
    lambda x, c: lax.sub(lax.tanh(x), lax.mul(c, 0.5)),
    lambda x, c: lax.mul(x, lax.mul(0.4, _total(lax.cos(c)))),
    lambda x, c: lax.dynamic_update_slice_in_dim(x, lax.sin(lax.slice_in_dim(c, 1, 3)), 0, 0),
]


def _build(tree: Any, how: Any) -> Body:
    """Return the function that a tree stands for."""
    kind, *parts = tree
    if kind == "leaf":
        return LEAVES[parts[0]]
    bodies = [_build(p, how) if isinstance(p, tuple) else p for p in parts]
    return lambda x, c: getattr(how, kind)(*bodies, x, c)


leaf = st.tuples(st.just("leaf"), st.integers(0, len(LEAVES) - 1))


def _nests(names: list[str]) -> Any:
    def more(child: Any) -> Any:
        kinds = {
            "scan": st.tuples(st.just("scan"), child, child, st.booleans()),
            "repeat": st.tuples(st.just("repeat"), child),
            "branch": st.tuples(st.just("branch"), child, child),
            "choose": st.tuples(st.just("choose"), child, child),
            "map": st.tuples(st.just("map"), child),
            "loop": st.tuples(st.just("loop"), child),
        }
        return st.one_of([kinds[n] for n in names])

    return more(st.one_of(leaf, more(st.one_of(leaf, more(leaf)))))


REVERSIBLE = ["scan", "repeat", "branch", "choose", "map"]
RNG = np.random.default_rng(3)
X, C, T = RNG.normal(size=(3, 4, WIDTH))
x, c, t = X[0] + 0.9, C[0], T[0]


def _number(f: Body) -> Body:
    return lambda x, c: _total(lax.sin(f(x, c)))


ROUTES: dict[str, Callable[[Body], Any]] = {
    "value": lambda f: f(x, c),
    "jvp": lambda f: jvp(f, (x, c), (t, T[1])),
    "jvp of the captured": lambda f: jvp(lambda a: f(x, a), (c,), (t,)),
    "jvp of jvp": lambda f: jvp(lambda a: jvp(lambda b: f(b, c), (a,), (t,))[1], (x,), (T[2],)),
    "linearize": lambda f: linearize(lambda a: f(a, c), x)[1](t),
    "vmap": lambda f: vmap(f)(X, C),
    "vmap of one": lambda f: vmap(f, in_axes=(None, 1))(x, C.T),
    "vmap of the other": lambda f: vmap(f, in_axes=(0, None), out_axes=1)(X, c),
    "vmap of vmap": lambda f: vmap(lambda a: vmap(lambda b: f(a, b))(C))(X),
    "jvp of vmap": lambda f: jvp(lambda a: vmap(f, in_axes=(0, None))(a, c), (X,), (T,)),
    "vmap of jvp": lambda f: vmap(lambda a, b: jvp(lambda v: f(v, c), (a,), (b,))[1])(X, T),
}
REVERSE_ROUTES: dict[str, Callable[[Body], Any]] = {
    "grad": lambda f: grad(_number(f), (0, 1))(x, c),
    "grad of the captured": lambda f: grad(lambda a: _number(f)(x, a))(c),
    "vjp": lambda f: vjp(f, x, c)[1](t),
    "grad of vmap": lambda f: grad(lambda a: _total(vmap(f, in_axes=(0, None))(X, a)))(c),
    "vmap of grad": lambda f: vmap(grad(_number(f), (0, 1)), in_axes=(0, None))(X, c),
    "vmap of grad of the captured": lambda f: vmap(lambda a: grad(_number(f), 1)(x, a))(C),
    "jvp of grad": lambda f: jvp(lambda a: grad(_number(f))(a, c), (x,), (t,)),
    "grad of grad": lambda f: grad(
        lambda a: _total(lax.mul(grad(_number(f), 1)(a, c), t)))(x),
    "vmap of jvp of grad": lambda f: vmap(
        lambda a: jvp(lambda b: grad(_number(f))(x, b), (a,), (t,))[1])(C),
    "grad of vmap of grad": lambda f: grad(
        lambda a: _total(vmap(lambda b: grad(_number(f))(b, a))(X)))(c),
}  # fmt: skip


def _compare(tree: Any, route: Callable[[Body], Any]) -> None:
    found, wanted = (route(_build(tree, how)) for how in (Staged(), Plain()))
    if not isinstance(found, tuple):
        found, wanted = (found,), (wanted,)
    for one, other in zip(found, wanted, strict=True):
        other = np.asarray(other)
        largest = max(1.0, np.abs(other).max())
        np.testing.assert_allclose(np.asarray(one), other, rtol=1e-8, atol=1e-9 * largest)


@pytest.mark.parametrize("route", ROUTES)
@hypothesis.given(_nests([*REVERSIBLE, "loop"]))
@hypothesis.settings(max_examples=6, suppress_health_check=list(hypothesis.HealthCheck))
def test_forward(route: str, tree: Any) -> None:
    _compare(tree, ROUTES[route])


@pytest.mark.parametrize("route", REVERSE_ROUTES)
@hypothesis.given(_nests(REVERSIBLE))
@hypothesis.settings(max_examples=6, suppress_health_check=list(hypothesis.HealthCheck))
def test_reverse(route: str, tree: Any) -> None:
    _compare(tree, REVERSE_ROUTES[route])
