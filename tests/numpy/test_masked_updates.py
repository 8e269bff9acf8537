"""Updates by masks that are traced, beside slices and ints: NumPy's assignments in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5))
ROWS, MIDDLE, LAST = (RNG.random(n) > 0.4 for n in X.shape)
INNER, OUTER = RNG.random((4, 5)) > 0.5, RNG.random((3, 4)) > 0.5
ALL = slice(None)
CASES: list[tuple[tuple[Any, ...], Any]] = [
    ((ROWS,), 2.0),
    ((ROWS, 1), 2.0),
    ((ROWS, 1), np.arange(5.0)),
    ((ALL, MIDDLE), np.ones(1)),
    ((ALL, MIDDLE), np.arange(3.0)[:, None, None]),
    ((ROWS, slice(1, 3)), np.arange(10.0).reshape(2, 5)),
    ((..., LAST), 7.0),
    ((1, INNER), 3.0),
    ((1, ..., LAST), np.arange(4.0)),
    ((OUTER, 2), 4.0),
    ((OUTER, slice(None, None, 2)), np.arange(3.0)),
    ((None, ROWS, ALL, 0), 5.0),
    ((slice(None, None, -1), MIDDLE, None, slice(0, 2)), np.arange(2.0)),
    ((..., INNER), 1.5),
    ((np.zeros(3, bool), -1), 9.0),
]
METHODS = {
    "set": lambda old, v: v,
    "add": np.add,
    "multiply": np.multiply,
    "divide": np.divide,
    "min": np.minimum,
    "max": np.maximum,
}


def is_mask(item: Any) -> bool:
    return isinstance(item, np.ndarray)


@pytest.mark.parametrize(("index", "value"), CASES, ids=str)
@pytest.mark.parametrize("method", list(METHODS))
def test_as_in_place(index: Any, value: Any, method: str) -> None:
    value = value + 1.0
    wanted = X.copy()
    wanted[index] = METHODS[method](wanted[index], value)

    def update(x: Any, mask: Any) -> Any:
        at = tuple(mask if is_mask(i) else i for i in index)
        return getattr(x.at[at], method)(value)

    (mask,) = filter(is_mask, index)
    np.testing.assert_allclose(tj.jit(update)(X, mask), wanted, rtol=1e-14)
    np.testing.assert_allclose(update(tnp.asarray(X), mask), wanted, rtol=1e-14)


def test_apply() -> None:
    f = tj.jit(lambda x, m: x.at[m].apply(tnp.negative))
    np.testing.assert_array_equal(f(X, OUTER), np.where(OUTER[..., None], -X, X))


def test_derivatives_and_lanes() -> None:
    f = tj.jit(lambda x, m: tnp.sum(x.at[m, 1].multiply(3.0) ** 2))
    slope = tj.grad(f)(X, ROWS)
    wanted = 2 * X
    wanted[ROWS, 1] *= 9
    np.testing.assert_allclose(slope, wanted, rtol=1e-14)
    masks = np.stack([ROWS, ~ROWS])
    lanes = tj.vmap(lambda m: tnp.asarray(X).at[m, 1].set(0.0))(masks)
    for out, mask in zip(lanes, masks, strict=True):
        wanted = X.copy()
        wanted[mask, 1] = 0
        np.testing.assert_array_equal(out, wanted)


def test_refused() -> None:
    two = np.array([0, 1])
    for f, match in [
        (lambda x, m: x.at[m, two].set(0.0), "not with other arrays"),
        (lambda x, m: x.at[m, m].set(0.0), "not with other arrays"),
        (lambda x, m: x.at[m, 1].set(np.ones(2)), "shapes must be equal"),
        (lambda x, m: x.at[ALL, m].set(1.0), "the shape of the axes"),
    ]:
        with pytest.raises(ShapeError, match=match):
            tj.jit(f)(X, ROWS)
