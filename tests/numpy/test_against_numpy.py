# ruff: noqa: E501  (a row of the table is a line)
"""Every function against NumPy: rows of a table, eagerly and staged."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit.numpy as tnp
from tracejit.core.array import Array
from tracejit.transforms.stage import evaluate, stage

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5))
Y = RNG.normal(size=(4, 5))
Z = X + 1j * RNG.normal(size=X.shape)
N = RNG.integers(-20, 20, size=(3, 4, 5))
M = RNG.integers(1, 9, size=(4, 1))
U = RNG.integers(0, 255, size=(3, 4, 5)).astype(np.uint8)
P = np.abs(X) + 0.1
S = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 2.5, -2.0])
H = X.astype(np.float16)
F = X.astype(np.float32)
B = X > 0
E = np.zeros((2, 0, 3))
V = RNG.normal(size=7)
SQ = RNG.normal(size=(2, 3, 3))
UNIT = np.clip(X / 4, -0.99, 0.99)
SORTED = np.sort(V)

REAL = [X, np.float64(0.5), E, S, H, F, N, U, B]
ANY = [*REAL, Z]
UNARY = {
    "absolute": ANY, "abs": ANY, "fabs": REAL, "sign": [X, S, N, U], "square": ANY,
    "negative": [X, S, N, Z], "positive": [X, N], "sqrt": [P, S, N, B, Z], "cbrt": [X, S, N],
    "reciprocal": [P, M, Z], "conjugate": ANY, "conj": ANY, "floor": REAL, "ceil": REAL,
    "trunc": REAL, "fix": [X, S], "rint": ANY, "exp": ANY, "exp2": [X, S, N % 8], "expm1": [X, S],
    "log": [P, S, M], "log2": [P, S], "log10": [P, S], "log1p": [P, S], "sin": [X, N, U, B, Z],
    "cos": [X, N], "tan": [X], "arcsin": [UNIT], "arccos": [UNIT], "arctan": [X, S],
    "sinh": [X], "cosh": [X], "tanh": [X, S], "arcsinh": [X], "arccosh": [P + 1], "arctanh": [UNIT],
    "degrees": [X, F, N], "radians": [X, N], "rad2deg": [X], "deg2rad": [X], "isnan": ANY,
    "isinf": ANY, "isfinite": ANY, "isposinf": [S], "isneginf": [S], "isreal": ANY,
    "iscomplex": ANY, "signbit": REAL, "logical_not": ANY, "invert": [N, U, B],
    "bitwise_count": [N, U], "real": ANY, "imag": ANY, "angle": [X, Z], "nan_to_num": [S, N, Z, F],
    "sinc": [X, S[:4]], "around": REAL[:-1], "round": ANY[:-2], "zeros_like": ANY,
    "ones_like": ANY,
}  # fmt: skip
BINARY = {
    "add": [(X, Y), (N, 3), (F, 2.5), (U, U), (B, B), (X, 1j), (N, F), (E, 1.0)],
    "subtract": [(X, Y), (2, N), (U, U)],
    "multiply": [(X, Y), (U, U), (B, B), (Z, Y)],
    "true_divide": [(X, Y), (N, M), (U, M.astype(np.uint8)), (1, P), (S, 0.0)],
    "divide": [(X, 2)],
    "floor_divide": [(X, Y), (N, M), (N, -3), (N, 4), (S, 1.5), (S, -2.0), (S, S[::-1]), (U, 7), (B, B)],
    "remainder": [(X, Y), (N, M), (N, -3), (N, 4), (S, 1.5), (S, -2.0), (S, S[::-1]), (U, 7)],
    "mod": [(X, 0.7)],
    "fmod": [(X, Y), (N, M), (S, 1.5)],
    "power": [(P, Y), (N, 3), (N, M % 4), (X, 2), (X, -2), (P, 0.5), (2.0, X), (2, M), (F, 3), (U, 3), (X, 2.0), (3, np.int32(2)), (B, 2)],
    "pow": [(P, 1.5)],
    "float_power": [(N, 2), (P, Y)],
    "maximum": [(X, Y), (S, 0.0), (N, 0), (B, False)],
    "minimum": [(X, Y), (S, 0.0)],
    "fmax": [(S, 0.0), (S, S[::-1]), (N, 2)],
    "fmin": [(S, 0.0), (S, S[::-1])],
    "arctan2": [(X, Y), (S, S[::-1]), (N, M)],
    "hypot": [(X, Y), (S, 1.0)],
    "copysign": [(X, Y), (S, -1.0)],
    "nextafter": [(X, 0.0)],
    "logaddexp": [(X, Y), (S, S[::-1]), (S, 0.0)],
    "logaddexp2": [(X, Y), (S, 0.0)],
    "heaviside": [(S, 0.5), (X, 1.0)],
    "ldexp": [(X, 3), (X, M)],
    "equal": [(N, 3), (S, S), (U, 300), (Z, Z), (-1, U)],
    "not_equal": [(N, 3), (U, 300)],
    "less": [(X, Y), (U, 300), (300, U), (U, -1)],
    "less_equal": [(X, 0)],
    "greater": [(X, Y), (U, -5)],
    "greater_equal": [(N, M)],
    "logical_and": [(X, B), (N, 0)],
    "logical_or": [(N, 0)],
    "logical_xor": [(N, B)],
    "bitwise_and": [(N, 7), (B, B), (U, 15)],
    "bitwise_or": [(N, 8)],
    "bitwise_xor": [(N, M)],
    "left_shift": [(N, 2), (M, M)],
    "right_shift": [(N, 2), (U, 1)],
    "isclose": [(X, X + 1e-9), (S, S), (N, N)],
    "array_equal": [(X, X), (X, Y), (S, S)],
    "array_equiv": [(Y, np.stack([Y, Y]))],
    "allclose": [(X, X)],
    "matmul": [(X, Y.T), (V, V), (X, V[:5]), (Y, X.transpose(0, 2, 1)), (V[:4], X), (SQ, SQ), (SQ[0], SQ), (SQ[:1], SQ), (N, N.transpose(0, 2, 1))],
    "dot": [(X, Y.T), (V, V), (2.0, X), (Y, X.transpose(0, 2, 1))],
    "vdot": [(Z, Z), (V, V)],
    "inner": [(X, Y), (V, 2.0)],
    "outer": [(V, Y)],
    "kron": [(Y, V), (SQ[0], Y)],
    "vecdot": [(Z, Z)],
    "cross": [(SQ, SQ[0])],
    "convolve": [(V, Y[0]), (Y[0], V), (N[0, 0], N[0, 1])],
    "correlate": [(V, Y[0]), (Y[0], V)],
    "polyval": [(V, X), ([1, 2, 3], 2)],
    "trapezoid": [(X,), (Y, SORTED[:5])],
    "searchsorted": [(SORTED, X), (SORTED, SORTED), (SORTED, S)],
    "digitize": [(X, SORTED), (X, SORTED[::-1])],
    "isin": [(N, [1, 2, 3])],
    "append": [(V, Y)],
}  # fmt: skip
AXES = [None, 0, -1, (0, 2), (1, -1), ()]
ONE_AXIS = [None, 0, 1, -1]


def rows() -> list[Any]:
    out = []
    for name, operands in UNARY.items():
        out += [(name, (x,), {}) for x in operands]
    for name, pairs in BINARY.items():
        out += [(name, pair, {}) for pair in pairs]
    for name in ("sum", "prod", "mean", "std", "var", "max", "min", "any", "all"):
        for axis in AXES:
            out.append((name, (X,), {"axis": axis}))
            out.append((name, (X,), {"axis": axis, "keepdims": True}))
        out += [(name, (v,), {"axis": 1}) for v in (H, F, N, U, B)]
        if name not in ("max", "min"):
            out += [(name, (E,), {"axis": 1}), (name, (Z,), {"axis": 0})]
    for name in ("nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"):
        out += [(name, (np.where(B, X, np.nan),), {"axis": axis}) for axis in AXES[:-1]]
        out.append((name, (N,), {"axis": 0}))
    for name in ("argmax", "argmin", "cumsum", "cumprod"):
        out += [(name, (v,), {"axis": axis}) for axis in ONE_AXIS for v in (X, N, B)]
    for name in ("sort", "argsort"):
        kind = {"kind": "stable"}
        out += [(name, (v,), {"axis": a, **kind}) for a in ONE_AXIS for v in (X, N, B)]
    for name in ("median", "ptp", "count_nonzero"):
        out += [(name, (X,), {"axis": axis}) for axis in AXES[:-1]]
    for method in ("linear", "lower", "higher", "nearest", "midpoint"):
        out.append(("quantile", (X, [0.0, 0.3, 0.5, 1.0]), {"axis": 1, "method": method}))
        out.append(("percentile", (X, 37.0), {"method": method, "keepdims": True}))
    out += [
        ("median", (S,), {}), ("median", (N,), {"axis": 1}), ("quantile", (F, 0.25), {"axis": (0, 2)}),
        ("sum", (X,), {"where": B, "axis": 1}), ("sum", (X,), {"initial": 3.0}),
        ("prod", (X,), {"where": B, "axis": 1}), ("mean", (X,), {"where": B, "axis": (0, 1)}),
        ("var", (X,), {"ddof": 1, "axis": 0}), ("std", (X,), {"ddof": 2}),
        ("var", (X,), {"where": B, "axis": 0}),
        ("max", (X,), {"initial": 0.0, "where": B, "axis": 2}), ("min", (E,), {"initial": 1.0, "axis": 1}),
        ("sum", (N,), {"dtype": np.float32}), ("any", (X,), {"where": B}),
        ("average", (X,), {"weights": P, "axis": 1}), ("average", (X,), {"weights": V[:4], "axis": 1}),
        ("average", (N,), {}), ("diff", (X,), {"n": 2, "axis": 1}), ("diff", (B,), {}),
        ("diff", (V,), {"prepend": 0.0, "append": V}), ("ediff1d", (V,), {"to_begin": 9.0}),
        ("gradient", (Y,), {}), ("gradient", (V, 0.5), {"edge_order": 2}),
        ("gradient", (V, SORTED), {}), ("gradient", (V, SORTED), {"edge_order": 2}),
        ("trapezoid", (X,), {"axis": 0, "dx": 0.1}), ("interp", (X, SORTED, V), {}),
        ("interp", (np.append(SORTED, [9, -9]), SORTED, V), {"left": -1.0, "right": 7.0}),
        ("unwrap", (X * 4,), {}), ("clip", (X, -0.5, 0.5), {}), ("clip", (N, None, 3), {}),
        ("clip", (X, Y, None), {}), ("around", (X,), {"decimals": 2}), ("round", (N,), {"decimals": -1}),
        ("round", (X * 100,), {"decimals": -1}), ("round", (F,), {"decimals": 3}),
        ("angle", (Z,), {"deg": True}),
        # manipulation
        ("reshape", (X, (5, -1)), {}), ("reshape", (X, -1), {"order": "F"}), ("reshape", (X, (4, 15)), {"order": "F"}),
        ("ravel", (X,), {}), ("ravel", (E,), {}), ("transpose", (X,), {}), ("transpose", (X, (1, -1, 0)), {}),
        ("swapaxes", (X, 0, -1), {}), ("moveaxis", (X, 0, -1), {}), ("moveaxis", (X, (0, 2), (2, 1)), {}),
        ("rollaxis", (X, 2), {}), ("rollaxis", (X, 0, 3), {}), ("expand_dims", (X, (0, -1)), {}),
        ("squeeze", (X[:, :1],), {}), ("squeeze", (X[:, :1],), {"axis": 1}), ("broadcast_to", (Y, (2, 4, 5)), {}),
        ("broadcast_to", (1.5, (2, 3)), {}), ("concatenate", ([X, X[:1]],), {}), ("concatenate", ([X, N],), {"axis": -1}),
        ("concatenate", ([X, Y],), {"axis": None}), ("stack", ([Y, Y],), {"axis": -1}), ("vstack", ([V, V],), {}),
        ("hstack", ([V, V],), {}), ("hstack", ([Y, Y],), {}), ("dstack", ([Y, Y],), {}), ("column_stack", ([V, V],), {}),
        ("block", ([[Y, Y], [Y, Y]],), {}), ("block", ([V, 1.0],), {}), ("tile", (Y, (2, 1, 3)), {}), ("tile", (X, 2), {}),
        ("repeat", (X, 3), {"axis": 1}), ("repeat", (V, [1, 0, 2, 1, 1, 3, 0]), {}), ("flip", (X,), {}),
        ("flip", (X, (0, 2)), {}), ("fliplr", (X,), {}), ("flipud", (X,), {}), ("rot90", (Y,), {}), ("rot90", (Y, 2), {}),
        ("rot90", (X, 3, (1, 2)), {}), ("roll", (X, 2), {}), ("roll", (X, -3), {"axis": 1}), ("roll", (X, (1, 2), (0, 2)), {}),
        ("roll", (X, 1, (0, 1)), {}), ("delete", (V, [1, 3]), {}), ("delete", (X, slice(0, 2)), {"axis": 1}),
        ("insert", (V, 2, 9.0), {}), ("insert", (X, 1, Y), {"axis": 0}), ("resize", (Y, (3, 9)), {}),
        ("atleast_1d", (1.0,), {}), ("atleast_2d", (V,), {}), ("atleast_3d", (Y,), {}), ("atleast_3d", (V,), {}),
        ("take", (X, [[0, 2], [-1, 1]]), {"axis": 1}), ("take", (X, 3), {}), ("take", (X, [0, 9]), {"axis": 1, "mode": "wrap"}),
        ("take", (X, [-3, 9]), {"axis": 1, "mode": "clip"}),
        ("take_along_axis", (X, np.argsort(X, 1), 1), {}), ("compress", (B[0, 0], X), {"axis": 2}),
        ("where", (B, X, 0), {}), ("where", (B, N, Y), {}), ("select", ([X < 0, X > 1], [N, 2 * X]), {"default": 7}),
        ("choose", (N % 3, [X, Y, 1.0]), {}), ("piecewise", (X, [X < 0, X >= 0], [-1.0, lambda v: v * v]), {}),
        ("tril", (X,), {}), ("triu", (X, 1), {}), ("diag", (V, 2), {}), ("diag", (V, -1), {}), ("diag", (Y, 1), {}),
        ("diagonal", (X, -1, 0, 2), {}), ("diagonal", (B,), {}), ("trace", (X, 1), {}), ("diagflat", (Y,), {}),
        ("vander", (V, 4), {}), ("bincount", (M.ravel(),), {}), ("bincount", (M.ravel(),), {"weights": V[:4], "minlength": 12}),
        ("tensordot", (X, X), {"axes": 3}), ("tensordot", (X, Y), {"axes": ([1, 2], [0, 1])}), ("tensordot", (Y, V), {"axes": 0}),
        ("einsum", ("ijk,jk->i", X, Y), {}), ("einsum", ("ijk->ik", X), {}), ("einsum", ("ii->i", SQ[0]), {}),
        ("einsum", ("...ij,...jk->...ik", SQ, SQ), {}), ("einsum", ("i,j,k->kij", V, V[:2], V[:3]), {}),
        ("einsum", ("ijk,kl,jl", X, Y.T, Y[:, :4]), {}), ("einsum", (X, [0, 1, 2], Y, [1, 2], [0]), {}),
        ("einsum", ("ij,ij->ij", Y, Y), {}), ("unravel_index", (U.astype(int) % 60, (3, 4, 5)), {}),
        ("nonzero", (B,), {}), ("argwhere", (B,), {}), ("flatnonzero", (B,), {}), ("unique", (N,), {}),
        ("histogram", (X,), {"bins": 4}), ("array_split", (X, 3), {"axis": 2}), ("split", (X, [1, 3]), {"axis": 2}),
        ("split", (X, 2), {"axis": 1}), ("hsplit", (Y, 5), {}), ("vsplit", (Y, 2), {}), ("dsplit", (X, 5), {}),
        ("meshgrid", (V, V[:2], V[:3]), {}), ("meshgrid", (V, V[:2]), {"indexing": "ij", "sparse": True}),
        ("divmod", (N, -3), {}), ("divmod", (S, 1.5), {}), ("broadcast_arrays", (X, Y, 1.0), {}), ("lexsort", ((M[:, 0], V[:4]),), {}),
        ("cumulative_sum", (V,), {"include_initial": True}), ("unstack", (X,), {"axis": 1}),
        # creation
        ("arange", (5,), {}), ("arange", (2, 9, 2), {}), ("arange", (0.5, 3, 0.3), {}), ("arange", (9, 2, -2), {}),
        ("arange", (5.0,), {}), ("arange", (7,), {"dtype": np.float32}), ("arange", (0,), {}), ("arange", (np.int32(4),), {}),
        ("linspace", (0, 1), {}), ("linspace", (0, 1, 7), {"endpoint": False}), ("linspace", (V, 2 * V, 4), {"axis": -1}),
        ("linspace", (0, 10, 5), {"dtype": int}), ("linspace", (1, 2, 1), {}), ("linspace", (1, 2, 0), {}),
        ("logspace", (0, 2, 5), {}), ("geomspace", (1.0, 100.0, 5), {}), ("eye", (3,), {}), ("eye", (3, 4), {"k": -1}),
        ("identity", (3,), {}), ("tri", (3, 4, 1), {}), ("zeros", ((2, 3),), {}), ("ones", (3,), {"dtype": int}),
        ("full", ((2, 2), 7), {}), ("full", ((2, 3), V[:3]), {}), ("full_like", (N, 2.7), {}), ("indices", ((2, 3),), {}),
        ("tril_indices", (3,), {}), ("array", ([[1, 2], [3, 4.5]],), {}), ("array", (3,), {"ndmin": 2}), ("asarray", ([],), {}),
    ]  # fmt: skip
    for mode in ("constant", "edge", "wrap", "reflect", "symmetric"):
        out.append(("pad", (X, ((1, 2), (0, 3), (2, 2))), {"mode": mode}))
        out.append(("pad", (V, 20), {"mode": mode}))
    out.append(("pad", (Y, 1), {"mode": "constant", "constant_values": 3.0}))
    for x in (X, N, F, U):
        for mode in ("linear_ramp", "maximum", "mean", "median", "minimum"):
            out.append(("pad", (x, ((1, 2), (0, 3), (2, 2))), {"mode": mode}))
        for mode in ("reflect", "symmetric"):
            out.append(("pad", (x, ((1, 2), (0, 9), (2, 2))), {"mode": mode, "reflect_type": "odd"}))
        for mode in ("maximum", "mean", "median"):
            how = {"mode": mode, "stat_length": ((1, 2), (2, 9), (3, 3))}
            out.append(("pad", (x, ((1, 2), (0, 3), (2, 2))), how))
    out.append(("pad", (N, 3), {"mode": "linear_ramp", "end_values": ((7, 2), (3, 4), (-5, 6))}))
    for period in (2.0, -3, 0.7):
        out.append(("interp", (X, V, V), {"period": period, "left": 9.0}))
    out += [
        ("insert", (V, [0, 2], [7.0, 8.0]), {}), ("insert", (X, [3, 0, 3], 7.0), {"axis": 0}),
        ("insert", (X, slice(0, 4, 2), 7.0), {"axis": 1}), ("insert", (X, [1], X[..., :2]), {"axis": 2}),
        ("insert", (V, np.array([True, False, True]), 7), {}), ("insert", (N, [-1, 2], [[1], [2]]), {"axis": 1}),
        ("insert", (X, [1], Y[None]), {"axis": 0}), ("insert", (X, 1, Y[:, :3].T), {"axis": 2}),
        ("logspace", (0, 2, 3), {"base": [2, 3]}), ("logspace", (0, [1, 2], 3), {"base": 2.0, "axis": -1}),
        ("geomspace", (1, 256, 9), {"dtype": int}), ("geomspace", (-1, -1000, 4), {}),
        ("geomspace", (1j, 1000j, 4), {}), ("divide", (U, 300), {}), ("divide", (-1, U), {}),
        ("convolve", (V, 2.0), {}), ("ravel", (X,), {"order": "K"}), ("size", (X,), {"axis": (0, -1)}),
        ("vecdot", (B, B), {}), ("einsum", ("ijk->j", B), {}), ("mean", (X,), {"dtype": int}),
        ("sum", (N,), {"initial": 3.5}), ("max", (N,), {"initial": 30.5, "axis": 1}),
        ("diagonal", (E, 2), {}), ("trace", (E, 1), {}), ("diag", (X[0], 7), {}),
        ("quantile", (B, 0.3), {"axis": 1, "method": "lower"}),
    ]  # fmt: skip
    for name in ("quantile", "nanquantile"):
        for x in (X, N, F, np.where(B, X, np.nan)):
            for q in (0.3, [0.0, 0.5, 1.0]):
                how = {"method": "inverted_cdf", "weights": np.where(X < -0.5, 0, P)}
                out.append((name, (x, q), {**how, "axis": 1}))
                out.append((name, (x, q), {**how, "keepdims": True}))
    how = {"method": "inverted_cdf", "weights": P[0, :, 0], "axis": 1}
    out.append(("percentile", (X, [30.0, 70.0]), how))
    for mode in ("same", "valid"):
        out += [("convolve", (V, Y[0], mode), {}), ("correlate", (V, Y[0], mode), {})]
        out += [("correlate", (Y[0, :3], V, mode), {}), ("convolve", (V, Y[0, :4], mode), {})]
    out.append(("correlate", (Z[0, 0], V, "full"), {}))
    return out


def more_rows() -> list[Any]:
    """Of what came later: sets, polynomials, histograms, indices, windows, bits."""
    gaps = np.where(B, X, np.nan)
    mask = np.array([True, False, True])
    out: list[Any] = [
        ("acos", (UNIT,), {}), ("acosh", (P + 1,), {}), ("asin", (UNIT,), {}), ("asinh", (X,), {}), ("atan", (X,), {}),
        ("atanh", (UNIT,), {}), ("atan2", (X, Y), {}), ("amax", (X,), {"axis": 1}), ("amin", (X,), {"axis": 1}),
        ("bitwise_invert", (N,), {}), ("bitwise_not", (N,), {}), ("bitwise_left_shift", (N, 2), {}),
        ("bitwise_right_shift", (N, 2), {}), ("concat", ([X, X],), {"axis": 1}), ("permute_dims", (X, (2, 0, 1)), {}),
        ("matrix_transpose", (X,), {}), ("astype", (X, np.float32), {}), ("copy", (X,), {}), ("ascontiguousarray", (1.5,), {}),
        ("asanyarray", ([1, 2],), {}), ("asarray_chkfinite", (X,), {}), ("require", (X, np.float32, "C"), {}),
        ("extract", (B, X), {}), ("einsum", ("ij,jk", SQ[0], SQ[1]), {}),
        ("cumulative_prod", (V,), {"include_initial": True}), ("partition", (V[:3], 2), {}), ("argpartition", (np.array([1, 2]), 1), {}),
        ("ravel_multi_index", ((np.array([1, 2]), np.array([3, 0])), (3, 4)), {}), ("fromfunction", (lambda i, j: i + 2 * j, (3, 4)), {}),
        ("fromiter", ([1, 2, 3], np.float32), {}), ("fromstring", ("1 2 3",), {"sep": " "}), ("frombuffer", (b"\1\2\3", np.uint8), {}),
        # quantiles
        ("quantile", (F, [0.25]), {}), ("quantile", (N, 0.3), {"method": "lower"}), ("nanmedian", (gaps,), {"axis": 1}),
        ("nanmedian", (gaps,), {"axis": (0, 2), "keepdims": True}), ("median", (np.array([np.inf, np.inf]),), {}),
        ("nanpercentile", (gaps, [10, 50]), {"axis": 2}), ("nanpercentile", (N, 30.0), {}),
        # histograms, covariances
        ("histogram", (X, [-1, 0, 0.5, 1]), {"density": True}), ("histogram", (F, 3), {}), ("histogram", (np.zeros(3), 2), {}),
        ("histogram", (V, 4), {"weights": P[0, 0, 0] * V, "range": (-0.5, 1.0)}), ("histogram", (V, "auto"), {}),
        ("histogram_bin_edges", (V, 5), {}), ("histogram2d", (V, V[::-1]), {"bins": [2, 3]}),
        ("histogram2d", (V, V[::-1]), {"bins": [[-1, 0, 1.0], 4], "density": True}), ("histogram2d", (V, V[::-1], [-1, 0, 1.0, 2]), {}),
        ("histogramdd", (Y, (2, 3, 2, 1, 2)), {}), ("cov", (Y,), {}), ("cov", (Y, 2 * Y), {"rowvar": False}), ("cov", (V,), {"ddof": 0}),
        ("cov", (Z[0],), {"bias": True}), ("cov", (Y,), {"fweights": np.array([1, 2, 3, 1, 2]), "aweights": P[0, 0], "ddof": 2}),
        ("corrcoef", (Y,), {}), ("corrcoef", (Z[0],), {}), ("corrcoef", (V, V**2), {}),
        # parts of numbers
        ("modf", (S,), {}), ("frexp", (np.array([5e-324, 1e-310, 1.7e308, -3e-320, 0.75]),), {}), ("spacing", (F,), {}),
        ("frexp", (np.array([6e-8, 60000.0], np.float16),), {}), ("i0", (10 * X,), {}), ("i0", (F,), {}),
        ("gcd", (N, 12), {}), ("lcm", (N, M), {}), ("nanargmax", (gaps,), {}), ("nanargmin", (gaps,), {}),
        ("nancumsum", (gaps,), {"axis": 1}), ("nancumprod", (gaps,), {"axis": 1}), ("sort_complex", (N,), {}), ("sort_complex", (Z[0, 0],), {}),
        *[(n, (gaps,), {"axis": 1, "where": U > 99, "initial": 0.5}) for n in ("nansum", "nanprod", "nanmax", "nanmin")],
        *[(n, (gaps,), {"axis": 1, "where": U > 99}) for n in ("nanmean", "nanvar", "nanstd")], ("nanstd", (gaps,), {"correction": 1}),
        ("ravel_multi_index", ([np.array([1, 5]), np.array([-1, 0])], (3, 4)), {"mode": ("clip", "wrap"), "order": "F"}),
        ("unravel_index", (np.arange(24), (2, 3, 4)), {"order": "F"}), ("zeros", ((2,), int, "F"), {}), ("eye", (3,), {"order": "F"}),
        # products
        ("matvec", (X, Y[:1]), {}), ("vecmat", (X[:, :, 0], X), {}), ("vecmat", (Z[0, 0], Z[0].T), {}),
        # sets
        ("unique", (S,), {"return_index": True, "return_inverse": True, "return_counts": True}), ("unique", (N,), {"axis": 1}),
        ("unique_all", (N,), {}), ("unique_counts", (S,), {}), ("unique_inverse", (B,), {}), ("intersect1d", (N, N[:1]), {}),
        ("intersect1d", (V, V[::2]), {"return_indices": True}), ("union1d", (S, V), {}), ("setdiff1d", (N, N[:1]), {}),
        ("setxor1d", (N[0], N[1]), {}), ("isin", (np.arange(500) % 77, np.arange(0, 90, 3)), {"invert": True}),
        ("trim_zeros", ([0, 0, 1, 2, 0],), {}), ("trim_zeros", ([0, 0, 1, 2, 0], "f"), {}),
        # polynomials
        ("poly", (V,), {}), ("poly", ([1 + 1j, 1 - 1j],), {}), ("polyadd", (V, Y[0]), {}), ("polysub", (Y[0], V), {}),
        ("polymul", (V, [1, 2]), {}), ("polydiv", (V, Y[0]), {}), ("polydiv", ([1, 2], V), {}), ("polyder", ([1, 2, 3], 1), {}),
        ("polyder", (V, 2), {}), ("polyint", (V, 2, [1.0, 2.0]), {}), ("polyint", ([1, 2],), {}), ("roots", ([1.0, 0.0, 1.0, 0.0],), {}),
        ("polyfit", (V, V[::-1], 2), {"w": P[0, 0, 0] + V**2}), ("polyfit", (np.arange(5.0), Y.T, 2), {"cov": True}),
        ("polyfit", (V, V[::-1], 2), {"full": True}),
        # windows
        *[(name, (n,), {}) for name in ("bartlett", "blackman", "hamming", "hanning") for n in (0, 1, 6)], ("kaiser", (7, 3.0), {}),
        # bits
        ("packbits", (B,), {"axis": 1}), ("packbits", (N,), {"bitorder": "little"}), ("unpackbits", (U,), {"axis": 0, "count": 5}),
        ("unpackbits", (U,), {"count": -3, "bitorder": "little"}),
        # indices
        ("ix_", (mask, [1, 3]), {}), ("diag_indices", (3,), {}), ("diag_indices_from", (SQ[0],), {}), ("tril_indices_from", (Y,), {}),
        ("triu_indices", (3, 1, 4), {}), ("triu_indices_from", (Y, 1), {}), ("mask_indices", (3, np.triu, 1), {}),
        ("tril", (V,), {}), ("apply_over_axes", (np.sum, X, [0, 2]), {}), ("apply_along_axis", (lambda v: v[::2] * 2, 1, X), {}),
        ("real_if_close", (V + 1e-17j,), {}),
        # questions
        ("ndim", (X,), {}), ("shape", (X,), {}), ("size", (X, 1), {}), ("broadcast_shapes", ((3, 1), (4,), 2 * (1,)), {}),
        ("iscomplexobj", (Z,), {}), ("isrealobj", (Z,), {}), ("isscalar", (3.0,), {}), ("iterable", (3.0,), {}),
    ]  # fmt: skip
    for method in (
        "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
        "median_unbiased", "normal_unbiased",
    ):  # fmt: skip
        out.append(("quantile", (X, [0.0, 0.25, 0.3, 1.0]), {"axis": 1, "method": method}))
        out.append(("nanquantile", (gaps, 0.5), {"axis": (0, 2), "method": method, "keepdims": True}))
    return out


def close(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            close(a, b)
        return
    theirs, ours = np.asarray(theirs), ours if hasattr(ours, "aval") else np.asarray(ours)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    tolerance = {2: 4e-3, 4: 2e-6, 8: 1e-12, 16: 1e-12}.get(theirs.dtype.itemsize, 0)
    if theirs.dtype.kind in "fc":
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=tolerance, atol=tolerance)
        if theirs.dtype.kind == "f":
            zero = theirs == 0
            np.testing.assert_array_equal(
                np.signbit(np.asarray(ours))[zero], np.signbit(theirs)[zero]
            )
    else:
        np.testing.assert_array_equal(np.asarray(ours), theirs)


ROWS = [*rows(), *more_rows()]


@pytest.mark.parametrize("row", range(len(ROWS)), ids=[f"{r[0]}-{i}" for i, r in enumerate(ROWS)])
def test_as_numpy(row: int) -> None:
    name, args, how = ROWS[row]
    theirs_how = dict(how)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(np, name)(*args, **theirs_how)
    close(getattr(tnp, name)(*args, **how), theirs)


HOST = {
    "nonzero", "argwhere", "flatnonzero", "unique", "histogram", "bincount", "allclose",
    "array_equal", "compress", "delete", "digitize", "repeat", "asarray_chkfinite", "extract",
    "intersect1d", "ix_", "real_if_close", "roots", "setdiff1d", "setxor1d", "trim_zeros", "union1d",
    "unique_all", "unique_counts", "unique_inverse", "shape", "size", "ndim", "iscomplexobj",
    "isrealobj", "mask_indices", "poly", "kaiser", "polyfit", "einsum_path",
}  # fmt: skip


@pytest.mark.parametrize(
    "row", range(0, len(ROWS), 3), ids=[f"{r[0]}-{i}" for i, r in list(enumerate(ROWS))[::3]]
)
def test_staged(row: int) -> None:
    """What is recorded and then run is what is computed at once."""
    name, args, how = ROWS[row]
    places = [i for i, a in enumerate(args) if isinstance(a, np.ndarray)]
    if name in HOST or not places:
        pytest.skip("needs values")
    function: Callable[..., Any] = getattr(tnp, name)

    def flat(*xs: Any) -> list[Any]:
        full = list(args)
        for i, x in zip(places, xs, strict=True):
            full[i] = x
        out = function(*full, **how)
        return list(out) if isinstance(out, (tuple, list)) else [out]

    xs = [tnp.asarray(args[i]) for i in places]
    try:
        program = stage(flat, [x.aval for x in xs])
    except TypeError:
        if name in ("digitize", "roll", "pad", "choose"):
            pytest.skip("needs values")
        raise
    ours = evaluate(program, xs)
    direct = flat(*xs)
    for a, b in zip(ours, direct, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12)


def test_cross_products_of_vectors_in_the_plane() -> None:
    """NumPy 2.5 has them no more, so the oracle is the formula."""
    x, y = SQ[0][:, :2], SQ[1]
    third = x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0]
    np.testing.assert_array_equal(tnp.cross(x, y[:, :2]), third)
    wide = np.concatenate([x, np.zeros((len(x), 1), x.dtype)], 1)
    np.testing.assert_array_equal(tnp.cross(x, y), np.cross(wide, y))


def as_arrays(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return tnp.asarray(x)
    nested = isinstance(x, (list, tuple)) and any(isinstance(v, np.ndarray) for v in x)
    return type(x)(map(as_arrays, x)) if nested else x


def leaves(x: Any) -> list[Any]:
    if isinstance(x, (tuple, list)):
        return [leaf for y in x for leaf in leaves(y)]
    return [x]


# What NumPy does not hand over, or what gives no arrays.
NOT_HANDED_OVER = {
    "full", "require", "asarray_chkfinite", "ndim", "shape", "size", "iscomplexobj", "isrealobj",
}  # fmt: skip
FIRST = {r[0]: i for i, r in reversed(list(enumerate(ROWS))) if r[0] not in NOT_HANDED_OVER}


@pytest.mark.parametrize("name", FIRST)
def test_numpys_functions_on_our_arrays_are_ours(name: str) -> None:
    """``np.f(Array)`` and ``np.f(tracer)``, for every function that is called by a row."""
    args, how = ROWS[FIRST[name]][1:]
    given = [as_arrays(x) for x in args]
    if all(g is x for g, x in zip(given, args, strict=True)):
        pytest.skip("takes no arrays")
    function: Callable[..., Any] = getattr(np, name)
    found, expected = function(*given, **how), getattr(tnp, name)(*args, **how)
    for ours, again in zip(leaves(found), leaves(expected), strict=True):
        assert isinstance(ours, Array)
        np.testing.assert_array_equal(ours, again)
    places = [i for i, x in enumerate(args) if isinstance(x, np.ndarray)]
    if name in HOST or not places:
        return

    def flat(*xs: Any) -> list[Any]:
        full = list(given)
        for i, x in zip(places, xs, strict=True):
            full[i] = x
        return leaves(function(*full, **how))

    assert stage(flat, [given[i].aval for i in places]).outputs
