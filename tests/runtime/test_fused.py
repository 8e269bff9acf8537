"""The fused multiply-add as a primitive: eagerly, which is NumPy, and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.ops import fused


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_primitive(dtype: Any) -> None:
    """NumPy's and the compiled kernel's bits are the same, of numbers and of what is none."""
    inf, nan = np.inf, np.nan
    special = np.array([inf, -inf, nan, 0.0, -0.0, 1.0, -3.0, 1e30, 1e-30, 0.1], dtype)
    special = np.append(special, np.finfo(dtype).max / 8)
    x, y, z = (a.ravel() for a in np.meshgrid(special, special, special))
    rng = np.random.default_rng(1)
    with np.errstate(all="ignore"):
        x, y, z = (np.concatenate([a, rng.normal(size=999).astype(dtype)]) for a in (x, y, z))
        compiled = tj.jit(fused.fma)
        for operands in ((x, y, z), (x, y[-1], z), (x[-1], y, z[-2]), (x[-1], y[-1], z[-1])):
            eager, found = (np.asarray(f(*operands)) for f in (fused.fma, compiled))
            assert eager.dtype == dtype
            assert eager.shape == np.broadcast_shapes(*[np.shape(v) for v in operands])
            np.testing.assert_array_equal(eager, found)
            defined = ~np.isnan(eager)
            np.testing.assert_array_equal(np.signbit(eager[defined]), np.signbit(found[defined]))


def test_derivatives() -> None:
    slopes = tj.grad(fused.fma, (0, 1, 2))(2.0, 3.0, 4.0)
    assert [float(s) for s in slopes] == [3.0, 2.0, 1.0]
