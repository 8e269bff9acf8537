"""What every array has, with or without elements: the attributes that follow from its aval."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.ir.avals import ShapedArray

__all__ = ["Described"]


class Described:
    """Shape, dtype and sizes of something with an ``aval``: the base of Array and Tracer."""

    __slots__ = ()

    aval: ShapedArray

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.aval.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.aval.size

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.aval.nbytes

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.aval.dtype.itemsize
