"""Devices, threads and counters, as users see them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tracejit.core.array import Array, from_numpy
from tracejit.core.errors import TracejitError
from tracejit.core.pytree import tree_leaves, tree_map
from tracejit.core.tracer import Tracer
from tracejit.runtime.backends import get_backend

__all__ = [
    "Device",
    "block_until_ready",
    "counters",
    "device_put",
    "devices",
    "set_num_threads",
]


class Device(NamedTuple):
    """A place where arrays live and programs run."""

    platform: str
    id: int = 0

    def __str__(self) -> str:
        return f"{self.platform}:{self.id}"


_CPU = Device("cpu")


def devices(platform: str | None = None) -> list[Device]:
    """Return the devices of a platform (all by default).

    Raises
    ------
    TracejitError
        If the platform is unknown.
    """
    if platform not in (None, "cpu"):
        raise TracejitError(f"there is no platform {platform!r}; this version has: cpu")
    return [_CPU]


def device_put(x: Any, device: Device | None = None) -> Any:
    """Return a pytree with its leaves as Arrays on `device`; NumPy arrays are copied."""
    if device not in (None, _CPU):
        raise TracejitError(f"there is no device {device}; this version has: {_CPU}")

    def put(leaf: Any) -> Any:
        return leaf if isinstance(leaf, (Array, Tracer)) else from_numpy(np.asarray(leaf))

    return tree_map(put, x)


def block_until_ready(x: Any) -> Any:
    """Wait until every array of a pytree is computed, and return the pytree."""
    tree_leaves(x)  # CPU calls return when they are done
    return x


def set_num_threads(n: int) -> None:
    """Use `n` threads in compiled functions from the next call on; results do not change.

    Raises
    ------
    ValueError
        If `n` is not positive.
    """
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1; got {n}")
    get_backend("llvm").set_num_threads(int(n))


def counters() -> dict[str, int]:
    """Return counters of the CPU backend: kernels compiled and found in caches, callbacks, ..."""
    return dict(get_backend("llvm").counters())
