"""Every test of this folder runs twice: over NumPy, one primitive at a time, and compiled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tracejit.runtime  # its eager interpreter is the bottom one: it compiles loops and branches
from tracejit.core.interpreter import interpreting
from tracejit.testing.evaluate import Evaluate

assert tracejit.runtime


@pytest.fixture(autouse=True, params=["numpy", "compiled"])
def bottom(request: pytest.FixtureRequest) -> Iterator[None]:
    """Choose what evaluates."""
    if request.param == "compiled":
        yield
        return
    with interpreting(Evaluate()):
        yield
