"""The promotion table against NumPy, and what is recorded for Python scalars."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit.core.errors import TracejitError
from tracejit.transforms.stage import stage

DTYPES = [np.dtype(c) for c in "?bBhHiIlLefdFD"]
SCALARS = [True, 1, 1.0, 1j]
FUNCTIONS = [
    "add",
    "multiply",
    "true_divide",
    "floor_divide",
    "remainder",
    "power",
    "arctan2",
    "hypot",
    "maximum",
    "left_shift",
    "bitwise_and",
    "less",
    "logaddexp",
    "copysign",
    "subtract",
    "float_power",
    "fmod",
]


def dtype_of(function: Any, *args: Any) -> Any:
    try:
        return function(*args).dtype
    except (TypeError, TracejitError):
        return None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arrays(name: str) -> None:
    for a, b in itertools.product(DTYPES, DTYPES):
        x, y = np.ones(2, a), np.ones(2, b)
        ours, theirs = (dtype_of(getattr(m, name), x, y) for m in (tnp, np))
        assert ours == theirs, (name, a, b, ours, theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_scalars(name: str) -> None:
    for a, scalar in itertools.product(DTYPES, SCALARS):
        x = np.ones(2, a)
        for args in ((x, scalar), (scalar, x)):
            ours, theirs = (dtype_of(getattr(m, name), *args) for m in (tnp, np))
            assert ours == theirs, (name, args, ours, theirs)


@pytest.mark.parametrize("name", ["sin", "sqrt", "exp", "square", "sign", "floor", "negative"])
def test_unary(name: str) -> None:
    for a in DTYPES:
        ours, theirs = (dtype_of(getattr(m, name), np.ones(2, a)) for m in (tnp, np))
        assert ours == theirs, (name, a, ours, theirs)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "cumsum", "max", "var", "median", "any"])
def test_reductions(name: str) -> None:
    for a in DTYPES:
        if name == "median" and a.kind in "bc":
            continue
        ours, theirs = (dtype_of(getattr(m, name), np.ones((2, 2), a)) for m in (tnp, np))
        assert ours == theirs, (name, a, ours, theirs)


OPERATORS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "//": lambda x, y: x // y,
    "%": lambda x, y: x % y,
    "**": lambda x, y: x**y,
    "<": lambda x, y: x < y,
    "==": lambda x, y: x == y,
    "&": lambda x, y: x & y,
    "<<": lambda x, y: x << y,
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    function = OPERATORS[name]
    for a, b in itertools.product(DTYPES, DTYPES):
        x, y = np.ones(3, a), np.ones((2, 3), b)
        theirs = dtype_of(function, x, y)
        for u, v in (
            (tnp.asarray(x), tnp.asarray(y)),
            (x, tnp.asarray(y)),
            (tnp.asarray(x), y),
        ):
            assert dtype_of(function, u, v) == theirs, (name, a, b)
    for a, scalar in itertools.product(DTYPES, [1, 1.0]):
        x = np.ones(3, a)
        for flip in (False, True):
            args = (scalar, x) if flip else (x, scalar)
            ours = tuple(tnp.asarray(v) if v is x else v for v in args)
            assert dtype_of(function, *ours) == dtype_of(function, *args), (name, args)


def test_a_python_scalar_is_a_literal() -> None:
    def f(x: Any) -> list[Any]:
        return [((2.0 * x + 1) ** 2 - x / 3) < 4]

    program = stage(f, [tnp.ones((2, 3), np.float32).aval])
    assert [e.primitive.name for e in program.equations] == [
        "mul", "add", "integer_pow", "div", "sub", "lt",
    ]  # fmt: skip
    assert "bool" in str(program)


def test_an_int_too_big_raises() -> None:
    for call in (
        lambda: tnp.asarray([1], np.int8) + 300,
        lambda: tnp.add(np.ones(2, np.uint8), -1),
        lambda: tnp.asarray([1], np.uint8) * 256,
    ):
        with pytest.raises(OverflowError):
            call()


def test_weak_stays_weak() -> None:
    program = stage(
        lambda x: [tnp.sin(x) * 2 + 1], [tnp.ones(()).aval.__class__((), "float64", True)]
    )
    assert program.outputs[0].aval.weak


def test_negative_integer_powers_raise() -> None:
    x = tnp.asarray([1, 2])
    with pytest.raises(ValueError, match="negative powers"):
        x**-1
    with pytest.raises(ValueError, match="negative powers"):
        x ** np.array([1, -1])


def test_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(4,\)[\s\S]*test_promotion"):
        tnp.ones((2, 3)) + tnp.ones(4)
