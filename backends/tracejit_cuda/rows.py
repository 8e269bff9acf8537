"""Rows: nests of which a team of threads (a warp, or a block) runs each iteration.

The stages of a row follow one another: reductions, whose results every thread gets, and loops and
stores that use them.  Where a row fits, a thread keeps what it loaded in registers from the first
stage to the last, so a softmax reads its row once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack

from tracejit.ir.kernel import For, Reduce, Statement, Store, expressions
from tracejit.ir.scalar import Expr, Loop
from tracejit_cuda import scalars
from tracejit_cuda.forms import RowsForm
from tracejit_cuda.nests import Access, Map, Rows, Stage, access, loads, place, stages, stores
from tracejit_cuda.serial import Serial, State, grouped, reference

__all__ = ["write_rows"]


def write_rows(e: Serial, nest: Map | Rows, how: RowsForm) -> None:
    """Write a nest of which a team of threads runs each iteration."""
    warp = how.team == 32
    lane = "((int)threadIdx.x & 31)" if warp else "(int)threadIdx.x"
    lane = e.declare("idx", lane, "lane")
    width = "32" if warp else "(idx)blockDim.x"
    ranges, total = e.ranges(nest.loops)
    if warp:
        teams = e.declare("idx", "(idx)blockDim.x / 32", "teams")
        first = f"(idx)bid * {teams} + (idx)threadIdx.x / 32"
        step = f"(idx)nb * {teams}"
    else:
        first, step = "(idx)bid", "(idx)nb"
    with ExitStack() as stack:
        flat = e.spread(total, first, step, stack)
        e.unflatten(flat, nest.loops, ranges)
        team = _Kept if how.chunks else _Wide if how.width > 1 else _Team
        team(e, lane, width, how, nest.body).run()


class _Team:
    """Writes the stages of a row, with a barrier where one reads another's writes."""

    def __init__(
        self, e: Serial, lane: str, width: str, how: RowsForm, body: Sequence[Statement]
    ) -> None:
        self.e = e
        self.lane = lane
        self.width = width
        self.how = how
        self.stages = body
        self.read: set[int] = set()
        self.written: set[int] = set()

    def run(self) -> None:
        """Write all stages."""
        for run in grouped(self.stages):
            self._wait(loads(run), stores(run))
            if isinstance(run[0], Store):
                with self.e.block(f"if ({self.lane} == 0)"):
                    self.e.serial(run)
                self.e.forget_loads(stores(run))
                self.forget(stores(run))
            elif isinstance(run[0], For):
                self._for(run[0])
            elif isinstance(run[0], Reduce):
                self._reduce(run[0])

    def forget(self, buffers: set[int]) -> None:
        """Take note that the leader has overwritten elements."""

    def _wait(self, reads: set[int], writes: set[int]) -> None:
        if reads & self.written or writes & (self.written | self.read):
            self.e.line("__syncwarp();" if self.how.team == 32 else "__syncthreads();")
            self.read, self.written = set(), set()
            self.e.forget_loads(reads | writes)
        self.read |= reads
        self.written |= writes

    def _for(self, s: For) -> None:
        (stage,) = stages((s,))
        self.e.forget_loads(stores(stage.body))
        self.share(stage, lambda: self.e.serial(stage.body))

    def _reduce(self, s: Reduce) -> None:
        e = self.e
        e.hoist(expressions(s), [v.var for v in s.loops])
        states = [e.accumulator(a, compensated=True) for a in s.accumulators]
        (stage,) = stages((s,))
        self.share(stage, lambda: e.accumulate(states))
        for x in states:
            e.bind(reference(x.of), self._together(x))

    def _together(self, x: State) -> str:
        """Write the reduction over the team; return the name of its result."""
        e, team = self.e, self.how.team
        if x.kind == "extreme":
            e.line(f"{x.name} = tj_team_extreme<{team}>({x.name});")
            return e.result(x)
        text = f"tj_team_reduce<{team}>(tj_{x.of.op}_op(), {e.result(x)})"
        return e.declare(scalars.type_name(x.of.value.dtype), text)

    def share(self, stage: Stage, step: Callable[[], None]) -> None:
        """Write the iterations of a stage, dealt out to the threads; `step` writes one."""
        ranges, total = self.e.ranges(stage.loops)
        with ExitStack() as stack:
            flat = self.e.spread(total, self.lane, self.width, stack)
            self.e.unflatten(flat, stage.loops, ranges)
            step()


class _Wide(_Team):
    """Stages of one loop each, `width` neighbours at a time."""

    def run(self) -> None:
        """Write all stages."""
        number = 0
        self.along: set[Access] = set()
        for stage in stages(self.stages):
            for x in stage.loads():
                if number in self.how.together:
                    self.along.add(access(x, stage.loops[0]))
                number += 1
        super().run()

    def share(self, stage: Stage, step: Callable[[], None]) -> None:
        """Write the iterations of a stage in chunks of neighbours."""
        e, v = self.e, self.how.width
        (loop,) = stage.loops
        chunks = e.declare("idx", f"{e.integer(loop.hi)} / {v}", "q")
        with ExitStack() as stack:
            number = e.spread(chunks, self.lane, self.width, stack)
            self.chunk(stage, e.declare("idx", f"{number} * {v}", "j"), step)

    def chunk(self, stage: Stage, start: str, step: Callable[[], None]) -> None:
        """Write one chunk: loads, lanes, stores."""
        e, v = self.e, self.how.width
        (loop,) = stage.loops
        targets = [s for s in stage.body if isinstance(s, Store)]
        # The lanes must not take offsets of the first element for theirs.
        e.variables[loop.var] = start
        e.scopes.append({})
        fetched = {x: self.fetch(x, loop) for x in self.aligned(stage)}
        places = [e.offset(s.offset) for s in targets]
        e.scopes.pop()
        kinds = [f"tj_vec<{scalars.storage_name(s.value.dtype)}, {v}>" for s in targets]
        results = [e.name("w") for _ in targets]
        for name, kind in zip(results, kinds, strict=True):
            e.line(f"{kind} {name};")
        lane = e.name("l")
        e.line("#pragma unroll")
        with e.block(f"for (int {lane} = 0; {lane} < {v}; ++{lane})"):
            e.variables[loop.var] = e.declare("idx", f"{start} + {lane}", "i")
            for x, vector in fetched.items():
                text = scalars.load(f"&{vector}.v[{lane}]", x.dtype)
                e.instead[x] = e.declare(scalars.type_name(x.dtype), text, "x")
            for s, name in zip(targets, results, strict=True):
                value = e.value(s.value)
                e.line(scalars.store(f"&{name}.v[{lane}]", value, s.value.dtype) + ";")
            if not targets:
                step()
        e.instead = {}
        for s, at, kind, name in zip(targets, places, kinds, results, strict=True):
            if not self.overwritten(s, loop):
                e.line(f"*({kind}*)(b{s.buffer} + {at}) = {name};")
            self.written_chunk(s, loop, name)
        e.forget_loads(stores(stage.body))

    def written_chunk(self, s: Store, loop: Loop, name: str) -> None:
        """Take note of what a chunk has stored."""

    def overwritten(self, s: Store, loop: Loop) -> bool:
        """Whether a store need not be made, for nobody sees it before the next one."""
        del s, loop
        return False

    def aligned(self, stage: Stage) -> list[Expr]:
        """Return the loads of a stage that are made a chunk at a time."""
        return [x for x in stage.loads() if access(x, stage.loops[0]) in self.along]

    def kind(self, x: Expr) -> str:
        """Return the type of a chunk of a load."""
        return f"tj_vec<{scalars.storage_name(x.dtype)}, {self.how.width}>"

    def fetch(self, x: Expr, loop: Loop) -> str:
        """Write the load of a chunk; return the name of the vector."""
        del loop
        kind = self.kind(x)
        address = f"b{x.attr} + {self.e.offset(x.args[0])}"
        return self.e.declare(kind, f"*(const {kind}*)({address})", "v")


class _Kept(_Wide):
    """Stages that keep in registers what later stages read: what they load, and what they store."""

    def run(self) -> None:
        """Write all stages."""
        self.kept: dict[Access, str] = {}
        self.filled: set[Access] = set()
        self.number = ""
        self.left: list[Stage] = list(stages(self.stages))
        self.later: set[Access] = set()
        super().run()

    def share(self, stage: Stage, step: Callable[[], None]) -> None:
        """Write the iterations of a stage, chunk by chunk."""
        e, v = self.e, self.how.width
        (loop,) = stage.loops
        del self.left[0]
        self.later = {access(x, s.loops[0]) for s in self.left for x in self.aligned(s)}
        mine = {access(x, loop): self.kind(x) for x in self.aligned(stage)}
        # Registers of what is read for the last time take what is stored in its place.
        free = [k for k in mine if k in self.kept and k not in self.later]
        for s in stage.body:
            if isinstance(s, Store):
                kind = f"tj_vec<{scalars.storage_name(s.value.dtype)}, {v}>"
                key = place(s.buffer, s.offset, loop)
                heir = next((k for k in free if mine[k] == kind), None)
                if key in self.later and key not in self.kept and heir is not None:
                    self.kept[key] = self.kept[heir]
                    free.remove(heir)
                mine.setdefault(key, kind)
        for key, kind in mine.items():
            if key in self.later and key not in self.kept:
                self.kept[key] = e.name("row")
                e.line(f"{kind} {self.kept[key]}[{self.how.chunks}];")
        self.number = e.name("c")
        e.line("#pragma unroll")
        head = f"for (int {self.number} = 0; {self.number} < {self.how.chunks}; ++{self.number})"
        with e.block(head):
            text = f"({self.lane} + {self.number} * {self.width}) * {v}"
            start = e.declare("idx", text, "j")
            with e.block(f"if ({start} < {e.integer(loop.hi)})"):
                self.chunk(stage, start, step)
        self.forget(stores(stage.body), set(mine))
        for key in [k for k in self.kept if k not in self.later]:
            del self.kept[key]
            self.filled.discard(key)

    def forget(self, buffers: set[int], but: Collection[Access] = ()) -> None:
        """Keep nothing of what was overwritten."""
        for key in [k for k in self.kept if k.buffer in buffers and k not in but]:
            del self.kept[key]
            self.filled.discard(key)

    def fetch(self, x: Expr, loop: Loop) -> str:
        """Return the place of a chunk in registers, loaded by the first stage that needs it."""
        key = access(x, loop)
        if key not in self.kept:
            return super().fetch(x, loop)
        name = f"{self.kept[key]}[{self.number}]"
        if key not in self.filled:
            address = f"b{x.attr} + {self.e.offset(x.args[0])}"
            self.e.line(f"{name} = *(const {self.kind(x)}*)({address});")
            self.filled.add(key)
        return name

    def written_chunk(self, s: Store, loop: Loop, name: str) -> None:
        """Keep what a chunk has stored, if a later stage reads it."""
        key = place(s.buffer, s.offset, loop)
        if key in self.kept and key in self.later:
            self.e.line(f"{self.kept[key]}[{self.number}] = {name};")
            self.filled.add(key)

    def overwritten(self, s: Store, loop: Loop) -> bool:
        """Whether a later stage stores to the same place, and all reads until then are kept."""
        key = place(s.buffer, s.offset, loop)
        again = any(
            isinstance(t, Store) and place(t.buffer, t.offset, x.loops[0]) == key
            for x in self.left
            for t in x.body
        )
        if not again or key not in self.kept:
            return False
        shared = [access(x, p.loops[0]) for p in stages(self.stages) for x in p.loads()]
        alone = [t for t in self.stages if isinstance(t, Store)]
        return all(a == key for a in shared if a.buffer == s.buffer) and s.buffer not in loads(
            alone
        )
