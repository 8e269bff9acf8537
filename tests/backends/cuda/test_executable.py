"""What a plan enqueues on a device: how many launches, and what it asks of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.compiler.pipeline import compile_program
from tracejit_cuda.backend import CudaBackend
from tracejit_cuda.simulator import SimulatorRuntime


class Counting(SimulatorRuntime):
    """A simulator that counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: list[tuple[int, int, bool]] = []
        self.peeks = self.copies = self.graphs = 0

    def launch(
        self,
        function: Any,
        blocks: int,
        threads: int,
        shared: int,
        arguments: Any,
        device: int,
        cooperative: bool = False,
    ) -> None:
        self.launches.append((blocks, threads, cooperative))
        super().launch(function, blocks, threads, shared, arguments, device, cooperative)

    def peek(self, address: int, dtype: Any, device: int) -> Any:
        self.peeks += 1
        return super().peek(address, dtype, device)

    def copy(self, target: int, source: int, nbytes: int, device: int) -> None:
        self.copies += 1
        super().copy(target, source, nbytes, device)

    def capture(self, run: Callable[[], None], device: int) -> Any:
        self.graphs += 1
        return super().capture(run, device)


def run(f: Callable[..., Any], *args: Any) -> tuple[list[Any], Counting]:
    """Run a function by a backend that counts, and compare with the CPU."""
    runtime = Counting()
    backend = CudaBackend(runtime)
    plan = compile_program(tj.jit(f).lower(*args).program, backend.target())
    executable = backend.compile(plan)
    inputs = [
        backend.put(np.asarray(x, a.dtype))
        for x, a in zip(tj.tree.leaves(args), plan.inputs, strict=True)
    ]
    outputs = [backend.empty(a.shape, a.dtype) for a in plan.outputs]
    runtime.launches.clear()
    executable(inputs, outputs)
    results = [o.get() for o in outputs]
    for got, want in zip(results, tj.tree.leaves(tj.jit(f)(*args)), strict=True):
        np.testing.assert_allclose(got, np.asarray(want), rtol=1e-12, atol=1e-12)
    return results, runtime


def matrix(n: int) -> Any:
    return np.random.default_rng(1).normal(size=(n, n)) / n


def test_a_small_loop_is_one_block() -> None:
    def f(x: Any) -> Any:
        return tj.lax.fori_loop(0, 1000, lambda i, u: u + 0.1 * (tnp.roll(u, 1) - u), x)

    _, runtime = run(f, np.arange(40.0))
    assert [blocks for blocks, _, _ in runtime.launches] == [1]
    assert (runtime.peeks, runtime.copies) == (0, 0)


def test_a_loop_until_a_flag_is_one_block() -> None:
    def f(x: Any) -> Any:
        return tj.lax.while_loop(lambda u: tnp.sum(u * u) < 1e6, lambda u: u * 1.01 + 0.1, x)

    _, runtime = run(f, np.ones(3))
    assert len(runtime.launches) == 1
    assert runtime.peeks == 0


def test_a_large_loop_is_one_grid_that_waits_for_itself() -> None:
    def f(x: Any) -> Any:
        return tj.lax.fori_loop(0, 3, lambda i, u: u + 0.1 * (tnp.roll(u, 1, 0) - u), x)

    _, runtime = run(f, np.arange(128.0 * 256).reshape(128, 256))
    ((blocks, _, cooperative),) = runtime.launches
    assert blocks > 1
    assert cooperative
    assert runtime.peeks == 0


def test_nested_loops_and_branches_are_one_launch() -> None:
    def f(x: Any) -> Any:
        def outer(i: Any, u: Any) -> Any:
            u = tj.lax.while_loop(lambda v: tnp.max(v) < 10.0 * (i + 1), lambda v: v * 1.7 + 0.1, u)
            return tj.lax.switch(i % 3, [lambda v: v / 3, lambda v: v - 1, tnp.sqrt], u)

        return tj.lax.fori_loop(0, 7, outer, x)

    _, runtime = run(f, np.ones(5))
    assert len(runtime.launches) == 1
    assert runtime.peeks == 0


def test_a_loop_around_a_library_is_replayed() -> None:
    def f(x: Any) -> Any:
        return tj.lax.fori_loop(0, 100, lambda i, u: (u @ u) * 0.5 + x, x)

    _, runtime = run(f, matrix(24))
    assert runtime.graphs == 1
    assert runtime.peeks == 0


@pytest.mark.parametrize("trips", [0, 1, 2, 3, 4, 20, 150])
def test_a_loop_around_a_library_runs_ahead_of_its_flag(trips: int) -> None:
    def f(x: Any) -> Any:
        def body(c: Any) -> Any:
            n, _, u = c
            return n + 1, u, (u @ u) * 0.1 + x + 1e-4 * n

        return tj.lax.while_loop(lambda c: c[0] < trips, body, (0, x, x))

    (n, _, _), runtime = run(f, matrix(24))
    assert n == trips
    # The host looks after 1, 2, 4, ... and at last every 64 trips.
    assert runtime.peeks <= 1 + min(trips.bit_length(), 6) + trips // 64


def test_flags_seen_late_change_nothing() -> None:
    def f(x: Any) -> Any:
        # What a trip too many would do shows: it would sort the other way round.
        return tj.lax.while_loop(
            lambda c: c[0] < 5, lambda c: (c[0] + 1, -tnp.sort(c[1]) * 1.5), (0, x)
        )

    run(f, np.arange(6.0))


def test_a_branch_around_a_library_asks_once() -> None:
    def f(x: Any) -> Any:
        return tj.lax.cond(tnp.sum(x) > 0, lambda v: v @ v, lambda v: tnp.sort(v), x)

    for sign in (1.0, -1.0):
        _, runtime = run(f, sign * np.abs(matrix(24)))
        assert runtime.peeks == 1


def test_elementwise_functions_are_one_launch() -> None:
    _, runtime = run(lambda x: (tnp.exp(-x * x) + 1.0, tnp.sin(x)), np.arange(1000.0))
    assert len(runtime.launches) == 1


def test_a_second_size_compiles_nothing() -> None:
    backend = CudaBackend(SimulatorRuntime())
    counts = []
    for n in (100_000, 200_000):
        x = np.arange(float(n))
        plan = compile_program(
            tj.jit(lambda v: tnp.sum(tnp.sin(v) * v)).lower(x).program, backend.target()
        )
        executable = backend.compile(plan)
        out = backend.empty((), np.float64)
        executable([backend.put(x)], [out])
        np.testing.assert_allclose(out.get(), np.sum(np.sin(x) * x), rtol=1e-12)
        counts.append(backend.counters()["compiled"])
    assert counts[0] == counts[1]


def test_the_source_is_shown() -> None:
    backend = CudaBackend(SimulatorRuntime())
    program = tj.jit(lambda v: v + 1.0).lower(np.ones(3)).program
    executable = backend.compile(compile_program(program, backend.target()))
    assert "__global__" in executable.text("cuda")
    with pytest.raises(ValueError, match="'cuda'"):
        executable.text("llvm")


@pytest.mark.parametrize("library", [False, True])
def test_gradients_of_loops_of_unknown_length(library: bool) -> None:
    def step(u: Any, w: Any) -> Any:
        return tnp.sin(u @ w) + 0.1 * u if library else tnp.sin(u) * w

    def f(n: Any, u: Any, w: Any) -> Any:
        return tnp.sum(tj.lax.fori_loop(0, n, lambda _, v: step(v, w), u) ** 2)

    for n in (0, 1, 23):
        # room for five states: longer loops are run again in part
        gradient = tj.grad(f, (1, 2), memory=5 * 8 * 24 * 24)
        run(gradient, np.int64(n), matrix(24), matrix(24) * 8)
