"""Points and centres against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster import vq as oracle

import tracejit as tj
from tracejit.core.errors import ShapeError
from tracejit.scipy.cluster import vq
from tracejit.test_util import check_grads

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shapes", [((20, 3), (4, 3)), ((9,), (2,)), ((5, 1), (7, 1))])
def test_nearest_centre(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    x, centres = (RNG.normal(size=s) for s in shapes)
    code, dist = tj.jit(vq.vq)(x, centres)
    wanted = oracle.vq(x, centres)
    np.testing.assert_array_equal(code, wanted[0])
    assert code.dtype == wanted[0].dtype
    np.testing.assert_allclose(dist, wanted[1], rtol=1e-12)
    check_grads(lambda x, c: vq.vq(x, c)[1], (x, centres), order=1)
    at = tj.grad(lambda c: vq.vq(x[:1], c)[1].sum())(x[:2])
    assert np.all(np.asarray(at) == 0)  # a point on its centre


def test_whiten() -> None:
    x = RNG.normal(size=(9, 3))
    np.testing.assert_allclose(vq.whiten(x), oracle.whiten(x), rtol=1e-12)


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError, match="centres"):
        vq.vq(np.ones((3, 2)), np.ones((3, 4)))
