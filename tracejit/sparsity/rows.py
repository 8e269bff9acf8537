"""Sets of unknowns, one an element of an array: the rows of a boolean CSR matrix.

Element ``i`` of an array (in row-major order) depends on the unknowns that are set in row ``i``.
Every rule of :mod:`tracejit.sparsity.rules` is made of these few operations, each of them a
pass over the entries, so that a residual on 10**5 unknowns takes milliseconds an equation.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from tracejit.core.errors import SparsityError

__all__ = [
    "MOST_ENTRIES",
    "Rows",
    "check_entries",
    "diagonal",
    "every",
    "merged",
    "product",
    "sparse",
    "taken",
    "union",
]


@functools.cache
def sparse() -> Any:
    """Return ``scipy.sparse``, which takes longer to import than all of tracejit."""
    return importlib.import_module("scipy.sparse")


Rows = Any
"""A ``scipy.sparse.csr_array`` of bool with sorted indices, all of its entries True."""

MOST_ENTRIES = 10**8
"""More entries than these are no sparse matrix; to go on would fill the memory."""

MOST_MERGED = 20
"""How often on average an entry may be found before the work is too much."""


def check_entries(entries: int) -> None:
    """Raise SparsityError if so many entries are too many."""
    if entries > MOST_ENTRIES:
        raise SparsityError(
            f"the pattern would have {entries:.3g} entries, more than {MOST_ENTRIES:.0e}: the "
            "derivative is dense here, or what reads it is taken to depend on everything. Use "
            "jvp or vjp, or give the pattern: jacobian(f, sparsity=pattern)"
        )


def _csr(indices: Any, indptr: Any, shape: tuple[int, int]) -> Rows:
    return sparse().csr_array((np.ones(len(indices), bool), indices, indptr), shape=shape)


def diagonal(count: int, first: int, columns: int) -> Rows:
    """Return rows that hold one unknown each: ``first``, ``first + 1``, ..."""
    return _csr(
        np.arange(first, first + count, dtype=np.int32),
        np.arange(count + 1, dtype=np.int32),
        (count, columns),
    )


def taken(rows: Rows, places: Any) -> Rows:
    """Return the rows at `places`, in that order; empty ones at -1."""
    places = np.asarray(places, np.int64).reshape(-1)
    lengths = np.append(np.diff(rows.indptr), 0)
    check_entries(int(lengths[places].sum()))
    extended = _csr(
        rows.indices, np.append(rows.indptr, rows.indptr[-1]), (rows.shape[0] + 1, rows.shape[1])
    )
    out = extended[places]  # -1 is the last row, which is empty
    return out


def union(x: Rows | None, y: Rows | None) -> Rows | None:
    """Return, row by row, the union of two arrays of sets; None has no entries."""
    if x is None or x is y:
        return y
    return x if y is None else x + y


def merged(rows: Rows, targets: Any, count: int) -> Rows:
    """Return `count` rows: row ``t`` is the union of the rows whose target is ``t``, not -1."""
    targets = np.asarray(targets, np.int64).reshape(-1)
    kept = np.flatnonzero(targets >= 0)
    into = sparse().csr_array(
        (np.ones(len(kept), bool), (targets[kept], kept)), shape=(count, rows.shape[0])
    )
    return product(into, rows)


def product(matrix: Any, rows: Rows) -> Rows:
    """Return the rows that a boolean matrix makes: the unions of those at its entries."""
    # Before duplicates are merged there may be many more entries than in the end.
    check_entries(int(np.diff(rows.indptr)[matrix.indices].sum()) // MOST_MERGED)
    out = matrix @ rows
    check_entries(out.nnz)
    out.sort_indices()
    return out


def every(rows: Rows, count: int) -> Rows:
    """Return `count` rows, each of them the union of all."""
    found = np.unique(rows.indices)
    check_entries(len(found) * count)
    start = np.arange(count + 1, dtype=np.int64) * len(found)
    return _csr(np.tile(found, count), start, (count, rows.shape[1]))
