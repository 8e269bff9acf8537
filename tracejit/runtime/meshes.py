"""Programs written for many devices, on one: ``pmap``, ``shard_map`` and meshes.

Arrays lie on one device as a whole.  Lanes of ``pmap`` are those of ``vmap``, and a mesh of one
device splits nothing, so that collectives over its axes see one lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array
from tracejit.core.devices import Device, find_device
from tracejit.core.errors import DeviceError, ShapeError, StructureError
from tracejit.core.pytree import tree_flatten, tree_map, tree_unflatten
from tracejit.core.shardings import (
    Mesh,
    NamedSharding,
    PartitionSpec,
    Sharding,
    current_mesh,
    mesh_around,
)
from tracejit.core.tracer import get_aval
from tracejit.core.treeprefix import flatten_axes
from tracejit.ops.shape import reshape
from tracejit.runtime.devices import default_backend, device_put, devices
from tracejit.runtime.jit import jit
from tracejit.transforms.flat import array_or_tracer
from tracejit.transforms.vectorize import vmap

__all__ = [
    "create_device_mesh", "get_mesh", "make_mesh", "pmap", "set_mesh", "shard_map",
    "visualize_array_sharding", "with_sharding_constraint",
]  # fmt: skip


# --------------------------------------------------------------------------------- meshes


def create_device_mesh(
    mesh_shape: Sequence[int], devices: Sequence[Any] | None = None, **how: Any
) -> np.ndarray[Any, Any]:
    """Return devices as a grid.

    Parameters
    ----------
    mesh_shape : sequence of int
        Its shape.
    devices : sequence of Device, optional
        As many as it has places; by default the first ones of the default platform.
    **how
        What JAX takes to order devices by their connections; of no effect.

    Raises
    ------
    DeviceError
        If there are too few devices.
    ShapeError
        If `devices` are given and do not fill it.
    """
    del how
    shape = tuple(int(n) for n in mesh_shape)
    wanted = math.prod(shape)
    found = _here() if devices is None else [find_device(d) for d in devices]
    if devices is not None and len(found) != wanted:
        raise ShapeError(f"a mesh of shape {shape} has {wanted} places; got {len(found)} devices")
    if len(found) < wanted:
        raise DeviceError(
            f"a mesh of shape {shape} needs {wanted} devices; there are {len(found)}: "
            f"{', '.join(map(str, found))}. For lanes on one device use vmap(axis_name=...)"
        )
    grid = np.empty(wanted, dtype=object)
    for n in range(wanted):
        grid[n] = found[n]
    return grid.reshape(shape)


def _here() -> list[Device]:
    return devices(default_backend())


def make_mesh(
    axis_shapes: Sequence[int],
    axis_names: Sequence[Any],
    *,
    devices: Sequence[Any] | None = None,
    axis_types: Any = None,
) -> Mesh:
    """Return a mesh of devices.

    Parameters
    ----------
    axis_shapes, axis_names : sequence
        Length and name of each axis.
    devices : sequence of Device, optional
        By default the first ones of the default platform.
    axis_types : optional
        Of no effect: nothing is partitioned.

    Raises
    ------
    DeviceError, ShapeError
        As :func:`create_device_mesh`, and if the names do not fit.
    """
    del axis_types
    return Mesh(create_device_mesh(axis_shapes, devices), axis_names)


class set_mesh:
    """Make a mesh the current one, for good or, in ``with``, for a block."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._token = current_mesh.set(mesh)

    def __enter__(self) -> Mesh:
        return self.mesh

    def __exit__(self, *exc: object) -> None:
        current_mesh.reset(self._token)


def get_mesh() -> Mesh | None:
    """Return the current mesh, or None."""
    return current_mesh.get()


def with_sharding_constraint(x: Any, shardings: Any) -> Any:
    """Return `x`, which must lie where the shardings say: on one device.

    Parameters
    ----------
    x : pytree of arrays
        Traced or not.
    shardings : pytree of Sharding, PartitionSpec or None
        A prefix of `x`.  A PartitionSpec refers to the current mesh.

    Raises
    ------
    DeviceError
        If a mesh has several devices; or if `x` is traced and runs on another one.
    ShapeError
        If a spec does not fit the rank.
    """
    name = "with_sharding_constraint"
    leaves, treedef = tree_flatten(x)
    out = []
    for leaf, said in zip(leaves, flatten_axes(name, treedef, shardings), strict=True):
        if said is None:
            out.append(leaf)
            continue
        where = NamedSharding(mesh_around(name), said) if isinstance(said, PartitionSpec) else said
        if not isinstance(where, Sharding):
            raise StructureError(f"{name}: a sharding or a PartitionSpec is needed; got {said!r}")
        leaf = array_or_tracer(leaf)
        where.shard_shape(get_aval(leaf).shape)
        out.append(device_put(leaf, where))
    return tree_unflatten(treedef, out)


def visualize_array_sharding(arr: Any, **how: Any) -> None:
    """Print which device has which part of an array: a box, for one device has it whole.

    Parameters
    ----------
    arr : Array
        Of rank 1 or 2.
    **how
        What JAX takes for colours and sizes; of no effect.

    Raises
    ------
    ShapeError
        If the rank is another.
    """
    del how
    rank = get_aval(arr).ndim
    if rank not in (1, 2):
        raise ShapeError(f"visualize_array_sharding: the rank must be 1 or 2; got {rank}")
    device = array_or_tracer(arr).sharding.device
    text = f" {device.platform.upper()} {device.id} "
    line = "─" * len(text)
    print(f"┌{line}┐\n│{text}│\n└{line}┘")


# --------------------------------------------------------------------------- mapped functions


def shard_map(
    f: Callable[..., Any] | None = None,
    mesh: Mesh | None = None,
    in_specs: Any = None,
    out_specs: Any = None,
    *,
    axis_names: Iterable[Any] = (),
    check_vma: bool = True,
    check_rep: bool = True,
) -> Any:
    """Return a function that runs `f` on each device's part of its arguments, here the whole.

    Parameters
    ----------
    f : callable
        Sees the part of one device.  Left out, ``shard_map`` returns a decorator.
    mesh : Mesh, optional
        Of one device; the current one by default.  Its axes have names for collectives.
    in_specs, out_specs : pytree of PartitionSpec
        Prefixes of the arguments and of the result; checked against their ranks.
    axis_names : set of hashables
        The axes that `f` names, all by default.
    check_vma, check_rep : bool
        Of no effect: with one device all are equal.

    Raises
    ------
    DeviceError
        If the mesh has several devices.
    ShapeError
        If a spec does not fit.
    """
    if f is None:
        def decorate(fun: Callable[..., Any]) -> Any:
            return shard_map(fun, mesh, in_specs, out_specs, axis_names=axis_names)

        return decorate
    del check_vma, check_rep
    fun, chosen = f, mesh or mesh_around("shard_map")
    where = NamedSharding(chosen, PartitionSpec()).device
    names = tuple(axis_names) or chosen.axis_names
    if wrong := [name for name in names if name not in chosen.axis_names]:
        raise ShapeError(f"shard_map: no axis {wrong[0]!r} in the mesh; it has {chosen.axis_names}")

    def mapped(*args: Any) -> Any:
        _check_specs("shard_map: in_specs", args, in_specs, chosen)
        lanes = fun
        for name in reversed(names):
            lanes = vmap(lanes, in_axes=None, axis_name=name, axis_size=1)
        placed = tree_map(lambda x: device_put(x, where) if isinstance(x, Array) else x, args)

        def whole(x: Any) -> Any:
            return reshape(x, get_aval(x).shape[len(names) :])

        out = tree_map(whole, lanes(*placed))
        _check_specs("shard_map: out_specs", out, out_specs, chosen)
        return out

    mapped.__name__ = getattr(fun, "__name__", "mapped")
    return mapped


def _check_specs(name: str, tree: Any, specs: Any, mesh: Mesh) -> None:
    leaves, treedef = tree_flatten(tree)
    for x, spec in zip(leaves, flatten_axes(name, treedef, specs), strict=True):
        NamedSharding(mesh, spec).shard_shape(np.shape(x))


def pmap(
    fun: Callable[..., Any],
    axis_name: Any = None,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: int | Iterable[int] = (),
    devices: Sequence[Any] | None = None,
    backend: str | None = None,
    axis_size: int | None = None,
    donate_argnums: int | Iterable[int] = (),
    global_arg_shapes: Any = None,
) -> Callable[..., Any]:
    """Return `fun` mapped over an axis and compiled: the lanes of ``jit(vmap(fun))``.

    Every lane is computed on one device, whose threads share the work.  So there may be more lanes
    than devices, which JAX refuses; the values are the same.

    Parameters
    ----------
    fun : callable
        Sees one lane.
    axis_name : hashable, optional
        The name of the axis, for collectives.
    in_axes, out_axes : int, None, or pytrees of such
        As in :func:`tracejit.vmap`.
    static_broadcasted_argnums : int or iterable of int
        Positional arguments that are known while tracing; they must be hashable.
    devices : sequence of Device, optional
        One, where it runs.
    backend : str, optional
        As in :func:`tracejit.jit`.
    axis_size : int, optional
        The number of lanes.
    donate_argnums : int or iterable of int
        As in :func:`tracejit.jit`.
    global_arg_shapes : None
        There is one process.

    Raises
    ------
    DeviceError
        If several devices are asked for.
    """
    if devices is not None and len(devices) != 1:
        raise DeviceError(
            f"pmap: all lanes run on one device; got {len(devices)}: "
            f"{', '.join(map(str, devices))}. Running one function on several devices is missing"
        )
    if global_arg_shapes is not None:
        raise StructureError("pmap: there is one process; leave global_arg_shapes out")
    given = static_broadcasted_argnums
    static = (given,) if isinstance(given, int) else tuple(given)

    def lanes(*args: Any, **kwargs: Any) -> Any:
        known = {n % len(args) for n in static}
        moving = [n for n in range(len(args)) if n not in known]
        axes = tuple(in_axes[n] for n in moving) if isinstance(in_axes, (tuple, list)) else in_axes

        def lane(*dynamic: Any, **named: Any) -> Any:
            full = list(args)
            for n, x in zip(moving, dynamic, strict=True):
                full[n] = x
            return fun(*full, **named)

        mapped = vmap(lane, axes, out_axes, axis_name, axis_size)
        return mapped(*[args[n] for n in moving], **kwargs)

    lanes.__name__ = getattr(fun, "__name__", "lanes")
    compiled: Callable[..., Any] = jit(
        lanes,
        static_argnums=static,
        donate_argnums=donate_argnums,
        device=devices[0] if devices else None,
        backend=backend,
    )
    return compiled
