"""Programs whose results depend on an order: cumulative sums, sorting, random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import lax, random
from tracejit.testing.conformance.case import Case, booleans, floats, given, integers

__all__ = ["CASES"]


def cumulative(x: Any) -> Any:
    return (
        tnp.cumsum(x, 0),
        tnp.cumsum(x, -1) * 2,
        lax.cummax(x, 0),
        lax.cummin(x, 0, reverse=True),
    )


def cumulative_products(x: Any) -> Any:
    return tnp.cumprod(x, 0), lax.cumlogsumexp(x, 0), lax.cumsum(x, 0, reverse=True)


def sorted_ways(x: Any) -> Any:
    return tnp.sort(x), tnp.argsort(x), tnp.sort(x, 0), -tnp.sort(-x)


def ranked(x: Any) -> Any:
    values, places = lax.top_k(x, 5)
    return values, places, tnp.median(x, axis=1), x[tnp.argsort(x[:, 0])]


def by_key(keys: Any, values: Any) -> Any:
    return lax.sort_key_val(keys, values)


def drawn(key: Any) -> Any:
    """Draw uniform and normal numbers and integers, each by a key of its own."""
    a, b, c = random.split(key, 3)
    return (
        random.uniform(a, (333,)),
        random.normal(b, (21, 17)),
        random.randint(c, (100,), -5, 90),
        random.bernoulli(a, 0.3, (64,)),
    )


def raw_bits(key: Any) -> Any:
    return random.bits(key, (1001,)), random.bits(random.fold_in(key, 7), (8,), tnp.uint8)


def monte_carlo(key: Any) -> Any:
    """Estimate pi: numbers are drawn and summed in one loop."""
    x, y = random.uniform(key, (2, 5000), tnp.float64)
    return (x * x + y * y < 1).mean() * 4


def key(rng: np.random.Generator) -> Any:
    return np.asarray(random.key_data(random.key(int(rng.integers(1000)))))


F64 = np.float64
X, N = floats, integers

CASES = [
    Case("cumulative/1d", cumulative, given(X(100, dtype=F64))),
    Case("cumulative/2d", cumulative, given(X(20, 30, dtype=F64))),
    Case("cumulative/long", lambda x: tnp.cumsum(x), given(X(40000, dtype=F64))),
    Case("cumulative/rows", lambda x: tnp.cumsum(x, 1), given(X(70, 400, low=0)), tolerance=8),
    Case("cumulative/middle", lambda x: tnp.cumsum(x, 1), given(X(5, 60, 7, dtype=F64))),
    Case("cumulative/products", cumulative_products, given(X(60, dtype=F64, low=0.5, high=1.5))),
    Case("cumulative/integers", cumulative, given(N(50, 9))),
    Case("cumulative/bools", lambda p: tnp.cumsum(p), given(booleans(500))),
    Case("cumulative/fused", lambda x: tnp.exp(-tnp.cumsum(x * x)), given(X(300, dtype=F64))),
    Case("sort", sorted_ways, given(X(30, 40))),
    Case("sort/integers", sorted_ways, given(N(12, 50, low=-9, high=9)), notes="ties"),
    Case("sort/nan", lambda x: tnp.sort(x), given(X(300, special=20))),
    Case("top_k", ranked, given(X(20, 31))),
    Case("sort_key_val", by_key, given(N(400, low=0, high=60), X(400))),
    Case("associative_scan", lambda x: lax.associative_scan(lambda a, b: a * b, x),
         given(X(37, dtype=F64, low=0.9, high=1.1))),
    Case("random/drawn", lambda k: drawn(random.wrap_key_data(k)), given(key), tolerance=4),
    Case("random/bits", lambda k: raw_bits(random.wrap_key_data(k)), given(key)),
    Case("random/monte_carlo", lambda k: monte_carlo(random.wrap_key_data(k)), given(key)),
    Case("random/wide", lambda k: random.uniform(random.wrap_key_data(k), (40000,)), given(key)),
    Case("random/categorical",
         lambda k, x: random.categorical(random.wrap_key_data(k), x, axis=1),
         given(key, X(40, 9))),
]  # fmt: skip
