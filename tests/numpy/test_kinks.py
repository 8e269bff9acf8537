"""Derivatives where a function has a kink: what they are here, and what JAX's are.

=====================  ==========  ============  =========================================
function, at           here        JAX 0.10      why
=====================  ==========  ============  =========================================
abs, 0                 0           1             the least subgradient; sign(0) is 0
abs of complex, 0      0           0
sign of complex, 0     0           NaN           so that ``abs`` has a second derivative
maximum, minimum, tie  1/2 each    1/2 each      symmetric in the operands
clip, at an end        1/2 of x    1/2 of x      it is made of maximum and minimum
relu by maximum, 0     1/2         1/2
hypot, (0, 0)          0           1/2 each      the least subgradient
sqrt, 0                inf         inf           the limit from the right; guard it
cbrt, 0                inf         inf           the limit
x**p, 0 (0 < p < 1)    inf         inf           the limit
norms, 0               0           NaN           the least subgradient, of every order
std, of equal numbers  0           NaN           it is a norm
max, min, tie          shared      shared        as maximum
=====================  ==========  ============  =========================================
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
import tracejit.scipy.special as special
from tracejit import nn
from tracejit.transforms.api import grad, hessian, jacfwd, jvp, vmap

# Functions of an array, the kink, and the derivative along each element: here, and in JAX.
NAN3 = [np.nan] * 3
KINKS: dict[str, tuple[Any, Any, Any, Any]] = {
    "abs": (lambda n, x: n.abs(x[0]), [0.0], [0], [1]),
    "abs of -0": (lambda n, x: n.abs(x[0]), [-0.0], [0], [1]),
    "abs of complex": (lambda n, x: n.abs(x[0] + 1j * x[1]), [0.0, 0.0], [0, 0], [0, 0]),
    "maximum": (lambda n, x: n.maximum(x[0], x[1]), [1.0, 1.0], [0.5, 0.5], [0.5, 0.5]),
    "minimum": (lambda n, x: n.minimum(x[0], x[1]), [1.0, 1.0], [0.5, 0.5], [0.5, 0.5]),
    "relu": (lambda n, x: n.maximum(x[0], 0), [0.0], [0.5], [0.5]),
    "clip": (lambda n, x: n.clip(x[0], 0, 1), [1.0], [0.5], [0.5]),
    "max": (lambda n, x: n.max(x), [1.0, 1.0, 0.0], [0.5, 0.5, 0], [0.5, 0.5, 0]),
    "hypot": (lambda n, x: n.hypot(x[0], x[1]), [0.0, 0.0], [0, 0], [0.5, 0.5]),
    "sqrt": (lambda n, x: n.sqrt(x[0]), [0.0], [np.inf], [np.inf]),
    "cbrt": (lambda n, x: n.cbrt(x[0]), [0.0], [np.inf], [np.inf]),
    "power": (lambda n, x: x[0] ** 0.5, [0.0], [np.inf], [np.inf]),
    "norm": (lambda n, x: n.linalg.norm(x), [0.0] * 3, [0] * 3, NAN3),
    "norm 3": (lambda n, x: n.linalg.norm(x, 3), [0.0] * 3, [0] * 3, NAN3),
    "std": (lambda n, x: n.std(x), [2.0] * 3, [0] * 3, NAN3),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks(name: str) -> None:
    function, at, here, _ = KINKS[name]
    x = np.array(at)
    np.testing.assert_array_equal(np.asarray(grad(lambda x: function(tnp, x))(x)), here)
    np.testing.assert_array_equal(np.asarray(jacfwd(lambda x: function(tnp, x))(x)), here)


@pytest.mark.parametrize("name", KINKS)
def test_kinks_of_jax(name: str) -> None:
    jax = pytest.importorskip("jax")
    function, at, _, there = KINKS[name]
    slope = jax.grad(lambda x: function(jax.numpy, x))(np.array(at, np.float32))
    np.testing.assert_allclose(np.asarray(slope), there, rtol=1e-6)


# ------------------------------------------------------------------------------------- norms

ORDERS = [None, 1, 1.5, 2, 3, 0.5, -1, -2.0, 0, np.inf, -np.inf]


@pytest.mark.parametrize("dtype", ["f8", "c16", "f4"])
@pytest.mark.parametrize("order", ORDERS)
def test_vector_norms_at_zero(order: Any, dtype: str) -> None:
    """Of one vector, of rows of which one is 0, and under vmap; in both modes, to second order."""
    rows = np.array([[3, 0, -4], [0, 0, 0], [1, 2, 2]], dtype)
    close = {"rtol": 1e-5 if dtype == "f4" else 1e-12}

    def norms(x: Any) -> Any:
        return tnp.linalg.norm(x, order, axis=-1)

    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(norms(rows), np.linalg.norm(rows, order, axis=-1), **close)
    slopes = np.asarray(grad(lambda x: tnp.sum(norms(x)))(rows))
    np.testing.assert_array_equal(slopes[1], 0)
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(vmap(grad(norms))(rows), slopes, **close)
    np.testing.assert_array_equal(np.asarray(grad(norms)(rows[1])), 0)
    t = np.ones_like(rows)
    along, second = jvp(grad(lambda x: tnp.sum(norms(x))), (rows,), (t,))
    np.testing.assert_allclose(along, slopes, **close)
    assert np.isfinite(np.asarray(second)).all()
    np.testing.assert_array_equal(np.asarray(second)[1], 0)


def test_norm_near_zero_is_itself() -> None:
    x = np.array([3e-100, 0, -4e-100])
    np.testing.assert_allclose(grad(tnp.linalg.norm)(x), [0.6, 0, -0.8], rtol=1e-14)
    eye = np.eye(3) - np.outer([0.6, 0, -0.8], [0.6, 0, -0.8])
    np.testing.assert_allclose(hessian(tnp.linalg.norm)(x * 1e100), eye / 5, atol=1e-14)


@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_matrix_norms(order: Any) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 2, 4))
    for axis in ((0, 1), (2, 0), (-1, 1)):
        for keepdims in (False, True):
            np.testing.assert_allclose(
                tnp.linalg.norm(a, order, axis, keepdims),
                np.linalg.norm(a, order, axis, keepdims),
                rtol=1e-13,
            )
    a[1] = 0

    def norms(a: Any) -> Any:
        return tnp.linalg.norm(a, order, axis=(1, 2))

    slopes = np.asarray(grad(lambda a: tnp.sum(norms(a)))(a))
    np.testing.assert_array_equal(slopes[1], 0)
    h, t = 1e-6, rng.normal(size=a.shape)
    t[1] = 0
    difference = (np.asarray(norms(a + h * t)) - np.asarray(norms(a - h * t))) / (2 * h)
    np.testing.assert_allclose((slopes * t).sum((1, 2)), difference, atol=1e-8)
    second = jvp(grad(lambda a: tnp.sum(norms(a))), (a,), (t,))[1]
    assert np.isfinite(np.asarray(second)).all()


def test_distances_of_points_to_themselves() -> None:
    """What the derivative of a norm at 0 is mostly met in."""
    points = np.random.default_rng(1).normal(size=(4, 3))

    def energy(x: Any) -> Any:
        return tnp.sum(tnp.linalg.norm(x[:, None] - x[None], axis=-1))

    apart = points[:, None] - points[None]
    length = np.linalg.norm(apart, axis=-1) + np.eye(4)
    want = 2 * (apart / length[..., None]).sum(1)
    np.testing.assert_allclose(grad(energy)(points), want, rtol=1e-12)
    assert np.isfinite(np.asarray(hessian(energy)(points))).all()


def test_std_of_equal_numbers() -> None:
    x = np.array([[1.0, 1, 1], [1, 2, 6]])
    for std in (tnp.std, tnp.nanstd):
        slopes = np.asarray(grad(lambda x, std=std: tnp.sum(std(x, axis=1)))(x))
        np.testing.assert_array_equal(slopes[0], 0)
        np.testing.assert_allclose(slopes[1], (x[1] - 3) / 3 / np.std(x[1]), rtol=1e-14)


# ------------------------------------------------------------------------------------- guards

def guarded(function: Any) -> Any:
    return lambda x: tnp.where(x > 0, function(tnp.where(x > 0, x, 1)), 0)


GUARDED: dict[str, tuple[Any, Any]] = {
    "sqrt": (guarded(tnp.sqrt), lambda x: x**-0.5 / 2),
    "log": (guarded(tnp.log), lambda x: 1 / x),
    "division": (guarded(lambda x: 1 / x), lambda x: -1 / x**2),
    "power": (guarded(lambda x: x**0.3), lambda x: 0.3 * x**-0.7),
}


@pytest.mark.parametrize("name", GUARDED)
def test_the_documented_guard(name: str) -> None:
    """The inner ``where`` keeps the operand away, the outer one chooses; no NaN of any order."""
    function, slope = GUARDED[name]
    x = np.array([-1.0, 0, 0.25, 4])
    want = np.append([0, 0], slope(x[2:]))
    np.testing.assert_allclose(grad(lambda x: tnp.sum(function(x)))(x), want, rtol=1e-13)
    np.testing.assert_allclose(vmap(grad(function))(x), want, rtol=1e-13)
    np.testing.assert_allclose(np.diag(np.asarray(jacfwd(function)(x))), want, rtol=1e-13)
    second = np.asarray(vmap(grad(grad(function)))(x))
    np.testing.assert_array_equal(second[:2], 0)
    assert np.isfinite(second).all()


def test_one_where_is_not_enough() -> None:
    """In reverse mode 0 times an infinite slope is NaN, as in JAX; forward mode chooses."""

    def function(x: Any) -> Any:
        return tnp.where(x > 0, tnp.sqrt(x), 0)

    assert np.isnan(float(grad(function)(0.0)))
    assert float(jvp(function, (0.0,), (1.0,))[1]) == 0


def test_second_derivatives_at_kinks() -> None:
    for function, at in (
        (lambda x: tnp.hypot(x[0], x[1]), [0.0, 0.0]),
        (lambda x: tnp.abs(x[0] + 1j * x[1]), [0.0, 0.0]),
        (lambda x: tnp.abs(x[0]), [0.0]),
        (lambda x: tnp.linalg.norm(x + 0j, 1), [0.0, 0.0]),
    ):
        np.testing.assert_array_equal(np.asarray(hessian(function)(np.array(at))), 0)
    # A turn by 1 across, at distance 2.
    turn = jvp(tnp.sign, (np.array(2.0 + 0j),), (np.array(1j),))[1]
    assert complex(np.asarray(turn)) == 0.5j


MILLS = 1.5251352761609807  # the density of a normal variable at -1, by its probability below
SMOOTH: dict[str, tuple[Any, float, list[float]]] = {
    "logaddexp": (lambda x: tnp.logaddexp(x, 0.0), 0.0, [0.5, 0.25, 0, -0.125]),
    "logaddexp2": (lambda x: tnp.logaddexp2(x, 1.0), 1.0, [0.5, np.log(2) / 4, 0]),
    "softplus": (nn.softplus, 0.0, [0.5, 0.25, 0, -0.125]),
    "log_sigmoid": (nn.log_sigmoid, 0.0, [0.5, -0.25, 0, 0.125]),
    "log_expit": (special.log_expit, 0.0, [0.5, -0.25, 0, 0.125]),
    "mish": (nn.mish, 0.0, [0.6, 0.64, -0.096]),
    "sinc": (tnp.sinc, 0.0, [0, -(np.pi**2) / 3, 0, np.pi**4 / 5]),
    "log_ndtr": (special.log_ndtr, -1.0, [MILLS, MILLS * (1 - MILLS)]),
    "x**x": (lambda x: x**x, 1.0, [1, 2, 3, 8]),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_no_kink_where_a_function_is_put_together(name: str) -> None:
    """Where the pieces of a smooth function meet, its derivatives of every order are right."""
    function, at, want = SMOOTH[name]
    for slope in want:
        function = grad(function)
        np.testing.assert_allclose(function(at), slope, rtol=1e-11, atol=1e-11)
