"""Complex numbers: their parts, magnitude and sign (of real numbers too).

Transposition pairs ``z`` with its cotangent as the real part of their product, without
conjugation; so ``grad`` of a real function is ``df/dx - i df/dy``, as in JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear
from tracejit.ir.dtypes import complex_of, is_complex, is_float, real_of
from tracejit.ops._pointwise import add, define_pointwise, jvp_zero, same_dtype
from tracejit.ops.arithmetic import div, mul, neg, numeric, sub
from tracejit.ops.constant import scalar_like
from tracejit.ops.shape import unbroadcast

__all__ = ["abs_", "complex_", "conj", "imag", "real", "sign"]

def real(x: Any) -> Any:
    """Real part; `x` itself if it is real.

    Parameters
    ----------
    x : Array, any shape, numeric dtype
        The operand.

    Returns
    -------
    Array, shape of `x`, dtype of its parts
        The real parts.
    """
    return real_p.bind(x) if is_complex(get_aval(x).dtype) else x


def _part_dtype(name: str) -> Callable[[np.dtype[Any]], np.dtype[Any]]:
    check = same_dtype(name, is_complex, "complex")
    return lambda dtype: real_of(check(dtype))


real_p = define_pointwise(
    "real",
    impl="real",
    dtype=_part_dtype("real"),
    jvp=[lambda t, out, x: real(t)],
    transpose=lambda ct, x: (complex_(ct, scalar_like(ct, 0)),),
)


def imag(x: Any) -> Any:
    """Imaginary part of a complex array.

    Parameters
    ----------
    x : Array, any shape, complex dtype
        The operand.

    Returns
    -------
    Array, shape of `x`, dtype of its parts
        The imaginary parts.
    """
    return imag_p.bind(x)


imag_p = define_pointwise(
    "imag",
    impl="imag",
    dtype=_part_dtype("imag"),
    jvp=[lambda t, out, x: imag(t)],
    transpose=lambda ct, x: (complex_(scalar_like(ct, 0), neg(ct)),),
)


def complex_(x: Any, y: Any) -> Any:
    """Make complex numbers of their parts.

    Parameters
    ----------
    x, y : Array, one shape (or rank 0) and one dtype, float32 or float64
        The real and the imaginary parts.

    Returns
    -------
    Array, the shape of the operands, complex64 or complex128
        ``x + 1j * y``, with infinities and signs of zero as given.
    """
    return complex_p.bind(x, y)


def _complex_dtype(x: np.dtype[Any], y: np.dtype[Any]) -> np.dtype[Any]:
    wide = same_dtype("complex", lambda d: is_float(d) and d.itemsize > 2, "float32 or float64")
    return complex_of(wide(x, y))


def _complex_impl(xp: Any, x: Any, y: Any) -> Any:
    out = xp.empty(np.broadcast_shapes(x.shape, y.shape), complex_of(x.dtype))
    out.real[...], out.imag[...] = x, y
    return out


def _complex_jvp_part(imaginary: bool) -> Callable[..., Any]:
    def term(t: Any, out: Any, x: Any, y: Any) -> Any:
        del out, x, y
        zero = scalar_like(t, 0)
        return complex_(zero, t) if imaginary else complex_(t, zero)

    return term


def _complex_transpose(ct: Any, x: Any, y: Any) -> tuple[Any, Any]:
    # Without conjugation: the pairing of z and ct is the real part of their product.
    return (
        unbroadcast(real(ct), x.aval.shape) if isinstance(x, Linear) else None,
        unbroadcast(neg(imag(ct)), y.aval.shape) if isinstance(y, Linear) else None,
    )


complex_p = define_pointwise(
    "complex",
    impl=_complex_impl,
    dtype=_complex_dtype,
    jvp=[_complex_jvp_part(False), _complex_jvp_part(True)],
    transpose=_complex_transpose,
)


def conj(x: Any) -> Any:
    """Complex conjugate; `x` itself if it is real.

    Parameters
    ----------
    x : Array, any shape, numeric dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The conjugates.
    """
    return conj_p.bind(x) if is_complex(get_aval(x).dtype) else x


conj_p = define_pointwise(
    "conj",
    impl="conjugate",
    dtype=same_dtype("conj", is_complex, "complex"),
    jvp=[lambda t, out, x: conj(t)],
    transpose=lambda ct, x: (conj(ct),),
)


def abs_(x: Any) -> Any:
    """Absolute value.

    Parameters
    ----------
    x : Array, any shape, numeric dtype
        The operand.

    Returns
    -------
    Array, shape of `x`, dtype of `x` or of its real part
        The magnitudes; the least integer is its own.

    Notes
    -----
    The derivative at 0 is 0.
    """
    return abs_p.bind(x)


def _abs_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return real_of(same_dtype("abs", numeric, "numeric")(dtype))


def _abs_slope(t: Any, out: Any, x: Any) -> Any:
    del out
    if is_complex(get_aval(x).dtype):
        return real(mul(t, conj(sign(x))))
    return mul(t, sign(x))


abs_p = define_pointwise("abs", impl="absolute", dtype=_abs_dtype, jvp=[_abs_slope])


def sign(x: Any) -> Any:
    """Sign: -1, 0 or 1; for complex ``x / abs(x)``, and 0 at 0.

    Parameters
    ----------
    x : Array, any shape, numeric dtype
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        The signs; NaN of NaN.

    Notes
    -----
    The derivative is 0 for real dtypes; for complex it is taken as 0 at 0.
    """
    return sign_p.bind(x)


def _sign_slope(t: Any, out: Any, x: Any) -> Any:
    # The part of t along x changes nothing; the part across it turns the sign.
    size = abs_(x)
    at_zero = sub(scalar_like(size, 1), sign(size))
    across = div(imag(mul(conj(out), t)), add(size, at_zero))
    return mul(out, complex_(scalar_like(across, 0), across))


def _sign_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    if not is_complex(get_aval(x).dtype):
        return jvp_zero(lambda: sign_p)(primals, tangents)  # type: ignore[no-any-return]
    out = sign(x)
    return out, _sign_slope(t, out, x)


sign_p = define_pointwise(
    "sign",
    impl="sign",
    dtype=same_dtype("sign", numeric, "numeric"),
    jvp=_sign_jvp,
)
