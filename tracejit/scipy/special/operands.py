"""Operands of special functions: floats of one dtype and shape, as SciPy makes them.

Integers become float64, those of 8 and 16 bits and bool float32; Python scalars are weak.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tracejit.core.errors import DTypeError
from tracejit.core.scalars import PYTHON_SCALARS
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_complex, is_inexact
from tracejit.numpy.promotion import broadcast, cast, operand, promote_operands

__all__ = ["floats", "named"]

DOC = """{doc}

Parameters
----------
{names} : array-like, {kind}, shapes that broadcast
    The operands.

Returns
-------
Array, the broadcast shape, the float dtype of the operands
    The values.

Raises
------
DTypeError
    If an operand is not {kind}.
ShapeError
    If the shapes do not broadcast.
"""


def _widened(x: Any) -> Any:
    x = operand(x)
    if type(x) in PYTHON_SCALARS:
        return x
    dtype = get_aval(x).dtype
    if is_inexact(dtype) or dtype.itemsize > 2:
        return x
    return cast(x, DTYPES["f32"])


def floats(name: str, *xs: Any, accepts_complex: bool = False) -> list[Any]:
    """Return operands of one inexact dtype, and of one shape or rank 0.

    Parameters
    ----------
    name : str
        The function, for messages.
    *xs : array-like
        What the user gave.
    accepts_complex : bool
        Whether complex numbers are meant too.

    Raises
    ------
    DTypeError
        For complex numbers where there is no meaning for them.
    """
    operands = broadcast(name, promote_operands([_widened(x) for x in xs], inexact=True))
    dtype = get_aval(operands[0]).dtype
    if is_complex(dtype) and not accepts_complex:
        raise DTypeError(f"{name}: real numbers are needed; got {dtype}")
    return operands


def named(
    name: str, op: Callable[..., Any], doc: str, arguments: str, accepts_complex: bool = False
) -> Callable[..., Any]:
    """Return the public function that promotes its operands and calls `op`.

    Parameters
    ----------
    name : str
        Its name.
    op : callable
        Takes operands of one dtype and shape.
    doc : str
        What it is: the beginning of its docstring.
    arguments : str
        The names of its arguments, apart by spaces.
    accepts_complex : bool
        As for :func:`floats`.
    """
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(n, positional) for n in arguments.split()])

    def function(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).args
        return op(*floats(name, *given, accepts_complex=accepts_complex))

    function.__name__ = function.__qualname__ = name
    kind = "real or complex" if accepts_complex else "real"
    function.__doc__ = DOC.format(doc=doc.strip(), names=", ".join(signature.parameters), kind=kind)
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function
