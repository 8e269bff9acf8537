"""``python -m bench --device cuda``: the command, and what its figures amount to."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.cuda import command, libraries, machine, overhead, report
from bench.cuda.machine import Machine
from bench.cuda.rows import Aim, DeviceCase, DeviceTimed, Work, filled
from bench.harness import Case, Effort, Outcome, measure
from bench.peers import Peer
from tracejit_cuda.simulator import SimulatorRuntime

ROOT = Path(__file__).parents[2]
CARD = Machine("A card", "1.0", "CUDA 13.0", "2026-01-01", 50 << 20, False)
SIMULATOR = Machine(machine.SIMULATED, "", "", "2026-01-01", 0, True)


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "TRACEJIT_CUDA_RUNTIME"} | environment
    return subprocess.run(
        [sys.executable, "-m", "bench", "--device", "cuda", *arguments],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def options(**changes: Any) -> argparse.Namespace:
    usual = {"quick": True, "filter": "", "list": False, "peers": None, "threads": None}
    return argparse.Namespace(**usual | {"json": None} | changes)


def row(**changes: Any) -> DeviceCase:
    return DeviceCase("a row", "10", "float32", tuple, {}, **changes)


def outcome(**seconds: float) -> Outcome:
    return Outcome("a row", "10", "float32", seconds)


def test_without_a_device() -> None:
    done = bench(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("bench: the backend 'cuda' cannot run here: ")
    assert len(done.stderr.splitlines()) == 1


def test_every_row_runs_in_the_simulator(tmp_path: Path) -> None:
    if lacking := SimulatorRuntime().missing():
        pytest.skip(lacking)
    target = tmp_path / "table.json"
    done = bench("--quick", "--json", str(target), TRACEJIT_CUDA_RUNTIME="cudasim")
    assert done.returncode == 0, done.stdout + done.stderr
    first, _, _, *lines = done.stdout.splitlines()
    assert first.startswith("simulated: ")
    rows = command.select(True, "")
    assert [line.split("simulated")[0].split() for line in lines] == [
        [*r.name.split(), *r.size.split(), r.dtype] for r in rows
    ]
    assert all(line.endswith("simulated: tracejit right") for line in lines)
    content = json.loads(target.read_text(encoding="utf-8"))
    assert content["copy_bytes_per_second"] is None
    assert [r["case"] for r in content["rows"]] == [r.name for r in rows]
    for r in content["rows"]:
        assert r["on"] == machine.SIMULATED
        assert r["seconds"] == r["quantities"] == r["errors"] == {}
        assert set(r["aims"].values()) <= {"simulated"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quick": False}, "the simulator of CUDA runs only --quick"),
        ({"filter": "no such row"}, "no row contains 'no such row'"),
        ({"peers": "jax,numba"}, r"--peers must be of jax, torch, torch.compile, cupy on cuda"),
        ({"threads": 2}, "--threads is for the host"),
    ],
)
def test_refusals(
    changes: dict[str, Any],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRACEJIT_CUDA_RUNTIME", "cudasim")
    assert command.run(options(**changes)) == 2
    assert reason in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(options(filter="softmax", quick=False, list=True)) == 0
    assert capsys.readouterr().out == "softmax | 32768x4096 | float32\n"


@pytest.mark.parametrize(
    ("aim", "text", "met", "missed"),
    [
        (Aim("copy", 0.9), "90% of copy", 0.9, 0.89),
        (Aim("Gpoint/s", 430), "430 Gpoint/s", 431.0, 429.0),
        (Aim("jax", 50.0), "50x jax", 51.0, 49.0),
        (Aim("compiled", 0), "0 compiled", 0, 1),
    ],
)
def test_aims(aim: Aim, text: str, met: float, missed: float) -> None:
    assert str(aim) == text
    assert aim.met({aim.quantity: met}) is True
    assert aim.met({aim.quantity: missed}) is False
    assert aim.met({"another": met}) is None
    for value, word in ((met, "met"), (missed, "not met")):
        found = {aim.quantity: value}
        assert report.verdicts(row(aims=(aim,)), found, CARD, False) == {text: word}
        assert report.verdicts(row(aims=(aim,)), found, CARD, True) == {text: "quick"}
        assert report.verdicts(row(aims=(aim,)), found, SIMULATOR, True) == {text: "simulated"}
    assert report.verdicts(row(aims=(aim,)), {}, CARD, False) == {text: "not measured"}


def test_the_aims_that_were_set() -> None:
    aims = {(r.name, r.dtype): {str(a) for a in r.aims} for r in command.select(False, "")}
    for name, dtype, aim in (
        ("fused elementwise", "float32", "90% of copy"),
        ("fused elementwise", "float64", "90% of copy"),
        ("heat 2-D, roll", "float32", "430 Gpoint/s"),
        ("heat 2-D, slices", "float32", "430 Gpoint/s"),
        ("softmax", "float32", "85% of copy"),
        ("layer norm", "float32", "85% of copy"),
        ("matmul", "float32", "0.95x cupy"),
        ("matmul", "float64", "0.95x cupy"),
        ("1000 heat steps", "float32", "5x jax"),
        ("Lorenz, 10000 turns", "float64", "50x jax"),
        ("call, 1 array", "float64", "1x jax"),
        ("first call", "float64", "3x jax"),
        ("a second size", "float64", "0 compiled"),
    ):
        assert aim in aims[name, dtype], name


def test_what_is_rated_by_bandwidth_does_not_fit_the_cache() -> None:
    rated = [
        r
        for r in command.select(False, "")
        if isinstance(r, DeviceCase) and any(a.quantity in ("copy", "Gpoint/s") for a in r.aims)
    ]
    assert len(rated) > 15
    for r in rated:
        assert r.work.bytes >= report.BEYOND_CACHE * (60 << 20), r.name  # the cache of an H200


def test_quantities() -> None:
    seconds = outcome(tracejit=0.5, jax=1.0, cupy=0.25)
    large = row(work=Work(bytes=10**9, points=2 * 10**9, flops=10**12))
    found = report.quantities(large, seconds, CARD, 4e9)
    assert found == {
        "GB/s": 2.0, "copy": 0.5, "Gpoint/s": 4.0, "TFLOP/s": 2.0, "jax": 2.0, "cupy": 0.5,
    }  # fmt: skip
    small = row(work=Work(bytes=150 << 20))
    assert set(report.quantities(small, seconds, CARD, 4e9)) == {"GB/s", "jax", "cupy"}
    assert report.quantities(large, seconds, SIMULATOR, 4e9) == {}
    assert report.quantities(large, outcome(jax=1.0), CARD, 4e9) == {}
    timed = DeviceTimed("a row", "10", "float32", {}, counted={"compiled": 1})
    assert report.quantities(timed, outcome(tracejit=1.0), CARD, 4e9) == {"compiled": 1}


def test_line() -> None:
    case = row(work=Work(bytes=4 * 10**9), aims=(Aim("copy", 0.9), Aim("jax", 3.0)))
    seconds = outcome(tracejit=1e-3, jax=2e-3)
    seconds.errors["torch"] = "ValueError: differs"
    found = report.quantities(case, seconds, CARD, 4.2e12)
    said = report.verdicts(case, found, CARD, False)
    text, error = report.line(
        case, seconds, found, said, ["jax", "torch", "cupy"], False
    ).splitlines()
    assert " ".join(text.split()) == (
        "a row 10 float32 1 ms 4000 GB/s 95% 2.00 ( 2 ms) error - 90% of copy: met 3x jax: not met"
    )
    assert error == "    error: torch: ValueError: differs"
    shown = report.line(case, seconds, {}, said, [], True)
    assert "simulated: tracejit right  jax right" in shown
    assert "ms" not in shown


def test_run_with_a_card(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The path of a GPU, with NumPy in the place of each library."""

    def axpy(x: Any, y: Any) -> Any:
        return 2.0 * x + y

    def wrong(x: Any, y: Any) -> Any:
        return 2.0 * x - y

    functions = {
        "reference": lambda: axpy, "tracejit": lambda: axpy, "jax": lambda: axpy,
        "torch": lambda: wrong,
    }  # fmt: skip
    case = DeviceCase(
        "axpy", "9", "float64", lambda: (filled((9,), "float64"), filled((9,), "float64", 1)),
        functions, work=Work(bytes=216), aims=(Aim("copy", 0.9), Aim("cupy", 1.0)),
    )  # fmt: skip
    released = []
    monkeypatch.delenv("TRACEJIT_CUDA_RUNTIME", raising=False)
    monkeypatch.setattr(command, "WORKLOADS", [SimpleNamespace(cases=lambda quick: [case])])
    monkeypatch.setattr(command, "FULL", Effort(1e-4, 3, 0.1))
    monkeypatch.setattr(command, "_missing", lambda: "")
    monkeypatch.setattr(machine, "look", lambda: CARD)
    monkeypatch.setattr(machine, "copy_bandwidth", lambda: 4e12)
    monkeypatch.setattr(libraries, "array_library", lambda: np)
    monkeypatch.setattr(libraries, "release", lambda: released.append(1))

    def load(name: str) -> Peer:
        if name == "cupy":
            raise libraries.Absent("not installed")
        return Peer(name, "1.0", np.asarray, lambda x: x, np.asarray)

    monkeypatch.setattr(libraries, "load", load)
    target = tmp_path / "table.json"
    assert command.run(options(quick=False, json=target, peers="jax,torch,cupy")) == 0
    printed = capsys.readouterr()
    assert printed.err == "bench: without cupy: not installed\n"
    assert "copy of 1 GiB by CUDA, read and written: 4000 GB/s on A card" in printed.out
    assert "error: torch: ValueError: differs from reference by" in printed.out
    assert "90% of copy: not measured" in printed.out  # 216 bytes fit any cache
    content = json.loads(target.read_text(encoding="utf-8"))
    assert content["machine"]["driver"] == "1.0"
    assert content["copy_bytes_per_second"] == 4e12
    (only,) = content["rows"]
    assert only["on"] == "A card"
    assert set(only["seconds"]) == {"tracejit", "jax"}
    assert only["quantities"]["jax"] == only["seconds"]["jax"] / only["seconds"]["tracejit"]
    assert len(released) == 2

    functions["tracejit"] = lambda: wrong
    assert command.run(options(quick=False, peers="jax")) == 1
    functions["reference"] = lambda: 1 / 0
    assert command.run(options(quick=False, peers="jax")) == 1
    assert "error: reference: ZeroDivisionError" in capsys.readouterr().out


class FakeEvent:
    """An event of a device whose copies take a millisecond each."""

    clock = 0.0

    def record(self, stream: Any) -> None:
        del stream
        self.at = FakeEvent.clock

    def synchronize(self) -> None:
        """Wait for nothing."""


def test_look_and_copy_bandwidth(monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(target: int, source: int, nbytes: int, kind: int, stream: int) -> None:
        assert (target, source, nbytes, kind, stream) == (2, 1, machine.COPIED, 3, 0)
        FakeEvent.clock += 1.0

    runtime = SimpleNamespace(
        getDeviceProperties=lambda device: {
            "name": b"A card", "major": 9, "minor": 0, "multiProcessorCount": 132,
            "l2CacheSize": 60 << 20, "totalGlobalMem": 139 << 30,
        },
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13020,
        memcpyAsync=copy,
        memcpyDeviceToDevice=3,
    )  # fmt: skip
    cuda = SimpleNamespace(
        runtime=runtime,
        Stream=SimpleNamespace(null=SimpleNamespace(ptr=0)),
        Event=FakeEvent,
        get_elapsed_time=lambda began, ended: ended.at - began.at,
    )
    cupy = SimpleNamespace(
        cuda=cuda,
        arange=lambda n, dtype: SimpleNamespace(data=SimpleNamespace(ptr=1)),
        empty_like=lambda x: SimpleNamespace(data=SimpleNamespace(ptr=2)),
    )
    modules = {"cupy": cupy, "tracejit_cuda.nvrtc": SimpleNamespace(version=lambda: (13, 0))}
    monkeypatch.setattr(machine, "importlib", SimpleNamespace(import_module=modules.__getitem__))
    monkeypatch.setattr(machine, "_driver", lambda: "580.1")
    monkeypatch.delenv("TRACEJIT_CUDA_RUNTIME", raising=False)
    assert machine.copy_bandwidth() == pytest.approx(2 * machine.COPIED / 1e-3)
    found = machine.look()
    assert found.heading.startswith(
        "A card (sm_90, 132 multiprocessors, 60 MiB cache, 139 GiB); driver 580.1 (CUDA 13.0); "
        "CUDA runtime 13.2, NVRTC 13.0; 20"
    )
    assert found.cache_bytes == 60 << 20


def test_a_second_size_counts_what_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler of two kernels a size: the aim must notice."""
    kernels = {"compiled": 0}
    seen: set[tuple[int, ...]] = set()

    def compile_(function: Any) -> Any:
        def call(x: Any, y: Any) -> Any:
            if x.shape not in seen:
                seen.add(x.shape)
                kernels["compiled"] += 2
            return function(x, y)

        return call

    monkeypatch.setattr(overhead, "_compiler", lambda peer: (compile_, np))
    monkeypatch.setattr(overhead, "_kernels_compiled", lambda peer: kernels["compiled"])
    (second,) = (r for r in overhead.cases(True) if (r.name, r.size) == ("a second size", "20 ops"))
    assert isinstance(second, DeviceTimed)
    peer = Peer("tracejit", "1.0", np.asarray, lambda x: x, np.asarray)
    found = measure(second, [peer], Effort(0.0, 1, 0.0))
    assert found.errors == {}
    amounts = report.quantities(second, found, CARD, None)
    assert amounts == {"compiled": 2}
    assert report.verdicts(second, amounts, CARD, False) == {"0 compiled": "not met"}


def test_results_are_compared_where_the_reference_has_them() -> None:
    """Neither arguments nor results pass through NumPy if the reference is another library."""

    class Elsewhere(np.lib.mixins.NDArrayOperatorsMixin):
        """An array of another library that has NumPy's functions."""

        def __init__(self, values: Any) -> None:
            self.values, self.shape = values, np.shape(values)

        def __array__(self, *args: Any, **how: Any) -> Any:
            raise TypeError("must not come to the host")

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **how: Any) -> Any:
            return Elsewhere(ufunc(*(getattr(x, "values", x) for x in inputs)))

        def __array_function__(self, function: Any, types: Any, args: Any, how: Any) -> Any:
            return Elsewhere(function(*(getattr(x, "values", x) for x in args), **how))

        def __float__(self) -> float:
            return float(self.values)

        def astype(self, dtype: Any) -> Any:
            return Elsewhere(self.values.astype(dtype))

    def bring(x: Any) -> Any:
        assert isinstance(x, Elsewhere)
        return x

    library = Peer("reference", "1.0", Elsewhere, lambda x: x, bring)
    peer = Peer("jax", "1.0", Elsewhere, lambda x: x, bring)
    right, wrong = (lambda x: {"y": 2.0 * x}), (lambda x: {"y": 2.5 * x})
    for function, errors in ((right, 0), (wrong, 1)):
        case = Case(
            "a row", "3", "float64", lambda: (np.arange(3.0),),
            {"reference": lambda: right, "jax": lambda f=function: f},
        )  # fmt: skip
        found = measure(case, [peer], Effort(0.0, 3, 0.0), library)
        assert len(found.errors) == errors, found.errors
