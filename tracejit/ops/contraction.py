"""Contractions: sums of products over named axes of two arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.core.errors import DTypeError, ShapeError
from tracejit.core.primitive import Primitive, define
from tracejit.core.tracer import get_aval
from tracejit.core.zeros import Linear, Zero
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import canonical
from tracejit.ops._pointwise import sum_tangents
from tracejit.ops.convert import convert_element_type
from tracejit.ops.shape import transpose

__all__ = ["dot_general"]

Axes = tuple[int, ...]
DimensionNumbers = tuple[tuple[Axes, Axes], tuple[Axes, Axes]]


def dot_general(
    x: Any,
    y: Any,
    dimension_numbers: Sequence[Sequence[Sequence[int]]],
    preferred: Any = None,
) -> Any:
    """Multiply two arrays and sum over paired axes: the general matrix product.

    Parameters
    ----------
    x, y : Array, one dtype
        The operands.
    dimension_numbers : ((x_contract, y_contract), (x_batch, y_batch))
        Axes that are summed over, in pairs of equal lengths, and axes that are walked together.
    preferred : dtype-like, optional
        The dtype in which to multiply and sum, and of the result; that of `x` by default.

    Returns
    -------
    Array, shape (batch axes, other axes of `x`, other axes of `y`)
        The contraction; 0 where nothing is summed.  bool multiplies as and, adds as or.

    Raises
    ------
    ShapeError
        If the axes do not pair up, or are named twice.
    DTypeError
        If the dtypes differ.

    Notes
    -----
    float16 and bfloat16 are summed in float32 and rounded once.  Integers wrap round.
    """
    (xc, yc), (xb, yb) = dimension_numbers
    numbers = ((tuple(xc), tuple(yc)), (tuple(xb), tuple(yb)))
    return dot_general_p.bind(
        x,
        y,
        dimension_numbers=numbers,
        preferred=None if preferred is None else canonical(preferred),
    )


def _free(rank: int, *taken: Axes) -> Axes:
    """Return the axes of an operand that are not among those `taken`."""
    return tuple(a for a in range(rank) if not any(a in axes for axes in taken))


def _dot_shape(
    x: ShapedArray, y: ShapedArray, *, dimension_numbers: DimensionNumbers, preferred: Any
) -> ShapedArray:
    (xc, yc), (xb, yb) = dimension_numbers
    if x.dtype != y.dtype:
        raise DTypeError(
            f"dot_general: the operands must have one dtype; got {x.dtype} and {y.dtype}"
        )
    for name, aval, contract, batch in (("first", x, xc, xb), ("second", y, yc, yb)):
        named = (*contract, *batch)
        if len(set(named)) != len(named) or not all(0 <= a < aval.ndim for a in named):
            raise ShapeError(
                f"dot_general: the axes of the {name} operand must be distinct and within its "
                f"shape {aval.shape}; got contracted {contract}, batch {batch}"
            )
    for name, mine, theirs in (("contracted", xc, yc), ("batch", xb, yb)):
        if [x.shape[a] for a in mine] != [y.shape[a] for a in theirs]:
            raise ShapeError(
                f"dot_general: the {name} axes must pair up with equal lengths; got {mine} of "
                f"shape {x.shape} with {theirs} of shape {y.shape}"
            )
    shape = (
        *(x.shape[a] for a in xb),
        *(x.shape[a] for a in _free(x.ndim, xc, xb)),
        *(y.shape[a] for a in _free(y.ndim, yc, yb)),
    )
    return ShapedArray(shape, x.dtype if preferred is None else preferred)


def _dot_impl(
    xp: Any, x: Any, y: Any, *, dimension_numbers: DimensionNumbers, preferred: Any
) -> Any:
    (xc, yc), (xb, yb) = dimension_numbers
    xf, yf = _free(x.ndim, xc, xb), _free(y.ndim, yc, yb)
    result = x.dtype if preferred is None else preferred
    narrow = result.itemsize == 2 and result.kind in "fV"
    computing = np.dtype(np.float32) if narrow else result
    shape = tuple([x.shape[a] for a in (*xb, *xf)] + [y.shape[a] for a in yf])
    batch = [x.shape[a] for a in xb]
    m, n, k = (
        math.prod(d)
        for d in (
            [x.shape[a] for a in xf],
            [y.shape[a] for a in yf],
            [x.shape[a] for a in xc],
        )
    )
    x = xp.transpose(x, (*xb, *xf, *xc)).reshape(*batch, m, k).astype(computing, copy=False)
    y = xp.transpose(y, (*yb, *yc, *yf)).reshape(*batch, k, n).astype(computing, copy=False)
    return xp.matmul(x, y).reshape(shape).astype(result, copy=False)


def _dot_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    x, y = primals
    tx, ty = tangents
    out = dot_general_p.bind(x, y, **params)
    terms = []
    if not isinstance(tx, Zero):
        terms.append(dot_general_p.bind(tx, y, **params))
    if not isinstance(ty, Zero):
        terms.append(dot_general_p.bind(x, ty, **params))
    return out, sum_tangents(terms, out)


def _inverse(permutation: Sequence[int]) -> list[int]:
    return [int(i) for i in np.argsort(permutation)]


def _dot_transpose(
    ct: Any, x: Any, y: Any, *, dimension_numbers: DimensionNumbers, preferred: Any
) -> tuple[Any, Any]:
    del preferred
    (xc, yc), (xb, yb) = dimension_numbers
    rank_x, rank_y = (v.aval.ndim if isinstance(v, Linear) else get_aval(v).ndim for v in (x, y))
    xf, yf = _free(rank_x, xc, xb), _free(rank_y, yc, yb)
    nb, nx = len(xb), len(xf)
    in_batch = tuple(range(nb))
    in_x = tuple(range(nb, nb + nx))
    in_y = tuple(range(nb + nx, nb + nx + len(yf)))
    dtype = get_aval(ct).dtype

    def cotangent(
        of: Linear, other: Any, contract: Axes, batch: Axes, free: Axes,
        other_contract: Axes, other_batch: Axes, other_free: Axes, in_other: Axes,
    ) -> Any:  # fmt: skip
        other = convert_element_type(other, dtype)
        out = dot_general(ct, other, ((in_other, other_free), (in_batch, other_batch)))
        # What is left of `other` comes in its order; the operand has its partners elsewhere.
        partners = [contract[other_contract.index(a)] for a in sorted(other_contract)]
        return convert_element_type(
            transpose(out, _inverse([*batch, *free, *partners])), of.aval.dtype
        )

    return (
        cotangent(x, y, xc, xb, xf, yc, yb, yf, in_y) if isinstance(x, Linear) else None,
        cotangent(y, x, yc, yb, yf, xc, xb, xf, in_x) if isinstance(y, Linear) else None,
    )


def _dot_batch(
    operands: Sequence[Any],
    axes: Sequence[int | None],
    *,
    dimension_numbers: DimensionNumbers,
    preferred: Any,
) -> tuple[Any, int]:
    (xc, yc), (xb, yb) = dimension_numbers
    (x, y), (bx, by) = operands, axes

    def past(b: int | None, named: Axes) -> Axes:
        return named if b is None else tuple(a + (a >= b) for a in named)

    xc, xb, yc, yb = past(bx, xc), past(bx, xb), past(by, yc), past(by, yb)
    if bx is not None and by is not None:
        numbers = ((xc, yc), ((bx, *xb), (by, *yb)))
        return dot_general(x, y, numbers, preferred), 0
    out = dot_general(x, y, ((xc, yc), (xb, yb)), preferred)
    x_free = _free(get_aval(x).ndim, xc, xb)
    if bx is not None:
        return out, len(xb) + x_free.index(bx)
    assert by is not None
    return out, len(xb) + len(x_free) + _free(get_aval(y).ndim, yc, yb).index(by)


dot_general_p: Primitive = define(
    "dot_general",
    impl=_dot_impl,
    shape=_dot_shape,
    jvp=_dot_jvp,
    transpose=_dot_transpose,
    batch=_dot_batch,
    lower="run by the matrix library or as a reduction",
)
