"""Elementary transcendental primitives: exponentials, logarithms, powers, angles.

NumPy computes them eagerly; float16 and bfloat16 in float32, rounded once.  Derivatives are
written so as neither to cancel nor to overflow where the function itself does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.primitive import Primitive
from tracejit.ir.dtypes import is_float, is_inexact
from tracejit.ops._pointwise import define_pointwise, same_dtype
from tracejit.ops.arithmetic import add, div, mul, neg, rounded, sqrt, square, sub
from tracejit.ops.constant import scalar_like
from tracejit.ops.logical import and_, eq, ne, or_, select

__all__ = [
    "acos",
    "asin",
    "atan",
    "atan2",
    "away_from_zero",
    "cos",
    "exp",
    "exp2",
    "expm1",
    "hypot",
    "log",
    "log1p",
    "log2",
    "log10",
    "pow_",
    "sin",
    "tan",
]


def define_inexact(name: str, function: str, slopes: Sequence[Callable[..., Any]]) -> Primitive:
    """Define a primitive of inexact dtypes by a NumPy function and a term an operand."""
    return define_pointwise(
        name,
        impl=rounded(function),
        dtype=same_dtype(name, is_inexact, "inexact"),
        jvp=slopes,
    )


def _define_real(name: str, function: str, slopes: Sequence[Callable[..., Any]]) -> Primitive:
    """Define a primitive of float dtypes by a NumPy function and a term an operand."""
    return define_pointwise(
        name, impl=rounded(function), dtype=same_dtype(name, is_float, "float"), jvp=slopes
    )


def _scaled(t: Any, factor: float) -> Any:
    return mul(t, scalar_like(t, factor))


def one_minus_square(x: Any) -> Any:
    """Return ``(1 - x)(1 + x)``: 1 - x is exact near 1, where 1 - x**2 cancels."""
    one = scalar_like(x, 1)
    return mul(sub(one, x), add(one, x))


# ----------------------------------------------------- exponentials, logarithms, powers


def exp(x: Any) -> Any:
    """Exponential function.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        ``e**x``.
    """
    return exp_p.bind(x)


exp_p = define_inexact(
    "exp",
    "exp",
    [lambda t, out, x: mul(t, out)],
)


def exp2(x: Any) -> Any:
    """Power of two.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        ``2**x``.
    """
    return exp2_p.bind(x)


exp2_p = define_inexact(
    "exp2",
    "exp2",
    [lambda t, out, x: _scaled(mul(t, out), math.log(2))],
)


def expm1(x: Any) -> Any:
    """Exponential function less 1, accurate near 0.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        ``e**x - 1``.
    """
    return expm1_p.bind(x)


expm1_p = define_inexact(
    "expm1",
    "expm1",
    [lambda t, out, x: mul(t, exp(x))],
)


def log(x: Any) -> Any:
    """Natural logarithm.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        -inf at 0; NaN where a real `x` is negative.
    """
    return log_p.bind(x)


log_p = define_inexact(
    "log",
    "log",
    [lambda t, out, x: div(t, x)],
)


def log2(x: Any) -> Any:
    """Logarithm to the base 2.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        As :func:`log`.
    """
    return log2_p.bind(x)


log2_p = define_inexact(
    "log2",
    "log2",
    [lambda t, out, x: _scaled(div(t, x), 1 / math.log(2))],
)


def log10(x: Any) -> Any:
    """Logarithm to the base 10.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        As :func:`log`.
    """
    return log10_p.bind(x)


log10_p = define_inexact(
    "log10",
    "log10",
    [lambda t, out, x: _scaled(div(t, x), 1 / math.log(10))],
)


def log1p(x: Any) -> Any:
    """Natural logarithm of ``1 + x``, accurate near 0.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        -inf at -1; NaN where a real `x` is less.
    """
    return log1p_p.bind(x)


log1p_p = define_inexact(
    "log1p",
    "log1p",
    [lambda t, out, x: div(t, add(x, scalar_like(x, 1)))],
)


def pow_(x: Any, y: Any) -> Any:
    """Raise to a power.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one inexact dtype
        Base and exponent.

    Returns
    -------
    Array, the shape and dtype of the operands
        ``x**y``, and 1 where `y` is 0; NaN where a real `x` is negative and `y` not whole.

    Notes
    -----
    The derivative in `x` is 0 where `y` is 0.  That in `y` is taken as 0 where `x` is 0, as in
    JAX.

    See Also
    --------
    tracejit.ops.arithmetic.integer_pow : for exponents that are known ints.
    """
    return pow_p.bind(x, y)


def _where_zero(x: Any, value: float, otherwise: Any) -> Any:
    return select(eq(x, scalar_like(x, 0)), scalar_like(x, value), otherwise)


def away_from_zero(function: Callable[[Any], Any], x: Any, value: float = 0) -> Any:
    """Return ``function(x)``, but `value` where `x` is 0, and derivatives of 0 there.

    Parameters
    ----------
    function : callable
        Elementwise; it never sees a 0.
    x : Array, any shape, inexact dtype
        The operand.
    value : float, optional
        What the function is at 0.

    Returns
    -------
    Array, shape and dtype of ``function(x)``
        The guard that :func:`tracejit.ops.logical.select` describes.
    """
    out = function(_where_zero(x, 1, x))
    return select(eq(x, scalar_like(x, 0)), scalar_like(out, value), out)


def _pow_base_slope(t: Any, out: Any, x: Any, y: Any) -> Any:
    del out
    # 0**0 and NaN**0 are the constant 1; elsewhere a guard would lose the derivative in `y`.
    constant = and_(eq(y, scalar_like(y, 0)), or_(eq(x, scalar_like(x, 0)), ne(x, x)))
    slope = mul(y, pow_(select(constant, scalar_like(x, 1), x), sub(y, scalar_like(y, 1))))
    return mul(t, select(constant, scalar_like(slope, 0), slope))


def _pow_exponent_slope(t: Any, out: Any, x: Any, y: Any) -> Any:
    del y
    return mul(t, mul(log(_where_zero(x, 1, x)), out))


pow_p = define_inexact("pow", "power", [_pow_base_slope, _pow_exponent_slope])


def hypot(x: Any, y: Any) -> Any:
    """Length of the hypotenuse, without overflow.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one float dtype
        The legs.

    Returns
    -------
    Array, the shape and dtype of the operands
        ``sqrt(x**2 + y**2)``.

    Notes
    -----
    The derivatives at the origin, of every order, are taken as 0.
    """
    return hypot_p.bind(x, y)


def _cosine(leg: Any, length: Any) -> Any:
    return away_from_zero(lambda v: div(leg, v), length)


hypot_p = _define_real(
    "hypot",
    "hypot",
    [
        lambda t, out, x, y: mul(t, _cosine(x, out)),
        lambda t, out, x, y: mul(t, _cosine(y, out)),
    ],
)


# ------------------------------------------------------------------------------ angles -


def sin(x: Any) -> Any:
    """Sine of an angle in radians.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The sines; NaN of inf.
    """
    return sin_p.bind(x)


sin_p = define_inexact(
    "sin",
    "sin",
    [lambda t, out, x: mul(t, cos(x))],
)


def cos(x: Any) -> Any:
    """Cosine of an angle in radians.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The cosines; NaN of inf.
    """
    return cos_p.bind(x)


cos_p = define_inexact(
    "cos",
    "cos",
    [lambda t, out, x: neg(mul(t, sin(x)))],
)


def tan(x: Any) -> Any:
    """Tangent of an angle in radians.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The tangents; NaN of inf.
    """
    return tan_p.bind(x)


tan_p = define_inexact(
    "tan",
    "tan",
    [lambda t, out, x: mul(t, add(square(out), scalar_like(x, 1)))],
)


def asin(x: Any) -> Any:
    """Inverse sine.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        Angles in [-pi/2, pi/2]; NaN where a real `x` is outside [-1, 1].

    Notes
    -----
    The derivative at -1 and 1 is inf.
    """
    return asin_p.bind(x)


asin_p = define_inexact(
    "asin",
    "arcsin",
    [lambda t, out, x: div(t, sqrt(one_minus_square(x)))],
)


def acos(x: Any) -> Any:
    """Inverse cosine.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        Angles in [0, pi]; NaN where a real `x` is outside [-1, 1].

    Notes
    -----
    The derivative at -1 and 1 is -inf.
    """
    return acos_p.bind(x)


acos_p = define_inexact(
    "acos",
    "arccos",
    [lambda t, out, x: neg(div(t, sqrt(one_minus_square(x))))],
)


def atan(x: Any) -> Any:
    """Inverse tangent.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        Angles in [-pi/2, pi/2].
    """
    return atan_p.bind(x)


atan_p = define_inexact(
    "atan",
    "arctan",
    [lambda t, out, x: div(t, add(square(x), scalar_like(x, 1)))],
)


def atan2(x: Any, y: Any) -> Any:
    """Angle of the point with ordinate `x` and abscissa `y`.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one float dtype
        The operands, in this order: the angle has the tangent ``x / y``.

    Returns
    -------
    Array, the shape and dtype of the operands
        Angles in [-pi, pi]; signs of zero count.

    Notes
    -----
    The derivative at the origin is NaN.
    """
    return atan2_p.bind(x, y)


def _turn(t: Any, leg: Any, x: Any, y: Any) -> Any:
    # leg / length**2, in two steps because the square may overflow
    length = hypot(x, y)
    return mul(t, div(div(leg, length), length))


atan2_p = _define_real(
    "atan2",
    "arctan2",
    [
        lambda t, out, x, y: _turn(t, y, x, y),
        lambda t, out, x, y: neg(_turn(t, x, x, y)),
    ],
)
