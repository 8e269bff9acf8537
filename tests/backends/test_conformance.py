"""The conformance suite: every program of the catalogue on every backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tracejit.control.interpret import interpret
from tracejit.ir.plan import Branch, Launch, Repeat, Step, While
from tracejit.testing.conformance import CASES, Case
from tracejit_cuda.backend import CudaBackend
from tracejit_cuda.runtime import CudaError
from tracejit_cuda.simulator import SimulatorRuntime
from tracejit_llvm import make_backend

CHUNK = 16
"""Cases whose kernels are compiled as one unit for the simulator."""
CHUNKS = [CASES[n : n + CHUNK] for n in range(0, len(CASES), CHUNK)]


def test_names_are_the_cases_own() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def llvm_backend() -> Any:
    return make_backend()


@pytest.fixture(scope="module")
def llvm(llvm_backend: Any) -> Any:
    """Runs a staged case on the LLVM backend."""
    backend = llvm_backend

    def run(staged: Any) -> list[np.ndarray[Any, Any]]:
        plan = staged.plan(backend.target())
        outputs = [np.full(a.shape, 85, np.uint8).astype(a.dtype) for a in plan.outputs]
        backend.compile(plan)(staged.copies(), outputs)
        return outputs

    return run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_llvm_computes_what_numpy_means(case: Case, staged: Any, llvm: Any) -> None:
    program = staged(case)
    wanted = interpret(np, program.program, program.inputs)
    assert not program.difference(llvm(program), wanted)


def _dear(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return steps whose kernels are said to take long, so that threads share even small ones."""
    out: list[Step] = []
    for step in steps:
        if isinstance(step, Launch):
            step = step._replace(cost=1e7)
        elif isinstance(step, Repeat):
            step = step._replace(body=_dear(step.body))
        elif isinstance(step, While):
            step = step._replace(condition=_dear(step.condition), body=_dear(step.body))
        elif isinstance(step, Branch):
            step = step._replace(branches=tuple(map(_dear, step.branches)))
        out.append(step)
    return tuple(out)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bits_do_not_depend_on_threads(case: Case, staged: Any, llvm_backend: Any) -> None:
    program = staged(case)
    plan = program.plan(llvm_backend.target())
    executable = llvm_backend.compile(dataclasses.replace(plan, steps=_dear(plan.steps)))
    wanted: list[bytes] = []
    for threads in (7, 3, 2, 1):
        llvm_backend.set_num_threads(threads)
        outputs = [np.full(a.shape, 85, np.uint8).astype(a.dtype) for a in plan.outputs]
        executable(program.copies(), outputs)
        got = [x.tobytes() for x in outputs]
        wanted = wanted or got
        assert got == wanted, f"{threads} threads"


@pytest.fixture(scope="module", params=["unchecked", "checked"])
def simulated(request: pytest.FixtureRequest, checked_runtime: Any) -> SimulatorRuntime:
    return checked_runtime if request.param == "checked" else SimulatorRuntime()


@pytest.mark.parametrize("chunk", CHUNKS, ids=lambda chunk: chunk[0].name)
def test_cuda_computes_what_llvm_does(
    chunk: Any, staged: Any, llvm: Any, gathering: Any, simulated: Any
) -> None:
    """Threads run in both orders; when checked, one order shows what they should not do."""
    runtime = simulated
    services = gathering(CudaBackend(runtime))
    executables = {case.name: services.executable(staged(case)) for case in chunk}
    services.load()
    wrong = []
    for case in chunk:
        wanted = llvm(staged(case))
        for order in ("forward",) if runtime.checked else ("forward", "reverse"):
            runtime.order = order
            executable = executables[case.name]
            inputs = [runtime.upload(x, 0) for x in staged(case).copies()]
            outputs = [runtime.empty(a.shape, a.dtype, 0) for a in executable.plan.outputs]
            try:
                executable(inputs, outputs)
                difference = staged(case).difference([x.get() for x in outputs], wanted)
            except CudaError as error:
                difference = f"{case.name}: {error}"
            if difference:
                wrong.append(f"{order}: {difference}")
    assert not wrong, "\n".join(wrong)
