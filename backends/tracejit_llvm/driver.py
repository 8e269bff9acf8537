"""The driver: the steps of a plan as words, run by one native function.

A plan's steps become an array of 64-bit words, and :data:`DRIVER` (LLVM text, compiled once a
process) interprets them: it launches kernels, moves pointers, runs loops and branches, and calls
back.  No code is generated for a program or for a size of it; the price is a few nanoseconds a
step, far below the cost of a kernel.  This deviates from one generated function a program: 500
unrolled steps of one stencil are 500 launches of one kernel, and compile as fast as one.

The frame of a call is one array of words: scratch, then the slots, then loop registers.

Every trip of a loop looks at the interrupt flag of the context.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracejit.ir.plan import (
    Assign,
    Branch,
    Callback,
    Copy,
    Launch,
    LibraryCall,
    Plan,
    Point,
    Repeat,
    Step,
    While,
)

__all__ = ["DRIVER", "FAILED", "INTERRUPTED", "Code", "assemble"]

INTERRUPTED = 1
"""Status of a run that saw the interrupt flag; a callback that raised returns :data:`FAILED`."""
FAILED = 2

HALT, LAUNCH, COPY, ASSIGN, POINT, START, TEST, NEXT, UNLESS, JUMP, SWITCH, CALL = range(12)
MAX_BUFFERS = 1024


@dataclass(frozen=True)
class Code:
    """What the driver runs.

    Attributes
    ----------
    words : list of int
        The instructions.
    scratch : int
        Words of a frame before its first slot.
    frame : int
        Words of a frame from its first slot on.
    callbacks : tuple of Callback
        By the number in their instruction.
    """

    words: list[int]
    scratch: int
    frame: int
    callbacks: tuple[Callback, ...]


class _Assembler:
    def __init__(
        self,
        plan: Plan,
        launch: Callable[[Launch], tuple[int, int, int, int]],
        library: Callable[[LibraryCall], tuple[int, int]],
    ) -> None:
        self.plan = plan
        self.launch = launch
        self.library = library
        self.words: list[int] = []
        self.registers = len(plan.slots)
        self.scratch = 0
        self.callbacks: list[Callback] = []

    def emit(self, *words: int) -> int:
        """Append an instruction and return where it starts."""
        at = len(self.words)
        self.words.extend(words)
        return at

    def steps(self, steps: Sequence[Step], register: int | None) -> None:
        """Append `steps`; `register` holds the trip of the loop around them."""
        for step in steps:
            if isinstance(step, Launch):
                address, sizes, floats, chunks = self.launch(step)
                assert len(step.slots) <= MAX_BUFFERS
                self.emit(
                    LAUNCH, address, len(step.slots), sizes, floats, step.rows, chunks, *step.slots
                )
            elif isinstance(step, LibraryCall):
                address, sizes = self.library(step)
                self.emit(LAUNCH, address, len(step.slots), sizes, 0, 1, 1, *step.slots)
            elif isinstance(step, Copy):
                self.emit(COPY, step.target, step.source, step.nbytes)
            elif isinstance(step, Assign):
                self.scratch = max(self.scratch, len(step.targets))
                self.emit(ASSIGN, len(step.targets), *step.targets, *step.sources)
            elif isinstance(step, Point):
                assert register is not None, "a Point stands outside of every loop"
                self.emit(
                    POINT, step.target, step.base, step.stride, register, int(step.reverse)
                )
            elif isinstance(step, Callback):
                self.emit(CALL, len(self.callbacks))
                self.callbacks.append(step)
            elif isinstance(step, Branch):
                self._branch(step, register)
            else:
                self._loop(step)

    def _loop(self, step: Repeat | While) -> None:
        register = self.registers
        self.registers += 2
        count = step.count if isinstance(step, Repeat) else 2**62
        self.emit(START, register, count)
        top = self.emit(TEST, register, 0)
        exits = [top + 2]
        if isinstance(step, While):
            self.steps(step.condition, register)
            exits.append(self.emit(UNLESS, step.predicate, 0) + 2)
        self.steps(step.body, register)
        self.emit(NEXT, register, top)
        for at in exits:
            self.words[at] = len(self.words)

    def _branch(self, step: Branch, register: int | None) -> None:
        table = self.emit(SWITCH, step.index, len(step.branches), *[0] * len(step.branches)) + 3
        jumps = []
        for n, branch in enumerate(step.branches):
            self.words[table + n] = len(self.words)
            self.steps(branch, register)
            jumps.append(self.emit(JUMP, 0) + 1)
        for at in jumps:
            self.words[at] = len(self.words)


def assemble(
    plan: Plan,
    launch: Callable[[Launch], tuple[int, int, int, int]],
    library: Callable[[LibraryCall], tuple[int, int]],
) -> Code:
    """Return the code of a plan.

    Parameters
    ----------
    plan : Plan
        What to run.
    launch : callable
        Gives the addresses of a launch's kernel, sizes and floats, and the number of chunks.
    library : callable
        Gives the addresses of a library call's function and params.
    """
    a = _Assembler(plan, launch, library)
    a.steps(plan.steps, None)
    a.emit(HALT)
    return Code(a.words, a.scratch, a.registers, tuple(a.callbacks))


DRIVER = """
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)

; One chunk of a launch: job = { kernel, buffers, sizes, floats, rows }.
define void @chunk(ptr %job, i64 %i, i64 %n) {
  %p1 = getelementptr i64, ptr %job, i64 1
  %p2 = getelementptr i64, ptr %job, i64 2
  %p3 = getelementptr i64, ptr %job, i64 3
  %p4 = getelementptr i64, ptr %job, i64 4
  %fn = load ptr, ptr %job
  %buffers = load ptr, ptr %p1
  %sizes = load ptr, ptr %p2
  %floats = load ptr, ptr %p3
  %rows = load i64, ptr %p4
  %a = mul i64 %i, %rows
  %lo = sdiv i64 %a, %n
  %i1 = add i64 %i, 1
  %b = mul i64 %i1, %rows
  %hi = sdiv i64 %b, %n
  call void %fn(ptr %buffers, ptr %sizes, ptr %floats, i64 %lo, i64 %hi)
  ret void
}

; context = { interrupt flag, callback, pool state, callback's data }
define i64 @run(ptr %code, ptr %frame, ptr %context) {
entry:
  %buffers = alloca [1024 x ptr]
  %job = alloca [5 x i64]
  %pcallback = getelementptr i64, ptr %context, i64 1
  %ppool = getelementptr i64, ptr %context, i64 2
  %callback = load ptr, ptr %pcallback
  %pool = load ptr, ptr %ppool
  br label %next
next:
  %pc = phi ptr [ %code, %entry ], [ %pc.launch, %launch.done ], [ %pc.copy, %copy.done ],
    [ %pc.assign, %assign.done ], [ %pc.point, %point ], [ %pc.start, %start ],
    [ %pc.test, %test.go ], [ %pc.exit, %test.exit ], [ %pc.next, %advance ],
    [ %pc.unless, %unless ], [ %pc.jump, %jump ], [ %pc.switch, %switch ], [ %pc.call, %call.ok ]
  %op = load i64, ptr %pc
  %pa = getelementptr i64, ptr %pc, i64 1
  %pb = getelementptr i64, ptr %pc, i64 2
  %pc3 = getelementptr i64, ptr %pc, i64 3
  %pd = getelementptr i64, ptr %pc, i64 4
  %pe = getelementptr i64, ptr %pc, i64 5
  %pf = getelementptr i64, ptr %pc, i64 6
  switch i64 %op, label %halt [
    i64 1, label %launch
    i64 2, label %copy
    i64 3, label %assign
    i64 4, label %point
    i64 5, label %start
    i64 6, label %test
    i64 7, label %advance
    i64 8, label %unless
    i64 9, label %jump
    i64 10, label %switch
    i64 11, label %call
  ]
halt:
  ret i64 0

launch:
  %l.fn = load ptr, ptr %pa
  %l.n = load i64, ptr %pb
  %l.sizes = load ptr, ptr %pc3
  %l.floats = load ptr, ptr %pd
  %l.rows = load i64, ptr %pe
  %l.chunks = load i64, ptr %pf
  %l.slots = getelementptr i64, ptr %pc, i64 7
  %l.any = icmp sgt i64 %l.n, 0
  br i1 %l.any, label %launch.fill, label %launch.run
launch.fill:
  %l.i = phi i64 [ 0, %launch ], [ %l.i1, %launch.fill ]
  %l.ps = getelementptr i64, ptr %l.slots, i64 %l.i
  %l.slot = load i64, ptr %l.ps
  %l.pv = getelementptr i64, ptr %frame, i64 %l.slot
  %l.v = load i64, ptr %l.pv
  %l.pb = getelementptr i64, ptr %buffers, i64 %l.i
  store i64 %l.v, ptr %l.pb
  %l.i1 = add i64 %l.i, 1
  %l.more = icmp slt i64 %l.i1, %l.n
  br i1 %l.more, label %launch.fill, label %launch.run
launch.run:
  %l.many = icmp sgt i64 %l.chunks, 1
  br i1 %l.many, label %launch.pool, label %launch.one
launch.one:
  call void %l.fn(ptr %buffers, ptr %l.sizes, ptr %l.floats, i64 0, i64 %l.rows)
  br label %launch.done
launch.pool:
  %j1 = getelementptr i64, ptr %job, i64 1
  %j2 = getelementptr i64, ptr %job, i64 2
  %j3 = getelementptr i64, ptr %job, i64 3
  %j4 = getelementptr i64, ptr %job, i64 4
  store ptr %l.fn, ptr %job
  store ptr %buffers, ptr %j1
  store ptr %l.sizes, ptr %j2
  store ptr %l.floats, ptr %j3
  store i64 %l.rows, ptr %j4
  call void @pool_run(ptr %pool, ptr @chunk, ptr %job, i64 %l.chunks)
  br label %launch.done
launch.done:
  %pc.launch = getelementptr i64, ptr %l.slots, i64 %l.n
  br label %next

copy:
  %c.t = load i64, ptr %pa
  %c.s = load i64, ptr %pb
  %c.n = load i64, ptr %pc3
  %c.pt = getelementptr i64, ptr %frame, i64 %c.t
  %c.ps = getelementptr i64, ptr %frame, i64 %c.s
  %c.to = load ptr, ptr %c.pt
  %c.from = load ptr, ptr %c.ps
  %c.same = icmp eq ptr %c.to, %c.from
  br i1 %c.same, label %copy.done, label %copy.move
copy.move:
  call void @llvm.memmove.p0.p0.i64(ptr %c.to, ptr %c.from, i64 %c.n, i1 false)
  br label %copy.done
copy.done:
  %pc.copy = getelementptr i64, ptr %pc, i64 4
  br label %next

assign:
  %a.n = load i64, ptr %pa
  %a.targets = getelementptr i64, ptr %pc, i64 2
  %a.sources = getelementptr i64, ptr %a.targets, i64 %a.n
  br label %assign.read
assign.read:
  %a.i = phi i64 [ 0, %assign ], [ %a.i1, %assign.read ]
  %a.ps = getelementptr i64, ptr %a.sources, i64 %a.i
  %a.slot = load i64, ptr %a.ps
  %a.pv = getelementptr i64, ptr %frame, i64 %a.slot
  %a.v = load i64, ptr %a.pv
  %a.neg = sub i64 -1, %a.i
  %a.pt = getelementptr i64, ptr %frame, i64 %a.neg
  store i64 %a.v, ptr %a.pt
  %a.i1 = add i64 %a.i, 1
  %a.more = icmp slt i64 %a.i1, %a.n
  br i1 %a.more, label %assign.read, label %assign.write
assign.write:
  %w.i = phi i64 [ 0, %assign.read ], [ %w.i1, %assign.write ]
  %w.pt = getelementptr i64, ptr %a.targets, i64 %w.i
  %w.slot = load i64, ptr %w.pt
  %w.neg = sub i64 -1, %w.i
  %w.ps = getelementptr i64, ptr %frame, i64 %w.neg
  %w.v = load i64, ptr %w.ps
  %w.pv = getelementptr i64, ptr %frame, i64 %w.slot
  store i64 %w.v, ptr %w.pv
  %w.i1 = add i64 %w.i, 1
  %w.more = icmp slt i64 %w.i1, %a.n
  br i1 %w.more, label %assign.write, label %assign.done
assign.done:
  %pc.assign = getelementptr i64, ptr %a.sources, i64 %a.n
  br label %next

point:
  %p.t = load i64, ptr %pa
  %p.b = load i64, ptr %pb
  %p.stride = load i64, ptr %pc3
  %p.r = load i64, ptr %pd
  %p.reverse = load i64, ptr %pe
  %p.ptrip = getelementptr i64, ptr %frame, i64 %p.r
  %p.trip = load i64, ptr %p.ptrip
  %p.pcount = getelementptr i64, ptr %p.ptrip, i64 1
  %p.count = load i64, ptr %p.pcount
  %p.last = sub i64 %p.count, 1
  %p.back = sub i64 %p.last, %p.trip
  %p.rev = icmp ne i64 %p.reverse, 0
  %p.at = select i1 %p.rev, i64 %p.back, i64 %p.trip
  %p.off = mul i64 %p.at, %p.stride
  %p.pb = getelementptr i64, ptr %frame, i64 %p.b
  %p.base = load i64, ptr %p.pb
  %p.address = add i64 %p.base, %p.off
  %p.pt = getelementptr i64, ptr %frame, i64 %p.t
  store i64 %p.address, ptr %p.pt
  %pc.point = getelementptr i64, ptr %pc, i64 6
  br label %next

start:
  %s.r = load i64, ptr %pa
  %s.n = load i64, ptr %pb
  %s.ptrip = getelementptr i64, ptr %frame, i64 %s.r
  %s.pcount = getelementptr i64, ptr %s.ptrip, i64 1
  store i64 0, ptr %s.ptrip
  store i64 %s.n, ptr %s.pcount
  %pc.start = getelementptr i64, ptr %pc, i64 3
  br label %next

test:
  %t.flag = load atomic i64, ptr %context monotonic, align 8
  %t.stop = icmp ne i64 %t.flag, 0
  br i1 %t.stop, label %interrupted, label %test.count
test.count:
  %t.r = load i64, ptr %pa
  %t.ptrip = getelementptr i64, ptr %frame, i64 %t.r
  %t.pcount = getelementptr i64, ptr %t.ptrip, i64 1
  %t.trip = load i64, ptr %t.ptrip
  %t.count = load i64, ptr %t.pcount
  %t.more = icmp slt i64 %t.trip, %t.count
  br i1 %t.more, label %test.go, label %test.exit
test.go:
  %pc.test = getelementptr i64, ptr %pc, i64 3
  br label %next
test.exit:
  %t.to = load i64, ptr %pb
  %pc.exit = getelementptr i64, ptr %code, i64 %t.to
  br label %next
interrupted:
  ret i64 1

advance:
  %n.r = load i64, ptr %pa
  %n.to = load i64, ptr %pb
  %n.ptrip = getelementptr i64, ptr %frame, i64 %n.r
  %n.trip = load i64, ptr %n.ptrip
  %n.trip1 = add i64 %n.trip, 1
  store i64 %n.trip1, ptr %n.ptrip
  %pc.next = getelementptr i64, ptr %code, i64 %n.to
  br label %next

unless:
  %u.slot = load i64, ptr %pa
  %u.to = load i64, ptr %pb
  %u.pp = getelementptr i64, ptr %frame, i64 %u.slot
  %u.p = load ptr, ptr %u.pp
  %u.v = load i8, ptr %u.p
  %u.false = icmp eq i8 %u.v, 0
  %u.there = getelementptr i64, ptr %code, i64 %u.to
  %u.here = getelementptr i64, ptr %pc, i64 3
  %pc.unless = select i1 %u.false, ptr %u.there, ptr %u.here
  br label %next

jump:
  %j.to = load i64, ptr %pa
  %pc.jump = getelementptr i64, ptr %code, i64 %j.to
  br label %next

switch:
  %x.slot = load i64, ptr %pa
  %x.n = load i64, ptr %pb
  %x.pp = getelementptr i64, ptr %frame, i64 %x.slot
  %x.p = load ptr, ptr %x.pp
  %x.v32 = load i32, ptr %x.p
  %x.v = sext i32 %x.v32 to i64
  %x.last = sub i64 %x.n, 1
  %x.over = icmp sgt i64 %x.v, %x.last
  %x.v1 = select i1 %x.over, i64 %x.last, i64 %x.v
  %x.under = icmp slt i64 %x.v1, 0
  %x.v2 = select i1 %x.under, i64 0, i64 %x.v1
  %x.pt = getelementptr i64, ptr %pc3, i64 %x.v2
  %x.to = load i64, ptr %x.pt
  %pc.switch = getelementptr i64, ptr %code, i64 %x.to
  br label %next

call:
  %k.n = load i64, ptr %pa
  %k.status = call i64 %callback(i64 %k.n, ptr %frame)
  %k.ok = icmp eq i64 %k.status, 0
  br i1 %k.ok, label %call.ok, label %call.failed
call.ok:
  %pc.call = getelementptr i64, ptr %pc, i64 2
  br label %next
call.failed:
  ret i64 2
}
"""
