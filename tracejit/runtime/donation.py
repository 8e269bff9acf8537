"""Donation: arguments whose memory the results take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array, check_kept, give_away, is_lent
from tracejit.core.errors import StructureError
from tracejit.runtime.executor import CompiledProgram

__all__ = ["is_alone", "run_donating"]


def is_alone(x: Array) -> bool:
    """Whether no other array, and no view, has the memory of `x`."""
    check_kept(x)
    if is_lent(x):
        return False
    buf = x.buf
    base = getattr(buf, "base", None)
    if base is not None and (x.aval.device is not None or isinstance(base, np.ndarray)):
        return False
    # The references are the slot of `x`, the name `buf`, and the argument of getrefcount.
    return sys.getrefcount(buf) <= 3


def run_donating(
    ready: CompiledProgram, buffers: Sequence[Any], donated: Sequence[Array], name: str
) -> list[Array]:
    """Run a compiled Program, and let the arrays whose buffers it may write to say so.

    Parameters
    ----------
    ready : CompiledProgram
        What to run.
    buffers : sequence of buffers
        Its inputs.
    donated : sequence of Array
        Arrays that gave some of `buffers`.
    name : str
        Of the function, for messages.

    Raises
    ------
    StructureError
        If a buffer is given twice.
    """
    passed = [id(b) for b in buffers]
    if any(passed.count(id(x.buf)) > 1 for x in donated):
        raise StructureError(
            f"an argument that is donated to {name} is passed twice; donate a copy"
        )
    try:
        return ready(buffers)
    finally:  # also if a callback raised: their memory may be half written
        for x in donated:
            give_away(x, name)
