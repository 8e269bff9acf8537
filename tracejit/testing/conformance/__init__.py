"""Conformance: programs that every backend must compute like NumPy."""

from __future__ import annotations

from tracejit.testing.conformance import (
    complex_numbers,
    derivatives,
    elementwise,
    indexing,
    loops,
    movement,
    ordering,
    products,
    programs,
    reductions,
    stencils,
)
from tracejit.testing.conformance.case import Case, named, tolerance

__all__ = ["CASES", "Case", "tolerance"]

CASES = (
    *named("elementwise", elementwise.CASES),
    *named("movement", movement.CASES),
    *named("stencils", stencils.CASES),
    *named("reductions", reductions.CASES),
    *named("products", products.CASES),
    *named("indexing", indexing.CASES),
    *named("ordering", ordering.CASES),
    *named("loops", loops.CASES),
    *named("derivatives", derivatives.CASES),
    *named("programs", programs.CASES),
    *named("complex", complex_numbers.CASES),
)
"""All of them."""
