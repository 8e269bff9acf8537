"""Stacks of matrices (..., m, n): what the rules of linear algebra are written with."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import is_inexact
from tracejit.ops._pointwise import move_axis
from tracejit.ops.arithmetic import add, mul
from tracejit.ops.complex_numbers import conj
from tracejit.ops.constant import iota, scalar_like
from tracejit.ops.contraction import dot_general
from tracejit.ops.indexing import take_along_axis
from tracejit.ops.logical import ge, gt, le, lt, select
from tracejit.ops.shape import broadcast_in_dim, reshape, transpose
from tracejit.ops.slicing import slice_

__all__ = [
    "LAPACK",
    "adjoint",
    "as_columns",
    "as_rows",
    "block",
    "check_matrices",
    "check_square",
    "columns_of_lanes",
    "diagonal",
    "each_matrix",
    "half_sum",
    "linear_module",
    "linear_routine",
    "of_nothing",
    "stacked_product",
    "swap_last",
    "take_rows",
    "triangle",
    "wide",
]

LAPACK = "run by LAPACK through the counted callback"


def wide(x: Any) -> Any:
    """Return what LAPACK computes with: float16 and bfloat16 as float32."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


@lru_cache(maxsize=64)
def linear_routine(name: str, dtype: np.dtype[Any]) -> Any:
    """Return a routine of SciPy's LAPACK, or BLAS, for a dtype; SciPy is imported now."""
    from scipy.linalg import blas, lapack

    full = {"f4": "s", "f8": "d", "c8": "c", "c16": "z"}[dtype.str[1:]] + name
    return getattr(lapack, full, None) or getattr(blas, full)


def linear_module(xp: Any) -> Any:
    """Return the module of linear algebra that goes with an array module of a device, or None."""
    try:
        return importlib.import_module(f"{xp.__name__}x.scipy.linalg")
    except ImportError:
        return None


def check_matrices(name: str, a: ShapedArray) -> None:
    """Refuse what is no stack of inexact matrices."""
    if a.ndim < 2:
        raise ShapeError(f"{name}: matrices (..., m, n); got shape {a.shape}")
    if not is_inexact(a.dtype):
        raise DTypeError(f"{name}: an inexact dtype; got {a.dtype}")


def check_square(name: str, a: ShapedArray) -> None:
    """Refuse what is no stack of square inexact matrices."""
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"{name}: square matrices (..., n, n); got shape {a.shape}")
    check_matrices(name, a)


def swap_last(x: Any) -> Any:
    """Transpose a stack of matrices."""
    rank = get_aval(x).ndim
    return transpose(x, [*range(rank - 2), rank - 1, rank - 2])


def adjoint(x: Any) -> Any:
    """Return the conjugate transposes of matrices."""
    return conj(swap_last(x))


def stacked_product(x: Any, y: Any) -> Any:
    """Multiply stacks (..., i, k) and (..., k, j) of matrices."""
    rank = get_aval(x).ndim
    lanes = tuple(range(rank - 2))
    return dot_general(x, y, (((rank - 1,), (rank - 2,)), (lanes, lanes)))


def half_sum(x: Any, y: Any) -> Any:
    """Return ``(x + y) / 2``, which does not overflow."""
    half = scalar_like(x, 0.5)
    return add(mul(half, x), mul(half, y))


def as_rows(values: Any, rows: int) -> Any:
    """Repeat (..., k) as the rows of (..., rows, k)."""
    shape = get_aval(values).shape
    lanes = len(shape) - 1
    return broadcast_in_dim(values, (*shape[:-1], rows, shape[-1]), (*range(lanes), lanes + 1))


def as_columns(values: Any, columns: int) -> Any:
    """Repeat (..., k) as the columns of (..., k, columns)."""
    shape = get_aval(values).shape
    return broadcast_in_dim(values, (*shape, columns), tuple(range(len(shape))))


def _row_and_column(x: Any) -> tuple[Any, Any]:
    shape = get_aval(x).shape
    rank = len(shape)
    return iota(shape, rank - 2, "int64"), iota(shape, rank - 1, "int64")


def triangle(x: Any, lower: bool, strict: bool = False) -> Any:
    """Return matrices with zeros outside of a triangle, and on the diagonal if `strict`."""
    row, column = _row_and_column(x)
    if lower:
        kept = gt(row, column) if strict else ge(row, column)
    else:
        kept = lt(row, column) if strict else le(row, column)
    return select(kept, x, scalar_like(x, 0))


def diagonal(x: Any) -> Any:
    """Return the diagonals (..., min(m, n)) of matrices."""
    *lanes, m, n = get_aval(x).shape
    k = min(m, n)
    flat = reshape(x, (*lanes, m * n))
    none = [0] * len(lanes)
    last = (k - 1) * (n + 1) + 1 if k else 0
    return slice_(flat, (*none, 0), (*lanes, last), (*[1] * len(lanes), n + 1))


def block(x: Any, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """Return rows and columns, from the first up to the last, of matrices."""
    shape = get_aval(x).shape
    lanes = shape[:-2]
    if (rows, columns) == ((0, shape[-2]), (0, shape[-1])):
        return x
    starts = (*(0 for _ in lanes), rows[0], columns[0])
    return slice_(x, starts, (*lanes, rows[1], columns[1]))


def take_rows(x: Any, order: Any) -> Any:
    """Return matrices whose row i is row ``order[..., i]`` of `x`."""
    shape = get_aval(x).shape
    return take_along_axis(x, as_columns(order, shape[-1]), len(shape) - 2)


def columns_of_lanes(
    solve: Callable[[Any], Any], b: Any, axis: int, left: bool = True
) -> tuple[Any, int]:
    """Solve for lanes of right-hand sides that share their matrix: as more columns, or rows.

    Parameters
    ----------
    solve : callable
        Takes and returns right-hand sides without lanes.
    b : Array
        The right-hand sides; lanes along `axis`.
    axis : int
        Where the lanes are.
    left : bool, optional
        Whether they become columns; else rows.

    Returns
    -------
    out : Array
        The solutions.
    axis : int
        Where their lanes are.
    """
    at = get_aval(b).ndim - (2 if left else 3)
    moved = move_axis(b, axis, at)
    shape = get_aval(moved).shape
    joined = (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])
    return reshape(solve(reshape(moved, joined)), shape), at


def each_matrix(
    xp: Any, routine: Callable[[Any], Sequence[Any]], x: Any, avals: Sequence[ShapedArray]
) -> list[Any]:
    """Run a routine of LAPACK over matrices; NaN for those for which it fails."""
    try:
        outs = routine(x)
    except np.linalg.LinAlgError:
        outs = [np.full(a.shape, np.nan, a.dtype) for a in avals]
        for lane in np.ndindex(x.shape[:-2]):
            try:
                found = routine(x[lane])
            except np.linalg.LinAlgError:
                continue
            for out, part in zip(outs, found, strict=True):
                out[lane] = part
    return [xp.asarray(out, a.dtype) for out, a in zip(outs, avals, strict=True)]


def of_nothing(xp: Any, avals: Sequence[ShapedArray]) -> list[Any]:
    """Return what empty matrices have: no values, and unit matrices for all vectors."""
    return [
        xp.zeros(a.shape, a.dtype)
        if a.ndim < 2 or a.shape[-1] != a.shape[-2]
        else xp.array(np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape))
        for a in avals
    ]
