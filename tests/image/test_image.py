"""Images: values worked out by hand, JAX's, derivatives, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit import image, jit, vmap
from tracejit import numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.testing.gradients import check_grads

X = np.random.default_rng(3).normal(size=(5, 7, 3))
METHODS = ["linear", "cubic", "cubic-pytorch", "lanczos3", "lanczos5", "area"]
SHAPES = [(10, 3, 3), (2, 20, 1)]


def test_by_hand() -> None:
    x = np.array([0.0, 4.0])
    assert np.asarray(image.resize(x, (4,), "linear")).tolist() == [0.0, 1.0, 3.0, 4.0]
    assert np.asarray(image.resize(x, (4,), "nearest")).tolist() == [0.0, 0.0, 4.0, 4.0]
    np.testing.assert_allclose(image.resize(np.arange(6.0), (2,), "area"), [1.0, 4.0], rtol=1e-14)
    moved = image.scale_and_translate(x, (3,), [0], [1.0], [1.0], "linear")
    assert np.asarray(moved).tolist() == [0.0, 0.0, 4.0]
    narrow = image.resize(np.arange(4, dtype=np.uint8), (2,), "nearest")
    assert narrow.dtype == np.uint8
    assert image.resize(np.arange(4, dtype=np.int64), (2,), "cubic").dtype == np.float64
    assert image.resize(X.astype(np.float32), (2, 2, 2), "cubic").dtype == np.float32


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_a_constant_stays_and_a_line_too(method: str, antialias: bool) -> None:
    flat = image.resize(np.full((5, 7), 2.5), (9, 4), method, antialias)
    np.testing.assert_allclose(flat, 2.5, rtol=1e-14)
    same = image.resize(X, X.shape, method, antialias)
    np.testing.assert_array_equal(same, X)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", ["nearest", *METHODS])
def test_as_jax_does(method: str, antialias: bool) -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        for shape in SHAPES:
            wanted = jax.image.resize(X, shape, method, antialias)
            np.testing.assert_allclose(
                image.resize(X, shape, method, antialias), wanted, atol=1e-12
            )
            if method == "nearest" or shape[2] == 1:
                continue
            scale, shift = np.array([1.5, 0.7]), np.array([0.3, -1.0])
            given: Any = (X, (*shape[:2], 3), (0, 1), scale, shift, method, antialias)
            wanted = jax.image.scale_and_translate(*given)
            np.testing.assert_allclose(image.scale_and_translate(*given), wanted, atol=1e-12)


def test_under_transformations() -> None:
    def small(x: Any) -> Any:
        return image.resize(x, (3, 9), "lanczos3")

    np.testing.assert_allclose(jit(small)(X[..., 0]), small(X[..., 0]), rtol=1e-13, atol=1e-13)
    mapped = vmap(small, in_axes=2, out_axes=2)(X)
    np.testing.assert_allclose(mapped, image.resize(X, (3, 9, 3), "lanczos3"), atol=1e-13)
    check_grads(small, (X[..., 0],), order=2)

    def moved(scale: Any, shift: Any) -> Any:
        out = image.scale_and_translate(X, (6, 5, 3), (0, 1), scale, shift, "cubic")
        return tnp.sum(out**2)

    check_grads(moved, (np.array([1.3, 0.8]), np.array([0.2, -0.4])), order=1)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"method must be one of nearest, linear.*got 'sharp'"):
        image.resize(X, (1, 1, 1), "sharp")
    with pytest.raises(ShapeError, match="the rank of the image, 3"):
        image.resize(X, (4, 4), "linear")
    with pytest.raises(ShapeError, match="axis 2 is not one of spatial_dims"):
        image.scale_and_translate(X, (5, 7, 4), (0,), [1.0], [0.0], "linear")
    with pytest.raises(ShapeError, match=r"scale must have shape \(1,\)"):
        image.scale_and_translate(X, (5, 7, 3), (0,), [1.0, 2.0], [0.0], "linear")
    with pytest.raises(ValueError, match="has no weights"):
        image.scale_and_translate(X, (5, 7, 3), (0,), [1.0], [0.0], "nearest")
