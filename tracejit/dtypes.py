"""Dtypes that NumPy has no name for, and questions about dtypes: ``jax.dtypes``'s names."""

from tracejit.core.keyarray import extended, prng_key
from tracejit.ir.dtypes import canonical as canonicalize_dtype
from tracejit.ir.dtypes import float0
from tracejit.numpy import bfloat16, finfo, iinfo, issubdtype, result_type

__all__ = [
    "bfloat16",
    "canonicalize_dtype",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "prng_key",
    "result_type",
]
