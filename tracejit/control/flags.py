"""Flags: arrays of bools that a loop stacks for the way back, up to eight of them in one of bytes.

They tell which branch a ``where`` took, or where a limiter was at work; one to a byte they would
move eight times the memory that they need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_bool
from tracejit.ops._pointwise import add
from tracejit.ops.logical import and_, ne, select

__all__ = ["joined", "parted", "together"]

WORD = 8
"""Flags of one element."""
FEWEST = 1024
"""Elements from which memory matters more than the operations."""


def together(avals: Sequence[ShapedArray]) -> list[list[int]]:
    """Return the positions of the arrays that are stacked as one: flags of one shape, at least two.

    Parameters
    ----------
    avals : sequence of ShapedArray
        Of what a trip stacks.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for n, aval in enumerate(avals):
        if is_bool(aval.dtype) and aval.size >= FEWEST:
            alike.setdefault(aval.shape, []).append(n)
    words = [at[n : n + WORD] for at in alike.values() for n in range(0, len(at), WORD)]
    return [w for w in words if len(w) > 1]


def joined(flags: Sequence[Any]) -> Any:
    """Return arrays of bools as the bits of one of bytes, the first one the lowest."""
    word = select(flags[0], np.uint8(1), np.uint8(0))
    for bit, flag in enumerate(flags[1:], 1):
        # With masks of lanes, a sum that is chosen is one operation.
        word = select(flag, add(word, np.uint8(1 << bit)), word)
    return word


def parted(word: Any, count: int) -> list[Any]:
    """Return the first bits of an array of bytes as arrays of bools."""
    return [ne(and_(word, np.uint8(1 << bit)), np.uint8(0)) for bit in range(count)]
