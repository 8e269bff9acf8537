"""The formats: compressed rows (CSR) and coordinates (COO)."""

from __future__ import annotations

from typing import Any

import tracejit.numpy as tnp
from tracejit.core.array import host_array
from tracejit.core.errors import BoundsError, ShapeError
from tracejit.core.interpreter import active
from tracejit.core.pytree import GetAttrKey, register_pytree_with_keys_class
from tracejit.core.tracer import get_aval
from tracejit.ops.sparse import csr_matmul
from tracejit.runtime.jit import jit
from tracejit.sparse.base import (
    WORTH_NATIVE,
    SparseMatrix,
    checked_shape,
    index_arrays,
    promoted,
    scipy_sparse,
)
from tracejit.sparse.patterns import compressed, expanded, in_order, known

__all__ = ["COO", "CSR"]

_native_product = jit(csr_matmul)


@register_pytree_with_keys_class
class COO(SparseMatrix):
    """A sparse matrix by coordinates: entry ``p`` is ``data[p]`` at ``(row[p], col[p])``.

    Parameters
    ----------
    args : (data, row, col)
        The entries, their rows and columns: arrays of one length.  Those of one place add up; one
        that stands at ``(rows, columns)`` is none.
    shape : (int, int)
        Rows and columns.

    Raises
    ------
    ShapeError, DTypeError, BoundsError
        If the arrays do not fit, indices are not integers, or are known to be out of range.

    Notes
    -----
    A pytree: the arrays are its leaves.  Derivatives exist by `data` and by dense operands.

    Examples
    --------
    >>> from tracejit.sparse import COO
    >>> a = COO(([1.0, 2.0, 3.0], [0, 1, 1], [2, 0, 0]), shape=(2, 3))
    >>> (a @ [1.0, 1.0, 1.0]).tolist()
    [1.0, 5.0]
    """

    __slots__ = ("col", "row")

    row: Any
    col: Any

    def __init__(self, args: tuple[Any, Any, Any], *, shape: Any) -> None:
        data, row, col = args
        self.shape = checked_shape("COO", shape)
        self.data = tnp.asarray(data)
        rows, columns = self.shape
        self.row, self.col = index_arrays("COO", {"row": (row, rows), "col": (col, columns)})
        shapes = [x.shape for x in (self.data, self.row, self.col)]
        if len(set(shapes)) != 1 or len(shapes[0]) != 1:
            raise ShapeError(f"COO: data, row and col must be vectors of one length; got {shapes}")

    @classmethod
    def _made(cls, data: Any, row: Any, col: Any, shape: tuple[int, int]) -> COO:
        out = object.__new__(cls)
        out.data, out.row, out.col, out.shape = data, row, col, shape
        return out

    def tree_flatten_with_keys(self) -> tuple[Any, tuple[int, int]]:
        """Return the leaves with their keys, and the shape."""
        keys = ((GetAttrKey(name), getattr(self, name)) for name in ("data", "row", "col"))
        return tuple(keys), self.shape

    @classmethod
    def tree_unflatten(cls, shape: tuple[int, int], leaves: Any) -> COO:
        """Return the matrix with these leaves, whatever they are."""
        data, first, second = leaves
        return cls._made(data, first, second, shape)

    def coordinates(self) -> tuple[Any, Any]:
        """Return the row and the column of every entry."""
        return self.row, self.col

    def indices_of_format(self) -> tuple[Any, ...]:
        """Return the rows and columns."""
        return self.row, self.col

    def with_data(self, data: Any) -> COO:
        """Return a matrix with other entries at the same places."""
        return self._made(data, self.row, self.col, self.shape)

    @classmethod
    def from_coordinates(cls, row: Any, col: Any, data: Any, shape: tuple[int, int]) -> COO:
        """Return the matrix with these entries, in this order."""
        return cls._made(tnp.asarray(data), tnp.asarray(row), tnp.asarray(col), shape)

    def _multiplied(self, x: Any) -> Any:
        if known(self.row, self.col):  # what is sorted already is compressed rows
            row = host_array(self.row)
            if (row[1:] >= row[:-1]).all():
                indptr = tnp.asarray(compressed(row, self.shape[0]))
                return CSR._made(self.data, self.col, indptr, self.shape)._multiplied(x)
        return super()._multiplied(x)

    def tocoo(self) -> COO:
        """Return it."""
        return self

    def tocsr(self) -> CSR:
        """Return it by compressed rows; entries of one place stay apart."""
        return CSR.from_coordinates(self.row, self.col, self.data, self.shape)


@register_pytree_with_keys_class
class CSR(SparseMatrix):
    """A sparse matrix by compressed rows.

    Row ``i`` has the entries ``p`` from ``indptr[i]`` to before ``indptr[i + 1]``, ``data[p]`` in
    column ``indices[p]``.

    Parameters
    ----------
    args : (data, indices, indptr)
        The entries row by row, their columns, and where rows begin and end: arrays of lengths
        nse, nse and rows + 1.
    shape : (int, int)
        Rows and columns.

    Raises
    ------
    ShapeError, DTypeError, BoundsError
        If the arrays do not fit, indices are not integers, or are known to be out of range,
        `indptr` not to begin with 0 or to decrease.

    Notes
    -----
    A pytree: the arrays are its leaves.  Derivatives exist by `data` and by dense operands.
    ``A @ x`` is a native loop over the rows, shared by threads; ``x @ A`` adds entry by entry, so
    transpose a matrix once with :attr:`T` if that is what is wanted often.

    Examples
    --------
    >>> from tracejit.sparse import CSR
    >>> a = CSR(([1.0, 2.0, 3.0], [2, 0, 1], [0, 1, 3]), shape=(2, 3))
    >>> (a @ [1.0, 1.0, 1.0]).tolist()
    [1.0, 5.0]
    """

    __slots__ = ("indices", "indptr")

    indices: Any
    indptr: Any

    def __init__(self, args: tuple[Any, Any, Any], *, shape: Any) -> None:
        data, indices, indptr = args
        self.shape = checked_shape("CSR", shape)
        self.data = tnp.asarray(data)
        limits = {"indices": (indices, self.shape[1]), "indptr": (indptr, self.data.size)}
        self.indices, self.indptr = index_arrays("CSR", limits)
        shapes = [x.shape for x in (self.data, self.indices, self.indptr)]
        if shapes[0] != shapes[1] or shapes[2] != (self.shape[0] + 1,) or len(shapes[0]) != 1:
            raise ShapeError(
                f"CSR: for shape {self.shape}, data and indices must be vectors of one length and "
                f"indptr one of {self.shape[0] + 1}; got {shapes}"
            )
        if known(self.indptr):
            ends = host_array(self.indptr)
            if ends[0] != 0 or (ends[1:] < ends[:-1]).any():
                raise BoundsError("CSR: indptr must begin with 0 and not decrease")

    @classmethod
    def _made(cls, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> CSR:
        out = object.__new__(cls)
        out.data, out.indices, out.indptr, out.shape = data, indices, indptr, shape
        return out

    def tree_flatten_with_keys(self) -> tuple[Any, tuple[int, int]]:
        """Return the leaves with their keys, and the shape."""
        keys = ((GetAttrKey(name), getattr(self, name)) for name in ("data", "indices", "indptr"))
        return tuple(keys), self.shape

    @classmethod
    def tree_unflatten(cls, shape: tuple[int, int], leaves: Any) -> CSR:
        """Return the matrix with these leaves, whatever they are."""
        data, first, second = leaves
        return cls._made(data, first, second, shape)

    def coordinates(self) -> tuple[Any, Any]:
        """Return the row and the column of every entry."""
        row = expanded(self.indptr, self.nse)
        return row, host_array(self.indices) if known(row, self.indices) else self.indices

    def indices_of_format(self) -> tuple[Any, ...]:
        """Return the columns, and where rows begin and end."""
        return self.indices, self.indptr

    def with_data(self, data: Any) -> CSR:
        """Return a matrix with other entries at the same places."""
        return self._made(data, self.indices, self.indptr, self.shape)

    @classmethod
    def from_coordinates(cls, row: Any, col: Any, data: Any, shape: tuple[int, int]) -> CSR:
        """Return the matrix with these entries, sorted by row and column."""
        row, col, data = in_order(row, col, data)
        indptr = compressed(row, shape[0])
        return cls._made(tnp.asarray(data), tnp.asarray(col), tnp.asarray(indptr), shape)

    @staticmethod
    def _format_of_scipy(coo: Any) -> Any:
        data, (row, col) = coo.data, coo.coords
        order = row.argsort(kind="stable")
        row, count = row[order], coo.shape[0]
        indptr = row.searchsorted(range(count + 1)).astype(col.dtype)
        return scipy_sparse().csr_array((data[order], col[order], indptr), coo.shape)

    def tocoo(self) -> COO:
        """Return it by coordinates."""
        return COO.from_coordinates(*self.coordinates(), self.data, self.shape)

    def tocsr(self) -> CSR:
        """Return it."""
        return self

    def _multiplied(self, x: Any) -> Any:
        data, x, dtype = promoted(self.data, x)
        if not x.size or not self.nse or not self.shape[0]:
            return tnp.zeros((self.shape[0], x.shape[1]), dtype)
        large = active() is None and self.nse * get_aval(x).shape[1] >= WORTH_NATIVE
        product = _native_product if large else csr_matmul
        return product(data, self.indices, self.indptr, x).astype(dtype)
