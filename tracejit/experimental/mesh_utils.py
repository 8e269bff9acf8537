"""``jax.experimental.mesh_utils``: grids of devices."""

from __future__ import annotations

from tracejit.runtime.meshes import create_device_mesh

__all__ = ["create_device_mesh"]
