"""The primitives and the control operators, under the names of ``jax.lax``."""
