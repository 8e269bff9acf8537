"""How the elements of arrays are read, combined and written in vectors of 64 bytes.

A bool is a byte; float16 and bfloat16 are combined as float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.ir.dtypes import DTYPES, is_bool, is_float, is_unsigned, real_of
from tracejit_llvm.math import FUNCTIONS
from tracejit_llvm.math.lanes import Lanes
from tracejit_llvm.routines.writing import Function
from tracejit_llvm.scalars import convert, pointwise
from tracejit_llvm.text import Code, constant, element, spread, suffix, vector

__all__ = ["STEPS", "Elements"]

Dtype = np.dtype[Any]

STEPS = {
    "cumsum": "add",
    "cumprod": "mul",
    "cummax": "max",
    "cummin": "min",
    "cumlogsumexp": "logaddexp",
    "scatter_add": "add",
    "scatter_mul": "mul",
    "scatter_max": "max",
    "scatter_min": "min",
}
"""How a library call combines two elements."""

MOST_LANES = 32


class Elements:
    """The elements of one dtype.

    Parameters
    ----------
    dtype : dtype
        Of the array; the parts of complex numbers are elements.

    Attributes
    ----------
    dtype, wide : dtype
        In memory, and as which they are combined.
    memory, kind : str
        The same as types.
    lanes : int
        Of a vector.
    """

    def __init__(self, dtype: Dtype) -> None:
        dtype = real_of(dtype)
        self.dtype = DTYPES["u8"] if is_bool(dtype) else dtype
        narrow = is_float(dtype) and dtype.itemsize == 2
        self.wide = DTYPES["f32"] if narrow else self.dtype
        self.memory, self.kind = element(self.dtype), element(self.wide)
        self.lanes = min(64 // self.wide.itemsize, MOST_LANES)

    def neutral(self, op: str) -> str:
        """Return the literal that changes nothing."""
        dtype = self.wide
        if op == "mul":
            return constant(1, dtype)
        if op == "add":
            return constant(-0.0 if is_float(dtype) else 0, dtype)
        if is_float(dtype):
            return constant(np.inf if op == "min" else -np.inf, dtype)
        limits = np.iinfo(dtype)
        return constant(limits.max if op == "min" else limits.min, dtype)

    def neutrals(self, op: str) -> str:
        """Return a vector literal of :meth:`neutral`."""
        return spread(self.neutral(op), self.kind, self.lanes)

    def combine(self, code: Code, op: str, n: int, a: str, b: str) -> str:
        """Append what two values come to; `n` lanes, 0 for a scalar."""
        if op == "logaddexp":
            return self._logaddexp(code, n, a, b)
        return pointwise(code, op, self.wide, n, (a, b))

    def _logaddexp(self, code: Code, n: int, a: str, b: str) -> str:
        """Append ``log(exp(a) + exp(b))``; it is long, so it is a function."""
        full = vector(self.kind, n)
        name = f"logaddexp_{suffix(self.kind, n)}"
        if name not in code.module.definitions:
            own = Function(code.module, name, [(full, "%a"), (full, "%b")], full)
            f = Lanes(own, self.kind, n)
            top = f.intrinsic("maximum", "%a", "%b")
            less = own.op(f"fneg {full} {f.abs(f.sub('%a', '%b'))}")
            more = f.add(top, FUNCTIONS["log1p"](f, FUNCTIONS["exp"](f, less)))
            # Equal infinities have no difference.
            equal = f.add("%a", f.c(float(np.log(2.0))))
            own.end(f.select(f.compare("oeq", "%a", "%b"), equal, more))
        return code.op(f"call {full} @{name}({full} {a}, {full} {b})")

    # ------------------------------------------------------------------ memory
    def widen(self, code: Code, x: str, n: int) -> str:
        """Append what an element in memory is combined as."""
        return x if self.wide == self.dtype else convert(code, x, self.dtype, self.wide, n)

    def narrow(self, code: Code, x: str, n: int) -> str:
        """Append an element as it is in memory."""
        return x if self.wide == self.dtype else convert(code, x, self.wide, self.dtype, n)

    def read(self, f: Function, place: str, mask: str | None, other: str) -> str:
        """Append a vector from memory, `other` (a vector literal) in lanes that are off."""
        full = vector(self.memory, self.lanes)
        size = self.dtype.itemsize
        if mask is None:
            return self.widen(f, f.load(full, place, align=size), self.lanes)
        flags = vector("i1", self.lanes)
        x = f.call(
            full, f"llvm.masked.load.{suffix(self.memory, self.lanes)}.p0",
            ("ptr", place), ("i32", str(size)), (flags, mask), (full, "zeroinitializer"),
        )  # fmt: skip
        wide = vector(self.kind, self.lanes)
        return f.op(f"select {flags} {mask}, {wide} {self.widen(f, x, self.lanes)}, {wide} {other}")

    def write(self, f: Function, x: str, place: str, mask: str | None) -> None:
        """Append a store of a vector."""
        full = vector(self.memory, self.lanes)
        size = self.dtype.itemsize
        x = self.narrow(f, x, self.lanes)
        if mask is None:
            f.store(full, x, place, align=size)
            return
        name = f"llvm.masked.store.{suffix(self.memory, self.lanes)}.p0"
        flags = vector("i1", self.lanes)
        f.module.declare("void", name, [full, "ptr", "i32", flags])
        f.line(f"call void @{name}({full} {x}, ptr {place}, i32 {size}, {flags} {mask})")

    def unsigned(self) -> bool:
        """Whether the elements are unsigned integers."""
        return is_unsigned(self.dtype)
