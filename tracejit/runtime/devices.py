"""Devices, threads and counters, as users see them."""

from __future__ import annotations

import contextlib
from contextvars import Token
from typing import Any

import numpy as np

from tracejit.core.array import Array
from tracejit.core.devices import Device, default_place, device_at, find_device, tally
from tracejit.core.interpreter import bottom, interpreting
from tracejit.core.pytree import tree_leaves, tree_map
from tracejit.core.settings import amend_settings
from tracejit.core.tracer import Tracer
from tracejit.numpy.creation import zeros
from tracejit.numpy.promotion import array_of
from tracejit.ops.devices import device_put as device_put_array
from tracejit.runtime.backends import BackendError, backends_made, get_backend, known_backends
from tracejit.runtime.placement import HOST_BACKEND, backend_at

__all__ = [
    "Device",
    "block_until_ready",
    "counters",
    "default_backend",
    "default_device",
    "device",
    "device_count",
    "device_get",
    "device_put",
    "devices",
    "effects_barrier",
    "ensure_compile_time_eval",
    "local_device_count",
    "local_devices",
    "process_count",
    "process_index",
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


def device_get(x: Any) -> Any:
    """Return a pytree with its Arrays as NumPy arrays, which cannot be written to.

    Parameters
    ----------
    x : pytree
        Other leaves stay as they are.
    """
    return tree_map(lambda leaf: np.asarray(leaf) if isinstance(leaf, Array) else leaf, x)


def default_backend() -> str:
    """Return the platform where arrays are made: ``"cpu"`` or ``"cuda"``."""
    return default_device().platform


def device_count(backend: str | None = None) -> int:
    """Return how many devices a platform has, by default that of :func:`default_backend`."""
    return len(devices(backend or default_backend()))


def local_devices(
    process_index: int | None = None, backend: str | None = None, host_id: int | None = None
) -> list[Device]:
    """Return the devices of a platform: all of them, for there is one process.

    Raises
    ------
    ValueError
        If another process than 0 is asked for.
    """
    if process_index or host_id:
        raise ValueError(f"there is one process, 0; got {process_index or host_id}")
    return devices(backend or default_backend())


def local_device_count(backend: str | None = None) -> int:
    """Return :func:`device_count`, for there is one process."""
    return device_count(backend)


def process_count(backend: str | None = None) -> int:
    """Return 1: programs run in one process."""
    del backend
    return 1


def process_index(backend: str | None = None) -> int:
    """Return 0: programs run in one process."""
    del backend
    return 0


def effects_barrier() -> None:
    """Wait until what was begun on every device is done; effects on the host are done already."""
    for found in devices():
        if found.place is not None:
            bottom().wait(zeros((), device=found))


class ensure_compile_time_eval(contextlib.ContextDecorator):
    """Evaluate operations at once inside the block, also while a function is traced.

    Only on values that are known: an operation on a tracer raises.

    Examples
    --------
    >>> import tracejit, tracejit.numpy as tnp
    >>> @tracejit.jit
    ... def f(x):
    ...     with tracejit.ensure_compile_time_eval():
    ...         n = int(tnp.sqrt(tnp.array(9.0)))
    ...     return x * n
    """

    def __init__(self) -> None:
        self._inside: list[interpreting] = []

    def _recreate_cm(self) -> ensure_compile_time_eval:
        return ensure_compile_time_eval()

    def __enter__(self) -> None:
        block = interpreting(bottom())
        block.__enter__()
        self._inside.append(block)

    def __exit__(self, *exc: object) -> None:
        self._inside.pop().__exit__(*exc)


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
