"""Batching rules of users, under the names of ``jax.custom_batching``."""

from tracejit.control.custom import custom_vmap
from tracejit.control.sequential import sequential_vmap

__all__ = ["custom_vmap", "sequential_vmap"]
