"""A backend with two devices that are none: what the front end of devices is tested against."""

from __future__ import annotations

import dataclasses
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tracejit.ir.plan import Plan
from tracejit.ir.scalar import COSTS
from tracejit.ir.target import Target
from tracejit.runtime import backends, executor, placement
from tracejit.testing.plans import run_plan
from tracejit_cuda.backend import CudaBackend
from tracejit_cuda.simulator import SimulatorRuntime


class FakeBuffer:
    """Memory of a device: the host cannot read it but by ``get``."""

    def __init__(self, array: np.ndarray[Any, Any], device: int, base: Any = None) -> None:
        self.elements = array
        self.device = device
        self.base = base

    @property
    def shape(self) -> tuple[int, ...]:
        return self.elements.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.elements.dtype

    @property
    def nbytes(self) -> int:
        return self.elements.nbytes

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        address = self.elements.ctypes.data
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (address, False)}

    def get(self) -> np.ndarray[Any, Any]:
        return self.elements.copy()

    def __array__(self, *args: Any, **how: Any) -> Any:
        raise AssertionError("the host read memory of a device")


class Foreign:
    """An array of another library on the device."""

    def __init__(self, array: np.ndarray[Any, Any], device: int = 0) -> None:
        self.buffer = FakeBuffer(array, device)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.buffer.__cuda_array_interface__


class FakeExecutable:
    """A plan, interpreted on the buffers of one device."""

    def __init__(self, plan: Plan, device: int) -> None:
        self.device = device
        constants = tuple(self.elements(c) for c in plan.constants)
        self.plan = dataclasses.replace(plan, constants=constants)
        self.calls = 0

    def elements(self, buffer: Any) -> np.ndarray[Any, Any]:
        assert isinstance(buffer, FakeBuffer), f"{type(buffer)} is no buffer of the device"
        assert buffer.device == self.device
        return buffer.elements

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self.calls += 1
        results = run_plan(self.plan, [self.elements(x) for x in inputs])
        for target, result in zip(outputs, results, strict=True):
            self.elements(target)[...] = result

    def text(self, stage: str) -> str:
        return f"{stage} of {self.plan.name}"


class FakeBackend:
    """Two devices.

    Attributes
    ----------
    evaluated : list of str
        The devices of eager operations.
    lacking : set of str
        Functions that its array library has not.
    waited : list of int
        The devices that were waited for.
    """

    name = platform = "cuda"

    def __init__(self) -> None:
        self.evaluated: list[int] = []
        self.released = False
        self.compiled = 0
        self.lacking: set[str] = set()
        self.waited: list[int] = []

    def is_available(self) -> str:
        return ""

    def device_count(self) -> int:
        return 2

    def target(self) -> Target:
        return Target("cuda", 1 << 20, frozenset(COSTS), frozenset(["matmul"]))

    def compile(self, plan: Plan, device: int = 0) -> FakeExecutable:
        self.compiled += 1
        return FakeExecutable(plan, device)

    def empty(self, shape: tuple[int, ...], dtype: Any, device: int = 0) -> FakeBuffer:
        return FakeBuffer(np.full(shape, 77, np.uint8).astype(dtype), device)

    def allocator(
        self, shape: tuple[int, ...], dtype: Any, device: int = 0
    ) -> Callable[[], FakeBuffer]:
        return lambda: self.empty(shape, dtype, device)

    def put(self, array: np.ndarray[Any, Any], device: int = 0) -> FakeBuffer:
        assert type(array) is np.ndarray
        return FakeBuffer(np.array(array, order="C"), device)

    def evaluate(
        self, function: Callable[..., Sequence[Any]], buffers: Sequence[Any], device: int = 0
    ) -> list[FakeBuffer]:
        assert all(isinstance(b, FakeBuffer) and b.device == device for b in buffers)
        self.evaluated.append(device)
        with np.errstate(all="ignore"):
            results = function(_Namespace(self.lacking), *[b.elements for b in buffers])
        return [self._result(np.asarray(r, order="C"), buffers, device) for r in results]

    def _result(
        self, array: np.ndarray[Any, Any], buffers: Sequence[FakeBuffer], device: int
    ) -> FakeBuffer:
        base = next((b for b in buffers if np.shares_memory(b.elements, array)), None)
        return FakeBuffer(array, device, base)

    def wait(self, device: int = 0) -> None:
        self.waited.append(device)

    def adopt(self, x: Any) -> tuple[FakeBuffer, int] | None:
        if isinstance(x, Foreign):
            return x.buffer, x.buffer.device
        return None

    def share(self, buffer: FakeBuffer, **how: Any) -> Any:
        return "capsule", buffer, how

    def dlpack_device(self, device: int = 0) -> tuple[int, int]:
        return 2, device

    def set_num_threads(self, n: int) -> None:
        raise AssertionError("a device has no threads")

    def release_memory(self) -> None:
        self.released = True

    def counters(self) -> dict[str, int]:
        return {"compiled": self.compiled, "memory": 0, "disk": 0, "callbacks": 0}


class _Namespace:
    """NumPy without some functions."""

    def __init__(self, lacking: set[str]) -> None:
        self.lacking = lacking

    def __getattr__(self, name: str) -> Any:
        if name in self.lacking:
            raise AttributeError(f"there is no {name} here")
        return getattr(np, name)


def install(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a backend in the place of CUDA's, as if nothing had run there."""
    monkeypatch.setitem(backends._made, "cuda", backend)
    monkeypatch.setattr(placement, "_found", {})
    monkeypatch.setattr(placement, "_scalars", OrderedDict())
    monkeypatch.setattr(executor, "_cache", weakref.WeakKeyDictionary())


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """Put a fake backend in the place of CUDA's."""
    backend = FakeBackend()
    install(backend, monkeypatch)
    return backend


@pytest.fixture
def simulated_cuda(monkeypatch: pytest.MonkeyPatch) -> CudaBackend:
    """Put the CUDA backend in its own place, over a simulator of two devices."""
    runtime = SimulatorRuntime(devices=2)
    if lacking := runtime.missing():
        pytest.skip(lacking)
    backend = CudaBackend(runtime)
    install(backend, monkeypatch)
    return backend


@pytest.fixture
def foreign() -> type[Foreign]:
    """Return what makes arrays of another library."""
    return Foreign


class _Missing(FakeBackend):
    def is_available(self) -> str:
        return "the NVIDIA driver (libcuda.so.1) is not installed"


class _EntryPoint:
    name = "cuda"

    def load(self) -> Callable[[], Any]:
        return _Missing


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a CUDA backend that cannot run."""
    real = backends.entry_points

    def entry_points(*, group: str, name: str = "") -> Any:
        found = [e for e in real(group=group) if e.name != "cuda"] + [_EntryPoint()]
        return [e for e in found if name in ("", e.name)]

    monkeypatch.setattr(backends, "entry_points", entry_points)
    monkeypatch.delitem(backends._made, "cuda", raising=False)
    monkeypatch.setattr(placement, "_found", {})
