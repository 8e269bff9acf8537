"""The runtime over CuPy on a GPU: what a fake cannot show."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tracejit_cuda import probe
from tracejit_cuda.cupy_runtime import STAGED, CupyRuntime

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not probe.status().ok, reason=probe.status().reason),
]

bfloat16 = np.dtype(ml_dtypes.bfloat16)

SOURCE = """
struct SCALE_args { float* x; float factor; int n; };
extern "C" __global__ void __launch_bounds__(256) SCALE(const SCALE_args a) {
    int i = (int)blockIdx.x * 256 + (int)threadIdx.x;
    if (i < a.n) a.x[i] *= a.factor;
}

// y = x, but not before some time has passed.
struct LATER_args { const float* x; float* y; long long clocks; int n; };
extern "C" __global__ void __launch_bounds__(256) LATER(const LATER_args a) {
    long long start = clock64();
    while (clock64() - start < a.clocks) { }
    int i = (int)blockIdx.x * 256 + (int)threadIdx.x;
    if (i < a.n) a.y[i] = ((const volatile float*)a.x)[i];
}

// Reverses up to 25000 elements in shared memory.
struct REVERSE_args { float* x; int n; };
extern "C" __global__ void __launch_bounds__(256) REVERSE(const REVERSE_args a) {
    extern __shared__ float s[];
    for (int i = (int)threadIdx.x; i < a.n; i += 256) s[i] = a.x[i];
    __syncthreads();
    for (int i = (int)threadIdx.x; i < a.n; i += 256) a.x[i] = s[a.n - 1 - i];
}

// Every block writes a number, and after all have written adds up what they wrote.
struct TOTAL_args { unsigned int* arrived; int* numbers; int* totals; };
extern "C" __global__ void __launch_bounds__(128) TOTAL(const TOTAL_args a) {
    if (threadIdx.x == 0) {
        a.numbers[blockIdx.x] = (int)blockIdx.x + 1;
        __threadfence();
        atomicAdd(a.arrived, 1u);
        while (*(volatile unsigned int*)a.arrived < gridDim.x) { }
        __threadfence();
        int total = 0;
        for (int b = 0; b < (int)gridDim.x; b++) total += ((volatile int*)a.numbers)[b];
        a.totals[blockIdx.x] = total;
    }
}
"""


def struct(**fields: tuple[Any, Any]) -> Any:
    """Return the bytes of a struct of these types and values."""
    kind = type("S", (ctypes.Structure,), {"_fields_": [(n, t) for n, (t, _) in fields.items()]})
    return (ctypes.c_char * ctypes.sizeof(kind)).from_buffer_copy(
        bytes(kind(*(value for _, value in fields.values())))
    )


@pytest.fixture(scope="module")
def runtime() -> CupyRuntime:
    return CupyRuntime()


@pytest.fixture(scope="module")
def kernels(runtime: CupyRuntime) -> dict[str, Any]:
    return runtime.load(SOURCE, ["SCALE", "LATER", "REVERSE", "TOTAL"], 0)


class Work:
    """Kernels with their arguments."""

    def __init__(self, runtime: CupyRuntime, kernels: dict[str, Any]) -> None:
        self.runtime, self.kernels = runtime, kernels

    def scale(self, x: Any, factor: float) -> None:
        n = x.nbytes // 4
        at = (ctypes.c_uint64, self.runtime.address(x))
        arguments = struct(x=at, factor=(ctypes.c_float, factor), n=(ctypes.c_int, n))
        self.runtime.launch(self.kernels["SCALE"], -(-n // 256), 256, 0, arguments, 0)

    def later(self, x: Any, y: Any, clocks: int = 200_000_000) -> None:
        n = x.nbytes // 4
        arguments = struct(
            x=(ctypes.c_uint64, self.runtime.address(x)),
            y=(ctypes.c_uint64, self.runtime.address(y)),
            clocks=(ctypes.c_int64, clocks),
            n=(ctypes.c_int, n),
        )
        self.runtime.launch(self.kernels["LATER"], -(-n // 256), 256, 0, arguments, 0)


@pytest.fixture
def work(runtime: CupyRuntime, kernels: dict[str, Any]) -> Work:
    return Work(runtime, kernels)


def test_properties(runtime: CupyRuntime) -> None:
    found = runtime.properties(0)
    assert found.name
    assert re.fullmatch(r"sm_\d{2,3}", found.arch)
    assert found.multiprocessors > 0
    assert found.cache_bytes >= 1 << 20
    assert found.shared_bytes >= 48 << 10


@pytest.mark.parametrize(
    "host",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.array(3, np.int16),
        np.zeros((2, 0, 3)),
        np.array([True, False]),
        np.array([1 + 2j], np.complex128),
        np.arange(6).astype(bfloat16),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(STAGED // 4 + 5, dtype=np.int32),
    ],
    ids=lambda x: f"{x.dtype}{list(x.shape)}",
)
def test_upload_and_get(runtime: CupyRuntime, host: np.ndarray[Any, Any]) -> None:
    host = host.copy(order="K")
    wanted = host.copy()
    buffer = runtime.upload(host, 0)
    host[...] = 0
    np.testing.assert_array_equal(runtime.download(buffer), wanted)
    np.testing.assert_array_equal(buffer.get(), wanted)
    assert (buffer.shape, buffer.dtype) == (wanted.shape, wanted.dtype)
    assert runtime.device_of(buffer) == 0


def test_launch_copy_view_and_peek(runtime: CupyRuntime, work: Work) -> None:
    host = np.arange(100_001, dtype=np.float32)
    x = runtime.upload(host, 0)
    work.scale(x, 3.0)
    y = runtime.empty(x.shape, x.dtype, 0)
    runtime.copy(runtime.address(y), runtime.address(x), x.nbytes, 0)
    work.scale(x, 0.0)
    np.testing.assert_array_equal(y.get(), host * 3)
    assert runtime.peek(runtime.address(y) + 4 * 77, np.dtype(np.float32), 0) == 231.0
    part = runtime.view(runtime.address(y) + 40, (2, 3), np.float32, 0, y)
    np.testing.assert_array_equal(part.get(), (host * 3)[10:16].reshape(2, 3))
    assert runtime.peek(runtime.address(x), np.dtype(np.float32), 0) == 0.0


def test_much_shared_memory(runtime: CupyRuntime, kernels: dict[str, Any]) -> None:
    n = min(runtime.properties(0).shared_bytes // 4, 25_000)
    host = np.arange(n, dtype=np.float32)
    x = runtime.upload(host, 0)
    at = (ctypes.c_uint64, runtime.address(x))
    arguments = struct(x=at, n=(ctypes.c_int, n))
    runtime.launch(kernels["REVERSE"], 1, 256, 4 * n, arguments, 0)
    np.testing.assert_array_equal(x.get(), host[::-1])


def test_all_blocks_of_a_cooperative_launch_are_resident(
    runtime: CupyRuntime, kernels: dict[str, Any]
) -> None:
    kernel = kernels["TOTAL"]
    blocks = runtime.resident_blocks(kernel, 128, 0, 0)
    assert blocks >= runtime.properties(0).multiprocessors
    arrived = runtime.upload(np.zeros(1, np.uint32), 0)
    numbers = runtime.upload(np.zeros(blocks, np.int32), 0)
    totals = runtime.upload(np.zeros(blocks, np.int32), 0)
    places = {
        name: (ctypes.c_uint64, runtime.address(b))
        for name, b in (("arrived", arrived), ("numbers", numbers), ("totals", totals))
    }
    runtime.launch(kernel, blocks, 128, 0, struct(**places), 0, cooperative=True)
    np.testing.assert_array_equal(totals.get(), blocks * (blocks + 1) // 2)


def test_graph(runtime: CupyRuntime, work: Work) -> None:
    x = runtime.upload(np.ones(1000, np.float32), 0)
    y = runtime.upload(np.zeros(1000, np.float32), 0)

    def run() -> None:
        work.scale(x, 2.0)
        runtime.copy(runtime.address(y), runtime.address(x), x.nbytes, 0)

    graph = runtime.capture(run, 0)
    np.testing.assert_array_equal(x.get(), 1)  # recorded, not run
    for _ in range(5):
        graph.launch()
    work.scale(x, 0.5)
    np.testing.assert_array_equal(x.get(), 16)
    np.testing.assert_array_equal(y.get(), 32)


def test_a_library_in_a_graph(runtime: CupyRuntime) -> None:
    host = np.arange(64 * 64, dtype=np.float32).reshape(64, 64) / 4096
    a, out = runtime.upload(host, 0), runtime.upload(np.zeros_like(host), 0)
    kept = []

    def run() -> None:
        with runtime.on_device(0):
            product = runtime.namespace.matmul(a, a)
        kept.append(product)
        runtime.copy(runtime.address(out), runtime.address(product), out.nbytes, 0)

    run()  # so that the library is ready
    runtime.synchronize(0)
    graph = runtime.capture(run, 0)
    runtime.copy(runtime.address(out), runtime.address(a), out.nbytes, 0)
    graph.launch()
    np.testing.assert_allclose(out.get(), host @ host, rtol=1e-2)


def test_a_capture_that_fails_leaves_the_runtime_well(runtime: CupyRuntime, work: Work) -> None:
    x = runtime.upload(np.ones(10, np.float32), 0)

    def run() -> None:
        work.scale(x, 2.0)
        raise ValueError("of the caller")

    with pytest.raises(ValueError, match="of the caller"):
        runtime.capture(run, 0)
    work.scale(x, 3.0)
    np.testing.assert_array_equal(x.get(), 3)
    runtime.capture(lambda: work.scale(x, 2.0), 0).launch()
    np.testing.assert_array_equal(x.get(), 6)


def test_memory_is_recycled_in_order(runtime: CupyRuntime, work: Work) -> None:
    results = []
    for n in range(20):
        x = runtime.upload(np.full(100_000, n, np.float32), 0)
        y = runtime.empty(x.shape, x.dtype, 0)
        work.later(x, y, 1_000_000)
        del x  # the next upload may have its memory, but not before the kernel has read it
        results.append(y)
    for n, y in enumerate(results):
        np.testing.assert_array_equal(y.get(), n)


def test_functions_of_the_namespace_are_in_order(runtime: CupyRuntime, work: Work) -> None:
    x = runtime.upload(np.ones(1000, np.float32), 0)
    y = runtime.upload(np.zeros(1000, np.float32), 0)
    own = runtime.namespace.cuda.Stream(non_blocking=True)
    with own:  # a user's
        work.later(x, y)
        with runtime.on_device(0):
            z: Any = runtime.namespace.add(y, 1)
        work.scale(z, 10.0)
    np.testing.assert_array_equal(runtime.download(z), 20)


def test_threads(runtime: CupyRuntime, work: Work) -> None:
    buffers = [runtime.upload(np.ones(1000, np.float32), 0) for _ in range(4)]
    found: list[Any] = [None] * 4

    def run(n: int) -> None:
        for _ in range(100):
            work.scale(buffers[n], 2.0)
            work.scale(buffers[n], 0.5)
        work.scale(buffers[n], float(n))
        found[n] = runtime.download(buffers[n])

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for n in range(4):
        np.testing.assert_array_equal(found[n], n)


# ---- foreign arrays -----------------------------------------------------------------------------


class Dlpack:
    def __init__(self, x: Any) -> None:
        self.__dlpack__ = x.__dlpack__
        self.__dlpack_device__ = x.__dlpack_device__


class Interface:
    def __init__(self, x: Any) -> None:
        self.x = x
        self.__cuda_array_interface__ = x.__cuda_array_interface__


@pytest.mark.parametrize("wrap", [lambda x: x, Dlpack, Interface], ids=["cupy", "dlpack", "cai"])
def test_adopt(runtime: CupyRuntime, work: Work, wrap: Callable[[Any], Any]) -> None:
    cupy = runtime.namespace
    x = cupy.arange(24, dtype=cupy.float32).reshape(2, 3, 4)
    buffer = runtime.adopt(wrap(x))
    assert buffer is not None
    assert runtime.address(buffer) == x.data.ptr
    assert (buffer.shape, buffer.dtype) == ((2, 3, 4), np.float32)
    work.scale(buffer, 2.0)
    np.testing.assert_array_equal(x.get(), 2 * np.arange(24).reshape(2, 3, 4))
    strided = runtime.adopt(wrap(x[:, ::2, ::-1]))
    assert strided is not None
    np.testing.assert_array_equal(strided.get(), x.get()[:, ::2, ::-1])
    assert runtime.adopt(np.arange(3)) is None


@pytest.mark.parametrize("wrap", [lambda x: x, Dlpack, Interface], ids=["cupy", "dlpack", "cai"])
def test_work_of_a_lender_comes_first_and_what_it_does_next_comes_last(
    runtime: CupyRuntime, work: Work, wrap: Callable[[Any], Any]
) -> None:
    cupy = runtime.namespace
    slow = cupy.RawKernel(
        'extern "C" __global__ void slow(volatile float* x, long long clocks) {'
        " long long start = clock64();"
        " while (clock64() - start < clocks) { }"
        " x[threadIdx.x] = 7; }",
        "slow",
    )
    y = runtime.upload(np.zeros(32, np.float32), 0)
    own = cupy.cuda.Stream(non_blocking=True)
    with own:
        x = cupy.zeros(32, cupy.float32)
        slow((1,), (32,), (x, np.int64(200_000_000)))
        buffer = runtime.adopt(wrap(x))
        assert buffer is not None
        work.later(buffer, y)  # reads only after a while
        del buffer
        gc.collect()
        x[...] = 0
    np.testing.assert_array_equal(runtime.download(y), 7)
    own.synchronize()


def test_what_is_lent_is_kept_until_it_was_read(runtime: CupyRuntime, work: Work) -> None:
    cupy = runtime.namespace
    y = runtime.upload(np.zeros(1 << 16, np.float32), 0)
    own = cupy.cuda.Stream(non_blocking=True)
    with own:
        x = cupy.full(1 << 16, 5, cupy.float32)
        buffer = runtime.adopt(Dlpack(x))
        assert buffer is not None
        work.later(buffer, y)
        del x, buffer
        gc.collect()
        for _ in range(8):  # would have the memory of x if it were free
            cupy.zeros(1 << 16, cupy.float32)
    np.testing.assert_array_equal(runtime.download(y), 5)


# ---- errors -------------------------------------------------------------------------------------


def test_a_full_device(runtime: CupyRuntime) -> None:
    with pytest.raises(MemoryError, match=r"no room for 1,125,899,906,842,624 bytes: [\d,]+ of"):
        runtime.empty((1 << 50,), np.uint8, 0)
    assert runtime.upload(np.arange(3), 0).get().tolist() == [0, 1, 2]


def test_a_launch_that_is_refused_breaks_nothing(
    runtime: CupyRuntime, kernels: dict[str, Any]
) -> None:
    with pytest.raises(RuntimeError, match="refuses to launch SCALE"):
        runtime.launch(kernels["SCALE"], 1, 4096, 0, (ctypes.c_char * 16)(), 0)
    with pytest.raises(RuntimeError, match="refuses to launch REVERSE"):
        runtime.launch(kernels["REVERSE"], 1, 256, 1 << 20, (ctypes.c_char * 16)(), 0)
    runtime.synchronize(0)


def test_release_memory(runtime: CupyRuntime) -> None:
    pool = runtime.namespace.get_default_memory_pool()
    runtime.empty((64 << 20,), np.uint8, 0)
    assert pool.free_bytes() >= 64 << 20
    runtime.release_memory()
    assert pool.free_bytes() < 64 << 20


BROKEN = """
import ctypes
import numpy as np
from tracejit_cuda.cupy_runtime import CupyRuntime
runtime = CupyRuntime()
source = 'extern "C" __global__ void BAD(long long a) { *(volatile int*)8 = (int)a; }'
bad = runtime.load(source, ["BAD"], 0)
x = runtime.upload(np.zeros(3), 0)
runtime.synchronize(0)
runtime.label = "step"
runtime.launch(bad["BAD"], 1, 1, 0, (ctypes.c_int64 * 1)(5), 0)
for wait in (lambda: runtime.synchronize(0), lambda: runtime.download(x)):
    try:
        wait()
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_failure_of_a_kernel_names_its_label() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN], capture_output=True, text=True, timeout=120, check=False,
        env=dict(os.environ),
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert line.startswith("CudaError")
        assert "IllegalAddress" in line or "ILLEGAL_ADDRESS" in line
        assert "the latest first: step." in line


def test_code_is_kept_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACEJIT_CACHE_DIR", str(tmp_path))
    CupyRuntime().load(SOURCE, ["SCALE"], 0)
    second = CupyRuntime()
    kernel = second.load(SOURCE, ["SCALE"], 0)
    assert second.counters == {"compiled": 0, "disk": 1}
    x = second.upload(np.ones(10, np.float32), 0)
    Work(second, kernel).scale(x, 4.0)
    np.testing.assert_array_equal(x.get(), 4)


def test_two_devices(runtime: CupyRuntime) -> None:
    if runtime.device_count() < 2:
        pytest.skip("there is one device")
    kernel = runtime.load(SOURCE, ["SCALE"], 1)["SCALE"]
    x = runtime.upload(np.ones(10, np.float32), 1)
    at = (ctypes.c_uint64, runtime.address(x))
    arguments = struct(x=at, factor=(ctypes.c_float, 3.0), n=(ctypes.c_int, 10))
    runtime.launch(kernel, 1, 256, 0, arguments, 1)
    assert runtime.device_of(x) == 1
    np.testing.assert_array_equal(runtime.download(x), 3)
    assert runtime.peek(runtime.address(x), np.dtype(np.float32), 1) == 3.0
    assert runtime.namespace.cuda.runtime.getDevice() == 0
