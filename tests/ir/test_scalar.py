"""Scalar expressions are simplified where that keeps the bits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracejit.ir import scalar as s
from tracejit.ir.scalar import Expr

X, Y = (s.raw("ref", (), s.F64, name) for name in "xy")
VALUES = [0.0, -0.0, 1.5, -2.25, np.inf, -np.inf, 1e-320, 0.1]
NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative,
}  # fmt: skip


def neg(e: Expr) -> Expr:
    return s.apply("neg", e)


def const(x: float) -> Expr:
    return s.const(x, s.F64)


def evaluate(e: Expr, values: dict[Expr, float]) -> Any:
    if e in values:
        return np.float64(values[e])
    if e.op == "const":
        return np.float64(s.value_of(e))
    return NUMPY[e.op](*(evaluate(a, values) for a in e.args))


@pytest.mark.parametrize(
    ("op", "args", "text"),
    [
        ("add", (X, neg(Y)), "sub(x, y)"),
        ("add", (neg(X), Y), "sub(y, x)"),
        ("add", (neg(X), neg(Y)), "sub(neg(x), y)"),
        ("sub", (X, neg(Y)), "add(x, y)"),
        ("sub", (neg(X), Y), "sub(neg(x), y)"),
        ("mul", (neg(X), neg(Y)), "mul(x, y)"),
        ("mul", (neg(X), Y), "mul(neg(x), y)"),
        ("mul", (const(0.3), neg(Y)), "mul(-0.3, y)"),
        ("mul", (neg(X), const(0.3)), "mul(-0.3, x)"),
        ("neg", (s.apply("mul", X, const(0.3)),), "mul(-0.3, x)"),
        ("neg", (s.apply("mul", X, Y),), "neg(mul(x, y))"),
        ("neg", (s.apply("sub", X, Y),), "neg(sub(x, y))"),
    ],
)
def test_negations_are_done_by_others(op: str, args: tuple[Expr, ...], text: str) -> None:
    simplified = s.apply(op, *args)
    assert s.show(simplified) == text
    plain = s.raw(op, args, s.F64)
    for x, y in itertools.product(VALUES, VALUES):
        with np.errstate(all="ignore"):
            got, wanted = (evaluate(e, {X: x, Y: y}) for e in (simplified, plain))
        np.testing.assert_array_equal(got, wanted)
        assert np.isnan(got) or np.signbit(got) == np.signbit(wanted)
