"""What no trip of a loop changes is computed before it, and gives what it gave."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit as tj
from tracejit import lax
from tracejit.compiler.invariant import hoist
from tracejit.compiler.simplify import simplify
from tracejit.ir.avals import ShapedArray
from tracejit.ir.program import Program, sub_programs
from tracejit.transforms.stage import stage


def names(program: Program, depth: int = 0) -> list[tuple[int, str]]:
    """Return the primitives of a Program and of its loops, with how deep they stand."""
    found = []
    for eq in program.equations:
        found.append((depth, eq.primitive.name))
        for _, inner in sub_programs(eq.params):
            found += names(inner, depth + 1)
    return found


def nested(x: Any, y: Any, w: Any) -> Any:
    def outer(state: Any) -> Any:
        w, n = state
        w = lax.fori_loop(0, 3, lambda i, c: c - 0.01 * ((x.T @ y) + y.sum() * (x @ c).sum()), w)
        return w, n + 1

    return lax.while_loop(lambda state: state[1] < 4, outer, (w, 0))[0]


def test_products_and_sums_of_constants_leave_all_loops() -> None:
    random = np.random.default_rng(0)
    x, y, w = random.random((30, 7)), random.random(30), random.random(7)
    avals = [ShapedArray(a.shape, "float64") for a in (x, y, w)]
    program = simplify(stage(lambda *args: [nested(*args)], avals, "nested"))
    before, after = names(program), names(hoist(program))
    assert before.count((2, "dot_general")) == 2
    assert after.count((2, "dot_general")) == 1
    assert after.count((0, "dot_general")) == 1
    assert after.count((0, "reduce_sum")) == 1
    np.testing.assert_allclose(tj.jit(nested)(x, y, w), nested(x, y, w), rtol=1e-12)


def test_what_has_nothing_to_move_stays_itself() -> None:
    def own(w: Any) -> list[Any]:
        return [lax.fori_loop(0, 3, lambda i, c: c * c.sum(), w)]

    program = simplify(stage(own, [ShapedArray((5,), "float64")], "own"))
    assert hoist(program) is program
