"""The table of expressions: what somebody holds stays what is found, the rest is dropped."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit.ir import scalar as s


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s, "_most", 0)


def test_what_is_held_stays(small: None) -> None:
    var = s.IndexVar("i", 9)
    held = s.affine(3, [(2, s.index(var))])
    gone = weakref.ref(s.raw("ref", (), s.F64, "a name that nobody holds"))
    s._most = 0
    s._drop()
    assert s.affine(3, [(2, s.index(var))]) is held
    assert s.index(var) is held.args[0]
    assert gone() is None


def test_the_limit_grows_with_what_is_held(small: None) -> None:
    held = [s.raw("ref", (), s.F64, f"s{n}") for n in range(500)]
    assert all(s.raw("ref", (), s.F64, f"s{n}") is e for n, e in enumerate(held))
    assert len(s._table) <= s._most + 1


def test_programs_compile_while_expressions_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.linspace(0.1, 1.0, 37)
    for seed in range(3):
        # So few that every compilation drops some; the limit grows back.
        monkeypatch.setattr(s, "_most", 20 + 7 * seed)

        def f(x: np.ndarray, seed: int = seed) -> object:
            y = tnp.sin(x * (1.5 + seed)) / (1.0 + x)
            return tnp.roll(y, seed + 1) * tnp.cumsum(y) + tnp.sum(y**2)

        y = np.sin(x * (1.5 + seed)) / (1 + x)
        wanted = np.roll(y, seed + 1) * np.cumsum(y) + np.sum(y**2)
        np.testing.assert_allclose(tj.jit(f)(x), wanted, rtol=1e-12)


def test_threads_agree_while_expressions_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [s.raw("ref", (), s.F64, f"held {n}") for n in range(200)]
    wrong: list[int] = []
    monkeypatch.setattr(s, "_most", 10**9)

    def look(start: int) -> None:
        for turn in range(300):
            n = (start + 7 * turn) % len(held)
            if s.raw("ref", (), s.F64, f"held {n}") is not held[n]:
                wrong.append(n)

    threads = [threading.Thread(target=look, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    for _ in range(20):
        s._most = 10
        s._drop()
    for t in threads:
        t.join()
    assert not wrong
