"""What the tests of the CUDA backend share: sources run by the simulator, and on a GPU."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tracejit_cuda import probe
from tracejit_cuda.cupy_runtime import CupyRuntime
from tracejit_cuda.native import NativeCall
from tracejit_cuda.prelude import PRELUDE
from tracejit_cuda.simulator import SimulatorRuntime
from tracejit_cuda.source import unit

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


class NativeCalls:
    """Runs native calls, all loaded as one source, on runtimes that must agree to the bit."""

    def __init__(self, runtimes: Sequence[Any], calls: Sequence[NativeCall]) -> None:
        parts = {part.name: part for call in calls for part in (x.part() for x in call.launches)}
        self.source = unit(parts.values())
        self.runtimes = [(r, r.load(self.source, list(parts), 0)) for r in runtimes]

    def __call__(
        self, call: NativeCall, arrays: Sequence[Any], shared: tuple[int, int] | None = None
    ) -> Any:
        """Return what the last slot holds afterwards; `shared` slots are one buffer."""
        found = [self._run(*each, call, arrays, shared) for each in self.runtimes]
        for other in found[1:]:
            np.testing.assert_array_equal(other.view(np.uint8), found[0].view(np.uint8))
        return found[0]

    def _run(
        self,
        runtime: Any,
        functions: dict[str, Any],
        call: NativeCall,
        arrays: Sequence[Any],
        shared: tuple[int, int] | None,
    ) -> Any:
        buffers = [runtime.upload(array, 0) for array in arrays]
        if shared is not None:
            buffers[shared[1]] = buffers[shared[0]]
        scratch = runtime.upload(np.full(call.scratch_bytes, 0xA5, np.uint8), 0)
        where: dict[str, Callable[[int], int]] = {
            "scratch": lambda n: runtime.address(scratch) + n,
            "slot": lambda n: runtime.address(buffers[n]),
            "long": int,
        }
        for launch in call.launches:
            words = [where[f.kind](f.value) for f in launch.fields]
            arguments = (ctypes.c_int64 * len(words))(*words)
            function = functions[launch.part().name]
            runtime.launch(function, launch.blocks, launch.threads, 0, arguments, 0)
        runtime.synchronize(0)
        if shared is None:  # nothing but the result is written
            for buffer, array in zip(buffers[:-1], arrays[:-1], strict=True):
                np.testing.assert_array_equal(buffer.get().view(np.uint8), array.view(np.uint8))
        return buffers[-1].get()


@pytest.fixture(scope="session", params=["simulator", pytest.param("gpu", marks=ON_GPU)])
def native(request: pytest.FixtureRequest) -> Callable[[Sequence[NativeCall]], NativeCalls]:
    """Return what loads native calls: on a GPU, or on simulators of every order and check."""
    if request.param == "gpu":
        runtimes: list[Any] = [CupyRuntime()]
    else:
        runtimes = [
            SimulatorRuntime(), SimulatorRuntime("reverse"), SimulatorRuntime(checked=True),
        ]  # fmt: skip
    if lacking := runtimes[0].missing():
        pytest.skip(lacking)
    return lambda calls: NativeCalls(runtimes, calls)
