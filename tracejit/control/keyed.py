"""Static parts of equations that compare by what they were made from."""

from __future__ import annotations

from typing import Any

__all__ = ["Keyed"]


class Keyed:
    """An object that stands for functions of the user in the params of an equation.

    Equal ones make equal equations, so that what was derived and compiled is found again.

    Parameters
    ----------
    key : object
        All that it is made from.  If it does not hash, the object is equal to itself only.
    """

    def __init__(self, key: Any) -> None:
        try:
            hash(key)
        except TypeError:
            key = object()
        self._key = (type(self), key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyed) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)
