"""The driver: plans built by hand, run natively, and by the interpreter of plans."""

from __future__ import annotations

import subprocess
import sys
import textwrap
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
    LibraryCall,
    Plan,
    Point,
    Repeat,
    Slot,
    While,
)
from tracejit.ir.scalar import IndexVar, Loop
from tracejit.testing.plans import run_plan
from tracejit_llvm import make_backend

VECTOR = ShapedArray((4,), np.float64)
SCALAR = ShapedArray((), np.float64)
BOOL = ShapedArray((), np.bool_)
INT = ShapedArray((), np.int32)


@pytest.fixture(scope="module")
def backend() -> Any:
    return make_backend()


def kernel(op: str, constant: float, out: Any = s.F64) -> Kernel:
    """Return the kernel ``b1[i] = op(b0[i], constant)`` over n0 elements."""
    i = IndexVar("i0", 4)
    x = s.raw("load", (s.index(i),), s.F64, 0)
    value = s.apply(op, x, s.const(constant, s.F64))
    return Kernel(
        (BufferParam(s.F64, "in"), BufferParam(out, "out")),
        (For(Loop(i, 0, s.Size(0), True), (Store(1, s.index(i), value),), True),),
        1,
    )


DOUBLE, ADD_ONE, BELOW = kernel("mul", 2.0), kernel("add", 1.0), kernel("lt", 100.0, s.BOOL)


def plan(steps: Any, slots: Any, inputs: Any, outputs: Any, arena: int = 0) -> Plan:
    return Plan(
        "test", (DOUBLE, ADD_ONE, BELOW), tuple(steps), tuple(slots), inputs, outputs,
        arena_bytes=arena,
    )  # fmt: skip


def launch(number: int, source: int, target: int, n: int = 4) -> Launch:
    return Launch(number, (source, target), (n,), (), n)


def run(backend: Any, p: Plan, *inputs: Any) -> list[Any]:
    outputs = [np.zeros(a.shape, a.dtype) for a in p.outputs]
    executable = backend.compile(p)
    for _ in range(2):  # a frame is used again
        executable([np.asarray(x, a.dtype) for x, a in zip(inputs, p.inputs, strict=True)], outputs)
    for got, wanted in zip(outputs, run_plan(p, inputs), strict=True):
        np.testing.assert_array_equal(got, wanted)
    return outputs


def test_kernels_one_after_the_other(backend: Any) -> None:
    slots = [Slot("input", 0, VECTOR), Slot("output", 0, VECTOR), Slot("arena", 64, VECTOR)]
    p = plan([launch(0, 0, 2), launch(1, 2, 1)], slots, (VECTOR,), (VECTOR,), 128)
    (y,) = run(backend, p, [1, 2, 3, 4])
    np.testing.assert_array_equal(y, [3, 5, 7, 9])


def test_nested_loops_exchange_pointers(backend: Any) -> None:
    slots = [
        Slot("input", 0, VECTOR), Slot("output", 0, VECTOR), Slot("arena", 0, VECTOR),
        Slot("pointer", 0, VECTOR), Slot("pointer", 0, VECTOR),
    ]  # fmt: skip
    body = (launch(1, 3, 4), Assign((3, 4), (4, 3)))
    steps = [
        Copy(1, 0, 32), Assign((3, 4), (1, 2)), Repeat(3, (Repeat(5, body),)), Copy(1, 3, 32),
    ]  # fmt: skip
    (y,) = run(backend, plan(steps, slots, (VECTOR,), (VECTOR,), 64), [1, 2, 3, 4])
    np.testing.assert_array_equal(y, [16, 17, 18, 19])


@pytest.mark.parametrize("reverse", [False, True])
def test_points_move_with_the_trip(backend: Any, reverse: bool) -> None:
    rows = ShapedArray((5, 4), np.float64)
    slots = [
        Slot("input", 0, rows), Slot("output", 0, rows),
        Slot("pointer", 0, VECTOR), Slot("pointer", 0, VECTOR),
    ]  # fmt: skip
    steps = [Repeat(5, (Point(2, 0, 32), Point(3, 1, 32, reverse), launch(0, 2, 3)))]
    x = np.arange(20.0).reshape(5, 4)
    (y,) = run(backend, plan(steps, slots, (rows,), (rows,)), x)
    np.testing.assert_array_equal(y, 2 * x[::-1] if reverse else 2 * x)


def test_while(backend: Any) -> None:
    slots = [
        Slot("input", 0, SCALAR), Slot("output", 0, SCALAR),
        Slot("arena", 0, BOOL), Slot("arena", 64, SCALAR),
    ]  # fmt: skip
    steps = [
        Copy(1, 0, 8),
        While((launch(2, 1, 2, 1),), 2, (launch(0, 1, 3, 1), Copy(1, 3, 8))),
    ]
    p = plan(steps, slots, (SCALAR,), (SCALAR,), 128)
    assert run(backend, p, 3.0)[0] == 192.0
    assert run(backend, p, 200.0)[0] == 200.0


def test_branches_are_clamped(backend: Any) -> None:
    slots = [Slot("input", 0, INT), Slot("input", 1, VECTOR), Slot("output", 0, VECTOR)]
    steps = [Branch(0, ((launch(0, 1, 2),), (launch(1, 1, 2),), (Copy(2, 1, 32),)))]
    p = plan(steps, slots, (INT, VECTOR), (VECTOR,))
    for n, wanted in ((-3, [2, 4]), (0, [2, 4]), (1, [2, 3]), (2, [1, 2]), (9, [1, 2])):
        np.testing.assert_array_equal(run(backend, p, n, [1, 2, 3, 4])[0][:2], wanted)


def test_callbacks_and_what_they_raise(backend: Any) -> None:
    slots = [Slot("input", 0, VECTOR), Slot("output", 0, VECTOR)]

    def twice(xp: Any, x: Any) -> list[Any]:
        assert not x.flags.writeable
        if x[0] < 0:
            raise ArithmeticError("negative")
        return [x * 2]

    p = plan([Callback("twice", twice, (0,), (1,))], slots, (VECTOR,), (VECTOR,))
    np.testing.assert_array_equal(run(backend, p, [1, 2, 3, 4])[0], [2, 4, 6, 8])
    executable = backend.compile(p)
    out = np.zeros(4)
    with pytest.raises(ArithmeticError, match="negative"):
        executable([-np.ones(4)], [out])
    executable([np.ones(4)], [out])
    np.testing.assert_array_equal(out, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("flags", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_matmul(backend: Any, dtype: Any, flags: Any) -> None:
    batch, m, n, k = 3, 17, 9, 23
    rng = np.random.default_rng(0)
    a, b = rng.random((batch, m, k)).astype(dtype), rng.random((batch, k, n)).astype(dtype)
    stored = [
        np.ascontiguousarray(x.swapaxes(1, 2)) if f else x
        for x, f in zip((a, b), flags, strict=True)
    ]
    avals = [ShapedArray(x.shape, dtype) for x in (*stored, a @ b)]
    slots = [Slot("input", 0, avals[0]), Slot("input", 1, avals[1]), Slot("output", 0, avals[2])]
    p = plan(
        [LibraryCall("matmul", (0, 1, 2), (batch, m, n, k, *flags))],
        slots, tuple(avals[:2]), (avals[2],),
    )  # fmt: skip
    out = np.zeros((batch, m, n), dtype)
    backend.compile(p)(stored, [out])
    np.testing.assert_allclose(out, a @ b, rtol=1e-5 if dtype == np.float32 else 1e-13)


def test_large_buffers_come_back_when_the_last_view_is_gone(backend: Any) -> None:
    def address() -> int:
        return int(backend.empty((300, 1000), np.dtype(np.float64)).ctypes.data)

    first = address()
    assert address() == first
    assert first % 64 == 0
    held = backend.empty((300, 1000), np.dtype(np.float64))[5:, 3:].T[::2]
    held[...] = 7
    others = [backend.empty((300, 1000), np.dtype(np.float64)) for _ in range(3)]
    for other in others:
        other[...] = 0
    np.testing.assert_array_equal(held, 7)


PRELUDE = """
import os, signal, threading, time
import numpy as np
from tracejit.control.scan import scan
from tracejit.ops.arithmetic import add, mul
from tracejit.ops.transcendental import sin
from tracejit.runtime.jit import jit
f = jit(lambda x: scan(lambda c, _: (sin(c), None), x, None, length=10_000_000)[0])
g = jit(lambda x: add(mul(sin(x), 2.0), x))
x = np.linspace(0, 1, 300_000)
"""


def in_a_process(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_interrupt_stops_a_long_run_and_the_process_goes_on() -> None:
    out = in_a_process(
        """
        g(x)
        f.lower(x).compile()
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.perf_counter()
        try:
            f(x)
        except KeyboardInterrupt:
            print("interrupted", time.perf_counter() - start < 5)
        print(np.allclose(g(x), np.sin(x) * 2 + x))
        """
    )
    assert out.split() == ["interrupted", "True", "True"]


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork here")
def test_a_forked_child_has_a_pool_of_its_own() -> None:
    out = in_a_process(
        """
        wanted = np.asarray(g(x)).tobytes()
        child = os.fork()
        if child == 0:
            os._exit(0 if all(np.asarray(g(x)).tobytes() == wanted for _ in range(50)) else 1)
        print(os.waitpid(child, 0)[1], np.asarray(g(x)).tobytes() == wanted)
        """
    )
    assert out.split() == ["0", "True"]
