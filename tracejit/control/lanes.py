"""Batching by running one lane after another, for what must not run on lanes that do not ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.control.scan import scan
from tracejit.core.primitive import Primitive
from tracejit.ops._pointwise import move_axis

__all__ = ["one_by_one"]


def one_by_one(
    primitive: Primitive,
    operands: Sequence[Any],
    axes: Sequence[int | None],
    params: dict[str, Any],
) -> tuple[list[Any], list[int | None]]:
    """Return what the batching rule of a primitive with several outputs returns.

    Loops and branches that have effects run so if lanes differ in how far they go.
    """
    batched = [move_axis(x, a, 0) for x, a in zip(operands, axes, strict=True) if a is not None]

    def lane(carry: Any, given: list[Any]) -> tuple[Any, list[Any]]:
        rest = iter(given)
        own = [x if a is None else next(rest) for x, a in zip(operands, axes, strict=True)]
        return carry, primitive.bind(*own, **params)

    _, outs = scan(lane, (), batched)
    return outs, [0] * len(outs)
