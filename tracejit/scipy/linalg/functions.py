"""Functions of matrices: exponential, square root; Schur's form and Sylvester's equation."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.control.callbacks import pure_callback
from tracejit.control.custom import custom_jvp
from tracejit.control.linear_solve import custom_linear_solve
from tracejit.control.loops import fori_loop
from tracejit.core.errors import ShapeError, TracejitError
from tracejit.numpy.matrices import square_matrices
from tracejit.transforms.abstract import ShapeDtypeStruct
from tracejit.transforms.api import jvp
from tracejit.transforms.stop_gradient import stop_gradient

__all__ = [
    "expm", "expm_frechet", "hessenberg", "rsf2csf", "schur", "solve_sylvester", "sqrtm",
]  # fmt: skip

PADE = {
    7: (17297280.0, 8648640.0, 1995840.0, 277200.0, 25200.0, 1512.0, 56.0, 1.0),
    13: (
        64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
        129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
        40840800.0, 960960.0, 16380.0, 182.0, 1.0,
    ),
}  # fmt: skip
LARGEST = {7: 3.925724783138660, 13: 5.371920351148152}
"""Norms up to which these approximants are exact to single and to double precision."""


def expm(A: Any, *, upper_triangular: bool = False, max_squarings: int = 16) -> Any:
    """Exponentials of matrices.

    Parameters
    ----------
    A : array_like, shape (..., n, n)
        The matrices.
    upper_triangular : bool, optional
        Accepted for compatibility.
    max_squarings : int, optional
        Matrices that would need more are NaN.

    Returns
    -------
    Array, shape (..., n, n)

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    Scaling and squaring (Higham, *The scaling and squaring method for the matrix exponential
    revisited*, 2005), with the approximant of degree 13, in single precision 7.
    """
    a = square_matrices("expm", A)
    if a.ndim > 2:
        flat = tnp.reshape(a, (-1, *a.shape[-2:]))
        one = lambda x: expm(x, max_squarings=max_squarings)
        return tnp.reshape(tnp.vectorize(one, signature="(n,n)->(n,n)")(flat), a.shape)
    if a.shape[-1] == 0:
        return a
    degree = 7 if tnp.finfo(a.dtype).bits == 32 else 13
    norm = stop_gradient(tnp.max(tnp.sum(tnp.abs(a), 0)))
    ratio = tnp.maximum(norm / LARGEST[degree], 1.0)
    times = tnp.ceil(tnp.log2(tnp.where(tnp.isfinite(ratio), ratio, 1.0))).astype(tnp.int64)
    a = a / tnp.exp2(times.astype(tnp.finfo(a.dtype).dtype)).astype(a.dtype)
    u, v = _pade(a, PADE[degree])
    start = tnp.linalg.solve(v - u, v + u)
    out = fori_loop(0, tnp.minimum(times, max_squarings), lambda i, x: tnp.matmul(x, x), start)
    return tnp.where(times > max_squarings, tnp.nan, out)


def _pade(a: Any, b: Sequence[float]) -> tuple[Any, Any]:
    """Return the odd and the even part of the numerator."""
    eye = tnp.eye(a.shape[-1], dtype=a.dtype)
    a2 = tnp.matmul(a, a)
    a4 = tnp.matmul(a2, a2)
    a6 = tnp.matmul(a4, a2)
    u = b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * eye
    v = b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * eye
    if len(b) > 8:
        u = u + tnp.matmul(a6, b[13] * a6 + b[11] * a4 + b[9] * a2)
        v = v + tnp.matmul(a6, b[12] * a6 + b[10] * a4 + b[8] * a2)
    return tnp.matmul(a, u), v


def expm_frechet(
    A: Any, E: Any, *, method: str | None = None, compute_expm: bool = True,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    """As :func:`scipy.linalg.expm_frechet`: the derivative of :func:`expm` at `A` along `E`.

    Parameters
    ----------
    A, E : array_like, shape (..., n, n)
        Where, and along what.
    method : str, optional
        Accepted for compatibility.
    compute_expm : bool, optional
        Whether the exponential is returned too, first.
    check_finite : bool, optional
        Accepted for compatibility.
    """
    a, e = square_matrices("expm_frechet", A), square_matrices("expm_frechet", E)
    if a.shape != e.shape:
        raise ShapeError(f"expm_frechet: one shape for both; got {a.shape} and {e.shape}")
    dtype = tnp.result_type(a, e)
    value, slope = jvp(expm, (a.astype(dtype),), (e.astype(dtype),))
    return (value, slope) if compute_expm else slope


# -------------------------------------------------------------------- computed by SciPy


def _called(
    function: Callable[..., Any], shapes: Sequence[Any], *args: Any
) -> Any:
    """Return arrays that SciPy computes, one matrix after another; NaN where it cannot."""

    def lanes(*xs: Any) -> Any:
        outer = np.broadcast_shapes(*(x.shape[:-2] for x in xs))
        xs = tuple(np.broadcast_to(x, (*outer, *x.shape[-2:])) for x in xs)
        found = [np.full((*outer, *s.shape[-2:]), np.nan, s.dtype) for s in shapes]
        for place in np.ndindex(*outer):
            if not all(np.isfinite(x[place]).all() and x[place].size for x in xs):
                continue
            try:
                out = function(importlib.import_module("scipy.linalg"), *(x[place] for x in xs))
            except np.linalg.LinAlgError:
                continue
            for array, value in zip(found, out, strict=True):
                array[place] = value
        return found

    return pure_callback(lanes, list(shapes), *args, vmap_method="expand_dims")


def _complex(dtype: Any) -> Any:
    return tnp.result_type(dtype, tnp.complex64)


def schur(a: Any, output: str = "real") -> tuple[Any, Any]:
    """As :func:`scipy.linalg.schur`: ``a = z @ t @ z^H``, by LAPACK through the counted callback.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
        The matrices.
    output : str, optional
        ``real`` (of real matrices, with blocks of 2 for pairs of eigenvalues) or ``complex``.

    Returns
    -------
    t, z : Array, shape (..., n, n)
        No derivative is offered: the order of the eigenvalues depends on values.

    Raises
    ------
    TracejitError
        If `output` is neither.
    """
    if output not in ("real", "complex"):
        raise TracejitError(f"schur: output must be real or complex; got {output!r}")
    a = square_matrices("schur", a)
    dtype = a.dtype if output == "real" else _complex(a.dtype)
    shape = ShapeDtypeStruct(a.shape, dtype)
    t, z = _called(lambda library, x: library.schur(x, output), [shape, shape], a)
    return t, z


def rsf2csf(T: Any, Z: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """As :func:`scipy.linalg.rsf2csf`: a complex Schur form of a real one; see :func:`schur`."""
    t, z = square_matrices("rsf2csf", T), square_matrices("rsf2csf", Z)
    shape = ShapeDtypeStruct(t.shape, _complex(tnp.result_type(t, z)))
    t, z = _called(lambda library, t, z: library.rsf2csf(t, z), [shape, shape], t, z)
    return t, z


def hessenberg(
    a: Any, calc_q: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    """As :func:`scipy.linalg.hessenberg`; see :func:`schur` about derivatives."""
    a = square_matrices("hessenberg", a)
    shape = ShapeDtypeStruct(a.shape, a.dtype)
    h, q = _called(lambda library, x: library.hessenberg(x, calc_q=True), [shape, shape], a)
    return (h, q) if calc_q else h


def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """Solve ``a @ x + x @ b = q``, by LAPACK through the counted callback.

    Parameters
    ----------
    a, b : array_like, shapes (m, m) and (n, n)
        The matrices; no eigenvalue of `a` may be one of ``-b``.
    q : array_like, shape (m, n)
        The right-hand side.

    Returns
    -------
    Array, shape (m, n)
        Derivatives of any order solve other such equations.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    a, b = (square_matrices("solve_sylvester", m) for m in (a, b))
    q = tnp.asarray(q)
    if a.ndim != 2 or b.ndim != 2 or q.shape != (a.shape[0], b.shape[0]):
        raise ShapeError(
            "solve_sylvester: matrices (m, m), (n, n) and (m, n); got shapes "
            f"{a.shape}, {b.shape} and {q.shape}"
        )
    dtype = tnp.result_type(a, b, q)
    a, b, q = (v.astype(dtype) for v in (a, b, q))

    def solved(a: Any, b: Any) -> Callable[[Any, Any], Any]:
        shape = ShapeDtypeStruct(q.shape, dtype)
        known = stop_gradient(a), stop_gradient(b)
        return lambda _, y: _called(
            lambda library, a, b, y: [library.solve_sylvester(a, b, y)], [shape], *known, y
        )[0]

    product = lambda x: tnp.matmul(a, x) + tnp.matmul(x, b)
    return custom_linear_solve(product, q, solved(a, b), solved(a.T, b.T))


@custom_jvp
def _sqrtm(a: Any) -> Any:
    shape = ShapeDtypeStruct(a.shape, a.dtype)
    return _called(lambda library, x: [library.sqrtm(x)], [shape], a)[0]


@_sqrtm.defjvp
def _sqrtm_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    (a,), (t,) = primals, tangents
    root = _sqrtm(a)
    return root, solve_sylvester(root, root, t)


def sqrtm(A: Any, blocksize: int = 1) -> Any:
    """Principal square roots of matrices, by LAPACK through the counted callback.

    Parameters
    ----------
    A : array_like, shape (..., n, n)
        The matrices.
    blocksize : int, optional
        Accepted for compatibility.

    Returns
    -------
    Array, shape (..., n, n), complex
        Always complex, since whether a root is real depends on values.  Derivatives of any order
        solve Sylvester's equation.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    """
    a = square_matrices("sqrtm", A)
    a = a.astype(_complex(a.dtype))
    if a.ndim == 2:
        return _sqrtm(a)
    flat = tnp.reshape(a, (math.prod(a.shape[:-2]), *a.shape[-2:]))
    return tnp.reshape(tnp.vectorize(_sqrtm, signature="(n,n)->(n,n)")(flat), a.shape)
