"""``tracejit.scipy.linalg``: linear algebra under SciPy's names.

Arguments that concern memory and checks (``overwrite_a``, ``check_finite``, ...) are accepted and
change nothing.  Nothing raises for the sake of values: what cannot be solved is NaN.
"""

from tracejit.scipy.linalg.bands import (
    solve_banded,
    solve_toeplitz,
    solveh_banded,
    tridiagonal_solve,
)
from tracejit.scipy.linalg.factors import (
    cho_factor,
    cho_solve,
    cholesky,
    eig,
    eigh,
    eigh_tridiagonal,
    eigvals,
    eigvalsh,
    lu,
    lu_factor,
    lu_solve,
    polar,
    qr,
    solve,
    solve_triangular,
    svd,
    svdvals,
)
from tracejit.scipy.linalg.functions import (
    expm,
    expm_frechet,
    hessenberg,
    rsf2csf,
    schur,
    solve_sylvester,
    sqrtm,
)
from tracejit.scipy.linalg.patterned import (
    block_diag,
    circulant,
    companion,
    convolution_matrix,
    dft,
    fiedler,
    hadamard,
    hankel,
    helmert,
    hilbert,
    invhilbert,
    invpascal,
    khatri_rao,
    leslie,
    pascal,
    toeplitz,
)
from tracejit.scipy.linalg.shared import det, inv, lstsq, norm, pinv

__all__ = [
    "block_diag", "cho_factor", "cho_solve", "cholesky", "circulant", "companion",
    "convolution_matrix", "det", "dft", "eig", "eigh", "eigh_tridiagonal", "eigvals", "eigvalsh",
    "expm", "expm_frechet", "fiedler", "hadamard", "hankel", "helmert", "hessenberg", "hilbert",
    "inv", "invhilbert", "invpascal", "khatri_rao", "leslie", "lstsq", "lu", "lu_factor",
    "lu_solve", "norm", "pascal", "pinv", "polar", "qr", "rsf2csf", "schur", "solve",
    "solve_banded", "solve_sylvester", "solve_toeplitz", "solve_triangular", "solveh_banded",
    "sqrtm", "svd", "svdvals", "toeplitz", "tridiagonal_solve",
]  # fmt: skip
