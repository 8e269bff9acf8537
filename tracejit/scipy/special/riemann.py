"""Riemann's zeta function on the whole real line.

References
----------
P. Borwein, "An efficient algorithm for the Riemann zeta function", 2000: the alternating sum, by
algorithm 2.  NIST Digital Library of Mathematical Functions, 25.4.1: the reflection.
"""

from __future__ import annotations

import math
from typing import Any

from tracejit.ops import factorials, special
from tracejit.ops.arithmetic import add, div, floor, mul, neg, sub
from tracejit.ops.constant import scalar_like
from tracejit.ops.logical import and_, eq, gt, lt, ne, select
from tracejit.ops.transcendental import exp, expm1, sin

__all__ = ["riemann"]

TERMS = 22  # the error is (3 + sqrt(8))**-TERMS


def _weights() -> list[float]:
    sums, total = [], 0
    for i in range(TERMS + 1):
        total += (
            TERMS * math.factorial(TERMS + i - 1) * 4**i
            // (math.factorial(TERMS - i) * math.factorial(2 * i))
        )  # fmt: skip
        sums.append(total)
    return [(-1) ** k * (sums[TERMS] - sums[k]) / sums[TERMS] for k in range(TERMS)]


WEIGHTS = _weights()


def _of(x: Any, value: float) -> Any:
    return scalar_like(x, value)


def riemann(s: Any) -> Any:
    """Return the sum of ``k**-s`` over ``k >= 1``, continued to every real `s`; inf at 1.

    Parameters
    ----------
    s : Array, any shape, float dtype
        The operand.
    """
    # Not from 0 on: near it 1 - s would lose digits.
    below, negative = lt(s, _of(s, 1)), lt(s, _of(s, -0.5))
    beyond = select(negative, sub(_of(s, 1), s), _of(s, 2))
    zeta = factorials.zeta(select(below, beyond, s), _of(s, 1))
    inside = _between(select(and_(below, ne(negative, below)), s, _of(s, 0.5)))
    reflected = mul(zeta, _reflection(select(negative, s, _of(s, -1))))
    # Both factors may leave the floats where the function is 0.
    even = and_(negative, eq(_sine(s), _of(s, 0)))
    lost = and_(even, ne(reflected, reflected))
    reflected = select(lost, _of(s, 0), reflected)
    return select(below, select(negative, reflected, inside), zeta)


def _between(s: Any) -> Any:
    """Return zeta for ``-1/2 <= s < 1`` by its alternating sum."""
    total: Any = _of(s, WEIGHTS[0])
    for k, weight in enumerate(WEIGHTS[1:], 2):
        total = add(mul(_of(s, weight), exp(mul(_of(s, -math.log(k)), s))), total)
    return div(total, neg(expm1(mul(_of(s, math.log(2)), sub(_of(s, 1), s)))))


def _sine(s: Any) -> Any:
    """Return ``sin(pi s / 2)``, exactly 0 at even numbers."""
    quarter = mul(s, _of(s, 0.25))
    turn = mul(sub(quarter, floor(add(quarter, _of(s, 0.5)))), _of(s, 4))  # in [-2, 2)
    up, down = gt(turn, _of(s, 1)), lt(turn, _of(s, -1))
    folded = select(up, sub(_of(s, 2), turn), select(down, sub(_of(s, -2), turn), turn))
    return sin(mul(folded, _of(s, math.pi / 2)))


def _reflection(s: Any) -> Any:
    """Return ``zeta(s) / zeta(1 - s)``."""
    other = sub(_of(s, 1), s)
    size = sub(special.lgamma(other), mul(_of(s, math.log(2 * math.pi)), other))
    return mul(mul(_of(s, 2), _sine(s)), exp(size))
