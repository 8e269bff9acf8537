"""Devices, threads and counters, as users see them."""

from __future__ import annotations

import contextlib
from contextvars import Token
from typing import Any

from tracejit.core.array import Array
from tracejit.core.devices import Device, default_place, device_at, find_device, tally
from tracejit.core.interpreter import bottom
from tracejit.core.pytree import tree_leaves, tree_map
from tracejit.core.settings import amend_settings
from tracejit.core.tracer import Tracer
from tracejit.numpy.promotion import array_of
from tracejit.ops.devices import device_put as device_put_array
from tracejit.runtime.backends import BackendError, backends_made, get_backend, known_backends
from tracejit.runtime.placement import HOST_BACKEND, backend_at

__all__ = [
    "Device",
    "block_until_ready",
    "counters",
    "default_device",
    "device",
    "device_put",
    "devices",
    "release_memory",
    "set_num_threads",
]


def devices(platform: str | None = None) -> list[Device]:
    """Return the devices of a platform.

    Parameters
    ----------
    platform : str, optional
        ``"cpu"`` or ``"cuda"``; by default all that there are, the host first.

    Raises
    ------
    BackendError
        If the platform cannot be used here; says what is missing.
    """
    if platform is not None:
        asked = find_device(platform)
        if asked.place is None:
            return [asked]
        count = get_backend(asked.platform).device_count()
        return [Device(asked.platform, n) for n in range(count)]
    found = [device_at(None)]
    for name in known_backends():
        if name != HOST_BACKEND:
            with contextlib.suppress(BackendError):
                backend = get_backend(name)
                if backend.platform != "cpu":
                    found += [Device(backend.platform, n) for n in range(backend.device_count())]
    return found


def default_device() -> Device:
    """Return the device where arrays are made that no other array draws elsewhere."""
    return device_at(default_place.get())


class device(contextlib.ContextDecorator):
    """Make a device the default one: a context manager, or a decorator of functions.

    Inside, new arrays are made there, and functions of NumPy arrays and scalars alone run there.
    Arrays made before stay where they are.

    Parameters
    ----------
    where : Device or str
        ``"cpu"``, ``"cuda"`` (the first), ``"cuda:1"`` or one of :func:`devices`.

    Raises
    ------
    BackendError, DeviceError
        If there is no such device; says what is missing.

    Examples
    --------
    >>> import tracejit, tracejit.numpy as tnp
    >>> with tracejit.device("cpu"):
    ...     x = tnp.zeros(3)
    >>> x.device
    Device(platform='cpu', id=0)
    """

    def __init__(self, where: Any) -> None:
        self.device = _existing(where)
        self._tokens: list[Token[str | None]] = []

    def _recreate_cm(self) -> device:
        return device(self.device)  # so that a decorated function may run in several threads

    def __enter__(self) -> Device:
        self._tokens.append(default_place.set(self.device.place))
        return self.device

    def __exit__(self, *exc: object) -> None:
        default_place.reset(self._tokens.pop())


def _existing(where: Any) -> Device:
    found = find_device(where)
    if found.place is not None:
        backend_at(found.place)
    return found


def device_put(x: Any, device: Any = None) -> Any:
    """Return a pytree with its leaves as Arrays on a device.

    Parameters
    ----------
    x : pytree of arrays and scalars
        What to move.  A NumPy array is copied; an array that is there already is not.
    device : Device or str, optional
        Where, by default the default device.

    Raises
    ------
    BackendError, DeviceError
        If there is no such device; says what is missing.
    """
    place = _existing(device).place
    return tree_map(lambda leaf: device_put_array(_leaf(leaf), place), x)


def _leaf(x: Any) -> Any:
    return x if isinstance(x, (Array, Tracer)) else array_of(x)


def block_until_ready(x: Any) -> Any:
    """Wait until every array of a pytree is computed, and return the pytree."""
    last = {leaf.aval.device: leaf for leaf in tree_leaves(x) if isinstance(leaf, Array)}
    for leaf in last.values():
        bottom().wait(leaf)
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
    get_backend(HOST_BACKEND).set_num_threads(int(n))
    amend_settings(num_threads=int(n))


def release_memory() -> None:
    """Give memory that is kept for later arrays back to the system, on all devices in use.

    Nothing is reserved ahead: a device's memory is taken as arrays need it, and what they leave is
    kept for the next ones until this is called or the device runs out.
    """
    for backend in backends_made():
        backend.release_memory()


def counters() -> dict[str, int]:
    """Return counters of the process.

    Kernels ``compiled``, found in ``memory`` and on ``disk``, and ``callbacks``, of all backends;
    copies of arrays to devices (``uploads``) and to the host (``downloads``); and eager operations
    that a device's array library lacks, so that they were compiled (``eager_compiled``).
    """
    get_backend(HOST_BACKEND)
    out: dict[str, int] = {}
    for backend in backends_made():
        for name, count in backend.counters().items():
            out[name] = out.get(name, 0) + count
    out["uploads"] = tally.uploads
    out["downloads"] = tally.downloads
    out["eager_compiled"] = tally.eager_compiled
    return out
