"""Eager evaluation gives what compiled code gives."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tracejit.core.primitive import impl
from tracejit.ops.normal_quantile import erf_inv_of_uniform, erf_inv_of_uniform_p
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


def test_what_is_slow_in_numpy_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    most = erf_inv_of_uniform_p.compiled_from
    assert most is not None
    x = np.linspace(-0.999, 0.999, most)
    sizes = []
    by_numpy = impl[erf_inv_of_uniform_p]

    def counted(xp: Any, x: Any) -> Any:
        sizes.append(x.size)
        return by_numpy(xp, x)

    monkeypatch.setitem(impl._rules, erf_inv_of_uniform_p, counted)
    few, all_ = erf_inv_of_uniform(x[:-1]), erf_inv_of_uniform(x)
    assert sizes == [most - 1]
    np.testing.assert_array_equal(np.asarray(all_)[:-1], few)
