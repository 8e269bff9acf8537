"""Direct solution of sparse systems, by SuperLU.

The factorization is SciPy's, on the host: one counted callback a call.  What is factored and what
is differentiated part here: the solution is differentiated by its equation
(:func:`~tracejit.control.linear_solve.custom_linear_solve`), for which the same factors are used.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import importlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.control.callbacks import pure_callback
from tracejit.control.linear_solve import custom_linear_solve
from tracejit.core.errors import ConcretizationError, DTypeError, ShapeError
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import complex_of, is_complex, is_inexact, real_of
from tracejit.sparse.base import SparseMatrix
from tracejit.sparse.matrices import CSR
from tracejit.sparse.patterns import known

__all__ = ["SuperLU", "splu", "spsolve"]

Host = np.ndarray[Any, Any]
KEPT = 4
"""How many factorizations :func:`spsolve` remembers."""


@functools.cache
def _scipy_splu() -> Callable[..., Any]:
    found: Callable[..., Any] = importlib.import_module("scipy.sparse.linalg").splu
    return found


def splu(A: Any, **options: Any) -> SuperLU:
    """Factor a sparse matrix, for solving with it many times.

    Parameters
    ----------
    A : CSR, COO or matrix of ``scipy.sparse``, shape (n, n)
        The matrix; float32, float64, complex64 or complex128, integers become float64.  Its
        values must be known: it is not traced.
    **options
        Of ``scipy.sparse.linalg.splu``: ``permc_spec``, ``diag_pivot_thresh``, ``options``, ....

    Returns
    -------
    SuperLU
        Its method :meth:`~SuperLU.solve` may be called under ``jit``, ``vmap`` and ``grad``.

    Raises
    ------
    ShapeError, DTypeError
        If `A` is not square, or not of such a dtype.
    ConcretizationError
        If `A` is traced: :func:`spsolve` is differentiable by the matrix, too.
    RuntimeError
        If `A` is exactly singular.

    Examples
    --------
    >>> import numpy as np, tracejit
    >>> from tracejit.sparse import CSR, splu
    >>> factor = splu(CSR.fromdense(np.array([[2.0, 1.0], [0.0, 4.0]])))
    >>> tracejit.jit(factor.solve)(np.array([3.0, 4.0])).tolist()
    [1.0, 1.0]
    """
    matrix = _square("splu", A)
    row, col = matrix.coordinates()
    if not known(matrix.data, row, col):
        raise ConcretizationError(
            "splu: the matrix is traced, so that there are no values to factor; factor it outside "
            "of jit, vmap and grad, or use spsolve(A, b), which factors it when it runs"
        )
    return SuperLU(matrix, _scipy_splu()(matrix.to_scipy().tocsc(), **options))


def spsolve(A: Any, b: Any) -> Any:
    """Solve ``A @ x = b`` with a sparse matrix.

    Parameters
    ----------
    A : CSR, COO or matrix of ``scipy.sparse``, shape (n, n)
        The matrix; may be traced.
    b : Array, shape (n,) or (n, k)
        The right-hand sides; dense.

    Returns
    -------
    Array, shape of `b`
        The solutions; NaN if `A` is exactly singular.  Integers are solved in float64.

    Raises
    ------
    ShapeError, DTypeError
        If shapes do not fit, or dtypes are float16, bfloat16 or no numbers.

    Notes
    -----
    Differentiable by the entries of `A`, on its pattern alone, and by `b`, to any order.  The last
    few factorizations are remembered: derivatives, and further solutions with the same matrix, use
    them again.  Under ``vmap`` right-hand sides of one matrix are solved at once.

    Examples
    --------
    >>> import numpy as np, tracejit
    >>> from tracejit.sparse import CSR, spsolve
    >>> a = CSR.fromdense(np.array([[2.0, 1.0], [0.0, 4.0]]))
    >>> f = lambda data: spsolve(a.with_data(data), np.array([3.0, 4.0])).sum()
    >>> tracejit.grad(f)(a.data).tolist()
    [-0.5, -0.5, -0.125]
    """
    matrix = _square("spsolve", A).tocsr()
    b = _right("spsolve", b, matrix.shape[0])
    dtype = tnp.result_type(matrix.dtype, _solved_dtype("spsolve", b.dtype))
    precision = dtype if is_complex(matrix.dtype) else real_of(dtype)
    matrix, b = matrix.astype(precision), b.astype(dtype)

    def solver(trans: str) -> Callable[[Any, Any], Any]:
        operands = matrix.data, matrix.indices, matrix.indptr
        return lambda _, b: pure_callback(
            _SOLVERS[trans], ShapedArray(b.shape, b.dtype), *operands, b,
            vmap_method="expand_dims",
        )  # fmt: skip

    return _solution(matrix, b, solver("N"), solver("T"))


class SuperLU:
    """The factors of a sparse matrix; made by :func:`splu`.

    Attributes
    ----------
    shape : (int, int)
        Of the matrix.
    dtype : dtype
        Of the factors.
    L, U : CSR
        The factors: ``Pr @ A @ Pc = L @ U``.
    perm_r, perm_c : ndarray of int
        The permutations, as SciPy has them.
    nnz : int
        How many entries the factors have.
    """

    def __init__(self, matrix: CSR, factors: Any) -> None:
        self._matrix = matrix
        self._factors = factors
        self.shape = matrix.shape
        self.dtype = matrix.dtype
        self.perm_r, self.perm_c = factors.perm_r, factors.perm_c
        self.nnz = int(factors.nnz)
        # Each is one object, so that calls with it are known to be equal.
        self._solvers = {t: functools.partial(_solve, factors, t) for t in "NT"}

    @property
    def L(self) -> CSR:
        """The lower factor, with ones on its diagonal."""
        return CSR.from_scipy(self._factors.L)

    @property
    def U(self) -> CSR:
        """The upper factor."""
        return CSR.from_scipy(self._factors.U)

    def __repr__(self) -> str:
        return f"SuperLU({self.dtype}{list(self.shape)}, nnz={self.nnz})"

    def solve(self, b: Any, trans: str = "N") -> Any:
        """Solve ``A @ x = b``.

        Parameters
        ----------
        b : Array, shape (n,) or (n, k)
            The right-hand sides; in the precision of the factors, whatever theirs is.
        trans : {"N", "T", "H"}, optional
            Whether to solve with the matrix, its transpose, or its conjugate transpose.

        Returns
        -------
        Array, shape of `b`
            The solutions, in the dtype of the factors, complex if `b` is.

        Raises
        ------
        ShapeError, DTypeError, ValueError
            If `b` does not fit, is not of numbers, or `trans` is not one of these.

        Notes
        -----
        Differentiable by `b`, to any order; under ``vmap`` all right-hand sides are solved at once.
        """
        if trans not in ("N", "T", "H"):
            raise ValueError(f"SuperLU.solve: trans must be 'N', 'T' or 'H'; got {trans!r}")
        b = _right("SuperLU.solve", b, self.shape[0])
        b = b.astype(complex_of(self.dtype) if is_complex(b.dtype) else self.dtype)
        if trans == "H":
            return tnp.conj(self.solve(tnp.conj(b), "T"))

        def solver(trans: str) -> Callable[[Any, Any], Any]:
            host = self._solvers[trans]
            return lambda _, b: pure_callback(
                host, ShapedArray(b.shape, b.dtype), b, vmap_method="expand_dims"
            )

        back = "N" if trans == "T" else "T"
        return _solution(self._matrix, b, solver(trans), solver(back), trans == "T")


def _square(name: str, A: Any) -> CSR:
    """Return a matrix by compressed rows, of a dtype that is factored.

    Raises
    ------
    ShapeError, DTypeError
        If it is not square or not sparse.
    """
    if not isinstance(A, SparseMatrix):
        if not hasattr(A, "tocsr"):
            raise DTypeError(
                f"{name}: the matrix must be sparse, of tracejit.sparse or scipy.sparse; "
                f"got {type(A).__name__}"
            )
        A = CSR.from_scipy(A)
    if A.shape[0] != A.shape[1]:
        raise ShapeError(f"{name}: the matrix must be square; got shape {A.shape}")
    return A.astype(_solved_dtype(name, A.dtype)).tocsr()  # type: ignore[no-any-return]


def _solved_dtype(name: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which numbers of `dtype` are solved."""
    if not is_inexact(dtype):
        return np.dtype(np.float64)
    if dtype.itemsize == 2:
        raise DTypeError(f"{name}: {dtype} is not solved in; use float32 or float64")
    return dtype


def _right(name: str, b: Any, n: int) -> Any:
    if isinstance(b, SparseMatrix):
        raise DTypeError(f"{name}: the right-hand side must be dense; use b.todense()")
    b = tnp.asarray(b)
    if b.ndim not in (1, 2) or b.shape[0] != n:
        raise ShapeError(f"{name}: a right-hand side of shape ({n},) or ({n}, k); got {b.shape}")
    return b.astype(_solved_dtype(name, b.dtype))


def _solution(
    matrix: CSR, b: Any, solve: Any, solve_transposed: Any, transposed: bool = False
) -> Any:
    """Return the solutions for right-hand sides, vectors being matrices of one column."""
    if not b.size:
        return b
    if b.ndim == 1:
        return _solution(matrix, b[:, None], solve, solve_transposed, transposed)[:, 0]

    def product(x: Any) -> Any:
        return (x.T @ matrix).T if transposed else matrix @ x

    return custom_linear_solve(product, b, solve, solve_transposed)


# ------------------------------------------------------------------------------- on the host


def _solve(factors: Any, trans: str, b: Host) -> Host:
    """Solve for right-hand sides of shape (lanes..., n, k), all at once."""
    n = b.shape[-2]
    moved = np.moveaxis(b, -2, 0)
    flat = moved.reshape(n, -1)
    if factors is None:
        return np.full_like(b, np.nan)
    if is_complex(b.dtype) and not is_complex(factors.U.dtype):
        parts = np.concatenate([flat.real, flat.imag], axis=1)
        real, imag = np.split(factors.solve(np.asfortranarray(parts), trans), 2, axis=1)
        x = (real + 1j * imag).astype(b.dtype)
    else:
        x = factors.solve(np.asfortranarray(flat), trans)
    return np.moveaxis(x.reshape(moved.shape), 0, -2)


def _solve_again(trans: str, data: Host, indices: Host, indptr: Host, b: Host) -> Host:
    """Solve with matrices of shape (lanes..., n, n), each factored once, unless remembered."""
    lanes = np.broadcast_shapes(data.shape[:-1], indices.shape[:-1], indptr.shape[:-1])
    arrays = [np.broadcast_to(a, (*lanes, a.shape[-1])) for a in (data, indices, indptr)]
    shape = np.broadcast_shapes(lanes, b.shape[:-2])
    b = np.broadcast_to(b, (*shape, *b.shape[-2:]))
    out = np.empty(b.shape, b.dtype)
    for at in np.ndindex(*lanes):
        # A matrix that is the same in all lanes of an axis is factored once for them.
        place = tuple(slice(None) if d == 1 else i for i, d in zip(at, lanes, strict=True))
        factors = _factored(*(a[at] for a in arrays))
        out[place] = _solve(factors, trans, b[place])
    return out


_SOLVERS = {trans: functools.partial(_solve_again, trans) for trans in "NT"}

_remembered: collections.OrderedDict[bytes, Any] = collections.OrderedDict()
_lock = threading.Lock()


def _factored(data: Host, indices: Host, indptr: Host) -> Any:
    """Return the factors of a matrix; None if it is singular."""
    digest = hashlib.blake2b(digest_size=32)
    for a in (data, indices, indptr):
        digest.update(str((a.dtype, a.shape)).encode())
        digest.update(np.ascontiguousarray(a).data)
    key = digest.digest()
    with _lock:
        if key in _remembered:
            _remembered.move_to_end(key)
            return _remembered[key]
    n = len(indptr) - 1
    matrix = CSR.tree_unflatten((n, n), (data, indices, indptr)).to_scipy()
    try:
        factors = _scipy_splu()(matrix.tocsc())
    except RuntimeError as error:
        if "singular" not in str(error):
            raise
        factors = None
    with _lock:
        _remembered[key] = factors
        while len(_remembered) > KEPT:
            _remembered.popitem(last=False)
    return factors
