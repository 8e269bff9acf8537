"""Reductions, cumulative functions, sorting and contractions."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.lax.elementwise import matched
from tracejit.lax.structural import canonical_axes, canonical_axis
from tracejit.ops import contraction, cumulative, reduction, shape, sorting
from tracejit.ops._pointwise import move_axis

__all__ = [
    "Precision",
    "argmax",
    "argmin",
    "batch_matmul",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "dot",
    "dot_general",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_prod",
    "reduce_sum",
    "sort",
    "sort_key_val",
    "top_k",
]


class Precision(enum.Enum):
    """Accepted by contractions for compatibility: products have the precision of their dtype."""

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2


def _over_axes(name: str, fun: Callable[[Any, Sequence[int]], Any]) -> Callable[[Any, Any], Any]:
    def apply(operand: Any, axes: Any) -> Any:
        return fun(operand, canonical_axes(name, axes, get_aval(operand).ndim))

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = fun.__doc__
    return apply


reduce_sum = _over_axes("reduce_sum", shape.reduce_sum)
reduce_prod = _over_axes("reduce_prod", reduction.reduce_prod)
reduce_max = _over_axes("reduce_max", reduction.reduce_max)
reduce_min = _over_axes("reduce_min", reduction.reduce_min)
reduce_and = _over_axes("reduce_and", reduction.reduce_and)
reduce_or = _over_axes("reduce_or", reduction.reduce_or)


def argmax(operand: Any, axis: int, index_dtype: Any = "int64") -> Any:
    """Return the first index of the greatest element along an axis; of the first NaN, if any."""
    axis = canonical_axis("argmax", axis, get_aval(operand).ndim)
    return reduction.argmax(operand, axis, index_dtype)


def argmin(operand: Any, axis: int, index_dtype: Any = "int64") -> Any:
    """Return the first index of the least element along an axis; of the first NaN, if any."""
    axis = canonical_axis("argmin", axis, get_aval(operand).ndim)
    return reduction.argmin(operand, axis, index_dtype)


def _cumulative(name: str, fun: Callable[[Any, int, bool], Any]) -> Callable[..., Any]:
    def apply(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
        return fun(operand, canonical_axis(name, axis, get_aval(operand).ndim), reverse)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = fun.__doc__
    return apply


cumsum = _cumulative("cumsum", cumulative.cumsum)
cumprod = _cumulative("cumprod", cumulative.cumprod)
cummax = _cumulative("cummax", cumulative.cummax)
cummin = _cumulative("cummin", cumulative.cummin)
cumlogsumexp = _cumulative("cumlogsumexp", cumulative.cumlogsumexp)


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """Sort along an axis, ascending.

    Parameters
    ----------
    operand : Array, or sequence of Array of one shape
        The first `num_keys` are compared; the others go along.
    dimension : int
        The axis.
    is_stable : bool
        Whether elements with equal keys keep their order.
    num_keys : int
        At least 1.

    Returns
    -------
    Array, or tuple of Array as `operand`
        The sorted arrays, NaN last.
    """
    one = not isinstance(operand, (list, tuple))
    operands = [operand] if one else list(operand)
    if not operands:
        raise ShapeError("sort: at least one operand; got none")
    axis = canonical_axis("sort", dimension, get_aval(operands[0]).ndim)
    outs = sorting.sort(operands, axis, num_keys, is_stable)
    return outs[0] if one else tuple(outs)


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> Any:
    """Sort `keys` along an axis, and `values` along with them."""
    return sort((keys, values), dimension, is_stable, 1)


def top_k(operand: Any, k: int, *, axis: int = -1) -> list[Any]:
    """Return the greatest elements along an axis, in descending order, and their indices."""
    rank = get_aval(operand).ndim
    axis = canonical_axis("top_k", axis, rank)
    if axis == rank - 1:
        return list(sorting.top_k(operand, k))
    found = sorting.top_k(move_axis(operand, axis, rank - 1), k)
    return [move_axis(x, rank - 1, axis) for x in found]


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Sequence[Sequence[Sequence[int]]],
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Multiply two arrays and sum over paired axes.

    Parameters
    ----------
    lhs, rhs : Array, one dtype
        The operands.
    dimension_numbers : ((lhs_contract, rhs_contract), (lhs_batch, rhs_batch))
        Axes that are summed over, and axes that are walked together.
    precision : optional
        Accepted for compatibility: the dtype is the precision.
    preferred_element_type : dtype-like, optional
        The dtype in which to multiply and sum, and of the result.
    """
    del precision
    lhs, rhs = matched("dot_general", lhs, rhs)
    return contraction.dot_general(lhs, rhs, dimension_numbers, preferred_element_type)


def dot(lhs: Any, rhs: Any, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Multiply vectors and matrices: the last axis of `lhs` with the first of `rhs`."""
    ranks = get_aval(lhs).ndim, get_aval(rhs).ndim
    if not all(1 <= rank <= 2 for rank in ranks):
        raise ShapeError(
            f"dot: vectors and matrices; got shapes {get_aval(lhs).shape} and "
            f"{get_aval(rhs).shape}. See dot_general for others"
        )
    numbers = (((ranks[0] - 1,), (0,)), ((), ()))
    return dot_general(lhs, rhs, numbers, precision, preferred_element_type)


def batch_matmul(lhs: Any, rhs: Any, precision: Any = None) -> Any:
    """Multiply stacks of matrices, shapes (..., m, k) and (..., k, n)."""
    rank = get_aval(lhs).ndim
    if rank < 2 or get_aval(rhs).ndim != rank:
        raise ShapeError(
            f"batch_matmul: stacks of matrices of one rank; got shapes {get_aval(lhs).shape} and "
            f"{get_aval(rhs).shape}"
        )
    stack = tuple(range(rank - 2))
    return dot_general(lhs, rhs, (((rank - 1,), (rank - 2,)), (stack, stack)), precision)
