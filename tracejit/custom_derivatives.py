"""Derivative rules of users, under the names of ``jax.custom_derivatives``."""

from tracejit.control.closures import closure_convert
from tracejit.control.custom import custom_gradient, custom_jvp, custom_vjp
from tracejit.control.custom_leaves import (
    CustomVJPPrimal,
    SymbolicZero,
    custom_vjp_primal_tree_values,
    zero_from_primal,
)

__all__ = [
    "CustomVJPPrimal",
    "SymbolicZero",
    "closure_convert",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "custom_vjp_primal_tree_values",
    "zero_from_primal",
]
