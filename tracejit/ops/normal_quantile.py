"""The inverse of the error function as random numbers need it: Giles's polynomials.

:func:`tracejit.ops.special.erf_inv` is closer to the function; this one is the function by which
JAX makes normal numbers of uniform ones, so that equal keys give the numbers that JAX gives: of a
million, 99 (float32) and 95 (float64) in a hundred to the last bit and the others within 3 and 30
units of it.

References
----------
M. Giles, "Approximating the erfinv function", GPU Computing Gems Jade Edition (2011), listings
for single and double precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tracejit.ir.dtypes import DTYPES, is_float
from tracejit.ops._pointwise import define_pointwise, same_dtype
from tracejit.ops.arithmetic import mul, square
from tracejit.ops.constant import scalar_like
from tracejit.ops.transcendental import exp

__all__ = ["erf_inv_of_uniform"]


class _Piece(NamedTuple):
    """A polynomial of `w`, or of its root, less a centre; the highest coefficient first."""

    below: float
    centre: float
    rooted: bool
    coefficients: tuple[float, ...]


SINGLE = (
    _Piece(5.0, 2.5, False, (
        2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
        -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
    )),
    _Piece(math.inf, 3.0, True, (
        -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
        -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
    )),
)  # fmt: skip
DOUBLE = (
    _Piece(6.25, 3.125, False, (
        -3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18,
        1.115787767802518096e-17, -1.333171662854620906e-16, 2.0972767875968561637e-17,
        6.6376381343583238325e-15, -4.0545662729752068639e-14, -8.1519341976054721522e-14,
        2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11,
        1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08,
        4.2347877827932403518e-07, -1.3654692000834678645e-06, -1.3882523362786468719e-05,
        0.0001867342080340571352, -0.00074070253416626697512, -0.0060336708714301490533,
        0.24015818242558961693, 1.6536545626831027356,
    )),
    _Piece(16.0, 3.25, True, (
        2.2137376921775787049e-09, 9.0756561938885390979e-08, -2.7517406297064545428e-07,
        1.8239629214389227755e-08, 1.5027403968909827627e-06, -4.013867526981545969e-06,
        2.9234449089955446044e-06, 1.2475304481671778723e-05, -4.7318229009055733981e-05,
        6.8284851459573175448e-05, 2.4031110387097893999e-05, -0.0003550375203628474796,
        0.00095328937973738049703, -0.0016882755560235047313, 0.0024914420961078508066,
        -0.0037512085075692412107, 0.005370914553590063617, 1.0052589676941592334,
        3.0838856104922207635,
    )),
    _Piece(math.inf, 5.0, True, (
        -2.7109920616438573243e-11, -2.5556418169965252055e-10, 1.5076572693500548083e-09,
        -3.7894654401267369937e-09, 7.6157012080783393804e-09, -1.4960026627149240478e-08,
        2.9147953450901080826e-08, -6.7711997758452339498e-08, 2.2900482228026654717e-07,
        -9.9298272942317002539e-07, 4.5260625972231537039e-06, -1.9681778105531670567e-05,
        7.5995277030017761139e-05, -0.00021503011930044477347, -0.00013871931833623122026,
        1.0103004648645343977, 4.8499064014085844221,
    )),
)  # fmt: skip

BLOCK = 1 << 14
"""Elements that are computed together, so that they stay in the cache."""


def erf_inv_of_uniform(x: Any) -> Any:
    """Inverse of the error function, as JAX has it.

    Parameters
    ----------
    x : Array, any shape, float32 or float64
        The operand.

    Returns
    -------
    Array, shape and dtype of `x`
        -inf and inf at -1 and 1; NaN beyond.
    """
    return erf_inv_of_uniform_p.bind(x)


def _pieces(dtype: np.dtype[Any]) -> tuple[_Piece, ...]:
    return SINGLE if dtype.itemsize == 4 else DOUBLE


def _polynomial(xp: Any, coefficients: Sequence[float], w: Any) -> Any:
    # A product and sum in float64 rounded once is what a fused operation in float32 is.
    out = xp.full(w.shape, coefficients[0])
    wide = w.astype(np.float64)
    for c in coefficients[1:]:
        out *= wide
        out += w.dtype.type(c)
        if w.dtype.itemsize == 4:
            out = out.astype(np.float32).astype(np.float64)
    return out.astype(w.dtype)


def _block(xp: Any, x: Any) -> Any:
    w = -xp.log1p(-x * x)
    rest = ~(w != w)
    out = w.copy()
    for piece in _pieces(x.dtype):
        here = rest & (w < piece.below)
        if here.any():
            v = xp.sqrt(w[here]) if piece.rooted else w[here]
            out[here] = _polynomial(xp, piece.coefficients, v - v.dtype.type(piece.centre))
        rest &= ~here
    return out * x


def _impl(xp: Any, x: Any) -> Any:
    out = xp.empty(x.shape, x.dtype)
    flat, results = x.reshape(-1), out.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = slice(start, start + BLOCK)
        results[block] = _block(xp, flat[block])
    return out


def _lower(k: Any, x: Any) -> Any:
    dtype = x.aval.dtype
    number: Callable[[float], Any] = lambda value: k.constant(value, dtype)
    op = k.pointwise
    w = op("neg", op("log1p", op("neg", op("mul", x, x))))
    root = op("sqrt", w)
    chosen = None
    for piece in reversed(_pieces(dtype)):
        v = op("sub", root if piece.rooted else w, number(piece.centre))
        value = number(piece.coefficients[0])
        for c in piece.coefficients[1:]:
            value = op("fma", value, v, number(c))
        if chosen is None:
            chosen = value
        else:
            chosen = op("select", op("lt", w, number(piece.below)), value, chosen)
    end = op("eq", op("abs", x), number(1))
    return op("mul", x, op("select", end, number(math.inf), chosen))


erf_inv_of_uniform_p = define_pointwise(
    "erf_inv_of_uniform",
    impl=_impl,
    dtype=same_dtype(
        "erf_inv_of_uniform",
        lambda dtype: is_float(dtype) and dtype in (DTYPES["f32"], DTYPES["f64"]),
        "float32 or float64",
    ),
    jvp=[lambda t, out, x: mul(t, mul(scalar_like(x, math.sqrt(math.pi) / 2), exp(square(out))))],
    lower=_lower,
)
