"""Products that are read transposed, and products of transposed operands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.compiler.contract import canonicalise
from tracejit.compiler.simplify import simplify
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.transforms.stage import stage

PRODUCTS: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = [
    (lambda x, y: (x @ y).T, (9, 12), (12, 20)),
    (lambda x, y: (y.T @ x.T).T * 2.0, (9, 12), (12, 20)),
    (lambda x, y: tnp.swapaxes(x @ y, -1, -2), (3, 9, 12), (3, 12, 20)),
    (lambda x, y: tnp.einsum("abk,kcd->cdab", x, y), (9, 2, 12), (12, 3, 10)),
    (lambda x, y: tnp.einsum("abk,kcd->cdba", x, y), (9, 2, 12), (12, 3, 10)),
    (lambda x, y: x.T @ y.T, (12, 9), (20, 12)),
    (lambda x, y: x @ tnp.swapaxes(y, -1, -2), (3, 9, 12), (3, 20, 12)),
    (lambda x, y: tnp.transpose(x, (1, 2, 0)) @ y.T, (12, 3, 9), (20, 12)),
    (lambda x, y: tnp.transpose(x, (1, 0, 2)) @ y.T, (9, 3, 12), (20, 12)),
    (lambda x, y: tnp.transpose(x, (1, 0, 2)) @ y, (9, 3, 12), (3, 12, 20)),
]


@pytest.mark.parametrize("case", range(len(PRODUCTS)))
def test_a_transposed_product(case: int) -> None:
    function, *shapes = PRODUCTS[case]
    x, y = (np.random.default_rng(n).random(shape) for n, shape in enumerate(shapes))
    np.testing.assert_allclose(tj.jit(function)(x, y), function(x, y), rtol=1e-13)


def canonical(function: Any, *shapes: tuple[int, ...]) -> Program:
    avals = [ShapedArray(shape, "float64") for shape in shapes]
    return canonicalise(simplify(stage(lambda *args: list(function(*args)), avals, "f")))


def transposes(function: Any, *shapes: tuple[int, ...]) -> int:
    return sum(
        eq.primitive.name == "transpose" for eq in canonical(function, *shapes).equations
    )


def test_a_product_is_turned_only_if_nobody_reads_it_as_it_is() -> None:
    assert transposes(lambda x, y: [(x @ y).T + 1.0], (9, 12), (12, 20)) == 0
    assert transposes(lambda x, y: [(x @ y).T, x @ y], (9, 12), (12, 20)) == 1


def made_by(function: Any, *shapes: tuple[int, ...]) -> set[str]:
    """Return the names of what makes the operands of products out of arguments."""
    makers = {eq.outputs[0]: eq for eq in canonical(function, *shapes).equations}
    reached = [x for eq in makers.values() if eq.primitive.name == "dot_general" for x in eq.inputs]
    names = set()
    while reached:
        eq = makers.get(reached.pop())
        if eq is not None:
            names.add(eq.primitive.name)
            reached.extend(eq.inputs)
    return names


def test_a_transposed_operand_is_read_as_it_lies_where_its_axes_can_be_grouped() -> None:
    assert made_by(lambda x, y: [x @ y.T], (9, 12), (20, 12)) == {"reshape"}
    assert made_by(lambda x, y: [x.T @ y.T], (12, 9), (20, 12)) == {"reshape"}
    stacked = made_by(lambda x, y: [x @ tnp.swapaxes(y, 1, 2)], (3, 9, 12), (3, 20, 12))
    assert "transpose" not in stacked
    apart = made_by(lambda x, y: [tnp.transpose(x, (1, 0, 2)) @ y.T], (9, 3, 12), (20, 12))
    assert "transpose" in apart
