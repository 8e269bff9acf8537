"""``tracejit.sharding``: meshes of devices, for arrays that lie on one device as a whole.

Programs written for many devices run on one: a mesh of one device is taken, nothing is split, and
collectives see one lane.  What needs several devices at once raises DeviceError, which says so.
"""

from __future__ import annotations

from tracejit.core.shardings import (
    Mesh,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
)
from tracejit.runtime.meshes import get_mesh, set_mesh

__all__ = [
    "Mesh",
    "NamedSharding",
    "PartitionSpec",
    "Sharding",
    "SingleDeviceSharding",
    "get_mesh",
    "set_mesh",
]
