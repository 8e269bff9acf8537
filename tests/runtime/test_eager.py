"""Eager evaluation gives what compiled code gives."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tracejit.ops.shape import reduce_sum
from tracejit.runtime.jit import jit


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_long_sums_of_narrow_floats(dtype: type, axes: tuple[int, ...]) -> None:
    x = np.ones((5000, 3), dtype)
    eager, compiled = reduce_sum(x, axes), jit(lambda x: reduce_sum(x, axes))(x)
    wanted = np.asarray(x, np.float32).sum(axes).astype(dtype)
    np.testing.assert_array_equal(np.asarray(eager, np.float32), np.asarray(wanted, np.float32))
    np.testing.assert_array_equal(np.asarray(compiled, np.float32), np.asarray(wanted, np.float32))
