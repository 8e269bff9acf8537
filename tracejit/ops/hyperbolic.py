"""Hyperbolic functions and their inverses."""

from __future__ import annotations

from typing import Any

from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_complex
from tracejit.ops.arithmetic import add, div, mul, sqrt, square, sub
from tracejit.ops.constant import scalar_like
from tracejit.ops.transcendental import define_inexact, hypot, one_minus_square

__all__ = ["acosh", "asinh", "atanh", "cosh", "sinh", "tanh"]


def sinh(x: Any) -> Any:
    """Hyperbolic sine.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The values.
    """
    return sinh_p.bind(x)


sinh_p = define_inexact(
    "sinh",
    "sinh",
    [lambda t, out, x: mul(t, cosh(x))],
)


def cosh(x: Any) -> Any:
    """Hyperbolic cosine.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The values.
    """
    return cosh_p.bind(x)


cosh_p = define_inexact(
    "cosh",
    "cosh",
    [lambda t, out, x: mul(t, sinh(x))],
)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The values.

    Notes
    -----
    The derivative is had from the result, so it costs no further transcendental function.
    """
    return tanh_p.bind(x)


tanh_p = define_inexact(
    "tanh",
    "tanh",
    [lambda t, out, x: mul(t, one_minus_square(out))],
)


def _asinh_slope(t: Any, out: Any, x: Any) -> Any:
    del out
    one = scalar_like(x, 1)
    if is_complex(get_aval(x).dtype):
        return div(t, sqrt(add(square(x), one)))
    return div(t, hypot(x, one))


def asinh(x: Any) -> Any:
    """Inverse hyperbolic sine.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The values.
    """
    return asinh_p.bind(x)


asinh_p = define_inexact(
    "asinh",
    "arcsinh",
    [_asinh_slope],
)


def _acosh_slope(t: Any, out: Any, x: Any) -> Any:
    del out
    one = scalar_like(x, 1)
    # Two roots: their product neither overflows nor, for complex x, takes the wrong branch.
    return div(t, mul(sqrt(sub(x, one)), sqrt(add(x, one))))


def acosh(x: Any) -> Any:
    """Inverse hyperbolic cosine.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        Not negative; NaN where a real `x` is below 1.

    Notes
    -----
    The derivative at 1 is inf.
    """
    return acosh_p.bind(x)


acosh_p = define_inexact(
    "acosh",
    "arccosh",
    [_acosh_slope],
)


def atanh(x: Any) -> Any:
    """Inverse hyperbolic tangent.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        -inf and inf at -1 and 1; NaN where a real `x` is beyond.
    """
    return atanh_p.bind(x)


atanh_p = define_inexact(
    "atanh",
    "arctanh",
    [lambda t, out, x: div(t, one_minus_square(x))],
)
