"""Buffers: recycled memory, which comes back when the last array that refers to it is gone."""

from __future__ import annotations

import gc
import pickle
import platform
import subprocess
import sys
import threading
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tracejit_llvm.buffers import SMALL, Buffers

F64 = np.dtype(np.float64)
LARGE = (300, 1000)


def address(array: Any) -> int:
    return int(array.ctypes.data)


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.bool_, np.complex128, np.float16,
                                   ml_dtypes.bfloat16])  # fmt: skip
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 5), (0, 10**6), (1 << 18,), (64, 8192)])
def test_arrays_are_ordinary(shape: tuple[int, ...], dtype: Any) -> None:
    x = Buffers().empty(shape, np.dtype(dtype))
    assert type(x) is np.ndarray
    assert x.shape == shape
    assert x.dtype == dtype
    assert x.flags.c_contiguous
    assert x.flags.aligned
    assert x.flags.writeable
    x[...] = 1
    assert (x == 1).all()
    if x.nbytes >= SMALL:
        assert address(x) % 64 == 0


def test_memory_is_recycled_by_size_class() -> None:
    buffers = Buffers()
    first = address(buffers.empty(LARGE, F64))
    assert address(buffers.empty(LARGE, F64)) == first
    assert address(buffers.empty((1000, 299), F64)) == first
    assert buffers.recycled == 2
    x = buffers.empty(LARGE, F64)
    y = buffers.empty(LARGE, F64)
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[5:, 3:],
        lambda x: x.T[::2][1:],
        lambda x: x.reshape(-1).view(np.int64)[7:],
        lambda x: np.asarray(memoryview(x)),
        lambda x: np.frombuffer(x, np.uint8)[3:],
        lambda x: np.broadcast_to(x[0], (4, 1000))[1:],
        lambda x: np.lib.stride_tricks.as_strided(x, (2, 2), (8, 8)),
        lambda x: np.from_dlpack(x),
    ],
)
def test_a_view_keeps_its_memory(view: Any) -> None:
    buffers = Buffers()
    held = view(buffers.empty(LARGE, F64))
    if held.flags.writeable:
        held[...] = 7
    before = held.copy()
    others = [buffers.empty(LARGE, F64) for _ in range(2)]
    for other in others:
        other[...] = 9
    assert buffers.recycled == 0
    np.testing.assert_array_equal(held, before)
    del held, others, other
    gc.collect()
    assert buffers.kept > 0
    buffers.empty(LARGE, F64)
    assert buffers.recycled == 1


def test_a_pickle_is_a_copy() -> None:
    buffers = Buffers()
    x = buffers.empty(LARGE, F64)
    x[...] = 3
    y = pickle.loads(pickle.dumps(x))
    del x
    buffers.empty(LARGE, F64)[...] = 4
    assert (y == 3).all()


def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    buffers = Buffers(most=9 << 20)
    arrays = [buffers.empty((n, 1 << 17), F64) for n in (1, 2, 3, 4)]
    while arrays:
        del arrays[0]
        assert buffers.kept <= buffers.most
    buffers.empty((4, 1 << 17), F64)
    assert buffers.recycled == 1
    buffers.empty((1, 1 << 17), F64)
    assert buffers.recycled == 1
    del arrays
    big = buffers.empty((20, 1 << 17), F64)
    kept = buffers.kept
    del big  # larger than the bound: not kept, and drives nothing out
    assert buffers.kept == kept


def test_trim_gives_all_back() -> None:
    buffers = Buffers()
    buffers.empty(LARGE, F64)
    assert buffers.kept >= 2_400_000
    buffers.trim()
    assert buffers.kept == 0
    buffers.empty(LARGE, F64)
    assert buffers.recycled == 0


def test_threads_never_share_a_block() -> None:
    buffers = Buffers()
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(60):
            x = buffers.empty((SMALL // 8 + 100,), F64)
            x[...] = number
            views = [x[n::7] for n in range(3)]
            del x
            if any((v != number).any() for v in views):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert buffers.recycled > 0


@pytest.mark.parametrize("shape", [(2, 3), (0,), (), LARGE])
def test_an_allocator_does_what_empty_does(shape: tuple[int, ...]) -> None:
    buffers = Buffers()
    allocate = buffers.allocator(shape, F64)
    x, y = allocate(), allocate()
    assert x.shape == y.shape == shape
    assert x.dtype == F64
    assert not np.shares_memory(x, y)
    if x.nbytes >= SMALL:
        del x
        allocate()
        assert buffers.recycled == 1


FAULTS = """
import resource
import numpy as np
from tracejit_llvm.buffers import Buffers

make = Buffers().allocator((90_000,), np.dtype(np.float64))

def run(times):
    for _ in range(times):
        for x in [make() for _ in range(5)]:
            x[:] = 1
        del x
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

before = run(5)
print(run(20) - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is kept is another allocator's")
def test_pages_of_small_arrays_stay_mapped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 20 * 5  # of 880 pages a time
