"""What JAX has under ``jax.experimental``."""
