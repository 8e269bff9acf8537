"""The inverse error function of random numbers, rounding by rounding as ir.quantile tells it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

from tracejit.ir.quantile import (
    INVERSES,
    LN2_32,
    LN2_64,
    LOG1P_P,
    LOG1P_Q,
    LOG32,
    LOG64,
    LOGARITHMS,
    NEAR,
    QUANTILE32,
    QUANTILE64,
    TABLE_FROM,
    Piece,
)
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.math.log import split_exponent
from tracejit_llvm.text import float_text, suffix, vector

__all__ = ["erfinv_giles"]

TABLE = "logarithms"


def erfinv_giles(f: Lanes, x: str) -> str:
    """Inverse error function: x times a polynomial; all pieces but the first are rare."""
    y = f.neg(f.mul(x, x))
    below = f.compare("olt", f.abs(y), f.c(NEAR))
    w = f.neg(f.select(below, _near(f, y), _log(f, f.add(y, f.c(1.0)))))
    size = f.abs(x)
    first, *others = QUANTILE32 if f.single else QUANTILE64
    usual = _piece(f, first, w)

    def other() -> Sequence[str]:
        root = f.sqrt(w)
        chosen = _piece(f, others[-1], root)
        for piece in others[-2::-1]:
            under = f.compare("olt", w, f.c(piece.below))
            chosen = f.select(under, _piece(f, piece, root), chosen)
        chosen = f.select(f.compare("olt", w, f.c(first.below)), usual, chosen)
        chosen = f.select(f.compare("olt", size, f.c(1.0)), chosen, f.c(math.nan))
        return [f.select(f.compare("oeq", size, f.c(1.0)), f.c(math.inf), chosen)]

    far = f.compare("uge", w, f.c(first.below))
    (result,) = f.rare(f.logic("or", far, f.compare("uge", size, f.c(1.0))), [usual], other)
    return f.mul(x, result)


def _piece(f: Lanes, piece: Piece, w: str) -> str:
    return _polynomial(f, piece.coefficients, f.sub(w, f.c(piece.centre)))


def _polynomial(f: Lanes, coefficients: Sequence[float], x: str) -> str:
    return f.horner(x, coefficients[::-1], chain=True)


def _near(f: Lanes, y: str) -> str:
    square = f.mul(y, y)
    ratio = f.div(_polynomial(f, LOG1P_P, y), _polynomial(f, LOG1P_Q, y))
    return f.add(y, f.fma(square, f.c(-0.5), f.mul(f.mul(y, square), ratio)))


def _log(f: Lanes, x: str) -> str:
    """Return the logarithm of a positive normal number."""
    return _log32(f, x) if f.single else _log64(f, x)


def _log32(f: Lanes, x: str) -> str:
    k, m = split_exponent(f, x, subnormal=False)
    t = f.sub(m, f.c(1.0))
    square = f.mul(t, t)
    cube = f.mul(square, t)
    a, b, c = (_polynomial(f, p, t) for p in LOG32)
    tail = f.fma(f.fma(a, cube, b), cube, c)
    rest = f.fma(tail, cube, f.mul(k, f.c(LN2_32[1])))
    return f.fma(k, f.c(LN2_32[0]), f.add(f.fma(square, f.c(-0.5), t), rest))


def _log64(f: Lanes, x: str) -> str:
    bits = f.bits(x)
    above = f.word_op("sub", bits, f.i(TABLE_FROM))
    # The interval, times the two numbers that the table has of each.
    at = f.word_op("and", f.word_op("lshr", above, f.i(44)), f.i(254))
    exponent = f.word_op("ashr", above, f.i(52))
    k = f.code.op(f"sitofp {f.words} {exponent} to {f.type}")
    z = f.unbits(f.word_op("sub", bits, f.word_op("shl", exponent, f.i(52))))
    r = f.fma(z, _looked_up(f, at), f.c(-1.0))
    square = f.mul(r, r)
    t = f.fma(k, f.c(LN2_64[0]), _looked_up(f, f.word_op("or", at, f.i(1))))
    total = f.add(t, r)
    low = f.fma(k, f.c(LN2_64[1]), f.add(f.sub(t, total), r))
    low = f.fma(square, f.c(LOG64[0]), low)
    low_half = f.fma(r, f.c(LOG64[2]), f.c(LOG64[1]))
    tail = f.fma(f.fma(r, f.c(LOG64[4]), f.c(LOG64[3])), square, low_half)
    return f.add(f.fma(f.mul(r, square), tail, low), total)


def _looked_up(f: Lanes, at: str) -> str:
    """Return numbers of the table of logarithms."""
    code, n = f.code, f.n
    numbers = list(chain.from_iterable(zip(INVERSES, LOGARITHMS, strict=True)))
    kind = f"[{len(numbers)} x double]"
    values = ", ".join(f"double {float_text(x, 'double')}" for x in numbers)
    code.module.definitions[TABLE] = (
        f"@{TABLE} = private unnamed_addr constant {kind} [{values}], align 64"
    )
    places = code.op(f"getelementptr double, ptr @{TABLE}, {f.words} {at}")
    if not n:
        return code.op(f"load double, ptr {places}, align 8")
    every = "splat (i1 true)"
    return code.call(
        f.type, f"llvm.masked.gather.{suffix(f.scalar, n)}.{suffix('p0', n)}",
        (f"<{n} x ptr>", places), ("i32", "8"), (vector("i1", n), every),
        (f.type, "poison"),
    )  # fmt: skip
