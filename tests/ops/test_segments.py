"""Segments against loops over rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj

DATA = np.random.default_rng(0).normal(size=(7, 2, 3))
IDS = np.array([2, 0, 2, -1, 9, 0, 2])
NONE = {"sum": 0.0, "prod": 1.0, "max": -np.inf, "min": np.inf}
REDUCE: dict[str, Callable[..., Any]] = {
    "sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min,
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCE)
def test_against_loops(name: str) -> None:
    function = getattr(tj.ops, f"segment_{name}")
    rows = [
        REDUCE[name](DATA[i == IDS], 0) if (i == IDS).any() else np.full((2, 3), NONE[name])
        for i in range(4)
    ]
    expected = np.stack(rows)
    np.testing.assert_allclose(function(DATA, IDS, 4), expected, rtol=1e-13)
    compiled = tj.jit(lambda x, i: function(x, i, 4))(DATA, IDS)
    np.testing.assert_allclose(compiled, expected, rtol=1e-13)
    by_column = tj.vmap(lambda x: function(x, IDS, 4), in_axes=2, out_axes=2)(DATA)
    np.testing.assert_allclose(by_column, expected, rtol=1e-13)
    whole = function(np.array([3, 1, 2], np.int8), [0, 0, 2])
    assert whole.shape == (3,)
    assert whole.dtype == np.int8


def test_derivative_of_sums() -> None:
    slope = tj.grad(lambda x: (tj.ops.segment_sum(x, IDS, 3) ** 2).sum())(DATA)
    sums = np.asarray(tj.ops.segment_sum(DATA, IDS, 3))
    inside = (IDS >= 0) & (IDS < 3)
    expected = np.where(inside[:, None, None], 2 * sums[np.clip(IDS, 0, 2)], 0.0)
    np.testing.assert_allclose(slope, expected, rtol=1e-13)


def test_messages() -> None:
    with pytest.raises(TypeError, match="num_segments=n"):
        tj.jit(lambda i: tj.ops.segment_sum(DATA, i))(IDS)
    with pytest.raises(TypeError, match="segment_ids must be integers"):
        tj.ops.segment_sum(DATA, IDS * 1.0, 3)
    with pytest.raises(ValueError, match="first axes of data"):
        tj.ops.segment_sum(DATA, IDS[:3], 3)
    with pytest.raises(TypeError, match="no order"):
        tj.ops.segment_max(DATA * 1j, IDS, 3)
