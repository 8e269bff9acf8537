"""Factorizations of matrices under NumPy's names, least squares, pseudo-inverses, ranks.

Matrices are stacks (..., m, n), computed in lanes.  Nothing raises for the sake of values: where
NumPy raises ``LinAlgError``, the result is NaN, since a compiled function cannot know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tracejit.control.custom import custom_jvp
from tracejit.core.errors import ShapeError, TracejitError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import real_of
from tracejit.numpy import matrices as basic
from tracejit.numpy.manipulation import moveaxis, swapaxes
from tracejit.numpy.products import matmul
from tracejit.numpy.promotion import array_of, cast, promote_operands, stretch
from tracejit.numpy.reductions import max, sum
from tracejit.numpy.searching import where
from tracejit.numpy.ufuncs import absolute, conjugate
from tracejit.ops import eig as spectrum
from tracejit.ops import factorizations
from tracejit.ops.shape import full, reshape

__all__ = [
    "cholesky",
    "cond",
    "eig",
    "eigvals",
    "lstsq",
    "matrix_rank",
    "pinv",
    "qr",
    "tensorinv",
    "tensorsolve",
]

EigResult = type(np.linalg.eig(np.eye(1)))
QRResult = type(np.linalg.qr(np.eye(1)))


def _adjoint(x: Any) -> Any:
    return conjugate(swapaxes(x, -1, -2))


def cholesky(a: Any, /, *, upper: bool = False, symmetrize_input: bool = True) -> Any:
    """Factor positive definite Hermitian matrices, ``a = L @ L^H``.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
        The matrices.
    upper : bool, optional
        Whether ``L^H`` is returned instead of `L`.
    symmetrize_input : bool, optional
        Whether ``(a + a^H) / 2`` is factored, so that derivatives are Hermitian.  If not, one
        triangle is read, as NumPy does: the lower one, or with `upper` the upper one.

    Returns
    -------
    Array, shape (..., n, n)
        The factors; NaN where a matrix is not positive definite.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    """
    x = basic.square_matrices("cholesky", a)
    if upper and not symmetrize_input:
        x = _adjoint(x)
    out = factorizations.cholesky(x, symmetrize_input)
    return _adjoint(out) if upper else out


def qr(a: Any, mode: str = "reduced") -> Any:
    """Factor matrices into orthonormal columns and an upper triangle.

    Parameters
    ----------
    a : array_like, shape (..., m, n)
        The matrices; let k be the lesser of m and n.
    mode : str, optional
        ``reduced`` (Q is (..., m, k)), ``complete`` (Q is (..., m, m)) or ``r`` (only R).

    Returns
    -------
    QRResult of `Q` and `R`, or R

    Raises
    ------
    ShapeError
        If `a` has no two axes.
    TracejitError
        If the mode is not known; ``raw`` is LAPACK's own form, which is not offered.
    """
    x = basic.matrices("qr", a)
    if mode not in ("reduced", "complete", "r"):
        raise TracejitError(f"qr: mode must be reduced, complete or r; got {mode!r}")
    q, r = factorizations.qr(x, full_matrices=mode == "complete")
    return r if mode == "r" else QRResult(q, r)


def eig(a: Any) -> Any:
    """Eigenvalues and right eigenvectors of square matrices.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
        The matrices.

    Returns
    -------
    EigResult
        `eigenvalues` (..., n) in no order, `eigenvectors` (..., n, n) in columns of length 1; both
        always complex, unlike NumPy's, since the dtype cannot depend on values.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    A vector's greatest component is real; its derivative is in that gauge, and does not exist where
    eigenvalues are repeated.
    """
    return EigResult(*spectrum.eig(basic.square_matrices("eig", a)))


def eigvals(a: Any) -> Any:
    """Eigenvalues of square matrices, complex, in no order.  See :func:`eig`."""
    return spectrum.eig(basic.square_matrices("eigvals", a), right=False)[0]


# ------------------------------------------------------------- pseudo-inverses, least squares


@custom_jvp
def _pinv(a: Any, cutoff: Any) -> Any:
    u, s, vh = basic.svd(a, full_matrices=False)
    # Relative to the greatest of each matrix; `initial` for matrices without values.
    most = max(s, -1, keepdims=True, initial=0)
    counts = s > reshape(cutoff, (*get_aval(cutoff).shape, 1)) * most
    inverse = where(counts, 1 / where(counts, s, 1), 0)
    return matmul(_adjoint(vh) * cast(inverse, get_aval(a).dtype)[..., None, :], _adjoint(u))


@_pinv.defjvp
def _pinv_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Golub and Pereyra, *The differentiation of pseudo-inverses*, 1973: at constant rank."""
    (a, cutoff), (t, _) = primals, tangents
    p = _pinv(a, cutoff)
    ph, th = _adjoint(p), _adjoint(t)
    right = matmul(matmul(p, ph), th)
    left = matmul(th, matmul(ph, p))
    change = right - matmul(matmul(right, a), p) + left - matmul(p, matmul(a, left))
    return p, change - matmul(matmul(p, t), p)


def _tolerance(name: str, x: Any, rcond: Any, rtol: Any, default: float) -> Any:
    """Return the least singular value that counts, over the greatest, for each matrix."""
    if rcond is not None and rtol is not None:
        raise TracejitError(f"{name}: either rcond or rtol; got {rcond!r} and {rtol!r}")
    aval = get_aval(x)
    given = rcond if rcond is not None else rtol
    if given is None:
        return full(aval.shape[:-2], default, real_of(aval.dtype))
    given = cast(array_of(given), real_of(aval.dtype))
    shape = aval.shape[:-2]
    return stretch(given, shape) if get_aval(given).shape != shape else given


def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """Pseudo-inverses of matrices (Moore and Penrose).

    Parameters
    ----------
    a : array_like, shape (..., m, n)
        The matrices.
    rcond, rtol : array_like, shape (...), optional
        Singular values below this times the greatest count as 0; ``max(m, n) * eps`` by default.
    hermitian : bool, optional
        Accepted for compatibility.

    Returns
    -------
    Array, shape (..., n, m)

    Raises
    ------
    ShapeError
        If `a` has no two axes.

    Notes
    -----
    The derivative is that at constant rank.
    """
    del hermitian
    x = basic.matrices("pinv", a)
    shape = get_aval(x).shape
    eps = float(np.finfo(real_of(get_aval(x).dtype)).eps)
    return _pinv(x, _tolerance("pinv", x, rcond, rtol, float(np.max(shape[-2:])) * eps))


def lstsq(a: Any, b: Any, rcond: Any = None, *, numpy_resid: bool = False) -> Any:
    """Least-squares solutions of ``a @ x = b``; of several, the shortest.

    Parameters
    ----------
    a : array_like, shape (m, n)
        The matrix.
    b : array_like, shape (m,) or (m, k)
        The right-hand sides.
    rcond : float, optional
        Singular values below this times the greatest count as 0; ``max(m, n) * eps`` by default.
    numpy_resid : bool, optional
        Accepted for compatibility; must be False.

    Returns
    -------
    x : Array, shape (n,) or (n, k)
        The solutions.
    resid : Array, shape () or (k,)
        Sums of squared residuals; always there, while NumPy's are left out by rank, which is a
        value.
    rank : Array, shape (), int
        The rank.
    s : Array, shape (min(m, n),)
        The singular values.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    TracejitError
        If `numpy_resid`.
    """
    if numpy_resid:
        raise TracejitError(
            "lstsq: numpy_resid=True would make the shape of the residuals depend on the rank; "
            "the residuals are always returned"
        )
    x, y = promote_operands([basic.matrices("lstsq", a), basic.inexact(b)])
    (m, n), right = get_aval(x).shape[-2:], get_aval(y).shape
    if get_aval(x).ndim != 2 or len(right) not in (1, 2) or right[0] != m:
        raise ShapeError(
            f"lstsq: matrices (m, n) and right-hand sides (m,) or (m, k); got shapes "
            f"{get_aval(x).shape} and {right}"
        )
    eps = float(np.finfo(real_of(get_aval(x).dtype)).eps)
    cutoff = _tolerance("lstsq", x, rcond, None, float(np.max((m, n))) * eps)
    out = matmul(_pinv(x, cutoff), y)
    s = basic.svd(x, compute_uv=False)
    rank = sum(s > cutoff * max(s, initial=0))
    left = absolute(y - matmul(x, out))
    return out, sum(left * left, 0), rank, s


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """As :func:`numpy.linalg.matrix_rank`: how many singular values count."""
    x = array_of(A)
    if get_aval(x).ndim < 2:
        return cast((x != 0).any(), np.dtype("i8"))
    s = basic.svd(basic.matrices("matrix_rank", x), compute_uv=False, hermitian=hermitian)
    if tol is None:
        eps = float(np.finfo(real_of(get_aval(s).dtype)).eps)
        share = float(np.max(get_aval(x).shape[-2:])) * eps if rtol is None else array_of(rtol)
        most = max(s, -1, initial=0)
        tol = most * share
    tol = array_of(tol)
    return sum(s > reshape(tol, (*get_aval(tol).shape, 1)), -1)


def cond(x: Any, p: Any = None) -> Any:
    """As :func:`numpy.linalg.cond`: by the 2-norm, or any norm that :func:`norm` knows."""
    a = basic.matrices("cond", x)
    if p in (None, 2, -2):
        s = basic.svd(a, compute_uv=False)
        big, small = s[..., 0], s[..., -1]
        ratio = small / big if p == -2 else big / small
    else:
        ratio = basic.norm(a, p, axis=(-2, -1)) * basic.norm(basic.inv(a), p, axis=(-2, -1))
    # What has no inverse is infinitely bad; only what is NaN itself stays so.
    given = absolute(a).sum((-2, -1))
    return where((ratio != ratio) & (given == given), np.inf, ratio)


# ------------------------------------------------------------------------------- tensors


class _Split(NamedTuple):
    rows: tuple[int, ...]
    columns: tuple[int, ...]


def _split(name: str, shape: tuple[int, ...], first: int) -> _Split:
    out = _Split(shape[:first], shape[first:])
    if math.prod(out.rows) != math.prod(out.columns):
        raise ShapeError(
            f"{name}: the products of the first {first} lengths and of the others must be equal; "
            f"got shape {shape}"
        )
    return out


def tensorinv(a: Any, ind: int = 2) -> Any:
    """As :func:`numpy.linalg.tensorinv`."""
    x = basic.inexact(a)
    if ind <= 0:
        raise ShapeError(f"tensorinv: ind must be positive; got {ind}")
    split = _split("tensorinv", get_aval(x).shape, ind)
    n = math.prod(split.rows)
    return reshape(basic.inv(reshape(x, (n, n))), (*split.columns, *split.rows))


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """As :func:`numpy.linalg.tensorsolve`."""
    x, y = basic.inexact(a), basic.inexact(b)
    if axes is not None:
        rank = get_aval(x).ndim
        x = moveaxis(x, tuple(axes), tuple(range(rank - len(axes), rank)))
    split = _split("tensorsolve", get_aval(x).shape, get_aval(y).ndim)
    n = math.prod(split.rows)
    return reshape(basic.solve(reshape(x, (n, n)), reshape(y, (n,))), split.columns)


