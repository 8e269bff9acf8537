"""Library calls that kernels of our own answer, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.ir.plan import LibraryCall
from tracejit_cuda.native import NativeCall
from tracejit_cuda.runtime import Properties
from tracejit_cuda.scans import SCANS, scan_call
from tracejit_cuda.scatters import SCATTERS, scatter_call

__all__ = ["NATIVE_CALLS", "native_call"]

NATIVE_CALLS: frozenset[str] = frozenset((*SCANS, *SCATTERS))
"""Names of the library calls that :func:`native_call` takes."""


def native_call(
    call: LibraryCall,
    dtypes: Sequence[np.dtype[Any]],
    properties: Properties,
    deterministic: bool = True,
) -> NativeCall:
    """Return what is enqueued for a library call.

    Parameters
    ----------
    call : LibraryCall
        Its name is in :data:`NATIVE_CALLS`.
    dtypes : sequence of dtype
        Of what its slots hold.
    properties : Properties
        Of the device.
    deterministic : bool
        Whether every run must give the same bits; sums of floats at places that repeat are quicker
        without.
    """
    if call.name in SCANS:
        return scan_call(call.name, call.params, dtypes[0], properties)
    x, index = dtypes[:2]
    return scatter_call(call.name, call.params, x, index, properties, deterministic)
