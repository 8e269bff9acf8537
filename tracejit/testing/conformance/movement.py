"""Programs that move elements: windows, joining, padding, transposing, updates of boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.testing.conformance.case import Case, booleans, floats, given, integers

__all__ = ["CASES"]


def neighbours(x: Any) -> Any:
    return x[1:] - x[:-1], x[::-1] + x, x[1::3] * 2


def windows_2d(x: Any) -> Any:
    return x[2:-3, 1::2] + 1, x[::-1, ::-2], x[-1], x[:, 0], x[5:6, :].T


def padded(x: Any) -> Any:
    return (
        tnp.pad(x, ((1, 2), (3, 0))),
        tnp.pad(x, 2, constant_values=7.0),
        lax.pad(x, x[0, 0], ((2, -1, 1), (-2, 3, 2))),
    )


def modes(x: Any) -> Any:
    return tuple(tnp.pad(x, ((2, 1), (1, 3)), mode=m) for m in ("edge", "reflect", "wrap"))


def joined(x: Any, y: Any) -> Any:
    return tnp.concatenate([x, y * 2, x[::-1]]), tnp.stack([x, y], 1), tnp.hstack([y, x])


def joined_2d(x: Any, y: Any) -> Any:
    return tnp.concatenate([x, y], 1), tnp.vstack([x, x + 1]), tnp.block([[x, y], [x * 2, y * 3]])


def rolled(x: Any) -> Any:
    return tnp.roll(x, 1, 0), tnp.roll(x, -3, 1), tnp.roll(x, (2, 5), (0, 1)), tnp.roll(x, 7)


def transposes(x: Any) -> Any:
    orders = ((0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0))
    return tuple(tnp.transpose(x, order) + 1 for order in orders)


def reshaped(x: Any) -> Any:
    return (x + 1).reshape(-1), (x.T * 2).reshape(x.shape), tnp.ravel(x.T), x.reshape(2, -1, 3)


def tiled(x: Any) -> Any:
    return tnp.tile(x, (2, 3)), tnp.repeat(x, 3, 1), tnp.broadcast_to(x, (3, *x.shape)) * 2


def halves(x: Any) -> Any:
    left, right = tnp.split(x, 2, 1)
    return left * right, tnp.rot90(x), tnp.flip(x, 0) - x


def boxes(x: Any) -> Any:
    """Set, and add to, boxes of an array."""
    x = x.at[1:-1, 2:5].set(3.0)
    x = x.at[0].add(1.5)
    return x.at[:, -1].multiply(2.0)


def rim(x: Any) -> Any:
    """Four sides, each another value."""
    x = x.at[0].set(1.0).at[-1].set(2.0)
    return x.at[:, 0].set(3.0).at[:, -1].set(4.0)


def strided_update(x: Any, y: Any) -> Any:
    return x.at[::2].set(y), x.at[1::2].add(y * 2), x.at[::-2].max(y)


def triangles(x: Any) -> Any:
    return tnp.tril(x), tnp.triu(x, 1), tnp.diag(x), tnp.diagonal(x, 1) * 2, tnp.trace(x)


def traced_windows(x: Any, i: Any) -> Any:
    inner = lax.dynamic_slice(x, (i, i + 1), (5, 7))
    return inner * 2, lax.dynamic_update_slice(x, inner + 1, (i - 3, i)), x[i], x.at[i].set(0)


def half_masked(x: Any, p: Any) -> Any:
    return tnp.where(p, x, 0.0), tnp.where(p[:, :1], x, -x)


F64 = np.float64

CASES = [
    Case("neighbours/small", neighbours, given(floats(100))),
    Case("neighbours/wide", neighbours, given(floats(40001))),
    Case("neighbours/float64", neighbours, given(floats(40000, dtype=F64))),
    Case("neighbours/float16", neighbours, given(floats(40004, dtype=np.float16, low=1))),
    Case("windows/2d", windows_2d, given(floats(19, 23))),
    Case("windows/wide", windows_2d, given(floats(200, 256))),
    Case("pad", padded, given(floats(9, 13))),
    Case("pad/wide", lambda x: tnp.pad(x, ((1, 1), (2, 2))), given(floats(180, 252))),
    Case("pad/modes", modes, given(floats(8, 9))),
    Case("concatenate", joined, given(floats(50), floats(50))),
    Case("concatenate/wide", joined, given(floats(20000), floats(20000)), notes="three boxes"),
    Case("concatenate/2d", joined_2d, given(floats(17, 5), floats(17, 8))),
    Case("roll", rolled, given(floats(21, 34))),
    Case("roll/wide", rolled, given(floats(150, 256, dtype=F64))),
    Case("transpose/2d", lambda x: x.T * 2, given(floats(70, 33))),
    Case("transpose/2d/wide", lambda x: x.T + 1, given(floats(201, 190))),
    Case("transpose/2d/float64", lambda x: x.T + x, given(floats(128, 128, dtype=F64))),
    Case("transpose/2d/float16", lambda x: x.T * 1, given(floats(256, 160, dtype=np.float16))),
    Case("transpose/2d/uint8", lambda x: x.T ^ 3, given(integers(65, 97, dtype=np.uint8, low=0))),
    Case("transpose/3d", transposes, given(floats(7, 9, 11))),
    Case("transpose/3d/wide", transposes, given(floats(33, 34, 35))),
    Case("transpose/3d/thin", transposes, given(floats(3, 1, 200))),
    Case("reshape", reshaped, given(floats(12, 9))),
    Case("tile", tiled, given(floats(7, 6))),
    Case("halves", halves, given(floats(16, 20))),
    Case("update/boxes", boxes, given(floats(20, 30))),
    Case("update/boxes/float64", boxes, given(floats(20, 31, dtype=F64))),
    Case("update/boxes/wide", boxes, given(floats(150, 256))),
    Case("update/boxes/wide/float64", boxes, given(floats(181, 182, dtype=F64))),
    Case("update/rim", rim, given(floats(40, 50, dtype=F64)), notes="nine boxes"),
    Case("update/rim/donated", rim, given(floats(40, 50)), donated=(0,)),
    Case("update/strided", strided_update, given(floats(60), floats(30))),
    Case("triangles", triangles, given(floats(31, 31))),
    Case("traced", traced_windows, given(floats(14, 15), integers(low=3, high=4))),
    Case("traced/clamped", traced_windows, given(floats(14, 14), integers(low=12, high=13))),
    Case("where", half_masked, given(floats(30, 41), booleans(30, 41))),
    Case("where/wide", half_masked, given(floats(130, 256), booleans(130, 256))),
    Case("diff", lambda x: (tnp.diff(x), tnp.diff(x, 2, 0), tnp.gradient(x)), given(floats(9, 40))),
]
