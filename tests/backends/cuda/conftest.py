"""What the tests of the CUDA backend share: sources run by the simulator, and on a GPU."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tracejit_cuda import probe
from tracejit_cuda.cupy_runtime import CupyRuntime
from tracejit_cuda.prelude import PRELUDE
from tracejit_cuda.simulator import SimulatorRuntime

Launch = Callable[..., list[Any]]

ON_GPU = [
    pytest.mark.cuda,
    pytest.mark.skipif(not probe.status().ok, reason=probe.status().reason),
]


@pytest.fixture(scope="session", params=["simulator", pytest.param("gpu", marks=ON_GPU)])
def launched(request: pytest.FixtureRequest) -> Callable[[str, Sequence[str]], dict[str, Launch]]:
    """Compile a source that the prelude comes before; return its kernels by name.

    A kernel's struct has a pointer for each array and then its ``long long`` sizes; called with
    the arrays, it returns what they hold afterwards.
    """
    runtime: Any = CupyRuntime() if request.param == "gpu" else SimulatorRuntime(checked=True)
    if lacking := runtime.missing():
        pytest.skip(lacking)

    def compile_(source: str, names: Sequence[str]) -> dict[str, Launch]:
        functions = runtime.load(PRELUDE + source, names, 0)

        def bound(function: Any) -> Launch:
            def call(
                arrays: Sequence[Any],
                sizes: Sequence[int] = (),
                blocks: int = 1,
                threads: int = 32,
                shared: int = 0,
                cooperative: bool = False,
            ) -> list[Any]:
                buffers = [runtime.upload(array, 0) for array in arrays]
                packed = struct.pack(
                    f"{len(buffers)}Q{len(sizes)}q", *map(runtime.address, buffers), *sizes
                )
                arguments = (ctypes.c_char * len(packed)).from_buffer_copy(packed)
                runtime.launch(function, blocks, threads, shared, arguments, 0, cooperative)
                runtime.synchronize(0)
                return [buffer.get() for buffer in buffers]

            return call

        return {name: bound(function) for name, function in functions.items()}

    return compile_
