"""Loaders: index -> scalar expression.  Composing them *is* fusion.

A lowering rule receives a :class:`LoopBuilder` ``k`` and the loaders of its operands, and returns
the loader of its result.  A rule never sees buffers, loops or backends.

Piecewise definitions (pad, concatenate, windows) go through :meth:`LoopBuilder.inside`.  A loader
is always evaluated within a *box* (a range for each loop variable): where the box decides a
condition only one branch is built; where it does not, the boundary is noted as a cut, and
:mod:`tracejit.compiler.regions` splits the box there and evaluates again, so that no kernel tests a
condition per element.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tracejit.compiler import complex_scalars as complexes
from tracejit.compiler.values import Value
from tracejit.ir import scalar as s
from tracejit.ir.avals import ShapedArray
from tracejit.ir.dtypes import DTYPES, is_complex
from tracejit.ir.scalar import COMPARISONS, Expr, IndexVar, Loop

__all__ = [
    "WRITTEN_OUT",
    "Condition",
    "Loader",
    "LoopBuilder",
    "NeedStore",
    "NotNative",
    "row_major",
]

Index = tuple[Expr, ...]
Condition = tuple[Expr, int, int]
I64 = DTYPES["i64"]
WRITTEN_OUT = 4
"""Elements of a reduction that is written as operations on them."""
F32 = DTYPES["f32"]
BOOL = DTYPES["bool"]
_NARROW = frozenset((DTYPES["f16"], DTYPES["bf16"]))


class NotNative(Exception):
    """A rule asked for what kernels cannot do: the equation `owner` runs by callback."""

    owner: Any = None


class NeedStore(Exception):
    """A loader must be stored before this use of it; carries the loader."""

    def __init__(self, loader: Loader) -> None:
        super().__init__()
        self.loader = loader


def computing(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which kernels compute values of `dtype`."""
    return F32 if dtype in _NARROW else dtype


def row_major(index: Sequence[Expr], shape: Sequence[int]) -> Expr:
    """Return the offset of `index` in a C-contiguous array of `shape`."""
    terms, stride = [], 1
    for i, length in zip(reversed(index), reversed(shape), strict=True):
        if length != 1:
            terms.append((stride, i))
        stride *= length
    return s.affine(0, terms)


class Loader:
    """What is known of an array in a kernel: its aval, and its element at an index.

    `reduces` marks the result of a reduction, which is always stored.
    """

    __slots__ = ("_epoch", "_function", "_memo", "aval", "k", "owner", "reduces", "value")

    def __init__(
        self,
        k: LoopBuilder,
        aval: ShapedArray,
        function: Callable[[Index], Expr],
        value: Value | None = None,
        reduces: bool = False,
    ) -> None:
        self.k = k
        self.aval = aval
        self._function = function
        self.value = value
        self.reduces = reduces
        self.owner: Any = None
        self._epoch = -1

    _memo: dict[Index, Expr]

    def memo(self) -> dict[Index, Expr]:
        """Return what is already built in the current evaluation."""
        if self._epoch != self.k.epoch:
            self._epoch = self.k.epoch
            self._memo = {}
        return self._memo

    def __call__(self, index: Index) -> Expr:
        memo = self.memo()
        found = memo.get(index)
        if found is None:
            try:
                found = memo[index] = self._function(index)
            except NotNative as error:
                error.owner = error.owner or self.owner
                raise
        return found


class Pointwise(Loader):
    """A scalar operation on loaders; chains of any length are built without recursion."""

    __slots__ = ("op", "operands")

    def __init__(
        self, k: LoopBuilder, op: str, operands: tuple[Loader, ...], aval: ShapedArray
    ) -> None:
        super().__init__(k, aval, self._build)
        self.op = op
        self.operands = operands

    def _build(self, index: Index) -> Expr:
        rank, apply = self.aval.ndim, self.k.apply
        stack: list[Pointwise] = [self]
        while True:
            node = stack[-1]
            waiting = [
                x
                for x in node.operands
                if type(x) is Pointwise and x.aval.ndim == rank and index not in x.memo()
            ]
            if waiting:
                stack += waiting
                continue
            stack.pop()
            result = apply(
                node.op, *[x(index if x.aval.ndim == rank else ()) for x in node.operands]
            )
            if not stack:
                return result
            node.memo()[index] = result


class LoopBuilder:
    """What a lowering rule may ask for; also the state of the evaluation under way.

    Parameters
    ----------
    natively : set of str
        The scalar operations that the backend emits.

    Attributes
    ----------
    evaluated : dict
        The regions of tasks, by the tasks that are computed together.
    """

    def __init__(self, natively: frozenset[str]) -> None:
        self.natively = natively
        self.zero = s.const(0, I64)
        self.epoch = 0
        self.box: dict[IndexVar, tuple[int, int]] = {}
        self.cuts: dict[IndexVar, set[int]] = {}
        self.select = False
        self.reduced: set[IndexVar] = set()
        self.cut_reduced = False
        self.evaluated: dict[Any, Any] = {}
        self._names = 0
        self._concerns: dict[tuple[str, np.dtype[Any]], bool] = {}

    # ---------------------------------------------------------------- loaders

    def loader(
        self, aval: ShapedArray, function: Callable[[Index], Expr], reduces: bool = False
    ) -> Loader:
        """Return a loader of `aval` from a plain function."""
        return Loader(self, aval, function, None, reduces)

    def load(self, value: Value) -> Loader:
        """Return the loader that reads `value` from memory."""
        aval = value.aval
        dtype = computing(aval.dtype)

        def read(index: Index) -> Expr:
            offset = row_major(index, aval.shape)
            if self.select:
                offset = self._clamped(offset, 0, max(aval.size - 1, 0))
            return s.convert(s.raw("load", (offset,), aval.dtype, value), dtype)

        return Loader(self, aval, read, value)

    def stored(self, x: Loader) -> Loader:
        """Return `x` if it reads memory directly; otherwise have it stored first."""
        if x.value is None:
            raise NeedStore(x)
        return x

    def pointwise(self, op: str, *operands: Loader) -> Loader:
        """Apply a scalar operation; operands of rank 0 stretch."""
        widest = last = operands[-1].aval
        for x in operands:
            if x.aval.ndim > widest.ndim:
                widest = x.aval
        dtype = last.dtype
        if self._of_complex(op, dtype):
            dtype = complexes.result_dtype(op, dtype)
        elif op in COMPARISONS:
            dtype = BOOL
        if widest.dtype is not dtype or widest.weak:
            widest = ShapedArray(widest.shape, dtype)
        return Pointwise(self, op, operands, widest)

    def _of_complex(self, op: str, dtype: np.dtype[Any]) -> bool:
        """Whether an operation is one on complex numbers, or makes or takes their parts.

        What kernels do not have for operands of `dtype` is refused.
        """
        key = op, dtype
        found = self._concerns.get(key)
        if found is None:
            found = complexes.concerns(op, dtype)
            if not found:
                if op not in self.natively:
                    raise NotNative(op)
            elif is_complex(dtype) and op not in complexes.FUNCTIONS and op not in ("real", "imag"):
                raise NotNative(f"{op} of complex numbers")
            self._concerns[key] = found
        return found

    def constant(self, value: Any, dtype: Any) -> Loader:
        """Return a rank-0 loader of a constant."""
        e = s.const(value, computing(dtype))
        return self.loader(ShapedArray((), dtype), lambda index: e)

    def convert(self, x: Loader, dtype: Any) -> Loader:
        """Convert a loader's elements."""
        computing(dtype)
        return self.loader(
            ShapedArray(x.aval.shape, dtype), lambda index: self.apply_convert(x(index), dtype)
        )

    def reduce(self, op: str, x: Loader, axes: Sequence[int]) -> Loader:
        """Reduce over axes by add, mul, max, min, and, or; over none, it is `x` itself."""
        dtype = computing(x.aval.dtype)
        if not axes:
            return x
        if 0 < math.prod(x.aval.shape[a] for a in axes) <= WRITTEN_OUT:
            return self._written_out(op, x, axes)
        if is_complex(dtype):
            raise NotNative(f"{op} of complex numbers over axes")
        variables = {a: self.fresh(x.aval.shape[a]) for a in axes}
        kept = tuple(d for a, d in enumerate(x.aval.shape) if a not in variables)

        def body(index: Index) -> Expr:
            rest = iter(index)
            full = tuple(
                s.index(variables[a]) if a in variables else next(rest)
                for a in range(x.aval.ndim)
            )
            loops = tuple(Loop(v, 0, v.extent) for v in variables.values())
            operand = self._reduced(x, full, variables.values())
            return s.raw("reduce", (operand,), dtype, (op, loops))

        return self.loader(ShapedArray(kept, x.aval.dtype), body, reduces=True)

    def _written_out(self, op: str, x: Loader, axes: Sequence[int]) -> Loader:
        """Reduce over axes so short that it is an operation on a few elements."""
        places = list(np.ndindex(*(x.aval.shape[a] for a in axes)))
        kept = tuple(d for a, d in enumerate(x.aval.shape) if a not in axes)

        def body(index: Index) -> Expr:
            elements = []
            for place in places:
                here = dict(zip(axes, place, strict=True))
                rest = iter(index)
                elements.append(
                    x(tuple(
                        s.const(here[a], I64) if a in here else next(rest)
                        for a in range(x.aval.ndim)
                    ))
                )  # fmt: skip
            return functools.reduce(lambda a, b: self.apply(op, a, b), elements)

        return self.loader(ShapedArray(kept, x.aval.dtype), body)

    def _reduced(self, x: Loader, index: Index, variables: Iterable[IndexVar]) -> Expr:
        """Return the operand of a reduction; one that is piecewise over it is stored first."""
        self.reduced.update(variables)
        self.cut_reduced = False
        value = x(index)
        if self.cut_reduced and x.value is None:
            raise NeedStore(x)
        return value

    def reduce_index(self, op: str, x: Loader, axis: int, dtype: Any) -> Loader:
        """Return the index along `axis` of the first extreme: op argmax or argmin."""
        v = self.fresh(x.aval.shape[axis])
        if is_complex(x.aval.dtype):
            raise NotNative(f"{op} of complex numbers")

        def body(index: Index) -> Expr:
            i = s.index(v)
            value = self._reduced(x, (*index[:axis], i, *index[axis:]), (v,))
            found = s.raw("reduce", (value, i), I64, (op, (Loop(v, 0, v.extent),)))
            return s.convert(found, dtype)

        shape = x.aval.shape[:axis] + x.aval.shape[axis + 1 :]
        return self.loader(ShapedArray(shape, dtype), body, reduces=True)

    # ---------------------------------------------------------------- scalars

    def apply(self, op: str, *args: Expr) -> Expr:
        """Apply a scalar operation to scalars."""
        if self._of_complex(op, args[-1].dtype):
            return complexes.apply(self.apply, op, args)
        return s.apply(op, *args)

    def scalar(self, value: Any, dtype: Any) -> Expr:
        """Return a constant scalar."""
        return s.const(value, computing(dtype))

    def apply_convert(self, x: Expr, dtype: Any) -> Expr:
        """Convert a scalar as NumPy does; to narrow floats it is rounded and widened again."""
        narrow = computing(dtype)
        if dtype in _NARROW and is_complex(x.dtype):
            x = s.real(x)
        if dtype in _NARROW and x.dtype != dtype:
            if x.op != "const":
                x = s.convert(x, dtype)
            else:
                x = s.const(float(np.asarray(s.value_of(x)).astype(dtype)), narrow)
        return s.convert(x, narrow)

    def apply_bitcast(self, x: Expr, dtype: Any) -> Expr:
        """Reinterpret the bits of a scalar of equal width."""
        if dtype in _NARROW or x.dtype.itemsize != dtype.itemsize:
            raise NotNative("bitcast of this width")
        return x if x.dtype == dtype else s.raw("bitcast", (x,), dtype)

    # ---------------------------------------------------------------- indices

    def fresh(self, extent: int) -> IndexVar:
        """Return a new loop variable."""
        self._names += 1
        return IndexVar(f"r{self._names}", extent)

    def index_value(self, i: Expr, dtype: Any) -> Expr:
        """Return the value of an index expression."""
        return self.apply_convert(i, dtype)

    def static_index(self, x: Loader) -> int | None:
        """Return the value of a rank-0 integer loader if it is a constant."""
        e = x(())
        return int(s.value_of(e)) if e.op == "const" else None

    def add_index(self, i: Expr, j: Expr | int) -> Expr:
        """Return ``i + j``."""
        if isinstance(j, int):
            return s.affine(j, [(1, i)])
        return s.affine(0, [(1, i), (1, j)])

    def scale_index(self, i: Expr, c: int) -> Expr:
        """Return ``c * i``."""
        return s.affine(0, [(c, i)])

    def bounds(self, e: Expr) -> tuple[int, int]:
        """Return the least and greatest value of an index expression within the box."""
        if e.op == "const":
            return s.value_of(e), s.value_of(e)
        if e.op == "index":
            lo, hi = self.box.get(e.attr, (0, e.attr.extent))
            return lo, max(hi - 1, lo)
        if e.op == "affine":
            constant, coefs = e.attr
            lo = hi = constant
            for c, t in zip(coefs, e.args, strict=True):
                a, b = self.bounds(t)
                lo, hi = lo + min(c * a, c * b), hi + max(c * a, c * b)
            return lo, hi
        if e.op in ("quot", "rem") and e.args[1].op == "const":
            lo, hi = self.bounds(e.args[0])
            d = s.value_of(e.args[1])
            if lo >= 0 and d > 0:
                return (lo // d, hi // d) if e.op == "quot" else (0, min(d - 1, hi))
        if e.op == "min" and e.args[1].op == "const":
            lo, hi = self.bounds(e.args[0])
            c = s.value_of(e.args[1])
            return min(lo, c), min(hi, c)
        if e.op == "max" and e.args[1].op == "const":
            lo, hi = self.bounds(e.args[0])
            c = s.value_of(e.args[1])
            return max(lo, c), max(hi, c)
        return -(2**62), 2**62

    def floordiv_index(self, i: Expr, c: int) -> Expr:
        """Return ``i // c`` for ``i >= 0``."""
        return self._divide(i, c)[0]

    def mod_index(self, i: Expr, c: int) -> Expr:
        """Return ``i % c`` for ``i >= 0``."""
        return self._divide(i, c)[1]

    def _divide(self, i: Expr, c: int) -> tuple[Expr, Expr]:
        if c == 1:
            return i, self.zero
        constant, terms = s.split_ints(i)
        # i = c * q + r with 0 <= r < c wherever the multiples of c can be set apart.
        whole = [(a // c, t) for a, t in terms if a % c == 0]
        rest = [(a, t) for a, t in terms if a % c]
        q0, r0 = divmod(constant, c)
        remainder = s.affine(r0, rest)
        lo, hi = self.bounds(remainder)
        if lo >= 0 and hi < c:
            return s.affine(q0, whole), remainder
        if lo >= 0 and lo // c == hi // c:
            shift = lo // c
            return s.affine(q0 + shift, whole), s.affine(r0 - shift * c, rest)
        if self.bounds(i)[0] < 0:
            raise NotNative("a division of a negative index")
        d = s.const(c, I64)
        return s.raw("quot", (i, d), I64), s.raw("rem", (i, d), I64)

    def reshape_index(
        self, index: Index, shape: Sequence[int], operand_shape: Sequence[int]
    ) -> Index:
        """Return the index in `operand_shape` of the element at `index` of `shape`."""
        if 0 in shape:
            return (self.zero,) * len(operand_shape)
        out: list[Expr] = []
        groups = _common_factors(shape, operand_shape)
        for mine, theirs in groups:
            inner = [index[a] for a in mine]
            lengths = [shape[a] for a in mine]
            if [operand_shape[a] for a in theirs if operand_shape[a] != 1] == [
                d for d in lengths if d != 1
            ]:
                moving = iter([i for i, d in zip(inner, lengths, strict=True) if d != 1])
                out += [next(moving) if operand_shape[a] != 1 else self.zero for a in theirs]
                continue
            offset = row_major(inner, lengths)
            digits = []
            for a in reversed(theirs[1:]):
                offset, digit = self._divide(offset, operand_shape[a])
                digits.append(digit)
            out += [offset, *reversed(digits)] if theirs else []
        return tuple(out)

    def _clamped(self, i: Expr, lo: int, hi: int) -> Expr:
        low, high = self.bounds(i)
        if low < lo:
            i = s.raw("max", (i, s.const(lo, I64)), I64)
        if high > hi:
            i = s.raw("min", (i, s.const(hi, I64)), I64)
        return i

    def data_index(self, x: Expr, lo: int, hi: int) -> Expr:
        """Return an integer scalar as an index, clamped into ``[lo, hi]``."""
        if x.op == "const":
            return s.const(min(max(int(s.value_of(x)), lo), hi), I64)
        if x.dtype == DTYPES["u64"]:  # clamp before the sign bit can be misread
            x = s.apply("min", x, s.const(max(hi, 0), x.dtype))
        i = s.convert(x, I64)
        i = s.raw("max", (i, s.const(lo, I64)), I64)
        return s.raw("min", (i, s.const(hi, I64)), I64)

    # ---------------------------------------------------------------- regions

    def inside(
        self,
        conditions: Sequence[Condition],
        then: Callable[[], Expr],
        otherwise: Callable[[], Expr],
    ) -> Expr:
        """Return ``then()`` where ``lo <= i < hi`` for every ``(i, lo, hi)``, else ``otherwise()``.

        Parameters
        ----------
        conditions : sequence of (index, int, int)
            The bounds.
        then, otherwise : callable returning a scalar
            Evaluated only where needed.
        """
        undecided = []
        for i, lo, hi in conditions:
            low, high = self.bounds(i)
            if high < lo or low >= hi:
                return otherwise()
            if low < lo or high >= hi:
                undecided.append((i, lo, hi))
        if not undecided:
            return then()
        if not self.select:
            cut = False
            for i, lo, hi in undecided:
                cut |= self._cut(i, lo) | self._cut(i, hi)
            if cut:
                return then()
        test = None
        for i, lo, hi in undecided:
            for op, bound in (("ge", lo), ("lt", hi)):
                one = s.raw(op, (i, s.const(bound, I64)), BOOL)
                test = one if test is None else s.apply("and", test, one)
        assert test is not None
        before, self.select = self.select, True
        saved, self.epoch = self.epoch, self.epoch + 1_000_003
        try:
            return s.apply("select", test, then(), otherwise())
        finally:
            self.select, self.epoch = before, saved

    def _cut(self, i: Expr, bound: int) -> bool:
        """Note that the box must be split where `i` reaches `bound`, if that is a plane."""
        constant, terms = s.split_ints(i)
        moving = [(c, t) for c, t in terms]
        if len(moving) != 1 or moving[0][1].op != "index":
            return False
        c, term = moving[0]
        v = term.attr
        if v in self.reduced:
            self.cut_reduced = True
            return True
        assert isinstance(c, int)
        assert isinstance(constant, int)
        # i >= bound  <=>  c * v >= bound - constant
        at = -((constant - bound) // c) if c > 0 else (constant - bound) // -c + 1
        lo, hi = self.box.get(v, (0, v.extent))
        if not lo < at < hi:
            return True
        self.cuts.setdefault(v, set()).add(at)
        return True


def _common_factors(
    a: Sequence[int], b: Sequence[int]
) -> list[tuple[list[int], list[int]]]:
    """Split two shapes of one size into the shortest runs of axes with equal products."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(a) or j < len(b):
        mine, theirs, p, q = [], [], 1, 1
        if i < len(a):
            mine.append(i)
            p *= a[i]
            i += 1
        if j < len(b):
            theirs.append(j)
            q *= b[j]
            j += 1
        while p != q:
            if p < q:
                mine.append(i)
                p *= a[i]
                i += 1
            else:
                theirs.append(j)
                q *= b[j]
                j += 1
        groups.append((mine, theirs))
    return groups
