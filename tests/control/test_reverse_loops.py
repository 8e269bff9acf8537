"""Reverse mode through loops: unknown trip counts, nested, batched, twice; bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit.control.branch import cond
from tracejit.control.checkpoint import checkpoint
from tracejit.control.checkpoint_policies import treeverse
from tracejit.control.loops import fori_loop
from tracejit.control.scan import scan
from tracejit.control.treeverse import advances
from tracejit.control.while_loop import while_loop
from tracejit.core.errors import ShapeError, StructureError
from tracejit.core.primitive import Primitive, define
from tracejit.experimental.jet import jet
from tracejit.runtime.jit import jit
from tracejit.tools.explain import explain
from tracejit.transforms.api import (
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    make_program,
    value_and_grad,
    vjp,
    vmap,
)

X = np.linspace(0.2, 1.1, 4)


def step(y: Any, w: Any) -> Any:
    return tnp.sin(y) * 1.1 + 0.1 * w * y


def powers(n: Any, x: Any, w: Any) -> Any:
    """Iterate `step` n times."""
    return tnp.sum(fori_loop(0, n, lambda _, y: step(y, w), x) * w)


def unrolled(n: int, x: Any, w: Any) -> Any:
    y = x
    for _ in range(n):
        y = step(y, w)
    return tnp.sum(y * w)


def close(got: Any, wanted: Any, rtol: float = 1e-12) -> None:
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-14)


W = np.cos(X)


@pytest.mark.parametrize("n", [0, 1, 2, 9])
@pytest.mark.parametrize("wrap", [lambda f: f, jit], ids=["eager", "jit"])
def test_a_trip_count_that_is_data(n: int, wrap: Callable[..., Any]) -> None:
    wanted = grad(lambda x, w: unrolled(n, x, w), (0, 1))(X, W)
    close(wrap(grad(powers, (1, 2)))(np.int64(n), X, W), wanted)
    close(wrap(grad(powers, (1, 2), memory=100))(np.int64(n), X, W), wanted)
    static = grad(lambda x, w: powers(n, x, w), (0, 1), memory=100)
    close(wrap(static)(X, W), wanted)


def test_more_steps_than_snapshots() -> None:
    n = 75
    wanted = grad(lambda x, w: unrolled(n, x, w), (0, 1))(X, W)
    for memory in (1, 100, 200, 500, "1kB", "1MB"):
        value, got = value_and_grad(powers, (1, 2), memory=memory)(np.int64(n), X, W)
        close(got, wanted)
        np.testing.assert_allclose(value, unrolled(n, X, W), rtol=1e-13)
        close(grad(lambda x, w: powers(n, x, w), (0, 1), memory=memory)(X, W), wanted)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("memory", [1, 150, 10_000_000])
def test_scans_that_read_and_stack(reverse: bool, memory: int) -> None:
    def f(x: Any, xs: Any, w: Any) -> Any:
        def body(carry: Any, z: Any) -> Any:
            y, i = carry
            y = step(y, w + z)
            return (y, i + 1), (y * z, i)

        (y, _), (ys, numbers) = scan(body, (x, 0), xs, reverse=reverse)
        return tnp.sum(y * y) + tnp.sum(tnp.cos(ys) * (1 + numbers[:, None]))

    xs = np.sin(np.arange(40.0)).reshape(10, 4)
    close(grad(f, (0, 1, 2), memory=memory)(X, xs, W), grad(f, (0, 1, 2))(X, xs, W))


def test_lanes_with_trip_counts_of_their_own() -> None:
    counts = np.array([3, 0, 7])
    xs = np.stack([X, 2 * X, 0.5 * X])
    for memory in (None, 100):
        f = vmap(grad(powers, (1, 2), memory=memory), (0, 0, None))
        for run in (f, jit(f)):
            got = run(counts, xs, W)
            for n, x, *found in zip(counts, xs, *got, strict=True):
                close(found, grad(lambda x, w, n=n: unrolled(n, x, w), (0, 1))(x, W))
    # the gradient of the batch
    total = grad(lambda x: tnp.sum(vmap(powers, (0, 0, None))(counts, x, W)))(xs)
    close(total, vmap(grad(powers, 1), (0, 0, None))(counts, xs, W))


def test_second_order() -> None:
    n = np.int64(6)
    wanted = hessian(lambda x: unrolled(6, x, W))(X)
    f = lambda x: powers(n, x, W)
    for second in (jacfwd(grad(f)), jacrev(grad(f)), jacrev(jacfwd(f)), jacfwd(jacrev(f)),
                   jit(hessian(f)), jacrev(grad(f, memory=100)),
                   jacrev(grad(lambda x: powers(6, x, W), memory=100))):  # fmt: skip
        np.testing.assert_allclose(second(X), wanted, rtol=1e-11, atol=1e-13)
    along = lambda g: lambda x: tnp.sum(g(x) * W)
    third = grad(along(grad(along(grad(f)))))(X)
    close(third, grad(along(grad(along(grad(lambda x: unrolled(6, x, W))))))(X), 1e-10)


def test_while_in_while() -> None:
    def inner(y: Any, w: Any) -> Any:
        """The root of ``z = cos(z) w + y / 2``."""
        start = (y, y + 1.0)
        return while_loop(
            lambda v: tnp.abs(v[0] - v[1]) > 1e-14,
            lambda v: (0.5 * tnp.cos(v[0]) * w + 0.5 * y, v[0]),
            start,
        )[0]

    def f(x: Any, w: Any) -> Any:
        return while_loop(lambda v: v[1] < 5, lambda v: (inner(v[0], w) * x, v[1] + 1), (x, 0))[0]

    def slow(x: float, w: float) -> float:
        y = x
        for _ in range(5):
            z, before = y, y + 1
            while abs(z - before) > 1e-14:
                z, before = 0.5 * np.cos(z) * w + 0.5 * y, z
            y = z * x
        return y

    x, w, h = 0.8, 0.9, 1e-6
    np.testing.assert_allclose(f(x, w), slow(x, w), rtol=1e-14)
    wanted = [
        (slow(x + h, w) - slow(x - h, w)) / (2 * h),
        (slow(x, w + h) - slow(x, w - h)) / (2 * h),
    ]
    close(grad(f, (0, 1))(x, w), wanted, 1e-8)
    close(jit(grad(f, (0, 1), memory=64))(x, w), grad(f, (0, 1))(x, w))
    twice = jacfwd(grad(f))(x, w)
    np.testing.assert_allclose(jacrev(grad(f))(x, w), twice, rtol=1e-11)
    batch = vmap(grad(f, (0, 1)), (0, None))(np.array([x, 0.5]), w)
    close([b[0] for b in batch], grad(f, (0, 1))(x, w))


@pytest.mark.parametrize("memory", [None, 64])
def test_while_in_scan(memory: int | None) -> None:
    def f(x: Any, counts: Any) -> Any:
        def body(y: Any, n: Any) -> Any:
            y = while_loop(lambda v: v[1] < n, lambda v: (step(v[0], x), v[1] + 1), (y, 0))[0]
            return y, y * y

        y, ys = scan(body, x, counts)
        return tnp.sum(y) + tnp.sum(ys)

    def g(x: Any) -> Any:
        y, total = x, 0.0
        for n in (2, 0, 5):
            for _ in range(n):
                y = step(y, x)
            total = total + tnp.sum(y * y)
        return tnp.sum(y) + total

    counts = np.array([2, 0, 5])
    close([grad(f, memory=memory)(X, counts)], [grad(g)(X)])
    if memory is None:  # no tape is stacked, only what the inner loops start with
        text = str(make_program(grad(f))(X, counts))
        assert "f64[3,16" not in text


def test_ints_and_bools_are_carried() -> None:
    def f(x: Any) -> Any:
        def body(v: Any) -> Any:
            y, going, n, flags = v
            y = tnp.where(going, y * x, y + n)
            return y, y < 3.0, n + 2, tnp.logical_xor(flags, going)

        y, _, n, _ = while_loop(
            lambda v: v[2] < 11, body, (x, np.bool_(True), 0, np.array([True, False]))
        )
        return y * n

    def g(x: Any) -> Any:
        y, going = x, True
        for n in range(0, 11, 2):
            y = y * x if going else y + n
            going = float(y) < 3.0
        return y * 12

    np.testing.assert_allclose(grad(f)(1.3), grad(g)(1.3), rtol=1e-13)
    np.testing.assert_allclose(jit(grad(f, memory=40))(1.3), grad(g)(1.3), rtol=1e-13)


def test_a_branch_inside() -> None:
    def f(x: Any) -> Any:
        body = lambda v: (cond(v[1] % 2 == 0, tnp.sin, lambda y: y * y, v[0]) * x, v[1] + 1)
        return while_loop(lambda v: v[1] < 4, body, (x, 0))[0]

    g = lambda x: (tnp.sin((tnp.sin(x) * x) ** 2 * x) * x) ** 2 * x
    np.testing.assert_allclose(grad(f)(0.9), grad(g)(0.9), rtol=1e-13)
    np.testing.assert_allclose(hessian(f)(0.9), hessian(g)(0.9), rtol=1e-12)


def test_no_tape_where_the_derivative_needs_no_state() -> None:
    def f(x: Any, n: Any) -> Any:
        def body(v: Any) -> Any:
            y, i = v
            return y * W + x * i, i + 1

        y, _ = while_loop(lambda v: v[1] < n, body, (x, 0))
        return tnp.sum(y)

    def g(x: Any) -> Any:
        y = x
        for i in range(5):
            y = y * W + x * i
        return tnp.sum(y)

    close([grad(f)(X, np.int64(5))], [grad(g)(X)])
    program = str(make_program(grad(f))(X, np.int64(5)))
    assert "while_loop" in program
    assert "empty" not in program
    # A state that does not change is not kept either.
    def fixed(w: Any, n: Any) -> Any:
        body = lambda v: (v[0], tnp.sin(v[0]) * v[1], v[2] + 1)
        return tnp.sum(while_loop(lambda v: v[2] < n, body, (X, w, 0))[1])

    close([grad(fixed)(W, np.int64(4))], [np.sin(X) ** 4])
    assert "empty" not in str(make_program(grad(fixed))(W, np.int64(4)))


def test_an_adaptive_integrator() -> None:
    """Runge-Kutta-Fehlberg with steps chosen by the error: ``y' = -a y``."""

    def solve(a: Any, end: Any) -> Any:
        field = lambda t, y: -a * y + 0.0 * t

        def trip(v: Any) -> Any:
            t, y, h = v
            h = tnp.minimum(h, end - t)
            k1 = field(t, y)
            k2 = field(t + h / 4, y + h * k1 / 4)
            k3 = field(t + 3 * h / 8, y + h * (3 * k1 + 9 * k2) / 32)
            k4 = field(t + 12 * h / 13, y + h * (1932 * k1 - 7200 * k2 + 7296 * k3) / 2197)
            k5 = field(
                t + h, y + h * (439 / 216 * k1 - 8 * k2 + 3680 / 513 * k3 - 845 / 4104 * k4)
            )
            k6 = field(
                t + h / 2,
                y + h * (-8 / 27 * k1 + 2 * k2 - 3544 / 2565 * k3 + 1859 / 4104 * k4 - 0.275 * k5),
            )
            fourth = 25 / 216 * k1 + 1408 / 2565 * k3 + 2197 / 4104 * k4 - k5 / 5
            fifth = (
                16 / 135 * k1 + 6656 / 12825 * k3 + 28561 / 56430 * k4 - 9 / 50 * k5 + 2 / 55 * k6
            )
            error = tnp.abs(h * (fifth - fourth)) + 1e-30
            good = error < 1e-10
            factor = tnp.clip(0.9 * (1e-10 / error) ** 0.2, 0.2, 4.0)
            return tnp.where(good, t + h, t), tnp.where(good, y + h * fifth, y), h * factor

        return while_loop(lambda v: v[0] < end, trip, (0.0, 1.0 + 0.0 * a, 0.1))[1]

    a, end = 1.3, 2.0
    exact = np.exp(-a * end)
    np.testing.assert_allclose(solve(a, end), exact, rtol=1e-8)
    _, forward = jvp(lambda a: solve(a, end), (a,), (1.0,))
    np.testing.assert_allclose(forward, -end * exact, rtol=1e-7)
    for memory in (None, 100):
        back = jit(grad(solve, memory=memory))(a, end)
        np.testing.assert_allclose(back, forward, rtol=1e-12)
    np.testing.assert_allclose(hessian(solve)(a, end), end**2 * exact, rtol=1e-5)


# ------------------------------------------------------------------- counts, memory, rules


calls: list[int] = []


def _counted(xp: Any, x: Any) -> Any:
    calls.append(1)
    return xp.asarray(x).copy()


counted_p: Primitive = define(
    "counted_for_tests",
    impl=_counted,
    shape=lambda x: x,
    jvp=lambda primals, tangents: (counted_p.bind(*primals), tangents[0]),
    transpose="its tangent passes by",
    batch=lambda operands, axes: (counted_p.bind(*operands), axes[0]),
    lower="so that Python counts how often it runs",
)


@pytest.fixture
def count() -> Callable[[], int]:
    """How often the step was evaluated since the last time."""

    def taken() -> int:
        number = len(calls)
        calls.clear()
        return number

    taken()
    return taken


@pytest.fixture
def only_compiled(bottom: None, request: pytest.FixtureRequest) -> None:
    if "numpy" in request.node.callspec.id:
        pytest.skip("one primitive at a time a sweep keeps every state")


def heat(n: Any, u: Any) -> Any:
    """Explicit steps of a nonlinear diffusion on a periodic grid."""

    def trip(_: Any, u: Any) -> Any:
        u = counted_p.bind(u)
        flux = (1 + u * u) * (tnp.roll(u, -1) - u)
        return u + 0.1 * (flux - tnp.roll(flux, 1))

    return tnp.sum(fori_loop(0, n, trip, u) ** 2)


GRID = np.sin(np.linspace(0.0, 6.0, 64))
ROW = GRID.nbytes


@pytest.mark.usefixtures("only_compiled")
@pytest.mark.parametrize(("n", "snapshots"), [(1000, 30), (200, 5), (10, 3), (30, 29), (7, 2)])
def test_steps_are_run_as_often_as_the_binomial_bound_says(
    n: int, snapshots: int, count: Callable[[], int]
) -> None:
    stored = grad(lambda u: heat(n, u))(GRID)
    assert count() == n
    # The residuals of a step: what the derivative of the flux reads.
    for memory in range((snapshots + 1) * ROW, (snapshots + 8) * ROW, ROW):
        bounded = jit(grad(lambda u, memory=memory: heat(n, u), memory=memory))
        text = str(make_program(bounded)(GRID))
        if f"f64[{snapshots},64]" in text:
            break
    else:
        pytest.fail("no bound gives so many snapshots")
    got = bounded(GRID)
    # forward once, again what the schedule says, and backward once
    assert count() == n + (advances(n, snapshots) - (n - 1)) + n
    np.testing.assert_allclose(got, stored, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("only_compiled")
@pytest.mark.parametrize(("n", "snapshots"), [(1000, 16), (200, 5), (40, 3), (30, 16)])
def test_a_loop_of_unknown_length_runs_few_steps_more(
    n: int, snapshots: int, count: Callable[[], int]
) -> None:
    stored = grad(lambda u: heat(n, u))(GRID)
    count()
    for memory in range((snapshots + 1) * ROW, (snapshots + 8) * ROW, ROW):
        bounded = jit(grad(heat, 1, memory=memory))
        if f"f64[{snapshots},64]" in str(make_program(bounded)(np.int64(n), GRID)):
            break
    got = bounded(np.int64(n), GRID)
    # The first snapshots cannot know the end: that costs the least number of steps and little more.
    known = n + (advances(n, snapshots) - (n - 1)) + n
    assert known <= count() <= 1.15 * known
    np.testing.assert_allclose(got, stored, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("only_compiled")
@pytest.mark.parametrize(("n", "snapshots"), [(100, 7), (6, 1), (30, 30)])
def test_a_policy_says_how_many_snapshots(
    n: int, snapshots: int, count: Callable[[], int]
) -> None:
    stored = grad(lambda u: heat(n, u) * 2)(GRID)
    count()
    kept = checkpoint(lambda u: heat(n, u) * 2, policy=treeverse(snapshots))
    got = jit(grad(kept))(GRID)
    assert count() == n + (advances(n, snapshots) - (n - 1)) + n
    np.testing.assert_allclose(got, stored, rtol=1e-12, atol=1e-14)
    unknown = checkpoint(lambda n, u: heat(n, u) * 2, policy=treeverse(snapshots))
    got = jit(grad(unknown, 1))(np.int64(n), GRID)
    assert n + (advances(n, snapshots) - (n - 1)) + n <= count()
    np.testing.assert_allclose(got, stored, rtol=1e-12, atol=1e-14)


def test_policies_and_bounds_under_other_transformations() -> None:
    def f(n: Any, x: Any) -> Any:
        return tnp.sum(fori_loop(0, n, lambda _, y: step(y, W), x) * W)

    wanted = grad(lambda x: unrolled(9, x, W))(X)
    kept = checkpoint(f, policy=treeverse(2))
    close([grad(kept, 1)(np.int64(9), X)], [wanted])
    close([grad(jit(kept), 1)(np.int64(9), X)], [wanted])
    close([vmap(grad(kept, 1), (0, None))(np.array([9, 4]), X)[0]], [wanted])
    np.testing.assert_allclose(
        jacrev(grad(kept, 1), 1)(np.int64(9), X),
        hessian(lambda x: unrolled(9, x, W))(X),
        rtol=1e-11,
        atol=1e-13,
    )
    run = lambda x: scan(lambda y, _: (step(y, W), y), x, None, length=9)
    (y, ys), pullback = vjp(run, X, memory=100)
    cts = (tnp.cos(y), tnp.sin(ys))
    close(pullback(cts), vjp(run, X)[1](cts))
    rows = jacrev(lambda x: run(x)[0], memory=100)(X)
    np.testing.assert_allclose(rows, jacfwd(lambda x: run(x)[0])(X), rtol=1e-12, atol=1e-14)


def test_bounds_that_are_none() -> None:
    with pytest.raises(StructureError, match="grad: memory must be a number of bytes"):
        grad(powers, memory=0)
    with pytest.raises(StructureError, match=r"vjp: memory must be .* got 'much'"):
        vjp(tnp.sin, 1.0, memory="much")
    with pytest.raises(ShapeError, match="at least 1 snapshot is needed; got 0"):
        treeverse(0)


@pytest.mark.usefixtures("only_compiled")
def test_memory_is_bounded() -> None:
    n, u = 1000, np.sin(np.linspace(0.0, 6.0, 64 * 1024))
    size = u.nbytes  # 512 kB

    def scratch(f: Any, *args: Any) -> int:
        return int(explain(f)(*args).arena_bytes)

    def smooth(n: Any, u: Any) -> Any:
        trip = lambda _, u: u + 0.1 * (1 + u * u) * (tnp.roll(u, -1) - 2 * u + tnp.roll(u, 1))
        return tnp.sum(fori_loop(0, n, trip, u) ** 2)

    stored = scratch(grad(lambda u: smooth(n, u)), u)
    assert stored > n * size
    for bound in ("64MB", "16MB"):
        budget = int(bound[:2]) * 2**20
        for f, args in ((lambda u: smooth(n, u), (u,)), (lambda u, n: smooth(n, u), (u, n))):
            taken = scratch(grad(f, memory=bound), *args)
            # beside the snapshots some states are under way
            assert budget / 2 < taken < budget + 12 * size


def least(n: int, snapshots: int, known: dict[Any, int]) -> int:
    """The least number of steps by trying every place of the next snapshot."""
    if n <= 1:
        return 0
    if snapshots == 1:
        return n * (n - 1) // 2
    if (n, snapshots) not in known:
        known[n, snapshots] = min(
            k + least(n - k, snapshots - 1, known) + least(k, snapshots, known)
            for k in range(1, n)
        )
    return known[n, snapshots]


def test_the_bound_is_the_least() -> None:
    known: dict[Any, int] = {}
    for snapshots in range(1, 7):
        for n in range(1, 60):
            assert advances(n, snapshots) == least(n, snapshots, known), (n, snapshots)


def test_taylor_mode_of_a_gradient() -> None:
    direction = (np.ones(4), np.zeros(4))
    of_loop = jet(lambda x: grad(powers, 1)(np.int64(5), x, W), (X,), (direction,))
    wanted = jet(grad(lambda x: unrolled(5, x, W)), (X,), (direction,))
    close([of_loop[0], *of_loop[1]], [wanted[0], *wanted[1]], 1e-10)


@pytest.mark.usefixtures("only_compiled")
@pytest.mark.parametrize("memory", [None, 17])
@pytest.mark.parametrize("static", [False, True])
def test_effects_happen_once(static: bool, memory: int | None) -> None:
    seen: list[float] = []

    def f(x: Any, n: Any) -> Any:
        def trip(_: Any, y: Any) -> Any:
            tracejit.debug.callback(lambda y: seen.append(float(y)), y)
            return tnp.sin(y) * 1.1

        return fori_loop(0, 20 if static else n, trip, x)

    jit(grad(f, memory=memory))(0.5, np.int64(20))
    wanted = [0.5]
    for _ in range(19):
        wanted.append(np.sin(wanted[-1]) * 1.1)
    np.testing.assert_allclose(seen, wanted, rtol=1e-13)


def test_derivatives_of_a_pullback_whose_states_are_not_on_a_tape() -> None:
    """By the cotangent alone, through a scan around the loop."""

    def loop(x: Any) -> Any:
        go_on = lambda c: (c[0] < 3) & (tnp.sum(c[1]) < 3.0)
        return while_loop(go_on, lambda c: (c[0] + 1, tnp.sin(c[1])), (0, x))[1]

    rows = np.stack([X, 0.5 * X])
    ct = np.cos(rows)
    pull = lambda ct: vjp(lambda rows: scan(lambda c, row: (c, loop(row)), 0, rows)[1], rows)[1](ct)
    outs, moved = jvp(pull, (ct,), (2.0 * ct,))
    for row, c, out, dout in zip(rows, ct, outs[0], moved[0], strict=True):
        (wanted,) = vjp(loop, row)[1](c)
        np.testing.assert_allclose(out, wanted, rtol=1e-12)
        np.testing.assert_allclose(dout, 2.0 * np.asarray(wanted), rtol=1e-12)
