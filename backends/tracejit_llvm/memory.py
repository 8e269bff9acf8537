"""Memory: addresses, loads and stores.

An address is the buffer, then one sum of terms for each region that they are constant in, then a
constant.  Along the vector variable a step of 1 is a vector load, of -1 a reversed one, of 2 among
pairs (the parts of complex numbers) two vectors that are parted, another short one vector loads of
which some lanes are kept, anything else a gather.  A load moves out of a loop only if the loop does
not write its buffer and the load would run anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.ir.dtypes import is_bool
from tracejit.ir.kernel import Store
from tracejit.ir.scalar import Expr, Integer, Size, raw, split_affine
from tracejit_llvm.functions import vector_function
from tracejit_llvm.regions import Regions, Value
from tracejit_llvm.text import Code, element, integers, memory, spread, suffix, vector

__all__ = ["Memory", "steps"]

STRIDES = (2, 3, 4)
"""Steps along the vector variable that vector loads bridge."""


class Memory(Regions):
    """Regions, and access to the buffers from them; operands of offsets are computed already.

    Attributes
    ----------
    brief : bool
        Whether the code is to be short and made quickly: what takes long to compile is called as
        functions of another module.
    """

    brief = False

    def mask(self, p: int) -> str | None:
        """Return the lanes of a part that are on; None if all are."""
        lanes = self.lanes
        if lanes is None or lanes.left is None:
            return None
        n, depth = lanes.width, lanes.depth
        flags = vector("i1", n)
        places = integers(range(p * n, (p + 1) * n), "i32")

        def compared(how: str, count: str) -> str:
            if count.startswith("%"):
                count = self.pure(depth, f"trunc i64 {count} to i32")
            limit = self.splat(count, "i32", depth)
            return self.pure(depth, f"icmp {how} {vector('i32', n)} {places}, {limit}")

        mask = compared("slt", lanes.left)
        if lanes.skipped is None:
            return mask
        return self.pure(depth, f"and {flags} {mask}, {compared('sge', lanes.skipped)}")

    def _left(self, p: int) -> str:
        """Return how many iterations there are from a part on."""
        lanes = self.lanes
        assert lanes is not None
        assert lanes.left is not None
        if p == 0:
            return lanes.left
        return self.pure(lanes.depth, f"sub i64 {lanes.left}, {p * lanes.width}")

    # ---------------------------------------------------------------- integers
    def integer(self, n: Integer) -> int | str:
        """Return an int, or the name of a size argument."""
        if not isinstance(n, Size):
            return n
        at = self.pure(0, f"getelementptr i64, ptr %sizes, i64 {n.number}")
        return self.pure(0, f"load i64, ptr {at}")

    def product(self, c: Integer, term: Value, name: str) -> tuple[int, str]:
        """Return the depth and name of a coefficient times a scalar."""
        if c == 1:
            return term.depth, name
        factor = self.integer(c)
        if isinstance(factor, int) and not name.startswith("%"):
            return 0, str(factor * int(name))
        if isinstance(factor, int) and factor > 0 and factor & (factor - 1) == 0:
            shift = factor.bit_length() - 1
            return term.depth, self.pure(term.depth, f"shl i64 {name}, {shift}")
        return term.depth, self.pure(term.depth, f"mul i64 {name}, {factor}")

    def layered(self, constant_: Integer, terms: Sequence[tuple[int, str]]) -> tuple[
        int, list[tuple[int, str]]
    ]:
        """Return the known constant and one sum of the other terms per depth, outermost first."""
        known = constant_ if not isinstance(constant_, Size) else 0
        layers: dict[int, str] = {}
        if isinstance(constant_, Size):
            layers[0] = str(self.integer(constant_))
        for depth, name in sorted(terms):
            if not name.startswith("%"):
                known += int(name)
            elif depth in layers:
                layers[depth] = self.pure(depth, f"add i64 {layers[depth]}, {name}")
            else:
                layers[depth] = name
        return known, sorted(layers.items())

    def spread(self, e: Expr, value: Value) -> tuple[str, ...]:
        """Return one vector a part."""
        lanes = self.lanes
        assert lanes is not None
        if value.vector:
            return value.names
        name = value.names[0]
        scalar = element(e.dtype)
        if not name.startswith("%"):
            literal = spread(name, scalar, lanes.width)
            if self.brief and scalar != "i1":  # a literal in the text is not selected quickly
                full = vector(scalar, lanes.width)
                at = self.module.constant(full, literal)
                literal = self.pure(lanes.depth, f"load {full}, ptr {at}")
            return (literal,) * lanes.parts
        return (self.splat(name, scalar, max(value.depth, lanes.depth - 1)),) * lanes.parts

    def splat(self, name: str, scalar: str, depth: int) -> str:
        """Return a scalar in all lanes."""
        assert self.lanes is not None
        n = self.lanes.width
        full = vector(scalar, n)
        if not name.startswith("%"):
            return spread(name, scalar, n)
        one = self.pure(depth, f"insertelement {full} poison, {scalar} {name}, i64 0")
        return self.pure(
            depth, f"shufflevector {full} {one}, {full} poison, <{n} x i32> zeroinitializer"
        )

    # ---------------------------------------------------------------- memory
    def _pointer(self, buffer: int, layers: Sequence[tuple[int, str]], scalar: str) -> str:
        at = self.pure(0, f"getelementptr ptr, ptr %buffers, i64 {buffer}")
        pointer = self.pure(0, f"load ptr, ptr {at}")
        for depth, name in layers:
            pointer = self.pure(depth, f"getelementptr {scalar}, ptr {pointer}, i64 {name}")
        return pointer

    def _place(
        self, buffer: int, offset: Expr, scalar: str
    ) -> tuple[str, int, Integer, list[tuple[Integer, Value]], int]:
        """Return pointer, its depth, the lanes' coefficient, vector terms, constant offset."""
        constant_, terms = split_affine(offset)
        scalars, vectors = [], []
        coefficient: Integer = 0
        # A variable of a loop that is written out is a literal, but of its trip only.
        depth = 0
        own = self.lanes.var if self.lanes else None
        for c, t in terms:
            if t.op == "index" and t.attr is own:
                assert self.lanes is not None
                coefficient = c
                depth = max(depth, self.lanes.depth)
                first = Value((self.lanes.iv,), False, self.lanes.depth)
                scalars.append(self.product(c, first, self.lanes.iv))
                continue
            v: Value = self.memo[t]
            depth = max(depth, v.depth)
            if v.vector:
                vectors.append((c, v))
            else:
                scalars.append(self.product(c, v, v.names[0]))
        known, layers = self.layered(constant_, scalars)
        pointer = self._pointer(buffer, layers, scalar)
        return pointer, depth, coefficient, vectors, known

    def address(self, buffer: int, offset: Expr, dtype: np.dtype[Any]) -> str:
        """Return where the first element of the lanes is in memory."""
        scalar = memory(dtype)
        pointer, _, _, _, known = self._place(buffer, offset, scalar)
        return self._moved(self.code, scalar, pointer, known)

    def _moved(self, code: Code, scalar: str, pointer: str, offset: int) -> str:
        if offset == 0:
            return pointer
        return code.op(f"getelementptr {scalar}, ptr {pointer}, i64 {offset}")

    def _load_depth(self, buffer: int, least: int) -> int:
        depth = self.depth
        while depth > least:
            region = self.regions[depth]
            if not region.leave or buffer in region.writes:
                break
            depth -= 1
        return depth

    def load(self, e: Expr) -> Value:
        buffer: int = e.attr
        self.loaded.add(buffer)
        scalar = memory(e.dtype)
        size = 1 if scalar == "i8" else e.dtype.itemsize
        pointer, place, coefficient, vectors, known = self._place(buffer, e.args[0], scalar)
        lanes = self.lanes
        if lanes is None or (coefficient == 0 and not vectors):
            depth = self._load_depth(buffer, place)
            code = self.regions[depth].code
            name = code.op(
                f"load {scalar}, ptr {self._moved(code, scalar, pointer, known)}, align {size}"
            )
            return Value((self._as_bool(code, e.dtype, name, 0),), False, depth)
        least = max([lanes.depth, place, *(v.depth for _, v in vectors)])
        depth = self._load_depth(buffer, least)
        code = self.regions[depth].code
        if coefficient == 2 and not vectors and self.kernel.buffers[buffer].pairs:
            return self._load_pairs(e, pointer, place, known, depth)
        n = lanes.width
        full = vector(scalar, n)
        names = []
        for p in range(lanes.parts):
            if not vectors and coefficient in (1, -1):
                at = self._run(pointer, place, scalar, coefficient, p, known)
                name = self._load_run(code, at, scalar, size, coefficient == -1, p)
            elif coefficient in STRIDES and not vectors and lanes.left is None and size >= 4:
                name = self._load_strided(
                    code, pointer, place, scalar, int(coefficient), p, known, size
                )
            else:
                places = self._places(pointer, place, scalar, coefficient, vectors, p, known)
                mask = self.mask(p) or spread("true", "i1", n)
                name = code.call(
                    full, f"llvm.masked.gather.{suffix(scalar, n)}.{suffix('p0', n)}",
                    (f"<{n} x ptr>", places), ("i32", str(size)), (vector("i1", n), mask),
                    (full, "zeroinitializer"),
                )  # fmt: skip
            names.append(self._as_bool(code, e.dtype, name, n))
        return Value(tuple(names), True, depth)

    def _load_pairs(self, e: Expr, pointer: str, place: int, known: int, depth: int) -> Value:
        """Load the real and the imaginary parts of neighbours; both are remembered."""
        lanes = self.lanes
        assert lanes is not None
        code, scalar, size = self.regions[depth].code, memory(e.dtype), e.dtype.itemsize
        n, wide = lanes.width, vector(scalar, 2 * lanes.width)
        parts: tuple[list[str], list[str]] = [], []
        for p in range(lanes.parts):
            mask = self._doubled(code, p)
            shift = known - known % 2 + 2 * p * n
            at = pointer
            if shift:
                at = self.pure(place, f"getelementptr {scalar}, ptr {pointer}, i64 {shift}")
            if mask is None:
                both = code.op(f"load {wide}, ptr {at}, align {size}")
            else:
                both = code.call(
                    wide, f"llvm.masked.load.{suffix(scalar, 2 * n)}.p0", ("ptr", at),
                    ("i32", str(size)), (vector("i1", 2 * n), mask), (wide, "zeroinitializer"),
                )  # fmt: skip
            for part, names in enumerate(parts):
                order = integers(range(part, 2 * n, 2), "i32")
                names.append(
                    code.op(f"shufflevector {wide} {both}, {wide} poison, <{n} x i32> {order}")
                )
        values = [Value(tuple(names), True, depth) for names in parts]
        offset = e.args[0]
        constant_, coefficients = offset.attr  # of the parity of what is known: the rest is even
        twin = raw("affine", offset.args, offset.dtype, (constant_ ^ 1, coefficients))
        self.remember(raw("load", (twin,), e.dtype, e.attr), values[1 - known % 2], depth)
        return values[known % 2]

    def _doubled(self, code: Code, p: int) -> str | None:
        """Return the mask of a part for pairs, if it has one."""
        lanes = self.lanes
        assert lanes is not None
        mask = self.mask(p)
        if mask is None:
            return None
        flags = vector("i1", lanes.width)
        order = integers((k // 2 for k in range(2 * lanes.width)), "i32")
        return code.op(
            f"shufflevector {flags} {mask}, {flags} poison, "
            f"<{2 * lanes.width} x i32> {order}"
        )

    def stores_pairs(self, first: Store, second: Store) -> bool:
        """Whether two stores write the real and the imaginary parts of neighbours."""
        lanes = self.lanes
        if lanes is None or first.buffer != second.buffer or first.offset.op != "affine":
            return False
        if not self.kernel.buffers[first.buffer].pairs or second.offset.op != "affine":
            return False
        (known, coefficients), (after, others) = first.offset.attr, second.offset.attr
        if isinstance(known, Size) or after != known + 1 or known % 2:
            return False
        terms = zip(first.offset.args, coefficients, strict=True)
        steps_ = [c for t, c in terms if t.op == "index" and t.attr is lanes.var]
        moving = any(
            self.memo[t].vector
            for t in first.offset.args
            if not (t.op == "index" and t.attr is lanes.var)
        )
        same = (first.offset.args, coefficients) == (second.offset.args, others)
        return steps_ == [2] and same and not moving

    def store_pairs(self, code: Code, s: Store, real: Value, imag: Store, other: Value) -> None:
        """Store the real and the imaginary parts of neighbours, interleaved."""
        lanes = self.lanes
        assert lanes is not None
        dtype = self.kernel.buffers[s.buffer].dtype
        scalar, size, n = memory(dtype), dtype.itemsize, lanes.width
        pointer, place, _, _, known = self._place(s.buffer, s.offset, scalar)
        full, wide = vector(scalar, n), vector(scalar, 2 * n)
        order = integers((k // 2 + (k % 2) * n for k in range(2 * n)), "i32")
        parts = zip(self.spread(s.value, real), self.spread(imag.value, other), strict=True)
        for p, (x, y) in enumerate(parts):
            mask = self._doubled(code, p)
            shift = known + 2 * p * n
            at = pointer
            if shift:
                at = self.pure(place, f"getelementptr {scalar}, ptr {pointer}, i64 {shift}")
            both = code.op(f"shufflevector {full} {x}, {full} {y}, <{2 * n} x i32> {order}")
            if mask is None:
                code.line(f"store {wide} {both}, ptr {at}, align {size}")
                continue
            kinds = [wide, "ptr", "i32", vector("i1", 2 * n)]
            intrinsic = f"llvm.masked.store.{suffix(scalar, 2 * n)}.p0"
            self.module.declare("void", intrinsic, kinds)
            code.line(
                f"call void @{intrinsic}({wide} {both}, ptr {at}, i32 {size}, "
                f"{vector('i1', 2 * n)} {mask})"
            )

    def _as_bool(self, code: Code, dtype: np.dtype[Any], name: str, n: int) -> str:
        if not is_bool(dtype):
            return name
        return code.op(f"icmp ne {vector('i8', n)} {name}, {spread('0', 'i8', n)}")

    def _run(
        self, pointer: str, depth: int, scalar: str, coefficient: Integer, p: int, known: int
    ) -> str:
        """Return where part p of a contiguous run starts in memory."""
        lanes = self.lanes
        assert lanes is not None
        shift = known + p * lanes.width if coefficient == 1 else known - (p + 1) * lanes.width + 1
        if shift == 0:
            return pointer
        return self.pure(depth, f"getelementptr {scalar}, ptr {pointer}, i64 {shift}")

    def _reversed(self, code: Code, kind: str, name: str, n: int) -> str:
        order = integers(range(n - 1, -1, -1), "i32")
        return code.op(
            f"shufflevector {vector(kind, n)} {name}, {vector(kind, n)} poison, <{n} x i32> {order}"
        )

    def _load_run(
        self, code: Code, at: str, scalar: str, size: int, reverse: bool, p: int
    ) -> str:
        lanes = self.lanes
        assert lanes is not None
        n = lanes.width
        full = vector(scalar, n)
        if self.brief and not reverse and lanes.left is not None:
            name = vector_function("load", scalar, n)
            return code.call(full, name, ("ptr", at), ("i64", self._left(p)))
        mask = self.mask(p)
        if mask is None:
            name = code.op(f"load {full}, ptr {at}, align {size}")
        else:
            if reverse:
                mask = self._reversed(code, "i1", mask, n)
            name = code.call(
                full, f"llvm.masked.load.{suffix(scalar, n)}.p0", ("ptr", at), ("i32", str(size)),
                (vector("i1", n), mask), (full, "zeroinitializer"),
            )  # fmt: skip
        return self._reversed(code, scalar, name, n) if reverse else name

    def _load_strided(
        self,
        code: Code,
        pointer: str,
        depth: int,
        scalar: str,
        stride: int,
        p: int,
        known: int,
        size: int,
    ) -> str:
        """Load every `stride`-th element: what lies between is not read, for it may not exist."""
        lanes = self.lanes
        assert lanes is not None
        n = lanes.width
        full, flags = vector(scalar, n), vector("i1", n)
        intrinsic = f"llvm.masked.load.{suffix(scalar, n)}.p0"
        name = ""
        for k in range(stride):
            start = known + (p * stride + k) * n
            at = self.pure(depth, f"getelementptr {scalar}, ptr {pointer}, i64 {start}")
            wanted = [(k * n + x) % stride == 0 for x in range(n)]
            mask = integers((int(x) for x in wanted), "i1")
            here = code.call(
                full, intrinsic, ("ptr", at), ("i32", str(size)), (flags, mask),
                (full, "zeroinitializer"),
            )  # fmt: skip
            if not name:
                order = [min(x * stride, n - 1) for x in range(n)]
                name, before = here, here
            else:
                places = [x * stride - k * n for x in range(n)]
                order = [n + at_ if 0 <= at_ < n else x for x, at_ in enumerate(places)]
                before = name
            name = code.op(
                f"shufflevector {full} {before}, {full} {here}, <{n} x i32> "
                f"{integers(order, 'i32')}"
            )
        return name

    def _places(
        self,
        pointer: str,
        depth: int,
        scalar: str,
        coefficient: Integer,
        vectors: Sequence[tuple[Integer, Value]],
        p: int,
        known: int,
    ) -> str:
        """Return a vector of pointers."""
        lanes = self.lanes
        assert lanes is not None
        n = lanes.width
        full = vector("i64", n)
        total = ""
        if coefficient != 0:
            factor = self.integer(coefficient)
            if isinstance(factor, int):
                total = steps(p * n * factor + known, n, factor)
                known = 0
            else:
                wide = self.splat(factor, "i64", lanes.depth - 1)
                total = self.pure(lanes.depth - 1, f"mul {full} {wide}, {steps(p * n, n, 1)}")
        for c, v in vectors:
            depth = max(depth, v.depth)
            name = v.names[p]
            if c != 1:
                factor_ = self.splat(str(self.integer(c)), "i64", lanes.depth - 1)
                name = self.pure(v.depth, f"mul {full} {name}, {factor_}")
            total = self.pure(depth, f"add {full} {total}, {name}") if total else name
        if known:
            pointer = self.pure(depth, f"getelementptr {scalar}, ptr {pointer}, i64 {known}")
        return self.pure(depth, f"getelementptr {scalar}, ptr {pointer}, {full} {total}")

    def store(self, code: Code, s: Store, value: Value) -> None:
        dtype = self.kernel.buffers[s.buffer].dtype
        scalar = memory(dtype)
        size = 1 if scalar == "i8" else dtype.itemsize
        pointer, place, coefficient, vectors, known = self._place(s.buffer, s.offset, scalar)
        lanes = self.lanes
        if lanes is None:
            name = value.names[0]
            if is_bool(dtype):
                name = code.op(f"zext i1 {name} to i8")
            at = self._moved(code, scalar, pointer, known)
            code.line(f"store {scalar} {name}, ptr {at}, align {size}")
            return
        n = lanes.width
        full = vector(scalar, n)
        flags = vector("i1", n)
        for p, name in enumerate(self.spread(s.value, value)):
            if is_bool(dtype):
                name = code.op(f"zext {flags} {name} to {full}")
            if not vectors and coefficient in (1, -1):
                at = self._run(pointer, place, scalar, coefficient, p, known)
                if self.brief and coefficient == 1 and lanes.left is not None:
                    kept = vector_function("store", scalar, n)
                    self.module.declare("void", kept, [full, "ptr", "i64"])
                    code.line(f"call void @{kept}({full} {name}, ptr {at}, i64 {self._left(p)})")
                    continue
                mask = self.mask(p)
                if coefficient == -1:
                    name = self._reversed(code, scalar, name, n)
                    mask = self._reversed(code, "i1", mask, n) if mask else None
                if mask is None:
                    code.line(f"store {full} {name}, ptr {at}, align {size}")
                else:
                    kinds = [full, "ptr", "i32", flags]
                    intrinsic = f"llvm.masked.store.{suffix(scalar, n)}.p0"
                    self.module.declare("void", intrinsic, kinds)
                    code.line(
                        f"call void @{intrinsic}({full} {name}, ptr {at}, i32 {size}, "
                        f"{flags} {mask})"
                    )
                continue
            if not vectors and coefficient == 0:
                places = self.splat(self._moved(code, scalar, pointer, known), "ptr", self.depth)
            else:
                places = self._places(pointer, place, scalar, coefficient, vectors, p, known)
            intrinsic = f"llvm.masked.scatter.{suffix(scalar, n)}.{suffix('p0', n)}"
            self.module.declare("void", intrinsic, [full, f"<{n} x ptr>", "i32", flags])
            code.line(
                f"call void @{intrinsic}({full} {name}, <{n} x ptr> {places}, i32 {size}, "
                f"{flags} {self.mask(p) or spread('true', 'i1', n)})"
            )


def steps(first: int, n: int, step: int) -> str:
    return integers((first + step * k for k in range(n)), "i64")
