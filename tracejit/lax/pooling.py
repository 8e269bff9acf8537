"""Reductions of windows, under the names of ``jax.lax``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from tracejit.core.tracer import get_aval
from tracejit.lax import elementwise
from tracejit.lax.elementwise import matched
from tracejit.lax.padded_windows import Padding, cut_windows, per_axis, window_axes
from tracejit.ops import reduction, shape, slicing
from tracejit.ops.arithmetic import add, mul
from tracejit.ops.shape import broadcast_in_dim, reduce_sum

__all__ = ["reduce_window"]


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[[Any, Any], Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """Reduce windows, which may overlap: pooling.

    Parameters
    ----------
    operand : Array, shape (d[0], ..., d[n-1])
        The operand.
    init_value : scalar
        What a reduction starts with; it is also what `padding` puts around.
    computation : callable
        Of two arrays; ``lax.add``, ``lax.max``, ``lax.min`` and ``lax.mul`` are reductions, any
        other is applied element after element of the window.
    window_dimensions : sequence of int, length n
        The windows.
    window_strides, base_dilation, window_dilation : sequence of int, length n, optional
        From one window to the next, from one element of the operand to the next, and from one
        element of a window to the next.
    padding : str or sequence of (low, high), optional
        As in :func:`conv_general_dilated`.

    Returns
    -------
    Array, rank n, dtype of `operand`

    Raises
    ------
    ShapeError
        If there is not one number for each axis.
    """
    operand, init_value = matched("reduce_window", operand, init_value)
    aval = get_aval(operand)
    name, rank = "reduce_window", aval.ndim
    sizes = per_axis(name, "a size", window_dimensions, rank)
    cuts = window_axes(
        name, aval.shape, sizes, window_strides, padding, base_dilation, window_dilation
    )
    # An axis that nothing is done to needs no window.
    cut = [a for a in range(rank) if (cuts[a].size, cuts[a].stride, any(cuts[a].pads)) != (1, 1, 0)]
    x = cut_windows(operand, init_value, cut, [cuts[a] for a in cut])
    known = _REDUCTIONS.get(computation)
    if known is not None:
        reduce, combine = known
        return combine(
            broadcast_in_dim(init_value, get_aval(x).shape[:rank], ()),
            reduce(x, tuple(range(rank, rank + len(cut)))),
        )
    out = broadcast_in_dim(init_value, get_aval(x).shape[:rank], ())
    for place in itertools.product(*(range(sizes[a]) for a in cut)):
        outer = get_aval(x).shape[:rank]
        starts = (*(0 for _ in outer), *place)
        limits = (*outer, *(p + 1 for p in place))
        element = shape.reshape(slicing.slice_(x, starts, limits), outer)
        out = computation(out, element)
    return out


_REDUCTIONS: dict[Any, tuple[Callable[..., Any], Callable[[Any, Any], Any]]] = {
    elementwise.add: (reduce_sum, add),
    elementwise.mul: (reduction.reduce_prod, mul),
    elementwise.max: (reduction.reduce_max, elementwise.max),
    elementwise.min: (reduction.reduce_min, elementwise.min),
}
