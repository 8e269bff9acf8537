"""Abstract values: what is known of an array without its contents.

A :class:`ShapedArray` is interned, so that equality is identity: one pointer is the whole
signature of an array, the guard of a compiled call and the key of every cache.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from tracejit.ir.dtypes import canonical, short_name

__all__ = ["ShapedArray"]

Shape = tuple[int, ...]

_interned: dict[tuple[Shape, Any, bool, str | None], ShapedArray] = {}
_lock = threading.Lock()


class ShapedArray:
    """Shape, dtype, weakness and device of an array; interned.

    Parameters
    ----------
    shape : tuple of int
        The lengths of the axes.
    dtype : dtype-like
        One of :data:`tracejit.ir.dtypes.DTYPES`, or what converts to it.
    weak : bool
        Whether the dtype came from a Python scalar and yields to others (NEP 50).
    device : str, optional
        Where the array lives, ``None`` for the host.  In a Program it is always ``None``.

    Attributes
    ----------
    placeless : ShapedArray
        The same with `device` ``None``: the type of the value, wherever it is.
    """

    __slots__ = ("device", "dtype", "ndim", "placeless", "shape", "size", "weak")

    shape: Shape
    dtype: np.dtype[Any]
    weak: bool
    device: str | None
    ndim: int
    size: int
    placeless: ShapedArray

    def __new__(
        cls, shape: Shape, dtype: Any, weak: bool = False, device: str | None = None
    ) -> ShapedArray:
        try:
            return _interned[shape, dtype, weak, device]
        except (KeyError, TypeError):
            pass
        shape = tuple(int(d) for d in shape)
        if any(d < 0 for d in shape):
            raise ValueError(f"the lengths of the axes must not be negative; got {shape}")
        dtype = canonical(dtype)
        key = (shape, dtype, bool(weak), device)
        placeless = None if device is None else cls(shape, dtype, weak)
        with _lock:
            found = _interned.get(key)
            if found is None:
                found = object.__new__(cls)
                object.__setattr__(found, "shape", shape)
                object.__setattr__(found, "dtype", dtype)
                object.__setattr__(found, "weak", bool(weak))
                object.__setattr__(found, "device", device)
                object.__setattr__(found, "ndim", len(shape))
                object.__setattr__(found, "size", math.prod(shape))
                object.__setattr__(found, "placeless", placeless or found)
                _interned[key] = found
        return found

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"ShapedArray is immutable; cannot set {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return ShapedArray, (self.shape, self.dtype, self.weak, self.device)

    def __copy__(self) -> ShapedArray:
        return self

    def __deepcopy__(self, memo: object) -> ShapedArray:
        return self

    @property
    def nbytes(self) -> int:
        """Bytes of the array's elements."""
        return self.size * self.dtype.itemsize

    def strong(self) -> ShapedArray:
        """Return the same without weakness and device."""
        return ShapedArray(self.shape, self.dtype)

    def at(self, device: str | None) -> ShapedArray:
        """Return the same on a device."""
        if device is self.device:
            return self
        return ShapedArray(self.shape, self.dtype, self.weak, device)

    def update(self, shape: Shape | None = None, dtype: Any = None) -> ShapedArray:
        """Return a strong ShapedArray with another shape or dtype."""
        return ShapedArray(
            self.shape if shape is None else shape, self.dtype if dtype is None else dtype
        )

    def __repr__(self) -> str:
        weak = "~" if self.weak else ""
        at = f"@{self.device}" if self.device else ""
        return f"{weak}{short_name(self.dtype)}[{','.join(map(str, self.shape))}]{at}"
