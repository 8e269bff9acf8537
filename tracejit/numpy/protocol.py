"""NumPy's own functions on our arrays: ``np.sin(x)`` is recorded as ``tracejit.numpy.sin(x)``.

:func:`install` puts ``__array_ufunc__``, ``__array_function__`` and ``__array_namespace__`` on
Array and Tracer, part of the hook described in :mod:`tracejit.numpy.methods`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array, from_numpy, host_array
from tracejit.core.errors import DTypeError
from tracejit.core.tracer import Tracer
from tracejit.numpy.absent import ABSENT
from tracejit.numpy.creation import committed

__all__ = ["install"]

_SPELLED: dict[str, str] = {"amax": "max", "amin": "min", "around": "round", "absolute": "abs"}

class _Protocol:
    """The functions of the namespace, by the NumPy functions that they stand for."""

    def __init__(
        self,
        namespace: Mapping[str, Any],
        linalg: Mapping[str, Any],
        fft: Mapping[str, Any],
        emath: Mapping[str, Any],
    ) -> None:
        self.namespace = namespace
        self.tables = {"numpy.linalg": linalg, "numpy.fft": fft, "numpy.lib.scimath": emath}

    def find(self, function: Any) -> Callable[..., Any] | None:
        """Return our function for one of NumPy's."""
        name = function.__name__
        home = getattr(function, "__module__", None) or "numpy"  # ufuncs have none
        table = self.namespace if home == "numpy" else self.tables.get(home, {})
        found = table.get(_SPELLED.get(name, name)) or table.get(name)
        return found if callable(found) else None


def _write(out: Any, result: Any) -> Any:
    """Write a concrete result into NumPy arrays given as ``out=``."""
    outs = out if isinstance(out, tuple) else (out,)
    results = result if isinstance(result, (tuple, list)) else (result,)
    for target, value in zip(outs, results, strict=True):
        if target is None:
            continue
        if isinstance(target, (Array, Tracer)):
            raise DTypeError(
                "out= must be a numpy.ndarray: arrays are immutable; write x = f(...) instead"
            )
        if isinstance(value, Tracer):
            if value.concrete is None:
                value._refuse("out=", "Use the result instead of writing it into an ndarray.")
            value = value.concrete
        np.copyto(target, host_array(value), casting="same_kind")
    return out[0] if isinstance(out, tuple) and len(out) == 1 else out


def _values(inputs: Sequence[Any]) -> list[Any] | None:
    """Return the operands on the host, or None if one is traced or elsewhere."""
    if any(isinstance(x, Tracer) for x in inputs):
        return None
    if any(isinstance(x, Array) and x.aval.device is not None for x in inputs):
        return None
    return [host_array(x) if isinstance(x, Array) else x for x in inputs]


def _made(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(map(_made, result))
    return committed(from_numpy(np.asarray(result)))


def _refuse(name: str) -> Any:
    why = ABSENT.get(name)
    raise DTypeError(
        f"numpy.{name} does not take an array of tracejit: "
        + (f"{why}. " if why else "tracejit.numpy has no function of that name. ")
        + "Write it with functions of tracejit.numpy (they have NumPy's names), or convert the "
        "array first: numpy.asarray(x)."
    )


def _ufunc(protocol: _Protocol) -> Callable[..., Any]:
    def __array_ufunc__(self: Any, ufunc: Any, method: str, *inputs: Any, **how: Any) -> Any:
        del self
        out = how.pop("out", None)
        name = ufunc.__name__
        function = protocol.find(ufunc)
        if method != "__call__":
            if method == "at":
                return _refuse("ufunc.at, which writes into its argument,")
            function = getattr(function, method, None)
        if function is None and getattr(np, name, None) is not ufunc:
            values = _values(inputs)
            if values is not None:  # of another library: evaluated at once, as it would be
                found = _made(getattr(ufunc, method)(*values, **how))
                return found if out is None else _write(out, found)
        if function is None:
            return _refuse(name if method == "__call__" else f"{name}.{method}")
        for default in ("casting", "order", "subok", "signature"):
            how.pop(default, None)
        result = function(*inputs, **how)
        return result if out is None else _write(out, result)

    return __array_ufunc__


def _function(protocol: _Protocol) -> Callable[..., Any]:
    def __array_function__(
        self: Any, func: Any, types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        del self, types
        function = protocol.find(func)
        if function is None:
            return _refuse(func.__name__)
        how = dict(kwargs)
        out = how.pop("out", None)
        how.pop("like", None)
        how.pop("subok", None)
        how = {k: v for k, v in how.items() if v is not np._NoValue}
        result = function(*args, **how)
        return result if out is None else _write(out, result)

    return __array_function__


def install(
    namespace: Mapping[str, Any],
    linalg: Mapping[str, Any],
    fft: Mapping[str, Any],
    emath: Mapping[str, Any],
    module: Any,
) -> None:
    """Put NumPy's protocols on Array and Tracer.

    Parameters
    ----------
    namespace, linalg, fft, emath : mapping
        The functions of ``tracejit.numpy``, and of its modules of these names.
    module : module
        What ``__array_namespace__`` returns.
    """
    protocol = _Protocol(namespace, linalg, fft, emath)

    def __array_namespace__(self: Any, *, api_version: str | None = None) -> Any:
        del self, api_version
        return module

    methods: dict[str, Callable[..., Any]] = {
        "__array_ufunc__": _ufunc(protocol),
        "__array_function__": _function(protocol),
        "__array_namespace__": __array_namespace__,
    }
    for cls in (Array, Tracer):
        for name, method in methods.items():
            setattr(cls, name, method)
