"""The interpreter of the driver's words, in LLVM text.

The numbers of instructions and of words of the context are those of :mod:`tracejit_llvm.driver`,
which says what they do.  The text needs ``pool_run`` of :mod:`tracejit_llvm.pool` in its module.
"""

from __future__ import annotations

import ctypes

__all__ = ["LONG_CHUNK", "driver_text", "python_symbols"]

LONG_CHUNK = 16
"""Rows of a chunk from which it starts at a multiple of four."""

_PYTHON_FUNCTIONS = (
    "PyErr_CheckSignals",
    "PyEval_RestoreThread",
    "PyEval_SaveThread",
    "PyObject_CallNoArgs",
    "Py_DecRef",
)


def python_symbols() -> dict[str, int]:
    """Return the addresses of the C API that the driver calls; all of it is in the stable ABI."""
    return {
        name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
        for name in _PYTHON_FUNCTIONS
    }


def driver_text(items_offset: int, address_offset: int) -> str:
    """Return the text of ``run(context)`` and of the signal handler ``on_signal``.

    Parameters
    ----------
    items_offset : int
        Where a Python list holds the address of its items.
    address_offset : int
        Where an ndarray holds the address of its elements.
    """
    text = _DRIVER.replace("ITEMS_OFFSET", str(items_offset))
    text = text.replace("ADDRESS_OFFSET", str(address_offset))
    return text.replace("LONG_CHUNK", str(LONG_CHUNK))


_DRIVER = """
declare i32 @PyErr_CheckSignals()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyEval_SaveThread()
declare ptr @PyObject_CallNoArgs(ptr)
declare void @Py_DecRef(ptr)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)

; One chunk of a launch: job = { kernel, buffers, sizes, floats, rows }.  Long ones start at every
; fourth row, so that kernels that take four rows at a time are left with none.
define internal void @chunk(ptr %job, i64 %i, i64 %n) {
  %p1 = getelementptr i64, ptr %job, i64 1
  %p2 = getelementptr i64, ptr %job, i64 2
  %p3 = getelementptr i64, ptr %job, i64 3
  %p4 = getelementptr i64, ptr %job, i64 4
  %fn = load ptr, ptr %job
  %buffers = load ptr, ptr %p1
  %sizes = load ptr, ptr %p2
  %floats = load ptr, ptr %p3
  %rows = load i64, ptr %p4
  %each = sdiv i64 %rows, %n
  %long = icmp sge i64 %each, LONG_CHUNK
  %mask = select i1 %long, i64 -4, i64 -1
  %a = mul i64 %i, %rows
  %a1 = sdiv i64 %a, %n
  %lo = and i64 %a1, %mask
  %i1 = add i64 %i, 1
  %b = mul i64 %i1, %rows
  %b1 = sdiv i64 %b, %n
  %b2 = and i64 %b1, %mask
  %last = icmp eq i64 %i1, %n
  %hi = select i1 %last, i64 %rows, i64 %b2
  call void %fn(ptr %buffers, ptr %sizes, ptr %floats, i64 %lo, i64 %hi)
  ret void
}

@interrupted = global i64 0
@previous_handler = global ptr null

; The handler of SIGINT during a run: does what the handler before it does, then sets the flag; in
; this order, as it may run in another thread than the run.
define void @on_signal(i32 %number, ptr %info, ptr %machine) {
  %previous = load atomic ptr, ptr @previous_handler monotonic, align 8
  call void %previous(i32 %number, ptr %info, ptr %machine)
  store atomic i64 1, ptr @interrupted seq_cst, align 8
  ret void
}

; Take the GIL if it was given away, and tell whether it was.
define internal i1 @take_gil(ptr %pthread) {
  %thread = load ptr, ptr %pthread
  %held = icmp eq ptr %thread, null
  br i1 %held, label %no, label %yes
no:
  ret i1 false
yes:
  store ptr null, ptr %pthread
  call void @PyEval_RestoreThread(ptr %thread)
  ret i1 true
}

define internal void @give_gil(ptr %pthread) {
  %thread = call ptr @PyEval_SaveThread()
  store ptr %thread, ptr %pthread
  ret void
}

define internal void @give_gil_again(ptr %pthread, i1 %released) {
  br i1 %released, label %yes, label %no
no:
  ret void
yes:
  call void @give_gil(ptr %pthread)
  ret void
}

define i64 @run(ptr %context) {
entry:
  %job = alloca [5 x i64]
  %pthread = alloca ptr
  store ptr null, ptr %pthread
  %pframe = getelementptr i64, ptr %context, i64 1
  %pscratch = getelementptr i64, ptr %context, i64 2
  %pflag = getelementptr i64, ptr %context, i64 3
  %pcallables = getelementptr i64, ptr %context, i64 4
  %ppool = getelementptr i64, ptr %context, i64 5
  %code = load ptr, ptr %context
  %frame = load ptr, ptr %pframe
  %scratch = load ptr, ptr %pscratch
  %flag = load ptr, ptr %pflag
  %pool = load ptr, ptr %ppool
  br label %next
next:
  %pc = phi ptr [ %code, %entry ], [ %pc.launch, %launch.done ], [ %pc.copy, %copy.done ],
    [ %pc.assign, %assign.done ], [ %pc.point, %point ], [ %pc.start, %start ],
    [ %pc.test, %test.go ], [ %pc.exit, %test.exit ], [ %pc.next, %advance ],
    [ %pc.unless, %unless ], [ %pc.jump, %jump ], [ %pc.switch, %switch ],
    [ %pc.call, %call.ok ], [ %pc.bind, %bind.done ], [ %pc, %signals.ok ],
    [ %pa, %release ]
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
    i64 12, label %bind
    i64 13, label %release
  ]
halt:
  %h.released = call i1 @take_gil(ptr %pthread)
  ret i64 0
release:
  call void @give_gil(ptr %pthread)
  br label %next

launch:
  %l.flag = load atomic i64, ptr %flag monotonic, align 8
  %l.stop = icmp ne i64 %l.flag, 0
  br i1 %l.stop, label %signals, label %launch.go
launch.go:
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
  %l.i = phi i64 [ 0, %launch.go ], [ %l.i1, %launch.fill ]
  %l.ps = getelementptr i64, ptr %l.slots, i64 %l.i
  %l.slot = load i64, ptr %l.ps
  %l.pv = getelementptr i64, ptr %frame, i64 %l.slot
  %l.v = load i64, ptr %l.pv
  %l.pb = getelementptr i64, ptr %scratch, i64 %l.i
  store i64 %l.v, ptr %l.pb
  %l.i1 = add i64 %l.i, 1
  %l.more = icmp slt i64 %l.i1, %l.n
  br i1 %l.more, label %launch.fill, label %launch.run
launch.run:
  %l.many = icmp sgt i64 %l.chunks, 1
  br i1 %l.many, label %launch.pool, label %launch.one
launch.one:
  call void %l.fn(ptr %scratch, ptr %l.sizes, ptr %l.floats, i64 0, i64 %l.rows)
  br label %launch.done
launch.pool:
  %j1 = getelementptr i64, ptr %job, i64 1
  %j2 = getelementptr i64, ptr %job, i64 2
  %j3 = getelementptr i64, ptr %job, i64 3
  %j4 = getelementptr i64, ptr %job, i64 4
  store ptr %l.fn, ptr %job
  store ptr %scratch, ptr %j1
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
  %a.pt = getelementptr i64, ptr %scratch, i64 %a.i
  store i64 %a.v, ptr %a.pt
  %a.i1 = add i64 %a.i, 1
  %a.more = icmp slt i64 %a.i1, %a.n
  br i1 %a.more, label %assign.read, label %assign.write
assign.write:
  %w.i = phi i64 [ 0, %assign.read ], [ %w.i1, %assign.write ]
  %w.pt = getelementptr i64, ptr %a.targets, i64 %w.i
  %w.slot = load i64, ptr %w.pt
  %w.ps = getelementptr i64, ptr %scratch, i64 %w.i
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
  %t.flag = load atomic i64, ptr %flag monotonic, align 8
  %t.stop = icmp ne i64 %t.flag, 0
  br i1 %t.stop, label %signals, label %test.count
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

; Clear the flag first: a signal that comes meanwhile sets it again.
signals:
  store atomic i64 0, ptr %flag seq_cst, align 8
  %g.released = call i1 @take_gil(ptr %pthread)
  %g.status = call i32 @PyErr_CheckSignals()
  %g.ok = icmp eq i32 %g.status, 0
  br i1 %g.ok, label %signals.ok, label %failed
signals.ok:
  call void @give_gil_again(ptr %pthread, i1 %g.released)
  br label %next
failed:
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
  %k.released = call i1 @take_gil(ptr %pthread)
  %k.list = load ptr, ptr %pcallables
  %k.pitems = getelementptr i8, ptr %k.list, i64 ITEMS_OFFSET
  %k.items = load ptr, ptr %k.pitems
  %k.pcallable = getelementptr ptr, ptr %k.items, i64 %k.n
  %k.callable = load ptr, ptr %k.pcallable
  %k.result = call ptr @PyObject_CallNoArgs(ptr %k.callable)
  %k.failed = icmp eq ptr %k.result, null
  br i1 %k.failed, label %failed, label %call.ok
call.ok:
  call void @Py_DecRef(ptr %k.result)
  call void @give_gil_again(ptr %pthread, i1 %k.released)
  %pc.call = getelementptr i64, ptr %pc, i64 2
  br label %next

bind:
  %b.word = load i64, ptr %pa
  %b.n = load i64, ptr %pb
  %b.plist = getelementptr i64, ptr %context, i64 %b.word
  %b.list = load ptr, ptr %b.plist
  %b.pitems = getelementptr i8, ptr %b.list, i64 ITEMS_OFFSET
  %b.items = load ptr, ptr %b.pitems
  br label %bind.one
bind.one:
  %b.i = phi i64 [ 0, %bind ], [ %b.i1, %bind.one ]
  %b.at = phi ptr [ %pc3, %bind ], [ %b.at1, %bind.one ]
  %b.slot = load i64, ptr %b.at
  %b.pn = getelementptr i64, ptr %b.at, i64 1
  %b.number = load i64, ptr %b.pn
  %b.pobject = getelementptr ptr, ptr %b.items, i64 %b.number
  %b.object = load ptr, ptr %b.pobject
  %b.paddress = getelementptr i8, ptr %b.object, i64 ADDRESS_OFFSET
  %b.address = load ptr, ptr %b.paddress
  %b.pslot = getelementptr i64, ptr %frame, i64 %b.slot
  store ptr %b.address, ptr %b.pslot
  %b.at1 = getelementptr i64, ptr %b.at, i64 2
  %b.i1 = add i64 %b.i, 1
  %b.more = icmp slt i64 %b.i1, %b.n
  br i1 %b.more, label %bind.one, label %bind.done
bind.done:
  %pc.bind = getelementptr i64, ptr %b.at1, i64 0
  br label %next
}
"""
