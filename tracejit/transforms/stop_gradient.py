"""stop_gradient: a value whose derivative counts as zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.core.primitive import Primitive
from tracejit.core.pytree import tree_map
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_inexact
from tracejit.ops._pointwise import define_pointwise, jvp_zero

__all__ = ["stop_gradient"]


def stop_gradient(x: Any) -> Any:
    """Return `x`, of which derivatives see a constant.

    Parameters
    ----------
    x : pytree of arrays
        Integer and bool leaves, which have no derivative anyway, pass as they are.

    Returns
    -------
    pytree of arrays
        The same values.
    """
    return tree_map(_stop, x)


def _stop(x: Any) -> Any:
    return stop_gradient_p.bind(x) if is_inexact(get_aval(x).dtype) else x


def _itself() -> Primitive:
    return stop_gradient_p


def _same_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype


stop_gradient_p = define_pointwise(
    "stop_gradient",
    impl=lambda xp, x: x,
    dtype=_same_dtype,
    jvp=jvp_zero(_itself),
    transpose="its derivative is zero, so it is never transposed",
    lower=lambda k, x: x,
)
