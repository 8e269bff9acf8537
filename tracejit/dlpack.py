"""Arrays of other libraries, under the name of ``jax.dlpack``."""

from __future__ import annotations

from tracejit.numpy import from_dlpack

__all__ = ["from_dlpack"]
