"""Native calls of jitted functions: what a signature is to the backend that answers them.

Where the host's backend can, a call of a known signature goes from CPython to the plan without a
line of Python; :mod:`tracejit.runtime.dispatch` is what takes over elsewhere, and the general path
in :mod:`tracejit.runtime.jit` after it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.backend.calls import FastCalls, Node, Result
from tracejit.backend.heap_type import callable_subclass, is_supported
from tracejit.core.array import Array, Uncommitted
from tracejit.core.devices import default_place
from tracejit.core.interpreter import current
from tracejit.core.keyarray import KeyArray
from tracejit.core.pytree import PyTreeDef
from tracejit.core.scalars import PYTHON_SCALARS
from tracejit.core.tracer import get_aval
from tracejit.runtime.backends import get_backend
from tracejit.runtime.dispatch import UnsupportedStructure, plain_result
from tracejit.runtime.executor import CompiledProgram
from tracejit.runtime.placement import HOST_BACKEND

__all__ = ["fast_calls", "fast_type", "make_record"]

MAX_LEAVES = 256

_SCALARS = {bool: "bool", int: "int", float: "float"}


@functools.cache
def fast_calls() -> FastCalls | None:
    """Return what makes calls native, or None where nothing does."""
    return get_backend(HOST_BACKEND).fast_calls(Array, current, default_place)


@functools.cache
def fast_type(base: type) -> type:
    """Return the class of functions whose calls may become native, or `base` where none do."""
    return callable_subclass(base) if is_supported() else base


def _argument(x: Any) -> Node:
    kind = type(x)
    if kind is Array or kind is Uncommitted:
        if x.aval.device is not None:
            raise UnsupportedStructure
        return Node("array", (kind, x.aval))
    if kind is np.ndarray:
        return Node("ndarray", (x.dtype, x.shape))
    if kind in _SCALARS:
        if get_aval(x).dtype is not PYTHON_SCALARS[kind].dtype:  # an int beyond int64, float32
            raise UnsupportedStructure
        return Node(_SCALARS[kind])
    return _container(x, _argument)


def _container(x: Any, item: Any) -> Node:
    kind = type(x)
    if kind is tuple or kind is list:
        return Node(kind.__name__, None, tuple(map(item, x)))
    if kind is dict and all(type(key) is str for key in x):
        keys = tuple(sorted(x))
        return Node("dict", keys, tuple([item(x[key]) for key in keys]))
    if x is None:
        return Node("none")
    if kind is KeyArray:
        return Node("holder", (KeyArray, "words"), (item(x.words),))
    raise UnsupportedStructure


def _result(x: Any) -> Node:
    return Node("array") if type(x) is int else _container(x, _result)


def _has_array(nodes: Sequence[Node]) -> bool:
    return any(
        (n.kind == "array" and n.key[0] is Array) or _has_array(n.items) for n in nodes
    )


def make_record(
    args: tuple[Any, ...], ready: CompiledProgram, out_treedef: PyTreeDef, fixed: bool
) -> Any | None:
    """Return the record of calls with arguments like these, or None if they are left to Python.

    Parameters
    ----------
    args : tuple
        Positional arguments of a call.
    ready : CompiledProgram
        What to run; its inputs are the leaves of `args`.
    out_treedef : PyTreeDef
        The structure of the result.
    fixed : bool
        Whether the function runs on one device whatever its arguments are.
    """
    plan = ready.plan
    calls = None if ready.place is not None else fast_calls()
    if calls is None or plan.aliases or len(plan.inputs) + len(plan.outputs) > MAX_LEAVES:
        return None
    outputs = [
        Result(aval, aval.shape, aval.dtype, ready.allocator(n))
        for n, aval in enumerate(ready.out_avals)
    ]
    try:
        arguments = [_argument(x) for x in args]
        result = _result(plain_result(out_treedef, len(outputs)))
    except UnsupportedStructure:
        return None
    anywhere = fixed or _has_array(arguments)
    if not anywhere and default_place.get() is not None:
        return None
    return calls.record(arguments, result, outputs, ready.executable, anywhere)
