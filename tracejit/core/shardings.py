"""Where the parts of an array lie, in the words of ``jax.sharding``, for arrays on one device.

An array lies on one device as a whole.  So a mesh of one device, and what is said about it, is
taken for what it means: nothing is split.  A mesh of several devices can be described, but no
array can be placed on it, and the error says so.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tracejit.core.devices import Device, Placement, find_device
from tracejit.core.errors import DeviceError, ShapeError, StructureError
from tracejit.core.pytree import tree_leaves

__all__ = [
    "Format", "Layout", "Mesh", "NamedSharding", "PartitionSpec", "Shard", "Sharding",
    "SingleDeviceSharding", "current_mesh", "mesh_around", "one_device",
]  # fmt: skip


class PartitionSpec:
    """Which axes of a mesh split each axis of an array: a name, a tuple of names, or None.

    A leaf of pytrees.  Axes beyond those said are not split.

    Examples
    --------
    >>> from tracejit.sharding import PartitionSpec as P
    >>> P("x", None)
    PartitionSpec('x', None)
    """

    __slots__ = ("_parts",)
    UNCONSTRAINED = "unconstrained"

    def __init__(self, *partitions: Any) -> None:
        self._parts = tuple(tuple(p) if isinstance(p, list) else p for p in partitions)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: Any) -> Any:
        return self._parts[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, tuple):
            return self._parts == other
        return self._parts == other._parts if isinstance(other, PartitionSpec) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._parts)

    def __repr__(self) -> str:
        return f"PartitionSpec({', '.join(map(repr, self._parts))})"

    def names(self) -> list[Any]:
        """Return the names of axes of a mesh that it mentions."""
        found: list[Any] = []
        for part in self._parts:
            found += part if isinstance(part, tuple) else [] if part is None else [part]
        return [name for name in found if name != self.UNCONSTRAINED]


class Mesh(contextlib.ContextDecorator):
    """Devices in a grid whose axes have names; within ``with mesh:`` specs refer to it.

    Parameters
    ----------
    devices : array_like of Device
        Each once.
    axis_names : str or sequence of str
        One an axis of `devices`.

    Raises
    ------
    DeviceError
        If a device stands twice.
    ShapeError
        If the names do not fit the axes.
    """

    def __init__(self, devices: Any, axis_names: Any, *, axis_types: Any = None) -> None:
        del axis_types  # how a partitioner chooses; nothing is partitioned
        names = (axis_names,) if isinstance(axis_names, str) else tuple(axis_names)
        self.devices = _grid(devices)
        self.axis_names = names
        if len(names) != self.devices.ndim or len(set(names)) != len(names):
            raise ShapeError(
                f"Mesh: each axis of the devices needs one name; got {names!r} for the shape "
                f"{self.devices.shape}"
            )
        listed = [str(d) for d in self.devices.flat]
        if len(set(listed)) != len(listed):
            raise DeviceError(f"Mesh: each device can stand once; got {', '.join(listed)}")
        self._tokens: list[Token[Mesh | None]] = []

    @property
    def shape(self) -> dict[Any, int]:
        """Lengths of the axes by name."""
        return dict(zip(self.axis_names, self.devices.shape, strict=True))

    @property
    def size(self) -> int:
        """Number of devices."""
        return int(self.devices.size)

    @property
    def empty(self) -> bool:
        """Whether there are no devices."""
        return not self.size

    @property
    def are_all_axes_explicit(self) -> bool:
        """False: a partitioner chooses what there is to choose, which is nothing."""
        return False

    @property
    def device_ids(self) -> np.ndarray[Any, Any]:
        """Numbers of the devices."""
        ids = [d.id for d in self.devices.flat]
        return np.array(ids, dtype=int).reshape(self.devices.shape)

    @property
    def local_devices(self) -> list[Device]:
        """The devices: there is one process."""
        return list(self.devices.flat)

    def _recreate_cm(self) -> Mesh:
        return Mesh(self.devices, self.axis_names)

    def __enter__(self) -> Mesh:
        self._tokens.append(current_mesh.set(self))
        return self

    def __exit__(self, *exc: object) -> None:
        current_mesh.reset(self._tokens.pop())

    def _key(self) -> tuple[Any, ...]:
        return tuple(map(str, self.devices.flat)), self.devices.shape, self.axis_names

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Mesh) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        axes = ", ".join(f"{name!r}: {n}" for name, n in self.shape.items())
        return f"Mesh({axes})"


def _grid(devices: Any) -> np.ndarray[Any, Any]:
    """Return Devices as an array of objects; a Device is a tuple, which NumPy would take apart."""
    if isinstance(devices, np.ndarray):
        shape, found = devices.shape, list(devices.flat)
    else:
        shape, found = _nested(devices)
    out = np.empty(len(found), dtype=object)
    for n, device in enumerate(found):
        out[n] = find_device(device)
    return out.reshape(shape)


def _nested(devices: Any) -> tuple[tuple[int, ...], list[Any]]:
    if isinstance(devices, (Device, str)):
        return (), [devices]
    parts = [_nested(d) for d in devices]
    shapes = {shape for shape, _ in parts}
    if len(shapes) > 1:
        raise ShapeError(f"Mesh: the devices must form a grid; got rows of {sorted(shapes)}")
    return (len(parts), *next(iter(shapes), ())), [d for _, row in parts for d in row]


current_mesh: ContextVar[Mesh | None] = ContextVar("mesh", default=None)
"""The mesh of the innermost ``with mesh:``."""


class Sharding(Placement):
    """How an array is spread over devices; here, which one it is on.

    Attributes
    ----------
    device_set : set of Device
        Where its parts lie.
    """

    __slots__ = ()

    @property
    def device_set(self) -> set[Device]:
        """Where the parts of an array lie."""
        return {self.device}

    @property
    def addressable_devices(self) -> set[Device]:
        """As `device_set`: there is one process."""
        return self.device_set

    @property
    def num_devices(self) -> int:
        """How many devices there are."""
        return len(self.device_set)

    @property
    def is_fully_addressable(self) -> bool:
        """True: there is one process."""
        return True

    @property
    def is_fully_replicated(self) -> bool:
        """Whether each device has the whole array."""
        return len(self.device_set) == 1

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the part on one device: that of the whole."""
        return tuple(global_shape)

    def is_equivalent_to(self, other: Sharding, ndim: int) -> bool:
        """Whether arrays are on the same devices in the same way."""
        del ndim
        return self.device_set == other.device_set


class SingleDeviceSharding(Sharding):
    """An array on one device.

    Parameters
    ----------
    device : Device or str
        Which.
    """

    __slots__ = ("_device",)

    def __init__(self, device: Any, *, memory_kind: Any = None) -> None:
        del memory_kind
        self._device = find_device(device)

    @property
    def device(self) -> Device:
        """The device."""
        return self._device

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SingleDeviceSharding):
            return NotImplemented
        return self._device == other._device

    def __hash__(self) -> int:
        return hash(self._device)

    def __repr__(self) -> str:
        return f"SingleDeviceSharding({str(self._device)!r})"


class NamedSharding(Sharding):
    """An array on a mesh, split as a spec says.

    Parameters
    ----------
    mesh : Mesh
        On several devices it can be described, but no array placed.
    spec : PartitionSpec
        Which axes of the mesh split which axis of the array.

    Raises
    ------
    ShapeError
        If the spec names an axis that the mesh lacks, or one twice.
    """

    __slots__ = ("mesh", "spec")

    def __init__(self, mesh: Mesh, spec: Any, *, memory_kind: Any = None) -> None:
        del memory_kind
        self.mesh = mesh
        self.spec = spec if isinstance(spec, PartitionSpec) else PartitionSpec(*(spec or ()))
        names = self.spec.names()
        if wrong := [name for name in names if name not in mesh.axis_names]:
            raise ShapeError(f"{self.spec} names {wrong[0]!r}; the mesh has {mesh.axis_names}")
        if len(set(names)) != len(names):
            raise ShapeError(f"{self.spec} names an axis of the mesh twice")

    @property
    def device(self) -> Device:
        """The device, if it is one; else raises DeviceError."""
        if self.mesh.size != 1:
            raise DeviceError(
                f"an array lies on one device as a whole; {self.mesh} has {self.mesh.size}. "
                "Splitting arrays over devices is missing: place whole arrays with "
                "tracejit.device_put(x, device)"
            )
        found: Device = self.mesh.devices.flat[0]
        return found

    @property
    def device_set(self) -> set[Device]:
        """The devices of the mesh."""
        return set(self.mesh.devices.flat)

    @property
    def is_fully_replicated(self) -> bool:
        """Whether each device has the whole array."""
        shape = self.mesh.shape
        return math.prod(shape[name] for name in self.spec.names()) == 1

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the part on one device.

        Raises
        ------
        ShapeError
            If an axis cannot be divided into equal parts, or there are too few axes.
        """
        if len(self.spec) > len(global_shape):
            raise ShapeError(f"{self.spec} is for arrays of rank {len(self.spec)} or more; "
                             f"got the shape {tuple(global_shape)}")  # fmt: skip
        out = list(global_shape)
        for axis, part in enumerate(self.spec):
            count = math.prod(self.mesh.shape[name] for name in PartitionSpec(part).names())
            if out[axis] % count:
                raise ShapeError(f"axis {axis} of {tuple(global_shape)} is not divisible by "
                                 f"{count}, as {self.spec} on {self.mesh} needs")  # fmt: skip
            out[axis] //= count
        return tuple(out)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NamedSharding):
            return NotImplemented
        return (self.mesh, self.spec) == (other.mesh, other.spec)

    def __hash__(self) -> int:
        return hash((self.mesh, self.spec))

    def __repr__(self) -> str:
        return f"NamedSharding(mesh={self.mesh}, spec={self.spec})"


def mesh_around(name: str) -> Mesh:
    """Return the current mesh.

    Raises
    ------
    StructureError
        If there is none.
    """
    mesh = current_mesh.get()
    if mesh is None:
        raise StructureError(
            f"{name}: a PartitionSpec needs a mesh; pass NamedSharding(mesh, spec), or call it "
            "within `with mesh:`"
        )
    return mesh


def one_device(name: str, tree: Any) -> Device | None:
    """Return the one device that a pytree of shardings and devices names; None if it names none.

    Raises
    ------
    DeviceError
        If it names several.
    """
    found = set()
    for said in tree_leaves(tree, is_leaf=lambda x: isinstance(x, Device)):
        if isinstance(said, PartitionSpec):
            said = NamedSharding(mesh_around(name), said)
        found.add(find_device(said))
    if len(found) > 1:
        raise DeviceError(
            f"{name}: a program runs on one device; got {', '.join(sorted(map(str, found)))}"
        )
    return next(iter(found), None)


class Layout(NamedTuple):
    """The order of the axes in memory, the slowest first: always C order."""

    major_to_minor: tuple[int, ...]


class Format(NamedTuple):
    """Order in memory, and where."""

    layout: Layout
    sharding: Sharding


@dataclass(frozen=True, eq=False)
class Shard:
    """A part of an array on one device: all of it.

    Attributes
    ----------
    device : Device
        Where.
    index : tuple of slice
        Which part.
    replica_id : int
        0.
    data : Array
        The elements.
    """

    device: Device
    index: tuple[slice, ...]
    replica_id: int
    data: Any
