"""``tracejit.scipy``: functions of SciPy, recorded while tracing."""

from tracejit.scipy import fft, linalg, signal, special, stats

__all__ = ["fft", "linalg", "signal", "special", "stats"]
