"""Tridiagonal systems: two loops with partial pivoting, compiled natively and in lanes."""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.control.linear_solve import custom_linear_solve
from tracejit.control.scan import scan
from tracejit.core.errors import ShapeError
from tracejit.transforms.stop_gradient import stop_gradient

__all__ = ["tridiagonal_solve"]


def tridiagonal_solve(dl: Any, d: Any, du: Any, b: Any) -> Any:
    """Solve tridiagonal systems, with partial pivoting.

    Parameters
    ----------
    dl, d, du : array_like, shape (..., n)
        The diagonals: row i is ``dl[i] x[i-1] + d[i] x[i] + du[i] x[i+1]``; ``dl[0]`` and
        ``du[n-1]`` are not read.
    b : array_like, shape (..., n, k)
        The right-hand sides.

    Returns
    -------
    Array, shape (..., n, k)
        The solutions; inf or NaN where a matrix is singular.

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Notes
    -----
    The elimination of LAPACK's ``gtsv``: with an exchange, a row reaches one column further.  The
    derivative is that of the solution of a linear system, by another such solution.
    """
    dl, d, du, b = (tnp.asarray(v) for v in (dl, d, du, b))
    dtype = tnp.result_type(dl, d, du, b, tnp.float32)
    dl, d, du, b = (v.astype(dtype) for v in (dl, d, du, b))
    n = d.shape[-1] if d.ndim else 0
    if not dl.shape == d.shape == du.shape or b.ndim != d.ndim + 1 or b.shape[:-1] != d.shape:
        raise ShapeError(
            "tridiagonal_solve: diagonals (..., n) and right-hand sides (..., n, k); got shapes "
            f"{dl.shape}, {d.shape}, {du.shape} and {b.shape}"
        )
    if n == 0:
        return b
    # Beyond the corners there is nothing, also for derivatives.
    dl = dl.at[..., 0].set(0)
    du = du.at[..., -1].set(0)

    def product(x: Any) -> Any:
        return _by_bands(dl, d, du, x)

    return custom_linear_solve(
        product,
        b,
        lambda _, y: _eliminated(dl, d, du, y),
        # The transpose has the diagonals below and above exchanged, and moved by a row.
        lambda _, y: _eliminated(tnp.roll(du, 1, -1), d, tnp.roll(dl, -1, -1), y),
    )


def _by_bands(dl: Any, d: Any, du: Any, x: Any) -> Any:
    zero = tnp.zeros_like(x[..., :1, :])
    above = tnp.concatenate([zero, x[..., :-1, :]], -2)
    below = tnp.concatenate([x[..., 1:, :], zero], -2)
    return dl[..., None] * above + d[..., None] * x + du[..., None] * below


def _eliminated(dl: Any, d: Any, du: Any, b: Any) -> Any:
    """Solve by elimination, a row a trip, in lanes."""
    dl, d, du = (stop_gradient(tnp.moveaxis(v, -1, 0)[..., None]) for v in (dl, d, du))
    b = tnp.moveaxis(b, -2, 0)
    zero = tnp.zeros_like(du[0])

    def forward(row: Any, following: Any) -> Any:
        p, q, y = row
        low, mid, up, right = following
        keep = tnp.abs(p) >= tnp.abs(low)
        one = tnp.ones_like(p)
        pivot = tnp.where(keep, p, low)
        factor = tnp.where(keep, low, p) / tnp.where(pivot == 0, one, pivot)
        rest = ((q, mid), (zero, up), (y, right))
        done = (pivot, *(tnp.where(keep, mine, theirs) for mine, theirs in rest))
        new = (
            tnp.where(keep, mid - factor * q, q - factor * mid),
            tnp.where(keep, up, -factor * up),
            tnp.where(keep, right - factor * y, y - factor * right),
        )
        return new, done

    last, rows = scan(forward, (d[0], du[0], b[0]), (dl[1:], d[1:], du[1:], b[1:]))
    end = last[2] / last[0]

    def back(later: Any, row: Any) -> Any:
        x1, x2 = later
        p, q, r, y = row
        x = (y - q * x1 - r * x2) / p
        return (x, x1), x

    _, before = scan(back, (end, tnp.zeros_like(end)), rows, reverse=True)
    return tnp.moveaxis(tnp.concatenate([before, end[None]], 0), 0, -2)
