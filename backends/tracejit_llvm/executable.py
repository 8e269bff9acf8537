"""A plan made native: its code, frames for its calls, and the trampoline of its callbacks."""

from __future__ import annotations

import concurrent.futures
import ctypes
import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.ir.plan import (
    Assign,
    Branch,
    Callback,
    Copy,
    Launch,
    LibraryCall,
    Plan,
    Repeat,
    Step,
    While,
)
from tracejit_llvm.blas import matmul_name
from tracejit_llvm.driver import FAILED, INTERRUPTED, assemble
from tracejit_llvm.emit import emit_kernel

__all__ = ["NativeExecutable"]

_HEADER = object.__basicsize__
_word_at = ctypes.c_size_t.from_address


def _peek(array: np.ndarray[Any, Any]) -> int:
    """Return the address of the elements, read from the array object itself: 8 times quicker."""
    return _word_at(id(array) + _HEADER).value


def _ask(array: np.ndarray[Any, Any]) -> int:
    return int(array.ctypes.data)


def _choose() -> Any:
    """Return the quick way if it gives right answers in this interpreter, else the slow one."""
    probes: list[np.ndarray[Any, Any]] = [
        np.zeros(3),
        np.zeros((2, 2), np.int8)[1:],
        np.zeros(()),
        np.zeros((0, 4)),
    ]
    return _peek if all(_peek(p) == _ask(p) for p in probes) else _ask


address_of = _choose()

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
_ARGUMENTS = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_RUN = ctypes.CFUNCTYPE(ctypes.c_int64, *_ARGUMENTS)
_RUN_WITH_GIL = ctypes.PYFUNCTYPE(ctypes.c_int64, *_ARGUMENTS)

WORTH_SHARING = 10_000.0
"""Nanoseconds of work from which a launch is cut into chunks, each of at least :data:`CHUNK`."""
CHUNK = 4_000.0
MOST_CHUNKS = 32
LONG = 50e6
"""Nanoseconds from which a run on the main thread can be interrupted."""
QUICK = 10_000.0
"""Nanoseconds below which a plan runs without giving the GIL away."""


def _duration(steps: Sequence[Step]) -> float:
    """Estimate nanoseconds; a loop of unknown length is endless."""
    total = 0.0
    for step in steps:
        if isinstance(step, Launch):
            total += step.cost
        elif isinstance(step, Repeat):
            total += step.count * _duration(step.body)
        elif isinstance(step, While):
            return math.inf
        elif isinstance(step, Branch):
            total += max(map(_duration, step.branches), default=0.0)
        elif isinstance(step, LibraryCall):
            total += 0.1 * math.prod(step.params[:4])
        elif isinstance(step, Callback):
            total += 10_000.0
    return total


def _chunks(step: Launch) -> int:
    """Return into how many chunks of rows a launch is cut; by its cost alone."""
    if step.cost < WORTH_SHARING:
        return 1
    return max(1, min(step.rows, MOST_CHUNKS, int(step.cost / CHUNK)))


class _Frame:
    """The words of one call in progress, and its arena."""

    __slots__ = ("address", "arena", "context", "context_address", "error", "words")

    def __init__(self, owner: NativeExecutable) -> None:
        code = owner.code
        self.words = (ctypes.c_int64 * (code.scratch + code.frame))()
        self.address = ctypes.addressof(self.words) + 8 * code.scratch
        self.arena = np.empty(owner.plan.arena_bytes + 64, np.uint8)
        start = -(-self.arena.ctypes.data // 64) * 64
        at = code.scratch
        for n, slot in enumerate(owner.plan.slots):
            if slot.kind == "arena":
                self.words[at + n] = start + slot.number
            elif slot.kind == "constant":
                self.words[at + n] = owner.constants[slot.number].ctypes.data
        self.error: BaseException | None = None
        self.context = (ctypes.c_int64 * 4)()
        self.context_address = ctypes.addressof(self.context)


class NativeExecutable:
    """Runs a plan; may be called from several threads at once."""

    def __init__(self, plan: Plan, backend: Any) -> None:
        self.plan = plan
        self.backend = backend
        self.constants = [
            np.ascontiguousarray(getattr(c, "buf", c)).reshape(np.shape(getattr(c, "buf", c)))
            for c in plan.constants
        ]
        self._tables: list[Any] = []
        self._pooled = False
        engine = backend.engine
        addresses = [engine.kernel(k) for k in plan.kernels]

        def launch(step: Launch) -> tuple[int, int, int, int]:
            sizes = np.array([*step.sizes, 0], np.int64)
            floats = np.array([*step.floats, 0.0], np.float64)
            self._tables += [sizes, floats]
            chunks = _chunks(step) if plan.kernels[step.kernel].parallel else 1
            self._pooled |= chunks > 1
            return addresses[step.kernel], sizes.ctypes.data, floats.ctypes.data, chunks

        def library(step: LibraryCall) -> tuple[int, int]:
            sizes = np.array(step.params, np.int64)
            self._tables.append(sizes)
            dtype = plan.slots[step.slots[0]].aval.dtype
            return backend.library(matmul_name(dtype)), sizes.ctypes.data

        self.code = assemble(plan, launch, library)
        self.words = np.array(self.code.words, np.int64)
        self._code_address = self.words.ctypes.data
        self._run = (_RUN_WITH_GIL if self._quick() else _RUN)(backend.run_address)
        at = self.code.scratch
        self._inputs = [(at + n, s.number) for n, s in enumerate(plan.slots) if s.kind == "input"]
        self._outputs = [(at + n, s.number) for n, s in enumerate(plan.slots) if s.kind == "output"]
        self._frames: list[_Frame] = []
        self._long = _duration(plan.steps) > LONG
        self._lock = threading.Lock()

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        frame = self._frames.pop() if self._frames else _Frame(self)
        words = frame.words
        for n, number in self._inputs:
            words[n] = address_of(inputs[number])
        for n, number in self._outputs:
            words[n] = address_of(outputs[number])
        if self.code.callbacks:
            trampoline = _CALLBACK(lambda n, address: self._callback(frame, n))
            frame.context[1] = ctypes.cast(trampoline, ctypes.c_void_p).value or 0
        if self._pooled:
            frame.context[2] = self.backend.pool.address()
        if self._long and threading.current_thread() is threading.main_thread():
            status = self._run_interruptibly(frame)
        else:
            status = self._run(self._code_address, frame.address, frame.context_address)
        self._frames.append(frame)
        if status == FAILED:
            error, frame.error = frame.error, None
            assert error is not None
            raise error

    def _run_interruptibly(self, frame: _Frame) -> int:
        """Run in another thread, so that Python may handle signals in this one meanwhile.

        An exception of a signal handler (KeyboardInterrupt) sets the flag that the driver looks at
        once a trip, and is raised when the run has ended.
        """
        running = self.backend.runner().submit(
            self._run, self._code_address, frame.address, frame.context_address
        )
        try:
            return int(running.result())
        except BaseException:
            frame.context[0] = INTERRUPTED
            while not running.done():
                concurrent.futures.wait([running])
            frame.context[0] = 0
            self._frames.append(frame)
            raise

    def _quick(self) -> bool:
        steps = self.plan.steps
        return all(isinstance(s, (Launch, Copy, Assign)) for s in steps) and (
            sum(s.cost for s in steps if isinstance(s, Launch)) < QUICK
        )

    def _callback(self, frame: _Frame, number: int) -> int:
        step = self.code.callbacks[number]
        try:
            self.backend.counted["callbacks"] += 1
            arrays = [self._view(frame, n, False) for n in step.inputs]
            for n, result in zip(step.outputs, step.function(*arrays), strict=True):
                self._view(frame, n, True)[...] = result
        except BaseException as error:
            frame.error = error
            return 2
        return 0

    def _view(self, frame: _Frame, slot: int, writable: bool) -> np.ndarray[Any, Any]:
        aval = self.plan.slots[slot].aval
        address = int(frame.words[self.code.scratch + slot])
        memory: Any = (ctypes.c_char * max(aval.nbytes, 1)).from_address(address)
        out: np.ndarray[Any, Any] = np.ndarray(aval.shape, aval.dtype, buffer=memory)
        if not writable:
            out.flags.writeable = False
        return out

    def text(self, stage: str) -> str:
        text = "\n".join(emit_kernel(k, f"kernel{n}") for n, k in enumerate(self.plan.kernels))
        return text if stage == "llvm" else self.backend.engine.assembly(text)
