"""A plan made native: its code, frames for its calls, and its callbacks.

A call takes a frame (the words that the driver works on, and an arena) from those that are free,
or makes one; so calls from several threads do not meet.  A frame is made with all addresses but
those of inputs and outputs, which the driver reads from the lists of a call.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from tracejit.ir.avals import ShapedArray
from tracejit.ir.plan import (
    Branch,
    Callback,
    Launch,
    LibraryCall,
    Plan,
    Repeat,
    Step,
    While,
    all_steps,
)
from tracejit_llvm.bands import has_bands
from tracejit_llvm.buffers import Buffers
from tracejit_llvm.driver import Code, Native, Word, assemble
from tracejit_llvm.emit import emit_kernel
from tracejit_llvm.engine import Engine
from tracejit_llvm.interpreter import LONG_CHUNK
from tracejit_llvm.interrupts import Interrupts
from tracejit_llvm.layout import QUICK, address_of
from tracejit_llvm.pool import Pool
from tracejit_llvm.routines.answers import library_steps
from tracejit_llvm.routines.calls import SCRATCH, LibraryFunction, LibrarySteps, aligned

__all__ = ["NativeExecutable", "Services"]

WORTH_SHARING = 10_000.0
"""Nanoseconds of work from which a launch is cut into chunks, each of at least :data:`CHUNK`."""
CHUNK = 4_000.0
MOST_CHUNKS = 256
LONG = 10e6
"""Nanoseconds from which a run on the main thread can be interrupted."""
BRIEF = 100_000.0
"""Nanoseconds of a run below which its kernels are compiled the quick way at first."""
WORTH_COMPILING = 10e6
"""Nanoseconds that runs must have taken, by estimate, before they are compiled the careful way."""
LEAST = 1_000.0
"""Nanoseconds that a run is taken for at least."""
WORTH_RELEASING = 10_000.0
"""Nanoseconds from which a plan runs without the GIL."""
MOST_FREE_FRAMES = 16

KEPT_ARENA = 64 << 10
"""Bytes of an arena up to which each frame has one of its own."""

_FOR_EVER = 1 << 62

_calm = ctypes.c_int64(0)
"""The interrupt flag of runs that cannot be interrupted."""


class Services(Protocol):
    """What an executable uses of its backend."""

    engine: Engine
    pool: Pool
    buffers: Buffers
    interrupts: Interrupts
    run_address: int

    def library(self, function: LibraryFunction) -> int:
        """Return the address of a native function of a library call."""

    def count_callback(self) -> None:
        """Count one call back."""


def duration(
    steps: Sequence[Step], library: Callable[[LibraryCall], float] = lambda call: 0.0
) -> float:
    """Return estimated nanoseconds on one core; a loop of unknown length is endless.

    Parameters
    ----------
    steps : sequence of Step
        What is run.
    library : callable, optional
        Estimates a library call.
    """
    total = 0.0
    for step in steps:
        if isinstance(step, Launch):
            total += step.cost
        elif isinstance(step, Repeat):
            total += step.count * (10.0 + duration(step.body, library))
        elif isinstance(step, While):
            return math.inf
        elif isinstance(step, Branch):
            total += max((duration(b, library) for b in step.branches), default=0.0)
        elif isinstance(step, LibraryCall):
            total += library(step)
        elif isinstance(step, Callback):
            total += WORTH_RELEASING
    return total


def _chunks(cost: float, rows: int) -> int:
    """Return into how many parts a step may be cut; the pool makes fewer for few threads."""
    if cost < WORTH_SHARING:
        return 1
    return max(1, min(rows, MOST_CHUNKS, int(cost / CHUNK)))


class _Frame:
    """The words of one call in progress, and its arena.

    A large arena is only held during a call, so that all executables share the same few blocks.
    """

    __slots__ = (
        "address", "arena", "arena_start", "buffers", "callables", "context", "owner", "words",
    )  # fmt: skip

    def __init__(self, owner: NativeExecutable) -> None:
        code = owner.code
        self.owner = owner
        self.words = (ctypes.c_int64 * code.frame)()
        self.arena: np.ndarray[Any, Any] | None = None
        self.arena_start = 0
        self.buffers: tuple[Any, Any] = ((), ())
        self.callables = [functools.partial(owner.call_back, self, c) for c in code.callbacks]
        self.context = (ctypes.c_int64 * len(Word))()
        self.address = ctypes.addressof(self.context)
        frame = ctypes.addressof(self.words)
        self.context[Word.CODE] = owner.code_address
        self.context[Word.FRAME] = frame
        self.context[Word.SCRATCH] = frame + 8 * code.scratch
        self.context[Word.FLAG] = ctypes.addressof(_calm)
        self.context[Word.CALLABLES] = id(self.callables)
        for n, address in owner.constant_slots:
            self.words[n] = address
        if owner.arena_bytes and not owner.borrows_arena:
            self.take_arena()

    def take_arena(self) -> None:
        """Hold an arena from now on."""
        owner = self.owner
        nbytes = owner.arena_bytes
        if owner.borrows_arena:
            self.arena = owner.services.buffers.empty((nbytes + 64,), _BYTE)
        else:
            self.arena = np.empty(nbytes + 64, np.uint8)
        start = -(-address_of(self.arena) // 64) * 64
        if start != self.arena_start:
            self.arena_start = start
            for n, offset in owner.arena_slots:
                self.words[n] = start + offset

    def point(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Write the addresses of a call's buffers, where the driver does not read them."""
        for n, s in enumerate(self.owner.plan.slots):
            if s.kind == "input":
                self.words[n] = address_of(inputs[s.number])
            elif s.kind == "output":
                self.words[n] = address_of(outputs[s.number])

    def repair(self) -> None:
        """Point back what the steps of the last call pointed elsewhere."""
        for n, address in self.owner.moved_constants:
            self.words[n] = address
        for n, offset in self.owner.moved_places:
            self.words[n] = self.arena_start + offset


_BYTE = np.dtype(np.uint8)


class NativeExecutable:
    """Runs a plan; may be called from several threads at once.

    Parameters
    ----------
    plan : Plan
        What to run.
    services : Services
        The backend.

    Attributes
    ----------
    is_plain : bool
        Whether a call needs a frame and nothing else.
    lets_go : bool
        Whether other threads of Python go on during a call.
    runs_left : c_int64
        After so many runs the next one is to be a call of this object.
    """

    def __init__(self, plan: Plan, services: Services) -> None:
        self.plan = plan
        self.services = services
        self._constants = [_on_host(c) for c in plan.constants]
        self._tables: list[np.ndarray[Any, Any]] = []
        self._answers = {
            step: self._answer(step)
            for step in all_steps(plan.steps)
            if isinstance(step, LibraryCall)
        }
        scratch = max((a.scratch_bytes for a in self._answers.values()), default=0)
        cost = duration(
            plan.steps, lambda call: sum(s.cost for s in self._answers[call].steps)
        )
        self.lets_go = cost >= WORTH_RELEASING
        self.code = code = self._assembled(brief=cost < BRIEF)
        runs = int(WORTH_COMPILING / max(cost, LEAST)) + 1 if cost < BRIEF else _FOR_EVER
        self.runs_left = ctypes.c_int64(runs)
        self._words = np.array(code.words, np.int64)
        self.code_address = address_of(self._words)
        places = [(n, s.number) for n, s in enumerate(plan.slots) if s.kind == "arena"]
        constants = [
            (n, address_of(self._constants[s.number]))
            for n, s in enumerate(plan.slots)
            if s.kind == "constant"
        ]
        self.arena_bytes = plan.arena_bytes
        if scratch:
            places.append((len(plan.slots), aligned(plan.arena_bytes)))
            self.arena_bytes = aligned(plan.arena_bytes) + scratch
        self.arena_slots, self.constant_slots = places, constants
        self.moved_places = [(n, a) for n, a in places if n in code.moved]
        self.moved_constants = [(n, a) for n, a in constants if n in code.moved]
        self.borrows_arena = self.arena_bytes >= KEPT_ARENA
        self._repairs = bool(self.moved_places or self.moved_constants)
        self._long = cost >= LONG
        # Whether there is nothing that makes a call more than a few words and a jump.
        self.is_plain = QUICK and not (
            code.callbacks or code.pooled or self._long or self.borrows_arena or self._repairs
        )
        self._frames: list[_Frame] = []
        self._run = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(services.run_address)

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Run on C-contiguous arrays of the shapes and dtypes of the plan.

        Raises
        ------
        BaseException
            What a callback raised, or a signal handler (KeyboardInterrupt).
        """
        if type(inputs) is not list:
            inputs = list(inputs)
        if type(outputs) is not list:
            outputs = list(outputs)
        left = self.runs_left
        left.value -= 1
        if left.value <= 0:
            self._compile_with_care()
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = _Frame(self)
        context = frame.context
        context[_INPUTS] = id(inputs)
        context[_OUTPUTS] = id(outputs)
        if self.is_plain:
            self._run(frame.address)
            self._frames.append(frame)
            return
        try:
            self._run_with_care(frame, inputs, outputs)
        finally:
            frame.buffers = ((), ())
            if self.borrows_arena:
                frame.arena = None
            if len(self._frames) < MOST_FREE_FRAMES:
                self._frames.append(frame)

    def _assembled(self, brief: bool) -> Code:
        """Return the driver's code, with kernels compiled the quick or the careful way."""
        engine, kernels = self.services.engine, self.plan.kernels
        self._addresses = engine.kernels(kernels) if brief else [engine.kernel(k) for k in kernels]
        return assemble(self.plan, self._native, bound=QUICK, release=self.lets_go)

    def _compile_with_care(self) -> None:
        """Replace kernels that were compiled the quick way, for what runs this often.

        The careful ones give the same bits, so a run in progress may go on with either.
        """
        self.runs_left.value = _FOR_EVER
        words = np.array(self._assembled(brief=False).words, np.int64)
        assert words.shape == self._words.shape
        self._words[...] = words

    def frame_for(self, inputs: int, outputs: int) -> _Frame:
        """Return a frame for one call at a time of a plan that is plain.

        Parameters
        ----------
        inputs, outputs : int
            Addresses of lists of arrays, or of what the driver takes for such.
        """
        frame = _Frame(self)
        frame.context[_INPUTS], frame.context[_OUTPUTS] = inputs, outputs
        return frame

    def text(self, stage: str) -> str:
        """Return the kernels of the plan as ``"llvm"`` text or as ``"asm"``."""
        if stage not in ("llvm", "asm"):
            raise ValueError(f"the stages of this backend are 'llvm' and 'asm'; got {stage!r}")
        texts = [emit_kernel(k, f"kernel{n}") for n, k in enumerate(self.plan.kernels)]
        if stage == "asm":
            texts = [self.services.engine.assembly(t) for t in texts]
        return "\n".join(texts)

    def _run_with_care(self, frame: _Frame, inputs: list[Any], outputs: list[Any]) -> None:
        services = self.services
        if self.borrows_arena:
            frame.take_arena()
        if self._repairs:
            frame.repair()
        if not QUICK:
            frame.point(inputs, outputs)
        if self.code.callbacks:
            frame.buffers = (inputs, outputs)
        if self.code.pooled:
            frame.context[Word.POOL] = services.pool.address()
        if not (self._long and services.interrupts.usable()):
            self._run(frame.address)
            return
        frame.context[Word.FLAG] = services.interrupts.flag
        try:
            with services.interrupts:
                self._run(frame.address)
        finally:
            frame.context[Word.FLAG] = ctypes.addressof(_calm)

    def _answer(self, call: LibraryCall) -> LibrarySteps:
        return library_steps(call, [self.plan.slots[n].aval.dtype for n in call.slots])

    def _native(self, step: Launch | LibraryCall) -> list[Native]:
        if isinstance(step, LibraryCall):
            places = {SCRATCH: len(self.plan.slots), **dict(enumerate(step.slots))}
            return [
                Native(
                    self.services.library(own.function),
                    tuple(places[n] for n in own.buffers),
                    self._table(own.sizes, np.int64),
                    self._kept(own.floats),
                    own.rows,
                    _chunks(own.cost, own.rows) if own.shared else 1,
                )
                for own in self._answers[step].steps
            ]
        chunks, kernel = 1, self.plan.kernels[step.kernel]
        if kernel.parallel:
            rows = step.rows // LONG_CHUNK if has_bands(kernel) else step.rows
            chunks = _chunks(step.cost, rows)
        native = Native(
            self._addresses[step.kernel],
            step.slots,
            self._table(step.sizes, np.int64),
            self._table(step.floats, np.float64),
            step.rows,
            chunks,
        )
        return [native]

    def _table(self, numbers: Sequence[float], dtype: Any) -> int:
        table = np.array([*numbers, 0], dtype)
        self._tables.append(table)
        return address_of(table)

    def _kept(self, floats: np.ndarray[Any, Any] | None) -> int:
        if floats is None:
            return 0
        self._tables.append(floats)
        return address_of(floats)

    def call_back(self, frame: _Frame, step: Callback) -> None:
        """Call the function of a step on the values in its slots; the driver calls this."""
        self.services.count_callback()
        arrays = [self._view(frame, n) for n in step.inputs]
        for array in arrays:
            array.flags.writeable = False
        results = step.function(np, *arrays)
        if len(results) != len(step.outputs):
            raise ValueError(
                f"{step.name}: the callback must return {len(step.outputs)} arrays; "
                f"got {len(results)}"
            )
        for n, result in zip(step.outputs, results, strict=True):
            aval = self.plan.slots[n].aval
            value = np.asarray(result)
            if value.shape != aval.shape or value.dtype != aval.dtype:
                raise ValueError(
                    f"{step.name}: the callback must return an array of {aval}; got shape "
                    f"{value.shape} and dtype {value.dtype}"
                )
            np.copyto(self._view(frame, n), value)

    def _view(self, frame: _Frame, slot: int) -> np.ndarray[Any, Any]:
        """Return a slot's value as an array that keeps alive what it may lie in."""
        aval: ShapedArray = self.plan.slots[slot].aval
        block = _block_type(max(aval.nbytes, 1)).from_address(frame.words[slot])
        block.kept = (frame.arena, frame.buffers, self._constants)
        return np.ndarray(aval.shape, aval.dtype, buffer=block)


_INPUTS, _OUTPUTS = int(Word.INPUTS), int(Word.OUTPUTS)


@functools.lru_cache(maxsize=256)
def _block_type(nbytes: int) -> Any:
    """Return a ctypes array type whose objects take attributes."""
    return type("Block", (ctypes.c_char * nbytes,), {})


def _on_host(constant: Any) -> np.ndarray[Any, Any]:
    """Return a constant as a C-contiguous array of its own rank."""
    array = getattr(constant, "buf", constant)
    return np.asarray(array, order="C")
