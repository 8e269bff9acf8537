"""Vector quantization: the nearest centre of each point."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError

__all__ = ["vq", "whiten"]


def vq(obs: Any, code_book: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """As :func:`scipy.cluster.vq.vq`.

    Parameters
    ----------
    obs : array_like, shape (m, n) or (m,)
        Points.
    code_book : array_like, shape (k, n) or (k,)
        Centres.
    check_finite : bool, optional
        Accepted for compatibility.

    Returns
    -------
    code : Array of int32, shape (m,)
        The nearest centre of each point; of several the first.
    dist : Array, shape (m,)
        Its distance.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    x, centres = tnp.asarray(obs), tnp.asarray(code_book)
    if x.ndim != centres.ndim or x.ndim not in (1, 2) or x.shape[1:] != centres.shape[1:]:
        raise ShapeError(
            f"vq: points (m, n) and centres (k, n); got shapes {x.shape} and {centres.shape}"
        )
    if not tnp.issubdtype(tnp.result_type(x, centres), np.inexact):
        x = x.astype(np.float64)
    x, centres = (v.reshape(v.shape[0], -1) for v in (x, centres))
    square = tnp.sum((x[:, None, :] - centres[None]) ** 2, -1)
    code = tnp.argmin(square, -1).astype(np.int32)
    # Only the nearest centre has a derivative, and none where it is met.
    near = tnp.sum((x - centres[code]) ** 2, -1)
    apart = near > 0
    return code, tnp.where(apart, tnp.sqrt(tnp.where(apart, near, 1)), 0)


def whiten(obs: Any, check_finite: bool = True) -> Any:
    """As :func:`scipy.cluster.vq.whiten`: columns over their standard deviations."""
    x = tnp.asarray(obs)
    spread = tnp.std(x, axis=0)
    return x / tnp.where(spread == 0, 1, spread)
