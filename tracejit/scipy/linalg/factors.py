"""Factorizations, and solutions by them."""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.core.errors import ShapeError, TracejitError
from tracejit.lax.linalg import lu_pivots_to_permutation
from tracejit.numpy.matrices import inexact
from tracejit.ops import eig as spectrum
from tracejit.ops import factorizations
from tracejit.ops.triangular import triangular_solve

__all__ = [
    "cho_factor", "cho_solve", "cholesky", "eig", "eigh", "eigh_tridiagonal", "eigvals",
    "eigvalsh", "lu", "lu_factor", "lu_solve", "polar", "qr", "solve", "solve_triangular", "svd",
    "svdvals",
]  # fmt: skip


def _both(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Return matrices and right-hand sides of one dtype and stack."""
    a, b = inexact(a), inexact(b)
    dtype = tnp.result_type(a, b)
    a, b = a.astype(dtype), b.astype(dtype)
    if a.ndim < 2 or b.ndim < 1 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"{name}: square matrices (..., n, n); got shape {a.shape}")
    rows = b.shape[0] if b.ndim == 1 else b.shape[-2]
    if rows != a.shape[-1]:
        raise ShapeError(
            f"{name}: {a.shape[-1]} rows in the right-hand side for matrices of shape {a.shape}; "
            f"got shape {b.shape}"
        )
    return a, b


def _stacked(a: Any, b: Any) -> tuple[Any, Any, bool]:
    vector = b.ndim == 1
    b = b[:, None] if vector else b
    lanes = tnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = tnp.broadcast_to(a, (*lanes, *a.shape[-2:]))
    return a, tnp.broadcast_to(b, (*lanes, *b.shape[-2:])), vector


def cholesky(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    """As :func:`scipy.linalg.cholesky`: the upper factor, or the lower one.

    NaN where a matrix is not positive definite; of `a` the Hermitian part is factored.
    """
    return tnp.linalg.cholesky(a, upper=not lower)


def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, bool]:
    """As :func:`scipy.linalg.cho_factor`; the other triangle of the factor is 0."""
    return cholesky(a, lower), lower


def cho_solve(
    c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """As :func:`scipy.linalg.cho_solve`.

    Parameters
    ----------
    c_and_lower : (Array, shape (..., n, n), bool)
        What :func:`cho_factor` returned.
    b : array_like, shape (n,) or (..., n, k)
        The right-hand sides.
    overwrite_b, check_finite : bool, optional
        Accepted for compatibility.
    """
    c, lower = c_and_lower
    c, b, vector = _stacked(*_both("cho_solve", c, b))
    turn = {"transpose_a": True, "conjugate_a": True}
    first, second = ({}, turn) if lower else (turn, {})
    x = triangular_solve(c, b, left_side=True, lower=lower, **first)
    x = triangular_solve(c, x, left_side=True, lower=lower, **second)
    return x[..., 0] if vector else x


def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """As :func:`scipy.linalg.lu_factor`: both factors in one array, and the exchanges of rows."""
    factors, pivots, _ = factorizations.lu(inexact(a))
    return factors, pivots


def lu_solve(
    lu_and_piv: tuple[Any, Any], b: Any, trans: int = 0, overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.lu_solve`.

    Parameters
    ----------
    lu_and_piv : (Array, shape (..., n, n), Array of int, shape (..., n))
        What :func:`lu_factor` returned.
    b : array_like, shape (n,) or (..., n, k)
        The right-hand sides.
    trans : int, optional
        0, 1 or 2: solve with the matrix, its transpose, or its adjoint.
    overwrite_b, check_finite : bool, optional
        Accepted for compatibility.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    TracejitError
        If `trans` is none of these.
    """
    if trans not in (0, 1, 2):
        raise TracejitError(f"lu_solve: trans must be 0, 1 or 2; got {trans!r}")
    factors, pivots = lu_and_piv
    factors, b = _both("lu_solve", factors, b)
    order = lu_pivots_to_permutation(pivots, factors.shape[-1])
    factors, b, vector = _stacked(factors, b)
    order = tnp.broadcast_to(order, b.shape[:-1])[..., None]
    how = {"transpose_a": trans > 0, "conjugate_a": trans == 2}
    halves = [{"lower": True, "unit_diagonal": True}, {"lower": False}]
    if trans == 0:
        x = tnp.take_along_axis(b, order, -2)
    else:
        x, halves = b, halves[::-1]
    for half in halves:
        x = triangular_solve(factors, x, left_side=True, **half, **how)
    if trans:
        x = tnp.take_along_axis(x, tnp.argsort(order, -2), -2)
    return x[..., 0] if vector else x


def lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True,
    p_indices: bool = False,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.lu`: ``a = p @ l @ u``.

    Parameters
    ----------
    a : array_like, shape (..., m, n)
        The matrices.
    permute_l : bool, optional
        Whether ``p @ l`` and `u` are returned.
    overwrite_a, check_finite : bool, optional
        Accepted for compatibility.
    p_indices : bool, optional
        Whether `p` is returned as indices: ``a = l[p] @ u``.
    """
    x = inexact(a)
    factors, _, permutation = factorizations.lu(x)
    m, n = x.shape[-2:]
    k = min(m, n)
    low = tnp.tril(factors[..., :k], -1) + tnp.eye(m, k, dtype=x.dtype)
    up = tnp.triu(factors[..., :k, :])
    inverse = tnp.argsort(permutation, axis=-1)
    if permute_l:
        return tnp.take_along_axis(low, inverse[..., None], -2), up
    if p_indices:
        return inverse.astype(tnp.int32), low, up
    p = (inverse[..., None] == tnp.arange(m)).astype(tnp.finfo(x.dtype).dtype)
    return p, low, up


def qr(
    a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full",
    pivoting: bool = False, check_finite: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.qr`.

    Parameters
    ----------
    a : array_like, shape (..., m, n)
        The matrices.
    overwrite_a, lwork, check_finite : optional
        Accepted for compatibility.
    mode : str, optional
        ``full``, ``economic`` or ``r``.
    pivoting : bool, optional
        Must be False.

    Raises
    ------
    TracejitError
        With `pivoting`, or another mode.
    """
    if pivoting:
        raise TracejitError("qr: pivoting is not offered; svd is the way to see the rank")
    names = {"full": "complete", "economic": "reduced", "r": "r"}
    if mode not in names:
        raise TracejitError(f"qr: mode must be full, economic or r; got {mode!r}")
    if mode == "r":
        return (factorizations.qr(inexact(a))[1],)
    return tuple(tnp.linalg.qr(a, names[mode]))


def solve_triangular(
    a: Any, b: Any, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False,
    overwrite_b: bool = False, check_finite: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.solve_triangular`, in stacks.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
        The matrices, of which one triangle is read.
    b : array_like, shape (n,) or (..., n, k)
        The right-hand sides.
    trans : {0, 1, 2, 'N', 'T', 'C'}, optional
        Whether to solve with the matrix, its transpose, or its adjoint.
    lower, unit_diagonal : bool, optional
        Which triangle, and whether its diagonal is taken as ones.
    overwrite_b, check_finite : bool, optional
        Accepted for compatibility.
    """
    kinds = {0: 0, 1: 1, 2: 2, "N": 0, "T": 1, "C": 2}
    if trans not in kinds:
        raise TracejitError(f"solve_triangular: trans must be 0, 1, 2, N, T or C; got {trans!r}")
    kind = kinds[trans]
    a, b, vector = _stacked(*_both("solve_triangular", a, b))
    x = triangular_solve(
        a, b, left_side=True, lower=lower, transpose_a=kind > 0, conjugate_a=kind == 2,
        unit_diagonal=unit_diagonal,
    )  # fmt: skip
    return x[..., 0] if vector else x


def solve(
    a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
    check_finite: bool = True, assume_a: str = "gen", transposed: bool = False,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.solve`.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
        The matrices.
    b : array_like, shape (n,) or (..., n, k)
        The right-hand sides.
    lower : bool, optional
        Which triangle of Hermitian matrices is read.
    overwrite_a, overwrite_b, check_finite : bool, optional
        Accepted for compatibility.
    assume_a : str, optional
        ``gen``, ``sym``, ``her`` or ``pos``; the last is solved by Cholesky's factors, those
        before are mirrored and solved in general.
    transposed : bool, optional
        Whether to solve with the transpose.

    Raises
    ------
    TracejitError
        If `assume_a` is none of these.
    """
    names = {"gen": "gen", "general": "gen", "sym": "sym", "symmetric": "sym", "her": "her",
             "hermitian": "her", "pos": "pos", "positive definite": "pos"}  # fmt: skip
    if assume_a not in names:
        raise TracejitError(f"solve: assume_a must be gen, sym, her or pos; got {assume_a!r}")
    kind = names[assume_a]
    a, b = _both("solve", a, b)
    if kind != "gen":
        half = tnp.tril(a, -1) if lower else tnp.triu(a, 1)
        other = tnp.swapaxes(half, -1, -2)
        diagonal = a * tnp.eye(a.shape[-1], dtype=a.dtype)
        a = half + diagonal + (other if kind == "sym" else tnp.conj(other))
    if transposed:
        a = tnp.swapaxes(a, -1, -2)
    if kind == "pos":
        return cho_solve(cho_factor(a, lower), b)
    return tnp.linalg.solve(a, b)


# ------------------------------------------------------------------------------- spectra


def eig(
    a: Any, b: Any = None, left: bool = False, right: bool = True, overwrite_a: bool = False,
    overwrite_b: bool = False, check_finite: bool = True, homogeneous_eigvals: bool = False,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.eig`, for one matrix each; always complex.

    Raises
    ------
    TracejitError
        If `b` is given: generalised problems are for Hermitian matrices, see :func:`eigh`.
    """
    if b is not None or homogeneous_eigvals:
        raise TracejitError("eig: generalised problems are solved by eigh only")
    out = spectrum.eig(inexact(a), left=left, right=right)
    return out[0] if len(out) == 1 else tuple(out)


def eigvals(a: Any, b: Any = None, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """As :func:`scipy.linalg.eigvals`; see :func:`eig`."""
    return eig(a, b, right=False)


def eigh(
    a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False,
    overwrite_a: bool = False, overwrite_b: bool = False, type: int = 1, check_finite: bool = True,
    subset_by_index: tuple[int, int] | None = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.eigh`, in stacks.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
        Hermitian matrices; one triangle is read.
    b : array_like, shape (..., n, n), optional
        Positive definite: solve ``a v = w b v``, with ``v^H b v = 1``.
    lower : bool, optional
        Which triangle.
    eigvals_only : bool, optional
        Whether only eigenvalues are returned.
    overwrite_a, overwrite_b, check_finite : bool, optional
        Accepted for compatibility.
    type : int, optional
        Must be 1.
    subset_by_index : (int, int), optional
        The first and the last eigenvalue that is returned.

    Raises
    ------
    TracejitError
        If `type` is not 1.
    """
    if type != 1:
        raise TracejitError(f"eigh: type 1, a v = w b v; got {type}")
    a = inexact(a)
    half = tnp.tril(a) if lower else tnp.conj(tnp.swapaxes(tnp.triu(a), -1, -2))
    a = half + tnp.conj(tnp.swapaxes(tnp.tril(half, -1), -1, -2))
    if b is not None:
        c = tnp.linalg.cholesky(b)
        a, c, _ = _stacked(*_both("eigh", c, a)[::-1])
        a = triangular_solve(c, a, left_side=True, lower=True)
        a = triangular_solve(c, a, lower=True, transpose_a=True, conjugate_a=True)
    first, last = (0, a.shape[-1] - 1) if subset_by_index is None else subset_by_index
    if eigvals_only:
        return tnp.linalg.eigvalsh(a)[..., first : last + 1]
    w, v = tnp.linalg.eigh(a)
    if b is not None:
        v = triangular_solve(
            c, v, left_side=True, lower=True, transpose_a=True, conjugate_a=True
        )
    return w[..., first : last + 1], v[..., first : last + 1]


def eigvalsh(
    a: Any, b: Any = None, *, lower: bool = True, overwrite_a: bool = False,
    overwrite_b: bool = False, type: int = 1, check_finite: bool = True,
    subset_by_index: tuple[int, int] | None = None,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.eigvalsh`; see :func:`eigh`."""
    return eigh(a, b, lower=lower, eigvals_only=True, type=type, subset_by_index=subset_by_index)


def eigh_tridiagonal(
    d: Any, e: Any, eigvals_only: bool = False, select: str = "a", select_range: Any = None,
    check_finite: bool = True, tol: float = 0.0, lapack_driver: str = "auto",
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.eigh_tridiagonal`, through the full matrix.

    Parameters
    ----------
    d, e : array_like, shapes (n,) and (n - 1,)
        The diagonal, real, and the one beside it.
    eigvals_only : bool, optional
        Whether only eigenvalues are returned.
    select : str, optional
        ``a`` for all, or ``i`` for those whose indices are in `select_range`.
    select_range : (int, int), optional
        The first and the last.
    check_finite, tol, lapack_driver : optional
        Accepted for compatibility.

    Raises
    ------
    TracejitError
        If `select` is ``v``: how many there are would depend on values.
    """
    if select not in ("a", "i"):
        raise TracejitError(f"eigh_tridiagonal: select must be 'a' or 'i'; got {select!r}")
    d, e = inexact(d), inexact(e)
    matrix = tnp.diag(d.astype(tnp.result_type(d, e))) + tnp.diag(e, -1)
    return eigh(
        matrix, eigvals_only=eigvals_only, subset_by_index=None if select == "a" else select_range
    )


def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: bool = False,
    check_finite: bool = True, lapack_driver: str = "gesdd",
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.svd`."""
    out = tnp.linalg.svd(a, full_matrices, compute_uv)
    return tuple(out) if compute_uv else out


def svdvals(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """As :func:`scipy.linalg.svdvals`."""
    return tnp.linalg.svdvals(a)


def polar(a: Any, side: str = "right") -> tuple[Any, Any]:
    """As :func:`scipy.linalg.polar`: a unitary and a positive semidefinite factor.

    Parameters
    ----------
    a : array_like, shape (..., m, n)
        The matrices.
    side : str, optional
        ``right`` for ``a = u @ p``, ``left`` for ``a = p @ u``.

    Raises
    ------
    TracejitError
        If `side` is neither.
    """
    if side not in ("right", "left"):
        raise TracejitError(f"polar: side must be right or left; got {side!r}")
    w, s, vh = tnp.linalg.svd(a, full_matrices=False)
    u = tnp.matmul(w, vh)
    basis = tnp.conj(tnp.swapaxes(vh, -1, -2)) if side == "right" else w
    scaled = basis * s[..., None, :].astype(basis.dtype)
    return u, tnp.matmul(scaled, tnp.conj(tnp.swapaxes(basis, -1, -2)))
