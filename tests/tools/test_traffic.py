"""Bytes of compiled code, counted by its loops, and the triad they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.tools import roofline
from tracejit.tools.traffic import footprint, plan_bytes

X = np.ones((30, 40))
N = X.nbytes


def smoothed(u: Any) -> Any:
    return u + 0.1 * (tnp.roll(u, 1, 0) + tnp.roll(u, -1, 0) - 2.0 * u)


ROWS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], int]] = {
    "elementwise": (lambda x: tnp.sin(x) * 2.0 + x, (X,), 2 * N),
    "two results": (lambda x: (x + 1.0, x * 2.0), (X,), 3 * N),
    "a narrower result": (lambda x: x.astype(tnp.float32), (X,), N + N // 2),
    "each neighbour once": (smoothed, (X,), 2 * N),
    "what is not read": (lambda x: x[:10] * 2.0, (X,), 2 * N // 3),
    "a row for all": (lambda x: x + x[0], (X,), 2 * N),
    "a broadcast row": (lambda x, r: x * r, (X, X[0]), 2 * N + X[0].nbytes),
    "gathered rows": (lambda x, i: x[i] + 1.0, (X, np.array([3, 1])), 2 * (2 * 320 + 8)),
    "a product": (lambda x, y: x @ y, (np.ones((90, 90)), np.ones((90, 90))), 3 * 90 * 90 * 8),
    "sorted": (lambda x: tnp.sort(x, axis=0), (X,), 2 * N),
}


@pytest.mark.parametrize("name", ROWS)
def test_bytes(name: str) -> None:
    function, arguments, expected = ROWS[name]
    plan = tracejit.jit(function).lower(*arguments).ready().plan
    found = plan_bytes(plan)
    if name == "gathered rows":  # the indices may be read once or in each kernel
        assert expected - 32 <= found <= expected
    else:
        assert found == expected


def test_a_loop_moves_as_often_as_it_runs() -> None:
    u = np.ones((200, 300))  # more than is kept in one kernel
    run = tracejit.jit(lambda u: lax.fori_loop(0, 7, lambda i, v: smoothed(v), u))
    plan = run.lower(u).ready().plan
    assert 7 * 2 * u.nbytes <= plan_bytes(plan) <= (7 * 2 + 4) * u.nbytes  # and copies
    assert footprint(plan) <= 4 * u.nbytes + 64


def test_a_branch_counts_the_longest() -> None:
    def longest(p: Any, x: Any) -> Any:
        return lax.cond(p, lambda x: tnp.sum(x, axis=0) + x, lambda x: x + 1.0, x)

    plan = tracejit.jit(longest).lower(True, np.ones((200, 300))).ready().plan
    assert plan_bytes(plan) >= 3 * 200 * 300 * 8


def test_the_triad_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    roofline._measured.cache_clear()
    monkeypatch.setattr(roofline, "SAMPLE", 1e-3)
    first = roofline.triad_bandwidth(1)
    assert first > 0.0
    assert roofline.triad_bandwidth(roofline.SMALLEST) == first
    assert roofline._measured.cache_info().misses == 1
    roofline.triad_bandwidth(roofline.SMALLEST + 1)
    assert roofline._measured.cache_info().misses == 2
    roofline._measured.cache_clear()
