"""The pool: the same bits for any number of threads, in threads, and after a fork."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.kernel import BufferParam, For, Kernel, Store
from tracejit.ir.plan import Launch, Plan, Repeat, Slot
from tracejit.ir.scalar import IndexVar, Loop
from tracejit_llvm import make_backend
from tracejit_llvm.pool import Pool, default_threads, pool_text

N = 30_011
VECTOR = ShapedArray((N,), np.float64)


@pytest.fixture
def backend() -> Any:
    return make_backend()


def sine(repeats: int = 1) -> Plan:
    """Return a plan of launches that are worth sharing: ``b1[i] = sin(b0[i])``."""
    i = IndexVar("i0", N)
    value = s.apply("sin", s.raw("load", (s.index(i),), s.F64, 0))
    kernel = Kernel(
        (BufferParam(s.F64, "in"), BufferParam(s.F64, "out")),
        (For(Loop(i, 0, s.Size(0), True), (Store(1, s.index(i), value),), True),),
        1,
    )
    launch = Launch(0, (0, 1), (N,), (), N, 200_000.0)
    slots = (Slot("input", 0, VECTOR), Slot("output", 0, VECTOR))
    return Plan("sine", (kernel,), (Repeat(repeats, (launch,)),), slots, (VECTOR,), (VECTOR,))


X = np.linspace(-5, 5, N)


def test_bits_do_not_depend_on_the_number_of_threads(backend: Any) -> None:
    run = backend.compile(sine(50))
    results = []
    for n in (1, 2, 3, 7, 2, 1):
        backend.set_num_threads(n)
        out = np.zeros(N)
        run([X], [out])
        results.append(out.tobytes())
    assert len(set(results)) == 1
    np.testing.assert_allclose(out, np.sin(X), rtol=1e-14)


def test_several_threads_call_at_once(backend: Any) -> None:
    backend.set_num_threads(3)
    run = backend.compile(sine(5))
    wanted = np.zeros(N)
    run([X], [wanted])

    def work(k: int) -> bool:
        out = np.zeros(N)
        for _ in range(20):
            out[:] = k
            run([X], [out])
            if out.tobytes() != wanted.tobytes():
                return False
        return True

    with ThreadPoolExecutor(5) as threads:
        assert all(threads.map(work, range(10)))


def test_the_number_of_threads_changes_while_another_thread_runs(backend: Any) -> None:
    run = backend.compile(sine(20))
    wanted = np.zeros(N)
    run([X], [wanted])
    stop = threading.Event()
    wrong = []

    def work() -> None:
        out = np.zeros(N)
        while not stop.is_set():
            run([X], [out])
            if out.tobytes() != wanted.tobytes():
                wrong.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    for n in [3, 1, 2, 5, 1, 4] * 5:
        backend.set_num_threads(n)
        time.sleep(0.003)
    stop.set()
    thread.join()
    assert not wrong


def _native_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_workers_start_when_needed_and_leave(backend: Any) -> None:
    before = _native_threads()
    backend.set_num_threads(5)
    run = backend.compile(sine())
    assert _native_threads() == before
    run([X], [np.zeros(N)])
    assert _native_threads() == before + 4
    time.sleep(0.05)  # they are asleep now
    backend.set_num_threads(1)
    for _ in range(100):
        if _native_threads() == before:
            break
        time.sleep(0.02)
    assert _native_threads() == before


def test_sleeping_workers_take_no_time(backend: Any) -> None:
    backend.set_num_threads(4)
    backend.compile(sine())([X], [np.zeros(N)])
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.15


def test_the_number_of_threads_is_checked(backend: Any) -> None:
    with pytest.raises(ValueError, match="at least 1; got 0"):
        backend.set_num_threads(0)


@pytest.mark.parametrize(("text", "wanted"), [("3", 3), ("0", None), ("x", None), ("", None)])
def test_the_environment_says_how_many(
    monkeypatch: pytest.MonkeyPatch, text: str, wanted: int | None
) -> None:
    monkeypatch.setenv("TRACEJIT_NUM_THREADS", text)
    usual = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert default_threads() == (wanted or usual)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")  # of other libraries in the process
def test_a_forked_child_has_workers_of_its_own(backend: Any) -> None:
    backend.set_num_threads(3)
    run = backend.compile(sine(5))
    wanted = np.zeros(N)
    run([X], [wanted])
    stop = threading.Event()

    def work() -> None:  # holds the pool at the time of the fork, most likely
        out = np.zeros(N)
        while not stop.is_set():
            run([X], [out])

    thread = threading.Thread(target=work)
    thread.start()
    statuses = []
    for _ in range(5):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                out = np.zeros(N)
                for _ in range(5):
                    run([X], [out])
                backend.compile(sine(2))([X], [out])
                code = 0 if out.tobytes() == wanted.tobytes() else 2
                if Path("/proc/self/task").exists() and _native_threads() != 3:
                    code = 3
            finally:
                os._exit(code)
        statuses.append(os.waitpid(child, 0)[1])
    stop.set()
    thread.join()
    assert statuses == [0] * 5


def test_a_caller_that_sleeps_is_woken(backend: Any) -> None:
    """The caller takes the last chunk and is done soon; the other thread is long in the first."""
    text = pool_text(backend.engine.triple) + """
define void @job(ptr %slept, i64 %i, i64 %n) {
  %first = icmp eq i64 %i, 0
  br i1 %first, label %sleep, label %out
sleep:
  %r = call i32 @usleep(i32 100000)
  store i64 1, ptr %slept
  ret void
out:  ; long enough for the other thread to come
  %q = call i32 @usleep(i32 20000)
  ret void
}
"""
    f = backend.engine.functions(text, ["job", "pool_run", "worker", "pool_stop"])
    pool = Pool(f["worker"], f["pool_stop"])
    pool.set_num_threads(2)
    pointer = ctypes.c_void_p
    run = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, ctypes.c_int64)(f["pool_run"])
    for _ in range(5):
        slept = ctypes.c_int64()
        state = pool.address()
        before = time.thread_time()
        run(state, f["job"], ctypes.addressof(slept), 2)
        assert slept.value == 1
        assert time.thread_time() - before < 0.05
    pool.set_num_threads(1)


def test_a_job_alone_is_called_as_one_chunk(backend: Any) -> None:
    """A launch inside a callback finds the pool free or taken; either way it is complete."""
    backend.set_num_threads(2)
    inner = backend.compile(sine())
    outs = [np.zeros(N) for _ in range(8)]
    threads = [threading.Thread(target=inner, args=([X], [o])) for o in outs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len({o.tobytes() for o in outs}) == 1


def test_the_process_ends_while_workers_spin() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import importlib.util as u\n"
        "spec = u.spec_from_file_location('plans', sys.argv[2])\n"
        "m = u.module_from_spec(spec); spec.loader.exec_module(m)\n"
        "b = m.make_backend(); b.set_num_threads(4); e = b.compile(m.sine(30))\n"
        "import numpy as np; o = np.zeros(m.N); e([m.X], [o]); print('ran')\n"
    )
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script, ":".join(sys.path), __file__],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr


def test_the_state_is_aligned_to_cache_lines(backend: Any) -> None:
    backend.set_num_threads(2)
    assert backend.pool.address() % 64 == 0
    assert ctypes.c_int64.from_address(backend.pool.address()).value & 0xFFFFFFFF == 0
