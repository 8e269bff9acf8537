"""Which library calls this backend answers, and by what steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.ir.plan import LibraryCall
from tracejit_llvm.routines.calls import LibrarySteps
from tracejit_llvm.routines.factors import cholesky_steps, lu_steps, qr_steps
from tracejit_llvm.routines.ffts import fft_steps
from tracejit_llvm.routines.products import product_steps
from tracejit_llvm.routines.scans import SCANS, scan_steps
from tracejit_llvm.routines.scatters import SCATTERS, scatter_steps
from tracejit_llvm.routines.sorts import sort_steps
from tracejit_llvm.routines.sparse import sparse_steps
from tracejit_llvm.routines.spectra import eig_steps, eigh_steps, svd_steps
from tracejit_llvm.routines.substitution import lu_solve_steps, triangular_steps

__all__ = ["LIBRARIES", "library_steps"]

MATRICES: dict[str, Callable[[tuple[int, ...], np.dtype[Any]], LibrarySteps]] = {
    "cholesky": cholesky_steps,
    "eig": eig_steps,
    "eigh": eigh_steps,
    "lu": lu_steps,
    "lu_solve": lu_solve_steps,
    "matmul": product_steps,
    "qr": qr_steps,
    "svd": svd_steps,
    "triangular_solve": triangular_steps,
}
"""What is asked of stacks of matrices of one dtype."""

LIBRARIES: frozenset[str] = frozenset([*MATRICES, *SCANS, *SCATTERS, "sort", "fft", "csr_matmul"])
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
    if call.name == "fft":
        return fft_steps(call.params, dtypes)
    if call.name == "csr_matmul":
        return sparse_steps(call.params, *dtypes[:2])
    if call.name in MATRICES:
        return MATRICES[call.name](call.params, dtypes[0])
    raise ValueError(f"library calls of this backend: {sorted(LIBRARIES)}; got {call.name!r}")
