"""Pooling: means and extremes of windows of the spatial dimensions, channels last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit import lax
from tracejit.core.errors import ShapeError
from tracejit.core.tracer import get_aval
from tracejit.nn.operand import floating

__all__ = ["avg_pool", "max_pool", "min_pool"]


def _windows(
    name: str, x: Any, window_shape: Sequence[int], strides: Any, padding: Any
) -> tuple[Any, dict[str, Any]]:
    aval = get_aval(x)
    n = len(window_shape)
    if aval.ndim != n + 2:
        raise ShapeError(
            f"nn.{name}: an array of batch, {n} spatial dimensions and channels; got {aval}"
        )
    strides = (1,) * n if strides is None else tuple(strides)
    pads = padding if isinstance(padding, str) else [(0, 0), *padding, (0, 0)]
    return x, {
        "window_dimensions": (1, *window_shape, 1),
        "window_strides": (1, *strides, 1),
        "padding": pads,
    }


def max_pool(
    x: Any, window_shape: Sequence[int], strides: Any = None, padding: Any = "VALID"
) -> Any:
    """Take the greatest element of each window.

    Parameters
    ----------
    x : Array, shape (batch, \\*spatial, channels), real
        The operand.
    window_shape : sequence of int
        The window along each spatial dimension.
    strides : sequence of int, optional
        From one window to the next; 1 by default.
    padding : str or sequence of (low, high), optional
        ``VALID``, ``SAME``, or how many to put around; what is put there is never the greatest.

    Returns
    -------
    Array, shape (batch, \\*windows, channels), dtype of `x`

    Raises
    ------
    ShapeError
        If the ranks do not fit.
    """
    x, how = _windows("max_pool", tnp.asarray(x), window_shape, strides, padding)
    return lax.reduce_window(x, _lowest(get_aval(x).dtype), lax.max, **how)


def min_pool(
    x: Any, window_shape: Sequence[int], strides: Any = None, padding: Any = "VALID"
) -> Any:
    """Take the least element of each window; see :func:`max_pool`."""
    return -max_pool(-tnp.asarray(x), window_shape, strides, padding)


def _lowest(dtype: Any) -> Any:
    return -np.inf if tnp.issubdtype(dtype, np.floating) else tnp.iinfo(dtype).min


def avg_pool(
    x: Any, window_shape: Sequence[int], strides: Any = None, padding: Any = "VALID",
    count_include_pad: bool = True,
) -> Any:  # fmt: skip
    """Average each window.

    Parameters
    ----------
    x : Array, shape (batch, \\*spatial, channels), real
        The operand.
    window_shape, strides, padding
        As in :func:`max_pool`; zeros are put around.
    count_include_pad : bool, optional
        Whether to divide by the size of the window, or by how many of its elements are not padding.
    """
    x, how = _windows("avg_pool", floating("avg_pool", x), window_shape, strides, padding)
    total = lax.reduce_window(x, 0.0, lax.add, **how)
    if count_include_pad:
        return total / float(np.prod(window_shape))
    ones = tnp.ones((1, *get_aval(x).shape[1:-1], 1), get_aval(x).dtype)
    return total / lax.reduce_window(ones, 0.0, lax.add, **how)
