"""A process may have only so many mappings: those of linked code are joined, and it still runs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit_llvm import engine
from tracejit_llvm.mappings import join_mappings

MAPS = Path("/proc/self/maps")
linux = pytest.mark.skipif(not MAPS.exists(), reason="there is no /proc of Linux")
STEPS = (tnp.sin, tnp.cos, tnp.arctan, tnp.tanh, tnp.square)
NAMES = ("sin", "cos", "arctan", "tanh", "square")
X = np.linspace(0.1, 0.9, 50)


def count() -> int:
    return len(MAPS.read_text().splitlines())


def compiled(number: int) -> object:
    def f(x: np.ndarray) -> object:
        k = number
        for _ in range(3):
            x = STEPS[k % 5](x) * (1.25 + number / 100)
            k //= 5
        return x

    return tj.jit(f)


def expected(number: int) -> np.ndarray:
    x, k = X, number
    for _ in range(3):
        x = getattr(np, NAMES[k % 5])(x) * (1.25 + number / 100)
        k //= 5
    return x


@linux
def test_mappings_do_not_grow_with_what_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "EVERY", 5)
    functions = [compiled(n) for n in range(40)]
    with tj.settings(cache_dir=""):
        first = [f(X) for f in functions[:5]]  # type: ignore[operator]
        before = count()
        rest = [f(X) for f in functions[5:]]  # type: ignore[operator]
    # Two a library if they were not joined; other threads may map something meanwhile.
    assert count() - before < 40
    for n, out in enumerate([*first, *rest]):
        np.testing.assert_allclose(out, expected(n), rtol=1e-10)
        np.testing.assert_array_equal(functions[n](X), out)  # type: ignore[operator]


def test_nothing_is_touched_for_no_address() -> None:
    assert join_mappings([]) == 0
    assert join_mappings([1]) == 0


@linux
def test_elsewhere_there_is_nothing_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert join_mappings([id(X)]) == 0
