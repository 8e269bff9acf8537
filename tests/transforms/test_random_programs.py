"""Random functions: every route through the transformations gives the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracejit.core.primitive import PRIMITIVES
from tracejit.ir.avals import ShapedArray
from tracejit.ir.parse import parse
from tracejit.ir.verify import verify
from tracejit.ops.arithmetic import add, mul, neg, sub
from tracejit.ops.hyperbolic import tanh
from tracejit.ops.shape import broadcast_in_dim, reduce_sum, reshape, transpose
from tracejit.ops.transcendental import sin
from tracejit.transforms.api import jacfwd, jacrev, jvp, linearize, stop_gradient, vjp, vmap
from tracejit.transforms.dce import dce
from tracejit.transforms.partial_eval import partial_eval_program
from tracejit.transforms.stage import evaluate, stage

SHAPE = (2, 3)
STEPS: dict[str, Any] = {
    "sin": lambda x, y: sin(x),
    "tanh": lambda x, y: tanh(x),
    "neg": lambda x, y: neg(y),
    "add": add,
    "sub": sub,
    "mul": mul,
    "scale": lambda x, y: mul(x, -1.5),
    "shift": lambda x, y: add(0.25, y),
    "turn": lambda x, y: reshape(transpose(x, (1, 0)), SHAPE),
    "mean": lambda x, y: broadcast_in_dim(reduce_sum(x, (0,)), SHAPE, (1,)),
    "total": lambda x, y: mul(y, reduce_sum(x, (0, 1))),
    "stop": lambda x, y: mul(x, stop_gradient(y)),
    "captured": lambda x, y: mul(x, np.linspace(-1, 1, 6).reshape(SHAPE)),
    "constant": lambda x, y: np.full(SHAPE, 0.5),
}
CODE = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 20), st.integers(0, 20)),
    min_size=1,
    max_size=8,
)
FLAGS = st.tuples(st.booleans(), st.booleans())


def _function(code: list[tuple[str, int, int]]) -> Any:
    def run(x: Any, y: Any) -> Any:
        values = [x, y]
        for name, i, j in code:
            values.append(STEPS[name](values[i % len(values)], values[j % len(values)]))
        return values[-1], values[len(values) // 2]

    return run


def _inputs(seed: int, lanes: tuple[int, ...] = ()) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (*lanes, *SHAPE)), rng.uniform(-1, 1, (*lanes, *SHAPE))


def _close(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def _dot(x: Any, y: Any) -> float:
    return float(sum(np.sum(np.asarray(a) * np.asarray(b)) for a, b in zip(x, y, strict=True)))


@given(CODE, FLAGS)
def test_staged_split_and_read_back(code: Any, unknown: tuple[bool, bool]) -> None:
    fun, args = _function(code), _inputs(0)
    program = stage(fun, [ShapedArray(SHAPE, "float64")] * 2)
    verify(program)
    expected = fun(*args)
    _close(evaluate(program, args), expected)
    _close(evaluate(dce(program), args), expected)
    text = str(program)
    assert str(parse(text, PRIMITIVES, [v for _, v in program.constants])) == text
    known, rest, unknown_out, count = partial_eval_program(program, unknown)
    verify(known)
    verify(rest)
    early = evaluate(known, [x for x, u in zip(args, unknown, strict=True) if not u])
    split = len(early) - count
    late = evaluate(rest, [*early[split:], *(x for x, u in zip(args, unknown, strict=True) if u)])
    parts = iter(early[:split]), iter(late)
    _close([next(parts[u]) for u in unknown_out], expected)


@given(CODE)
def test_derivatives_agree(code: Any) -> None:
    fun, args, tangents, cts = _function(code), _inputs(0), _inputs(1), _inputs(2)
    outs, pushed = jvp(fun, args, tangents)
    _close(outs, fun(*args))
    _, linear = linearize(fun, *args)
    _close(linear(*tangents), pushed)
    _, pullback = vjp(fun, *args)
    np.testing.assert_allclose(_dot(pullback(cts), tangents), _dot(cts, pushed), atol=1e-8)
    if not any(name == "stop" for name, _, _ in code):
        step = 1e-6
        ahead, behind = (
            fun(*(x + sign * step * t for x, t in zip(args, tangents, strict=True)))
            for sign in (1, -1)
        )
        for t, a, b in zip(pushed, ahead, behind, strict=True):
            difference = (np.asarray(a) - np.asarray(b)) / (2 * step)
            np.testing.assert_allclose(t, difference, rtol=1e-4, atol=1e-4)


@given(CODE, st.sampled_from([0, 1, 2]), st.sampled_from([0, 1, 2, None]))
def test_vmap_is_a_loop_and_commutes_with_jvp(code: Any, x_axis: int, y_axis: int | None) -> None:
    fun = _function(code)
    x, y = _inputs(0, (4,))
    if y_axis is None:
        y = y[0]
    lanes = [fun(x[i], y if y_axis is None else y[i]) for i in range(4)]
    expected = [np.stack([np.asarray(lane[k]) for lane in lanes]) for k in range(2)]
    x_moved = np.moveaxis(x, 0, x_axis)
    y_moved = y if y_axis is None else np.moveaxis(y, 0, y_axis)
    axes = (x_axis, y_axis)
    mapped = vmap(fun, in_axes=axes)
    _close(mapped(x_moved, y_moved), expected)
    _, outside = jvp(mapped, (x_moved, y_moved), (x_moved, y_moved))
    _, inside = vmap(lambda x, y: jvp(fun, (x, y), (x, y)), in_axes=axes)(x_moved, y_moved)
    _close(outside, inside)


@given(CODE)
def test_jacobians_agree(code: Any) -> None:
    fun, args = _function(code[:4]), _inputs(0)
    for forward, backward in zip(
        jacfwd(fun, (0, 1))(*args), jacrev(fun, (0, 1))(*args), strict=True
    ):
        _close(forward, backward)
