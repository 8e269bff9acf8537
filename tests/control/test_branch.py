"""cond and switch against Python's choice: derivatives, batching, and their errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracejit.control.branch import cond, switch
from tracejit.control.loops import fori_loop
from tracejit.control.scan import scan
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.pytree import tree_leaves
from tracejit.ir.verify import verify
from tracejit.ops.arithmetic import add, mul
from tracejit.ops.convert import convert_element_type
from tracejit.ops.logical import gt
from tracejit.ops.shape import reduce_sum
from tracejit.ops.transcendental import cos, exp, sin
from tracejit.transforms.api import (
    grad,
    hessian,
    jvp,
    linear_transpose,
    linearize,
    make_program,
    vjp,
    vmap,
)
from tracejit.transforms.dce import dce

X, W = np.array([0.3, -0.8, 1.1]), np.array([1.5, 0.2, -0.4])
FUNS: list[Callable[..., Any]] = [
    lambda x, w: (mul(sin(x), w), {"s": reduce_sum(x, (0,))}),
    lambda x, w: (w, {"s": 2.0}),
    lambda x, w: (exp(mul(x, x)), {"s": reduce_sum(mul(mul(x, x), w), (0,))}),
]


def chosen(n: Any, x: Any, w: Any) -> Any:
    return switch(n, FUNS, x, w)


def captured(n: Any, x: Any, w: Any) -> Any:
    """The operands come from closures, of some branches only."""
    return switch(n, [lambda: FUNS[0](x, w), lambda: FUNS[1](x, w), lambda: FUNS[2](x, x)])


def plain(n: int, x: Any, w: Any) -> Any:
    return FUNS[min(max(n, 0), 2)](x, w)


def plain_captured(n: int, x: Any, w: Any) -> Any:
    n = min(max(n, 0), 2)
    return FUNS[n](x, x if n == 2 else w)


PAIRS = {"operands": (chosen, plain), "captured": (captured, plain_captured)}
each = pytest.mark.parametrize("name", PAIRS)
every = pytest.mark.parametrize("n", [-3, 0, 1, 2, 9])


def same(got: Any, wanted: Any) -> None:
    got, wanted = tree_leaves(got), tree_leaves(wanted)
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(g), np.asarray(w), rtol=1e-10, atol=1e-12)


def total(tree: Any) -> Any:
    y, s = tree[0], tree[1]["s"]
    return add(reduce_sum(sin(y), (0,)), mul(s, s))


@each
@every
def test_values_and_derivatives(name: str, n: int) -> None:
    f, wanted = ((lambda x, w, g=g: g(n, x, w)) for g in PAIRS[name])
    same(f(X, W), wanted(X, W))
    same(jvp(f, (X, W), (W, X)), jvp(wanted, (X, W), (W, X)))
    same(jvp(lambda x: f(x, W), (X,), (W,)), jvp(lambda x: wanted(x, W), (X,), (W,)))
    same(linearize(f, X, W)[1](W, X), jvp(wanted, (X, W), (W, X))[1])
    for argnums in (0, 1, (0, 1)):
        slopes = [grad(lambda x, w, g=g: total(g(x, w)), argnums)(X, W) for g in (f, wanted)]
        same(*slopes)
    for argnum in (0, 1):
        curved = [hessian(lambda x, w, g=g: total(g(x, w)), argnum)(X, W) for g in (f, wanted)]
        same(*curved)


@each
@pytest.mark.parametrize(
    "axes",
    [a for a in itertools.product((None, 0), (None, 0, -1), (None, 0)) if a != (None, None, None)],
)
def test_vmap(name: str, axes: tuple[Any, ...]) -> None:
    f, wanted = PAIRS[name]
    lanes = [np.array([2, 0, 1, 7]), np.stack([X, W, 2 * X, -X]), np.stack([W, X, -W, 3 * X])]
    args = [x[0] if a is None else np.moveaxis(x, 0, a) for x, a in zip(lanes, axes, strict=True)]
    rows = [
        [x[0] if a is None else x[k] for x, a in zip(lanes, axes, strict=True)] for k in range(4)
    ]
    got = vmap(f, in_axes=axes)(*args)
    expected = [tree_leaves(wanted(int(n), x, w)) for n, x, w in rows]
    same(got, [np.stack([np.asarray(e[k]) for e in expected]) for k in range(2)])
    # derivatives of the batch and a batch of derivatives
    both = (1, 2)
    slopes = vmap(grad(lambda n, x, w: total(f(n, x, w)), both), in_axes=axes)(*args)
    expected = [grad(lambda n, x, w: total(wanted(int(n), x, w)), both)(*row) for row in rows]
    same(slopes, [np.stack([np.asarray(e[k]) for e in expected]) for k in range(2)])
    summed = grad(
        lambda n, x, w: reduce_sum(vmap(lambda *a: total(f(*a)), in_axes=axes)(n, x, w), (0,)), both
    )(*args)
    of_lanes = [np.asarray(s) for s in slopes]
    same(
        summed,
        [
            s.sum(0) if a is None else np.moveaxis(s, 0, a)
            for s, a in zip(of_lanes, axes[1:], strict=True)
        ],
    )


def test_unbatched_predicate_stays_a_branch() -> None:
    batched = lambda p, x: vmap(lambda x: cond(p, sin, cos, x))(x)
    program = make_program(batched)(True, X)
    verify(program)
    assert "cond" in [eq.primitive.name for eq in program.equations]
    same(batched(True, X), np.sin(X))
    same(batched(False, X), np.cos(X))


@pytest.mark.parametrize("pred", [True, False, 1, 0, 0.5, np.bool_(True), np.float32(0)])
def test_predicates(pred: Any) -> None:
    same(cond(pred, sin, cos, 0.3), np.sin(0.3) if pred else np.cos(0.3))


def test_only_the_chosen_branch_runs() -> None:
    slope = grad(lambda x: cond(gt(x, 0.0), lambda x: mul(x, x), lambda x: exp(mul(x, 1e6)), x))
    same(slope(2.0), 4.0)


def test_weak_results_agree() -> None:
    out = cond(True, lambda x: x, lambda x: 0.0, np.float32(2))
    assert out.dtype == np.float32
    assert not out.aval.weak
    out = cond(False, lambda: 1, lambda: 2.5)
    assert out.dtype == np.float64
    assert out.aval.weak


def test_integer_results_beside_differentiable_ones() -> None:
    def f(x: Any) -> Any:
        y, n = cond(gt(x, 0.0), lambda x: (sin(x), 3), lambda x: (x, 4), x)
        return mul(y, convert_element_type(n, "float64"))

    same(grad(f)(0.3), 3 * np.cos(0.3))
    same(grad(f)(-0.3), 4.0)


def test_linear_transpose() -> None:
    for pred, factor in ((True, 3.0), (False, 5.0)):
        f = lambda x, pred=pred: cond(pred, lambda x: mul(x, 3.0), lambda x: mul(x, 5.0), x)
        same(linear_transpose(f, X)(W), (factor * W,))


def collatz_like(x: Any, n: int = 6) -> Any:
    """A branch in a loop, chosen by what the loop carries."""

    def step(c: Any, i: Any) -> Any:
        c = cond(gt(c, 1.0), lambda c: mul(c, mul(c, 0.4)), lambda c: add(sin(c), mul(x, i)), c)
        return c, mul(c, c)

    return scan(step, x, np.arange(1.0, n + 1))


def collatz_in_python(x: Any, n: int = 6) -> Any:
    c, ys = x, []
    for i in range(1, n + 1):
        c = c * c * 0.4 if c > 1 else np.sin(c) + x * i
        ys.append(c * c)
    return c, np.array(ys)


@pytest.mark.parametrize("x", [0.3, 0.9, 1.7])
def test_branch_in_scan(x: float) -> None:
    same(collatz_like(x), collatz_in_python(x))
    h = 1e-6
    ahead, behind = collatz_in_python(x + h), collatz_in_python(x - h)
    slope = lambda k: (np.sum(ahead[k]) - np.sum(behind[k])) / (2 * h)
    np.testing.assert_allclose(grad(lambda x: collatz_like(x)[0])(x), slope(0), rtol=1e-6)
    np.testing.assert_allclose(
        grad(lambda x: reduce_sum(collatz_like(x)[1], (0,)))(x), slope(1), rtol=1e-6
    )
    second = grad(grad(lambda x: collatz_like(x)[0]))(x)
    first = grad(lambda x: collatz_like(x)[0])
    np.testing.assert_allclose(
        second, (float(first(x + h)) - float(first(x - h))) / (2 * h), rtol=1e-5
    )


def test_batch_of_branches_in_scan() -> None:
    xs = np.array([0.3, 0.9, 1.7])
    same(vmap(collatz_like)(xs)[0], np.array([collatz_in_python(x)[0] for x in xs]))
    f = lambda x: collatz_like(x)[0]
    same(vmap(grad(f))(xs), np.array([float(grad(f)(x)) for x in xs]))
    same(
        grad(lambda xs: reduce_sum(vmap(f)(xs), (0,)))(xs),
        np.array([float(grad(f)(x)) for x in xs]),
    )


def test_scan_in_branch() -> None:
    def f(p: Any, x: Any) -> Any:
        power = lambda n: lambda x: fori_loop(0, n, lambda i, c: mul(c, x), 1.0)
        return cond(p, power(3), power(5), x)

    same(grad(f, 1)(True, 1.3), 3 * 1.3**2)
    same(grad(f, 1)(False, 1.3), 5 * 1.3**4)
    same(
        vmap(grad(f, 1))(np.array([True, False]), np.full(2, 1.3)),
        np.array([3 * 1.3**2, 5 * 1.3**4]),
    )
    same(grad(grad(f, 1), 1)(False, 1.3), 20 * 1.3**3)


def test_pullback_that_uses_one_result() -> None:
    _, pull = vjp(lambda x, w: chosen(2, x, w), X, W)
    zero = np.zeros(3)
    same(pull((zero, {"s": 1.0})), (2 * X * W, X * X))


def test_dead_results_are_dropped() -> None:
    f = lambda p, x, y: cond(p, lambda x, y: (sin(x), exp(y)), lambda x, y: (cos(x), y), x, y)[0]
    program = dce(make_program(f)(True, 1.0, 2.0))
    verify(program)
    (eq,) = (e for e in program.equations if e.primitive.name == "cond")
    assert len(eq.inputs) == 2
    assert [len(p.equations) for p in eq.params["branches"]] == [1, 1]


def test_equal_calls_share_their_branches() -> None:
    def branches() -> Any:
        program = make_program(grad(lambda x: total(chosen(2, x, W))))(X)
        return [eq.params["branches"] for eq in program.equations if eq.primitive.name == "cond"]

    first, second = branches(), branches()
    assert len(first) == 2
    assert first == second


def test_one_branch_is_called() -> None:
    same(switch(4, [sin], 0.3), np.sin(0.3))


def test_operands_are_pytrees() -> None:
    out = cond(True, lambda d, y: d["a"], lambda d, y: reduce_sum(y, (0,)), {"a": np.float64(1)}, X)
    same(out, 1.0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: cond(X, sin, cos, 1.0), ShapeError, "pred must be a scalar"),
        (lambda: cond("yes", sin, cos, 1.0), DTypeError, "pred must be a scalar; got str"),
        (lambda: cond(True, 1.0, cos, 1.0), StructureError, "true_fun must be a function"),
        (lambda: switch(1.0, [sin, cos], 1.0), DTypeError, "index must be an integer"),
        (lambda: switch(1, [], 1.0), StructureError, "at least one"),
        (
            lambda: cond(True, lambda: {"a": 1}, lambda: {"a": (1, 2)}),
            StructureError,
            r"at \['a'\]",
        ),
        (
            lambda: cond(True, lambda: {"a": W}, lambda: {"a": 1.0}),
            ShapeError,
            r"result\['a'\].*f64\[\].*f64\[3\]",
        ),
        (
            lambda: cond(True, lambda: [np.float32(1)], lambda: [np.float64(1)]),
            DTypeError,
            r"result\[0\].*f64\[\].*f32\[\]",
        ),
    ],
)
def test_errors(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_the_operand_by_name() -> None:
    assert float(cond(True, lambda x: x["a"] + 1, lambda x: x["a"], operand={"a": 2.0})) == 3.0
    assert cond(False, lambda x: 1.0, lambda x: 2.0 if x is None else 3.0, operand=None) == 2.0
    with pytest.raises(StructureError, match="not both"):
        cond(True, lambda x: x, lambda x: x, 1.0, operand=1.0)
