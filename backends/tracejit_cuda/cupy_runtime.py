"""CuPy as the runtime: memory, copies, launches and graphs on a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from tracejit.backend.diskcache import DiskCache, cache_dir
from tracejit_cuda import nvrtc
from tracejit_cuda.cupy_loans import Loans
from tracejit_cuda.cupy_places import Places
from tracejit_cuda.cupy_reports import Reports
from tracejit_cuda.prelude import OPTIONS
from tracejit_cuda.probe import status
from tracejit_cuda.runtime import Buffer, CudaError, Function, Graph, Properties

__all__ = ["CupyRuntime"]

STAGED = 32 << 20
"""Bytes up to which an upload does not wait: it goes through pinned memory, which CuPy keeps."""

FREE_SHARED = 48 << 10
"""Bytes of shared memory that a kernel gets without asking."""

# From CUDA's headers; not all releases of CuPy name them.
STATIC_SHARED, MOST_DYNAMIC_SHARED = 1, 8  # CU_FUNC_ATTRIBUTE_{,MAX_DYNAMIC_}SHARED_SIZE_BYTES
NO_MEMORY = 2  # cudaErrorMemoryAllocation


class _Kernel:
    """A loaded kernel."""

    __slots__ = ("allowed", "function", "name", "pointer", "resident")

    def __init__(self, name: str, function: Any, allowed: int) -> None:
        self.name = name
        self.function = function  # keeps its module loaded
        self.pointer: int = function.ptr
        self.allowed = allowed  # bytes of dynamic shared memory
        self.resident: dict[tuple[int, int], int] = {}


class _Graph:
    """Recorded work, which runs on the stream of its device."""

    __slots__ = ("device", "graph", "runtime")

    def __init__(self, runtime: CupyRuntime, graph: Any, device: int) -> None:
        self.runtime = runtime
        self.graph = graph
        self.device = device

    def launch(self) -> None:
        """Enqueue the recorded work."""
        self.runtime.replay(self.graph, self.device)


class CupyRuntime:
    """Runs kernels on GPUs with CuPy; may be used by several threads.

    Raises
    ------
    CudaError
        If there is no CuPy, driver, device or compiler; it says which.

    Attributes
    ----------
    label : str
        See :class:`~tracejit_cuda.runtime.Runtime`.
    counters : dict of str to int
        Sources ``compiled``, and those whose code was found on ``disk``.
    """

    name = "cupy"

    def __init__(self) -> None:
        found, why = status()
        if not found:
            raise CudaError(why)
        self.namespace: Any = importlib.import_module("cupy")
        self.label = ""
        self.counters = {"compiled": 0, "disk": 0}
        self._disk = DiskCache(lambda: cache_dir("cuda"))
        self._cuda: Any = self.namespace.cuda
        self._api: Any = self._cuda.runtime
        self._driver: Any = self._cuda.driver
        self._version = int(self.namespace.__version__.split(".")[0])
        self._places = Places(self._cuda)
        self._reports = Reports(self._cuda)
        self._loans = Loans(self.namespace, self._places, self._reports)
        self._reported = self._reports.reported
        self._properties: dict[int, Properties] = {}
        self._modules: list[Any] = []

    # ------------------------------------------------------------------ devices

    def missing(self) -> str:
        """Return ``""``: where something is missing, there is no such runtime."""
        return ""

    def device_count(self) -> int:
        """Return how many devices there are."""
        return self._places.count

    def properties(self, device: int) -> Properties:
        """Return what a device is."""
        if device not in self._properties:
            self._places.check(device)
            found = self._api.getDeviceProperties(device)
            self._properties[device] = Properties(
                name=found["name"].decode(),
                arch=f"sm_{found['major']}{found['minor']}",
                multiprocessors=found["multiProcessorCount"],
                cache_bytes=found["l2CacheSize"],
                shared_bytes=found["sharedMemPerBlockOptin"],
            )
        return self._properties[device]

    def on_device(self, device: int) -> AbstractContextManager[None]:
        """Return a context in which functions of the namespace run on a device, in order."""
        return self._places.at(device)

    def synchronize(self, device: int) -> None:
        """Wait until all enqueued work is done."""
        with self._places.at(device).device, self._reported(device):
            self._api.streamSynchronize(0)
        self._reports.forget()
        self._loans.collect()

    # ------------------------------------------------------------------- memory

    def empty(self, shape: tuple[int, ...], dtype: Any, device: int) -> Buffer:
        """Return an uninitialised buffer from CuPy's pool."""
        kind = self._kind(dtype)
        size = math.prod(shape) * kind.itemsize
        with self._places.at(device):
            memory = self._alloc(size, device)
            return self.namespace.ndarray(shape, kind, memory)  # type: ignore[no-any-return]

    def _kind(self, dtype: Any) -> np.dtype[Any]:
        kind: np.dtype[Any] = np.dtype(dtype)
        if self._version < 14 and kind.kind == "V":  # as ml_dtypes' types are to NumPy
            raise TypeError(
                f"{kind} needs CuPy 14 and this is {self.namespace.__version__}: "
                "`pip install --upgrade 'tracejit[cuda]'`"
            )
        return kind

    def _alloc(self, size: int, device: int) -> Any:
        memory = self._try_alloc(size, device)
        if memory is None:
            # What is held for work that may be done by now, and what the pool keeps.
            self.synchronize(device)
            self.namespace.get_default_memory_pool().free_all_blocks()
            memory = self._try_alloc(size, device)
        if memory is None:
            free, total = self._api.memGetInfo()
            pool = self.namespace.get_default_memory_pool()
            limit = f" of the {pool.get_limit():,} that its limit is" if pool.get_limit() else ""
            raise MemoryError(
                f"CUDA device {device} has no room for {size:,} bytes: {free:,} of {total:,} are "
                f"free, and CuPy's pool holds {pool.total_bytes():,}{limit}, of which "
                f"{pool.used_bytes():,} are in use"
            )
        return memory

    def _try_alloc(self, size: int, device: int) -> Any:
        """Return memory, ``None`` if there is too little."""
        try:
            with self._reported(device):
                return self._cuda.alloc(size)
        except MemoryError:  # CuPy's pool raises this; other allocators raise CUDA's error
            return None
        except CudaError as error:
            if getattr(error.__cause__, "status", 0) != NO_MEMORY:
                raise
            return None

    def upload(self, array: np.ndarray[Any, Any], device: int) -> Buffer:
        """Return a buffer with the elements of a host array, which may be changed afterwards."""
        array = np.asarray(array, array.dtype.newbyteorder("="), order="C")
        buffer = self.empty(array.shape, array.dtype, device)
        if array.nbytes:
            with self._places.at(device), self._reported(device):
                if array.nbytes <= STAGED:
                    self._loans.collect()
                    pinned = self._cuda.alloc_pinned_memory(array.nbytes)
                    ctypes.memmove(pinned.ptr, array.ctypes.data, array.nbytes)
                    self._send(buffer, pinned.ptr)
                    self._loans.hold(pinned)
                else:
                    self._send(buffer, array.ctypes.data)
                    self._api.streamSynchronize(0)
        return buffer

    def _send(self, buffer: Buffer, source: int) -> None:
        kind = self._api.memcpyHostToDevice
        self._api.memcpyAsync(self.address(buffer), source, buffer.nbytes, kind, 0)

    def download(self, buffer: Buffer) -> np.ndarray[Any, Any]:
        """Return a copy in host memory, after the work that is enqueued."""
        device = self.device_of(buffer)
        with self._places.at(device), self._reported(device):
            return buffer.get()

    def address(self, buffer: Buffer) -> int:
        """Return where a buffer starts in device memory."""
        return buffer.data.ptr  # type: ignore[attr-defined, no-any-return]

    def device_of(self, buffer: Buffer) -> int:
        """Return the number of the device that holds a buffer."""
        return buffer.data.device_id  # type: ignore[attr-defined, no-any-return]

    def view(
        self, address: int, shape: tuple[int, ...], dtype: Any, device: int, owner: Any
    ) -> Buffer:
        """Return a buffer over memory that `owner` keeps alive."""
        kind = self._kind(dtype)
        return self._loans.view(address, shape, kind, device, owner)  # type: ignore[no-any-return]

    def adopt(self, x: Any) -> Buffer | None:
        """Return a C-contiguous buffer of a foreign device array, without a copy if it can be."""
        return self._loans.adopt(x)

    def copy(self, target: int, source: int, nbytes: int, device: int) -> None:
        """Enqueue a copy within device memory."""
        place = self._places.at(device)
        if self._api.getDevice() != device:
            with place:
                return self.copy(target, source, nbytes, device)
        try:
            kind = self._api.memcpyDeviceToDevice
            self._api.memcpyAsync(target, source, nbytes, kind, place.pointer)
        except self._reports.errors as error:
            self._reports.fail(error, device, "a copy")

    def peek(self, address: int, dtype: np.dtype[Any], device: int) -> Any:
        """Return one element as a Python scalar; waits for the stream."""
        thread = self._places.thread
        place = self._places.at(device)
        with place, self._reported(device):
            if thread.pinned is None:
                thread.pinned = self._cuda.alloc_pinned_memory(16)
            kind = self._api.memcpyDeviceToHost
            self._api.memcpyAsync(
                thread.pinned.ptr, address, dtype.itemsize, kind, place.pointer
            )
            self._api.streamSynchronize(place.pointer)
        self._reports.forget()
        self._loans.collect()
        return np.frombuffer(thread.pinned, dtype, 1)[0].item()

    def release_memory(self) -> None:
        """Give what CuPy's pools keep back to the devices and to the host."""
        for device in self._places.used():
            self.synchronize(device)
            with self._places.at(device):
                self.namespace.get_default_memory_pool().free_all_blocks()
        self.namespace.get_default_pinned_memory_pool().free_all_blocks()

    # ------------------------------------------------------------------ kernels

    def load(self, source: str, names: Sequence[str], device: int) -> dict[str, Function]:
        """Compile a source (or take its code from the disk cache) and return its kernels."""
        arch = self.properties(device).arch
        key = _key(source, arch)
        image = self._disk.get(key)
        if image is not None:
            # Whatever it is, if it does not load it is no code for this device.
            with contextlib.suppress(CudaError):
                loaded = self._load(image, names, device)
                self.counters["disk"] += 1
                return loaded
        image = _compile(source, arch)
        loaded = self._load(image, names, device)
        self.counters["compiled"] += 1
        self._disk.put(key, image)
        return loaded

    def _load(self, image: bytes, names: Sequence[str], device: int) -> dict[str, Function]:
        loaded = {}
        with self._places.at(device):
            try:
                module = self._cuda.function.Module()
                module.load(image)
                for name in names:
                    function = module.get_function(name)
                    static = self._driver.funcGetAttribute(STATIC_SHARED, function.ptr)
                    loaded[name] = _Kernel(name, function, FREE_SHARED - static)
            except self._reports.errors as error:
                serves = self._api.driverGetVersion()
                what = (
                    f"to load {', '.join(names)} (compiled by NVRTC "
                    f"{'.'.join(map(str, nvrtc.version()))}; the driver serves CUDA "
                    f"{serves // 1000}.{serves % 1000 // 10})"
                )
                self._reports.fail(error, device, what)
        # Code is never unloaded: work in progress and graphs need it.
        self._modules.append(module)
        return loaded

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
        """Enqueue a kernel."""
        place = self._places.at(device)
        if self._api.getDevice() != device:
            with place:
                return self.launch(
                    function, blocks, threads, shared, arguments, device, cooperative
                )
        self._reports.remember(self.label or function.name)
        thread = self._places.thread
        thread.parameters[0] = ctypes.addressof(arguments)
        at, stream = thread.parameters_at, place.pointer
        try:
            if shared > function.allowed:
                self._allow(function, shared)
            if cooperative:
                self._driver.launchCooperativeKernel(
                    function.pointer, blocks, 1, 1, threads, 1, 1, shared, stream, at
                )
            else:
                self._driver.launchKernel(
                    function.pointer, blocks, 1, 1, threads, 1, 1, shared, stream, at, 0
                )
        except self._reports.errors as error:
            how = f"{blocks} blocks of {threads} threads, {shared} bytes of shared memory"
            self._reports.fail(error, device, f"to launch {function.name} ({how})")

    def _allow(self, kernel: _Kernel, shared: int) -> None:
        self._driver.funcSetAttribute(kernel.pointer, MOST_DYNAMIC_SHARED, shared)
        kernel.allowed = shared

    def resident_blocks(self, function: Function, threads: int, shared: int, device: int) -> int:
        """Return how many blocks of a kernel may be resident at once on the whole device."""
        known: int | None = function.resident.get((threads, shared))
        if known is not None:
            return known
        with self._places.at(device), self._reported(device, f"to look at {function.name}"):
            if shared > function.allowed:
                self._allow(function, shared)
            each: int = self._driver.occupancyMaxActiveBlocksPerMultiprocessor(
                function.pointer, threads, shared
            )
        found = each * self.properties(device).multiprocessors
        function.resident[threads, shared] = found
        return found

    # ------------------------------------------------------------------- graphs

    def capture(self, run: Callable[[], None], device: int) -> Graph:
        """Return what `run` enqueues as a graph, without running it.

        Functions of the namespace may be called within :meth:`on_device`; what they return must be
        kept until the graph has run.
        """
        with self._places.recording(device) as stream, self._reported(device, "a graph"):
            stream.begin_capture()
            try:
                run()
            except BaseException:
                with contextlib.suppress(Exception):  # what was recorded may be no graph
                    stream.end_capture()
                raise
            return _Graph(self, stream.end_capture(), device)

    def replay(self, graph: Any, device: int) -> None:
        """Enqueue the work of one of CuPy's graphs."""
        place = self._places.at(device)
        if self._api.getDevice() != device:
            with place:
                return self.replay(graph, device)
        self._reports.remember(self.label or "a graph")
        try:
            graph.launch(place.stream)
        except self._reports.errors as error:
            self._reports.fail(error, device, "to launch a graph")


def _key(source: str, arch: str) -> str:
    """Return what the code of a source is cached under: all that it depends on."""
    digest = hashlib.sha256()
    for part in ("cuda", nvrtc.version(), arch, OPTIONS, source):
        digest.update(f"{part!r}\n".encode())
    return digest.hexdigest()


def _compile(source: str, arch: str) -> bytes:
    """Return code that a device runs, or that its driver translates."""
    number, known = int(arch.removeprefix("sm_")), nvrtc.supported_archs()
    if number in known:
        return nvrtc.compile_cubin(source, arch, OPTIONS).image
    older = [n for n in known if n < number]
    if not older:
        raise CudaError(f"NVRTC compiles for sm_{min(known)} and newer; the device is {arch}")
    # The device is newer than the compiler: what its predecessor would run is translated.
    return nvrtc.compile_ptx(source, f"sm_{max(older)}", OPTIONS).image
