"""Interpolators against SciPy: every kind, axis, border and order; derivatives and lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import interpolate as oracle

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError
from tracejit.scipy import interpolate
from tracejit.test_util import check_grads

RNG = np.random.default_rng(0)
X = np.array([0.0, 0.7, 1.1, 2.0, 2.4, 3.5])
Y, WIDE, DEEP = (RNG.normal(size=s) for s in [(6,), (6, 2), (2, 6, 3)])
RING = np.concatenate([WIDE[:-1], WIDE[:1]])
Q = np.array([[-0.4, 0.0, 0.33, 0.7], [1.9, 3.1, 3.5, 4.2]])
GRID = (X[:4], np.array([3.0, 2.0, 0.5]), np.array([1.0, 2.0]))
VALUES = RNG.normal(size=(4, 3, 2))
SCATTERED, THERE = RNG.normal(size=(9, 2)), RNG.normal(size=(5, 2))
ON = SCATTERED[:, 0] * 2 + np.sin(SCATTERED[:, 1])
INSIDE = RNG.uniform((0.1, 0.6, 1.1), (1.9, 2.9, 1.9), (4, 3))

# The class, its arguments, and the points.
ROWS: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = [
    *[("CubicSpline", (X, y), {"bc_type": b}, Q) for y in (Y, WIDE)
      for b in ("not-a-knot", "natural", "clamped", ("natural", (1, 0.5 * y[0])),
                ((2, 0.3 * y[1]), "clamped"))],
    *[("CubicSpline", (X[:n], WIDE[:n]), {"bc_type": b}, Q) for n in (2, 3, 4)
      for b in ("not-a-knot", "natural", ((1, WIDE[3]), "not-a-knot"))],
    *[("CubicSpline", (X[:n], np.concatenate([WIDE[:n - 1], WIDE[:1]])), {"bc_type": "periodic"},
       Q) for n in (3, 4, 6)],
    ("CubicSpline", (X, DEEP), {"axis": 1}, Q), ("CubicSpline", (X, DEEP), {"axis": -2}, 1.3),
    ("CubicSpline", (X, Y + 1j * Y[::-1]), {}, Q),
    ("CubicSpline", (X, Y), {"extrapolate": False}, Q),
    ("CubicSpline", (X, Y), {"extrapolate": "periodic"}, Q),
    ("CubicHermiteSpline", (X, WIDE, WIDE[::-1]), {}, Q),
    *[("PchipInterpolator", (X, y), {}, Q) for y in (Y, WIDE, np.sort(Y), np.round(Y))],
    ("PchipInterpolator", (X[:2], Y[:2]), {}, Q), ("PchipInterpolator", (X, DEEP), {"axis": 1}, Q),
    *[("Akima1DInterpolator", (X, y), {"method": m}, Q) for m in ("akima", "makima")
      for y in (Y, WIDE, np.round(Y), np.arange(6.0))],
    ("Akima1DInterpolator", (X, Y), {"extrapolate": True}, Q),
    ("Akima1DInterpolator", (X[:2], Y[:2]), {}, Q),
    *[("interp1d", (X, y), {"kind": k, "fill_value": f, "axis": a, "bounds_error": False}, Q)
      for k in ("linear", "nearest", "nearest-up", "previous", "next", "cubic", "slinear", 3)
      for y, a, f in ((Y, 0, "extrapolate"), (WIDE, 0, (5.0, 6.0)), (DEEP, 1, np.nan))],
    ("interp1d", (X[::-1], Y), {}, Q[:1, 1:]), ("interp1d", (X, np.arange(6)), {}, 0.3),
    ("BarycentricInterpolator", (X, WIDE), {}, Q),
    ("BarycentricInterpolator", (X[::-1], DEEP), {"axis": 1}, Q),
    *[("RegularGridInterpolator", (GRID, v), {"method": m, "fill_value": f, "bounds_error": False},
       q) for m in ("linear", "nearest") for f in (np.nan, 1.5, None)
      for v, q in ((VALUES, 2 * INSIDE.reshape(2, 2, 3)), (VALUES[..., None] + X[:2], INSIDE),
                   (VALUES, (X, 1.2, 1.7)))],
    ("RegularGridInterpolator", ((X,), Y), {}, [0.3, 1.0]),
    ("RegularGridInterpolator", (([2.0], X), Y[None]), {}, [[2.0, 0.3]]),
    *[("RBFInterpolator", (SCATTERED, ON), {"kernel": k, "epsilon": 0.8}, THERE) for k in (
        "linear", "thin_plate_spline", "cubic", "quintic", "multiquadric",
        "inverse_multiquadric", "inverse_quadratic", "gaussian")],
    ("RBFInterpolator", (SCATTERED, DEEP.reshape(9, 2, 2)), {"smoothing": 0.3}, THERE),
    ("RBFInterpolator", (SCATTERED, ON), {"kernel": "gaussian", "epsilon": 1.0, "degree": -1},
     THERE),
]  # fmt: skip


def same(found: Any, wanted: Any, tolerance: float = 1e-10) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of SciPy, about degrees
@pytest.mark.parametrize(("name", "args", "how", "points"), ROWS)
def test_scipy_agrees(name: str, args: Any, how: Any, points: Any) -> None:
    theirs = getattr(oracle, name)(*args, **how)
    wanted = theirs(points)
    ours = getattr(interpolate, name)(*args, **how)
    same(ours(points), wanted)
    same(tj.jit(lambda f, q: f(q))(ours, points), wanted)  # an argument
    if name.startswith(("Cubic", "Pchip", "Akima")):
        for nu in (1, 2, 3, 4):
            same(ours(points, nu), theirs(points, nu), 1e-8)
        same(ours.derivative()(points), theirs.derivative()(points))
        same(ours.antiderivative(2)(1.3), theirs.antiderivative(2)(1.3))
        for ends in ((0.3, 1.9), (1.9, 0.3), (0.1, 9.0), (-8.2, 1.0)):
            same(ours.integrate(*ends), theirs.integrate(*ends), 1e-8)


BUILT: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("CubicSpline", (X, WIDE), {}), ("CubicSpline", (X, Y), {"bc_type": "natural"}),
    ("CubicSpline", (X, RING), {"bc_type": "periodic"}), ("PchipInterpolator", (X, Y), {}),
    ("Akima1DInterpolator", (X, Y), {}), ("CubicHermiteSpline", (X, Y, Y[::-1]), {}),
    ("interp1d", (X, Y), {"bounds_error": False}), ("interp1d", (X, Y), {"kind": "cubic"}),
    ("BarycentricInterpolator", (X, Y), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "how"), BUILT)
def test_derivatives_and_lanes(name: str, args: Any, how: Any) -> None:
    q = np.array([0.31, 1.3, 2.2, 3.1])

    def fun(q: Any, *args: Any) -> Any:
        return getattr(interpolate, name)(*args, **how)(q)

    if how.get("bc_type") == "periodic":  # the last value does not count
        check_grads(lambda q, x: fun(q, x, RING), (q, X), order=1)
    else:
        check_grads(fun, (q, *args), order=1)
    check_grads(lambda q: fun(q, *args), (q,), order=2)
    lanes = [np.stack([v, 1.1 * v]) for v in args]
    found = tj.jit(tj.vmap(fun, in_axes=(None, *(0 for _ in lanes))))(q, *lanes)
    same(found, [np.asarray(fun(q, *(v[i] for v in lanes))) for i in range(2)])


def test_grids_have_derivatives() -> None:
    grid = (X[:4], X[:3], X[:2])
    q = RNG.uniform((0.1, 0.1, 0.1), (1.9, 1.0, 0.6), (4, 3))

    def fun(q: Any, v: Any, *grid: Any) -> Any:
        return interpolate.interpn(grid, v, q)

    check_grads(fun, (q, VALUES, *grid), order=1)
    same(tj.vmap(lambda q: fun(q, VALUES, *grid)[0])(q[:, None]), fun(q, VALUES, *grid))
    at = tj.grad(lambda v: fun(q[:1], v, *grid).sum())(VALUES)
    assert np.count_nonzero(at) == 8


def test_scattered_points_have_derivatives() -> None:
    def fun(q: Any, y: Any, d: Any, e: Any) -> Any:
        return interpolate.RBFInterpolator(y, d, kernel="multiquadric", epsilon=e)(q)

    check_grads(fun, (THERE, SCATTERED, ON, 0.8), order=1, atol=1e-4, rtol=1e-4)
    spline = interpolate.RBFInterpolator(SCATTERED, ON)
    at = tj.jacobian(spline)(SCATTERED[:2])  # on points that are given
    assert np.all(np.isfinite(at))


def test_barycentric_derivatives_at_the_points() -> None:
    f = interpolate.BarycentricInterpolator(X, X**3 - X)
    slopes = tj.vmap(tj.grad(f))(X)
    same(slopes, 3 * X**2 - 1, 1e-9)
    same(tj.vmap(tj.grad(tj.grad(f)))(X), 6 * X, 1e-7)


def test_functions() -> None:
    same(interpolate.pchip_interpolate(X, Y, Q[0], 1), oracle.pchip_interpolate(X, Y, Q[0], 1))
    same(interpolate.barycentric_interpolate(X, Y, Q), oracle.barycentric_interpolate(X, Y, Q))
    c = RNG.normal(size=(3, 5, 2))
    same(interpolate.PPoly(c, X)(Q), oracle.PPoly(c, X)(Q))
    moved = np.moveaxis(c, 2, 0)
    same(interpolate.PPoly(moved, X, axis=1)(Q), oracle.PPoly(moved, X, axis=1)(Q))
    single = interpolate.CubicSpline(X.astype("f4"), Y.astype("f4"))
    assert single(Q.astype("f4")).dtype == np.float32


def test_points_outside() -> None:
    for kind in ("linear", "cubic"):
        f = interpolate.interp1d(X, Y, kind)
        with pytest.raises(ValueError, match="outside"):
            f(9.0)
        assert np.isnan(tj.jit(f)(9.0))  # not known: NaN
    strict = interpolate.interp1d(X, Y, bounds_error=True)
    grid = interpolate.RegularGridInterpolator((X,), Y, bounds_error=True)
    for fun, q in ((strict, 9.0), (grid, [[9.0]])):
        with pytest.raises(ValueError, match="outside"):
            fun(q)
        with pytest.raises(ValueError, match="known while tracing"):
            tj.jit(fun)(tnp.asarray(q))


def test_errors() -> None:
    for call, match in [
        (lambda: interpolate.CubicSpline(X, Y[:3]), "points x"),
        (lambda: interpolate.CubicSpline(X[:1], Y[:1]), "at least 2"),
        (lambda: interpolate.CubicHermiteSpline(X, Y, Y[:2]), "slopes"),
        (lambda: interpolate.PPoly(WIDE, X), "breakpoints"),
        (lambda: interpolate.RegularGridInterpolator((X, X), WIDE), "values"),
        (lambda: interpolate.RegularGridInterpolator((X,), Y)(WIDE), "dimension"),
        (lambda: interpolate.RBFInterpolator(X, Y), "points"),
        (lambda: interpolate.RBFInterpolator(SCATTERED, ON)(X), "points"),
    ]:
        with pytest.raises(ShapeError, match=match):
            call()
    for call, match in [
        (lambda: interpolate.CubicSpline(X[::-1], Y), "increasing"),
        (lambda: interpolate.CubicSpline(X, Y, bc_type="no"), "bc_type"),
        (lambda: interpolate.Akima1DInterpolator(X, Y, method="no"), "method"),
        (lambda: interpolate.RegularGridInterpolator((X,), Y, "no"), "method"),
        (lambda: interpolate.RegularGridInterpolator((X[[0, 2, 1, 3, 4, 5]],), Y), "monoton|incr"),
        (lambda: interpolate.RBFInterpolator(SCATTERED, ON, kernel="gaussian"), "epsilon"),
        (lambda: interpolate.RBFInterpolator(SCATTERED, ON, kernel="no"), "kernel"),
    ]:
        with pytest.raises(ValueError, match=match):
            call()
    for call in (
        lambda: interpolate.interp1d(X, Y, "quadratic"),
        lambda: interpolate.RBFInterpolator(SCATTERED, ON, neighbors=3),
    ):
        with pytest.raises(NotImplementedError):
            call()
