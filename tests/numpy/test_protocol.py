"""NumPy's functions on our arrays, methods, DLPack, dtypes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import scipy.special

import tracejit.numpy as tnp
from tracejit.core.array import Array
from tracejit.core.tracer import Tracer
from tracejit.transforms.stage import evaluate, stage

X = np.arange(12.0).reshape(3, 4) - 4.5


CALLS: dict[str, Any] = {
    "sin": lambda x: np.sin(x),
    "where": lambda x: np.where(x > 0, x, 0.0),
    "sum": lambda x: np.sum(x, axis=0),
    "mean": lambda x: np.mean(x, axis=1, keepdims=True),
    "ndarray on the left": lambda x: X * x,
    "scalar on the left": lambda x: np.float64(2) * x,
    "concatenate": lambda x: np.concatenate([x, X]),
    "roll": lambda x: np.roll(x, 1, axis=0),
    "matmul": lambda x: np.matmul(x, X.T),
    "at": lambda x: X @ x.T,
    "reduce": lambda x: np.add.reduce(x, axis=1),
    "accumulate": lambda x: np.add.accumulate(x),
    "outer": lambda x: np.multiply.outer(x, x[0]),
    "norm": lambda x: np.linalg.norm(x),
    "max": lambda x: np.max(x),
    "clip": lambda x: np.clip(x, -1, 1),
    "einsum": lambda x: np.einsum("ij,ij->i", x, x),
    "pad": lambda x: np.pad(x, 1, mode="edge"),
    "gradient": lambda x: np.gradient(x, axis=0),
    "zeros_like": lambda x: np.zeros_like(x),
    "divmod": lambda x: divmod(x, 2.0)[1],
    "round": lambda x: round(x, 1),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpy_calls_are_recorded(name: str) -> None:
    function = CALLS[name]
    x = tnp.asarray(X)
    program = stage(lambda x: [function(x)], [x.aval])
    (ours,) = evaluate(program, [x])
    expected = np.round(X, 1) if name == "round" else function(X)
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=1e-13)
    assert isinstance(function(x), Array)


def test_out_is_written_for_concrete_arrays() -> None:
    out = np.zeros((3, 4))
    assert np.add(tnp.asarray(X), 1.0, out=out) is out
    np.testing.assert_array_equal(out, X + 1)
    with pytest.raises(TypeError, match="out="):
        stage(lambda x: [np.add(x, 1.0, out=out)], [tnp.asarray(X).aval])
    with pytest.raises(NotImplementedError, match="immutable"):
        tnp.add(X, X, out=out)


def test_what_cannot_be_recorded_says_so() -> None:
    with pytest.raises(TypeError, match=r"numpy.shares_memory .*immutable.*numpy.asarray"):
        np.shares_memory(tnp.asarray(X), tnp.asarray(X))
    with pytest.raises(TypeError, match=r"numpy.isnat"):
        np.isnat(tnp.asarray(X))
    with pytest.raises(NotImplementedError, match=r"immutable.*inplace=False"):
        np.fill_diagonal(tnp.asarray(X), 0.0)
    with pytest.raises(TypeError, match=r"ufunc.at, which writes into its argument"):
        np.add.at(tnp.asarray(X), 0, 1.0)
    with pytest.raises(TypeError, match=r"numpy.copyto .*write x = where"):
        np.copyto(tnp.asarray(X), 1.0)


def test_ufuncs_of_other_libraries_are_evaluated() -> None:
    found = scipy.special.gamma(tnp.asarray(np.abs(X) + 1))
    assert isinstance(found, Array)
    np.testing.assert_array_equal(found, scipy.special.gamma(np.abs(X) + 1))
    with pytest.raises(TypeError, match=r"numpy.gamma does not take"):
        stage(lambda x: scipy.special.gamma(x), [found.aval])


def test_functions_of_numpys_modules_are_found_there() -> None:
    x = tnp.asarray(-1.0)
    assert np.emath.sqrt(x) == 1j
    assert isinstance(np.fft.fft(tnp.asarray(X)), Array)
    np.testing.assert_allclose(np.subtract.reduce(tnp.asarray(X), axis=1), np.subtract.reduce(X, 1))
    np.testing.assert_allclose(np.maximum.accumulate(tnp.asarray(X)), np.maximum.accumulate(X))


def test_methods() -> None:
    x = tnp.asarray(X)
    for name, args in {
        "sum": (), "mean": (0,), "reshape": (4, 3), "astype": (np.float32,), "ravel": (),
        "flatten": (), "transpose": (1, 0), "dot": (X.T,), "max": (1,), "argmax": (), "std": (),
        "cumsum": (1,), "round": (1,), "clip": (-1, 1), "conj": (), "squeeze": (),
        "swapaxes": (0, 1), "take": ([0, 2],), "sort": (), "argsort": (), "item": (3,),
        "tolist": (), "any": (), "prod": (), "var": (), "copy": (), "diagonal": (), "trace": (),
        "repeat": (2,), "nonzero": (), "ptp": (), "tobytes": (),
    }.items():  # fmt: skip
        theirs = getattr(np, name)(X, *args) if name in ("sort", "ptp") else getattr(X, name)(*args)
        ours = getattr(x, name)(*args)
        if isinstance(ours, (float, list, bytes)):
            assert ours == theirs
        else:
            np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-13)
    np.testing.assert_array_equal(np.asarray(x.reshape(-1)), X.reshape(-1))
    np.testing.assert_array_equal(np.asarray(x.reshape((2, -1))), X.reshape(2, -1))
    np.testing.assert_array_equal(np.asarray(x.T), X.T)
    np.testing.assert_array_equal(np.asarray(x.mT), X.T)
    assert x.real is x
    assert x.device == "cpu"
    assert x.block_until_ready() is x
    assert copy.deepcopy(x) is x
    assert [float(v) for v in x[0]] == X[0].tolist()
    assert x.__array_namespace__() is tnp


def test_in_place_operators_rebind() -> None:
    x = y = tnp.asarray(X)
    x += 1
    assert x is not y
    np.testing.assert_array_equal(np.asarray(y), X)
    with pytest.raises(TypeError):
        hash(x)


def test_comparing_with_what_is_no_array() -> None:
    assert (tnp.asarray(1.0) == "a") is False
    with pytest.raises(TypeError):
        tnp.asarray(1.0) + "a"


def test_dlpack() -> None:
    x = tnp.asarray(X)
    view = np.from_dlpack(x)
    np.testing.assert_array_equal(view, X)
    assert view.ctypes.data == x.buf.ctypes.data
    assert not view.flags.writeable
    np.testing.assert_array_equal(np.asarray(tnp.from_dlpack(X)), X)


def test_asarray_copies() -> None:
    source = X.copy()
    x = tnp.asarray(source)
    source[:] = 0
    np.testing.assert_array_equal(np.asarray(x), X)
    assert tnp.asarray(x) is x
    for name in ("positive", "ravel", "transpose", "reshape", "real", "conj"):
        source = X.copy()
        args = ((3, 4),) if name == "reshape" else ()
        made = getattr(tnp, name)(source, *args)
        before = np.array(made)
        source[:] = 0
        np.testing.assert_array_equal(np.asarray(made), before)


def test_lists_of_tracers() -> None:
    def f(x: Tracer) -> list[Any]:
        return [tnp.array([[x[0, 0], 1.0], [x[0, 1], x[1, 1]]])]

    x = tnp.asarray(X)
    (ours,) = evaluate(stage(f, [x.aval]), [x])
    np.testing.assert_array_equal(np.asarray(ours), [[X[0, 0], 1], [X[0, 1], X[1, 1]]])


def test_dtypes() -> None:
    assert tnp.float32(1.5).dtype == np.float32
    assert tnp.float32 == np.dtype("float32")
    assert np.dtype(tnp.float32) == np.float32
    assert tnp.zeros(3, tnp.int8).dtype == tnp.int8
    assert tnp.issubdtype(tnp.float32, tnp.floating)
    assert tnp.issubdtype(tnp.asarray(1).dtype, np.integer)
    assert tnp.finfo(tnp.float32).eps == np.finfo(np.float32).eps
    assert tnp.iinfo("int8").max == 127
    assert tnp.result_type(np.float32, 1.0) == np.float32
    assert tnp.promote_types("int8", "uint8") == np.int16
    assert tnp.zeros(2, tnp.bfloat16).astype(float).dtype == np.float64
    assert (tnp.shape(X), tnp.ndim(X), tnp.size(X)) == ((3, 4), 2, 12)


def test_linalg() -> None:
    rng = np.random.default_rng(0)
    a, b, v = rng.normal(size=(2, 3, 3)), rng.normal(size=(3, 2)), rng.normal(size=3)
    for args in ((a, b), (a[0], v), (a, v)):
        np.testing.assert_allclose(
            np.asarray(tnp.linalg.solve(*args)), np.linalg.solve(*args), rtol=1e-12
        )
    for name in ("inv", "det"):
        ours = getattr(tnp.linalg, name)(a)
        np.testing.assert_allclose(np.asarray(ours), getattr(np.linalg, name)(a), rtol=1e-12)
    for ours, theirs in zip(tnp.linalg.slogdet(a), np.linalg.slogdet(a), strict=True):
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-12)
    for ord_ in (None, 1, 2, 3, 0, np.inf, -np.inf):
        np.testing.assert_allclose(
            np.asarray(tnp.linalg.norm(v, ord_)), np.linalg.norm(v, ord_), rtol=1e-13
        )
    for ord_ in (None, "fro", 1, -1, np.inf, -np.inf):
        ours = tnp.linalg.norm(a, ord_, axis=(1, 2), keepdims=True)
        theirs = np.linalg.norm(a, ord_, axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-13)
    for n in (0, 1, 5, -2):
        np.testing.assert_allclose(
            np.asarray(tnp.linalg.matrix_power(a, n)), np.linalg.matrix_power(a, n), rtol=1e-10
        )
    singular = np.asarray(tnp.linalg.solve(np.zeros((2, 2)), np.ones(2)))
    assert np.isnan(singular).all()


@pytest.mark.parametrize("dtype", ["uint8", "float32", "complex128"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_is_copied_to_where_a_cache_line_begins(dtype: str, order: str) -> None:
    x = np.arange(40_000.0).reshape(200, 200).astype(dtype, order=order)  # type: ignore[call-overload]
    for source in (x, x[1:], x[:, ::-1]):
        made = tnp.asarray(source)
        view = np.asarray(made)
        assert view.ctypes.data % 64 == 0
        assert view.flags.c_contiguous
        np.testing.assert_array_equal(view, source)
        assert not np.shares_memory(view, x)
