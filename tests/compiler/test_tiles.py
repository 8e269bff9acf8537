"""Rows of stencils in tiles: what is computed, and which kernels have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit.compiler.tiles import FEWEST
from tracejit.ops.arithmetic import add, mul, sub
from tracejit.ops.shape import reshape
from tracejit.ops.slicing import pad, roll_axis, slice_

RNG = np.random.default_rng(5)


def nine_points(x: Any) -> Any:
    """Return the sum of each element of the interior and its neighbours, 0 around it."""
    n, m = x.shape
    total = slice_(x, (1, 1), (n - 1, m - 1))
    for i, j in np.ndindex(3, 3):
        total = add(total, slice_(x, (i, j), (n - 2 + i, m - 2 + j)))
    return pad(total, x.dtype.type(0), [(1, 1, 0), (1, 1, 0)])


def five_points(x: Any) -> Any:
    return add(
        add(roll_axis(x, 1, 0), roll_axis(x, -1, 0)), add(roll_axis(x, 1, 1), roll_axis(x, -1, 1))
    )


def stores_beside_each_other(text: str) -> int:
    """Return the most stores in one body of a kernel."""
    most = count = 0
    for line in text.splitlines():
        if line.endswith(("{", "}")):
            count = 0
        elif line.lstrip().startswith("b"):
            count += 1
            most = max(most, count)
    return most


@pytest.mark.parametrize("rows", [FEWEST + 2, FEWEST + 3, FEWEST + 9])
def test_rows_of_nine_points_are_computed_in_pairs(check: Any, rows: int) -> None:
    compiled = check(lambda x: [nine_points(x)], RNG.random((rows, 21)))
    assert stores_beside_each_other(compiled.loops) == 2


@pytest.mark.parametrize(
    ("step", "shape"),
    [(five_points, (FEWEST + 20, 21)), (nine_points, (FEWEST + 1, 21))],
    ids=["few points in common", "few rows"],
)
def test_other_rows_are_computed_one_by_one(check: Any, step: Any, shape: Any) -> None:
    compiled = check(lambda x: [step(x)], RNG.random(shape))
    assert stores_beside_each_other(compiled.loops) == 1


def test_a_wide_star_in_three_dimensions(check: Any) -> None:
    def star(x: Any) -> list[Any]:
        y = x
        for axis in range(3):
            for shift in (-3, -2, -1, 1, 2, 3):
                y = add(y, roll_axis(x, shift, axis))
        return [y]

    compiled = check(star, RNG.random((FEWEST + 7, 8, 9)))
    assert stores_beside_each_other(compiled.loops) == 2


def test_several_results(check: Any) -> None:
    def both(x: Any, y: Any) -> list[Any]:
        return [add(nine_points(x), y), mul(nine_points(y), x)]

    x, y = RNG.random((2, FEWEST + 5, 21))
    assert stores_beside_each_other(check(both, x, y).loops) == 4


def test_complex_numbers(check: Any) -> None:
    x = RNG.random((FEWEST + 5, 21)) + 1j * RNG.random((FEWEST + 5, 21))
    check(lambda x: [nine_points(x)], x)


def test_what_a_tile_reads_where_it_writes_is_overwritten(check: Any) -> None:
    def step(x: Any, before: Any) -> list[Any]:
        return [sub(nine_points(x), before), x]

    x, before = RNG.random((2, FEWEST + 5, 21))
    compiled = check(step, x, before, donated=(False, True))
    assert compiled.plan.aliases == {0: 1}
    assert stores_beside_each_other(compiled.loops) == 2
    compiled = check(lambda x: [nine_points(x)], x, donated=(True,))
    assert compiled.plan.aliases == {}


def test_an_array_of_another_shape(check: Any) -> None:
    x, y = RNG.random((FEWEST + 5, 21)), RNG.random(21 * (FEWEST + 5))
    check(lambda x, y: [add(nine_points(x), reshape(y, x.shape))], x, y)


def test_another_size_has_the_same_kernel(check: Any) -> None:
    first = check(lambda x: [nine_points(x)], RNG.random((FEWEST + 20, 37)))
    second = check(lambda x: [nine_points(x)], RNG.random((FEWEST + 42, 29)))
    assert first.loops == second.loops


def test_elements_beside_a_row_share_its_address(check: Any) -> None:
    loops = check(lambda x: [nine_points(x)], RNG.random((FEWEST + 20, 37))).loops
    assert " + -1]" in loops
    assert " + 1]" in loops
