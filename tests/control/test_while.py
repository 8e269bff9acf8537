"""while_loop against Python's, forward derivatives, batching, and its errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracejit.control.loops import fori_loop
from tracejit.control.while_loop import while_loop
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.pytree import tree_leaves
from tracejit.ir.program import Program
from tracejit.ir.verify import verify
from tracejit.ops.arithmetic import add, div, mul, sub
from tracejit.ops.complex_numbers import abs_
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import gt, lt
from tracejit.ops.shape import reduce_sum
from tracejit.ops.transcendental import cos, sin
from tracejit.transforms.api import grad, jacfwd, jvp, linearize, make_program, vmap
from tracejit.transforms.dce import dce


def root(a: Any, x: Any = 1.0) -> Any:
    """The square root by Newton's iteration, and how many steps it took."""

    def step(value: Any) -> Any:
        x, n = value
        return mul(add(x, div(a, x)), 0.5), add(n, 1)

    return while_loop(lambda v: gt(abs_(sub(mul(v[0], v[0]), a)), 1e-12), step, (x, 0))


def doubled(limit: Any, x: Any, w: Any) -> Any:
    """Double x until above a limit; w is added each time, and the total is summed."""

    def step(value: Any) -> Any:
        x, s = value
        return add(mul(x, 2.0), w), add(s, mul(x, w))

    return while_loop(lambda v: lt(v[0], limit), step, (x, mul(w, 0.0)))


def doubled_in_python(limit: float, x: float, w: float) -> tuple[float, float]:
    s = 0.0
    while x < limit:
        x, s = 2 * x + w, s + x * w
    return x, s


def test_values() -> None:
    x, n = root(7.0)
    np.testing.assert_allclose(x, np.sqrt(7))
    assert n.dtype == np.int64
    assert 3 < int(n) < 9
    np.testing.assert_allclose(doubled(9.0, 1.0, 0.3), doubled_in_python(9.0, 1.0, 0.3))


def test_no_trip() -> None:
    np.testing.assert_allclose(doubled(0.0, 1.0, 0.3), (1.0, 0.0))
    np.testing.assert_allclose(jvp(doubled, (0.0, 1.0, 0.3), (1.0, 1.0, 1.0))[1], (1.0, 0.0))


@pytest.mark.parametrize("varied", [v for v in itertools.product((0, 1), repeat=2) if any(v)])
def test_forward_derivatives(varied: tuple[int, int]) -> None:
    given = np.array([1.0, 0.3])
    directions = np.array([0.7, -0.2]) * varied

    def f(*some: Any) -> Any:
        every = iter(some)
        return doubled(9.0, *(next(every) if v else g for g, v in zip(given, varied, strict=True)))

    args = [g for g, v in zip(given, varied, strict=True) if v]
    tangents = [d for d, v in zip(directions, varied, strict=True) if v]
    h = 1e-6
    wanted = (
        np.array(doubled_in_python(9.0, *(given + h * directions)))
        - np.array(doubled_in_python(9.0, *(given - h * directions)))
    ) / (2 * h)
    np.testing.assert_allclose(jvp(f, args, tangents)[1], wanted, rtol=1e-8)
    values, linear = linearize(f, *args)
    np.testing.assert_allclose(values, doubled_in_python(9.0, *given))
    np.testing.assert_allclose(linear(*tangents), wanted, rtol=1e-8)


def test_forward_over_forward() -> None:
    f = lambda a: root(a)[0]
    np.testing.assert_allclose(jacfwd(f)(7.0), 0.5 / np.sqrt(7))
    # the iteration stops before the second derivative has converged as far as the value
    np.testing.assert_allclose(jacfwd(jacfwd(f))(7.0), -0.25 * 7**-1.5, rtol=1e-4)


@pytest.mark.parametrize(
    "axes", [a for a in itertools.product((None, 0), repeat=3) if any(b == 0 for b in a)]
)
def test_vmap(axes: tuple[Any, ...]) -> None:
    lanes = [np.array([5.0, 30.0, 0.0]), np.array([1.0, 2.0, 0.5]), np.array([0.3, 0.1, 2.0])]
    args = [x if a == 0 else x[0] for x, a in zip(lanes, axes, strict=True)]
    each = [[x[n] if a == 0 else x[0] for n in range(3)] for x, a in zip(lanes, axes, strict=True)]
    wanted = [doubled_in_python(*(float(x[n]) for x in each)) for n in range(3)]
    got = vmap(doubled, in_axes=axes)(*args)
    np.testing.assert_allclose(np.transpose(got), wanted)
    # and forward derivatives of the batch, and a batch of forward derivatives
    pushed = jvp(lambda *a: vmap(doubled, in_axes=axes)(*a), args, args)[1]
    of_each = vmap(lambda *a: jvp(doubled, a, a)[1], in_axes=axes)(*args)
    np.testing.assert_allclose(pushed, of_each)


def test_vmap_of_arrays_and_captured_lanes() -> None:
    xs = np.arange(12.0).reshape(3, 4) + 1
    limits = np.array([20.0, 5.0, 300.0])

    def f(x: Any, limit: Any) -> Any:
        return while_loop(
            lambda v: lt(reduce_sum(v[0], (0,)), limit),
            lambda v: (mul(v[0], 2.0), add(v[1], 1)),
            (x, 0),
        )

    got, counts = vmap(f, in_axes=(1, 0))(xs.T, limits)
    for n in range(3):
        x, count = xs[n], 0
        while x.sum() < limits[n]:
            x, count = 2 * x, count + 1
        np.testing.assert_allclose(np.asarray(got)[n], x)
        assert int(np.asarray(counts)[n]) == count


def test_unbatched_predicate_stays() -> None:
    def f(x: Any) -> Any:
        return while_loop(lambda v: lt(v[0], 5), lambda v: (add(v[0], 1), mul(v[1], 1.5)), (0, x))[
            1
        ]

    program = make_program(vmap(f))(np.ones(3))
    verify(program)
    (eq,) = (e for e in program.equations if e.primitive.name == "while_loop")
    names = [e.primitive.name for e in eq.params["body_program"].equations]
    assert "select" not in names
    np.testing.assert_allclose(vmap(f)(np.ones(3)), np.full(3, 1.5**5))


def test_reverse_mode_where_nothing_flows_through_the_loop() -> None:
    def f(a: Any) -> Any:
        n = root(4.0)[1]
        return mul(sin(a), convert_element_type(n, "float64"))

    n = int(root(4.0)[1])
    np.testing.assert_allclose(grad(f)(0.3), n * np.cos(0.3))
    # a carried int that a differentiated value does not reach is known beforehand
    g = lambda a: mul(
        a,
        convert_element_type(
            while_loop(lambda v: lt(v[1], 3), lambda v: (cos(v[0]), add(v[1], 1)), (a, 0))[1],
            "float64",
        ),
    )
    np.testing.assert_allclose(grad(g)(0.3), 3.0)


def test_dead_values_are_dropped() -> None:
    def f(x: Any) -> Any:
        return while_loop(
            lambda v: lt(v[0], 5),
            lambda v: (add(v[0], 1), mul(v[1], 1.5), sin(v[2])),
            (0, x, x),
        )[1]

    program = dce(make_program(f)(2.0))
    verify(program)
    (eq,) = (e for e in program.equations if e.primitive.name == "while_loop")
    assert len(eq.outputs) == 2
    names = [e.primitive.name for e in eq.params["body_program"].equations]
    assert sorted(names) == ["add", "mul"]


def test_equal_calls_share_their_programs() -> None:
    programs: list[list[Program]] = []
    for _ in range(2):
        program = make_program(lambda x: jvp(lambda a: root(a, x)[0], (7.0,), (1.0,))[1])(1.0)
        (eq,) = (e for e in program.equations if e.primitive.name == "while_loop")
        programs.append([eq.params["cond_program"], eq.params["body_program"]])
    assert programs[0] == programs[1]


def test_complex_and_nested() -> None:
    def f(z: Any) -> Any:
        return while_loop(
            lambda v: lt(abs_(v), 10.0), lambda v: fori_loop(0, 2, lambda i, w: mul(w, z), v), z
        )

    z = 1.5 + 0.5j
    wanted = z
    while abs(wanted) < 10:
        wanted = wanted * z * z
    np.testing.assert_allclose(f(z), wanted)
    out, tangent = jvp(f, (z,), (1.0 + 0j,))
    h = 1e-6
    np.testing.assert_allclose(
        tangent, (np.asarray(f(z + h)) - np.asarray(f(z - h))) / (2 * h), rtol=1e-6
    )
    assert tree_leaves(out)[0].dtype == np.complex128


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: while_loop(lambda v: 1, lambda v: v, 0), DTypeError, "must return a bool"),
        (lambda: while_loop(lambda v: (True, True), lambda v: v, 0), StructureError, "one bool"),
        (
            lambda: while_loop(lambda v: gt(v, 0.0), lambda v: v, np.ones(3)),
            StructureError,
            r"one bool scalar; got bool\[3\]",
        ),
        (
            lambda: while_loop(lambda v: True, lambda v: {"a": (v["a"], 1)}, {"a": 1}),
            StructureError,
            r"at \['a'\]",
        ),
        (
            lambda: while_loop(lambda v: True, lambda v: {"a": np.ones(2)}, {"a": np.ones(3)}),
            ShapeError,
            r"the value\['a'\] goes in with shape \(3,\) and comes out with \(2,\)",
        ),
        (
            lambda: while_loop(lambda v: True, lambda v: np.float32(1), np.float64(1)),
            DTypeError,
            r"goes in as f64\[\] and comes out as f32\[\]",
        ),
    ],
)
def test_errors(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
