"""Mathematical functions as functions: for code that is to be short, not to be the quickest.

In a kernel that uses one often it is a function of the same module.  Kernels that are compiled the
quick way call functions that are compiled once for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tracejit_llvm.scalars import pointwise
from tracejit_llvm.text import Code, Module, element, suffix, vector

__all__ = ["define", "function_name", "module_text", "needed"]

_NAME = re.compile(rb"math_([a-z0-9]+)_(?:v(\d+))?f(32|64)\b")
_BINARY = frozenset(("atan2", "hypot", "pow", "quot", "rem"))


def function_name(op: str, scalar: str, lanes: int) -> str:
    """Return the name of an operation as a function of vectors, or of scalars if `lanes` is 0."""
    return f"math_{op}_{suffix(scalar, lanes)}"


def define(
    module: Module, op: str, dtype: np.dtype[np.floating], lanes: int, arity: int, how: str = ""
) -> None:
    """Define such a function in a module, if it is not there yet."""
    name = function_name(op, element(dtype), lanes)
    if name in module.definitions:
        return
    full = vector(element(dtype), lanes)
    body = Code(module, "entry")
    parameters = tuple(f"%x{n}" for n in range(arity))
    module.definitions[name] = ""  # its place, before what it defines itself
    result = pointwise(body, op, dtype, lanes, parameters)
    typed = ", ".join(f"{full} {p}" for p in parameters)
    body.line(f"ret {full} {result}")
    head = f"define {how}{full} @{name}({typed}) nounwind {{"
    module.definitions[name] = "\n".join([head, "entry:", *body.lines, "}"])


def needed(image: bytes) -> Sequence[str]:
    """Return the names of such functions that stand in an object, or in a text."""
    return sorted({found.group().decode() for found in _NAME.finditer(image)})


def module_text(name: str) -> str:
    """Return the text of a module that defines the function of a name."""
    found = _NAME.fullmatch(name.encode())
    assert found is not None
    op, lanes, bits = found.groups()
    module = Module()
    dtype = np.dtype(f"float{bits.decode()}")
    arity = 2 if op.decode() in _BINARY else 1
    define(module, op.decode(), dtype, int(lanes or 0), arity)
    return module.tail()
