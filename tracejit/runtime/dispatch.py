"""The fast path of a jitted call: a function written for one signature.

Guards are unrolled for the structure and avals of the signature (one pointer comparison a leaf),
so a call of a small kernel costs about a microsecond.  What does not match returns :data:`MISS`,
and the general path in :mod:`tracejit.runtime.jit` takes over; it understands every structure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.core.array import Array, Uncommitted, set_aval, set_buf
from tracejit.core.array import new_array as new
from tracejit.core.devices import default_place
from tracejit.core.keyarray import KeyArray
from tracejit.core.pytree import PyTreeDef, tree_flatten
from tracejit.core.tracer import get_aval
from tracejit.ir.avals import ShapedArray
from tracejit.runtime.executor import CompiledProgram
from tracejit.runtime.placement import buffer_at, put

__all__ = ["MISS", "UnsupportedStructure", "make_dispatcher", "plain_result"]

MISS: Any = object()
"""Returned by a dispatcher whose guards did not hold."""

_SCALARS = (bool, int, float, complex)
MAX_LEAVES = 64


class UnsupportedStructure(Exception):
    """The structure is left to the general path."""


def plain_result(out_treedef: PyTreeDef, count: int) -> Any:
    """Return a result with numbers for its leaves.

    Raises
    ------
    UnsupportedStructure
        If it does not flatten to what it was made from.
    """
    example = out_treedef.unflatten(range(count))
    if tree_flatten(example)[1] is not out_treedef:
        raise UnsupportedStructure
    return example


class _Writer:
    def __init__(self, place: str | None) -> None:
        self.place = place
        self.placed = False
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self.buffers: list[str] = []
        self.fresh = 0

    def constant(self, value: Any) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def name(self) -> str:
        self.fresh += 1
        return f"v{self.fresh}"

    def line(self, text: str) -> None:
        self.lines.append("    " + text)

    def guard(self, test: str) -> None:
        self.line(f"if {test}: return MISS")

    def match(self, name: str, x: Any) -> None:
        """Write the guards for an argument like `x`, and collect its buffers."""
        kind = type(x)
        if kind is Array or kind is Uncommitted:
            self._array(name, x)
        elif kind is np.ndarray:
            self._ndarray(name, x)
        elif kind in _SCALARS:
            dtype = get_aval(x).dtype
            if kind is int and dtype.kind == "u":
                raise UnsupportedStructure
            self.guard(f"type({name}) is not {kind.__name__}")
            if kind is int:
                self.guard(f"not -9223372036854775808 <= {name} < 9223372036854775808")
            if self.place is None:
                self.buffers.append(f"array({name}, {self.constant(dtype)})")
            else:
                aval = self.constant(ShapedArray((), dtype))
                self.buffers.append(f"buffer_at({name}, {aval}, {self.place!r})")
        elif kind is tuple or kind is list:
            self.guard(f"type({name}) is not {kind.__name__} or len({name}) != {len(x)}")
            names = [self.name() for _ in x]
            if names:
                self.line(f"{', '.join(names)}, = {name}")
            for inner, y in zip(names, x, strict=True):
                self.match(inner, y)
        elif kind is dict and all(type(key) is str for key in x):
            self.guard(f"type({name}) is not dict or len({name}) != {len(x)}")
            for key in sorted(x):
                inner = self.name()
                self.line(f"{inner} = {name}.get({key!r})")
                self.match(inner, x[key])
        elif x is None:
            self.guard(f"{name} is not None")
        elif kind is KeyArray:
            self.guard(f"type({name}) is not KeyArray")
            inner = self.name()
            self.line(f"{inner} = {name}.words")
            self.match(inner, x.words)
        else:
            raise UnsupportedStructure

    def read(self, host: str) -> None:
        """Make an expression of a host array the next buffer."""
        if self.place is not None:
            host = f"put({host}, {self.place!r})"
        self.buffers.append(host)

    def _array(self, name: str, x: Array) -> None:
        kind = type(x).__name__
        self.guard(f"type({name}) is not {kind} or {name}.aval is not {self.constant(x.aval)}")
        self.placed = self.placed or kind == "Array"
        if x.aval.device == self.place:
            self.buffers.append(f"{name}.buf")
        elif x.aval.device is None:
            self.read(f"{name}.buf")
        else:
            raise UnsupportedStructure

    def _ndarray(self, name: str, x: np.ndarray[Any, Any]) -> None:
        self.guard(
            f"type({name}) is not ndarray or {name}.dtype is not {self.constant(x.dtype)} "
            f"or {name}.shape != {x.shape!r}"
        )
        flags = self.name()
        self.line(f"{flags} = {name}.flags")
        self.guard(f"not ({flags}.c_contiguous and {flags}.aligned)")
        self.read(name)

    def result(self, tree: Any, leaves: Sequence[str]) -> str:
        """Return the expression that builds the result from its leaves."""
        rest = iter(leaves)

        def build(x: Any) -> str:
            kind = type(x)
            if kind is tuple:
                inner = ", ".join(build(y) for y in x)
                return f"({inner}{',' if len(x) == 1 else ''})"
            if kind is list:
                return f"[{', '.join(build(y) for y in x)}]"
            if kind is dict and all(type(key) is str for key in x):
                return "{" + ", ".join(f"{key!r}: {build(x[key])}" for key in sorted(x)) + "}"
            if x is None:
                return "None"
            if kind is KeyArray:
                return f"KeyArray({build(x.words)})"
            if kind is int:
                return next(rest)
            raise UnsupportedStructure

        return build(tree)


def make_dispatcher(
    args: tuple[Any, ...], ready: CompiledProgram, out_treedef: PyTreeDef, fixed: bool
) -> Callable[[tuple[Any, ...]], Any] | None:
    """Return ``dispatch(args)`` for arguments like these, or ``None`` if it is left to others.

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
    if ready.plan.aliases or len(ready.plan.inputs) + len(ready.plan.outputs) > MAX_LEAVES:
        return None
    w = _Writer(ready.place)
    try:
        w.guard(f"len(args) != {len(args)}")
        names = [w.name() for _ in args]
        if names:
            w.line(f"{', '.join(names)}, = args")
        for name, x in zip(names, args, strict=True):
            w.match(name, x)
        if not (w.placed or fixed):
            w.guard(f"default_place() != {default_place.get()!r}")
        outputs = []
        for n in range(len(ready.out_avals)):
            w.line(f"o{n} = {w.constant(ready.allocator(n))}()")
            outputs.append(f"o{n}")
        w.line(f"execute([{', '.join(w.buffers)}], [{', '.join(outputs)}])")
        for n, aval in enumerate(ready.out_avals):
            w.line(f"r{n} = new(Array)")
            w.line(f"set_aval(r{n}, {w.constant(aval)})")
            w.line(f"set_buf(r{n}, o{n})")
        example = plain_result(out_treedef, len(outputs))
        w.line(f"return {w.result(example, [f'r{n}' for n in range(len(outputs))])}")
    except UnsupportedStructure:
        return None
    scope: dict[str, Any] = {
        **w.names,
        "Array": Array,
        "KeyArray": KeyArray,
        "MISS": MISS,
        "Uncommitted": Uncommitted,
        "array": np.array,
        "buffer_at": buffer_at,
        "default_place": default_place.get,
        "execute": ready.executable,
        "ndarray": np.ndarray,
        "new": new,
        "put": put,
        "set_aval": set_aval,
        "set_buf": set_buf,
    }
    source = "\n".join(["def dispatch(args):", *w.lines])
    exec(compile(source, "<tracejit dispatcher>", "exec"), scope)
    dispatcher: Callable[[tuple[Any, ...]], Any] = scope["dispatch"]
    return dispatcher
