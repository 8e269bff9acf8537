"""Where the elements of an array lie: attributes of ``jax.Array`` that say so.

An array lies on one device as a whole, so that it is its own only shard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit.core.array import DONATED, Uncommitted, check_kept, give_away, lend
from tracejit.core.devices import device_at
from tracejit.core.interpreter import bottom
from tracejit.core.shardings import Format, Layout, Shard, SingleDeviceSharding
from tracejit.ops.devices import place_behind

__all__ = ["METHODS", "PROPERTIES"]


def sharding(self: Any) -> SingleDeviceSharding:
    """On which device the array is."""
    return SingleDeviceSharding(device_at(place_behind(self)))


def format_(self: Any) -> Format:
    """In which order the axes lie in memory, and where."""
    return Format(Layout(tuple(range(self.aval.ndim))), sharding(self))


def addressable_shards(self: Any) -> list[Shard]:
    """The parts of the array on devices of this process: one, the whole."""
    return [Shard(device_at(self.aval.device), (slice(None),) * self.aval.ndim, 0, self)]


def addressable_data(self: Any, index: int) -> Any:
    """Return a part of the array: the whole, for there is one.

    Raises
    ------
    IndexError
        If `index` is not 0 or -1.
    """
    return addressable_shards(self)[index].data


def copy_to_host_async(self: Any) -> None:
    """Nothing: a copy from a device is made when it is read."""
    check_kept(self)


def delete(self: Any) -> None:
    """Give the memory of the array up; any later use of it raises DonatedError."""
    if self.aval.device != DONATED:
        give_away(self, "x.delete()")


def is_deleted(self: Any) -> bool:
    """Return whether the memory was given up, or donated to a function."""
    return bool(self.aval.device == DONATED)


def is_ready(self: Any) -> bool:
    """Return True once the elements are computed, which this waits for."""
    check_kept(self)
    bottom().wait(self)
    return True


def unsafe_buffer_pointer(self: Any) -> int:
    """Return the address of the first element, which must not be written to.

    It is valid as long as the array lives.
    """
    check_kept(self)
    lend(self)
    if self.aval.device is None:
        return int(self.buf.ctypes.data)
    return int(self.buf.__cuda_array_interface__["data"][0])


def on_device_size_in_bytes(self: Any) -> int:
    """Return how much memory the elements take."""
    return int(self.aval.nbytes)


METHODS: dict[str, Callable[..., Any]] = {
    "addressable_data": addressable_data,
    "copy_to_host_async": copy_to_host_async,
    "delete": delete,
    "is_deleted": is_deleted,
    "is_ready": is_ready,
    "on_device_size_in_bytes": on_device_size_in_bytes,
    "unsafe_buffer_pointer": unsafe_buffer_pointer,
}
"""Methods of Array alone: a traced array has no elements."""

PROPERTIES: dict[str, Callable[[Any], Any]] = {
    "addressable_shards": addressable_shards,
    "committed": lambda self: not isinstance(self, Uncommitted),
    "format": format_,
    "global_shards": addressable_shards,
    "is_fully_addressable": lambda self: True,
    "is_fully_replicated": lambda self: True,
    "sharding": sharding,
}
"""Properties of Array alone, but for ``sharding``."""
