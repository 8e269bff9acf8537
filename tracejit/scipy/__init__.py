"""``tracejit.scipy``: functions of SciPy, recorded while tracing."""

from tracejit.scipy import signal, special

__all__ = ["signal", "special"]
