"""Trigonometric functions: sin, cos, tan and the inverses.

sin and cos reduce by multiples of pi (three parts, FMA) to one polynomial on [-pi/2, pi/2], tan by
multiples of pi/2.  That is right up to 2**30 (float64) or 1e5 (float32); where a lane is beyond,
the vector is computed anew by the C library, behind a branch.  atan and atan2 use one division and
a polynomial in q**2 up to 1; asin and acos a polynomial in z on [0, 1/4].

Coefficients: ``(sin(r) - r) / r**3`` and so on in ``z = r**2``, weight z, by
``bench/coefficients.py SIN64 SIN32 TAN64 TAN32 ATAN_WIDE64 ATAN_WIDE32 ASIN64 ASIN32``.
"""

from __future__ import annotations

import math

from tracejit_llvm.math.exp import magic
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.text import Code, suffix, vector

__all__ = ["acos", "asin", "atan", "atan2", "cos", "sin", "sine", "tan"]

SIN64 = (
    -0.16666666666666666,
    0.008333333333333333,
    -0.00019841269841269687,
    2.7557319223943706e-06,
    -2.5052108378901306e-08,
    1.6059043224291565e-10,
    -7.64712838093669e-13,
    2.810226986527253e-15,
    -7.983534487435615e-18,
)
SIN32 = (
    -0.16666660415640344,
    0.00833308672653205,
    -0.00019810993576382333,
    2.6086437860920087e-06,
)
TAN64 = (
    0.33333333333333387,
    0.1333333333332476,
    0.05396825397319652,
    0.02186948839185242,
    0.00886323803482987,
    0.0035920997860914333,
    0.001456052817737667,
    0.0005888305656352638,
    0.0002438652494645693,
    8.32830418107265e-05,
    6.769746665904088e-05,
    -2.6204172668013207e-05,
    4.9088098500771946e-05,
    -2.4486868445956352e-05,
    9.844147561333159e-06,
)
TAN32 = (
    0.33333351717309234,
    0.13332600186045723,
    0.054066675490582916,
    0.021248956838087047,
    0.010918351182768174,
    -1.1244332193516e-05,
    0.004424361450095611,
)
ATAN_WIDE64 = (
    -0.33333333333333326,
    0.19999999999998286,
    -0.14285714285580278,
    0.11111111105732893,
    -0.09090908960157647,
    0.0769230557417063,
    -0.0666664234902395,
    0.05882146440594828,
    -0.05261819880236929,
    0.0475513301531714,
    -0.04320567536710138,
    0.03911459764772407,
    -0.034688200658782704,
    0.029338089844461675,
    -0.0228514437635662,
    0.015759806165899837,
    -0.009235664360571388,
    0.004401666554397466,
    -0.0016200789995192374,
    0.00042869408952392823,
    -7.219021761404538e-05,
    5.7891877797804e-06,
)
ATAN_WIDE32 = (
    -0.3333332743489853,
    0.19999692677609787,
    -0.14280131721274983,
    0.11060251499153832,
    -0.0881887584518334,
    0.0675963733042913,
    -0.044947389793214325,
    0.02276115985063305,
    -0.007423028689556976,
    0.0011349573297510201,
)
ASIN64 = (
    0.16666666666666763,
    0.0749999999996994,
    0.04464285717544636,
    0.030381942667155083,
    0.02237221614608705,
    0.017351590997399847,
    0.013981074629144784,
    0.011396817718493012,
    0.010792072861318917,
    0.0036614736249964484,
    0.021817455790770823,
    -0.02115568326218738,
    0.03272715349952017,
)
ASIN32 = (
    0.16666754228074426,
    0.07495226511167198,
    0.04547940527521734,
    0.024134594197329932,
    0.04224296981044948,
)
PI_64 = (3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33)
PI_32 = (3.1415927410125732, -8.742277657347586e-08, -3.430006790342341e-15)
LARGEST_64 = 2.0**30
LARGEST_32 = 1e5
PI_2 = 1.5707963267948966
PI_2_LOW = 6.123233995736766e-17
PI_2_32 = 1.5707963705062866
PI_2_32_LOW = -4.371138828673793e-08


def _redone(f: Lanes, name: str, x: str, y: str) -> str:
    """Return `y`, replaced by the C function's results in the lanes where `x` is too large."""
    code = f.code
    large = f.compare("ogt", f.abs(x), f.either(LARGEST_32, LARGEST_64))
    if f.n:
        flag = code.call(
            "i1", f"llvm.vector.reduce.or.{suffix('i1', f.n)}", (vector("i1", f.n), large)
        )
    else:
        flag = large
    helper = _helper(f, name)
    number = code.module.fresh()
    slow, joined, before = f"slow{number}", f"joined{number}", code.label
    code.line(f"br i1 {flag}, label %{slow}, label %{joined}, !prof !0")
    code.start(slow)
    again = code.op(f"call {f.type} @{helper}({f.type} {x}) cold")
    again = f.select(large, again, y)  # bits do not depend on what else is in the vector
    code.line(f"br label %{joined}")
    code.start(joined)
    return code.op(f"phi {f.type} [ {y}, %{before} ], [ {again}, %{slow} ]")


def _helper(f: Lanes, name: str) -> str:
    """Define, once in a module, the function that calls the C function on every lane."""
    module = f.code.module
    helper = f"slow_{name}_{suffix(f.scalar, f.n)}"
    if helper in module.definitions:
        return helper
    code = Code(module, "entry")
    result = "poison"
    for lane in range(max(f.n, 1)):
        x = code.op(f"extractelement {f.type} %x, i64 {lane}") if f.n else "%x"
        if f.single:
            x = code.op(f"fpext float {x} to double")
        y = code.call("double", name, ("double", x))
        if f.single:
            y = code.op(f"fptrunc double {y} to float")
        result = (
            code.op(f"insertelement {f.type} {result}, {f.scalar} {y}, i64 {lane}") if f.n else y
        )
    body = "\n".join(code.lines)
    module.definitions[helper] = (
        f"define internal {f.type} @{helper}({f.type} %x) noinline cold nounwind {{\n"
        f"{body}\n  ret {f.type} {result}\n}}"
    )
    return helper


def sine(f: Lanes, r: str) -> str:
    """Return the sine of \\|r\\| <= pi / 2."""
    z = f.mul(r, r)
    return f.fma(f.mul(z, r), f.horner(z, SIN32 if f.single else SIN64), r)


def _less_multiple(f: Lanes, x: str, k: str, unit: float) -> str:
    """Return ``x - k pi unit``."""
    for part in PI_32 if f.single else PI_64:
        x = f.fma(k, f.c(-part * unit), x)
    return x


def _signed(f: Lanes, y: str, parity: str) -> str:
    """Return `y` with its sign changed where the lowest bit of `parity` is 1."""
    sign = f.word_op("shl", parity, f.i(f.mantissa + (8 if f.single else 11)))
    return f.unbits(f.word_op("xor", f.bits(y), sign))


def sin(f: Lanes, x: str) -> str:
    """Sine."""
    t = f.fma(x, f.c(1 / math.pi), f.c(magic(f)))
    k = f.sub(t, f.c(magic(f)))
    y = _signed(f, sine(f, _less_multiple(f, x, k, 1.0)), f.bits(t))
    y = f.select(f.compare("oeq", x, f.c(0.0)), x, y)
    return _redone(f, "sin", x, y)


def cos(f: Lanes, x: str) -> str:
    """Cosine: the sine of ``x + pi/2``; k + 1/2 multiples of pi are taken away."""
    t = f.add(f.fma(x, f.c(1 / math.pi), f.c(-0.5)), f.c(magic(f)))
    k = f.add(f.sub(t, f.c(magic(f))), f.c(0.5))
    odd = f.word_op("xor", f.bits(t), f.i(1))
    return _redone(f, "cos", x, _signed(f, sine(f, _less_multiple(f, x, k, 1.0)), odd))


def tan(f: Lanes, x: str) -> str:
    """Tangent."""
    t = f.fma(x, f.c(2 / math.pi), f.c(magic(f)))
    k = f.sub(t, f.c(magic(f)))
    high, middle, low = (p / 2 for p in (PI_32 if f.single else PI_64))
    start = f.fma(k, f.c(-high), x)
    r = f.fma(k, f.c(-middle), start)
    # What r lost: to first order it changes the tangent by (1 + tan**2) times as much.
    lost = f.fma(k, f.c(-low), f.fma(k, f.c(-middle), f.sub(start, r)))
    z = f.mul(r, r)
    p = f.horner(z, TAN32 if f.single else TAN64)
    tail = f.fma(f.mul(z, r), p, f.fma(z, lost, lost))
    y = f.add(r, tail)
    odd = f.word_op("and", f.bits(t), f.i(1))
    odd = f.code.op(f"icmp ne {f.words} {odd}, {f.i(0)}")
    # -1 / (r + tail), corrected by the residual of the division.
    inverse = f.div(f.c(-1.0), y)
    residual = f.fma(inverse, f.add(f.sub(r, y), tail), f.fma(inverse, y, f.c(1.0)))
    cotangent = f.fma(inverse, residual, inverse)
    y = f.select(odd, cotangent, y)
    y = f.select(f.compare("oeq", x, f.c(0.0)), x, y)
    return _redone(f, "tan", x, y)


def atan(f: Lanes, x: str) -> str:
    """Inverse tangent, by a polynomial up to 1 and of ``-1 / x`` beyond."""
    pi_2, pi_2_low = (PI_2_32, PI_2_32_LOW) if f.single else (PI_2, PI_2_LOW)
    a, one, zero = f.abs(x), f.c(1.0), f.c(0.0)
    beyond = f.compare("ogt", a, one)
    q = f.div(f.select(beyond, f.c(-1.0), a), f.select(beyond, a, one))
    z = f.mul(q, q)
    tail = f.mul(f.mul(q, z), f.horner(z, ATAN_WIDE32 if f.single else ATAN_WIDE64))
    tail = f.add(tail, f.select(beyond, f.c(pi_2_low), zero))
    return f.copysign(f.add(f.select(beyond, f.c(pi_2), zero), f.add(q, tail)), x)


def atan2(f: Lanes, y: str, x: str) -> str:
    """Angle of the point (x, y): of a quotient up to 1, added to a multiple of pi/2 or taken away.

    Where the quotient is no number a branch sets it: to 0 at the origin, to 1 at both infinities.
    """
    pi_2, pi_2_low = (PI_2_32, PI_2_32_LOW) if f.single else (PI_2, PI_2_LOW)
    one, zero = f.c(1.0), f.c(0.0)
    t, u = f.abs(y), f.abs(x)
    swap = f.compare("ogt", t, u)
    large, small = f.select(swap, t, u), f.select(swap, u, t)
    q = f.div(small, large)

    def other() -> tuple[str]:
        equal = f.select(f.compare("oeq", large, zero), zero, one)
        return (f.select(f.compare("oeq", small, large), equal, q),)

    (q,) = f.rare(f.compare("uno", q, q), (q,), other)
    left = f.code.op(f"icmp slt {f.words} {f.bits(x)}, {f.i(0)}")
    q = f.select(f.logic("xor", swap, left), f.neg(q), q)
    high = f.select(swap, f.c(pi_2), f.select(left, f.c(2 * pi_2), zero))
    z = f.mul(q, q)
    p = f.horner(z, ATAN_WIDE32 if f.single else ATAN_WIDE64)
    tail = f.fma(f.mul(q, z), p, f.mul(high, f.c(pi_2_low / pi_2)))
    return f.copysign(f.add(high, f.add(q, tail)), y)


def _arc(f: Lanes, a: str) -> tuple[str, str, str]:
    """Return whether a > 1/2, and w and its tail: ``asin(w) = w + tail``."""
    high = f.compare("ogt", a, f.c(0.5))
    z = f.fma(a, f.c(-0.5), f.c(0.5))
    w = f.select(high, f.sqrt(z), a)
    z = f.select(high, z, f.mul(a, a))
    return high, w, f.mul(f.mul(w, z), f.horner(z, ASIN32 if f.single else ASIN64))


def asin(f: Lanes, x: str) -> str:
    """Inverse sine; nan beyond 1."""
    pi_2, pi_2_low = (PI_2_32, PI_2_32_LOW) if f.single else (PI_2, PI_2_LOW)
    high, w, tail = _arc(f, f.abs(x))
    rest = f.fma(w, f.c(-2.0), f.fma(tail, f.c(-2.0), f.c(pi_2_low)))
    y = f.select(high, f.add(f.c(pi_2), rest), f.add(w, tail))
    return f.copysign(y, x)


def acos(f: Lanes, x: str) -> str:
    """Inverse cosine; nan beyond 1."""
    pi_2, pi_2_low = (PI_2_32, PI_2_32_LOW) if f.single else (PI_2, PI_2_LOW)
    a = f.abs(x)
    high, w, tail = _arc(f, a)
    negative = f.compare("olt", x, f.c(0.0))
    signed_w = f.select(negative, f.neg(w), w)
    signed_tail = f.select(negative, f.neg(tail), tail)
    middle = f.add(f.c(pi_2), f.sub(f.sub(f.c(pi_2_low), signed_tail), signed_w))
    sum_, double = f.add(w, tail), f.c(2.0)
    right = f.mul(sum_, double)
    left = f.add(f.c(2 * pi_2), f.fma(w, f.c(-2.0), f.fma(tail, f.c(-2.0), f.c(2 * pi_2_low))))
    return f.select(high, f.select(negative, left, right), middle)
