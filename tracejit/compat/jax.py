"""``import jax`` means tracejit, once :func:`install` is called, until :func:`uninstall`.

So that programs and libraries written for JAX run unchanged::

    import tracejit.compat.jax
    tracejit.compat.jax.install()
    import jax, jax.numpy as jnp, optax

``jax.X.Y`` is ``tracejit.X.Y`` with few additions: ``jax.Array`` has traced arrays as instances,
too, ``jax.typeof(x)`` has a sharding, ``jax.config`` sets what we have a setting for, and
``jax.__version__`` is the version whose names we follow.  Types are ours: Python floats are float64
and integers int64, as with ``jax_enable_x64``; NumPy's promotion holds.  What JAX does not document
is not here (``jax._src``, ``jax.interpreters``, ``jax.extend``), nor what compiles for its
compiler.
"""

from __future__ import annotations

import abc
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.compat.jax_config import Config, checking_leaks, debug_nans, enable_x64
from tracejit.core.array import Array
from tracejit.core.keyarray import KeyArray
from tracejit.core.shardings import Mesh, NamedSharding, PartitionSpec
from tracejit.core.tracer import Tracer, get_aval
from tracejit.runtime.jit import jit
from tracejit.runtime.meshes import shard_map
from tracejit.transforms.abstract import ShapeDtypeStruct

__all__ = ["install", "installed", "uninstall"]

VERSION = (0, 10, 2)
"""The version of JAX whose names these are."""

_NAME = "jax"


class _AnyArray(abc.ABC):  # noqa: B024  (classes are registered with it)
    """What ``isinstance(x, jax.Array)`` asks for: an array, traced or not."""

    at = Array.at  # type: ignore[attr-defined]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Refuse as Array does."""
        return Array(*args, **kwargs)


_AnyArray.register(Array)
_AnyArray.register(Tracer)
_AnyArray.register(KeyArray)  # JAX's keys are arrays, too
_AnyArray.__name__ = _AnyArray.__qualname__ = "Array"


_NO_MESH = NamedSharding(Mesh(np.empty(0, object), "none"), PartitionSpec())


class _Type(ShapeDtypeStruct):
    """What ``jax.typeof`` returns: shape, dtype, and the sharding, which is on no mesh."""

    __slots__ = ()

    @property
    def sharding(self) -> NamedSharding:
        """A sharding whose mesh is empty, as JAX's is of an array that was not spread."""
        return _NO_MESH


def _typeof(x: Any) -> _Type:
    """Return the type of an array, traced or not."""
    aval = get_aval(x)
    return _Type(aval.shape, aval.dtype, weak_type=aval.weak)


def _additions() -> dict[str, dict[str, Any]]:
    """Return what modules have that ours have not, by name."""
    version = ".".join(map(str, VERSION))
    return {
        "jax": {
            "Array": _AnyArray,
            "__version__": version,
            "__version_info__": VERSION,
            "checking_leaks": checking_leaks,
            "check_tracer_leaks": checking_leaks,
            "config": Config(),
            "debug_nans": debug_nans,
            "enable_x64": enable_x64,
            "typeof": _typeof,
        },
        "jax.numpy": {"ndarray": _AnyArray},
        "jax.experimental": {"enable_x64": enable_x64},
        "jax.experimental.pjit": {"pjit": jit},
        "jax.experimental.shard_map": {"shard_map": shard_map},
        "jax.version": {"__version__": version, "__version_info__": VERSION},
    }


class _Alias(types.ModuleType):
    """A module of JAX's name that has the names of ours."""

    def __init__(self, name: str, ours: Any, more: dict[str, Any]) -> None:
        super().__init__(name, getattr(ours, "__doc__", None))
        self.__path__: list[str] = []  # so that the import of what is below asks our finder
        self._ours = ours
        self.__dict__.update(more)

    def __getattr__(self, name: str) -> Any:
        ours = self.__dict__.get("_ours")
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        found = getattr(ours, name, None)
        if found is None or isinstance(found, types.ModuleType):
            with contextlib.suppress(ModuleNotFoundError):
                return importlib.import_module(f"{self.__name__}.{name}")
        if found is None:
            raise AttributeError(
                f"{self.__name__} of tracejit has no {name!r}; "
                f"{getattr(ours, '__name__', self.__name__)} is what it stands for"
            )
        return found

    def __dir__(self) -> list[str]:
        own = [n for n in self.__dict__ if not n.startswith("_")]
        return sorted({*own, *dir(self._ours)} if self._ours is not None else own)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules of JAX's name."""

    def __init__(self) -> None:
        self._additions = _additions()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how to import a module, or None if it is not ours to find."""
        del path, target
        if fullname != _NAME and not fullname.startswith(f"{_NAME}."):
            return None
        if fullname not in self._additions and _home(fullname) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return the module."""
        return _Alias(spec.name, _home(spec.name), self._additions.get(spec.name, {}))

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: the module is made."""


def _home(fullname: str) -> Any:
    """Return our module of one of JAX's, or what stands for it, or None."""
    ours = "tracejit" + fullname.removeprefix(_NAME)
    try:
        return importlib.import_module(ours)
    except ModuleNotFoundError as error:
        if error.name is None or not ours.startswith(error.name):
            raise
    parent, _, last = ours.rpartition(".")  # such as scipy.stats.norm, which is no module
    try:
        found = getattr(importlib.import_module(parent), last, None)
    except ModuleNotFoundError:
        return None
    return found if isinstance(found, (types.ModuleType, types.SimpleNamespace)) else None


_installed: list[_Finder] = []


def installed() -> bool:
    """Return whether ``import jax`` means tracejit."""
    return bool(_installed)


def install() -> None:
    """Make ``import jax`` mean tracejit in this process.  A second call does nothing.

    Raises
    ------
    RuntimeError
        If JAX itself is imported already: programs would hold parts of both.
    """
    if installed():
        return
    if _NAME in sys.modules:
        raise RuntimeError(
            "jax is imported already; call tracejit.compat.jax.install() before anything that "
            "imports it"
        )
    finder = _Finder()
    _installed.append(finder)
    sys.meta_path.insert(0, finder)


def uninstall() -> None:
    """Undo :func:`install`; modules that were imported meanwhile keep what they hold."""
    if not installed():
        return
    sys.meta_path.remove(_installed.pop())
    for name in [n for n in sys.modules if n == _NAME or n.startswith(f"{_NAME}.")]:
        alias = sys.modules[name]
        if isinstance(alias, _Alias):
            del sys.modules[name]
            config = alias.__dict__.get("config")
            if isinstance(config, Config):
                config.close()
