"""associative_scan against a Python loop; the operation is not commutative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit import lax
from tracejit.control.associative import associative_scan
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.transforms.api import grad, vmap

RNG = np.random.default_rng(0)


def affine(f: Any, g: Any) -> Any:
    """Of maps ``x -> a x + b``: first `f`, then `g`."""
    return {"a": lax.mul(f["a"], g["a"]), "b": lax.add(lax.mul(f["b"], g["a"]), g["b"])}


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("reverse", [False, True])
def test_values(length: int, axis: int, reverse: bool) -> None:
    shape = [2, 3, 4]
    shape[axis] = length
    elems = {"a": RNG.normal(size=shape), "b": RNG.normal(size=shape)}
    found = associative_scan(affine, elems, reverse, axis)
    a, b = (np.moveaxis(elems[k], axis, 0) for k in "ab")
    order = range(length)[::-1] if reverse else range(length)
    wanted = {"a": np.empty_like(a), "b": np.empty_like(b)}
    product, value = 1.0, 0.0
    for i in order:
        product, value = product * a[i], value * a[i] + b[i]
        wanted["a"][i], wanted["b"][i] = product, value
    for k in "ab":
        np.testing.assert_allclose(np.moveaxis(np.asarray(found[k]), axis, 0), wanted[k])


def test_derivative_and_lanes() -> None:
    x = RNG.normal(size=(3, 7))

    def f(row: Any) -> Any:
        return lax.reduce_sum(lax.sin(associative_scan(lax.mul, row)), (0,))

    def g(row: Any) -> Any:
        return lax.reduce_sum(lax.sin(lax.cumprod(row)), (0,))

    np.testing.assert_allclose(vmap(grad(f))(x), vmap(grad(g))(x), rtol=1e-10)


@pytest.mark.parametrize(
    ("fn", "elems", "error", "words"),
    [
        (lax.add, (), None, ""),
        (lambda x, y: (x, y), np.ones(3), StructureError, "there is a tuple of length 2"),
        (lambda x, y: lax.reduce_sum(x, (0,)), np.ones(3), ShapeError, r"elems goes in with"),
        (lambda x, y: lax.lt(x, y), np.ones(3), DTypeError, r"goes in as f64\[1\] and comes out"),
        (lambda x, y: x, [np.ones(3), np.ones(4)], ShapeError, r"elems\[1\] of shape \(4,\)"),
        (lambda x, y: x, [1.0], ShapeError, r"elems\[0\] of shape \(\) has no axis 0"),
    ],
)
def test_errors(fn: Any, elems: Any, error: Any, words: str) -> None:
    if error is None:
        assert associative_scan(fn, elems) == elems
        return
    with pytest.raises(error, match=words):
        associative_scan(fn, elems)
