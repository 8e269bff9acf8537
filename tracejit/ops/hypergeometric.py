"""Hypergeometric functions and spherical harmonics."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError
from tracejit.ir.dtypes import DTYPES, is_float
from tracejit.ops._called import CALLED, Slope, by_order, define_called
from tracejit.ops._pointwise import define_pointwise
from tracejit.ops.arithmetic import add, div, mul, neg, sqrt, sub
from tracejit.ops.complex_numbers import complex_
from tracejit.ops.constant import scalar_like
from tracejit.ops.logical import max_
from tracejit.ops.special import special_module
from tracejit.ops.transcendental import cos, sin

__all__ = ["hyp0f1", "hyp1f1", "hyp2f1", "sph_harm_y"]


def _next(x: Any) -> Any:
    return add(x, scalar_like(x, 1))


hyp0f1: Slope = define_called(
    "hyp0f1",
    "Confluent hypergeometric limit function 0F1(b; x)",
    by_order("hyp0f1", "parameter"),
    lambda out, b, x: div(hyp0f1(_next(b), x), b),
)
hyp1f1: Slope = define_called(
    "hyp1f1",
    "Confluent hypergeometric function 1F1(a; b; x)",
    by_order("hyp1f1", "parameter"),
    by_order("hyp1f1", "parameter"),
    lambda out, a, b, x: mul(div(a, b), hyp1f1(_next(a), _next(b), x)),
)
hyp2f1: Slope = define_called(
    "hyp2f1",
    "Gauss's hypergeometric function 2F1(a, b; c; x)",
    by_order("hyp2f1", "parameter"),
    by_order("hyp2f1", "parameter"),
    by_order("hyp2f1", "parameter"),
    lambda out, a, b, c, x: mul(div(mul(a, b), c), hyp2f1(_next(a), _next(b), _next(c), x)),
)


def _harmonic_dtype(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    if len(set(dtypes)) > 1 or not is_float(dtypes[0]) or dtypes[0].itemsize < 4:
        raise DTypeError(
            "sph_harm_y: the operands must have one dtype, float32 or float64; "
            f"got {', '.join(map(str, dtypes))}"
        )
    return DTYPES["c64" if dtypes[0].itemsize == 4 else "c128"]


def _harmonic_impl(xp: Any, n: Any, m: Any, theta: Any, phi: Any) -> Any:
    with np.errstate(invalid="ignore"):
        orders = n.astype(np.int64), m.astype(np.int64)
    out = special_module(xp).sph_harm_y(*orders, theta, phi)
    return out.astype(np.complex64 if theta.dtype.itemsize == 4 else np.complex128)


def _turn(angle: Any) -> Any:
    return complex_(cos(angle), sin(angle))


def _wide(x: Any) -> Any:
    return complex_(x, mul(x, scalar_like(x, 0)))


def _by_theta(t: Any, out: Any, n: Any, m: Any, theta: Any, phi: Any) -> Any:
    # The ladder operators; there is no division by sin(theta).
    one, half, zero = (scalar_like(n, v) for v in (1, 0.5, 0))
    up = mul(sub(n, m), add(add(n, m), one))
    down = mul(add(n, m), add(sub(n, m), one))
    up, down = (mul(half, sqrt(max_(v, zero))) for v in (up, down))
    above, below = (sph_harm_y(n, v, theta, phi) for v in (add(m, one), sub(m, one)))
    above = mul(_wide(up), mul(_turn(neg(phi)), above))
    below = mul(_wide(down), mul(_turn(phi), below))
    return mul(_wide(t), sub(above, below))


def _by_phi(t: Any, out: Any, n: Any, m: Any, theta: Any, phi: Any) -> Any:
    turned = mul(t, m)
    return mul(complex_(mul(turned, scalar_like(turned, 0)), turned), out)


sph_harm_y_p = define_pointwise(
    "sph_harm_y",
    impl=_harmonic_impl,
    dtype=_harmonic_dtype,
    jvp=[
        lambda *args: by_order("sph_harm_y", "degree")(),
        lambda *args: by_order("sph_harm_y", "order")(),
        _by_theta,
        _by_phi,
    ],
    lower=CALLED,
)


def sph_harm_y(n: Any, m: Any, theta: Any, phi: Any) -> Any:
    """Spherical harmonics.

    Parameters
    ----------
    n, m : Array, one shape (or rank 0), float32 or float64
        Degree and order, whole numbers.
    theta, phi : Array, likewise
        The polar and the azimuthal angle.

    Returns
    -------
    Array, shape of the operands, complex
        With the phase of Condon and Shortley; 0 where ``|m| > n``.
    """
    return sph_harm_y_p.bind(n, m, theta, phi)
