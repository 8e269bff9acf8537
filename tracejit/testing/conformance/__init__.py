"""Conformance: programs that every backend must compute like NumPy."""

from __future__ import annotations

from tracejit.testing.conformance import elementwise
from tracejit.testing.conformance.case import Case, named, tolerance

__all__ = ["CASES", "Case", "tolerance"]

CASES = (*named("elementwise", elementwise.CASES),)
