"""Staging: what is recorded, what becomes a constant, and what a Program evaluates to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit.core.array import from_numpy
from tracejit.core.errors import LeakedTracerError, StructureError
from tracejit.core.primitive import PRIMITIVES, define
from tracejit.core.tracer import Tracer
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Equation
from tracejit.ir.verify import verify
from tracejit.ops.arithmetic import add, mul, neg
from tracejit.ops.transcendental import sin
from tracejit.transforms.api import ShapeDtypeStruct, eval_shape, grad, make_program, vmap
from tracejit.transforms.dce import dce, dce_rules, keep_outputs
from tracejit.transforms.stage import (
    StageInterpreter,
    StageTracer,
    evaluate,
    hoist_constants,
    stage,
    stage_tree,
)

F64 = ShapedArray((2, 3), "float64")


def test_scalars_become_literals_and_arrays_constants() -> None:
    captured = from_numpy(np.arange(3.0))

    def fun(x: Any) -> list[Any]:
        y = add(mul(x, captured), captured)
        return [mul(mul(mul(y, 2.0), np.float64(3)), from_numpy(4.0))]

    program = stage(fun, [ShapedArray((3,), "float64")], "fun")
    verify(program)
    assert str(program) == (
        "program fun(a:f64[3]) {\n"
        "  const b:f64[3] = [0.0,1.0,2.0]\n"
        "  c:f64[3] = mul a b\n"
        "  d:f64[3] = add c b\n"
        "  e:f64[3] = mul d 2.0:~f64\n"
        "  f:f64[3] = mul e 3.0:f64\n"
        "  g:f64[3] = mul f 4.0:f64\n"
        "  return g\n"
        "}"
    )


def test_a_captured_numpy_array_is_copied() -> None:
    captured = np.ones((2, 3))
    program = stage(lambda x: [add(x, captured)], [F64])
    captured[:] = 7
    assert np.all(np.asarray(program.constants[0][1]) == 1)


def test_a_captured_numpy_array_may_change_while_tracing() -> None:
    captured = np.arange(6.0).reshape(2, 3).T

    def fun(x: Any) -> list[Any]:
        y = add(add(x, captured), captured)
        captured[1] = -0.0
        captured[2] = 9.0
        return [add(y, captured)]

    program = stage(fun, [ShapedArray((3, 2), "float64")])
    assert len(program.constants) == 2
    np.testing.assert_array_equal(
        evaluate(program, [np.zeros((3, 2))])[0], [[0.0, 9.0], [2.0, 8.0], [13.0, 19.0]]
    )


def test_evaluate_gives_the_same_program_with_the_same_sources() -> None:
    constant = from_numpy(np.arange(6.0).reshape(2, 3))
    program = stage(lambda x: [mul(add(sin(x), constant), 2.0), 3.0], [F64])
    again = stage(lambda *args: evaluate(program, args), program.in_avals)
    assert str(again) == str(program)
    assert [eq.source for eq in again.equations] == [eq.source for eq in program.equations]
    assert all("test_stage.py" in str(eq.source) for eq in again.equations)


def test_sources_survive_grad_and_vmap() -> None:
    program = stage(lambda x: [sin(x)], [ShapedArray((), "float64")])

    def call(x: Any) -> Any:
        return evaluate(program, [x])[0]

    program_of_both = make_program(vmap(grad(call)))(np.ones(3))
    line = program.equations[0].source
    assert [eq.source for eq in program_of_both.equations if eq.primitive.name == "cos"] == [line]


def test_hoisted_constants_lead_the_inputs() -> None:
    values = [from_numpy(np.full(3, float(i))) for i in range(2)]
    program = stage(lambda x: [add(mul(x, values[0]), values[1])], [ShapedArray((3,), "float64")])
    hoisted, found = hoist_constants(program)
    assert found == values or all(a is b for a, b in zip(found, values, strict=True))
    assert not hoisted.constants
    verify(hoisted)
    (out,) = evaluate(hoisted, [*found, np.array([5.0, 6.0, 7.0])])
    assert np.array_equal(out, [1.0, 1.0, 1.0])


def test_foreign_tracers_are_constants() -> None:
    outer = StageInterpreter()
    x = outer.new_input(F64)
    program = stage(lambda y: [mul(x, add(x, y))], [F64])
    assert [value for _, value in program.constants] == [x]


def test_a_leaked_tracer_names_the_line_that_made_it() -> None:
    leaked: list[Any] = []
    stage(lambda x: leaked.append(neg(x)) or [x], [F64])  # type: ignore[func-returns-value]
    with pytest.raises(LeakedTracerError, match=r"(?s)f64\[2,3\].*made at .*leaked.append"):
        stage(lambda x: [add(x, leaked[0])], [F64])
    with pytest.raises(LeakedTracerError, match="has ended"):
        neg(leaked[0])


@pytest.mark.parametrize("transform", [grad, vmap])
def test_a_tracer_leaked_from_grad_or_vmap(transform: Any) -> None:
    leaked: list[Any] = []

    def fun(x: Any) -> Any:
        leaked.append(sin(x))
        return x

    transform(fun)(np.ones(3) if transform is vmap else 1.0)
    with pytest.raises(LeakedTracerError, match="has ended"):
        neg(leaked[0])


def test_a_tracer_that_leaks_by_an_exception() -> None:
    leaked: list[Any] = []

    def fun(x: Any) -> Any:
        leaked.append(x)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        stage(fun, [F64])
    with pytest.raises(LeakedTracerError):
        neg(leaked[0])


def test_stage_tree() -> None:
    program, treedef = stage_tree(
        lambda p, scale: {"out": (mul(p["w"], scale), 1)}, [{"w": np.ones(3)}], {"scale": 2.0}
    )
    assert program.name == "lambda"
    assert [str(a) for a in program.in_avals] == ["f64[3]", "~f64[]"]
    assert [str(a) for a in program.out_avals] == ["f64[3]", "~i64[]"]
    assert treedef.num_leaves == 2


def test_outputs_must_be_arrays() -> None:
    with pytest.raises(StructureError, match=r"got str at result\['a'\]\[1\]"):
        make_program(lambda x: {"a": (x, "text")})(1.0)


def test_dce_drops_what_nobody_reads() -> None:
    unused = from_numpy(np.ones((2, 3)))
    program = stage(lambda x: [neg(add(x, unused)), sin(x)], [F64])
    assert dce(program) is program
    kept = keep_outputs(program, [False, True])
    verify(kept)
    assert [eq.primitive.name for eq in kept.equations] == ["sin"]
    assert not kept.constants


def test_eval_shape_and_make_program() -> None:
    struct = ShapeDtypeStruct((4, 2), "float32")
    out = eval_shape(lambda x, k: {"y": mul(x, x), "k": k}, struct, k=3)
    assert out == {
        "y": struct,
        "k": ShapeDtypeStruct((), "int64", weak_type=True),
    }
    assert repr(out["y"]) == "ShapeDtypeStruct(shape=(4, 2), dtype=float32)"
    program, shape = make_program(
        lambda n, x: mul(x, float(n)), static_argnums=0, return_shape=True
    )(3, np.ones(2))
    assert shape == ShapeDtypeStruct((2,), "float64")
    assert [str(a) for a in program.in_avals] == ["f64[2]"]


def test_dce_keeps_effects_and_asks_rules() -> None:
    rules: Any = dict.fromkeys(("impl", "jvp", "transpose", "batch", "lower"), "not needed here")
    say = define("test_say", effectful=True, shape=lambda x: x, **rules)
    run = define(
        "test_run",
        multiple=True,
        control=True,
        shape=lambda *avals, body: list(body.out_avals),
        **rules,
    )
    loud = stage(lambda x: [say.bind(x), x], [F64])
    quiet = stage(lambda x: [neg(x), x], [F64])
    try:
        program = stage(lambda x: [[run.bind(x, body=loud), run.bind(x, body=quiet), x][2]], [F64])
        assert [eq.params["body"] for eq in dce(program).equations] == [loud]

        def rule(eq: Equation, live: tuple[bool, ...]) -> Equation:
            body = keep_outputs(eq.params["body"], live)
            kept = [v for v, flag in zip(eq.outputs, live, strict=True) if flag]
            return eq._replace(params={"body": body}, outputs=tuple(kept))

        dce_rules[run] = rule
        program = dce(stage(lambda x: [run.bind(x, body=quiet)[1]], [F64]))
        verify(program)
        assert not program.equations[0].params["body"].equations
    finally:
        dce_rules.pop(run, None)
        del PRIMITIVES["test_say"], PRIMITIVES["test_run"]


def test_no_attribute_of_a_tracer_hides_a_method_of_arrays() -> None:
    kinds = [Tracer]
    for kind in kinds:
        kinds += kind.__subclasses__()
        hidden = [name for name in getattr(kind, "__slots__", ()) if hasattr(np.ndarray, name)]
        assert not hidden, f"{kind.__name__}: {hidden}"
    assert StageTracer in kinds
