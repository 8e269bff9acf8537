"""``tracejit.scipy``: functions of SciPy, recorded while tracing."""

from tracejit.scipy import fft, integrate, linalg, optimize, signal, sparse, special, stats

__all__ = [
    "fft", "integrate", "linalg", "optimize", "signal", "sparse", "special", "stats",
]  # fmt: skip
