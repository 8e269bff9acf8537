"""gather and the scatters with the dimension numbers of XLA.

:mod:`tracejit.ops.indexing` has one canonical form, in which axes walked together come first and
those of a window last; here arrays are brought into it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tracejit.core.errors import StructureError
from tracejit.core.tracer import get_aval
from tracejit.lax.elementwise import matched
from tracejit.ops import indexing, shape
from tracejit.ops.arithmetic import neg

__all__ = [
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "ScatterDimensionNumbers",
    "gather",
    "scatter",
    "scatter_add",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
]


class GatherDimensionNumbers(NamedTuple):
    """Which axis is what in a gather.

    Attributes
    ----------
    offset_dims : tuple of int
        The axes of the result that are axes of the window.
    collapsed_slice_dims : tuple of int
        The axes of the operand that the result lacks; windows have length 1 along them.
    start_index_map : tuple of int
        The axis of the operand that each element of an index vector counts along.
    operand_batching_dims, start_indices_batching_dims : tuple of int
        Axes of the operand and of the indices that are walked together.
    """

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


class ScatterDimensionNumbers(NamedTuple):
    """Which axis is what in a scatter.

    Attributes
    ----------
    update_window_dims : tuple of int
        The axes of the updates that are axes of the window.
    inserted_window_dims : tuple of int
        The axes of the operand that the updates lack.
    scatter_dims_to_operand_dims : tuple of int
        The axis of the operand that each element of an index vector counts along.
    operand_batching_dims, scatter_indices_batching_dims : tuple of int
        Axes of the operand and of the indices that are walked together.
    """

    update_window_dims: tuple[int, ...]
    inserted_window_dims: tuple[int, ...]
    scatter_dims_to_operand_dims: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    scatter_indices_batching_dims: tuple[int, ...] = ()


class GatherScatterMode(enum.Enum):
    """What is done with windows that do not lie inside the operand."""

    CLIP = 0
    FILL_OR_DROP = 1
    PROMISE_IN_BOUNDS = 2


_MODES = {
    None: ("fill", "drop"),
    "fill": ("fill", "drop"),
    "drop": ("fill", "drop"),
    "clip": ("clip", "clip"),
    "promise_in_bounds": ("promise_in_bounds", "promise_in_bounds"),
    GatherScatterMode.FILL_OR_DROP: ("fill", "drop"),
    GatherScatterMode.CLIP: ("clip", "clip"),
    GatherScatterMode.PROMISE_IN_BOUNDS: ("promise_in_bounds", "promise_in_bounds"),
}


def _mode(name: str, mode: Any) -> tuple[str, str]:
    if mode not in _MODES:
        raise StructureError(
            f'{name}: mode must be "fill", "drop", "clip", "promise_in_bounds" or a '
            f"GatherScatterMode; got {mode!r}"
        )
    return _MODES[mode]


class _Form:
    """An operand and its indices in canonical form: axes walked together in front."""

    def __init__(
        self, x: Any, indices: Any, at: Sequence[int], gone: Sequence[int],
        lanes_x: Sequence[int], lanes_i: Sequence[int],
    ) -> None:  # fmt: skip
        self.shape = get_aval(x).shape
        own = [a for a in range(len(self.shape)) if a not in lanes_x]
        place = {a: n for n, a in enumerate(own)}
        last = get_aval(indices).ndim - 1
        batch = [a for a in range(last) if a not in lanes_i]
        self.order = [*lanes_x, *own]
        self.x = shape.transpose(x, self.order)
        self.indices = shape.transpose(indices, [*lanes_i, *batch, last])
        self.axes = [place[a] for a in at]
        self.collapsed = [place[a] for a in gone]
        self.own = own
        self.lanes = len(lanes_x)
        # Where each batch axis of the result, in the order of the indices, is in canonical form.
        walked = [*lanes_i, *batch]
        self.front = [walked.index(a) for a in range(last)]

    def windows_last(self, window: Sequence[int]) -> list[int]:
        """Return the axis in canonical form of each axis of a result with `window` axes."""
        rank = len(self.front) + len(window)
        fronts, backs = iter(self.front), iter(range(len(self.front), rank))
        return [next(backs) if a in window else next(fronts) for a in range(rank)]


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
) -> Any:
    """Read windows at traced positions.

    Parameters
    ----------
    operand : Array
        What is read.
    start_indices : Array, integer, shape (..., len(start_index_map))
        Where windows start.
    dimension_numbers : GatherDimensionNumbers
        Which axis is what.
    slice_sizes : sequence of int
        The lengths of a window along every axis of `operand`.
    unique_indices, indices_are_sorted : bool
        Accepted for compatibility.
    mode : str or GatherScatterMode, optional
        What is read for a window out of range: ``"fill"`` (the default) or ``"clip"``.
    fill_value : scalar, optional
        NaN by default; for integers the least, or for unsigned ones the greatest, value.
    """
    del unique_indices, indices_are_sorted
    d = dimension_numbers
    form = _Form(
        operand,
        start_indices,
        d.start_index_map,
        d.collapsed_slice_dims,
        d.operand_batching_dims,
        d.start_indices_batching_dims,
    )
    out = indexing.gather(
        form.x,
        form.indices,
        form.axes,
        [slice_sizes[a] for a in form.own],
        form.collapsed,
        form.lanes,
        _mode("gather", mode)[0],
        fill_value,
    )
    return shape.transpose(out, form.windows_last(d.offset_dims))


def _inverse(permutation: Sequence[int]) -> list[int]:
    return sorted(range(len(permutation)), key=permutation.__getitem__)


def _scatter(name: str, fun: Callable[..., Any]) -> Callable[..., Any]:
    def apply(
        operand: Any,
        scatter_indices: Any,
        updates: Any,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
    ) -> Any:
        del indices_are_sorted
        operand, updates = matched(name, operand, updates)
        d = dimension_numbers
        form = _Form(
            operand,
            scatter_indices,
            d.scatter_dims_to_operand_dims,
            d.inserted_window_dims,
            d.operand_batching_dims,
            d.scatter_indices_batching_dims,
        )
        out = fun(
            form.x,
            form.indices,
            shape.transpose(updates, _inverse(form.windows_last(d.update_window_dims))),
            form.axes,
            form.collapsed,
            form.lanes,
            _mode(name, mode)[1],
            unique_indices,
        )
        return shape.transpose(out, _inverse(form.order))

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = (
        f"{(fun.__doc__ or '').splitlines()[0]}\n\n"
        "    The dimension numbers are a :class:`ScatterDimensionNumbers`.\n    "
    )
    return apply


scatter = _scatter("scatter", indexing.scatter)
scatter_add = _scatter("scatter_add", indexing.scatter_add)
scatter_mul = _scatter("scatter_mul", indexing.scatter_mul)
scatter_min = _scatter("scatter_min", indexing.scatter_min)
scatter_max = _scatter("scatter_max", indexing.scatter_max)


def scatter_sub(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    **options: Any,
) -> Any:
    """Subtract windows at traced positions, repeated places too; see :func:`scatter_add`."""
    return scatter_add(operand, scatter_indices, neg(updates), dimension_numbers, **options)
