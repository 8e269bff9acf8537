"""Plans on disk: what is read back is what was compiled, and nothing else is read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit.backend.diskcache import DiskCache
from tracejit.compiler.pipeline import compile_program
from tracejit.compiler.stored import plan_from_bytes, plan_to_bytes
from tracejit.ir.plan import Plan
from tracejit.ir.program import Program
from tracejit.ir.scalar import COSTS
from tracejit.ir.target import Target
from tracejit.runtime.stored_plans import LEAST_EQUATIONS, plan_of

TARGET = Target("cpu", 1 << 25, frozenset(COSTS), frozenset(["matmul", "cumsum", "sort"]))
ENOUGH = LEAST_EQUATIONS


def elementwise(x: Any, y: Any) -> Any:
    for n in range(ENOUGH):
        x = tnp.where(x > -0.0, tnp.sin(x) * y[0] - 0.5 * n, tnp.inf) + x.astype(tnp.float32)
    return x


def stencil(x: Any, y: Any) -> Any:
    for n in range(ENOUGH // 4):
        p = tnp.pad(x, ((1, 1), (0, 0)))
        x = x + (0.1 + n) * (p[:-2] - 2.0 * x + p[2:]) + tnp.flip(y, 0)
        x = x - tnp.argmax(x, axis=1)[:, None]
    return x, tnp.mean(x), (x.sum(axis=0), 1.0)


def library(x: Any, y: Any) -> Any:
    for _ in range(ENOUGH // 3):
        x = tnp.cumsum(tnp.sort(tnp.sin(x) @ (y.T @ y), axis=0), axis=1)
    return x


def spectrum(x: Any, y: Any) -> Any:
    z = x + 1j * y
    for _ in range(ENOUGH // 3):
        z = tnp.exp(0.1 * z) * tnp.conj(z) - tnp.sum(z, axis=1, keepdims=True)
    return tnp.abs(z), z


def repeated(x: Any, y: Any) -> Any:
    for _ in range(40):
        x = x * tnp.cos(y) - tnp.mean(x * y) + tnp.max(x) - 0.5 * tnp.min(x)
    return x


FUNCTIONS: list[Callable[..., Any]] = [elementwise, stencil, library, spectrum, repeated]


def program_of(function: Callable[..., Any]) -> Program:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 20, 30))
    program: Program = tracejit.jit(function).lower(x, y).program
    return program


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_plan_and_back(function: Callable[..., Any]) -> None:
    program = program_of(function)
    plan = compile_program(program, TARGET)
    text = plan_to_bytes(plan, program)
    assert text is not None
    found = plan_from_bytes(text, program)
    assert found is not None
    for name in ("name", "steps", "slots", "inputs", "outputs", "arena_bytes", "aliases", "notes"):
        assert getattr(found, name) == getattr(plan, name), name
    for a, b in zip(found.constants, plan.constants, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    for k, own in zip(found.kernels, plan.kernels, strict=True):
        assert k.text() == own.text()
        assert k.parallel == own.parallel
        assert type(own)(k.buffers, k.body, k.n_sizes, k.floats).text() == own.text()


class Counted:
    """A compiler that counts."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.calls = 0

    def __call__(self) -> Plan:
        self.calls += 1
        return compile_program(self.program, TARGET)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DiskCache:
    made = DiskCache(tmp_path / "plans")
    monkeypatch.setattr(sys.modules["tracejit.runtime.stored_plans"], "_disk", made)
    return made


def files(disk: DiskCache) -> list[Path]:
    assert isinstance(disk.folder, Path)
    return sorted(disk.folder.iterdir()) if disk.folder.exists() else []


def test_a_program_is_compiled_once(disk: DiskCache) -> None:
    first, again = Counted(program_of(stencil)), Counted(program_of(stencil))
    a = plan_of(first.program, TARGET, (), first)
    b = plan_of(again.program, TARGET, (), again)
    assert (first.calls, again.calls) == (1, 0)
    assert [k.text() for k in a.kernels] == [k.text() for k in b.kernels]
    plan_of(again.program, TARGET, (True, False), again)
    assert again.calls == 1
    assert len(files(disk)) == 2


def test_results_of_a_stored_plan(disk: DiskCache) -> None:
    x, y = np.random.default_rng(2).normal(size=(2, 20, 30))
    for function in FUNCTIONS:
        wanted, got = (
            tracejit.tree.leaves(tracejit.jit(lambda x, y, f=function: f(x, y))(x, y))
            for _ in range(2)
        )
        for a, b in zip(wanted, got, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert len(files(disk)) == len(FUNCTIONS)


def test_what_is_stored_and_is_no_plan_is_compiled_anew(disk: DiskCache) -> None:
    counted = Counted(program_of(stencil))
    plan_of(counted.program, TARGET, (), counted)
    (path,) = files(disk)
    for content in (b"", b"no plan", b"[]", b"{}", b'{"avals": [[[3], "f65", 0]]}', b"\xff"):
        disk.put(path.name, content)
        before = counted.calls
        plan_of(counted.program, TARGET, (), counted)
        assert counted.calls == before + 1


def test_literals_that_are_equal_but_not_the_same_are_told_apart(disk: DiskCache) -> None:
    def of(zero: Any) -> Counted:
        def function(x: Any, y: Any) -> Any:
            for _ in range(ENOUGH):
                x = tnp.minimum(x, zero) * y
            return x

        return Counted(program_of(function))

    for counted in map(of, (0.0, -0.0, float("nan"))):
        plan_of(counted.program, TARGET, (), counted)
        assert counted.calls == 1
    again = of(-0.0)
    plan_of(again.program, TARGET, (), again)
    assert again.calls == 0
    assert len(files(disk)) == 3


def test_what_is_not_all_said_by_its_text_is_not_kept(disk: DiskCache) -> None:
    captured = np.arange(30.0)

    def of_an_array(x: Any, y: Any) -> Any:
        return elementwise(x + captured, y)

    def of_a_loop(x: Any, y: Any) -> Any:
        return elementwise(tracejit.lax.fori_loop(0, 3, lambda n, x: x + n, x), y)

    def of_a_function(x: Any, y: Any) -> Any:
        return elementwise(
            tracejit.pure_callback(lambda x: x, tracejit.ShapeDtypeStruct(x.shape, x.dtype), x), y
        )

    for function in (of_an_array, of_a_loop, of_a_function):
        counted = Counted(program_of(function))
        for n in range(2):
            plan_of(counted.program, TARGET, (), counted)
            assert counted.calls == n + 1
    assert files(disk) == []
