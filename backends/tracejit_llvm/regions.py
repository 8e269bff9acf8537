"""Regions: code under way, loops, and what has been computed where.

Code is a chain of regions, the outermost first.  A loop opens two: what runs once if the loop runs
at all, and its body.  What is computed in a region is remembered until it closes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tracejit.ir.kernel import Kernel
from tracejit.ir.scalar import Expr, IndexVar
from tracejit_llvm.text import Code, Module

__all__ = ["Lanes", "Region", "Regions", "Value"]


class Value(NamedTuple):
    """What an expression became: one name, or one vector a part; `depth` is its region's."""

    names: tuple[str, ...]
    vector: bool
    depth: int


class Region(NamedTuple):
    """Code under way; `writes` the buffers that may change while it repeats."""

    code: Code
    owned: list[Any]
    writes: frozenset[int]
    leave: bool
    """Whether a load may move out of it."""


@dataclass(frozen=True, eq=False)
class Lanes:
    """The vector loop around: iteration ``iv + part * width + lane``."""

    var: IndexVar
    iv: str
    width: int
    parts: int
    depth: int
    left: str | None
    """How many iterations there are from ``iv`` on, as an i64; None if they fill all lanes."""
    skipped: str | None = None
    """How many of these are before the first of the loop, as an i64, if any may be."""


class Regions:
    """The regions of one kernel."""

    def __init__(self, kernel: Kernel, module: Module) -> None:
        self.kernel = kernel
        self.module = module
        self.regions: list[Region] = []
        self.memo: dict[Any, Any] = {}
        self.lanes: Lanes | None = None
        # Of float arguments, by type and width of their vectors.
        self.tables: dict[tuple[str, int], str] = {}
        self.loaded: set[int] = set()  # the buffers that values may have been read from
        self._reads: dict[Expr, frozenset[int]] = {}
        self._depths: dict[str, int] = {}
        self.push(Code(self.module, "entry"), frozenset(), False)

    # ---------------------------------------------------------------- regions
    @property
    def depth(self) -> int:
        """The number of the innermost region."""
        return len(self.regions) - 1

    @property
    def code(self) -> Code:
        """The code of the innermost region."""
        return self.regions[-1].code

    def push(self, code: Code, writes: frozenset[int], leave: bool) -> Region:
        """Open a region."""
        region = Region(code, [], writes, leave)
        self.regions.append(region)
        return region

    def pop(self) -> Region:
        """Close the innermost region; what it computed is forgotten."""
        region = self.regions.pop()
        for key in region.owned:
            self.memo.pop(key, None)
        return region

    def remember(self, key: Any, value: Any, depth: int) -> None:
        """Remember a value until its region closes."""
        self.memo[key] = value
        self.regions[depth].owned.append(key)

    def forget(self, buffers: frozenset[int]) -> None:
        """Forget what was loaded from `buffers`, which have been or will be written."""
        if not buffers.isdisjoint(self.loaded):
            stale = [k for k in self.memo if isinstance(k, Expr) and self.reads(k) & buffers]
            for key in stale:
                del self.memo[key]

    def reads(self, e: Expr) -> frozenset[int]:
        """Return the buffers that an expression loads from."""
        found = self._reads.get(e)
        if found is not None:
            return found
        stack = [e]
        while stack:
            x = stack[-1]
            waiting = [a for a in x.args if a not in self._reads]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            own = frozenset((x.attr,)) if x.op == "load" else frozenset()
            self._reads[x] = own.union(*(self._reads[a] for a in x.args))
        return self._reads[e]

    def pure(self, depth: int, text: str) -> str:
        """Return the result of an instruction on indices or pointers, emitted once.

        Once more where it is only known further inside, as when the literals of two variables of
        loops that are written out make the same text.
        """
        found = self.memo.get(text)
        if found is None or self._depths[found] > depth:
            found = self.regions[depth].code.op(text)
            self._depths[found] = depth
            self.remember(text, found, depth)
        return str(found)

    # ---------------------------------------------------------------- loops
    def straight(self, body: Callable[[], Any], writes: frozenset[int] = frozenset()) -> Any:
        """Emit `body` in a region of its own that runs once."""
        outer = self.code
        label = f"once{self.module.fresh()}"
        region = self.push(Code(self.module, label), writes, True)
        result = body()
        self.pop()
        outer.line(f"br label %{label}")
        outer.start(label)
        outer.lines += region.code.lines
        outer.label = region.code.label
        return result

    def loop(
        self,
        lo: int | str,
        hi: int | str,
        step: int | Callable[[str], str],
        body: Callable[[str, list[str]], list[str]],
        carried: Sequence[tuple[str, str]] = (),
        writes: frozenset[int] = frozenset(),
        goes: tuple[str, Callable[[], str]] | None = None,
    ) -> list[str]:
        """Emit a loop from `lo` while below `hi`; return the carried values at the end.

        Parameters
        ----------
        lo, hi : int or str
            Bounds, ints if known.
        step : int or callable
            The step, or what emits the variable's next value after the body.
        body : callable
            ``body(variable, carried) -> carried``, emitting into the innermost region.
        carried : sequence of (type, initial value)
            What goes from trip to trip.
        writes : frozenset of int
            The buffers that the loop stores to.
        goes : pair of str and callable, optional
            Whether there is a first trip, and what emits, behind the body, whether there is one
            more.
        """
        start = [value for _, value in carried]
        known = isinstance(lo, int) and isinstance(hi, int) and goes is None
        if isinstance(lo, int) and isinstance(hi, int) and known:
            if lo >= hi:
                return start
            if isinstance(step, int) and hi - lo <= step:
                done: list[str] = self.straight(lambda: body(str(lo), start), writes)
                return done
        outer = self.code
        n = self.module.fresh()
        self.forget(writes)
        before = self.push(Code(self.module, f"before{n}"), writes, known)
        inner = self.push(Code(self.module, f"loop{n}"), writes, True)
        names = [f"%c{n}.{k}" for k in range(len(start))]
        new = body(f"%i{n}", names)
        if isinstance(step, int):
            following = inner.code.op(f"add i64 %i{n}, {step}")
        else:
            following = step(f"%i{n}")
        again = inner.code.op(f"icmp slt i64 {following}, {hi}")
        if goes is not None:
            again = inner.code.op(f"and i1 {again}, {goes[1]()}")
        latch = inner.code.label
        self.pop()
        self.pop()
        entry = outer.label
        if known:
            outer.line(f"br label %before{n}")
        else:
            guard = outer.op(f"icmp slt i64 {lo}, {hi}")
            if goes is not None:
                guard = outer.op(f"and i1 {guard}, {goes[0]}")
            outer.line(f"br i1 {guard}, label %before{n}, label %done{n}")
        outer.start(f"before{n}")
        outer.lines += before.code.lines
        outer.line(f"br label %loop{n}")
        outer.start(f"loop{n}")
        came = before.code.label
        outer.line(f"%i{n} = phi i64 [ {lo}, %{came} ], [ {following}, %{latch} ]")
        for name, (kind, first), last in zip(names, carried, new, strict=True):
            outer.line(f"{name} = phi {kind} [ {first}, %{came} ], [ {last}, %{latch} ]")
        outer.lines += inner.code.lines
        outer.line(f"br i1 {again}, label %loop{n}, label %done{n}")
        outer.start(f"done{n}")
        self.forget(writes)
        if known:
            return list(new)
        return [
            outer.op(f"phi {kind} [ {first}, %{entry} ], [ {last}, %{latch} ]")
            for (kind, first), last in zip(carried, new, strict=True)
        ]
