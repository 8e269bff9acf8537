"""Batching by running one lane after another, for what must not run on lanes that do not ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.control.scan import scan
from tracejit.core.errors import MissingRuleError
from tracejit.core.primitive import Primitive
from tracejit.ops._pointwise import move_axis
from tracejit.transforms.batching import axis_inside

__all__ = ["one_by_one"]


def one_by_one(
    primitive: Primitive,
    operands: Sequence[Any],
    axes: Sequence[int | None],
    params: dict[str, Any],
) -> tuple[list[Any], list[int | None]]:
    """Return what the batching rule of a primitive with several outputs returns.

    Loops and branches that have effects run so if lanes differ in how far they go.

    Raises
    ------
    MissingRuleError
        If a collective inside asks for all lanes.
    """
    name = axis_inside(params)
    if name is not None:
        raise MissingRuleError(
            f"there is no batching of {primitive} with effects (io_callback, debug.print) and a "
            f"collective over the axis {name!r} inside, if lanes differ in how far they go: the "
            "effects ask for one lane after another, the collective for all at once. Take one of "
            "them out of the loop or the branch"
        )
    batched = [move_axis(x, a, 0) for x, a in zip(operands, axes, strict=True) if a is not None]

    def lane(carry: Any, given: list[Any]) -> tuple[Any, list[Any]]:
        rest = iter(given)
        own = [x if a is None else next(rest) for x, a in zip(operands, axes, strict=True)]
        return carry, primitive.bind(*own, **params)

    _, outs = scan(lane, (), batched)
    return outs, [0] * len(outs)
