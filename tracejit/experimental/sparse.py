"""Sparse matrices under the names of ``jax.experimental.sparse``: :class:`BCOO` above all.

It is :class:`tracejit.sparse.COO` with the indices as one array, ``(nse, 2)``.  Batch and dense
dimensions, and arrays that are no matrices, are not there: ``vmap`` over `data` is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.array import host_array
from tracejit.core.errors import BoundsError, DTypeError, ShapeError
from tracejit.core.pytree import GetAttrKey, register_pytree_with_keys_class
from tracejit.sparse import COO, CSR
from tracejit.sparse.base import SparseMatrix, checked_shape
from tracejit.sparse.patterns import known

__all__ = ["BCOO", "COO", "CSR", "bcoo_fromdense", "bcoo_todense", "empty", "eye", "todense"]


@register_pytree_with_keys_class
class BCOO(SparseMatrix):
    """A sparse matrix by coordinates: entry ``p`` is ``data[p]`` at ``indices[p]``.

    Parameters
    ----------
    args : (data, indices)
        The entries, shape (nse,), and where they stand, shape (nse, 2), integers.  Those of one
        place add up; one that stands at `shape` is none.
    shape : (int, int)
        Rows and columns.
    indices_sorted, unique_indices : bool, optional
        Promises about `indices`; they are kept, and nothing depends on them.

    Raises
    ------
    ShapeError, DTypeError, BoundsError
        If the arrays do not fit, indices are not integers, or are known to be out of range.

    Examples
    --------
    >>> import tracejit.numpy as tnp
    >>> from tracejit.experimental.sparse import BCOO
    >>> a = BCOO.fromdense(tnp.array([[0.0, 2.0], [3.0, 0.0]]))
    >>> a.nse, (a @ tnp.ones(2)).tolist()
    (2, [2.0, 3.0])
    """

    __slots__ = ("indices", "indices_sorted", "unique_indices")

    indices: Any
    indices_sorted: bool
    unique_indices: bool
    n_batch = 0
    n_sparse = 2
    n_dense = 0

    def __init__(
        self,
        args: tuple[Any, Any],
        *,
        shape: Any,
        indices_sorted: bool = False,
        unique_indices: bool = False,
    ) -> None:
        data, indices = args
        self.shape = checked_shape("BCOO", shape)
        self.data, self.indices = tnp.asarray(data), tnp.asarray(indices)
        self.indices_sorted, self.unique_indices = bool(indices_sorted), bool(unique_indices)
        if self.data.ndim != 1 or self.indices.shape != (self.data.size, 2):
            raise ShapeError(
                "BCOO: data of shape (nse,) and indices of shape (nse, 2), a matrix without batch "
                f"or dense dimensions; got {self.data.shape} and {self.indices.shape}"
            )
        if self.indices.dtype.kind not in "iu":
            raise DTypeError(f"BCOO: indices must be integers; got {self.indices.dtype}")
        if known(self.indices):
            host = host_array(self.indices)
            if (host < 0).any() or (host > np.array(self.shape)).any():
                raise BoundsError(f"BCOO: indices must be within 0 .. {self.shape}")

    @classmethod
    def _made(
        cls, data: Any, indices: Any, shape: tuple[int, int], flags: tuple[bool, bool]
    ) -> BCOO:
        out = object.__new__(cls)
        out.data, out.indices, out.shape = data, indices, shape
        out.indices_sorted, out.unique_indices = flags
        return out

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        """Return the leaves with their keys, and the shape and flags."""
        keys = (GetAttrKey("data"), self.data), (GetAttrKey("indices"), self.indices)
        return keys, (self.shape, (self.indices_sorted, self.unique_indices))

    @classmethod
    def tree_unflatten(cls, aux: Any, leaves: Any) -> BCOO:
        """Return the matrix with these leaves, whatever they are."""
        data, indices = leaves
        return cls._made(data, indices, *aux)

    def coordinates(self) -> tuple[Any, Any]:
        """Return the row and the column of every entry."""
        indices = host_array(self.indices) if known(self.indices) else self.indices
        return indices[:, 0], indices[:, 1]

    def indices_of_format(self) -> tuple[Any, ...]:
        """Return the indices."""
        return (self.indices,)

    def with_data(self, data: Any) -> BCOO:
        """Return a matrix with other entries at the same places."""
        flags = self.indices_sorted, self.unique_indices
        return self._made(data, self.indices, self.shape, flags)

    @classmethod
    def from_coordinates(cls, row: Any, col: Any, data: Any, shape: tuple[int, int]) -> BCOO:
        """Return the matrix with these entries, in this order."""
        if known(row, col):
            indices = tnp.asarray(np.stack([host_array(row), host_array(col)], axis=-1))
        else:
            indices = tnp.stack([tnp.asarray(row), tnp.asarray(col)], axis=-1)
        return cls._made(tnp.asarray(data), indices, shape, (False, False))

    @classmethod
    def from_scipy_sparse(cls, mat: Any) -> BCOO:
        """JAX's name of :meth:`from_scipy`."""
        return cls.from_scipy(mat)

    def tocoo(self) -> COO:
        """Return it as :class:`tracejit.sparse.COO`."""
        return COO.from_coordinates(*self.coordinates(), self.data, self.shape)

    def tocsr(self) -> CSR:
        """Return it as :class:`tracejit.sparse.CSR`, whose products are faster."""
        return CSR.from_coordinates(*self.coordinates(), self.data, self.shape)

    def _multiplied(self, x: Any) -> Any:
        return self.tocoo()._multiplied(x)


def bcoo_fromdense(mat: Any, *, nse: int | None = None) -> BCOO:
    """Return the entries of a dense matrix that are not 0.  See :meth:`BCOO.fromdense`."""
    return BCOO.fromdense(mat, nse=nse)


def bcoo_todense(mat: BCOO) -> Any:
    """Return the dense matrix."""
    return mat.todense()


def todense(arr: Any) -> Any:
    """Return a sparse matrix as a dense one, and a dense array as it is."""
    return arr.todense() if isinstance(arr, SparseMatrix) else tnp.asarray(arr)


def eye(
    N: int, M: int | None = None, k: int = 0, dtype: Any = None, sparse_format: str = "bcoo"
) -> Any:
    """Return a matrix with ones on a diagonal.

    Parameters
    ----------
    N, M : int
        Rows and columns; as many as rows by default.
    k : int, optional
        How far above the main diagonal the ones are, or below if negative.
    dtype : dtype, optional
        float64 by default.
    sparse_format : {"bcoo", "coo", "csr"}, optional
        What to return.

    Raises
    ------
    ValueError
        If the format is not one of these.
    """
    shape = checked_shape("eye", (N, N if M is None else M))
    count = max(min(shape[0] + min(k, 0), shape[1] - max(k, 0)), 0)
    row = np.arange(count, dtype=np.int32) - min(k, 0)
    form = _format(sparse_format)
    ones = tnp.ones(count, tnp.float64 if dtype is None else dtype)
    return form.from_coordinates(row, row + np.int32(k), ones, shape)


def empty(shape: Any, dtype: Any = None, sparse_format: str = "bcoo") -> Any:
    """Return a matrix without entries.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    dtype, sparse_format
        As for :func:`eye`.
    """
    none = np.zeros(0, np.int32)
    data = tnp.zeros(0, tnp.float64 if dtype is None else dtype)
    shape = checked_shape("empty", shape)
    return _format(sparse_format).from_coordinates(none, none, data, shape)


def _format(name: str) -> type[SparseMatrix]:
    formats: dict[str, type[SparseMatrix]] = {"bcoo": BCOO, "coo": COO, "csr": CSR}
    if name not in formats:
        raise ValueError(f"sparse_format must be one of {', '.join(formats)}; got {name!r}")
    return formats[name]
