"""What JAX has under ``jax.experimental``."""

from tracejit.control.callbacks import io_callback

__all__ = ["io_callback"]
