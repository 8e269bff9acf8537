"""Sparse matrices: arithmetic, products, and direct solvers.

For sparse *derivatives* see :mod:`tracejit.sparsity`.
"""

from tracejit.sparse.matrices import COO, CSR
from tracejit.sparse.solve import SuperLU, splu, spsolve

__all__ = ["COO", "CSR", "SuperLU", "splu", "spsolve"]
