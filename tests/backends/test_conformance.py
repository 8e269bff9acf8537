"""The conformance suite: every program of the catalogue on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit.control.interpret import interpret
from tracejit.testing.conformance import CASES, Case
from tracejit_llvm import make_backend


def test_names_are_the_cases_own() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def llvm() -> Any:
    """Runs a staged case on the LLVM backend."""
    backend = make_backend()

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
