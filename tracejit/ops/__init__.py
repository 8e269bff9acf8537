"""Every first-order primitive, one family a file; and what JAX has in ``jax.ops``."""

from __future__ import annotations

from tracejit.ops.segments import segment_max, segment_min, segment_prod, segment_sum

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]
