"""``tracejit.numpy.linalg``: linear algebra under NumPy's names.

Norms, systems and spectra are written in :mod:`tracejit.numpy.matrices`, factorizations and least
squares in :mod:`tracejit.numpy.factorizations`.
"""

from numpy.linalg import LinAlgError

from tracejit.numpy.factorizations import (
    cholesky,
    cond,
    eig,
    eigvals,
    lstsq,
    matrix_rank,
    pinv,
    qr,
    tensorinv,
    tensorsolve,
)
from tracejit.numpy.matrices import (
    cross,
    det,
    diagonal,
    eigh,
    eigvalsh,
    inv,
    matmul,
    matrix_norm,
    matrix_power,
    matrix_transpose,
    multi_dot,
    norm,
    outer,
    slogdet,
    solve,
    svd,
    svdvals,
    tensordot,
    trace,
    vecdot,
    vector_norm,
)

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]
