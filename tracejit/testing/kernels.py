"""What a Kernel computes: an interpreter in plain Python, slow and meant to be obviously right.

It runs one iteration after another, one scalar after another, with NumPy scalars; mathematical
functions are NumPy's and SciPy's.  Backends are tested against it.
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tracejit.core.primitive import PRIMITIVES, impl
from tracejit.ir.dtypes import is_bool, is_float, is_signed
from tracejit.ir.kernel import Accumulator, For, Kernel, Recurrence, Reduce, Statement, Store
from tracejit.ir.scalar import Expr, IndexVar, Integer, Loop, Size, split_affine, value_of, walk

__all__ = ["run_kernel"]


def run_kernel(
    kernel: Kernel,
    buffers: Sequence[np.ndarray[Any, Any]],
    sizes: Sequence[int] = (),
    floats: Sequence[float] = (),
    begin: int = 0,
    end: int = 2**62,
) -> None:
    """Run a kernel on one-dimensional arrays, in place.

    Parameters
    ----------
    kernel : Kernel
        What to run.
    buffers : sequence of np.ndarray, rank 1
        One for each buffer argument, of its dtype.
    sizes, floats : sequence of int, sequence of float
        The other arguments.
    begin, end : int
        The rows of parallel loops to run.
    """
    with np.errstate(all="ignore"):
        _Run(kernel, buffers, sizes, floats, begin, end).statements(kernel.body, {})


class _Run:
    def __init__(
        self,
        kernel: Kernel,
        buffers: Sequence[np.ndarray[Any, Any]],
        sizes: Sequence[int],
        floats: Sequence[float],
        begin: int,
        end: int,
    ) -> None:
        for n, (parameter, given) in enumerate(zip(kernel.buffers, buffers, strict=True)):
            assert given.ndim == 1, f"buffer {n}"
            assert given.dtype == parameter.dtype, f"buffer {n}"
        self.buffers = buffers
        self.sizes, self.floats = sizes, floats
        self.begin, self.end = begin, end
        self.order: dict[Expr, tuple[Expr, ...]] = {}

    def integer(self, n: Integer) -> int:
        return int(self.sizes[n.number]) if isinstance(n, Size) else n

    def range(self, loop: Loop, parallel: bool = False) -> range:
        lo, hi = self.integer(loop.lo), self.integer(loop.hi)
        if parallel:
            lo, hi = max(lo, self.begin), min(hi, self.end)
        return range(lo, hi)

    def statements(self, body: Iterable[Statement], values: dict[Any, Any]) -> None:
        """Run statements; `values` has the loop variables and the results of reductions."""
        values = dict(values)
        for is_store, group in itertools.groupby(body, lambda s: isinstance(s, Store)):
            if is_store:
                self.stores([s for s in group if isinstance(s, Store)], values)
                continue
            for s in group:
                if isinstance(s, For):
                    for k in self.range(s.loop, s.parallel):
                        self.statements(s.body, {**values, s.loop.var: k})
                elif isinstance(s, Reduce):
                    values.update(self.reduce(s, values))
                elif isinstance(s, Recurrence):
                    values.update(self.recurrence(s, values))

    def stores(self, group: Sequence[Store], values: dict[Any, Any]) -> None:
        ready = [
            (s.buffer, int(self.value(s.offset, values)), self.value(s.value, values))
            for s in group
        ]
        for buffer, offset, value in ready:
            assert 0 <= offset < self.buffers[buffer].size, f"store outside buffer {buffer}"
            self.buffers[buffer][offset] = value

    def recurrence(self, s: Recurrence, values: dict[Any, Any]) -> dict[str, Any]:
        state = {c.name: self.value(c.initial, values) for c in s.carried}
        for k in self.range(s.loop):
            here = {**values, **state, s.loop.var: k}
            if s.condition is not None and not self.value(s.condition, here):
                break
            self.statements(s.body, here)
            state = {c.name: self.value(c.following, here) for c in s.carried}
        return state

    def reduce(self, s: Reduce, values: dict[Any, Any]) -> dict[str, Any]:
        terms: list[list[tuple[Any, Any]]] = [[] for _ in s.accumulators]
        for point in itertools.product(*(self.range(v) for v in s.loops)):
            here = {**values, **dict(zip((v.var for v in s.loops), point, strict=True))}
            for found, a in zip(terms, s.accumulators, strict=True):
                at = None if a.index is None else self.value(a.index, here)
                found.append((self.value(a.value, here), at))
        return {
            a.name: _reduced(a, found) for a, found in zip(s.accumulators, terms, strict=True)
        }

    def value(self, root: Expr, values: dict[Any, Any]) -> Any:
        order = self.order.setdefault(root, walk((root,)))
        done: dict[Expr, Any] = {}
        for e in order:
            done[e] = self.one(e, [done[a] for a in e.args], values)
        return done[root]

    def one(self, e: Expr, args: list[Any], values: dict[Any, Any]) -> Any:
        kind = e.dtype.type
        if e.op == "const":
            return _scalar(value_of(e), e.dtype)
        if e.op == "index":
            assert isinstance(e.attr, IndexVar)
            return np.int64(values[e.attr])
        if e.op == "affine":
            constant, terms = split_affine(e)
            total = self.integer(constant)
            for (c, _), x in zip(terms, args, strict=True):
                total += self.integer(c) * int(x)
            return np.int64(total)
        if e.op == "load":
            offset = int(args[0])
            assert 0 <= offset < self.buffers[e.attr].size, f"load outside buffer {e.attr}"
            return self.buffers[e.attr][offset]
        if e.op == "float":
            return kind(self.floats[e.attr])
        if e.op == "ref":
            return values[e.attr]
        if e.op == "convert":
            return np.asarray([args[0]]).astype(e.dtype)[0]
        if e.op == "bitcast":
            return np.asarray([args[0]]).view(e.dtype)[0]
        if e.op == "select":
            return args[1] if args[0] else args[2]
        result = _RULES[e.op](*args) if e.op in _RULES else _by_name(e.op)(*args)
        return _scalar(result, e.dtype)


def _scalar(x: Any, dtype: np.dtype[Any]) -> Any:
    return np.asarray([x]).astype(dtype)[0]


def _reduced(a: Accumulator, terms: list[tuple[Any, Any]]) -> Any:
    """Reduce the values of an accumulator in the order of iteration."""
    dtype = a.value.dtype
    if a.op in ("argmax", "argmin"):
        best, where = terms[0]
        for x, at in terms[1:]:
            more = x > best if a.op == "argmax" else x < best
            if (more or x != x) and best == best:
                best, where = x, at
        return where
    found = [x for x, _ in terms]
    if a.op == "add" and is_float(dtype):
        try:
            return dtype.type(math.fsum(float(x) for x in found))
        except (ValueError, OverflowError):
            return dtype.type(np.sum(np.asarray(found, dtype)))
    function = {
        "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum,
        "and": np.bitwise_and, "or": np.bitwise_or,
    }[a.op]  # fmt: skip
    total = _neutral(a.op, dtype)
    for x in found:
        total = function(total, x)
    return _scalar(total, dtype)


def _neutral(op: str, dtype: np.dtype[Any]) -> Any:
    if op in ("max", "min"):
        if is_float(dtype):
            return dtype.type(-np.inf if op == "max" else np.inf)
        if is_bool(dtype):
            return np.bool_(op == "min")
        limits = np.iinfo(dtype)
        return dtype.type(limits.min if op == "max" else limits.max)
    if op == "and":
        return _scalar(True, dtype) if is_bool(dtype) else dtype.type(0) ^ ~dtype.type(0)
    return dtype.type(1 if op == "mul" else 0)


def _quotient(x: Any, y: Any) -> Any:
    """Divide integers as C does, 0 by 0, within the bits."""
    if y == 0:
        return x.dtype.type(0)
    q = abs(int(x)) // abs(int(y))
    q = q if (x < 0) == (y < 0) else -q
    return np.asarray([q & (2 ** (8 * x.dtype.itemsize) - 1)], np.uint64).astype(x.dtype)[0]


def _remainder(x: Any, y: Any) -> Any:
    if is_float(x.dtype):
        return np.fmod(x, y)
    if y == 0:
        return x.dtype.type(0)
    r = abs(int(x)) % abs(int(y))
    return x.dtype.type(-r if x < 0 else r)


def _shift(direction: str) -> Callable[[Any, Any], Any]:
    def rule(x: Any, n: Any) -> Any:
        bits = 8 * x.dtype.itemsize
        amount = int(n) if 0 <= n < bits else bits
        raw = int(x) & (2**bits - 1)
        if direction == "left":
            moved = raw << amount
        elif direction == "logical":
            moved = raw >> amount
        else:
            moved = int(x) >> amount
        return np.asarray([moved & (2**bits - 1)], np.uint64).astype(x.dtype)[0]

    return rule


def _bits(x: Any) -> int:
    return int(x) & int(2 ** (8 * x.dtype.itemsize) - 1)


def _fma(x: Any, y: Any, z: Any) -> Any:
    """Exact for float32 up to one more rounding; float64 in twice the precision."""
    if x.dtype.itemsize == 4:
        return np.float32(float(x) * float(y) + float(z))
    return np.float64(np.longdouble(x) * np.longdouble(y) + np.longdouble(z))


def _sign(x: Any) -> Any:
    return np.bool_(x) if is_bool(x.dtype) else np.sign(x)


_RULES: dict[str, Callable[..., Any]] = {
    "quot": lambda x, y: np.trunc(x / y) if is_float(x.dtype) else _quotient(x, y),
    "rem": _remainder,
    "shl": _shift("left"),
    "shr_logical": _shift("logical"),
    "shr_arithmetic": lambda x, n: _shift("arithmetic" if is_signed(x.dtype) else "logical")(x, n),
    "popcount": lambda x: _bits(x).bit_count(),
    "clz": lambda x: 8 * x.dtype.itemsize - _bits(x).bit_length(),
    "fma": _fma,
    "erfinvgiles": lambda x: impl[PRIMITIVES["erf_inv_of_uniform"]](np, x),
    "sign": _sign,
    "rsqrt": lambda x: x.dtype.type(1) / np.sqrt(x),
    "mul": lambda x, y: x & y if is_bool(x.dtype) else x * y,
    "add": lambda x, y: x | y if is_bool(x.dtype) else x + y,
    "round": np.rint,
}
_NUMPY = {
    "sub": "subtract", "div": "divide", "neg": "negative", "abs": "absolute", "min": "minimum",
    "max": "maximum", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal",
    "gt": "greater", "ge": "greater_equal", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "not": "invert", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
    "pow": "power",
}  # fmt: skip
_SCIPY = {"erf": "erf", "erfc": "erfc", "erfinv": "erfinv", "lgamma": "gammaln", "digamma": "psi"}


def _by_name(op: str) -> Callable[..., Any]:
    if op in _SCIPY:
        function: Callable[..., Any] = getattr(importlib.import_module("scipy.special"), _SCIPY[op])
        return function
    numpy_function: Callable[..., Any] = getattr(np, _NUMPY.get(op, op))
    return numpy_function
