"""What the simulator finds: kernels with one mistake each, and right ones that look like mistakes.

Every kernel gets the same arguments; all are compiled at once.
"""

from __future__ import annotations

import ctypes
import re
import struct
from typing import Any, NamedTuple

import numpy as np
import pytest

from tracejit_cuda.simulator import SimulatorError, SimulatorRuntime, build

pytestmark = pytest.mark.skipif(bool(build.missing()), reason="no C++ compiler")


class Case(NamedTuple):
    """A kernel's body, how it is launched, and what must be said of it."""

    name: str
    body: str
    kind: str = ""
    says: str = ""
    blocks: int = 1
    threads: int = 32
    shared: int = 0
    cooperative: bool = False


N = 1024
HEADER = """
struct Arguments { float* o; const float* x; int* i; unsigned* u; int n, big; };
struct alignas(16) quad { float v[4]; };
#define t ((int)threadIdx.x)
#define b ((int)blockIdx.x)
__device__ __forceinline__ void grid_barrier(unsigned* state, int nb) {
  __syncthreads();
  if (nb > 1 && threadIdx.x == 0) {
    volatile unsigned* const number = state + 1;
    const unsigned mine = *number;
    __threadfence();
    if (atomicAdd(state, 1u) == (unsigned)nb - 1u) {
      *(volatile unsigned*)state = 0u;
      __threadfence();
      *number = mine + 1u;
    } else {
      while (*number == mine) __nanosleep(20);
    }
    __threadfence();
  }
  __syncthreads();
}
"""

BARRIER_WAITS = "      while (*number == mine) __nanosleep(20);"

WRONG_IN_BOTH = [
    Case(
        "barrier_in_a_branch",
        "if (t < 10) __syncthreads(); a.o[t] = 1;",
        "divergence",
        "10 of 32 threads wait at a barrier, and 22 have returned",
    ),
    Case(
        "return_before_barrier",
        "if (t >= 20) return; __syncthreads(); a.o[t] = 1;",
        "divergence",
        "20 of 32 threads",
    ),
    Case(
        "two_barriers",
        "if (t < 10) {__syncthreads();}\n else {__syncthreads();}\n a.o[t] = 1;",
        "divergence",
        "different barriers",
    ),
    Case(
        "shuffle_without_all",
        "float v = t; if (t < 20) v += __shfl_down_sync(~0u, v, 1);\n"
        "else __syncthreads(); a.o[t] = v;",
        "divergence",
        "__shfl_down_sync with mask 0xffffffff",
    ),
    Case(
        "lane_not_in_mask",
        "a.o[t] = __shfl_sync(0xffffu, 1.f, 0);",
        "warp mask",
        "mask 0xffff, which leaves it out",
    ),
    Case(
        "beyond_the_end",
        "a.o[b * 256 + t] = 1;",
        "illegal address",
        "0 bytes after the end of a buffer of 4096",
        blocks=5,
        threads=256,
    ),
    Case(
        "before_the_start",
        "a.o[t] = a.x[t - 5000];",
        "illegal address",
        "bytes before a buffer of 4096",
    ),
    Case("null_pointer", "float* p = (float*)(long long)a.n; p[t - a.n] = 1;", "illegal address"),
    Case(
        "beyond_shared", "CUDA_DYN_SHARED(float, s); s[t + 1024] = 1;", "illegal address", shared=64
    ),
    Case("division_by_zero", "a.i[0] = 5 / (a.n - 1024);", "division"),
    Case("trapped", "if (t == 3) __trap();", "trap", "__trap"),
    Case("asserted", "assert(t < 7);", "trap", "assert(t < 7)"),
    Case(
        "waits_for_a_later_block",
        "if (b == 0) while (*(volatile unsigned*)a.u == 0) __nanosleep(5); atomicAdd(a.u, 1u);",
        "deadlock",
        "blocks of a launch that is not cooperative run one after another",
        blocks=2,
        threads=1,
    ),
    Case(
        "waits_for_nobody",
        "while (*(volatile unsigned*)a.u < 7) __nanosleep(5);",
        "deadlock",
        "__nanosleep",
        blocks=2,
        cooperative=True,
    ),
    Case(
        "grid_barrier_without_a_block",
        "if (b) grid_barrier(a.u, (int)gridDim.x);",
        "deadlock",
        blocks=3,
        cooperative=True,
    ),
    Case(
        "too_deep",
        "volatile char frame[200000]; for (int k = 199999; k >= 0; k -= 512) frame[k] = 1;",
        "stack overflow",
    ),
]

WRONG_WHEN_CHECKED = [
    Case(
        "no_barrier",
        "__shared__ float s[32]; s[t] = 0; __syncthreads(); s[t] = a.x[t]; a.o[t] = s[31 - t];",
        "race",
    ),
    Case(
        "read_and_written_again",
        "__shared__ float s[64]; for (int r = 0; r < 2; r++)"
        " { s[t] = a.x[t] + r; __syncthreads(); a.o[t] += s[63 - t]; }",
        "race",
        "shared memory",
        threads=64,
    ),
    Case(
        "warp_without_syncwarp",
        "__shared__ float s[32]; s[t] = 0; __syncthreads(); s[t] = t; a.o[t] = s[t ^ 1];",
        "race",
    ),
    Case(
        "shuffle_orders_nothing",
        "__shared__ float s[32]; s[t] = 0; __syncthreads(); s[t] = t; __shfl_sync(~0u, 0, 0);"
        " a.o[t] = s[t ^ 1];",
        "race",
    ),
    Case(
        "half_a_syncwarp",
        "__shared__ float s[32]; s[t] = 0; __syncthreads(); s[t] = t;"
        " if (t < 16) __syncwarp(0xffff); a.o[t] = s[t ^ 16];",
        "race",
    ),
    Case("in_place_shift", "if (t < 31) a.o[t] = a.o[t + 1] + 1;", "race", "a buffer"),
    Case("two_blocks_one_element", "a.o[0] = b;", "race", "write after write", blocks=4, threads=1),
    Case("sum_without_atomics", "a.o[t & 3] += 1;", "race"),
    Case("atomic_and_plain", "atomicAdd(&a.o[0], 1.f); a.o[1 + t] = a.o[0];", "race"),
    Case("bytes", "char* p = (char*)a.o; p[t / 2] = (char)t;", "race"),
    Case(
        "no_fence_before_the_ticket",
        "__shared__ bool last; if (t == 0) { a.o[b] = b;"
        " last = atomicAdd(a.u, 1u) == gridDim.x - 1; } __syncthreads();"
        " if (last && t == 0) { float s = 0; for (int k = 0; k < (int)gridDim.x; k++) s += a.o[k];"
        " a.o[100] = s; }",
        "race",
        blocks=4,
    ),
    Case(
        "no_grid_barrier",
        "a.o[b * 32 + t] = t; __threadfence(); __syncthreads();"
        " a.i[b * 32 + t] = (int)a.o[((b + 1) % 4) * 32 + t];",
        "race",
        blocks=4,
        cooperative=True,
    ),
    Case(
        "written_too_early",
        "a.o[b * 32 + t] = t; grid_barrier(a.u, 4);"
        " a.i[b * 32 + t] = (int)a.o[((b + 1) % 4) * 32 + t]; a.o[b * 32 + t] = 0;",
        "race",
        "write after read|read after write",
        blocks=4,
        cooperative=True,
    ),
    Case(
        "uninitialised",
        "__shared__ float s[64]; if (t < 32) s[t] = 1; __syncthreads(); a.o[t] = s[t];",
        "uninitialised",
        threads=64,
    ),
    Case(
        "uninitialised_dynamic",
        "CUDA_DYN_SHARED(float, s); s[t] = 1; __syncthreads(); a.o[t] = s[t + 32];",
        "uninitialised",
        shared=256,
    ),
    Case("shared_bounds", "__shared__ float s[32]; s[t + 1] = 1; a.o[t] = 1;", "array bounds"),
    Case("local_bounds", "float v[4] = {0, 1, 2, 3}; a.o[t] = v[t % 8];", "array bounds"),
    Case("just_beyond", "if (t == 0) a.o[a.n + 1] = 1;", "illegal address", "outside every buffer"),
    Case("just_before", "if (t == 0) a.o[-1] = 1;", "illegal address", "outside every buffer"),
    Case("misaligned_vector", "((quad*)(a.o + 1))[t].v[0] = 1;", "misaligned access"),
    Case("misaligned_atomic", "atomicAdd((unsigned*)((char*)a.u + 2), 1u);", "misaligned access"),
    Case(
        "index_overflow",
        "int k = (t + 2) * a.big; if (k < 0) k = 0; a.o[k & 7] = 1;",
        "integer overflow",
    ),
    Case("shift_too_far", "a.i[t] = 1 << (t + 1);", "shift"),
]

# What a lane that has returned would give is no error, but no number either.
RIGHT = [
    Case(
        "transposed",
        "__shared__ float s[256]; s[t] = a.x[t]; __syncthreads(); a.o[t] = s[255 - t];",
        threads=256,
    ),
    Case(
        "dynamic",
        "CUDA_DYN_SHARED(float, s); s[t] = a.x[t]; __syncthreads(); a.o[t] = s[255 - t];",
        threads=256,
        shared=1024,
    ),
    Case(
        "by_warps",
        "__shared__ float s[64]; for (int r = 0; r < 3; r++) { s[t] = t; __syncwarp();"
        " a.o[t] = s[t ^ 1]; __syncwarp(); }",
        threads=64,
    ),
    Case(
        "by_half_warps",
        "__shared__ float s[32]; const unsigned half = t < 16 ? 0xffffu : 0xffff0000u;"
        " for (int r = 0; r < 3; r++) { s[t] = t; __syncwarp(half); a.o[t] = s[t ^ 15];"
        " __syncwarp(half); }",
    ),
    Case("in_place", "a.o[t] = a.o[t] + 1;"),
    Case("own_bytes", "char* p = (char*)a.o; p[b * 32 + t] = (char)t;", blocks=4),
    Case("atomics", "atomicAdd(&a.o[t & 3], 1.f); atomicMax(&a.i[0], t);", blocks=4),
    Case(
        "shared_atomics",
        "__shared__ int s[4]; if (t < 4) s[t] = 0; __syncthreads(); atomicAdd(&s[t & 3], 1);"
        " __syncthreads(); a.i[b * 4 + t] = s[t];",
        threads=4,
        blocks=2,
    ),
    Case(
        "last_arriver",
        "__shared__ bool last; if (t == 0) { a.o[b] = b; __threadfence();"
        " last = atomicAdd(a.u, 1u) == gridDim.x - 1; } __syncthreads();"
        " if (last) { if (t < (int)gridDim.x) a.o[100 + t] = a.o[t]; if (t == 0) *a.u = 0; }",
        blocks=4,
    ),
    Case(
        "all_fence_then_one_counts",
        "__shared__ bool last; a.o[b * 32 + t] = b; __threadfence(); __syncthreads();"
        " if (t == 0) last = atomicAdd(a.u, 1u) == gridDim.x - 1; __syncthreads();"
        " if (last) { __threadfence();"
        " for (int k = 0; k < 4; k++) a.i[t] += (int)a.o[k * 32 + t]; }",
        blocks=4,
    ),
    Case(
        "warps_take_tickets",
        "__shared__ int s[64]; __shared__ int count; if (t == 0) count = 0; __syncthreads();"
        " s[t] = t; __syncwarp(); int mine = 0;"
        " if (t % 32 == 0) { __threadfence_block(); mine = atomicAdd(&count, 1); }"
        " mine = __shfl_sync(~0u, mine, 0); __syncwarp();"
        " if (mine == 1) a.i[t % 32] = s[(t + 32) % 64] % 32;",
        threads=64,
    ),
    Case(
        "grid_barriers",
        "float* p = a.o; float* q = a.o + 128; for (int r = 0; r < 5; r++) {"
        " q[b * 32 + t] = p[(b * 32 + t + 1) % 128] + 1; grid_barrier(a.u, 4);"
        " float* s = p; p = q; q = s; }",
        blocks=4,
        cooperative=True,
    ),
    Case(
        "shared_of_each_block",
        "__shared__ int s[32]; s[t] = b * 100 + t; grid_barrier(a.u, (int)gridDim.x);"
        " a.i[b * 32 + t] = s[31 - t];",
        blocks=8,
        cooperative=True,
    ),
    Case(
        "look_back",
        "if (t == 0) { const int mine = (int)atomicAdd(a.u, 1u); volatile unsigned* flag = a.u + 4;"
        " if (mine) while (flag[mine - 1] == 0) __nanosleep(5); __threadfence();"
        " a.i[mine] = mine ? a.i[mine - 1] + mine : 0; __threadfence(); flag[mine] = 1; }",
        blocks=6,
    ),
    Case(
        "a_lock",
        "for (bool done = false; !done;) if (atomicCAS(a.u, 0u, 1u) == 0u) {"
        " __threadfence(); a.i[0] += 1; __threadfence(); atomicExch(a.u, 0u); done = true; }",
        blocks=2,
        cooperative=True,
    ),
    Case("unsigned_wraps", "a.u[t] = (unsigned)a.big * 3u * (unsigned)(t + 1);"),
    Case("reads_of_one", "a.o[b * 32 + t] = a.x[5] + a.x[t];", blocks=4),
]

CASES = {case.name: case for case in (*WRONG_IN_BOTH, *WRONG_WHEN_CHECKED, *RIGHT)}
SOURCE = HEADER + "".join(
    f'extern "C" __global__ void {case.name}(const Arguments a) {{\n{case.body}\n}}\n'
    for case in CASES.values()
)


class Simulated:
    """The kernels, loaded."""

    def __init__(self, **how: Any) -> None:
        self.runtime = SimulatorRuntime(**how)
        self.functions = self.runtime.load(SOURCE, list(CASES), 0)

    def __call__(self, name: str) -> list[np.ndarray[Any, Any]]:
        runtime, case = self.runtime, CASES[name]
        x = np.arange(N, dtype=np.float32)
        arrays = [np.zeros_like(x), x, np.zeros(N, np.int32), np.zeros(64, np.uint32)]
        buffers = [runtime.upload(array, 0) for array in arrays]
        packed = struct.pack("4Q2i", *map(runtime.address, buffers), N, 2_000_000_000)
        arguments = (ctypes.c_char * len(packed)).from_buffer_copy(packed)
        function = self.functions[name]
        runtime.launch(
            function, case.blocks, case.threads, case.shared, arguments, 0, case.cooperative
        )
        return [buffer.get() for buffer in buffers]


@pytest.fixture(scope="module")
def plain() -> Simulated:
    return Simulated()


@pytest.fixture(scope="module")
def reverse() -> Simulated:
    return Simulated(order="reverse")


@pytest.fixture(scope="module")
def checked() -> Simulated:
    return Simulated(checked=True)


@pytest.fixture(scope="module")
def checked_reverse() -> Simulated:
    return Simulated(checked=True, order="reverse")


def _expect(run: Simulated, name: str) -> None:
    case = CASES[name]
    with pytest.raises(SimulatorError) as caught:
        run(name)
    error = caught.value
    assert re.fullmatch(case.kind, error.kind), str(error)
    assert re.search(re.escape(case.says) if "(" in case.says else case.says, str(error))
    assert error.kernel == name
    if error.line is not None:
        line = SOURCE.splitlines()[error.line - 1]
        assert line in (*case.body.splitlines(), BARRIER_WAITS) or f" {name}(" in line
        assert str(error).endswith(line.strip())
    assert name in str(error)


@pytest.mark.parametrize("name", [case.name for case in WRONG_IN_BOTH])
@pytest.mark.parametrize("mode", ["plain", "checked"])
def test_mistakes_that_always_show(name: str, mode: str, request: pytest.FixtureRequest) -> None:
    _expect(request.getfixturevalue(mode), name)


@pytest.mark.parametrize("name", [case.name for case in WRONG_WHEN_CHECKED])
@pytest.mark.parametrize("mode", ["checked", "checked_reverse"])
def test_mistakes_that_checks_find(name: str, mode: str, request: pytest.FixtureRequest) -> None:
    _expect(request.getfixturevalue(mode), name)


@pytest.mark.parametrize("name", [case.name for case in RIGHT])
def test_right_kernels_pass_in_every_order(
    name: str,
    plain: Simulated,
    reverse: Simulated,
    checked: Simulated,
    checked_reverse: Simulated,
) -> None:
    expected = plain(name)
    for other in (reverse, checked, checked_reverse):
        for x, y in zip(expected, other(name), strict=True):
            np.testing.assert_array_equal(x, y)
