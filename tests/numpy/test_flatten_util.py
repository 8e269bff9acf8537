"""ravel_pytree: trees as vectors, under transformations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit import grad, jit, vmap
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.flatten_util import ravel_pytree


def tree() -> Any:
    return {"w": np.arange(6.0).reshape(2, 3), "n": np.array([1, 2]), "b": (3.5, None, [])}


def test_there_and_back() -> None:
    flat, unravel = ravel_pytree(tree())
    np.testing.assert_array_equal(flat, [3.5, 1, 2, 0, 1, 2, 3, 4, 5])
    back = unravel(flat)
    assert back["n"].dtype == np.int64
    assert back["b"][1:] == (None, [])
    np.testing.assert_array_equal(back["w"], tree()["w"])
    complex_flat, unravel = ravel_pytree([np.float32(1.5), np.array([1 + 2j])])
    assert complex_flat.dtype == np.complex128
    back = unravel(complex_flat)
    assert back[0].dtype == np.float32
    assert complex(back[1][0]) == 1 + 2j


def test_nothing() -> None:
    flat, unravel = ravel_pytree({})
    assert flat.shape == (0,)
    assert unravel(flat) == {}


def test_transformations() -> None:
    def loss(p: Any) -> Any:
        flat, unravel = ravel_pytree(p)
        return (unravel(flat**2)["w"] * p["b"][0]).sum()

    p = {"w": np.arange(6.0).reshape(2, 3), "b": (3.5, None)}
    for f in (grad(loss), jit(grad(loss))):
        np.testing.assert_allclose(f(p)["w"], 7.0 * p["w"])
    flat, unravel = ravel_pytree(p)
    lanes = tnp.stack([flat, 2 * flat])
    np.testing.assert_allclose(vmap(unravel)(lanes)["w"][1], 2 * p["w"])
    np.testing.assert_allclose(vmap(lambda p: ravel_pytree(p)[0])(vmap(unravel)(lanes)), lanes)


def test_unravel_is_equal_for_equal_types() -> None:
    one, two = ravel_pytree(tree())[1], ravel_pytree(tree())[1]
    assert one == two
    assert hash(one) == hash(two)
    assert one != ravel_pytree({"w": 1.0})[1]


def test_errors() -> None:
    flat, unravel = ravel_pytree(tree())
    with pytest.raises(ShapeError, match=r"must have shape \(9,\); got \(8,\)"):
        unravel(flat[1:])
    with pytest.raises(DTypeError, match=r"must have dtype float64.*; got float32"):
        unravel(flat.astype("float32"))
