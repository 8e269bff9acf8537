"""Splitting Programs in known and unknown, transposing, differentiating and batching them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tracejit.core import primitive as tables
from tracejit.core.array import from_numpy
from tracejit.core.errors import MissingRuleError
from tracejit.core.primitive import PRIMITIVES, Primitive, define
from tracejit.core.zeros import Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.ir.verify import verify
from tracejit.ops.arithmetic import add, mul, neg, sub
from tracejit.ops.shape import reduce_sum
from tracejit.ops.transcendental import sin
from tracejit.transforms.jvp import jvp_flat, jvp_program
from tracejit.transforms.linearize import linearize_flat, linearize_parts, vjp_flat
from tracejit.transforms.partial_eval import (
    PartialEvalInterpreter,
    memory_budget,
    partial_eval_program,
    partial_eval_rules,
)
from tracejit.transforms.stage import evaluate, stage
from tracejit.transforms.transpose import backward_pass, transpose_program

F = ShapedArray((3,), "float64")
I = ShapedArray((3,), "int64")
X, Y, Z = (np.array([1.0, 2.0, 3.0]) + i for i in range(3))
CONSTANT = from_numpy(np.array([2.0, 3.0, 5.0]))


def _body(x: Any, y: Any, z: Any) -> list[Any]:
    known = mul(sin(x), CONSTANT)
    return [add(mul(known, y), z), mul(known, 2.0), sub(mul(y, x), z), z, 4.0]


@pytest.fixture
def program() -> Program:
    return stage(_body, [F, F, F], "body")


@pytest.mark.parametrize("unknown", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("instantiate", [False, True])
def test_the_parts_make_the_whole(
    program: Program, unknown: tuple[bool, ...], instantiate: bool
) -> None:
    known, rest, unknown_out, count = partial_eval_program(program, unknown, instantiate)
    verify(known)
    verify(rest)
    args = [X, Y, Z]
    found = evaluate(known, [x for x, u in zip(args, unknown, strict=True) if not u])
    split = len(found) - count
    late = evaluate(rest, [*found[split:], *(x for x, u in zip(args, unknown, strict=True) if u)])
    parts = iter(found[:split]), iter(late)
    outs = [next(parts[u]) for u in unknown_out]
    for out, expected in zip(outs, _body(X, Y, Z), strict=True):
        np.testing.assert_array_equal(out, expected)
    assert all(unknown_out) or not instantiate
    assert partial_eval_program(program, unknown, instantiate)[0] is known


def test_residuals_are_not_repeated(program: Program) -> None:
    known, rest, unknown_out, count = partial_eval_program(program, (False, True, True))
    assert unknown_out == (True, False, True, True, False)
    # sin(x) * constant, and the input x itself.
    assert count == 2
    assert known.outputs[-1] is known.inputs[0]
    assert len(rest.equations) == 4


def test_jvp_program(program: Program) -> None:
    derivative, nonzero_out = jvp_program(program, (False, True, False))
    verify(derivative)
    assert nonzero_out == (True, False, True, False, False)
    assert jvp_program(program, [False, True, False])[0] is derivative
    found = evaluate(derivative, [X, Y, Z, np.ones(3)])
    np.testing.assert_allclose(found[5], np.sin(X) * CONSTANT.buf)
    np.testing.assert_allclose(found[6], X)
    every, flags = jvp_program(program, (False, True, False), instantiate=True)
    verify(every)
    assert flags == (True,) * 5
    np.testing.assert_array_equal(evaluate(every, [X, Y, Z, np.ones(3)])[8], np.zeros(3))


def test_integer_outputs_are_never_instantiated() -> None:
    program = stage(lambda n, x: [add(n, n), x], [I, F])
    _, flags = jvp_program(program, (False, False), instantiate=True)
    assert flags == (False, True)


def test_transpose_program(program: Program) -> None:
    # Linear in y and z when x is fixed, but for the constant outputs.
    linear = program.replace(outputs=(program.outputs[0], program.outputs[2]))
    transposed = transpose_program(linear, (False, True, True))
    verify(transposed)
    assert transpose_program(linear, (False, True, True)) is transposed
    a, b = np.array([1.0, -1.0, 2.0]), np.array([0.5, 1.0, -2.0])
    y_ct, z_ct = evaluate(transposed, [X, a, b])
    np.testing.assert_allclose(y_ct, a * np.sin(X) * CONSTANT.buf + b * X)
    np.testing.assert_allclose(z_ct, a - b)


def test_backward_pass_keeps_zeros_symbolic() -> None:
    program = stage(lambda x, y: [neg(x), mul(y, 2.0)], [F, F])
    cts = backward_pass(program, (True, True), [None, None], [X, Zero(F)])
    np.testing.assert_array_equal(cts[0], -X)
    assert isinstance(cts[1], Zero)


def test_transposing_what_is_not_linear_says_so() -> None:
    program = stage(lambda x: [sin(x)], [F])
    with pytest.raises(MissingRuleError, match=r"transposition of sin: .*not linear"):
        transpose_program(program, (True,))


def test_linearize_flat_instantiates() -> None:
    outs, linear = linearize_flat(lambda x, y: [sin(x), CONSTANT, 3], [X, Y])
    verify(linear)
    assert len(linear.inputs) == len(linear.outputs) == 2
    assert len(outs) == 3
    found = evaluate(linear, [np.ones(3), np.ones(3)])
    np.testing.assert_allclose(found[0], np.cos(X))
    np.testing.assert_array_equal(found[1], np.zeros(3))


def test_linearize_flat_of_some_inputs() -> None:
    _, linear, nonzero, nonzero_out = linearize_parts(
        lambda x, y: [mul(x, y), sin(y)], [X, Y], nonzero=(True, False)
    )
    assert (nonzero, nonzero_out) == ((True, False), (True, False))
    assert [eq.primitive.name for eq in linear.equations] == ["mul"]


def test_vjp_flat_inside_jvp_flat() -> None:
    def gradient(x: Any) -> list[Any]:
        return vjp_flat(lambda y: [reduce_sum(mul(mul(y, y), y), (0,))], [x])[1]([np.float64(1)])

    (g,), (t,) = jvp_flat(gradient, [X], [np.ones(3)])
    np.testing.assert_allclose(g, 3 * X**2)
    np.testing.assert_allclose(t, 6 * X)


@pytest.fixture
def split_p() -> Iterator[Primitive]:
    """A primitive of two outputs, (x + 1, 2 y), that knows which part of it is known."""
    primitive = define(
        "test_split",
        multiple=True,
        impl=lambda xp, x, y: [x + 1, 2 * y],
        shape=lambda x, y: [x, y],
        jvp=lambda p, t: (primitive.bind(*p), [t[0], t[1]]),
        transpose="not needed here",
        batch="not needed here",
        lower="not needed here",
    )
    yield primitive
    del PRIMITIVES["test_split"]
    partial_eval_rules.pop(primitive, None)


def test_partial_eval_rules_decide(split_p: Primitive) -> None:
    program = stage(lambda x, y: split_p.bind(x, y), [F, F])
    known, _, unknown_out, _ = partial_eval_program(program, (False, True))
    assert unknown_out == (True, True)
    assert not known.equations

    def rule(
        interpreter: PartialEvalInterpreter, operands: tuple[Any, ...], params: dict[str, Any]
    ) -> list[Any]:
        x, y = operands
        assert interpreter.is_unknown(y)
        assert not interpreter.is_unknown(x)
        return [add(x, 1.0), interpreter.record(tables.PRIMITIVES["mul"], (y, 2.0), params)]

    partial_eval_rules[split_p] = rule
    again = program.replace(name="again")  # results are memoised by identity
    known, rest, unknown_out, _ = partial_eval_program(again, (False, True))
    assert unknown_out == (False, True)
    assert [eq.primitive.name for eq in known.equations] == ["add"]
    assert [eq.primitive.name for eq in rest.equations] == ["mul"]


def test_several_outputs_keep_their_order(split_p: Primitive) -> None:
    matrix = ShapedArray((2, 3), "float64")
    program = stage(lambda x, y: split_p.bind(x, y), [F, matrix])
    verify(program)
    assert program.out_avals == (F, matrix)
    found = evaluate(program, [X, np.ones((2, 3))])
    np.testing.assert_array_equal(found[0], X + 1)
    outs, tangents = jvp_flat(lambda x: split_p.bind(x, Y), [X], [Z])
    np.testing.assert_array_equal(outs[1], 2 * Y)
    np.testing.assert_array_equal(tangents[0], Z)
    assert isinstance(tangents[1], Zero)


def test_the_memory_budget_is_part_of_the_key(program: Program) -> None:
    free = partial_eval_program(program, (False, True, True))
    token = memory_budget.set(100)
    try:
        bounded = partial_eval_program(program, (False, True, True))
    finally:
        memory_budget.reset(token)
    assert bounded[0] is not free[0]
    assert partial_eval_program(program, (False, True, True))[0] is free[0]
