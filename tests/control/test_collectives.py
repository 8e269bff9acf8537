"""Collectives over the named axis of a vmap, against NumPy along that axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.control import collectives as c
from tracejit.core.errors import ShapeError, StructureError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(4, 3))
SQUARE = RNG.normal(size=(4, 4, 3))
WIDE = RNG.normal(size=(4, 8, 3))
DEEP = RNG.normal(size=(4, 3, 4, 2))


def lanes(f: Callable[..., Any], *args: Any, **how: Any) -> Any:
    return np.asarray(tj.vmap(f, axis_name="i", **how)(*args))


def every_lane(x: Any) -> Any:
    return np.broadcast_to(x, (4, *x.shape))


def parts_exchanged(x: Any, split: int, concat: int) -> Any:
    pieces = np.moveaxis(x, split + 1, 0)  # the piece that each lane gets, of every lane
    return np.moveaxis(pieces, 1, concat + 1)


CASES = {
    "psum": (lambda v: c.psum(v * v, "i"), X, every_lane((X * X).sum(0))),
    "psum of what is not mapped": (lambda v: v + c.psum(2.0, "i"), X, X + 8.0),
    "psum of a tree": (lambda v: c.psum({"a": v}, "i")["a"], X, every_lane(X.sum(0))),
    "psum of bools": (lambda v: c.psum(v > 0, "i"), X, every_lane((X > 0).sum(0))),
    "pmean": (lambda v: v - c.pmean(v, "i"), X, X - X.mean(0)),
    "pmax": (lambda v: c.pmax(v, "i"), X, every_lane(X.max(0))),
    "pmin": (lambda v: c.pmin(v, "i"), X, every_lane(X.min(0))),
    "pbroadcast": (lambda v: c.pbroadcast(v, "i", 2), X, every_lane(X[2])),
    "all_gather": (lambda v: c.all_gather(v, "i"), X, every_lane(X)),
    "all_gather behind": (lambda v: c.all_gather(v, "i", axis=-1), X, every_lane(X.T)),
    "all_gather tiled": (lambda v: c.all_gather(v, "i", tiled=True), X, every_lane(X.ravel())),
    "psum_scatter": (lambda v: c.psum_scatter(v, "i"), SQUARE, SQUARE.sum(0)),
    "psum_scatter tiled": (
        lambda v: c.psum_scatter(v, "i", tiled=True), WIDE, WIDE.sum(0).reshape(4, 2, 3)
    ),
    "all_to_all": (lambda v: c.all_to_all(v, "i", 0, 0), SQUARE, SQUARE.swapaxes(0, 1)),
    "all_to_all, axes": (
        lambda v: c.all_to_all(v, "i", 1, 2), DEEP, parts_exchanged(DEEP, 1, 2)
    ),
    "all_to_all tiled": (
        lambda v: c.all_to_all(v, "i", 0, 1, tiled=True),
        WIDE,
        WIDE.reshape(4, 4, 2, 3).transpose(1, 2, 0, 3).reshape(4, 2, 12),
    ),
    "ppermute": (
        lambda v: c.ppermute(v, "i", [(0, 1), (1, 2), (3, 0)]),
        X,
        np.stack([X[3], X[0], X[1], np.zeros(3)]),
    ),
    "pshuffle": (lambda v: c.pshuffle(v, "i", [2, 3, 1, 0]), X, X[[2, 3, 1, 0]]),
    "pswapaxes": (lambda v: c.pswapaxes(v, "i", 0), SQUARE, SQUARE.swapaxes(0, 1)),
    "axis_index": (lambda v: v + c.axis_index("i"), X, X + np.arange(4)[:, None]),
    "axis_size": (lambda v: v * c.axis_size("i"), X, X * 4),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_along_the_lanes(name: str, jitted: bool) -> None:
    f, x, want = CASES[name]
    mapped = tj.vmap(f, axis_name="i")
    got = np.asarray((tj.jit(mapped) if jitted else mapped)(x))
    np.testing.assert_allclose(got, want, rtol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_another_axis_is_carried_along(name: str) -> None:
    f, x, want = CASES[name]
    both = np.stack([x, 2.0 * x])
    got = np.asarray(tj.vmap(tj.vmap(f, axis_name="i"), axis_name="j")(both))
    np.testing.assert_allclose(got[0], want, rtol=1e-13)
    # Here the inner map has another name, and the collective goes along the outer one.
    inner = tj.vmap(f, axis_name="j", in_axes=-1, out_axes=-1)
    turned = both.transpose(1, *range(2, both.ndim), 0)
    swapped = np.asarray(tj.vmap(inner, axis_name="i")(turned))
    np.testing.assert_allclose(swapped[..., 0], want, rtol=1e-13)


LINEAR = ["psum", "pmean", "all_gather", "psum_scatter", "all_to_all, axes", "all_to_all tiled",
          "ppermute", "pbroadcast", "all_gather tiled", "psum_scatter tiled"]  # fmt: skip


@pytest.mark.parametrize("name", LINEAR)
def test_derivatives(name: str) -> None:
    f, x, _ = CASES[name]
    weight = RNG.normal(size=np.asarray(tj.vmap(f, axis_name="i")(x)).shape)

    def loss(v: Any) -> Any:
        return tnp.sum(weight * tnp.sin(tj.vmap(f, axis_name="i")(v)))

    gradient = np.asarray(tj.jit(tj.grad(loss))(x))
    step = RNG.normal(size=x.shape)
    eps = 1e-6
    slope = (float(loss(x + eps * step)) - float(loss(x - eps * step))) / (2 * eps)
    np.testing.assert_allclose((gradient * step).sum(), slope, rtol=1e-7)


def test_gradient_of_the_largest_goes_where_it_is() -> None:
    gradient = tj.grad(lambda v: tj.vmap(lambda e: c.pmax(e, "i"), axis_name="i")(v)[0])(X[:, 0])
    want = np.zeros(4)
    want[X[:, 0].argmax()] = 1.0
    np.testing.assert_array_equal(np.asarray(gradient), want)


def test_names_together() -> None:
    def f(v: Any) -> Any:
        return c.psum(v, ("i", "j")) + 10 * c.axis_index(("i", "j"))

    got = tj.vmap(tj.vmap(f, axis_name="j"), axis_name="i")(X)
    np.testing.assert_allclose(np.asarray(got), X.sum() + 10 * np.arange(12.0).reshape(4, 3))


def test_inside_loops_branches_and_jit() -> None:
    def f(v: Any) -> Any:
        def step(carry: Any, e: Any) -> Any:
            return carry + c.psum(e, "i"), c.axis_index("i") * carry

        total, parts = tj.lax.scan(step, 0.0, v)
        chosen = tj.lax.cond(total > 0, lambda t: t - c.pmean(t, "i"), lambda t: t, total)
        return total, parts, chosen, tj.jit(lambda k: k + c.axis_index("i"))(2)

    total, parts, chosen, numbers = tj.vmap(f, axis_name="i")(X)
    sums = X.sum(0)
    np.testing.assert_allclose(np.asarray(total), np.full(4, sums.sum()))
    before = np.concatenate([[0.0], np.cumsum(sums)[:-1]])
    np.testing.assert_allclose(np.asarray(parts), np.arange(4)[:, None] * before)
    want = np.zeros(4) if sums.sum() > 0 else np.full(4, sums.sum())
    np.testing.assert_allclose(np.asarray(chosen), want, atol=1e-12)
    np.testing.assert_array_equal(np.asarray(numbers), np.arange(4) + 2)


def test_a_jitted_function_knows_how_many_lanes_there_are() -> None:
    gathered = tj.jit(lambda v: c.all_gather(v, "i") * tnp.arange(c.axis_size("i")))
    for n in (3, 5):
        got = tj.vmap(gathered, axis_name="i")(np.arange(float(n)))
        np.testing.assert_array_equal(np.asarray(got), np.tile(np.arange(n) ** 2.0, (n, 1)))


def test_names_that_no_map_has() -> None:
    with pytest.raises(StructureError, match=r"no axis named 'k' here.*named axes: 'i'"):
        lanes(lambda v: c.psum(v, "k"), X)
    with pytest.raises(StructureError, match="named axes: none"):
        c.axis_index("i")


def test_lengths_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="axis 0 must have length 4"):
        lanes(lambda v: c.psum_scatter(v, "i"), X)
    with pytest.raises(ShapeError, match="a multiple of 4"):
        lanes(lambda v: c.all_to_all(v, "i", 0, 0, tiled=True), X)
    with pytest.raises(StructureError, match="distinct lanes from 0 to 3"):
        lanes(lambda v: c.ppermute(v, "i", [(0, 1), (2, 1)]), X)
    with pytest.raises(NotImplementedError, match="axis_index_groups"):
        lanes(lambda v: c.psum(v, "i", axis_index_groups=[[0, 1], [2, 3]]), X)
