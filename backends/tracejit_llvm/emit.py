"""Emit: a kernel as the text of an LLVM module.

The text has explicit vectors, needs no optimisation passes and goes to code generation as it is.  A
vector loop is a main loop of whole vectors and a tail of masked ones.  Loops of few known trips are
written out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

from tracejit.ir.kernel import For, Kernel, Reduce, Statement, Store, statements
from tracejit.ir.scalar import Expr, IndexVar, Loop, index, raw
from tracejit_llvm.reductions import BLOCK, Accumulated, accumulated
from tracejit_llvm.regions import Lanes, Value
from tracejit_llvm.scalars import NATIVE_OPS
from tracejit_llvm.scope import Scope
from tracejit_llvm.text import Module, integers, spread, vector
from tracejit_llvm.widths import SHORT, cost_of, often_used, shape_of_lanes, trips

__all__ = ["NATIVE_OPS", "emit_kernel", "emit_together"]

LONGEST_WRITTEN_OUT = 400
"""Cost above which a short loop stays a loop."""
MOST_WRITTEN_OUT = 4
"""Uses of a mathematical function in one kernel above which it is called, not written out."""
LONGEST_DOUBLED = 64
"""Cost of a body above which all of its vectors are masked, so that it is written once."""


def emit_kernel(kernel: Kernel, name: str) -> str:
    """Return the text of a module that defines a kernel.

    Parameters
    ----------
    kernel : Kernel
        What to emit.
    name : str
        The name of the function ``void (ptr buffers, ptr sizes, ptr floats, i64 begin, i64 end)``;
        the pointers are to arrays of ptr, i64 and double.

    Returns
    -------
    str
        The text, without target triple and data layout.
    """
    module = Module()
    emitter = _Emitter(kernel, module)
    emitter.outlined = often_used(kernel.body, MOST_WRITTEN_OUT)
    return f"{emitter.function(name)}\n{module.tail()}"


def emit_together(kernels: Sequence[Kernel], names: Sequence[str]) -> str:
    """Return the text of one module of several kernels, with less text than is good for speed.

    Mathematical functions are called, and are elsewhere: those of
    :func:`tracejit_llvm.functions.needed`.  Results are the bits of :func:`emit_kernel`.

    Parameters
    ----------
    kernels : sequence of Kernel
        What to emit.
    names : sequence of str
        A name each, as of :func:`emit_kernel`.
    """
    module = Module()
    functions = []
    for kernel, name in zip(kernels, names, strict=True):
        emitter = _Emitter(kernel, module)
        emitter.brief = emitter.shared = True
        emitter.outlined = often_used(kernel.body, 0)
        functions.append(emitter.function(name))
    return "\n".join([*functions, module.tail()])


class _Emitter(Scope):
    brief = False

    def function(self, name: str) -> str:
        """Return the text of the kernel alone."""
        self.statements(self.kernel.body)
        body = "\n".join(self.code.lines)
        return (
            f"define void @{name}(ptr %buffers, ptr %sizes, ptr %floats, i64 %begin, i64 %end) "
            f"nounwind {{\nentry:\n{body}\n  ret void\n}}"
        )

    def statements(self, body: Sequence[Statement]) -> None:
        for kind, group in groupby(body, lambda s: type(s)):
            if kind is Store:
                self.stores([s for s in group if isinstance(s, Store)])
                continue
            for s in group:
                if isinstance(s, For):
                    self._for(s)
                elif isinstance(s, Reduce):
                    self._reduce(s)

    def _bind(self, var: IndexVar, name: str) -> None:
        self.remember(index(var), Value((name,), False, self.depth), self.depth)

    # ------------------------------------------------------------------ For
    def _for(self, s: For) -> None:
        lo, hi = self.integer(s.loop.lo), self.integer(s.loop.hi)
        if s.parallel:
            i64 = ("i64", str(lo)), ("i64", "%begin")
            lo = self.code.call("i64", "llvm.smax.i64", *i64)
            hi = self.code.call("i64", "llvm.smin.i64", ("i64", str(hi)), ("i64", "%end"))
        writes = _writes(s.body)
        # What is done once is done with scalars: a masked vector takes longer to store.
        once = trips(s.loop.lo, s.loop.hi) == 1
        if s.loop.vector and self.lanes is None and not once:
            self._vector_for(s, lo, hi, writes)
            return

        def body(iv: str, carried: list[str]) -> list[str]:
            self._bind(s.loop.var, iv)
            self.statements(s.body)
            return carried

        self._serial(lo, hi, body, [], writes, cost_of(s.body))

    def _serial(
        self,
        lo: int | str,
        hi: int | str,
        body: Callable[[str, list[str]], list[str]],
        carried: Sequence[tuple[str, str]],
        writes: frozenset[int],
        cost: int,
    ) -> list[str]:
        """Emit a loop of step 1, written out if it is short."""
        if not (isinstance(lo, int) and isinstance(hi, int) and 1 < hi - lo <= SHORT):
            return self.loop(lo, hi, 1, body, carried, writes)
        if cost * (hi - lo) > LONGEST_WRITTEN_OUT:
            return self.loop(lo, hi, 1, body, carried, writes)
        state = [v for _, v in carried]
        for k in range(lo, hi):
            self.forget(writes)
            state = self.straight(partial(body, str(k), state), writes)
        self.forget(writes)
        return state

    def _split(self, lo: int | str, hi: int | str, step: int) -> int | str:
        """Return where whole steps from `lo` end."""
        if isinstance(lo, int) and isinstance(hi, int):
            return lo + max(hi - lo, 0) // step * step
        code = self.code
        length = code.op(f"sub i64 {hi}, {lo}")
        length = code.call("i64", "llvm.smax.i64", ("i64", length), ("i64", "0"))
        whole = code.op(f"and i64 {length}, {-step}")
        return code.op(f"add i64 {lo}, {whole}")

    def _with_lanes(
        self, var: IndexVar, iv: str, width: int, parts: int, hi: int | str | None
    ) -> None:
        """Start lanes in the innermost region; `hi` if the last ones may be off."""
        mask = None
        if hi is not None:
            order = integers(range(width), "i32")
            full = vector("i32", width)
            if isinstance(hi, int) and not iv.startswith("%"):
                left = str(hi - int(iv))
            else:
                long = self.code.op(f"sub i64 {hi}, {iv}")
                left = self.code.op(f"trunc i64 {long} to i32")
            self.lanes = Lanes(var, iv, width, parts, self.depth, None)
            mask = self.code.op(f"icmp slt {full} {order}, {self.splat(left, 'i32', self.depth)}")
        self.lanes = Lanes(var, iv, width, parts, self.depth, mask)

    def _vector_for(
        self, s: For, lo: int | str, hi: int | str, writes: frozenset[int]
    ) -> None:
        var = s.loop.var
        width, parts = shape_of_lanes(s.body, var, s.loop.lo, s.loop.hi)

        def body(iv: str, parts: int, limit: int | str | None) -> list[str]:
            self._with_lanes(var, iv, width, parts, limit)
            self.statements(s.body)
            self.lanes = None
            return []

        if self.brief or cost_of(s.body) > LONGEST_DOUBLED:
            self.loop(lo, hi, width, lambda iv, _: body(iv, 1, hi), (), writes)
            return
        middle = self._split(lo, hi, width * parts)
        self.loop(lo, middle, width * parts, lambda iv, _: body(iv, parts, None), (), writes)
        self.loop(middle, hi, width, lambda iv, _: body(iv, 1, hi), (), writes)

    # ------------------------------------------------------------------ Reduce
    def _reduce(self, s: Reduce) -> None:
        around = self.lanes
        last = s.loops[-1]
        along = last.vector and around is None
        if around is not None:
            width, parts = around.width, around.parts
        elif along:
            width, parts = shape_of_lanes((s,), last.var, last.lo, last.hi)
        else:
            width, parts = 0, 1
        lengths = [trips(v.lo, v.hi) for v in s.loops]
        total = 1
        for n in lengths:
            total = total * n if n is not None else BLOCK + 1
        blocked = total > BLOCK
        nest = _Nest(
            self,
            s,
            [
                accumulated(a, width, parts, together=along or around is None, blocked=blocked)
                for a in s.accumulators
            ],
            along,
            blocked,
        )
        start = [c for a in nest.states for c in a.carried()]
        state = nest.outer(0, start)
        code = self.code
        at = 0
        for a in nest.states:
            count = len(a.carried())
            first: Sequence[str] = ()
            if a.of.index is not None:
                first = self._first(s, a.of.index)
            names = a.finish(code, state[at : at + count], around is None, first)
            at += count
            dtype = a.dtype if a.of.index is None else a.of.index.dtype
            ref = raw("ref", (), dtype, a.of.name)
            self.remember(ref, Value(names, around is not None, self.depth), self.depth)

    def _first(self, s: Reduce, at: Expr) -> tuple[str, ...]:
        """Return the index where all reduction loops start."""
        parts = self.lanes.parts if self.lanes else 1
        width = self.lanes.width if self.lanes else 0
        if self.reads(at):
            return (spread("0", "i64", width),) * parts

        def emit() -> tuple[str, ...]:
            for loop in s.loops:
                self._bind(loop.var, str(self.integer(loop.lo)))
            value = self.value(at)
            return self.spread(at, value) if self.lanes else value.names

        names: tuple[str, ...] = self.straight(emit)
        return names


class _Nest:
    """The loops of one Reduce."""

    def __init__(
        self, emitter: _Emitter, s: Reduce, states: list[Accumulated], along: bool, blocked: bool
    ) -> None:
        self.emitter = emitter
        self.reduce = s
        self.states = states
        self.along = along
        self.blocked = blocked
        self.cost = cost_of((s,))

    def outer(self, depth: int, carried: list[tuple[str, str]]) -> list[str]:
        """Emit the loops from `depth` on."""
        e = self.emitter
        loop = self.reduce.loops[depth]
        lo, hi = e.integer(loop.lo), e.integer(loop.hi)
        if depth == len(self.reduce.loops) - 1:
            return self._innermost(loop, lo, hi, carried)

        def body(iv: str, state: list[str]) -> list[str]:
            e._bind(loop.var, iv)
            kinds = [(kind, v) for (kind, _), v in zip(carried, state, strict=True)]
            return self.outer(depth + 1, kinds)

        below = 1
        for v in self.reduce.loops[depth + 1 :]:
            below *= trips(v.lo, v.hi) or SHORT
        return e._serial(lo, hi, body, carried, frozenset(), self.cost * below)

    def _slices(self, values: Sequence[str], inner: int | None = None) -> list[Sequence[str]]:
        """Cut a flat list into what belongs to each accumulator."""
        out, at = [], 0
        for a in self.states:
            if inner is None:
                count = len(a.carried())
            else:
                count = len(a.inner(self.emitter.code, [v for _, v in a.carried()], inner))
            out.append(values[at : at + count])
            at += count
        return out

    def _run(
        self,
        outer: list[str],
        parts: int,
        loop: Callable[[Sequence[tuple[str, str]]], list[str]],
    ) -> list[str]:
        """Run an innermost loop from the outer state; return the outer state after it."""
        code = self.emitter.code
        slices = self._slices(outer)
        start = [
            c for a, own in zip(self.states, slices, strict=True) for c in a.inner(code, own, parts)
        ]
        done = loop(start)
        code = self.emitter.code
        return [
            v
            for a, before, after in zip(
                self.states, slices, self._slices(done, parts), strict=True
            )
            for v in a.leave(code, before, after)
        ]

    def _step(self, state: list[str], parts: int, mask: str | None) -> list[str]:
        """Emit one trip of the innermost loop."""
        e = self.emitter
        values = []
        for a in self.states:
            operands: list[tuple[str, ...]] = []
            for x in (a.of.value, a.of.index):
                if x is None:
                    operands.append(())
                    continue
                v = e.value(x)
                operands.append(e.spread(x, v) if e.lanes else v.names)
            values.append(operands)
        out: list[str] = []
        for a, own, (value, at) in zip(
            self.states, self._slices(state, parts), values, strict=True
        ):
            out += a.step(e.code, own, value, at, mask)
        return out

    def _innermost(
        self, loop: Loop, lo: int | str, hi: int | str, carried: list[tuple[str, str]]
    ) -> list[str]:
        e = self.emitter
        state = [v for _, v in carried]
        width = self.states[0].width if self.along else 1
        parts = self.states[0].parts
        stride = width * parts if self.along else 1

        def trip(iv: str, inner: list[str]) -> list[str]:
            if not self.along:
                e._bind(loop.var, iv)
                return self._step(inner, parts, None)
            e._with_lanes(loop.var, iv, width, parts, None)
            out = self._step(inner, parts, None)
            e.lanes = None
            return out

        def run(start: int | str, stop: int | str, outer: list[str]) -> list[str]:
            if self.along:
                return self._run(
                    outer, parts, lambda kinds: e.loop(start, stop, stride, trip, kinds)
                )
            return self._run(
                outer,
                parts,
                lambda kinds: e._serial(start, stop, trip, kinds, frozenset(), self.cost),
            )

        middle = e._split(lo, hi, stride) if self.along else hi
        known = isinstance(lo, int) and isinstance(middle, int) and middle - lo <= BLOCK * 2
        if not self.blocked or known:
            state = run(lo, middle, state)
        else:
            block = max(BLOCK, stride)

            def one_block(start: str, outer: list[str]) -> list[str]:
                stop = e.code.op(f"add i64 {start}, {block}")
                stop = e.code.call("i64", "llvm.smin.i64", ("i64", stop), ("i64", str(middle)))
                return run(start, stop, outer)

            kinds = [(kind, v) for (kind, _), v in zip(carried, state, strict=True)]
            state = e.loop(lo, middle, block, one_block, kinds)
        if not self.along:
            return state

        def last(iv: str, inner: list[str]) -> list[str]:
            e._with_lanes(loop.var, iv, width, 1, hi)
            assert e.lanes is not None
            out = self._step(inner, 1, e.lanes.mask)
            e.lanes = None
            return out

        return self._run(state, 1, lambda kinds: e.loop(middle, hi, width, last, kinds))


def _writes(body: Sequence[Statement]) -> frozenset[int]:
    return frozenset(s.buffer for s in statements(tuple(body)) if isinstance(s, Store))
