"""Arrays and numbers as text.  Options are NumPy's own, so they hold for both libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.numpy.promotion import known, operand

__all__ = [
    "array2string", "array_repr", "array_str", "base_repr", "binary_repr",
    "format_float_positional", "format_float_scientific", "get_printoptions", "printoptions",
    "set_printoptions",
]  # fmt: skip

printoptions = np.printoptions
set_printoptions = np.set_printoptions
get_printoptions = np.get_printoptions


def _value(name: str, x: Any) -> np.ndarray[Any, Any]:
    remedy = "Print it when it runs: tracejit.debug.print('{}', x)."
    return np.asarray(known(operand(x), f"{name}()", remedy))


def array_repr(
    arr: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """As :func:`numpy.array_repr`, with the name of our class."""
    text = np.array_repr(_value("array_repr", arr), max_line_width, precision, suppress_small)
    return "Array" + text.removeprefix("array")


def array_str(
    a: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """As :func:`numpy.array_str`."""
    return np.array_str(_value("array_str", a), max_line_width, precision, suppress_small)


def array2string(a: Any, *args: Any, **options: Any) -> str:
    """As :func:`numpy.array2string`."""
    return np.array2string(_value("array2string", a), *args, **options)


def _number(name: str, x: Any) -> Any:
    return _value(name, x)[()]


def base_repr(number: Any, base: int = 2, padding: int = 0) -> str:
    """As :func:`numpy.base_repr`."""
    return np.base_repr(int(_number("base_repr", number)), base, padding)


def binary_repr(num: Any, width: int | None = None) -> str:
    """As :func:`numpy.binary_repr`."""
    return np.binary_repr(int(_number("binary_repr", num)), width)


def format_float_positional(x: Any, *args: Any, **options: Any) -> str:
    """As :func:`numpy.format_float_positional`."""
    return np.format_float_positional(_number("format_float_positional", x), *args, **options)


def format_float_scientific(x: Any, *args: Any, **options: Any) -> str:
    """As :func:`numpy.format_float_scientific`."""
    return np.format_float_scientific(_number("format_float_scientific", x), *args, **options)
