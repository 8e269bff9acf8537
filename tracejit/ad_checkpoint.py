"""What is recomputed in reverse mode, and what is stored: ``jax.ad_checkpoint``'s names."""

from tracejit.control import checkpoint_policies
from tracejit.control.checkpoint import checkpoint
from tracejit.control.checkpoint_name import checkpoint_name
from tracejit.control.residuals import print_saved_residuals, saved_residuals

remat = checkpoint

__all__ = [
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "print_saved_residuals",
    "remat",
    "saved_residuals",
]
