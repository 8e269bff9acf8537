"""Systems whose matrices have few diagonals, or equal ones.

Tridiagonal systems are solved by :func:`tracejit.lax.linalg.tridiagonal_solve`, wider bands by
LAPACK, through the counted callback.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.control.callbacks import pure_callback
from tracejit.control.linear_solve import custom_linear_solve
from tracejit.core.errors import ShapeError
from tracejit.lax.tridiagonal import tridiagonal_solve
from tracejit.scipy.linalg.patterned import toeplitz
from tracejit.transforms.abstract import ShapeDtypeStruct
from tracejit.transforms.stop_gradient import stop_gradient

__all__ = ["solve_banded", "solve_toeplitz", "solveh_banded", "tridiagonal_solve"]


def solve_banded(
    l_and_u: tuple[int, int], ab: Any, b: Any, overwrite_ab: bool = False,
    overwrite_b: bool = False, check_finite: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.solve_banded`.

    Parameters
    ----------
    l_and_u : (int, int)
        How many diagonals there are below and above the main one.
    ab : array_like, shape (l + u + 1, n)
        The diagonals: ``ab[u + i - j, j] == a[i, j]``.
    b : array_like, shape (n,) or (n, k)
        The right-hand sides.
    overwrite_ab, overwrite_b, check_finite : bool, optional
        Accepted for compatibility.

    Returns
    -------
    Array, shape of `b`
        The solutions; NaN where the matrix is singular.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    low, up = l_and_u
    ab, b = tnp.asarray(ab), tnp.asarray(b)
    dtype = tnp.result_type(ab, b, tnp.float32)
    ab, b = ab.astype(dtype), b.astype(dtype)
    fits = ab.ndim == 2 and ab.shape[0] == low + up + 1 and b.ndim in (1, 2)
    if not fits or b.shape[0] != ab.shape[1]:
        raise ShapeError(
            f"solve_banded: {low} + {up} + 1 diagonals (rows) and a right-hand side with their "
            f"length; got shapes {ab.shape} and {b.shape}"
        )
    vector = b.ndim == 1
    b = b[:, None] if vector else b
    n = ab.shape[1]
    ab = tnp.where(_within(low, up, n), ab, 0)
    if (low, up) == (1, 1) and n:
        x = tridiagonal_solve(tnp.roll(ab[2], 1), ab[1], tnp.roll(ab[0], -1), b)
        return x[:, 0] if vector else x
    turned = _transposed(low, up, ab)

    def product(x: Any) -> Any:
        out = tnp.zeros_like(x)
        for row in range(low + up + 1):
            shift = row - up  # i - j of this diagonal
            term = ab[row][:, None] * x
            count = n - abs(shift)
            if count > 0:
                first, into = max(-shift, 0), max(shift, 0)
                out = out.at[into : into + count].add(term[first : first + count])
        return out

    x = custom_linear_solve(
        product,
        b,
        lambda _, y: _by_lapack(low, up, ab, y),
        lambda _, y: _by_lapack(up, low, turned, y),
    )
    return x[:, 0] if vector else x


def _within(low: int, up: int, n: int) -> Any:
    """Return which places of the array of diagonals are in the matrix."""
    row = np.arange(low + up + 1)[:, None] - up + np.arange(n)[None, :]
    return (row >= 0) & (row < n)


def _transposed(low: int, up: int, ab: Any) -> Any:
    rows = [tnp.roll(ab[row], row - up) for row in range(low + up + 1)]
    return tnp.where(_within(up, low, ab.shape[1]), tnp.stack(rows[::-1]), 0)


def _by_lapack(low: int, up: int, ab: Any, b: Any) -> Any:
    def solve(ab: Any, b: Any) -> Any:
        library = importlib.import_module("scipy.linalg")
        lanes = np.broadcast_shapes(ab.shape[:-2], b.shape[:-2])
        ab = np.broadcast_to(ab, (*lanes, *ab.shape[-2:]))
        b = np.broadcast_to(b, (*lanes, *b.shape[-2:]))
        out = np.full(b.shape, np.nan, b.dtype)
        for place in np.ndindex(*lanes):
            if not b[place].size:
                continue
            try:
                out[place] = library.solve_banded((low, up), ab[place], b[place])
            except (np.linalg.LinAlgError, ValueError):  # singular, or not finite
                continue
        return out

    shape = ShapeDtypeStruct(b.shape, b.dtype)
    return pure_callback(
        solve, shape, stop_gradient(ab), b, vmap_method="expand_dims"
    )


def solveh_banded(
    ab: Any, b: Any, overwrite_ab: bool = False, overwrite_b: bool = False, lower: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.solveh_banded`: Hermitian, half of the diagonals given.

    Parameters
    ----------
    ab : array_like, shape (u + 1, n)
        The diagonals of the upper triangle, or of the lower one.
    b : array_like, shape (n,) or (n, k)
        The right-hand sides.
    overwrite_ab, overwrite_b, check_finite : bool, optional
        Accepted for compatibility.
    lower : bool, optional
        Which triangle.
    """
    ab = tnp.asarray(ab)
    if ab.ndim != 2:
        raise ShapeError(f"solveh_banded: diagonals as rows (u + 1, n); got shape {ab.shape}")
    u = ab.shape[0] - 1
    if lower:
        half = ab
        rest = [tnp.conj(tnp.roll(ab[k], k)) for k in range(u, 0, -1)]
        whole = [*rest, *(half[k] for k in range(u + 1))]
    else:
        whole = [*(ab[k] for k in range(u + 1))]
        whole += [tnp.conj(tnp.roll(ab[u - k], -k)) for k in range(1, u + 1)]
    return solve_banded((u, u), tnp.stack(whole), b)


def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Any:
    """As :func:`scipy.linalg.solve_toeplitz`, through the full matrix.

    Parameters
    ----------
    c_or_cr : array_like, shape (n,), or a pair of these
        The first column, and the first row if it is not the conjugate of that.
    b : array_like, shape (n,) or (n, k)
        The right-hand sides.
    check_finite : bool, optional
        Accepted for compatibility.
    """
    pair: Sequence[Any] = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr,)
    return tnp.linalg.solve(toeplitz(*pair), b)
