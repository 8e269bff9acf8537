"""Products that are read transposed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.compiler.contract import canonicalise
from tracejit.compiler.simplify import simplify
from tracejit.ir.avals import ShapedArray
from tracejit.transforms.stage import stage

PRODUCTS: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = [
    (lambda x, y: (x @ y).T, (9, 12), (12, 20)),
    (lambda x, y: (y.T @ x.T).T * 2.0, (9, 12), (12, 20)),
    (lambda x, y: tnp.swapaxes(x @ y, -1, -2), (3, 9, 12), (3, 12, 20)),
    (lambda x, y: tnp.einsum("abk,kcd->cdab", x, y), (9, 2, 12), (12, 3, 10)),
    (lambda x, y: tnp.einsum("abk,kcd->cdba", x, y), (9, 2, 12), (12, 3, 10)),
]


@pytest.mark.parametrize("case", range(len(PRODUCTS)))
def test_a_transposed_product(case: int) -> None:
    function, *shapes = PRODUCTS[case]
    x, y = (np.random.default_rng(n).random(shape) for n, shape in enumerate(shapes))
    np.testing.assert_allclose(tj.jit(function)(x, y), function(x, y), rtol=1e-13)


def transposes(function: Any, *shapes: tuple[int, ...]) -> int:
    avals = [ShapedArray(shape, "float64") for shape in shapes]
    program = canonicalise(simplify(stage(lambda *args: list(function(*args)), avals, "f")))
    return sum(eq.primitive.name == "transpose" for eq in program.equations)


def test_a_product_is_turned_only_if_nobody_reads_it_as_it_is() -> None:
    assert transposes(lambda x, y: [(x @ y).T + 1.0], (9, 12), (12, 20)) == 0
    assert transposes(lambda x, y: [(x @ y).T, x @ y], (9, 12), (12, 20)) == 1
