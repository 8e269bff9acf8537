"""Operations as functions: for code that is to be short, not to be the quickest.

In a kernel that uses a mathematical function often it is a function of the same module.  Kernels
that are compiled the quick way call functions that are compiled once for all of them: mathematical
ones, and those on vectors of which only the first lanes are in memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tracejit_llvm.scalars import pointwise
from tracejit_llvm.text import Code, Module, element, integers, suffix, vector

__all__ = [
    "COMMON",
    "define",
    "function_name",
    "module_text",
    "needed",
    "vector_function",
]

_NAME = re.compile(rb"\b(math|part)_([a-z0-9]+)_(?:v(\d+))?([fi])(\d+)\b")
_BINARY = frozenset(("atan2", "copysign", "hypot", "max", "min", "pow", "quot", "rem"))
_FLOATS = {"32": "float", "64": "double"}


def function_name(op: str, scalar: str, lanes: int) -> str:
    """Return the name of an operation as a function of vectors, or of scalars if `lanes` is 0."""
    return f"math_{op}_{suffix(scalar, lanes)}"


def vector_function(kind: str, scalar: str, lanes: int) -> str:
    """Return the name of a function on vectors of which only the first lanes are in memory.

    Parameters
    ----------
    kind : {"load", "store", "fill"}
        ``load(ptr, i64)`` returns a vector of the numbers at an address, so many of them;
        ``store(vector, ptr, i64)`` writes them; ``fill(ptr, ptr, i64)`` makes vectors of so many
        doubles at the second address, each spread to all lanes, at the first one.
    scalar : str
        The type of a lane in memory.
    lanes : int
        How many lanes a vector has.
    """
    return f"part_{kind}_{suffix(scalar, lanes)}"


COMMON = tuple(
    [vector_function(kind, scalar, 64 // size)
     for scalar, size in (("double", 8), ("float", 4), ("i64", 8), ("i32", 4))
     for kind in ("load", "store")]
    + [vector_function("fill", scalar, lanes) for scalar, lanes in (("double", 8), ("float", 16))]
    + [function_name(op, scalar, lanes) for op in ("max", "min")
       for scalar, lanes in (("double", 8), ("float", 16))]
)  # fmt: skip
"""Functions that most kernels of this kind call."""


def define(
    module: Module,
    op: str,
    dtype: np.dtype[np.floating],
    lanes: int,
    arity: int,
    internal: bool = False,
) -> str:
    """Define such a function in a module, if it is not there yet; return its name.

    One that is `internal` is known in the module alone, by a name of its own.
    """
    name = function_name(op, element(dtype), lanes)
    how = ""
    if internal:
        name, how = f"own_{name}", "internal "
    if name in module.definitions:
        return name
    full = vector(element(dtype), lanes)
    body = Code(module, "entry")
    parameters = tuple(f"%x{n}" for n in range(arity))
    module.definitions[name] = ""  # its place, before what it defines itself
    result = pointwise(body, op, dtype, lanes, parameters)
    typed = ", ".join(f"{full} {p}" for p in parameters)
    body.line(f"ret {full} {result}")
    head = f"define {how}{full} @{name}({typed}) nounwind {{"
    module.definitions[name] = "\n".join([head, "entry:", *body.lines, "}"])
    return name


def needed(image: bytes) -> Sequence[str]:
    """Return the names of such functions that stand in an object, or in a text."""
    return sorted({found.group().decode() for found in _NAME.finditer(image)})


def module_text(*names: str) -> str:
    """Return the text of a module that defines functions by their names."""
    module = Module()
    for name in names:
        found = _NAME.fullmatch(name.encode())
        assert found is not None
        family, op, lanes, letter, bits = (x.decode() for x in found.groups(b"0"))
        scalar = _FLOATS[bits] if letter == "f" else f"i{bits}"
        if family == "part":
            module.definitions[name] = _DEFINITIONS[op](module, name, scalar, int(lanes))
            continue
        arity = 2 if op in _BINARY else 1
        define(module, op, np.dtype(f"float{bits}"), int(lanes), arity)
    return module.tail()


def _mask(code: Code, left: str, lanes: int) -> str:
    """Return the first lanes, so many or all."""
    few = code.op(f"icmp slt i64 {left}, {lanes}")
    count = code.op(f"select i1 {few}, i64 {left}, i64 {lanes}")
    limit = _spread(code, code.op(f"trunc i64 {count} to i32"), "i32", lanes)
    places = integers(range(lanes), "i32")
    return code.op(f"icmp slt {vector('i32', lanes)} {places}, {limit}")


def _spread(code: Code, x: str, scalar: str, lanes: int) -> str:
    full = vector(scalar, lanes)
    one = code.op(f"insertelement {full} poison, {scalar} {x}, i64 0")
    return code.op(
        f"shufflevector {full} {one}, {full} poison, <{lanes} x i32> zeroinitializer"
    )


def _load(module: Module, name: str, scalar: str, lanes: int) -> str:
    full, code = vector(scalar, lanes), Code(module, "entry")
    loaded = code.call(
        full, f"llvm.masked.load.{suffix(scalar, lanes)}.p0", ("ptr", "%at"),
        ("i32", str(_bytes(scalar))), (vector("i1", lanes), _mask(code, "%left", lanes)),
        (full, "zeroinitializer"),
    )  # fmt: skip
    head = f"define {full} @{name}(ptr %at, i64 %left) nounwind {{"
    return "\n".join([head, *code.lines, f"  ret {full} {loaded}", "}"])


def _store(module: Module, name: str, scalar: str, lanes: int) -> str:
    full, flags, code = vector(scalar, lanes), vector("i1", lanes), Code(module, "entry")
    mask = _mask(code, "%left", lanes)
    intrinsic = f"llvm.masked.store.{suffix(scalar, lanes)}.p0"
    module.declare("void", intrinsic, [full, "ptr", "i32", flags])
    code.line(f"call void @{intrinsic}({full} %x, ptr %at, i32 {_bytes(scalar)}, {flags} {mask})")
    head = f"define void @{name}({full} %x, ptr %at, i64 %left) nounwind {{"
    return "\n".join([head, *code.lines, "  ret void", "}"])


def _fill(module: Module, name: str, scalar: str, lanes: int) -> str:
    full, code = vector(scalar, lanes), Code(module, "loop")
    at = code.op("getelementptr double, ptr %doubles, i64 %n")
    x = code.op(f"load double, ptr {at}")
    if scalar == "float":
        x = code.op(f"fptrunc double {x} to float")
    to = code.op(f"getelementptr {full}, ptr %vectors, i64 %n")
    code.line(f"store {full} {_spread(code, x, scalar, lanes)}, ptr {to}")
    return "\n".join([
        f"define void @{name}(ptr %vectors, ptr %doubles, i64 %count) nounwind {{", "entry:",
        "  br label %loop", "loop:", "  %n = phi i64 [ 0, %entry ], [ %after, %loop ]",
        *code.lines, "  %after = add i64 %n, 1", "  %again = icmp slt i64 %after, %count",
        "  br i1 %again, label %loop, label %done", "done:", "  ret void", "}",
    ])  # fmt: skip


def _bytes(scalar: str) -> int:
    return {"float": 4, "double": 8}.get(scalar) or int(scalar[1:]) // 8


_DEFINITIONS = {"load": _load, "store": _store, "fill": _fill}
