"""The text of a Program is read back; malformed Programs are caught."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tracejit.core.primitive import PRIMITIVES, define
from tracejit.ir.avals import ShapedArray
from tracejit.ir.parse import ParseError, parse
from tracejit.ir.program import Equation, Literal, Program, Var, show_param
from tracejit.ir.verify import ProgramError, verify
from tracejit.ops.arithmetic import add, mul, neg
from tracejit.ops.shape import broadcast_in_dim, reduce_sum, transpose
from tracejit.ops.transcendental import sin
from tracejit.transforms.batching import batch_program
from tracejit.transforms.jvp import jvp_program
from tracejit.transforms.stage import stage

F = ShapedArray((2, 3), "float64")


def _fun(x: Any, n: Any) -> list[Any]:
    big = np.arange(20.0)
    y = mul(transpose(x, (1, 0)), np.array([[1.0, np.nan], [np.inf, -np.inf], [-0.0, 1e300]]))
    z = add(reduce_sum(y, (0, 1)), np.float64("nan"))
    w = mul(broadcast_in_dim(z, (20,), ()), big)
    return [w, add(n, 3), -np.inf, True, np.float32(0.1), 1 + 2j, mul(n, np.int64(-4))]


@pytest.fixture
def program() -> Program:
    return stage(_fun, [F, ShapedArray((), "int64", True)], "fun")


def test_round_trip(program: Program) -> None:
    text = str(program)
    constants = [value for _, value in program.constants]
    again = parse(text, PRIMITIVES, constants)
    verify(again)
    assert str(again) == text
    assert str(parse(str(again), PRIMITIVES, constants)) == text
    np.testing.assert_array_equal(again.constants[0][1], constants[0])
    assert [eq.params for eq in again.equations] == [eq.params for eq in program.equations]


def test_round_trip_of_transformed_programs() -> None:
    program = stage(lambda x, y: [mul(sin(x), y), neg(x)], [F, F])
    for transformed in (
        jvp_program(program, (True, True))[0],
        batch_program(program, 4, (2, None))[0],
    ):
        assert str(parse(str(transformed), PRIMITIVES)) == str(transformed)


PARAMS = [
    None, True, 3, -1.5, float("inf"), float("nan"), 2 - 1j, "a 'b' [(c", "", (), (1,),
    (1, (2, "x,y")),
    (None, (("a", 1), ())), np.dtype("float32"), np.dtype(ml_dtypes.bfloat16), F,
    ShapedArray((), "int8", True), (np.dtype(bool), F), (1 + 2j, 3),
]  # fmt: skip


def test_params_and_nested_programs() -> None:
    primitive = define(
        "test_control",
        multiple=True,
        control=True,
        impl="none",
        shape=lambda *avals, **params: list(avals),
        jvp="none",
        transpose="none",
        batch="none",
        lower="none",
    )
    try:
        inner = stage(lambda x: [mul(x, 2.0)], [F], "inner")
        outer = stage(
            lambda x: primitive.bind(neg(x), body=inner, branches=(inner, inner), n=3), [F], "outer"
        )
        params = {f"p{n}": value for n, value in enumerate(PARAMS)} | {"body": outer}
        program = stage(lambda x: primitive.bind(x, x, **params), [F])
        text = str(program)
        again = parse(text, PRIMITIVES)
        assert str(again) == text
        found = again.equations[0].params
        for key, value in params.items():
            if key != "body":
                assert show_param(found[key]) == show_param(value)
                assert type(found[key]) is type(value)
        verify(again)
        nested = found["body"].equations[1].params["branches"]
        assert isinstance(nested, tuple)
        assert len(nested) == 2
    finally:
        del PRIMITIVES["test_control"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("= neg a", "= negate a", r"line 2: expected a primitive \(none is called 'negate'\)"),
        ("neg a", "neg z", r"line 2: expected a variable written above \(not 'z'\)"),
        ("b:f64[2,3]", "b:f63[2,3]", r"line 2: expected a type like f64\[2,3\]"),
        ("b:f64[2,3]", "a:f64[2,3]", "line 2: expected a new variable"),
        ("2.0:~f64", "2.0:~f63", "line 3: expected a literal"),
        ("  return c\n", "", "expected return|expected an equation"),
        ("program fun(", "function fun(", r"line 1: expected program NAME"),
        ("}", "", "ends early"),
        ("}", "}\nmore", "expected nothing after"),
    ],
)
def test_parse_errors_name_the_line(old: str, new: str, message: str) -> None:
    text = (
        "program fun(a:f64[2,3]) {\n"
        "  b:f64[2,3] = neg a\n"
        "  c:f64[2,3] = mul b 2.0:~f64\n"
        "  return c\n"
        "}"
    )
    assert str(parse(text, PRIMITIVES)) == text
    with pytest.raises(ParseError, match=message):
        parse(text.replace(old, new), PRIMITIVES)


def _planted() -> dict[str, tuple[Program, str]]:
    x, y, z = Var(F), Var(F), Var(ShapedArray((3, 2), "float64"))
    neg_p, mul_p, transpose_p = (PRIMITIVES[n] for n in ("neg", "mul", "transpose"))
    good = Equation(neg_p, (x,), {}, (y,))
    wrong = Equation(transpose_p, (x,), {"permutation": (1, 0)}, (y,))
    no_var: Any = Literal(2.0, F)
    bad_literal = Literal(2, ShapedArray((), "float64"))
    return {
        "type": (Program([x], [wrong], [y]), r"outputs should have f64\[3,2\]; got f64\[2,3\]"),
        "unwritten": (Program([x], [], [y]), "output 0: .* read before it is written"),
        "order": (
            Program([x], [Equation(mul_p, (x, y), {}, (Var(F),)), good], [y]),
            "equation 0, .*mul.* read before it is written",
        ),
        "twice": (Program([x], [good, good], [y]), "equation 1, .*written twice"),
        "inputs": (Program([x, x], [], [x]), "input 1: .*written twice"),
        "shapes": (
            Program([x, z], [Equation(mul_p, (x, z), {}, (y,))], [y]),
            "equation 0, .*mul: the operands must have equal shapes",
        ),
        "weak": (
            Program([], [], [Literal(2.0, F)]),
            "a literal has rank 0",
        ),
        "literal": (
            Program([x], [Equation(mul_p, (x, bad_literal), {}, (y,))], [y]),
            r"a literal of f64\[\] holds 2",
        ),
        "constant": (
            Program([], [], [x], [(x, np.ones((2, 3), "float32"))]),
            r"constant 0: the variable has f64\[2,3\], the array float32\(2, 3\)",
        ),
        "literal output": (
            Program([x], [Equation(neg_p, (x,), {}, (no_var,))], [x]),
            "only variables are written",
        ),
        "sub-program": (
            Program(
                [x], [Equation(neg_p, (x,), {"body": Program([x], [wrong], [y])}, (Var(F),))], []
            ),
            "equation 0",
        ),
    }


@pytest.mark.parametrize("name", _planted())
def test_verify_catches(name: str) -> None:
    program, message = _planted()[name]
    with pytest.raises(ProgramError, match=message) as caught:
        verify(program)
    assert "program program(" in str(caught.value)


def test_verify_names_the_sub_program() -> None:
    x, y = Var(F), Var(F)
    body = Program(
        [x], [Equation(PRIMITIVES["transpose"], (x,), {"permutation": (1, 0)}, (y,))], [y]
    )
    outer = Program([x], [Equation(PRIMITIVES["neg"], (x,), {"body": body}, (y,))], [y])
    with pytest.raises(ProgramError, match=re.escape("in body: equation 0")):
        verify(outer, lambda p, avals, params: avals if "body" in params else (F.update((3, 2)),))
