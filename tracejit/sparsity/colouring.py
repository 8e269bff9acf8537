"""Colour the columns of a sparse matrix so that few products with it give all of its entries.

Columns of one colour are summed in one product.  For a Jacobian they may share no row (Curtis,
Powell and Reid): the colouring of the graph in which columns that meet in a row are neighbours.
For a symmetric matrix it is enough that of the two places of an entry one can be read: a star
colouring (Coleman and Moré; Gebremedhin, Tarafdar, Manne and Pothen).

Greedy colourings are found in one pass over the entries.  Where the unknowns form a grid, the
colours ``(a . index) mod p`` are tried first: for a stencil of ``p`` points they need no more
than the ``p`` colours that any colouring needs, where a greedy one takes up to twice as many.

References
----------
A. R. Curtis, M. J. D. Powell, J. K. Reid, "On the estimation of sparse Jacobian matrices",
IMA J. Appl. Math. 13 (1974).  T. F. Coleman, J. J. Moré, "Estimation of sparse Hessian matrices
and graph coloring problems", Math. Programming 28 (1984).  A. H. Gebremedhin, F. Manne,
A. Pothen, "What color is your Jacobian?", SIAM Review 47 (2005).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["colour_columns", "colour_symmetric", "count_of", "readable"]

Shapes = Sequence[tuple[int, ...]]
MOST_LATTICES = 20_000
SAMPLE = 8
MANY = 200_000


def count_of(colours: Any) -> int:
    """Return how many colours there are; -1 is none."""
    return int(colours.max(initial=-1)) + 1


def colour_columns(pattern: Any, shapes: Shapes = ()) -> Any:
    """Colour the columns of a matrix so that columns of one colour share no row.

    Parameters
    ----------
    pattern : scipy.sparse.csr_array, shape (m, n), bool
        Where the matrix may be other than 0.
    shapes : sequence of tuple of int, optional
        The shapes of the arrays whose elements, one array after the other, are the columns.

    Returns
    -------
    numpy.ndarray, shape (n,), int64
        The colours, from 0; -1 for a column without entries.
    """
    least = max(int(np.diff(pattern.indptr).max(initial=0)), 1)
    near = least + least // 4 + 2
    lattice = _lattice(pattern, shapes, least, near)
    if lattice is not None and pattern.nnz > MANY:
        return lattice  # a greedy colouring would take longer than it can be worth
    greedy = _greedy(pattern)
    if lattice is None:
        lattice = _lattice(pattern, shapes, near, count_of(greedy))
    return greedy if lattice is None else min(greedy, lattice, key=count_of)


def colour_symmetric(pattern: Any, shapes: Shapes = ()) -> Any:
    """Colour the columns of a symmetric matrix so that each entry can be read directly.

    Parameters
    ----------
    pattern : scipy.sparse.csr_array, shape (n, n), bool
        Symmetric: where the matrix may be other than 0.
    shapes : sequence of tuple of int, optional
        As for :func:`colour_columns`.

    Returns
    -------
    numpy.ndarray, shape (n,), int64
        The colours, from 0; -1 for a column without entries.  Of the entries ``(i, j)`` and
        ``(j, i)`` one at least is alone among those of its colour in its row.
    """
    return min(_greedy_star(pattern), colour_columns(pattern, shapes), key=count_of)


def readable(pattern: Any, colours: Any) -> Any:
    """Return for each entry whether it is the only one of its colour in its row."""
    count = count_of(colours)
    places = _row_of(pattern) * count + colours[pattern.indices]
    return np.bincount(places, minlength=1)[places] == 1


def _row_of(pattern: Any) -> Any:
    lengths = np.diff(pattern.indptr)
    return np.repeat(np.arange(len(lengths)), lengths)


def _in_row(pattern: Any, colours: Any, count: int) -> Any:
    """Return how often each row has each colour."""
    return np.bincount(_row_of(pattern) * count + colours[pattern.indices])


# ---------------------------------------------------------------------------------- greedy


def _greedy(pattern: Any) -> Any:
    """Give each column in turn the first colour that none of its rows has."""
    by_column = pattern.tocsc()
    starts, rows = by_column.indptr.tolist(), by_column.indices.tolist()
    taken = [0] * pattern.shape[0]  # the colours of each row, as the bits of a number
    colours = np.full(pattern.shape[1], -1, np.int64)
    for column in range(pattern.shape[1]):
        mine = rows[starts[column] : starts[column + 1]]
        if not mine:
            continue
        seen = 0
        for row in mine:
            seen |= taken[row]
        bit = ~seen & (seen + 1)
        for row in mine:
            taken[row] |= bit
        colours[column] = bit.bit_length() - 1
    return colours


def _greedy_star(pattern: Any) -> Any:
    """Give each vertex in turn the first colour that makes no path of four in two colours."""
    starts, indices = pattern.indptr.tolist(), pattern.indices.tolist()
    n = pattern.shape[0]
    # The colours that the coloured neighbours of a vertex have once at least, and twice.
    once, twice = [0] * n, [0] * n
    colour = [0] * n  # as one bit
    # The fullest first: a vertex that all the others have in common needs its colour early.
    for v in np.argsort(-np.diff(pattern.indptr), kind="stable").tolist():
        near = indices[starts[v] : starts[v + 1]]
        if not near:
            continue
        seen = 0
        for w in near:
            mine = colour[w]
            if not mine:
                seen |= once[w]
                continue
            seen |= mine
            for x in indices[starts[w] : starts[w + 1]]:
                if twice[x] & mine:
                    seen |= colour[x]
        bit = ~seen & (seen + 1)
        colour[v] = bit
        for w in near:
            if w != v:
                twice[w] |= once[w] & bit
                once[w] |= bit
    return np.array([c.bit_length() - 1 for c in colour], np.int64)


# --------------------------------------------------------------------------------- lattices


def _lattice(pattern: Any, shapes: Shapes, least: int, stop: int) -> Any | None:
    """Return the colouring by ``(a . index) mod p`` of the least ``least <= p < stop``, if any."""
    grid = _grid(shapes)
    if grid is None:
        return None
    index = np.array(np.unravel_index(np.arange(pattern.shape[1]), grid))
    index = index[[a for a, d in enumerate(grid) if d > 1]]
    used = np.zeros(pattern.shape[1], bool)
    used[pattern.indices] = True
    few = pattern[np.sort(np.argsort(-np.diff(pattern.indptr), kind="stable")[:SAMPLE])]
    for p in range(least, stop):
        if p ** len(index) > MOST_LATTICES:
            break
        steps = np.array(list(itertools.product(range(p), repeat=len(index))))
        for step in steps[_promising(few, index, steps, p)]:
            candidate = np.where(used, step @ index % p, -1)
            if _in_row(pattern, candidate, p).max(initial=0) <= 1:
                return _renumbered(candidate)
    return None


def _promising(few: Any, index: Any, steps: Any, p: int) -> Any:
    """Return which steps give the columns of each of a few rows different colours."""
    colours = steps @ index[:, few.indices] % p + _row_of(few) * p
    colours.sort(axis=1)
    return (colours[:, 1:] != colours[:, :-1]).all(axis=1)


def _grid(shapes: Shapes) -> tuple[int, ...] | None:
    """Return the shape of arrays of equal shapes as one."""
    if not shapes or any(s != shapes[0] for s in shapes):
        return None
    grid = (len(shapes), *shapes[0])
    return grid if 1 <= sum(d > 1 for d in grid) <= 4 else None


def _renumbered(colours: Any) -> Any:
    """Return the same colouring with colours 0, 1, ..., none of them unused."""
    present = np.unique(colours[colours >= 0])
    return np.where(colours >= 0, np.searchsorted(present, colours), -1)
