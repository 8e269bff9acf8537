"""Windows of an operand that is padded and dilated first: what convolutions and pooling share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.ops import slicing
from tracejit.ops.convolution import sliding_windows

__all__ = ["Padding", "WindowAxis", "cut_windows", "padtype_to_pads", "per_axis", "window_axes"]

Padding = str | Sequence[tuple[int, int]]


def padtype_to_pads(
    in_shape: Sequence[int],
    window_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: str,
) -> list[tuple[int, int]]:
    """Return what ``SAME``, ``SAME_LOWER`` or ``VALID`` puts before and after each axis.

    Parameters
    ----------
    in_shape, window_shape, window_strides : sequence of int
        Lengths of the axes, of the (dilated) windows, and the strides.
    padding : str
        ``VALID`` is none; with ``SAME`` there are ``ceil(length / stride)`` windows, and where the
        number is odd one more after than before (``SAME_LOWER``: before).

    Raises
    ------
    ShapeError
        If `padding` is none of these.
    """
    kind = padding.upper() if isinstance(padding, str) else padding
    if kind == "VALID":
        return [(0, 0) for _ in in_shape]
    if kind not in ("SAME", "SAME_LOWER"):
        raise ShapeError(f"padding must be SAME, SAME_LOWER, VALID or pairs; got {padding!r}")
    pads = []
    for length, size, stride in zip(in_shape, window_shape, window_strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        less, more = total // 2, total - total // 2
        pads.append((less, more) if kind == "SAME" else (more, less))
    return pads


def per_axis(name: str, what: str, values: Any, rank: int) -> tuple[int, ...]:
    """Return one number, at least 1, for each of `rank` dimensions; 1 by default."""
    if values is None:
        return (1,) * rank
    numbers: tuple[int, ...] = (values,) * rank if isinstance(values, int) else tuple(values)
    if len(numbers) != rank or any(v < 1 for v in numbers):
        raise ShapeError(
            f"{name}: {what} for each of {rank} dimensions, at least 1; got {numbers}"
        )
    return numbers


class WindowAxis(NamedTuple):
    """How one axis is padded and cut.

    Attributes
    ----------
    size, stride, dilation : int
        Elements of a window, from one window to the next, from one of its elements to the next.
    pads : (low, high, interior)
        As :func:`tracejit.lax.pad` takes them.
    """

    size: int
    stride: int
    dilation: int
    pads: tuple[int, int, int]


def window_axes(
    name: str,
    lengths: Sequence[int],
    sizes: Sequence[int],
    strides: Any,
    padding: Any,
    spread: Any,
    dilations: Any,
) -> list[WindowAxis]:
    """Return how axes of `lengths` are padded and cut, from arguments as functions take them.

    Parameters
    ----------
    name : str
        Of the function, for errors.
    lengths, sizes : sequence of int
        Of the axes and of the windows.
    strides, spread, dilations : int, sequence of int or None
        Between windows, between elements of the operand, between elements of a window.
    padding : str or sequence of pairs

    Raises
    ------
    ShapeError
        If there is not one of each for each axis.
    """
    rank = len(lengths)
    strides = per_axis(name, "a stride", strides, rank)
    spread = per_axis(name, "a dilation of the operand", spread, rank)
    dilations = per_axis(name, "a dilation of the windows", dilations, rank)
    if isinstance(padding, str):
        given = [_reach(n, d) for n, d in zip(lengths, spread, strict=True)]
        reaches = [_reach(n, d) for n, d in zip(sizes, dilations, strict=True)]
        pads = padtype_to_pads(given, reaches, strides, padding)
    else:
        pads = [tuple(p) for p in padding]
        if len(pads) != rank or any(len(p) != 2 for p in pads):
            raise ShapeError(
                f"{name}: padding as a pair for each of {rank} dimensions; got {padding!r}"
            )
    return [
        WindowAxis(n, s, d, (low, high, e - 1))
        for n, s, d, (low, high), e in zip(sizes, strides, dilations, pads, spread, strict=True)
    ]


def _reach(count: int, dilation: int) -> int:
    return (count - 1) * dilation + 1 if count else 0


def cut_windows(x: Any, value: Any, axes: Sequence[int], cuts: Sequence[WindowAxis]) -> Any:
    """Pad `x` with `value` and cut it; the axes of the windows are the last ones."""
    pads = {a: c.pads for a, c in zip(axes, cuts, strict=True)}
    if any(map(any, pads.values())):
        x = slicing.pad(x, value, [pads.get(a, (0, 0, 0)) for a in range(get_aval(x).ndim)])
    sizes, strides = [c.size for c in cuts], [c.stride for c in cuts]
    return sliding_windows(x, axes, sizes, strides, [c.dilation for c in cuts])
