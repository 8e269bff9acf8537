"""The runtime over CuPy, with a fake of CuPy on the host, and on a GPU where there is one.

The fake is the part of CuPy's surface that the runtime uses, over host memory: copies copy, streams
and devices are bookkeeping, kernels are not run but their arguments are read as the driver reads
them.  It shows that the runtime calls what it means to call, with which arguments, on which device
and stream, and what it makes of errors; not that CUDA then does as expected.  That the names exist
and take as many arguments is asked of a real CuPy where one is installed (it needs no driver); the
rest is in the tests marked ``cuda``.
"""

from __future__ import annotations

import ctypes
import gc
import math
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tracejit_cuda import cupy_runtime, nvrtc, probe
from tracejit_cuda.cupy_runtime import CupyRuntime
from tracejit_cuda.prelude import OPTIONS
from tracejit_cuda.runtime import CudaError, Runtime

bfloat16 = np.dtype(ml_dtypes.bfloat16)

# ---- the fake -----------------------------------------------------------------------------------


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class CUDADriverError(CUDARuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class FakeCuda:
    """``cupy`` and its state.

    Attributes
    ----------
    calls : list of tuple
        What was called, in order: a name, its arguments, the device and stream that were current
        where they matter.
    broken : CUDARuntimeError or None
        What every call that waits raises.
    busy : bool
        Whether events are not done yet.
    refuses : list of Exception
        What the next allocations raise.
    """

    def __init__(self, devices: int = 2, version: str = "14.2.0") -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.device = 0
        self.streams: list[list[Any]] = [[] for _ in range(devices)]
        self.broken: CUDARuntimeError | None = None
        self.busy = False
        self.refuses: list[Exception] = []
        self.memory: list[Any] = []
        self.static_shared = 0
        self.arch = (9, 0)
        self.images: list[bytes] = []
        self.bad_images: set[bytes] = set()
        self.made = 100
        self.foreign: dict[int, SimpleNamespace] = {}
        self.launch_error: Exception | None = None
        self.cupy: Any = self._module(devices, version)

    def stream(self) -> int:
        stack = self.streams[self.device]
        return stack[-1].ptr if stack else 0

    def number(self) -> int:
        self.made += 1
        return self.made

    def call(self, *what: Any) -> None:
        self.calls.append(what)

    def named(self, *names: str) -> list[tuple[Any, ...]]:
        return [c for c in self.calls if c[0] in names]

    def room(self, size: int) -> int:
        block = (ctypes.c_char * max(size, 1))()
        self.memory.append(block)
        return ctypes.addressof(block)

    def wait(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _module(self, devices: int, version: str) -> Any:
        fake = self

        class Device:
            def __init__(self, number: int) -> None:
                self.id = number
                self.before: list[int] = []

            def __enter__(self) -> None:
                self.before.append(fake.device)
                fake.device = self.id

            def __exit__(self, *error: object) -> None:
                fake.device = self.before.pop()

        class Stream:
            null: Any

            def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
                self.ptr = 0 if null else fake.number()
                self.non_blocking = non_blocking

            def __enter__(self) -> None:
                fake.streams[fake.device].append(self)

            def __exit__(self, *error: object) -> None:
                fake.streams[fake.device].pop()

            def wait_event(self, event: Any) -> None:
                fake.call("streamWaitEvent", self.ptr, event.ptr)

            def begin_capture(self) -> None:
                fake.call("begin_capture", self.ptr, fake.device)

            def end_capture(self) -> Any:
                fake.call("end_capture", self.ptr)

                def launch(stream: Any) -> None:
                    fake.call("graph", stream.ptr, fake.device)

                return SimpleNamespace(launch=launch)

        Stream.null = Stream(null=True)

        class Event:
            def __init__(self, disable_timing: bool = False) -> None:
                assert disable_timing
                self.ptr = fake.number()

            def record(self, stream: Any) -> None:
                fake.call("eventRecord", self.ptr, stream.ptr)

            @property
            def done(self) -> bool:
                return not fake.busy

        class Memory:
            def __init__(self, ptr: int, size: int, owner: Any, device: int) -> None:
                self.ptr, self.size, self.owner, self.device_id = ptr, size, owner, device

        class MemoryPointer:
            def __init__(self, mem: Memory, offset: int) -> None:
                self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id

        class ndarray:
            def __init__(self, shape: Any, dtype: Any, memptr: Any, strides: Any = None) -> None:
                self.shape, self.dtype, self.data = tuple(shape), np.dtype(dtype), memptr
                self.nbytes = math.prod(self.shape) * self.dtype.itemsize
                self.host = np.empty(self.shape, self.dtype)
                if self.nbytes:
                    steps = strides or self.host.strides
                    reach = sum((n - 1) * s for n, s in zip(self.shape, steps, strict=True))
                    whole = (ctypes.c_char * (reach + self.dtype.itemsize)).from_address(memptr.ptr)
                    self.host = np.ndarray(self.shape, self.dtype, whole, strides=strides)
                self.flags = self.host.flags

            def get(self) -> Any:
                fake.call("get", fake.stream(), fake.device)
                fake.wait()
                return self.host.copy()

        def alloc(size: int) -> Any:
            fake.call("alloc", size, fake.stream(), fake.device)
            if fake.refuses:
                raise fake.refuses.pop(0)
            return MemoryPointer(Memory(fake.room(size), size, None, fake.device), 0)

        def pinned(size: int) -> Any:
            fake.call("pinned", size)
            block = (ctypes.c_char * size)()
            fake.memory.append(block)
            # numpy reads it, as it reads CuPy's, by the buffer protocol.
            return _Pinned(block)

        def contiguous(x: Any) -> Any:
            fake.call("ascontiguousarray", fake.stream(), fake.device)
            whole = np.ascontiguousarray(x.host)
            copy = ndarray(whole.shape, whole.dtype, alloc(whole.nbytes))
            copy.host[...] = whole
            return copy

        def from_dlpack(x: Any) -> Any:
            fake.call("from_dlpack", fake.stream(), fake.device)
            return x.to_cupy()

        class Module:
            def load(self, image: bytes) -> None:
                if image in fake.bad_images:
                    raise CUDADriverError(200, "CUDA_ERROR_INVALID_IMAGE")
                fake.images.append(image)
                self.image = image

            def get_function(self, name: str) -> Any:
                if name.encode() not in self.image:
                    raise CUDADriverError(500, f"CUDA_ERROR_NOT_FOUND: {name}")
                return SimpleNamespace(ptr=fake.number(), module=self)

        def memcpy(target: int, source: int, size: int, kind: int, stream: int) -> None:
            fake.call("memcpyAsync", target, source, size, kind, stream, fake.device)
            ctypes.memmove(target, source, size)

        def synchronize(stream: int) -> None:
            fake.call("streamSynchronize", stream, fake.device)
            fake.wait()

        def attributes(address: int) -> Any:
            return fake.foreign[address]

        def launched(kind: str) -> Callable[..., None]:
            def launch(*numbers: int) -> None:
                assert all(isinstance(n, int) for n in numbers)
                # The driver reads the address of the first argument where the ninth number says.
                at = ctypes.c_void_p.from_address(numbers[9]).value
                assert at is not None
                fake.call(kind, *numbers[:9], ctypes.string_at(at, 16), *numbers[10:], fake.device)
                if fake.launch_error is not None:
                    raise fake.launch_error

            return launch

        def set_device(number: int) -> None:
            fake.device = number

        pool = SimpleNamespace(
            free_all_blocks=lambda: fake.call("free_all_blocks", fake.device),
            used_bytes=lambda: 700,
            total_bytes=lambda: 1000,
            get_limit=lambda: 0,
        )
        hosts = SimpleNamespace(free_all_blocks=lambda: fake.call("free_pinned"))
        runtime = SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            driverGetVersion=lambda: 13000,
            eventRecord=lambda event, stream: fake.call("eventRecord", event, stream),
            getDevice=lambda: fake.device,
            getDeviceCount=lambda: devices,
            getDeviceProperties=lambda device: {
                "name": b"Fake H200",
                "major": fake.arch[0],
                "minor": fake.arch[1],
                "multiProcessorCount": 132,
                "l2CacheSize": 60 << 20,
                "sharedMemPerBlockOptin": 232448,
                "sharedMemPerBlock": 49152,
            },
            memGetInfo=lambda: (fake.call("memGetInfo", fake.device), (5000, 9000))[1],
            memcpyAsync=memcpy,
            memcpyDeviceToDevice=3,
            memcpyDeviceToHost=2,
            memcpyHostToDevice=1,
            pointerGetAttributes=attributes,
            setDevice=set_device,
            streamSynchronize=synchronize,
            streamWaitEvent=lambda stream, event: fake.call("streamWaitEvent", stream, event),
        )
        driver = SimpleNamespace(
            CUDADriverError=CUDADriverError,
            funcGetAttribute=lambda what, function: fake.static_shared if what == 1 else -1,
            funcSetAttribute=lambda f, what, n: fake.call("funcSetAttribute", f, what, n),
            launchCooperativeKernel=launched("launchCooperativeKernel"),
            launchKernel=launched("launchKernel"),
            occupancyMaxActiveBlocksPerMultiprocessor=lambda f, n, shared: (
                fake.call("occupancy", f, n, shared, fake.device), 8 - n // 256
            )[1],
        )  # fmt: skip
        cupy: Any = ModuleType("cupy")
        cupy.__version__ = version
        cupy.ndarray = ndarray
        cupy.ascontiguousarray = contiguous
        cupy.from_dlpack = from_dlpack
        cupy.get_default_memory_pool = lambda: pool
        cupy.get_default_pinned_memory_pool = lambda: hosts
        cupy.cuda = SimpleNamespace(
            Device=Device,
            Event=Event,
            MemoryPointer=MemoryPointer,
            Stream=Stream,
            UnownedMemory=Memory,
            alloc=alloc,
            alloc_pinned_memory=pinned,
            driver=driver,
            function=SimpleNamespace(Module=Module),
            get_current_stream=lambda device: (fake.streams[device] or [Stream.null])[-1],
            runtime=runtime,
        )
        return cupy

    def array(self, host: np.ndarray[Any, Any], device: int = 0) -> Any:
        """Return an array of CuPy as a user has one, maybe strided."""
        base = host if host.base is None else host.base
        assert isinstance(base, np.ndarray)
        start = self.room(base.nbytes)
        ctypes.memmove(start, base.ctypes.data, base.nbytes)
        cuda = self.cupy.cuda
        pointer = cuda.MemoryPointer(cuda.UnownedMemory(start, base.nbytes, None, device), 0)
        return self.cupy.ndarray(host.shape, host.dtype, pointer, host.strides)


class _Pinned(bytearray):
    """Pinned memory: `ptr`, and numpy reads it."""

    ptr: int

    def __init__(self, block: Any) -> None:
        super().__init__(len(block))
        self.ptr = ctypes.addressof((ctypes.c_char * len(block)).from_buffer(self))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    found = FakeCuda()
    install(found, monkeypatch)
    return found


def install(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake.cupy)
    monkeypatch.setattr(cupy_runtime, "status", lambda: probe.Status(True, ""))


@pytest.fixture
def runtime(fake: FakeCuda) -> CupyRuntime:
    made = CupyRuntime()
    fake.calls.clear()
    return made


def test_it_is_a_runtime(runtime: CupyRuntime) -> None:
    checked: Runtime = runtime
    for name in (n for n in dir(Runtime) if not n.startswith("_")):
        assert hasattr(checked, name), name


def test_without_a_device_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = probe.Status(False, "there is no NVIDIA driver on this machine")
    monkeypatch.setattr(cupy_runtime, "status", lambda: absent)
    with pytest.raises(CudaError, match="no NVIDIA driver"):
        CupyRuntime()


def test_properties(runtime: CupyRuntime, fake: FakeCuda) -> None:
    assert runtime.device_count() == 2
    assert runtime.missing() == ""
    assert runtime.properties(1) == ("Fake H200", "sm_90", 132, 60 << 20, 232448)
    fake.arch = (12, 0)
    assert runtime.properties(0).arch == "sm_120"


@pytest.mark.parametrize("device", [-1, 2])
def test_a_device_that_is_not_there(runtime: CupyRuntime, device: int) -> None:
    with pytest.raises(CudaError, match="they are 0 to 1"):
        runtime.properties(device)
    with pytest.raises(CudaError, match="they are 0 to 1"):
        runtime.empty((2,), np.float32, device)


# ---- memory -------------------------------------------------------------------------------------

HOSTS = {
    "float32": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "rank 0": np.array(3, np.int16),
    "empty": np.zeros((2, 0, 3), np.float64),
    "bool": np.array([True, False, True]),
    "complex": np.array([1 + 2j, -3j], np.complex64),
    "bfloat16": np.arange(6).reshape(2, 3).astype(bfloat16),
    "Fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(24.0).reshape(4, 6)[::2, ::-3],
    "other byte order": np.arange(5, dtype=">i4"),
}


@pytest.mark.parametrize("staged", [True, False])
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())
def test_upload_and_get(
    runtime: CupyRuntime,
    fake: FakeCuda,
    monkeypatch: pytest.MonkeyPatch,
    host: np.ndarray[Any, Any],
    staged: bool,
) -> None:
    if not staged:
        monkeypatch.setattr(cupy_runtime, "STAGED", 0)
    host = host.copy(order="K")
    wanted = host.copy()
    buffer = runtime.upload(host, 1)
    if host.flags.writeable:
        host[...] = 0
    assert buffer.shape == wanted.shape
    assert buffer.dtype == wanted.dtype.newbyteorder("=")
    assert runtime.device_of(buffer) == 1
    for got in (buffer.get(), runtime.download(buffer)):
        assert got.shape == wanted.shape
        np.testing.assert_array_equal(got.astype(wanted.dtype), wanted)
    # It waits exactly if the copy is from memory that the caller may change.
    waits = fake.named("streamSynchronize")
    assert waits == ([] if staged or host.nbytes == 0 else [("streamSynchronize", 0, 1)])
    assert fake.device == 0


def test_pinned_memory_is_kept_until_it_was_read(runtime: CupyRuntime, fake: FakeCuda) -> None:
    fake.busy = True
    runtime.upload(np.zeros(3), 0)
    runtime.upload(np.zeros(3), 0)
    assert len(runtime._loans._held) == 2
    fake.busy = False
    runtime.synchronize(0)
    assert len(runtime._loans._held) == 0


def test_memory_comes_from_the_pool_of_the_default_stream(
    runtime: CupyRuntime, fake: FakeCuda
) -> None:
    own = fake.cupy.cuda.Stream(non_blocking=True)
    with own:
        buffer = runtime.empty((3, 5), np.float32, 0)
        assert fake.stream() == own.ptr
    runtime.empty((), bfloat16, 1)
    assert fake.named("alloc") == [("alloc", 60, 0, 0), ("alloc", 2, 0, 1)]
    assert (buffer.shape, buffer.dtype, buffer.nbytes) == ((3, 5), np.float32, 60)


def test_an_old_cupy_refuses_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCuda(version="13.6.0")
    install(fake, monkeypatch)
    runtime = CupyRuntime()
    with pytest.raises(TypeError, match=r"bfloat16 needs CuPy 14 and this is 13\.6\.0"):
        runtime.empty((2,), bfloat16, 0)
    with pytest.raises(TypeError, match="CuPy 14"):
        runtime.upload(np.zeros(2, bfloat16), 0)
    assert runtime.empty((2,), np.float16, 0).nbytes == 4


FULL = [OutOfMemoryError("Out of memory"), CUDARuntimeError(2, "cudaErrorMemoryAllocation")]


@pytest.mark.parametrize("error", FULL, ids=["pool", "other allocator"])
def test_a_full_device_is_tried_once_more(
    runtime: CupyRuntime, fake: FakeCuda, error: Exception
) -> None:
    fake.refuses = [error]
    assert runtime.empty((10,), np.float64, 1).nbytes == 80
    names = [c[0] for c in fake.calls]
    assert names[-2:] == ["free_all_blocks", "alloc"]
    assert ("free_all_blocks", 1) in fake.calls
    assert ("streamSynchronize", 0, 1) in fake.calls  # what work in progress holds counts too


@pytest.mark.parametrize("error", FULL, ids=["pool", "other allocator"])
def test_a_full_device_says_how_much_was_asked_for(
    runtime: CupyRuntime, fake: FakeCuda, error: Exception
) -> None:
    fake.refuses = [error, error]
    with pytest.raises(MemoryError) as caught:
        runtime.empty((1000, 1000), np.float64, 1)
    message = str(caught.value)
    assert "device 1 has no room for 8,000,000 bytes: 5,000 of 9,000 are free" in message
    assert "700 are in use" in message
    assert len(fake.named("alloc")) == 2
    fake.cupy.get_default_memory_pool().get_limit = lambda: 2000
    fake.refuses = [error, error]
    with pytest.raises(MemoryError, match="of the 2,000 that its limit is"):
        runtime.empty((1000, 1000), np.float64, 1)


def test_another_error_of_an_allocation(runtime: CupyRuntime, fake: FakeCuda) -> None:
    fake.refuses = [CUDARuntimeError(1, "cudaErrorInvalidValue")]
    with pytest.raises(CudaError, match="cudaErrorInvalidValue"):
        runtime.empty((2,), np.float64, 0)
    assert len(fake.named("alloc")) == 1


def test_view_and_copy(runtime: CupyRuntime, fake: FakeCuda) -> None:
    source = runtime.upload(np.arange(6, dtype=np.int32), 1)
    target = runtime.empty((6,), np.int32, 1)
    part = runtime.view(runtime.address(source) + 8, (2, 2), np.int32, 1, source)
    np.testing.assert_array_equal(part.get(), [[2, 3], [4, 5]])
    assert runtime.device_of(part) == 1
    assert part.data.mem.owner is source  # type: ignore[attr-defined]
    fake.calls.clear()
    runtime.copy(runtime.address(target) + 4, runtime.address(part), 16, 1)
    wanted = (runtime.address(target) + 4, runtime.address(part), 16, 3, 0, 1)
    assert fake.calls == [("memcpyAsync", *wanted)]
    np.testing.assert_array_equal(target.get()[1:5], [2, 3, 4, 5])
    assert fake.device == 0


@pytest.mark.parametrize(
    "host",
    [np.array([False, True]), np.array([1, -7], np.int32), np.array([0, 2.5]).astype(bfloat16)],
    ids=lambda x: str(x.dtype),
)
def test_peek(runtime: CupyRuntime, fake: FakeCuda, host: np.ndarray[Any, Any]) -> None:
    buffer = runtime.upload(host, 0)
    fake.calls.clear()
    at = runtime.address(buffer) + host.itemsize
    assert runtime.peek(at, host.dtype, 0) == host[1]
    assert isinstance(runtime.peek(at, host.dtype, 0), bool | int | float)
    assert len(fake.named("pinned")) == 1  # and not once a look
    copy, wait = fake.named("memcpyAsync", "streamSynchronize")[:2]
    assert (copy[0], copy[2:]) == ("memcpyAsync", (at, host.itemsize, 2, 0, 0))
    assert wait == ("streamSynchronize", 0, 0)


def test_release_memory(runtime: CupyRuntime, fake: FakeCuda) -> None:
    runtime.empty((3,), np.float32, 1)
    fake.calls.clear()
    runtime.release_memory()
    # Of the devices that were used, after their work, and of the host.
    wanted = [("streamSynchronize", 0, 1), ("free_all_blocks", 1), ("free_pinned",)]
    assert [c for c in fake.calls if c[0] != "memGetInfo"] == wanted


def test_functions_of_the_namespace_run_in_order(runtime: CupyRuntime, fake: FakeCuda) -> None:
    assert runtime.namespace is fake.cupy
    with fake.cupy.cuda.Stream():
        theirs = fake.stream()
        with runtime.on_device(0):
            assert (fake.device, fake.stream()) == (0, 0)
            with runtime.on_device(1):
                assert (fake.device, fake.stream()) == (1, 0)
            assert fake.device == 0
        assert fake.stream() == theirs


# ---- kernels ------------------------------------------------------------------------------------

SCALE = """
struct SCALE_args { float* x; float factor; int n; };
extern "C" __global__ void __launch_bounds__(256) SCALE(const SCALE_args a) {
    int i = (int)blockIdx.x * 256 + (int)threadIdx.x;
    if (i < a.n) a.x[i] *= a.factor;
}
"""

needs_nvrtc = pytest.mark.skipif(bool(nvrtc.missing()), reason="NVRTC is not installed")


class Arguments(ctypes.Structure):
    _fields_ = (("x", ctypes.c_uint64), ("factor", ctypes.c_float), ("n", ctypes.c_int))


def packed(x: int, factor: float, n: int) -> Any:
    """Return the bytes of SCALE's argument."""
    return (ctypes.c_char * 16).from_buffer_copy(bytes(Arguments(x, factor, n)))


@pytest.fixture
def scale(runtime: CupyRuntime, fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the kernel SCALE, whose code need not be one for a fake."""
    monkeypatch.setattr(cupy_runtime, "_compile", lambda source, arch: source.encode())
    monkeypatch.setattr(nvrtc, "version", lambda: (13, 0))
    found = runtime.load(SCALE, ["SCALE"], 0)["SCALE"]
    fake.calls.clear()
    return found


def test_launch(runtime: CupyRuntime, fake: FakeCuda, scale: Any) -> None:
    arguments = packed(0x1234, 2.5, 7)
    runtime.launch(scale, 3, 256, 64, arguments, 0)
    wanted = (scale.function.ptr, 3, 1, 1, 256, 1, 1, 64, 0, bytes(arguments), 0, 0)
    assert fake.named("launchKernel") == [("launchKernel", *wanted)]
    assert not fake.named("funcSetAttribute")


def test_cooperative_launch(runtime: CupyRuntime, fake: FakeCuda, scale: Any) -> None:
    arguments = packed(0x1234, 2.5, 7)
    runtime.launch(scale, 3, 256, 0, arguments, 0, cooperative=True)
    wanted = (scale.function.ptr, 3, 1, 1, 256, 1, 1, 0, 0, bytes(arguments), 0)
    assert fake.named("launchCooperativeKernel") == [("launchCooperativeKernel", *wanted)]
    assert not fake.named("launchKernel")


def test_a_launch_on_another_device(runtime: CupyRuntime, fake: FakeCuda, scale: Any) -> None:
    runtime.launch(scale, 1, 32, 0, packed(1, 1, 1), 1)
    assert fake.named("launchKernel")[0][-1] == 1
    assert fake.named("memGetInfo") == [("memGetInfo", 1)]  # which makes its context
    assert fake.device == 0


def test_threads_have_arguments_of_their_own(
    runtime: CupyRuntime, fake: FakeCuda, scale: Any
) -> None:
    def work(n: int) -> None:
        for k in range(200):
            runtime.launch(scale, n + 1, 32, 0, packed(n, k, n), 0)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    found = fake.named("launchKernel")
    assert len(found) == 800
    for call in found:
        x = Arguments.from_buffer_copy(call[10])
        assert x.x == x.n == call[2] - 1
    # Each made the context its own.
    assert len(fake.named("memGetInfo")) == 4


def test_much_shared_memory_is_asked_for_once(
    runtime: CupyRuntime, fake: FakeCuda, scale: Any
) -> None:
    pointer = scale.function.ptr
    for shared in (48 << 10, 100_000, 100_000, 60_000, 120_000):
        runtime.launch(scale, 1, 32, shared, packed(1, 1, 1), 0)
    asked = [("funcSetAttribute", pointer, 8, n) for n in (100_000, 120_000)]
    assert fake.named("funcSetAttribute") == asked
    names = [c[0] for c in fake.calls if c[0] in ("launchKernel", "funcSetAttribute")]
    assert names[:3] == ["launchKernel", "funcSetAttribute", "launchKernel"]


@pytest.mark.usefixtures("scale")
def test_static_shared_memory_counts(runtime: CupyRuntime, fake: FakeCuda) -> None:
    fake.static_shared = 8192
    kernel = runtime.load(SCALE + " ", ["SCALE"], 0)["SCALE"]
    runtime.launch(kernel, 1, 32, 40 << 10, packed(1, 1, 1), 0)
    assert not fake.named("funcSetAttribute")
    runtime.launch(kernel, 1, 32, 41 << 10, packed(1, 1, 1), 0)
    assert fake.named("funcSetAttribute") == [("funcSetAttribute", kernel.pointer, 8, 41 << 10)]


def test_resident_blocks(runtime: CupyRuntime, fake: FakeCuda, scale: Any) -> None:
    assert runtime.resident_blocks(scale, 512, 0, 0) == 6 * 132
    assert runtime.resident_blocks(scale, 512, 0, 0) == 6 * 132
    assert fake.named("occupancy") == [("occupancy", scale.pointer, 512, 0, 0)]
    runtime.resident_blocks(scale, 512, 99_000, 0)
    assert fake.named("funcSetAttribute", "occupancy")[-2:] == [
        ("funcSetAttribute", scale.pointer, 8, 99_000),
        ("occupancy", scale.pointer, 512, 99_000, 0),
    ]


@needs_nvrtc
def test_code_is_compiled_once_and_kept_on_disk(
    fake: FakeCuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACEJIT_CACHE_DIR", str(tmp_path))
    first = CupyRuntime()
    found = first.load(SCALE, ["SCALE"], 0)
    assert found["SCALE"].name == "SCALE"
    assert fake.images[0].startswith(b"\x7fELF")
    assert first.counters == {"compiled": 1, "disk": 0}
    second = CupyRuntime()
    second.load(SCALE, ["SCALE"], 0)
    assert second.counters == {"compiled": 0, "disk": 1}
    assert fake.images[1] == fake.images[0]
    # What depends on the source, the device and the compiler is not mistaken.
    second.load(SCALE + "// other", ["SCALE"], 0)
    fake.arch = (8, 0)
    CupyRuntime().load(SCALE, ["SCALE"], 0)
    monkeypatch.setattr(nvrtc, "version", lambda: (13, 9))
    second.load(SCALE, ["SCALE"], 0)
    assert second.counters == {"compiled": 2, "disk": 1}
    assert len(list(tmp_path.iterdir())) == 4


@needs_nvrtc
def test_code_on_disk_that_does_not_load_is_compiled_anew(
    fake: FakeCuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACEJIT_CACHE_DIR", str(tmp_path))
    runtime = CupyRuntime()
    runtime._disk.put(cupy_runtime._key(SCALE, "sm_90"), b"no code at all")
    fake.bad_images.add(b"no code at all")
    runtime.load(SCALE, ["SCALE"], 0)
    assert runtime.counters == {"compiled": 1, "disk": 0}


@needs_nvrtc
def test_a_device_newer_than_the_compiler_gets_ptx(runtime: CupyRuntime, fake: FakeCuda) -> None:
    fake.arch = (99, 0)
    runtime.load(SCALE, ["SCALE"], 0)
    newest = max(nvrtc.supported_archs())
    assert f".target sm_{newest}".encode() in fake.images[0]
    fake.arch = (1, 0)
    with pytest.raises(CudaError, match="the device is sm_10"):
        runtime.load(SCALE, ["SCALE"], 1)


@needs_nvrtc
def test_code_that_the_driver_refuses(runtime: CupyRuntime, fake: FakeCuda) -> None:
    fake.bad_images.add(nvrtc.compile_cubin(SCALE, "sm_90", OPTIONS).image)
    with pytest.raises(CudaError, match=r"INVALID_IMAGE") as caught:
        runtime.load(SCALE, ["SCALE"], 0)
    major, minor = nvrtc.version()
    assert f"compiled by NVRTC {major}.{minor}; the driver serves CUDA 13.0" in str(caught.value)
    assert runtime.counters["compiled"] == 0


@needs_nvrtc
def test_a_kernel_that_the_source_lacks(runtime: CupyRuntime) -> None:
    with pytest.raises(CudaError, match="NOT_FOUND: OTHER"):
        runtime.load(SCALE, ["SCALE", "OTHER"], 0)


# ---- graphs -------------------------------------------------------------------------------------


def test_capture(runtime: CupyRuntime, fake: FakeCuda, scale: Any) -> None:
    block = runtime.empty((16,), np.uint8, 0)
    fake.calls.clear()

    def run() -> None:
        runtime.launch(scale, 1, 32, 0, packed(1, 1, 1), 0)
        runtime.copy(runtime.address(block), runtime.address(block) + 8, 8, 0)
        with runtime.on_device(0):
            fake.call("function of the namespace", fake.stream())
        # Only this thread's work is recorded.
        other = threading.Thread(target=lambda: runtime.launch(scale, 2, 32, 0, packed(2, 2, 2), 0))
        other.start()
        other.join()

    graph = runtime.capture(run, 0)
    stream = fake.named("begin_capture")[0][1]
    assert stream != 0
    first, second = fake.named("launchKernel")
    assert (first[2], first[9]) == (1, stream)
    assert (second[2], second[9]) == (2, 0)
    assert fake.named("memcpyAsync")[0][5] == stream
    assert ("function of the namespace", stream) in fake.calls
    assert fake.calls[-1] == ("end_capture", stream)
    assert not fake.named("graph", "streamSynchronize")
    graph.launch()
    graph.launch()
    assert fake.named("graph") == [("graph", 0, 0)] * 2
    runtime.launch(scale, 1, 32, 0, packed(1, 1, 1), 0)
    assert fake.named("launchKernel")[-1][9] == 0


def test_what_is_recorded_ignores_the_default_stream(
    runtime: CupyRuntime, fake: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    stream = fake.cupy.cuda.Stream

    def make(**how: Any) -> Any:
        made.append(how)
        return stream(**how)

    make.null = stream.null  # type: ignore[attr-defined]
    monkeypatch.setattr(fake.cupy.cuda, "Stream", make)
    for device in (0, 1, 0):
        runtime.capture(lambda: None, device).launch()
    assert made == [{"non_blocking": True}] * 2  # one a device
    assert [c[2] for c in fake.named("begin_capture")] == [0, 1, 0]
    assert fake.named("graph") == [("graph", 0, 0), ("graph", 0, 1), ("graph", 0, 0)]


def test_a_capture_that_fails_is_ended(runtime: CupyRuntime, fake: FakeCuda, scale: Any) -> None:
    def run() -> None:
        raise ValueError("of the caller")

    with pytest.raises(ValueError, match="of the caller"):
        runtime.capture(run, 0)
    assert [c[0] for c in fake.calls][-2:] == ["begin_capture", "end_capture"]
    runtime.launch(scale, 1, 32, 0, packed(1, 1, 1), 0)
    assert fake.named("launchKernel")[0][9] == 0


# ---- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [CUDADriverError, CUDARuntimeError])
def test_a_launch_that_is_refused(
    runtime: CupyRuntime, fake: FakeCuda, scale: Any, kind: type[CUDARuntimeError]
) -> None:
    fake.launch_error = kind(1, "CUDA_ERROR_INVALID_VALUE: invalid argument")
    with pytest.raises(CudaError) as caught:
        runtime.launch(scale, 5, 2048, 16, packed(1, 1, 1), 0)
    message = str(caught.value)
    assert "refuses to launch SCALE (5 blocks of 2048 threads, 16 bytes" in message
    assert "INVALID_VALUE" in message
    assert "lost" not in message
    assert caught.value.__cause__ is fake.launch_error


ILLEGAL = CUDARuntimeError(700, "cudaErrorIllegalAddress: an illegal memory access")
WAITS: dict[str, Callable[[CupyRuntime, Any], object]] = {
    "synchronize": lambda r, b: r.synchronize(0),
    "peek": lambda r, b: r.peek(r.address(b), np.dtype(np.float32), 0),
    "download": lambda r, b: r.download(b),
    "upload": lambda r, b: r.upload(np.zeros(1 << 23), 0),
    "release_memory": lambda r, b: r.release_memory(),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_a_failure_names_what_ran_last(
    runtime: CupyRuntime, fake: FakeCuda, scale: Any, wait: Callable[[CupyRuntime, Any], object]
) -> None:
    buffer = runtime.upload(np.zeros(3, np.float32), 0)
    for label in ("solve", "solve", "", "step", "solve", "norm"):
        runtime.label = label
        runtime.launch(scale, 1, 32, 0, packed(1, 1, 1), 0)
    fake.broken = ILLEGAL
    with pytest.raises(CudaError) as caught:
        wait(runtime, buffer)
    message = str(caught.value)
    assert "cudaErrorIllegalAddress" in message
    assert "the latest first: norm, solve, step, SCALE." in message
    assert "results that are still on the device are lost" in message
    assert caught.value.__cause__ is ILLEGAL


def test_a_failure_names_a_few(runtime: CupyRuntime, fake: FakeCuda, scale: Any) -> None:
    for n in range(20):
        runtime.label = f"f{n}"
        runtime.launch(scale, 1, 32, 0, packed(1, 1, 1), 0)
    fake.broken = ILLEGAL
    with pytest.raises(CudaError, match=r"first: f19, f18, f17, f16, f15, f14, f13, f12\."):
        runtime.synchronize(0)


@pytest.mark.parametrize("wait", ["synchronize", "peek"])
def test_what_was_waited_for_is_not_blamed(
    runtime: CupyRuntime, fake: FakeCuda, scale: Any, wait: str
) -> None:
    buffer = runtime.upload(np.zeros(3, np.float32), 0)
    runtime.label = "before"
    runtime.launch(scale, 1, 32, 0, packed(1, 1, 1), 0)
    WAITS[wait](runtime, buffer)
    runtime.label = "after"
    graph = runtime.capture(lambda: None, 0)
    graph.launch()
    fake.broken = ILLEGAL
    with pytest.raises(CudaError, match=r"first: after\."):
        runtime.synchronize(0)


def test_an_error_of_someone_else_passes(runtime: CupyRuntime, fake: FakeCuda, scale: Any) -> None:
    fake.launch_error = OverflowError("not CUDA's")
    with pytest.raises(OverflowError):
        runtime.launch(scale, 1, 32, 0, packed(1, 1, 1), 0)


# ---- foreign arrays -----------------------------------------------------------------------------

STRIDED = np.arange(24.0).reshape(4, 6)[::2, ::2]


def test_an_array_of_cupy_is_a_buffer(runtime: CupyRuntime, fake: FakeCuda) -> None:
    for host in (np.arange(6.0).reshape(2, 3), np.array(5.0)):
        x = fake.array(host, 1)
        assert runtime.adopt(x) is x
    assert not fake.named("eventRecord", "streamWaitEvent")


def test_a_strided_array_of_cupy_is_copied(runtime: CupyRuntime, fake: FakeCuda) -> None:
    buffer = runtime.adopt(fake.array(STRIDED, 1))
    assert buffer is not None
    np.testing.assert_array_equal(buffer.get(), STRIDED)
    assert fake.named("ascontiguousarray") == [("ascontiguousarray", 0, 1)]
    assert runtime.device_of(buffer) == 1


def test_an_array_on_another_stream_is_waited_for(runtime: CupyRuntime, fake: FakeCuda) -> None:
    x = fake.array(np.arange(6.0).reshape(2, 3))
    with fake.cupy.cuda.Stream(non_blocking=True) as _:
        theirs = fake.stream()
        buffer = runtime.adopt(x)
    assert buffer is not None
    assert runtime.address(buffer) == x.data.ptr
    assert buffer.shape == (2, 3)
    (record,) = fake.named("eventRecord")
    assert record[2] == theirs
    assert fake.named("streamWaitEvent") == [("streamWaitEvent", 0, record[1])]


def test_a_loan_is_given_back_when_the_work_is_done(runtime: CupyRuntime, fake: FakeCuda) -> None:
    x = fake.array(np.arange(6.0))
    with fake.cupy.cuda.Stream(non_blocking=True):
        theirs = fake.stream()
        buffer = runtime.adopt(x)
    fake.calls.clear()
    fake.busy = True
    del buffer
    gc.collect()
    # Their stream waits for ours, and until ours is done x is kept.
    (record,) = fake.named("eventRecord")
    assert record[2] == 0
    assert fake.named("streamWaitEvent") == [("streamWaitEvent", theirs, record[1])]
    assert [held is x for _, held in runtime._loans._held] == [True]
    fake.busy = False
    runtime.synchronize(0)
    assert not runtime._loans._held


class Interface:
    """An array that speaks CUDA's array interface alone."""

    def __init__(self, x: Any, **how: Any) -> None:
        self.x = x
        self.__cuda_array_interface__ = {
            "shape": x.shape,
            "typestr": x.dtype.str,
            "data": (x.data.ptr if x.nbytes else 0, False),
            "strides": None if x.flags.c_contiguous else x.host.strides,
            "version": 3,
            **how,
        }


def lend(fake: FakeCuda, x: Any, kind: int = 2) -> Any:
    fake.foreign[x.data.ptr] = SimpleNamespace(type=kind, device=x.data.device_id)
    return x


@pytest.mark.parametrize(("stream", "waits"), [(None, 0), (1, 0), (2, 1), (77, 1)])
def test_the_array_interface(
    runtime: CupyRuntime, fake: FakeCuda, stream: int | None, waits: int
) -> None:
    x = lend(fake, fake.array(np.arange(6, dtype=np.int32).reshape(2, 3), 1))
    foreign = Interface(x, stream=stream)
    buffer = runtime.adopt(foreign)
    assert buffer is not None
    assert runtime.address(buffer) == x.data.ptr
    assert runtime.device_of(buffer) == 1
    assert buffer.dtype == np.int32
    np.testing.assert_array_equal(buffer.get(), x.host)
    assert [c[2] for c in fake.named("eventRecord")] == [stream] * waits
    assert [c[1] for c in fake.named("streamWaitEvent")] == [0] * waits
    fake.busy = True
    del buffer
    gc.collect()
    assert runtime._loans._held[-1][1] is foreign


def test_a_strided_array_of_the_interface_is_copied(runtime: CupyRuntime, fake: FakeCuda) -> None:
    buffer = runtime.adopt(Interface(lend(fake, fake.array(STRIDED)), stream=77))
    assert buffer is not None
    np.testing.assert_array_equal(buffer.get(), STRIDED)
    assert buffer.flags.c_contiguous  # type: ignore[attr-defined]
    # The lender gets it back at once: our stream waited, copies, and theirs waits for the copy.
    assert [c[0] for c in fake.named("eventRecord", "streamWaitEvent", "ascontiguousarray")] == [
        "eventRecord", "streamWaitEvent", "ascontiguousarray", "eventRecord", "streamWaitEvent",
    ]  # fmt: skip


def test_an_empty_array_of_the_interface(runtime: CupyRuntime, fake: FakeCuda) -> None:
    buffer = runtime.adopt(Interface(fake.array(np.zeros((0, 3), np.float32))))
    assert buffer is not None
    assert buffer.shape == (0, 3)


def test_what_the_interface_may_not_be(runtime: CupyRuntime, fake: FakeCuda) -> None:
    x = lend(fake, fake.array(np.arange(3.0)))
    with pytest.raises(ValueError, match="mask"):
        runtime.adopt(Interface(x, mask=x))
    pinned = lend(fake, fake.array(np.arange(3.0)), kind=1)
    assert runtime.adopt(Interface(pinned)) is None


class Tensor:
    """An array that speaks DLPack."""

    def __init__(self, x: Any, kind: int = 2, error: Exception | None = None) -> None:
        self.x, self.kind, self.error = x, kind, error

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self.kind, self.x.data.device_id)

    def to_cupy(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.x


@pytest.mark.parametrize("kind", [2, 13])
def test_dlpack(runtime: CupyRuntime, fake: FakeCuda, kind: int) -> None:
    x = fake.array(np.arange(6.0).reshape(2, 3), 1)
    with fake.cupy.cuda.Device(1), fake.cupy.cuda.Stream():
        theirs = fake.stream()
        buffer = runtime.adopt(Tensor(x, kind))
    assert buffer is not None
    assert runtime.address(buffer) == x.data.ptr
    # CuPy gives the lender the stream that is current: ours.
    assert fake.named("from_dlpack") == [("from_dlpack", 0, 1)]
    assert fake.named("eventRecord")[0][2] == theirs
    assert fake.named("streamWaitEvent")[0][1] == 0
    fake.busy = True
    del buffer
    gc.collect()
    assert runtime._loans._held[-1][1] is x


def test_dlpack_strided(runtime: CupyRuntime, fake: FakeCuda) -> None:
    buffer = runtime.adopt(Tensor(fake.array(STRIDED)))
    assert buffer is not None
    np.testing.assert_array_equal(buffer.get(), STRIDED)
    assert fake.named("ascontiguousarray") == [("ascontiguousarray", 0, 0)]


def test_where_dlpack_does_not_do_the_interface_may(runtime: CupyRuntime, fake: FakeCuda) -> None:
    x = lend(fake, fake.array(np.arange(6.0)))
    refused = BufferError("a dtype that DLPack lacks")
    with pytest.raises(BufferError):
        runtime.adopt(Tensor(x, error=refused))
    both = Tensor(x, error=refused)
    both.__cuda_array_interface__ = Interface(x).__cuda_array_interface__  # type: ignore[attr-defined]
    buffer = runtime.adopt(both)
    assert buffer is not None
    assert runtime.address(buffer) == x.data.ptr


def test_what_is_on_no_device_is_not_adopted(runtime: CupyRuntime, fake: FakeCuda) -> None:
    x = fake.array(np.arange(3.0))
    for foreign in (np.arange(3.0), [1.0, 2.0], 5, None, "text", Tensor(x, 1), Tensor(x, 10)):
        assert runtime.adopt(foreign) is None


# ---- a real CuPy, without a driver --------------------------------------------------------------

SIGNATURES = {
    "driver.launchKernel": 11,
    "driver.launchCooperativeKernel": 10,
    "driver.funcSetAttribute": 3,
    "driver.funcGetAttribute": 2,
    "driver.occupancyMaxActiveBlocksPerMultiprocessor": 3,
    "runtime.memcpyAsync": 5,
    "runtime.streamSynchronize": 1,
    "runtime.eventRecord": 2,
    "runtime.streamWaitEvent": 3,  # the last one is optional
    "runtime.pointerGetAttributes": 1,
    "runtime.getDeviceProperties": 1,
    "runtime.getDevice": 0,
    "runtime.memGetInfo": 0,
    "runtime.getDeviceCount": 0,
    "runtime.driverGetVersion": 0,
}
NAMES = (
    "driver.CUDADriverError", "runtime.CUDARuntimeError", "runtime.memcpyHostToDevice",
    "runtime.memcpyDeviceToHost", "runtime.memcpyDeviceToDevice", "runtime.is_hip",
    "Device.__enter__", "Stream.null.ptr", "Stream.wait_event", "Stream.begin_capture",
    "Stream.end_capture", "Event.record", "Event.done", "Graph.launch", "MemoryPointer",
    "UnownedMemory", "alloc", "alloc_pinned_memory", "get_current_stream", "function.Module.load",
    "function.Module.get_function", "memory.OutOfMemoryError",
)  # fmt: skip


def attribute(x: Any, path: str) -> Any:
    for name in path.split("."):
        x = getattr(x, name)
    return x


def test_a_real_cupy_has_the_names_we_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cupy = pytest.importorskip("cupy")
    for name in NAMES:
        assert attribute(cupy.cuda, name) is not None, name
    for name, count in SIGNATURES.items():
        # Functions of Cython say in their docstrings what they take.
        first = attribute(cupy.cuda, name).__doc__.strip().splitlines()[0]
        inner = first[first.index("(") + 1 : first.rindex(")")]
        assert len([a for a in inner.split(",") if a.strip()]) == count, first
    assert cupy.cuda.runtime.memcpyHostToDevice == 1
    assert cupy.cuda.Stream.null.ptr == 0
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    for name in ("ascontiguousarray", "from_dlpack", "get_default_memory_pool"):
        assert callable(getattr(cupy, name))
    pool = cupy.cuda.MemoryPool
    for name in ("free_all_blocks", "used_bytes", "total_bytes", "get_limit"):
        assert callable(getattr(pool, name))
