"""Reductions: accumulators of lanes, blocks, and how they become one number.

A float sum of more than :data:`BLOCK` terms is summed in blocks of that many, in parts and lanes;
the sums of blocks are added with their rounding errors (Knuth's two-sum).  The order depends on the
extents alone.  An arg-reduction keeps the best value and its index in each lane; nan is best, the
smallest index wins a tie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.ir.dtypes import is_bool, is_float, is_signed
from tracejit.ir.kernel import Accumulator
from tracejit_llvm.scalars import pointwise
from tracejit_llvm.text import Code, constant, element, integers, spread, vector

__all__ = ["BLOCK", "Accumulated", "Rows", "accumulated"]

BLOCK = 1024
LAST = 2**63 - 1


def _neutral(op: str, dtype: np.dtype[Any]) -> str:
    """Return the literal that `op` starts from."""
    value: Any
    if op in ("max", "argmax", "min", "argmin"):
        largest = op in ("min", "argmin")
        if is_bool(dtype):
            value = largest
        elif is_float(dtype):
            value = math.inf if largest else -math.inf
        else:
            limits = np.iinfo(dtype)
            value = limits.max if largest else limits.min
    elif op == "add":
        value = 0
    elif op == "mul":
        value = 1
    elif op == "and":
        value = True if is_bool(dtype) else -1
    else:
        value = 0
    return constant(value, dtype)


class Accumulated:
    """An accumulator: one value a part, carried through all loops."""

    def __init__(self, accumulator: Accumulator, width: int, parts: int) -> None:
        self.of = accumulator
        self.op = accumulator.op
        self.dtype = accumulator.value.dtype
        self.width, self.parts = width, parts
        self.scalar = element(self.dtype)
        self.type = vector(self.scalar, width)
        self.neutral = spread(_neutral(self.op, self.dtype), self.scalar, width)

    def carried(self) -> list[tuple[str, str]]:
        """Return the types and initial values of what outer loops carry."""
        return [(self.type, self.neutral)] * self.parts

    def inner(self, code: Code, outer: Sequence[str], parts: int) -> list[tuple[str, str]]:
        """Return what the innermost loop carries, with its values on entry.

        If `parts` is a multiple of those outside, each has as many values as that.
        """
        del code
        more = [self.neutral] * (parts - len(outer))
        return [(self.type, v) for v in (*outer, *more)]

    def combine(self, code: Code, a: str, b: str, width: int) -> str:
        """Return ``a op b``.

        The extreme of a and b is two operations beside a comparison that does not wait for a: b
        only if it is beyond a, which leaves a nan in a; and b if that is nan.
        """
        if self.op in ("max", "min") and self.scalar in ("float", "double"):
            full, flags = vector(self.scalar, width), vector("i1", width)
            beyond = code.op(f"fcmp {'ogt' if self.op == 'max' else 'olt'} {full} {b}, {a}")
            a = code.op(f"select {flags} {beyond}, {full} {b}, {full} {a}")
            unknown = code.op(f"fcmp uno {full} {b}, {b}")
            return code.op(f"select {flags} {unknown}, {full} {b}, {full} {a}")
        return pointwise(code, self.op, self.dtype, width, (a, b))

    def step(
        self,
        code: Code,
        state: Sequence[str],
        values: Sequence[str],
        indices: Sequence[str],
        mask: str | None,
    ) -> list[str]:
        """Return the state after one trip of the innermost loop."""
        del indices
        out = list(state)
        for p, value in enumerate(values):
            if mask is not None:
                value = code.op(
                    f"select {vector('i1', self.width)} {mask}, {self.type} {value}, "
                    f"{self.type} {self.neutral}"
                )
            out[p] = self.combine(code, out[p], value, self.width)
        return out

    def leave(self, code: Code, outer: Sequence[str], inner: Sequence[str]) -> list[str]:
        """Return what outer loops carry after the innermost loop."""
        n = len(outer)
        return [self._tree(code, inner[p::n]) for p in range(n)]

    def _tree(self, code: Code, parts: Sequence[str]) -> str:
        values = list(parts)
        while len(values) > 1:
            values = [
                self.combine(code, values[i], values[i + 1], self.width)
                if i + 1 < len(values)
                else values[i]
                for i in range(0, len(values), 2)
            ]
        return values[0]

    def _across(self, code: Code, value: str) -> str:
        """Return the lanes of one vector combined."""
        n = self.width
        while n > 1:
            n //= 2
            low, high = (_piece(code, value, self.scalar, 2 * n, k, n) for k in (0, n))
            value = self.combine(code, low, high, n)
        return code.op(f"extractelement {vector(self.scalar, n)} {value}, i64 0")

    def finish(self, code: Code, state: Sequence[str], together: bool, first: Sequence[str]) -> (
        tuple[str, ...]
    ):
        """Return the result: one number if the lanes belong together, else one a part."""
        del first
        if not together:
            return tuple(state)
        value = self._tree(code, state)
        return (self._across(code, value) if self.width else value,)


def _piece(code: Code, value: str, scalar: str, n: int, start: int, count: int) -> str:
    order = integers(range(start, start + count), "i32")
    full = vector(scalar, n)
    return code.op(f"shufflevector {full} {value}, {full} poison, <{count} x i32> {order}")


class _Compensated(Accumulated):
    """A float sum: each innermost run starts anew, its sum is added with its rounding error."""

    def carried(self) -> list[tuple[str, str]]:
        zero = spread(constant(0.0, self.dtype), self.scalar, self.width)
        return [(self.type, self.neutral), (self.type, zero)] * self._kept

    @property
    def _kept(self) -> int:
        return 1 if self.merged else self.parts

    merged = False

    def inner(self, code: Code, outer: Sequence[str], parts: int) -> list[tuple[str, str]]:
        del code, outer
        return [(self.type, self.neutral)] * parts

    def leave(self, code: Code, outer: Sequence[str], inner: Sequence[str]) -> list[str]:
        n = self._kept
        sums = [self._tree(code, inner[p::n]) for p in range(n)]
        out = []
        for p, block in enumerate(sums):
            total, low = outer[2 * p], outer[2 * p + 1]

            def op(name: str, a: str, b: str) -> str:
                return code.op(f"{name} {self.type} {a}, {b}")

            new = op("fadd", total, block)
            seen = op("fsub", new, total)
            lost = op("fadd", op("fsub", total, op("fsub", new, seen)), op("fsub", block, seen))
            out += [new, op("fadd", low, lost)]
        return out

    def finish(self, code: Code, state: Sequence[str], together: bool, first: Sequence[str]) -> (
        tuple[str, ...]
    ):
        sums = []
        for p in range(self._kept):
            total, low = state[2 * p], state[2 * p + 1]
            # Of infinities nothing is lost, though the formula says nan.
            both = code.op(f"fadd {self.type} {total}, {low}")
            bad = code.op(f"fcmp uno {self.type} {low}, {low}")
            sums.append(
                code.op(
                    f"select {vector('i1', self.width)} {bad}, {self.type} {total}, "
                    f"{self.type} {both}"
                )
            )
        return super().finish(code, sums, together, first)


class Rows:
    """A reduction in each of as many rows as lanes: lanes along the rows, then one for each row.

    The rows are short: sums are not cut into blocks.

    Parameters
    ----------
    of : Accumulated
        The reduction when each row has a lane.
    """

    def __init__(self, of: Accumulated) -> None:
        self.by_lane = of
        self.of = of.of
        self.dtype = of.dtype
        self.width, self.parts = of.width, of.width

    def carried(self) -> list[tuple[str, str]]:
        """Return the types and initial values of what outer loops carry."""
        return self.by_lane.carried()

    def inner(self, code: Code, outer: Sequence[str], parts: int) -> list[tuple[str, str]]:
        """Return what the innermost loop carries: one vector a row."""
        del code, outer, parts
        return [(self.by_lane.type, self.by_lane.neutral)] * self.width

    def step(
        self,
        code: Code,
        state: Sequence[str],
        values: Sequence[str],
        indices: Sequence[str],
        mask: str | None,
    ) -> list[str]:
        """Return the state after one trip of the innermost loop."""
        return self.by_lane.step(code, state, values, indices, mask)

    def leave(self, code: Code, outer: Sequence[str], inner: Sequence[str]) -> list[str]:
        """Return what outer loops carry after the innermost loop."""
        of = self.by_lane
        rows, n, near = list(inner), self.width, 1
        while len(rows) > 1:
            # Of two vectors, the lanes whose numbers differ in one bit are added to each other:
            # those of the first go where that bit is 0.
            low = [k if not k & near else n + k - near for k in range(n)]
            high = [k + near if not k & near else n + k for k in range(n)]
            pairs = [
                [_picked(code, a, b, of.scalar, order) for order in (low, high)]
                for a, b in zip(rows[::2], rows[1::2], strict=True)
            ]
            rows = [of.combine(code, a, b, n) for a, b in pairs]
            near *= 2
        return [of.combine(code, outer[0], rows[0], n)]

    def finish(self, code: Code, state: Sequence[str], together: bool, first: Sequence[str]) -> (
        tuple[str, ...]
    ):
        """Return the result of each row in its lane."""
        return self.by_lane.finish(code, state, together, first)


def _picked(code: Code, a: str, b: str, scalar: str, order: Sequence[int]) -> str:
    n = len(order)
    full = vector(scalar, n)
    return code.op(
        f"shufflevector {full} {a}, {full} {b}, <{n} x i32> {integers(order, 'i32')}"
    )


class _Arg(Accumulated):
    """argmax or argmin: the best value, and its index."""

    def __init__(self, accumulator: Accumulator, width: int, parts: int) -> None:
        super().__init__(accumulator, width, parts)
        self.indices = vector("i64", width)
        self.flags = vector("i1", width)

    def carried(self) -> list[tuple[str, str]]:
        return [
            (self.type, self.neutral), (self.indices, spread(str(LAST), "i64", self.width))
        ] * self.parts  # fmt: skip

    def inner(self, code: Code, outer: Sequence[str], parts: int) -> list[tuple[str, str]]:
        del code, parts
        return [((self.type, self.indices)[k % 2], v) for k, v in enumerate(outer)]

    def _better(self, code: Code, a: str, b: str, n: int) -> str:
        """Return whether a is strictly better than b."""
        full, flags = vector(self.scalar, n), vector("i1", n)
        greater = self.op == "argmax"
        if is_float(self.dtype):
            more = code.op(f"fcmp {'ugt' if greater else 'ult'} {full} {a}, {b}")
            known = code.op(f"fcmp ord {full} {b}, {b}")
            return code.op(f"and {flags} {more}, {known}")
        signed = is_signed(self.dtype)
        how = ("sgt" if greater else "slt") if signed else ("ugt" if greater else "ult")
        return code.op(f"icmp {how} {full} {a}, {b}")

    def step(
        self,
        code: Code,
        state: Sequence[str],
        values: Sequence[str],
        indices: Sequence[str],
        mask: str | None,
    ) -> list[str]:
        out = list(state)
        for p, (value, index) in enumerate(zip(values, indices, strict=True)):
            better = self._better(code, value, out[2 * p], self.width)
            if mask is not None:
                better = code.op(f"and {self.flags} {better}, {mask}")
            out[2 * p] = self._chosen(code, better, self.type, value, out[2 * p])
            out[2 * p + 1] = self._chosen(code, better, self.indices, index, out[2 * p + 1])
        return out

    def _chosen(self, code: Code, flag: str, kind: str, a: str, b: str) -> str:
        flags = kind[: kind.index("x") + 2] + "i1>" if kind.startswith("<") else "i1"
        return code.op(f"select {flags} {flag}, {kind} {a}, {kind} {b}")

    def _merge(self, code: Code, a: tuple[str, str], b: tuple[str, str], n: int) -> tuple[str, str]:
        full, flags, words = vector(self.scalar, n), vector("i1", n), vector("i64", n)
        better = self._better(code, b[0], a[0], n)
        worse = self._better(code, a[0], b[0], n)
        earlier = code.op(f"icmp slt {words} {b[1]}, {a[1]}")
        tied = code.op(f"xor {flags} {worse}, {spread('true', 'i1', n)}")
        tied = code.op(f"and {flags} {tied}, {earlier}")
        take = code.op(f"or {flags} {better}, {tied}")
        return self._chosen(code, take, full, b[0], a[0]), self._chosen(
            code, take, words, b[1], a[1]
        )

    def finish(self, code: Code, state: Sequence[str], together: bool, first: Sequence[str]) -> (
        tuple[str, ...]
    ):
        pairs = [(state[2 * p], state[2 * p + 1]) for p in range(self.parts)]
        if together:
            while len(pairs) > 1:
                pairs = [
                    self._merge(code, pairs[i], pairs[i + 1], self.width)
                    for i in range(0, len(pairs), 2)
                ]
            value, index = pairs[0]
            n = self.width
            while n > 1:
                n //= 2
                low, high = (
                    (
                        _piece(code, value, self.scalar, 2 * n, k, n),
                        _piece(code, index, "i64", 2 * n, k, n),
                    )
                    for k in (0, n)
                )
                value, index = self._merge(code, low, high, n)
            if n:
                index = code.op(f"extractelement <1 x i64> {index}, i64 0")
            results = [index]
        else:
            results = [index for _, index in pairs]
        n = 0 if together else self.width
        words = vector("i64", n)
        out = []
        for p, index in enumerate(results):
            # Nothing was better than the start: all are the least there is.
            unset = code.op(f"icmp eq {words} {index}, {spread(str(LAST), 'i64', n)}")
            out.append(self._chosen(code, unset, words, first[p], index))
        return tuple(out)


def accumulated(
    accumulator: Accumulator, width: int, parts: int, *, together: bool, blocked: bool
) -> Accumulated:
    """Return how to accumulate.

    Parameters
    ----------
    accumulator : Accumulator
        What.
    width, parts : int
        Lanes of a vector (0: a scalar) and vectors.
    together : bool
        Whether the lanes are one reduction, and not one each.
    blocked : bool
        Whether there may be more than :data:`BLOCK` terms.
    """
    if accumulator.op in ("argmax", "argmin"):
        return _Arg(accumulator, width, parts)
    if accumulator.op == "add" and blocked and is_float(accumulator.value.dtype):
        result = _Compensated(accumulator, width, parts)
        result.merged = together
        return result
    return Accumulated(accumulator, width, parts)
