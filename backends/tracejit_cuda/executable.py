"""A plan made native: its kernels loaded, its steps as work to enqueue.

Steps run in their order on one stream; nothing waits for the device but a branch or loop that calls
a library, whose flag the host must see.  Such loops run ahead of the flag in batches of trips: what
would be a trip too many finds its gate closed and writes nothing.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

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
    all_steps,
)
from tracejit_cuda.forms import THREADS, Form, blocks_for, choose, work
from tracejit_cuda.runtime import Function, Properties, Runtime
from tracejit_cuda.segments import (
    MOST_WORDS,
    Segment,
    emit_segment,
    find_segments,
    is_device_only,
)
from tracejit_cuda.source import Part, global_part, launch_part, unit

__all__ = ["CudaExecutable", "Services"]

ONE_BLOCK = 1 << 14
"""Elements a step of a loop up to which one block runs the loop."""
MOST_AHEAD = 64
"""Trips that run ahead of a flag that the host has not seen."""
REPLAYED = 8
"""Trips of a loop from which they are recorded as a graph."""


class Services(Protocol):
    """What an executable uses of its backend."""

    @property
    def runtime(self) -> Runtime:
        """What runs kernels."""

    def functions(self, parts: Sequence[Part], device: int) -> dict[str, Function]:
        """Return loaded kernels by name; those that are new are compiled together."""

    def call_library(
        self, function: Callable[..., Any], buffers: Sequence[Any], device: int
    ) -> list[Any]:
        """Return what ``function(xp, *arrays)`` does, as buffers."""


class _Run:
    """One call in progress: where every slot points."""

    __slots__ = ("device", "gate", "kept", "places", "trip")

    def __init__(self, places: list[int], device: int) -> None:
        self.places = places
        self.device = device
        self.kept: list[Any] = []
        self.trip = (0, 0)
        self.gate = 0


Action = Callable[[_Run], None]


class _Words:
    """The arguments of a kernel: a few addresses, the places of slots, numbers; 8 bytes each."""

    __slots__ = ("array", "prefix", "slots")

    def __init__(self, prefix: int, slots: Sequence[int], numbers: Sequence[float]) -> None:
        self.prefix = prefix
        self.slots = tuple(enumerate(slots, prefix))
        first = prefix + len(slots)
        self.array = (ctypes.c_int64 * max(first + len(numbers), 1))()
        for n, x in enumerate(numbers, first):
            if isinstance(x, float):
                self.array[n] = struct.unpack("<q", struct.pack("<d", x))[0]
            else:
                self.array[n] = x

    def fill(self, places: Sequence[int], first: tuple[int, ...]) -> ctypes.Array[Any]:
        """Return the words for the places of a call; they are copied when a kernel is launched."""
        array = self.array
        for n, address in enumerate(first):
            array[n] = address
        for n, slot in self.slots:
            array[n] = places[slot]
        return array


class CudaExecutable:
    """Runs a plan; may be called from several threads at once.

    Parameters
    ----------
    plan : Plan
        What to run.
    services : Services
        The backend.
    device : int
        The number of the device.
    """

    def __init__(self, plan: Plan, services: Services, device: int) -> None:
        self.plan = plan
        self.services = services
        self.runtime = services.runtime
        self.device = device
        self.properties: Properties = self.runtime.properties(device)
        self._lock = threading.Lock()
        self._aligned = _aligned_slots(plan)
        self._forms: dict[Launch, Form] = {}
        self._parts: dict[str, Part] = {}
        self.constants = [self._upload(c) for c in plan.constants]
        self._actions = self._compile(plan.steps, gated=False)
        self.source = unit(self._parts.values())
        self._functions = services.functions(tuple(self._parts.values()), device)
        # The barrier of persistent loops, and what gates trips run ahead.
        self._state = self.runtime.upload(np.zeros(64, np.uint32), device)
        self._start = [
            self.runtime.address(self.constants[s.number]) if s.kind == "constant" else 0
            for s in plan.slots
        ]

    def _upload(self, constant: Any) -> Any:
        buf = getattr(constant, "buf", constant)
        if isinstance(buf, (np.ndarray, np.generic, int, float, bool)):
            return self.runtime.upload(np.asarray(buf, order="C"), self.device)
        return buf

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Enqueue the plan on buffers of the device.

        Parameters
        ----------
        inputs, outputs : sequence of buffers
            Of the shapes and dtypes of the plan; inputs may be host arrays, which are copied.
        """
        runtime = self.runtime
        run = _Run(self._start.copy(), self.device)
        places = run.places
        ready = [
            runtime.upload(x, self.device) if isinstance(x, np.ndarray) else x for x in inputs
        ]
        address = runtime.address
        arena = 0
        if self.plan.arena_bytes:
            held = runtime.empty((self.plan.arena_bytes,), _BYTE, self.device)
            run.kept.append(held)
            arena = address(held)
        for n, s in enumerate(self.plan.slots):
            kind = s.kind
            if kind == "input":
                places[n] = address(ready[s.number])
            elif kind == "output":
                places[n] = address(outputs[s.number])
            elif kind == "arena":
                places[n] = arena + s.number
        with self._lock:
            runtime.label = self.plan.name
            for action in self._actions:
                action(run)

    def text(self, stage: str) -> str:
        """Return the source of the plan's kernels as ``"cuda"``."""
        if stage != "cuda":
            raise ValueError(f"the stage of this backend is 'cuda'; got {stage!r}")
        return self.source

    # -------------------------------------------------------------- compilation

    def _compile(self, steps: Sequence[Step], gated: bool) -> list[Action]:
        actions: list[Action] = []
        for item in find_segments(steps):
            actions += self._action(item, gated)
        return actions

    def _action(self, s: Step | Segment, gated: bool) -> list[Action]:
        if isinstance(s, Segment):
            kernel = self._segment(s, gated)
            if kernel is None:
                return [a for inner in s.steps for a in self._action(inner, gated)]
            moves = [self._assign(x) for x in s.steps if isinstance(x, Assign)]
            return [kernel, *moves]
        if isinstance(s, Launch):
            return [self._launch(s, gated)] if s.rows else []
        if isinstance(s, Copy):
            return [self._copy(s, gated)]
        if isinstance(s, Assign):
            return [self._assign(s)]
        if isinstance(s, Point):
            return [self._point(s)]
        if isinstance(s, Repeat):
            return [self._repeat(s, gated)]
        if isinstance(s, While):
            return [self._while(s, gated)]
        if isinstance(s, Branch):
            return [self._branch(s, gated)]
        if isinstance(s, LibraryCall):
            return self._library(s, gated)
        return [self._callback(s, gated)]

    def form(self, s: Launch) -> Form:
        """Return the form in which a launch runs."""
        if s not in self._forms:
            elements = max((self.plan.slots[n].aval.size for n in s.slots), default=1)
            self._forms[s] = choose(
                self.plan.kernels[s.kernel],
                s.sizes,
                [self._aligned[n] for n in s.slots],
                elements,
                self.properties.multiprocessors,
            )
        return self._forms[s]

    def _part(self, part: Part) -> str:
        self._parts[part.name] = part
        return part.name

    def _launch(self, s: Launch, gated: bool) -> Action:
        kernel, form = self.plan.kernels[s.kernel], self.form(s)
        blocks = blocks_for(kernel, form, s.sizes, self.properties.multiprocessors)
        name = self._part(launch_part(kernel, form, gated))
        words = _Words(int(gated), s.slots, [*s.sizes, *map(float, s.floats)])
        threads = form.threads

        def act(run: _Run) -> None:
            arguments = words.fill(run.places, (run.gate,) if gated else ())
            self.runtime.launch(
                self._functions[name], blocks, threads, 0, arguments, self.device
            )

        return act

    def _segment(self, segment: Segment, gated: bool) -> Action | None:
        launches = [s for s in all_steps(segment.steps) if isinstance(s, Launch)]
        largest = max((work(self.plan.kernels[s.kernel], s.sizes) for s in launches), default=1)
        copied = max(
            (s.nbytes // 8 for s in all_steps(segment.steps) if isinstance(s, Copy)), default=1
        )
        single = max(largest, copied // 4) <= ONE_BLOCK
        most = max(largest, 1)
        threads = min(1024, max(32, -(-most // 32) * 32)) if single else THREADS
        forms = {s: self.form(s) for s in launches}
        code = emit_segment(self.plan, segment, forms, threads, single, gated)
        prefix = 1 + int(gated)
        if prefix + len(code.slots) + len(code.numbers) > MOST_WORDS:
            return None
        name = self._part(code.part)
        words = _Words(prefix, code.slots, code.numbers)
        wanted = max(
            (
                blocks_for(
                    self.plan.kernels[s.kernel], forms[s], s.sizes, self.properties.multiprocessors
                )
                for s in launches
            ),
            default=1,
        )

        def act(run: _Run) -> None:
            state = self.runtime.address(self._state)
            first = (state, run.gate) if gated else (state,)
            arguments = words.fill(run.places, first)
            function = self._functions[name]
            blocks = 1
            if not single:
                resident = self.runtime.resident_blocks(function, threads, 0, self.device)
                blocks = max(1, min(wanted, resident))
            self.runtime.launch(
                function, blocks, threads, 0, arguments, self.device, cooperative=blocks > 1
            )

        return act

    # -------------------------------------------------------------------- moves

    def _copy(self, s: Copy, gated: bool) -> Action:
        target, source, nbytes = s
        if not gated:
            runtime, device = self.runtime, self.device

            def act(run: _Run) -> None:
                to, of = run.places[target], run.places[source]
                if to != of and nbytes:
                    runtime.copy(to, of, nbytes, device)

            return act
        gate = self._gated_copy(nbytes)
        return lambda run: gate(run, run.places[target], run.places[source])

    def _gated_copy(self, nbytes: int) -> Callable[[_Run, int, int], None]:
        name = self._part(_COPY)
        words = _Words(3, (), (nbytes,))
        blocks = max(1, min(-(-nbytes // 4096), self.properties.multiprocessors * 8))

        def act(run: _Run, target: int, source: int) -> None:
            arguments = words.fill((), (run.gate, target, source))
            self.runtime.launch(
                self._functions[name], blocks, THREADS, 0, arguments, self.device
            )

        return act

    def _assign(self, s: Assign) -> Action:
        targets, sources = s

        def act(run: _Run) -> None:
            places = run.places
            moved = [places[n] for n in sources]
            for n, place in zip(targets, moved, strict=True):
                places[n] = place

        return act

    def _point(self, s: Point) -> Action:
        target, base, stride, reverse = s

        def act(run: _Run) -> None:
            trip, count = run.trip
            at = count - 1 - trip if reverse else trip
            run.places[target] = run.places[base] + at * stride

        return act

    # ------------------------------------------------------------------ control

    def _repeat(self, s: Repeat, gated: bool) -> Action:
        count = s.count
        body = self._compile(s.body, gated)
        replayable = not gated and _replayable(s.body)

        def trips(run: _Run, first: int, last: int) -> None:
            for trip in range(first, last):
                run.trip = (trip, count)
                for action in body:
                    action(run)

        def act(run: _Run) -> None:
            outer = run.trip
            done = 0
            if replayable and count > REPLAYED:
                done = self._replay(run, count, trips)
            trips(run, done, count)
            run.trip = outer

        return act

    def _replay(
        self, run: _Run, count: int, trips: Callable[[_Run, int, int], None]
    ) -> int:
        """Run most trips of a loop from a graph; return how many are done.

        Pointers that are exchanged come back after a few trips: as many make the graph.
        """
        seen = [tuple(run.places)]
        for done in range(1, REPLAYED // 2 + 1):
            trips(run, done - 1, done)
            now = tuple(run.places)
            if now in seen:
                period = len(seen) - seen.index(now)
                record = functools.partial(trips, run, 0, period)
                graph = self.runtime.capture(record, self.device)
                times = (count - done) // period
                for _ in range(times):
                    graph.launch()
                return done + times * period
            seen.append(now)
        return done

    def _while(self, s: While, gated: bool) -> Action:
        ahead = not gated and _runs_ahead((*s.condition, *s.body))
        condition = self._compile(s.condition, ahead or gated)
        body = self._compile(s.body, ahead or gated)
        if ahead:
            return self._while_ahead(s, condition, body)
        runtime, device, predicate = self.runtime, self.device, s.predicate

        def act(run: _Run) -> None:
            outer = run.trip
            trip = 0
            while True:
                run.trip = (trip, 0)
                for action in condition:
                    action(run)
                if not runtime.peek(run.places[predicate], _BOOL, device):
                    break
                for action in body:
                    action(run)
                trip += 1
            run.trip = outer

        return act

    def _while_ahead(
        self, s: While, condition: Sequence[Action], body: Sequence[Action]
    ) -> Action:
        """Return a loop that looks at its flag after 1, 2, 4, ... trips.

        The gate closes at the first false flag; it counts the trips before.
        """
        name = self._part(_GATE)
        words = _Words(2, (s.predicate,), ())
        runtime, device = self.runtime, self.device

        def act(run: _Run) -> None:
            outer = run.trip
            gate = runtime.address(self._state) + _GATE_AT
            run.gate = gate
            trip, batch = 0, 1
            while True:
                # The gate is open, and no trip is counted.
                runtime.copy(gate, gate - _GATE_AT + _OPEN_AT, 8, device)
                ends = []
                for _ in range(batch):
                    run.trip = (trip, 0)
                    for action in condition:
                        action(run)
                    arguments = words.fill(run.places, (gate, gate + 4))
                    runtime.launch(self._functions[name], 1, 32, 0, arguments, device)
                    ends.append(run.places.copy())
                    for action in body:
                        action(run)
                    trip += 1
                counted = int(runtime.peek(gate + 4, _INT32, device))
                if counted < batch:
                    run.places[:] = ends[counted]
                    break
                batch = min(2 * batch, MOST_AHEAD)
            run.gate = 0
            run.trip = outer

        return act

    def _branch(self, s: Branch, gated: bool) -> Action:
        branches = [self._compile(steps, gated) for steps in s.branches]
        runtime, device, index = self.runtime, self.device, s.index

        def act(run: _Run) -> None:
            chosen = int(runtime.peek(run.places[index], _INT32, device))
            for action in branches[min(max(chosen, 0), len(branches) - 1)]:
                action(run)

        return act

    # ---------------------------------------------------------------- libraries

    def _library(self, s: LibraryCall, gated: bool) -> list[Action]:
        if s.name != "matmul":
            raise ValueError(f"there is no library call {s.name!r}")
        batch, m, n, k, transpose_a, transpose_b = s.params
        left = (batch, k, m) if transpose_a else (batch, m, k)
        right = (batch, n, k) if transpose_b else (batch, k, n)

        def product(xp: Any, a: Any, b: Any, *out: Any) -> list[Any]:
            a, b = a.reshape(left), b.reshape(right)
            a = a.swapaxes(1, 2) if transpose_a else a
            b = b.swapaxes(1, 2) if transpose_b else b
            if not out:
                return [xp.matmul(a, b)]
            xp.matmul(a, b, out=out[0].reshape(batch, m, n))
            return list(out)

        inputs = s.slots[:2] if gated else s.slots
        return [self._evaluated(s.name, product, inputs, s.slots[2:], gated)]

    def _callback(self, s: Callback, gated: bool) -> Action:
        return self._evaluated(s.name, s.function, s.inputs, s.outputs, gated)

    def _evaluated(
        self,
        name: str,
        function: Callable[..., Any],
        inputs: Sequence[int],
        outputs: Sequence[int],
        gated: bool,
    ) -> Action:
        """Return a call of a library: its results are copied to their places."""
        avals = [self.plan.slots[n].aval for n in inputs]
        wanted = [self.plan.slots[n].aval for n in outputs]
        copies = [self._gated_copy(a.nbytes) for a in wanted] if gated else []
        runtime, device = self.runtime, self.device

        def act(run: _Run) -> None:
            arrays = [
                runtime.view(run.places[n], a.shape, a.dtype, device, run)
                for n, a in zip(inputs, avals, strict=True)
            ]
            results = self.services.call_library(function, arrays, device)
            if len(results) != len(wanted):
                raise ValueError(f"{name} must return {len(wanted)} arrays; got {len(results)}")
            for number, (result, aval) in enumerate(zip(results, wanted, strict=True)):
                if result.size != aval.size or result.dtype != aval.dtype:
                    raise ValueError(
                        f"{name}: a library must return an array of {aval}; got shape "
                        f"{result.shape} and dtype {result.dtype}"
                    )
                target, source = run.places[outputs[number]], runtime.address(result)
                if gated:
                    copies[number](run, target, source)
                elif aval.nbytes and target != source:
                    runtime.copy(target, source, aval.nbytes, device)
            run.kept.append(results)

        return act


_BYTE = np.dtype(np.uint8)
_BOOL = np.dtype(np.bool_)
_INT32 = np.dtype(np.int32)
# The state of an executable, in bytes: the barrier, the gate and its count, an open gate.
_GATE_AT, _OPEN_AT = 128, 192
_COPY = global_part(
    "copy",
    ["if (*a.go) tj_copy((int)blockIdx.x, (int)gridDim.x, a.target, a.source, a.nbytes);"],
    [
        ("const bool*", "go"),
        ("char*", "target"),
        ("const char*", "source"),
        ("long long", "nbytes"),
    ],
    THREADS,
    (),
)
_GATE = global_part(
    "gate",
    ["if (threadIdx.x == 0) { const bool go = *a.go && *a.flag; *a.go = go; *a.count += go; }"],
    [("bool*", "go"), ("int*", "count"), ("const bool*", "flag")],
    32,
    (),
)


def _aligned_slots(plan: Plan) -> list[bool]:
    """Return which slots always start at a multiple of 16 bytes."""
    aligned = [True] * len(plan.slots)
    changed = True
    while changed:
        changed = False
        for s in all_steps(plan.steps):
            pairs: list[tuple[int, bool]] = []
            if isinstance(s, Point):
                pairs = [(s.target, aligned[s.base] and s.stride % 16 == 0)]
            elif isinstance(s, Assign):
                pairs = [(t, aligned[o]) for t, o in zip(s.targets, s.sources, strict=True)]
            for slot, good in pairs:
                if aligned[slot] and not good:
                    aligned[slot] = False
                    changed = True
    return aligned


def _replayable(steps: Sequence[Step]) -> bool:
    """Whether all trips enqueue the same work, up to exchanged pointers, and none asks the host."""
    return all(
        isinstance(s, (Launch, Copy, Assign)) or (isinstance(s, LibraryCall) and s.name == "matmul")
        for s in all_steps(tuple(steps))
    )


def _runs_ahead(steps: Sequence[Step]) -> bool:
    """Whether steps never wait for the host: loops and branches inside are the device's alone."""
    return all(
        not isinstance(s, (While, Branch)) or is_device_only((s,)) for s in all_steps(tuple(steps))
    )
