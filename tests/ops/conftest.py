"""Every test of this folder runs over NumPy, one primitive at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tracejit.core.interpreter import interpreting
from tracejit.testing.evaluate import Evaluate


@pytest.fixture(autouse=True)
def evaluating() -> Iterator[None]:
    """Evaluate by the checking evaluator."""
    with interpreting(Evaluate()):
        yield
