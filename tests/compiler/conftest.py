"""What the compiler's tests share: a function staged, compiled, and run by both executors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from tracejit.compiler.pipeline import compile_program, prepare
from tracejit.control.interpret import interpret
from tracejit.ir.avals import ShapedArray
from tracejit.ir.plan import Plan
from tracejit.ir.program import Program
from tracejit.ir.scalar import COSTS
from tracejit.ir.target import Target
from tracejit.ir.verify import verify
from tracejit.ir.verify_kernel import verify_kernel
from tracejit.testing.plans import run_plan
from tracejit.transforms.stage import stage

TARGET = Target("cpu", 1 << 25, frozenset(COSTS), frozenset(["matmul"]))


class Compiled(NamedTuple):
    """A function's Program, its plan, and what the plan computes."""

    program: Program
    plan: Plan
    outputs: list[Any]

    @property
    def loops(self) -> str:
        return "\n\n".join(k.text() for k in self.plan.kernels)


def compile_and_check(
    fun: Callable[..., Sequence[Any]], *args: Any, rtol: float = 1e-12, donated: Any = ()
) -> Compiled:
    """Compile `fun`, run its plan, and compare with the NumPy meaning of its Program."""
    arrays = [np.asarray(a) for a in args]
    program = stage(fun, [ShapedArray(a.shape, a.dtype) for a in arrays], "f")
    verify(prepare(program))
    plan = compile_program(program, TARGET, donated)
    for kernel in plan.kernels:
        verify_kernel(kernel)
    outputs = run_plan(plan, arrays)
    for got, want in zip(outputs, interpret(np, program, arrays), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol, equal_nan=True)
    return Compiled(program, plan, outputs)


@pytest.fixture
def check() -> Callable[..., Compiled]:
    return compile_and_check
