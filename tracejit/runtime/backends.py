"""Find backends by their entry points, make each once, and say which there are."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from importlib.metadata import entry_points

from tracejit.backend import Backend
from tracejit.core.errors import TracejitError
from tracejit.core.source import count_as_ours

__all__ = ["BackendError", "backends_made", "get_backend", "known_backends"]

GROUP = "tracejit.backends"

_made: dict[str, Backend] = {}
_lock = threading.Lock()


class BackendError(TracejitError, RuntimeError):
    """No such backend, or it cannot run here; the message says what is missing."""


def known_backends() -> list[str]:
    """Return the names of the backends that are installed."""
    return sorted({e.name for e in entry_points(group=GROUP)})


def backends_made() -> list[Backend]:
    """Return the backends that were asked for so far."""
    return list(_made.values())


def get_backend(name: str) -> Backend:
    """Return the backend `name`, made on first use.

    Raises
    ------
    BackendError
        If it is not installed, or not available on this machine.
    """
    found = _made.get(name)
    if found is not None:
        return found
    with _lock:
        if name in _made:
            return _made[name]
        points = entry_points(group=GROUP, name=name)
        if not points:
            raise BackendError(
                f"there is no backend {name!r}; installed: "
                f"{', '.join(known_backends()) or 'none'}. Entry points are read at installation: "
                "after adding one, install it again."
            )
        make: Callable[[], Backend] = next(iter(points)).load()
        backend = make()
        missing = backend.is_available()
        if missing:
            raise BackendError(f"the backend {name!r} cannot run here: {missing}")
        package = sys.modules.get(make.__module__.partition(".")[0])
        for folder in getattr(package, "__path__", ()):
            count_as_ours(folder)  # its frames, when it calls back
        _made[name] = backend
        return backend
