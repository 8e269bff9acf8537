"""What the tests of backends share: the programs of the conformance suite, staged and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

import tracejit
from tracejit.compiler.pipeline import compile_program
from tracejit.ir.plan import Plan
from tracejit.ir.program import Program
from tracejit.ir.target import Target
from tracejit.testing.conformance import Case, tolerance
from tracejit_cuda.backend import CudaBackend
from tracejit_cuda.executable import CudaExecutable
from tracejit_cuda.runtime import Properties
from tracejit_cuda.simulator import SimulatorRuntime
from tracejit_cuda.source import Part, unit


class Staged(NamedTuple):
    """A case with its Program and the leaves of its arguments."""

    case: Case
    program: Program
    inputs: list[np.ndarray[Any, Any]]

    def plan(self, target: Target) -> Plan:
        donated = tuple(n in self.case.donated for n in range(len(self.inputs)))
        return compile_program(self.program, target, donated)

    def copies(self) -> list[np.ndarray[Any, Any]]:
        """The inputs, of which a donated one may be overwritten."""
        return [x.copy() for x in self.inputs]

    def difference(self, outputs: Sequence[Any], wanted: Sequence[Any]) -> str:
        """Say in what outputs differ by more than the case allows; nothing if they do not."""
        for number, (got, want) in enumerate(zip(outputs, wanted, strict=True)):
            if (got.dtype, got.shape) != (want.dtype, want.shape):
                return f"{self.case.name}: output {number} is {got.dtype}{got.shape}"
            within = tolerance(got.dtype, self.case.tolerance)
            kind = np.complex128 if got.dtype.kind == "c" else np.float64
            wide = [x.astype(kind) if within else x for x in (got, want)]
            try:
                np.testing.assert_allclose(*wide, rtol=within, atol=within, equal_nan=True)
            except AssertionError as error:
                return f"{self.case.name}: output {number}: {error}"
        return ""


@pytest.fixture(scope="session")
def staged() -> Callable[[Case], Staged]:
    """Return a case with its Program; the same object every time."""
    found: dict[str, Staged] = {}

    def stage(case: Case) -> Staged:
        if case.name not in found:
            arguments = case.inputs()
            program = tracejit.jit(case.function).lower(*arguments).program
            leaves = [np.asarray(x) for x in tracejit.tree.leaves(arguments)]
            found[case.name] = Staged(case, program, leaves)
        return found[case.name]

    return stage


class Nowhere:
    """A runtime of the CUDA backend that has no memory and runs nothing."""

    label = ""

    def __init__(self, multiprocessors: int) -> None:
        self.multiprocessors = multiprocessors

    def properties(self, device: int) -> Properties:
        return Properties("none", "sm_90", self.multiprocessors, 50 << 20, 227 << 10)

    def upload(self, array: Any, device: int) -> Any:
        return array

    def address(self, buffer: Any) -> int:
        return 0


class Gathering:
    """The services of many executables, whose kernels are loaded as one unit."""

    def __init__(self, backend: CudaBackend) -> None:
        self.backend = backend
        self.runtime = backend.runtime
        self.parts: dict[str, Part] = {}
        self.waiting: list[dict[str, Any]] = []

    @property
    def deterministic(self) -> bool:
        return True

    def functions(self, parts: Sequence[Part], device: int) -> dict[str, Any]:
        del device
        self.parts.update((part.name, part) for part in parts)
        self.waiting.append({})
        return self.waiting[-1]

    def call_library(self, function: Any, buffers: Sequence[Any], device: int) -> list[Any]:
        return self.backend.call_library(function, buffers, device)

    def executable(self, staged: Staged) -> CudaExecutable:
        """Return the executable of a case, which runs once all is loaded."""
        return CudaExecutable(staged.plan(self.backend.target()), self, 0)

    def load(self) -> None:
        """Compile what was gathered."""
        loaded = self.runtime.load(unit(self.parts.values()), list(self.parts), 0)
        for functions in self.waiting:
            functions.update(loaded)


class OneProcessor(SimulatorRuntime):
    """A device so small that blocks run several tiles and rows."""

    def properties(self, device: int) -> Properties:
        return super().properties(device)._replace(multiprocessors=1)


@pytest.fixture(scope="session")
def checked_runtime() -> SimulatorRuntime:
    """A small device that watches what kernels do."""
    runtime = OneProcessor(checked=True)
    if runtime.missing():
        pytest.skip(runtime.missing())
    return runtime


@pytest.fixture(scope="session")
def gathering() -> type[Gathering]:
    return Gathering


@pytest.fixture(scope="session")
def kernels(staged: Callable[[Case], Staged]) -> Callable[..., dict[str, Part]]:
    """Return the kernels of cases by name, for a device with some number of multiprocessors."""

    def gather(cases: Sequence[Case], multiprocessors: int = 132) -> dict[str, Part]:
        services = Gathering(CudaBackend(Nowhere(multiprocessors)))  # type: ignore[arg-type]
        for case in cases:
            services.executable(staged(case))
        return services.parts

    return gather
