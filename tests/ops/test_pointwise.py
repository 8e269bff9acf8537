"""Every pointwise primitive: a row of a table, and what must hold of each row."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
import scipy.special

from tracejit.core import primitive as tables
from tracejit.core.array import host_array
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import PRIMITIVES
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ops import (  # noqa: F401  (rows)
    complex_numbers,
    factorials,
    hyperbolic,
    normal_quantile,
    special,
)
from tracejit.ops._called import CALLED
from tracejit.ops._expansions import LOWERED
from tracejit.transforms.jvp import jvp_flat
from tracejit.transforms.linearize import vjp_flat

BF16 = np.dtype(ml_dtypes.bfloat16)
BOOL = np.dtype(bool)
SIGNED = tuple(np.dtype(f"i{n}") for n in (1, 2, 4, 8))
INTS = (*SIGNED, *(np.dtype(f"u{n}") for n in (1, 2, 4, 8)))
FLOATS = (np.dtype("f2"), BF16, np.dtype("f4"), np.dtype("f8"))
COMPLEX = (np.dtype("c8"), np.dtype("c16"))
INEXACT = FLOATS + COMPLEX
NUMERIC = INTS + INEXACT
ALL = (BOOL, *NUMERIC)
F64, C128 = np.dtype("f8"), np.dtype("c16")


class Row(NamedTuple):
    """A primitive, what it takes, and what it should give."""

    name: str
    oracle: Callable[..., Any]
    dtypes: Sequence[np.dtype[Any]]
    arity: int = 1
    domain: Sequence[tuple[float, float]] = ((-3.0, 3.0),)  # of each operand, for derivatives
    linear: Sequence[tuple[int, ...]] = ()  # sets of operands in which it is linear
    params: dict[str, Any] = {}  # noqa: RUF012

    def id(self) -> str:
        return self.name + "".join(f"_{v}" for v in self.params.values())


def on_bits(function: Callable[..., int]) -> Callable[..., Any]:
    """An oracle in Python ints: takes the dtype's width first; the result wraps round."""

    def oracle(*arrays: Any) -> Any:
        dtype = arrays[0].dtype
        bits = 8 * dtype.itemsize
        out = np.empty(np.broadcast_shapes(*[a.shape for a in arrays]), dtype)
        places = np.broadcast_arrays(*arrays)
        for index in np.ndindex(out.shape):
            value = function(bits, *[int(a[index]) for a in places]) % 2**bits
            out[index] = (
                value - 2**bits if dtype.kind == "i" and value >= 2 ** (bits - 1) else value
            )
        return out

    return oracle


def shift(kind: str) -> Callable[..., Any]:
    def one(bits: int, x: int, n: int) -> int:
        pattern = x % 2**bits
        outside = not 0 <= n < bits
        if kind == "left":
            return 0 if outside else pattern << n
        if kind == "logical":
            return 0 if outside else pattern >> n
        signed = pattern - 2**bits if pattern >= 2 ** (bits - 1) else pattern
        return signed >> (bits if outside else n)

    return on_bits(one)


def c_quotient(bits: int, x: int, y: int) -> int:
    del bits
    return 0 if y == 0 else abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)


def c_remainder(x: Any, y: Any) -> Any:
    if x.dtype.kind in "iu":
        return on_bits(lambda bits, a, b: 0 if b == 0 else a - b * c_quotient(bits, a, b))(x, y)
    return np.fmod(x, y)


def complex_sign(x: Any) -> Any:
    if x.dtype.kind == "c":
        length = np.hypot(x.real, x.imag)
        return np.where(length == 0, 0, x / np.where(length == 0, 1, length))
    return np.where(x != x, x, (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype))


def to_power(n: int) -> Callable[..., Any]:
    def oracle(x: Any) -> Any:
        if x.dtype.kind in "iu":
            return on_bits(lambda bits, a: pow(a, n, 2**bits))(x)
        return np.power(x, float(n))

    return oracle


def by_math(function: Callable[[float], float]) -> Callable[..., Any]:
    return np.vectorize(function, otypes=[float])


def joined(x: Any, y: Any) -> Any:
    return np.vectorize(complex)(x, y)


def where_nan(x: Any, y: Any, greater: bool) -> Any:
    wins = (x > y) if greater else (x < y)
    return np.where(x != x, x, np.where(y != y, y, np.where(wins, x, y)))


@np.vectorize
def log_gamma(x: float) -> float:
    return np.inf if np.isinf(x) or (x <= 0 and x == int(x)) else math.lgamma(x)


PAIR = ((0.2, 1.4), (1.6, 3.0))
OPEN = ((-0.9, 0.9),)
POSITIVE = ((0.1, 4.0),)

ROWS = [
    Row("add", lambda x, y: x + y, ALL, 2, linear=[(0, 1), (0,), (1,)]),
    Row("sub", lambda x, y: x - y, NUMERIC, 2, linear=[(0, 1), (0,), (1,)]),
    Row("mul", lambda x, y: x * y, ALL, 2, linear=[(0,), (1,)]),
    Row("div", lambda x, y: x / y, INEXACT, 2, PAIR, linear=[(0,)]),
    Row("neg", lambda x: 0 * x - x if x.dtype.kind in "iu" else -x, NUMERIC, linear=[(0,)]),
    Row("quot", on_bits(c_quotient), INTS, 2),
    Row("rem", c_remainder, INTS + FLOATS, 2, ((-2.6, -2.0), (0.45, 0.55))),
    *[Row("integer_pow", to_power(n), NUMERIC, params={"n": n}) for n in (0, 2, 3, 7)],
    *[Row("integer_pow", to_power(n), INEXACT, domain=POSITIVE, params={"n": n}) for n in (-1, -3)],
    Row("sqrt", np.sqrt, INEXACT, domain=POSITIVE),
    Row("rsqrt", lambda x: 1 / np.sqrt(x), INEXACT, domain=POSITIVE),
    Row("cbrt", np.cbrt, FLOATS, domain=POSITIVE),
    Row("floor", np.floor, FLOATS, domain=((0.1, 0.9),)),
    Row("ceil", np.ceil, FLOATS, domain=((0.1, 0.9),)),
    Row("trunc", np.trunc, FLOATS, domain=((0.1, 0.9),)),
    Row("round", by_math(lambda v: float(round(v)) if math.isfinite(v) else v), FLOATS,
        domain=((0.1, 0.4),)),
    Row("nextafter", np.nextafter, FLOATS, 2),
    Row("copysign", lambda x, y: np.where(np.signbit(y), -abs(x), abs(x)), FLOATS, 2,
        ((-3, -0.1), (0.1, 3))),
    Row("real", np.real, COMPLEX, linear=[(0,)]),
    Row("imag", np.imag, COMPLEX, linear=[(0,)]),
    Row("conj", np.conj, COMPLEX, linear=[(0,)]),
    Row("complex", joined, FLOATS[2:], 2, linear=[(0, 1), (0,), (1,)]),
    Row("abs", lambda x: np.where(x < 0, 0 * x - x, np.abs(x)) if x.dtype.kind in "iu"
        else np.abs(x), NUMERIC, domain=POSITIVE),
    Row("sign", complex_sign, NUMERIC, domain=POSITIVE),
    Row("eq", lambda x, y: x == y, ALL, 2),
    Row("ne", lambda x, y: x != y, ALL, 2),
    Row("lt", lambda x, y: x < y, ALL, 2),
    Row("le", lambda x, y: x <= y, ALL, 2),
    Row("gt", lambda x, y: x > y, ALL, 2),
    Row("ge", lambda x, y: x >= y, ALL, 2),
    Row("is_finite", lambda x: abs(x) < np.inf, INEXACT),
    Row("is_nan", lambda x: x != x, INEXACT),
    Row("is_inf", lambda x: abs(x) == np.inf, INEXACT),
    Row("and", lambda x, y: x & y, (BOOL, *INTS), 2),
    Row("or", lambda x, y: x | y, (BOOL, *INTS), 2),
    Row("xor", lambda x, y: x ^ y, (BOOL, *INTS), 2),
    Row("not", lambda x: ~x, (BOOL, *INTS)),
    Row("shift_left", shift("left"), INTS, 2),
    Row("shift_right_logical", shift("logical"), INTS, 2),
    Row("shift_right_arithmetic", shift("arithmetic"), INTS, 2),
    Row("population_count", on_bits(lambda b, x: (x % 2**b).bit_count()), INTS),
    Row("clz", on_bits(lambda b, x: b - (x % 2**b).bit_length()), INTS),
    Row("max", lambda x, y: where_nan(x, y, True), (BOOL, *INTS, *FLOATS), 2, PAIR),
    Row("min", lambda x, y: where_nan(x, y, False), (BOOL, *INTS, *FLOATS), 2, PAIR),
    Row("clamp", lambda lo, x, hi: where_nan(where_nan(x, lo, True), hi, False),
        (BOOL, *INTS, *FLOATS), 3,
        ((-1, 0), (0.1, 0.9), (1, 2))),
    Row("fma", lambda x, y, z: x * y + z, FLOATS[2:], 3),
    Row("exp", np.exp, INEXACT),
    Row("exp2", lambda x: np.power(2, x), INEXACT),
    Row("expm1", np.expm1, INEXACT),
    Row("log", np.log, INEXACT, domain=POSITIVE),
    Row("log2", np.log2, INEXACT, domain=POSITIVE),
    Row("log10", np.log10, INEXACT, domain=POSITIVE),
    Row("log1p", np.log1p, INEXACT, domain=POSITIVE),
    Row("sin", np.sin, INEXACT),
    Row("cos", np.cos, INEXACT),
    Row("tan", np.tan, INEXACT, domain=((-1, 1),)),
    Row("asin", np.arcsin, INEXACT, domain=OPEN),
    Row("acos", np.arccos, INEXACT, domain=OPEN),
    Row("atan", np.arctan, INEXACT, domain=OPEN),
    Row("atan2", np.arctan2, FLOATS, 2),
    Row("pow", np.power, INEXACT, 2, (POSITIVE[0], (-2, 2))),
    Row("hypot", np.hypot, FLOATS, 2),
    Row("sinh", np.sinh, INEXACT),
    Row("cosh", np.cosh, INEXACT),
    Row("tanh", np.tanh, INEXACT, domain=((-1, 1),)),
    Row("asinh", np.arcsinh, INEXACT, domain=OPEN),
    Row("acosh", np.arccosh, INEXACT, domain=((1.2, 4),)),
    Row("atanh", np.arctanh, INEXACT, domain=OPEN),
    Row("erf", by_math(math.erf), FLOATS),
    Row("erfc", by_math(math.erfc), FLOATS),
    Row("erf_inv", scipy.special.erfinv, FLOATS, domain=OPEN),
    Row("erf_inv_of_uniform", scipy.special.erfinv, FLOATS[2:], domain=OPEN),
    Row("lgamma", log_gamma, FLOATS, domain=POSITIVE),
    Row("digamma", scipy.special.psi, FLOATS, domain=POSITIVE),
    Row("polygamma", lambda x: scipy.special.polygamma(2, x), FLOATS, domain=POSITIVE,
        params={"n": 2}),
    Row("xlogy", scipy.special.xlogy, FLOATS, 2, POSITIVE),
    Row("xlog1py", scipy.special.xlog1py, FLOATS, 2, POSITIVE),
    Row("logistic", lambda x: 0.5 + 0.5 * np.tanh(x / 2), INEXACT),
]  # fmt: skip

row_ids = pytest.mark.parametrize("row", ROWS, ids=Row.id)


def bind(row: Row, *operands: Any) -> Any:
    return PRIMITIVES[row.name].bind(*operands, **row.params)


def random(
    rng: np.random.Generator,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    span: tuple[float, float],
) -> Any:
    if dtype == BOOL:
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    x = rng.uniform(*span, shape)
    return (x + 1j * rng.uniform(0.1, 0.6, shape) if dtype.kind == "c" else x).astype(dtype)


def operands_of(
    row: Row, dtype: np.dtype[Any], shapes: Sequence[tuple[int, ...]], seed: int = 0
) -> list[Any]:
    rng = np.random.default_rng(seed)
    spans = (*row.domain, *[row.domain[-1]] * (row.arity - len(row.domain)))
    return [
        np.asarray(random(rng, dtype, shape, span))
        for shape, span in zip(shapes, spans, strict=True)
    ]


SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 0.5, 2.5, -2.5, -1.5, 3.0, 1e-3, 60.0]


def special_values(dtype: np.dtype[Any]) -> Any:
    if dtype == BOOL:
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        near = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 7, 8, 31, 32, 63, 64]
        values = near + [-v for v in near if dtype.kind == "i" and info.min < -v < 0]
        return np.array([v for v in values if v <= info.max], dtype)
    if dtype.kind == "c":
        return np.array([complex(a, b) for a in (0.0, 0.7, -1.3) for b in (0.4, -0.2)], dtype)
    return np.array(SPECIAL, np.float64).astype(dtype)


@pytest.mark.parametrize(
    ("row", "dtype"),
    [(r, d) for r in ROWS for d in r.dtypes],
    ids=lambda v: v.id() if isinstance(v, Row) else str(v),
)
def test_values_and_dtype(row: Row, dtype: np.dtype[Any]) -> None:
    """At special values, every pair of them, the impl is the oracle; conftest checks the aval."""
    grid = np.meshgrid(*[special_values(dtype)] * row.arity, indexing="ij")
    out = host_array(bind(row, *grid))
    narrow = dtype.itemsize == 2 and dtype.kind not in "iu"
    with np.errstate(all="ignore"):
        if row.name == "nextafter":
            expected = np.nextafter(*grid)
        elif narrow:
            expected = row.oracle(*[g.astype(np.float64) for g in grid])
        else:
            expected = row.oracle(*grid)
        if out.dtype.kind in "biu":
            np.testing.assert_array_equal(out, expected)
            return
        expected = np.asarray(expected)
        expected = expected.astype(out.dtype)
    wide = np.complex128 if out.dtype.kind == "c" else np.float64
    eps = float(ml_dtypes.finfo(out.dtype).eps)
    np.testing.assert_allclose(out.astype(wide), expected.astype(wide), rtol=16 * eps, atol=2 * eps)


@row_ids
def test_overflowing_integers_wrap_and_zero_keeps_its_sign(row: Row) -> None:
    if row.name in ("neg", "floor", "ceil", "trunc", "round", "sqrt", "cbrt", "sin", "tan", "asin",
                    "atan", "sinh", "tanh", "asinh", "atanh", "expm1", "log1p", "erf"):  # fmt: skip
        for zero in (0.0, -0.0):
            out = host_array(bind(row, zero))
            assert out == 0
            assert np.signbit(out) == (np.signbit(zero) != (row.name == "neg"))
    if row.name in ("add", "mul"):
        x = np.int8(127)
        assert host_array(bind(row, x, x)) == (-2 if row.name == "add" else 1)


SHAPES = [(2, 3, 4), (), (0,), (2, 0, 3), (1,)]


@row_ids
def test_shapes(row: Row) -> None:
    """Equal shapes and every mixture with rank 0; conftest compares impl and shape rule."""
    dtype = row.dtypes[-1]
    for shape in SHAPES:
        for mixture in itertools.product([shape, ()], repeat=row.arity):
            operands = operands_of(row, dtype, mixture)
            expected = shape if shape in mixture else ()
            assert bind(row, *operands).shape == expected
    if row.arity > 1:
        shapes = [(2, 3), (3,), *[()] * (row.arity - 2)]
        with pytest.raises(ShapeError, match=r"equal shapes .*\(2, 3\)"):
            bind(row, *operands_of(row, dtype, shapes))


@row_ids
def test_refuses_other_dtypes(row: Row) -> None:
    for dtype in set(ALL) - set(row.dtypes):
        if row.name in ("max", "min") and dtype.kind == "c":
            continue  # ordered lexicographically
        if row.name == "integer_pow" and dtype != BOOL and row.params["n"] >= 0:
            continue
        with pytest.raises(DTypeError, match=row.name):
            bind(row, *[np.zeros((), dtype)] * row.arity)
    if row.arity > 1:
        with pytest.raises(DTypeError, match=row.name):
            bind(row, *[np.float64(1), np.int32(1), np.int8(1)][: row.arity])


def derivative_dtypes(row: Row) -> list[np.dtype[Any]]:
    return [d for d in (F64, C128) if d in row.dtypes]


def is_derivable(row: Row) -> bool:
    return bool(derivative_dtypes(row)) and PRIMITIVES[row.name] in tables.jvp


DERIVABLE = pytest.mark.parametrize("row", [r for r in ROWS if is_derivable(r)], ids=Row.id)


def values(x: Any) -> Any:
    return np.zeros(x.aval.shape, x.aval.dtype) if isinstance(x, Zero) else host_array(x)


@DERIVABLE
def test_jvp_is_the_central_difference(row: Row) -> None:
    """In every subset of the operands, with scalars that stretch, real and complex."""
    rule = tables.jvp[PRIMITIVES[row.name]]
    for dtype in derivative_dtypes(row):
        for shapes in itertools.product([(2, 3), ()], repeat=row.arity):
            primals = operands_of(row, dtype, shapes)
            directions = [
                np.asarray(random(np.random.default_rng(7 + i), dtype, s, (-1, 1)))
                for i, s in enumerate(shapes)
            ]
            for active in itertools.product([False, True], repeat=row.arity):
                if not any(active) or (row.name == "nextafter"):
                    continue
                tangents = [
                    t if on else Zero(get_aval(t)) for t, on in zip(directions, active, strict=True)
                ]
                out, tangent = rule(primals, tangents, **row.params)
                expected_out = bind(row, *primals)
                np.testing.assert_array_equal(host_array(out), host_array(expected_out))
                aval = tangent.aval if isinstance(tangent, Zero) else get_aval(tangent)
                assert (aval.shape, aval.dtype) == (out.shape, out.dtype)
                if out.dtype == BOOL:
                    assert isinstance(tangent, Zero)
                    continue
                h = 1e-6
                plus, minus = (
                    host_array(
                        bind(row, *[p + s * h * t if on else p for p, t, on in
                                    zip(primals, directions, active, strict=True)])
                    )
                    for s in (1, -1)
                )  # fmt: skip
                expected = (plus - minus) / (2 * h)
                np.testing.assert_allclose(values(tangent), expected, rtol=2e-6, atol=2e-8)


@pytest.mark.parametrize(
    "row", [r for r in ROWS if is_derivable(r) and r.arity == 1 and C128 in r.dtypes], ids=Row.id
)
def test_complex_jvp_is_on_the_branch_of_the_function(row: Row) -> None:
    z = np.array(
        [0.7 + 0.3j, -0.7 + 0.3j, -0.7 - 0.3j, 0.7 - 0.3j, 2 + 1j, -2 + 1j, -2 - 1j, 2 - 1j]
    )
    direction, h = 0.8 - 0.5j, 1e-6
    _, tangent = tables.jvp[PRIMITIVES[row.name]]([z], [np.full(8, direction)], **row.params)
    plus, minus = (host_array(bind(row, z + s * h * direction)) for s in (1, -1))
    if plus.dtype == BOOL:
        return
    np.testing.assert_allclose(values(tangent), (plus - minus) / (2 * h), rtol=2e-6, atol=2e-8)


@DERIVABLE
def test_tangents_keep_narrow_dtypes(row: Row) -> None:
    rule = tables.jvp[PRIMITIVES[row.name]]
    for dtype in row.dtypes:
        if dtype.kind in "biu":
            continue
        x = operands_of(row, dtype, [(3,)] * row.arity)
        out, tangent = rule(x, x, **row.params)
        if not isinstance(tangent, Zero):
            assert get_aval(tangent).dtype == out.dtype


@DERIVABLE
def test_second_derivative_is_the_difference_of_the_first(row: Row) -> None:
    """Forward over reverse, so that transposition and the rules of the rules are run."""
    if row.name == "nextafter":
        return
    for dtype in derivative_dtypes(row):
        primals = operands_of(row, dtype, [(4,)] * row.arity, seed=3)
        directions = operands_of(row, dtype, [(4,)] * row.arity, seed=5)
        outs = bind(row, *primals)
        if outs.dtype == BOOL:
            continue
        ct = np.asarray(random(np.random.default_rng(2), outs.dtype, (4,), (0.5, 1)))

        def gradient(*x: Any, ct: Any = ct) -> list[Any]:
            _, pullback = vjp_flat(lambda *y: [bind(row, *y)], x)
            return [c if not isinstance(c, Zero) else np.zeros(4, dtype) for c in pullback([ct])]

        first, second = jvp_flat(gradient, primals, directions)
        # The first order: <ct, f' d> = <grad, d>, without conjugation.
        _, (forward,) = jvp_flat(lambda *y: [bind(row, *y)], primals, directions)
        left = np.sum(ct * values(forward)).real
        right = sum(np.sum(values(g) * d) for g, d in zip(first, directions, strict=True)).real
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)
        h = 1e-5
        plus, minus = (
            gradient(*[p + s * h * d for p, d in zip(primals, directions, strict=True)])
            for s in (1, -1)
        )
        for a, b, got in zip(plus, minus, second, strict=True):
            expected = (host_array(a) - host_array(b)) / (2 * h)
            np.testing.assert_allclose(values(got), expected, rtol=1e-5, atol=1e-6)


@row_ids
def test_batching_is_a_loop(row: Row) -> None:
    """At every axis of every mixture of batched and unbatched operands, of scalars and arrays."""
    rule = tables.batch[PRIMITIVES[row.name]]
    dtype = row.dtypes[-1]
    lanes = 5
    for shapes in itertools.product([(2, 3), ()], repeat=row.arity):
        choices = [[None, *range(len(s) + 1)] for s in shapes]
        for axes in itertools.product(*choices):
            if all(a is None for a in axes):
                continue
            full = [
                s if a is None else (*s[:a], lanes, *s[a:])
                for s, a in zip(shapes, axes, strict=True)
            ]
            operands = operands_of(row, dtype, full)
            out, axis = rule(operands, axes, **row.params)
            for lane in range(lanes):
                one = [
                    x if a is None else np.take(x, lane, a)
                    for x, a in zip(operands, axes, strict=True)
                ]
                got, expected = np.take(host_array(out), lane, axis), host_array(bind(row, *one))
                # NumPy contracts complex products in arrays and not in scalars
                exact = expected.dtype.kind != "c"
                np.testing.assert_allclose(got, expected, rtol=0 if exact else 1e-14)


LINEAR = [(r, active) for r in ROWS for active in r.linear]


@pytest.mark.parametrize(
    ("row", "active"), LINEAR, ids=lambda v: v.id() if isinstance(v, Row) else str(v)
)
def test_transpose_is_the_adjoint(row: Row, active: tuple[int, ...]) -> None:
    """<ct, f(x)> = <transpose(ct), x>, the real part of the product, without conjugation."""
    for dtype in derivative_dtypes(row):
        for shapes in itertools.product([(2, 3, 4), ()], repeat=row.arity):
            operands = operands_of(row, dtype, shapes)
            at_zero = [0 * x if i in active else x for i, x in enumerate(operands)]
            out = host_array(bind(row, *operands)) - host_array(bind(row, *at_zero))
            ct = np.asarray(random(np.random.default_rng(1), out.dtype, out.shape, (-1, 1)))
            given = [
                Linear(ShapedArray(x.shape, x.dtype)) if i in active else x
                for i, x in enumerate(operands)
            ]
            cts = tables.transpose[PRIMITIVES[row.name]](ct, *given, **row.params)
            total = 0.0
            for i, (c, x) in enumerate(zip(cts, operands, strict=True)):
                assert (c is None) == (i not in active)
                if c is not None:
                    assert (c.shape, c.dtype) == (x.shape, x.dtype)
                    total += np.sum(host_array(c) * x).real
            np.testing.assert_allclose(np.sum(ct * out).real, total, rtol=1e-12)


def test_the_table_is_complete() -> None:
    elsewhere = {"select", "convert_element_type", "bitcast_convert_type", "threefry2x32", "iota",
                 "transpose", "broadcast_in_dim", "reshape", "reduce_sum",
                 "stop_gradient", "name", "check_index"}  # fmt: skip
    modules = ("arithmetic", "complex_numbers", "logical", "transcendental", "hyperbolic",
               "special", "_pointwise")  # fmt: skip
    # What SciPy computes is in tests/scipy/test_special.py.
    called = {p.name for p, reason in tables.lower.absent.items() if reason == CALLED}
    called |= {n for n in PRIMITIVES if n.removeprefix("bessel_") in LOWERED}
    named = {r.name for r in ROWS} | elsewhere | called
    for name, primitive in PRIMITIVES.items():
        rule = tables.shape[primitive]
        if rule.__module__.rpartition(".")[2] in modules:
            assert name in named, f"{name} has no row"
