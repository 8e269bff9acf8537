"""Every test of this folder runs over NumPy, one primitive at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tracejit.numpy  # noqa: F401  (installs operators)
from tracejit.core.interpreter import bottom, install_bottom
from tracejit.testing.evaluate import Evaluate


@pytest.fixture(autouse=True)
def evaluating() -> Iterator[None]:
    """Install the checking evaluator at the bottom."""
    before = bottom()
    install_bottom(Evaluate(before))
    yield
    install_bottom(before)
