"""Which library calls this backend answers, and by what steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.ir.plan import LibraryCall
from tracejit_llvm.routines.calls import LibrarySteps
from tracejit_llvm.routines.ffts import fft_steps
from tracejit_llvm.routines.products import product_steps
from tracejit_llvm.routines.scans import SCANS, scan_steps
from tracejit_llvm.routines.scatters import SCATTERS, scatter_steps
from tracejit_llvm.routines.sorts import sort_steps

__all__ = ["LIBRARIES", "library_steps"]

LIBRARIES: frozenset[str] = frozenset(["fft", "matmul", *SCANS, *SCATTERS, "sort"])
"""Names of the library calls that :func:`library_steps` takes."""


def library_steps(call: LibraryCall, dtypes: Sequence[np.dtype[Any]]) -> LibrarySteps:
    """Return what is run for a library call.

    Parameters
    ----------
    call : LibraryCall
        Its name is in :data:`LIBRARIES`.
    dtypes : sequence of dtype
        Of what its slots hold.

    Raises
    ------
    ValueError
        If this backend does not answer it.
    """
    if call.name in SCANS:
        return scan_steps(call.name, call.params, dtypes[0])
    if call.name in SCATTERS:
        return scatter_steps(call.name, call.params, *dtypes[:2])
    if call.name == "sort":
        return sort_steps(call.params, dtypes[: len(dtypes) // 2])
    if call.name == "matmul":
        return product_steps(call.params, dtypes[0])
    if call.name == "fft":
        return fft_steps(call.params, dtypes)
    raise ValueError(f"library calls of this backend: {sorted(LIBRARIES)}; got {call.name!r}")
