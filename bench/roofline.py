"""What a row moves through memory, by tracejit's plan, and how close its time is to memory's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["HEADING", "Traffic", "columns", "share", "size_of", "traffic"]

HEADING = f" {'moved':>8} {'/least':>6} {'triad':>5}"
BLANK = " " * len(HEADING)


class Traffic(NamedTuple):
    """What one call moves.

    Attributes
    ----------
    moved : int
        Bytes that its kernels read and write.
    least : int
        Bytes of its arguments and results.
    footprint : int
        Bytes of those and of the scratch memory.
    operations : int
        Scalar operations.
    """

    moved: int
    least: int
    footprint: int
    operations: int


DENSE = 16
"""Operations a byte above which a row is bound by arithmetic, so that memory says nothing."""


def traffic(function: Any, arguments: Sequence[Any]) -> Traffic | None:
    """Return what a jitted function of tracejit moves; None if the plan does not tell.

    It does not of what is no jitted function, and of loops whose number of trips is not known.
    """
    from tracejit.ir.plan import While, all_steps
    from tracejit.runtime.jit import JitFunction
    from tracejit.tools.operations import plan_operations
    from tracejit.tools.traffic import footprint, plan_bytes

    if not isinstance(function, JitFunction):
        return None
    plan = function.lower(*arguments).ready().plan
    if any(isinstance(step, While) for step in all_steps(plan.steps)):
        return None
    least = sum(a.nbytes for a in (*plan.inputs, *plan.outputs))
    return Traffic(plan_bytes(plan), least, footprint(plan), plan_operations(plan))


def share(found: Traffic, seconds: float) -> float | None:
    """Return the bytes moved a second as a share of those of a triad over as much memory.

    None if a call moves too little for its time to be that of memory, or computes much.
    """
    from tracejit.tools.roofline import SMALLEST, triad_bandwidth

    if found.moved < SMALLEST or found.operations > DENSE * found.moved:
        return None
    return found.moved / seconds / triad_bandwidth(found.footprint)


def columns(found: Traffic | None, seconds: float | None) -> str:
    """Return the columns of a row: bytes moved, that over the least, the share of the triad."""
    if found is None or seconds is None or not found.least:
        return BLANK
    part = share(found, seconds)
    shown = "" if part is None else f"{part:.0%}"
    times = found.moved / found.least
    digits = ".2f" if times < 100 else ".0f"
    return f" {size_of(found.moved):>8} {times:>6{digits}} {shown:>5}"


def size_of(n: float) -> str:
    """Return bytes in three figures."""
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"
