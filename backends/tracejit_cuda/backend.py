"""The CUDA backend: kernels as CUDA C++, enqueued on one stream a device."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.ir.plan import Plan
from tracejit.ir.target import Target
from tracejit_cuda.executable import CudaExecutable
from tracejit_cuda.libraries import NATIVE_CALLS
from tracejit_cuda.probe import status
from tracejit_cuda.runtime import Function, Runtime
from tracejit_cuda.scalars import NATIVE_OPS
from tracejit_cuda.source import Part, unit

__all__ = ["CudaBackend"]

LIBRARIES = frozenset(("matmul", *NATIVE_CALLS))
KDL_CUDA = 2


class CudaBackend:
    """Runs plans on NVIDIA GPUs.

    Parameters
    ----------
    runtime : Runtime, optional
        What runs kernels: CuPy by default, the simulator if ``TRACEJIT_CUDA_RUNTIME`` is
        ``cudasim``.

    Attributes
    ----------
    deterministic : bool
        Whether every run gives the same bits.  ``TRACEJIT_DETERMINISTIC=0`` lets scatters of
        floats to places that repeat be added up by atomic operations, in no order.
    """

    name = "cuda"
    platform = "cuda"

    def __init__(self, runtime: Runtime | None = None) -> None:
        self._runtime = runtime
        self.deterministic = os.environ.get("TRACEJIT_DETERMINISTIC") != "0"
        self._functions: dict[tuple[str, int], Function] = {}
        self._lock = threading.RLock()
        self._counters = {"compiled": 0, "memory": 0, "callbacks": 0, "host_callbacks": 0}

    @property
    def runtime(self) -> Runtime:
        """What runs kernels; made when it is first asked for."""
        with self._lock:
            if self._runtime is None:
                if _simulated():
                    module = importlib.import_module("tracejit_cuda.simulator")
                    self._runtime = module.SimulatorRuntime()
                else:
                    module = importlib.import_module("tracejit_cuda.cupy_runtime")
                    self._runtime = module.CupyRuntime()
            return self._runtime

    def is_available(self) -> str:
        """Return ``""``, or which of CuPy, driver, device or NVRTC is missing; never raises."""
        if self._runtime is None and not _simulated():
            found, why = status()
            if not found:
                return why
        try:
            return self.runtime.missing()
        except Exception as error:
            return str(error)

    def device_count(self) -> int:
        """Return how many devices there are."""
        return self.runtime.device_count()

    def target(self) -> Target:
        """Return what the compiler may know of the first device."""
        cache = self.runtime.properties(0).cache_bytes
        return Target("cuda", cache, NATIVE_OPS, LIBRARIES)

    def compile(self, plan: Plan, device: int = 0) -> CudaExecutable:
        """Return the executable of `plan`; kernels already loaded are not compiled again."""
        return CudaExecutable(plan, self, device)

    def functions(self, parts: Sequence[Part], device: int) -> dict[str, Function]:
        """Return loaded kernels by name; those that are new are compiled together."""
        with self._lock:
            new = [p for p in parts if (p.name, device) not in self._functions]
            self._counters["memory"] += len(parts) - len(new)
            if new:
                self._counters["compiled"] += len(new)
                loaded = self.runtime.load(unit(new), [p.name for p in new], device)
                for name, function in loaded.items():
                    self._functions[name, device] = function
            return {p.name: self._functions[p.name, device] for p in parts}

    def empty(self, shape: tuple[int, ...], dtype: Any, device: int = 0) -> Any:
        """Return an uninitialised buffer."""
        return self.runtime.empty(shape, np.dtype(dtype), device)

    def allocator(self, shape: tuple[int, ...], dtype: Any, device: int = 0) -> Callable[[], Any]:
        """Return a function that makes an uninitialised buffer of one shape and dtype."""
        runtime, kind = self.runtime, np.dtype(dtype)
        return lambda: runtime.empty(shape, kind, device)

    def put(self, array: np.ndarray[Any, Any], device: int = 0) -> Any:
        """Return a new buffer with the elements of a host array."""
        return self.runtime.upload(np.asarray(array, order="C"), device)

    def evaluate(
        self, function: Callable[..., Any], buffers: Sequence[Any], device: int = 0
    ) -> list[Any]:
        """Return what ``function(xp, *buffers)`` returns, as C-contiguous buffers."""
        xp = self.runtime.namespace
        # A loop that runs ahead of its flag may compute what overflows, and is thrown away.
        with self.runtime.on_device(device), np.errstate(all="ignore"):
            try:
                results = function(xp, *buffers)
                return [xp.ascontiguousarray(r) if _strided(r) else xp.asarray(r) for r in results]
            except Exception as error:
                # CuPy finds out late that it has no kernel for some dtypes.
                if isinstance(error, KeyError) or type(error).__name__ == "CompileException":
                    raise NotImplementedError(f"{xp.__name__}: {error!r}") from error
                raise

    def call_library(
        self, function: Callable[..., Any], buffers: Sequence[Any], device: int
    ) -> list[Any]:
        """Return what a step of a plan that no kernel computes returns.

        The array namespace of the device computes it; what it does not have NumPy does, on copies
        in host memory.  Both are counted.
        """
        with self._lock:
            self._counters["callbacks"] += 1
        try:
            return self.evaluate(function, buffers, device)
        except (AttributeError, NotImplementedError, TypeError):
            return self.call_host(function, buffers, device)

    def call_host(
        self, function: Callable[..., Any], buffers: Sequence[Any], device: int
    ) -> list[Any]:
        """Return what NumPy makes of copies in host memory, after the work that is enqueued."""
        with self._lock:
            self._counters["host_callbacks"] += 1
        with self.runtime.on_device(device):
            arrays = [self.runtime.download(b) for b in buffers]
        results = function(np, *arrays)
        return [self.put(np.asarray(r), device) for r in results]

    def wait(self, device: int = 0) -> None:
        """Return when what is enqueued on a device is done."""
        self.runtime.synchronize(device)

    def adopt(self, x: Any) -> tuple[Any, int] | None:
        """Return a buffer of a foreign device array and its device; ``None`` if it is none."""
        buffer = self.runtime.adopt(x)
        return None if buffer is None else (buffer, self.runtime.device_of(buffer))

    def share(self, buffer: Any, **how: Any) -> Any:
        """Return a DLPack capsule over the memory of a buffer."""
        return buffer.__dlpack__(**how)

    def dlpack_device(self, device: int = 0) -> tuple[int, int]:
        """Return what DLPack calls a device."""
        return (KDL_CUDA, device)

    def fast_calls(self, array_type: type, active: Any, place: Any) -> None:
        """Return ``None``: calls on a device go through Python."""
        del array_type, active, place

    def set_num_threads(self, n: int) -> None:
        """Do nothing: a GPU's threads are not counted by the host."""
        del n

    def release_memory(self) -> None:
        """Give unused device memory back."""
        self.runtime.release_memory()

    def counters(self) -> dict[str, int]:
        """Return counters: kernels ``compiled`` and found in ``memory``, calls of libraries."""
        return dict(self._counters)


def _simulated() -> bool:
    return os.environ.get("TRACEJIT_CUDA_RUNTIME") == "cudasim"


def _strided(x: Any) -> bool:
    flags = getattr(x, "flags", None)
    return flags is not None and not flags.c_contiguous
