"""Functions that NumPy has too, with SciPy's arguments."""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp

__all__ = ["det", "inv", "lstsq", "norm", "pinv"]


def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """As :func:`scipy.linalg.det`."""
    return tnp.linalg.det(a)


def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """As :func:`scipy.linalg.inv`, but NaN where a matrix is singular."""
    return tnp.linalg.inv(a)


def lstsq(
    a: Any, b: Any, cond: Any = None, overwrite_a: bool = False, overwrite_b: bool = False,
    check_finite: bool = True, lapack_driver: Any = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.lstsq`; the residuals are always there.

    See :func:`tracejit.numpy.linalg.lstsq`.
    """
    return tnp.linalg.lstsq(a, b, cond)


def norm(
    a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, check_finite: bool = True
) -> Any:
    """As :func:`scipy.linalg.norm`."""
    return tnp.linalg.norm(a, ord, axis, keepdims)


def pinv(
    a: Any, *, atol: Any = None, rtol: Any = None, return_rank: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.pinv`.

    Parameters
    ----------
    a : array_like, shape (..., m, n)
        The matrices.
    atol, rtol : float, optional
        Singular values below ``atol + rtol * greatest`` count as 0.
    return_rank : bool, optional
        Whether the rank is returned too.
    check_finite : bool, optional
        Accepted for compatibility.
    """
    a = tnp.asarray(a)
    s = tnp.linalg.svdvals(a)
    most = tnp.max(s, -1, initial=0)
    if rtol is None:
        eps = float(tnp.finfo(s.dtype).eps)
        rtol = 0.0 if atol is not None else max(a.shape[-2:]) * eps
    bound = (0.0 if atol is None else atol) + rtol * most
    out = tnp.linalg.pinv(a, rtol=bound / tnp.where(most > 0, most, 1.0))
    return (out, tnp.sum(s > bound[..., None], -1)) if return_rank else out
