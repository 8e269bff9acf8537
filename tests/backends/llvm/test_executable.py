"""Calls: frames, lists and other sequences, arenas, callbacks, threads, interrupts."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.kernel import BufferParam, For, Kernel, Store
from tracejit.ir.plan import (
    Assign,
    Branch,
    Callback,
    Copy,
    Launch,
    Plan,
    Point,
    Repeat,
    Slot,
    While,
)
from tracejit.ir.scalar import IndexVar, Loop
from tracejit.testing.plans import run_plan
from tracejit_llvm import layout, make_backend
from tracejit_llvm.driver import assemble
from tracejit_llvm.executable import duration


@pytest.fixture(scope="module")
def backend() -> Any:
    return make_backend()


def vector(n: int) -> ShapedArray:
    return ShapedArray((n,), np.float64)


def kernel(op: str, constant: float) -> Kernel:
    i = IndexVar("i0", 4)
    value = s.apply(op, s.raw("load", (s.index(i),), s.F64, 0), s.const(constant, s.F64))
    return Kernel(
        (BufferParam(s.F64, "in"), BufferParam(s.F64, "out")),
        (For(Loop(i, 0, s.Size(0), True), (Store(1, s.index(i), value),), True),),
        1,
    )


KERNELS = (kernel("mul", 2.0), kernel("add", 1.0))


def plan(steps: Any, slots: Any, n: int = 4, **more: Any) -> Plan:
    return Plan("test", KERNELS, tuple(steps), tuple(slots), (vector(n),), (vector(n),), **more)


def launch(number: int, source: int, target: int, n: int = 4, cost: float = 0.0) -> Launch:
    return Launch(number, (source, target), (n,), (), n, cost)


def through_arena(n: int, cost: float = 0.0) -> Plan:
    """Return the plan of ``2 x + 1``, the product in the arena."""
    slots = (Slot("input", 0, vector(n)), Slot("output", 0, vector(n)), Slot("arena", 0, vector(n)))
    steps = (launch(0, 0, 2, n, cost), launch(1, 2, 1, n, cost))
    return plan(steps, slots, n, arena_bytes=-(-8 * n // 64) * 64)


def test_any_sequence_of_buffers_will_do(backend: Any) -> None:
    run = backend.compile(through_arena(4))
    x, out = np.arange(4.0), np.zeros(4)
    for inputs, outputs in (([x], [out]), ((x,), (out,)), ([x], (out,))):
        out[:] = 0
        run(inputs, outputs)
        np.testing.assert_array_equal(out, 2 * x + 1)


def test_addresses_are_asked_for_where_they_cannot_be_read(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert layout.QUICK, "on CPython with the GIL addresses are read"
    monkeypatch.setattr("tracejit_llvm.executable.QUICK", False)
    run = backend.compile(through_arena(4))
    x, out = np.arange(4.0), np.zeros(4)
    for _ in range(2):
        run((x,), [out])
        np.testing.assert_array_equal(out, 2 * x + 1)


@pytest.mark.parametrize("n", [4, 100_000])
def test_threads_have_frames_and_arenas_of_their_own(backend: Any, n: int) -> None:
    run = backend.compile(through_arena(n, cost=50_000.0))

    def work(k: int) -> bool:
        x, out = np.full(n, float(k)), np.zeros(n)
        return all(run([x], [out]) is None and (out == 2 * k + 1).all() for _ in range(30))

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(work, range(12)))


def test_large_arenas_are_shared_and_kept_out_of_idle_executables(backend: Any) -> None:
    n = 200_000
    backend.buffers.trim()
    x, out = np.ones(n), np.zeros(n)
    for _ in range(3):
        run = backend.compile(through_arena(n))
        run([x], [out])
        assert (out == 3).all()
        assert 8 * n <= backend.buffers.kept < 12 * n


def test_what_steps_move_is_back_at_the_next_call(backend: Any) -> None:
    """Constants and places in the arena take part in a rotation of pointers."""
    v = vector(4)
    slots = [
        Slot("input", 0, v), Slot("output", 0, v), Slot("arena", 0, v), Slot("arena", 64, v),
        Slot("constant", 0, v),
    ]  # fmt: skip
    steps = [
        launch(0, 0, 2), launch(1, 0, 3), Repeat(2, (Assign((2, 3, 4), (3, 4, 2)),)), Copy(1, 2, 32)
    ]  # fmt: skip
    p = plan(steps, slots, arena_bytes=128, constants=(np.full(4, 9.0),))
    run = backend.compile(p)
    x, out = np.arange(4.0), np.zeros(4)
    for _ in range(3):
        run([x], [out])
        np.testing.assert_array_equal(out, run_plan(p, [x])[0])
        np.testing.assert_array_equal(out, 9)


def test_nested_loops_points_and_branches_agree_with_the_interpreter(backend: Any) -> None:
    n = 4
    rows = ShapedArray((6, n), np.float64)
    index = ShapedArray((6,), np.int32)
    slots = [
        Slot("input", 0, rows), Slot("output", 0, rows), Slot("input", 1, index),
        Slot("pointer", 0, vector(n)), Slot("pointer", 0, vector(n)),
        Slot("pointer", 0, ShapedArray((), np.int32)), Slot("arena", 0, vector(n)),
    ]  # fmt: skip
    body = (
        Point(3, 0, 8 * n), Point(4, 1, 8 * n, True), Point(5, 2, 4),
        Branch(5, (
            (launch(0, 3, 4),),
            (Copy(4, 3, 8 * n), Repeat(3, (launch(1, 4, 6), Copy(4, 6, 8 * n), Repeat(0, ())))),
            (Repeat(2, (launch(0, 3, 6), Assign((3, 6), (6, 3)))), Copy(4, 3, 8 * n)),
        )),
        # The inner loop moved nothing of the outer one's trip.
        Repeat(2, (Repeat(2, (launch(1, 4, 6), Copy(4, 6, 8 * n))),)),
    )  # fmt: skip
    p = Plan(
        "test", KERNELS, (Repeat(6, body),), tuple(slots), (rows, index), (rows,), arena_bytes=64
    )
    x = np.arange(24.0).reshape(6, n)
    which = np.array([0, 1, 1, 0, -5, 1], np.int32)
    out = np.zeros((6, n))
    run = backend.compile(p)
    for _ in range(2):
        run([x.copy(), which], [out])
        np.testing.assert_array_equal(out, run_plan(p, [x, which])[0])


def test_a_launch_of_many_buffers(backend: Any) -> None:
    count, i = 300, IndexVar("i0", 2)
    total = s.raw("load", (s.index(i),), s.F64, 0)
    for n in range(1, count):
        total = s.apply("add", total, s.raw("load", (s.index(i),), s.F64, n))
    k = Kernel(
        (*[BufferParam(s.F64, "in")] * count, BufferParam(s.F64, "out")),
        (For(Loop(i, 0, s.Size(0), True), (Store(count, s.index(i), total),), True),),
        1,
    )
    v = vector(2)
    slots = [*[Slot("input", n, v) for n in range(count)], Slot("output", 0, v)]
    step = Launch(0, tuple(range(count + 1)), (2,), (), 2)
    p = Plan("many", (k,), (step,), tuple(slots), (v,) * count, (v,))
    out = np.zeros(2)
    backend.compile(p)([np.full(2, float(n)) for n in range(count)], [out])
    np.testing.assert_array_equal(out, count * (count - 1) / 2)


# ---------------------------------------------------------------------------- callbacks


def called_back(function: Any, n: int = 4) -> Plan:
    slots = (Slot("input", 0, vector(n)), Slot("output", 0, vector(n)))
    return plan((Callback("call", function, (0,), (1,)),), slots, n)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda xp, x: [x[:2]], r"shape \(2,\)"),
        (lambda xp, x: [x.astype(np.float32)], "dtype float32"),
        (lambda xp, x: [x, x], "must return 1 arrays; got 2"),
        (lambda xp, x: [], "must return 1 arrays; got 0"),
    ],
)
def test_results_of_callbacks_are_checked(backend: Any, result: Any, message: str) -> None:
    out = np.zeros(4)
    with pytest.raises(ValueError, match=message):
        backend.compile(called_back(result))([np.ones(4)], [out])


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_of_a_callback_ends_the_run(backend: Any, error: BaseException) -> None:
    calls = []

    def fail(xp: Any, x: Any) -> Any:
        calls.append(x.copy())
        if len(calls) == 3:
            raise error
        return [x + 1]

    slots = (Slot("input", 0, vector(4)), Slot("output", 0, vector(4)))
    p = plan((Repeat(10, (Callback("fail", fail, (0,), (1,)),)),), slots)
    run = backend.compile(p)
    with pytest.raises(type(error)) as caught:
        run([np.ones(4)], [np.zeros(4)])
    assert caught.value is error
    assert any(entry.name == "fail" for entry in caught.traceback)
    assert len(calls) == 3
    out = np.zeros(4)
    run([np.ones(4)], [out])
    assert (out == 2).all()
    assert len(calls) == 13


def test_what_a_callback_keeps_stays_valid(backend: Any) -> None:
    kept = []
    n = 50_000
    slots = (Slot("input", 0, vector(n)), Slot("output", 0, vector(n)), Slot("arena", 0, vector(n)))

    def keep(xp: Any, x: Any) -> Any:
        kept.append(x)
        return [x]

    steps = (launch(0, 0, 2, n), Callback("keep", keep, (2,), (1,)))
    run = backend.compile(plan(steps, slots, n, arena_bytes=8 * n + 64))
    for k in range(4):
        run([np.full(n, float(k))], [np.zeros(n)])
    assert [x[0] for x in kept] == [0, 2, 4, 6]
    assert [x[-1] for x in kept] == [0, 2, 4, 6]
    with pytest.raises(ValueError, match="read-only"):
        kept[0][0] = 1


def test_a_callback_may_call_the_same_executable(backend: Any) -> None:
    def down(xp: Any, x: Any) -> Any:
        if x[0] == 0:
            return [x]
        out = np.zeros(4)
        run([x - 1], [out])
        return [out + 1]

    run = backend.compile(called_back(down))
    out = np.zeros(4)
    run([np.full(4, 20.0)], [out])
    assert (out == 20).all()


def test_callbacks_from_several_threads(backend: Any) -> None:
    before = backend.counters()["callbacks"]
    run = backend.compile(called_back(lambda xp, x: [x * 3]))

    def work(k: int) -> bool:
        out = np.zeros(4)
        return all(run([np.full(4, k)], [out]) is None and (out == 3 * k).all() for _ in range(50))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, np.arange(8.0)))
    assert backend.counters()["callbacks"] == before + 400


def test_what_a_callback_returns_is_let_go(backend: Any) -> None:
    slots = (Slot("input", 0, vector(4)), Slot("output", 0, vector(4)))
    call = Callback("call", lambda xp, x: [x], (0,), (1,))
    run = backend.compile(plan((Repeat(2000, (call,)),), slots))
    before = sys.getrefcount(None)
    run([np.ones(4)], [np.zeros(4)])
    assert abs(sys.getrefcount(None) - before) < 1000


def test_an_executable_and_its_callbacks_can_be_freed(backend: Any) -> None:
    class Big:
        pass

    held = Big()
    gone = weakref.ref(held)
    run = backend.compile(called_back(lambda xp, x, held=held: [x]))
    run([np.ones(4)], [np.zeros(4)])
    del held, run
    gc.collect()
    assert gone() is None


# --------------------------------------------------------------------- the GIL, interrupts


def test_the_gil_is_free_during_a_long_run(backend: Any) -> None:
    slots = (Slot("input", 0, vector(4)), Slot("output", 0, vector(4)))
    run = backend.compile(plan((Repeat(20_000_000, (launch(0, 0, 1),)),), slots))
    ticks = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    run([np.ones(4)], [np.zeros(4)])
    end = time.perf_counter()
    done.set()
    thread.join()
    assert sum(start < t < end for t in ticks) >= 5


def test_estimates_choose_how_to_run(backend: Any) -> None:
    slots = (Slot("input", 0, vector(4)), Slot("output", 0, vector(4)))
    p = plan((launch(0, 0, 1, cost=100.0),), slots)
    assert duration(p.steps) == 100
    loop = While((launch(0, 0, 1),), 1, ())
    assert duration((loop,)) == float("inf")
    assert duration((Branch(0, ((launch(0, 0, 1, cost=5.0),), ())), launch(0, 0, 1, cost=1.0))) == 6
    native = backend.compile(p)._native
    assert len(assemble(p, native, release=True).words) == 1 + len(
        assemble(p, native, release=False).words
    )


SCRIPT = """
import os, signal, sys, threading, time
import numpy as np
from tracejit_llvm import make_backend
from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.kernel import BufferParam, For, Kernel, Store
from tracejit.ir.plan import Callback, Launch, Plan, Repeat, Slot
from tracejit.ir.scalar import IndexVar, Loop
i = IndexVar("i0", 4)
value = s.apply("add", s.raw("load", (s.index(i),), s.F64, 0), s.const(1.0, s.F64))
kernel = Kernel((BufferParam(s.F64, "in"), BufferParam(s.F64, "out")),
    (For(Loop(i, 0, s.Size(0), True), (Store(1, s.index(i), value),), True),), 1)
v = ShapedArray((4,), np.float64)
slots = (Slot("input", 0, v), Slot("output", 0, v))
def plan(*steps):
    return Plan("p", (kernel,), steps, slots, (v,), (v,))
step = Launch(0, (0, 1), (4,), (), 4)
backend = make_backend()
long = backend.compile(plan(Repeat(2_000_000_000, (step,))))
short = backend.compile(plan(Repeat(60_000_000, (step,))))
x, out = np.ones(4), np.zeros(4)
def later(seconds=0.3):
    def kill():
        global sent
        sent = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)
    threading.Timer(seconds, kill).start()
"""


def in_a_process(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + textwrap.dedent(script)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@POSIX
def test_an_interrupt_ends_a_long_run_at_once_and_all_goes_on() -> None:
    assert in_a_process(
        """
        for _ in range(2):
            later()
            try:
                long([x], [out])
                print("not interrupted")
            except KeyboardInterrupt:
                print(time.perf_counter() - sent < 0.2)
        out[:] = 0
        short([x], [out])
        print((out == 2).all(), signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        later(0.1)
        try:  # the handler that was there before is there again
            time.sleep(10)
        except KeyboardInterrupt:
            print(time.perf_counter() - sent < 1)
        """
    ) == ["True"] * 5


@POSIX
def test_a_loop_without_launches_can_be_interrupted() -> None:
    assert in_a_process(
        """
        from tracejit.ir.plan import Copy
        moving = backend.compile(plan(Repeat(10_000_000_000, (Copy(1, 0, 32),))))
        later()
        try:
            moving([x], [out])
            print("not interrupted")
        except KeyboardInterrupt:
            print(time.perf_counter() - sent < 0.2)
        """
    ) == ["True"]


@POSIX
def test_the_native_handler_is_there_during_a_long_run_alone() -> None:
    assert in_a_process(
        """
        import ctypes
        get = ctypes.pythonapi.PyOS_getsig
        get.restype = ctypes.c_void_p
        before, meanwhile = get(signal.SIGINT), []
        def look(xp, a):
            meanwhile.append(get(signal.SIGINT))
            return [a]
        call = Callback("look", look, (0,), (1,))
        run = backend.compile(plan(call, Repeat(10_000_000, (step,))))
        for _ in range(2):
            run([x], [out])
            print(get(signal.SIGINT) == before, meanwhile[-1] == backend.interrupts._handler)
        """
    ) == ["True"] * 4


@POSIX
def test_a_handler_that_does_not_raise_lets_the_run_go_on() -> None:
    assert in_a_process(
        """
        seen = []
        signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
        later(0.05)
        short([x], [out])
        print(seen == [signal.SIGINT], (out == 2).all())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        later(0.05)
        short([x], [out])
        print(seen == [signal.SIGINT], signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
        """
    ) == ["True"] * 4


@POSIX
def test_interrupts_are_for_the_main_thread() -> None:
    assert in_a_process(
        """
        done = []
        def work():
            short([x], [out])
            done.append(1)
        thread = threading.Thread(target=work)
        thread.start()
        later(0.05)
        try:
            time.sleep(10)
            print("not interrupted")
        except KeyboardInterrupt:
            print("interrupted")
        while not done:  # join would be ended by the interrupt for good in CPython 3.11
            time.sleep(0.01)
        print(done, (out == 2).all())
        """
    ) == ["interrupted", "[1]", "True"]


@POSIX
def test_an_interrupt_within_a_run_within_a_callback() -> None:
    assert in_a_process(
        """
        def inner(xp, a):
            o = np.zeros(4)
            long([a], [o])
            return [o]
        outer = backend.compile(plan(Repeat(3, (Callback("inner", inner, (0,), (1,)),))))
        later()
        try:
            outer([x], [out])
            print("not interrupted")
        except KeyboardInterrupt:
            print(time.perf_counter() - sent < 0.2)
        def handler(xp, a):
            signal.signal(signal.SIGINT, lambda n, f: None)
            return [a]
        call = Callback("h", handler, (0,), (1,))
        change = backend.compile(plan(Repeat(10_000_000, (step,)), call))
        change([x], [out])
        os.kill(os.getpid(), signal.SIGINT)
        print((out == 1).all())
        """
    ) == ["True", "True"]


def test_text(backend: Any) -> None:
    run = backend.compile(through_arena(4))
    assert run.text("llvm").count("define void @kernel") == len(KERNELS)
    assert "kernel0:" in run.text("asm")
    with pytest.raises(ValueError, match="'llvm' and 'asm'; got 'cuda'"):
        run.text("cuda")


def test_the_target_names_the_machine(backend: Any) -> None:
    target = backend.target()
    assert target.kind == "cpu"
    assert 1 << 18 <= target.cache_bytes <= 1 << 32
    assert "matmul" in target.libraries
    assert "add" in target.natively
    assert backend.is_available() == ""
    assert signal.getsignal(signal.SIGINT) is not None
