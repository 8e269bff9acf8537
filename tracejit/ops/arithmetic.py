"""Arithmetic primitives: sums, products, quotients, roots, rounding.

``abs`` and ``sign`` are in :mod:`tracejit.ops.complex_numbers`, what chooses by comparing
(``max``, ``min``, ``clamp``) in :mod:`tracejit.ops.logical`, and ``pow`` in
:mod:`tracejit.ops.transcendental`: their derivatives need what is defined there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError
from tracejit.core.primitive import Primitive
from tracejit.core.zeros import Linear
from tracejit.ir.dtypes import is_bool, is_float, is_inexact, is_integer
from tracejit.ops._pointwise import add, define_pointwise, jvp_zero, same_dtype
from tracejit.ops.constant import scalar_like
from tracejit.ops.shape import unbroadcast

__all__ = [
    "add",
    "at",
    "cbrt",
    "ceil",
    "copysign",
    "div",
    "floor",
    "integer_pow",
    "mul",
    "neg",
    "nextafter",
    "numeric",
    "quot",
    "rem",
    "round_",
    "rounded",
    "rsqrt",
    "sqrt",
    "square",
    "sub",
    "trunc",
]


def numeric(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is any but bool."""
    return not is_bool(dtype) and dtype.names is None


def _real_number(dtype: np.dtype[Any]) -> bool:
    return is_integer(dtype) or is_float(dtype)


def rounded(function: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return an impl that computes float16 and bfloat16 in float32 and rounds the result once.

    Parameters
    ----------
    function : str or callable
        The name of a function of `xp`, or ``function(xp, *arrays, **params)``.
    """

    def impl(xp: Any, *arrays: Any, **params: Any) -> Any:
        dtype = arrays[0].dtype
        if dtype.itemsize == 2:
            arrays = tuple(a.astype(np.float32) for a in arrays)
        if isinstance(function, str):
            out = getattr(xp, function)(*arrays, **params)
        else:
            out = function(xp, *arrays, **params)
        return out.astype(dtype) if dtype.itemsize == 2 else out

    return impl


def at(x: Any, index: tuple[Any, ...]) -> Any:
    """Return the scalar of an operand's loader at an index of the result; rank 0 stretches."""
    return x(index if x.aval.shape else ())


# ------------------------------------------------------------------- sums and products


def neg(x: Any) -> Any:
    """Negate an array elementwise.

    Parameters
    ----------
    x : Array, any shape, numeric dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        ``-x``; integers wrap round.
    """
    return neg_p.bind(x)


neg_p = define_pointwise(
    "neg",
    impl="negative",
    dtype=same_dtype("neg", numeric, "numeric"),
    jvp=[lambda t, out, x: neg(t)],
    transpose=lambda ct, x: (neg(ct),),
)


def sub(x: Any, y: Any) -> Any:
    """Subtract two arrays elementwise.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one numeric dtype
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        ``x - y``; integers wrap round.
    """
    return sub_p.bind(x, y)


def _sub_transpose(ct: Any, x: Any, y: Any) -> tuple[Any, Any]:
    return (
        unbroadcast(ct, x.aval.shape) if isinstance(x, Linear) else None,
        unbroadcast(neg(ct), y.aval.shape) if isinstance(y, Linear) else None,
    )


sub_p = define_pointwise(
    "sub",
    impl="subtract",
    dtype=same_dtype("sub", numeric, "numeric"),
    jvp=[lambda t, out, x, y: t, lambda t, out, x, y: neg(t)],
    transpose=_sub_transpose,
)


def mul(x: Any, y: Any) -> Any:
    """Multiply two arrays elementwise.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one dtype
        The operands; bool multiplies as logical and.

    Returns
    -------
    Array, the shape and dtype of the operands
        ``x * y``; integers wrap round.
    """
    return mul_p.bind(x, y)


def _mul_transpose(ct: Any, x: Any, y: Any) -> tuple[Any, Any]:
    return (
        unbroadcast(mul(ct, y), x.aval.shape) if isinstance(x, Linear) else None,
        unbroadcast(mul(x, ct), y.aval.shape) if isinstance(y, Linear) else None,
    )


mul_p = define_pointwise(
    "mul",
    impl="multiply",
    dtype=same_dtype("mul", lambda d: d.names is None, "computable"),
    jvp=[lambda t, out, x, y: mul(t, y), lambda t, out, x, y: mul(x, t)],
    transpose=_mul_transpose,
)


def div(x: Any, y: Any) -> Any:
    """Divide two arrays elementwise.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one inexact dtype
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        ``x / y``; inf or NaN where `y` is 0.
    """
    return div_p.bind(x, y)


def _div_transpose(ct: Any, x: Any, y: Any) -> tuple[Any, None]:
    return unbroadcast(div(ct, y), x.aval.shape), None


div_p = define_pointwise(
    "div",
    impl="true_divide",
    dtype=same_dtype("div", is_inexact, "inexact"),
    jvp=[
        lambda t, out, x, y: div(t, y),
        # out / y rather than x / y**2, which overflows earlier
        lambda t, out, x, y: neg(div(mul(t, out), y)),
    ],
    transpose=_div_transpose,
)


def integer_pow(x: Any, n: int) -> Any:
    """Raise an array to a static integer power, by repeated squaring.

    Parameters
    ----------
    x : Array, any shape, numeric dtype
        The operand.
    n : int
        The power; not negative if `x` has integers.

    Returns
    -------
    Array, shape and dtype of `x`
        ``x**n``, and 1 where `n` is 0; integers wrap round.

    Raises
    ------
    DTypeError
        If `n` is negative and `x` has integers.

    Notes
    -----
    The error grows with the number of multiplications, at most ``2 log2(n)``.
    """
    return x if n == 1 else integer_pow_p.bind(x, n=n)


def square(x: Any) -> Any:
    """Return ``x * x``, by :func:`integer_pow`."""
    return integer_pow(x, 2)


def _integer_pow_dtype(dtype: np.dtype[Any], *, n: int) -> np.dtype[Any]:
    if not numeric(dtype) or (n < 0 and is_integer(dtype)):
        raise DTypeError(
            f"integer_pow: the power of {dtype} must not be negative, nor its base be bool; "
            f"got n={n}; convert the base to float first"
        )
    return dtype


def _squaring(multiply: Callable[[Any, Any], Any], x: Any, n: int) -> Any:
    out = None
    while True:
        if n & 1:
            out = x if out is None else multiply(out, x)
        n >>= 1
        if not n:
            return out
        x = multiply(x, x)


def _integer_pow_impl(xp: Any, x: Any, *, n: int) -> Any:
    if n == 0:
        return xp.ones_like(x)
    out = _squaring(lambda a, b: a * b, x, abs(n))
    return out if n > 0 else xp.true_divide(x.dtype.type(1), out)


def _integer_pow_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, n: int) -> Any:
    if n == 0:
        return jvp_zero(lambda: integer_pow_p)(primals, tangents, n=n)
    (x,), (t,) = primals, tangents
    slope = mul(scalar_like(x, n), integer_pow(x, n - 1))
    return integer_pow(x, n), mul(t, slope)


def _integer_pow_lower(k: Any, x: Any, *, n: int) -> Any:
    one = k.constant(1, x.aval.dtype)
    if n == 0:
        return lambda index: one(())
    out = _squaring(lambda a, b: k.pointwise("mul", a, b), x, abs(n))
    return out if n > 0 else k.pointwise("div", one, out)


integer_pow_p = define_pointwise(
    "integer_pow",
    impl=_integer_pow_impl,
    dtype=_integer_pow_dtype,
    jvp=_integer_pow_jvp,
    lower=_integer_pow_lower,
)


# ---------------------------------------------------------------------------- division


def quot(x: Any, y: Any) -> Any:
    """Divide integers elementwise, rounding toward zero as C does.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one integer dtype
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        The quotients; 0 where `y` is 0, and the least integer divided by -1 is itself.
    """
    return quot_p.bind(x, y)


def _quot_impl(xp: Any, x: Any, y: Any) -> Any:
    down = xp.floor_divide(x, y)
    if x.dtype.kind == "u":
        return down
    inexact = (xp.fmod(x, y) != 0) & ((x < 0) != (y < 0))
    return down + inexact.astype(x.dtype)


quot_p = define_pointwise(
    "quot",
    impl=_quot_impl,
    dtype=same_dtype("quot", is_integer, "integer"),
    jvp="its operands are integers, which have no tangents",
)


def rem(x: Any, y: Any) -> Any:
    """Remainder of division rounding toward zero; it has the sign of `x`, as in C.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one real dtype
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        ``x - y * trunc(x / y)``, exact; where `y` is 0, 0 for integers and NaN for floats.
    """
    return rem_p.bind(x, y)


rem_p = define_pointwise(
    "rem",
    impl="fmod",
    dtype=same_dtype("rem", _real_number, "real"),
    jvp=[lambda t, out, x, y: t, lambda t, out, x, y: neg(mul(t, trunc(div(x, y))))],
)


# ------------------------------------------------------------------------------- roots


def sqrt(x: Any) -> Any:
    """Square root.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The root with a real part that is not negative; NaN where a real `x` is negative.

    Notes
    -----
    The derivative at 0 is inf.
    """
    return sqrt_p.bind(x)


sqrt_p = define_pointwise(
    "sqrt",
    impl=rounded("sqrt"),
    dtype=same_dtype("sqrt", is_inexact, "inexact"),
    jvp=[lambda t, out, x: mul(t, div(scalar_like(x, 0.5), out))],
)


def rsqrt(x: Any) -> Any:
    """Reciprocal of the square root.

    Parameters
    ----------
    x : Array, any shape, inexact dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        ``1 / sqrt(x)``; inf at 0.
    """
    return rsqrt_p.bind(x)


rsqrt_p = define_pointwise(
    "rsqrt",
    impl=rounded(lambda xp, x: xp.true_divide(x.dtype.type(1), xp.sqrt(x))),
    dtype=same_dtype("rsqrt", is_inexact, "inexact"),
    jvp=[lambda t, out, x: mul(t, mul(scalar_like(x, -0.5), div(out, x)))],
)


def cbrt(x: Any) -> Any:
    """Real cube root.

    Parameters
    ----------
    x : Array, any shape, float dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The root, with the sign of `x`.

    Notes
    -----
    The derivative at 0 is inf.
    """
    return cbrt_p.bind(x)


cbrt_p = define_pointwise(
    "cbrt",
    impl=rounded("cbrt"),
    dtype=same_dtype("cbrt", is_float, "float"),
    jvp=[lambda t, out, x: mul(t, div(scalar_like(x, 1 / 3), mul(out, out)))],
)


# ---------------------------------------------------------------------------- rounding


def _define_rounding(name: str, function: str) -> Primitive:
    return define_pointwise(
        name, impl=function, dtype=same_dtype(name, is_float, "float"), jvp=[None]
    )


def floor(x: Any) -> Any:
    """Round down: the greatest integer not above each element of a float array."""
    return floor_p.bind(x)


def ceil(x: Any) -> Any:
    """Round up: the least integer not below each element of a float array."""
    return ceil_p.bind(x)


def trunc(x: Any) -> Any:
    """Round toward zero each element of a float array."""
    return trunc_p.bind(x)


def round_(x: Any) -> Any:
    """Round each element of a float array to the nearest integer, halves to even."""
    return round_p.bind(x)


floor_p = _define_rounding("floor", "floor")
ceil_p = _define_rounding("ceil", "ceil")
trunc_p = _define_rounding("trunc", "trunc")
round_p = _define_rounding("round", "rint")


def nextafter(x: Any, y: Any) -> Any:
    """Next number after `x` toward `y`.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one float dtype
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        The neighbour of `x`; `y` where they are equal.

    Notes
    -----
    The derivative is taken as 0, as in JAX.
    """
    return nextafter_p.bind(x, y)


nextafter_p = define_pointwise(
    "nextafter",
    impl="nextafter",
    dtype=same_dtype("nextafter", is_float, "float"),
    jvp=[None, None],
)


def copysign(x: Any, y: Any) -> Any:
    """Magnitude of `x` with the sign bit of `y`.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one float dtype
        The operands.

    Returns
    -------
    Array, the shape and dtype of the operands
        ``abs(x)`` or ``-abs(x)``; -0.0 counts as negative.

    Notes
    -----
    The derivative is 1 or -1 in `x`, also at 0, and 0 in `y`.
    """
    return copysign_p.bind(x, y)


def _copysign_slope(t: Any, out: Any, x: Any, y: Any) -> Any:
    one = scalar_like(out, 1)
    return mul(t, mul(copysign(one, x), copysign(one, y)))


copysign_p = define_pointwise(
    "copysign",
    impl="copysign",
    dtype=same_dtype("copysign", is_float, "float"),
    jvp=[_copysign_slope, None],
)
