"""LLVM assembly text: types, constants, and code that grows at its end.

Instructions are f-strings; nothing here knows kernels.  A :class:`Module` hands out names and
gathers declarations and helper definitions; a :class:`Code` is a run of instructions whose last
basic block is open.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tracejit.ir.dtypes import DTYPES, is_bool, is_float

__all__ = [
    "Code",
    "Module",
    "constant",
    "element",
    "float_text",
    "integers",
    "memory",
    "spread",
    "suffix",
    "vector",
]

_ELEMENTS = {
    DTYPES[short]: text
    for short, text in {
        "bool": "i1", "i8": "i8", "i16": "i16", "i32": "i32", "i64": "i64",
        "u8": "i8", "u16": "i16", "u32": "i32", "u64": "i64",
        "f16": "i16", "bf16": "i16", "f32": "float", "f64": "double",
    }.items()
}  # fmt: skip
_SUFFIXES = {"float": "f32", "double": "f64", "half": "f16"}


def element(dtype: np.dtype[Any]) -> str:
    """Return the type of one value; float16 and bfloat16 are carried as their bits."""
    return _ELEMENTS[dtype]


def memory(dtype: np.dtype[Any]) -> str:
    """Return the type of one element in memory."""
    return "i8" if is_bool(dtype) else _ELEMENTS[dtype]


def vector(scalar: str, lanes: int) -> str:
    """Return the type of `lanes` values, or of one if `lanes` is 0."""
    return f"<{lanes} x {scalar}>" if lanes else scalar


def suffix(scalar: str, lanes: int) -> str:
    """Return the suffix of the name of an intrinsic, such as ``v8f64``."""
    name = _SUFFIXES.get(scalar, scalar)
    return f"v{lanes}{name}" if lanes else name


def float_text(x: float, scalar: str) -> str:
    """Return a float literal of type ``float`` or ``double``, exactly."""
    if scalar == "float":
        with np.errstate(all="ignore"):
            x = float(np.float32(x))
    return f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"


def constant(value: Any, dtype: np.dtype[Any]) -> str:
    """Return a scalar literal."""
    if is_bool(dtype):
        return "true" if value else "false"
    if dtype in (DTYPES["f16"], DTYPES["bf16"]):
        return str(int(np.asarray(value, dtype).view(np.int16)))
    if is_float(dtype):
        return float_text(float(value), element(dtype))
    bits = 8 * dtype.itemsize
    wrapped = int(value) & ((1 << bits) - 1)
    return str(wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped)


def spread(literal: str, scalar: str, lanes: int) -> str:
    """Return a literal in all lanes."""
    return f"splat ({scalar} {literal})" if lanes else literal


def integers(values: Iterable[int], scalar: str) -> str:
    """Return a vector literal of integers."""
    return "<" + ", ".join(f"{scalar} {v}" for v in values) + ">"


class Module:
    """Names, declarations and helper functions of one module."""

    def __init__(self) -> None:
        self.count = 0
        self.declarations: dict[str, None] = {}
        self.definitions: dict[str, str] = {}
        self._constants: dict[tuple[str, str], str] = {}

    def fresh(self) -> int:
        """Return a number not used before."""
        self.count += 1
        return self.count

    def declare(self, result: str, name: str, parameters: Sequence[str]) -> None:
        """Declare a function."""
        self.declarations[f"declare {result} @{name}({', '.join(parameters)})"] = None

    def constant(self, kind: str, literal: str) -> str:
        """Return the address of a literal in memory."""
        return self._constants.setdefault((kind, literal), f"@literal{len(self._constants)}")

    def tail(self) -> str:
        """Return functions, declarations, literals, and ``!0``: what is rare, at a branch."""
        rare = '!0 = !{!"branch_weights", i32 1, i32 1048576}'
        literals = [
            f"{name} = private unnamed_addr constant {kind} {literal}"
            for (kind, literal), name in self._constants.items()
        ]
        return "\n".join([*self.definitions.values(), *self.declarations, *literals, rare, ""])


class Code:
    """Instructions that end in an open basic block, whose label is `label`."""

    __slots__ = ("label", "lines", "module")

    def __init__(self, module: Module, label: str) -> None:
        self.module = module
        self.label = label
        self.lines: list[str] = []

    def op(self, text: str) -> str:
        """Append an instruction and return the name of its result."""
        module = self.module
        module.count += 1
        name = f"%v{module.count}"
        self.lines.append(f"  {name} = {text}")
        return name

    def line(self, text: str) -> None:
        """Append an instruction without a result."""
        self.lines.append(f"  {text}")

    def start(self, label: str) -> None:
        """Start a basic block."""
        self.lines.append(f"{label}:")
        self.label = label

    def call(self, result: str, name: str, *arguments: tuple[str, str], flags: str = "") -> str:
        """Declare and call a function; `arguments` are pairs of a type and a value."""
        self.module.declare(result, name, [t for t, _ in arguments])
        values = ", ".join(f"{t} {v}" for t, v in arguments)
        return self.op(f"call {flags}{result} @{name}({values})")
