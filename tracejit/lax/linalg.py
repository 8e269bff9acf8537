"""Factorizations of matrices and what is solved by them, under the names of ``jax.lax.linalg``.

All take stacks of matrices (..., m, n).  A matrix that has no result gives NaN and raises nothing.
"""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.core.errors import TracejitError
from tracejit.core.tracer import get_aval
from tracejit.lax.tridiagonal import tridiagonal_solve
from tracejit.ops import eig as general
from tracejit.ops import factorizations, spectral
from tracejit.ops.constant import iota
from tracejit.ops.factorizations import cholesky
from tracejit.ops.logical import ge, select
from tracejit.ops.matrices import adjoint
from tracejit.ops.triangular import triangular_solve

__all__ = [
    "cholesky",
    "eig",
    "eigh",
    "lu",
    "lu_pivots_to_permutation",
    "qr",
    "svd",
    "triangular_solve",
    "tridiagonal_solve",
]


def eig(
    x: Any, *, compute_left_eigenvectors: bool = True, compute_right_eigenvectors: bool = True
) -> list[Any]:
    """Return eigenvalues, and the left and right eigenvectors that are asked for, in this order.

    See :func:`tracejit.ops.eig.eig`; the vectors have length 1 and a real greatest component, of
    which their derivatives are told.
    """
    return general.eig(x, compute_left_eigenvectors, compute_right_eigenvectors)


def eigh(x: Any, *, lower: bool = True, symmetrize_input: bool = True) -> tuple[Any, Any]:
    """Return eigenvectors and eigenvalues of Hermitian matrices, in this order.

    Parameters
    ----------
    x : Array, shape (..., n, n), inexact dtype
        The matrices.
    lower : bool, optional
        Which triangle is read if `symmetrize_input` is false.
    symmetrize_input : bool, optional
        Whether both are, for ``(x + x^H) / 2``.

    Returns
    -------
    v : Array, shape (..., n, n), dtype of `x`
        The eigenvectors in the columns.
    w : Array, shape (..., n), real dtype
        The eigenvalues, ascending.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    DTypeError
        If `x` is not inexact.
    """
    if not symmetrize_input and get_aval(x).ndim >= 2:
        shape = get_aval(x).shape
        row, column = (iota(shape, len(shape) - back, "int64") for back in (2, 1))
        kept = ge(row, column) if lower else ge(column, row)
        x = select(kept, x, adjoint(x)) if shape[-1] == shape[-2] else x
    w, v = spectral.eigh(x)
    return v, w


def lu(x: Any) -> list[Any]:
    """Return the factors, the pivots and the permutation of LU with partial pivoting.

    See :func:`tracejit.ops.factorizations.lu`: ``L @ U == x[permutation]``.
    """
    return factorizations.lu(x)


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Any:
    """Return the permutation that exchanges of rows make, in order.

    Parameters
    ----------
    pivots : Array of int, shape (..., k)
        Row i is exchanged with row ``pivots[..., i]``.
    permutation_size : int
        The length of the permutation, at least k.
    """
    pivots = tnp.asarray(pivots)
    k = pivots.shape[-1]
    if k > permutation_size:
        raise TracejitError(
            f"lu_pivots_to_permutation: a permutation of at least {k}; got {permutation_size}"
        )
    one_of = tnp.arange(permutation_size)
    order = tnp.broadcast_to(one_of, (*pivots.shape[:-1], permutation_size))
    for i in range(k):
        j = pivots[..., i : i + 1]
        mine, theirs = order[..., i : i + 1], tnp.take_along_axis(order, j, -1)
        order = tnp.where(one_of == j, mine, tnp.where(one_of == i, theirs, order))
    return order.astype(pivots.dtype)


def qr(x: Any, *, full_matrices: bool = True) -> list[Any]:
    """Return the factors of ``x = Q @ R``.  See :func:`tracejit.ops.factorizations.qr`."""
    return factorizations.qr(x, full_matrices)


def svd(x: Any, *, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Return left vectors, singular values and conjugated right vectors, or the values alone.

    See :func:`tracejit.ops.spectral.svd`.
    """
    if not compute_uv:
        return spectral.svd(x, vectors=False)[0]
    return spectral.svd(x, full_matrices)
