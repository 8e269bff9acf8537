"""Pointwise programs: every dtype, lengths that vectors divide or not, ranks, broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np
from ml_dtypes import bfloat16

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.testing.conformance.case import Case, booleans, floats, given, integers

__all__ = ["CASES"]

SIGNED = (np.int8, np.int16, np.int32, np.int64)
UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)
FLOATS = (np.float16, bfloat16, np.float32, np.float64)
WIDE = 40960
"""Elements enough for neighbours to be computed by one thread; every vector divides it."""
ODD = 33333
"""As many that no vector divides."""


def axpy(x: Any, y: Any) -> Any:
    return x * 2.5 + y


def mixed_integers(x: Any, y: Any) -> Any:
    return (x * 3 + y) ^ (x & y), x // (y | 1), tnp.maximum(x, y) - tnp.minimum(x, y)


def remainders(x: Any, y: Any) -> Any:
    return x // y, x % y, lax.rem(x, y), lax.div(x, y), -x, abs(x), tnp.sign(y)


def shifts(x: Any, n: Any) -> Any:
    return x << n, x >> n, lax.shift_right_logical(x, n), ~x, lax.population_count(x), lax.clz(x)


def truths(p: Any, q: Any) -> Any:
    return p & q, p | q, p ^ q, ~p, tnp.where(p, q, ~q), p.astype(tnp.int32) + q


def exponentials(x: Any) -> Any:
    return tnp.exp(x), tnp.expm1(x), tnp.log1p(x * x), tnp.exp2(x), tnp.log(x * x + 0.1)


def circles(x: Any, y: Any) -> Any:
    return tnp.sin(x), tnp.cos(y), tnp.tan(x * 0.5), tnp.arctan2(x, y), tnp.arcsin(x * 0.4)


def hyperbolics(x: Any) -> Any:
    return tnp.tanh(x), tnp.sinh(x), tnp.cosh(x), tnp.arcsinh(x), lax.logistic(x)


def powers(x: Any, y: Any) -> Any:
    a = abs(x) + 0.25
    return a**y, tnp.sqrt(a), lax.rsqrt(a), tnp.cbrt(x), x**3, tnp.hypot(x, y), 1 / a


def specials(x: Any) -> Any:
    return lax.erf(x), lax.erfc(x), lax.lgamma(abs(x) + 0.5), lax.erf_inv(x * 0.45)


def roundings(x: Any) -> Any:
    return tnp.floor(x), tnp.ceil(x), tnp.trunc(x), tnp.rint(x * 4), tnp.sign(x), x % 0.75


def comparisons(x: Any, y: Any) -> Any:
    return x < y, x <= y, x == y, x != y, tnp.isnan(x), tnp.isfinite(y), tnp.signbit(x)


def extremes(x: Any, y: Any) -> Any:
    return tnp.maximum(x, y), tnp.minimum(x, y), tnp.where(x > y, x, y), tnp.clip(x, -0.5, 0.5)


def conversions(x: Any) -> Any:
    kinds = (tnp.int8, tnp.uint16, tnp.int64, tnp.float16, tnp.bfloat16, tnp.float32, tnp.bool_)
    return tuple(x.astype(kind) for kind in kinds)


def horner(x: Any) -> Any:
    y = x
    for n in range(30):
        y = y * x * 0.5 + 1.0 / (n + 1)
    return y


def of_floats(kind: Any) -> list[Case]:
    """Return the cases of a float dtype."""
    name = np.dtype(kind).name
    low = 1.0 if np.dtype(kind).itemsize == 2 else -2.0
    mixed = floats(999, dtype=kind, special=200)
    cases = [
        Case(
            f"axpy/{name}/{n}",
            axpy,
            given(floats(n, dtype=kind, low=low), floats(n, dtype=kind, low=low)),
        )
        for n in (1, 37, WIDE, ODD)
    ]
    return [
        *cases,
        Case(f"special/{name}", comparisons, given(mixed, mixed), notes="nan, infinities, zeros"),
        Case(f"extremes/{name}", extremes, given(mixed, mixed)),
        Case(f"conversions/{name}", conversions, given(floats(1001, dtype=kind, low=0))),
        Case(f"roundings/{name}", roundings, given(floats(1000, dtype=kind, high=9))),
    ]


def of_integers(kind: Any) -> list[Case]:
    """Return the cases of an integer dtype."""
    name = np.dtype(kind).name
    low = 0 if kind in UNSIGNED else -100
    x, divisor = integers(37, 27, dtype=kind, low=low), integers(37, 27, dtype=kind, low=1, high=9)
    return [
        Case(f"mixed/{name}", mixed_integers, given(x, x)),
        Case(f"remainders/{name}", remainders, given(x, divisor)),
        Case(
            f"wide/{name}", lambda x: x * x + 1, given(integers(ODD, dtype=kind, low=low, high=100))
        ),
        Case(f"conversions/{name}", conversions, given(x)),
    ]


def of_shifts(kind: Any) -> Case:
    """Return the case of shifts, some by as many bits as there are, and by more."""
    bits = np.dtype(kind).itemsize * 8
    x = integers(777, dtype=kind, low=0 if kind in UNSIGNED else -100)
    by = integers(777, dtype=kind, low=0, high=bits + 2)
    return Case(f"shifts/{np.dtype(kind).name}", shifts, given(x, by))


def of_functions(kind: Any) -> list[Case]:
    """Return the cases of mathematical functions of a dtype that is computed in itself."""
    name = np.dtype(kind).name
    x = floats(701, dtype=kind)
    return [
        Case(f"exponentials/{name}", exponentials, given(x)),
        Case(f"circles/{name}", circles, given(x, x)),
        Case(f"hyperbolics/{name}", hyperbolics, given(x)),
        Case(f"powers/{name}", powers, given(x, x), tolerance=2),
        Case(f"specials/{name}", specials, given(x), tolerance=4),
        Case(f"horner/{name}", horner, given(floats(ODD, dtype=kind, low=-1, high=1))),
    ]


CASES = [
    *(case for kind in FLOATS for case in of_floats(kind)),
    *(case for kind in (*SIGNED, *UNSIGNED) for case in of_integers(kind)),
    *(of_shifts(kind) for kind in (np.uint8, np.int32, np.uint32, np.int64, np.uint64)),
    *(case for kind in (np.float32, np.float64) for case in of_functions(kind)),
    Case("bools/small", truths, given(booleans(77), booleans(77))),
    Case("bools/wide", truths, given(booleans(ODD), booleans(ODD))),
    Case(
        "int32/wraps",
        lambda x: (x * 65537 + x, x - (2**31 - 1), -x),
        given(integers(300, low=-(2**31), high=2**31)),
    ),
    Case("scalars", lambda x, y: (x + y, tnp.sin(x) * y, x > y), given(floats(), floats())),
    Case("empty", lambda x, y: (x + y, x.sum(0), y.sum(1)), given(floats(0, 3), floats(0, 3))),
    Case(
        "broadcast/row",
        lambda x, b: x * b + b,
        given(floats(45, 31), floats(31)),
    ),
    Case("broadcast/column", lambda x, b: x * b[:, None], given(floats(45, 31), floats(45))),
    Case(
        "broadcast/outer",
        lambda x, y: x[:, None] * y - y,
        given(floats(200, dtype=np.float64), floats(201, dtype=np.float64)),
    ),
    Case("broadcast/scalar", lambda x, s: x * s + s, given(floats(ODD), floats())),
    Case(
        "broadcast/wide_row",
        lambda x, b: x * b + 1,
        given(floats(160, 256), floats(256)),
        notes="16-byte loads of both",
    ),
    Case(
        "broadcast/3d",
        lambda x, y, z: x[:, None, None] + y[None, :, None] * z,
        given(floats(7), floats(9), floats(11)),
    ),
    Case(
        "iota",
        lambda x: x + tnp.arange(97) * tnp.arange(41.0, dtype=tnp.float32)[:, None],
        given(floats(41, 97)),
    ),
    Case(
        "mixed_widths/wide",
        lambda x, n, p: (tnp.where(p, x, n), x.astype(tnp.float64) * 2, n.astype(tnp.int8)),
        given(floats(ODD), integers(ODD), booleans(ODD)),
        notes="stores of several widths in one loop",
    ),
]
