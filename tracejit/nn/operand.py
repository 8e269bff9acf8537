"""What the functions of networks take: real floating arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracejit.numpy as tnp
from tracejit.core.errors import DTypeError
from tracejit.core.tracer import get_aval
from tracejit.ir.dtypes import is_complex

__all__ = ["floating"]


def floating(name: str, x: Any) -> Any:
    """Return `x` as a real floating array; integers and bool are converted.

    Parameters
    ----------
    name : str
        The function of ``tracejit.nn``, for the message.
    x : array-like
        What the user gave.

    Raises
    ------
    DTypeError
        For complex numbers.
    """
    x = tnp.asarray(x)
    dtype = get_aval(x).dtype
    if is_complex(dtype):
        raise DTypeError(f"nn.{name}: a real array; got {get_aval(x)}. Take x.real or abs(x)")
    return x if tnp.issubdtype(dtype, np.floating) else tnp.asarray(x, tnp.result_type(dtype, 1.0))
