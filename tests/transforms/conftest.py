"""Every test of this folder runs over NumPy, one primitive at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tracejit.core.interpreter import interpreting
from tracejit.testing.evaluate import Evaluate


@pytest.fixture(autouse=True)
def evaluator() -> Iterator[Evaluate]:
    """Evaluate by the checking evaluator, which counts."""
    with interpreting(Evaluate()) as interpreter:
        assert isinstance(interpreter, Evaluate)
        yield interpreter
