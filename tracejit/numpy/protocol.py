"""NumPy's own functions on our arrays: ``np.sin(x)`` is recorded as ``tracejit.numpy.sin(x)``.

:func:`install` puts ``__array_ufunc__``, ``__array_function__`` and ``__array_namespace__`` on
Array and Tracer, part of the hook described in :mod:`tracejit.numpy.methods`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array, host_array
from tracejit.core.errors import DTypeError
from tracejit.core.tracer import Tracer

__all__ = ["install"]

_SPELLED: dict[str, str] = {"amax": "max", "amin": "min", "around": "round", "absolute": "abs"}
# np.<ufunc>.reduce and the like, by the function that means the same
_REDUCTIONS = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_and": "all",
    "logical_or": "any",
}
_ACCUMULATIONS = {"add": "cumsum", "multiply": "cumprod"}


class _Protocol:
    """The functions of the namespace, by the NumPy functions that they stand for."""

    def __init__(
        self,
        namespace: Mapping[str, Any],
        linalg: Mapping[str, Any],
        fft: Mapping[str, Any],
        module: Any,
    ) -> None:
        self.namespace = namespace
        self.linalg = linalg
        self.fft = fft
        self.module = module

    def find(self, function: Any) -> Callable[..., Any] | None:
        """Return our function for one of NumPy's."""
        name = function.__name__
        home = getattr(function, "__module__", "")
        table = self.linalg if "linalg" in home else self.namespace
        table = self.fft if "fft" in home else table
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


def _refuse(function: Any, name: str) -> Any:
    raise DTypeError(
        f"numpy.{name} cannot be recorded on {'a traced' if function else 'an'} array, for "
        f"tracejit.numpy has no function of that name. Write it with functions of tracejit.numpy "
        f"(they have NumPy's names), or convert the array first: numpy.asarray(x)."
    )


def _ufunc(protocol: _Protocol) -> Callable[..., Any]:
    def __array_ufunc__(self: Any, ufunc: Any, method: str, *inputs: Any, **how: Any) -> Any:
        del self
        out = how.pop("out", None)
        name = ufunc.__name__
        if method == "__call__":
            function = protocol.find(ufunc)
        elif method == "reduce" and name in _REDUCTIONS:
            function = protocol.namespace[_REDUCTIONS[name]]
            if len(inputs) == 1:
                how.setdefault("axis", 0)
        elif method == "accumulate" and name in _ACCUMULATIONS:
            function = protocol.namespace[_ACCUMULATIONS[name]]
            if len(inputs) == 1:
                how.setdefault("axis", 0)
        elif method == "outer" and len(inputs) == 2:
            return _outer(protocol, ufunc, inputs)
        else:
            function = None
        if function is None:
            return _refuse(None, name if method == "__call__" else f"{name}.{method}")
        for default in ("casting", "order", "subok"):
            how.pop(default, None)
        result = function(*inputs, **how)
        return result if out is None else _write(out, result)

    return __array_ufunc__


def _outer(protocol: _Protocol, ufunc: Any, inputs: Sequence[Any]) -> Any:
    function = protocol.find(ufunc)
    if function is None:
        return _refuse(None, f"{ufunc.__name__}.outer")
    x, y = (protocol.namespace["asarray"](v) for v in inputs)
    return function(protocol.namespace["reshape"](x, x.shape + (1,) * y.ndim), y)


def _function(protocol: _Protocol) -> Callable[..., Any]:
    def __array_function__(
        self: Any, func: Any, types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        del self, types
        function = protocol.find(func)
        if function is None:
            return _refuse(None, func.__name__)
        how = dict(kwargs)
        out = how.pop("out", None)
        how.pop("like", None)
        how.pop("subok", None)
        how = {k: v for k, v in how.items() if v is not np._NoValue}
        result = function(*args, **how)
        return result if out is None else _write(out, result)

    return __array_function__


def install(
    namespace: Mapping[str, Any], linalg: Mapping[str, Any], fft: Mapping[str, Any], module: Any
) -> None:
    """Put NumPy's protocols on Array and Tracer.

    Parameters
    ----------
    namespace, linalg, fft : mapping
        The functions of ``tracejit.numpy``, of its ``linalg`` and of its ``fft``.
    module : module
        What ``__array_namespace__`` returns.
    """
    protocol = _Protocol(namespace, linalg, fft, module)

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
