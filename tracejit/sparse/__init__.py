"""Sparse matrices: arithmetic, products, and direct solvers.

For sparse *derivatives* see :mod:`tracejit.sparsity`.
"""

from tracejit.sparse.matrices import COO, CSR

__all__ = ["COO", "CSR"]
