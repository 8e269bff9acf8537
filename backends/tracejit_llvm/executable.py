"""A plan made native: its code, frames for its calls, and the trampoline of its callbacks."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.ir.plan import Launch, LibraryCall, Plan
from tracejit_llvm.blas import matmul_name
from tracejit_llvm.driver import FAILED, assemble
from tracejit_llvm.emit import emit_kernel

__all__ = ["NativeExecutable"]

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
_RUN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class _Frame:
    """The words of one call in progress, and its arena."""

    __slots__ = ("address", "arena", "context", "error", "words")

    def __init__(self, owner: NativeExecutable) -> None:
        code = owner.code
        self.words = np.zeros(code.scratch + code.frame, np.int64)
        self.address = self.words.ctypes.data + 8 * code.scratch
        self.arena = np.empty(owner.plan.arena_bytes + 64, np.uint8)
        start = -(-self.arena.ctypes.data // 64) * 64
        at = code.scratch
        for n, slot in enumerate(owner.plan.slots):
            if slot.kind == "arena":
                self.words[at + n] = start + slot.number
            elif slot.kind == "constant":
                self.words[at + n] = owner.constants[slot.number].ctypes.data
        self.error: BaseException | None = None
        self.context = np.zeros(4, np.int64)


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
        engine = backend.engine
        addresses = [engine.kernel(k) for k in plan.kernels]

        def launch(step: Launch) -> tuple[int, int, int, int]:
            sizes = np.array([*step.sizes, 0], np.int64)
            floats = np.array([*step.floats, 0.0], np.float64)
            self._tables += [sizes, floats]
            return addresses[step.kernel], sizes.ctypes.data, floats.ctypes.data, 1

        def library(step: LibraryCall) -> tuple[int, int]:
            sizes = np.array(step.params, np.int64)
            self._tables.append(sizes)
            dtype = plan.slots[step.slots[0]].aval.dtype
            return backend.library(matmul_name(dtype)), sizes.ctypes.data

        self.code = assemble(plan, launch, library)
        self.words = np.array(self.code.words, np.int64)
        self._run = _RUN(backend.run_address)
        self._inputs = [
            (n, s.number) for n, s in enumerate(plan.slots) if s.kind == "input"
        ]
        self._outputs = [
            (n, s.number) for n, s in enumerate(plan.slots) if s.kind == "output"
        ]
        self._frames: list[_Frame] = []
        self._lock = threading.Lock()

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        frame = self._frames.pop() if self._frames else _Frame(self)
        words, at = frame.words, self.code.scratch
        for n, number in self._inputs:
            words[at + n] = inputs[number].ctypes.data
        for n, number in self._outputs:
            words[at + n] = outputs[number].ctypes.data
        if self.code.callbacks:
            trampoline = _CALLBACK(lambda n, address: self._callback(frame, n))
            frame.context[1] = ctypes.cast(trampoline, ctypes.c_void_p).value
        frame.error = None
        status = self._run(self.words.ctypes.data, frame.address, frame.context.ctypes.data)
        error, frame.error = frame.error, None
        self._frames.append(frame)
        if status == FAILED and error is not None:
            raise error

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
        raw = (ctypes.c_char * max(aval.nbytes, 1)).from_address(address)
        out = np.frombuffer(raw, np.uint8, aval.nbytes).view(aval.dtype).reshape(aval.shape)
        if not writable:
            out.flags.writeable = False
        return out

    def text(self, stage: str) -> str:
        text = "\n".join(emit_kernel(k, f"kernel{n}") for n, k in enumerate(self.plan.kernels))
        return text if stage == "llvm" else self.backend.engine.assembly(text)
