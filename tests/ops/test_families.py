"""Slices, windows, reductions, contractions, indexing, cumulative ops, sorting: a table of cases.

A row is a primitive, operands, params and an oracle; what must hold of every row follows the table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from tracejit.compiler.pipeline import compile_program
from tracejit.core import primitive as tables
from tracejit.core.array import host_array
from tracejit.core.primitive import PRIMITIVES
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir import scalar
from tracejit.ir.avals import ShapedArray
from tracejit.ir.parse import parse
from tracejit.ir.target import Target
from tracejit.ops import (  # noqa: F401
    contraction,
    convolution,
    cumulative,
    reduction,
    slicing,
    sorting,
    windows,
)
from tracejit.testing.plans import run_plan
from tracejit.transforms.jvp import jvp_flat
from tracejit.transforms.linearize import vjp_flat
from tracejit.transforms.stage import stage

BF16 = np.dtype(ml_dtypes.bfloat16)
BOOL, I8, I64 = np.dtype(bool), np.dtype("i1"), np.dtype("i8")
LOGICAL = (BOOL, I8, np.dtype("u4"))
FLOATS = (np.dtype("f2"), BF16, np.dtype("f4"), np.dtype("f8"))
REAL = (I8, np.dtype("u8"), *FLOATS)
NUMERIC = (*REAL, np.dtype("c16"))
ALL = (BOOL, *NUMERIC)
F64, C128 = np.dtype("f8"), np.dtype("c16")


class At(NamedTuple):
    """An operand of integers: of `shape`, from `low` up to `high`, of a dtype of its own."""

    shape: tuple[int, ...]
    low: int
    high: int
    dtype: Any = I64
    unique: bool = False


class Row(NamedTuple):
    """A primitive, operands (a shape: of the dtype under test), params and an oracle."""

    name: str
    operands: Sequence[Any]
    oracle: Callable[..., Any]
    params: dict[str, Any] = {}  # noqa: RUF012
    dtypes: Sequence[np.dtype[Any]] = ALL
    linear: Sequence[tuple[int, ...]] = ()  # sets of operands in which it is linear

    def id(self) -> str:
        shapes = "_".join("x".join(map(str, shape_of(o))) or "s" for o in self.operands)
        return f"{self.name}-{shapes}-{'-'.join(f'{v}' for v in self.params.values())}"


def shape_of(operand: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = operand.shape if isinstance(operand, At) else operand
    return shape


# ------------------------------------------------------------------------------------ oracles


def padded(x: Any, value: Any, config: Any) -> Any:
    """Place element by element."""
    shape = [
        lo + hi + (d + (d - 1) * inner if d else 0)
        for d, (lo, hi, inner) in zip(x.shape, config, strict=True)
    ]
    out = np.full(shape, value, x.dtype)
    for index in np.ndindex(x.shape):
        at = tuple(lo + i * (inner + 1) for i, (lo, _, inner) in zip(index, config, strict=True))
        if all(0 <= i < d for i, d in zip(at, shape, strict=True)):
            out[at] = x[index]
    return out


def windows_cut(x: Any, *, axes: Any, sizes: Any, strides: Any, dilations: Any) -> Any:
    """Cut element by element."""
    shape = list(x.shape)
    for a, n, step, d in zip(axes, sizes, strides, dilations, strict=True):
        shape[a] = len(range(0, x.shape[a] - (n - 1) * d, step))
    out = np.empty((*shape, *sizes), x.dtype)
    for index in np.ndindex(out.shape):
        at = list(index[: x.ndim])
        for n, a in enumerate(axes):
            at[a] = at[a] * strides[n] + index[x.ndim + n] * dilations[n]
        out[index] = x[tuple(at)]
    return out


def windows_added(x: Any, *, axes: Any, lengths: Any, **params: Any) -> Any:
    """Add what every element of the windows is a copy of."""
    shape = list(x.shape[: x.ndim - len(axes)])
    for a, n in zip(axes, lengths, strict=True):
        shape[a] = n
    places = windows_cut(np.arange(np.prod(shape)).reshape(shape), axes=axes, **params)
    out = np.zeros(shape, x.dtype)
    np.add.at(out.reshape(-1), places.reshape(-1).astype(int), x.reshape(-1))
    return out


WINDOWS = [
    ((3, 4, 5), {"axes": (1, 2), "sizes": (2, 3), "strides": (1, 1), "dilations": (1, 1)}),
    ((7, 2, 9), {"axes": (2, 0), "sizes": (3, 2), "strides": (2, 3), "dilations": (2, 1)}),
    ((7,), {"axes": (0,), "sizes": (2,), "strides": (3,), "dilations": (4,)}),
    ((2, 9, 8), {"axes": (1, 2), "sizes": (6, 7), "strides": (2, 1), "dilations": (1, 1)}),
    ((2, 3), {"axes": (1,), "sizes": (4,), "strides": (1,), "dilations": (1,)}),
    ((2, 3), {"axes": (), "sizes": (), "strides": (), "dilations": ()}),
]


def windows_of(
    x: Any, indices: Any, sizes: Any, axes: Any, lanes: int
) -> list[tuple[tuple[int, ...], tuple[Any, ...], bool]]:
    """List, for every place of lanes and batch, the index of its window and whether it fits."""
    found = []
    shape = x.shape[lanes:]
    for place in np.ndindex(indices.shape[:-1]):
        start = [0] * len(shape)
        for a, i in zip(axes, indices[place], strict=True):
            start[a] = int(i)
        inside = all(0 <= i <= d - n for i, d, n in zip(start, shape, sizes, strict=True))
        start = [min(max(i, 0), d - n) for i, d, n in zip(start, shape, sizes, strict=True)]
        window = tuple(slice(i, i + n) for i, n in zip(start, sizes, strict=True))
        found.append((place, (*place[:lanes], *window), inside))
    return found


def gathered(
    x: Any, indices: Any, *, axes: Any, sizes: Any, collapsed: Any, lanes: int, mode: str, fill: Any
) -> Any:
    kept = [n for a, n in enumerate(sizes) if a not in collapsed]
    out = np.empty((*indices.shape[:-1], *kept), x.dtype)
    for place, window, inside in windows_of(x, indices, sizes, axes, lanes):
        out[place] = x[window].reshape(kept) if inside or mode != "fill" else fill
    return out


def scattered(combine: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def oracle(
        x: Any, indices: Any, u: Any, *, axes: Any, collapsed: Any, lanes: int, mode: str,
        unique: bool,
    ) -> Any:  # fmt: skip
        del unique
        out = x.copy()
        kept = iter(u.shape[indices.ndim - 1 :])
        sizes = [1 if a in collapsed else next(kept) for a in range(x.ndim - lanes)]
        for place, window, inside in windows_of(x, indices, sizes, axes, lanes):
            if inside or mode != "drop":
                out[window] = combine(out[window], u[place].reshape(out[window].shape))
        return out

    return oracle


def dotted(spec: str) -> Callable[..., Any]:
    return lambda x, y, **params: np.einsum(spec, x, y)


def reduced(function: Any) -> Callable[..., Any]:
    return lambda x, *, axes: function(x, axis=axes)


def accumulated(ufunc: Any) -> Callable[..., Any]:
    def oracle(x: Any, *, axis: int, reverse: bool) -> Any:
        x = np.flip(x, axis) if reverse else x
        out = ufunc.accumulate(x, axis=axis, dtype=x.dtype)
        return np.flip(out, axis) if reverse else out

    return oracle


def dynamic(x: Any, *starts: Any, sizes: Any, lanes: int) -> Any:
    indices = np.stack([s.astype(np.int64) for s in starts], -1)
    params = {"axes": range(len(sizes)), "collapsed": (), "lanes": lanes, "mode": "clip"}
    return gathered(x, indices, sizes=sizes, fill=None, **params)


def updated(x: Any, u: Any, *starts: Any, lanes: int) -> Any:
    indices = np.stack([s.astype(np.int64) for s in starts], -1)
    params = {"axes": range(x.ndim - lanes), "collapsed": (), "lanes": lanes, "mode": "clip"}
    return scattered(lambda old, new: new)(x, indices, u, unique=False, **params)


def sorted_by(*xs: Any, axis: int, num_keys: int, is_stable: bool) -> list[Any]:
    """Sort line by line with Python's sort, which is stable."""
    del is_stable
    outs = [x.copy() for x in xs]
    for line in np.ndindex(*[1 if a == axis else d for a, d in enumerate(xs[0].shape)]):
        at = tuple(slice(None) if a == axis else i for a, i in enumerate(line))
        keys = [[complex(v) if v.dtype.kind == "c" else v.item() for v in x[at]] for x in xs]
        order = sorted(
            range(len(keys[0])),
            key=lambda i: [
                (k[i] != k[i], k[i].real if k[i] == k[i] else 0, k[i].imag if k[i] == k[i] else 0)
                for k in keys[:num_keys]
            ],
        )
        for x, out in zip(xs, outs, strict=True):
            out[at] = x[at][order]
    return outs


# -------------------------------------------------------------------------------------- table

S = (3, 4, 5)
NOTHING = (3, 0, 5)
START = At((), -2, 7)
SLICE = {"starts": (1, 0, 2), "limits": (3, 4, 5), "strides": (2, 1, 3)}
CONFIG = ((1, 2, 0), (0, -1, 2), (-1, 1, 1))
CUT = ((-2, -1, 1), (-3, 0, 2), (1, -4, 1))
AXES = [(0,), (1,), (0, 2), (0, 1, 2)]
CUMULATIVE = [{"axis": a, "reverse": r} for a in (0, 1, 2) for r in (False, True)]
LINEAR = [(0,)]


def gather_params(
    axes: Any, sizes: Any, collapsed: Any, lanes: int = 0, mode: str = "clip"
) -> dict[str, Any]:
    fill = 1 if mode == "fill" else None
    return {"axes": axes, "sizes": sizes, "collapsed": collapsed, "lanes": lanes, "mode": mode,
            "fill": fill}  # fmt: skip


def scatter_params(
    axes: Any, collapsed: Any, lanes: int = 0, mode: str = "drop", unique: bool = False
) -> dict[str, Any]:
    return {"axes": axes, "collapsed": collapsed, "lanes": lanes, "mode": mode, "unique": unique}


GATHERS = [
    ([S, At((3, 2, 1), -1, 6)], gather_params((1,), (3, 1, 5), (1,))),
    ([S, At((3, 2), -1, 4, np.dtype("u1"))], gather_params((2, 0), (2, 4, 1), (2,))),
    ([S, At((6, 2), -1, 6, np.dtype("i2"))], gather_params((2, 0), (1, 2, 2), (0,), 0, "fill")),
    ([S, At((3, 2, 2), 0, 4)], gather_params((0, 1), (1, 2), (0,), 1, "fill")),
    ([S, At((3, 4, 2, 1), 0, 5)], gather_params((0,), (1,), (0,), 2, "promise_in_bounds")),
    ([S, At((2, 0), 0, 1)], gather_params((), (3, 2, 5), ())),
    ([S, At((1,), 0, 3)], gather_params((0,), (1, 4, 5), (0,))),
    ([NOTHING, At((2, 1), 0, 3)], gather_params((0,), (2, 0, 5), ())),
    ([(0, 4), At((0, 1), 0, 3)], gather_params((0,), (1, 4), (0,))),
]
SCATTERS = [
    ([S, At((3, 2, 1), -1, 5), (3, 2, 3, 5)], scatter_params((1,), (1,))),
    ([S, At((6, 2), -1, 5, np.dtype("i2")), (6, 2, 2)], scatter_params((2, 0), (0,))),
    ([S, At((6, 2), -1, 5), (6, 2, 4)], scatter_params((2, 0), (2,), 0, "clip")),
    ([S, At((3, 6, 1), -1, 5), (3, 6, 2, 5)], scatter_params((0,), (), 1)),
    ([S, At((3, 4, 2, 1), 0, 5), (3, 4, 2)], scatter_params((0,), (0,), 2)),
    ([S, At((1,), 0, 3), (4, 5)], scatter_params((0,), (0,))),
    ([S, At((0, 1), 0, 3), (0, 4, 5)], scatter_params((0,), (0,))),
    ([S, At((2, 0), 0, 1), (2, 3, 2, 5)], scatter_params((), ())),
]
UNIQUE = ([S, At((3, 1), 0, 4, unique=True), (3, 3, 5)], scatter_params((1,), (1,), unique=True))

ROWS = [
    Row("slice", [S], lambda x, **_: x[1:3:2, :, 2:5:3], SLICE, linear=LINEAR),
    Row("slice", [NOTHING], lambda x, **_: x[1:3:2, 0:0, 2:5:3], {**SLICE, "limits": (3, 0, 5)},
        linear=LINEAR),
    Row("pad", [S, ()], padded, {"config": CONFIG}, linear=[(0,), (1,), (0, 1)]),
    Row("pad", [S, ()], padded, {"config": CUT}, linear=[(0, 1)]),
    Row("pad", [NOTHING, ()], padded, {"config": ((0, 0, 0), (1, 1, 2), (0, 0, 1))},
        linear=[(0, 1)]),
    Row("concatenate", [(3, 1, 5), NOTHING, S], lambda *xs, axis: np.concatenate(xs, axis),
        {"axis": 1}, linear=[(0, 1, 2), (1,), (2,)]),
    *[Row("sliding_windows", [s], windows_cut, p, linear=LINEAR) for s, p in WINDOWS],
    *[Row("overlap_add", [windows_cut(np.zeros(s), **p).shape], windows_added,
          {**p, "lengths": tuple(s[a] for a in p["axes"])}, NUMERIC, LINEAR) for s, p in WINDOWS],
    Row("flip", [S], lambda x, axes: np.flip(x, axes), {"axes": (0, 2)}, linear=LINEAR),
    Row("dynamic_slice", [S, START, At((), -2, 7, I8), At((), 0, 7, np.dtype("u8"))], dynamic,
        {"sizes": (2, 4, 1), "lanes": 0}, linear=LINEAR),
    Row("dynamic_slice", [S, At((3,), -2, 7), At((3,), -2, 7)], dynamic,
        {"sizes": (2, 3), "lanes": 1}, linear=LINEAR),
    Row("dynamic_update_slice", [S, (2, 4, 1), START, At((), -2, 7, I8), START], updated,
        {"lanes": 0}, linear=[(0,), (1,), (0, 1)]),
    Row("dynamic_update_slice", [S, (3, 2, 3), At((3,), -2, 7), At((3,), -2, 7)], updated,
        {"lanes": 1}, linear=[(0, 1)]),
    *[Row("reduce_prod", [s], lambda x, axes: np.prod(x, axes, dtype=x.dtype), {"axes": a})
      for s in (S, NOTHING) for a in AXES],
    *[Row(name, [S], reduced(f), {"axes": a}, (BOOL, *REAL)) for a in AXES
      for name, f in (("reduce_max", np.max), ("reduce_min", np.min))],
    Row("reduce_max", [NOTHING], reduced(np.max), {"axes": (0,)}),
    *[Row(name, [s], reduced(f), {"axes": a}, LOGICAL) for a in AXES for s in (S, NOTHING)
      for name, f in (("reduce_and", np.bitwise_and.reduce), ("reduce_or", np.bitwise_or.reduce))],
    *[Row(name, [S], lambda x, axis, dtype, f=f: f(x, axis).astype(dtype),
          {"axis": axis, "dtype": np.dtype("i4")})
      for axis in (0, 1, 2) for name, f in (("argmax", np.argmax), ("argmin", np.argmin))],
    *[Row("dot_general", shapes, dotted(spec), {"dimension_numbers": numbers, "preferred": None},
          linear=[(0,), (1,)])
      for spec, shapes, numbers in [
          ("ijk,lkm->ijlm", [S, (2, 5, 6)], (((2,), (1,)), ((), ()))),
          ("ijk,kil->ijl", [S, (5, 3, 2)], (((2,), (0,)), ((0,), (1,)))),
          ("ijk,kmij->m", [S, (5, 2, 3, 4)], (((1, 2, 0), (3, 0, 2)), ((), ()))),
          ("ijk,jki->ikj", [S, (4, 5, 3)], (((), ()), ((0, 2, 1), (2, 1, 0)))),
          ("ijk,jl->ikl", [NOTHING, (0, 2)], (((1,), (0,)), ((), ()))),
          ("ij,->ij", [(9, 10), ()], (((), ()), ((), ()))),
          ("ij,jk->ik", [(9, 10), (10, 11)], (((1,), (0,)), ((), ()))),
      ]],
    *[Row("gather", o, gathered, p, linear=LINEAR if p["mode"] != "fill" else ())
      for o, p in GATHERS],
    *[Row("scatter", o, scattered(lambda old, new: new), p, linear=[(0,), (2,), (0, 2)])
      for o, p in (*SCATTERS, UNIQUE)],
    *[Row("scatter_add", o, scattered(np.add), p, linear=[(0,), (2,), (0, 2)])
      for o, p in SCATTERS],
    *[Row("scatter_mul", o, scattered(np.multiply), p, linear=LINEAR)
      for o, p in (*SCATTERS[:3], UNIQUE)],
    *[Row(name, o, scattered(f), p, (BOOL, *REAL)) for o, p in SCATTERS
      for name, f in (("scatter_max", np.maximum), ("scatter_min", np.minimum))],
    *[Row("cumsum", [S], accumulated(np.add), p, NUMERIC, LINEAR) for p in CUMULATIVE],
    *[Row("cumprod", [S], accumulated(np.multiply), p, NUMERIC) for p in CUMULATIVE],
    *[Row("cummax", [S], accumulated(np.maximum), p) for p in CUMULATIVE],
    *[Row("cummin", [S], accumulated(np.minimum), p) for p in CUMULATIVE],
    *[Row("cumlogsumexp", [S], accumulated(np.logaddexp), p, FLOATS) for p in CUMULATIVE],
    *[Row(name, [shape], accumulated(f), {"axis": 1, "reverse": True}, FLOATS)
      for name, f in (("cumsum", np.add), ("cumprod", np.multiply), ("cummax", np.maximum),
                      ("cumlogsumexp", np.logaddexp)) for shape in (NOTHING, (2, 1))],
    *[Row("sort", [S] * n, sorted_by, {"axis": axis, "num_keys": keys, "is_stable": True})
      for n, axis, keys in ((1, 0, 1), (1, 2, 1), (2, 1, 1), (3, 1, 2))],
    Row("sort", [NOTHING, NOTHING], sorted_by, {"axis": 1, "num_keys": 2, "is_stable": True}),
    # Rank 0.
    Row("slice", [()], lambda x, **_: x, dict.fromkeys(SLICE, ()), linear=LINEAR),
    Row("pad", [(), ()], padded, {"config": ()}, linear=[(0,), (0, 1)]),
    Row("flip", [()], lambda x, axes: x, {"axes": ()}, linear=LINEAR),
    *[Row(name, [()], lambda x, axes: x, {"axes": ()}) for name in ("reduce_prod", "reduce_max")],
    Row("dot_general", [(), ()], dotted(",->"),
        {"dimension_numbers": (((), ()), ((), ())), "preferred": None}, linear=[(0,), (1,)]),
    Row("gather", [(), At((2, 0), 0, 1)], gathered, gather_params((), (), ()), linear=LINEAR),
    *[Row(name, [(), At((2, 0), 0, 1), (2,)], scattered(f), scatter_params((), ()),
          linear=[(0,), (2,), (0, 2)])
      for name, f in (("scatter", lambda old, new: new), ("scatter_add", np.add))],
]  # fmt: skip

row_ids = pytest.mark.parametrize("row", ROWS, ids=Row.id)


def bind(row: Row, *operands: Any) -> list[Any]:
    primitive = PRIMITIVES[row.name]
    out = primitive.bind(*operands, **row.params)
    return list(out) if primitive.multiple else [out]


def listed(row: Row, out: Any) -> list[Any]:
    return list(out) if PRIMITIVES[row.name].multiple else [out]


def random(rng: np.random.Generator, operand: Any, dtype: np.dtype[Any], smooth: bool) -> Any:
    """Draw an operand; if not `smooth`, from few values, so that there are ties and zeros."""
    shape = shape_of(operand)
    if isinstance(operand, At):
        if operand.unique:
            return rng.permutation(operand.high)[: np.prod(shape)].reshape(shape)
        low = max(operand.low, 0) if operand.dtype.kind == "u" else operand.low
        return rng.integers(low, operand.high, shape).astype(operand.dtype)
    if smooth:
        x = np.asarray(rng.normal(size=shape))
        return (x + 1j * rng.normal(size=shape) if dtype.kind == "c" else x).astype(dtype)
    if dtype == BOOL:
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    x = rng.choice(np.array([-2, -1, -0.0, 0.0, 1, 2, 0.5]), shape)
    return np.asarray(x + 1j * rng.choice([-1, 0, 2], shape) if dtype.kind == "c" else x).astype(
        dtype
    )


def draw(row: Row, dtype: np.dtype[Any], smooth: bool, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [random(rng, o, dtype, smooth) for o in row.operands]


def tolerance(dtype: np.dtype[Any]) -> dict[str, float]:
    if dtype.kind in "biu":
        return {"rtol": 0}
    eps = float(ml_dtypes.finfo(dtype).eps)
    return {"rtol": 8 * eps, "atol": 8 * eps}


def wide(x: Any) -> Any:
    return x.astype(np.float64) if x.dtype in FLOATS else x


def check_values(row: Row, operands: list[Any], signs: bool = False) -> None:
    outs = [host_array(x) for x in bind(row, *operands)]
    narrow = any(x.dtype in FLOATS[:2] for x in operands)
    with np.errstate(all="ignore"):
        expected = row.oracle(*[wide(x) if narrow else x for x in operands], **row.params)
        for got, want in zip(outs, listed(row, expected), strict=True):
            want = np.asarray(want).astype(got.dtype)
            np.testing.assert_allclose(wide(got), wide(want), **tolerance(got.dtype))
            if signs:
                np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


# -------------------------------------------------------------------------------- what must hold


@row_ids
def test_values(row: Row) -> None:
    """The impl is the oracle, ties and zeros included; conftest checks shape and dtype."""
    for dtype in row.dtypes:
        for seed in range(2):
            check_values(row, draw(row, dtype, False, seed))


def with_nan(row: Row, operands: list[Any]) -> list[Any]:
    """Put NaN and infinities into what is not an index, in place."""
    rng = np.random.default_rng(4)
    for x, operand in zip(operands, row.operands, strict=True):
        if not isinstance(operand, At):
            for value, share in ((np.nan, 0.15), (-np.inf, 0.1), (np.inf, 0.1)):
                x[rng.random(x.shape) < share] = value
    return operands


MOVES = ("sliding_windows", "slice", "pad", "concatenate", "flip", "dynamic_slice",
         "dynamic_update_slice", "gather", "scatter", "sort")  # fmt: skip


@row_ids
def test_nan_infinities_and_the_sign_of_zero(row: Row) -> None:
    if F64 not in row.dtypes or row.name == "dot_general":
        return
    for dtype in set(FLOATS) & set(row.dtypes):
        check_values(row, with_nan(row, draw(row, dtype, False)), signs=row.name in MOVES)


def is_derivable(row: Row) -> bool:
    return bool({F64, C128} & set(row.dtypes)) and not row.name.startswith("arg")


DERIVABLE = pytest.mark.parametrize("row", [r for r in ROWS if is_derivable(r)], ids=Row.id)


def derivative_dtypes(row: Row) -> list[np.dtype[Any]]:
    extreme = row.name in ("cummax", "cummin", "reduce_max")
    return [d for d in (F64, C128) if d in row.dtypes and not (extreme and d == C128)]


def values(x: Any) -> Any:
    return np.zeros(x.aval.shape, x.aval.dtype) if isinstance(x, Zero) else host_array(x)


def floating(row: Row) -> list[int]:
    inexact = [i for i, o in enumerate(row.operands) if not isinstance(o, At)]
    if row.name == "scatter_mul" and not row.params["unique"]:
        return inexact[:1]
    return inexact


@DERIVABLE
def test_jvp_is_the_central_difference(row: Row) -> None:
    """In every subset of the operands."""
    rule = tables.jvp[PRIMITIVES[row.name]]
    for dtype in derivative_dtypes(row):
        primals = draw(row, dtype, True, 1)
        directions = draw(row, dtype, True, 2)
        inexact = floating(row)
        for chosen in itertools.product([False, True], repeat=len(inexact)):
            active = {i for i, on in zip(inexact, chosen, strict=True) if on}
            if not active:
                continue
            tangents = [
                t if i in active else Zero(get_aval(x))
                for i, (t, x) in enumerate(zip(directions, primals, strict=True))
            ]
            outs, moved = rule(primals, tangents, **row.params)
            h = 1e-6
            plus, minus = (
                bind(row, *[x + s * h * t if i in active else x
                            for i, (x, t) in enumerate(zip(primals, directions, strict=True))])
                for s in (1, -1)
            )  # fmt: skip
            for out, same, t, a, b in zip(
                listed(row, outs), bind(row, *primals), listed(row, moved), plus, minus, strict=True
            ):
                np.testing.assert_array_equal(host_array(out), host_array(same))
                aval = t.aval if isinstance(t, Zero) else get_aval(t)
                assert (aval.shape, aval.dtype) == (out.shape, out.dtype)
                slope = (host_array(a) - host_array(b)) / (2 * h)
                np.testing.assert_allclose(values(t), slope, rtol=1e-6, atol=1e-7)


@DERIVABLE
def test_second_derivative_is_the_difference_of_the_first(row: Row) -> None:
    """Forward over reverse, so that transposition and the rules of the rules are run."""
    inexact = floating(row)
    for dtype in derivative_dtypes(row):
        operands, directions = draw(row, dtype, True, 3), draw(row, dtype, True, 5)
        primals = [operands[i] for i in inexact]
        along = [directions[i] for i in inexact]

        def function(*xs: Any, operands: Any = operands) -> list[Any]:
            full = list(operands)
            for i, x in zip(inexact, xs, strict=True):
                full[i] = x
            return bind(row, *full)

        rng = np.random.default_rng(2)
        cts = [random(rng, o.shape, o.dtype, True) for o in function(*primals)]

        def gradient(*xs: Any, cts: Any = cts) -> list[Any]:
            _, pullback = vjp_flat(function, xs)
            return [
                np.zeros(c.aval.shape, c.aval.dtype) if isinstance(c, Zero) else c
                for c in pullback(cts)
            ]

        first, second = jvp_flat(gradient, primals, along)
        _, forward = jvp_flat(function, primals, along)
        left = sum(np.sum(ct * values(t)) for ct, t in zip(cts, forward, strict=True))
        right = sum(np.sum(values(g) * d) for g, d in zip(first, along, strict=True))
        np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-10)
        h = 1e-5
        plus, minus = (
            gradient(*[x + s * h * d for x, d in zip(primals, along, strict=True)])
            for s in (1, -1)
        )
        for a, b, got in zip(plus, minus, second, strict=True):
            slope = (host_array(a) - host_array(b)) / (2 * h)
            np.testing.assert_allclose(values(got), slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("row", "active"),
    [(r, a) for r in ROWS for a in r.linear],
    ids=lambda v: v.id() if isinstance(v, Row) else str(v),
)
def test_transpose_is_the_adjoint(row: Row, active: tuple[int, ...]) -> None:
    """<ct, f(x)> = <transpose(ct), x>, without conjugation."""
    for dtype in derivative_dtypes(row):
        operands = draw(row, dtype, True, 1)
        at_zero = [0 * x if i in active else x for i, x in enumerate(operands)]
        out = host_array(bind(row, *operands)[0]) - host_array(bind(row, *at_zero)[0])
        ct = random(np.random.default_rng(6), out.shape, out.dtype, True)
        given = [
            Linear(ShapedArray(x.shape, x.dtype)) if i in active else x
            for i, x in enumerate(operands)
        ]
        cts = tables.transpose[PRIMITIVES[row.name]](ct, *given, **row.params)
        total: Any = 0.0
        for i, (c, x) in enumerate(zip(cts, operands, strict=True)):
            assert (c is None) == (i not in active)
            if c is not None:
                assert (c.shape, c.dtype) == (x.shape, x.dtype)
                total += np.sum(host_array(c) * x)
        np.testing.assert_allclose(np.sum(ct * out), total, rtol=1e-10, atol=1e-10)


@row_ids
def test_batching_is_a_loop(row: Row) -> None:
    """At every axis of mixtures of batched and unbatched operands."""
    rule = tables.batch[PRIMITIVES[row.name]]
    dtype = F64 if F64 in row.dtypes else BOOL
    lanes = 2
    choices = [[None, *range(len(shape_of(o)) + 1)] for o in row.operands]
    mixtures = [m for m in itertools.product(*choices) if any(a is not None for a in m)]
    for axes in mixtures[:: 1 + len(mixtures) // 40]:
        draws = [draw(row, dtype, False, seed) for seed in range(lanes)]
        operands = [
            draws[0][i] if a is None else np.stack([d[i] for d in draws], a)
            for i, a in enumerate(axes)
        ]
        outs, out_axes = rule(operands, axes, **row.params)
        if not PRIMITIVES[row.name].multiple:
            outs, out_axes = [outs], [out_axes]
        for lane in range(lanes):
            one = [draws[0 if a is None else lane][i] for i, a in enumerate(axes)]
            for out, axis, want in zip(outs, out_axes, bind(row, *one), strict=True):
                got = np.take(host_array(out), lane, axis)
                np.testing.assert_allclose(got, host_array(want), rtol=1e-12)


TARGETS = [
    Target("cpu", 32 << 20, frozenset(scalar.COSTS), libraries)
    for libraries in (frozenset[str](), frozenset(["matmul"]))
]


@row_ids
def test_compiled_is_eager(row: Row) -> None:
    """The plan, be it loops, a library call or a callback, computes what impl does.

    The params survive the text of the Program.
    """
    for dtype in (F64, np.dtype("f4"), np.dtype("f2"), BF16, C128, I8, np.dtype("u8"), BOOL):
        if dtype not in row.dtypes:
            continue
        operands = draw(row, dtype, False, 7)
        avals = [ShapedArray(x.shape, x.dtype) for x in operands]
        program = stage(lambda *xs: bind(row, *xs), avals)
        again = parse(str(program), PRIMITIVES)
        assert again.equations[0].params == program.equations[0].params
        draws = [operands]
        if dtype in FLOATS and row.name != "dot_general":
            draws.append(with_nan(row, draw(row, dtype, False, 8)))
        for target in TARGETS[: 1 + (row.name == "dot_general")]:
            plan = compile_program(program, target)
            for arrays in draws:
                with np.errstate(all="ignore"):
                    got = run_plan(plan, arrays)
                for a, b in zip(got, bind(row, *arrays), strict=True):
                    np.testing.assert_allclose(
                        wide(a), wide(host_array(b)), **tolerance(np.dtype(a.dtype))
                    )
                    if row.name in MOVES and dtype in FLOATS:
                        np.testing.assert_array_equal(np.signbit(a), np.signbit(host_array(b)))


NATIVE = ("sliding_windows", "overlap_add", "slice", "pad", "concatenate", "flip",
          "dynamic_slice", "dynamic_update_slice", "reduce_prod", "reduce_max", "reduce_min",
          "reduce_and", "reduce_or", "argmax", "argmin", "gather")  # fmt: skip


def test_what_is_native_and_what_is_tabled() -> None:
    named = {row.name for row in ROWS}
    assert {name for name in named if PRIMITIVES[name] in tables.lower} == set(NATIVE)
    modules = ("slicing", "windows", "reduction", "contraction", "indexing", "_placement",
               "cumulative", "sorting")  # fmt: skip
    for name, primitive in PRIMITIVES.items():
        if tables.shape[primitive].__module__.rpartition(".")[2] in modules:
            assert name in named, f"{name} has no row"
