"""Dtypes that NumPy has no name for, and questions about dtypes: ``jax.dtypes``'s names."""

from tracejit.ir.dtypes import canonical as canonicalize_dtype
from tracejit.ir.dtypes import float0
from tracejit.numpy import bfloat16, finfo, iinfo, issubdtype, result_type

__all__ = [
    "bfloat16",
    "canonicalize_dtype",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "result_type",
]
