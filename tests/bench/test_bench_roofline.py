"""The columns of memory in the table of the host: what a row moves, and the share of the triad."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from bench import __main__ as command
from bench import memory
from bench.harness import Case, Effort, Outcome, Timed, measure
from bench.peers import Peer
from bench.roofline import HEADING, Traffic, columns, share, traffic
from bench.ways import compiled
from tracejit import lax
from tracejit.tools import roofline

OURS = Peer("tracejit", "", tnp.asarray, tracejit.block_until_ready, np.asarray)
X = np.ones((1000, 10))


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose memory moves 1 GB a second."""
    monkeypatch.setattr(roofline, "_measured", lambda nbytes, threads: 1e9)


def test_traffic_is_that_of_the_plan() -> None:
    found = traffic(tracejit.jit(lambda x: (tnp.sin(x) + 1.0, tnp.sum(x))), [X])
    assert found is not None
    assert found.least == 2 * X.nbytes + 8
    assert X.nbytes * 2 <= found.moved <= 3 * X.nbytes + 100
    assert found.operations == 3 * X.size
    assert found.footprint >= found.least


def test_what_no_plan_tells() -> None:
    assert traffic(lambda x: x, [X]) is None
    until = tracejit.jit(lambda x: lax.while_loop(lambda x: x[0, 0] < 9.0, lambda x: x + 1.0, x))
    assert traffic(until, [X]) is None


def test_share_of_the_triad() -> None:
    assert share(Traffic(10**6, 10**6, 10**6, 10**6), 2e-3) == pytest.approx(0.5)
    assert share(Traffic(10**3, 10**3, 10**3, 10**3), 2e-6) is None  # a call, not memory
    assert share(Traffic(10**6, 10**6, 10**6, 10**8), 2e-3) is None  # arithmetic, not memory


@pytest.mark.parametrize(
    ("found", "seconds", "expected"),
    [
        (None, 1.0, []),
        (Traffic(10**6, 10**6, 10**6, 0), None, []),
        (Traffic(2 * 10**6, 10**6, 10**6, 0), 4e-3, ["2", "MB", "2.00", "50%"]),
        (Traffic(1_234, 1_234, 1_234, 0), 1e-6, ["1.23", "kB", "1.00"]),
        (Traffic(160 * 10**6, 10**6, 10**6, 0), 0.16, ["160", "MB", "160", "100%"]),
    ],
)
def test_columns(found: Traffic | None, seconds: float | None, expected: list[str]) -> None:
    shown = columns(found, seconds)
    assert shown.split() == expected
    assert len(shown) == len(HEADING)


def test_a_row_has_them() -> None:
    functions = compiled(lambda lib: lambda x: lib.xp.exp(x) * 2.0, "numpy")
    case = Case("row", "1000x10", "float64", lambda: (X,), functions, divide=4)
    outcome = measure(case, [OURS], Effort(0.0, 3, 0.0))
    assert outcome.errors == {}
    assert outcome.traffic is not None
    assert outcome.traffic.moved == outcome.traffic.least == 2 * X.nbytes
    assert outcome.call == 4 * outcome.seconds["tracejit"]
    row = command._row(Outcome("a", "1", "f", {"tracejit": 4e-3, "jax": 8e-3},
                               traffic=Traffic(2 * 10**6, 10**6, 10**6, 0)), ["jax"])  # fmt: skip
    assert row.split() == [
        "a", "1", "f", "4", "ms", "2", "MB", "2.00", "50%", "2.00", "(", "8", "ms)",
    ]  # fmt: skip


def test_rows_of_memory_are_bytes(tmp_path: Path) -> None:
    asked = []

    def sampler(peer: Peer, number: int) -> float:
        asked.append((peer.name, number))
        return 2.5e6

    row = Timed("a", "1", "f", {"tracejit": sampler}, 2, "B")
    outcome = measure(row, [OURS], Effort(0.0, 5, 0.0))
    assert asked == [("tracejit", 0), ("tracejit", 1)]
    assert command._row(outcome, ["jax"]).split() == ["a", "1", "f", "2.5", "MB", "-"]
    target = tmp_path / "table.json"
    command._write(target, [outcome], [OURS])
    (written,) = json.loads(target.read_text(encoding="utf-8"))["rows"]
    assert written["bytes"] == {"tracejit": 2.5e6}


def test_the_most_memory_of_a_process() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("there is no /proc of Linux")
    (row,) = (r for r in memory.cases(quick=True) if r.name == "memory, heat")
    n = 1024
    assert row.size == f"{n}x{n}"
    found = row.samplers["tracejit"](OURS, 0)
    assert n * n * 8 <= found <= 20 * n * n * 8  # the result at least
