"""What it means to bind an operation: primitives, rule tables, interpreters, arrays, pytrees."""

from __future__ import annotations

from tracejit.core.tracer import Tracer
from tracejit.ir.avals import ShapedArray

__all__ = ["ShapedArray", "Tracer"]
