"""Gathers and scatters: indices that are data, in range and out of it, repeated or not."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import vmap
from tracejit.sparse import CSR
from tracejit.testing.conformance.case import Case, booleans, floats, given, integers

__all__ = ["CASES"]


def taken(x: Any, n: Any) -> Any:
    return x[n], tnp.take(x, n, axis=0) * 2, x[n, 1:4], x[..., 2][n]


def taken_columns(x: Any, n: Any) -> Any:
    return tnp.take(x, n, axis=1), x[:, n] + 1


def along(x: Any, order: Any) -> Any:
    return tnp.take_along_axis(x, order, 1), tnp.take_along_axis(x * 2, order, 0)


def pairs(x: Any, i: Any, j: Any) -> Any:
    return x[i, j], x[i[:, None], j], x.at[i, j].set(7.0)


def where_index(x: Any, p: Any) -> Any:
    places = tnp.nonzero(p, size=20, fill_value=0)[0]
    return x[places], tnp.where(p, x, 0).sum()


def updated(x: Any, n: Any, y: Any) -> Any:
    return x.at[n].set(y), x.at[n].add(y), x.at[n].max(y), x.at[n].min(y), x.at[n].multiply(y)


def rows_added(x: Any, n: Any, y: Any) -> Any:
    return x.at[n].add(y), x.at[:, 3].set(1.0).at[n[0]].add(y[0])


def histogram(x: Any) -> Any:
    return tnp.zeros(50, tnp.int32).at[x].add(1), tnp.bincount(x, length=60)


def deposit(rho: Any, x: Any, w: Any) -> Any:
    """Return a density to which every particle adds linearly in two cells."""
    cell = tnp.floor(x).astype(tnp.int32)
    part = x - cell
    return rho.at[cell].add(w * (1 - part)).at[(cell + 1) % rho.shape[0]].add(w * part)


def sparse_products(data: Any, col: Any, x: Any, y: Any) -> Any:
    """Multiply by a matrix of which every second row is empty, from the left and the right."""
    ends = np.repeat(np.arange(0, 401, 40), 2)[1:]
    a = CSR.tree_unflatten((ends.size - 1, 50), (data, col, tnp.asarray(ends)))
    return a @ x[:, 0], a @ x, y @ a


def segment_sums(x: Any, labels: Any) -> Any:
    sums = tnp.zeros((12, x.shape[1]), x.dtype).at[labels].add(x)
    counts = tnp.zeros(12, x.dtype).at[labels].add(1)
    return sums / tnp.maximum(counts, 1)[:, None]


def bilinear(image: Any, u: Any, v: Any) -> Any:
    i, j = u.astype(tnp.int32), v.astype(tnp.int32)
    a, b = u - i, v - j
    top = image[i, j] * (1 - b) + image[i, j + 1] * b
    return top * (1 - a) + (image[i + 1, j] * (1 - b) + image[i + 1, j + 1] * b) * a


F64 = np.float64
X, N = floats, integers

CASES = [
    Case("take/rows", taken, given(X(30, 9), N(40, low=0, high=30))),
    Case("take/rows/negative", taken, given(X(30, 9), N(40, low=-30, high=30))),
    Case("take/rows/outside", lambda x, n: x[n], given(X(30), N(90, low=-80, high=80))),
    Case("take/rows/int64", taken, given(X(30, 9), N(40, dtype=np.int64, low=0, high=30))),
    Case("take/rows/uint8", taken, given(X(30, 9), N(40, dtype=np.uint8, low=0, high=30))),
    Case("take/columns", taken_columns, given(X(20, 33), N(50, low=0, high=33))),
    Case("take/wide", lambda x, n: x[n] * 2, given(X(5000), N(40000, low=0, high=5000))),
    Case("take/2d", lambda x, n: x[n], given(X(500), N(20, 30, low=0, high=500))),
    Case("take_along_axis", along, given(X(20, 20), N(20, 20, low=0, high=20))),
    Case("pairs", pairs, given(X(15, 17), N(9, low=0, high=15), N(9, low=0, high=17))),
    Case("where_index", where_index, given(X(100), booleans(100))),
    Case("scatter/unique", updated, given(X(50), lambda rng: rng.permutation(50)[:20], X(20))),
    Case("scatter/repeated", lambda x, n, y: x.at[n].add(y),
         given(X(20, dtype=F64), N(300, low=0, high=20), X(300, dtype=F64)), tolerance=10),
    Case("scatter/outside", updated, given(X(90), lambda rng: rng.permutation(200)[:40], X(40))),
    Case("scatter/max", lambda x, n, y: x.at[n].max(y),
         given(X(30), N(300, low=0, high=30), X(300))),
    Case("scatter/last_wins", lambda x, n, y: x.at[n].set(y),
         given(X(30), N(100, low=0, high=30), X(100))),
    Case("scatter/integers", lambda x, n, y: (x.at[n].add(y), x.at[n].min(y)),
         given(N(40), N(500, low=0, high=40), N(500))),
    Case("scatter/scalar", lambda x, i, y: (x.at[i].set(y), x.at[i].add(1)),
         given(X(60), N(low=5, high=6), X())),
    Case("scatter/rows", rows_added, given(X(30, 8), lambda rng: rng.permutation(30)[:9], X(9, 8))),
    Case("scatter/many", lambda x, n, y: x.at[n].add(y),
         given(X(3000, low=0), N(20000, low=0, high=3000), X(20000, low=0)), tolerance=10),
    Case("scatter/donated", lambda x, n, y: x.at[n].add(y),
         given(X(300), lambda rng: rng.permutation(300)[:50], X(50)), donated=(0,)),
    Case("histogram", histogram, given(N(3000, low=0, high=50))),
    Case("deposit", deposit, given(X(64, dtype=F64), X(900, dtype=F64, low=0, high=64),
                                   X(900, dtype=F64)), tolerance=10),
    Case("segments", segment_sums, given(X(200, 5, low=0), N(200, low=0, high=12)), tolerance=4),
    Case("sparse", sparse_products,
         given(X(400), lambda rng: rng.integers(0, 50, 400), X(50, 3), X(20)), tolerance=10),
    Case("bilinear", bilinear, given(X(40, 50), X(300, low=0, high=38), X(300, low=0, high=48))),
    Case("vmap/take", lambda x, n: vmap(lambda r, k: r[k])(x, n),
         given(X(30, 40), N(30, low=0, high=40))),
    Case("searchsorted", lambda x, y: tnp.searchsorted(x, y),
         given(lambda rng: np.sort(rng.random(200)), lambda rng: rng.random(300))),
    Case("interp", tnp.interp, given(X(300), lambda rng: np.linspace(-1, 1, 20, dtype=np.float32),
                                     X(20))),
]  # fmt: skip
