"""``tracejit.scipy``: functions of SciPy, recorded while tracing."""

from tracejit.scipy import fft, signal, special, stats

__all__ = ["fft", "signal", "special", "stats"]
