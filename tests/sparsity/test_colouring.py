"""Colourings of random patterns keep their promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tracejit.sparsity.colouring import colour_columns, colour_symmetric, count_of, readable


def _random(n: int, m: int, seed: int) -> sparse.csr_array:
    found = sparse.random_array((n, m), density=0.08, rng=np.random.default_rng(seed), format="csr")
    out = sparse.csr_array(found != 0)
    out.sort_indices()
    return out


@pytest.mark.parametrize("seed", range(8))
def test_columns_of_one_colour_share_no_row(seed: int) -> None:
    pattern = _random(40, 30, seed)
    colours = colour_columns(pattern, [(5, 6)])
    count = count_of(colours)
    summed = np.zeros((40, count), int)
    dense = pattern.toarray()
    for column, colour in enumerate(colours):
        assert (colour < 0) == (not dense[:, column].any())
        if colour >= 0:
            summed[:, colour] += dense[:, column]
    assert summed.max() <= 1
    assert sorted(set(colours[colours >= 0].tolist())) == list(range(count))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("diagonal", [False, True])
def test_every_entry_of_a_symmetric_matrix_can_be_read(seed: int, diagonal: bool) -> None:
    half = _random(30, 30, seed)
    pattern = half + half.T.tocsr() + sparse.csr_array(sparse.eye_array(30) * diagonal != 0)
    pattern = sparse.csr_array(pattern)
    pattern.sort_indices()
    colours = colour_symmetric(pattern)
    alone = sparse.csr_array((readable(pattern, colours), pattern.indices, pattern.indptr))
    either = alone.toarray() | alone.toarray().T
    assert either[pattern.toarray()].all()
    assert count_of(colours) <= count_of(colour_columns(pattern))


def test_lattices_need_fewer_colours_than_a_greedy_colouring() -> None:
    line = sparse.diags_array([np.ones(26)] * 5, offsets=[-2, -1, 0, 1, 2], shape=(26, 26))
    grid = sparse.kron(line, sparse.eye_array(26)) + sparse.kron(sparse.eye_array(26), line)
    pattern = sparse.csr_array(grid != 0)
    pattern.sort_indices()
    # No lattice has 9: {1, 2, -1, -2} a and b would have to be all of Z/9 but 0.
    assert count_of(colour_columns(pattern, [(26, 26)])) == 10 < count_of(colour_columns(pattern))
