"""Where the entries of a sparse matrix stand: sorted, compressed, merged.

A pattern that is known (of arrays, not of tracers) is worked on by NumPy, while the program is
traced: the number of entries of the result may then depend on it.  One that is traced is worked on
by the program, which has as many entries after as before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.array import host_array
from tracejit.core.tracer import Tracer, get_aval
from tracejit.ir.dtypes import DTYPES
from tracejit.ops.indexing import scatter_add
from tracejit.ops.shape import full, reshape
from tracejit.ops.sorting import sort
from tracejit.ops.sparse import row_numbers

__all__ = [
    "compressed",
    "expanded",
    "in_order",
    "index_dtype",
    "known",
    "merged",
    "pairs",
    "same",
    "segment_sum",
]

I32, I64 = DTYPES["i32"], DTYPES["i64"]
Host = np.ndarray[Any, Any]


def known(*indices: Any) -> bool:
    """Whether indices are not traced."""
    return not any(isinstance(i, Tracer) for i in indices)


def same(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    """Whether indices are known to be equal."""
    for i, j in zip(left, right, strict=True):
        if i is j:
            continue
        if not known(i, j) or not np.array_equal(host_array(i), host_array(j)):
            return False
    return True


def index_dtype(shape: tuple[int, int], entries: int) -> np.dtype[Any]:
    """Return the least dtype for indices."""
    return I32 if max(*shape, entries) < 2**31 - 1 else I64


def segment_sum(data: Any, segments: Any, count: int) -> Any:
    """Sum elements by the number of their segment, those that have none of `count` left out."""
    zeros = full((count,), 0, get_aval(data).dtype)
    if not get_aval(data).size or not count:
        return zeros
    return scatter_add(zeros, reshape(segments, (*get_aval(segments).shape, 1)), data, (0,), (0,))


def expanded(indptr: Any, entries: int) -> Any:
    """Return the row of every entry of compressed rows; their number for what is beyond."""
    dtype = get_aval(indptr).dtype
    if known(indptr):
        ends = host_array(indptr)
        rows = len(ends) - 1
        counts = np.append(np.diff(ends), entries - ends[-1])
        return np.repeat(np.arange(rows + 1, dtype=dtype), counts)
    if get_aval(indptr).size == 1 or not entries:
        return tnp.zeros(entries, dtype)
    return row_numbers(indptr, entries).astype(dtype)


def compressed(row: Any, rows: int) -> Any:
    """Return where the rows of sorted entries begin and end, what is beyond left out."""
    dtype = get_aval(row).dtype
    if known(row):
        return np.searchsorted(host_array(row), np.arange(rows + 1)).astype(dtype)
    return tnp.searchsorted(row, tnp.arange(rows + 1)).astype(dtype)


def in_order(row: Any, col: Any, data: Any) -> tuple[Any, Any, Any]:
    """Return entries by row, then column; equal ones keep their order."""
    if known(row, col):
        row, col = host_array(row), host_array(col)
        order = np.lexsort((col, row))
        if np.array_equal(order, np.arange(len(order))):
            return row, col, data
        return row[order], col[order], tnp.asarray(data)[order]
    if not get_aval(row).size:
        return row, col, data
    operands = [tnp.asarray(row), tnp.asarray(col), tnp.arange(get_aval(row).size)]
    row, col, order = sort(operands, 0, 2)
    return row, col, tnp.asarray(data)[order]


def merged(
    row: Any, col: Any, data: Any, shape: tuple[int, int], count: int | None
) -> tuple[Any, Any, Any]:
    """Return entries in order, those of one place summed, those out of range left out.

    Parameters
    ----------
    row, col, data : Array, shape (entries,)
        The entries.
    shape : (int, int)
        Of the matrix.
    count : int or None
        How many entries the result has; if there are fewer, the rest stand at `shape`, beyond the
        matrix, and are 0.  By default as many as it takes if the pattern is known, else as many
        as there are.
    """
    size = get_aval(row).size
    if known(row, col):
        dtype = get_aval(row).dtype
        row, col = host_array(row), host_array(col)
        order = np.lexsort((col, row))
        inside = (row >= 0) & (row < shape[0]) & (col >= 0) & (col < shape[1])
        order = order[inside[order]]
        row, col = row[order], col[order]
        new = np.ones(len(order), bool)
        new[1:] = (row[1:] != row[:-1]) | (col[1:] != col[:-1])
        segments = np.cumsum(new) - 1
        found = int(new.sum())
        total = found if count is None else count
        if len(order) != size or found != size or not np.array_equal(order, np.arange(size)):
            data = segment_sum(tnp.asarray(data)[order], segments, total)
        elif total != size:
            data = segment_sum(data, segments, total)
        rest = max(total - found, 0)
        places = (
            np.concatenate([i[new][:total], np.full(rest, d, i.dtype)]).astype(dtype)
            for i, d in zip((row, col), shape, strict=True)
        )
        return (*places, data)
    total = size if count is None else count
    if not size:
        return (*(tnp.full(total, d, I64) for d in shape), tnp.zeros(total, get_aval(data).dtype))
    row, col = tnp.asarray(row), tnp.asarray(col)
    dtype = row.dtype
    inside = (row >= 0) & (row < shape[0]) & (col >= 0) & (col < shape[1])
    row, col = tnp.where(inside, row, shape[0]), tnp.where(inside, col, shape[1])
    row, col, data = in_order(row, col, tnp.where(inside, data, 0))
    new = (row[1:] != row[:-1]) | (col[1:] != col[:-1])
    segments = tnp.concatenate([tnp.zeros(1, I64), tnp.cumsum(new.astype(I64))])
    data = segment_sum(data, segments, total)
    ends = (
        tnp.full(total, d, dtype).at[segments].set(i, mode="drop")
        for i, d in zip((row, col), shape, strict=True)
    )
    return (*ends, data)


def pairs(col: Host, indptr: Host) -> tuple[Host, Host]:
    """Return which entries meet in a product of sparse matrices.

    Parameters
    ----------
    col : ndarray, shape (entries,)
        The columns of the entries of the first matrix, within it.
    indptr : ndarray, shape (rows + 1,)
        Where the rows of the second begin and end.

    Returns
    -------
    (ndarray, ndarray)
        The number of an entry of the first, and of the second, for every pair.
    """
    lengths = np.diff(indptr)[col]
    first = np.repeat(np.arange(len(col)), lengths)
    before = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return first, indptr[:-1][col][first] + np.arange(len(first)) - before
