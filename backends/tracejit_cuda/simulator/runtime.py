"""The runtime over the simulator: work is done when it is enqueued."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from tracejit_cuda.runtime import Buffer, CudaError, Function, Graph, Properties
from tracejit_cuda.simulator import build, memory
from tracejit_cuda.simulator.arrays import (
    DeviceArray,
    Step,
    empty,
    recorder,
    refuse_while_recording,
)
from tracejit_cuda.simulator.engine import Engine, Module, SimulatorError
from tracejit_cuda.simulator.memory import Heap
from tracejit_cuda.simulator.namespace import Place, make_namespace

__all__ = ["SimulatorRuntime"]

ORDERS = ("forward", "reverse")
MULTIPROCESSORS = 4
RESIDENT_BLOCKS = 2
"""Blocks that a multiprocessor holds at most; a GPU's holds more."""
RESIDENT_THREADS = 2048
MOST_THREADS = 1024
SHARED_BYTES = 227 << 10
MEMORY_BYTES = 4 << 30
SECONDS = 60.0
"""Processor time of a launch after which it fails; ``TRACEJIT_SIMULATOR_SECONDS`` overrules it."""


class _Kernel(NamedTuple):
    """A loaded kernel, and how many threads it was declared for."""

    name: str
    module: Module
    most_threads: int


class _Graph:
    """Recorded steps."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    def launch(self) -> None:
        """Run the steps."""
        if recorder.steps is not None:
            recorder.steps.append(self.launch)
            return
        for step in self.steps:
            step()


class SimulatorRuntime:
    """Runs kernels on the CPU; may be used by several threads, which take turns.

    Parameters
    ----------
    order : str
        ``"forward"`` or ``"reverse"``: the order in which threads and blocks get their turn.
        Results that depend on it are wrong.
    checked : bool
        Whether kernels are watched for races, reads of shared memory that was not written,
        misaligned vectors, indices beyond arrays, and integers that overflow.
    devices : int
        How many devices there are.
    capacity : int
        Bytes of memory of each.
    switch : str
        How threads are switched: ``""`` for what is quickest here, ``"ucontext"`` for what every
        processor has.

    Attributes
    ----------
    label : str
        What failures are blamed on beside the kernel.
    counters : dict of str to int
        Sources ``compiled`` or loaded, and ``launches``.
    """

    name = "cudasim"

    def __init__(
        self,
        order: str = "forward",
        checked: bool = False,
        devices: int = 1,
        capacity: int = MEMORY_BYTES,
        switch: str = "",
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"order must be one of {ORDERS}; got {order!r}")
        self.order = order
        self.checked = checked
        self.switch = switch
        self.label = ""
        self.counters = {"compiled": 0, "launches": 0}
        self._heaps = [Heap(device, capacity) for device in range(devices)]
        self._place = Place(self._heaps)
        self.namespace: Any = make_namespace(self._place)
        self._modules: dict[tuple[str, tuple[str, ...]], Module] = {}
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ devices

    def missing(self) -> str:
        """Return ``""``, or that there is no C++ compiler."""
        return build.missing()

    def device_count(self) -> int:
        """Return how many devices are simulated."""
        return len(self._heaps)

    def properties(self, device: int) -> Properties:
        """Return what a device is: a small one."""
        self._heap(device)
        return Properties("cudasim", "sm_90", MULTIPROCESSORS, 1 << 20, SHARED_BYTES)

    def on_device(self, device: int) -> AbstractContextManager[None]:
        """Return a context in which the namespace makes its arrays on a device."""
        self._heap(device)
        return self._place.at(device)

    def synchronize(self, device: int) -> None:
        """Do nothing: no work is outstanding."""
        self._heap(device)
        refuse_while_recording("waiting")

    def _heap(self, device: int) -> Heap:
        if not 0 <= device < len(self._heaps):
            raise CudaError(f"there is no simulated device {device}: {len(self._heaps)} in all")
        return self._heaps[device]

    # ------------------------------------------------------------------- memory

    def empty(self, shape: tuple[int, ...], dtype: Any, device: int) -> Buffer:
        """Return a buffer that holds a pattern."""
        return empty(shape, dtype, self._heap(device))

    def upload(self, array: np.ndarray[Any, Any], device: int) -> Buffer:
        """Return a buffer with the elements of a host array."""
        refuse_while_recording("an upload")
        array = np.asarray(array, array.dtype.newbyteorder("="))
        buffer = empty(array.shape, array.dtype, self._heap(device))
        buffer.set(array)
        return buffer

    def download(self, buffer: Buffer) -> np.ndarray[Any, Any]:
        """Return a copy in host memory."""
        return buffer.get()

    def address(self, buffer: Buffer) -> int:
        """Return where a buffer starts."""
        return buffer.address  # type: ignore[attr-defined, no-any-return]

    def device_of(self, buffer: Buffer) -> int:
        """Return the number of the device that holds a buffer."""
        return buffer.device  # type: ignore[attr-defined, no-any-return]

    def view(
        self, address: int, shape: tuple[int, ...], dtype: Any, device: int, owner: Any
    ) -> Buffer:
        """Return a buffer over memory that `owner` keeps alive."""
        kind = np.dtype(dtype)
        nbytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if not nbytes:
            return empty(shape, kind, self._heap(device))
        allocation = memory.find(address, nbytes)
        start = address - allocation.address
        part = np.asarray(allocation)[start : start + nbytes]
        return DeviceArray(part.view(kind).reshape(shape), self._heap(device), owner)

    def adopt(self, x: Any) -> Buffer | None:
        """Return a C-contiguous buffer of an array in the memory of a simulated device."""
        if isinstance(x, DeviceArray):
            contiguous: DeviceArray = x if x.flags.c_contiguous else x.copy()
            return contiguous
        interface = getattr(x, "__cuda_array_interface__", None)
        if interface is None:
            return None
        kind, shape = np.dtype(interface["typestr"]), tuple(interface["shape"])
        nbytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        address = interface["data"][0]
        if not nbytes:
            return empty(shape, kind, self._heaps[0])
        try:
            heap = memory.find(address, kind.itemsize).heap
        except CudaError:  # memory of something else
            return None
        if interface.get("strides") is None:
            return self.view(address, shape, kind, heap.device, x)
        allocation = memory.find(address, kind.itemsize)
        strided = np.ndarray(
            shape,
            kind,
            np.asarray(allocation),
            address - allocation.address,
            tuple(interface["strides"]),
        )
        return self.adopt(DeviceArray(strided, heap, x))

    def copy(self, target: int, source: int, nbytes: int, device: int) -> None:
        """Copy within device memory."""
        self._heap(device)
        if recorder.steps is not None:
            recorder.steps.append(lambda: self.copy(target, source, nbytes, device))
        elif nbytes:
            memory.find(target, nbytes)
            memory.find(source, nbytes)
            ctypes.memmove(target, source, nbytes)

    def peek(self, address: int, dtype: np.dtype[Any], device: int) -> Any:
        """Return one element as a Python scalar."""
        self._heap(device)
        refuse_while_recording("a read of device memory")
        allocation = memory.find(address, dtype.itemsize)
        start = address - allocation.address
        return np.asarray(allocation)[start : start + dtype.itemsize].view(dtype)[0].item()

    def release_memory(self) -> None:
        """Unmap what nothing refers to."""
        memory.collect()

    # ------------------------------------------------------------------ kernels

    def load(self, source: str, names: Sequence[str], device: int) -> dict[str, Function]:
        """Compile a source (or take it from where it is kept) and return its kernels by name."""
        self._heap(device)
        key = (source, tuple(names))
        with self._lock:
            if key not in self._modules:
                _engine(self.switch)
                self._modules[key] = Module.load(source, names, self.checked, self.switch)
                self.counters["compiled"] += 1
            module = self._modules[key]
        return {name: _Kernel(name, module, _most_threads(source, name)) for name in names}

    def launch(
        self,
        function: Function,
        blocks: int,
        threads: int,
        shared: int,
        arguments: ctypes.Array[Any],
        device: int,
        cooperative: bool = False,
    ) -> None:
        """Run a kernel to its end.

        Raises
        ------
        SimulatorError
            If it does what a kernel must not.
        """
        self._heap(device)
        copied, label = type(arguments).from_buffer_copy(arguments), self.label
        self._check_launch(function, blocks, threads, shared, device, cooperative)

        def run() -> None:
            self.counters["launches"] += 1
            _engine(self.switch).launch(
                function.module,
                function.name,
                blocks,
                threads,
                shared,
                copied,
                device=device,
                reverse=self.order == "reverse",
                cooperative=cooperative,
                checked=self.checked,
                seconds=float(os.environ.get("TRACEJIT_SIMULATOR_SECONDS", SECONDS)),
                label=label,
            )

        if recorder.steps is not None:
            recorder.steps.append(run)
        else:
            run()

    def _check_launch(
        self,
        kernel: _Kernel,
        blocks: int,
        threads: int,
        shared: int,
        device: int,
        cooperative: bool,
    ) -> None:
        """Raise if a GPU would refuse a launch."""
        refused = ""
        if not 1 <= threads <= kernel.most_threads:
            refused = f"{threads} threads a block, and there may be 1 to {kernel.most_threads}"
        elif not 1 <= blocks < 1 << 31:
            refused = f"{blocks} blocks, and there may be 1 to 2**31 - 1"
        elif not 0 <= shared <= SHARED_BYTES:
            refused = f"{shared} bytes of shared memory, and there are {SHARED_BYTES}"
        elif cooperative:
            most = self.resident_blocks(kernel, threads, shared, device)
            if blocks > most:
                refused = f"{blocks} blocks at once, and {most} fit on the device"
        if refused:
            raise SimulatorError(kernel.name, "launch configuration", refused)

    def resident_blocks(self, function: Function, threads: int, shared: int, device: int) -> int:
        """Return how many blocks of a kernel may be resident at once on the whole device."""
        del function
        by_memory = SHARED_BYTES // max(shared, 1)
        each = min(RESIDENT_BLOCKS, RESIDENT_THREADS // max(threads, 1), by_memory)
        return each * self.properties(device).multiprocessors

    # ------------------------------------------------------------------- graphs

    def capture(self, run: Callable[[], None], device: int) -> Graph:
        """Return what `run` enqueues as a graph, without running it.

        Functions of the namespace that `run` calls are called now, for their shapes, and again when
        the graph runs.
        """
        self._heap(device)
        if recorder.steps is not None:
            raise CudaError("a graph is being recorded already")
        steps: list[Step] = []
        recorder.steps = steps
        try:
            run()
        finally:
            recorder.steps = None
        return _Graph(steps)


@functools.cache
def _engine(switch: str) -> Engine:
    return Engine(switch)


def _most_threads(source: str, name: str) -> int:
    """Return the threads that a kernel declares to be launched with, if it does as a number."""
    pattern = rf"__launch_bounds__\s*\(\s*(\d+)[^)]*\)\s*{re.escape(name)}\s*\("
    found = re.search(pattern, source)
    return min(int(found[1]), MOST_THREADS) if found else MOST_THREADS
