"""Complex numbers in kernels: the functions against NumPy, elements wherever they lie.

Where C99 leaves a sign or a NaN open, or NumPy is less accurate, parts may differ; these are named
in :data:`OPEN`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit import grad, jit, vmap
from tracejit.lax import fori_loop, scan, while_loop
from tracejit.runtime.devices import counters
from tracejit.tools.explain import explain

DTYPES = [np.complex64, np.complex128]
INF, NAN = np.inf, np.nan

UNARY = [
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "sinh", "cosh", "tanh",
    "sin", "cos", "tan", "arcsinh", "arccosh", "arctanh", "arcsin", "arccos", "arctan", "abs",
    "sign", "negative", "conj", "angle", "square", "isnan", "isinf", "isfinite", "real", "imag",
]  # fmt: skip
BINARY = [
    "add", "subtract", "multiply", "divide", "power", "equal", "not_equal", "less",
    "less_equal", "greater", "greater_equal", "maximum", "minimum",
]  # fmt: skip

Parts = Callable[[Any, Any], Any]
OPEN: dict[str, Parts] = {
    # NumPy's are NaN, or have lost all digits
    "expm1": lambda x, y: (np.abs(x) == INF) | ((y == 0) & ~(np.abs(x) < 80)),
    "log1p": lambda x, y: (np.abs(x) < 0.5) & (np.abs(y) < 0.5),
    "arctanh": lambda x, y: np.isnan(x) & (np.abs(y) > 1e6),
    "arctan": lambda x, y: np.isnan(y) & (np.abs(x) > 1e6),
    # NumPy fuses products: they overflow only if their sum does
    "square": lambda x, y: (np.abs(x) > 1e20) & (np.abs(y) > 1e20),
    # signs of zero and inf where the other part is NaN
    "sinh": lambda x, y: ~np.isfinite(y),
    "cosh": lambda x, y: ~np.isfinite(y),
    "sin": lambda x, y: ~np.isfinite(x),
    "cos": lambda x, y: ~np.isfinite(x) | np.isnan(y),
}


def grid(dtype: Any) -> Any:
    """Return numbers with all parts that may be special."""
    huge, tiny = (1e38, 1e-38) if dtype is np.complex64 else (1e300, 1e-300)
    special = [0.0, 1.0, 0.3, 0.7, 2.5, 30.0, 1e9, 1e-9, huge, tiny, INF]
    parts = np.array([*special, *(-x for x in special), NAN])
    z = np.empty((len(parts), len(parts)), dtype)
    z.real, z.imag = parts[:, None], parts
    return z.ravel()


def usual(dtype: Any, n: int = 999) -> Any:
    rng = np.random.default_rng(11)
    z = rng.normal(size=n) + 1j * rng.normal(size=n)
    return (z * np.exp(rng.normal(size=n))).astype(dtype)


def near(got: Any, want: Any, ulps: float = 8.0) -> Any:
    """Return which elements are as wanted: special parts exactly, others to the larger one."""
    if want.dtype.kind == "b":
        return got == want
    eps = ulps * np.finfo(want.dtype).eps
    if want.dtype.kind == "f":
        return np.isclose(got, want, rtol=eps, atol=0, equal_nan=True)
    size = np.maximum(np.abs(want.real), np.abs(want.imag))
    fits = np.ones(want.shape, bool)
    for g, w in ((got.real, want.real), (got.imag, want.imag)):
        same = ((g == w) & (np.signbit(g) == np.signbit(w))) | (np.isnan(g) & np.isnan(w))
        fits &= same | (np.isfinite(w) & (w != 0) & (np.abs(g - w) <= eps * size))
    return fits


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_functions(name: str, dtype: Any) -> None:
    before = counters()["callbacks"]
    z = np.concatenate([grid(dtype), usual(dtype)])
    with np.errstate(all="ignore"):
        want = getattr(np, name)(z)
        agrees = near(np.asarray(jit(getattr(tnp, name))(z)), want)
        if name in OPEN:
            agrees |= OPEN[name](z.real, z.imag)
    assert agrees.all(), z[~agrees][:10]
    assert counters()["callbacks"] == before


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_operations(name: str, dtype: Any) -> None:
    before = counters()["callbacks"]
    special = grid(dtype)[::7]
    x, y = (v.ravel().copy() for v in np.meshgrid(special, special))
    x, y = np.concatenate([x, usual(dtype)]), np.concatenate([y, usual(dtype)[::-1]])
    with np.errstate(all="ignore"):
        want = getattr(np, name)(x, y)
        got = np.asarray(jit(getattr(tnp, name))(x, y))
        agrees = near(got, want)
        if name == "multiply":  # NumPy fuses products
            parts = np.abs(np.stack([x.real, x.imag, y.real, y.imag]))
            agrees |= (parts > 1e20).sum(axis=0) > 1
            agrees |= ((parts > 0) & (parts < 1e-20)).any(axis=0)
        elif name == "power":  # by logarithms: as good as the exponent times the logarithm
            exponent = np.abs(y * np.log(x))
            modest = np.isfinite(x) & np.isfinite(y) & (exponent < 50)
            agrees = (np.abs(got - want) <= 200 * np.finfo(dtype).eps * np.abs(want)) | ~modest
    assert agrees.all(), list(zip(x[~agrees], y[~agrees], strict=True))[:10]
    assert counters()["callbacks"] == before


@pytest.mark.parametrize("name", ["log1p", "expm1"])
def test_functions_of_small_numbers(name: str) -> None:
    z = usual(np.complex128) * np.geomspace(1e-12, 0.1, 999)
    want = getattr(np, name)(z.astype(np.clongdouble)).astype(complex)
    got = np.asarray(jit(getattr(tnp, name))(z))
    np.testing.assert_array_less(np.abs(got - want), 1e-15 * np.abs(want) + 1e-18)


def test_near_the_unit_circle_the_logarithm_is_accurate() -> None:
    angles = np.random.default_rng(5).uniform(-3, 3, 500)
    z = (1 + 1e-7 * np.random.default_rng(5).normal(size=500)) * np.exp(1j * angles)
    want = np.log(z.astype(np.clongdouble)).astype(complex)
    np.testing.assert_allclose(np.asarray(jit(tnp.log)(z)).real, want.real, rtol=1e-8, atol=1e-16)


PLACES: dict[str, Callable[[Any, Any], Any]] = {
    "slice": lambda n, z: z[1:-1, 3:] * 2j,
    "offsets of neighbours": lambda n, z: z[:, 2:] + z[:, :-2] * z[:, 1:-1],
    "far slice": lambda n, z: z[:, 19:] - z[:, :-19],
    "steps": lambda n, z: z[::2, ::3] + 1,
    "flip": lambda n, z: n.flip(z, 1) * z,
    "roll": lambda n, z: n.roll(z, 3, 1) + n.roll(z, -1, 0),
    "transpose": lambda n, z: n.transpose(z) * 3,
    "broadcast": lambda n, z: z[0] * z,
    "column": lambda n, z: z[:, :1] * z,
    "pad": lambda n, z: n.pad(z, ((1, 2), (3, 0))) + 1j,
    "concatenate": lambda n, z: n.concatenate([z, 2 * z, z[:1]], 0) * 1j,
    "where": lambda n, z: n.where(z.real > 0, z, n.conj(z)),
    "gather": lambda n, z: z[np.array([3, 1, 1])][:, np.array([0, 22, 5])],
    "diagonal": lambda n, z: n.diagonal(z) + 1,
    "reshape": lambda n, z: n.reshape(z * 1j, (-1,)),
    "parts": lambda n, z: z.real * n.arange(23) + z.imag,
    "real part alone": lambda n, z: n.real(z)[:, ::-1],
    "to complex": lambda n, z: z.real + 1j * z.imag[:, ::-1],
    "convert": lambda n, z: z.astype(np.complex64).astype(np.complex128),
    "to bool": lambda n, z: z.astype(bool),
    "sum": lambda n, z: n.sum(z),
    "sum of columns": lambda n, z: n.sum(z * z, axis=0),
    "sum of rows": lambda n, z: n.sum(n.exp(z), axis=1),
    "mean": lambda n, z: n.mean(z, axis=1, keepdims=True) * z,
    "normalised": lambda n, z: z / n.sqrt(n.sum(n.abs(z) ** 2, axis=1, keepdims=True)),
    "short sum": lambda n, z: n.sum(z[:, :3], axis=1),
    "product": lambda n, z: n.prod(z / n.abs(z)),
    "products of rows": lambda n, z: n.prod(z / n.abs(z), axis=1),
    "products of columns": lambda n, z: n.prod(z * 0.5, axis=0),
    "greatest": lambda n, z: n.max(n.round(z), axis=1) + n.min(n.round(z)),
    "dot": lambda n, z: n.vdot(z, z) + n.dot(z[0], z[1]),
    "matmul": lambda n, z: z @ n.conj(n.transpose(z)),
    "small matmul": lambda n, z: z[:3, :4] @ z[:4, :2],
    "matrix times vector": lambda n, z: z @ z[0],
    "cumsum": lambda n, z: n.cumsum(z, axis=1) + 1,
    "powers": lambda n, z: z**3 + z**-2,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLACES)
def test_places(name: str, dtype: Any) -> None:
    """Elements in slices, steps, tails of vectors and reductions."""
    for shape in ((20, 23), (9, 129)):
        z = usual(dtype, shape[0] * shape[1]).reshape(shape)
        if "gather" in name and shape[0] < 20:
            continue
        function = PLACES[name]
        if name == "parts" and shape[1] != 23:
            continue
        want = np.asarray(function(np, z))
        before = counters()["callbacks"]
        got = np.asarray(jit(lambda z, f=function: f(tnp, z))(z))
        assert counters()["callbacks"] == before
        assert got.shape == want.shape
        tolerance = 1e-3 if z.dtype == np.complex64 else 1e-11
        size = float(np.max(np.abs(want)))
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * size * 1e-2)


def test_in_place_updates_and_loops() -> None:
    z = usual(np.complex128, 70).reshape(7, 10)

    def steps(z: Any) -> Any:
        z = z.at[1:-1, 2:].set(1j * z[1:-1, :-2]).at[0].add(2.0)
        z = fori_loop(0, 5, lambda i, w: w * 0.5j + z, z)
        return scan(lambda c, x: (c + x, c * x), z[0], z)

    want_z = z.copy()
    want_z[1:-1, 2:] = 1j * z[1:-1, :-2]
    want_z[0] += 2.0
    w = want_z
    for _ in range(5):
        w = w * 0.5j + want_z
    carry, rows = w[0], []
    for x in w:
        rows.append(carry * x)
        carry = carry + x
    got, stacked = jit(steps)(z)
    np.testing.assert_allclose(got, carry)
    np.testing.assert_allclose(stacked, rows)
    assert explain(steps)(z).callbacks == 0


def test_a_batch_of_loops_has_no_callback() -> None:
    def one(c: Any) -> Any:
        return while_loop(
            lambda s: (s[1] < 30) & (tnp.abs(s[0]) < 2), lambda s: (s[0] ** 2 + c, s[1] + 1),
            (c * 0, 0),
        )  # fmt: skip

    c = usual(np.complex128, 50)
    z, n = jit(vmap(one))(c)
    for k in range(50):
        w, m = 0j, 0
        while m < 30 and abs(w) < 2:
            w, m = w * w + c[k], m + 1
        assert m == int(n[k])
        np.testing.assert_allclose(complex(z[k]), w, rtol=1e-6)
    assert explain(vmap(one))(c).callbacks == 0


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "arcsin", "sign", "abs"])
def test_derivatives_are_those_of_eager_evaluation(name: str) -> None:
    function = getattr(tnp, name)
    slope = grad(lambda z: tnp.sum(tnp.real(function(z) * (1 + 2j))))
    z = usual(np.complex128, 40)
    np.testing.assert_allclose(jit(slope)(z), slope(z), rtol=1e-10, atol=1e-12)
    assert explain(slope)(z).callbacks == 0
