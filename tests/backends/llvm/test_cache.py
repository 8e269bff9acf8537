"""The caches of the engine: in memory and on disk, between threads and processes."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracejit.backend.diskcache import DiskCache
from tracejit.ir import scalar as s
from tracejit.ir.dtypes import DTYPES
from tracejit.ir.kernel import BufferParam, For, Kernel, Store
from tracejit.ir.scalar import IndexVar, Loop
from tracejit_llvm import engine
from tracejit_llvm.engine import Engine


def kernel(constant: float) -> Kernel:
    """Return the kernel ``b1[i] = b0[i] * constant``."""
    i = IndexVar("i0", 4)
    value = s.apply("mul", s.raw("load", (s.index(i),), s.F64, 0), s.const(constant, s.F64))
    return Kernel(
        (BufferParam(s.F64, "in"), BufferParam(s.F64, "out")),
        (For(Loop(i, 0, s.Size(0), True), (Store(1, s.index(i), value),), True),),
        1,
    )


def test_kernels_are_found_in_memory_and_on_disk(tmp_path: Path) -> None:
    first = Engine(tmp_path)
    address = first.kernel(kernel(2.0))
    assert first.kernel(kernel(2.0)) == address
    assert first.kernel(kernel(3.0)) != address
    assert first.counters == {"compiled": 2, "memory": 1, "disk": 0}
    second = Engine(tmp_path)
    second.kernel(kernel(2.0))
    assert second.counters == {"compiled": 0, "memory": 0, "disk": 1}


def test_an_object_that_checks_but_is_none_is_compiled_anew(tmp_path: Path) -> None:
    Engine(tmp_path).kernel(kernel(2.0))
    (path,) = tmp_path.iterdir()
    for image in (b"no object", b"\x7fELF" + bytes(200)):
        DiskCache(tmp_path).put(path.name, image)
        engine = Engine(tmp_path)
        assert engine.kernel(kernel(2.0)) > 0
        assert engine.counters["compiled"] == 1


FUNCTIONS = [("sin", 1), ("exp", 1), ("lgamma", 1), ("atan2", 2), ("pow", 2), ("rem", 2)]


def of(op: str, arity: int, dtype: np.dtype[np.floating]) -> Kernel:
    """Return the kernel ``b2[i] = op(b0[i], b1[i])``."""
    i = IndexVar("i0", 100)
    operands = [s.raw("load", (s.index(i),), dtype, n) for n in range(arity)]
    params = [BufferParam(dtype, mode) for mode in ("in", "in", "out")]
    store = Store(2, s.index(i), s.apply(op, *operands))
    return Kernel(tuple(params), (For(Loop(i, 0, s.Size(0), True), (store,), True),), 1)


def chain(dtype: np.dtype[Any], literals: int) -> Kernel:
    """Return a kernel of many minima and maxima, of float arguments if there are literals."""
    i = IndexVar("i0", 100)
    x, y = (s.raw("load", (s.index(i),), dtype, n) for n in range(2))
    for n in range(6):
        x = s.apply("sub", s.apply("max", x, y), y)
        x = s.apply("add", s.apply("mul", x, s.const(2, dtype)), s.const(-3, dtype))
        if literals:
            x = s.apply("mul", x, s.raw("float", (), dtype, n % literals))
        x = s.apply("min", s.apply("abs", x), y)
    params = [BufferParam(dtype, mode) for mode in ("in", "in", "out")]
    store = Store(2, s.index(i), x)
    body = (For(Loop(i, 0, s.Size(0), True), (store,), True),)
    return Kernel(tuple(params), body, 1, (dtype,) * literals)


def run(address: int, dtype: np.dtype[Any], begin: int = 0, end: int = 100) -> bytes:
    """Return the bits that a kernel of two operands computes."""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(2, 100)) * 4).astype(dtype)
    if dtype.kind == "f":
        x[:4] = 0.0, np.inf, np.nan, 1e30
    out = np.zeros_like(x)
    buffers = (ctypes.c_void_p * 3)(*(a.ctypes.data for a in (x, y, out)))
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64, ctypes.c_int64)(address)
    size, floats = ctypes.c_int64(100), (ctypes.c_double * 3)(0.1, -2.5, 1e-3)
    call(*map(ctypes.addressof, (buffers, size, floats)), begin, end)
    return out.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_compiled_together_give_the_bits_of_those_compiled_with_care(
    tmp_path: Path, dtype: type[np.floating]
) -> None:
    kernels = [of(op, arity, np.dtype(dtype)) for op, arity in FUNCTIONS]
    engine = Engine(tmp_path)
    quick = engine.kernels(kernels)
    assert engine.counters == {"compiled": len(FUNCTIONS), "memory": 0, "disk": 0}
    careful = [engine.kernel(k) for k in kernels]
    assert not set(quick) & set(careful)
    for address, other in zip(quick, careful, strict=True):
        assert run(address, np.dtype(dtype)) == run(other, np.dtype(dtype))


@pytest.mark.parametrize("kind", ["f4", "f8", "i1", "i4", "i8"])
def test_short_code_reads_and_writes_its_rows_alone(tmp_path: Path, kind: str) -> None:
    dtype = DTYPES[{"f4": "f32", "f8": "f64", "i1": "i8", "i4": "i32", "i8": "i64"}[kind]]
    own = chain(dtype, 3 if dtype.kind == "f" else 0)
    engine = Engine(tmp_path)
    (quick,), careful = engine.kernels([own]), engine.kernel(own)
    for begin, end in ((0, 100), (0, 1), (3, 41), (40, 40), (99, 1000)):
        got = run(quick, dtype, begin, end)
        assert got == run(careful, dtype, begin, end)
        row = dtype.itemsize
        assert not any(got[: begin * row])
        assert not any(got[end * row :])


def test_long_kernels_are_short_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = chain(s.F64, 3), of("sin", 1, s.F64)
    careful = [Engine(None).kernel(k) for k in (own, other)]
    monkeypatch.setattr(engine, "LONG_TEXT", 0)
    for _ in range(2):  # the second engine finds them, and what they call, on disk
        long = Engine(tmp_path)
        for k, address in zip((own, other), careful, strict=True):
            assert run(long.kernel(k), s.F64) == run(address, s.F64)
    assert long.counters == {"compiled": 0, "memory": 0, "disk": 2}


def test_kernels_compiled_together_are_found_on_disk(tmp_path: Path) -> None:
    kernels = [of(op, arity, np.dtype(np.float64)) for op, arity in FUNCTIONS]
    first = Engine(tmp_path)
    assert len(set(first.kernels([*kernels, kernels[0]]))) == len(kernels)
    second = Engine(tmp_path)
    found = second.kernels([*kernels, kernels[0]])
    assert second.counters == {"compiled": 0, "memory": 0, "disk": len(kernels)}
    assert second.kernels(kernels) == found[:-1]
    assert run(found[0], np.dtype(np.float64)) == run(
        first.kernel(kernels[0]), np.dtype(np.float64)
    )


def test_two_threads_compile_a_kernel_once() -> None:
    engine = Engine(None)
    addresses: list[int] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        addresses.append(engine.kernel(kernel(7.0)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(addresses)) == 1
    assert engine.counters["compiled"] == 1


SCRIPT = """
import numpy as np
from tracejit_llvm import make_backend
from tracejit.ir import scalar as s
from tracejit.ir.dtypes import DTYPES
from tracejit.ir.avals import ShapedArray
from tracejit.ir.kernel import BufferParam, For, Kernel, Store
from tracejit.ir.plan import Launch, Plan, Slot
from tracejit.ir.scalar import IndexVar, Loop
i = IndexVar("i0", 4)
value = s.apply("add", s.raw("load", (s.index(i),), s.F64, 0), s.const(1.0, s.F64))
kernel = Kernel((BufferParam(s.F64, "in"), BufferParam(s.F64, "out")),
    (For(Loop(i, 0, s.Size(0), True), (Store(1, s.index(i), value),), True),), 1)
v = ShapedArray((4,), np.float64)
plan = Plan("p", (kernel,), (Launch(0, (0, 1), (4,), (), 4),),
    (Slot("input", 0, v), Slot("output", 0, v)), (v,), (v,))
backend = make_backend()
out = np.zeros(4)
backend.compile(plan)([np.arange(4.0)], [out])
print(out.tolist(), backend.counters()["compiled"], backend.counters()["disk"])
"""


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "TRACEJIT_CACHE_DIR": str(tmp_path / "cache")}
    lines = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            capture_output=True, text=True, timeout=120, check=True, env=environment,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert lines == ["[1.0, 2.0, 3.0, 4.0] 1 0", "[1.0, 2.0, 3.0, 4.0] 0 1"]
