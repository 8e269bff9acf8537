"""A fork-join pool in LLVM text: workers claim chunks of one job at a time.

A job is a ticket: its generation in the high half of a word, the chunks that remain in the low
half.  Workers and the caller count it down by compare-and-swap, so a late worker can only take a
chunk that is still there.  Idle workers spin for a while, then sleep (a futex on Linux, elsewhere
they nap); so does a caller that waits for the last chunks.  Who spins gives its processor away
every 64 pauses: on a machine whose other core is taken, two threads without that took 1.9 times as
long as one, and with it 1.03 times.  One caller has the pool at a time; a second one that comes
meanwhile runs its job alone.

What is computed does not depend on who runs a chunk, nor on how many chunks there are.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

from tracejit.backend.threads import default_threads

__all__ = ["Pool", "default_threads", "pool_text"]

# Words of the state, each on a cache line of its own where it is contended.
_WORDS = 128
_SPIN_LIMIT = 40
_MOST_CHUNKS = 41
_SPIN = 4000
_CHUNKS_PER_THREAD = 8


def _pause(triple: str) -> tuple[str, str]:
    if triple.startswith(("x86_64", "i686")):
        return "declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"
    if triple.startswith(("aarch64", "arm64")):
        return "", 'call void asm sideeffect "yield", ""()'
    return "", ""


def _futex(triple: str) -> tuple[str, str]:
    """Return the bodies of ``futex_wait(word, seen)`` and ``futex_wake(word)``."""
    number = {"x86_64": 202, "aarch64": 98}.get(triple.split("-")[0])
    if number is None or not sys.platform.startswith("linux"):
        return "call i32 @usleep(i32 50)", "add i64 0, 0"
    call = f"call i64 (i64, ...) @syscall(i64 {number}, ptr %word, "
    return (
        call + "i32 128, i32 %seen, ptr null, ptr null, i32 0)",
        call + "i32 129, i32 2147483647, ptr null, ptr null, i32 0)",
    )


def pool_text(triple: str) -> str:
    """Return the text of ``pool_run(state, function, argument, chunks)``, ``worker(state)`` and
    ``pool_stop(state)``."""
    declare, pause = _pause(triple)
    wait, wake = _futex(triple)
    return f"""
{declare}
declare i32 @usleep(i32)
declare i32 @sched_yield()
declare i64 @syscall(i64, ...)

define internal void @futex_wait(ptr %word, i32 %seen) {{
  %r = {wait}
  ret void
}}

define internal void @futex_wake(ptr %word) {{
  %r = {wake}
  ret void
}}

; On a busy machine the thread that is waited for may stand behind this one.
define internal void @yield_at_times(i64 %k) {{
  %low = and i64 %k, 63
  %now = icmp eq i64 %low, 0
  br i1 %now, label %yes, label %no
yes:
  %r = call i32 @sched_yield()
  br label %no
no:
  ret void
}}

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
  %d = atomicrmw add ptr %pdone, i64 1 seq_cst
  %pwaiting = getelementptr i64, ptr %s, i64 56
  %waiting = load atomic i64, ptr %pwaiting seq_cst, align 8
  %asleep = icmp ne i64 %waiting, 0
  br i1 %asleep, label %wake, label %try
wake:
  call void @futex_wake(ptr %pdone)
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
  call void @yield_at_times(i64 %k1)
  %more = icmp slt i64 %k1, %limit
  br i1 %more, label %spin, label %park
park:
  %g = load atomic i32, ptr %generation seq_cst, align 4
  %o1 = atomicrmw add ptr %psleepers, i64 1 seq_cst
  %t2 = load atomic i64, ptr %s seq_cst, align 8
  %rest2 = and i64 %t2, 4294967295
  %has2 = icmp ne i64 %rest2, 0
  %stop2 = load atomic i64, ptr %pstop seq_cst, align 8
  %stopped2 = icmp ne i64 %stop2, 0
  %stay = or i1 %has2, %stopped2
  br i1 %stay, label %unpark, label %sleep
sleep:
  call void @futex_wait(ptr %generation, i32 %g)
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

; Workers leave when they next look; a change of generation wakes those that are about to sleep.
define void @pool_stop(ptr %s) {{
  %pstop = getelementptr i64, ptr %s, i64 32
  %generation = getelementptr i32, ptr %s, i64 1
  store atomic i64 1, ptr %pstop seq_cst, align 8
  %t = atomicrmw add ptr %s, i64 4294967296 seq_cst
  call void @futex_wake(ptr %generation)
  ret void
}}

define void @pool_run(ptr %s, ptr %fn, ptr %arg, i64 %wanted) {{
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
  %pmost = getelementptr i64, ptr %s, i64 41
  %most = load atomic i64, ptr %pmost monotonic, align 8
  %fewer = icmp slt i64 %wanted, %most
  %n = select i1 %fewer, i64 %wanted, i64 %most
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
  call void @futex_wake(ptr %generation)
  br label %part
part:
  call void @pool_drain(ptr %s)
  br label %wait
wait:
  %k = phi i64 [ 0, %part ], [ %k1, %pausing ]
  %d = load atomic i64, ptr %pdone acquire, align 8
  %finished = icmp eq i64 %d, %n
  br i1 %finished, label %out, label %pausing
pausing:
  {pause}
  %k1 = add i64 %k, 1
  call void @yield_at_times(i64 %k1)
  %spinning = icmp slt i64 %k1, 2000
  br i1 %spinning, label %wait, label %park
park:
  %pwaiting = getelementptr i64, ptr %s, i64 56
  store atomic i64 1, ptr %pwaiting seq_cst, align 8
  br label %look
look:
  %d1 = load atomic i64, ptr %pdone seq_cst, align 8
  %finished1 = icmp eq i64 %d1, %n
  br i1 %finished1, label %awake, label %sleep
sleep:
  %seen = trunc i64 %d1 to i32
  call void @futex_wait(ptr %pdone, i32 %seen)
  br label %look
awake:
  store atomic i64 0, ptr %pwaiting seq_cst, align 8
  br label %out
out:
  store atomic i64 0, ptr %plock release, align 8
  ret void
}}
"""


class Pool:
    """The workers of this process; they are started when they are first needed.

    Parameters
    ----------
    worker, stop : int
        Addresses of the native functions ``worker`` and ``pool_stop``.
    """

    def __init__(self, worker: int, stop: int) -> None:
        self.threads = default_threads()
        self._worker = worker
        self._stop = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(stop)
        self._lock = threading.Lock()
        self._new_state()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _new_state(self) -> None:
        # Never freed: workers of an earlier state may still look at it, also at exit.
        words = (ctypes.c_int64 * (_WORDS + 8))()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(words))
        self._state = -(-ctypes.addressof(words) // 64) * 64
        self._words = (ctypes.c_int64 * _WORDS).from_address(self._state)
        self._words[_SPIN_LIMIT] = _SPIN
        self._words[_MOST_CHUNKS] = _CHUNKS_PER_THREAD * self.threads
        self._running = 0

    def _forget(self) -> None:
        """In a forked child there are no workers, and the lock may have been taken."""
        self._lock = threading.Lock()
        self._new_state()

    def address(self) -> int:
        """Return the state's address for ``pool_run``, starting workers; 0 for one thread."""
        if self.threads == 1:
            return 0
        if self._running < self.threads - 1:
            self._start()
        return self._state

    def _start(self) -> None:
        with self._lock:
            if os.name != "posix":
                self.threads = 1
                return
            create = ctypes.CDLL(None).pthread_create
            create.argtypes = [ctypes.c_void_p] * 4
            # Signals are for the threads of Python.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                while self._running < self.threads - 1:
                    thread = ctypes.c_uint64()
                    if create(ctypes.addressof(thread), None, self._worker, self._state):
                        self.threads = self._running + 1  # the system gives no more
                        break
                    self._running += 1
                    _detach(thread.value)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def set_num_threads(self, n: int) -> None:
        """Use `n` threads from the next call on.

        Raises
        ------
        ValueError
            If `n` is less than 1.
        """
        if n < 1:
            raise ValueError(f"set_num_threads: n must be at least 1; got {n}")
        with self._lock:
            self.threads = n
            self._words[_MOST_CHUNKS] = _CHUNKS_PER_THREAD * n
            if n - 1 < self._running:
                self._stop(self._state)
                self._new_state()


def _detach(thread: int) -> None:
    """Let a thread's resources go when it ends."""
    detach = ctypes.CDLL(None).pthread_detach
    detach.argtypes = [ctypes.c_void_p]
    detach(thread)
