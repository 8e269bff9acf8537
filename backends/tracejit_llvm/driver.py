"""The driver: the steps of a plan as words, run by one native function.

A plan's steps become an array of 64-bit words, and the function ``run`` of
:mod:`tracejit_llvm.interpreter`, compiled once a process and cached on disk, interprets them: it
launches kernels, moves pointers, runs loops and branches, and calls back.  This deviates from one
generated function a program: a new program or a new size costs no code generation, and 500
unrolled steps of one stencil are 500 launches of one kernel.  The price is 1 to 6 ns a step,
measured, far below the cost of a kernel.

A call has a *context*, the words named by :class:`Word`, and a *frame*, one array of words: the
slots, the address of the scratch memory of library calls, the loop registers (trip, count), and
what launches and assignments need while they are made.

The driver is entered with the GIL held; the instruction RELEASE gives it away, and callbacks take
it back meanwhile.  Python is called through its C API, so what a callback raises is simply set as
the exception when the run returns.

Every launch and every trip of a loop looks at the interrupt flag.  A run that sees it set lets
Python handle its signals, and goes on unless a handler raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

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
    Slot,
    Step,
    While,
)

__all__ = ["Code", "Native", "Word", "assemble"]

HALT, LAUNCH, COPY, ASSIGN, POINT, START, TEST, NEXT, UNLESS, JUMP, SWITCH, CALL = range(12)
BIND, RELEASE = 12, 13
ENDLESS = 2**62


class Word(IntEnum):
    """The words of a context: addresses, some of them of Python lists."""

    CODE = 0
    FRAME = 1
    SCRATCH = 2
    FLAG = 3
    CALLABLES = 4
    POOL = 5
    INPUTS = 6
    OUTPUTS = 7


@dataclass(frozen=True)
class Native:
    """A function with the signature of a kernel, and the arguments of one step.

    Attributes
    ----------
    function, sizes, floats : int
        Addresses.
    slots : tuple of int
        Its buffers; the number after the last slot is scratch memory.
    rows : int
        It is called with ``begin = 0, end = rows``, or in chunks of these.
    chunks : int
        Into how many parts the pool may cut it; 1 for none.
    """

    function: int
    slots: tuple[int, ...]
    sizes: int
    floats: int
    rows: int
    chunks: int


@dataclass(frozen=True)
class Code:
    """What the driver runs.

    Attributes
    ----------
    words : list of int
        The instructions.
    scratch : int
        Where scratch starts in a frame.
    frame : int
        Words of a frame.
    callbacks : tuple of Callback
        By the number in their instruction.
    pooled : bool
        Whether a launch is cut into chunks.
    looped : bool
        Whether there is a loop.
    moved : frozenset of int
        Slots that steps point elsewhere.
    """

    words: list[int]
    scratch: int
    frame: int
    callbacks: tuple[Callback, ...]
    pooled: bool
    looped: bool
    moved: frozenset[int]


class _Assembler:
    def __init__(
        self, plan: Plan, native: Callable[[Launch | LibraryCall], Sequence[Native]]
    ) -> None:
        self.native = native
        self.words: list[int] = []
        self.registers = len(plan.slots) + 1
        self.scratch = 1
        self.callbacks: list[Callback] = []
        self.pooled = False
        self.looped = False
        self.moved: set[int] = set()

    def emit(self, *words: int) -> int:
        """Append an instruction and return where it starts."""
        at = len(self.words)
        self.words.extend(words)
        return at

    def bind(self, slots: Sequence[Slot], kind: str, source: Word) -> None:
        """Append the instruction that reads the addresses of inputs or outputs from their list."""
        pairs = [w for n, s in enumerate(slots) if s.kind == kind for w in (n, s.number)]
        if pairs:
            self.emit(BIND, source, len(pairs) // 2, *pairs)

    def steps(self, steps: Sequence[Step], register: int | None) -> None:
        """Append `steps`; `register` holds the trip of the loop around them."""
        for step in steps:
            if isinstance(step, (Launch, LibraryCall)):
                for n in self.native(step):
                    self.scratch = max(self.scratch, len(n.slots))
                    self.pooled |= n.chunks > 1
                    self.emit(
                        LAUNCH, n.function, len(n.slots), n.sizes, n.floats, n.rows, n.chunks,
                        *n.slots,
                    )  # fmt: skip
            elif isinstance(step, Copy):
                self.emit(COPY, step.target, step.source, step.nbytes)
            elif isinstance(step, Assign):
                if step.targets:
                    self.scratch = max(self.scratch, len(step.targets))
                    self.moved.update(step.targets)
                    self.emit(ASSIGN, len(step.targets), *step.targets, *step.sources)
            elif isinstance(step, Point):
                assert register is not None, "a Point stands outside of every loop"
                self.moved.add(step.target)
                self.emit(POINT, step.target, step.base, step.stride, register, int(step.reverse))
            elif isinstance(step, Callback):
                self.emit(CALL, len(self.callbacks))
                self.callbacks.append(step)
            elif isinstance(step, Branch):
                self._branch(step, register)
            else:
                self._loop(step)

    def _loop(self, step: Repeat | While) -> None:
        self.looped = True
        register = self.registers
        self.registers += 2
        self.emit(START, register, step.count if isinstance(step, Repeat) else ENDLESS)
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
    native: Callable[[Launch | LibraryCall], Sequence[Native]],
    bound: bool = False,
    release: bool = True,
) -> Code:
    """Return the code of a plan.

    Parameters
    ----------
    plan : Plan
        What to run.
    native : callable
        Gives the functions and the arguments of a step that calls some.
    bound : bool
        Whether the code reads the addresses of inputs and outputs from the lists in the context;
        else the caller writes them into the frame.
    release : bool
        Whether to run without the GIL.
    """
    a = _Assembler(plan, native)
    if bound:
        a.bind(plan.slots, "input", Word.INPUTS)
        a.bind(plan.slots, "output", Word.OUTPUTS)
    if release:
        a.emit(RELEASE)
    a.steps(plan.steps, None)
    a.emit(HALT)
    return Code(
        a.words, a.registers, a.registers + a.scratch, tuple(a.callbacks), a.pooled, a.looped,
        frozenset(a.moved),
    )  # fmt: skip
