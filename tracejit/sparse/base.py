"""What sparse matrices of all formats do alike: products, sums, arithmetic.

A format says where its entries stand; everything here is made of that.
"""

from __future__ import annotations

import abc
import functools
import importlib
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.array import host_array
from tracejit.core.errors import BoundsError, ConcretizationError, DTypeError, ShapeError
from tracejit.core.interpreter import active
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import DTYPES, is_bool
from tracejit.ops.indexing import scatter_add, take_axis
from tracejit.ops.shape import full
from tracejit.runtime.jit import jit
from tracejit.sparse.patterns import in_order, index_dtype, known, merged, pairs, same, segment_sum

__all__ = [
    "WORTH_NATIVE",
    "SparseMatrix",
    "check_operand",
    "checked_shape",
    "index_arrays",
    "scipy_sparse",
]

WORTH_NATIVE = 1 << 12
"""Entries from which a product that is not traced is compiled."""

Self = TypeVar("Self", bound="SparseMatrix")
I32, I64 = DTYPES["i32"], DTYPES["i64"]


@functools.cache
def scipy_sparse() -> Any:
    """Return ``scipy.sparse``, which takes longer to import than all of tracejit."""
    return importlib.import_module("scipy.sparse")


def checked_shape(name: str, shape: Any) -> tuple[int, int]:
    """Return the shape of a matrix.

    Raises
    ------
    ShapeError
        If it is not that of a matrix.
    """
    try:
        rows, columns = (int(d) for d in shape)
    except (TypeError, ValueError):
        raise ShapeError(f"{name}: shape must be (rows, columns); got {shape!r}") from None
    if rows < 0 or columns < 0:
        raise ShapeError(f"{name}: a shape is not negative; got {shape!r}")
    return rows, columns


def index_arrays(name: str, indices: dict[str, tuple[Any, int]]) -> list[Any]:
    """Return indices as arrays of one dtype, int32 or int64.

    Parameters
    ----------
    name : str
        Of the format, for messages.
    indices : dict of str to (Array, int)
        The indices by name, and their greatest value.

    Raises
    ------
    DTypeError
        If they are not integers.
    BoundsError
        If one is known to be out of range.
    """
    found = {}
    for what, (i, most) in indices.items():
        array = tnp.asarray(i)
        if not array.size and not hasattr(i, "dtype"):  # an empty list has no dtype of its own
            array = tnp.asarray(np.zeros(array.shape, I32))
        if array.dtype.kind not in "iu":
            raise DTypeError(f"{name}: {what} must be integers; got {array.dtype}")
        found[what] = array
        if known(array) and array.size:
            host = host_array(array)
            low, high = host.min(), host.max()
            if low < 0 or high > most:
                bad = low if low < 0 else high
                raise BoundsError(f"{name}: {what} must be within 0 .. {most}; got {bad}")
    narrow = all(i.dtype.itemsize < 4 or i.dtype == I32 for i in found.values())
    dtype = I32 if narrow else I64
    # What is known stays known while a program is traced.
    return [
        i if i.dtype == dtype
        else tnp.asarray(host_array(i).astype(dtype)) if known(i)
        else i.astype(dtype)
        for i in found.values()
    ]  # fmt: skip


def check_operand(x: Any) -> Any:
    """Return a dense operand as an array.

    Raises
    ------
    ShapeError
        If it is a scalar.
    """
    x = tnp.asarray(x)
    if x.ndim == 0:
        raise ShapeError("matmul: a matrix is not multiplied by a scalar with @; use *")
    return x


class SparseMatrix(abc.ABC):
    """A matrix of which only some entries are stored; entries of one place add up.

    Attributes
    ----------
    data : Array, shape (nse,)
        The entries.
    shape : (int, int)
        Rows and columns; part of the structure, not a leaf.
    """

    __slots__ = ("data", "shape")
    # NumPy's operators leave the operation to us.
    __array_ufunc__ = None

    data: Any
    shape: tuple[int, int]
    ndim = 2

    # ------------------------------------------------------------------ of a format
    @abc.abstractmethod
    def coordinates(self) -> tuple[Any, Any]:
        """Return the row and the column of every entry; beyond the matrix if it is none."""

    @abc.abstractmethod
    def indices_of_format(self) -> tuple[Any, ...]:
        """Return the arrays of indices that it stores."""

    @abc.abstractmethod
    def with_data(self: Self, data: Any) -> Self:
        """Return a matrix with other entries at the same places.

        Parameters
        ----------
        data : Array, shape (nse,)
            The entries.
        """

    @classmethod
    @abc.abstractmethod
    def from_coordinates(
        cls: type[Self], row: Any, col: Any, data: Any, shape: tuple[int, int]
    ) -> Self:
        """Return the matrix with these entries, in this order if the format has no other."""

    # ------------------------------------------------------------------ made from others
    @classmethod
    def fromdense(cls: type[Self], x: Any, *, nse: int | None = None) -> Self:
        """Return the entries of a dense matrix that are not 0.

        Parameters
        ----------
        x : Array, shape (rows, columns)
            The matrix.
        nse : int, optional
            How many entries to store; needed if `x` is traced.  The first so many are.

        Raises
        ------
        ShapeError
            If `x` is no matrix.
        ConcretizationError
            If `x` is traced and `nse` is not given.
        """
        x = tnp.asarray(x)
        if x.ndim != 2:
            raise ShapeError(f"{cls.__name__}.fromdense: a matrix is wanted; got shape {x.shape}")
        if nse is None:
            if not known(x):
                raise ConcretizationError(
                    f"{cls.__name__}.fromdense: how many entries of a traced matrix are not 0 is "
                    "not known; give nse, at least their number"
                )
            row, col = np.nonzero(host_array(x))
            nse = len(row)
        elif known(x):
            row, col = (i[:nse] for i in np.nonzero(host_array(x)))
            row, col = (
                np.concatenate([i, np.full(nse - len(i), d)])
                for i, d in zip((row, col), x.shape, strict=True)
            )
        else:
            flat = tnp.nonzero(x.reshape(-1), size=nse, fill_value=x.size)[0]
            row, col = flat // max(x.shape[1], 1), flat % max(x.shape[1], 1)
            col = tnp.where(flat == x.size, x.shape[1], col)
        dtype = index_dtype(x.shape, nse)
        row, col = row.astype(dtype), col.astype(dtype)
        if not nse or not x.size:
            data = tnp.zeros(nse, x.dtype)
        else:
            data = x.at[row, col].get(mode="fill", fill_value=0)
        return cls.from_coordinates(row, col, data, x.shape)

    @classmethod
    def from_scipy(cls: type[Self], matrix: Any) -> Self:
        """Return a matrix of ``scipy.sparse``, of any format; entries of one place are summed.

        Raises
        ------
        TypeError
            If it is not one.
        """
        if not scipy_sparse().issparse(matrix):
            raise TypeError(
                f"{cls.__name__}.from_scipy: a matrix of scipy.sparse is wanted; "
                f"got {type(matrix).__name__}"
            )
        if matrix.ndim != 2:
            raise ShapeError(f"{cls.__name__}.from_scipy: a matrix is wanted; got {matrix.shape}")
        csr = matrix.tocsr(copy=True)
        csr.sum_duplicates()
        coo = csr.tocoo()
        dtype = I64 if csr.indices.dtype == np.int64 else index_dtype(csr.shape, csr.nnz)
        row, col = coo.row.astype(dtype), coo.col.astype(dtype)
        return cls.from_coordinates(row, col, tnp.asarray(coo.data), coo.shape)

    def to_scipy(self) -> Any:
        """Return it as ``scipy.sparse.coo_array`` or ``csr_array``, with arrays of its own.

        Raises
        ------
        ConcretizationError
            If it is traced.
        """
        row, col = self.coordinates()
        if not known(self.data, row, col):
            raise ConcretizationError(
                f"{type(self).__name__}.to_scipy: a traced matrix has no values yet; call it "
                "outside of jit, vmap and grad"
            )
        row, col, data = (np.array(host_array(i)) for i in (row, col, self.data))
        inside = (row < self.shape[0]) & (col < self.shape[1])
        coo = scipy_sparse().coo_array((data[inside], (row[inside], col[inside])), self.shape)
        return self._format_of_scipy(coo)

    @staticmethod
    def _format_of_scipy(coo: Any) -> Any:
        return coo

    # ------------------------------------------------------------------ what it is
    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the entries."""
        return get_aval(self.data).dtype

    @property
    def nse(self) -> int:
        """How many entries are stored, zeros and duplicates too."""
        return int(get_aval(self.data).size)

    @property
    def nnz(self) -> int:
        """SciPy's name of :attr:`nse`."""
        return self.nse

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dtype}{list(self.shape)}, nse={self.nse})"

    # ------------------------------------------------------------------ other forms of it
    def todense(self) -> Any:
        """Return the dense matrix, an Array of this shape and dtype."""
        zeros = full(self.shape, 0, self.dtype)
        if not self.nse or not zeros.size:
            return zeros
        places = tnp.stack([tnp.asarray(i) for i in self.coordinates()], axis=-1)
        return scatter_add(zeros, places, self.data, (0, 1), (0, 1))

    def toarray(self) -> Any:
        """SciPy's name of :meth:`todense`."""
        return self.todense()

    @property
    def T(self) -> Any:
        """The transpose, in this format."""
        row, col = self.coordinates()
        return self.from_coordinates(col, row, self.data, self.shape[::-1])

    def transpose(self: Self, axes: Sequence[int] | None = None) -> Self:
        """Return the transpose.

        Parameters
        ----------
        axes : sequence of int, optional
            A permutation of (0, 1).
        """
        if axes is None or [a % 2 for a in axes] == [1, 0]:
            return self.T  # type: ignore[no-any-return]
        if [a % 2 for a in axes] == [0, 1]:
            return self
        raise ValueError(f"transpose: axes must be a permutation of (0, 1); got {axes!r}")

    def astype(self: Self, dtype: Any) -> Self:
        """Return it with entries of another dtype."""
        return self.with_data(tnp.asarray(self.data).astype(dtype))

    def conj(self: Self) -> Self:
        """Return the complex conjugate."""
        return self.with_data(tnp.conj(self.data))

    def sum_duplicates(self: Self, nse: int | None = None) -> Self:
        """Return it with entries by row and column, those of one place summed.

        Parameters
        ----------
        nse : int, optional
            How many entries the result has; the rest are beyond the matrix.  By default as many
            as there are places or, where the indices are traced, as there were entries.
        """
        row, col, data = merged(*self.coordinates(), self.data, self.shape, nse)
        return self.from_coordinates(row, col, data, self.shape)

    def sort_indices(self: Self) -> Self:
        """Return it with entries by row and column."""
        return self.from_coordinates(*in_order(*self.coordinates(), self.data), self.shape)

    # ------------------------------------------------------------------ products
    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, SparseMatrix):
            return self._times_sparse(other)
        x = check_operand(other)
        if x.shape[-2 if x.ndim > 1 else 0] != self.shape[1]:
            raise ShapeError(f"matmul: {self.shape} @ {x.shape}: lengths of the summed axes differ")
        if x.ndim == 1:
            return self._multiplied(x[:, None])[:, 0]
        if x.ndim == 2:
            return self._multiplied(x)
        moved = tnp.moveaxis(x, -2, 0)
        out = self._multiplied(moved.reshape(x.shape[-2], math.prod(moved.shape[1:])))
        return tnp.moveaxis(out.reshape(self.shape[0], *moved.shape[1:]), 0, -2)

    def __rmatmul__(self, other: Any) -> Any:
        x = check_operand(other)
        if x.shape[-1] != self.shape[0]:
            raise ShapeError(f"matmul: {x.shape} @ {self.shape}: lengths of the summed axes differ")
        flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        return self._multiplied_from_left(flat.T).T.reshape(*x.shape[:-1], self.shape[1])

    def dot(self, other: Any) -> Any:
        """Return ``self @ other``, or the multiple by a scalar."""
        if not isinstance(other, SparseMatrix) and np.ndim(other) == 0:
            return self * other
        return self @ other

    def _multiplied(self, x: Any) -> Any:
        """Return the product with a dense matrix."""
        return _quick_product(self.data, *self.coordinates(), x, self.shape[0])

    def _multiplied_from_left(self, x: Any) -> Any:
        """Return the product of the transpose with a dense matrix."""
        row, col = self.coordinates()
        return _quick_product(self.data, col, row, x, self.shape[1])

    def _times_sparse(self: Self, other: SparseMatrix) -> Self:
        if self.shape[1] != other.shape[0]:
            raise ShapeError(
                f"matmul: {self.shape} @ {other.shape}: lengths of the summed axes differ"
            )
        left, right = self.coordinates(), other.coordinates()
        if not known(*left, *right):
            raise ConcretizationError(
                "matmul: how many entries a product of sparse matrices has is not known where "
                "their indices are traced; capture the matrices, or make one of them dense"
            )
        shape = (self.shape[0], other.shape[1])
        row, col = (host_array(i) for i in right)
        numbers = np.argsort(row, kind="stable")
        inside = np.flatnonzero(host_array(left[1]) < self.shape[1])
        indptr = np.searchsorted(row[numbers], np.arange(other.shape[0] + 1))
        first, second = pairs(host_array(left[1])[inside], indptr)
        first = inside[first]
        data = tnp.asarray(self.data)[first] * tnp.asarray(other.data)[numbers[second]]
        places = host_array(left[0])[first], col[numbers[second]].astype(host_array(left[0]).dtype)
        return self.from_coordinates(*merged(*places, data, shape, None), shape)

    # ------------------------------------------------------------------ arithmetic
    def __mul__(self: Self, other: Any) -> Self:
        return self._scaled("multiply", other)

    def __rmul__(self: Self, other: Any) -> Self:
        return self._scaled("multiply", other)

    def __truediv__(self: Self, other: Any) -> Self:
        return self._scaled("divide", other)

    def _scaled(self: Self, name: str, other: Any) -> Self:
        if isinstance(other, SparseMatrix):
            raise TypeError(
                f"{name}: sparse matrices are not multiplied entry by entry; use @ for their "
                "product, or make one of them dense by todense()"
            )
        x = tnp.asarray(other)
        ufunc = getattr(tnp, name)
        if x.ndim == 0:
            return self.with_data(ufunc(self.data, other if np.isscalar(other) else x))
        if x.ndim > 2 or tnp.broadcast_shapes(x.shape, self.shape) != self.shape:
            raise ShapeError(
                f"{name}: an operand that stretches to {self.shape} is wanted; got {x.shape}"
            )
        row, col = self.coordinates()
        x = x.reshape((1,) * (2 - x.ndim) + x.shape)
        at = [i if d > 1 else tnp.zeros_like(i) for i, d in zip((row, col), x.shape, strict=True)]
        if x.size == 0:
            return self.with_data(tnp.zeros(self.nse, tnp.result_type(self.data, x)))
        fill = 0 if name == "multiply" else 1
        return self.with_data(ufunc(self.data, x.at[tuple(at)].get(mode="fill", fill_value=fill)))

    def __neg__(self: Self) -> Self:
        return self.with_data(tnp.negative(self.data))

    def __pos__(self: Self) -> Self:
        return self

    def __add__(self, other: Any) -> Any:
        return self._sum("add", other)

    def __radd__(self, other: Any) -> Any:
        return self._sum("add", other)

    def __sub__(self, other: Any) -> Any:
        negative = -other if isinstance(other, SparseMatrix) else tnp.negative(other)
        return self._sum("subtract", negative)

    def __rsub__(self, other: Any) -> Any:
        return (-self)._sum("subtract", other)

    def _sum(self, name: str, other: Any) -> Any:
        if not isinstance(other, SparseMatrix):
            x = tnp.asarray(other)
            if x.ndim == 0:
                raise NotImplementedError(
                    f"{name}: a sparse matrix and a scalar would be dense; use todense()"
                )
            return self.todense() + x
        if self.shape != other.shape:
            raise ShapeError(f"{name}: one shape for both; got {self.shape} and {other.shape}")
        if type(self) is type(other) and same(self.indices_of_format(), other.indices_of_format()):
            return self.with_data(tnp.asarray(self.data) + tnp.asarray(other.data))
        row, col = (
            np.concatenate([host_array(i), host_array(j)]) if known(i, j)
            else tnp.concatenate([tnp.asarray(i), tnp.asarray(j)])
            for i, j in zip(self.coordinates(), other.coordinates(), strict=True)
        )  # fmt: skip
        data = tnp.concatenate([tnp.asarray(self.data), tnp.asarray(other.data)])
        if known(row, col):
            row, col, data = merged(row, col, data, self.shape, None)
        return self.from_coordinates(row, col, data, self.shape)

    # ------------------------------------------------------------------ sums
    def sum(self, axis: int | None = None) -> Any:
        """Sum entries.

        Parameters
        ----------
        axis : int or None
            0 sums over rows, 1 over columns, None over both.

        Returns
        -------
        Array, shape (columns,), (rows,) or ()
            Dense; integers are summed as NumPy does it.
        """
        if axis not in (None, 0, 1, -1, -2):
            raise ShapeError(f"sum: axis must be None, 0 or 1 (or -1, -2); got {axis!r}")
        dtype = tnp.sum(tnp.zeros(0, self.dtype)).dtype
        data = tnp.asarray(self.data).astype(dtype)
        row, col = self.coordinates()
        inside = (row < self.shape[0]) & (col < self.shape[1])
        data = tnp.where(inside, data, tnp.zeros((), dtype))
        if axis is None:
            return tnp.sum(data)
        kept = 1 - axis % 2
        return segment_sum(data, (row, col)[kept], self.shape[kept])

    def diagonal(self, k: int = 0) -> Any:
        """Return a diagonal, dense.

        Parameters
        ----------
        k : int, optional
            How far above the main one it lies, or below if negative.
        """
        row, col = self.coordinates()
        rows, columns = self.shape
        count = max(min(rows + min(k, 0), columns - max(k, 0)), 0)
        there = (col - row == k) & (row < rows) & (col < columns)
        first = row if k >= 0 else col
        return segment_sum(self.data, tnp.where(there, first, count), count)

    def trace(self) -> Any:
        """Return the sum of the main diagonal."""
        return tnp.sum(self.diagonal())


def _product(data: Any, row: Any, col: Any, x: Any, rows: int) -> Any:
    """Return a product with a dense matrix, entry by entry."""
    dtype = tnp.result_type(data, x)
    k = x.shape[1]
    data, x = tnp.asarray(data).astype(dtype), x.astype(dtype)
    if not x.size or not data.size or not rows:
        return tnp.zeros((rows, k), dtype)
    terms = data[:, None] * take_axis(x, col, 0, "fill", 0)
    zeros = full((rows, k), 0, dtype)
    return scatter_add(zeros, tnp.asarray(row)[:, None], terms, (0,), (0,))


_native_product = jit(_product, static_argnums=4)


def _quick_product(data: Any, row: Any, col: Any, x: Any, rows: int) -> Any:
    """Return :func:`_product`, compiled if it is large and nothing is traced."""
    large = active() is None and data.size * x.shape[1] >= WORTH_NATIVE
    return (_native_product if large else _product)(data, row, col, x, rows)


def promoted(data: Any, x: Any) -> tuple[Any, Any, np.dtype[Any]]:
    """Return both in the dtype that they are multiplied in, and that of the result."""
    dtype = tnp.result_type(data, x)
    wide = I64 if is_bool(dtype) else dtype
    return tnp.asarray(data).astype(wide), tnp.asarray(x).astype(wide), dtype
