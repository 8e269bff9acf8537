"""``tracejit.scipy``: functions of SciPy, recorded while tracing."""

from tracejit.scipy import signal

__all__ = ["signal"]
