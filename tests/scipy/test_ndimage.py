"""Images against SciPy: every mode, dtype and order; derivatives and lanes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import ndimage as oracle

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.scipy import ndimage
from tracejit.test_util import check_grads

RNG = np.random.default_rng(0)
LINE, PLANE, CUBE = (RNG.normal(size=s) for s in [(9,), (6, 7), (4, 5, 3)])
WHOLE = RNG.integers(0, 200, (6, 7)).astype("u1")
MODES = ("reflect", "constant", "nearest", "mirror", "wrap")
GRIDS = ("grid-mirror", "grid-constant", "grid-wrap")
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
LABELS = RNG.integers(0, 4, (6, 7))
COMPLEX = PLANE + 1j * PLANE[::-1]

ROWS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *[("correlate", (x, k), {"mode": m, "cval": 2.0}) for m in MODES
      for x, k in ((LINE, LINE[:4]), (PLANE, PLANE[:3, :4]), (CUBE, CUBE[:2, :1, :3]))],
    *[("convolve", (PLANE, PLANE[:3, :4]), {"mode": m, "origin": o}) for m in MODES
      for o in (0, (1, -1))],
    ("convolve", (COMPLEX, PLANE[:3, :4]), {}), ("correlate", (COMPLEX, COMPLEX[:3, :2]), {}),
    ("correlate", (WHOLE, [[1, 0, 1]]), {"output": float}),
    ("correlate", (CUBE, PLANE[:2, :3]), {"axes": (0, 2), "origin": (-1, 1)}),
    ("correlate1d", (COMPLEX, COMPLEX[0, :3]), {}),
    *[("correlate1d", (PLANE, LINE[:n]), {"axis": a, "origin": o}) for n in (3, 4)
      for a in (0, -1) for o in (-1, 1)],
    ("convolve1d", (PLANE, LINE[:4]), {"axis": 0}),
    ("convolve1d", (PLANE, LINE[:4]), {"axis": 0, "origin": 1}),
    *[("gaussian_filter", (x, 1.3), {"mode": m}) for x in (PLANE, PLANE.astype("f4"), WHOLE)
      for m in MODES],
    ("gaussian_filter", (PLANE, (0.8, 2)), {"order": (1, 0), "mode": ("wrap", "nearest")}),
    ("gaussian_filter", (CUBE, 1), {"axes": (0, 2), "radius": 2}),
    *[("gaussian_filter1d", (LINE, 1.5), {"order": n}) for n in range(5)],
    ("gaussian_filter1d", (LINE, 7.0), {"mode": "mirror"}),
    ("uniform_filter", (PLANE, (3, 4)), {}), ("uniform_filter", (PLANE,), {"origin": (1, 0)}),
    ("uniform_filter", (WHOLE, 3), {}), ("uniform_filter1d", (PLANE, 4), {"axis": 0}),
    *[(f, (PLANE,), {"mode": m, "axis": a}) for f in ("sobel", "prewitt") for m in MODES
      for a in (0, 1)],
    ("laplace", (CUBE,), {}), ("laplace", (PLANE,), {"mode": ("wrap", "nearest")}),
    ("gaussian_laplace", (PLANE, 1.2), {"mode": "nearest"}),
    ("gaussian_gradient_magnitude", (CUBE, 0.7), {}),
    *[(f + "imum_filter", (PLANE,), how) for f in ("max", "min") for how in (
        {"size": 3}, {"size": (2, 4), "origin": (0, 1), "mode": "wrap"},
        {"footprint": CROSS, "mode": "constant", "cval": 9.0}, {"size": 3, "axes": 1})],
    ("maximum_filter", (WHOLE, 4), {"mode": "mirror"}),
    ("maximum_filter1d", (PLANE, 4), {"axis": 0, "origin": -1}),
    ("minimum_filter1d", (WHOLE, 3), {}),
    ("median_filter", (PLANE, 3), {}), ("median_filter", (WHOLE,), {"footprint": CROSS}),
    ("rank_filter", (PLANE, -2, (3, 2)), {}), ("percentile_filter", (PLANE, 30, 3), {}),
    ("percentile_filter", (PLANE, -20, 3), {"mode": "nearest"}),
    *[("grey_" + f, (PLANE,), how) for f in ("erosion", "dilation", "opening", "closing")
      for how in ({"size": (3, 2)}, {"footprint": CROSS[:, 1:]})],
    *[("spline_filter", (PLANE, n), {"mode": m}) for n in range(2, 6)
      for m in ("mirror", "reflect", "grid-wrap")],
    ("spline_filter1d", (PLANE,), {"axis": 0}),
    *[("shift", (PLANE, (1.3, -0.6)), {"order": n, "mode": m}) for n in (0, 1, 3)
      for m in MODES + GRIDS],
    ("affine_transform", (PLANE, [[0.8, 0.1], [0.2, 1.1]], (0.3, -0.2)), {"mode": "mirror"}),
    ("affine_transform", (PLANE, [0.8, 1.1]), {"output_shape": (4, 9)}),
    ("affine_transform", (PLANE, [[0.8, 0.1, 1], [0.2, 1.1, 0]]), {"order": 1}),
    *[("zoom", (PLANE, z), {"order": n, "mode": "nearest"}) for z in (2, (0.5, 1.7))
      for n in (1, 3)],
    ("zoom", (PLANE, 1.5), {"grid_mode": True, "mode": "grid-constant"}),
    *[("rotate", (PLANE, a), {"reshape": r}) for a in (30, 90) for r in (True, False)],
    ("rotate", (CUBE, 20.0), {"axes": (2, 0)}),
    ("rotate", (CUBE, 20.0), {"axes": (1, 0), "order": 1}),
    *[(f, (PLANE, LABELS), {"index": i}) for f in (
        "sum_labels", "mean", "variance", "standard_deviation", "maximum", "minimum")
      for i in (None, 2, [3, 1, 2], [[2, 2], [0, 1]])],
    ("sum_labels", (PLANE,), {}), ("maximum", (WHOLE, LABELS, [1, 2]), {}),
    ("sum_labels", (PLANE, LABELS, [9, 1]), {}),
    ("center_of_mass", (WHOLE,), {}), ("center_of_mass", (WHOLE, LABELS, [1, 3]), {}),
]  # fmt: skip


def same(found: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    tolerance = 1e-5 if found.dtype == np.float32 else tolerance
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "args", "how"), ROWS)
def test_scipy_agrees(name: str, args: Any, how: Any) -> None:
    wanted = getattr(oracle, name)(*args, **how)
    ours = getattr(ndimage, name)
    found = ours(*args, **how)
    # SciPy's splines do not quite meet the samples of small images that are reflected.
    tolerance = 1e-4 if how.get("mode") in ("reflect", "grid-mirror") else 1e-12
    tolerance = tolerance if name in ("spline_filter", "shift") else 1e-12
    same(found, wanted, tolerance)
    if isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype
    staged = tj.jit(lambda x: ours(x, *args[1:], **how))(args[0])
    same(staged, wanted, tolerance)
    assert staged.dtype == found.dtype


@pytest.mark.parametrize("mode", MODES + GRIDS)
@pytest.mark.parametrize("order", range(6))
def test_coordinates(order: int, mode: str) -> None:
    where = RNG.uniform(-9, 15, (2, 40))
    for x, cval in ((PLANE, 0.5), (WHOLE, 3), (COMPLEX, 1j), (PLANE[:1], 0.0)):
        if x.shape[0] == 1 and (order > 1 or mode == "wrap"):
            continue
        wanted = oracle.map_coordinates(x, where, order=order, mode=mode, cval=cval)
        ours = tj.jit(lambda x, w, c=cval: ndimage.map_coordinates(x, w, order, mode, c))
        reflected = order > 1 and mode in ("reflect", "grid-mirror")
        same(ours(x, where), wanted, 1e-3 if reflected else 1e-10)
        if x is PLANE and mode not in ("constant", "wrap"):  # the samples are met
            at = np.indices(x.shape)
            same(ndimage.map_coordinates(x, at, order, mode, cval), x, 1e-7)
    near = where[:, :4]
    if order > 1 or mode not in ("wrap", "constant"):
        fun = (lambda x: ndimage.map_coordinates(x, near, order, mode)) if order < 2 else (
            lambda x, w=near: ndimage.map_coordinates(x, w, order, mode))  # fmt: skip
        check_grads(fun, (PLANE,), order=1)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_by_coordinates(order: int) -> None:
    where = np.array([[0.7, 2.3, 4.2], [1.4, 0.3, 5.7]])
    for mode in ("reflect", "mirror", "nearest", "grid-wrap"):
        check_grads(lambda w, m=mode: ndimage.map_coordinates(PLANE, w, order, m), (where,),
                    order=2)  # fmt: skip
    lanes = np.stack([where, where + 0.1])
    found = tj.vmap(lambda w: ndimage.map_coordinates(PLANE, w, order))(lanes)
    same(found, [oracle.map_coordinates(PLANE, w, order=order) for w in lanes])


DIFFERENTIABLE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("gaussian_filter", (1.1,), {}), ("uniform_filter", (3,), {"mode": "wrap"}),
    ("sobel", (), {}), ("maximum_filter", (3,), {}), ("median_filter", (3,), {}),
    ("rotate", (25.0,), {"order": 1}), ("variance", (LABELS, [1, 2]), {}),
    ("gaussian_gradient_magnitude", (1.0,), {}), ("maximum", (LABELS, [1, 3]), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "how"), DIFFERENTIABLE)
def test_derivatives_and_lanes(name: str, args: Any, how: Any) -> None:
    def fun(x: Any) -> Any:
        return getattr(ndimage, name)(x, *args, **how)

    check_grads(fun, (PLANE,), order=1, eps=1e-6)
    lanes = np.stack([PLANE, PLANE[::-1]])
    same(tj.jit(tj.vmap(fun))(lanes), [np.asarray(fun(x)) for x in lanes])


def test_derivatives_by_parameters() -> None:
    check_grads(lambda s: ndimage.gaussian_filter(PLANE, s, radius=3), (1.2,), order=2)
    check_grads(
        lambda a: ndimage.rotate(PLANE, a, reshape=False, order=3, mode="mirror"), (20.0,), order=1
    )
    turned = tj.jit(lambda a: ndimage.rotate(PLANE, a, reshape=False))(20.0)
    same(turned, oracle.rotate(PLANE, 20.0, reshape=False), 1e-10)


def test_geometric_transform() -> None:
    def mapping(at: Any, by: float) -> Any:
        return at[0] + by, at[1] * 0.9

    wanted = oracle.geometric_transform(PLANE, mapping, extra_arguments=(0.3,))
    same(ndimage.geometric_transform(PLANE, mapping, extra_arguments=(0.3,)), wanted)


def test_errors() -> None:
    for call, match in [
        (lambda: ndimage.correlate(PLANE, LINE), "rank 2"),
        (lambda: ndimage.correlate(PLANE, PLANE[:2, :2], mode="no"), "mode"),
        (lambda: ndimage.correlate(LINE, LINE[:2], origin=3), "origin"),
        (lambda: ndimage.correlate1d(LINE, LINE[:2], axis=4), "axes"),
        (lambda: ndimage.sobel(PLANE, output=np.zeros((6, 7))), "dtype"),
        (lambda: ndimage.gaussian_filter(PLANE, (1, 2, 3)), "one an axis"),
        (lambda: ndimage.maximum_filter(PLANE), "footprint"),
        (lambda: ndimage.rank_filter(PLANE, 20, 3), "rank"),
        (lambda: ndimage.map_coordinates(PLANE, [LINE]), "one coordinate"),
        (lambda: ndimage.map_coordinates(PLANE, PLANE[:2], 7), "order"),
        (lambda: ndimage.affine_transform(PLANE, np.eye(5)), "matrix"),
        (lambda: ndimage.rotate(PLANE, 3.0, (0, 0)), "plane"),
        (lambda: ndimage.mean(PLANE, index=1), "labels"),
    ]:
        with pytest.raises(ShapeError, match=match):
            call()


def test_whole_dtypes() -> None:
    for kind, output in itertools.product(("i4", "u2"), (None, "f4")):
        x = WHOLE.astype(kind)
        found = ndimage.uniform_filter(x, 3, output=output)
        wanted = oracle.uniform_filter(x, 3, output=output)
        assert found.dtype == wanted.dtype
        same(found, wanted)
    assert tnp.sum(ndimage.maximum_filter(WHOLE > 100, 3)) > 0
