"""Eager operations that are repeated on small arrays of the same types become native calls.

The first ones are evaluated by NumPy, for nothing is to be compiled for an operation that is done
once.  One that has been done :data:`USES` times is compiled: from then on a call costs a tenth.
Only operations are made quick whose results are the same bits either way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit.core.interpreter import bottom
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_complex

__all__ = ["MOST", "SMALL", "USES", "Quick", "is_small", "static_key"]

USES = 64
"""Uses after which an operation is compiled."""
MOST = 512
"""Operations that are counted, and that are kept."""
SMALL = 1 << 14
"""Bytes of the largest array whose operations NumPy does not do as quickly."""


def is_small(aval: ShapedArray) -> bool:
    """Whether operations on such arrays are worth a native call, which gives the same bits."""
    return (
        aval.nbytes <= SMALL
        and aval.device is None
        and not aval.weak
        and not is_complex(aval.dtype)
    )


class Quick:
    """Operations by what they are done on.

    Attributes
    ----------
    ready : dict
        Compiled functions by key.
    """

    __slots__ = ("_counts", "ready")

    def __init__(self) -> None:
        self.ready: dict[Any, Callable[..., Any]] = {}
        self._counts: dict[Any, int] = {}

    def count(self, key: Any, fun: Callable[..., Any]) -> None:
        """Count one use of an operation; compile it when it is used often.

        Parameters
        ----------
        key : hashable
            All that `fun` depends on but its arguments, and their types.
        fun : callable
            A function of arrays and Python scalars.
        """
        counts = self._counts
        uses = counts.get(key, 0) + 1
        if uses < USES:
            if len(counts) >= MOST:
                counts.clear()
            counts[key] = uses
            return
        counts.pop(key, None)
        made = bottom().native(fun)
        if made is not None:
            if len(self.ready) >= MOST:
                self.ready.clear()
            self.ready[key] = made


def static_key(index: Any) -> Any:
    """Return a hashable that stands for an index of ints, slices, None and ..., or None."""
    kind = type(index)
    if kind is int:
        return index
    if kind is slice:
        parts = index.start, index.stop, index.step
        for part in parts:
            if part is not None and type(part) is not int:
                return None
        return parts
    if kind is tuple:
        keys = []
        for item in index:
            key = ... if item is None else static_key(item)
            if key is None:
                return None
            keys.append(key)
        return (tuple, *keys)
    return None
