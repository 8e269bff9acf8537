"""Sums of exponentials along axes, without overflow."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.tracer import get_aval
from tracejit.numpy.promotion import array_of, stretch
from tracejit.scipy.special.operands import floats
from tracejit.transforms.stop_gradient import stop_gradient

__all__ = ["log_softmax", "logsumexp", "softmax"]


def _peak(a: Any, axis: Any) -> Any:
    """Return the largest elements along axes, as constants, 0 where that is not finite."""
    peak = stop_gradient(tnp.max(tnp.real(a), axis, keepdims=True, initial=-np.inf))
    return tnp.where(tnp.isfinite(peak), peak, 0)


def logsumexp(
    a: Any,
    axis: Any = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """Logarithm of the sum of exponentials.

    Parameters
    ----------
    a : array-like, any shape, real or complex
        The exponents.
    axis : int, tuple of int, or None
        What is summed over; all by default.
    b : array-like, optional
        Factors, which may be negative: of shapes that broadcast with `a`.
    keepdims : bool
        Whether these axes are kept, with length 1.
    return_sign : bool
        Whether the sign of the sum is returned too, and the logarithm is that of its magnitude.
    where : array-like of bool, optional
        Which elements are summed.

    Returns
    -------
    Array, or two of them
        ``log(sum(b * exp(a)))``; -inf of nothing; NaN for a negative sum without `return_sign`.
    """
    if b is None:
        (a,) = map(array_of, floats("logsumexp", a, accepts_complex=True))
    else:
        a, b = map(array_of, floats("logsumexp", a, b, accepts_complex=True))
        shape = np.broadcast_shapes(get_aval(a).shape, get_aval(b).shape)
        a = tnp.where(b == 0, -np.inf, stretch(a, shape))
    if where is not None:
        a = tnp.where(where, a, -np.inf)
    peak = _peak(a, axis)
    terms = tnp.exp(a - peak)
    total = tnp.sum(terms if b is None else b * terms, axis, keepdims=keepdims)
    peak = peak if keepdims else tnp.reshape(peak, get_aval(total).shape)
    if not return_sign:
        return tnp.log(total) + peak
    return tnp.log(tnp.abs(total)) + peak, tnp.sign(total)


def softmax(x: Any, /, *, axis: Any = None) -> Any:
    """Return exponentials, divided by their sum over `axis` (all axes by default)."""
    (x,) = map(array_of, floats("softmax", x, accepts_complex=True))
    terms = tnp.exp(x - _peak(x, axis))
    return terms / tnp.sum(terms, axis, keepdims=True)


def log_softmax(x: Any, /, *, axis: Any = None) -> Any:
    """Logarithm of :func:`softmax`, accurate where that is small."""
    (x,) = map(array_of, floats("log_softmax", x, accepts_complex=True))
    moved = x - _peak(x, axis)
    return moved - tnp.log(tnp.sum(tnp.exp(moved), axis, keepdims=True))
