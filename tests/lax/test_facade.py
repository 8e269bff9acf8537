"""The facade: JAX's names and arguments, equal dtypes, weak scalars; JAX is the oracle if there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

import tracejit.runtime  # noqa: F401 (installs the eager interpreter)
from tracejit import lax
from tracejit.core.errors import DTypeError, ShapeError, StructureError
from tracejit.core.tracer import get_aval
from tracejit.transforms.api import grad, vmap

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4))
Y = RNG.normal(size=(2, 3, 4))
N = RNG.integers(-9, 9, (2, 3, 4))


def same(found: Any, wanted: Any) -> None:
    found = np.asarray(found)
    wanted = np.asarray(wanted)
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


BINARY = [
    ("add", np.add, X, Y),
    ("sub", np.subtract, X, Y),
    ("mul", np.multiply, X, Y),
    ("div", np.divide, X, Y),
    ("rem", np.fmod, X, Y),
    ("rem", np.fmod, N, np.full_like(N, 4)),
    ("div", lambda x, y: np.trunc(x / y).astype(int), N, np.full_like(N, 4)),
    ("max", np.maximum, X, Y),
    ("min", np.minimum, X, Y),
    ("atan2", np.arctan2, X, Y),
    ("igamma", scipy.special.gammainc, abs(X), abs(Y)),
    ("igammac", scipy.special.gammaincc, abs(X), abs(Y)),
    ("zeta", scipy.special.zeta, abs(X) + 1.5, abs(Y)),
    ("polygamma", scipy.special.polygamma, abs(N) * 1.0, abs(Y) + 0.1),
    ("nextafter", np.nextafter, X, Y),
    ("pow", np.power, abs(X), Y),
    ("pow", lambda x, n: x ** n.astype(float), X, N),
    ("complex", lambda x, y: x + 1j * y, X, Y),
    ("eq", np.equal, N, N[::-1]),
    ("ne", np.not_equal, N, N[::-1]),
    ("lt", np.less, X, Y),
    ("le", np.less_equal, X, Y),
    ("gt", np.greater, X, Y),
    ("ge", np.greater_equal, X, Y),
    ("bitwise_and", np.bitwise_and, N, N[::-1]),
    ("bitwise_or", np.bitwise_or, N, N[::-1]),
    ("bitwise_xor", np.bitwise_xor, N, N[::-1]),
    ("shift_left", np.left_shift, N, abs(N)),
    ("shift_right_arithmetic", np.right_shift, N, abs(N)),
]


@pytest.mark.parametrize(("name", "oracle", "x", "y"), BINARY)
def test_binary(name: str, oracle: Any, x: Any, y: Any) -> None:
    same(getattr(lax, name)(x, y), oracle(x, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_python_scalars_take_the_dtype_of_what_they_meet(dtype: Any) -> None:
    x = np.array([3, 4], dtype)
    for found in (lax.add(x, 2), lax.add(2, x), lax.max(x, 2), lax.clamp(0, x, 9),
                  lax.select(x == 3, x, 1), lax.rem(x, 2), lax.pow(x, 2)):  # fmt: skip
        assert found.dtype == dtype
    assert get_aval(lax.add(1, 2)).weak
    assert float(lax.pow(2.0, 3)) == 8.0


def test_equal_dtypes_are_demanded() -> None:
    with pytest.raises(DTypeError, match=r"float32.*float64|float64.*float32"):
        lax.add(np.float32(1), np.float64(1))
    with pytest.raises(DTypeError, match=r"mul: .* one dtype; got i64\[3\], ~f64"):
        lax.mul(np.arange(3), 0.5)


def test_round_and_reciprocal() -> None:
    x = np.array([-2.5, -1.5, -0.5, -0.0, 0.5 - 2**-54, 0.5, 1.5, 2.4, np.inf, np.nan, 1e99])
    away = np.array([-3, -2, -1, 0, 0, 1, 2, 2, np.inf, np.nan, 1e99])
    same(lax.round(x), away)
    same(lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), np.round(x))
    same(lax.reciprocal(np.array([2.0, 4.0])), [0.5, 0.25])


def test_select_n() -> None:
    which = np.array([2, 0, 1, 2])
    same(lax.select_n(which, np.zeros(4), np.ones(4), 2.0), [2.0, 0, 1, 2])
    same(lax.select_n(which > 0, np.zeros(4), np.ones(4)), [1.0, 0, 1, 1])
    with pytest.raises(StructureError, match="at most two for a bool; got 3"):
        lax.select_n(True, 1, 2, 3)


SHAPES = [
    (lambda: lax.reshape(X, (4, 6)), X.reshape(4, 6)),
    (lambda: lax.reshape(X, (4, 6), (2, 0, 1)), X.transpose(2, 0, 1).reshape(4, 6)),
    (lambda: lax.transpose(X, (2, 0, 1)), X.transpose(2, 0, 1)),
    (lambda: lax.broadcast(X[0], (5, 2)), np.broadcast_to(X[0], (5, 2, 3, 4))),
    (lambda: lax.broadcast_in_dim(X[0], (3, 2, 4), (0, 2)), np.stack([X[0]] * 2, 1)),
    (lambda: lax.squeeze(X[:, :1], (-2,)), X[:, 0]),
    (lambda: lax.expand_dims(X, (0, -1, 2)), X[None, :, None, :, :, None]),
    (lambda: lax.collapse(X, 1, 3), X.reshape(2, 12)),
    (lambda: lax.collapse(X, 0, -1), X.reshape(6, 4)),
    (lambda: lax.concatenate([X, Y], -1), np.concatenate([X, Y], -1)),
    (lambda: lax.split(X, [1, 3], axis=-1)[1], X[..., 1:]),
    (lambda: lax.pad(X[0, 0], 7, [(1, 2, 1)]),
     np.insert(np.insert(X[0, 0], [1, 2, 3], 7), [0, 7, 7], 7)),
    (lambda: lax.rev(X, (0, -1)), X[::-1, :, ::-1]),
    (lambda: lax.slice(X, (0, 1, 0), (2, 3, 4), (1, 1, 3)), X[:, 1:3, ::3]),
    (lambda: lax.slice_in_dim(X, 1, -1, axis=2), X[:, :, 1:-1]),
    (lambda: lax.slice_in_dim(X, None, None, 2, axis=1), X[:, ::2]),
    (lambda: lax.index_in_dim(X, -1, 1), X[:, -1:]),
    (lambda: lax.index_in_dim(X, 1, -1, keepdims=False), X[..., 1]),
    (lambda: lax.tile(X, (2, 1, 3)), np.tile(X, (2, 1, 3))),
    (lambda: lax.full((2, 3), 1, np.float32), np.ones((2, 3), np.float32)),
    (lambda: lax.full_like(X, 2), np.full_like(X, 2)),
    (lambda: lax.full_like(X, 2, np.int32, shape=(2,)), np.full(2, 2, np.int32)),
    (lambda: lax.iota(np.float32, 3), np.arange(3, dtype=np.float32)),
    (lambda: lax.broadcasted_iota(int, (2, 3), 1), np.broadcast_to(np.arange(3), (2, 3))),
    (lambda: lax.broadcast_to_rank(X, 5), X[None, None]),
    (lambda: lax.convert_element_type(X, np.float32), X.astype(np.float32)),
    (lambda: lax.bitcast_convert_type(X, np.int64), X.view(np.int64)),
    (lambda: lax.reduce_sum(X, (0, -1)), X.sum((0, 2))),
    (lambda: lax.reduce_max(X, (1,)), X.max(1)),
    (lambda: lax.argmax(X, -1, np.int32), X.argmax(-1).astype(np.int32)),
    (lambda: lax.argmin(X, axis=0), X.argmin(0)),
    (lambda: lax.cumsum(X, 1), X.cumsum(1)),
    (lambda: lax.cumprod(X, axis=-1, reverse=True), X[..., ::-1].cumprod(-1)[..., ::-1]),
    (lambda: lax.cummax(X), np.maximum.accumulate(X, 0)),
    (lambda: lax.sort(X), np.sort(X)),
    (lambda: lax.sort(X, 0), np.sort(X, 0)),
    (lambda: lax.sort_key_val(X, Y, 1)[1], np.take_along_axis(Y, X.argsort(1), 1)),
    (lambda: lax.top_k(X, 2)[0], np.sort(X)[..., ::-1][..., :2]),
    (lambda: lax.top_k(X, 2, axis=0)[0], np.sort(X, 0)[::-1][:2]),
    (lambda: lax.top_k(X, 1, axis=-2)[1], np.argmax(X, -2)[..., None, :].astype(np.int32)),
    (lambda: lax.dynamic_slice_in_dim(X, -1, 1, allow_negative_indices=False), X[:1]),
    (lambda: lax.dynamic_slice_in_dim(X, -1, 1), X[-1:]),
    (lambda: lax.dot(X[0], X[1].T), X[0] @ X[1].T),
    (lambda: lax.dot(X[0, 0], X[1].T), X[0, 0] @ X[1].T),
    (lambda: lax.batch_matmul(X, Y.transpose(0, 2, 1)), X @ Y.transpose(0, 2, 1)),
    (lambda: lax.dot_general(X, Y, (((1, 2), (1, 2)), ((0,), (0,)))), (X * Y).sum((1, 2))),
]  # fmt: skip


@pytest.mark.parametrize(("found", "wanted"), SHAPES)
def test_structural(found: Any, wanted: Any) -> None:
    same(found(), wanted)


def test_broadcast_shapes() -> None:
    assert lax.broadcast_shapes((2, 1, 4), (3, 1), ()) == (2, 3, 4)
    assert lax.broadcast_shapes((0, 1), (1, 5)) == (0, 5)
    assert lax.broadcast_shapes() == ()
    with pytest.raises(ShapeError, match=r"\(2,\), \(3,\)"):
        lax.broadcast_shapes((2,), (3,))


@pytest.mark.parametrize("at", [-7, -4, -1, 0, 1, 3, 9])
@pytest.mark.parametrize("kind", [int, np.int32])
def test_dynamic_windows_count_from_the_end_and_are_clamped(at: int, kind: Any) -> None:
    start = min(max(at + 4 if at < 0 else at, 0), 2)
    i = kind(at)
    same(lax.dynamic_slice_in_dim(X, i, 2, -1), X[..., start : start + 2])
    same(lax.dynamic_slice(X, (0, 0, i), (2, 3, 2)), X[..., start : start + 2])
    same(lax.dynamic_slice(X, np.array([0, 0, at]), (2, 3, 2)), X[..., start : start + 2])
    wanted = X.copy()
    wanted[..., start : start + 2] = Y[..., :2]
    same(lax.dynamic_update_slice_in_dim(X, Y[..., :2], i, -1), wanted)
    one = min(max(at + 4 if at < 0 else at, 0), 3)
    same(lax.dynamic_index_in_dim(X, i, 2, keepdims=False), X[..., one])
    same(lax.dynamic_index_in_dim(X, i, 2), X[..., one : one + 1])
    wanted = X.copy()
    wanted[..., one] = Y[..., 0]
    same(lax.dynamic_update_index_in_dim(X, Y[..., 0], i, 2), wanted)
    same(lax.dynamic_update_index_in_dim(X, Y[..., :1], i, 2), wanted)


def test_dynamic_windows_of_every_lane() -> None:
    found = vmap(lambda x, i: lax.dynamic_slice_in_dim(x, i, 2, 1))(X, np.array([-1, 1]))
    same(found, np.stack([X[0, :, 2:], X[1, :, 1:3]]))
    slope = grad(lambda x: lax.reduce_sum(lax.dynamic_slice_in_dim(x, -1, 2, 0), (0,)))(np.ones(4))
    same(slope, [0.0, 0, 1, 1])


ERRORS = [
    (lambda: lax.squeeze(X, (3,)), "squeeze: axis 3 is out of range for rank 3"),
    (lambda: lax.reduce_sum(X, (0, -3)), r"reduce_sum: each axis once; got \(0, -3\)"),
    (lambda: lax.concatenate([], 0), "at least one operand"),
    (lambda: lax.split(X, [1, 1], 2), "split: sizes must sum to 4"),
    (lambda: lax.dot(X, X), "dot: vectors and matrices"),
    (lambda: lax.dynamic_slice(X, (0, 0), (1, 1, 1)), "one start for each axis"),
    (lambda: lax.dynamic_update_index_in_dim(X, X[0, 0], 0, 0), "an update for one index"),
    (lambda: lax.index_in_dim(X, 4, 2), "4 is out of range"),
    (lambda: lax.full((2,), X), "fill_value must be a scalar"),
    (lambda: lax.tile(X, (2,)), "one number for each axis"),
]


@pytest.mark.parametrize(("run", "message"), ERRORS)
def test_errors(run: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        run()


GATHERS = [
    # operand, indices, offset, collapsed, start map, operand batch, index batch, sizes
    ((5, 6), (3, 1), (1,), (0,), (0,), (), (), (1, 6)),
    ((5, 6), (3, 1), (0,), (0,), (0,), (), (), (1, 6)),
    ((5, 6), (3, 4, 2), (), (0, 1), (1, 0), (), (), (1, 1)),
    ((5, 6, 7), (3, 4, 2), (0, 3), (1,), (2, 0), (), (), (2, 1, 3)),
    ((5, 4, 7), (3, 4, 1), (1,), (0,), (0,), (1,), (1,), (1, 1, 2)),
    ((4, 5, 3), (3, 2, 1), (1,), (0,), (0,), (2,), (0,), (1, 2, 1)),
    ((4, 5, 3), (3, 2, 4, 1), (0,), (), (1,), (0, 2), (2, 0), (1, 2, 1)),
]


@pytest.mark.parametrize("row", GATHERS)
@pytest.mark.parametrize("mode", ["clip", "fill"])
def test_gather_and_scatter_are_those_of_jax(row: Any, mode: str) -> None:
    jax = pytest.importorskip("jax")
    shape, ishape, offset, collapsed, where, batch_x, batch_i, sizes = row
    x = RNG.integers(0, 1000, shape).astype(np.int32)
    i = RNG.integers(-1, 7, ishape).astype(np.int32)
    dims = (offset, collapsed, where, batch_x, batch_i)
    wanted = jax.lax.gather(x, i, jax.lax.GatherDimensionNumbers(*dims), sizes, mode=mode)
    same(lax.gather(x, i, lax.GatherDimensionNumbers(*dims), sizes, mode=mode), wanted)
    u = RNG.integers(0, 1000, wanted.shape).astype(np.int32)
    for name in ("scatter_add", "scatter_max", "scatter_min", "scatter_mul", "scatter_sub"):
        wanted = getattr(jax.lax, name)(
            x, i, u, jax.lax.ScatterDimensionNumbers(*dims), mode=mode
        )
        found = getattr(lax, name)(x, i, u, lax.ScatterDimensionNumbers(*dims), mode=mode)
        same(found, wanted)


def test_every_name_is_one_of_jax() -> None:
    jax = pytest.importorskip("jax")
    assert [n for n in lax.__all__ if not hasattr(jax.lax, n)] == []


def test_control_operators_are_there() -> None:
    assert int(lax.cond(True, lax.neg, lambda x: x, 1)) == -1
    total = lax.fori_loop(0, 4, lambda i, s: lax.add(s, i), 0)
    assert int(total) == 6
    same(lax.map(lambda x: lax.mul(x, x), np.arange(3.0)), [0.0, 1, 4])


def test_gamma_numbers_and_scaled_functions() -> None:
    a, x = abs(X) + 0.1, abs(Y) + 0.1
    same(lax.betainc(a, 2.5, np.exp(-x)), scipy.special.betainc(a, 2.5, np.exp(-x)))
    same(lax.bessel_i0e(X), scipy.special.i0e(X))
    same(lax.bessel_i1e(X), scipy.special.i1e(X))
    h = 1e-5
    slope = (scipy.special.gammainc(a + h, x) - scipy.special.gammainc(a - h, x)) / (2 * h)
    np.testing.assert_allclose(lax.igamma_grad_a(a, x), slope, rtol=1e-6)
    p = scipy.special.gammainc(a, x)
    slope = (scipy.special.gammaincinv(a + h, p) - scipy.special.gammaincinv(a - h, p)) / (2 * h)
    np.testing.assert_allclose(lax.random_gamma_grad(a, x), slope, rtol=1e-6)
