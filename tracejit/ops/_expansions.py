"""Bessel functions, erfcx and betaln as scalar expressions: what they are in kernels.

Polynomials on a few intervals (:mod:`tracejit.ops.fits`), evaluated in float64 whatever the dtype:
so float32 is rounded once, and float64 within some units of the last place of the largest of the
terms; near zeros of J and Y that is an absolute error.  Beyond 8, J and Y are two slowly varying
factors of sine and cosine (DLMF 10.17.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.ir.dtypes import DTYPES
from tracejit.ops import fits

__all__ = ["LOWERED", "betaln_of_arrays"]

F64 = DTYPES["f64"]
Lower = Callable[..., Any]


class Scalars:
    """Arithmetic of float64 loaders, by the name of the operation."""

    def __init__(self, k: Any) -> None:
        self.k = k

    def c(self, value: float) -> Any:
        """Return a constant."""
        return self.k.constant(value, F64)

    def __getattr__(self, op: str) -> Callable[..., Any]:
        def apply(*operands: Any) -> Any:
            return self.k.pointwise(
                op, *[self.c(x) if isinstance(x, (int, float)) else x for x in operands]
            )

        return apply

    def polynomial(self, coefficients: Sequence[float], t: Any) -> Any:
        """Return a polynomial, its coefficients given from the lowest power."""
        value = self.c(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            value = self.fma(value, t, c)
        return value

    def chosen(self, condition: Any, then: Any, otherwise: Any) -> Any:
        """Return one of two, numbers among them."""
        both = [self.c(v) if isinstance(v, (int, float)) else v for v in (then, otherwise)]
        return self.k.pointwise("select", condition, *both)


class Arrays(Scalars):
    """The same arithmetic of float64 arrays, of NumPy or the like."""

    NAMES = {  # noqa: RUF012
        "sub": "subtract", "mul": "multiply", "div": "true_divide", "neg": "negative",
        "min": "minimum", "max": "maximum", "ge": "greater_equal", "eq": "equal",
    }  # fmt: skip

    def __init__(self, xp: Any, special: Any) -> None:
        self.xp = xp
        self.special = special

    def c(self, value: float) -> Any:
        return value

    def __getattr__(self, op: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(self.xp, self.NAMES.get(op, op))
        return function

    def lgamma(self, x: Any) -> Any:
        """Return the logarithm of the gamma function."""
        return self.special.gammaln(x)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """Return ``x y + z``, rounded twice."""
        return x * y + z

    def chosen(self, condition: Any, then: Any, otherwise: Any) -> Any:
        return self.xp.where(condition, then, otherwise)


def _in_double(body: Callable[..., Any]) -> Lower:
    """Return the lowering rule of a function that is computed in float64."""

    def lower(k: Any, *xs: Any) -> Any:
        return k.convert(body(Scalars(k), *[k.convert(x, F64) for x in xs]), xs[0].aval.dtype)

    return lower


def _erfcx(f: Scalars, x: Any) -> Any:
    a = f.min(f.abs(x), 1e300)
    t = f.div(f.sub(a, 4), f.add(a, 4))
    above = f.div(f.polynomial(fits.ERFCX, t), f.fma(f.c(2), a, 1))
    above = f.chosen(f.eq(x, math.inf), 0.0, above)
    # The square with its rounding error, for it is an exponent.
    square = f.mul(x, x)
    error = f.fma(x, x, f.neg(square))
    bell = f.exp(square)
    below = f.sub(f.mul(2, f.fma(bell, error, bell)), above)
    below = f.chosen(f.lt(x, -26.7), math.inf, below)
    return f.chosen(f.lt(x, 0), below, above)


# ------------------------------------------------------------------------------- modified, I


def _i_scaled(f: Scalars, x: Any, order: int) -> Any:
    a = f.abs(x)
    near = f.polynomial((fits.I0E_NEAR, fits.I1E_NEAR)[order], f.fma(a, f.c(0.25), -1))
    far = f.polynomial((fits.I0E_FAR, fits.I1E_FAR)[order], f.sub(f.div(16, a), 1))
    far = f.div(far, f.sqrt(a))
    if order:
        near, far = f.mul(x, near), f.copysign(far, x)
    return f.chosen(f.le(a, 8), near, far)


def _i(f: Scalars, x: Any, order: int) -> Any:
    bounded = f.max(f.min(x, 1e4), -1e4)
    # In two steps, because the exponential overflows before the product does.
    root = f.exp(f.mul(0.5, f.abs(bounded)))
    return f.mul(f.mul(_i_scaled(f, bounded, order), root), root)


# ------------------------------------------------------------------------------- modified, K


def _k_near(f: Scalars, x: Any, order: int) -> Any:
    t = f.fma(f.mul(x, x), f.c(0.5), -1)
    logarithm = f.log(f.mul(0.5, x))
    if not order:
        return f.sub(
            f.polynomial(fits.K0_NEAR, t), f.mul(logarithm, f.polynomial(fits.I0_SMALL, t))
        )
    slope = f.fma(logarithm, f.polynomial(fits.I1_SMALL, t), f.polynomial(fits.K1_NEAR, t))
    return f.chosen(f.eq(x, 0), math.inf, f.fma(x, slope, f.div(1, x)))


def _k(f: Scalars, x: Any, order: int, scaled: bool) -> Any:
    near = _k_near(f, x, order)
    far = f.polynomial((fits.K0_FAR, fits.K1_FAR)[order], f.sub(f.div(4, x), 1))
    far = f.div(far, f.sqrt(x))
    if scaled:
        near = f.mul(f.exp(x), near)
    else:
        far = f.mul(f.exp(f.neg(x)), far)
    return f.chosen(f.gt(x, 2), far, near)


# --------------------------------------------------------------------------------- J and Y


def _waves(f: Scalars, a: Any, order: int) -> tuple[Any, Any]:
    """Return J and Y of `a` from 8 on."""
    inverse = f.div(8, a)
    t = f.fma(f.mul(2, inverse), inverse, -1)
    p = f.polynomial((fits.P0, fits.P1)[order], t)
    q = f.mul(inverse, f.polynomial((fits.Q0, fits.Q1)[order], t))
    sine, cosine = f.sin(a), f.cos(a)
    # Cosine and sine of the phase, times the root of 2, without rounding the phase.
    c, s = f.add(cosine, sine), f.sub(sine, cosine)
    if order:
        c, s = s, f.neg(c)
    size = f.sqrt(f.div(1 / math.pi, a))
    return (
        f.mul(size, f.sub(f.mul(p, c), f.mul(q, s))),
        f.mul(size, f.fma(p, s, f.mul(q, c))),
    )


def _j_near(f: Scalars, x: Any, order: int) -> Any:
    t = f.fma(f.mul(x, x), f.c(1 / 32), -1)
    if order:
        return f.mul(x, f.polynomial(fits.J1_NEAR, t))
    return f.polynomial(fits.J0_NEAR, t)


def _j(f: Scalars, x: Any, order: int) -> Any:
    a = f.abs(x)
    far = _waves(f, a, order)[0]
    if order:
        far = f.mul(far, f.sign(x))
    far = f.chosen(f.eq(a, math.inf), 0.0, far)
    return f.chosen(f.lt(a, 8), _j_near(f, x, order), far)


def _y(f: Scalars, x: Any, order: int) -> Any:
    t = f.fma(f.mul(x, x), f.c(1 / 32), -1)
    rest = f.polynomial((fits.Y0_NEAR, fits.Y1_NEAR)[order], t)
    product = f.mul(f.log(x), _j_near(f, x, order))
    if order:
        product = f.sub(product, f.div(1, x))
        rest = f.mul(x, rest)
    near = f.fma(f.c(2 / math.pi), product, rest)
    if order:
        near = f.chosen(f.eq(x, 0), -math.inf, near)
    far = f.chosen(f.eq(x, math.inf), 0.0, _waves(f, x, order)[1])
    return f.chosen(f.ge(x, 8), far, near)


# -------------------------------------------------------------------------------------- beta

STIRLING = tuple(
    float(b) / (2 * j * (2 * j - 1))
    for j, b in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6), 1)
)
"""Coefficients of the asymptotic series of the logarithm of gamma, in 1/z, 1/z^3, ..."""


def _stirling_rest(f: Scalars, z: Any) -> Any:
    """Return what Stirling's formula lacks, for z from 10 on."""
    inverse = f.div(1, z)
    return f.mul(inverse, f.polynomial(STIRLING, f.mul(inverse, inverse)))


def _betaln(f: Scalars, a: Any, b: Any) -> Any:
    """Logarithm of beta, without the cancellation between large arguments (DLMF 5.11.1)."""
    low, high = f.min(a, b), f.max(a, b)
    total, ratio = f.add(low, high), f.div(low, high)
    log_low = f.lgamma(low)
    direct = f.sub(f.add(log_low, f.lgamma(high)), f.lgamma(total))
    drop = f.log1p(ratio)
    rest = f.sub(_stirling_rest(f, high), _stirling_rest(f, total))
    # lgamma(high) - lgamma(total)
    fall = f.sub(f.fma(f.sub(0.5, high), drop, rest), f.mul(low, f.sub(f.log(total), 1)))
    one_large = f.add(log_low, fall)
    share = f.log(f.div(ratio, f.add(1, ratio)))
    powers = f.fma(f.sub(low, 0.5), share, f.mul(f.neg(high), drop))
    scale = f.fma(f.c(-0.5), f.log(high), 0.5 * math.log(2 * math.pi))
    both_large = f.add(f.add(powers, scale), f.add(_stirling_rest(f, low), rest))
    large = f.chosen(f.ge(low, 10), both_large, one_large)
    large = f.chosen(f.eq(high, math.inf), -math.inf, large)
    return f.chosen(f.ge(high, 10), large, direct)


def betaln_of_arrays(xp: Any, special: Any, a: Any, b: Any) -> Any:
    """Return the logarithm of beta; SciPy's has eight digits where it is near 0."""
    return _betaln(Arrays(xp, special), a.astype(F64), b.astype(F64)).astype(a.dtype)


LOWERED: dict[str, Lower] = {
    "betaln": _in_double(_betaln),
    "erfcx": _in_double(_erfcx),
    "i0": _in_double(lambda f, x: _i(f, x, 0)),
    "i0e": _in_double(lambda f, x: _i_scaled(f, x, 0)),
    "i1": _in_double(lambda f, x: _i(f, x, 1)),
    "i1e": _in_double(lambda f, x: _i_scaled(f, x, 1)),
    "j0": _in_double(lambda f, x: _j(f, x, 0)),
    "j1": _in_double(lambda f, x: _j(f, x, 1)),
    "k0": _in_double(lambda f, x: _k(f, x, 0, False)),
    "k0e": _in_double(lambda f, x: _k(f, x, 0, True)),
    "k1": _in_double(lambda f, x: _k(f, x, 1, False)),
    "k1e": _in_double(lambda f, x: _k(f, x, 1, True)),
    "y0": _in_double(lambda f, x: _y(f, x, 0)),
    "y1": _in_double(lambda f, x: _y(f, x, 1)),
}
"""The lowering rules, by the name of the function in SciPy."""
