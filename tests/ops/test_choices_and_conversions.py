"""select, max, clamp at ties, conversions, random bits, iota: what the table does not say."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tracejit.core import primitive as tables
from tracejit.core.array import host_array
from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES
from tracejit.ops.arithmetic import sqrt
from tracejit.ops.complex_numbers import abs_, conj, real
from tracejit.ops.constant import iota, iota_p
from tracejit.ops.convert import (
    bitcast_convert_type,
    convert_element_type,
    convert_element_type_p,
)
from tracejit.ops.logical import clamp, max_, min_, select, select_p
from tracejit.ops.random_bits import threefry2x32, threefry2x32_p
from tracejit.ops.transcendental import hypot, pow_
from tracejit.transforms.jvp import jvp_flat
from tracejit.transforms.linearize import vjp_flat

F64 = np.dtype("f8")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4))
Y = RNG.normal(size=(2, 3, 4))
MASK = RNG.random((2, 3, 4)) < 0.5


def gradient(fun: Any, *x: Any) -> list[Any]:
    _, pullback = vjp_flat(lambda *y: [fun(*y)], x)
    return [host_array(c) for c in pullback([np.ones(np.shape(fun(*x)))])]


# ------------------------------------------------------------------------------ select


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_select_is_where(dtype: Any) -> None:
    if dtype.names is not None:
        return
    x, y = X.astype(dtype), Y.astype(dtype)
    for c, a, b in itertools.product((MASK, MASK[0, 0, 0]), (x, x[0, 0, 0]), (y, y[0, 0, 0])):
        out = select(c, a, b)
        np.testing.assert_array_equal(host_array(out), np.where(c, a, b))
        assert out.dtype == dtype


def test_select_refuses() -> None:
    with pytest.raises(DTypeError, match="condition must be bool; got int64"):
        select(np.int64(1), 1.0, 2.0)
    with pytest.raises(DTypeError, match="one computable dtype; got float64, int64"):
        select(True, 1.0, 2)
    with pytest.raises(ShapeError, match="equal shapes"):
        select(MASK, X, Y[0])


@pytest.mark.parametrize("scalars", list(itertools.product([False, True], repeat=3)))
def test_select_derivatives(scalars: tuple[bool, bool, bool]) -> None:
    """With every subset of tangents and of scalars; a Zero is not materialised."""
    c, x, y = (a[0, 0, 0] if s else a for a, s in zip((MASK, X, Y), scalars, strict=True))
    tangents = x + 1, y - 1
    rule, transpose = tables.jvp[select_p], tables.transpose[select_p]
    none = Zero(get_aval(c))
    for on in ((True, True), (True, False), (False, True)):
        given = [t if o else Zero(get_aval(t)) for t, o in zip(tangents, on, strict=True)]
        out, tangent = rule([c, x, y], [none, *given])
        expected = np.where(c, *[t if o else 0 for t, o in zip(tangents, on, strict=True)])
        assert tangent.shape == out.shape
        np.testing.assert_array_equal(host_array(tangent), np.broadcast_to(expected, out.shape))
        ct = RNG.normal(size=out.shape)
        operands = [
            Linear(ShapedArray(np.shape(v), F64)) if o else np.zeros_like(v)
            for v, o in zip((x, y), on, strict=True)
        ]
        _, *cts = transpose(ct, c, *operands)
        total = sum(
            np.sum(host_array(a) * v) for a, v in zip(cts, (x, y), strict=True) if a is not None
        )
        assert [a is not None for a in cts] == list(on)
        zeroed = [v if o else 0 * v for v, o in zip((x, y), on, strict=True)]
        np.testing.assert_allclose(np.sum(ct * np.where(c, *zeroed)), total, rtol=1e-12)
    _, tangent = rule([c, x, y], [none, Zero(get_aval(x)), Zero(get_aval(y))])
    assert isinstance(tangent, Zero)
    assert tangent.aval.shape == np.where(c, x, y).shape


def test_what_is_not_chosen_stays_out_of_the_derivative() -> None:
    x = np.array([4.0, 0.0])
    chosen = np.array([True, False])
    _, (tangent,) = jvp_flat(lambda v: [select(chosen, sqrt(v), v)], [x], [np.ones(2)])
    np.testing.assert_array_equal(host_array(tangent), [0.25, 1.0])
    one = np.float64(1)
    (guarded,) = gradient(lambda v: select(chosen, sqrt(select(chosen, v, one)), v), x)
    np.testing.assert_array_equal(guarded, [0.25, 1.0])


@pytest.mark.parametrize("shapes", list(itertools.product([(2, 3), ()], repeat=3)))
def test_select_batches(shapes: tuple[tuple[int, ...], ...]) -> None:
    rule = tables.batch[select_p]
    for axes in itertools.product(*[[None, *range(len(s) + 1)] for s in shapes]):
        if all(a is None for a in axes):
            continue
        full = [s if a is None else (*s[:a], 5, *s[a:]) for s, a in zip(shapes, axes, strict=True)]
        c, x, y = RNG.random(full[0]) < 0.5, RNG.normal(size=full[1]), RNG.normal(size=full[2])
        operands = [np.asarray(v) for v in (c, x, y)]
        out, axis = rule(operands, axes)
        for lane in range(5):
            one = [
                v if a is None else np.take(v, lane, a) for v, a in zip(operands, axes, strict=True)
            ]
            np.testing.assert_array_equal(np.take(host_array(out), lane, axis), np.where(*one))


# ------------------------------------------------------------------- special derivatives


def test_ties_share_the_derivative() -> None:
    x, y = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])
    for function, first in ((max_, [0, 0.5, 1]), (min_, [1, 0.5, 0])):
        dx, dy = gradient(function, x, y)
        np.testing.assert_array_equal(dx, first)
        np.testing.assert_array_equal(dy, 1 - np.array(first))


def test_clamp_derivatives_as_jax() -> None:
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    dlo, dx, dhi = gradient(clamp, np.float64(0), x, np.float64(1))
    np.testing.assert_array_equal(dx, [0, 0, 1, 0, 0])
    assert (dlo, dhi) == (1, 1)


def test_pow_at_zero() -> None:
    x = np.array([0.0, 0.0, 0.0, 2.0])
    y = np.array([0.0, 1.0, 2.0, 0.0])
    dx, dy = gradient(pow_, x, y)
    np.testing.assert_array_equal(dx, [0, 1, 0, 0])
    np.testing.assert_allclose(dy, [0, 0, 0, np.log(2)])


def test_abs_and_hypot_at_zero() -> None:
    assert gradient(abs_, np.float64(0)) == [0]
    assert gradient(hypot, np.float64(0), np.float64(0)) == [0, 0]
    assert gradient(hypot, np.float64(3e200), np.float64(4e200)) == pytest.approx([0.6, 0.8])


def test_gradient_of_a_real_function_of_a_complex_number() -> None:
    """df/dx - i df/dy, as JAX."""
    z = np.array([1.0 + 2.0j])
    np.testing.assert_allclose(gradient(lambda v: real(v), z)[0], [1])
    np.testing.assert_allclose(gradient(abs_, z)[0], np.conj(z) / abs(z))
    _, pullback = vjp_flat(lambda v: [conj(v)], [z])
    np.testing.assert_array_equal(host_array(pullback([np.array([1j])])[0]), [-1j])


# ------------------------------------------------------------------------- conversions


CONVERTIBLE = [d for d in DTYPES.values() if d.names is None]


@pytest.mark.parametrize("source", CONVERTIBLE, ids=str)
@pytest.mark.parametrize("target", CONVERTIBLE, ids=str)
def test_conversion_is_numpys(source: Any, target: Any) -> None:
    x = np.array([[[0, 1, 2.75], [3, 100, 0.5]]]).astype(source)
    for value in (x, x[0, 0, 1], x[:, :0]):
        out = convert_element_type(value, target)
        plain = value.real if source.kind == "c" and target.kind not in "cb" else value
        np.testing.assert_array_equal(host_array(out), plain.astype(target))
        assert get_aval(out).dtype == target
    if source.kind not in "biu":
        rule = tables.jvp[convert_element_type_p]
        out, tangent = rule([x], [x], dtype=target, weak=False)
        if target.kind in "biu":
            assert isinstance(tangent, Zero)
        else:
            np.testing.assert_array_equal(host_array(tangent), host_array(out))
            ct = host_array(out)
            (back,) = tables.transpose[convert_element_type_p](
                ct, Linear(get_aval(x)), dtype=target, weak=False
            )
            assert get_aval(back).dtype == source


def test_conversion_between_real_and_complex_is_transposed() -> None:
    x, z = X, X + 1j * Y
    transpose = tables.transpose[convert_element_type_p]
    (ct,) = transpose(z, Linear(get_aval(x)), dtype=np.dtype("c16"), weak=False)
    np.testing.assert_allclose(np.sum(z * x).real, np.sum(host_array(ct) * x))
    (ct,) = transpose(x, Linear(get_aval(z)), dtype=F64, weak=False)
    np.testing.assert_allclose(np.sum(x * z.real), np.sum(host_array(ct) * z).real)


def test_conversion_of_scalars_and_weakness() -> None:
    assert type(convert_element_type(2, "float32")) is np.float32
    assert get_aval(convert_element_type(X, "float64")).weak is False
    assert convert_element_type(X, F64) is X
    assert convert_element_type(X, F64, weak=True).aval.weak
    assert convert_element_type(2.0, "int64", weak=True).aval == ShapedArray((), "int64", True)


def test_bitcast() -> None:
    x = X.astype(np.float32)
    out = bitcast_convert_type(x, "uint32")
    np.testing.assert_array_equal(host_array(out), x.view(np.uint32))
    assert host_array(bitcast_convert_type(np.float16(1), "uint16")) == 0x3C00
    assert host_array(bitcast_convert_type(np.uint16(0x3F80), ml_dtypes.bfloat16)) == 1
    with pytest.raises(DTypeError, match=r"one width; got float64 \(8 bytes\) to int32"):
        bitcast_convert_type(X, "int32")
    with pytest.raises(DTypeError, match="real numbers"):
        bitcast_convert_type(np.zeros(2, bool), "int8")
    tangent = jvp_flat(lambda v: [bitcast_convert_type(v, "int64")], [X], [X])[1]
    assert isinstance(tangent[0], Zero)


# ------------------------------------------------------------------ random bits and iota


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [  # Random123 1.14, kat_vectors: threefry2x32 20
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_known_answers(key: Any, counter: Any, expected: Any) -> None:
    out = threefry2x32(*[np.uint32(w) for w in (*key, *counter)])
    assert tuple(int(host_array(w)) for w in out) == expected


def test_threefry_blocks_and_batches() -> None:
    """Large arrays are computed in blocks, lanes each for themselves."""
    words = RNG.integers(0, 2**32, (2, 3, 20_000), np.uint32)
    k0, k1 = np.uint32(5), np.uint32(6)
    whole = [host_array(w) for w in threefry2x32(k0, k1, *words)]
    part = [host_array(w) for w in threefry2x32(k0, k1, *words[:, 1, 7:9])]
    np.testing.assert_array_equal([w[1, 7:9] for w in whole], part)
    keys = RNG.integers(0, 2**32, (2, 4), np.uint32)
    outs, axes = tables.batch[threefry2x32_p]([*keys, *words[:, :, :5]], [0, 0, None, None])
    for lane in range(4):
        one = threefry2x32(*keys[:, lane], *words[:, :, :5])
        for got, axis, expected in zip(outs, axes, one, strict=True):
            np.testing.assert_array_equal(
                np.take(host_array(got), lane, axis), host_array(expected)
            )
    with pytest.raises(DTypeError, match="one uint32 dtype"):
        threefry2x32(0, 0, 0, 0)


@pytest.mark.parametrize("dtype", CONVERTIBLE[1:], ids=str)
def test_iota(dtype: Any) -> None:
    for shape in ((2, 3, 300), (4,), (2, 0, 3)):
        for axis in range(len(shape)):
            expected = np.indices(shape)[axis].astype(dtype)
            np.testing.assert_array_equal(host_array(iota(shape, axis, dtype)), expected)


def test_iota_refuses() -> None:
    with pytest.raises(ShapeError, match=r"axis must be within shape \(2, 3\); got 2"):
        iota((2, 3), 2, int)
    with pytest.raises(DTypeError, match="numeric; got bool"):
        iota((2,), 0, bool)
    assert iota_p not in tables.batch
