"""A fork-join pool in LLVM text: workers claim chunks of one job at a time.

A job is a ticket: its generation in the high half of a word, the chunks that remain in the low
half.  Workers and the caller count it down by compare-and-swap, so a late worker can only take a
chunk that is still there.  Idle workers spin for a while, then sleep (a futex on Linux, else they
yield).  One caller has the pool at a time; a second one that comes meanwhile runs its job alone.

What is computed does not depend on who runs a chunk, nor on how many chunks there are.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from typing import Any

import numpy as np

__all__ = ["Pool", "pool_text"]

# Words of the state, each on a cache line of its own where it is contended.
_WORDS = 128
_SPIN_LIMIT = 40
_SPIN = 4000


def _pause(triple: str) -> tuple[str, str]:
    if triple.startswith(("x86_64", "i686")):
        return "declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"
    if triple.startswith(("aarch64", "arm64")):
        return "", 'call void asm sideeffect "yield", ""()'
    return "", ""


def _sleep(triple: str) -> tuple[str, str]:
    """Return how to wait until a generation changes, and how to wake who waits."""
    number = {"x86_64": 202, "aarch64": 98}.get(triple.split("-")[0])
    if number is None or not sys.platform.startswith("linux"):
        return "call i32 @sched_yield()", "add i64 0, 0"
    call = f"call i64 (i64, ...) @syscall(i64 {number}, ptr %generation, "
    return (
        call + "i32 128, i32 %g, ptr null, ptr null, i32 0)",
        call + "i32 129, i32 2147483647, ptr null, ptr null, i32 0)",
    )


def pool_text(triple: str) -> str:
    """Return the text of ``pool_run(state, function, argument, chunks)`` and ``worker(state)``."""
    declare, pause = _pause(triple)
    wait, wake = _sleep(triple)
    return f"""
{declare}
declare i32 @sched_yield()
declare i64 @syscall(i64, ...)

define internal void @pool_drain(ptr %s) {{
entry:
  %pdone = getelementptr i64, ptr %s, i64 8
  %pfn = getelementptr i64, ptr %s, i64 16
  %parg = getelementptr i64, ptr %s, i64 17
  %pn = getelementptr i64, ptr %s, i64 18
  br label %try
try:
  %t = load atomic i64, ptr %s acquire, align 8
  %rest = and i64 %t, 4294967295
  %none = icmp eq i64 %rest, 0
  br i1 %none, label %out, label %claim
claim:
  %fn = load atomic ptr, ptr %pfn monotonic, align 8
  %arg = load atomic ptr, ptr %parg monotonic, align 8
  %n = load atomic i64, ptr %pn monotonic, align 8
  %t1 = sub i64 %t, 1
  %x = cmpxchg ptr %s, i64 %t, i64 %t1 acq_rel acquire
  %ok = extractvalue {{i64, i1}} %x, 1
  br i1 %ok, label %work, label %try
work:
  %i = sub i64 %rest, 1
  call void %fn(ptr %arg, i64 %i, i64 %n)
  %d = atomicrmw add ptr %pdone, i64 1 acq_rel
  br label %try
out:
  ret void
}}

define void @worker(ptr %s) {{
entry:
  %psleepers = getelementptr i64, ptr %s, i64 24
  %pstop = getelementptr i64, ptr %s, i64 32
  %pspin = getelementptr i64, ptr %s, i64 40
  %generation = getelementptr i32, ptr %s, i64 1
  br label %idle
idle:
  %limit = load atomic i64, ptr %pspin monotonic, align 8
  br label %spin
spin:
  %k = phi i64 [ 0, %idle ], [ %k1, %again ]
  %t = load atomic i64, ptr %s acquire, align 8
  %rest = and i64 %t, 4294967295
  %has = icmp ne i64 %rest, 0
  br i1 %has, label %go, label %look
look:
  %stop = load atomic i64, ptr %pstop monotonic, align 8
  %stopped = icmp ne i64 %stop, 0
  br i1 %stopped, label %bye, label %again
again:
  {pause}
  %k1 = add i64 %k, 1
  %more = icmp slt i64 %k1, %limit
  br i1 %more, label %spin, label %park
park:
  %g = load atomic i32, ptr %generation seq_cst, align 4
  %o1 = atomicrmw add ptr %psleepers, i64 1 seq_cst
  %t2 = load atomic i64, ptr %s seq_cst, align 8
  %rest2 = and i64 %t2, 4294967295
  %has2 = icmp ne i64 %rest2, 0
  br i1 %has2, label %unpark, label %sleep
sleep:
  %w = {wait}
  br label %unpark
unpark:
  %o2 = atomicrmw sub ptr %psleepers, i64 1 seq_cst
  br label %idle
go:
  call void @pool_drain(ptr %s)
  br label %idle
bye:
  ret void
}}

define void @pool_run(ptr %s, ptr %fn, ptr %arg, i64 %n) {{
entry:
  %alone = icmp eq ptr %s, null
  br i1 %alone, label %serial, label %lock
lock:
  %plock = getelementptr i64, ptr %s, i64 48
  %l = cmpxchg ptr %plock, i64 0, i64 1 acq_rel acquire
  %mine = extractvalue {{i64, i1}} %l, 1
  br i1 %mine, label %start, label %serial
serial:
  call void %fn(ptr %arg, i64 0, i64 1)
  ret void
start:
  %generation = getelementptr i32, ptr %s, i64 1
  %pdone = getelementptr i64, ptr %s, i64 8
  %pfn = getelementptr i64, ptr %s, i64 16
  %parg = getelementptr i64, ptr %s, i64 17
  %pn = getelementptr i64, ptr %s, i64 18
  %psleepers = getelementptr i64, ptr %s, i64 24
  store atomic ptr %fn, ptr %pfn monotonic, align 8
  store atomic ptr %arg, ptr %parg monotonic, align 8
  store atomic i64 %n, ptr %pn monotonic, align 8
  store atomic i64 0, ptr %pdone monotonic, align 8
  %t = load atomic i64, ptr %s monotonic, align 8
  %g0 = lshr i64 %t, 32
  %g1 = add i64 %g0, 1
  %g2 = shl i64 %g1, 32
  %ticket = or i64 %g2, %n
  store atomic i64 %ticket, ptr %s seq_cst, align 8
  %sleepers = load atomic i64, ptr %psleepers seq_cst, align 8
  %any = icmp sgt i64 %sleepers, 0
  br i1 %any, label %wake, label %part
wake:
  %w = {wake}
  br label %part
part:
  call void @pool_drain(ptr %s)
  br label %wait
wait:
  %k = phi i64 [ 0, %part ], [ %k1, %pausing ], [ 0, %yield ]
  %d = load atomic i64, ptr %pdone acquire, align 8
  %finished = icmp eq i64 %d, %n
  br i1 %finished, label %out, label %pausing
pausing:
  {pause}
  %k1 = add i64 %k, 1
  %spinning = icmp slt i64 %k1, 2000
  br i1 %spinning, label %wait, label %yield
yield:
  %y = call i32 @sched_yield()
  br label %wait
out:
  store atomic i64 0, ptr %plock release, align 8
  ret void
}}
"""


def default_threads() -> int:
    """Return ``TRACEJIT_NUM_THREADS``, or the number of processors this process may use."""
    wanted = os.environ.get("TRACEJIT_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool:
    """The workers of this process; they are started when they are first needed.

    Parameters
    ----------
    worker : int
        Address of the native function ``worker``.
    """

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.threads = default_threads()
        self.running = 0
        self._lock = threading.Lock()
        self._states: list[Any] = []
        self._new_state()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _new_state(self) -> None:
        words = np.zeros(_WORDS, np.int64)
        words[_SPIN_LIMIT] = _SPIN
        self._states.append(words)  # workers of an earlier state may still look at it
        self.words = words
        self.running = 0

    def _forget(self) -> None:
        """In a forked child there are no workers, and the lock may have been taken."""
        self._lock = threading.Lock()
        self._new_state()

    def address(self) -> int:
        """Return the state's address for ``pool_run``, starting workers; 0 for one thread."""
        if self.threads == 1:
            return 0
        if self.running < self.threads - 1:
            self._start()
        return int(self.words.ctypes.data)

    def _start(self) -> None:
        with self._lock:
            create = ctypes.CDLL(None).pthread_create
            create.argtypes = [ctypes.c_void_p] * 4
            while self.running < self.threads - 1:
                thread = ctypes.c_uint64()
                state = ctypes.c_void_p(self.words.ctypes.data)
                if create(ctypes.byref(thread), None, ctypes.c_void_p(self.worker), state):
                    self.threads = self.running + 1  # the system gives no more
                    break
                self.running += 1

    def set_num_threads(self, n: int) -> None:
        """Use `n` threads from the next call on."""
        with self._lock:
            if n - 1 < self.running:
                self.words[32] = 1  # stop: these workers leave when they next look
                self._new_state()
            self.threads = n
