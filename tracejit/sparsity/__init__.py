"""Sparse derivatives: patterns of zeros, colourings, and Jacobians and Hessians in CSR form."""

from tracejit.sparsity.derivatives import SparseJacobian, hessian, jacobian, sparsity_pattern
from tracejit.sparsity.plan import Plan, SparsityWarning

__all__ = [
    "Plan",
    "SparseJacobian",
    "SparsityWarning",
    "hessian",
    "jacobian",
    "sparsity_pattern",
]
