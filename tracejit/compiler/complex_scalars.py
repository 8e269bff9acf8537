"""Operations on complex scalars, written with their real and imaginary parts.

Sums, products, quotients (Smith's), comparisons and the choice of extremes are NumPy's formulas.
Of the functions, infinities, NaN, signs of zero and branch cuts are those of C99, Annex G, with
these differences: where the standard leaves the sign of a zero or of an infinity open it may be
another one than NumPy's, and so may be which parts are NaN where an operand of a power is not
finite.  Rounding errors are a few units in the last place of the larger part.

What is computed is always both branches and a choice: it fills the lanes of a vector.

References
----------
W. Kahan, "Branch cuts for complex elementary functions, or much ado about nothing's sign bit"
(1987): square root, inverse functions.  R. L. Smith, "Algorithm 116: Complex division" (1962).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tracejit.ir import scalar as s
from tracejit.ir.dtypes import DTYPES, complex_of, is_complex, real_of
from tracejit.ir.scalar import COMPARISONS, Expr

__all__ = ["FUNCTIONS", "apply", "concerns", "result_dtype"]

Apply = Callable[..., Expr]
_STRUCTURE = ("complex", "real", "imag")
_SINGLE = DTYPES["f32"]


def concerns(op: str, dtype: np.dtype[Any]) -> bool:
    """Whether an operation whose last operand has `dtype` is one of this module."""
    return op in _STRUCTURE or (is_complex(dtype) and op != "select")


def result_dtype(op: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the result of such an operation."""
    if op == "complex":
        return complex_of(dtype)
    if op in ("real", "imag", "abs"):
        return real_of(dtype)
    return DTYPES["bool"] if op in COMPARISONS else dtype


def apply(real_apply: Apply, op: str, args: tuple[Expr, ...]) -> Expr:
    """Return an operation on complex scalars.

    Parameters
    ----------
    real_apply : callable
        ``real_apply(op, *args)`` for real scalars.
    op : str
        A key of :data:`FUNCTIONS`, or what makes or takes parts.
    args : tuple of Expr
        The operands.
    """
    if op in _STRUCTURE:
        return s.apply(op, *args)
    parts = [Z(Real(real_apply, s.real(e)), Real(real_apply, s.imag(e))) for e in args]
    result = FUNCTIONS[op](*parts)
    return result.e if isinstance(result, Real) else s.pair(result.x.e, result.y.e)


class Real:
    """A real (or bool) scalar with operators."""

    __slots__ = ("_apply", "e")

    def __init__(self, apply: Apply, e: Expr) -> None:
        self._apply = apply
        self.e = e

    def of(self, value: float | bool) -> Real:
        """Return a constant of this dtype."""
        return Real(self._apply, s.const(value, self.e.dtype))

    def call(self, op: str, *others: Real | float) -> Real:
        """Return an operation of the scalar vocabulary on this and others."""
        own = [self, *(o if isinstance(o, Real) else self.of(o) for o in others)]
        return Real(self._apply, self._apply(op, *(o.e for o in own)))

    def choose(self, then: Real | float, otherwise: Real | float) -> Real:
        """Return `then` where this holds, else `otherwise`; one of the two is no number."""
        if not isinstance(then, Real):
            assert isinstance(otherwise, Real)
            then = otherwise.of(then)
        if not isinstance(otherwise, Real):
            otherwise = then.of(otherwise)
        return self.call("select", then, otherwise)

    def __add__(self, other: Real | float) -> Real:
        return self.call("add", other)

    def __sub__(self, other: Real | float) -> Real:
        return self.call("sub", other)

    def __rsub__(self, other: float) -> Real:
        return self.of(other) - self

    def __mul__(self, other: Real | float) -> Real:
        return self.call("mul", other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Real | float) -> Real:
        return self.call("div", other)

    def __rtruediv__(self, other: float) -> Real:
        return self.of(other) / self

    def __neg__(self) -> Real:
        return self.call("neg")

    def __abs__(self) -> Real:
        if self.e.op == "const":
            return self.of(abs(s.value_of(self.e)))
        return self.call("abs")

    def __lt__(self, other: Real | float) -> Real:
        return self.call("lt", other)

    def __gt__(self, other: Real | float) -> Real:
        return self.call("gt", other)

    def __le__(self, other: Real | float) -> Real:
        return self.call("le", other)

    def __ge__(self, other: Real | float) -> Real:
        return self.call("ge", other)

    def equals(self, other: Real | float) -> Real:
        """Whether the two are equal."""
        return self.call("eq", other)

    def __and__(self, other: Real) -> Real:
        return self.call("and", other)

    def __or__(self, other: Real) -> Real:
        return self.call("or", other)

    def __invert__(self) -> Real:
        return self.call("not")

    @property
    def finite(self) -> Real:
        """Whether it is neither inf nor NaN."""
        return self.call("isfinite")

    @property
    def nan(self) -> Real:
        """Whether it is NaN."""
        return self.call("isnan")

    @property
    def single(self) -> bool:
        """Whether it is float32."""
        return self.e.dtype is _SINGLE

    def with_sign(self, other: Real) -> Real:
        """Return its magnitude with the sign of another."""
        return self.call("copysign", other)


class Z(NamedTuple):
    """A complex scalar."""

    x: Real
    y: Real


def _number(*parts: float) -> Callable[[Z], Z]:
    return lambda z: Z(z.x.of(parts[0]), z.x.of(parts[1]))


_one = _number(1.0, 0.0)


# ------------------------------------------------------------------------- arithmetic


def _add(a: Z, b: Z) -> Z:
    return Z(a.x + b.x, a.y + b.y)


def _sub(a: Z, b: Z) -> Z:
    return Z(a.x - b.x, a.y - b.y)


def _mul(a: Z, b: Z) -> Z:
    return Z(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x)


def _scaled(a: Z, c: float) -> Z:
    return Z(a.x * c, a.y * c)


def _div(a: Z, b: Z) -> Z:
    swap = abs(b.x) < abs(b.y)
    p, q = swap.choose(b.y, b.x), swap.choose(b.x, b.y)
    u, v = swap.choose(a.y, a.x), swap.choose(a.x, a.y)
    ratio = q / p
    scale = 1.0 / (p + q * ratio)
    x, turned = (u + v * ratio) * scale, u * ratio
    y = swap.choose(turned - v, v - turned) * scale
    by_zero = p.equals(0.0) & q.equals(0.0)  # inf or NaN, part by part
    return Z(by_zero.choose(a.x * math.inf, x), by_zero.choose(a.y * math.inf, y))


def _sign(z: Z) -> Z:
    # A part that is infinite counts for 1; where both are, the direction is unknown.
    size = _abs(z)
    zero = size.equals(0.0)
    unit = Z(zero.choose(0.0, z.x / size), zero.choose(0.0, z.y / size))
    inf_x, inf_y = abs(z.x).equals(math.inf), abs(z.y).equals(math.inf)
    one = z.x.of(1.0)
    x = inf_x.choose(one.with_sign(z.x), inf_y.choose(0.0, unit.x))
    y = inf_y.choose(one.with_sign(z.y), inf_x.choose(0.0, unit.y))
    lost = inf_x & inf_y
    return Z(lost.choose(math.nan, x), lost.choose(math.nan, y))


def _abs(z: Z) -> Real:
    return z.x.call("hypot", z.y)


# ------------------------------------------------------------------- comparisons, extremes


def _ordered(op: str, strict: str) -> Callable[[Z, Z], Real]:
    def compare(a: Z, b: Z) -> Real:
        first = a.x.call(strict, b.x) & ~(a.y.nan | b.y.nan)
        return first | (a.x.equals(b.x) & a.y.call(op, b.y))

    return compare


_lt, _le = _ordered("lt", "lt"), _ordered("le", "lt")
_gt, _ge = _ordered("gt", "gt"), _ordered("ge", "gt")


def _extreme(beats: Callable[[Z, Z], Real]) -> Callable[[Z, Z], Z]:
    def choose(a: Z, b: Z) -> Z:
        first = beats(a, b) | a.x.nan | a.y.nan
        return Z(first.choose(a.x, b.x), first.choose(a.y, b.y))

    return choose


# ------------------------------------------------------------- exponentials and logarithms


def _large(x: Real) -> tuple[Real, Real, Real]:
    """Return x brought nearer to 0 where exp(x) overflows, exp of what was taken, whether it was.

    Both are exact, and beyond twice the limit a product with a sine overflows anyway.
    """
    limit, step = (80.0, 64.0) if x.single else (700.0, 256.0)
    far = abs(x) > limit
    moved = far.choose(x - x.of(step).with_sign(x), x)
    return moved, far.choose(x.of(math.exp(step)), 1.0), far


def _exp(z: Z) -> Z:
    x, y = z
    limit, step = (80.0, 64.0) if x.single else (700.0, 256.0)
    far = x > limit
    size = far.choose(x - step, x).call("exp")
    more = far.choose(x.of(math.exp(step)), 1.0)
    whole = size * more
    # At an infinite x the angle may be lost, and then 0 or inf is as it is.
    lost = ~y.finite & abs(x).equals(math.inf)
    re = lost.choose(whole, size * y.call("cos") * more)
    im = size * y.call("sin") * more
    im = (lost & (x < 0.0)).choose(x.of(0.0).with_sign(y), im)
    return Z(re, y.equals(0.0).choose(y, im))


def _exp2(z: Z) -> Z:
    return _exp(_scaled(z, math.log(2.0)))


def _expm1(z: Z) -> Z:
    # exp(x) cos(y) - 1 without cancellation near 0
    half = (z.y * 0.5).call("sin")
    e = z.x.call("expm1")
    x = e * z.y.call("cos") - 2.0 * half * half
    whole = _exp(z)
    return Z((abs(z.x) < 1.0).choose(x, whole.x - 1.0), whole.y)


def _log(z: Z) -> Z:
    """Logarithm of the magnitude, and angle.

    Near the unit circle the logarithm is that of ``1 + t`` with ``t = x**2 + y**2 - 1``, of which
    the rounding error of ``1 + t`` is taken back.
    """
    a, b = abs(z.x), abs(z.y)
    swap = a < b
    large, small = swap.choose(b, a), swap.choose(a, b)
    up, down, shift = _lifted(large)
    size = (large * up).call("hypot", small * up)
    t = (large - 1.0) * (large + 1.0) + small * small
    u = 1.0 + t
    near = (size > 0.6) & (size < 1.7) & down.equals(1.0)
    found = near.choose(u, size).call("log")
    re = near.choose(0.5 * (found + (t - (u - 1.0)) / u), found + shift)
    return Z(re, z.y.call("atan2", z.x))


def _lifted(large: Real) -> tuple[Real, Real, Real]:
    """Return powers of 2, u and 1 / u, by which a large or tiny part is scaled, and log(1 / u)."""
    power = 60 if large.single else 500
    greatest = 120 if large.single else 1000
    huge, tiny = large > 2.0**greatest, large < 2.0**-greatest
    up = huge.choose(large.of(2.0**-power), tiny.choose(large.of(2.0**power), 1.0))
    down = huge.choose(large.of(2.0**power), tiny.choose(large.of(2.0**-power), 1.0))
    log = power * math.log(2.0)
    return up, down, huge.choose(large.of(log), tiny.choose(large.of(-log), 0.0))


def _log1p(z: Z) -> Z:
    x = z.x + 1.0
    size = z.x * (2.0 + z.x) + z.y * z.y
    near = (abs(z.x) < 0.5) & (abs(z.y) < 0.5)
    whole = _log(Z(x, z.y))
    return Z(near.choose(0.5 * size.call("log1p"), whole.x), whole.y)


def _pow(a: Z, b: Z) -> Z:
    found = _exp(_mul(b, _log(a)))
    zero = a.x.equals(0.0) & a.y.equals(0.0)
    none = b.x.equals(0.0) & b.y.equals(0.0)
    vanishes = (b.x > 0.0) & ~b.y.nan
    x = zero.choose(vanishes.choose(0.0, a.x.of(math.nan)), found.x)
    y = zero.choose(vanishes.choose(0.0, a.x.of(math.nan)), found.y)
    return Z(none.choose(1.0, x), none.choose(0.0, y))


# --------------------------------------------------------------------------------- roots


def _sqrt(z: Z) -> Z:
    x, y = z
    a, b = abs(x), abs(y)
    large = (a < b).choose(b, a)
    # By even powers of 2, whose roots are exact.
    even = 62 if x.single else 512
    huge = large > 2.0 ** (124 if x.single else 1020)
    tiny = large < 2.0 ** (-100 if x.single else -900)
    up = huge.choose(x.of(0.0625), tiny.choose(x.of(2.0**even), 1.0))
    down = huge.choose(x.of(4.0), tiny.choose(x.of(2.0 ** (-even // 2)), 1.0))
    a, scaled = a * up, y * up
    t = (0.5 * (a + a.call("hypot", scaled))).call("sqrt")
    zero = t.equals(0.0)
    w = zero.choose(scaled, scaled / (2.0 * t))
    right = x.call("copysign", x) >= 0.0
    t, w = t * down, w * down
    # The sign of y, also of a zero, is that of the imaginary part.
    re = right.choose(t, zero.choose(0.0, abs(w)))
    im = right.choose(w, zero.choose(w, t.with_sign(y)))
    infinite = b.equals(math.inf)
    return Z(infinite.choose(math.inf, re), infinite.choose(y, im))


def _rsqrt(z: Z) -> Z:
    return _div(_one(z), _sqrt(z))


# ------------------------------------------------------ hyperbolic functions and angles


def _turned(function: Callable[[Z], Z]) -> Callable[[Z], Z]:
    """Return ``-i f(i z)`` of an odd hyperbolic function: the circular one."""

    def turned(z: Z) -> Z:
        w = function(Z(z.y, z.x))
        return Z(w.y, w.x)

    return turned


def _sinh_cosh(x: Real) -> tuple[Real, Real, Real]:
    near, more, _ = _large(x)
    return near.call("sinh"), near.call("cosh"), more


def _sinh(z: Z) -> Z:
    x, y = z
    sinh, cosh, more = _sinh_cosh(x)
    re, im = sinh * y.call("cos") * more, cosh * y.call("sin") * more
    lost = ~y.finite
    kept = lost & (x.equals(0.0) | abs(x).equals(math.inf))
    return Z(kept.choose(x, re), y.equals(0.0).choose(y, im))


def _cosh(z: Z) -> Z:
    x, y = z
    sinh, cosh, more = _sinh_cosh(x)
    re, im = cosh * y.call("cos") * more, sinh * y.call("sin") * more
    lost = ~y.finite
    re = (lost & abs(x).equals(math.inf)).choose(math.inf, re)
    flat = y.equals(0.0) | (lost & x.equals(0.0))
    none = (x.of(0.0).with_sign(x)) * x.of(1.0).with_sign(y)
    return Z(re, flat.choose(none, im))


def _cos(z: Z) -> Z:
    return _cosh(Z(-z.y, z.x))


def _tanh(z: Z) -> Z:
    x, y = z
    far = abs(x) > (10.0 if x.single else 22.0)
    near = far.choose(x.of(0.0), x)
    sinh, cosh = near.call("sinh"), near.call("cosh")
    sin, cos = y.call("sin"), y.call("cos")
    size = sinh * sinh + cos * cos
    re, im = sinh * cosh / size, sin * cos / size
    one = x.of(1.0).with_sign(x)
    small = 4.0 * sin * cos * (-2.0 * abs(x)).call("exp")
    lost = ~y.finite
    small = (abs(x).equals(math.inf) & lost).choose(x.of(0.0).with_sign(y), small)
    re = far.choose((lost & x.finite).choose(math.nan, one), re)
    im = far.choose(small, im)
    # On the axes one part is that of the real function, whatever the other.
    level = y.equals(0.0)
    re = (x.equals(0.0)).choose(x, re)
    return Z(level.choose(x.call("tanh"), re), level.choose(y, im))


def _conj(z: Z) -> Z:
    return Z(z.x, -z.y)


def _big(z: Z) -> Real:
    limit = 2.0 ** (24 if z.x.single else 52)
    return (abs(z.x) > limit) | (abs(z.y) > limit)


def _tame(z: Z) -> tuple[Real, Z]:
    """Return whether a number is so large that an asymptote is exact; else 1 in its place."""
    big = _big(z)
    return big, Z(big.choose(z.x.of(0.5), z.x), big.choose(z.x.of(0.5), z.y))


def _log_twice(z: Z) -> Real:
    return _log(z).x + math.log(2.0)


def _acos(z: Z) -> Z:
    big, w = _tame(z)
    minus, plus = _sqrt(Z(1.0 - w.x, -w.y)), _sqrt(Z(1.0 + w.x, w.y))
    re = 2.0 * minus.x.call("atan2", plus.x)
    im = (plus.x * minus.y - plus.y * minus.x).call("asinh")
    far = abs(z.y).call("atan2", z.x)
    re = z.x.equals(0.0).choose(math.pi / 2, big.choose(far, re))
    return Z(re, big.choose(_log_twice(z).call("copysign", -z.y), im))


def _asinh(z: Z) -> Z:
    # -i asin(i z), with asin by roots of 1 - i z and 1 + i z
    big, w = _tame(z)
    minus, plus = _sqrt(Z(1.0 + w.y, -w.x)), _sqrt(Z(1.0 - w.y, w.x))
    re = (minus.x * plus.y - minus.y * plus.x).call("asinh")
    im = w.y.call("atan2", minus.x * plus.x - minus.y * plus.y)
    far = z.y.call("atan2", abs(z.x))
    im = z.y.equals(0.0).choose(z.y, big.choose(far, im))
    return Z(big.choose(_log_twice(z).with_sign(z.x), re), im)


def _acosh(z: Z) -> Z:
    big, w = _tame(z)
    minus, plus = _sqrt(Z(w.x - 1.0, w.y)), _sqrt(Z(w.x + 1.0, w.y))
    re = (minus.x * plus.x + minus.y * plus.y).call("asinh")
    im = big.choose(z.y.call("atan2", z.x), 2.0 * minus.y.call("atan2", plus.x))
    quarter = z.x.of(math.pi / 2).with_sign(z.y)
    return Z(big.choose(_log_twice(z), re), z.x.equals(0.0).choose(quarter, im))


def _atanh(z: Z) -> Z:
    big, w = _tame(z)
    minus, plus = 1.0 - w.x, 1.0 + w.x
    im = 0.5 * (2.0 * w.y).call("atan2", minus * plus - w.y * w.y)
    # From the distance to the nearer of the two poles, whose square may vanish.
    away = (1.0 - abs(w.x)).call("hypot", w.y)
    pole = away < (2.0**-20 if z.x.single else 2.0**-100)
    re = 0.25 * (4.0 * abs(w.x) / away / away).call("log1p")
    re = pole.choose(0.5 * (2.0 / away).call("log"), re).with_sign(z.x)
    # 1 / z far away
    size = (abs(z.x) < abs(z.y)).choose(abs(z.y), abs(z.x))
    u, v = z.x / size, z.y / size
    far = (abs(z.x).equals(math.inf) | abs(z.y).equals(math.inf)).choose(
        z.x.of(0.0).with_sign(z.x), u / (u * u + v * v) / size
    )
    quarter = z.y.nan.choose(z.y, z.y.of(math.pi / 2).with_sign(z.y))
    re = z.x.equals(0.0).choose(z.x, big.choose(far, re))
    return Z(re, big.choose(quarter, im))


FUNCTIONS: dict[str, Callable[..., Z | Real]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": lambda z: Z(-z.x, -z.y),
    "conj": _conj,
    "abs": _abs,
    "sign": _sign,
    "eq": lambda a, b: a.x.equals(b.x) & a.y.equals(b.y),
    "ne": lambda a, b: a.x.call("ne", b.x) | a.y.call("ne", b.y),
    "lt": _lt,
    "le": _le,
    "gt": _gt,
    "ge": _ge,
    "max": _extreme(_ge),
    "min": _extreme(_le),
    "isnan": lambda z: z.x.nan | z.y.nan,
    "isinf": lambda z: z.x.call("isinf") | z.y.call("isinf"),
    "isfinite": lambda z: z.x.finite & z.y.finite,
    "exp": _exp,
    "exp2": _exp2,
    "expm1": _expm1,
    "log": _log,
    "log2": lambda z: _scaled(_log(z), 1.0 / math.log(2.0)),
    "log10": lambda z: _scaled(_log(z), 1.0 / math.log(10.0)),
    "log1p": _log1p,
    "pow": _pow,
    "sqrt": _sqrt,
    "rsqrt": _rsqrt,
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
    "sin": _turned(_sinh),
    "cos": _cos,
    "tan": _turned(_tanh),
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
    "asin": _turned(_asinh),
    "acos": _acos,
    "atan": _turned(_atanh),
}
"""Operations of the scalar vocabulary on complex numbers."""
