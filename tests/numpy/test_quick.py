"""Eager operations that are repeated: the same results, natively."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit.core.array import Array
from tracejit.core.interpreter import bottom
from tracejit.numpy import quick
from tracejit.numpy.quick import USES, Quick, static_key

DTYPES = ["bool", "int8", "uint32", "int64", "float16", "float32", "float64"]
OPERATORS = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.and_, operator.or_,
    operator.xor, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
]  # fmt: skip


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Compile at the second use, and note what is made."""
    monkeypatch.setattr(quick, "USES", 2)
    made: list[Any] = []
    native = bottom().native

    def noted(fun: Any) -> Any:
        made.append(native(fun))
        return made[-1]

    monkeypatch.setattr(bottom(), "native", noted)
    return made


def values(dtype: str, shift: int = 0) -> Any:
    numbers = np.array([0, 1, -1, 3, 100, 7]) + shift
    x = np.abs(numbers) if dtype[0] in "bu" else numbers
    return tnp.asarray((x * 1.25 if dtype[0] == "f" else x).astype(dtype))


def assert_same(got: Any, wanted: Any) -> None:
    assert type(got) is type(wanted) is Array
    assert got.aval is wanted.aval
    np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_operators(soon: list[Any], op: Any, dtype: str) -> None:
    x, y = values(dtype), values(dtype, 2)
    for other in (y, 2.5, 3):
        for pair in ((x, other), (other, x)):
            try:
                first = op(*pair)
            except (TypeError, OverflowError):
                for _ in range(3):
                    with pytest.raises((TypeError, OverflowError)):
                        op(*pair)
                continue
            for _ in range(4):
                assert_same(op(*pair), first)
    if dtype == "float64" and op is operator.add and bottom().native(abs) is not None:
        assert len(soon) >= 5


INDICES: list[Any] = [
    3, -1, slice(1, 4), slice(None, None, 2), slice(None, None, -1), (1, slice(None)),
    (slice(0, 2), None, 1), (..., 0), slice(0, 0), (), None, np.array([0, 1]), True, (0, True),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_reading(soon: list[Any], index: Any) -> None:
    x = tnp.asarray(np.arange(20.0).reshape(5, 4))
    for _ in range(4):
        np.testing.assert_array_equal(np.asarray(x[index]), np.asarray(x)[index])
    with pytest.raises(IndexError):
        x[7]
    for _ in range(3):
        np.testing.assert_array_equal(np.asarray(x[1]), np.arange(4.0, 8.0))


@pytest.mark.parametrize("index", INDICES[:10], ids=repr)
@pytest.mark.parametrize("name", ["set", "add", "multiply", "min", "max", "subtract"])
def test_updates(soon: list[Any], index: Any, name: str) -> None:
    x = tnp.asarray(np.arange(20.0).reshape(5, 4))
    part = np.asarray(x)[index]
    for value in (2.5, 3, tnp.asarray(part * 0 + 1.5)):
        first = getattr(x.at[index], name)(value)
        for _ in range(4):
            assert_same(getattr(x.at[index], name)(value), first)
        np.testing.assert_array_equal(np.asarray(x), np.arange(20.0).reshape(5, 4))
    integers = tnp.asarray(np.arange(5, dtype=np.int8))
    for _ in range(4):
        assert int(integers.at[1].set(3)[1]) == 3
        with pytest.raises((TypeError, OverflowError)):
            integers.at[1].set(3000)


def test_traced_and_other_types_are_unaffected(soon: list[Any]) -> None:
    x, y = values("float64"), values("float64", 3)
    for _ in range(4):
        x + y
    program = tracejit.make_program(lambda a: a + (x + y))(x)
    assert [eq.primitive.name for eq in program.equations].count("call") == 0
    np.testing.assert_array_equal(
        np.asarray(tracejit.grad(lambda a: tnp.sum(a * (x + y)))(x)), np.asarray(x + y)
    )
    assert (x + np.asarray(y)).dtype == np.float64
    assert (x + values("float32")).dtype == np.float64
    with pytest.raises(TypeError):
        x + "text"


def test_uses_are_counted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "MOST", 4)
    q = Quick()
    for n in range(10):
        for _ in range(USES - 1):
            q.count(n, lambda x: x)
            assert len(q._counts) <= 4
    assert not q.ready
    if bottom().native(abs) is not None:
        for n in range(10):
            for _ in range(USES):
                q.count(("other", n), lambda x: x)
            assert len(q.ready) <= 4


def test_keys() -> None:
    assert static_key((1, slice(2), None)) == (tuple, 1, (None, 2, None), ...)
    assert static_key(slice(np.int64(1), 2)) is None
    assert static_key(True) is None
    assert static_key((0, [1])) is None
    assert static_key((2,)) != static_key(2)
