"""What nested batches of loops ask twice is asked once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tracejit as tj
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.compiler.simplify import simplify
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program
from tracejit.transforms.stage import stage


def simplified(f: Callable[..., Any], *shapes: tuple[int, ...]) -> Program:
    avals = [ShapedArray(shape, "bool" if len(shape) == 2 else "float64") for shape in shapes]
    return simplify(stage(lambda *args: [f(*args)], avals, "f"))


def names(program: Program) -> list[str]:
    return [eq.primitive.name for eq in program.equations]


def until(limit: Any, x: Any) -> Any:
    return lax.while_loop(lambda x: x < limit, lambda x: 2.0 * x + limit, x)


def test_batches_of_batches_choose_once() -> None:
    mapped = tj.vmap(tj.vmap(tj.vmap(until)))
    (loop,) = [
        eq for eq in simplified(mapped, (2, 3, 4), (2, 3, 4)).equations
        if eq.primitive.name == "while_loop"
    ]  # fmt: skip
    test, body = loop.params["cond_program"], loop.params["body_program"]
    assert names(test).count("reduce_or") == 1
    assert test.equations[-1].params["axes"] == (0, 1, 2)
    assert names(body).count("select") == 1
    assert "reduce_or" not in names(body)
    assert loop.params["body_nconsts"] == 1
    limits, x = np.arange(1.0, 25.0).reshape(2, 3, 4), np.full((2, 3, 4), 0.1)
    want = [[[until(a, b) for a, b in zip(*r, strict=True)] for r in zip(*p, strict=True)]
            for p in zip(limits, x, strict=True)]  # fmt: skip
    np.testing.assert_array_equal(tj.jit(mapped)(limits, x), np.asarray(want))


def test_choices_that_differ_stay() -> None:
    def chosen(rows: bool) -> Callable[..., Any]:
        def f(flags: Any, a: Any, b: Any) -> Any:
            inner = tnp.where(flags, a[0], b[0])
            any_of = flags.any(axis=1 if rows else 0)
            return tnp.where(lax.broadcast_in_dim(any_of, (4, 4), (0,)), inner, b[0])

        return f

    shapes = (4, 4), (1, 4, 4), (1, 4, 4)
    assert names(simplified(chosen(True), *shapes)).count("select") == 1
    assert names(simplified(chosen(False), *shapes)).count("select") == 2


def test_other_old_values_stay() -> None:
    def f(flags: Any, a: Any, b: Any) -> Any:
        return tnp.where(flags.any(), tnp.where(flags, a[0], b[0]), a[0] + b[0])

    program = simplified(f, (4, 4), (1, 4, 4), (1, 4, 4))
    assert names(program).count("select") == 2
