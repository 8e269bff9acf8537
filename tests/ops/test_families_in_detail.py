"""What a table does not say: random dimension numbers, indexing as NumPy's, ties, errors."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracejit.core.array import host_array
from tracejit.core.errors import DTypeError, MissingRuleError, ShapeError, TracejitError
from tracejit.ops.contraction import dot_general
from tracejit.ops.cumulative import cumlogsumexp, cummax, cumprod, cumsum
from tracejit.ops.indexing import (
    gather,
    scatter,
    scatter_add,
    scatter_max,
    scatter_mul,
    take_along_axis,
    take_axis,
)
from tracejit.ops.reduction import (
    argmax,
    argmin,
    reduce_and,
    reduce_max,
    reduce_min,
    reduce_prod,
)
from tracejit.ops.shape import reduce_sum
from tracejit.ops.slicing import concatenate, flip, pad, roll_axis, slice_
from tracejit.ops.sorting import argsort, sort, top_k
from tracejit.ops.windows import dynamic_slice, dynamic_update_slice
from tracejit.transforms.api import grad, hessian, jacfwd, jacrev, vjp

BF16 = np.dtype(ml_dtypes.bfloat16)


def equal(got: Any, want: Any, rtol: float = 0) -> None:
    np.testing.assert_allclose(host_array(got), want, rtol=rtol)


# -------------------------------------------------------------------------------- dot_general


@st.composite
def contractions(draw: st.DrawFn) -> tuple[Any, Any, str, Any]:
    """Two shapes, an einsum formula and the dimension numbers that say the same."""
    kinds = draw(st.lists(st.sampled_from("bcxy"), max_size=6))
    letters = "abcdef"[: len(kinds)]
    lengths = {c: draw(st.integers(0, 3)) for c in letters}
    by_kind = {k: [c for c, kk in zip(letters, kinds, strict=True) if kk == k] for k in "bcxy"}
    left = draw(st.permutations(by_kind["b"] + by_kind["c"] + by_kind["x"]))
    right = draw(st.permutations(by_kind["b"] + by_kind["c"] + by_kind["y"]))
    numbers = tuple(
        (tuple(left.index(c) for c in by_kind[k]), tuple(right.index(c) for c in by_kind[k]))
        for k in "cb"
    )
    out = [
        *by_kind["b"],
        *(c for c in left if c in by_kind["x"]),
        *(c for c in right if c in by_kind["y"]),
    ]
    spec = f"{''.join(left)},{''.join(right)}->{''.join(out)}"
    return tuple(lengths[c] for c in left), tuple(lengths[c] for c in right), spec, numbers


@given(contractions(), st.sampled_from(["f8", "i1", "c16", "?", "f2"]))
def test_dot_general_is_einsum(case: tuple[Any, Any, str, Any], dtype: str) -> None:
    shape_x, shape_y, spec, numbers = case
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-2, 3, s).astype(dtype) for s in (shape_x, shape_y))
    out = dot_general(x, y, numbers)
    assert out.dtype == x.dtype
    equal(out, np.einsum(spec, x, y))


@given(contractions())
def test_pullback_of_dot_general_is_the_adjoint(case: tuple[Any, Any, str, Any]) -> None:
    shape_x, shape_y, spec, numbers = case
    rng = np.random.default_rng(1)
    x, y, dx, dy = (rng.normal(size=s) for s in (shape_x, shape_y, shape_x, shape_y))
    out, pullback = vjp(lambda x, y: dot_general(x, y, numbers), x, y)
    ct = rng.normal(size=out.shape)
    cx, cy = (host_array(c) for c in pullback(ct))
    assert (cx.shape, cy.shape) == (x.shape, y.shape)
    forward = np.einsum(spec, dx, y) + np.einsum(spec, x, dy)
    np.testing.assert_allclose(np.sum(cx * dx) + np.sum(cy * dy), np.sum(ct * forward), atol=1e-9)


def test_dot_general_widens() -> None:
    numbers = (((1,), (0,)), ((), ()))
    ones = np.ones((1, 4096), BF16)
    out = dot_general(ones, ones.T, numbers)
    assert out.dtype == BF16
    assert float(host_array(out)[0, 0]) == 4096
    x = np.full((1, 3), 100, np.int8)
    wide = dot_general(x, x.T, numbers, "int32")
    assert wide.dtype == np.int32
    equal(wide, [[30000]])
    equal(dot_general(x, x.T, numbers), [[30000 - 117 * 256]])
    f = np.ones((2, 3), np.float32)
    rows = (((1,), (1,)), ((), ()))
    g = grad(lambda f: reduce_sum(dot_general(f, f, rows, "float64"), (0, 1)))(f)
    assert g.dtype == np.float32
    equal(g, np.full((2, 3), 4.0))


# ----------------------------------------------------------------------------------- indexing


@given(
    st.tuples(*[st.integers(1, 4)] * 3),
    st.lists(st.integers(0, 2), unique=True, min_size=1),
    st.lists(st.integers(0, 3), max_size=2),
    st.integers(0, 99),
)
def test_gather_and_scatter_are_advanced_indexing(
    shape: tuple[int, ...], axes: list[int], batch: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    parts = [rng.integers(0, shape[a], batch) for a in axes]
    indices = np.stack(parts, -1)
    index: list[Any] = [slice(None)] * 3
    for a, part in zip(axes, parts, strict=True):
        index[a] = part
    # NumPy puts the axes of separated arrays first, as gather always does.
    kept = [d for a, d in enumerate(shape) if a not in axes]
    order = [*axes, *(a for a in range(3) if a not in axes)]
    moved = x.transpose(order)[tuple(parts)]
    assert moved.shape == (*batch, *kept)
    sizes = [1 if a in axes else d for a, d in enumerate(shape)]
    equal(gather(x, indices, axes, sizes, axes), moved)

    updates = rng.normal(size=moved.shape)
    expected = x.copy().transpose(order)
    np.add.at(expected, tuple(parts), updates)
    out = scatter_add(x, indices, updates, axes, axes)
    equal(out, expected.transpose(np.argsort(order)), 1e-14)
    expected = x.copy().transpose(order)
    for place in np.ndindex(*batch):
        expected[tuple(p[place] for p in parts)] = updates[place]
    equal(scatter(x, indices, updates, axes, axes), expected.transpose(np.argsort(order)))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("batch", [(), (2,), (2, 3), (0,)])
def test_take(axis: int, batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 4, 5))
    indices = rng.integers(0, 3, batch)
    equal(take_axis(x, indices, axis), np.take(x, indices, axis))
    shape = list(x.shape)
    shape[axis] = 2
    along = rng.integers(0, x.shape[axis], shape)
    equal(take_along_axis(x, along, axis), np.take_along_axis(x, along, axis))


def test_out_of_range() -> None:
    x = np.array([10.0, 11, 12])
    far = np.array([-1, 3, 2, 2**63 - 1])
    equal(take_axis(x, far, 0), [10, 12, 12, 12])
    equal(take_axis(x, far, 0, "fill"), [np.nan, np.nan, 12, np.nan])
    equal(take_axis(x, far, 0, "fill", 5), [5, 5, 12, 5])
    equal(take_axis(x, np.array([2**64 - 1, 1], np.uint64), 0), [12, 11])
    equal(take_axis(x, np.array([2**64 - 1, 1], np.uint64), 0, "fill", 0), [0, 11])
    equal(take_axis(x.astype(np.int8), far, 0, "fill"), [-128, -128, 12, -128])
    equal(take_axis(x.astype(np.uint8), far, 0, "fill"), [255, 255, 12, 255])
    equal(take_axis(x < 0, far, 0, "fill"), [True, True, False, True])
    ones = np.ones(4)
    equal(scatter_add(x, far[:, None], ones, (0,), (0,)), [10, 11, 13])
    equal(scatter_add(x, far[:, None], ones, (0,), (0,), mode="clip"), [11, 11, 15])


def test_scatter_of_repeated_places() -> None:
    x, u, i = np.zeros(3), np.array([1.0, 2, 3]), np.array([[1], [1], [0]])
    equal(scatter(x, i, u, (0,), (0,)), [3, 2, 0])
    equal(jacrev(lambda u: scatter(x, i, u, (0,), (0,)))(u), [[0, 0, 1], [0, 1, 0], [0, 0, 0]])
    with pytest.raises(MissingRuleError, match="unique=True"):
        jacfwd(lambda u: scatter_mul(x, i, u, (0,), (0,)))(u)


def test_scatter_extremes_share_ties() -> None:
    x, u, i = np.array([2.0, 7, np.nan]), np.array([2.0, 2, 1]), np.array([[0], [0], [1]])
    jx, ju = jacfwd(lambda x, u: scatter_max(x, i, u, (0,), (0,)), (0, 1))(x, u)
    equal(jx, np.diag([1 / 3, 1, 1]), 1e-15)
    equal(ju, [[1 / 3, 1 / 3, 0], [0, 0, 0], [0, 0, 0]], 1e-15)


def test_sums_of_narrow_floats_are_wide() -> None:
    many = np.zeros((3000, 1), np.int64)
    x, u = np.zeros(2, BF16), np.ones(3000, BF16)
    equal(host_array(scatter_add(x, many, u, (0,), (0,))).astype(float), [3008, 0])  # rounded once
    equal(host_array(cumsum(u, 0))[-1].astype(float), 3008)
    for dtype, eps in ((np.float16, 2.0**-10), (BF16, 2.0**-7)):
        factors = np.full(60, 1 + eps, dtype)
        expected = np.array((1 + eps) ** 60).astype(dtype)
        equal(host_array(reduce_prod(factors, (0,))).astype(float), float(expected))
        equal(host_array(cumprod(factors, 0))[-1].astype(float), float(expected))


# --------------------------------------------------------------------------------- reductions


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_with_zeros_have_derivatives(zeros: int) -> None:
    x = np.array([2.0, -1.5, 3.0, 0.5, 4.0])
    x[:zeros] = 0
    n = len(x)

    def without(*left_out: int) -> float:
        return math.prod(v for k, v in enumerate(x) if k not in left_out)

    equal(grad(lambda x: reduce_prod(x, (0,)))(x), [without(k) for k in range(n)], 1e-14)
    second = [[0 if i == j else without(i, j) for j in range(n)] for i in range(n)]
    equal(hessian(lambda x: reduce_prod(x, (0,)))(x), second, 1e-14)
    expected = [
        [math.prod(x[j] for j in range(i + 1) if j != k) if k <= i else 0 for k in range(n)]
        for i in range(n)
    ]
    equal(jacfwd(lambda x: cumprod(x, 0))(x), expected, 1e-14)
    equal(jacrev(lambda x: cumprod(x, 0))(x), expected, 1e-14)


def test_ties_share_the_derivative() -> None:
    x = np.array([[1.0, 3, 3], [2, 2, 2]])
    equal(jacrev(lambda x: reduce_max(x, (1,)))(x).buf[0, 0], [0, 0.5, 0.5])
    equal(grad(lambda x: reduce_min(x, (0, 1)))(x), [[1, 0, 0], [0, 0, 0]])
    equal(jacrev(lambda x: cummax(x, 0))(np.array([3.0, 3, 1])), [[1, 0, 0]] * 3)
    with_nan = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    equal(jacfwd(lambda x: cummax(x, 0))(np.array([1, np.nan, 5, np.nan])), with_nan)
    equal(jacfwd(lambda x: cummax(x, 0, True))(np.array([1.0, 3, 3])), [[0, 0, 1]] * 3)


def test_extremes_see_nan_first() -> None:
    x = np.array([1, np.nan, 5, np.nan, -np.inf])
    for dtype in (np.float64, np.float16, BF16):
        y = x.astype(dtype)
        equal(argmax(y, 0), 1)
        equal(argmin(y, 0), 1)
        assert np.isnan(host_array(reduce_max(y, (0,))).astype(float))
    equal(argmax(np.array([0, 2, 2]), 0), 1)
    assert argmax(x, 0).dtype == np.int64


def test_logarithms_of_sums_far_out() -> None:
    x = np.array([-np.inf, -np.inf, 1000.0, 1001.0])
    jacobian = host_array(jacrev(lambda x: cumlogsumexp(x, 0))(x))
    share = 1 / (1 + np.e)
    np.testing.assert_allclose(jacobian[2:, 2:], [[1, 0], [share, 1 - share]], rtol=1e-12)
    assert not jacobian[:, :2].any()
    up = host_array(jacfwd(lambda x: cumlogsumexp(x, 0))(np.array([0.0, np.inf, 5])))
    np.testing.assert_array_equal(up[1:], [[0, 1, 0], [0, 1, 0]])


# ------------------------------------------------------------------------------------ sorting


@given(st.lists(st.sampled_from([np.nan, -0.0, 0.0, 1.0, -1.0, np.inf, -np.inf]), max_size=9))
def test_sorting_is_stable_with_nan_last(elements: list[float]) -> None:
    for dtype in (np.float64, np.float16, BF16):
        x = np.array(elements, dtype)
        order = sorted(range(len(x)), key=lambda i: (bool(x[i] != x[i]), float(x[i])))
        order = [i for i in order if x[i] == x[i]] + [i for i in range(len(x)) if x[i] != x[i]]
        equal(argsort(x, 0), order)
        got = host_array(sort(x, 0))
        np.testing.assert_array_equal(np.signbit(got), np.signbit(x[order]))
        np.testing.assert_array_equal(got.astype(float), x[order].astype(float))
        k = len(x) // 2
        values, places = top_k(x, k)
        best = sorted(range(len(x)), key=lambda i: (bool(x[i] == x[i]), 0 if x[i] != x[i] else
                                                    -float(x[i])))[:k]  # fmt: skip
        equal(places, best)
        np.testing.assert_array_equal(host_array(values).astype(float), x[best].astype(float))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, bool])
def test_greatest_integers(dtype: Any) -> None:
    x = np.array([[0, 1, 127, 1], [-128, 0, 5, 127]]).astype(dtype)
    values, places = top_k(x, 3)
    order = np.argsort(~x if dtype is bool else -x.astype(int), axis=1, kind="stable")[:, :3]
    equal(places, order)
    equal(values, np.take_along_axis(x, order, 1))
    assert places.dtype == np.int32


@pytest.mark.parametrize("shift", [-7, -1, 0, 2, 5])
def test_roll(shift: int) -> None:
    x = np.arange(60).reshape(3, 4, 5)
    for axis in range(3):
        equal(roll_axis(x, shift, axis), np.roll(x, shift, axis))
    assert roll_axis(np.zeros((0, 2)), shift, 0).shape == (0, 2)


# ------------------------------------------------------------------------------------- errors

X = np.zeros((3, 4))
I = np.zeros((2, 1), np.int64)
NUMBERS = (((1,), (0,)), ((), ()))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: slice_(X, (0, 0), (4, 4)), ShapeError, r"slice: 0 <= start.*\(3, 4\).*\(4, 4\)"),
        (lambda: slice_(X, (0,), (1,)), ShapeError, "slice: one start, limit and stride"),
        (lambda: pad(X, 0.0, [(0, 0, -1), (1, 0, 0)]), ShapeError, "pad: .*interior >= 0"),
        (lambda: pad(X, np.float32(0), [(1, 0, 0), (1, 0, 0)]), TracejitError, "pad: the value"),
        (lambda: concatenate([X, X.T], 0), ShapeError, r"concatenate: .*\(3, 4\), \(4, 3\)"),
        (lambda: concatenate([X, X], 2), ShapeError, "concatenate: axis"),
        (lambda: flip(X, (0, 0)), ShapeError, "flip: distinct axes"),
        (lambda: dynamic_slice(X, (0, 0), (4, 1)), ShapeError, r"dynamic_slice: a window within"),
        (lambda: dynamic_slice(X, (0, 0.5), (1, 1)), DTypeError, "must be integers"),
        (lambda: dynamic_update_slice(X, np.zeros((3, 5)), (0, 0)), ShapeError, "within shape"),
        (lambda: reduce_max(np.zeros((0, 3)), (0,)), ShapeError, r"reduce_max: .*\(0, 3\)"),
        (lambda: argmin(np.zeros((0, 3)), 0), ShapeError, "argmin: .*no extreme"),
        (lambda: argmax(X, 2), ShapeError, "argmax: axes"),
        (lambda: argmax(X, 0, "float32"), DTypeError, "argmax: the dtype of an index"),
        (lambda: reduce_and(X, (0,)), DTypeError, "reduce_and: .*got float64"),
        (lambda: dot_general(X, X, NUMBERS), ShapeError, r"contracted axes must pair up.*\(3, 4\)"),
        (lambda: dot_general(X, X.T, (((1, 1), (0, 0)), ((), ()))), ShapeError, "distinct"),
        (lambda: dot_general(X, X.T.astype("f4"), NUMBERS), DTypeError, "float64 and float32"),
        (lambda: gather(X, I, (0,), (4, 4)), ShapeError, r"within shape \(3, 4\); got \(4, 4\)"),
        (lambda: gather(X, I, (0, 1), (1, 1)), ShapeError, "one start for each of the axes"),
        (lambda: gather(X, I, (0,), (2, 4), (0,)), ShapeError, "length 1 along the collapsed"),
        (lambda: gather(X, X, (0,), (1, 4)), DTypeError, "indices must be integers; got float64"),
        (lambda: gather(X, I, (0,), (1, 4), mode="wrap"), ShapeError, "mode must be one of clip"),
        (lambda: gather(X, I, (0,), (4,), lanes=1), ShapeError, "share 1 leading axes"),
        (lambda: scatter(X, I, np.zeros((2, 4)), (0,)), ShapeError, r"updates must have shape"),
        (lambda: scatter(X, I, np.zeros((2, 5)), (0,), (0,)), ShapeError, r"got \(2, 5\)"),
        (lambda: scatter(X, I, np.zeros((2, 4), "f4"), (0,), (0,)), DTypeError, "one dtype"),
        (lambda: cumsum(X, 2), ShapeError, r"cumsum: axis must be within shape \(3, 4\); got 2"),
        (lambda: cumsum(X > 0, 0), DTypeError, "cumsum: the operand must be numeric; got bool"),
        (lambda: cumlogsumexp(I, 0), DTypeError, "cumlogsumexp: the operand must be float"),
        (lambda: sort([X, X.T], 0), ShapeError, r"sort: .*\(3, 4\), \(4, 3\)"),
        (lambda: sort(X, 0, 2), ShapeError, "num_keys must be from 1"),
        (lambda: sort(X, -1), ShapeError, "sort: axis must be within"),
        (lambda: top_k(X, 5), ShapeError, "top_k: .*k=5"),
    ],
)
def test_errors_say_what_must_hold_and_what_was_got(
    call: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        call()
