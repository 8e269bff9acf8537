"""When to keep which states of a loop: binomial checkpointing, offline and online.

To go back over ``n`` steps of a loop one needs its states in reverse order.  With room for ``s`` of
them the fewest steps to run again are known, and so is where the snapshots must lie [1]_: with
``beta(s, r) = (s + r)! / (s! r!)``, no step is run again more than ``r`` times if
``n <= beta(s, r)``, and all of them together ``sum_r max(n - beta(s, r), 0)`` times.

If ``n`` is not known while the loop runs, a snapshot is given up for a new one whenever that leaves
the cheaper way back from where the loop is; no more can be known [2]_.

References
----------
.. [1] A. Griewank and A. Walther, "Algorithm 799: revolve", ACM Transactions on Mathematical
   Software 26(1), 2000.
.. [2] P. Stumm and A. Walther, "New algorithms for optimal online checkpointing", SIAM Journal on
   Scientific Computing 32(2), 2010.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from tracejit.core.errors import ShapeError
from tracejit.core.primitive import Primitive
from tracejit.ir.avals import ShapedArray

__all__ = [
    "Treeverse",
    "advances",
    "beta_table",
    "first_snapshots",
    "snapshots_within",
    "treeverse",
]

DEFAULT_BYTES = 1 << 27
"""What the snapshots of a loop take if nobody says more, between the two numbers that follow."""
FEWEST_BY_DEFAULT = 16
MOST_BY_DEFAULT = 64
FEWEST = 2
MOST = 1024
"""More snapshots than these save no runs, but the search for the one to give up takes longer."""

_LONGEST = 1 << 31
_COLUMNS = 4096
_HUGE = 1 << 62


@dataclass(frozen=True)
class Treeverse:
    """A policy of :func:`~tracejit.checkpoint`; made by :func:`treeverse`.

    Attributes
    ----------
    snapshots : int
        How many states each loop keeps.
    """

    snapshots: int

    def __call__(self, primitive: Primitive, *avals: Any, **params: Any) -> bool:
        """Store what is not in loops, and what loops keep."""
        del primitive, avals, params
        return True


def treeverse(snapshots: int) -> Treeverse:
    """Let each loop keep a number of its states, and compute the others again.

    The order in which that is done, the binomial one, needs the fewest steps: with ``s`` snapshots
    no step of a loop is run again more than ``r`` times as long as the loop has at most
    ``(s + r)! / (s! r!)`` steps.  What is not in loops is stored.

    Parameters
    ----------
    snapshots : int
        How many states; at least 1.

    Returns
    -------
    Treeverse
        For ``tracejit.checkpoint(fun, policy=treeverse(30))``.

    Raises
    ------
    ShapeError
        If `snapshots` is not positive.

    See Also
    --------
    checkpoint, grad : ``grad(f, memory="64MB")`` finds the number by itself.
    """
    count = snapshots.__index__()
    if count < 1:
        raise ShapeError(f"treeverse: at least 1 snapshot is needed; got {snapshots}")
    return Treeverse(count)


def snapshots_within(
    avals: Sequence[ShapedArray], budget: int | None, count: int | None
) -> int:
    """Return how many states of a loop are kept.

    Parameters
    ----------
    avals : sequence of ShapedArray
        Of one state.
    budget : int or None
        Bytes they may take.
    count : int or None
        Their number if it was said.
    """
    if count is not None:
        return min(count, MOST)
    each = max(sum(a.nbytes for a in avals), 1)
    if budget is None:
        return max(FEWEST_BY_DEFAULT, min(DEFAULT_BYTES // each, MOST_BY_DEFAULT))
    return max(FEWEST, min(budget // each, MOST))


def advances(length: int, snapshots: int) -> int:
    """Return the least number of steps to run so that `length` states are seen in reverse order.

    The first state is given and lies in one of the `snapshots`.
    """
    total = order = 0
    while (bound := comb(snapshots + order, order)) < length:
        total += length - bound
        order += 1
    return total


def first_snapshots(length: int, snapshots: int) -> list[int]:
    """Return the numbers of the states to keep on the way forward, in order; 0 is the first."""
    found, left = [0], length
    for room in range(snapshots, 1, -1):
        if left < 3:
            break
        step = _split(left, room)
        found.append(found[-1] + step)
        left -= step
    return found


def _split(length: int, snapshots: int) -> int:
    """Return how far from the first of `length` states the next snapshot is best taken."""
    order = 0
    while comb(snapshots + order, order) < length:
        order += 1
    shortest = comb(snapshots + order - 2, order - 2) if order > 1 else 1
    return max(shortest, length - comb(snapshots - 1 + order, order), 1)


@functools.lru_cache(maxsize=64)
def beta_table(snapshots: int) -> np.ndarray[Any, Any]:
    """Return ``beta(s, r)`` for ``s = 0 .. snapshots`` and all ``r`` that loops may come to."""
    columns = 2
    while columns < _COLUMNS and comb(snapshots + columns, columns) < _LONGEST:
        columns += 1
    rows = [
        [min(comb(s + r, r), _HUGE // columns) for r in range(columns)]
        for s in range(snapshots + 1)
    ]
    table = np.array(rows, np.int64)
    table.flags.writeable = False
    return table
