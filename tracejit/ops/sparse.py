"""The product of a sparse matrix, by compressed rows, and a dense one.

Row ``i`` of the matrix has the entries ``indptr[i] .. indptr[i+1] - 1``, in the columns `indices`.
Entries out of range, in a column that the matrix has not or beyond the last row, count for
nothing: a matrix may have room for more entries than it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, is_bool
from tracejit.ops._pointwise import move_axis, sum_tangents
from tracejit.ops.arithmetic import add, mul
from tracejit.ops.constant import iota, scalar_like
from tracejit.ops.convert import convert_element_type
from tracejit.ops.cumulative import cumsum
from tracejit.ops.indexing import scatter_add, take_axis, to_lanes
from tracejit.ops.logical import and_, clamp, ge, lt, select
from tracejit.ops.shape import broadcast_in_dim, full, reduce_sum, reshape
from tracejit.ops.slicing import concatenate, slice_

__all__ = ["csr_matmul", "row_numbers"]

I64 = DTYPES["i64"]


def csr_matmul(data: Any, indices: Any, indptr: Any, x: Any) -> Any:
    """Multiply a sparse matrix by a dense one.

    Parameters
    ----------
    data : Array, shape (entries,), any dtype but bool
        The entries, row by row.
    indices : Array, shape (entries,), int32 or int64
        Their columns.
    indptr : Array, shape (rows + 1,), dtype of `indices`
        Where the rows begin and end; begins with 0 and does not decrease.
    x : Array, shape (columns, k), dtype of `data`
        The dense matrix.

    Returns
    -------
    Array, shape (rows, k), dtype of `data`
        float16 and bfloat16 are summed in float32 and rounded once.

    Raises
    ------
    ShapeError, DTypeError
        If shapes or dtypes are not these.
    """
    return csr_matmul_p.bind(data, indices, indptr, x)


def row_numbers(indptr: Any, entries: int) -> Any:
    """Return the row of every entry of compressed rows; their number for what is beyond the last.

    Parameters
    ----------
    indptr : Array, shape (rows + 1,), integer
        Where the rows begin and end.
    entries : int
        How many entries there are.

    Returns
    -------
    Array, shape (entries,), int64
    """
    ends = slice_(indptr, (1,), (get_aval(indptr).size,))
    steps = full((entries,), 0, I64)
    places = reshape(ends, (get_aval(ends).size, 1))
    ones = full(get_aval(ends).shape, 1, I64)
    return cumsum(scatter_add(steps, places, ones, (0,), (0,)), 0)


def _shape(
    data: ShapedArray, indices: ShapedArray, indptr: ShapedArray, x: ShapedArray
) -> ShapedArray:
    ranks = (data.ndim, indices.ndim, indptr.ndim, x.ndim)
    if ranks != (1, 1, 1, 2) or data.shape != indices.shape or indptr.size == 0:
        raise ShapeError(
            "csr_matmul: data and indices of shape (entries,), indptr of shape (rows + 1,) and x "
            f"of shape (columns, k); got {data.shape}, {indices.shape}, {indptr.shape} and "
            f"{x.shape}"
        )
    if data.dtype != x.dtype or is_bool(x.dtype):
        raise DTypeError(
            f"csr_matmul: one dtype for data and x, and not bool; got {data.dtype} and {x.dtype}"
        )
    if indices.dtype != indptr.dtype or indices.dtype not in (DTYPES["i32"], I64):
        raise DTypeError(
            "csr_matmul: indices and indptr must both be int32 or both int64; got "
            f"{indices.dtype} and {indptr.dtype}"
        )
    return ShapedArray((indptr.size - 1, x.shape[1]), x.dtype)


def _impl(xp: Any, data: Any, indices: Any, indptr: Any, x: Any) -> Any:
    if xp is not np:
        # Where several are added to one place, CuPy does not say in which order.
        raise NotImplementedError(f"csr_matmul: {xp.__name__} adds in no order")
    n, (columns, k) = len(indptr) - 1, x.shape
    rows = np.searchsorted(indptr[1:], np.arange(len(data)), side="right")
    kept = (rows < n) & (indices >= 0) & (indices < columns)
    if not kept.all():
        data, indices, rows = data[kept], indices[kept], rows[kept]
    narrow = x.dtype.itemsize == 2 and x.dtype.kind in "fV"
    wide = np.dtype(np.float32) if narrow else x.dtype
    terms = data.astype(wide, copy=False)[:, None] * x[indices].astype(wide, copy=False)
    out = np.zeros(n * k, wide)
    np.add.at(out, (rows[:, None] * k + np.arange(k)).reshape(-1), terms.reshape(-1))
    return out.reshape(n, k).astype(x.dtype, copy=False)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    data, indices, indptr, x = primals
    change, _, _, direction = tangents
    out = csr_matmul(data, indices, indptr, x)
    terms = []
    if not isinstance(change, Zero):
        terms.append(csr_matmul(change, indices, indptr, x))
    if not isinstance(direction, Zero):
        terms.append(csr_matmul(data, indices, indptr, direction))
    return out, sum_tangents(terms, out)


def _transpose(
    ct: Any, data: Any, indices: Any, indptr: Any, x: Any
) -> tuple[Any, None, None, Any]:
    entries = get_aval(indices).size
    if get_aval(indptr).size == 1 or not entries:  # nothing depends on anything
        return (
            full(data.aval.shape, 0, data.aval.dtype) if isinstance(data, Linear) else None,
            None,
            None,
            full(x.aval.shape, 0, x.aval.dtype) if isinstance(x, Linear) else None,
        )
    read = take_axis(ct, row_numbers(indptr, entries), 0, "fill", 0)
    if isinstance(data, Linear):
        if not get_aval(x).size:
            return full(data.aval.shape, 0, data.aval.dtype), None, None, None
        return reduce_sum(mul(read, take_axis(x, indices, 0, "fill", 0)), (1,)), None, None, None
    factors = broadcast_in_dim(data, get_aval(read).shape, (0,))
    zeros = full(x.aval.shape, 0, x.aval.dtype)
    places = reshape(indices, (entries, 1))
    return None, None, None, scatter_add(zeros, places, mul(factors, read), (0,), (0,))


def _batch(operands: Sequence[Any], axes: Sequence[int | None]) -> tuple[Any, int]:
    data, indices, indptr, x = operands
    if all(axis is None for axis in axes[:3]):
        assert axes[3] is not None
        x = move_axis(x, axes[3], 2)  # more columns
        columns, k, lanes = get_aval(x).shape
        out = csr_matmul(data, indices, indptr, reshape(x, (columns, k * lanes)))
        return reshape(out, (get_aval(out).shape[0], k, lanes)), 2
    # One matrix with the matrices as its blocks.  A row more in each of them takes what is beyond
    # its last row, and what is before the first row of the next.
    (data, indices, indptr, x), lanes = to_lanes(operands, axes)
    (_, entries), (_, columns, k) = get_aval(data).shape, get_aval(x).shape
    ends = get_aval(indptr).shape[1]
    indices, indptr = (convert_element_type(i, I64) for i in (indices, indptr))
    inside = and_(ge(indices, scalar_like(indices, 0)), lt(indices, scalar_like(indices, columns)))
    first = mul(iota((lanes, entries), 0, I64), scalar_like(indices, columns))
    indices = select(inside, add(indices, first), scalar_like(indices, -1))
    indptr = clamp(scalar_like(indptr, 0), indptr, scalar_like(indptr, entries))
    indptr = add(indptr, mul(iota((lanes, ends), 0, I64), scalar_like(indptr, entries)))
    out = csr_matmul(
        reshape(data, (lanes * entries,)),
        reshape(indices, (lanes * entries,)),
        concatenate([reshape(indptr, (lanes * ends,)), full((1,), lanes * entries, I64)], 0),
        reshape(x, (lanes * columns, k)),
    )
    return slice_(reshape(out, (lanes, ends, k)), (0, 0, 0), (lanes, ends - 1, k)), 0


csr_matmul_p: Primitive = define(
    "csr_matmul",
    impl=_impl,
    shape=_shape,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    lower="run by the array library, through the counted callback",
)
