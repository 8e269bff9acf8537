"""``tracejit.typing``: annotations for what functions of arrays take, JAX's names."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from tracejit.core.array import Array
from tracejit.core.tracer import Tracer

__all__ = ["ArrayLike", "DTypeLike"]

ArrayLike: TypeAlias = (
    Array | Tracer | np.ndarray[Any, Any] | np.generic | bool | int | float | complex
)
"""An array, traced or not, one of NumPy's, or a scalar."""

DTypeLike: TypeAlias = Any
"""A dtype, its name, or a type of scalars."""
