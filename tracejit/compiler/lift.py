"""Lift sizes and literals out of a kernel: what remains is its canonical text.

Extents, bounds, strides and offsets become integer arguments, float literals become float
arguments, loop variables and accumulators get names by order of appearance.  So the second size of
a program, or the second layer of a network, is a kernel that is compiled already.  Small integers
(up to :data:`SMALL`) stay, so that short loops unroll, and so do the literals that code generation
can use.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.compiler.values import Value
from tracejit.ir import scalar as s
from tracejit.ir.dtypes import is_complex, is_float, real_of
from tracejit.ir.kernel import (
    Accumulator,
    BufferParam,
    Carried,
    For,
    Kernel,
    Recurrence,
    Reduce,
    Statement,
    Store,
)
from tracejit.ir.scalar import Expr, IndexVar, Loop, Size

__all__ = ["BLOCKS", "SMALL", "lift"]

SMALL = 16
BLOCKS = "b"
"""The name of variables that number the blocks of a reduction."""

_MOST_KERNELS = 1_000

_LIFTED = frozenset(("index", "const", "ref", "load", "affine"))
"""What of expressions depends on sizes, literals, names and numbers."""


class _Lifter:
    def __init__(self, numbers: dict[Value, int]) -> None:
        self.numbers = numbers
        self.sizes: dict[int, Size] = {}
        self.size_values: list[int] = []
        self.floats: dict[tuple[str, Any], int] = {}
        self.float_values: list[float] = []
        self.variables: dict[IndexVar, IndexVar] = {}
        self.names: dict[str, str] = {}
        self.memo: dict[Expr, Expr] = {}

    def integer(self, n: int | Size, small: bool = True) -> int | Size:
        if isinstance(n, Size) or n == 0 or (small and -SMALL <= n <= SMALL):
            return n
        if not small:  # never shared: that two such numbers are equal is a coincidence
            return self._size(n)
        if n not in self.sizes:
            self.sizes[n] = self._size(n)
        return self.sizes[n]

    def _size(self, n: int) -> Size:
        self.size_values.append(n)
        return Size(len(self.size_values) - 1)

    def variable(self, v: IndexVar) -> IndexVar:
        found = self.variables.get(v)
        if found is None:
            found = self.variables[v] = _canonical(len(self.variables))
        return found

    def loop(self, loop: Loop, small: bool = True) -> Loop:
        # The number of blocks of a reduction follows from the size, however small it is.
        small = small and loop.var.name != BLOCKS
        lo, hi = (self.integer(n, small) for n in (loop.lo, loop.hi))
        return Loop(self.variable(loop.var), lo, hi, loop.vector)

    def name(self, name: str) -> str:
        return self.names.setdefault(name, f"s{len(self.names)}")

    def expr(self, root: Expr) -> Expr:
        memo = self.memo
        if root in memo:
            return memo[root]
        for e in s.walk((root,)):
            if e not in memo:
                memo[e] = self._one(e, tuple([memo[a] for a in e.args]))
        return memo[root]

    def _one(self, e: Expr, args: tuple[Expr, ...]) -> Expr:
        if e.op not in _LIFTED:
            return s.raw(e.op, args, e.dtype, e.attr)
        if e.op == "index":
            return s.index(self.variable(e.attr))
        if e.op == "const":
            return self._const(e)
        if e.op == "ref":
            return s.raw("ref", (), e.dtype, self.name(e.attr))
        if e.op == "load":
            return s.raw("load", args, e.dtype, self.numbers[e.attr])
        constant, coefs = e.attr
        terms = sorted(
            zip(args, coefs, strict=True),
            key=lambda t: (0, t[0].attr.name) if t[0].op == "index" else (1, s.show(t[0])),
        )
        if isinstance(constant, int):
            rest = _rest(constant, coefs)
            if rest != constant:
                terms.append((s.const(1, s.I64), constant - rest))
                constant = rest
        coefs = tuple(self.integer(c) for _, c in terms)
        return s.raw(
            "affine", tuple(t for t, _ in terms), e.dtype, (self.integer(constant), coefs)
        )

    def _const(self, e: Expr) -> Expr:
        value = s.value_of(e)
        if e.dtype == s.I64 and not -SMALL <= value <= SMALL:
            if -(2**62) < value < 2**62:
                return s.raw("affine", (), e.dtype, (self.integer(value), ()))
            return e
        # What is passed is a double, and 16 bits are no number to the machine: they stay constants.
        if is_float(e.dtype) and e.dtype.itemsize > 2 and not _telling(value):
            key = (e.attr.text, e.dtype)
            if key not in self.floats:
                self.floats[key] = len(self.floats)
                self.float_values.append(value)
            return s.raw("float", (), e.dtype, self.floats[key])
        return e

    def statement(self, st: Statement) -> Statement:
        if isinstance(st, For):
            return For(self.loop(st.loop), tuple(self.statement(x) for x in st.body), st.parallel)
        if isinstance(st, Reduce):
            return Reduce(
                tuple(self.loop(x) for x in st.loops),
                tuple(
                    Accumulator(
                        self.name(a.name),
                        a.op,
                        self.expr(a.value),
                        None if a.index is None else self.expr(a.index),
                    )
                    for a in st.accumulators
                ),
            )
        if isinstance(st, Recurrence):
            initial = [self.expr(c.initial) for c in st.carried]
            names = [self.name(c.name) for c in st.carried]
            loop = self.loop(st.loop, small=False)
            condition = None if st.condition is None else self.expr(st.condition)
            body = tuple(self.statement(x) for x in st.body)
            following = [self.expr(c.following) for c in st.carried]
            carried = map(Carried, names, initial, following)
            return Recurrence(loop, tuple(carried), body, condition)
        value = self.expr(st.value)
        number = self.numbers[st.buffer]  # type: ignore[index]
        return Store(number, self.expr(st.offset), value)


def _rest(constant: int, coefficients: Sequence[int | Size]) -> int:
    """Return what a constant is beside multiples of the coefficients, if that is small and not 0.

    So what is read beside a neighbouring row keeps its distance from it, and shares its address.
    """
    if -SMALL <= constant <= SMALL:
        return constant
    rest = constant
    for c in sorted((abs(c) for c in coefficients if isinstance(c, int)), reverse=True):
        if c <= SMALL:
            break
        rest -= round(rest / c) * c
    return rest if rest and -SMALL <= rest <= SMALL else constant


_variables: list[IndexVar] = []
_growing = threading.Lock()


def _canonical(n: int) -> IndexVar:
    if n >= len(_variables):
        with _growing:  # two threads must not give one name twice
            while n >= len(_variables):
                _variables.append(IndexVar(f"i{len(_variables)}", 0))
    return _variables[n]


def _telling(x: float) -> bool:
    """Whether a literal is worth keeping: a small power of two (or its negative), 0, inf, nan."""
    if x == 0.0 or not math.isfinite(x):
        return True
    mantissa, exponent = math.frexp(x)
    return abs(mantissa) == 0.5 and abs(exponent) <= 5


def _parameter(dtype: np.dtype[Any], mode: str) -> BufferParam:
    return BufferParam(real_of(dtype), mode, is_complex(dtype))


def lift(
    body: Sequence[Statement], buffers: Sequence[tuple[Value, str]], numbers: dict[Value, int]
) -> tuple[Kernel, tuple[int, ...], tuple[float, ...]]:
    """Return the canonical kernel of `body`, with its integer and float arguments.

    Parameters
    ----------
    body : sequence of Statement
        Over Values: loads and stores name Values instead of numbers.
    buffers : sequence of (Value, mode)
        The buffer arguments in order.
    numbers : dict of Value to int
        The number of the buffer of each Value; several may share one.
    """
    lifter = _Lifter(numbers)
    lifted = tuple(lifter.statement(st) for st in body)
    kernel = _kernel(
        tuple(_parameter(v.aval.dtype, mode) for v, mode in buffers),
        lifted,
        len(lifter.size_values),
        tuple(dtype for _, dtype in lifter.floats),
    )
    return kernel, tuple(lifter.size_values), tuple(lifter.float_values)


_kernels: dict[Any, Kernel] = {}


def _kernel(*parts: Any) -> Kernel:
    """Return the kernel of these parts, the same one as before if there is, with its text.

    Equal expressions are one object, so that kernels are compared sooner than their texts are
    written.
    """
    found = _kernels.get(parts)
    if found is None:
        if len(_kernels) >= _MOST_KERNELS:
            _kernels.clear()
        found = _kernels[parts] = Kernel(*parts)
    return found
