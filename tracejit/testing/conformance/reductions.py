"""Reductions: every operator, along every axis, over lengths that each form of code runs."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.testing.conformance.case import Case, Maker, booleans, floats, given, integers

__all__ = ["CASES"]


def all_operators(axis: Any) -> Any:
    """Return a program of every reduction of floats along `axis`."""

    def reduce(x: Any) -> Any:
        return (
            x.sum(axis),
            (x * 0.7).prod(axis),
            x.max(axis),
            x.min(axis),
            x.mean(axis),
            x.var(axis),
            (x > 0).any(axis),
            (x > -9).all(axis),
        )

    return reduce


def places(axis: int | None) -> Any:
    return lambda x: (tnp.argmax(x, axis), tnp.argmin(x, axis), tnp.max(x, axis))


def integer_operators(x: Any) -> Any:
    return x.sum(1), x.prod(1), x.max(1), x.min(1), lax.reduce_or(x, (0,)), lax.reduce_and(x, (1,))


def logsumexp(x: Any) -> Any:
    top = x.max(-1, keepdims=True)
    return tnp.log(tnp.exp(x - top).sum(-1)) + top[..., 0]


def softmax(x: Any) -> Any:
    e = tnp.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + bias


def normalized_columns(x: Any) -> Any:
    return (x - x.mean(0)) / (x.std(0) + 1e-3)


def row_products(x: Any, y: Any) -> Any:
    return (x * y).sum(1), tnp.sqrt((x * x).sum(1)), abs(x - y).max(1)


def tied(*shape: int) -> Maker:
    """Return a maker of few different values, so that extremes are shared."""
    return lambda rng: rng.integers(-3, 4, shape).astype(np.float32)


def of_rows(length: int) -> list[Case]:
    """Return the cases of rows of a length."""
    rows = 20 if length < 2000 else 5
    x = floats(rows, length, low=0.1)
    return [
        Case(f"rows/{length}", row_products, given(x, x)),
        Case(f"rows/{length}/sum/float64", lambda x: x.sum(1), given(floats(7, length, dtype=F64))),
        Case(f"argmax/rows/{length}", places(1), given(floats(rows, length, special=rows))),
        Case(f"softmax/{length}", softmax, given(x)),
        Case(f"logsumexp/{length}", logsumexp, given(x)),
        Case(f"layer_norm/{length}", layer_norm, given(x, floats(length), floats(length))),
    ]


F64 = np.float64
CUBE = floats(7, 9, 11, dtype=F64)

CASES = [
    *(
        Case(f"full/{n}", lambda x: (x.sum(), x.max(), x.mean()), given(floats(n, low=0.1)))
        for n in (1, 31, 1000, 20000, 50001)
    ),
    Case("full/all/float64", all_operators(None), given(floats(999, dtype=F64, low=-1))),
    Case("full/long/float64", all_operators(None), given(floats(33000, dtype=F64, low=-1))),
    Case("full/2d", lambda x: x.sum(), given(floats(250, 201))),
    Case("full/dot", lambda x, y: (x * y).sum(), given(floats(70000), floats(70000))),
    Case("full/argmax", places(None), given(floats(5000))),
    Case("full/argmax/long", places(None), given(floats(40000))),
    Case("full/argmax/ties", places(None), given(tied(3000))),
    Case("full/argmax/nan", places(None), given(floats(500, special=7))),
    Case("full/any", lambda p: (p.any(), p.all(), p.sum()), given(booleans(3000))),
    Case("full/float16", lambda x: (x.sum(), x.max()), given(floats(3000, dtype=np.float16))),
    Case("full/bfloat16", lambda x: (x.sum(), x.min()), given(floats(3000, dtype="bfloat16"))),
    Case("full/int64", lambda x: (x.sum(), x.min()), given(integers(40000, dtype=np.int64))),
    Case("full/empty", lambda x: (x.sum(), x.prod()), given(floats(0))),
    *(
        Case(f"axes/{''.join(map(str, axes))}", all_operators(axes), given(CUBE))
        for axes in ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2))
    ),
    Case("columns/tall", all_operators((0,)), given(floats(3000, 5, dtype=F64, low=-1))),
    Case("columns/broad", lambda x: (x.sum(0), x.max(0)), given(floats(60, 900))),
    Case("columns/vectors", lambda x: x.sum(0), given(floats(40, 1024, dtype=F64))),
    Case("columns/argmax", places(0), given(tied(50, 70))),
    Case("middle/argmin", places(1), given(tied(6, 50, 7))),
    Case("middle/long", lambda x: x.sum(1), given(floats(4, 2000, 6, low=0))),
    *(case for length in (5, 33, 1000, 5000) for case in of_rows(length)),
    Case("rows/20000", row_products, given(floats(2, 20000, low=0), floats(2, 20000, low=0))),
    Case("rows/many", row_products, given(floats(3000, 9), floats(3000, 9))),
    Case("softmax/3d", softmax, given(floats(4, 5, 50))),
    Case("softmax/float16", softmax, given(floats(9, 100, dtype=np.float16)), tolerance=2),
    Case("softmax/nan", softmax, given(floats(40, 60, special=5))),
    Case("columns/normalized", normalized_columns, given(floats(200, 30))),
    *(
        Case(f"integers/{np.dtype(k).name}", integer_operators, given(integers(9, 40, dtype=k)))
        for k in (np.int8, np.int32, np.int64)
    ),
    Case(
        "unsigned",
        integer_operators,
        given(integers(9, 40, dtype=np.uint16, low=0)),
    ),
    Case("weighted", lambda x, w: (x * w[:, None]).sum(0), given(floats(300, 20), floats(300))),
    Case("norms", lambda x: (tnp.linalg.norm(x, axis=1), x.std(), x.ptp()), given(floats(30, 50))),
    Case("counts", lambda x: (tnp.count_nonzero(x > 0), (x > 0).mean(1)), given(floats(30, 45))),
    Case("nan", lambda x: (tnp.nansum(x, 1), tnp.nanmax(x)), given(floats(20, 30, special=50))),
]
