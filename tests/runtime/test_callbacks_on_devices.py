"""Functions of the user on the host, called from programs that run on a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import ShapeDtypeStruct, debug, io_callback, lax, pure_callback
from tracejit.core.errors import DonatedError

pytestmark = pytest.mark.usefixtures("simulated_cuda")

F64 = ShapeDtypeStruct((), "float64")


class Stop(Exception):
    """What a callback raises."""


def on_device(x: Any) -> Any:
    return tracejit.device_put(np.asarray(x), "cuda:1")


@pytest.fixture
def log() -> list[Any]:
    return []


def test_eager_and_compiled(log: list[Any]) -> None:
    def f(x: Any) -> Any:
        debug.callback(lambda: log.append("no operands"))
        debug.callback(lambda x: log.append(x.tolist()), x)
        return pure_callback(lambda x: np.sin(x), x, 2 * x) + x

    x = on_device([[1.0, 2.0]])
    for g in (f, tracejit.jit(f)):
        y = g(x)
        assert y.device == "cuda:1"
        np.testing.assert_allclose(np.asarray(y), np.sin(2 * np.asarray(x)) + np.asarray(x))
    assert log == ["no operands", [[1, 2]]] * 2
    before = tracejit.counters()["eager_compiled"]
    f(x)
    assert tracejit.counters()["eager_compiled"] == before


@pytest.mark.parametrize("library", [False, True])
def test_once_a_trip(log: list[Any], library: bool) -> None:
    # Around a call of a library, the host runs the loop, ahead of its flag if it can.
    m = on_device(np.eye(40))

    def between(x: Any) -> Any:
        return (m @ (m * x))[0, 0] if library else x + 0.0

    def loop(x: Any) -> Any:
        def body(x: Any) -> Any:
            return between(io_callback(lambda x: (log.append(float(x)), x + 1)[1], F64, x))

        return lax.while_loop(lambda x: x < 20, body, x)

    def trips(x: Any) -> Any:
        def body(x: Any, y: Any) -> Any:
            debug.callback(lambda x: log.append(float(x)), x)
            return between(x) + 1, y * x

        return lax.scan(body, x, np.arange(20.0))[0]

    for f in (loop, tracejit.jit(loop), trips, tracejit.jit(trips)):
        log.clear()
        np.testing.assert_allclose(float(f(on_device(0.0))), 20)
        np.testing.assert_allclose(log, np.arange(20))


def test_branches_and_lanes(log: list[Any]) -> None:
    def f(x: Any) -> Any:
        def shown(x: Any) -> Any:
            debug.callback(lambda x: log.append(int(x)), x)
            return x

        def body(x: Any) -> Any:
            return lax.cond(x % 2 == 0, shown, lambda x: x, x) + 1

        return lax.while_loop(lambda x: x < 5, body, x)

    assert int(tracejit.jit(f)(on_device(0))) == 5
    assert log == [0, 2, 4]
    log.clear()
    assert tracejit.jit(tracejit.vmap(f))(on_device([3, 0, 7])).tolist() == [5, 5, 7]
    assert log == [4, 0, 2, 4]


def test_order_of_what_is_called_and_what_runs(log: list[Any]) -> None:
    @tracejit.jit
    def f(x: Any) -> Any:
        for _ in range(3):
            debug.callback(lambda x: log.append(x.tolist()), x, ordered=True)
            x = x * 2
        return x

    assert f(on_device([1.0, 2.0])).tolist() == [8, 16]
    assert log == [[1, 2], [2, 4], [4, 8]]


def test_errors_arrive_as_they_are(log: list[Any]) -> None:
    def host(x: Any) -> Any:
        log.append(float(x))
        if x == 2:
            raise TypeError("mine")
        return x

    def f(x: Any) -> Any:
        return lax.while_loop(lambda x: x < 5, lambda x: io_callback(host, F64, x) + 1, x)

    x = on_device(0.0)
    for g in (f, tracejit.jit(f)):
        with pytest.raises(TypeError, match="mine"):
            g(x)
    with pytest.raises(TypeError, match="mine"):  # and it is not tried a second time
        io_callback(host, F64, x + 2)
    assert log == [0, 1, 2, 0, 1, 2, 2]
    assert float(tracejit.jit(f)(on_device(3.0))) == 5
    assert float(x) == 0


def test_donated_arrays_are_gone_after_an_error() -> None:
    def host(x: Any) -> None:
        raise Stop

    f = tracejit.jit(lambda x: (debug.callback(host, x + 1), x * 2)[1], donate_argnums=0)
    x = on_device([1.0])
    with pytest.raises(Stop):
        f(x)
    with pytest.raises(DonatedError):
        x.tolist()


def test_a_callback_may_run_the_program_that_calls_it() -> None:
    @tracejit.jit
    def factorial(n: Any) -> Any:
        def host(n: Any) -> Any:
            return np.asarray(factorial(on_device(n - 1))) * n

        def one(n: Any) -> Any:
            return tnp.ones((), "int64")

        return lax.cond(n > 1, lambda n: pure_callback(host, n, n), one, n)

    assert int(factorial(on_device(4))) == 24
