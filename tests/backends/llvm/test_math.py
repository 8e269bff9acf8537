"""Every mathematical function against mpmath: errors in units of the last place, and specials."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import pytest

from tracejit.ir import scalar as s
from tracejit.ir.dtypes import DTYPES
from tracejit.ir.kernel import BufferParam, For, Kernel, Store
from tracejit.ir.scalar import IndexVar, Loop, Size
from tracejit_llvm.math import lanes

POINTS = 1500
Pairs = Callable[[np.random.Generator, Any, int], Any]


def unary(compiler: Any, op: str, dtype: Any, *operands: Any) -> Any:
    """Return the native values of a function on arrays of one length."""
    i = IndexVar("i0", 0)
    at = s.index(i)
    loads = [s.raw("load", (at,), dtype, n) for n in range(len(operands))]
    body = Store(len(operands), at, s.apply(op, *loads))
    buffers = (*(BufferParam(dtype, "in") for _ in operands), BufferParam(dtype, "out"))
    kernel = Kernel(buffers, (For(Loop(i, 0, Size(0), True), (body,), True),), 1)
    out = np.zeros_like(operands[0])
    compiler(kernel)([*operands, out], [out.size])
    return out


def uniform(lo: float, hi: float) -> Pairs:
    return lambda rng, dtype, n: rng.uniform(lo, hi, n).astype(dtype)


def exponents(lo: float, hi: float, signed: bool = True) -> Pairs:
    """Return values whose logarithms are uniform."""

    def draw(rng: np.random.Generator, dtype: Any, n: int) -> Any:
        sign = rng.choice([-1.0, 1.0], n) if signed else 1.0
        return (sign * 2.0 ** rng.uniform(lo, hi, n)).astype(dtype)

    return draw


class Case(NamedTuple):
    op: str
    exact: Callable[..., Any]
    domains: tuple[Any, ...]
    bound64: float = 2.5
    bound32: float = 2.5
    absolute: bool = False


def _cbrt(x: Any) -> Any:
    return mp.sign(x) * mp.cbrt(abs(x))


CASES = [
    Case("exp", mp.exp, (uniform(-745, 709.7), uniform(-1, 1), exponents(-60, 0))),
    Case("exp2", lambda x: mp.mpf(2) ** x, (uniform(-1074, 1023.9), uniform(-1, 1))),
    Case("expm1", mp.expm1, (uniform(-40, 709.7), uniform(-1, 1), exponents(-60, 0))),
    Case("log", mp.log, (exponents(-1070, 1023, False), uniform(0.5, 2), uniform(0.99, 1.01))),
    Case("log2", lambda x: mp.log(x, 2), (exponents(-1070, 1023, False), uniform(0.7, 1.5)),
         0.8, 1.1),
    Case("log10", mp.log10, (exponents(-1070, 1023, False), uniform(0.7, 1.5)), 0.8, 0.9),
    Case("log1p", mp.log1p, (uniform(-0.999, 3), exponents(-60, 60, False), exponents(-60, -1))),
    Case("sin", mp.sin, (uniform(-7, 7), exponents(-30, 16), exponents(29, 33))),
    Case("cos", mp.cos, (uniform(-7, 7), exponents(-30, 16), exponents(29, 33))),
    Case("tan", mp.tan, (uniform(-7, 7), exponents(-30, 16), exponents(29, 33))),
    Case("asin", mp.asin, (uniform(-1, 1), exponents(-40, 0))),
    Case("acos", mp.acos, (uniform(-1, 1), exponents(-40, 0), uniform(0.99, 1))),
    Case("atan", mp.atan, (uniform(-4, 4), exponents(-60, 60))),
    Case("sinh", mp.sinh, (uniform(-88, 88), uniform(-2, 2), exponents(-60, 0))),
    Case("cosh", mp.cosh, (uniform(-88, 88), uniform(-2, 2))),
    Case("tanh", mp.tanh, (uniform(-20, 20), uniform(-1, 1), exponents(-60, 0))),
    Case("asinh", mp.asinh, (uniform(-8, 8), exponents(-60, 100))),
    Case("acosh", mp.acosh, (uniform(1, 8), exponents(0, 100, False), uniform(1, 1.01))),
    Case("atanh", mp.atanh, (uniform(-1, 1), exponents(-60, -0.01))),
    Case("cbrt", _cbrt, (exponents(-1070, 1023), uniform(-8, 8))),
    Case("rsqrt", lambda x: 1 / mp.sqrt(x), (exponents(-1020, 1023, False),)),
    Case("sqrt", mp.sqrt, (exponents(-1070, 1023, False),), 0.5001, 0.5001),
    Case("erf", mp.erf, (uniform(-6, 6), exponents(-60, 0))),
    Case("erfc", mp.erfc, (uniform(-6, 26), uniform(-1, 1), uniform(0.2, 9))),
    Case("erfinv", mp.erfinv, (uniform(-1, 1), exponents(-40, -0.01))),
    Case("lgamma", lambda x: mp.re(mp.loggamma(x)), (
        uniform(0, 12), exponents(-40, 200, False), uniform(-20, 0)),
         absolute=True),
    Case("digamma", mp.digamma, (uniform(0.01, 12), exponents(0, 200, False), uniform(-20, 0)),
         absolute=True),
]  # fmt: skip


def ulps(got: Any, exact: list[Any], dtype: Any, absolute: bool) -> Any:
    """Return errors in units of the last place of the exact values (at least of 1 if absolute)."""
    errors = []
    for g, e in zip(got, exact, strict=True):
        nearest = dtype.type(float(e))
        if np.isinf(nearest) or np.isinf(g):
            errors.append(0.0 if g == nearest else math.inf)
            continue
        size = max(abs(nearest), dtype.type(1)) if absolute else abs(nearest)
        unit = np.spacing(dtype.type(size))
        errors.append(float(abs(mp.mpf(float(g)) - e) / mp.mpf(float(unit))))
    return np.array(errors)


@pytest.mark.parametrize("short", ["f64", "f32"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.op)
def test_error(compiler: Any, case: Case, short: str) -> None:
    dtype = DTYPES[short]
    rng = np.random.default_rng(7)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        x = np.concatenate([draw(rng, dtype, POINTS // 3) for draw in case.domains])
        x = x[np.isfinite(x)]
        if case.op in ("asin", "acos", "atanh", "erfinv"):
            x = x[np.abs(x) < 1]
        if case.op not in ("sin", "cos", "tan", "erf", "erfc"):
            x = x[x != 0]
        got = unary(compiler, case.op, dtype, x)
        with mp.workprec(140):
            exact = [case.exact(mp.mpf(float(v))) for v in x]
            errors = ulps(got, exact, dtype, case.absolute)
    worst = int(np.argmax(np.where(np.isnan(errors), np.inf, errors)))
    bound = case.bound32 if short == "f32" else case.bound64
    assert errors[worst] <= bound, f"{errors[worst]:.2f} ulp at {x[worst]!r}: {got[worst]!r}"


@pytest.mark.parametrize("short", ["f64", "f32"])
@pytest.mark.parametrize("op", ["sin", "cos", "tan"])
def test_huge_arguments_leave_their_neighbours_alone(compiler: Any, op: str, short: str) -> None:
    x = np.random.default_rng(5).uniform(-50.0, 50.0, 1000).astype(DTYPES[short])
    beside = np.arange(x.size) % 5 == 0
    alone = unary(compiler, op, DTYPES[short], x)
    mixed = unary(compiler, op, DTYPES[short], np.where(beside, x.dtype.type(1e30), x))
    assert alone[~beside].tobytes() == mixed[~beside].tobytes()
    assert not np.array_equal(alone[beside], mixed[beside])


def _pow_pairs(rng: np.random.Generator, dtype: Any) -> tuple[Any, Any]:
    x = np.concatenate([2.0 ** rng.uniform(-30, 30, 600), rng.uniform(0.5, 2, 600)])
    y = np.concatenate([rng.uniform(-20, 20, 600), rng.uniform(-600, 600, 600)])
    return x.astype(dtype), y.astype(dtype)


def _extreme_pairs(rng: np.random.Generator, dtype: Any) -> tuple[Any, Any]:
    """Return pairs whose powers are near the largest and the least numbers."""
    x = rng.uniform(0.9, 1.1, 900).astype(dtype)
    info = np.finfo(dtype)
    logarithm = rng.uniform(info.maxexp - 0.5, info.maxexp, 900)
    logarithm[450:] = rng.uniform(info.minexp - info.nmant, info.minexp, 450)
    return x, (logarithm / np.log2(x.astype(np.float64))).astype(dtype)


def _plane(rng: np.random.Generator, dtype: Any) -> tuple[Any, Any]:
    x = rng.choice([-1, 1], 1200) * 2.0 ** rng.uniform(-20, 20, 1200)
    y = rng.choice([-1, 1], 1200) * 2.0 ** rng.uniform(-20, 20, 1200)
    x[:400], y[:400] = rng.uniform(-1, 1, 400), rng.uniform(-1, 1, 400)
    return x.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("short", ["f64", "f32"])
@pytest.mark.parametrize(
    ("op", "exact", "draw", "bound"),
    [
        ("pow", lambda x, y: x**y, _pow_pairs, 2.5),
        ("pow", lambda x, y: x**y, _extreme_pairs, 2.5),
        ("atan2", mp.atan2, _plane, 2.5),
        ("hypot", lambda x, y: mp.sqrt(x * x + y * y), _plane, 1.1),
    ],
    ids=["pow", "extreme-pow", "atan2", "hypot"],
)
def test_error_of_two_operands(
    compiler: Any, op: str, exact: Any, draw: Any, bound: float, short: str
) -> None:
    dtype = DTYPES[short]
    with np.errstate(all="ignore"):
        x, y = draw(np.random.default_rng(3), dtype)
        got = unary(compiler, op, dtype, x, y)
        with mp.workprec(140):
            values = [
                exact(mp.mpf(float(a)), mp.mpf(float(b))) for a, b in zip(x, y, strict=True)
            ]
            errors = ulps(got, values, dtype, False)
    worst = int(np.argmax(errors))
    assert errors[worst] <= bound, f"{errors[worst]:.2f} ulp at {x[worst]!r}, {y[worst]!r}"


NUMPY = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh",
    "acosh": "arccosh", "atanh": "arctanh", "pow": "power", "erf": "erf", "erfc": "erfc",
    "erfinv": "erfinv", "lgamma": "gammaln", "digamma": "psi",
}  # fmt: skip


def specials(dtype: Any) -> Any:
    info = np.finfo(dtype)
    magnitudes = [0.0, info.smallest_subnormal, info.tiny, info.eps / 8, 0.5, 1.0, 1.5, 2.0, 3.0,
                  info.max, math.inf]  # fmt: skip
    values = [sign * m for m in magnitudes for sign in (1.0, -1.0)]
    return np.array([*values, math.nan], dtype)


def reference(op: str, dtype: Any, *operands: Any) -> Any:
    import scipy.special

    with np.errstate(all="ignore"):
        if op == "rsqrt":
            return dtype.type(1) / np.sqrt(operands[0])
        name = NUMPY.get(op, op)
        function = getattr(np, name, None) or getattr(scipy.special, name)
        return np.asarray(function(*operands)).astype(dtype)


@pytest.mark.parametrize("short", ["f64", "f32"])
@pytest.mark.parametrize("op", [c.op for c in CASES])
def test_specials(compiler: Any, op: str, short: str) -> None:
    dtype = DTYPES[short]
    x = specials(dtype)
    if op == "lgamma":
        x = x[(x != -np.inf) & ((x == 0) | (np.abs(x) > 1e-300))]  # SciPy is wrong below
    if op == "digamma":
        x = x[np.isfinite(x) & (np.abs(x) < 1e30)]
    if op in ("sin", "cos", "tan") and short == "f32":
        # NumPy's are of float32; those of huge arguments are a matter of taste.
        x = x[~(np.isfinite(x) & (np.abs(x) > 1e30))]
    got, expected = unary(compiler, op, dtype, x), reference(op, dtype, x)
    tolerance = 4 * np.finfo(dtype).eps
    near_a_root = tolerance if op == "digamma" else 0
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=near_a_root)
    zeros = (expected == 0) & (op != "erfinv")  # SciPy's erfinv(-0.0) is 0.0
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(expected[zeros]))


@pytest.mark.parametrize("short", ["f64", "f32"])
@pytest.mark.parametrize("op", ["pow", "atan2", "hypot", "copysign", "nextafter", "max", "min"])
def test_specials_of_two_operands(compiler: Any, op: str, short: str) -> None:
    dtype = DTYPES[short]
    one = specials(dtype)
    x, y = (np.ascontiguousarray(a.ravel()) for a in np.meshgrid(one, one))
    if op in ("max", "min"):
        op_numpy = {"max": "maximum", "min": "minimum"}[op]
        expected = getattr(np, op_numpy)(x, y)
    else:
        expected = reference(op, dtype, x, y)
    got = unary(compiler, op, dtype, x, y)
    np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(dtype).eps, atol=0)
    if op not in ("max", "min"):
        zeros = expected == 0
        np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(expected[zeros]))


@pytest.mark.parametrize("op", ["sin", "cos", "tan"])
def test_one_huge_lane_leaves_the_others(compiler: Any, op: str) -> None:
    x = np.linspace(-3, 3, 40)
    alone = unary(compiler, op, DTYPES["f64"], x)
    x[[5, 38]] = 1e22, -1.7e308
    got = unary(compiler, op, DTYPES["f64"], x)
    np.testing.assert_allclose(got[[5, 38]], getattr(np, op)(x[[5, 38]]), rtol=1e-15)
    rest = np.delete(np.arange(40), [5, 38])
    np.testing.assert_allclose(got[rest], alone[rest], rtol=5e-16)


@pytest.mark.parametrize("op", ["exp", "exp2", "log", "log1p", "log2", "tanh"])
def test_bits_without_wide_registers(
    compiler: Any, op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is looked up and scaled in registers has the same bits where these are narrower."""
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.uniform(-9, 9, 400), rng.uniform(-750, 750, 100), specials(np.float64)])
    usual = unary(compiler, op, DTYPES["f64"], x)
    monkeypatch.setattr(lanes, "is_wide", lambda: False)
    np.testing.assert_array_equal(unary(compiler, op, DTYPES["f64"], x), usual)


@pytest.mark.parametrize("short", ["f64", "f32"])
def test_bits_of_powers_without_wide_registers(
    compiler: Any, short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = _pow_pairs(np.random.default_rng(5), DTYPES[short])
    usual = unary(compiler, "pow", DTYPES[short], *pairs)
    monkeypatch.setattr(lanes, "is_wide", lambda: False)
    np.testing.assert_array_equal(unary(compiler, "pow", DTYPES[short], *pairs), usual)
