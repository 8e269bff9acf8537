"""Convolutions and pooling against sums written out, and against JAX where it is installed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.testing.gradients import check_grads

RNG = np.random.default_rng(4)


def convolved(
    x: Any, w: Any, strides: Any, pads: Any, spread: Any, dilations: Any, groups: int, batches: int
) -> Any:
    """Convolve, channels first, a sum at a time."""
    n = x.ndim - 2
    wide = [(d - 1) * e + 1 for d, e in zip(x.shape[2:], spread, strict=True)]
    full = np.zeros((*x.shape[:2], *wide))
    full[(..., *(slice(None, None, e) for e in spread))] = x
    for a, (low, high) in enumerate(pads):
        width = [(0, 0)] * (n + 2)
        width[a + 2] = (max(low, 0), max(high, 0))
        full = np.pad(full, width)
        keep = slice(max(-low, 0), full.shape[a + 2] - max(-high, 0))
        full = full[(slice(None),) * (a + 2) + (keep,)]
    counts = [
        max((d - (k - 1) * e - 1) // s + 1, 0)
        for d, k, s, e in zip(full.shape[2:], w.shape[2:], strides, dilations, strict=True)
    ]
    count, inner, outer = x.shape[0] // batches, w.shape[1], w.shape[0]
    out = np.zeros((count, outer, *counts))
    for b, o, place in itertools.product(range(count), range(outer), np.ndindex(*counts)):
        group = o // (outer // groups) if groups > 1 else 0
        batch = b + count * (o // (outer // batches)) if batches > 1 else b
        for k in np.ndindex(*w.shape[2:]):
            at = tuple(
                p * s + i * e for p, s, i, e in zip(place, strides, k, dilations, strict=True)
            )
            window = full[(batch, slice(group * inner, (group + 1) * inner), *at)]
            out[(b, o, *place)] += window @ w[(o, slice(None), *k)]
    return out


# operand, weights (channels first), strides, pads, dilations of both, groups
CASES: list[Any] = [
    ((2, 3, 5, 4), (4, 3, 3, 2), (1, 1), [(1, 1), (0, 1)], (1, 1), (1, 1), 1, 1),
    ((1, 2, 6, 5), (3, 2, 2, 3), (2, 3), [(0, 0), (2, 2)], (1, 1), (1, 1), 1, 1),
    ((2, 2, 5, 4), (2, 2, 2, 2), (2, 1), [(1, 2), (-1, 3)], (2, 1), (1, 2), 1, 1),
    ((2, 4, 5), (6, 2, 3), (1,), [(1, 1)], (1,), (1,), 2, 1),
    ((2, 3, 5, 4), (6, 1, 2, 2), (1, 2), [(0, 0), (1, 0)], (1, 1), (1, 1), 3, 1),
    ((4, 2, 5), (6, 2, 2), (1,), [(0, 1)], (1,), (2,), 1, 2),
    ((1, 2, 3, 4, 3), (2, 2, 2, 2, 3), (1, 2, 1), [(0, 0)] * 3, (1,) * 3, (1,) * 3, 1, 1),
    ((3, 4), (5, 4), (), [], (), (), 1, 1),
    ((2, 2, 3), (2, 2, 5), (1,), [(0, 0)], (1,), (1,), 1, 1),
]


def apply(case: Any) -> Any:
    _, _, strides, pads, spread, dilations, groups, batches = case
    return lambda x, w: lax.conv_general_dilated(
        x, w, strides, pads, spread, dilations, None, groups, batches
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolution(case: Any) -> None:
    x, w = RNG.normal(size=case[0]), RNG.normal(size=case[1])
    wanted = convolved(x, w, *case[2:])
    np.testing.assert_allclose(apply(case)(tnp.asarray(x), tnp.asarray(w)), wanted, atol=1e-12)
    np.testing.assert_allclose(tj.jit(apply(case))(x, w), wanted, atol=1e-12)
    if wanted.size:
        check_grads(apply(case), (x, w), order=2)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_batches_of_operands_and_weights(case: Any) -> None:
    xs, ws = RNG.normal(size=(3, *case[0])), RNG.normal(size=(3, *case[1]))
    f = apply(case)
    both = tj.jit(tj.vmap(f))(xs, ws)
    one = tj.vmap(f, in_axes=(None, 0))(tnp.asarray(xs[0]), tnp.asarray(ws))
    for n in range(3):
        np.testing.assert_allclose(both[n], f(tnp.asarray(xs[n]), tnp.asarray(ws[n])), atol=1e-12)
        np.testing.assert_allclose(one[n], f(tnp.asarray(xs[0]), tnp.asarray(ws[n])), atol=1e-12)


def test_layouts_are_transposes() -> None:
    x, w = RNG.normal(size=(2, 3, 6, 5)), RNG.normal(size=(4, 3, 3, 2))
    wanted = lax.conv(tnp.asarray(x), tnp.asarray(w), (2, 1), "SAME")
    last = lax.conv_general_dilated(
        tnp.asarray(x.transpose(0, 2, 3, 1)), tnp.asarray(w.transpose(2, 3, 1, 0)), (2, 1), "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    np.testing.assert_allclose(np.transpose(last, (0, 3, 1, 2)), wanted, rtol=1e-12)
    # Spatial dimensions are counted as the weights name them.
    odd = lax.conv_general_dilated(
        tnp.asarray(x.transpose(3, 1, 2, 0)), tnp.asarray(w.transpose(1, 3, 0, 2)), (1, 2), "SAME",
        dimension_numbers=("WCHN", "IWOH", "CNWH"),
    )  # fmt: skip
    np.testing.assert_allclose(np.transpose(odd, (1, 0, 3, 2)), wanted, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int8", "int32", "float32", "complex128", "bfloat16"])
def test_other_dtypes(dtype: str) -> None:
    x = tnp.asarray(RNG.integers(-2, 3, (1, 2, 5))).astype(dtype)
    w = tnp.asarray(RNG.integers(-2, 3, (3, 2, 2))).astype(dtype)
    wanted = convolved(np.asarray(x).astype("c16").real, np.asarray(w).astype("c16").real,
                       (1,), [(0, 0)], (1,), (1,), 1, 1)  # fmt: skip
    out = lax.conv(x, w, (1,), "VALID")
    assert str(out.dtype) == dtype
    np.testing.assert_array_equal(np.asarray(out).astype("c16"), wanted)
    wide = lax.conv(x, w, (1,), "VALID", preferred_element_type="complex128")
    assert wide.dtype == np.complex128


POOLS: list[dict[str, Any]] = [
    {"window_dimensions": (1, 2, 2), "window_strides": (1, 2, 2)},
    {"window_dimensions": (1, 3, 2), "window_strides": (1, 2, 1), "padding": "SAME"},
    {"window_dimensions": (2, 3, 2), "padding": [(0, 1), (1, 1), (0, 2)],
     "window_dilation": (1, 2, 1), "base_dilation": (1, 1, 2)},
]  # fmt: skip


def pooled(x: Any, init: float, reduce: Any, **how: Any) -> Any:
    """Reduce a window at a time, of an operand that is padded already."""
    sizes, strides = how["window_dimensions"], how.get("window_strides", (1,) * x.ndim)
    dilations = how.get("window_dilation", (1,) * x.ndim)
    reaches = [(n - 1) * d + 1 for n, d in zip(sizes, dilations, strict=True)]
    pads = how.get("padding", "VALID")
    if isinstance(pads, str):
        pads = lax.padtype_to_pads(x.shape, reaches, strides, pads)
    config = [(*p, e - 1) for p, e in zip(pads, how.get("base_dilation", (1,) * 3), strict=True)]
    x = np.asarray(lax.pad(tnp.asarray(x), init, config))
    counts = [(d - r) // s + 1 for d, r, s in zip(x.shape, reaches, strides, strict=True)]
    out = np.empty(counts)
    for place in np.ndindex(*counts):
        at = tuple(
            slice(p * s, p * s + r, d)
            for p, s, r, d in zip(place, strides, reaches, dilations, strict=True)
        )
        out[place] = reduce([init, reduce(x[at].ravel())])
    return out


@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize(
    ("init", "computation", "oracle"),
    [
        (-np.inf, lax.max, np.max),
        (np.inf, lax.min, np.min),
        (0.0, lax.add, np.sum),
        (1.0, lax.mul, np.prod),
        (0.0, lambda a, b: a + 1.0 * b, np.sum),
    ],
)
def test_pooling(how: Any, init: float, computation: Any, oracle: Any) -> None:
    x = RNG.normal(size=(3, 5, 6))
    f = lambda x: lax.reduce_window(x, init, computation, **how)
    wanted = pooled(x, init, oracle, **how)
    np.testing.assert_allclose(f(tnp.asarray(x)), wanted, rtol=1e-12)
    np.testing.assert_allclose(tj.jit(f)(x), wanted, rtol=1e-12)
    if np.isfinite(init):
        check_grads(f, (x,), order=1)


def test_the_gradient_of_max_pooling_goes_to_the_greatest() -> None:
    x = tnp.asarray([[1.0, 5.0, 2.0, 4.0, 3.0]])
    f = lambda x: tnp.sum(lax.reduce_window(x, -tnp.inf, lax.max, (1, 3)) * tnp.arange(1.0, 4.0))
    np.testing.assert_array_equal(tj.jit(tj.grad(f))(x), [[0.0, 3.0, 0.0, 3.0, 0.0]])


def test_jax_agrees() -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    x, w = RNG.normal(size=(2, 9, 8, 3)), RNG.normal(size=(3, 2, 3, 3))
    for strides, padding, flip in itertools.product(
        ((2, 2), (3, 1)), ("SAME", "VALID", [(1, 1), (2, 0)]), (False, True)
    ):
        out, wanted = (
            of.conv_transpose(as_array(x), as_array(w), strides, padding, transpose_kernel=flip)
            for of, as_array in ((lax, tnp.asarray), (jax.lax, jax.numpy.asarray))
        )
        np.testing.assert_allclose(out, wanted, atol=1e-12)
    layout = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    for padding in ("SAME", "SAME_LOWER", "VALID"):
        out, wanted = (
            of.conv_general_dilated_patches(as_array(x), (2, 3), (1, 2), padding, **layout)
            for of, as_array in ((lax, tnp.asarray), (jax.lax, jax.numpy.asarray))
        )
        np.testing.assert_allclose(out, wanted, atol=1e-12)


def test_what_does_not_fit_is_named() -> None:
    x, w = tnp.ones((1, 4, 5)), tnp.ones((2, 3, 2))
    with pytest.raises(ShapeError, match="4 input channels in 1 groups"):
        lax.conv(x, w, (1,), "SAME")
    with pytest.raises(DTypeError, match="one dtype"):
        lax.conv(x, tnp.ones((2, 4, 2), "float32"), (1,), "SAME")
    with pytest.raises(ShapeError, match="a stride for each of 1"):
        lax.conv(x, tnp.ones((2, 4, 2)), (1, 1), "SAME")
    with pytest.raises(ShapeError, match="SAME, SAME_LOWER, VALID"):
        lax.conv(x, tnp.ones((2, 4, 2)), (1,), "REFLECT")
    with pytest.raises(ShapeError, match="once"):
        lax.conv_general_dilated(
            x, tnp.ones((2, 4, 2)), (1,), "SAME", dimension_numbers=("NHC", "OIW", "NHC")
        )
