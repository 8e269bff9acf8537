"""Python scalars as operands: their dtypes, and that they are weak (NEP 50)."""

from __future__ import annotations

from typing import Any

from tracejit.core.errors import DTypeError
from tracejit.ir.avals import ShapedArray

__all__ = ["PYTHON_SCALARS", "aval_of_scalar"]

PYTHON_SCALARS: dict[type[Any], ShapedArray] = {
    bool: ShapedArray((), "bool", True),
    int: ShapedArray((), "int64", True),
    float: ShapedArray((), "float64", True),
    complex: ShapedArray((), "complex128", True),
}


def aval_of_scalar(x: Any) -> ShapedArray:
    """Return the weak aval of a Python scalar.

    Raises
    ------
    DTypeError
        If it is an int that no 64-bit integer holds.
    """
    for kind, aval in PYTHON_SCALARS.items():
        if isinstance(x, kind):
            if kind is int and not -(2**63) <= x < 2**64:
                raise DTypeError(f"the int {x} does not fit in 64 bits; use a float")
            if kind is int and x >= 2**63:
                return ShapedArray((), "uint64", True)
            return aval
    raise DTypeError(f"{type(x).__name__} is not a Python scalar")
