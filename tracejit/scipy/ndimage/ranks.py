"""Filters by order: maxima, minima, medians and ranks of neighbours; morphology of grey images."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import ShapeError
from tracejit.scipy.ndimage.borders import axes_of, beyond, kind_of_result, one_each

__all__ = [
    "grey_closing", "grey_dilation", "grey_erosion", "grey_opening", "maximum_filter",
    "maximum_filter1d", "median_filter", "minimum_filter", "minimum_filter1d",
    "percentile_filter", "rank_filter",
]  # fmt: skip


def _extreme(name: str, x: Any, size: int, axis: int, output: Any, mode: str, cval: Any,
             origin: int, largest: bool) -> Any:  # fmt: skip
    x = tnp.asarray(x)
    kind = kind_of_result(name, output, x.dtype)
    (axis,) = axes_of(name, axis, x.ndim)
    before = size // 2 + origin
    if size < 1 or not 0 <= before < size:
        raise ShapeError(f"{name}: origin {origin} is outside of a window of {size}")
    widths = [(before, size - 1 - before) if a == axis else (0, 0) for a in range(x.ndim)]
    window = [size if a == axis else 1 for a in range(x.ndim)]
    x = beyond(name, x, widths, mode, cval)
    if tnp.issubdtype(x.dtype, np.inexact):
        start = -np.inf if largest else np.inf
    elif x.dtype == bool:
        start = not largest
    else:
        start = np.iinfo(x.dtype).min if largest else np.iinfo(x.dtype).max
    reduce = lax.max if largest else lax.min
    return lax.reduce_window(x, np.asarray(start, x.dtype), reduce, window).astype(kind)


def maximum_filter1d(
    input: Any, size: int, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.maximum_filter1d`."""
    return _extreme("maximum_filter1d", input, size, axis, output, mode, cval, origin, True)


def minimum_filter1d(
    input: Any, size: int, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.minimum_filter1d`."""
    return _extreme("minimum_filter1d", input, size, axis, output, mode, cval, origin, False)


def _footprint(name: str, size: Any, footprint: Any, count: int) -> Any:
    if footprint is None:
        if size is None:
            raise ShapeError(f"{name}: size or footprint must be given")
        return np.ones([int(n) for n in one_each(name, "size", size, count)], bool)
    known = np.asarray(footprint, bool)
    if known.ndim != count or not known.any():
        raise ShapeError(f"{name}: a footprint of rank {count}, not all False; got {known.shape}")
    return known


def _neighbours(name: str, x: Any, footprint: Any, mode: str, cval: Any, origin: Any,
                used: tuple[int, ...]) -> list[Any]:  # fmt: skip
    """Return the image moved to each place of a footprint."""
    origins = one_each(name, "origin", origin, len(used))
    widths = [(0, 0)] * x.ndim
    for place, axis in enumerate(used):
        n = footprint.shape[place]
        before = n // 2 + int(origins[place])
        if not 0 <= before < n:
            raise ShapeError(f"{name}: origin {origin} is outside of the footprint")
        widths[axis] = (before, n - 1 - before)
    padded = beyond(name, x, widths, mode, cval)
    out = []
    for where in np.argwhere(footprint):
        cut = [slice(None)] * x.ndim
        for step, axis in zip(where, used, strict=True):
            cut[axis] = slice(int(step), int(step) + x.shape[axis])
        out.append(padded[tuple(cut)])
    return out


def _by_window(name: str, input: Any, size: Any, footprint: Any, output: Any, mode: Any,
               cval: Any, origin: Any, axes: Any, largest: bool) -> Any:  # fmt: skip
    x = tnp.asarray(input)
    kind = kind_of_result(name, output, x.dtype)
    used = axes_of(name, axes, x.ndim)
    known = _footprint(name, size, footprint, len(used))
    if known.all():
        modes = one_each(name, "mode", mode, len(used))
        origins = one_each(name, "origin", origin, len(used))
        for place, axis in enumerate(used):
            n = known.shape[place]
            if n > 1:
                x = _extreme(name, x, n, axis, kind, modes[place], cval, int(origins[place]),
                             largest)  # fmt: skip
        return x.astype(kind)
    moved = _neighbours(name, x, known, mode, cval, origin, used)
    out = moved[0]
    for more in moved[1:]:
        out = tnp.maximum(out, more) if largest else tnp.minimum(out, more)
    return out.astype(kind)


def maximum_filter(
    input: Any, size: Any = None, footprint: Any = None, output: Any = None,
    mode: Any = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.maximum_filter`.

    Parameters
    ----------
    input : array_like, real
        The image.
    size : int or one an axis, optional
        Of the window.
    footprint : array_like of bool, known while tracing, optional
        The places of the window that count, instead of `size`.
    output : dtype, optional
        Of the result; that of `input` by default.
    mode : str or one an axis, optional
        What is beyond the borders, as in :func:`correlate`.
    cval : scalar, optional
        What is there with constant.
    origin : int or one an axis, optional
        By how much the window is moved.
    axes : optional
        The axes that the window has; all by default.

    Raises
    ------
    ShapeError
        If neither size nor footprint is given, or the ranks do not fit.
    """
    return _by_window("maximum_filter", input, size, footprint, output, mode, cval, origin, axes,
                      True)  # fmt: skip


def minimum_filter(
    input: Any, size: Any = None, footprint: Any = None, output: Any = None,
    mode: Any = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.minimum_filter`; see :func:`maximum_filter`."""
    return _by_window("minimum_filter", input, size, footprint, output, mode, cval, origin, axes,
                      False)  # fmt: skip


def _ranked(name: str, input: Any, rank: Any, size: Any, footprint: Any, output: Any, mode: Any,
            cval: Any, origin: Any, axes: Any) -> Any:  # fmt: skip
    x = tnp.asarray(input)
    kind = kind_of_result(name, output, x.dtype)
    used = axes_of(name, axes, x.ndim)
    known = _footprint(name, size, footprint, len(used))
    moved = tnp.stack(_neighbours(name, x, known, mode, cval, origin, used), -1)
    count = moved.shape[-1]
    place = rank(count)
    if not 0 <= place < count:
        raise ShapeError(f"{name}: the rank is not within a window of {count}; it is {place}")
    return tnp.sort(moved, -1)[..., place].astype(kind)


def rank_filter(
    input: Any, rank: int, size: Any = None, footprint: Any = None, output: Any = None,
    mode: str = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.rank_filter`: the neighbour of a rank, from the end if negative.

    See :func:`maximum_filter` for the other arguments.
    """
    return _ranked("rank_filter", input, lambda n: rank + n if rank < 0 else rank, size,
                   footprint, output, mode, cval, origin, axes)  # fmt: skip


def median_filter(
    input: Any, size: Any = None, footprint: Any = None, output: Any = None,
    mode: str = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.median_filter`: of two middles the upper one."""
    return _ranked("median_filter", input, lambda n: n // 2, size, footprint, output, mode, cval,
                   origin, axes)  # fmt: skip


def percentile_filter(
    input: Any, percentile: float, size: Any = None, footprint: Any = None, output: Any = None,
    mode: str = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.percentile_filter`; from the end if the percentage is negative."""
    share = percentile + 100.0 if percentile < 0 else percentile

    def rank(count: int) -> int:
        return count - 1 if share == 100.0 else int(count * share / 100.0)

    return _ranked("percentile_filter", input, rank, size, footprint, output, mode, cval, origin,
                   axes)  # fmt: skip


# ---------------------------------------------------------------------- grey images


def _shaped(name: str, size: Any, footprint: Any, structure: Any, rank: int) -> Any:
    if structure is not None:
        raise NotImplementedError(f"{name}: structure is not supported; use footprint")
    return _footprint(name, size, footprint, rank)


def grey_erosion(
    input: Any, size: Any = None, footprint: Any = None, structure: Any = None,
    output: Any = None, mode: str = "reflect", cval: Any = 0.0, origin: Any = 0, *,
    axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.grey_erosion`, by flat elements: minima of neighbours."""
    count = len(axes_of("grey_erosion", axes, tnp.ndim(input)))
    known = _shaped("grey_erosion", size, footprint, structure, count)
    return _by_window("grey_erosion", input, None, known, output, mode, cval, origin, axes, False)


def grey_dilation(
    input: Any, size: Any = None, footprint: Any = None, structure: Any = None,
    output: Any = None, mode: str = "reflect", cval: Any = 0.0, origin: Any = 0, *,
    axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.grey_dilation`, by flat elements: maxima, the window reversed."""
    count = len(axes_of("grey_dilation", axes, tnp.ndim(input)))
    known = np.flip(_shaped("grey_dilation", size, footprint, structure, count))
    origins = one_each("grey_dilation", "origin", origin, count)
    moves = [-int(o) - (n % 2 == 0) for o, n in zip(origins, known.shape, strict=True)]
    return _by_window("grey_dilation", input, None, known, output, mode, cval, moves, axes, True)


def grey_opening(
    input: Any, size: Any = None, footprint: Any = None, structure: Any = None,
    output: Any = None, mode: str = "reflect", cval: Any = 0.0, origin: Any = 0, *,
    axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.grey_opening`: an erosion, then a dilation."""
    x = grey_erosion(input, size, footprint, structure, None, mode, cval, origin, axes=axes)
    return grey_dilation(x, size, footprint, structure, output, mode, cval, origin, axes=axes)


def grey_closing(
    input: Any, size: Any = None, footprint: Any = None, structure: Any = None,
    output: Any = None, mode: str = "reflect", cval: Any = 0.0, origin: Any = 0, *,
    axes: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.ndimage.grey_closing`: a dilation, then an erosion."""
    x = grey_dilation(input, size, footprint, structure, None, mode, cval, origin, axes=axes)
    return grey_erosion(x, size, footprint, structure, output, mode, cval, origin, axes=axes)
