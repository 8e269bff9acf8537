"""Random programs by every route: eager, the NumPy interpreter, the plan interpreted, and native.

The programs mix pointwise operations with everything that moves elements (windows, padding,
joining, rolling, reversing, transposing, reshaping, broadcasting) and reductions, so that fusion,
boxes, grouping, in-place writes and lifting meet in combinations that no one would think of.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracejit.compiler.pipeline import compile_program, prepare
from tracejit.control.branch import cond
from tracejit.control.call import call
from tracejit.control.interpret import interpret
from tracejit.control.scan import scan
from tracejit.core.primitive import PRIMITIVES
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.parse import parse
from tracejit.ir.scalar import COSTS
from tracejit.ir.target import Target
from tracejit.ir.verify import verify
from tracejit.ir.verify_kernel import verify_kernel
from tracejit.ops.arithmetic import add, mul, neg, sub
from tracejit.ops.hyperbolic import tanh
from tracejit.ops.logical import eq, lt, max_, min_, select
from tracejit.ops.reduction import argmax, reduce_max, reduce_prod
from tracejit.ops.shape import broadcast_in_dim, reduce_sum, reshape, transpose
from tracejit.ops.slicing import concatenate, flip, pad, roll_axis, slice_
from tracejit.ops.transcendental import sin
from tracejit.ops.windows import dynamic_slice, dynamic_update_slice
from tracejit.runtime.jit import jit
from tracejit.testing.plans import run_plan
from tracejit.transforms.stage import stage

TARGET = Target("cpu", 1 << 25, frozenset(COSTS), frozenset(["matmul"]))

POINTWISE_1 = [neg, sin, tanh, lambda x: mul(x, 0.7), lambda x: add(x, 1.5), lambda x: mul(x, x)]
POINTWISE_2 = [add, sub, mul, max_, min_, lambda x, y: select(lt(x, y), x, mul(y, 0.5))]


def fit(x: Any, shape: tuple[int, ...]) -> Any:
    """Make `x` an array of `shape` by cutting and padding."""
    have = get_aval(x).shape
    if len(have) != len(shape):
        return broadcast_in_dim(reduce_sum(x, range(len(have))), shape, ())
    cut = slice_(x, (0,) * len(have), [min(a, b) for a, b in zip(have, shape, strict=True)])
    config = [(0, b - min(a, b), 0) for a, b in zip(have, shape, strict=True)]
    return pad(cut, 0.25, config)


@st.composite
def recipes(draw: Any) -> Any:
    """A list of steps, each ``(kind, operand numbers, argument)``; read by :func:`build`."""
    steps = []
    for n in range(draw(st.integers(1, 9))):
        kind = draw(
            st.sampled_from(
                ["one", "two", "roll", "flip", "transpose", "window", "pad", "join", "sum", "max",
                 "stencil", "prod", "argmax", "reshape", "spread", "at", "set", "call", "loop"]
            )
        )  # fmt: skip
        a, b = draw(st.integers(0, n + 1)), draw(st.integers(0, n + 1))
        steps.append((kind, a, b, draw(st.integers(0, 5)), draw(st.integers(-3, 3))))
    return steps


def apply(step: Any, values: list[Any]) -> Any:
    kind, a, b, pick, shift = step
    x, y = values[a], values[b]
    shape = get_aval(x).shape
    rank = len(shape)
    axis = pick % rank if rank else 0
    if kind == "one" or (rank == 0 and kind not in ("two", "call")):
        return POINTWISE_1[pick](x)
    if kind == "two":
        return POINTWISE_2[pick](x, fit(y, shape))
    if kind == "stencil":  # reads something dear at two places, so that it is stored
        z = sin(tanh(x))
        return add(roll_axis(z, 1, axis), roll_axis(z, shift, axis))
    if kind == "roll":
        return roll_axis(x, shift, axis)
    if kind == "flip":
        return flip(x, (axis,))
    if kind == "transpose":
        return transpose(x, [*range(1, rank), 0])
    if kind == "window":
        starts = [min(pick % 2, d) for d in shape]
        return slice_(x, starts, shape, [1 + (n + pick) % 2 for n in range(rank)])
    if kind == "pad":
        return pad(x, 0.5, [(pick % 3, max(shift, -min(shape, default=0)) % 3, 0)] * rank)
    if kind == "join":
        return concatenate([x, mul(x, 2.0), fit(y, shape)], axis)
    if kind == "sum":
        return reduce_sum(x, (axis,))
    if kind == "max":
        return reduce_max(x, (axis,)) if shape[axis] else reduce_sum(x, (axis,))
    if kind == "prod":
        return reduce_prod(x, (axis,))
    if kind == "argmax":
        return mul(select(lt(argmax(x, axis), 1), 1.5, -0.5), 1.0) if shape[axis] else x
    if kind == "reshape":
        return reshape(x, (int(np.prod(shape)),))
    if kind == "spread":
        return broadcast_in_dim(x, (2, *shape), range(1, rank + 1)) if rank < 3 else x
    at = [np.int64(shift)] * rank
    if kind == "at":
        return dynamic_slice(x, at, [max(d - 1, 0) for d in shape])
    if kind == "set":
        part = fit(y, tuple(max(d - 1, 0) for d in shape))
        return dynamic_update_slice(x, part, at if pick % 2 else [0] * rank)
    if kind == "call":
        body = stage(lambda x: [mul(sin(x), 0.5)], [get_aval(x)], "body")
        return call(body, x)[0]
    carry, ys = scan(lambda c, _: (tanh(roll_axis(c, 1, axis)), c), x, None, length=pick)
    return add(carry, reduce_sum(ys, (0,)))


def build(steps: Any) -> Any:
    def fun(x: Any, y: Any) -> list[Any]:
        values = [x, y]
        for step in steps:
            value = apply(step, values)
            values.append(value if get_aval(value).size < 4000 else x)
        return values[-2:]  # the others die on the way, so that their memory is used again

    return fun


SHAPES = st.sampled_from([(5, 7), (19, 23), (3, 4, 2), (11,), (1, 6), (0, 3), (2, 1, 9), ()])


@given(recipes(), SHAPES, SHAPES, st.integers(0, 9))
def test_all_routes_agree(steps: Any, first: Any, second: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = [rng.uniform(-1, 1, first), rng.uniform(-1, 1, second)]
    fun = build(steps)
    program = stage(fun, [ShapedArray(x.shape, x.dtype) for x in inputs], "random")
    wanted = interpret(np, program, inputs)
    verify(prepare(program))
    plan = compile_program(program, TARGET)
    for kernel in plan.kernels:
        verify_kernel(kernel)
    routes = {
        "eager": fun(*inputs),
        "plan": run_plan(plan, inputs),
        "native": jit(fun)(*inputs),
    }
    for name, outputs in routes.items():
        for n, (got, want) in enumerate(zip(outputs, wanted, strict=True)):
            np.testing.assert_allclose(
                np.asarray(got), want, rtol=1e-9, atol=1e-9, err_msg=f"{name} {n} {program}"
            )
    text = str(program)
    assert str(parse(text, PRIMITIVES, [c for _, c in program.constants])) == text


def test_what_dies_is_not_overwritten_before_it_is_read() -> None:
    """One kernel writes the least of each row, then reads another array where it dies."""

    def fun(q: Any, w: Any) -> list[Any]:
        w = cond(lt(reduce_sum(w, (0, 1)), 1e9), lambda w: mul(w, 2.0), sin, w)
        least = reduce_max(q, (2,))
        where = eq(q, broadcast_in_dim(least, q.shape, (0, 1)))
        chosen = select(where, broadcast_in_dim(w, q.shape, (0, 1)), 0.0)
        return [least, reduce_sum(chosen, (2,))]

    rng = np.random.default_rng(0)
    q, w = rng.uniform(size=(3, 4, 2)), rng.uniform(size=(3, 4))
    for got, want in zip(jit(fun)(q, w), [q.max(2), 2 * w], strict=True):
        np.testing.assert_allclose(np.asarray(got), want, rtol=1e-15)
