"""Exponentials: exp, exp2, expm1, and what the hyperbolic functions share with them.

``x = k ln 2 + r`` with ``k`` rounded by adding 1.5 * 2**52 (its low bits are then k) and ``r`` by
two FMAs (Cody and Waite); ``expm1(r) = r + r**2 Q(r)``; scaled by ``2**k``.  In float64 exp and
exp2 take k in sixteenths, ``2**(i / 16)`` from a table, and a shorter polynomial.

Coefficients: ``(exp(r) - 1 - r) / r**2`` on \\|r\\| <= ln 2 / 2, weight ``r**2``, by
``bench/coefficients.py EXP64 EXP32``, on \\|r\\| <= ln 2 / 32 by ``EXP_SHORT64
EXP_SHORT32 EXPM1_SHORT64``;
``(exp2(r) - 1) / r`` on \\|r\\| <= 1/2, by ``EXP2_32``.
"""

from __future__ import annotations

from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.tables import ROOTS

__all__ = [
    "exp",
    "exp2",
    "expm1",
    "power_of_two",
    "reduced",
    "scale",
    "scaled",
    "sixteenths",
]

EXP64 = (
    0.5,
    0.16666666666666685,
    0.04166666666666672,
    0.008333333333316697,
    0.0013888888888859482,
    0.00019841269897171446,
    2.4801587371982008e-05,
    2.7557234116769873e-06,
    2.7557234689283293e-07,
    2.5112283821645836e-08,
    2.092657243019751e-09,
)
EXP_SHORT64 = (
    0.5000000000000006,
    0.1666666666441904,
    0.04166666665941622,
    0.00833347195681184,
    0.0013889132699171664,
)
EXP_SHORT32 = (
    0.5000162025799261,
    0.16667058055798406,
)
EXPM1_SHORT64 = (
    0.5000000000000004,
    0.16666666666666677,
    0.041666666660579076,
    0.008333333332284315,
    0.0013889112581344774,
    0.00019841570292023823,
)
EXP32 = (
    0.5000000092418353,
    0.16666518808899397,
    0.041666205148442555,
    0.00836890599914363,
    0.001395074069854049,
)
EXP2_32 = (
    0.6931471880774538,
    0.24022651086454452,
    0.05550356878575024,
    0.009618030388128675,
    0.0013390986253472939,
    0.00015469864696044357,
)
LN2_64 = (0.6931471803691238, 1.9082149292705877e-10)
LN2_32 = (0.693145751953125, 1.4286068203094173e-06)
INVERSE_LN2 = 1.4426950408889634


def magic(f: Lanes) -> float:
    """Return the number that rounds by being added: 1.5 in the last place of the integers."""
    return 1.5 * 2.0**f.mantissa


def integer(f: Lanes, t: str) -> str:
    """Return the integer in the low bits of ``k + magic``."""
    return f.word_op("sub", f.bits(t), f.i(0x4B400000 if f.single else 0x4338000000000000))


def scale(f: Lanes, k: str) -> str:
    """Return ``2**k`` of an integer k within the exponents of normal numbers."""
    biased = f.word_op("add", k, f.i(127 if f.single else 1023))
    return f.unbits(f.word_op("shl", biased, f.i(f.mantissa)))


def scaled(f: Lanes, x: str, k: str, whole: str) -> str:
    """Return ``x * 2**k`` for x from 2**-8 to 2**8: k is added to the exponents.

    Where the result may be subnormal or infinite it is scaled in two steps, so rounded once.
    `whole` is k as a float, for lanes that have an instruction.
    """
    if f.scales:
        return f.scaled(x, whole)
    most = 117 if f.single else 1013
    shifted = f.word_op("add", k, f.i(most))
    out = f.code.op(f"icmp ugt {f.words} {shifted}, {f.i(2 * most)}")
    moved = f.word_op("add", f.bits(x), f.word_op("shl", k, f.i(f.mantissa)))

    def other() -> tuple[str]:
        half = f.word_op("ashr", k, f.i(1))
        return (f.mul(f.mul(x, scale(f, half)), scale(f, f.word_op("sub", k, half))),)

    return f.rare(out, (f.unbits(moved),), other)[0]


def tail(f: Lanes, r: str) -> str:
    """Return ``expm1(r)`` for \\|r\\| <= ln 2 / 2."""
    return f.fma(f.mul(r, r), f.horner(r, EXP32 if f.single else EXP64), r)


def reduced(f: Lanes, x: str, low: str | None = None) -> tuple[str, str, str]:
    """Return ``(k, p, k)`` with ``exp(x + low) = 2**k (1 + p)``; k as an integer and as a float."""
    t = f.fma(x, f.c(INVERSE_LN2), f.c(magic(f)))
    k = f.sub(t, f.c(magic(f)))
    high, rest = LN2_32 if f.single else LN2_64
    r = f.fma(k, f.c(-rest), f.fma(k, f.c(-high), x))
    if low is not None:
        r = f.add(r, low)
    return integer(f, t), tail(f, r), k


def sixteenths(f: Lanes, x: str, unit: float) -> tuple[str, str]:
    """Return the multiple of 1/16 nearest to ``x * unit``, and as it is in the last places."""
    by = f.c(magic(f) / 16)
    t = f.fma(x, f.c(unit), by) if unit != 1.0 else f.add(x, by)
    return f.sub(t, by), t


def power_of_two(f: Lanes, k: str, t: str, r: str) -> str:
    """Return ``2**k exp(r)`` for a small r, and k and t by :func:`sixteenths`."""
    root = f.lookup(ROOTS, f.bits(t))
    p = f.fma(f.mul(r, r), f.horner(r, EXP_SHORT32 if f.single else EXP_SHORT64), r)
    y = f.fma(root, p, root)
    if f.scales:
        return f.scaled(y, k)
    whole = f.word_op("sub", f.bits(t), f.bits(f.c(magic(f) / 16)))
    return scaled(f, y, f.word_op("ashr", whole, f.i(4)), k)


def exp(f: Lanes, x: str) -> str:
    """Exponential."""
    x = f.clamp(x, *((-104.0, 89.0) if f.single else (-746.0, 710.0)))
    if not f.single:
        k, t = sixteenths(f, x, INVERSE_LN2)
        return power_of_two(f, k, t, f.fma(k, f.c(-LN2_64[1]), f.fma(k, f.c(-LN2_64[0]), x)))
    k, p, whole = reduced(f, x)
    return scaled(f, f.add(p, f.c(1.0)), k, whole)


def exp2(f: Lanes, x: str) -> str:
    """Power of two."""
    x = f.clamp(x, *((-150.0, 128.0) if f.single else (-1075.0, 1024.0)))
    if not f.single:
        k, t = sixteenths(f, x, 1.0)
        return power_of_two(f, k, t, f.mul(f.sub(x, k), f.c(0.6931471805599453)))
    t = f.add(x, f.c(magic(f)))
    whole = f.sub(t, f.c(magic(f)))
    fraction = f.sub(x, whole)
    p = tail(f, f.mul(fraction, f.c(0.6931471805599453)))
    return scaled(f, f.add(p, f.c(1.0)), integer(f, t), whole)


def expm1(f: Lanes, x: str) -> str:
    """``exp(x) - 1``, accurate near 0."""
    y = f.clamp(x, *((-20.0, 89.0) if f.single else (-40.0, 710.0)))
    k, p, _ = reduced(f, y)
    # Half of the result, so that 2**k does not overflow before it does.
    s = scale(f, f.word_op("sub", k, f.i(1)))
    half = f.fma(s, p, f.sub(s, f.c(0.5)))
    tiny = f.compare("olt", f.abs(x), f.either(2.0**-25, 2.0**-54))
    return f.select(tiny, x, f.add(half, half))
