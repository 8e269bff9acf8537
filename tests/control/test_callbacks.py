"""Functions of the user on the host: how often they are called, when, and with what."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import ShapeDtypeStruct, debug, io_callback, lax, pure_callback
from tracejit.compiler.simplify import simplify
from tracejit.core.errors import (
    DonatedError,
    DTypeError,
    MissingRuleError,
    ShapeError,
    StructureError,
)
from tracejit.core.interpreter import current_interpreter
from tracejit.testing.evaluate import Evaluate

F64 = ShapeDtypeStruct((), "float64")
I64 = ShapeDtypeStruct((), "int64")


class Log(list[Any]):
    """Remembers what it is called with."""

    def __call__(self, x: Any) -> None:
        self.append(np.asarray(x).tolist())

    def echo(self, x: Any) -> Any:
        """Remember `x`, and return it."""
        self(x)
        return x


def under_jit(f: Callable[..., Any]) -> Callable[..., Any]:
    return tracejit.jit(f)


ways = pytest.mark.parametrize("way", [lambda f: f, under_jit], ids=["eager", "jit"])
Way = Callable[[Callable[..., Any]], Callable[..., Any]]


def sine(x: Any) -> Any:
    """Calls NumPy."""
    return pure_callback(np.sin, tracejit.eval_shape(tnp.sin, x), x, vmap_method="expand_dims")


# ---------------------------------------------------------------------------- values


@ways
def test_pure_callback_computes(way: Way) -> None:
    x = tnp.arange(6.0).reshape(2, 3, 1)
    got = way(lambda x: sine(2 * x) + 1)(x)
    np.testing.assert_allclose(got, np.sin(2 * np.asarray(x)) + 1)


@ways
def test_arguments_and_results_are_pytrees(way: Way) -> None:
    def host(pair: Any, *, scale: Any) -> Any:
        assert isinstance(pair, tuple)
        return {"sum": pair[0] + pair[1]["b"], "n": [np.asarray(pair[0].size)]}

    promised = {"sum": ShapeDtypeStruct((3,), "float32"), "n": [I64]}

    def f(a: Any, b: Any) -> Any:
        return pure_callback(host, promised, (a, {"b": b}), scale=2.0)

    a = tnp.arange(3, dtype="float32")
    got = way(f)(a, a)
    assert got["sum"].tolist() == [0, 2, 4]
    assert got["n"][0].dtype == np.int64
    assert int(got["n"][0]) == 3


@ways
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "bfloat16", "complex64"])
def test_every_dtype_arrives(way: Way, dtype: str) -> None:
    x = tnp.asarray([0, 1, 1]).astype(dtype)
    seen = []

    def host(x: Any) -> Any:
        seen.append(x)
        return x

    got = way(lambda x: pure_callback(host, x, x))(x)
    assert got.dtype == seen[0].dtype == x.dtype
    assert got.tolist() == x.tolist()


@ways
def test_what_a_callback_gets_and_returns_is_its_own(way: Way) -> None:
    kept = []
    table = np.zeros(4)

    def host(x: Any) -> Any:
        kept.append(x)
        x += 1
        return table

    def f(x: Any) -> Any:
        y = io_callback(host, x, x * 2)
        return y, io_callback(host, x, x * 3), x

    x = tnp.arange(4.0)
    y, _, same = way(f)(x)
    table[:] = 7
    assert y.tolist() == [0, 0, 0, 0]
    assert x.tolist() == same.tolist() == [0, 1, 2, 3]
    assert [k.tolist() for k in kept] == [[1, 3, 5, 7], [1, 4, 7, 10]]


@ways
def test_python_scalars_take_the_dtype_promised(way: Way) -> None:
    wanted = ShapeDtypeStruct((), "float32")
    got = way(lambda x: pure_callback(lambda x: 2, wanted, x))(1.0)
    assert (got.dtype, float(got)) == (np.float32, 2.0)
    with pytest.raises(OverflowError):
        way(lambda x: pure_callback(lambda x: 300, ShapeDtypeStruct((), "uint8"), x))(1.0)


@ways
@pytest.mark.parametrize(
    ("returned", "error", "says"),
    [
        (np.zeros(2), ShapeError, r"result\['a'\] of host: the shape promised.*\(3,\).*\(2,\)"),
        (
            np.zeros(3, "f4"),
            DTypeError,
            r"result\['a'\] of host: the dtype promised.*float64.*float32",
        ),
        (1j, ShapeError, "shape"),
        ("text", ShapeError, "shape"),
        ([1.0, 2.0, 3.0], StructureError, r"result\['a'\] of host: .*a leaf.*a list of length 3"),
        (None, StructureError, "promised"),
    ],
)
def test_what_was_not_promised_is_refused(
    way: Way, returned: Any, error: type[Exception], says: str
) -> None:
    def host(x: Any) -> Any:
        return {"a": returned}

    def f(x: Any) -> Any:
        return pure_callback(host, {"a": ShapeDtypeStruct((3,), "float64")}, x)

    with pytest.raises(error, match=says) as caught:
        way(f)(1.0)
    assert "promised at" in str(caught.value)
    *_, where, _ = str(caught.value).splitlines()
    assert where.startswith("  at ")  # of the call that ran it, not of a file of ours
    assert "test_callbacks.py" in where


def test_a_scalar_of_a_higher_kind_is_refused() -> None:
    with pytest.raises(DTypeError, match="int64; it returned float64"):
        pure_callback(lambda x: 1.5, I64, 1.0)


@pytest.mark.parametrize("call", [pure_callback, io_callback])
def test_what_cannot_be_an_argument(call: Any) -> None:
    with pytest.raises(StructureError, match="must be a function; got int"):
        call(3, F64, 1.0)
    with pytest.raises(DTypeError, match=r"kwargs\['mode'\] must be an array.*got str"):
        call(np.sin, F64, 1.0, mode="fast")
    with pytest.raises(DTypeError, match=r"args\[0\]\[1\] must be an array"):
        call(np.sin, F64, (1.0, "fast"))
    with pytest.raises(DTypeError, match=r"result_shape_dtypes\[0\] must have a shape.*got type"):
        call(np.sin, [float], 1.0)
    with pytest.raises(ValueError, match="sharding"):
        call(np.sin, F64, 1.0, sharding="all")


def test_an_unknown_vmap_method() -> None:
    with pytest.raises(ValueError, match=r"sequential, .*got 'fast'"):
        pure_callback(np.sin, F64, 1.0, vmap_method="fast")


# --------------------------------------------------------------------- how often, and when


def test_a_pure_callback_that_nobody_needs_is_left_out_of_compiled_code() -> None:
    log = Log()

    def f(x: Any) -> Any:
        return (pure_callback(log.echo, F64, x), x)[1]

    program = tracejit.jit(f).lower(1.0).program
    assert "pure_callback" not in str(simplify(program))
    tracejit.jit(f).lower(1.0).compile()(1.0)
    assert log == []
    f(1.0)
    assert log == [1]  # at once, since nobody knows yet what will be needed


@ways
def test_effects_happen_once_and_in_order(way: Way) -> None:
    log = Log()

    def f(x: Any) -> Any:
        io_callback(log, None, x)
        debug.callback(log, x + 1)
        io_callback(log.echo, F64, x + 2)  # what it returns is not used
        io_callback(log.echo, F64, x + 2)  # equal, and called all the same
        debug.callback(log, 9)

    wrapped = way(f)
    for start in (0.0, 10.0):
        wrapped(start)
    assert log == [0, 1, 2, 2, 9, 10, 11, 12, 12, 9]


def test_nothing_is_called_while_tracing() -> None:
    log = Log()

    def f(x: Any) -> Any:
        debug.callback(log, x)
        return io_callback(log.echo, F64, x) + pure_callback(log.echo, F64, x)

    tracejit.make_program(f)(1.0)
    tracejit.eval_shape(tracejit.grad(lambda x: f(tracejit.stop_gradient(x)) * x), 1.0)
    tracejit.jit(f).lower(1.0).compile()
    assert log == []


@ways
def test_once_a_trip(way: Way) -> None:
    log = Log()

    def loop(x: Any, n: Any) -> Any:
        def body(carry: Any) -> Any:
            i, x = carry
            debug.callback(log, i)
            return i + 1, io_callback(log.echo, F64, x) + 0.5

        return lax.while_loop(lambda carry: carry[0] < n, body, (0, x))[1]

    assert float(way(loop)(1.0, 3)) == 2.5
    assert log == [0, 1.0, 1, 1.5, 2, 2.0]
    log.clear()
    assert float(way(loop)(1.0, 0)) == 1.0
    assert log == []

    def scanned(xs: Any) -> Any:
        def body(carry: Any, x: Any) -> Any:
            debug.callback(log, x)
            return carry + x, io_callback(log.echo, F64, 10 * x)

        return lax.scan(body, 0.0, xs)

    total, ys = way(scanned)(tnp.arange(3.0))
    assert log == [0, 0, 1, 10, 2, 20]
    assert float(total) == 3
    assert ys.tolist() == [0, 10, 20]
    log.clear()
    way(scanned)(tnp.zeros(0))
    assert log == []


@ways
def test_the_test_of_a_loop_calls_once_a_trip_and_once_at_its_end(way: Way) -> None:
    log = Log()

    def going(x: Any) -> Any:
        debug.callback(log, x)
        return x < 2

    way(lambda x: lax.while_loop(going, lambda x: x + 1, x))(0)
    assert log == [0, 1, 2]


@ways
def test_only_the_chosen_branch_calls(way: Way) -> None:
    log = Log()

    def one(x: Any) -> Any:
        debug.callback(log, x)
        return x

    def other(x: Any) -> Any:
        return io_callback(log.echo, F64, -x)

    f = way(lambda go, x: lax.cond(go, one, other, x))
    assert float(f(True, 1.0)) == 1
    assert float(f(False, 2.0)) == -2
    assert log == [1, -2]


@ways
def test_in_a_nested_function_that_returns_nothing(way: Way) -> None:
    log = Log()

    @tracejit.jit
    def inner(x: Any) -> None:
        debug.callback(log, x)

    def outer(x: Any) -> Any:
        inner(x)
        lax.fori_loop(0, 2, lambda i, x: (inner(x + i), x)[1], x)

    assert way(outer)(1) is None
    assert log == [1, 1, 2]


def test_a_callback_may_call_compiled_functions_the_same_one_too() -> None:
    @tracejit.jit
    def factorial(n: Any) -> Any:
        def host(n: Any) -> Any:
            return np.asarray(factorial(n - 1)) * n

        return lax.cond(
            n > 1, lambda n: pure_callback(host, I64, n), lambda n: tnp.ones((), "int64"), n
        )

    assert int(factorial(tnp.asarray(5))) == 120


def test_floating_point_errors_are_treated_as_the_user_says() -> None:
    f = tracejit.jit(lambda x: pure_callback(lambda x: np.log(x), F64, x))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        assert np.isneginf(f(0.0))


@ways
def test_equal_functions_are_traced_once(way: Way) -> None:
    traces = []

    def run(x: Any) -> Any:
        def body(x: Any, _: Any) -> Any:
            debug.print("{}", x)
            return x, None

        def traced(x: Any, y: Any) -> Any:
            traces.append(x)
            return body(x, y)

        return lax.scan(traced, x, None, 2)[0]

    for x in (1.0, 2.0):
        way(run)(x)
    before = tracejit.counters()["compiled"]
    way(run)(3.0)
    assert tracejit.counters()["compiled"] == before


# --------------------------------------------------------------------------------- errors


class Stop(Exception):
    """What a callback raises."""


@ways
@pytest.mark.parametrize("error", [Stop("now"), KeyError("x"), TypeError("t"), KeyboardInterrupt()])
def test_what_a_callback_raises_arrives_as_it_is(way: Way, error: BaseException) -> None:
    log = Log()

    def host(x: Any) -> Any:
        log(x)
        if x == 2:
            raise error
        return x

    def f(x: Any) -> Any:
        return lax.fori_loop(0, 5, lambda i, x: io_callback(host, F64, x) + 1, x)

    wrapped = way(f)
    x = tnp.asarray(0.0)
    with pytest.raises(type(error)) as caught:
        wrapped(x)
    assert caught.value is error
    assert log == [0, 1, 2]
    assert float(x) == 0
    assert float(wrapped(tnp.asarray(3.0))) == 8  # it can be called again


def test_donated_arrays_are_gone_after_an_error() -> None:
    def host(x: Any) -> Any:
        raise Stop

    @tracejit.jit(donate_argnums=0)
    def f(x: Any, y: Any) -> Any:
        x = x + 1
        debug.callback(host, x)
        return x * y

    x, y = tnp.ones(1000), tnp.ones(1000)
    with pytest.raises(Stop):
        f(x, y)
    if not isinstance(current_interpreter(), Evaluate):  # which donates nothing
        with pytest.raises(DonatedError):
            x.tolist()
    assert y.tolist() == [1] * 1000


# ----------------------------------------------------------------------------------- vmap


@ways
@pytest.mark.parametrize(
    ("method", "shapes"),
    [
        ("sequential", [((2,), ())] * 3),
        ("sequential_unrolled", [((2,), ())] * 3),
        ("expand_dims", [((3, 2), (1,))]),
        ("broadcast_all", [((3, 2), (3,))]),
    ],
)
def test_how_vmap_calls(way: Way, method: str, shapes: list[Any]) -> None:
    seen = []

    def host(x: Any, y: Any) -> Any:
        seen.append((x.shape, y.shape))
        return x * y[..., None]

    def f(x: Any, y: Any) -> Any:
        return pure_callback(host, ShapeDtypeStruct((2,), "float64"), x, y, vmap_method=method)

    x = np.arange(6.0).reshape(2, 3)
    got = way(tracejit.vmap(f, in_axes=(1, None)))(x, 2.0)
    np.testing.assert_array_equal(got, 2 * x.T)
    assert seen == shapes


@ways
@pytest.mark.parametrize("method", ["sequential", "expand_dims", "broadcast_all"])
def test_vmap_of_vmap(way: Way, method: str) -> None:
    def f(x: Any, y: Any) -> Any:
        return pure_callback(np.add, F64, x, y, vmap_method=method)

    x, y = np.arange(2.0), np.arange(3.0)
    table = tracejit.vmap(tracejit.vmap(f, in_axes=(None, 0)), in_axes=(0, None))
    np.testing.assert_array_equal(way(table)(x, y), x[:, None] + y)


def test_vmap_must_be_told_how() -> None:
    with pytest.raises(MissingRuleError, match="'sequential' calls it for each"):
        tracejit.vmap(lambda x: pure_callback(np.sin, F64, x))(tnp.ones(2))


@ways
def test_vmap_calls_for_one_lane_after_another(way: Way) -> None:
    log = Log()

    def f(x: Any) -> Any:
        debug.callback(log, x)
        debug.callback(log, 7)  # the same for all lanes: once
        return io_callback(log.echo, F64, 2 * x)

    assert way(tracejit.vmap(f))(tnp.arange(3.0)).tolist() == [0, 2, 4]
    assert log == [0, 1, 2, 7, 0, 2, 4]
    log.clear()
    assert way(tracejit.vmap(f))(tnp.zeros(0)).shape == (0,)
    assert log == [7]


def test_vmap_of_what_is_ordered() -> None:
    def f(x: Any) -> Any:
        return io_callback(np.sin, F64, x, ordered=True)

    with pytest.raises(MissingRuleError, match=r"ordered=False.*lax\.map"):
        tracejit.vmap(f)(tnp.ones(2))
    assert tracejit.lax.map(f, tnp.zeros(2)).tolist() == [0, 0]
    log = Log()
    tracejit.vmap(lambda x: debug.callback(log, x, ordered=True))(tnp.arange(2))
    assert log == [0, 1]


@ways
def test_lanes_that_are_done_call_no_more(way: Way) -> None:
    log = Log()

    def f(x: Any, n: Any) -> Any:
        def body(x: Any) -> Any:
            debug.callback(log, x)
            return x + 1

        return lax.while_loop(lambda x: x < n, body, x)

    got = way(tracejit.vmap(f, in_axes=(0, None)))(tnp.asarray([3, 0, 5]), 4)
    assert got.tolist() == [4, 4, 5]
    assert log == [3, 0, 1, 2, 3]
    log.clear()
    got = way(tracejit.vmap(f, in_axes=(None, 0)))(2, tnp.asarray([3, 2, 4]))
    assert got.tolist() == [3, 2, 4]
    assert log == [2, 2, 3]


@ways
def test_lanes_call_in_the_branch_that_they_choose(way: Way) -> None:
    log = Log()

    def one(x: Any) -> Any:
        debug.callback(log, x)
        return x

    f = tracejit.vmap(lambda x: lax.cond(x > 1, one, lambda x: -x, x))
    assert way(f)(tnp.arange(4)).tolist() == [0, -1, 2, 3]
    assert log == [2, 3]
    log.clear()
    everyone = tracejit.vmap(lambda go, x: lax.cond(go, one, lambda x: -x, x), in_axes=(None, 0))
    way(everyone)(True, tnp.arange(2))
    assert log == [0, 1]


def test_effects_and_collectives_where_lanes_differ() -> None:
    log = Log()

    def one(x: Any) -> Any:
        debug.callback(log, x)
        return lax.psum(x, "lanes")

    def f(x: Any) -> Any:
        return lax.cond(x > 1, one, lambda x: x, x)

    def together(x: Any) -> Any:
        return lax.cond(True, one, lambda x: x, x)

    lanes = tnp.arange(3)
    with pytest.raises(MissingRuleError, match="collective over the axis 'lanes' inside"):
        tracejit.vmap(f, axis_name="lanes")(lanes)
    assert log == []
    assert tracejit.vmap(together, axis_name="lanes")(lanes).tolist() == [3, 3, 3]
    assert log == [0, 1, 2]


@ways
def test_vmapped_loops_of_one_length_call_trip_after_trip(way: Way) -> None:
    log = Log()

    def f(x: Any) -> Any:
        return lax.fori_loop(0, 2, lambda i, x: (debug.callback(log, x), x + 1)[1], x)

    assert way(tracejit.vmap(f))(tnp.asarray([0, 10])).tolist() == [2, 12]
    assert log == [0, 10, 1, 11]


# ---------------------------------------------------------------------------- derivatives


def test_a_pure_callback_has_no_derivative() -> None:
    for transformed in (tracejit.grad(sine), lambda x: tracejit.jvp(sine, (x,), (1.0,))):
        with pytest.raises(MissingRuleError, match=r"of sin nothing is known.*custom_jvp"):
            transformed(1.0)
    with pytest.raises(MissingRuleError, match="custom_jvp"):
        tracejit.grad(lambda x: io_callback(np.sin, F64, x))(1.0)


@ways
def test_what_has_no_derivative_needs_none(way: Way) -> None:
    log = Log()

    def f(x: Any) -> Any:
        n = pure_callback(lambda x: np.int64(3), I64, x)
        io_callback(log, None, x)
        return x**2 * n + tracejit.stop_gradient(x) * sine(tracejit.stop_gradient(x))

    assert float(way(tracejit.grad(f))(2.0)) == 12
    assert log == [2]


@ways
def test_derivatives_call_once_with_values(way: Way) -> None:
    log = Log()

    def f(x: Any) -> Any:
        debug.callback(log, x)
        return tnp.sin(x) * x

    def count(g: Callable[..., Any], *args: Any) -> list[Any]:
        log.clear()
        way(g)(*args)
        return list(log)

    assert count(tracejit.grad(f), 2.0) == [2]
    assert count(tracejit.value_and_grad(f), 2.0) == [2]
    assert count(lambda x: tracejit.jvp(f, (x,), (1.0,)), 2.0) == [2]
    assert count(tracejit.grad(tracejit.grad(f)), 2.0) == [2]
    assert count(tracejit.grad(tracejit.jit(f)), 2.0) == [2]
    assert count(tracejit.vmap(tracejit.grad(f)), tnp.arange(2.0)) == [0, 1]
    assert count(tracejit.grad(lambda x: tnp.sum(tracejit.vmap(f)(x))), tnp.arange(2.0)) == [0, 1]
    assert count(tracejit.jacrev(tracejit.vmap(f)), tnp.arange(2.0)) == [0, 1]
    assert count(tracejit.jacfwd(tracejit.vmap(f)), tnp.arange(2.0)) == [0, 1]


def test_a_pullback_does_not_repeat() -> None:
    log = Log()
    _, pullback = tracejit.vjp(lambda x: (debug.callback(log, x), x * x)[1], 3.0)
    _, linear = tracejit.linearize(lambda x: (debug.callback(log, x), x * x)[1], 4.0)
    for _ in range(2):
        pullback(1.0)
        linear(1.0)
    assert log == [3, 4]


@ways
def test_derivatives_of_loops_and_branches_call_once(way: Way) -> None:
    log = Log()

    def show(x: Any) -> Any:
        debug.callback(log, x)
        return x

    def scanned(x: Any) -> Any:
        def body(carry: Any, k: Any) -> Any:
            io_callback(log, None, k)
            return show(carry) * x + tnp.cos(x), None  # cos(x) is the same in every trip

        return lax.scan(body, x, tnp.arange(3))[0]

    def chosen(x: Any) -> Any:
        return lax.cond(x > 0, lambda x: show(x) ** 2, lambda x: show(-x), x)

    def silent(x: Any) -> Any:  # nothing but the effect in the branches
        lax.cond(x > 0, lambda x: debug.callback(log, x), lambda x: None, x)
        return x * x

    def values(f: Callable[..., Any]) -> list[Any]:
        log.clear()
        way(f)(0.5)
        return list(log)

    for f in (scanned, chosen, silent):
        forward = values(f)
        assert len(forward) == {scanned: 6, chosen: 1, silent: 1}[f]
        assert values(tracejit.grad(f)) == forward
        assert values(tracejit.grad(tracejit.grad(f))) == forward
        assert values(lambda x, f=f: tracejit.jvp(f, (x,), (1.0,))) == forward
        assert values(tracejit.grad(tracejit.jit(f))) == forward

    def batch(x: Any) -> Any:
        return tnp.sum(tracejit.vmap(chosen)(x * tnp.asarray([1.0, -1.0])))

    assert values(batch) == values(tracejit.grad(batch)) == [0.5, 0.5]


@ways
def test_a_loop_that_is_linearized_calls_once(way: Way) -> None:
    log = Log()

    def f(x: Any) -> Any:
        def body(carry: Any) -> Any:
            i, x = carry
            debug.callback(log, i)
            return i + 1, x * x

        return lax.while_loop(lambda carry: carry[0] < 2, body, (0, x))[1]

    def derivative(x: Any) -> Any:
        return tracejit.linearize(f, x)[1](1.0)

    assert float(way(derivative)(3.0)) == 4 * 27
    assert log == [0, 1]


@ways
def test_a_checkpoint_does_not_repeat_effects(way: Way) -> None:
    log, pure = Log(), Log()

    @tracejit.checkpoint
    def f(x: Any) -> Any:
        debug.callback(log, x)
        io_callback(log.echo, F64, tracejit.stop_gradient(x + 1))
        n = pure_callback(pure.echo, F64, tracejit.stop_gradient(x))
        return tnp.sin(x) * n

    def loop(x: Any) -> Any:
        return lax.scan(lambda x, _: (f(x), None), x, None, 2)[0]

    @tracejit.checkpoint
    def around(x: Any) -> Any:
        def trip(x: Any, k: Any) -> Any:
            debug.callback(log, k)
            return lax.cond(k > 0, lambda x: (debug.callback(log, x), tnp.sin(x))[1], tnp.cos, x), x

        x, xs = lax.scan(trip, x, tnp.arange(2))
        return x * tnp.sum(xs)

    x = 0.5
    for g in (f, loop, around):
        forward = (way(g)(x), list(log))[1]
        log.clear()
        way(tracejit.grad(g))(x)
        assert log == forward
        log.clear()
    pure.clear()
    way(tracejit.value_and_grad(f))(x)
    assert pure == [x, x]  # forward, and again on the way back


@ways
def test_a_checkpoint_stores_what_an_effect_returned(way: Way) -> None:
    log = Log()

    @tracejit.checkpoint
    def f(x: Any) -> Any:
        def trip(x: Any, _: Any) -> Any:
            return tnp.sin(x) * io_callback(log.echo, F64, 2.0), None

        return lax.scan(trip, x, None, 2)[0] * io_callback(log.echo, F64, 3.0)

    x = 0.5
    expected = 3 * 2 * np.cos(2 * np.sin(x)) * 2 * np.cos(x)
    np.testing.assert_allclose(way(tracejit.grad(f))(x), expected)
    assert log == [2, 2, 3]


@ways
@pytest.mark.parametrize("loop", ["scan", "while_loop"])
def test_what_is_computed_again_between_snapshots_is_without_effects(way: Way, loop: str) -> None:
    log, seen = Log(), Log()

    def step(i: Any, x: Any) -> Any:
        debug.callback(log, i)
        io_callback(log.echo, F64, tracejit.stop_gradient(x))
        n = pure_callback(seen.echo, I64, i)
        return tnp.sin(x) * (n + 1)

    def f(x: Any) -> Any:
        if loop == "scan":
            return lax.scan(lambda x, i: (step(i, x), None), x, tnp.arange(9))[0]
        return lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] + 1, step(*c)), (0, x))[1]

    way(f)(0.5)
    forward = list(log)
    assert len(forward) == 18
    log.clear()
    seen.clear()
    gradient = way(tracejit.grad(f, memory=32))(0.5)
    assert log == forward
    assert len(seen) > 9  # a pure callback is called again
    d = 1e-6
    np.testing.assert_allclose(gradient, (f(0.5 + d) - f(0.5 - d)) / (2 * d), rtol=1e-6)


@ways
def test_what_an_effect_returned_is_not_computed_again(way: Way) -> None:
    def trip(c: Any) -> Any:
        i, x = c
        return i + 1, tnp.sin(x) * io_callback(lambda: 2.0, F64)

    def f(x: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < 3, trip, (0, x))[1]

    with pytest.raises(MissingRuleError, match=r"repeat its effect\. Call it outside of the loop"):
        way(tracejit.grad(f))(1.0)


@ways
def test_rules_of_users_call(way: Way) -> None:
    log = Log()

    @tracejit.custom_jvp
    def f(x: Any) -> Any:
        debug.callback(log, x)
        return sine(x)

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (dx,) = primals, tangents
        debug.callback(log, 10 * x)
        return f(x), dx * pure_callback(np.cos, F64, x, vmap_method="expand_dims")

    def loop(x: Any) -> Any:
        return lax.scan(lambda x, _: (f(x), None), x, None, 2)[0]

    x = 0.5
    np.testing.assert_allclose(way(tracejit.grad(f))(x), np.cos(x))
    assert log == [5, 0.5]
    log.clear()
    np.testing.assert_allclose(way(tracejit.grad(loop))(x), np.cos(np.sin(x)) * np.cos(x))
    assert log == [5, 0.5, 10 * np.sin(x), np.sin(x)]
    log.clear()
    points = tnp.asarray([0.0, 1.0])
    np.testing.assert_allclose(way(tracejit.vmap(tracejit.grad(f)))(points), np.cos(points))
    assert log == [0, 10, 0, 1]

    @tracejit.custom_vjp
    def g(x: Any) -> Any:
        return sine(x)

    def backward(x: Any, ct: Any) -> Any:
        debug.callback(log, ct)
        return (ct * tnp.cos(x),)

    g.defvjp(lambda x: (g(x), x), backward)
    log.clear()
    np.testing.assert_allclose(way(tracejit.grad(lambda x: 3 * g(x)))(x), 3 * np.cos(x))
    assert log == [3]


def test_effects_on_what_is_linear_are_not_lost() -> None:
    with pytest.raises(MissingRuleError, match="transposition of debug_callback"):
        tracejit.linear_transpose(lambda x: (debug.callback(Log(), x), 2 * x)[1], 1.0)(1.0)


# ---------------------------------------------------------------------------- the API


def test_arguments_have_the_names_and_the_order_of_jax() -> None:
    jax = pytest.importorskip("jax")
    experimental = pytest.importorskip("jax.experimental")
    for ours, theirs in (
        (pure_callback, jax.pure_callback),
        (io_callback, experimental.io_callback),
        (debug.callback, jax.debug.callback),
        (debug.print, jax.debug.print),
        (debug.breakpoint, jax.debug.breakpoint),
    ):
        left_out = {"_use_logging", "token"}
        wanted = inspect.signature(theirs).parameters
        names = [n for n in inspect.signature(ours).parameters if n in wanted]
        missing = [n for n in wanted if n not in {*names, *left_out, "kwargs"}]
        assert not missing, f"{theirs.__name__}: {missing}"
        assert names == [n for n in wanted if n in names]


def test_debug_callback_takes_what_is_no_array() -> None:
    seen: list[Any] = []

    def host(*args: Any, **kwargs: Any) -> str:
        seen.append((args, kwargs))
        return "ignored"

    def f(x: Any) -> None:
        assert debug.callback(host, "label", {"x": x}, mode=None) is None
        debug.callback(ordered=True, partitioned=True)(host, x)

    tracejit.jit(f)(3)
    assert seen == [(("label", {"x": 3}), {"mode": None}), ((3,), {})]
    with pytest.raises(StructureError, match="the first argument must be a function"):
        debug.callback(None, 3)
    with pytest.raises(StructureError, match="must be a function; got str"):
        debug.callback("text")


def test_the_program_names_the_function() -> None:
    def measure(x: Any) -> Any:
        return x

    text = str(tracejit.make_program(lambda x: io_callback(measure, F64, x))(1.0))
    assert "io_callback" in text
    assert "<measure>" in text
    assert "function=<sin>" in str(tracejit.make_program(tracejit.vmap(sine))(tnp.ones(2)))


def test_functions_that_do_not_hash_are_told_apart() -> None:
    class Add:
        __hash__ = None  # type: ignore[assignment]

        def __init__(self, n: int) -> None:
            self.n = n

        def __call__(self, x: Any) -> Any:
            return x + self.n

    @tracejit.jit
    def f(x: Any) -> Any:
        return [pure_callback(Add(n), F64, x) for n in (1, 2)]

    assert [float(y) for y in f(1.0)] == [2, 3]
