"""Calls of jitted functions that no line of Python sees, and those that it must see."""

from __future__ import annotations

import copy
import gc
import inspect
import os
import subprocess
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit.core.array import Array
from tracejit.core.interpreter import current_interpreter, interpreting
from tracejit.runtime.jit import JitFunction
from tracejit.runtime.native import fast_calls

pytestmark = pytest.mark.skipif(fast_calls() is None, reason="calls go through Python here")


class Watched:
    """A jitted function, and how often the class's Python code was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fun: Any, **options: Any) -> None:
        self.slow = 0
        self.fun = tracejit.jit(fun, **options)
        original = JitFunction._record
        remembered = JitFunction._entry

        def entry(function: Any, *args: Any) -> Any:
            self.slow += function is self.fun
            return remembered(function, *args)

        def record(function: Any, *args: Any) -> Any:
            self.slow += function is self.fun
            return original(function, *args)

        monkeypatch.setattr(JitFunction, "_entry", entry)
        monkeypatch.setattr(JitFunction, "_record", record)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fun(*args, **kwargs)


def without_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Python's own fast path useless, so that only native calls are quick."""
    module = sys.modules["tracejit.runtime.jit"]
    monkeypatch.setattr(module, "make_dispatcher", lambda *args: None)


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "array": (tnp.arange(5.0),),
    "uncommitted": (tnp.asarray(np.arange(5.0)) + 0.0,),
    "ndarray": (np.arange(5.0),),
    "matrix": (np.ones((2, 3), np.float32),),
    "rank 0": (tnp.asarray(2.5),),
    "empty": (np.zeros((0, 3)),),
    "float": (1.5,),
    "int": (-(2**62),),
    "bool": (True,),
    "tuple": ((1.5, np.arange(3.0)),),
    "list": ([np.arange(3.0), (2, None)],),
    "dict": ({"b": np.arange(3.0), "a": {"c": 2.0}},),
    "none": (None, np.arange(2.0)),
    "empty containers": ((), [], {}, 1.0),
    "many": tuple(np.full(3, float(n)) for n in range(50)),
    "nothing": (),
}


def double(*args: Any) -> Any:
    return tracejit.tree.map(lambda x: x * 2, args)


@pytest.mark.parametrize("args", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_results(monkeypatch: pytest.MonkeyPatch, args: Any) -> None:
    without_python(monkeypatch)
    f = Watched(monkeypatch, double)
    first = f(*args)
    assert f.slow == 1
    for _ in range(3):
        again = f(*args)
    assert f.slow == 1
    leaves, structure = tracejit.tree.flatten(again)
    wanted, same = tracejit.tree.flatten(double(*tracejit.tree.map(np.asarray, args)))
    assert structure == same == tracejit.tree.structure(first)
    for x, y, z in zip(leaves, wanted, tracejit.tree.leaves(first), strict=True):
        assert type(x) is Array
        assert x.dtype == np.asarray(y).dtype == z.dtype
        assert x.aval is z.aval
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


OTHERS: list[tuple[Any, Any]] = [
    (np.arange(5.0), np.arange(6.0)),
    (np.arange(5.0), np.arange(5.0).astype(np.float32)),
    (np.arange(5.0), np.arange(5.0)[None]),
    (np.arange(5.0), np.arange(10.0)[::2]),
    (np.arange(5.0), np.arange(5.0).astype(">f8")),
    (np.arange(5.0), tnp.arange(5.0)),
    (np.arange(5.0), [1.0]),
    (tnp.arange(5.0), tnp.arange(5)),
    (tnp.arange(5.0), 1.0),
    (1.0, 1),
    (1, True),
    (1, 1j),
    (True, 1),
    ((1.0,), [1.0]),
    ((1.0,), (1.0, 2.0)),
    ([1.0], [1.0, 2.0]),
    ({"a": 1.0}, {"b": 1.0}),
    ({"a": 1.0}, {"a": 1.0, "b": 2.0}),
    ({"a": 1.0}, {"a": 1}),
    (None, 0.0),
]


@pytest.mark.parametrize(("known", "other"), OTHERS)
def test_another_signature(monkeypatch: pytest.MonkeyPatch, known: Any, other: Any) -> None:
    without_python(monkeypatch)
    f = Watched(monkeypatch, double)
    for x in (known, other):
        for _ in range(2):
            got = f(x)
            wanted = double(tracejit.tree.map(np.asarray, x))
            for a, b in zip(tracejit.tree.leaves(got), tracejit.tree.leaves(wanted), strict=True):
                np.testing.assert_array_equal(np.asarray(a), b)
    assert f.slow >= 2


def test_too_large_an_int(monkeypatch: pytest.MonkeyPatch) -> None:
    f = Watched(monkeypatch, lambda x: x + 1)
    assert int(f(3)) == 4
    assert int(f(4)) == 5
    with pytest.raises(TypeError, match="does not fit in 64 bits"):
        f(2**64)


def test_wrong_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    f = Watched(monkeypatch, lambda x, y=1.0: x + y)
    x = tnp.arange(3.0)
    f(x)
    np.testing.assert_array_equal(np.asarray(f(x, y=2.0)), [2, 3, 4])
    np.testing.assert_array_equal(np.asarray(f(x=x)), [1, 2, 3])
    with pytest.raises(TypeError):
        f(x, x, x)
    with pytest.raises(TypeError):
        f(x, z=3)
    with pytest.raises(TypeError):
        f("text")


def test_under_transformations() -> None:
    f = tracejit.jit(lambda x: tnp.sum(x * x))
    x = tnp.arange(3.0)
    for _ in range(2):
        assert float(f(x)) == 5.0
        np.testing.assert_array_equal(np.asarray(tracejit.grad(f)(x)), [0, 2, 4])
        np.testing.assert_array_equal(np.asarray(tracejit.vmap(f)(tnp.ones((2, 3)))), [3, 3])
    calls = []

    def outer(y: Any) -> Any:
        calls.append(tracejit.make_program(f)(x) is not None)
        return y * f(x)

    assert float(tracejit.jit(outer)(2.0)) == 10.0
    assert calls


def test_the_default_device(monkeypatch: pytest.MonkeyPatch) -> None:
    f = Watched(monkeypatch, lambda x: x + 1)
    f(np.arange(3.0)), f(np.arange(3.0))
    slow = f.slow
    with tracejit.device("cpu"):
        np.testing.assert_array_equal(np.asarray(f(np.arange(3.0))), [1, 2, 3])
    assert f.slow == slow


def test_a_donated_array_is_refused() -> None:
    g = tracejit.jit(lambda x: x + 1)
    f = tracejit.jit(lambda x: x * 2, donate_argnums=0)
    x = tnp.asarray(np.arange(4.0))
    g(x), g(x)
    f(x)
    with pytest.raises(RuntimeError):
        g(x)


def test_references_do_not_leak() -> None:
    f = tracejit.jit(lambda d, t, s: {"r": (d["a"] + s, [t[0]]), "n": None})
    a, b, key = tnp.arange(3.0), np.arange(4.0), "a"
    out = None
    for _ in range(3):
        out = f({key: a}, (b,), 1.5)
    del out
    counts = [sys.getrefcount(x) for x in (a, a.aval, a.buf, b, b.dtype, None, key)]
    before = len(gc.get_objects())
    for _ in range(1000):
        out = f({key: a}, (b,), 1.5)
    del out
    after = [sys.getrefcount(x) for x in (a, a.aval, a.buf, b, b.dtype, None, key)]
    assert max(abs(m - n) for m, n in zip(counts, after, strict=True)) < 50
    assert len(gc.get_objects()) - before < 50


@pytest.mark.parametrize("size", [3, 40_000])
def test_results_are_new_memory(size: int) -> None:
    f = tracejit.jit(lambda x: x + 1)
    x = tnp.zeros(size)
    outs = [f(x) for _ in range(4)]
    places = {np.asarray(y).ctypes.data for y in outs}
    assert len(places) == 4
    for y in outs:
        np.testing.assert_array_equal(np.asarray(y), 1)


def test_objects_are_freed() -> None:
    f = tracejit.jit(lambda x: x + 1)
    f.itself = f  # a cycle
    f(1.0), f(1.0)
    ref = weakref.ref(f)
    del f
    gc.collect()
    assert ref() is None


def test_it_is_a_function_like_others() -> None:
    class Model:
        scale = 3.0

        @tracejit.jit
        def apply(self: Any, x: Any) -> Any:
            """Add."""
            return x + 1

    f = Model.apply
    assert isinstance(f, JitFunction)
    assert f.__doc__ == "Add."
    assert f.__name__ == "apply"
    assert inspect.signature(f).parameters.keys() == {"self", "x"}
    assert float(f(0.0, 2.0)) == float(f.__call__(0.0, 2.0)) == 3.0
    assert copy.copy(f) is f
    assert copy.deepcopy([f]) == [f]
    f.clear_cache()
    assert float(f(0.0, 2.0)) == 3.0


def test_threads() -> None:
    f = tracejit.jit(lambda d: {"y": d["x"] * 2 + 1, "z": d["x"] - 1})
    sizes = (10, 3_000, 9_000)
    wrong: list[Any] = []

    def work(number: int) -> None:
        for n in range(300):
            size = sizes[(number + n) % 3]
            got = f({"x": np.full(size, float(n))})  # nobody else holds it
            if not ((np.asarray(got["y"]) == 2 * n + 1).all() and float(got["z"][0]) == n - 1):
                wrong.append((number, n))
            if n % 100 == 50:
                f.clear_cache()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_recursion_through_a_finaliser() -> None:
    f = tracejit.jit(lambda x: x + 1)
    x = tnp.arange(3.0)
    f(x), f(x)
    seen = []

    class Dying:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            seen.append(float(f(x)[0]))

    for _ in range(2000):  # the collector runs amid calls
        Dying()
        assert float(f(x)[0]) == 1.0
    gc.collect()
    assert seen
    assert set(seen) == {1.0}


def test_calls_are_native_if_the_first_function_is_jitted_within_a_transformation() -> None:
    with interpreting(current_interpreter()):
        assert fast_calls.__wrapped__() is not None


def test_the_switch() -> None:
    code = (
        "import tracejit; from tracejit.runtime.native import fast_calls; "
        "f = tracejit.jit(lambda x: x + 1); print(fast_calls(), float(f(1.0)), float(f(2.0)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TRACEJIT_NATIVE_CALLS": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None", "2.0", "3.0"]


def test_what_runs_often_is_compiled_with_care(monkeypatch: pytest.MonkeyPatch) -> None:
    executable = sys.modules["tracejit_llvm.executable"]
    monkeypatch.setattr(executable, "WORTH_COMPILING", 20_000.0)
    f = tracejit.jit(lambda x: tnp.exp(x) * 1.234567 + x)
    x = tnp.asarray(np.linspace(-1.0, 1.0, 101))
    outs = [np.asarray(f(x)).tobytes() for _ in range(2)]
    before = tracejit.counters()
    outs += [np.asarray(f(x)).tobytes() for _ in range(50)]
    after = tracejit.counters()
    assert sum(after[k] - before[k] for k in ("compiled", "disk")) == 1
    assert len(set(outs)) == 1
