"""Devices as users meet them: names, arrays on them, eager operations, jitted functions.

The device is the fake of ``conftest.py``, whose memory the host cannot read unnoticed.
"""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tracejit
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.array import Array, Uncommitted
from tracejit.core.errors import DeviceError, DonatedError, ShapeError
from tracejit.ir.verify import verify
from tracejit.runtime.backends import BackendError
from tracejit.tools.explain import explain

X = np.arange(6.0).reshape(2, 3)


def on_device(x: Any, name: str = "cuda:0") -> bool:
    return x.aval.device == name and type(x.buf).__name__ == "FakeBuffer"


def same(x: Any, y: Any) -> None:
    np.testing.assert_allclose(np.asarray(x), y, rtol=1e-12)


# ------------------------------------------------------------------------------------ names


def test_a_device_equals_its_names() -> None:
    (cpu,) = tracejit.devices("cpu")
    assert cpu == "cpu"
    assert cpu == "cpu:0"
    assert str(cpu) == "cpu:0"
    assert tracejit.Device("cuda", 1) == "cuda:1"
    assert tracejit.Device("cuda") == "cuda"
    assert tracejit.Device("cuda") == "gpu"
    assert tracejit.Device("cuda") != "cuda:1"
    assert cpu != "nonsense!"
    assert cpu != 3
    assert {tracejit.Device("cuda", 1): 7}["cuda:1"] == 7  # type: ignore[index]


@pytest.mark.parametrize("name", ["", "cuda:", "CUDA", "cuda:x", "cpu:1", 3])
def test_what_is_no_name(name: Any) -> None:
    with pytest.raises(DeviceError):
        tnp.zeros(3, device=name)


def test_without_cuda_what_is_missing_is_said(no_cuda: None) -> None:
    assert tracejit.devices() == tracejit.devices("cpu")
    x = np.ones(3)
    for ask in (
        lambda: tracejit.devices("cuda"),
        lambda: tracejit.device("cuda"),
        lambda: tracejit.device_put(x, "cuda"),
        lambda: tnp.asarray(x, device="cuda"),
        lambda: tnp.asarray(x).to_device("cuda"),
        lambda: tracejit.jit(lambda x: x, device="cuda")(x),
        lambda: tracejit.jit(lambda x: x, backend="cuda")(x),
    ):
        with pytest.raises(BackendError, match=r"NVIDIA driver \(libcuda.so.1\)"):
            ask()
    tracejit.jit(lambda x: x, device="cuda")  # a decorator of a module does not raise


def test_devices_are_listed(cuda: Any) -> None:
    assert [str(d) for d in tracejit.devices()] == ["cpu:0", "cuda:0", "cuda:1"]
    assert tracejit.devices("cuda") == ["cuda:0", "cuda:1"]
    with pytest.raises(DeviceError, match="there are cuda:0, cuda:1"):
        tracejit.device_put(X, "cuda:2")


# ----------------------------------------------------------------------------------- arrays


def test_device_put_and_back(cuda: Any) -> None:
    before = tracejit.counters()
    x = tracejit.device_put(X, "cuda:1")
    assert x.device == "cuda:1"
    assert x.device in tracejit.devices()
    assert on_device(x, "cuda:1")
    assert x.to_device("cuda:1") is x
    y = x.to_device("cpu")
    assert y.device == "cpu"
    same(y, X)
    after = tracejit.counters()
    assert after["uploads"] - before["uploads"] == 1
    assert after["downloads"] - before["downloads"] == 1
    tree = tracejit.device_put({"a": X, "b": (1.0, y)}, tracejit.Device("cuda"))
    assert on_device(tree["a"])
    assert on_device(tree["b"][0])
    assert on_device(tree["b"][1])
    assert tracejit.device_put(X).device == "cpu"


def test_reading_on_the_host(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda")
    s = tracejit.device_put(np.float64(1.5), "cuda")
    n = tracejit.device_put(np.int64(3), "cuda")
    before = tracejit.counters()["downloads"]
    assert float(s) == 1.5
    assert int(s) == 1
    assert complex(s) == 1.5
    assert bool(s)
    assert [10, 11, 12, 13][n] == 13
    assert s.item() == 1.5
    assert x.tolist() == X.tolist()
    assert x.tobytes() == X.tobytes()
    assert f"{s:.2f}" == "1.50"
    assert str(s) == "1.5"
    assert repr(s) == "Array(1.5, dtype=float64, device=cuda:0)"
    assert "device=cuda:0" in repr(x)
    assert np.asarray(x, np.float32).dtype == np.float32
    assert tracejit.counters()["downloads"] - before == 13
    assert len(x) == 2
    assert [row.tolist() for row in x] == X.tolist()
    with pytest.raises(ValueError, match="needs a copy"):
        np.asarray(x, copy=False)
    a = np.asarray(x)
    a[:] = 0  # a copy
    same(x, X)
    assert copy.copy(x) is x
    assert copy.deepcopy(x) is x


def test_pickling(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = pickle.dumps(tracejit.device_put(X, "cuda:1"))
    again = pickle.loads(text)
    assert on_device(again, "cuda:1")
    same(again, X)
    from tracejit.runtime import placement

    monkeypatch.setattr(placement, "_found", {})
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    here = pickle.loads(text)  # on a machine without that device
    assert here.device == "cpu"
    same(here, X)


CREATED = {
    "asarray": lambda **d: tnp.asarray(X, **d),
    "array": lambda **d: tnp.array([[0, 1, 2], [3, 4, 5]], float, **d),
    "from a scalar": lambda **d: tnp.asarray(2.0, **d),
    "zeros": lambda **d: tnp.zeros((2, 3), **d),
    "ones": lambda **d: tnp.ones(4, int, **d),
    "empty": lambda **d: tnp.empty((2,), **d),
    "full": lambda **d: tnp.full((2, 2), 7.0, **d),
    "full of an array": lambda **d: tnp.full((2, 3), np.arange(3), **d),
    "arange": lambda **d: tnp.arange(2.0, 8.0, 1.5, **d),
    "arange of complex": lambda **d: tnp.arange(0, 3, 1, complex, **d),
    "linspace": lambda **d: tnp.linspace(0, 1, 7, **d),
    "linspace, step": lambda **d: tnp.linspace(0, 1, 7, retstep=True, **d)[1],
    "eye": lambda **d: tnp.eye(3, k=1, **d),
    "zeros_like": lambda **d: tnp.zeros_like(X, **d),
    "ones_like": lambda **d: tnp.ones_like(X, int, **d),
    "full_like": lambda **d: tnp.full_like(X, 2.5, **d),
    "empty_like": lambda **d: tnp.empty_like(X, **d),
    "from_dlpack": lambda **d: tnp.from_dlpack(X, **d),
}


@pytest.mark.parametrize("name", CREATED)
def test_creation_on_a_device(cuda: Any, name: str) -> None:
    make = CREATED[name]
    expected = make()
    assert expected.device == "cpu"
    assert type(expected) is Array
    found = make(device="cuda:1")
    assert on_device(found, "cuda:1")
    assert type(found) is Array
    same(found, np.asarray(expected))
    assert found.dtype == expected.dtype
    with tracejit.device("cuda"):
        inside = make()
    assert on_device(inside, "cuda:0")
    assert type(inside) is Array
    same(inside, np.asarray(expected))


def test_like_is_on_the_device_of_its_model(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda:1")
    for y in (tnp.zeros_like(x), tnp.full_like(x, 3), tnp.full((2, 3), x)):
        assert on_device(y, "cuda:1")
    with tracejit.device("cuda"):
        assert tnp.ones_like(tnp.asarray(x)).device == "cuda:1"
    assert tnp.zeros_like(x, device="cpu").device == "cpu"


@pytest.mark.parametrize(
    "make",
    [
        lambda: tnp.tri(3), lambda: tnp.indices((2, 2)), lambda: tnp.identity(2),
        lambda: tnp.geomspace(1, 8, 4), lambda: tnp.logspace(0, 2, 3), lambda: tnp.mgrid[0:3],
        lambda: tnp.tril_indices(3)[0], lambda: tnp.frombuffer(b"12345678"),
        lambda: tracejit.random.PRNGKey(0),
        lambda: tracejit.random.normal(tracejit.random.key(0), (3,)),
        lambda: tnp.sin(X), lambda: tnp.concatenate([X, X]), lambda: tnp.float32(2) * np.ones(2),
    ],
)  # fmt: skip
def test_inside_the_context_all_is_made_there(cuda: Any, make: Any) -> None:
    expected = make()
    assert expected.device == "cpu"
    with tracejit.device("cuda:1"):
        found = make()
        assert (found + 0).device == "cuda:1"
    same(found, np.asarray(expected))


def test_the_context_nests_and_decorates(cuda: Any) -> None:
    assert tracejit.default_device() == "cpu"
    with tracejit.device("cuda:1") as outer:
        assert outer == tracejit.default_device() == "cuda:1"
        with tracejit.device("cpu"):
            assert tnp.zeros(1).device == "cpu"
        assert tnp.zeros(1).device == "cuda:1"
        seen = []
        thread = threading.Thread(target=lambda: seen.append(tracejit.default_device()))
        thread.start()
        thread.join()
        assert seen == ["cpu"]  # of this thread alone
    assert tracejit.default_device() == "cpu"

    @tracejit.device("cuda")
    def make(n: int) -> Any:
        return tnp.zeros(1) if n == 0 else make(n - 1)

    assert make(2).device == "cuda:0"


def test_a_decorated_function_may_run_in_several_threads(cuda: Any) -> None:
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    @tracejit.device("cuda:1")
    def inside(enters: threading.Event, waits: threading.Event) -> Any:
        enters.set()
        waits.wait(10)
        return tracejit.default_device()

    def first() -> Any:
        found = inside(first_is_in, second_is_in)
        first_is_out.set()
        return found, tracejit.default_device()

    def second() -> Any:
        first_is_in.wait(10)
        return inside(second_is_in, first_is_out), tracejit.default_device()

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run) for run in (first, second)]
        assert [run.result() for run in both] == [("cuda:1", "cpu")] * 2


# ------------------------------------------------------------------------------------ eager


def test_eager_operations_run_where_their_arrays_are(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda:1")
    before = tracejit.counters()
    for found, expected in (
        (x + 1.0, X + 1.0),
        (2.0 * x, 2.0 * X),
        (x * X, X * X),
        (x - np.float64(2), X - 2),
        (x @ x.T, X @ X.T),
        (tnp.where(X > 2, x, 0.0), np.where(X > 2, X, 0)),
        (tnp.where(np.array([1, 0, 2]), x, 0.0), np.where(np.array([1, 0, 2]), X, 0)),
        (tnp.concatenate([x, X]), np.concatenate([X, X])),
        (tnp.tril(x), np.tril(X)),
        (tnp.argsort(-x, axis=1), np.argsort(-X, axis=1)),
        (tnp.stack([x, x * 2]), np.stack([X, X * 2])),
        (tnp.asarray([[x[0, 1], 5.0], [1.0, x[1, 1]]]), [[1.0, 5.0], [1.0, 4.0]]),
        (x[1], X[1]),
        (x[:, ::-1], X[:, ::-1]),
        (x.at[0, 1].set(9.0), [[0.0, 9.0, 2.0], [3.0, 4.0, 5.0]]),
        (tnp.clip(x, 1, 4), np.clip(X, 1, 4)),
        (tnp.isnan(x.astype(int)), np.isnan(X)),
        (tnp.imag(x), np.imag(X)),
        (x.sum(), X.sum()),
        (tnp.interp(x, np.arange(3.0), np.arange(3.0) ** 2), np.interp(X, [0, 1, 2], [0, 1, 4])),
        (tnp.linalg.inv(x[:, :2] + np.eye(2)), np.linalg.inv(X[:, :2] + np.eye(2))),
        (np.sin(x), np.sin(X)),
        (tnp.cumsum(x, 1), np.cumsum(X, 1)),
    ):
        assert on_device(found, "cuda:1")
        assert type(found) is Array
        assert found.dtype == np.asarray(expected).dtype
        downloads = tracejit.counters()["downloads"]
        same(found, expected)
        assert tracejit.counters()["downloads"] == downloads + 1
    assert set(cuda.evaluated) == {1}
    # The scan alone: the array library's sums of floats differ from run to run.
    assert tracejit.counters()["eager_compiled"] == before["eager_compiled"] + 1


def test_nothing_is_read_unless_it_must(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda")
    i = tracejit.device_put(np.array([1, 0]), "cuda")
    before = tracejit.counters()["downloads"]
    found = [x[i], x[:, i[0]], x.at[i].add(1.0), tnp.take_along_axis(x, i[:, None], 1), -x, x > 2]
    assert tracejit.counters()["downloads"] == before
    same(found[0], X[[1, 0]])
    same(found[1], X[:, 1])
    same(found[3], np.take_along_axis(X, np.array([[1], [0]]), 1))
    # How many elements a mask chooses is the shape of the result.
    mask = x > 2
    for y, expected in ((x[mask], X[X > 2]), (tnp.nonzero(x)[1], np.nonzero(X)[1])):
        assert y.device == "cuda"
        same(y, expected)
    assert tnp.unique(x).device == "cuda"


def test_constants_of_the_library_are_made_on_the_device(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda")
    for _ in range(2):  # the first uploads scalars
        before = tracejit.counters()
        same(tnp.tril(x), np.tril(X))
        same(tnp.argsort(x, 1), np.argsort(X, 1))
        same(tracejit.grad(lambda v: (v[0] * v[1]).sum())(x), X[::-1])
        after = tracejit.counters()
    assert after["uploads"] == before["uploads"]
    mask = tnp.isnan(np.int64(3))  # of no array at all
    assert not mask
    assert (mask | mask).item() is False
    y = lax.full((1,), 0.0)
    for _ in range(2000):  # is not put off for ever
        y = y + 1.0
    assert y == 2000.0
    assert pickle.loads(pickle.dumps(y + 1.0)) == 2001.0
    same(tracejit.jit(lambda v: v + (y + 3.0))(x), X + 2003)
    same(tracejit.jit(lambda v, w: v + w)(x, y + 3.0), X + 2003)


def test_scalars_are_uploaded_once(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda")
    x * 3.25
    before = tracejit.counters()["uploads"]
    for _ in range(3):
        x * 3.25
    assert tracejit.counters()["uploads"] == before
    same(x * 3.5, X * 3.5)
    same(x.astype(tnp.float32) * 3.25, X * 3.25)


def test_arrays_on_two_devices_raise(cuda: Any) -> None:
    here, there, far = tnp.asarray(X), tracejit.device_put(X, "cuda"), tnp.ones(3, device="cuda:1")
    with pytest.raises(DeviceError) as caught:
        here + there
    assert "add: arrays must be on one device; got arrays on cpu:0 and cuda:0" in str(caught.value)
    assert 'x.to_device("cuda:0")' in str(caught.value)
    assert "here + there" in str(caught.value)  # the user's line
    with pytest.raises(DeviceError, match="cuda:0 and cuda:1"):
        there * far
    with pytest.raises(DeviceError, match=r"concatenate.*cuda:0 and cpu:0"):
        tnp.concatenate([there, here])
    with pytest.raises(DeviceError):
        there + tnp.zeros(3)
    same(here.to_device("cuda") + there, 2 * X)


def test_what_nobody_placed_follows(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda:1")
    y = tnp.sin(X)
    assert isinstance(y, Uncommitted)
    assert (x + y).device == (y + x).device == "cuda:1"
    with tracejit.device("cuda"):
        z = tnp.sin(X)
        assert (x + z).device == "cuda:1"
        assert (tnp.asarray(1.0, device="cpu") + z).device == "cpu"
        same(tnp.tril(tnp.asarray(X, device="cpu")), np.tril(X))
    assert (z + 1.0).device == "cuda:0"  # stays
    key = tracejit.random.key(3)
    assert (x + tracejit.random.normal(key, (2, 3))).device == "cuda:1"


def test_what_the_array_library_lacks_is_compiled(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda")
    cuda.lacking = {"sin", "matmul"}
    before = tracejit.counters()
    same(tnp.sin(x), np.sin(X))
    found = x @ x.T
    assert on_device(found)
    same(found, X @ X.T)
    same(tnp.sin(x), np.sin(X))
    after = tracejit.counters()
    assert after["eager_compiled"] - before["eager_compiled"] == 3
    assert cuda.compiled == 2
    assert len(cuda.evaluated) == 3  # sin once, transpose, matmul


def test_errors_of_operations_are_not_compiled(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda")
    with pytest.raises(ValueError, match="shapes must be equal"):
        x + np.ones(2)


    def refuse(*args: Any) -> Any:
        raise ShapeError("no")

    cuda.evaluate = refuse
    with pytest.raises(ShapeError, match="no"):
        x + 1.0
    assert cuda.compiled == 0


def test_loops_and_branches_run_where_their_arrays_are(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda")
    found = lax.fori_loop(0, 3, lambda i, v: v * 2.0 + X, x)
    assert on_device(found)
    same(found, 8 * X + 7 * X)
    found = lax.cond(True, lambda v: v + 1, lambda v: v - 1, x)
    assert on_device(found)
    carry, ys = lax.scan(lambda c, row: (c + row, c), np.zeros(3), x)
    assert on_device(carry)
    assert on_device(ys)
    same(carry, X.sum(0))
    with pytest.raises(DeviceError, match="arrays must be on one device"):
        lax.scan(lambda c, row: (c + row, c), tnp.zeros(3), x)


def test_waiting(cuda: Any) -> None:
    x, y = tracejit.device_put(X, "cuda"), tracejit.device_put(X, "cuda:1")
    assert x.block_until_ready() is x
    assert cuda.waited == [0]
    tracejit.block_until_ready({"a": x, "b": [x, y, tnp.ones(1), 3.0]})
    assert sorted(cuda.waited) == [0, 0, 1]


# --------------------------------------------------------------------------- transformations


def test_derivatives_stay_on_the_device(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda:1")

    def f(x: Any) -> Any:
        return (tnp.sin(x) * x.at[0].set(2.0)).sum() + tnp.max(tnp.zeros_like(x) + x)

    value, gradient = tracejit.value_and_grad(f)(x)
    assert on_device(gradient, "cuda:1")
    assert on_device(value, "cuda:1")
    want = tracejit.grad(f)(tnp.asarray(X))
    assert want.device == "cpu"
    same(gradient, np.asarray(want))
    _, tangent = tracejit.jvp(f, (x,), (tnp.ones_like(x),))
    assert tangent.device == "cuda:1"
    same(tangent, np.asarray(want).sum())
    rows = tracejit.vmap(lambda row: tnp.sort(row)[::-1] + row.device.id)(x)
    assert on_device(rows, "cuda:1")
    same(rows, np.sort(X)[:, ::-1] + 1)
    hessian = tracejit.hessian(lambda v: (v * v * v).sum())(x[0])
    assert on_device(hessian, "cuda:1")
    same(hessian, np.diag(6 * X[0]))


def test_derivatives_flow_through_a_move(cuda: Any) -> None:
    def f(x: Any) -> Any:
        assert x.device == "cpu"
        y = x.to_device("cuda")
        assert y.device == "cuda"
        return tnp.sum(tracejit.device_put(y * y, "cuda:1") * tnp.asarray(X, device="cuda:1"))

    x = tnp.asarray(X)
    gradient = tracejit.grad(f)(x)
    assert gradient.device == "cpu"
    same(gradient, 2 * X * X)
    _, tangent = tracejit.jvp(f, (x,), (tnp.ones_like(x),))
    assert tangent.device == "cuda:1"
    same(tangent, (2 * X * X).sum())
    moved = tracejit.vmap(lambda row: row.to_device("cuda") + 1.0)(x)
    assert on_device(moved)
    same(moved, X + 1)


# -------------------------------------------------------------------------------------- jit


def test_jit_runs_where_its_arguments_are(cuda: Any) -> None:
    f = tracejit.jit(lambda x, y: (x * 2.0 + y, {"s": tnp.sum(x)}))
    for name in ("cpu", "cuda", "cuda:1", "cpu", "cuda"):
        x = tracejit.device_put(X, name)
        for y in (1.5, np.ones(3), tnp.sin(X), x):
            for _ in range(3):  # the last calls take the fast path
                out, rest = f(x, y)
                assert out.device == rest["s"].device == name
                same(out, X * 2 + np.asarray(y))
                same(rest["s"], X.sum())
    assert len(f._fast) > 0


def test_without_placed_arrays_it_runs_on_the_default_device(cuda: Any) -> None:
    f = tracejit.jit(lambda x: x + 1.0)
    for x in (X, 2.0, tnp.sin(X)):
        for _ in range(2):
            assert f(x).device == "cpu"
            with tracejit.device("cuda:1"):
                assert f(x).device == "cuda:1"
                assert f(tnp.asarray(X, device="cpu")).device == "cpu"
    with tracejit.device("cuda"):
        z = tnp.sin(X)
    assert f(z).device == "cuda:0"


def test_jit_for_a_device_uploads(cuda: Any) -> None:
    ways = ({"device": "cuda"}, {"device": tracejit.devices("cuda")[0]}, {"backend": "cuda"})
    for n, how in zip((2.5, 3.5, 4.5), ways, strict=True):
        f = tracejit.jit(lambda x, n: x * n, **how)
        before = tracejit.counters()["uploads"]
        for _ in range(3):
            y = f(X, n)
            assert on_device(y)
            same(y, X * n)
        assert tracejit.counters()["uploads"] - before == 3 + 1  # the scalar once
        same(f(tnp.asarray(X), 2.0), X * 2)
        before = tracejit.counters()["uploads"]
        same(f(y, y), (X * n) ** 2)
        assert tracejit.counters()["uploads"] == before
        with pytest.raises(DeviceError, match=r"runs on cuda:0, but argument \[0\] is on cuda:1"):
            f(tracejit.device_put(X, "cuda:1"), 1.0)
    host = tracejit.jit(lambda d: d["a"] + 1, device="cpu")
    assert host({"a": X}).device == "cpu"
    with tracejit.device("cuda"):
        assert host({"a": X}).device == "cpu"
    with pytest.raises(DeviceError, match=r"runs on cpu:0, but argument \[0\]\['a'\] is on cuda:0"):
        host({"a": y})


def test_jit_of_mixed_arguments_names_them(cuda: Any) -> None:
    def step(state: Any, dt: Any) -> Any:
        return state["u"] * dt

    f = tracejit.jit(step)
    u = tracejit.device_put(X, "cuda")
    with pytest.raises(DeviceError, match=r"step has argument \[0\]\['u'\] on cuda:0, but argument "
                       r"\[1\] is on cpu:0(.|\n)*device_put"):  # fmt: skip
        f({"u": u}, tnp.asarray(0.5))
    same(f({"u": u}, 0.5), X / 2)


def test_foreign_arguments(cuda: Any, foreign: Any) -> None:
    f = tracejit.jit(lambda t: t["x"] + 1.0)
    x = foreign(X.copy(), 1)
    before = tracejit.counters()
    y = f({"x": x})
    assert on_device(y, "cuda:1")
    same(y, X + 1)
    assert tracejit.counters()["uploads"] == before["uploads"]
    compiled = f.lower({"x": x}).compile()
    same(compiled({"x": x}), X + 1)


def test_adopting(cuda: Any, foreign: Any) -> None:
    x = foreign(X.copy())
    before = tracejit.counters()
    for y in (tnp.asarray(x), tnp.from_dlpack(x)):
        assert on_device(y)
    assert tracejit.counters()["uploads"] == before["uploads"]
    assert tnp.asarray(x).buf is x.buffer
    assert tnp.from_dlpack(x).buf is x.buffer
    assert tnp.array(x).buf is not x.buffer
    assert tnp.asarray(x, copy=True).buf is not x.buffer
    gradient = tracejit.grad(lambda v: (v * v).sum())(x)
    assert on_device(gradient)
    same(gradient, 2 * X)
    same(tracejit.vmap(lambda row: row.sum())(x), X.sum(1))
    same(tracejit.jit(lambda v: v + x)(x), 2 * X)
    z = tnp.asarray(X, device="cuda")
    same(z + x, 2 * X)
    same(x + z, 2 * X)
    same(tnp.multiply(x, x), X * X)
    same(z[foreign(np.array([1]))], X[[1]])
    assert tnp.asarray(x, device="cpu").device == "cpu"
    far = tnp.asarray(x, device="cuda:1")
    assert on_device(far, "cuda:1")
    assert tnp.from_dlpack(x, copy=True).buf is not x.buffer
    with pytest.raises(BufferError, match="copy"):
        tnp.from_dlpack(x, device="cuda:1", copy=False)
    with pytest.raises(TypeError, match="float128"):
        tnp.asarray(foreign(np.zeros(2, np.longdouble)))


def test_constants_of_closures(cuda: Any) -> None:
    w = tracejit.device_put(X, "cuda")
    grid = tnp.asarray(X * 10)
    f = tracejit.jit(lambda x: x + w)
    before = tracejit.counters()
    same(f(w), 2 * X)
    assert f(1.0).device == "cuda:0"  # as x + w does eagerly
    same(f(X), 2 * X)
    assert tracejit.counters()["downloads"] - before["downloads"] == 2  # of the results
    with pytest.raises(DeviceError, match="captured an array on cuda:0"):
        f(tnp.asarray(X))
    g = tracejit.jit(lambda x: x * grid, device="cuda")
    before = tracejit.counters()["uploads"]
    for _ in range(3):
        same(g(w), X * X * 10)
    assert tracejit.counters()["uploads"] - before == 1
    same(tracejit.grad(lambda x: g(x).sum())(w), X * 10)
    scalar = tracejit.device_put(np.float64(3), "cuda")
    same(tracejit.jit(lambda x: x * scalar)(w), X * 3)


def test_jit_within_transformations(cuda: Any) -> None:
    f = tracejit.jit(lambda x: tnp.sum(x**3), device="cuda")
    gradient = tracejit.grad(f)(X)
    same(gradient, 3 * X**2)
    gradient = tracejit.grad(f)(tnp.asarray(X))
    assert gradient.device == "cpu"  # where its argument is
    same(gradient, 3 * X**2)
    rows = tracejit.vmap(f)(tracejit.device_put(X, "cuda"))
    assert on_device(rows)
    same(rows, (X**3).sum(1))
    outer = tracejit.jit(lambda x: f(x) + 1.0, device="cuda")
    same(outer(X), (X**3).sum() + 1)
    with pytest.raises(DeviceError, match="what is traced runs on one device"):
        tracejit.jit(lambda x: f(x) + 1.0)(tnp.asarray(X))
    same(tracejit.jit(tracejit.grad(f), device="cuda")(X), 3 * X**2)

    def times(x: Any) -> Any:
        two = f(np.ones(2))
        assert two.device == "cuda"
        return (x * two).sum()

    same(tracejit.grad(times)(tnp.sin(X)), np.full((2, 3), 2.0))


def test_traced_arrays_know_their_device(cuda: Any) -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append(x.device)
        assert tracejit.default_device() == x.device
        y = tnp.zeros(3, device=x.device) + tnp.asarray(np.ones(3), device=x.device)
        return x.to_device(x.device) + y

    for name in ("cpu", "cuda:1"):
        out = tracejit.jit(f)(tracejit.device_put(X, name))
        assert out.device == name
        same(out, X + 1)
    assert seen == ["cpu", "cuda:1"]
    with pytest.raises(DeviceError, match="what is traced"):
        tracejit.jit(lambda x: x.to_device("cuda"))(tnp.asarray(X))
    far = tracejit.device_put(X, "cuda:1")
    program = tracejit.make_program(lambda x: lax.fori_loop(0, 2, lambda i, v: v + far, x))(far)
    assert "@" not in str(program)
    verify(program)


def test_donation(cuda: Any, foreign: Any) -> None:
    f = tracejit.jit(lambda x: x + 1.0, donate_argnums=0)
    x = tracejit.device_put(X, "cuda") * 1.0
    number = id(x.buf)
    y = f(x)
    assert id(y.buf) == number
    same(y, X + 1)
    with pytest.raises(DonatedError, match="donated to <lambda>"):
        x + 1
    view = y[:1]  # shares the memory
    z = f(y)
    assert z.buf is not y.buf
    same(y, X + 1)
    same(view, X[:1] + 1)
    f(view)
    same(y, X + 1)
    adopted = tnp.asarray(foreign(X.copy()))
    same(f(adopted), X + 1)
    same(adopted, X)
    shown = tracejit.device_put(X, "cuda")
    shown.__cuda_array_interface__
    f(shown)
    same(shown, X)
    host = tnp.asarray(X)
    g = tracejit.jit(lambda x: x + 1.0, donate_argnums=0, device="cuda")
    same(g(host), X + 1)
    same(host, X)
    same(g(X), X + 1)
    same(X, np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("name", ["cpu", "cuda"])
@pytest.mark.parametrize("placed", [True, False])
def test_what_was_donated_is_gone(cuda: Any, name: str, placed: bool) -> None:
    def new() -> Any:
        with tracejit.device(name):
            return tnp.asarray(X) if placed else tnp.sin(X)

    give = tracejit.jit(lambda x: x + 1.0, donate_argnums=0, device=name)
    ready = tracejit.jit(lambda x: x * 2.0)
    for _ in range(3):
        ready(new())  # writes the fast path
    fixed = tracejit.jit(lambda x: x * 2.0, device=name)
    compiled = fixed.lower(X).compile()
    x = new()
    assert type(x) is (Array if placed else Uncommitted)
    give(x)
    assert x.shape == (2, 3)
    for use in (
        lambda: ready(x), lambda: fixed(x), lambda: compiled(x), lambda: give(x),
        lambda: tracejit.jit(lambda v: v + x)(1.0), lambda: x + 1.0, lambda: tnp.sum(x),
        lambda: np.asarray(x), lambda: repr(x), lambda: pickle.dumps(x),
        lambda: x.to_device("cuda:1"), lambda: tracejit.grad(lambda v: v.sum())(x),
        lambda: x.__dlpack__(), lambda: x.__dlpack_device__(), lambda: x.block_until_ready(),
        lambda: x.__cuda_array_interface__, lambda: lax.fori_loop(0, 2, lambda i, v: v + x, X),
    ):  # fmt: skip
        with pytest.raises(DonatedError, match="donated to <lambda>"):
            use()


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_donation_ahead_of_time(cuda: Any, name: str) -> None:
    f = tracejit.jit(lambda x: x + 1.0, donate_argnums=0, device=name)
    compiled = f.lower(X).compile()
    x = tracejit.device_put(X, name) * 1.0
    view = x[:1]
    same(compiled(x), X + 1)
    same(x, X)
    same(view, X[:1])
    del view
    kept = X.copy()
    same(compiled(kept), X + 1)
    same(kept, X)
    y = x * 1.0
    same(compiled(y), X + 1)
    with pytest.raises(DonatedError):
        y + 1.0


def test_ahead_of_time(cuda: Any) -> None:
    f = tracejit.jit(lambda x: tnp.sin(x) * 2, device="cuda:1")
    lowered = f.lower(tracejit.ShapeDtypeStruct((2, 3), float))
    compiled = lowered.compile()
    assert compiled.text() == lowered.text("cuda") == "cuda of <lambda>"
    y = compiled(X)
    assert on_device(y, "cuda:1")
    same(y, np.sin(X) * 2)
    with pytest.raises(DeviceError, match="compiled for cuda:1"):
        compiled(tracejit.device_put(X, "cuda"))
    assert f.eval_shape(y).shape == (2, 3)
    report = explain(f)(X)
    assert report.kernels == 1
    here = tracejit.jit(lambda x: x + 1).lower(X).compile()
    with pytest.raises(DeviceError, match="compiled for cpu:0"):
        here(y)


# --------------------------------------------------------------------------------- exchange


def test_dlpack_out(cuda: Any) -> None:
    x = tracejit.device_put(X, "cuda:1")
    assert x.__dlpack_device__() == (2, 1)
    assert x.__dlpack__(stream=7, max_version=(1, 0)) == (
        "capsule", x.buf, {"stream": 7, "max_version": (1, 0)}
    )  # fmt: skip
    _, buffer, how = x.__dlpack__(copy=True, dl_device=(2, 1))
    assert buffer is not x.buf
    assert how == {}
    assert not np.shares_memory(buffer.elements, x.buf.elements)
    with pytest.raises(BufferError):
        x.__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError):
        x.__dlpack__(dl_device=(1, 0), copy=False)
    assert x.__dlpack__(dl_device=(1, 0)) is not None
    assert x.__cuda_array_interface__["shape"] == (2, 3)
    assert not hasattr(tnp.asarray(X), "__cuda_array_interface__")
    assert tnp.asarray(X).__dlpack_device__() == (1, 0)


def test_counters_are_of_all_backends(cuda: Any) -> None:
    before = tracejit.counters()["compiled"]
    f = tracejit.jit(lambda x: x * 1.25 - 3)
    f(tracejit.device_put(X, "cuda"))
    assert tracejit.counters()["compiled"] == before + 1


def test_memory_is_given_back_everywhere(cuda: Any) -> None:
    assert not cuda.released
    tracejit.release_memory()
    assert cuda.released
