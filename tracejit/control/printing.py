"""``debug.print``: show values of a compiled or transformed program as it runs."""

from __future__ import annotations

import builtins
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracejit.control.callbacks import bind_debug, is_operand
from tracejit.core.errors import FormatError, StructureError
from tracejit.core.pytree import tree_flatten, tree_unflatten
from tracejit.core.tracer import get_aval

__all__ = ["debug_print"]


def debug_print(
    fmt: str | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    skip_format_check: bool = False,
    **kwargs: Any,
) -> Any:
    """Print values when the program runs, as ``print(fmt.format(*args, **kwargs))`` does.

    Parameters
    ----------
    fmt : str, optional
        A format string.  A format of an array, ``{x:.3f}``, is that of its elements.  Left out, a
        function that takes `fmt`, `args` and `kwargs` is returned.
    *args, **kwargs : pytrees
        What to print: arrays, containers of them, or anything else.
    ordered : bool
        Whether it must keep its place among all that is printed.  All prints do.
    partitioned : bool
        Accepted for compatibility.
    skip_format_check : bool
        Whether not to check at trace time that `fmt` fits what it shall print.

    Raises
    ------
    StructureError
        If `fmt` is no string.
    FormatError
        If it does not fit what it shall print; at trace time.

    Notes
    -----
    It prints once each time that its place in the program is reached: under ``grad`` and ``jvp``
    the values, on the way forward; under ``vmap`` one lane after another, or once if all lanes
    have the same.

    Examples
    --------
    >>> import tracejit
    >>> @tracejit.jit
    ... def f(x):
    ...     tracejit.debug.print("x = {x:.2f}", x=x)
    ...     return x * x
    >>> y = f(3.0)
    x = 3.00
    """
    del partitioned

    def with_options(fmt: str, *args: Any, **kwargs: Any) -> None:
        if not isinstance(fmt, str):
            raise StructureError(
                "debug.print: the first argument must be a format string, debug.print('{}', x); "
                f"got {type(fmt).__name__}"
            )
        if not skip_format_check:
            _check(fmt, args, kwargs)
        bind_debug("debug.print", _Print(fmt), args, kwargs, ordered)

    if fmt is not None:
        with_options(fmt, *args, **kwargs)
        return None
    if args or kwargs:
        raise StructureError("debug.print: the first argument must be a format string; got none")
    return with_options


@dataclass(frozen=True)
class _Print:
    """Prints its arguments; equal if the format is."""

    fmt: str

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        builtins.print(_Elements().vformat(self.fmt, args, kwargs))


class _Elements(string.Formatter):
    """Formats an array by its elements."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, np.ndarray) and value.ndim and format_spec:
            return np.array2string(
                value, formatter={"all": lambda x: format(_builtin(x), format_spec)}
            )
        if isinstance(value, np.ndarray) and not value.ndim:
            value = value[()]
        if format_spec:
            value = _builtin(value)
        text: str = super().format_field(value, format_spec)
        return text


def _builtin(x: Any) -> Any:
    """Return a NumPy scalar as Python's, which takes every format of its kind."""
    value = x.item() if isinstance(x, np.generic) else x
    return float(value) if isinstance(value, np.generic) else value  # bfloat16


class _Check(_Elements):
    """Formats one element of what there is, and finds what is not used."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if not format_spec:
            return ""
        if isinstance(value, np.ndarray):
            value = value.dtype.type(0)
        return super().format_field(value, format_spec)

    def check_unused_args(
        self, used_args: set[int | str], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        unused = [key for key in (*range(len(args)), *kwargs) if key not in used_args]
        if unused:
            raise ValueError(f"nothing in it prints argument {unused[0]!r}")


def _check(fmt: str, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise FormatError if a format string does not fit arguments like these."""
    leaves, treedef = tree_flatten((tuple(args), kwargs))
    # Arrays of zeros that take no memory stand for what is traced.
    like = [
        np.broadcast_to(np.zeros((), get_aval(x).dtype), get_aval(x).shape) if is_operand(x) else x
        for x in leaves
    ]
    examples, named = tree_unflatten(treedef, like)
    try:
        _Check().vformat(fmt, examples, named)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        why = f"there is no argument {error}" if isinstance(error, KeyError) else str(error)
        given = [*(f"{{{n}}}" for n in range(len(args))), *(f"{{{name}}}" for name in kwargs)]
        raise FormatError(
            f"debug.print: the format {fmt!r} must fit its arguments, "
            f"{', '.join(given) or 'of which there are none'}: {why}"
        ) from None
