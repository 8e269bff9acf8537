"""Derived branches that capture arrays of their own: each finds its own among the operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.control.branch import cond
from tracejit.core.primitive import PRIMITIVES, define
from tracejit.ir.avals import ShapedArray
from tracejit.ops.arithmetic import mul
from tracejit.ops.shape import reduce_sum
from tracejit.transforms.api import grad, jvp, vmap

SLOPES = {2: np.array([2.0, 3.0]), 5: np.array([5.0, 7.0])}


def test_arrays_captured_by_rules() -> None:
    """The derivative rule of each branch binds a NumPy array."""

    def rule(primals: Any, tangents: Any, *, which: int) -> tuple[Any, Any]:
        slope = SLOPES[which]
        return weighted.bind(*primals, which=which), mul(tangents[0], slope)

    weighted = define(
        "weighted_by_constant",
        impl=lambda xp, x, *, which: x * SLOPES[which],
        shape=lambda x, *, which: ShapedArray(x.shape, x.dtype),
        jvp=rule,
        transpose="its derivative is another operation",
        batch=lambda xs, axes, *, which: (xs[0] * SLOPES[which], axes[0]),
        lower="run by NumPy through the counted callback",
    )

    def f(pred: bool, x: Any) -> Any:
        return cond(
            pred,
            lambda v: weighted.bind(v, which=2),
            lambda v: weighted.bind(mul(v, weighted.bind(v, which=5)), which=2),
            x,
        )

    try:
        x, t = np.array([1.0, 2.0]), np.array([1.0, -1.0])
        three, seven = SLOPES.values()
        assert np.allclose(jvp(lambda x: f(True, x), (x,), (t,))[1], three * t)
        assert np.allclose(jvp(lambda x: f(False, x), (x,), (t,))[1], 2 * x * seven * three * t)
        found = grad(lambda x: reduce_sum(f(False, x), (0,)))(x)
        assert np.allclose(found, 2 * x * seven * three)
        lanes = vmap(lambda t: jvp(lambda x: f(False, x), (x,), (t,))[1])(np.eye(2))
        assert np.allclose(lanes, np.diag(2 * x * seven * three))
    finally:
        del PRIMITIVES["weighted_by_constant"]
