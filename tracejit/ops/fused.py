"""Fused multiply-add: ``x y + z`` rounded once, the same bits in NumPy, kernels and on devices."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.ir.dtypes import DTYPES
from tracejit.ops._fused import fma as fma_of_arrays
from tracejit.ops._pointwise import define_pointwise, same_dtype
from tracejit.ops.arithmetic import mul

__all__ = ["fma"]


def fma(x: Any, y: Any, z: Any) -> Any:
    """Multiply and add, rounding once.

    Parameters
    ----------
    x, y, z : Array, one shape (or rank 0), float32 or float64, one dtype
        The operands.

    Returns
    -------
    Array, shape and dtype of the operands
        ``x * y + z``.  Eagerly, what underflows may be rounded twice.
    """
    return fma_p.bind(x, y, z)


def _impl(xp: Any, *operands: Any) -> Any:
    if xp is not np:
        raise NotImplementedError("fused operations of array libraries on devices")
    full = np.broadcast_shapes(*[x.shape for x in operands])
    x, y, z = (np.broadcast_to(v, full or (1,)) for v in operands)
    with np.errstate(all="ignore"):
        plain = x * y + z
        finite = np.isfinite(plain)
        if x.dtype.itemsize == 4 or finite.all():
            return fma_of_arrays(x, y, z).reshape(full)
        once = fma_of_arrays(*[np.where(finite, v, 0.0) for v in (x, y, z)])
    # A finite product that is too large for its dtype is still less than an infinity.
    plain = np.where(np.isfinite(x) & np.isfinite(y) & np.isinf(z), z, plain)
    return np.where(finite, once, plain).reshape(full)


fma_p = define_pointwise(
    "fma",
    impl=_impl,
    dtype=same_dtype(
        "fma", lambda dtype: dtype in (DTYPES["f32"], DTYPES["f64"]), "float32 or float64"
    ),
    jvp=[
        lambda t, out, x, y, z: mul(t, y),
        lambda t, out, x, y, z: mul(x, t),
        lambda t, out, x, y, z: t,
    ],
    compiled_from=1 << 14,
)
