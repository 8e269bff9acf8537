"""``tracejit.scipy.sparse``: iterative solvers under SciPy's names.

Sparse matrices themselves are in :mod:`tracejit.sparse`.
"""

from tracejit.scipy.sparse import linalg

__all__ = ["linalg"]
