"""jit: signatures, structures, static and donated arguments, stages, threads."""

from __future__ import annotations

import concurrent.futures
import functools
import os
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit.core.array import Array, from_numpy
from tracejit.core.errors import (
    ConcretizationError,
    DonatedError,
    DTypeError,
    LeakedTracerError,
    StructureError,
)
from tracejit.ops.arithmetic import add, mul, sub
from tracejit.ops.shape import reduce_sum
from tracejit.ops.slicing import roll_axis, slice_
from tracejit.ops.transcendental import exp, sin
from tracejit.runtime.devices import counters, set_num_threads
from tracejit.runtime.jit import jit
from tracejit.transforms.api import ShapeDtypeStruct, grad, vmap


def x8() -> Array:
    return from_numpy(np.arange(8.0))


def test_a_call_returns_new_arrays() -> None:
    f = jit(lambda x: add(mul(x, 2.0), 1.0))
    x = x8()
    for _ in range(3):  # the general path, then the dispatcher
        y = f(x)
        assert type(y) is Array
        np.testing.assert_array_equal(y, np.arange(8.0) * 2 + 1)
    np.testing.assert_array_equal(f(np.arange(8.0)), y)
    np.testing.assert_array_equal(f(3.0), 7.0)
    np.testing.assert_array_equal(f(np.arange(16.0)[::2]), np.arange(16.0)[::2] * 2 + 1)


def test_structures_in_and_out() -> None:
    f = jit(lambda d, t: {"s": add(d["a"], t[0]), "n": None, "t": (mul(d["b"], t[1][0]), [t[0]])})
    x = x8()
    for _ in range(3):
        out = f({"a": x, "b": x}, (x, [3.0]))
        np.testing.assert_array_equal(out["s"], np.arange(8.0) * 2)
        np.testing.assert_array_equal(out["t"][0], np.arange(8.0) * 3)
        assert out["n"] is None
    with pytest.raises(KeyError):
        f({"a": x, "c": x}, (x, [3.0]))


def test_other_signatures_find_their_own_code() -> None:
    f = jit(lambda x: mul(x, x))
    for dtype in (np.float64, np.float32, np.int32, np.int8, np.float16):
        for shape in ((), (3,), (2, 3), (0,)):
            x = np.full(shape, 3, dtype)
            for _ in range(2):
                y = f(x)
                assert y.dtype == dtype
                np.testing.assert_array_equal(y, x * x)


def test_what_the_caller_holds_is_never_shared() -> None:
    x = np.arange(8.0)
    y = jit(lambda x: x)(x)
    x[0] = 99
    assert float(np.asarray(y)[0]) == 0.0


def test_static_arguments() -> None:
    traced = []

    def power(x: Any, n: int, *, double: bool = False) -> Any:
        traced.append(n)
        y = x
        for _ in range(n - 1):
            y = mul(y, x)
        return add(y, y) if double else y

    f = jit(power, static_argnums=1, static_argnames="double")
    for _ in range(2):
        np.testing.assert_array_equal(f(x8(), 3), np.arange(8.0) ** 3)
        np.testing.assert_array_equal(f(x8(), n=2, double=True), np.arange(8.0) ** 2 * 2)
    assert traced == [3, 2]
    with pytest.raises(StructureError, match="hashable"):
        f(x8(), [3])


def test_donated_arguments_lend_their_memory() -> None:
    f = jit(lambda x: mul(x, 2.0), donate_argnums=0)
    x = x8()
    memory = x.buf.ctypes.data
    y = f(x)
    np.testing.assert_array_equal(y, np.arange(8.0) * 2)
    assert y.buf.ctypes.data == memory
    with pytest.raises(DonatedError, match="donated to"):
        mul(x, 2.0)
    with pytest.raises(StructureError, match="twice"):
        jit(mul, donate_argnums=(0, 1))(y, y)
    z = np.arange(8.0)
    f(z)
    np.testing.assert_array_equal(z, np.arange(8.0))  # a NumPy array is never overwritten


def test_donation_spares_memory_that_others_read() -> None:
    f = jit(lambda x: mul(x, 2.0), donate_argnums=0)
    x = x8()
    part, host = slice_(x, (1,), (8,)), np.asarray(x)
    np.testing.assert_array_equal(f(x), np.arange(8.0) * 2)
    for kept in (part, host[1:], np.asarray(x)[1:]):
        np.testing.assert_array_equal(kept, np.arange(1.0, 8.0))
    np.testing.assert_array_equal(f(part), np.arange(1.0, 8.0) * 2)
    np.testing.assert_array_equal(x, np.arange(8.0))


def test_stages() -> None:
    lowered = jit(lambda x: mul(sin(x), 2.5)).lower(ShapeDtypeStruct((300,), np.float64))
    assert "sin" in lowered.text("program")
    assert "parallel for vector" in lowered.text("loops")
    assert "Launch" in lowered.text("plan")
    assert "define void" in lowered.text("llvm")
    assert "ret" in lowered.text("asm")
    assert lowered.out_info.shape == (300,)
    compiled = lowered.compile()
    x = np.random.default_rng(0).random(300)
    np.testing.assert_allclose(compiled(x), np.sin(x) * 2.5, rtol=1e-15)
    with pytest.raises(StructureError, match="compiled for"):
        compiled(x[:3])
    with pytest.raises(ValueError, match="stage"):
        lowered.text("nonsense")


def test_a_second_size_compiles_nothing() -> None:
    def step(x: Any) -> Any:
        return add(x, mul(sub(roll_axis(x, 1, 0), roll_axis(x, -1, 1)), 0.371))

    f = jit(lambda x: (step(step(x)), reduce_sum(exp(x), (0, 1))))
    f(np.random.default_rng(0).random((220, 190)))
    before = counters()["compiled"]
    for n, m in ((333, 190), (400, 512), (91, 1000)):
        x = np.random.default_rng(1).random((n, m))
        _, total = f(x)
        np.testing.assert_allclose(total, np.exp(x).sum(), rtol=1e-12)
    assert counters()["compiled"] == before


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((700, 501))
    f = jit(
        lambda x: (
            exp(sin(x)),
            reduce_sum(x, (0, 1)),
            reduce_sum(x, (1,)),
            reduce_sum(x, (0,)),
            roll_axis(x, 3, 0),
        )
    )
    wanted = None
    try:
        for threads in (1, 2, 3, 7):
            set_num_threads(threads)
            for _ in range(5):
                got = [np.asarray(y).tobytes() for y in f(x)]
                wanted = wanted or got
                assert got == wanted
    finally:
        set_num_threads(os.cpu_count() or 1)
    with pytest.raises(ValueError, match="at least 1"):
        set_num_threads(0)


def test_concurrent_calls_do_not_disturb_one_another() -> None:
    f = jit(lambda x, c: mul(exp(x), c))
    x = np.random.default_rng(0).random(100_000)

    def run(c: float) -> bool:
        return all(np.allclose(f(x, c), np.exp(x) * c, rtol=1e-14) for _ in range(20))

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert all(pool.map(run, [float(c) for c in range(12)]))


def test_under_other_transformations() -> None:
    f = jit(lambda x: reduce_sum(mul(sin(x), x), (0,)))
    x = np.linspace(0, 1, 5)
    wanted = np.sin(x) + x * np.cos(x)
    np.testing.assert_allclose(grad(f)(x), wanted, rtol=1e-14)
    np.testing.assert_allclose(jit(grad(f))(x), wanted, rtol=1e-14)
    np.testing.assert_allclose(jit(grad(jit(f)))(x), wanted, rtol=1e-14)
    np.testing.assert_allclose(vmap(f)(np.stack([x, x])), [np.sum(np.sin(x) * x)] * 2, rtol=1e-14)
    np.testing.assert_allclose(
        jit(vmap(grad(f)))(np.stack([x, 2 * x])),
        [wanted, np.sin(2 * x) + 2 * x * np.cos(2 * x)],
        rtol=1e-14,
    )


def test_closing_over_an_outer_tracer() -> None:
    def outer(x: Any) -> Any:
        return reduce_sum(jit(lambda y: mul(y, x))(x), (0,))

    x = np.arange(4.0)
    np.testing.assert_allclose(grad(outer)(x), 2 * x)
    np.testing.assert_allclose(jit(grad(outer))(x), 2 * x)
    np.testing.assert_allclose(jit(grad(outer))(x + 1), 2 * x + 2)


def test_errors_in_the_users_words() -> None:
    def branches(x: Any) -> Any:
        return x if x else mul(x, 2.0)

    with pytest.raises(ConcretizationError, match="where") as caught:
        jit(branches)(1.0)
    assert "return x if x else" in str(caught.value)
    with pytest.raises(DTypeError, match="static_argnums"):
        jit(lambda x, name: x)(1.0, "name")
    kept: list[Any] = []
    jit(lambda x: (kept.append(x), mul(x, 2.0))[1])(1.0)
    with pytest.raises(LeakedTracerError, match=r"ended|used after"):
        mul(kept[0], 2.0)
    with pytest.raises(StructureError, match="must return arrays"):
        jit(lambda x: "text")(1.0)
    with pytest.raises(StructureError, match="needs a function"):
        jit(3)


def test_a_callback_that_raises_raises_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from tracejit.core import primitive
    from tracejit.ops.cumulative import cumprod

    f = jit(lambda z: cumprod(z, 0))  # of complex numbers, which no kernel computes
    np.testing.assert_array_equal(f(np.array([2j, 3.0])), [2j, 6j])
    before = counters()["callbacks"]
    f(np.array([2j, 3j]))
    assert counters()["callbacks"] > before

    def broken(*args: Any, **params: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setitem(primitive.impl._rules, primitive.PRIMITIVES["cumprod"], broken)
    with pytest.raises(RuntimeError, match="broken"):
        jit(lambda z: cumprod(z, 0))(np.ones(3, np.complex64))


def test_jit_takes_a_partial() -> None:
    scaled = jit(functools.partial(mul, 3.0))
    np.testing.assert_array_equal(scaled(np.arange(3.0)), [0.0, 3.0, 6.0])


def test_an_int_that_int64_does_not_hold() -> None:
    plus, times = jit(lambda x: x + 1), jit(lambda x: x * 2.0)
    for _ in range(3):  # signatures have quick calls of their own
        assert plus(2**63) == np.uint64(2**63 + 1)
        assert plus(2**63).dtype == np.uint64
        assert plus(3).dtype == np.int64
        assert times(2**63) == 2.0**64


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_constants_of_16_bits_that_are_not_whole(name: str) -> None:
    """Kernels take constants as doubles, which is no way for what the machine has no numbers of."""
    x = tnp.asarray([1.0, 2.0, -4.0], name)
    for f in (lambda v: v * 0.1 + 0.3, lambda v: tnp.full((2,), 0.1, v.dtype)):
        assert np.asarray(jit(f)(x)).tobytes() == np.asarray(f(x)).tobytes()
