"""The libraries compared: which are installed, how each takes its arrays and gives its results."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["NAMES", "Peer", "installed", "load"]

NAMES = ("tracejit", "numpy", "jax", "numba", "torch")
Function = Callable[..., Any]


@dataclass(frozen=True)
class Peer:
    """A library.

    Attributes
    ----------
    name : str
        Its import name.
    version : str
        Its version.
    array : callable
        Make its array of a NumPy array.
    ready : callable
        Wait for a result.
    host : callable
        Make a NumPy array of its array.
    """

    name: str
    version: str
    array: Function
    ready: Function
    host: Function


def installed() -> list[str]:
    """Return the names of the libraries that are installed, tracejit and NumPy first."""
    return [name for name in NAMES if importlib.util.find_spec(name) is not None]


def load(name: str, threads: int | None = None) -> Peer:
    """Import a library and set it up: double precision, and the number of threads if given.

    Must be called before anything else imports JAX or Numba: their threads are set at import.
    """
    if threads is not None:
        os.environ.setdefault("NUMBA_NUM_THREADS", str(threads))
    if name == "jax" and threads is not None:
        flags = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
        os.environ.setdefault("NPROC", str(threads))
    library = importlib.import_module(name)
    version = str(getattr(library, "__version__", "?"))
    if name == "tracejit":
        numpy_api = importlib.import_module("tracejit.numpy")
        if threads is not None:
            library.set_num_threads(threads)
        return Peer(name, version, numpy_api.asarray, library.block_until_ready, np.asarray)
    if name == "jax":
        library.config.update("jax_enable_x64", True)
        numpy_api = importlib.import_module("jax.numpy")
        return Peer(name, version, numpy_api.asarray, library.block_until_ready, np.asarray)
    if name == "torch":
        if threads is not None:
            library.set_num_threads(threads)
        return Peer(name, version, library.from_numpy, _same, lambda x: x.numpy())
    return Peer(name, version, _same, _same, np.asarray)


def _same(value: Any) -> Any:
    return value
