"""Placeholders that stand for arrays in derivatives: a symbolic zero, a linear operand."""

from __future__ import annotations

from tracejit.ir.avals import ShapedArray

__all__ = ["Linear", "NotLinearError", "Zero"]


class NotLinearError(Exception):
    """A transposition rule needs the value of an operand that is known by its aval alone."""


class Zero:
    """A tangent or cotangent known to be zero; costs nothing.

    Attributes
    ----------
    aval : ShapedArray
        The aval of the value whose (co)tangent it is.
    """

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Zero({self.aval})"


class Linear:
    """An operand with respect to which a primitive is transposed: known by its aval alone."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Linear({self.aval})"
