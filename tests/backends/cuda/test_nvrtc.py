"""NVRTC: what compiles gives machine code and a report; what does not gives its lines."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracejit_cuda import nvrtc
from tracejit_cuda.runtime import CudaError

pytestmark = pytest.mark.skipif(bool(nvrtc.missing()), reason="NVRTC is not installed")

SCALE = """
struct SCALE_args { float* x; float factor; int n; };
extern "C" __global__ void __launch_bounds__(256) SCALE(const SCALE_args a) {
    int i = (int)blockIdx.x * 256 + (int)threadIdx.x;
    if (i < a.n) a.x[i] *= a.factor;
}
"""

HEAVY = """
__device__ __noinline__ float pick(float* x, int n) {
    float a[40];
    for (int i = 0; i < 40; i++) a[i] = x[i * n];
    return a[n];
}
extern "C" __global__ void HEAVY(float* x, int n) {
    __shared__ float s[100];
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = pick(s, n);
}
"""

VECTOR = """
extern "C" __global__ void COPY(float4* y, const float4* __restrict__ x) {
    int i = (int)blockIdx.x * 256 + (int)threadIdx.x;
    y[i] = x[i];
}
"""


def test_version_and_architectures() -> None:
    assert nvrtc.version() >= (12, 0)
    archs = nvrtc.supported_archs()
    assert list(archs) == sorted(archs)
    assert {80, 90} <= set(archs)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_a_cubin_is_an_elf_file_with_its_kernel(arch: str) -> None:
    image = nvrtc.compile_cubin(SCALE, arch).image
    assert image.startswith(b"\x7fELF")
    assert b".text.SCALE\0" in image


def test_ptx_is_text_that_shows_vectors() -> None:
    text = nvrtc.compile_ptx(VECTOR, "sm_90").image.decode()
    assert ".target sm_90" in text
    assert "ld.global.nc.v4" in text
    assert "st.global.v4" in text
    assert "\0" not in text
    assert nvrtc.compile_ptx(VECTOR, "compute_90").image.decode() == text


def test_options_reach_the_compiler() -> None:
    square = 'extern "C" __global__ void F(float* x) { x[0] = x[1] * x[2] + x[3]; }'
    assert b"fma.rn" in nvrtc.compile_ptx(square, "sm_90").image
    assert b"fma.rn" not in nvrtc.compile_ptx(square, "sm_90", ["--fmad=false"]).image
    fused = nvrtc.compile_cubin(square, "sm_90").image
    assert nvrtc.compile_cubin(square, "sm_90", ["--fmad=false"]).image != fused


def test_the_report_of_the_assembler() -> None:
    found = nvrtc.usage(nvrtc.compile_cubin(SCALE + HEAVY, "sm_90").log)
    light, heavy = found["SCALE"], found["HEAVY"]
    assert light.name == "SCALE"
    assert 4 <= light.registers <= 32
    assert light[2:] == (0, 0, 0, 0)
    assert heavy.stack_frame >= 160
    assert heavy.shared_bytes == 400
    # The function that is not inlined is there too, and is no kernel.
    assert {found[name].registers for name in found if "pick" in name} == {0}


def test_the_report_of_a_spill() -> None:
    source = """
    extern "C" __global__ void __launch_bounds__(1024) SPILL(double* x, int n) {
        double a[60];
        for (int i = 0; i < 60; i++) a[i] = x[i * n + threadIdx.x];
        for (int k = 0; k < n; k++)
            for (int i = 0; i < 60; i++) a[i] = a[i] * a[59 - i] + x[k];
        for (int i = 0; i < 60; i++) x[i * n + threadIdx.x] = a[i];
    }
    """
    found = nvrtc.usage(nvrtc.compile_cubin(source, "sm_90").log)["SPILL"]
    assert found.spill_stores > 0
    assert found.spill_loads > 0
    assert 0 < found.registers <= 64  # what 1024 threads leave a thread


def test_the_report_as_it_was_written() -> None:
    log = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'b' for 'sm_90'
ptxas info    : Function properties for b
ptxas         .     24 bytes stack frame, 16 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 24 bytes cumulative stack size, 4228 bytes smem
ptxas info    : Compile time = 5.270 ms
ptxas info    : Compiling entry function 'a' for 'sm_80'
ptxas info    : Function properties for a
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 12 registers, 376 bytes cmem[0]
"""
    assert nvrtc.usage(log) == {
        "b": nvrtc.KernelUsage("b", 40, 16, 8, 24, 4228),
        "a": nvrtc.KernelUsage("a", 12, 0, 0, 0, 0),
    }
    assert nvrtc.usage("") == {}


def test_an_error_shows_its_lines() -> None:
    lines = [f"// line {n}" for n in range(1, 12)]
    lines[6] = 'extern "C" __global__ void K(float* x) { x[0] = y; }'
    with pytest.raises(CudaError) as caught:
        nvrtc.compile_cubin("\n".join(lines), "sm_90")
    message = str(caught.value)
    assert 'identifier "y" is undefined' in message
    assert ">    7 | extern" in message
    assert "     4 | // line 4\n" in message
    assert "    10 | // line 10" in message
    assert "// line 3" not in message
    assert "// line 11" not in message
    assert "--gpu-architecture=sm_90" in message


def test_an_error_at_the_first_and_last_line() -> None:
    with pytest.raises(CudaError, match=r">    1 \| nonsense;"):
        nvrtc.compile_cubin("nonsense;", "sm_90")


def test_other_refusals() -> None:
    with pytest.raises(CudaError, match="could not open source file"):
        nvrtc.compile_cubin("#include <nowhere.h>\n", "sm_90")
    with pytest.raises(CudaError, match="INVALID_OPTION"):
        nvrtc.compile_cubin(SCALE, "sm_10")
    with pytest.raises(CudaError, match="too much shared data"):
        nvrtc.compile_cubin(HEAVY.replace("s[100]", "s[1000000]"), "sm_90")
    with pytest.raises(CudaError, match="NUL"):
        nvrtc.compile_cubin(SCALE + "\0", "sm_90")


def test_threads_compile_side_by_side() -> None:
    sources = [SCALE.replace("SCALE", f"SCALE{n}") for n in range(6)]
    images: dict[int, bytes] = {}
    start = threading.Barrier(len(sources))

    def work(n: int) -> None:
        start.wait()
        images[n] = nvrtc.compile_cubin(sources[n], "sm_80").image

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(sources))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for n in range(len(sources)):
        assert b".text.SCALE%d\0" % n in images[n]


def test_the_driver_chooses_among_versions() -> None:
    old, new, other = (Path("a"), 12), (Path("b"), 13), (Path("c"), 11)
    assert nvrtc._in_order([new, old, other], None) == [new, old]
    assert nvrtc._in_order([new, old, other], 13) == [new, old]
    assert nvrtc._in_order([new, old, other], 12) == [old, new]
    assert nvrtc._in_order([old, new], 14) == [old, new]


def test_folders_that_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib64").mkdir()
    others = ("libnvrtc.so", "libnvrtc-builtins.so.12.4", "libnvrtc.alt.so.12")
    for name in ("libnvrtc.so.12", *others):
        (tmp_path / "lib64" / name).touch()
    monkeypatch.setenv("CUDA_PATH", str(tmp_path))
    found = [path for path, major in nvrtc._candidates() if path.is_relative_to(tmp_path)]
    assert found == [tmp_path / "lib64" / "libnvrtc.so.12"]


NOTHING = """
import sys
from tracejit_cuda import nvrtc
nvrtc._candidates = lambda: iter([(nvrtc.Path("libno-such-nvrtc.so.13"), 13)])
print(nvrtc.missing())
try:
    nvrtc.version()
except nvrtc.CudaError as error:
    print("raised", "libno-such-nvrtc.so.13" in str(error))
print(sorted({"cupy", "numba"} & set(sys.modules)))
"""


def test_without_the_library_it_says_how_to_get_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTHING], capture_output=True, text=True, timeout=60, check=True,
        env=dict(os.environ),
    )  # fmt: skip
    assert "pip install 'tracejit[cuda]'" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["raised True", "[]"]


def test_a_driver_is_asked_for_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        def cuDriverGetVersion(self, number: ctypes.Array[ctypes.c_int]) -> int:
            ctypes.cast(number, ctypes.POINTER(ctypes.c_int))[0] = 12040
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert nvrtc._driver_major() == 12

    def absent(name: str) -> Driver:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert nvrtc._driver_major() is None
