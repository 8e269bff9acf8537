"""Python scalars as operands: their dtypes, and that they are weak (NEP 50)."""

from __future__ import annotations

from typing import Any

from tracejit.core.errors import DTypeError
from tracejit.core.settings import current_settings
from tracejit.ir.avals import ShapedArray

__all__ = ["PYTHON_SCALARS", "aval_of_scalar"]

PYTHON_SCALARS: dict[type[Any], ShapedArray] = {
    bool: ShapedArray((), "bool", True),
    int: ShapedArray((), "int64", True),
    float: ShapedArray((), "float64", True),
    complex: ShapedArray((), "complex128", True),
}

"""The types of Python scalars, and their avals where the default float is float64."""

_WEAK: dict[tuple[type[Any], str], ShapedArray] = {
    (float, "float64"): PYTHON_SCALARS[float],
    (complex, "float64"): PYTHON_SCALARS[complex],
    (float, "float32"): ShapedArray((), "float32", True),
    (complex, "float32"): ShapedArray((), "complex64", True),
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
            if kind is float or kind is complex:
                return _WEAK[kind, current_settings().default_float]
            if kind is int and not -(2**63) <= x < 2**64:
                raise DTypeError(f"the int {x} does not fit in 64 bits; use a float")
            if kind is int and x >= 2**63:
                return ShapedArray((), "uint64", True)
            return aval
    raise DTypeError(f"{type(x).__name__} is not a Python scalar")
